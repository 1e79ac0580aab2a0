// SPDX-License-Identifier: MPL-2.0
//! `drbd_security_group` as Terraform calls it.

use std::collections::BTreeSet;
use std::sync::Arc;

use drbd_ec2::{Ec2, Ec2Error, GroupName, SecurityGroup, Tags};
use tfplugin::{
    ApplyResult, Context, CreateRequest, DeleteRequest, DeleteResult, Diagnostic, Diagnostics, ImportResult,
    PlanAction, PlanRequest, PlanResult, ReadRequest, ReadResult, Resource, Schema, UpdateRequest, Value,
};

use super::model::{self, Wanted, compare};
use super::schema;
use crate::provider::Shared;

/// Private bytes of a group that was imported: an import changes nothing in EC2, because it is also what a plan does. Our tags
/// are written by the first apply that does something to the group.
const UNTAGGED: &[u8] = b"untagged";
const TAGGED: &[u8] = b"";

/// The resource.
pub(crate) struct SecurityGroupResource {
    shared: Arc<Shared>,
}

impl SecurityGroupResource {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    async fn try_create(&self, planned: &Value, ctx: &Context) -> Result<Value, ApplyResult> {
        let wanted = checked(planned).map_err(ApplyResult::failed)?;
        let configured = self.shared.configured().map_err(ApplyResult::failed)?;
        let ec2 = configured.ec2().map_err(ApplyResult::failed)?;
        let problem = |error: Ec2Error| told(&error, &wanted.name);
        // Refused before anything is made.
        let known = ec2.groups_in(&wanted.vpc_id, &wanted.groups()).await;
        known.map_err(|error| ApplyResult::failed(problem(error)))?;
        let made = ec2.ensure_group(&group_name(&wanted), &wanted.tags).await;
        let made = made.map_err(|error| ApplyResult::failed(problem(error)))?;
        let mut state = planned.clone();
        state.set("id", made.id.as_str());
        state.set("undeclared_rules", Value::List(Vec::new()));
        state.set("drift", Value::list(["unfinished"]));
        ctx.record_state(&state);
        let done = async {
            let group = converge(ec2, &wanted, &made.id, None).await?;
            ec2.tag_group(&group, &Tags::new(), &wanted.tags).await?;
            ec2.mark_group_finished(&group).await?;
            Ok(group)
        };
        match done.await {
            Ok(group) => Ok(finished(state, &wanted, &group)),
            Err(error) => Err(ApplyResult::partial(state, problem(error))),
        }
    }

    async fn try_read(&self, mut state: Value, untagged: bool) -> Result<Option<Value>, Diagnostics> {
        let name = state.get("name").as_str().unwrap_or_default().to_owned();
        let id = state.get("id").as_str().unwrap_or_default().to_owned();
        let configured = self.shared.configured()?;
        let ec2 = configured.ec2()?;
        let found = ec2.security_group(&id).await.map_err(|error| told(&error, &name))?;
        let Some(group) = found else { return Ok(None) };
        let wanted = Wanted::read(&state)?;
        let (mut drift, undeclared) = compare(&wanted, &group);
        let missing = ec2.group_tags_missing(&group, &wanted.tags);
        // Our own are written by the first apply that changes something.
        let missing = missing.iter().filter(|(key, _)| !untagged || wanted.tags.contains_key(*key));
        drift.extend(missing.map(|(key, value)| format!("the tag {key} = {value:?} is missing")));
        state.set("drift", Value::list(drift));
        state.set("undeclared_rules", Value::list(undeclared));
        Ok(Some(state))
    }

    async fn try_update(&self, req: &UpdateRequest) -> Result<Value, Diagnostics> {
        let (before, wanted) = (Wanted::read(&req.prior)?, checked(&req.planned)?);
        let configured = self.shared.configured()?;
        let ec2 = configured.ec2()?;
        let id = req.prior.get("id").as_str().unwrap_or_default();
        let new: BTreeSet<String> = wanted.groups().difference(&before.groups()).cloned().collect();
        let changed = async {
            ec2.groups_in(&wanted.vpc_id, &new).await?;
            self.claim(ec2, id, &req.private).await?;
            let group = converge(ec2, &wanted, id, Some(&before)).await?;
            ec2.tag_group(&group, &before.tags, &wanted.tags).await?;
            ec2.mark_group_finished(&group).await?;
            Ok(group)
        };
        let group = changed.await.map_err(|error: Ec2Error| told(&error, &wanted.name))?;
        Ok(finished(req.planned.clone(), &wanted, &group))
    }

    /// Gives a group that was imported our tags, before anything is done with it.
    async fn claim(&self, ec2: &Ec2, id: &str, private: &[u8]) -> Result<(), Ec2Error> {
        match ec2.security_group(id).await? {
            Some(group) if private == UNTAGGED => ec2.adopt_group(&group).await,
            _ => Ok(()),
        }
    }

    async fn try_delete(&self, req: &DeleteRequest, ctx: &Context) -> Result<(), Diagnostics> {
        let prior = &req.prior;
        let wanted = Wanted::read(prior)?;
        let configured = self.shared.configured()?;
        ctx.progress(&format!("{}: deleting it as soon as nothing uses it", wanted.name));
        let id = prior.get("id").as_str().unwrap_or_default();
        let ec2 = configured.ec2()?;
        let deleted = async {
            self.claim(ec2, id, &req.private).await?;
            ec2.delete_group(&group_name(&wanted), id).await
        };
        deleted.await.map_err(|error| told(&error, &wanted.name).into())
    }

    async fn try_import(&self, id: &str) -> Result<Value, Diagnostics> {
        let configured = self.shared.configured()?;
        let ec2 = configured.ec2()?;
        if !id.starts_with("sg-") {
            let detail =
                format!("{id:?} is no id of a security group. Expected is for example sg-0123456789abcdef0.");
            return Err(Diagnostic::error("Import id not understood", detail).into());
        }
        let problem = |error: Ec2Error| told(&error, id);
        let group = ec2.security_group(id).await.map_err(problem)?.ok_or_else(|| {
            let detail =
                format!("There is no security group {id}. Check the id, the region and the account.");
            Diagnostic::error("Security group not imported", detail)
        })?;
        ec2.group_adoptable(&group).map_err(problem)?;
        Ok(model::imported(&group, &ec2.group_tags_of_users(&group)))
    }
}

/// What is declared, once everything in it is known.
fn checked(planned: &Value) -> Result<Wanted, Diagnostics> {
    model::open_to_world(planned).into_result()?;
    Ok(Wanted::read(planned)?)
}

fn group_name(wanted: &Wanted) -> GroupName {
    GroupName { vpc_id: wanted.vpc_id.clone(), name: wanted.name.clone() }
}

/// Rules that were declared before, and no longer are, go in any case.
async fn converge(
    ec2: &Ec2,
    wanted: &Wanted,
    id: &str,
    before: Option<&Wanted>,
) -> Result<SecurityGroup, Ec2Error> {
    let was = before.map(|before| before.rules(id)).unwrap_or_default();
    ec2.set_rules(&group_name(wanted), id, &wanted.rules(id), |rule| {
        wanted.remove_undeclared || was.contains(rule)
    })
    .await
}

fn finished(mut state: Value, wanted: &Wanted, group: &SecurityGroup) -> Value {
    let (_, undeclared) = compare(wanted, group);
    state.set("id", group.id.as_str());
    state.set("undeclared_rules", Value::list(undeclared));
    state.set("drift", Value::List(Vec::new()));
    state
}

fn told(error: &Ec2Error, name: &str) -> Diagnostic {
    Diagnostic::error(format!("{}: security group {name}", error.summary()), error.to_string())
}

fn planned(req: &PlanRequest) -> PlanResult {
    let mut plan = req.proposed.clone();
    if req.action == PlanAction::Delete {
        return PlanResult::ok(plan);
    }
    let mut told = model::open_to_world(&plan);
    if req.action == PlanAction::Update && req.requires_replace.is_empty() {
        plan.set("drift", Value::List(Vec::new()));
        let undeclared = req.prior.get("undeclared_rules");
        if undeclared.elements().is_some_and(|rules| !rules.is_empty())
            && plan.get("undeclared").as_str() == Some("keep")
        {
            told.push(kept(undeclared));
        }
        if plan != req.prior {
            // What an apply finds beside the declared rules, nobody knows before.
            plan.set("undeclared_rules", Value::unknown());
        }
    }
    PlanResult::ok(plan).diagnostics(told)
}

fn kept(rules: &Value) -> Diagnostic {
    let rules: Vec<&str> = rules.elements().unwrap_or_default().iter().filter_map(Value::as_str).collect();
    let detail = format!(
        "The group has rules that are not declared, and keeps them: {}. Declare them, remove them, or say undeclared = \"remove\".",
        rules.join("; ")
    );
    Diagnostic::warning("Rules that are not declared", detail)
}

impl Resource for SecurityGroupResource {
    fn type_name(&self) -> String {
        "drbd_security_group".into()
    }

    fn schema(&self) -> Schema {
        schema::schema()
    }

    async fn validate(&self, config: &Value, _ctx: &Context) -> Diagnostics {
        model::open_to_world(config)
    }

    async fn plan(&self, req: PlanRequest, _ctx: &Context) -> PlanResult {
        planned(&req)
    }

    async fn create(&self, req: CreateRequest, ctx: &Context) -> ApplyResult {
        self.try_create(&req.planned, ctx).await.map_or_else(|failed| failed, ApplyResult::ok)
    }

    async fn read(&self, req: ReadRequest, _ctx: &Context) -> ReadResult {
        self.try_read(req.state, req.private == UNTAGGED).await.into()
    }

    async fn update(&self, req: UpdateRequest, _ctx: &Context) -> ApplyResult {
        let done = self.try_update(&req).await;
        done.map_or_else(ApplyResult::failed, |state| ApplyResult::ok(state).private(TAGGED))
    }

    async fn delete(&self, req: DeleteRequest, ctx: &Context) -> DeleteResult {
        self.try_delete(&req, ctx).await.map_or_else(DeleteResult::failed, |()| DeleteResult::ok())
    }

    async fn import(&self, id: &str, _ctx: &Context) -> ImportResult {
        ImportResult::from(self.try_import(id).await).private(UNTAGGED)
    }
}
