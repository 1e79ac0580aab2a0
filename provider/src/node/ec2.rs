// SPDX-License-Identifier: MPL-2.0
//! The node that is an EC2 instance: what is launched for it, how its plan reads, how it comes and goes.
//!
//! The cloud part of a node ends where SSH begins: it yields the `ssh` settings with verified host keys and the paths of the
//! data disks. From there on the node is a host like any other.

mod bring_up;
mod gates;
mod import;
mod import_id;
mod imported;
mod model;
mod plan;
mod preflight;
mod remove;
pub(crate) mod schema;
mod see;
mod user_data;
mod users;

pub(crate) use bring_up::{Prior, bring_up};
pub(crate) use import::import;
pub(crate) use import_id::names_instance;
pub(crate) use model::devices;
pub(crate) use plan::{complete, forbid_delete};
pub(crate) use preflight::preflight;
pub(crate) use remove::remove;
pub(crate) use see::{Seen, see};
pub(crate) use user_data::unusable_pin;
pub(crate) use users::foretell;

use drbd_ec2::Ec2Error;
use tfplugin::{Diagnostic, Path, Value};

/// Whether this node is an instance.
pub(crate) fn is_instance(node: &Value) -> bool {
    !node.get("ec2").is_null()
}

fn told(error: &Ec2Error, node: &str) -> Diagnostic {
    Diagnostic::error(format!("{}: {node}", error.summary()), error.to_string()).at(Path::of("ec2"))
}
