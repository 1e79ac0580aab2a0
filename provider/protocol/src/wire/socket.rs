// SPDX-License-Identifier: MPL-2.0
//! Where the process listens: a unix socket that only its user can open, else a TCP port on the loopback. Says
//! why when the first choice does not work, because the user would see nothing but a dead plugin.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::process::{Pid, test_kill_process};
use tokio::net::{TcpListener, UnixListener};

use super::handshake::Environment;

/// Longest path of a unix socket that every system takes: 104 bytes with the end mark on BSD and macOS, 108 on
/// Linux.
const PATH_MAX: usize = if cfg!(target_os = "linux") { 107 } else { 103 };
/// Begin of the name of the directories that hold our sockets; the process id follows.
const DIR_PREFIX: &str = "tfplugin-";

/// Where the process listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    Unix(PathBuf),
    Tcp(SocketAddr),
}

impl Address {
    /// Network and address as the handshake names them.
    pub(crate) fn parts(&self) -> (&'static str, String) {
        match self {
            Address::Unix(path) => ("unix", path.display().to_string()),
            Address::Tcp(address) => ("tcp", address.to_string()),
        }
    }
}

pub(crate) enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

/// A listening socket.
pub(crate) struct Listening {
    pub(crate) listener: Listener,
    pub(crate) place: Place,
}

/// Where a socket is. Its file is removed on drop.
pub(crate) struct Place {
    pub(crate) address: Address,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Address::Unix(path) = &self.address {
            let _ = fs::remove_file(path);
            let _ = path.parent().map(fs::remove_dir);
        }
    }
}

/// Listens. The reasons why a better place was not used are logged as warnings.
pub(crate) async fn bind(environment: &Environment) -> io::Result<Listening> {
    for dir in directories(environment) {
        match bind_unix(&dir) {
            Ok(listening) => return Ok(listening),
            Err(error) => {
                tracing::warn!("cannot listen in {}: {error}; trying the next place", dir.display());
            }
        }
    }
    let (min, max) = environment.ports;
    bind_tcp(min, max).await
}

/// The places to try, each once.
fn directories(environment: &Environment) -> Vec<PathBuf> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let usual = [std::env::temp_dir(), PathBuf::from("/tmp"), PathBuf::from("/var/tmp")];
    let mut found: Vec<PathBuf> = Vec::new();
    for dir in environment.socket_dir.clone().into_iter().chain(usual).chain(runtime) {
        if !found.contains(&dir) {
            found.push(dir);
        }
    }
    found
}

fn bind_unix(dir: &Path) -> io::Result<Listening> {
    let path = dir.join(format!("{DIR_PREFIX}{}-0", std::process::id())).join("s");
    if path.as_os_str().len() > PATH_MAX {
        let length = path.as_os_str().len();
        return Err(io::Error::other(format!(
            "the socket path would have {length} bytes, at most {PATH_MAX} work"
        )));
    }
    if path.to_str().is_none_or(|text| text.contains(['|', '\n'])) {
        return Err(io::Error::other("the directory name cannot be part of the handshake"));
    }
    let own_dir = make_dir(dir)?;
    let path = own_dir.join("s");
    let listener = UnixListener::bind(&path).inspect_err(|_| {
        let _ = fs::remove_dir(&own_dir);
    })?;
    let place = Place { address: Address::Unix(path.clone()) };
    fs::set_permissions(&path, Permissions::from_mode(0o600))?;
    Ok(Listening { listener: Listener::Unix(listener), place })
}

/// A new directory that only this user can enter. An existing one is never used: it could be another user's.
fn make_dir(parent: &Path) -> io::Result<PathBuf> {
    for attempt in 0..10 {
        let dir = parent.join(format!("{DIR_PREFIX}{}-{attempt}", std::process::id()));
        match DirBuilder::new().mode(0o700).create(&dir) {
            Ok(()) => return Ok(dir),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("ten directories of this process exist already"))
}

async fn bind_tcp(min: u16, max: u16) -> io::Result<Listening> {
    let mut last = io::Error::other(format!("there is no port from {min} to {max}"));
    for port in min..=max {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
            Ok(listener) => {
                let place = Place { address: Address::Tcp(listener.local_addr()?) };
                return Ok(Listening { listener: Listener::Tcp(listener), place });
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Removes what killed processes of this user left in the directory of `address`.
pub(crate) fn clean_abandoned(address: &Address) {
    let Address::Unix(path) = address else { return };
    let Some(dir) = path.parent().and_then(Path::parent) else { return };
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(process) = name.to_str().and_then(owner) else { continue };
        if test_kill_process(process) == Err(rustix::io::Errno::SRCH) {
            // Fails for directories of other users, whose processes may be hidden from us.
            let _ = fs::remove_file(entry.path().join("s"));
            let _ = fs::remove_dir(entry.path());
        }
    }
}

/// The process that a directory name belongs to.
fn owner(name: &str) -> Option<Pid> {
    let (process, _) = name.strip_prefix(DIR_PREFIX)?.split_once('-')?;
    Pid::from_raw(process.parse().ok().filter(|id| *id > 0)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(dir: Option<&Path>) -> Environment {
        Environment { socket_dir: dir.map(Path::to_owned), ..Environment::read(|_| None) }
    }

    #[tokio::test]
    async fn only_this_user_can_reach_the_socket() {
        let dir = tempfile::tempdir().unwrap();
        let listening = bind(&environment(Some(dir.path()))).await.unwrap();
        let Address::Unix(path) = listening.place.address.clone() else { panic!("not a unix socket") };
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        drop(listening);
        assert!(!path.exists() && !path.parent().unwrap().exists());
    }

    #[tokio::test]
    async fn a_long_directory_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let long = dir.path().join("x".repeat(120));
        fs::create_dir(&long).unwrap();
        let listening = bind(&environment(Some(&long))).await.unwrap();
        let Address::Unix(path) = &listening.place.address else { panic!("not a unix socket") };
        assert!(!path.starts_with(&long));
    }

    #[tokio::test]
    async fn tcp_takes_the_first_free_port_of_the_range() {
        let first = bind_tcp(20_000, 25_000).await.unwrap();
        let Address::Tcp(address) = first.place.address else { panic!("not TCP") };
        assert!(address.ip().is_loopback());
        let second = bind_tcp(address.port(), 25_000).await.unwrap();
        let Address::Tcp(next) = second.place.address else { panic!("not TCP") };
        assert!(next.port() > address.port());
        assert!(bind_tcp(2, 1).await.is_err());
    }

    #[test]
    fn abandoned_sockets_are_cleaned_and_live_ones_kept() {
        let dir = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let path = dir.path().join(name);
            fs::create_dir(&path).unwrap();
            fs::write(path.join("s"), "").unwrap();
            path
        };
        // Linux has no process ids beyond 2^22.
        let dead = make("tfplugin-2147483647-0");
        let live = make(&format!("tfplugin-{}-5", std::process::id()));
        let other = make("tfplugin-x");
        clean_abandoned(&Address::Unix(live.join("s")));
        assert!(!dead.exists() && live.exists() && other.exists());
    }
}
