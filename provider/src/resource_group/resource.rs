// SPDX-License-Identifier: MPL-2.0
//! `drbd_resource_group` as Terraform calls it. Everything in it is known from the configuration.

use tfplugin::{
    ApplyResult, Context, CreateRequest, Decode as _, DeleteRequest, DeleteResult, Diagnostics, Path,
    PlanAction, PlanRequest, PlanResult, RawState, ReadRequest, ReadResult, Resource, Schema, UpdateRequest,
    UpgradeResult, Value,
};

use super::for_volumes::{self, for_volumes};
use super::model::GroupModel;
use super::{schema, validate};

/// The resource.
pub(crate) struct GroupResource;

/// What follows from the configuration.
fn completed(mut group: Value) -> Value {
    let (name, short) = (group.get("name").clone(), for_volumes(&group));
    group.set("id", name);
    group.set(for_volumes::NAME, short);
    group
}

/// The plan, if its volumes could read it.
fn planned(req: PlanRequest) -> Result<Value, Diagnostics> {
    if req.action == PlanAction::Delete {
        return Ok(req.proposed);
    }
    let plan = completed(req.proposed);
    if for_volumes::is_readable(&plan) {
        GroupModel::decode(&plan, &Path::root())?;
    }
    Ok(plan)
}

impl Resource for GroupResource {
    fn type_name(&self) -> String {
        "drbd_resource_group".into()
    }

    fn schema(&self) -> Schema {
        schema::schema()
    }

    async fn validate(&self, config: &Value, _ctx: &Context) -> Diagnostics {
        validate::group(config)
    }

    async fn plan(&self, req: PlanRequest, _ctx: &Context) -> PlanResult {
        planned(req).into()
    }

    async fn create(&self, req: CreateRequest, _ctx: &Context) -> ApplyResult {
        ApplyResult::ok(completed(req.planned))
    }

    async fn read(&self, req: ReadRequest, _ctx: &Context) -> ReadResult {
        ReadResult::ok(req.state)
    }

    async fn update(&self, req: UpdateRequest, _ctx: &Context) -> ApplyResult {
        ApplyResult::ok(completed(req.planned))
    }

    async fn delete(&self, _req: DeleteRequest, _ctx: &Context) -> DeleteResult {
        DeleteResult::ok()
    }

    /// Version 0 had lists in place of sets, and nothing for the volumes.
    async fn upgrade(&self, _version: i64, state: RawState, _ctx: &Context) -> UpgradeResult {
        state.decode(&schema::schema().object_type()).map(completed).map_err(Diagnostics::from).into()
    }
}
