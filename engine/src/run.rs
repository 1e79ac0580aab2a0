// SPDX-License-Identifier: MPL-2.0
//! One run of one module: observe → plan → (check mode: print) run → observe again, plan must now be empty → reply.
//!
//! The caller holds the lock. Here is only the order of things and the words of the reply; what is right is decided in
//! [`crate::plan`], [`crate::sync`] and [`crate::pool`].

use crate::apply::{self, StepError};
use crate::facts;
use crate::health::{self, Ailment};
use crate::host::{Host, HostError};
use crate::observe::{self, ObserveError};
use crate::observed::{DryRun, Observed};
use crate::plan::{self, Permits, Plan, parts, remove};
use crate::refusal::Refusal;
use crate::res_file;
use crate::split_brain;
use crate::step::Step;
use crate::sync::{self, Decision};
use crate::tools::drbdadm;
use crate::tools::drbdsetup::ResourceStatus;
use crate::wait;
use drbd_schemas::args::{InitialSyncArgs, Module, ResourceArgs, State};
use drbd_schemas::facts::HostFacts;
use drbd_schemas::reply::{self, Code, Diff, Reply};
use drbd_schemas::{Invalid, Resource};

/// How a run was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mode {
    /// Change nothing; the plan is the answer.
    pub check: bool,
    /// Show what changes.
    pub diff: bool,
}

/// Why a run ended without success.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error("{0}")]
    Refused(#[from] Refusal),
    #[error("{0}")]
    Observe(#[from] ObserveError),
}

impl From<HostError> for RunError {
    fn from(error: HostError) -> Self {
        Self::Observe(error.into())
    }
}

impl RunError {
    /// Fills in what a reply says about it.
    pub(crate) fn into_reply(self, mut reply: Reply) -> Reply {
        reply.failed = true;
        let done = reply.actions.iter().filter(|action| action.state == reply::ActionState::Done).count();
        let outcome = match done {
            0 => "Nothing was changed.".to_owned(),
            _ => format!("{done} steps were done before that was found."),
        };
        match self {
            Self::Refused(refusal) => {
                reply.msg = format!("{} {outcome}", refusal.message);
                reply.code = refusal.code;
                reply.next_steps = refusal.next_steps;
            }
            Self::Observe(error) => {
                reply.code = match error {
                    ObserveError::Host(HostError::Interrupted { .. }) => Code::Interrupted,
                    ObserveError::Host(_) | ObserveError::Tool(_) | ObserveError::Record { .. } => {
                        Code::Environment
                    }
                };
                reply.msg = format!("{error}. {outcome}");
                reply.next_steps = vec!["Remove the cause, then run again.".to_owned()];
            }
        }
        reply
    }
}

/// An empty reply of a module on this host.
pub fn blank_reply(host: &impl Host, module: Module, mode: Mode) -> Reply {
    Reply {
        schema: reply::SCHEMA.to_owned(),
        drbd_host: env!("CARGO_PKG_VERSION").to_owned(),
        module: module.name().to_owned(),
        node: host.node_name().unwrap_or_default(),
        check_mode: mode.check,
        ..Reply::default()
    }
}

/// The reply to arguments that are not allowed.
pub fn invalid(host: &impl Host, module: Module, mode: Mode, invalid: Invalid) -> Reply {
    let mut reply = blank_reply(host, module, mode);
    reply.failed = true;
    reply.code = Code::Invalid;
    reply.msg = invalid.to_string();
    reply.violations = invalid.violations;
    reply
}

/// Runs `drbd_resource`.
pub fn resource(host: &impl Host, args: &ResourceArgs, mode: Mode) -> Reply {
    let mut reply = blank_reply(host, Module::DrbdResource, mode);
    reply.resource = Some(args.name.to_string());
    match converge(host, args, mode, reply.clone()) {
        Ok(reply) => reply,
        Err(error) => error.into_reply(reply),
    }
}

/// Facts of other nodes, as given.
pub(crate) fn evidence(given: &[serde_json::Value]) -> Result<Vec<HostFacts>, Refusal> {
    let parse = |(i, value): (usize, &serde_json::Value)| {
        serde_json::from_value(value.clone()).map_err(|error| {
            Refusal::new(Code::Evidence, format!("evidence.{i} is not the facts of a host: {error}."))
                .next("Give the value `facts` of a drbd_info reply from each node.")
        })
    };
    given.iter().enumerate().map(parse).collect()
}

/// A look at the host, with the plan that follows from it.
struct Seen {
    observed: Observed,
    plan: Plan,
    /// The consent that would give up this host's data, where there is a split brain to resolve.
    discard: Option<String>,
}

/// Looks; after a run with what was `before` it, which saves a question to LVM.
fn look(
    host: &impl Host,
    args: &ResourceArgs,
    permits: &Permits,
    before: Option<&Seen>,
) -> Result<Seen, RunError> {
    let name = args.name.as_str();
    let mut discard = None;
    let (observed, plan) = match (args.run.state, &args.resource) {
        (State::Present, Some(resource)) => {
            let resource = &observe::as_known_here(host, resource)?;
            let observed = match before {
                None => observe::resource(host, resource)?,
                Some(seen) => observe::resource_after(host, resource, &seen.observed, &seen.plan)?,
            };
            let mut plan = plan::present(resource, &observed, permits)?;
            if observed.record.promoted_for_sync {
                let user = in_use(host, &observed)?;
                remove::give_role_back(&args.name, &observed, user.as_deref(), &mut plan);
            }
            discard = split_brain::token(host, name, &observed, permits)?;
            if discard.is_some() {
                let user = in_use(host, &observed)?;
                split_brain::plan(name, &observed, permits, discard.as_deref(), user.as_deref(), &mut plan)?;
            }
            let plan = parts::only(&args.run.steps, &observed, plan)?;
            (observed, plan)
        }
        (State::Present, None) => {
            return Err(Refusal::new(Code::Invalid, "state present needs a declaration.").into());
        }
        (State::Up, _) => {
            let observed = observe::existing(host, name)?;
            let plan = remove::up(&args.name, &observed)?;
            (observed, plan)
        }
        (State::Down, _) => {
            let observed = observe::existing(host, name)?;
            let plan = remove::down(&args.name, &observed, in_use(host, &observed)?.as_deref())?;
            (observed, plan)
        }
        (State::Absent, _) => {
            let observed = observe::existing(host, name)?;
            let user = in_use(host, &observed)?;
            let plan = remove::absent(&args.name, &observed, permits, user.as_deref())?;
            (observed, plan)
        }
    };
    Ok(Seen { observed, plan, discard })
}

/// Who uses the resource's DRBD devices, if anybody.
fn in_use(host: &impl Host, observed: &Observed) -> Result<Option<String>, RunError> {
    for device in observed.status.iter().flat_map(|status| &status.devices) {
        let path = format!("/dev/drbd{}", device.minor);
        let Some(block) = host.block_device(&path)? else { continue };
        if let Some(user) = observe::device_user(host, &block)? {
            return Ok(Some(format!("{path} is {user}")));
        }
        if device.open == Some(true) {
            return Ok(Some(format!("{path} is open")));
        }
    }
    Ok(None)
}

fn converge(host: &impl Host, args: &ResourceArgs, mode: Mode, mut reply: Reply) -> Result<Reply, RunError> {
    let permits = Permits {
        consent: args.run.consent.clone(),
        evidence: evidence(&args.run.evidence)?,
        foresee_pools: mode.check,
    };
    let seen = look(host, args, &permits, None)?;
    let peer = only_peer(args.resource.as_ref(), &seen.observed);
    reply.before = Some(facts::of_observed(args.name.as_str(), &seen.observed, peer.as_deref()));
    reply.changed = !seen.plan.is_empty();
    reply.pending.clone_from(&seen.plan.pending);
    reply.warnings.clone_from(&seen.plan.warnings);
    if mode.diff {
        reply.diff = diff(&seen, args.name.as_str());
    }
    let ailments = match (&seen.observed.status, args.run.state) {
        (Some(status), State::Present | State::Up) => health::of(status, peer.as_deref()),
        _ => Vec::new(),
    };
    reply.warnings.extend(ailments.iter().map(|ailment| format!("{}: {ailment}", args.name)));
    if mode.check || seen.plan.is_empty() {
        reply.actions = apply::actions(&seen.plan);
        reply.msg = summary(&seen.plan, args, mode, &ailments);
        reply.after.clone_from(&reply.before);
        reply.next_steps = pending_steps(&reply);
        return Ok(reply);
    }
    let (actions, failure) = apply::run(host, args.name.as_str(), &seen.plan);
    if failure.is_none() && stand_alone(&seen.observed) {
        wait::settle(host, args.name.as_str());
        reply.warnings.push(
            "a connection was StandAlone (split brain, or disconnected by hand) and was started again"
                .to_owned(),
        );
    }
    reply.changed = actions.iter().any(|action| action.state == reply::ActionState::Done);
    reply.actions = actions;
    if let Some(error) = failure {
        return Ok(failed(reply, &error, args.name.as_str()));
    }
    Ok(verify(host, args, &permits, reply, &seen))
}

/// The host is looked at again: the plan must now be empty.
fn verify(
    host: &impl Host,
    args: &ResourceArgs,
    permits: &Permits,
    mut reply: Reply,
    before: &Seen,
) -> Reply {
    // The consents were for what was found before; whatever is found now needs its own.
    let permits = Permits { evidence: permits.evidence.clone(), ..Permits::default() };
    match look(host, args, &permits, Some(before)) {
        Ok(seen) => {
            let peer = only_peer(args.resource.as_ref(), &seen.observed);
            reply.after = Some(facts::of_observed(args.name.as_str(), &seen.observed, peer.as_deref()));
            reply.pending.clone_from(&seen.plan.pending);
            if !seen.plan.is_empty() {
                return not_converged(reply, &seen, args.name.as_str());
            }
            reply.msg = summary(&before.plan, args, Mode::default(), &[]);
            reply.next_steps = pending_steps(&reply);
            reply
        }
        Err(error) => {
            let mut reply = error.into_reply(reply);
            reply.msg = format!("all steps were done, and then: {}", reply.msg);
            reply
        }
    }
}

fn stand_alone(observed: &Observed) -> bool {
    observed.status.as_ref().is_some_and(ResourceStatus::stands_alone)
}

fn not_converged(mut reply: Reply, seen: &Seen, name: &str) -> Reply {
    reply.failed = true;
    if stand_alone(&seen.observed) {
        reply.code = Code::SplitBrain;
        reply.msg = format!(
            "resource {name} was connected and is StandAlone again: the peer's data generation does not fit (split brain), or the peer refuses. No data was changed."
        );
        reply.next_steps =
            vec![format!("Compare both sides: `drbdadm get-gi {name}` and the kernel log on each.")];
        reply.next_steps.extend(seen.discard.iter().map(|token| {
            format!(
                "To give up what {node} wrote without its peers (and nothing else), make it Secondary, run again on {node} with consent: [\"{token}\"], then on the other side without. To give up the other side's, take the token that the run there prints.",
                node = seen.observed.node
            )
        }));
    } else {
        return not_done(reply, &seen.plan);
    }
    reply
}

/// Every step was done, and the host is still not as it should be.
pub(crate) fn not_done(mut reply: Reply, left: &Plan) -> Reply {
    let left: Vec<String> = left.steps.iter().map(|planned| planned.step.to_string()).collect();
    reply.failed = true;
    reply.code = Code::NotConverged;
    reply.msg = format!("every step was done, and yet this is left to do: {}.", left.join(", "));
    reply.next_steps = vec!["Run again; if it is still left, look at the kernel log.".to_owned()];
    reply
}

pub(crate) fn failed(mut reply: Reply, error: &StepError, name: &str) -> Reply {
    let done = reply.actions.iter().filter(|action| action.state == reply::ActionState::Done).count();
    let skipped = reply.actions.iter().filter(|action| action.state == reply::ActionState::Skipped).count();
    let step = reply.actions.iter().find(|action| action.state == reply::ActionState::Failed);
    let step = step.map(|action| action.summary.clone()).unwrap_or_default();
    reply.failed = true;
    reply.code = if error.is_interrupted() { Code::Interrupted } else { Code::StepFailed };
    reply.msg = format!(
        "{name}: cannot {step}: {error}. {done} steps were done before, {skipped} after it were not touched."
    );
    reply.next_steps = vec![error.next_step()];
    reply
}

fn summary(plan: &Plan, args: &ResourceArgs, mode: Mode, ailments: &[Ailment]) -> String {
    let name = &args.name;
    if plan.is_empty() {
        return match args.run.state {
            State::Present if !args.run.steps.is_empty() => {
                format!("{name}: nothing to do in the steps that were asked for.")
            }
            State::Present => format!("{name} is as declared{}.", but(ailments)),
            State::Up => format!("{name} is up{}.", but(ailments)),
            State::Down => format!("{name} is down."),
            State::Absent => format!("{name} is absent."),
        };
    }
    let steps: Vec<String> = plan.steps.iter().map(|planned| planned.step.to_string()).collect();
    let verb = if mode.check { "would be done" } else { "done" };
    format!("{name}: {} steps {verb}: {}.", steps.len(), steps.join(", "))
}

/// What keeps a good answer from being the whole truth.
fn but(ailments: &[Ailment]) -> String {
    let each: Vec<String> = ailments.iter().map(ToString::to_string).collect();
    if each.is_empty() { String::new() } else { format!(", but not healthy: {}", each.join("; ")) }
}

fn pending_steps(reply: &Reply) -> Vec<String> {
    reply
        .pending
        .iter()
        .map(|pending| format!("To {}, wait for {}.", pending.what, pending.waits_for))
        .collect()
}

/// The name of the only peer, which the status of DRBD 8.4 does not print.
pub(crate) fn only_peer(resource: Option<&Resource>, observed: &Observed) -> Option<String> {
    let declared = resource.and_then(|resource| {
        let mut others = resource.nodes.keys().filter(|name| name.as_str() != observed.node);
        others.next().filter(|_| others.next().is_none()).map(ToString::to_string)
    });
    declared.or_else(|| observed.conf.only_peer(&observed.node).map(str::to_owned))
}

fn diff(seen: &Seen, name: &str) -> Vec<Diff> {
    let mut diffs = Vec::new();
    let path = res_file::path(name);
    let before = seen.observed.config.as_deref().map(res_file::masked).unwrap_or_default();
    for planned in &seen.plan.steps {
        let after = match &planned.step {
            Step::WriteConfig { text, .. } => res_file::masked(text),
            Step::RemoveConfig { .. } => String::new(),
            _ => continue,
        };
        diffs.push(Diff {
            before_header: path.clone(),
            after_header: path.clone(),
            before: before.clone(),
            after,
        });
    }
    if let DryRun::Steps(steps) = &seen.observed.dry_run
        && !steps.is_empty()
    {
        let lines: Vec<&str> = steps.iter().map(|step| step.text.as_str()).collect();
        let header = format!("runtime of {name}");
        diffs.push(Diff {
            before_header: header.clone(),
            after_header: format!("{header} (what drbdadm adjust does)"),
            before: String::new(),
            after: lines.join("\n") + "\n",
        });
    }
    diffs.extend(commands_diff(&seen.plan));
    diffs
}

/// The steps with their commands; nothing when there are none.
pub(crate) fn commands_diff(plan: &Plan) -> Option<Diff> {
    let actions = apply::actions(plan);
    let lines = actions.iter().flat_map(|action| {
        let commands = action.argv.iter().map(|argv| format!("    {}", argv.join(" ")));
        std::iter::once(format!("{}: {}", action.seq, action.summary)).chain(commands).collect::<Vec<_>>()
    });
    (!actions.is_empty()).then(|| Diff {
        before_header: "commands".to_owned(),
        after_header: "commands".to_owned(),
        before: String::new(),
        after: lines.collect::<Vec<_>>().join("\n") + "\n",
    })
}

/// Runs `drbd_initial_sync`.
pub fn initial_sync(host: &impl Host, args: &InitialSyncArgs, mode: Mode) -> Reply {
    let mut reply = blank_reply(host, Module::DrbdInitialSync, mode);
    reply.resource = Some(args.resource.name().to_string());
    match sync_once(host, args, mode, reply.clone()) {
        Ok(reply) => reply,
        Err(error) => error.into_reply(reply),
    }
}

/// Refusals that earlier tasks remove, which in check mode did nothing: the resource is not up, or not everywhere.
fn waits_for_others(refusal: &Refusal) -> bool {
    matches!(refusal.code, Code::Missing | Code::Evidence)
}

fn undecided(mut reply: Reply, name: &str, refusal: &Refusal) -> Reply {
    reply.msg = format!("{name}: whether a first synchronisation is needed cannot be told yet: {refusal}");
    reply.pending = vec![reply::Pending {
        what: "decide on the first synchronisation".to_owned(),
        waits_for: "the resource to be up and connected on every node".to_owned(),
    }];
    reply
}

fn sync_once(
    host: &impl Host,
    args: &InitialSyncArgs,
    mode: Mode,
    mut reply: Reply,
) -> Result<Reply, RunError> {
    let name = args.resource.name().as_str();
    let evidence = evidence(&args.run.evidence)?;
    let decide = || -> Result<(Observed, Decision), RunError> {
        let observed = observe::by_name(host, name)?;
        let decision = sync::decide(&args.resource, &observed, &evidence, args.run.source.as_ref())?;
        Ok((observed, decision))
    };
    let (observed, decision) = match decide() {
        Err(RunError::Refused(refusal)) if mode.check && waits_for_others(&refusal) => {
            return Ok(undecided(reply, name, &refusal));
        }
        decided => decided?,
    };
    let peer = only_peer(Some(&args.resource), &observed);
    reply.before = Some(facts::of_observed(name, &observed, peer.as_deref()));
    let (steps, facts_used) = match decision {
        Decision::Nothing { why } => {
            reply.msg = format!("{name}: nothing to do: {why}.");
            reply.after.clone_from(&reply.before);
            return Ok(reply);
        }
        Decision::Act { steps, facts_used } => (steps, facts_used),
    };
    reply.facts_used = facts_used;
    reply.changed = true;
    let plan = Plan { steps, ..Plan::default() };
    if mode.diff {
        reply.diff.extend(commands_diff(&plan));
    }
    let what: Vec<String> = plan.steps.iter().map(|planned| planned.step.to_string()).collect();
    if mode.check {
        reply.actions = apply::actions(&plan);
        reply.msg = format!("{name}: would {}.", what.join(", "));
        reply.after.clone_from(&reply.before);
        return Ok(reply);
    }
    let (actions, failure) = apply::run(host, name, &plan);
    reply.actions = actions;
    if let Some(error) = failure {
        return Ok(failed(reply, &error, name));
    }
    let (observed, decision) = match decide() {
        Ok(decided) => decided,
        Err(error) => return Ok(error.into_reply(reply)),
    };
    reply.after = Some(facts::of_observed(name, &observed, peer.as_deref()));
    if let Decision::Act { .. } = decision {
        reply.failed = true;
        reply.code = Code::NotConverged;
        reply.msg = format!("{name}: {} exited 0, and the disks are still Inconsistent.", drbdadm::PROGRAM);
        return Ok(reply);
    }
    reply.msg = format!("{name}: {}.", what.join(", "));
    Ok(reply)
}
