// SPDX-License-Identifier: MPL-2.0
//! `status --json` and `show --json`, white space included: readers may count on it, and drbd-utils' is not that of
//! any library.

use super::show::endpoint;
use super::{resync_suspended, write_ordering};
use crate::model::{Connection, Options, PeerVolume, Resource, Volume};
use serde_json::{Map, Value, json};

/// `status --json`
pub(crate) fn status(resources: &[(&str, &Resource)]) -> String {
    let all: Vec<String> = resources.iter().map(|(name, resource)| of_resource(name, resource)).collect();
    let all = all.join(",\n");
    if all.is_empty() { "[\n]\n".to_owned() } else { format!("[\n{all}\n]\n") }
}

fn of_resource(name: &str, resource: &Resource) -> String {
    let (user, quorum) = (resource.suspended, resource.suspended_by_quorum());
    let devices: Vec<String> = resource.volumes.iter().map(|(number, v)| of_device(*number, v)).collect();
    let connections: Vec<String> =
        resource.connections.iter().map(|(peer, connection)| of_connection(*peer, connection)).collect();
    let list = |items: &[String], indent: &str| match items {
        [] => "[\n     ]".to_owned(),
        items => format!("[\n{indent}{} ]", items.join(&format!(",\n{indent}"))),
    };
    format!(
        "{{\n  \"name\": \"{name}\",\n  \"node-id\": {},\n  \"role\": \"{}\",\n  \"suspended\": {},\n  \
         \"suspended-user\": {user},\n  \"suspended-no-data\": false,\n  \"suspended-fencing\": false,\n  \
         \"suspended-quorum\": {quorum},\n  \"force-io-failures\": false,\n  \"write-ordering\": \"{}\",\n  \
         \"devices\": {},\n  \"connections\": {}\n}}",
        resource.node_id,
        resource.role,
        user || quorum,
        write_ordering(resource),
        list(&devices, "    "),
        list(&connections, "    "),
    )
}

fn of_device(number: u16, volume: &Volume) -> String {
    let fields = [
        format!("\"volume\": {number}"),
        format!("\"minor\": {}", volume.minor),
        format!("\"disk-state\": \"{}\"", volume.disk_state),
        format!("\"client\": {}", volume.client),
        format!("\"quorum\": {}", volume.quorum),
        format!("\"size\": {}", volume.size_kib),
        format!("\"read\": {}", volume.counters.read),
        format!("\"written\": {}", volume.counters.written),
        "\"al-writes\": 0".to_owned(),
        "\"bm-writes\": 0".to_owned(),
        "\"upper-pending\": 0".to_owned(),
        "\"lower-pending\": 0".to_owned(),
    ];
    format!("{{\n      {}\n    }}", fields.join(",\n      "))
}

fn of_connection(peer: u8, connection: &Connection) -> String {
    let volumes: Vec<String> =
        connection.volumes.iter().map(|(number, seen)| of_peer_device(*number, seen)).collect();
    let devices = if volumes.is_empty() {
        "[\n         ]".to_owned()
    } else {
        format!("[\n        {} ]", volumes.join(",\n        "))
    };
    // The blank behind the state is drbd-utils' own.
    format!(
        "{{\n      \"peer-node-id\": {peer},\n      \"name\": \"{}\",\n      \"connection-state\": \"{}\", \n      \
         \"congested\": false,\n      \"peer-role\": \"{}\",\n      \"ap-in-flight\": 0,\n      \
         \"rs-in-flight\": 0,\n      \"peer_devices\": {devices}\n    }}",
        connection.name, connection.state, connection.role,
    )
}

fn of_peer_device(number: u16, seen: &PeerVolume) -> String {
    let (dirty, blocks) = (seen.bitmap.dirty(), seen.bitmap.blocks());
    // Rounded, and 0 of nothing.
    let percent = (10_000 * (blocks - dirty) + blocks / 2).checked_div(blocks).unwrap_or(0);
    let mut fields = vec![
        format!("\"volume\": {number}"),
        format!("\"replication-state\": \"{}\"", seen.replication),
        format!("\"peer-disk-state\": \"{}\"", seen.disk),
        format!("\"peer-client\": {}", seen.client),
        format!("\"resync-suspended\": \"{}\"", resync_suspended(seen)),
        format!("\"received\": {}", seen.received),
        format!("\"sent\": {}", seen.sent),
        format!("\"out-of-sync\": {}", seen.bitmap.dirty_kib()),
        "\"pending\": 0".to_owned(),
        "\"unacked\": 0".to_owned(),
        format!("\"has-sync-details\": {}", seen.syncs()),
        "\"has-online-verify-details\": false".to_owned(),
        format!("\"percent-in-sync\": {}.{:02}", percent / 100, percent % 100),
    ];
    if seen.syncs() {
        fields.push(format!("\"percent-resync-done\": {}.{:02}", seen.done() / 100, seen.done() % 100));
    }
    format!("{{\n          {}\n        }}", fields.join(",\n          "))
}

/// `show --json`, as drbd-utils 9.22 prints it. Of several paths only the first is shown: 9.22 repeats the key.
pub(crate) fn show(resources: &[(&str, &Resource)]) -> String {
    let all: Vec<Value> = resources.iter().map(|(name, resource)| show_resource(name, resource)).collect();
    let mut out = Vec::new();
    let mut writer = serde_json::Serializer::with_formatter(
        &mut out,
        serde_json::ser::PrettyFormatter::with_indent(b"    "),
    );
    let written = serde::Serialize::serialize(&all, &mut writer);
    debug_assert!(written.is_ok(), "values of strings and numbers");
    String::from_utf8_lossy(&out).into_owned() + "\n"
}

fn group(options: &Options) -> Value {
    let typed = |value: &str| match value {
        "" | "yes" => json!(true),
        "no" => json!(false),
        text => json!(text),
    };
    Value::Object(options.iter().map(|(name, value)| (name.to_owned(), typed(value))).collect())
}

fn is_empty(options: &Options) -> bool {
    options.iter().next().is_none()
}

fn show_resource(name: &str, resource: &Resource) -> Value {
    let mut object = Map::new();
    object.insert("resource".to_owned(), json!(name));
    if !is_empty(&resource.options) {
        object.insert("options".to_owned(), group(&resource.options));
    }
    let volumes: Vec<Value> = resource.volumes.iter().map(|(number, v)| show_volume(*number, v)).collect();
    object.insert("_this_host".to_owned(), json!({ "node-id": resource.node_id, "volumes": volumes }));
    let connections: Vec<Value> =
        resource.connections.iter().map(|(peer, connection)| show_connection(*peer, connection)).collect();
    object.insert("connections".to_owned(), Value::Array(connections));
    Value::Object(object)
}

fn show_volume(number: u16, volume: &Volume) -> Value {
    let mut object = Map::new();
    object.insert("volume_nr".to_owned(), json!(number));
    object.insert("device_minor".to_owned(), json!(volume.minor));
    if let Some(backing) = &volume.backing {
        object.insert("backing-disk".to_owned(), json!(backing.path));
        object.insert("meta-disk".to_owned(), json!(backing.meta_disk));
    } else if volume.client {
        object.insert("backing-disk".to_owned(), json!("none"));
    }
    if !is_empty(&volume.options) {
        object.insert("disk".to_owned(), group(&volume.options));
    }
    Value::Object(object)
}

fn show_connection(peer: u8, connection: &Connection) -> Value {
    let mut object = Map::new();
    if let Some(path) = connection.paths.first() {
        let path = json!({ "_this_host": endpoint(path.local), "_remote_host": endpoint(path.remote) });
        object.insert("path".to_owned(), path);
    }
    if !is_empty(&connection.options) {
        object.insert("net".to_owned(), group(&connection.options));
    }
    object.insert("_peer_node_id".to_owned(), json!(peer));
    Value::Object(object)
}
