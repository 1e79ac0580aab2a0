// SPDX-License-Identifier: MPL-2.0
//! The configuration file. One that somebody else wrote is replaced only with a consent that names its hash, in one step, so
//! that the host is never without a file while its kernel runs the resource: DRBD asks `drbdadm` for its handlers, and drops
//! the connection where that knows nothing.

use super::{Context, Plan, losses, peers, running};
use crate::conf;
use crate::observed::DryRun;
use crate::refusal::Refusal;
use crate::res_file::{self, Secrets};
use crate::step::{Planned, Step};
use drbd_schemas::reply::Code;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

pub(crate) fn plan(context: &Context<'_>, plan: &mut Plan) -> Result<(), Refusal> {
    let path = res_file::path(context.resource.name().as_str());
    let text = res_file::render(context.resource, context.family, Secrets::Written);
    let observed = context.observed;
    let why = match &observed.config {
        Some(found) if *found == text => {
            accept(context, path, plan);
            return Ok(());
        }
        Some(found) if !res_file::is_ours(found) => {
            take_over(context, &path, found, plan)?;
            "the consent names the file that was there"
        }
        Some(_) => "it differs from the declaration",
        None => "there is none",
    };
    let leaving = peers::leaving(context).into_keys().collect();
    // What a cut run replaced works; what is in place since then, DRBD has not taken.
    let works =
        observed.record.replaced.as_ref().or(observed.config.as_ref().filter(|_| observed.status.is_some()));
    let replaces = works.filter(|_| !observed.runs_as_declared()).cloned();
    plan.push(Planned::new(Step::WriteConfig { path: path.clone(), text, leaving, replaces }, why));
    accept(context, path, plan);
    Ok(())
}

/// A run that was cut after DRBD had taken the file left the one before in the record.
fn accept(context: &Context<'_>, path: String, plan: &mut Plan) {
    if context.observed.record.replaced.is_some() && context.observed.runs_as_declared() {
        plan.push(Planned::new(Step::AcceptConfig { path }, "the run that wrote it was cut"));
    }
}

/// Keeps the file of another hand, with the consent for it.
fn take_over(context: &Context<'_>, path: &str, found: &str, plan: &mut Plan) -> Result<(), Refusal> {
    let others = others_in(context, path, found);
    if !others.is_empty() {
        let message = format!(
            "{path} was not written by drbd-host, and also holds {}: replacing it would take that away.",
            others.join(", ")
        );
        return Err(Refusal::new(Code::Taken, message)
            .next("Move that into a file of its own first, in one step (write the new file beside it, then rename)."));
    }
    losses::check(context, path)?;
    let hash = hash(found);
    let token = format!("replace-file:{path}:{hash}");
    let copy = format!("{path}.replaced-{}", hash.get(..12).unwrap_or_default());
    if !context.permits.allows(&token) {
        // What cannot be taken over as it runs is said before a consent is asked for.
        running::plan(context, &peers::leaving(context), &mut Plan::default())?;
        let message = format!(
            "{path} exists and was not written by drbd-host: resource {} is somebody else's on this host. {}{}",
            context.resource.name(),
            what_adjust_does(context),
            losses::told(context)
        );
        return Err(Refusal::new(Code::Taken, message)
            .next("Choose another name, if this is another resource.")
            .next(format!(
                "To take it over, run again with consent: [\"{token}\"]: the file is replaced in one step and kept as {copy}. Do not move it away: DRBD needs it while it runs."
            )));
    }
    let step = Step::KeepFile { path: path.to_owned(), copy, text: found.to_owned() };
    plan.push(Planned::new(step, "the consent names this file"));
    Ok(())
}

/// What else stands in the file.
fn others_in(context: &Context<'_>, path: &str, found: &str) -> Vec<String> {
    let resources = conf::only(path, found).unwrap_or_default();
    let name = context.resource.name().as_str();
    resources
        .iter()
        .filter(|other| other.name != name)
        .map(|other| format!("resource {}", other.name))
        .collect()
}

/// What the take-over means for what runs.
fn what_adjust_does(context: &Context<'_>) -> String {
    let DryRun::Steps(steps) = &context.observed.dry_run else { return String::new() };
    if context.observed.status.is_none() {
        return "It is not up.".to_owned();
    }
    if steps.is_empty() {
        return "The kernel runs what is declared, so that nothing is stopped by taking it over.".to_owned();
    }
    let commands: Vec<&str> = steps.iter().map(|step| step.text.as_str()).collect();
    format!("Taking it over would run: {}.", commands.join("; "))
}

/// SHA-256, as `sha256sum` prints it.
fn hash(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().fold(String::new(), |mut hex, byte| {
        // Writing to a text cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
