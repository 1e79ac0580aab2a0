// SPDX-License-Identifier: MPL-2.0
//! Values that are known only after apply, everywhere: each plan succeeds, each apply succeeds, and then nothing is left
//! to do.

use crate::support::{NODES, Terraform, volume};

const LATER: &str =
    "resource \"terraform_data\" \"later\" {\n  input = { text = \"TEXT\", number = 1234 }\n}\n";

#[track_caller]
fn check(config: &str, text: &str) {
    let tf = Terraform::new(&(config.to_owned() + &LATER.replace("TEXT", text)));
    tf.apply().good();
    tf.plan_is_empty();
    tf.destroy().good();
}

#[test]
fn attributes_of_a_volume() {
    let later = "terraform_data.later.output.text";
    check(&volume(&format!("size = {later}")), "64MiB");
    check(&volume("size = \"64MiB\"").replace("name = \"r0\"", &format!("name = {later}")), "r7");
    check(&volume(&format!("size = \"64MiB\"\n net = {{ max-buffers = {later} }}")), "8000");
    check(&volume(&format!("size = \"64MiB\"\n on_destroy = {later}")), "retain");
    check(&volume(&format!("size = \"64MiB\"\n timeouts = {{ create = {later} }}")), "5m");
    let number = "terraform_data.later.output.number";
    check(&volume(&format!("size = \"64MiB\"\n port = {number}\n minor = {number}")), "");
    check(
        &volume(&format!(
            "size = \"64MiB\"\n shared_secret_wo = {later}\n shared_secret_wo_version = {number}"
        )),
        "hunter22",
    );
}

#[test]
fn parts_of_a_name_and_members_of_a_list() {
    let later = "terraform_data.later.output.text";
    check(&volume("size = \"64MiB\"").replace("name = \"r0\"", &format!("name = \"pre-${{{later}}}\"")), "x");
    let spread = format!("storage_pool = \"data\"\n  replicas_on_different = [{later}]\n}}");
    check(&volume("size = \"64MiB\"").replace("storage_pool = \"data\"\n}", &spread), "zone");
}

#[test]
fn attributes_of_nodes_and_groups() {
    let later = "terraform_data.later.output.text";
    let nodes = |from: &str, to: &str| volume("size = \"64MiB\"").replace(from, to);
    assert!(NODES.contains("{ zone = each.key }") && NODES.contains("storage_pool = \"data\"\n}"));
    check(&nodes("{ zone = each.key }", &format!("{{ zone = {later} }}")), "a");
    check(&nodes("thin_pool = \"thin\"", &format!("thin_pool = {later}")), "thin");
    check(&nodes("storage_pool = \"data\"\n}", &format!("storage_pool = {later}\n}}")), "data");
    check(
        &nodes(
            "ssh           = { host = each.value }",
            &format!("ssh = {{ host = \"10.0.0.${{each.key == \"h1\" ? 1 : {later}}}\" }}"),
        ),
        "2",
    );
    check(
        &nodes(
            "storage_pool = \"data\"\n}",
            "storage_pool = \"data\"\n  place_count = terraform_data.later.output.number - 1232\n}",
        ),
        "",
    );
}

#[test]
fn a_provider_block_that_is_not_known_yet() {
    // Only what has to contact a host needs it.
    let config = volume("size = \"64MiB\"");
    let tf = Terraform::new(&(config.clone() + &LATER.replace("TEXT", "root")));
    let main = tf.work().join("main.tf");
    let text = std::fs::read_to_string(&main).unwrap();
    std::fs::write(&main, text.replace("user = \"root\"", "user = terraform_data.later.output.text"))
        .unwrap();
    tf.apply().good();
    tf.plan_is_empty();
}
