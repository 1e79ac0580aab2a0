// SPDX-License-Identifier: MPL-2.0
//! A group as values, and the placement that follows from it. Pure.

use std::collections::{BTreeMap, BTreeSet};

use drbd_engine::placement::{self, Candidate, Rules, Unplaceable};
use drbd_schemas::address::Endpoint;
use drbd_schemas::options::InNet;
use drbd_schemas::{Connection, NodeName, OptionSet};
use tfplugin::{Decode, Diagnostic, Path, Reader, Value};

use super::schema::DEFAULT_PLACE_COUNT;
use crate::node::model::{self as node, NodeModel};
use crate::options::{self, Written};

/// A group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GroupModel {
    /// By the name of the node, not by the key in the configuration.
    pub(crate) nodes: BTreeMap<NodeName, NodeModel>,
    pub(crate) storage_pool: String,
    pub(crate) rules: Rules,
    pub(crate) written: Written,
    pub(crate) connections: Vec<Connection>,
    pub(crate) max_peers: Option<u8>,
}

/// Whether everything but connection data is known.
pub(crate) fn is_placeable(group: &Value) -> bool {
    let Some(members) = group.members() else { return false };
    let nodes = group.get("nodes").members().is_some_and(|nodes| nodes.values().all(node::is_placeable));
    nodes && members.iter().filter(|(name, _)| *name != "nodes").all(|(_, value)| value.is_wholly_known())
}

impl<'v> Decode<'v> for GroupModel {
    fn decode(value: &'v Value, path: &Path) -> Result<Self, Diagnostic> {
        let r = Reader::decode(value, path)?;
        let labels = |name: &str| {
            r.get::<Option<Vec<String>>>(name).map(|l| l.unwrap_or_default().into_iter().collect())
        };
        let mut nodes = BTreeMap::new();
        for (_, node) in r.entries("nodes")? {
            let node = NodeModel::decode(node.value(), node.path())?;
            nodes.insert(node.name.clone(), node);
        }
        let place_count = r.get::<Option<u32>>("place_count")?.unwrap_or(DEFAULT_PLACE_COUNT);
        let max_peers = r.get::<Option<u32>>("max_peers")?.map(u8::try_from).transpose();
        Ok(Self {
            nodes,
            storage_pool: r.get("storage_pool")?,
            rules: Rules {
                place_count: usize::try_from(place_count).unwrap_or(usize::MAX),
                on_different: labels("replicas_on_different")?,
                on_same: labels("replicas_on_same")?,
            },
            written: Written::read(&r)?,
            connections: r.list("connections")?.iter().map(connection).collect::<Result<_, _>>()?,
            max_peers: max_peers
                .map_err(|_| r.error("max_peers", "Number out of range", "max_peers is at most 31."))?,
        })
    }
}

fn connection(r: &Reader<'_>) -> Result<Connection, Diagnostic> {
    let nodes = r.get::<Vec<String>>("nodes")?;
    let nodes =
        nodes.iter().map(|name| node::parsed(r, "nodes", name, NodeName::new)).collect::<Result<_, _>>()?;
    let net = r.get::<Option<BTreeMap<String, String>>>("net")?.unwrap_or_default();
    let net: OptionSet<InNet> = options::merged(&net, &BTreeMap::new(), &r.path_of("net"))?;
    let paths = r.get::<Option<Vec<BTreeMap<String, String>>>>("paths")?.unwrap_or_default();
    let endpoint = |(name, text): (String, String)| {
        let name = node::parsed(r, "paths", &name, NodeName::new)?;
        Ok((name, node::parsed(r, "paths", &text, Endpoint::try_from)?))
    };
    let paths = paths
        .into_iter()
        .map(|path| path.into_iter().map(endpoint).collect::<Result<_, Diagnostic>>())
        .collect::<Result<_, _>>()?;
    Ok(Connection { nodes, net, paths })
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
        let has_pool = |node: &NodeModel| {
            node.pools.get(&self.storage_pool).is_some_and(|pool| pool.storage(volume).is_some())
        };
        let candidates: Vec<Candidate> = self
            .nodes
            .values()
            .map(|node| Candidate {
                name: node.name.to_string(),
                labels: node.labels.clone(),
                has_pool: has_pool(node),
            })
            .collect();
        placement::place(&candidates, &self.rules, sticky)
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

    #[test]
    fn replicas_go_to_nodes_that_have_the_pool() {
        let mut value = group();
        let model = GroupModel::decode(&value, &Path::root()).unwrap();
        let names: Vec<String> = model.place("r0", &BTreeSet::new()).unwrap().into_iter().collect();
        assert_eq!(names, ["h1", "h2"]);
        value.set("storage_pool", "other");
        let model = GroupModel::decode(&value, &Path::root()).unwrap();
        let error = model.place("r0", &BTreeSet::new()).unwrap_err().to_string();
        assert!(error.contains("h1 does not have the storage pool"), "{error}");
    }

    #[test]
    fn a_group_is_placeable_without_connection_data() {
        let mut value = group();
        let mut a = node("h1", "10.0.0.1", "x");
        a.set("ssh", Value::unknown());
        value.set("nodes", Value::map([("a", a)]));
        assert!(is_placeable(&value));
        value.set("place_count", Value::unknown());
        assert!(!is_placeable(&value));
        assert!(!is_placeable(&Value::unknown()));
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
        let model = GroupModel::decode(&value, &Path::root()).unwrap();
        assert_eq!(model.connections[0].net.get("protocol"), Some("A"));
        assert_eq!(model.connections[0].paths[0].len(), 2);
    }
}
