// SPDX-License-Identifier: MPL-2.0
//! Changing a volume: one host after the other, so that no step can hurt two replicas at once; and growing, which is a
//! transaction over all hosts: every backing device first, then DRBD.

use drbd_schemas::args::Condition;
use drbd_schemas::{ByteSize, Resource};
use tfplugin::{Diagnostic, Diagnostics, Path};

use super::bring_up::{CONNECT, connected, outcome};
use super::crew::{AllFacts, Crew, Member, unless_stopped};
use crate::engine::{Outcome, Run, Volume};
use crate::provider::Configured;

/// Brings a volume that is as `before` declares to what `after` declares.
pub(super) async fn change(
    configured: &Configured,
    before: &Volume,
    after: &Volume,
    run: Run<'_>,
) -> Result<Outcome, Diagnostics> {
    let crew = Crew::new(configured, after)?;
    // Every host is asked before the first is changed: a change that stops half way is worse than none.
    crew.facts(run).await?;
    if before.resource != after.resource {
        let request = crew.present(&AllFacts::new(), run)?.checking();
        crew.everywhere(&request, &format!("prepare the change of {}", crew.name())).await?;
        roll(&crew, peers_must_agree(&before.resource, &after.resource), run).await?;
        connected(&crew, run).await?;
    }
    let mut facts = crew.facts(run).await?;
    if grows(&before.resource, &after.resource) {
        facts = grow(&crew, &facts, run).await?;
    }
    let outcome = outcome(&crew, &facts);
    if outcome.drift.is_empty() {
        return Ok(outcome);
    }
    let detail = format!(
        "After the change {} is not yet as declared: {}. The state was kept; the next run tries again.",
        crew.name(),
        outcome.drift.join("; ")
    );
    Err(Diagnostic::error("Hosts are not as declared", detail).into())
}

/// One host after the other. Between two of them the connections must be up again, unless the change itself keeps peers
/// apart until both have it.
async fn roll(crew: &Crew<'_>, peers_must_agree: bool, run: Run<'_>) -> Result<(), Diagnostics> {
    let last = crew.members.len().saturating_sub(1);
    for (i, member) in crew.members.iter().enumerate() {
        run.ctx.progress(&format!("{}: changing it on {}", crew.name(), member.name));
        let reply = converge(crew, member, &AllFacts::new(), run).await?;
        if reply.changed && i < last && !peers_must_agree {
            let wait = crew.wait(Condition::Connected, CONNECT, run)?;
            let doing = format!("wait for the peers of {}; hosts after it were not changed", crew.name());
            unless_stopped(run, member.run(&wait, &doing)).await?;
        }
    }
    Ok(())
}

async fn converge(
    crew: &Crew<'_>,
    member: &Member,
    evidence: &AllFacts,
    run: Run<'_>,
) -> Result<drbd_schemas::reply::Reply, Diagnostics> {
    let request = crew.present(evidence, run)?;
    member.run(&request, &format!("change {}", crew.name())).await
}

/// Options of connections, the secret, and endpoints: two peers that disagree on one of these do not connect, so there is
/// nothing to wait for between them.
fn peers_must_agree(before: &Resource, after: &Resource) -> bool {
    let endpoints = |resource: &Resource| -> Vec<_> {
        resource.nodes.keys().map(|name| resource.endpoint(name)).collect()
    };
    before.net != after.net
        || before.connections != after.connections
        || before.shared_secret != after.shared_secret
        || endpoints(before) != endpoints(after)
}

fn grows(before: &Resource, after: &Resource) -> bool {
    after
        .volumes
        .iter()
        .any(|(number, volume)| volume.size > before.volumes.get(number).and_then(|volume| volume.size))
}

/// Every host has extended its backing devices; now one host resizes DRBD, with the evidence that all have.
async fn grow(crew: &Crew<'_>, facts: &AllFacts, run: Run<'_>) -> Result<AllFacts, Diagnostics> {
    let Some(member) = crew.members.first() else { return Ok(facts.clone()) };
    run.ctx.progress(&format!("{}: growing", crew.name()));
    converge(crew, member, facts, run).await?;
    let facts = crew.facts(run).await?;
    let wanted = crew.volume.resource.volumes.values().filter_map(|volume| volume.size).max();
    let found = outcome(crew, &facts).size_bytes.map(ByteSize::from_bytes);
    if found >= wanted {
        return Ok(facts);
    }
    let show = |size: Option<ByteSize>| size.map_or("nothing".to_owned(), |size| size.to_string());
    let detail = format!(
        "After growing, {} has {}, declared is {}. The backing devices have grown on all hosts; nothing was lost. The next run tries \
         again.",
        crew.name(),
        show(found),
        show(wanted)
    );
    Err(Diagnostic::error("Volume has not grown", detail).at(Path::of("size")).into())
}
