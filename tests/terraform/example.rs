// SPDX-License-Identifier: MPL-2.0
//! The example, its life from blank disks to nothing left: created, unchanged, grown, tuned, drifted, destroyed.

use super::workspace::Workspace;
use anyhow::{Context as _, Result, ensure};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use support::made::checkout;
use support::{Collection, Lab};

const BOTH: [usize; 2] = [1, 2];

fn disk_states(lab: &Lab) -> Result<[String; 2]> {
    Ok([lab.sh(1, "drbdadm dstate r0")?.trim().to_owned(), lab.sh(2, "drbdadm dstate r0")?.trim().to_owned()])
}

/// Writes a file through a file system on `from`; returns its checksum.
fn write_file(lab: &Lab, from: usize) -> Result<String> {
    lab.sh(
        from,
        "drbdadm primary r0 && mkfs.ext4 -q /dev/drbd1000 && mkdir -p /mnt/r0 && mount /dev/drbd1000 /mnt/r0 && \
         head -c 4M /dev/urandom >/mnt/r0/file && sync && sha256sum </mnt/r0/file && umount /mnt/r0 && drbdadm secondary r0",
    )
}

fn read_file(lab: &Lab, on: usize) -> Result<String> {
    lab.sh(
        on,
        "drbdadm primary r0 && mkdir -p /mnt/r0 && mount -o ro /dev/drbd1000 /mnt/r0 && sha256sum </mnt/r0/file && \
         umount /mnt/r0 && drbdadm secondary r0",
    )
}

/// The example's playbooks, as its README runs them; what Ansible says of the last.
fn playbook(lab: &Lab, collection: &Collection, dir: &Path) -> Result<String> {
    if !dir.exists() {
        let example = checkout().join("examples-ansible/two-hosts");
        support::run(Command::new("cp").arg("-rL").arg(example).arg(dir))?.ok()?;
        play(lab, collection, dir, "install.yml")?;
    }
    play(lab, collection, dir, "site.yml")
}

fn play(lab: &Lab, collection: &Collection, dir: &Path, playbook: &str) -> Result<String> {
    let mut ansible = collection.ansible(lab, "ansible-playbook", dir, &["-i", "inventory.yml", playbook])?;
    support::run(ansible.env("SSH_CONFIG", lab.ssh_config()))?.ok()
}

#[test]
fn the_example_lives_from_blank_disks_to_nothing_left() -> Result<()> {
    let lab = Lab::up(2)?;
    let (example, collection) = (Workspace::example(&lab, "two-hosts")?, Collection::install()?);

    example.apply()?;
    assert_eq!(disk_states(&lab)?, ["UpToDate/UpToDate"; 2]);
    let sum = write_file(&lab, 1)?;
    assert_eq!(read_file(&lab, 2)?, sum, "what h1 wrote is on h2");

    assert_eq!(example.plan()?, None, "a plan after apply is empty");
    let second = example.apply()?;
    assert!(second.contains("0 added, 0 changed, 0 destroyed"), "{second}");

    // What terraform made, the playbook finds unchanged.
    let recap = playbook(&lab, &collection, &example.path("playbook"))?;
    assert_eq!(recap.matches("changed=0").count(), 2, "{recap}");

    // Grown while it holds data.
    example.write("size.auto.tfvars", "size = \"128MiB\"\n")?;
    let plan = example.plan()?.context("a larger size is a change")?;
    assert!(plan.contains("64MiB") && plan.contains("128MiB") && plan.contains("1 to change"), "{plan}");
    example.apply()?;
    for host in BOTH {
        let bytes: u64 = lab
            .sh(host, "blockdev --getsize64 /dev/drbd1000 || cat /sys/block/drbd1000/size")?
            .trim()
            .parse()?;
        assert!(bytes >= 128 << 20 || bytes * 512 >= 128 << 20, "h{host} has {bytes}");
    }
    assert_eq!(read_file(&lab, 2)?, sum, "growing keeps the data");
    assert_eq!(example.plan()?, None);

    // Smaller is refused while planning.
    example.write("size.auto.tfvars", "size = \"64MiB\"\n")?;
    let refused = example.run(&["plan", "-input=false", "-no-color"])?;
    assert!(
        !refused.success() && refused.stderr.to_lowercase().contains("shrink"),
        "{}{}",
        refused.stdout,
        refused.stderr
    );
    example.write("size.auto.tfvars", "size = \"128MiB\"\n")?;

    // An option, changed while it runs, without a new connection.
    example.replace(
        "main.tf",
        "net          = { protocol = \"C\" }",
        "net          = { protocol = \"C\", max_buffers = 4000 }",
    )?;
    example.apply()?;
    for host in BOTH {
        let shown = lab.sh(host, "drbdsetup show r0")?;
        assert!(shown.contains("max-buffers") && shown.contains("4000"), "h{host}: {shown}");
    }
    assert_eq!(example.plan()?, None);

    let generation = lab.sh(1, "drbdadm get-gi r0 | cut -d: -f1")?;
    drift_is_shown_and_repaired(&lab, &example)?;
    assert_eq!(
        lab.sh(1, "drbdadm get-gi r0 | cut -d: -f1")?,
        generation,
        "repairing began no new data generation"
    );
    assert_eq!(read_file(&lab, 1)?, sum);

    example.destroy()?;
    for host in BOTH {
        let left = lab.sh(
            host,
            "ls /etc/drbd.d/*.res 2>/dev/null; vgs --noheadings 2>/dev/null; grep cs: /proc/drbd || true",
        )?;
        assert_eq!(left.trim(), "", "h{host} still has something");
    }
    assert!(example.state()?.is_empty());

    // The disks still hold what was on them, and it was given up: no consent is asked for, and nothing of it shows.
    example.apply()?;
    for host in BOTH {
        lab.sh(host, "cmp --bytes=1048576 /dev/drbdpool/r0_00000 /dev/zero")?;
    }
    Ok(())
}

fn drift_is_shown_and_repaired(lab: &Lab, example: &Workspace<'_>) -> Result<()> {
    // Somebody takes it down on h2 and edits the file on h1.
    lab.sh(2, "drbdadm down r0")?;
    lab.sh(1, "sed -i 's/4000/8000/' /etc/drbd.d/r0.res && drbdadm adjust r0")?;
    let plan = example.plan()?.context("drift is a change")?;
    assert!(plan.contains("h2: it is not up"), "{plan}");
    assert!(plan.contains("max-buffers 8000"), "{plan}");
    assert!(plan.contains("0 to add, 1 to change, 0 to destroy"), "{plan}");
    example.apply()?;
    for host in BOTH {
        lab.eventually(host, Duration::from_secs(30), "drbdadm dstate r0 | grep -q '^UpToDate/UpToDate'")?;
    }
    assert!(lab.sh(1, "drbdsetup show r0")?.contains("4000"));
    assert_eq!(example.plan()?, None);
    Ok(())
}

#[test]
fn what_the_playbook_made_terraform_takes_over_and_data_outlive_a_destroy_that_retains() -> Result<()> {
    let lab = Lab::up(2)?;
    let (example, collection) = (Workspace::example(&lab, "two-hosts")?, Collection::install()?);
    let recap = playbook(&lab, &collection, &example.path("playbook"))?;
    ensure!(recap.contains("failed=0"), "{recap}");
    let sum = write_file(&lab, 2)?;
    let before = lab.sh(1, "drbdadm get-gi r0")?;

    // A volume that terraform did not make may hold data: it is not taken over without a word, but imported.
    let said = example.apply_refused()?;
    assert!(said.contains("terraform import"), "{said}");
    let id = format!("r0@{},{}", lab.address(1), lab.address(2));
    example.run(&["import", "-input=false", "-no-color", "drbd_replicated_volume.r0", &id])?.ok()?;
    let plan = example.plan()?.unwrap_or_default();
    assert!(plan.contains("0 to add") && plan.contains("0 to destroy"), "{plan}");
    example.apply()?;
    assert_eq!(lab.sh(1, "drbdadm get-gi r0")?, before, "taking over began no new data generation");
    assert_eq!(example.plan()?, None);
    assert_eq!(read_file(&lab, 1)?, sum);

    example.replace(
        "main.tf",
        "  size           = var.size\n",
        "  size           = var.size\n  on_destroy     = \"retain\"\n",
    )?;
    example.apply()?;
    example.run(&["destroy", "-input=false", "-auto-approve", "-target=drbd_replicated_volume.r0"])?.ok()?;
    for host in BOTH {
        assert_eq!(lab.sh(host, "ls /etc/drbd.d/*.res 2>/dev/null || true")?.trim(), "");
        assert!(
            lab.sh(host, "lvs --noheadings -o lv_name drbdpool")?.contains("r0_00000"),
            "h{host} keeps the data"
        );
    }
    // Declared again, the data are there again.
    let recap = playbook(&lab, &collection, &example.path("playbook"))?;
    ensure!(recap.contains("failed=0"), "{recap}");
    for host in BOTH {
        lab.eventually(host, Duration::from_secs(30), "drbdadm dstate r0 | grep -q '^UpToDate/UpToDate'")?;
    }
    assert_eq!(read_file(&lab, 1)?, sum);
    Ok(())
}
