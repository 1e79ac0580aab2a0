// SPDX-License-Identifier: MPL-2.0
//! The three-zones example from an empty account: the real API client, real SSH through a bastion, real DRBD. Two zones, as
//! the kernel's DRBD is 8.4.

use super::workspace::{Workspace, one_line};
use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use std::time::Duration;
use support::{Cloud, Lab};

const ZONES: [usize; 2] = [2, 10];

fn up_to_date(lab: &Lab) -> Result<()> {
    for host in ZONES {
        lab.eventually(host, Duration::from_secs(60), "drbdadm dstate r0 | grep -q '^UpToDate/UpToDate'")?;
    }
    Ok(())
}

#[test]
fn from_an_empty_account_to_a_replicated_volume_and_back() -> Result<()> {
    let lab = Lab::up(1)?;
    let cloud = Cloud::start(&lab)?;
    let example = Workspace::three_zones(&lab, &cloud, &["a", "b"], "debian-12-amd64-*")?;
    example.apply()?;
    up_to_date(&lab)?;
    let (instances, volumes) = cloud.there()?;
    assert_eq!((instances.len(), volumes.len()), (2, 2));
    for volume in &volumes {
        assert_eq!(volume["tags"]["project"], "three-zones", "{volume}");
        assert_eq!(volume["tags"]["replivol:role"], "data/d0", "{volume}");
    }
    assert_eq!(example.plan()?, None);

    cloud.ask(&json!({ "op": "calls" }))?;
    example.apply()?;
    let calls: Vec<String> = serde_json::from_value(cloud.ask(&json!({ "op": "calls" }))?)?;
    ensure!(calls.iter().all(|call| call.starts_with("Describe")), "an apply without a change: {calls:?}");
    ensure!(calls.len() <= 5, "{calls:?}");

    an_instance_that_is_lost_is_replaced_with_its_disk(&lab, &cloud, &example)?;
    a_disk_that_is_lost_too_is_made_anew_unless_it_was_the_last_good_one(&lab, &cloud, &example)?;

    let groups = || Ok::<_, anyhow::Error>(cloud.ask(&json!({ "op": "groups" }))?.as_array().map(Vec::len));
    assert_eq!(groups()?, Some(2), "the bastion's, and that of the nodes");
    example.destroy()?;
    let (instances, volumes) = cloud.there()?;
    assert_eq!((instances.len(), volumes.len()), (0, 0));
    assert_eq!(groups()?, Some(1));
    Ok(())
}

fn an_instance_that_is_lost_is_replaced_with_its_disk(
    lab: &Lab,
    cloud: &Cloud<'_>,
    example: &Workspace<'_>,
) -> Result<()> {
    lab.sh(2, "drbdadm primary r0 && mkfs.ext4 -q /dev/drbd1000 && mount /dev/drbd1000 /mnt && echo before >/mnt/x && umount /mnt && drbdadm secondary r0")?;
    let (instances, before) = cloud.there()?;
    let lost =
        instances.iter().find(|instance| instance["tags"]["replivol:node"] == "drbd-b").context("drbd-b")?;
    cloud.ask(&json!({ "op": "terminate", "instance": lost["id"] }))?;
    lab.sh(2, "drbdadm primary r0 && mount /dev/drbd1000 /mnt && echo after >>/mnt/x && umount /mnt && drbdadm secondary r0")?;

    let plan = example.plan()?.context("a lost instance is a change")?;
    assert!(plan.contains("Its data disks stay: data/d0"), "{plan}");
    let said = one_line(&plan);
    let (lacks, unit) = said
        .split("Its replica lacks ")
        .nth(1)
        .and_then(|rest| rest.split(" now;").next()?.split_once(' '))
        .context(said.clone())?;
    let unit = if unit == "KiB" { 1.0 } else { 1024.0 };
    let lacks = lacks.parse::<f64>()? * unit;
    ensure!(said.contains("Volume r0: the replica on drbd-b is behind"), "{said}");
    ensure!(lacks > 0.0 && lacks < 16.0 * 1024.0, "what was written meanwhile, not {lacks} KiB");
    // The files for Ansible are written anew, as the host key is another; of ours nothing is made or destroyed.
    assert!(plan.contains("# drbd_node.this[\"b\"] will be updated in-place"), "{plan}");
    for line in plan.lines().filter(|line| line.trim_start().starts_with("# drbd_")) {
        assert!(line.ends_with("updated in-place") || line.ends_with("has changed"), "{plan}");
    }
    example.apply()?;
    up_to_date(lab)?;
    let (instances, after) = cloud.there()?;
    assert_eq!(instances.len(), 2);
    let ids =
        |volumes: &[serde_json::Value]| volumes.iter().map(|volume| volume["id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&before), ids(&after), "the same disks");
    let resync = lab.sh(2, "dmesg | grep -o 'will sync [0-9]* KB' | tail -1")?;
    let kib: u64 = resync.split_whitespace().nth(2).context("a resync")?.parse()?;
    ensure!(kib < 16 * 1024, "of 64 MiB only the changes are sent, not {kib} KiB");
    // The replica that came back has what was written while it was away, by a synchronisation of the changes only.
    lab.sh(10, "drbdadm primary r0 && mount -o ro /dev/drbd1000 /mnt && grep -q before /mnt/x && grep -q after /mnt/x; r=$?; umount /mnt; drbdadm secondary r0; exit $r")?;
    assert_eq!(example.plan()?, None);
    Ok(())
}

fn a_disk_that_is_lost_too_is_made_anew_unless_it_was_the_last_good_one(
    lab: &Lab,
    cloud: &Cloud<'_>,
    example: &Workspace<'_>,
) -> Result<()> {
    let of_b = |objects: Vec<serde_json::Value>| {
        let one = objects.into_iter().find(|object| object["tags"]["replivol:node"] == "drbd-b");
        one.map(|object| object["id"].clone()).context("drbd-b")
    };
    let (instances, volumes) = cloud.there()?;
    cloud.ask(&json!({ "op": "terminate", "instance": of_b(instances)? }))?;
    cloud.ask(&json!({ "op": "delete_volume", "volume": of_b(volumes)? }))?;

    lab.eventually(2, Duration::from_secs(60), "drbdadm cstate r0 | grep -qv Connected")?;
    lab.sh(2, "drbdadm outdate r0")?;
    let refused = one_line(&example.plan().err().context("the last good copy was given up")?.to_string());
    ensure!(refused.contains("the last UpToDate copy of volume r0"), "{refused}");
    ensure!(refused.contains("drbd-a is Outdated"), "{refused}");
    let (instances, volumes) = cloud.there()?;
    assert_eq!((instances.len(), volumes.len()), (1, 1), "nothing is made");

    // What the refusal advises.
    lab.sh(2, "drbdadm primary --force r0 && drbdadm secondary r0")?;
    let plan = one_line(&example.plan()?.context("a lost disk is a change")?);
    ensure!(plan.contains("Volume r0: the replica on drbd-b is lost"), "{plan}");
    ensure!(plan.contains("all 67.9 MiB are sent to it from drbd-a."), "{plan}");
    example.apply()?;
    up_to_date(lab)?;
    let resync = lab.sh(2, "dmesg | grep -o 'will sync [0-9]* KB' | tail -1")?;
    assert_eq!(resync.trim(), "will sync 69592 KB");
    lab.sh(10, "drbdadm primary r0 && mount -o ro /dev/drbd1000 /mnt && grep -q before /mnt/x && grep -q after /mnt/x; r=$?; umount /mnt; drbdadm secondary r0; exit $r")?;
    assert_eq!(example.plan()?, None);
    Ok(())
}

/// A disk of each node, its pool and the volume on them grow in one apply, while the volume is in use.
#[test]
fn disks_pools_and_the_volume_grow_while_it_is_in_use() -> Result<()> {
    let lab = Lab::up(1)?;
    let cloud = Cloud::start(&lab)?;
    cloud.ask(&json!({ "op": "elastic" }))?;
    let example = Workspace::three_zones(&lab, &cloud, &["a", "b"], "debian-12-amd64-*")?;
    example.replace("terraform.tfvars", "size = \"64MiB\"", "size = \"800MiB\"")?;
    example.apply()?;
    up_to_date(&lab)?;
    lab.sh(2, "drbdadm primary r0 && mkfs.ext4 -q /dev/drbd1000 && mount /dev/drbd1000 /mnt")?;
    let sum = lab.sh(2, "head -c 4M /dev/urandom >/mnt/file && sync && sha256sum </mnt/file")?;
    let pool = |host| -> Result<u64> {
        Ok(lab
            .sh(host, "lvs --noheadings --units b --nosuffix -o lv_size drbdpool/thinpool")?
            .trim()
            .parse()?)
    };
    let before = [pool(2)?, pool(10)?];

    example.replace("terraform.tfvars", "disk_size = \"1GiB\"", "disk_size = \"2GiB\"")?;
    example.replace("terraform.tfvars", "size = \"800MiB\"", "size = \"1100MiB\"")?;
    example.apply()?;
    for (host, before) in ZONES.into_iter().zip(before) {
        // In sectors; the device itself can only be opened where it is Primary.
        let size: u64 = lab.sh(host, "cat /sys/block/drbd1000/size")?.trim().parse()?;
        ensure!(size >= 1100 << 11, "the volume on h{host} has {size} sectors");
        let now = pool(host)?;
        ensure!(now >= before + (900 << 20), "the pool of h{host} had {before} bytes and has {now}");
    }
    assert!(cloud.there()?.1.iter().all(|volume| volume["size"] == 2));
    up_to_date(&lab)?;
    assert_eq!(example.plan()?, None);
    lab.sh(2, "resize2fs /dev/drbd1000 2>&1")?;
    assert_eq!(lab.sh(2, "sha256sum </mnt/file && umount /mnt && drbdadm secondary r0")?, sum);

    // A smaller one is refused in the plan.
    example.replace("terraform.tfvars", "disk_size = \"2GiB\"", "disk_size = \"1GiB\"")?;
    let output = example.run(&["plan", "-input=false", "-no-color"])?;
    ensure!(!output.success(), "a disk that shrinks was planned: {}", output.stdout);
    Ok(())
}

/// Another instance type, while the volume is mounted on that node, and while a process writes to it.
#[test]
fn a_node_in_use_gets_another_instance_after_its_users_were_stopped() -> Result<()> {
    let lab = Lab::up(1)?;
    let cloud = Cloud::start(&lab)?;
    let example = Workspace::three_zones(&lab, &cloud, &["a", "b"], "debian-12-amd64-*")?;
    example.apply()?;
    up_to_date(&lab)?;
    let of_b = || -> Result<String> {
        let one = cloud.there()?.0.into_iter().find(|instance| instance["tags"]["replivol:node"] == "drbd-b");
        Ok(one.context("drbd-b")?["id"].to_string())
    };
    let first = of_b()?;
    lab.sh(10, "drbdadm primary r0 && mkfs.ext4 -q /dev/drbd1000 && mount /dev/drbd1000 /mnt && mount --bind /mnt /srv")?;
    let sum = lab.sh(10, "head -c 4M /dev/urandom >/mnt/file && sha256sum </mnt/file")?;

    let refusing = "= each.key == \"b\" ? \"t3.small\" : var.instance_type\n    when_in_use = \"refuse\"";
    example.replace("main.tf", "= var.instance_type", refusing)?;
    let plan = one_line(&example.plan()?.context("another type is a change")?);
    ensure!(plan.contains("If a volume is Primary here at apply, that is refused."), "{plan}");
    let refused = one_line(&example.apply_refused()?);
    ensure!(refused.contains("r0 is Primary on drbd-b. Its instance was not touched."), "{refused}");
    assert_eq!((of_b()?, lab.sh(10, "sha256sum </mnt/file")?), (first.clone(), sum.clone()));

    example.replace("main.tf", "\"refuse\"", "\"stop\"")?;
    let plan = one_line(&example.plan()?.context("another type is a change")?);
    ensure!(plan.contains("r0 is Primary: unmount /mnt, unmount /srv, make r0 Secondary."), "{plan}");
    example.apply()?;
    up_to_date(&lab)?;
    let second = of_b()?;
    assert_ne!(first, second);
    // What was written is on the peer, in a file system that was unmounted and not cut off.
    let unmounted = "drbdadm primary r0 && ! dumpe2fs -h /dev/drbd1000 2>&1 | grep needs_recovery && mount /dev/drbd1000 /mnt";
    lab.sh(2, unmounted)?;
    assert_eq!(lab.sh(2, "sha256sum </mnt/file && umount /mnt && drbdadm secondary r0")?, sum);

    // A process ends with the shutdown of the guest, and gets to say its last word.
    let service = r#"trap "echo ended >&3; exit" TERM; while :; do echo line >&3; sleep 0.2 3>&-; done"#;
    lab.sh(10, &format!("drbdadm primary r0 && mount /dev/drbd1000 /mnt && (exec 3>>/mnt/log; setsid sh -c '{service}' >/dev/null 2>&1 </dev/null &)"))?;
    example.replace("main.tf", "t3.small", "t3.medium")?;
    let plan = one_line(&example.plan()?.context("another type is a change")?);
    ensure!(
        plan.contains("(sh) has /mnt/log open. Nothing was changed. The shutdown of the guest ends that."),
        "{plan}"
    );
    example.apply()?;
    up_to_date(&lab)?;
    assert_ne!(second, of_b()?);
    lab.sh(2, unmounted)?;
    assert_eq!(lab.sh(2, "tail -1 /mnt/log; umount /mnt && drbdadm secondary r0")?.trim(), "ended");
    assert_eq!(example.plan()?, None);
    Ok(())
}
