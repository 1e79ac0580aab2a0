// SPDX-License-Identifier: MPL-2.0
//! Keeps secrets out of the answer: finds them in the input, and masks them in every text of the reply. Ansible shows a
//! module's answer at `-vvv` and in registered variables, and no task keyword of the user is needed for that to be safe.
//!
//! Secrets are found by the name of their member, at any depth: a `shared_secret` that was put in the wrong place, or
//! misspelled, is as secret as one in the right place.

use drbd_schemas::secret::{MASK, Secret, scrub};
use serde_json::{Map, Value};

/// The secrets of an input; none when it is not JSON.
pub(crate) fn secrets_in(input: &str) -> Vec<Secret> {
    let mut found = Vec::new();
    if let Ok(value) = serde_json::from_str(input) {
        collect(&value, &mut found);
    }
    found
}

fn names_a_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    !key.starts_with("_ansible_")
        && (key.contains("secret") || key.contains("passw") || key.contains("passphrase"))
}

fn collect(value: &Value, found: &mut Vec<Secret>) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                if names_a_secret(key) { leaves(member, found) } else { collect(member, found) }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        // Ansible lets a dictionary or a list be written as JSON in a text.
        Value::String(text) if text.trim_start().starts_with(['{', '[']) => found.extend(secrets_in(text)),
        _ => {}
    }
}

fn leaves(value: &Value, found: &mut Vec<Secret>) {
    match value {
        Value::Object(members) => members.values().for_each(|member| leaves(member, found)),
        Value::Array(items) => items.iter().for_each(|item| leaves(item, found)),
        Value::String(text) => found.push(Secret::new(text)),
        Value::Number(number) => found.push(Secret::new(number.to_string())),
        Value::Bool(_) | Value::Null => {}
    }
}

/// The value with every secret masked in every text. Names of members stay: they are names of hosts and fields.
pub(crate) fn masked(value: Value, secrets: &[Secret]) -> Value {
    match value {
        Value::String(text) => Value::String(scrub(&text, secrets)),
        Value::Array(items) => items.into_iter().map(|item| masked(item, secrets)).collect(),
        Value::Object(members) => members
            .into_iter()
            .map(|(key, member)| (key, masked(member, secrets)))
            .collect::<Map<_, _>>()
            .into(),
        other => other,
    }
}

/// What Ansible shows as `invocation`: the arguments as given, those that are secrets masked whatever they are.
pub(crate) fn invocation(arguments: &Value) -> Value {
    let mut arguments = arguments.clone();
    mask_members(&mut arguments);
    serde_json::json!({ "module_args": arguments })
}

fn mask_members(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                if names_a_secret(key) && !member.is_null() {
                    *member = MASK.into();
                } else {
                    mask_members(member);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mask_members),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_secret_is_found_wherever_it_stands() {
        let input = json!({
            "shared_secret": "aaaa-1", "nodes": { "h1": { "shared-secret": "bbbb-2" } },
            "net": r#"{"shared_secrett": "cccc-3"}"#, "password": 123_456, "name": "r0",
        });
        let secrets = secrets_in(&input.to_string());
        let texts: Vec<&str> = secrets.iter().map(Secret::expose).collect();
        assert_eq!(texts, ["aaaa-1", "bbbb-2", "cccc-3", "123456"]);
        let shown = masked(input, &secrets).to_string();
        assert!(!texts[..3].iter().any(|secret| shown.contains(secret)), "{shown}");
    }

    #[test]
    fn the_invocation_shows_arguments_and_no_secret() {
        let shown = invocation(&json!({ "name": "r0", "shared_secret": 1234, "x": [{ "secret": "abc" }] }));
        let expected =
            json!({ "module_args": { "name": "r0", "shared_secret": MASK, "x": [{ "secret": MASK }] } });
        assert_eq!(shown, expected);
    }

    #[test]
    fn every_text_of_a_value_is_masked() {
        let secrets = [Secret::new("hunter22")];
        let value = json!({ "msg": "no hunter22 here", "diff": [{ "after": ["x hunter22"] }], "n": 1 });
        let expected =
            json!({ "msg": format!("no {MASK} here"), "diff": [{ "after": [format!("x {MASK}")] }], "n": 1 });
        assert_eq!(masked(value, &secrets), expected);
    }
}
