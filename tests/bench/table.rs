// SPDX-License-Identifier: MPL-2.0
//! The one table that a run ends with.

use std::fmt;

/// Rows of the summary.
#[derive(Debug, Default)]
pub struct Table(Vec<[String; 5]>);

impl Table {
    /// Ours beside another way, both in seconds; the target is the largest ratio.
    pub fn ratio(&mut self, what: &str, ours: f64, other: f64, target: f64) {
        let ratio = ours / other;
        let verdict = format!("≤ {target:.2}: {}", word(ratio <= target));
        self.0.push([what.to_owned(), seconds(ours), seconds(other), format!("{ratio:.2}"), verdict]);
    }

    /// Ours beside something else, both in seconds, without a target.
    pub fn beside(&mut self, what: &str, ours: f64, other: f64) {
        let ratio = format!("{:.2}", ours / other);
        self.0.push([what.to_owned(), seconds(ours), seconds(other), ratio, "-".to_owned()]);
    }

    /// A figure of our own, with its largest allowed value if there is one.
    pub fn figure(&mut self, what: &str, value: f64, unit: &str, target: Option<f64>) {
        let target = target.map(|limit| format!("≤ {limit} {unit}: {}", word(value <= limit)));
        self.0.push([
            what.to_owned(),
            format!("{value:.1} {unit}"),
            "-".to_owned(),
            "-".to_owned(),
            target.unwrap_or_else(|| "-".to_owned()),
        ]);
    }
}

fn word(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}

fn seconds(value: f64) -> String {
    if value < 1.0 { format!("{:.0} ms", value * 1000.0) } else { format!("{value:.2} s") }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["", "ours", "other", "ratio", "target"].map(str::to_owned);
        let rows: Vec<&[String; 5]> = std::iter::once(&head).chain(&self.0).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths = [0, 1, 2, 3, 4].map(width);
        for row in rows {
            write!(f, "{:<w$}", row[0], w = widths[0])?;
            for column in [1, 2, 3] {
                write!(f, "  {:>w$}", row[column], w = widths[column])?;
            }
            writeln!(f, "  {}", row[4])?;
        }
        Ok(())
    }
}
