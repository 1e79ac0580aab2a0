// SPDX-License-Identifier: MPL-2.0
//! The inventory that Terraform makes, used by the real `ansible-playbook` and `ssh`: no other setting, no first contact that
//! is trusted, and the same document and the same facts in both worlds.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use support::{Collection, Lab, LabOptions};

use super::workspace::Workspace;

const FILES: [(&str, &str); 3] =
    [("inventory", "inventory.yml"), ("ssh_config", "ssh_config"), ("known_hosts", "known_hosts")];

/// Writes the outputs as their descriptions say.
fn write_files(example: &Workspace<'_>) -> Result<()> {
    for (output, file) in FILES {
        example.write(file, &example.run(&["output", "-raw", output])?.ok()?)?;
    }
    Ok(())
}

fn ansible(
    collection: &Collection,
    example: &Workspace<'_>,
    program: &str,
    arguments: &[&str],
) -> Result<String> {
    let arguments: Vec<&str> = ["-i", "inventory.yml"].iter().chain(arguments).copied().collect();
    support::run(&mut collection.ansible(example.lab, program, &example.path(""), &arguments)?)?.ok()
}

/// The program is installed by hand, so that what Ansible does here is nothing but what the playbook says.
fn install_program(lab: &Lab) -> Result<()> {
    let program = fs::read(support::made::dist("drbd-host")?)?;
    for host in [1, 2] {
        lab.write(host, "/usr/local/sbin/drbd-host", &program)?;
        lab.sh(host, "chmod 755 /usr/local/sbin/drbd-host")?;
    }
    Ok(())
}

#[test]
fn what_terraform_made_ansible_reaches_without_trust_and_finds_unchanged() -> Result<()> {
    let lab = Lab::start(&LabOptions { hosts: 2, disks: 1, disk_size: "192M".to_owned() })?;
    let (example, collection) = (Workspace::example(&lab, "two-hosts")?, Collection::install()?);
    example.apply()?;
    write_files(&example)?;
    install_program(&lab)?;

    let recap = ansible(&collection, &example, "ansible-playbook", &["replivol.drbd.cluster"])?;
    assert_eq!(recap.matches("changed=0").count(), 2, "{recap}");
    assert!(!recap.contains("[WARNING]"), "{recap}");
    assert_eq!(example.plan()?, None, "nothing has changed for terraform either");
    for (output, file) in FILES {
        let now = example.run(&["output", "-raw", output])?.ok()?;
        assert_eq!(now, fs::read_to_string(example.path(file))?, "{file} is stable");
    }

    same_facts(&collection, &example)?;
    the_script_says_the_same(&collection, &example)?;
    a_changed_host_key_is_refused(&lab, &example)?;
    through_a_bastion(&lab, &collection)?;
    example.destroy().map(drop)
}

/// `drbd_info` and the data source print the same facts.
fn same_facts(collection: &Collection, example: &Workspace<'_>) -> Result<()> {
    let host = "data \"drbd_host\" \"h1\" {\n  ssh = drbd_node.this[\"h1\"].ssh\n}\noutput \"facts\" { value = data.drbd_host.h1.facts_json }\n";
    example.write("facts.tf", host)?;
    example.apply()?;
    let by_terraform: Value = serde_json::from_str(&example.run(&["output", "-raw", "facts"])?.ok()?)?;
    let said = ansible(collection, example, "ansible", &["h1", "-m", "replivol.drbd.drbd_info"])?;
    let (_, reply) = said.split_once("=> ").with_context(|| said.clone())?;
    let by_ansible: Value = serde_json::from_str(reply)?;
    ensure!(by_terraform["resources"]["r0"]["running"]["role"] == "Secondary", "{by_terraform}");
    assert_eq!(by_ansible["facts"], by_terraform);
    Ok(())
}

/// The inventory script, which keeps no file, gives `ansible-inventory` the same hosts and variables, but for the place of the SSH files.
fn the_script_says_the_same(collection: &Collection, example: &Workspace<'_>) -> Result<()> {
    let listed = |source: &str| -> Result<Value> {
        let mut inventory = collection.ansible(
            example.lab,
            "ansible-inventory",
            &example.path(""),
            &["-i", source, "--list"],
        )?;
        inventory
            .env("DRBD_INVENTORY_DIRECTORY", example.path(""))
            .env("TF_CLI_CONFIG_FILE", example.path("terraformrc"));
        let mut list: Value = serde_json::from_str(&support::run(&mut inventory)?.ok()?)?;
        for host in list["_meta"]["hostvars"].as_object_mut().context("hosts")?.values_mut() {
            ensure!(
                host["ansible_ssh_common_args"].as_str().is_some_and(|args| args.starts_with("-F ")),
                "{host}"
            );
            host["ansible_ssh_common_args"] = Value::Null;
        }
        Ok(list)
    };
    std::os::unix::fs::symlink(support::made::dist("drbd-host")?, example.path("drbd_inventory"))?;
    let (script, file) = (listed("drbd_inventory")?, listed("inventory.yml")?);
    assert_eq!(script, file);

    // And a play reaches the hosts with it.
    let mut ping = collection.ansible(
        example.lab,
        "ansible",
        &example.path(""),
        &["-i", "drbd_inventory", "drbd", "-m", "replivol.drbd.drbd_info"],
    )?;
    ping.env("DRBD_INVENTORY_DIRECTORY", example.path(""))
        .env("TF_CLI_CONFIG_FILE", example.path("terraformrc"));
    let said = support::run(&mut ping)?.ok()?;
    assert_eq!(said.matches("| SUCCESS").count(), 2, "{said}");
    Ok(())
}

fn ssh(lab: &Lab, example: &Workspace<'_>, host: &str) -> Result<support::Output> {
    let mut ssh = Command::new("ssh");
    ssh.arg("-F").arg(example.path("ssh_config")).args(["-o", "BatchMode=yes", host, "uname", "-n"]);
    support::run(&mut lab.enter(&ssh))
}

fn a_changed_host_key_is_refused(lab: &Lab, example: &Workspace<'_>) -> Result<()> {
    assert_eq!(ssh(lab, example, "h1")?.ok()?, "h1\n");
    let known = fs::read_to_string(example.path("known_hosts"))?;
    example.write("known_hosts", &known.replace("h1 ", "h0 ").replace("h2 ", "h1 ").replace("h0 ", "h2 "))?;
    let refused = ssh(lab, example, "h1")?;
    ensure!(!refused.success() && refused.stderr.contains("Host key verification failed"), "{refused:?}");
    example.write("known_hosts", &known)
}

/// h1, reached through h2: one file with options, which also reaches the jump host.
fn through_a_bastion(lab: &Lab, collection: &Collection) -> Result<()> {
    let configuration = format!(
        "terraform {{\n  required_providers {{\n    drbd = {{ source = \"replivol/drbd\" }}\n  }}\n}}\n\
         provider \"drbd\" {{\n  ssh = {{\n    user = \"root\"\n    private_key_file = {:?}\n    known_hosts_files = [{:?}]\n    \
         bastion = {{ host = \"{}\" }}\n  }}\n}}\n\
         resource \"drbd_node\" \"h1\" {{\n  name = \"h1\"\n  ssh = {{ host = \"{}\" }}\n}}\n\
         data \"drbd_inventory\" \"this\" {{\n  nodes = {{ h1 = drbd_node.h1 }}\n}}\n\
         output \"inventory\" {{ value = data.drbd_inventory.this.yaml }}\n\
         output \"ssh_config\" {{ value = data.drbd_inventory.this.ssh_config }}\n\
         output \"known_hosts\" {{ value = data.drbd_inventory.this.known_hosts }}\n",
        lab.key(),
        lab.known_hosts(),
        lab.address(2),
        lab.address(1)
    );
    let behind = Workspace::with(lab, "behind", &configuration)?;
    behind.apply()?;
    write_files(&behind)?;
    // An option on the command line would not reach the jump host; that the connection comes from there shows the way.
    let from = ansible(
        collection,
        &behind,
        "ansible",
        &["h1", "-m", "ansible.builtin.raw", "-a", "echo $SSH_CONNECTION"],
    )?;
    ensure!(from.contains(&format!("{} ", lab.address(2))), "{from}");
    behind.destroy().map(drop)
}
