// SPDX-License-Identifier: MPL-2.0
//! Brings a value that a provider made into the exact form of a type: normalised text, sorted sets, all members
//! present. What cannot be brought there becomes null and is reported. Rules of the schema beyond types
//! (blocks, write-only) are in `schema/shape.rs`.

use std::collections::BTreeMap;

use unicode_normalization::{UnicodeNormalization, is_nfc};

use super::{CodecError, Path, Place, SmolStr, Type, TypedValue, Value, sorted};

/// The value in the form of `ty`; every deviation that loses something is added to `problems`.
///
/// Lists stand in for sets and the reverse, objects for maps and the reverse: nothing is lost by that.
pub(crate) fn conform(ty: &Type, value: Value, path: &Path, problems: &mut Vec<CodecError>) -> Value {
    conform_at(ty, value, &Place::Start(path), problems)
}

fn conform_at(ty: &Type, value: Value, path: &Place<'_>, problems: &mut Vec<CodecError>) -> Value {
    match (ty, value) {
        (_, Value::Null) => Value::Null,
        (_, Value::Unknown(refinements)) => Value::Unknown(refinements),
        (Type::String, Value::String(text)) => Value::String(normalised(text)),
        (Type::Bool, Value::Bool(truth)) => Value::Bool(truth),
        (Type::Number, Value::Number(number)) => Value::Number(number),
        (Type::List(of), Value::List(elements) | Value::Set(elements)) => Value::List(
            elements
                .into_iter()
                .enumerate()
                .map(|(i, e)| conform_at(of, e, &path.index(i), problems))
                .collect(),
        ),
        (Type::Set(of), Value::List(elements) | Value::Set(elements)) => {
            let element_path = path.set_element();
            Value::Set(sorted(
                elements
                    .into_iter()
                    .map(|element| conform_at(of, element, &element_path, problems))
                    .collect(),
            ))
        }
        (Type::Tuple(types), Value::List(elements)) if types.len() == elements.len() => Value::List(
            types
                .iter()
                .zip(elements)
                .enumerate()
                .map(|(i, (ty, element))| conform_at(ty, element, &path.index(i), problems))
                .collect(),
        ),
        (Type::Map(of), Value::Map(entries) | Value::Object(entries)) => {
            let entries = entries.into_iter().map(|(key, entry)| {
                let entry = conform_at(of, entry, &path.key(&key), problems);
                (normalised(key), entry)
            });
            Value::Map(entries.collect())
        }
        (Type::Object(types), Value::Object(members) | Value::Map(members)) => {
            Value::Object(conform_members(types, members, path, problems))
        }
        (Type::Dynamic, Value::Dynamic(typed)) => {
            let value = conform_at(&typed.ty, typed.value, path, problems);
            Value::Dynamic(Box::new(TypedValue { ty: typed.ty, value }))
        }
        (ty, value) => {
            let message = format!("found {}, expected {}", value.kind(), ty.friendly_name());
            problems.push(CodecError::new(path, message));
            Value::Null
        }
    }
}

fn conform_members(
    types: &BTreeMap<SmolStr, Type>,
    mut members: BTreeMap<SmolStr, Value>,
    path: &Place<'_>,
    problems: &mut Vec<CodecError>,
) -> BTreeMap<SmolStr, Value> {
    // Mostly nothing is missing and nothing is too much: then no map is built anew.
    if members.keys().eq(types.keys()) {
        for ((name, ty), member) in types.iter().zip(members.values_mut()) {
            let value = std::mem::replace(member, Value::Null);
            *member = conform_at(ty, value, &path.attribute(name), problems);
        }
        return members;
    }
    let mut conformed = BTreeMap::new();
    for (name, ty) in types {
        let place = path.attribute(name);
        let member = match members.remove(name) {
            Some(member) => conform_at(ty, member, &place, problems),
            None => {
                problems.push(CodecError::new(&place, "the attribute is missing"));
                Value::Null
            }
        };
        conformed.insert(name.clone(), member);
    }
    for name in members.into_keys() {
        problems.push(CodecError::new(
            path,
            format!("found the attribute {name:?}, which the schema does not have"),
        ));
    }
    conformed
}

/// Terraform compares text in Unicode normal form C.
fn normalised(text: SmolStr) -> SmolStr {
    if text.is_ascii() || is_nfc(&text) { text } else { text.nfc().collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ty: &Type, value: Value, wanted: &Value, problems: &[&str]) {
        let mut found = Vec::new();
        assert_eq!(conform(ty, value, &Path::root(), &mut found), *wanted);
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found, problems);
    }

    #[test]
    fn text_is_normalised_and_sets_are_sorted() {
        check(&Type::String, Value::from("e\u{301}"), &Value::from("\u{e9}"), &[]);
        let set = Value::list(["b", "a", "b"]);
        check(&Type::set(Type::String), set, &Value::set_of(["a", "b"]), &[]);
    }

    #[test]
    fn containers_stand_in_for_each_other() {
        check(&Type::map(Type::Bool), Value::object([("k", true)]), &Value::map([("k", true)]), &[]);
        check(&Type::list(Type::Bool), Value::set_of([true]), &Value::list([true]), &[]);
    }

    #[test]
    fn what_does_not_fit_becomes_null_and_is_reported() {
        let ty = Type::object([("a", Type::Number), ("b", Type::Bool)]);
        let value = Value::object([("a", Value::from("text")), ("c", Value::Null)]);
        let wanted = Value::object([("a", Value::Null), ("b", Value::Null)]);
        let problems = [
            "at a: found a string, expected number",
            "at b: the attribute is missing",
            "at the value itself: found the attribute \"c\", which the schema does not have",
        ];
        check(&ty, value, &wanted, &problems);
    }
}
