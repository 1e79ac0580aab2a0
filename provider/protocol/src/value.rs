// SPDX-License-Identifier: MPL-2.0
//! The value tree: what a configuration, a state or a plan is made of. Types, exact numbers, places and
//! refinements are in the submodules; so are the wire forms. What a value *means* is up to the schema.

mod codec_error;
pub(crate) mod conform;
pub(crate) mod json;
pub(crate) mod msgpack;
mod number;
mod path;
mod reader;
mod refinements;
mod types;

use std::cmp::Ordering;
use std::collections::BTreeMap;

pub use codec_error::CodecError;
pub use number::{Number, ParseNumberError};
pub(crate) use path::Place;
pub use path::{Path, Step};
pub use reader::{Decode, Encode, Known, Reader};
pub use refinements::{Bounds, Refinements};
/// Text of values and names of members: short ones (up to 23 bytes) take no allocation, and copies of long ones share it. Most
/// of what a provider does to a value tree is copying it.
pub use smol_str::SmolStr;
pub use types::Type;

use crate::diagnostic::Diagnostic;

/// A value of the Terraform language.
///
/// Equality and order look at meaning: numbers by value, sets without order and without duplicates.
#[derive(Clone, Debug)]
pub enum Value {
    /// No value.
    Null,
    /// A value that is not known before apply. Can stand at every level of a tree.
    Unknown(Refinements),
    /// Truth value.
    Bool(bool),
    /// Text.
    String(SmolStr),
    /// Exact decimal number.
    Number(Number),
    /// Elements in order: a list or a tuple.
    List(Vec<Value>),
    /// Distinct elements without order.
    Set(Vec<Value>),
    /// Entries of one type.
    Map(BTreeMap<SmolStr, Value>),
    /// Members by name: an object, a nested attribute, a block, a whole resource.
    Object(BTreeMap<SmolStr, Value>),
    /// A value that brings its own type; only where the schema says [`Type::Dynamic`].
    Dynamic(Box<TypedValue>),
}

/// A value together with its type, for [`Type::Dynamic`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TypedValue {
    /// The type of `value`.
    pub ty: Type,
    /// The value itself.
    pub value: Value,
}

static NULL: Value = Value::Null;

impl Value {
    /// An unknown value of which nothing is promised.
    pub fn unknown() -> Value {
        Value::Unknown(Refinements::none())
    }

    /// An object with these members.
    pub fn object<K: Into<SmolStr>, V: Into<Value>>(members: impl IntoIterator<Item = (K, V)>) -> Value {
        Value::Object(members.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }

    /// A map with these entries.
    pub fn map<K: Into<SmolStr>, V: Into<Value>>(entries: impl IntoIterator<Item = (K, V)>) -> Value {
        Value::Map(entries.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }

    /// A list of these elements.
    pub fn list<V: Into<Value>>(elements: impl IntoIterator<Item = V>) -> Value {
        Value::List(elements.into_iter().map(Into::into).collect())
    }

    /// A set of these elements: sorted, duplicates of known ones removed.
    pub fn set_of<V: Into<Value>>(elements: impl IntoIterator<Item = V>) -> Value {
        Value::Set(sorted(elements.into_iter().map(Into::into).collect()))
    }

    /// Any [`Encode`] as a value.
    pub fn from_encode(source: &impl Encode) -> Value {
        source.encode()
    }

    /// Whether this is null.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// Whether this value itself is unknown. Parts of it may be unknown either way.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Value::Unknown(_))
    }

    /// Whether nothing anywhere inside is unknown.
    pub fn is_wholly_known(&self) -> bool {
        match self {
            Value::Unknown(_) => false,
            Value::Null | Value::Bool(_) | Value::String(_) | Value::Number(_) => true,
            Value::List(elements) | Value::Set(elements) => elements.iter().all(Value::is_wholly_known),
            Value::Map(members) | Value::Object(members) => members.values().all(Value::is_wholly_known),
            Value::Dynamic(typed) => typed.value.is_wholly_known(),
        }
    }

    /// The text, when this is a known string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The truth value, when this is a known bool.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(truth) => Some(*truth),
            _ => None,
        }
    }

    /// The number, when this is a known number.
    pub fn as_number(&self) -> Option<&Number> {
        match self {
            Value::Number(number) => Some(number),
            _ => None,
        }
    }

    /// The elements of a known list or set.
    pub fn elements(&self) -> Option<&[Value]> {
        match self {
            Value::List(elements) | Value::Set(elements) => Some(elements),
            _ => None,
        }
    }

    /// The members of a known object, or the entries of a known map.
    pub fn members(&self) -> Option<&BTreeMap<SmolStr, Value>> {
        match self {
            Value::Map(members) | Value::Object(members) => Some(members),
            _ => None,
        }
    }

    /// The member `name`; null when it is absent or this is no known object.
    pub fn get(&self, name: &str) -> &Value {
        self.members().and_then(|members| members.get(name)).unwrap_or(&NULL)
    }

    /// The value at `path`. `None` when there is no such place; an element of a set has no place of its own.
    pub fn at(&self, path: &Path) -> Option<&Value> {
        path.steps().iter().try_fold(self, |value, step| match step {
            Step::Attribute(name) | Step::Key(name) => value.members()?.get(name.as_str()),
            Step::Index(index) => value.elements()?.get(*index),
            Step::SetElement => None,
        })
    }

    /// Sets the member `name` of an object or map; does nothing to any other value.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) {
        if let Value::Map(members) | Value::Object(members) = self {
            members.insert(name.into(), value.into());
        }
    }

    /// Typed access to the members of this object.
    ///
    /// # Errors
    /// When this is null, unknown, or no object.
    pub fn reader(&self) -> Result<Reader<'_>, Diagnostic> {
        self.reader_at(Path::root())
    }

    /// Typed access to the members of this object, which stands at `path`.
    ///
    /// # Errors
    /// When this is null, unknown, or no object.
    pub fn reader_at(&self, path: Path) -> Result<Reader<'_>, Diagnostic> {
        Reader::decode(self, &path)
    }

    /// What kind of value this is, for messages. Never the value itself, which may be secret.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Unknown(_) => "a value not known yet",
            Value::Bool(_) => "a bool",
            Value::String(_) => "a string",
            Value::Number(_) => "a number",
            Value::List(_) => "a list",
            Value::Set(_) => "a set",
            Value::Map(_) => "a map",
            Value::Object(_) => "an object",
            Value::Dynamic(_) => "a value of dynamic type",
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Value::Null => 0,
            Value::Unknown(_) => 1,
            Value::Bool(_) => 2,
            Value::String(_) => 3,
            Value::Number(_) => 4,
            Value::List(_) => 5,
            Value::Set(_) => 6,
            Value::Map(_) => 7,
            Value::Object(_) => 8,
            Value::Dynamic(_) => 9,
        }
    }
}

/// Elements in their fixed order, each known one once. Two elements that are not wholly known may still become
/// different ones, so both stay.
pub(crate) fn sorted(mut elements: Vec<Value>) -> Vec<Value> {
    elements.sort();
    elements.dedup_by(|left, right| left == right && left.is_wholly_known());
    elements
}

fn sorted_refs(elements: &[Value]) -> Vec<&Value> {
    let mut refs: Vec<&Value> = elements.iter().collect();
    refs.sort();
    refs.dedup_by(|left, right| left == right && left.is_wholly_known());
    refs
}

impl Ord for Value {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Value::Null, Value::Null) => Ordering::Equal,
            (Value::Unknown(left), Value::Unknown(right)) => left.cmp(right),
            (Value::Bool(left), Value::Bool(right)) => left.cmp(right),
            (Value::String(left), Value::String(right)) => left.cmp(right),
            (Value::Number(left), Value::Number(right)) => left.cmp(right),
            (Value::List(left), Value::List(right)) => left.cmp(right),
            (Value::Set(left), Value::Set(right)) => sorted_refs(left).cmp(&sorted_refs(right)),
            (Value::Map(left), Value::Map(right)) | (Value::Object(left), Value::Object(right)) => {
                left.cmp(right)
            }
            (Value::Dynamic(left), Value::Dynamic(right)) => left.cmp(right),
            (left, right) => left.rank().cmp(&right.rank()),
        }
    }
}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Value {}

macro_rules! value_from {
    ($($source:ty => |$name:ident| $value:expr),* $(,)?) => {
        $(impl From<$source> for Value {
            fn from($name: $source) -> Self {
                $value
            }
        })*
    };
}

value_from! {
    bool => |truth| Value::Bool(truth),
    &str => |text| Value::String(text.into()),
    String => |text| Value::String(text.into()),
    &String => |text| Value::String(text.into()),
    SmolStr => |text| Value::String(text),
    &SmolStr => |text| Value::String(text.clone()),
    Number => |number| Value::Number(number),
    i32 => |number| Value::Number(Number::from(i64::from(number))),
    i64 => |number| Value::Number(Number::from(number)),
    u16 => |number| Value::Number(Number::from(u64::from(number))),
    u32 => |number| Value::Number(Number::from(u64::from(number))),
    u64 => |number| Value::Number(Number::from(number)),
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(source: Option<T>) -> Self {
        source.map_or(Value::Null, Into::into)
    }
}

impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(source: Vec<T>) -> Self {
        Value::list(source)
    }
}

impl<T: Into<Value>> From<BTreeMap<String, T>> for Value {
    fn from(source: BTreeMap<String, T>) -> Self {
        Value::map(source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_compare_without_order_and_lists_with() {
        let forward = vec![Value::from("a"), Value::from("b")];
        let backward = vec![Value::from("b"), Value::from("a"), Value::from("b")];
        assert_eq!(Value::Set(forward.clone()), Value::Set(backward.clone()));
        assert_ne!(Value::List(forward.clone()), Value::List(backward));
        assert_ne!(Value::List(forward.clone()), Value::Set(forward));
    }

    #[test]
    fn unknown_set_elements_are_not_duplicates() {
        let two = Value::set_of([Value::unknown(), Value::from("a"), Value::unknown(), Value::from("a")]);
        assert_eq!(two.elements().unwrap().len(), 3);
        assert_ne!(two, Value::set_of([Value::unknown(), Value::from("a")]));
    }

    #[test]
    fn members_are_read_and_set_by_name() {
        let mut value = Value::object([("a", Value::list([1_i64, 2])), ("b", Value::Null)]);
        value.set("b", "text");
        assert_eq!(value.get("b").as_str(), Some("text"));
        assert_eq!(value.get("absent"), &Value::Null);
        assert_eq!(value.at(&Path::of("a").index(1)), Some(&Value::from(2_i64)));
        assert_eq!(value.at(&Path::of("a").index(2)), None);
    }

    #[test]
    fn unknowns_are_found_at_every_level() {
        let inner = Value::object([("x", Value::Set(vec![Value::unknown()]))]);
        assert!(!inner.is_wholly_known());
        assert!(!inner.is_unknown());
        assert!(Value::object([("x", Value::Null)]).is_wholly_known());
    }
}
