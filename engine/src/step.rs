// SPDX-License-Identifier: MPL-2.0
//! The closed vocabulary of steps. A plan is a list of these; check mode prints it, a run executes it, tests simulate
//! it. What commands a step needs is decided in [`crate::ops`], and nowhere else.

pub mod role;

use self::role::RoleStep;
use crate::host::Cmd;
use crate::record::{DiskNote, GrowthNote};
use crate::tools::lvm::Filter;
use drbd_schemas::reply::Risk;
use drbd_schemas::{Family, VolumeNumber};
use std::collections::BTreeSet;
use std::fmt;

/// One step on one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Load the kernel module.
    LoadModule {
        /// The version that will be loaded.
        version: String,
    },
    /// Create the logical volume of a volume.
    CreateLv(CreateLv),
    /// Activate the logical volume of a volume, which this host made.
    ActivateLv {
        /// The volume.
        volume: VolumeNumber,
        /// The volume group.
        volume_group: String,
        /// The logical volume.
        name: String,
        /// Its UUID: another one of the same name is left as it is.
        uuid: String,
        /// What LVM must not open.
        filter: Filter,
    },
    /// Write the configuration file.
    WriteConfig {
        /// Where.
        path: String,
        /// The text, secrets included.
        text: String,
        /// Peers that it no longer names, by node-id: noted first, to be forgotten.
        leaving: BTreeSet<u8>,
        /// The text that it replaces, if DRBD works with that one and has yet to take the new one.
        replaces: Option<String>,
    },
    /// Note that DRBD runs what the file says: the run that wrote it was cut before it could.
    AcceptConfig {
        /// The path.
        path: String,
    },
    /// Keep a copy of a file that somebody else wrote, before it is replaced. Only with a consent that names its hash.
    KeepFile {
        /// The file.
        path: String,
        /// Where the copy goes: a name that `drbdadm` does not read.
        copy: String,
        /// Its text, secrets included.
        text: String,
    },
    /// Remove the signatures of what a device holds. Only with a consent that names the device and the content.
    WipeContent {
        /// The volume.
        volume: VolumeNumber,
        /// The device.
        device: String,
        /// What is destroyed.
        found: String,
        /// The consent, where a record of the volume is kept.
        consent: Option<String>,
    },
    /// Write new metadata.
    CreateMetadata(CreateMetadata),
    /// Remember metadata as ours: they are attached to this resource already, or a consent names them.
    AdoptMetadata {
        /// The volume.
        volume: VolumeNumber,
        /// The device.
        device: String,
        /// Its identity.
        identity: String,
        /// Why they are ours now.
        because: &'static str,
        /// They have no device UUID yet, because the run that made them was cut: they get one.
        unnamed: Option<Minor>,
    },
    /// Make the kernel run what the file says.
    Adjust {
        /// The resource.
        resource: String,
        /// What `drbdadm` said that it would do; secrets masked.
        commands: Vec<String>,
        /// It interrupts replication or I/O of something that runs.
        disruptive: bool,
    },
    /// Grow the logical volume of a volume.
    ExtendLv {
        /// The volume.
        volume: VolumeNumber,
        /// The volume group.
        volume_group: String,
        /// The logical volume.
        name: String,
        /// Its size now, in bytes.
        from_bytes: u64,
        /// The size it should at least have, in KiB.
        to_kib: u64,
        /// What LVM must not open.
        filter: Filter,
    },
    /// Make this host's metadata forget a peer that is no longer declared (DRBD 9).
    ForgetPeer {
        /// The resource.
        resource: String,
        /// The peer's node-id.
        node_id: u8,
        /// The peer's name, where it is known.
        name: Option<String>,
        /// The kernel still has a connection to it, which goes first.
        connected: bool,
    },
    /// Let DRBD take the size that all backing devices have now.
    Resize {
        /// The resource.
        resource: String,
        /// The volume.
        volume: VolumeNumber,
        /// What the device will at least have, in bytes.
        to_bytes: u64,
        /// How much will be synchronised, in bytes.
        sync_bytes: u64,
        /// No node is Primary, and DRBD grows a device only under one: this host is it for the moment.
        promote: bool,
    },
    /// Stop the resource.
    Down {
        /// The resource.
        resource: String,
        /// There is a file: `drbdadm` knows it. Otherwise only the kernel does.
        has_file: bool,
    },
    /// Remove the configuration file.
    RemoveConfig {
        /// Where.
        path: String,
    },
    /// Remove the logical volume with its data. Only with a consent that names the resource.
    RemoveLv {
        /// The volume.
        volume: VolumeNumber,
        /// The volume group.
        volume_group: String,
        /// The logical volume.
        name: String,
        /// Its UUID: another one of the same name is not removed.
        uuid: String,
        /// What LVM must not open.
        filter: Filter,
    },
    /// Remove DRBD's metadata from a whole device, which frees it for other uses. Only with a consent.
    WipeMetadata {
        /// The volume.
        volume: VolumeNumber,
        /// The device.
        device: String,
    },
    /// Forget what was made.
    ForgetRecord {
        /// The resource.
        resource: String,
    },
    /// Make the data of a new volume valid without synchronising: every replica is proven blank.
    SkipInitialSync {
        /// The command.
        cmd: Cmd,
        /// The volume.
        volume: VolumeNumber,
        /// Gives the new volume the role that this host's other volumes have: on DRBD 8.4 each has its own.
        promote: Option<Cmd>,
    },
    /// Make this host's content the data of new volumes, and send it to all peers.
    StartInitialSync {
        /// The commands that start it.
        start: Vec<Cmd>,
        /// The command that gives back the role that was taken for it; none where no role was taken.
        demote: Option<Cmd>,
        /// How much will be synchronised to each peer, in bytes.
        sync_bytes: u64,
    },
    /// Give back the role that was taken for one step; a run was cut in between.
    GiveRoleBack {
        /// The command.
        demote: Cmd,
    },
    /// Give up this host's data in favour of its peers', after a split brain. Only with a consent that names them.
    DiscardMyData {
        /// The resource.
        resource: String,
        /// The consent.
        token: String,
        /// The commands.
        cmds: Vec<Cmd>,
    },
    /// A step of `drbd_role`.
    Role(RoleStep),
    /// Start to compare this host's replica with those of its peers.
    Verify {
        /// The resource.
        resource: String,
        /// One command for each connection.
        cmds: Vec<Cmd>,
    },
    /// Label a blank disk as a physical volume.
    CreatePv {
        /// The disk.
        disk: PoolDisk,
        /// What LVM must not open.
        filter: Filter,
    },
    /// Create a volume group.
    CreateVg {
        /// Its name.
        name: String,
        /// Its disks.
        disks: Vec<PoolDisk>,
        /// What LVM must not open.
        filter: Filter,
    },
    /// Add a disk to a volume group.
    ExtendVg {
        /// The group.
        name: String,
        /// The disk.
        disk: PoolDisk,
        /// Written first, when a thin pool is to take the new space.
        note: Option<GrowthNote>,
        /// What LVM must not open.
        filter: Filter,
    },
    /// Create a thin pool in all free space of a group.
    CreateThinPool {
        /// The group.
        volume_group: String,
        /// The pool.
        name: String,
        /// Size of its metadata in KiB; LVM's choice when unset.
        metadata_kib: Option<u64>,
        /// What LVM must not open.
        filter: Filter,
    },
    /// Grow the metadata of a thin pool.
    GrowPoolMetadata {
        /// The group.
        volume_group: String,
        /// The pool.
        name: String,
        /// The size they should at least have, in KiB.
        to_kib: u64,
        /// What LVM must not open.
        filter: Filter,
    },
    /// Let a physical volume take the size that its disk has now.
    GrowPv {
        /// Its group.
        volume_group: String,
        /// The disk.
        device: String,
        /// Written first, when a thin pool is to take the new space.
        note: Option<GrowthNote>,
        /// What LVM must not open.
        filter: Filter,
    },
    /// Let a thin pool take all free space of its group.
    GrowThinPool {
        /// The pool.
        name: String,
        /// Its group; forgotten at the end.
        note: GrowthNote,
        /// What LVM must not open.
        filter: Filter,
    },
    /// Forget that a thin pool was to grow: it has.
    ForgetGrowth {
        /// What was noted.
        note: GrowthNote,
    },
    /// Remove an empty thin pool.
    RemoveThinPool {
        /// The group.
        volume_group: String,
        /// The pool.
        name: String,
        /// Its UUID.
        uuid: String,
        /// What LVM must not open.
        filter: Filter,
    },
    /// Remove an empty volume group.
    RemoveVg {
        /// Its name.
        name: String,
        /// What LVM must not open.
        filter: Filter,
    },
    /// Give a disk back: note that nothing behind its label counts any more. The label stays, because it is LVM's way to
    /// say that a disk is free, and because the bytes behind it are not cleared.
    ReleaseDisk {
        /// The disk.
        disk: PoolDisk,
    },
    /// Forget that a disk was free: it belongs to a group.
    ForgetDisk {
        /// The disk.
        disk: PoolDisk,
    },
}

/// A disk of a storage pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolDisk {
    /// Its path, as declared.
    pub path: String,
    /// What is noted about it.
    pub note: DiskNote,
}

/// See [`Step::CreateLv`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateLv {
    /// The volume.
    pub volume: VolumeNumber,
    /// The volume group.
    pub volume_group: String,
    /// The thin pool; a thick volume without one.
    pub thin_pool: Option<String>,
    /// Name of the logical volume.
    pub name: String,
    /// Size in KiB; LVM rounds up to whole extents.
    pub size_kib: u64,
    /// It will read as zeroes everywhere: the pool zeroes its chunks.
    pub reads_as_zeroes: bool,
    /// What LVM must not open.
    pub filter: Filter,
}

/// A minor of the DRBD of a family, for which metadata are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Minor {
    /// Its number.
    pub number: u32,
    /// DRBD's family, and so the metadata's format.
    pub family: Family,
}

/// See [`Step::CreateMetadata`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateMetadata {
    /// The volume.
    pub volume: VolumeNumber,
    /// The minor that it will have.
    pub minor: Minor,
    /// The device.
    pub device: String,
    /// Its identity; unknown for a logical volume that is created in the same plan.
    pub identity: Option<String>,
    /// Peer slots (DRBD 9).
    pub peer_slots: Option<u8>,
    /// The device is a logical volume that this program has just created, or was wiped with consent in this very run:
    /// leftovers on it belong to nobody.
    pub force: bool,
    /// The device is a logical volume of our making.
    pub created_lv: bool,
}

impl Step {
    /// The step's stable name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::LoadModule { .. } => "load_module",
            Self::CreateLv(_) => "create_lv",
            Self::ActivateLv { .. } => "activate_lv",
            Self::WriteConfig { .. } => "write_config",
            Self::KeepFile { .. } => "keep_file",
            Self::AcceptConfig { .. } => "accept_config",
            Self::WipeContent { .. } => "wipe_content",
            Self::CreateMetadata(_) => "create_metadata",
            Self::AdoptMetadata { .. } => "adopt_metadata",
            Self::Adjust { .. } => "adjust",
            Self::ExtendLv { .. } => "extend_lv",
            Self::ForgetPeer { .. } => "forget_peer",
            Self::Resize { .. } => "resize",
            Self::Down { .. } => "down",
            Self::RemoveConfig { .. } => "remove_config",
            Self::RemoveLv { .. } => "remove_lv",
            Self::WipeMetadata { .. } => "wipe_metadata",
            Self::ForgetRecord { .. } => "forget_record",
            Self::SkipInitialSync { .. } => "skip_initial_sync",
            Self::StartInitialSync { .. } => "start_initial_sync",
            Self::GiveRoleBack { .. } => "give_role_back",
            Self::DiscardMyData { .. } => "discard_my_data",
            Self::Role(step) => step.name(),
            Self::Verify { .. } => "verify",
            Self::CreatePv { .. } => "create_pv",
            Self::CreateVg { .. } => "create_vg",
            Self::ExtendVg { .. } => "extend_vg",
            Self::CreateThinPool { .. } => "create_thin_pool",
            Self::GrowPoolMetadata { .. } => "grow_pool_metadata",
            Self::GrowPv { .. } => "grow_pv",
            Self::GrowThinPool { .. } => "grow_thin_pool",
            Self::ForgetGrowth { .. } => "forget_growth",
            Self::RemoveThinPool { .. } => "remove_thin_pool",
            Self::RemoveVg { .. } => "remove_vg",
            Self::ReleaseDisk { .. } => "release_disk",
            Self::ForgetDisk { .. } => "forget_disk",
        }
    }

    /// What it puts at risk.
    pub fn risk(&self) -> Risk {
        match self {
            Self::WipeContent { .. }
            | Self::RemoveLv { .. }
            | Self::WipeMetadata { .. }
            | Self::DiscardMyData { .. } => Risk::Destructive,
            Self::Down { .. } | Self::Adjust { disruptive: true, .. } => Risk::Disruptive,
            Self::Role(step) => step.risk(),
            Self::LoadModule { .. }
            | Self::CreateLv(_)
            | Self::ActivateLv { .. }
            | Self::WriteConfig { .. }
            | Self::KeepFile { .. }
            | Self::AcceptConfig { .. }
            | Self::CreateMetadata(_)
            | Self::AdoptMetadata { .. }
            | Self::Adjust { disruptive: false, .. }
            | Self::ExtendLv { .. }
            | Self::ForgetPeer { .. }
            | Self::Resize { .. }
            | Self::RemoveConfig { .. }
            | Self::ForgetRecord { .. }
            | Self::SkipInitialSync { .. }
            | Self::StartInitialSync { .. }
            | Self::GiveRoleBack { .. }
            | Self::Verify { .. }
            | Self::CreatePv { .. }
            | Self::CreateVg { .. }
            | Self::ExtendVg { .. }
            | Self::CreateThinPool { .. }
            | Self::GrowPoolMetadata { .. }
            | Self::GrowPv { .. }
            | Self::GrowThinPool { .. }
            | Self::ForgetGrowth { .. }
            | Self::RemoveThinPool { .. }
            | Self::RemoveVg { .. }
            | Self::ReleaseDisk { .. }
            | Self::ForgetDisk { .. } => Risk::None,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LoadModule { version } => write!(f, "load the kernel module drbd {version}"),
            Self::CreateLv(lv) => {
                let kind = if lv.thin_pool.is_some() { "thin" } else { "thick" };
                write!(
                    f,
                    "create {kind} logical volume {}/{} of {} KiB",
                    lv.volume_group, lv.name, lv.size_kib
                )
            }
            Self::ActivateLv { volume_group, name, .. } => {
                write!(f, "activate logical volume {volume_group}/{name}")
            }
            Self::WriteConfig { path, .. } => write!(f, "write {path}"),
            Self::KeepFile { path, copy, .. } => write!(f, "keep {path} as {copy}"),
            Self::AcceptConfig { path } => write!(f, "note that DRBD runs {path}"),
            Self::WipeContent { device, found, .. } => write!(f, "wipe {found} from {device}"),
            Self::CreateMetadata(md) => write!(f, "create metadata on {}", md.device),
            Self::AdoptMetadata { device, .. } => write!(f, "adopt the metadata on {device}"),
            Self::Adjust { resource, .. } => write!(f, "adjust {resource}"),
            Self::ExtendLv { volume_group, name, to_kib, .. } => {
                write!(f, "grow logical volume {volume_group}/{name} to {to_kib} KiB")
            }
            Self::ForgetPeer { node_id, name: Some(name), .. } => {
                write!(f, "forget peer {name} (node-id {node_id})")
            }
            Self::ForgetPeer { node_id, name: None, .. } => {
                write!(f, "forget the peer with node-id {node_id}")
            }
            Self::Resize { resource, volume, .. } => write!(f, "resize {resource}/{volume}"),
            Self::Down { resource, .. } => write!(f, "take {resource} down"),
            Self::RemoveConfig { path } => write!(f, "remove {path}"),
            Self::RemoveLv { volume_group, name, .. } => {
                write!(f, "remove logical volume {volume_group}/{name}")
            }
            Self::WipeMetadata { device, .. } => write!(f, "wipe DRBD's metadata from {device}"),
            Self::ForgetRecord { resource } => write!(f, "forget what was made for {resource}"),
            Self::SkipInitialSync { volume, .. } => write!(f, "declare volume {volume} in sync"),
            Self::StartInitialSync { .. } => write!(f, "start the full synchronisation from this host"),
            Self::GiveRoleBack { .. } => f.write_str("become Secondary again"),
            Self::DiscardMyData { resource, .. } => write!(f, "give up this host's data of {resource}"),
            Self::Role(step) => step.fmt(f),
            Self::Verify { resource, .. } => write!(f, "compare {resource} with its peers"),
            Self::CreatePv { disk, .. } => write!(f, "create physical volume {}", disk.path),
            Self::CreateVg { name, disks, .. } => {
                let disks: Vec<&str> = disks.iter().map(|disk| disk.path.as_str()).collect();
                write!(f, "create volume group {name} on {}", disks.join(", "))
            }
            Self::ExtendVg { name, disk, .. } => write!(f, "add {} to volume group {name}", disk.path),
            Self::CreateThinPool { volume_group, name, .. } => {
                write!(f, "create thin pool {volume_group}/{name}")
            }
            Self::GrowPoolMetadata { volume_group, name, to_kib, .. } => {
                write!(f, "grow the metadata of thin pool {volume_group}/{name} to {to_kib} KiB")
            }
            Self::GrowPv { volume_group, device, .. } => {
                write!(
                    f,
                    "grow physical volume {device} of volume group {volume_group} to the size of its disk"
                )
            }
            Self::GrowThinPool { name, note, .. } => {
                write!(f, "grow thin pool {}/{name} by the free space of its group", note.volume_group)
            }
            Self::ForgetGrowth { note } => {
                write!(f, "forget that volume group {} was growing", note.volume_group)
            }
            Self::RemoveThinPool { volume_group, name, .. } => {
                write!(f, "remove thin pool {volume_group}/{name}")
            }
            Self::RemoveVg { name, .. } => write!(f, "remove volume group {name}"),
            Self::ReleaseDisk { disk } => write!(f, "note that {} is free", disk.path),
            Self::ForgetDisk { disk } => write!(f, "forget that {} was free", disk.path),
        }
    }
}

/// A step with its reasons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// The step.
    pub step: Step,
    /// Why it is needed.
    pub why: String,
    /// What it means: bytes to synchronise, pauses, data at risk.
    pub consequence: Option<String>,
}

impl Planned {
    /// A step without a consequence worth naming.
    pub fn new(step: Step, why: impl Into<String>) -> Self {
        Self { step, why: why.into(), consequence: None }
    }

    /// The same with a consequence.
    #[must_use]
    pub fn consequence(mut self, text: impl Into<String>) -> Self {
        self.consequence = Some(text.into());
        self
    }
}
