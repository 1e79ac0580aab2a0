// SPDX-License-Identifier: MPL-2.0
//! The role of this host, and the file systems that stand on it. Pure.
//!
//! A promotion is refused wherever it could begin a second history of the data: another Primary, data that are not
//! UpToDate, a peer of which nothing is known (docs/behaviour.md B11: promoting a disconnected Secondary is a
//! split brain without one write). A demotion never takes a file system away that was not named.

use super::{Permits, Plan};
use crate::host::{Cmd, Process};
use crate::observed::Observed;
use crate::refusal::Refusal;
use crate::step::role::RoleStep;
use crate::step::{Planned, Step};
use crate::tools::drbdadm;
use crate::tools::drbdsetup::{self, ConnectionState, DeviceStatus, DiskState, ResourceStatus, RoleName};
use crate::tools::filesystem::FsSize;
use crate::tools::proc::Mount;
use drbd_schemas::args::{FsType, MountArgs, RoleArgs, WantedRole};
use drbd_schemas::reply::Code;
use drbd_schemas::{ByteSize, VolumeNumber};
use std::collections::BTreeMap;

/// What was seen for this plan.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The resource.
    pub observed: Observed,
    /// Its volumes that are up.
    pub volumes: BTreeMap<u16, Use>,
    /// Everything that is mounted on this host.
    pub mounts: Vec<Mount>,
    /// Of the wanted mount points: those that are no directory yet.
    pub missing_dirs: Vec<String>,
    /// Name of the only peer, which the status of DRBD 8.4 does not print.
    pub only_peer: Option<String>,
}

/// What is done with one volume.
#[derive(Clone, Debug, Default)]
pub struct Use {
    /// Where it is mounted.
    pub mounted_on: Vec<String>,
    /// Kind of the file system that is mounted.
    pub mounted_kind: Option<String>,
    /// Processes that use it.
    pub processes: Vec<Process>,
    /// Another use: `swap space`, `held by dm-3`.
    pub other: Option<String>,
    /// What the data begin with; looked at only where a mount is wanted.
    pub holds: Option<Holds>,
    /// Size of the file system, where growing was asked for.
    pub size: Option<FsSize>,
}

/// What the data of a volume are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holds {
    /// No signature, zeroes wherever it was looked at.
    Blank,
    /// A signature: its kind, and all that is known in words.
    Signature {
        /// `ext4`; none for a partition table.
        kind: Option<String>,
        /// `ext4 "data" (UUID …)`.
        words: String,
    },
    /// Data without a signature, from this byte on.
    Data(u64),
    /// It cannot be seen from here: no data on this host, and the device opens only on a Primary.
    Unseen,
}

/// Path of a volume's device.
pub fn device_path(device: &DeviceStatus) -> String {
    format!("/dev/drbd{}", device.minor)
}

impl Seen {
    /// All who use the devices are udev, which looks at each device that changes, or gone before they could be named.
    pub(crate) fn only_passing_users(&self) -> bool {
        let open = self.observed.status.iter().flat_map(|status| &status.devices);
        let mut used = open.filter(|device| device.open == Some(true)).map(|device| device.volume);
        let processes: Vec<&Process> = self.volumes.values().flat_map(|found| &found.processes).collect();
        let unnamed = processes.is_empty() && used.any(|volume| self.volumes.contains_key(&volume));
        unnamed || (!processes.is_empty() && processes.iter().all(|process| is_udev(process)))
    }
}

/// Its workers are called `(udev-worker)`, before systemd 251 `systemd-udevd`.
fn is_udev(process: &Process) -> bool {
    ["udev-worker", "systemd-udevd"].contains(&process.name.trim_matches(['(', ')']))
}

/// Plans `drbd_role`.
///
/// # Errors
/// A refusal, which names who is in the way.
pub fn plan(args: &RoleArgs, seen: &Seen, permits: &Permits) -> Result<Plan, Refusal> {
    let mut plan = Plan::default();
    match args.role {
        WantedRole::Primary => primary(args, seen, permits, &mut plan)?,
        WantedRole::Secondary => secondary(args, seen, &mut plan)?,
    }
    Ok(plan)
}

fn push(plan: &mut Plan, step: RoleStep, why: impl Into<String>) {
    plan.push(Planned::new(Step::Role(step), why));
}

fn primary(args: &RoleArgs, seen: &Seen, permits: &Permits, plan: &mut Plan) -> Result<(), Refusal> {
    let node = &seen.observed.node;
    let Some(status) = &seen.observed.status else {
        let message = format!("resource {} is not up on {node}.", args.name);
        return Err(Refusal::new(Code::Missing, message)
            .next("Bring it up first (drbd_resource, state: present or up)."));
    };
    let noted = seen.observed.record.promoted_for_sync;
    if status.role != RoleName::Primary {
        may_promote(args, seen, status, permits)?;
        let (resource, cmds) = (args.name.to_string(), take_role(seen, status));
        push(plan, RoleStep::Promote { resource, cmds, noted }, "it is not Primary");
    } else if noted {
        push(plan, RoleStep::Keep, "a run that was cut had taken the role for one step; now it is wanted");
    }
    for mount in &args.mounts {
        mounted(args, mount, seen, status, plan)?;
    }
    Ok(())
}

/// Where no file names the resource, `drbdadm` does not know it; the kernel's own tool does.
fn take_role(seen: &Seen, status: &ResourceStatus) -> Vec<Cmd> {
    match (&seen.observed.conf.own, seen.observed.drbd.family()) {
        (None, Some(family)) => drbdsetup::primary(family, status),
        _ => vec![drbdadm::primary(&status.name, false)],
    }
}

fn give_role_up(seen: &Seen, status: &ResourceStatus) -> Vec<Cmd> {
    match (&seen.observed.conf.own, seen.observed.drbd.family()) {
        (None, Some(family)) => drbdsetup::secondary(family, status),
        _ => vec![drbdadm::secondary(&status.name)],
    }
}

/// The name of a connection's peer.
fn peer<'a>(seen: &'a Seen, name: Option<&'a str>) -> &'a str {
    name.or(seen.only_peer.as_deref()).unwrap_or("the peer")
}

fn may_promote(
    args: &RoleArgs,
    seen: &Seen,
    status: &ResourceStatus,
    permits: &Permits,
) -> Result<(), Refusal> {
    let node = &seen.observed.node;
    let other = status.connections.iter().find(|connection| connection.peer_role == RoleName::Primary);
    if let Some(connection) = other.filter(|_| !two_primaries(seen)) {
        let peer = peer(seen, connection.name.as_deref());
        let message =
            format!("resource {} is Primary on {peer}; {node} cannot be Primary beside it.", args.name);
        return Err(Refusal::new(Code::InUse, message).next(format!(
            "Stop what uses it on {peer} and make it Secondary there first (drbd_role, role: secondary)."
        )));
    }
    for device in &status.devices {
        good_data(args, seen, status, device)?;
    }
    peers_known(args, seen, status, permits)
}

fn two_primaries(seen: &Seen) -> bool {
    let running = seen.observed.running.iter();
    running
        .flat_map(|running| running.connections.iter().flat_map(|c| &c.options).chain(&running.options))
        .any(|option| option.name == "allow-two-primaries" && option.value != "no")
}

fn good_data(
    args: &RoleArgs,
    seen: &Seen,
    status: &ResourceStatus,
    device: &DeviceStatus,
) -> Result<(), Refusal> {
    let peers = status.connections.iter().flat_map(|connection| &connection.peer_devices);
    let good_peer = peers
        .filter(|peer| peer.volume == device.volume)
        .any(|peer| peer.peer_disk_state == DiskState::UpToDate);
    if device.disk_state == DiskState::UpToDate || (device.client == Some(true) && good_peer) {
        return Ok(());
    }
    let message = format!(
        "volume {} of {} is {} on {}, not UpToDate: what would be read there is not the last that was written.",
        device.volume, args.name, device.disk_state, seen.observed.node
    );
    let next = match good_peer {
        true => "Wait until it is (drbd_wait, condition: up_to_date).",
        false => {
            "Bring up the host that has the good data and wait; a new resource needs drbd_initial_sync first."
        }
    };
    Err(Refusal::new(Code::InUse, message).next(next))
}

/// A peer of which nothing is known may be Primary, or have newer data. Where quorum is on, the kernel sees to it that
/// only a majority can be Primary.
fn peers_known(
    args: &RoleArgs,
    seen: &Seen,
    status: &ResourceStatus,
    permits: &Permits,
) -> Result<(), Refusal> {
    let unknown: Vec<String> = status
        .connections
        .iter()
        .filter(|connection| connection.connection_state != ConnectionState::Connected)
        .map(|connection| {
            format!("{} ({})", peer(seen, connection.name.as_deref()), connection.connection_state)
        })
        .collect();
    let alone = status.connections.is_empty() && seen.only_peer.is_some();
    let token = format!("promote-alone:{}@{}", args.name, seen.observed.node);
    if (unknown.is_empty() && !alone) || has_quorum(seen, status) || permits.allows(&token) {
        return Ok(());
    }
    let who = match alone {
        true => format!("{} (no connection)", peer(seen, None)),
        false => unknown.join(", "),
    };
    let message = format!(
        "not connected: {who}. Whether the data are in use there, or newer, is not known; a promotion here could be a split brain."
    );
    Err(Refusal::new(Code::ConsentNeeded, message)
        .next("Repair the connection, or make sure that the other host is off.")
        .next(format!(
            "If it really is off or cut off from its users, run again with consent: [\"{token}\"]."
        )))
}

fn has_quorum(seen: &Seen, status: &ResourceStatus) -> bool {
    let options = seen.observed.running.iter().flat_map(|running| &running.options);
    let on = options.into_iter().any(|option| option.name == "quorum" && option.value != "off");
    on && status.devices.iter().all(|device| device.quorum == Some(true))
}

/// What may be mounted; anything else with a signature is no file system.
const NO_FILESYSTEM: [&str; 5] = ["LVM2_member", "crypto_LUKS", "drbd", "swap", "linux_raid_member"];

fn mounted(
    args: &RoleArgs,
    mount: &MountArgs,
    seen: &Seen,
    status: &ResourceStatus,
    plan: &mut Plan,
) -> Result<(), Refusal> {
    let device = volume_of(args, mount.volume, status)?;
    let path = device_path(device);
    let Some(found) = seen.volumes.get(&device.volume) else { return Ok(()) };
    if found.mounted_on.iter().any(|at| at == mount.path.as_str()) {
        same_kind(mount, found.mounted_kind.as_deref(), &path)?;
        complete(mount, seen, plan);
        grow(mount, found, device, found.mounted_kind.as_deref(), plan);
        return Ok(());
    }
    free_to_mount(mount, seen, found, &path)?;
    let (kind, made) = filesystem(mount, seen, found, &path, plan)?;
    if seen.missing_dirs.iter().any(|dir| dir == mount.path.as_str()) {
        push(plan, RoleStep::MakeMountPoint { path: mount.path.to_string() }, "there is none");
    }
    let options = mount.options.iter().map(ToString::to_string).collect();
    let step = RoleStep::Mount { device: path, path: mount.path.to_string(), kind: kind.clone(), options };
    push(plan, step, "it is not mounted");
    if !made {
        grow(mount, found, device, kind.as_deref(), plan);
    }
    Ok(())
}

fn volume_of<'a>(
    args: &RoleArgs,
    volume: VolumeNumber,
    status: &'a ResourceStatus,
) -> Result<&'a DeviceStatus, Refusal> {
    status.devices.iter().find(|device| device.volume == volume.get()).ok_or_else(|| {
        let message = format!("resource {} has no volume {volume} here.", args.name);
        Refusal::new(Code::Missing, message).next("Name one of its volumes in mounts.")
    })
}

/// The device is in no other use, and nothing else is mounted where it shall be.
fn free_to_mount(mount: &MountArgs, seen: &Seen, found: &Use, device: &str) -> Result<(), Refusal> {
    if let Some(elsewhere) = found.mounted_on.first() {
        let message = format!("{device} is mounted on {elsewhere}, {} is asked for.", mount.path);
        return Err(
            Refusal::new(Code::InUse, message).next(format!("Unmount {elsewhere}, or name it as path."))
        );
    }
    if let Some(other) = &found.other {
        let message = format!("{device} is in another use: {other}.");
        return Err(Refusal::new(Code::InUse, message).next("End that use, then run again."));
    }
    // The last one on a path hides those before it.
    if let Some(there) = seen.mounts.iter().rev().find(|there| there.mount_point == mount.path.as_str()) {
        let message =
            format!("{} is taken: {} ({}) is mounted there.", mount.path, there.source, there.fs_type);
        return Err(Refusal::new(Code::Taken, message).next("Unmount it, or choose another path."));
    }
    Ok(())
}

fn same_kind(mount: &MountArgs, found: Option<&str>, device: &str) -> Result<(), Refusal> {
    match (mount.fstype, found) {
        (Some(wanted), Some(found)) if wanted.name() != found => {
            let message = format!("{device} holds {found}, {wanted} is asked for.");
            Err(Refusal::new(Code::ForeignData, message)
                .next(format!("Ask for fstype: {found}, or leave fstype out to mount what is there.")))
        }
        _ => Ok(()),
    }
}

/// The kind to mount, where it is known; and whether it is made by this plan.
fn filesystem(
    mount: &MountArgs,
    seen: &Seen,
    found: &Use,
    device: &str,
    plan: &mut Plan,
) -> Result<(Option<String>, bool), Refusal> {
    let wanted = mount.fstype.map(|kind| kind.name().to_owned());
    let unfinished = seen.observed.record.making_filesystem.contains(&mount.volume);
    let make = mount.fstype.filter(|_| mount.make_filesystem);
    match (&found.holds, make) {
        (Some(Holds::Signature { kind, words }), _) => {
            let kind = kind.as_deref().filter(|kind| !NO_FILESYSTEM.contains(kind)).ok_or_else(|| {
                let message = format!("{device} holds {words}, which is no file system.");
                Refusal::new(Code::ForeignData, message).next("Mount what lies above it by other means.")
            })?;
            same_kind(mount, Some(kind), device)?;
            complete(mount, seen, plan);
            Ok((Some(kind.to_owned()), false))
        }
        (Some(Holds::Blank), Some(kind)) => {
            make_one(mount, device, kind, false, "it has none, and reads as zeroes", plan);
            Ok((wanted, true))
        }
        (Some(Holds::Data(_)), Some(kind)) if unfinished => {
            make_one(mount, device, kind, true, "a run was cut while it made it", plan);
            Ok((wanted, true))
        }
        (Some(Holds::Blank), None) => {
            let message = format!("{device} holds no file system.");
            Err(Refusal::new(Code::Missing, message)
                .next("To have one made on it, set fstype and make_filesystem: true."))
        }
        (Some(Holds::Data(offset)), _) => {
            let message = format!("{device} holds data without a known signature (at byte {offset}).");
            Err(Refusal::new(Code::ForeignData, message).next(
                "Look at what it is. If it may go, make the file system by hand; this cannot be overridden.",
            ))
        }
        (Some(Holds::Unseen) | None, Some(_)) => {
            let message = format!("what {device} holds cannot be seen from {}.", seen.observed.node);
            Err(Refusal::new(Code::Unreadable, message)
                .next("Make the file system on a host that has the data."))
        }
        (Some(Holds::Unseen) | None, None) => Ok((wanted, false)),
    }
}

/// The note of a run that was cut right after it had made the file system must not outlive it: it would count later data
/// as that run's rest.
fn complete(mount: &MountArgs, seen: &Seen, plan: &mut Plan) {
    if seen.observed.record.making_filesystem.contains(&mount.volume) {
        let step = RoleStep::FilesystemMade { volume: mount.volume };
        push(plan, step, "a run was cut after it had made it");
    }
}

fn make_one(mount: &MountArgs, device: &str, kind: FsType, unfinished: bool, why: &str, plan: &mut Plan) {
    let step = RoleStep::MakeFilesystem { device: device.to_owned(), kind, volume: mount.volume, unfinished };
    push(plan, step, why);
}

fn grow(mount: &MountArgs, found: &Use, device: &DeviceStatus, kind: Option<&str>, plan: &mut Plan) {
    let kind = kind.and_then(FsType::by_name).filter(|_| mount.grow_filesystem);
    let bytes = device.size_kib.unwrap_or(0) * 1024;
    let (Some(kind), Some(size)) = (kind, found.size.filter(|size| size.can_grow_to(bytes))) else { return };
    let step = RoleStep::GrowFilesystem { device: device_path(device), path: mount.path.to_string(), kind };
    let (has, may) = (ByteSize::from_bytes(size.bytes), ByteSize::from_bytes(bytes));
    push(plan, step, format!("it has {has}, its device {may}"));
}

fn secondary(args: &RoleArgs, seen: &Seen, plan: &mut Plan) -> Result<(), Refusal> {
    let Some(status) = &seen.observed.status else { return Ok(()) };
    let mut paths: Vec<&str> = Vec::new();
    for device in &status.devices {
        let Some(found) = seen.volumes.get(&device.volume) else { continue };
        // Whoever looks at a device that is neither to be unmounted nor given up is in nobody's way.
        if status.role != RoleName::Primary && found.mounted_on.is_empty() {
            continue;
        }
        let named = |at: &&String| args.mounts.iter().any(|mount| mount.path.as_str() == at.as_str());
        in_use(args, seen, found, device, found.mounted_on.iter().find(|at| !named(at)))?;
        paths.extend(found.mounted_on.iter().map(String::as_str));
    }
    // A file system that is mounted below another one goes first.
    paths.sort_by_key(|path| std::cmp::Reverse(path.len()));
    for path in paths {
        push(
            plan,
            RoleStep::Unmount { path: path.to_owned() },
            "it is mounted, and this host shall be Secondary",
        );
    }
    if status.role == RoleName::Primary {
        let noted = seen.observed.record.promoted_for_sync;
        let (resource, cmds) = (args.name.to_string(), give_role_up(seen, status));
        push(plan, RoleStep::Demote { resource, cmds, noted }, "it is Primary");
    }
    Ok(())
}

/// Nobody but the file systems that are to be unmounted uses the device.
fn in_use(
    args: &RoleArgs,
    seen: &Seen,
    found: &Use,
    device: &DeviceStatus,
    not_named: Option<&String>,
) -> Result<(), Refusal> {
    let (node, path) = (&seen.observed.node, device_path(device));
    if !found.processes.is_empty() {
        let who: Vec<String> = found.processes.iter().take(8).map(ToString::to_string).collect();
        let more = found.processes.len().saturating_sub(who.len());
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        let message = format!("{} is in use on {node}: {}{more}.", args.name, who.join("; "));
        return Err(Refusal::new(Code::InUse, message)
            .next("Stop them (the service, not only its processes), then run again."));
    }
    if let Some(at) = not_named {
        let message = format!("{path} is mounted on {at} on {node}, which is not listed in mounts.");
        return Err(Refusal::new(Code::InUse, message)
            .next(format!("List {{path: {at}}} in mounts to have it unmounted, or unmount it yourself.")));
    }
    if let Some(other) = &found.other {
        let message = format!("{path} is in use on {node}: {other}.");
        return Err(Refusal::new(Code::InUse, message).next("End that use, then run again."));
    }
    if device.open == Some(true) && found.mounted_on.is_empty() {
        let message = format!("{path} is open on {node}, by something in the kernel that is no process.");
        return Err(Refusal::new(Code::InUse, message)
            .next("End that use (NFS, device mapper, loop), then run again."));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
