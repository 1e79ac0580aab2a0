// SPDX-License-Identifier: MPL-2.0
//! The ways out: down, absent, and up again with the file that is there. They need only the resource's name: what is to
//! be removed is what this host remembers to have made, never what a declaration might say now.

use super::{Permits, Plan, storage};
use crate::observed::{Content, DryRun, Observed};
use crate::pool::sound;
use crate::record::VolumeRecord;
use crate::refusal::Refusal;
use crate::res_file;
use crate::step::{Planned, Step};
use crate::tools::drbdadm;
use crate::tools::drbdsetup::RoleName;
use crate::tools::lvm::LogicalVolume;
use drbd_schemas::reply::Code;
use drbd_schemas::{ResourceName, VolumeNumber};

/// Plans `state: down`.
pub fn down(name: &ResourceName, observed: &Observed, in_use: Option<&str>) -> Result<Plan, Refusal> {
    let mut plan = Plan::default();
    stop(name, observed, in_use, &mut plan)?;
    Ok(plan)
}

/// Plans the end of a promotion that a cut run left behind: its record says that it was for one step only.
pub fn give_role_back(name: &ResourceName, observed: &Observed, in_use: Option<&str>, plan: &mut Plan) {
    let left = observed.record.promoted_for_sync
        && observed.status.as_ref().is_some_and(|status| status.role == RoleName::Primary);
    match in_use {
        _ if !left => {}
        // Somebody has come to rely on the role since: it is theirs now.
        Some(user) => plan.warnings.push(format!(
            "an earlier run was cut while this host was Primary for one step; it stays Primary, because {user}"
        )),
        None => {
            let step = Step::GiveRoleBack { demote: drbdadm::secondary(name.as_str()) };
            plan.push(Planned::new(step, "an earlier run was cut while this host was Primary for one step"));
        }
    }
}

fn stop(
    name: &ResourceName,
    observed: &Observed,
    in_use: Option<&str>,
    plan: &mut Plan,
) -> Result<(), Refusal> {
    let Some(status) = &observed.status else { return Ok(()) };
    if let Some(user) = in_use {
        let message = format!("resource {name} is in use on {}: {user}.", observed.node);
        return Err(
            Refusal::new(Code::InUse, message).next("Stop what uses it and unmount it, then run again.")
        );
    }
    if status.role == RoleName::Primary {
        let message = format!("resource {name} is Primary on {}.", observed.node);
        return Err(Refusal::new(Code::InUse, message)
            .next("Stop what uses it, make it Secondary (drbd_role, role: secondary), and run again."));
    }
    let step = Step::Down { resource: name.to_string(), has_file: observed.config.is_some() };
    plan.push(
        Planned::new(step, "it is up").consequence("this host no longer receives what the others write"),
    );
    Ok(())
}

/// Plans `state: absent`. Backing storage goes only with the consent `destroy:<name>`.
pub fn absent(
    name: &ResourceName,
    observed: &Observed,
    permits: &Permits,
    in_use: Option<&str>,
) -> Result<Plan, Refusal> {
    let mut plan = Plan::default();
    let path = res_file::path(name.as_str());
    if observed.config.as_deref().is_some_and(|text| !res_file::is_ours(text)) {
        let message = format!("{path} was not written by drbd-host.");
        return Err(
            Refusal::new(Code::Taken, message).next("Remove that resource with the tool that made it.")
        );
    }
    stop(name, observed, in_use, &mut plan)?;
    if observed.config.is_some() {
        plan.push(Planned::new(Step::RemoveConfig { path }, "the resource is to be absent"));
    }
    let token = format!("destroy:{name}");
    if observed.record.volumes.is_empty() {
        return Ok(plan);
    }
    if !permits.allows(&token) {
        let kept: Vec<&str> = observed.record.volumes.values().map(|volume| volume.path.as_str()).collect();
        plan.warnings.push(format!(
            "the backing storage stays with its data: {}; to remove it too, run again with consent: [\"{token}\"]",
            kept.join(", ")
        ));
        return Ok(plan);
    }
    give_back(name, observed, &mut plan)?;
    Ok(plan)
}

fn give_back(name: &ResourceName, observed: &Observed, plan: &mut Plan) -> Result<(), Refusal> {
    for (number, record) in &observed.record.volumes {
        let lost = |path: &str| format!("the data of {name}/{number} on {path} are lost on this host");
        if record.created_lv {
            // Only the very volume that was created: by path, tag-independent, and by UUID where it is known.
            let lv = observed.lvm.lvs.iter().find(|lv| record.path == format!("/dev/{}/{}", lv.vg, lv.name));
            let same = lv.filter(|lv| {
                record.identity.as_ref().is_none_or(|known| *known == format!("lv:{}", lv.uuid))
            });
            match (lv, same) {
                (Some(_), Some(lv)) => {
                    // LVM would remove them with it, without another question.
                    let snapshots = observed.lvm.snapshots_of(lv);
                    if !snapshots.is_empty() {
                        let message = format!(
                            "{} has classic snapshots that would go with it: {}.",
                            record.path,
                            snapshots.join(", ")
                        );
                        return Err(Refusal::new(Code::InUse, message)
                            .next("Remove them by hand if they may go, then run again."));
                    }
                    let step = Step::RemoveLv {
                        volume: *number,
                        volume_group: lv.vg.clone(),
                        name: lv.name.clone(),
                        uuid: lv.uuid.clone(),
                        filter: observed.lvm_filter.clone(),
                    };
                    plan.push(
                        Planned::new(step, "the consent names this resource").consequence(lost(&record.path)),
                    );
                }
                (Some(lv), None) => {
                    let message = format!(
                        "{}: this is not the volume that was made for {name}/{number} (it is lv:{} now).",
                        record.path, lv.uuid
                    );
                    return Err(Refusal::new(Code::ForeignData, message).next(format!(
                        "Remove it by hand if it may go, then delete {}.",
                        crate::record::path(name.as_str())
                    )));
                }
                (None, _) => {}
            }
        } else if still_ours(observed, *number, record) {
            let step = Step::WipeMetadata { volume: *number, device: record.path.clone() };
            let text = format!(
                "{}; what was written through DRBD stays readable below it",
                "DRBD's metadata are gone"
            );
            plan.push(Planned::new(step, "the consent names this resource").consequence(text));
        }
    }
    plan.push(Planned::new(Step::ForgetRecord { resource: name.to_string() }, "nothing of it is left here"));
    Ok(())
}

/// The device still holds the metadata that were written for this volume.
fn still_ours(observed: &Observed, number: VolumeNumber, record: &VolumeRecord) -> bool {
    let Some(device) = observed.devices.get(&number) else { return false };
    let same_device = record.identity.is_some() && device.identity() == record.identity;
    let holds_ours = match &device.content {
        Content::Metadata(found) => record.metadata.as_ref() == Some(&found.device_uuid),
        Content::AttachedHere => true,
        Content::NoDevice
        | Content::Signature(_)
        | Content::Data { .. }
        | Content::Zeroes
        | Content::MovedMetadata { .. }
        | Content::Unreadable(_) => false,
    };
    same_device && holds_ours
}

/// The logical volumes that this host made for the resource must be active before it is up, and fit for it.
fn activate(observed: &Observed, plan: &mut Plan) -> Result<(), Refusal> {
    for (number, record) in observed.record.volumes.iter().filter(|(_, record)| record.created_lv) {
        let own = |lv: &&LogicalVolume| record.path == format!("/dev/{}/{}", lv.vg, lv.name);
        let Some(lv) = observed.lvm.lvs.iter().find(own) else { continue };
        sound::group(&observed.lvm, &lv.vg, &observed.node)?;
        if let Some(planned) = storage::appearing(observed, *number, lv, plan)? {
            plan.push(planned);
        }
    }
    Ok(())
}

/// Plans `state: up`.
pub fn up(name: &ResourceName, observed: &Observed) -> Result<Plan, Refusal> {
    if observed.config.is_none() {
        let message = format!("there is no {} on {}.", res_file::path(name.as_str()), observed.node);
        return Err(
            Refusal::new(Code::Missing, message).next("Declare the resource with state: present first.")
        );
    }
    let mut plan = Plan::default();
    if observed.status.is_none() {
        activate(observed, &mut plan)?;
    }
    match &observed.dry_run {
        DryRun::Refused { message, .. } => {
            let text = format!("drbdadm cannot read the configuration of {}: {message}", observed.node);
            return Err(Refusal::new(Code::BrokenConfig, text).next("Repair the file that it names."));
        }
        DryRun::Steps(steps) if steps.is_empty() && observed.status.is_some() => {}
        DryRun::Steps(_) | DryRun::NotAsked if observed.status.is_some() => {
            plan.warnings.push("it is up, but not as its file says; state: present converges it".to_owned());
        }
        DryRun::Steps(steps) => {
            let commands = steps.iter().map(|step| step.text.clone()).collect();
            let step = Step::Adjust { resource: name.to_string(), commands, disruptive: false };
            plan.push(Planned::new(step, "it is not up"));
        }
        DryRun::NotAsked => {
            let step = Step::Adjust { resource: name.to_string(), commands: Vec::new(), disruptive: false };
            plan.push(Planned::new(step, "it is not up"));
        }
    }
    Ok(plan)
}
