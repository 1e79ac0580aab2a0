// SPDX-License-Identifier: MPL-2.0
//! The playbooks of `examples-ansible/` that use the collection's roles, on real hosts: each is run twice, the second time without
//! a change, and what it did is looked at on the hosts.
//!
//! The hosts run DRBD 8.4, which knows two hosts; for them the third zone and the quorum are taken out. All three zones are
//! made on hosts whose DRBD 9 kernel side is simulated.
//! Each test takes another version of ansible-core, the oldest, the newest and one between, so that the roles meet all three.
//! Not here: the example `two-hosts`, which needs no role (`tests/ansible`).

mod takeover;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use support::{Collection, Lab, LabOptions, made, run};

/// What `site.yml` is, but for the role `install`.
const CLUSTER: &str = "replivol.drbd.cluster";

const BOTH: [(usize, &str); 2] = [(1, "h1.example.org"), (2, "h2.example.org")];

/// A copy of one example, as a user has it.
struct Example<'a> {
    lab: &'a Lab,
    collection: Collection,
    dir: PathBuf,
}

/// What a run of a playbook said.
struct Said {
    good: bool,
    text: String,
    /// Host → (changed, failed, unreachable).
    recap: BTreeMap<String, [usize; 3]>,
}

impl<'a> Example<'a> {
    /// For one installation of Ansible, as [`made::ansible_of`] names it.
    fn copy(lab: &'a Lab, name: &str, installation: &'static str) -> Result<Self> {
        let collection = Collection::install_with(installation)?;
        let dir = collection.path(name);
        let from = made::checkout().join("examples-ansible").join(name);
        run(Command::new("cp").arg("-R").arg(from).arg(&dir))?.ok()?;
        // Hosts call themselves by their full names, as many do.
        lab.name_hosts_fully()?;
        let inventory = dir.join("inventory.yml");
        let text = fs::read_to_string(&inventory)?;
        let named = (1..=3)
            .fold(text, |text, host| text.replace(&format!("h{host}:"), &format!("h{host}.example.org:")));
        fs::write(inventory, named)?;
        Ok(Self { lab, collection, dir })
    }

    fn replace(&self, file: &str, from: &str, to: &str) -> Result<()> {
        let path = self.dir.join(file);
        let text = fs::read_to_string(&path)?;
        ensure!(text.contains(from), "{file} does not contain {from:?}");
        Ok(fs::write(path, text.replace(from, to))?)
    }

    fn ansible(&self, program: &str, arguments: &[&str]) -> Result<Command> {
        let arguments: Vec<&str> = ["-i", "inventory.yml"].iter().chain(arguments).copied().collect();
        let mut ansible = self.collection.ansible(self.lab, program, &self.dir, &arguments)?;
        ansible.env("SSH_CONFIG", self.lab.ssh_config());
        Ok(ansible)
    }

    fn play(&self, arguments: &[&str]) -> Result<Said> {
        Ok(Said::of(&run(&mut self.ansible("ansible-playbook", arguments)?)?))
    }

    /// Runs a playbook twice: it ends well, and the second run changes nothing.
    fn twice(&self, arguments: &[&str]) -> Result<Said> {
        let first = self.play(arguments)?.good()?;
        let second = self.play(arguments)?.good()?;
        ensure!(second.recap.values().all(|[changed, ..]| *changed == 0), "the second run:\n{}", second.text);
        Ok(first)
    }

    /// One call of a module by hand.
    fn module(&self, host: &str, module: &str, arguments: &str) -> Result<String> {
        let module = format!("replivol.drbd.{module}");
        run(&mut self.ansible("ansible", &[host, "-b", "-m", &module, "-a", arguments])?)?.ok()
    }

    fn all_good(&self, resource: &str) -> Result<()> {
        for (host, _) in BOTH {
            let wanted = format!("drbdadm dstate {resource} | grep -qx UpToDate/UpToDate");
            self.lab.eventually(host, Duration::from_secs(60), &wanted)?;
        }
        Ok(())
    }
}

impl Said {
    fn of(output: &support::Output) -> Self {
        let text = format!("{}{}", output.stdout, output.stderr);
        let counts = |line: &str| {
            let count = |name: &str| {
                let word =
                    line.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
                word.and_then(|number| number.parse().ok()).unwrap_or(0)
            };
            [count("changed"), count("failed"), count("unreachable")]
        };
        let hosts = text.lines().filter_map(|line| {
            let (host, rest) = line.split_once(" : ok=")?;
            Some((host.trim().to_owned(), counts(rest)))
        });
        Self { good: output.success(), recap: hosts.collect(), text }
    }

    fn good(self) -> Result<Self> {
        ensure!(self.good && self.recap.len() >= 2, "{}", self.text);
        Ok(self)
    }

    /// Whether a host did not answer. That ssh gave up is "unreachable" to Ansible; when Ansible itself was quicker to, it
    /// is "failed".
    fn lost(&self, host: &str) -> bool {
        let [_, failed, unreachable] = self.recap[host];
        unreachable == 1 || failed == 1 && self.text.contains("waiting for privilege escalation prompt")
    }

    /// Where a text stands after another; fails when it does not.
    fn after(&self, from: usize, part: &str) -> Result<usize> {
        let rest = self.text.get(from..).unwrap_or_default();
        rest.find(part).map(|at| from + at).with_context(|| format!("{part:?} does not follow in\n{rest}"))
    }
}

fn file_of(lab: &Lab, host: usize) -> Result<String> {
    lab.sh(host, "sha256sum </etc/drbd.d/r0.res; stat -c %Y /etc/drbd.d/r0.res")
}

#[test]
fn three_zones_are_made_changed_grown_upgraded_and_repaired() -> Result<()> {
    let lab = Lab::start(&LabOptions { hosts: 2, disks: 1, disk_size: "320M".to_owned() })?;
    let example = Example::copy(&lab, "three-zones", "ansible")?;
    let inventory = fs::read_to_string(example.dir.join("inventory.yml"))?;
    let two: String = inventory
        .lines()
        .filter(|line| !line.contains("h3.example.org:"))
        .map(|line| format!("{line}\n"))
        .collect();
    fs::write(example.dir.join("inventory.yml"), two)?;
    example.replace(
        "group_vars/by_hand.yml",
        "quorum: { quorum: majority, on-no-quorum: io-error }",
        "quorum: {}",
    )?;
    // As fast as it goes: DRBD's own way begins slowly, and what grows and what is replaced is synchronised here.
    example.replace(
        "group_vars/by_hand.yml",
        "net: { protocol: C }",
        "net: { protocol: C }\n    disk: { c-plan-ahead: 0, resync-rate: 800M }",
    )?;

    foretold_from_blank(&lab, &example)?;
    example.twice(&["site.yml"])?;
    example.all_good("r0")?;
    let synced = lab.sh(1, "cat /proc/drbd")?;
    ensure!(synced.contains("ns:0 "), "the first full synchronisation was skipped: {synced}");

    one_host_after_the_other(&lab, &example)?;
    a_host_that_cannot_be_reached_stops_everything(&lab, &example)?;
    let sum = grown(&lab, &example)?;
    upgraded(&lab, &example)?;
    replaced(&lab, &example, &sum)
}

#[test]
fn a_port_that_is_shut_between_two_hosts_ends_the_run_before_anything_is_made() -> Result<()> {
    let lab = Lab::start(&LabOptions { hosts: 2, disks: 1, disk_size: "192M".to_owned() })?;
    let example = Example::copy(&lab, "three-zones", "ansible-2.14")?;
    let inventory = fs::read_to_string(example.dir.join("inventory.yml"))?;
    let two: String = inventory
        .lines()
        .filter(|line| !line.contains("h3.example.org:"))
        .map(|line| format!("{line}\n"))
        .collect();
    fs::write(example.dir.join("inventory.yml"), two)?;
    let quorum = "quorum: { quorum: majority, on-no-quorum: io-error }";
    example.replace("group_vars/by_hand.yml", quorum, "quorum: {}")?;
    let impatient = ["site.yml", "-e", "cluster_ports_timeout=5"];

    lab.cut_pair(1, 2)?;
    let shut = example.play(&impatient)?;
    ensure!(!shut.good && shut.recap.values().all(|[_, failed, _]| *failed == 1), "{}", shut.text);
    for part in [
        "replication ports reachable pairwise",
        "from h1.example.org to h2.example.org at 10.99.0.12:7000/TCP",
        "drbd_security_group",
    ] {
        ensure!(shut.text.contains(part), "{part}: {}", shut.text);
    }
    assert_no_trace(&lab)?;
    lab.heal_pair(1, 2)?;

    // A program has the port of one of them: that one says so, whatever the other finds.
    let squat = "import socket, time; s = socket.create_server((\"\", 7000)); time.sleep(600)";
    lab.sh(2, &format!("nohup python3 -c '{squat}' >/dev/null 2>&1 & echo $! >/run/squat"))?;
    lab.eventually(2, Duration::from_secs(20), "grep -q ':1B58 00000000:0000 0A' /proc/net/tcp")?;
    let taken = example.play(&impatient)?;
    ensure!(!taken.good && taken.text.contains("TCP port 7000 is taken: process "), "{}", taken.text);
    ensure!(taken.text.contains("(python3) listens on it"), "{}", taken.text);
    assert_no_trace(&lab)?;
    lab.sh(2, "kill $(cat /run/squat)")?;

    // One host after the other, where nobody could meet.
    example.play(&["site.yml", "--forks", "1"])?.good()?;
    example.all_good("r0")
}

/// No configuration, and every byte of the disks is zero.
fn assert_no_trace(lab: &Lab) -> Result<()> {
    for (host, _) in BOTH {
        lab.sh(host, "sync; ! ls /etc/drbd.d/r0.res 2>/dev/null")?;
        let image = lab.disk_image(host, 1);
        let size = fs::metadata(&image)?.len().to_string();
        run(Command::new("cmp").args(["--bytes", &size]).arg(image).arg("/dev/zero"))?.ok()?;
    }
    Ok(())
}

#[test]
fn three_zones_are_made_on_three_hosts_with_drbd_9() -> Result<()> {
    let lab = Lab::up(3)?;
    lab.simulate_drbd9(3)?;
    let example = Example::copy(&lab, "three-zones", "ansible-2.21")?;
    let said = example.twice(&["site.yml"])?;
    assert_eq!(said.recap.len(), 3, "{}", said.text);
    for host in 1..=3 {
        let status = lab.sh(host, "drbdadm status r0")?;
        assert_eq!(status.matches("UpToDate").count(), 3, "h{host}: {status}");
        ensure!(lab.sh(host, "drbdsetup show r0")?.contains("majority"), "h{host} has no quorum");
    }
    a_host_that_is_lost_in_its_turn_stops_the_rest(&lab, &example)?;
    hosts_that_are_told_different_things_are_refused(&lab, &example)?;
    two_nodes_with_one_number_are_refused(&lab, &example)?;
    hosts_of_other_names_are_refused(&lab, &example)
}

/// drbdadm of h1.example.org stops in the middle of the change until it is told to go on.
const SLOW_ADJUST: &str = r#"#!/bin/sh
[ "$1" != adjust ] || { rm /usr/local/sbin/drbdadm; touch /run/turn; until [ -e /run/go ]; do sleep 0.2; done; }
exec /usr/sbin/drbdadm "$@"
"#;

/// The host whose turn it is cannot be reached any more: the others are not touched. The next run goes on where that one ended.
fn a_host_that_is_lost_in_its_turn_stops_the_rest(lab: &Lab, example: &Example<'_>) -> Result<()> {
    let minute = Duration::from_secs(60);
    example.replace(
        "group_vars/by_hand.yml",
        "net: { protocol: C }",
        "net: { protocol: C, max-buffers: 4000 }",
    )?;
    let before = [file_of(lab, 2)?, file_of(lab, 3)?];
    lab.write(1, "/usr/local/sbin/drbdadm", SLOW_ADJUST.as_bytes())?;
    lab.sh(1, "chmod 755 /usr/local/sbin/drbdadm")?;
    let mut play = example.ansible("ansible-playbook", &[CLUSTER])?;
    // A connection that is silent for so long is given up.
    play.env(
        "ANSIBLE_SSH_ARGS",
        "-o ControlMaster=auto -o ControlPersist=5s -o ServerAliveInterval=2 -o ServerAliveCountMax=4",
    )
    .env("ANSIBLE_SSH_CONTROL_PATH_DIR", example.collection.path("d"))
    .env("ANSIBLE_TIMEOUT", "5");
    let lost = std::thread::scope(|scope| {
        let cut = scope.spawn(|| {
            lab.eventually(1, 2 * minute, "test -e /run/turn")?;
            lab.cut(1)
        });
        let said = run(&mut play);
        cut.join().map_err(|_| anyhow::anyhow!("the cutting panicked"))??;
        said
    })?;
    lab.heal(1)?;
    let lost = Said::of(&lost);
    ensure!(!lost.good && lost.recap["h1.example.org"][2] == 1, "{}", lost.text);
    ensure!(
        lost.recap["h2.example.org"][0] == 0 && lost.recap["h3.example.org"] == [0, 0, 0],
        "{}",
        lost.text
    );
    assert_eq!([file_of(lab, 2)?, file_of(lab, 3)?], before);
    ensure!(!lab.sh(2, "drbdsetup show r0")?.contains("4000"));

    lab.sh(1, "touch /run/go")?;
    let good = "drbdadm dstate r0 | grep -qx UpToDate/UpToDate/UpToDate";
    (1..=3).try_for_each(|host| lab.eventually(host, minute, good).map(drop))?;
    let next = example.twice(&[CLUSTER])?;
    assert_eq!([next.recap["h2.example.org"][0], next.recap["h3.example.org"][0]], [1, 1], "{}", next.text);
    (1..=3).try_for_each(|host| {
        ensure!(lab.sh(host, "drbdsetup show r0")?.contains("4000"), "h{host}");
        Ok(())
    })
}

/// What differs between the hosts' declarations is refused, with the resource and the hosts, before anything is done.
fn hosts_that_are_told_different_things_are_refused(lab: &Lab, example: &Example<'_>) -> Result<()> {
    let before = [file_of(lab, 1)?, file_of(lab, 3)?];
    let inventory = fs::read_to_string(example.dir.join("inventory.yml"))?;
    let line = inventory
        .lines()
        .find(|line| line.contains("h3.example.org: {"))
        .context("h3.example.org in the inventory")?;
    let other = line.replace("h3.example.org: {", "h3.example.org: { drbd_resources: { r0: { nodes: { h1.example.org: {}, h2.example.org: {}, h3.example.org: {} } } },");
    example.replace("inventory.yml", line, &other)?;
    let said = example.play(&[CLUSTER])?;
    ensure!(!said.good && said.recap.values().all(|[changed, ..]| *changed == 0), "{}", said.text);
    ensure!(
        said.text.contains("r0 is declared otherwise on h3.example.org than on h1.example.org"),
        "{}",
        said.text
    );
    assert_eq!([file_of(lab, 1)?, file_of(lab, 3)?], before);
    example.replace("inventory.yml", &other, line)
}

/// Two nodes with one number are refused, with both names, before anything is done.
fn two_nodes_with_one_number_are_refused(lab: &Lab, example: &Example<'_>) -> Result<()> {
    let before = file_of(lab, 1)?;
    example.replace("inventory.yml", "node_id: 2", "node_id: 1")?;
    let twice = example.play(&[CLUSTER])?;
    ensure!(!twice.good && twice.recap.values().all(|[changed, ..]| *changed == 0), "{}", twice.text);
    ensure!(twice.text.contains("has too"), "{}", twice.text);
    assert_eq!(file_of(lab, 1)?, before);
    example.replace("inventory.yml", "node_id: 1, address: 10.99.0.13", "node_id: 2, address: 10.99.0.13")?;
    let again = example.play(&[CLUSTER])?.good()?;
    ensure!(again.recap.values().all(|[changed, ..]| *changed == 0), "{}", again.text);
    Ok(())
}

/// A host that calls itself otherwise than the inventory does, and hosts that no declaration knows, are refused before
/// anything is done.
fn hosts_of_other_names_are_refused(lab: &Lab, example: &Example<'_>) -> Result<()> {
    let before = [file_of(lab, 1)?, file_of(lab, 3)?];
    let refused = |arguments: &[&str], why: &str| -> Result<()> {
        let said = example.play(&[&[CLUSTER], arguments].concat())?;
        ensure!(!said.good && said.recap.values().all(|[changed, ..]| *changed == 0), "{}", said.text);
        // Long messages are folded by some versions.
        let words: Vec<&str> = said.text.split_whitespace().collect();
        ensure!(words.join(" ").contains(why), "{why}: {}", said.text);
        Ok(())
    };
    example.replace("inventory.yml", "h3.example.org: {", "third: { ansible_host: h3.example.org,")?;
    refused(&[], "third of the inventory calls itself h3.example.org (uname -n). Nothing was changed.")?;
    for name in ["h1.example.org", "h2.example.org"] {
        example.replace(
            "inventory.yml",
            &format!("{name}: {{"),
            &format!("{name}.site: {{ ansible_host: {name},"),
        )?;
    }
    let node = |host: usize| {
        serde_json::json!({ "node_id": host - 1, "address": lab.address(host),
            "storage": { "lvm_thin": { "volume_group": "drbdpool", "thin_pool": "thinpool" } } })
    };
    let nodes = serde_json::json!({ "nodes": { "h1.example.org": node(1), "h2.example.org": node(2), "h3.example.org": node(3) } });
    let why = "None of the hosts of this play (h1.example.org.site, h2.example.org.site, third) is a node of what drbd_resources declares (for h1.example.org, h2.example.org, h3.example.org).";
    refused(&["-e", &nodes.to_string()], why)?;
    assert_eq!([file_of(lab, 1)?, file_of(lab, 3)?], before);
    Ok(())
}

/// Check mode goes through on hosts that have the program and nothing else, tells what would be made, and makes nothing.
fn foretold_from_blank(lab: &Lab, example: &Example<'_>) -> Result<()> {
    let install = "[{hosts: drbd, become: true, gather_facts: false, roles: [replivol.drbd.install]}]";
    fs::write(example.dir.join("install.yml"), install)?;
    example.play(&["install.yml"])?.good()?;
    let said = example.play(&[CLUSTER, "--check", "--diff"])?.good()?;
    for text in ["+resource \"r0\" {", "internal create-md"] {
        ensure!(said.text.contains(text), "{text}: {}", said.text);
    }
    for (_, name) in BOTH {
        assert_eq!(said.recap[name][0], 2, "the pool and the resource: {}", said.text);
    }
    assert_no_trace(lab)
}

/// What is in service is changed on h1.example.org, then waited for, then changed on h2.
fn one_host_after_the_other(lab: &Lab, example: &Example<'_>) -> Result<()> {
    example.replace(
        "group_vars/by_hand.yml",
        "net: { protocol: C }",
        "net: { protocol: C, max-buffers: 4000 }",
    )?;
    let said = example.twice(&[CLUSTER])?;
    let play = said.after(0, "PLAY [Change what is in service, one host at a time]")?;
    let first = said.after(play, "changed: [h1.example.org] => (item=r0)")?;
    let task = said
        .after(first, "TASK [replivol.drbd.cluster : Wait until this host and its peers have good data]")?;
    let waited = said.after(task, "ok: [h1.example.org] => (item=r0)")?;
    let second = said.after(waited, "changed: [h2.example.org] => (item=r0)")?;
    said.after(second, "ok: [h2.example.org] => (item=r0)")?;
    assert_eq!(
        said.recap.values().map(|[changed, ..]| *changed).collect::<Vec<_>>(),
        [1, 1],
        "{}",
        said.text
    );
    for (host, _) in BOTH {
        ensure!(lab.sh(host, "drbdsetup show r0")?.contains("4000"));
    }
    // Two that disagree on the protocol might not connect, so that nothing is to be waited for between them.
    example.replace("group_vars/by_hand.yml", "protocol: C", "protocol: B")?;
    example.play(&[CLUSTER])?.good()?;
    example.all_good("r0")
}

fn a_host_that_cannot_be_reached_stops_everything(lab: &Lab, example: &Example<'_>) -> Result<()> {
    example.replace("group_vars/by_hand.yml", "max-buffers: 4000", "max-buffers: 5000")?;
    let before = file_of(lab, 1)?;
    lab.cut(2)?;
    let mut play = example.ansible("ansible-playbook", &["site.yml"])?;
    // A connection that is still open would wait for an answer.
    let cut = Said::of(&run(play
        .env("ANSIBLE_SSH_CONTROL_PATH_DIR", example.collection.path("d"))
        .env("ANSIBLE_TIMEOUT", "5"))?);
    lab.heal(2)?;
    ensure!(!cut.good && cut.lost("h2.example.org") && cut.recap["h1.example.org"][0] == 0, "{}", cut.text);
    assert_eq!(file_of(lab, 1)?, before);
    ensure!(!lab.sh(1, "drbdsetup show r0")?.contains("5000"));
    example.all_good("r0")?;

    // A part of the hosts is refused for the same reason: the rest would not know.
    let part = example.play(&[CLUSTER, "--limit", "h1.example.org"])?;
    ensure!(!part.good && part.text.contains("Run it for all of them (without --limit)"), "{}", part.text);
    assert_eq!(file_of(lab, 1)?, before);
    let next = example.play(&[CLUSTER])?.good()?;
    assert_eq!(
        next.recap.values().map(|[changed, ..]| *changed).collect::<Vec<_>>(),
        [1, 1],
        "{}",
        next.text
    );
    Ok(())
}

/// The volume grows while its file system is in use; returns the checksum of what is in it.
fn grown(lab: &Lab, example: &Example<'_>) -> Result<String> {
    let made = r#"{"name": "r0", "role": "primary", "mounts": [{"path": "/srv/data", "fstype": "ext4", "make_filesystem": true}]}"#;
    example.module("h1.example.org", "drbd_role", made)?;
    let sum = lab.sh(1, "head -c 4M /dev/urandom >/srv/data/file && sync && sha256sum </srv/data/file")?;
    let size =
        || -> Result<u64> { Ok(lab.sh(1, "df --output=size -k /srv/data | tail -n 1")?.trim().parse()?) };
    let before = size()?;
    example.replace("group_vars/by_hand.yml", "volume_size: 64MiB", "volume_size: 128MiB")?;
    example.twice(&["grow.yml", "-e", "mount_point=/srv/data"])?;
    let after = size()?;
    ensure!(after > before + 50_000, "the file system had {before} KiB and has {after} KiB");
    assert_eq!(lab.sh(1, "sha256sum </srv/data/file")?, sum);
    Ok(sum)
}

fn upgraded(lab: &Lab, example: &Example<'_>) -> Result<()> {
    let refused = example.play(&["upgrade.yml"])?;
    ensure!(
        !refused.good && refused.text.contains("/srv/data"),
        "the mounted file system is named: {}",
        refused.text
    );
    ensure!(refused.recap["h1.example.org"][1] == 1, "{}", refused.text);
    ensure!(refused.text.find("Upgrade the packages").is_none(), "{}", refused.text);
    example.module(
        "h1.example.org",
        "drbd_role",
        r#"{"name": "r0", "role": "secondary", "mounts": [{"path": "/srv/data"}]}"#,
    )?;
    newer_package(lab)?;
    let said = example.twice(&["upgrade.yml", "-e", r#"{"packages": ["replivol-example"]}"#])?;
    assert_eq!(
        said.recap.values().map(|[changed, ..]| *changed).collect::<Vec<_>>(),
        [1, 1],
        "{}",
        said.text
    );
    for (host, _) in BOTH {
        assert_eq!(lab.sh(host, "dpkg-query -W -f '${Version}' replivol-example")?, "2");
    }
    example.all_good("r0")
}

/// Version 1 of a package is installed on both hosts, and version 2 is on offer: they have no network to take real ones from.
fn newer_package(lab: &Lab) -> Result<()> {
    let script = r#"set -e
        mkdir -p /root/repo && cd /root/repo
        for version in 1 2; do
            mkdir -p "p$version/DEBIAN"
            printf 'Package: replivol-example\nVersion: %s\nArchitecture: all\nMaintainer: Example <root@localhost>\nDescription: example\n' "$version" >"p$version/DEBIAN/control"
            dpkg-deb --build "p$version" "replivol-example_$version.deb" >/dev/null
        done
        dpkg -i replivol-example_1.deb >/dev/null
        { cat p2/DEBIAN/control; echo "Filename: ./replivol-example_2.deb"; echo "Size: $(stat -c %s replivol-example_2.deb)"
            echo "SHA256: $(sha256sum replivol-example_2.deb | cut -d' ' -f1)"; } >Packages
        rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*
        echo 'deb [trusted=yes] file:/root/repo ./' >/etc/apt/sources.list
        apt-get update -qq"#;
    for (host, _) in BOTH {
        lab.ssh_with_input(host, "sh -s", script.as_bytes())?.ok()?;
    }
    Ok(())
}

/// h2.example.org comes back with blank disks and nothing installed, and is filled from h1.
fn replaced(lab: &Lab, example: &Example<'_>, sum: &str) -> Result<()> {
    lab.wipe(2)?;
    lab.boot(2)?;
    let generation = "drbdadm get-gi r0 | cut -d: -f1";
    let before = lab.sh(1, generation)?;
    example.twice(&["replace-node.yml", "-e", "replaced=h2.example.org"])?;
    assert_eq!(lab.sh(1, generation)?, before, "the data of h1.example.org are the ones that count");
    example.all_good("r0")?;
    let read = "drbdadm primary r0 && mkdir -p /mnt/r0 && mount -o ro /dev/drbd1000 /mnt/r0 && sha256sum </mnt/r0/file && umount /mnt/r0";
    assert_eq!(lab.sh(2, read)?, sum);
    Ok(())
}

/// A web server over what is below /srv/web, as a service of the host.
const SERVICE: &str = r#"#!/bin/sh
### BEGIN INIT INFO
# Provides:          web
# Required-Start:
# Required-Stop:
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
# Short-Description: web
### END INIT INFO
case $1 in
start) start-stop-daemon --start --oknodo --background --make-pidfile --pidfile /run/web.pid --chdir /srv/web --exec /usr/bin/python3 -- -m http.server 8080 ;;
stop) start-stop-daemon --stop --oknodo --retry 5 --remove-pidfile --pidfile /run/web.pid ;;
status) start-stop-daemon --status --pidfile /run/web.pid ;;
esac
"#;

#[test]
fn a_web_service_moves_between_two_sites_with_its_data() -> Result<()> {
    let lab = Lab::start(&LabOptions { hosts: 2, disks: 2, disk_size: "192M".to_owned() })?;
    let example = Example::copy(&lab, "hybrid", "ansible-2.14")?;
    for (host, _) in BOTH {
        lab.write(host, "/etc/init.d/web", SERVICE.as_bytes())?;
        lab.sh(host, "chmod 755 /etc/init.d/web")?;
    }
    example.twice(&["site.yml"])?;
    example.all_good("web")?;
    ensure!(lab.sh(1, "drbdsetup show web")?.contains("on-congestion"));

    example.twice(&["move.yml", "-e", "to=h1.example.org"])?;
    lab.sh(1, "echo 'written at h1.example.org' >/srv/web/page")?;
    let page = |host: usize| -> Result<String> {
        let get = "python3 -c 'import urllib.request; print(urllib.request.urlopen(\"http://127.0.0.1:8080/page\").read().decode(), end=\"\")'";
        lab.eventually(host, Duration::from_secs(20), get)
    };
    assert_eq!(page(1)?, "written at h1.example.org\n");

    example.twice(&["move.yml", "-e", "to=h2.example.org"])?;
    assert_eq!(page(2)?, "written at h1.example.org\n");
    ensure!(!lab.ssh(1, "/etc/init.d/web status")?.success(), "it runs on one site only");
    assert_eq!(lab.sh(1, "drbdadm role web")?.trim(), "Secondary/Primary");
    lab.sh(2, "echo 'written at h2.example.org' >/srv/web/page")?;

    // The other site cannot be reached: nothing is stopped, and the service goes on where it is.
    lab.cut(1)?;
    let mut play = example.ansible("ansible-playbook", &["move.yml", "-e", "to=h1.example.org"])?;
    let cut = Said::of(&run(play
        .env("ANSIBLE_SSH_CONTROL_PATH_DIR", example.collection.path("d"))
        .env("ANSIBLE_TIMEOUT", "5"))?);
    ensure!(!cut.good && cut.lost("h1.example.org"), "{}", cut.text);
    assert_eq!(page(2)?, "written at h2.example.org\n");
    lab.heal(1)?;
    example.all_good("web")?;

    example.play(&["move.yml", "-e", "to=h1.example.org"])?.good()?;
    assert_eq!(page(1)?, "written at h2.example.org\n");
    Ok(())
}
