// SPDX-License-Identifier: MPL-2.0
//! Split brain: two hosts wrote without each other, and DRBD takes neither history for the right one. It is resolved only
//! by naming the victim: a consent that names the resource, the host, and the very data generation that is given up. A
//! token that was left in a playbook does nothing the next time.
//!
//! Not here: finding out which side is right. That is for people, or the application, to know.

use crate::agreement;
use crate::host::Host;
use crate::observe::ObserveError;
use crate::observed::{DryRun, Observed};
use crate::plan::{Permits, Plan};
use crate::refusal::Refusal;
use crate::run::RunError;
use crate::step::{Planned, Step};
use crate::tools::Family;
use crate::tools::drbdadm::{self, AdjustCommand, Connections};
use crate::tools::drbdsetup::{ConnectionState, ConnectionStatus, DiskState, RoleName};
use drbd_schemas::reply::Code;

/// The consent that gives up this host's data in favour of its peers', where there is a reason for it: a connection is
/// StandAlone here, or a peer's facts say that it is there. The generation is read from the metadata only then.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn token(
    host: &impl Host,
    name: &str,
    observed: &Observed,
    permits: &Permits,
) -> Result<Option<String>, RunError> {
    let Some(status) = &observed.status else { return Ok(None) };
    let here = status.stands_alone();
    let prefix = format!("discard-my-data:{name}@{}:", observed.node);
    let asked = permits.consent.iter().any(|given| given.starts_with(&prefix));
    let elsewhere = agreement::given_up_by(name, &observed.node, &permits.evidence).is_some();
    let apart = status.connections.iter().any(is_apart);
    // `drbdadm` knows only what a file names, and says the generations only then.
    if observed.config.is_none() || !(here || (apart && (asked || elsewhere))) {
        return Ok(None);
    }
    let mut generations = Vec::new();
    for device in status.devices.iter().filter(|device| device.disk_state != DiskState::Diskless) {
        let output = host.run(&drbdadm::get_gi(name, device.volume))?;
        let found = drbdadm::parse_get_gi(&output).map_err(ObserveError::from)?;
        generations.extend(found.first().map(|gi| format!("{:016X}", gi.current.generation())));
    }
    Ok((!generations.is_empty()).then(|| prefix + &generations.join("+")))
}

fn is_apart(connection: &ConnectionStatus) -> bool {
    connection.connection_state != ConnectionState::Connected
}

/// Plans to give up this host's data, if the consent for it was given. `in_use` names who uses the resource.
///
/// # Errors
/// A refusal, while somebody still uses the data that are to be given up.
pub(crate) fn plan(
    name: &str,
    observed: &Observed,
    permits: &Permits,
    token: Option<&str>,
    in_use: Option<&str>,
    plan: &mut Plan,
) -> Result<(), Refusal> {
    let (Some(token), Some(status)) = (token, &observed.status) else { return Ok(()) };
    if !permits.allows(token) {
        if !status.stands_alone() {
            plan.warnings.push(format!(
                "a peer is StandAlone towards this host (split brain, or disconnected by hand). To give up what this host wrote alone, run again here with consent: [\"{token}\"]"
            ));
        }
        return Ok(());
    }
    if status.role == RoleName::Primary || in_use.is_some() {
        let why = in_use.unwrap_or("it is Primary");
        let message =
            format!("the data of {name} on {} are to be given up, and are in use: {why}.", observed.node);
        return Err(Refusal::new(Code::InUse, message)
            .next("Stop what uses them and make this host Secondary first (drbd_role, role: secondary).")
            .next("Copy what has to be kept of them while they can still be read."));
    }
    // One that waits for its peer with this consent already waits on.
    let waits = observed.record.discarding.as_deref() == Some(token);
    let apart = status.connections.iter().filter(|connection| match connection.connection_state {
        ConnectionState::StandAlone => true,
        _ => is_apart(connection) && !waits,
    });
    let mut cmds = Vec::new();
    for connection in apart {
        let target = match (observed.drbd.family(), &connection.name) {
            (Some(Family::V9), Some(peer)) => Connections::To(peer),
            _ => Connections::All,
        };
        if connection.connection_state != ConnectionState::StandAlone {
            cmds.push(drbdadm::disconnect(name, target));
        }
        cmds.push(drbdadm::connect(name, target, true));
    }
    if cmds.is_empty() {
        return Ok(());
    }
    let step = Step::DiscardMyData { resource: name.to_owned(), token: token.to_owned(), cmds };
    let planned =
        Planned::new(step, "the consent names this host as the victim of the split brain").consequence(
            format!("what {} wrote without its peers is lost; it is synchronised from them", observed.node),
        );
    before_adjust(observed, planned, plan);
    Ok(())
}

/// The victim must say so in the very handshake in which the peers compare their data, so this comes before `adjust`
/// connects; where that had nothing else to do, it is left out.
fn before_adjust(observed: &Observed, planned: Planned, plan: &mut Plan) {
    let only_connects = match &observed.dry_run {
        DryRun::Steps(steps) => {
            steps.iter().all(|step| matches!(step.command, AdjustCommand::Connect { .. }))
        }
        DryRun::NotAsked | DryRun::Refused { .. } => false,
    };
    let at = plan.steps.iter().position(|planned| matches!(planned.step, Step::Adjust { .. }));
    match at {
        Some(at) if only_connects => {
            if let Some(slot) = plan.steps.get_mut(at) {
                *slot = planned;
            }
        }
        Some(at) => plan.steps.insert(at, planned),
        None => plan.steps.push(planned),
    }
}
