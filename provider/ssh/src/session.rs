// SPDX-License-Identifier: MPL-2.0
//! The lasting relation with one host: a connection that is opened when needed and replaced when it broke.
//!
//! Deliberately not here: files (`upload`), the wire (`channel`), verification (`link`).

use std::collections::HashSet;
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

use crate::channel::{Broken, Ending, Job, Transcript, run};
use crate::error::SshError;
use crate::link::Link;
use crate::pool::{Counters, Stats};
use crate::quote::command_line;
use crate::request::{Exec, ExecOutput};
use crate::target::{Escalate, Target};

/// For how long a failure that may pass by itself is handed to the next caller instead of trying again.
const FAILURE_FRESH: Duration = Duration::from_secs(1);

/// Longest wait for a sign of life from a connection that once did not answer in time.
const PATIENCE: Duration = Duration::from_secs(5);

/// How much of what a host printed goes into an error message, from the end.
const SAID: usize = 600;

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
    /// Programs that were seen on the host.
    pub(crate) seen: Mutex<HashSet<String>>,
}

/// The connection, or how the last attempt failed.
#[derive(Debug, Default)]
struct Slot {
    link: Option<Arc<Link>>,
    failure: Option<(Instant, SshError)>,
}

/// The limits of one request, as far as its errors mention them.
struct Limits {
    deadline: Duration,
    max_output: usize,
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
            seen: Mutex::default(),
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
        let invalid = |why| SshError::InvalidRequest { host: self.target.host.clone(), why };
        let mark = mark();
        let line =
            command_line(exec.argv, exec.env, exec.deadline, self.target.escalate, &mark).map_err(invalid)?;
        let program = exec.argv.first().copied().unwrap_or_default();
        let job = Job {
            line,
            stdin: Bytes::from(exec.stdin),
            mark,
            deadline: exec.deadline,
            max_output: exec.max_output,
            open_timeout: self.target.connect_timeout,
        };
        let limits = Limits { deadline: exec.deadline, max_output: exec.max_output };
        let mut may_repeat = true;
        loop {
            let link = self.link().await?;
            let sending = || {
                self.own.executed();
                self.pool.executed();
            };
            match run(&link, job.clone(), sending).await {
                Ok(transcript) => {
                    let (ending, took) = (&transcript.ending, transcript.took);
                    debug!(host = %self.target.host, program, ?ending, ?took, "command ended");
                    if matches!(ending, Ending::TimedOut(None)) {
                        link.suspect();
                    }
                    return self.conclude(program, &limits, transcript);
                }
                Err(Broken { error: error @ SshError::ConnectionLost { .. }, sent })
                    if may_repeat && (exec.idempotent || !sent) =>
                {
                    info!(host = %self.target.host, program, %error, "connection lost, trying once more");
                    may_repeat = false;
                }
                Err(broken) => return Err(broken.error),
            }
        }
    }

    /// What a transcript means.
    fn conclude(&self, program: &str, limits: &Limits, end: Transcript) -> Result<ExecOutput, SshError> {
        let deadline = limits.deadline;
        let host = self.target.host.clone();
        let command = program.to_owned();
        let (stderr, took) = (tail(&end.stderr), end.took);
        let timed_out = |after: &str| SshError::TimedOut {
            host: host.clone(),
            what: command.clone(),
            deadline,
            after: after.to_owned(),
        };
        match end.ending {
            Ending::Exited(_) | Ending::Killed(_) | Ending::Silent if !end.started => {
                Err(self.not_started(&end))
            }
            // What `timeout` on the host answers when it had to act.
            Ending::Exited(124 | 137) if took >= deadline => {
                Err(timed_out("it was stopped on the host; what it had done by then stays done"))
            }
            Ending::Killed(ref signal) if took >= deadline && (signal == "KILL" || signal == "TERM") => {
                Err(timed_out("it was killed on the host; what it had done by then stays done"))
            }
            Ending::Exited(code) => Ok(ExecOutput {
                code: i32::try_from(code).unwrap_or(i32::MAX),
                stdout: end.stdout,
                stderr: end.stderr,
            }),
            Ending::Killed(signal) => Err(SshError::Killed { host, command, signal, stderr }),
            Ending::Silent => Err(SshError::NoExitStatus { host, command }),
            Ending::TooLarge(stream) => {
                Err(SshError::OutputTooLarge { host, command, stream, limit: limits.max_output })
            }
            Ending::TimedOut(Some(code)) => Err(timed_out(&format!(
                "the command itself exited with {code}, but something it left behind holds its output open"
            ))),
            Ending::TimedOut(None) if !end.started => Err(timed_out(
                "the login shell (or sudo) did not even start it; look at the user's shell start-up files on the host",
            )),
            Ending::TimedOut(None) => Err(timed_out(
                "the host did not tell that it was stopped, so it may still be running: look at the host again",
            )),
            Ending::Lost => Err(SshError::ConnectionLost {
                host,
                during: format!("{command} was running"),
                last: "the connection was closed".to_owned(),
            }),
        }
    }

    /// Something else than our starter ran: sudo, a forced command, a shell that is none.
    fn not_started(&self, end: &Transcript) -> SshError {
        let said = match (tail(&end.stderr), tail(&end.stdout)) {
            (stderr, stdout) if stderr.is_empty() => stdout,
            (stderr, stdout) if stdout.is_empty() => stderr,
            (stderr, stdout) => format!("{stderr} / {stdout}"),
        };
        let said = match (&end.ending, said.is_empty()) {
            (Ending::Silent, true) => "the server refused the request".to_owned(),
            (Ending::Exited(code), true) => format!("it exited with {code} and printed nothing"),
            (Ending::Exited(code), false) => format!("{said} (exit {code})"),
            (_, true) => "it was ended without a word".to_owned(),
            (_, false) => said,
        };
        let (host, user) = (self.target.host.clone(), self.target.user.clone());
        if self.target.escalate == Escalate::Sudo && tail(&end.stderr).contains("sudo") {
            SshError::SudoRefused { host, user, said }
        } else {
            SshError::NotStarted { host, user, said }
        }
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
                if link.proves_alive(PATIENCE.min(self.target.connect_timeout)).await {
                    return Ok(Arc::clone(link));
                }
                slot.link = None;
            }
            if let Some((when, failure)) = &slot.failure {
                let waited_for_it = self.attempts.load(Ordering::Acquire) > seen;
                if waited_for_it || (failure.is_transient() && when.elapsed() < FAILURE_FRESH) {
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

/// The last part of an output in one line, fit for a message.
pub(crate) fn tail(bytes: &[u8]) -> String {
    let from = bytes.len().saturating_sub(SAID);
    let text = String::from_utf8_lossy(bytes.get(from..).unwrap_or_default());
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join(" / ").replace(char::is_control, " ")
}
