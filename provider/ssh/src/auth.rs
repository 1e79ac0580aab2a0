// SPDX-License-Identifier: MPL-2.0
//! Proving who we are: agent, key files, key texts, certificates.
//!
//! Every way is tried in the order of the target; each refusal is kept for the message. RSA keys sign with SHA-2 only.
//! Deliberately not here: passwords and keyboard-interactive; reading keys (`key`).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use russh::client::{AuthResult, Handle};
use russh::keys::PrivateKeyWithHashAlg;
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::{AgentClient, AgentStream};
use russh::keys::signature::Signer as _;
use russh::keys::ssh_encoding::Encode;
use russh::keys::ssh_key::private::KeypairData;
use russh::keys::ssh_key::{Algorithm, Certificate, HashAlg, PrivateKey};
use russh::{AgentAuthError, MethodKind, MethodSet};
use tokio::time::timeout;

use crate::error::SshError;
use crate::key::{self, Identity};
use crate::link::{End, Ended, Verifier};
use crate::target::{Auth, Target};
use crate::trust::describe;

type Agent = AgentClient<Box<dyn AgentStream + Send + Unpin>>;

/// What became of one attempt.
enum Attempt {
    /// We are in.
    In,
    /// Not with this; the next may do.
    Next(String),
    /// No further attempt makes sense: the server is gone, or takes no keys at all.
    Stop(String),
}

/// Everything that was tried so far.
#[derive(Default)]
struct Record {
    tried: Vec<String>,
    /// The first key of ours that could not be read.
    unreadable: Option<SshError>,
    /// Whether the server has seen any key.
    offered: bool,
}

/// Logs in, within the target's `connect_timeout`. `end` tells why the connection ended, if it did.
///
/// # Errors
/// [`SshError::AuthFailed`], [`SshError::KeyUnreadable`] when that is all there was, [`SshError::ConnectionLost`],
/// [`SshError::TimedOut`].
pub(crate) async fn authenticate(
    handle: &mut Handle<Verifier>,
    target: &Target,
    end: &End,
) -> Result<(), SshError> {
    let mut record = Record::default();
    let attempts = try_all(handle, target, &mut record);
    match timeout(target.connect_timeout, attempts).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(record.into_error(target, end.get())),
        Err(_) => Err(SshError::TimedOut {
            host: target.host.clone(),
            what: "authentication".to_owned(),
            deadline: target.connect_timeout,
            after: "if an agent asks for a confirmation or a touch, answer it sooner or allow more time"
                .to_owned(),
        }),
    }
}

impl Record {
    fn into_error(mut self, target: &Target, ended: Option<Ended>) -> SshError {
        if !self.offered
            && let Some(error) = self.unreadable
        {
            return error;
        }
        match ended {
            None => {}
            // Usually "Too many authentication failures" (MaxAuthTries).
            Some(Ended::ByServer(why)) => self.tried.push(format!("then the server hung up ({why})")),
            Some(Ended::Broken(last)) => {
                let during = "logging in".to_owned();
                return SshError::ConnectionLost { host: target.host.clone(), during, last };
            }
        }
        SshError::AuthFailed { host: target.host.clone(), user: target.user.clone(), tried: self.tried }
    }

    /// Notes an attempt; `Some` ends the search.
    fn note(&mut self, what: &str, attempt: Attempt) -> Option<bool> {
        self.offered = true;
        match attempt {
            Attempt::In => Some(true),
            Attempt::Next(why) => {
                self.tried.push(format!("{what}: {why}"));
                None
            }
            Attempt::Stop(why) => {
                self.tried.push(format!("{what}: {why}"));
                Some(false)
            }
        }
    }
}

/// All ways in order; true once one of them worked.
async fn try_all(handle: &mut Handle<Verifier>, target: &Target, record: &mut Record) -> bool {
    for auth in &target.auth {
        let done = match auth {
            Auth::Agent { socket } => try_agent(handle, target, socket.as_deref(), record).await,
            Auth::KeyFile { path, passphrase } => {
                let loaded = key::from_file(path, passphrase.as_ref()).await;
                try_identity(handle, target, &format!("key file {}", path.display()), loaded, record).await
            }
            Auth::KeyData { key, passphrase, certificate } => {
                let loaded = key::from_text(key, passphrase.as_ref(), certificate.as_deref()).await;
                try_identity(handle, target, "key given as text", loaded, record).await
            }
        };
        if let Some(done) = done {
            return done;
        }
    }
    false
}

/// A key of ours: its certificate first, then the bare key.
async fn try_identity(
    handle: &mut Handle<Verifier>,
    target: &Target,
    name: &str,
    loaded: Result<Identity, SshError>,
    record: &mut Record,
) -> Option<bool> {
    let identity = match loaded {
        Ok(identity) => identity,
        Err(error) => {
            record.tried.push(format!("{name}: it cannot be used"));
            record.unreadable.get_or_insert(error);
            return None;
        }
    };
    let print = describe(identity.key.public_key());
    let hash = match rsa_hash(handle, &identity.key.algorithm()).await {
        Ok(hash) => hash,
        Err(why) => return record.note(&format!("{name} ({print})"), Attempt::Next(why)),
    };
    if let Some(certificate) = identity.certificate {
        let what = format!("{name} with certificate {:?} ({print})", certificate.key_id());
        let attempt = try_certificate(handle, target, &identity.key, certificate, hash).await;
        if let Some(done) = record.note(&what, attempt) {
            return Some(done);
        }
    }
    let signer = PrivateKeyWithHashAlg::new(Arc::clone(&identity.key), hash);
    let result = handle.authenticate_publickey(&target.user, signer).await;
    record.note(&format!("{name} ({print})"), outcome(result.map_err(|error| error.to_string())))
}

/// A user certificate whose key we hold ourselves.
async fn try_certificate(
    handle: &mut Handle<Verifier>,
    target: &Target,
    key: &Arc<PrivateKey>,
    certificate: Certificate,
    hash: Option<HashAlg>,
) -> Attempt {
    let mut signer = KeySigner(Arc::clone(key));
    let result = handle.authenticate_certificate_with(&target.user, certificate, hash, &mut signer).await;
    outcome(result.map_err(|error| error.to_string()))
}

/// Signs with a key in memory. russh's own way for certificates would sign RSA ones with SHA-1.
struct KeySigner(Arc<PrivateKey>);

impl russh::Signer for KeySigner {
    type Error = AgentAuthError;

    async fn auth_sign(
        &mut self,
        _key: &AgentIdentity,
        hash: Option<HashAlg>,
        mut data: Vec<u8>,
    ) -> Result<Vec<u8>, AgentAuthError> {
        let failed = |_| AgentAuthError::Key(russh::keys::Error::KeyIsCorrupt);
        let signature = match self.0.key_data() {
            KeypairData::Rsa(key) => (key, hash).try_sign(&data),
            _ => self.0.try_sign(&data),
        };
        let signature = signature.map_err(failed)?;
        let mut blob = Vec::new();
        signature.encode(&mut blob).map_err(russh::keys::Error::from)?;
        blob.encode(&mut data).map_err(russh::keys::Error::from)?;
        Ok(data)
    }
}

/// Every identity of an agent.
async fn try_agent(
    handle: &mut Handle<Verifier>,
    target: &Target,
    socket: Option<&Path>,
    record: &mut Record,
) -> Option<bool> {
    let (name, mut agent, identities) = match reach_agent(handle, socket).await {
        Ok(reached) => reached,
        Err(why) => {
            record.tried.push(why);
            return None;
        }
    };
    for identity in identities {
        let key = identity.public_key().into_owned();
        let kind =
            if matches!(identity, AgentIdentity::Certificate { .. }) { "certificate for " } else { "" };
        let what = format!("{name}, {kind}{}", describe(&key));
        let attempt = match rsa_hash(handle, &key.algorithm()).await {
            Err(why) => Attempt::Next(why),
            Ok(hash) => {
                let result = match identity {
                    AgentIdentity::Certificate { certificate, .. } => {
                        handle
                            .authenticate_certificate_with(&target.user, certificate, hash, &mut agent)
                            .await
                    }
                    AgentIdentity::PublicKey { key, .. } => {
                        handle.authenticate_publickey_with(&target.user, key, hash, &mut agent).await
                    }
                };
                match result {
                    // Declined by its owner, or a constraint: the next identity may do.
                    Err(error) if !handle.is_closed() => {
                        Attempt::Next(format!("the agent did not sign ({error})"))
                    }
                    result => outcome(result.map_err(|error| error.to_string())),
                }
            }
        };
        if let Some(done) = record.note(&what, attempt) {
            return Some(done);
        }
    }
    None
}

/// The agent and what it holds, or why there is nothing.
async fn reach_agent(
    handle: &Handle<Verifier>,
    socket: Option<&Path>,
) -> Result<(String, Agent, Vec<AgentIdentity>), String> {
    let path = match socket {
        Some(path) => path.to_owned(),
        None => match std::env::var_os("SSH_AUTH_SOCK").filter(|value| !value.is_empty()) {
            Some(value) => PathBuf::from(value),
            None => return Err("agent: SSH_AUTH_SOCK is not set".to_owned()),
        },
    };
    let name = format!("agent {}", path.display());
    let mut agent =
        connect_agent(&path).await.map_err(|why| format!("{name}: it cannot be reached ({why})"))?;
    if let Some(binding) = handle.agent_session_binding() {
        // Lets the agent apply its destination constraints. Old agents do not know the request, and need not.
        let _ = agent.bind_session(binding, false).await;
    }
    let identities =
        agent.request_identities().await.map_err(|error| format!("{name}: it lists no keys ({error})"))?;
    if identities.is_empty() {
        return Err(format!("{name}: it holds no keys"));
    }
    Ok((name, agent, identities))
}

#[cfg(unix)]
async fn connect_agent(path: &Path) -> Result<Agent, String> {
    match AgentClient::connect_uds(path).await {
        Ok(agent) => Ok(agent.dynamic()),
        Err(russh::keys::Error::BadAuthSock) => Err("there is no such socket".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(not(unix))]
async fn connect_agent(_path: &Path) -> Result<Agent, String> {
    Err("agents are supported on Unix only; use a key file".to_owned())
}

/// The hash an RSA key signs with; `None` for other keys.
async fn rsa_hash(handle: &Handle<Verifier>, algorithm: &Algorithm) -> Result<Option<HashAlg>, String> {
    if !matches!(algorithm, Algorithm::Rsa { .. }) {
        return Ok(None);
    }
    match handle.best_supported_rsa_hash().await {
        Ok(Some(Some(hash))) => Ok(Some(hash)),
        // The server did not say what it takes: every OpenSSH since 7.2 takes this.
        Ok(None) => Ok(Some(HashAlg::Sha512)),
        Ok(Some(None)) => Err("the server takes RSA signatures with SHA-1 only, which are broken".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// russh's answer in our terms. A lost connection comes as a failure without any remaining method.
fn outcome(result: Result<AuthResult, String>) -> Attempt {
    match result {
        Ok(AuthResult::Success) => Attempt::In,
        Ok(AuthResult::Failure { partial_success: true, remaining_methods }) => {
            Attempt::Next(format!("accepted, but the server wants more: {}", names(&remaining_methods)))
        }
        Ok(AuthResult::Failure { remaining_methods, .. }) if remaining_methods.is_empty() => {
            Attempt::Stop("not accepted".to_owned())
        }
        Ok(AuthResult::Failure { remaining_methods, .. })
            if !remaining_methods.contains(&MethodKind::PublicKey) =>
        {
            Attempt::Stop(format!(
                "not accepted; the server takes no keys, only {}",
                names(&remaining_methods)
            ))
        }
        Ok(AuthResult::Failure { .. }) => Attempt::Next("not accepted".to_owned()),
        Err(why) => Attempt::Stop(why),
    }
}

/// Method names as in sshd_config.
fn names(methods: &MethodSet) -> String {
    methods.iter().map(String::from).collect::<Vec<_>>().join(", ")
}
