// SPDX-License-Identifier: MPL-2.0
//! Looks at what stands on a resource's devices: mounts, processes, and what the data begin with.
//!
//! A Secondary's device cannot be opened, so there the backing device is read, up to where DRBD's metadata begin: what
//! lies before them is what the device will show.

use super::ObserveError;
use crate::host::{Host, Read};
use crate::observed::Observed;
use crate::plan::role::{Holds, Seen, Use, device_path};
use crate::tools::drbdsetup::{DeviceStatus, RoleName, RunningDisk};
use crate::tools::{blkid, filesystem, mount, proc};
use drbd_schemas::args::{FsType, MountArgs, RoleArgs, WantedRole};
use std::collections::BTreeMap;

/// Looks for `drbd_role`.
pub(crate) fn uses(host: &impl Host, args: &RoleArgs) -> Result<Seen, ObserveError> {
    let observed = super::by_name(host, args.name.as_str())?;
    let mounts = proc::parse_mountinfo(&host.read("/proc/self/mountinfo")?.unwrap_or_default())?;
    let only_peer = observed.conf.only_peer(&observed.node).map(str::to_owned);
    let mut seen = Seen { observed, volumes: BTreeMap::new(), mounts, missing_dirs: Vec::new(), only_peer };
    let devices: Vec<DeviceStatus> =
        seen.observed.status.iter().flat_map(|status| status.devices.iter().cloned()).collect();
    for device in devices {
        let wanted = args.mounts.iter().find(|mount| mount.volume.get() == device.volume);
        let wanted = wanted.filter(|_| args.role == WantedRole::Primary);
        let found = one(host, &seen, &device, args.role, wanted)?;
        seen.volumes.insert(device.volume, found);
    }
    if args.role == WantedRole::Primary {
        for mount in &args.mounts {
            if !host.is_directory(mount.path.as_str())? {
                seen.missing_dirs.push(mount.path.to_string());
            }
        }
    }
    Ok(seen)
}

fn one(
    host: &impl Host,
    seen: &Seen,
    device: &DeviceStatus,
    role: WantedRole,
    wanted: Option<&MountArgs>,
) -> Result<Use, ObserveError> {
    let path = device_path(device);
    let Some(block) = host.block_device(&path)? else { return without_device(host, seen, device, wanted) };
    let own = |mount: &&proc::Mount| {
        format!("{}:{}", mount.device.0, mount.device.1) == block.number || mount.source == path
    };
    let here: Vec<&proc::Mount> = seen.mounts.iter().filter(own).collect();
    let mut found = Use {
        mounted_on: here.iter().map(|mount| mount.mount_point.clone()).collect(),
        mounted_kind: here.first().map(|mount| mount.fs_type.clone()),
        ..Use::default()
    };
    if here.is_empty() {
        found.other = super::device_user(host, &block)?;
    }
    if role == WantedRole::Secondary {
        found.processes = host.users_of(&block)?;
    }
    if let Some(mount) = wanted.filter(|_| found.other.is_none()) {
        data(host, &seen.observed, device, mount, &mut found)?;
    }
    Ok(found)
}

/// No device of that number (yet), so that nobody can use it. What the data are can be seen all the same, as long as the host is
/// Secondary.
fn without_device(
    host: &impl Host,
    seen: &Seen,
    device: &DeviceStatus,
    wanted: Option<&MountArgs>,
) -> Result<Use, ObserveError> {
    let mut found = Use::default();
    let primary = seen.observed.status.as_ref().is_some_and(|status| status.role == RoleName::Primary);
    if let Some(mount) = wanted.filter(|_| !primary) {
        data(host, &seen.observed, device, mount, &mut found)?;
    }
    Ok(found)
}

/// What the data are, and how large the file system is, as far as the wanted mount asks for it.
fn data(
    host: &impl Host,
    observed: &Observed,
    device: &DeviceStatus,
    mount: &MountArgs,
    found: &mut Use,
) -> Result<(), ObserveError> {
    let Some(readable) = readable(host, observed, device)? else {
        found.holds = Some(Holds::Unseen);
        return Ok(());
    };
    if found.mounted_on.is_empty() {
        found.holds = Some(holds(host, &readable, device.size_kib.unwrap_or(u64::MAX).saturating_mul(1024))?);
    }
    let kind = match &found.holds {
        Some(Holds::Signature { kind, .. }) => kind.as_deref(),
        _ => found.mounted_kind.as_deref(),
    };
    let kind = kind.and_then(FsType::by_name);
    // Of a kind that is refused anyway nothing more is asked.
    let kind = kind.filter(|kind| mount.grow_filesystem && mount.fstype.is_none_or(|wanted| wanted == *kind));
    if let Some(kind) = kind {
        let mounted_on = found.mounted_on.first().map(String::as_str);
        let question = filesystem::size(kind, &readable.path, mounted_on);
        found.size = Some(filesystem::parse_size(kind, &host.run(&question)?)?);
    }
    Ok(())
}

/// Where a volume's data can be read on this host, whatever its role.
struct Readable {
    path: String,
    /// The data end here, DRBD's metadata follow; none for the DRBD device itself.
    end: Option<u64>,
}

fn readable(
    host: &impl Host,
    observed: &Observed,
    device: &DeviceStatus,
) -> Result<Option<Readable>, ObserveError> {
    if observed.status.as_ref().is_some_and(|status| status.role == RoleName::Primary) {
        return Ok(Some(Readable { path: device_path(device), end: None }));
    }
    let volumes = observed.running.iter().flat_map(|running| &running.volumes);
    let volume = volumes.into_iter().find(|volume| volume.volume == device.volume);
    let Some(RunningDisk::Attached { device: path, .. }) = volume.map(|volume| &volume.disk) else {
        return Ok(None);
    };
    // An answer from before DRBD wrote would be worse than none.
    let flushed = host.run(&mount::forget_cache(path))?;
    let end = device.size_kib.filter(|kib| *kib > 0).map(|kib| kib * 1024);
    Ok(end.filter(|_| flushed.ok()).map(|end| Readable { path: path.clone(), end: Some(end) }))
}

/// Up to this size a device is read as a whole already for the plan; a larger one only right before it is written.
const READ_WHOLE: u64 = 8 << 30;

fn holds(host: &impl Host, readable: &Readable, bytes: u64) -> Result<Holds, ObserveError> {
    let read = if bytes <= READ_WHOLE { Read::All } else { Read::Samples };
    let question = match readable.end {
        Some(end) => blkid::probe_front(&readable.path, end),
        None => blkid::probe(&readable.path),
    };
    Ok(match blkid::parse_probe(&host.run(&question)?)? {
        blkid::Probe::Found(found) => {
            let words = found.to_string();
            Holds::Signature { kind: found.kind, words }
        }
        blkid::Probe::Ambivalent => {
            Holds::Signature { kind: None, words: "several signatures at once".to_owned() }
        }
        blkid::Probe::NothingKnown => match host.first_data(&readable.path, readable.end, read)? {
            None => Holds::Blank,
            Some(offset) => Holds::Data(offset),
        },
    })
}
