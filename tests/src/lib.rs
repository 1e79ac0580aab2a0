// SPDX-License-Identifier: MPL-2.0
//! Support for the project's tests: a lab of real hosts ([`lab`]), EC2 whose instances are its hosts ([`cloud`]), running
//! local programs ([`process`]), the shipped
//! Ansible collection ([`collection`]), the real
//! terraform ([`terraform`]) with many volumes ([`volumes`]), and where `make setup` and `make build` put what tests
//! use ([`made`]).
//!
//! Not here: anything a test asserts, and anything about the product. Test targets are listed in `Cargo.toml`.

pub mod cloud;
pub mod collection;
pub mod drbd9;
pub mod lab;
pub mod made;
pub mod module;
pub mod process;
pub mod terraform;
pub mod volumes;

pub use cloud::Cloud;
pub use collection::Collection;
pub use lab::{Lab, LabOptions};
pub use process::{Output, run};
