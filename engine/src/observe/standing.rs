// SPDX-License-Identifier: MPL-2.0
//! Logical volumes that this host made, that a running resource has, and of which the kernel tells everything that a plan
//! asks: then LVM is not asked. Its report reads every disk of the host, and takes longer than everything else of a run
//! with nothing to do.
//!
//! The device-mapper UUID is the record's, so it is the volume that was made; its name is what LVM calls it now; what it
//! stands on is its pool; its size is the device's. Anything that does not fit exactly, or could call for a change of
//! LVM's, makes this `None`. What only LVM knows, and nothing is decided by here: free space, a lost disk of the group
//! below other volumes.

use super::created::own_volume;
use super::devices::Backing;
use crate::host::{BlockDevice, Host, HostError, NamedVolume};
use crate::observed::Observed;
use crate::plan::peer_slots;
use crate::record::Phase;
use crate::tools::Family;
use crate::tools::drbdsetup::DiskState;
use crate::tools::lvm::{LvmReport, VolumeGroup, dm_name};
use crate::tools::size;
use drbd_schemas::{LvmName, Node, Resource, Storage, Volume, VolumeNumber};

/// LVM's own default. A group with another one is asked for.
const EXTENT_BYTES: u64 = 4 << 20;

/// Where a declaration wants a node's volumes.
struct Place<'a> {
    group: &'a LvmName,
    pool: Option<&'a LvmName>,
}

/// The report that LVM would give of the resource's volumes; `None` when LVM has to be asked.
pub(super) fn report(
    host: &impl Host,
    observed: &Observed,
    declared: &Resource,
    node: &Node,
    family: Family,
    backings: &[Backing<'_>],
) -> Result<Option<LvmReport>, HostError> {
    let place = match &node.storage {
        Storage::LvmThin { volume_group, thin_pool } => Place { group: volume_group, pool: Some(thin_pool) },
        Storage::Lvm { volume_group } => Place { group: volume_group, pool: None },
        Storage::Devices(_) | Storage::Diskless {} => return Ok(None),
    };
    if observed.status.is_none() {
        return Ok(None);
    }
    let mut report = LvmReport::default();
    for Backing { number, volume, path, block } in backings {
        // What is to be attached stands on a pool that must be fit for it, which only LVM tells.
        if !has_disk(observed, *number) {
            return Ok(None);
        }
        let Some(wanted) = wanted_bytes(declared, volume, family) else { return Ok(None) };
        let Some(block) = block else { return Ok(None) };
        let found = recorded(observed, *number, path, block).filter(|_| block.size_bytes == wanted);
        let Some(found) = found else { return Ok(None) };
        let name = declared.lv_name(*number);
        if !place.is_met(host, &name, block)? {
            return Ok(None);
        }
        if report.vgs.is_empty() {
            report.vgs.push(group(&place, &found));
        }
        let pool = place.pool.map(LvmName::as_str);
        report.lvs.push(own_volume(place.group.as_str(), &name, pool, found.uuid, block.size_bytes));
    }
    Ok(Some(report))
}

fn has_disk(observed: &Observed, number: VolumeNumber) -> bool {
    let device = observed.device_status(number);
    device.is_some_and(|device| !matches!(device.disk_state, DiskState::Diskless | DiskState::Failed))
}

/// The size that LVM rounds to; `None` where none is declared.
fn wanted_bytes(declared: &Resource, volume: &Volume, family: Family) -> Option<u64> {
    let gross = size::gross_kib(volume.size?.kib(), peer_slots(declared, family), family)?;
    gross.checked_mul(1024)?.checked_next_multiple_of(EXTENT_BYTES)
}

/// The volume, if it is the one that this host made and finished.
fn recorded(
    observed: &Observed,
    number: VolumeNumber,
    path: &str,
    block: &BlockDevice,
) -> Option<NamedVolume> {
    let record = observed.record.volumes.get(&number)?;
    let own = record.created_lv && record.phase == Phase::Created && record.path == path;
    let same = record.identity.as_deref() == Some(block.identity(path).as_str());
    block.logical_volume().filter(|_| own && same)
}

fn group(place: &Place<'_>, volume: &NamedVolume) -> VolumeGroup {
    VolumeGroup {
        name: place.group.to_string(),
        uuid: volume.group_uuid.clone(),
        size_bytes: 0,
        free_bytes: 0,
        extent_bytes: EXTENT_BYTES,
        partial: false,
    }
}

impl Place<'_> {
    /// The device is LVM's volume of this name in the group, and stands on the pool, or on none.
    fn is_met(&self, host: &impl Host, name: &str, block: &BlockDevice) -> Result<bool, HostError> {
        if block.dm_name.as_deref() != Some(dm_name(&[self.group.as_str(), name]).as_str()) {
            return Ok(false);
        }
        let mut below = Vec::new();
        for slave in &block.slaves {
            // A disk, or a partition, has no such file.
            let name = host.read(&format!("/sys/class/block/{slave}/dm/name"))?;
            below.push(name.unwrap_or_default().trim_end().to_owned());
        }
        Ok(match self.pool {
            Some(pool) => {
                matches!(below.as_slice(), [one] if *one == dm_name(&[self.group.as_str(), pool.as_str()]) + POOL)
            }
            // Of a thick volume nothing but disks is known to be harmless.
            None => !below.is_empty() && below.iter().all(String::is_empty),
        })
    }
}

/// What LVM appends to the device of a pool that volumes stand on.
const POOL: &str = "-tpool";
