// SPDX-License-Identifier: MPL-2.0
//! `wipefs`: every signature on a device, those behind DRBD's metadata as well, and erasing them. Not here: whether a
//! device is blank: an empty list is also the answer for a device that returns I/O errors (measured).

use serde::Deserialize;

use crate::host::{Cmd, Output};
use crate::tools::ToolError;

/// The program's name.
pub const PROGRAM: &str = "wipefs";

/// Lists the signatures on a device; `-n` makes sure that nothing is erased.
pub fn list(device: &str) -> Cmd {
    Cmd::new(PROGRAM, ["-n", "-J", device])
}

/// Erases all signatures of a device. What is behind them stays, unfindable: only with a consent that names the device
/// and what it holds. Refused (exit 1) while the device is in use, because no force is given.
pub fn wipe_all(device: &str) -> Cmd {
    Cmd::new(PROGRAM, ["--all", device])
}

/// Erases DRBD's metadata signature and nothing else: no tool finds the metadata after it. Exit 0 also when there is
/// none; refused (exit 1, nothing changed) while the device is in use, be it attached or mounted.
///
/// This and not `wipe-md`: that one needs a force option without a terminal, and with it goes on when the device is
/// busy; under another minor number than the one it is attached as it erases the metadata of a running replica and
/// exits 0 (measured).
pub fn wipe_drbd(device: &str) -> Cmd {
    Cmd::new(PROGRAM, ["--all", "--types", "drbd", device])
}

/// Erasing was refused because something has the device open for itself. Nothing was changed.
pub fn found_it_busy(output: &Output) -> bool {
    !output.ok() && output.stderr.trim_end().ends_with("Device or resource busy")
}

/// One signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// What it is the signature of, e.g. `ext4`, `drbd`, `gpt`, `PMBR`.
    pub kind: String,
    /// Where it is, in bytes from the start of the device.
    pub offset: u64,
    /// UUID, where that kind has one.
    pub uuid: Option<String>,
    /// Label, where that kind has one.
    pub label: Option<String>,
}

#[derive(Deserialize)]
struct Document {
    signatures: Vec<RawSignature>,
}

#[derive(Deserialize)]
struct RawSignature {
    #[serde(rename = "type")]
    kind: String,
    offset: String,
    uuid: Option<String>,
    label: Option<String>,
}

/// Reads the answer to [`list`]; versions of util-linux that print nothing at all mean "none".
pub fn parse_list(output: &Output) -> Result<Vec<Signature>, ToolError> {
    if !output.ok() {
        return Err(ToolError::ended(PROGRAM, output, "exit 0"));
    }
    let text = output.stdout.trim();
    if text.is_empty() && output.stderr.trim().is_empty() {
        return Ok(Vec::new());
    }
    let document: Document =
        serde_json::from_str(text).map_err(|reason| ToolError::json(PROGRAM, "-J", text, &reason))?;
    document.signatures.into_iter().map(signature).collect()
}

fn signature(raw: RawSignature) -> Result<Signature, ToolError> {
    let offset =
        raw.offset.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok()).ok_or_else(
            || ToolError::bad(PROGRAM, "offset", &raw.offset, "a hexadecimal number", &raw.kind),
        )?;
    Ok(Signature { kind: raw.kind, offset, uuid: raw.uuid, label: raw.label })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tools::samples;

    #[test]
    fn every_sample_is_read_or_refused() {
        for sample in samples::of_tool("wipefs") {
            let read = parse_list(&sample.output);
            // What an erasing call prints is no list, but where it prints nothing that cannot be told.
            let is_list = sample.command.contains("-J") || sample.output.stdout.is_empty();
            assert_eq!(read.is_ok(), sample.output.ok() && is_list, "{}: {read:?}", sample.name);
        }
    }

    #[test]
    fn a_file_system_behind_drbd_metadata_is_seen() {
        let sample = samples::one("wipefs", "2.38.1", "drbd-v08-over-ext4");
        let signatures = parse_list(&sample.output).unwrap();
        let kinds: Vec<_> = signatures.iter().map(|found| (found.kind.as_str(), found.offset)).collect();
        assert_eq!(kinds, [("drbd", 0x1fff_f03c), ("ext4", 0x438)]);
    }

    #[test]
    fn a_partition_table_is_seen() {
        let sample = samples::one("wipefs", "2.38.1", "gpt");
        let kinds: Vec<_> = parse_list(&sample.output).unwrap().into_iter().map(|found| found.kind).collect();
        assert_eq!(kinds, ["gpt", "gpt", "PMBR"]);
    }

    #[test]
    fn a_missing_field_is_named() {
        let error = parse_list(&Output::of(0, r#"{"signatures":[{"offset":"0x0"}]}"#, "")).unwrap_err();
        assert!(error.to_string().contains("missing field `type`"), "{error}");
    }

    #[test]
    fn erasing_is_the_recorded_command_and_is_refused_for_a_device_in_use() {
        let sample = samples::one("wipefs", "2.38.1", "erase-drbd-in-use");
        assert_eq!(wipe_drbd("/dev/vg0/n1").to_string(), sample.command);
        assert_eq!(sample.output.code(), Some(1));
        assert!(found_it_busy(&sample.output));
        assert!(!found_it_busy(&samples::one("wipefs", "2.38.1", "missing-device").output));
        assert!(samples::one("wipefs", "2.38.1", "erase-drbd-again").output.ok());
        assert_eq!(
            wipe_all("/dev/vg0/n1").to_string(),
            samples::one("wipefs", "2.38.1", "erase-all").command
        );
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_read(text in any::<String>()) {
            let _ = parse_list(&Output::of(0, text, ""));
        }
    }
}
