// SPDX-License-Identifier: MPL-2.0
//! From blank disks to a replicated volume on two hosts, and then once more with nothing to do: the example playbook,
//! with the program installed on the hosts and with the program sent for each task, beside shell tasks.

use crate::measure::{median, repeat, time};
use crate::table::Table;
use anyhow::{Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use support::{Lab, made};

/// Largest allowed ratio.
const TARGET: f64 = 1.0 / 3.0;

pub fn run(table: &mut Table) -> Result<()> {
    let home = tempfile::Builder::new().prefix("ans").tempdir()?;
    let ways = [
        Way::new(home.path(), "installed", true)?,
        Way::new(home.path(), "sent", false)?,
        Way {
            playbook: Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/shell-tasks.yml"),
            ..Way::default()
        },
    ];
    let mut times = ways.each_ref().map(|_| [Vec::new(), Vec::new()]);
    for turn in 0..repeat(3) {
        // Each begins as often as the others.
        for place in 0..ways.len() {
            let i = (turn + place) % ways.len();
            let took = ways[i].twice(home.path())?;
            for (all, one) in times[i].iter_mut().zip(took) {
                all.push(one);
            }
        }
    }
    let [installed, sent, shell] = times.map(|runs| runs.map(median));
    for (which, run) in ["first run", "again"].iter().zip(0..) {
        table.ratio(
            &format!("playbook, {which}: program installed / shell tasks"),
            installed[run],
            shell[run],
            TARGET,
        );
        table.ratio(&format!("playbook, {which}: program sent / shell tasks"), sent[run], shell[run], TARGET);
    }
    Ok(())
}

/// A way to get there.
#[derive(Default)]
struct Way {
    playbook: PathBuf,
    /// Where the modules are.
    library: PathBuf,
    /// The program is put on the hosts before.
    installed: bool,
}

impl Way {
    fn new(home: &Path, name: &str, installed: bool) -> Result<Self> {
        let examples = made::checkout().join("examples-ansible");
        let mut make = Command::new(examples.join("make-library"));
        if installed {
            make.arg("--installed").arg(home.join(name));
        } else {
            make.arg(home.join(name)).arg(made::dist("drbd-host")?);
        }
        support::run(&mut make)?.ok()?;
        let playbook = examples.join("two-hosts/site.yml");
        // Modules beside a playbook are found before any others: a copy has none.
        let copy = home.join(name).join("site.yml");
        fs::copy(playbook, &copy)?;
        Ok(Self { playbook: copy, library: home.join(name).join("library"), installed })
    }

    /// On hosts of its own: from blank disks, and again.
    fn twice(&self, home: &Path) -> Result<[Duration; 2]> {
        let lab = Lab::up(2)?;
        if self.installed {
            for host in [1, 2] {
                lab.write(host, crate::host::PROGRAM, &fs::read(made::dist("drbd-host")?)?)?;
                lab.sh(host, &format!("chmod 755 {}", crate::host::PROGRAM))?;
            }
        }
        let first = time(|| self.play(&lab, home))?;
        let second = time(|| self.play(&lab, home))?;
        let disks = lab.sh(1, "drbdadm dstate r0")?;
        ensure!(disks.trim() == "UpToDate/UpToDate", "{}: {disks}", self.playbook.display());
        Ok([first, second])
    }

    fn play(&self, lab: &Lab, home: &Path) -> Result<()> {
        let inventory = made::checkout().join("examples-ansible/two-hosts/inventory.yml");
        let config = home.join("ansible.cfg");
        fs::write(&config, "")?;
        let mut command = Command::new(made::ansible("ansible-playbook")?);
        command
            .arg("--inventory")
            .arg(inventory)
            .arg(&self.playbook)
            .env("SSH_CONFIG", lab.ssh_config())
            .env("HOME", home)
            .env("ANSIBLE_CONFIG", config)
            .env("ANSIBLE_LIBRARY", &self.library)
            // One for each lab: a connection to the h1 of the last lab must not be taken for one to this.
            .env("ANSIBLE_SSH_CONTROL_PATH_DIR", lab.dir().join("c"));
        support::run(&mut command)?.ok().map(drop)
    }
}
