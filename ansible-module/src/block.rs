// SPDX-License-Identifier: MPL-2.0
//! Block devices as the kernel describes them in sysfs, and a look at their content for anything that is not zero.

use drbd_engine::host::{BlockDevice, HostError, Read};
use rustix::fs::{FileType, major, minor, stat};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// What is read as a whole at both ends: every known signature and all of DRBD's metadata of common sizes are there.
const ENDS: u64 = 4 << 20;
/// Samples between the ends.
const SAMPLES: u64 = 256;
/// Size of a sample.
const SAMPLE: u64 = 64 << 10;
/// So much is read between two looks at whether to go on.
const PIECE: usize = 1 << 20;

/// The block device at a path; `None` when there is none.
pub(crate) fn describe(path: &str) -> Result<Option<BlockDevice>, HostError> {
    let found = match stat(path) {
        Ok(found) => found,
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => return Ok(None),
        Err(error) => {
            return Err(HostError::Os { what: format!("look at {path}"), reason: error.to_string() });
        }
    };
    if FileType::from_raw_mode(found.st_mode) != FileType::BlockDevice {
        let reason = "it is not a block device".to_owned();
        return Err(HostError::Os { what: format!("use {path}"), reason });
    }
    let number = format!("{}:{}", major(found.st_rdev), minor(found.st_rdev));
    let dir = PathBuf::from(format!("/sys/dev/block/{number}"));
    let Ok(target) = fs::read_link(&dir) else { return Ok(None) };
    let kernel_name = target.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    // What the directory does not list is not asked for.
    let listed = names(&dir);
    let read = |path: &str| {
        let first = path.split('/').next()?;
        listed.binary_search_by(|name| name.as_str().cmp(first)).ok().and_then(|_| attribute(&dir.join(path)))
    };
    let sectors: u64 = read("size").and_then(|text| text.parse().ok()).unwrap_or(0);
    Ok(Some(BlockDevice {
        // sysfs counts in sectors of 512 bytes whatever the device's own size of sectors.
        size_bytes: sectors * 512,
        read_only: read("ro").as_deref() == Some("1"),
        dm_uuid: read("dm/uuid"),
        dm_name: read("dm/name"),
        serial: read("serial").or_else(|| read("device/serial")),
        wwn: read("wwid").or_else(|| read("device/wwid")),
        holders: names(&dir.join("holders")),
        slaves: names(&dir.join("slaves")),
        partitions: partitions(&dir, &kernel_name, &listed),
        kernel_name,
        number,
    }))
}

/// A sysfs attribute; empty ones and the kernel's "(null)" count as absent.
fn attribute(path: &Path) -> Option<String> {
    // An attribute is at most a page, and the kernel gives all of it to one read (Documentation/filesystems/sysfs).
    let mut page = [0; 4096];
    let count = File::open(path).and_then(|mut file| file.read(&mut page)).ok()?;
    let text = str::from_utf8(page.get(..count)?).ok()?;
    let text = text.trim().trim_end_matches('\0');
    (!text.is_empty() && text != "(null)").then(|| text.to_owned())
}

/// The names in a directory, sorted.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

fn partitions(dir: &Path, kernel_name: &str, listed: &[String]) -> Vec<String> {
    let is_partition =
        |name: &&String| name.starts_with(kernel_name) && dir.join(name).join("partition").exists();
    listed.iter().filter(is_partition).cloned().collect()
}

/// Offset of the first byte found that is not zero. `end` cuts the device short: what lies behind it does not count.
/// `go_on` is asked between two pieces, because reading a whole device takes its time.
pub(crate) fn first_data(
    path: &str,
    end: Option<u64>,
    read: Read,
    go_on: &dyn Fn() -> Result<(), HostError>,
) -> Result<Option<u64>, HostError> {
    let os = |error: io::Error| HostError::Os { what: format!("read {path}"), reason: error.to_string() };
    let size = describe(path)?.map_or(0, |block| block.size_bytes);
    let size = end.map_or(size, |end| end.min(size));
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(i32::try_from(rustix::fs::OFlags::CLOEXEC.bits()).unwrap_or(0))
        .open(path)
        .map_err(os)?;
    search(&file, size, read, go_on, os)
}

fn search(
    file: &File,
    size: u64,
    read: Read,
    go_on: &dyn Fn() -> Result<(), HostError>,
    os: impl Fn(io::Error) -> HostError,
) -> Result<Option<u64>, HostError> {
    let ranges = match read {
        Read::Samples => ranges(size),
        Read::All => vec![(0, size)],
    };
    for (start, length) in ranges {
        for piece in (start..start + length).step_by(PIECE) {
            go_on()?;
            let length = (start + length - piece).min(PIECE as u64);
            if let Some(offset) = scan(file, piece, length).map_err(&os)? {
                return Ok(Some(offset));
            }
        }
    }
    Ok(None)
}

/// Reads one piece.
fn scan(file: &File, start: u64, length: u64) -> io::Result<Option<u64>> {
    let mut buffer = vec![0; usize::try_from(length.min(PIECE as u64)).unwrap_or(PIECE)];
    let mut offset = start;
    while offset < start + length {
        let want = usize::try_from(start + length - offset).unwrap_or(PIECE);
        let end = want.min(buffer.len());
        let Some(slice) = buffer.get_mut(..end) else { break };
        let count = file.read_at(slice, offset)?;
        if count == 0 {
            break;
        }
        if let Some(index) = slice.iter().take(count).position(|byte| *byte != 0) {
            return Ok(Some(offset + index as u64));
        }
        offset += count as u64;
    }
    Ok(None)
}

/// The parts that are read where samples are enough, in order.
fn ranges(size: u64) -> Vec<(u64, u64)> {
    if size <= 2 * ENDS + SAMPLES * SAMPLE {
        return vec![(0, size)];
    }
    let step = (size - 2 * ENDS) / SAMPLES;
    let middle = (0..SAMPLES).map(|i| (ENDS + i * step, SAMPLE));
    std::iter::once((0, ENDS)).chain(middle).chain([(size - ENDS, ENDS)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Seek, SeekFrom, Write};

    fn file_with(size: u64, at: Option<u64>) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.set_len(size).unwrap();
        if let Some(at) = at {
            file.seek(SeekFrom::Start(at)).unwrap();
            file.write_all(b"x").unwrap();
        }
        file
    }

    fn found(file: &File, size: u64, read: Read) -> Option<u64> {
        let os = |error: io::Error| HostError::Os { what: "read".into(), reason: error.to_string() };
        search(file, size, read, &|| Ok(()), os).unwrap()
    }

    #[test]
    fn data_at_both_ends_and_in_small_devices_are_found() {
        let (small, large) = (8 << 20, 1 << 30);
        assert_eq!(found(&file_with(small, None), small, Read::Samples), None);
        assert_eq!(found(&file_with(small, Some(5_000_000)), small, Read::Samples), Some(5_000_000));
        for at in [0, 65_536, ENDS - 1, large - ENDS, large - 1] {
            assert_eq!(found(&file_with(large, Some(at)), large, Read::Samples), Some(at));
        }
        assert_eq!(found(&file_with(large, None), large, Read::Samples), None);
    }

    #[test]
    fn a_byte_between_the_samples_is_found_where_all_is_read() {
        let (size, at) = (52 << 20, (30 << 20) + (64 << 10));
        let file = file_with(size, Some(at));
        assert_eq!(found(&file, size, Read::Samples), None, "the case needs a byte that samples miss");
        assert_eq!(found(&file, size, Read::All), Some(at));
        assert_eq!(found(&file, at, Read::All), None, "what lies behind the end does not count");
        assert_eq!(found(&file, at + 1, Read::All), Some(at));
    }

    #[test]
    fn reading_stops_when_it_is_asked_to() {
        let stop = || Err(HostError::Interrupted { by: "SIGTERM" });
        let os = |error: io::Error| HostError::Os { what: "read".into(), reason: error.to_string() };
        let size = 8 << 20;
        assert!(search(&file_with(size, None), size, Read::All, &stop, os).is_err());
    }

    #[test]
    fn samples_stay_inside_the_device() {
        for size in [0, 1, 4096, 25 << 20, (25 << 20) + 512, 1 << 30, 1 << 50] {
            assert!(ranges(size).iter().all(|(start, length)| start + length <= size), "{size}");
        }
    }

    #[test]
    fn what_is_no_block_device_is_told_apart() {
        assert_eq!(describe("/dev/no/such/device").unwrap(), None);
        assert!(describe("/etc/passwd").is_err());
    }
}
