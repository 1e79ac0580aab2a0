// SPDX-License-Identifier: MPL-2.0
//! The life of a volume: made, changed, repaired, imported, removed.

use provider_drbd::simulated::World;
use serde_json::json;

use crate::support::{NODES, Terraform, any_file_holds, host, volume};

const R0: &str = "drbd_replicated_volume.r0";

#[test]
fn a_volume_is_made_kept_and_removed() {
    let tf = Terraform::new(&volume("size = \"64MiB\""));
    tf.apply().good().says(&["Apply complete! Resources: 4 added"]);
    let state = tf.state(R0);
    assert_eq!(
        (&state["port"], &state["minor"], &state["device"]),
        (&json!(7000), &json!(1000), &json!("/dev/drbd1000"))
    );
    assert_eq!(state["drift"], json!([]));
    assert_eq!(state["replicas"]["h2"]["node_id"], json!(1));
    assert!(tf.on_host("h1", "r0").unwrap().up_to_date && tf.on_host("h2", "r0").unwrap().up_to_date);
    tf.plan_is_empty();
    let before = tf.world();
    tf.apply().good().says(&["Resources: 0 added, 0 changed, 0 destroyed"]);
    // A second apply reads each host once and does nothing else.
    for (address, host) in &before.hosts {
        assert_eq!(tf.world().hosts[address].executions, host.executions + 1);
    }
    tf.run(&["plan", "-refresh-only", "-detailed-exitcode", "-no-color"]).good().says(&["No changes"]);
    tf.destroy().good();
    assert_eq!((tf.on_host("h1", "r0"), tf.on_host("h2", "r0")), (None, None));
}

#[test]
fn a_node_tells_the_verified_host_key_and_forgets_it_when_it_moves() {
    let tf = Terraform::new(NODES);
    tf.apply().good();
    let lines = |address: &str| {
        let lines = tf.state(address)["known_hosts"].clone();
        assert!(lines[0].as_str().is_some_and(|line| line.contains(" ssh-ed25519 ")), "{lines}");
        lines[0].as_str().unwrap().split(' ').next().unwrap().to_owned()
    };
    assert_eq!(lines("drbd_node.this[\"h1\"]"), "10.0.0.1");
    tf.plan_is_empty();
    tf.meddle(|world| {
        let host = world.hosts.remove("10.0.0.1").unwrap();
        world.hosts.insert("10.0.0.9".to_owned(), host);
    });
    tf.config(&NODES.replace("h1 = \"10.0.0.1\"", "h1 = \"10.0.0.9\""));
    tf.run(&["apply", "-auto-approve", "-no-color", "-input=false", "-refresh=false"]).good();
    assert_eq!(lines("drbd_node.this[\"h1\"]"), "10.0.0.9");
    tf.plan_is_empty();
}

#[test]
fn whole_nodes_may_also_be_given_one_by_one() {
    let config = volume("size = \"64MiB\"").replace(
        "nodes        = drbd_node.this",
        "nodes        = { a = drbd_node.this[\"h1\"], b = drbd_node.this[\"h2\"] }",
    );
    let tf = Terraform::new(&config);
    tf.apply().good();
    tf.plan_is_empty();
}

#[test]
fn a_volume_grows_in_place_and_the_same_size_in_other_words_is_no_change() {
    let tf = Terraform::new(&volume("size = \"64MiB\""));
    tf.apply().good();
    tf.config(&volume("size = \"65536KiB\""));
    tf.plan_is_empty();
    tf.config(&volume("size = \"128MiB\""));
    assert_eq!(tf.planned(), [(R0.to_owned(), vec!["update".to_owned()])]);
    tf.apply().good();
    assert_eq!(tf.state(R0)["size_bytes"], json!(128 << 20));
    assert_eq!(tf.on_host("h2", "r0").unwrap().size, 128 << 20);
    tf.plan_is_empty();
    tf.config(&volume("size = \"64MiB\""));
    tf.plan().bad(&["Shrinking is refused", "size = \"64MiB\""]);
}

#[test]
fn options_change_in_place_on_the_group_and_on_the_volume() {
    let tf = Terraform::new(&volume("size = \"64MiB\""));
    tf.apply().good();
    let group = volume("size = \"64MiB\"\n net = { max_buffers = 8000 }")
        .replace("storage_pool = \"data\"\n}", "storage_pool = \"data\"\n  disk = { al-extents = 1237 }\n}");
    tf.config(&group);
    let updates = ["drbd_replicated_volume.r0", "drbd_resource_group.dr"]
        .map(|a| (a.to_owned(), vec!["update".to_owned()]));
    assert_eq!(tf.planned(), updates);
    tf.apply().good();
    let declared = tf.on_host("h2", "r0").unwrap().declaration.unwrap();
    assert_eq!(
        (&declared["net"]["max-buffers"], &declared["disk"]["al-extents"]),
        (&json!("8000"), &json!("1237"))
    );
    tf.plan_is_empty();
    // DRBD reads max-buffers and max_buffers alike.
    tf.config(&group.replace("max_buffers = 8000", "max-buffers = \"8000\""));
    tf.plan_is_empty();
}

#[test]
fn settings_that_no_host_knows_of_contact_no_host() {
    let tf = Terraform::new(&volume("size = \"64MiB\""));
    tf.apply().good();
    tf.config(&volume("size = \"64MiB\"\n on_destroy = \"retain\"\n timeouts = { create = \"1h\" }"));
    tf.run(&["plan", "-out=plan", "-no-color"]).good();
    tf.meddle(|world| world.hosts.values_mut().for_each(|host| host.unreachable = true));
    tf.run(&["apply", "-no-color", "plan"]).good();
    assert_eq!(tf.state(R0)["on_destroy"], json!("retain"));
}

#[test]
fn drift_is_shown_and_repaired() {
    let tf = Terraform::new(&volume("size = \"64MiB\""));
    tf.apply().good();
    tf.meddle(|world| host(world, "h1").resources.get_mut("r0").unwrap().up = false);
    tf.plan().good().says(&["h1: it is not up", "1 to change"]);
    tf.apply().good();
    assert!(tf.on_host("h1", "r0").unwrap().up);
    tf.plan_is_empty();
    // One replica lost for good is repaired from the other, not made anew.
    tf.meddle(|world| drop(host(world, "h2").resources.remove("r0")));
    assert_eq!(tf.planned(), [(R0.to_owned(), vec!["update".to_owned()])]);
    tf.apply().good();
    assert!(tf.on_host("h2", "r0").unwrap().up_to_date);
    tf.plan_is_empty();
}

#[test]
fn a_volume_that_is_gone_everywhere_is_made_anew() {
    let tf = Terraform::new(&volume("size = \"64MiB\""));
    tf.apply().good();
    tf.meddle(|world| world.hosts.values_mut().for_each(|host| host.resources.clear()));
    assert_eq!(tf.planned(), [(R0.to_owned(), vec!["create".to_owned()])]);
    tf.apply().good();
    tf.destroy().good();
    // And what is gone already is removed without complaint.
    tf.config(&volume("size = \"64MiB\""));
    tf.apply().good();
    tf.run(&["plan", "-destroy", "-out=plan", "-no-color"]).good();
    tf.meddle(|world| world.hosts.values_mut().for_each(|host| host.resources.clear()));
    tf.run(&["apply", "-no-color", "plan"]).good();
}

#[test]
fn a_volume_in_use_is_not_removed() {
    let tf = Terraform::new(&volume("size = \"64MiB\""));
    tf.apply().good();
    tf.meddle(|world| host(world, "h2").resources.get_mut("r0").unwrap().primary = true);
    tf.destroy().bad(&["Volume r0 is in use", "Primary on h2", "Nothing was touched"]);
    assert!(tf.on_host("h1", "r0").unwrap().up, "the other host was not touched either");
    tf.meddle(|world| host(world, "h2").resources.get_mut("r0").unwrap().primary = false);
    tf.destroy().good();
}

#[test]
fn protection_stops_destroy_and_replacement_until_it_is_taken_off() {
    let tf = Terraform::new(&volume("size = \"64MiB\"\n deletion_protection = true"));
    tf.apply().good();
    tf.destroy().bad(&["Volume r0 is protected"]);
    tf.config(
        &volume("size = \"64MiB\"\n deletion_protection = true").replace("name = \"r0\"", "name = \"r1\""),
    );
    tf.plan().bad(&["Volume r0 is protected", "cannot be replaced"]);
    tf.config(&volume("size = \"64MiB\""));
    tf.apply().good();
    tf.destroy().good();
}

#[test]
fn storage_that_is_retained_is_taken_over_by_the_next_volume() {
    let config = volume("size = \"64MiB\"\n on_destroy = \"retain\"");
    let tf = Terraform::new(&config);
    tf.apply().good();
    tf.destroy().good();
    assert!(tf.on_host("h1", "r0").unwrap().backing.is_some(), "the storage stays");
    tf.apply().good().says(&["Existing storage was taken over"]);
    assert_eq!(tf.state(R0)["adopted"], json!(true));
    tf.plan_is_empty();
}

#[test]
fn a_volume_in_service_is_imported_and_not_taken_over() {
    let tf = Terraform::new(&volume("size = \"64MiB\""));
    tf.apply().good();
    tf.run(&["state", "rm", R0]).good();
    tf.apply().bad(&["Volume exists already", "'r0@10.0.0.1,10.0.0.2'"]);
    tf.run(&["import", "-no-color", R0, "r0@10.0.0.1,10.0.0.2"]).good();
    let state = tf.state(R0);
    assert_eq!((&state["port"], &state["minor"], &state["drift"]), (&json!(7000), &json!(1000), &json!([])));
    // The group is not known to the hosts: the configured one comes in its place, and nothing changes on them.
    assert_eq!(tf.planned(), [(R0.to_owned(), vec!["update".to_owned()])]);
    let before = tf.on_host("h1", "r0");
    tf.apply().good();
    assert_eq!(tf.on_host("h1", "r0"), before);
    tf.plan_is_empty();
}

#[test]
fn what_terraform_writes_for_imported_objects_plans_empty() {
    let tf = Terraform::new(&volume("size = \"64MiB\""));
    tf.apply().good();
    std::fs::remove_file(tf.work().join("terraform.tfstate")).unwrap();
    let import =
        |to: &str, id: &str| "import {\n  to = TO\n  id = \"ID\"\n}\n".replace("TO", to).replace("ID", id);
    let ids =
        [("drbd_node.h1", "h1@10.0.0.1"), ("drbd_node.h2", "h2@10.0.0.2"), (R0, "r0@10.0.0.1,10.0.0.2")];
    tf.config(&ids.map(|(to, id)| import(to, id)).concat());
    tf.run(&["plan", "-no-color", "-input=false", "-generate-config-out=generated.tf"])
        .good()
        .says(&["3 to import, 0 to add, 0 to change, 0 to destroy"]);
    let before = tf.on_host("h1", "r0");
    tf.apply().good().says(&["3 imported, 0 added, 0 changed, 0 destroyed"]);
    tf.plan_is_empty();
    assert_eq!(tf.on_host("h1", "r0"), before);
    assert_eq!(tf.state(R0)["size"], json!("64MiB"));
}

#[test]
fn wrong_imports_say_what_is_expected() {
    let tf = Terraform::new(&volume("size = \"64MiB\""));
    tf.run(&["import", "-no-color", R0, "r0"]).bad(&["Import id not understood", "<name>@<ssh host>"]);
    tf.run(&["import", "-no-color", R0, "r9@10.0.0.1"])
        .bad(&["h1 has no configuration file of a resource r9"]);
    tf.apply().good();
    tf.run(&["state", "rm", R0]).good();
    tf.run(&["import", "-no-color", R0, "r0@10.0.0.1"]).bad(&["it has a replica on h2"]);
    tf.run(&["import", "-no-color", "drbd_node.this[\"h1\"]", "h1"]).bad(&["<name>@<ssh host>"]);
}

#[test]
fn a_node_is_imported() {
    let tf = Terraform::new(NODES);
    for (node, id) in [("h1", "h1@10.0.0.1"), ("h2", "h2@10.0.0.2")] {
        tf.run(&["import", "-no-color", &format!("drbd_node.this[{node:?}]"), id]).good();
    }
    tf.apply().good();
    assert_eq!(tf.state("drbd_node.this[\"h1\"]")["drbd_family"], json!("8.4"));
    tf.plan_is_empty();
}

#[test]
fn ten_volumes_at_once_get_numbers_of_their_own() {
    let config =
        volume("size = \"64MiB\"\n count = 10").replace("name = \"r0\"", "name = \"r${count.index}\"");
    let tf = Terraform::new(&config);
    tf.apply().good();
    let world = tf.world();
    let minors: std::collections::BTreeSet<String> = world.hosts["10.0.0.1"]
        .resources
        .values()
        .map(|r| r.declaration.as_ref().unwrap()["volumes"]["0"]["minor"].to_string())
        .collect();
    assert_eq!(minors.len(), 10, "{minors:?}");
    tf.plan_is_empty();
    // A refresh of ten volumes and two nodes asks each host once.
    for (address, host) in &world.hosts {
        assert_eq!(tf.world().hosts[address].executions, host.executions + 1);
    }
    tf.destroy().good();
}

#[test]
fn a_secret_reaches_the_hosts_and_nothing_else() {
    let config = |secret: &str, version: u32| {
        volume(&format!(
            "size = \"64MiB\"\n shared_secret_wo = \"{secret}\"\n shared_secret_wo_version = {version}"
        ))
    };
    let tf = Terraform::new(&config("hunter22-first", 1));
    let log = tf.work().join("log");
    let mut apply = tf.command(&["apply", "-auto-approve", "-no-color"]);
    let output = apply.env("TF_LOG", "TRACE").env("TF_LOG_PATH", &log).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    tf.plan_is_empty();
    let declared = tf.on_host("h1", "r0").unwrap().declaration.unwrap();
    assert!(declared["shared_secret"].is_string(), "it was declared: {declared}");
    // A new version is an update; a new secret alone is not seen.
    tf.config(&config("hunter22-second", 1));
    tf.plan_is_empty();
    tf.config(&config("hunter22-second", 2));
    assert_eq!(tf.planned(), [(R0.to_owned(), vec!["update".to_owned()])]);
    tf.apply().good();
    tf.plan_is_empty();
    std::fs::remove_file(tf.work().join("main.tf")).unwrap();
    assert!(!any_file_holds(&tf.work(), "hunter22"), "the secret is in the state, the plan or the log");
}

#[test]
fn a_pool_of_blank_disks_is_made_and_removed_with_its_node() {
    let mut world = World::of(&["h1", "h2"], "9.2.18");
    world.hosts.values_mut().for_each(|host| host.volume_groups.clear());
    let config = volume("size = \"64MiB\"")
        .replace("thin_pool = \"thin\" } }", "thin_pool = \"thin\" }, disks = [\"/dev/vdb\"] }");
    let tf = Terraform::on(&world, &config);
    tf.apply().good();
    assert!(tf.world().hosts["10.0.0.1"].volume_groups["vg0"].contains("thin"));
    tf.plan_is_empty();
    tf.destroy().good();
    assert!(tf.world().hosts["10.0.0.1"].volume_groups.is_empty());
}

#[test]
fn a_pool_that_was_there_stays_when_its_node_is_removed() {
    let config =
        NODES.replace("thin_pool = \"thin\" } }", "thin_pool = \"thin\" }, disks = [\"/dev/vdb\"] }");
    let tf = Terraform::new(&config);
    tf.apply().good();
    tf.destroy().good();
    assert!(tf.world().hosts["10.0.0.1"].volume_groups.contains_key("vg0"));
}

#[test]
fn the_data_source_tells_what_a_host_is() {
    let config = volume("size = \"64MiB\"")
        + "data \"drbd_host\" \"h1\" {\n ssh = { host = \"10.0.0.1\" }\n depends_on = [drbd_replicated_volume.r0]\n}\n\
           output \"disk\" { value = data.drbd_host.h1.resources[\"r0\"].volumes[\"0\"].disk }\n\
           output \"json\" { value = jsondecode(data.drbd_host.h1.facts_json).node }\n";
    let tf = Terraform::new(&config);
    tf.apply().good().says(&["disk = \"UpToDate\"", "json = \"h1\""]);
    tf.plan_is_empty();
}

#[test]
fn a_pool_that_holds_retained_storage_is_left_with_a_warning() {
    let mut world = World::of(&["h1", "h2"], "8.4.11");
    world.hosts.values_mut().for_each(|host| host.volume_groups.clear());
    let config = volume("size = \"64MiB\"\n on_destroy = \"retain\"")
        .replace("thin_pool = \"thin\" } }", "thin_pool = \"thin\" }, disks = [\"/dev/vdb\"] }");
    let tf = Terraform::on(&world, &config);
    tf.apply().good();
    tf.destroy().good().says(&["Storage pool was left on the host", "/dev/vg0/r0_00000"]);
    assert!(tf.on_host("h1", "r0").unwrap().backing.is_some());
}
