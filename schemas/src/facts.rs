// SPDX-License-Identifier: MPL-2.0
//! What was observed on one host. Observation only: nothing here is a wish, and nothing here is decided.
//!
//! Facts travel: `drbd_info` returns them, the Terraform provider reads them on refresh, and steps that concern the
//! whole cluster take them from every node as *evidence*.

use crate::options::Family;
use crate::verdict::Verdict;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of this document; changes are additive within it.
pub const SCHEMA: &str = "drbd-host/facts/1";

/// Facts of one host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HostFacts {
    /// [`SCHEMA`]
    pub schema: String,
    /// What `uname -n` prints.
    pub node: String,
    /// Release of the running kernel.
    pub kernel: String,
    /// The DRBD that is there.
    pub drbd: DrbdFacts,
    /// Why `drbdadm` cannot read the host's configuration, with file and line, if it cannot.
    pub config_error: Option<String>,
    /// Resources, by name: those with a file, those that run, and those that this program made.
    pub resources: BTreeMap<String, ResourceFacts>,
    /// What the sections `common` of this host's configuration give every resource that does not name it: the site's
    /// defaults. None from a program that did not look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub common: Option<Vec<OptionFacts>>,
    /// LVM volume groups, by name.
    pub volume_groups: BTreeMap<String, VolumeGroupFacts>,
    /// TCP ports that DRBD's configuration or kernel module uses here.
    pub ports_in_use: Vec<u16>,
    /// Minors that DRBD's configuration or kernel module uses here.
    pub minors_in_use: Vec<u32>,
    /// Version of the program that took the facts.
    pub drbd_host: String,
}

/// The DRBD of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DrbdFacts {
    /// Version of the loaded kernel module, such as `8.4.11`; none when it is not loaded.
    pub module: Option<String>,
    /// Version of the module that would be loaded; none when the running kernel has none.
    pub loadable: Option<String>,
    /// Version of drbd-utils; none when not installed.
    pub utils: Option<String>,
}

impl DrbdFacts {
    /// The family that this host runs, or would run once the module is loaded.
    pub fn family(&self) -> Option<Family> {
        self.module.as_deref().or(self.loadable.as_deref()).and_then(Family::of_version)
    }
}

/// One resource on one host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ResourceFacts {
    /// Its configuration file, if there is one.
    pub config: Option<ConfigFacts>,
    /// Its state in the kernel, if it is up.
    pub running: Option<RunningFacts>,
    /// Its volumes, by number.
    pub volumes: BTreeMap<String, VolumeFacts>,
    /// What is wrong although it may run as declared: suspended I/O, lost quorum, an Outdated disk, a peer that is away, blocks
    /// that differ.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub health: Vec<String>,
    /// Its options as its files say them, each with where it stands; also those that it inherits. Secrets are masked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<OptionFacts>,
    /// What `drbdadm adjust` would do now, one line a command, secrets masked; empty when the kernel runs what the file
    /// says.
    pub pending: Vec<String>,
}

/// An option as a host's configuration says it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OptionFacts {
    /// Its section: `options`, `net`, `disk`, `handlers`, `startup`, `proxy`.
    pub section: String,
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Where it stands: `FILE:LINE`.
    pub from: String,
    /// It stands in a section `common`, or in the resource's template: the site's default.
    #[serde(default, skip_serializing_if = "is_false")]
    pub inherited: bool,
    /// The host, volume or connection that it is for, if it is not for the whole resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only_for: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}

/// A resource's configuration file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigFacts {
    /// Where it is.
    pub path: String,
    /// This program wrote it. A file that it did not write is never touched.
    pub ours: bool,
    /// Its text, secrets masked.
    pub text: String,
}

/// A resource's state in the kernel.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunningFacts {
    /// DRBD's word: Primary, Secondary, Unknown.
    pub role: String,
    /// I/O is suspended.
    pub suspended: bool,
    /// Why, DRBD's words: user, no-data, fencing, quorum.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suspended_by: Vec<String>,
    /// Own node-id (DRBD 9).
    pub node_id: Option<u8>,
    /// Connections, by peer name (DRBD 8.4 has one, named as the configuration names the peer).
    pub connections: BTreeMap<String, ConnectionFacts>,
}

/// One connection.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConnectionFacts {
    /// DRBD's word: Connected, Connecting, StandAlone …
    pub connection: String,
    /// The peer's role.
    pub role: String,
    /// The peer's volumes, by number.
    pub volumes: BTreeMap<String, PeerVolumeFacts>,
}

/// One volume on one peer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PeerVolumeFacts {
    /// DRBD's word: Established, SyncSource, SyncTarget, Off …
    pub replication: String,
    /// The peer's disk state: UpToDate, Inconsistent, DUnknown …
    pub disk: String,
    /// Bytes that the peer still lacks.
    pub out_of_sync_bytes: Option<u64>,
    /// Progress of a running resync in percent.
    pub done_percent: Option<f64>,
    /// Why a resync is paused, DRBD's words: user, peer, dependency.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paused_by: Vec<String>,
}

/// One volume on one host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VolumeFacts {
    /// Minor number.
    pub minor: Option<u32>,
    /// Disk state in the kernel, DRBD's word; none when it is not up.
    pub disk: Option<String>,
    /// Usable size of the DRBD device in bytes; none when it is not up.
    pub size_bytes: Option<u64>,
    /// The device is held open (mounted, for example), where the kernel tells.
    pub open: Option<bool>,
    /// Where the device is mounted on this host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounted_on: Vec<String>,
    /// Quorum of this volume (DRBD 9).
    pub quorum: Option<bool>,
    /// Its backing device; none on a diskless node.
    pub backing: Option<BackingFacts>,
}

/// A backing device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BackingFacts {
    /// Its path, as the configuration names it.
    pub path: String,
    /// What stays the same about it: `lv:<uuid>`, `serial:<serial>`, `wwn:<wwn>`, else `dev:<path>@<bytes>`.
    pub identity: Option<String>,
    /// Its size in bytes; none when there is no such device.
    pub size_bytes: Option<u64>,
    /// What it holds.
    pub verdict: Verdict,
    /// Its metadata were made and never used: no data generation began on it (GI 0000000000000004).
    pub just_created: Option<bool>,
    /// Why it is certain to read as zeroes everywhere outside its metadata, if it is: a thin volume that this program
    /// created for this resource and that was never used.
    pub blank_proof: Option<String>,
}

/// A volume group.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VolumeGroupFacts {
    /// Its UUID.
    pub uuid: String,
    /// Size in bytes.
    pub size_bytes: u64,
    /// Free space in bytes.
    pub free_bytes: u64,
    /// Its physical volumes.
    pub disks: Vec<String>,
    /// Physical volumes that it misses, by LVM's UUID, with the path where LVM last saw each.
    #[serde(default)]
    pub missing_disks: Vec<String>,
    /// Thin pools, by name.
    pub thin_pools: BTreeMap<String, ThinPoolFacts>,
}

/// What a thin pool can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ThinPoolState {
    /// All that it should.
    #[default]
    Good,
    /// It has no block left to give: a volume that needs a new one fails or waits.
    Full,
    /// Its metadata have no room left.
    MetadataFull,
    /// Its metadata must be checked before they are written again.
    NeedsCheck,
    /// Its metadata can only be read: no volume of it takes new blocks.
    ReadOnly,
    /// It failed: its volumes answer with errors.
    Failed,
}

/// What LVM does by itself about a thin pool that fills (`activation/` in `lvm.conf` and `lvmlocal.conf`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AutoextendFacts {
    /// `dmeventd` watches pools.
    pub monitoring: bool,
    /// From this fullness on a pool is grown, in percent; 100 means never.
    pub threshold_percent: u16,
    /// By this much of its size, in percent, as far as its group has space.
    pub by_percent: u16,
}

/// A thin pool.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ThinPoolFacts {
    /// Size in bytes.
    pub size_bytes: u64,
    /// How full its data area is, in percent.
    pub data_percent: Option<f64>,
    /// How full its metadata are, in percent.
    #[serde(default)]
    pub metadata_percent: Option<f64>,
    /// Size of its metadata in bytes.
    #[serde(default)]
    pub metadata_bytes: Option<u64>,
    /// What its volumes may come to take, in bytes: the sum of their sizes.
    #[serde(default)]
    pub promised_bytes: u64,
    /// What it can do.
    #[serde(default)]
    pub state: ThinPoolState,
    /// What LVM does by itself when it fills.
    #[serde(default)]
    pub autoextend: Option<AutoextendFacts>,
    /// Chunks are zeroed before they are given out, so a new thin volume reads as zeroes.
    pub zeroing: bool,
}
