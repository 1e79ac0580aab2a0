// SPDX-License-Identifier: MPL-2.0
//! This package against moto's server with the middleware of tests/moto: the real wire format, faults, cuts.

#[path = "moto/cloud.rs"]
mod cloud;
#[path = "moto/life.rs"]
mod life;
#[path = "moto/trouble.rs"]
mod trouble;
