// SPDX-License-Identifier: MPL-2.0
//! `drbd_verify`: online verify. Starts the comparison (or joins one that runs), waits for its end, and tells how much
//! differs on which peer. Nothing is repaired: which side is right is nothing that a comparison can tell.
//!
//! `changed` is always false: what DRBD writes is a mark in its bitmap for each block that differs, and no data.

use crate::apply;
use crate::facts;
use crate::host::Host;
use crate::observe;
use crate::observed::Observed;
use crate::plan::Plan;
use crate::refusal::Refusal;
use crate::run::{Mode, RunError, blank_reply, failed, only_peer};
use crate::step::{Planned, Step};
use crate::tools::drbdadm::{self, Connections};
use crate::tools::drbdsetup::{
    ConnectionState, ConnectionStatus, DiskState, PeerDeviceStatus, ReplicationState, ResourceStatus,
};
use crate::tools::{Family, proc};
use drbd_schemas::ByteSize;
use drbd_schemas::args::{Module, VerifyArgs};
use drbd_schemas::reply::{Code, Pending, Reply};
use std::time::Duration;

/// Between two looks; a comparison takes minutes to days.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs `drbd_verify`.
pub fn verify(host: &impl Host, args: &VerifyArgs, mode: Mode) -> Reply {
    let mut reply = blank_reply(host, Module::DrbdVerify, mode);
    reply.resource = Some(args.name.to_string());
    match compare(host, args, mode, reply.clone()) {
        Ok(reply) => reply,
        Err(error) => error.into_reply(reply),
    }
}

fn compare(host: &impl Host, args: &VerifyArgs, mode: Mode, mut reply: Reply) -> Result<Reply, RunError> {
    let started = host.millis();
    let observed = observe::by_name(host, args.name.as_str())?;
    let peer = only_peer(None, &observed);
    reply.before = Some(facts::of_observed(args.name.as_str(), &observed, peer.as_deref()));
    reply.after.clone_from(&reply.before);
    // In check mode an earlier task of the play may have brought nothing up yet.
    if mode.check && observed.status.is_none() {
        reply.msg = format!("{}: it is not up, so there is nothing to compare yet.", args.name);
        let waits_for = "the resource to be up on every host".to_owned();
        reply.pending = vec![Pending { what: format!("compare the replicas of {}", args.name), waits_for }];
        return Ok(reply);
    }
    let plan = plan(args, &observed)?;
    reply.actions = apply::actions(&plan);
    if mode.check {
        reply.msg = match plan.is_empty() {
            true => format!("{}: a comparison runs already; it would be waited for.", args.name),
            false => format!("{}: would be compared with its peers.", args.name),
        };
        return Ok(reply);
    }
    let (actions, failure) = apply::run(host, args.name.as_str(), &plan);
    reply.actions = actions;
    if let Some(error) = failure {
        return Ok(failed(reply, &error, args.name.as_str()));
    }
    wait(host, args, started, reply)
}

/// The commands that start a comparison with every peer; none while one runs.
fn plan(args: &VerifyArgs, observed: &Observed) -> Result<Plan, Refusal> {
    let name = args.name.as_str();
    let status = observed.status.as_ref().ok_or_else(|| {
        Refusal::new(Code::Missing, format!("resource {name} is not up on {}.", observed.node))
            .next("Bring it up first (drbd_resource, state: present or up).")
    })?;
    let mut plan = Plan::default();
    if peer_devices(status).any(|(_, device)| is_verify(device)) {
        return Ok(plan);
    }
    can_start(name, observed, status)?;
    let with_data = status
        .connections
        .iter()
        .filter(|connection| connection.peer_devices.iter().any(|device| device.peer_client != Some(true)));
    let targets = with_data.map(|connection| match (observed.drbd.family(), &connection.name) {
        (Some(Family::V9), Some(peer)) => drbdadm::verify(name, Connections::To(peer)),
        _ => drbdadm::verify(name, Connections::All),
    });
    let step = Step::Verify { resource: name.to_owned(), cmds: targets.collect() };
    plan.steps.push(
        Planned::new(step, "it was asked for")
            .consequence("every block is read on every host, and its checksum sent; no data are changed"),
    );
    Ok(plan)
}

fn can_start(name: &str, observed: &Observed, status: &ResourceStatus) -> Result<(), Refusal> {
    let away = status.connections.iter().find(|c| c.connection_state != ConnectionState::Connected);
    if let Some(connection) = away {
        let peer = connection.name.clone().or_else(|| only_peer(None, observed));
        let message = format!(
            "{name} cannot be compared with {}: the connection is {}.",
            peer.as_deref().unwrap_or("the peer"),
            connection.connection_state
        );
        return Err(Refusal::new(Code::Missing, message).next("Wait until it is connected (drbd_wait)."));
    }
    if status.connections.is_empty() {
        let message =
            format!("{name} has no connection on {}: there is nothing to compare with.", observed.node);
        return Err(Refusal::new(Code::Missing, message).next("Wait until it is connected (drbd_wait)."));
    }
    if let Some((connection, device)) = peer_devices(status).find(|(_, device)| !comparable(device)) {
        let peer = connection.name.clone().or_else(|| only_peer(None, observed));
        let message = format!(
            "volume {} of {name} on {} is {} and {}: there is nothing to compare yet.",
            device.volume,
            peer.as_deref().unwrap_or("the peer"),
            device.peer_disk_state,
            device.replication_state
        );
        return Err(Refusal::new(Code::InUse, message)
            .next("Wait until all are UpToDate (drbd_wait, condition: all_up_to_date)."));
    }
    let running = observed.running.iter();
    let mut options = running.flat_map(|r| r.connections.iter().flat_map(|c| &c.options).chain(&r.options));
    if options.any(|option| option.name == "verify-alg" && !option.value.is_empty()) {
        return Ok(());
    }
    let message = format!("{name} has no verify-alg: DRBD does not know how to compare.");
    Err(Refusal::new(Code::Missing, message)
        .next("Declare net: {verify_alg: crc32c} (or sha256) and converge every host first."))
}

/// Both sides hold the data, or the peer holds none on purpose.
fn comparable(device: &PeerDeviceStatus) -> bool {
    let client = device.peer_client == Some(true);
    client
        || (device.peer_disk_state == DiskState::UpToDate
            && device.replication_state == ReplicationState::Established)
}

fn is_verify(device: &PeerDeviceStatus) -> bool {
    matches!(device.replication_state, ReplicationState::VerifyS | ReplicationState::VerifyT)
}

fn peer_devices(status: &ResourceStatus) -> impl Iterator<Item = (&ConnectionStatus, &PeerDeviceStatus)> {
    status
        .connections
        .iter()
        .flat_map(|connection| connection.peer_devices.iter().map(move |d| (connection, d)))
}

fn wait(host: &impl Host, args: &VerifyArgs, started: u64, mut reply: Reply) -> Result<Reply, RunError> {
    let deadline = started.saturating_add(u64::from(args.timeout) * 1000);
    loop {
        host.checkpoint()?;
        let observed = observe::by_name(host, args.name.as_str())?;
        let peer = only_peer(None, &observed);
        reply.after = Some(facts::of_observed(args.name.as_str(), &observed, peer.as_deref()));
        let status = observed.status.as_ref();
        let running = status.is_some_and(|status| peer_devices(status).any(|(_, device)| is_verify(device)));
        let seconds = host.millis().saturating_sub(started) / 1000;
        if !running {
            return Ok(ended(reply, args, status, peer.as_deref(), seconds));
        }
        if host.millis() >= deadline {
            let done = progress(host, status)?.map(|done| format!(", {done} done")).unwrap_or_default();
            reply.failed = true;
            reply.code = Code::TimedOut;
            reply.msg = format!("{}: the comparison still runs after {seconds} s{done}.", args.name);
            reply.next_steps = vec!["Run again with a longer timeout: it is joined where it is.".to_owned()];
            return Ok(reply);
        }
        host.pause(PAUSE.min(Duration::from_millis(deadline.saturating_sub(host.millis()))));
    }
}

/// How far it came, where the kernel tells (`/proc/drbd` of DRBD 8.4).
fn progress(host: &impl Host, status: Option<&ResourceStatus>) -> Result<Option<String>, RunError> {
    let text = host.read("/proc/drbd")?.unwrap_or_default();
    let Ok(file) = proc::parse_drbd(&text) else { return Ok(None) };
    let own = |minor| status.is_some_and(|status| status.devices.iter().any(|d| d.minor == minor));
    let done: Vec<u16> = file
        .devices
        .iter()
        .filter(|device| own(device.minor))
        .filter_map(|device| Some(device.resync?.done_permille))
        .collect();
    Ok(done.into_iter().min().map(|permille| format!("{}.{} %", permille / 10, permille % 10)))
}

fn ended(
    mut reply: Reply,
    args: &VerifyArgs,
    status: Option<&ResourceStatus>,
    only_peer: Option<&str>,
    seconds: u64,
) -> Reply {
    let name = &args.name;
    let lost = status.is_none_or(|status| {
        status.connections.iter().any(|c| c.connection_state != ConnectionState::Connected)
    });
    if lost {
        reply.failed = true;
        reply.code = Code::StepFailed;
        reply.msg = format!(
            "{name}: the connection was lost during the comparison after {seconds} s; it did not end."
        );
        reply.next_steps = vec!["Wait until all are connected and UpToDate, then run again.".to_owned()];
        return reply;
    }
    let differs: Vec<String> = status
        .into_iter()
        .flat_map(peer_devices)
        .filter_map(|(connection, device)| {
            let kib = device.out_of_sync_kib.filter(|kib| *kib > 0)?;
            let peer = connection.name.as_deref().or(only_peer).unwrap_or("the peer");
            Some(format!("volume {} differs from {peer} in {}", device.volume, ByteSize::from_kib(kib)))
        })
        .collect();
    if differs.is_empty() {
        reply.msg = format!("{name}: all replicas are the same; compared in {seconds} s.");
        return reply;
    }
    reply.failed = true;
    reply.code = Code::OutOfSync;
    reply.msg = format!("{name}: {}. Nothing was repaired.", differs.join("; "));
    reply.next_steps = vec![
        "Find out which host's data are good: check the disks (kernel log, SMART) and the application's own checks."
            .to_owned(),
        format!("On the other host, with the resource Secondary there: `drbdadm invalidate {name}`; it is then copied anew from its peer."),
        "Blocks that are being written while they are compared can differ for a moment (swap, direct I/O of some databases): compare again before anything is thrown away.".to_owned(),
    ];
    reply
}
