// SPDX-License-Identifier: MPL-2.0
//! `drbdadm`: everything that goes through the configuration files, with the spelling that works on both
//! families. Not here: what the kernel runs (see `drbdsetup`) and what a device holds (see `drbdmeta`); `up`,
//! which is not idempotent ([`adjust`] is); `dump-md`, which fails on good metadata; `wipe-md`, which goes on when the
//! device is busy (see [`wipefs::wipe_drbd`](super::wipefs::wipe_drbd)); `invalidate`, which on a
//! resource that is down writes "Inconsistent" into the metadata (see
//! [`drbdsetup::invalidate`](super::drbdsetup::invalidate)).

mod adjust;
mod advice;
mod command;
mod config;
mod failure;
mod staged;

use std::time::Duration;

pub use command::{AdjustCommand, AdjustStep, CommandOption, PeerRef};
pub use config::{ConfigFault, ConfigPlace, ConfigTest};
pub use failure::{DrbdFailure, classify, kernel_error, state_error};
pub use staged::{StagedConfigError, include_patterns, staged_config};

use crate::host::{Cmd, Output};
use crate::tools::drbdmeta::{self, GenerationId};
use crate::tools::fields::Fields;
use crate::tools::{Family, ToolError};

/// The program's name.
pub const PROGRAM: &str = "drbdadm";

/// Commands that make a node wait for its peers, or drbdadm for the kernel (each step up to 5 seconds, 121 for
/// those that talk to the peers), may take this long.
const LONG: Duration = Duration::from_secs(150);

/// Versions of the tools and of the kernel module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versions {
    /// Version of drbd-utils, e.g. `9.22.0`.
    pub utils: String,
    /// `DRBD_KERNEL_VERSION_CODE`, `0xMMmmpp`; 0 when the module is not loaded.
    pub kernel_code: u32,
}

impl Versions {
    /// The family that drbdadm speaks on this host **now**. `None` while the module is not loaded: then drbdadm
    /// takes DRBD 9's side, whatever module would be loaded, so ask nothing else of it.
    pub fn family(&self) -> Option<Family> {
        Family::of_kernel_code(self.kernel_code)
    }

    /// The module's version, e.g. `8.4.11`; `None` while it is not loaded.
    pub fn kernel(&self) -> Option<String> {
        let code = self.kernel_code;
        (code != 0).then(|| format!("{}.{}.{}", code >> 16, (code >> 8) & 0xff, code & 0xff))
    }
}

/// Asks for the versions. Does not load the module.
pub fn versions() -> Cmd {
    Cmd::new(PROGRAM, ["--version"])
}

/// Reads the answer to [`versions`].
pub fn parse_versions(output: &Output) -> Result<Versions, ToolError> {
    if !output.ok() {
        return Err(ToolError::ended(PROGRAM, output, "exit 0"));
    }
    let text = output.stdout.as_str();
    let fields = Fields::of_words(PROGRAM, "--version", text, text, '=');
    let code = fields.need("DRBD_KERNEL_VERSION_CODE")?;
    let kernel_code =
        code.strip_prefix("0x").and_then(|digits| u32::from_str_radix(digits, 16).ok()).ok_or_else(|| {
            ToolError::bad(PROGRAM, "DRBD_KERNEL_VERSION_CODE", code, "0x and six digits", text)
        })?;
    Ok(Versions { utils: fields.need("DRBDADM_VERSION")?.to_owned(), kernel_code })
}

/// Tests whether drbdadm can read a whole configuration, starting at the top file `top` (see [`staged_config`]).
pub fn test_config(top: &str) -> Cmd {
    Cmd::new(PROGRAM, ["-c", top, "sh-nop"])
}

/// Reads the answer to [`test_config`].
pub fn parse_test_config(output: &Output) -> Result<ConfigTest, ToolError> {
    config::parse_test(output)
}

/// What `adjust` would do, without doing it.
///
/// Prints nothing when the kernel agrees with the file. It does not see: own node-id, a grown backing device,
/// `suspend-io`, `pause-sync`, peer slots in the metadata, roles and disk states, and not whether what it prints
/// can succeed. The shared secret is on its standard output in clear.
pub fn adjust_dry_run(resource: &str) -> Cmd {
    Cmd::new(PROGRAM, ["-d", "adjust", resource])
}

/// The same with another top file, e.g. a staged one: what a file that is not yet in place would do.
pub fn adjust_dry_run_with(top: &str, resource: &str) -> Cmd {
    Cmd::new(PROGRAM, ["-c", top, "-d", "adjust", resource])
}

/// What `up` would do with a staged file, for a host whose module is not loaded: nothing is asked of the kernel, so
/// that nothing loads it, as `adjust` does even when it is to run nothing.
pub fn up_dry_run_with(top: &str, resource: &str) -> Cmd {
    Cmd::new(PROGRAM, ["-c", top, "-d", "up", resource])
}

/// Reads the answer to [`adjust_dry_run`] or [`up_dry_run_with`], both families; secrets are masked the moment they are read.
pub fn parse_adjust_dry_run(output: &Output) -> Result<Vec<AdjustStep>, ToolError> {
    if !output.ok() {
        return Err(ToolError::ended(PROGRAM, output, "exit 0"));
    }
    Ok(adjust::parse(&output.stdout))
}

/// Makes the kernel agree with the file. Exit 0 does not mean that the resource is healthy; a failure leaves it
/// half done (e.g. Diskless), and the next `adjust` goes on.
pub fn adjust(resource: &str) -> Cmd {
    Cmd::new(PROGRAM, ["adjust", resource]).within(LONG)
}

/// Takes a resource down. Exit 0 also when it is down; refused (exit 11, nothing changed) while a device is open.
pub fn down(resource: &str) -> Cmd {
    Cmd::new(PROGRAM, ["down", resource]).within(LONG)
}

/// Asks for the generation identifiers of a configured volume, attached or not: one line on DRBD 8.4, one for
/// each peer on DRBD 9.
pub fn get_gi(resource: &str, volume: u16) -> Cmd {
    Cmd::new(PROGRAM, ["get-gi", &volume_of(resource, volume)])
}

/// Reads the answer to [`get_gi`]; empty when there is no metadata.
pub fn parse_get_gi(output: &Output) -> Result<Vec<GenerationId>, ToolError> {
    let silent = output.stdout.trim().is_empty();
    match output.code() {
        // Without a peer in the file drbdadm of DRBD 9 asks nothing and exits 0: that is no answer.
        Some(0) if !silent => output.stdout.lines().map(|line| drbdmeta::parse_line(line.trim())).collect(),
        Some(1 | 255) if silent && drbdmeta::only_nothing_found(&output.stderr) => Ok(Vec::new()),
        _ => Err(ToolError::ended(PROGRAM, output, "exit 0 with lines, or 1 or 255 without metadata")),
    }
}

/// Makes this node Primary. Exit 17: no UpToDate data; 11: another Primary, no quorum.
///
/// `force` takes this node's data as the good data whatever its state: the peers become its copies.
pub fn primary(resource: &str, force: bool) -> Cmd {
    let args = if force { vec!["primary", "--force", resource] } else { vec!["primary", resource] };
    Cmd::new(PROGRAM, args).within(LONG)
}

/// Makes this node Secondary. Exit 11 while a device is open.
pub fn secondary(resource: &str) -> Cmd {
    Cmd::new(PROGRAM, ["secondary", resource]).within(LONG)
}

/// Declares one volume, connected and just created on all nodes, in sync without a sync: what the replicas hold
/// must be the same everywhere, or nothing. On DRBD 8.4 refused (151) unless both ends are connected and just
/// created; DRBD 9 also accepts it on a node that is alone, where it must not be used.
pub fn skip_initial_sync(resource: &str, volume: u16) -> Cmd {
    Cmd::new(PROGRAM, ["new-current-uuid", "--clear-bitmap", &volume_of(resource, volume)])
}

/// Takes this node's content of one volume, connected and just created on all nodes, for the data and sends it to all peers.
/// No role is needed, and none is taken. DRBD 9 (since 9.0.21) only.
pub fn force_resync(resource: &str, volume: u16) -> Cmd {
    Cmd::new(PROGRAM, ["new-current-uuid", "--force-resync", &volume_of(resource, volume)])
}

/// Lets one volume grow to what all backing devices allow now. Exit 0 and **no change** while a peer's device
/// is smaller or a peer is away: look at the size. Refused (130) during a resync.
///
/// `assume_clean`: the new part is not synced; it must read the same on all nodes.
pub fn resize(resource: &str, volume: u16, assume_clean: bool) -> Cmd {
    let target = volume_of(resource, volume);
    let args = if assume_clean {
        // drbdadm of 8.4 takes the option only in front of the verb, behind `--`; that of 9 takes it there as well.
        vec!["--", "--assume-clean", "resize", &target]
    } else {
        vec!["resize", &target]
    };
    Cmd::new(PROGRAM, args).within(LONG)
}

/// Which connections of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connections<'a> {
    /// All of them; on DRBD 8.4 the only one.
    All,
    /// The one to this host (DRBD 9).
    To(&'a str),
}

/// Starts connections. Refused when already started (102 on DRBD 8.4, 125 on DRBD 9).
///
/// `discard_my_data`: after a split brain this node is the victim; what it wrote since is lost.
pub fn connect(resource: &str, connections: Connections<'_>, discard_my_data: bool) -> Cmd {
    let target = target(resource, connections);
    let args = if discard_my_data {
        vec!["connect", "--discard-my-data", &target]
    } else {
        vec!["connect", &target]
    };
    Cmd::new(PROGRAM, args).within(LONG)
}

/// Ends connections. Refused (162) on DRBD 8.4 when already StandAlone.
pub fn disconnect(resource: &str, connections: Connections<'_>) -> Cmd {
    Cmd::new(PROGRAM, ["disconnect", &target(resource, connections)]).within(LONG)
}

/// Starts to compare all volumes with a peer's, block by block; returns at once. Refused (exit 11): -14 without a
/// `verify-alg`, -8 while a resync or another comparison runs.
pub fn verify(resource: &str, connections: Connections<'_>) -> Cmd {
    Cmd::new(PROGRAM, ["verify", &target(resource, connections)]).within(LONG)
}

fn target(resource: &str, connections: Connections<'_>) -> String {
    match connections {
        Connections::All => resource.to_owned(),
        Connections::To(peer) => format!("{resource}:{peer}"),
    }
}

fn volume_of(resource: &str, volume: u16) -> String {
    format!("{resource}/{volume}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::samples;

    #[test]
    fn versions_of_both_families_and_of_no_module_are_read() {
        let of = |name: &str, version: &str| {
            parse_versions(&samples::one("drbdadm", version, name).output).unwrap()
        };
        let v84 = of("version-loaded", "8.4.11-utils-9.22");
        assert_eq!((v84.family(), v84.kernel().as_deref()), (Some(Family::V84), Some("8.4.11")));
        assert_eq!(v84.utils, "9.22.0");
        let none = of("version-module-not-loaded", "8.4.11-utils-9.22");
        assert_eq!((none.family(), none.kernel()), (None, None));
        let v9 = Versions { utils: "9.34.0".to_owned(), kernel_code: 0x09_0212 };
        assert_eq!((v9.family(), v9.kernel().as_deref()), (Some(Family::V9), Some("9.2.18")));
    }

    #[test]
    fn every_sample_is_read_as_what_it_is() {
        for sample in samples::of_tool("drbdadm") {
            let versions = parse_versions(&sample.output);
            assert_eq!(
                versions.is_ok(),
                sample.command.ends_with("--version"),
                "{}: {versions:?}",
                sample.name
            );
            let gis = parse_get_gi(&sample.output);
            if sample.command.contains("get-gi") && !sample.command.contains("-d") {
                match sample.output.code() {
                    Some(0) => assert!(!gis.unwrap().is_empty(), "{}", sample.name),
                    Some(1 | 255) => assert_eq!(gis, Ok(Vec::new()), "{}", sample.name),
                    _ => assert!(gis.is_err(), "{}", sample.name),
                }
            } else if !sample.output.stdout.is_empty() {
                assert!(gis.is_err(), "{}: {gis:?}", sample.name);
            }
        }
    }

    #[test]
    fn force_stands_only_where_it_is_asked_for() {
        assert_eq!(primary("r0", false).to_string(), "drbdadm primary r0");
    }

    #[test]
    fn spellings_are_those_that_both_families_take() {
        assert_eq!(resize("r0", 0, true).to_string(), "drbdadm -- --assume-clean resize r0/0");
        assert_eq!(skip_initial_sync("r0", 0).to_string(), "drbdadm new-current-uuid --clear-bitmap r0/0");
        assert_eq!(force_resync("r0", 1).to_string(), "drbdadm new-current-uuid --force-resync r0/1");
        assert_eq!(
            connect("r0", Connections::To("n2"), true).to_string(),
            "drbdadm connect --discard-my-data r0:n2"
        );
        assert_eq!(disconnect("r0", Connections::All).to_string(), "drbdadm disconnect r0");
    }
}
