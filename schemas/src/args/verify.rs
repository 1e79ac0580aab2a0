// SPDX-License-Identifier: MPL-2.0
//! Arguments of `drbd_verify`. Deliberately not here: repairing what differs, because which side is right is nothing
//! that a comparison can tell.

use super::default_lock_timeout;
use crate::name::ResourceName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Arguments of `drbd_verify`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VerifyArgs {
    /// Name of the resource. Its `net` options need a `verify_alg`.
    pub name: ResourceName,
    /// Deadline in seconds, at most a week; when it passes, the module fails and says how far it came. The comparison
    /// itself goes on in the kernel, and the next run waits for it.
    #[serde(default = "default_verify_timeout")]
    #[schemars(range(min = 0, max = 604_800))]
    pub timeout: u32,
    /// Seconds to wait for another run on the same resource.
    #[serde(default = "default_lock_timeout")]
    #[schemars(range(min = 0, max = 3600))]
    pub lock_timeout: u32,
}

fn default_verify_timeout() -> u32 {
    3600
}
