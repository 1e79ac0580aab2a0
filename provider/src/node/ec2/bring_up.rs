// SPDX-License-Identifier: MPL-2.0
//! Brings the instance and the disks of a node to what is planned. The same steps create, repair and replace; each looks
//! before it acts, and every object is in the recorded state before the next step. Cut anywhere, it can be called again.

use drbd_ec2::{DataVolume, Ec2, Ec2Error, Instance, InstanceState, Owner, Role, Volume};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tfplugin::{Context, Decode, Diagnostic, Diagnostics, Path, Value};

use super::model::{Disk, Known, Wanted, instance_value, volume_value};
use super::{gates, import, plan, remove, told, users};
use crate::host::Host;
use crate::provider::Configured;
use crate::ssh_settings::SshSettings;

const RUNNING_DEADLINE: Duration = Duration::from_secs(10 * 60);
const STATUS_DEADLINE: Duration = Duration::from_secs(10 * 60);
const CONSOLE_DEADLINE: Duration = Duration::from_secs(10 * 60);

/// It did not come to its end.
#[derive(Debug)]
pub(crate) struct Failed {
    /// Whether something was made or changed, so that the state now says what there is.
    pub(crate) touched: bool,
    pub(crate) problems: Diagnostics,
}

/// One run over one node.
struct Work<'a> {
    configured: &'a Configured,
    ec2: &'a Ec2,
    ctx: &'a Context,
    wanted: Wanted,
    owner: Owner,
    touched: bool,
    warnings: Vec<Diagnostic>,
}

/// The last state of a node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prior<'a> {
    pub(crate) state: &'a Value,
    /// It was imported, and its objects may have no tags of the node yet.
    pub(crate) untagged: bool,
}

/// Brings up what `state`, which begins as the plan, declares. `prior` is the last state, when there is one. On return, the
/// state holds instance, volumes with their paths in the guest, and how to log in. Returns warnings.
///
/// # Errors
/// The first thing that cannot be done.
pub(crate) async fn bring_up(
    configured: &Configured,
    state: &mut Value,
    prior: Option<Prior<'_>>,
    ctx: &Context,
) -> Result<Diagnostics, Failed> {
    let untagged = prior.is_some_and(|prior| prior.untagged);
    let prior = prior.map(|prior| prior.state);
    let untouched = |problem: Diagnostic| Failed { touched: false, problems: problem.into() };
    let ec2 = configured.ec2().map_err(untouched)?;
    let wanted = Wanted::read(state).map_err(untouched)?;
    let place = ec2.place(&wanted.place).await.map_err(|error| untouched(told(&error, &wanted.name)))?;
    let owner = Owner { scope: place.vpc_id.clone(), node: wanted.name.clone() };
    if prior.is_none() && !configured.first_of(&owner) {
        return Err(untouched(same_name(&owner)));
    }
    if prior.is_none_or(|prior| prior.get("instance").is_null()) {
        let roles: Vec<&Role> = wanted.disks.iter().map(|disk| &disk.role).collect();
        let fit = ec2.disks_fit(&owner, &roles, &place.availability_zone).await;
        fit.map_err(|error| untouched(told(&error, &wanted.name)))?;
    }
    if let Some(prior) = prior.filter(|_| untagged) {
        let claimed = import::claim(ec2, &owner, &Known::read(prior)).await;
        claimed.map_err(|error| untouched(told(&error, &wanted.name)))?;
    }
    let mut work = Work { configured, ec2, ctx, wanted, owner, touched: false, warnings: Vec::new() };
    let done = work.run(state, prior, place).await;
    match done {
        Ok(()) => Ok(work.warnings.into_iter().collect()),
        Err(problem) => Err(Failed { touched: work.touched, problems: problem.into() }),
    }
}

impl Work<'_> {
    async fn run(
        &mut self,
        state: &mut Value,
        prior: Option<&Value>,
        place: drbd_ec2::Place,
    ) -> Result<(), Diagnostic> {
        let known = prior.map(Known::read).unwrap_or_default();
        self.begin(state, prior);
        let (mut instance, launched) = match self.standing(state, prior, &known).await? {
            Some(instance) => (instance, false),
            None => (self.launch(state, place, known.private_ip.clone()).await?, true),
        };
        let id = instance.id.clone();
        let (ran, volumes) = tokio::join!(
            self.ec2.running(&id, RUNNING_DEADLINE),
            self.volumes(state, &instance.availability_zone)
        );
        let volumes = volumes?;
        instance = ran.map_err(|error| self.told(&error))?;
        self.record(state, "instance", instance_value(&instance));
        let volumes = self.attach(&volumes, &instance).await?;
        self.settings(&instance).await?;
        self.login(state, &instance).await?;
        self.guest(state, &volumes, &id).await?;
        if !launched {
            return self.ec2.mark_finished(&instance).await.map_err(|error| self.told(&error));
        }
        let finished = self.ec2.finish(&self.owner, &instance).await;
        finished.map_err(|error| {
            if matches!(error, Ec2Error::TakenOver { .. }) {
                self.let_go(state);
            }
            self.told(&error)
        })
    }

    /// Forgets what another run has now: whatever is done with this state later must not touch it.
    fn let_go(&mut self, state: &mut Value) {
        state.set("volumes", Value::Map(BTreeMap::new()));
        self.record(state, "instance", Value::Null);
    }

    fn told(&self, error: &Ec2Error) -> Diagnostic {
        told(error, &self.wanted.name)
    }

    /// What is known before the first step: the objects of the last state.
    fn begin(&self, state: &mut Value, prior: Option<&Value>) {
        for name in ["instance", "volumes"] {
            if state.get(name).is_unknown() {
                state.set(name, prior.map_or(Value::Null, |prior| prior.get(name).clone()));
            }
        }
        if state.get("volumes").is_null() {
            state.set("volumes", Value::Map(BTreeMap::new()));
        }
    }

    fn record(&mut self, state: &mut Value, name: &str, value: Value) {
        state.set(name, value);
        self.touched = true;
        self.ctx.record_state(state);
    }

    fn progress(&self, what: &str) {
        self.ctx.progress(&format!("{}: {what}", self.wanted.name));
    }

    /// The instance that stays; none when one has to be launched. One that has to go is retired first.
    async fn standing(
        &mut self,
        state: &mut Value,
        prior: Option<&Value>,
        known: &Known,
    ) -> Result<Option<Instance>, Diagnostic> {
        let (Some(prior), Some(id)) = (prior, known.instance.as_deref()) else { return Ok(None) };
        let found = self.ec2.instance(id).await.map_err(|error| self.told(&error))?;
        let Some(found) = found.filter(|instance| !instance.state.is_gone()) else {
            self.record(state, "instance", Value::Null);
            return Ok(None);
        };
        if plan::relaunch(prior, state).is_some() {
            if users::may_stop(state) {
                users::stop(self.configured, prior, self.ctx).await?;
            } else {
                users::none(self.configured, prior).await?;
            }
            self.progress("stopping the instance, detaching its disks");
            self.touched = true;
            remove::retire(self.ec2, &self.owner, known).await.map_err(|error| self.told(&error))?;
            self.record(state, "instance", Value::Null);
            return Ok(None);
        }
        if matches!(found.state, InstanceState::Stopped | InstanceState::Stopping) {
            self.progress("starting the instance");
            self.ec2.start(&self.owner, id).await.map_err(|error| self.told(&error))?;
        }
        Ok(Some(found))
    }

    /// `last_ip`: the address of the instance before, which peers know.
    async fn launch(
        &mut self,
        state: &mut Value,
        place: drbd_ec2::Place,
        last_ip: Option<String>,
    ) -> Result<Instance, Diagnostic> {
        let image = self.ec2.image(&self.wanted.image).await.map_err(|error| self.told(&error))?;
        self.progress("launching an instance");
        let address = self.wanted.private_ip.clone().or_else(|| last_ip.clone());
        let launch = self.wanted.launch(place, image, address);
        let launched = match self.ec2.ensure_instance(&self.owner, &launch).await {
            // Somebody took the old address meanwhile. Peers are told the new one.
            Err(error)
                if self.wanted.private_ip.is_none() && last_ip.is_some() && is_address_taken(&error) =>
            {
                let launch = drbd_ec2::Launch { private_ip: None, ..launch };
                self.ec2.ensure_instance(&self.owner, &launch).await
            }
            other => other,
        };
        let instance = launched.map_err(|error| self.told(&error))?;
        self.record(state, "instance", instance_value(&instance));
        Ok(instance)
    }

    /// The node's volumes, made where they are missing; recorded one by one.
    async fn volumes(&self, state: &mut Value, zone: &str) -> Result<Vec<(Disk, Volume)>, Diagnostic> {
        let mut all = Vec::new();
        for disk in &self.wanted.disks {
            let role = disk.role.text();
            let wanted = DataVolume {
                role: disk.role.clone(),
                availability_zone: zone.to_owned(),
                performance: disk.performance.clone(),
                encrypted: disk.encrypted,
                kms_key_id: disk.kms_key_id.clone(),
                tags: self.wanted.tags.clone(),
            };
            self.progress(&format!("disk {role}"));
            let volume = self.volume(state, &wanted).await.map_err(|error| self.told(&error))?;
            let mut volumes = state.get("volumes").clone();
            if let Value::Map(entries) = &mut volumes {
                entries.insert(role.into(), volume_value(&volume, None));
            }
            state.set("volumes", volumes);
            self.ctx.record_state(state);
            all.push((disk.clone(), volume));
        }
        Ok(all)
    }

    /// The volume that the state knows, else the one with its tags, else a new one.
    async fn volume(&self, state: &Value, wanted: &DataVolume) -> Result<Volume, Ec2Error> {
        let role = wanted.role.text();
        if let Some(id) = state.get("volumes").get(&role).get("id").as_str()
            && let Some(volume) = self.ec2.volume(id).await?
        {
            return Ok(volume);
        }
        self.ec2.ensure_volume(&self.owner, wanted).await
    }

    /// All volumes on the instance, with the size and speed that is wanted.
    async fn attach(
        &self,
        volumes: &[(Disk, Volume)],
        instance: &Instance,
    ) -> Result<Vec<Volume>, Diagnostic> {
        let mut attached = Vec::new();
        for (disk, volume) in volumes {
            let on = self.ec2.attach(&self.owner, &volume.id, &instance.id).await;
            let mut on = on.map_err(|error| self.told(&error))?;
            if !disk.performance.met_by(&on) {
                self.progress(&format!("growing the disk {}", disk.role.text()));
                let grown = self.ec2.set_performance(&self.owner, &on.id, &disk.performance).await;
                grown.map_err(|error| self.told(&error))?;
                on.size_gib = disk.performance.size_gib;
            }
            attached.push(on);
        }
        Ok(attached)
    }

    async fn settings(&self, instance: &Instance) -> Result<(), Diagnostic> {
        let Wanted { security_group_ids, source_dest_check, tags, .. } = &self.wanted;
        let groups = self.ec2.set_security_groups(instance, security_group_ids).await;
        groups.map_err(|error| self.told(&error))?;
        if let Some(check) = source_dest_check {
            let set = self.ec2.set_source_dest_check(instance, *check).await;
            set.map_err(|error| self.told(&error))?;
        }
        let none = drbd_ec2::Tags::new();
        let tagged =
            self.ec2.retag(&self.owner, &Role::Instance, &instance.id, &instance.tags, &none, tags).await;
        tagged.map_err(|error| self.told(&error))
    }

    /// How to log in: the address, and keys that were verified before the first connection.
    async fn login(&self, state: &mut Value, instance: &Instance) -> Result<(), Diagnostic> {
        let address = if self.wanted.public_ssh { &instance.public_ip } else { &instance.private_ip };
        let Some(address) = address.as_deref() else {
            let detail = format!(
                "The instance {} has no {} address. Set ec2.associate_public_ip_address, or let ec2.ssh_address be \"private\".",
                instance.id,
                if self.wanted.public_ssh { "public" } else { "private" }
            );
            return Err(Diagnostic::error("No address to log in to", detail)
                .at(Path::of("ec2").attribute("ssh_address")));
        };
        let mut ssh = if state.get("ssh").members().is_some() {
            state.get("ssh").clone()
        } else {
            Value::object(NOTHING)
        };
        ssh.set("host", address);
        let keys = ssh.get("host_keys");
        if keys.is_null() || keys.is_unknown() {
            self.progress("waiting for the host keys on the console");
            let keys = self.ec2.console_host_keys(&instance.id, CONSOLE_DEADLINE).await;
            let keys = keys.map_err(|error| self.told(&error))?;
            ssh.set("host_keys", Value::list(keys.iter().map(drbd_ec2::HostKey::as_str)));
        }
        state.set("ssh", ssh);
        if state.get("address").is_unknown() || state.get("address").is_null() {
            state.set("address", instance.private_ip.as_deref().map_or(Value::Null, Value::from));
        }
        self.ctx.record_state(state);
        Ok(())
    }

    /// Waits for the guest, and finds the disks in it.
    async fn guest(&mut self, state: &mut Value, volumes: &[Volume], id: &str) -> Result<(), Diagnostic> {
        let host = self.host(state)?;
        let name = self.wanted.name.as_str();
        self.progress("waiting for SSH, status checks and cloud-init");
        let guest = async {
            gates::ssh(name, &host, gates::SSH_DEADLINE).await?;
            gates::cloud_init(name, &host, gates::CLOUD_INIT_DEADLINE).await?;
            gates::package_lock(name, &host, gates::LOCK_DEADLINE).await
        };
        let checks =
            async { self.ec2.status_checks(id, STATUS_DEADLINE).await.map_err(|error| self.told(&error)) };
        tokio::try_join!(guest, checks)?;
        for (disk, volume) in self.wanted.disks.iter().zip(volumes) {
            let device = volume.on(id).map(|attachment| attachment.device.as_str()).unwrap_or_default();
            let path = gates::disk(name, &host, volume, device, gates::DISK_DEADLINE).await?;
            let mut all = state.get("volumes").clone();
            if let Value::Map(entries) = &mut all {
                entries.insert(disk.role.text().into(), volume_value(volume, Some(&path)));
            }
            state.set("volumes", all);
        }
        self.ctx.record_state(state);
        let warning = gates::looking_in(name, &host).await?;
        self.warnings.extend(warning);
        Ok(())
    }

    fn host(&self, state: &Value) -> Result<Arc<Host>, Diagnostic> {
        self.configured.host(&SshSettings::decode(state.get("ssh"), &Path::of("ssh"))?)
    }
}

/// The members of `ssh`, none of them set.
pub(super) const NOTHING: [(&str, Value); 7] = [
    ("host", Value::Null),
    ("port", Value::Null),
    ("user", Value::Null),
    ("private_key_file", Value::Null),
    ("host_keys", Value::Null),
    ("become", Value::Null),
    ("bastion", Value::Null),
];

/// Both would find the same instance by the node's tags.
fn same_name(owner: &Owner) -> Diagnostic {
    let detail = format!(
        "Two resources of this configuration are the node {} in {}. Hosts of one name cannot replicate with each other. Nothing was \
         made for the second one. Give each node a name of its own.",
        owner.node, owner.scope
    );
    Diagnostic::error(format!("Two nodes are called {}", owner.node), detail).at(Path::of("name"))
}

fn is_address_taken(error: &Ec2Error) -> bool {
    error.code().is_some_and(|code| code.starts_with("InvalidIPAddress") || code == "InvalidParameterValue")
}
