// SPDX-License-Identifier: MPL-2.0
//! What the author of a provider writes: the traits. Requests and results are in `provider/requests.rs` and
//! `provider/results.rs`; what happens around the handlers is in `server/`.

mod ephemeral;
mod erased;
mod function;
mod requests;
mod results;

use std::future::Future;

pub use ephemeral::{AnyEphemeral, EphemeralResource, OpenResult, RenewResult};
pub(crate) use erased::ErasedProvider;
pub use erased::{AnyDataSource, AnyResource};
pub use function::{AnyFunction, Function, FunctionError, Parameter, Signature};
pub use requests::{
    CreateRequest, DeferReason, DeleteRequest, PlanAction, PlanRequest, RawState, ReadRequest, UpdateRequest,
};
pub(crate) use results::Found;
pub use results::{
    ApplyResult, DataResult, DeleteResult, ImportResult, PlanResult, ReadResult, UpgradeResult,
};

use crate::context::Context;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::schema::Schema;
use crate::value::Value;

/// A provider. Its methods can be called at any time and in parallel; `validate` also before `configure`.
pub trait Provider: Send + Sync + 'static {
    /// The schema of the provider block.
    fn schema(&self) -> Schema;

    /// Checks the provider block beyond its schema. Unknown values must be accepted.
    fn validate(&self, _config: &Value, _ctx: &Context) -> impl Future<Output = Diagnostics> + Send {
        async { Diagnostics::new() }
    }

    /// Takes over the settings of the provider block. Comes again when a process serves several runs, so it
    /// replaces earlier settings. Unknown values occur during plan and must not fail; connect later, on first use.
    fn configure(&self, config: Value, ctx: &Context) -> impl Future<Output = Diagnostics> + Send;

    /// The resources. Asked once, when the process starts.
    fn resources(&self) -> Vec<AnyResource>;

    /// The data sources. Asked once, when the process starts.
    fn data_sources(&self) -> Vec<AnyDataSource> {
        Vec::new()
    }

    /// The functions. Asked once, when the process starts.
    fn functions(&self) -> Vec<AnyFunction> {
        Vec::new()
    }

    /// The ephemeral resources. Asked once, when the process starts.
    fn ephemeral_resources(&self) -> Vec<AnyEphemeral> {
        Vec::new()
    }
}

/// A kind of managed object.
pub trait Resource: Send + Sync + 'static {
    /// The full name, with the provider's prefix.
    fn type_name(&self) -> String;

    /// Its schema.
    fn schema(&self) -> Schema;

    /// Checks a configuration beyond its schema. Unknown values stand everywhere, and the provider may not be
    /// configured. It runs where StopProvider is answered, and must not wait for anything.
    fn validate(&self, _config: &Value, _ctx: &Context) -> impl Future<Output = Diagnostics> + Send {
        async { Diagnostics::new() }
    }

    /// Completes a plan. Must depend on the request only: it is asked again before apply, and the answers are
    /// compared.
    fn plan(&self, req: PlanRequest, _ctx: &Context) -> impl Future<Output = PlanResult> + Send {
        async { PlanResult::ok(req.proposed) }
    }

    /// Creates the object. Call [`Context::record_state`] before the first side effect, so that no failure after
    /// it can orphan the object.
    fn create(&self, req: CreateRequest, ctx: &Context) -> impl Future<Output = ApplyResult> + Send;

    /// Reads the object. [`ReadResult::gone`] only when it certainly does not exist any more: a failure to ask
    /// is an error.
    fn read(&self, req: ReadRequest, ctx: &Context) -> impl Future<Output = ReadResult> + Send;

    /// Changes the object in place.
    fn update(&self, req: UpdateRequest, ctx: &Context) -> impl Future<Output = ApplyResult> + Send;

    /// Removes the object. It is a success when it was gone already.
    fn delete(&self, req: DeleteRequest, ctx: &Context) -> impl Future<Output = DeleteResult> + Send;

    /// Finds an existing object by the text that the user gave. Terraform reads it right after.
    fn import(&self, _id: &str, _ctx: &Context) -> impl Future<Output = ImportResult> + Send {
        let name = self.type_name();
        async move {
            let detail = format!("{name} has no import. Nothing was changed.");
            ImportResult::failed(Diagnostic::error("Import is not possible", detail))
        }
    }

    /// Brings a state of an older schema version to the current one. States of the current version never come
    /// here.
    fn upgrade(
        &self,
        version: i64,
        _state: RawState,
        _ctx: &Context,
    ) -> impl Future<Output = UpgradeResult> + Send {
        let (name, current) = (self.type_name(), self.schema().schema_version());
        async move {
            let detail = format!(
                "The state of this {name} was written by schema version {version}; this provider writes version \
                 {current} and cannot read the older one. The state was not changed. Use a provider release that \
                 can upgrade it first."
            );
            UpgradeResult::failed(Diagnostic::error("State cannot be upgraded", detail))
        }
    }
}

/// A kind of object that is only read.
pub trait DataSource: Send + Sync + 'static {
    /// The full name, with the provider's prefix.
    fn type_name(&self) -> String;

    /// Its schema.
    fn schema(&self) -> Schema;

    /// Checks a configuration beyond its schema. Unknown values stand everywhere, and the provider may not be
    /// configured.
    fn validate(&self, _config: &Value, _ctx: &Context) -> impl Future<Output = Diagnostics> + Send {
        async { Diagnostics::new() }
    }

    /// Reads it. The result keeps what the configuration set and fills in the rest.
    fn read(&self, config: Value, ctx: &Context) -> impl Future<Output = DataResult> + Send;
}
