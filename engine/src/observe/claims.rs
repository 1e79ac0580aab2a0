// SPDX-License-Identifier: MPL-2.0
//! What other resources on this host have taken: minors, ports and disks in other files, minors in the kernel.

use super::ObserveError;
use crate::host::Host;
use crate::observed::Claim;
use crate::tools::conf_text::{self, Item, Section};
use crate::tools::drbdsetup::{ResourceStatus, RunningResource};
use std::collections::BTreeMap;

/// Claims of everything but the resource `except`.
///
/// A file that cannot be parsed claims nothing here; `drbdadm` itself will refuse it, with its line.
pub(crate) fn others(
    host: &impl Host,
    except: &str,
    running: &[ResourceStatus],
    shown: &[RunningResource],
) -> Result<Vec<Claim>, ObserveError> {
    let node = host.node_name()?;
    let mut claims = Vec::new();
    for file in host.list("/etc/drbd.d")? {
        if !file.ends_with(".res") || file.starts_with('.') || file == format!("{except}.res") {
            continue;
        }
        let place = format!("/etc/drbd.d/{file}");
        let text = host.read(&place)?.unwrap_or_default();
        claims.extend(in_text(&text, &place, &node));
    }
    claims.extend(running.iter().filter(|status| status.name != except).map(|status| Claim {
        resource: status.name.clone(),
        place: "running in the kernel".to_owned(),
        minors: status.devices.iter().map(|device| device.minor).collect(),
        ports: shown.iter().filter(|resource| resource.name == status.name).flat_map(ports_of).collect(),
        disks: Vec::new(),
        volumes: BTreeMap::new(),
    }));
    Ok(claims)
}

/// The ports of this host on which a running resource replicates.
pub(crate) fn ports_of(running: &RunningResource) -> Vec<u16> {
    let paths = running.connections.iter().flat_map(|connection| &connection.paths);
    paths.filter_map(|path| port_of(&path.local)).collect()
}

/// The claims of one file on a node.
pub(crate) fn in_text(text: &str, place: &str, node: &str) -> Vec<Claim> {
    let items = conf_text::parse(text).unwrap_or_default();
    let resources = items.iter().filter_map(|item| match item {
        Item::Section(section) if section.keyword() == "resource" => Some(section),
        Item::Section(_) | Item::Statement(_) => None,
    });
    resources.map(|section| claim(section, place, node)).collect()
}

fn claim(resource: &Section, place: &str, node: &str) -> Claim {
    let mut claim = Claim {
        resource: resource.name().unwrap_or_default().to_owned(),
        place: place.to_owned(),
        minors: Vec::new(),
        ports: Vec::new(),
        disks: Vec::new(),
        volumes: BTreeMap::new(),
    };
    gather(resource, 0, node, &mut claim);
    for section in resource.sections() {
        let here = match section.keyword() {
            // `on` names one or more hosts; `floating` an address.
            "on" => section.words.iter().skip(1).any(|word| word.text == node),
            "connection" => {
                gather(section, 0, node, &mut claim);
                let paths = section.sections().filter(|inner| inner.keyword() == "path");
                paths.for_each(|path| gather(path, 0, node, &mut claim));
                false
            }
            _ => false,
        };
        if here {
            gather(section, 0, node, &mut claim);
            volumes(section, node, &mut claim);
        }
    }
    volumes(resource, node, &mut claim);
    claim
}

fn volumes(section: &Section, node: &str, claim: &mut Claim) {
    for volume in section.sections().filter(|inner| inner.keyword() == "volume") {
        let number = volume.name().and_then(|name| name.parse().ok()).unwrap_or(0);
        gather(volume, number, node, claim);
    }
}

/// Takes over what the statements of one section say; those outside a `volume` section are volume 0's.
fn gather(section: &Section, volume: u16, node: &str, claim: &mut Claim) {
    for statement in section.statements() {
        let words: Vec<&str> = statement.words.iter().map(|word| word.text.as_str()).collect();
        match words.as_slice() {
            ["device", rest @ ..] => {
                claim.minors.extend(minor_of(rest));
                claim.volumes.entry(volume).or_default().0 = minor_of(rest);
            }
            ["disk", path] if path.starts_with('/') => {
                claim.disks.push((*path).to_owned());
                claim.volumes.entry(volume).or_default().1 = Some((*path).to_owned());
            }
            ["address", .., endpoint] => claim.ports.extend(port_of(endpoint)),
            ["host", name, .., endpoint] if *name == node => claim.ports.extend(port_of(endpoint)),
            _ => {}
        }
    }
}

/// `device minor 3;`, `device /dev/drbd3;`, `device /dev/drbd_x minor 3;`
fn minor_of(words: &[&str]) -> Option<u32> {
    match words {
        [.., "minor", number] => number.parse().ok(),
        [path] => path.strip_prefix("/dev/drbd")?.parse().ok(),
        _ => None,
    }
}

fn port_of(endpoint: &str) -> Option<u16> {
    endpoint.rsplit_once(':')?.1.parse().ok()
}

/// The other hosts that the resources of a text name.
pub(crate) fn peers(text: &str, node: &str) -> Vec<String> {
    let items = conf_text::parse(text).unwrap_or_default();
    let mut peers = Vec::new();
    for item in &items {
        if let Item::Section(resource) = item {
            for on in resource.sections().filter(|section| section.keyword() == "on") {
                peers.extend(
                    on.words.iter().skip(1).map(|word| word.text.clone()).filter(|name| name != node),
                );
            }
        }
    }
    peers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_read_from_both_families_files() {
        let old = "resource web { device /dev/drbd3; disk /dev/vg/web; meta-disk internal;
            on h1 { address 10.0.0.1:7001; } on h2 { address 10.0.0.2:7002; } }";
        let claim = &in_text(old, "f", "h1")[0];
        assert_eq!((claim.minors.as_slice(), claim.ports.as_slice()), (&[3][..], &[7001][..]));
        assert_eq!(claim.disks, ["/dev/vg/web"]);

        let new = "resource \"db\" {
            on \"h1\" { node-id 0; volume 0 { device minor 1001; disk \"/dev/vg/db\"; meta-disk internal; } }
            on \"h2\" { node-id 1; volume 0 { device minor 1001; disk \"/dev/vg/other\"; } }
            connection { host \"h1\" address ipv4 10.0.0.1:7005; host \"h2\" address ipv4 10.0.0.2:7006; } }";
        let claim = &in_text(new, "f", "h1")[0];
        assert_eq!(claim.resource, "db");
        assert_eq!((claim.minors.as_slice(), claim.ports.as_slice()), (&[1001][..], &[7005][..]));
        assert_eq!(claim.disks, ["/dev/vg/db"]);
        assert_eq!(claim.volumes[&0], (Some(1001), Some("/dev/vg/db".to_owned())));
        assert_eq!(peers(new, "h1"), ["h2"]);
    }

    #[test]
    fn a_broken_file_claims_nothing() {
        assert_eq!(in_text("resource x { on h1 {", "f", "h1"), []);
    }
}
