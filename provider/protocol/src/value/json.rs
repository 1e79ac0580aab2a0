// SPDX-License-Identifier: MPL-2.0
//! State as Terraform stores it, JSON, to values, driven by the type of the time. Number texts are taken as they
//! stand, never through a float. Writing JSON is not needed: answers travel as MessagePack.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::{CodecError, Number, Path, SmolStr, Type, TypedValue, Value, sorted};

/// Dynamic values inside dynamic values, at most; every other nesting is bounded by the type.
const DYNAMIC_DEPTH_MAX: usize = 32;

/// Decodes JSON as a value of type `ty`. Members of an object that the type does not have are left out, and
/// members that the text does not have are null: a state may be older than the type that reads it.
pub(crate) fn decode(ty: &Type, text: &str) -> Result<Value, CodecError> {
    value(ty, text, &Path::root(), 0)
}

fn value(ty: &Type, text: &str, path: &Path, depth: usize) -> Result<Value, CodecError> {
    let text = text.trim();
    if text == "null" {
        return Ok(Value::Null);
    }
    match ty {
        Type::String => parse::<String>(ty, text, path).map(Value::from),
        Type::Bool => parse(ty, text, path).map(Value::Bool),
        Type::Number => number(text, path).map(Value::Number),
        Type::List(of) => elements(of, ty, text, path, depth).map(Value::List),
        Type::Set(of) => elements(of, ty, text, path, depth).map(sorted).map(Value::Set),
        Type::Map(of) => {
            let entries: BTreeMap<String, &RawValue> = parse(ty, text, path)?;
            let decode = |(key, raw): (String, &RawValue)| {
                let entry = value(of, raw.get(), &path.key(&key), depth)?;
                Ok((key.into(), entry))
            };
            entries.into_iter().map(decode).collect::<Result<_, _>>().map(Value::Map)
        }
        Type::Object(types) => {
            let members: BTreeMap<String, &RawValue> = parse(ty, text, path)?;
            let decode = |(name, ty): (&SmolStr, &Type)| {
                let member = match members.get(name.as_str()) {
                    Some(raw) => value(ty, raw.get(), &path.attribute(name), depth)?,
                    None => Value::Null,
                };
                Ok((name.clone(), member))
            };
            types.iter().map(decode).collect::<Result<_, _>>().map(Value::Object)
        }
        Type::Tuple(types) => tuple(types, ty, text, path, depth),
        Type::Dynamic => dynamic(text, path, depth),
    }
}

fn parse<'t, T: serde::Deserialize<'t>>(ty: &Type, text: &'t str, path: &Path) -> Result<T, CodecError> {
    serde_json::from_str(text).map_err(|error| {
        // The error's own text can quote the value, which may be secret; its category and place do not.
        let found = match error.classify() {
            serde_json::error::Category::Data => "another kind of value",
            serde_json::error::Category::Io
            | serde_json::error::Category::Syntax
            | serde_json::error::Category::Eof => "text that is not JSON",
        };
        CodecError::new(path, format!("found {found}, expected {}", ty.friendly_name()))
    })
}

fn number(text: &str, path: &Path) -> Result<Number, CodecError> {
    // Terraform writes numbers plain; a quoted one comes from a state that was edited by a script.
    let digits = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    Number::parse(digits).map_err(|_| CodecError::new(path, "found another kind of value, expected number"))
}

fn elements(of: &Type, ty: &Type, text: &str, path: &Path, depth: usize) -> Result<Vec<Value>, CodecError> {
    let raw: Vec<&RawValue> = parse(ty, text, path)?;
    let place = |index: usize| match ty {
        Type::Set(_) => path.set_element(),
        _ => path.index(index),
    };
    raw.iter().enumerate().map(|(index, raw)| value(of, raw.get(), &place(index), depth)).collect()
}

fn tuple(types: &[Type], ty: &Type, text: &str, path: &Path, depth: usize) -> Result<Value, CodecError> {
    let raw: Vec<&RawValue> = parse(ty, text, path)?;
    if raw.len() != types.len() {
        let message = format!("found {} elements, expected {}", raw.len(), types.len());
        return Err(CodecError::new(path, message));
    }
    let decode =
        |(index, (ty, raw)): (usize, (&Type, &&RawValue))| value(ty, raw.get(), &path.index(index), depth);
    types.iter().zip(&raw).enumerate().map(decode).collect::<Result<_, _>>().map(Value::List)
}

/// `{"type": …, "value": …}`
fn dynamic(text: &str, path: &Path, depth: usize) -> Result<Value, CodecError> {
    if depth >= DYNAMIC_DEPTH_MAX {
        return Err(CodecError::new(path, "values of dynamic type are nested too deeply"));
    }
    let parts: BTreeMap<String, &RawValue> = parse(&Type::Dynamic, text, path)?;
    let ty = parts.get("type").and_then(|raw| Type::from_json(raw.get().as_bytes()));
    match (ty, parts.get("value")) {
        (Some(ty), Some(raw)) => {
            let value = value(&ty, raw.get(), path, depth + 1)?;
            Ok(Value::Dynamic(Box::new(TypedValue { ty, value })))
        }
        _ => Err(CodecError::new(path, "found no type and value, expected a value of dynamic type")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_survive() {
        let ty = Type::object([("n", Type::list(Type::Number))]);
        let text =
            r#"{"n":[12345678901234567890123, 0.1, 7227701560655103598, 9007199254740993, -1, 0, 1e30]}"#;
        let value = decode(&ty, text).unwrap();
        let texts: Vec<String> =
            value.get("n").elements().unwrap().iter().map(|n| n.as_number().unwrap().to_string()).collect();
        let large = format!("1{}", "0".repeat(30));
        let wanted =
            ["12345678901234567890123", "0.1", "7227701560655103598", "9007199254740993", "-1", "0", &large];
        assert_eq!(texts, wanted);
    }

    #[test]
    fn older_and_newer_members_are_tolerated() {
        let ty = Type::object([("kept", Type::String), ("new", Type::String)]);
        let value = decode(&ty, r#"{"kept":"k","gone":[1,{"x":2}]}"#).unwrap();
        assert_eq!(value, Value::object([("kept", Value::from("k")), ("new", Value::Null)]));
    }

    #[test]
    fn every_type_is_read() {
        let ty = Type::object([
            ("m", Type::map(Type::Bool)),
            ("s", Type::set(Type::String)),
            ("t", Type::Tuple(vec![Type::Bool, Type::String])),
            ("d", Type::Dynamic),
        ]);
        let text = r#"{"m":{"a":true},"s":["b","a","b"],"t":[false,"x"],"d":{"type":"number","value":1}}"#;
        let value = decode(&ty, text).unwrap();
        assert_eq!(value.get("s"), &Value::set_of(["a", "b"]));
        assert_eq!(value.get("m"), &Value::map([("a", true)]));
        let typed = TypedValue { ty: Type::Number, value: Value::from(1_i64) };
        assert_eq!(value.get("d"), &Value::Dynamic(Box::new(typed)));
    }

    #[test]
    fn errors_name_the_place_and_never_the_value() {
        let ty = Type::object([("a", Type::list(Type::Bool))]);
        let error = decode(&ty, r#"{"a":[true,"hunter2"]}"#).unwrap_err();
        assert_eq!(error.to_string(), "at a[1]: found another kind of value, expected bool");
        assert!(decode(&ty, "{").unwrap_err().message.contains("not JSON"));
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in ".{0,80}") {
            let ty = Type::object([("a", Type::set(Type::Number)), ("d", Type::Dynamic)]);
            let _ = decode(&ty, &text);
            let _ = decode(&Type::Number, &text);
        }
    }
}
