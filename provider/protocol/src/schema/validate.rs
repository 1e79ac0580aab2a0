// SPDX-License-Identifier: MPL-2.0
//! Runs the validators of a schema over a configuration. Rules between attributes are the resource's own.

use super::{Attribute, Nesting};
use crate::diagnostic::Diagnostics;
use crate::value::{Path, Place, Value};

/// Checks every known, non-null value against the validators of its attribute.
pub(crate) fn validate_fields(fields: &[Attribute], value: &Value, path: &Path, found: &mut Diagnostics) {
    validate_below(fields, value, &Place::Start(path), found);
}

fn validate_below(fields: &[Attribute], value: &Value, path: &Place<'_>, found: &mut Diagnostics) {
    for field in fields {
        let (member, place) = (value.get(&field.name), path.attribute(&field.name));
        if member.is_null() || member.is_unknown() {
            continue;
        }
        if !field.validators.is_empty() {
            let path = Path::from(&place);
            field.validators.iter().for_each(|check| check(member, &path, found));
        }
        let Some((nesting, inner)) = field.nested() else { continue };
        match (nesting, member) {
            (Nesting::Single, object) => validate_below(inner, object, &place, found),
            (_, Value::List(elements)) => {
                let elements = elements.iter().enumerate();
                elements.for_each(|(i, element)| validate_below(inner, element, &place.index(i), found));
            }
            (_, Value::Set(elements)) => {
                elements
                    .iter()
                    .for_each(|element| validate_below(inner, element, &place.set_element(), found));
            }
            (_, Value::Map(entries)) => {
                entries.iter().for_each(|(key, entry)| validate_below(inner, entry, &place.key(key), found));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn validators_see_known_values_at_every_level() {
        let mode = || Attribute::string("mode").optional().one_of(&["async", "sync"]);
        let fields = [
            mode(),
            Attribute::list_nested("peers", vec![mode()]).optional(),
            Attribute::set_nested("tags", vec![mode()]).optional(),
            Attribute::map_nested("sites", vec![mode()]).optional(),
        ];
        let bad = || Value::object([("mode", "synk")]);
        let later = || Value::object([("mode", Value::unknown())]);
        let value = Value::object([
            ("mode", Value::from("sync")),
            ("peers", Value::list([later(), bad()])),
            ("tags", Value::set_of([bad()])),
            ("sites", Value::map([("a", bad()), ("b", Value::unknown())])),
        ]);
        let mut found = Diagnostics::new();
        validate_fields(&fields, &value, &Path::root(), &mut found);
        let places: Vec<String> = found.iter().map(|d| d.path.as_ref().unwrap().to_string()).collect();
        assert_eq!(places, ["peers[1].mode", "tags[*].mode", "sites[\"a\"].mode"]);
        let first = &found.iter().next().unwrap().detail;
        assert!(first.contains("one of \"async\", \"sync\". Did you mean \"sync\"?"), "{first}");
    }
}
