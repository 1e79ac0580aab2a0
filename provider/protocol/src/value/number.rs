// SPDX-License-Identifier: MPL-2.0
//! Numbers as Terraform has them: exact decimals of any size. No arithmetic here; numbers are carried,
//! compared and converted, never computed with.

use std::cmp::Ordering;
use std::fmt;

/// Longest plain notation that [`fmt::Display`] writes; longer numbers are shown with an exponent.
const PLAIN_DIGITS_MAX: usize = 1100;
/// Decimal exponents beyond this are refused: no configuration holds them, and they would only cost memory.
const EXPONENT_MAX: i64 = 1_000_000;
/// Fraction digits that the exact value of any `f64` fits in.
const F64_FRACTION_DIGITS: usize = 1074;

/// An exact decimal number, `±digits × 10^exponent`.
///
/// `digits` has neither leading nor trailing zeros (zero itself is `"0"`), so equal numbers are equal structs.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Number {
    negative: bool,
    digits: String,
    exponent: i64,
}

/// A text that is not a decimal number, or one with an exponent beyond ±1,000,000.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a decimal number")]
pub struct ParseNumberError {
    text: String,
}

impl Number {
    /// Reads `-12.50e3` and the like: optional sign, digits with an optional point, optional exponent.
    ///
    /// # Errors
    /// Any other text, infinities and not-a-number included.
    pub fn parse(text: &str) -> Result<Number, ParseNumberError> {
        Self::parse_parts(text).ok_or_else(|| ParseNumberError { text: text.chars().take(80).collect() })
    }

    fn parse_parts(text: &str) -> Option<Number> {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)?),
            None => (rest, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if (whole.is_empty() && fraction.is_empty()) || !all_digits(whole) || !all_digits(fraction) {
            return None;
        }
        let exponent = exponent.checked_sub(i64::try_from(fraction.len()).ok()?)?;
        Some(Self::normalised(negative, format!("{whole}{fraction}"), exponent))
    }

    fn normalised(negative: bool, digits: String, exponent: i64) -> Number {
        let significant = digits.trim_start_matches('0');
        let trimmed = significant.trim_end_matches('0');
        if trimmed.is_empty() {
            return Number { negative: false, digits: "0".to_owned(), exponent: 0 };
        }
        let dropped = i64::try_from(significant.len() - trimmed.len()).unwrap_or(0);
        Number { negative, digits: trimmed.to_owned(), exponent: exponent.saturating_add(dropped) }
    }

    /// The exact value of a float, digit by digit. `None` for infinities and not-a-number.
    ///
    /// `0.1_f64` is not one tenth; where one tenth is meant, use [`Number::parse`].
    pub fn from_f64(float: f64) -> Option<Number> {
        if !float.is_finite() {
            return None;
        }
        let text = if float.fract() == 0.0 {
            format!("{float:.0}")
        } else {
            format!("{float:.F64_FRACTION_DIGITS$}")
        };
        Self::parse_parts(&text)
    }

    /// The value as `i64`; `None` when it has a fraction or is out of range.
    pub fn to_i64(&self) -> Option<i64> {
        self.integer_text(19)?.parse().ok()
    }

    /// The value as `u64`; `None` when it is negative, has a fraction or is out of range.
    pub fn to_u64(&self) -> Option<u64> {
        self.integer_text(20)?.parse().ok()
    }

    /// The nearest `f64`; infinite when the number is beyond its range.
    pub fn to_f64(&self) -> f64 {
        let sign = if self.negative { "-" } else { "" };
        format!("{sign}{}e{}", self.digits, self.exponent).parse().unwrap_or(f64::NAN)
    }

    /// Whether the number has no fraction.
    pub fn is_integer(&self) -> bool {
        self.exponent >= 0
    }

    /// The integer in plain notation when it has at most `max` digits.
    fn integer_text(&self, max: usize) -> Option<String> {
        let zeros = usize::try_from(self.exponent).ok()?;
        if self.digits.len().checked_add(zeros)? > max {
            return None;
        }
        let sign = if self.negative { "-" } else { "" };
        Some(format!("{sign}{}{}", self.digits, "0".repeat(zeros)))
    }

    fn is_zero(&self) -> bool {
        self.digits == "0"
    }

    /// Compares the absolute values of two numbers, neither of them zero.
    fn cmp_magnitude(&self, other: &Number) -> Ordering {
        let size = |n: &Number| n.exponent.saturating_add(i64::try_from(n.digits.len()).unwrap_or(i64::MAX));
        size(self).cmp(&size(other)).then_with(|| self.digits.cmp(&other.digits))
    }
}

fn parse_exponent(text: &str) -> Option<i64> {
    let exponent: i64 = text.parse().ok()?;
    (-EXPONENT_MAX..=EXPONENT_MAX).contains(&exponent).then_some(exponent)
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        let sign = |n: &Number| match (n.is_zero(), n.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        };
        let (left, right) = (sign(self), sign(other));
        left.cmp(&right).then_with(|| match left {
            0 => Ordering::Equal,
            1 => self.cmp_magnitude(other),
            _ => other.cmp_magnitude(self),
        })
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.negative { "-" } else { "" };
        let digits = &self.digits;
        let shift = usize::try_from(self.exponent.unsigned_abs()).unwrap_or(usize::MAX);
        if shift > PLAIN_DIGITS_MAX {
            return write!(f, "{sign}{digits}e{}", self.exponent);
        }
        if self.exponent >= 0 {
            return write!(f, "{sign}{digits}{}", "0".repeat(shift));
        }
        if digits.len() > shift {
            let (whole, fraction) = digits.split_at(digits.len() - shift);
            return write!(f, "{sign}{whole}.{fraction}");
        }
        write!(f, "{sign}0.{}{digits}", "0".repeat(shift - digits.len()))
    }
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Number {
    type Err = ParseNumberError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl From<i64> for Number {
    fn from(value: i64) -> Self {
        Self::normalised(value < 0, value.unsigned_abs().to_string(), 0)
    }
}

impl From<u64> for Number {
    fn from(value: u64) -> Self {
        Self::normalised(false, value.to_string(), 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Number {
        Number::parse(text).unwrap()
    }

    #[test]
    fn text_keeps_every_digit() {
        for text in
            ["0", "-1", "9007199254740993", "12345678901234567890123", "0.1", "-0.005", "7227701560655103598"]
        {
            assert_eq!(parse(text).to_string(), text);
        }
        assert_eq!(parse("1e30").to_string(), format!("1{}", "0".repeat(30)));
        assert_eq!(parse("1.50").to_string(), "1.5");
        assert_eq!(parse("-0.0").to_string(), "0");
        assert_eq!(parse("1e5000").to_string(), "1e5000");
    }

    #[test]
    fn other_text_is_refused() {
        for text in ["", "-", ".", "1.2.3", "0x10", "inf", "NaN", "1e", "1e99999999999", "1 ", "1e1000001"] {
            assert!(Number::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn integers_convert_only_when_they_fit() {
        assert_eq!(parse("9223372036854775807").to_i64(), Some(i64::MAX));
        assert_eq!(parse("-9223372036854775808").to_i64(), Some(i64::MIN));
        assert_eq!(parse("9223372036854775808").to_i64(), None);
        assert_eq!(parse("18446744073709551615").to_u64(), Some(u64::MAX));
        assert_eq!(parse("-1").to_u64(), None);
        assert_eq!(parse("1.5").to_i64(), None);
        assert_eq!(parse("1e3").to_i64(), Some(1000));
    }

    #[test]
    fn floats_are_taken_digit_by_digit() {
        assert_eq!(Number::from_f64(3.5).unwrap(), parse("3.5"));
        assert_eq!(Number::from_f64(1e22).unwrap(), parse("1e22"));
        assert_ne!(Number::from_f64(0.1).unwrap(), parse("0.1"));
        assert_eq!(Number::from_f64(f64::INFINITY), None);
        assert_eq!(parse("1e400").to_f64(), f64::INFINITY);
    }

    #[test]
    fn order_is_numeric() {
        let ascending = ["-1e3", "-20", "-3", "0", "0.01", "0.1", "0.11", "1", "9", "10", "1e3"];
        for pair in ascending.windows(2) {
            assert!(parse(pair[0]) < parse(pair[1]), "{pair:?}");
        }
        assert_eq!(parse("10"), parse("1e1"));
    }

    proptest::proptest! {
        #[test]
        fn display_parses_back(negative: bool, digits in "[0-9]{1,40}", exponent in -60_i64..60) {
            let number = parse(&format!("{}{digits}e{exponent}", if negative { "-" } else { "" }));
            proptest::prop_assert_eq!(parse(&number.to_string()), number);
        }

        #[test]
        fn floats_are_exact(float in proptest::num::f64::NORMAL) {
            proptest::prop_assert_eq!(Number::from_f64(float).unwrap().to_f64(), float);
        }
    }
}
