// SPDX-License-Identifier: MPL-2.0
//! One writer per host and resource. The lock is the kernel's (it goes with its holder, however that ends), the file's
//! text names the holder for whoever has to wait.
//!
//! A holder that is killed may leave a command behind that still changes things: commands are let to their end, because
//! half an `lvcreate` or `create-md` is worse than a whole one. So a holder that ends properly empties the file, and
//! whoever finds a text in it waits for the commands of that run ([`orphans`]). Letting commands inherit the lock would
//! not do: LVM closes what it did not open, and a daemon that it starts would keep it for ever.

use crate::orphans;
use crate::stop::Stop;
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

const DIR: &str = "/run/drbd-host/lock";

/// A held lock. Closing the file gives it back.
#[derive(Debug)]
pub(crate) struct Held(File);

impl Drop for Held {
    fn drop(&mut self) {
        // A text that stays only makes the next run look for commands that are not there.
        let _ = self.0.set_len(0);
    }
}

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    #[error("another run holds the lock on {name}: {holder}. Nothing was changed.")]
    Held { name: String, holder: String },
    #[error("cannot lock {name} in {DIR}: {source}. Nothing was changed.")]
    Os { name: String, source: io::Error },
    #[error("interrupted while waiting for the lock on {name}. Nothing was changed.")]
    Interrupted { name: String },
}

impl LockError {
    /// What to do next.
    pub(crate) fn next_step(&self) -> String {
        match self {
            Self::Held { .. } => "Wait for that run to end, or give a longer lock_timeout.".to_owned(),
            Self::Interrupted { .. } => "Run again.".to_owned(),
            Self::Os { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                "Free space on /run, where the locks and scratch files of a run are (df -h /run; df -i /run)."
                    .to_owned()
            }
            Self::Os { .. } => format!("Remove the cause ({DIR} must be writable), then run again."),
        }
    }
}

/// Takes the lock, waiting for at most `patience`.
pub(crate) fn take(name: &str, purpose: &str, patience: Duration, stop: &Stop) -> Result<Held, LockError> {
    take_in(DIR, name, purpose, patience, stop)
}

fn take_in(dir: &str, name: &str, purpose: &str, patience: Duration, stop: &Stop) -> Result<Held, LockError> {
    let os = |source| LockError::Os { name: name.to_owned(), source };
    let file = open(dir, name).map_err(os)?;
    let until = Instant::now() + patience;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => match orphan_of(&file) {
                None => {
                    sign(&file, purpose).map_err(os)?;
                    return Ok(Held(file));
                }
                Some(orphan) if Instant::now() >= until => {
                    return Err(LockError::Held { name: name.to_owned(), holder: orphan });
                }
                // The lock stays with us meanwhile; the file's text still names who left the command behind.
                Some(_) => {}
            },
            Err(rustix::io::Errno::WOULDBLOCK) => {}
            Err(error) => return Err(os(error.into())),
        }
        if stop.requested().is_some() {
            return Err(LockError::Interrupted { name: name.to_owned() });
        }
        if Instant::now() >= until {
            return Err(LockError::Held { name: name.to_owned(), holder: holder(&file) });
        }
        thread::sleep(Duration::from_millis(50));
    }
}

fn open(dir: &str, name: &str) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let path = format!("{dir}/{name}");
    match options.open(&path) {
        // The first run since the host was started.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(dir)?;
            options.open(&path)
        }
        opened => opened,
    }
}

fn sign(file: &File, purpose: &str) -> io::Result<()> {
    let since = humantime::format_rfc3339_seconds(SystemTime::now());
    let text = format!("process {}, {purpose}, since {since}\n{}", std::process::id(), orphans::mark());
    file.set_len(0)?;
    // In one piece: whoever looks meanwhile sees all of it or nothing.
    file.write_all_at(text.as_bytes(), 0)
}

/// A command that the last holder left behind when it was killed.
fn orphan_of(file: &File) -> Option<String> {
    let text = text_of(file);
    let mark = text.lines().nth(1)?;
    let orphan = orphans::of(mark)?;
    Some(format!(
        "{orphan}, a command of a run that was killed ({})",
        text.lines().next().unwrap_or_default()
    ))
}

fn text_of(file: &File) -> String {
    let mut text = [0; 500];
    let count = file.read_at(&mut text, 0).unwrap_or(0);
    String::from_utf8_lossy(text.get(..count).unwrap_or_default()).into_owned()
}

fn holder(file: &File) -> String {
    match text_of(file).lines().next() {
        Some(line) if !line.is_empty() => line.to_owned(),
        _ => "it has not signed yet".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_the_first_is() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().to_str().unwrap();
        let stop = Stop::catch().unwrap();
        let held = take_in(dir, "r0", "drbd_resource", Duration::ZERO, &stop).unwrap();
        let error = take_in(dir, "r0", "drbd_resource", Duration::from_millis(100), &stop).unwrap_err();
        assert!(
            error.to_string().contains(&format!("process {}, drbd_resource, since 20", std::process::id())),
            "{error}"
        );
        drop(held);
        take_in(dir, "r0", "drbd_resource", Duration::ZERO, &stop).unwrap();
    }

    /// Kills a process when the test ends.
    struct Child(std::process::Child);

    impl Drop for Child {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn a_command_that_outlives_its_killed_run_keeps_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().to_str().unwrap();
        let stop = Stop::catch().unwrap();
        let held = take_in(dir, "r0", "drbd_resource", Duration::ZERO, &stop).unwrap();
        let (name, mark) = orphans::environment();
        let command = Child(std::process::Command::new("sleep").arg("60").env(name, mark).spawn().unwrap());
        // `spawn` returns a moment before the kernel shows the new program's environment.
        while std::fs::read(format!("/proc/{}/environ", command.0.id())).unwrap().is_empty() {
            std::thread::yield_now();
        }
        // Killed: the kernel gives the lock back, and nobody empties the file.
        sign(&held.0, "drbd_resource").unwrap();
        flock(&held.0, FlockOperation::Unlock).unwrap();
        let text = format!("process {} (sleep), a command of a run that was killed", command.0.id());
        let refused = take_in(dir, "r0", "drbd_resource", Duration::from_millis(100), &stop).unwrap_err();
        assert!(refused.to_string().contains(&text), "{refused}");
        let refused = take_in(dir, "r0", "drbd_resource", Duration::ZERO, &stop).unwrap_err();
        assert!(refused.to_string().contains(&text), "the first wait has not cost the note: {refused}");
        drop(command);
        take_in(dir, "r0", "drbd_resource", Duration::ZERO, &stop).unwrap();
    }
}
