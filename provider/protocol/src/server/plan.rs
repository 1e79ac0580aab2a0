// SPDX-License-Identifier: MPL-2.0
//! PlanResourceChange: the mechanical plan, the resource's own part, and the check of both.

use std::sync::Arc;

use super::answer;
use super::guard;
use super::registry::{Entry, Prepared};
use super::state;
use crate::check;
use crate::context::Context;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::generated::tfplugin6 as proto;
use crate::plan;
use crate::provider::{AnyResource, DeferReason, PlanAction, PlanRequest, PlanResult};
use crate::schema::{Stage, validate_fields};
use crate::value::{Path, Value};

/// A plan that passed every check.
struct Plan {
    planned: Value,
    replace: Vec<Path>,
    private: Vec<u8>,
    deferred: Option<DeferReason>,
}

pub(crate) async fn plan_change(
    entry: &Entry<AnyResource>,
    request: proto::PlanResourceChangeRequest,
    ctx: &Context,
) -> proto::PlanResourceChangeResponse {
    let mut warnings = Diagnostics::new();
    let outcome = try_plan(entry, request, ctx, &mut warnings).await;
    let fields = entry.prepared.fields();
    let encoded = outcome.and_then(|plan| Ok((answer::encode(&entry.prepared.ty, &plan.planned)?, plan)));
    match encoded {
        Ok((planned_state, plan)) => proto::PlanResourceChangeResponse {
            planned_state: Some(planned_state),
            requires_replace: plan.replace.iter().map(answer::attribute_path).collect(),
            planned_private: plan.private,
            diagnostics: answer::diagnostics(fields, warnings),
            deferred: plan.deferred.map(deferred),
            ..proto::PlanResourceChangeResponse::default()
        },
        Err(errors) => {
            warnings.extend(errors);
            let diagnostics = answer::diagnostics(fields, warnings);
            proto::PlanResourceChangeResponse { diagnostics, ..proto::PlanResourceChangeResponse::default() }
        }
    }
}

fn deferred(reason: DeferReason) -> proto::Deferred {
    let reason = match reason {
        DeferReason::ResourceConfigUnknown => proto::deferred::Reason::ResourceConfigUnknown,
        DeferReason::ProviderConfigUnknown => proto::deferred::Reason::ProviderConfigUnknown,
        DeferReason::AbsentPrerequisite => proto::deferred::Reason::AbsentPrereq,
    };
    proto::Deferred { reason: reason.into() }
}

/// Messages of a plan that stands go to `warnings`; an error is the answer itself.
async fn try_plan(
    entry: &Entry<AnyResource>,
    request: proto::PlanResourceChangeRequest,
    ctx: &Context,
    warnings: &mut Diagnostics,
) -> Result<Plan, Diagnostics> {
    let Prepared { ty, .. } = &entry.prepared;
    let fields = entry.prepared.fields();
    let config = Arc::new(answer::decode(ty, request.config.as_ref())?);
    let prior = Arc::new(answer::decode(ty, request.prior_state.as_ref())?);
    let capabilities = request.client_capabilities.unwrap_or_default();
    // Whether there is one is all that is used of core's own proposal: `plan::propose` knows the schema's marks too.
    let action = match (prior.is_null(), answer::is_null(request.proposed_new_state.as_ref())) {
        (_, true) => PlanAction::Delete,
        (true, false) => PlanAction::Create,
        (false, false) => PlanAction::Update,
    };

    if action != PlanAction::Delete {
        state::write_only_allowed(fields, &config, capabilities.write_only_attributes_allowed)?;
        let mut found = Diagnostics::new();
        validate_fields(fields, &config, Stage::Planned, &Path::root(), &mut found);
        found.into_result()?;
    }
    let propose = || {
        let mut proposed = match action {
            PlanAction::Delete => return Value::Null,
            PlanAction::Create | PlanAction::Update => plan::propose(fields, &config, &prior),
        };
        if action == PlanAction::Update {
            plan::forget_changing(fields, &config, &prior, &mut proposed);
        }
        proposed
    };
    let proposed = propose();
    let asked = PlanRequest {
        action,
        config: Arc::clone(&config),
        prior: Arc::clone(&prior),
        requires_replace: plan::replacements(fields, &prior, &proposed),
        proposed,
        private: request.prior_private.clone(),
        deferral_allowed: capabilities.deferral_allowed,
    };
    let result = guard::catch(ctx, entry.kind.0.plan(asked, ctx)).await?;
    result.diagnostics.clone().into_result()?;
    warnings.extend(result.diagnostics.clone());
    let deferred = check_deferred(&result, capabilities.deferral_allowed)?;

    let private = result.private.clone().unwrap_or(request.prior_private);
    if action == PlanAction::Delete {
        return Ok(Plan { planned: Value::Null, replace: Vec::new(), private, deferred });
    }
    // Rarely needed once more, and then made once more: a copy for every plan would cost more.
    let planned = result.planned.filter(|_| deferred.is_none()).unwrap_or_else(propose);
    let planned = finish(&entry.prepared, &config, &prior, planned)?;
    let mut replace = plan::replacements(fields, &prior, &planned);
    if action == PlanAction::Update {
        add_own_replacements(result.requires_replace, &prior, &planned, &mut replace)?;
    }
    Ok(Plan { planned, replace, private, deferred })
}

fn check_deferred(result: &PlanResult, allowed: bool) -> Result<Option<DeferReason>, Diagnostic> {
    match result.deferred {
        Some(_) if !allowed => Err(Diagnostic::error(
            "This resource cannot be planned yet",
            "Too much of its configuration, or of the provider's, is known only after apply. Nothing was changed. \
             Apply what it depends on first (terraform apply -target=…), then plan again.",
        )),
        reason => Ok(reason),
    }
}

/// The plan in the form of the schema, if core accepts it.
fn finish(prepared: &Prepared, config: &Value, prior: &Value, planned: Value) -> Result<Value, Diagnostics> {
    let (planned, problems) = state::in_form(prepared, planned);
    let mut found = Diagnostics::new();
    found.extend(problems.iter().map(|problem| plan_bug(&problem.path, &problem.message)));
    if found.is_empty() {
        let violations = check::check_plan(prepared.fields(), config, prior, &planned);
        found.extend(violations.iter().map(|violation| plan_bug(&violation.path, &violation.rule)));
    }
    found.into_result().map(|()| planned)
}

fn plan_bug(path: &Path, rule: &str) -> Diagnostic {
    let place = if path.is_root() { "the resource".to_owned() } else { path.to_string() };
    Diagnostic::error(
        "The provider made an invalid plan",
        format!("This is a bug in the provider. {place}: {rule}. Nothing was changed."),
    )
    .at(path.clone())
}

fn add_own_replacements(
    own: Vec<Path>,
    prior: &Value,
    planned: &Value,
    replace: &mut Vec<Path>,
) -> Result<(), Diagnostic> {
    for path in own {
        if prior.at(&path).is_none() && planned.at(&path).is_none() {
            return Err(plan_bug(
                &path,
                "a replacement is asked for a place that is neither in state nor in the plan",
            ));
        }
        if !replace.contains(&path) {
            replace.push(path);
        }
    }
    Ok(())
}
