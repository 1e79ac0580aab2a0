// SPDX-License-Identifier: MPL-2.0
//! One live, verified, authenticated connection.
//!
//! [`Link::open`] goes from a target to a connection that may be used; `channel` runs commands on it.
//! Deliberately not here: reconnecting and sharing (`session`, `pool`).

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use russh::client::{self, DisconnectReason, Handle};
use russh::keys::PublicKeyOrCertificate;
use russh::keys::ssh_key::{Algorithm, PublicKey};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use crate::auth::authenticate;
use crate::dial::{Cuttable, tcp};
use crate::error::SshError;
use crate::target::Target;
use crate::trust::{Offer, Vouchers, same_family, to_text};

/// Channels at once on one connection. OpenSSH allows 10, but frees them a little late; 4 are as fast as 10.
const CHANNELS: usize = 4;

/// Keep-alives without an answer before a connection counts as lost.
const KEEPALIVES: usize = 3;

/// One live connection.
pub(crate) struct Link {
    pub(crate) handle: Handle<Verifier>,
    pub(crate) turns: Arc<Semaphore>,
    pub(crate) host: String,
    host_key: PublicKey,
    end: End,
    /// Set when something happened after which the connection must not be used again.
    dead: AtomicBool,
    /// Keeps the connection below this one open.
    _bastion: Option<Arc<Link>>,
}

/// Where it is noted why the connection ended, as soon as that is known.
#[derive(Clone, Debug, Default)]
pub(crate) struct End(Arc<Mutex<Option<Ended>>>);

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The server said goodbye, with this reason.
    ByServer(String),
    /// It broke.
    Broken(String),
}

impl End {
    fn set(&self, ended: Ended) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(ended);
    }

    /// What is known by now.
    pub(crate) fn get(&self) -> Option<Ended> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ByServer(why) => write!(f, "the server ended it: {why}"),
            Self::Broken(why) => f.write_str(why),
        }
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("host", &self.host).finish_non_exhaustive()
    }
}

impl Link {
    /// Opens, verifies and authenticates a connection, through `bastion` when one is given.
    pub(crate) async fn open(target: &Target, bastion: Option<Arc<Link>>) -> Result<Self, SshError> {
        let vouchers = Vouchers::read(target).await?;
        let mut excluded = Vec::new();
        let mut first_refusal = None;
        loop {
            match handshake(target, &vouchers, &excluded, bastion.as_ref()).await {
                Ok((mut handle, verified, end)) => {
                    authenticate(&mut handle, target, &end).await?;
                    return Ok(Self {
                        handle,
                        turns: Arc::new(Semaphore::new(CHANNELS)),
                        host: target.host.clone(),
                        host_key: verified,
                        end,
                        dead: AtomicBool::new(false),
                        _bastion: bastion,
                    });
                }
                // A pinned fingerprint does not tell the type of its key, so the server's other keys get their turn.
                Err(Refusal { error, offered: Some(offered) }) if vouchers.only_fingerprints() => {
                    excluded.push(offered);
                    first_refusal.get_or_insert(error);
                }
                Err(Refusal { error, .. }) => return Err(first_refusal.unwrap_or(error)),
            }
        }
    }

    /// The verified host key as OpenSSH text.
    pub(crate) fn host_key(&self) -> String {
        to_text(&self.host_key)
    }

    /// Whether requests can still be sent.
    pub(crate) fn is_alive(&self) -> bool {
        !self.dead.load(Ordering::Relaxed) && !self.handle.is_closed()
    }

    /// Takes the connection out of use.
    pub(crate) fn condemn(&self) {
        self.dead.store(true, Ordering::Relaxed);
    }

    /// The error for a connection on which nothing is answered any more.
    pub(crate) fn silent(&self, waited: Duration) -> SshError {
        self.end.set(Ended::Broken(format!("no answer within {:.1} s", waited.as_secs_f64())));
        self.lost("opening a channel")
    }

    /// The error for a request that was under way when the connection broke.
    pub(crate) fn lost(&self, during: &str) -> SshError {
        self.condemn();
        let last = self.end.get().map_or("the connection was closed".to_owned(), |ended| ended.to_string());
        SshError::ConnectionLost { host: self.host.clone(), during: during.to_owned(), last }
    }
}

/// A handshake that failed; with the type of the host key when it was refused.
struct Refusal {
    error: SshError,
    offered: Option<Algorithm>,
}

impl From<SshError> for Refusal {
    fn from(error: SshError) -> Self {
        Self { error, offered: None }
    }
}

/// A byte stream to the target, directly or through a bastion, and the SSH handshake on it.
async fn handshake(
    target: &Target,
    vouchers: &Vouchers,
    excluded: &[Algorithm],
    bastion: Option<&Arc<Link>>,
) -> Result<(Handle<Verifier>, PublicKey, End), Refusal> {
    match bastion {
        None => negotiate(target, vouchers, excluded, tcp(target).await?).await,
        Some(bastion) => negotiate(target, vouchers, excluded, forwarded(target, bastion).await?).await,
    }
}

/// A channel through the bastion to the target's port.
async fn forwarded(
    target: &Target,
    bastion: &Link,
) -> Result<impl AsyncRead + AsyncWrite + Unpin + Send + 'static, SshError> {
    let start = Instant::now();
    let opening = bastion.handle.channel_open_direct_tcpip(&target.host, target.port.into(), "127.0.0.1", 0);
    let unreachable = |last: String| SshError::Unreachable {
        host: target.host.clone(),
        port: target.port,
        after: start.elapsed(),
        last,
    };
    match timeout(target.connect_timeout, opening).await {
        Ok(Ok(channel)) => Ok(channel.into_stream()),
        Ok(Err(russh::Error::ChannelOpenFailure(russh::ChannelOpenFailure::AdministrativelyProhibited))) => {
            Err(SshError::Bastion {
                host: target.host.clone(),
                bastion: bastion.host.clone(),
                source: Box::new(SshError::ChannelRefused {
                    host: bastion.host.clone(),
                    why: "it does not forward TCP connections to there (AllowTcpForwarding, PermitOpen)"
                        .to_owned(),
                }),
            })
        }
        Ok(Err(russh::Error::ChannelOpenFailure(reason))) => {
            Err(unreachable(format!("the bastion {} cannot connect to it ({reason:?})", bastion.host)))
        }
        Ok(Err(_)) => Err(SshError::Bastion {
            host: target.host.clone(),
            bastion: bastion.host.clone(),
            source: Box::new(bastion.lost("connecting through it")),
        }),
        Err(_) => Err(unreachable(format!("the bastion {} got no answer from it", bastion.host))),
    }
}

/// Version exchange, key exchange and the check of the host key, within the target's `connect_timeout`.
async fn negotiate<S>(
    target: &Target,
    vouchers: &Vouchers,
    excluded: &[Algorithm],
    stream: S,
) -> Result<(Handle<Verifier>, PublicKey, End), Refusal>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let start = Instant::now();
    let wanted = vouchers.wanted();
    let keep = |list: Vec<Algorithm>| -> Vec<Algorithm> {
        list.into_iter()
            .filter(|algorithm| !excluded.iter().any(|other| same_family(other, algorithm)))
            .collect()
    };
    let config = Arc::new(config(target, keep(wanted.keys), keep(wanted.certificates)));
    let verified = Arc::new(Mutex::new(None));
    let end = End::default();
    let verifier = Verifier { vouchers: vouchers.clone(), verified: Arc::clone(&verified), end: end.clone() };
    let (stream, scissors) = Cuttable::new(stream);
    let unreachable = |last: String| SshError::Unreachable {
        host: target.host.clone(),
        port: target.port,
        after: start.elapsed(),
        last,
    };
    match timeout(target.connect_timeout, client::connect_stream(config, stream, verifier)).await {
        Ok(Ok(handle)) => {
            let key = verified.lock().unwrap_or_else(PoisonError::into_inner).clone();
            // russh does not get here without a call of the verifier; believe it only with the proof in hand.
            let key = key.ok_or_else(|| unreachable("the server showed no host key".to_owned()))?;
            scissors.put_away();
            Ok((handle, key, end))
        }
        Ok(Err(HandshakeError::HostKey { error, offered })) => {
            Err(Refusal { error: *error, offered: Some(offered) })
        }
        Ok(Err(HandshakeError::Protocol(error))) => {
            Err(explain(target, error, scissors.heard(), unreachable).into())
        }
        Err(_) if scissors.heard() => {
            Err(unreachable("the server began the SSH handshake but did not finish it".to_owned()).into())
        }
        Err(_) => Err(unreachable(
            "the TCP connection was accepted, but nothing was said on it: is this the port of an SSH server?"
                .to_owned(),
        )
        .into()),
    }
}

/// A failed handshake in our terms.
fn explain(
    target: &Target,
    error: russh::Error,
    heard: bool,
    unreachable: impl Fn(String) -> SshError,
) -> SshError {
    match error {
        russh::Error::NoCommonAlgo { kind, ours, theirs } => SshError::NoCommonAlgorithm {
            host: target.host.clone(),
            port: target.port,
            last: format!("{kind:?}: we offer {}, it offers {}", ours.join(","), theirs.join(",")),
        },
        russh::Error::WrongServerSig => SshError::TrustUnusable {
            host: target.host.clone(),
            why: "the server could not prove that it holds the host key it showed".to_owned(),
        },
        russh::Error::Version => unreachable("what answered there does not speak SSH 2".to_owned()),
        _ if !heard => unreachable(
            "the server closed the connection without a word; it may be starting up, or refuse more connections for now \
             (MaxStartups)"
                .to_owned(),
        ),
        error => unreachable(format!("the SSH handshake failed ({error})")),
    }
}

/// russh's settings for this target.
fn config(target: &Target, keys: Vec<Algorithm>, certificates: Vec<Algorithm>) -> client::Config {
    client::Config {
        keepalive_interval: Some(target.keepalive).filter(|interval| !interval.is_zero()),
        keepalive_max: KEEPALIVES,
        nodelay: true,
        preferred: russh::Preferred {
            key: Cow::Owned(keys),
            host_key_certificates: Cow::Owned(certificates),
            ..russh::Preferred::default()
        },
        ..client::Config::default()
    }
}

/// russh's caller-side hooks: the check of the host key, and the note why a connection ended.
pub(crate) struct Verifier {
    vouchers: Vouchers,
    verified: Arc<Mutex<Option<PublicKey>>>,
    end: End,
}

/// Why a handshake failed.
#[derive(Debug)]
pub(crate) enum HandshakeError {
    /// The host key was refused.
    HostKey { error: Box<SshError>, offered: Algorithm },
    /// Everything else.
    Protocol(russh::Error),
}

impl From<russh::Error> for HandshakeError {
    fn from(error: russh::Error) -> Self {
        Self::Protocol(error)
    }
}

impl client::Handler for Verifier {
    type Error = HandshakeError;

    async fn check_server_key(&mut self, offered: &PublicKeyOrCertificate) -> Result<bool, HandshakeError> {
        let key = offered.public_key();
        let offer = match offered.certificate() {
            Some(certificate) => Offer::Certificate(certificate, &key),
            None => Offer::Key(&key),
        };
        // A clock before 1970 makes every certificate invalid, which is the safe side.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let judged = self.vouchers.judge(offer, now);
        judged
            .map_err(|error| HandshakeError::HostKey { error: Box::new(error), offered: key.algorithm() })?;
        *self.verified.lock().unwrap_or_else(PoisonError::into_inner) = Some(key);
        Ok(true)
    }

    async fn disconnected(&mut self, reason: DisconnectReason<HandshakeError>) -> Result<(), HandshakeError> {
        match reason {
            DisconnectReason::ReceivedDisconnect(info) => {
                self.end.set(Ended::ByServer(info.message));
                Ok(())
            }
            DisconnectReason::Error(error) => {
                self.end.set(Ended::Broken(match &error {
                    HandshakeError::Protocol(russh::Error::KeepaliveTimeout) => {
                        "the host answered no keep-alive any more".to_owned()
                    }
                    HandshakeError::Protocol(russh::Error::Disconnect | russh::Error::HUP) => {
                        "the connection was closed without a reason".to_owned()
                    }
                    HandshakeError::Protocol(error) => error.to_string(),
                    HandshakeError::HostKey { error, .. } => error.to_string(),
                }));
                Err(error)
            }
        }
    }
}
