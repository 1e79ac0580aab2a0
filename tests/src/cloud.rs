// SPDX-License-Identifier: MPL-2.0
//! EC2 for a lab: moto's server with the middleware of `tests/moto/`, which boots a guest of the lab for each instance.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::{Lab, made};

/// A running server inside a lab's network. Gone when dropped; it also ends when its standard input does.
#[derive(Debug)]
pub struct Cloud<'a> {
    lab: &'a Lab,
    server: Child,
    port: u16,
    /// Subnets, each in another zone, with the lab's addresses in them.
    pub subnets: Vec<String>,
    /// A security group.
    pub group: String,
    /// The network of all of them.
    pub vpc: String,
}

impl Drop for Cloud<'_> {
    fn drop(&mut self) {
        drop(self.server.stdin.take());
        let _ = self.server.wait();
    }
}

fn python() -> Result<PathBuf> {
    let bin = std::env::var_os("REPLIVOL_MOTO").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/replivol/moto/bin"));
    let python = bin.or_else(home).context("HOME is not set")?.join("python");
    ensure!(python.exists(), "{} is missing; run `make setup`", python.display());
    Ok(python)
}

impl<'a> Cloud<'a> {
    /// Starts one whose instances are guests of this lab from h2 on: one subnet for each of three zones: hosts
    /// h2, h10 and h26 are the first in them. An image with DRBD 9 in its name has it simulated (`tests/drbd9`).
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(lab: &'a Lab) -> Result<Self> {
        let mut server = Command::new(python()?);
        server
            .arg(made::checkout().join("tests/moto/server.py"))
            .env("LAB_DIR", lab.dir())
            .env("LAB_DRBD9", made::dist("simulated/drbdsetup")?)
            .env("AWS_REGION", "us-west-2");
        let mut server = lab
            .enter(&server)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(lab.dir().join("moto.log"))?)
            .spawn()?;
        let mut line = String::new();
        let stdout = server.stdout.as_mut().context("standard output")?;
        BufReader::new(stdout).read_line(&mut line)?;
        let port = line.trim().parse().with_context(|| format!("the server's port: {line:?}"))?;
        let mut cloud =
            Self { lab, server, port, subnets: Vec::new(), group: String::new(), vpc: String::new() };
        let net = lab.address(1).rsplit_once('.').context("an address")?.0.to_owned();
        let subnets = [("0", "a"), ("16", "b"), ("32", "c")]
            .map(|(first, zone)| [format!("{net}.{first}/28"), format!("us-west-2{zone}")]);
        let made = cloud.ask(&json!({ "op": "network", "subnets": subnets }))?;
        cloud.subnets = serde_json::from_value(made["subnets"].clone())?;
        cloud.group = serde_json::from_value(made["group"].clone())?;
        cloud.vpc = serde_json::from_value(made["vpc"].clone())?;
        Ok(cloud)
    }

    /// The endpoint, inside the lab's network.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// One request to the server's control (`class Control` in `tests/moto/server.py`).
    ///
    /// # Errors
    /// When it refuses.
    pub fn ask(&self, request: &Value) -> Result<Value> {
        let mut curl = Command::new("python3");
        let script = "import sys, urllib.request as u; sys.stdout.write(u.urlopen(sys.argv[1], sys.argv[2].encode()).read().decode())";
        curl.args(["-c", script, &format!("{}/lab", self.url()), &request.to_string()]);
        let answer = crate::run(&mut self.lab.enter(&curl))?.ok()?;
        Ok(serde_json::from_str(&answer)?)
    }

    /// Instances that are not gone, and data volumes.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn there(&self) -> Result<(Vec<Value>, Vec<Value>)> {
        let there = self.ask(&json!({ "op": "there" }))?;
        let list = |name: &str| there[name].as_array().cloned().unwrap_or_default();
        Ok((list("instances"), list("volumes")))
    }
}
