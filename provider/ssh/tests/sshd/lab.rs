// SPDX-License-Identifier: MPL-2.0
//! A real sshd, and what tests need around it.

use std::cell::RefCell;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use drbd_ssh::{Auth, Exec, ExecOutput, Pool, Secret, Session, SshError, Target, Trust};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// A folder with keys, and the sshd that uses them.
pub(crate) struct Sshd {
    pub(crate) dir: TempDir,
    pub(crate) port: u16,
    child: Child,
    /// Processes that have lost their parent, to be ended with the test.
    orphans: RefCell<Vec<u32>>,
}

/// How to start it.
#[derive(Default)]
pub(crate) struct Setup {
    /// Lines for sshd_config, before the usual ones, so that they win.
    pub(crate) config: String,
    /// Host key types; ed25519 when empty.
    pub(crate) host_keys: Vec<&'static str>,
    /// The folder, when a test has prepared one.
    pub(crate) dir: Option<TempDir>,
}

impl Sshd {
    pub(crate) fn start() -> Self {
        Self::with(Setup::default())
    }

    pub(crate) fn configured(config: &str) -> Self {
        Self::with(Setup { config: config.to_owned(), ..Setup::default() })
    }

    /// Starts a server that lets the key in `user` in.
    pub(crate) fn with(setup: Setup) -> Self {
        let dir = setup.dir.unwrap_or_else(folder);
        let types = if setup.host_keys.is_empty() { vec!["ed25519"] } else { setup.host_keys };
        for kind in &types {
            keygen(dir.path(), &format!("host_{kind}"), kind, "");
        }
        if !dir.path().join("user").exists() {
            keygen(dir.path(), "user", "ed25519", "");
        }
        authorize(dir.path(), "user");
        if rustix::process::geteuid().is_root() {
            fs::create_dir_all("/run/sshd").unwrap();
        }
        // Somebody else may take the port between the look and the start.
        for _ in 0..10 {
            let port = free_port();
            if let Some(child) = launch(dir.path(), port, &setup.config, &types) {
                return Self { dir, port, child, orphans: RefCell::default() };
            }
        }
        panic!("sshd does not start: {}", fs::read_to_string(dir.path().join("log")).unwrap_or_default());
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap().trim().to_owned()
    }

    /// What sshd has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap()
    }

    /// A known_hosts file with these lines; `HOST` stands for the name to look up, `KEY` for the ed25519 host key.
    pub(crate) fn known_hosts(&self, lines: &str) -> Trust {
        let host = format!("[127.0.0.1]:{}", self.port);
        let key = self.path("host_ed25519.pub");
        let key = fs::read_to_string(key).unwrap_or_default();
        let text = lines.replace("HOST", &host).replace("KEY", key.trim());
        let file = self.path("known_hosts");
        fs::write(&file, text).unwrap();
        Trust::KnownHosts { files: vec![file] }
    }

    /// A target that works: right key, right host key.
    pub(crate) fn target(&self) -> Target {
        Target {
            port: self.port,
            auth: vec![Auth::KeyFile { path: self.path("user"), passphrase: None }],
            trust: Trust::Pinned(vec![self.read_any_host_key().parse().unwrap()]),
            connect_timeout: Duration::from_secs(10),
            ..Target::new("127.0.0.1", me())
        }
    }

    fn read_any_host_key(&self) -> String {
        ["ed25519", "rsa", "ecdsa"]
            .iter()
            .find_map(|kind| fs::read_to_string(self.path(&format!("host_{kind}.pub"))).ok())
            .unwrap()
    }

    /// A connected session.
    pub(crate) async fn session(&self) -> (Pool, std::sync::Arc<Session>) {
        let pool = Pool::new();
        let session =
            pool.connect(&self.target()).await.unwrap_or_else(|error| panic!("{error}\n{}", self.log()));
        (pool, session)
    }

    /// Kills the server's processes that serve connections, and leaves the server and the commands, which then have lost
    /// their other side.
    pub(crate) fn cut_connections(&self) {
        let (servers, commands): (Vec<u32>, Vec<u32>) =
            self.descendants().into_iter().partition(|&pid| is_sshd(pid));
        self.orphans.borrow_mut().extend(commands);
        servers.into_iter().for_each(kill);
    }

    /// Kills the server itself, and leaves what it has started.
    pub(crate) fn kill_listener(&mut self) {
        self.orphans.borrow_mut().extend(self.descendants());
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Processes that the server runs for users.
    pub(crate) fn commands(&self) -> Vec<u32> {
        self.descendants().into_iter().filter(|&pid| !is_sshd(pid)).collect()
    }

    /// Processes below the server.
    pub(crate) fn descendants(&self) -> Vec<u32> {
        descendants(self.child.id())
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let below = descendants(self.child.id());
        let _ = self.child.kill();
        let _ = self.child.wait();
        below.into_iter().chain(self.orphans.take()).for_each(kill);
    }
}

/// A folder whose owner alone can look in.
pub(crate) fn folder() -> TempDir {
    tempfile::Builder::new()
        .prefix("drbd-ssh-")
        .permissions(fs::Permissions::from_mode(0o700))
        .tempdir()
        .unwrap()
}

/// Makes a key pair.
pub(crate) fn keygen(dir: &Path, name: &str, kind: &str, passphrase: &str) {
    let bits = if kind == "rsa" { "2048" } else { "256" };
    // One round: a passphrase is checked by unoptimised code here.
    let file = path(dir, name);
    run("ssh-keygen", &["-q", "-t", kind, "-b", bits, "-a", "1", "-N", passphrase, "-C", name, "-f", &file]);
}

/// Lets the key `name`, and only it, log in.
pub(crate) fn authorize(dir: &Path, name: &str) {
    fs::copy(dir.join(format!("{name}.pub")), dir.join("authorized_keys")).unwrap();
}

/// A path as text.
pub(crate) fn path(dir: &Path, name: &str) -> String {
    dir.join(name).to_str().unwrap().to_owned()
}

/// Runs a tool of the test's own, which must succeed.
pub(crate) fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The user that runs the test.
pub(crate) fn me() -> String {
    run("id", &["-un"]).trim().to_owned()
}

/// A file that can be run.
pub(crate) fn script(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// A running sshd, or nothing when it ended at once.
fn launch(dir: &Path, port: u16, config: &str, types: &[&str]) -> Option<Child> {
    let dir_text = dir.to_str().unwrap();
    let keys: String = types.iter().map(|kind| format!("HostKey {dir_text}/host_{kind}\n")).collect();
    // SHLVL keeps bash from reading the start-up files of whoever runs the tests, which may be slow.
    let text = format!(
        "{config}\n{keys}ListenAddress 127.0.0.1:{port}\nAuthorizedKeysFile {dir_text}/authorized_keys\nPidFile none\n\
         StrictModes no\nUsePAM no\nPermitRootLogin yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
         PrintMotd no\nLogLevel VERBOSE\nSetEnv SHLVL=5\n"
    );
    fs::write(dir.join("config"), text).unwrap();
    let log = fs::File::create(dir.join("log")).unwrap();
    let mut child = Command::new("/usr/sbin/sshd")
        .args(["-D", "-e", "-f", &path(dir, "config")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("the package openssh-server is installed");
    let limit = Instant::now() + Duration::from_secs(10);
    while Instant::now() < limit {
        if child.try_wait().unwrap().is_some() {
            return None;
        }
        // Its own word: on a port that was taken meanwhile, somebody else would answer a connection.
        if fs::read_to_string(dir.join("log"))
            .unwrap_or_default()
            .contains(&format!("listening on 127.0.0.1 port {port}."))
        {
            return Some(child);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}

/// All processes below this one.
fn descendants(pid: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let children: Vec<u32> = children.split_whitespace().map(|pid| pid.parse().unwrap()).collect();
    children.iter().flat_map(|&child| [vec![child], descendants(child)].concat()).collect()
}

/// Kills one process.
pub(crate) fn kill(pid: u32) {
    if let Some(pid) = Pid::from_raw(i32::try_from(pid).unwrap()) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// An agent of the test's own.
pub(crate) struct Agent {
    pub(crate) socket: PathBuf,
    child: Child,
    _dir: TempDir,
}

impl Agent {
    /// Starts an agent that holds these keys.
    pub(crate) fn with(keys: &[PathBuf]) -> Self {
        let dir = folder();
        let socket = dir.path().join("agent");
        let child = Command::new("ssh-agent")
            .args(["-D", "-a", socket.to_str().unwrap()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let agent = Self { socket, child, _dir: dir };
        let limit = Instant::now() + Duration::from_secs(10);
        while !agent.socket.exists() {
            assert!(Instant::now() < limit, "the agent does not start");
            std::thread::sleep(Duration::from_millis(10));
        }
        for key in keys {
            let added = Command::new("ssh-add")
                .args(["-q", key.to_str().unwrap()])
                .env("SSH_AUTH_SOCK", &agent.socket)
                .stdin(Stdio::null())
                .status();
            assert!(added.unwrap().success());
        }
        agent
    }

    pub(crate) fn auth(&self) -> Auth {
        Auth::Agent { socket: Some(self.socket.clone()) }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until something is so, for at most 30 seconds, while other tasks go on.
pub(crate) async fn wait_for(mut is_so: impl FnMut() -> bool) {
    let limit = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < limit, "it did not come to that");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The error of a connect that must fail.
pub(crate) async fn refused(target: &Target) -> SshError {
    match Pool::new().connect(target).await {
        Ok(_) => panic!("the connection was accepted"),
        Err(error) => {
            check_message(&error);
            error
        }
    }
}

/// What every message must be: one line, no internals, no secrets, a next step.
pub(crate) fn check_message(error: &SshError) {
    let text = error.to_string();
    assert!(!text.contains('\n') && !text.contains("PRIVATE KEY") && !text.contains("BEGIN"), "{text}");
    assert!(text.contains("; ") || text.contains("whether"), "no next step: {text}");
}

/// A shell command, for tests that need one.
pub(crate) async fn sh(session: &Session, text: &str) -> Result<ExecOutput, SshError> {
    session.exec(Exec::new(&["sh", "-c", text]).within(Duration::from_secs(20))).await
}

/// Standard output as text.
pub(crate) fn text(output: &ExecOutput) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// A passphrase or key text.
pub(crate) fn secret(text: &str) -> Secret {
    Secret::new(text)
}

/// Stops a process without ending it.
pub(crate) fn stop(pid: u32) {
    if let Some(pid) = Pid::from_raw(i32::try_from(pid).unwrap()) {
        kill_process(pid, Signal::STOP).unwrap();
    }
}

/// Whether a process serves a connection; so does one that is gone by now. Between fork and exec a command still has
/// that name; that is a matter of microseconds, and callers wait for a command before they ask.
fn is_sshd(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).map_or(true, |name| name.starts_with("sshd"))
}

/// SHA-256 in hex, by the tool that hosts use.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    let dir = folder();
    fs::write(dir.path().join("file"), bytes).unwrap();
    run("sha256sum", &[&path(dir.path(), "file")]).split(' ').next().unwrap().to_owned()
}
