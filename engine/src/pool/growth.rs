// SPDX-License-Identifier: MPL-2.0
//! A disk of a storage pool that was grown, an EBS volume for example: its physical volume follows, and the thin pool that
//! filled the group takes the new space. Online; nothing here makes anything smaller. Pure.

use super::{ObservedPool, in_group};
use crate::plan::Plan;
use crate::record::GrowthNote;
use crate::refusal::Refusal;
use crate::step::{Planned, Step};
use crate::tools::lvm::{Filter, LogicalVolume, LvmReport, PhysicalVolume, VolumeGroup};
use drbd_schemas::args::StoragePoolArgs;
use drbd_schemas::reply::Code;

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

/// The group, if it has all of its disks.
fn whole_group<'o>(args: &StoragePoolArgs, observed: &'o ObservedPool) -> Option<&'o VolumeGroup> {
    observed.lvm.vgs.iter().find(|vg| vg.name == args.volume_group.as_str() && !vg.partial)
}

fn least_bytes(vg: &VolumeGroup) -> u64 {
    vg.extent_bytes.saturating_mul(LEAST_EXTENTS)
}

/// What is noted before the group gains space: the thin pool filled it so far, so the new space is the pool's.
pub(super) fn to_note(args: &StoragePoolArgs, observed: &ObservedPool) -> Option<GrowthNote> {
    let filled = whole_group(args, observed).is_some_and(|vg| vg.free_bytes < least_bytes(vg));
    note(args, &observed.lvm).filter(|_| observed.growing || filled)
}

/// Adds the step that gives a pool's metadata their declared size. They never become smaller.
pub(super) fn metadata(
    args: &StoragePoolArgs,
    observed: &ObservedPool,
    added: bool,
    filter: &Filter,
    plan: &mut Plan,
) -> Result<(), Refusal> {
    let (Some(wanted), Some(pool)) = (args.thin_pool_metadata_size, thin_pool(args, &observed.lvm)) else {
        return Ok(());
    };
    let (Some(vg), Some(found)) = (whole_group(args, observed), pool.metadata_bytes) else { return Ok(()) };
    let Some(missing) = wanted.bytes().checked_sub(found).filter(|bytes| *bytes > 0) else { return Ok(()) };
    let gains =
        added || observed.disks.iter().any(|disk| in_group(disk, &vg.name) && disk.room >= least_bytes(vg));
    // The spare, which LVM keeps for a repair, grows with them.
    let needed = missing.next_multiple_of(vg.extent_bytes.max(1)).saturating_mul(2);
    if !gains && vg.free_bytes < needed {
        let message = format!(
            "the metadata of thin pool {}/{} on {} have {} MiB and {wanted} is declared; {} MiB more are needed for them and their spare, and the volume group has {} MiB free.",
            vg.name,
            pool.name,
            observed.node,
            found >> 20,
            needed >> 20,
            vg.free_bytes >> 20
        );
        return Err(Refusal::new(Code::TooSmall, message)
            .next("Declare a further disk for the group, or leave thin_pool_metadata_size as it was."));
    }
    let step = Step::GrowPoolMetadata {
        volume_group: vg.name.clone(),
        name: pool.name.clone(),
        to_kib: wanted.kib(),
        filter: filter.clone(),
    };
    plan.steps.push(Planned::new(step, format!("they have {} MiB and {wanted} is declared", found >> 20)));
    Ok(())
}

/// Adds the steps by which physical volumes and the thin pool take what the group gains; `added`: also by new disks.
pub(super) fn plan(
    args: &StoragePoolArgs,
    observed: &ObservedPool,
    added: bool,
    filter: &Filter,
    plan: &mut Plan,
) {
    let group = args.volume_group.as_str();
    let Some(vg) = whole_group(args, observed) else { return };
    let least = least_bytes(vg);
    let grown: Vec<_> =
        observed.disks.iter().filter(|disk| in_group(disk, group) && disk.room >= least).collect();
    let filled = vg.free_bytes < least;
    let taken_over = to_note(args, observed);
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
    let gained = added || !grown.is_empty();
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
            "volume group {group} had free space before it gained more, so the thin pool {group}/{} stays as large as it is; `lvextend \
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
    use drbd_schemas::ByteSize;
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
        ObservedPool {
            node: "h1".into(),
            lvm,
            disks: vec![disk],
            pv_names: Vec::new(),
            growing: false,
            hidden: Vec::new(),
        }
    }

    fn planned(observed: &ObservedPool) -> (Vec<String>, usize) {
        of_args(&args(), observed, false)
    }

    fn of_args(args: &StoragePoolArgs, observed: &ObservedPool, added: bool) -> (Vec<String>, usize) {
        let mut steps = Plan::default();
        plan(args, observed, added, &Filter::default(), &mut steps);
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

    /// The same for a disk that is added to a group which its pool filled: as a whole run plans it.
    #[test]
    fn the_pool_takes_its_share_of_an_added_disk_cut_anywhere() {
        let mut args = args();
        args.disks.push("/dev/sdc".to_owned().try_into().unwrap());
        let mut state = full();
        let number = |number: &str| BlockDevice { number: number.into(), ..BlockDevice::default() };
        state.disks[0].block = Some(number("8:16"));
        let new = Disk {
            path: "/dev/sdc".into(),
            pv: None,
            content: Content::Zeroes,
            block: Some(number("8:32")),
            room: 0,
            ..state.disks[0].clone()
        };
        state.disks.push(new);
        let steps = |state: &ObservedPool| {
            let plan = crate::pool::plan(&args, state, &[], &Filter::default()).unwrap();
            plan.steps.iter().map(|planned| planned.step.name()).collect::<Vec<_>>()
        };
        assert_eq!(steps(&state), ["create_pv", "extend_vg", "grow_thin_pool"]);
        // The label is there; then the note.
        (state.disks[1].pv, state.disks[1].noted_free) = (Some(None), true);
        assert_eq!(steps(&state), ["extend_vg", "grow_thin_pool"]);
        state.growing = true;
        assert_eq!(steps(&state), ["extend_vg", "grow_thin_pool"]);
        // The group has the disk. Without the note this would be free space that somebody left there.
        (state.disks[1].pv, state.disks[1].noted_free) = (Some(Some("vg0".into())), false);
        state.lvm.vgs[0].free_bytes = 1 << 30;
        assert_eq!(steps(&state), ["grow_thin_pool"]);
        state.lvm.vgs[0].free_bytes = 0;
        assert_eq!(steps(&state), ["forget_growth"]);
        state.growing = false;
        assert_eq!(steps(&state), Vec::<&str>::new());
        // Space that somebody left in the group stays free, and so does what a new disk adds.
        (state.disks[1].pv, state.lvm.vgs[0].free_bytes) = (None, 1 << 30);
        assert_eq!(steps(&state), ["create_pv", "extend_vg"]);
    }

    #[test]
    fn metadata_grow_to_the_declared_size_and_their_spare_with_them() {
        let mut args = args();
        let mut state = full();
        let pool = state.lvm.lvs.iter_mut().find(|lv| lv.name == "pool").unwrap();
        pool.metadata_bytes = Some(8 * MIB);
        let outcome = |args: &StoragePoolArgs, state: &ObservedPool, added| {
            let mut steps = Plan::default();
            metadata(args, state, added, &Filter::default(), &mut steps)?;
            Ok::<_, Refusal>(steps.steps.iter().map(|planned| planned.step.to_string()).collect::<Vec<_>>())
        };
        for enough in [None, Some(4), Some(8)] {
            args.thin_pool_metadata_size = enough.map(|mib| ByteSize::from_bytes(mib * MIB));
            assert_eq!(outcome(&args, &state, false).unwrap(), Vec::<String>::new());
        }
        args.thin_pool_metadata_size = Some(ByteSize::from_bytes(17 * MIB));
        let refusal = outcome(&args, &state, false).unwrap_err();
        assert!(refusal.code == Code::TooSmall && refusal.message.contains("24 MiB more"), "{refusal:?}");
        let grown = ["grow the metadata of thin pool vg0/pool to 17408 KiB"];
        assert_eq!(outcome(&args, &state, true).unwrap(), grown);
        state.lvm.vgs[0].free_bytes = 24 * MIB;
        assert_eq!(outcome(&args, &state, false).unwrap(), grown);
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
