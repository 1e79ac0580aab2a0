// SPDX-License-Identifier: MPL-2.0
//! The collection with every version of ansible-core that it is tested with: the example twice, how often Ansible goes
//! to a host, the background, and programs that are missing, strange, or of another protocol.
//!
//! Not here: the role (`role.rs`), and hosts that lack something (`faults.rs`).

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};
use support::Lab;

use crate::play::{Controller, Run};
use crate::{HOSTS, playbook, with};

/// From the oldest on.
const INSTALLATIONS: [&str; 3] = ["ansible-2.14", "ansible", "ansible-2.21"];

#[test]
fn every_version_of_ansible_runs_the_playbook_with_one_ssh_execution_for_a_task() {
    let lab = Lab::up(2).unwrap();
    for installation in INSTALLATIONS {
        let controller = Controller::with(installation);
        let oldest = installation == INSTALLATIONS[0];
        let installed = controller.install(&lab, &[]).ok();
        let run = controller.example(&lab, &["-vvv", "--diff"]).ok();
        for (_, name) in HOSTS {
            assert_eq!(installed.changed(name) > 0, oldest, "{installation}: {}", installed.output.stdout);
            assert_eq!(run.changed(name) > 0, oldest, "{installation}: {}", run.output.stdout);
        }
        // Where the data are good already, the first synchronisation and the facts for it are skipped.
        let tasks = if oldest { 6 } else { 4 };
        assert_eq!(run.executions(), 2 * tasks, "{installation}: {}", run.output.stdout);
        // Whatever the setting.
        let again = controller.example(&lab, &["-vvv", "--check", "-eansible_pipelining=false"]).ok();
        assert_eq!((again.changed("h1"), again.changed("h2"), again.executions()), (0, 0, 2 * 4));
        in_the_background(&lab, &controller);
    }
}

/// async, and module_defaults of a group with an option that all of its modules have.
fn in_the_background(lab: &Lab, controller: &Controller) {
    let pool = json!({ "volume_group": "other", "disks": ["/dev/ubdc"], "state": "absent" });
    let tasks = json!([{ "hosts": "h1", "become": true, "gather_facts": false,
        "module_defaults": { "group/replivol.drbd.locking": { "lock_timeout": "soon" } },
        "tasks": [
            { "name": "background", "replivol.drbd.drbd_info": {}, "async": 60, "poll": 1 },
            { "name": "group", "replivol.drbd.drbd_storage_pool": pool, "ignore_errors": true },
        ] }]);
    let run = controller.play(lab, &controller.write("background.yml", &tasks.to_string()), &[]);
    assert_eq!(run.reply("background", "h1")["facts"]["node"], "h1");
    let refused = &run.reply("group", "h1")["msg"];
    assert!(refused.as_str().is_some_and(|msg| msg.contains("lock_timeout")), "{refused}");
}

/// Who may become root on h1, and how: user, line of sudoers.
const SUDOERS: [(&str, &str); 4] = [
    ("free", "free ALL=(ALL) NOPASSWD: ALL"),
    ("word", "word ALL=(ALL) ALL"),
    ("term", "Defaults:term requiretty\\nterm ALL=(ALL) NOPASSWD: ALL"),
    ("both", "Defaults:both requiretty\\nboth ALL=(ALL) ALL"),
];

#[test]
fn a_sudo_that_wants_a_terminal_gets_one() {
    let lab = Lab::up(1).unwrap();
    Controller::new().install(&lab, &["--limit", "h1"]).ok();
    lab.sh(1, "echo root:right | chpasswd").unwrap();
    for (user, rules) in SUDOERS {
        let script = format!(
            "useradd -m {user} && echo {user}:right | chpasswd && printf '{rules}\\n' >/etc/sudoers.d/{user} \
             && mkdir -m 700 ~{user}/.ssh && cp /root/.ssh/authorized_keys ~{user}/.ssh/ && chown -R {user} ~{user}/.ssh",
        );
        lab.sh(1, &script).unwrap();
    }
    // Task, user, other variables; whether one SSH execution is enough.
    let password = || json!({ "ansible_become_password": "right" });
    let tasks = [
        ("neither", "free", json!({}), true),
        ("a password", "word", password(), true),
        ("a terminal", "term", json!({}), false),
        ("both", "both", password(), false),
        // These are left to the setting.
        ("su", "free", with(password(), json!({ "ansible_become_method": "su" })), false),
        ("switched off", "free", json!({ "drbd_pipelining": false }), false),
    ];
    let mut all: Vec<Value> = tasks
        .iter()
        .map(|(task, user, more, _)| {
            let vars = with(more.clone(), json!({ "ansible_user": user }));
            json!({ "name": task, "drbd_info": {}, "vars": vars })
        })
        .collect();
    let wrong = json!({ "ansible_user": "word", "ansible_become_password": "wrong" });
    all.push(json!({ "name": "wrong", "drbd_info": {}, "vars": wrong, "ignore_errors": true }));
    for installation in INSTALLATIONS {
        let controller = Controller::with(installation);
        let path = controller.write("users.yml", &playbook(&json!(all)));
        let run = controller.play(&lab, &path, &["-vvv", "-eansible_pipelining=false"]).ok();
        for (task, _, _, one) in &tasks {
            assert_eq!(run.reply(task, "h1")["facts"]["node"], "h1", "{installation}");
            let (executions, text) = (run.executions_of(task), &run.output.stdout);
            assert_eq!(executions == 1, *one, "{installation}, {task}: {executions} executions\n{text}");
        }
        assert!(run.reply("wrong", "h1")["msg"].to_string().contains("ncorrect"), "{}", run.output.stdout);
    }
}

/// A play that fails in its one task on h1.
#[track_caller]
fn fails_with(lab: &Lab, controller: &Controller, parts: &[&str]) -> Run {
    let path = controller.write("one.yml", &playbook(&json!([{ "name": "look", "drbd_info": {} }])));
    let run = controller.play(lab, &path, &[]);
    let reply = run.reply("look", "h1");
    assert_eq!((run.recap["h1"][2], &reply["code"]), (1, &json!("environment")), "{reply}");
    let text = format!("{} {}", reply["msg"], reply["next_steps"]);
    for part in parts {
        assert!(text.contains(part), "{part}: {text}");
    }
    run
}

/// A launcher that says another protocol, as a collection of another version has.
fn speak(controller: &Controller, protocol: &str) {
    let path = controller.installed("plugins/modules/drbd_info");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once("--protocol=").unwrap();
    let (_, after) = rest.split_once(" - <<").unwrap();
    let text = format!("{before}--protocol={protocol} --collection=9.8.7 - <<{after}");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
}

#[test]
fn a_program_that_does_not_answer_is_told_in_one_object() {
    let (lab, controller) = (Lab::up(1).unwrap(), Controller::new());
    let install = "Run the role replivol.drbd.install";
    fails_with(
        &lab,
        &controller,
        &["drbd-host is not installed on h1 (x86_64)", "/usr/sbin/drbd-host", install],
    );

    let strange: [(&[u8], &[&str]); 3] = [
        (b"#!/bin/sh\nexit 2\n", &["speaks protocol 1", "is older than that", install]),
        (b"#!/bin/sh\nkill -KILL $$\n", &["ended with status 137", "Run again"]),
        // The beginning of a program for aarch64.
        (
            b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\xb7\0",
            &["cannot be executed on h1 (x86_64)", install],
        ),
    ];
    for (program, parts) in strange {
        lab.write(1, "/usr/local/sbin/drbd-host", program).unwrap();
        lab.sh(1, "chmod 755 /usr/local/sbin/drbd-host").unwrap();
        fails_with(&lab, &controller, parts);
    }

    // The role replaces what is not the collection's own.
    assert_eq!(controller.install(&lab, &["--limit", "h1"]).ok().changed("h1"), 2);
    speak(&controller, "2");
    fails_with(&lab, &controller, &["replivol.drbd 9.8.7 speaks protocol 2", "speaks protocol 1", install]);
    speak(&controller, "0");
    let older = [
        "9.8.7 speaks protocol 0",
        "speaks protocol 1",
        "ansible-galaxy collection install 'replivol.drbd:>=",
    ];
    fails_with(&lab, &controller, &older);
    speak(&controller, "1");
    let path = controller.write("one.yml", &playbook(&json!([{ "name": "look", "drbd_info": {} }])));
    controller.play(&lab, &path, &[]).ok();
}
