// SPDX-License-Identifier: MPL-2.0
//! What was observed of one resource on one host: the planner's second input. Plain values, no `Default` for what must
//! have been looked at.

use crate::conf::{Claim, OnHost};
use crate::host::BlockDevice;
use crate::record::Record;
use crate::tools::drbdadm::{AdjustCommand, AdjustStep};
use crate::tools::drbdsetup::{ResourceStatus, RunningResource};
use crate::tools::lvm::{Filter, LvmReport};
use crate::tools::proc::{Digest, OwnAddresses};
use drbd_schemas::VolumeNumber;
use drbd_schemas::facts::DrbdFacts;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// One resource on one host.
#[derive(Clone, Debug)]
pub struct Observed {
    /// What `uname -n` prints.
    pub node: String,
    /// The DRBD that is there.
    pub drbd: DrbdFacts,
    /// What this host remembers to have made.
    pub record: Record,
    /// The text of `/etc/drbd.d/<name>.res`.
    pub config: Option<String>,
    /// The configuration files of the host, and what they say.
    pub conf: OnHost,
    /// What other files and other running resources claim.
    pub claims: Vec<Claim>,
    /// Where something on this host listens for TCP connections, DRBD itself included. Not looked at where the resource
    /// [runs as declared](Self::runs_as_declared): its ports are its own.
    pub listening: Vec<SocketAddr>,
    /// What the declaration needs of this host's kernel and network. Not looked at where the resource
    /// [runs as declared](Self::runs_as_declared): then they are there.
    pub needs: Needs,
    /// The resource's state in the kernel.
    pub status: Option<ResourceStatus>,
    /// The configuration that the kernel runs. Not asked for where it [runs as declared](Self::runs_as_declared) and that
    /// was seen without.
    pub running: Option<RunningResource>,
    /// Backing devices.
    pub devices: BTreeMap<VolumeNumber, Device>,
    /// LVM, where the declaration needs it.
    pub lvm: LvmReport,
    /// What LVM was told not to open when it was asked, and is told with every change. Where the kernel said everything
    /// about the volumes no change of LVM's follows, and this is the default.
    pub lvm_filter: Filter,
    /// What `drbdadm adjust` would do with the declared configuration.
    pub dry_run: DryRun,
}

impl Observed {
    /// The resource is up, and `drbdadm` finds in the kernel's configuration what is declared: disks, addresses, options.
    pub fn runs_as_declared(&self) -> bool {
        self.status.is_some() && self.dry_run == DryRun::Steps(Vec::new())
    }

    /// A volume's device status in the kernel.
    pub fn device_status(&self, number: VolumeNumber) -> Option<&crate::tools::drbdsetup::DeviceStatus> {
        self.status.as_ref()?.devices.iter().find(|device| device.volume == number.get())
    }
}

/// What a declaration needs of a host's kernel and network, as found. Empty where it was not looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// The transports that it names, and whether their module is loaded or can be.
    pub transports: BTreeMap<String, bool>,
    /// The digests that it names.
    pub digests: BTreeMap<String, DigestFound>,
    /// The addresses that the host has.
    pub addresses: OwnAddresses,
}

/// A digest of the kernel, as found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DigestFound {
    /// The kernel has it.
    Ready(Digest),
    /// A module brings it.
    Loadable,
    /// Neither.
    Missing,
}

/// A backing device as found.
#[derive(Clone, Debug)]
pub struct Device {
    /// Its path in the configuration.
    pub path: String,
    /// The kernel's description; `None` when there is none.
    pub block: Option<BlockDevice>,
    /// What it holds.
    pub content: Content,
    /// Who uses it, if not this resource: `mounted on /srv`.
    pub in_use: Option<String>,
}

impl Device {
    /// Its identity, if it exists.
    pub fn identity(&self) -> Option<String> {
        self.block.as_ref().map(|block| block.identity(&self.path))
    }
}

/// The content of a device, as far as it was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// There is no device.
    NoDevice,
    /// The kernel runs this resource's volume on it.
    AttachedHere,
    /// DRBD metadata.
    Metadata(Metadata),
    /// A signature of something else: `ext4 file system, label "data"`.
    Signature(String),
    /// No signature, but data at this offset.
    Data {
        /// Offset of the first byte found that is not zero.
        offset: u64,
    },
    /// No signature, zeroes wherever it was looked at.
    Zeroes,
    /// DRBD metadata where the device ended before it grew, as DRBD noted it (`/var/lib/drbd/drbd-minor-N.lkbd`): the
    /// next attach moves them to the end (docs/behaviour.md B10). Whatever else shows on the device is inside the data.
    MovedMetadata {
        /// DRBD's device UUID.
        device_uuid: String,
    },
    /// It could not be read.
    Unreadable(String),
}

/// DRBD metadata found on a device that is not attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// `v08`, `v09`.
    pub format: String,
    /// DRBD's device UUID.
    pub device_uuid: String,
    /// No data generation ever began on them (GI 0000000000000004).
    pub just_created: bool,
}

impl Metadata {
    /// They have a device UUID: it is written after everything else.
    pub fn is_named(&self) -> bool {
        self.device_uuid.chars().any(|digit| digit != '0')
    }
}

/// The answer of `drbdadm -d adjust` with the declared configuration staged beside the existing files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DryRun {
    /// It parsed, and these commands would run.
    Steps(Vec<AdjustStep>),
    /// It could not be asked (no drbd-utils, no module, or not needed for this state).
    NotAsked,
    /// `drbdadm` refused the configuration.
    Refused {
        /// The file that it blames, unless that is the declared one.
        foreign_file: Option<String>,
        /// What is declared is somebody else's already: a name, a port, a minor.
        clash: bool,
        /// Its words.
        message: String,
    },
}

impl DryRun {
    /// A connection would be started.
    pub fn connects(&self) -> bool {
        let Self::Steps(steps) = self else { return false };
        steps.iter().any(|step| matches!(step.command, AdjustCommand::Connect { .. }))
    }
}
