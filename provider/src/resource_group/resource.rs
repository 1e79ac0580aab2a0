// SPDX-License-Identifier: MPL-2.0
//! `drbd_resource_group` as Terraform calls it. Everything in it is known from the configuration.

use tfplugin::{
    ApplyResult, Context, CreateRequest, DeleteRequest, DeleteResult, PlanRequest, PlanResult, ReadRequest,
    ReadResult, Resource, Schema, UpdateRequest,
};

use super::schema;

/// The resource.
pub(crate) struct GroupResource;

impl Resource for GroupResource {
    fn type_name(&self) -> String {
        "drbd_resource_group".into()
    }

    fn schema(&self) -> Schema {
        schema::schema()
    }

    async fn plan(&self, req: PlanRequest, _ctx: &Context) -> PlanResult {
        let mut plan = req.proposed;
        let name = plan.get("name").clone();
        plan.set("id", name);
        PlanResult::ok(plan)
    }

    async fn create(&self, req: CreateRequest, _ctx: &Context) -> ApplyResult {
        ApplyResult::ok(req.planned)
    }

    async fn read(&self, req: ReadRequest, _ctx: &Context) -> ReadResult {
        ReadResult::ok(req.state)
    }

    async fn update(&self, req: UpdateRequest, _ctx: &Context) -> ApplyResult {
        ApplyResult::ok(req.planned)
    }

    async fn delete(&self, _req: DeleteRequest, _ctx: &Context) -> DeleteResult {
        DeleteResult::ok()
    }
}
