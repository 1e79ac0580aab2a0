// SPDX-License-Identifier: MPL-2.0
//! What a handler gets beside its request: the stop signal, a place to record partial results, and the ids that
//! tie its log lines to the request. Nothing of the request itself.

use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::value::Value;

/// The surroundings of one request. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Context {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    stop: CancellationToken,
    request_id: String,
    terraform_version: String,
    recorded: Mutex<Recorded>,
}

/// The best known result of a create or update so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recorded {
    pub(crate) state: Option<Value>,
    pub(crate) private: Option<Vec<u8>>,
}

impl Context {
    pub(crate) fn new(stop: CancellationToken, request_id: String, terraform_version: String) -> Context {
        let recorded = Mutex::new(Recorded::default());
        Context { inner: Arc::new(Inner { stop, request_id, terraform_version, recorded }) }
    }

    /// A context outside of any request, for the unit tests of a provider. It is never stopped.
    pub fn detached() -> Context {
        Self::new(CancellationToken::new(), "detached".to_owned(), String::new())
    }

    /// Fires when the user stops Terraform (Ctrl-C), or when Terraform died. Every long wait must watch it. A
    /// stopped create or update still returns the best known state.
    pub fn cancelled(&self) -> &CancellationToken {
        &self.inner.stop
    }

    /// Whether the run is being stopped.
    pub fn is_stopping(&self) -> bool {
        self.inner.stop.is_cancelled()
    }

    /// Records the state of the object as far as it is known, in `create` before or right after the first side
    /// effect, later whenever more is known. It becomes the result when the handler panics, or fails without a
    /// state. Unknown parts are stored as null.
    pub fn record_state(&self, state: &Value) {
        self.lock().state = Some(state.clone());
    }

    /// Records the private bytes that belong to the recorded state.
    pub fn record_private(&self, private: &[u8]) {
        self.lock().private = Some(private.to_vec());
    }

    /// Writes one INFO line to Terraform's log.
    pub fn progress(&self, message: &str) {
        tracing::info!("{message}");
    }

    /// The version of the caller; empty before the provider is configured. Branch on capabilities, not on this:
    /// OpenTofu reports its own number.
    pub fn terraform_version(&self) -> &str {
        &self.inner.terraform_version
    }

    /// The id that every log line of this request carries.
    pub fn request_id(&self) -> &str {
        &self.inner.request_id
    }

    pub(crate) fn recorded(&self) -> Recorded {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Recorded> {
        // A panic cannot leave half a record behind: each write is one assignment.
        self.inner.recorded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
