// SPDX-License-Identifier: MPL-2.0
//! Creating and repairing: the same stages, because a run that was cut short is repaired by the next one.
//!
//! present everywhere → connected everywhere → facts of all as evidence → the first synchronisation, decided on the
//! hosts → good data. Nobody starts or skips a synchronisation before all replicas are connected.

use std::time::Duration;

use drbd_engine::drift;
use drbd_schemas::args::Condition;
use drbd_schemas::facts::{HostFacts, ResourceFacts};
use drbd_schemas::reply::Code;
use drbd_schemas::{NodeName, Verdict};
use tfplugin::Diagnostics;

use super::crew::{AllFacts, Crew, unless_stopped};
use crate::engine::{Copies, Goal, Outcome, Run, Volume};
use crate::host::Trouble;
use crate::provider::Configured;

/// How long peers may take to find each other. DRBD tries every ten seconds.
pub(super) const CONNECT: Duration = Duration::from_secs(60);
/// How long one replica may take to have good data once the first synchronisation is started: an instant.
const GOOD_DATA: Duration = Duration::from_secs(60);
/// DRBD's word for a disk with good data.
const GOOD: &str = "UpToDate";
/// A resync may take as long as the run's deadline lets it.
const RESYNC: Duration = Duration::from_secs(86_400);

/// Asks every host for its plan. All refusals come from here, before anything is touched anywhere.
pub(super) async fn rehearse(
    configured: &Configured,
    volume: &Volume,
    run: Run<'_>,
) -> Result<(), Diagnostics> {
    let crew = Crew::new(configured, volume)?;
    // With the facts of all as evidence, each host also refuses when the others inherit other options than it does.
    let facts = crew.facts(run).await?;
    let request = crew.present(&facts, run)?.checking();
    crew.everywhere(&request, &format!("prepare {}", crew.name())).await.map(drop)
}

/// Consents for devices of `backings` that a host does not remember. A machine that was put under a disk has none of the
/// notes of the one before; that the device is this volume's is known from there. The host names the very device and its
/// content in the consent that it asks for; only one for a device that is known is given.
pub(super) async fn vouched(
    configured: &Configured,
    volume: &Volume,
    backings: &[String],
    run: Run<'_>,
) -> Result<Vec<String>, Diagnostics> {
    let mut given = Vec::new();
    if backings.is_empty() {
        return Ok(given);
    }
    let crew = Crew::new(configured, volume)?;
    let request = crew.present(&AllFacts::new(), run)?.checking();
    for member in &crew.members {
        if let Err(Trouble::Reply(reply)) = member.host.run(&request).await
            && reply.code == Code::ForeignData
        {
            given.extend(reply.next_steps.iter().filter_map(|step| asked_for(step, backings)));
        }
    }
    Ok(given)
}

/// The consent to adopt one of these devices, in the step that asks for it.
fn asked_for(step: &str, backings: &[String]) -> Option<String> {
    let mut quoted = step.split('"').skip(1).step_by(2);
    let is_known = |token: &&str| {
        let device = token.strip_prefix("adopt:").and_then(|rest| rest.rsplit_once(':'));
        device.is_some_and(|(identity, _)| backings.iter().any(|known| known == identity))
    };
    quoted.find(is_known).map(str::to_owned)
}

/// Brings the volume up everywhere.
pub(super) async fn bring_up(
    configured: &Configured,
    volume: &Volume,
    goal: Goal,
    run: Run<'_>,
) -> Result<Outcome, Diagnostics> {
    let crew = Crew::new(configured, volume)?;
    run.ctx.progress(&format!("{}: storage, configuration and metadata on all hosts", crew.name()));
    let present = crew.present(&AllFacts::new(), run)?;
    crew.everywhere(&present, &format!("converge {}", crew.name())).await?;
    settle(&crew, goal, run).await
}

/// From present everywhere to usable, or to synchronised.
pub(super) async fn settle(crew: &Crew<'_>, goal: Goal, run: Run<'_>) -> Result<Outcome, Diagnostics> {
    connected(crew, run).await?;
    let evidence = crew.facts(run).await?;
    first_sync(crew, &evidence, run).await?;
    let facts = good_data(crew, run).await?;
    let catching_up = if goal == Goal::Synchronised { synchronised(crew, run).await? } else { None };
    Ok(Outcome { catching_up, ..outcome(crew, &facts) })
}

/// Waits until every connection is up.
pub(super) async fn connected(crew: &Crew<'_>, run: Run<'_>) -> Result<(), Diagnostics> {
    if crew.members.len() < 2 {
        return Ok(());
    }
    run.ctx.progress(&format!("{}: waiting for the peers to connect", crew.name()));
    let wait = crew.wait(Condition::Connected, CONNECT, run)?;
    let doing = format!("connect {}", crew.name());
    unless_stopped(run, crew.everywhere(&wait, &doing)).await.map(drop)
}

/// The host with the lowest node-id is asked first; it is the one that acts, if anybody has to. The others are asked
/// only as long as nobody did anything.
async fn first_sync(crew: &Crew<'_>, evidence: &AllFacts, run: Run<'_>) -> Result<(), Diagnostics> {
    for member in &crew.members {
        let request = crew.initial_sync(evidence, run)?;
        let doing = format!("start the first synchronisation of {}", crew.name());
        let reply = member.run(&request, &doing).await?;
        if reply.changed || has_good_data(crew, evidence) {
            run.ctx.progress(&format!("{}: {}", crew.name(), reply.msg));
            break;
        }
    }
    Ok(())
}

/// Waits until one replica has good data, and returns the facts that show it.
async fn good_data(crew: &Crew<'_>, run: Run<'_>) -> Result<AllFacts, Diagnostics> {
    let facts = crew.facts(run).await?;
    if has_good_data(crew, &facts) {
        return Ok(facts);
    }
    let wait = crew.wait(Condition::UpToDate, GOOD_DATA, run)?;
    if let Some(member) = crew.members.first() {
        let doing = format!("wait for good data of {}", crew.name());
        unless_stopped(run, member.run(&wait, &doing)).await?;
    }
    crew.facts(run).await
}

/// Some host has all volumes UpToDate.
fn has_good_data(crew: &Crew<'_>, facts: &AllFacts) -> bool {
    facts.values().filter_map(|facts| facts.resources.get(crew.name())).any(|resource| {
        !resource.volumes.is_empty()
            && resource.running.is_some()
            && resource.volumes.values().all(|volume| volume.disk.as_deref() == Some(GOOD))
    })
}

/// Waits until all replicas have good data. A deadline that passes is no failure: the volume can be used and the hosts go
/// on by themselves. The answer is why it was not waited to the end, if so.
async fn synchronised(crew: &Crew<'_>, run: Run<'_>) -> Result<Option<String>, Diagnostics> {
    let Some(member) = crew.members.first() else { return Ok(None) };
    run.ctx.progress(&format!("{}: waiting until all replicas are UpToDate", crew.name()));
    let unfinished = |why: &str| Some(why.trim_end_matches('.').to_owned());
    let Ok(wait) = crew.wait(Condition::AllUpToDate, RESYNC, run) else {
        return Ok(unfinished("no time was left to wait for it"));
    };
    let outcome = tokio::select! {
        outcome = member.host.run(&wait) => outcome,
        () = run.ctx.cancelled().cancelled() => return Ok(unfinished("Terraform was stopped while waiting")),
    };
    match outcome {
        Ok(_) => Ok(None),
        Err(Trouble::Reply(reply)) if reply.code == Code::TimedOut => Ok(unfinished(&reply.msg)),
        Err(trouble) => {
            Err(member.report(&trouble, &format!("wait for all replicas of {}", crew.name())).into())
        }
    }
}

/// What the facts of all hosts say about a volume.
pub(super) fn outcome(crew: &Crew<'_>, facts: &AllFacts) -> Outcome {
    outcome_of(crew.volume, facts.iter())
}

/// The same from facts wherever they are kept.
pub(super) fn outcome_of<'f>(
    volume: &Volume,
    facts: impl Iterator<Item = (&'f NodeName, &'f HostFacts)> + Clone,
) -> Outcome {
    let resource = &volume.resource;
    let name = resource.name().as_str();
    let found = || facts.clone().filter_map(|(_, facts)| facts.resources.get(name));
    let sizes = found().flat_map(|r| r.volumes.values()).filter_map(|volume| volume.size_bytes);
    let mut drift: Vec<String> =
        facts.clone().flat_map(|(node, facts)| drift::of_host(resource, node, facts)).collect();
    if let Some(line) = no_data(found()) {
        drift.push(line);
    }
    let mut backings: Vec<String> = found()
        .flat_map(|resource| resource.volumes.values())
        .filter_map(|volume| volume.backing.as_ref())
        .filter(|backing| !matches!(backing.verdict, Verdict::Foreign { .. } | Verdict::Unreadable { .. }))
        .filter_map(|backing| backing.identity.clone())
        .collect();
    backings.sort();
    let copies = copies(name, facts);
    Outcome { size_bytes: sizes.filter(|bytes| *bytes > 0).min(), drift, catching_up: None, backings, copies }
}

/// What the replicas hold. Only what a replica with good data counts is known to be lacking elsewhere.
fn copies<'f>(name: &str, facts: impl Iterator<Item = (&'f NodeName, &'f HostFacts)>) -> Copies {
    let mut copies = Copies::default();
    for (node, facts) in facts {
        let Some(resource) = facts.resources.get(name) else { continue };
        let Some(running) = &resource.running else { continue };
        let disks = || resource.volumes.values().filter_map(|volume| volume.disk.as_deref());
        let Some(worst) = disks().find(|disk| *disk != GOOD).or_else(|| disks().next()) else { continue };
        copies.disks.insert(node.clone(), worst.to_owned());
        if worst != GOOD {
            continue;
        }
        for (peer, connection) in &running.connections {
            let Ok(peer) = NodeName::new(peer) else { continue };
            let lacks: Option<Vec<u64>> =
                connection.volumes.values().map(|volume| volume.out_of_sync_bytes).collect();
            if let Some(lacks) = lacks.filter(|lacks| !lacks.is_empty()) {
                let lacks: u64 = lacks.iter().sum();
                copies
                    .behind
                    .entry(peer)
                    .and_modify(|most: &mut u64| *most = lacks.max(*most))
                    .or_insert(lacks);
            }
        }
    }
    copies
}

/// All disks are up and none has ever had data: the first synchronisation did not happen.
fn no_data<'f>(resources: impl Iterator<Item = &'f ResourceFacts>) -> Option<String> {
    let mut disks =
        resources.flat_map(|r| r.volumes.values()).filter_map(|volume| volume.disk.as_deref()).peekable();
    disks.peek()?;
    disks
        .all(|disk| matches!(disk, "Inconsistent" | "Diskless"))
        .then(|| "no replica has good data: the first synchronisation was not started".to_owned())
}

#[cfg(test)]
mod tests {
    use super::asked_for;

    #[test]
    fn only_known_devices_are_vouched_for() {
        let step = "If it may be taken over, run again with consent: [\"adopt:lv:OC2jiH-x:CFA0\"].";
        assert_eq!(asked_for(step, &["lv:OC2jiH-x".into()]).as_deref(), Some("adopt:lv:OC2jiH-x:CFA0"));
        assert_eq!(asked_for(step, &["lv:OC2jiH".into(), "lv:other".into()]), None);
        assert_eq!(asked_for("consent: [\"overwrite:lv:OC2jiH-x:ext4\"]", &["lv:OC2jiH-x".into()]), None);
        assert_eq!(asked_for("Use another device.", &["lv:OC2jiH-x".into()]), None);
    }
}
