// SPDX-License-Identifier: MPL-2.0
//! The door on the host: one static multi-call binary that holds every host-side module.
//!
//! JSON in (a file named by the first argument, as Ansible gives it to a classic binary module, or standard input),
//! exactly one JSON object out, nothing on standard error, a panic becomes a failure in JSON. Which module runs is said
//! by `_ansible_module_name`, else by the name the program was called by, else by a subcommand.
//!
//! * [`door`] reads the call and writes the answer,
//! * [`handshake`] asks whether the collection's launcher fits,
//! * [`call`] finds the module and its arguments,
//! * [`wording`] says what is wrong with them in Ansible's words,
//! * [`hidden`] keeps secrets out of the answer,
//! * [`local_host`] is the engine's hands on this machine,
//! * [`users`] finds the processes that use a device,
//! * [`meet`] meets peers on replication ports,
//! * [`lock`] lets one writer in at a time,
//! * [`orphans`] finds commands of a run that was killed,
//! * [`stop`] turns signals into a stop between steps,
//! * [`inventory`] is no module: an inventory script for Ansible, for where Ansible runs,
//! * [`person`] is what somebody at a terminal sees.

mod block;
mod call;
mod child;
mod door;
mod handshake;
mod hidden;
mod inventory;
mod local_host;
mod lock;
mod meet;
mod orphans;
mod person;
mod stop;
mod users;
mod wording;

pub use handshake::PROTOCOL;

/// Runs the program and returns its exit code: 0, or 1 with a failure in the answer.
pub fn main() -> std::process::ExitCode {
    door::run()
}
