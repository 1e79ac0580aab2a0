// SPDX-License-Identifier: MPL-2.0
//! `drbd_security_group`: what the nodes of one network must be let do to each other, and who may log in to them.

mod cidr;
mod model;
mod resource;
pub(crate) mod schema;

pub(crate) use resource::SecurityGroupResource;
