// SPDX-License-Identifier: MPL-2.0
//! Sizes: one unit (bytes), exact arithmetic, no ambiguous suffix.

use crate::name::NotAllowed;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;

/// A size in bytes.
///
/// Written as a whole number and a binary unit (`64MiB`, `90GiB`, `4 KiB`), or as a plain number of bytes. `10G`
/// and `10GB` are refused: tools disagree on them (LVM's `g` is 2^30, disk vendors' GB is 10^9), and a size that is
/// read as 7 % less than meant is a shrink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

const UNITS: [(&str, u64); 6] =
    [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40), ("PiB", 1 << 50), ("B", 1)];

impl ByteSize {
    /// From bytes.
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// From KiB, saturating.
    pub const fn from_kib(kib: u64) -> Self {
        Self(kib.saturating_mul(1024))
    }

    /// In bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// In KiB, rounded up.
    pub const fn kib(self) -> u64 {
        self.0.div_ceil(1024)
    }

    /// Parses the text form.
    pub fn parse(text: &str) -> Result<Self, NotAllowed> {
        let text = text.trim();
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        let unit = unit.trim_start();
        let explain = || NotAllowed(allowed(number, unit));
        let factor = match unit {
            "" => 1,
            _ => {
                UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor).ok_or_else(explain)?
            }
        };
        let number: u64 = number.parse().map_err(|_| explain())?;
        number.checked_mul(factor).map(Self).ok_or_else(|| NotAllowed("a size below 16 EiB".into()))
    }
}

fn allowed(number: &str, unit: &str) -> String {
    let general = "a whole number with KiB, MiB, GiB, TiB or PiB, or a plain number of bytes";
    let letter = unit.chars().next().map(|c| c.to_ascii_uppercase());
    match letter {
        Some(c) if !number.is_empty() && "KMGTP".contains(c) => {
            format!("{general}; for binary units write {number}{c}iB")
        }
        _ => general.to_owned(),
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = UNITS[..5].iter().rev().find(|(_, factor)| self.0 > 0 && self.0.is_multiple_of(*factor));
        match fits {
            Some((name, factor)) => write!(f, "{}{name}", self.0 / factor),
            None => write!(f, "{}B", self.0),
        }
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for ByteSize {
    fn schema_name() -> Cow<'static, str> {
        "ByteSize".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "x-check": "size", "examples": ["64MiB", "90GiB"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ambiguous_units_are_refused_with_the_binary_spelling() {
        for text in ["10G", "10GB", "10g", "10Gb"] {
            let error = ByteSize::parse(text).unwrap_err().0;
            assert!(error.ends_with("write 10GiB"), "{error}");
        }
        for text in ["", "GiB", "1.5GiB", "-1", "10 XiB", "99999999PiB", "100%"] {
            assert!(ByteSize::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn equal_sizes_are_equal_however_they_are_written() {
        assert_eq!(ByteSize::parse("1GiB").unwrap(), ByteSize::parse("1024MiB").unwrap());
        assert_eq!(ByteSize::parse("1048576").unwrap().to_string(), "1MiB");
        assert_eq!(ByteSize::parse("4 KiB").unwrap().bytes(), 4096);
    }

    proptest! {
        #[test]
        fn display_parses_back(bytes: u64) {
            let size = ByteSize::from_bytes(bytes);
            prop_assert_eq!(ByteSize::parse(&size.to_string()).unwrap(), size);
        }

        #[test]
        fn any_text_is_parsed_or_refused(text in ".*") {
            let _ = ByteSize::parse(&text);
        }
    }
}
