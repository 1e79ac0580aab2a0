// SPDX-License-Identifier: MPL-2.0
//! Nodes that are EC2 instances with a data disk: how often one create and the refresh of fifty ask AWS, and whether three
//! nodes wait for each other. AWS is moto's server, whose instances take some seconds to run. The hosts are simulated, so that
//! what is measured is the provider's waiting and not this machine's booting of guests.

use crate::measure::{median, repeat, time};
use crate::table::Table;
use anyhow::{Context as _, Result, ensure};
use serde_json::{Map, Value, json};
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use support::made;
use support::terraform::Terraform;

const MANY: usize = 50;
/// Seconds until an instance runs; AWS's take longer.
const BOOT: f64 = 5.0;
/// Milliseconds of every run on a host.
const RUN: &str = "100";

pub fn run(table: &mut Table) -> Result<()> {
    let cloud = Cloud::start()?;
    calls(table, &cloud)?;
    side_by_side(table, &cloud)
}

fn calls(table: &mut Table, cloud: &Cloud) -> Result<()> {
    let one = Nodes::new(cloud, "one", 1..2)?;
    cloud.ask(&json!({ "op": "calls" }))?;
    one.terraform.apply(None)?;
    let of_create = cloud.calls()?;
    one.remove()?;
    table.figure("ec2: one node with a disk: calls of its create", of_create.len() as f64, "calls", None);

    let many = Nodes::new(cloud, "many", 1..MANY + 1)?;
    many.terraform.apply(None)?;
    cloud.ask(&json!({ "op": "calls" }))?;
    let took = time(|| many.terraform.plan_is_empty(None))?;
    let asked = cloud.calls()?;
    ensure!(asked.iter().all(|call| call.starts_with("Describe")), "a refresh changes nothing: {asked:?}");
    table.figure(&format!("ec2: refresh of {MANY} unchanged nodes"), asked.len() as f64, "calls", Some(5.0));
    table.figure(
        &format!("ec2: refresh of {MANY} unchanged nodes: terraform plan"),
        took.as_secs_f64() * 1000.0,
        "ms",
        None,
    );
    many.remove()
}

/// Three nodes in one apply, beside the slowest of three applies of one node.
fn side_by_side(table: &mut Table, cloud: &Cloud) -> Result<()> {
    cloud.ask(&json!({ "op": "states_take", "seconds": BOOT }))?;
    let (mut together, mut slowest) = (Vec::new(), Vec::new());
    for turn in 0..repeat(3) {
        let three = Nodes::new(cloud, &format!("three{turn}"), 1..4)?;
        together.push(time(|| three.terraform.apply(None))?);
        three.remove()?;
        let mut alone = Vec::new();
        for n in 1..4 {
            let one = Nodes::new(cloud, &format!("alone{turn}"), n..n + 1)?;
            alone.push(time(|| one.terraform.apply(None))?);
            one.remove()?;
        }
        slowest.extend(alone.into_iter().max());
    }
    table.ratio("ec2: apply of three nodes / slowest of one", median(together), median(slowest), 1.3);
    Ok(())
}

/// A configuration of some nodes, and their hosts.
struct Nodes {
    terraform: Terraform,
}

impl Nodes {
    /// Host `n` has the address 10.99.0.(10 + n).
    fn new(cloud: &Cloud, name: &str, numbers: std::ops::Range<usize>) -> Result<Self> {
        let addresses: Map<String, Value> =
            numbers.map(|n| (format!("{name}-{n}"), json!(format!("10.99.0.{}", 10 + n)))).collect();
        let program = made::dist("simulated/terraform-provider-drbd")?;
        let terraform = Terraform::new(program.parent().context("a directory")?, CONFIGURATION)?;
        let hosts: Map<String, Value> = addresses
            .iter()
            .map(|(node, address)| (address.as_str().unwrap_or_default().to_owned(), host(node)))
            .collect();
        let world = terraform.path("world.json");
        fs::write(&world, json!({ "hosts": hosts, "cut": [], "slow_sync": false }).to_string())?;
        let variables = json!({
            "nodes": addresses, "subnet": cloud.subnet, "group": cloud.group, "endpoint": cloud.url(),
        });
        terraform.write("nodes.auto.tfvars.json", &variables.to_string())?;
        Ok(Self { terraform: terraform.env("DRBD_SIMULATION", world).env("DRBD_SIMULATION_DELAY_MS", RUN) })
    }

    /// Takes all nodes away: none is wanted any more.
    fn remove(self) -> Result<()> {
        let path = self.terraform.path("nodes.auto.tfvars.json");
        let mut variables: Value = serde_json::from_str(&fs::read_to_string(&path)?)?;
        variables["nodes"] = json!({});
        self.terraform.write("nodes.auto.tfvars.json", &variables.to_string())?;
        self.terraform.apply(None).map(drop)
    }
}

fn host(node: &str) -> Value {
    json!({ "node": node, "drbd": "8.4.11", "volume_groups": {}, "resources": {},
        "unreachable": false, "refuses": null, "loses": null, "executions": 0 })
}

const CONFIGURATION: &str = r#"terraform {
  required_providers {
    drbd = { source = "replivol/drbd" }
  }
}

variable "nodes" { type = map(string) }
variable "subnet" { type = string }
variable "group" { type = string }
variable "endpoint" { type = string }

provider "drbd" {
  ssh = { user = "root", private_key_file = "/no/key" }
  ec2 = { region = "us-west-2", endpoint_url = var.endpoint, access_key = "test", secret_key = "test" }
}

resource "drbd_node" "this" {
  for_each = var.nodes
  name     = each.key
  ec2 = {
    image_id           = "ami-0d0000000000deb12"
    instance_type      = "t3.micro"
    subnet_id          = var.subnet
    private_ip         = each.value
    key_name           = "lab"
    security_group_ids = [var.group]
  }
  storage_pools = { data = { lvm_thin = { volume_group = "vg0", thin_pool = "thin" }, ebs = { d0 = { size = "1GiB" } } } }
}
"#;

/// moto's server without guests. It ends when its standard input does.
struct Cloud {
    server: Child,
    port: u16,
    subnet: String,
    group: String,
}

impl Drop for Cloud {
    fn drop(&mut self) {
        drop(self.server.stdin.take());
        let _ = self.server.wait();
    }
}

impl Cloud {
    fn start() -> Result<Self> {
        let bin = std::env::var_os("REPLIVOL_MOTO").map(PathBuf::from).context("REPLIVOL_MOTO is not set")?;
        let mut server = Command::new(bin.join("python"))
            .arg(made::checkout().join("tests/moto/server.py"))
            .env("AWS_REGION", "us-west-2")
            .env_remove("LAB_DIR")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(server.stdout.as_mut().context("standard output")?).read_line(&mut line)?;
        let port = line.trim().parse().with_context(|| format!("the server's port: {line:?}"))?;
        let mut cloud = Self { server, port, subnet: String::new(), group: String::new() };
        let made = cloud.ask(&json!({ "op": "network", "subnets": [["10.99.0.0/24", "us-west-2a"]] }))?;
        cloud.subnet = serde_json::from_value(made["subnets"][0].clone())?;
        cloud.group = serde_json::from_value(made["group"].clone())?;
        Ok(cloud)
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn ask(&self, request: &Value) -> Result<Value> {
        let body = request.to_string();
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        write!(stream, "POST /lab HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("an answer")?;
        ensure!(head.contains(" 200 "), "{request}: {answer}");
        Ok(serde_json::from_str(body)?)
    }

    /// The calls since the last time.
    fn calls(&self) -> Result<Vec<String>> {
        Ok(serde_json::from_value(self.ask(&json!({ "op": "calls" }))?)?)
    }
}
