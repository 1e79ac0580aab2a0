// SPDX-License-Identifier: MPL-2.0
//! Configurations that are wrong: refused before any host is asked, with the line, what was found and what is allowed.

use provider_drbd::simulated::World;

use crate::support::{NODES, Terraform, volume};

#[track_caller]
fn refused(config: &str, parts: &[&str]) {
    let tf = Terraform::new(config);
    tf.plan().bad(parts);
    assert!(tf.world().hosts.values().all(|host| host.executions == 0), "a host was asked");
}

#[test]
fn a_good_configuration_validates_without_any_host() {
    let tf = Terraform::on(&World::default(), &volume("size = \"64MiB\""));
    tf.run(&["validate", "-no-color"]).good().says(&["The configuration is valid"]);
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let config = volume("size = \"10G\"\n options = { quorun = \"majority\" }\n net = { protocol = \"D\" }\n on_destroy = \"keep\"")
        .replace("name = \"r0\"", "name = \"all\"");
    refused(
        &config,
        &[
            "for binary units write 10GiB",
            "Did you mean \"quorum\"?",
            "one of A, B, C",
            "on_destroy is \"keep\"",
            "not the word \"all\"",
            "size = \"10G\"",
        ],
    );
}

#[test]
fn sizes_and_numbers_have_limits() {
    refused(&volume("size = \"1000B\""), &["a multiple of 4KiB", "size = \"1000B\""]);
    refused(&volume(""), &["a size, because logical volumes are made"]);
    refused(&volume("size = \"64MiB\"\n port = 70000"), &["port must be a whole number from 1 to 65535"]);
    refused(&volume("size = \"64MiB\"\n minor = 1.5"), &["minor must be a whole number"]);
    refused(&volume("size = \"64MiB\"\n timeouts = { create = \"soon\" }"), &["Not a duration", "1h30m"]);
}

#[test]
fn secrets_need_a_version_and_a_shape() {
    refused(&volume("size = \"64MiB\"\n shared_secret_wo = \"hunter22\""), &["Secret without a version"]);
    refused(&volume("size = \"64MiB\"\n shared_secret_wo_version = 1"), &["Version without a secret"]);
    let odd = volume("size = \"64MiB\"\n shared_secret_wo = \"zwei Wörter\"\n shared_secret_wo_version = 1");
    let said = Terraform::new(&odd).plan().bad(&["Secret not allowed"]);
    // The line of the configuration is terraform's to print; our own words never hold the secret.
    assert!(
        !said.text.replace("shared_secret_wo = \"zwei Wörter\"", "").contains("zwei Wörter"),
        "{}",
        said.text
    );
}

#[test]
fn nodes_are_checked() {
    let broken = |from: &str, to: &str| NODES.replace(from, to);
    refused(&broken("name          = each.key", "name = \"h_1\""), &["a host name as `uname -n` prints it"]);
    refused(
        &broken("{ host = each.value }", "{ host = each.value, host_keys = [\"x\"] }"),
        &["Not a host key", "SHA256:"],
    );
    refused(&broken("{ host = each.value }", "{ host = each.value, host_keys = [] }"), &["No host key"]);
    refused(&broken("{ host = each.value }", "{ host = \"h1.example.net\" }"), &["No replication address"]);
    refused(
        &broken("lvm_thin = {", "lvm = { volume_group = \"x\" }, lvm_thin = {"),
        &["it has lvm_thin and lvm"],
    );
    refused(
        &broken("{ lvm_thin = { volume_group = \"vg0\", thin_pool = \"thin\" } }", "{}"),
        &["it has none of them"],
    );
    refused(
        &broken("thin_pool = \"thin\" } }", "thin_pool = \"thin\" }, disks = [\"/etc/passwd\"] }"),
        &["Not a block device", "/etc/passwd"],
    );
}

#[test]
fn null_where_a_value_is_needed_is_refused_by_validate_with_the_path_as_it_was_written() {
    let null = |from: &str, to: &str, path: &str| {
        let config = NODES.replace(from, to);
        assert_ne!(config, NODES);
        let tf = Terraform::new(&config);
        let missing = format!("{path} is null, and a value is needed there.");
        tf.run(&["validate", "-no-color"]).bad(&["Missing value", &missing]);
    };
    let ssh = "{ host = each.value }";
    null(ssh, "{ host = each.value, bastion = { host = null } }", "ssh.bastion.host");
    null(ssh, "{ host = each.value, host_keys = [null] }", "ssh.host_keys[*]");
    null("volume_group = \"vg0\"", "volume_group = null", "storage_pools[\"data\"].lvm_thin.volume_group");
    null("storage_pools = { data", "consent = [null]\n storage_pools = { data", "consent[*]");
    null(
        "data = { lvm_thin = { volume_group = \"vg0\", thin_pool = \"thin\" } }",
        "data = null",
        "storage_pools[\"data\"]",
    );
    null("zone = each.key", "zone = null", "labels[\"zone\"]");
    null(
        "storage_pool = \"data\"",
        "storage_pool = \"data\"\n net = { protocol = null }",
        "net[\"protocol\"]",
    );
    let variable = "variable \"jump\" {\n default = null\n}\nresource \"terraform_data\" \"later\" {\n input = { host = var.jump }\n}\n";
    // What is known only in the plan, or in the apply, is refused there, before any host is asked.
    let later =
        NODES.replace(ssh, "{ host = each.value, bastion = { host = terraform_data.later.output.host } }");
    let tf = Terraform::new(&format!("{variable}{later}"));
    tf.run(&["validate", "-no-color"]).good();
    tf.apply().bad(&["ssh.bastion.host is null, and a value is needed there."]);
    assert!(tf.world().hosts.values().all(|host| host.executions == 0), "a host was asked");
}

#[test]
fn groups_are_checked() {
    let group =
        |more: &str| NODES.replace("storage_pool = \"data\"", &format!("storage_pool = \"data\"\n{more}"));
    refused(&group("place_count = 0"), &["place_count must be a whole number from 1 to 32"]);
    refused(&group("connections = [{ nodes = [\"h1\"] }]"), &["must be two different ones"]);
    let paths = "connections = [{ nodes = [\"h1\", \"h2\"], paths = [{ h1 = \"10.0.0.1\", h2 = \"10.0.0.2:7000\" }] }]";
    refused(&group(paths), &["Not an endpoint", "ADDRESS:PORT"]);
}

#[test]
fn replicas_that_cannot_be_placed_are_refused_in_the_plan_with_the_reason_for_each_node() {
    let three = volume("size = \"64MiB\"")
        .replace("storage_pool = \"data\"\n}", "storage_pool = \"data\"\n  place_count = 3\n}");
    refused(&three, &["3 replicas are wanted, but only 2 can be placed (h1, h2)"]);
    let same_zone = volume("size = \"64MiB\"").replace("zone = each.key", "zone = \"a\"").replace(
        "storage_pool = \"data\"\n}",
        "storage_pool = \"data\"\n  replicas_on_different = [\"zone\"]\n}",
    );
    refused(&same_zone, &["h2 has the same zone (a) as h1", "resource_group = drbd_resource_group.dr"]);
    let no_pool =
        volume("size = \"64MiB\"").replace("storage_pool = \"data\"\n}", "storage_pool = \"dada\"\n}");
    refused(&no_pool, &["h1 does not have the storage pool"]);
}

#[test]
fn what_the_hosts_drbd_cannot_do_is_refused_before_anything_is_touched() {
    let tf = Terraform::new(NODES);
    tf.apply().good();
    tf.config(&volume("size = \"64MiB\"\n options = { quorum = \"majority\" }"));
    tf.plan().bad(&["h1 runs DRBD 8.4: options.quorum does not exist in DRBD 8.4"]);
    let tf = Terraform::on(&World::of(&["h1", "h2"], "9.2.18"), NODES);
    tf.apply().good();
    tf.config(&volume("size = \"64MiB\"\n options = { quorum = \"majority\" }"));
    tf.apply().good();
    tf.plan_is_empty();
}
