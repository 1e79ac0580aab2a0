// SPDX-License-Identifier: MPL-2.0
//! The lasting relation with one host: a connection that is opened when needed and replaced when it broke.
//!
//! Deliberately not here: files (`upload`), the wire (`channel`), what an ending means (`outcome`), verification (`link`).

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::{debug, info};

use crate::channel::{Broken, Job, run};
use crate::error::SshError;
use crate::known_hosts::LookupName;
use crate::link::Link;
use crate::outcome::outcome;
use crate::pool::{Counters, Stats};
use crate::quote::command_line;
use crate::request::{Exec, ExecOutput};
use crate::target::Target;

/// For how long a failure is handed to the next caller instead of trying again: a hundred resources of one host must
/// neither wait a hundred times for a dead one, nor fail a hundred logins on one that counts them.
const FAILURE_FRESH: Duration = Duration::from_secs(1);

/// Longer deadlines are cut to this: 30 days, which no clock overflows.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// One host's session, shared by all who work on that host. Its methods may be called from many tasks at once.
#[derive(Debug)]
pub struct Session {
    target: Target,
    bastion: Option<Arc<Session>>,
    slot: Mutex<Slot>,
    /// Attempts to connect that have ended, to tell callers who waited for one from those who came later.
    attempts: AtomicU64,
    host_key: RwLock<String>,
    pool: Arc<Counters>,
    own: Counters,
    /// Programs that were seen on the host, and the number of the connection they were seen on: after a reconnection the
    /// host may be another one, or have rebooted with an empty disk.
    seen: RwLock<HashMap<String, u64>>,
    /// Held by whoever is about to send a program.
    pub(crate) sending: Mutex<()>,
}

/// The connection, or how the last attempt failed.
#[derive(Debug, Default)]
struct Slot {
    link: Option<Arc<Link>>,
    failure: Option<(Instant, SshError)>,
}

impl Session {
    pub(crate) fn new(target: Target, bastion: Option<Arc<Session>>, pool: Arc<Counters>) -> Self {
        Self {
            target,
            bastion,
            slot: Mutex::default(),
            attempts: AtomicU64::new(0),
            host_key: RwLock::default(),
            pool,
            own: Counters::default(),
            seen: RwLock::default(),
            sending: Mutex::default(),
        }
    }

    /// Whom this session is with.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The host key as it was verified at the last connect: one line of OpenSSH text without comment, for known_hosts
    /// and for attributes. Of a host certificate it is the certified key.
    pub fn host_key(&self) -> String {
        self.host_key.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lines for a `known_hosts` file: the verified key of the host, then those of the bastions on the way to it, the
    /// nearest to the host first. Each names its host as OpenSSH looks it up.
    pub fn known_hosts(&self) -> Vec<String> {
        let Target { host, port, host_key_alias, .. } = &self.target;
        let name = LookupName::new(host, *port, host_key_alias.as_deref());
        let before = self.bastion.iter().flat_map(|bastion| bastion.known_hosts());
        std::iter::once(format!("{name} {}", self.host_key())).chain(before).collect()
    }

    /// Totals of this session alone, without its bastions.
    pub fn stats(&self) -> Stats {
        self.own.read()
    }

    /// Runs a command. A request that did not get out is sent again over a new connection; one that did, only when it
    /// is [idempotent](Exec::idempotent), and only once.
    ///
    /// # Errors
    /// [`SshError`], when there is no answer. A command that failed is no error: look at [`ExecOutput::code`].
    pub async fn exec(&self, exec: Exec<'_>) -> Result<ExecOutput, SshError> {
        let job = self.job(&exec)?;
        let stdin = Bytes::from(exec.stdin);
        let mut may_repeat = true;
        loop {
            let link = self.link().await?;
            let sending = || {
                self.own.executed();
                self.pool.executed();
            };
            match run(&link, job.clone(), stdin.clone(), sending).await {
                Ok(transcript) => {
                    let (ending, took) = (&transcript.ending, transcript.took);
                    debug!(host = %self.target.host, program = %job.program, ?ending, ?took, "command ended");
                    let output = outcome(&self.target, &job, transcript);
                    if matches!(output, Ok(ExecOutput { code: 126 | 127, .. })) {
                        self.forget_seen(&job.program);
                    }
                    return output;
                }
                Err(Broken { error: error @ SshError::ConnectionLost { .. }, sent })
                    if may_repeat && (exec.idempotent || !sent) =>
                {
                    info!(host = %self.target.host, program = %job.program, %error, "trying once more");
                    may_repeat = false;
                }
                Err(broken) => return Err(broken.error),
            }
        }
    }

    /// The request, checked and ready for the wire.
    fn job(&self, exec: &Exec<'_>) -> Result<Job, SshError> {
        let mark = mark();
        let deadline = exec.deadline.min(LONGEST);
        let line = command_line(exec.argv, exec.env, deadline, self.target.escalate, &mark)
            .map_err(|why| SshError::InvalidRequest { host: self.target.host.clone(), why })?;
        Ok(Job {
            program: exec.argv.first().copied().unwrap_or_default().to_owned(),
            line,
            mark,
            deadline,
            max_output: exec.max_output,
            open_timeout: self.target.connect_timeout,
        })
    }

    /// Whether this program was seen on the host, over the connection that is open now.
    pub(crate) fn has_seen(&self, path: &str) -> bool {
        let seen = self.seen.read().unwrap_or_else(PoisonError::into_inner);
        seen.get(path) == Some(&self.stats().connections)
    }

    /// Notes that this program is on the host.
    pub(crate) fn note_seen(&self, path: &str) {
        let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
        seen.insert(path.to_owned(), self.stats().connections);
    }

    /// The host says that there is no such program (any more).
    fn forget_seen(&self, path: &str) {
        self.seen.write().unwrap_or_else(PoisonError::into_inner).remove(path);
    }

    /// Opens the connection if there is none.
    pub(crate) async fn ensure_connected(&self) -> Result<(), SshError> {
        self.link().await.map(drop)
    }

    /// The connection, opened by whoever comes first. Boxed, because a bastion asks for its own in the same way.
    fn link(&self) -> Pin<Box<dyn Future<Output = Result<Arc<Link>, SshError>> + Send + '_>> {
        Box::pin(async move {
            let seen = self.attempts.load(Ordering::Acquire);
            let mut slot = self.slot.lock().await;
            if let Some(link) = &slot.link {
                if link.is_alive() {
                    return Ok(Arc::clone(link));
                }
                slot.link = None;
            }
            if let Some((when, failure)) = &slot.failure {
                let waited_for_it = self.attempts.load(Ordering::Acquire) > seen;
                if waited_for_it || when.elapsed() < FAILURE_FRESH {
                    return Err(failure.clone());
                }
            }
            let opened = self.open().await;
            self.attempts.fetch_add(1, Ordering::Release);
            match opened {
                Ok(link) => {
                    let link = Arc::new(link);
                    *slot = Slot { link: Some(Arc::clone(&link)), failure: None };
                    Ok(link)
                }
                Err(error) => {
                    *slot = Slot { link: None, failure: Some((Instant::now(), error.clone())) };
                    Err(error)
                }
            }
        })
    }

    /// A new connection, through the bastion if there is one.
    async fn open(&self) -> Result<Link, SshError> {
        let start = Instant::now();
        let bastion = match &self.bastion {
            None => None,
            Some(session) => Some(session.link().await.map_err(|error| SshError::Bastion {
                host: self.target.host.clone(),
                bastion: session.target.host.clone(),
                source: Box::new(error),
            })?),
        };
        let link = Link::open(&self.target, bastion).await?;
        self.own.connected();
        self.pool.connected();
        *self.host_key.write().unwrap_or_else(PoisonError::into_inner) = link.host_key();
        info!(host = %self.target.host, user = %self.target.user, took = ?start.elapsed(), "connected");
        Ok(link)
    }
}

/// A word that no start-up file prints by accident. It need not be secret.
fn mark() -> String {
    format!("drbd-ssh-{:016x}", RandomState::new().build_hasher().finish())
}
