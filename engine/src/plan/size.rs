// SPDX-License-Identifier: MPL-2.0
//! Growing. A transaction over the cluster: every backing device first, then DRBD, then (not here) the file system. A
//! shrink is refused: DRBD would do it below a mounted file system with exit 0 (docs/behaviour.md B8).

use super::{Context, Plan, storage};
use crate::refusal::Refusal;
use crate::step::{Planned, Step};
use crate::tools::drbdsetup::{ConnectionState, DeviceStatus, DiskState, RoleName};
use crate::tools::size;
use drbd_schemas::reply::{Code, Pending};
use drbd_schemas::{ByteSize, NodeName, Storage, VolumeNumber};
use std::collections::BTreeSet;

pub(crate) fn plan(
    context: &Context<'_>,
    created: &BTreeSet<VolumeNumber>,
    plan: &mut Plan,
) -> Result<(), Refusal> {
    for (number, volume) in &context.resource.volumes {
        let Some(wanted) = volume.size else { continue };
        if created.contains(number) {
            continue;
        }
        backing(context, *number, wanted, plan)?;
        device(context, *number, wanted, plan)?;
    }
    Ok(())
}

fn backing(
    context: &Context<'_>,
    number: VolumeNumber,
    wanted: ByteSize,
    plan: &mut Plan,
) -> Result<(), Refusal> {
    let (Storage::LvmThin { volume_group, .. } | Storage::Lvm { volume_group }) = &context.node.storage
    else {
        return Ok(());
    };
    let Some(lv) = context.lv(volume_group.as_str(), number) else { return Ok(()) };
    let group = context.observed.lvm.vgs.iter().find(|vg| vg.name == volume_group.as_str());
    let extent_kib = group.map_or(1, |vg| (vg.extent_bytes / 1024).max(1));
    let needed_kib = storage::gross_kib(context, wanted);
    let rounded_kib = needed_kib.div_ceil(extent_kib) * extent_kib;
    let found_kib = lv.size_bytes / 1024;
    if found_kib > rounded_kib {
        return Err(shrink(context, number, wanted, found_kib));
    }
    if found_kib < rounded_kib {
        let free_kib = group.map_or(0, |vg| vg.free_bytes / 1024);
        if lv.pool.is_none() && free_kib < rounded_kib - found_kib {
            let message = format!(
                "volume group {volume_group} on {} has {free_kib} KiB free, {} KiB are needed to grow volume {number}.",
                context.name,
                rounded_kib - found_kib
            );
            return Err(Refusal::new(Code::TooSmall, message).next("Add a disk to the volume group."));
        }
        let snapshots = context.observed.lvm.snapshots_of(lv);
        if lv.attr.has_snapshot() || !snapshots.is_empty() {
            let name = format!("{volume_group}/{}", lv.name);
            let message = format!(
                "logical volume {name} on {} has a classic snapshot ({}), and LVM does not grow a volume in use that has one.",
                context.name,
                snapshots.join(", ")
            );
            return Err(Refusal::new(Code::InUse, message)
                .next("Remove the snapshot when it is no longer needed (lvremove), then run again."));
        }
        let step = Step::ExtendLv {
            volume: number,
            volume_group: volume_group.to_string(),
            name: lv.name.clone(),
            from_bytes: lv.size_bytes,
            to_kib: rounded_kib,
            filter: context.observed.lvm_filter.clone(),
        };
        plan.push(Planned::new(step, format!("volume {number} is declared with {wanted}")));
    }
    Ok(())
}

fn shrink(context: &Context<'_>, number: VolumeNumber, wanted: ByteSize, found_kib: u64) -> Refusal {
    let usable =
        ByteSize::from_kib(size::net_kib(found_kib, context.peer_slots(), context.family).unwrap_or(0));
    let message = format!(
        "volume {number} of {} has {usable}, {wanted} is declared: shrinking would cut off data.",
        context.resource.name()
    );
    Refusal::new(Code::Shrink, message)
        .next(format!("Declare {usable}, or make a new, smaller resource and copy the data."))
}

/// DRBD's own size. It takes effect only when every replica's backing device has grown and all are connected; before,
/// `resize` exits 0 and does nothing (docs/behaviour.md B8).
fn device(
    context: &Context<'_>,
    number: VolumeNumber,
    wanted: ByteSize,
    plan: &mut Plan,
) -> Result<(), Refusal> {
    let Some(status) = context.observed.device_status(number) else { return Ok(()) };
    let Some(size_kib) = status.size_kib.filter(|kib| *kib > 0 && *kib < wanted.kib()) else { return Ok(()) };
    let what = format!("grow volume {number} of {} to {wanted}", context.resource.name());
    if let Some(waits_for) = not_yet(context, status, number, wanted) {
        plan.pending.push(Pending { what, waits_for });
        return Ok(());
    }
    let sync_bytes = wanted.bytes().saturating_sub(size_kib * 1024);
    let resource = context.resource.name().to_string();
    let promote = !any_primary(context);
    let step = Step::Resize { resource, volume: number, to_bytes: wanted.bytes(), sync_bytes, promote };
    plan.push(
        Planned::new(
            step,
            format!("the device has {}, and every backing device has grown", ByteSize::from_kib(size_kib)),
        )
        .consequence(format!("{} are synchronised to every peer", ByteSize::from_bytes(sync_bytes))),
    );
    Ok(())
}

fn any_primary(context: &Context<'_>) -> bool {
    let status = context.observed.status.as_ref();
    let peers = status.into_iter().flat_map(|status| &status.connections).map(|c| &c.peer_role);
    peers.chain(status.map(|status| &status.role)).any(|role| *role == RoleName::Primary)
}

fn not_yet(
    context: &Context<'_>,
    status: &DeviceStatus,
    number: VolumeNumber,
    wanted: ByteSize,
) -> Option<String> {
    if status.disk_state != DiskState::UpToDate {
        return Some(format!("the disk on {} to be UpToDate (it is {})", context.name, status.disk_state));
    }
    let connections = context.observed.status.as_ref().map(|s| s.connections.as_slice()).unwrap_or_default();
    let connected = connections.iter().filter(|c| c.connection_state == ConnectionState::Connected).count();
    let peers = context.resource.peers_of(&context.name).count();
    if connected < peers {
        return Some(format!("all {peers} peers to be connected ({connected} are)"));
    }
    if connections.iter().flat_map(|c| &c.peer_devices).any(|peer| peer.replication_state.is_resync()) {
        return Some("the running resync to end".to_owned());
    }
    let needed = storage::gross_kib(context, wanted) * 1024;
    let grown = |name: &NodeName| {
        let facts = context.permits.evidence.iter().find(|facts| facts.node == name.as_str());
        let volumes =
            facts.and_then(|facts| facts.resources.get(context.resource.name().as_str())).map(|r| &r.volumes);
        let backing = volumes.and_then(|v| v.get(&number.to_string())).and_then(|v| v.backing.as_ref());
        backing.and_then(|backing| backing.size_bytes).is_some_and(|bytes| bytes >= needed)
    };
    let diskful =
        context.resource.peers_of(&context.name).filter(|(_, node)| node.storage != (Storage::Diskless {}));
    let missing: Vec<String> =
        diskful.filter(|(name, _)| !grown(name)).map(|(name, _)| name.to_string()).collect();
    if missing.is_empty() {
        return None;
    }
    Some(format!(
        "evidence that the backing devices on {} have grown (facts of drbd_info)",
        missing.join(", ")
    ))
}
