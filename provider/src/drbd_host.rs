// SPDX-License-Identifier: MPL-2.0
//! The data source `drbd_host`: the facts of a host, read only.

pub(crate) mod schema;

use std::sync::Arc;

use drbd_schemas::facts::{HostFacts, ResourceFacts, ThinPoolState, VolumeGroupFacts};
use tfplugin::{Context, DataResult, DataSource, Decode, Diagnostics, Number, Path, Schema, Value};

use crate::provider::Shared;
use crate::ssh_settings::SshSettings;

/// The data source.
pub(crate) struct HostDataSource {
    shared: Arc<Shared>,
}

impl HostDataSource {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    async fn try_read(&self, mut state: Value) -> Result<Value, Diagnostics> {
        let ssh = SshSettings::decode(state.get("ssh"), &Path::of("ssh"))?;
        let host = self.shared.configured()?.host(&ssh)?;
        let name = ssh.host.as_deref().unwrap_or_default();
        let facts =
            host.facts().await.map_err(|trouble| trouble.diagnostic(name, &host, "take the facts"))?;
        fill(&mut state, &facts);
        Ok(state)
    }
}

impl DataSource for HostDataSource {
    fn type_name(&self) -> String {
        "drbd_host".into()
    }

    fn schema(&self) -> Schema {
        schema::schema()
    }

    async fn read(&self, config: Value, _ctx: &Context) -> DataResult {
        self.try_read(config).await.into()
    }
}

fn fill(state: &mut Value, facts: &HostFacts) {
    state.set("node", facts.node.as_str());
    state.set("kernel_version", facts.kernel.as_str());
    state.set("drbd_version", facts.drbd.module.clone().or_else(|| facts.drbd.loadable.clone()));
    state.set("drbd_loaded", facts.drbd.module.is_some());
    state.set("drbd_family", facts.drbd.family().map(|family| family.to_string()));
    state.set("drbd_utils_version", facts.drbd.utils.clone());
    state.set("config_error", facts.config_error.clone());
    state.set("ports_in_use", Value::list(facts.ports_in_use.iter().copied()));
    state.set("minors_in_use", Value::list(facts.minors_in_use.iter().copied()));
    let resources = facts.resources.iter().map(|(name, resource)| (name.clone(), resource_value(resource)));
    state.set("resources", Value::map(resources));
    let groups = facts.volume_groups.iter().map(|(name, group)| (name.clone(), group_value(group)));
    state.set("volume_groups", Value::map(groups));
    state.set("facts_json", serde_json::to_string(facts).ok());
}

fn resource_value(resource: &ResourceFacts) -> Value {
    let running = resource.running.as_ref();
    let connections = running.into_iter().flat_map(|running| &running.connections);
    let volumes = resource.volumes.iter().map(|(number, volume)| {
        let value = Value::object([
            ("minor", Value::from(volume.minor)),
            ("disk", Value::from(volume.disk.clone())),
            ("size_bytes", Value::from(volume.size_bytes)),
            ("open", Value::from(volume.open)),
            ("backing", Value::from(volume.backing.as_ref().map(|backing| backing.path.clone()))),
        ]);
        (number.clone(), value)
    });
    Value::object([
        ("role", Value::from(running.map(|running| running.role.clone()))),
        ("managed", Value::from(resource.config.as_ref().is_some_and(|config| config.ours))),
        ("config_path", Value::from(resource.config.as_ref().map(|config| config.path.clone()))),
        ("connections", Value::map(connections.map(|(peer, c)| (peer.clone(), c.connection.as_str())))),
        ("volumes", Value::map(volumes)),
    ])
}

/// The word of the facts' JSON.
fn state_word(state: ThinPoolState) -> String {
    let word = serde_json::to_value(state).ok();
    word.as_ref().and_then(|word| word.as_str()).unwrap_or_default().to_owned()
}

fn group_value(group: &VolumeGroupFacts) -> Value {
    let pools = group.thin_pools.iter().map(|(name, pool)| {
        let value = Value::object([
            ("size_bytes", Value::from(pool.size_bytes)),
            ("data_percent", pool.data_percent.and_then(Number::from_f64).into()),
            ("metadata_percent", pool.metadata_percent.and_then(Number::from_f64).into()),
            ("promised_bytes", Value::from(pool.promised_bytes)),
            ("state", Value::from(state_word(pool.state))),
            ("zeroing", Value::from(pool.zeroing)),
        ]);
        (name.clone(), value)
    });
    Value::object([
        ("size_bytes", Value::from(group.size_bytes)),
        ("free_bytes", Value::from(group.free_bytes)),
        ("disks", Value::list(group.disks.iter())),
        ("thin_pools", Value::map(pools)),
    ])
}
