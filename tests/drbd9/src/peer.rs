// SPDX-License-Identifier: MPL-2.0
//! What peers tell each other and what comes of it: whether two nodes fit together, and every message of a connection
//! that is up. Not here: how messages travel (`link`).

use crate::daemon::Shared;
use crate::generation::{Verdict, compare};
use crate::kernel::{self, Kernel, generation};
use crate::link::{self, Link};
use crate::metadata::{JUST_CREATED, flag};
use crate::model::{Connection, ConnectionState, DiskState, Promise, Replication, Resource, Role};
use crate::sync;
use crate::wire::{Hello, Message, News};
use anyhow::{Context as _, Result, ensure};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// Whether two nodes may connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Meeting {
    Fits,
    /// Not before somebody does something about it.
    Never {
        why: String,
        both: bool,
    },
}

fn find<'a>(kernel: &'a Kernel, name: &str, peer: u8) -> Result<(&'a Resource, &'a Connection)> {
    let resource = kernel.resources.get(name).with_context(|| format!("no resource {name} here"))?;
    let connection = resource.connections.get(&peer).with_context(|| format!("no peer {peer} here"))?;
    Ok((resource, connection))
}

/// The first words to a peer that is to be connected.
pub(crate) fn hello(kernel: &Kernel, name: &str, peer: u8) -> Result<Hello> {
    let (resource, connection) = find(kernel, name, peer)?;
    ensure!(connection.state == ConnectionState::Connecting, "not connecting");
    let mut hasher = DefaultHasher::new();
    connection.options.get("cram-hmac-alg").unwrap_or_default().hash(&mut hasher);
    connection.options.get("shared-secret").unwrap_or_default().hash(&mut hasher);
    Ok(Hello {
        resource: name.to_owned(),
        from: resource.node_id,
        to: peer,
        proof: hasher.finish(),
        news: kernel::news(resource, peer),
    })
}

/// The answer to a peer's first words.
pub(crate) fn greet(kernel: &Kernel, theirs: &Hello) -> Result<(Hello, Meeting)> {
    let mine = hello(kernel, &theirs.resource, theirs.from)?;
    ensure!(mine.from == theirs.to, "node-id {} is meant, this is {}", theirs.to, mine.from);
    let meeting = meet(kernel, &theirs.resource, theirs.from, theirs)?;
    Ok((mine, meeting))
}

/// Whether this node and a peer fit together.
pub(crate) fn meet(kernel: &Kernel, name: &str, peer: u8, theirs: &Hello) -> Result<Meeting> {
    let never = |why: &str| Ok(Meeting::Never { why: why.to_owned(), both: false });
    let (resource, connection) = find(kernel, name, peer)?;
    if hello(kernel, name, peer)?.proof != theirs.proof {
        return Ok(Meeting::Never { why: "authentication failed".to_owned(), both: true });
    }
    let both = resource.role == Role::Primary && theirs.news.role == Role::Primary;
    if both && connection.options.get("allow-two-primaries") != Some("yes") {
        return never("both are Primary");
    }
    for (number, volume) in &resource.volumes {
        let Some(news) = theirs.news.volumes.get(number) else { continue };
        let disks = volume.backing.is_some() && news.disk != DiskState::Diskless;
        let good = |disk: DiskState| disk >= DiskState::Outdated;
        let small = |max: u64, runs: u64| max > 0 && max < runs;
        if good(volume.disk_state) && small(news.max_kib, volume.size_kib) {
            return never("the peer's disk is too small");
        }
        if good(news.disk) && small(kernel::max_kib(volume), news.size_kib) {
            return never("the disk here is too small");
        }
        if !disks {
            continue;
        }
        match compare(&generation(volume, peer), &news.generation) {
            Verdict::Same => {}
            Verdict::Target { .. } if resource.role == Role::Primary && good(volume.disk_state) => {
                return never("a Primary does not become SyncTarget");
            }
            Verdict::Source { .. } if theirs.news.role == Role::Primary && good(news.disk) => {
                return never("a Primary does not become SyncTarget");
            }
            Verdict::Source { .. } | Verdict::Target { .. } => {}
            Verdict::SplitBrain if connection.discard_my_data != theirs.news.discard_my_data => {}
            Verdict::SplitBrain => return never("split brain"),
            Verdict::Unrelated if connection.discard_my_data != theirs.news.discard_my_data => {}
            Verdict::Unrelated => return never("unrelated data"),
        }
    }
    Ok(Meeting::Fits)
}

/// A connection came up.
pub(crate) fn connected(kernel: &mut Kernel, name: &str, peer: u8, link: Link, theirs: &News) {
    let Some(resource) = kernel.resources.get_mut(name) else { return };
    let Some(connection) = resource.connections.get_mut(&peer) else { return };
    connection.state = ConnectionState::Connected;
    connection.link = Some(link);
    connection.left = false;
    connection.told = None;
    for (number, volume) in &mut resource.volumes {
        let (Some(news), Some(seen)) = (theirs.volumes.get(number), connection.volumes.get_mut(number))
        else {
            continue;
        };
        seen.replication = Replication::Established;
        if volume.backing.is_none() || news.disk == DiskState::Diskless {
            continue;
        }
        let me = generation(volume, peer);
        let verdict = compare(&me, &news.generation);
        let gives_in = connection.discard_my_data && verdict != Verdict::Same;
        match verdict {
            _ if gives_in => discard(volume, &news.generation),
            Verdict::Target { .. } if volume.disk_state > DiskState::Outdated => {
                volume.disk_state = DiskState::Outdated;
            }
            Verdict::Source { full: true } => seen.bitmap.set_all(true),
            Verdict::SplitBrain | Verdict::Unrelated => seen.bitmap.set_all(true),
            Verdict::Same | Verdict::Source { .. } | Verdict::Target { .. } => {}
        }
    }
    connection.discard_my_data = false;
    learn(kernel, name, peer, theirs);
    for number in theirs.volumes.keys() {
        agree(kernel, name, peer, *number);
    }
}

/// This replica is given up in favour of a peer's: it counts as never used, and everything is fetched.
fn discard(volume: &mut crate::model::Volume, _theirs: &crate::generation::Generation) {
    volume.disk_state = DiskState::Inconsistent;
    if let Some(backing) = &mut volume.backing {
        backing.meta.set_current(JUST_CREATED);
        backing.meta.put_flag(flag::CRASHED_PRIMARY, false);
    }
}

/// Two nodes that met settle on a size: smaller only while there are no data, larger when all are there. The one with
/// the lower node-id says so to the others.
fn agree(kernel: &mut Kernel, name: &str, peer: u8, number: u16) {
    let Some(resource) = kernel.resources.get_mut(name) else { return };
    let Some(kib) = kernel::agreed_kib(resource, number) else { return };
    let lower = resource.node_id < peer;
    let Some(volume) = resource.volumes.get_mut(&number) else { return };
    let empty = volume.disk_state <= DiskState::Inconsistent;
    if kib < volume.size_kib && empty || volume.size_kib == 0 {
        kernel::take_size(volume, kib);
        kernel.settle(name);
    } else if kib > volume.size_kib && lower {
        grow(kernel, name, number, kib, empty);
    }
}

/// Grows a volume here and on all connected peers; the new part is synchronised from here unless it is clean.
pub(crate) fn grow(kernel: &mut Kernel, name: &str, number: u16, kib: u64, clean: bool) {
    let Some(resource) = kernel.resources.get_mut(name) else { return };
    let Some(volume) = resource.volumes.get_mut(&number) else { return };
    let clean = clean || volume.disk_state <= DiskState::Inconsistent;
    kernel::take_size(volume, kib);
    for connection in resource.connections.values_mut() {
        if let Some(peer) = connection.volumes.get_mut(&number) {
            peer.bitmap.resize(kib * 1024 / crate::bitmap::BLOCK, !clean);
        }
        if let Some(link) = connection.up() {
            link.send(Message::Size { volume: number, kib, clean });
        }
    }
    kernel.settle(name);
}

/// Takes over what a peer says of itself.
fn learn(kernel: &mut Kernel, name: &str, peer: u8, theirs: &News) {
    let Some(connection) =
        kernel.resources.get_mut(name).and_then(|resource| resource.connections.get_mut(&peer))
    else {
        return;
    };
    connection.role = theirs.role;
    for (number, seen) in &mut connection.volumes {
        match theirs.volumes.get(number) {
            Some(news) => {
                seen.disk = news.disk;
                seen.client = news.client;
                seen.max_kib = news.max_kib;
                seen.generation = news.generation.clone();
                if seen.replication == Replication::Off {
                    seen.replication = Replication::Established;
                }
            }
            None => seen.disconnected(),
        }
    }
    let sizes: Vec<(u16, u64)> =
        theirs.volumes.iter().map(|(number, news)| (*number, news.size_kib)).collect();
    for (number, kib) in sizes {
        // A node without a disk has the size of the others.
        if let Some(volume) = kernel.volume(name, number).filter(|volume| volume.backing.is_none() && kib > 0)
        {
            volume.size_kib = kib;
        }
    }
    kernel.settle(name);
}

/// A connection ended without a goodbye, or after one.
pub(crate) fn lost(kernel: &mut Kernel, name: &str, peer: u8, id: u64) {
    let mine: Vec<u64> =
        kernel.pending.iter().filter(|(_, pending)| pending.link == id).map(|(id, _)| *id).collect();
    let pending: Vec<_> = mine.iter().filter_map(|id| kernel.pending.remove(id)).collect();
    let Some(connection) =
        kernel.resources.get_mut(name).and_then(|resource| resource.connections.get_mut(&peer))
    else {
        return;
    };
    if connection.link.as_ref().is_some_and(|link| link.id != id) {
        return;
    }
    for block in pending {
        if let Some(seen) = connection.volumes.get_mut(&block.volume) {
            seen.bitmap.set(block.offset, block.len, true);
        }
    }
    if connection.link.take().is_some() && connection.state == ConnectionState::Connected {
        connection.state = ConnectionState::Connecting;
    }
    unseen(connection);
    if let Some(resource) = kernel.resources.get_mut(name) {
        resource.volumes.values_mut().for_each(|volume| volume.promised = None);
    }
    kernel.settle(name);
}

/// What is known of a peer that is away.
pub(crate) fn unseen(connection: &mut Connection) {
    connection.role = Role::Unknown;
    connection.told = None;
    connection.volumes.values_mut().for_each(crate::model::PeerVolume::disconnected);
}

/// The two do not fit: this end gives up until somebody connects it again.
pub(crate) fn stand_alone(kernel: &mut Kernel, name: &str, peer: u8) {
    let connection = kernel.resources.get_mut(name).and_then(|resource| resource.connections.get_mut(&peer));
    if let Some(connection) = connection {
        connection.state = ConnectionState::StandAlone;
        connection.discard_my_data = false;
        unseen(connection);
    }
    kernel.settle(name);
}

/// One message of a connection that is up. `false`: the connection is over.
pub(crate) fn hear(shared: &Shared, name: &str, peer: u8, id: u64, message: Message, bytes: &[u8]) -> bool {
    let mut guard = shared.lock();
    let kernel = &mut *guard;
    let resource = kernel.resources.get_mut(name);
    let Some(connection) = resource.and_then(|resource| resource.connections.get_mut(&peer)) else {
        return false;
    };
    // The confirmation of the other side may overtake this side's own.
    let Some(link) = connection.link.clone().filter(|link| link.id == id) else { return false };
    match message {
        Message::Ping | Message::Confirm => {}
        Message::Bye => {
            connection.left = connection.role != Role::Primary;
            connection.state = ConnectionState::Connecting;
            link::hang_up(connection);
            lost(kernel, name, peer, id);
        }
        Message::News(news) => learn(kernel, name, peer, &news),
        Message::Promise { volume, id, uuid } => {
            let ok = promise(kernel, name, peer, volume, uuid);
            link.send(Message::Ack { id, ok });
        }
        Message::Generation { volume, uuid, clear } => follow(kernel, name, peer, volume, uuid, clear),
        Message::RequestSync { volume, full } => sync::requested(kernel, name, peer, volume, full),
        Message::NoSync { volume } => sync::refused(kernel, name, peer, volume),
        Message::SyncStarted { volume, runs } => sync::started(kernel, name, peer, volume, &runs),
        Message::SyncDone { volume, uuid } => sync::done(kernel, name, peer, volume, uuid),
        Message::Block { volume, id, offset, sync } => {
            let ok = crate::io::store(kernel, name, peer, volume, offset, bytes, sync);
            link.send(Message::Ack { id, ok });
        }
        Message::Ack { id, ok } => sync::acknowledged(kernel, id, ok),
        Message::Read { volume, id, offset, len } => {
            let data = crate::io::fetch(kernel, name, volume, offset, len);
            link.send_bytes(Message::Data { id, ok: data.is_some() }, data.unwrap_or_default());
        }
        Message::Data { id, ok } => {
            if let Some(waiting) = kernel.reads.get_mut(&id) {
                *waiting = Some(if ok { bytes.to_vec() } else { Vec::new() });
            }
        }
        Message::Size { volume, kib, clean } => sized(kernel, name, peer, volume, kib, clean),
        Message::Protocol { protocol } => {
            let shown = if protocol == "C" { None } else { Some(protocol.as_str()) };
            connection.options = connection.options.without(&["protocol"]);
            shown.into_iter().for_each(|protocol| connection.options.set("protocol", protocol));
        }
        Message::Invalidate { volume } => sync::invalidate(kernel, name, volume),
        Message::Ask { id } => {
            kernel.settle(name);
            link.send(Message::Ack { id, ok: true });
        }
        Message::Hello(_) | Message::Accept(_) | Message::Refuse { .. } => return false,
    }
    crate::nbd::follow(shared, kernel);
    drop(guard);
    shared.changed.notify_all();
    true
}

/// Agrees to a generation that a peer is about to declare. Of those that want to at once, the lowest node-id may: it
/// takes over what was promised to a higher one.
fn promise(kernel: &mut Kernel, name: &str, peer: u8, number: u16, uuid: u64) -> bool {
    let Some(resource) = kernel.resources.get_mut(name) else { return false };
    let Some(volume) = resource.volumes.get_mut(&number) else { return true };
    if volume.promised.is_some_and(|promise| promise.by < peer) {
        return false;
    }
    volume.promised = Some(Promise { uuid, by: peer });
    true
}

/// The data have a new generation everywhere.
fn follow(kernel: &mut Kernel, name: &str, peer: u8, number: u16, uuid: u64, clear: bool) {
    let Some(resource) = kernel.resources.get_mut(name) else { return };
    let mut away = away(resource, number);
    if clear {
        let up =
            |peer: &u8| resource.connections.get(peer).is_some_and(|connection| connection.up().is_some());
        away.retain(|peer| !up(peer));
    }
    let Some(volume) = resource.volumes.get_mut(&number) else { return };
    volume.promised = None;
    let just_created = volume.backing.as_ref().is_some_and(|backing| backing.meta.current() == JUST_CREATED);
    if clear && !just_created || !clear && volume.disk_state != DiskState::UpToDate {
        return;
    }
    if let Some(backing) = &mut volume.backing {
        let old = backing.meta.current();
        renew(&mut backing.meta, uuid, &away);
        if clear && old == JUST_CREATED {
            volume.disk_state = DiskState::UpToDate;
        }
    }
    if clear {
        clear_bitmaps(resource, number);
    }
    if let Some(seen) = resource.connections.get_mut(&peer).and_then(|c| c.volumes.get_mut(&number)) {
        seen.disk = DiskState::UpToDate;
        seen.generation.current = uuid;
    }
    kernel.settle(name);
}

/// Connected peers have got everything.
pub(crate) fn clear_bitmaps(resource: &mut Resource, number: u16) {
    for connection in resource.connections.values_mut() {
        let connected = connection.state == ConnectionState::Connected;
        if let Some(seen) = connection.volumes.get_mut(&number).filter(|_| connected) {
            seen.bitmap.set_all(false);
        }
    }
}

/// Peers with a disk of a volume that do not follow right now.
pub(crate) fn away(resource: &Resource, number: u16) -> Vec<u8> {
    let missing = resource.connections.iter().filter(|(_, connection)| {
        let seen = connection.volumes.get(&number);
        let client = seen.is_some_and(|seen| seen.client || seen.options.get("bitmap") == Some("no"));
        let follows = connection.state == ConnectionState::Connected
            && seen.is_some_and(|seen| seen.disk == DiskState::UpToDate);
        !client && !follows
    });
    missing.map(|(peer, _)| *peer).collect()
}

/// A new generation of the data here. Peers that do not follow miss everything from the old one on.
pub(crate) fn renew(meta: &mut crate::metadata::Metadata, uuid: u64, away: &[u8]) {
    let old = meta.current();
    for peer in away {
        if meta.bitmap_uuid(*peer) == 0 {
            meta.set_bitmap_uuid(*peer, old);
        }
    }
    meta.remember(old);
    meta.set_current(uuid);
}

fn sized(kernel: &mut Kernel, name: &str, peer: u8, number: u16, kib: u64, clean: bool) {
    let Some(volume) = kernel.volume(name, number) else { return };
    let diskful = volume.backing.is_some();
    kernel::take_size(volume, kib);
    let lacks = diskful && !clean && volume.disk_state == DiskState::UpToDate;
    if lacks {
        volume.disk_state = DiskState::Inconsistent;
    }
    let Some(resource) = kernel.resources.get_mut(name) else { return };
    for connection in resource.connections.values_mut() {
        if let Some(seen) = connection.volumes.get_mut(&number) {
            seen.bitmap.resize(kib * 1024 / crate::bitmap::BLOCK, false);
        }
    }
    if let Some(connection) = resource.connections.get_mut(&peer).filter(|_| lacks) {
        if let Some(seen) = connection.volumes.get_mut(&number) {
            seen.replication = Replication::SyncTarget;
            seen.sync_total = kib * 1024 / crate::bitmap::BLOCK;
        }
        if let Some(link) = connection.up() {
            link.send(Message::RequestSync { volume: number, full: false });
        }
    }
    kernel.settle(name);
}
