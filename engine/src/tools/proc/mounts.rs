// SPDX-License-Identifier: MPL-2.0
//! `/proc/self/mountinfo` and `/proc/swaps`: which block devices are in use as file systems or swap. Not here: who
//! else holds a device (see `/sys/class/block/*/holders`).

use crate::tools::ToolError;

const MOUNTINFO: &str = "/proc/self/mountinfo";
const SWAPS: &str = "/proc/swaps";

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Device number of the file system. Not the block device's for btrfs and other file systems that make up
    /// their own; compare `source` as well.
    pub device: (u32, u32),
    /// Where it is mounted.
    pub mount_point: String,
    /// Type, e.g. `ext4`.
    pub fs_type: String,
    /// What was mounted, spelled as in the mount call, e.g. `/dev/drbd0`.
    pub source: String,
}

/// Reads the text of `/proc/self/mountinfo`.
///
/// # Errors
///
/// [`ToolError`] when a line has not the fields of `proc(5)`.
pub fn parse_mountinfo(text: &str) -> Result<Vec<Mount>, ToolError> {
    text.lines().filter(|line| !line.trim().is_empty()).map(mount).collect()
}

/// `ID PARENT MAJOR:MINOR ROOT MOUNTPOINT OPTIONS [TAG...] - TYPE SOURCE SUPEROPTIONS`
fn mount(line: &str) -> Result<Mount, ToolError> {
    let malformed = || ToolError::malformed(MOUNTINFO, "a mount", "the fields of proc(5)", line);
    let mut words = line.split(' ');
    let number = words.nth(2).ok_or_else(malformed)?;
    let (major, minor) = number.split_once(':').ok_or_else(malformed)?;
    let device = match (major.parse(), minor.parse()) {
        (Ok(major), Ok(minor)) => (major, minor),
        _ => return Err(ToolError::bad(MOUNTINFO, "device number", number, "`MAJOR:MINOR`", line)),
    };
    let mount_point = unescape(words.nth(1).ok_or_else(malformed)?);
    let mut rest = words.skip_while(|word| *word != "-").skip(1);
    let fs_type = rest.next().ok_or_else(malformed)?.to_owned();
    let source = unescape(rest.next().ok_or_else(malformed)?);
    Ok(Mount { device, mount_point, fs_type, source })
}

/// Reads the text of `/proc/swaps`: the devices and files in use as swap.
///
/// # Errors
///
/// [`ToolError`] when the heading is not there.
pub fn parse_swaps(text: &str) -> Result<Vec<String>, ToolError> {
    let mut lines = text.lines();
    let heading = lines.next().unwrap_or_default();
    if !heading.starts_with("Filename") {
        return Err(ToolError::malformed(SWAPS, "the file", "a heading `Filename ...`", heading));
    }
    Ok(lines.filter_map(|line| line.split_whitespace().next()).map(unescape).collect())
}

/// The kernel writes blank, tab, line end and backslash as a backslash and three octal digits.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let octal = tail.get(..3).filter(|_| first == b'\\').and_then(octal);
        match octal {
            Some(byte) => {
                bytes.push(byte);
                rest = tail.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn octal(digits: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?;
    u8::from_str_radix(text, 8).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tools::samples;

    #[test]
    fn every_sample_is_read_or_refused() {
        for sample in samples::of_tool("proc") {
            let mounts = parse_mountinfo(&sample.output.stdout);
            assert_eq!(mounts.is_ok(), sample.command.ends_with("mountinfo"), "{}: {mounts:?}", sample.name);
            let swaps = parse_swaps(&sample.output.stdout);
            assert_eq!(swaps.is_ok(), sample.command.ends_with("swaps"), "{}: {swaps:?}", sample.name);
        }
    }

    #[test]
    fn a_mounted_drbd_device_and_a_blank_in_a_name_are_read() {
        let sample = samples::one("proc", "linux-7.2", "mountinfo");
        let mounts = parse_mountinfo(&sample.output.stdout).unwrap();
        let drbd = mounts.iter().find(|mount| mount.source == "/dev/drbd0").unwrap();
        assert_eq!((drbd.device, drbd.mount_point.as_str()), ((147, 0), "/mnt/drbd"));
        assert!(mounts.iter().any(|mount| mount.mount_point == "/mnt/a b"));
    }

    #[test]
    fn swap_devices_are_read() {
        let swaps = |name| parse_swaps(&samples::one("proc", "linux-7.2", name).output.stdout).unwrap();
        assert_eq!(swaps("swaps").len(), 1);
        assert!(swaps("swaps-none").is_empty());
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_read(text in any::<String>()) {
            let _ = parse_mountinfo(&text);
            let _ = parse_swaps(&text);
            let _ = unescape(&text);
        }

        #[test]
        fn escapes_are_taken_away(text in "[a-c \t\\\\]{0,20}") {
            let escaped = text.replace('\\', "\\134").replace(' ', "\\040").replace('\t', "\\011");
            prop_assert_eq!(unescape(&escaped), text);
        }
    }
}
