// SPDX-License-Identifier: MPL-2.0
//! Commands that change states: connections, roles, data generations, sizes, syncs; and those that wait for them.

use crate::answer::{Answer, Refusal};
use crate::arguments::Arguments;
use crate::command::{Outcome, refuse};
use crate::configure::{connection, minor, resource, take_slots};
use crate::daemon::Shared;
use crate::kernel::{self, Kernel, Pending, new_uuid};
use crate::link;
use crate::metadata::JUST_CREATED;
use crate::model::{ConnectionState, DiskState, Promise, Replication, Resource, Role};
use crate::nbd;
use crate::peer;
use crate::quorum;
use crate::wire::Message;
use std::sync::MutexGuard;
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(50);

/// `connect NAME NODE-ID [--discard-my-data]`
pub(crate) fn connect(shared: &Shared, arguments: &Arguments) -> Outcome {
    let (name, peer) = (arguments.word(0)?, arguments.number::<u8>(1)?);
    let mut kernel = shared.lock();
    let connection = connection(&mut kernel, name, peer)?;
    if connection.state != ConnectionState::StandAlone {
        return refuse(name, Refusal::NET_CONFIGURED);
    }
    if connection.paths.is_empty() || !take_slots(resource(&mut kernel, name)?, peer) {
        return refuse(name, Refusal::INVALID);
    }
    let connection = self::connection(&mut kernel, name, peer)?;
    connection.state = ConnectionState::Connecting;
    connection.discard_my_data = arguments.has("discard-my-data");
    kernel.settle(name);
    Ok(Answer::done())
}

/// `disconnect NAME NODE-ID`
pub(crate) fn disconnect(shared: &Shared, arguments: &Arguments) -> Outcome {
    let (name, peer) = (arguments.word(0)?, arguments.number::<u8>(1)?);
    let mut kernel = shared.lock();
    connection(&mut kernel, name, peer)?;
    part(&mut kernel, name, peer);
    Ok(Answer::done())
}

/// Ends one connection on purpose. Who leaves a Primary does not know any more what is written there.
fn part(kernel: &mut Kernel, name: &str, peer: u8) {
    let Some(resource) = kernel.resources.get_mut(name) else { return };
    let primary = resource.role == Role::Primary;
    let Some(connection) = resource.connections.get_mut(&peer) else { return };
    if connection.role == Role::Primary && !primary {
        for volume in resource.volumes.values_mut().filter(|v| v.disk_state == DiskState::UpToDate) {
            volume.disk_state = DiskState::Outdated;
        }
    }
    connection.left = connection.state == ConnectionState::Connected && connection.role == Role::Secondary;
    connection.state = ConnectionState::StandAlone;
    link::hang_up(connection);
    peer::unseen(connection);
    kernel.settle(name);
}

/// `down NAME`: exit 0 also when it is not up.
pub(crate) fn down(shared: &Shared, arguments: &Arguments) -> Outcome {
    let name = arguments.word(0)?;
    if !shared.lock().resources.contains_key(name) {
        return Ok(Answer::done());
    }
    demote(shared, name, false)?;
    let mut kernel = shared.lock();
    let peers: Vec<u8> = resource(&mut kernel, name)?.connections.keys().copied().collect();
    peers.iter().for_each(|peer| part(&mut kernel, name, *peer));
    if let Some(resource) = kernel.resources.remove(name) {
        for (number, volume) in &resource.volumes {
            nbd::remove(shared, name, *number, volume.minor);
        }
    }
    Ok(Answer::done())
}

/// `primary NAME [--force]`
pub(crate) fn primary(shared: &Shared, arguments: &Arguments) -> Outcome {
    let (name, force) = (arguments.word(0)?, arguments.has("force"));
    let mut kernel = shared.lock();
    let resource = resource(&mut kernel, name)?;
    if resource.role == Role::Primary {
        return Ok(Answer::done());
    }
    let other = resource.connections.values().any(|connection| {
        connection.role == Role::Primary && connection.options.get("allow-two-primaries") != Some("yes")
    });
    if other {
        return refuse(name, Refusal::State(-1, "Multiple primaries not allowed by config", Vec::new()));
    }
    if force {
        force_up_to_date(resource);
    }
    let numbers: Vec<u16> = resource.volumes.keys().copied().collect();
    if !numbers.iter().all(|number| resource.has_up_to_date(*number)) {
        return refuse(name, Refusal::State(-2, "Need access to UpToDate data", Vec::new()));
    }
    kernel.settle(name);
    let resource = self::resource(&mut kernel, name)?;
    let option = resource.options.get("quorum").unwrap_or("off").to_owned();
    for number in numbers {
        let census = kernel::census(resource, number);
        if let (false, Some((needed, have))) = (quorum::has(&option, census), quorum::votes(&option, census))
        {
            let all = census.present + census.outdated + census.unknown;
            let why = format!("{have} of {all} nodes visible, need {needed} for quorum");
            return refuse(name, Refusal::State(-25, "No quorum", vec![why]));
        }
    }
    resource.role = Role::Primary;
    kernel.settle(name);
    Ok(Answer::done())
}

/// `--force`: what is here is the data, and nodes that are away are taken for Outdated.
fn force_up_to_date(resource: &mut Resource) {
    for connection in resource.connections.values_mut() {
        connection.left |= connection.state != ConnectionState::Connected;
    }
    let numbers: Vec<u16> = resource.volumes.keys().copied().collect();
    for number in numbers {
        if resource.has_up_to_date(number) {
            continue;
        }
        let peers: Vec<u8> = resource.connections.keys().copied().collect();
        let Some(volume) = resource.volumes.get_mut(&number) else { continue };
        let Some(backing) = &mut volume.backing else { continue };
        peer::renew(&mut backing.meta, new_uuid(), &peers);
        volume.disk_state = DiskState::UpToDate;
        for connection in resource.connections.values_mut() {
            if let Some(seen) = connection.volumes.get_mut(&number) {
                seen.bitmap.set_all(true);
                seen.replication = match seen.replication {
                    Replication::Off => Replication::Off,
                    _ => Replication::Established,
                };
            }
        }
    }
}

/// `secondary NAME [--force]`
pub(crate) fn secondary(shared: &Shared, arguments: &Arguments) -> Outcome {
    demote(shared, arguments.word(0)?, arguments.has("force"))
}

/// Gives the role up. Whoever holds a device open for a moment only (udev does, after every write) is waited for.
fn demote(shared: &Shared, name: &str, force: bool) -> Outcome {
    let minors: Vec<u32> =
        resource(&mut shared.lock(), name)?.volumes.values().map(|volume| volume.minor).collect();
    let end = Instant::now() + Duration::from_secs(2);
    while let Some(who) = minors.iter().find_map(|minor| nbd::opener(shared, *minor)).filter(|_| !force) {
        if Instant::now() >= end {
            return refuse(name, Refusal::State(-12, "Device is held open by someone", vec![who]));
        }
        std::thread::sleep(PAUSE);
    }
    if !force {
        minors.iter().for_each(|minor| nbd::flush(shared, *minor));
    }
    let mut kernel = shared.lock();
    resource(&mut kernel, name)?.role = Role::Secondary;
    kernel.settle(name);
    nbd::follow(shared, &kernel);
    Ok(Answer::done())
}

/// `new-current-uuid MINOR [--clear-bitmap] [--force-resync]`
pub(crate) fn new_current_uuid(shared: &Shared, arguments: &Arguments) -> Outcome {
    let number = arguments.minor(0)?;
    let clear = arguments.has("clear-bitmap");
    let uuid = new_uuid();
    let mut kernel = shared.lock();
    let (name, volume_number) = minor(&kernel, number)?;
    let resource = resource(&mut kernel, &name)?;
    let (connected, node_id) = (connected(resource), resource.node_id);
    let Some(volume) = resource.volumes.get_mut(&volume_number) else { return Ok(Answer::done()) };
    let Some(backing) = &volume.backing else { return refuse(number, Refusal::NO_DISK) };
    let fresh = backing.meta.current() == JUST_CREATED && volume.promised.is_none();
    if !connected.is_empty() && !fresh {
        return refuse(number, Refusal::NEEDS_STAND_ALONE);
    }
    if clear && !connected.is_empty() {
        let mine = Promise { uuid, by: node_id };
        volume.promised = Some(mine);
        let asked = ask(&mut kernel, &name, |id| Message::Promise { volume: volume_number, id, uuid });
        kernel = answers(shared, kernel, &asked);
        let refused = asked.iter().filter(|id| kernel.refused.remove(id)).count();
        let kept = kernel.volume(&name, volume_number).is_some_and(|volume| {
            // Another's stays: that node is about to declare its generation.
            let kept = volume.promised == Some(mine);
            volume.promised = volume.promised.filter(|_| !kept);
            kept
        });
        if refused > 0 || !kept {
            return refuse(number, Refusal::NEEDS_STAND_ALONE);
        }
    }
    declare(&mut kernel, &name, volume_number, uuid, clear);
    Ok(Answer::done())
}

fn connected(resource: &Resource) -> Vec<u8> {
    let up = resource.connections.iter().filter(|(_, connection)| connection.up().is_some());
    up.map(|(peer, _)| *peer).collect()
}

/// What is here is the data, of a new generation; with `clear`, connected peers hold the same.
fn declare(kernel: &mut Kernel, name: &str, number: u16, uuid: u64, clear: bool) {
    let Some(resource) = kernel.resources.get_mut(name) else { return };
    let connected = connected(resource);
    let away: Vec<u8> =
        resource.connections.keys().copied().filter(|peer| !clear || !connected.contains(peer)).collect();
    let Some(volume) = resource.volumes.get_mut(&number) else { return };
    let Some(backing) = &mut volume.backing else { return };
    peer::renew(&mut backing.meta, uuid, &[]);
    for peer in &away {
        // Of nobody else's: peers that join later do not have it (3.1, 16.5).
        backing.meta.set_bitmap_uuid(*peer, new_uuid());
    }
    volume.disk_state = DiskState::UpToDate;
    if clear {
        peer::clear_bitmaps(resource, number);
        for connection in resource.connections.values() {
            if let Some(link) = connection.up() {
                link.send(Message::Generation { volume: number, uuid, clear: true });
            }
        }
    }
    kernel.settle(name);
}

/// `resize MINOR [--size=SIZE] [--assume-clean]`: exit 0 and nothing, unless all allow more than now.
pub(crate) fn resize(shared: &Shared, arguments: &Arguments) -> Outcome {
    let number = arguments.minor(0)?;
    let mut kernel = shared.lock();
    let (name, volume_number) = minor(&kernel, number)?;
    let resource = resource(&mut kernel, &name)?;
    if resource.connections.values().any(|c| c.volumes.get(&volume_number).is_some_and(|s| s.syncs())) {
        return refuse(number, Refusal::RESYNC_RUNS);
    }
    if let (Some(size), Some(volume)) =
        (arguments.options.get("size"), resource.volumes.get_mut(&volume_number))
    {
        volume.options.set("size", size);
    }
    let asked = ask(&mut kernel, &name, |id| Message::Ask { id });
    kernel = answers(shared, kernel, &asked);
    let resource = self::resource(&mut kernel, &name)?;
    let Some(kib) = kernel::agreed_kib(resource, volume_number) else { return Ok(Answer::done()) };
    let now = resource.volumes.get(&volume_number).map_or(0, |volume| volume.size_kib);
    if kib < now {
        return refuse(number, Refusal::TOO_SMALL);
    }
    if kib > now {
        peer::grow(&mut kernel, &name, volume_number, kib, arguments.has("assume-clean"));
    }
    Ok(Answer::done())
}

/// Waits until all have answered, or are gone.
fn answers<'a>(
    shared: &'a Shared,
    mut kernel: MutexGuard<'a, Kernel>,
    asked: &[u64],
) -> MutexGuard<'a, Kernel> {
    let end = Instant::now() + Duration::from_secs(5);
    while asked.iter().any(|id| kernel.pending.contains_key(id)) && Instant::now() < end {
        kernel = shared.wait(kernel, PAUSE);
    }
    kernel
}

/// Asks all connected peers something; the numbers of the questions.
fn ask(kernel: &mut Kernel, name: &str, question: impl Fn(u64) -> Message) -> Vec<u64> {
    let mut next = kernel.next_id;
    let mut asked = Vec::new();
    if let Some(resource) = kernel.resources.get(name) {
        for (peer, connection) in &resource.connections {
            if let Some(link) = connection.up() {
                next += 1;
                link.send(question(next));
                let (resource, peer) = (name.to_owned(), *peer);
                let pending =
                    Pending { link: link.id, resource, peer, volume: 0, offset: 0, len: 0, sync: false };
                asked.push((next, pending));
            }
        }
    }
    kernel.next_id = next;
    let ids = asked.iter().map(|(id, _)| *id).collect();
    kernel.pending.extend(asked);
    ids
}

/// `invalidate MINOR`: the data here are fetched again from a peer.
pub(crate) fn invalidate(shared: &Shared, arguments: &Arguments) -> Outcome {
    let number = arguments.minor(0)?;
    let mut kernel = shared.lock();
    let (name, volume_number) = minor(&kernel, number)?;
    let resource = resource(&mut kernel, &name)?;
    let elsewhere = resource.connections.values().any(|connection| {
        connection.state == ConnectionState::Connected
            && connection.volumes.get(&volume_number).is_some_and(|seen| seen.disk == DiskState::UpToDate)
    });
    if !elsewhere {
        return refuse(number, Refusal::State(-2, "Need access to UpToDate data", Vec::new()));
    }
    if resource.volumes.get(&volume_number).is_none_or(|volume| volume.backing.is_none()) {
        return refuse(number, Refusal::NO_DISK);
    }
    crate::sync::invalidate(&mut kernel, &name, volume_number);
    Ok(Answer::done())
}

/// `invalidate-remote NAME NODE-ID VOLUME`: the peer's data are written again from here.
pub(crate) fn invalidate_remote(shared: &Shared, arguments: &Arguments) -> Outcome {
    let (name, peer, number) = (arguments.word(0)?, arguments.number::<u8>(1)?, arguments.number::<u16>(2)?);
    let mut kernel = shared.lock();
    let connection = connection(&mut kernel, name, peer)?;
    let Some(link) = connection.up() else {
        return refuse(name, Refusal::State(-15, "Need a connection to start verify or resync", Vec::new()));
    };
    link.send(Message::Invalidate { volume: number });
    Ok(Answer::done())
}

/// `verify NAME NODE-ID VOLUME`: both replicas are read and compared; what differs becomes out of sync, and stays.
pub(crate) fn verify(shared: &Shared, arguments: &Arguments) -> Outcome {
    let (name, peer, number) = (arguments.word(0)?, arguments.number::<u8>(1)?, arguments.number::<u16>(2)?);
    let mut kernel = shared.lock();
    let connection = connection(&mut kernel, name, peer)?;
    if connection.options.get("verify-alg").is_none_or(str::is_empty) {
        let text = "Need a verify algorithm to start online verify";
        return refuse(name, Refusal::State(-14, text, Vec::new()));
    }
    let up = connection.up().is_some();
    let seen = connection.volumes.get_mut(&number).filter(|_| up);
    let Some(seen) = seen.filter(|seen| seen.replication == Replication::Established) else {
        return refuse(name, Refusal::State(-15, "Need a connection to start verify or resync", Vec::new()));
    };
    // Before the command ends: whoever looks then must not take it for done.
    seen.replication = Replication::VerifyS;
    kernel.to_verify.push((name.to_owned(), peer, number));
    Ok(Answer::done())
}

/// `pause-sync` and `resume-sync NAME NODE-ID VOLUME`
pub(crate) fn pause_sync(shared: &Shared, arguments: &Arguments, pause: bool) -> Outcome {
    let (name, peer, number) = (arguments.word(0)?, arguments.number::<u8>(1)?, arguments.number::<u16>(2)?);
    let mut kernel = shared.lock();
    let seen = connection(&mut kernel, name, peer)?.volumes.get_mut(&number);
    let Some(seen) = seen else { return refuse(name, Refusal::INVALID) };
    if seen.paused == pause {
        let (number, text) = if pause {
            (135, "Sync-pause flag is already set")
        } else {
            (136, "Sync-pause flag is already cleared")
        };
        return refuse(name, Refusal::Failure(number, text));
    }
    seen.paused = pause;
    kernel.settle(name);
    Ok(Answer::done())
}

/// `suspend-io` and `resume-io MINOR`
pub(crate) fn suspend_io(shared: &Shared, arguments: &Arguments, suspend: bool) -> Outcome {
    let mut kernel = shared.lock();
    let (name, _) = minor(&kernel, arguments.minor(0)?)?;
    resource(&mut kernel, &name)?.suspended = suspend;
    kernel.settle(&name);
    Ok(Answer::done())
}

/// `outdate MINOR`
pub(crate) fn outdate(shared: &Shared, arguments: &Arguments) -> Outcome {
    let number = arguments.minor(0)?;
    let mut kernel = shared.lock();
    let (name, volume_number) = minor(&kernel, number)?;
    let resource = resource(&mut kernel, &name)?;
    let connected = resource.connections.values().any(|c| c.state == ConnectionState::Connected);
    if resource.role == Role::Primary || connected {
        let text = "Disk state is lower than outdated";
        return refuse(number, Refusal::State(-9, text, Vec::new()));
    }
    if let Some(volume) = resource.volumes.get_mut(&volume_number)
        && volume.disk_state > DiskState::Outdated
    {
        volume.disk_state = DiskState::Outdated;
    }
    kernel.settle(&name);
    Ok(Answer::done())
}

/// `wait-connect-*` and `wait-sync-*`: of a resource, a connection or a volume.
pub(crate) fn wait(shared: &Shared, arguments: &Arguments) -> Outcome {
    let name = arguments.word(0)?;
    let only: Option<u8> = arguments.words.get(1).and_then(|word| word.parse().ok());
    let seconds: u64 = arguments.options.get("wfc-timeout").and_then(|value| value.parse().ok()).unwrap_or(0);
    let end = (seconds > 0).then(|| Instant::now() + Duration::from_secs(seconds));
    let for_sync = arguments.verb.contains("sync");
    let mut kernel = shared.lock();
    loop {
        let resource = resource(&mut kernel, name)?;
        let mut awaited =
            resource.connections.iter().filter(|(peer, _)| only.is_none_or(|only| only == **peer));
        let ready = awaited.all(|(_, connection)| {
            let synced = connection.volumes.values().all(|seen| !for_sync || !seen.syncs());
            connection.state == ConnectionState::StandAlone
                || connection.state == ConnectionState::Connected && synced
        });
        if ready {
            return Ok(Answer { err: timeouts(seconds), ..Answer::done() });
        }
        if end.is_some_and(|end| Instant::now() >= end) {
            return Ok(Answer { code: 5, err: timeouts(seconds), ..Answer::done() });
        }
        kernel = shared.wait(kernel, PAUSE);
    }
}

/// What the real program says of a `wfc-timeout` below its other defaults (2.7).
fn timeouts(seconds: u64) -> String {
    if seconds == 0 {
        return String::new();
    }
    format!(
        "degr-wfc-timeout has to be shorter than wfc-timeout\n\
         degr-wfc-timeout implicitly set to wfc-timeout ({seconds}s)\n\
         outdated-wfc-timeout has to be shorter than degr-wfc-timeout\n\
         outdated-wfc-timeout implicitly set to degr-wfc-timeout ({seconds}s)\n"
    )
}
