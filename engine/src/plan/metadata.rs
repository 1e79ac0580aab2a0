// SPDX-License-Identifier: MPL-2.0
//! What the backing devices hold, and whether metadata may be written. The heart of data safety: nothing here trusts a
//! device node's existence, and `--force` needs a proof (docs/rules.md 1 to 3).

use super::storage::Appearing;
use super::{Context, Plan};
use crate::content::{self, Judged};
use crate::observed::{Content, Device};
use crate::record::{LV_TAG, VolumeRecord};
use crate::refusal::Refusal;
use crate::step::{CreateMetadata, Minor, Planned, Step};
use drbd_schemas::reply::Code;
use drbd_schemas::{Family, Storage, Verdict, VolumeNumber};

pub(crate) fn plan(context: &Context<'_>, appearing: &Appearing, plan: &mut Plan) -> Result<(), Refusal> {
    for (&volume, declared) in &context.resource.volumes {
        let minor = Minor { number: declared.minor.get(), family: context.family };
        let Some(path) = context.resource.backing_path(&context.name, volume) else { continue };
        // It holds what an earlier run wrote and noted; the kernel reads that when it attaches.
        if appearing.activated.contains(&volume) {
            continue;
        }
        if appearing.created.contains(&volume) {
            // The logical volume is created in this plan: what LVM leaves on it belongs to nobody.
            plan.push(create(context, volume, minor, path, None, true, "the volume is new"));
            continue;
        }
        let Some(device) = context.observed.devices.get(&volume) else { continue };
        let judged = judge(context, volume, device);
        existing(context, volume, minor, device, judged, plan)?;
    }
    Ok(())
}

/// The verdict on a volume's backing device.
pub(crate) fn judge(context: &Context<'_>, volume: VolumeNumber, device: &Device) -> Judged {
    let tagged = match &context.node.storage {
        Storage::LvmThin { volume_group, .. } | Storage::Lvm { volume_group } => context
            .lv(volume_group.as_str(), volume)
            .is_some_and(|lv| lv.tags.iter().any(|tag| tag == LV_TAG)),
        Storage::Devices(_) | Storage::Diskless {} => false,
    };
    content::judge(device, context.record(volume), tagged, context.family)
}

fn existing(
    context: &Context<'_>,
    volume: VolumeNumber,
    minor: Minor,
    device: &Device,
    judged: Judged,
    plan: &mut Plan,
) -> Result<(), Refusal> {
    let path = device.path.clone();
    match judged.verdict {
        Verdict::Ours => adopt_if_unknown(context, volume, minor, device, plan),
        Verdict::Blank => {
            let why = if judged.fresh {
                "an earlier run created or wiped it and was cut"
            } else {
                "the device is blank"
            };
            plan.push(create(context, volume, minor, path, device.identity(), judged.fresh, why));
        }
        Verdict::Foreign { found, consent } => {
            return foreign(context, volume, minor, device, &found, consent, plan);
        }
        Verdict::Unreadable { why } => {
            let message =
                format!("{path}: cannot tell what the backing device of volume {volume} holds: {why}.");
            return Err(
                Refusal::new(Code::Unreadable, message).next("Repair the device, or use another one.")
            );
        }
        Verdict::Absent => {
            let message =
                format!("{path}: the backing device of volume {volume} does not exist on {}.", context.name);
            return Err(
                Refusal::new(Code::Missing, message).next("Attach it, or name it by a path that is there.")
            );
        }
    }
    Ok(())
}

fn foreign(
    context: &Context<'_>,
    volume: VolumeNumber,
    minor: Minor,
    device: &Device,
    found: &str,
    consent: Option<String>,
    plan: &mut Plan,
) -> Result<(), Refusal> {
    let path = device.path.clone();
    let message = format!("{path}: the backing device of volume {volume} on {} holds {found}.", context.name);
    let Some(token) = consent else {
        return Err(Refusal::new(Code::ForeignData, message)
            .next("Free the device first, or use another one; this cannot be overridden."));
    };
    // A run that was cut while it wiped may have left another signature than the one that its consent names.
    let token = match context.record(volume).filter(|record| record.identity == device.identity()) {
        Some(VolumeRecord { given_up: Some(given), .. }) => given.clone(),
        _ => token,
    };
    if !context.permits.allows(&token) {
        let verb =
            if token.starts_with("adopt:") { "taken over as the data of this volume" } else { "destroyed" };
        return Err(Refusal::new(Code::ForeignData, message)
            .next("Use another device, or look at what is on this one.")
            .next(format!("If it really may be {verb}, run again with consent: [\"{token}\"].")));
    }
    if token.starts_with("adopt:") {
        let identity = device.identity().unwrap_or_default();
        let step = Step::AdoptMetadata {
            volume,
            device: path,
            identity,
            because: "the consent names them",
            unnamed: None,
        };
        plan.push(Planned::new(step, "the consent names these metadata"));
        return Ok(());
    }
    let wipe =
        Step::WipeContent { volume, device: path.clone(), found: found.to_owned(), consent: Some(token) };
    plan.push(
        Planned::new(wipe, "the consent names this content")
            .consequence(format!("{found} on {path} is lost for good")),
    );
    plan.push(create(
        context,
        volume,
        minor,
        path,
        device.identity(),
        true,
        "the device is wiped with consent in this run",
    ));
    Ok(())
}

/// Metadata that the kernel has attached to this resource are ours whatever the record says; the record catches up.
fn adopt_if_unknown(
    context: &Context<'_>,
    volume: VolumeNumber,
    minor: Minor,
    device: &Device,
    plan: &mut Plan,
) {
    let known = context.record(volume).is_some_and(|record| {
        record.metadata.is_some() && record.identity == device.identity() && record.path == device.path
    });
    if known {
        return;
    }
    let because = match device.content {
        Content::AttachedHere => "the kernel runs this volume on them",
        _ => "an earlier run wrote them and was cut",
    };
    let identity = device.identity().unwrap_or_default();
    let unnamed = matches!(&device.content, Content::Metadata(found) if !found.is_named()).then_some(minor);
    let step = Step::AdoptMetadata { volume, device: device.path.clone(), identity, because, unnamed };
    plan.push(Planned::new(step, because));
}

fn create(
    context: &Context<'_>,
    volume: VolumeNumber,
    minor: Minor,
    device: String,
    identity: Option<String>,
    force: bool,
    why: &str,
) -> Planned {
    let created_lv = matches!(context.node.storage, Storage::LvmThin { .. } | Storage::Lvm { .. })
        && (identity.is_none() || context.record(volume).is_some_and(|record| record.created_lv));
    let step = CreateMetadata {
        volume,
        minor,
        device,
        identity,
        peer_slots: (context.family == Family::V9).then(|| context.resource.max_peers()),
        force,
        created_lv,
    };
    Planned::new(Step::CreateMetadata(step), why)
}
