// SPDX-License-Identifier: MPL-2.0
//! The playbook `replivol.drbd.cluster` where there is nothing to do: two hosts, 20 resources and then 200, how long it takes,
//! how often it goes to each host, and, with `BASE`, an earlier commit's collection and program in turns with this one's.

use crate::measure::{all_in_turns, repeat, time};
use crate::table::Table;
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use support::{Lab, LabOptions, made};
use tempfile::TempDir;

const FEW: u16 = 20;
const MANY: u16 = 200;
/// Largest allowed ratios: to an earlier commit, and of many resources to few.
const TARGET: f64 = 0.3;
const GROWTH: f64 = 2.0;
const PROGRAM: &str = "/usr/local/sbin/drbd-host";

pub fn run(table: &mut Table) -> Result<()> {
    let lab = Lab::start(&LabOptions { hosts: 2, disks: 1, disk_size: "2G".to_owned() })?;
    let ours = Side::new(&made::collection()?, &made::dist("drbd-host")?)?;
    let base = match (made::base("replivol-drbd-0.1.0.tar.gz")?, made::base("drbd-host")?) {
        (Some(collection), Some(program)) => Some(Side::new(&collection, &program)?),
        _ => None,
    };
    ours.program(&lab)?;
    let pool = json!({ "volume_group": "vg0", "thin_pool": "pool", "disks": ["/dev/ubdb"] });
    (1..=2).try_for_each(|host| call(&lab, host, "drbd_storage_pool", std::slice::from_ref(&pool)))?;
    make(&lab, 0..FEW)?;
    let what = |count| format!("role cluster, nothing to do, {count} resources");
    let few = measured(&lab, &ours, base.as_ref(), FEW)?;
    match few.as_slice() {
        [ours, base] => table.ratio(&format!("{} / of BASE", what(FEW)), *ours, *base, TARGET),
        _ => table.figure(&what(FEW), few.first().copied().unwrap_or(f64::NAN) * 1000.0, "ms", None),
    }
    make(&lab, FEW..MANY)?;
    let many = measured(&lab, &ours, None, MANY)?;
    if let ([many, ..], [few, ..]) = (many.as_slice(), few.as_slice()) {
        table.ratio(&format!("{} / {FEW}", what(MANY)), *many, *few, GROWTH);
    }
    let visits = ours.executions(&lab, MANY)?;
    table.figure(&format!("{}: executions", what(MANY)), visits as f64 / 2.0, "per host", Some(3.0));
    Ok(())
}

fn measured(lab: &Lab, ours: &Side, base: Option<&Side>, count: u16) -> Result<Vec<f64>> {
    let mut own = |_| ours.play(lab, count);
    let Some(base) = base else { return all_in_turns(repeat(3), &mut [&mut own]) };
    all_in_turns(repeat(3), &mut [&mut own, &mut |_| base.play(lab, count)])
}

fn name(number: u16) -> String {
    format!("r{number}")
}

fn declaration(number: u16) -> Value {
    let storage = json!({ "lvm_thin": { "volume_group": "vg0", "thin_pool": "pool" } });
    json!({
        "name": name(number), "port": 7100 + number,
        "nodes": { "h1": { "node_id": 0, "address": "10.99.0.11", "storage": storage },
            "h2": { "node_id": 1, "address": "10.99.0.12", "storage": storage } },
        "volumes": { "0": { "minor": 1000 + number, "size": "4MiB" } },
    })
}

/// Resources with good data on both hosts.
fn make(lab: &Lab, numbers: std::ops::Range<u16>) -> Result<()> {
    let all: Vec<Value> = numbers.clone().map(declaration).collect();
    (1..=2).try_for_each(|host| call(lab, host, "drbd_resource", &all))?;
    for name in numbers.map(name) {
        lab.eventually(1, Duration::from_secs(60), &format!("drbdadm cstate {name} | grep -qx Connected"))?;
        lab.sh(1, &format!("drbdadm new-current-uuid --clear-bitmap {name}/0"))?;
    }
    Ok(())
}

/// Calls of a module, one after the other, in one session.
fn call(lab: &Lab, host: usize, module: &str, arguments: &[Value]) -> Result<()> {
    let lines: String = arguments.iter().map(|value| format!("{value}\n")).collect();
    let each = format!(
        "while read -r line; do echo \"$line\" | {PROGRAM} {module} - >/run/answer || {{ cat /run/answer; exit 1; }}; done"
    );
    lab.ssh_with_input(host, &each, lines.as_bytes())?.ok().map(drop)
}

/// A collection with its program.
struct Side {
    home: TempDir,
    program: PathBuf,
}

impl Side {
    fn new(collection: &Path, program: &Path) -> Result<Self> {
        let home = tempfile::Builder::new().prefix("ans").tempdir()?;
        fs::write(home.path().join("ansible.cfg"), "")?;
        let side = Self { home, program: program.to_owned() };
        let mut galaxy = side.command("ansible-galaxy")?;
        galaxy.args(["collection", "install", "--offline", "--collections-path"]);
        galaxy.arg(side.home.path().join("collections")).arg(collection);
        support::run(&mut galaxy)?.ok()?;
        Ok(side)
    }

    fn command(&self, program: &str) -> Result<Command> {
        let mut command = Command::new(made::ansible(program)?);
        command
            .env("HOME", self.home.path())
            .env("ANSIBLE_CONFIG", self.home.path().join("ansible.cfg"))
            .env("ANSIBLE_COLLECTIONS_PATH", self.home.path().join("collections"));
        Ok(command)
    }

    fn program(&self, lab: &Lab) -> Result<()> {
        (1..=2).try_for_each(|host| {
            lab.write(host, PROGRAM, &fs::read(&self.program)?)?;
            lab.sh(host, &format!("chmod 755 {PROGRAM}")).map(drop)
        })
    }

    fn playbook(&self, lab: &Lab, count: u16, arguments: &[&str]) -> Result<Command> {
        let all: serde_json::Map<String, Value> =
            (0..count).map(|number| (name(number), declaration(number))).collect();
        let pools = json!({ "data": { "volume_group": "vg0", "thin_pool": "pool", "disks": ["/dev/ubdb"] } });
        let vars = json!({ "drbd_resources": all, "drbd_storage_pools": pools,
            "ansible_ssh_common_args": format!("-F {}", lab.ssh_config().display()), "ansible_pipelining": true });
        let inventory = json!({ "drbd": { "hosts": { "h1": {}, "h2": {} }, "vars": vars } });
        let path = self.home.path().join("inventory.json");
        fs::write(&path, inventory.to_string())?;
        let mut command = self.command("ansible-playbook")?;
        command.arg("--inventory").arg(path).arg("replivol.drbd.cluster").args(arguments);
        command.env("ANSIBLE_SSH_CONTROL_PATH_DIR", self.home.path().join("c"));
        Ok(command)
    }

    fn play(&self, lab: &Lab, count: u16) -> Result<Duration> {
        self.program(lab)?;
        let mut command = self.playbook(lab, count, &[])?;
        time(|| {
            let said = support::run(&mut command)?.ok()?;
            let recap = said.split_once("PLAY RECAP").context("no recap")?.1;
            ensure!(recap.matches("changed=0").count() == 2, "{said}");
            Ok(())
        })
    }

    /// How many times Ansible goes to the hosts.
    fn executions(&self, lab: &Lab, count: u16) -> Result<usize> {
        Ok(support::run(&mut self.playbook(lab, count, &["-vvv"])?)?.ok()?.matches("SSH: EXEC").count())
    }
}
