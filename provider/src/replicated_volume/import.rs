// SPDX-License-Identifier: MPL-2.0
//! Import of a volume: `<name>@<ssh host>[,<ssh host>…]`.
//!
//! The hosts know everything about a volume but the name of its group and how it was declared, so the imported state has a
//! group of its own, made up from what the hosts say; the first plan after an import shows the configured group in its
//! place, and applying that changes nothing on the hosts if they fit.

use std::collections::BTreeMap;
use std::sync::Arc;

use drbd_schemas::facts::HostFacts;
use drbd_schemas::{ByteSize, name};
use futures::future::join_all;
use tfplugin::{Diagnostic, Diagnostics, Value};

use crate::direct::found::{Found, FoundNode};
use crate::host::Host;
use crate::provider::Configured;
use crate::resource_group::for_volumes;
use crate::ssh_settings::{SshSettings, split_port};

const FORM: &str = "Expected is <name>@<ssh host>[,<ssh host>...] with every host of the volume, for example r0@10.0.0.11,10.0.0.12.";
/// Name of the storage pool of a made-up group.
const POOL: &str = "imported";

/// Finds the volume on its hosts.
///
/// # Errors
/// An id of another form, a host that does not answer, a volume that is not there or cannot be managed.
pub(crate) async fn import(configured: &Configured, id: &str) -> Result<Value, Diagnostics> {
    let (name, hosts) = parse(id)?;
    let looks = hosts.iter().map(|text| async move {
        let host: Arc<Host> = configured.host(&SshSettings::of_host(text))?;
        let facts = host.fresh_facts(&[name]).await;
        let facts = facts.map_err(|trouble| trouble.diagnostic(text, &host, &format!("import {name}")))?;
        Ok::<_, Diagnostic>(((*text).to_owned(), facts))
    });
    let mut seen = Vec::new();
    for look in join_all(looks).await {
        seen.push(look?);
    }
    Ok(state(name, &seen)?)
}

fn parse(id: &str) -> Result<(&str, Vec<&str>), Diagnostic> {
    let malformed = |why: String| {
        let detail = format!("{id:?} is no id of a drbd_replicated_volume: {why}. {FORM}");
        Diagnostic::error("Import id not understood", detail)
    };
    let (name, hosts) = id.split_once('@').ok_or_else(|| malformed("there is no @ in it".to_owned()))?;
    name::check_resource_name(name).map_err(|e| malformed(format!("{name:?} is no volume name ({e})")))?;
    let hosts: Vec<&str> = hosts.split(',').map(str::trim).collect();
    match hosts.iter().find(|host| host.is_empty() || host.contains(['@', ' '])) {
        Some(bad) => Err(malformed(format!("{bad:?} is no host"))),
        None => Ok((name, hosts)),
    }
}

fn state(name: &str, seen: &[(String, HostFacts)]) -> Result<Value, Diagnostic> {
    let refused = |why: String| {
        let detail = format!("Cannot import {name}: {why}. Nothing was changed.");
        Diagnostic::error("Volume cannot be imported", detail)
    };
    let read: Vec<Result<Found, String>> = seen.iter().map(|(_, facts)| Found::read(name, facts)).collect();
    let found = read.iter().find_map(|found| found.as_ref().ok());
    let found = found.ok_or_else(|| {
        let why: Vec<String> = read.iter().filter_map(|found| found.as_ref().err().cloned()).collect();
        refused(why.join("; "))
    })?;
    if found.more_volumes {
        return Err(refused("it has more than one volume, and this resource holds exactly one".to_owned()));
    }
    let (Some(port), Some(minor)) = (found.port, found.minor) else {
        return Err(refused("its configuration file names no port or no minor".to_owned()));
    };
    let sizes = seen.iter().filter_map(|(_, facts)| facts.resources.get(name)?.volumes.get("0")?.size_bytes);
    let Some(size_bytes) = sizes.filter(|bytes| *bytes > 0).min() else {
        return Err(refused("it is not up on any of the hosts, so its size is not known".to_owned()));
    };
    let mut nodes = BTreeMap::new();
    let mut replicas = BTreeMap::new();
    let mut on_lvm = false;
    for (i, (node, part)) in found.nodes.iter().enumerate() {
        let (host, facts) =
            seen.iter().map(|(host, facts)| (host, facts)).find(|(_, f)| f.node == *node).ok_or_else(
                || {
                    refused(format!(
                        "it has a replica on {node}, and none of the given hosts is called that. {FORM}"
                    ))
                },
            )?;
        let pool = pool(name, part, facts).ok_or_else(|| refused(format!("it is diskless on {node}")))?;
        on_lvm |= pool.get("devices").is_null();
        nodes.insert(node.clone(), group_node(node, host, part, pool, facts));
        let id = part.node_id.unwrap_or(u32::try_from(i).unwrap_or(u32::MAX));
        let replica = [
            ("node_id", Value::from(id)),
            ("address", part.address.clone().into()),
            ("backing", part.backing.clone().into()),
        ];
        replicas.insert(node.clone(), Value::object(replica));
    }
    let mut state = imported(name, found, nodes, port, minor);
    state.set("replicas", Value::map(replicas));
    state.set("size_bytes", size_bytes);
    // Without logical volumes the devices say it, and a configuration need not.
    state.set("size", on_lvm.then(|| ByteSize::from_bytes(size_bytes / 4096 * 4096).to_string()));
    Ok(state)
}

fn imported(name: &str, found: &Found, nodes: BTreeMap<String, Value>, port: u32, minor: u32) -> Value {
    let options =
        |map: &BTreeMap<String, String>| if map.is_empty() { Value::Null } else { Value::from(map.clone()) };
    let group = Value::object([
        ("name", Value::from(name)),
        ("place_count", Value::from(u64::try_from(nodes.len()).unwrap_or(u64::MAX))),
        ("nodes", Value::map(nodes)),
        ("storage_pool", Value::from(POOL)),
        ("options", options(&found.options)),
        ("net", options(&found.net)),
        ("disk", options(&found.disk)),
    ]);
    Value::object([
        ("id", Value::from(name)),
        ("name", Value::from(name)),
        ("resource_group", for_volumes::held_of(&group)),
        ("port", Value::from(port)),
        ("minor", Value::from(minor)),
        ("device", Value::from(format!("/dev/drbd{minor}"))),
        ("device_by_res", Value::from(format!("/dev/drbd/by-res/{name}/0"))),
        ("deletion_protection", Value::from(false)),
        ("on_destroy", Value::from("delete")),
        ("wait_for_sync", Value::from(false)),
        ("adopted", Value::from(false)),
        ("drift", Value::List(Vec::new())),
    ])
}

fn group_node(node: &str, host: &str, part: &FoundNode, pool: Value, facts: &HostFacts) -> Value {
    let (host, port) = split_port(host);
    Value::object([
        ("name", Value::from(node)),
        ("ssh", Value::object([("host", Value::from(host)), ("port", Value::from(port))])),
        ("address", Value::from(part.address.clone())),
        ("storage_pools", Value::map([(POOL, pool)])),
        ("drbd_family", Value::from(facts.drbd.family().map(|family| family.to_string()))),
    ])
}

/// The storage pool that a backing device points to; none on a diskless node.
fn pool(name: &str, part: &FoundNode, facts: &HostFacts) -> Option<Value> {
    let backing = part.backing.as_deref()?;
    let group = backing.strip_prefix("/dev/").and_then(|rest| rest.split_once('/')).map(|(group, _)| group);
    let Some((group, found)) = group.and_then(|group| Some((group, facts.volume_groups.get(group)?))) else {
        return Some(Value::object([("devices", Value::map([(name, backing)]))]));
    };
    Some(match found.thin_pools.keys().next() {
        Some(thin) => Value::object([(
            "lvm_thin",
            Value::object([("volume_group", group), ("thin_pool", thin.as_str())]),
        )]),
        None => Value::object([("lvm", Value::object([("volume_group", group)]))]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_taken_apart_or_explained() {
        assert_eq!(parse("r0@10.0.0.11,h2:2222").unwrap(), ("r0", vec!["10.0.0.11", "h2:2222"]));
        for bad in ["r0", "@h1", "r0@", "r0@h1,,h2", "-r@h1", "r0@h1@h2"] {
            let detail = parse(bad).unwrap_err().detail;
            assert!(detail.contains("<name>@<ssh host>"), "{bad}: {detail}");
        }
    }
}
