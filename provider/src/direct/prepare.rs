// SPDX-License-Identifier: MPL-2.0
//! Before a volume is created: what is there of it already, and which numbers it gets.
//!
//! A creation never takes over a volume that may hold data and is in service: that is what an import is for. It does go
//! on with what an earlier creation left behind when it was killed, and it does take over storage that a destroy kept.

use std::collections::{BTreeMap, BTreeSet};

use drbd_schemas::facts::{HostFacts, ResourceFacts};
use drbd_schemas::{Minor, Port, ResourceName, Verdict};
use futures::future::join_all;
use tfplugin::{Diagnostic, Diagnostics, Path};

use super::crew::{collected, unless_stopped};
use super::found::Found;
use super::reservations::{Ask, NotGiven};
use crate::engine::{Members, Prepared, Run, Standing, Wanted};
use crate::provider::Configured;

/// Looks at all nodes and gives out numbers.
pub(super) async fn prepare(
    configured: &Configured,
    name: &ResourceName,
    members: &Members,
    wanted: Wanted,
    run: Run<'_>,
) -> Result<Prepared, Diagnostics> {
    let mut looks = Vec::new();
    for (node, ssh) in members {
        let host = configured.host(ssh)?;
        looks.push(async move {
            let facts = host.fresh_facts(&[name.as_str()]).await;
            let facts =
                facts.map_err(|trouble| trouble.diagnostic(node.as_str(), &host, "take the facts"))?;
            called(node.as_str(), &facts)?;
            Ok((node.to_string(), facts))
        });
    }
    let looks = async { collected(join_all(looks).await) };
    let facts: BTreeMap<String, HostFacts> = unless_stopped(run, looks).await?.into_iter().collect();
    let standing = standing(name.as_str(), members, &facts)?;
    let reservation = configured.reservations().reserve(&ask(name.as_str(), wanted, &facts)?);
    let reservation = reservation.map_err(|error| not_given(name.as_str(), wanted, &error))?;
    let bug = |what: &str| {
        Diagnostic::error("Number out of range", format!("the {what} that was given out is not valid"))
    };
    Ok(Prepared {
        port: Port::new(reservation.port().into()).map_err(|_| bug("port"))?,
        minor: Minor::new(reservation.minor().into()).map_err(|_| bug("minor"))?,
        standing,
        is_up: facts.values().any(|facts| is_up(name.as_str(), facts)),
        reservation,
    })
}

/// The host at a node's address is the node.
pub(super) fn called(node: &str, facts: &HostFacts) -> Result<(), Diagnostic> {
    if facts.node == node {
        return Ok(());
    }
    let detail = format!(
        "The host that is configured for node {node} calls itself {:?} (uname -n). Nothing was touched there. Check the node's ssh.host.",
        facts.node
    );
    Err(Diagnostic::error(format!("Host of {node} has another name"), detail))
}

/// What is there of the volume.
fn standing(
    name: &str,
    members: &Members,
    facts: &BTreeMap<String, HostFacts>,
) -> Result<Standing, Diagnostic> {
    let mut in_service = Vec::new();
    let mut with_data = BTreeSet::new();
    for (node, facts) in facts {
        let Some(resource) = facts.resources.get(name) else { continue };
        if let Some(config) = resource.config.as_ref().filter(|config| !config.ours) {
            let detail = format!(
                "On {node}, {} describes a resource {name}, and was not written by this project. Nothing was touched. Give the volume \
                 another name, or remove that resource with the tool that made it.",
                config.path
            );
            return Err(Diagnostic::error("Name is already taken", detail).at(Path::of("name")));
        }
        if resource.config.is_some() || resource.running.is_some() {
            in_service.push(node.as_str());
        }
        if may_hold_data(resource) {
            with_data.insert(node.clone());
        }
    }
    if with_data.is_empty() {
        return Ok(Standing::New);
    }
    if in_service.is_empty() {
        return Ok(Standing::Retained(with_data));
    }
    let hosts: Vec<&str> = members.values().filter_map(|ssh| ssh.host.as_deref()).collect();
    let detail = format!(
        "A replicated volume {name} exists on {} and may hold data. Nothing was touched. To manage it here, import it: terraform import \
         <address of this resource> '{name}@{}'. Else give the new volume another name, or destroy the existing one first.",
        in_service.join(", "),
        hosts.join(",")
    );
    Err(Diagnostic::error("Volume exists already", detail).at(Path::of("name")))
}

fn is_up(name: &str, facts: &HostFacts) -> bool {
    facts.resources.get(name).is_some_and(|resource| resource.running.is_some())
}

/// Anything but metadata that were made and never used.
fn may_hold_data(resource: &ResourceFacts) -> bool {
    resource.volumes.values().filter_map(|volume| volume.backing.as_ref()).any(|backing| {
        match backing.verdict {
            Verdict::Absent | Verdict::Blank => false,
            Verdict::Ours => backing.just_created != Some(true),
            Verdict::Foreign { .. } | Verdict::Unreadable { .. } => false,
        }
    })
}

/// The numbers that are in use, and those that an earlier, unfinished creation of this volume wrote down.
fn ask(name: &str, wanted: Wanted, facts: &BTreeMap<String, HostFacts>) -> Result<Ask, Diagnostic> {
    let own: Vec<Found> = facts.values().filter_map(|facts| Found::read(name, facts).ok()).collect();
    let own_ports: BTreeSet<u32> = own.iter().filter_map(|found| found.port).collect();
    let own_minors: BTreeSet<u32> = own.iter().filter_map(|found| found.minor).collect();
    let mut ports_in_use = BTreeSet::new();
    let mut minors_in_use = BTreeSet::new();
    for (node, facts) in facts {
        let ports: BTreeSet<u32> = facts.ports_in_use.iter().copied().map(u32::from).collect();
        let minors: BTreeSet<u32> = facts.minors_in_use.iter().copied().collect();
        let (ports, minors) = (&ports - &own_ports, &minors - &own_minors);
        if let Some(port) = wanted.port.filter(|port| ports.contains(&port.get().into())) {
            return Err(taken("port", &format!("TCP port {port}"), node));
        }
        if let Some(minor) = wanted.minor.filter(|minor| minors.contains(&minor.get())) {
            return Err(taken("minor", &format!("minor {minor}"), node));
        }
        ports_in_use.extend(ports);
        minors_in_use.extend(minors);
    }
    Ok(Ask {
        port: wanted.port.map(|port| port.get().into()).or_else(|| own_ports.first().copied()),
        minor: wanted.minor.map(Minor::get).or_else(|| own_minors.first().copied()),
        ports_in_use,
        minors_in_use,
    })
}

fn taken(attribute: &str, what: &str, node: &str) -> Diagnostic {
    let detail = format!(
        "{what} belongs to another resource on {node}. Nothing was touched. Choose another one, or leave {attribute} out: then the \
         lowest number that is free on all hosts is taken."
    );
    Diagnostic::error("Number is already taken", detail).at(Path::of(attribute))
}

fn not_given(name: &str, wanted: Wanted, error: &NotGiven) -> Diagnostic {
    let (attribute, number) = match error {
        NotGiven::Port => ("port", wanted.port.map(|port| port.to_string())),
        NotGiven::Minor => ("minor", wanted.minor.map(|minor| minor.to_string())),
        NotGiven::Exhausted(_) => ("name", None),
    };
    let number = number.map(|number| format!(" {attribute} {number}:")).unwrap_or_default();
    let detail = format!("Cannot give numbers to {name}:{number} {error}. Nothing was touched.");
    Diagnostic::error("Number is already taken", detail).at(Path::of(attribute))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh_settings::SshSettings;
    use drbd_schemas::NodeName;
    use serde_json::{Value, json};

    fn facts(resources: Value) -> BTreeMap<String, HostFacts> {
        let facts = serde_json::from_value(json!({
            "schema": "drbd-host/facts/1", "node": "h1", "kernel": "6", "drbd": {}, "volume_groups": {}, "resources": resources,
            "ports_in_use": [7000, 7001], "minors_in_use": [1000], "drbd_host": "0.1.0",
        }));
        BTreeMap::from([("h1".to_owned(), facts.unwrap())])
    }

    fn resource(just_created: Option<bool>, ours: Option<bool>) -> Value {
        let text = "resource \"r0\" { on \"h1\" { address ipv4 10.0.0.1:7001; volume 0 { device minor 1000; disk \"/dev/vg0/r0_00000\"; } } }";
        let backing = json!({
            "path": "/dev/vg0/r0_00000", "identity": null, "size_bytes": 1, "verdict": { "is": "ours" },
            "just_created": just_created, "blank_proof": null,
        });
        json!({ "r0": {
            "config": ours.map(|ours| json!({ "path": "/etc/drbd.d/r0.res", "ours": ours, "text": text })),
            "running": null, "pending": [],
            "volumes": { "0": {
                "minor": 1000, "disk": null, "size_bytes": null, "open": null, "quorum": null, "backing": backing,
            } },
        } })
    }

    fn check(resources: Value) -> Result<Standing, Diagnostic> {
        let members = Members::from([(NodeName::new("h1").unwrap(), SshSettings::of_host("10.0.0.1"))]);
        standing("r0", &members, &facts(resources))
    }

    #[test]
    fn nothing_there_is_new() {
        assert_eq!(check(json!({})).unwrap(), Standing::New);
    }

    #[test]
    fn a_creation_that_was_cut_short_goes_on_with_its_numbers() {
        assert_eq!(check(resource(Some(true), Some(true))).unwrap(), Standing::New);
        let ask = ask("r0", Wanted::default(), &facts(resource(Some(true), Some(true)))).unwrap();
        assert_eq!((ask.port, ask.minor), (Some(7001), Some(1000)));
    }

    #[test]
    fn a_volume_in_service_is_to_be_imported() {
        for just_created in [Some(false), None] {
            let detail = check(resource(just_created, Some(true))).unwrap_err().detail;
            assert!(detail.contains("'r0@10.0.0.1'"), "{detail}");
        }
    }

    #[test]
    fn storage_that_was_kept_is_taken_over() {
        assert_eq!(
            check(resource(Some(false), None)).unwrap(),
            Standing::Retained(BTreeSet::from(["h1".into()]))
        );
    }

    #[test]
    fn a_file_of_somebody_else_is_never_taken_over() {
        assert_eq!(check(resource(None, Some(false))).unwrap_err().summary, "Name is already taken");
    }

    #[test]
    fn wanted_numbers_must_be_free() {
        let wanted = |port, minor| Wanted { port: Port::new(port).ok(), minor: Minor::new(minor).ok() };
        let at = |wanted| ask("r0", wanted, &facts(json!({}))).err().and_then(|e| e.path);
        assert_eq!(at(wanted(7000, 5)), Some(Path::of("port")));
        assert_eq!(at(wanted(7009, 1000)), Some(Path::of("minor")));
        assert_eq!(at(wanted(7009, 5)), None);
    }
}
