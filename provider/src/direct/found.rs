// SPDX-License-Identifier: MPL-2.0
//! A volume as its configuration file on a host describes it: what an import, or a creation that goes on where an earlier
//! one was cut, takes over. Pure. Only files that this project's own program wrote are read here.

use std::collections::BTreeMap;

use drbd_engine::tools::conf_text::{self, Item, Section};
use drbd_schemas::address::Endpoint;
use drbd_schemas::facts::HostFacts;
use drbd_schemas::options;

/// What a file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) nodes: BTreeMap<String, FoundNode>,
    pub(crate) port: Option<u32>,
    pub(crate) minor: Option<u32>,
    pub(crate) options: BTreeMap<String, String>,
    pub(crate) net: BTreeMap<String, String>,
    pub(crate) disk: BTreeMap<String, String>,
    /// There are volumes besides number 0, which this provider cannot hold.
    pub(crate) more_volumes: bool,
}

/// One node in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FoundNode {
    /// DRBD 9 only; 8.4 has no node-ids.
    pub(crate) node_id: Option<u32>,
    pub(crate) address: Option<String>,
    /// None on a diskless node.
    pub(crate) backing: Option<String>,
}

impl Found {
    /// Reads the file of a resource from a host's facts.
    ///
    /// # Errors
    /// In words: there is no file, it is not ours, or it cannot be read.
    pub(crate) fn read(name: &str, facts: &HostFacts) -> Result<Self, String> {
        let config = facts.resources.get(name).and_then(|resource| resource.config.as_ref());
        let config =
            config.ok_or_else(|| format!("{} has no configuration file of a resource {name}", facts.node))?;
        if !config.ours {
            return Err(format!("{} on {} was not written by drbd-host", config.path, facts.node));
        }
        let unreadable = |why: String| format!("{} on {} cannot be read: {why}", config.path, facts.node);
        let items = conf_text::parse(&config.text).map_err(|error| unreadable(error.to_string()))?;
        let resource = items.iter().find_map(|item| match item {
            Item::Section(section) if section.keyword() == "resource" && section.name() == Some(name) => {
                Some(section)
            }
            Item::Section(_) | Item::Statement(_) => None,
        });
        resource.map(Self::of).ok_or_else(|| unreadable(format!("it has no resource {name}")))
    }

    fn of(resource: &Section) -> Self {
        let mut found = Self {
            options: statements(resource, options::Section::Options),
            net: statements(resource, options::Section::Net),
            disk: statements(resource, options::Section::Disk),
            ..Self::default()
        };
        for on in resource.sections().filter(|section| section.keyword() == "on") {
            found.add_node(on);
        }
        for connection in resource.sections().filter(|section| section.keyword() == "connection") {
            let path = connection.section("path").unwrap_or(connection);
            for host in path.statements().filter(|statement| statement.keyword() == "host") {
                let words: Vec<&str> = host.values().iter().map(|word| word.text.as_str()).collect();
                if let Some((name, rest)) = words.split_first() {
                    found.endpoint(name, rest.last().copied().unwrap_or_default());
                }
            }
        }
        found
    }

    fn add_node(&mut self, on: &Section) {
        let Some(name) = on.name() else { return };
        let node = self.nodes.entry(name.to_owned()).or_default();
        node.node_id = on.statement("node-id").and_then(|id| id.value_text().parse().ok());
        let mut volumes = on.sections().filter(|section| section.keyword() == "volume");
        let zero = volumes.by_ref().find(|volume| volume.name() == Some("0"));
        if let Some(volume) = zero {
            let disk = volume.statement("disk").map(conf_text::Statement::value_text);
            node.backing = disk.filter(|path| path != "none");
            let device = volume.statement("device").map(conf_text::Statement::value_text).unwrap_or_default();
            self.minor = self.minor.or_else(|| device.split_whitespace().last()?.parse().ok());
        }
        self.more_volumes |= on.sections().filter(|section| section.keyword() == "volume").count() > 1;
        if let Some(address) = on.statement("address") {
            let text = address.value_text();
            self.endpoint(name, text.split_whitespace().last().unwrap_or_default());
        }
    }

    fn endpoint(&mut self, node: &str, text: &str) {
        let Ok(endpoint) = Endpoint::try_from(text.to_owned()) else { return };
        self.port = self.port.or(Some(endpoint.port.get().into()));
        let node = self.nodes.entry(node.to_owned()).or_default();
        node.address.get_or_insert_with(|| endpoint.address.to_string());
    }
}

/// The options of one section that can be declared; the secret is not among them.
fn statements(resource: &Section, section: options::Section) -> BTreeMap<String, String> {
    let statements = resource.section(section.keyword()).into_iter().flat_map(Section::statements);
    statements
        .filter(|statement| options::find(section, statement.keyword()).is_some())
        .map(|statement| (statement.keyword().to_owned(), statement.value_text()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use drbd_engine::res_file::{self, Secrets};
    use drbd_schemas::{Declaration, Family, Resource};
    use serde_json::json;

    /// Reads back what the engine renders.
    fn check(family: Family) -> Found {
        let declaration: Declaration = serde_json::from_value(json!({
            "name": "r0", "port": 7002, "shared_secret": "hunter22",
            "nodes": {
                "h1": { "node_id": 3, "address": "10.0.0.1", "storage": { "lvm": { "volume_group": "vg0" } } },
                "h2": { "node_id": 1, "address": "fd00::2", "storage": { "lvm": { "volume_group": "vg0" } } },
            },
            "volumes": { "0": { "minor": 1004, "size": "64MiB" } },
            "net": { "max-buffers": "8000" },
        }))
        .unwrap();
        let resource = Resource::try_from(declaration).unwrap();
        let text = res_file::render(&resource, family, Secrets::Masked);
        let facts: HostFacts = serde_json::from_value(json!({
            "schema": "drbd-host/facts/1", "node": "h1", "kernel": "6", "drbd": {}, "volume_groups": {},
            "resources": { "r0": {
                "config": { "path": "/etc/drbd.d/r0.res", "ours": true, "text": text },
                "running": null, "volumes": {}, "pending": [],
            } },
            "ports_in_use": [], "minors_in_use": [], "drbd_host": "0.1.0",
        }))
        .unwrap();
        Found::read("r0", &facts).unwrap()
    }

    #[test]
    fn what_the_engine_renders_is_read_back() {
        for family in [Family::V84, Family::V9] {
            let found = check(family);
            assert_eq!(
                (found.port, found.minor, found.more_volumes),
                (Some(7002), Some(1004), false),
                "{family}"
            );
            let h2 = &found.nodes["h2"];
            assert_eq!(h2.address.as_deref(), Some("fd00::2"));
            assert_eq!(h2.backing.as_deref(), Some("/dev/vg0/r0_00000"));
            assert_eq!(h2.node_id, (family == Family::V9).then_some(1));
            assert_eq!(found.net.get("max-buffers").map(String::as_str), Some("8000"));
            assert!(!format!("{found:?}").contains("secret"), "{found:?}");
        }
    }

    #[test]
    fn files_of_others_are_not_read() {
        let facts: HostFacts = serde_json::from_value(json!({
            "schema": "drbd-host/facts/1", "node": "h1", "kernel": "6", "drbd": {}, "volume_groups": {},
            "resources": { "r0": {
                "config": { "path": "/etc/drbd.d/x.res", "ours": false, "text": "resource r0 {}" },
                "running": null, "volumes": {}, "pending": [],
            } },
            "ports_in_use": [], "minors_in_use": [], "drbd_host": "0.1.0",
        }))
        .unwrap();
        assert!(Found::read("r0", &facts).unwrap_err().contains("not written by drbd-host"));
        assert!(Found::read("r1", &facts).unwrap_err().contains("no configuration file"));
    }
}
