// SPDX-License-Identifier: MPL-2.0
//! The provider itself: its block, and what its resources share.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use drbd_ec2::{Ec2, Owner, Settings};
use drbd_ssh::Pool;
use tfplugin::{
    AnyDataSource, AnyResource, Attribute, Context, Decode, Diagnostic, Diagnostics, Path, Provider, Schema,
    Value,
};
use tokio::sync::Semaphore;

use crate::direct::Reservations;
use crate::drbd_host::HostDataSource;
use crate::ec2_settings;
use crate::host::{Connector, Host, HostBinary, Hosts, SshConnector};
use crate::inventory::InventoryDataSource;
use crate::node::NodeResource;
use crate::replicated_volume::VolumeResource;
use crate::resource_group::GroupResource;
use crate::security_group::SecurityGroupResource;
use crate::ssh_schema;
use crate::ssh_settings::SshSettings;

/// Makes the connector of one configuration from the path of the host program.
type MakeConnector = Box<dyn Fn(PathBuf) -> Arc<dyn Connector> + Send + Sync>;

/// What the provider is, in Markdown.
pub(crate) const DESCRIPTION: &str = "Replicated block storage with DRBD: hosts, the groups that place replicas on them, and the replicated volumes. The \
                 provider works on the hosts over SSH; nothing is contacted before a resource needs it.";

/// What all resources of the process share.
pub(crate) struct Shared {
    make_connector: MakeConnector,
    configured: RwLock<Option<Arc<Configured>>>,
    reservations: Arc<Reservations>,
}

/// What one configuration of the provider block yields. A new configuration starts with no facts.
pub(crate) struct Configured {
    /// An error where the block holds values that are not known yet.
    ssh: Result<SshSettings, Diagnostic>,
    /// The same of AWS. Making the client contacts nobody.
    ec2: Result<Ec2, Diagnostic>,
    hosts: Hosts,
    reservations: Arc<Reservations>,
    /// What this run found nodes to have lost, by the host that one logs in to.
    losses: Mutex<BTreeMap<String, Losses>>,
    /// Nodes that this run began to make.
    begun: Mutex<BTreeSet<Owner>>,
    meetings: Semaphore,
}

/// What a node has lost, as EC2 tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Losses {
    /// Its instance is gone or does not run. Nobody has to wait for its answer.
    pub(crate) instance: bool,
    /// The storage pools of which a disk is gone with its data.
    pub(crate) pools: BTreeSet<String>,
}

impl Shared {
    fn new(make_connector: MakeConnector) -> Self {
        Self { make_connector, configured: RwLock::default(), reservations: Arc::default() }
    }

    /// The current configuration.
    ///
    /// # Errors
    /// Before the provider is configured; Terraform does not do that.
    pub(crate) fn configured(&self) -> Result<Arc<Configured>, Diagnostic> {
        let configured = self.configured.read().unwrap_or_else(PoisonError::into_inner).clone();
        configured.ok_or_else(|| {
            Diagnostic::error(
                "Provider not configured",
                "Hosts cannot be contacted before the provider is configured.",
            )
        })
    }

    fn configure(
        &self,
        ssh: Result<SshSettings, Diagnostic>,
        ec2: Result<Settings, Diagnostic>,
        binary: Option<&str>,
    ) {
        let binary = binary.map_or_else(HostBinary::default_path, PathBuf::from);
        let hosts = Hosts::new((self.make_connector)(binary));
        let configured = Configured {
            ssh,
            ec2: ec2.map(Ec2::new),
            hosts,
            reservations: Arc::clone(&self.reservations),
            losses: Mutex::default(),
            begun: Mutex::default(),
            meetings: Semaphore::new(MEETINGS),
        };
        let mut slot = self.configured.write().unwrap_or_else(PoisonError::into_inner);
        *slot = Some(Arc::new(configured));
    }
}

/// Meetings of nodes at one time: fewer than sshd gives sessions on one connection.
const MEETINGS: usize = 4;

impl Configured {
    /// A seat for a meeting of nodes, in which each host waits for the others.
    pub(crate) fn meetings(&self) -> &Semaphore {
        &self.meetings
    }

    /// The host of a node's settings. Contacts nobody.
    ///
    /// # Errors
    /// When the settings do not suffice to log in, or the provider block is not known yet.
    pub(crate) fn host(&self, node: &SshSettings) -> Result<Arc<Host>, Diagnostic> {
        Ok(self.hosts.host(&node.target(self.ssh()?)?))
    }

    /// What the provider block says about SSH.
    ///
    /// # Errors
    /// When the block is not known yet.
    pub(crate) fn ssh(&self) -> Result<&SshSettings, Diagnostic> {
        self.ssh.as_ref().map_err(Clone::clone)
    }

    /// AWS. Contacts nobody.
    ///
    /// # Errors
    /// When the provider block is not known yet.
    pub(crate) fn ec2(&self) -> Result<&Ec2, Diagnostic> {
        self.ec2.as_ref().map_err(Clone::clone)
    }

    /// Remembers what the node with this host has lost.
    pub(crate) fn has_lost(&self, host: &str, losses: Losses) {
        self.losses.lock().unwrap_or_else(PoisonError::into_inner).insert(host.to_owned(), losses);
    }

    /// What this run found a node to have lost.
    pub(crate) fn losses(&self, node: &SshSettings) -> Losses {
        let losses = self.losses.lock().unwrap_or_else(PoisonError::into_inner);
        node.host.as_ref().and_then(|host| losses.get(host)).cloned().unwrap_or_default()
    }

    /// Whether this is the first resource of this run that makes this node.
    pub(crate) fn first_of(&self, owner: &Owner) -> bool {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner).insert(owner.clone())
    }

    /// Numbers given out by this process.
    pub(crate) fn reservations(&self) -> &Arc<Reservations> {
        &self.reservations
    }
}

/// The provider `drbd`.
pub struct Drbd {
    shared: Arc<Shared>,
}

impl Drbd {
    /// The provider that talks to hosts over SSH. Nothing is opened or read before it is needed.
    pub fn over_ssh() -> Self {
        let pool = Pool::new();
        let make = move |binary: PathBuf| -> Arc<dyn Connector> {
            Arc::new(SshConnector::new(pool.clone(), HostBinary::at(binary)))
        };
        Self { shared: Arc::new(Shared::new(Box::new(make))) }
    }

    pub(crate) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// The provider over another way to the hosts: simulated ones in tests and benchmarks.
    pub fn over(connector: Arc<dyn Connector>) -> Self {
        Self { shared: Arc::new(Shared::new(Box::new(move |_| Arc::clone(&connector)))) }
    }
}

impl Provider for Drbd {
    fn schema(&self) -> Schema {
        Schema::new()
            .description(DESCRIPTION)
            .attributes([
                ssh_schema::provider_attribute(),
                ec2_settings::attribute(),
                Attribute::string("drbd_host_binary").optional().description(
                    "Path of `drbd-host`, the static program that does the work on the hosts. Unset: the environment variable \
                     `DRBD_HOST_BINARY`, else the file `drbd-host` beside the provider's own binary.",
                ),
            ])
    }

    async fn configure(&self, config: Value, _ctx: &Context) -> Diagnostics {
        let ssh = config.get("ssh");
        let later = |problem: Diagnostic| {
            let detail = format!("The provider block of drbd cannot be used yet. {}", problem.detail);
            Diagnostic::error(problem.summary, detail)
        };
        let settings = if ssh.is_null() {
            Ok(SshSettings::default())
        } else {
            SshSettings::decode(ssh, &Path::of("ssh")).map_err(later)
        };
        let ec2 = ec2_settings::settings(config.get("ec2")).map_err(later);
        let unusable: Diagnostics = [
            settings.as_ref().err().filter(|_| ssh.is_wholly_known()),
            ec2.as_ref().err().filter(|_| config.get("ec2").is_wholly_known()),
        ]
        .into_iter()
        .flatten()
        .cloned()
        .collect();
        self.shared.configure(settings, ec2, config.get("drbd_host_binary").as_str());
        unusable
    }

    fn resources(&self) -> Vec<AnyResource> {
        vec![
            AnyResource::new(NodeResource::new(Arc::clone(&self.shared))),
            AnyResource::new(GroupResource),
            AnyResource::new(VolumeResource::new(Arc::clone(&self.shared))),
            AnyResource::new(SecurityGroupResource::new(Arc::clone(&self.shared))),
        ]
    }

    fn data_sources(&self) -> Vec<AnyDataSource> {
        vec![
            AnyDataSource::new(HostDataSource::new(Arc::clone(&self.shared))),
            AnyDataSource::new(InventoryDataSource::new(Arc::clone(&self.shared))),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terraform_takes_every_schema() {
        assert_eq!(tfplugin::problems(&Drbd::over_ssh()), Vec::<String>::new());
    }

    #[tokio::test]
    async fn settings_that_are_wrong_are_told_at_once_and_unknown_ones_when_they_are_needed() {
        let configure = async |port: Value| {
            let drbd = Drbd::over_ssh();
            let ssh = Value::object([("port", port)]);
            let found = drbd.configure(Value::object([("ssh", ssh)]), &Context::detached()).await;
            (
                found.has_errors(),
                drbd.shared().configured().unwrap().host(&SshSettings::of_host("h1")).is_err(),
            )
        };
        assert_eq!(configure(Value::from(22_u16)).await, (false, false));
        assert_eq!(configure(Value::unknown()).await, (false, true));
        assert_eq!(configure(Value::from(70_000_u32)).await, (true, true));
    }
}
