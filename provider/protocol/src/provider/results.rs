// SPDX-License-Identifier: MPL-2.0
//! What a resource or data source answers. Every result is checked against core's rules before it is sent; see
//! `server/`.

use super::DeferReason;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::value::{Path, Value};

macro_rules! common_methods {
    ($($ty:ident),* $(,)?) => {
        $(impl $ty {
            /// The operation failed.
            pub fn failed(diagnostics: impl Into<Diagnostics>) -> Self {
                let mut result = Self::default();
                result.diagnostics = diagnostics.into();
                result
            }

            /// Adds a message, usually a warning.
            pub fn warn(mut self, diagnostic: Diagnostic) -> Self {
                self.diagnostics.push(diagnostic);
                self
            }

            /// Adds messages.
            pub fn diagnostics(mut self, diagnostics: impl IntoIterator<Item = Diagnostic>) -> Self {
                self.diagnostics.extend(diagnostics);
                self
            }
        })*
    };
}

macro_rules! private_method {
    ($($ty:ident),* $(,)?) => {
        $(impl $ty {
            /// Sets the private bytes; without this call they stay as they were.
            pub fn private(mut self, private: impl Into<Vec<u8>>) -> Self {
                self.private = Some(private.into());
                self
            }
        })*
    };
}

common_methods! { PlanResult, ApplyResult, DeleteResult, ReadResult, ImportResult, UpgradeResult, DataResult }
private_method! { PlanResult, ApplyResult, ReadResult, ImportResult }

/// A completed plan.
#[derive(Clone, Debug, Default)]
pub struct PlanResult {
    pub(crate) planned: Option<Value>,
    pub(crate) requires_replace: Vec<Path>,
    pub(crate) private: Option<Vec<u8>>,
    pub(crate) diagnostics: Diagnostics,
    pub(crate) deferred: Option<DeferReason>,
}

impl PlanResult {
    /// The plan. For a delete the value does not matter.
    pub fn ok(planned: Value) -> Self {
        Self { planned: Some(planned), ..Self::default() }
    }

    /// The resource cannot be planned yet. Allowed only when the request says so.
    pub fn deferred(reason: DeferReason) -> Self {
        Self { deferred: Some(reason), ..Self::default() }
    }

    /// Adds an attribute whose change replaces the resource, beyond the marks of the schema.
    pub fn replace(mut self, path: Path) -> Self {
        self.requires_replace.push(path);
        self
    }
}

/// The outcome of a create or update.
#[derive(Clone, Debug, Default)]
pub struct ApplyResult {
    pub(crate) state: Option<Value>,
    pub(crate) private: Option<Vec<u8>>,
    pub(crate) diagnostics: Diagnostics,
}

impl ApplyResult {
    /// The object is as the state says.
    pub fn ok(state: Value) -> Self {
        Self { state: Some(state), ..Self::default() }
    }

    /// The operation failed half way; the object exists as far as the state says.
    pub fn partial(state: Value, diagnostics: impl Into<Diagnostics>) -> Self {
        Self { state: Some(state), diagnostics: diagnostics.into(), ..Self::default() }
    }
}

/// The outcome of a delete.
#[derive(Clone, Debug, Default)]
pub struct DeleteResult {
    pub(crate) diagnostics: Diagnostics,
}

impl DeleteResult {
    /// The object does not exist any more.
    pub fn ok() -> Self {
        Self::default()
    }
}

/// The outcome of a read.
#[derive(Clone, Debug, Default)]
pub struct ReadResult {
    pub(crate) found: Found,
    pub(crate) private: Option<Vec<u8>>,
    pub(crate) diagnostics: Diagnostics,
}

/// What a read found.
#[derive(Clone, Debug, Default)]
pub(crate) enum Found {
    /// Nothing was learnt; the last state stays.
    #[default]
    Nothing,
    /// The object does not exist.
    Gone,
    /// The object as it is.
    State(Value),
}

impl ReadResult {
    /// The object as it is.
    pub fn ok(state: Value) -> Self {
        Self { found: Found::State(state), ..Self::default() }
    }

    /// The object certainly does not exist any more. Terraform drops it from state.
    pub fn gone() -> Self {
        Self { found: Found::Gone, ..Self::default() }
    }
}

/// The outcome of an import.
#[derive(Clone, Debug, Default)]
pub struct ImportResult {
    pub(crate) state: Option<Value>,
    pub(crate) private: Option<Vec<u8>>,
    pub(crate) diagnostics: Diagnostics,
}

impl ImportResult {
    /// What is needed to read the object. Attributes that are absent are filled with null.
    pub fn ok(state: Value) -> Self {
        Self { state: Some(state), ..Self::default() }
    }
}

/// The outcome of a state upgrade.
#[derive(Clone, Debug, Default)]
pub struct UpgradeResult {
    pub(crate) state: Option<Value>,
    pub(crate) diagnostics: Diagnostics,
}

impl UpgradeResult {
    /// The state by the current schema. Attributes that are absent are filled with null.
    pub fn ok(state: Value) -> Self {
        Self { state: Some(state), ..Self::default() }
    }
}

/// The outcome of reading a data source.
#[derive(Clone, Debug, Default)]
pub struct DataResult {
    pub(crate) state: Option<Value>,
    pub(crate) diagnostics: Diagnostics,
}

impl DataResult {
    /// The data.
    pub fn ok(state: Value) -> Self {
        Self { state: Some(state), ..Self::default() }
    }
}

macro_rules! from_value_result {
    ($($ty:ident),* $(,)?) => {
        $(impl From<Result<Value, Diagnostics>> for $ty {
            fn from(result: Result<Value, Diagnostics>) -> Self {
                result.map_or_else(Self::failed, Self::ok)
            }
        })*
    };
}

from_value_result! { PlanResult, ApplyResult, ImportResult, UpgradeResult, DataResult }

impl From<Result<(), Diagnostics>> for DeleteResult {
    fn from(result: Result<(), Diagnostics>) -> Self {
        result.map_or_else(Self::failed, |()| Self::ok())
    }
}

/// `None` is an object that does not exist any more.
impl From<Result<Option<Value>, Diagnostics>> for ReadResult {
    fn from(result: Result<Option<Value>, Diagnostics>) -> Self {
        match result {
            Ok(Some(state)) => Self::ok(state),
            Ok(None) => Self::gone(),
            Err(diagnostics) => Self::failed(diagnostics),
        }
    }
}
