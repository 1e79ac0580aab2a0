// SPDX-License-Identifier: MPL-2.0
//! Taking an instance away, in the order that never hangs: look that nothing is in use, stop the guest, so that it lets go of
//! its disks, detach, terminate, then delete the disks or keep them. Nothing is forced.

use drbd_ec2::{Ec2, Ec2Error, Owner};
use drbd_schemas::facts::HostFacts;
use tfplugin::{Context, Decode, Diagnostic, Diagnostics, Path, Value};

use super::bring_up::Prior;
use super::model::{Known, disks};
use super::{import, told};
use crate::provider::Configured;
use crate::ssh_settings::SshSettings;

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
    none_primary(configured, prior).await?;
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

/// Refuses while a volume is Primary on the node. A host that does not answer has nothing in use that could be saved.
///
/// # Errors
/// With the volumes that are.
pub(super) async fn none_primary(configured: &Configured, prior: &Value) -> Result<(), Diagnostic> {
    let running = prior.get("instance").get("state").as_str() == Some("running");
    let Ok(ssh) = SshSettings::decode(prior.get("ssh"), &Path::of("ssh")) else { return Ok(()) };
    if !running || ssh.host.is_none() {
        return Ok(());
    }
    let Ok(facts) = configured.host(&ssh)?.fresh_facts(&[]).await else { return Ok(()) };
    let used = primaries(&facts);
    if used.is_empty() {
        return Ok(());
    }
    let name = prior.get("name").as_str().unwrap_or_default();
    let detail = format!(
        "{} is Primary on {name}. Its instance was not touched. Unmount it there, run `drbdadm secondary {0}`, and apply again.",
        used.join(", ")
    );
    Err(Diagnostic::error(format!("Node {name} is in use"), detail))
}

fn primaries(facts: &HostFacts) -> Vec<String> {
    let primary = facts
        .resources
        .iter()
        .filter(|(_, resource)| resource.running.as_ref().is_some_and(|running| running.role == "Primary"));
    primary.map(|(name, _)| name.to_string()).collect()
}
