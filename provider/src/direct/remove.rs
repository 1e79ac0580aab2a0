// SPDX-License-Identifier: MPL-2.0
//! Removing a volume: from all hosts, or, when it is in use on any of them, from none.

use std::time::Duration;

use drbd_schemas::args::{Module, RunArgs, State};
use serde_json::{Map, Value};
use tfplugin::{Diagnostic, Diagnostics};

use super::crew::{AllFacts, Crew, time_left};
use crate::engine::{Run, Storage, Volume};
use crate::host::Request;
use crate::provider::Configured;

/// Time for taking a resource down and removing its volumes on one host.
const REMOVE: Duration = Duration::from_secs(300);

/// Removes the volume from all of its hosts.
pub(super) async fn remove(
    configured: &Configured,
    volume: &Volume,
    storage: Storage,
    run: Run<'_>,
) -> Result<(), Diagnostics> {
    let crew = Crew::new(configured, volume)?;
    let facts = crew.facts(run).await?;
    let users = users(&crew, &facts);
    if !users.is_empty() {
        let detail = format!(
            "{} is in use: {}. Nothing was touched on any host. Unmount it and stop what uses it, then run again.",
            crew.name(),
            users.join("; ")
        );
        return Err(Diagnostic::error(format!("Volume {} is in use", crew.name()), detail).into());
    }
    let request = absent(&crew, storage, run)?;
    // A second look by the hosts themselves, so that a mount between the two does not leave half a volume.
    crew.everywhere(&request.clone().checking(), &format!("remove {}", crew.name())).await?;
    run.ctx.progress(&format!("{}: removing it from all hosts", crew.name()));
    crew.everywhere(&request, &format!("remove {}", crew.name())).await.map(drop)
}

/// Who uses the volume, in words.
fn users(crew: &Crew<'_>, facts: &AllFacts) -> Vec<String> {
    let mut users = Vec::new();
    for (node, facts) in facts {
        let Some(resource) = facts.resources.get(crew.name()) else { continue };
        let open = resource.volumes.values().find(|volume| volume.open == Some(true));
        if resource.running.as_ref().is_some_and(|running| running.role == "Primary") {
            users.push(format!("it is Primary on {node}"));
        } else if let Some(minor) = open.and_then(|volume| volume.minor) {
            users.push(format!("/dev/drbd{minor} is open on {node}"));
        }
    }
    users
}

fn absent(crew: &Crew<'_>, storage: Storage, run: Run<'_>) -> Result<Request, Diagnostic> {
    let consent = match storage {
        Storage::Destroyed => vec![format!("destroy:{}", crew.name())],
        Storage::Retained => Vec::new(),
    };
    let run_args = RunArgs { state: State::Absent, consent, lock_timeout: 60, ..RunArgs::default() };
    let mut arguments = match serde_json::to_value(run_args) {
        Ok(Value::Object(members)) => members,
        _ => Map::new(),
    };
    arguments.insert("name".into(), crew.name().into());
    Ok(Request::new(Module::DrbdResource, arguments, time_left(run, REMOVE)?))
}
