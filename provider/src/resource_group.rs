// SPDX-License-Identifier: MPL-2.0
//! `drbd_resource_group`: a template and a placement rule. It touches no host; its volumes carry it out.

pub(crate) mod for_volumes;
pub(crate) mod model;
mod resource;
pub(crate) mod schema;
mod validate;
mod words;

pub(crate) use resource::GroupResource;
