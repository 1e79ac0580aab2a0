// SPDX-License-Identifier: MPL-2.0
//! The makers, growers and size tools of ext4 and XFS. Not here: whether a device may be written
//! (`mkfs.ext4` without a terminal overwrites another file system without a question, docs/behaviour.md B15), and
//! mounting (see `mount`).

use crate::host::{Cmd, Output};
use crate::tools::ToolError;
use drbd_schemas::args::FsType;
use std::time::Duration;

/// Making or growing a file system of many TiB writes its tables, over a network link at that.
const LONG: Duration = Duration::from_secs(1800);

/// Makes a file system. `mkfs.xfs` refuses a device on which it sees one; `mkfs.ext4` does not.
pub fn make(kind: FsType, device: &str) -> Cmd {
    let program = match kind {
        FsType::Ext4 => "mkfs.ext4",
        FsType::Xfs => "mkfs.xfs",
    };
    Cmd::new(program, ["-q", device]).within(LONG)
}

/// Grows a mounted file system to the size of its device. Exit 0 also when there is nothing to do.
pub fn grow(kind: FsType, device: &str, mount_point: &str) -> Cmd {
    match kind {
        FsType::Ext4 => Cmd::new("resize2fs", [device]),
        FsType::Xfs => Cmd::new("xfs_growfs", ["-d", mount_point]),
    }
    .within(LONG)
}

/// Asks for the size of the file system on a device. Reads only. A mounted XFS is asked itself: after `xfs_growfs` the new
/// size is in its log, and on the device only some time later.
pub fn size(kind: FsType, device: &str, mounted_on: Option<&str>) -> Cmd {
    match (kind, mounted_on) {
        (FsType::Ext4, _) => Cmd::new("dumpe2fs", ["-h", device]),
        (FsType::Xfs, Some(path)) => Cmd::new("xfs_io", ["-r", "-c", "statfs", path]),
        (FsType::Xfs, None) => {
            Cmd::new("xfs_db", ["-r", "-c", "sb 0", "-c", "print dblocks blocksize", device])
        }
    }
}

/// Size of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FsSize {
    /// In bytes.
    pub bytes: u64,
    /// So much of a larger device may stay unused after growing: the last group of blocks must be worth its tables.
    pub slack_bytes: u64,
}

impl FsSize {
    /// Growing would use more of a device of this size.
    pub fn can_grow_to(self, device_bytes: u64) -> bool {
        device_bytes > self.bytes.saturating_add(self.slack_bytes)
    }
}

/// Reads the answer to [`size`] of the same kind.
///
/// # Errors
/// [`ToolError`] when the tool failed, or a number is missing.
pub fn parse_size(kind: FsType, output: &Output) -> Result<FsSize, ToolError> {
    match kind {
        FsType::Ext4 => parse_ext4(output),
        FsType::Xfs => parse_xfs(output),
    }
}

/// resize2fs drops a last group that has no room for its tables and 50 blocks (e2fsprogs, `adjust_fs_info`).
const EXT4_LAST_GROUP: u64 = 50 + 16;

fn parse_ext4(output: &Output) -> Result<FsSize, ToolError> {
    const TOOL: &str = "dumpe2fs";
    if !output.ok() {
        return Err(ToolError::ended(TOOL, output, "exit 0"));
    }
    let get = |key: &str| {
        let lines = output.stdout.lines();
        lines
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| *name == key)
            .map(|(_, value)| value.trim())
    };
    let number = |key: &'static str| -> Result<u64, ToolError> {
        let text = get(key).ok_or_else(|| ToolError::missing(TOOL, "-h", key, &output.stdout))?;
        text.parse().map_err(|_| ToolError::bad(TOOL, key, text, "a number", text))
    };
    let block = number("Block size")?;
    let reserved = get("Reserved GDT blocks").and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let slack = number("Inode blocks per group")?.saturating_add(reserved).saturating_add(EXT4_LAST_GROUP);
    Ok(FsSize {
        bytes: number("Block count")?.saturating_mul(block),
        slack_bytes: slack.saturating_mul(block),
    })
}

/// The kernel drops a last allocation group of fewer blocks (`XFS_MIN_AG_BLOCKS`).
const XFS_LAST_GROUP: u64 = 64;

fn parse_xfs(output: &Output) -> Result<FsSize, ToolError> {
    const TOOL: &str = "xfs_db or xfs_io";
    if !output.ok() {
        return Err(ToolError::ended(TOOL, output, "exit 0"));
    }
    // The words of the one, and of the other.
    let number = |keys: [&'static str; 2]| -> Result<u64, ToolError> {
        let mut pairs = output.stdout.lines().filter_map(|line| line.split_once('='));
        let text = pairs.find(|(name, _)| keys.contains(&name.trim())).map(|(_, value)| value.trim());
        let text = text.ok_or_else(|| ToolError::missing(TOOL, "print", keys[0], &output.stdout))?;
        text.parse().map_err(|_| ToolError::bad(TOOL, keys[0], text, "a number", text))
    };
    let block = number(["blocksize", "geom.bsize"])?;
    Ok(FsSize {
        bytes: number(["dblocks", "geom.datablocks"])?.saturating_mul(block),
        slack_bytes: XFS_LAST_GROUP.saturating_mul(block),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As dumpe2fs 1.47.0 prints it for 64 MiB, shortened.
    const DUMPE2FS: &str = "Filesystem volume name:   <none>\nBlock count:              65536\n\
        Overhead clusters:        9499\nBlock size:               1024\nReserved GDT blocks:      256\n\
        Blocks per group:         8192\nInode blocks per group:   512\n";

    #[test]
    fn ext4_and_xfs_sizes_are_read() {
        let ext4 =
            parse_size(FsType::Ext4, &Output::of(0, DUMPE2FS, "dumpe2fs 1.47.0 (5-Feb-2023)\n")).unwrap();
        assert_eq!(ext4.bytes, 64 << 20);
        assert!(!ext4.can_grow_to(64 << 20) && !ext4.can_grow_to((64 << 20) + (512 << 10)));
        assert!(ext4.can_grow_to(80 << 20));
        let xfs = parse_size(FsType::Xfs, &Output::of(0, "dblocks = 76800\nblocksize = 4096\n", "")).unwrap();
        assert_eq!(xfs.bytes, 300 << 20);
        assert!(xfs.can_grow_to(301 << 20) && !xfs.can_grow_to((300 << 20) + (64 << 10)));
        // As xfs_io 6.1.0 prints it for 400 MiB, shortened.
        let statfs = "fd.path = \"/mnt\"\nstatfs.f_bsize = 4096\nstatfs.f_blocks = 86016\ngeom.bsize = 4096\n\
            geom.agblocks = 25600\ngeom.datablocks = 102400\ngeom.rtblocks = 0\n";
        let mounted = parse_size(FsType::Xfs, &Output::of(0, statfs, "")).unwrap();
        assert_eq!(mounted.bytes, 400 << 20);
        assert_eq!(size(FsType::Xfs, "/dev/drbd1", Some("/srv")).to_string(), "xfs_io -r -c statfs /srv");
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        for kind in [FsType::Ext4, FsType::Xfs] {
            for output in [
                Output::of(1, "", "Bad magic number\n"),
                Output::of(0, "", ""),
                Output::of(0, "Block size: x\nblocksize = y\n", ""),
            ] {
                assert!(parse_size(kind, &output).is_err(), "{kind}: {output:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_read(text in any::<String>(), number: u64) {
            for kind in [FsType::Ext4, FsType::Xfs] {
                let _ = parse_size(kind, &Output::of(0, text.clone(), ""));
            }
            let huge = format!("dblocks = {number}\nblocksize = {number}\n");
            let _ = parse_size(FsType::Xfs, &Output::of(0, huge, "")).unwrap().can_grow_to(number);
        }
    }
}
