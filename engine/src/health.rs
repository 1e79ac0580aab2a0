// SPDX-License-Identifier: MPL-2.0
//! What is wrong with a resource although it runs as declared: no configuration can say "UpToDate" or "connected". Pure.
//!
//! Not here: what a run can mend (that is its plan), and why a connection is StandAlone (`split_brain`).

use crate::tools::drbdsetup::{
    ConnectionState, ConnectionStatus, DeviceStatus, DiskState, PeerDeviceStatus, ReplicationState,
    ResourceStatus, SuspendReason, SyncSuspendReason,
};
use drbd_schemas::ByteSize;
use std::fmt;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ailment {
    /// The device does no I/O: reads and writes wait.
    Suspended(SuspendReason),
    /// This node has no quorum for a volume: it does no I/O, or answers it with errors (`on-no-quorum`).
    NoQuorum {
        /// The volume.
        volume: u16,
    },
    /// The disk here holds no data that may be used now.
    Disk {
        /// The volume.
        volume: u16,
        /// Its state.
        state: DiskState,
    },
    /// A peer is not connected.
    NotConnected {
        /// The peer.
        peer: String,
        /// The connection's state.
        state: ConnectionState,
        /// How many peers are connected, of how many.
        connected: (usize, usize),
    },
    /// A synchronisation is paused.
    SyncPaused {
        /// The volume.
        volume: u16,
        /// The peer.
        peer: String,
        /// Who paused it.
        reasons: Vec<SyncSuspendReason>,
        /// What is still to be sent, in bytes.
        left: Option<u64>,
    },
    /// Both replicas count as UpToDate, and blocks are known to differ: a verification found them, or on DRBD 8.4 the volume grew
    /// while it was down (docs/behaviour.md B24).
    OutOfSync {
        /// The volume.
        volume: u16,
        /// The peer.
        peer: String,
        /// How much differs, in bytes.
        bytes: u64,
    },
    /// The data here are not good, a peer's are, and nothing is being sent.
    NoSync {
        /// The volume.
        volume: u16,
        /// The peer with good data.
        peer: String,
    },
}

impl fmt::Display for Ailment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Suspended(reason) => {
                write!(f, "the device does no I/O, {}", suspended(reason))
            }
            Self::NoQuorum { volume } => write!(f, "volume {volume} has no quorum on this node"),
            Self::Disk { volume, state } => write!(f, "volume {volume} is {state} on this node"),
            Self::NotConnected { peer, state, connected: (some, all) } => {
                write!(f, "{peer} is not connected ({state}); {some} of {all} peers are")
            }
            Self::SyncPaused { volume, peer, reasons, left } => {
                let by: Vec<&str> = reasons.iter().map(paused_by).collect();
                write!(
                    f,
                    "the synchronisation of volume {volume} with {peer} is paused {}",
                    by.join(" and ")
                )?;
                left.map_or(Ok(()), |left| write!(f, ", {} are left", ByteSize::from_bytes(left)))
            }
            Self::OutOfSync { volume, peer, bytes } => write!(
                f,
                "volume {volume} differs from {peer} in {}, and nothing repairs that by itself (a verification found it, or the volume grew while DRBD was down)",
                ByteSize::from_bytes(*bytes)
            ),
            Self::NoSync { volume, peer } => {
                write!(
                    f,
                    "volume {volume} is Inconsistent on this node, {peer} has good data, and no synchronisation runs"
                )
            }
        }
    }
}

/// Why a device is suspended, and what ends it.
pub(crate) fn suspended(reason: &SuspendReason) -> String {
    match reason {
        SuspendReason::User => "suspended by hand (`drbdadm resume-io` ends it)".to_owned(),
        SuspendReason::NoData => "suspended because no good data can be reached".to_owned(),
        SuspendReason::Fencing => "suspended until the fence-peer handler has answered".to_owned(),
        SuspendReason::Quorum => "suspended because quorum is lost".to_owned(),
        SuspendReason::Unrecognised(word) => format!("suspended ({word})"),
    }
}

fn paused_by(reason: &SyncSuspendReason) -> &str {
    match reason {
        SyncSuspendReason::User => "by hand on this node (`drbdadm resume-sync` ends it)",
        SyncSuspendReason::Peer => "by hand on the peer",
        SyncSuspendReason::Dependency => "until another synchronisation is done",
        SyncSuspendReason::Unrecognised(word) => word,
    }
}

/// Everything that is wrong with a running resource. `only_peer` names the peer where the status does not (DRBD 8.4).
pub fn of(status: &ResourceStatus, only_peer: Option<&str>) -> Vec<Ailment> {
    let mut found: Vec<Ailment> = status.suspended.iter().cloned().map(Ailment::Suspended).collect();
    found.extend(status.devices.iter().flat_map(device));
    let all = status.connections.len();
    let is_connected =
        |connection: &&ConnectionStatus| connection.connection_state == ConnectionState::Connected;
    let connected = status.connections.iter().filter(is_connected).count();
    for connection in &status.connections {
        let peer = connection.name.as_deref().or(only_peer).unwrap_or("the peer");
        if !is_connected(&connection) {
            let state = connection.connection_state.clone();
            found.push(Ailment::NotConnected { peer: peer.to_owned(), state, connected: (connected, all) });
        }
        found.extend(connection.peer_devices.iter().filter_map(|volume| sync(status, volume, peer)));
    }
    found
}

fn device(device: &DeviceStatus) -> Vec<Ailment> {
    let volume = device.volume;
    let mut found = Vec::new();
    if device.quorum == Some(false) {
        found.push(Ailment::NoQuorum { volume });
    }
    let bad = [DiskState::Outdated, DiskState::Negotiating, DiskState::Failed, DiskState::Consistent];
    if bad.contains(&device.disk_state) {
        found.push(Ailment::Disk { volume, state: device.disk_state.clone() });
    }
    found
}

fn sync(status: &ResourceStatus, volume: &PeerDeviceStatus, peer: &str) -> Option<Ailment> {
    let here = status.devices.iter().find(|device| device.volume == volume.volume)?;
    let (number, peer) = (volume.volume, peer.to_owned());
    let left = volume.out_of_sync_kib.map(|kib| kib * 1024);
    let both_good = here.disk_state == DiskState::UpToDate && volume.peer_disk_state == DiskState::UpToDate;
    if volume.replication_state.is_resync() && !volume.resync_suspended.is_empty() {
        let reasons = volume.resync_suspended.clone();
        return Some(Ailment::SyncPaused { volume: number, peer, reasons, left });
    }
    if volume.replication_state != ReplicationState::Established {
        return None;
    }
    if both_good {
        return left.filter(|bytes| *bytes > 0).map(|bytes| Ailment::OutOfSync {
            volume: number,
            peer,
            bytes,
        });
    }
    let bad = here.disk_state == DiskState::Inconsistent && volume.peer_disk_state == DiskState::UpToDate;
    bad.then_some(Ailment::NoSync { volume: number, peer })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::Family;
    use crate::tools::drbdsetup;
    use crate::tools::samples;

    fn status(version: &str, name: &str) -> ResourceStatus {
        let family = if version.starts_with("8.4") { Family::V84 } else { Family::V9 };
        let output = &samples::one("drbdsetup", version, name).output;
        drbdsetup::parse_status(family, output).unwrap().remove(0)
    }

    fn healthy() -> ResourceStatus {
        let peer = |name: &str| ConnectionStatus {
            peer_node_id: Some(1),
            name: Some(name.to_owned()),
            connection_state: ConnectionState::Connected,
            peer_role: drbdsetup::RoleName::Secondary,
            paths: Vec::new(),
            peer_devices: vec![PeerDeviceStatus {
                volume: 0,
                replication_state: ReplicationState::Established,
                peer_disk_state: DiskState::UpToDate,
                peer_client: Some(false),
                resync_suspended: Vec::new(),
                out_of_sync_kib: Some(0),
                done: None,
            }],
        };
        ResourceStatus {
            name: "r0".to_owned(),
            node_id: Some(0),
            role: drbdsetup::RoleName::Primary,
            suspended: Vec::new(),
            devices: vec![DeviceStatus {
                volume: 0,
                minor: 1000,
                disk_state: DiskState::UpToDate,
                client: Some(false),
                quorum: Some(true),
                size_kib: Some(65536),
                open: None,
            }],
            connections: vec![peer("h2"), peer("h3")],
        }
    }

    #[track_caller]
    fn says(change: impl FnOnce(&mut ResourceStatus), expected: &str) {
        let mut status = healthy();
        change(&mut status);
        let found: Vec<String> = of(&status, None).iter().map(ToString::to_string).collect();
        assert_eq!(found, [expected]);
    }

    #[test]
    fn a_healthy_resource_has_nothing() {
        assert_eq!(of(&healthy(), None), []);
    }

    #[test]
    fn each_ailment_is_named_with_its_volume_and_peer() {
        says(
            |status| status.suspended = vec![SuspendReason::User],
            "the device does no I/O, suspended by hand (`drbdadm resume-io` ends it)",
        );
        says(|status| status.devices[0].quorum = Some(false), "volume 0 has no quorum on this node");
        says(
            |status| status.devices[0].disk_state = DiskState::Outdated,
            "volume 0 is Outdated on this node",
        );
        says(
            |status| {
                status.connections[1].connection_state = ConnectionState::Connecting;
                status.connections[1].peer_devices[0].replication_state = ReplicationState::Off;
            },
            "h3 is not connected (Connecting); 1 of 2 peers are",
        );
        says(
            |status| {
                let volume = &mut status.connections[0].peer_devices[0];
                volume.replication_state = ReplicationState::PausedSyncS;
                volume.resync_suspended = vec![SyncSuspendReason::User];
                volume.out_of_sync_kib = Some(1024);
            },
            "the synchronisation of volume 0 with h2 is paused by hand on this node (`drbdadm resume-sync` ends it), 1MiB are left",
        );
        says(
            |status| status.connections[0].peer_devices[0].out_of_sync_kib = Some(12),
            "volume 0 differs from h2 in 12KiB, and nothing repairs that by itself (a verification found it, or the volume grew while DRBD was down)",
        );
    }

    #[test]
    fn data_that_wait_for_their_first_synchronisation_are_not_ill() {
        let mut status = healthy();
        status.devices[0].disk_state = DiskState::Inconsistent;
        for connection in &mut status.connections {
            connection.peer_devices[0].peer_disk_state = DiskState::Inconsistent;
        }
        assert_eq!(of(&status, None), []);
        status.connections[1].peer_devices[0].peer_disk_state = DiskState::UpToDate;
        assert_eq!(of(&status, None), [Ailment::NoSync { volume: 0, peer: "h3".to_owned() }]);
    }

    #[test]
    fn recorded_states_are_told() {
        let told = |version: &str, name: &str| -> Vec<String> {
            of(&status(version, name), Some("h2")).iter().map(ToString::to_string).collect()
        };
        assert_eq!(
            told("9.2.18-utils-9.22", "status-json-n1-primary-mounted-loses-both-peers"),
            [
                "volume 0 has no quorum on this node",
                "n2 is not connected (Connecting); 0 of 2 peers are",
                "n3 is not connected (Connecting); 0 of 2 peers are"
            ]
        );
        let paused = told("8.4.11-utils-9.22", "events2-paused-sync");
        assert!(
            paused[0].starts_with("the synchronisation of volume 0 with h2 is paused by hand on this node"),
            "{paused:?}"
        );
    }
}
