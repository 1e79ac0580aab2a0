// SPDX-License-Identifier: MPL-2.0
//! Answers of one `drbdsetup` command: exit code and both streams, and the refusals of the kernel in its own words.
//!
//! Numbers and texts are those of DRBD 9.2.18 with drbd-utils 9.22 (the samples under `engine/samples/`).

use serde::{Deserialize, Serialize};

/// What a command prints, and how it ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// Exit code.
    pub(crate) code: u8,
    /// Standard output.
    pub(crate) out: String,
    /// Standard error.
    pub(crate) err: String,
}

impl Answer {
    /// Done, nothing to say.
    pub(crate) fn done() -> Self {
        Self::default()
    }

    /// Done, with this on standard output.
    pub(crate) fn says(out: impl Into<String>) -> Self {
        Self { out: out.into(), ..Self::default() }
    }

    /// A wrong command line: exit 20.
    pub(crate) fn usage(err: impl std::fmt::Display) -> Self {
        Self { code: 20, out: String::new(), err: format!("{err}\n") }
    }
}

/// A refusal. `what` is the object that `drbdsetup` names first: a resource or a minor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// `WHAT: Failure: (NUMBER) TEXT`, exit 10.
    Failure(u8, &'static str),
    /// `WHAT: State change failed: (-NUMBER) TEXT`, exit 17 for missing data, else 11; lines of the kernel may follow.
    State(i8, &'static str, Vec<String>),
    /// A line of `drbdsetup`'s own, exit 10.
    Plain(String),
}

impl Refusal {
    pub(crate) const NO_RESOURCE: Self = Self::Failure(158, "Unknown resource");
    pub(crate) const NO_MINOR: Self = Self::Failure(127, "Device minor not allocated");
    pub(crate) const MINOR_EXISTS: Self =
        Self::Failure(161, "Minor or volume exists already (delete it first)");
    pub(crate) const MINOR_IN_USE: Self =
        Self::Failure(164, "Minor or volume configured (tear it down first)");
    pub(crate) const NET_CONFIGURED: Self =
        Self::Failure(125, "Device has a net-config (use disconnect first)");
    pub(crate) const ATTACHED: Self = Self::Failure(124, "Device is attached to a disk (use detach first)");
    pub(crate) const NEEDS_STAND_ALONE: Self = Self::Failure(151, "Need to be StandAlone");
    pub(crate) const INVALID: Self = Self::Failure(162, "Invalid configuration request");
    pub(crate) const RESYNC_RUNS: Self = Self::Failure(130, "Resize not allowed during resync.");
    pub(crate) const NO_DISK: Self = Self::Failure(138, "Device does not have a disk-config");
    pub(crate) const ADDRESS_TAKEN: Self = Self::Failure(102, "Local address(port) already in use.");
    pub(crate) const BAD_METADATA: Self = Self::Failure(
        119,
        "No valid meta-data signature found.\n\n\t==> Use 'drbdadm create-md res' to initialize meta-data area. <==\n",
    );
    pub(crate) const CANNOT_OPEN: Self = Self::Failure(104, "Can not open backing device.");
    pub(crate) const TOO_SMALL: Self = Self::Failure(111, "Low.dev. smaller than requested DRBD-dev. size.");

    /// The answer that says so.
    pub(crate) fn about(&self, what: impl std::fmt::Display) -> Answer {
        let (code, err) = match self {
            Self::Failure(number, text) => (10, format!("{what}: Failure: ({number}) {text}\n")),
            Self::State(number, text, more) => {
                let mut err = format!("{what}: State change failed: ({number}) {text}\n");
                if !more.is_empty() {
                    err += "additional info from kernel:\n";
                }
                more.iter().for_each(|line| err += &format!("{line}\n"));
                (if *number == -2 { 17 } else { 11 }, err)
            }
            Self::Plain(text) => (10, format!("{text}\n")),
        };
        Answer { code, out: String::new(), err }
    }
}
