// SPDX-License-Identifier: MPL-2.0
//! The inventory as one tree, in the form of Ansible's YAML inventories. Pure.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::model::{Group, Inventory, InventoryHost, Vars};
use crate::node::model::{Pool, PoolKind};

/// What stands above the YAML.
pub(super) const HEADER: &str = "# Made by Terraform (drbd_inventory); changes belong into its configuration. Keep ssh_config and known_hosts beside it.";

/// The tree. `digest` changes with the SSH files.
pub(super) fn document(inventory: &Inventory, digest: &str) -> Json {
    let hosts: Vars = inventory.hosts.iter().map(|(name, host)| (name.clone(), host_vars(host))).collect();
    let mut all = Vars::new();
    all.insert("hosts".to_owned(), hosts.into());
    all.insert("vars".to_owned(), group_vars(inventory, digest).into());
    let groups = inventory.groups.iter().map(|(name, group)| (name.clone(), group_value(group)));
    let children: Vars = std::iter::once((inventory.group.clone(), all.into())).chain(groups).collect();
    json!({ "all": { "children": children } })
}

/// The tree as JSON for a file.
pub(super) fn json_text(document: &Json) -> String {
    format!("{document:#}\n")
}

fn group_vars(inventory: &Inventory, digest: &str) -> Vars {
    let resources: Vars = inventory.resources.clone().into_iter().collect();
    let mut vars = members([
        // A file, because ssh hands options of its command line on to no jump host.
        ("ansible_ssh_common_args", json!("-F {{ (inventory_dir ~ '/ssh_config') | quote }}")),
        // Another name when a host key or a way changes: a connection that is kept open would hide that.
        ("ansible_control_path", json!(format!("%(directory)s/{digest}-%%C"))),
        ("ansible_pipelining", json!(true)),
        ("drbd_resources", resources.into()),
    ]);
    vars.extend(inventory.vars.clone());
    vars
}

fn host_vars(host: &InventoryHost) -> Json {
    let pools: Vars =
        host.pools.iter().filter_map(|(name, pool)| Some((name.clone(), pool_value(pool)?))).collect();
    let labels: BTreeMap<_, _> = host.labels.iter().collect();
    let mut vars = members([
        ("drbd_address", json!(host.address)),
        ("drbd_family", json!(host.family)),
        ("drbd_labels", json!(labels)),
        ("drbd_storage_pools", pools.into()),
    ]);
    if let Some(sudo) = host.login.sudo {
        vars.insert("ansible_become".to_owned(), sudo.into());
    }
    vars.extend(host.vars.clone());
    vars.into()
}

/// The arguments of the module `drbd_storage_pool`; none for devices that are used as they are.
fn pool_value(pool: &Pool) -> Option<Json> {
    let mut value = match &pool.kind {
        PoolKind::LvmThin { volume_group, thin_pool } => {
            members([("volume_group", json!(volume_group)), ("thin_pool", json!(thin_pool))])
        }
        PoolKind::Lvm { volume_group } => members([("volume_group", json!(volume_group))]),
        PoolKind::Devices(_) => return None,
    };
    value.insert("disks".to_owned(), json!(pool.disks));
    if let Some(size) = pool.thin_pool_metadata_size {
        value.insert("thin_pool_metadata_size".to_owned(), json!(size));
    }
    Some(value.into())
}

fn group_value(group: &Group) -> Json {
    let empty = |names: &std::collections::BTreeSet<String>| -> Json {
        names.iter().map(|name| (name.clone(), json!({}))).collect::<Vars>().into()
    };
    let mut value = Vars::new();
    if !group.hosts.is_empty() {
        value.insert("hosts".to_owned(), empty(&group.hosts));
    }
    if !group.children.is_empty() {
        value.insert("children".to_owned(), empty(&group.children));
    }
    if !group.vars.is_empty() {
        value.insert("vars".to_owned(), group.vars.clone().into());
    }
    value.into()
}

fn members<const N: usize>(members: [(&str, Json); N]) -> Vars {
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
