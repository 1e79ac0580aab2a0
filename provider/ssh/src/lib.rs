// SPDX-License-Identifier: MPL-2.0
//! One verified, multiplexed SSH connection per host.
//!
//! ```no_run
//! # async fn example() -> Result<(), drbd_ssh::SshError> {
//! use std::time::Duration;
//! use drbd_ssh::{Exec, Pool, Target};
//!
//! let pool = Pool::new(); // one per process; costs nothing until the first connect
//! let target = Target::new("10.0.0.11", "ubuntu");
//! let session = pool.connect(&target).await?;
//! let output = session.exec(Exec::new(&["uname", "-r"]).within(Duration::from_secs(10)).idempotent()).await?;
//! assert_eq!(output.code, 0);
//! # Ok(())
//! # }
//! ```
//!
//! # The interface
//!
//! - [`Target`]: host, port, user, [`Auth`], [`Trust`], bastion, [`Escalate`], time limits. Plain data, `Eq + Hash`.
//! - [`Pool::connect`]`(&Target) -> Arc<Session>`: opens the connection on first use, or waits for the attempt that
//!   another task has under way (and shares its failure: a hundred resources of one dead host wait once).
//!   [`Pool::stats`] counts connections and executions.
//! - [`Session::exec`]`(Exec) -> ExecOutput`: an argument vector, standard input as bytes, a deadline. Exit codes are
//!   results (127 not found, 126 not executable); [`SshError`] is only for "no answer".
//! - [`Session::upload`] writes one file; [`Session::ensure_binary`] puts a content-addressed program on the host,
//!   once: no execution when this session has already seen it, one when it is there, two when it is not.
//! - [`Session::host_key`]: the verified key in OpenSSH text form.
//!
//! ```text
//! impl Pool    { fn new() -> Pool;  async fn connect(&self, &Target) -> Result<Arc<Session>, SshError>;
//!                fn stats(&self) -> Stats { connections: u64, executions: u64 } }
//! impl Session { async fn exec(&self, Exec<'_>) -> Result<ExecOutput, SshError>;
//!                async fn upload(&self, Upload<'_>) -> Result<(), SshError>;
//!                async fn ensure_binary(&self, Binary<'_>) -> Result<String /* path */, SshError>;
//!                fn host_key(&self) -> String;  fn target(&self) -> &Target;  fn stats(&self) -> Stats; }
//! ```
//!
//! # What holds
//!
//! - A host key is verified always: known_hosts, pins, or a host certificate. There is no accept-anything switch.
//! - Whoever drops a future of this crate detaches from the command and does not disturb it: it gets all of its input and
//!   runs to its end, at the latest to its deadline, as long as the pool and this process live. When the process ends, so
//!   does the connection; a command that is running then goes on until it writes output or reaches its deadline (`timeout`
//!   on the host). So send only commands that may be abandoned: the module binary takes a lock and looks before each step.
//! - A lost connection is [`SshError::ConnectionLost`], never an exit code. A request that had not been sent is sent
//!   again over a new connection; one that had been sent only if it is marked idempotent, and only once.
//! - At most 4 channels at once per connection; the others wait (OpenSSH's `MaxSessions` is 10 by default).
//! - The user's login shell (bash, fish, csh...) cannot change the meaning of a command, and what its start-up
//!   files print does not get into the output.
//! - Nothing is initialised at process start.
//!
//! Deliberately not here: `ssh_config`, passwords, SFTP, pseudo-terminals, port forwarding for users.
//! russh, whose interface changes often, is used in `link`, `auth`, `key` and `channel` only, its key types
//! also in `pin`, `trust` and `known_hosts`.

mod auth;
mod channel;
mod dial;
mod error;
mod key;
mod known_hosts;
mod link;
mod outcome;
mod pin;
mod pool;
mod quote;
mod request;
mod secret;
mod session;
mod target;
mod trust;
mod upload;

pub use error::SshError;
pub use pin::{Pin, PinError};
pub use pool::{Pool, Stats};
pub use request::{Binary, Exec, ExecOutput, Upload};
pub use secret::Secret;
pub use session::Session;
pub use target::{Auth, Escalate, Target, Trust};
