// SPDX-License-Identifier: MPL-2.0
//! Backing devices: make logical volumes that are missing, find devices that must exist. Growing comes later, in
//! [`super::size`], when DRBD is attached.

use super::{Context, Plan};
use crate::host::BlockDevice;
use crate::observed::{Content, Device, Observed};
use crate::pool::sound;
use crate::refusal::Refusal;
use crate::step::{CreateLv, Planned, Step};
use crate::thin;
use crate::tools::lvm::{LogicalVolume, LvHealth, VolumeGroup};
use crate::tools::size;
use drbd_schemas::facts::ThinPoolState;
use drbd_schemas::reply::Code;
use drbd_schemas::{ByteSize, Storage, VolumeNumber};
use std::collections::BTreeSet;

/// Volumes whose logical volume comes into being in this plan.
#[derive(Debug, Default)]
pub(crate) struct Appearing {
    /// It is created.
    pub(crate) created: BTreeSet<VolumeNumber>,
    /// It is this host's own, finished by an earlier run, and is activated: what it holds cannot be looked at before.
    pub(crate) activated: BTreeSet<VolumeNumber>,
}

/// Plans the backing devices.
pub(crate) fn plan(context: &Context<'_>, plan: &mut Plan) -> Result<Appearing, Refusal> {
    let mut appearing = Appearing::default();
    for volume in context.volumes() {
        let (group, pool) = match &context.node.storage {
            Storage::Diskless {} => continue,
            Storage::Devices(_) => {
                whole_device(context, volume)?;
                continue;
            }
            Storage::Lvm { volume_group } => (volume_group.as_str(), None),
            Storage::LvmThin { volume_group, thin_pool } => (volume_group.as_str(), Some(thin_pool.as_str())),
        };
        let Some(step) = logical_volume(context, group, pool, volume, plan)? else { continue };
        let of = if matches!(step.step, Step::CreateLv(_)) {
            &mut appearing.created
        } else {
            &mut appearing.activated
        };
        of.insert(volume);
        plan.push(step);
    }
    Ok(appearing)
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
    if let Some((other, path)) = same_device(context, volume, block) {
        let message = format!(
            "{} and {path} are one device of {}: the backing devices of volumes {volume} and {other}.",
            device.path, context.name
        );
        return Err(Refusal::new(Code::Taken, message).next("Give each volume a device of its own."));
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

/// Another volume of the resource on the same device, whatever the spelling of its path.
fn same_device<'a>(
    context: &'a Context<'_>,
    volume: VolumeNumber,
    block: &BlockDevice,
) -> Option<(VolumeNumber, &'a str)> {
    let others = context.observed.devices.iter().filter(|(number, _)| **number != volume);
    let same = |device: &Device| device.block.as_ref().is_some_and(|other| other.number == block.number);
    others.filter(|(_, device)| same(device)).map(|(number, device)| (*number, device.path.as_str())).next()
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
    if let Some(lv) = context.lv(volume_group, volume).cloned() {
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
        return existing(context, volume, &lv, plan);
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

/// A logical volume that is there: activated if it is inactive and ours. Nothing is attached on a pool that cannot serve
/// it; a volume that runs already is left running, with a warning.
fn existing(
    context: &Context<'_>,
    volume: VolumeNumber,
    lv: &LogicalVolume,
    plan: &mut Plan,
) -> Result<Option<Planned>, Refusal> {
    let device = context.observed.devices.get(&volume);
    if device.is_none_or(|device| device.content != Content::AttachedHere) {
        return appearing(context.observed, volume, lv, plan);
    }
    let pool = lv.pool.as_ref().and_then(|pool| context.observed.lvm.volume(&lv.vg, pool));
    plan.warn_all(pool.map(|pool| thin::warnings(&context.observed.lvm, pool)).unwrap_or_default());
    Ok(None)
}

/// A logical volume that is about to be attached: it must be fit for that, and is activated if it is inactive and ours.
pub(super) fn appearing(
    observed: &Observed,
    volume: VolumeNumber,
    lv: &LogicalVolume,
    plan: &mut Plan,
) -> Result<Option<Planned>, Refusal> {
    let (name, node) = (format!("{}/{}", lv.vg, lv.name), observed.node.as_str());
    if let Some(pool) = lv.pool.as_ref().and_then(|pool| observed.lvm.volume(&lv.vg, pool)) {
        let state = thin::state(pool);
        // A volume that has all of its blocks needs none of the pool.
        let full = matches!(state, ThinPoolState::Full | ThinPoolState::MetadataFull);
        if !(full && thin::is_allocated(lv)) {
            thin::check(pool, state, node, &format!("{name} is not attached on it."))?;
        }
        plan.warn_all(thin::warnings(&observed.lvm, pool));
    }
    if lv.attr.health() == LvHealth::Failed {
        let message = format!("logical volume {name} on {node} has failed.");
        return Err(Refusal::new(Code::Unreadable, message).next(format!(
            "See what LVM and the kernel log say about it (lvs -o +lv_health_status {name})."
        )));
    }
    if lv.attr.is_active() { Ok(None) } else { activation(observed, volume, lv).map(Some) }
}

/// Only what this host made for this very volume, and finished, is activated: metadata are on it, and nobody else could
/// write it meanwhile.
fn activation(observed: &Observed, volume: VolumeNumber, lv: &LogicalVolume) -> Result<Planned, Refusal> {
    let name = format!("{}/{}", lv.vg, lv.name);
    let flag = if lv.attr.skips_activation() { " (it has the skip flag)" } else { "" };
    let record = observed.record.volumes.get(&volume);
    let finished = record.filter(|record| record.created_lv && record.metadata.is_some());
    if finished.is_none_or(|record| record.identity != Some(format!("lv:{}", lv.uuid))) {
        let message = format!("logical volume {name} on {} is inactive{flag}.", observed.node);
        return Err(Refusal::new(Code::Missing, message).next(format!(
            "This host does not know it as finished for volume {volume}: activate it (lvchange -ay -K {name}) if it may be looked at, then run again."
        )));
    }
    let step = Step::ActivateLv {
        volume,
        volume_group: lv.vg.clone(),
        name: lv.name.clone(),
        uuid: lv.uuid.clone(),
        filter: observed.lvm_filter.clone(),
    };
    Ok(Planned::new(step, format!("it is inactive{flag}")))
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
    let Some(group) = sound::group(&context.observed.lvm, name, context.name.as_str())? else {
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
    thin::check(found, thin::state(found), context.name.as_str(), "No volume is created in it.")?;
    let extent = context.observed.lvm.groups(group).first().map_or(1, |vg| vg.extent_bytes.max(1));
    let new = plan.creates_in(group, pool).map(|lv| lv.size_kib).chain([size_kib]);
    let rounded =
        new.map(|kib| kib.saturating_mul(1024).checked_next_multiple_of(extent).unwrap_or(u64::MAX));
    let more_bytes = rounded.fold(0, u64::saturating_add);
    plan.warn_all(thin::warnings_with(&context.observed.lvm, found, more_bytes));
    Ok(found.attr.zeroes())
}
