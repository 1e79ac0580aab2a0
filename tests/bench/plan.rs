// SPDX-License-Identifier: MPL-2.0
//! A plan of a thousand volumes that are as declared, on simulated hosts: the processor time of the provider, all of its
//! starts, and the simulation of the hosts in it. Beside it a plan of as many of terraform's own resources that do nothing.
//!
//! Terraform makes the first volume; the others are copies of it, in the state and on the hosts, under names and numbers of
//! their own. Were a copy wrong, the plan would not be empty.

use crate::measure::{in_turns, median, repeat, time};
use crate::table::Table;
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;
use support::made;
use support::terraform::Terraform;
use tempfile::TempDir;

const VOLUMES: usize = 1000;

const CONFIGURATION: &str = r#"terraform {
  required_providers {
    drbd = { source = "replivol/drbd" }
  }
}

provider "drbd" {
  ssh = { user = "root", private_key_file = "/no/key" }
}

variable "many" {
  default = 1
}

resource "drbd_node" "this" {
  for_each      = { h1 = "10.0.0.1", h2 = "10.0.0.2" }
  name          = each.key
  ssh           = { host = each.value }
  storage_pools = { data = { lvm_thin = { volume_group = "vg0", thin_pool = "thin" } } }
}

resource "drbd_resource_group" "pair" {
  name         = "pair"
  nodes        = drbd_node.this
  storage_pool = "data"
}

resource "drbd_replicated_volume" "many" {
  count          = var.many
  name           = "volume-${count.index}"
  resource_group = drbd_resource_group.pair
  size           = "64MiB"
}
"#;

pub fn run(table: &mut Table) -> Result<()> {
    let ours = Simulated::new()?;
    let other = Terraform::new(ours.bin.path(), &nothing())?;
    other.apply(None)?;
    let mut spent = Vec::new();
    let (with, without) = in_turns(
        repeat(3),
        |_| {
            ours.forget_spent()?;
            let took = time(|| ours.terraform.plan_is_empty(None))?;
            spent.push(ours.spent()?);
            Ok(took)
        },
        |_| time(|| other.plan_is_empty(None)),
    )?;
    let each = median(spent) * 1000.0 / VOLUMES as f64;
    table.figure("provider: processor time for each of 1,000 unchanged", each, "ms", Some(1.0));
    table.beside("plan of 1,000 volumes / of 1,000 terraform_data", with, without);
    Ok(())
}

/// A thousand volumes on two simulated hosts, and terraform that knows them.
struct Simulated {
    terraform: Terraform,
    /// What terraform takes for the provider: a script that writes down what the provider spent.
    bin: TempDir,
}

impl Simulated {
    fn new() -> Result<Self> {
        let program = made::dist("simulated/terraform-provider-drbd")?;
        let bin = TempDir::new()?;
        let times = bin.path().join("times");
        let script = format!("#!/bin/bash\n{program:?} \"$@\"\ncode=$?\ntimes >>{times:?}\nexit $code\n");
        let path = bin.path().join("terraform-provider-drbd");
        fs::write(&path, script)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        let terraform = Terraform::new(bin.path(), CONFIGURATION)?;
        let world = terraform.path("world.json");
        fs::write(&world, world_of_two().to_string())?;
        let terraform = terraform.env("DRBD_SIMULATION", world);
        terraform.apply(None)?;
        change(&terraform.path("terraform.tfstate"), many_in_state)?;
        change(&terraform.path("world.json"), many_on_hosts)?;
        terraform.write("many.auto.tfvars", &format!("many = {VOLUMES}\n"))?;
        Ok(Self { terraform, bin })
    }

    fn forget_spent(&self) -> Result<()> {
        Ok(fs::write(self.bin.path().join("times"), "")?)
    }

    /// Processor time, in user and kernel mode, of all providers since [`Self::forget_spent`].
    fn spent(&self) -> Result<Duration> {
        let times = fs::read_to_string(self.bin.path().join("times"))?;
        // Of each two lines the first is the shell's own time, the second that of what it ran.
        let lines: Vec<&str> = times.lines().skip(1).step_by(2).collect();
        ensure!(!lines.is_empty(), "no provider came to its end");
        let words = lines.iter().flat_map(|line| line.split_whitespace());
        words.map(|word| duration(word).with_context(|| format!("{word:?} is no time"))).sum()
    }
}

fn change(file: &Path, how: impl FnOnce(&mut Value) -> Option<()>) -> Result<()> {
    let broken = || format!("{} is not as expected", file.display());
    let mut content = serde_json::from_str(&fs::read_to_string(file)?)?;
    how(&mut content).with_context(broken)?;
    Ok(fs::write(file, content.to_string())?)
}

fn many_in_state(state: &mut Value) -> Option<()> {
    let resources = state["resources"].as_array_mut()?;
    let volumes = resources.iter_mut().find(|resource| resource["type"] == "drbd_replicated_volume")?;
    let first = volumes["instances"].get(0)?.clone();
    let instance = |n| {
        let mut instance = copy(&first, n);
        instance["index_key"] = json!(n);
        instance
    };
    volumes["instances"] = (0..VOLUMES).map(instance).collect();
    Some(())
}

fn many_on_hosts(world: &mut Value) -> Option<()> {
    for host in world["hosts"].as_object_mut()?.values_mut() {
        let resources = host["resources"].as_object_mut()?;
        let first = resources.get("volume-0")?.clone();
        resources.extend((1..VOLUMES).map(|n| (format!("volume-{n}"), copy(&first, n))));
    }
    Some(())
}

/// What volume 0 has, for volume `n`: its name, port 7000 and minor 1000 are replaced wherever they are.
fn copy(value: &Value, n: usize) -> Value {
    match value {
        Value::String(text) => {
            let text = text.replace("volume-0", &format!("volume-{n}"));
            let text = text.replace(":7000", &format!(":{}", 7000 + n));
            Value::String(text.replace("drbd1000", &format!("drbd{}", 1000 + n)))
        }
        Value::Number(number) if number.as_u64() == Some(7000) => json!(7000 + n),
        Value::Number(number) if number.as_u64() == Some(1000) => json!(1000 + n),
        Value::Array(items) => items.iter().map(|item| copy(item, n)).collect(),
        Value::Object(members) => {
            members.iter().map(|(key, member)| (key.clone(), copy(member, n))).collect()
        }
        other => other.clone(),
    }
}

/// `1m2.345s`
fn duration(word: &str) -> Option<Duration> {
    let (minutes, seconds) = word.strip_suffix('s')?.split_once('m')?;
    Some(
        Duration::from_secs(60 * minutes.parse::<u64>().ok()?)
            + Duration::from_secs_f64(seconds.parse().ok()?),
    )
}

fn world_of_two() -> Value {
    let host = |node: &str| {
        json!({ "node": node, "drbd": "8.4.11", "volume_groups": { "vg0": ["thin"] }, "resources": {},
            "unreachable": false, "refuses": null, "loses": null, "executions": 0 })
    };
    json!({ "hosts": { "10.0.0.1": host("h1"), "10.0.0.2": host("h2") }, "cut": [], "slow_sync": false })
}

/// As many resources that terraform has itself, of about the same number of attributes set.
fn nothing() -> String {
    format!(
        "resource \"terraform_data\" \"many\" {{\n  count = {VOLUMES}\n  input = {{ name = \"v${{count.index}}\", size = \"64MiB\" }}\n}}\n"
    )
}
