// SPDX-License-Identifier: MPL-2.0
//! The first synchronisation of a new resource: who, how, or not at all.
//!
//! Nobody skips it before all replicas are connected and every one of them is proven blank, and exactly one node acts.
//! On a node alone DRBD accepts `new-current-uuid --clear-bitmap` too, and several such nodes are split for good
//! (drbd9.md, "First synchronisation"); so the evidence of all nodes is asked for, and the kernel's own view is looked
//! at once more.

use crate::observed::Observed;
use crate::refusal::Refusal;
use crate::step::{Planned, Step};
use crate::tools::drbdadm;
use crate::tools::drbdsetup::{ConnectionState, DiskState, ResourceStatus, RoleName};
use drbd_schemas::facts::{BackingFacts, HostFacts};
use drbd_schemas::reply::Code;
use drbd_schemas::{ByteSize, NodeName, Resource, Storage, VolumeNumber};

/// What a host has to do about the first synchronisation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing: there is valid data, or another node acts.
    Nothing {
        /// Why.
        why: String,
    },
    /// This host acts.
    Act {
        /// The steps.
        steps: Vec<Planned>,
        /// On what the decision rests.
        facts_used: Vec<String>,
    },
}

/// Decides for this host.
///
/// # Errors
/// A refusal when evidence is missing, or peers are not connected.
pub fn decide(
    resource: &Resource,
    observed: &Observed,
    evidence: &[HostFacts],
    source: Option<&NodeName>,
) -> Result<Decision, Refusal> {
    let (name, _) = crate::plan::preflight::this_node(resource, observed)?;
    crate::plan::preflight::family(observed)?;
    let Some(status) = &observed.status else {
        let message = format!("resource {} is not up on {name}.", resource.name());
        return Err(Refusal::new(Code::Missing, message)
            .next("Converge every node first (drbd_resource, state: present)."));
    };
    if observed.record.promoted_for_sync && status.role == RoleName::Primary {
        let step = Step::GiveRoleBack { demote: drbdadm::secondary(resource.name().as_str()) };
        let why = "an earlier run was cut after it started the first synchronisation";
        return Ok(Decision::Act { steps: vec![Planned::new(step, why)], facts_used: Vec::new() });
    }
    if let Some(why) = already_valid(status) {
        return Ok(Decision::Nothing { why });
    }
    let actor = actor(resource, source)?;
    if actor != name {
        return Ok(Decision::Nothing { why: format!("{actor} is the node that starts it") });
    }
    connected_and_inconsistent(resource, &name, status)?;
    let diskful: Vec<&NodeName> = diskful(resource).collect();
    let mut steps = Vec::new();
    let mut facts_used = Vec::new();
    let mut proven = true;
    for number in resource.volumes.keys() {
        for node in &diskful {
            let backing = backing(resource, evidence, node, *number)?;
            never_used(backing, node, *number)?;
            match &backing.blank_proof {
                Some(proof) => facts_used.push(format!("{node}: {proof}")),
                None => {
                    proven = false;
                    facts_used.push(format!("{node}: {} is not proven to read as zeroes", backing.path));
                }
            }
        }
    }
    if proven {
        for number in resource.volumes.keys() {
            let cmd = drbdadm::skip_initial_sync(resource.name().as_str(), number.get());
            let step = Step::SkipInitialSync { cmd, volume: *number };
            let why = "every replica is connected, was never used and is proven blank";
            steps.push(Planned::new(step, why).consequence("0 bytes are synchronised"));
        }
    } else {
        steps.push(full(resource, observed));
    }
    Ok(Decision::Act { steps, facts_used })
}

fn full(resource: &Resource, observed: &Observed) -> Planned {
    let devices = observed.status.iter().flat_map(|status| &status.devices);
    let sync_bytes = devices.filter_map(|device| device.size_kib).sum::<u64>() * 1024;
    let name = resource.name().as_str();
    let step = Step::StartInitialSync {
        promote: drbdadm::primary(name, true),
        demote: drbdadm::secondary(name),
        sync_bytes,
    };
    Planned::new(step, "not every replica is proven blank, so their contents may differ")
        .consequence(format!("{} are synchronised to every peer", ByteSize::from_bytes(sync_bytes)))
}

/// Some replica has valid data: then DRBD itself brings the others up to it.
fn already_valid(status: &ResourceStatus) -> Option<String> {
    let valid = |state: &DiskState| {
        matches!(state, DiskState::UpToDate | DiskState::Outdated | DiskState::Consistent)
    };
    if let Some(device) = status.devices.iter().find(|device| valid(&device.disk_state)) {
        return Some(format!("volume {} here is {} already", device.volume, device.disk_state));
    }
    let peers = status.connections.iter().flat_map(|connection| &connection.peer_devices);
    peers.into_iter().find(|peer| valid(&peer.peer_disk_state)).map(|peer| {
        format!(
            "volume {} on a peer is {} already: DRBD synchronises from it",
            peer.volume, peer.peer_disk_state
        )
    })
}

fn diskful(resource: &Resource) -> impl Iterator<Item = &NodeName> {
    resource.nodes.iter().filter(|(_, node)| node.storage != (Storage::Diskless {})).map(|(name, _)| name)
}

fn actor(resource: &Resource, source: Option<&NodeName>) -> Result<NodeName, Refusal> {
    if let Some(source) = source {
        if diskful(resource).any(|name| name == source) {
            return Ok(source.clone());
        }
        let message = format!("source {source} is not a node of {} with storage.", resource.name());
        return Err(Refusal::new(Code::Invalid, message).next("Name one that is, or leave source out."));
    }
    let lowest = diskful(resource).min_by_key(|name| resource.nodes.get(*name).map(|node| node.node_id));
    lowest.cloned().ok_or_else(|| Refusal::new(Code::Invalid, "no node has storage."))
}

fn connected_and_inconsistent(
    resource: &Resource,
    name: &NodeName,
    status: &ResourceStatus,
) -> Result<(), Refusal> {
    let peers = resource.peers_of(name).count();
    let connected =
        status.connections.iter().filter(|c| c.connection_state == ConnectionState::Connected).count();
    if connected < peers {
        let message = format!(
            "{connected} of {peers} peers of {} are connected; the first synchronisation is decided only when all are.",
            resource.name()
        );
        return Err(Refusal::new(Code::Evidence, message)
            .next("Wait until all are connected (drbd_wait, condition: connected)."));
    }
    let states = status.devices.iter().map(|device| &device.disk_state);
    let peer_states =
        status.connections.iter().flat_map(|c| &c.peer_devices).map(|peer| &peer.peer_disk_state);
    let odd = states
        .chain(peer_states)
        .find(|state| !matches!(state, DiskState::Inconsistent | DiskState::Diskless));
    if let Some(state) = odd {
        let message =
            format!("a disk of {} is {state}; a new resource's disks are Inconsistent.", resource.name());
        return Err(
            Refusal::new(Code::Evidence, message).next("Look at `drbdadm status`; wait until it settles.")
        );
    }
    Ok(())
}

fn backing<'a>(
    resource: &Resource,
    evidence: &'a [HostFacts],
    node: &NodeName,
    number: VolumeNumber,
) -> Result<&'a BackingFacts, Refusal> {
    let facts = evidence.iter().find(|facts| facts.node == node.as_str());
    let volumes = facts.and_then(|facts| facts.resources.get(resource.name().as_str())).map(|r| &r.volumes);
    let backing =
        volumes.and_then(|volumes| volumes.get(&number.to_string())).and_then(|v| v.backing.as_ref());
    backing.ok_or_else(|| {
        let message = format!("there is no evidence of volume {number} on {node}.");
        Refusal::new(Code::Evidence, message)
            .next("Give the facts of drbd_info from every node, taken after every node was converged.")
    })
}

fn never_used(backing: &BackingFacts, node: &NodeName, number: VolumeNumber) -> Result<(), Refusal> {
    if backing.just_created == Some(true) {
        return Ok(());
    }
    let message = format!(
        "the metadata of volume {number} on {node} were used before (or it is not known): it may hold data."
    );
    Err(Refusal::new(Code::Evidence, message)
        .next("Decide by hand whose data is good: `drbdadm primary --force` on that node, once.")
        .next("If the facts are old, take them again."))
}
