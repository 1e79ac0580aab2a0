// SPDX-License-Identifier: MPL-2.0
//! Reads and writes of a volume: the application's, which go to the disk here and to every connected peer before they
//! are done (protocol C, whatever the configuration says), and those that peers ask for.

use crate::daemon::Shared;
use crate::kernel::{Kernel, Pending, new_uuid};
use crate::model::{ConnectionState, DiskState, Replication, Resource, Role};
use crate::peer;
use crate::wire::Message;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::MutexGuard;
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(100);
/// How long a peer may take to answer a read.
const PATIENCE: Duration = Duration::from_secs(10);

type Locked<'a> = MutexGuard<'a, Kernel>;

/// Reads bytes of a file.
pub(crate) fn read_exact(file: &File, offset: u64, len: u64) -> io::Result<Vec<u8>> {
    let mut data = vec![0; usize::try_from(len).map_err(io::Error::other)?];
    file.read_exact_at(&mut data, offset)?;
    Ok(data)
}

/// Stores what a peer sent. Of a sync, only what the application has not overwritten meanwhile.
pub(crate) fn store(
    kernel: &mut Kernel,
    name: &str,
    from: u8,
    number: u16,
    offset: u64,
    data: &[u8],
    sync: bool,
) -> bool {
    let Some(resource) = kernel.resources.get_mut(name) else { return false };
    let Some(volume) = resource.volumes.get_mut(&number) else { return false };
    let Some(backing) = &volume.backing else { return false };
    let len = data.len() as u64;
    let stored = if sync {
        let seen = resource.connections.get_mut(&from).and_then(|c| c.volumes.get_mut(&number));
        let Some(seen) = seen.filter(|seen| seen.replication == Replication::SyncTarget) else {
            return false;
        };
        seen.received += len / 1024;
        let wanted = seen.bitmap.runs_within(offset, len);
        seen.bitmap.set(offset, len, false);
        wanted.iter().all(|(at, len)| {
            let start = usize::try_from(at - offset).unwrap_or(usize::MAX);
            let end = start.saturating_add(usize::try_from(*len).unwrap_or(0));
            data.get(start..end).is_some_and(|piece| backing.file.write_all_at(piece, *at).is_ok())
        })
    } else {
        for (peer, connection) in &mut resource.connections {
            let connected = connection.state == ConnectionState::Connected;
            let Some(seen) = connection.volumes.get_mut(&number) else { continue };
            if seen.replication == Replication::SyncTarget {
                seen.bitmap.set(offset, len, false);
            } else if !connected && *peer != from || seen.disk == DiskState::Diskless && !seen.client {
                seen.bitmap.set(offset, len, true);
            }
        }
        backing.file.write_all_at(data, offset).is_ok()
    };
    volume.counters.written += len / 1024;
    stored
}

/// Reads for a peer without a disk. `None`: the data here are no good.
pub(crate) fn fetch(kernel: &mut Kernel, name: &str, number: u16, offset: u64, len: u64) -> Option<Vec<u8>> {
    let volume = kernel.volume(name, number).filter(|volume| volume.disk_state == DiskState::UpToDate)?;
    let data = read_exact(&volume.backing.as_ref()?.file, offset, len).ok()?;
    volume.counters.read += len / 1024;
    Some(data)
}

/// What may be done with a volume's I/O right now.
enum Gate {
    Open,
    Wait,
    Refused(&'static str),
}

fn gate(resource: &Resource, number: u16) -> Gate {
    let Some(volume) = resource.volumes.get(&number) else { return Gate::Refused("no such volume") };
    if resource.role != Role::Primary {
        return Gate::Refused("not Primary");
    }
    if resource.suspended || resource.suspended_by_quorum() {
        return Gate::Wait;
    }
    if !volume.quorum {
        return Gate::Refused("no quorum");
    }
    if resource.has_up_to_date(number) { Gate::Open } else { Gate::Refused("no UpToDate data") }
}

/// Writes for the application.
///
/// # Errors
/// When there is nobody to store it, or no quorum and `on-no-quorum io-error`.
pub(crate) fn write(shared: &Shared, name: &str, number: u16, offset: u64, data: &[u8]) -> io::Result<()> {
    let mut kernel = shared.lock();
    loop {
        let Some(resource) = kernel.resources.get(name) else { return Err(io::Error::other("gone")) };
        match gate(resource, number) {
            Gate::Open => break,
            Gate::Wait => kernel = shared.wait(kernel, PAUSE),
            Gate::Refused(why) => return Err(io::Error::other(why)),
        }
    }
    bump(&mut kernel, name, number);
    let waiting = send_all(&mut kernel, name, number, offset, data)?;
    while waiting.iter().any(|id| kernel.pending.contains_key(id)) {
        kernel = shared.wait(kernel, PAUSE);
    }
    Ok(())
}

/// A write while some peer does not follow begins a new generation of the data.
fn bump(kernel: &mut Kernel, name: &str, number: u16) {
    let Some(resource) = kernel.resources.get_mut(name) else { return };
    let away = peer::away(resource, number);
    let Some(volume) = resource.volumes.get_mut(&number) else { return };
    let good = volume.disk_state == DiskState::UpToDate;
    let uuid = new_uuid();
    match &mut volume.backing {
        Some(backing) if good => {
            if away.iter().all(|peer| backing.meta.bitmap_uuid(*peer) != 0) {
                return;
            }
            peer::renew(&mut backing.meta, uuid, &away);
        }
        // The disk here is the one that misses it.
        None if !volume.client && !volume.missed => volume.missed = true,
        _ => return,
    }
    for connection in resource.connections.values() {
        if let Some(link) = connection.up() {
            link.send(Message::Generation { volume: number, uuid, clear: false });
        }
    }
    kernel.settle(name);
}

/// Writes here and sends to the peers; the numbers of what they have to acknowledge.
fn send_all(kernel: &mut Kernel, name: &str, number: u16, offset: u64, data: &[u8]) -> io::Result<Vec<u64>> {
    let mut next = kernel.next_id;
    let gone = || io::Error::other("gone");
    let resource = kernel.resources.get_mut(name).ok_or_else(gone)?;
    let volume = resource.volumes.get_mut(&number).ok_or_else(gone)?;
    let len = data.len() as u64;
    if let Some(backing) = &volume.backing {
        backing.file.write_all_at(data, offset)?;
        volume.counters.written += len / 1024;
    }
    let mut pending = Vec::new();
    for (peer, connection) in &mut resource.connections {
        let link = connection.up().cloned();
        let Some(seen) = connection.volumes.get_mut(&number) else { continue };
        let has_disk = !matches!(seen.disk, DiskState::Diskless | DiskState::DUnknown);
        let Some(link) = link.filter(|_| has_disk) else {
            seen.bitmap.set(offset, len, true);
            continue;
        };
        if seen.disk != DiskState::UpToDate && seen.replication != Replication::SyncSource {
            seen.bitmap.set(offset, len, true);
        }
        next += 1;
        link.send_bytes(Message::Block { volume: number, id: next, offset, sync: false }, data.to_vec());
        seen.sent += len / 1024;
        let (resource, volume, peer) = (name.to_owned(), number, *peer);
        pending.push((next, Pending { link: link.id, resource, peer, volume, offset, len, sync: false }));
    }
    kernel.next_id = next;
    let ids = pending.iter().map(|(id, _)| *id).collect();
    kernel.pending.extend(pending);
    Ok(ids)
}

/// Reads for the application: here, or from a peer when the data here are missing or no good.
///
/// # Errors
/// When nobody has them.
pub(crate) fn read(shared: &Shared, name: &str, number: u16, offset: u64, len: u64) -> io::Result<Vec<u8>> {
    let mut kernel = shared.lock();
    loop {
        let Some(resource) = kernel.resources.get(name) else { return Err(io::Error::other("gone")) };
        match gate(resource, number) {
            Gate::Open => break,
            Gate::Wait => kernel = shared.wait(kernel, PAUSE),
            Gate::Refused(why) => return Err(io::Error::other(why)),
        }
    }
    if let Some(data) = fetch(&mut kernel, name, number, offset, len) {
        return Ok(data);
    }
    let id = kernel.id();
    let connections =
        kernel.resources.get(name).into_iter().flat_map(|resource| resource.connections.values());
    let good = |connection: &&crate::model::Connection| {
        connection.volumes.get(&number).is_some_and(|seen| seen.disk == DiskState::UpToDate)
    };
    let link = connections.filter(good).find_map(|connection| connection.up().cloned());
    let Some(link) = link else { return Err(io::Error::other("no UpToDate data")) };
    kernel.reads.insert(id, None);
    link.send(Message::Read { volume: number, id, offset, len });
    match answer(shared, kernel, id).1 {
        Some(data) if data.len() as u64 == len => Ok(data),
        Some(_) => Err(io::Error::other("the peer cannot read it")),
        None => Err(io::Error::other("the peer does not answer")),
    }
}

/// What a peer sends for a read it was asked for; `None` when it does not answer in time.
pub(crate) fn answer<'a>(
    shared: &'a Shared,
    mut kernel: Locked<'a>,
    id: u64,
) -> (Locked<'a>, Option<Vec<u8>>) {
    let end = Instant::now() + PATIENCE;
    while kernel.reads.get(&id).is_some_and(Option::is_none) && Instant::now() < end {
        kernel = shared.wait(kernel, PAUSE);
    }
    let data = kernel.reads.remove(&id).flatten();
    (kernel, data)
}
