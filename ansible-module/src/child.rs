// SPDX-License-Identifier: MPL-2.0
//! Runs one command: an argument vector, never a shell; standard input closed; output captured and bounded; a pinned
//! environment; in a process group of its own, so that no signal of the caller's terminal ends it half-way, and one that
//! reads that terminal all the same is stopped by the kernel and ends at its deadline.

use drbd_engine::host::{Cmd, Exit, HostError, Output};
use rustix::process::{Pid, Signal, kill_process_group};
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
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
    let mut command = Command::new(path);
    command
        .args(&cmd.args)
        .env_clear()
        .env("PATH", DIRECTORIES.join(":"))
        .env("LC_ALL", "C")
        .envs(cmd.env.iter().map(|(name, value)| (*name, value)))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let mut child = command.spawn().map_err(os)?;
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let ended = wait(&mut child, cmd.deadline).map_err(os)?;
    Ok(Output { exit: ended.map_or(Exit::TimedOut, exit), stdout: text(&stdout), stderr: text(&stderr) })
}

/// Reads a pipe in a thread of its own: a child that fills one pipe while the other is read would hang for ever.
fn collect(pipe: Option<impl Read + Send + 'static>) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    if let Some(mut pipe) = pipe {
        thread::spawn(move || {
            let mut kept = Vec::new();
            let mut buffer = [0; 8192];
            while let Ok(count @ 1..) = pipe.read(&mut buffer) {
                let room = OUTPUT_LIMIT.saturating_sub(kept.len());
                kept.extend(buffer.iter().take(count.min(room)));
            }
            // The receiver may have given up on a grandchild that keeps the pipe open.
            let _ = sender.send(kept);
        });
    }
    receiver
}

fn text(pipe: &mpsc::Receiver<Vec<u8>>) -> String {
    // A grandchild (a helper that drbdadm left in the background, say) may keep the pipe open after the command itself
    // has ended: what it says is not waited for.
    let bytes = pipe.recv_timeout(Duration::from_secs(2)).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn exit(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, signal) => Exit::Signal(signal.unwrap_or(0)),
    }
}

fn wait(child: &mut Child, deadline: Duration) -> std::io::Result<Option<ExitStatus>> {
    let started = Instant::now();
    let mut pause = Duration::from_micros(200);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if started.elapsed() >= deadline {
            if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                // It may be stuck in the kernel and never die; nothing is gained by waiting for it.
                let _ = kill_process_group(group, Signal::KILL);
            }
            thread::sleep(Duration::from_millis(50));
            let _ = child.try_wait()?;
            return Ok(None);
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(5));
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
        let cmd = Cmd::new("bash", ["-c", "read line && echo got $line; tty; echo $LC_ALL; pwd"]);
        assert_eq!(run(&cmd).unwrap().stdout, "not a tty\nC\n/\n");
    }

    #[test]
    fn a_command_is_killed_at_its_deadline_with_its_children() {
        let cmd = Cmd::new("bash", ["-c", "sleep 60 & sleep 60"]).within(Duration::from_millis(200));
        let started = Instant::now();
        assert_eq!(run(&cmd).unwrap().exit, Exit::TimedOut);
        assert!(started.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = run(&Cmd::new("no-such-program", [""; 0])).unwrap_err();
        assert!(error.to_string().starts_with("no-such-program is not installed"), "{error}");
    }
}
