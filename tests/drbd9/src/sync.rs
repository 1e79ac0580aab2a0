// SPDX-License-Identifier: MPL-2.0
//! Synchronisation of one volume to one peer: real bytes of the backing device, block by block. The source sends runs
//! of blocks that its bitmap names, one at a time; the target drops what the application has overwritten since.
//!
//! `c-max-rate` of the peer device is kept, so that a test can look at a sync under way.

use crate::daemon::Shared;
use crate::kernel::{Kernel, Pending};
use crate::metadata::JUST_CREATED;
use crate::model::{DiskState, Replication};
use crate::wire::Message;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// Longest run of bytes sent in one piece.
const PIECE: u64 = 256 << 10;
/// DRBD's own default of `c-max-rate`, in KiB a second.
const DEFAULT_RATE: u64 = 100 << 10;

/// A peer wants this node's data.
pub(crate) fn requested(kernel: &mut Kernel, name: &str, peer: u8, number: u16, full: bool) {
    let Some(resource) = kernel.resources.get_mut(name) else { return };
    let good = resource.volumes.get(&number).is_some_and(|v| v.disk_state == DiskState::UpToDate);
    let Some(connection) = resource.connections.get_mut(&peer) else { return };
    let link = connection.up().cloned();
    let (Some(seen), Some(link)) = (connection.volumes.get_mut(&number), link) else { return };
    if !good {
        return link.send(Message::NoSync { volume: number });
    }
    if full {
        seen.bitmap.set_all(true);
    }
    seen.replication = Replication::SyncSource;
    seen.disk = DiskState::Inconsistent;
    seen.sync_total = seen.bitmap.dirty();
    link.send(Message::SyncStarted { volume: number, runs: seen.bitmap.runs() });
    kernel.to_sync.push((name.to_owned(), peer, number));
    kernel.settle(name);
}

/// The source says what is coming.
pub(crate) fn started(kernel: &mut Kernel, name: &str, peer: u8, number: u16, runs: &[(u64, u64)]) {
    let Some(resource) = kernel.resources.get_mut(name) else { return };
    let connection = resource.connections.get_mut(&peer);
    if let Some(seen) = connection.and_then(|connection| connection.volumes.get_mut(&number)) {
        seen.bitmap.set_all(false);
        runs.iter().for_each(|(offset, len)| seen.bitmap.set(*offset, *len, true));
        seen.sync_total = seen.bitmap.dirty();
    }
}

/// The source has nothing to give.
pub(crate) fn refused(kernel: &mut Kernel, name: &str, peer: u8, number: u16) {
    let Some(resource) = kernel.resources.get_mut(name) else { return };
    let connection = resource.connections.get_mut(&peer);
    if let Some(seen) = connection.and_then(|connection| connection.volumes.get_mut(&number)) {
        seen.replication = Replication::Established;
    }
}

/// The source has sent everything: the data here are as good as there.
pub(crate) fn done(kernel: &mut Kernel, name: &str, peer: u8, number: u16, uuid: u64) {
    let Some(resource) = kernel.resources.get_mut(name) else { return };
    let Some(volume) = resource.volumes.get_mut(&number) else { return };
    let connection = resource.connections.get_mut(&peer);
    let Some(seen) = connection.and_then(|connection| connection.volumes.get_mut(&number)) else { return };
    if seen.replication != Replication::SyncTarget {
        return;
    }
    seen.replication = Replication::Established;
    seen.bitmap.set_all(false);
    seen.generation.current = uuid;
    volume.disk_state = DiskState::UpToDate;
    if let Some(backing) = &mut volume.backing {
        let old = backing.meta.current();
        if old & !1 != uuid & !1 {
            backing.meta.remember(old);
            backing.meta.set_current(uuid);
        }
        backing.meta.set_bitmap_uuid(peer, 0);
        backing.meta.put_flag(crate::metadata::flag::CRASHED_PRIMARY, false);
    }
    // What came from one good replica need not come from another.
    for connection in resource.connections.values_mut() {
        if let Some(seen) = connection.volumes.get_mut(&number)
            && seen.replication == Replication::PausedSyncT
        {
            seen.replication = Replication::Established;
            seen.bitmap.set_all(false);
        }
    }
    kernel.settle(name);
}

/// The data here are to be fetched again.
pub(crate) fn invalidate(kernel: &mut Kernel, name: &str, number: u16) {
    let Some(resource) = kernel.resources.get_mut(name) else { return };
    let Some(volume) = resource.volumes.get_mut(&number).filter(|volume| volume.backing.is_some()) else {
        return;
    };
    volume.disk_state = DiskState::Inconsistent;
    for connection in resource.connections.values_mut() {
        if let Some(seen) = connection.volumes.get_mut(&number) {
            seen.bitmap.set_all(true);
        }
    }
    kernel.settle(name);
}

/// A peer has stored a block.
pub(crate) fn acknowledged(kernel: &mut Kernel, id: u64, ok: bool) {
    let Some(block) = kernel.pending.remove(&id) else { return };
    if !ok {
        kernel.refused.insert(id);
    }
    let Some(resource) = kernel.resources.get_mut(&block.resource) else { return };
    let connection = resource.connections.get_mut(&block.peer);
    if let Some(seen) = connection.and_then(|connection| connection.volumes.get_mut(&block.volume)) {
        if block.sync && ok {
            seen.sent += block.len / 1024;
            seen.bitmap.set(block.offset, block.len, false);
        } else if !ok {
            seen.bitmap.set(block.offset, block.len, true);
        }
    }
}

/// Starts the syncs that this node is the source of, for ever.
pub(crate) fn run_all(shared: &Arc<Shared>) {
    let mut kernel = shared.lock();
    loop {
        for (name, peer, number) in std::mem::take(&mut kernel.to_sync) {
            let shared = Arc::clone(shared);
            thread::spawn(move || run(&shared, &name, peer, number));
        }
        kernel = shared.wait(kernel, Duration::from_secs(1));
    }
}

fn run(shared: &Shared, name: &str, peer: u8, number: u16) {
    let mut kernel = shared.lock();
    while let Some((id, pause)) = step(&mut kernel, name, peer, number) {
        while kernel.pending.contains_key(&id) {
            kernel = shared.wait(kernel, Duration::from_millis(100));
        }
        if !pause.is_zero() {
            drop(kernel);
            thread::sleep(pause);
            kernel = shared.lock();
        }
    }
    drop(kernel);
    shared.changed.notify_all();
}

/// Sends the next run, or ends the sync. What is under way then: its number, and the pause that
/// keeps the rate.
fn step(kernel: &mut Kernel, name: &str, peer: u8, number: u16) -> Option<(u64, Duration)> {
    let id = kernel.id();
    let resource = kernel.resources.get_mut(name)?;
    let volume = resource.volumes.get_mut(&number)?;
    let connection = resource.connections.get_mut(&peer)?;
    let link = connection.up()?.clone();
    let seen = connection.volumes.get_mut(&number)?;
    if seen.replication != Replication::SyncSource {
        return None;
    }
    let Some((offset, len)) = seen.bitmap.next_run(PIECE) else {
        finish(kernel, name, peer, number);
        return None;
    };
    let backing = volume.backing.as_ref()?;
    let data = crate::io::read_exact(&backing.file, offset, len).ok()?;
    volume.counters.read += len / 1024;
    let rate = seen.options.get("c-max-rate").map_or(DEFAULT_RATE, crate::options::kib);
    let pending =
        Pending { link: link.id, resource: name.to_owned(), peer, volume: number, offset, len, sync: true };
    link.send_bytes(Message::Block { volume: number, id, offset, sync: true }, data);
    kernel.pending.insert(id, pending);
    // A rate of 0 is no limit.
    Some((id, Duration::from_micros((len / 1024 * 1_000_000).checked_div(rate).unwrap_or(0))))
}

/// All is sent.
fn finish(kernel: &mut Kernel, name: &str, peer: u8, number: u16) -> Option<()> {
    let resource = kernel.resources.get_mut(name)?;
    let volume = resource.volumes.get_mut(&number)?;
    let connection = resource.connections.get_mut(&peer)?;
    let link = connection.up()?.clone();
    let seen = connection.volumes.get_mut(&number)?;
    seen.replication = Replication::Established;
    seen.disk = DiskState::UpToDate;
    let backing = volume.backing.as_mut()?;
    let uuid = backing.meta.current();
    let old = backing.meta.bitmap_uuid(peer);
    if old != JUST_CREATED {
        backing.meta.remember(old);
    }
    backing.meta.set_bitmap_uuid(peer, 0);
    seen.generation.current = uuid;
    seen.generation.inconsistent = false;
    link.send(Message::SyncDone { volume: number, uuid });
    kernel.settle(name);
    Some(())
}
