// SPDX-License-Identifier: MPL-2.0
//! From steps to operations: the one place that knows which commands a step needs. Pure, so that check mode can print
//! the argument vectors of the real run.

use crate::host::Cmd;
use crate::record::{GrowthNote, LV_TAG};
use crate::step::{CreateLv, CreateMetadata, Minor, PoolDisk, Step};
use crate::tools::drbdmeta::{self, Overwrite};
use crate::tools::{drbdadm, drbdsetup, lvm, modinfo, wipefs};
use drbd_schemas::VolumeNumber;
use std::collections::BTreeSet;
use std::time::Duration;

/// One thing to do, in the order given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Run a command; anything but exit 0 is a failure.
    Run(Cmd),
    /// Write a file.
    Write {
        /// Where.
        path: String,
        /// Its text.
        text: String,
        /// Its mode.
        mode: u32,
    },
    /// Remove a file.
    Remove(String),
    /// Note in the record that a volume is about to be made.
    NoteCreating {
        /// The volume.
        volume: VolumeNumber,
        /// Its device.
        device: String,
        /// The device is a logical volume of our making.
        created_lv: bool,
        /// That volume reads as zeroes.
        created_blank: bool,
    },
    /// Note in the record by which consent the content of a volume's device is given up.
    NoteConsent {
        /// The volume.
        volume: VolumeNumber,
        /// Its device.
        device: String,
        /// The consent.
        token: String,
    },
    /// Read the metadata's identity from the device and note it in the record.
    NoteMetadata {
        /// The volume.
        volume: VolumeNumber,
        /// Its device.
        device: String,
    },
    /// Give new metadata a device UUID and note it in the record.
    NameMetadata {
        /// The volume.
        volume: VolumeNumber,
        /// The minor that it will have.
        minor: Minor,
        /// Its device.
        device: String,
    },
    /// Note in the record that this host is, or is no longer, Primary only for one step of this program.
    NotePromotion(bool),
    /// Note in the record that this host's data were given up by this consent.
    NoteDiscard(String),
    /// Note in the record the text that a file replaces.
    NoteReplaced(String),
    /// Note in the record, if a text is noted there, that DRBD has taken the file which replaced it.
    NoteAccepted,
    /// Note in the record that these peers are to be forgotten.
    NoteLeaving(BTreeSet<u8>),
    /// Note in the record that this peer is forgotten.
    NoteForgotten(u8),
    /// Check that every volume that has a disk has it attached: the metadata of another one were not changed.
    ExpectAttached,
    /// Check that a volume's device now has at least this size.
    ExpectSize {
        /// The volume.
        volume: VolumeNumber,
        /// In KiB.
        kib: u64,
    },
    /// Check, right before it is written, that a device shows no signature and reads as zeroes.
    ExpectBlank {
        /// The device.
        device: String,
        /// Data without a signature are the rest of a run that was cut.
        leftovers: bool,
    },
    /// Note in the record that a file system is being made on a volume, or no longer.
    NoteFilesystem {
        /// The volume.
        volume: VolumeNumber,
        /// It begins now.
        making: bool,
    },
    /// Check that a logical volume is gone.
    ExpectNoLv {
        /// The volume group.
        volume_group: String,
        /// The logical volume.
        name: String,
    },
}

/// The operations of a step.
pub fn of(step: &Step) -> Vec<Op> {
    match step {
        Step::LoadModule { .. } => vec![run(modinfo::load("drbd"))],
        Step::CreateLv(lv) => create_lv(lv),
        Step::ActivateLv { volume_group, name, uuid, filter, .. } => {
            vec![run(lvm::activate(filter, volume_group, name, uuid))]
        }
        Step::WriteConfig { path, text, leaving, replaces } => {
            let note = (!leaving.is_empty()).then(|| Op::NoteLeaving(leaving.clone()));
            let keep = replaces.clone().map(Op::NoteReplaced);
            let write = Op::Write { path: path.clone(), text: text.clone(), mode: 0o600 };
            note.into_iter().chain(keep).chain([write]).collect()
        }
        Step::KeepFile { copy, text, .. } => {
            vec![Op::Write { path: copy.clone(), text: text.clone(), mode: 0o600 }]
        }
        Step::AcceptConfig { .. } => vec![Op::NoteAccepted],
        Step::WipeContent { volume, device, consent, .. } => {
            let note = consent.clone().map(|token| Op::NoteConsent {
                volume: *volume,
                device: device.clone(),
                token,
            });
            note.into_iter().chain([run(wipefs::wipe_all(device))]).collect()
        }
        Step::CreateMetadata(md) => create_metadata(md),
        Step::AdoptMetadata { volume, device, unnamed, .. } => {
            let (volume, device) = (*volume, device.clone());
            vec![match *unnamed {
                Some(minor) => Op::NameMetadata { volume, minor, device },
                None => Op::NoteMetadata { volume, device },
            }]
        }
        Step::Adjust { resource, .. } => vec![run(drbdadm::adjust(resource)), Op::NoteAccepted],
        Step::ForgetPeer { resource, node_id, connected, .. } => {
            let dropped = connected.then(|| run(drbdsetup::del_peer(resource, *node_id)));
            let forgotten = [
                run(drbdsetup::forget_peer(resource, *node_id)),
                Op::ExpectAttached,
                Op::NoteForgotten(*node_id),
            ];
            [Op::NoteLeaving(BTreeSet::from([*node_id]))]
                .into_iter()
                .chain(dropped)
                .chain(forgotten)
                .collect()
        }
        Step::ExtendLv { volume_group, name, to_kib, filter, .. } => {
            vec![run(lvm::extend(filter, volume_group, name, *to_kib))]
        }
        Step::Resize { resource, volume, to_bytes, promote, .. } => {
            let mut ops = vec![
                run(drbdadm::resize(resource, volume.get(), false)),
                Op::ExpectSize { volume: *volume, kib: to_bytes / 1024 },
            ];
            if *promote {
                ops.splice(0..0, [Op::NotePromotion(true), run(drbdadm::primary(resource, false))]);
                ops.extend([run(drbdadm::secondary(resource)), Op::NotePromotion(false)]);
            }
            ops
        }
        Step::Down { resource, has_file: true } => vec![run(drbdadm::down(resource))],
        Step::Down { resource, has_file: false } => vec![run(drbdsetup::down(resource))],
        Step::RemoveConfig { path } => vec![Op::Remove(path.clone())],
        Step::RemoveLv { volume_group, name, uuid, filter, .. }
        | Step::RemoveThinPool { volume_group, name, uuid, filter } => vec![
            run(lvm::remove(filter, volume_group, name, uuid)),
            Op::ExpectNoLv { volume_group: volume_group.clone(), name: name.clone() },
        ],
        Step::WipeMetadata { device, .. } => {
            vec![run(wipefs::wipe_drbd(device))]
        }
        Step::ForgetRecord { resource } => vec![Op::Remove(crate::record::path(resource))],
        Step::SkipInitialSync { cmd, promote, .. } => {
            [cmd].into_iter().chain(promote).cloned().map(run).collect()
        }
        Step::StartInitialSync { start, demote, .. } => {
            let mut ops: Vec<Op> = start.iter().cloned().map(run).collect();
            if let Some(demote) = demote {
                ops.insert(0, Op::NotePromotion(true));
                ops.extend([run(demote.clone()), Op::NotePromotion(false)]);
            }
            ops
        }
        Step::Role(step) => step.ops(),
        Step::DiscardMyData { cmds, token, .. } => {
            let noted = Op::NoteDiscard(token.clone());
            cmds.iter().cloned().map(Op::Run).chain([noted]).collect()
        }
        Step::Verify { cmds, .. } => cmds.iter().cloned().map(Op::Run).collect(),
        Step::GiveRoleBack { demote } => vec![run(demote.clone()), Op::NotePromotion(false)],
        // The note comes first: after a cut, the next run knows whose label it finds.
        Step::CreatePv { disk, filter } => {
            vec![note_free(disk), run(lvm::create_physical_volume(filter, &disk.path))]
        }
        Step::CreateVg { name, disks, filter } => {
            let paths: Vec<String> = disks.iter().map(|disk| disk.path.clone()).collect();
            let mut ops = vec![run(lvm::create_volume_group(filter, name, &paths))];
            ops.extend(disks.iter().map(forget_free));
            ops
        }
        Step::ExtendVg { name, disk, note, filter } => {
            let extend = [run(lvm::extend_volume_group(filter, name, &disk.path)), forget_free(disk)];
            note_growth(note.as_ref()).into_iter().chain(extend).collect()
        }
        Step::CreateThinPool { volume_group, name, metadata_kib, filter } => {
            vec![run(lvm::create_thin_pool(filter, volume_group, name, *metadata_kib))]
        }
        Step::GrowPoolMetadata { volume_group, name, to_kib, filter } => {
            vec![run(lvm::extend_pool_metadata(filter, volume_group, name, *to_kib))]
        }
        Step::GrowPv { device, note, filter, .. } => {
            let resize = run(lvm::resize_physical_volume(filter, device));
            note_growth(note.as_ref()).into_iter().chain([resize]).collect()
        }
        Step::GrowThinPool { name, note, filter } => {
            vec![run(lvm::fill_with_thin_pool(filter, &note.volume_group, name)), Op::Remove(note.path())]
        }
        Step::ForgetGrowth { note } => vec![Op::Remove(note.path())],
        Step::RemoveVg { name, filter } => vec![run(lvm::remove_volume_group(filter, name))],
        Step::ReleaseDisk { disk } => vec![note_free(disk)],
        Step::ForgetDisk { disk } => vec![forget_free(disk)],
    }
}

/// Longer than any of these commands takes on a healthy host; a hanging one must not hold the lock for ever.
const PATIENCE: Duration = Duration::from_secs(120);

fn run(cmd: Cmd) -> Op {
    Op::Run(cmd.within(PATIENCE))
}

/// The note comes first: after a cut, the next run knows that the free space is the pool's.
fn note_growth(note: Option<&GrowthNote>) -> Option<Op> {
    note.map(|note| Op::Write { path: note.path(), text: note.render(), mode: 0o600 })
}

fn note_free(disk: &PoolDisk) -> Op {
    Op::Write { path: disk.note.path(), text: disk.note.render(), mode: 0o600 }
}

fn forget_free(disk: &PoolDisk) -> Op {
    Op::Remove(disk.note.path())
}

fn create_lv(lv: &CreateLv) -> Vec<Op> {
    let device = format!("/dev/{}/{}", lv.volume_group, lv.name);
    let cmd = match &lv.thin_pool {
        Some(pool) => lvm::create_thin(&lv.filter, &lv.volume_group, pool, &lv.name, lv.size_kib, LV_TAG),
        None => lvm::create_thick(&lv.filter, &lv.volume_group, &lv.name, lv.size_kib, LV_TAG),
    };
    // The note comes first: after a cut in between, the next run knows whose volume it finds.
    let note =
        Op::NoteCreating { volume: lv.volume, device, created_lv: true, created_blank: lv.reads_as_zeroes };
    vec![note, run(cmd)]
}

fn create_metadata(md: &CreateMetadata) -> Vec<Op> {
    let mut ops = Vec::new();
    if !md.created_lv {
        let device = md.device.clone();
        ops.push(Op::NoteCreating { volume: md.volume, device, created_lv: false, created_blank: false });
    }
    let overwrite = if md.force { Overwrite::ProvenBlank } else { Overwrite::Nothing };
    ops.push(run(drbdmeta::create_md(md.minor, &md.device, md.peer_slots, overwrite)));
    ops.push(Op::NameMetadata { volume: md.volume, minor: md.minor, device: md.device.clone() });
    ops
}

/// The commands among the operations, as argument vectors.
pub fn argv(ops: &[Op]) -> Vec<Vec<String>> {
    ops.iter()
        .filter_map(|op| match op {
            Op::Run(cmd) => Some(cmd.argv()),
            Op::Write { .. }
            | Op::Remove(_)
            | Op::NoteCreating { .. }
            | Op::NoteConsent { .. }
            | Op::NoteMetadata { .. }
            | Op::NameMetadata { .. }
            | Op::NotePromotion(_)
            | Op::NoteDiscard(_)
            | Op::NoteReplaced(_)
            | Op::NoteAccepted
            | Op::NoteLeaving(_)
            | Op::NoteForgotten(_)
            | Op::ExpectAttached
            | Op::ExpectSize { .. }
            | Op::ExpectBlank { .. }
            | Op::NoteFilesystem { .. }
            | Op::ExpectNoLv { .. } => None,
        })
        .collect()
}
