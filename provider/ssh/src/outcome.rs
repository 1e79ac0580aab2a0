// SPDX-License-Identifier: MPL-2.0
//! What the transcript of a channel means: a result, or which error.
//!
//! Pure. Deliberately not here: the retry after a lost connection (`session`).

use crate::channel::{Ending, Job, Transcript};
use crate::error::SshError;
use crate::request::ExecOutput;
use crate::target::{Escalate, Target};

/// How much of what a host printed goes into an error message, from the end.
const SAID: usize = 600;

/// What a transcript means.
///
/// # Errors
/// Everything but a program that started and exited by itself within its time.
pub(crate) fn outcome(target: &Target, job: &Job, end: Transcript) -> Result<ExecOutput, SshError> {
    let (host, command) = (target.host.clone(), job.program.clone());
    match end.ending {
        Ending::Exited(_) | Ending::Killed(_) | Ending::Silent if !end.started => {
            Err(not_started(target, &end))
        }
        // What `timeout` on the host answers when it had to act.
        Ending::Exited(124 | 137) if end.took >= job.deadline => Err(timed_out(host, job, STOPPED)),
        Ending::Killed(ref signal) if end.took >= job.deadline && (signal == "KILL" || signal == "TERM") => {
            Err(timed_out(host, job, STOPPED))
        }
        Ending::Exited(code) => Ok(ExecOutput {
            code: i32::try_from(code).unwrap_or(i32::MAX),
            stdout: end.stdout,
            stderr: end.stderr,
        }),
        Ending::Killed(signal) => Err(SshError::Killed { host, command, signal, stderr: tail(&end.stderr) }),
        Ending::Silent => Err(SshError::NoExitStatus { host, command }),
        Ending::TooLarge(stream) => {
            Err(SshError::OutputTooLarge { host, command, stream, limit: job.max_output })
        }
        Ending::TimedOut(Some(code)) => {
            let after = format!(
                "the command itself exited with {code}, but something that it left behind holds its output open; start such \
                 programs with their output elsewhere"
            );
            Err(timed_out(host, job, &after))
        }
        Ending::TimedOut(None) if !end.started => Err(timed_out(host, job, NOT_BEGUN)),
        Ending::TimedOut(None) => Err(timed_out(host, job, UNHEARD)),
        Ending::Lost => Err(SshError::ConnectionLost {
            host,
            during: format!("{command} was running"),
            last: "the connection was closed".to_owned(),
        }),
    }
}

const STOPPED: &str = "it was stopped on the host; what it had done by then stays done";
const NOT_BEGUN: &str =
    "the login shell (or sudo) did not even start it; look at the user's shell start-up files on the host";
const UNHEARD: &str =
    "the host did not tell that it was stopped, so it may still be running: look at the host again";

fn timed_out(host: String, job: &Job, after: &str) -> SshError {
    SshError::TimedOut { host, what: job.program.clone(), deadline: job.deadline, after: after.to_owned() }
}

/// Something else than our starter ran: sudo, a forced command, a shell that is none.
fn not_started(target: &Target, end: &Transcript) -> SshError {
    let printed = [tail(&end.stderr), tail(&end.stdout)];
    let printed = printed.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" / ");
    let said = match (&end.ending, printed.is_empty()) {
        (Ending::Silent, true) => "the server refused the request".to_owned(),
        (Ending::Exited(code), true) => format!("it exited with {code} and printed nothing"),
        (Ending::Exited(code), false) => format!("{printed} (exit {code})"),
        (_, true) => "it was ended without a word".to_owned(),
        (_, false) => printed,
    };
    let (host, user) = (target.host.clone(), target.user.clone());
    if target.escalate == Escalate::Sudo && tail(&end.stderr).contains("sudo") {
        SshError::SudoRefused { host, user, said }
    } else {
        SshError::NotStarted { host, user, said }
    }
}

/// The last part of an output in one line, fit for a message.
pub(crate) fn tail(bytes: &[u8]) -> String {
    let from = bytes.len().saturating_sub(SAID);
    let text = String::from_utf8_lossy(bytes.get(from..).unwrap_or_default());
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join(" / ").replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// The kind of result, for a deadline of 5 seconds.
    fn check(ending: Ending, started: bool, took: u64, escalate: Escalate, stderr: &str) -> String {
        let target = Target { escalate, ..Target::new("h", "u") };
        let job = Job {
            program: "p".to_owned(),
            line: String::new(),
            mark: String::new(),
            deadline: Duration::from_secs(5),
            max_output: 9,
            open_timeout: Duration::from_secs(1),
        };
        let took = Duration::from_secs(took);
        let end =
            Transcript { ending, started, stdout: Vec::new(), stderr: stderr.as_bytes().to_vec(), took };
        match outcome(&target, &job, end) {
            Ok(output) => format!("code {}", output.code),
            Err(error) => {
                let debug = format!("{error:?}");
                debug.split([' ', '{']).next().unwrap_or_default().to_owned()
            }
        }
    }

    #[test]
    fn an_exit_code_is_a_result_and_nothing_else_is() {
        let plain = |ending, started, took| check(ending, started, took, Escalate::None, "");
        assert_eq!(plain(Ending::Exited(0), true, 1), "code 0");
        assert_eq!(plain(Ending::Exited(124), true, 1), "code 124");
        assert_eq!(plain(Ending::Exited(124), true, 5), "TimedOut");
        assert_eq!(plain(Ending::Exited(1), true, 5), "code 1");
        assert_eq!(plain(Ending::Killed("KILL".to_owned()), true, 1), "Killed");
        assert_eq!(plain(Ending::Killed("KILL".to_owned()), true, 9), "TimedOut");
        assert_eq!(plain(Ending::Killed("SEGV".to_owned()), true, 9), "Killed");
        assert_eq!(plain(Ending::Silent, true, 1), "NoExitStatus");
        assert_eq!(plain(Ending::TooLarge("standard output"), false, 1), "OutputTooLarge");
        assert_eq!(plain(Ending::TimedOut(None), false, 6), "TimedOut");
        assert_eq!(plain(Ending::Lost, true, 1), "ConnectionLost");
        assert_eq!(plain(Ending::Exited(u32::MAX), true, 1), format!("code {}", i32::MAX));
    }

    #[test]
    fn what_did_not_start_is_sudo_or_the_shell() {
        let ended = |escalate, stderr| check(Ending::Exited(1), false, 1, escalate, stderr);
        assert_eq!(ended(Escalate::Sudo, "sudo: a password is required\n"), "SudoRefused");
        assert_eq!(ended(Escalate::Sudo, "This account is not available."), "NotStarted");
        assert_eq!(ended(Escalate::None, "sudo: unrelated"), "NotStarted");
        assert_eq!(check(Ending::Silent, false, 1, Escalate::None, ""), "NotStarted");
    }

    #[test]
    fn output_in_messages_is_one_short_line() {
        assert_eq!(tail(b"\n a \r\n\n\tb\x1b[0m\n"), "a / b [0m");
        assert_eq!(tail(&[b'x'; 5000]).len(), SAID);
        assert_eq!(tail(&[0xff, 0xfe]), "\u{fffd}\u{fffd}");
    }
}
