// SPDX-License-Identifier: MPL-2.0
//! Why bytes are not a value of a type, or a value not of a type, and where. Never quotes the value.

use super::Path;
use crate::diagnostic::Diagnostic;

/// A value and a type that do not fit each other.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at {place}: {message}", place = if path.is_root() { "the value itself".to_owned() } else { path.to_string() })]
pub struct CodecError {
    /// Where in the value.
    pub path: Path,
    /// What was found and what was expected.
    pub message: String,
}

impl CodecError {
    pub(crate) fn new(path: impl Into<Path>, message: impl Into<String>) -> Self {
        CodecError { path: path.into(), message: message.into() }
    }
}

impl From<CodecError> for Diagnostic {
    fn from(error: CodecError) -> Self {
        let summary = "Value does not fit the provider's schema";
        let detail = format!(
            "{error}. The provider and the caller disagree about the schema; nothing was changed. \
             If the provider was replaced during the run, start the run again."
        );
        Diagnostic::error(summary, detail).at(error.path)
    }
}
