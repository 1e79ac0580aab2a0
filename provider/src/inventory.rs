// SPDX-License-Identifier: MPL-2.0
//! The data source `drbd_inventory`: the nodes of a configuration, for Ansible and for `ssh`.
//!
//! It reads nothing but its own attributes and the provider block, so it contacts nobody. The same input gives the same
//! bytes: everything is in the order of its key, and there is no time stamp.
//!
//! * `model`: the values of the attributes, checked,
//! * `document`: the inventory as one tree of JSON, and `yaml`: that tree as YAML,
//! * `ssh_files`: `ssh_config` and `known_hosts`.
//!
//! Not here: writing files (Terraform's `local_file`, or `terraform output -raw`), and the inventory script, which is a
//! part of `drbd-host`.

mod document;
mod model;
pub(crate) mod schema;
mod ssh_files;
mod yaml;

#[cfg(test)]
mod tests;

use std::path::Path as FilePath;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tfplugin::{Context, DataResult, DataSource, Diagnostic, Diagnostics, Path, Schema, Value};

use crate::provider::Shared;
use crate::ssh_settings::SshSettings;
use model::Inventory;

/// The data source.
pub(crate) struct InventoryDataSource {
    shared: Arc<Shared>,
}

impl InventoryDataSource {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    fn try_read(&self, config: Value) -> Result<Value, Diagnostics> {
        let configured = self.shared.configured()?;
        filled(config, configured.ssh()?)
    }
}

impl DataSource for InventoryDataSource {
    fn type_name(&self) -> String {
        "drbd_inventory".into()
    }

    fn schema(&self) -> Schema {
        schema::schema()
    }

    async fn read(&self, config: Value, _ctx: &Context) -> DataResult {
        self.try_read(config).into()
    }
}

/// The configuration with its outputs.
fn filled(mut state: Value, base: &SshSettings) -> Result<Value, Diagnostics> {
    let inventory = Inventory::read(&state, base)?;
    let directory = match state.get("directory").as_str() {
        Some(directory) => directory.to_owned(),
        None => working_directory()?,
    };
    let known_hosts = ssh_files::known_hosts(&inventory)?;
    let ssh_config = ssh_files::ssh_config(&inventory, &directory)?;
    let document = document::document(&inventory, &digest(&[&known_hosts, &ssh_config]));
    state.set("yaml", yaml::render(document::HEADER, &document));
    state.set("json", document::json_text(&document));
    state.set("ssh_config", ssh_config);
    state.set("known_hosts", known_hosts);
    Ok(state)
}

/// Twelve hexadecimal digits that change with any of the texts.
fn digest(texts: &[&str]) -> String {
    let mut hash = Sha256::new();
    texts.iter().for_each(|text| hash.update(text));
    hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

/// The directory in which Terraform runs.
fn working_directory() -> Result<String, Diagnostic> {
    let found = std::env::current_dir().ok().as_deref().and_then(FilePath::to_str).map(str::to_owned);
    found.ok_or_else(|| {
        let detail =
            "The directory in which Terraform runs cannot be told. Set directory to the place of the files.";
        Diagnostic::error("No directory", detail).at(Path::of("directory"))
    })
}
