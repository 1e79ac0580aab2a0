// SPDX-License-Identifier: MPL-2.0
//! A lab of real hosts, owned by one test: `tests/lab/` as a Rust value.
//!
//! Dropping the value stops every host and removes the namespace. So does any other end of the test process, SIGKILL
//! included: the lab is held by `tests/lab/keep`, which waits for the end of a pipe that this process holds open.
//! With `REPLIVOL_LAB_KEEP=1` in the environment the lab outlives the test, and the way in is printed.
//!
//! Not here: how hosts boot or how links are cut; that is the scripts in `tests/lab/`.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::process::{self, Output};

/// What a lab looks like.
#[derive(Debug, Clone)]
pub struct LabOptions {
    /// Number of hosts, h1 to hN; 1 to 32.
    pub hosts: usize,
    /// Blank data disks of each host (`/dev/ubdb`, `/dev/ubdc`, ...); at most 14.
    pub disks: usize,
    /// Size of each data disk, as `truncate` reads it (`512M`, `2G`). Disks are sparse files.
    pub disk_size: String,
}

impl Default for LabOptions {
    fn default() -> Self {
        Self { hosts: 2, disks: 2, disk_size: "512M".to_owned() }
    }
}

/// A running lab. Hosts are named by number: 1 is h1.
#[derive(Debug)]
pub struct Lab {
    dir: PathBuf,
    namespace: String,
    keeper: Child,
}

/// Labs of one process (`cargo test` runs tests as threads) must not meet.
static NEXT: AtomicUsize = AtomicUsize::new(1);

impl Lab {
    /// Start `hosts` hosts with two blank disks of 512 MiB each; returns when all of them answer ssh.
    ///
    /// # Errors
    /// When the lab does not come up; the message carries what its scripts said. Nothing is left running then.
    pub fn up(hosts: usize) -> Result<Self> {
        Self::start(&LabOptions { hosts, ..LabOptions::default() })
    }

    /// Start a lab made to measure.
    ///
    /// # Errors
    /// As [`Lab::up`].
    pub fn start(options: &LabOptions) -> Result<Self> {
        let name = format!("test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let dir = std::env::temp_dir().join("replivol-lab").join(&name);
        // Left by a killed process that had our process id: its disks are not blank.
        process::run(Command::new(script("down")).env("LAB_DIR", &dir))?.ok()?;
        fs::create_dir_all(&dir)?;
        let log = dir.join("keep.log");
        let mut keeper = Command::new(script("keep"))
            .arg(options.hosts.to_string())
            .env("LAB_DIR", &dir)
            .env("LAB_NS", format!("rv-{name}"))
            .env("LAB_DISKS", options.disks.to_string())
            .env("LAB_DISK_SIZE", &options.disk_size)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&log)?)
            // Test runners kill a test's process group; the keeper must live to clean up.
            .process_group(0)
            .spawn()
            .context("cannot start tests/lab/keep")?;
        // The keeper removes the directory when it fails, so the log is held open.
        let mut reader = fs::File::open(&log)?;
        let ready = wait_for_ready(&mut keeper)?;
        let lab = Self { dir, namespace: format!("rv-{name}"), keeper };
        if !ready {
            let mut said = String::new();
            std::io::Read::read_to_string(&mut reader, &mut said)?;
            bail!("the lab did not come up:\n{said}");
        }
        Ok(lab)
    }

    /// Gives every host the name that `uname -n` prints on many: h1.example.org. It keeps it over boots.
    ///
    /// # Errors
    /// When a host does not take it.
    pub fn name_hosts_fully(&self) -> Result<()> {
        for host in self.hosts()? {
            let name = format!("h{host}.example.org");
            fs::write(self.dir.join(format!("h{host}")).join("name"), &name)?;
            self.sh(host, &format!("hostname {name} && echo {name} >/etc/hostname"))?;
        }
        Ok(())
    }

    fn hosts(&self) -> Result<Vec<usize>> {
        let entries = fs::read_dir(&self.dir)?.collect::<Result<Vec<_>, _>>()?;
        let names = entries.iter().filter_map(|entry| entry.file_name().into_string().ok());
        Ok(names.filter_map(|name| name.strip_prefix('h')?.parse().ok()).collect())
    }

    /// Run a shell command on a host as root, standard input closed.
    ///
    /// # Errors
    /// Only when ssh cannot be started. A failing command, or an unreachable host (code 255), is an [`Output`].
    pub fn ssh(&self, host: usize, command: &str) -> Result<Output> {
        self.ssh_as("root", host, command)
    }

    /// Run a shell command on a host as `user`: `root`, `ops` (sudo without a password) or `nosudo` (sudo refused).
    ///
    /// # Errors
    /// As [`Lab::ssh`].
    pub fn ssh_as(&self, user: &str, host: usize, command: &str) -> Result<Output> {
        process::run(&mut self.ssh_command(user, host, command))
    }

    /// Run a shell command on a host as root with `input` as its standard input.
    ///
    /// # Errors
    /// As [`Lab::ssh`].
    pub fn ssh_with_input(&self, host: usize, command: &str, input: &[u8]) -> Result<Output> {
        process::run_with_input(&mut self.ssh_command("root", host, command), input)
    }

    /// Run a shell command on a host as root; its standard output.
    ///
    /// # Errors
    /// When it does not exit with 0.
    pub fn sh(&self, host: usize, command: &str) -> Result<String> {
        self.ssh(host, command)?.ok().with_context(|| format!("on h{host}"))
    }

    /// Run `command` on a host until it succeeds.
    ///
    /// # Errors
    /// When it has not succeeded after `deadline`; the message carries the last answer.
    pub fn eventually(&self, host: usize, deadline: Duration, command: &str) -> Result<String> {
        let end = Instant::now() + deadline;
        loop {
            let output = self.ssh(host, command)?;
            if output.success() || Instant::now() >= end {
                return output.ok().with_context(|| format!("on h{host}, for {} s", deadline.as_secs()));
            }
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// Write `content` to a file on a host, as root.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, host: usize, path: &str, content: &[u8]) -> Result<()> {
        self.ssh_with_input(host, &format!("cat >'{path}'"), content)?.ok().map(drop)
    }

    /// Power cut: the host's processes die at once, its disks keep what was written.
    ///
    /// # Errors
    /// When the host does not die.
    pub fn crash(&self, host: usize) -> Result<()> {
        self.ctl(["crash", &host.to_string()]).map(drop)
    }

    /// Boot a crashed host with the disks it had; returns when it answers ssh.
    ///
    /// # Errors
    /// When the host does not come up.
    pub fn boot(&self, host: usize) -> Result<()> {
        self.ctl(["boot", &host.to_string()]).map(drop)
    }

    /// Power cut, and blank disks and a fresh root file system at the next [`Lab::boot`].
    ///
    /// # Errors
    /// When the host does not die.
    pub fn wipe(&self, host: usize) -> Result<()> {
        self.ctl(["wipe", &host.to_string()]).map(drop)
    }

    /// Take a whole host off the network; ssh to it stops answering too.
    ///
    /// # Errors
    /// When the bridge refuses.
    pub fn cut(&self, host: usize) -> Result<()> {
        self.ctl(["cut", &host.to_string()]).map(drop)
    }

    /// Undo [`Lab::cut`].
    ///
    /// # Errors
    /// When the bridge refuses.
    pub fn heal(&self, host: usize) -> Result<()> {
        self.ctl(["heal", &host.to_string()]).map(drop)
    }

    /// Two hosts silently stop reaching each other; ssh to both stays. Lasts over boots.
    ///
    /// # Errors
    /// When a running host of the two cannot be reached.
    pub fn cut_pair(&self, one: usize, other: usize) -> Result<()> {
        self.ctl(["cut-pair", &one.to_string(), &other.to_string()]).map(drop)
    }

    /// Undo [`Lab::cut_pair`].
    ///
    /// # Errors
    /// When a running host of the two cannot be reached.
    pub fn heal_pair(&self, one: usize, other: usize) -> Result<()> {
        self.ctl(["heal-pair", &one.to_string(), &other.to_string()]).map(drop)
    }

    /// Give a host one more blank disk, hot when it is up; its device on the host.
    ///
    /// # Errors
    /// When the host has no room for another disk, or does not see it.
    pub fn add_disk(&self, host: usize, size: &str) -> Result<String> {
        first_word(&self.ctl(["add-disk", &host.to_string(), size])?)
    }

    /// Give a host one more blank disk that can grow while it is in use (a loop device); its device on the host.
    ///
    /// # Errors
    /// When the host does not see it.
    pub fn add_elastic_disk(&self, host: usize, size: &str) -> Result<String> {
        first_word(&self.ctl(["add-elastic-disk", &host.to_string(), size])?)
    }

    /// Grow a disk of a host to `size`. A `/dev/ubd*` disk must not be open (or the host must be down); an elastic one may.
    ///
    /// # Errors
    /// When the disk is in use, does not exist, or would shrink.
    pub fn grow_disk(&self, host: usize, device: &str, size: &str) -> Result<()> {
        self.ctl(["grow-disk", &host.to_string(), device, size]).map(drop)
    }

    /// Any command of `tests/lab/ctl` (`rm-module 1`, `restore-utils 2`, ...); its standard output.
    ///
    /// # Errors
    /// When it does not exit with 0.
    pub fn ctl<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(&self, arguments: I) -> Result<String> {
        process::run(Command::new(script("ctl")).args(arguments).env("LAB_DIR", &self.dir))?.ok()
    }

    /// Turn hosts 1 to `hosts` into hosts whose DRBD 9 kernel side is simulated (`tests/drbd9`), under the real drbdadm
    /// and drbdmeta. Their DRBD 8.4 module must not be in use. Lasts over boots, not over [`Lab::wipe`].
    ///
    /// # Errors
    /// When `make build` has not made the simulation, or a host does not take it.
    pub fn simulate_drbd9(&self, hosts: usize) -> Result<()> {
        let mut turn = Command::new(script("drbd9"));
        turn.arg(crate::made::dist("simulated/drbdsetup")?).args((1..=hosts).map(|host| host.to_string()));
        process::run(turn.env("LAB_DIR", &self.dir))?.ok().map(drop)
    }

    /// A local command, to be run inside the lab's network namespace, where the hosts' addresses are.
    /// Set its standard streams on the result: they are not carried over.
    #[must_use]
    pub fn enter(&self, command: &Command) -> Command {
        let mut inside = Command::new("ip");
        inside.args(["netns", "exec", &self.namespace]).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(name, value),
                None => inside.env_remove(name),
            };
        }
        if let Some(dir) = command.get_current_dir() {
            inside.current_dir(dir);
        }
        inside
    }

    /// A program of the pinned Ansible (`ansible-playbook`, `ansible`) that finds h1 to hN by these names.
    ///
    /// Its home, and so its multiplexed connections, are the lab's: Ansible names their sockets after host and user
    /// only, and would otherwise talk to the h1 of another lab.
    ///
    /// # Errors
    /// When `make setup` has not installed Ansible.
    pub fn ansible(&self, program: &str) -> Result<Command> {
        let mut ansible = Command::new(crate::made::ansible(program)?);
        ansible.env("ANSIBLE_HOME", self.dir.join("ansible")).env("ANSIBLE_NOCOLOR", "1");
        ansible.env("ANSIBLE_SSH_CONTROL_PATH_DIR", self.dir.join("cp"));
        ansible.env("ANSIBLE_SSH_COMMON_ARGS", format!("-F {}", self.ssh_config().display()));
        Ok(ansible)
    }

    /// The image file of a host's data disk, from 1 (`/dev/ubdb`), for looking at its bytes from outside.
    #[must_use]
    pub fn disk_image(&self, host: usize, disk: usize) -> PathBuf {
        self.host_dir(host).join(format!("disk{disk}.img"))
    }

    /// A host's address, seen only inside the namespace.
    #[must_use]
    pub fn address(&self, host: usize) -> String {
        format!("10.99.0.{}", 10 + host)
    }

    /// An OpenSSH configuration that knows h1 to hN, from any namespace.
    #[must_use]
    pub fn ssh_config(&self) -> PathBuf {
        self.dir.join("ssh_config")
    }

    /// The private key (ed25519, no passphrase) that all users of all hosts accept.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.dir.join("id")
    }

    /// Every host's key, under its name and its address.
    #[must_use]
    pub fn known_hosts(&self) -> PathBuf {
        self.dir.join("known_hosts")
    }

    /// The network namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The lab's files; gone with the lab.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What a host's kernel and its first process wrote.
    ///
    /// # Errors
    /// When there is no such host.
    pub fn console(&self, host: usize) -> Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(self.host_dir(host).join("console.log"))?).into_owned())
    }

    fn host_dir(&self, host: usize) -> PathBuf {
        self.dir.join(format!("h{host}"))
    }

    fn ssh_command(&self, user: &str, host: usize, command: &str) -> Command {
        let mut ssh = Command::new("ssh");
        ssh.arg("-F").arg(self.ssh_config()).args([
            "-o",
            "ConnectTimeout=10",
            "-o",
            "ServerAliveInterval=15",
        ]);
        ssh.args(["-l", user, &format!("h{host}"), command]);
        ssh
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let ended = self.keeper.wait();
        if kept() {
            let (dir, down) = (self.dir.display(), script("down"));
            eprintln!("lab kept: ssh -F {dir}/ssh_config h1; remove it: LAB_DIR={dir} {}", down.display());
            return;
        }
        if ended.is_err() || self.dir.exists() {
            // No assertion: this may run while a failed test unwinds.
            eprintln!("lab {} was not removed: {ended:?}", self.dir.display());
        }
    }
}

/// Whether labs outlive their tests.
fn kept() -> bool {
    std::env::var_os("REPLIVOL_LAB_KEEP").is_some_and(|value| value == "1")
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("lab").join(name)
}

fn first_word(text: &str) -> Result<String> {
    text.split_whitespace().next().map(str::to_owned).context("the lab named no device")
}

/// Read the keeper's output up to its line READY; `false` when it ends without one.
fn wait_for_ready(keeper: &mut Child) -> Result<bool> {
    let stdout = keeper.stdout.take().context("the keeper has no standard output")?;
    for line in BufReader::new(stdout).lines() {
        if line? == "READY" {
            return Ok(true);
        }
    }
    let status = keeper.wait()?;
    ensure!(!status.success(), "the keeper ended by itself");
    Ok(false)
}
