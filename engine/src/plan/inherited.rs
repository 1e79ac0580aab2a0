// SPDX-License-Identifier: MPL-2.0
//! What a resource takes from the host's `common` sections. It is the site's default: it takes effect where the
//! declaration says nothing, and whoever reads a plan is told so, with file and line.

use super::{Context, Plan};
use crate::agreement;
use crate::refusal::Refusal;
use crate::step::Step;
use drbd_schemas::Family;
use drbd_schemas::facts::OptionFacts;
use drbd_schemas::reply::Code;

/// May the host be touched with what it inherits?
pub(super) fn check(context: &Context<'_>) -> Result<(), Refusal> {
    let common = context.observed.conf.all.common_facts();
    agreement::check_inherited(context.resource, context.name.as_str(), &common, &context.permits.evidence)?;
    check_volumes(context, &common)?;
    check_fencing(context, &common)
}

/// Says what is inherited: policies that lose data or stop I/O always, the rest where the kernel is told something.
pub(super) fn tell(context: &Context<'_>, plan: &mut Plan) {
    let common = context.observed.conf.all.common_facts();
    let inherited = agreement::inherited(context.resource, &common);
    if inherited.is_empty() {
        return;
    }
    for (&(section, name), option) in &inherited {
        if let Some(effect) = effect(name, &option.value) {
            plan.warnings.push(format!(
                "{section}.{name} {} is inherited from {}: {effect}",
                option.value, option.from
            ));
        }
    }
    let list: Vec<String> = inherited
        .iter()
        .map(|((section, name), option)| format!("{section}.{name} {} from {}", option.value, option.from))
        .collect();
    for planned in &mut plan.steps {
        if matches!(planned.step, Step::Adjust { .. }) {
            planned.why = format!("{}; inherited: {}", planned.why, list.join(", "));
        }
    }
}

/// What a policy does that nobody may come to by accident.
fn effect(name: &str, value: &str) -> Option<&'static str> {
    Some(match (name, value) {
        ("after-sb-0pri" | "after-sb-1pri" | "after-sb-2pri", "disconnect") => return None,
        ("after-sb-0pri" | "after-sb-1pri" | "after-sb-2pri", _) => {
            "after a split brain one side's data are discarded without a question"
        }
        ("rr-conflict", "violently") => "a node's data are overwritten although it is Primary",
        ("always-asbp", "yes") => "split brain policies apply to unrelated generations too",
        ("fencing", "resource-and-stonith") => "when a peer is lost, I/O stops until it is fenced",
        ("fencing", "resource-only") => "when a peer is lost, its data are fenced",
        ("on-no-quorum" | "on-no-data-accessible", "suspend-io") => {
            "I/O stops, instead of failing, where there is no quorum or no good data"
        }
        ("on-congestion", "pull-ahead" | "disconnect") => "a slow peer is left behind",
        _ => return None,
    })
}

/// `drbdadm` refuses a file in which an option of a volume meets the same option of `common`: neither wins.
fn check_volumes(context: &Context<'_>, common: &[OptionFacts]) -> Result<(), Refusal> {
    for (number, volume) in &context.resource.volumes {
        for (name, value) in volume.disk.iter() {
            let same_for_all = context.resource.disk_option_of_all(name).is_some();
            let Some(clash) = common.iter().find(|option| option.section == "disk" && option.name == name)
            else {
                continue;
            };
            if !same_for_all && clash.value != value {
                let message = format!(
                    "volumes.{number}.disk.{name} is declared as {value}, and {} sets it to {} for every resource of {}: drbdadm takes neither (ambiguous inheritance). Nothing was changed.",
                    clash.from, clash.value, context.name
                );
                return Err(Refusal::new(Code::Taken, message).next(format!(
                    "Remove {name} from {}, or declare one value for all volumes.",
                    clash.from
                )));
            }
        }
    }
    Ok(())
}

/// Without a handler the policy freezes I/O, or lets nobody be promoted, the first time that a peer is lost.
fn check_fencing(context: &Context<'_>, common: &[OptionFacts]) -> Result<(), Refusal> {
    let Some((policy, place)) = fencing(context, common) else { return Ok(()) };
    let has_handler = common.iter().any(|option| option.section == "handlers" && option.name == "fence-peer");
    if has_handler {
        return Ok(());
    }
    let message = format!(
        "fencing is {policy} ({place}), and there is no handler fence-peer on {}: when a peer is lost, nobody is fenced, and nothing goes on. Nothing was changed.",
        context.name
    );
    Err(Refusal::new(Code::Missing, message)
        .next("Name a handler fence-peer, for example in the section `common` of /etc/drbd.d/global_common.conf on every host.")
        .next("Or declare net.fencing as dont-care."))
}

/// The fencing policy that takes effect on some connection, and where it stands.
fn fencing(context: &Context<'_>, common: &[OptionFacts]) -> Option<(String, String)> {
    let connections = context.resource.connections.iter().enumerate();
    let of_connections = connections.filter_map(|(i, connection)| {
        Some((connection.net.get("fencing")?.to_owned(), format!("connections.{i}.net.fencing")))
    });
    let of_resource =
        context.resource.net.get("fencing").map(|value| (value.to_owned(), "net.fencing".to_owned()));
    let section = if context.family == Family::V84 { "disk" } else { "net" };
    let inherited = || {
        let found = common.iter().find(|option| option.section == section && option.name == "fencing")?;
        Some((found.value.clone(), format!("inherited from {}", found.from)))
    };
    let mut all: Vec<_> = of_connections.collect();
    all.extend(of_resource.or_else(inherited));
    all.into_iter().find(|(policy, _)| policy != "dont-care")
}
