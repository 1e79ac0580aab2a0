// SPDX-License-Identifier: MPL-2.0
//! Commands that build resources up and take them apart: minors, peers, paths, disks and options.

use crate::answer::{Answer, Refusal};
use crate::arguments::Arguments;
use crate::command::{Failed, Outcome, refuse};
use crate::daemon::Shared;
use crate::generation::{Verdict, compare};
use crate::kernel::{Kernel, generation};
use crate::link;
use crate::metadata::{JUST_CREATED, Metadata, flag};
use crate::model::{Backing, Connection, ConnectionState, DiskState, Path, Resource, Role, Volume};
use crate::nbd;
use rustix::fs::OFlags;
use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::Arc;

/// A resource, or DRBD's refusal.
pub(crate) fn resource<'a>(kernel: &'a mut Kernel, name: &str) -> Result<&'a mut Resource, Failed> {
    let missing = || Failed::Refused(name.to_owned(), Refusal::NO_RESOURCE);
    kernel.resources.get_mut(name).ok_or_else(missing)
}

/// A connection of a resource, or DRBD's refusal.
pub(crate) fn connection<'a>(
    kernel: &'a mut Kernel,
    name: &str,
    peer: u8,
) -> Result<&'a mut Connection, Failed> {
    let missing = || Failed::Refused(name.to_owned(), Refusal::INVALID);
    resource(kernel, name)?.connections.get_mut(&peer).ok_or_else(missing)
}

/// The resource and volume number of a minor, or DRBD's refusal.
pub(crate) fn minor(kernel: &Kernel, minor: u32) -> Result<(String, u16), Failed> {
    kernel.by_minor(minor).ok_or_else(|| Failed::Refused(minor.to_string(), Refusal::NO_MINOR))
}

/// `new-resource NAME NODE-ID`
pub(crate) fn new_resource(shared: &Shared, arguments: &Arguments) -> Outcome {
    let (name, node_id) = (arguments.word(0)?, arguments.number(1)?);
    let mut kernel = shared.lock();
    // An existing one is taken over, as the kernel does.
    kernel.resources.entry(name.to_owned()).or_insert_with(|| Resource::new(node_id, arguments.settings()));
    Ok(Answer::done())
}

/// `new-minor NAME MINOR VOLUME [--diskless]`
pub(crate) fn new_minor(shared: &Shared, arguments: &Arguments) -> Outcome {
    let (name, minor, number) =
        (arguments.word(0)?, arguments.number::<u32>(1)?, arguments.number::<u16>(2)?);
    let mut kernel = shared.lock();
    let taken = kernel.by_minor(minor).is_some();
    let resource = resource(&mut kernel, name)?;
    if taken || resource.volumes.contains_key(&number) {
        let mut answer = Refusal::MINOR_EXISTS.about(name);
        if taken {
            let node = format!("/sys/devices/virtual/block/drbd{minor}");
            answer.err =
                format!("new-minor {name} {minor} {number}: sysfs node '{node}' (already? still?) exists\n")
                    + &answer.err;
        }
        return Ok(answer);
    }
    let mut volume = Volume::new(minor);
    volume.client = arguments.has("diskless");
    resource.volumes.insert(number, volume);
    kernel.settle(name);
    nbd::create(shared, name, number, minor);
    Ok(Answer::done())
}

/// `new-peer NAME NODE-ID --_name=PEER [net options]`
pub(crate) fn new_peer(shared: &Shared, arguments: &Arguments) -> Outcome {
    let (name, peer) = (arguments.word(0)?, arguments.number::<u8>(1)?);
    let mut kernel = shared.lock();
    let resource = resource(&mut kernel, name)?;
    if resource.connections.contains_key(&peer) || resource.node_id == peer {
        return refuse(name, Refusal::INVALID);
    }
    let options = arguments.settings();
    let host = options.get("_name").unwrap_or_default().to_owned();
    resource.connections.insert(peer, Connection::new(host, options));
    kernel.settle(name);
    Ok(Answer::done())
}

fn endpoint(word: &str) -> Result<SocketAddr, String> {
    let address = word.split_once(':').filter(|(family, _)| matches!(*family, "ipv4" | "ipv6"));
    let text = address.map_or(word, |(_, rest)| rest);
    text.parse().map_err(|_| format!("could not resolve {word}"))
}

fn path(arguments: &Arguments) -> Result<Path, String> {
    Ok(Path { local: endpoint(arguments.word(2)?)?, remote: endpoint(arguments.word(3)?)? })
}

/// `new-path NAME NODE-ID LOCAL REMOTE`
pub(crate) fn new_path(shared: &Shared, arguments: &Arguments) -> Outcome {
    let (name, peer, path) = (arguments.word(0)?, arguments.number(1)?, path(arguments)?);
    let mut kernel = shared.lock();
    let connection = connection(&mut kernel, name, peer)?;
    if connection.paths.contains(&path) {
        return refuse(name, Refusal::ADDRESS_TAKEN);
    }
    connection.paths.push(path);
    Ok(Answer::done())
}

/// `del-path NAME NODE-ID LOCAL REMOTE`
pub(crate) fn del_path(shared: &Shared, arguments: &Arguments) -> Outcome {
    let (name, peer, path) = (arguments.word(0)?, arguments.number(1)?, path(arguments)?);
    let mut kernel = shared.lock();
    let connection = connection(&mut kernel, name, peer)?;
    if connection.state != ConnectionState::StandAlone && connection.paths.len() < 2 {
        return refuse(name, Refusal::NET_CONFIGURED);
    }
    connection.paths.retain(|known| *known != path);
    Ok(Answer::done())
}

/// `del-peer NAME NODE-ID`
pub(crate) fn del_peer(shared: &Shared, arguments: &Arguments) -> Outcome {
    let (name, peer) = (arguments.word(0)?, arguments.number::<u8>(1)?);
    let mut kernel = shared.lock();
    let connection = connection(&mut kernel, name, peer)?;
    link::hang_up(connection);
    resource(&mut kernel, name)?.connections.remove(&peer);
    kernel.settle(name);
    Ok(Answer::done())
}

/// `forget-peer NAME NODE-ID`
pub(crate) fn forget_peer(shared: &Shared, arguments: &Arguments) -> Outcome {
    let (name, peer) = (arguments.word(0)?, arguments.number::<u8>(1)?);
    let mut kernel = shared.lock();
    let resource = resource(&mut kernel, name)?;
    if resource.connections.contains_key(&peer) {
        return refuse(name, Refusal::NET_CONFIGURED);
    }
    for backing in resource.volumes.values_mut().filter_map(|volume| volume.backing.as_mut()) {
        backing.meta.forget_peer(peer);
    }
    kernel.settle(name);
    Ok(Answer::done())
}

/// `del-minor MINOR`
pub(crate) fn del_minor(shared: &Shared, arguments: &Arguments) -> Outcome {
    let number = arguments.minor(0)?;
    let mut kernel = shared.lock();
    let (name, volume) = minor(&kernel, number)?;
    if kernel.volume(&name, volume).is_some_and(|volume| volume.backing.is_some()) {
        return refuse(number, Refusal::MINOR_IN_USE);
    }
    if let Some(resource) = kernel.resources.get_mut(&name) {
        resource.volumes.remove(&volume);
    }
    kernel.settle(&name);
    nbd::remove(shared, &name, volume, number);
    Ok(Answer::done())
}

/// `del-resource NAME`
pub(crate) fn del_resource(shared: &Shared, arguments: &Arguments) -> Outcome {
    let name = arguments.word(0)?;
    let mut kernel = shared.lock();
    let resource = resource(&mut kernel, name)?;
    if !resource.connections.is_empty() {
        return refuse(name, Refusal::NET_CONFIGURED);
    }
    if !resource.volumes.is_empty() {
        return refuse(name, Refusal::MINOR_IN_USE);
    }
    kernel.resources.remove(name);
    Ok(Answer::done())
}

/// `resource-options NAME`
pub(crate) fn resource_options(shared: &Shared, arguments: &Arguments) -> Outcome {
    let name = arguments.word(0)?;
    let mut kernel = shared.lock();
    resource(&mut kernel, name)?.options.change(&arguments.settings(), arguments.has("set-defaults"));
    kernel.settle(name);
    Ok(Answer::done())
}

/// `net-options NAME NODE-ID`
pub(crate) fn net_options(shared: &Shared, arguments: &Arguments) -> Outcome {
    let (name, peer) = (arguments.word(0)?, arguments.number(1)?);
    let mut kernel = shared.lock();
    let connection = connection(&mut kernel, name, peer)?;
    let host = connection.name.clone();
    connection.options.change(&arguments.settings(), arguments.has("set-defaults"));
    if connection.options.get("_name").is_none() {
        connection.options.set("_name", &host);
    }
    // 5.9b: the peers' side of the connection takes the protocol over at once.
    let protocol = arguments.options.get("protocol").unwrap_or("C").to_owned();
    if let Some(link) = connection.up() {
        link.send(crate::wire::Message::Protocol { protocol });
    }
    Ok(Answer::done())
}

/// `disk-options MINOR`
pub(crate) fn disk_options(shared: &Shared, arguments: &Arguments) -> Outcome {
    let number = arguments.minor(0)?;
    let mut kernel = shared.lock();
    let (name, volume) = minor(&kernel, number)?;
    if let Some(volume) = kernel.volume(&name, volume) {
        volume.options.change(&arguments.settings(), arguments.has("set-defaults"));
    }
    Ok(Answer::done())
}

/// `peer-device-options NAME NODE-ID VOLUME`
pub(crate) fn peer_device_options(shared: &Shared, arguments: &Arguments) -> Outcome {
    let (name, peer, number) = (arguments.word(0)?, arguments.number(1)?, arguments.number::<u16>(2)?);
    let mut kernel = shared.lock();
    let seen = connection(&mut kernel, name, peer)?.volumes.get_mut(&number);
    let Some(seen) = seen else { return refuse(name, Refusal::INVALID) };
    seen.options.change(&arguments.settings(), arguments.has("set-defaults"));
    kernel.settle(name);
    Ok(Answer::done())
}

fn open(path: &str) -> std::io::Result<Arc<File>> {
    let exclusive = OFlags::EXCL.bits().cast_signed();
    Ok(Arc::new(File::options().read(true).write(true).custom_flags(exclusive).open(path)?))
}

/// `attach MINOR DISK META-DISK INDEX`
pub(crate) fn attach(shared: &Shared, arguments: &Arguments) -> Outcome {
    let number = arguments.minor(0)?;
    let (disk, meta_disk, index) = (arguments.word(1)?, arguments.word(2)?, arguments.word(3)?);
    let mut kernel = shared.lock();
    let (name, volume_number) = minor(&kernel, number)?;
    let attached = kernel.volume(&name, volume_number).is_some_and(|volume| volume.backing.is_some());
    if attached {
        return refuse(number, Refusal::ATTACHED);
    }
    let internal = index == "internal" || disk == meta_disk;
    let Ok(file) = open(disk) else { return refuse(number, Refusal::CANNOT_OPEN) };
    let meta_file = if internal { Ok(Arc::clone(&file)) } else { open(meta_disk) };
    let Ok(meta_file) = meta_file else { return refuse(number, Refusal::CANNOT_OPEN) };
    let bytes = file_bytes(&meta_file);
    let Ok(Some(meta)) = Metadata::read(meta_file, bytes, internal) else {
        return refuse(number, Refusal::BAD_METADATA);
    };
    let shown = if internal { "internal" } else { meta_disk };
    let backing = Backing { path: disk.to_owned(), meta_disk: shown.to_owned(), file, meta };
    take_disk(&mut kernel, &name, volume_number, backing, arguments)
}

fn file_bytes(mut file: &File) -> u64 {
    std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0)).unwrap_or(0)
}

/// Puts a disk below a volume: its state is what its metadata say.
fn take_disk(
    kernel: &mut Kernel,
    name: &str,
    number: u16,
    mut backing: Backing,
    arguments: &Arguments,
) -> Outcome {
    let resource = resource(kernel, name)?;
    let meta = &mut backing.meta;
    if meta.node_id().is_some_and(|node_id| node_id != resource.node_id) {
        return refuse(arguments.word(0)?, Refusal::INVALID);
    }
    meta.set_node_id(resource.node_id);
    if meta.has(flag::PRIMARY) && resource.role != Role::Primary {
        meta.put_flag(flag::CRASHED_PRIMARY, true);
    }
    meta.put_flag(flag::AL_CLEAN, false);
    let state = match (meta.has(flag::CONSISTENT), meta.has(flag::WAS_UP_TO_DATE)) {
        (true, true) => DiskState::UpToDate,
        (true, false) => DiskState::Outdated,
        (false, _) => DiskState::Inconsistent,
    };
    let unknown =
        meta.current() == JUST_CREATED || state == DiskState::Inconsistent || meta.has(flag::CRASHED_PRIMARY);
    let lacking: Vec<u8> =
        resource.connections.keys().copied().filter(|peer| unknown || meta.bitmap_uuid(*peer) != 0).collect();
    let possible = meta.capacity_kib(file_bytes(&backing.file));
    let Some(volume) = resource.volumes.get_mut(&number) else { return Ok(Answer::done()) };
    let known = meta.effective_kib();
    volume.size_kib = if known > 0 && known <= possible { known } else { possible };
    volume.client = false;
    volume.missed = false;
    volume.disk_state = state;
    volume.options = arguments.settings();
    volume.backing = Some(backing);
    kernel.settle(name);
    let resource = self::resource(kernel, name)?;
    for (peer, connection) in &mut resource.connections {
        if let Some(seen) = connection.volumes.get_mut(&number) {
            seen.bitmap.set_all(lacking.contains(peer));
        }
    }
    let peers: Vec<u8> = resource.connections.keys().copied().collect();
    for peer in peers {
        // Who gets none is told when it is to be connected.
        take_slots(resource, peer);
    }
    catch_up(resource, number);
    kernel.settle(name);
    Ok(Answer::done())
}

/// A disk that is attached again may lack what connected peers wrote meanwhile.
fn catch_up(resource: &mut Resource, number: u16) {
    let Some(volume) = resource.volumes.get_mut(&number) else { return };
    let behind = resource.connections.iter().any(|(peer, connection)| {
        let seen = connection.volumes.get(&number).filter(|seen| seen.disk == DiskState::UpToDate);
        let verdict = seen.map(|seen| compare(&generation(volume, *peer), &seen.generation));
        connection.up().is_some() && matches!(verdict, Some(Verdict::Target { .. }))
    });
    if behind && volume.disk_state == DiskState::UpToDate {
        volume.disk_state = DiskState::Outdated;
    }
}

/// A peer with a disk gets a bitmap slot of every volume. `false`: there is none left (6.3).
pub(crate) fn take_slots(resource: &mut Resource, peer: u8) -> bool {
    let Some(connection) = resource.connections.get(&peer) else { return false };
    let mut enough = true;
    for (number, volume) in &mut resource.volumes {
        let client = connection.volumes.get(number).is_some_and(|s| s.options.get("bitmap") == Some("no"));
        if let Some(backing) = volume.backing.as_mut().filter(|_| !client) {
            enough &= backing.meta.take_slot(peer);
        }
    }
    enough
}

/// `detach MINOR [--force] [--diskless]`
pub(crate) fn detach(shared: &Shared, arguments: &Arguments) -> Outcome {
    let number = arguments.minor(0)?;
    let mut kernel = shared.lock();
    let (name, volume_number) = minor(&kernel, number)?;
    let resource = resource(&mut kernel, &name)?;
    let elsewhere = resource.connections.values().any(|connection| {
        connection.state == ConnectionState::Connected
            && connection.volumes.get(&volume_number).is_some_and(|seen| seen.disk == DiskState::UpToDate)
    });
    if resource.role == Role::Primary && !elsewhere && !arguments.has("force") {
        return refuse(number, Refusal::State(-2, "Need access to UpToDate data", Vec::new()));
    }
    if let Some(volume) = resource.volumes.get_mut(&volume_number) {
        volume.backing = None;
        volume.missed = false;
        volume.disk_state = DiskState::Diskless;
        volume.client = arguments.has("diskless");
    }
    kernel.settle(&name);
    Ok(Answer::done())
}
