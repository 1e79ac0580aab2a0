// SPDX-License-Identifier: MPL-2.0
//! Reads `drbdsetup show`: the configuration that the kernel runs with, in either family's grammar. Not here: the
//! syntax (see `conf_text`), and comparing it with a declaration. `show --json` is not used: 8.4 has none, and
//! before drbd-utils 9.29 it repeats the key `path` for a connection with two paths.

use std::str::FromStr;

use crate::tools::ToolError;
use crate::tools::conf_text::{self, Item, Section, Statement};
use crate::tools::drbdsetup::PROGRAM;
use crate::tools::error::quote;

const WHAT: &str = "show";

/// A resource as the kernel runs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningResource {
    /// Name of the resource.
    pub name: String,
    /// Own node-id; `None` on DRBD 8.4.
    pub node_id: Option<u8>,
    /// Section `options`; on an unconnected DRBD 8.4 resource also what is left of `net`.
    pub options: Vec<ConfOption>,
    /// Volumes in the order printed.
    pub volumes: Vec<RunningVolume>,
    /// Connections in the order printed. DRBD 8.4: one while an address pair is configured, else none.
    pub connections: Vec<RunningConnection>,
}

/// One option that differs from its default (`show` leaves defaults out), values in DRBD's normalised units
/// (`1M` comes back as `2048s`); a secret's value is masked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfOption {
    /// Section it stands in: `options`, `net` or `disk`.
    pub section: String,
    /// Name of the option.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// One volume as the kernel runs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningVolume {
    /// Volume number.
    pub volume: u16,
    /// Minor number.
    pub minor: u32,
    /// Its backing disk.
    pub disk: RunningDisk,
    /// Section `disk`.
    pub options: Vec<ConfOption>,
}

/// Where a volume keeps its data on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunningDisk {
    /// A backing device is attached.
    Attached {
        /// Path of the device, spelled as it was attached.
        device: String,
        /// Where its metadata is.
        meta_disk: MetaDisk,
    },
    /// Diskless on purpose (`disk none`, DRBD 9).
    Client,
    /// No backing device, though one may be configured.
    Detached,
}

/// Where DRBD's metadata is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetaDisk {
    /// At the end of the backing device.
    Internal,
    /// On a device of its own.
    External {
        /// Path of that device.
        device: String,
        /// Fixed-size slot on it, for `meta-disk DEVICE [N]`.
        index: Option<u32>,
    },
}

/// The connection to one peer as the kernel runs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningConnection {
    /// The peer's node-id; `None` on DRBD 8.4.
    pub peer_node_id: Option<u8>,
    /// The peer's host name (`_name`); `None` on DRBD 8.4.
    pub name: Option<String>,
    /// Address pairs.
    pub paths: Vec<RunningPath>,
    /// Section `net`, without `_name`.
    pub options: Vec<ConfOption>,
    /// Options that hold for one volume on this connection, e.g. `c-max-rate` on DRBD 9.
    pub peer_volumes: Vec<RunningPeerVolume>,
    /// Whether `show` says that the connection is StandAlone.
    pub standalone: bool,
}

/// An address pair, each as printed: `ipv4 192.0.2.1:7788`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningPath {
    /// Own address.
    pub local: String,
    /// The peer's address.
    pub remote: String,
}

/// Options of one volume on one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningPeerVolume {
    /// Volume number.
    pub volume: u16,
    /// Section `disk`.
    pub options: Vec<ConfOption>,
}

/// All resources of the text; a comment alone (`# No currently configured DRBD found.`) is an empty list.
pub(super) fn parse(text: &str) -> Result<Vec<RunningResource>, ToolError> {
    let items = conf_text::parse(text).map_err(|reason| {
        let line = text.lines().nth(reason.line.saturating_sub(1)).unwrap_or_default();
        ToolError::malformed(PROGRAM, WHAT, &reason.to_string(), line)
    })?;
    items.iter().map(resource).collect()
}

fn resource(item: &Item) -> Result<RunningResource, ToolError> {
    let section = match item {
        Item::Section(section) if section.keyword() == "resource" => section,
        Item::Section(other) => return Err(unexpected("sections `resource`", other.keyword())),
        Item::Statement(other) => return Err(unexpected("sections `resource`", other.keyword())),
    };
    let name = section.name().ok_or_else(|| unexpected("the name of a resource", "resource"))?.to_owned();
    let this_host = section
        .section("_this_host")
        .ok_or_else(|| ToolError::missing(PROGRAM, "resource", "_this_host", &name))?;
    let mut options = options_of(section, "options");
    let mut connections = Vec::new();
    for found in section.sections().filter(|found| found.keyword() == "connection") {
        connections.push(connection(found)?);
    }
    match section.section("_remote_host") {
        Some(remote_host) => connections.push(connection_84(section, this_host, remote_host)?),
        None => options.extend(options_of(section, "net")),
    }
    let node_id = this_host.statement("node-id").map(|found| number(found, "node-id")).transpose()?;
    let mut volumes = Vec::new();
    for found in this_host.sections().filter(|found| found.keyword() == "volume") {
        volumes.push(volume(found)?);
    }
    Ok(RunningResource { name, node_id, options, volumes, connections })
}

fn volume(section: &Section) -> Result<RunningVolume, ToolError> {
    let device = need(section, "volume", "device")?;
    let [keyword, minor] = device.values() else {
        return Err(ToolError::malformed(PROGRAM, WHAT, "`device minor N`", &device.value_text()));
    };
    if keyword.text != "minor" {
        return Err(ToolError::malformed(PROGRAM, WHAT, "`device minor N`", &device.value_text()));
    }
    Ok(RunningVolume {
        volume: volume_number(section)?,
        minor: parse_number("minor", &minor.text)?,
        disk: disk(section)?,
        options: options_of(section, "disk"),
    })
}

fn disk(section: &Section) -> Result<RunningDisk, ToolError> {
    let Some(statement) = section.statement("disk") else { return Ok(RunningDisk::Detached) };
    match statement.values() {
        [word] if !word.quoted && word.text == "none" => Ok(RunningDisk::Client),
        [word] => Ok(RunningDisk::Attached { device: word.text.clone(), meta_disk: meta_disk(section)? }),
        _ => Err(ToolError::malformed(PROGRAM, WHAT, "`disk DEVICE`", &statement.value_text())),
    }
}

fn meta_disk(section: &Section) -> Result<MetaDisk, ToolError> {
    let statement = section
        .statement("meta-disk")
        .or_else(|| section.statement("flexible-meta-disk"))
        .ok_or_else(|| ToolError::missing(PROGRAM, "volume", "meta-disk", &section_line(section)))?;
    let texts: Vec<&str> = statement.values().iter().map(|word| word.text.as_str()).collect();
    let quoted = statement.values().first().is_some_and(|word| word.quoted);
    match texts.as_slice() {
        ["internal"] if !quoted => Ok(MetaDisk::Internal),
        [device] => Ok(MetaDisk::External { device: (*device).to_owned(), index: None }),
        [device, "[", index, "]"] => {
            let index = Some(parse_number("meta-disk index", index)?);
            Ok(MetaDisk::External { device: (*device).to_owned(), index })
        }
        _ => Err(ToolError::malformed(PROGRAM, WHAT, "`meta-disk DEVICE`", &statement.value_text())),
    }
}

fn connection(section: &Section) -> Result<RunningConnection, ToolError> {
    let peer_node_id = number(need(section, "connection", "_peer_node_id")?, "_peer_node_id")?;
    let mut options = options_of(section, "net");
    let name = options.iter().find(|option| option.name == "_name").map(|option| option.value.clone());
    options.retain(|option| option.name != "_name");
    let mut paths = Vec::new();
    for found in section.sections().filter(|found| found.keyword() == "path") {
        paths.push(RunningPath {
            local: need(found, "path", "_this_host")?.value_text(),
            remote: need(found, "path", "_remote_host")?.value_text(),
        });
    }
    let mut peer_volumes = Vec::new();
    for found in section.sections().filter(|found| found.keyword() == "volume") {
        peer_volumes
            .push(RunningPeerVolume { volume: volume_number(found)?, options: options_of(found, "disk") });
    }
    let standalone = section.statement("_is_standalone").is_some();
    Ok(RunningConnection { peer_node_id: Some(peer_node_id), name, paths, options, peer_volumes, standalone })
}

/// DRBD 8.4 has its only connection spread over the resource.
fn connection_84(
    resource: &Section,
    this_host: &Section,
    remote_host: &Section,
) -> Result<RunningConnection, ToolError> {
    let path = RunningPath {
        local: need(this_host, "_this_host", "address")?.value_text(),
        remote: need(remote_host, "_remote_host", "address")?.value_text(),
    };
    Ok(RunningConnection {
        peer_node_id: None,
        name: None,
        paths: vec![path],
        options: options_of(resource, "net"),
        peer_volumes: Vec::new(),
        standalone: false,
    })
}

/// The statements of every subsection `name` of `section`.
fn options_of(section: &Section, name: &str) -> Vec<ConfOption> {
    section
        .sections()
        .filter(|found| found.keyword() == name)
        .flat_map(Section::statements)
        .map(|statement| ConfOption {
            section: name.to_owned(),
            name: statement.keyword().to_owned(),
            value: statement.value_text(),
        })
        .collect()
}

fn need<'s>(section: &'s Section, what: &'static str, keyword: &str) -> Result<&'s Statement, ToolError> {
    section
        .statement(keyword)
        .ok_or_else(|| ToolError::missing(PROGRAM, what, keyword, &section_line(section)))
}

fn section_line(section: &Section) -> String {
    let words: Vec<&str> = section.words.iter().map(|word| word.text.as_str()).collect();
    format!("{} {{ (line {})", words.join(" "), section.line)
}

fn volume_number(section: &Section) -> Result<u16, ToolError> {
    parse_number("volume", section.name().unwrap_or_default())
}

fn number<T: FromStr>(statement: &Statement, what: &'static str) -> Result<T, ToolError> {
    parse_number(what, &statement.value_text())
}

fn parse_number<T: FromStr>(what: &'static str, text: &str) -> Result<T, ToolError> {
    text.parse().map_err(|_| ToolError::bad(PROGRAM, what, text, "a number", text))
}

fn unexpected(expected: &str, found: &str) -> ToolError {
    ToolError::malformed(PROGRAM, WHAT, expected, &quote(found))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_attached_a_client_and_a_detached_volume_are_told_apart() {
        let text = "resource \"r0\" { _this_host { node-id 1;
            volume 0 { device minor 10; disk \"/dev/vg0/r0\"; meta-disk \"/dev/vg0/md\" [ 3 ]; }
            volume 1 { device minor 11; disk none; }
            volume 2 { device minor 12; } } }";
        let resource = parse(text).unwrap().remove(0);
        let disks: Vec<_> = resource.volumes.into_iter().map(|volume| volume.disk).collect();
        let meta_disk = MetaDisk::External { device: "/dev/vg0/md".to_owned(), index: Some(3) };
        let attached = RunningDisk::Attached { device: "/dev/vg0/r0".to_owned(), meta_disk };
        assert_eq!(disks, [attached, RunningDisk::Client, RunningDisk::Detached]);
    }

    #[test]
    fn two_paths_and_volume_options_of_a_connection_are_read_and_the_secret_is_not() {
        let text = "resource \"r0\" { _this_host { node-id 0; } connection { _peer_node_id 1;
            path { _this_host ipv4 10.9.9.1:7788; _remote_host ipv4 10.9.9.2:7788; }
            path { _this_host ipv4 10.9.8.1:7788; _remote_host ipv4 10.9.8.2:7788; }
            _is_standalone;
            net { _name \"n2\"; shared-secret \"abc\"; }
            volume 0 { disk { c-max-rate 51200k; } } } }";
        let resource = parse(text).unwrap().remove(0);
        assert!(!format!("{resource:?}").contains("abc"));
        let connection = &resource.connections[0];
        assert_eq!(connection.paths.len(), 2);
        assert_eq!(connection.name.as_deref(), Some("n2"));
        assert!(connection.standalone);
        assert_eq!(connection.peer_volumes[0].options[0].value, "51200k");
    }

    #[test]
    fn a_missing_minor_is_named() {
        let error = parse("resource r0 { _this_host { volume 0 { } } }").unwrap_err().to_string();
        assert!(error.contains("volume has no `device`"), "{error}");
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_read(text in any::<String>()) {
            let _ = parse(&text);
        }

        #[test]
        fn any_mix_of_its_own_words_is_refused_or_read(
            words in proptest::collection::vec(
                "resource|_this_host|_remote_host|connection|volume|disk|net|device|minor|0|1|path|none|\\{|\\}|;",
                0..40,
            )
        ) {
            let _ = parse(&words.join(" "));
        }
    }
}
