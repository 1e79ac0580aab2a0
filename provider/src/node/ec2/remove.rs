// SPDX-License-Identifier: MPL-2.0
//! Taking an instance away, in the order that never hangs: look that nothing is in use, stop the guest, so that it lets go of
//! its disks, detach, terminate, then delete the disks or keep them. Nothing is forced.

use drbd_ec2::{Ec2, Ec2Error, Owner};
use tfplugin::{Context, Diagnostic, Diagnostics, Value};

use super::bring_up::Prior;
use super::model::{Known, disks};
use super::{import, told, users};
use crate::provider::Configured;

/// Removes the instance of a node, and its disks as their `on_destroy` says. Done when they are gone already.
///
/// # Errors
/// When a volume is Primary on the node; what EC2 refuses.
pub(crate) async fn remove(
    configured: &Configured,
    prior: Prior<'_>,
    ctx: &Context,
) -> Result<Diagnostics, Diagnostics> {
    let Prior { state: prior, untagged } = prior;
    super::forbid_delete(prior)?;
    let known = Known::read(prior);
    let name = prior.get("name").as_str().unwrap_or_default();
    let Some(scope) = scope(configured, prior, &known).await? else { return Ok(Diagnostics::new()) };
    let owner = Owner { scope, node: name.to_owned() };
    users::none(configured, prior).await?;
    let ec2 = configured.ec2()?;
    if untagged {
        import::claim(ec2, &owner, &known).await.map_err(|error| told(&error, name))?;
    }
    ctx.progress(&format!("{name}: stopping the instance, detaching its disks, terminating it"));
    retire(ec2, &owner, &known).await.map_err(|error| told(&error, name))?;
    let mut left = Diagnostics::new();
    for (role, id) in &known.volumes {
        let retain = disks(prior)?.iter().any(|disk| disk.retain && disk.role.text() == *role);
        if retain {
            ec2.retain_volume(&owner, id).await.map_err(|error| told(&error, name))?;
            left.push(Diagnostic::warning(
                format!("Disk {id} is kept"),
                format!(
                    "The disk {role} of {name}, {id}, was kept with its data, as its on_destroy says. A node of the same name in the same \
                     zone takes it over; else delete it by hand when nobody needs it."
                ),
            ));
        } else {
            ec2.delete_volume(&owner, id).await.map_err(|error| told(&error, name))?;
        }
    }
    Ok(left)
}

/// The network of the node. A creation that failed early may have recorded none; then the subnet tells it.
async fn scope(configured: &Configured, prior: &Value, known: &Known) -> Result<Option<String>, Diagnostics> {
    if known.vpc.is_some() {
        return Ok(known.vpc.clone());
    }
    if known.instance.is_none() && known.volumes.is_empty() {
        return Ok(None);
    }
    let wanted = super::model::Wanted::read(prior)?;
    let place = configured.ec2()?.place(&wanted.place).await.map_err(|error| told(&error, &wanted.name))?;
    Ok(Some(place.vpc_id))
}

/// Stops and terminates the instance of a node; its data disks are free afterwards.
///
/// # Errors
/// What EC2 refuses.
pub(super) async fn retire(ec2: &Ec2, owner: &Owner, known: &Known) -> Result<(), Ec2Error> {
    let stopped = match &known.instance {
        // A guest that was shut down has let go of its disks, so that no detach hangs.
        Some(id) => ec2.stop(owner, id).await?,
        None => true,
    };
    // Detached first, no mark on the attachment can delete a disk together with the instance.
    if stopped {
        detach(ec2, owner, known).await?;
    }
    if let Some(id) = &known.instance {
        ec2.terminate(owner, id).await?;
    }
    detach(ec2, owner, known).await
}

async fn detach(ec2: &Ec2, owner: &Owner, known: &Known) -> Result<(), Ec2Error> {
    for volume in known.volumes.values() {
        ec2.detach(owner, volume).await?;
    }
    Ok(())
}
