// SPDX-License-Identifier: MPL-2.0
//! `events2`: one line for each object. Only what exists now; the client turns two such looks into changes.

use super::{promotion, resync_suspended, suspended, write_ordering, yes};
use crate::arguments::Arguments;
use crate::kernel::Kernel;
use crate::model::{Connection, ConnectionState, PeerVolume, Resource, Volume};

/// Everything that exists, and the line that says so.
pub(crate) fn now(kernel: &Kernel, arguments: &Arguments) -> String {
    let statistics = arguments.has("statistics") || arguments.has("full");
    let mut lines = Vec::new();
    for (name, resource) in super::chosen(kernel, arguments) {
        lines.push(of_resource(name, resource, statistics));
        let connections = || resource.connections.iter().rev();
        lines.extend(connections().map(|(peer, c)| of_connection(name, *peer, c, statistics)));
        lines.extend(
            resource.volumes.iter().map(|(number, volume)| of_device(name, *number, volume, statistics)),
        );
        for (peer, connection) in connections() {
            let head = format!("name:{name} peer-node-id:{peer} conn-name:{}", connection.name);
            for (number, seen) in &connection.volumes {
                lines.push(of_peer_device(&head, *number, seen, statistics));
            }
            let up = connection.state == ConnectionState::Connected;
            for (index, path) in connection.paths.iter().enumerate().rev() {
                let (local, remote) = (super::show::endpoint(path.local), super::show::endpoint(path.remote));
                let established = yes(up && index == 0);
                lines.push(format!(
                    "path {head} local:{} peer:{} established:{established}",
                    local.replacen(' ', ":", 1),
                    remote.replacen(' ', ":", 1)
                ));
            }
        }
    }
    lines.push("-".to_owned());
    lines.into_iter().map(|line| format!("exists {line}\n")).collect()
}

fn of_resource(name: &str, resource: &Resource, statistics: bool) -> String {
    let (may, score) = promotion(resource);
    let ordering =
        if statistics { format!(" write-ordering:{}", write_ordering(resource)) } else { String::new() };
    format!(
        "resource name:{name} role:{} suspended:{} force-io-failures:no{ordering} may_promote:{} promotion_score:{score}",
        resource.role,
        suspended(resource),
        yes(may)
    )
}

fn of_connection(name: &str, peer: u8, connection: &Connection, statistics: bool) -> String {
    let more = if statistics { " congested:no ap-in-flight:0 rs-in-flight:0" } else { "" };
    format!(
        "connection name:{name} peer-node-id:{peer} conn-name:{} connection:{} role:{}{more}",
        connection.name, connection.state, connection.role
    )
}

fn of_device(name: &str, number: u16, volume: &Volume, statistics: bool) -> String {
    let disk = volume.backing.as_ref().map_or("none", |backing| backing.path.as_str());
    let more = if statistics {
        format!(
            " size:{} read:{} written:{} al-writes:0 bm-writes:0 upper-pending:0 lower-pending:0 al-suspended:no blocked:no",
            volume.size_kib, volume.counters.read, volume.counters.written
        )
    } else {
        String::new()
    };
    format!(
        "device name:{name} volume:{number} minor:{} backing_dev:{disk} disk:{} client:{} quorum:{}{more}",
        volume.minor,
        volume.disk_state,
        yes(volume.client),
        yes(volume.quorum)
    )
}

fn of_peer_device(head: &str, number: u16, seen: &PeerVolume, statistics: bool) -> String {
    let done = if seen.syncs() {
        format!(" done:{}.{:02}", seen.done() / 100, seen.done() % 100)
    } else {
        String::new()
    };
    let more = if statistics {
        format!(
            " received:{} sent:{} out-of-sync:{} pending:0 unacked:0",
            seen.received,
            seen.sent,
            seen.bitmap.dirty_kib()
        )
    } else {
        String::new()
    };
    format!(
        "peer-device {head} volume:{number} replication:{} peer-disk:{} peer-client:{} resync-suspended:{}{done}{more}",
        seen.replication,
        seen.disk,
        yes(seen.client),
        resync_suspended(seen)
    )
}
