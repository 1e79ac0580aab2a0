// SPDX-License-Identifier: MPL-2.0
//! Commands that only look: `status`, `show`, `events2`, and the small questions of drbdadm.

mod events;
mod json;
mod show;
mod status;

use crate::answer::{Answer, Refusal};
use crate::arguments::Arguments;
use crate::command::{Failed, Outcome, refuse};
use crate::kernel::Kernel;
use crate::model::{ConnectionState, DiskState, Resource, Role};
use std::fmt::Write as _;

/// Answers a looking command; `None` when there is no such command.
pub(crate) fn look(kernel: &Kernel, arguments: &Arguments) -> Option<Outcome> {
    Some(match arguments.verb.as_str() {
        "status" => status(kernel, arguments),
        "show" => show(kernel, arguments),
        "events2" => Ok(Answer::says(events::now(kernel, arguments))),
        "role" => role(kernel, arguments),
        "cstate" => cstate(kernel, arguments),
        "dstate" => dstate(kernel, arguments),
        "get-gi" => gi(kernel, arguments, ""),
        "show-gi" => gi(kernel, arguments, LEGEND),
        _ => return None,
    })
}

/// What `show-gi` prints above the line.
const LEGEND: &str = "
       +--<  Current data generation UUID  >-
       |               +--<  Bitmap's base data generation UUID  >-
       |               |                 +--<  younger history UUID  >-
       |               |                 |         +-<  older history  >-
       V               V                 V         V
";

/// The resources that a command names: all of them when it names none.
fn chosen<'a>(kernel: &'a Kernel, arguments: &Arguments) -> Vec<(&'a str, &'a Resource)> {
    let wanted = arguments.words.first().filter(|word| word.as_str() != "all");
    let all = kernel.resources.iter().filter(|(name, _)| wanted.is_none_or(|wanted| wanted == *name));
    all.map(|(name, resource)| (name.as_str(), resource)).collect()
}

fn status(kernel: &Kernel, arguments: &Arguments) -> Outcome {
    let resources = chosen(kernel, arguments);
    let missing = arguments.words.first().filter(|word| resources.is_empty() && word.as_str() != "all");
    let out = match (arguments.has("json"), resources.is_empty()) {
        (true, _) => json::status(&resources),
        (false, true) => "# No currently configured DRBD found.\n".to_owned(),
        (false, false) => status::text(&resources, arguments.has("verbose"), arguments.has("statistics")),
    };
    let (code, err) = missing.map_or((0, String::new()), |name| (10, format!("{name}: No such resource\n")));
    Ok(Answer { code, out, err })
}

fn show(kernel: &Kernel, arguments: &Arguments) -> Outcome {
    let resources = chosen(kernel, arguments);
    if let Some(name) = arguments.words.first().filter(|name| resources.is_empty() && *name != "all") {
        return refuse(name, Refusal::Plain(format!("{name}: No such resource")));
    }
    Ok(Answer::says(if arguments.has("json") { json::show(&resources) } else { show::text(&resources) }))
}

fn role(kernel: &Kernel, arguments: &Arguments) -> Outcome {
    let name = arguments.word(0)?;
    match kernel.resources.get(name) {
        Some(resource) => Ok(Answer::says(format!("{}\n", resource.role))),
        None => refuse(name, Refusal::Plain(format!("{name}: Unknown resource"))),
    }
}

fn cstate(kernel: &Kernel, arguments: &Arguments) -> Outcome {
    let (name, peer) = (arguments.word(0)?, arguments.number::<u8>(1)?);
    let unknown = || {
        let text = format!("{name}: Failure: (158) Unknown resource\n{name}: No such connection");
        Failed::Refused(name.to_owned(), Refusal::Plain(text))
    };
    let resource = kernel.resources.get(name).ok_or_else(unknown)?;
    let none = || Failed::Refused(name.to_owned(), Refusal::Plain(format!("{name}: No such connection")));
    let connection = resource.connections.get(&peer).ok_or_else(none)?;
    Ok(Answer::says(format!("{}\n", connection.state)))
}

/// Nothing for a minor that is not there, except for drbdmeta, which reads the word.
fn dstate(kernel: &Kernel, arguments: &Arguments) -> Outcome {
    let minor = arguments.minor(0)?;
    let found = kernel.by_minor(minor).and_then(|(name, number)| {
        let resource = kernel.resources.get(&name)?;
        Some((resource, number, resource.volumes.get(&number)?))
    });
    let Some((resource, number, volume)) = found else {
        let out = if arguments.old_order { "Unconfigured\n" } else { "" };
        return Ok(Answer { code: 10, ..Answer::says(out) });
    };
    let mut out = volume.disk_state.to_string();
    for connection in resource.connections.values() {
        if let Some(seen) = connection.volumes.get(&number) {
            let _infallible = write!(out, "/{}", seen.disk);
        }
    }
    Ok(Answer::says(out + "\n"))
}

fn gi(kernel: &Kernel, arguments: &Arguments, legend: &str) -> Outcome {
    let (name, peer, number) = (arguments.word(0)?, arguments.number::<u8>(1)?, arguments.number::<u16>(2)?);
    let Some(resource) = kernel.resources.get(name) else { return refuse(name, Refusal::NO_RESOURCE) };
    let volume = resource.volumes.get(&number);
    let Some(volume) = volume else { return refuse(name, Refusal::INVALID) };
    let Some(backing) = &volume.backing else { return refuse(volume.minor, Refusal::NO_DISK) };
    Ok(Answer::says(format!("{legend}{}\n", backing.meta.line(peer))))
}

/// `yes` or `no`.
fn yes(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}

/// Why I/O is suspended, as the text formats say it.
fn suspended(resource: &Resource) -> &'static str {
    match (resource.suspended, resource.suspended_by_quorum()) {
        (false, false) => "no",
        (true, false) => "user",
        (false, true) => "quorum",
        (true, true) => "user,quorum",
    }
}

/// Why a sync over a connection waits.
fn resync_suspended(seen: &crate::model::PeerVolume) -> &'static str {
    match (seen.paused, seen.replication == crate::model::Replication::PausedSyncT) {
        (false, false) => "no",
        (true, false) => "user",
        (false, true) => "dependency",
        (true, true) => "user,dependency",
    }
}

/// What only a resource with a disk can say.
fn write_ordering(resource: &Resource) -> &'static str {
    if resource.volumes.values().any(|volume| volume.backing.is_some()) { "flush" } else { "none" }
}

/// Whether the node could become Primary, and how much it would be the right one.
fn promotion(resource: &Resource) -> (bool, u32) {
    let quorum = resource.volumes.values().all(|volume| volume.quorum);
    let data = resource.volumes.keys().all(|number| resource.has_up_to_date(*number));
    let other = resource.connections.values().any(|connection| connection.role == Role::Primary);
    if !quorum || !data || resource.volumes.is_empty() {
        return (false, 0);
    }
    let here = resource.volumes.values().all(|volume| volume.disk_state == DiskState::UpToDate);
    let there = resource.connections.values().filter(|connection| {
        connection.state == ConnectionState::Connected
            && connection.volumes.values().all(|seen| seen.disk == DiskState::UpToDate)
    });
    let score = 10_000 + if here { 101 } else { 0 } + u32::try_from(there.count()).unwrap_or(0);
    (resource.role == Role::Secondary && !other, score)
}
