// SPDX-License-Identifier: MPL-2.0
//! Single steps: the whole plan is made and judged as always, then cut down to the parts that were asked for.
//!
//! A part is never done before one that precedes it in the plan: metadata written under a stale file, or a resource
//! started without its metadata, is what the order of the whole run prevents. So leaving out an earlier part that has
//! work to do is refused, and leaving out a later one is told as pending.

use super::Plan;
use crate::observed::Observed;
use crate::refusal::Refusal;
use crate::step::Step;
use drbd_schemas::args::Part;
use drbd_schemas::reply::{Code, Pending};

/// Cuts a plan of `state: present` down to these parts; all of them when none is named.
///
/// # Errors
/// A refusal, when a wanted step comes after one that is needed and not wanted.
pub fn only(parts: &[Part], observed: &Observed, plan: Plan) -> Result<Plan, Refusal> {
    if parts.is_empty() {
        return Ok(plan);
    }
    let wanted = |step: &Step| is_wanted(parts, observed, step);
    let last = plan.steps.iter().rposition(|planned| part(&planned.step).is_some() && wanted(&planned.step));
    let mut kept = Plan { steps: Vec::new(), ..plan };
    for (i, planned) in plan.steps.into_iter().enumerate() {
        let before_a_wanted_one = last.is_some_and(|last| i < last);
        // What belongs to no part (loading the module) goes with whatever needs it.
        let take = match part(&planned.step) {
            None => before_a_wanted_one,
            Some(_) => wanted(&planned.step),
        };
        if take {
            kept.steps.push(planned);
        } else if let Some(needed) = part(&planned.step) {
            if before_a_wanted_one {
                return Err(too_early(needed, &planned.step));
            }
            let waits_for = format!("the step {}, which this run was not asked for", word(needed));
            kept.pending.push(Pending { what: planned.step.to_string(), waits_for });
        }
    }
    Ok(kept)
}

fn too_early(needed: Part, step: &Step) -> Refusal {
    let word = word(needed);
    let message =
        format!("the steps that were asked for come after one that is still to be done: {step} ({word}).");
    Refusal::new(Code::Missing, message)
        .next(format!("Add {word} to steps, or leave steps out for a whole run."))
}

fn is_wanted(parts: &[Part], observed: &Observed, step: &Step) -> bool {
    match part(step) {
        Some(Part::Adjust) => {
            parts.contains(&Part::Adjust) || (parts.contains(&Part::Up) && observed.status.is_none())
        }
        Some(part) => parts.contains(&part),
        None => false,
    }
}

/// The part of `state: present` to which a step belongs.
fn part(step: &Step) -> Option<Part> {
    match step {
        Step::CreateLv(_) | Step::ActivateLv { .. } | Step::ExtendLv { .. } => Some(Part::Storage),
        Step::KeepFile { .. } | Step::WriteConfig { .. } => Some(Part::Config),
        Step::WipeContent { .. } | Step::CreateMetadata(_) | Step::AdoptMetadata { .. } => {
            Some(Part::CreateMd)
        }
        Step::Adjust { .. }
        | Step::AcceptConfig { .. }
        | Step::ForgetPeer { .. }
        | Step::DiscardMyData { .. } => Some(Part::Adjust),
        Step::Resize { .. } => Some(Part::Resize),
        _ => None,
    }
}

fn word(part: Part) -> &'static str {
    match part {
        Part::Storage => "storage",
        Part::Config => "config",
        Part::CreateMd => "create-md",
        Part::Up => "up",
        Part::Adjust => "adjust",
        Part::Resize => "resize",
    }
}
