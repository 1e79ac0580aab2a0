// SPDX-License-Identifier: MPL-2.0
//! What is already known about an unknown value. Encoding is in `msgpack.rs`.

use super::{Number, Value};

/// Promises about a value that is not known yet. A promise that the later value breaks is an error in Terraform.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refinements {
    /// The value will not be null.
    pub not_null: bool,
    /// The string will start with this text.
    pub prefix: Option<String>,
    // Rare, so boxed: every value of the tree would pay for them.
    bounds: Option<Box<Bounds>>,
}

/// Limits of a number and of a collection's length. A number limit says with `true` that it is itself allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bounds {
    /// Smallest number, and whether it is itself allowed.
    pub number_min: Option<(Number, bool)>,
    /// Largest number, and whether it is itself allowed.
    pub number_max: Option<(Number, bool)>,
    /// Least count of elements.
    pub length_min: Option<u64>,
    /// Greatest count of elements.
    pub length_max: Option<u64>,
}

impl Refinements {
    /// No promise at all.
    pub fn none() -> Self {
        Self::default()
    }

    /// The value will not be null.
    pub fn not_null() -> Self {
        Self { not_null: true, ..Self::default() }
    }

    /// The string will start with `prefix` (and not be null).
    pub fn prefix(prefix: impl Into<String>) -> Self {
        Self { not_null: true, prefix: Some(prefix.into()), ..Self::default() }
    }

    /// Adds limits; limits that say nothing are dropped.
    pub fn with_bounds(mut self, bounds: Bounds) -> Self {
        self.bounds = (bounds != Bounds::default()).then(|| Box::new(bounds));
        self
    }

    /// The limits, when there are any.
    pub fn bounds(&self) -> Option<&Bounds> {
        self.bounds.as_deref()
    }

    /// Whether nothing is promised.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a value keeps these promises. Values that are themselves unknown do.
    pub fn allow(&self, value: &Value) -> bool {
        match value {
            Value::Unknown(_) => true,
            Value::Null => !self.not_null,
            Value::String(text) => {
                self.prefix.as_ref().is_none_or(|prefix| text.starts_with(prefix.as_str()))
            }
            Value::Number(number) => self.bounds().is_none_or(|bounds| bounds.allow_number(number)),
            Value::List(elements) | Value::Set(elements) => {
                self.bounds().is_none_or(|bounds| bounds.allow_length(elements.len()))
            }
            Value::Map(entries) => self.bounds().is_none_or(|bounds| bounds.allow_length(entries.len())),
            Value::Bool(_) | Value::Object(_) | Value::Dynamic(_) => true,
        }
    }
}

impl Bounds {
    fn allow_number(&self, number: &Number) -> bool {
        let above =
            self.number_min.as_ref().is_none_or(|(min, itself)| number > min || (*itself && number == min));
        let below =
            self.number_max.as_ref().is_none_or(|(max, itself)| number < max || (*itself && number == max));
        above && below
    }

    fn allow_length(&self, length: usize) -> bool {
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        self.length_min.is_none_or(|min| length >= min) && self.length_max.is_none_or(|max| length <= max)
    }
}
