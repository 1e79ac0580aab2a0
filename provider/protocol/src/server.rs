// SPDX-License-Identifier: MPL-2.0
//! What all requests share: the registry, the stop signal, and how one is run apart from the thread that talks to
//! Terraform. The methods are in `server/service.rs`, what each of them does in the other submodules.

mod answer;
mod apply;
mod data;
mod function;
pub(crate) mod guard;
mod plan;
mod read;
mod registry;
mod service;
mod state;

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio_util::sync::CancellationToken;
use tonic::{Response, Status};
use tracing::Instrument;

use crate::context::Context;
use crate::diagnostic::Diagnostic;
use crate::generated::tfplugin6 as proto;
use crate::provider::{ErasedProvider, Provider};
use registry::Registry;

/// Everything that core, or this crate, would refuse in the schemas of a provider; empty when all are sound. For a
/// unit test of the provider.
pub fn problems(provider: &impl Provider) -> Vec<String> {
    Registry::new(provider).problems
}

/// What all requests share.
pub(crate) struct Core {
    provider: Arc<dyn ErasedProvider>,
    pub(crate) registry: Registry,
    address: String,
    stop: Mutex<CancellationToken>,
    /// Whether the process outlives the run that stopped it.
    serves_many_runs: bool,
    terraform_version: Mutex<String>,
    requests: AtomicUsize,
    running: AtomicUsize,
}

impl Core {
    /// How many requests are being worked on.
    pub(crate) fn running(&self) -> usize {
        self.running.load(Ordering::Acquire)
    }

    /// Cancels every operation, running and to come.
    pub(crate) fn cancel(&self) {
        self.stop.lock().unwrap_or_else(PoisonError::into_inner).cancel();
    }

    /// A new run begins. Under a host there is one run in the life of a process, and a stop is for good.
    fn begin_run(&self, terraform_version: String) {
        *self.terraform_version.lock().unwrap_or_else(PoisonError::into_inner) = terraform_version;
        let mut stop = self.stop.lock().unwrap_or_else(PoisonError::into_inner);
        if self.serves_many_runs && stop.is_cancelled() {
            *stop = CancellationToken::new();
        }
    }

    fn context(&self) -> Context {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // Distinct within a run, also across its processes: that is all an id in a log needs.
        let id = format!("{:x}-{:08x}-{number}", std::process::id(), since.as_millis() & 0xffff_ffff);
        let version = self.terraform_version.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let stop = self.stop.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Context::new(stop, id, version)
    }
}

/// The service.
#[derive(Clone)]
pub(crate) struct Server {
    core: Arc<Core>,
}

/// An answer that can carry nothing but an error.
trait Failure {
    fn failure(diagnostics: Vec<proto::Diagnostic>) -> Self;
}

macro_rules! failure {
    ($($ty:ident),* $(,)?) => {
        $(impl Failure for proto::$ty {
            fn failure(diagnostics: Vec<proto::Diagnostic>) -> Self {
                #[expect(clippy::allow_attributes, reason = "some answers hold nothing else")]
                #[allow(clippy::needless_update)]
                Self { diagnostics, ..Self::default() }
            }
        })*
    };
}

failure! {
    ValidateProviderConfigResponse, ValidateResponse, UpgradeResourceStateResponse, ConfigureProviderResponse,
    ReadResourceResponse, PlanResourceChangeResponse, ApplyResourceChangeResponse, ImportResourceStateResponse,
    ReadDataSourceResponse, OpenEphemeralResourceResponse, RenewEphemeralResourceResponse,
    CloseEphemeralResourceResponse,
}

impl Failure for proto::CallFunctionResponse {
    fn failure(diagnostics: Vec<proto::Diagnostic>) -> Self {
        let text = diagnostics.into_iter().map(|diagnostic| diagnostic.detail).collect::<Vec<_>>().join("\n");
        Self { result: None, error: Some(proto::FunctionError { text, function_argument: None }) }
    }
}

impl Server {
    pub(crate) fn new(provider: impl Provider, address: &str, serves_many_runs: bool) -> Server {
        let core = Core {
            registry: Registry::new(&provider),
            provider: Arc::new(provider),
            address: address.to_owned(),
            stop: Mutex::new(CancellationToken::new()),
            serves_many_runs,
            terraform_version: Mutex::new(String::new()),
            requests: AtomicUsize::new(0),
            running: AtomicUsize::new(0),
        };
        Server { core: Arc::new(core) }
    }

    pub(crate) fn core(&self) -> Arc<Core> {
        Arc::clone(&self.core)
    }

    /// Runs one request on the handlers' threads.
    async fn run<T, F>(
        &self,
        rpc: &'static str,
        type_name: &str,
        work: impl FnOnce(Arc<Core>, Context) -> F,
    ) -> Result<Response<T>, Status>
    where
        T: Failure + Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let ctx = self.core.context();
        let task = self.in_span(rpc, type_name, &ctx, work(self.core(), ctx.clone()));
        let failed = match guard::spawn(task) {
            Some(task) => match task.await {
                Ok(answer) => return Ok(Response::new(answer)),
                Err(_) => guard::incident(&ctx),
            },
            None => Diagnostic::error(
                "The provider cannot start its threads",
                "The system refused new threads to the provider process. Nothing was changed. Raise the limit of \
                 processes (ulimit -u), then run again.",
            ),
        };
        Ok(Response::new(T::failure(answer::diagnostics(&[], failed.into()))))
    }

    /// Runs one request that only looks at what it was given, on the thread of the connection: the way to another
    /// thread and back costs more than the request.
    async fn run_here<T, F>(
        &self,
        rpc: &'static str,
        type_name: &str,
        work: impl FnOnce(Arc<Core>, Context) -> F,
    ) -> Result<Response<T>, Status>
    where
        T: Failure,
        F: Future<Output = T>,
    {
        let ctx = self.core.context();
        let task = self.in_span(rpc, type_name, &ctx, work(self.core(), ctx.clone()));
        let answer = guard::catch(&ctx, task).await;
        Ok(Response::new(answer.unwrap_or_else(|failed| T::failure(answer::diagnostics(&[], failed.into())))))
    }

    /// A request inside a span that marks its log lines.
    fn in_span<F: Future>(
        &self,
        rpc: &'static str,
        type_name: &str,
        ctx: &Context,
        work: F,
    ) -> impl Future<Output = F::Output> + use<F> {
        let span = tracing::error_span!(
            "rpc",
            tf_rpc = rpc,
            tf_req_id = ctx.request_id(),
            tf_resource_type = type_name,
            tf_provider_addr = self.core.address
        );
        let counted = Running::new(self.core());
        let task = async move {
            tracing::trace!("request begins");
            let answer = work.await;
            tracing::trace!("request ends");
            drop(counted);
            answer
        };
        task.instrument(span)
    }
}

/// Counts a request for as long as it lives.
struct Running(Arc<Core>);

impl Running {
    fn new(core: Arc<Core>) -> Running {
        core.running.fetch_add(1, Ordering::AcqRel);
        Running(core)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests;
