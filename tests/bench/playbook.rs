// SPDX-License-Identifier: MPL-2.0
//! From blank disks to a replicated volume on two hosts, and then once more with nothing to do: the example playbook with
//! the collection, beside shell tasks; with pipelining and without, on the lab's network and over a link of 20 ms. Beside
//! the same shell tasks: the module alone, without Ansible. And single tasks beside `ansible.builtin.command: true`.
//!
//! The program is on the hosts before, as the packages are that the shell tasks use.

use crate::host;
use crate::measure::{in_turns, median, repeat, time};
use crate::table::Table;
use anyhow::{Result, anyhow, ensure};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;
use support::process::run_with_input;
use support::{Lab, made};
use tempfile::TempDir;

/// Largest allowed ratio of a playbook with nothing to do, and of the module alone; and of a single task.
const TARGET: f64 = 1.0 / 3.0;
const TASK_TARGET: f64 = 0.5;

/// Where the role `install` puts the program.
const PROGRAM: &str = "/usr/local/sbin/drbd-host";

pub fn run(table: &mut Table) -> Result<()> {
    let controller = Controller::new()?;
    let usual = Way { pipelining: true, slow: false };
    let shell_tasks = whole(&controller, usual, table)?;
    alone(&controller, shell_tasks, table)?;
    for way in [
        Way { pipelining: false, slow: false },
        Way { pipelining: true, slow: true },
        Way { pipelining: false, slow: true },
    ] {
        whole(&controller, way, table)?;
    }
    let lab = controller.hosts()?;
    controller.play(&lab, usual, &controller.ours)?;
    for slow in [false, true] {
        single(&controller, &lab, Way { pipelining: true, slow }, table)?;
    }
    Ok(())
}

/// How Ansible gets to the hosts.
#[derive(Clone, Copy)]
struct Way {
    pipelining: bool,
    /// Over a link of 20 ms there and back.
    slow: bool,
}

impl Way {
    fn words(self) -> String {
        let pipelining = if self.pipelining { "pipelining" } else { "no pipelining" };
        let link = if self.slow { "20 ms" } else { "LAN" };
        format!("{link}, {pipelining}")
    }
}

/// The whole playbook, both ways, each on hosts of its own. How long the first run of the shell tasks took, in seconds.
fn whole(controller: &Controller, way: Way, table: &mut Table) -> Result<f64> {
    let shell = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/shell-tasks.yml");
    let mut times: [[Vec<Duration>; 2]; 2] = Default::default();
    for turn in 0..repeat(1) {
        // Each begins as often as the other.
        for place in 0..2 {
            let who = (turn + place) % 2;
            let playbook = if who == 0 { &controller.ours } else { &shell };
            let lab = controller.hosts()?;
            for run in &mut times[who] {
                run.push(time(|| controller.play(&lab, way, playbook))?);
            }
            let disks = lab.sh(1, "drbdadm dstate r0")?;
            ensure!(disks.trim() == "UpToDate/UpToDate", "{}: {disks}", playbook.display());
        }
    }
    let [ours, shell] = times.map(|runs| runs.map(median));
    let what = |which: &str| format!("playbook, {which} ({}): collection / shell tasks", way.words());
    table.beside(&what("first run"), ours[0], shell[0]);
    table.ratio(&what("again"), ours[1], shell[1], TARGET);
    Ok(shell[0])
}

/// One new volume on both hosts at once through the module, each over an SSH session of its own.
fn alone(controller: &Controller, shell_tasks: f64, table: &mut Table) -> Result<()> {
    let lab = controller.hosts()?;
    let pool = json!({ "volume_group": "vg0", "thin_pool": "pool", "disks": ["/dev/ubdb"] });
    on_both(&lab, "drbd_storage_pool", &pool)?;
    let mut times = Vec::new();
    for turn in 0..repeat(3) {
        times.push(time(|| on_both(&lab, "drbd_resource", &host::declaration(turn)))?);
        let disks = lab.sh(1, &format!("drbdadm dstate {}", host::name(turn)))?;
        ensure!(disks.starts_with("Inconsistent/"), "{disks}");
    }
    let what = "one new volume on both hosts: module alone / first run of the shell tasks (LAN, pipelining)";
    table.ratio(what, median(times), shell_tasks, TARGET);
    Ok(())
}

fn on_both(lab: &Lab, module: &str, arguments: &Value) -> Result<()> {
    let on = |name: &str| {
        let mut ssh = Command::new("ssh");
        ssh.arg("-F").arg(lab.ssh_config()).args([name, &format!("{PROGRAM} {module} -")]);
        run_with_input(&mut ssh, arguments.to_string().as_bytes())?.ok().map(drop)
    };
    thread::scope(|scope| {
        let other = scope.spawn(|| on("h2"));
        on("h1")?;
        other.join().map_err(|_| anyhow!("a thread panicked"))?
    })
}

/// What one more task costs: the difference between a play with one and a play with six.
fn single(controller: &Controller, lab: &Lab, way: Way, table: &mut Table) -> Result<()> {
    let tasks = [
        ("drbd_info", "replivol.drbd.drbd_info:"),
        ("drbd_wait, met", "replivol.drbd.drbd_wait: { name: r0, condition: connected }"),
        ("drbd_resource, no change", "replivol.drbd.drbd_resource: \"{{ r0 }}\""),
    ];
    for (name, task) in tasks {
        let (ours, other) = in_turns(
            repeat(3),
            |_| one_more(controller, lab, way, task),
            |_| one_more(controller, lab, way, "ansible.builtin.command: \"true\""),
        )?;
        table.ratio(&format!("one task ({}): {name} / command: true", way.words()), ours, other, TASK_TARGET);
    }
    Ok(())
}

fn one_more(controller: &Controller, lab: &Lab, way: Way, task: &str) -> Result<Duration> {
    let mut times = [Duration::ZERO; 2];
    for (count, took) in [1, 6].into_iter().zip(&mut times) {
        let tasks = format!("    - name: One\n      {task}\n").repeat(count);
        let text = format!("- hosts: h1\n  become: true\n  gather_facts: false\n  tasks:\n{tasks}");
        let path = controller.home.path().join(format!("{count}.yml"));
        fs::write(&path, text)?;
        *took = time(|| controller.play(lab, way, &path))?;
    }
    Ok(times[1].saturating_sub(times[0]) / 5)
}

/// An Ansible with the collection.
struct Controller {
    home: TempDir,
    ours: PathBuf,
}

impl Controller {
    fn new() -> Result<Self> {
        let home = tempfile::Builder::new().prefix("ans").tempdir()?;
        fs::write(home.path().join("ansible.cfg"), "")?;
        let ours = made::checkout().join("examples-ansible/two-hosts/site.yml");
        let controller = Self { home, ours };
        let mut galaxy = controller.command("ansible-galaxy")?;
        galaxy.args(["collection", "install", "--offline", "--collections-path"]);
        galaxy.arg(controller.home.path().join("collections")).arg(made::collection()?);
        support::run(&mut galaxy)?.ok()?;
        Ok(controller)
    }

    /// Two hosts with blank disks and the program.
    fn hosts(&self) -> Result<Lab> {
        let lab = Lab::up(2)?;
        for host in [1, 2] {
            lab.write(host, PROGRAM, &fs::read(made::dist("drbd-host")?)?)?;
            lab.sh(host, &format!("chmod 755 {PROGRAM}"))?;
        }
        let slow_link = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/slow-link.py");
        let config = fs::read_to_string(lab.ssh_config())?;
        let lines = config.lines().map(|line| match line.trim() {
            "ProxyUseFdpass yes" => String::new(),
            line if line.starts_with("ProxyCommand ") => {
                format!(
                    " ProxyCommand ip netns exec {} {} %h %p 0.01\n",
                    lab.namespace(),
                    slow_link.display()
                )
            }
            _ => format!("{line}\n"),
        });
        fs::write(slow_config(&lab), lines.collect::<String>())?;
        Ok(lab)
    }

    fn command(&self, program: &str) -> Result<Command> {
        let mut command = Command::new(made::ansible(program)?);
        command
            .env("HOME", self.home.path())
            .env("ANSIBLE_CONFIG", self.home.path().join("ansible.cfg"))
            .env("ANSIBLE_COLLECTIONS_PATH", self.home.path().join("collections"));
        Ok(command)
    }

    fn play(&self, lab: &Lab, way: Way, playbook: &Path) -> Result<()> {
        let mut command = self.command("ansible-playbook")?;
        command
            .arg("--inventory")
            .arg(made::checkout().join("examples-ansible/two-hosts/inventory.yml"))
            .arg(format!("-eansible_pipelining={}", way.pipelining))
            .arg(playbook)
            .env("SSH_CONFIG", if way.slow { slow_config(lab) } else { lab.ssh_config() })
            // One for each lab and link: a connection to another h1 must not be taken for one to this.
            .env("ANSIBLE_SSH_CONTROL_PATH_DIR", lab.dir().join(if way.slow { "s" } else { "c" }));
        support::run(&mut command)?.ok().map(drop)
    }
}

fn slow_config(lab: &Lab) -> PathBuf {
    lab.dir().join("slow_ssh_config")
}
