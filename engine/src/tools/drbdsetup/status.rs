// SPDX-License-Identifier: MPL-2.0
//! Status of a resource as both families report it. Not here: how either family prints it.

use crate::tools::drbdsetup::state::{
    ConnectionState, DiskState, ReplicationState, RoleName, SuspendReason, SyncSuspendReason,
};
use crate::tools::percent::Percent;

/// One resource that is up on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceStatus {
    /// Name of the resource.
    pub name: String,
    /// This host's node-id. `None` on DRBD 8.4, which has none.
    pub node_id: Option<u8>,
    /// This host's role. Not configuration: auto-promote changes it with every open and close.
    pub role: RoleName,
    /// Why I/O is suspended; empty when it is not.
    pub suspended: Vec<SuspendReason>,
    /// Volumes, by volume number.
    pub devices: Vec<DeviceStatus>,
    /// Connections, by peer node-id; on DRBD 8.4 at most one.
    pub connections: Vec<ConnectionStatus>,
}

impl ResourceStatus {
    /// A connection was given up: split brain, a peer that refuses, or disconnected by hand.
    pub fn stands_alone(&self) -> bool {
        self.connections.iter().any(|c| c.connection_state == ConnectionState::StandAlone)
    }
}

/// This host's replica of one volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceStatus {
    /// Volume number, 0 to 65534.
    pub volume: u16,
    /// Minor number of `/dev/drbdN`.
    pub minor: u32,
    /// State of the own disk.
    pub disk_state: DiskState,
    /// Whether a diskless device is meant to be so (`disk none`). `None` on DRBD 8.4.
    pub client: Option<bool>,
    /// Whether the node has quorum for this volume. `None` on DRBD 8.4.
    pub quorum: Option<bool>,
    /// Usable size in KiB, as the peers agreed on it; 0 while diskless and unconnected. `None` where DRBD gives
    /// no statistics.
    pub size_kib: Option<u64>,
    /// Whether somebody holds `/dev/drbdN` open. `None` where drbd-utils do not tell (before 9.29, and 8.4).
    pub open: Option<bool>,
}

/// The connection to one peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionStatus {
    /// The peer's node-id. `None` on DRBD 8.4, which has none.
    pub peer_node_id: Option<u8>,
    /// The peer's host name. `None` on DRBD 8.4, which does not keep it.
    pub name: Option<String>,
    /// State of the connection.
    pub connection_state: ConnectionState,
    /// The peer's role.
    pub peer_role: RoleName,
    /// Addresses of the connection; empty where the tool does not list them.
    pub paths: Vec<PathStatus>,
    /// The peer's replicas, by volume number.
    pub peer_devices: Vec<PeerDeviceStatus>,
}

/// One path of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathStatus {
    /// Own address as `family:address:port`, e.g. `ipv4:192.0.2.1:7788`.
    pub local: String,
    /// The peer's address in the same form.
    pub peer: String,
    /// Whether the transport has this path up.
    pub established: bool,
}

/// One peer's replica of one volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerDeviceStatus {
    /// Volume number.
    pub volume: u16,
    /// State of replication.
    pub replication_state: ReplicationState,
    /// State of the peer's disk as far as this node knows.
    pub peer_disk_state: DiskState,
    /// Whether a diskless peer is meant to be so. `None` on DRBD 8.4.
    pub peer_client: Option<bool>,
    /// Why a sync is paused; empty when it is not.
    pub resync_suspended: Vec<SyncSuspendReason>,
    /// Data that this peer lacks or this node lacks from it, in KiB. `None` where DRBD gives no statistics.
    pub out_of_sync_kib: Option<u64>,
    /// How much of the running sync (or online verify) is done; `None` when none runs. DRBD 8.4 counts the whole
    /// volume, DRBD 9 the blocks that this sync had to move.
    pub done: Option<Percent>,
}
