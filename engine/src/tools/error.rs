// SPDX-License-Identifier: MPL-2.0
//! The one error type of all tool parsers. Not here: what a failed command *means* (see
//! [`drbdadm::DrbdFailure`](super::drbdadm::DrbdFailure)); this is about output that cannot be read.

use crate::host::{Exit, Output};
use crate::tools::mask::mask_secrets;

/// Longest piece of a tool's output that an error quotes.
const QUOTE_LIMIT: usize = 300;

/// A tool answered in a way that its parser does not understand, or ended as it should not have.
///
/// Reading changes nothing on the host, so every variant means: nothing was touched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ToolError {
    /// The command did not end in a way whose output can be read.
    #[error("{tool}: {exit}, expected {expected}; it said: {said}")]
    Ended {
        /// Program name.
        tool: &'static str,
        /// How it ended.
        exit: Exit,
        /// Which ends this parser reads.
        expected: &'static str,
        /// What it wrote on standard error (or, when that is empty, on standard output); shortened, masked.
        said: String,
    },
    /// A key that every version prints is not there.
    #[error("{tool}: {what} has no `{key}`, in: {line}")]
    MissingKey {
        /// Program name.
        tool: &'static str,
        /// The object that was being read, e.g. `device`.
        what: &'static str,
        /// The key that is missing.
        key: String,
        /// The offending line; shortened, masked.
        line: String,
    },
    /// A value is there but is not of its kind.
    #[error("{tool}: {what}: found `{found}`, expected {expected}, in: {line}")]
    BadValue {
        /// Program name.
        tool: &'static str,
        /// What was being read, e.g. `device minor`.
        what: &'static str,
        /// The value as found; shortened, masked.
        found: String,
        /// What it should have been.
        expected: String,
        /// The offending line; shortened, masked.
        line: String,
    },
    /// The text does not have the shape that this tool's output has.
    #[error("{tool}: cannot read {what}: expected {expected}, in: {line}")]
    Malformed {
        /// Program name.
        tool: &'static str,
        /// What was being read, e.g. `status --json`.
        what: &'static str,
        /// What was expected there.
        expected: String,
        /// The offending line; shortened, masked.
        line: String,
    },
}

impl ToolError {
    /// The command ended as `expected` does not allow.
    pub(crate) fn ended(tool: &'static str, output: &Output, expected: &'static str) -> Self {
        let stderr = output.stderr.trim();
        let text = if stderr.is_empty() { output.stdout.trim() } else { stderr };
        let said = if text.is_empty() { "(nothing)".to_owned() } else { quote(text) };
        Self::Ended { tool, exit: output.exit, expected, said }
    }

    /// `what` in `line` lacks `key`.
    pub(crate) fn missing(tool: &'static str, what: &'static str, key: &str, line: &str) -> Self {
        Self::MissingKey { tool, what, key: key.to_owned(), line: quote(line) }
    }

    /// `found` in `line` is not `expected`.
    pub(crate) fn bad(
        tool: &'static str,
        what: &'static str,
        found: &str,
        expected: &str,
        line: &str,
    ) -> Self {
        Self::BadValue { tool, what, found: quote(found), expected: expected.to_owned(), line: quote(line) }
    }

    /// The text around `line` has the wrong shape.
    pub(crate) fn malformed(tool: &'static str, what: &'static str, expected: &str, line: &str) -> Self {
        Self::Malformed { tool, what, expected: expected.to_owned(), line: quote(line) }
    }

    /// `text` is not the JSON that `what` should be; quotes the line where reading stopped.
    pub(crate) fn json(
        tool: &'static str,
        what: &'static str,
        text: &str,
        reason: &serde_json::Error,
    ) -> Self {
        let line = text.lines().nth(reason.line().saturating_sub(1)).unwrap_or_default();
        Self::Malformed { tool, what, expected: mask_secrets(&reason.to_string()), line: quote(line) }
    }
}

/// `text` with secrets masked, shortened to what an error message can bear.
pub(crate) fn quote(text: &str) -> String {
    let masked = mask_secrets(text.trim());
    match masked.char_indices().nth(QUOTE_LIMIT) {
        Some((end, _)) => format!("{}…", masked.get(..end).unwrap_or_default()),
        None => masked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_tool_key_and_line_and_hides_the_secret() {
        let error = ToolError::missing("drbdsetup", "device", "minor", "device shared-secret \"abc\" x");
        let text = error.to_string();
        assert!(text.contains("drbdsetup: device has no `minor`"), "{text}");
        assert!(!text.contains("abc"), "{text}");
    }

    #[test]
    fn an_end_quotes_standard_output_when_standard_error_is_empty() {
        let error = ToolError::ended("drbdadm", &Output::of(40, "Operation refused.\n", " \n"), "exit 0");
        assert_eq!(error.to_string(), "drbdadm: exit 40, expected exit 0; it said: Operation refused.");
    }

    #[test]
    fn quotes_are_shortened_at_a_character_boundary() {
        let long = "ä".repeat(QUOTE_LIMIT * 2);
        assert_eq!(quote(&long).chars().count(), QUOTE_LIMIT + 1);
    }
}
