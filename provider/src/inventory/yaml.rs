// SPDX-License-Identifier: MPL-2.0
//! JSON as YAML in block style. Pure.
//!
//! Texts are written as JSON writes them, which YAML 1.1 and 1.2 read alike, so no text can turn into a number, a truth
//! value or a reference; only keys that cannot be mistaken stand bare.

use serde_json::{Map, Value as Json};

/// The YAML of a value, below a line of comment.
pub(super) fn render(header: &str, value: &Json) -> String {
    let mut out = format!("{header}\n");
    block(&mut out, value, 0);
    out
}

/// A value on lines of its own.
fn block(out: &mut String, value: &Json, depth: usize) {
    match value {
        Json::Object(members) if !members.is_empty() => object(out, members, depth),
        Json::Array(elements) if !elements.is_empty() => {
            for element in elements {
                indent(out, depth);
                out.push('-');
                after(out, element, depth);
            }
        }
        scalar => {
            indent(out, depth);
            out.push_str(&scalar.to_string());
            out.push('\n');
        }
    }
}

fn object(out: &mut String, members: &Map<String, Json>, depth: usize) {
    for (key, value) in members {
        indent(out, depth);
        out.push_str(&self::key(key));
        out.push(':');
        after(out, value, depth);
    }
}

/// What follows a key or a dash: a scalar, or an empty collection, on the same line; the rest below.
fn after(out: &mut String, value: &Json, depth: usize) {
    let nested = match value {
        Json::Object(members) => !members.is_empty(),
        Json::Array(elements) => !elements.is_empty(),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => false,
    };
    if nested {
        out.push('\n');
        block(out, value, depth + 1);
    } else {
        out.push(' ');
        out.push_str(&value.to_string());
        out.push('\n');
    }
}

fn indent(out: &mut String, depth: usize) {
    for _ in 0..depth {
        out.push_str("  ");
    }
}

/// Words that YAML 1.1 takes for a truth value or null, and everything with a character beyond letters, digits and `_`,
/// are quoted.
fn key(text: &str) -> String {
    const TAKEN: [&str; 10] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan"];
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !TAKEN.contains(&text.to_ascii_lowercase().as_str());
    if plain { text.to_owned() } else { Json::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn structure_is_indented_and_texts_are_quoted() {
        let value = json!({ "a": { "b": [1, "no", { "c": null }], "0": {} }, "on": [], "x y": "\u{7}\"é" });
        let expected = "# head\na:\n  b:\n    - 1\n    - \"no\"\n    -\n      c: null\n  \"0\": {}\n\"on\": []\n\"x y\": \"\\u0007\\\"é\"\n";
        assert_eq!(render("# head", &value), expected);
    }
}
