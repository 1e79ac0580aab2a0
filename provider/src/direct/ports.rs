// SPDX-License-Identifier: MPL-2.0
//! The gate before a volume is created: its nodes reach each other's replication ports. All of them are asked at once, since
//! they meet there (`drbd_ports`).

use std::time::Duration;

use drbd_schemas::args::{Module, PortsRunArgs};
use tfplugin::{Diagnostic, Diagnostics};

use super::crew::{Crew, LOCK_TIMEOUT, object, time_left, unless_stopped, with_declaration};
use crate::engine::{Run, Volume};
use crate::host::Request;
use crate::provider::Configured;

/// How long the nodes try; they are asked at the same moment, so this is for packets that are lost.
const MEETING: u32 = 20;

/// Proves that all nodes reach each other.
pub(super) async fn reachable(
    configured: &Configured,
    volume: &Volume,
    run: Run<'_>,
) -> Result<(), Diagnostics> {
    let crew = Crew::new(configured, volume)?;
    if crew.members.len() < 2 {
        return Ok(());
    }
    let request = request(&crew, run)?;
    // Hosts that wait for each other must all have their turn: with too many meetings at once, the limit of sessions that
    // sshd sets could let each host begin with other ones.
    let _seat = configured.meetings().acquire().await;
    run.ctx.progress(&format!("{}: whether the nodes reach each other's replication ports", crew.name()));
    unless_stopped(run, crew.everywhere(&request, &format!("create {}", crew.name()))).await.map(drop)
}

fn request(crew: &Crew<'_>, run: Run<'_>) -> Result<Request, Diagnostic> {
    let limit = time_left(run, Duration::from_secs((MEETING + LOCK_TIMEOUT).into()))?;
    let timeout = u32::try_from(limit.as_secs()).unwrap_or(MEETING).clamp(1, MEETING);
    let run_args = PortsRunArgs { together: true, timeout, lock_timeout: LOCK_TIMEOUT };
    let arguments = with_declaration(&crew.volume.resource, &object(&run_args));
    Ok(Request::new(Module::DrbdPorts, arguments, limit))
}
