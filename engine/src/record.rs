// SPDX-License-Identifier: MPL-2.0
//! The host's own memory of what it made: one small file per resource under `/var/lib/drbd-host/records`.
//!
//! It answers two questions that no device can answer by itself: *did this host write these metadata for this very
//! volume* (DRBD's metadata name no resource), and *was this logical volume created empty for it*. An entry in phase
//! `creating` is written before the first command that creates something, so that a run that is cut there is
//! recognised and finished by the next one. Losing the file loses no data: what it would have vouched for is then
//! refused as foreign until a consent names it.
//!
//! Not a database of wishes: the declaration is never read from here.

use drbd_schemas::VolumeNumber;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Where records are kept.
pub const DIR: &str = "/var/lib/drbd-host/records";
/// Where notes about disks are kept.
pub const DISK_DIR: &str = "/var/lib/drbd-host/disks";
/// Where notes about growing pools are kept.
const GROWTH_DIR: &str = "/var/lib/drbd-host/pools";
/// Tag on logical volumes that this program created. By itself it proves nothing; with a record in phase `creating` it
/// says that the volume came from the run that was cut.
pub const LV_TAG: &str = "drbd-host";

/// Path of a resource's record.
pub fn path(resource: &str) -> String {
    format!("{DIR}/{resource}.json")
}

/// What this host made for one resource.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// By volume number.
    pub volumes: BTreeMap<VolumeNumber, VolumeRecord>,
    /// This host was promoted only for one step (the first synchronisation, growing), and has not given the role back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub promoted_for_sync: bool,
    /// The consent by which this host's data were given up last: its peers may not have taken part in that yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discarding: Option<String>,
    /// The text of the resource's file before the one that is in place now, which DRBD has yet to take. Noted before the file is
    /// replaced, until `adjust` succeeds or the old one is back in place: a start of the host must not meet a file that does not work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced: Option<String>,
    /// node-ids of peers that left the declaration and that this host's metadata may still know (docs/behaviour.md B19). Noted
    /// before the file is replaced that named them, and until they are forgotten.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub leaving: BTreeSet<u8>,
    /// Volumes on which a file system is being made: on a blank device, by a run that may have been cut.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub making_filesystem: BTreeSet<VolumeNumber>,
}

/// What this host made for one volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeRecord {
    /// Path of the backing device.
    pub path: String,
    /// Its identity (see [`crate::host::BlockDevice::identity`]); unknown before a logical volume exists.
    pub identity: Option<String>,
    /// How far it came.
    pub phase: Phase,
    /// The logical volume was created by this program.
    pub created_lv: bool,
    /// It was created empty and reads as zeroes: a thin volume in a pool that zeroes.
    pub created_blank: bool,
    /// DRBD's device UUID in the metadata, as `blkid` prints it.
    pub metadata: Option<String>,
    /// The consent by which what the device held was given up: noted before it is wiped, until metadata are there. What
    /// a cut run leaves without a signature belongs to nobody then, and the same consent covers the rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given_up: Option<String>,
}

/// How far the making of a volume came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It was about to be created; whether that happened, only the host can tell.
    Creating,
    /// Its metadata were written.
    Created,
}

/// That the LVM label on a disk is of this program's making, and that nothing which counts is behind it: the disk was
/// proven blank before it was labelled, or its empty volume group was removed. Written before the first of these
/// commands and removed when the disk belongs to a group, so that a cut run, and a pool that is wanted again, need no
/// consent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskNote {
    /// The disk (see [`crate::host::BlockDevice::identity`]).
    pub identity: String,
}

impl DiskNote {
    /// Path of the note. Two identities may share one; the note says whose it is.
    pub fn path(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') { c } else { '_' };
        format!("{DISK_DIR}/{}.json", self.identity.chars().map(plain).collect::<String>())
    }

    /// The text of the file.
    pub fn render(&self) -> String {
        // A plain value cannot fail to serialise.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// Whether this text, found at [`Self::path`], is this note. Anything else vouches for nothing.
    pub fn is(&self, text: &str) -> bool {
        serde_json::from_str::<Self>(text).is_ok_and(|note| note == *self)
    }
}

/// That a thin pool, which filled its group, is to take the space that a disk of the group gained. Written before the
/// physical volume grows and removed when the pool has grown: in between, free space in the group says nothing by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrowthNote {
    /// The group.
    pub volume_group: String,
    /// UUID of the pool.
    pub thin_pool: String,
}

impl GrowthNote {
    /// Path of the note.
    pub fn path(&self) -> String {
        format!("{GROWTH_DIR}/{}.json", self.volume_group)
    }

    /// The text of the file.
    pub fn render(&self) -> String {
        // A plain value cannot fail to serialise.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// Whether this text, found at [`Self::path`], is this note: an earlier group of the name had another pool.
    pub fn is(&self, text: &str) -> bool {
        serde_json::from_str::<Self>(text).is_ok_and(|note| note == *self)
    }
}

impl Record {
    /// Reads a record. An unreadable one is an error: guessing about it could cost data.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// The text of the file.
    pub fn render(&self) -> String {
        // A map of plain values cannot fail to serialise.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_vouches_only_for_the_disk_that_it_names() {
        let note = |identity: &str| DiskNote { identity: identity.to_owned() };
        let here = note("dev:/dev/sdb@1024");
        assert_eq!(here.path(), "/var/lib/drbd-host/disks/dev__dev_sdb_1024.json");
        assert!(here.is(&here.render()));
        let namesake = note("dev:_dev_sdb_1024");
        assert_eq!(namesake.path(), here.path());
        assert!(!here.is(&namesake.render()) && !here.is("") && !here.is("{"));
    }
}
