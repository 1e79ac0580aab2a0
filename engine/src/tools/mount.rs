// SPDX-License-Identifier: MPL-2.0
//! `mount`, `umount`, and the two small tools around them. Not here: what is mounted (see `proc`).

use crate::host::Cmd;
use std::time::Duration;

/// A journal of a crashed host may have to be replayed first; a full page cache has to be written before it goes.
const LONG: Duration = Duration::from_secs(300);

/// Mounts a device. Without a kind, mount(8) finds it out.
pub fn mount(device: &str, path: &str, fstype: Option<&str>, options: &[String]) -> Cmd {
    let mut args: Vec<String> = Vec::new();
    if let Some(fstype) = fstype {
        args.extend(["-t".to_owned(), fstype.to_owned()]);
    }
    if !options.is_empty() {
        args.extend(["-o".to_owned(), options.join(",")]);
    }
    args.extend(["--".to_owned(), device.to_owned(), path.to_owned()]);
    Cmd::new("mount", args).within(LONG)
}

/// Unmounts what is mounted at a path. Never lazily and never with force: what is still written would be lost.
pub fn unmount(path: &str) -> Cmd {
    Cmd::new("umount", ["--", path]).within(LONG)
}

/// Makes a directory and those above it; exit 0 also when it is there.
pub fn make_directory(path: &str) -> Cmd {
    Cmd::new("mkdir", ["-p", "--", path])
}

/// Makes the kernel forget what it has cached of a device. DRBD writes past that cache, so whoever reads a backing
/// device while DRBD runs on it asks for this first. Changes nothing on the device.
pub fn forget_cache(device: &str) -> Cmd {
    Cmd::new("blockdev", ["--flushbufs", device])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_one_argument_and_a_path_is_never_an_option() {
        let cmd = mount("/dev/drbd1000", "/srv", Some("ext4"), &["noatime".into(), "nodev".into()]);
        assert_eq!(cmd.to_string(), "mount -t ext4 -o noatime,nodev -- /dev/drbd1000 /srv");
        assert_eq!(mount("/dev/drbd1", "/srv", None, &[]).to_string(), "mount -- /dev/drbd1 /srv");
        assert_eq!(unmount("/srv").to_string(), "umount -- /srv");
    }
}
