// SPDX-License-Identifier: MPL-2.0
//! Typed access to values, with errors that carry their place: `Decode`, `Encode`, `Known`, `Reader`.

use std::collections::BTreeMap;

use super::{Number, Path, SmolStr, Value};
use crate::diagnostic::Diagnostic;

/// A value that may be null or not known yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known<T> {
    /// Not set.
    Null,
    /// Set, but not known before apply.
    Unknown,
    /// Set and known.
    Known(T),
}

impl<T> Known<T> {
    /// The value, when it is known.
    pub fn known(self) -> Option<T> {
        match self {
            Known::Known(value) => Some(value),
            Known::Null | Known::Unknown => None,
        }
    }

    /// Whether the value is not known yet.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Known::Unknown)
    }

    /// Whether nothing is set.
    pub fn is_null(&self) -> bool {
        matches!(self, Known::Null)
    }

    /// The same with another value inside.
    pub fn map<U>(self, with: impl FnOnce(T) -> U) -> Known<U> {
        match self {
            Known::Null => Known::Null,
            Known::Unknown => Known::Unknown,
            Known::Known(value) => Known::Known(with(value)),
        }
    }
}

/// A Rust type that a value can be read into.
pub trait Decode<'v>: Sized {
    /// Reads `value`, which stands at `path`.
    ///
    /// # Errors
    /// A diagnostic at `path`, or below it, that says what was found and what was expected.
    fn decode(value: &'v Value, path: &Path) -> Result<Self, Diagnostic>;
}

/// A Rust type that can be written as a value.
pub trait Encode {
    /// The value.
    fn encode(&self) -> Value;
}

fn mismatch(value: &Value, path: &Path, expected: &str) -> Diagnostic {
    let place = if path.is_root() { "The value".to_owned() } else { format!("The attribute {path}") };
    match value {
        Value::Null => {
            Diagnostic::error("Missing value", format!("{place} is not set; {expected} is needed."))
        }
        Value::Unknown(_) => Diagnostic::error(
            "Value not known yet",
            format!(
                "{place} depends on something that is known only after apply, but {expected} is needed now. \
                 Apply what it depends on first (terraform apply -target=…), or use a fixed value."
            ),
        ),
        _ => Diagnostic::error(
            "Wrong kind of value",
            format!("{place} is {}; {expected} is needed.", value.kind()),
        ),
    }
    .at(path.clone())
}

impl<'v> Decode<'v> for &'v Value {
    fn decode(value: &'v Value, _path: &Path) -> Result<Self, Diagnostic> {
        Ok(value)
    }
}

impl<'v> Decode<'v> for Value {
    fn decode(value: &'v Value, _path: &Path) -> Result<Self, Diagnostic> {
        Ok(value.clone())
    }
}

impl<'v> Decode<'v> for &'v str {
    fn decode(value: &'v Value, path: &Path) -> Result<Self, Diagnostic> {
        value.as_str().ok_or_else(|| mismatch(value, path, "a string"))
    }
}

impl<'v> Decode<'v> for String {
    fn decode(value: &'v Value, path: &Path) -> Result<Self, Diagnostic> {
        <&str>::decode(value, path).map(str::to_owned)
    }
}

impl<'v> Decode<'v> for bool {
    fn decode(value: &'v Value, path: &Path) -> Result<Self, Diagnostic> {
        value.as_bool().ok_or_else(|| mismatch(value, path, "a bool"))
    }
}

impl<'v> Decode<'v> for Number {
    fn decode(value: &'v Value, path: &Path) -> Result<Self, Diagnostic> {
        value.as_number().cloned().ok_or_else(|| mismatch(value, path, "a number"))
    }
}

impl<'v> Decode<'v> for f64 {
    fn decode(value: &'v Value, path: &Path) -> Result<Self, Diagnostic> {
        Number::decode(value, path).map(|number| number.to_f64())
    }
}

macro_rules! decode_integer {
    ($($ty:ty: $convert:ident),* $(,)?) => {
        $(impl<'v> Decode<'v> for $ty {
            fn decode(value: &'v Value, path: &Path) -> Result<Self, Diagnostic> {
                let number = value.as_number().ok_or_else(|| mismatch(value, path, "a whole number"))?;
                let fitting = number.$convert().and_then(|wide| <$ty>::try_from(wide).ok());
                fitting.ok_or_else(|| out_of_range(number, path, <$ty>::MIN.to_string(), <$ty>::MAX.to_string()))
            }
        })*
    };
}

decode_integer! { i32: to_i64, i64: to_i64, u16: to_u64, u32: to_u64, u64: to_u64, usize: to_u64 }

fn out_of_range(number: &Number, path: &Path, min: String, max: String) -> Diagnostic {
    let detail = format!("The attribute {path} is {number}; a whole number from {min} to {max} is needed.");
    Diagnostic::error("Number out of range", detail).at(path.clone())
}

impl<'v, T: Decode<'v>> Decode<'v> for Option<T> {
    fn decode(value: &'v Value, path: &Path) -> Result<Self, Diagnostic> {
        if value.is_null() { Ok(None) } else { T::decode(value, path).map(Some) }
    }
}

impl<'v, T: Decode<'v>> Decode<'v> for Known<T> {
    fn decode(value: &'v Value, path: &Path) -> Result<Self, Diagnostic> {
        match value {
            Value::Null => Ok(Known::Null),
            Value::Unknown(_) => Ok(Known::Unknown),
            known => T::decode(known, path).map(Known::Known),
        }
    }
}

impl<'v, T: Decode<'v>> Decode<'v> for Vec<T> {
    fn decode(value: &'v Value, path: &Path) -> Result<Self, Diagnostic> {
        match value {
            Value::List(elements) => {
                elements.iter().enumerate().map(|(i, element)| T::decode(element, &path.index(i))).collect()
            }
            Value::Set(elements) => {
                let place = path.set_element();
                elements.iter().map(|element| T::decode(element, &place)).collect()
            }
            other => Err(mismatch(other, path, "a list or set")),
        }
    }
}

impl<'v, T: Decode<'v>> Decode<'v> for BTreeMap<String, T> {
    fn decode(value: &'v Value, path: &Path) -> Result<Self, Diagnostic> {
        let Value::Map(entries) = value else { return Err(mismatch(value, path, "a map")) };
        entries.iter().map(|(key, entry)| Ok((key.to_string(), T::decode(entry, &path.key(key))?))).collect()
    }
}

impl<'v> Decode<'v> for Reader<'v> {
    fn decode(value: &'v Value, path: &Path) -> Result<Self, Diagnostic> {
        match value {
            Value::Object(members) | Value::Map(members) => Ok(Reader { value, members, path: path.clone() }),
            other => Err(mismatch(other, path, "an object")),
        }
    }
}

/// A known object (or map) and its place. Members that are absent count as null.
#[derive(Clone, Debug)]
pub struct Reader<'v> {
    value: &'v Value,
    members: &'v BTreeMap<SmolStr, Value>,
    path: Path,
}

impl<'v> Reader<'v> {
    /// Where the object stands.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The object itself.
    pub fn value(&self) -> &'v Value {
        self.value
    }

    /// Where the member `name` stands.
    pub fn path_of(&self, name: &str) -> Path {
        match self.value {
            Value::Map(_) => self.path.key(name),
            _ => self.path.attribute(name),
        }
    }

    /// The member as it is; null when absent.
    pub fn raw(&self, name: &str) -> &'v Value {
        self.members.get(name).unwrap_or(&super::NULL)
    }

    /// The member as a `T`. `Option<T>` takes null, [`Known<T>`] takes unknown as well.
    ///
    /// # Errors
    /// A diagnostic at the member when it is no `T`.
    pub fn get<T: Decode<'v>>(&self, name: &str) -> Result<T, Diagnostic> {
        T::decode(self.raw(name), &self.path_of(name))
    }

    /// The member as null, unknown, or a `T`.
    ///
    /// # Errors
    /// A diagnostic at the member when it is known and no `T`.
    pub fn known<T: Decode<'v>>(&self, name: &str) -> Result<Known<T>, Diagnostic> {
        self.get(name)
    }

    /// The text of a member that must be set and known.
    ///
    /// # Errors
    /// A diagnostic at the member when it is not.
    pub fn required_str(&self, name: &str) -> Result<&'v str, Diagnostic> {
        self.get(name)
    }

    /// The text of a member; `None` when it is null.
    ///
    /// # Errors
    /// A diagnostic at the member when it is unknown or no string.
    pub fn opt_str(&self, name: &str) -> Result<Option<&'v str>, Diagnostic> {
        self.get(name)
    }

    /// The whole number of a member that must be set and known.
    ///
    /// # Errors
    /// A diagnostic at the member when it is not, or is out of range.
    pub fn required_i64(&self, name: &str) -> Result<i64, Diagnostic> {
        self.get(name)
    }

    /// The whole number of a member; `None` when it is null.
    ///
    /// # Errors
    /// A diagnostic at the member when it is unknown, no number or out of range.
    pub fn opt_i64(&self, name: &str) -> Result<Option<i64>, Diagnostic> {
        self.get(name)
    }

    /// The whole, non-negative number of a member that must be set and known.
    ///
    /// # Errors
    /// A diagnostic at the member when it is not, or is out of range.
    pub fn required_u64(&self, name: &str) -> Result<u64, Diagnostic> {
        self.get(name)
    }

    /// The whole, non-negative number of a member; `None` when it is null.
    ///
    /// # Errors
    /// A diagnostic at the member when it is unknown, no number or out of range.
    pub fn opt_u64(&self, name: &str) -> Result<Option<u64>, Diagnostic> {
        self.get(name)
    }

    /// The truth value of a member that must be set and known.
    ///
    /// # Errors
    /// A diagnostic at the member when it is not.
    pub fn required_bool(&self, name: &str) -> Result<bool, Diagnostic> {
        self.get(name)
    }

    /// The truth value of a member; `None` when it is null.
    ///
    /// # Errors
    /// A diagnostic at the member when it is unknown or no bool.
    pub fn opt_bool(&self, name: &str) -> Result<Option<bool>, Diagnostic> {
        self.get(name)
    }

    /// The object in a member; `None` when it is null.
    ///
    /// # Errors
    /// A diagnostic at the member when it is unknown or no object.
    pub fn nested(&self, name: &str) -> Result<Option<Reader<'v>>, Diagnostic> {
        self.get(name)
    }

    /// The objects of a list or set in a member; none when it is null.
    ///
    /// # Errors
    /// A diagnostic at the member, or at the element that is no known object.
    pub fn list(&self, name: &str) -> Result<Vec<Reader<'v>>, Diagnostic> {
        Ok(self.get::<Option<Vec<Reader<'v>>>>(name)?.unwrap_or_default())
    }

    /// The objects of a map in a member, by key; none when it is null.
    ///
    /// # Errors
    /// A diagnostic at the member, or at the entry that is no known object.
    pub fn entries(&self, name: &str) -> Result<Vec<(&'v str, Reader<'v>)>, Diagnostic> {
        let path = self.path_of(name);
        match self.raw(name) {
            Value::Null => Ok(Vec::new()),
            Value::Map(entries) => entries
                .iter()
                .map(|(key, entry)| Ok((key.as_str(), Reader::decode(entry, &path.key(key))?)))
                .collect(),
            other => Err(mismatch(other, &path, "a map of objects")),
        }
    }

    /// An error about the member `name`.
    pub fn error(&self, name: &str, summary: impl Into<String>, detail: impl Into<String>) -> Diagnostic {
        Diagnostic::error(summary, detail).at(self.path_of(name))
    }
}

impl<T: Clone + Into<Value>> Encode for T {
    fn encode(&self) -> Value {
        self.clone().into()
    }
}

impl<T: Into<Value>> From<Known<T>> for Value {
    fn from(source: Known<T>) -> Self {
        match source {
            Known::Null => Value::Null,
            Known::Unknown => Value::unknown(),
            Known::Known(value) => value.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Value {
        Value::object([
            ("name", Value::from("r0")),
            ("port", Value::from(70_000_i64)),
            ("later", Value::unknown()),
            ("disks", Value::list([Value::object([("size", "1GiB")])])),
            ("sites", Value::map([("a", Value::object([("zone", 1_i64)]))])),
        ])
    }

    #[test]
    fn members_are_read_by_type() {
        let value = sample();
        let reader = value.reader().unwrap();
        assert_eq!(reader.required_str("name").unwrap(), "r0");
        assert_eq!(reader.opt_str("absent").unwrap(), None);
        assert_eq!(reader.known::<String>("later").unwrap(), Known::Unknown);
        assert_eq!(reader.list("disks").unwrap()[0].required_str("size").unwrap(), "1GiB");
        let (site, zone) = &reader.entries("sites").unwrap()[0];
        assert_eq!((*site, zone.required_i64("zone").unwrap()), ("a", 1));
        assert!(reader.nested("absent").unwrap().is_none());
    }

    #[test]
    fn errors_carry_the_full_place() {
        let value = sample();
        let reader = value.reader().unwrap();
        let error = reader.get::<u16>("port").unwrap_err();
        assert_eq!(error.summary, "Number out of range");
        assert!(
            error.detail.contains("port is 70000") && error.detail.contains("from 0 to 65535"),
            "{}",
            error.detail
        );
        let error = reader.list("disks").unwrap()[0].required_i64("size").unwrap_err();
        assert_eq!(error.path.unwrap().to_string(), "disks[0].size");
        let error = reader.entries("sites").unwrap()[0].1.required_str("zone").unwrap_err();
        assert_eq!(error.path.unwrap().to_string(), "sites[\"a\"].zone");
    }

    #[test]
    fn null_and_unknown_are_told_apart() {
        let value = sample();
        let reader = value.reader().unwrap();
        assert_eq!(reader.required_str("absent").unwrap_err().summary, "Missing value");
        assert_eq!(reader.required_str("later").unwrap_err().summary, "Value not known yet");
        assert_eq!(reader.opt_str("later").unwrap_err().summary, "Value not known yet");
        assert_eq!(reader.required_bool("name").unwrap_err().summary, "Wrong kind of value");
    }
}
