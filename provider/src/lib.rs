// SPDX-License-Identifier: MPL-2.0
//! The Terraform provider `drbd`.
//!
//! Resources translate between Terraform's values and the contract in `drbd-schemas`; all work on hosts is done by the
//! program `drbd-host`, which the provider runs there over SSH. The layers, from the outside in:
//!
//! * `provider`: the provider block, and what resources share; one folder per resource (`node`, `resource_group`,
//!   `replicated_volume`, `security_group`, `drbd_host`, `inventory`) with its schema, its pure model, and its calls;
//! * `engine`: what resources ask of whatever runs volumes; `direct`: the engine that works on hosts itself;
//! * `host`: one run of one module on one host, over SSH or in a simulation, with the facts that reads share.
//!
//! Not here: the protocol (`tfplugin`), SSH itself (`drbd-ssh`), and every decision about one host (`drbd-engine`, run
//! on the host).

mod direct;
pub mod docs;
mod drbd_host;
mod duration;
mod ec2_settings;
mod engine;
pub mod host;
mod inventory;
mod node;
mod options;
mod provider;
mod replicated_volume;
mod resource_group;
mod security_group;
#[cfg(any(test, feature = "testing"))]
pub mod simulated;
mod ssh_schema;
mod ssh_settings;

use std::process::ExitCode;

use tfplugin::ServeOptions;

pub use provider::Drbd;

/// Address of the provider in Terraform's registry.
pub const ADDRESS: &str = "registry.terraform.io/replivol/drbd";

/// Serves a provider until Terraform is done with it.
pub fn serve(provider: Drbd) -> ExitCode {
    tfplugin::serve(provider, ServeOptions::new(ADDRESS).version(env!("CARGO_PKG_VERSION")))
}
