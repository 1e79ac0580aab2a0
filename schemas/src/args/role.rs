// SPDX-License-Identifier: MPL-2.0
//! Arguments of `drbd_role`: which host uses the data, and where they are mounted while it does.
//!
//! Deliberately not here: a way to force a promotion of data that are not UpToDate, `/etc/fstab`, and the service that
//! uses the file system. Who starts and stops that is the playbook, or a cluster manager.

use super::default_lock_timeout;
use crate::invalid::Violation;
use crate::name::{MountOption, MountPoint, ResourceName, VolumeNumber};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// Arguments of `drbd_role`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RoleArgs {
    /// Name of the resource.
    pub name: ResourceName,
    /// The role that this host should have.
    pub role: WantedRole,
    /// File systems on the resource's volumes: mounted before the end of a run with `role: primary`, unmounted first in
    /// one with `role: secondary`. A file system that is mounted and not listed is never unmounted; it keeps the host
    /// Primary.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<MountArgs>,
    /// What may be put at risk, each a token that a refusal has printed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub consent: Vec<String>,
    /// Seconds to wait for another run on the same resource to end; 0 fails at once. Either way its holder is named.
    #[serde(default = "default_lock_timeout")]
    #[schemars(range(min = 0, max = 3600))]
    pub lock_timeout: u32,
}

/// A role to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WantedRole {
    /// The data are used here. Refused while another host is Primary, or the disks here are not UpToDate.
    Primary,
    /// They are not. Refused while something holds a device open; it is named.
    Secondary,
}

/// One file system on a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MountArgs {
    /// The volume.
    #[serde(default = "first_volume")]
    pub volume: VolumeNumber,
    /// Where it is mounted; the directory is made when there is none.
    pub path: MountPoint,
    /// Kind of the file system. Another kind that is found is refused; unset, whatever is found is mounted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fstype: Option<FsType>,
    /// Options of mount(8) for the moment of mounting; a file system that is mounted already keeps those that it has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<MountOption>,
    /// Make the file system if there is none. Only on a device that shows no signature and reads as zeroes from end to
    /// end (it is read as a whole, this once), and never over anything; needs `fstype`.
    #[serde(default)]
    pub make_filesystem: bool,
    /// Let the file system take the size of the device, when that has grown (ext4 and xfs).
    #[serde(default)]
    pub grow_filesystem: bool,
}

fn first_volume() -> VolumeNumber {
    VolumeNumber::ZERO
}

/// Kinds of file systems that can be made and grown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FsType {
    /// ext4
    Ext4,
    /// XFS
    Xfs,
}

impl FsType {
    /// The name, as mount(8) and blkid(8) have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
        }
    }

    /// The kind of this name.
    pub fn by_name(name: &str) -> Option<Self> {
        [Self::Ext4, Self::Xfs].into_iter().find(|kind| kind.name() == name)
    }
}

impl fmt::Display for FsType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl RoleArgs {
    /// What is wrong between several fields.
    pub(super) fn violations(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        let (mut volumes, mut paths) = (BTreeSet::new(), BTreeSet::new());
        for (i, mount) in self.mounts.iter().enumerate() {
            let at = |field: &str| format!("mounts.{i}.{field}");
            // What is unmounted can have been mounted in several places.
            if self.role == WantedRole::Primary && !volumes.insert(mount.volume) {
                let what = format!("{}, which another entry has too", mount.volume);
                found.push(Violation::new(at("volume"), what, "each volume once"));
            }
            if !paths.insert(mount.path.as_str()) {
                let what = format!("{}, which another entry has too", mount.path);
                found.push(Violation::new(at("path"), what, "each directory once"));
            }
            if mount.make_filesystem && mount.fstype.is_none() {
                let allowed = "required: the kind to make, because make_filesystem is set.";
                found.push(Violation::new(at("fstype"), "nothing", allowed));
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use crate::args::{Args, Module, parse};
    use serde_json::{Value, json};

    fn paths_of(value: Value) -> Vec<String> {
        parse(Module::DrbdRole, value).unwrap_err().violations.into_iter().map(|v| v.path).collect()
    }

    #[test]
    fn a_mount_is_read_with_ansibles_habits() {
        let mount = json!({ "path": "/srv/web", "fstype": "ext4", "make_filesystem": "yes", "volume": 1, "options": "noatime,nodev" });
        let value = json!({ "name": "r0", "role": "primary", "mounts": [mount] });
        let Args::Role(args) = parse(Module::DrbdRole, value).unwrap() else { panic!() };
        let mount = args.mounts.first().unwrap();
        assert_eq!((mount.volume.get(), mount.options.len(), mount.make_filesystem), (1, 2, true));
    }

    #[test]
    fn everything_that_is_wrong_with_mounts_is_named() {
        let bad = json!({ "path": "srv", "options": ["a b"], "fstype": "ntfs" });
        assert_eq!(
            paths_of(json!({ "name": "r0", "role": "master", "mounts": [bad] })),
            ["role", "mounts.0.path", "mounts.0.options.0", "mounts.0.fstype"]
        );
        for path in ["/", "/srv/../etc", "/srv/", "//srv", "/proc/x", "/srv\n"] {
            let mount = json!({ "path": path });
            assert_eq!(
                paths_of(json!({ "name": "r0", "role": "primary", "mounts": [mount] })),
                ["mounts.0.path"],
                "{path:?}"
            );
        }
        let twice = json!([{ "path": "/a", "make_filesystem": true }, { "path": "/a" }]);
        assert_eq!(
            paths_of(json!({ "name": "r0", "role": "primary", "mounts": twice })),
            ["mounts.0.fstype", "mounts.1.volume", "mounts.1.path"]
        );
        let bound = json!([{ "path": "/a" }, { "path": "/b" }]);
        assert!(
            parse(Module::DrbdRole, json!({ "name": "r0", "role": "secondary", "mounts": bound })).is_ok()
        );
    }
}
