// SPDX-License-Identifier: MPL-2.0
//! Resources and data sources behind one type each, so that a provider can hold different ones in a list.

use std::fmt;
use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt};

use super::{
    ApplyResult, CreateRequest, DataResult, DataSource, DeleteRequest, DeleteResult, ImportResult,
    PlanRequest, PlanResult, Provider, RawState, ReadRequest, ReadResult, Resource, UpdateRequest,
    UpgradeResult,
};
use crate::context::Context;
use crate::diagnostic::Diagnostics;
use crate::schema::Schema;
use crate::value::Value;

/// The provider's own calls that wait.
pub(crate) trait ErasedProvider: Send + Sync {
    fn validate<'a>(&'a self, config: &'a Value, ctx: &'a Context) -> BoxFuture<'a, Diagnostics>;
    fn configure<'a>(&'a self, config: Value, ctx: &'a Context) -> BoxFuture<'a, Diagnostics>;
}

impl<T: Provider> ErasedProvider for T {
    fn validate<'a>(&'a self, config: &'a Value, ctx: &'a Context) -> BoxFuture<'a, Diagnostics> {
        Provider::validate(self, config, ctx).boxed()
    }

    fn configure<'a>(&'a self, config: Value, ctx: &'a Context) -> BoxFuture<'a, Diagnostics> {
        Provider::configure(self, config, ctx).boxed()
    }
}

pub(crate) trait ErasedResource: Send + Sync {
    fn type_name(&self) -> String;
    fn schema(&self) -> Schema;
    fn validate<'a>(&'a self, config: &'a Value, ctx: &'a Context) -> BoxFuture<'a, Diagnostics>;
    fn plan<'a>(&'a self, req: PlanRequest, ctx: &'a Context) -> BoxFuture<'a, PlanResult>;
    fn create<'a>(&'a self, req: CreateRequest, ctx: &'a Context) -> BoxFuture<'a, ApplyResult>;
    fn read<'a>(&'a self, req: ReadRequest, ctx: &'a Context) -> BoxFuture<'a, ReadResult>;
    fn update<'a>(&'a self, req: UpdateRequest, ctx: &'a Context) -> BoxFuture<'a, ApplyResult>;
    fn delete<'a>(&'a self, req: DeleteRequest, ctx: &'a Context) -> BoxFuture<'a, DeleteResult>;
    fn import<'a>(&'a self, id: &'a str, ctx: &'a Context) -> BoxFuture<'a, ImportResult>;
    fn upgrade<'a>(&'a self, version: i64, state: RawState, ctx: &'a Context)
    -> BoxFuture<'a, UpgradeResult>;
}

impl<T: Resource> ErasedResource for T {
    fn type_name(&self) -> String {
        Resource::type_name(self)
    }

    fn schema(&self) -> Schema {
        Resource::schema(self)
    }

    fn validate<'a>(&'a self, config: &'a Value, ctx: &'a Context) -> BoxFuture<'a, Diagnostics> {
        Resource::validate(self, config, ctx).boxed()
    }

    fn plan<'a>(&'a self, req: PlanRequest, ctx: &'a Context) -> BoxFuture<'a, PlanResult> {
        Resource::plan(self, req, ctx).boxed()
    }

    fn create<'a>(&'a self, req: CreateRequest, ctx: &'a Context) -> BoxFuture<'a, ApplyResult> {
        Resource::create(self, req, ctx).boxed()
    }

    fn read<'a>(&'a self, req: ReadRequest, ctx: &'a Context) -> BoxFuture<'a, ReadResult> {
        Resource::read(self, req, ctx).boxed()
    }

    fn update<'a>(&'a self, req: UpdateRequest, ctx: &'a Context) -> BoxFuture<'a, ApplyResult> {
        Resource::update(self, req, ctx).boxed()
    }

    fn delete<'a>(&'a self, req: DeleteRequest, ctx: &'a Context) -> BoxFuture<'a, DeleteResult> {
        Resource::delete(self, req, ctx).boxed()
    }

    fn import<'a>(&'a self, id: &'a str, ctx: &'a Context) -> BoxFuture<'a, ImportResult> {
        Resource::import(self, id, ctx).boxed()
    }

    fn upgrade<'a>(
        &'a self,
        version: i64,
        state: RawState,
        ctx: &'a Context,
    ) -> BoxFuture<'a, UpgradeResult> {
        Resource::upgrade(self, version, state, ctx).boxed()
    }
}

/// Any resource.
#[derive(Clone)]
pub struct AnyResource(pub(crate) Arc<dyn ErasedResource>);

impl AnyResource {
    /// Takes a resource.
    pub fn new(resource: impl Resource) -> AnyResource {
        AnyResource(Arc::new(resource))
    }

    /// The full name of the resource type.
    pub fn type_name(&self) -> String {
        self.0.type_name()
    }

    /// The schema of the resource type.
    pub fn schema(&self) -> Schema {
        self.0.schema()
    }
}

impl fmt::Debug for AnyResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AnyResource").field(&self.0.type_name()).finish()
    }
}

pub(crate) trait ErasedDataSource: Send + Sync {
    fn type_name(&self) -> String;
    fn schema(&self) -> Schema;
    fn validate<'a>(&'a self, config: &'a Value, ctx: &'a Context) -> BoxFuture<'a, Diagnostics>;
    fn read<'a>(&'a self, config: Value, ctx: &'a Context) -> BoxFuture<'a, DataResult>;
}

impl<T: DataSource> ErasedDataSource for T {
    fn type_name(&self) -> String {
        DataSource::type_name(self)
    }

    fn schema(&self) -> Schema {
        DataSource::schema(self)
    }

    fn validate<'a>(&'a self, config: &'a Value, ctx: &'a Context) -> BoxFuture<'a, Diagnostics> {
        DataSource::validate(self, config, ctx).boxed()
    }

    fn read<'a>(&'a self, config: Value, ctx: &'a Context) -> BoxFuture<'a, DataResult> {
        DataSource::read(self, config, ctx).boxed()
    }
}

/// Any data source.
#[derive(Clone)]
pub struct AnyDataSource(pub(crate) Arc<dyn ErasedDataSource>);

impl AnyDataSource {
    /// Takes a data source.
    pub fn new(data_source: impl DataSource) -> AnyDataSource {
        AnyDataSource(Arc::new(data_source))
    }

    /// The full name of the data source.
    pub fn type_name(&self) -> String {
        self.0.type_name()
    }

    /// The schema of the data source.
    pub fn schema(&self) -> Schema {
        self.0.schema()
    }
}

impl fmt::Debug for AnyDataSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AnyDataSource").field(&self.0.type_name()).finish()
    }
}
