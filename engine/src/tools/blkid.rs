// SPDX-License-Identifier: MPL-2.0
//! `blkid`: what superblock a device holds. Not here: all signatures of a device (see `wipefs`), and whether a
//! device is blank: **`blkid` answers "nothing known" also for a device that returns I/O errors and for one that
//! does not exist** (measured), and it knows nothing of unstructured data. Whoever wants to call a device blank
//! reads it.

use std::fmt;

use crate::host::{Cmd, Output};
use crate::tools::ToolError;

/// The program's name.
pub const PROGRAM: &str = "blkid";

/// Asks the device itself, past any cache (`-p`).
pub fn probe(device: &str) -> Cmd {
    Cmd::new(PROGRAM, ["-p", "-o", "export", device])
}

/// Asks the same as if the device ended after `bytes`: metadata at the end of what was a smaller device.
pub fn probe_front(device: &str, bytes: u64) -> Cmd {
    Cmd::new(PROGRAM, ["-p", "-o", "export", "-S", &bytes.to_string(), device])
}

/// What `blkid` knows of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Nothing. Not the same as blank, see the module's header.
    NothingKnown,
    /// More than one superblock; `wipefs` lists them.
    Ambivalent,
    /// One superblock, or a partition table.
    Found(Superblock),
}

/// One superblock. At least one of `kind` and `partition_table` is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// `TYPE`, e.g. `ext4`, `drbd`, `LVM2_member`, `crypto_LUKS`, `swap`. A file system in front of DRBD's internal
    /// metadata is hidden behind `drbd`.
    pub kind: Option<String>,
    /// `VERSION`, e.g. `v09` for DRBD metadata.
    pub version: Option<String>,
    /// `UUID` as that kind spells it.
    pub uuid: Option<String>,
    /// `LABEL`.
    pub label: Option<String>,
    /// `PTTYPE`: `gpt` or `dos`, when the device is partitioned.
    pub partition_table: Option<String>,
}

impl Superblock {
    /// Format (`v08`, `v09`) and device UUID of DRBD's metadata, if that is what was found. The UUID has 16 digits
    /// in upper case, as DRBD prints it; `blkid` shows none for metadata whose UUID is zero.
    pub fn drbd_metadata(&self) -> Option<(String, String)> {
        if self.kind.as_deref() != Some("drbd") {
            return None;
        }
        let uuid = self.uuid.as_deref().unwrap_or("0").to_uppercase();
        Some((self.version.clone()?, format!("{uuid:0>16}")))
    }
}

impl fmt::Display for Superblock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.kind, &self.partition_table) {
            (Some(kind), _) => f.write_str(kind)?,
            (None, Some(table)) => write!(f, "partition table {table}")?,
            (None, None) => f.write_str("superblock")?,
        }
        if let Some(label) = &self.label {
            write!(f, " \"{label}\"")?;
        }
        self.uuid.as_ref().map_or(Ok(()), |uuid| write!(f, " (UUID {uuid})"))
    }
}

/// Reads the answer to [`probe`].
pub fn parse_probe(output: &Output) -> Result<Probe, ToolError> {
    match output.code() {
        Some(0) => parse_export(&output.stdout).map(Probe::Found),
        Some(2) if output.stderr.trim().is_empty() => Ok(Probe::NothingKnown),
        Some(8) => Ok(Probe::Ambivalent),
        _ => Err(ToolError::ended(PROGRAM, output, "exit 0, 2 without an error text, or 8")),
    }
}

fn parse_export(text: &str) -> Result<Superblock, ToolError> {
    let mut pairs = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let (key, value) = line
            .split_once('=')
            .ok_or_else(|| ToolError::malformed(PROGRAM, "-o export", "`KEY=value`", line))?;
        pairs.push((key, unescape(value)));
    }
    let get = |wanted: &str| pairs.iter().find(|(key, _)| *key == wanted).map(|(_, value)| value.clone());
    let superblock = Superblock {
        kind: get("TYPE"),
        version: get("VERSION"),
        uuid: get("UUID"),
        label: get("LABEL"),
        partition_table: get("PTTYPE"),
    };
    if superblock.kind.is_none() && superblock.partition_table.is_none() {
        return Err(ToolError::missing(PROGRAM, "superblock", "TYPE or PTTYPE", text));
    }
    Ok(superblock)
}

/// `blkid` puts a backslash before what a shell could change.
fn unescape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        if c == '\\' { out.extend(chars.next()) } else { out.push(c) }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tools::samples;

    fn probed(name: &str) -> Result<Probe, ToolError> {
        let sample = samples::one("blkid", "2.38.1", name);
        parse_probe(&sample.output)
    }

    fn kind(name: &str) -> Option<String> {
        match probed(name) {
            Ok(Probe::Found(superblock)) => superblock.kind,
            other => panic!("{name}: {other:?}"),
        }
    }

    #[test]
    fn every_sample_is_read_or_refused() {
        for sample in samples::of_tool("blkid") {
            let read = parse_probe(&sample.output);
            assert_eq!(read.is_err(), sample.name == "drbd-secondary", "{}: {read:?}", sample.name);
        }
    }

    #[test]
    fn what_is_there_is_named() {
        for (name, expected) in [
            ("ext4-with-odd-label", "ext4"),
            ("xfs", "xfs"),
            ("swap", "swap"),
            ("lvm-member", "LVM2_member"),
            ("luks", "crypto_LUKS"),
            ("drbd-v08-over-ext4", "drbd"),
        ] {
            assert_eq!(kind(name).as_deref(), Some(expected));
        }
        let Ok(Probe::Found(odd)) = probed("ext4-with-odd-label") else { panic!("nothing") };
        assert_eq!(odd.label.as_deref(), Some("my disk;x"));
        let Ok(Probe::Found(drbd)) = probed("drbd-v09") else { panic!("nothing") };
        assert_eq!(drbd.drbd_metadata(), Some(("v09".to_owned(), "0".repeat(16))));
        assert_eq!(odd.drbd_metadata(), None);
        assert_eq!(odd.to_string(), "ext4 \"my disk;x\" (UUID d0f6213f-0435-4d04-bc35-e4d24eb32027)");
        let Ok(Probe::Found(gpt)) = probed("gpt") else { panic!("nothing") };
        assert_eq!((&gpt.kind, gpt.partition_table.as_deref()), (&None, Some("gpt")));
        assert!(gpt.to_string().starts_with("partition table gpt"), "{gpt}");
        assert_eq!(probed("ambivalent"), Ok(Probe::Ambivalent));
    }

    #[test]
    fn a_device_uuid_gets_its_leading_zeros_back() {
        let text = "DEVNAME=/dev/vg0/r0\nUUID=ca595c4a3414b10\nVERSION=v08\nTYPE=drbd\nUSAGE=raid\n";
        let Ok(Probe::Found(found)) = parse_probe(&Output::of(0, text, "")) else { panic!("nothing") };
        assert_eq!(found.drbd_metadata(), Some(("v08".to_owned(), "0CA595C4A3414B10".to_owned())));
    }

    #[test]
    fn nothing_known_is_said_of_blank_broken_and_missing_devices_alike() {
        for name in ["blank", "random-data", "io-error", "missing-device"] {
            assert_eq!(probed(name), Ok(Probe::NothingKnown), "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_read(text in any::<String>(), code in 0..9) {
            let _ = parse_probe(&Output::of(code, text, ""));
        }
    }
}
