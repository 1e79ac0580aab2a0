// SPDX-License-Identifier: MPL-2.0
//! `drbd_role`: one run. What is right is decided in [`crate::plan::role`].

use crate::apply;
use crate::facts;
use crate::host::Host;
use crate::observe;
use crate::plan::role::{self as planner, Seen};
use crate::plan::{Permits, Plan};
use crate::run::{Mode, RunError, blank_reply, commands_diff, failed, not_done};
use drbd_schemas::args::{Module, RoleArgs, WantedRole};
use drbd_schemas::facts::ResourceFacts;
use drbd_schemas::reply::{ActionState, Code, Pending, Reply};
use std::time::Duration;

/// Runs `drbd_role`.
pub fn role(host: &impl Host, args: &RoleArgs, mode: Mode) -> Reply {
    let mut reply = blank_reply(host, Module::DrbdRole, mode);
    reply.resource = Some(args.name.to_string());
    match change(host, args, mode, reply.clone()) {
        Ok(reply) => reply,
        Err(error) => error.into_reply(reply),
    }
}

fn look(
    host: &impl Host,
    args: &RoleArgs,
    permits: &Permits,
) -> Result<(Seen, Result<Plan, RunError>), RunError> {
    let until = host.millis().saturating_add(UDEV_PATIENCE);
    loop {
        let seen = observe::uses(host, args)?;
        let plan = planner::plan(args, &seen, permits);
        let passing = plan.as_ref().is_err_and(|refusal| refusal.code == Code::InUse);
        if !(passing && seen.only_passing_users()) || host.millis() >= until {
            return Ok((seen, plan.map_err(RunError::from)));
        }
        host.checkpoint()?;
        host.pause(Duration::from_millis(200));
    }
}

/// So long udev may take to look at a device that has changed, in milliseconds.
const UDEV_PATIENCE: u64 = 5_000;

fn change(host: &impl Host, args: &RoleArgs, mode: Mode, mut reply: Reply) -> Result<Reply, RunError> {
    let permits = Permits { consent: args.consent.clone(), ..Permits::default() };
    let (seen, plan) = look(host, args, &permits)?;
    reply.before = Some(facts_of(args, &seen));
    // In check mode an earlier task of the play may have brought nothing up yet.
    if mode.check && args.role == WantedRole::Primary && seen.observed.status.is_none() {
        return Ok(not_yet_up(reply, args));
    }
    let plan = match plan {
        Ok(plan) => plan,
        Err(error) => return Ok(error.into_reply(reply)),
    };
    reply.changed = !plan.is_empty();
    reply.actions = apply::actions(&plan);
    reply.after.clone_from(&reply.before);
    if mode.diff {
        reply.diff.extend(commands_diff(&plan));
    }
    reply.msg = summary(args, &plan, mode);
    if mode.check || plan.is_empty() {
        return Ok(reply);
    }
    let (actions, failure) = apply::run(host, args.name.as_str(), &plan);
    reply.changed = actions.iter().any(|action| action.state == ActionState::Done);
    reply.actions = actions;
    if let Some(error) = failure {
        reply.after = observe::uses(host, args).ok().map(|seen| facts_of(args, &seen));
        return Ok(failed(reply, &error, args.name.as_str()));
    }
    let (seen, left) = match look(host, args, &Permits::default()) {
        Ok(looked) => looked,
        Err(error) => return Ok(error.into_reply(reply)),
    };
    reply.after = Some(facts_of(args, &seen));
    match left {
        Ok(left) if left.is_empty() => Ok(reply),
        Ok(left) => Ok(not_done(reply, &left)),
        Err(error) => Ok(error.into_reply(reply)),
    }
}

fn not_yet_up(mut reply: Reply, args: &RoleArgs) -> Reply {
    reply.msg = format!("{}: what would be done cannot be told yet: the resource is not up.", args.name);
    reply.after.clone_from(&reply.before);
    reply.code = Code::Ok;
    reply.pending = vec![Pending {
        what: format!("make {} Primary", args.name),
        waits_for: "the resource to be up on this host".to_owned(),
    }];
    reply
}

fn facts_of(args: &RoleArgs, seen: &Seen) -> ResourceFacts {
    let mut facts = facts::of_observed(args.name.as_str(), &seen.observed, seen.only_peer.as_deref());
    facts::add_mounts(&mut facts, &seen.mounts);
    facts
}

fn summary(args: &RoleArgs, plan: &Plan, mode: Mode) -> String {
    let (name, role) = (
        &args.name,
        match args.role {
            WantedRole::Primary => "Primary",
            WantedRole::Secondary => "Secondary",
        },
    );
    if plan.is_empty() {
        return format!("{name} is {role} here, as asked for.");
    }
    let steps: Vec<String> = plan.steps.iter().map(|planned| planned.step.to_string()).collect();
    let verb = if mode.check { "would be done" } else { "done" };
    format!("{name}: {} steps {verb}: {}.", steps.len(), steps.join(", "))
}
