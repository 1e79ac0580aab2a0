// SPDX-License-Identifier: MPL-2.0
//! The one seam to the world: what the engine may ask a host to do.
//!
//! Here: [`Cmd`], [`Output`], and the [`Host`] trait. Deliberately not here: any implementation. The module
//! binary has the real one (child processes and files); tests have a replaying one. Nothing else in the
//! engine touches processes, files, the clock or the network.

use crate::meeting::{Meeting, Met, NoMeeting};
use std::fmt;
use std::time::Duration;

/// One command: a program from [`crate::tools`] and its argument vector. Never a shell string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cmd {
    /// Bare program name; the host looks it up in its fixed directories, never in the user's `PATH`.
    pub program: &'static str,
    /// Arguments, one element each. They hold no secret: secrets travel in files with mode 0600.
    pub args: Vec<String>,
    /// After this long the command is killed and the output says so.
    pub deadline: Duration,
    /// Environment set on top of the pinned one (`LC_ALL=C`, a fixed `PATH`).
    pub env: Vec<(&'static str, String)>,
}

impl Cmd {
    /// A command with the usual deadline of 30 seconds.
    pub fn new<I, S>(program: &'static str, args: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        Self {
            program,
            args: args.into_iter().map(Into::into).collect(),
            deadline: Duration::from_secs(30),
            env: Vec::new(),
        }
    }

    /// The same command with another deadline.
    #[must_use]
    pub fn within(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The same command with one more environment variable.
    #[must_use]
    pub fn env(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.env.push((name, value.into()));
        self
    }

    /// Program and arguments as one vector, for replies and logs.
    pub fn argv(&self) -> Vec<String> {
        std::iter::once(self.program.to_owned()).chain(self.args.iter().cloned()).collect()
    }
}

impl fmt::Display for Cmd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.program)?;
        for arg in &self.args {
            let plain =
                !arg.is_empty() && arg.chars().all(|c| c.is_ascii_alphanumeric() || "-_=/.:,@+%".contains(c));
            if plain {
                write!(f, " {arg}")?;
            } else {
                write!(f, " '{}'", arg.replace('\'', r"'\''"))?;
            }
        }
        Ok(())
    }
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It exited by itself with this code.
    Code(i32),
    /// A signal ended it.
    Signal(i32),
    /// It was killed because its deadline passed.
    TimedOut,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit {code}"),
            Self::Signal(signal) => write!(f, "killed by signal {signal}"),
            Self::TimedOut => f.write_str("killed at its deadline"),
        }
    }
}

/// What a command left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// How it ended.
    pub exit: Exit,
    /// Standard output, invalid UTF-8 replaced.
    pub stdout: String,
    /// Standard error, invalid UTF-8 replaced.
    pub stderr: String,
}

impl Output {
    /// An output as tests and samples build it.
    pub fn of(code: i32, stdout: impl Into<String>, stderr: impl Into<String>) -> Self {
        Self { exit: Exit::Code(code), stdout: stdout.into(), stderr: stderr.into() }
    }

    /// Exit code 0. For DRBD's tools that means "done, or nothing to do", never "the resource is healthy".
    pub fn ok(&self) -> bool {
        self.exit == Exit::Code(0)
    }

    /// The exit code, if it exited by itself.
    pub fn code(&self) -> Option<i32> {
        match self.exit {
            Exit::Code(code) => Some(code),
            Exit::Signal(_) | Exit::TimedOut => None,
        }
    }
}

/// A block device, as the kernel describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockDevice {
    /// The kernel's name for it: `dm-3`, `nvme1n1`. It may be another one after a reboot.
    pub kernel_name: String,
    /// Device number, `254:3`.
    pub number: String,
    /// Size in bytes.
    pub size_bytes: u64,
    /// It cannot be written.
    pub read_only: bool,
    /// Device-mapper UUID; `LVM-` and 64 characters for a logical volume.
    pub dm_uuid: Option<String>,
    /// Device-mapper name; `<group>-<volume>` for a logical volume.
    pub dm_name: Option<String>,
    /// Serial number.
    pub serial: Option<String>,
    /// World-wide name.
    pub wwn: Option<String>,
    /// Kernel names of what is stacked on it: logical volumes, RAID, LUKS.
    pub holders: Vec<String>,
    /// Kernel names of what it is stacked on: disks, or the device of a thin pool.
    pub slaves: Vec<String>,
    /// Kernel names of its partitions.
    pub partitions: Vec<String>,
}

/// DRBD's major device number (`LANANA`, `linux/drbd.h`).
pub(crate) const DRBD_MAJOR: u32 = 147;

impl BlockDevice {
    /// It is a device of DRBD, whatever it is called.
    pub fn is_drbd(&self) -> bool {
        self.number.split(':').next().is_some_and(|major| major == DRBD_MAJOR.to_string())
    }

    /// What stays the same about this device: `lv:<uuid>`, `wwn:<wwn>`, `serial:<serial>`; for a device that has none
    /// of them, its path and size.
    pub fn identity(&self, path: &str) -> String {
        if let Some(volume) = self.logical_volume() {
            return format!("lv:{}", volume.uuid);
        }
        match (&self.wwn, &self.serial) {
            (Some(wwn), _) => format!("wwn:{wwn}"),
            (None, Some(serial)) => format!("serial:{serial}"),
            (None, None) => format!("dev:{path}@{}", self.size_bytes),
        }
    }
}

/// How much of a device is read to find data on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// Both ends, and samples spread over the rest: whatever a file system, a database or LVM leaves shows there.
    Samples,
    /// All of it, where that is the proof that nothing is lost. Takes as long as reading takes.
    All,
}

/// A process that uses something.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    /// Its process id.
    pub pid: u32,
    /// Its name, as `ps -o comm` prints it.
    pub name: String,
    /// How it uses it: `has /srv/web/index open`, `works in /srv`; empty where that goes without saying.
    pub how: String,
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} ({})", self.pid, self.name)?;
        if self.how.is_empty() { Ok(()) } else { write!(f, " {}", self.how) }
    }
}

/// A logical volume, as its device-mapper UUID names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedVolume {
    /// UUID of its group, as `vgs -o vg_uuid` prints it.
    pub group_uuid: String,
    /// Its own UUID, as `lvs -o lv_uuid` prints it.
    pub uuid: String,
}

impl BlockDevice {
    /// The logical volume that this device is; `None` for anything else, LVM's internal devices included.
    pub fn logical_volume(&self) -> Option<NamedVolume> {
        // "LVM-", 32 characters of the group's UUID, 32 of the volume's; a suffix marks LVM's internal devices.
        let both = self.dm_uuid.as_deref()?.strip_prefix("LVM-")?;
        let both = Some(both).filter(|both| both.len() == 64 && both.is_ascii())?;
        Some(NamedVolume { group_uuid: with_dashes(both.get(..32)?)?, uuid: with_dashes(both.get(32..)?)? })
    }
}

/// 32 characters as LVM prints them.
fn with_dashes(uuid: &str) -> Option<String> {
    let ends = [6, 10, 14, 18, 22, 26, 32];
    let starts = std::iter::once(0).chain(ends);
    let parts: Option<Vec<&str>> = starts.zip(ends).map(|(start, end)| uuid.get(start..end)).collect();
    Some(parts?.join("-"))
}

/// Why a host could not do what was asked. A command that ran and failed is an [`Output`], not this.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// A program is not installed.
    #[error("{program} is not installed (looked in {looked_in})")]
    NoProgram {
        /// The program.
        program: &'static str,
        /// The directories.
        looked_in: String,
    },
    /// The operating system refused.
    #[error("cannot {what}: {reason}")]
    Os {
        /// What was tried: `write /etc/drbd.d/r0.res`.
        what: String,
        /// Its reason: `No space left on device`.
        reason: String,
    },
    /// Somebody asked this run to stop; it stopped before the next step.
    #[error("interrupted by {by}")]
    Interrupted {
        /// By what: `SIGTERM`.
        by: &'static str,
    },
}

/// What the engine may ask of a host. Reading methods change nothing, not even access times that matter.
pub trait Host {
    /// Runs a command to its end, standard input closed, in a pinned environment.
    fn run(&self, cmd: &Cmd) -> Result<Output, HostError>;
    /// Where a program is installed; `None` when it is not.
    fn program(&self, name: &'static str) -> Option<String>;
    /// What `uname -n` prints.
    fn node_name(&self) -> Result<String, HostError>;
    /// The content of a file; `None` when there is none.
    fn read(&self, path: &str) -> Result<Option<String>, HostError>;
    /// The names in a directory, sorted; none when there is no such directory.
    fn list(&self, dir: &str) -> Result<Vec<String>, HostError>;
    /// There is a directory at this path.
    fn is_directory(&self, path: &str) -> Result<bool, HostError>;
    /// Writes a file as a whole: to a temporary name in the same directory, synchronised, then renamed. Missing
    /// directories are made. After a cut the old or the new content is there, never a mixture.
    fn write(&self, path: &str, content: &str, mode: u32) -> Result<(), HostError>;
    /// Removes a file; one that is not there is no error.
    fn remove(&self, path: &str) -> Result<(), HostError>;
    /// The block device at a path, symbolic links followed; `None` when there is none.
    fn block_device(&self, path: &str) -> Result<Option<BlockDevice>, HostError>;
    /// Offset of the first byte that is not zero on a device, or before byte `end` of it; `None` when all that was read
    /// are zero.
    fn first_data(&self, path: &str, end: Option<u64>, read: Read) -> Result<Option<u64>, HostError>;
    /// Processes that hold a block device open, or use a file system on it.
    fn users_of(&self, device: &BlockDevice) -> Result<Vec<Process>, HostError>;
    /// Meets peers on replication ports. The sockets are closed again when this returns.
    fn meet(&self, meeting: &Meeting) -> Result<Vec<Met>, NoMeeting>;
    /// Fails when somebody asked this run to stop. Called between steps.
    fn checkpoint(&self) -> Result<(), HostError>;
    /// Milliseconds since some fixed moment.
    fn millis(&self) -> u64;
    /// Waits; shorter when somebody asks to stop.
    fn pause(&self, duration: Duration);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_lv_is_known_by_its_uuid() {
        let device = BlockDevice {
            dm_uuid: Some("LVM-saEDR6Qk0LV8ZoLhV227eO3e6sOomELVTCFO2pJADilm3ecTMf0RGHRRlsLeMWnV".into()),
            ..BlockDevice::default()
        };
        assert_eq!(device.identity("/dev/vg0/x"), "lv:TCFO2p-JADi-lm3e-cTMf-0RGH-RRls-LeMWnV");
        let internal = BlockDevice {
            dm_uuid: Some(format!("LVM-{}-tpool", "x".repeat(64))),
            size_bytes: 7,
            ..BlockDevice::default()
        };
        assert_eq!(internal.identity("/dev/x"), "dev:/dev/x@7");
    }

    #[test]
    fn commands_print_unambiguously() {
        let cmd = Cmd::new("drbdadm", ["adjust", "a b", "it's", ""]);
        assert_eq!(cmd.to_string(), r"drbdadm adjust 'a b' 'it'\''s' ''");
    }
}
