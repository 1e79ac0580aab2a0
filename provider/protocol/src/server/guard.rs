// SPDX-License-Identifier: MPL-2.0
//! Where handlers run, and what becomes of a handler that panics: one diagnostic with the id under which the
//! log has the rest, while the process lives on.

use std::future::Future;
use std::panic::{AssertUnwindSafe, PanicHookInfo};
use std::sync::OnceLock;

use futures::FutureExt;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use crate::context::Context;
use crate::diagnostic::Diagnostic;

/// Handlers that may wait have threads of their own, so that nothing they do delays an answer to StopProvider; the
/// `validate` of a resource only looks at what it is given, and is answered where it is asked. The threads are made at
/// the first request that needs one: the process that only tells the schema has none. Never dropped; the end of
/// the process ends them.
static HANDLERS: OnceLock<Option<Runtime>> = OnceLock::new();

/// Starts a task on the handlers' threads. `None` when the system has no threads left.
pub(crate) fn spawn<T: Send + 'static>(
    task: impl Future<Output = T> + Send + 'static,
) -> Option<JoinHandle<T>> {
    let runtime = HANDLERS.get_or_init(|| {
        let threads = std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 8);
        Builder::new_multi_thread().worker_threads(threads).thread_name("handler").enable_all().build().ok()
    });
    runtime.as_ref().map(|runtime| runtime.spawn(task))
}

/// Awaits a handler; a panic becomes a diagnostic.
pub(crate) async fn catch<T>(ctx: &Context, handler: impl Future<Output = T>) -> Result<T, Diagnostic> {
    AssertUnwindSafe(handler).catch_unwind().await.map_err(|_| incident(ctx))
}

/// Calls a function; a panic becomes a diagnostic.
pub(crate) fn catch_sync<T>(ctx: &Context, call: impl FnOnce() -> T) -> Result<T, Diagnostic> {
    std::panic::catch_unwind(AssertUnwindSafe(call)).map_err(|_| incident(ctx))
}

/// The diagnostic for a panic of this request.
pub(crate) fn incident(ctx: &Context) -> Diagnostic {
    let id = ctx.request_id();
    Diagnostic::error(
        "The provider failed internally",
        format!(
            "This is a bug in the provider, incident {id}. Other resources are not affected. What was known of the \
             object is kept in state. Please report it with the log lines that carry tf_req_id={id} (run with \
             TF_LOG_PROVIDER=ERROR to get them)."
        ),
    )
}

/// Sends panics to the log in place of plain text on standard error.
pub(crate) fn log_panics() {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "handler panicked: {}", message(info));
    }));
}

fn message<'a>(info: &'a PanicHookInfo<'_>) -> &'a str {
    let payload = info.payload();
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
