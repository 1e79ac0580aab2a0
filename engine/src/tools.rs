// SPDX-License-Identifier: MPL-2.0
//! One file per external tool: argument builders (they return a [`Cmd`](crate::host::Cmd)) and output parsers
//! (pure functions of an [`Output`](crate::host::Output)), proved against the recorded samples in `samples/`.
//!
//! Every parser returns typed values or a [`ToolError`] that names the tool, what was read and the offending
//! line with secrets masked. A word that a tool may add later parses to `Unrecognised`; a missing key is an
//! error, never a default. Deliberately not here: running a command, and any decision about what to run.

pub mod blkid;
pub mod conf_text;
pub mod drbdadm;
pub mod drbdmeta;
pub mod drbdsetup;
mod error;
mod fields;
pub mod filesystem;
pub mod glob;
pub mod lvm;
mod mask;
pub mod modinfo;
pub mod mount;
mod percent;
pub mod proc;
#[cfg(test)]
pub(crate) mod samples;
pub mod size;
pub mod wipefs;
mod words;

pub use drbd_schemas::Family;
pub use error::ToolError;
pub use mask::{MASK, mask_secrets};
pub use percent::Percent;
