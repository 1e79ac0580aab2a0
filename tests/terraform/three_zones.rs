// SPDX-License-Identifier: MPL-2.0
//! Three zones, from an empty account: instances whose image has DRBD 9 (its kernel side simulated, `tests/drbd9`), one volume
//! on all of them, and the hand-over to Ansible. API client, SSH through the bastion, drbdadm, drbdmeta, LVM are real.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use support::{Cloud, Collection, Lab, drbd9};

use super::workspace::Workspace;

/// The first host in each zone's subnet.
const ZONES: [usize; 3] = [2, 10, 26];
const FILES: [&str; 3] = ["inventory.yml", "ssh_config", "known_hosts"];

#[test]
fn three_zones_from_an_empty_account_to_ansible_and_back() -> Result<()> {
    let lab = Lab::up(1)?;
    let cloud = Cloud::start(&lab)?;
    let example = Workspace::three_zones(&lab, &cloud, &["a", "b", "c"], "debian-12-drbd9-amd64-*")?;
    example.apply()?;
    for host in ZONES {
        assert_eq!(lab.sh(host, "drbdadm dstate r0")?, "UpToDate/UpToDate/UpToDate\n", "h{host}");
        assert_eq!(drbd9::peers(&lab, host, "sent")?, [json!(0), json!(0)], "h{host} sent blocks");
        assert_eq!(lab.sh(host, "cat /sys/module/drbd/version")?, "9.2.18\n");
    }
    let (instances, volumes) = cloud.there()?;
    assert_eq!((instances.len(), volumes.len()), (3, 3));
    assert_eq!(example.plan()?, None);

    let written = FILES.map(|file| fs::read(example.path(file)));
    let second = example.apply()?;
    assert!(second.contains("0 added, 0 changed, 0 destroyed"), "{second}");
    for (file, before) in FILES.iter().zip(written) {
        assert_eq!(fs::read(example.path(file))?, before.with_context(|| (*file).to_owned())?, "{file}");
    }

    the_playbook_finds_it_as_declared(&example)?;
    assert_eq!(example.plan()?, None, "nor has terraform anything to do after it");

    example.destroy()?;
    let (instances, volumes) = cloud.there()?;
    assert_eq!((instances.len(), volumes.len()), (0, 0));
    assert!(example.state()?.is_empty());
    for file in FILES {
        ensure!(!example.path(file).exists(), "{file} is left");
    }
    Ok(())
}

/// The very playbook of the Ansible example, where it lies, with the inventory that terraform wrote, and nothing else: no
/// SSH option, no key that is trusted on first sight. It brings its own program; of the volume it changes nothing.
fn the_playbook_finds_it_as_declared(example: &Workspace<'_>) -> Result<()> {
    let collection = Collection::install()?;
    let site = support::made::checkout().join("examples-ansible/three-zones/site.yml");
    let site = site.to_str().context("a path")?;
    let play = || -> Result<String> {
        let arguments = ["-i", "inventory.yml", site];
        support::run(&mut collection.ansible(
            example.lab,
            "ansible-playbook",
            &example.path(""),
            &arguments,
        )?)?
        .ok()
    };
    let first = play()?;
    let (_, volume) = first.split_once("PLAY [Look at all hosts before").context("the second play")?;
    ensure!(!volume.contains("changed: [") && !first.contains("[WARNING]"), "{first}");
    let second = play()?;
    assert_eq!(second.matches("changed=0").count(), 3, "{second}");
    assert_eq!(second.matches("failed=0").count(), 3, "{second}");
    Ok(())
}
