// SPDX-License-Identifier: MPL-2.0
//! Executes a plan, step by step, and stops at the first failure. No decision is taken here.

use crate::host::{Cmd, Host, HostError, Output, Read};
use crate::observe::{self, ObserveError};
use crate::ops::{self, Op};
use crate::plan::Plan;
use crate::record::{self, Phase, Record, VolumeRecord};
use crate::res_file;
use crate::step::Step;
use crate::tools::drbdadm::{DrbdFailure, state_error};
use crate::tools::drbdsetup::DiskState;
use crate::tools::{blkid, drbdadm, drbdmeta, drbdsetup, mask_secrets, wipefs};
use drbd_schemas::VolumeNumber;
use drbd_schemas::reply::{Action, ActionState};
use std::time::Duration;

/// Why a step failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    /// A command ended otherwise than with exit 0.
    #[error("{cmd}: {exit}: {said}", exit = output.exit, said = tail(&output.stderr, &output.stdout))]
    Command {
        /// The command.
        cmd: Box<Cmd>,
        /// What it left.
        output: Box<Output>,
    },
    /// The host refused.
    #[error("{0}")]
    Host(#[from] HostError),
    /// What was looked at afterwards could not be read.
    #[error("{0}")]
    Observe(#[from] ObserveError),
    /// The command exited 0, and yet it is not so.
    #[error("{0}")]
    NoEffect(String),
    /// It failed before DRBD took a new file, and the one before is back in its place.
    #[error(
        "{failure}. The previous {path} is back in place, so that the next start does not meet a file that does not work"
    )]
    PutBack {
        /// The failure.
        failure: Box<StepError>,
        /// The file.
        path: String,
    },
}

/// The steps as actions of a reply, none of them done.
pub fn actions(plan: &Plan) -> Vec<Action> {
    let each = plan.steps.iter().enumerate();
    each.map(|(i, planned)| Action {
        seq: u32::try_from(i + 1).unwrap_or(u32::MAX),
        step: planned.step.name().to_owned(),
        summary: planned.step.to_string(),
        why: planned.why.clone(),
        consequence: planned.consequence.clone(),
        risk: planned.step.risk(),
        argv: ops::argv(&ops::of(&planned.step)),
        ..Action::default()
    })
    .collect()
}

/// Runs the plan. Returns every action with what became of it, and the failure that ended the run, if any.
pub fn run(host: &impl Host, resource: &str, plan: &Plan) -> (Vec<Action>, Option<StepError>) {
    let mut actions = actions(plan);
    let mut failure = None;
    let mut taken = false;
    for (planned, action) in plan.steps.iter().zip(&mut actions) {
        if failure.is_some() {
            action.state = ActionState::Skipped;
            continue;
        }
        let started = host.millis();
        let result = host
            .checkpoint()
            .map_err(StepError::from)
            .and_then(|()| ops::of(&planned.step).iter().try_for_each(|op| execute(host, resource, op)));
        action.duration_ms = Some(host.millis().saturating_sub(started));
        action.state = if result.is_ok() { ActionState::Done } else { ActionState::Failed };
        match result {
            Ok(()) => taken |= matches!(planned.step, Step::Adjust { .. }),
            Err(error) => {
                describe(action, &error);
                failure = Some(error);
            }
        }
    }
    (actions, failure.map(|error| if taken { error } else { put_back(host, resource, plan, error) }))
}

/// The file that DRBD worked with goes back where a failed plan has replaced it with one that DRBD has not taken.
fn put_back(host: &impl Host, resource: &str, plan: &Plan, failure: StepError) -> StepError {
    let brings_it_in = |step: &Step| matches!(step, Step::WriteConfig { .. } | Step::Adjust { .. });
    if !plan.steps.iter().any(|planned| brings_it_in(&planned.step)) {
        return failure;
    }
    let path = res_file::path(resource);
    let write = || {
        let Some(text) = observe::record(host, resource)?.replaced else { return Ok(false) };
        host.write(&path, &text, 0o600)?;
        update_record(host, resource, |record| record.replaced = None)?;
        Ok::<bool, StepError>(true)
    };
    match write() {
        Ok(true) => StepError::PutBack { failure: Box::new(failure), path },
        // The record still has it: the next run does it.
        Ok(false) | Err(_) => failure,
    }
}

fn describe(action: &mut Action, error: &StepError) {
    if let StepError::Command { output, .. } = error {
        action.exit = Some(output.exit.to_string());
        action.stderr_tail = Some(tail(&output.stderr, &output.stdout));
    } else {
        action.stderr_tail = Some(mask_secrets(&error.to_string()));
    }
}

/// The last lines of what a command said, secrets masked.
fn tail(stderr: &str, stdout: &str) -> String {
    let said = if stderr.trim().is_empty() { stdout } else { stderr };
    let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = lines.get(lines.len().saturating_sub(8)..).unwrap_or_default();
    mask_secrets(&last.join("\n"))
}

/// How often a command is tried again that found its device held open for a moment (by `drbd_info`, udev or LVM, which
/// look at new devices, or by the kernel, which lets go of a disk only after `down` has returned), or DRBD between two
/// states. It had not changed anything yet.
const BUSY_TRIES: u32 = 10;
/// "In transient state, retry after next state change" (seen on 8.4, `down` during a handshake).
const TRANSIENT: i32 = -18;

/// Its failures are DRBD's own.
fn is_drbds(cmd: &Cmd) -> bool {
    [drbdadm::PROGRAM, drbdmeta::PROGRAM, drbdsetup::PROGRAM].contains(&cmd.program)
}

/// The failure may be gone in a moment, and nothing was changed.
fn is_passing(cmd: &Cmd, output: &Output) -> bool {
    match cmd.program {
        wipefs::PROGRAM => wipefs::found_it_busy(output),
        _ if is_drbds(cmd) => matches!(
            drbdadm::classify(output),
            Some(
                DrbdFailure::DeviceBusy(_)
                    | DrbdFailure::StateChangeRefused { number: TRANSIENT | state_error::DEVICE_IN_USE, .. }
            )
        ),
        _ => false,
    }
}

fn run_command(host: &impl Host, cmd: &Cmd) -> Result<(), StepError> {
    for attempt in 1.. {
        let output = host.run(cmd)?;
        if output.ok() {
            break;
        }
        if !is_passing(cmd, &output) || attempt == BUSY_TRIES {
            return Err(StepError::Command { cmd: Box::new(cmd.clone()), output: Box::new(output) });
        }
        host.checkpoint()?;
        host.pause(Duration::from_millis(200));
    }
    Ok(())
}

fn execute(host: &impl Host, resource: &str, op: &Op) -> Result<(), StepError> {
    match op {
        Op::Run(cmd) => run_command(host, cmd),
        Op::Write { path, text, mode } => Ok(host.write(path, text, *mode)?),
        Op::Remove(path) => Ok(host.remove(path)?),
        Op::NoteCreating { volume, device, created_lv, created_blank } => {
            let identity = match created_lv {
                true => None,
                false => host.block_device(device)?.map(|block| block.identity(device)),
            };
            let record = observe::record(host, resource)?;
            let known =
                record.volumes.get(volume).filter(|known| identity.is_some() && known.identity == identity);
            let entry = VolumeRecord {
                path: device.clone(),
                given_up: known.and_then(|known| known.given_up.clone()),
                identity,
                phase: Phase::Creating,
                created_lv: *created_lv,
                created_blank: *created_blank,
                metadata: None,
            };
            note(host, resource, *volume, entry)
        }
        Op::NoteConsent { volume, device, token } => note_consent(host, resource, *volume, device, token),
        Op::NoteMetadata { volume, device } => {
            let uuid = metadata_of(host, device)?;
            note_metadata(host, resource, *volume, device, uuid)
        }
        Op::NameMetadata { volume, minor, device } => {
            let uuid = fresh_uuid(host)?;
            run_command(host, &drbdmeta::write_dev_uuid(*minor, device, &uuid))?;
            note_metadata(host, resource, *volume, device, uuid)
        }
        Op::NoteDiscard(token) => {
            update_record(host, resource, |record| record.discarding = Some(token.clone()))
        }
        Op::NotePromotion(promoted) => {
            update_record(host, resource, |record| record.promoted_for_sync = *promoted)
        }
        Op::NoteReplaced(text) => {
            update_record(host, resource, |record| record.replaced = Some(text.clone()))
        }
        Op::NoteAccepted if observe::record(host, resource)?.replaced.is_none() => Ok(()),
        Op::NoteAccepted => {
            // DRBD has taken it, noted or not: without the note the next look plans it.
            let _ = update_record(host, resource, |record| record.replaced = None);
            Ok(())
        }
        Op::NoteLeaving(node_ids) => update_record(host, resource, |record| record.leaving.extend(node_ids)),
        Op::NoteForgotten(node_id) => update_record(host, resource, |record| {
            record.leaving.remove(node_id);
        }),
        Op::ExpectAttached => expect_attached(host, resource),
        Op::ExpectSize { volume, kib } => expect_size(host, resource, *volume, *kib),
        Op::ExpectBlank { device, leftovers } => expect_blank(host, device, *leftovers),
        Op::NoteFilesystem { volume, making } => update_record(host, resource, |record| {
            match making {
                true => record.making_filesystem.insert(*volume),
                false => record.making_filesystem.remove(volume),
            };
        }),
        Op::ExpectNoLv { volume_group, name } => expect_no_lv(host, volume_group, name),
    }
}

fn note(
    host: &impl Host,
    resource: &str,
    volume: VolumeNumber,
    entry: VolumeRecord,
) -> Result<(), StepError> {
    update_record(host, resource, |record| {
        record.volumes.insert(volume, entry);
    })
}

/// Changes what this host remembers of a resource.
fn update_record(
    host: &impl Host,
    resource: &str,
    change: impl FnOnce(&mut Record),
) -> Result<(), StepError> {
    let mut record: Record = observe::record(host, resource)?;
    change(&mut record);
    Ok(host.write(&record::path(resource), &record.render(), 0o600)?)
}

/// A device UUID as DRBD prints it: the front of a random one of the kernel's (RFC 9562), whose version number keeps it
/// from being zero.
fn fresh_uuid(host: &impl Host) -> Result<String, StepError> {
    const RANDOM: &str = "/proc/sys/kernel/random/uuid";
    let text = host.read(RANDOM)?.unwrap_or_default();
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).take(16).collect();
    if digits.len() < 16 {
        return Err(StepError::NoEffect(format!("{RANDOM} gives no random number")));
    }
    Ok(digits.to_uppercase())
}

/// The device UUID of the metadata on a device.
fn metadata_of(host: &impl Host, device: &str) -> Result<String, StepError> {
    let output = host.run(&blkid::probe(device))?;
    let probe = blkid::parse_probe(&output).map_err(ObserveError::from)?;
    let uuid = match probe {
        blkid::Probe::Found(found) => found.drbd_metadata().map(|(_, uuid)| uuid),
        blkid::Probe::NothingKnown | blkid::Probe::Ambivalent => None,
    };
    uuid.ok_or_else(|| StepError::NoEffect(format!("{device} shows no DRBD metadata")))
}

fn note_metadata(
    host: &impl Host,
    resource: &str,
    volume: VolumeNumber,
    device: &str,
    uuid: String,
) -> Result<(), StepError> {
    let identity = host.block_device(device)?.map(|block| block.identity(device));
    let record: Record = observe::record(host, resource)?;
    let known =
        record.volumes.get(&volume).filter(|known| known.identity.is_none() || known.identity == identity);
    let entry = VolumeRecord {
        path: device.to_owned(),
        identity,
        phase: Phase::Created,
        created_lv: known.is_some_and(|known| known.created_lv),
        created_blank: known.is_some_and(|known| known.created_blank),
        metadata: Some(uuid),
        given_up: None,
    };
    note(host, resource, volume, entry)
}

fn note_consent(
    host: &impl Host,
    resource: &str,
    volume: VolumeNumber,
    device: &str,
    token: &str,
) -> Result<(), StepError> {
    let identity = host.block_device(device)?.map(|block| block.identity(device));
    let record: Record = observe::record(host, resource)?;
    let known = record.volumes.get(&volume).filter(|known| identity.is_some() && known.identity == identity);
    let entry = VolumeRecord {
        path: device.to_owned(),
        identity,
        phase: Phase::Creating,
        created_lv: known.is_some_and(|known| known.created_lv),
        created_blank: false,
        metadata: None,
        given_up: Some(token.to_owned()),
    };
    note(host, resource, volume, entry)
}

/// How long the peers may take to agree on a size: `resize` returns before they have (seen on 8.4).
const RESIZE_PATIENCE: Duration = Duration::from_secs(15);

/// `resize` exits 0 also when it did nothing (docs/behaviour.md B8): the size is the proof, not the code.
fn expect_size(host: &impl Host, resource: &str, volume: VolumeNumber, kib: u64) -> Result<(), StepError> {
    let drbd = observe::drbd(host)?;
    let until = host.millis().saturating_add(u64::try_from(RESIZE_PATIENCE.as_millis()).unwrap_or(u64::MAX));
    loop {
        let status = observe::statuses(host, &drbd)?.into_iter().find(|status| status.name == resource);
        let device = status.and_then(|s| s.devices.into_iter().find(|device| device.volume == volume.get()));
        let found = device.and_then(|device| device.size_kib).unwrap_or(0);
        if found >= kib {
            return Ok(());
        }
        host.checkpoint()?;
        if host.millis() >= until {
            return Err(StepError::NoEffect(format!(
                "resize exited 0, but {resource}/{volume} has {found} KiB and not {kib} KiB: a peer's backing \
                 device has not grown, or a peer is away"
            )));
        }
        host.pause(Duration::from_millis(100));
    }
}

/// `forget-peer` exits 0 also where it changed nothing, because a disk is not attached.
fn expect_attached(host: &impl Host, resource: &str) -> Result<(), StepError> {
    let drbd = observe::drbd(host)?;
    let status = observe::statuses(host, &drbd)?.into_iter().find(|status| status.name == resource);
    let devices = status.map(|status| status.devices).unwrap_or_default();
    match devices
        .iter()
        .find(|device| device.disk_state == DiskState::Diskless && device.client != Some(true))
    {
        None => Ok(()),
        Some(device) => Err(StepError::NoEffect(format!(
            "the disk of {resource}/{} is not attached, so its metadata still know the peer",
            device.volume
        ))),
    }
}

/// The plan's look may be old by now, or was taken below DRBD: what counts is the device itself.
fn expect_blank(host: &impl Host, device: &str, leftovers: bool) -> Result<(), StepError> {
    let probe = blkid::parse_probe(&host.run(&blkid::probe(device))?).map_err(ObserveError::from)?;
    let found = match probe {
        blkid::Probe::Found(found) => found.to_string(),
        blkid::Probe::Ambivalent => "several signatures at once".to_owned(),
        blkid::Probe::NothingKnown if leftovers => return Ok(()),
        blkid::Probe::NothingKnown => match host.first_data(device, None, Read::All)? {
            None => return Ok(()),
            Some(offset) => format!("data without a known signature (at byte {offset})"),
        },
    };
    Err(StepError::NoEffect(format!("{device} was to be blank and holds {found}; it was not written")))
}

fn expect_no_lv(host: &impl Host, volume_group: &str, name: &str) -> Result<(), StepError> {
    let report = observe::lvm_report(host, &observe::lvm_filter(host)?)?;
    if report.lvs.iter().any(|lv| lv.vg == volume_group && lv.name == name) {
        return Err(StepError::NoEffect(format!("logical volume {volume_group}/{name} is still there")));
    }
    Ok(())
}

impl StepError {
    /// Somebody asked the run to stop.
    pub fn is_interrupted(&self) -> bool {
        match self {
            Self::PutBack { failure, .. } => failure.is_interrupted(),
            Self::Host(HostError::Interrupted { .. }) => true,
            Self::Command { .. } | Self::Host(_) | Self::Observe(_) | Self::NoEffect(_) => false,
        }
    }

    /// What the failure means, when a tool said it clearly, and what to do.
    pub fn next_step(&self) -> String {
        match self {
            Self::Command { cmd, output } if is_drbds(cmd) => {
                drbdadm::classify(output).map(|failure| failure.advice()).unwrap_or_default()
            }
            Self::PutBack { failure, .. } => failure.next_step(),
            Self::Host(HostError::Interrupted { .. }) => "Run again; it goes on where it stopped.".to_owned(),
            Self::Command { .. } | Self::Host(_) | Self::Observe(_) | Self::NoEffect(_) => {
                "Remove the cause and run again; it goes on where it stopped.".to_owned()
            }
        }
    }
}
