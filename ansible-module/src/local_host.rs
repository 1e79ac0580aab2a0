// SPDX-License-Identifier: MPL-2.0
//! The engine's hands on this machine.

use crate::stop::Stop;
use crate::{block, child, meet, users};
use drbd_engine::host::{BlockDevice, Cmd, Host, HostError, Output, Process, Read};
use drbd_engine::meeting::{Meeting, Met, NoMeeting};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// This machine.
pub(crate) struct LocalHost {
    started: Instant,
    stop: Stop,
}

impl LocalHost {
    /// From here on the process works in `/`: neither it nor a command that it runs keeps a file system of the caller
    /// busy, and nothing depends on where it was called. What the caller named by relative paths is read before.
    pub(crate) fn new(stop: Stop) -> Self {
        // It cannot fail for a directory that everybody may enter.
        let _ = std::env::set_current_dir("/");
        Self { started: Instant::now(), stop }
    }
}

fn os(what: String) -> impl FnOnce(io::Error) -> HostError {
    move |error| HostError::Os { what, reason: error.to_string() }
}

impl Host for LocalHost {
    fn run(&self, cmd: &Cmd) -> Result<Output, HostError> {
        child::run(cmd)
    }

    fn program(&self, name: &'static str) -> Option<String> {
        child::find(name)
    }

    fn node_name(&self) -> Result<String, HostError> {
        Ok(rustix::system::uname().nodename().to_string_lossy().into_owned())
    }

    fn read(&self, path: &str) -> Result<Option<String>, HostError> {
        match read_whole(path) {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(os(format!("read {path}"))(error)),
        }
    }

    fn list(&self, dir: &str) -> Result<Vec<String>, HostError> {
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(os(format!("list {dir}"))(error)),
        };
        let mut names: Vec<String> =
            entries.flatten().filter_map(|e| e.file_name().into_string().ok()).collect();
        names.sort();
        Ok(names)
    }

    fn is_directory(&self, path: &str) -> Result<bool, HostError> {
        match fs::metadata(path) {
            Ok(found) => Ok(found.is_dir()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(os(format!("look at {path}"))(error)),
        }
    }

    fn write(&self, path: &str, content: &str, mode: u32) -> Result<(), HostError> {
        write_atomically(Path::new(path), content.as_bytes(), mode).map_err(os(format!("write {path}")))
    }

    fn remove(&self, path: &str) -> Result<(), HostError> {
        match fs::remove_file(path) {
            Ok(()) => sync_parent(Path::new(path)).map_err(os(format!("remove {path}"))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(os(format!("remove {path}"))(error)),
        }
    }

    fn block_device(&self, path: &str) -> Result<Option<BlockDevice>, HostError> {
        block::describe(path)
    }

    fn first_data(&self, path: &str, end: Option<u64>, read: Read) -> Result<Option<u64>, HostError> {
        block::first_data(path, end, read, &|| self.checkpoint())
    }

    fn users_of(&self, device: &BlockDevice) -> Result<Vec<Process>, HostError> {
        users::of(device)
    }

    fn meet(&self, meeting: &Meeting) -> Result<Vec<Met>, NoMeeting> {
        meet::meet(meeting, &self.stop)
    }

    fn checkpoint(&self) -> Result<(), HostError> {
        match self.stop.requested() {
            Some(by) => Err(HostError::Interrupted { by }),
            None => Ok(()),
        }
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn pause(&self, duration: Duration) {
        let until = Instant::now() + duration;
        while self.stop.requested().is_none() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            thread::sleep(left.min(Duration::from_millis(100)));
        }
    }
}

/// Files of `/proc` and `/sys` say that they have no size; with room from the start, one read gets most of them as a whole.
pub(crate) fn read_whole(path: &str) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(16 << 10);
    // `take` keeps the standard library from asking for the size.
    File::open(path)?.take(u64::MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Writes a file so that after a cut the old or the new content is there. The temporary name begins with a dot and
/// does not end like a configuration file, so that no tool takes it for one.
fn write_atomically(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("file");
    let dir = path.parent().unwrap_or_else(|| Path::new("/"));
    let temporary = dir.join(format!(".{name}.drbd-host-{}", std::process::id()));
    let written = create(&temporary, mode)
        .and_then(|mut file| {
            file.write_all(content)?;
            if outlives_a_boot(path) { file.sync_all() } else { Ok(()) }
        })
        .and_then(|()| fs::rename(&temporary, path));
    if let Err(error) = written {
        // Best effort: what is left is not read by anything.
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    sync_parent(path)
}

/// A new file. What it needs is made when it turns out to be missing: that is the first run only.
fn create(path: &Path, mode: u32) -> io::Result<File> {
    let open = || OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(path.parent().unwrap_or_else(|| Path::new("/")))?;
            open()
        }
        // A leftover of a run that was killed with the same process id.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(path)?;
            open()
        }
        opened => opened,
    }
}

/// `/run` is in memory (file-hierarchy(7)): there is nothing to synchronise.
fn outlives_a_boot(path: &Path) -> bool {
    !path.starts_with("/run")
}

fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent().filter(|_| outlives_a_boot(path)) {
        Some(dir) => File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_is_replaced_as_a_whole_with_its_mode() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/er/r0.res");
        write_atomically(&path, b"one", 0o600).unwrap();
        write_atomically(&path, b"two", 0o600).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn commands_run_in_the_root_directory() {
        let host = LocalHost::new(Stop::catch().unwrap());
        assert_eq!(host.run(&Cmd::new("bash", ["-c", "pwd"])).unwrap().stdout, "/\n");
    }

    #[test]
    fn a_full_disk_leaves_the_old_file_and_no_rest() {
        // /dev/full refuses every write; a file below a file refuses to be made.
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r0.res");
        write_atomically(&path, b"old", 0o600).unwrap();
        assert!(write_atomically(&path.join("below"), b"new", 0o600).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"old");
    }
}
