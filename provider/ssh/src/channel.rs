// SPDX-License-Identifier: MPL-2.0
//! One command on one channel: open, send, read to the end.
//!
//! A command is pumped by a task of its own: a caller who does not poll cannot stop the other channels, and a caller who
//! goes away leaves a command that gets all of its input and runs to its end, only that nobody hears of it.
//! Deliberately not here: quoting, retries, and what an exit code means (`session`).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use russh::client::Msg;
use russh::{Channel, ChannelMsg, ChannelOpenFailure, ChannelReadHalf, ChannelWriteHalf, Sig};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use crate::error::SshError;
use crate::link::Link;
use crate::quote::KILL_AFTER;

/// How much later than the host's `timeout` our own clock stops a command: the host's answer says more.
const GRACE: Duration = Duration::from_secs(1);

/// First and longest pause before a refused channel is asked for again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(30), Duration::from_millis(500));

/// What to run, ready for the wire.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    /// Name of the program, for messages.
    pub(crate) program: String,
    /// The command line for the login shell.
    pub(crate) line: String,
    /// The line that the starter prints before the program starts.
    pub(crate) mark: String,
    /// How long the program may run.
    pub(crate) deadline: Duration,
    /// Limit for each output stream.
    pub(crate) max_output: usize,
    /// Limit for the channel to open.
    pub(crate) open_timeout: Duration,
}

/// How a channel ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The program exited, and its output is complete.
    Exited(u32),
    /// A signal ended it.
    Killed(String),
    /// The server closed the channel without a word.
    Silent,
    /// The deadline passed; with the exit code when only the output is still held open by somebody.
    TimedOut(Option<u32>),
    /// Too much was printed, to this stream.
    TooLarge(&'static str),
    /// The connection broke.
    Lost,
}

/// Everything read from a channel.
#[derive(Clone, Debug)]
pub(crate) struct Transcript {
    pub(crate) ending: Ending,
    /// Whether the starter ran.
    pub(crate) started: bool,
    /// After the mark when it came, everything otherwise.
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    pub(crate) took: Duration,
}

/// A request that got no transcript.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) error: SshError,
    /// Whether the command may have reached the host.
    pub(crate) sent: bool,
}

/// Runs the job on a channel of its own. `sending` is called at the moment the command goes out.
///
/// # Errors
/// The connection broke, or no channel could be opened. How a command ended is never an error here.
pub(crate) async fn run(
    link: &Link,
    job: Job,
    stdin: Bytes,
    sending: impl FnOnce(),
) -> Result<Transcript, Broken> {
    let unsent = |error| Broken { error, sent: false };
    // Waiting for one's turn is no time of the command: those ahead have deadlines of their own.
    let turn = Arc::clone(&link.turns).acquire_owned().await;
    let turn = turn.map_err(|_| unsent(link.lost("waiting for a channel")))?;
    let channel = open(link, job.open_timeout).await.map_err(unsent)?;
    sending();
    let (read, write) = channel.split();
    let during = format!("{} was running", job.program);
    let pump = Pump { read, write, job, stdin, _turn: turn };
    match tokio::spawn(pump.run()).await {
        Ok(transcript) if transcript.ending == Ending::Lost => {
            Err(Broken { error: link.lost(&during), sent: true })
        }
        Ok(transcript) => Ok(transcript),
        Err(_) => Err(Broken { error: link.lost(&format!("{during} (its task was stopped)")), sent: true }),
    }
}

/// Opens a session channel. "Connect failed" is OpenSSH's word for "too many sessions": it frees one a little after
/// the client has seen it closed, so asking again helps.
async fn open(link: &Link, limit: Duration) -> Result<Channel<Msg>, SshError> {
    let deadline = Instant::now() + limit;
    let mut pause = PAUSE.0;
    loop {
        let reason = match timeout_at(deadline, link.handle.channel_open_session()).await {
            Ok(Ok(channel)) => return Ok(channel),
            Ok(Err(russh::Error::ChannelOpenFailure(reason))) => reason,
            Ok(Err(_)) => return Err(link.lost("opening a channel")),
            // A connection that some router on the way has forgotten. Nothing was sent, so a new one will do.
            Err(_) => return Err(link.silent(limit)),
        };
        let may_pass =
            matches!(reason, ChannelOpenFailure::ConnectFailed | ChannelOpenFailure::ResourceShortage);
        if !may_pass || Instant::now() + pause >= deadline {
            let why = format!("it answered {reason:?} for {:.1} s", limit.as_secs_f64());
            return Err(SshError::ChannelRefused { host: link.host.clone(), why });
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE.1);
    }
}

/// A channel that is being read to its end.
struct Pump {
    read: ChannelReadHalf,
    write: ChannelWriteHalf<Msg>,
    job: Job,
    stdin: Bytes,
    /// Given back when the channel is closed, not when the caller loses interest.
    _turn: OwnedSemaphorePermit,
}

impl Pump {
    /// Sends the command and its input, and reads until the channel closes or the deadline has passed.
    async fn run(mut self) -> Transcript {
        let start = Instant::now();
        let mut reading = Reading::new(&self.job);
        let ending = tokio::select! {
            ending = converse(&mut self.read, &self.write, (&self.job, &self.stdin), &mut reading) => ending,
            () = sleep_until(start + self.job.deadline + GRACE) => {
                // For hosts without `timeout`. Ordinary users' commands heed it, root's do not.
                let _ = self.write.signal(Sig::TERM).await;
                Ending::TimedOut(reading.status)
            }
        };
        let (started, stdout, stderr) = reading.into_parts();
        let transcript = Transcript { ending, started, stdout, stderr, took: start.elapsed() };
        if matches!(transcript.ending, Ending::TimedOut(_) | Ending::TooLarge(_)) {
            // The turn is held until the host has really freed the session, but not for ever.
            tokio::spawn(self.drain(start));
        }
        transcript
    }

    /// Closes the channel and reads what still comes, at most until the host has killed the command.
    async fn drain(mut self, start: Instant) {
        let _ = self.write.close().await;
        let until = start + self.job.deadline + KILL_AFTER + GRACE;
        let _ = timeout_at(until, async { while self.read.wait().await.is_some() {} }).await;
    }
}

/// The conversation from "exec" to "close".
async fn converse(
    read: &mut ChannelReadHalf,
    write: &ChannelWriteHalf<Msg>,
    (job, stdin): (&Job, &Bytes),
    reading: &mut Reading,
) -> Ending {
    let sending = async {
        write.exec(true, job.line.as_bytes()).await?;
        write.data_bytes(stdin.clone()).await?;
        write.eof().await
    };
    tokio::pin!(sending);
    let mut sent = false;
    loop {
        tokio::select! {
            // A program need not read its input to the end: not being able to send is no error by itself.
            _ = &mut sending, if !sent => sent = true,
            message = read.wait() => match message {
                Some(message) => if let Some(ending) = reading.take(message) { return ending },
                None => return reading.at_end(),
            },
        }
    }
}

/// What was read so far.
struct Reading {
    mark: Vec<u8>,
    limit: usize,
    started: bool,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    status: Option<u32>,
    signal: Option<String>,
    eof: bool,
}

impl Reading {
    fn new(job: &Job) -> Self {
        Self {
            mark: format!("{}\n", job.mark).into_bytes(),
            limit: job.max_output,
            started: false,
            stdout: Vec::new(),
            stderr: Vec::new(),
            status: None,
            signal: None,
            eof: false,
        }
    }

    /// Takes one message; `Some` when nothing more is to come.
    fn take(&mut self, message: ChannelMsg) -> Option<Ending> {
        match message {
            ChannelMsg::Data { data } => {
                self.stdout.extend_from_slice(&data);
                self.find_mark(data.len());
                return (self.stdout.len()
                    > self.limit.saturating_add(if self.started { 0 } else { self.mark.len() }))
                .then_some(Ending::TooLarge("standard output"));
            }
            ChannelMsg::ExtendedData { data, ext: 1 } => {
                self.stderr.extend_from_slice(&data);
                return (self.stderr.len() > self.limit).then_some(Ending::TooLarge("standard error"));
            }
            ChannelMsg::ExitStatus { exit_status } => self.status = Some(exit_status),
            ChannelMsg::ExitSignal { signal_name, .. } => self.signal = Some(signal(signal_name)),
            // OpenSSH sends: data, eof, exit status, close. The end is the close, and nothing before it.
            ChannelMsg::Eof => self.eof = true,
            ChannelMsg::Close => return Some(self.ended().unwrap_or(Ending::Silent)),
            // The server does not run commands at all.
            ChannelMsg::Failure => return Some(Ending::Silent),
            _ => {}
        }
        None
    }

    /// The connection is gone. Only when everything had already come is that not a loss.
    fn at_end(&self) -> Ending {
        if self.eof { self.ended().unwrap_or(Ending::Lost) } else { Ending::Lost }
    }

    fn ended(&self) -> Option<Ending> {
        match (&self.signal, self.status) {
            (Some(signal), _) => Some(Ending::Killed(signal.clone())),
            (None, Some(status)) => Some(Ending::Exited(status)),
            (None, None) => None,
        }
    }

    /// Drops everything up to the mark; `new` bytes came last.
    fn find_mark(&mut self, new: usize) {
        if self.started {
            return;
        }
        let from = self.stdout.len().saturating_sub(new + self.mark.len());
        let tail = self.stdout.get(from..).unwrap_or_default();
        if let Some(at) = tail.windows(self.mark.len()).position(|window| window == self.mark) {
            self.stdout.drain(..from + at + self.mark.len());
            self.started = true;
        }
    }

    fn into_parts(self) -> (bool, Vec<u8>, Vec<u8>) {
        (self.started, self.stdout, self.stderr)
    }
}

/// The name as kill(1) knows it.
fn signal(signal: Sig) -> String {
    match signal {
        Sig::Custom(name) => name,
        signal => format!("{signal:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds messages to a reader with the mark `M` and a limit of 4 bytes; how it ends, and what it has read.
    fn check(messages: Vec<ChannelMsg>) -> (Ending, String) {
        let job = Job {
            program: "p".to_owned(),
            line: String::new(),
            mark: "M".to_owned(),
            deadline: Duration::from_secs(1),
            max_output: 4,
            open_timeout: Duration::from_secs(1),
        };
        let mut reading = Reading::new(&job);
        let early = messages.into_iter().find_map(|message| reading.take(message));
        let ending = early.unwrap_or_else(|| reading.at_end());
        (ending, String::from_utf8(reading.into_parts().1).unwrap())
    }

    fn data(text: &'static str) -> ChannelMsg {
        ChannelMsg::Data { data: Bytes::from_static(text.as_bytes()) }
    }

    fn status(exit_status: u32) -> ChannelMsg {
        ChannelMsg::ExitStatus { exit_status }
    }

    #[test]
    fn only_a_status_and_the_end_of_output_together_are_an_exit() {
        use ChannelMsg::{Close, Eof};
        assert_eq!(check(vec![data("M\nx"), Eof, status(3), Close]), (Ending::Exited(3), "x".to_owned()));
        assert_eq!(check(vec![status(3), data("M\nx"), Eof, Close]), (Ending::Exited(3), "x".to_owned()));
        assert_eq!(check(vec![data("M\n"), status(0), Close]).0, Ending::Exited(0));
        assert_eq!(check(vec![data("M\n"), Eof, status(0)]).0, Ending::Exited(0));
        assert_eq!(check(vec![data("M\n"), Eof, Close]).0, Ending::Silent);
        assert_eq!(check(vec![ChannelMsg::Failure]).0, Ending::Silent);
        assert_eq!(check(vec![data("M\n"), Eof]).0, Ending::Lost);
        assert_eq!(check(vec![data("M\nx"), status(0)]).0, Ending::Lost, "output may be missing");
        assert_eq!(check(vec![]).0, Ending::Lost);
    }

    #[test]
    fn a_signal_wins_over_a_status() {
        let killed = ChannelMsg::ExitSignal {
            signal_name: Sig::Custom("XFSZ".to_owned()),
            core_dumped: false,
            error_message: String::new(),
            lang_tag: String::new(),
        };
        assert_eq!(check(vec![killed, status(0), ChannelMsg::Close]).0, Ending::Killed("XFSZ".to_owned()));
    }

    #[test]
    fn the_mark_is_found_in_pieces_and_among_noise() {
        let end = || vec![ChannelMsg::Eof, status(0), ChannelMsg::Close];
        let read = |texts: &[&'static str]| check(texts.iter().copied().map(data).chain(end()).collect()).1;
        assert_eq!(read(&["M", "\n", "ab"]), "ab");
        assert_eq!(read(&["xM", "\nab"]), "ab");
        assert_eq!(read(&["M\nM\nb"]), "M\nb", "the program may print the same again");
        assert_eq!(read(&["none"]), "none");
        assert_eq!(check(vec![data("M\nabcd"), data("e")]).0, Ending::TooLarge("standard output"));
        assert_eq!(check(vec![data("noise without end")]).0, Ending::TooLarge("standard output"));
    }
}
