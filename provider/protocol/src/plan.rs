// SPDX-License-Identifier: MPL-2.0
//! The mechanical part of planning: defaults, kept values, unknown values, semantic equality, replacement. What
//! only the resource can know is added by its own `plan`; what core allows is checked in `check.rs`.

use std::collections::BTreeMap;

use crate::schema::{Attribute, Nesting, OnUpdate, Replace};
use crate::value::{Path, SmolStr, Value};

/// Merges a configuration with the prior state (null when there is none) by the marks of the schema.
pub(crate) fn propose(fields: &[Attribute], config: &Value, prior: &Value) -> Value {
    let Value::Object(configured) = config else { return config.clone() };
    let members = fields.iter().map(|field| {
        let configured = configured.get(&field.name).unwrap_or(&Value::Null);
        let prior = prior.members().map(|members| members.get(&field.name).unwrap_or(&Value::Null));
        (field.name.clone(), propose_field(field, configured, prior))
    });
    Value::Object(members.collect())
}

/// `prior` is `None` when the enclosing object did not exist before.
fn propose_field(field: &Attribute, config: &Value, prior: Option<&Value>) -> Value {
    if field.write_only {
        return Value::Null;
    }
    match (config, prior) {
        (Value::Unknown(_), _) => config.clone(),
        (Value::Null, _) if field.default.is_some() => field.default.clone().unwrap_or(Value::Null),
        (Value::Null, Some(prior)) if field.computed => prior.clone(),
        (Value::Null, None) if field.computed => Value::unknown(),
        (Value::Null, _) => Value::Null,
        (_, Some(prior)) if field.means_same(prior, config) => prior.clone(),
        _ => match field.nested() {
            None => config.clone(),
            Some((nesting, inner)) => propose_nested(nesting, inner, config, prior.unwrap_or(&Value::Null)),
        },
    }
}

fn propose_nested(nesting: Nesting, inner: &[Attribute], config: &Value, prior: &Value) -> Value {
    match (nesting, config) {
        (Nesting::Single, object) => propose(inner, object, prior),
        (_, Value::List(elements)) => {
            let before = prior.elements().unwrap_or_default();
            let pairs = elements.iter().enumerate();
            Value::List(
                pairs.map(|(i, e)| propose(inner, e, before.get(i).unwrap_or(&Value::Null))).collect(),
            )
        }
        (_, Value::Map(entries)) => {
            let pairs = entries.iter();
            Value::Map(
                pairs.map(|(key, entry)| (key.clone(), propose(inner, entry, prior.get(key)))).collect(),
            )
        }
        (_, Value::Set(elements)) => propose_set(inner, elements, prior.elements().unwrap_or_default()),
        (_, other) => other.clone(),
    }
}

/// A set element is the same as a prior one when, completed from it, it becomes equal to it. Each prior element
/// serves once, or two configured elements could become one; those that are equal as they stand go first.
fn propose_set(inner: &[Attribute], elements: &[Value], before: &[Value]) -> Value {
    let mut free: Vec<&Value> = before.iter().collect();
    let mut take = |same: &dyn Fn(&Value) -> bool| {
        let position = free.iter().position(|prior| same(prior))?;
        Some(free.swap_remove(position).clone())
    };
    let mut planned = Vec::with_capacity(elements.len());
    let mut open = Vec::new();
    for element in elements {
        match take(&|prior| prior == element) {
            Some(same) => planned.push(same),
            None => open.push(element),
        }
    }
    for element in open {
        let same = take(&|prior| propose(inner, element, prior) == *prior);
        planned.push(same.unwrap_or_else(|| propose(inner, element, &Value::Null)));
    }
    Value::set_of(planned)
}

/// Puts the defaults where a state that was imported says nothing: a configuration that says nothing either is then no change.
pub(crate) fn fill_defaults(fields: &[Attribute], state: &mut Value) {
    let Value::Object(members) = state else { return };
    for field in fields {
        let Some(member) = members.get_mut(&field.name) else { continue };
        if member.is_null() {
            *member = field.default.clone().unwrap_or(Value::Null);
        }
        let Some((_, inner)) = field.nested() else { continue };
        match member {
            object @ Value::Object(_) => fill_defaults(inner, object),
            Value::List(elements) | Value::Set(elements) => {
                elements.iter_mut().for_each(|element| fill_defaults(inner, element));
            }
            Value::Map(entries) => entries.values_mut().for_each(|entry| fill_defaults(inner, entry)),
            _ => {}
        }
    }
}

/// In an update that changes something, makes the computed attributes unknown whose marks ask for it.
pub(crate) fn forget_changing(fields: &[Attribute], config: &Value, prior: &Value, proposed: &mut Value) {
    if prior == proposed {
        return;
    }
    let differs = |name: &str| prior.get(name) != proposed.get(name);
    let changed: Vec<SmolStr> = fields.iter().map(|f| f.name.clone()).filter(|name| differs(name)).collect();
    forget_in_object(fields, config, proposed, &changed);
}

fn forget_in_object(fields: &[Attribute], config: &Value, proposed: &mut Value, changed: &[SmolStr]) {
    let Value::Object(members) = proposed else { return };
    for field in fields {
        let Some(member) = members.get_mut(&field.name) else { continue };
        let configured = config.get(&field.name);
        if !configured.is_null() {
            let Some((_, inner)) = field.nested() else { continue };
            match (member, configured) {
                (object @ Value::Object(_), configured) => {
                    forget_in_object(inner, configured, object, changed);
                }
                (Value::List(elements), Value::List(configured)) => elements
                    .iter_mut()
                    .zip(configured)
                    .for_each(|(element, config)| forget_in_object(inner, config, element, changed)),
                (Value::Map(entries), configured) => entries
                    .iter_mut()
                    .for_each(|(key, entry)| forget_in_object(inner, configured.get(key), entry, changed)),
                // An element of a set with an unknown part would be a new element.
                _ => {}
            }
            continue;
        }
        let forget = match &field.on_update {
            OnUpdate::Keep => false,
            OnUpdate::Unknown => true,
            OnUpdate::UnknownWhen(names) => {
                names.iter().any(|name| changed.iter().any(|changed| changed == name))
            }
        };
        if forget && field.computed && field.default.is_none() {
            *member = Value::unknown();
        }
    }
}

/// Where a change replaces the resource.
pub(crate) fn replacements(fields: &[Attribute], prior: &Value, planned: &Value) -> Vec<Path> {
    let mut found = Vec::new();
    if !prior.is_null() && !planned.is_null() {
        collect_replacements(fields, prior, planned, &Path::root(), &mut found);
    }
    found
}

fn collect_replacements(
    fields: &[Attribute],
    prior: &Value,
    planned: &Value,
    path: &Path,
    found: &mut Vec<Path>,
) {
    for field in fields {
        let (before, after) = (prior.get(&field.name), planned.get(&field.name));
        if before == after {
            continue;
        }
        let place = path.attribute(&field.name);
        let replaces = match &field.replace {
            Replace::Never => false,
            Replace::Always => true,
            Replace::If(rule) => rule(before, after),
        };
        if replaces {
            found.push(place);
            continue;
        }
        let Some((_, inner)) = field.nested() else { continue };
        match (before, after) {
            (Value::Object(_), Value::Object(_)) => collect_replacements(inner, before, after, &place, found),
            (Value::List(before), Value::List(after)) => {
                for (index, (before, after)) in before.iter().zip(after).enumerate() {
                    collect_replacements(inner, before, after, &place.index(index), found);
                }
            }
            (Value::Map(before), Value::Map(after)) => {
                for (key, before) in before {
                    let Some(after) = after.get(key) else { continue };
                    collect_replacements(inner, before, after, &place.key(key), found);
                }
            }
            _ => {}
        }
    }
}

/// Puts the prior text back wherever a new value means the same.
pub(crate) fn keep_same_meaning(fields: &[Attribute], prior: &Value, new: &mut Value) {
    let Value::Object(members) = new else { return };
    for field in fields {
        let Some(member) = members.get_mut(&field.name) else { continue };
        let before = prior.get(&field.name);
        if field.means_same(before, member) {
            *member = before.clone();
            continue;
        }
        let Some((_, inner)) = field.nested() else { continue };
        match (member, before) {
            (object @ Value::Object(_), before) => keep_same_meaning(inner, before, object),
            (Value::List(elements), Value::List(before)) => {
                elements.iter_mut().zip(before).for_each(|(e, before)| keep_same_meaning(inner, before, e));
            }
            (Value::Map(entries), before) => keep_in_map(inner, before, entries),
            (Value::Set(elements), Value::Set(before)) => {
                elements.iter_mut().for_each(|element| keep_in_set(inner, before, element));
            }
            _ => {}
        }
    }
}

fn keep_in_map(inner: &[Attribute], before: &Value, entries: &mut BTreeMap<SmolStr, Value>) {
    for (key, entry) in entries {
        keep_same_meaning(inner, before.get(key), entry);
    }
}

fn keep_in_set(inner: &[Attribute], before: &[Value], element: &mut Value) {
    let same = before.iter().find(|candidate| {
        let mut merged = element.clone();
        keep_same_meaning(inner, candidate, &mut merged);
        merged == **candidate
    });
    if let Some(same) = same {
        *element = same.clone();
    }
}

#[cfg(test)]
mod tests;
