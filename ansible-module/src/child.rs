// SPDX-License-Identifier: MPL-2.0
//! Runs one command: an argument vector, never a shell; standard input closed; output captured and bounded; a pinned
//! environment; in a process group of its own, so that no signal of the caller's terminal ends it half-way, and one that
//! reads that terminal all the same is stopped by the kernel and ends at its deadline.

use crate::{legacy, orphans};
use drbd_engine::host::{Cmd, Exit, HostError, Output};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use std::fs::File;
use std::io::Read;
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
    let os = |error: std::io::Error| HostError::Os { what: format!("run {cmd}"), reason: error.to_string() };
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
    let mut pipes = Pipes { stdout: Pipe::of(child.stdout.take()), stderr: Pipe::of(child.stderr.take()) };
    let ended = wait(&mut child, &mut pipes, cmd.deadline).map_err(os)?;
    Ok(Output {
        exit: ended.map_or(Exit::TimedOut, exit),
        stdout: pipes.stdout.text(),
        stderr: pipes.stderr.text(),
    })
}

/// One of the child's outputs.
struct Pipe {
    /// `None` once it has ended.
    file: Option<File>,
    kept: Vec<u8>,
}

impl Pipe {
    fn of(pipe: Option<impl Into<OwnedFd>>) -> Self {
        Self { file: pipe.map(|pipe| File::from(pipe.into())), kept: Vec::new() }
    }

    /// Reads what is there. Only to be called when something, or the end, is there.
    fn read(&mut self) {
        let mut buffer = [0; 8192];
        let count = self.file.as_mut().map_or(0, |file| file.read(&mut buffer).unwrap_or(0));
        if count == 0 {
            self.file = None;
        }
        let room = OUTPUT_LIMIT.saturating_sub(self.kept.len());
        self.kept.extend(buffer.iter().take(count.min(room)));
    }

    fn text(self) -> String {
        String::from_utf8_lossy(&self.kept).into_owned()
    }
}

/// Both outputs. They are read together: a child that fills one while the other is read would hang for ever.
struct Pipes {
    stdout: Pipe,
    stderr: Pipe,
}

impl Pipes {
    /// Waits for output, or the end of one, and reads what there is. Says whether there was any.
    fn wait(&mut self, patience: Duration) -> std::io::Result<bool> {
        let pipes = [&self.stdout, &self.stderr];
        let files = pipes.iter().filter_map(|pipe| pipe.file.as_ref());
        let mut fds: Vec<PollFd<'_>> = files.map(|file| PollFd::new(file, PollFlags::IN)).collect();
        poll_for(&mut fds, patience)?;
        let mut ready = fds.iter().map(|fd| !fd.revents().is_empty());
        let mut is_ready = |pipe: &Pipe| pipe.file.is_some() && ready.next().unwrap_or(false);
        let (stdout, stderr) = (is_ready(&self.stdout), is_ready(&self.stderr));
        drop(fds);
        if stdout {
            self.stdout.read();
        }
        if stderr {
            self.stderr.read();
        }
        Ok(stdout || stderr)
    }

    /// Reads what is there now. A grandchild that goes on for ever does not keep us.
    /// Says whether there was any.
    fn drain(&mut self) -> std::io::Result<bool> {
        let started = Instant::now();
        let mut any = false;
        while self.wait(Duration::ZERO)? {
            any = true;
            if started.elapsed() >= DRAINING {
                break;
            }
        }
        Ok(any)
    }
}

fn poll_for(fds: &mut [PollFd<'_>], patience: Duration) -> std::io::Result<()> {
    let patience = Timespec::try_from(patience).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 });
    match poll(fds, Some(&patience)) {
        // A signal for us: the caller looks at the clock and comes back.
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn exit(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, signal) => Exit::Signal(signal.unwrap_or(0)),
    }
}

/// Between two looks at a child where the kernel cannot tell of its end (before Linux 5.3).
const BETWEEN_LOOKS: Duration = Duration::from_millis(5);
/// Between two looks at its output where it can. A pipe holds 64 KiB until then; being woken for each line that lvm
/// writes would cost more than the line. Twice as long after each look that found nothing, because a look costs too.
const BETWEEN_READS: [Duration; 2] = [Duration::from_millis(10), Duration::from_millis(80)];
/// For how long output is read at most in one go.
const DRAINING: Duration = Duration::from_secs(2);

fn wait(child: &mut Child, pipes: &mut Pipes, deadline: Duration) -> std::io::Result<Option<ExitStatus>> {
    let started = Instant::now();
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let process = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    let [shortest, longest] = BETWEEN_READS;
    let mut between = shortest;
    loop {
        if let Some(status) = child.try_wait()? {
            // What it said is in the pipes by now. What a grandchild may still say (a helper that drbdadm left in the
            // background, say) is not waited for.
            pipes.drain()?;
            return Ok(Some(status));
        }
        let left = deadline.saturating_sub(started.elapsed());
        if left.is_zero() {
            if let Some(group) = pid {
                // It may be stuck in the kernel and never die; nothing is gained by waiting for it.
                let _ = kill_process_group(group, Signal::KILL);
            }
            thread::sleep(Duration::from_millis(50));
            let _ = child.try_wait()?;
            return Ok(None);
        }
        match &process {
            Some(process) => {
                poll_for(&mut [PollFd::new(process, PollFlags::IN)], left.min(between))?;
                between = if pipes.drain()? { shortest } else { longest.min(between * 2) };
            }
            None => drop(pipes.wait(left.min(BETWEEN_LOOKS))?),
        }
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
        let closed = Cmd::new("bash", ["-c", "exec >&- 2>&-; sleep 0.2; exit 4"]);
        assert_eq!(run(&closed).unwrap().exit, Exit::Code(4));
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = run(&Cmd::new("no-such-program", [""; 0])).unwrap_err();
        assert!(error.to_string().starts_with("no-such-program is not installed"), "{error}");
    }
}
