// SPDX-License-Identifier: MPL-2.0
//! Backing devices: make logical volumes that are missing, find devices that must exist. Growing comes later, in
//! [`super::size`], when DRBD is attached.

use super::{Context, Plan};
use crate::refusal::Refusal;
use crate::step::{CreateLv, Planned, Step};
use crate::tools::lvm::VolumeGroup;
use crate::tools::size;
use drbd_schemas::reply::Code;
use drbd_schemas::{ByteSize, Storage, VolumeNumber};
use std::collections::BTreeSet;

/// Plans the backing devices; returns the volumes whose logical volume is created in this plan.
pub(crate) fn plan(context: &Context<'_>, plan: &mut Plan) -> Result<BTreeSet<VolumeNumber>, Refusal> {
    let mut created = BTreeSet::new();
    for volume in context.volumes() {
        match &context.node.storage {
            Storage::Diskless {} => {}
            Storage::Devices(_) => whole_device(context, volume)?,
            Storage::Lvm { volume_group } => {
                if let Some(step) = logical_volume(context, volume_group.as_str(), None, volume, plan)? {
                    plan.push(step);
                    created.insert(volume);
                }
            }
            Storage::LvmThin { volume_group, thin_pool } => {
                let pool = Some(thin_pool.as_str());
                if let Some(step) = logical_volume(context, volume_group.as_str(), pool, volume, plan)? {
                    plan.push(step);
                    created.insert(volume);
                }
            }
        }
    }
    Ok(created)
}

/// What the declared size needs below DRBD, in KiB. The declaration's limits are DRBD's, so there is an answer but for
/// sizes at the very end of them, which no device has either.
pub(crate) fn gross_kib(context: &Context<'_>, net: ByteSize) -> u64 {
    size::gross_kib(net.kib(), context.peer_slots(), context.family).unwrap_or(u64::MAX / 1024)
}

fn whole_device(context: &Context<'_>, volume: VolumeNumber) -> Result<(), Refusal> {
    let Some(device) = context.observed.devices.get(&volume) else { return Ok(()) };
    let Some(block) = &device.block else {
        let message = format!(
            "{}: the backing device of volume {volume} does not exist on {}.",
            device.path, context.name
        );
        return Err(Refusal::new(Code::Missing, message)
            .next("Attach the device, or name it by a path that is there (see /dev/disk/by-id)."));
    };
    if block.is_drbd() {
        let message =
            format!("{}: the backing device of volume {volume} is itself a DRBD device.", device.path);
        return Err(Refusal::new(Code::Taken, message).next("Name the device that lies below it."));
    }
    if block.read_only {
        let message = format!("{}: the backing device of volume {volume} is read-only.", device.path);
        return Err(Refusal::new(Code::Unreadable, message).next("Make it writable."));
    }
    // Without a declared size the smallest device decides; 1 MiB is the least that a declaration could ask for.
    let declared = context.resource.volumes.get(&volume).and_then(|volume| volume.size);
    let needed = gross_kib(context, declared.unwrap_or(ByteSize::from_kib(1024)));
    if block.size_bytes / 1024 < needed {
        let message = format!(
            "{}: the backing device of volume {volume} has {} KiB, {needed} KiB are needed (data and DRBD's metadata).",
            device.path,
            block.size_bytes / 1024
        );
        return Err(
            Refusal::new(Code::TooSmall, message).next("Use a larger device, or declare a smaller size.")
        );
    }
    Ok(())
}

fn logical_volume(
    context: &Context<'_>,
    volume_group: &str,
    thin_pool: Option<&str>,
    volume: VolumeNumber,
    plan: &mut Plan,
) -> Result<Option<Planned>, Refusal> {
    let declared = context
        .resource
        .volumes
        .get(&volume)
        .and_then(|volume| volume.size)
        .unwrap_or(ByteSize::from_bytes(0));
    let group = find_group(context, volume_group, plan)?;
    let size_kib = gross_kib(context, declared);
    if let Some(lv) = context.lv(volume_group, volume) {
        if lv.pool.as_deref() != thin_pool {
            let found = lv
                .pool
                .as_deref()
                .map_or("a thick volume".to_owned(), |pool| format!("a volume of pool {pool}"));
            let message =
                format!("logical volume {volume_group}/{} is {found}, not what is declared.", lv.name);
            return Err(
                Refusal::new(Code::Taken, message).next("Declare the storage that it has, or rename it.")
            );
        }
        return Ok(None);
    }
    let mut reads_as_zeroes = thin_pool.is_some();
    if let (Some(pool), Some(_)) = (thin_pool, group) {
        reads_as_zeroes = check_pool(context, volume_group, pool, size_kib, plan)?;
    } else if let Some(group) = group
        && group.free_bytes / 1024 < size_kib
    {
        let message = format!(
            "volume group {volume_group} on {} has {} KiB free, {size_kib} KiB are needed for volume {volume}.",
            context.name,
            group.free_bytes / 1024
        );
        return Err(Refusal::new(Code::TooSmall, message)
            .next("Add a disk to the volume group, or declare a smaller size."));
    }
    let step = CreateLv {
        volume,
        volume_group: volume_group.to_owned(),
        thin_pool: thin_pool.map(str::to_owned),
        name: context.resource.lv_name(volume),
        size_kib,
        reads_as_zeroes,
        filter: context.observed.lvm_filter.clone(),
    };
    Ok(Some(Planned::new(
        Step::CreateLv(step),
        format!("volume {volume} has no backing device on this host"),
    )))
}

/// What check mode says instead of refusing.
const FORESEEN: &str =
    "Check mode assumes that an earlier task makes it; without that a real run is refused.";

/// The group; `None` where check mode foresees that it will be there.
fn find_group<'a>(
    context: &'a Context<'_>,
    name: &str,
    plan: &mut Plan,
) -> Result<Option<&'a VolumeGroup>, Refusal> {
    let Some(group) = context.observed.lvm.vgs.iter().find(|vg| vg.name == name) else {
        let known: Vec<_> = context.observed.lvm.vgs.iter().map(|vg| vg.name.as_str()).collect();
        let found = if known.is_empty() {
            "there is none".to_owned()
        } else {
            format!("there is {}", known.join(", "))
        };
        let message = format!("volume group {name} does not exist on {}; {found}.", context.name);
        if context.permits.foresee_pools {
            plan.warnings.push(format!("{message} {FORESEEN}"));
            return Ok(None);
        }
        return Err(
            Refusal::new(Code::Missing, message).next("Create it, with drbd_storage_pool for example.")
        );
    };
    if group.partial {
        let message = format!("volume group {name} on {} misses a physical volume.", context.name);
        return Err(
            Refusal::new(Code::Missing, message).next("Bring the disk back before anything is changed.")
        );
    }
    Ok(Some(group))
}

/// Checks the pool; returns whether it zeroes its chunks.
fn check_pool(
    context: &Context<'_>,
    group: &str,
    pool: &str,
    size_kib: u64,
    plan: &mut Plan,
) -> Result<bool, Refusal> {
    let found = context.observed.lvm.lvs.iter().find(|lv| lv.vg == group && lv.name == pool);
    let Some(found) = found.filter(|lv| lv.attr.is_thin_pool()) else {
        let message = format!("thin pool {group}/{pool} does not exist on {}.", context.name);
        if context.permits.foresee_pools {
            plan.warnings.push(format!("{message} {FORESEEN}"));
            return Ok(true);
        }
        return Err(
            Refusal::new(Code::Missing, message).next("Create it, with drbd_storage_pool for example.")
        );
    };
    if found.size_bytes / 1024 < size_kib {
        plan.warnings.push(format!(
            "thin pool {group}/{pool} has {} KiB in all, volume promises {size_kib} KiB: writing will fail when the pool is full",
            found.size_bytes / 1024
        ));
    }
    Ok(found.attr.zeroes())
}
