// SPDX-License-Identifier: MPL-2.0
//! The hosts of one volume, in the order of their node-ids, and what is asked of one or all of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use drbd_schemas::args::{Condition, Module, RunArgs, State, SyncRunArgs};
use drbd_schemas::facts::HostFacts;
use drbd_schemas::reply::Reply;
use drbd_schemas::{NodeId, NodeName, Resource, WaitArgs};
use futures::future::join_all;
use serde::Serialize;
use serde_json::{Map, Value};
use tfplugin::{Diagnostic, Diagnostics};
use tokio::time::Instant;

use super::prepare::called;
use crate::engine::{Run, Volume};
use crate::host::{Host, Request, Trouble};
use crate::provider::Configured;

/// How long converging one host may take; thick volumes are zeroed at their ends only, so this is ample.
const CONVERGE: Duration = Duration::from_secs(600);
/// Less than this is no time to do anything in.
const SHORTEST: Duration = Duration::from_secs(1);
/// Seconds to wait on a host for another run of the same resource.
pub(super) const LOCK_TIMEOUT: u32 = 60;

/// One host of a volume.
pub(crate) struct Member {
    pub(crate) name: NodeName,
    node_id: NodeId,
    pub(crate) host: Arc<Host>,
}

/// The hosts of a volume.
pub(crate) struct Crew<'a> {
    pub(crate) volume: &'a Volume,
    pub(crate) members: Vec<Member>,
}

/// Facts of all hosts, by node.
pub(crate) type AllFacts = BTreeMap<NodeName, HostFacts>;

impl<'a> Crew<'a> {
    /// Contacts nobody.
    ///
    /// # Errors
    /// When a node cannot be logged in to with what is configured.
    pub(crate) fn new(configured: &Configured, volume: &'a Volume) -> Result<Self, Diagnostics> {
        let mut members = Vec::new();
        for (name, node) in &volume.resource.nodes {
            let ssh = volume.members.get(name).cloned().unwrap_or_default();
            members.push(Member { name: name.clone(), node_id: node.node_id, host: configured.host(&ssh)? });
        }
        members.sort_by_key(|member| member.node_id);
        Ok(Self { volume, members })
    }

    /// Runs one request on all hosts at once.
    ///
    /// # Errors
    /// The trouble of every host that had some.
    pub(crate) async fn everywhere(&self, request: &Request, doing: &str) -> Result<Vec<Reply>, Diagnostics> {
        let runs = self.members.iter().map(|member| async move {
            member.host.run(request).await.map_err(|trouble| member.report(&trouble, doing))
        });
        collected(join_all(runs).await)
    }

    /// Facts of all hosts as they are now.
    ///
    /// # Errors
    /// The trouble of every host that had some; a host that is not the node it should be; a stop.
    pub(crate) async fn facts(&self, run: Run<'_>) -> Result<AllFacts, Diagnostics> {
        let runs = self.members.iter().map(|member| async move {
            let facts = member.host.fresh_facts(&[self.name()]).await;
            let facts = facts.map_err(|trouble| member.report(&trouble, "take the facts"))?;
            called(member.name.as_str(), &facts)?;
            Ok((member.name.clone(), facts))
        });
        let looks = async { collected(join_all(runs).await) };
        unless_stopped(run, looks).await.map(|all| all.into_iter().collect())
    }

    /// `drbd_resource`, `state: present`, for any member.
    pub(crate) fn present(&self, evidence: &AllFacts, run: Run<'_>) -> Result<Request, Diagnostic> {
        let run_args = RunArgs {
            state: State::Present,
            consent: run.consent.to_vec(),
            evidence: evidence.values().map(json).collect(),
            lock_timeout: LOCK_TIMEOUT,
            ..RunArgs::default()
        };
        Ok(Request::new(
            Module::DrbdResource,
            with_declaration(&self.volume.resource, &run_args),
            time_left(run, CONVERGE)?,
        ))
    }

    /// `drbd_initial_sync` for any member.
    pub(crate) fn initial_sync(&self, evidence: &AllFacts, run: Run<'_>) -> Result<Request, Diagnostic> {
        let run_args = SyncRunArgs {
            evidence: evidence.values().map(json).collect(),
            source: None,
            lock_timeout: LOCK_TIMEOUT,
        };
        let arguments = with_declaration(&self.volume.resource, &run_args);
        Ok(Request::new(Module::DrbdInitialSync, arguments, time_left(run, CONVERGE)?))
    }

    /// `drbd_wait` for any member, at most until the deadline of the run.
    pub(crate) fn wait(
        &self,
        condition: Condition,
        at_most: Duration,
        run: Run<'_>,
    ) -> Result<Request, Diagnostic> {
        let limit = time_left(run, at_most)?;
        let timeout = u32::try_from(limit.as_secs()).unwrap_or(u32::MAX).min(86_400);
        let arguments =
            WaitArgs { name: self.volume.resource.name().clone(), condition, evidence: Vec::new(), timeout };
        Ok(Request::new(Module::DrbdWait, object(&arguments), limit))
    }

    /// The name of the resource, for messages.
    pub(crate) fn name(&self) -> &str {
        self.volume.resource.name().as_str()
    }
}

impl Member {
    /// Runs one request on this host.
    ///
    /// # Errors
    /// No reply, or one that says `failed`.
    pub(crate) async fn run(&self, request: &Request, doing: &str) -> Result<Reply, Diagnostics> {
        Ok(self.host.run(request).await.map_err(|trouble| self.report(&trouble, doing))?)
    }

    /// The trouble as a message that names this host.
    pub(crate) fn report(&self, trouble: &Trouble, doing: &str) -> Diagnostic {
        trouble.diagnostic(self.name.as_str(), &self.host, doing)
    }
}

/// What is left of the run's time, but no more than `at_most`.
///
/// # Errors
/// When nothing is left, or Terraform is being stopped.
pub(crate) fn time_left(run: Run<'_>, at_most: Duration) -> Result<Duration, Diagnostic> {
    if run.ctx.is_stopping() {
        let detail =
            "Terraform is being stopped. What was done so far is kept; the next run goes on from there.";
        return Err(Diagnostic::error("Interrupted", detail));
    }
    let left = run.deadline.saturating_duration_since(Instant::now());
    if left < SHORTEST {
        let detail = "The time that the attribute timeouts gives has passed. What was done so far is kept; the next run goes on from \
             there. Raise the timeout if the hosts need longer.";
        return Err(Diagnostic::error("Deadline passed", detail));
    }
    Ok(left.min(at_most))
}

/// Something that only looks or waits: given up at once when Terraform is being stopped. What changes hosts is not cut
/// off half way, but nothing is begun after it.
///
/// # Errors
/// Those of the work, or the stop.
pub(crate) async fn unless_stopped<T>(
    run: Run<'_>,
    work: impl Future<Output = Result<T, Diagnostics>>,
) -> Result<T, Diagnostics> {
    tokio::select! {
        done = work => done,
        () = run.ctx.cancelled().cancelled() => Err(interrupted().into()),
    }
}

fn interrupted() -> Diagnostic {
    let detail = "Terraform is being stopped. What was done so far is kept; the next run goes on from there.";
    Diagnostic::error("Interrupted", detail)
}

/// All values, or all errors.
pub(crate) fn collected<T>(results: Vec<Result<T, Diagnostic>>) -> Result<Vec<T>, Diagnostics> {
    let mut good = Vec::new();
    let mut bad = Diagnostics::new();
    for result in results {
        match result {
            Ok(value) => good.push(value),
            Err(problem) => bad.push(problem),
        }
    }
    if bad.is_empty() { Ok(good) } else { Err(bad) }
}

fn json<T: Serialize>(value: &T) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

pub(super) fn object<T: Serialize>(value: &T) -> Map<String, Value> {
    match json(value) {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// Declaration and run arguments share one object. The declaration's secret is written out here.
pub(super) fn with_declaration<T: Serialize>(resource: &Resource, run_args: &T) -> Map<String, Value> {
    let mut arguments = match resource.to_request() {
        Value::Object(members) => members,
        _ => Map::new(),
    };
    arguments.extend(object(run_args));
    arguments
}
