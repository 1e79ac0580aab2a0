// SPDX-License-Identifier: MPL-2.0
//! From a volume and its group to the declaration that goes to the hosts. Pure; used by the plan, by every apply and by
//! every read, so that all of them mean the same.

use std::collections::{BTreeMap, BTreeSet};

use drbd_engine::allocate;
use drbd_schemas::{
    ByteSize, Connection, Declaration, Minor, Node, NodeId, NodeName, Port, Resource, Secret, Storage,
    Violation, Volume, VolumeNumber,
};
use tfplugin::{Diagnostic, Diagnostics, Path};

use super::model::VolumeModel;
use crate::direct::found::FoundNode;
use crate::engine;

/// Node-ids of all replicas, by node.
pub(crate) type Ids = BTreeMap<NodeName, NodeId>;

/// Where the replicas go: those in `held` stay, with their ids.
///
/// # Errors
/// When the group's rules cannot be kept, or would give an existing volume other replicas.
pub(crate) fn place(model: &VolumeModel, held: &Ids) -> Result<Ids, Diagnostic> {
    let at = || Path::of("resource_group");
    let name = model.name.as_str();
    let sticky: BTreeSet<String> = held.keys().map(ToString::to_string).collect();
    let members = model.group.place(name, &sticky).map_err(|error| {
        let detail = format!("Cannot place the replicas of {name}: {error}. Nothing was touched.");
        Diagnostic::error("Replicas cannot be placed", detail).at(at())
    })?;
    if !held.is_empty() && (members != sticky || model.group.rules.place_count < sticky.len()) {
        let list = |names: &BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join(", ");
        let detail = format!(
            "{name} has its replicas on {}; the group now asks for {} of them. This version neither adds nor removes replicas of an \
             existing volume. Nothing was touched. Set place_count back, or make a new volume and copy the data.",
            list(&sticky),
            model.group.rules.place_count
        );
        return Err(Diagnostic::error("Replicas cannot change", detail).at(at()));
    }
    let numbers = held.iter().map(|(name, id)| (name.to_string(), u32::from(id.get()))).collect();
    let ids = allocate::node_ids(&members, &numbers, &BTreeSet::new());
    let ids = ids.map_err(|error| Diagnostic::error("Too many replicas", format!("{error}.")).at(at()))?;
    let parsed =
        ids.into_iter().map(|(name, id)| Some((NodeName::new(name).ok()?, NodeId::new(id.into()).ok()?)));
    Ok(parsed.flatten().collect())
}

/// The volume as the engine takes it.
///
/// # Errors
/// Everything that the contract does not allow, each at its attribute; nodes that are not in the group any more.
pub(crate) fn declare(
    model: &VolumeModel,
    ids: &Ids,
    port: Port,
    minor: Minor,
    secret: Option<Secret>,
) -> Result<engine::Volume, Diagnostics> {
    let (options, net, disk) = model.group.written.with(&model.written)?;
    let mut nodes = BTreeMap::new();
    let mut members = engine::Members::new();
    for (name, id) in ids {
        let (node, ssh) = node(model, name, *id)?;
        nodes.insert(name.clone(), node);
        members.insert(name.clone(), ssh);
    }
    let lvm =
        nodes.values().any(|node| matches!(node.storage, Storage::LvmThin { .. } | Storage::Lvm { .. }));
    let known = model.size_bytes.filter(|_| lvm).map(|bytes| ByteSize::from_bytes(bytes / 4096 * 4096));
    let volume = Volume { minor, size: model.size.or(known), disk: drbd_schemas::OptionSet::default() };
    let both_here = |connection: &&Connection| connection.nodes.iter().all(|node| ids.contains_key(node));
    let declaration = Declaration {
        name: model.name.clone(),
        nodes,
        volumes: BTreeMap::from([(VolumeNumber::ZERO, volume)]),
        port: Some(port),
        options,
        net,
        disk,
        shared_secret: secret,
        connections: model.group.connections.iter().filter(both_here).cloned().collect(),
        max_peers: model.group.max_peers,
        drbd: None,
    };
    let resource = Resource::try_from(declaration);
    let resource =
        resource.map_err(|invalid| invalid.violations.iter().map(diagnostic).collect::<Diagnostics>())?;
    Ok(engine::Volume { resource, members })
}

fn node(
    model: &VolumeModel,
    name: &NodeName,
    node_id: NodeId,
) -> Result<(Node, crate::ssh_settings::SshSettings), Diagnostic> {
    let missing = |what: String| {
        let detail = format!("The replica of {} on {name} {what}. Nothing was touched.", model.name);
        Diagnostic::error("Node cannot hold its replica", detail).at(Path::of("resource_group"))
    };
    let pool = &model.group.storage_pool;
    let node =
        model.group.nodes.get(name).ok_or_else(|| missing("has no node in the group any more".to_owned()))?;
    let address = node.address.ok_or_else(|| missing("has no replication address".to_owned()))?;
    let storage = node.storage(model.name.as_str());
    let storage =
        storage.ok_or_else(|| missing(format!("has no device in the storage pool {pool:?} any more")))?;
    // A plan can come before the settings are known; only an apply connects.
    Ok((Node { node_id, address, port: None, storage }, node.ssh.clone().unwrap_or_default()))
}

/// A violation at the attribute that it comes from.
pub(crate) fn diagnostic(violation: &Violation) -> Diagnostic {
    let attribute = match violation.path.split('.').next().unwrap_or_default() {
        "volumes" if violation.path.ends_with(".size") => "size",
        "volumes" if violation.path.ends_with(".minor") => "minor",
        first @ ("name" | "port" | "options" | "net" | "disk") => first,
        _ => "resource_group",
    };
    Diagnostic::error("Declaration not allowed", format!("{violation}.")).at(Path::of(attribute))
}

/// What the DRBD of a node cannot do, as far as its family is known.
pub(crate) fn unsupported(model: &VolumeModel, volume: &engine::Volume) -> Diagnostics {
    let mut found = Diagnostics::new();
    for name in volume.resource.nodes.keys() {
        let Some(family) = model.group.nodes.get(name).and_then(|node| node.family) else { continue };
        for reason in volume.resource.unsupported_by(family) {
            let detail = format!("{name} runs DRBD {family}: {reason}. Nothing was touched.");
            found.push(
                Diagnostic::error("Not supported by the host's DRBD", detail).at(Path::of("resource_group")),
            );
        }
    }
    found
}

/// What the attribute `replicas` says of each node.
pub(crate) fn replicas(volume: &engine::Volume) -> BTreeMap<NodeName, (NodeId, FoundNode)> {
    let nodes = volume.resource.nodes.iter().map(|(name, node)| {
        let found = FoundNode {
            node_id: None,
            address: Some(node.address.to_string()),
            backing: volume.resource.backing_path(name, VolumeNumber::ZERO),
        };
        (name.clone(), (node.node_id, found))
    });
    nodes.collect()
}
