// SPDX-License-Identifier: MPL-2.0
//! Whether a volume group is fit to be changed: it is the only one of its name, and has all of its disks. Pure.

use super::ObservedPool;
use crate::refusal::Refusal;
use crate::tools::lvm::{LvmReport, PhysicalVolume, VolumeGroup};
use drbd_schemas::reply::Code;

/// The group of this name, if there is one.
///
/// # Errors
/// A refusal: a disk of it is missing, or it shares its name.
pub(crate) fn group<'l>(
    lvm: &'l LvmReport,
    name: &str,
    node: &str,
) -> Result<Option<&'l VolumeGroup>, Refusal> {
    let groups = lvm.groups(name);
    if groups.len() > 1 {
        let uuids: Vec<&str> = groups.iter().map(|group| group.uuid.as_str()).collect();
        let message = format!("{node} has {} volume groups named {name}: {}.", uuids.len(), uuids.join(", "));
        return Err(Refusal::new(Code::Taken, message)
            .next("Rename the other one by its UUID: vgrename <uuid> <new name>."));
    }
    let Some(group) = groups.first() else { return Ok(None) };
    if !group.partial {
        return Ok(Some(group));
    }
    let missing: Vec<String> = lvm.missing(name).map(PhysicalVolume::told).collect();
    let message = format!("volume group {name} on {node} misses a physical volume: {}.", missing.join(", "));
    Err(Refusal::new(Code::Missing, message)
        .next("Bring that disk back before anything is changed.")
        .next(format!("If it is there again and LVM still calls it missing (pvs), run: vgextend --restoremissing {name} <disk>."))
        .next(format!("If it is lost for good: vgreduce --removemissing {name} (LVM names the volumes that lose data).")))
}

/// Each declared disk is named once, whatever the spelling.
///
/// # Errors
/// A refusal that names both.
pub(super) fn named_once(observed: &ObservedPool) -> Result<(), Refusal> {
    for (i, disk) in observed.disks.iter().enumerate() {
        let Some(block) = &disk.block else { continue };
        let same = observed.disks[..i].iter().find(|other| {
            other.block.as_ref().is_some_and(|other| {
                other.number == block.number || other.wwn.is_some() && other.wwn == block.wwn
            })
        });
        if let Some(other) = same {
            let message = format!(
                "{} and {} are one disk of {} ({}).",
                other.path, disk.path, observed.node, block.kernel_name
            );
            return Err(Refusal::new(Code::Invalid, message).next("Name each disk once."));
        }
    }
    Ok(())
}
