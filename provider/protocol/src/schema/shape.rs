// SPDX-License-Identifier: MPL-2.0
//! The rules of a schema that its type does not express: blocks are empty rather than null, write-only values
//! are null. Types themselves are brought into form in `value/conform.rs`.

use std::collections::BTreeMap;

use super::{Attribute, Kind, Nesting};
use crate::value::{Path, Place, Value};

/// Every attribute null, every block empty.
pub(crate) fn empty_object(fields: &[Attribute]) -> Value {
    Value::Object(fields.iter().map(|field| (field.name.clone(), empty_value(field))).collect())
}

fn empty_value(field: &Attribute) -> Value {
    match &field.kind {
        Kind::Block { nesting: Nesting::List, .. } => Value::List(Vec::new()),
        Kind::Block { nesting: Nesting::Set, .. } => Value::Set(Vec::new()),
        Kind::Block { nesting: Nesting::Map, .. } => Value::Map(BTreeMap::new()),
        Kind::Block { nesting: Nesting::Single, .. } | Kind::Nested { .. } | Kind::Plain(_) => Value::Null,
    }
}

/// Puts empty collections where repeated blocks are null or absent.
pub(crate) fn with_blocks(fields: &[Attribute], value: &mut Value) {
    let Value::Object(members) = value else { return };
    for field in fields.iter().filter(|field| field.is_block()) {
        let member = members.entry(field.name.clone()).or_insert(Value::Null);
        if member.is_null() {
            *member = empty_value(field);
        }
        if let Some((_, inner)) = field.nested() {
            each_object(member, &mut |object| with_blocks(inner, object));
        }
    }
}

/// Sets every write-only value to null. The one place that does so.
///
/// Returns whether any of them held something.
pub(crate) fn forget_write_only(fields: &[Attribute], value: &mut Value) -> bool {
    let Value::Object(members) = value else { return false };
    let mut held = false;
    for field in fields {
        let Some(member) = members.get_mut(&field.name) else { continue };
        if field.write_only {
            held |= !member.is_null();
            *member = Value::Null;
        } else if let Some((_, inner)) = field.nested() {
            each_object(member, &mut |object| held |= forget_write_only(inner, object));
        }
    }
    held
}

/// Where write-only values are set, known or not.
pub(crate) fn write_only_paths(fields: &[Attribute], value: &Value) -> Vec<Path> {
    let mut found = Vec::new();
    collect_write_only(fields, value, &Place::Start(&Path::root()), &mut found);
    found
}

fn collect_write_only(fields: &[Attribute], value: &Value, path: &Place<'_>, found: &mut Vec<Path>) {
    for field in fields {
        let (member, place) = (value.get(&field.name), path.attribute(&field.name));
        if field.write_only && !member.is_null() {
            found.push((&place).into());
            continue;
        }
        let Some((nesting, inner)) = field.nested() else { continue };
        match (nesting, member) {
            (Nesting::Single, object) => collect_write_only(inner, object, &place, found),
            (_, Value::List(elements)) => {
                let elements = elements.iter().enumerate();
                elements.for_each(|(i, element)| collect_write_only(inner, element, &place.index(i), found));
            }
            (_, Value::Map(entries)) => {
                entries
                    .iter()
                    .for_each(|(key, entry)| collect_write_only(inner, entry, &place.key(key), found));
            }
            // Write-only is not allowed inside sets.
            _ => {}
        }
    }
}

/// Visits the object, or each object of the collection.
fn each_object(value: &mut Value, visit: &mut impl FnMut(&mut Value)) {
    match value {
        Value::Object(_) => visit(value),
        Value::List(elements) | Value::Set(elements) => elements.iter_mut().for_each(visit),
        Value::Map(entries) => entries.values_mut().for_each(visit),
        Value::Null
        | Value::Unknown(_)
        | Value::Bool(_)
        | Value::String(_)
        | Value::Number(_)
        | Value::Dynamic(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Schema;

    fn schema() -> Schema {
        Schema::new().attributes([
            Attribute::string("token_wo").optional().write_only(),
            Attribute::list_nested("users", vec![Attribute::string("secret").optional().write_only()])
                .optional(),
            Attribute::list_block("disk", vec![Attribute::set_block("tag", vec![])]),
            Attribute::single_block("ssh", vec![]),
        ])
    }

    #[test]
    fn null_blocks_become_empty() {
        let mut value = Value::object([("disk", Value::list([Value::object([("tag", Value::Null)])]))]);
        with_blocks(schema().fields(), &mut value);
        let disk = Value::list([Value::object([("tag", Value::Set(vec![]))])]);
        assert_eq!(value, Value::object([("disk", disk), ("ssh", Value::Null)]));
        assert_eq!(schema().null_object().get("disk"), &Value::List(vec![]));
    }

    #[test]
    fn write_only_values_are_found_and_forgotten() {
        let users = Value::list([Value::object([("secret", "s")]), Value::object([("secret", Value::Null)])]);
        let mut value = Value::object([("token_wo", Value::unknown()), ("users", users)]);
        let fields = schema();
        let paths: Vec<String> =
            write_only_paths(fields.fields(), &value).iter().map(ToString::to_string).collect();
        assert_eq!(paths, ["token_wo", "users[0].secret"]);
        assert!(forget_write_only(fields.fields(), &mut value));
        assert!(write_only_paths(fields.fields(), &value).is_empty());
        assert!(!forget_write_only(fields.fields(), &mut value));
    }
}
