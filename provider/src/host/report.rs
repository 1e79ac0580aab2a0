// SPDX-License-Identifier: MPL-2.0
//! Trouble with a host, told to the person who runs Terraform: which host, what was found, what was done by then, what
//! to do next.

use drbd_schemas::reply::{Action, ActionState, Code, Reply};
use tfplugin::Diagnostic;

use super::{Host, LinkError, Trouble};

impl Trouble {
    /// The message. `node` is the name of the host's node, `doing` what was attempted: `create the storage pool "data"`.
    pub(crate) fn diagnostic(&self, node: &str, host: &Host, doing: &str) -> Diagnostic {
        let place = if node == host.spot() { node.to_owned() } else { format!("{node} ({})", host.spot()) };
        match self {
            Self::Link(error) => {
                let mut found = link_diagnostic(error, &place, doing);
                if self.is_silence() {
                    found.detail.push_str(" If it is gone for good, see \"A host that is gone for good\" in the provider's README.");
                }
                found
            }
            Self::Reply(reply) => reply_diagnostic(reply, &place, doing),
        }
    }
}

fn link_diagnostic(error: &LinkError, place: &str, doing: &str) -> Diagnostic {
    let summary = format!("{}: {place}", error.summary());
    let mut detail = format!("Cannot {doing} on {place}: {error}.");
    if error.outcome_unknown() {
        detail.push_str(" The next run looks at the host and goes on from what it finds.");
    }
    Diagnostic::error(summary, detail)
}

fn reply_diagnostic(reply: &Reply, place: &str, doing: &str) -> Diagnostic {
    let mut detail = format!("Cannot {doing} on {place}: {}", sentence(&reply.msg));
    section(&mut detail, "Not allowed", reply.violations.iter().map(ToString::to_string));
    section(
        &mut detail,
        "Failed",
        reply.actions.iter().filter(|a| a.state == ActionState::Failed).map(failed),
    );
    let done = reply.actions.iter().filter(|a| a.state == ActionState::Done);
    section(&mut detail, "Done before that, and kept", done.map(|a| a.summary.clone()));
    section(&mut detail, "What to do", reply.next_steps.iter().cloned());
    Diagnostic::error(format!("{}: {place}", summary(reply.code)), detail)
}

fn sentence(text: &str) -> String {
    let text = text.trim();
    if text.ends_with(['.', '!', '?']) { text.to_owned() } else { format!("{text}.") }
}

fn section(detail: &mut String, title: &str, lines: impl Iterator<Item = String>) {
    let lines: Vec<String> = lines.map(|line| format!("\n  - {line}")).collect();
    if !lines.is_empty() {
        detail.push_str(&format!("\n\n{title}:{}", lines.concat()));
    }
}

fn failed(action: &Action) -> String {
    let mut text = action.summary.clone();
    if let Some(exit) = &action.exit {
        text.push_str(&format!(" ({exit})"));
    }
    if let Some(stderr) = action.stderr_tail.as_deref().map(str::trim).filter(|stderr| !stderr.is_empty()) {
        text.push_str(&format!(": {}", stderr.replace('\n', "\n    ")));
    }
    text
}

/// What kind of refusal or failure this is, in a few words.
fn summary(code: Code) -> &'static str {
    match code {
        Code::Ok | Code::Bug => "Defect of the host program",
        Code::Invalid => "Declaration not allowed",
        Code::WrongHost => "Host has another name",
        Code::ForeignData => "Device holds other data",
        Code::Unreadable => "Device cannot be read",
        Code::Missing => "Something is missing on the host",
        Code::TooSmall => "Not enough room",
        Code::Shrink => "Shrinking is refused",
        Code::InUse => "In use",
        Code::Taken => "Already taken on the host",
        Code::ConsentNeeded => "Data would be lost",
        Code::Unsupported => "Not supported by the host's DRBD",
        Code::Environment => "Host is not ready for DRBD",
        Code::BrokenConfig => "Host's DRBD configuration is broken",
        Code::Locked => "Another run is at work",
        Code::StepFailed => "Step failed",
        Code::NotConverged => "Host is not as declared",
        Code::TimedOut => "Deadline passed",
        Code::SplitBrain => "Split brain",
        Code::Evidence => "Evidence does not suffice",
        Code::Disagreement => "Nodes were declared differently",
        Code::OutOfSync => "Replicas differ",
        Code::PortBlocked => "Replication ports are not reachable pairwise",
        Code::Interrupted => "Interrupted",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use drbd_schemas::invalid::Violation;

    #[test]
    fn a_failure_says_what_failed_what_was_done_and_what_next() {
        let action = |summary: &str, state, stderr: Option<&str>| Action {
            summary: summary.into(),
            state,
            exit: stderr.map(|_| "exit code 5".to_owned()),
            stderr_tail: stderr.map(str::to_owned),
            ..Action::default()
        };
        let reply = Reply {
            code: Code::StepFailed,
            msg: "cannot create metadata".into(),
            actions: vec![
                action("create LV vg0/r0_00000", ActionState::Done, None),
                action("create metadata", ActionState::Failed, Some("no space\nleft\n")),
                action("bring up", ActionState::Skipped, None),
            ],
            violations: vec![Violation::new("volumes.0.size", "1B", "4KiB")],
            next_steps: vec!["free some space".into()],
            ..Reply::default()
        };
        let found = reply_diagnostic(&reply, "h1 (10.0.0.1)", "converge r0");
        assert_eq!(found.summary, "Step failed: h1 (10.0.0.1)");
        let expected = "Cannot converge r0 on h1 (10.0.0.1): cannot create metadata.\n\n\
            Not allowed:\n  - volumes.0.size: found 1B, allowed: 4KiB\n\n\
            Failed:\n  - create metadata (exit code 5): no space\n    left\n\n\
            Done before that, and kept:\n  - create LV vg0/r0_00000\n\n\
            What to do:\n  - free some space";
        assert_eq!(found.detail, expected);
    }
}
