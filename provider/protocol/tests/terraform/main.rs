// SPDX-License-Identifier: MPL-2.0
//! The fixture provider under the real Terraform CLI, and its process under a host of our own.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod faults;
mod host;
mod lifecycle;
mod process;
mod secrets_and_messages;
mod support;
