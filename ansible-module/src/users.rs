// SPDX-License-Identifier: MPL-2.0
//! Which processes use a block device: those that have it open, and those that have a file open, work in, or run a
//! program from a file system on it; and which one listens on a port. From `/proc`, because `fuser` and `lsof` are not everywhere.
//!
//! Not here: users inside the kernel (swap, device mapper, NFS); they are no processes.

use drbd_engine::host::{BlockDevice, HostError, Process};
use rustix::fs::{FileType, Stat, lstat, major, minor, stat};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

/// The processes that use a device, this one excepted.
pub(crate) fn of(device: &BlockDevice) -> Result<Vec<Process>, HostError> {
    let os =
        |error: std::io::Error| HostError::Os { what: "list /proc".to_owned(), reason: error.to_string() };
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").map_err(os)?.flatten() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
        let Some(pid) = pid.filter(|pid| *pid != std::process::id()) else { continue };
        if let Some(how) = how(&entry.path(), &device.number) {
            let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            found.push(Process { pid, name: name.trim().to_owned(), how });
        }
    }
    found.sort();
    Ok(found)
}

/// How a process uses the device; `None` when it does not, and when it has ended meanwhile.
fn how(process: &Path, number: &str) -> Option<String> {
    let named = |link: &Path| fs::read_link(link).map(|path| path.display().to_string()).unwrap_or_default();
    for (link, verb) in [("cwd", "works in"), ("root", "has its root at"), ("exe", "runs")] {
        let link = process.join(link);
        if stat(&link).is_ok_and(|found| is_on(&found, number)) {
            return Some(format!("{verb} {}", named(&link)));
        }
    }
    for entry in fs::read_dir(process.join("fd")).ok()?.flatten() {
        let link = entry.path();
        // A descriptor that is a pipe or socket has no file system of ours; stat of it is cheap and says so.
        if lstat(&link).is_ok() && stat(&link).is_ok_and(|found| is_on(&found, number)) {
            return Some(format!("has {} open", named(&link)));
        }
    }
    None
}

/// The process that listens on a TCP port of this host at this address; `None` where the kernel itself does, as for DRBD.
pub(crate) fn listening_at(at: SocketAddr) -> Option<Process> {
    let sockets =
        ["/proc/net/tcp", "/proc/net/tcp6"].map(|file| fs::read_to_string(file).unwrap_or_default());
    let inode = sockets.iter().flat_map(|text| text.lines()).find_map(|line| inode_of(line, at.port()))?;
    let link = format!("socket:[{inode}]");
    let pids = fs::read_dir("/proc").ok()?.flatten();
    pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).find_map(|pid| {
        let open = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten();
        let has =
            |entry: fs::DirEntry| fs::read_link(entry.path()).is_ok_and(|to| to.as_os_str() == link.as_str());
        let name = || fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned();
        open.into_iter().any(has).then(|| Process { pid, name: name(), how: String::new() })
    })
}

/// The inode of a socket that listens on a port, from its line of `/proc/net/tcp`.
fn inode_of(line: &str, port: u16) -> Option<&str> {
    const LISTENS: &str = "0A";
    let words: Vec<&str> = line.split_whitespace().collect();
    let (_, found) = words.get(1)?.rsplit_once(':')?;
    let is_it = u16::from_str_radix(found, 16) == Ok(port) && words.get(3) == Some(&LISTENS);
    words.get(9).copied().filter(|_| is_it)
}

/// It is the device itself, or a file on it.
fn is_on(found: &Stat, number: &str) -> bool {
    let spelled = |dev: u64| format!("{}:{}", major(dev), minor(dev));
    let is_device = FileType::from_raw_mode(found.st_mode) == FileType::BlockDevice;
    spelled(found.st_dev) == number || (is_device && spelled(found.st_rdev) == number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;
    use std::process::{Child, Command, Stdio};

    fn device_of(path: &Path) -> BlockDevice {
        let dev = fs::metadata(path).unwrap().dev();
        BlockDevice { number: format!("{}:{}", major(dev), minor(dev)), ..BlockDevice::default() }
    }

    /// A process that says when it runs, and ends with this value.
    struct Sleeper(Child);

    impl Drop for Sleeper {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    fn sleeper(script: &str, dir: &Path) -> Sleeper {
        use std::io::Read;
        let command = format!("{script} echo ready; exec sleep 60");
        let mut child = Command::new("bash")
            .args(["-c", &command])
            .current_dir(dir)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = [0; 6];
        child.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
        Sleeper(child)
    }

    #[test]
    fn open_files_and_working_directories_are_found_with_their_process() {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        fs::write(dir.path().join("data"), "x").unwrap();
        let (works, opens) = (sleeper("", dir.path()), sleeper("exec 9<data; cd /;", dir.path()));
        let found = of(&device_of(dir.path())).unwrap();
        let how =
            |child: &Sleeper| found.iter().find(|process| process.pid == child.0.id()).unwrap().how.clone();
        assert_eq!(how(&works), format!("works in {}", dir.path().display()));
        assert_eq!(how(&opens), format!("has {} open", dir.path().join("data").display()));
        assert!(found.iter().all(|process| process.pid != std::process::id() && !process.name.is_empty()));
    }

    #[test]
    fn a_device_that_nobody_uses_has_no_users() {
        let nobody = BlockDevice { number: "4095:1048575".to_owned(), ..BlockDevice::default() };
        assert_eq!(of(&nobody).unwrap(), []);
    }
}
