// SPDX-License-Identifier: MPL-2.0
//! What the kernel should run. `adjust` is the verb that converges, `up` is not idempotent; but `adjust` also executes
//! dangerous plans without a question (docs/behaviour.md B5), so its dry run is read first and judged.

use super::{Context, Plan};
use crate::observed::DryRun;
use crate::refusal::Refusal;
use crate::step::{Planned, Step};
use crate::tools::drbdadm::{AdjustCommand, AdjustStep};
use crate::tools::drbdsetup::{DeviceStatus, DiskState};
use drbd_schemas::reply::Code;
use std::collections::BTreeMap;

/// `leaving`: peers that a step of their own drops before `adjust` would.
pub(crate) fn plan(
    context: &Context<'_>,
    leaving: &BTreeMap<u8, Option<String>>,
    plan: &mut Plan,
) -> Result<(), Refusal> {
    let resource = context.resource.name().to_string();
    let steps = match &context.observed.dry_run {
        DryRun::Steps(steps) => steps.as_slice(),
        DryRun::NotAsked | DryRun::Refused { .. } => &[],
    };
    for step in steps {
        judge(context, step)?;
    }
    let drops = |step: &&AdjustStep| match &step.command {
        AdjustCommand::DelPeer { peer_node_id, .. } => leaving.contains_key(peer_node_id),
        _ => false,
    };
    if steps.is_empty() && context.observed.status.is_some() {
        return Ok(());
    }
    // Where dropping them is all there is to do, `adjust` is the proof that DRBD takes the file.
    let steps: Vec<&AdjustStep> = steps.iter().filter(|step| !drops(step)).collect();
    let why = match &context.observed.status {
        None => "the resource is not up".to_owned(),
        Some(_) if steps.is_empty() => "peers left the declaration".to_owned(),
        Some(_) => format!("the kernel does not run what is declared ({} commands)", steps.len()),
    };
    let disruptive = context.observed.status.is_some() && steps.iter().any(|step| interrupts(&step.command));
    let commands = steps.iter().map(|step| step.text.clone()).collect();
    let planned = Planned::new(Step::Adjust { resource, commands, disruptive }, why);
    plan.push(match made_anew(&steps) {
        ids if !ids.is_empty() && context.observed.status.is_some() => planned.consequence(format!(
            "the connections to {} are dropped and made anew: until these peers have adjusted too, they do not replicate and do not \
             count for quorum; run it on one host at a time",
            names(context, &ids)
        )),
        _ if disruptive => planned.consequence("replication pauses until the peers have adjusted too"),
        _ => planned,
    });
    Ok(())
}

/// Peers that are dropped and added again, by node-id: what a connection was made with (its transport) changes only so.
fn made_anew(steps: &[&AdjustStep]) -> Vec<u8> {
    let added = |id: u8| {
        let adds = |step: &&AdjustStep| matches!(step.command, AdjustCommand::NewPeer { peer_node_id, .. } if peer_node_id == id);
        steps.iter().any(adds)
    };
    let dropped = steps.iter().filter_map(|step| match step.command {
        AdjustCommand::DelPeer { peer_node_id, .. } => Some(peer_node_id),
        _ => None,
    });
    dropped.filter(|id| added(*id)).collect()
}

fn names(context: &Context<'_>, ids: &[u8]) -> String {
    let name = |id: &u8| {
        let declared = context.resource.nodes.iter().find(|(_, node)| node.node_id.get() == *id);
        declared.map_or_else(|| format!("node-id {id}"), |(name, _)| name.to_string())
    };
    ids.iter().map(name).collect::<Vec<_>>().join(", ")
}

fn interrupts(command: &AdjustCommand) -> bool {
    matches!(
        command,
        AdjustCommand::Disconnect { .. }
            | AdjustCommand::DelPath { .. }
            | AdjustCommand::DelPeer { .. }
            | AdjustCommand::Detach { .. }
            | AdjustCommand::DelMinor { .. }
    )
}

/// Judges one command that `adjust` would run; the rest of the vocabulary converges without losing anything.
fn judge(context: &Context<'_>, step: &AdjustStep) -> Result<(), Refusal> {
    match &step.command {
        AdjustCommand::Detach { minor, .. } => judge_detach(context, *minor, &step.text),
        AdjustCommand::DelMinor { minor } => judge_del_minor(context, *minor, &step.text),
        AdjustCommand::DelPeer { peer_node_id, .. } => judge_del_peer(context, *peer_node_id, &step.text),
        AdjustCommand::Down { .. } | AdjustCommand::Unrecognised(_) => {
            let name = context.resource.name();
            let message = format!(
                "drbdadm on {} would run a command of which drbd-host does not know what it does: {}. Nothing was changed.",
                context.name, step.text
            );
            Err(Refusal::new(Code::Unsupported, message)
                .next(format!("Read what `drbdadm -d adjust {name}` prints. If every command is right, run `drbdadm adjust {name}` there, then run this again."))
                .next("Report the command and the version of drbd-utils: a newer drbd-host can then judge it."))
        }
        AdjustCommand::NewResource { .. }
        | AdjustCommand::NewMinor { .. }
        | AdjustCommand::RepairMd { .. }
        | AdjustCommand::ApplyAl { .. }
        | AdjustCommand::Attach { .. }
        | AdjustCommand::NewPeer { .. }
        | AdjustCommand::NewPath { .. }
        | AdjustCommand::DelPath { .. }
        | AdjustCommand::Connect { .. }
        | AdjustCommand::WaitConnect { .. }
        | AdjustCommand::Disconnect { .. }
        | AdjustCommand::NetOptions { .. }
        | AdjustCommand::DiskOptions { .. }
        | AdjustCommand::ResourceOptions { .. }
        | AdjustCommand::PeerDeviceOptions { .. }
        | AdjustCommand::Resize { .. }
        | AdjustCommand::CheckResize { .. } => Ok(()),
    }
}

fn by_minor<'a>(context: &'a Context<'_>, minor: u32) -> Option<&'a DeviceStatus> {
    context.observed.status.as_ref()?.devices.iter().find(|device| device.minor == minor)
}

fn attached(device: &DeviceStatus) -> bool {
    !matches!(device.disk_state, DiskState::Diskless | DiskState::Failed | DiskState::Detaching)
}

fn judge_detach(context: &Context<'_>, minor: u32, text: &str) -> Result<(), Refusal> {
    let Some(device) = by_minor(context, minor).filter(|device| attached(device)) else { return Ok(()) };
    let message = format!(
        "adjust would detach the disk of {}/{} (it is {}) before it knows whether another one attaches: {text}.",
        context.resource.name(),
        device.volume,
        device.disk_state
    );
    Err(Refusal::new(Code::InUse, message)
        .next("Declare the backing device and minor that the volume runs on; the same device spelled otherwise counts as another one.")
        .next("To move a replica to another device, take it down on this host first (state: down)."))
}

fn judge_del_minor(context: &Context<'_>, minor: u32, text: &str) -> Result<(), Refusal> {
    let volume = by_minor(context, minor).map(|device| device.volume);
    let declared = context.resource.volumes.keys().find(|number| Some(number.get()) == volume);
    if let Some(number) = declared {
        let message = format!(
            "volume {number} runs with minor {minor}, another one is declared; changing it would block in the kernel while the device is open."
        );
        return Err(Refusal::new(Code::InUse, message)
            .next(format!("Declare minor {minor}, or take the resource down first.")));
    }
    let number = volume.map_or_else(|| "?".to_owned(), |volume| volume.to_string());
    let token = format!("remove-volume:{}/{number}", context.resource.name());
    if context.permits.allows(&token) {
        return Ok(());
    }
    let message = format!("volume {number} (minor {minor}) runs but is no longer declared: {text}.");
    Err(Refusal::new(Code::ConsentNeeded, message).next(format!(
        "Declare it again, or run with consent: [\"{token}\"]; its backing device and data stay."
    )))
}

fn judge_del_peer(context: &Context<'_>, peer_node_id: u8, text: &str) -> Result<(), Refusal> {
    let Some(status) = &context.observed.status else { return Ok(()) };
    let own_data_good = status.devices.iter().all(|device| device.disk_state == DiskState::UpToDate);
    let token = format!("drop-peer:{}:{peer_node_id}", context.resource.name());
    if own_data_good || context.permits.allows(&token) {
        return Ok(());
    }
    let message = format!(
        "adjust would drop the peer with node-id {peer_node_id}, and the data here are not UpToDate: it may hold the only good copy ({text})."
    );
    Err(Refusal::new(Code::ConsentNeeded, message)
        .next("Wait until this host is UpToDate.")
        .next(format!("If that copy really may be dropped, run with consent: [\"{token}\"].")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Output;
    use crate::tools::drbdadm::parse_adjust_dry_run;

    #[test]
    fn a_peer_that_is_dropped_and_added_again_is_told_from_one_that_is_only_dropped() {
        // drbd-utils 9.34: another transport towards node 1, node 2 gone, node 3 new.
        let text = "drbdsetup del-peer r0 2\ndrbdsetup del-peer r0 1\ndrbdsetup new-peer r0 1 --_name=h2 --transport=lb-tcp\n\
                    drbdsetup new-peer r0 3 --_name=h4\n";
        let steps = parse_adjust_dry_run(&Output::of(0, text, "")).unwrap();
        assert_eq!(made_anew(&steps.iter().collect::<Vec<_>>()), [1]);
    }
}
