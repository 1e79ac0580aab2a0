// SPDX-License-Identifier: MPL-2.0
//! Many small replicated volumes on two lab hosts, made by terraform, and a count of how often a refresh of them goes to
//! the hosts.
//!
//! The count is the hosts' own: what sshd logs about logins and commands of root, as whom the provider comes. The log
//! is read as `ops`, so that looking does not count.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::lab::{Lab, LabOptions};
use crate::made;
use crate::terraform::Terraform;

/// Two hosts with volumes.
#[derive(Debug)]
pub struct Volumes {
    lab: Lab,
    terraform: Terraform,
}

/// What sshd of one host logged about root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visits {
    /// Connections that were opened.
    pub connections: usize,
    /// Commands and subsystems that were started over them.
    pub executions: usize,
}

/// A refresh that found nothing to do.
#[derive(Debug, Clone, Copy)]
pub struct Refresh {
    /// How often it went to h1 and to h2.
    pub visits: [Visits; 2],
    /// Of terraform, from its start to its end.
    pub took: Duration,
}

impl Volumes {
    /// Boots two hosts and makes `count` volumes of 4 MiB on both. Linear in `count`: a second or two for each, on an idle machine.
    ///
    /// # Errors
    /// When the lab does not come up, `make build` has not made the provider, or terraform fails.
    pub fn create(count: usize) -> Result<Self> {
        let lab = Lab::start(&LabOptions { hosts: 2, disks: 1, disk_size: "1G".to_owned() })?;
        for host in [1, 2] {
            lab.sh(host, "modprobe drbd")?;
            lab.write(host, "/etc/ssh/sshd_config.d/count.conf", b"LogLevel VERBOSE\n")?;
            lab.sh(host, "kill -HUP $(cat /run/sshd.pid)")?;
            lab.eventually(host, Duration::from_secs(10), &format!("grep -q '{COMMAND}' {LOG}"))?;
        }
        let provider = made::dist("terraform-provider-drbd")?;
        made::dist("drbd-host")?;
        let provider = provider.parent().context("the provider is in no directory")?;
        let volumes = Self { terraform: Terraform::new(provider, &configuration(&lab, count))?, lab };
        volumes.terraform.apply(Some(&volumes.lab))?;
        Ok(volumes)
    }

    /// Refreshes, by `terraform plan`.
    ///
    /// # Errors
    /// When terraform fails, or finds something to do.
    pub fn refresh(&self) -> Result<Refresh> {
        for host in [1, 2] {
            self.lab.ssh_as("ops", host, &format!("sudo truncate -s 0 {LOG}"))?.ok()?;
        }
        let began = Instant::now();
        self.terraform.plan_is_empty(Some(&self.lab))?;
        let took = began.elapsed();
        let visits = |host| {
            let log = self.lab.ssh_as("ops", host, &format!("sudo cat {LOG}"))?.ok()?;
            let lines = |of: &str| log.lines().filter(|line| line.contains(of)).count();
            anyhow::Ok(Visits { connections: lines(LOGIN), executions: lines(COMMAND) + lines(SUBSYSTEM) })
        };
        Ok(Refresh { visits: [visits(1)?, visits(2)?], took })
    }
}

/// Where sshd of a lab host logs, opened for appending.
const LOG: &str = "/var/log/sshd.log";
/// What it logs at level VERBOSE.
const LOGIN: &str = "Accepted publickey for root from";
const COMMAND: &str = "Starting session: command for root from";
const SUBSYSTEM: &str = "Starting session: subsystem 'sftp' for root from";

fn configuration(lab: &Lab, count: usize) -> String {
    let (key, known_hosts) = (lab.key(), lab.known_hosts());
    let (h1, h2) = (lab.address(1), lab.address(2));
    format!(
        r#"terraform {{
  required_providers {{
    drbd = {{ source = "replivol/drbd" }}
  }}
}}

provider "drbd" {{
  ssh = {{
    user              = "root"
    private_key_file  = {key:?}
    known_hosts_files = [{known_hosts:?}]
  }}
}}

resource "drbd_node" "this" {{
  for_each = {{ h1 = "{h1}", h2 = "{h2}" }}
  name     = each.key
  ssh      = {{ host = each.value }}
  storage_pools = {{
    data = {{ lvm_thin = {{ volume_group = "drbdpool", thin_pool = "thinpool" }}, disks = ["/dev/ubdb"] }}
  }}
}}

resource "drbd_resource_group" "pair" {{
  name         = "pair"
  nodes        = drbd_node.this
  storage_pool = "data"
}}

resource "drbd_replicated_volume" "many" {{
  count          = {count}
  name           = "v${{count.index}}"
  resource_group = drbd_resource_group.pair
  size           = "4MiB"
}}
"#
    )
}
