// SPDX-License-Identifier: MPL-2.0
//! A group as its volumes hold it (`for_volumes.rs`), as values, and the placement that follows from it. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use drbd_engine::placement::{self, Candidate, Rules, Unplaceable};
use drbd_schemas::address::{Address, Endpoint};
use drbd_schemas::declaration::DevicePath;
use drbd_schemas::options::InNet;
use drbd_schemas::{Connection, Family, LvmName, NodeName, OptionSet, Storage};
use tfplugin::{Decode, Diagnostic, Path, Reader, Schema, Type, Value};

use super::for_volumes::{self, GROUP, Pair, Whole};
use super::schema::DEFAULT_PLACE_COUNT;
use super::words;
use crate::node::model::{self as node, PoolKind};
use crate::options::{self, Written};
use crate::ssh_schema;
use crate::ssh_settings::SshSettings;

/// A group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GroupModel {
    pub(crate) name: String,
    /// Those of which at least is known where they replicate and what they have.
    pub(crate) nodes: BTreeMap<NodeName, GroupNode>,
    /// The others, in a plan.
    pub(crate) unknown: BTreeSet<NodeName>,
    pub(crate) storage_pool: String,
    pub(crate) rules: Rules,
    pub(crate) written: Written,
    pub(crate) connections: Vec<Connection>,
    pub(crate) max_peers: Option<u8>,
}

/// A node of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GroupNode {
    pub(crate) address: Option<Address>,
    /// Those that the rules name.
    pub(crate) labels: BTreeMap<String, String>,
    /// The pool of the group's name, if the node has it.
    pub(crate) pool: Option<PoolKind>,
    /// The names of its pools, if it has none of the group's name.
    pub(crate) other_pools: BTreeSet<String>,
    /// None when it is not known.
    pub(crate) family: Option<Family>,
    /// None when it is not known yet.
    pub(crate) ssh: Option<SshSettings>,
}

/// What a volume that has its replicas somewhere is made from. A change of a group that leaves this as it was changes nothing
/// for the volume.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part<'g> {
    name: &'g str,
    storage_pool: &'g str,
    place_count: usize,
    written: &'g Written,
    connections: Vec<&'g Connection>,
    max_peers: Option<u8>,
    nodes: BTreeMap<&'g NodeName, (Option<Address>, Storage, &'g SshSettings)>,
}

impl<'v> Decode<'v> for GroupModel {
    fn decode(value: &'v Value, path: &Path) -> Result<Self, Diagnostic> {
        let r = Reader::decode(value, path)?;
        let name = r.required_str("name")?;
        let r: Reader<'_> = r.get(for_volumes::NAME)?;
        let whole = r.required_str(GROUP)?;
        let whole: Whole =
            serde_json::from_str(whole).map_err(|error| unreadable(&r, GROUP, &error.to_string()))?;
        let (mut nodes, mut unknown) = (BTreeMap::new(), BTreeSet::new());
        for (key, text) in r.value().members().into_iter().flatten().filter(|(key, _)| *key != GROUP) {
            let name = node::parsed(&r, key, key, NodeName::new)?;
            match for_volumes::parts(text).as_slice() {
                [] => drop(unknown.insert(name)),
                parts => drop(nodes.insert(name, GroupNode::read(&r, key, parts)?)),
            }
        }
        Ok(Self {
            name: name.to_owned(),
            nodes,
            unknown,
            storage_pool: whole.pool,
            rules: Rules {
                place_count: usize::try_from(whole.count.unwrap_or(DEFAULT_PLACE_COUNT))
                    .unwrap_or(usize::MAX),
                on_different: whole.different,
                on_same: whole.same,
            },
            written: Written { options: whole.options, net: whole.net, disk: whole.disk },
            connections: whole
                .connections
                .iter()
                .map(|pair| connection(&r, pair))
                .collect::<Result<_, _>>()?,
            max_peers: whole
                .max_peers
                .map(u8::try_from)
                .transpose()
                .map_err(|_| r.error(GROUP, "Number out of range", "max_peers is at most 31."))?,
        })
    }
}

fn unreadable(r: &Reader<'_>, key: &str, why: &str) -> Diagnostic {
    let detail = format!(
        "{} is not as this provider writes it: {why}. Use a whole drbd_resource_group, and apply it first if another version wrote it.",
        r.path_of(key)
    );
    r.error(key, "Not a resource group", detail)
}

/// The type of a node's `ssh`.
static SSH: LazyLock<Type> =
    LazyLock::new(|| Schema::new().attributes(ssh_schema::node_members()).object_type());
/// The type of what else a node has by name.
static NAMED: LazyLock<Type> = LazyLock::new(|| {
    let texts = || Type::map(Type::String);
    Type::object([("devices", texts()), ("labels", texts()), ("pools", Type::set(Type::String))])
});

impl GroupNode {
    /// From the known parts of its text, which stands under `key`.
    fn read(r: &Reader<'_>, key: &str, parts: &[&str]) -> Result<Self, Diagnostic> {
        let mut words = parts.first().copied().unwrap_or_default().split(' ');
        let address = words::unescaped(words.next().unwrap_or_default());
        let mut words = words.peekable();
        let lvm = words.next_if(|word| !word.contains('='));
        let named = words::read(&NAMED, words);
        let n = Reader::decode(if named.is_null() { &NO_MEMBERS } else { &named }, &r.path_of(key))?;
        let devices = n.get::<Option<BTreeMap<String, String>>>("devices")?;
        let ssh = parts.get(1).map(|text| login(text, &address));
        Ok(Self {
            address: Some(address.clone())
                .filter(|address| !address.is_empty())
                .map(|address| node::parsed(r, key, &address, Address::try_from))
                .transpose()?,
            labels: n.get::<Option<BTreeMap<String, String>>>("labels")?.unwrap_or_default(),
            pool: match (lvm, devices) {
                (Some(lvm), _) => Some(lvm_pool(r, key, lvm)?),
                (None, Some(devices)) => Some(PoolKind::Devices(device_paths(r, key, devices)?)),
                (None, None) => None,
            },
            other_pools: n.get::<Option<Vec<String>>>("pools")?.unwrap_or_default().into_iter().collect(),
            family: parts.get(2).copied().and_then(node::family_of),
            ssh: ssh.map(|ssh| SshSettings::decode(&ssh, &r.path_of(key))).transpose()?,
        })
    }

    /// The storage of a volume's replica; none when there is no device for it.
    pub(crate) fn storage(&self, volume: &str) -> Option<Storage> {
        self.pool.as_ref()?.storage(volume)
    }
}

static NO_MEMBERS: LazyLock<Value> = LazyLock::new(|| Value::object(Vec::<(&str, Value)>::new()));

fn login(text: &str, address: &str) -> Value {
    let mut words = text.split(' ').peekable();
    let host = words.next_if(|word| !word.contains('='));
    let mut ssh = words::read(&SSH, words);
    if ssh.is_null() {
        ssh = NO_MEMBERS.clone();
    }
    let host = host.filter(|host| !host.is_empty()).map_or_else(|| address.to_owned(), words::unescaped);
    ssh.set("host", host);
    ssh
}

fn lvm_pool(r: &Reader<'_>, key: &str, word: &str) -> Result<PoolKind, Diagnostic> {
    let name = |text: &str| node::parsed(r, key, text, LvmName::new);
    Ok(match word.split_once('/') {
        Some((group, thin)) => PoolKind::LvmThin { volume_group: name(group)?, thin_pool: name(thin)? },
        None => PoolKind::Lvm { volume_group: name(word)? },
    })
}

fn device_paths(
    r: &Reader<'_>,
    key: &str,
    devices: BTreeMap<String, String>,
) -> Result<BTreeMap<String, DevicePath>, Diagnostic> {
    let path =
        |(volume, path): (String, String)| Ok((volume, node::parsed(r, key, &path, DevicePath::try_from)?));
    devices.into_iter().map(path).collect()
}

fn connection(r: &Reader<'_>, pair: &Pair) -> Result<Connection, Diagnostic> {
    let name = |text: &String| node::parsed(r, GROUP, text, NodeName::new);
    let net: OptionSet<InNet> = options::merged(&pair.net, &BTreeMap::new(), &r.path_of(GROUP))?;
    let endpoint = |(node, text): (&String, &String)| {
        Ok((name(node)?, node::parsed(r, GROUP, text, Endpoint::try_from)?))
    };
    let path = |path: &BTreeMap<String, String>| path.iter().map(endpoint).collect::<Result<_, Diagnostic>>();
    Ok(Connection {
        nodes: pair.nodes.iter().map(name).collect::<Result<_, _>>()?,
        net,
        paths: pair.paths.iter().map(path).collect::<Result<_, _>>()?,
    })
}

impl GroupModel {
    /// The nodes for the replicas of a volume: those it has stay, new ones join.
    ///
    /// # Errors
    /// When the rules cannot be kept.
    pub(crate) fn place(
        &self,
        volume: &str,
        sticky: &BTreeSet<String>,
    ) -> Result<BTreeSet<String>, Unplaceable> {
        let candidate = |(name, node): (&NodeName, &GroupNode)| Candidate {
            name: name.to_string(),
            labels: node.labels.clone(),
            has_pool: node.storage(volume).is_some(),
        };
        let candidates: Vec<Candidate> = self.nodes.iter().map(candidate).collect();
        placement::place(&candidates, &self.rules, sticky)
    }

    /// Whether enough is known to place a volume that has replicas on these nodes.
    pub(crate) fn can_place<'n>(&self, mut held: impl ExactSizeIterator<Item = &'n NodeName>) -> bool {
        self.unknown.is_empty()
            || (held.len() >= self.rules.place_count && held.all(|node| !self.unknown.contains(node)))
    }

    /// What concerns a volume with replicas on these nodes; none when not all of it is known.
    pub(crate) fn part<'g>(
        &'g self,
        volume: &str,
        mut held: impl Iterator<Item = &'g NodeName>,
    ) -> Option<Part<'g>> {
        let node = |name: &'g NodeName| {
            let node = self.nodes.get(name)?;
            Some((name, (node.address, node.storage(volume)?, node.ssh.as_ref()?)))
        };
        let nodes: BTreeMap<_, _> = held.by_ref().map(node).collect::<Option<_>>()?;
        let both_here = |pair: &&Connection| pair.nodes.iter().all(|node| nodes.contains_key(node));
        Some(Part {
            name: &self.name,
            storage_pool: &self.storage_pool,
            place_count: self.rules.place_count,
            written: &self.written,
            connections: self.connections.iter().filter(both_here).collect(),
            max_peers: self.max_peers,
            nodes,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A node as a group holds it.
    pub(crate) fn node(name: &str, address: &str, zone: &str) -> Value {
        let thin = Value::object([("volume_group", "vg0"), ("thin_pool", "thin")]);
        Value::object([
            ("name", Value::from(name)),
            ("ssh", Value::object([("host", address)])),
            ("address", Value::from(address)),
            ("labels", Value::map([("zone", zone)])),
            ("storage_pools", Value::map([("data", Value::object([("lvm_thin", thin)]))])),
            ("drbd_family", Value::from("8.4")),
        ])
    }

    /// A group of two nodes.
    pub(crate) fn group() -> Value {
        Value::object([
            ("name", Value::from("dr")),
            ("nodes", Value::map([("a", node("h1", "10.0.0.1", "x")), ("b", node("h2", "10.0.0.2", "y"))])),
            ("storage_pool", Value::from("data")),
            ("place_count", Value::from(2_u64)),
        ])
    }

    fn model(group: &Value) -> GroupModel {
        GroupModel::decode(&for_volumes::held_of(group), &Path::root()).unwrap()
    }

    #[test]
    fn replicas_go_to_nodes_that_have_the_pool() {
        let mut value = group();
        let model = model(&value);
        let names: Vec<String> = model.place("r0", &BTreeSet::new()).unwrap().into_iter().collect();
        assert_eq!(names, ["h1", "h2"]);
        value.set("storage_pool", "other");
        let model = self::tests::model(&value);
        let error = model.place("r0", &BTreeSet::new()).unwrap_err().to_string();
        assert!(error.contains("h1 does not have the storage pool"), "{error}");
    }

    #[test]
    fn a_group_is_placeable_without_connection_data() {
        let mut value = group();
        let mut a = node("h1", "10.0.0.1", "x");
        a.set("ssh", Value::unknown());
        value.set("nodes", Value::map([("a", a.clone())]));
        let found = model(&value);
        assert!(found.can_place([].iter()) && found.nodes.values().all(|node| node.ssh.is_none()));
        a.set("address", Value::unknown());
        value.set(
            "nodes",
            Value::map([("a", a), ("b", node("h2", "10.0.0.2", "y")), ("c", node("h3", "10.0.0.3", "y"))]),
        );
        let found = model(&value);
        let name = |name: &str| NodeName::new(name).unwrap();
        assert!(!found.can_place([].iter()) && !found.can_place([name("h1"), name("h2")].iter()));
        assert!(found.can_place([name("h3"), name("h2")].iter()));
    }

    #[test]
    fn everything_that_is_written_comes_back() {
        let mut value = group();
        let mut a = node("h1", "10.0.0.1", "x y");
        let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
        let ssh = Value::object([
            ("host", Value::from("h1.example")),
            ("port", Value::from(2222_u16)),
            ("user", Value::from("admin")),
            ("private_key_file", Value::from("~/my keys/id")),
            ("become", Value::from("none")),
            ("host_keys", Value::set_of([key])),
            ("bastion", Value::object([("host", Value::from("j")), ("host_keys", Value::set_of([key]))])),
        ]);
        a.set("ssh", ssh.clone());
        let devices =
            Value::object([("devices", Value::map([("r0", "/dev/disk/by-id/x=1"), ("r1", "/dev/vdb")]))]);
        a.set("storage_pools", Value::map([("data", devices)]));
        value.set("nodes", Value::map([("a", a)]));
        value.set("replicas_on_same", Value::set_of(["zone"]));
        let found = model(&value);
        let node = &found.nodes[&NodeName::new("h1").unwrap()];
        assert_eq!(node.ssh.as_ref(), Some(&SshSettings::decode(&ssh, &Path::root()).unwrap()));
        assert_eq!(node.labels["zone"], "x y");
        assert_eq!(node.family, Some(Family::V84));
        assert!(node.storage("r1").is_some() && node.storage("r2").is_none());
    }

    #[test]
    fn what_does_not_concern_a_volume_is_no_part_of_it() {
        let part = |group: &Value| {
            let model = model(group);
            let held = [NodeName::new("h1").unwrap(), NodeName::new("h2").unwrap()];
            format!("{:?}", model.part("r0", held.iter()).map(|part| format!("{part:?}")))
        };
        let before = part(&group());
        let mut more = group();
        let nodes = |a: Value, c: Value| Value::map([("x", a), ("y", node("h2", "10.0.0.2", "y")), ("z", c)]);
        let mut unknown = node("h3", "10.0.0.3", "x");
        unknown.set("address", Value::unknown());
        more.set("nodes", nodes(node("h1", "10.0.0.1", "other"), unknown));
        assert_eq!(part(&more), before);
        more.set("nodes", nodes(node("h1", "10.0.0.9", "x"), node("h3", "10.0.0.3", "x")));
        assert_ne!(part(&more), before);
        more = group();
        more.set("net", Value::map([("protocol", "A")]));
        assert_ne!(part(&more), before);
    }

    #[test]
    fn what_nobody_wrote_is_refused_and_not_guessed() {
        for (key, text) in
            [(GROUP, "{"), ("h1", "10.0.0 vg0;;"), ("h1", "10.0.0.1 -vg;;"), ("_", "10.0.0.1;;")]
        {
            let mut held = for_volumes::held_of(&group());
            let Value::Map(mut entries) = held.get(for_volumes::NAME).clone() else { panic!() };
            entries.insert(key.into(), text.into());
            held.set(for_volumes::NAME, Value::Map(entries));
            assert!(GroupModel::decode(&held, &Path::of("resource_group")).is_err(), "{text}");
        }
        // A made-up value, such as that of a mock.
        let empty = Value::map(Vec::<(&str, Value)>::new());
        let mocked = Value::object([("name", Value::from("g")), (for_volumes::NAME, empty)]);
        assert!(GroupModel::decode(&mocked, &Path::root()).is_err());
    }

    #[test]
    fn connections_are_parsed() {
        let mut value = group();
        let path = Value::map([("h1", "10.1.0.1:7000"), ("h2", "10.1.0.2:7000")]);
        let connection = Value::object([
            ("nodes", Value::list(["h1", "h2"])),
            ("net", Value::map([("protocol", "A")])),
            ("paths", Value::list([path])),
        ]);
        value.set("connections", Value::list([connection]));
        let model = model(&value);
        assert_eq!(model.connections[0].net.get("protocol"), Some("A"));
        assert_eq!(model.connections[0].paths[0].len(), 2);
    }
}
