// SPDX-License-Identifier: MPL-2.0
//! One writer per host and resource. The lock is the kernel's (it goes with its holder, however that ends), the file's
//! text names the holder for whoever has to wait.

use crate::stop::Stop;
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

const DIR: &str = "/run/drbd-host/lock";

/// A held lock.
#[derive(Debug)]
pub(crate) struct Held(#[expect(dead_code, reason = "closing the file is what gives the lock back")] File);

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    #[error("another run holds the lock on {name}: {holder}. Nothing was changed.")]
    Held { name: String, holder: String },
    #[error("cannot lock {name}: {source}. Nothing was changed.")]
    Os { name: String, source: io::Error },
    #[error("interrupted while waiting for the lock on {name}. Nothing was changed.")]
    Interrupted { name: String },
}

/// Takes the lock, waiting for at most `patience`.
pub(crate) fn take(name: &str, purpose: &str, patience: Duration, stop: &Stop) -> Result<Held, LockError> {
    take_in(DIR, name, purpose, patience, stop)
}

fn take_in(dir: &str, name: &str, purpose: &str, patience: Duration, stop: &Stop) -> Result<Held, LockError> {
    let os = |source| LockError::Os { name: name.to_owned(), source };
    fs::create_dir_all(dir).map_err(os)?;
    let path = format!("{dir}/{name}");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(os)?;
    let until = Instant::now() + patience;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                sign(&mut file, purpose).map_err(os)?;
                return Ok(Held(file));
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {}
            Err(error) => return Err(os(error.into())),
        }
        if stop.requested().is_some() {
            return Err(LockError::Interrupted { name: name.to_owned() });
        }
        if Instant::now() >= until {
            return Err(LockError::Held { name: name.to_owned(), holder: holder(&mut file) });
        }
        thread::sleep(Duration::from_millis(50));
    }
}

fn sign(file: &mut File, purpose: &str) -> io::Result<()> {
    let since = humantime::format_rfc3339_seconds(SystemTime::now());
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    write!(file, "process {}, {purpose}, since {since}", std::process::id())
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.take(500).read_to_string(&mut text));
    match read {
        Ok(1..) => text,
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
}
