// SPDX-License-Identifier: MPL-2.0
//! `drbd_node`: a host that can hold replicas.

pub(crate) mod model;
mod observe;
mod pools;
mod resource;
pub(crate) mod schema;

pub(crate) use resource::NodeResource;
