// SPDX-License-Identifier: MPL-2.0
//! `drbd_node`: a host that can hold replicas, or an EC2 instance that becomes one.

mod ec2;
pub(crate) mod model;
mod observe;
mod pools;
mod resource;
pub(crate) mod schema;
mod validate;

pub(crate) use resource::NodeResource;
