// SPDX-License-Identifier: MPL-2.0
//! Reading a volume for a refresh, from facts that all reads of a host share.

use std::collections::BTreeSet;
use std::sync::Arc;

use drbd_schemas::facts::{HostFacts, ResourceFacts};
use drbd_schemas::{NodeName, Verdict};
use futures::future::join_all;
use tfplugin::{Diagnostics, Severity};

use super::bring_up::outcome_of;
use super::crew::Crew;
use crate::engine::{Sight, Volume};
use crate::provider::Configured;

/// Looks at the volume on its hosts, but for those that are known not to answer. A host that does not answer is a warning,
/// never an absence: for replication it is the expected fault, and must not stop what does not need it.
pub(super) async fn sight(
    configured: &Configured,
    volume: &Volume,
    without: &BTreeSet<NodeName>,
) -> Result<(Sight, Diagnostics), Diagnostics> {
    let crew = Crew::new(configured, volume)?;
    let asked = crew.members.iter().filter(|member| !without.contains(&member.name));
    let looks = asked.map(|member| async move { (member, member.host.facts().await) });
    let (mut seen, mut silent, mut problems) = (Vec::new(), Diagnostics::new(), Diagnostics::new());
    for (member, looked) in join_all(looks).await {
        match looked {
            Ok(facts) => seen.push((&member.name, facts)),
            Err(trouble) => {
                let mut problem = member.report(&trouble, &format!("read {}", volume.resource.name()));
                problem.detail.push_str(trouble.moved_hint());
                if trouble.is_silence() {
                    problem.severity = Severity::Warning;
                    silent.push(problem);
                } else {
                    problems.push(problem);
                }
            }
        }
    }
    problems.into_result()?;
    let sight = if seen.is_empty() { Sight::Unseen } else { judge(volume, &seen) };
    Ok((sight, silent))
}

fn judge(volume: &Volume, seen: &[(&NodeName, Arc<HostFacts>)]) -> Sight {
    let name = volume.resource.name().as_str();
    let all_asked = seen.len() == volume.members.len();
    let gone = all_asked
        && seen.iter().all(|(node, facts)| {
            // Another host at this address says nothing about ours.
            facts.node == node.as_str() && facts.resources.get(name).is_none_or(nothing_left)
        });
    if gone {
        return Sight::Gone;
    }
    Sight::There(outcome_of(volume, seen.iter().map(|(node, facts)| (*node, &**facts))))
}

/// No file, not running, and no backing device that may hold its data.
fn nothing_left(resource: &ResourceFacts) -> bool {
    let storage = resource.volumes.values().filter_map(|volume| volume.backing.as_ref());
    resource.config.is_none()
        && resource.running.is_none()
        && storage.into_iter().all(|backing| matches!(backing.verdict, Verdict::Absent | Verdict::Blank))
}
