// SPDX-License-Identifier: MPL-2.0
//! The state of the model: machines, disks, what is on them, what the kernel runs.

use crate::host::{BlockDevice, Process};
use std::collections::{BTreeMap, BTreeSet};

/// Both hosts, and what was lost.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// By name.
    pub machines: BTreeMap<String, Machine>,
    /// Every overwriting of something that somebody may have wanted.
    pub losses: Vec<String>,
    /// Every command that is not just a question.
    pub journal: Vec<String>,
    /// What the replicated device of a resource shows; nothing while its replicas never were valid.
    pub contents: BTreeMap<String, Content>,
    /// A comparison runs for so many more looks.
    pub comparing: u32,
    /// What a comparison finds, in KiB; shown once it was made.
    pub rotten_kib: u64,
    /// A comparison was made.
    pub compared: bool,
    /// Resources whose two sides wrote without each other.
    pub split: BTreeSet<String>,
    /// For how many looks two sides of a split brain that connect are seen to shake hands before both give up.
    pub handshake_looks: u32,
    /// They still do, for so many.
    pub(super) shaking_hands: u32,
    /// Hosts whose data were given up, in order.
    pub discarded: Vec<String>,
    pub(super) counter: u64,
}

/// What a replicated device shows, on every host the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Zeroes.
    Blank,
    /// Somebody's bytes without a signature.
    Data,
    /// A file system that was being made when the host died.
    HalfMade,
    /// A file system of this kind and size in KiB, with what was written into it.
    Filesystem {
        /// `ext4`
        kind: String,
        /// Its size.
        kib: u64,
        /// Files: whoever makes it anew loses them.
        files: u32,
    },
}

/// One host.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    /// The kernel module is loaded.
    pub module: bool,
    /// Files by path.
    pub files: BTreeMap<String, String>,
    /// Logical volumes by `group/name`; pools are in [`Machine::pools`].
    pub lvs: BTreeMap<String, Lv>,
    /// Thin pools by `group/name`; each group has one disk and 1 GiB.
    pub pools: BTreeMap<String, bool>,
    /// What LVM prints of these volumes and pools instead of what is usual: attributes, data percent.
    pub lvm_says: BTreeMap<String, (&'static str, &'static str)>,
    /// The group's disk is not there.
    pub lost_pv: bool,
    /// Whole disks by path.
    pub disks: BTreeMap<String, Disk>,
    /// Other names of devices, by that name.
    pub names: BTreeMap<String, String>,
    /// What the kernel runs, by resource.
    pub running: BTreeMap<String, Running>,
    /// What is mounted: path, device, kind; the last on top.
    pub mounts: Vec<(String, String, String)>,
    /// Directories that could be mounted on.
    pub directories: BTreeSet<String>,
    /// Processes that use a device, by its number.
    pub processes: BTreeMap<String, Vec<Process>>,
    /// It cannot reach the other host.
    pub cut_off: bool,
    /// So many more times a disk is found busy by who wants to erase something on it.
    pub busy: u32,
}

/// A logical volume.
#[derive(Clone, Debug)]
pub struct Lv {
    /// LVM's UUID without dashes.
    pub uuid: String,
    /// Its thin pool.
    pub pool: Option<String>,
    /// Its tag.
    pub tag: Option<String>,
    /// The device.
    pub disk: Disk,
}

/// A device and what is on it.
#[derive(Clone, Debug)]
pub struct Disk {
    /// Size in KiB.
    pub size_kib: u64,
    /// Data outside DRBD's metadata.
    pub data: Data,
    /// DRBD's metadata.
    pub metadata: Option<Metadata>,
}

/// What lies on a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// Zeroes.
    Zeroes,
    /// What a removed volume left in free extents: belongs to nobody.
    Leftover,
    /// Somebody's data, with a signature.
    Foreign(&'static str),
    /// Somebody's data, without a signature.
    Unknown,
    /// Written through DRBD.
    Replicated,
}

/// DRBD's metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Device UUID.
    pub uuid: u64,
    /// Current generation; 4 while never used.
    pub generation: u64,
}

/// A resource in the kernel.
#[derive(Clone, Debug)]
pub struct Running {
    /// The configuration that it was adjusted to.
    pub text: String,
    /// Minor.
    pub minor: u32,
    /// The attached backing device.
    pub disk: Option<String>,
    /// Primary.
    pub primary: bool,
    /// UpToDate, else Inconsistent.
    pub up_to_date: bool,
    /// Usable size in KiB.
    pub size_kib: u64,
    /// StandAlone.
    pub alone: bool,
    /// It was told to give up its data in the next handshake.
    pub discards: bool,
}

impl World {
    /// The machine of this name; made when there is none.
    pub fn machine(&mut self, name: &str) -> &mut Machine {
        self.machines.entry(name.to_owned()).or_default()
    }

    pub(super) fn fresh_number(&mut self) -> u64 {
        self.counter += 1;
        0x1000 + self.counter
    }

    pub(super) fn lose(&mut self, what: String) {
        self.losses.push(what);
    }

    /// The other machine, if it runs the resource with a disk attached.
    pub(super) fn peer_running(&self, name: &str, resource: &str) -> Option<(&String, &Running)> {
        if self.split.contains(resource) || self.machines.values().any(|machine| machine.cut_off) {
            return None;
        }
        let others = self.machines.iter().filter(|(other, _)| *other != name);
        others.filter_map(|(other, machine)| Some((other, machine.running.get(resource)?))).next()
    }

    /// Two sides of a split brain meet: one that gives up its data becomes a copy of the other, else both give up on the
    /// connection.
    pub(super) fn handshake(&mut self, resource: &str) {
        let sides: Vec<(String, Running)> = self
            .machines
            .iter()
            .filter_map(|(name, machine)| Some((name.clone(), machine.running.get(resource)?.clone())))
            .collect();
        if !self.split.contains(resource) || sides.len() < 2 || sides.iter().any(|(_, side)| side.alone) {
            return;
        }
        let victims: Vec<&(String, Running)> = sides.iter().filter(|(_, side)| side.discards).collect();
        let [(victim, side)] = victims.as_slice() else {
            self.shaking_hands = self.handshake_looks;
            self.give_up(resource);
            return;
        };
        self.discarded.push(victim.clone());
        self.split.remove(resource);
        if side.primary {
            self.lose(format!("{victim}: data in use were given up"));
        }
        if let Some(side) = self.machine(victim).running.get_mut(resource) {
            side.up_to_date = false;
            side.discards = false;
        }
        self.settle(resource);
    }

    /// Both sides give up on a connection, once their handshake has come to its end.
    pub(super) fn give_up(&mut self, resource: &str) {
        if self.shaking_hands == 0 {
            let running = self.machines.values_mut().filter_map(|machine| machine.running.get_mut(resource));
            running.for_each(|side| side.alone = true);
        }
    }

    /// Connected peers bring each other up to date at once.
    pub(super) fn settle(&mut self, resource: &str) {
        if self.split.contains(resource) || self.machines.values().any(|machine| machine.cut_off) {
            return;
        }
        let mut running: Vec<(&String, &mut Machine)> =
            self.machines.iter_mut().filter(|(_, machine)| machine.running.contains_key(resource)).collect();
        let source = running.iter().find_map(|(_, machine)| {
            let running = machine.running.get(resource).filter(|running| running.up_to_date)?;
            machine.disk_ref(running.disk.as_deref()?)?.metadata.map(|metadata| metadata.generation)
        });
        let (Some(generation), true) = (source, running.len() == 2) else { return };
        for (_, machine) in &mut running {
            let Some(found) = machine.running.get_mut(resource) else { continue };
            let Some(path) = found.disk.clone() else { continue };
            found.up_to_date = true;
            if let Some(disk) = machine.disk(&path) {
                if let Some(metadata) = &mut disk.metadata {
                    metadata.generation = generation;
                }
                disk.data = Data::Replicated;
            }
        }
    }
}

impl Machine {
    /// The device at a path.
    pub fn disk(&mut self, path: &str) -> Option<&mut Disk> {
        match path.strip_prefix("/dev/").and_then(|rest| self.lvs.get_mut(rest)) {
            Some(lv) => Some(&mut lv.disk),
            None => self.disks.get_mut(path),
        }
    }

    /// The device at a path, to look at.
    pub fn disk_ref(&self, path: &str) -> Option<&Disk> {
        match path.strip_prefix("/dev/").and_then(|rest| self.lvs.get(rest)) {
            Some(lv) => Some(&lv.disk),
            None => self.disks.get(path),
        }
    }

    pub(super) fn read(&self, path: &str) -> Option<String> {
        match path {
            "/sys/module/drbd/version" => self.module.then(|| "8.4.11\n".to_owned()),
            "/etc/drbd.conf" => {
                Some("include \"drbd.d/global_common.conf\";\ninclude \"drbd.d/*.res\";\n".to_owned())
            }
            "/proc/self/mountinfo" => Some(self.mountinfo()),
            "/proc/swaps" => Some("Filename\tType\tSize\tUsed\tPriority\n".to_owned()),
            _ => self.pool_name(path).or_else(|| self.files.get(path).cloned()),
        }
    }

    /// The device-mapper name of what a thin volume stands on ([`slave`]).
    fn pool_name(&self, path: &str) -> Option<String> {
        let name = path.strip_prefix("/sys/class/block/sim-pool-")?.strip_suffix("/dm/name")?;
        self.pools
            .contains_key(name)
            .then(|| format!("{}-tpool\n", name.replace('-', "--").replace('/', "-")))
    }

    fn mountinfo(&self) -> String {
        let mut text = "22 1 254:0 / / rw - ext4 /dev/root rw\n".to_owned();
        for (path, device, kind) in &self.mounts {
            let minor = device.trim_start_matches("/dev/drbd");
            text.push_str(&format!("30 22 147:{minor} / {path} rw - {kind} {device} rw\n"));
        }
        text
    }

    pub(super) fn list(&self, dir: &str) -> Vec<String> {
        let prefix = format!("{dir}/");
        let names = self.files.keys().filter_map(|path| path.strip_prefix(&prefix));
        names.filter(|name| !name.contains('/')).map(str::to_owned).collect()
    }

    /// LVM shows the volume as inactive: it has no device.
    fn is_inactive(&self, path: &str) -> bool {
        let says = path.strip_prefix("/dev/").and_then(|name| self.lvm_says.get(name));
        says.is_some_and(|(attr, _)| attr.chars().nth(4) == Some('-'))
    }

    pub(super) fn block_device(&self, path: &str) -> Option<BlockDevice> {
        if self.is_inactive(path) {
            return None;
        }
        if let Some(minor) = path.strip_prefix("/dev/drbd").and_then(|text| text.parse::<u32>().ok()) {
            let running = self.running.values().find(|running| running.minor == minor)?;
            let size_bytes = running.size_kib * 1024;
            let (kernel_name, number) = (format!("drbd{minor}"), format!("147:{minor}"));
            return Some(BlockDevice { kernel_name, number, size_bytes, ..BlockDevice::default() });
        }
        let path = self.names.get(path).map_or(path, String::as_str);
        let disk = self.disk_ref(path)?;
        let lv = path.strip_prefix("/dev/").and_then(|rest| self.lvs.get(rest));
        let number = self.lvs.keys().map(|name| format!("/dev/{name}")).chain(self.disks.keys().cloned());
        let index = number.into_iter().position(|name| name == path).unwrap_or(0);
        let attached = self.running.values().filter(|running| running.disk.as_deref() == Some(path));
        Some(BlockDevice {
            kernel_name: format!("sim-{index}"),
            number: format!("250:{index}"),
            size_bytes: disk.size_kib * 1024,
            dm_uuid: lv.map(|lv| format!("LVM-{}{}", "g".repeat(32), lv.uuid)),
            serial: lv.is_none().then(|| format!("S-{}", path.trim_start_matches("/dev/"))),
            dm_name: lv.and(path.strip_prefix("/dev/")).map(|name| name.replace('-', "--").replace('/', "-")),
            slaves: lv.into_iter().map(|lv| slave(path, lv)).collect(),
            holders: attached.map(|running| format!("drbd{}", running.minor)).collect(),
            ..BlockDevice::default()
        })
    }
}

/// What a volume stands on, by its kernel name: the pool, or a disk.
fn slave(path: &str, lv: &Lv) -> String {
    let group = path.trim_start_matches("/dev/").split('/').next().unwrap_or_default();
    lv.pool.as_ref().map_or_else(|| format!("sim-disk-{group}"), |pool| format!("sim-pool-{group}/{pool}"))
}
