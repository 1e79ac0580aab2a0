//! The one seam to the world: what the engine may ask a host to do.
//!
//! Here: [`Cmd`], [`Output`], and the [`Host`] trait. Deliberately not here: any implementation. The module
//! binary has the real one (child processes and files); tests have a replaying one. Nothing else in the
//! engine touches processes, files, the clock or the network.

use std::fmt;
use std::time::Duration;

/// One command: a program from [`crate::tools`] and its argument vector. Never a shell string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cmd {
    /// Bare program name; the host looks it up in its fixed directories, never in the user's `PATH`.
    pub program: &'static str,
    /// Arguments, one element each. They hold no secret: secrets travel in files with mode 0600.
    pub args: Vec<String>,
    /// After this long the command is killed and the output says so.
    pub deadline: Duration,
    /// Environment set on top of the pinned one (`LC_ALL=C`, a fixed `PATH`).
    pub env: Vec<(&'static str, String)>,
}

impl Cmd {
    /// A command with the usual deadline of 30 seconds.
    pub fn new<I, S>(program: &'static str, args: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        Self {
            program,
            args: args.into_iter().map(Into::into).collect(),
            deadline: Duration::from_secs(30),
            env: Vec::new(),
        }
    }

    /// The same command with another deadline.
    #[must_use]
    pub fn within(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The same command with one more environment variable.
    #[must_use]
    pub fn env(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.env.push((name, value.into()));
        self
    }

    /// Program and arguments as one vector, for replies and logs.
    pub fn argv(&self) -> Vec<String> {
        std::iter::once(self.program.to_owned()).chain(self.args.iter().cloned()).collect()
    }
}

impl fmt::Display for Cmd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.program)?;
        for arg in &self.args {
            let plain = !arg.is_empty()
                && arg.chars().all(|c| c.is_ascii_alphanumeric() || "-_=/.:,@+%".contains(c));
            if plain {
                write!(f, " {arg}")?;
            } else {
                write!(f, " '{}'", arg.replace('\'', r"'\''"))?;
            }
        }
        Ok(())
    }
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It exited by itself with this code.
    Code(i32),
    /// A signal ended it.
    Signal(i32),
    /// It was killed because its deadline passed.
    TimedOut,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit {code}"),
            Self::Signal(signal) => write!(f, "killed by signal {signal}"),
            Self::TimedOut => f.write_str("killed at its deadline"),
        }
    }
}

/// What a command left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// How it ended.
    pub exit: Exit,
    /// Standard output, invalid UTF-8 replaced.
    pub stdout: String,
    /// Standard error, invalid UTF-8 replaced.
    pub stderr: String,
}

impl Output {
    /// An output as tests and samples build it.
    pub fn of(code: i32, stdout: impl Into<String>, stderr: impl Into<String>) -> Self {
        Self { exit: Exit::Code(code), stdout: stdout.into(), stderr: stderr.into() }
    }

    /// Exit code 0. For DRBD's tools that means "done, or nothing to do", never "the resource is healthy".
    pub fn ok(&self) -> bool {
        self.exit == Exit::Code(0)
    }

    /// The exit code, if it exited by itself.
    pub fn code(&self) -> Option<i32> {
        match self.exit {
            Exit::Code(code) => Some(code),
            Exit::Signal(_) | Exit::TimedOut => None,
        }
    }
}
