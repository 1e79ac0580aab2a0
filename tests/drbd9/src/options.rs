// SPDX-License-Identifier: MPL-2.0
//! Values of options as far as the simulation acts on them, and how `show` prints them. What is not acted on is kept
//! and shown all the same, which is all that `drbdadm adjust` needs.

/// A size with the kernel's units, in KiB: `65536k`, `1G`, `131072s`; plain numbers are KiB.
pub(crate) fn kib(value: &str) -> u64 {
    let digits: String = value.chars().take_while(char::is_ascii_digit).collect();
    let number: u64 = digits.parse().unwrap_or(0);
    match value.trim_start_matches(|c: char| c.is_ascii_digit()).to_ascii_lowercase().as_str() {
        "s" => number / 2,
        "m" => number << 10,
        "g" => number << 20,
        "t" => number << 30,
        _ => number,
    }
}

/// Options whose value is a text, which `show` quotes.
pub(crate) fn is_text(name: &str) -> bool {
    const TEXTS: [&str; 8] = [
        "_name",
        "shared-secret",
        "cram-hmac-alg",
        "verify-alg",
        "csums-alg",
        "data-integrity-alg",
        "cpu-mask",
        "transport",
    ];
    TEXTS.contains(&name)
}

#[cfg(test)]
mod tests {
    #[test]
    fn units_are_the_kernels() {
        let all = ["65536k", "131072s", "64M", "65536", "1G", "nonsense"].map(super::kib);
        assert_eq!(all, [65536, 65536, 65536, 65536, 1 << 20, 0]);
    }
}
