// SPDX-License-Identifier: MPL-2.0
//! The device nodes `/dev/drbdN`. While a volume is Primary, its node is a network block device of the kernel whose other
//! end is this daemon, so every application write is seen and replicated. While it is Secondary, the node has DRBD's
//! own number, behind which there is no driver: opening fails, as it does on DRBD while a peer is Primary (there with
//! "Wrong medium type", here with "No such device or address").
//!
//! Not simulated: auto-promote. A Secondary device does not become Primary by being opened.

use crate::daemon::Shared;
use crate::io;
use crate::kernel::Kernel;
use crate::model::Role;
use anyhow::{Context as _, Result, bail};
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::Duration;

const DRBD_MAJOR: u32 = 147;
const NBD_MAJOR: u32 = 43;
/// Devices that the module makes unless told otherwise.
const DEVICES: u32 = 16;

/// One device in use.
#[derive(Debug)]
pub(crate) struct Device {
    index: u32,
    control: File,
    kib: u64,
}

/// Devices in use, by minor. Empty and unused where there are no device nodes (tests without root).
#[derive(Debug, Default)]
pub(crate) struct Devices {
    enabled: bool,
    by_minor: BTreeMap<u32, Device>,
}

impl Devices {
    /// None yet; none ever unless they are wanted.
    pub(crate) fn new(enabled: bool) -> Self {
        Self { enabled, by_minor: BTreeMap::new() }
    }
}

fn node(minor: u32) -> String {
    format!("/dev/drbd{minor}")
}

fn make_node(minor: u32, major: u32, number: u32) -> Result<()> {
    let path = node(minor);
    let _absent = fs::remove_file(&path);
    mknodat(CWD, &path, FileType::BlockDevice, Mode::from_bits_truncate(0o660), makedev(major, number))
        .with_context(|| format!("cannot make {path}"))
}

/// Makes the node of a new minor, and udev's link to it.
pub(crate) fn create(shared: &Shared, name: &str, number: u16, minor: u32) {
    if !shared.devices().enabled {
        return;
    }
    let link = format!("/dev/drbd/by-res/{name}/{number}");
    let made = make_node(minor, DRBD_MAJOR, minor).and_then(|()| {
        fs::create_dir_all(format!("/dev/drbd/by-res/{name}"))?;
        let _absent = fs::remove_file(&link);
        Ok(std::os::unix::fs::symlink(format!("../../../drbd{minor}"), &link)?)
    });
    if let Err(error) = made {
        eprintln!("drbd{minor}: {error:#}");
    }
}

/// Removes the node of a minor that is gone.
pub(crate) fn remove(shared: &Shared, name: &str, number: u16, minor: u32) {
    if !shared.devices().enabled {
        return;
    }
    stop(shared, minor);
    let _absent = fs::remove_file(node(minor));
    let _absent = fs::remove_file(format!("/dev/drbd/by-res/{name}/{number}"));
    let _not_empty = fs::remove_dir(format!("/dev/drbd/by-res/{name}"));
}

/// Devices follow the role and size of their volumes.
pub(crate) fn follow(shared: &Shared, kernel: &Kernel) {
    if !shared.devices().enabled {
        return;
    }
    for (name, resource) in &kernel.resources {
        for (number, volume) in &resource.volumes {
            let serves = resource.role == Role::Primary && volume.size_kib > 0;
            let result = match shared.devices().by_minor.get_mut(&volume.minor) {
                Some(device) if serves && device.kib != volume.size_kib => resize(device, volume.size_kib),
                Some(_) if !serves => Err(anyhow::anyhow!("Secondary")),
                Some(_) => Ok(()),
                None => Ok(()),
            };
            let running = shared.devices().by_minor.contains_key(&volume.minor);
            if result.is_err() && running {
                stop(shared, volume.minor);
            } else if serves
                && !running
                && let Err(error) = start(shared, name, *number, volume.minor, volume.size_kib)
            {
                eprintln!("drbd{}: {error:#}", volume.minor);
            }
        }
    }
}

mod ioctl {
    //! The calls of `linux/nbd.h`. The only unsafe code of the package.
    #![expect(unsafe_code, reason = "the kernel offers these by ioctl only")]

    use rustix::ioctl::{IntegerSetter, NoArg, Opcode, ioctl};
    use std::fs::File;
    use std::io;

    pub(super) const SET_SOCK: Opcode = 0xab00;
    pub(super) const SET_BLKSIZE: Opcode = 0xab01;
    pub(super) const DO_IT: Opcode = 0xab03;
    pub(super) const CLEAR_SOCK: Opcode = 0xab04;
    pub(super) const SET_SIZE_BLOCKS: Opcode = 0xab07;
    pub(super) const DISCONNECT: Opcode = 0xab08;
    pub(super) const SET_FLAGS: Opcode = 0xab0a;

    /// A call with a number, which `set` takes by value.
    pub(super) fn set<const OPCODE: Opcode>(device: &File, value: usize) -> io::Result<()> {
        // SAFETY: these opcodes take a plain number and touch no memory of this process.
        Ok(unsafe { ioctl(device, IntegerSetter::<OPCODE>::new_usize(value)) }?)
    }

    /// A call without an argument.
    pub(super) fn call<const OPCODE: Opcode>(device: &File) -> io::Result<()> {
        // SAFETY: these opcodes take no argument and touch no memory of this process.
        Ok(unsafe { ioctl(device, NoArg::<OPCODE>::new()) }?)
    }
}

fn start(shared: &Shared, name: &str, number: u16, minor: u32, kib: u64) -> Result<()> {
    let used: Vec<u32> = shared.devices().by_minor.values().map(|device| device.index).collect();
    let index = (0..DEVICES)
        .find(|index| !used.contains(index) && !Path::new(&format!("/sys/block/nbd{index}/pid")).exists());
    let index = index.context("all network block devices are in use")?;
    let control = File::options().read(true).write(true).open(format!("/dev/nbd{index}"))?;
    let (kernel_side, our_side) = UnixStream::pair()?;
    ioctl::set::<{ ioctl::SET_BLKSIZE }>(&control, 4096)?;
    ioctl::set::<{ ioctl::SET_SIZE_BLOCKS }>(&control, usize::try_from(kib / 4)?)?;
    ioctl::set::<{ ioctl::SET_SOCK }>(&control, usize::try_from(kernel_side.as_raw_fd())?)?;
    // It has flags, and understands flushes.
    ioctl::set::<{ ioctl::SET_FLAGS }>(&control, 0b101)?;
    let driver = control.try_clone()?;
    thread::spawn(move || {
        let _ended = ioctl::call::<{ ioctl::DO_IT }>(&driver);
        let _cleared = ioctl::call::<{ ioctl::CLEAR_SOCK }>(&driver);
        drop(kernel_side);
    });
    let (shared_here, name) = (shared.itself(), name.to_owned());
    thread::spawn(move || {
        let Some(shared) = shared_here.upgrade() else { return };
        if let Err(error) = serve(&shared, &name, number, our_side) {
            eprintln!("{name}/{number}: {error:#}");
        }
    });
    shared.devices().by_minor.insert(minor, Device { index, control, kib });
    // The size shows only once the driver's own thread has begun.
    let size = format!("/sys/block/nbd{index}/size");
    for _ in 0..200 {
        if fs::read_to_string(&size).is_ok_and(|size| size.trim() != "0") {
            break;
        }
        thread::sleep(Duration::from_millis(5));
    }
    make_node(minor, NBD_MAJOR, index)
}

fn resize(device: &mut Device, kib: u64) -> Result<()> {
    ioctl::set::<{ ioctl::SET_SIZE_BLOCKS }>(&device.control, usize::try_from(kib / 4)?)?;
    device.kib = kib;
    Ok(())
}

fn stop(shared: &Shared, minor: u32) {
    let Some(device) = shared.devices().by_minor.remove(&minor) else { return };
    let _ended = ioctl::call::<{ ioctl::DISCONNECT }>(&device.control);
    if let Err(error) = make_node(minor, DRBD_MAJOR, minor) {
        eprintln!("drbd{minor}: {error:#}");
    }
}

/// Writes what is cached to the disks; to be called without the kernel's lock, because that is who writes it.
pub(crate) fn flush(shared: &Shared, minor: u32) {
    let control = shared.devices().by_minor.get(&minor).map(|device| device.control.try_clone());
    if let Some(Ok(control)) = control {
        let _flushed = control.sync_all();
    }
}

/// Answers the kernel's requests for one device until it is stopped.
fn serve(shared: &Shared, name: &str, number: u16, mut socket: UnixStream) -> Result<()> {
    const REQUEST: u32 = 0x2560_9513;
    const REPLY: u32 = 0x6744_6698;
    const EIO: u32 = 5;
    let mut head = [0; 28];
    while socket.read_exact(&mut head).is_ok() {
        let word = |at: usize| -> u32 {
            head.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_be_bytes)
        };
        let offset = u64::from(word(16)) << 32 | u64::from(word(20));
        let len = word(24);
        if word(0) != REQUEST {
            bail!("not a request");
        }
        let (error, data) = match word(4) & 0xffff {
            0 => match io::read(shared, name, number, offset, u64::from(len)) {
                Ok(data) => (0, data),
                Err(_) => (EIO, Vec::new()),
            },
            1 => {
                let mut data = vec![0; len as usize];
                socket.read_exact(&mut data)?;
                let written = io::write(shared, name, number, offset, &data);
                (if written.is_ok() { 0 } else { EIO }, Vec::new())
            }
            2 => return Ok(()),
            // Every write was on the disks before it was answered.
            3 => (0, Vec::new()),
            other => bail!("request {other}"),
        };
        let mut reply = Vec::with_capacity(16 + data.len());
        reply.extend(REPLY.to_be_bytes());
        reply.extend(error.to_be_bytes());
        reply.extend(head.get(8..16).unwrap_or_default());
        reply.extend(data);
        socket.write_all(&reply)?;
    }
    Ok(())
}

/// Who holds a minor's device open, in the kernel's words; nobody while it is Secondary.
pub(crate) fn opener(shared: &Shared, minor: u32) -> Option<String> {
    let index = shared.devices().by_minor.get(&minor)?.index;
    let words = |who: &str, pid: &str| format!("drbd{minor} opened by {who} (pid {pid})");
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let number = format!("{NBD_MAJOR}:{index}");
    if mounts.lines().any(|line| line.split(' ').nth(2) == Some(&number)) {
        return Some(words("mount", "1"));
    }
    if fs::read_dir(format!("/sys/block/nbd{index}/holders"))
        .is_ok_and(|mut holders| holders.next().is_some())
    {
        return Some(words("dmsetup", "1"));
    }
    let device = makedev(NBD_MAJOR, index);
    let own = std::process::id().to_string();
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let pid = process.file_name().to_string_lossy().into_owned();
        if pid == own || !pid.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let files = fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten();
        let mut devices = files.filter_map(|file| fs::metadata(file.path()).ok());
        if devices.any(|file| file.rdev() == device) {
            let who = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(words(who.trim(), &pid));
        }
    }
    None
}
