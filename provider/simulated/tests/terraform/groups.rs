// SPDX-License-Identifier: MPL-2.0
//! Groups and their volumes: which change of a group reaches which volume, and that a volume holds little of it.

use provider_drbd::simulated::World;
use serde_json::{Value, json};

use crate::support::Terraform;

const OLD: &str = include_str!("state-cbecf14/main.tf");
const OLD_STATE: &str = include_str!("state-cbecf14/terraform.tfstate");

/// Some volumes of a group of these nodes, each with what is written in its place.
fn group(nodes: &[(&str, &str)], more: &str) -> String {
    let node = |(key, rest): &(&str, &str)| {
        let name = key.trim_start_matches('k');
        let number = name.trim_start_matches('h');
        format!(
            "resource \"drbd_node\" \"{key}\" {{\n  name = \"{name}\"\n  ssh = {{ host = \"10.0.0.{number}\" }}\n  {rest}\n  storage_pools = {{ \
             data = {{ lvm_thin = {{ volume_group = \"vg0\", thin_pool = \"thin\" }} }} }}\n}}\n"
        )
    };
    let members: Vec<String> = nodes.iter().map(|(key, _)| format!("{key} = drbd_node.{key}")).collect();
    format!(
        "{}resource \"drbd_resource_group\" \"many\" {{\n  name = \"many\"\n  nodes = {{ {} }}\n  storage_pool = \"data\"\n{more}\n}}\n\
         resource \"drbd_replicated_volume\" \"many\" {{\n  count = 20\n  name = \"v${{count.index}}\"\n  resource_group = \
         drbd_resource_group.many\n  size = \"64MiB\"\n}}\n",
        nodes.iter().map(node).collect::<String>(),
        members.join(", ")
    )
}

fn actions(tf: &Terraform) -> Vec<String> {
    let one = |(address, actions): (String, Vec<String>)| format!("{address} {}", actions.join("+"));
    tf.planned().into_iter().map(one).collect()
}

#[test]
fn a_change_that_changes_nothing_for_a_volume_plans_nothing_for_it() {
    let zones = "labels = { zone = \"x\" }";
    let two = [("h1", zones), ("h2", "")];
    let pair = "connections = [{ nodes = [\"h2\", \"h1\"], net = { protocol = \"A\" } }, { nodes = [\"h3\", \"h1\"] }]";
    let three = [two[0], two[1], ("h3", "labels = { zone = \"z\" }")];
    let tf = Terraform::on(&World::of(&["h1", "h2", "h3"], "9.2.18"), &group(&two, ""));
    tf.apply().good();
    // A node joins, of which nothing is known yet that only it can tell.
    tf.config(&group(&three, ""));
    assert_eq!(actions(&tf), ["drbd_node.h3 create", "drbd_resource_group.many update"]);
    tf.apply().good().says(&["1 added, 1 changed, 0 destroyed"]);
    tf.plan_is_empty();
    // Keys of nodes say nothing; nor do rules over labels to replicas that are placed.
    let rules =
        "  replicas_on_same = []\n  connections = [{ nodes = [\"h3\", \"h1\"], net = { protocol = \"A\" } }]";
    tf.config(&group(&three, rules).replace("{ h1 = drbd", "{ kh1 = drbd"));
    assert_eq!(actions(&tf), ["drbd_resource_group.many update"]);
    tf.apply().good();
    tf.plan_is_empty();
    // A pair of which both have replicas concerns all of them.
    tf.config(&group(&three, pair));
    assert_eq!(actions(&tf).len(), 21);
    tf.apply().good();
    // The order of what has none is no change.
    let swapped = "connections = [{ nodes = [\"h1\", \"h3\"] }, { net = { protocol = \"A\" }, nodes = [\"h1\", \"h2\"] }]";
    tf.config(&group(&three, swapped));
    tf.plan_is_empty();
    // Nor is it one when a node without replicas goes.
    tf.config(&group(&two, "connections = [{ nodes = [\"h2\", \"h1\"], net = { protocol = \"A\" } }]"));
    assert_eq!(actions(&tf), ["drbd_node.h3 delete", "drbd_resource_group.many update"]);
    tf.apply().good();
    tf.destroy().good();
}

#[test]
fn a_node_at_another_address_reaches_the_volumes() {
    let nodes = [("h1", ""), ("h2", "")];
    let tf = Terraform::on(&World::of(&["h1", "h2"], "9.2.18"), &group(&nodes, ""));
    tf.apply().good();
    tf.meddle(|world| {
        let host = world.hosts.remove("10.0.0.2").unwrap();
        world.hosts.insert("10.0.0.9".to_owned(), host);
    });
    tf.config(&group(&nodes, "").replace("10.0.0.2", "10.0.0.9"));
    tf.run(&["apply", "-auto-approve", "-no-color", "-input=false", "-refresh=false"])
        .good()
        .says(&["0 added, 22 changed"]);
    assert_eq!(tf.state("drbd_replicated_volume.many[7]")["replicas"]["h2"]["address"], json!("10.0.0.9"));
    tf.plan_is_empty();
}

#[test]
fn a_volume_holds_little_of_its_group_however_many_nodes_it_has() {
    let names: Vec<String> = (1..=16).map(|n| format!("h{n}")).collect();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let each = |count: usize| {
        // Of one resource, as one writes it: terraform notes for each volume what it depends on.
        let config = group(&[("h1", "")], "")
            .replace("{ h1 = drbd_node.h1 }", "drbd_node.h1")
            .replace("name = \"h1\"", &format!("count = {count}\n  name = \"h${{count.index + 1}}\""))
            .replace("10.0.0.1", "10.0.0.${count.index + 1}")
            .replace("nodes = drbd_node.h1", "nodes = { for node in drbd_node.h1 : node.name => node }");
        let tf = Terraform::on(&World::of(&all, "9.2.18"), &config);
        tf.apply().good();
        let state: Value = tf.state_file();
        let of = |volumes: usize| {
            let mut state = state.clone();
            for resource in state["resources"].as_array_mut().unwrap() {
                if resource["type"] == "drbd_replicated_volume" {
                    resource["instances"].as_array_mut().unwrap().truncate(volumes);
                }
            }
            serde_json::to_string_pretty(&state).unwrap().len()
        };
        (of(20) - of(10)) / 10
    };
    let (two, sixteen) = (each(2), each(16));
    assert!(two <= 2000, "{two} bytes a volume with 2 nodes");
    assert!(sixteen - two <= 14 * 60, "{} bytes for 14 more nodes", sixteen - two);
}

#[test]
fn a_state_that_commit_cbecf14_wrote_is_taken_over_without_a_change() {
    let tf = Terraform::new(OLD);
    tf.apply().good();
    tf.set_state_file(OLD_STATE);
    tf.plan_is_empty();
    let before = tf.world();
    tf.apply().good().says(&["0 added, 0 changed, 0 destroyed"]);
    assert_eq!(tf.world().hosts["10.0.0.1"].resources, before.hosts["10.0.0.1"].resources);
    let held = tf.state("drbd_replicated_volume.r0")["resource_group"].clone();
    let members: Vec<&String> = held.as_object().unwrap().keys().collect();
    assert_eq!(members, ["for_volumes", "name"]);
    assert_eq!(held["for_volumes"], tf.state("drbd_resource_group.dr")["for_volumes"]);
    // It can be worked with: the way in, bastion and all, is what it was.
    tf.config(&OLD.replace("\"64MiB\"", "\"128MiB\""));
    tf.apply().good().says(&["0 added, 3 changed, 0 destroyed"]);
    tf.plan_is_empty();
    tf.destroy().good().says(&["7 destroyed"]);
    assert_eq!(tf.on_host("h1", "r0"), None);
}

#[test]
fn an_old_state_can_be_destroyed_without_its_configuration() {
    let tf = Terraform::new(OLD);
    tf.apply().good();
    tf.set_state_file(OLD_STATE);
    tf.config("");
    tf.apply().good().says(&["7 destroyed"]);
    assert_eq!((tf.on_host("h1", "r0"), tf.on_host("h2", "plain-1")), (None, None));
}

#[test]
fn a_pair_of_connections_is_one_of_the_groups_nodes() {
    let nodes = [("h1", ""), ("h2", "")];
    let tf = Terraform::on(&World::of(&["h1", "h2"], "9.2.18"), "");
    let refused = |connections: &str, parts: &[&str]| {
        tf.config(&group(&nodes, &format!("  connections = {connections}")));
        tf.plan().bad(parts);
    };
    refused(
        "[{ nodes = [\"h1\", \"h22\"], net = { protocol = \"A\" } }]",
        &["No such node", "names \"h22\", which is none of the group's nodes. Did you mean \"h2\"?"],
    );
    refused("[{ nodes = [\"h1\", \"h1\"] }]", &["must be two different ones"]);
    refused(
        "[{ nodes = [\"h1\", \"h2\"] }, { nodes = [\"h2\", \"h1\"], net = { protocol = \"A\" } }]",
        &["The pair h1, h2 is there twice"],
    );
}
