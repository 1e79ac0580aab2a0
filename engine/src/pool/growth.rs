// SPDX-License-Identifier: MPL-2.0
//! A disk of a storage pool that was grown, an EBS volume for example: its physical volume follows, and the thin pool that
//! filled the group takes the new space. Online; nothing here makes anything smaller. Pure.

use super::{ObservedPool, in_group};
use crate::plan::Plan;
use crate::record::GrowthNote;
use crate::step::{Planned, Step};
use crate::tools::lvm::{Filter, LogicalVolume, LvmReport, PhysicalVolume};
use drbd_schemas::args::StoragePoolArgs;

/// Less room than this many extents stays unused: LVM needs some for the pool's metadata and their spare, and a physical
/// volume never uses the last few MiB of its disk.
const LEAST_EXTENTS: u64 = 4;

/// How much larger the disk is than what LVM uses of it.
pub(super) fn room(pv: &PhysicalVolume) -> u64 {
    let used = pv.data_offset_bytes.map(|offset| offset.saturating_add(pv.size_bytes));
    if pv.missing { 0 } else { used.map_or(0, |used| pv.device_bytes.saturating_sub(used)) }
}

/// What is noted while this pool is to take the space that its disks gained.
pub(super) fn note(args: &StoragePoolArgs, lvm: &LvmReport) -> Option<GrowthNote> {
    let pool = thin_pool(args, lvm)?;
    Some(GrowthNote { volume_group: pool.vg.clone(), thin_pool: pool.uuid.clone() })
}

fn thin_pool<'l>(args: &StoragePoolArgs, lvm: &'l LvmReport) -> Option<&'l LogicalVolume> {
    let (group, pool) = (args.volume_group.as_str(), args.thin_pool.as_ref()?.as_str());
    lvm.lvs.iter().find(|lv| lv.vg == group && lv.name == pool && lv.attr.is_thin_pool())
}

/// Adds the steps.
pub(super) fn plan(args: &StoragePoolArgs, observed: &ObservedPool, filter: &Filter, plan: &mut Plan) {
    let group = args.volume_group.as_str();
    let Some(vg) = observed.lvm.vgs.iter().find(|vg| vg.name == group && !vg.partial) else { return };
    let least = vg.extent_bytes.saturating_mul(LEAST_EXTENTS);
    let grown: Vec<_> =
        observed.disks.iter().filter(|disk| in_group(disk, group) && disk.room >= least).collect();
    let filled = vg.free_bytes < least;
    let note = note(args, &observed.lvm);
    let taken_over = note.filter(|_| observed.growing || filled);
    for disk in &grown {
        let step = Step::GrowPv {
            volume_group: group.to_owned(),
            device: disk.path.clone(),
            note: taken_over.clone(),
            filter: filter.clone(),
        };
        let why = format!("the disk is {} MiB larger than what LVM uses of it", disk.room >> 20);
        plan.steps.push(Planned::new(step, why));
    }
    let Some(pool) = thin_pool(args, &observed.lvm) else { return };
    let gained = !grown.is_empty();
    match taken_over {
        Some(note) if gained || observed.growing && !filled => {
            let step = Step::GrowThinPool { name: pool.name.clone(), note, filter: filter.clone() };
            let consequence = "LVM grows the pool's metadata in proportion; volumes stay in use meanwhile";
            let planned = Planned::new(step, "it fills its volume group");
            plan.steps.push(planned.consequence(consequence.to_owned()));
        }
        Some(note) if observed.growing => {
            let step = Step::ForgetGrowth { note };
            plan.steps.push(Planned::new(step, "the pool has all of its group's space already"));
        }
        None if gained => plan.warnings.push(format!(
            "volume group {group} had free space before its disks grew, so the thin pool {group}/{} stays as large as it is; `lvextend \
             --extents +100%FREE {group}/{}` gives it all of that",
            pool.name, pool.name
        )),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::BlockDevice;
    use crate::observed::Content;
    use crate::pool::Disk;
    use crate::tools::lvm;
    use crate::tools::samples;
    use serde_json::json;

    const MIB: u64 = 1 << 20;

    fn args() -> StoragePoolArgs {
        let args = json!({ "volume_group": "vg0", "thin_pool": "pool", "disks": ["/dev/sdb"] });
        serde_json::from_value(args).unwrap()
    }

    /// A group that its pool fills, on a disk of which LVM uses all; as LVM reported it.
    fn full() -> ObservedPool {
        let sample = samples::one("lvm", "2.03.16", "report-a-full-thin-pool");
        let lvm = lvm::parse_report(&sample.output).unwrap();
        let disk = Disk {
            path: "/dev/sdb".into(),
            block: Some(BlockDevice::default()),
            pv: Some(Some("vg0".into())),
            content: Content::Unreadable("labelled".into()),
            in_use: None,
            noted_free: false,
            room: room(&lvm.pvs[0]),
        };
        ObservedPool { node: "h1".into(), lvm, disks: vec![disk], pv_names: Vec::new(), growing: false }
    }

    fn planned(observed: &ObservedPool) -> (Vec<String>, usize) {
        let mut steps = Plan::default();
        plan(&args(), observed, &Filter::default(), &mut steps);
        (steps.steps.iter().map(|planned| planned.step.name().to_owned()).collect(), steps.warnings.len())
    }

    #[test]
    fn a_disk_that_did_not_grow_is_left_alone() {
        let full = full();
        assert!(full.disks[0].room > 0 && full.disks[0].room < 4 * MIB, "{}", full.disks[0].room);
        assert_eq!(planned(&full), (vec![], 0));
    }

    /// Before the first command, after each, and after the last: every state leads on to the end, and the end is quiet.
    #[test]
    fn cut_anywhere_the_next_run_goes_on() {
        let mut state = full();
        state.disks[0].room += 1 << 30;
        assert_eq!(planned(&state), (vec!["grow_pv".into(), "grow_thin_pool".into()], 0));
        // The note is written, and nothing else.
        state.growing = true;
        assert_eq!(planned(&state), (vec!["grow_pv".into(), "grow_thin_pool".into()], 0));
        // The physical volume has grown. Without the note this would be free space that somebody left there.
        (state.disks[0].room, state.lvm.vgs[0].free_bytes) = (MIB, 1 << 30);
        assert_eq!(planned(&state), (vec!["grow_thin_pool".into()], 0));
        // The pool has grown.
        state.lvm.vgs[0].free_bytes = 0;
        assert_eq!(planned(&state), (vec!["forget_growth".into()], 0));
        state.growing = false;
        assert_eq!(planned(&state), (vec![], 0));
    }

    #[test]
    fn free_space_that_somebody_left_in_the_group_stays_free() {
        let mut state = full();
        state.lvm.vgs[0].free_bytes = 1 << 30;
        assert_eq!(planned(&state), (vec![], 0));
        state.disks[0].room += 1 << 30;
        assert_eq!(planned(&state), (vec!["grow_pv".into()], 1));
    }

    #[test]
    fn only_declared_disks_of_this_group_grow_and_none_of_a_group_with_a_lost_disk() {
        let mut state = full();
        state.disks[0].room += 1 << 30;
        let foreign = Disk { pv: Some(Some("vg1".into())), ..state.disks[0].clone() };
        let blank = Disk { pv: None, ..state.disks[0].clone() };
        assert_eq!(planned(&ObservedPool { disks: vec![foreign, blank], ..state.clone() }), (vec![], 0));
        assert_eq!(planned(&ObservedPool { disks: Vec::new(), ..state.clone() }), (vec![], 0));
        state.lvm.vgs[0].partial = true;
        assert_eq!(planned(&state), (vec![], 0));
    }

    #[test]
    fn a_missing_disk_and_an_unknown_offset_have_no_room() {
        let pv = full().lvm.pvs[0].clone();
        let larger = PhysicalVolume { device_bytes: pv.device_bytes + (1 << 30), ..pv };
        assert!(room(&larger) >= 1 << 30);
        assert_eq!(room(&PhysicalVolume { missing: true, ..larger.clone() }), 0);
        assert_eq!(room(&PhysicalVolume { data_offset_bytes: None, ..larger.clone() }), 0);
        assert_eq!(room(&PhysicalVolume { device_bytes: 1, ..larger }), 0);
    }
}
