// SPDX-License-Identifier: MPL-2.0
//! What can be asked of a host: run a command, write a file, have a program there.
//!
//! Plain values only; `session` acts on them.

use std::fmt;
use std::time::Duration;

/// Where output stops being read unless the caller says otherwise: 16 MiB for each stream.
const MAX_OUTPUT: usize = 16 << 20;

/// One command to run on the host.
#[derive(Clone)]
pub struct Exec<'a> {
    /// Program and arguments, one element each; never a shell string. They can be seen in the host's process list: a
    /// secret belongs on standard input.
    pub argv: &'a [&'a str],
    /// Bytes for standard input, which is then closed.
    pub stdin: Vec<u8>,
    /// How long the command may run, counted from the moment this side asks for it. Where the host has `timeout`,
    /// the command is sent TERM then and KILL five seconds later.
    pub deadline: Duration,
    /// Environment variables on top of the login's and `LC_ALL=C`; names are `[A-Za-z_][A-Za-z0-9_]*`.
    pub env: &'a [(&'a str, &'a str)],
    /// Limit in bytes for each of standard output and standard error.
    pub max_output: usize,
    /// Whether running it twice does no harm. Only then is it sent again after a connection broke.
    pub idempotent: bool,
}

impl<'a> Exec<'a> {
    /// A command with no input, a deadline of 30 seconds, 16 MiB of output, and not to be run twice.
    pub fn new(argv: &'a [&'a str]) -> Self {
        Self {
            argv,
            stdin: Vec::new(),
            deadline: Duration::from_secs(30),
            env: &[],
            max_output: MAX_OUTPUT,
            idempotent: false,
        }
    }

    /// The same with bytes for standard input.
    #[must_use]
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// The same with another deadline.
    #[must_use]
    pub fn within(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The same with these environment variables.
    #[must_use]
    pub fn env(mut self, env: &'a [(&'a str, &'a str)]) -> Self {
        self.env = env;
        self
    }

    /// The same with another limit for each output stream, in bytes.
    #[must_use]
    pub fn max_output(mut self, bytes: usize) -> Self {
        self.max_output = bytes;
        self
    }

    /// The same, declared harmless to run twice.
    #[must_use]
    pub fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }
}

/// What a command left behind. It ran to its end and exited by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecOutput {
    /// Exit code, 0 to 255. 127: there is no such program; 126: it cannot be executed.
    pub code: i32,
    /// Standard output, complete.
    pub stdout: Vec<u8>,
    /// Standard error, complete.
    pub stderr: Vec<u8>,
}

/// One file to write on the host.
#[derive(Clone)]
pub struct Upload<'a> {
    /// Content.
    pub bytes: &'a [u8],
    /// Absolute path; its directory must exist. An existing file is replaced in one step (a symbolic link
    /// itself, not what it points to).
    pub path: &'a str,
    /// Permission bits, for example `0o644`.
    pub mode: u32,
    /// How long it may take, the transfer included.
    pub deadline: Duration,
}

/// A program that must be on the host, under a name that tells its content.
#[derive(Clone)]
pub struct Binary<'a> {
    /// Absolute directory. It is made when missing (mode 0755, parents too); it must belong to the user that commands run
    /// as (root with sudo) and be writable to nobody else.
    pub dir: &'a str,
    /// First part of the file name: the file will be `<dir>/<name>-<sha256>`.
    pub name: &'a str,
    /// SHA-256 of `bytes`, 64 lower-case hex digits. The host computes it again before the file gets its name.
    pub sha256: &'a str,
    /// The program.
    pub bytes: &'a [u8],
    /// How long a transfer may take.
    pub deadline: Duration,
}

impl Binary<'_> {
    /// The path under which it will be found.
    pub fn path(&self) -> String {
        format!("{}/{}-{}", self.dir.trim_end_matches('/'), self.name, self.sha256)
    }
}

impl fmt::Debug for Exec<'_> {
    /// Without the input, which may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exec")
            .field("argv", &self.argv)
            .field("stdin", &format_args!("{} bytes", self.stdin.len()))
            .field("deadline", &self.deadline)
            .field("idempotent", &self.idempotent)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Upload<'_> {
    /// Without the content, which may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = format_args!("{} bytes", self.bytes.len());
        f.debug_struct("Upload").field("path", &self.path).field("bytes", &bytes).finish_non_exhaustive()
    }
}

impl fmt::Debug for Binary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = format_args!("{} bytes", self.bytes.len());
        f.debug_struct("Binary").field("path", &self.path()).field("bytes", &bytes).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_holds_no_content() {
        let deadline = Duration::from_secs(1);
        let upload = Upload { bytes: b"secret", path: "/p", mode: 0o600, deadline };
        let binary = Binary { dir: "/d/", name: "n", sha256: "5", bytes: b"secret", deadline };
        let text = format!("{:?} {upload:?} {binary:?}", Exec::new(&["cat"]).input("secret"));
        assert!(!text.contains("secret") && !text.contains("115, 101") && text.contains("/d/n-5"), "{text}");
    }
}
