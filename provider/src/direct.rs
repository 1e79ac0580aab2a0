// SPDX-License-Identifier: MPL-2.0
//! The direct engine: volumes on hosts that are reached over SSH, one run of `drbd-host` after the other.
//!
//! Here is the order of things across hosts. What a host has to do for its part is decided on the host by the module,
//! with the same code that a playbook runs. `prepare` is in `direct/prepare.rs`, the gate before a creation in `direct/ports.rs`, creating and repairing in
//! `direct/bring_up.rs`, changing in `direct/change.rs`, removing in `direct/remove.rs`, reading in `direct/sight.rs`.

mod bring_up;
mod change;
mod crew;
pub(crate) mod found;
mod ports;
mod prepare;
mod remove;
mod reservations;
mod sight;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use drbd_schemas::{NodeName, ResourceName};
use tfplugin::Diagnostics;

use crate::engine::{Engine, Goal, Members, Outcome, Prepared, Run, Sight, Storage, Volume, Wanted};
use crate::provider::Configured;

pub(crate) use reservations::{Reservation, Reservations};

/// The direct engine of one configuration.
pub(crate) struct DirectEngine {
    configured: Arc<Configured>,
}

impl DirectEngine {
    pub(crate) fn new(configured: Arc<Configured>) -> Self {
        Self { configured }
    }
}

impl Engine for DirectEngine {
    async fn prepare(
        &self,
        name: &ResourceName,
        members: &Members,
        wanted: Wanted,
        run: Run<'_>,
    ) -> Result<Prepared, Diagnostics> {
        prepare::prepare(&self.configured, name, members, wanted, run).await
    }

    async fn rehearse(&self, volume: &Volume, run: Run<'_>) -> Result<(), Diagnostics> {
        bring_up::rehearse(&self.configured, volume, run).await
    }

    async fn reachable(&self, volume: &Volume, run: Run<'_>) -> Result<(), Diagnostics> {
        ports::reachable(&self.configured, volume, run).await
    }

    async fn bring_up(&self, volume: &Volume, goal: Goal, run: Run<'_>) -> Result<Outcome, Diagnostics> {
        bring_up::bring_up(&self.configured, volume, goal, run).await
    }

    async fn vouched(
        &self,
        volume: &Volume,
        backings: &[String],
        run: Run<'_>,
    ) -> Result<Vec<String>, Diagnostics> {
        bring_up::vouched(&self.configured, volume, backings, run).await
    }

    async fn change(&self, before: &Volume, after: &Volume, run: Run<'_>) -> Result<Outcome, Diagnostics> {
        change::change(&self.configured, before, after, run).await
    }

    async fn sight(
        &self,
        volume: &Volume,
        without: &BTreeSet<NodeName>,
    ) -> Result<(Sight, Diagnostics), Diagnostics> {
        sight::sight(&self.configured, volume, without).await
    }

    async fn remove(&self, volume: &Volume, storage: Storage, run: Run<'_>) -> Result<(), Diagnostics> {
        remove::remove(&self.configured, volume, storage, run).await
    }
}
