// SPDX-License-Identifier: MPL-2.0
//! ApplyResourceChange. The one rule above all: an object that may exist is never dropped from state. Core drops
//! it when the answer is null, has the wrong form, holds a write-only value, or does not come at all; so whatever
//! a handler does, the answer here is a state that core keeps.

use super::answer;
use super::guard;
use super::registry::{Entry, Prepared};
use super::state;
use crate::check;
use crate::context::Context;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::generated::tfplugin6 as proto;
use crate::plan;
use crate::provider::{AnyResource, ApplyResult, CreateRequest, DeleteRequest, UpdateRequest};
use crate::value::{CodecError, Path, Value};

/// What was asked, in our types.
struct Change {
    config: Value,
    prior: Value,
    planned: Value,
    private: Vec<u8>,
}

/// What is answered.
struct Outcome {
    state: Value,
    private: Vec<u8>,
    diagnostics: Diagnostics,
}

pub(crate) async fn apply_change(
    entry: &Entry<AnyResource>,
    request: proto::ApplyResourceChangeRequest,
    ctx: &Context,
) -> proto::ApplyResourceChangeResponse {
    let prior_state = request.prior_state.clone();
    let private = request.planned_private.clone();
    match decode(&entry.prepared, request) {
        Ok(change) => {
            let outcome = apply(entry, &change, ctx).await;
            let encoded = answer::encode(&entry.prepared.ty, &outcome.state);
            let mut diagnostics = outcome.diagnostics;
            let new_state = encoded.unwrap_or_else(|error| {
                diagnostics.push(error);
                prior_state.unwrap_or_else(answer::null)
            });
            response(entry, new_state, outcome.private, diagnostics)
        }
        // Nothing was done yet, so the prior state is the truth.
        Err(error) => response(entry, prior_state.unwrap_or_else(answer::null), private, error.into()),
    }
}

fn response(
    entry: &Entry<AnyResource>,
    new_state: proto::DynamicValue,
    private: Vec<u8>,
    diagnostics: Diagnostics,
) -> proto::ApplyResourceChangeResponse {
    proto::ApplyResourceChangeResponse {
        new_state: Some(new_state),
        private,
        diagnostics: answer::diagnostics(entry.prepared.fields(), diagnostics),
        ..proto::ApplyResourceChangeResponse::default()
    }
}

fn decode(prepared: &Prepared, request: proto::ApplyResourceChangeRequest) -> Result<Change, Diagnostic> {
    let ty = &prepared.ty;
    Ok(Change {
        config: answer::decode(ty, request.config.as_ref())?,
        prior: answer::decode(ty, request.prior_state.as_ref())?,
        planned: answer::decode(ty, request.planned_state.as_ref())?,
        private: request.planned_private,
    })
}

async fn apply(entry: &Entry<AnyResource>, change: &Change, ctx: &Context) -> Outcome {
    if change.planned.is_null() {
        return delete(entry, change, ctx).await;
    }
    let Change { config, prior, planned, private } = change;
    let (config, planned, private) = (config.clone(), planned.clone(), private.clone());
    let caught = if prior.is_null() {
        guard::catch(ctx, entry.kind.0.create(CreateRequest { config, planned, private }, ctx)).await
    } else {
        let request = UpdateRequest { config, prior: prior.clone(), planned, private };
        guard::catch(ctx, entry.kind.0.update(request, ctx)).await
    };
    let result = caught.unwrap_or_else(|incident| {
        let known = ctx.recorded().state.unwrap_or_else(|| last_resort(change));
        ApplyResult::partial(known, incident)
    });
    // The handler may have made the object by now, so even our own mistakes must not lose it.
    let finished =
        guard::catch_sync(ctx, || finish(&entry.prepared, change, with_recorded(result, change, ctx), ctx));
    finished.unwrap_or_else(|incident| Outcome {
        state: last_resort(change),
        private: change.private.clone(),
        diagnostics: incident.into(),
    })
}

/// The best that is known of an object when nothing else is: what it was before, or else what it was to become.
fn last_resort(change: &Change) -> Value {
    let known = if change.prior.is_null() { &change.planned } else { &change.prior };
    check::without_unknowns(known.clone())
}

/// What the handler recorded on its way is better than a guess of ours, but not than its own final word.
fn with_recorded(mut result: ApplyResult, change: &Change, ctx: &Context) -> ApplyResult {
    let recorded = ctx.recorded();
    result.private = result.private.or(recorded.private);
    // Null is no state either.
    result.state = result.state.filter(|state| !state.is_null());
    if result.state.is_none() {
        if !result.diagnostics.has_errors() {
            let rule = "the operation succeeded but no state was returned";
            result.diagnostics.push(result_bug(&Path::root(), rule));
            result.state = Some(recorded.state.unwrap_or_else(|| last_resort(change)));
        } else {
            result.state = recorded.state;
        }
    }
    result
}

fn finish(prepared: &Prepared, change: &Change, result: ApplyResult, ctx: &Context) -> Outcome {
    let mut diagnostics = result.diagnostics;
    let private = result.private.unwrap_or_else(|| change.private.clone());
    let failed = diagnostics.has_errors();
    let Some(state) = result.state else {
        // The handler says that nothing was made, or nothing was changed.
        return Outcome { state: change.prior.clone(), private, diagnostics };
    };

    let (mut state, problems) = state::in_form(prepared, state);
    diagnostics.extend(problems.iter().map(|problem| result_bug(&problem.path, &problem.message)));
    state = salvage(state, change, &problems);
    plan::keep_same_meaning(prepared.fields(), &change.planned, &mut state);
    if !failed && problems.is_empty() {
        let violations = check::check_result(&change.planned, &state);
        diagnostics.extend(violations.iter().map(|violation| result_bug(&violation.path, &violation.rule)));
        let unknown = check::unknown_paths(&state);
        diagnostics.extend(unknown.iter().map(|path| result_bug(path, "it is still unknown after apply")));
    }
    if diagnostics.has_errors() && !failed {
        tracing::error!(incident = ctx.request_id(), "the provider's result breaks the rules of its plan");
    }
    Outcome { state: check::without_unknowns(state), private, diagnostics }
}

/// Fills what a malformed answer lost with what is known from the plan or the state before.
fn salvage(mut state: Value, change: &Change, problems: &[CodecError]) -> Value {
    if !matches!(state, Value::Object(_)) {
        return last_resort(change);
    }
    for problem in problems {
        let Some(crate::Step::Attribute(name)) = problem.path.steps().first() else { continue };
        let known =
            [change.planned.get(name), change.prior.get(name)].into_iter().find(|v| v.is_wholly_known());
        if let Some(known) = known {
            state.set(name, known.clone());
        }
    }
    state
}

fn result_bug(path: &Path, rule: &str) -> Diagnostic {
    let place = if path.is_root() { "the resource".to_owned() } else { path.to_string() };
    Diagnostic::error(
        "The provider returned an invalid result",
        format!(
            "This is a bug in the provider. {place}: {rule}. The object is kept in state as far as it is known; \
             run terraform plan to see whether it needs to be repaired."
        ),
    )
    .at(path.clone())
}

async fn delete(entry: &Entry<AnyResource>, change: &Change, ctx: &Context) -> Outcome {
    let request = DeleteRequest { prior: change.prior.clone(), private: change.private.clone() };
    let caught = guard::catch(ctx, entry.kind.0.delete(request, ctx)).await;
    let diagnostics = caught.map_or_else(Diagnostics::from, |result| result.diagnostics);
    let state = if diagnostics.has_errors() { change.prior.clone() } else { Value::Null };
    Outcome { state, private: change.private.clone(), diagnostics }
}
