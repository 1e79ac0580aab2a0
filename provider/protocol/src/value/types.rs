// SPDX-License-Identifier: MPL-2.0
//! The types of the Terraform language and their JSON notation.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use smol_str::SmolStr;

/// A type of the Terraform language.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Type {
    /// Unicode text.
    String,
    /// Exact decimal number.
    Number,
    /// Truth value.
    Bool,
    /// Any type; the value brings its own. Not allowed inside sets.
    Dynamic,
    /// Ordered elements of one type.
    List(Box<Type>),
    /// Unordered distinct elements of one type.
    Set(Box<Type>),
    /// Entries of one type by text key.
    Map(Box<Type>),
    /// Fixed members, each with a type.
    Object(BTreeMap<SmolStr, Type>),
    /// Fixed elements, each with a type.
    Tuple(Vec<Type>),
}

impl Type {
    /// A list of `of`.
    pub fn list(of: Type) -> Type {
        Type::List(Box::new(of))
    }

    /// A set of `of`.
    pub fn set(of: Type) -> Type {
        Type::Set(Box::new(of))
    }

    /// A map of `of`.
    pub fn map(of: Type) -> Type {
        Type::Map(Box::new(of))
    }

    /// An object with these members.
    pub fn object<K: Into<SmolStr>>(members: impl IntoIterator<Item = (K, Type)>) -> Type {
        Type::Object(members.into_iter().map(|(name, ty)| (name.into(), ty)).collect())
    }

    /// The JSON notation of the protocol, such as `["list","string"]`.
    pub fn to_json(&self) -> String {
        self.json().to_string()
    }

    fn json(&self) -> Json {
        match self {
            Type::String => json!("string"),
            Type::Number => json!("number"),
            Type::Bool => json!("bool"),
            Type::Dynamic => json!("dynamic"),
            Type::List(of) => json!(["list", of.json()]),
            Type::Set(of) => json!(["set", of.json()]),
            Type::Map(of) => json!(["map", of.json()]),
            Type::Object(members) => {
                let members: serde_json::Map<String, Json> =
                    members.iter().map(|(name, ty)| (name.to_string(), ty.json())).collect();
                json!(["object", members])
            }
            Type::Tuple(elements) => {
                let elements: Vec<Json> = elements.iter().map(Type::json).collect();
                json!(["tuple", elements])
            }
        }
    }

    /// Reads the JSON notation. `None` when the text is not one.
    pub fn from_json(text: &[u8]) -> Option<Type> {
        Self::from_json_value(&serde_json::from_slice(text).ok()?)
    }

    fn from_json_value(json: &Json) -> Option<Type> {
        let parts = match json {
            Json::String(name) => {
                return match name.as_str() {
                    "string" => Some(Type::String),
                    "number" => Some(Type::Number),
                    "bool" => Some(Type::Bool),
                    "dynamic" => Some(Type::Dynamic),
                    _ => None,
                };
            }
            Json::Array(parts) => parts,
            _ => return None,
        };
        let of = parts.get(1)?;
        match parts.first()?.as_str()? {
            "list" => Some(Type::list(Self::from_json_value(of)?)),
            "set" => Some(Type::set(Self::from_json_value(of)?)),
            "map" => Some(Type::map(Self::from_json_value(of)?)),
            "tuple" => {
                of.as_array()?.iter().map(Self::from_json_value).collect::<Option<_>>().map(Type::Tuple)
            }
            "object" => of
                .as_object()?
                .iter()
                .map(|(name, ty)| Some((name.into(), Self::from_json_value(ty)?)))
                .collect::<Option<_>>()
                .map(Type::Object),
            _ => None,
        }
    }

    /// The name used in messages: `string`, `list of number`, `object` …
    pub fn friendly_name(&self) -> String {
        match self {
            Type::String => "string".to_owned(),
            Type::Number => "number".to_owned(),
            Type::Bool => "bool".to_owned(),
            Type::Dynamic => "any value".to_owned(),
            Type::List(of) => format!("list of {}", of.friendly_name()),
            Type::Set(of) => format!("set of {}", of.friendly_name()),
            Type::Map(of) => format!("map of {}", of.friendly_name()),
            Type::Object(_) => "object".to_owned(),
            Type::Tuple(_) => "tuple".to_owned(),
        }
    }

    pub(crate) fn contains_dynamic(&self) -> bool {
        match self {
            Type::Dynamic => true,
            Type::String | Type::Number | Type::Bool => false,
            Type::List(of) | Type::Set(of) | Type::Map(of) => of.contains_dynamic(),
            Type::Object(members) => members.values().any(Type::contains_dynamic),
            Type::Tuple(elements) => elements.iter().any(Type::contains_dynamic),
        }
    }

    /// Whether a dynamic type stands anywhere inside a set, which core refuses.
    pub(crate) fn has_dynamic_in_set(&self) -> bool {
        match self {
            Type::String | Type::Number | Type::Bool | Type::Dynamic => false,
            Type::Set(of) => of.contains_dynamic(),
            Type::List(of) | Type::Map(of) => of.has_dynamic_in_set(),
            Type::Object(members) => members.values().any(Type::has_dynamic_in_set),
            Type::Tuple(elements) => elements.iter().any(Type::has_dynamic_in_set),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_notation_round_trips() {
        let ty = Type::object([
            ("name", Type::String),
            ("sizes", Type::list(Type::Number)),
            ("tags", Type::map(Type::set(Type::Bool))),
            ("pair", Type::Tuple(vec![Type::Dynamic, Type::String])),
        ]);
        assert_eq!(Type::from_json(ty.to_json().as_bytes()), Some(ty));
        assert_eq!(Type::list(Type::String).to_json(), r#"["list","string"]"#);
    }

    #[test]
    fn other_json_is_no_type() {
        for text in ["", "1", "\"text\"", "[\"list\"]", "[\"object\",[]]", "[[]]", "{}"] {
            assert_eq!(Type::from_json(text.as_bytes()), None, "{text}");
        }
    }
}
