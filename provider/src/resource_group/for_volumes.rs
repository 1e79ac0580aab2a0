// SPDX-License-Identifier: MPL-2.0
//! What a volume holds of its group: `name` and `for_volumes`, a map of short texts. Writing it; `model.rs` reads it. Pure.
//!
//! A volume is in the state once, its group in every one of its volumes, so this is small. An unchanged group is not visited
//! during an apply, so this is all that a volume needs to act. The key `*` has what concerns the group as a whole, as JSON. Every
//! other key is the name of a node, and its text is three parts:
//!
//! ```text
//! ADDRESS [VG[/THINPOOL]] [devices.VOLUME=PATH] [labels.NAME=VALUE] [pools=NAME] ; [HOST] [login words] ; [8.4 | 9]
//! ```
//!
//! * where it replicates, its storage pool of the group's name (of others only the names, if it lacks that one), and the labels that
//!   the group's rules name: what placing and declaring need;
//! * how to log in, the host left out where it is the address;
//! * the family of its DRBD.
//!
//! They are in the order in which they become known. Of a text that is not wholly known in a plan, Terraform is told the parts that
//! are, as the prefix that it will have: so a volume is placed before its hosts were first logged in to, and it is seen *which* node
//! gets another machine.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tfplugin::{Refinements, SmolStr, Value};

use super::words::{escaped, write};

/// The attribute.
pub(crate) const NAME: &str = "for_volumes";
/// The key of what concerns the group as a whole; no node can be called that.
pub(crate) const GROUP: &str = "*";

/// What concerns the group as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Whole {
    pub(super) pool: String,
    /// Unset in a group that did not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) count: Option<u32>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) different: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) same: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) options: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) net: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) disk: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) connections: Vec<Pair>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) max_peers: Option<u32>,
}

/// What differs for one pair of nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pair {
    pub(super) nodes: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) net: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) paths: Vec<BTreeMap<String, String>>,
}

/// What a volume holds of a group with these attributes.
pub(crate) fn held_of(group: &Value) -> Value {
    Value::object([("name", group.get("name").clone()), (NAME, for_volumes(group))])
}

/// The attribute for a group with these attributes; unknown as far as they are.
pub(crate) fn for_volumes(group: &Value) -> Value {
    let rules = ["storage_pool", "replicas_on_different", "replicas_on_same"];
    let (Some(nodes), true) =
        (group.get("nodes").members(), rules.iter().all(|name| group.get(name).is_wholly_known()))
    else {
        return later("");
    };
    let mut entries = vec![(SmolStr::new(GROUP), whole(group))];
    for node in nodes.values() {
        let Some(name) = node.get("name").as_str() else { return later("") };
        entries.push((name.into(), node_text(node, group)));
    }
    Value::map(entries)
}

/// Not known yet but for its beginning.
fn later(prefix: &str) -> Value {
    let known = if prefix.is_empty() { Refinements::not_null() } else { Refinements::prefix(prefix) };
    Value::Unknown(known)
}

fn whole(group: &Value) -> Value {
    let members = ["place_count", "options", "net", "disk", "connections", "max_peers"];
    if !members.iter().all(|name| group.get(name).is_wholly_known()) {
        return later("");
    }
    let number = |name: &str| {
        group.get(name).as_number().and_then(tfplugin::Number::to_u64).and_then(|n| u32::try_from(n).ok())
    };
    let connections = group.get("connections").elements().unwrap_or_default();
    let mut connections: Vec<Pair> = connections.iter().map(pair).collect();
    connections.sort_by(|a, b| a.nodes.cmp(&b.nodes));
    let whole = Whole {
        pool: group.get("storage_pool").as_str().unwrap_or_default().to_owned(),
        count: number("place_count"),
        different: texts(group.get("replicas_on_different")).into_iter().collect(),
        same: texts(group.get("replicas_on_same")).into_iter().collect(),
        options: map(group.get("options")),
        net: map(group.get("net")),
        disk: map(group.get("disk")),
        connections,
        max_peers: number("max_peers"),
    };
    serde_json::to_string(&whole).map_or(Value::Null, Value::from)
}

fn pair(connection: &Value) -> Pair {
    let mut nodes = texts(connection.get("nodes"));
    nodes.sort();
    let paths = connection.get("paths").elements().unwrap_or_default();
    Pair { nodes, net: map(connection.get("net")), paths: paths.iter().map(map).collect() }
}

fn texts(value: &Value) -> Vec<String> {
    value.elements().unwrap_or_default().iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn map(value: &Value) -> BTreeMap<String, String> {
    let entries = value.members().into_iter().flatten();
    entries.filter_map(|(key, value)| Some((key.to_string(), value.as_str()?.to_owned()))).collect()
}

fn node_text(node: &Value, group: &Value) -> Value {
    let Some(mut text) = placement(node, group) else { return later("") };
    text.push(';');
    let (ssh, family) = (node.get("ssh"), node.get("drbd_family"));
    if !ssh.is_wholly_known() {
        return later(&text);
    }
    text.push_str(&login(ssh, node.get("address").as_str()));
    text.push(';');
    if family.is_unknown() {
        return later(&text);
    }
    text.push_str(family.as_str().unwrap_or_default());
    text.into()
}

/// The first part; none while something of it is not known.
fn placement(node: &Value, group: &Value) -> Option<String> {
    let (address, labels, pools) = (node.get("address"), node.get("labels"), node.get("storage_pools"));
    let wanted = group.get("storage_pool").as_str().unwrap_or_default();
    if address.is_unknown() || labels.is_unknown() || !pools.is_wholly_known() {
        return None;
    }
    let mut words = vec![escaped(address.as_str().unwrap_or_default(), false)];
    match pools.get(wanted) {
        Value::Null => {
            let others = pools.members().into_iter().flatten().map(|(name, _)| name.to_string());
            words.extend(write("pools", &Value::list(others)));
        }
        pool => words.extend(storage(pool)),
    }
    let rules = ["replicas_on_different", "replicas_on_same"].map(|name| texts(group.get(name)));
    for name in rules.into_iter().flatten().collect::<BTreeSet<_>>() {
        let label = labels.get(&name);
        if label.is_unknown() {
            return None;
        }
        words.extend(write("labels", &Value::map([(name, label.clone())])));
    }
    Some(words.join(" "))
}

/// A name of LVM has no character that would have to be written in another way.
fn storage(pool: &Value) -> Vec<String> {
    let name = |of: &Value, name: &str| of.get(name).as_str().unwrap_or_default().to_owned();
    let (thin, thick) = (pool.get("lvm_thin"), pool.get("lvm"));
    if !thin.is_null() {
        vec![format!("{}/{}", name(thin, "volume_group"), name(thin, "thin_pool"))]
    } else if !thick.is_null() {
        vec![name(thick, "volume_group")]
    } else {
        write("devices", pool.get("devices"))
    }
}

/// The second part.
fn login(ssh: &Value, address: Option<&str>) -> String {
    let mut rest = ssh.clone();
    rest.set("host", Value::Null);
    let host = ssh.get("host").as_str().filter(|host| Some(*host) != address);
    let mut words: Vec<String> = host.map(|host| escaped(host, false)).into_iter().collect();
    words.extend(write("", &rest));
    words.join(" ")
}

/// The parts of a node's text that are known, at most three.
pub(super) fn parts(text: &Value) -> Vec<&str> {
    match text {
        Value::String(text) => text.split(';').collect(),
        // The last part may go on.
        Value::Unknown(Refinements { prefix: Some(prefix), .. }) => {
            let complete = prefix.rsplit_once(';').map(|(complete, _)| complete);
            complete.map(|complete| complete.split(';').collect()).unwrap_or_default()
        }
        _ => Vec::new(),
    }
}

/// Whether placing and declaring could read this: it is there, and what concerns the group as a whole is known.
pub(crate) fn is_readable(held: &Value) -> bool {
    held.get("name").as_str().is_some() && held.get(NAME).get(GROUP).as_str().is_some()
}

/// Where a node replicates and what holds its replicas, as it is written; none while that is not known.
pub(crate) fn placement_of<'v>(held: &'v Value, node: &str) -> Option<&'v str> {
    parts(held.get(NAME).get(node)).first().copied()
}

/// Nodes that exist, and that one will log in to in a way that is not known yet.
pub(crate) fn with_unknown_login(held: &Value) -> impl Iterator<Item = &str> {
    let nodes = held.get(NAME).members().into_iter().flatten().filter(|(name, _)| *name != GROUP);
    nodes.filter(|(_, text)| parts(text).len() < 2).map(|(name, _)| name.as_str())
}

#[cfg(test)]
mod tests {
    use super::super::model::tests::{group, node};
    use super::*;

    fn text(group: &Value, key: &str) -> String {
        for_volumes(group).get(key).as_str().unwrap().to_owned()
    }

    #[test]
    fn what_is_held_is_short() {
        let group = group();
        assert_eq!(text(&group, GROUP), r#"{"pool":"data","count":2}"#);
        assert_eq!(text(&group, "h1"), "10.0.0.1 vg0/thin;;8.4");
        let held = held_of(&group);
        assert_eq!(held.members().unwrap().len(), 2);
        assert!(is_readable(&held));
    }

    #[test]
    fn keys_of_nodes_do_not_matter_and_labels_only_where_a_rule_names_them() {
        let mut group = group();
        let before = for_volumes(&group);
        group.set(
            "nodes",
            Value::map([("b", node("h1", "10.0.0.1", "x")), ("z", node("h2", "10.0.0.2", "q"))]),
        );
        assert_eq!(for_volumes(&group), before);
        group.set("replicas_on_different", Value::set_of(["zone"]));
        assert_eq!(text(&group, "h2"), "10.0.0.2 vg0/thin labels.zone=q;;8.4");
    }

    #[test]
    fn another_way_in_and_other_pools_are_written() {
        let mut group = group();
        let mut odd = node("h1", "fd00::1", "x");
        let bastion = Value::object([("host", Value::from("j")), ("port", Value::from(22_u16))]);
        odd.set("ssh", Value::object([("host", Value::from("h1.example")), ("bastion", bastion)]));
        odd.set("drbd_family", Value::Null);
        group.set("nodes", Value::map([("a", odd)]));
        assert_eq!(text(&group, "h1"), "fd00::1 vg0/thin;h1.example bastion.host=j bastion.port=22;");
        group.set("storage_pool", "ssd");
        assert_eq!(text(&group, "h1"), "fd00::1 pools=data;h1.example bastion.host=j bastion.port=22;");
    }

    #[test]
    fn of_what_is_not_known_the_beginning_is_told() {
        let mut group = group();
        let with = |name: &str, value: Value| {
            let mut node = node("h1", "10.0.0.1", "x");
            node.set(name, value);
            let mut group = group.clone();
            group.set("nodes", Value::map([("a", node)]));
            for_volumes(&group).get("h1").clone()
        };
        let family = with("drbd_family", Value::unknown());
        assert_eq!(family, later("10.0.0.1 vg0/thin;;"));
        assert_eq!(parts(&family), ["10.0.0.1 vg0/thin", ""]);
        let login = with("ssh", Value::object([("host", Value::unknown())]));
        assert_eq!(parts(&login), ["10.0.0.1 vg0/thin"]);
        assert!(parts(&with("address", Value::unknown())).is_empty());
        assert!(for_volumes(&group).is_wholly_known());
        group.set("net", Value::unknown());
        assert!(for_volumes(&group).get(GROUP).is_unknown() && !is_readable(&held_of(&group)));
        group.set("storage_pool", Value::unknown());
        assert!(for_volumes(&group).is_unknown());
    }
}
