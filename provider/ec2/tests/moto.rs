// SPDX-License-Identifier: MPL-2.0
//! This package against moto's server with the middleware of tests/moto: the real wire format, faults, cuts.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends at the first thing that is not as it should be"
)]

#[path = "moto/adopt.rs"]
mod adopt;
#[path = "moto/cloud.rs"]
mod cloud;
#[path = "moto/groups.rs"]
mod groups;
#[path = "moto/life.rs"]
mod life;
#[path = "moto/trouble.rs"]
mod trouble;
