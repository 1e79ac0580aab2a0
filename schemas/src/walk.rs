// SPDX-License-Identifier: MPL-2.0
//! Checks a JSON value against a JSON Schema of ours, collecting every violation, and coerces spellings.
//!
//! Not a general validator: it knows the keywords that our own generated schemas use, plus `x-check`
//! ([`crate::checks`]). What it adds to one: every violation has a path, what was found and what is allowed, unknown
//! members get a suggestion, and values come out in canonical spelling.

use crate::checks;
use crate::invalid::{Violation, did_you_mean};
use serde_json::{Map, Value};

/// Checks and canonicalises.
pub(crate) fn check(schema: &Value, value: Value) -> Result<Value, Vec<Violation>> {
    let mut walk = Walk { root: schema, found: Vec::new() };
    let value = walk.value(schema, value, "");
    if walk.found.is_empty() { Ok(value) } else { Err(walk.found) }
}

struct Walk<'a> {
    root: &'a Value,
    found: Vec<Violation>,
}

impl<'a> Walk<'a> {
    fn value(&mut self, schema: &'a Value, value: Value, path: &str) -> Value {
        let schema = self.resolve(schema);
        if let Some(variants) = ["oneOf", "anyOf"].iter().find_map(|key| schema.get(key)?.as_array()) {
            return self.variant(variants, value, path);
        }
        match expected(schema) {
            "object" => self.object(schema, value, path),
            "array" => self.array(schema, value, path),
            "integer" => self.integer(schema, value, path),
            "boolean" => self.boolean(schema, value, path),
            "string" => self.string(schema, value, path),
            // No type: any value.
            _ => value,
        }
    }

    fn resolve(&self, schema: &'a Value) -> &'a Value {
        let Some(reference) = schema.get("$ref").and_then(Value::as_str) else { return schema };
        reference.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer)).unwrap_or(schema)
    }

    fn refuse(&mut self, schema: &Value, path: &str, value: &Value, allowed: impl Into<String>) {
        let secret = schema.get("writeOnly").is_some_and(|w| w == true);
        let found = if secret { "a secret".to_owned() } else { show(value) };
        self.found.push(Violation::new(path, found, allowed));
    }

    fn object(&mut self, schema: &'a Value, value: Value, path: &str) -> Value {
        let Some(members) = as_object(&value) else {
            self.refuse(schema, path, &value, "an object");
            return value;
        };
        let properties = schema.get("properties").and_then(Value::as_object);
        // `true`: whatever it is, it is checked elsewhere.
        let any = |others: &&Value| others.is_object() || **others == Value::Bool(true);
        let others = schema.get("additionalProperties").filter(any);
        let mut result = Map::new();
        for (key, member) in members.into_iter().filter(|(_, member)| !member.is_null()) {
            let at = join(path, &key);
            let known = properties.and_then(|properties| known_property(properties, &key));
            if let Some((name, property)) = known {
                let member = self.value(property, member, &at);
                result.insert(name.clone(), member);
            } else if let Some(others) = others {
                self.key(schema, &key, &at);
                let member = self.value(others, member, &at);
                result.insert(key, member);
            } else {
                self.unknown(properties, &key, at);
            }
        }
        self.missing(schema, &result, path);
        Value::Object(result)
    }

    /// Keys of a map have a schema of their own.
    fn key(&mut self, schema: &'a Value, key: &str, at: &str) {
        let Some(names) = schema.get("propertyNames").map(|names| self.resolve(names)) else { return };
        if let Some(keyword) = names.get("x-check").and_then(Value::as_str)
            && let Err(not_allowed) = checks::run(keyword, key)
        {
            self.found.push(Violation::new(at, format!("the key {key:?}"), not_allowed.0));
        }
    }

    fn unknown(&mut self, properties: Option<&Map<String, Value>>, key: &str, at: String) {
        let names: Vec<&str> = properties.map(|p| p.keys().map(String::as_str).collect()).unwrap_or_default();
        let mut violation = Violation::new(at, "an unknown field", names.join(", "));
        violation.hint = did_you_mean(key, names.iter().copied()).map(|name| format!("did you mean {name}?"));
        self.found.push(violation);
    }

    fn missing(&mut self, schema: &'a Value, members: &Map<String, Value>, path: &str) {
        let required =
            schema.get("required").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        for name in required.iter().filter_map(Value::as_str).filter(|name| !members.contains_key(*name)) {
            let property = schema.get("properties").and_then(|p| p.get(name));
            let allowed = property
                .and_then(|p| p.get("description").or_else(|| self.resolve(p).get("description")))
                .and_then(Value::as_str)
                .and_then(|text| text.split_inclusive('.').next())
                .unwrap_or("a value; it is required");
            self.found.push(Violation::new(join(path, name), "nothing", format!("required: {allowed}")));
        }
    }

    fn array(&mut self, schema: &'a Value, value: Value, path: &str) -> Value {
        let items = match value {
            Value::Array(items) => items,
            // Ansible's `a,b` and JSON in a text.
            Value::String(text) if text.trim_start().starts_with('[') => match serde_json::from_str(&text) {
                Ok(items) => items,
                Err(_) => {
                    self.refuse(schema, path, &Value::String(text), "a list");
                    return Value::Null;
                }
            },
            Value::String(text) => {
                text.split(',').map(str::trim).filter(|t| !t.is_empty()).map(Value::from).collect()
            }
            other => {
                self.refuse(schema, path, &other, "a list");
                return other;
            }
        };
        let Some(item_schema) = schema.get("items") else { return Value::Array(items) };
        let each = items.into_iter().enumerate();
        each.map(|(i, item)| self.value(item_schema, item, &join(path, &i.to_string()))).collect()
    }

    fn integer(&mut self, schema: &Value, value: Value, path: &str) -> Value {
        let number = match &value {
            Value::Number(number) => number.as_i64().or_else(|| whole(number.as_f64()?)),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        let bound = |key: &str| schema.get(key).and_then(Value::as_i64);
        let (min, max) = (bound("minimum").unwrap_or(i64::MIN), bound("maximum").unwrap_or(i64::MAX));
        match number {
            Some(number) if (min..=max).contains(&number) => Value::from(number),
            _ => {
                let allowed = match (bound("minimum"), bound("maximum")) {
                    (Some(min), Some(max)) => format!("a whole number from {min} to {max}"),
                    _ => "a whole number".to_owned(),
                };
                self.refuse(schema, path, &value, allowed);
                value
            }
        }
    }

    fn boolean(&mut self, schema: &Value, value: Value, path: &str) -> Value {
        let word = match &value {
            Value::Bool(truth) => Some(*truth),
            Value::Number(number) => number.as_i64().and_then(|n| bool_word(&n.to_string())),
            Value::String(text) => bool_word(&text.trim().to_ascii_lowercase()),
            _ => None,
        };
        let Some(truth) = word else {
            self.refuse(schema, path, &value, "yes or no");
            return value;
        };
        Value::Bool(truth)
    }

    fn string(&mut self, schema: &Value, value: Value, path: &str) -> Value {
        let text = match &value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(truth) => truth.to_string(),
            _ => {
                self.refuse(schema, path, &value, "a text");
                return value;
            }
        };
        let words = words_of(schema);
        if !words.is_empty() {
            if words.contains(&text.as_str()) {
                return Value::String(text);
            }
            self.refuse(schema, path, &value, format!("one of {}", words.join(", ")));
            return value;
        }
        match schema.get("x-check").and_then(Value::as_str).map(|keyword| checks::run(keyword, &text)) {
            None => Value::String(text),
            Some(Ok(canonical)) => Value::String(canonical),
            Some(Err(not_allowed)) => {
                self.refuse(schema, path, &value, not_allowed.0);
                value
            }
        }
    }

    /// `Option<T>`, an enum of words, or an enum whose variants are objects with one member.
    fn variant(&mut self, variants: &'a [Value], value: Value, path: &str) -> Value {
        let candidates: Vec<&'a Value> =
            variants.iter().map(|v| self.resolve(v)).filter(|v| expected(v) != "null").collect();
        if let [only] = candidates.as_slice() {
            return self.value(only, value, path);
        }
        let words: Vec<&str> = candidates.iter().flat_map(|v| words_of(v)).collect();
        if !words.is_empty() {
            if value.as_str().is_some_and(|word| words.contains(&word)) {
                return value;
            }
            self.found.push(Violation::new(path, show(&value), format!("one of {}", words.join(", "))));
            return value;
        }
        self.tagged(&candidates, value, path)
    }

    fn tagged(&mut self, candidates: &[&'a Value], value: Value, path: &str) -> Value {
        let tags: Vec<(&str, &'a Value)> =
            candidates.iter().filter_map(|v| tag_of(v).map(|tag| (tag, *v))).collect();
        let names: Vec<&str> = tags.iter().map(|(tag, _)| *tag).collect();
        let members = as_object(&value).map(without_nulls);
        let key = members.as_ref().and_then(|m| (m.len() == 1).then(|| m.keys().next().cloned())).flatten();
        match (key.as_deref().and_then(|key| tags.iter().find(|(tag, _)| *tag == key)), members) {
            (Some((_, schema)), Some(members)) => self.object(schema, Value::Object(members), path),
            _ => {
                let mut violation =
                    Violation::new(path, show(&value), format!("exactly one of {}", names.join(", ")));
                violation.hint = key.and_then(|key| {
                    did_you_mean(&key, names.iter().copied()).map(|name| format!("did you mean {name}?"))
                });
                self.found.push(violation);
                value
            }
        }
    }
}

fn expected(schema: &Value) -> &str {
    match schema.get("type") {
        Some(Value::String(name)) => name,
        Some(Value::Array(names)) => {
            names.iter().filter_map(Value::as_str).find(|n| *n != "null").unwrap_or("")
        }
        _ if schema.get("const").is_some() || schema.get("enum").is_some() => "string",
        _ => "",
    }
}

fn words_of(schema: &Value) -> Vec<&str> {
    if let Some(word) = schema.get("const").and_then(Value::as_str) {
        return vec![word];
    }
    let words = schema.get("enum").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    words.iter().filter_map(Value::as_str).collect()
}

fn tag_of(schema: &Value) -> Option<&str> {
    schema.get("required")?.as_array()?.first()?.as_str()
}

/// Members are found under DRBD's hyphens and HCL's underscores alike.
fn known_property<'a>(properties: &'a Map<String, Value>, key: &str) -> Option<(&'a String, &'a Value)> {
    properties.get_key_value(key).or_else(|| properties.get_key_value(&key.replace('_', "-")))
}

fn as_object(value: &Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(members) => Some(members.clone()),
        Value::String(text) if text.trim_start().starts_with('{') => serde_json::from_str(text).ok(),
        _ => None,
    }
}

fn without_nulls(members: Map<String, Value>) -> Map<String, Value> {
    members.into_iter().filter(|(_, member)| !member.is_null()).collect()
}

/// Ansible's spellings of a boolean.
fn bool_word(word: &str) -> Option<bool> {
    match word {
        "yes" | "on" | "true" | "1" | "y" | "t" => Some(true),
        "no" | "off" | "false" | "0" | "n" | "f" => Some(false),
        _ => None,
    }
}

fn whole(float: f64) -> Option<i64> {
    // 2^53: beyond it a float no longer says which whole number was meant.
    let fits = float.fract() == 0.0 && float.abs() <= 9_007_199_254_740_992.0;
    fits.then(|| format!("{float:.0}").parse().ok()).flatten()
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn show(value: &Value) -> String {
    let text = match value {
        Value::Null => return "nothing".to_owned(),
        Value::Object(_) => return "an object".to_owned(),
        Value::Array(_) => return "a list".to_owned(),
        other => other.to_string(),
    };
    if text.chars().count() <= 60 {
        return text;
    }
    format!("{}…", text.chars().take(60).collect::<String>())
}
