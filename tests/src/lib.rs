// SPDX-License-Identifier: MPL-2.0
//! Support for the project's tests: a lab of real hosts ([`lab`]) and running local programs ([`process`]).
//!
//! Not here: anything a test asserts, and anything about the product. Test targets are listed in `Cargo.toml`.

pub mod lab;
pub mod process;

pub use lab::{Lab, LabOptions};
pub use process::{Output, run};
