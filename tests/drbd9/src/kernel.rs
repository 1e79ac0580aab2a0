// SPDX-License-Identifier: MPL-2.0
//! All state of the simulated kernel, and what follows by itself from every change of it: quorum, who needs a sync,
//! what goes to the disks' metadata, and what peers have to be told. Not here: commands (`command`), messages of peers
//! (`peer`), application I/O (`io`).

use crate::bitmap::BLOCK;
use crate::generation::{Generation, Verdict, compare};
use crate::metadata::{flag, peer_flag};
use crate::model::{
    Backing, Connection, ConnectionState, DiskState, PeerVolume, Replication, Resource, Role, Volume,
};
use crate::quorum::{self, Census};
use crate::wire::{Message, News, VolumeNews};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};

/// A block that a peer has not yet confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pending {
    pub(crate) link: u64,
    pub(crate) resource: String,
    pub(crate) peer: u8,
    pub(crate) volume: u16,
    pub(crate) offset: u64,
    pub(crate) len: u64,
    pub(crate) sync: bool,
}

/// The state of the node.
#[derive(Debug, Default)]
pub(crate) struct Kernel {
    pub(crate) resources: BTreeMap<String, Resource>,
    /// Peers that are being called right now.
    pub(crate) calling: BTreeSet<(String, u8)>,
    pub(crate) next_id: u64,
    pub(crate) pending: BTreeMap<u64, Pending>,
    /// What was answered with a no; whoever waits for it takes it out.
    pub(crate) refused: BTreeSet<u64>,
    /// Answers to reads of peers' disks: `None` until they come.
    pub(crate) reads: BTreeMap<u64, Option<Vec<u8>>>,
    /// Syncs that have to be started as their source: resource, peer, volume.
    pub(crate) to_sync: Vec<(String, u8, u16)>,
    /// Online verifications that have to be started.
    pub(crate) to_verify: Vec<(String, u8, u16)>,
}

impl Kernel {
    /// A number that was not used before.
    pub(crate) fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// The resource and number of a minor.
    pub(crate) fn by_minor(&self, minor: u32) -> Option<(String, u16)> {
        self.resources.iter().find_map(|(name, resource)| {
            let found = resource.volumes.iter().find(|(_, volume)| volume.minor == minor)?;
            Some((name.clone(), *found.0))
        })
    }

    /// A volume of a resource.
    pub(crate) fn volume(&mut self, name: &str, number: u16) -> Option<&mut Volume> {
        self.resources.get_mut(name)?.volumes.get_mut(&number)
    }

    /// Everything that follows by itself from a change of one resource.
    pub(crate) fn settle(&mut self, name: &str) {
        let Some(resource) = self.resources.get_mut(name) else { return };
        match_volumes(resource);
        reunite(resource);
        let requests = seek_syncs(resource);
        count(resource);
        note(resource);
        tell(resource);
        for (peer, number, full) in requests {
            if let Some(link) = resource.connections.get(&peer).and_then(Connection::up) {
                link.send(Message::RequestSync { volume: number, full });
            }
        }
    }
}

/// A data generation that never was.
pub(crate) fn new_uuid() -> u64 {
    let mut bytes = [0; 8];
    let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    let uuid = u64::from_be_bytes(bytes) & !1;
    if read.is_err() || uuid <= 4 { 0x5B8F_311B_918A_A03A } else { uuid }
}

/// What a volume's replica here says of itself to a peer.
pub(crate) fn generation(volume: &Volume, peer: u8) -> Generation {
    let Some(backing) = &volume.backing else { return Generation::default() };
    Generation {
        current: backing.meta.current(),
        bitmap: backing.meta.bitmap_uuid(peer),
        history: backing.meta.history(),
        crashed: backing.meta.has(flag::CRASHED_PRIMARY),
        inconsistent: volume.disk_state == DiskState::Inconsistent,
    }
}

/// Bytes of the device below a volume now.
pub(crate) fn device_bytes(backing: &Backing) -> u64 {
    (&*backing.file).seek(SeekFrom::End(0)).unwrap_or(0)
}

/// What the backing device of a volume allows, in KiB; what the configuration limits it to, if it does.
pub(crate) fn max_kib(volume: &Volume) -> u64 {
    let Some(backing) = &volume.backing else { return 0 };
    let possible = backing.meta.potential_kib(device_bytes(backing));
    let wanted = volume.options.get("size").map_or(0, crate::options::kib);
    if wanted == 0 { possible } else { possible.min(wanted) }
}

/// What this node says of itself to a peer.
pub(crate) fn news(resource: &Resource, peer: u8) -> News {
    let volumes = resource.volumes.iter().map(|(number, volume)| {
        let news = VolumeNews {
            disk: volume.disk_state,
            client: volume.client,
            generation: generation(volume, peer),
            max_kib: max_kib(volume),
            size_kib: volume.size_kib,
        };
        (*number, news)
    });
    let discard_my_data =
        resource.connections.get(&peer).is_some_and(|connection| connection.discard_my_data);
    News { role: resource.role, volumes: volumes.collect(), discard_my_data }
}

/// Every connection knows every volume.
fn match_volumes(resource: &mut Resource) {
    for connection in resource.connections.values_mut() {
        connection.volumes.retain(|number, _| resource.volumes.contains_key(number));
        for (number, volume) in &resource.volumes {
            let blocks = volume.size_kib * 1024 / BLOCK;
            let peer = connection.volumes.entry(*number).or_insert_with(|| PeerVolume::new(blocks));
            if peer.bitmap.blocks() != blocks {
                let fresh = peer.bitmap.blocks() == 0 && volume.backing.is_some();
                peer.bitmap.resize(blocks, fresh);
            }
        }
    }
}

/// Replicas of the same generation that are both good lack nothing of each other.
fn reunite(resource: &mut Resource) {
    for (number, volume) in &mut resource.volumes {
        for (peer_id, connection) in &mut resource.connections {
            let connected = connection.state == ConnectionState::Connected;
            let Some(peer) = connection.volumes.get_mut(number).filter(|_| connected) else { continue };
            if peer.disk != DiskState::UpToDate || peer.syncs() || volume.backing.is_none() {
                continue;
            }
            if compare(&generation(volume, *peer_id), &peer.generation) != Verdict::Same {
                continue;
            }
            if volume.disk_state == DiskState::Outdated {
                volume.disk_state = DiskState::UpToDate;
            }
            if volume.disk_state == DiskState::UpToDate {
                peer.bitmap.set_all(false);
                if let Some(backing) = &mut volume.backing {
                    let old = backing.meta.bitmap_uuid(*peer_id);
                    backing.meta.remember(old);
                    backing.meta.set_bitmap_uuid(*peer_id, 0);
                    backing.meta.put_flag(flag::CRASHED_PRIMARY, false);
                }
            }
        }
    }
}

/// Starts syncs towards this node where somebody connected has what it lacks; whom to ask for it.
fn seek_syncs(resource: &mut Resource) -> Vec<(u8, u16, bool)> {
    let mut requests = Vec::new();
    for (number, volume) in &mut resource.volumes {
        let lacking = matches!(volume.disk_state, DiskState::Inconsistent | DiskState::Outdated);
        let mut running = resource.connections.values().any(|connection| {
            connection.volumes.get(number).is_some_and(|peer| peer.replication == Replication::SyncTarget)
        });
        for (peer_id, connection) in &mut resource.connections {
            let connected = connection.state == ConnectionState::Connected;
            let Some(peer) = connection.volumes.get_mut(number).filter(|_| connected) else { continue };
            if peer.replication == Replication::PausedSyncT {
                peer.replication = Replication::Established;
            }
            let promised = volume.promised.is_some_and(|promise| promise.uuid == peer.generation.current);
            if !lacking
                || promised
                || peer.disk != DiskState::UpToDate
                || peer.replication != Replication::Established
            {
                continue;
            }
            let Verdict::Target { full } = compare(&generation(volume, *peer_id), &peer.generation) else {
                continue;
            };
            if running || peer.paused {
                peer.replication = Replication::PausedSyncT;
                continue;
            }
            running = true;
            let full = full || peer.bitmap.dirty() > 0;
            volume.disk_state = DiskState::Inconsistent;
            peer.replication = Replication::SyncTarget;
            peer.sync_total = volume.size_kib * 1024 / BLOCK;
            peer.bitmap.set_all(true);
            requests.push((*peer_id, *number, full));
        }
    }
    requests
}

/// The nodes of a volume, for quorum.
pub(crate) fn census(resource: &Resource, number: u16) -> Census {
    let mut census = Census::default();
    let has_disk = resource.volumes.get(&number).is_some_and(|volume| volume.backing.is_some());
    let client = resource.volumes.get(&number).is_some_and(|volume| volume.client);
    match (has_disk, client) {
        (true, _) => census.present += 1,
        (false, true) => census.diskless_present += 1,
        (false, false) => census.unknown += 1,
    }
    for connection in resource.connections.values() {
        let peer = connection.volumes.get(&number);
        let client = peer.is_some_and(|peer| peer.client || peer.options.get("bitmap") == Some("no"));
        let connected = connection.state == ConnectionState::Connected;
        let disk = peer.is_some_and(|peer| !matches!(peer.disk, DiskState::Diskless | DiskState::DUnknown));
        match (client, connected) {
            (true, true) => census.diskless_present += 1,
            (true, false) => census.diskless_absent += 1,
            (false, true) if disk => census.present += 1,
            (false, true) => census.outdated += 1,
            (false, false) if connection.left => census.outdated += 1,
            (false, false) => census.unknown += 1,
        }
    }
    count_former_peers(resource, number, &mut census);
    census
}

/// Peers that were dropped and not forgotten vote on (`__calc_quorum_with_disk` in `drbd_state.c`).
fn count_former_peers(resource: &Resource, number: u16, census: &mut Census) {
    let Some(backing) = resource.volumes.get(&number).and_then(|volume| volume.backing.as_ref()) else {
        return;
    };
    let meta = &backing.meta;
    let former = meta.known_peers().filter(|peer| !resource.connections.contains_key(peer));
    for peer in former.filter(|peer| *peer != resource.node_id) {
        match (meta.peer_has(peer, peer_flag::DEVICE_SEEN), meta.peer_has(peer, peer_flag::OUTDATED)) {
            (false, _) => census.diskless_absent += 1,
            (true, true) => census.outdated += 1,
            (true, false) => census.unknown += 1,
        }
    }
}

/// Counts votes.
fn count(resource: &mut Resource) {
    let option = resource.options.get("quorum").unwrap_or("off").to_owned();
    let numbers: Vec<u16> = resource.volumes.keys().copied().collect();
    for number in numbers {
        let quorum = quorum::has(&option, census(resource, number));
        if let Some(volume) = resource.volumes.get_mut(&number) {
            volume.quorum = quorum;
        }
    }
}

/// Writes to the metadata what is to be known after the next start.
fn note(resource: &mut Resource) {
    for (number, volume) in &mut resource.volumes {
        let Some(backing) = &mut volume.backing else { continue };
        let meta = &mut backing.meta;
        let state = volume.disk_state;
        meta.put_flag(flag::CONSISTENT, state >= DiskState::Outdated);
        meta.put_flag(flag::WAS_UP_TO_DATE, state == DiskState::UpToDate);
        meta.put_flag(flag::PRIMARY, resource.role == Role::Primary);
        meta.put_flag(flag::PRIMARY_LOST_QUORUM, resource.role == Role::Primary && !volume.quorum);
        for (peer_id, connection) in &resource.connections {
            let connected = connection.state == ConnectionState::Connected;
            let disk = connection.volumes.get(number).map_or(DiskState::DUnknown, |peer| peer.disk);
            meta.put_peer_flag(*peer_id, peer_flag::CONNECTED, connected);
            if connected {
                let worse = matches!(disk, DiskState::Inconsistent | DiskState::Outdated);
                meta.put_peer_flag(*peer_id, peer_flag::OUTDATED, worse);
                if disk != DiskState::Diskless {
                    meta.put_peer_flag(*peer_id, peer_flag::DEVICE_SEEN, true);
                }
            }
        }
        if backing.meta.write().is_err() {
            // The disk failed: on-io-error is detach.
            volume.backing = None;
            volume.disk_state = DiskState::Diskless;
        }
    }
}

/// Tells connected peers what they do not know yet.
fn tell(resource: &mut Resource) {
    let peers: Vec<u8> = resource.connections.keys().copied().collect();
    for peer in peers {
        let news = news(resource, peer);
        let Some(connection) = resource.connections.get_mut(&peer) else { continue };
        if connection.told.as_ref() != Some(&news)
            && let Some(link) = connection.up()
        {
            link.send(Message::News(news.clone()));
            connection.told = Some(news);
        }
    }
}

/// Takes a size into use that all agreed on; the new part is as told.
pub(crate) fn take_size(volume: &mut Volume, kib: u64) {
    if let Some(backing) = &mut volume.backing {
        let bytes = device_bytes(backing);
        if backing.meta.capacity_kib(bytes) < kib && backing.meta.follow(bytes).is_err() {
            return;
        }
        backing.meta.set_effective_kib(kib);
    }
    volume.size_kib = kib;
}

/// The size that all nodes with disks allow. `None` while one of them is away that may have the last word.
pub(crate) fn agreed_kib(resource: &Resource, number: u16) -> Option<u64> {
    let volume = resource.volumes.get(&number)?;
    let mut all_here = true;
    let mut sizes = vec![max_kib(volume)];
    for connection in resource.connections.values() {
        let Some(peer) = connection.volumes.get(&number) else { continue };
        let client = peer.client || peer.options.get("bitmap") == Some("no");
        all_here &= client || connection.state == ConnectionState::Connected && peer.max_kib > 0;
        sizes.push(peer.max_kib);
    }
    let smallest = sizes.into_iter().filter(|kib| *kib > 0).min()?;
    (all_here || smallest <= volume.size_kib || volume.size_kib == 0).then_some(smallest)
}
