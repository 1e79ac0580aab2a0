// SPDX-License-Identifier: MPL-2.0
//! Reads `drbdsetup status --json` of DRBD 9. Keys that only some versions print are optional here by name;
//! all others must be there. Not here: DRBD 8.4 (see `events2`).

use serde::Deserialize;

use crate::tools::ToolError;
use crate::tools::drbdsetup::PROGRAM;
use crate::tools::drbdsetup::state::{
    ConnectionState, DiskState, ReplicationState, RoleName, SuspendReason, SyncSuspendReason,
};
use crate::tools::drbdsetup::status::{
    ConnectionStatus, DeviceStatus, PathStatus, PeerDeviceStatus, ResourceStatus,
};
use crate::tools::percent::Percent;

const WHAT: &str = "status --json";

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RawResource {
    name: String,
    node_id: i64,
    role: String,
    suspended_user: bool,
    suspended_no_data: bool,
    suspended_fencing: bool,
    suspended_quorum: bool,
    devices: Vec<RawDevice>,
    connections: Vec<RawConnection>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RawDevice {
    volume: u16,
    minor: u32,
    disk_state: String,
    client: bool,
    quorum: bool,
    size: Option<u64>,
    open: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RawConnection {
    peer_node_id: i64,
    name: String,
    connection_state: String,
    peer_role: String,
    // Printed by drbd-utils 9.26 and later.
    #[serde(default)]
    paths: Vec<RawPath>,
    #[serde(rename = "peer_devices")]
    peer_devices: Vec<RawPeerDevice>,
}

#[derive(Deserialize)]
struct RawPath {
    this_host: RawAddress,
    remote_host: RawAddress,
    established: bool,
}

#[derive(Deserialize)]
struct RawAddress {
    address: String,
    port: u16,
    family: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RawPeerDevice {
    volume: u16,
    replication_state: String,
    peer_disk_state: String,
    peer_client: bool,
    resync_suspended: String,
    out_of_sync: Option<u64>,
    // Only while a sync runs, and then not in every version.
    percent_resync_done: Option<f64>,
}

/// All resources of the document.
pub(super) fn parse(text: &str) -> Result<Vec<ResourceStatus>, ToolError> {
    let raw: Vec<RawResource> =
        serde_json::from_str(text).map_err(|reason| ToolError::json(PROGRAM, WHAT, text, &reason))?;
    raw.into_iter().map(resource).collect()
}

fn resource(raw: RawResource) -> Result<ResourceStatus, ToolError> {
    let suspended = [
        (raw.suspended_user, SuspendReason::User),
        (raw.suspended_no_data, SuspendReason::NoData),
        (raw.suspended_fencing, SuspendReason::Fencing),
        (raw.suspended_quorum, SuspendReason::Quorum),
    ];
    let mut devices: Vec<DeviceStatus> = raw.devices.into_iter().map(device).collect();
    devices.sort_by_key(|device| device.volume);
    let mut connections = Vec::with_capacity(raw.connections.len());
    for connection_raw in raw.connections {
        connections.push(connection(connection_raw)?);
    }
    connections.sort_by_key(|connection| connection.peer_node_id);
    Ok(ResourceStatus {
        node_id: Some(node_id("node-id", raw.node_id, &raw.name)?),
        role: RoleName::parse(&raw.role),
        suspended: suspended.into_iter().filter(|(set, _)| *set).map(|(_, reason)| reason).collect(),
        devices,
        connections,
        name: raw.name,
    })
}

/// Node-ids are 0 to 31; DRBD prints -1 where it has none.
fn node_id(what: &'static str, found: i64, of: &str) -> Result<u8, ToolError> {
    u8::try_from(found)
        .ok()
        .filter(|id| *id < 32)
        .ok_or_else(|| ToolError::bad(PROGRAM, what, &found.to_string(), "a node-id from 0 to 31", of))
}

fn device(raw: RawDevice) -> DeviceStatus {
    DeviceStatus {
        volume: raw.volume,
        minor: raw.minor,
        disk_state: DiskState::parse(&raw.disk_state),
        client: Some(raw.client),
        quorum: Some(raw.quorum),
        size_kib: raw.size,
        open: raw.open,
    }
}

fn connection(raw: RawConnection) -> Result<ConnectionStatus, ToolError> {
    let mut peer_devices: Vec<PeerDeviceStatus> = raw.peer_devices.into_iter().map(peer_device).collect();
    peer_devices.sort_by_key(|peer_device| peer_device.volume);
    Ok(ConnectionStatus {
        peer_node_id: Some(node_id("peer-node-id", raw.peer_node_id, &raw.name)?),
        connection_state: ConnectionState::parse(&raw.connection_state),
        peer_role: RoleName::parse(&raw.peer_role),
        paths: raw.paths.into_iter().map(path).collect(),
        peer_devices,
        name: Some(raw.name),
    })
}

fn path(raw: RawPath) -> PathStatus {
    PathStatus {
        local: address(&raw.this_host),
        peer: address(&raw.remote_host),
        established: raw.established,
    }
}

fn address(raw: &RawAddress) -> String {
    if raw.family == "ipv6" {
        format!("{}:[{}]:{}", raw.family, raw.address, raw.port)
    } else {
        format!("{}:{}:{}", raw.family, raw.address, raw.port)
    }
}

fn peer_device(raw: RawPeerDevice) -> PeerDeviceStatus {
    PeerDeviceStatus {
        volume: raw.volume,
        replication_state: ReplicationState::parse(&raw.replication_state),
        peer_disk_state: DiskState::parse(&raw.peer_disk_state),
        peer_client: Some(raw.peer_client),
        resync_suspended: reasons(&raw.resync_suspended),
        out_of_sync_kib: raw.out_of_sync,
        done: raw.percent_resync_done.and_then(Percent::of_printed),
    }
}

/// `no`, or a comma-separated list.
fn reasons(text: &str) -> Vec<SyncSuspendReason> {
    if text == "no" { Vec::new() } else { text.split(',').map(SyncSuspendReason::parse).collect() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_missing_key_is_named() {
        let text = "[\n{ \"name\": \"r0\", \"node-id\": 0, \"role\": \"Primary\" }\n]";
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains("missing field `suspended-user`"), "{error}");
    }

    #[test]
    fn a_node_id_that_is_none_is_refused() {
        let text = r#"[{"name":"r0","node-id":-1,"role":"Primary","suspended-user":false,"suspended-no-data":false,
            "suspended-fencing":false,"suspended-quorum":false,"devices":[],"connections":[]}]"#;
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains("node-id: found `-1`"), "{error}");
    }

    #[test]
    fn progress_of_a_running_sync_is_read() {
        let text = r#"{"volume":0,"replication-state":"SyncTarget","peer-disk-state":"UpToDate","peer-client":false,
            "resync-suspended":"peer,dependency","out-of-sync":8652,"percent-in-sync":86.79,
            "percent-resync-done":-0.5}"#;
        let read = peer_device(serde_json::from_str(text).unwrap());
        assert_eq!(read.done, Some(Percent::of_hundredths(0)));
        assert_eq!(read.resync_suspended, [SyncSuspendReason::Peer, SyncSuspendReason::Dependency]);
        assert_eq!(read.out_of_sync_kib, Some(8652));
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_read(text in any::<String>()) {
            let _ = parse(&text);
        }
    }
}
