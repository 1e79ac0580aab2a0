// SPDX-License-Identifier: MPL-2.0
//! The program that drbdadm and drbd-host call: it has the module loaded if need be, as the real one does on every call,
//! and hands the command line to the daemon.

use crate::answer::Answer;
use anyhow::{Context as _, Result};
use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::thread;
use std::time::Duration;

/// Runs one command line.
pub(crate) fn run(line: &[String], socket: &Path) -> ExitCode {
    let is_wait =
        line.first().is_some_and(|verb| verb == "events2") && !line.iter().any(|word| word == "--now");
    let answer = if is_wait { follow(line, socket) } else { ask(line, socket) };
    match answer {
        Ok(answer) => {
            print(&answer);
            ExitCode::from(answer.code)
        }
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(20)
        }
    }
}

fn print(answer: &Answer) {
    eprint!("{}", answer.err);
    // A reader that went away is no reason to panic.
    let _gone = std::io::stdout().write_all(answer.out.as_bytes());
}

fn ask(line: &[String], socket: &Path) -> Result<Answer> {
    let mut stream = match UnixStream::connect(socket) {
        Ok(stream) => stream,
        Err(_) => {
            let loaded = Command::new("modprobe").arg("drbd").status().is_ok_and(|status| status.success());
            anyhow::ensure!(loaded, "Failed to modprobe drbd (No such file or directory)");
            UnixStream::connect(socket).context("the simulated kernel does not answer")?
        }
    };
    stream.write_all(&serde_json::to_vec(line)?)?;
    stream.shutdown(Shutdown::Write)?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    serde_json::from_str(&text).context("the simulated kernel's answer")
}

/// `events2` without `--now`: what exists, then what becomes different, until the caller ends it.
fn follow(line: &[String], socket: &Path) -> Result<Answer> {
    let first = ask(line, socket)?;
    print(&first);
    let mut known: BTreeSet<String> = first.out.lines().map(str::to_owned).collect();
    loop {
        thread::sleep(Duration::from_millis(100));
        let next: BTreeSet<String> = ask(line, socket)?.out.lines().map(str::to_owned).collect();
        for new in next.difference(&known) {
            print(&Answer::says(new.replacen("exists", "change", 1) + "\n"));
        }
        known = next;
    }
}
