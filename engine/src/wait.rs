// SPDX-License-Identifier: MPL-2.0
//! `drbd_wait`: waits for a condition of one resource, with a deadline. Changes nothing and takes no lock.

use crate::agreement;
use crate::facts;
use crate::health;
use crate::host::Host;
use crate::observe;
use crate::observed::Observed;
use crate::refusal::Refusal;
use crate::run::{Mode, RunError, blank_reply, evidence, only_peer};
use crate::tools::drbdsetup::{ConnectionState, DiskState, PeerDeviceStatus, ResourceStatus};
use drbd_schemas::ByteSize;
use drbd_schemas::args::{Condition, Module, WaitArgs};
use drbd_schemas::facts::HostFacts;
use drbd_schemas::reply::{Code, Reply};
use std::time::Duration;

/// First pause between two looks; it grows to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Runs `drbd_wait`.
pub fn wait(host: &impl Host, args: &WaitArgs, mode: Mode) -> Reply {
    let mut reply = blank_reply(host, Module::DrbdWait, mode);
    reply.resource = Some(args.name.to_string());
    match until(host, args, mode, reply.clone()) {
        Ok(reply) => reply,
        Err(error) => error.into_reply(reply),
    }
}

fn until(host: &impl Host, args: &WaitArgs, mode: Mode, mut reply: Reply) -> Result<Reply, RunError> {
    let evidence = evidence(&args.evidence)?;
    let started = host.millis();
    let deadline = started.saturating_add(u64::from(args.timeout) * 1000);
    let mut pause = FIRST_PAUSE;
    loop {
        host.checkpoint()?;
        let observed = observe::by_name(host, args.name.as_str())?;
        if observed.status.is_none() && mode.check {
            reply.msg = format!(
                "{} is not up on {}, so it is not yet {}.",
                args.name,
                observed.node,
                words(args.condition)
            );
            return Ok(reply);
        }
        let status = up(&observed, args)?;
        let own = observed.conf.own.as_ref();
        let alone = own.is_none_or(|own| own.peers(&observed.node).next().is_none());
        let missing = missing(status, args.condition, alone);
        let peer = only_peer(None, &observed);
        reply.after = Some(facts::of_observed(args.name.as_str(), &observed, peer.as_deref()));
        let seconds = host.millis().saturating_sub(started) / 1000;
        if missing.is_empty() {
            reply.msg = format!("{} is {} after {seconds} s.", args.name, words(args.condition));
            return Ok(reply);
        }
        // In check mode nothing may have been started that one could wait for.
        if mode.check {
            reply.msg =
                format!("{} is not yet {}: {}.", args.name, words(args.condition), missing.join("; "));
            return Ok(reply);
        }
        cannot_succeed(args, &observed.node, &evidence)?;
        if let Some(peer) = stand_alone(status) {
            let message = format!(
                "{}: the connection to {peer} is StandAlone; it will not connect by itself (split brain, disconnected by hand, or declared differently there).",
                args.name
            );
            return Err(Refusal::new(Code::SplitBrain, message)
                .next("Give the facts of all hosts as evidence: they tell whether the declarations differ.")
                .next(format!("Look at the kernel log and `drbdadm get-gi {}` on both sides.", args.name))
                .into());
        }
        if host.millis() >= deadline {
            reply.failed = true;
            reply.code = Code::TimedOut;
            reply.msg = format!(
                "{} is not {} after {seconds} s; last seen: {}.",
                args.name,
                words(args.condition),
                missing.join("; ")
            );
            reply.next_steps = vec![
                "Check that the peers are up and that the replication ports are reachable both ways."
                    .to_owned(),
                "Run again with a longer timeout if it is only slow.".to_owned(),
            ];
            return Ok(reply);
        }
        let left = Duration::from_millis(deadline.saturating_sub(host.millis()));
        host.pause(pause.min(left));
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// What only the facts of the other hosts show: that the wait is in vain.
fn cannot_succeed(args: &WaitArgs, node: &str, evidence: &[HostFacts]) -> Result<(), Refusal> {
    let name = args.name.as_str();
    agreement::check(name, evidence)?;
    let Some(peer) = agreement::given_up_by(name, node, evidence) else { return Ok(()) };
    let message = format!(
        "{name}: {peer} is StandAlone towards {node}; it will not connect by itself (split brain, or disconnected by hand)."
    );
    Err(Refusal::new(Code::SplitBrain, message).next(format!(
        "Run drbd_resource on {peer}: it starts the connection again, or says what is in the way."
    )))
}

fn up<'a>(observed: &'a Observed, args: &WaitArgs) -> Result<&'a ResourceStatus, Refusal> {
    observed.status.as_ref().ok_or_else(|| {
        Refusal::new(Code::Missing, format!("resource {} is not up on {}.", args.name, observed.node))
            .next("Converge it first (drbd_resource, state: present).")
    })
}

fn words(condition: Condition) -> &'static str {
    match condition {
        Condition::Connected => "connected to all peers",
        Condition::UpToDate => "UpToDate",
        Condition::AllUpToDate => "UpToDate on all nodes",
    }
}

/// Waits until a connection that was StandAlone and was started again has settled: in split brain it is StandAlone again
/// as soon as the two have shaken hands, and not a moment before. A peer that is away keeps it Connecting; that is
/// waited for only so long. What cannot be looked at is for the caller to find out.
pub(crate) fn settle(host: &impl Host, name: &str) {
    const LOOKS: u32 = 100;
    const LOOKS_AT_CONNECTING: u32 = 30;
    for look in 0..LOOKS {
        let settled = |state: &ConnectionState| match state {
            ConnectionState::Connected | ConnectionState::StandAlone => true,
            ConnectionState::Connecting => look >= LOOKS_AT_CONNECTING,
            _ => false,
        };
        let statuses =
            observe::drbd(host).and_then(|drbd| observe::statuses(host, &drbd)).unwrap_or_default();
        let own = statuses.into_iter().find(|status| status.name == name);
        if own.is_none_or(|status| status.connections.iter().all(|c| settled(&c.connection_state))) {
            return;
        }
        host.pause(Duration::from_millis(100));
    }
}

fn stand_alone(status: &ResourceStatus) -> Option<String> {
    let found = status.connections.iter().find(|c| c.connection_state == ConnectionState::StandAlone)?;
    Some(found.name.clone().unwrap_or_else(|| "the peer".to_owned()))
}

/// What is still missing, one sentence each.
fn missing(status: &ResourceStatus, condition: Condition, alone: bool) -> Vec<String> {
    let mut missing = Vec::new();
    if condition != Condition::UpToDate {
        for connection in
            status.connections.iter().filter(|c| c.connection_state != ConnectionState::Connected)
        {
            let peer = connection.name.as_deref().unwrap_or("the peer");
            missing.push(format!("the connection to {peer} is {}", connection.connection_state));
        }
        // DRBD 8.4 shows no connection at all while none is configured.
        if status.connections.is_empty() && !alone {
            missing.push("there is no connection".to_owned());
        }
    }
    if condition != Condition::Connected {
        // A device that does no I/O is of no use, however good its data.
        missing.extend(
            status.suspended.iter().map(|reason| format!("the device is {}", health::suspended(reason))),
        );
        let voteless = status.devices.iter().filter(|device| device.quorum == Some(false));
        missing.extend(voteless.map(|device| format!("volume {} has no quorum on this node", device.volume)));
        let wanting =
            status.devices.iter().filter(|d| d.disk_state != DiskState::UpToDate && d.client != Some(true));
        missing.extend(wanting.map(|device| format!("volume {} is {}", device.volume, device.disk_state)));
    }
    if condition == Condition::AllUpToDate {
        // DRBD 8.4, which has no node-ids, leaves the new part of a volume that grew while it was down marked for ever
        // (docs/behaviour.md B24): there the mark is a warning and nothing that could be waited for.
        let counts_blocks = status.node_id.is_some();
        for connection in &status.connections {
            let peer = connection.name.as_deref().unwrap_or("the peer");
            missing.extend(
                connection.peer_devices.iter().filter_map(|volume| lacking(volume, peer, counts_blocks)),
            );
        }
    }
    missing
}

/// Why a peer's replica does not count as good, if it does not.
/// `counts_blocks`: blocks that differ count although both sides are UpToDate.
fn lacking(volume: &PeerDeviceStatus, peer: &str, counts_blocks: bool) -> Option<String> {
    let number = volume.volume;
    let owed = volume.out_of_sync_kib.map(|kib| ByteSize::from_bytes(kib * 1024));
    if volume.peer_client == Some(true) {
        return None;
    }
    if volume.peer_disk_state == DiskState::UpToDate {
        let owed = owed.filter(|owed| counts_blocks && owed.bytes() > 0)?;
        return Some(format!("volume {number} differs from {peer} in {owed}"));
    }
    let progress = volume
        .done
        .map(|done| format!(", {}.{:02} % done", done.hundredths() / 100, done.hundredths() % 100));
    let owed = match owed.filter(|_| volume.replication_state.is_resync()) {
        // Seen on 9.3.3, after a lost quorum that came back: the two never notice that they are done.
        Some(owed) if owed.bytes() == 0 => {
            format!(
                ", {} with nothing out of sync; one write to the device ends it",
                volume.replication_state
            )
        }
        Some(owed) => format!(", {owed} to go ({})", volume.replication_state),
        None => String::new(),
    };
    Some(format!(
        "volume {number} on {peer} is {}{}{owed}",
        volume.peer_disk_state,
        progress.unwrap_or_default()
    ))
}
