// SPDX-License-Identifier: MPL-2.0
//! The steps of `drbd_role`: the role, and the file systems above it.

use crate::host::Cmd;
use crate::ops::Op;
use crate::tools::{filesystem, mount};
use drbd_schemas::VolumeNumber;
use drbd_schemas::args::FsType;
use drbd_schemas::reply::Risk;
use std::fmt;

/// One step of `drbd_role`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoleStep {
    /// Become Primary; never with force.
    Promote {
        /// The resource.
        resource: String,
        /// The commands.
        cmds: Vec<Cmd>,
        /// The record still says that the role is for one step of this program only, which no longer holds.
        noted: bool,
    },
    /// Keep the role that a cut run had taken for one step only: now it is wanted.
    Keep,
    /// Make a file system on a device that is proven blank, and is looked at once more right before.
    MakeFilesystem {
        /// The DRBD device.
        device: String,
        /// The kind.
        kind: FsType,
        /// The volume.
        volume: VolumeNumber,
        /// An earlier run was cut while it made the file system: what lies there without a signature is its rest.
        unfinished: bool,
    },
    /// Forget that a file system was being made: it is complete.
    FilesystemMade {
        /// The volume.
        volume: VolumeNumber,
    },
    /// Make the directory.
    MakeMountPoint {
        /// Where.
        path: String,
    },
    /// Mount a file system.
    Mount {
        /// The DRBD device.
        device: String,
        /// Where.
        path: String,
        /// The kind, where it is known.
        kind: Option<String>,
        /// Options of mount(8).
        options: Vec<String>,
    },
    /// Let a mounted file system take the size of its device.
    GrowFilesystem {
        /// The DRBD device.
        device: String,
        /// Where it is mounted.
        path: String,
        /// The kind.
        kind: FsType,
    },
    /// Unmount a file system.
    Unmount {
        /// Where.
        path: String,
    },
    /// Become Secondary.
    Demote {
        /// The resource.
        resource: String,
        /// The commands.
        cmds: Vec<Cmd>,
        /// The record says that the role was for one step of this program only.
        noted: bool,
    },
}

impl RoleStep {
    /// The step's stable name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Promote { .. } => "promote",
            Self::Keep => "keep_role",
            Self::MakeFilesystem { .. } => "make_filesystem",
            Self::FilesystemMade { .. } => "filesystem_made",
            Self::MakeMountPoint { .. } => "make_mount_point",
            Self::Mount { .. } => "mount",
            Self::GrowFilesystem { .. } => "grow_filesystem",
            Self::Unmount { .. } => "unmount",
            Self::Demote { .. } => "demote",
        }
    }

    /// What it puts at risk.
    pub fn risk(&self) -> Risk {
        match self {
            Self::MakeFilesystem { .. } => Risk::Destructive,
            Self::Unmount { .. } | Self::Demote { .. } => Risk::Disruptive,
            Self::Promote { .. }
            | Self::Keep
            | Self::FilesystemMade { .. }
            | Self::MakeMountPoint { .. }
            | Self::Mount { .. }
            | Self::GrowFilesystem { .. } => Risk::None,
        }
    }

    /// Its operations.
    pub fn ops(&self) -> Vec<Op> {
        let done_by = |cmd| vec![Op::Run(cmd)];
        match self {
            Self::Promote { cmds, noted, .. } => {
                let forget = noted.then_some(Op::NotePromotion(false));
                forget.into_iter().chain(cmds.iter().cloned().map(Op::Run)).collect()
            }
            Self::Keep => vec![Op::NotePromotion(false)],
            // The note comes before the tool: after a cut the next run knows whose half-made file system it finds.
            Self::MakeFilesystem { device, kind, volume, unfinished } => vec![
                Op::ExpectBlank { device: device.clone(), leftovers: *unfinished },
                Op::NoteFilesystem { volume: *volume, making: true },
                Op::Run(filesystem::make(*kind, device)),
                Op::NoteFilesystem { volume: *volume, making: false },
            ],
            Self::FilesystemMade { volume } => vec![Op::NoteFilesystem { volume: *volume, making: false }],
            Self::MakeMountPoint { path } => done_by(mount::make_directory(path)),
            Self::Mount { device, path, kind, options } => {
                done_by(mount::mount(device, path, kind.as_deref(), options))
            }
            Self::GrowFilesystem { device, path, kind } => done_by(filesystem::grow(*kind, device, path)),
            Self::Unmount { path } => done_by(mount::unmount(path)),
            Self::Demote { cmds, noted, .. } => {
                let forget = noted.then_some(Op::NotePromotion(false));
                cmds.iter().cloned().map(Op::Run).chain(forget).collect()
            }
        }
    }
}

impl fmt::Display for RoleStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Promote { resource, .. } => write!(f, "make {resource} Primary"),
            Self::Keep => f.write_str("stay Primary"),
            Self::MakeFilesystem { device, kind, .. } => write!(f, "make {kind} on {device}"),
            Self::FilesystemMade { volume } => {
                write!(f, "note that the file system of volume {volume} is made")
            }
            Self::MakeMountPoint { path } => write!(f, "make the directory {path}"),
            Self::Mount { device, path, .. } => write!(f, "mount {device} on {path}"),
            Self::GrowFilesystem { path, .. } => write!(f, "grow the file system on {path}"),
            Self::Unmount { path } => write!(f, "unmount {path}"),
            Self::Demote { resource, .. } => write!(f, "make {resource} Secondary"),
        }
    }
}
