// SPDX-License-Identifier: MPL-2.0
//! What a failed call of DRBD's tools means, from exit code and text: one typed reason. The exit code alone does not
//! tell (1, 10 and 20 each have many meanings). Not here: what to do about it.

use crate::host::{Exit, Output};
use crate::tools::drbdadm::config::{self, ConfigFault};
use crate::tools::error::quote;

/// Kernel refusals (`Failure: (N)`) that a caller may want to tell apart.
pub mod kernel_error {
    /// The local address is in use by another connection; on 8.4 also: this one is connected already.
    pub const LOCAL_ADDRESS_IN_USE: u32 = 102;
    /// The device is too small for its metadata.
    pub const META_DEVICE_TOO_SMALL: u32 = 112;
    /// The connection is configured already (DRBD 9).
    pub const NET_CONFIGURED: u32 = 125;
    /// No such minor: the resource is down.
    pub const MINOR_INVALID: u32 = 127;
    /// A resync runs, the size cannot change now.
    pub const RESYNC_RUNNING: u32 = 130;
    /// Sync is paused already.
    pub const PAUSE_FLAG_SET: u32 = 134;
    /// Sync is not paused.
    pub const PAUSE_FLAG_CLEAR: u32 = 135;
    /// The bitmap cannot be cleared: the replica is no longer just created, or the peers differ.
    pub const NEED_STANDALONE: u32 = 151;
    /// No such resource: it is down.
    pub const RESOURCE_NOT_KNOWN: u32 = 158;
    /// The minor is still in use (8.4).
    pub const MINOR_IN_USE: u32 = 160;
    /// Minor or volume exists already.
    pub const MINOR_EXISTS: u32 = 161;
    /// Invalid request: no such connection; on DRBD 9 also: no free peer slot in the metadata.
    pub const INVALID_REQUEST: u32 = 162;
}

/// Refused state changes (`State change failed: (N)`) that a caller may want to tell apart.
pub mod state_error {
    /// Another node is Primary.
    pub const TWO_PRIMARIES: i32 = -1;
    /// No access to UpToDate data.
    pub const NO_UP_TO_DATE_DISK: i32 = -2;
    /// A resync or verify runs already.
    pub const RESYNC_RUNNING: i32 = -8;
    /// The peer refused.
    pub const REFUSED_BY_PEER: i32 = -10;
    /// Somebody holds the device open.
    pub const DEVICE_IN_USE: i32 = -12;
    /// No quorum (DRBD 9).
    pub const NO_QUORUM: i32 = -25;
}

/// Why a call of drbdadm, drbdsetup or drbdmeta failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DrbdFailure {
    /// The kernel refused a request; nothing changed by that request.
    #[error("the kernel refused for {object}: ({number}) {text}{}", and(.info))]
    KernelRefused {
        /// What it was about, as printed: a resource, a minor, or `??`.
        object: String,
        /// DRBD's number, see [`kernel_error`].
        number: u32,
        /// DRBD's text.
        text: String,
        /// Further lines of the kernel.
        info: Vec<String>,
    },
    /// The kernel refused a change of state; nothing changed.
    #[error("state change refused for {object}: ({number}) {text}{}", and(.info))]
    StateChangeRefused {
        /// What it was about, as printed.
        object: String,
        /// DRBD's number, see [`state_error`].
        number: i32,
        /// DRBD's text.
        text: String,
        /// Further lines of the kernel, e.g. who holds the device open.
        info: Vec<String>,
    },
    /// The configuration cannot be read; no `drbdadm` call works, for no resource.
    #[error("the configuration cannot be read: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    ConfigRefused(Vec<ConfigFault>),
    /// No file names this resource for this host.
    #[error("resource {0} is not in this host's configuration")]
    NotConfigured(String),
    /// No file names any resource for this host.
    #[error("no resource is configured for this host")]
    NothingConfigured,
    /// The resource is configured but not up.
    #[error("resource {0} is not up")]
    NotUp(String),
    /// The kernel module is not loaded and cannot be loaded.
    #[error("the DRBD kernel module is not loaded: {0}")]
    NoModule(String),
    /// The device is attached: metadata tools must not touch it.
    #[error("minor {0} is attached")]
    Attached(u32),
    /// The device is held open by something else (mounted, in an LVM group, ...), or attached under another minor.
    #[error("device {0} is in use")]
    DeviceBusy(String),
    /// There is no such device.
    #[error("device {0} does not exist")]
    DeviceMissing(String),
    /// The device cannot be opened or read.
    #[error("device {device}: {reason}")]
    DeviceUnreadable {
        /// The device, or `?` when the tool does not name it.
        device: String,
        /// The system's reason.
        reason: String,
    },
    /// The path is no block device.
    #[error("{0} is not a block device")]
    NotABlockDevice(String),
    /// The device is too small for metadata.
    #[error("device {device} is too small: {bytes} bytes")]
    DeviceTooSmall {
        /// The device.
        device: String,
        /// Its size.
        bytes: u64,
    },
    /// `create-md` found DRBD metadata and did not overwrite it.
    #[error("the device holds DRBD metadata already{}", .0.as_ref().map(|format| format!(" ({format})")).unwrap_or_default())]
    HoldsMetadata(Option<String>),
    /// `create-md` found other data and did not write.
    #[error("the device holds data: {found}")]
    HoldsData {
        /// What it found, in its words, e.g. `Found ext3 filesystem`. (It calls ext4 so, too.)
        found: String,
        /// The data reaches into the place of the metadata: refused also with force.
        would_be_cut: bool,
    },
    /// The tool wants a confirmation that nobody can give.
    #[error("it asks: {0}")]
    ConfirmationNeeded(String),
    /// There is no metadata on the device.
    #[error("no DRBD metadata on the device")]
    NoMetadata,
    /// The metadata is good, but its activity log was not applied; `dump-md` only.
    #[error("the metadata is unclean; its activity log must be applied first")]
    UncleanMetadata,
    /// drbdadm gave up waiting for a command that sits in the kernel.
    #[error("`{0}` did not return from the kernel")]
    StuckInKernel(String),
    /// The call itself was wrong for this version of the tools.
    #[error("the tool does not take this call: {0}")]
    Usage(String),
    /// It ran out of its own time limit (`wait-connect`).
    #[error("it gave up waiting")]
    WaitTimedOut,
    /// It was killed, at its deadline or by somebody.
    #[error("{0}")]
    Killed(Exit),
    /// None of these; text shortened and masked.
    #[error("{exit}: {text}")]
    Unrecognised {
        /// How it ended.
        exit: Exit,
        /// What it said.
        text: String,
    },
}

/// `None` when the command exited 0, which says only "done, or nothing to do"; else why it failed.
///
/// `create-md --force` on a device that is mounted exits 0 with an error text: whoever forces looks first.
pub fn classify(output: &Output) -> Option<DrbdFailure> {
    match output.exit {
        Exit::Code(0) => None,
        Exit::Signal(_) | Exit::TimedOut => Some(DrbdFailure::Killed(output.exit)),
        Exit::Code(code) => Some(of_text(output).unwrap_or_else(|| of_code(code, output))),
    }
}

/// From the plainest words to those that also stand beside others: the first that is found is the reason.
fn of_text(output: &Output) -> Option<DrbdFailure> {
    let lines: Vec<&str> = output.stderr.lines().map(str::trim).collect();
    let stdout: Vec<&str> = output.stdout.lines().map(str::trim).collect();
    attached(&lines)
        .or_else(|| kernel(&lines))
        .or_else(|| stuck(&lines))
        .or_else(|| configuration(output, &lines))
        .or_else(|| device(&lines))
        .or_else(|| content(&stdout, &lines))
        .or_else(|| module(&lines))
        .or_else(|| usage(&lines))
}

fn of_code(code: i32, output: &Output) -> DrbdFailure {
    if code == 5 {
        return DrbdFailure::WaitTimedOut;
    }
    let text = if output.stderr.trim().is_empty() { &output.stdout } else { &output.stderr };
    DrbdFailure::Unrecognised { exit: output.exit, text: quote(text) }
}

/// `Device '0' is configured!`
fn attached(lines: &[&str]) -> Option<DrbdFailure> {
    let minor = find(lines, |line| line.strip_prefix("Device '")?.strip_suffix("' is configured!"))?;
    Some(DrbdFailure::Attached(minor.parse().ok()?))
}

/// `r0: Failure: (151) text` and `r0: State change failed: (-2) text`, with what the kernel adds behind.
fn kernel(lines: &[&str]) -> Option<DrbdFailure> {
    let at = lines
        .iter()
        .position(|line| line.contains(": Failure: (") || line.contains(": State change failed: ("))?;
    let line = lines.get(at)?;
    let info = kernel_info(lines.get(at + 1..).unwrap_or_default());
    if let Some((object, rest)) = line.split_once(": Failure: (") {
        let (number, text) = rest.split_once(") ")?;
        return Some(DrbdFailure::KernelRefused {
            object: object.to_owned(),
            number: number.parse().ok()?,
            text: quote(text),
            info,
        });
    }
    let (object, rest) = line.split_once(": State change failed: (")?;
    let (number, text) = rest.split_once(") ")?;
    Some(DrbdFailure::StateChangeRefused {
        object: object.to_owned(),
        number: number.parse().ok()?,
        text: quote(text),
        info,
    })
}

/// The lines after `additional info from kernel:` up to drbdadm's own last line.
fn kernel_info(lines: &[&str]) -> Vec<String> {
    let info = lines.iter().skip_while(|line| **line != "additional info from kernel:").skip(1);
    info.take_while(|line| !line.starts_with("Command ") && !line.is_empty())
        .map(|line| quote(line))
        .collect()
}

fn stuck(lines: &[&str]) -> Option<DrbdFailure> {
    let command = find(lines, |line| {
        line.strip_prefix("Command '")?.split_once("' did not terminate within").map(|(c, _)| c)
    })?;
    Some(DrbdFailure::StuckInKernel(quote(command)))
}

fn configuration(output: &Output, lines: &[&str]) -> Option<DrbdFailure> {
    if let Some(name) = find(lines, |line| {
        line.strip_prefix('\'')?.strip_suffix("' not defined in your config (for this host).")
    }) {
        return Some(DrbdFailure::NotConfigured(name.to_owned()));
    }
    let nothing = |line: &&str| {
        *line == "no resources defined!" || line.starts_with("WARN: no normal resources defined")
    };
    if lines.iter().any(nothing) {
        return Some(DrbdFailure::NothingConfigured);
    }
    if let Some(name) = find(lines, |line| line.strip_suffix(": No such resource"))
        .or_else(|| find(lines, |line| line.strip_suffix(": Unknown resource")))
    {
        return Some(DrbdFailure::NotUp(name.to_owned()));
    }
    // Remarks about the configuration also stand beside other failures; only exit 10 is a refusal of it.
    let faults = config::parse_faults(&output.stderr);
    (output.code() == Some(10) && !faults.is_empty()).then_some(DrbdFailure::ConfigRefused(faults))
}

fn device(lines: &[&str]) -> Option<DrbdFailure> {
    if let Some((device, rest)) = find(lines, |line| line.split_once(" is only ")) {
        let bytes = rest.strip_suffix(" bytes. That's not enough.")?.parse().ok()?;
        return Some(DrbdFailure::DeviceTooSmall { device: device.to_owned(), bytes });
    }
    if let Some(path) = find(lines, |line| line.strip_prefix('\'')?.strip_suffix("' is not a block device!"))
    {
        return Some(DrbdFailure::NotABlockDevice(path.to_owned()));
    }
    if let Some((device, reason)) = find(lines, |line| line.strip_prefix("open(")?.split_once(") failed: ")) {
        let device = device.to_owned();
        return Some(match reason {
            "Device or resource busy" => DrbdFailure::DeviceBusy(device),
            "No such file or directory" => DrbdFailure::DeviceMissing(device),
            other => DrbdFailure::DeviceUnreadable { device, reason: quote(other) },
        });
    }
    let io_error = find(lines, |line| line.contains(" failed: Input/output error").then_some(line))?;
    Some(DrbdFailure::DeviceUnreadable { device: "?".to_owned(), reason: quote(io_error) })
}

/// What `create-md`, `wipe-md` and `dump-md` say of a device's content.
fn content(stdout: &[&str], lines: &[&str]) -> Option<DrbdFailure> {
    let refused = stdout.contains(&"Operation refused.");
    if let Some(found) = find(stdout, |line| line.starts_with("Found ").then_some(line))
        && (refused || lines.contains(&"Do you want to proceed?"))
    {
        return Some(DrbdFailure::HoldsData { found: quote(found), would_be_cut: refused });
    }
    if let Some(rest) = find(lines, |line| line.strip_prefix("There appears to be a ")) {
        return Some(DrbdFailure::HoldsMetadata(rest.split_whitespace().next().map(str::to_owned)));
    }
    if lines.contains(&"Valid meta data seems to be in place.") {
        return Some(DrbdFailure::HoldsMetadata(None));
    }
    // With drbd-utils 9.34 a get-gi that finds nothing says nothing but this.
    let silent_get_gi = |line: &&str| line.ends_with(" get-gi' terminated with exit code 255");
    if lines.contains(&"No valid meta data found") || lines.iter().any(silent_get_gi) {
        return Some(DrbdFailure::NoMetadata);
    }
    if lines.iter().any(|line| line.starts_with("Found meta data is \"unclean\"")) {
        return Some(DrbdFailure::UncleanMetadata);
    }
    let at = lines.iter().position(|line| line.starts_with("stdin not a TTY"))?;
    let question = lines.get(at.checked_sub(1)?)?;
    Some(DrbdFailure::ConfirmationNeeded(quote(question)))
}

fn module(lines: &[&str]) -> Option<DrbdFailure> {
    let text = find(lines, |line| {
        (line.starts_with("Failed to modprobe drbd") || line.starts_with("Could not stat /proc/drbd"))
            .then_some(line)
    })?;
    Some(DrbdFailure::NoModule(quote(text)))
}

fn usage(lines: &[&str]) -> Option<DrbdFailure> {
    const WORDS: [&str; 12] = [
        "unrecognized option",
        "Unknown command",
        "requires a specific volume id",
        "argument not in allowed range",
        "requires the --node-id option",
        "node-id out of range",
        "Missing argument",
        "Not a valid connection",
        "option is only allowed with",
        "Excess arguments",
        "implicit or explicit device",
        "not available in",
    ];
    let line = find(lines, |line| WORDS.iter().any(|word| line.contains(word)).then_some(line))?;
    Some(DrbdFailure::Usage(quote(line)))
}

/// What `pick` gets out of the first line that has it.
fn find<'t, T>(lines: &[&'t str], pick: impl Fn(&'t str) -> Option<T>) -> Option<T> {
    lines.iter().find_map(|line| pick(line))
}

fn and(info: &[String]) -> String {
    if info.is_empty() { String::new() } else { format!(" ({})", info.join("; ")) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tools::samples::{self, Sample};

    fn failed() -> Vec<Sample> {
        ["drbdadm", "drbdsetup", "drbdmeta"]
            .into_iter()
            .flat_map(samples::of_tool)
            .filter(|sample| !sample.output.ok())
            .collect()
    }

    #[test]
    fn every_recorded_failure_has_a_reason() {
        let failed = failed();
        assert!(failed.len() > 80, "{}", failed.len());
        for sample in failed {
            // "Nothing found" of get-gi is an answer, and it is an empty one.
            let silent = sample.output.stderr.trim().is_empty() && sample.output.stdout.trim().is_empty();
            if silent {
                continue;
            }
            let reason = classify(&sample.output).unwrap();
            assert!(
                !matches!(reason, DrbdFailure::Unrecognised { .. }),
                "{}/{}: {reason:?}",
                sample.version,
                sample.name
            );
        }
    }

    fn reason(command: &str, exit: i32) -> Vec<DrbdFailure> {
        let found = failed().into_iter().filter(|s| s.command == command && s.output.code() == Some(exit));
        found.filter_map(|sample| classify(&sample.output)).collect()
    }

    #[test]
    fn kernel_refusals_keep_their_number() {
        for reason in reason("drbdadm new-current-uuid --clear-bitmap r0", 10) {
            let DrbdFailure::KernelRefused { number, .. } = reason else { panic!("{reason:?}") };
            assert_eq!(number, kernel_error::NEED_STANDALONE);
        }
        let refused = reason("drbdadm primary r0", 17);
        assert!(!refused.is_empty());
        for reason in refused {
            let DrbdFailure::StateChangeRefused { number, .. } = reason else { panic!("{reason:?}") };
            assert_eq!(number, state_error::NO_UP_TO_DATE_DISK);
        }
    }

    #[test]
    fn what_holds_a_device_open_is_told() {
        let reasons = reason("drbdadm secondary r0", 11);
        let told = reasons.iter().any(|reason| {
            matches!(reason,
            DrbdFailure::StateChangeRefused { number: state_error::DEVICE_IN_USE, info, .. }
                if info.iter().any(|line| line.contains("opened by mount")))
        });
        assert!(told, "{reasons:?}");
    }

    #[test]
    fn refusals_of_create_md_tell_what_is_there() {
        let reasons = reason("drbdadm create-md r0", 40);
        assert!(!reasons.is_empty());
        for reason in &reasons {
            assert!(matches!(reason, DrbdFailure::HoldsData { would_be_cut: true, .. }), "{reason:?}");
        }
        let reasons = reason("drbdadm create-md r0", 1);
        assert!(reasons.contains(&DrbdFailure::HoldsMetadata(Some("v09".to_owned()))), "{reasons:?}");
        assert!(reasons.contains(&DrbdFailure::HoldsMetadata(Some("v08".to_owned()))), "{reasons:?}");
        let data = DrbdFailure::HoldsData { found: "Found some data".to_owned(), would_be_cut: false };
        assert!(reasons.contains(&data), "{reasons:?}");
        let reasons = reason("drbdadm create-md r0", 20);
        assert!(reasons.contains(&DrbdFailure::Attached(0)), "{reasons:?}");
        assert!(reasons.contains(&DrbdFailure::DeviceMissing("/dev/vg0/r0".to_owned())), "{reasons:?}");
    }

    #[test]
    fn success_has_no_reason_and_a_kill_is_one() {
        assert_eq!(classify(&Output::of(0, "", "open(/dev/x) failed: Device or resource busy")), None);
        let killed = Output { exit: Exit::TimedOut, stdout: String::new(), stderr: String::new() };
        assert_eq!(classify(&killed), Some(DrbdFailure::Killed(Exit::TimedOut)));
        let stuck =
            Output::of(1, "", "Command 'drbdsetup del-minor 10' did not terminate within 5 seconds\n");
        assert_eq!(classify(&stuck), Some(DrbdFailure::StuckInKernel("drbdsetup del-minor 10".to_owned())));
    }

    #[test]
    fn a_remark_of_newer_utils_about_an_older_module_is_no_fault() {
        let stderr = "drbdsetup show:15: Parse error(ignored): '_unknown discard-granularity', but I don't know about it either.\nr0: Failure: (162) Invalid configuration request\n";
        let reason = classify(&Output::of(10, "", stderr)).unwrap();
        assert!(matches!(reason, DrbdFailure::KernelRefused { number: 162, .. }), "{reason:?}");
    }

    proptest! {
        #[test]
        fn any_text_has_a_reason(stdout in any::<String>(), stderr in any::<String>(), code in 1..50) {
            prop_assert!(classify(&Output::of(code, stdout, stderr)).is_some());
        }

        #[test]
        fn any_of_its_own_pieces_have_a_reason(pieces in proptest::collection::vec(
            "r0|: Failure: \\(|: State change failed: \\(|-?[0-9]|\\) |\n|Device '|' is configured!| is only |open\\(|\\) failed: |stdin not a TTY|Found ", 0..12)) {
            prop_assert!(classify(&Output::of(10, "", pieces.concat())).is_some());
        }
    }
}
