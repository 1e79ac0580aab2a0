// SPDX-License-Identifier: MPL-2.0
//! `drbd_node` as Terraform calls it.

use std::collections::BTreeSet;
use std::sync::Arc;

use tfplugin::{
    ApplyResult, Context, CreateRequest, Decode, DeleteRequest, DeleteResult, Diagnostic, Diagnostics,
    ImportResult, Path, PlanAction, PlanRequest, PlanResult, ReadRequest, ReadResult, Resource, Schema,
    Severity, UpdateRequest, Value,
};

use drbd_schemas::facts::HostFacts;

use super::ec2;
use super::model::{self, NodeModel};
use super::observe;
use super::pools::{self, Made};
use super::{schema, validate};
use crate::host::Host;
use crate::provider::Shared;
use crate::ssh_settings::{self, SshSettings};

/// The resource.
pub(crate) struct NodeResource {
    shared: Arc<Shared>,
}

impl NodeResource {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    fn host(&self, model: &NodeModel) -> Result<Arc<Host>, Diagnostic> {
        self.shared.configured()?.host(model.ssh.as_ref().unwrap_or(&SshSettings::default()))
    }

    async fn try_create(&self, req: &CreateRequest, ctx: &Context) -> Result<ApplyResult, ApplyResult> {
        let mut planned = req.planned.clone();
        let mut warnings = Diagnostics::new();
        if ec2::is_instance(&planned) {
            warnings = self.bring_up(&mut planned, None, ctx).await?;
        }
        // From here on the objects of a launched node have to stay in the state.
        let launched = ec2::is_instance(&planned).then(|| planned.clone());
        let early = |problems: Diagnostics| match &launched {
            Some(state) => ApplyResult::partial(unfinished(state, &problems), problems),
            None => ApplyResult::failed(problems),
        };
        let (model, host, facts) = self.ready(&planned).await.map_err(early)?;
        let keys = known_hosts(&model, &host).await.map_err(|problem| early(problem.into()))?;
        let state = filled(&planned, &model, &facts, &keys);
        ctx.record_state(&state);
        let mut made = Made::default();
        if let Err(problem) = pools::make(&model, &host, &facts, &mut made, ctx).await {
            let problems = Diagnostics::from(problem);
            return Err(ApplyResult::partial(unfinished(&state, &problems), problems).private(made.write()));
        }
        Ok(ApplyResult::ok(state).private(made.write()).diagnostics(warnings))
    }

    /// The instance of a node, and its disks.
    async fn bring_up(
        &self,
        state: &mut Value,
        prior: Option<ec2::Prior<'_>>,
        ctx: &Context,
    ) -> Result<Diagnostics, ApplyResult> {
        let configured = self.shared.configured().map_err(ApplyResult::failed)?;
        let work = ec2::bring_up(&configured, state, prior, ctx);
        let done = tokio::select! {
            done = work => done,
            () = ctx.cancelled().cancelled() => {
                // What was made is in the state that was recorded, or found again by its tags.
                let stopped = "Stopped before the instance was ready. What was made until then is kept; apply again to go on.";
                return Err(ApplyResult::failed(Diagnostic::error("Stopped", stopped)));
            }
        };
        done.map_err(|failed| {
            if failed.touched {
                ApplyResult::partial(unfinished(state, &failed.problems), failed.problems)
            } else {
                ApplyResult::failed(failed.problems)
            }
        })
    }

    /// The host of a node, when it is as it must be, and all pools can be made. All refusals come before the first pool is
    /// made: up to here nothing is to be cleaned up on it.
    async fn ready(&self, planned: &Value) -> Result<(NodeModel, Arc<Host>, HostFacts), Diagnostics> {
        let model = NodeModel::decode(planned, &Path::root())?;
        let host = self.host(&model)?;
        let looked = host.fresh_facts(&[]).await;
        let facts = looked.map_err(|t| t.diagnostic(model.name.as_str(), &host, "take the facts"))?;
        let mut findings = observe::host_findings(&model, &facts);
        findings.extend(observe::pool_findings(&model, &facts, true));
        findings.iter().map(observe::Finding::diagnostic).collect::<Diagnostics>().into_result()?;
        pools::check(&model, &host).await?;
        Ok((model, host, facts))
    }

    async fn try_read(&self, mut state: Value) -> Result<ReadResult, Diagnostics> {
        let mut drift = Vec::new();
        if ec2::is_instance(&state) {
            let configured = self.shared.configured()?;
            let host = state.get("ssh").get("host").as_str().map(str::to_owned);
            let (seen, losses) = ec2::see(configured.ec2()?, state).await?;
            if let Some(host) = host {
                configured.has_lost(&host, losses);
            }
            match seen {
                ec2::Seen::Gone => return Ok(ReadResult::gone()),
                ec2::Seen::Down(down) => return Ok(ReadResult::ok(down)),
                ec2::Seen::Up(up, found) => (state, drift) = (up, found),
            }
            // Its making ended before the first login: nobody knows yet how to ask the host.
            if state.get("ssh").get("host").is_null() {
                drift.insert(0, "unfinished: the instance was launched, and not logged in to".to_owned());
                state.set("drift", Value::list(drift));
                return Ok(ReadResult::ok(state));
            }
        }
        let model = NodeModel::decode(&state, &Path::root())?;
        let host = self.host(&model)?;
        let facts = match host.facts().await {
            Ok(facts) => facts,
            Err(trouble) => {
                let mut problem = trouble.diagnostic(model.name.as_str(), &host, "read the node");
                problem.detail.push_str(trouble.moved_hint());
                if !trouble.is_silence() {
                    return Err(problem.into());
                }
                problem.severity = Severity::Warning;
                return Ok(ReadResult::ok(state).warn(problem));
            }
        };
        observe::fill(&mut state, &facts);
        state.set("known_hosts", Value::list(known_hosts(&model, &host).await?));
        drift.extend(observe::drift(&model, &facts));
        state.set("drift", Value::list(drift));
        Ok(ReadResult::ok(state))
    }

    async fn try_update(&self, req: &UpdateRequest, ctx: &Context) -> Result<ApplyResult, ApplyResult> {
        let mut planned = req.planned.clone();
        let launched = ec2::is_instance(&planned);
        let mut warnings = Diagnostics::new();
        let mut made = Made::read(&req.private);
        if launched {
            let prior = ec2::Prior { state: &req.prior, untagged: made.untagged };
            warnings = self.bring_up(&mut planned, Some(prior), ctx).await?;
            made.untagged = false;
            ctx.record_private(&made.write());
        }
        let early = |problems: Diagnostics| {
            if launched {
                ApplyResult::partial(unfinished(&planned, &problems), problems)
            } else {
                ApplyResult::failed(problems)
            }
        };
        let prior = NodeModel::decode(&req.prior, &Path::root()).map_err(|problem| early(problem.into()))?;
        let model = NodeModel::decode(&planned, &Path::root()).map_err(|problem| early(problem.into()))?;
        let drifted = req.prior.get("drift").elements().is_some_and(|lines| !lines.is_empty());
        // A disk of a pool that was grown is the same disk, and its pool has to follow.
        if prior.pools == model.pools
            && req.prior.get("storage_pools") == planned.get("storage_pools")
            && prior.module == model.module
            && prior.ssh == model.ssh
            && !drifted
            && !planned.get("known_hosts").is_unknown()
        {
            return Ok(ApplyResult::ok(planned).diagnostics(warnings));
        }
        let (model, host, facts) = self.ready(&planned).await.map_err(early)?;
        let keys = known_hosts(&model, &host).await.map_err(|problem| early(problem.into()))?;
        let changed = async {
            pools::make(&model, &host, &facts, &mut made, ctx).await?;
            pools::remove(&prior, &pools::volume_groups(&model), &host, &mut made, ctx).await
        };
        match changed.await {
            Err(problem) => Err(early(problem.into()).private(made.write())),
            Ok(left) => {
                let state = filled(&planned, &model, &facts, &keys);
                left.into_iter().for_each(|problem| warnings.push(problem));
                Ok(ApplyResult::ok(state).private(made.write()).diagnostics(warnings))
            }
        }
    }

    async fn import_instance(&self, id: &str) -> Result<Value, Diagnostic> {
        ec2::import(&*self.shared.configured()?, id).await
    }

    async fn try_delete(&self, req: &DeleteRequest, ctx: &Context) -> Result<DeleteResult, Diagnostics> {
        if ec2::is_instance(&req.prior) {
            // Its pools go with its disks.
            let prior = ec2::Prior { state: &req.prior, untagged: Made::read(&req.private).untagged };
            let left = ec2::remove(&*self.shared.configured()?, prior, ctx).await?;
            return Ok(DeleteResult::ok().diagnostics(left));
        }
        ec2::forbid_delete(&req.prior)?;
        let model = NodeModel::decode(&req.prior, &Path::root())?;
        let mut made = Made::read(&req.private);
        if made.volume_groups.is_empty() {
            // Nothing on the host belongs to this resource.
            return Ok(DeleteResult::ok());
        }
        let host = self.host(&model)?;
        let left = pools::remove(&model, &BTreeSet::new(), &host, &mut made, ctx).await?;
        Ok(DeleteResult::ok().diagnostics(left))
    }
}

/// A state that says that its making did not come to its end.
fn unfinished(state: &Value, problems: &Diagnostics) -> Value {
    let mut state = state.clone();
    let why = problems.iter().next().map(|problem| problem.summary.clone()).unwrap_or_default();
    state.set("drift", Value::list([format!("unfinished: {why}")]));
    state
}

async fn known_hosts(model: &NodeModel, host: &Host) -> Result<Vec<String>, Diagnostic> {
    let keys = host.known_hosts().await;
    keys.map_err(|trouble| trouble.diagnostic(model.name.as_str(), host, "read the verified host key"))
}

/// The plan with what only the host can tell. Known planned values stay.
fn filled(planned: &Value, model: &NodeModel, facts: &HostFacts, known_hosts: &[String]) -> Value {
    let mut told = planned.clone();
    observe::fill(&mut told, facts);
    told.set("known_hosts", Value::list(known_hosts));
    let mut state = planned.clone();
    for name in ["kernel_version", "drbd_version", "drbd_family", "drbd_utils_version", "known_hosts"] {
        if planned.get(name).is_unknown() {
            state.set(name, told.get(name).clone());
        }
    }
    if planned.get("drift").is_unknown() {
        state.set("drift", Value::List(Vec::new()));
    }
    if planned.get("address").is_unknown() {
        state.set("address", model.address.map(|address| address.to_string()));
    }
    state
}

fn planned(req: &PlanRequest) -> PlanResult {
    let mut plan = req.proposed.clone();
    if req.action == PlanAction::Delete {
        return ec2::forbid_delete(&req.prior).map(|()| plan).into();
    }
    plan.set("id", plan.get("name").clone());
    if req.action == PlanAction::Update {
        plan.set("drift", Value::List(Vec::new()));
    }
    let told = ec2::complete(req, &mut plan);
    if req.config.get("address").is_null() && !ec2::is_instance(&plan) {
        match model::default_address(plan.get("ssh")) {
            Ok(address) => plan.set("address", address),
            Err(problem) => return PlanResult::failed(problem),
        }
    }
    PlanResult::ok(plan).diagnostics(told)
}

impl Resource for NodeResource {
    fn type_name(&self) -> String {
        "drbd_node".into()
    }

    fn schema(&self) -> Schema {
        schema::schema()
    }

    async fn validate(&self, config: &Value, _ctx: &Context) -> Diagnostics {
        validate::node(config)
    }

    async fn plan(&self, req: PlanRequest, _ctx: &Context) -> PlanResult {
        let plan = planned(&req);
        // A provider block that is not known yet cannot ask.
        let Some(configured) = self.shared.configured().ok().filter(|_| ec2::is_instance(&req.proposed))
        else {
            return plan;
        };
        match req.action {
            PlanAction::Create => plan.diagnostics(ec2::preflight(&configured, &req.proposed).await),
            PlanAction::Update => {
                plan.diagnostics(ec2::foretell(&configured, &req.prior, &req.proposed).await)
            }
            _ => plan,
        }
    }

    async fn create(&self, req: CreateRequest, ctx: &Context) -> ApplyResult {
        self.try_create(&req, ctx).await.unwrap_or_else(|failed| failed)
    }

    async fn read(&self, req: ReadRequest, _ctx: &Context) -> ReadResult {
        self.try_read(req.state).await.unwrap_or_else(ReadResult::failed)
    }

    async fn update(&self, req: UpdateRequest, ctx: &Context) -> ApplyResult {
        self.try_update(&req, ctx).await.unwrap_or_else(|failed| failed)
    }

    async fn delete(&self, req: DeleteRequest, ctx: &Context) -> DeleteResult {
        self.try_delete(&req, ctx).await.unwrap_or_else(DeleteResult::failed)
    }

    async fn import(&self, id: &str, _ctx: &Context) -> ImportResult {
        if !ec2::names_instance(id) {
            return import_state(id).map_err(Diagnostics::from).into();
        }
        let imported = self.import_instance(id).await.map_err(Diagnostics::from);
        ImportResult::from(imported).private(Made { untagged: true, ..Made::default() }.write())
    }
}

/// `<name>@<ssh host>`; the host may carry a port.
fn import_state(id: &str) -> Result<Value, Diagnostic> {
    let malformed = |why: String| {
        let detail = format!(
            "{id:?} is no id of a drbd_node: {why}. Expected is <name>@<ssh host>, for example h1@10.0.0.11, or \
             the id of an EC2 instance, for example i-0123456789abcdef0."
        );
        Diagnostic::error("Import id not understood", detail)
    };
    let (name, host) = id.split_once('@').ok_or_else(|| malformed("there is no @ in it".to_owned()))?;
    drbd_schemas::name::check_node_name(name)
        .map_err(|e| malformed(format!("{name:?} is no node name ({e})")))?;
    if host.is_empty() || host.contains([',', '@', ' ']) {
        return Err(malformed(format!("{host:?} is no host")));
    }
    let (bare, port) = ssh_settings::split_port(host);
    let ssh = Value::object([("host", Value::from(bare)), ("port", Value::from(port))]);
    let address = model::default_address(&ssh).unwrap_or(Value::Null);
    Ok(Value::object([
        ("id", Value::from(name)),
        ("name", Value::from(name)),
        ("ssh", ssh),
        ("address", address),
        ("drift", Value::List(Vec::new())),
    ]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_import_id_is_taken_apart_or_explained() {
        let state = import_state("h1@10.0.0.11:2222").unwrap();
        assert_eq!(state.get("name").as_str(), Some("h1"));
        assert_eq!(state.get("ssh").get("port"), &Value::from(2222_u16));
        assert_eq!(state.get("address").as_str(), Some("10.0.0.11"));
        for bad in ["h1", "@10.0.0.1", "h1@", "h_1@x", "h1@a,b"] {
            let detail = import_state(bad).unwrap_err().detail;
            assert!(detail.contains("<name>@<ssh host>"), "{detail}");
        }
    }
}
