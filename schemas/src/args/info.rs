// SPDX-License-Identifier: MPL-2.0
//! Arguments of `drbd_info`.

use super::{StoragePoolArgs, declaration_of, typed};
use crate::export;
use crate::invalid::{Invalid, Violation};
use crate::name::ResourceName;
use crate::resource::Resource;
use crate::walk;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Arguments of `drbd_info`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InfoArgs {
    /// Only these resources; all when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<ResourceName>,
    /// All declarations, by the name of the resource, to be compared with what is here (`declared` in the answer): each as
    /// `drbd_resource` takes it. One with `state` absent is to be gone. However many there are, they cost one look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<BTreeMap<ResourceName, Value>>,
    /// Storage pools to be compared, too, by a name of your choice: each as `drbd_storage_pool` takes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_pools: Option<BTreeMap<String, Value>>,
    /// What was given, checked.
    #[serde(skip)]
    pub declared: Option<Given>,
}

/// What a host is compared with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// What shall be there.
    pub resources: BTreeMap<ResourceName, Resource>,
    /// What shall be gone.
    pub absent: BTreeSet<ResourceName>,
    /// Storage pools.
    pub storage_pools: BTreeMap<String, StoragePoolArgs>,
}

impl InfoArgs {
    /// Checks what is to be compared.
    pub(super) fn checked(mut self, what: &str) -> Result<Self, Invalid> {
        if self.resources.is_none() && self.storage_pools.is_none() {
            return Ok(self);
        }
        let (mut given, mut violations) = (Given::default(), Vec::new());
        let schema = export::declaration_schema();
        for (name, value) in self.resources.take().unwrap_or_default() {
            let at = format!("resources.{name}");
            match entry(&schema, &name, value, what) {
                Ok(Some(resource)) => drop(given.resources.insert(name, resource)),
                Ok(None) => drop(given.absent.insert(name)),
                Err(invalid) => violations.extend(below(&at, invalid)),
            }
        }
        for (name, value) in self.storage_pools.take().unwrap_or_default() {
            match pool(value, what) {
                Ok(pool) => drop(given.storage_pools.insert(name, pool)),
                Err(invalid) => violations.extend(below(&format!("storage_pools.{name}"), invalid)),
            }
        }
        if !violations.is_empty() {
            return Err(Invalid { what: what.to_owned(), violations });
        }
        self.declared = Some(given);
        Ok(self)
    }
}

/// One declaration; none where the resource is to be gone.
fn entry(
    schema: &Value,
    name: &ResourceName,
    mut value: Value,
    what: &str,
) -> Result<Option<Resource>, Invalid> {
    let state = value.as_object_mut().and_then(|members| members.remove("state"));
    match state.as_ref().map(|state| state.as_str().unwrap_or_default()) {
        Some("absent") => return Ok(None),
        None | Some("present") => {}
        Some(_) => {
            let found = state.map(|state| state.to_string()).unwrap_or_default();
            return Err(one(what, Violation::new("state", found, "present or absent")));
        }
    }
    let resource = declaration_of(walked(schema, value, what)?, what)?;
    if resource.name() != name {
        let found = Violation::new("name", resource.name().to_string(), format!("{name}, its key"));
        return Err(one(what, found));
    }
    Ok(Some(resource))
}

fn pool(value: Value, what: &str) -> Result<StoragePoolArgs, Invalid> {
    typed(walked(&export::module_schema(super::Module::DrbdStoragePool), value, what)?, what)
}

fn walked(schema: &Value, value: Value, what: &str) -> Result<Value, Invalid> {
    walk::check(schema, value).map_err(|violations| Invalid { what: what.to_owned(), violations })
}

fn one(what: &str, violation: Violation) -> Invalid {
    Invalid { what: what.to_owned(), violations: vec![violation] }
}

/// The same violations, at where the document stands in the whole.
fn below(at: &str, invalid: Invalid) -> impl Iterator<Item = Violation> {
    invalid.violations.into_iter().map(move |violation| {
        let path = if violation.path.is_empty() { at.to_owned() } else { format!("{at}.{}", violation.path) };
        Violation { path, ..violation }
    })
}

#[cfg(test)]
mod tests {
    use crate::args::{Args, Module, parse};
    use serde_json::{Value, json};

    fn r0() -> Value {
        json!({
            "name": "r0", "port": "7000", "shared_secret": "hunter22",
            "nodes": {
                "h1.example.org": { "node_id": 0, "address": "10.0.0.1", "storage": { "lvm": { "volume_group": "vg0" } } },
                "h2.example.org": { "node_id": 1, "address": "10.0.0.2", "storage": { "lvm": { "volume_group": "vg0" } } },
            },
            "volumes": { "0": { "minor": 1000, "size": "64MiB" } },
        })
    }

    #[test]
    fn declarations_are_read_as_drbd_resource_reads_them() {
        let mut present = r0();
        present["state"] = json!("present");
        let value = json!({
            "resources": { "r0": present, "old": { "state": "absent" } },
            "storage_pools": { "data": { "volume_group": "vg0", "disks": "/dev/sdb,/dev/sdc" } },
        });
        let Args::Info(args) = parse(Module::DrbdInfo, value).unwrap() else { unreachable!() };
        assert!(!format!("{args:?}").contains("hunter22"), "{args:?}");
        let given = args.declared.unwrap();
        assert_eq!(given.resources.keys().map(|name| name.as_str()).collect::<Vec<_>>(), ["r0"]);
        assert_eq!(given.absent.iter().map(|name| name.as_str()).collect::<Vec<_>>(), ["old"]);
        assert_eq!(given.storage_pools["data"].disks.len(), 2);
        let Args::Info(plain) = parse(Module::DrbdInfo, json!({})).unwrap() else { unreachable!() };
        assert_eq!(plain.declared, None);
    }

    #[test]
    fn what_is_wrong_is_named_by_its_resource() {
        let mut twin = r0();
        twin["nodes"]["h2.example.org"]["node_id"] = json!(0);
        let mut state = r0();
        state["state"] = json!("down");
        let value = json!({ "resources": { "r1": r0(), "r0": twin, "r2": state, "r3": { "name": "r3" } },
            "storage_pools": { "data": { "disks": [] } } });
        let found = parse(Module::DrbdInfo, value).unwrap_err().violations;
        let paths: Vec<&str> = found.iter().map(|violation| violation.path.as_str()).collect();
        for path in [
            "resources.r0.nodes.h2.example.org.node_id",
            "resources.r1.name",
            "resources.r2.state",
            "resources.r3.nodes",
        ] {
            assert!(paths.contains(&path), "{path}: {paths:?}");
        }
        assert!(paths.iter().any(|path| path.starts_with("storage_pools.data")), "{paths:?}");
    }
}
