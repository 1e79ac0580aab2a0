// SPDX-License-Identifier: MPL-2.0
//! `drbd_replicated_volume` as Terraform calls it: from requests to the engine and back to states.

use std::sync::Arc;

use drbd_schemas::{Secret, VolumeNumber};
use serde::{Deserialize, Serialize};
use tfplugin::{
    ApplyResult, Context, CreateRequest, Decode, DeleteRequest, DeleteResult, Diagnostic, Diagnostics,
    ImportResult, Path, PlanRequest, PlanResult, RawState, ReadRequest, ReadResult, Resource, Schema,
    UpdateRequest, UpgradeResult, Value,
};
use tokio::time::Instant;

use super::model::{VolumeModel, replicas_value};
use super::{copies, declare, import, plan, schema, upgrade};
use crate::direct::DirectEngine;
use crate::engine::{self, Engine, Members, Outcome, Run, Sight, Standing, Storage, Wanted};
use crate::provider::Shared;

/// The line of drift of a volume whose creation failed after hosts were changed. It stays, whatever a refresh finds, until
/// an apply has finished the volume.
const UNFINISHED: &str = "the creation did not get to its end";

/// The resource.
pub(crate) struct VolumeResource {
    shared: Arc<Shared>,
}

impl VolumeResource {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    fn engine(&self) -> Result<impl Engine, Diagnostic> {
        Ok(DirectEngine::new(self.shared.configured()?))
    }

    async fn try_create(&self, req: &CreateRequest, ctx: &Context) -> Result<ApplyResult, Diagnostics> {
        let model = VolumeModel::decode(&req.planned, &Path::root())?;
        let run = Run { ctx, deadline: Instant::now() + model.timeouts.create, consent: &model.consent };
        let engine = self.engine()?;
        let ids = declare::place(&model, &model.held())?;
        let members = members(&model, ids.keys())?;
        let wanted = Wanted { port: model.port, minor: model.minor };
        let mut prepared = engine.prepare(&model.name, &members, wanted, run).await?;
        let volume = declare::declare(&model, &ids, prepared.port, prepared.minor, secret(&req.config))?;
        engine.rehearse(&volume, run).await?;
        if !prepared.is_up {
            engine.reachable(&volume, run).await?;
        }
        // Up to here nothing was touched. From here on the volume is in the state, whatever happens.
        let mut state = created(&req.planned, &volume, &prepared.standing);
        ctx.record_state(&state);
        prepared.reservation.keep();
        match engine.bring_up(&volume, model.goal, run).await {
            Ok(outcome) => {
                fill(&mut state, &outcome);
                let told = warnings(&model, &outcome, &prepared.standing);
                Ok(ApplyResult::ok(state).private(Kept::of(&outcome)).diagnostics(told))
            }
            Err(mut problems) => {
                problems.push(tainted(&model));
                Ok(ApplyResult::partial(state, problems))
            }
        }
    }

    async fn try_read(&self, req: ReadRequest) -> Result<ReadResult, Diagnostics> {
        let mut state = req.state;
        let model = VolumeModel::decode(&state, &Path::root())?;
        let volume = stored(&model)?;
        let unfinished = model.drift.iter().filter(|line| *line == UNFINISHED).cloned();
        let mut found = self.losses(&model, &volume)?;
        let (sight, silent) = match self.engine()?.sight(&volume, &found.away).await {
            Ok(seen) => seen,
            Err(problems) if found.away.is_empty() => return Err(problems),
            // A plan that repairs what is away must not fail for what cannot be asked.
            Err(_) => (Sight::There(Outcome::default()), Diagnostics::new()),
        };
        let outcome = match sight {
            Sight::Gone => return Ok(ReadResult::gone()),
            Sight::There(outcome) => outcome,
            Sight::Unseen if found.away.is_empty() => {
                return Ok(ReadResult::ok(state).private(req.private).diagnostics(silent));
            }
            Sight::Unseen => Outcome::default(),
        };
        // Their nodes say so, too, and are repaired first.
        let away = found.away.iter().map(|node| format!("{node}: its instance does not run"));
        let drift = unfinished.chain(away).chain(outcome.drift.iter().cloned()).collect();
        fill(&mut state, &Outcome { drift, ..outcome.clone() });
        let mut backings = outcome.backings;
        if !found.away.is_empty() || !silent.is_empty() {
            backings.extend(Kept::read(&req.private).backings);
            backings.sort();
            backings.dedup();
        }
        found.copies = outcome.copies;
        Ok(ReadResult::ok(state).private(Kept { backings, found }.write()).diagnostics(silent))
    }

    /// What this run found the nodes of a volume to have lost.
    fn losses(&self, model: &VolumeModel, volume: &engine::Volume) -> Result<copies::Found, Diagnostic> {
        let configured = self.shared.configured()?;
        let mut found = copies::Found::default();
        for (name, ssh) in &volume.members {
            let losses = configured.losses(ssh);
            if losses.instance {
                found.away.insert(name.clone());
            }
            if losses.pools.contains(&model.group.storage_pool) {
                found.lost.insert(name.clone());
            }
        }
        Ok(found)
    }

    async fn try_update(&self, req: &UpdateRequest, ctx: &Context) -> Result<ApplyResult, Diagnostics> {
        let prior = VolumeModel::decode(&req.prior, &Path::root())?;
        let model = VolumeModel::decode(&req.planned, &Path::root())?;
        let run = Run { ctx, deadline: Instant::now() + model.timeouts.update, consent: &model.consent };
        let secret = secret(&req.config);
        let same_secret = prior.secret_version == model.secret_version;
        let before = with_secret(stored(&prior)?, if same_secret { secret.clone() } else { None })?;
        let after = updated(&prior, &model, secret)?;
        let mut state = updated_state(&req.planned, &after);
        let mut outcome = None;
        let mut notes = Diagnostics::new();
        // A node that is reached in another way can be another machine under the same disk: what is missing there is brought up.
        let moved = before.members != after.members;
        let mut consent = model.consent.clone();
        if moved {
            let backings = Kept::read(&req.private).backings;
            consent.extend(self.engine()?.vouched(&after, &backings, run).await?);
        }
        let run = Run { consent: &consent, ..run };
        if !prior.drift.is_empty() || moved {
            let engine = self.engine()?;
            let repaired = engine.bring_up(&after, model.goal, run).await?;
            notes.extend(catching_up(&model, &repaired));
            outcome = Some(repaired);
        }
        if before != after {
            outcome = Some(self.engine()?.change(&before, &after, run).await?);
        }
        let kept = outcome.as_ref().map(Kept::of);
        if let Some(outcome) = outcome {
            if !outcome.drift.is_empty() {
                return Err(not_as_declared(&model, &outcome.drift).into());
            }
            if let Some(bytes) = outcome.size_bytes {
                state.set("size_bytes", bytes);
            }
        }
        let result = ApplyResult::ok(state).diagnostics(notes);
        Ok(match kept {
            Some(kept) => result.private(kept),
            None => result,
        })
    }

    async fn try_delete(&self, req: &DeleteRequest, ctx: &Context) -> Result<DeleteResult, Diagnostics> {
        let model = VolumeModel::decode(&req.prior, &Path::root())?;
        if model.deletion_protection {
            let detail = format!(
                "Volume {} cannot be destroyed: deletion_protection is set. Nothing was touched. If its creation failed, `terraform \
                 untaint` makes the next apply finish it.",
                model.name
            );
            return Err(Diagnostic::error(format!("Volume {} is protected", model.name), detail).into());
        }
        let run = Run { ctx, deadline: Instant::now() + model.timeouts.delete, consent: &[] };
        let unfinished = model.drift.iter().any(|line| line == UNFINISHED);
        // Storage with an earlier volume's data, under a creation that failed: nobody asked to lose those.
        let keeps = unfinished && model.adopted && model.storage == Storage::Destroyed;
        let storage = if keeps { Storage::Retained } else { model.storage };
        self.engine()?.remove(&stored(&model)?, storage, run).await?;
        if !keeps {
            return Ok(DeleteResult::ok());
        }
        let detail = format!(
            "The storage of {} was there, with data, before its creation failed. It was kept, as creating the volume again takes it over.",
            model.name
        );
        Ok(DeleteResult::ok().warn(Diagnostic::warning("Backing storage was kept", detail)))
    }
}

/// What is remembered about a volume besides its state.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    /// Its backing devices, by what stays the same about them.
    #[serde(default)]
    backings: Vec<String>,
    /// What its replicas held when they were last looked at.
    #[serde(default)]
    found: copies::Found,
}

impl Kept {
    /// What an apply leaves, as private bytes.
    fn of(outcome: &Outcome) -> Vec<u8> {
        let found = copies::Found { copies: outcome.copies.clone(), ..copies::Found::default() };
        Self { backings: outcome.backings.clone(), found }.write()
    }

    /// As private bytes.
    fn write(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// From private bytes; nothing, when there are none.
    fn read(private: &[u8]) -> Self {
        serde_json::from_slice(private).unwrap_or_default()
    }
}

/// How to reach the nodes of the replicas.
fn members<'a>(
    model: &VolumeModel,
    names: impl Iterator<Item = &'a drbd_schemas::NodeName>,
) -> Result<Members, Diagnostic> {
    let ssh = |name: &drbd_schemas::NodeName| model.group.nodes.get(name).and_then(|node| node.ssh.clone());
    names
        .map(|name| {
            let detail = format!("The group does not say how to log in to {name}.");
            let missing = || Diagnostic::error("Missing value", detail).at(Path::of("resource_group"));
            Ok((name.clone(), ssh(name).ok_or_else(missing)?))
        })
        .collect()
}

/// The secret. It is in the configuration and nowhere else.
fn secret(config: &Value) -> Option<Secret> {
    config.get("shared_secret_wo").as_str().map(Secret::new)
}

/// The volume that a state describes. The text of its secret is not known; that there is one is.
fn stored(model: &VolumeModel) -> Result<engine::Volume, Diagnostics> {
    let incomplete = |what: &str| {
        let detail =
            format!("The state of {} has no {what}; it cannot be used. Import the volume again.", model.name);
        Diagnostic::error("State is incomplete", detail)
    };
    let port = model.port.ok_or_else(|| incomplete("port"))?;
    let minor = model.minor.ok_or_else(|| incomplete("minor"))?;
    let ids = model.replicas.as_ref().ok_or_else(|| incomplete("replicas"))?;
    let secret = model.secret_version.map(|_| Secret::new(drbd_schemas::secret::MASK));
    declare::declare(model, ids, port, minor, secret)
}

/// The document that goes to the hosts of a stored volume, without its secret.
///
/// # Errors
/// When the state is not complete.
pub(crate) fn declaration(model: &VolumeModel) -> Result<serde_json::Value, Diagnostics> {
    let volume = stored(&VolumeModel { secret_version: None, ..model.clone() })?;
    Ok(volume.resource.to_request())
}

fn with_secret(volume: engine::Volume, secret: Option<Secret>) -> Result<engine::Volume, Diagnostics> {
    let mut declaration = volume.resource.into_declaration();
    declaration.shared_secret = secret;
    let resource = drbd_schemas::Resource::try_from(declaration);
    let resource =
        resource.map_err(|invalid| Diagnostic::error("Declaration not allowed", invalid.to_string()))?;
    Ok(engine::Volume { resource, ..volume })
}

/// The volume that an update asks for: numbers and node-ids are those of the state.
fn updated(
    prior: &VolumeModel,
    model: &VolumeModel,
    secret: Option<Secret>,
) -> Result<engine::Volume, Diagnostics> {
    let ids = declare::place(model, &prior.held())?;
    let numbers = stored(prior)?;
    let minor = numbers.resource.volumes.get(&VolumeNumber::ZERO).map(|volume| volume.minor);
    let (Some(minor), Some(port)) = (minor, model.port.or(prior.port)) else {
        return Err(Diagnostic::error("State is incomplete", "The state has no port or minor.").into());
    };
    let mut model = model.clone();
    model.size_bytes = prior.size_bytes;
    declare::declare(&model, &ids, port, minor, secret)
}

/// The state of a volume that is about to be made: all numbers are in it, and that it is not finished.
fn created(planned: &Value, volume: &engine::Volume, standing: &Standing) -> Value {
    let mut state = updated_state(planned, volume);
    state.set("adopted", *standing != Standing::New);
    state.set("size_bytes", Value::Null);
    state.set("drift", Value::list([UNFINISHED]));
    state
}

/// The plan with everything that the declaration tells.
fn updated_state(planned: &Value, volume: &engine::Volume) -> Value {
    let mut state = planned.clone();
    let resource = &volume.resource;
    if let Some(minor) = resource.volumes.get(&VolumeNumber::ZERO).map(|volume| volume.minor) {
        state.set("minor", minor.get());
        state.set("device", format!("/dev/drbd{minor}"));
    }
    state.set("port", resource.port.map(|port| port.get()));
    state.set("device_by_res", format!("/dev/drbd/by-res/{}/0", resource.name()));
    state.set("id", resource.name().as_str());
    state.set("replicas", replicas_value(&declare::replicas(volume)));
    for name in ["size_bytes", "drift", "adopted"] {
        if state.get(name).is_unknown() {
            state.set(name, Value::Null);
        }
    }
    state
}

fn fill(state: &mut Value, outcome: &Outcome) {
    if let Some(bytes) = outcome.size_bytes {
        state.set("size_bytes", bytes);
    }
    state.set("drift", Value::List(outcome.drift.iter().map(Value::from).collect()));
}

fn catching_up(model: &VolumeModel, outcome: &Outcome) -> Option<Diagnostic> {
    let why = outcome.catching_up.as_ref()?;
    let detail = format!(
        "Volume {} can be used, but not all of its replicas are UpToDate yet: {why}. The hosts go on by themselves.",
        model.name
    );
    Some(Diagnostic::warning("Volume is still synchronising", detail))
}

fn warnings(model: &VolumeModel, outcome: &Outcome, standing: &Standing) -> Diagnostics {
    let mut found: Diagnostics = catching_up(model, outcome).into_iter().collect();
    if !outcome.drift.is_empty() {
        let problem = not_as_declared(model, &outcome.drift);
        found.push(Diagnostic::warning(problem.summary, problem.detail));
    }
    if let Standing::Retained(nodes) = standing {
        let nodes: Vec<&str> = nodes.iter().map(String::as_str).collect();
        let detail = format!(
            "An earlier volume {} left its storage on {}. The new volume took it over, with the data in it.",
            model.name,
            nodes.join(", ")
        );
        found.push(Diagnostic::warning("Existing storage was taken over", detail));
    }
    found
}

fn not_as_declared(model: &VolumeModel, left: &[String]) -> Diagnostic {
    let detail = format!(
        "Volume {} is not as declared yet: {}. The next apply goes on from there.",
        model.name,
        left.join("; ")
    );
    Diagnostic::error("Volume is not as declared", detail)
}

/// What a failed creation means for the next run.
fn tainted(model: &VolumeModel) -> Diagnostic {
    let detail = format!(
        "Volume {} is in the state as tainted: the next apply removes what was made of it and creates it anew. To finish it in place \
         instead, run terraform untaint on it and apply.",
        model.name
    );
    Diagnostic::warning("Volume is not finished", detail)
}

/// Checks that need more than one attribute.
fn validate(config: &Value) -> Diagnostics {
    let mut found = Diagnostics::new();
    let (secret, version) = (config.get("shared_secret_wo"), config.get("shared_secret_wo_version"));
    if !secret.is_null() && version.is_null() {
        let detail = "shared_secret_wo is not stored, so its changes are not seen. Set shared_secret_wo_version too, to 1 for example, and \
             raise it whenever the secret changes.";
        found.error_at(&Path::of("shared_secret_wo_version"), "Secret without a version", detail);
    }
    if secret.is_null() && !version.is_null() {
        let detail = "shared_secret_wo_version is set and shared_secret_wo is not. Set both or neither.";
        found.error_at(&Path::of("shared_secret_wo"), "Version without a secret", detail);
    }
    found
}

impl Resource for VolumeResource {
    fn type_name(&self) -> String {
        "drbd_replicated_volume".into()
    }

    fn schema(&self) -> Schema {
        schema::schema()
    }

    async fn validate(&self, config: &Value, _ctx: &Context) -> Diagnostics {
        validate(config)
    }

    async fn plan(&self, req: PlanRequest, _ctx: &Context) -> PlanResult {
        let told = copies::told(&Kept::read(&req.private).found, &req);
        if told.has_errors() {
            return Err(told).into();
        }
        PlanResult::from(plan::plan(req)).diagnostics(told)
    }

    async fn create(&self, req: CreateRequest, ctx: &Context) -> ApplyResult {
        self.try_create(&req, ctx).await.unwrap_or_else(ApplyResult::failed)
    }

    async fn read(&self, req: ReadRequest, _ctx: &Context) -> ReadResult {
        self.try_read(req).await.unwrap_or_else(ReadResult::failed)
    }

    async fn update(&self, req: UpdateRequest, ctx: &Context) -> ApplyResult {
        self.try_update(&req, ctx).await.unwrap_or_else(ApplyResult::failed)
    }

    async fn delete(&self, req: DeleteRequest, ctx: &Context) -> DeleteResult {
        self.try_delete(&req, ctx).await.unwrap_or_else(DeleteResult::failed)
    }

    async fn upgrade(&self, _version: i64, state: RawState, _ctx: &Context) -> UpgradeResult {
        upgrade::from_version_0(&state).map_err(Diagnostics::from).into()
    }

    async fn import(&self, id: &str, _ctx: &Context) -> ImportResult {
        let imported = async { import::import(&*self.shared.configured()?, id).await };
        imported.await.into()
    }
}
