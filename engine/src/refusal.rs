// SPDX-License-Identifier: MPL-2.0
//! Refusals: results of the planner, not accidents of a run. Nothing was changed when one is returned.

use drbd_schemas::reply::Code;

/// Why a plan is not made: what was found, what was expected, and how to go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} Nothing was changed.")]
pub struct Refusal {
    /// The stable class.
    pub code: Code,
    /// Object, what was found, what was expected; whole sentences.
    pub message: String,
    /// What to do next, each a sentence that begins with a verb.
    pub next_steps: Vec<String>,
}

impl Refusal {
    /// A refusal.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), next_steps: Vec::new() }
    }

    /// The same with one more thing to do.
    #[must_use]
    pub fn next(mut self, step: impl Into<String>) -> Self {
        self.next_steps.push(step.into());
        self
    }
}
