// SPDX-License-Identifier: MPL-2.0
//! A volume as values: reading it from a configuration, a plan or a state. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use drbd_schemas::{ByteSize, Minor, NodeId, NodeName, Port, ResourceName};
use tfplugin::{Decode, Diagnostic, Path, Reader, Value};

use crate::direct::found::FoundNode;
use crate::duration;
use crate::engine::{Goal, Storage};
use crate::node::model::{consent, parsed};
use crate::options::Written;
use crate::resource_group::model::GroupModel;

/// A volume. What is not known yet is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VolumeModel {
    pub(crate) name: ResourceName,
    pub(crate) group: GroupModel,
    pub(crate) size: Option<ByteSize>,
    pub(crate) size_bytes: Option<u64>,
    pub(crate) written: Written,
    pub(crate) secret_version: Option<u64>,
    pub(crate) port: Option<Port>,
    pub(crate) minor: Option<Minor>,
    /// Node-ids of the replicas, by node.
    pub(crate) replicas: Option<BTreeMap<NodeName, NodeId>>,
    pub(crate) deletion_protection: bool,
    pub(crate) storage: Storage,
    pub(crate) goal: Goal,
    pub(crate) timeouts: Timeouts,
    pub(crate) adopted: bool,
    pub(crate) consent: Vec<String>,
    pub(crate) drift: Vec<String>,
}

/// Limits of the operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timeouts {
    pub(crate) create: Duration,
    pub(crate) update: Duration,
    pub(crate) delete: Duration,
}

impl<'v> Decode<'v> for VolumeModel {
    fn decode(value: &'v Value, path: &Path) -> Result<Self, Diagnostic> {
        let r = Reader::decode(value, path)?;
        let number = |name: &str| r.known::<u64>(name).map(tfplugin::Known::known);
        let flag = |name: &str| r.known::<bool>(name).map(|known| known.known().unwrap_or(false));
        Ok(Self {
            name: parsed(&r, "name", r.required_str("name")?, ResourceName::new)?,
            group: r.get("resource_group")?,
            size: r
                .opt_str("size")?
                .map(|text| parsed(&r, "size", text, |text| ByteSize::parse(&text)))
                .transpose()?,
            size_bytes: number("size_bytes")?,
            written: Written::read(&r)?,
            secret_version: number("shared_secret_wo_version")?,
            port: number("port")?
                .map(Port::new)
                .transpose()
                .map_err(|e| r.error("port", "Not a port", e.to_string()))?,
            minor: number("minor")?
                .map(Minor::new)
                .transpose()
                .map_err(|e| r.error("minor", "Not a minor", e.to_string()))?,
            replicas: replicas(&r)?,
            deletion_protection: flag("deletion_protection")?,
            storage: match r.known::<&str>("on_destroy")?.known() {
                Some("retain") => Storage::Retained,
                _ => Storage::Destroyed,
            },
            goal: if flag("wait_for_sync")? { Goal::Synchronised } else { Goal::Usable },
            timeouts: timeouts(&r)?,
            adopted: flag("adopted")?,
            consent: consent(&r)?,
            drift: r.known::<Vec<String>>("drift")?.known().unwrap_or_default(),
        })
    }
}

/// Node-ids by node; none where the replicas are not known yet.
pub(crate) fn replicas(r: &Reader<'_>) -> Result<Option<BTreeMap<NodeName, NodeId>>, Diagnostic> {
    let value = r.raw("replicas");
    if value.is_null() || !value.is_wholly_known() {
        return Ok(None);
    }
    let mut replicas = BTreeMap::new();
    for (name, replica) in r.entries("replicas")? {
        let id = NodeId::new(replica.required_u64("node_id")?);
        let id = id.map_err(|error| replica.error("node_id", "Not a node-id", error.to_string()))?;
        replicas.insert(parsed(r, "replicas", name, NodeName::new)?, id);
    }
    Ok(Some(replicas))
}

fn timeouts(r: &Reader<'_>) -> Result<Timeouts, Diagnostic> {
    let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
    let mut timeouts = Timeouts { create: minutes(20), update: minutes(20), delete: minutes(10) };
    // A plan can come before they are known; they concern the apply only.
    if !r.raw("timeouts").is_wholly_known() {
        return Ok(timeouts);
    }
    if let Some(given) = r.nested("timeouts")? {
        let read = |name: &str, default: Duration| match given.opt_str(name)? {
            Some(text) => {
                duration::parse(text).ok_or_else(|| given.error(name, "Not a duration", duration::ALLOWED))
            }
            None => Ok(default),
        };
        timeouts = Timeouts {
            create: read("create", timeouts.create)?,
            update: read("update", timeouts.update)?,
            delete: read("delete", timeouts.delete)?,
        };
    }
    Ok(timeouts)
}

impl VolumeModel {
    /// The node-ids that the replicas of a stored volume hold.
    pub(crate) fn held(&self) -> BTreeMap<NodeName, NodeId> {
        self.replicas.clone().unwrap_or_default()
    }
}

/// The value of the attribute `replicas`.
pub(crate) fn replicas_value(replicas: &BTreeMap<NodeName, (NodeId, FoundNode)>) -> Value {
    Value::map(replicas.iter().map(|(name, (id, node))| {
        let replica = Value::object([
            ("node_id", Value::from(u64::from(*id))),
            ("address", Value::from(node.address.clone())),
            ("backing", Value::from(node.backing.clone())),
        ]);
        (name.to_string(), replica)
    }))
}
