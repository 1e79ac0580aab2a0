// SPDX-License-Identifier: MPL-2.0
//! ReadResource, ImportResourceState, UpgradeResourceState. A failure never removes an object: the last state
//! is echoed byte for byte.

use super::answer;
use super::guard;
use super::registry::{Entry, Prepared};
use super::state;
use crate::check;
use crate::context::Context;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::generated::tfplugin6 as proto;
use crate::plan;
use crate::provider::{AnyResource, Found, RawState, ReadRequest};
use crate::value::{Path, Value};

pub(crate) async fn read(
    entry: &Entry<AnyResource>,
    request: proto::ReadResourceRequest,
    ctx: &Context,
) -> proto::ReadResourceResponse {
    let (last_state, last_private) = (request.current_state.clone(), request.private.clone());
    let mut warnings = Diagnostics::new();
    let outcome = try_read(entry, request, ctx, &mut warnings).await;
    let (new_state, private) = outcome.unwrap_or_else(|errors| {
        warnings.extend(errors);
        (last_state.unwrap_or_else(answer::null), last_private)
    });
    proto::ReadResourceResponse {
        new_state: Some(new_state),
        private,
        diagnostics: answer::diagnostics(entry.prepared.fields(), warnings),
        ..proto::ReadResourceResponse::default()
    }
}

async fn try_read(
    entry: &Entry<AnyResource>,
    request: proto::ReadResourceRequest,
    ctx: &Context,
    warnings: &mut Diagnostics,
) -> Result<(proto::DynamicValue, Vec<u8>), Diagnostics> {
    let prepared = &entry.prepared;
    let prior = answer::decode(&prepared.ty, request.current_state.as_ref())?;
    let asked = ReadRequest { state: prior.clone(), private: request.private.clone() };
    let result = guard::catch(ctx, entry.kind.0.read(asked, ctx)).await?;
    result.diagnostics.clone().into_result()?;
    warnings.extend(result.diagnostics);
    let private = result.private.unwrap_or(request.private);
    let mut state = match result.found {
        Found::State(state) => finish(prepared, state, "read")?,
        Found::Gone => return Ok((answer::null(), private)),
        Found::Nothing => prior.clone(),
    };
    plan::keep_same_meaning(prepared.fields(), &prior, &mut state);
    Ok((answer::encode(&prepared.ty, &state)?, private))
}

/// A state from a handler, if it is one that core stores.
fn finish(prepared: &Prepared, state: Value, operation: &str) -> Result<Value, Diagnostics> {
    let (state, problems) = state::in_form(prepared, state);
    let mut found = Diagnostics::new();
    found.extend(problems.iter().map(|problem| state_bug(&problem.path, &problem.message, operation)));
    let unknown = check::unknown_paths(&state);
    found.extend(unknown.iter().map(|path| state_bug(path, "it is unknown", operation)));
    if state.is_null() && found.is_empty() {
        found.push(state_bug(&Path::root(), "the state is null", operation));
    }
    found.into_result().map(|()| state)
}

fn state_bug(path: &Path, rule: &str, operation: &str) -> Diagnostic {
    let place = if path.is_root() { "the resource".to_owned() } else { path.to_string() };
    let detail = format!(
        "This is a bug in the provider. {place}: {rule} after {operation}. The stored state was not changed."
    );
    Diagnostic::error("The provider returned an invalid state", detail).at(path.clone())
}

pub(crate) async fn import(
    entry: &Entry<AnyResource>,
    request: proto::ImportResourceStateRequest,
    ctx: &Context,
) -> proto::ImportResourceStateResponse {
    let type_name = request.type_name.clone();
    let mut warnings = Diagnostics::new();
    let outcome = try_import(entry, request, ctx, &mut warnings).await;
    let imported_resources = match outcome {
        Ok((state, private)) => {
            let state = Some(state);
            vec![proto::import_resource_state_response::ImportedResource {
                type_name,
                state,
                private,
                identity: None,
            }]
        }
        Err(errors) => {
            warnings.extend(errors);
            Vec::new()
        }
    };
    let diagnostics = answer::diagnostics(entry.prepared.fields(), warnings);
    proto::ImportResourceStateResponse { imported_resources, diagnostics, deferred: None }
}

async fn try_import(
    entry: &Entry<AnyResource>,
    request: proto::ImportResourceStateRequest,
    ctx: &Context,
    warnings: &mut Diagnostics,
) -> Result<(proto::DynamicValue, Vec<u8>), Diagnostics> {
    let prepared = &entry.prepared;
    if request.id.is_empty() {
        let detail =
            "This provider imports by id only. Nothing was changed. Use `id = …` in the import block.";
        return Err(Diagnostic::error("Import by identity is not possible", detail).into());
    }
    let result = guard::catch(ctx, entry.kind.0.import(&request.id, ctx)).await?;
    result.diagnostics.clone().into_result()?;
    warnings.extend(result.diagnostics);
    let mut state = result.state.unwrap_or(Value::Null);
    state::with_absent(&prepared.ty, &mut state);
    plan::fill_defaults(prepared.fields(), &mut state);
    let state = finish(prepared, state, "import")?;
    Ok((answer::encode(&prepared.ty, &state)?, result.private.unwrap_or_default()))
}

pub(crate) async fn upgrade(
    entry: &Entry<AnyResource>,
    request: proto::UpgradeResourceStateRequest,
    ctx: &Context,
) -> proto::UpgradeResourceStateResponse {
    let mut warnings = Diagnostics::new();
    let outcome = try_upgrade(entry, request, ctx, &mut warnings).await;
    let upgraded_state = outcome.map_err(|errors| warnings.extend(errors)).ok();
    let diagnostics = answer::diagnostics(entry.prepared.fields(), warnings);
    proto::UpgradeResourceStateResponse { upgraded_state, diagnostics }
}

async fn try_upgrade(
    entry: &Entry<AnyResource>,
    request: proto::UpgradeResourceStateRequest,
    ctx: &Context,
    warnings: &mut Diagnostics,
) -> Result<proto::DynamicValue, Diagnostics> {
    let prepared = &entry.prepared;
    let json = request.raw_state.unwrap_or_default().json;
    if json.is_empty() {
        let detail = "The stored state is in the form of Terraform 0.11 and older. It was not changed.";
        return Err(Diagnostic::error("State cannot be read", detail).into());
    }
    let current = prepared.schema.schema_version();
    if request.version == current {
        // Echoed as it came: a number that passed through another form could come back as a difference.
        return Ok(proto::DynamicValue { msgpack: Vec::new(), json });
    }
    if request.version > current {
        let detail = format!(
            "The state was written by schema version {}, this provider writes version {current}. It was not \
             changed. Use the provider release that wrote it, or a newer one.",
            request.version
        );
        return Err(Diagnostic::error("State is newer than the provider", detail).into());
    }
    let text = String::from_utf8(json).map_err(|_| {
        Diagnostic::error("State cannot be read", "The stored state is not UTF-8. It was not changed.")
    })?;
    let result = guard::catch(ctx, entry.kind.0.upgrade(request.version, RawState::new(text), ctx)).await?;
    result.diagnostics.clone().into_result()?;
    warnings.extend(result.diagnostics);
    let mut state = result.state.unwrap_or(Value::Null);
    state::with_absent(&prepared.ty, &mut state);
    let state = finish(prepared, state, "upgrade")?;
    Ok(answer::encode(&prepared.ty, &state)?)
}
