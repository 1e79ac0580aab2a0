// SPDX-License-Identifier: MPL-2.0
//! What a resource is asked.

use std::sync::Arc;

use crate::diagnostic::Diagnostic;
use crate::value::{Path, Type, Value, json};

/// What a plan is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanAction {
    /// The object does not exist yet, or is being replaced and this is the plan of its successor.
    Create,
    /// The object exists.
    Update,
    /// The object will be removed. Only diagnostics and private bytes of the answer count.
    Delete,
}

/// A plan to complete.
#[derive(Clone, Debug)]
pub struct PlanRequest {
    /// What the plan is for.
    pub action: PlanAction,
    /// The configuration; null for a delete.
    pub config: Arc<Value>,
    /// The last known state; null for a create.
    pub prior: Arc<Value>,
    /// The plan so far, with defaults, kept values, unknowns and semantic equality applied; null for a delete.
    pub proposed: Value,
    /// What forces a replacement so far, by the marks of the schema.
    pub requires_replace: Vec<Path>,
    /// The private bytes of the last state or, in the second plan of a replacement, of the first plan.
    pub private: Vec<u8>,
    /// Whether the caller accepts [`super::PlanResult::deferred`].
    pub deferral_allowed: bool,
}

/// An object to create.
#[derive(Clone, Debug)]
pub struct CreateRequest {
    /// The configuration. Write-only values are here and nowhere else.
    pub config: Value,
    /// The plan. Unknown parts must be known in the result, known parts must not change.
    pub planned: Value,
    /// The private bytes of the plan.
    pub private: Vec<u8>,
}

/// An object to change in place.
#[derive(Clone, Debug)]
pub struct UpdateRequest {
    /// The configuration. Write-only values are here and nowhere else.
    pub config: Value,
    /// The last known state.
    pub prior: Value,
    /// The plan. Unknown parts must be known in the result, known parts must not change.
    pub planned: Value,
    /// The private bytes of the plan.
    pub private: Vec<u8>,
}

/// An object to remove.
#[derive(Clone, Debug)]
pub struct DeleteRequest {
    /// The last known state. It can be partial: an object whose creation failed is removed with what was
    /// recorded of it.
    pub prior: Value,
    /// The private bytes of the plan.
    pub private: Vec<u8>,
}

/// An object to read.
#[derive(Clone, Debug)]
pub struct ReadRequest {
    /// The last known state. It can be partial, after an import or a failed creation.
    pub state: Value,
    /// The private bytes of the last state.
    pub private: Vec<u8>,
}

/// Why an operation cannot be planned yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeferReason {
    /// The configuration of the resource is not known enough.
    ResourceConfigUnknown,
    /// The configuration of the provider is not known enough.
    ProviderConfigUnknown,
    /// Something that must exist first does not.
    AbsentPrerequisite,
}

/// A stored state of an older schema version.
#[derive(Clone, Debug)]
pub struct RawState {
    json: String,
}

impl RawState {
    /// A state from its JSON text.
    pub fn new(json: impl Into<String>) -> RawState {
        RawState { json: json.into() }
    }

    /// The JSON text as it was stored. It can hold secrets.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// The state by the type that the older version had. Numbers keep all digits; members that the type does
    /// not have are left out, absent ones are null.
    ///
    /// # Errors
    /// A diagnostic when the text does not fit the type.
    pub fn decode(&self, ty: &Type) -> Result<Value, Diagnostic> {
        json::decode(ty, &self.json).map_err(|error| {
            let detail =
                format!("The stored state does not fit its schema version: {error}. It was not changed.");
            Diagnostic::error("State cannot be read", detail)
        })
    }
}
