// SPDX-License-Identifier: MPL-2.0
//! Whom to connect to, how to prove who we are, and whose word counts for the host's key.
//!
//! Plain values only: nothing here opens a file or a socket. [`crate::Pool::connect`] does.

use std::path::PathBuf;
use std::time::Duration;

use crate::pin::Pin;
use crate::secret::Secret;

/// One host as a user described it. Equal targets share one connection of a [`crate::Pool`]; targets that
/// differ in anything do not, so nobody ever works over a connection that was verified by looser rules.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// DNS name or IP address, without brackets and port.
    pub host: String,
    /// TCP port of the SSH server, usually 22.
    pub port: u16,
    /// Login name on the host.
    pub user: String,
    /// Ways to authenticate, tried in this order.
    pub auth: Vec<Auth>,
    /// Whose word counts for the host key.
    pub trust: Trust,
    /// The name to look up in known_hosts instead of `host` and `port` (OpenSSH's `HostKeyAlias`); it is
    /// also the name that a host certificate must carry.
    pub host_key_alias: Option<String>,
    /// A host to go through (`direct-tcpip`). It is verified by its own `trust`, and its connection is shared
    /// by all targets behind it.
    pub bastion: Option<Box<Target>>,
    /// How commands get the rights they need.
    pub escalate: Escalate,
    /// Limit for each stage of opening the connection (name and TCP, version and key exchange,
    /// authentication), and for a channel to open. At least 1 second is sensible; 10 to 30 are usual.
    pub connect_timeout: Duration,
    /// After this long without a byte from the host a keep-alive is sent; after three without an answer the
    /// connection counts as lost. 15 to 30 seconds are usual; zero switches keep-alives off.
    pub keepalive: Duration,
}

impl Target {
    /// A target with the usual settings: port 22, the user's agent, the user's and the system's known_hosts, no
    /// bastion, no escalation, 15 s per connection stage, a keep-alive every 20 s.
    pub fn new(host: impl Into<String>, user: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            port: 22,
            user: user.into(),
            auth: vec![Auth::Agent { socket: None }],
            trust: Trust::default_known_hosts(),
            host_key_alias: None,
            bastion: None,
            escalate: Escalate::None,
            connect_timeout: Duration::from_secs(15),
            keepalive: Duration::from_secs(20),
        }
    }
}

/// One way to prove who we are. There are no passwords: hosts that run storage take keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Auth {
    /// Every key and certificate that an agent holds.
    Agent {
        /// The agent's socket; `None` means the environment variable `SSH_AUTH_SOCK`.
        socket: Option<PathBuf>,
    },
    /// A private key in a file (OpenSSH, PKCS#1, PKCS#8 or SEC1 PEM). When `<path>-cert.pub` exists, that
    /// user certificate is offered first.
    KeyFile {
        /// Where the key is; `~` is not expanded here.
        path: PathBuf,
        /// Passphrase of an encrypted key.
        passphrase: Option<Secret>,
    },
    /// A private key given as text.
    KeyData {
        /// The key, in the formats of [`Auth::KeyFile`].
        key: Secret,
        /// Passphrase of an encrypted key.
        passphrase: Option<Secret>,
        /// A user certificate for the key, in OpenSSH text form; offered first.
        certificate: Option<String>,
    },
}

/// Whose word counts for a host key. There is no way to accept any key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Trust {
    /// Files in OpenSSH's known_hosts format, all of them read at each connect. A file that does not exist
    /// counts as empty; one that cannot be read is an error.
    KnownHosts {
        /// The files, for example `~/.ssh/known_hosts` and `/etc/ssh/ssh_known_hosts`.
        files: Vec<PathBuf>,
    },
    /// These keys or fingerprints, and no others.
    Pinned(Vec<Pin>),
}

impl Trust {
    /// The files that `ssh` reads by default: `~/.ssh/known_hosts`, `~/.ssh/known_hosts2` and the two of
    /// `/etc/ssh`. Without a `HOME` only those of the system.
    pub fn default_known_hosts() -> Self {
        let mut files = Vec::new();
        if let Some(home) = std::env::var_os("HOME").filter(|home| !home.is_empty()) {
            let dir = PathBuf::from(home).join(".ssh");
            files.push(dir.join("known_hosts"));
            files.push(dir.join("known_hosts2"));
        }
        files.push(PathBuf::from("/etc/ssh/ssh_known_hosts"));
        files.push(PathBuf::from("/etc/ssh/ssh_known_hosts2"));
        Self::KnownHosts { files }
    }
}

/// How commands get the rights they need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Escalate {
    /// They run as the login user.
    #[default]
    None,
    /// They run as root by `sudo -n`. The user needs a `NOPASSWD` rule that allows `/bin/sh`.
    Sudo,
}
