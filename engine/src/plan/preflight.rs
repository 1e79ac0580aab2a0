// SPDX-License-Identifier: MPL-2.0
//! May this host be touched at all: right host, right DRBD, readable configuration, nothing taken.

use super::{Context, Plan, needs};
use crate::observe;
use crate::observed::{DryRun, Observed};
use crate::refusal::Refusal;
use crate::step::{Planned, Step};
use drbd_schemas::address::Endpoint;
use drbd_schemas::invalid::did_you_mean;
use drbd_schemas::reply::Code;
use drbd_schemas::{Family, Node, NodeName, Resource};
use std::net::SocketAddr;

/// The node of the declaration that this host is.
pub(crate) fn this_node<'a>(
    resource: &'a Resource,
    observed: &Observed,
) -> Result<(NodeName, &'a Node), Refusal> {
    node_called(resource, &observed.node)
}

/// The node of the declaration that the host of this name is.
pub(crate) fn node_called<'a>(resource: &'a Resource, here: &str) -> Result<(NodeName, &'a Node), Refusal> {
    if let Some((name, node)) = resource.nodes.get_key_value(here) {
        return Ok((name.clone(), node));
    }
    let names: Vec<&str> = resource.nodes.keys().map(NodeName::as_str).collect();
    let message = format!(
        "this host is called {here:?} (uname -n), resource {} is declared for {}.",
        resource.name(),
        names.join(", ")
    );
    let refusal = Refusal::new(Code::WrongHost, message);
    let short = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
    let twin = names.iter().find(|name| short(name) == short(here)).copied();
    Err(match twin.or_else(|| did_you_mean(here, names.iter().copied())) {
        Some(name) => refusal.next(format!(
            "Declare the node as {here:?} instead of {name:?}: drbdadm compares with uname -n."
        )),
        None => refusal.next("Run this on a declared node, or add this host to the nodes."),
    })
}

/// The family of DRBD that this host runs, or would run.
pub(crate) fn family(observed: &Observed) -> Result<Family, Refusal> {
    if observed.drbd.utils.is_none() {
        let message = format!("drbd-utils are not installed on {}: there is no drbdadm.", observed.node);
        return Err(Refusal::new(Code::Environment, message).next("Install the package drbd-utils."));
    }
    let Some(version) = observed.drbd.module.as_ref().or(observed.drbd.loadable.as_ref()) else {
        // Without the module drbdadm silently speaks DRBD 9 and writes metadata that an 8.4 kernel cannot read
        // (docs/behaviour.md B3).
        let message = format!(
            "the kernel module drbd is neither loaded nor there for the running kernel of {}.",
            observed.node
        );
        return Err(Refusal::new(Code::Environment, message)
            .next("Install the module for this kernel (linux-modules-extra, drbd-dkms or kmod-drbd), or boot a kernel that has it."));
    };
    Family::of_version(version).ok_or_else(|| {
        let message = format!("the kernel module is drbd {version}; drbd-host knows 8.4 and 9.");
        Refusal::new(Code::Unsupported, message).next("Install DRBD 8.4 or 9.")
    })
}

pub(crate) fn check(context: &Context<'_>) -> Result<(), Refusal> {
    check_family(context)?;
    check_claims(context)?;
    check_configuration(context)?;
    needs::check(context.resource, &context.name, &context.observed.needs, context.observed.running.as_ref())
}

fn check_family(context: &Context<'_>) -> Result<(), Refusal> {
    let reasons = context.resource.unsupported_by(context.family);
    if reasons.is_empty() {
        return Ok(());
    }
    let message = format!(
        "{} runs DRBD {}, which cannot do what is declared: {}.",
        context.name,
        context.family,
        reasons.join("; ")
    );
    Err(Refusal::new(Code::Unsupported, message)
        .next("Install the DRBD that can, or leave these out of the declaration."))
}

fn check_claims(context: &Context<'_>) -> Result<(), Refusal> {
    let endpoints = endpoints(context);
    for claim in &context.observed.claims {
        let taken = |what: String| {
            let message = format!(
                "{what} is taken on {} by resource {} ({}).",
                context.name,
                claim.resource,
                claim.place()
            );
            Refusal::new(Code::Taken, message).next("Choose a free one; drbd_info lists those in use.")
        };
        if let Some(volume) =
            context.resource.volumes.values().find(|v| claim.minors.contains(&v.minor.get()))
        {
            return Err(taken(format!("minor {}", volume.minor)));
        }
        if let Some(end) = endpoints.iter().find(|end| claim.ports.contains(&end.port.get())) {
            return Err(taken(format!("port {}", end.port)));
        }
    }
    check_listeners(context)
}

/// DRBD would go StandAlone on a port that a program has, and say so only in the kernel log.
fn check_listeners(context: &Context<'_>) -> Result<(), Refusal> {
    // It is DRBD itself that listens.
    if context.observed.runs_as_declared() {
        return Ok(());
    }
    let own: Vec<u16> = context.observed.running.iter().flat_map(observe::ports_of_running).collect();
    let clash = |end: &Endpoint| {
        let (address, port) = (end.address.0, end.port.get());
        let taken = |other: &SocketAddr| {
            other.port() == port && (other.ip().is_unspecified() || other.ip().to_canonical() == address)
        };
        !own.contains(&port) && context.observed.listening.iter().any(taken)
    };
    let Some(end) = endpoints(context).into_iter().find(clash) else { return Ok(()) };
    let message = format!("port {} is taken on {}: a program listens on it.", end.port, context.name);
    Err(Refusal::new(Code::Taken, message).next("Choose a free port, or stop that program."))
}

/// Where this host is to replicate.
fn endpoints(context: &Context<'_>) -> Vec<Endpoint> {
    let peers = context.resource.peers_of(&context.name);
    let paths = peers.flat_map(|(peer, _)| context.resource.paths(&context.name, peer));
    paths.map(|(own, _)| own).collect()
}

fn check_configuration(context: &Context<'_>) -> Result<(), Refusal> {
    match &context.observed.dry_run {
        DryRun::Refused { foreign_file: Some(file), message, .. } => {
            let text = format!(
                "the existing DRBD configuration of {} cannot be read ({file}): {message}",
                context.name
            );
            Err(Refusal::new(Code::BrokenConfig, text)
                .next(format!("Repair or remove {file}: every drbdadm call on this host fails until then.")))
        }
        DryRun::Refused { foreign_file: None, clash: true, message } => {
            let text = format!(
                "drbdadm does not accept the declared configuration beside the existing files: {message}"
            );
            Err(Refusal::new(Code::Taken, text)
                .next("Change what it names in the declaration or in the other file."))
        }
        DryRun::Refused { foreign_file: None, clash: false, message } => {
            let text = format!("drbdadm does not accept the declared configuration: {message}");
            Err(Refusal::new(Code::Invalid, text).next("Change what it names in the declaration."))
        }
        DryRun::Steps(_) | DryRun::NotAsked => Ok(()),
    }
}

pub(crate) fn load_module(context: &Context<'_>, plan: &mut Plan) {
    if let (None, Some(version)) = (&context.observed.drbd.module, &context.observed.drbd.loadable) {
        plan.push(Planned::new(Step::LoadModule { version: version.clone() }, "it is not loaded"));
    }
}
