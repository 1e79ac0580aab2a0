// SPDX-License-Identifier: MPL-2.0
//! The first synchronisation of a new resource: who, how, or not at all.
//!
//! Nobody skips it before all replicas are connected and every one of them is proven blank, and exactly one node acts.
//! On a node alone DRBD accepts `new-current-uuid --clear-bitmap` too, and several such nodes are split for good
//! (docs/behaviour.md B7); so the evidence of all nodes is asked for, and the kernel's own view is looked
//! at once more.
//!
//! Where a node is Primary, because its other volumes are in use, that node acts and stays Primary: no other could, and what
//! is mounted there stays mounted.

use crate::observed::Observed;
use crate::refusal::Refusal;
use crate::step::{Planned, Step};
use crate::tools::drbdadm;
use crate::tools::drbdsetup::{ConnectionState, DiskState, ResourceStatus, RoleName};
use drbd_schemas::facts::{BackingFacts, HostFacts};
use drbd_schemas::reply::Code;
use drbd_schemas::{ByteSize, Family, NodeName, Resource, Storage, VolumeNumber};
use std::collections::BTreeSet;

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
    let undecided: Vec<VolumeNumber> =
        resource.volumes.keys().copied().filter(|number| !has_valid_data(status, *number)).collect();
    if undecided.is_empty() {
        let why =
            "every volume has valid data on some node; DRBD itself brings the others up to it".to_owned();
        return Ok(Decision::Nothing { why });
    }
    crate::agreement::check(resource.name().as_str(), evidence)?;
    let primaries = primaries(resource, &name, status);
    let actor = actor(resource, source, &primaries)?;
    if actor != name {
        return Ok(Decision::Nothing { why: format!("{actor} is the node that starts it") });
    }
    connected_and_inconsistent(resource, &name, status, &undecided)?;
    act(resource, observed, evidence, &undecided, !primaries.is_empty())
}

/// The nodes that are Primary, as this one sees them.
fn primaries(resource: &Resource, name: &NodeName, status: &ResourceStatus) -> BTreeSet<NodeName> {
    let here = (status.role == RoleName::Primary).then(|| name.clone());
    let there = status.connections.iter().filter(|connection| connection.peer_role == RoleName::Primary);
    let mut peers = resource.peers_of(name);
    // DRBD 8.4 has one peer, and calls it nothing but "peer".
    let only = peers.next().filter(|_| peers.next().is_none()).map(|(peer, _)| peer.clone());
    let there = there.filter_map(|connection| {
        only.clone().or_else(|| connection.name.as_deref().and_then(|peer| NodeName::new(peer).ok()))
    });
    here.into_iter().chain(there).collect()
}

/// This host acts: volumes whose replicas are all proven blank are declared in sync, the others are synchronised.
fn act(
    resource: &Resource,
    observed: &Observed,
    evidence: &[HostFacts],
    undecided: &[VolumeNumber],
    in_use: bool,
) -> Result<Decision, Refusal> {
    let each_has_a_role = observed.drbd.family() == Some(Family::V84);
    let mut steps = Vec::new();
    let mut unproven = Vec::new();
    let mut facts_used = Vec::new();
    for number in undecided {
        let mut proven = true;
        for node in diskful(resource) {
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
        if proven {
            let cmd = drbdadm::skip_initial_sync(resource.name().as_str(), number.get());
            let promote =
                (in_use && each_has_a_role).then(|| drbdadm::primary(resource.name().as_str(), false));
            let step = Step::SkipInitialSync { cmd, volume: *number, promote };
            let why = "every replica is connected, was never used and is proven blank";
            steps.push(Planned::new(step, why).consequence("0 bytes are synchronised"));
        } else {
            unproven.push(*number);
        }
    }
    if !unproven.is_empty() {
        steps.push(full(resource, observed, &unproven, in_use));
    }
    Ok(Decision::Act { steps, facts_used })
}

fn full(resource: &Resource, observed: &Observed, volumes: &[VolumeNumber], in_use: bool) -> Planned {
    let devices = volumes.iter().filter_map(|number| observed.device_status(*number));
    let sync_bytes = devices.filter_map(|device| device.size_kib).sum::<u64>() * 1024;
    let name = resource.name().as_str();
    let (start, demote) = match (in_use, observed.drbd.family()) {
        (false, _) => (vec![drbdadm::primary(name, true)], Some(drbdadm::secondary(name))),
        // On a Primary, DRBD 9 takes `primary --force` for nothing to do.
        (true, Some(Family::V9)) => {
            (volumes.iter().map(|number| drbdadm::force_resync(name, number.get())).collect(), None)
        }
        (true, _) => (vec![drbdadm::primary(name, true)], None),
    };
    let step = Step::StartInitialSync { start, demote, sync_bytes };
    Planned::new(step, "not every replica is proven blank, so their contents may differ")
        .consequence(format!("{} are synchronised to every peer", ByteSize::from_bytes(sync_bytes)))
}

/// Disk states of one volume, here and on every peer.
fn states(status: &ResourceStatus, number: VolumeNumber) -> impl Iterator<Item = &DiskState> {
    let here = status.devices.iter().filter(move |device| device.volume == number.get());
    let peers = status.connections.iter().flat_map(|connection| &connection.peer_devices);
    let there = peers.filter(move |peer| peer.volume == number.get());
    here.map(|device| &device.disk_state).chain(there.map(|peer| &peer.peer_disk_state))
}

/// Some replica has valid data: then DRBD itself brings the others up to it.
fn has_valid_data(status: &ResourceStatus, number: VolumeNumber) -> bool {
    states(status, number)
        .any(|state| matches!(state, DiskState::UpToDate | DiskState::Outdated | DiskState::Consistent))
}

fn diskful(resource: &Resource) -> impl Iterator<Item = &NodeName> {
    resource.nodes.iter().filter(|(_, node)| node.storage != (Storage::Diskless {})).map(|(name, _)| name)
}

/// The node that acts: one with storage that is Primary, if there is one; then `source`, or the lowest node-id.
fn actor(
    resource: &Resource,
    source: Option<&NodeName>,
    primaries: &BTreeSet<NodeName>,
) -> Result<NodeName, Refusal> {
    let in_use: Vec<&NodeName> = diskful(resource).filter(|name| primaries.contains(*name)).collect();
    if let Some(source) = source {
        if !diskful(resource).any(|name| name == source) {
            let message = format!("source {source} is not a node of {} with storage.", resource.name());
            return Err(Refusal::new(Code::Invalid, message).next("Name one that is, or leave source out."));
        }
        if let Some(primary) = in_use.first().filter(|_| !in_use.contains(&source)) {
            let message = format!(
                "{primary} is Primary of {}, so its new volumes get their first data there, not from {source}.",
                resource.name()
            );
            return Err(Refusal::new(Code::InUse, message)
                .next(format!("Leave source out, or name {primary}."))
                .next(format!("If it must be {source}, make {primary} Secondary first (drbd_role).")));
        }
        return Ok(source.clone());
    }
    let lowest = diskful(resource)
        .filter(|name| in_use.is_empty() || in_use.contains(name))
        .min_by_key(|name| resource.nodes.get(*name).map(|node| node.node_id));
    lowest.cloned().ok_or_else(|| Refusal::new(Code::Invalid, "no node has storage."))
}

fn connected_and_inconsistent(
    resource: &Resource,
    name: &NodeName,
    status: &ResourceStatus,
    undecided: &[VolumeNumber],
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
    let odd = undecided
        .iter()
        .flat_map(|number| states(status, *number))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observed::{DryRun, Needs};
    use crate::record::Record;
    use crate::tools::drbdsetup;
    use crate::tools::lvm::{Filter, LvmReport};
    use drbd_schemas::facts::{DrbdFacts, ResourceFacts, VolumeFacts};
    use drbd_schemas::{Declaration, Verdict};
    use std::collections::BTreeMap;

    fn resource() -> Resource {
        let lv = serde_json::json!({ "lvm_thin": { "volume_group": "vg0", "thin_pool": "pool" } });
        let value = serde_json::json!({
            "name": "r0", "port": 7000,
            "nodes": { "h1": { "node_id": 0, "address": "10.0.0.1", "storage": lv },
                       "h2": { "node_id": 1, "address": "10.0.0.2", "storage": lv } },
            "volumes": { "0": { "minor": 1000, "size": "64MiB" }, "1": { "minor": 1001, "size": "64MiB" } },
        });
        Resource::try_from(serde_json::from_value::<Declaration>(value).unwrap()).unwrap()
    }

    fn observed(states: [(&str, &str); 2], connection: &str) -> Observed {
        let mut text =
            "exists resource name:r0 role:Secondary suspended:no write-ordering:flush\n".to_owned();
        text += &format!(
            "exists connection name:r0 peer-node-id:0 conn-name:peer connection:{connection} role:Secondary congested:no\n"
        );
        for (volume, (here, there)) in states.iter().enumerate() {
            text += &format!(
                "exists device name:r0 volume:{volume} minor:100{volume} disk:{here} size:65536 read:0 written:0 al-writes:0 bm-writes:0 upper-pending:0 lower-pending:0 al-suspended:no blocked:no\n"
            );
            text += &format!(
                "exists peer-device name:r0 peer-node-id:0 conn-name:peer volume:{volume} replication:Established peer-disk:{there} resync-suspended:no received:0 sent:0 out-of-sync:0 pending:0 unacked:0\n"
            );
        }
        let output = crate::host::Output::of(0, text + "exists -\n", "");
        Observed {
            node: "h1".into(),
            drbd: DrbdFacts { module: Some("8.4.11".into()), loadable: None, utils: Some("9.22.0".into()) },
            record: Record::default(),
            config: None,
            conf: crate::conf::OnHost::default(),
            claims: Vec::new(),
            listening: Vec::new(),
            needs: Needs::default(),
            status: drbdsetup::parse_status(Family::V84, &output).unwrap().pop(),
            running: None,
            devices: BTreeMap::new(),
            lvm: LvmReport::default(),
            lvm_filter: Filter::default(),
            dry_run: DryRun::NotAsked,
        }
    }

    fn facts(node: &str, proofs: [Option<&str>; 2], just_created: bool) -> HostFacts {
        let volumes = proofs.iter().enumerate().map(|(number, proof)| {
            let backing = BackingFacts {
                path: format!("/dev/vg0/r0_0000{number}"),
                identity: None,
                size_bytes: None,
                verdict: Verdict::Ours,
                just_created: Some(just_created),
                blank_proof: proof.map(str::to_owned),
            };
            (number.to_string(), VolumeFacts { backing: Some(backing), ..VolumeFacts::default() })
        });
        let resource = ResourceFacts { volumes: volumes.collect(), ..ResourceFacts::default() };
        HostFacts {
            schema: String::new(),
            node: node.into(),
            kernel: String::new(),
            drbd: DrbdFacts::default(),
            config_error: None,
            resources: BTreeMap::from([("r0".into(), resource)]),
            common: None,
            volume_groups: BTreeMap::new(),
            ports_in_use: Vec::new(),
            minors_in_use: Vec::new(),
            drbd_host: String::new(),
        }
    }

    const NEW: (&str, &str) = ("Inconsistent", "Inconsistent");
    const VALID: (&str, &str) = ("UpToDate", "UpToDate");

    fn steps(observed: &Observed, evidence: &[HostFacts]) -> Vec<&'static str> {
        match decide(&resource(), observed, evidence, None).unwrap() {
            Decision::Nothing { .. } => Vec::new(),
            Decision::Act { steps, .. } => steps.iter().map(|planned| planned.step.name()).collect(),
        }
    }

    #[test]
    fn a_volume_that_was_left_out_by_a_cut_is_taken_up() {
        let proven = [facts("h1", [Some("p"); 2], true), facts("h2", [Some("p"); 2], true)];
        assert_eq!(steps(&observed([NEW, NEW], "Connected"), &proven), ["skip_initial_sync"; 2]);
        assert_eq!(steps(&observed([VALID, NEW], "Connected"), &proven), ["skip_initial_sync"]);
        assert_eq!(steps(&observed([VALID, VALID], "Connected"), &proven), [""; 0]);
    }

    #[test]
    fn only_proven_volumes_are_skipped() {
        let half = [facts("h1", [Some("p"), None], true), facts("h2", [Some("p"); 2], true)];
        assert_eq!(
            steps(&observed([NEW, NEW], "Connected"), &half),
            ["skip_initial_sync", "start_initial_sync"]
        );
    }

    #[test]
    fn without_connection_or_evidence_nothing_is_decided() {
        let proven = [facts("h1", [Some("p"); 2], true), facts("h2", [Some("p"); 2], true)];
        let alone = decide(&resource(), &observed([NEW, NEW], "Connecting"), &proven, None).unwrap_err();
        assert_eq!(alone.code, Code::Evidence);
        let one_sided =
            decide(&resource(), &observed([NEW, NEW], "Connected"), &proven[..1], None).unwrap_err();
        assert!(one_sided.message.contains("no evidence of volume 0 on h2"), "{one_sided}");
        let used = [facts("h1", [Some("p"); 2], true), facts("h2", [Some("p"); 2], false)];
        let used = decide(&resource(), &observed([NEW, NEW], "Connected"), &used, None).unwrap_err();
        assert!(used.message.contains("were used before"), "{used}");
    }

    #[test]
    fn exactly_one_host_acts() {
        let mut seen = observed([NEW, NEW], "Connected");
        seen.node = "h2".into();
        let proven = [facts("h1", [Some("p"); 2], true), facts("h2", [Some("p"); 2], true)];
        assert!(matches!(decide(&resource(), &seen, &proven, None), Ok(Decision::Nothing { .. })));
        let h2 = NodeName::new("h2").unwrap();
        assert!(matches!(decide(&resource(), &seen, &proven, Some(&h2)), Ok(Decision::Act { .. })));
    }

    /// r0 with good data in volume 0 and a new volume 1, in use on h2, as `node` sees it.
    fn in_use_on_h2(node: &str, module: &str) -> Observed {
        let mut seen = observed([VALID, NEW], "Connected");
        seen.node = node.into();
        seen.drbd.module = Some(module.into());
        let status = seen.status.as_mut().unwrap();
        match node {
            "h2" => status.role = RoleName::Primary,
            _ => status.connections[0].peer_role = RoleName::Primary,
        }
        seen
    }

    fn commands(observed: &Observed, evidence: &[HostFacts]) -> Vec<String> {
        let Decision::Act { steps, .. } = decide(&resource(), observed, evidence, None).unwrap() else {
            return Vec::new();
        };
        let ops: Vec<_> = steps.iter().flat_map(|planned| crate::ops::of(&planned.step)).collect();
        crate::ops::argv(&ops).iter().map(|words| words.join(" ")).collect()
    }

    #[test]
    fn who_is_primary_acts_and_stays_primary() {
        let proven = [facts("h1", [Some("p"); 2], true), facts("h2", [Some("p"); 2], true)];
        let unproven = [facts("h1", [None; 2], true), facts("h2", [None; 2], true)];
        for module in ["8.4.11", "9.2.18"] {
            assert_eq!(commands(&in_use_on_h2("h1", module), &proven), [""; 0], "{module}");
        }
        let skip = "drbdadm new-current-uuid --clear-bitmap r0/1";
        assert_eq!(commands(&in_use_on_h2("h2", "8.4.11"), &proven), [skip, "drbdadm primary r0"]);
        assert_eq!(commands(&in_use_on_h2("h2", "9.2.18"), &proven), [skip]);
        assert_eq!(commands(&in_use_on_h2("h2", "8.4.11"), &unproven), ["drbdadm primary --force r0"]);
        let send = "drbdadm new-current-uuid --force-resync r0/1";
        assert_eq!(commands(&in_use_on_h2("h2", "9.2.18"), &unproven), [send]);

        let h1 = NodeName::new("h1").unwrap();
        for node in ["h1", "h2"] {
            let refused = decide(&resource(), &in_use_on_h2(node, "8.4.11"), &proven, Some(&h1)).unwrap_err();
            assert!(refused.code == Code::InUse && refused.message.contains("h2 is Primary"), "{refused}");
        }
    }
}
