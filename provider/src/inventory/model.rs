// SPDX-License-Identifier: MPL-2.0
//! The attributes of an inventory as checked values. Pure.

use std::collections::{BTreeMap, BTreeSet};

use drbd_schemas::name;
use serde_json::{Map, Value as Json};
use tfplugin::{Decode, Diagnostic, Diagnostics, Path, Reader, Value};

use super::schema::DEFAULT_GROUP;
use crate::node::model::{NodeModel, Pool};
use crate::replicated_volume::{self, VolumeModel};
use crate::ssh_settings::{Login, SshSettings};

/// Variables, in the order of their names.
pub(super) type Vars = Map<String, Json>;

/// An inventory.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Inventory {
    /// The group of all hosts.
    pub(super) group: String,
    /// The hosts, by the name of their node.
    pub(super) hosts: BTreeMap<String, InventoryHost>,
    /// Declarations, by the name of the resource.
    pub(super) resources: BTreeMap<String, Json>,
    /// More variables of the group of all hosts.
    pub(super) vars: Vars,
    /// More groups.
    pub(super) groups: BTreeMap<String, Group>,
}

/// One host.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct InventoryHost {
    pub(super) login: Login,
    /// Lines of `known_hosts`: its own, and those of bastions.
    pub(super) known_hosts: Vec<String>,
    pub(super) address: Option<String>,
    pub(super) family: Option<String>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) pools: BTreeMap<String, Pool>,
    /// More variables.
    pub(super) vars: Vars,
}

/// A group besides that of all hosts.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Group {
    pub(super) hosts: BTreeSet<String>,
    pub(super) children: BTreeSet<String>,
    pub(super) vars: Vars,
}

impl Inventory {
    /// Reads and checks a configuration. `base` is what the provider block says about SSH.
    ///
    /// # Errors
    /// What does not fit together: names that are given twice or belong to nothing, variables that are no object.
    pub(super) fn read(config: &Value, base: &SshSettings) -> Result<Self, Diagnostics> {
        let r = Reader::decode(config, &Path::root())?;
        let overrides = r.get::<Option<SshSettings>>("ssh")?.unwrap_or_default();
        let mut hosts = BTreeMap::new();
        for (key, node) in r.entries("nodes")? {
            let (name, host) = host(&node, &overrides, base)?;
            if hosts.insert(name.clone(), host).is_some() {
                let detail =
                    format!("nodes has the node {name:?} twice, the second time under the key {key:?}.");
                return Err(Diagnostic::error("Node given twice", detail)
                    .at(Path::of("nodes").key(key))
                    .into());
            }
        }
        for (name, vars) in named(&r, "host_vars")? {
            let at = Path::of("host_vars").key(&name);
            let host = hosts.get_mut(&name).ok_or_else(|| no_node(&name, &at))?;
            host.vars = object(vars, &at)?;
        }
        let mut inventory = Self {
            group: r.get::<Option<String>>("group")?.unwrap_or_else(|| DEFAULT_GROUP.to_owned()),
            resources: declarations(&r)?,
            vars: named(&r, "vars")?.into_iter().collect(),
            groups: BTreeMap::new(),
            hosts,
        };
        inventory.group_by_labels(&r.get::<Option<Vec<String>>>("groups_by_label")?.unwrap_or_default());
        inventory.add_groups(named(&r, "groups")?)?;
        inventory.check_names()?;
        Ok(inventory)
    }

    fn group_by_labels(&mut self, labels: &[String]) {
        for label in labels {
            for (name, host) in &self.hosts {
                if let Some(value) = host.labels.get(label) {
                    let group = self.groups.entry(group_name(label, value)).or_default();
                    group.hosts.insert(name.clone());
                }
            }
        }
    }

    fn add_groups(&mut self, given: BTreeMap<String, Json>) -> Result<(), Diagnostic> {
        for (name, group) in given {
            let at = Path::of("groups").key(&name);
            let into = self.groups.entry(name).or_default();
            for (member, value) in object(group, &at)? {
                let at = at.attribute(&member);
                match member.as_str() {
                    "hosts" => into.hosts.extend(names(value, &at)?),
                    "children" => into.children.extend(names(value, &at)?),
                    "vars" => into.vars = object(value, &at)?,
                    other => {
                        let detail = format!("A group has hosts, children and vars; found {other:?}.");
                        return Err(Diagnostic::error("Not a part of a group", detail).at(at));
                    }
                }
            }
        }
        Ok(())
    }

    /// Ansible takes names apart at many characters, and mixes up a group and a host of one name.
    fn check_names(&self) -> Result<(), Diagnostic> {
        let names = self.groups.keys().map(|name| (name, Path::of("groups").key(name)));
        for (name, at) in names.chain([(&self.group, Path::of("group"))]) {
            let first = name.chars().next().unwrap_or('0');
            let plain =
                name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !first.is_ascii_digit();
            if !plain || matches!(name.as_str(), "all" | "ungrouped") || self.hosts.contains_key(name) {
                let detail = format!(
                    "{name:?} cannot be the name of a group: allowed are letters, digits and _, not beginning with a digit, and \
                     neither all, nor ungrouped, nor the name of a node."
                );
                return Err(Diagnostic::error("Not a group name", detail).at(at));
            }
        }
        if self.groups.contains_key(&self.group) {
            let detail =
                format!("The group {:?} holds all nodes; its variables belong into vars.", self.group);
            return Err(
                Diagnostic::error("Group given twice", detail).at(Path::of("groups").key(&self.group))
            );
        }
        for (name, group) in &self.groups {
            let at = Path::of("groups").key(name);
            if let Some(host) = group.hosts.iter().find(|host| !self.hosts.contains_key(*host)) {
                return Err(no_node(host, &at.attribute("hosts")));
            }
            let known = |child: &String| self.groups.contains_key(child) && child != name;
            if let Some(child) = group.children.iter().find(|child| !known(child)) {
                let detail = format!(
                    "{name:?} has the child {child:?}, which is no other group of groups or groups_by_label."
                );
                return Err(Diagnostic::error("No such group", detail).at(at.attribute("children")));
            }
        }
        Ok(())
    }
}

fn host(
    node: &Reader<'_>,
    overrides: &SshSettings,
    base: &SshSettings,
) -> Result<(String, InventoryHost), Diagnostic> {
    let model = NodeModel::decode(node.value(), node.path())?;
    let settings = model.ssh.unwrap_or_default().overridden_by(overrides);
    let host = InventoryHost {
        login: settings.login(base)?,
        known_hosts: node.get::<Option<Vec<String>>>("known_hosts")?.unwrap_or_default(),
        address: model.address.map(|address| address.to_string()),
        family: model.family.map(|family| family.to_string()),
        labels: model.labels,
        pools: model.pools,
        vars: Vars::new(),
    };
    Ok((model.name.to_string(), host))
}

fn declarations(r: &Reader<'_>) -> Result<BTreeMap<String, Json>, Diagnostics> {
    if r.raw("volumes").is_null() {
        return Ok(BTreeMap::new());
    }
    let mut found = BTreeMap::new();
    for (key, volume) in r.entries("volumes")? {
        let model = VolumeModel::decode(volume.value(), volume.path())?;
        let name = model.name.to_string();
        let mut declaration = replicated_volume::declaration(&model)?;
        if let (Some(_), Some(members)) = (model.secret_version, declaration.as_object_mut()) {
            // The text is stored nowhere. Left out, the playbook would take the secret away from the hosts.
            members.insert(
                "shared_secret".to_owned(),
                format!("{{{{ drbd_shared_secrets['{name}'] }}}}").into(),
            );
        }
        if found.insert(name.clone(), declaration).is_some() {
            let detail = format!("volumes has {name:?} twice, the second time under the key {key:?}.");
            return Err(Diagnostic::error("Volume given twice", detail)
                .at(Path::of("volumes").key(key))
                .into());
        }
    }
    Ok(found)
}

/// `zone` and `us-west-2a` are `zone_us_west_2a`.
fn group_name(label: &str, value: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let name: String = format!("{label}_{value}").chars().map(plain).collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("_{name}") } else { name }
}

fn no_node(name: &str, at: &Path) -> Diagnostic {
    let detail = match name::check_node_name(name) {
        Ok(()) => format!("{name:?} is none of the given nodes."),
        Err(allowed) => format!("{name:?} is no name of a node; allowed: {allowed}."),
    };
    Diagnostic::error("No such node", detail).at(at.clone())
}

/// An attribute of any type that must be an object: its members, by name.
fn named(r: &Reader<'_>, name: &str) -> Result<BTreeMap<String, Json>, Diagnostic> {
    match json(r.raw(name)) {
        Json::Null => Ok(BTreeMap::new()),
        value => Ok(object(value, &Path::of(name))?.into_iter().collect()),
    }
}

fn object(value: Json, at: &Path) -> Result<Vars, Diagnostic> {
    match value {
        Json::Object(members) => Ok(members),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => {
            Err(Diagnostic::error(
                "Not an object",
                format!("{at} must be an object, such as {{ name = value }}."),
            )
            .at(at.clone()))
        }
    }
}

fn names(value: Json, at: &Path) -> Result<Vec<String>, Diagnostic> {
    serde_json::from_value(value).map_err(|_| {
        Diagnostic::error("Not a list of names", format!("{at} must be a list of strings.")).at(at.clone())
    })
}

/// A value of the Terraform language as JSON, with the members of objects in the order of their names.
fn json(value: &Value) -> Json {
    match value {
        Value::Null | Value::Unknown(_) => Json::Null,
        Value::Bool(truth) => Json::Bool(*truth),
        Value::String(text) => Json::String(text.to_string()),
        // What is too large or too fine for a JSON number in memory stays as it was written, as a text.
        Value::Number(number) => {
            let text = number.to_string();
            serde_json::from_str(&text).unwrap_or(Json::String(text))
        }
        Value::List(elements) | Value::Set(elements) => elements.iter().map(json).collect(),
        Value::Map(members) | Value::Object(members) => {
            members.iter().map(|(name, value)| (name.clone(), json(value))).collect()
        }
        Value::Dynamic(typed) => json(&typed.value),
    }
}
