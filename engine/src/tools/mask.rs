// SPDX-License-Identifier: MPL-2.0
//! Hides the values of `shared-secret` in any text of DRBD's tools: configuration blocks, option lists on
//! command lines, JSON. Not here: who must call it (everything that turns tool text into errors or replies).

/// What stands where a secret stood.
pub const MASK: &str = "********";

/// The only option of DRBD whose value is a secret.
pub(crate) const SECRET_OPTION: &str = "shared-secret";

/// `text` with every value of `shared-secret` replaced by [`MASK`].
///
/// Understands `shared-secret "a b";`, `shared-secret abc;`, `--shared-secret=a\ b` and
/// `"shared-secret": "abc"`. An empty quoted value (`""`, the default) stays, it hides nothing. Where the end
/// of a value cannot be told, everything up to the end of the line goes.
pub fn mask_secrets(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(found) = rest.find(SECRET_OPTION) {
        let (before, after) = rest.split_at(found + SECRET_OPTION.len());
        out.push_str(before);
        let value_at = after.find(|c: char| !is_separator(c)).unwrap_or(after.len());
        let (separators, value) = split_key_end(after, value_at);
        out.push_str(separators);
        let length = value_length(value);
        if length > 0 && !value.starts_with("\"\"") {
            out.push_str(MASK);
        } else {
            out.push_str(value.get(..length).unwrap_or_default());
        }
        rest = value.get(length..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

/// Splits what follows the key into separators and value; a closing quote of a JSON key belongs to the former.
fn split_key_end(after: &str, value_at: usize) -> (&str, &str) {
    let json_key = after.strip_prefix('"').filter(|tail| tail.trim_start().starts_with(':'));
    let Some(tail) = json_key else { return after.split_at(value_at) };
    let skip = tail.find(|c: char| !is_separator(c)).unwrap_or(tail.len());
    after.split_at(skip + 1)
}

/// What may stand between the option's name and its value; a line end may, too.
fn is_separator(c: char) -> bool {
    c.is_whitespace() || matches!(c, '=' | ':')
}

/// How many bytes of `text` the value takes that starts there.
fn value_length(text: &str) -> usize {
    let quoted = text.starts_with('"');
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if quoted && at > 0 && c == '"' {
            return at + 1;
        } else if c == '\n' || (!quoted && (c.is_whitespace() || c == ';')) {
            return at;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_spelling_of_a_secret_is_hidden() {
        for (text, masked) in [
            ("net { shared-secret \"a;b c\"; protocol C; }", "net { shared-secret ********; protocol C; }"),
            ("shared-secret   \tabc;", "shared-secret   \t********;"),
            ("x --shared-secret=a\\ b --protocol=C", "x --shared-secret=******** --protocol=C"),
            ("\"shared-secret\": \"a\\\"b\",", "\"shared-secret\": ********,"),
            ("shared-secret   \t\"\"; # default", "shared-secret   \t\"\"; # default"),
            ("shared-secret abc; shared-secret def;", "shared-secret ********; shared-secret ********;"),
            ("shared-secret \"never closed", "shared-secret ********"),
            ("shared-secret\n   \"abc\";", "shared-secret\n   ********;"),
            ("shared-secret", "shared-secret"),
        ] {
            assert_eq!(mask_secrets(text), masked);
        }
    }

    proptest! {
        #[test]
        fn any_text_can_be_masked(text in any::<String>()) {
            let _ = mask_secrets(&text);
            let _ = mask_secrets(&format!("shared-secret{text}"));
        }

        #[test]
        fn a_quoted_secret_never_survives(secret in "[a-zA-Z0-9 ;=:{}#]{9,20}") {
            let masked = mask_secrets(&format!("net {{ shared-secret \"{secret}\"; timeout 60; }}"));
            prop_assert_eq!(masked, "net { shared-secret ********; timeout 60; }");
        }
    }
}
