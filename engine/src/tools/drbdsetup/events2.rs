// SPDX-License-Identifier: MPL-2.0
//! Reads `drbdsetup events2 --now --statistics`: one object a line, `key:value`, up to the line `exists -`.
//! Used for DRBD 8.4, which has no JSON. Not here: DRBD 9 (see `status_json`), and following events.

use crate::tools::ToolError;
use crate::tools::drbdsetup::PROGRAM;
use crate::tools::drbdsetup::state::{
    ConnectionState, DiskState, ReplicationState, RoleName, SuspendReason, SyncSuspendReason,
};
use crate::tools::drbdsetup::status::{
    ConnectionStatus, DeviceStatus, PathStatus, PeerDeviceStatus, ResourceStatus,
};
use crate::tools::fields::Fields;
use crate::tools::percent::Percent;

const WHAT: &str = "events2 --now";

/// All resources; the list of an answer that was cut short (no line `exists -`) is an error.
pub(super) fn parse(text: &str) -> Result<Vec<ResourceStatus>, ToolError> {
    let mut resources: Vec<ResourceStatus> = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let Some(object) = line.strip_prefix("exists ") else {
            return Err(ToolError::malformed(PROGRAM, WHAT, "lines that begin with `exists`", line));
        };
        if object.trim() == "-" {
            resources.iter_mut().for_each(finish);
            return Ok(resources);
        }
        read_object(&mut resources, object, line)?;
    }
    let last = text.lines().last().unwrap_or_default();
    Err(ToolError::malformed(PROGRAM, WHAT, "a last line `exists -`", last))
}

fn read_object(resources: &mut Vec<ResourceStatus>, object: &str, line: &str) -> Result<(), ToolError> {
    let (kind, rest) = object.split_once(' ').unwrap_or((object, ""));
    let fields = |what| Fields::of_words(PROGRAM, what, line, rest, ':');
    match kind {
        "resource" => resources.push(resource(&fields("resource"))?),
        "device" => {
            let fields = fields("device");
            owner(resources, &fields, line)?.devices.push(device(&fields)?);
        }
        "connection" => {
            let fields = fields("connection");
            owner(resources, &fields, line)?.connections.push(connection(&fields)?);
        }
        "peer-device" => {
            let fields = fields("peer-device");
            let owner = owner(resources, &fields, line)?;
            let size = size_of(owner, fields.number("volume")?);
            let read = peer_device(&fields, size)?;
            peer(owner, &fields, line)?.peer_devices.push(read);
        }
        "path" => {
            let fields = fields("path");
            let read = path(&fields)?;
            peer(owner(resources, &fields, line)?, &fields, line)?.paths.push(read);
        }
        // A kind of object that this version does not know says nothing about the ones it knows.
        _ => {}
    }
    Ok(())
}

/// The resource that an object line names; DRBD prints it first.
fn owner<'r>(
    resources: &'r mut [ResourceStatus],
    fields: &Fields<'_>,
    line: &str,
) -> Result<&'r mut ResourceStatus, ToolError> {
    let name = fields.need("name")?;
    let expected = "the resource of an object before the object";
    resources
        .iter_mut()
        .find(|resource| resource.name == name)
        .ok_or_else(|| ToolError::malformed(PROGRAM, WHAT, expected, line))
}

/// The connection that an object line belongs to.
fn peer<'r>(
    resource: &'r mut ResourceStatus,
    fields: &Fields<'_>,
    line: &str,
) -> Result<&'r mut ConnectionStatus, ToolError> {
    let node_id: u8 = fields.number("peer-node-id")?;
    resource
        .connections
        .iter_mut()
        .find(|connection| connection.peer_node_id == Some(node_id))
        .ok_or_else(|| ToolError::malformed(PROGRAM, WHAT, "the connection before what belongs to it", line))
}

fn resource(fields: &Fields<'_>) -> Result<ResourceStatus, ToolError> {
    let suspended = fields.need("suspended")?;
    Ok(ResourceStatus {
        name: fields.need("name")?.to_owned(),
        node_id: None,
        role: RoleName::parse(fields.need("role")?),
        suspended: list(suspended, SuspendReason::parse),
        devices: Vec::new(),
        connections: Vec::new(),
    })
}

fn device(fields: &Fields<'_>) -> Result<DeviceStatus, ToolError> {
    Ok(DeviceStatus {
        volume: fields.number("volume")?,
        minor: fields.number("minor")?,
        disk_state: DiskState::parse(fields.need("disk")?),
        client: fields.yes_no_if_any("client")?,
        quorum: fields.yes_no_if_any("quorum")?,
        size_kib: fields.number_if_any("size")?,
        open: fields.yes_no_if_any("open")?,
    })
}

fn connection(fields: &Fields<'_>) -> Result<ConnectionStatus, ToolError> {
    Ok(ConnectionStatus {
        // DRBD 8.4 prints 0 for its only peer; `finish` takes it away once all lines are joined by it.
        peer_node_id: Some(fields.number("peer-node-id")?),
        name: fields.get("conn-name").map(str::to_owned),
        connection_state: ConnectionState::parse(fields.need("connection")?),
        peer_role: RoleName::parse(fields.need("role")?),
        paths: Vec::new(),
        peer_devices: Vec::new(),
    })
}

fn path(fields: &Fields<'_>) -> Result<PathStatus, ToolError> {
    fields.need("established")?;
    Ok(PathStatus {
        local: fields.need("local")?.to_owned(),
        peer: fields.need("peer")?.to_owned(),
        established: fields.yes_no_if_any("established")? == Some(true),
    })
}

fn peer_device(fields: &Fields<'_>, size_kib: Option<u64>) -> Result<PeerDeviceStatus, ToolError> {
    let replication_state = ReplicationState::parse(fields.need("replication")?);
    let out_of_sync_kib: Option<u64> = fields.number_if_any("out-of-sync")?;
    // DRBD 8.4 prints no progress here; its own `status` computes it like this.
    let done = match (replication_state.is_resync(), out_of_sync_kib, size_kib) {
        (true, Some(missing), Some(total)) => Percent::of_rest(missing, total),
        _ => None,
    };
    Ok(PeerDeviceStatus {
        volume: fields.number("volume")?,
        peer_disk_state: DiskState::parse(fields.need("peer-disk")?),
        peer_client: fields.yes_no_if_any("peer-client")?,
        resync_suspended: list(fields.need("resync-suspended")?, SyncSuspendReason::parse),
        replication_state,
        out_of_sync_kib,
        done,
    })
}

fn size_of(resource: &ResourceStatus, volume: u16) -> Option<u64> {
    resource.devices.iter().find(|device| device.volume == volume).and_then(|device| device.size_kib)
}

/// `no`, or a comma-separated list.
fn list<T>(text: &str, parse: fn(&str) -> T) -> Vec<T> {
    if text == "no" { Vec::new() } else { text.split(',').map(parse).collect() }
}

/// Sorts, and takes away what DRBD 8.4 invents: every connection is called `peer` and has node-id 0, and is `Connected`
/// as soon as there is a socket. While the two have yet to compare their data (WFReportParams, of which a split brain
/// ends StandAlone), only the replication, which is still off, tells.
fn finish(resource: &mut ResourceStatus) {
    resource.devices.sort_by_key(|device| device.volume);
    resource.connections.sort_by_key(|connection| connection.peer_node_id);
    for connection in &mut resource.connections {
        connection.peer_devices.sort_by_key(|peer_device| peer_device.volume);
        connection.peer_node_id = None;
        connection.name = None;
        let replicates = |peer: &PeerDeviceStatus| peer.replication_state != ReplicationState::Off;
        if connection.connection_state == ConnectionState::Connected
            && !connection.peer_devices.iter().all(replicates)
        {
            connection.connection_state = ConnectionState::Connecting;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_missing_key_is_named() {
        let text = "exists resource name:r0 role:Primary suspended:no\nexists device name:r0 volume:0 disk:UpToDate\n";
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains("device has no `minor`"), "{error}");
    }

    #[test]
    fn an_answer_that_was_cut_short_is_refused() {
        let error = parse("exists resource name:r0 role:Primary suspended:no\n").unwrap_err().to_string();
        assert!(error.contains("`exists -`"), "{error}");
        assert!(parse("").is_err());
    }

    #[test]
    fn two_that_have_yet_to_compare_their_data_are_not_connected() {
        let of = |replication: &str| {
            let text = format!(
                "exists resource name:r0 role:Secondary suspended:no\n\
                 exists connection name:r0 peer-node-id:0 conn-name:peer connection:Connected role:Unknown congested:no\n\
                 exists peer-device name:r0 peer-node-id:0 conn-name:peer volume:0 replication:{replication} peer-disk:DUnknown resync-suspended:no\n\
                 exists -\n"
            );
            parse(&text).unwrap().remove(0).connections.remove(0).connection_state
        };
        assert_eq!(of("Off"), ConnectionState::Connecting);
        assert_eq!(of("Established"), ConnectionState::Connected);
        assert_eq!(of("WFBitMapS"), ConnectionState::Connected);
    }

    #[test]
    fn an_object_of_an_unknown_resource_is_refused() {
        let text = "exists device name:r1 volume:0 minor:1 disk:UpToDate\nexists -\n";
        assert!(parse(text).unwrap_err().to_string().contains("before the object"));
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_read(text in any::<String>()) {
            let _ = parse(&text);
        }

        #[test]
        fn any_lines_of_its_own_words_are_refused_or_read(
            lines in proptest::collection::vec(
                "exists (resource|device|connection|peer-device|path|-|x)( (name|role|suspended|volume|minor|disk|peer-node-id|connection|local):[a-z0-9:]{0,4}){0,6}",
                0..8,
            )
        ) {
            let _ = parse(&lines.join("\n"));
        }
    }
}
