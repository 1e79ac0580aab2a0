// SPDX-License-Identifier: MPL-2.0
//! Looks at logical volumes that this run has just created, without asking LVM once more: a report costs as much as
//! everything else of a second look together. The kernel's word is taken for what is proven by it: the device-mapper
//! UUID names the volume and its group, and the size is the device's.
//!
//! Not here: volumes that were there before, or that grew; for those LVM is asked.

use crate::host::{Host, HostError};
use crate::plan::Plan;
use crate::record::LV_TAG;
use crate::step::{CreateLv, Step};
use crate::tools::lvm::{LogicalVolume, LvAttr, LvmReport};

/// The report of the first look with the plan's new volumes in it. `None` when that is not the whole story, and LVM has
/// to be asked: the plan changed something else of LVM's, or the kernel does not show what was created.
pub(crate) fn report(
    host: &impl Host,
    before: &LvmReport,
    plan: &Plan,
) -> Result<Option<LvmReport>, HostError> {
    let mut report = before.clone();
    for planned in &plan.steps {
        match &planned.step {
            Step::CreateLv(created) => match volume(host, before, created)? {
                Some(volume) => report.lvs.push(volume),
                None => return Ok(None),
            },
            Step::LoadModule { .. }
            | Step::WriteConfig { .. }
            | Step::KeepFile { .. }
            | Step::AcceptConfig { .. }
            | Step::WipeContent { .. }
            | Step::CreateMetadata(_)
            | Step::AdoptMetadata { .. }
            | Step::ForgetPeer { .. }
            | Step::Adjust { .. } => {}
            _ => return Ok(None),
        }
    }
    Ok(Some(report))
}

fn volume(
    host: &impl Host,
    before: &LvmReport,
    created: &CreateLv,
) -> Result<Option<LogicalVolume>, HostError> {
    let path = format!("/dev/{}/{}", created.volume_group, created.name);
    let Some(block) = host.block_device(&path)? else { return Ok(None) };
    let group = before.vgs.iter().find(|group| group.name == created.volume_group);
    let Some((group, volume)) = group.zip(block.logical_volume()) else { return Ok(None) };
    if volume.group_uuid != group.uuid {
        return Ok(None);
    }
    // Tag and pool are what the command was told; it exited 0.
    let (group, name, pool) = (&created.volume_group, &created.name, created.thin_pool.as_deref());
    Ok(Some(own_volume(group, name, pool, volume.uuid, block.size_bytes)))
}

/// What LVM would report of a volume that this host made, as far as the kernel shows it.
pub(super) fn own_volume(
    group: &str,
    name: &str,
    pool: Option<&str>,
    uuid: String,
    size_bytes: u64,
) -> LogicalVolume {
    LogicalVolume {
        vg: group.to_owned(),
        name: name.to_owned(),
        uuid,
        size_bytes,
        // The kernel shows its device.
        attr: LvAttr::of_active(pool.is_some()),
        tags: vec![LV_TAG.to_owned()],
        pool: pool.map(str::to_owned),
        data_percent: None,
        metadata_percent: None,
        metadata_bytes: None,
        origin: None,
        layout: Vec::new(),
    }
}
