// SPDX-License-Identifier: MPL-2.0
//! `drbd_replicated_volume`: one DRBD resource with one volume, placed by its group.

mod copies;
mod declare;
mod import;
mod model;
mod plan;
mod resource;
pub(crate) mod schema;
mod upgrade;

pub(crate) use model::VolumeModel;
pub(crate) use resource::{VolumeResource, declaration};
