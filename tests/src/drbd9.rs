// SPDX-License-Identifier: MPL-2.0
//! Hosts whose DRBD 9 kernel side is simulated (`tests/drbd9`): a lab of them, the declaration of one resource on all of
//! them, and calls of the shipped `drbd-host` on all at once. What is simulated and what is not, the package's header
//! says; everything above the kernel is real.

use std::thread;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use crate::lab::Lab;
use crate::module::{self, Reply};

/// Hosts 1 to `hosts` with DRBD 9, storage pools on all (see [`module::pool`]), and the shipped `drbd-host`.
///
/// # Errors
/// When the lab does not come up, or `make build` has not made what is needed.
pub fn lab(hosts: usize) -> Result<Lab> {
    let lab = Lab::up(hosts)?;
    lab.simulate_drbd9(hosts)?;
    module::install(&lab, hosts)?;
    for reply in call_all(&lab, hosts, "drbd_storage_pool", &module::pool())? {
        ensure!(!reply.failed(), "{:#}", reply.0);
    }
    Ok(lab)
}

/// Run a module on hosts 1 to `hosts` at the same time.
///
/// # Errors
/// When the contract of [`module::call`] is broken.
pub fn call_all(lab: &Lab, hosts: usize, module: &str, arguments: &Value) -> Result<Vec<Reply>> {
    thread::scope(|scope| {
        let calls: Vec<_> =
            (1..=hosts).map(|host| scope.spawn(move || module::call(lab, host, module, arguments))).collect();
        calls.into_iter().map(|call| call.join().unwrap_or_else(|_| bail!("a call panicked"))).collect()
    })
}

/// The declaration of resource `r0` on h1 to hN: minor 1000, port 7000, 48 MiB, on this storage.
#[must_use]
pub fn r0(lab: &Lab, hosts: usize, storage: &Value) -> Value {
    let node = |host: usize| {
        let node = json!({ "node_id": host - 1, "address": lab.address(host), "storage": storage });
        (format!("h{host}"), node)
    };
    let nodes: serde_json::Map<String, Value> = (1..=hosts).map(node).collect();
    json!({ "name": "r0", "port": 7000, "nodes": nodes, "volumes": { "0": { "minor": 1000, "size": "48MiB" } } })
}

/// Facts of all hosts, as evidence.
///
/// # Errors
/// When the contract is broken, or a host gives none.
pub fn evidence(lab: &Lab, hosts: usize) -> Result<Value> {
    let replies = call_all(lab, hosts, "drbd_info", &json!({}))?;
    let facts = |reply: &Reply| reply.0.get("facts").cloned().with_context(|| format!("no facts: {reply:?}"));
    replies.iter().map(facts).collect::<Result<Vec<_>>>().map(Value::Array)
}

/// Bring a declared resource up on all hosts, from nothing to UpToDate everywhere.
///
/// # Errors
/// When any of it fails.
pub fn bring_up(lab: &Lab, hosts: usize, declaration: &Value) -> Result<()> {
    for reply in call_all(lab, hosts, "drbd_resource", declaration)? {
        ensure!(!reply.failed(), "{:#}", reply.0);
    }
    module::wait(lab, "connected")?;
    let arguments = module::with(declaration, &json!({ "evidence": evidence(lab, hosts)? }));
    let reply = module::call(lab, 1, "drbd_initial_sync", &arguments)?;
    ensure!(!reply.failed(), "{:#}", reply.0);
    module::wait(lab, "all_up_to_date")
}

/// A member of every peer device in `drbdsetup status --json` of r0 on a host (`sent`, `peer-disk-state`).
///
/// # Errors
/// When the host has no such status.
pub fn peers(lab: &Lab, host: usize, member: &str) -> Result<Vec<Value>> {
    let status: Value = serde_json::from_str(&lab.sh(host, "drbdsetup status r0 --json")?)?;
    let connections = status.pointer("/0/connections").and_then(Value::as_array).cloned().unwrap_or_default();
    let read = |connection: &Value| connection.pointer(&format!("/peer_devices/0/{member}")).cloned();
    connections.iter().map(|connection| read(connection).with_context(|| format!("{connection}"))).collect()
}
