// SPDX-License-Identifier: MPL-2.0
//! The Terraform door on real hosts: the real CLI, the shipped provider and host program, real SSH, real DRBD.
//!
//! Every test looks at the hosts, not only at what terraform says. What needs no host (plans, schemas, unknowns) is
//! tested in `provider/`.

mod bad_input;
mod drbd9;
mod ec2;
mod example;
mod faults;
mod import;
mod install;
mod inventory;
mod security_group;
mod three_zones;
mod twins;
mod workspace;
