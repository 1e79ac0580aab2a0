// SPDX-License-Identifier: MPL-2.0
//! Inventories from values: their bytes, and what is refused.

use serde_json::{Value as Json, json};
use tfplugin::{Decode as _, Path, Value};

use super::filled;
use crate::ssh_settings::SshSettings;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

fn value(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(truth) => (*truth).into(),
        Json::Number(number) => number.as_u64().unwrap().into(),
        Json::String(text) => text.as_str().into(),
        Json::Array(elements) => Value::List(elements.iter().map(value).collect()),
        Json::Object(members) => {
            Value::object(members.iter().map(|(name, member)| (name.clone(), member_value(name, member))))
        }
    }
}

/// Attributes whose values are maps; all others with members are objects.
fn member_value(name: &str, member: &Json) -> Value {
    match value(member) {
        Value::Object(entries) if ["nodes", "labels", "storage_pools"].contains(&name) => Value::Map(entries),
        other => other,
    }
}

fn node(name: &str, last: u8, known_hosts: &[String]) -> Json {
    json!({
        "name": name, "ssh": { "host": format!("10.0.0.{last}") }, "address": format!("10.0.0.{last}"), "drbd_family": "9",
        "labels": { "zone": format!("us-west-2{name}") }, "known_hosts": known_hosts,
        "storage_pools": { "data": {
            "lvm_thin": { "volume_group": "vg0", "thin_pool": "thin" }, "lvm": null, "devices": null, "disks": ["/dev/vdb"] } },
    })
}

fn direct(name: &str, last: u8) -> Json {
    node(name, last, &[format!("10.0.0.{last} {KEY}")])
}

fn config(nodes: &[Json]) -> Json {
    let nodes: serde_json::Map<_, _> =
        nodes.iter().enumerate().map(|(i, node)| (format!("k{i}"), node.clone())).collect();
    json!({ "nodes": nodes, "directory": "/srv/tf" })
}

fn base(ssh: &Json) -> SshSettings {
    SshSettings::decode(&value(ssh), &Path::of("ssh")).unwrap()
}

fn made(config: &Json, ssh: &Json) -> Result<Value, String> {
    filled(value(config), &base(ssh)).map_err(|problems| format!("{problems:?}"))
}

fn text(state: &Value, name: &str) -> String {
    state.get(name).as_str().unwrap().to_owned()
}

#[test]
fn three_texts_are_made_of_nodes_behind_a_bastion() {
    let through = |name: &str, last: u8| {
        node(name, last, &[format!("10.0.0.{last} {KEY}"), format!("203.0.113.7 {KEY}")])
    };
    let ssh =
        json!({ "user": "ubuntu", "private_key_file": "~/.ssh/a key", "bastion": { "host": "203.0.113.7" } });
    let mut config = config(&[through("b", 2), through("a", 1)]);
    config["groups_by_label"] = json!(["zone"]);
    let state = made(&config, &ssh).unwrap();
    let host = |name: &str, last: u8| {
        format!(
            "\nHost {name}\n    HostName 10.0.0.{last}\n    HostKeyAlias {name}\n    User ubuntu\n    IdentityFile \"~/.ssh/a key\"\n    \
             IdentitiesOnly yes\n    ProxyJump bastion-203.0.113.7\n"
        )
    };
    let expected = format!(
        "# Made by Terraform (drbd_inventory): ssh -F THIS-FILE NODE\n\nHost bastion-203.0.113.7\n    HostName 203.0.113.7\n    \
         HostKeyAlias bastion-203.0.113.7\n    User ubuntu\n    IdentityFile \"~/.ssh/a key\"\n    IdentitiesOnly yes\n{}{}\n\
         Host *\n    UserKnownHostsFile /srv/tf/known_hosts\n    GlobalKnownHostsFile /dev/null\n    StrictHostKeyChecking yes\n    \
         UpdateHostKeys no\n",
        host("a", 1),
        host("b", 2)
    );
    assert_eq!(text(&state, "ssh_config"), expected);
    assert_eq!(text(&state, "known_hosts"), format!("a {KEY}\nb {KEY}\nbastion-203.0.113.7 {KEY}\n"));
    let yaml = text(&state, "yaml");
    let a = "        a:\n";
    assert!(yaml.starts_with("# Made by Terraform"), "{yaml}");
    assert!(yaml.find(a).unwrap() < yaml.find("        b:\n").unwrap(), "{yaml}");
    let document: Json = serde_json::from_str(&text(&state, "json")).unwrap();
    let group = &document["all"]["children"]["drbd"];
    assert_eq!(
        group["hosts"]["a"],
        json!({
            "drbd_address": "10.0.0.1", "drbd_family": "9", "drbd_labels": { "zone": "us-west-2a" },
            "drbd_storage_pools": { "data": { "volume_group": "vg0", "thin_pool": "thin", "disks": ["/dev/vdb"] } },
            "ansible_become": true,
        })
    );
    assert_eq!(document["all"]["children"]["zone_us_west_2a"], json!({ "hosts": { "a": {} } }));
    assert_eq!(group["vars"]["drbd_resources"], json!({}));
}

#[test]
fn neither_keys_nor_order_of_the_nodes_change_a_byte_and_a_new_host_key_changes_the_control_path() {
    let ssh = json!({ "user": "root" });
    let outputs = |config: &Json| {
        let state = made(config, &ssh).unwrap();
        ["yaml", "json", "ssh_config", "known_hosts"].map(|name| text(&state, name))
    };
    let first = outputs(&config(&[direct("a", 1), direct("b", 2)]));
    assert_eq!(outputs(&config(&[direct("b", 2), direct("a", 1)])), first);
    assert!(first[0].contains("ansible_become: false"), "root needs no sudo: {}", first[0]);
    let other = KEY.replace("eZJ", "eZK");
    let rekeyed = outputs(&config(&[direct("a", 1), node("b", 2, &[format!("10.0.0.2 {other}")])]));
    let path =
        |yaml: &str| yaml.lines().find(|line| line.contains("ansible_control_path")).unwrap().to_owned();
    assert_ne!(path(&rekeyed[0]), path(&first[0]));
}

#[test]
fn variables_and_groups_keep_their_types_and_win() {
    let mut given = config(&[direct("a", 1), direct("b", 2)]);
    given["vars"] = json!({ "ports": [80, 443], "ansible_pipelining": false });
    given["host_vars"] = json!({ "b": { "rack": 7 } });
    given["groups"] = json!({
        "web": { "hosts": ["b"], "vars": { "tls": true } }, "site": { "children": ["web"] } });
    given["group"] = json!("cluster");
    let state = made(&given, &json!({})).unwrap();
    let document: Json = serde_json::from_str(&text(&state, "json")).unwrap();
    let groups = &document["all"]["children"];
    assert_eq!(groups["cluster"]["vars"]["ports"], json!([80, 443]));
    assert_eq!(groups["cluster"]["vars"]["ansible_pipelining"], false);
    assert_eq!(groups["cluster"]["hosts"]["b"]["rack"], 7);
    assert_eq!(groups["web"], json!({ "hosts": { "b": {} }, "vars": { "tls": true } }));
    assert_eq!(groups["site"], json!({ "children": { "web": {} } }));
    let host = &groups["cluster"]["hosts"]["a"];
    assert_eq!(host.get("ansible_become"), None, "nobody said who logs in: {host}");
}

#[test]
fn what_does_not_fit_is_refused_at_its_place() {
    let two = || config(&[direct("a", 1), direct("b", 2)]);
    let with = |name: &str, member: Json| {
        let mut config = two();
        config[name] = member;
        config
    };
    let unverified = |lines: &[String]| config(&[node("a", 1, lines)]);
    let cases = [
        (config(&[direct("a", 1), direct("a", 2)]), "Node given twice"),
        (unverified(&[]), "No verified host key"),
        (unverified(&[format!("10.0.0.9 {KEY}")]), "-refresh-only"),
        (unverified(&[format!("10.0.0.1 {KEY}\n* {KEY}")]), "No verified host key"),
        (with("vars", json!("x")), "Not an object"),
        (with("groups", json!({ "no-group": {} })), "Not a group name"),
        (with("groups", json!({ "all": {} })), "Not a group name"),
        (with("groups", json!({ "a": {} })), "nor the name of a node"),
        (with("groups", json!({ "web": { "hosts": ["c"] } })), "none of the given nodes"),
        (with("groups", json!({ "web": { "hosts": "a" } })), "Not a list of names"),
        (with("groups", json!({ "web": { "host": ["a"] } })), "Not a part of a group"),
        (with("groups", json!({ "web": { "children": ["web"] } })), "No such group"),
        (with("groups", json!({ "drbd": {} })), "Group given twice"),
        (with("host_vars", json!({ "c": {} })), "No such node"),
        (with("ssh", json!({ "bastion": { "host": "203.0.113.7" } })), "was not verified"),
        (with("ssh", json!({ "user": "a\"b" })), "Cannot be written into ssh_config"),
    ];
    for (config, expected) in cases {
        let said = made(&config, &json!({ "user": "root" })).unwrap_err();
        assert!(said.contains(expected), "{expected}: {said}");
    }
}

#[test]
fn another_machine_may_log_in_in_another_way() {
    let mut given = config(&[direct("a", 1)]);
    given["ssh"] = json!({ "user": "ops", "private_key_file": "/k2", "bastion": { "host": "b", "port": 2222, "host_keys": [KEY] } });
    let state = made(&given, &json!({ "user": "root", "private_key_file": "/k1" })).unwrap();
    let ssh_config = text(&state, "ssh_config");
    for part in ["User ops\n", "IdentityFile /k2\n", "Port 2222\n", "ProxyJump bastion-b-2222\n"] {
        assert!(ssh_config.contains(part), "{part}{ssh_config}");
    }
    assert!(!ssh_config.contains("root"), "{ssh_config}");
    assert_eq!(text(&state, "known_hosts"), format!("a {KEY}\nbastion-b-2222 {KEY}\n"));
}
