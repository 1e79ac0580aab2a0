// SPDX-License-Identifier: MPL-2.0
//! One new replicated volume on one host: the module, beside the commands that an expert would put into a script.
//! Both are one command over one SSH session, and both end with the resource up.

use crate::measure::{in_turns, repeat, time};
use crate::table::Table;
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use std::process::Command;
use std::time::Duration;
use support::process::run_with_input;
use support::{Lab, made};

/// Where the program is put on a host.
pub const PROGRAM: &str = "/usr/local/bin/drbd-host";

pub fn run(table: &mut Table) -> Result<()> {
    let bench = Bench::new()?;
    for (session, target, what) in [
        (Session::New, Some(1.2), "one new volume, over an SSH session of its own: module / bare commands"),
        (Session::Open, None, "one new volume, over a session that is open: module / bare commands"),
    ] {
        let (ours, other) = in_turns(
            // Logging in takes as long as the rest, and now and then twice that: with fewer the medians wander by a tenth.
            repeat(41),
            |turn| {
                let module = format!("{PROGRAM} drbd_resource -");
                bench.once(turn, session, &module, &declaration(turn).to_string())
            },
            |turn| bench.once(turn, session, "bash -s", &script(turn)),
        )?;
        match target {
            Some(target) => table.ratio(what, ours, other, target),
            None => table.beside(what, ours, other),
        }
    }
    Ok(())
}

/// Over what a command runs.
#[derive(Clone, Copy)]
enum Session {
    /// Connecting and logging in is part of it, as for whoever types `ssh host command`.
    New,
    /// One that stays open.
    Open,
}

/// A host with a thin pool and the program.
pub struct Bench {
    pub lab: Lab,
}

impl Bench {
    pub fn new() -> Result<Self> {
        let bench = Self { lab: Lab::up(1)? };
        bench.lab.write(1, PROGRAM, &std::fs::read(made::dist("drbd-host")?)?)?;
        bench.lab.sh(1, &format!("chmod 755 {PROGRAM} && modprobe drbd"))?;
        let pool = json!({ "volume_group": "vg0", "thin_pool": "pool", "disks": ["/dev/ubdb"] });
        bench.ssh(&format!("{PROGRAM} drbd_storage_pool -"), &pool.to_string())?;
        Ok(bench)
    }

    /// A command over the SSH session that stays open.
    pub fn ssh(&self, command: &str, input: &str) -> Result<String> {
        self.ssh_over(Session::Open, command, input)
    }

    fn ssh_over(&self, session: Session, command: &str, input: &str) -> Result<String> {
        let mut ssh = Command::new("ssh");
        ssh.arg("-F").arg(self.lab.ssh_config());
        if let Session::Open = session {
            ssh.args(["-o", "ControlMaster=auto", "-o", "ControlPersist=60"]);
            ssh.arg("-o").arg(format!("ControlPath={}/m", self.lab.dir().display()));
        }
        run_with_input(ssh.args(["h1", command]), input.as_bytes())?.ok()
    }

    fn once(&self, turn: usize, session: Session, command: &str, input: &str) -> Result<Duration> {
        let took = time(|| self.ssh_over(session, command, input))?;
        let name = name(turn);
        let disk = self.ssh(&format!("drbdadm dstate {name}"), "")?;
        ensure!(disk.starts_with("Inconsistent/"), "{name} is not up: {disk}");
        self.ssh(
            &format!(
                "drbdadm down {name}; rm -f /etc/drbd.d/{name}.res /var/lib/drbd-host/records/{name}.json; \
                 lvremove -qqy vg0/{name}_00000; udevadm settle"
            ),
            "",
        )?;
        Ok(took)
    }
}

/// The name of the resource of a turn.
pub fn name(turn: usize) -> String {
    format!("b{turn}")
}

/// The declaration of the volume of a turn.
pub fn declaration(turn: usize) -> Value {
    let node = |id: usize, address: &str| {
        json!({ "node_id": id, "address": address,
            "storage": { "lvm_thin": { "volume_group": "vg0", "thin_pool": "pool" } } })
    };
    json!({
        "name": name(turn), "port": 7000 + turn,
        "nodes": { "h1": node(0, "10.99.0.11"), "h2": node(1, "10.99.0.12") },
        "volumes": { "0": { "minor": 1000 + turn, "size": "64MiB" } },
    })
}

/// The same by hand, with nothing that an expert would leave out and no check that one might.
fn script(turn: usize) -> String {
    let (name, port, minor) = (name(turn), 7000 + turn, 1000 + turn);
    format!(
        "set -e\n\
         lvcreate -qq --yes --type thin --virtualsize 65576k --thinpool pool --name {name}_00000 vg0\n\
         cat >/etc/drbd.d/{name}.res <<END\n\
         resource {name} {{\n\
           on h1 {{ address 10.99.0.11:{port}; volume 0 {{ device minor {minor}; disk /dev/vg0/{name}_00000; meta-disk internal; }} }}\n\
           on h2 {{ address 10.99.0.12:{port}; volume 0 {{ device minor {minor}; disk /dev/vg0/{name}_00000; meta-disk internal; }} }}\n\
         }}\n\
         END\n\
         drbdadm create-md --force {name} >/dev/null 2>&1\n\
         drbdadm adjust {name}\n"
    )
}
