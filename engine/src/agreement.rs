// SPDX-License-Identifier: MPL-2.0
//! Do the hosts agree on what a resource is? Pure, from the evidence of all of them.
//!
//! Each host is configured by itself, so one that was given another declaration is as content as the others; the two
//! then never connect, or connect as something else, and DRBD says so only in the kernel log. The file that is written
//! is the same on every node, which makes a difference visible.

use crate::refusal::Refusal;
use crate::tools::conf_text::{self, Item, Section};
use drbd_schemas::Resource;
use drbd_schemas::facts::{HostFacts, OptionFacts, ResourceFacts};
use drbd_schemas::reply::Code;
use std::collections::{BTreeMap, BTreeSet};

/// So many differences are told; the rest is counted.
const SHOWN: usize = 6;

/// Everything in which the hosts disagree about a resource, one sentence each; empty when they agree.
pub fn disagreements(name: &str, evidence: &[HostFacts]) -> Vec<String> {
    let mut found = namesakes(name, evidence);
    found.extend(node_ids_in_use(name, evidence));
    found.extend(declarations(name, evidence));
    found.extend(inherited_as_found(name, evidence));
    found
}

/// What the resource itself inherits on each host, as its facts say, against the first host's.
fn inherited_as_found(name: &str, evidence: &[HostFacts]) -> Vec<String> {
    let mut hosts = evidence.iter().filter(|host| host.common.is_some()).filter_map(|host| {
        let facts = host.resources.get(name).filter(|facts| facts.config.is_some())?;
        let inherited = facts.options.iter().filter(|option| option.inherited);
        Some((host, inherited.filter_map(|option| Some((shared_key(option)?, option))).collect()))
    });
    let Some((first, expected)) = hosts.next() else { return Vec::new() };
    hosts.flat_map(|(host, found)| differences((&first.node, &expected), (&host.node, &found))).collect()
}

/// Refuses when the hosts disagree.
///
/// # Errors
/// A refusal that names what differs on which hosts.
pub fn check(name: &str, evidence: &[HostFacts]) -> Result<(), Refusal> {
    refuse(name, &disagreements(name, evidence))
}

/// Refuses when another host's configuration gives a node another node-id than this declaration, or runs with one that
/// the declaration gives to somebody else. Unlike options, which hosts take over one after the other, a node-id never
/// changes.
///
/// # Errors
/// A refusal that names both.
pub fn check_node_ids(resource: &Resource, evidence: &[HostFacts]) -> Result<(), Refusal> {
    let name = resource.name().as_str();
    let mut found = Vec::new();
    for host in evidence {
        let Some(facts) = host.resources.get(name) else { continue };
        let configured = statements(facts);
        for (node, declared) in &resource.nodes {
            let there = configured.get(&format!("on {node} / node-id"));
            if let Some(there) = there.filter(|there| **there != declared.node_id.to_string()) {
                found.push(format!(
                    "{node} is declared with node-id {}, on {} it is configured with {there}",
                    declared.node_id, host.node
                ));
            }
        }
        let running = facts.running.as_ref().and_then(|running| running.node_id);
        let declared = resource.nodes.get(host.node.as_str()).map(|node| node.node_id.get());
        if let (Some(running), Some(declared)) = (running, declared)
            && running != declared
        {
            found.push(format!("{} is declared with node-id {declared} and runs as {running}", host.node));
        }
    }
    refuse(name, &found)
}

/// Refuses when the hosts of a resource inherit different options from their `common` sections: each would set the
/// connection its own way, and the two would not connect again after the next `down`. What the declaration names it
/// does not inherit; handlers and the like are a host's own business.
///
/// # Errors
/// A refusal that names file and line on each side.
pub fn check_inherited(
    resource: &Resource,
    node: &str,
    own: &[OptionFacts],
    evidence: &[HostFacts],
) -> Result<(), Refusal> {
    refuse_inherited(resource.name().as_str(), &inherited_differences(resource, node, own, evidence))
}

/// The same of the hosts of the evidence alone.
///
/// # Errors
/// A refusal that names file and line on each side.
pub fn check_inherited_of(resource: &Resource, evidence: &[HostFacts]) -> Result<(), Refusal> {
    let mut declared = evidence.iter().filter(|host| resource.nodes.contains_key(host.node.as_str()));
    let first = declared.find_map(|host| Some((host, host.common.as_ref()?)));
    let Some((host, common)) = first else { return Ok(()) };
    check_inherited(resource, &host.node, common, evidence)
}

type Inherited<'a> = BTreeMap<(&'a str, &'a str), &'a OptionFacts>;

fn refuse_inherited(name: &str, found: &[String]) -> Result<(), Refusal> {
    if found.is_empty() {
        return Ok(());
    }
    let message =
        format!("the hosts of {name} inherit different options: {}. Nothing was changed.", found.join("; "));
    Err(Refusal::new(Code::Disagreement, message)
        .next("Make the sections `common` of the hosts say the same, or name the option in the declaration: what it names wins everywhere."))
}

fn inherited_differences(
    resource: &Resource,
    node: &str,
    own: &[OptionFacts],
    evidence: &[HostFacts],
) -> Vec<String> {
    let own = inherited(resource, own);
    let others =
        evidence.iter().filter(|host| host.node != node && resource.nodes.contains_key(host.node.as_str()));
    others
        .filter_map(|host| Some((host, host.common.as_ref()?)))
        .flat_map(|(host, common)| differences((node, &own), (&host.node, &inherited(resource, common))))
        .collect()
}

fn differences((node, own): (&str, &Inherited<'_>), (other, theirs): (&str, &Inherited<'_>)) -> Vec<String> {
    let told = |option: Option<&&OptionFacts>| match option {
        Some(option) => format!("{} ({})", option.value, option.from),
        None => "not set".to_owned(),
    };
    let mut found = Vec::new();
    for key in own.keys().chain(theirs.keys()).collect::<BTreeSet<_>>() {
        let (a, b) = (own.get(key), theirs.get(key));
        if a.map(|option| &option.value) != b.map(|option| &option.value) {
            let (section, name) = key;
            found.push(format!("{section}.{name} is {} on {node} and {} on {other}", told(a), told(b)));
        }
    }
    found
}

/// What a resource takes from `common` among the options that its hosts must share, by section and name.
pub(crate) fn inherited<'a>(resource: &Resource, common: &'a [OptionFacts]) -> Inherited<'a> {
    let shared = common.iter().filter_map(|option| {
        let key = shared_key(option)?;
        let named = match key.0 {
            "options" => resource.options.get(key.1).is_some(),
            "net" => resource.net.get(key.1).is_some() || sets_authentication(resource, key.1),
            _ => resource.disk_option_of_all(key.1).is_some(),
        };
        (!named).then_some((key, option))
    });
    shared.collect()
}

/// Section and name of an option that all hosts of a resource must share, as a declaration names it. Handlers, waiting at
/// start-up and the like are a host's own business.
fn shared_key(option: &OptionFacts) -> Option<(&str, &str)> {
    match (option.section.as_str(), option.name.as_str()) {
        // An option of the disk in DRBD 8.4, of the network in 9 and in a declaration.
        ("disk", "fencing") => Some(("net", "fencing")),
        (section @ ("options" | "net" | "disk"), name) => Some((section, name)),
        _ => None,
    }
}

fn sets_authentication(resource: &Resource, name: &str) -> bool {
    resource.shared_secret.is_some() && ["shared-secret", "cram-hmac-alg"].contains(&name)
}

fn refuse(name: &str, found: &[String]) -> Result<(), Refusal> {
    if found.is_empty() {
        return Ok(());
    }
    let more = found.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    let shown: Vec<&str> = found.iter().take(SHOWN).map(String::as_str).collect();
    let message = format!("the hosts disagree about {name}: {}{more}.", shown.join("; "));
    Err(Refusal::new(Code::Disagreement, message)
        .next("Give every host the same declaration (one document for all of them), and converge them again.")
        .next("Then take the facts of all hosts anew."))
}

/// Two hosts of one name: `uname -n` decides which part of a declaration a host takes, so both take the same.
fn namesakes(name: &str, evidence: &[HostFacts]) -> Vec<String> {
    let mut by_name: BTreeMap<&str, BTreeSet<Vec<String>>> = BTreeMap::new();
    for host in evidence {
        // Whatever is never the same on two hosts; the facts of one host may be there twice.
        let volumes = host.resources.get(name).into_iter().flat_map(|facts| facts.volumes.values());
        let devices = volumes.filter_map(|volume| volume.backing.as_ref()?.identity.clone());
        let unique: Vec<String> = devices.filter(|identity| !identity.starts_with("dev:")).collect();
        by_name.entry(&host.node).or_default().insert(unique);
    }
    let twice = by_name.into_iter().filter(|(_, devices)| devices.len() > 1);
    twice
        .map(|(node, devices)| {
            format!("{} hosts are called {node} (uname -n), with different backing devices", devices.len())
        })
        .collect()
}

fn node_ids_in_use(name: &str, evidence: &[HostFacts]) -> Vec<String> {
    let mut by_id: BTreeMap<u8, BTreeSet<&str>> = BTreeMap::new();
    for host in evidence {
        let running = host.resources.get(name).and_then(|facts| facts.running.as_ref());
        if let Some(id) = running.and_then(|running| running.node_id) {
            by_id.entry(id).or_default().insert(&host.node);
        }
    }
    let twice = by_id.into_iter().filter(|(_, hosts)| hosts.len() > 1);
    twice
        .map(|(id, hosts)| {
            let hosts: Vec<&str> = hosts.into_iter().collect();
            format!("{} run as node-id {id}, which belongs to one node", hosts.join(" and "))
        })
        .collect()
}

/// Compares each host's file with the first one's. Files of different families of DRBD are written differently for the
/// same declaration, and files of other hands are their business.
fn declarations(name: &str, evidence: &[HostFacts]) -> Vec<String> {
    let mut files = evidence.iter().filter_map(|host| {
        let facts = host.resources.get(name)?;
        facts.config.as_ref().filter(|config| config.ours)?;
        Some((host, statements(facts)))
    });
    let Some((first, expected)) = files.next() else { return Vec::new() };
    let mut found = Vec::new();
    for (host, statements) in files.filter(|(host, _)| host.drbd.family() == first.drbd.family()) {
        let keys: BTreeSet<&String> = expected.keys().chain(statements.keys()).collect();
        for key in keys {
            let (a, b) = (expected.get(key), statements.get(key));
            if a != b && !both_name_a_device(key, a, b) {
                let word = |value: Option<&String>| match value {
                    None => "not there".to_owned(),
                    Some(value) if value.is_empty() => "there".to_owned(),
                    Some(value) => value.clone(),
                };
                found.push(format!(
                    "{key} is {} on {} and {} on {}",
                    word(a),
                    first.node,
                    word(b),
                    host.node
                ));
            }
        }
    }
    found
}

/// What a host calls its own device is its own affair: each keeps the name that the device has there already.
fn both_name_a_device(key: &str, a: Option<&String>, b: Option<&String>) -> bool {
    let path = |value: Option<&String>| value.is_some_and(|value| value.starts_with('/'));
    key.ends_with(" / disk") && path(a) && path(b)
}

/// A file's statements, by where they stand.
fn statements(facts: &ResourceFacts) -> BTreeMap<String, String> {
    let text = facts.config.as_ref().map(|config| config.text.as_str()).unwrap_or_default();
    let mut found = BTreeMap::new();
    for item in conf_text::parse(text).unwrap_or_default() {
        if let Item::Section(resource) = item {
            flatten(&resource, "", &mut found);
        }
    }
    found
}

fn flatten(section: &Section, at: &str, found: &mut BTreeMap<String, String>) {
    for statement in section.statements() {
        let words: Vec<&str> = statement.words.iter().map(|word| word.text.as_str()).collect();
        // `host h1 address …` says whose address it is in its first two words.
        let key_words = if words.first() == Some(&"host") { 2 } else { 1 };
        let (key, value) = words.split_at(key_words.min(words.len()));
        found.insert(format!("{at}{}", key.join(" ")), value.join(" "));
    }
    for (i, inner) in section.sections().enumerate() {
        let words: Vec<&str> = inner.words.iter().map(|word| word.text.as_str()).collect();
        // Connections and paths have no name: they are told apart by their place.
        let nameless = matches!(inner.keyword(), "connection" | "path");
        let name = if nameless { format!("{} {i}", words.join(" ")) } else { words.join(" ") };
        flatten(inner, &format!("{at}{name} / "), found);
    }
}

/// The host that sees its connection to `node` as StandAlone: it has given up on it, which `node` itself cannot see.
pub fn given_up_by<'a>(name: &str, node: &str, evidence: &'a [HostFacts]) -> Option<&'a str> {
    let gave_up = |host: &&HostFacts| {
        let running = host.resources.get(name).and_then(|facts| facts.running.as_ref());
        let connection = running.and_then(|running| running.connections.get(node));
        host.node != node && connection.is_some_and(|connection| connection.connection == "StandAlone")
    };
    evidence.iter().find(gave_up).map(|host| host.node.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::res_file::{self, Secrets};
    use drbd_schemas::facts::{
        BackingFacts, ConfigFacts, ConnectionFacts, DrbdFacts, RunningFacts, VolumeFacts,
    };
    use drbd_schemas::{Declaration, Family, Verdict};
    use serde_json::{Value, json};

    fn declared() -> Value {
        let storage = json!({ "lvm": { "volume_group": "vg0" } });
        json!({
            "name": "r0", "port": 7000, "net": { "protocol": "C" }, "shared_secret": "hunter22",
            "nodes": { "h1": { "node_id": 0, "address": "10.0.0.1", "storage": storage },
                       "h2": { "node_id": 1, "address": "10.0.0.2", "storage": storage },
                       "h3": { "node_id": 2, "address": "10.0.0.3", "storage": storage } },
            "volumes": { "0": { "minor": 1000, "size": "64MiB" } },
        })
    }

    fn resource(value: &Value) -> Resource {
        Resource::try_from(serde_json::from_value::<Declaration>(value.clone()).unwrap()).unwrap()
    }

    fn facts(node: &str, value: &Value, family: Family) -> HostFacts {
        let resource = resource(value);
        let module = match family {
            Family::V84 => "8.4.11",
            Family::V9 => "9.2.18",
        };
        let text = res_file::masked(&res_file::render(&resource, family, Secrets::Written));
        let backing = BackingFacts {
            path: "/dev/vg0/r0_00000".into(),
            identity: Some(format!("lv:{node}")),
            size_bytes: None,
            verdict: Verdict::Ours,
            just_created: None,
            blank_proof: None,
        };
        let own = ResourceFacts {
            config: Some(ConfigFacts { path: String::new(), ours: true, text }),
            running: Some(RunningFacts {
                node_id: (family == Family::V9).then(|| resource.nodes[node].node_id.get()),
                ..RunningFacts::default()
            }),
            volumes: [("0".to_owned(), VolumeFacts { backing: Some(backing), ..VolumeFacts::default() })]
                .into(),
            health: Vec::new(),
            options: Vec::new(),
            pending: Vec::new(),
        };
        HostFacts {
            schema: String::new(),
            node: node.into(),
            kernel: String::new(),
            drbd: DrbdFacts { module: Some(module.into()), ..DrbdFacts::default() },
            config_error: None,
            resources: [("r0".to_owned(), own)].into(),
            common: None,
            volume_groups: BTreeMap::new(),
            ports_in_use: Vec::new(),
            minors_in_use: Vec::new(),
            drbd_host: String::new(),
        }
    }

    fn found(one: &Value, other: &Value, family: Family) -> String {
        disagreements("r0", &[facts("h1", one, family), facts("h2", other, family)]).join("\n")
    }

    #[test]
    fn the_same_declaration_is_agreement_also_between_families_and_given_twice() {
        let all = [
            facts("h1", &declared(), Family::V9),
            facts("h2", &declared(), Family::V9),
            facts("h2", &declared(), Family::V9),
        ];
        assert_eq!(disagreements("r0", &all), [""; 0]);
        let mut two = declared();
        two["nodes"].as_object_mut().unwrap().remove("h3");
        let mixed = [facts("h1", &two, Family::V9), facts("h2", &two, Family::V84)];
        assert_eq!(disagreements("r0", &mixed), [""; 0]);
        assert_eq!(disagreements("r1", &all), [""; 0]);
    }

    #[test]
    fn two_hosts_that_claim_one_node_id_are_named() {
        let mut other = declared();
        other["nodes"]["h1"]["node_id"] = json!(1);
        other["nodes"]["h2"]["node_id"] = json!(0);
        let text = found(&declared(), &other, Family::V9);
        assert!(text.contains("h1 and h2 run as node-id 0"), "{text}");
        assert!(text.contains("on h1 / node-id is 0 on h1 and 1 on h2"), "{text}");
        let refusal = check_node_ids(&resource(&declared()), &[facts("h2", &other, Family::V9)]).unwrap_err();
        assert_eq!(refusal.code, Code::Disagreement);
        assert!(refusal.message.contains("h2 is declared with node-id 1 and runs as 0"), "{refusal}");
        assert!(check_node_ids(&resource(&declared()), &[facts("h2", &declared(), Family::V9)]).is_ok());
    }

    #[test]
    fn different_declarations_are_told_by_what_differs() {
        for family in [Family::V9, Family::V84] {
            let mut base = declared();
            base["nodes"].as_object_mut().unwrap().remove("h3");
            let mut other = base.clone();
            other["nodes"]["h2"]["address"] = json!("10.0.0.9");
            other["net"]["protocol"] = json!("A");
            other["volumes"]["0"]["minor"] = json!(1001);
            let text = found(&base, &other, family);
            assert!(text.contains("net / protocol is C on h1 and A on h2"), "{text}");
            assert!(text.contains("10.0.0.2:7000 on h1") && text.contains("10.0.0.9:7000 on h2"), "{text}");
            assert!(
                text.contains("on h1 / volume 0 / device is minor 1000 on h1 and minor 1001 on h2"),
                "{text}"
            );
            assert!(!text.contains("hunter22"), "{text}");
        }
        let mut fewer = declared();
        fewer["nodes"].as_object_mut().unwrap().remove("h3");
        let text = found(&declared(), &fewer, Family::V9);
        assert!(text.contains("on h3 / node-id is 2 on h1 and not there on h2"), "{text}");
        // Options are taken over one host after the other: they are no reason to refuse converging.
        assert!(check_node_ids(&resource(&declared()), &[facts("h2", &fewer, Family::V9)]).is_ok());
    }

    #[test]
    fn two_hosts_of_one_name_are_told() {
        let (mut one, other) = (facts("h1", &declared(), Family::V9), facts("h1", &declared(), Family::V9));
        let own = one.resources.get_mut("r0").unwrap().volumes.get_mut("0").unwrap();
        own.backing.as_mut().unwrap().identity = Some("lv:another".into());
        let text = disagreements("r0", &[one, other]).join("\n");
        assert!(text.contains("2 hosts are called h1"), "{text}");
    }

    #[test]
    fn the_side_that_gave_up_is_found_from_the_other() {
        let mut one = facts("h1", &declared(), Family::V9);
        let alone = ConnectionFacts { connection: "StandAlone".into(), ..ConnectionFacts::default() };
        one.resources.get_mut("r0").unwrap().running.as_mut().unwrap().connections.insert("h2".into(), alone);
        let all = [one, facts("h2", &declared(), Family::V9)];
        assert_eq!(given_up_by("r0", "h2", &all), Some("h1"));
        assert_eq!(given_up_by("r0", "h1", &all), None);
    }
}
