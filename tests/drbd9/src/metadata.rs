// SPDX-License-Identifier: MPL-2.0
//! DRBD 9's metadata on disk, format v09, in place: `drbdmeta` made them and reads them again. The 4 KiB superblock is
//! kept as it is on the disk and every field is read and written where it lies, so that nothing is lost that this
//! program does not know. Not here: activity log and bitmap areas, which stay as `drbdmeta` left them.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

/// The current UUID of metadata that were created and never used.
pub(crate) const JUST_CREATED: u64 = 4;

const BLOCK: u64 = 4096;
const MAGIC: u32 = 0x8374_026D;
const AL_SECTORS: i64 = 64;
const SB_SECTORS: i64 = 8;
const PEERS: u8 = 32;
const HISTORY: usize = 32;

const EFFECTIVE_SIZE: usize = 0;
const CURRENT: usize = 8;
const FLAGS: usize = 56;
const MAGIC_AT: usize = 60;
const MD_SIZE: usize = 64;
const AL_OFFSET: usize = 68;
const BM_OFFSET: usize = 76;
const MAX_PEERS: usize = 88;
const NODE_ID: usize = 92;
const PEER_TABLE: usize = 112;
const PEER_SIZE: usize = 32;
const HISTORY_TABLE: usize = PEER_TABLE + PEER_SIZE * PEERS as usize;

/// Flags of the node.
pub(crate) mod flag {
    pub(crate) const CONSISTENT: u32 = 1;
    pub(crate) const PRIMARY: u32 = 1 << 1;
    pub(crate) const WAS_UP_TO_DATE: u32 = 1 << 4;
    pub(crate) const CRASHED_PRIMARY: u32 = 1 << 6;
    pub(crate) const AL_CLEAN: u32 = 1 << 7;
    pub(crate) const AL_DISABLED: u32 = 1 << 8;
    pub(crate) const PRIMARY_LOST_QUORUM: u32 = 1 << 9;
}

/// Flags of a peer.
pub(crate) mod peer_flag {
    pub(crate) const CONNECTED: u32 = 1;
    pub(crate) const OUTDATED: u32 = 1 << 1;
    pub(crate) const FENCING: u32 = 1 << 2;
    pub(crate) const FULL_SYNC: u32 = 1 << 3;
    pub(crate) const DEVICE_SEEN: u32 = 1 << 4;
    pub(crate) const NODE_EXISTS: u32 = 1 << 16;
    pub(crate) const HAVE_BITMAP: u32 = 1 << 31;
}

/// One superblock and where it is.
#[derive(Debug)]
pub(crate) struct Metadata {
    file: Arc<File>,
    offset: u64,
    internal: bool,
    raw: Vec<u8>,
}

impl Metadata {
    /// Reads metadata: at the end of the data's own device, or at the start of one of their own.
    ///
    /// `None` when there are none.
    pub(crate) fn read(file: Arc<File>, device_bytes: u64, internal: bool) -> io::Result<Option<Self>> {
        let offset = if internal { (device_bytes & !(BLOCK - 1)).saturating_sub(BLOCK) } else { 0 };
        let mut raw = vec![0; BLOCK as usize];
        file.read_exact_at(&mut raw, offset)?;
        let metadata = Self { file, offset, internal, raw };
        Ok((metadata.get32(MAGIC_AT) == MAGIC).then_some(metadata))
    }

    /// Writes the superblock back.
    pub(crate) fn write(&self) -> io::Result<()> {
        self.file.write_all_at(&self.raw, self.offset)?;
        self.file.sync_data()
    }

    /// How many KiB of data fit, on a data device of this size.
    pub(crate) fn capacity_kib(&self, device_bytes: u64) -> u64 {
        if !self.internal {
            return device_bytes / BLOCK * (BLOCK / 1024);
        }
        let bitmap = i64::from(self.get_i32(BM_OFFSET)) * 512;
        self.offset.saturating_add_signed(bitmap) / 1024
    }

    /// How many KiB of data would fit once internal metadata have followed their device to its end.
    pub(crate) fn potential_kib(&self, device_bytes: u64) -> u64 {
        let end = (device_bytes & !(BLOCK - 1)).saturating_sub(BLOCK);
        if !self.internal || end <= self.offset {
            return self.capacity_kib(device_bytes);
        }
        let bitmap = bitmap_sectors(device_bytes, u64::from(self.max_peers()));
        end.saturating_add_signed(-(AL_SECTORS + bitmap) * 512) / 1024
    }

    /// Moves internal metadata to the end of a device that grew, as `resize` does.
    pub(crate) fn follow(&mut self, device_bytes: u64) -> io::Result<()> {
        let end = (device_bytes & !(BLOCK - 1)).saturating_sub(BLOCK);
        if !self.internal || end <= self.offset {
            return Ok(());
        }
        let bitmap = bitmap_sectors(device_bytes, u64::from(self.max_peers()));
        self.put_i32(AL_OFFSET, -AL_SECTORS);
        self.put_i32(BM_OFFSET, -AL_SECTORS - bitmap);
        self.put_i32(MD_SIZE, SB_SECTORS + AL_SECTORS + bitmap);
        let mut log = vec![0; (AL_SECTORS * 512) as usize];
        let log_bytes = log.len() as u64;
        self.file.read_exact_at(&mut log, self.offset - log_bytes)?;
        self.file.write_all_at(&log, end - log_bytes)?;
        let empty = vec![0; (bitmap * 512) as usize];
        self.file.write_all_at(&empty, end - log_bytes - empty.len() as u64)?;
        let old = std::mem::replace(&mut self.offset, end);
        self.write()?;
        // Two superblocks would be found by whoever looks at both places.
        self.file.write_all_at(&vec![0; BLOCK as usize], old)
    }

    /// The size that all nodes last agreed on, in KiB.
    pub(crate) fn effective_kib(&self) -> u64 {
        self.get64(EFFECTIVE_SIZE) / 2
    }

    pub(crate) fn set_effective_kib(&mut self, kib: u64) {
        self.put64(EFFECTIVE_SIZE, kib * 2);
    }

    /// The data generation that the disk holds.
    pub(crate) fn current(&self) -> u64 {
        self.get64(CURRENT)
    }

    /// A new data generation; the old one becomes history unless it never was one.
    pub(crate) fn set_current(&mut self, uuid: u64) {
        self.put64(CURRENT, uuid);
    }

    pub(crate) fn max_peers(&self) -> u32 {
        self.get32(MAX_PEERS)
    }

    /// The node that uses these metadata; `None` until one did.
    pub(crate) fn node_id(&self) -> Option<u8> {
        u8::try_from(self.get32(NODE_ID)).ok()
    }

    pub(crate) fn set_node_id(&mut self, node_id: u8) {
        self.put32(NODE_ID, u32::from(node_id));
    }

    pub(crate) fn has(&self, flags: u32) -> bool {
        self.get32(FLAGS) & flags == flags
    }

    pub(crate) fn put_flag(&mut self, flags: u32, on: bool) {
        let old = self.get32(FLAGS);
        self.put32(FLAGS, if on { old | flags } else { old & !flags });
    }

    /// The generation from which on a peer lacks what the bitmap says; 0 when it lacks nothing.
    pub(crate) fn bitmap_uuid(&self, peer: u8) -> u64 {
        self.get64(peer_at(peer))
    }

    pub(crate) fn set_bitmap_uuid(&mut self, peer: u8, uuid: u64) {
        self.put64(peer_at(peer), uuid);
    }

    pub(crate) fn peer_has(&self, peer: u8, flags: u32) -> bool {
        self.get32(peer_at(peer) + 16) & flags == flags
    }

    /// The node-ids that were ever met and not forgotten.
    pub(crate) fn known_peers(&self) -> impl Iterator<Item = u8> {
        let met = [peer_flag::HAVE_BITMAP, peer_flag::NODE_EXISTS, peer_flag::DEVICE_SEEN];
        (0..PEERS).filter(move |peer| met.iter().any(|flag| self.peer_has(*peer, *flag)))
    }

    pub(crate) fn put_peer_flag(&mut self, peer: u8, flags: u32, on: bool) {
        let at = peer_at(peer) + 16;
        let old = self.get32(at);
        self.put32(at, if on { old | flags } else { old & !flags });
    }

    /// Gives a peer a bitmap slot, if it has none. `false`: there is none left.
    pub(crate) fn take_slot(&mut self, peer: u8) -> bool {
        if self.peer_has(peer, peer_flag::HAVE_BITMAP) {
            return true;
        }
        let taken: Vec<u32> = (0..PEERS)
            .filter(|other| self.peer_has(*other, peer_flag::HAVE_BITMAP))
            .map(|other| self.get32(peer_at(other) + 20))
            .collect();
        let Some(slot) = (0..self.max_peers()).find(|slot| !taken.contains(slot)) else { return false };
        self.put32(peer_at(peer) + 20, slot);
        self.put_peer_flag(peer, peer_flag::HAVE_BITMAP | peer_flag::NODE_EXISTS, true);
        true
    }

    /// Gives the slot of a former peer back.
    pub(crate) fn forget_peer(&mut self, peer: u8) {
        self.set_bitmap_uuid(peer, 0);
        self.put32(peer_at(peer) + 16, 0);
        self.put32(peer_at(peer) + 20, u32::MAX);
    }

    /// Former generations, youngest first.
    pub(crate) fn history(&self) -> Vec<u64> {
        (0..HISTORY).map(|index| self.get64(HISTORY_TABLE + index * 8)).filter(|uuid| *uuid != 0).collect()
    }

    /// Notes a former generation.
    pub(crate) fn remember(&mut self, uuid: u64) {
        if uuid == 0 || uuid == JUST_CREATED {
            return;
        }
        let mut history = self.history();
        history.retain(|known| known & !1 != uuid & !1);
        history.insert(0, uuid);
        history.truncate(HISTORY);
        history.resize(HISTORY, 0);
        for (index, uuid) in history.into_iter().enumerate() {
            self.put64(HISTORY_TABLE + index * 8, uuid);
        }
    }

    /// The line of `get-gi` for a peer.
    pub(crate) fn line(&self, peer: u8) -> String {
        use flag::{
            AL_CLEAN, AL_DISABLED, CONSISTENT, CRASHED_PRIMARY, PRIMARY, PRIMARY_LOST_QUORUM, WAS_UP_TO_DATE,
        };
        use peer_flag::{CONNECTED, DEVICE_SEEN, FENCING, FULL_SYNC, OUTDATED};
        let mut history = self.history().into_iter().chain([0, 0]);
        let (younger, older) = (history.next().unwrap_or(0), history.next().unwrap_or(0));
        let uuids = [self.current(), self.bitmap_uuid(peer), younger, older];
        let node = [
            CONSISTENT,
            WAS_UP_TO_DATE,
            PRIMARY,
            CRASHED_PRIMARY,
            AL_CLEAN,
            AL_DISABLED,
            PRIMARY_LOST_QUORUM,
        ];
        let peers = [CONNECTED, OUTDATED, FENCING, FULL_SYNC, DEVICE_SEEN];
        let flags = node.iter().map(|flag| self.has(*flag));
        let flags = flags.chain(peers.iter().map(|flag| self.peer_has(peer, *flag)));
        let uuids = uuids.iter().map(|uuid| format!("{uuid:016X}"));
        uuids.chain(flags.map(|on| u8::from(on).to_string())).collect::<Vec<_>>().join(":")
    }

    fn get64(&self, at: usize) -> u64 {
        let bytes = self.raw.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u64::from_be_bytes)
    }

    fn get32(&self, at: usize) -> u32 {
        let bytes = self.raw.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u32::from_be_bytes)
    }

    fn get_i32(&self, at: usize) -> i32 {
        self.get32(at).cast_signed()
    }

    fn put64(&mut self, at: usize, value: u64) {
        if let Some(bytes) = self.raw.get_mut(at..at + 8) {
            bytes.copy_from_slice(&value.to_be_bytes());
        }
    }

    fn put32(&mut self, at: usize, value: u32) {
        if let Some(bytes) = self.raw.get_mut(at..at + 4) {
            bytes.copy_from_slice(&value.to_be_bytes());
        }
    }

    fn put_i32(&mut self, at: usize, value: i64) {
        self.put32(at, i32::try_from(value).unwrap_or(0).cast_unsigned());
    }
}

fn peer_at(peer: u8) -> usize {
    PEER_TABLE + PEER_SIZE * usize::from(peer.min(PEERS - 1))
}

/// Sectors that the bitmaps of all peers take, for a data device of this size.
fn bitmap_sectors(device_bytes: u64, peers: u64) -> i64 {
    let bits = device_bytes.div_ceil(BLOCK).next_multiple_of(64);
    let bytes = (bits / 8 * peers).next_multiple_of(BLOCK);
    i64::try_from(bytes / 512).unwrap_or(i64::MAX)
}

/// What `drbdmeta create-md` writes; for tests without a block device.
#[cfg(test)]
pub(crate) fn create(file: &File, max_peers: u32) -> io::Result<()> {
    let bytes = file.metadata()?.len();
    let bitmap = bitmap_sectors(bytes, u64::from(max_peers));
    let mut new = Metadata {
        file: Arc::new(file.try_clone()?),
        offset: (bytes & !(BLOCK - 1)) - BLOCK,
        internal: true,
        raw: vec![0; BLOCK as usize],
    };
    new.put64(CURRENT, JUST_CREATED);
    new.put32(FLAGS, flag::AL_CLEAN);
    new.put32(MAGIC_AT, MAGIC);
    new.put_i32(MD_SIZE, SB_SECTORS + AL_SECTORS + bitmap);
    new.put_i32(AL_OFFSET, -AL_SECTORS);
    new.put32(72, 257);
    new.put_i32(BM_OFFSET, -AL_SECTORS - bitmap);
    new.put32(80, 4096);
    new.put32(MAX_PEERS, max_peers);
    new.put32(NODE_ID, u32::MAX);
    new.put32(96, 1);
    new.put32(100, 8);
    (0..PEERS).for_each(|peer| new.put32(peer_at(peer) + 20, u32::MAX));
    new.write()
}
