// SPDX-License-Identifier: MPL-2.0
//! Ephemeral resources: opened for the length of a run, renewed when they say so, closed at the end, stored
//! nowhere. Needs Terraform 1.10 or OpenTofu 1.11.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::SystemTime;

use futures::future::{BoxFuture, FutureExt};

use crate::context::Context;
use crate::diagnostic::Diagnostics;
use crate::schema::Schema;
use crate::value::Value;

/// A kind of ephemeral object.
pub trait EphemeralResource: Send + Sync + 'static {
    /// The full name, with the provider's prefix.
    fn type_name(&self) -> String;

    /// Its schema.
    fn schema(&self) -> Schema;

    /// Checks a configuration beyond its schema. Unknown values stand everywhere.
    fn validate(&self, _config: &Value, _ctx: &Context) -> impl Future<Output = Diagnostics> + Send {
        async { Diagnostics::new() }
    }

    /// Opens it. The configuration is wholly known.
    fn open(&self, config: Value, ctx: &Context) -> impl Future<Output = OpenResult> + Send;

    /// Extends it, when the run lasts until the time that was asked for.
    fn renew(&self, private: Vec<u8>, _ctx: &Context) -> impl Future<Output = RenewResult> + Send {
        async move { RenewResult { private: Some(private), ..RenewResult::default() } }
    }

    /// Closes it. Called once for each open, also after errors.
    fn close(&self, _private: Vec<u8>, _ctx: &Context) -> impl Future<Output = Diagnostics> + Send {
        async { Diagnostics::new() }
    }
}

/// The outcome of an open.
#[derive(Clone, Debug, Default)]
pub struct OpenResult {
    /// The object; keeps what the configuration set. `None` when it failed.
    pub result: Option<Value>,
    /// Bytes for renew and close.
    pub private: Vec<u8>,
    /// When to renew it.
    pub renew_at: Option<SystemTime>,
    /// Messages.
    pub diagnostics: Diagnostics,
}

impl OpenResult {
    /// The open object.
    pub fn ok(result: Value) -> OpenResult {
        OpenResult { result: Some(result), ..OpenResult::default() }
    }

    /// It could not be opened.
    pub fn failed(diagnostics: impl Into<Diagnostics>) -> OpenResult {
        OpenResult { diagnostics: diagnostics.into(), ..OpenResult::default() }
    }
}

/// The outcome of a renewal.
#[derive(Clone, Debug, Default)]
pub struct RenewResult {
    /// When to renew it again.
    pub renew_at: Option<SystemTime>,
    /// Bytes for later renewals and close; `None` leaves them as they were.
    pub private: Option<Vec<u8>>,
    /// Messages.
    pub diagnostics: Diagnostics,
}

pub(crate) trait ErasedEphemeral: Send + Sync {
    fn type_name(&self) -> String;
    fn schema(&self) -> Schema;
    fn validate<'a>(&'a self, config: &'a Value, ctx: &'a Context) -> BoxFuture<'a, Diagnostics>;
    fn open<'a>(&'a self, config: Value, ctx: &'a Context) -> BoxFuture<'a, OpenResult>;
    fn renew<'a>(&'a self, private: Vec<u8>, ctx: &'a Context) -> BoxFuture<'a, RenewResult>;
    fn close<'a>(&'a self, private: Vec<u8>, ctx: &'a Context) -> BoxFuture<'a, Diagnostics>;
}

impl<T: EphemeralResource> ErasedEphemeral for T {
    fn type_name(&self) -> String {
        EphemeralResource::type_name(self)
    }

    fn schema(&self) -> Schema {
        EphemeralResource::schema(self)
    }

    fn validate<'a>(&'a self, config: &'a Value, ctx: &'a Context) -> BoxFuture<'a, Diagnostics> {
        EphemeralResource::validate(self, config, ctx).boxed()
    }

    fn open<'a>(&'a self, config: Value, ctx: &'a Context) -> BoxFuture<'a, OpenResult> {
        EphemeralResource::open(self, config, ctx).boxed()
    }

    fn renew<'a>(&'a self, private: Vec<u8>, ctx: &'a Context) -> BoxFuture<'a, RenewResult> {
        EphemeralResource::renew(self, private, ctx).boxed()
    }

    fn close<'a>(&'a self, private: Vec<u8>, ctx: &'a Context) -> BoxFuture<'a, Diagnostics> {
        EphemeralResource::close(self, private, ctx).boxed()
    }
}

/// Any ephemeral resource.
#[derive(Clone)]
pub struct AnyEphemeral(pub(crate) Arc<dyn ErasedEphemeral>);

impl AnyEphemeral {
    /// Takes an ephemeral resource.
    pub fn new(ephemeral: impl EphemeralResource) -> AnyEphemeral {
        AnyEphemeral(Arc::new(ephemeral))
    }
}

impl fmt::Debug for AnyEphemeral {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AnyEphemeral").field(&self.0.type_name()).finish()
    }
}
