// SPDX-License-Identifier: MPL-2.0
//! `/proc/drbd`: the file is there exactly while the module is loaded. DRBD 9 prints its version only; 8.4 also a
//! few lines for each device. Not here: the state of a resource (see `drbdsetup`).

use crate::tools::ToolError;

const FILE: &str = "/proc/drbd";

/// The whole file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcDrbd {
    /// Version of the loaded module, e.g. `8.4.11`.
    pub version: String,
    /// Devices (DRBD 8.4 only).
    pub devices: Vec<ProcDevice>,
}

/// One device of DRBD 8.4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcDevice {
    /// Minor number.
    pub minor: u32,
    /// Connection state in 8.4's own words, e.g. `WFConnection`, `SyncSource`; `Unconfigured` while half up.
    pub connection_state: String,
    /// Data that the peers do not have in common, in KiB; `None` for an unconfigured device.
    pub out_of_sync_kib: Option<u64>,
    /// Progress, while a resync runs.
    pub resync: Option<ProcResync>,
}

/// Progress of a resync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcResync {
    /// Done, in tenths of a percent of what this resync has to move.
    pub done_permille: u16,
    /// Seconds that it will still take at its present speed; `None` while that is unknown.
    pub finish_seconds: Option<u64>,
    /// Present speed in KiB a second; `None` while that is unknown.
    pub speed_kib_per_second: Option<u64>,
}

/// Reads the text of `/proc/drbd`.
///
/// # Errors
///
/// [`ToolError`] when the first line does not name a version, or a device line cannot be read.
pub fn parse_drbd(text: &str) -> Result<ProcDrbd, ToolError> {
    let first = text.lines().next().unwrap_or_default();
    let version = first
        .strip_prefix("version: ")
        .and_then(|rest| rest.split_whitespace().next())
        .ok_or_else(|| ToolError::malformed(FILE, "the file", "a first line `version: X.Y.Z ...`", first))?;
    let mut devices: Vec<ProcDevice> = Vec::new();
    for line in text.lines().skip(1) {
        if let Some(device) = device(line)? {
            devices.push(device);
        } else if let Some(last) = devices.last_mut() {
            add(last, line)?;
        }
    }
    Ok(ProcDrbd { version: version.to_owned(), devices })
}

/// ` 0: cs:SyncSource ro:... ds:...`
fn device(line: &str) -> Result<Option<ProcDevice>, ToolError> {
    let Some((minor, state)) = line.split_once(": cs:") else { return Ok(None) };
    let minor = minor
        .trim()
        .parse()
        .map_err(|_| ToolError::bad(FILE, "device", minor.trim(), "a minor number", line))?;
    let connection_state = state.split_whitespace().next().unwrap_or_default().to_owned();
    Ok(Some(ProcDevice { minor, connection_state, out_of_sync_kib: None, resync: None }))
}

/// The lines below a device line.
fn add(device: &mut ProcDevice, line: &str) -> Result<(), ToolError> {
    if let Some(text) = line.split_whitespace().find_map(|word| word.strip_prefix("oos:")) {
        let number = text.parse().map_err(|_| ToolError::bad(FILE, "oos", text, "a number of KiB", line))?;
        device.out_of_sync_kib = Some(number);
    }
    // An online verify prints its progress in the same place under another word (kernel, `drbd_proc.c`).
    if let Some((_, rest)) = line.split_once("sync'ed:").or_else(|| line.split_once("verified:")) {
        let percent = rest.trim_start().split('%').next().unwrap_or_default();
        let done_permille = permille(percent)
            .ok_or_else(|| ToolError::bad(FILE, "sync'ed", percent, "a percentage like `12.3`", line))?;
        device.resync = Some(ProcResync { done_permille, finish_seconds: None, speed_kib_per_second: None });
    }
    if let (Some(resync), Some((_, rest))) = (&mut device.resync, line.split_once("finish: ")) {
        let mut words = rest.split_whitespace();
        resync.finish_seconds = words.next().and_then(seconds);
        let speed = words.skip_while(|word| *word != "speed:").nth(1);
        resync.speed_kib_per_second = speed.and_then(|text| text.replace(',', "").parse().ok());
    }
    Ok(())
}

fn permille(percent: &str) -> Option<u16> {
    let (whole, tenth) = percent.split_once('.')?;
    let whole: u16 = whole.parse().ok()?;
    let tenth: u16 = tenth.parse().ok().filter(|tenth| *tenth < 10)?;
    whole.checked_mul(10)?.checked_add(tenth).filter(|permille| *permille <= 1000)
}

/// `H:MM:SS`.
fn seconds(text: &str) -> Option<u64> {
    let fields = text.split(':').map(|field| field.parse().ok()).collect::<Option<Vec<u64>>>()?;
    let [hours, minutes, seconds] = fields.as_slice() else { return None };
    hours.checked_mul(3600)?.checked_add(minutes.checked_mul(60)?)?.checked_add(*seconds)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tools::samples;

    #[test]
    fn every_sample_is_read_or_refused() {
        for sample in samples::of_tool("proc") {
            let read = parse_drbd(&sample.output.stdout);
            assert_eq!(read.is_ok(), sample.command.ends_with("/drbd"), "{}: {read:?}", sample.name);
        }
    }

    #[test]
    fn a_resync_of_two_devices_is_read() {
        let sample = samples::one("proc", "8.4.11", "drbd-full-sync-source");
        let file = parse_drbd(&sample.output.stdout).unwrap();
        assert_eq!(file.version, "8.4.11");
        let [first, second] = file.devices.as_slice() else { panic!("{file:?}") };
        assert_eq!((first.minor, first.connection_state.as_str()), (0, "SyncSource"));
        assert_eq!(first.out_of_sync_kib, Some(120_564));
        let resync = first.resync.unwrap();
        assert_eq!((resync.done_permille, resync.finish_seconds), (94, Some(11)));
        assert_eq!(resync.speed_kib_per_second, Some(10_468));
        assert_eq!(second.resync.unwrap().done_permille, 375);
    }

    #[test]
    fn drbd9_has_a_version_and_no_devices() {
        let sample = samples::one("proc", "9.2.18", "drbd-loaded");
        let file = parse_drbd(&sample.output.stdout).unwrap();
        assert_eq!((file.version.as_str(), file.devices.len()), ("9.2.18", 0));
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_read(text in any::<String>()) {
            let _ = parse_drbd(&text);
            let _ = parse_drbd(&format!("version: 8.4.11\n 0: cs:{text}\n sync'ed:{text}\n finish: {text}\n"));
        }
    }
}
