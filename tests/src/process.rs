// SPDX-License-Identifier: MPL-2.0
//! Run a local program to its end and keep what it said, as text. Not here: hosts of the lab, see [`crate::lab`].

use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// How a program ended.
#[derive(Debug, Clone)]
pub struct Output {
    /// The command, for messages.
    pub command: String,
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output, lossily as UTF-8.
    pub stdout: String,
    /// Standard error, lossily as UTF-8.
    pub stderr: String,
}

impl Output {
    /// Whether the program exited with 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.code == Some(0)
    }

    /// Standard output of a program that exited with 0; anything else is an error that shows everything.
    pub fn ok(self) -> Result<String> {
        if self.success() {
            return Ok(self.stdout);
        }
        let Self { command, code, stdout, stderr } = self;
        bail!("{command}\nexit code {code:?}\nstdout:\n{stdout}\nstderr:\n{stderr}")
    }
}

/// Run `command` with standard input closed.
///
/// # Errors
/// Only when it cannot be started; a failing program is an [`Output`].
pub fn run(command: &mut Command) -> Result<Output> {
    run_with_input(command, b"")
}

/// Run `command` with `input` as its standard input.
///
/// # Errors
/// When it cannot be started or its pipes break for another reason than its end.
pub fn run_with_input(command: &mut Command, input: &[u8]) -> Result<Output> {
    let shown = format!("{command:?}");
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.stdin(if input.is_empty() { Stdio::null() } else { Stdio::piped() });
    let mut child = command.spawn().with_context(|| format!("cannot start {shown}"))?;
    let writer = child.stdin.take().map(|mut pipe| {
        let input = input.to_vec();
        // A program may end without reading all of it; that is no failure of the test.
        std::thread::spawn(move || pipe.write_all(&input).ok())
    });
    let output = child.wait_with_output().with_context(|| format!("cannot wait for {shown}"))?;
    if let Some(writer) = writer {
        writer.join().ok();
    }
    Ok(Output {
        command: shown,
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_code_and_both_streams_are_kept() {
        let output = run(Command::new("sh").args(["-c", "echo out; echo err >&2; exit 3"])).unwrap();
        assert_eq!(
            (output.code, output.stdout.as_str(), output.stderr.as_str()),
            (Some(3), "out\n", "err\n")
        );
        assert!(format!("{:#}", output.ok().unwrap_err()).contains("err"));
    }

    #[test]
    fn input_reaches_the_program_and_ends() {
        let output = run_with_input(&mut Command::new("cat"), b"text").unwrap();
        assert_eq!(output.stdout, "text");
    }

    #[test]
    fn a_program_that_ignores_large_input_is_no_failure() {
        let output = run_with_input(&mut Command::new("true"), &vec![b'x'; 1 << 20]).unwrap();
        assert!(output.success());
    }
}
