// SPDX-License-Identifier: MPL-2.0
//! What goes wrong on the way to a host, and on it: a clear error, nothing lost, nothing forgotten.

use super::workspace::{Workspace, one_line};
use anyhow::Result;
use std::time::{Duration, Instant};
use support::Lab;

/// Nothing of the product's making is on a host.
fn untouched(lab: &Lab, host: usize) -> Result<()> {
    let left = lab.sh(host, "ls /etc/drbd.d/*.res 2>/dev/null; vgs --noheadings 2>/dev/null; true")?;
    assert_eq!(left.trim(), "", "h{host} was touched");
    Ok(())
}

#[test]
fn wrong_keys_unreachable_hosts_and_refused_sudo_touch_nothing() -> Result<()> {
    let lab = Lab::up(2)?;
    let example = Workspace::example(&lab, "two-hosts")?;
    let fine = std::fs::read_to_string(example.path("terraform.tfvars"))?;

    // h1's key under h2's name: somebody in the middle looks like this.
    let keys = std::fs::read_to_string(lab.known_hosts())?;
    let key_of = |name: &str| {
        let line = keys.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_once(' ').map(|(_, key)| key.to_owned()).unwrap_or_default()
    };
    let swapped = format!("{} {}\n{} {}\n", lab.address(1), key_of("h1"), lab.address(2), key_of("h1"));
    example.write("swapped", &swapped)?;
    let use_keys =
        |file: &str| fine.replace(&format!("{:?}", lab.known_hosts()), &format!("{:?}", example.path(file)));
    example.write("terraform.tfvars", &use_keys("swapped"))?;
    let said = example.apply_refused()?;
    assert!(said.contains(&lab.address(2)) && said.contains("SHA256:"), "{said}");
    untouched(&lab, 2)?;

    // Nobody vouches for any key.
    example.write("empty", "")?;
    example.write("terraform.tfvars", &use_keys("empty"))?;
    let said = example.apply_refused()?;
    assert!(said.contains("known"), "{said}");
    untouched(&lab, 2)?;

    // A user who may not use sudo.
    example.write("terraform.tfvars", &format!("{fine}user = \"nosudo\"\n"))?;
    let said = example.apply_refused()?;
    assert!(said.contains("sudo"), "{said}");
    untouched(&lab, 2)?;

    // A host that does not answer: an error in time that names it.
    example.write("terraform.tfvars", &fine)?;
    lab.crash(2)?;
    let started = Instant::now();
    let said = example.apply_refused()?;
    assert!(started.elapsed() < Duration::from_secs(90), "it took {:?}", started.elapsed());
    assert!(said.contains(&lab.address(2)), "{said}");
    lab.boot(2)?;

    // And then as the unprivileged user with sudo, from where the failures left it.
    example.write("terraform.tfvars", &format!("{fine}user = \"ops\"\n"))?;
    example.apply()?;
    assert_eq!(example.plan()?, None);
    assert_eq!(lab.sh(1, "drbdadm dstate r0")?.trim(), "UpToDate/UpToDate");
    Ok(())
}

#[test]
fn a_lost_host_is_a_warning_and_never_a_volume_that_is_gone() -> Result<()> {
    let lab = Lab::up(2)?;
    let example = Workspace::example(&lab, "two-hosts")?;
    example.apply()?;
    let before = example.state()?;

    lab.crash(2)?;
    let output = example.run(&["plan", "-input=false", "-no-color"])?;
    assert!(output.success(), "a plan without one of its hosts: {output:?}");
    let said = one_line(&output.stdout);
    assert!(said.contains(&lab.address(2)) && said.contains("No changes"), "{said}");
    // What needs the host is refused where it is needed, and the other host is not touched.
    let refused = example.run(&["destroy", "-auto-approve", "-input=false", "-no-color"])?;
    assert!(!refused.success() && one_line(&refused.stderr).contains(&lab.address(2)), "{refused:?}");
    assert_eq!(lab.sh(1, "drbdadm dstate r0 | cut -d/ -f1")?.trim(), "UpToDate");
    // (Terraform itself forgets data sources on the way.)
    let managed = |mut state: Vec<String>| {
        state.retain(|address| !address.starts_with("data."));
        state
    };
    assert_eq!(managed(example.state()?), managed(before), "nothing was forgotten");

    // After the power is back nothing runs there (no boot unit is started): the plan says so, apply repairs it, and the
    // data generation is the one that was there.
    let generation = lab.sh(1, "drbdadm get-gi r0 | cut -d: -f1")?;
    lab.boot(2)?;
    let plan = example.plan()?.unwrap_or_default();
    assert!(plan.contains("h2: it is not up"), "{plan}");
    example.apply()?;
    lab.eventually(2, Duration::from_secs(30), "drbdadm dstate r0 | grep -q '^UpToDate/UpToDate'")?;
    assert_eq!(lab.sh(2, "drbdadm get-gi r0 | cut -d: -f1")?, generation);
    assert_eq!(example.plan()?, None);
    Ok(())
}

#[test]
fn a_link_that_is_cut_between_two_hosts_is_found_before_anything_is_made() -> Result<()> {
    let lab = Lab::up(2)?;
    let example = Workspace::example(&lab, "two-hosts")?;
    lab.cut_pair(1, 2)?;
    let said = example.apply_refused()?;
    for part in [
        "Replication ports are not reachable pairwise: h1",
        "Replication ports are not reachable pairwise: h2",
        "is shut on h1 after 20 s; last seen: from h1 to h2 at 10.99.0.12:7000/TCP:",
        "from h2 to h1 at 10.99.0.11:7000/TCP: nothing arrived",
        "Let TCP port 7000 through between h1 and h2 in both directions",
        "drbd_security_group",
    ] {
        assert!(said.contains(part), "{part:?}: {said}");
    }
    for host in [1, 2] {
        // Its storage pool is the node's, and there; of the volume nothing is.
        let left =
            lab.sh(host, "ls /etc/drbd.d/*.res 2>/dev/null; lvs --noheadings -o lv_name | grep r0; true")?;
        assert_eq!(left.trim(), "", "h{host}");
    }
    assert!(!example.state()?.contains(&"drbd_replicated_volume.r0".to_owned()));

    lab.heal_pair(1, 2)?;
    example.apply()?;
    assert_eq!(lab.sh(1, "drbdadm dstate r0")?.trim(), "UpToDate/UpToDate");
    // What runs is not asked again: DRBD has the ports.
    assert_eq!(example.plan()?, None);
    Ok(())
}

#[test]
fn a_disk_that_holds_something_is_refused_and_keeps_it() -> Result<()> {
    let lab = Lab::up(2)?;
    let example = Workspace::example(&lab, "two-hosts")?;
    lab.sh(2, "mkfs.ext4 -q -L precious /dev/ubdb && sync")?;
    let before = lab.sh(2, "sha256sum </dev/ubdb")?;
    let said = example.apply_refused()?;
    assert!(said.contains("ext4") && said.contains("precious") && said.contains("/dev/ubdb"), "{said}");
    assert_eq!(lab.sh(2, "sha256sum </dev/ubdb")?, before, "the disk is as it was, byte for byte");
    Ok(())
}

#[test]
fn a_volume_in_use_is_not_destroyed() -> Result<()> {
    let lab = Lab::up(2)?;
    let example = Workspace::example(&lab, "two-hosts")?;
    example.apply()?;
    lab.sh(
        1,
        "drbdadm primary r0 && mkfs.ext4 -q /dev/drbd1000 && mkdir -p /mnt/r0 && mount /dev/drbd1000 /mnt/r0",
    )?;
    let before = example.state()?;
    let output = example.run(&["destroy", "-input=false", "-auto-approve", "-no-color"])?;
    assert!(!output.success());
    let said = one_line(&output.stderr);
    assert!(said.contains("Primary on h1"), "{said}");
    assert_eq!(lab.sh(2, "drbdadm dstate r0")?.trim(), "UpToDate/UpToDate", "the other replica is untouched");
    assert!(example.state()?.contains(&"drbd_replicated_volume.r0".to_owned()), "{before:?}");
    lab.sh(1, "umount /mnt/r0 && drbdadm secondary r0")?;
    example.destroy()?;
    Ok(())
}

#[test]
fn a_secret_is_in_the_file_on_the_host_and_nowhere_else() -> Result<()> {
    let lab = Lab::up(2)?;
    let example = Workspace::example(&lab, "two-hosts")?;
    example.replace(
        "main.tf",
        "  size           = var.size\n",
        "  size           = var.size\n  shared_secret_wo         = \"correct-horse-battery\"\n  shared_secret_wo_version = 1\n",
    )?;
    let said = example.apply()?;
    assert!(!said.contains("correct-horse"), "{said}");
    assert!(!example.state_file()?.contains("correct-horse"), "the state holds the secret");
    assert!(lab.sh(1, "cat /etc/drbd.d/r0.res")?.contains("correct-horse-battery"));
    assert_eq!(lab.sh(1, "stat -c %a /etc/drbd.d/r0.res")?.trim(), "600");
    assert_eq!(example.plan()?, None);
    let facts = lab.sh(1, "$(ls /var/lib/drbd-host/bin/drbd-host-* | head -1) facts --json")?;
    assert!(!facts.contains("correct-horse"), "{facts}");
    Ok(())
}
