// SPDX-License-Identifier: MPL-2.0
//! Hosts that lack what Ansible likes to have, and runs that Ansible ends: the tasks do their work all the same, or say
//! why not, and nothing is half done.
//!
//! Not here: faults of disks and of DRBD (`host_faults.rs`).

use serde_json::{Value, json};
use support::Lab;

use crate::play::{Controller, Run};
use crate::playbook;

/// A module is then a file on the host.
const UNPIPELINED: &str = "ansible_pipelining=false drbd_pipelining=false";

fn pool() -> Value {
    json!({ "volume_group": "drbdpool", "thin_pool": "thinpool", "disks": ["/dev/ubdb"] })
}

fn make_pool(lab: &Lab, controller: &Controller, more: &[&str]) -> Run {
    let tasks = json!([{ "name": "pool", "drbd_storage_pool": pool() }]);
    controller.play(lab, &controller.write("pool.yml", &playbook(&tasks)), more)
}

#[test]
fn a_host_without_python_is_a_host() {
    let (lab, controller) = (Lab::up(1).unwrap(), Controller::new());
    lab.sh(1, "for p in /usr/bin/python3*; do mv $p /root/; done; ! command -v python3").unwrap();
    // What would need Python is said, after the program was put there.
    let run = controller.install(&lab, &["--limit", "h1"]);
    assert_eq!(run.recap["h1"][2], 1);
    assert!(
        run.output.stdout.contains("there is no python3, which changing that needs"),
        "{}",
        run.output.stdout
    );
    controller.install(&lab, &["--limit", "h1", "-e", "install_drbd_lvm_filter=false"]).ok();
    assert_eq!(make_pool(&lab, &controller, &["--check"]).ok().changed("h1"), 1);
    assert_eq!(make_pool(&lab, &controller, &[]).ok().changed("h1"), 1);
    assert_eq!(make_pool(&lab, &controller, &[]).ok().changed("h1"), 0);
    let without = make_pool(&lab, &controller, &["-e", UNPIPELINED]).ok();
    assert_eq!(without.changed("h1"), 0);
}

#[test]
fn a_temporary_directory_may_be_full_or_noexec() {
    let (lab, controller) = (Lab::up(1).unwrap(), Controller::new());
    controller.install(&lab, &["--limit", "h1"]).ok();
    lab.sh(1, "mkdir -p /root/.ansible && for d in /tmp /var/tmp /root/.ansible; do mount -t tmpfs -o noexec,size=256k tmpfs $d; done")
        .unwrap();
    // Without pipelining a module is a file there; the shell reads it all the same.
    assert_eq!(make_pool(&lab, &controller, &["-e", UNPIPELINED, "--check"]).ok().changed("h1"), 1);
    lab.sh(1, "for d in /tmp /var/tmp /root/.ansible; do cat /dev/zero >$d/full 2>/dev/null; done; df /root/.ansible | grep -q 100%").unwrap();
    let full = make_pool(&lab, &controller, &["-e", UNPIPELINED]);
    assert_eq!(full.changed("h1"), 0, "{}", full.output.stdout);
    assert!(!full.output.success());
    assert_eq!(lab.sh(1, "vgs --noheadings").unwrap(), "");
    // With it no file is written.
    assert_eq!(make_pool(&lab, &controller, &[]).ok().changed("h1"), 1);
    assert_eq!(lab.sh(1, "lvs --noheadings -o lv_name drbdpool").unwrap().trim(), "thinpool");
}

#[test]
fn ansible_may_kill_a_run_and_the_next_one_goes_on() {
    let (lab, controller) = (Lab::up(1).unwrap(), Controller::new());
    controller.install(&lab, &["--limit", "h1"]).ok();
    // A volume group that takes its time: long enough for Ansible to kill the run in the middle of that step.
    let slow = "#!/bin/sh\n[ \"$1\" != vgcreate ] || { echo $$ >/run/vgcreate; sleep 600; }\nexec /usr/sbin/lvm \"$@\"\n";
    lab.write(1, "/usr/local/sbin/lvm", slow.as_bytes()).unwrap();
    lab.sh(1, "chmod 755 /usr/local/sbin/lvm").unwrap();
    let tasks = json!([{ "name": "pool", "drbd_storage_pool": pool(), "async": 25, "poll": 1 }]);
    let run = controller.play(&lab, &controller.write("async.yml", &playbook(&tasks)), &[]);
    assert!(!run.output.success(), "{}", run.output.stdout);
    assert!(run.output.stdout.contains("Timeout exceeded"), "{}", run.output.stdout);
    lab.sh(1, "test -s /run/vgcreate").unwrap();
    // The command itself is in a group of its own, so that it is never cut half-way. As long as it lives, nobody else works.
    let mut impatient = pool();
    impatient["lock_timeout"] = json!(0);
    let tasks = json!([{ "name": "pool", "drbd_storage_pool": impatient }]);
    let second = controller.play(&lab, &controller.write("second.yml", &playbook(&tasks)), &[]);
    assert_eq!(second.reply("pool", "h1")["code"], "locked", "{}", second.output.stdout);
    lab.sh(1, "kill -KILL -$(cat /run/vgcreate); rm /usr/local/sbin/lvm").unwrap();
    let next = make_pool(&lab, &controller, &[]).ok();
    assert_eq!(next.changed("h1"), 1, "{}", next.output.stdout);
    assert_eq!(make_pool(&lab, &controller, &[]).ok().changed("h1"), 0);
    assert_eq!(lab.sh(1, "lvs --noheadings -o lv_name drbdpool").unwrap().trim(), "thinpool");
}
