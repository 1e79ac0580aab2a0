// SPDX-License-Identifier: MPL-2.0
//! The seam to the hosts: run one module of `drbd-host` there, get its reply.
//!
//! Everything that is done on a host is done by that binary; this side only decides which host is asked what, in which
//! order. Resources see the traits here and can be tested on simulated hosts. The real transport is in `host/link.rs`,
//! the cache of facts in `host/hosts.rs`.

mod hosts;
mod link;
mod report;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use drbd_schemas::args::Module;
use drbd_schemas::reply::Reply;
use drbd_ssh::{ExecOutput, SshError, Target};
use serde_json::{Map, Value};

pub(crate) use hosts::{Host, Hosts};
pub(crate) use link::{HostBinary, SshConnector};

/// A future behind a trait object.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One run of one module.
#[derive(Clone, Debug)]
pub struct Request {
    /// The module.
    pub module: Module,
    /// Its arguments. They can hold a secret: they go to standard input and into no message.
    pub arguments: Map<String, Value>,
    /// Whether it must change nothing and only say what it would do.
    pub check_mode: bool,
    /// How long it may take on the host.
    pub deadline: Duration,
}

impl Request {
    /// A run that changes what must be changed.
    pub(crate) fn new(module: Module, arguments: Map<String, Value>, deadline: Duration) -> Self {
        Self { module, arguments, check_mode: false, deadline }
    }

    /// The same without changing anything.
    pub(crate) fn checking(mut self) -> Self {
        self.check_mode = true;
        self
    }

    /// Whether it leaves the host as it is.
    pub(crate) fn only_looks(&self) -> bool {
        self.check_mode || matches!(self.module, Module::DrbdInfo | Module::DrbdWait | Module::DrbdPorts)
    }

    /// The JSON object for standard input.
    pub fn to_json(&self) -> Value {
        let mut object = self.arguments.clone();
        object.insert("_ansible_check_mode".into(), self.check_mode.into());
        Value::Object(object)
    }
}

/// A way to one host.
pub trait HostLink: Send + Sync {
    /// Runs a module and returns its reply, also a reply that says `failed`.
    ///
    /// # Errors
    /// [`LinkError`] when there is no reply. It never means that something on the host does not exist.
    fn run<'a>(&'a self, request: &'a Request) -> Later<'a, Result<Reply, LinkError>>;

    /// The verified key of the host, and of the bastions on the way to it: one line of `known_hosts` for each, the host's
    /// own first.
    ///
    /// # Errors
    /// [`LinkError`] when the host cannot be reached, or its key is not vouched for.
    fn known_hosts(&self) -> Later<'_, Result<Vec<String>, LinkError>>;

    /// Runs a program that only looks, such as `cloud-init status`, before the host is ready for modules. Exit code 127: there
    /// is no such program.
    ///
    /// # Errors
    /// [`LinkError`] when it could not be run to its end.
    fn look<'a>(
        &'a self,
        argv: &'a [&'a str],
        deadline: Duration,
    ) -> Later<'a, Result<ExecOutput, LinkError>>;
}

/// Makes links. Making one contacts nobody.
pub trait Connector: Send + Sync {
    /// The link to a host.
    fn link(&self, target: &Target) -> Arc<dyn HostLink>;
}

/// Why a host gave no reply.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LinkError {
    /// The transport failed.
    #[error(transparent)]
    Ssh(#[from] SshError),
    /// The program that has to run on the host cannot be read here.
    #[error(
        "cannot read the program that runs on the hosts, {path}: {why}; it is shipped beside the provider, and the provider's \
         attribute drbd_host_binary or the environment variable DRBD_HOST_BINARY can name another place"
    )]
    Binary {
        /// Where it was looked for.
        path: String,
        /// What the system said.
        why: String,
    },
    /// The program ran and did not answer as agreed.
    #[error(
        "{program} on {host} ended with exit code {code} and without a reply: {said}; what it did by then is not known"
    )]
    NoReply {
        /// The host.
        host: String,
        /// Path on the host.
        program: String,
        /// Exit code.
        code: i32,
        /// What it printed, shortened.
        said: String,
    },
}

impl LinkError {
    /// One line: which kind of trouble this is.
    pub(crate) fn summary(&self) -> &'static str {
        match self {
            Self::Ssh(error) => ssh_summary(error),
            Self::Binary { .. } => "Host program not found",
            Self::NoReply { .. } => "Host program did not answer",
        }
    }

    /// Whether the host may have changed although no reply came.
    pub(crate) fn outcome_unknown(&self) -> bool {
        match self {
            Self::Ssh(error) => error.outcome_unknown(),
            Self::Binary { .. } => false,
            Self::NoReply { .. } => true,
        }
    }
}

const UNREACHABLE: &str = "Host cannot be reached";

fn ssh_summary(error: &SshError) -> &'static str {
    match error {
        SshError::Unresolvable { .. }
        | SshError::Unreachable { .. }
        | SshError::NoCommonAlgorithm { .. }
        | SshError::ChannelRefused { .. } => UNREACHABLE,
        SshError::HostKeyUnknown { .. }
        | SshError::HostKeyMismatch { .. }
        | SshError::HostKeyRevoked { .. }
        | SshError::TrustUnusable { .. } => "Host key not trusted",
        SshError::AuthFailed { .. } | SshError::KeyUnreadable { .. } => "SSH login failed",
        SshError::SudoRefused { .. } => "sudo refused",
        SshError::ConnectionLost { .. } => "Connection to host lost",
        SshError::TimedOut { .. } => "Host did not answer in time",
        SshError::NotStarted { .. }
        | SshError::Killed { .. }
        | SshError::NoExitStatus { .. }
        | SshError::OutputTooLarge { .. } => "Command on host failed",
        SshError::UploadFailed { .. } => "Host program cannot be installed",
        SshError::InvalidRequest { .. } => "Connection settings not usable",
        SshError::Bastion { source, .. } => ssh_summary(source),
    }
}

/// Why a host could not be used for something: no reply, or a reply that says no.
#[derive(Clone, Debug)]
pub(crate) enum Trouble {
    /// No reply.
    Link(LinkError),
    /// The module refused or failed.
    Reply(Box<Reply>),
}

impl Trouble {
    /// Nobody answered at the address, or the connection broke: what a host that is down looks like. A key that is not trusted
    /// or a login that fails is something else, which waiting does not mend.
    pub(crate) fn is_silence(&self) -> bool {
        match self {
            Self::Link(LinkError::Ssh(error)) => error.is_transient() || ssh_summary(error) == UNREACHABLE,
            Self::Link(_) | Self::Reply(_) => false,
        }
    }

    /// What to try when a read found nobody at the address; empty for everything else.
    pub(crate) fn moved_hint(&self) -> &'static str {
        match self {
            _ if self.is_silence() => {
                " What the state knows was kept, and may be out of date. What does not need this host can be planned and applied. \
                 If the host has another address now, change it in the configuration."
            }
            Self::Link(_) | Self::Reply(_) => " The state was kept.",
        }
    }
}

/// The host as messages name it: `10.0.0.1` or `10.0.0.1:2222`.
pub(crate) struct Spot<'a>(pub(crate) &'a Target);

impl fmt::Display for Spot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.port {
            22 => f.write_str(&self.0.host),
            port if self.0.host.contains(':') => write!(f, "[{}]:{port}", self.0.host),
            port => write!(f, "{}:{port}", self.0.host),
        }
    }
}
