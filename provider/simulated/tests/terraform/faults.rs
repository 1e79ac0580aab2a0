// SPDX-License-Identifier: MPL-2.0
//! Hosts that fail: what the user reads, what stays in the state, what the next run makes of it.

use drbd_schemas::args::Module;
use drbd_schemas::reply::Code;
use provider_drbd::simulated::World;
use serde_json::{Value, json};

use crate::support::{NODES, Terraform, host, volume};

const R0: &str = "drbd_replicated_volume.r0";

fn r0() -> Terraform {
    Terraform::new(&volume("size = \"64MiB\""))
}

/// The nodes are there, the volume is not.
fn nodes_only() -> Terraform {
    let tf = Terraform::new(NODES);
    tf.apply().good();
    tf.config(&volume("size = \"64MiB\""));
    tf
}

#[test]
fn an_unreachable_host_never_becomes_a_volume_that_is_gone() {
    let tf = r0();
    tf.apply().good();
    let state = tf.state(R0);
    tf.meddle(|world| host(world, "h2").unreachable = true);
    // What the state knows stands, with a warning for everything that lives there; what does not need h2 can be changed.
    tf.plan().good().says(&[
        "Host cannot be reached",
        "10.0.0.2",
        "was kept, and may be out of date",
        "No changes",
    ]);
    tf.apply().good();
    assert_eq!(tf.state(R0), state);
    tf.run(&["plan", "-refresh=false", "-detailed-exitcode", "-no-color"]).good().says(&["No changes"]);
    tf.destroy().bad(&["Host cannot be reached", "If it is gone for good, see"]);
    assert!(tf.on_host("h1", "r0").unwrap().up, "nothing was removed from the host that answers");
    tf.meddle(|world| host(world, "h2").unreachable = false);
    assert_eq!(tf.state(R0), state);
    tf.plan_is_empty();
}

#[test]
fn all_unreachable_hosts_are_named_at_once() {
    let tf = r0();
    tf.apply().good();
    tf.meddle(|world| world.hosts.values_mut().for_each(|host| host.unreachable = true));
    tf.plan().good().says(&["h1 (10.0.0.1)", "h2 (10.0.0.2)", "No changes"]);
}

#[test]
fn a_creation_that_one_host_refuses_touches_no_host() {
    let tf = nodes_only();
    tf.meddle(|world| host(world, "h2").refuses = Some((Module::DrbdResource, Code::ForeignData)));
    tf.apply().bad(&["Device holds other data: h2 (10.0.0.2)", "the simulation was told to refuse"]);
    assert_eq!(tf.on_host("h1", "r0"), None);
    assert_eq!(tf.state(R0), Value::Null);
    tf.apply().good();
}

#[test]
fn a_host_that_is_down_at_creation_leaves_nothing_behind() {
    let tf = nodes_only();
    tf.run(&["plan", "-out=plan", "-no-color"]).good();
    tf.meddle(|world| host(world, "h2").unreachable = true);
    tf.run(&["apply", "-no-color", "plan"]).bad(&["Host cannot be reached: h2 (10.0.0.2)"]);
    assert_eq!((tf.on_host("h1", "r0"), tf.state(R0)), (None, Value::Null));
}

#[test]
fn a_creation_that_is_cut_off_is_in_the_state_and_is_made_anew_by_the_next_apply() {
    for module in [Module::DrbdResource, Module::DrbdInitialSync] {
        let tf = nodes_only();
        tf.meddle(|world| host(world, "h1").loses = Some(module));
        tf.apply().bad(&["Connection to host lost", "tainted", "terraform untaint"]);
        assert_eq!(tf.instance(R0)["tainted"], json!(true));
        assert_eq!(tf.state(R0)["minor"], json!(1000), "the numbers that the hosts have are in the state");
        tf.apply().good().says(&["1 added", "1 destroyed"]);
        tf.plan_is_empty();
    }
}

#[test]
fn a_creation_that_is_cut_off_is_finished_in_place_after_untaint() {
    let tf = nodes_only();
    tf.meddle(|world| host(world, "h1").loses = Some(Module::DrbdResource));
    tf.apply().bad(&["Connection to host lost"]);
    tf.run(&["untaint", R0]).good();
    tf.plan().good().says(&[
        "the creation did not get to its end",
        "no replica has good data",
        "1 to change",
    ]);
    tf.apply().good();
    assert!(tf.on_host("h2", "r0").unwrap().up_to_date);
    tf.plan_is_empty();
}

#[test]
fn a_creation_whose_state_was_lost_goes_on_where_it_was() {
    let tf = nodes_only();
    tf.meddle(|world| host(world, "h1").loses = Some(Module::DrbdResource));
    tf.apply().bad(&["Connection to host lost"]);
    // As after a kill of terraform itself: hosts are half made, and nobody remembers.
    tf.run(&["state", "rm", R0]).good();
    tf.apply().good();
    assert_eq!(tf.state(R0)["minor"], json!(1000), "the numbers on the hosts are kept");
    tf.plan_is_empty();
}

#[test]
fn peers_that_do_not_find_each_other_are_an_error() {
    let tf = nodes_only();
    tf.meddle(|world| world.cut = [("h1".to_owned(), "h2".to_owned())].into());
    tf.apply().bad(&["Deadline passed", "connect r0"]);
    assert!(!tf.on_host("h1", "r0").unwrap().up_to_date, "nobody skipped the first synchronisation alone");
    tf.meddle(|world| world.cut.clear());
    tf.apply().good();
    tf.plan_is_empty();
}

#[test]
fn a_full_synchronisation_that_takes_long_is_a_warning_not_a_failure() {
    let thick = volume("size = \"64MiB\"\n wait_for_sync = true\n timeouts = { create = \"5s\" }").replace(
        "lvm_thin = { volume_group = \"vg0\", thin_pool = \"thin\" }",
        "lvm = { volume_group = \"vg0\" }",
    );
    let tf = Terraform::new(&thick);
    tf.meddle(|world| world.slow_sync = true);
    tf.apply().good().says(&["Volume is still synchronising", "The hosts go on by themselves"]);
    assert!(tf.instance(R0)["tainted"].is_null());
    assert!(tf.on_host("h1", "r0").unwrap().up_to_date && !tf.on_host("h2", "r0").unwrap().up_to_date);
    tf.plan_is_empty();
}

#[test]
fn an_update_that_fails_keeps_the_old_state_and_is_tried_again() {
    let tf = r0();
    tf.apply().good();
    tf.config(&volume("size = \"128MiB\""));
    tf.meddle(|world| host(world, "h2").loses = Some(Module::DrbdResource));
    tf.apply().bad(&["Connection to host lost"]);
    assert_eq!(tf.state(R0)["size"], json!("64MiB"));
    assert!(tf.instance(R0)["tainted"].is_null());
    tf.apply().good();
    assert_eq!(tf.state(R0)["size_bytes"], json!(128 << 20));
    tf.plan_is_empty();
}

#[test]
fn a_destroy_that_is_cut_off_is_finished_by_the_next() {
    let tf = r0();
    tf.apply().good();
    tf.meddle(|world| host(world, "h2").loses = Some(Module::DrbdResource));
    tf.destroy().bad(&["Connection to host lost"]);
    assert_ne!(tf.state(R0), Value::Null, "it stays in the state until it is gone everywhere");
    tf.destroy().good();
}

#[test]
fn adopted_storage_survives_a_creation_that_fails() {
    let config = volume("size = \"64MiB\"\n on_destroy = \"retain\"");
    let tf = Terraform::new(&config);
    tf.apply().good();
    tf.run(&["destroy", "-auto-approve", "-no-color", "-target", R0]).good();
    tf.config(&volume("size = \"64MiB\""));
    tf.meddle(|world| host(world, "h1").loses = Some(Module::DrbdResource));
    tf.apply().bad(&["Connection to host lost"]);
    let kept = tf.on_host("h1", "r0").unwrap();
    tf.apply().good().says(&["Backing storage was kept", "Existing storage was taken over"]);
    let now = tf.on_host("h1", "r0").unwrap();
    assert_eq!((now.backing, now.just_created), (kept.backing, false), "the same storage, not a new one");
}

#[test]
fn a_host_under_another_name_is_refused_and_not_touched() {
    let mut world = World::of(&["h1", "web"], "8.4.11");
    let tf = Terraform::on(&world, &volume("size = \"64MiB\""));
    tf.apply().bad(&["Host has another name", "calls itself \"web\"", "name = each.key"]);
    world = World::of(&["h1", "h2"], "8.4.11");
    let tf = Terraform::on(&world, &volume("size = \"64MiB\""));
    tf.apply().good();
    tf.meddle(|world| host(world, "h2").node = "web".to_owned());
    // Somebody else's host now answers at the address: drift, never "gone", and no destroy there.
    tf.plan().good().says(&["this host is called web"]);
    tf.destroy().bad(&["Host of h2 has another name"]);
    assert!(tf.on_host("web", "r0").unwrap().up);
}

#[test]
fn a_host_without_drbd_is_refused_with_what_to_install() {
    let mut world = World::of(&["h1", "h2"], "8.4.11");
    host(&mut world, "h2").drbd = None;
    Terraform::on(&world, NODES).apply().bad(&["No usable DRBD kernel module", "6.1.0-simulated"]);
    host(&mut world, "h2").drbd = Some("7.9.1".to_owned());
    Terraform::on(&world, NODES).apply().bad(&["version 7.9.1", "Supported are DRBD 8.4 and 9"]);
}

#[test]
fn a_node_whose_pool_fails_half_way_is_finished_by_the_next_apply() {
    let mut world = World::of(&["h1", "h2"], "8.4.11");
    world.hosts.values_mut().for_each(|host| host.volume_groups.clear());
    let config =
        NODES.replace("thin_pool = \"thin\" } }", "thin_pool = \"thin\" }, disks = [\"/dev/vdb\"] }");
    let tf = Terraform::on(&world, &config);
    tf.meddle(|world| host(world, "h1").loses = Some(Module::DrbdStoragePool));
    tf.apply().bad(&["Connection to host lost", "make the storage pool \"data\""]);
    tf.apply().good();
    tf.plan_is_empty();
}

#[test]
fn numbers_that_are_taken_are_refused_at_their_attribute() {
    let tf = r0();
    tf.apply().good();
    let second = |more: &str| {
        let extra = format!(
            "resource \"drbd_replicated_volume\" \"r1\" {{\n  name = \"r1\"\n  size = \"64MiB\"\n  resource_group = drbd_resource_group.dr\n  {more}\n}}\n"
        );
        volume("size = \"64MiB\"") + &extra
    };
    tf.config(&second("port = 7000"));
    tf.apply().bad(&["Number is already taken", "TCP port 7000 belongs to another resource", "port = 7000"]);
    tf.config(&second("minor = 1000"));
    tf.apply().bad(&["minor 1000 belongs to another resource"]);
    tf.config(&second("minor = 1007"));
    tf.apply().good();
    assert_eq!(tf.state("drbd_replicated_volume.r1")["device"], json!("/dev/drbd1007"));
    tf.config(&second("minor = 1008"));
    tf.plan().bad(&["Minor cannot change"]);
}

#[test]
fn ctrl_c_during_a_creation_loses_nothing() {
    let tf = nodes_only();
    let mut apply = tf.command(&["apply", "-auto-approve", "-no-color", "-refresh=false"]);
    let child =
        apply.env("DRBD_SIMULATION_DELAY_MS", "700").stdout(std::process::Stdio::piped()).spawn().unwrap();
    // Long enough for the creation to have touched a host, too short for it to be done.
    let touched = (0..200).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        tf.try_world().is_some_and(|world| world.hosts.values().any(|host| host.resources.contains_key("r0")))
    });
    assert!(touched, "the creation never began");
    let interrupted =
        std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    let output = child.wait_with_output().unwrap();
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(tf.instance(R0)["tainted"], json!(true));
    tf.apply().good();
    tf.plan_is_empty();
}
