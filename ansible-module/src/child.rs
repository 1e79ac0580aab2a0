// SPDX-License-Identifier: MPL-2.0
//! Runs one command: an argument vector, never a shell; standard input closed; output captured and bounded; a pinned
//! environment; in a process group of its own, so that no signal of the caller's terminal ends it half-way, and one that
//! reads that terminal all the same is stopped by the kernel and ends at its deadline.

use crate::{legacy, orphans};
use drbd_engine::host::{Cmd, Exit, HostError, Output};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ioctl_fionbio};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Where programs are looked for. Never the caller's `PATH`: a login user's has no `sbin`, and what is in front of it
/// is not ours to trust.
pub(crate) const DIRECTORIES: [&str; 6] =
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// More output than this is cut off: no tool here has a reason for it.
const OUTPUT_LIMIT: usize = 16 << 20;

/// Where a program is.
pub(crate) fn find(name: &str) -> Option<String> {
    DIRECTORIES.iter().map(|dir| format!("{dir}/{name}")).find(|path| std::path::Path::new(path).is_file())
}

/// Runs a command to its end, or to its deadline.
pub(crate) fn run(cmd: &Cmd) -> Result<Output, HostError> {
    let Some(path) = find(cmd.program) else {
        return Err(HostError::NoProgram { program: cmd.program, looked_in: DIRECTORIES.join(", ") });
    };
    let os = |error: io::Error| HostError::Os { what: format!("run {cmd}"), reason: error.to_string() };
    // No directory is set here (the program itself works in `/`): with one, the standard library would fork instead of
    // calling posix_spawn, and copy this process for every command.
    let mut command = match legacy::of(cmd, &path, &DIRECTORIES) {
        Some(legacy) => {
            let mut command = Command::new(legacy.path);
            command.env_clear().arg0(cmd.program).env("PATH", legacy.search).envs([legacy.env]);
            command
        }
        None => {
            let mut command = Command::new(path);
            command.env_clear().env("PATH", DIRECTORIES.join(":"));
            command
        }
    };
    command
        .args(&cmd.args)
        .env("LC_ALL", "C")
        .envs([orphans::environment()])
        .envs(cmd.env.iter().map(|(name, value)| (*name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let mut child = command.spawn().map_err(os)?;
    let stdout = Pipe::of(child.stdout.take()).map_err(os)?;
    let mut pipes = [stdout, Pipe::of(child.stderr.take()).map_err(os)?];
    let ended = wait(&mut child, &mut pipes, cmd.deadline).map_err(os)?;
    let [stdout, stderr] = pipes.map(Pipe::text);
    Ok(Output { exit: ended.map_or(Exit::TimedOut, exit), stdout, stderr })
}

/// One of the child's outputs. Reading it never waits, so that a child that fills the other one does not hang.
struct Pipe {
    /// `None` once it has ended.
    file: Option<File>,
    kept: Vec<u8>,
}

impl Pipe {
    fn of(pipe: Option<impl Into<OwnedFd>>) -> io::Result<Self> {
        let file = pipe.map(|pipe| File::from(pipe.into()));
        if let Some(file) = &file {
            ioctl_fionbio(file, true)?;
        }
        Ok(Self { file, kept: Vec::new() })
    }

    /// Reads what is there, at most what a pipe can hold: a grandchild that goes on for ever does not keep us.
    /// Returns how much it was.
    fn drain(&mut self) -> usize {
        let mut buffer = [0; 8192];
        let mut drained = 0;
        while let Some(file) = self.file.as_mut().filter(|_| drained < LARGEST_PIPE) {
            match file.read(&mut buffer) {
                Ok(0) => self.file = None,
                Ok(count) => {
                    drained += count;
                    let room = OUTPUT_LIMIT.saturating_sub(self.kept.len());
                    self.kept.extend(buffer.iter().take(count.min(room)));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => self.file = None,
            }
        }
        drained
    }

    fn text(self) -> String {
        String::from_utf8_lossy(&self.kept).into_owned()
    }
}

/// Reads what is there of both. Returns the larger of the two amounts.
fn drain([stdout, stderr]: &mut [Pipe; 2]) -> usize {
    stdout.drain().max(stderr.drain())
}

fn exit(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, signal) => Exit::Signal(signal.unwrap_or(0)),
    }
}

/// Between two looks at a child where the kernel cannot tell of its end (before Linux 5.3).
const BETWEEN_LOOKS: Duration = Duration::from_millis(5);
/// Between two looks at its output where it can: a pipe holds 64 KiB until then, and being woken for each line that lvm
/// writes would cost more than the line.
const BETWEEN_READS: Duration = Duration::from_millis(40);
/// A pipe with so much in it may soon be full, and then the child waits: the next look is after [`BETWEEN_LOOKS`].
const MUCH: usize = 32 << 10;
/// What a pipe holds at most (`/proc/sys/fs/pipe-max-size`, pipe(7)), and so all that a child which has ended has left.
const LARGEST_PIPE: usize = 1 << 20;

fn wait(child: &mut Child, pipes: &mut [Pipe; 2], deadline: Duration) -> io::Result<Option<ExitStatus>> {
    let started = Instant::now();
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let process = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    let mut left = deadline;
    let mut patience = BETWEEN_READS;
    loop {
        let may_have_ended = match &process {
            Some(process) => has_ended(process, left.min(patience))?,
            None => {
                thread::sleep(left.min(BETWEEN_LOOKS));
                true
            }
        };
        if may_have_ended && let Some(status) = child.try_wait()? {
            // What it said is in the pipes by now. What a grandchild may still say (a helper that drbdadm left in the
            // background, say) is not waited for.
            drain(pipes);
            return Ok(Some(status));
        }
        patience = if drain(pipes) >= MUCH { BETWEEN_LOOKS } else { BETWEEN_READS };
        left = deadline.saturating_sub(started.elapsed());
        if left.is_zero() {
            if let Some(group) = pid {
                // It may be stuck in the kernel and never die; nothing is gained by waiting for it.
                let _ = kill_process_group(group, Signal::KILL);
            }
            thread::sleep(Duration::from_millis(50));
            let _ = child.try_wait()?;
            return Ok(None);
        }
    }
}

/// Waits for the end of a process. A signal for us ends the wait early.
fn has_ended(process: &OwnedFd, patience: Duration) -> io::Result<bool> {
    let patience = Timespec::try_from(patience).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 });
    match poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&patience)) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_of_both_pipes_and_the_code_come_back() {
        let cmd = Cmd::new("bash", ["-c", "head -c 300000 /dev/zero | tr '\\0' x; echo err >&2; exit 3"]);
        let output = run(&cmd).unwrap();
        assert_eq!(
            (output.exit, output.stdout.len(), output.stderr.as_str()),
            (Exit::Code(3), 300_000, "err\n")
        );
    }

    #[test]
    fn standard_input_is_closed_and_there_is_no_terminal() {
        let cmd = Cmd::new("bash", ["-c", "read line && echo got $line; tty; echo $LC_ALL"]);
        assert_eq!(run(&cmd).unwrap().stdout, "not a tty\nC\n");
    }

    #[test]
    fn a_command_is_killed_at_its_deadline_with_its_children() {
        let cmd = Cmd::new("bash", ["-c", "sleep 60 & sleep 60"]).within(Duration::from_millis(200));
        let started = Instant::now();
        assert_eq!(run(&cmd).unwrap().exit, Exit::TimedOut);
        assert!(started.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn the_end_is_noticed_at_once_and_a_grandchild_is_not_waited_for() {
        let cmd = Cmd::new("bash", ["-c", "sleep 60 & echo said"]);
        let started = Instant::now();
        assert_eq!(run(&cmd).unwrap().stdout, "said\n");
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
        let chatty = Cmd::new("bash", ["-c", "yes & sleep 0.2"]);
        assert_eq!(run(&chatty).unwrap().exit, Exit::Code(0));
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
        let closed = Cmd::new("bash", ["-c", "exec >&- 2>&-; sleep 0.2; exit 4"]);
        assert_eq!(run(&closed).unwrap().exit, Exit::Code(4));
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = run(&Cmd::new("no-such-program", [""; 0])).unwrap_err();
        assert!(error.to_string().starts_with("no-such-program is not installed"), "{error}");
    }
}
