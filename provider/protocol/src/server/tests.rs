// SPDX-License-Identifier: MPL-2.0
//! Requests and answers that the Terraform CLI does not bring about by itself: deferral, private bytes, states
//! echoed byte for byte, handlers that panic in every method.

use tonic::Request;

use super::*;
use crate::generated::tfplugin6::provider_server::Provider as _;
use crate::{
    AnyResource, ApplyResult, Attribute, CreateRequest, DeferReason, DeleteRequest, DeleteResult,
    Diagnostics, ImportResult, PlanRequest, PlanResult, RawState, ReadRequest, ReadResult, Refinements,
    Resource, Schema, UpdateRequest, UpgradeResult, Value,
};

/// What the one resource of a test does. Everything else succeeds.
#[derive(Clone, Copy)]
enum Script {
    Well,
    Defers,
    RecordsAndFails,
    ReadsUnknown,
    BreaksPromise,
    PanicsEverywhere,
}

struct Scripted(Script);

impl Scripted {
    fn strike(&self) {
        assert!(!matches!(self.0, Script::PanicsEverywhere), "panics everywhere");
    }
}

impl Provider for Scripted {
    fn schema(&self) -> Schema {
        Schema::new()
    }

    async fn configure(&self, _config: Value, _ctx: &Context) -> Diagnostics {
        self.strike();
        Diagnostics::new()
    }

    fn resources(&self) -> Vec<AnyResource> {
        vec![AnyResource::new(Scripted(self.0))]
    }
}

impl Resource for Scripted {
    fn type_name(&self) -> String {
        "test_thing".to_owned()
    }

    fn schema(&self) -> Schema {
        Schema::new().version(1).attributes([
            Attribute::string("id").computed(),
            Attribute::string("text").optional(),
            Attribute::number("amount").optional(),
        ])
    }

    async fn plan(&self, req: PlanRequest, _ctx: &Context) -> PlanResult {
        self.strike();
        let mut planned = req.proposed;
        match self.0 {
            Script::Defers => return PlanResult::deferred(DeferReason::AbsentPrerequisite),
            Script::BreaksPromise => planned.set("id", Value::Unknown(Refinements::prefix("id-"))),
            _ => {}
        }
        PlanResult::ok(planned)
    }

    async fn create(&self, req: CreateRequest, ctx: &Context) -> ApplyResult {
        self.strike();
        let mut state = req.planned;
        state.set("id", "42");
        if matches!(self.0, Script::RecordsAndFails) {
            ctx.record_state(&state);
            ctx.record_private(b"recorded");
            return ApplyResult::failed(Diagnostic::error("Failed", "Half way."));
        }
        ApplyResult::ok(state)
    }

    async fn read(&self, req: ReadRequest, _ctx: &Context) -> ReadResult {
        self.strike();
        let mut state = req.state;
        if matches!(self.0, Script::ReadsUnknown) {
            state.set("text", Value::unknown());
        }
        ReadResult::ok(state)
    }

    async fn update(&self, req: UpdateRequest, _ctx: &Context) -> ApplyResult {
        self.strike();
        ApplyResult::ok(req.planned).private(b"updated".to_vec())
    }

    async fn delete(&self, _req: DeleteRequest, _ctx: &Context) -> DeleteResult {
        self.strike();
        DeleteResult::ok()
    }

    async fn import(&self, id: &str, _ctx: &Context) -> ImportResult {
        self.strike();
        ImportResult::ok(Value::object([("id", id)]))
    }

    async fn upgrade(&self, _version: i64, _state: RawState, _ctx: &Context) -> UpgradeResult {
        self.strike();
        UpgradeResult::ok(Value::object([("id", "42")]))
    }
}

fn server(script: Script) -> Server {
    Server::new(Scripted(script), "registry.terraform.io/test/test", false)
}

/// A value of the resource in JSON, which core may send as well.
fn json(text: &str) -> Option<proto::DynamicValue> {
    Some(proto::DynamicValue { msgpack: Vec::new(), json: text.as_bytes().to_vec() })
}

fn decoded(value: Option<proto::DynamicValue>) -> Value {
    answer::decode(&Resource::schema(&Scripted(Script::Well)).object_type(), value.as_ref()).unwrap()
}

const CONFIG: &str = r#"{"id":null,"text":"t","amount":1}"#;
const STATE: &str = r#"{"id":"42","text":"t","amount":1}"#;

async fn plan(
    script: Script,
    prior: &str,
    capabilities: proto::ClientCapabilities,
) -> proto::PlanResourceChangeResponse {
    let request = proto::PlanResourceChangeRequest {
        type_name: "test_thing".to_owned(),
        prior_state: json(prior),
        proposed_new_state: json(CONFIG),
        config: json(CONFIG),
        prior_private: b"before".to_vec(),
        client_capabilities: Some(capabilities),
        ..Default::default()
    };
    server(script).plan_resource_change(Request::new(request)).await.unwrap().into_inner()
}

async fn apply(script: Script, prior: &str, planned: &str) -> proto::ApplyResourceChangeResponse {
    let request = proto::ApplyResourceChangeRequest {
        type_name: "test_thing".to_owned(),
        prior_state: json(prior),
        planned_state: json(planned),
        config: json(CONFIG),
        planned_private: b"planned".to_vec(),
        ..Default::default()
    };
    server(script).apply_resource_change(Request::new(request)).await.unwrap().into_inner()
}

#[tokio::test]
async fn a_plan_is_deferred_only_where_the_caller_allows_it() {
    let allowed = proto::ClientCapabilities { deferral_allowed: true, ..Default::default() };
    let deferred = plan(Script::Defers, "null", allowed).await;
    assert_eq!(deferred.deferred.unwrap().reason(), proto::deferred::Reason::AbsentPrereq);
    assert!(deferred.diagnostics.is_empty() && deferred.planned_state.is_some());
    let refused = plan(Script::Defers, "null", proto::ClientCapabilities::default()).await;
    assert!(refused.deferred.is_none() && refused.planned_state.is_none());
    assert_eq!(refused.diagnostics[0].summary, "This resource cannot be planned yet");
}

#[tokio::test]
async fn private_bytes_stay_unless_they_are_set() {
    assert_eq!(plan(Script::Well, STATE, Default::default()).await.planned_private, b"before");
    let created = apply(Script::Well, "null", CONFIG).await;
    assert_eq!(
        (created.private.as_slice(), created.diagnostics.len()),
        (&b"planned"[..], 1),
        "id was planned as null"
    );
    assert_eq!(apply(Script::Well, STATE, STATE).await.private, b"updated");
    assert_eq!(apply(Script::RecordsAndFails, "null", CONFIG).await.private, b"recorded");
}

#[tokio::test]
async fn a_recorded_state_survives_a_failure() {
    let failed = apply(Script::RecordsAndFails, "null", CONFIG).await;
    assert_eq!(decoded(failed.new_state).get("id").as_str(), Some("42"));
    assert_eq!(failed.diagnostics.len(), 1);
    assert!(!failed.legacy_type_system);
}

#[tokio::test]
async fn a_broken_promise_about_an_unknown_value_is_found() {
    let planned = plan(Script::BreaksPromise, "null", Default::default()).await;
    assert!(planned.diagnostics.is_empty());
    let request = proto::ApplyResourceChangeRequest {
        type_name: "test_thing".to_owned(),
        planned_state: planned.planned_state,
        config: json(CONFIG),
        ..Default::default()
    };
    let applied = server(Script::BreaksPromise)
        .apply_resource_change(Request::new(request))
        .await
        .unwrap()
        .into_inner();
    assert!(applied.diagnostics[0].detail.contains("id: the value breaks a promise"), "{applied:?}");
    assert_eq!(decoded(applied.new_state).get("id").as_str(), Some("42"));
}

async fn read(script: Script) -> proto::ReadResourceResponse {
    let request = proto::ReadResourceRequest {
        type_name: "test_thing".to_owned(),
        current_state: json(STATE),
        private: b"private".to_vec(),
        ..Default::default()
    };
    server(script).read_resource(Request::new(request)).await.unwrap().into_inner()
}

#[tokio::test]
async fn a_failed_read_echoes_the_state_byte_for_byte() {
    for script in [Script::ReadsUnknown, Script::PanicsEverywhere] {
        let failed = read(script).await;
        assert_eq!((failed.new_state, failed.private.as_slice()), (json(STATE), &b"private"[..]));
        assert_eq!(failed.diagnostics.len(), 1);
    }
    let fine = read(Script::Well).await;
    assert!(fine.diagnostics.is_empty());
    assert_eq!(decoded(fine.new_state), decoded(json(STATE)));
}

async fn upgrade(script: Script, version: i64, text: &str) -> proto::UpgradeResourceStateResponse {
    let raw_state = Some(proto::RawState { json: text.as_bytes().to_vec(), ..Default::default() });
    let request =
        proto::UpgradeResourceStateRequest { type_name: "test_thing".to_owned(), version, raw_state };
    server(script).upgrade_resource_state(Request::new(request)).await.unwrap().into_inner()
}

#[tokio::test]
async fn a_state_of_the_current_version_is_echoed_byte_for_byte() {
    let odd = r#"{"amount": 12345678901234567890123.10, "id":"42","text":null}"#;
    let echoed = upgrade(Script::PanicsEverywhere, 1, odd).await;
    assert_eq!((echoed.upgraded_state, echoed.diagnostics.len()), (json(odd), 0), "no handler is asked");
    assert_eq!(
        upgrade(Script::Well, 2, odd).await.diagnostics[0].summary,
        "State is newer than the provider"
    );
    let upgraded = upgrade(Script::Well, 0, "{}").await;
    assert_eq!(decoded(upgraded.upgraded_state).get("id").as_str(), Some("42"));
    assert_eq!(upgrade(Script::Well, 0, "").await.diagnostics[0].summary, "State cannot be read");
}

#[tokio::test]
async fn an_import_fills_what_it_does_not_name() {
    let import = |id: &str| proto::ImportResourceStateRequest {
        type_name: "test_thing".to_owned(),
        id: id.to_owned(),
        ..Default::default()
    };
    let server = server(Script::Well);
    let found = server.import_resource_state(Request::new(import("7"))).await.unwrap().into_inner();
    let state = decoded(found.imported_resources[0].state.clone());
    assert_eq!((state.get("id").as_str(), state.members().unwrap().len()), (Some("7"), 3));
    let refused = server.import_resource_state(Request::new(import(""))).await.unwrap().into_inner();
    assert_eq!(refused.diagnostics[0].summary, "Import by identity is not possible");
}

#[tokio::test]
async fn a_panic_anywhere_is_one_diagnostic_and_loses_nothing() {
    let planned = plan(Script::PanicsEverywhere, STATE, Default::default()).await;
    assert_eq!(planned.diagnostics.len(), 1);
    let created = apply(Script::PanicsEverywhere, "null", CONFIG).await;
    assert_eq!((decoded(created.new_state), created.diagnostics.len()), (decoded(json(CONFIG)), 1));
    for planned in [STATE, "null"] {
        let changed = apply(Script::PanicsEverywhere, STATE, planned).await;
        assert_eq!((decoded(changed.new_state), changed.diagnostics.len()), (decoded(json(STATE)), 1));
        assert!(changed.diagnostics[0].detail.contains("incident "));
    }
    assert_eq!(upgrade(Script::PanicsEverywhere, 0, "{}").await.diagnostics.len(), 1);
    let server = server(Script::PanicsEverywhere);
    let configure = proto::ConfigureProviderRequest { config: json("{}"), ..Default::default() };
    let answer = server.configure_provider(Request::new(configure)).await.unwrap().into_inner();
    assert_eq!(answer.diagnostics.len(), 1);
    assert_eq!(server.core().running(), 0);
}

#[tokio::test]
async fn an_unsound_schema_is_reported_with_the_schemas() {
    struct Unsound;
    impl Provider for Unsound {
        fn schema(&self) -> Schema {
            Schema::new().attribute(Attribute::string("alias").optional())
        }
        async fn configure(&self, _config: Value, _ctx: &Context) -> Diagnostics {
            Diagnostics::new()
        }
        fn resources(&self) -> Vec<AnyResource> {
            vec![AnyResource::new(Scripted(Script::Well)), AnyResource::new(Scripted(Script::Well))]
        }
    }
    assert_eq!(problems(&Unsound).len(), 2);
    let server = Server::new(Unsound, "registry.terraform.io/test/test", false);
    let schemas = server.get_provider_schema(Request::new(proto::GetProviderSchemaRequest {})).await.unwrap();
    let details: Vec<String> = schemas.into_inner().diagnostics.into_iter().map(|d| d.detail).collect();
    assert!(
        details[0].contains("alias: Terraform keeps this name") && details[1].contains("registered twice"),
        "{details:?}"
    );
}
