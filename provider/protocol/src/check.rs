// SPDX-License-Identifier: MPL-2.0
//! Core's own rules for plans and results, applied to our answers before they are sent: a result that core
//! refuses can lose the object from state. Bringing values into the form of their type comes before this, in
//! `value/conform.rs`; what is done about a violation is decided in `server/`.

use std::collections::BTreeMap;

use crate::schema::{Attribute, Nesting};
use crate::value::{Path, Place, SmolStr, Value};

/// A rule that an answer breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) path: Path,
    /// Never quotes the value, which may be secret.
    pub(crate) rule: String,
}

fn violation(path: &Place<'_>, rule: impl Into<String>) -> Violation {
    Violation { path: path.into(), rule: rule.into() }
}

/// The three values that meet in one place of a plan. The prior one is null when there is none.
#[derive(Clone, Copy)]
struct Sides<'v> {
    config: &'v Value,
    prior: &'v Value,
    planned: &'v Value,
}

impl<'v> Sides<'v> {
    fn member(self, name: &str) -> Sides<'v> {
        Sides { config: self.config.get(name), prior: self.prior.get(name), planned: self.planned.get(name) }
    }
}

/// Whether a plan is one that core accepts for this configuration and prior state (null when there is none).
pub(crate) fn check_plan(
    fields: &[Attribute],
    config: &Value,
    prior: &Value,
    planned: &Value,
) -> Vec<Violation> {
    let mut found = Vec::new();
    match planned {
        Value::Object(_) => {
            plan_fields(fields, Sides { config, prior, planned }, &Place::Start(&Path::root()), &mut found);
        }
        other => found.push(violation(
            &Place::Start(&Path::root()),
            format!("the plan is {}, not an object", other.kind()),
        )),
    }
    found
}

fn plan_fields(fields: &[Attribute], sides: Sides<'_>, path: &Place<'_>, found: &mut Vec<Violation>) {
    for field in fields {
        plan_field(field, sides.member(&field.name), &path.attribute(&field.name), found);
    }
}

fn plan_field(field: &Attribute, sides: Sides<'_>, path: &Place<'_>, found: &mut Vec<Violation>) {
    let Sides { config, prior, planned } = sides;
    if field.write_only {
        if !planned.is_null() {
            found.push(violation(path, "a write-only attribute must be planned as null"));
        }
        return;
    }
    let suppressed = planned == prior && !prior.is_null() && !config.is_null();
    if planned == config || suppressed {
        return;
    }
    let rule = match (config, planned) {
        (Value::Null, _) if field.computed => return,
        (Value::Null, _) => "it is not computed and not configured, so it must be planned as null",
        (_, Value::Null) => "it is configured, so it cannot be planned as null",
        (Value::Unknown(_), _) => "its configuration is not known yet, so the plan must leave it as it is",
        (_, Value::Unknown(_)) => "it is configured, so it cannot be planned as unknown",
        _ => match field.nested() {
            Some((nesting, inner)) => return plan_nested(nesting, inner, sides, path, found),
            None => "the plan must be the configured value, or the prior one where both mean the same",
        },
    };
    found.push(violation(path, rule));
}

fn plan_nested(
    nesting: Nesting,
    inner: &[Attribute],
    sides: Sides<'_>,
    path: &Place<'_>,
    found: &mut Vec<Violation>,
) {
    let before = sides.prior.elements().unwrap_or_default();
    match (nesting, sides.config, sides.planned) {
        (Nesting::Single, _, _) => plan_fields(inner, sides, path, found),
        (Nesting::List, Value::List(config), Value::List(planned)) if config.len() == planned.len() => {
            for (index, (config, planned)) in config.iter().zip(planned).enumerate() {
                let prior = before.get(index).unwrap_or(&Value::Null);
                plan_element(inner, Sides { config, prior, planned }, &path.index(index), found);
            }
        }
        (Nesting::Map, Value::Map(config), Value::Map(planned)) if same_keys(config, planned) => {
            for (key, config) in config {
                let planned = planned.get(key).unwrap_or(&Value::Null);
                let sides = Sides { config, prior: sides.prior.get(key), planned };
                plan_element(inner, sides, &path.key(key), found);
            }
        }
        (Nesting::Set, Value::Set(config), Value::Set(planned)) if config.len() == planned.len() => {
            if !planned.iter().all(|element| plan_set_element(inner, config, before, element)) {
                found.push(violation(
                    path,
                    "an element of the planned set does not belong to a configured one",
                ));
            }
        }
        _ => found.push(violation(path, "the plan must have the configured elements, no more and no fewer")),
    }
}

/// An element can be unknown or null as a whole only when it is so configured.
fn plan_element(inner: &[Attribute], sides: Sides<'_>, path: &Place<'_>, found: &mut Vec<Violation>) {
    match (sides.config, sides.planned) {
        (config, planned) if config == planned => {}
        (Value::Object(_), Value::Object(_)) => plan_fields(inner, sides, path, found),
        _ => found.push(violation(path, "an element must be planned as it is configured")),
    }
}

fn plan_set_element(inner: &[Attribute], config: &[Value], before: &[Value], planned: &Value) -> bool {
    let fits = |config: &Value, prior: &Value| {
        let mut found = Vec::new();
        plan_element(inner, Sides { config, prior, planned }, &Place::Start(&Path::root()), &mut found);
        found.is_empty()
    };
    config.iter().any(|config| fits(config, &Value::Null) || before.iter().any(|prior| fits(config, prior)))
}

fn same_keys(left: &BTreeMap<SmolStr, Value>, right: &BTreeMap<SmolStr, Value>) -> bool {
    left.len() == right.len() && left.keys().all(|key| right.contains_key(key))
}

/// Whether a result keeps every promise of its plan. Unknown parts of the result are not looked at here.
pub(crate) fn check_result(planned: &Value, actual: &Value) -> Vec<Violation> {
    let mut found = Vec::new();
    compare(planned, actual, &Place::Start(&Path::root()), &mut found);
    found
}

fn compare(planned: &Value, actual: &Value, path: &Place<'_>, found: &mut Vec<Violation>) {
    match (planned, actual) {
        (_, Value::Unknown(_)) => {}
        (Value::Unknown(refinements), actual) => {
            if !refinements.allow(actual) {
                found.push(violation(path, "the value breaks a promise that the plan made about it"));
            }
        }
        (Value::Null, Value::Null) => {}
        (Value::Null, _) => found.push(violation(path, "it was planned as null but has a value")),
        (_, Value::Null) => found.push(violation(path, "it was planned with a value but is null")),
        (Value::List(planned), Value::List(actual)) => {
            if planned.len() != actual.len() {
                let rule = format!("{} elements were planned, but there are {}", planned.len(), actual.len());
                return found.push(violation(path, rule));
            }
            for (index, (planned, actual)) in planned.iter().zip(actual).enumerate() {
                compare(planned, actual, &path.index(index), found);
            }
        }
        (Value::Map(planned), Value::Map(actual)) => {
            compare_members(planned, actual, path, |place, key| place.key(key), found);
        }
        (Value::Object(planned), Value::Object(actual)) => {
            compare_members(planned, actual, path, |place, name| place.attribute(name), found);
        }
        (Value::Set(planned), Value::Set(actual)) => {
            if !sets_correlate(planned, actual) {
                found.push(violation(path, "the elements of the set are not the planned ones"));
            }
        }
        (Value::Dynamic(planned), Value::Dynamic(actual)) => {
            compare(&planned.value, &actual.value, path, found);
        }
        (planned, actual) if planned == actual => {}
        _ => found.push(violation(path, "it differs from the planned value")),
    }
}

fn compare_members(
    planned: &BTreeMap<SmolStr, Value>,
    actual: &BTreeMap<SmolStr, Value>,
    path: &Place<'_>,
    place: for<'p> fn(&'p Place<'p>, &'p str) -> Place<'p>,
    found: &mut Vec<Violation>,
) {
    if !same_keys(planned, actual) {
        return found.push(violation(path, "it does not have the planned keys"));
    }
    for (key, planned) in planned {
        compare(planned, actual.get(key).unwrap_or(&Value::Null), &place(path, key), found);
    }
}

/// Unknown elements can become equal, so a set may shrink; but every element has a counterpart on the other side.
fn sets_correlate(planned: &[Value], actual: &[Value]) -> bool {
    let fits = |planned: &Value, actual: &Value| check_result(planned, actual).is_empty();
    actual.len() <= planned.len()
        && actual.iter().all(|actual| planned.iter().any(|planned| fits(planned, actual)))
        && planned.iter().all(|planned| actual.iter().any(|actual| fits(planned, actual)))
}

/// Where a value is unknown.
pub(crate) fn unknown_paths(value: &Value) -> Vec<Path> {
    let mut found = Vec::new();
    collect_unknown(value, &Place::Start(&Path::root()), &mut found);
    found
}

fn collect_unknown(value: &Value, path: &Place<'_>, found: &mut Vec<Path>) {
    match value {
        Value::Unknown(_) => found.push(path.into()),
        Value::List(elements) => {
            elements
                .iter()
                .enumerate()
                .for_each(|(i, element)| collect_unknown(element, &path.index(i), found));
        }
        Value::Set(elements) => elements.iter().for_each(|e| collect_unknown(e, &path.set_element(), found)),
        Value::Map(entries) => entries.iter().for_each(|(key, e)| collect_unknown(e, &path.key(key), found)),
        Value::Object(members) => {
            members.iter().for_each(|(name, member)| collect_unknown(member, &path.attribute(name), found));
        }
        Value::Dynamic(typed) => collect_unknown(&typed.value, path, found),
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Number(_) => {}
    }
}

/// The value with null in place of everything unknown, which is what a state can hold.
pub(crate) fn without_unknowns(value: Value) -> Value {
    match value {
        Value::Unknown(_) => Value::Null,
        Value::List(elements) => Value::List(elements.into_iter().map(without_unknowns).collect()),
        Value::Set(elements) => Value::set_of(elements.into_iter().map(without_unknowns)),
        Value::Map(entries) => {
            Value::Map(entries.into_iter().map(|(k, v)| (k, without_unknowns(v))).collect())
        }
        Value::Object(members) => {
            Value::Object(members.into_iter().map(|(k, v)| (k, without_unknowns(v))).collect())
        }
        Value::Dynamic(mut typed) => {
            typed.value = without_unknowns(typed.value);
            Value::Dynamic(typed)
        }
        known @ (Value::Null | Value::Bool(_) | Value::String(_) | Value::Number(_)) => known,
    }
}

#[cfg(test)]
mod tests;
