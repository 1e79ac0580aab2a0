// SPDX-License-Identifier: MPL-2.0
//! What a backing device holds, judged by its content.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a backing device holds. Only `blank`, or a device that was created empty for this very volume, may get
/// metadata; `ours` is adopted; everything else is refused (docs/rules.md 1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Verdict {
    /// There is no such device yet.
    Absent,
    /// Nothing was found on it: no signature, no metadata, zeroes wherever it was looked at.
    Blank,
    /// DRBD metadata that this host wrote for this volume, on this very device.
    Ours,
    /// Something that is not ours.
    Foreign {
        /// What was found: `ext4 file system "data"`, `DRBD metadata of resource web`.
        found: String,
        /// The consent that names this device and this content, if it can be given at all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        consent: Option<String>,
    },
    /// It could not be told.
    Unreadable {
        /// Why.
        why: String,
    },
}
