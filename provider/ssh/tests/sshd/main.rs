// SPDX-License-Identifier: MPL-2.0
//! Against real OpenSSH: every test starts its own sshd on a free loopback port, with its own keys, in its own folder, and
//! kills it by process id.
//!
//! Needs `/usr/sbin/sshd`, `ssh-keygen` and `ssh-agent`. Nothing of the machine's own SSH configuration is used.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed step of a test is a failed test"
)]

mod bastion;
mod command;
mod connect;
mod files;
mod lab;
mod login;
mod shells;
mod trust;
