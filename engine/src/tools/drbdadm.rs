// SPDX-License-Identifier: MPL-2.0
//! `drbdadm`: everything that goes through the configuration files. Not here: what the kernel runs (see
//! `drbdsetup`) and what a device holds (see `drbdmeta`).

mod adjust;

pub use adjust::{AdjustCommand, AdjustStep, CommandOption, PeerRef};

use crate::host::{Cmd, Output};
use crate::tools::ToolError;

/// The program's name.
pub const PROGRAM: &str = "drbdadm";

/// What `adjust` would do, without doing it.
///
/// Prints nothing when the kernel agrees with the file. It does not see: own node-id, a grown backing device,
/// `suspend-io`, `pause-sync`, peer slots in the metadata, roles and disk states, and not whether what it prints
/// can succeed. The shared secret is on its standard output in clear.
pub fn adjust_dry_run(resource: &str) -> Cmd {
    Cmd::new(PROGRAM, ["-d", "adjust", resource])
}

/// Reads the answer to [`adjust_dry_run`], both families; secrets are masked the moment they are read.
pub fn parse_adjust_dry_run(output: &Output) -> Result<Vec<AdjustStep>, ToolError> {
    if !output.ok() {
        return Err(ToolError::ended(PROGRAM, output, "exit 0"));
    }
    Ok(adjust::parse(&output.stdout))
}
