// SPDX-License-Identifier: MPL-2.0
//! Attributes of the data source `drbd_inventory`.

use tfplugin::{Attribute, Diagnostics, Path, Schema, Type, Value};

use crate::node::schema as node;
use crate::replicated_volume::schema as volume;
use crate::ssh_schema;

/// The group of all nodes, unless another name is given.
pub(crate) const DEFAULT_GROUP: &str = "drbd";

/// What the data source is, in Markdown.
pub(crate) const DESCRIPTION: &str = "The nodes for Ansible and for `ssh`: a typed inventory, and the `ssh_config` and `known_hosts` that belong to it, with the \
    host keys that were verified when the nodes were made. No first contact is left to trust.\n\n\
    It contacts nobody. The same nodes give the same bytes, in the order of their names, so that files made of it change only when \
    something did. It works in the first apply, too: Terraform reads it when the nodes are there.\n\n\
    Put the three texts side by side into one directory as `inventory.yml` (or `inventory.json`), `ssh_config` and `known_hosts`: with \
    `local_file`, or with `terraform output -raw`. `ansible-playbook -i inventory.yml` then needs no other setting, and \
    `ssh -F ssh_config <node>` logs in by hand. The options are in a file, and not on ssh's command line, because only a file \
    reaches the jump host, too.\n\n\
    Each host has the variables `drbd_address`, `drbd_family`, `drbd_labels` and `drbd_storage_pools`, and the group has \
    `drbd_resources`: the declarations of the given `volumes`, by name, as the provider sends them to the hosts. The role `cluster` of \
    the collection `replivol.drbd` takes just these. The secret of a volume that has one is not among them: its declaration takes it \
    from the variable `drbd_shared_secrets`, `{ r0: … }`, which belongs into a vault.";

/// The schema of the data source.
pub(crate) fn schema() -> Schema {
    Schema::new().description(DESCRIPTION).attributes(given()).attributes(computed())
}

fn given() -> Vec<Attribute> {
    vec![
        Attribute::map_nested("nodes", node::in_inventory()).required().description(
            "The nodes, as whole `drbd_node` objects: `nodes = drbd_node.this` where that has a `for_each`, or \
             `nodes = { a = drbd_node.a, b = drbd_node.b }`. The keys do not matter; hosts are named as the nodes are.",
        ),
        Attribute::map_nested("volumes", volume::in_inventory()).optional().description(
            "Volumes whose declarations the group gets, as whole `drbd_replicated_volume` objects: `volumes = { r0 = \
             drbd_replicated_volume.r0 }`, or `volumes = drbd_replicated_volume.this`. The keys do not matter.",
        ),
        Attribute::single_nested("ssh", ssh_schema::inventory_members()).optional().description(
            "How to log in, where that differs from what the nodes and the provider block say: on another machine the key may be \
             in another file, or the bastion another one.",
        ),
        Attribute::string("directory").optional().validate(directory).description(
            "Absolute path of the directory in which `known_hosts` will be, for `ssh_config`: OpenSSH has no word for \"beside this \
             file\". Unset: the directory in which Terraform runs.",
        ),
        Attribute::string("group").optional().description(format!(
            "Name of the group of all nodes; `{DEFAULT_GROUP}` unless set."
        )),
        Attribute::of("vars", Type::Dynamic).optional().description(
            "More variables of that group, as an object of any shape: `{ mount_point = \"/srv\", ports = [80, 443] }`. They win over \
             those that are made here.",
        ),
        Attribute::of("host_vars", Type::Dynamic).optional().description(
            "More variables of single hosts, by the name of the node: `{ h1 = { rack = 7 } }`.",
        ),
        Attribute::of("groups", Type::Dynamic).optional().description(
            "More groups, by name, each with some of `hosts` (names of nodes), `children` (names of groups) and `vars`: \
             `{ web = { hosts = [\"h1\"], vars = { port = 80 } } }`.",
        ),
        Attribute::of("groups_by_label", Type::list(Type::String)).optional().description(
            "Labels by whose values the nodes are grouped: `[\"zone\"]` puts the nodes with `zone = \"us-west-2a\"` into the group \
             `zone_us_west_2a`.",
        ),
    ]
}

fn computed() -> [Attribute; 4] {
    let text = |name: &str, what: &str| Attribute::string(name).computed().description(what);
    [
        text("yaml", "The inventory as YAML, for `inventory.yml`."),
        text("json", "The same as JSON, for `inventory.json`, or for `jsondecode`."),
        text(
            "ssh_config",
            "An OpenSSH configuration that knows the nodes by their names, and their bastions; host keys are always checked.",
        ),
        text(
            "known_hosts",
            "The verified keys of the nodes and their bastions, under the names that `ssh_config` gives them.",
        ),
    ]
}

/// It goes into a file of OpenSSH, which reads some characters as its own.
fn directory(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    let Some(text) = value.as_str() else { return };
    if !text.starts_with('/') {
        let detail =
            format!("{path} is {text:?}, which is no absolute path. Use abspath(path.root), for example.");
        diagnostics.error_at(path, "Not an absolute path", detail);
    } else if let Err(why) = super::ssh_files::word(text) {
        diagnostics.error_at(path, "Value not allowed", format!("{path} is {text:?}, and {why}."));
    }
}
