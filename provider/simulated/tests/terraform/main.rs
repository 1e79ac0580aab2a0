// SPDX-License-Identifier: MPL-2.0
//! What the real terraform does with the provider, on simulated hosts: the rules of Terraform's core are core's own here,
//! and every fault of a host can be had on demand. What hosts really do is tested in `tests/`, on real ones.

#![expect(clippy::unwrap_used, reason = "a test ends at the first thing that is not as it should be")]

mod bad_input;
mod documentation;
mod faults;
mod groups;
mod inventory;
mod life;
mod mocks;
mod support;
mod unknowns;
