// SPDX-License-Identifier: MPL-2.0
//! Percentages as DRBD and LVM print them. Not here: what a percentage is of.

use std::fmt;

/// 0 to 100 percent in hundredths, as precise as DRBD prints it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(u16);

impl Percent {
    /// `hundredths` of a percent; more than 100 % is cut to 100 %.
    pub const fn of_hundredths(hundredths: u16) -> Self {
        Self(if hundredths > 10_000 { 10_000 } else { hundredths })
    }

    /// How many hundredths of a percent.
    pub fn hundredths(self) -> u16 {
        self.0
    }

    /// A printed number. DRBD prints values below 0 or above 100 while sizes change; they are cut. `None` for
    /// what is no number.
    pub(crate) fn of_printed(value: f64) -> Option<Self> {
        if value.is_nan() {
            return None;
        }
        // The clamped value is between 0 and 10000, so the cast is exact.
        Some(Self((value.clamp(0.0, 100.0) * 100.0).round() as u16))
    }

    /// A printed number as text, e.g. `12.34`. `None` for what is no number.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        text.parse().ok().and_then(Self::of_printed)
    }

    /// The part of `total` that is not `missing`, cut and not rounded: 100 % only when nothing is missing. `None`
    /// when there is no total.
    pub(crate) fn of_rest(missing: u64, total: u64) -> Option<Self> {
        let done = u128::from(total.saturating_sub(missing)) * 10_000;
        let hundredths = done.checked_div(u128::from(total))?;
        u16::try_from(hundredths).ok().map(Self::of_hundredths)
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_is_cut_and_printed_with_two_digits() {
        assert_eq!(Percent::of_printed(57.864).unwrap().to_string(), "57.86");
        assert_eq!(Percent::of_printed(-3.0).unwrap().to_string(), "0.00");
        assert_eq!(Percent::of_printed(f64::INFINITY).unwrap().to_string(), "100.00");
        assert_eq!(Percent::of_printed(f64::NAN), None);
    }

    #[test]
    fn percent_of_a_rest_agrees_with_what_drbdsetup_prints() {
        // `status --verbose --statistics` printed done:15.98 and done:62.09 for these; it rounds.
        assert_eq!(Percent::of_rest(110_096, 131_032).unwrap().hundredths(), 1597);
        assert_eq!(Percent::of_rest(12_408, 32_728).unwrap().hundredths(), 6208);
        assert_eq!(Percent::of_rest(0, 0), None);
        assert_eq!(Percent::of_rest(7, 5).unwrap().hundredths(), 0);
        assert_eq!(Percent::of_rest(0, u64::MAX).unwrap().hundredths(), 10_000);
    }
}
