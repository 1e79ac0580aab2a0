// SPDX-License-Identifier: MPL-2.0
//! The state of the model: machines, disks, what is on them, what the kernel runs.

use crate::host::BlockDevice;
use std::collections::BTreeMap;

/// Both hosts, and what was lost.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// By name.
    pub machines: BTreeMap<String, Machine>,
    /// Every overwriting of something that somebody may have wanted.
    pub losses: Vec<String>,
    /// Every command that is not just a question.
    pub journal: Vec<String>,
    pub(super) counter: u64,
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
    /// Whole disks by path.
    pub disks: BTreeMap<String, Disk>,
    /// What the kernel runs, by resource.
    pub running: BTreeMap<String, Running>,
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
        let others = self.machines.iter().filter(|(other, _)| *other != name);
        others.filter_map(|(other, machine)| Some((other, machine.running.get(resource)?))).next()
    }

    /// Connected peers bring each other up to date at once.
    pub(super) fn settle(&mut self, resource: &str) {
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
            "/proc/self/mountinfo" => Some("22 1 254:0 / / rw - ext4 /dev/root rw\n".to_owned()),
            "/proc/swaps" => Some("Filename\tType\tSize\tUsed\tPriority\n".to_owned()),
            _ => self.files.get(path).cloned(),
        }
    }

    pub(super) fn list(&self, dir: &str) -> Vec<String> {
        let prefix = format!("{dir}/");
        let names = self.files.keys().filter_map(|path| path.strip_prefix(&prefix));
        names.filter(|name| !name.contains('/')).map(str::to_owned).collect()
    }

    pub(super) fn block_device(&self, path: &str) -> Option<BlockDevice> {
        let disk = self.disk_ref(path)?;
        let lv = path.strip_prefix("/dev/").and_then(|rest| self.lvs.get(rest));
        let number = self.lvs.keys().map(|name| format!("/dev/{name}")).chain(self.disks.keys().cloned());
        let index = number.into_iter().position(|name| name == path).unwrap_or(0);
        Some(BlockDevice {
            kernel_name: format!("sim-{index}"),
            number: format!("250:{index}"),
            size_bytes: disk.size_kib * 1024,
            dm_uuid: lv.map(|lv| format!("LVM-{}{}", "g".repeat(32), lv.uuid)),
            serial: lv.is_none().then(|| format!("S-{}", path.trim_start_matches("/dev/"))),
            ..BlockDevice::default()
        })
    }
}
