// SPDX-License-Identifier: MPL-2.0
//! All sessions of one process: one per target, found again by everybody who asks.
//!
//! Deliberately not here: what a session does (`session`).

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::error::SshError;
use crate::session::Session;
use crate::target::Target;

/// All sessions of one process. Cloning gives another handle to the same pool. Creating one costs nothing: no
/// thread, no random numbers, no cryptography before the first [`Pool::connect`].
#[derive(Clone, Debug, Default)]
pub struct Pool {
    sessions: Arc<Mutex<HashMap<Target, Arc<Session>>>>,
    counters: Arc<Counters>,
}

/// What has been done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Connections opened and authenticated, those to bastions and reconnections included.
    pub connections: u64,
    /// Commands sent to hosts, those of uploads included.
    pub executions: u64,
}

/// Running totals behind [`Stats`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    connections: AtomicU64,
    executions: AtomicU64,
}

impl Counters {
    pub(crate) fn connected(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn executed(&self) {
        self.executions.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Stats {
        Stats {
            connections: self.connections.load(Ordering::Relaxed),
            executions: self.executions.load(Ordering::Relaxed),
        }
    }
}

impl Pool {
    /// An empty pool.
    pub fn new() -> Self {
        Self::default()
    }

    /// The session for this target, connected. The first caller opens the connection; callers that come while it is
    /// being opened wait for that attempt and share its result. Dropping the future gives the attempt up.
    ///
    /// # Errors
    /// Everything of [`SshError`] that concerns connections, host keys and authentication. A failure is remembered for one
    /// second: a hundred resources of one host neither wait a hundred times nor fail a hundred logins.
    pub async fn connect(&self, target: &Target) -> Result<Arc<Session>, SshError> {
        let session = self.session(target)?;
        session.ensure_connected().await?;
        Ok(session)
    }

    /// Totals over all sessions of this pool.
    pub fn stats(&self) -> Stats {
        self.counters.read()
    }

    /// The session of a target, made when it is new; with those of the bastions before it.
    fn session(&self, target: &Target) -> Result<Arc<Session>, SshError> {
        let bastion = target.bastion.as_deref().map(|bastion| self.session(bastion)).transpose()?;
        check(target)?;
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let known = sessions.entry(target.clone());
        let session = known
            .or_insert_with(|| Arc::new(Session::new(target.clone(), bastion, Arc::clone(&self.counters))));
        Ok(Arc::clone(session))
    }
}

/// Longest sensible setting of a target's clocks.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Whether host and user can be meant seriously. Neither is ever put on a local command line; a leading dash is still
/// somebody's mistake or worse.
fn check(target: &Target) -> Result<(), SshError> {
    let refuse = |why: String| Err(SshError::InvalidRequest { host: target.host.clone(), why });
    let odd = |text: &str| {
        text.is_empty() || text.starts_with('-') || text.chars().any(|c| c.is_control() || c.is_whitespace())
    };
    if odd(&target.host) || target.host.contains(['[', ']', '/', '@', '*', '?', ',', '!', '|']) {
        return refuse(format!("{:?} is not a host name or IP address", target.host));
    }
    if odd(&target.user) {
        return refuse(format!("{:?} is not a user name", target.user));
    }
    if target
        .host_key_alias
        .as_deref()
        .is_some_and(|alias| odd(alias) || alias.contains(['*', '?', ',', '!', '|']))
    {
        return refuse("the host key alias is not a plain name".to_owned());
    }
    if target.port == 0 {
        return refuse("port 0 cannot be connected to".to_owned());
    }
    if target.connect_timeout.is_zero() {
        return refuse("a connect timeout of zero leaves no time to connect".to_owned());
    }
    if target.connect_timeout > LONGEST || target.keepalive > LONGEST {
        return refuse("a connect timeout or keep-alive of more than a day is none".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(change: impl FnOnce(&mut Target)) -> String {
        let mut target = Target::new("127.0.0.1", "root");
        change(&mut target);
        match Pool::new().connect(&target).await {
            Err(SshError::InvalidRequest { why, .. }) => why,
            other => format!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn what_cannot_be_a_host_or_user_is_refused() {
        for host in ["", "-oProxyCommand=x", "a b", "[::1]", "a/b", "root@a", "*"] {
            assert!(check(|target| target.host = host.to_owned()).await.contains("host name"), "{host}");
        }
        for user in ["", "-l", "a\nb"] {
            assert!(check(|target| target.user = user.to_owned()).await.contains("user name"), "{user}");
        }
        assert!(check(|target| target.port = 0).await.contains("port 0"));
        assert!(check(|target| target.host_key_alias = Some("*".to_owned())).await.contains("alias"));
        assert!(check(|target| target.connect_timeout = Duration::ZERO).await.contains("no time"));
        assert!(check(|target| target.keepalive = Duration::MAX).await.contains("more than a day"));
    }

    #[test]
    fn equal_targets_share_a_session_and_others_do_not() {
        let pool = Pool::new();
        let target = Target::new("10.0.0.1", "root");
        let session = pool.session(&target).unwrap();
        assert!(Arc::ptr_eq(&session, &pool.clone().session(&target.clone()).unwrap()));
        let looser = Target { trust: crate::Trust::Pinned(Vec::new()), ..target.clone() };
        assert!(!Arc::ptr_eq(&session, &pool.session(&looser).unwrap()));
        assert_eq!(pool.stats(), Stats::default());
    }
}
