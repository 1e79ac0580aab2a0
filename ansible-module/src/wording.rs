// SPDX-License-Identifier: MPL-2.0
//! Violations in the words that Ansible's own argument checks use, because that is what its users search for. All of
//! them in one message, each with a "did you mean" where a slip is likely.
//!
//! Not here: finding violations (the schemas crate), and the list of them in the reply, which stays as it is.

use drbd_schemas::invalid::Violation;
use std::fmt::Write as _;

/// The message for arguments of a module that are not allowed.
pub(crate) fn message(module: &str, violations: &[Violation]) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut missing: Vec<(&str, Vec<&str>)> = Vec::new();
    for violation in violations {
        let (parent, name) = violation.path.rsplit_once('.').unwrap_or(("", &violation.path));
        match kind(violation) {
            Kind::Missing => match missing.iter_mut().find(|(at, _)| *at == parent) {
                Some((_, names)) => names.push(name),
                None => missing.push((parent, vec![name])),
            },
            Kind::Unknown => parts.push(unknown(module, violation)),
            Kind::Choice(choices) => parts.push(choice(parent, name, choices, violation)),
            Kind::Other => parts.push(format!("argument {violation}")),
        }
    }
    let missing = missing.into_iter().map(|(parent, names)| {
        format!("missing required arguments: {}{}", names.join(", "), found_in(parent))
    });
    let all: Vec<String> = missing.chain(parts).collect();
    format!("{}. Nothing was done.", all.join("; "))
}

enum Kind<'a> {
    Missing,
    Unknown,
    Choice(&'a str),
    Other,
}

/// Violations carry words for people; these are the ones that the schemas crate uses for the cases Ansible has words
/// of its own for. A test there would not notice a change of words here, so the tests below go through its checks.
fn kind(violation: &Violation) -> Kind<'_> {
    if violation.found == "an unknown field" {
        return Kind::Unknown;
    }
    if violation.found == "nothing" && violation.allowed.starts_with("required: ") {
        return Kind::Missing;
    }
    match violation.allowed.strip_prefix("one of ") {
        Some(choices) => Kind::Choice(choices),
        None => Kind::Other,
    }
}

fn unknown(module: &str, violation: &Violation) -> String {
    let mut supported: Vec<&str> = violation.allowed.split(", ").collect();
    supported.sort_unstable();
    let mut text = format!(
        "Unsupported parameters for ({module}) module: {}. Supported parameters include: {}",
        violation.path,
        supported.join(", ")
    );
    add_hint(&mut text, violation);
    text
}

fn choice(parent: &str, name: &str, choices: &str, violation: &Violation) -> String {
    // The value is quoted as JSON; Ansible shows the bare word.
    let got = violation.found.trim_matches('"');
    let mut text = format!("value of {name} must be one of: {choices}, got: {got}{}", found_in(parent));
    add_hint(&mut text, violation);
    text
}

fn add_hint(text: &mut String, violation: &Violation) {
    if let Some(hint) = &violation.hint {
        let _ = write!(text, " ({hint})");
    }
}

fn found_in(parent: &str) -> String {
    if parent.is_empty() { String::new() } else { format!(" found in {}", parent.replace('.', " -> ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use drbd_schemas::args::{self, Module};
    use serde_json::{Value, json};

    #[track_caller]
    fn check(module: Module, arguments: Value, expected: &[&str]) {
        let invalid = args::parse(module, arguments).unwrap_err();
        let text = message(module.name(), &invalid.violations);
        for part in expected {
            assert!(text.contains(part), "{part:?} is not in {text:?}");
        }
    }

    #[test]
    fn the_words_are_ansibles() {
        let wait = json!({ "nam": "r0", "condition": "conected", "timeout": "soon" });
        let expected = [
            "missing required arguments: name; ",
            "Unsupported parameters for (drbd_wait) module: nam. \
             Supported parameters include: condition, evidence, name, timeout (did you mean name?)",
            "value of condition must be one of: connected, up_to_date, all_up_to_date, got: conected",
            "argument timeout: found \"soon\", allowed: a whole number from 0 to 86400",
        ];
        check(Module::DrbdWait, wait, &expected);
        let resource = json!({
            "name": "r0", "state": "gone", "stat": "present",
            "nodes": { "h1": { "adress": "10.0.0.1", "node_id": 0 } }, "volumes": {},
        });
        let expected = [
            "missing required arguments: address, storage found in nodes -> h1",
            "value of state must be one of: present, up, down, absent, got: gone",
            "Unsupported parameters for (drbd_resource) module: stat. Supported parameters include: connections, ",
            "(did you mean state?)",
            "Unsupported parameters for (drbd_resource) module: nodes.h1.adress. \
             Supported parameters include: address, node_id, port, storage (did you mean address?)",
        ];
        check(Module::DrbdResource, resource, &expected);
    }

    #[test]
    fn what_only_makes_no_sense_together_is_said_too() {
        let node = |id: u8| json!({ "node_id": id, "address": format!("10.0.0.{id}"), "storage": { "lvm": { "volume_group": "v" } } });
        let resource = json!({
            "name": "r0", "port": 7000, "nodes": { "h1": node(1), "h2": { "node_id": 1, "address": "10.0.0.2", "storage": { "lvm": { "volume_group": "v" } } } },
            "volumes": { "0": { "minor": 1000, "size": "64MiB" } },
        });
        check(
            Module::DrbdResource,
            resource,
            &["argument nodes.h2.node_id: found 1, which h1 has too, allowed: "],
        );
    }
}
