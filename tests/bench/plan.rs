// SPDX-License-Identifier: MPL-2.0
//! A plan of many volumes that are as declared, on simulated hosts: how long it takes, what it costs all processes together and the
//! provider alone (all of its starts, and the simulation of the hosts in it), and what a volume takes in the state. Beside it a plan
//! of as many of terraform's own resources that do nothing, and, with `BASE`, an earlier commit.
//!
//! Terraform makes the first volume; the others are copies of it, in the state and on the hosts, under names and numbers of
//! their own. Were a copy wrong, the plan would not be empty.

use crate::measure::{Side, all_in_turns, repeat, time};
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

const MANY: usize = 1000;
const PROGRAM: &str = "simulated/terraform-provider-drbd";

/// Runs the provider, and writes down its processor time in seconds and its greatest resident size in KiB.
const WATCH: &str = r#"
import resource, subprocess, sys
code = subprocess.call(sys.argv[2:])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
with open(sys.argv[1], "a") as file:
    file.write(f"{used.ru_utime + used.ru_stime} {used.ru_maxrss}\n")
sys.exit(code)
"#;

fn configuration(nodes: usize) -> String {
    format!(
        r#"terraform {{
  required_providers {{
    drbd = {{ source = "replivol/drbd" }}
  }}
}}

provider "drbd" {{
  ssh = {{ user = "root", private_key_file = "/no/key" }}
}}

variable "many" {{
  default = 1
}}

resource "drbd_node" "this" {{
  for_each      = {{ for n in range(1, {nodes} + 1) : "h${{n}}" => "10.0.0.${{n}}" }}
  name          = each.key
  ssh           = {{ host = each.value }}
  storage_pools = {{ data = {{ lvm_thin = {{ volume_group = "vg0", thin_pool = "thin" }} }} }}
}}

resource "drbd_resource_group" "pair" {{
  name         = "pair"
  nodes        = drbd_node.this
  storage_pool = "data"
}}

resource "drbd_replicated_volume" "many" {{
  count          = var.many
  name           = "volume-${{count.index}}"
  resource_group = drbd_resource_group.pair
  size           = "64MiB"
}}
"#
    )
}

pub fn run(table: &mut Table) -> Result<()> {
    let other = Simulated::nothing(MANY)?;
    let ours = Simulated::new(&made::dist(PROGRAM)?, 2, MANY)?;
    let turns = repeat(3);
    let wall = |one: &Simulated, other: &Simulated| -> Result<(f64, f64)> {
        let medians = all_in_turns(turns, &mut [&mut |_| one.plan(), &mut |_| other.plan()])?;
        Ok((medians.first().copied().unwrap_or(f64::NAN), medians.get(1).copied().unwrap_or(f64::NAN)))
    };
    let (with, without) = wall(&ours, &other)?;
    table.ratio("plan of 1,000 volumes / of 1,000 terraform_data", with, without, 2.0);
    let mut small = 0.0;
    for (nodes, target) in [(2, 0.6), (16, 0.25)] {
        let many = Simulated::new(&made::dist(PROGRAM)?, nodes, MANY)?;
        let base = made::base(PROGRAM)?.map(|base| Simulated::new(&base, nodes, MANY)).transpose()?;
        processor_time(table, &many, base.as_ref(), nodes, target)?;
        let each = many.state_of_each()?;
        if nodes == 2 {
            small = each;
            table.figure("state of a volume, group of 2 nodes", each, "bytes", Some(2000.0));
        } else {
            table.figure("state of a volume, each further node", (each - small) / 14.0, "bytes", Some(60.0));
        }
    }
    growth(table, &ours)?;
    let (with, without) = wall(&Simulated::new(&made::dist(PROGRAM)?, 2, 1)?, &Simulated::nothing(1)?)?;
    table.ratio("plan of one volume / of one terraform_data", with, without, 2.5);
    Ok(())
}

/// Of all processes, beside the earlier commit.
fn processor_time(
    table: &mut Table,
    many: &Simulated,
    base: Option<&Simulated>,
    nodes: usize,
    target: f64,
) -> Result<()> {
    let spent = |cost: Cost| Duration::from_secs_f64(cost.all);
    let mut one = |_| many.cost().map(spent);
    let mut other = |_| base.map_or(Ok(Duration::ZERO), |base| base.cost().map(spent));
    let mut sides: Vec<Side<'_>> = vec![&mut one];
    if base.is_some() {
        sides.push(&mut other);
    }
    let medians = all_in_turns(repeat(3), &mut sides)?;
    let what = format!("processor time of that plan, group of {nodes} nodes");
    match medians.as_slice() {
        [ours, base] => table.ratio(&format!("{what} / of BASE"), *ours, *base, target),
        [ours, ..] => table.figure(&what, *ours * 1000.0, "ms", None),
        [] => {}
    }
    Ok(())
}

/// What the provider itself costs for 1,000 and for 3,000.
fn growth(table: &mut Table, thousand: &Simulated) -> Result<()> {
    let more = Simulated::new(&made::dist(PROGRAM)?, 2, 3 * MANY)?;
    let (small, large) = (thousand.cost()?, more.cost()?);
    table.figure(
        "provider: processor time for each of 1,000 unchanged",
        small.own * 1000.0 / MANY as f64,
        "ms",
        Some(0.3),
    );
    table.figure("provider: greatest resident memory, 1,000", small.memory, "MiB", Some(60.0));
    table.figure("provider: greatest resident memory, 3,000", large.memory, "MiB", Some(110.0));
    let exponent = (large.own / small.own).ln() / 3.0_f64.ln();
    table.figure("provider: growth of its processor time, 1,000 to 3,000", exponent, "exponent", Some(1.05));
    Ok(())
}

/// What a plan costs: processor time in seconds, of all processes and of the provider, and the provider's memory in MiB.
struct Cost {
    all: f64,
    own: f64,
    memory: f64,
}

/// Volumes on simulated hosts, and terraform that knows them.
struct Simulated {
    terraform: Terraform,
    /// What terraform takes for the provider: a script that has it watched when it shall be.
    bin: TempDir,
    volumes: usize,
}

impl Simulated {
    fn new(program: &Path, nodes: usize, volumes: usize) -> Result<Self> {
        let bin = TempDir::new()?;
        let (watch, costs) = (bin.path().join("watch.py"), bin.path().join("costs"));
        fs::write(&watch, WATCH)?;
        let script = format!(
            "#!/bin/bash\n[ ! -e {costs:?} ] || exec python3 {watch:?} {costs:?} {program:?} \"$@\"\nexec {program:?} \"$@\"\n"
        );
        let path = bin.path().join("terraform-provider-drbd");
        fs::write(&path, script)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        let terraform = Terraform::new(bin.path(), &configuration(nodes))?;
        let world = terraform.path("world.json");
        fs::write(&world, world_of(nodes).to_string())?;
        let terraform = terraform.env("DRBD_SIMULATION", world);
        terraform.apply(None)?;
        change(&terraform.path("terraform.tfstate"), |state| many_in_state(state, volumes))?;
        change(&terraform.path("world.json"), |world| many_on_hosts(world, volumes))?;
        terraform.write("many.auto.tfvars", &format!("many = {volumes}\n"))?;
        Ok(Self { terraform, bin, volumes })
    }

    /// As many resources that terraform has itself, of about the same number of attributes set.
    fn nothing(count: usize) -> Result<Self> {
        let bin = TempDir::new()?;
        let terraform = Terraform::new(
            bin.path(),
            &format!(
                "resource \"terraform_data\" \"many\" {{\n  count = {count}\n  input = {{ name = \"v${{count.index}}\", size = \"64MiB\" }}\n}}\n"
            ),
        )?;
        terraform.apply(None)?;
        Ok(Self { terraform, bin, volumes: count })
    }

    fn plan(&self) -> Result<Duration> {
        time(|| self.terraform.plan_is_empty(None))
    }

    fn cost(&self) -> Result<Cost> {
        let costs = self.bin.path().join("costs");
        fs::write(&costs, "")?;
        let before = spent_by_children()?;
        self.terraform.plan_is_empty(None)?;
        let all = spent_by_children()? - before;
        let text = fs::read_to_string(&costs)?;
        fs::remove_file(&costs)?;
        let (mut own, mut memory) = (0.0, 0.0_f64);
        for line in text.lines() {
            let (seconds, kibibytes) = line.split_once(' ').context("two numbers")?;
            own += seconds.parse::<f64>()?;
            memory = memory.max(kibibytes.parse::<f64>()? / 1024.0);
        }
        ensure!(own > 0.0, "no provider came to its end");
        Ok(Cost { all, own, memory })
    }

    /// Bytes of the state for each volume, as terraform lays it out.
    fn state_of_each(&self) -> Result<f64> {
        let state: Value =
            serde_json::from_str(&fs::read_to_string(self.terraform.path("terraform.tfstate"))?)?;
        let mut without = state.clone();
        let resources = without["resources"].as_array_mut().context("resources")?;
        resources.retain(|resource| resource["type"] != "drbd_replicated_volume");
        let size = |state: &Value| Ok::<_, anyhow::Error>(serde_json::to_string_pretty(state)?.len() as f64);
        Ok((size(&state)? - size(&without)?) / self.volumes as f64)
    }
}

/// Processor time, in user and kernel mode, of all processes that this one waited for, and of those that they waited for.
fn spent_by_children() -> Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(") ").context("/proc/self/stat")?;
    // The first of these is field 3; cutime and cstime are 16 and 17. A tick is a hundredth of a second on every Linux.
    let ticks = fields.split(' ').skip(13).take(2).map(str::parse::<f64>);
    Ok(ticks.sum::<Result<f64, _>>()? / 100.0)
}

fn change(file: &Path, how: impl FnOnce(&mut Value) -> Option<()>) -> Result<()> {
    let broken = || format!("{} is not as expected", file.display());
    let mut content = serde_json::from_str(&fs::read_to_string(file)?)?;
    how(&mut content).with_context(broken)?;
    Ok(fs::write(file, content.to_string())?)
}

fn many_in_state(state: &mut Value, volumes: usize) -> Option<()> {
    let resources = state["resources"].as_array_mut()?;
    let many = resources.iter_mut().find(|resource| resource["type"] == "drbd_replicated_volume")?;
    let first = many["instances"].get(0)?.clone();
    let instance = |n| {
        let mut instance = copy(&first, n);
        instance["index_key"] = json!(n);
        instance
    };
    many["instances"] = (0..volumes).map(instance).collect();
    Some(())
}

fn many_on_hosts(world: &mut Value, volumes: usize) -> Option<()> {
    for host in world["hosts"].as_object_mut()?.values_mut() {
        let resources = host["resources"].as_object_mut()?;
        // The others have no replica.
        let Some(first) = resources.get("volume-0").cloned() else { continue };
        resources.extend((1..volumes).map(|n| (format!("volume-{n}"), copy(&first, n))));
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

fn world_of(nodes: usize) -> Value {
    let host = |n: usize| {
        let host = json!({ "node": format!("h{n}"), "drbd": "8.4.11", "volume_groups": { "vg0": ["thin"] }, "resources": {},
            "unreachable": false, "refuses": null, "loses": null, "executions": 0 });
        (format!("10.0.0.{n}"), host)
    };
    let hosts: serde_json::Map<String, Value> = (1..=nodes).map(host).collect();
    json!({ "hosts": hosts, "cut": [], "slow_sync": false })
}
