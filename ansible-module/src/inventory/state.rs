// SPDX-License-Identifier: MPL-2.0
//! From the text of `terraform show -json` to the list of an inventory script. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

/// What the state has of one data source `drbd_inventory`.
#[derive(Debug, PartialEq)]
pub(super) struct Found {
    /// The inventory, in the form of Ansible's YAML inventories.
    pub(super) document: Value,
    pub(super) ssh_config: String,
    pub(super) known_hosts: String,
}

/// The data source of this address; the only one where none is given.
///
/// # Errors
/// When the text is no state, or has not exactly one.
pub(super) fn find(text: &str, address: Option<&str>) -> Result<Found, String> {
    let shown: Value = serde_json::from_str(text)
        .map_err(|error| format!("what `terraform show -json` printed is no JSON ({error})"))?;
    let mut found = BTreeMap::new();
    collect(shown.pointer("/values/root_module").unwrap_or(&Value::Null), &mut found);
    let known: Vec<&str> = found.keys().copied().collect();
    let values = match address {
        Some(address) => found.get(address).copied().ok_or_else(|| {
            format!("the state has no {address}; it has {}", if known.is_empty() { "none".to_owned() } else { known.join(", ") })
        })?,
        None if found.len() > 1 => {
            return Err(format!("the state has several inventories; name one with --address: {}", known.join(", ")));
        }
        None => found.values().next().copied().ok_or(
            "the state has no data source drbd_inventory. Add one, for example `data \"drbd_inventory\" \"this\" { nodes = \
             drbd_node.this }`, and apply.",
        )?,
    };
    let member = |name: &str| {
        let text = values.get(name).and_then(Value::as_str);
        text.map(str::to_owned)
            .ok_or_else(|| format!("the inventory in the state has no {name}; apply again"))
    };
    let document = serde_json::from_str(&member("json")?)
        .map_err(|error| format!("the inventory in the state cannot be read ({error}); apply again"))?;
    Ok(Found { document, ssh_config: member("ssh_config")?, known_hosts: member("known_hosts")? })
}

/// All inventories of a module and those below it, by address.
fn collect<'s>(module: &'s Value, found: &mut BTreeMap<&'s str, &'s Value>) {
    let members = |name: &str| module.get(name).and_then(Value::as_array).into_iter().flatten();
    for resource in members("resources") {
        let text = |name: &str| resource.get(name).and_then(Value::as_str).unwrap_or_default();
        if (text("mode"), text("type")) == ("data", "drbd_inventory") {
            found.insert(text("address"), resource.get("values").unwrap_or(&Value::Null));
        }
    }
    members("child_modules").for_each(|child| collect(child, found));
}

/// A group while it is put together: its parts can stand in several places.
#[derive(Default)]
struct Group {
    hosts: BTreeSet<String>,
    children: BTreeSet<String>,
    vars: Map<String, Value>,
}

/// The answer to `--list`.
///
/// # Errors
/// When the document is no inventory.
pub(super) fn list(document: &Value) -> Result<Value, String> {
    let mut groups = BTreeMap::new();
    let mut hostvars: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    let all = document.get("all").ok_or("the inventory in the state has no group all; apply again")?;
    walk("all", all, &mut groups, &mut hostvars);
    let mut list = Map::new();
    list.insert("_meta".to_owned(), json!({ "hostvars": hostvars }));
    for (name, group) in groups {
        let value = json!({ "hosts": group.hosts, "children": group.children, "vars": group.vars });
        list.insert(name, value);
    }
    Ok(list.into())
}

fn walk(
    name: &str,
    group: &Value,
    groups: &mut BTreeMap<String, Group>,
    hostvars: &mut BTreeMap<String, Map<String, Value>>,
) {
    let members = |part: &str| group.get(part).and_then(Value::as_object).into_iter().flatten();
    let into = groups.entry(name.to_owned()).or_default();
    into.vars.extend(members("vars").map(|(name, value)| (name.clone(), value.clone())));
    into.children.extend(members("children").map(|(child, _)| child.clone()));
    for (host, vars) in members("hosts") {
        into.hosts.insert(host.clone());
        let vars = vars.as_object().into_iter().flatten();
        hostvars
            .entry(host.clone())
            .or_default()
            .extend(vars.map(|(name, value)| (name.clone(), value.clone())));
    }
    for (child, value) in members("children") {
        walk(child, value, groups, hostvars);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(addresses: &[&str]) -> String {
        let document = json!({ "all": { "children": {
            "drbd": { "hosts": { "h1": { "a": 1 }, "h2": {} }, "vars": { "v": [true] } },
            "web": { "hosts": { "h1": {} } }, "site": { "children": { "web": {} } },
        } } });
        let source = |address: &&str| {
            json!({ "address": address, "mode": "data", "type": "drbd_inventory",
                "values": { "json": document.to_string(), "ssh_config": "s", "known_hosts": "k" } })
        };
        let other = json!({ "address": "drbd_node.a", "mode": "managed", "type": "drbd_node", "values": {} });
        let (first, rest) = addresses.split_at(addresses.len().min(1));
        json!({ "values": { "root_module": {
            "resources": first.iter().map(source).chain([other]).collect::<Vec<_>>(),
            "child_modules": [{ "resources": rest.iter().map(source).collect::<Vec<_>>() }],
        } } })
        .to_string()
    }

    #[test]
    fn the_document_becomes_a_list_with_meta() {
        let found = find(&shown(&["data.drbd_inventory.this"]), None).unwrap();
        assert_eq!((found.ssh_config.as_str(), found.known_hosts.as_str()), ("s", "k"));
        let expected = json!({
            "_meta": { "hostvars": { "h1": { "a": 1 }, "h2": {} } },
            "all": { "hosts": [], "children": ["drbd", "site", "web"], "vars": {} },
            "drbd": { "hosts": ["h1", "h2"], "children": [], "vars": { "v": [true] } },
            "site": { "hosts": [], "children": ["web"], "vars": {} },
            "web": { "hosts": ["h1"], "children": [], "vars": {} },
        });
        assert_eq!(list(&found.document).unwrap(), expected);
    }

    #[test]
    fn one_of_several_is_named() {
        let text = shown(&["data.drbd_inventory.a", "module.m.data.drbd_inventory.b"]);
        let said = find(&text, None).unwrap_err();
        assert!(said.contains("--address: data.drbd_inventory.a, module.m.data.drbd_inventory.b"), "{said}");
        assert!(find(&text, Some("module.m.data.drbd_inventory.b")).is_ok());
        assert!(find(&text, Some("x")).unwrap_err().contains("has no x; it has data.drbd_inventory.a"));
    }

    #[test]
    fn what_is_no_state_is_told() {
        for (text, expected) in [
            ("", "no JSON"),
            ("[]", "no data source drbd_inventory"),
            (r#"{"format_version": "1.0"}"#, "no data source drbd_inventory"),
            (
                r#"{"values": {"root_module": {"resources": [{"mode": "data", "type": "drbd_inventory"}]}}}"#,
                "has no json",
            ),
        ] {
            let said = find(text, None).unwrap_err();
            assert!(said.contains(expected), "{text}: {said}");
        }
        assert!(list(&json!([])).is_err());
    }
}
