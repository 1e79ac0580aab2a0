// SPDX-License-Identifier: MPL-2.0
//! Arguments of `drbd_ports` besides the declaration, whose fields stand beside these.

use super::default_lock_timeout;
use crate::resource::Resource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Arguments of `drbd_ports` besides the declaration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PortsRunArgs {
    /// The module runs on all nodes of the resource at the same time, so that each finds its peers listening: only an answer
    /// of theirs proves that the port is open. `false`: nobody listens, and a port that refuses counts as reached, because the
    /// refusal came back (that of a firewall which resets connections looks the same).
    #[serde(default = "default_together")]
    pub together: bool,
    /// Deadline in seconds, at most ten minutes; when it passes, the module fails and names each way that is not open.
    #[serde(default = "default_ports_timeout")]
    #[schemars(range(min = 1, max = 600))]
    pub timeout: u32,
    /// Seconds to wait for another run on the same resource.
    #[serde(default = "default_lock_timeout")]
    #[schemars(range(min = 0, max = 3600))]
    pub lock_timeout: u32,
}

fn default_together() -> bool {
    true
}

fn default_ports_timeout() -> u32 {
    20
}

/// Arguments of `drbd_ports`.
#[derive(Clone, Debug)]
pub struct PortsArgs {
    /// The declaration.
    pub resource: Resource,
    /// Everything else.
    pub run: PortsRunArgs,
}
