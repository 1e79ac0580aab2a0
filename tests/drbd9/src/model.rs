// SPDX-License-Identifier: MPL-2.0
//! What the kernel would hold: resources, their volumes, their connections, and each volume as seen over each
//! connection. Only data and the questions one can ask of them; what changes them is in `kernel`.

use crate::bitmap::Bitmap;
use crate::generation::Generation;
use crate::link::Link;
use crate::metadata::Metadata;
use crate::wire::News;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::net::SocketAddr;
use std::sync::Arc;

macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$word_meta:meta])* $word:ident),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub(crate) enum $name { $($(#[$word_meta])* $word),* }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$word => stringify!($word)),* })
            }
        }
    };
}

words! {
    /// Role of a node.
    Role { Unknown, Primary, Secondary }
}
words! {
    /// State of a replica, worst first.
    DiskState { Diskless, Inconsistent, Outdated, DUnknown, Consistent, UpToDate }
}
words! {
    /// State of a connection.
    ConnectionState { StandAlone, Connecting, Connected }
}
words! {
    /// What goes on for one volume over one connection.
    Replication { Off, Established, SyncSource, SyncTarget, PausedSyncS, PausedSyncT, VerifyS, VerifyT }
}

/// Options of one group, in the order in which they were first given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Options(Vec<(String, String)>);

impl Options {
    /// The value of an option; empty for one that was given bare.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Sets one.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => value.clone_into(old),
            None => self.0.push((name.to_owned(), value.to_owned())),
        }
    }

    /// Takes over others; with `set_defaults`, what is not among them goes back to its default.
    pub(crate) fn change(&mut self, others: &Self, set_defaults: bool) {
        if set_defaults {
            self.0.clear();
        }
        others.0.iter().for_each(|(name, value)| self.set(name, value));
    }

    /// The same without some.
    pub(crate) fn without(&self, names: &[&str]) -> Self {
        Self(self.0.iter().filter(|(name, _)| !names.contains(&name.as_str())).cloned().collect())
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// The disk below a volume.
#[derive(Debug)]
pub(crate) struct Backing {
    /// Its path, as given.
    pub(crate) path: String,
    /// Where the metadata are, as given: `internal` or a path.
    pub(crate) meta_disk: String,
    /// The data, held exclusively.
    pub(crate) file: Arc<File>,
    /// The metadata, which know where they are.
    pub(crate) meta: Metadata,
}

/// Counters that `--statistics` prints, in KiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    pub(crate) read: u64,
    pub(crate) written: u64,
}

/// A generation that a node is about to declare on all that are connected to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Promise {
    pub(crate) uuid: u64,
    /// Who is about to.
    pub(crate) by: u8,
}

/// One volume of a resource on this node.
#[derive(Debug)]
pub(crate) struct Volume {
    pub(crate) minor: u32,
    pub(crate) disk_state: DiskState,
    /// Diskless on purpose.
    pub(crate) client: bool,
    pub(crate) options: Options,
    pub(crate) backing: Option<Backing>,
    /// The agreed size in KiB; 0 until there is one.
    pub(crate) size_kib: u64,
    pub(crate) quorum: bool,
    pub(crate) counters: Counters,
    /// A generation that some node is about to declare everywhere: no sync is started towards it.
    pub(crate) promised: Option<Promise>,
    /// This node is Primary without its disk, and peers know that the disk misses what is written.
    pub(crate) missed: bool,
}

/// One volume over one connection.
#[derive(Debug)]
pub(crate) struct PeerVolume {
    pub(crate) replication: Replication,
    pub(crate) disk: DiskState,
    pub(crate) client: bool,
    /// `pause-sync` here.
    pub(crate) paused: bool,
    pub(crate) options: Options,
    /// Blocks that this peer has not got (or has got and this node has not).
    pub(crate) bitmap: Bitmap,
    /// How many blocks were out of sync when the running sync began.
    pub(crate) sync_total: u64,
    pub(crate) received: u64,
    pub(crate) sent: u64,
    /// How large the peer's backing device lets the volume be, in KiB; 0 while not known or without one.
    pub(crate) max_kib: u64,
    /// What it last said of its data.
    pub(crate) generation: Generation,
}

/// One way to a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
}

/// A peer.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) name: String,
    pub(crate) state: ConnectionState,
    pub(crate) role: Role,
    pub(crate) options: Options,
    pub(crate) paths: Vec<Path>,
    pub(crate) volumes: BTreeMap<u16, PeerVolume>,
    pub(crate) link: Option<Link>,
    pub(crate) discard_my_data: bool,
    /// It said goodbye as Secondary: it cannot be Primary without this node's knowledge.
    pub(crate) left: bool,
    /// What this node last said of itself to it.
    pub(crate) told: Option<News>,
}

/// A resource.
#[derive(Debug)]
pub(crate) struct Resource {
    pub(crate) node_id: u8,
    pub(crate) role: Role,
    pub(crate) suspended: bool,
    pub(crate) options: Options,
    pub(crate) volumes: BTreeMap<u16, Volume>,
    pub(crate) connections: BTreeMap<u8, Connection>,
}

impl Volume {
    /// A volume without a disk.
    pub(crate) fn new(minor: u32) -> Self {
        Self {
            minor,
            disk_state: DiskState::Diskless,
            client: false,
            options: Options::default(),
            backing: None,
            size_kib: 0,
            quorum: true,
            counters: Counters::default(),
            promised: None,
            missed: false,
        }
    }
}

impl PeerVolume {
    /// Nothing is known yet.
    pub(crate) fn new(blocks: u64) -> Self {
        Self {
            replication: Replication::Off,
            disk: DiskState::DUnknown,
            client: false,
            paused: false,
            options: Options::default(),
            bitmap: Bitmap::new(blocks),
            sync_total: 0,
            received: 0,
            sent: 0,
            max_kib: 0,
            generation: Generation::default(),
        }
    }

    /// What stays of it when the connection is gone.
    pub(crate) fn disconnected(&mut self) {
        self.replication = Replication::Off;
        self.disk = DiskState::DUnknown;
        self.client = false;
        self.max_kib = 0;
        self.sync_total = 0;
    }

    /// A sync over this connection is under way.
    pub(crate) fn syncs(&self) -> bool {
        use Replication::{
            Established, Off, PausedSyncS, PausedSyncT, SyncSource, SyncTarget, VerifyS, VerifyT,
        };
        match self.replication {
            SyncSource | SyncTarget | PausedSyncS | PausedSyncT => true,
            Off | Established | VerifyS | VerifyT => false,
        }
    }

    /// How much of the running sync is done, in hundredths of a percent.
    pub(crate) fn done(&self) -> u64 {
        let total = self.sync_total.max(1);
        10_000 * total.saturating_sub(self.bitmap.dirty()) / total
    }
}

impl Connection {
    /// A peer that was named and no more.
    pub(crate) fn new(name: String, options: Options) -> Self {
        Self {
            name,
            state: ConnectionState::StandAlone,
            role: Role::Unknown,
            options,
            paths: Vec::new(),
            volumes: BTreeMap::new(),
            link: None,
            discard_my_data: false,
            left: false,
            told: None,
        }
    }

    /// The link while it is up.
    pub(crate) fn up(&self) -> Option<&Link> {
        self.link.as_ref().filter(|_| self.state == ConnectionState::Connected)
    }
}

impl Resource {
    /// A resource without volumes or peers.
    pub(crate) fn new(node_id: u8, options: Options) -> Self {
        Self {
            node_id,
            role: Role::Secondary,
            suspended: false,
            options,
            volumes: BTreeMap::new(),
            connections: BTreeMap::new(),
        }
    }

    /// `on-no-quorum suspend-io` is in force: the default is io-error only when told so.
    pub(crate) fn suspended_by_quorum(&self) -> bool {
        let suspends = self.options.get("on-no-quorum").unwrap_or("suspend-io") == "suspend-io";
        suspends && self.volumes.values().any(|volume| !volume.quorum)
    }

    /// Whether somebody, here or connected, has good data of a volume.
    pub(crate) fn has_up_to_date(&self, number: u16) -> bool {
        let here = self.volumes.get(&number).is_some_and(|volume| volume.disk_state == DiskState::UpToDate);
        here || self.connections.values().any(|connection| {
            let peer = connection.volumes.get(&number);
            connection.state == ConnectionState::Connected
                && peer.is_some_and(|peer| peer.disk == DiskState::UpToDate)
        })
    }
}
