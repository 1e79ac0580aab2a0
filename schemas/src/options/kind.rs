// SPDX-License-Identifier: MPL-2.0
//! What values an option takes, and how they are spelled.

use crate::name::NotAllowed;

/// What values an option takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// `yes` or `no`.
    Bool,
    /// A whole number in a range; the unit is in the description.
    Int(u64, u64),
    /// A size: digits and an optional `k`, `M`, `G` (binary) or `s` (sectors of 512 bytes), in a range.
    Size(SizeRange),
    /// One of these words.
    Word(&'static [&'static str]),
    /// One of these words, or a whole number from 1 to 32.
    WordOrCount(&'static [&'static str]),
    /// Name of an algorithm of the kernel's crypto layer.
    Algorithm,
}

/// The sizes that an option takes (`drbd_limits.h`; `drbdsetup xml-help` prints them).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeRange {
    /// What digits without a unit count, as a power of two of bytes: 0 bytes, 9 sectors, 10 KiB.
    unit: u32,
    /// The smallest, in that unit.
    min: u64,
    /// The largest, in that unit.
    max: u64,
}

pub(super) const fn bytes(min: u64, max: u64) -> Kind {
    Kind::Size(SizeRange { unit: 0, min, max })
}

pub(super) const fn sectors(min: u64, max: u64) -> Kind {
    Kind::Size(SizeRange { unit: 9, min, max })
}

pub(super) const fn kib(min: u64, max: u64) -> Kind {
    Kind::Size(SizeRange { unit: 10, min, max })
}

impl Kind {
    /// What is allowed, in words.
    pub fn allowed(self) -> String {
        match self {
            Self::Bool => "yes or no".into(),
            Self::Int(min, max) => format!("a whole number from {min} to {max}"),
            Self::Size(range) => {
                let [min, max] = range.ends();
                format!("a size from {min} to {max}: digits and an optional k, M, G (binary) or s (sectors)")
            }
            Self::Word(words) => format!("one of {}", words.join(", ")),
            Self::WordOrCount(words) => format!("one of {}, or a number from 1 to 32", words.join(", ")),
            Self::Algorithm => "an algorithm's name: letters, digits, - _".into(),
        }
    }

    /// The value in DRBD's spelling.
    pub fn parse(self, text: &str) -> Result<String, NotAllowed> {
        let text = text.trim();
        let spelled = match self {
            Self::Bool => match text.to_ascii_lowercase().as_str() {
                "yes" | "true" | "on" => Some("yes".to_owned()),
                "no" | "false" | "off" => Some("no".to_owned()),
                _ => None,
            },
            Self::Int(min, max) => number_in(text, min, max),
            Self::Size(range) => range.takes(text).then(|| text.to_owned()),
            Self::Word(words) => words.contains(&text).then(|| text.to_owned()),
            Self::WordOrCount(words) => {
                // YAML reads a bare `off` as false; here it can only have been meant as the word.
                let word = if text == "false" { "off" } else { text };
                words.contains(&word).then(|| word.to_owned()).or_else(|| number_in(text, 1, 32))
            }
            Self::Algorithm => is_algorithm(text).then(|| text.to_owned()),
        };
        spelled.ok_or_else(|| NotAllowed(self.allowed()))
    }
}

fn number_in(text: &str, min: u64, max: u64) -> Option<String> {
    let number: u64 = text.parse().ok()?;
    (min..=max).contains(&number).then(|| number.to_string())
}

impl SizeRange {
    /// The smallest and the largest size, in words of DRBD.
    pub fn ends(self) -> [String; 2] {
        [self.spelled(self.min), self.spelled(self.max)]
    }

    /// The next size above the largest one.
    pub fn beyond(self) -> String {
        self.spelled(self.max + 1)
    }

    fn spelled(self, number: u64) -> String {
        match self.unit {
            0 => format!("{number}"),
            9 => format!("{number}s"),
            _ => format!("{number}k"),
        }
    }

    fn takes(self, text: &str) -> bool {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = match text.get(digits.len()..).unwrap_or_default() {
            "" => self.unit,
            "s" => 9,
            "k" | "K" => 10,
            "m" | "M" => 20,
            "g" | "G" => 30,
            _ => return false,
        };
        let number: Option<u64> =
            digits.parse().ok().filter(|_| digits.len() <= 15 && !digits.starts_with('+'));
        let bytes = |number: u64, unit: u32| u128::from(number) << unit;
        let range = bytes(self.min, self.unit)..=bytes(self.max, self.unit);
        number.is_some_and(|number| range.contains(&bytes(number, unit)))
    }
}

fn is_algorithm(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 63
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
}
