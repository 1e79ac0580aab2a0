// SPDX-License-Identifier: MPL-2.0
//! A text that must not be shown: no `Debug`, no `Display`, serialised as a mask.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;

/// What stands in place of a secret wherever something is printed; Ansible's own words for it.
pub const MASK: &str = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER";

/// A secret text, such as a `shared-secret`.
///
/// Serialising it writes [`MASK`], so a value that holds one can be put into a reply or a log without a thought.
/// Where the real text must be written (the `.res` file, a request to the host), [`Secret::expose`] says so.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(MASK)
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "writeOnly": true, "x-check": "shared-secret" })
    }
}

/// A shorter text is not masked.
pub const SHORTEST_MASKED: usize = 4;

/// Replaces every occurrence of the secrets in a text by [`MASK`]. Texts shorter than [`SHORTEST_MASKED`] are left
/// alone: masking them would garble everything else and protect nothing.
pub fn scrub(text: &str, secrets: &[Secret]) -> String {
    secrets
        .iter()
        .filter(|secret| secret.0.len() >= SHORTEST_MASKED)
        .fold(text.to_owned(), |text, secret| text.replace(&secret.0, MASK))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_prints_itself() {
        let secret = Secret::new("hunter22");
        assert!(!format!("{secret:?}").contains("hunter22"));
        assert!(!serde_json::to_string(&secret).unwrap().contains("hunter22"));
        assert_eq!(scrub("a hunter22 b", &[secret]), format!("a {MASK} b"));
    }
}
