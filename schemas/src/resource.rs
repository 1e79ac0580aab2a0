// SPDX-License-Identifier: MPL-2.0
//! [`Resource`]: a declaration whose parts fit together. It can only be made by checking.

use crate::address::Endpoint;
use crate::declaration::{Connection, DEFAULT_MAX_PEERS, Declaration, DevicePath, Node, Storage, Volume};
use crate::invalid::{Invalid, Violation};
use crate::name::{LvmName, NodeName, ResourceName, VolumeNumber};
use crate::options::{Family, InSection, OptionSet};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

/// A declaration that has been checked as a whole. Read its fields through [`Deref`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource(Declaration);

impl Deref for Resource {
    type Target = Declaration;
    fn deref(&self) -> &Declaration {
        &self.0
    }
}

impl TryFrom<Declaration> for Resource {
    type Error = Invalid;

    fn try_from(declaration: Declaration) -> Result<Self, Invalid> {
        let violations = check(&declaration);
        if violations.is_empty() {
            return Ok(Self(declaration));
        }
        Err(Invalid { what: format!("declaration of resource {}", declaration.name), violations })
    }
}

impl Resource {
    /// Name of the resource.
    pub fn name(&self) -> &ResourceName {
        &self.0.name
    }

    /// The declaration, to be changed and checked anew.
    pub fn into_declaration(self) -> Declaration {
        self.0
    }

    /// Peer slots that new metadata reserves.
    pub fn max_peers(&self) -> u8 {
        self.0.max_peers.unwrap_or(DEFAULT_MAX_PEERS)
    }

    /// The other nodes.
    pub fn peers_of<'a>(&'a self, node: &'a NodeName) -> impl Iterator<Item = (&'a NodeName, &'a Node)> {
        self.0.nodes.iter().filter(move |(name, _)| *name != node)
    }

    /// Each pair of nodes once, in the order of their names.
    pub fn pairs(&self) -> impl Iterator<Item = (&NodeName, &NodeName)> {
        let names: Vec<_> = self.0.nodes.keys().collect();
        let count = names.len();
        (0..count).flat_map(move |i| {
            let names = names.clone();
            (i + 1..count).filter_map(move |j| Some((*names.get(i)?, *names.get(j)?)))
        })
    }

    /// What is declared for one pair, if anything.
    pub fn connection(&self, a: &NodeName, b: &NodeName) -> Option<&Connection> {
        self.0.connections.iter().find(|c| c.nodes.contains(a) && c.nodes.contains(b))
    }

    /// What a net option is on the connections of a node, without what is left to DRBD's default.
    pub fn net_values<'a>(&'a self, node: &'a NodeName, option: &str) -> BTreeSet<&'a str> {
        let of_pair = |peer: &NodeName| {
            let own = self.connection(node, peer).and_then(|connection| connection.net.get(option));
            own.or_else(|| self.0.net.get(option))
        };
        self.peers_of(node).filter_map(|(peer, _)| of_pair(peer)).collect()
    }

    /// The paths of one pair: the endpoint of `a`, then of `b`.
    pub fn paths(&self, a: &NodeName, b: &NodeName) -> Vec<(Endpoint, Endpoint)> {
        let declared = self.connection(a, b).map(|c| c.paths.as_slice()).unwrap_or_default();
        if declared.is_empty() {
            return self.endpoint(a).zip(self.endpoint(b)).into_iter().collect();
        }
        declared.iter().filter_map(|path| Some((*path.get(a)?, *path.get(b)?))).collect()
    }

    /// The endpoint of a node where no path says otherwise.
    pub fn endpoint(&self, name: &NodeName) -> Option<Endpoint> {
        let node = self.0.nodes.get(name)?;
        Some(Endpoint { address: node.address, port: node.port.or(self.0.port)? })
    }

    /// Path of a volume's backing device on a node; `None` where the node is diskless.
    pub fn backing_path(&self, node: &NodeName, volume: VolumeNumber) -> Option<String> {
        match &self.0.nodes.get(node)?.storage {
            Storage::LvmThin { volume_group, .. } | Storage::Lvm { volume_group } => {
                Some(format!("/dev/{volume_group}/{}", self.lv_name(volume)))
            }
            Storage::Devices(devices) => Some(devices.get(&volume)?.to_string()),
            Storage::Diskless {} => None,
        }
    }

    /// The same with another spelling of a volume's device on a node that names its devices.
    #[must_use]
    pub fn with_device(&self, node: &NodeName, volume: VolumeNumber, path: DevicePath) -> Self {
        let mut declaration = self.0.clone();
        if let Some(Node { storage: Storage::Devices(devices), .. }) = declaration.nodes.get_mut(node) {
            devices.0.insert(volume, path);
        }
        Self(declaration)
    }

    /// Name of a volume's logical volume, as LINSTOR names it.
    pub fn lv_name(&self, volume: VolumeNumber) -> String {
        format!("{}_{:05}", self.0.name, volume.get())
    }

    /// The value of a disk option that is the same for every volume, declared there or for the resource.
    pub fn disk_option_of_all(&self, name: &str) -> Option<&str> {
        let mut values =
            self.0.volumes.values().map(|volume| volume.disk.get(name).or(self.0.disk.get(name)));
        let first = values.next().flatten()?;
        values.all(|value| value == Some(first)).then_some(first)
    }

    /// Everything here that one family cannot do, in words; empty if the family can run it.
    pub fn unsupported_by(&self, family: Family) -> Vec<String> {
        let mut reasons = Vec::new();
        if let Some(wanted) = self.0.drbd
            && wanted != family
        {
            reasons.push(format!("drbd: {wanted} is asked for"));
        }
        let mut options = |at: &str, names: Vec<&str>| {
            reasons.extend(names.iter().map(|name| format!("{at}.{name} does not exist in DRBD {family}")));
        };
        options("options", unknown(&self.0.options, family));
        options("net", unknown(&self.0.net, family));
        options("disk", unknown(&self.0.disk, family));
        for (number, volume) in &self.0.volumes {
            options(&format!("volumes.{number}.disk"), unknown(&volume.disk, family));
        }
        for (i, connection) in self.0.connections.iter().enumerate() {
            options(&format!("connections.{i}.net"), unknown(&connection.net, family));
        }
        if family == Family::V84 {
            let fencing =
                self.0.connections.iter().position(|connection| connection.net.get("fencing").is_some());
            reasons.extend(fencing.map(|i| {
                format!("connections.{i}.net.fencing: DRBD 8.4 has fencing for the whole resource only (net.fencing)")
            }));
            reasons.extend(self.beyond_two_nodes());
        }
        reasons
    }

    fn beyond_two_nodes(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if self.0.nodes.len() > 2 {
            reasons.push(format!("nodes: {} nodes are declared, DRBD 8.4 can do two", self.0.nodes.len()));
        }
        for (name, node) in &self.0.nodes {
            if node.storage == (Storage::Diskless {}) {
                reasons.push(format!("nodes.{name}.storage: DRBD 8.4 has no diskless clients"));
            }
        }
        for (i, connection) in self.0.connections.iter().enumerate() {
            if connection.paths.len() > 1 {
                reasons.push(format!("connections.{i}.paths: DRBD 8.4 has one path per connection"));
            }
        }
        reasons
    }
}

fn unknown<S: InSection>(set: &OptionSet<S>, family: Family) -> Vec<&'static str> {
    set.unknown_to(family).map(|info| info.name).collect()
}

fn check(declaration: &Declaration) -> Vec<Violation> {
    let mut found = Vec::new();
    check_nodes(declaration, &mut found);
    check_volumes(declaration, &mut found);
    check_connections(declaration, &mut found);
    check_lv_names(declaration, &mut found);
    crate::combinations::check(declaration, &mut found);
    found
}

fn check_nodes(declaration: &Declaration, found: &mut Vec<Violation>) {
    let nodes = &declaration.nodes;
    if nodes.is_empty() || nodes.len() > 32 {
        found.push(Violation::new("nodes", format!("{} nodes", nodes.len()), "1 to 32 nodes"));
    }
    if !nodes.is_empty() && nodes.values().all(|node| node.storage == (Storage::Diskless {})) {
        found.push(Violation::new("nodes", "only diskless nodes", "at least one node with storage"));
    }
    let peers = nodes.len().saturating_sub(1);
    if let Some(slots) = declaration.max_peers
        && (usize::from(slots) < peers || slots == 0 || slots > 31)
    {
        let allowed = format!("{} to 31: a slot for every peer", peers.max(1));
        found.push(Violation::new("max_peers", slots.to_string(), allowed));
    }
    let mut ids = BTreeMap::new();
    let mut endpoints = BTreeMap::new();
    for (name, node) in nodes {
        if let Some(other) = ids.insert(node.node_id, name) {
            let path = format!("nodes.{name}.node_id");
            found.push(
                Violation::new(
                    path,
                    format!("{}, which {other} has too", node.node_id),
                    "a number of its own",
                )
                .hint("a node-id belongs to one node for good; give the new node a free one"),
            );
        }
        match node.port.or(declaration.port) {
            None => found.push(Violation::new("port", "nothing", "a TCP port, here or in every node")),
            Some(port) => {
                if let Some(other) = endpoints.insert((node.address, port), name) {
                    let what = format!("{}:{port}, which {other} has too", node.address);
                    found.push(Violation::new(
                        format!("nodes.{name}.address"),
                        what,
                        "an address of its own",
                    ));
                }
            }
        }
    }
    found.dedup();
}

fn check_volumes(declaration: &Declaration, found: &mut Vec<Violation>) {
    if declaration.volumes.is_empty() {
        found.push(Violation::new("volumes", "no volume", "at least volume 0"));
    }
    let mut minors = BTreeMap::new();
    for (number, volume) in &declaration.volumes {
        if let Some(other) = minors.insert(volume.minor, number) {
            let what = format!("{}, which volume {other} has too", volume.minor);
            found.push(Violation::new(format!("volumes.{number}.minor"), what, "a minor of its own"));
        }
        check_size(declaration, *number, volume, found);
    }
    for (name, node) in &declaration.nodes {
        if let Storage::Devices(devices) = &node.storage {
            let at = |number| format!("nodes.{name}.storage.devices.{number}");
            for number in declaration.volumes.keys().filter(|number| !devices.contains_key(number)) {
                found.push(Violation::new(at(number), "nothing", "the device of this volume"));
            }
            for number in devices.keys().filter(|number| !declaration.volumes.contains_key(number)) {
                found.push(Violation::new(at(number), "a device without a volume", "only declared volumes"));
            }
            if devices.values().collect::<BTreeSet<_>>().len() < devices.len() {
                let path = format!("nodes.{name}.storage.devices");
                found.push(Violation::new(path, "one device for two volumes", "a device for each volume"));
            }
        }
    }
}

/// Smallest usable size. DRBD itself takes less, but no file system does.
const MIN_SIZE: u64 = 1 << 20;
/// DRBD's largest device: 1 PiB (drbd-utils, `DRBD_MAX_SECTORS`).
const MAX_SIZE: u64 = 1 << 50;

fn check_size(declaration: &Declaration, number: VolumeNumber, volume: &Volume, found: &mut Vec<Violation>) {
    let path = format!("volumes.{number}.size");
    let makes_lvs = declaration
        .nodes
        .values()
        .any(|n| matches!(n.storage, Storage::LvmThin { .. } | Storage::Lvm { .. }));
    match volume.size.map(|size| size.bytes()) {
        None if makes_lvs => {
            found.push(Violation::new(path, "nothing", "a size, because logical volumes are made for it"));
        }
        Some(bytes) if !bytes.is_multiple_of(4096) || !(MIN_SIZE..=MAX_SIZE).contains(&bytes) => {
            let found_size = volume.size.map(|size| size.to_string()).unwrap_or_default();
            found.push(Violation::new(path, found_size, "a multiple of 4KiB from 1MiB to 1PiB"));
        }
        _ => {}
    }
}

fn check_connections(declaration: &Declaration, found: &mut Vec<Violation>) {
    let mut pairs = BTreeSet::new();
    for (i, connection) in declaration.connections.iter().enumerate() {
        let at = format!("connections.{i}");
        let [a, b] = connection.nodes.as_slice() else {
            let count = format!("{} nodes", connection.nodes.len());
            found.push(Violation::new(format!("{at}.nodes"), count, "two nodes"));
            continue;
        };
        for name in [a, b] {
            if !declaration.nodes.contains_key(name) {
                let known = declaration.nodes.keys().map(NodeName::as_str);
                let hint =
                    crate::invalid::did_you_mean(name.as_str(), known).map(|n| format!("did you mean {n}?"));
                let mut violation =
                    Violation::new(format!("{at}.nodes"), name.to_string(), "nodes of this resource");
                violation.hint = hint;
                found.push(violation);
            }
        }
        if a == b || !pairs.insert(if a < b { (a, b) } else { (b, a) }) {
            found.push(Violation::new(
                format!("{at}.nodes"),
                format!("{a} and {b}"),
                "each pair of two nodes once",
            ));
        }
        for (p, path) in connection.paths.iter().enumerate() {
            if path.len() != 2 || !path.contains_key(a) || !path.contains_key(b) {
                let keys: Vec<_> = path.keys().map(NodeName::as_str).collect();
                let allowed = format!("one endpoint for {a} and one for {b}");
                found.push(Violation::new(format!("{at}.paths.{p}"), keys.join(", "), allowed));
            }
        }
    }
}

fn check_lv_names(declaration: &Declaration, found: &mut Vec<Violation>) {
    // lvm(8) reserves these; a volume with such a name cannot be made.
    const RESERVED: [&str; 9] =
        ["_cdata", "_cmeta", "_corig", "_mimage", "_mlog", "_rimage", "_rmeta", "_tdata", "_tmeta"];
    let name = declaration.name.as_str();
    let bad = name.starts_with("snapshot")
        || name.starts_with("pvmove")
        || RESERVED.iter().any(|r| name.contains(r));
    if bad || LvmName::new(format!("{name}_00000")).is_err() {
        let allowed = "a name that LVM can use too (it reserves snapshot…, pvmove…, …_tdata and others)";
        found.push(Violation::new("name", name, allowed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    pub(crate) fn two_nodes() -> serde_json::Value {
        json!({
            "name": "r0", "port": 7000,
            "nodes": {
                "h1": { "node_id": 0, "address": "10.0.0.1", "storage": { "lvm_thin": { "volume_group": "vg0", "thin_pool": "pool" } } },
                "h2": { "node_id": 1, "address": "10.0.0.2", "storage": { "devices": { "0": "/dev/disk/by-id/x" } } },
            },
            "volumes": { "0": { "minor": 1000, "size": "64MiB" } },
        })
    }

    fn resource(value: serde_json::Value) -> Result<Resource, Invalid> {
        Resource::try_from(serde_json::from_value::<Declaration>(value).unwrap())
    }

    #[track_caller]
    fn paths_of(value: serde_json::Value) -> Vec<String> {
        resource(value).unwrap_err().violations.into_iter().map(|v| v.path).collect()
    }

    #[test]
    fn a_good_declaration_passes_and_answers() {
        let r = resource(two_nodes()).unwrap();
        let (h1, h2) = (NodeName::new("h1").unwrap(), NodeName::new("h2").unwrap());
        assert_eq!(r.backing_path(&h1, VolumeNumber::ZERO).unwrap(), "/dev/vg0/r0_00000");
        assert_eq!(r.backing_path(&h2, VolumeNumber::ZERO).unwrap(), "/dev/disk/by-id/x");
        assert_eq!(r.pairs().count(), 1);
        assert_eq!(r.paths(&h2, &h1).first().unwrap().0.to_string(), "10.0.0.2:7000");
        assert!(r.unsupported_by(Family::V84).is_empty());
    }

    #[test]
    fn all_violations_are_reported_at_once() {
        let mut v = two_nodes();
        v["nodes"]["h2"]["node_id"] = json!(0);
        v["nodes"]["h2"]["address"] = json!("10.0.0.1");
        v["volumes"]["0"]["size"] = json!("1001B");
        v["max_peers"] = json!(0);
        v["connections"] = json!([{ "nodes": ["h1", "h3"] }]);
        let paths = paths_of(v);
        for path in
            ["nodes.h2.node_id", "nodes.h2.address", "volumes.0.size", "max_peers", "connections.0.nodes"]
        {
            assert!(paths.iter().any(|p| p == path), "{path} in {paths:?}");
        }
    }

    #[test]
    fn what_needs_drbd_9_is_named() {
        let mut v = two_nodes();
        v["nodes"]["h3"] = json!({ "node_id": 2, "address": "10.0.0.3", "storage": { "diskless": {} } });
        v["options"] = json!({ "quorum": "majority" });
        let reasons = resource(v).unwrap().unsupported_by(Family::V84);
        assert_eq!(reasons.len(), 3, "{reasons:?}");
        assert!(resource(two_nodes()).unwrap().unsupported_by(Family::V9).is_empty());
    }

    #[test]
    fn a_size_is_needed_where_logical_volumes_are_made() {
        let mut v = two_nodes();
        v["volumes"]["0"].as_object_mut().unwrap().remove("size");
        assert_eq!(paths_of(v), ["volumes.0.size"]);
    }
}
