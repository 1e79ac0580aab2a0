// SPDX-License-Identifier: MPL-2.0
//! Durations as Terraform users write them: `90s`, `10m`, `1h30m`.

use std::time::Duration;

use tfplugin::{Attribute, Diagnostics, Path, Value};

/// What is allowed, in words.
pub(crate) const ALLOWED: &str = "a duration such as 90s, 10m or 1h30m, from 1s to 24h";

/// Parses numbers with the units `h`, `m`, `s`, each at most once and in this order.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total: u64 = 0;
    for (unit, seconds) in [('h', 3600), ('m', 60), ('s', 1_u64)] {
        let Some((number, after)) = rest.split_once(unit) else { continue };
        if number.is_empty() || !number.chars().all(|c| c.is_ascii_digit()) {
            return None;
        }
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(seconds)?)?;
        rest = after;
    }
    (rest.is_empty() && (1..=86_400).contains(&total)).then(|| Duration::from_secs(total))
}

/// An optional attribute that holds a duration.
pub(crate) fn attribute(name: &str, description: &str) -> Attribute {
    Attribute::string(name).optional().description(description).validate(check)
}

fn check(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    if let Some(text) = value.as_str()
        && parse(text).is_none()
    {
        diagnostics.error_at(path, "Not a duration", format!("{path} is {text:?}; it must be {ALLOWED}."));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_go_from_large_to_small() {
        for (text, seconds) in [("90s", 90), ("10m", 600), ("1h30m", 5400), ("1h2m3s", 3723), ("24h", 86_400)]
        {
            assert_eq!(parse(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        for text in [
            "",
            "10",
            "m",
            "1.5h",
            "-1s",
            "30m1h",
            "0s",
            "25h",
            "1h1h",
            "99999999999999999999h",
            "1 m",
            "5m ",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
