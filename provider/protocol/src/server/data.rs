// SPDX-License-Identifier: MPL-2.0
//! ReadDataSource and the ephemeral resources: things that are read and not managed.

use std::time::{SystemTime, UNIX_EPOCH};

use super::answer;
use super::guard;
use super::registry::{Entry, Prepared};
use super::state;
use crate::check;
use crate::context::Context;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::generated::tfplugin6 as proto;
use crate::provider::{AnyDataSource, AnyEphemeral};
use crate::schema::{Stage, validate_fields};
use crate::value::{Path, Value};

pub(crate) async fn read(
    entry: &Entry<AnyDataSource>,
    request: proto::ReadDataSourceRequest,
    ctx: &Context,
) -> proto::ReadDataSourceResponse {
    let mut warnings = Diagnostics::new();
    let outcome = try_read(entry, request, ctx, &mut warnings).await;
    let state = outcome.map_err(|errors| warnings.extend(errors)).ok();
    let diagnostics = answer::diagnostics(entry.prepared.fields(), warnings);
    proto::ReadDataSourceResponse { state, diagnostics, deferred: None }
}

async fn try_read(
    entry: &Entry<AnyDataSource>,
    request: proto::ReadDataSourceRequest,
    ctx: &Context,
    warnings: &mut Diagnostics,
) -> Result<proto::DynamicValue, Diagnostics> {
    let config = answer::decode(&entry.prepared.ty, request.config.as_ref())?;
    let mut found = Diagnostics::new();
    validate_fields(entry.prepared.fields(), &config, Stage::Planned, &Path::root(), &mut found);
    found.into_result()?;
    let result = guard::catch(ctx, entry.kind.0.read(config.clone(), ctx)).await?;
    result.diagnostics.clone().into_result()?;
    warnings.extend(result.diagnostics);
    let state = finish(&entry.prepared, &config, result.state.unwrap_or(Value::Null))?;
    Ok(answer::encode(&entry.prepared.ty, &state)?)
}

/// A result obeys the rules of a plan without a prior state, and is wholly known.
fn finish(prepared: &Prepared, config: &Value, result: Value) -> Result<Value, Diagnostics> {
    let (result, problems) = state::in_form(prepared, result);
    let mut found = Diagnostics::new();
    found.extend(problems.iter().map(|problem| result_bug(&problem.path, &problem.message)));
    if found.is_empty() {
        let violations = check::check_plan(prepared.fields(), config, &Value::Null, &result);
        found.extend(violations.iter().map(|violation| result_bug(&violation.path, &violation.rule)));
        let unknown = check::unknown_paths(&result);
        found.extend(unknown.iter().map(|path| result_bug(path, "it is unknown in the result")));
    }
    found.into_result().map(|()| result)
}

fn result_bug(path: &Path, rule: &str) -> Diagnostic {
    let place = if path.is_root() { "the result".to_owned() } else { path.to_string() };
    let detail = format!("This is a bug in the provider. {place}: {rule}.");
    Diagnostic::error("The provider returned an invalid result", detail).at(path.clone())
}

pub(crate) async fn open(
    entry: &Entry<AnyEphemeral>,
    request: proto::OpenEphemeralResourceRequest,
    ctx: &Context,
) -> proto::OpenEphemeralResourceResponse {
    let mut warnings = Diagnostics::new();
    let outcome = try_open(entry, request, ctx, &mut warnings).await;
    let opened = outcome.map_err(|errors| warnings.extend(errors)).unwrap_or_default();
    let diagnostics = answer::diagnostics(entry.prepared.fields(), warnings);
    proto::OpenEphemeralResourceResponse { diagnostics, ..opened }
}

async fn try_open(
    entry: &Entry<AnyEphemeral>,
    request: proto::OpenEphemeralResourceRequest,
    ctx: &Context,
    warnings: &mut Diagnostics,
) -> Result<proto::OpenEphemeralResourceResponse, Diagnostics> {
    let config = answer::decode(&entry.prepared.ty, request.config.as_ref())?;
    let opened = guard::catch(ctx, entry.kind.0.open(config.clone(), ctx)).await?;
    opened.diagnostics.clone().into_result()?;
    warnings.extend(opened.diagnostics);
    let finished = finish(&entry.prepared, &config, opened.result.unwrap_or(Value::Null));
    let encoded = finished.and_then(|result| Ok(answer::encode(&entry.prepared.ty, &result)?));
    if encoded.is_err() {
        // The caller will never close what it was not given.
        let closed = guard::catch(ctx, entry.kind.0.close(opened.private.clone(), ctx)).await;
        warnings.extend(closed.unwrap_or_else(Diagnostics::from));
    }
    Ok(proto::OpenEphemeralResourceResponse {
        result: Some(encoded?),
        renew_at: opened.renew_at.and_then(timestamp),
        private: Some(opened.private),
        ..proto::OpenEphemeralResourceResponse::default()
    })
}

pub(crate) async fn renew(
    entry: &Entry<AnyEphemeral>,
    request: proto::RenewEphemeralResourceRequest,
    ctx: &Context,
) -> proto::RenewEphemeralResourceResponse {
    let private = request.private.unwrap_or_default();
    let renewed = guard::catch(ctx, entry.kind.0.renew(private.clone(), ctx)).await;
    let renewed = renewed.unwrap_or_else(|incident| crate::provider::RenewResult {
        diagnostics: incident.into(),
        ..crate::provider::RenewResult::default()
    });
    proto::RenewEphemeralResourceResponse {
        diagnostics: answer::diagnostics(entry.prepared.fields(), renewed.diagnostics),
        renew_at: renewed.renew_at.and_then(timestamp),
        private: Some(renewed.private.unwrap_or(private)),
    }
}

pub(crate) async fn close(
    entry: &Entry<AnyEphemeral>,
    request: proto::CloseEphemeralResourceRequest,
    ctx: &Context,
) -> proto::CloseEphemeralResourceResponse {
    let closed = guard::catch(ctx, entry.kind.0.close(request.private.unwrap_or_default(), ctx)).await;
    let diagnostics = closed.unwrap_or_else(Diagnostics::from);
    let diagnostics = answer::diagnostics(entry.prepared.fields(), diagnostics);
    proto::CloseEphemeralResourceResponse { diagnostics }
}

fn timestamp(time: SystemTime) -> Option<proto::Timestamp> {
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    let nanos = i32::try_from(since.subsec_nanos()).ok()?;
    Some(proto::Timestamp { seconds: i64::try_from(since.as_secs()).ok()?, nanos })
}
