// SPDX-License-Identifier: MPL-2.0
//! A refresh of a hundred volumes on two lab hosts that finds nothing to do: how often it goes to a host, counted by the
//! host's sshd, and how long all of it takes.

use crate::measure::{median, repeat};
use crate::table::Table;
use anyhow::Result;
use support::volumes::Volumes;

const VOLUMES: usize = 100;

pub fn run(table: &mut Table) -> Result<()> {
    let volumes = Volumes::create(VOLUMES)?;
    let (mut times, mut connections, mut executions) = (Vec::new(), 0, 0);
    for _ in 0..repeat(5) {
        let refresh = volumes.refresh()?;
        times.push(refresh.took);
        for visits in refresh.visits {
            connections = connections.max(visits.connections);
            executions = executions.max(visits.executions);
        }
    }
    table.figure("refresh of 100 volumes: connections", connections as f64, "per host", Some(1.0));
    table.figure("refresh of 100 volumes: executions", executions as f64, "per host", Some(3.0));
    table.figure("refresh of 100 volumes: terraform plan", median(times) * 1000.0, "ms", None);
    Ok(())
}
