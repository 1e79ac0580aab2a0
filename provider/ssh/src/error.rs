// SPDX-License-Identifier: MPL-2.0
//! Everything that can go wrong between here and a host, by who must act.
//!
//! A command that ran and failed is *not* an error of this crate: its exit code is in
//! [`crate::ExecOutput`]. No variant means that something on the host does not exist.

use std::time::Duration;

use thiserror::Error;

/// Why a request to a host was not answered. Every message is a complete sentence with the next step.
///
/// Who must act: the user's configuration ([`Unresolvable`](Self::Unresolvable), the `HostKey*` variants,
/// [`AuthFailed`](Self::AuthFailed), [`KeyUnreadable`](Self::KeyUnreadable), [`InvalidRequest`](Self::InvalidRequest));
/// the host's administrator ([`SudoRefused`](Self::SudoRefused), [`NotStarted`](Self::NotStarted),
/// [`UploadFailed`](Self::UploadFailed)); nobody but time or the network ([`is_transient`](Self::is_transient)).
#[derive(Clone, Debug, Error)]
pub enum SshError {
    /// The host's name has no address.
    #[error("cannot find the address of host {host:?}: {last}; check the name, or give an IP address")]
    Unresolvable {
        /// The name.
        host: String,
        /// What the resolver said.
        last: String,
    },

    /// No SSH server answered: refused, unreachable, silent, or it speaks something else.
    #[error(
        "cannot reach an SSH server on {host} port {port} (gave up after {}): {last}; check that the host is up, that \
         sshd listens there, and that no firewall is in between", secs(.after)
    )]
    Unreachable {
        /// Host as configured.
        host: String,
        /// Port as configured.
        port: u16,
        /// How long it was tried.
        after: Duration,
        /// The last cause.
        last: String,
    },

    /// Server and client have no common algorithm of some kind.
    #[error(
        "cannot agree with {host} port {port} on how to talk: {last}; SHA-1 signatures and other broken algorithms \
         are not offered, so update the host's OpenSSH or give it an ed25519 host key"
    )]
    NoCommonAlgorithm {
        /// Host as configured.
        host: String,
        /// Port as configured.
        port: u16,
        /// Both lists.
        last: String,
    },

    /// Nobody vouches for the host's key.
    #[error(
        "the host key of {host} ({offered}) is not known: {looked}; {advice}; nothing was sent to the host"
    )]
    HostKeyUnknown {
        /// The name that was looked up, as it has to stand in known_hosts (`name` or `[name]:port`).
        host: String,
        /// Algorithm and SHA-256 fingerprint of the offered key.
        offered: String,
        /// Where it was looked for, and lines for this host that could not be used.
        looked: String,
        /// How to compare the fingerprint and how to add the key, with the exact command and line.
        advice: String,
        /// The offered key in OpenSSH text form, so that a caller can show or pin it after a person agreed.
        key: String,
    },

    /// Another key is known for the host.
    #[error(
        "the host key of {host} has changed: it offered {offered}, but {expected}; somebody may be in between, or the host \
         was reinstalled: find out which on the host's own console before the recorded key is replaced; nothing was sent to the host"
    )]
    HostKeyMismatch {
        /// The name that was looked up.
        host: String,
        /// Algorithm and SHA-256 fingerprint of the offered key.
        offered: String,
        /// The recorded fingerprints, and where they are recorded.
        expected: String,
    },

    /// The offered key, or the authority behind it, is marked `@revoked`.
    #[error(
        "the host key of {host} ({offered}) is revoked by {by}; the host must get a new host key; nothing was sent to the host"
    )]
    HostKeyRevoked {
        /// The name that was looked up.
        host: String,
        /// Algorithm and SHA-256 fingerprint of the offered key.
        offered: String,
        /// File and line of the revocation.
        by: String,
    },

    /// The record of host keys itself cannot be used.
    #[error("cannot check the host key of {host}: {why}; nothing was sent to the host")]
    TrustUnusable {
        /// The name that was looked up.
        host: String,
        /// File, line and cause.
        why: String,
    },

    /// The server took none of our keys.
    #[error("{host} does not let {user:?} in: {}; add the public key to the user's authorized_keys, or name another key or user", list(.tried))]
    AuthFailed {
        /// Host as configured.
        host: String,
        /// Login name.
        user: String,
        /// Each way that was tried, and why it failed.
        tried: Vec<String>,
    },

    /// A private key or certificate cannot be used.
    #[error("cannot use the private key {key}: {why}")]
    KeyUnreadable {
        /// File name, or "given as text".
        key: String,
        /// Cause and next step.
        why: String,
    },

    /// sudo did not start the command.
    #[error(
        "sudo on {host} refused to run commands for {user:?}: {said}; give the user a NOPASSWD rule that allows /bin/sh (for \
         example `{user} ALL=(root) NOPASSWD: ALL` in a file in /etc/sudoers.d), or log in as root; the command was not run"
    )]
    SudoRefused {
        /// Host as configured.
        host: String,
        /// Login name.
        user: String,
        /// What sudo printed.
        said: String,
    },

    /// The login shell (or a forced command) did not start the command.
    #[error(
        "{host} accepted the login of {user:?} but did not start the command: {said}; the user needs an ordinary login shell \
         and no forced command; the command was not run"
    )]
    NotStarted {
        /// Host as configured.
        host: String,
        /// Login name.
        user: String,
        /// Exit status and output of what ran instead.
        said: String,
    },

    /// The server does not open a session channel, although we wait for our turn.
    #[error(
        "{host} opened the connection but no session on it: {why}; check MaxSessions and forced commands in its sshd_config"
    )]
    ChannelRefused {
        /// Host as configured.
        host: String,
        /// What the server answered.
        why: String,
    },

    /// The connection broke. The state of the host is *unknown*: this never means that something is gone.
    #[error(
        "the connection to {host} was lost while {during}: {last}; whether the host did what was asked is not known, look at it \
         again before you conclude anything"
    )]
    ConnectionLost {
        /// Host as configured.
        host: String,
        /// What was being done.
        during: String,
        /// The last cause.
        last: String,
    },

    /// A deadline passed.
    #[error("{what} on {host} did not end within {}; {after}", secs(.deadline))]
    TimedOut {
        /// Host as configured.
        host: String,
        /// What was waited for.
        what: String,
        /// The limit.
        deadline: Duration,
        /// What became of it on the host, and the next step.
        after: String,
    },

    /// A signal ended the command.
    #[error("{command} on {host} was killed by signal {signal}{}; look for the out-of-memory killer or an administrator in the host's log", said(.stderr))]
    Killed {
        /// Host as configured.
        host: String,
        /// Program that was run.
        command: String,
        /// Name without `SIG`, for example `KILL`.
        signal: String,
        /// Last part of standard error.
        stderr: String,
    },

    /// The server ended the command without saying how.
    #[error(
        "{host} closed the channel of {command} without an exit status; whether it did its work is not known, look at the host \
         again before you conclude anything"
    )]
    NoExitStatus {
        /// Host as configured.
        host: String,
        /// Program that was run.
        command: String,
    },

    /// The command printed more than the caller is ready to hold.
    #[error(
        "{command} on {host} printed more than {limit} bytes to {stream}; it was disconnected, and may have been stopped by that"
    )]
    OutputTooLarge {
        /// Host as configured.
        host: String,
        /// Program that was run.
        command: String,
        /// `standard output` or `standard error`.
        stream: &'static str,
        /// The limit in bytes.
        limit: usize,
    },

    /// A file could not be written on the host. The final name was not touched.
    #[error("cannot write {path} on {host}: {said}; nothing was changed under that name")]
    UploadFailed {
        /// Host as configured.
        host: String,
        /// The final path.
        path: String,
        /// What the host said.
        said: String,
    },

    /// The request cannot be expressed (a NUL byte in an argument, an empty host name...).
    #[error("cannot send the request to {host}: {why}; nothing was sent")]
    InvalidRequest {
        /// Host as configured.
        host: String,
        /// What is wrong.
        why: String,
    },

    /// A bastion on the way failed.
    #[error("cannot get to {host} through the bastion {bastion}: {source}")]
    Bastion {
        /// The host behind it.
        host: String,
        /// The bastion.
        bastion: String,
        /// What happened there.
        source: Box<SshError>,
    },
}

impl SshError {
    /// Whether waiting may help without anybody changing anything: the host is booting, the network is down, the
    /// connection broke. Never true for a refused key, a wrong host key or a refused sudo.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::ConnectionLost { .. } | Self::TimedOut { .. } => true,
            Self::Bastion { source, .. } => source.is_transient(),
            Self::Unresolvable { .. }
            | Self::NoCommonAlgorithm { .. }
            | Self::HostKeyUnknown { .. }
            | Self::HostKeyMismatch { .. }
            | Self::HostKeyRevoked { .. }
            | Self::TrustUnusable { .. }
            | Self::AuthFailed { .. }
            | Self::KeyUnreadable { .. }
            | Self::SudoRefused { .. }
            | Self::NotStarted { .. }
            | Self::ChannelRefused { .. }
            | Self::Killed { .. }
            | Self::NoExitStatus { .. }
            | Self::OutputTooLarge { .. }
            | Self::UploadFailed { .. }
            | Self::InvalidRequest { .. } => false,
        }
    }

    /// Whether a command may have run, wholly or in part, although no result came back.
    pub fn outcome_unknown(&self) -> bool {
        matches!(
            self,
            Self::ConnectionLost { .. }
                | Self::TimedOut { .. }
                | Self::Killed { .. }
                | Self::NoExitStatus { .. }
                | Self::OutputTooLarge { .. }
        )
    }
}

/// A duration as a person reads it.
fn secs(duration: &Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds >= 10.0 { format!("{seconds:.0} s") } else { format!("{seconds:.1} s") }
}

/// The ways that were tried, or that there was none.
fn list(tried: &[String]) -> String {
    if tried.is_empty() { "no way to authenticate is configured".to_owned() } else { tried.join("; ") }
}

/// What a command printed, when it printed something.
fn said(stderr: &str) -> String {
    let text = stderr.trim();
    if text.is_empty() { String::new() } else { format!(" (it said: {text})") }
}
