// SPDX-License-Identifier: MPL-2.0
//! From blank disks to a replicated volume on two hosts: the example playbook, beside shell tasks; then both again.

use crate::measure::{in_turns, repeat, time};
use crate::table::Table;
use anyhow::{Result, ensure};
use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use support::{Lab, made};

pub fn run(table: &mut Table) -> Result<()> {
    let home = tempfile::Builder::new().prefix("ans").tempdir()?;
    let examples = made::checkout().join("examples-ansible");
    support::run(Command::new(examples.join("make-library")).arg(home.path()).arg(made::dist("drbd-host")?))?
        .ok()?;
    fs::write(home.path().join("ansible.cfg"), "")?;
    let example = examples.join("two-hosts/site.yml");
    let shell = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/shell-tasks.yml");
    // Each first run has hosts of its own; the second run follows on the same.
    let again = RefCell::new((Vec::new(), Vec::new()));
    let twice = |playbook: &PathBuf| -> Result<[Duration; 2]> {
        let lab = Lab::up(2)?;
        let first = time(|| play(&lab, home.path(), playbook))?;
        let second = time(|| play(&lab, home.path(), playbook))?;
        let disks = lab.sh(1, "drbdadm dstate r0")?;
        ensure!(disks.trim() == "UpToDate/UpToDate", "{}: {disks}", playbook.display());
        Ok([first, second])
    };
    let (ours, other) = in_turns(
        repeat(3),
        |_| {
            let [first, second] = twice(&example)?;
            again.borrow_mut().0.push(second);
            Ok(first)
        },
        |_| {
            let [first, second] = twice(&shell)?;
            again.borrow_mut().1.push(second);
            Ok(first)
        },
    )?;
    table.ratio("playbook, first run: modules / shell tasks", ours, other, 1.0 / 3.0);
    let (ours, other) = again.into_inner();
    let median = crate::measure::median;
    table.ratio("playbook, again: modules / shell tasks", median(ours), median(other), 1.0 / 3.0);
    Ok(())
}

fn play(lab: &Lab, home: &Path, playbook: &Path) -> Result<()> {
    let inventory = made::checkout().join("examples-ansible/two-hosts/inventory.yml");
    let mut command = Command::new(made::ansible("ansible-playbook")?);
    command
        .arg("--inventory")
        .arg(inventory)
        .arg(playbook)
        .env("SSH_CONFIG", lab.ssh_config())
        .env("HOME", home)
        .env("ANSIBLE_CONFIG", home.join("ansible.cfg"))
        .env("ANSIBLE_LIBRARY", home.join("library"))
        .env("ANSIBLE_SSH_CONTROL_PATH_DIR", home.join("c"));
    support::run(&mut command)?.ok().map(drop)
}
