// SPDX-License-Identifier: MPL-2.0
//! Import of a running instance as a node. Everything is looked at, and nothing is changed: the protocol does not tell `terraform
//! import` from an `import` block that is only planned, and nobody expects a plan to write. Without its tags the node's own
//! instance would be a stranger's to every later step, so the first apply that does something to the node writes them before
//! anything else ([`claim`]).

use std::sync::Arc;
use std::time::Duration;

use drbd_ec2::{Claim, Ec2, Ec2Error, HostKey, Instance, InstanceState, Owner, Role, Volume};
use drbd_schemas::facts::HostFacts;
use drbd_schemas::name;
use tfplugin::{Decode, Diagnostic, Path, Value};

use super::import_id::ImportId;
use super::imported::{Adopted, Findings};
use super::model::Known;
use super::{bring_up, gates, told};
use crate::host::Host;
use crate::provider::Configured;
use crate::ssh_settings::SshSettings;

/// A host that is up has its disks.
const MOMENT: Duration = Duration::from_secs(20);

/// The state of the node that an import id names.
///
/// # Errors
/// What is missing, or not as it must be.
pub(crate) async fn import(configured: &Configured, id: &str) -> Result<Value, Diagnostic> {
    let id = ImportId::parse(id)?;
    let ec2 = configured.ec2()?;
    let told_id = |error: Ec2Error| told(&error, &id.instance);
    let instance = running(ec2, &id.instance).await?;
    let name = node_name(&id, &instance)?;
    let scope = instance.vpc_id.clone().ok_or_else(|| {
        incomplete(&id.instance, "it is in no VPC", "A node needs an address that its peers reach in a VPC.")
    })?;
    let owner = Owner { scope, node: name.clone() };
    let volumes = ec2.volumes_on(&instance.id).await.map_err(told_id)?;
    let claimed = claimed(&id, &owner, &instance, &volumes)?;

    let ssh = login(ec2, &id, &instance).await?;
    let host = configured.host(&SshSettings::decode(&ssh, &Path::of("ssh"))?)?;
    let facts = facts(&id, &name, &host, &ssh).await?;
    let disks = found(&name, &instance, &host, &owner, &claimed).await?;
    let findings = Findings {
        name: &name,
        tags: ec2.tags_of_users(&owner, &instance.tags),
        instance: &instance,
        public: id.public,
        ssh,
        disks: &disks,
        volume_groups: &facts.volume_groups,
    };
    let state = findings.state()?;
    let claim = Claim { instance: Some(&instance), disks: &claimed };
    ec2.adoptable(&owner, claim).await.map_err(told_id)?;
    Ok(state)
}

/// Gives the objects of a node that was imported its tags. They are those of the state, by their ids.
///
/// # Errors
/// When one of them has become another node's since; what EC2 refuses.
pub(super) async fn claim(ec2: &Ec2, owner: &Owner, known: &Known) -> Result<(), Ec2Error> {
    let instance = match &known.instance {
        Some(id) => ec2.instance(id).await?.filter(|instance| !instance.state.is_gone()),
        None => None,
    };
    let mut disks = Vec::new();
    for (role, id) in &known.volumes {
        if let (Some(role), Some(volume)) = (Role::disk(role), ec2.volume(id).await?) {
            disks.push((role, volume));
        }
    }
    ec2.adopt(owner, Claim { instance: instance.as_ref(), disks: &disks }).await
}

async fn running(ec2: &Ec2, id: &str) -> Result<Instance, Diagnostic> {
    let found = ec2.instance(id).await.map_err(|error| told(&error, id))?;
    let instance = found.ok_or_else(|| {
        incomplete(id, "EC2 knows no such instance", "Check the id, the region and the account.")
    })?;
    match instance.state {
        InstanceState::Running => Ok(instance),
        ref state if state.is_gone() => Err(incomplete(
            id,
            &format!("it is {state}"),
            "What is gone cannot be imported. A node of its name takes over disks that carry the node's tags.",
        )),
        ref state => Err(incomplete(
            id,
            &format!("it is {state}"),
            "Its host tells what its disks hold, so it must run: start it.",
        )),
    }
}

/// The name in the id, else the one of the node's tag, else the one of the tag `Name`.
fn node_name(id: &ImportId, instance: &Instance) -> Result<String, Diagnostic> {
    if let Some(name) = &id.name {
        return Ok(name.clone());
    }
    let of_tags = Owner::of(&instance.tags).map(|owner| owner.node);
    let name = of_tags.filter(|name| !name.is_empty()).or_else(|| instance.tags.get("Name").cloned());
    let name = name.ok_or_else(|| {
        let remedy = format!(
            "Say what `uname -n` prints on its host: terraform import drbd_node.… '<name>@{}'.",
            id.instance
        );
        incomplete(
            &id.instance,
            "it has no name: neither the tag replivol:node nor the tag Name, and the import id has none",
            &remedy,
        )
    })?;
    name::check_node_name(&name).map_err(|allowed| {
        let what = format!("its tag Name is {name:?}, and allowed in a node's name are: {allowed}");
        let remedy = format!("Say the node's name: terraform import drbd_node.… '<name>@{}'.", id.instance);
        incomplete(&id.instance, &what, &remedy)
    })?;
    Ok(name)
}

/// The data disks: those with the node's tags, and those that the id names. Others stay whose they are.
fn claimed(
    id: &ImportId,
    owner: &Owner,
    instance: &Instance,
    volumes: &[Volume],
) -> Result<Vec<(Role, Volume)>, Diagnostic> {
    let root = |volume: &&Volume| {
        volume.on(&instance.id).is_some_and(|on| Some(&on.device) == instance.root_device.as_ref())
    };
    let mut claimed: Vec<(Role, Volume)> = Vec::new();
    for (role, wanted) in &id.disks {
        let volume = volumes.iter().find(|volume| volume.id == *wanted).ok_or_else(|| {
            let there: Vec<&str> = volumes.iter().map(|volume| volume.id.as_str()).collect();
            let what = format!("the volume {wanted} is not attached to it; there are: {}", there.join(", "));
            incomplete(&id.instance, &what, "Check the volume id, or attach it.")
        })?;
        if root(&volume) {
            let what = format!("the volume {wanted} is its root disk");
            return Err(incomplete(&id.instance, &what, "Name data disks only."));
        }
        claimed.push((role.clone(), volume.clone()));
    }
    for volume in volumes.iter().filter(|volume| !root(volume)) {
        let Some(role) = owner.disk(&volume.tags) else { continue };
        match claimed.iter().find(|(other, named)| named.id == volume.id || *other == role) {
            Some((other, named)) if *other == role && named.id == volume.id => (),
            Some((other, named)) => {
                let what = format!(
                    "the id says {}={}, and the tags of {} say {}",
                    other.text(),
                    named.id,
                    volume.id,
                    role.text()
                );
                return Err(incomplete(
                    &id.instance,
                    &what,
                    "Leave disks that carry the node's tags out of the id.",
                ));
            }
            None => claimed.push((role, volume.clone())),
        }
    }
    claimed.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(claimed)
}

/// How to log in. Without keys on the console, known_hosts files have to vouch.
async fn login(ec2: &Ec2, id: &ImportId, instance: &Instance) -> Result<Value, Diagnostic> {
    let (kind, address) =
        if id.public { ("public", &instance.public_ip) } else { ("private", &instance.private_ip) };
    let address = address.as_deref().ok_or_else(|| {
        incomplete(&id.instance, &format!("it has no {kind} address"), "Leave /public out of the import id.")
    })?;
    let keys = match ec2.console_host_keys(&instance.id, Duration::ZERO).await {
        Ok(keys) => Value::list(keys.iter().map(HostKey::as_str)),
        Err(Ec2Error::Overdue(_)) => Value::Null,
        Err(error) => return Err(told(&error, &id.instance)),
    };
    let mut ssh = Value::object(bring_up::NOTHING);
    ssh.set("host", address);
    ssh.set("host_keys", keys);
    Ok(ssh)
}

async fn facts(id: &ImportId, name: &str, host: &Arc<Host>, ssh: &Value) -> Result<HostFacts, Diagnostic> {
    let facts = host.fresh_facts(&[]).await.map_err(|trouble| {
        let mut problem = trouble.diagnostic(name, host, "take the facts");
        if ssh.get("host_keys").is_null() {
            problem.detail.push_str(&format!(
                " The console of {} shows no host keys (cloud-init prints them there at its first boot only): put its key into a \
                 known_hosts file that the provider block names.",
                id.instance
            ));
        }
        problem.detail.push_str(" Nothing was changed: the instance was not imported.");
        problem
    })?;
    if facts.node != name {
        let what =
            format!("its host calls itself {:?} (uname -n), and the node is named {name:?}", facts.node);
        let remedy = format!("Import it as '{}@{}'.", facts.node, id.instance);
        return Err(incomplete(&id.instance, &what, &remedy));
    }
    Ok(facts)
}

/// The disks as the guest shows them.
async fn found(
    name: &str,
    instance: &Instance,
    host: &Host,
    owner: &Owner,
    claimed: &[(Role, Volume)],
) -> Result<Vec<Adopted>, Diagnostic> {
    let mut disks = Vec::new();
    for (role, volume) in claimed {
        let device = volume.on(&instance.id).map(|on| on.device.as_str()).unwrap_or_default();
        let path = gates::disk(name, host, volume, device, gates::DISK_DEADLINE).await?;
        let real = host.look(&["readlink", "-f", &path], MOMENT).await.map_err(|error| {
            let detail = format!("{name}: {path} cannot be looked at: {error}. Nothing was changed.");
            Diagnostic::error(error.summary(), detail)
        })?;
        disks.push(Adopted {
            role: role.clone(),
            volume: volume.clone(),
            path,
            kernel_name: String::from_utf8_lossy(&real.stdout).trim().to_owned(),
            was_ours: owner.owns(&volume.tags),
        });
    }
    Ok(disks)
}

fn incomplete(id: &str, what: &str, remedy: &str) -> Diagnostic {
    let detail = format!("The instance {id} cannot become a node: {what}. Nothing was changed. {remedy}");
    Diagnostic::error("Instance not imported", detail)
}
