// SPDX-License-Identifier: MPL-2.0
//! The Ansible door, from outside: ansible-core, the example, and real hosts.
//!
//! Every test starts from blank disks. What a run says is compared with what is seen on the host: the bytes of its disk,
//! the commands that were called there, the state of DRBD.
//!
//! Not here: which plan is right for which host (the engine's tests), and a host's faults.

mod collection;
mod faults;
mod packages;
mod play;
mod role;
mod spy;
mod tools;

use std::fs;
use std::process::Command;

use play::Controller;
use serde_json::{Value, json};
use support::{Lab, LabOptions, made, run};

const HOSTS: [(usize, &str); 2] = [(1, "h1"), (2, "h2")];

/// Every byte of the disks of both hosts is zero, as it was when the lab came up.
fn assert_blank_disks(lab: &Lab) {
    for (host, _) in HOSTS {
        let image = lab.disk_image(host, 1);
        let size = fs::metadata(&image).unwrap().len().to_string();
        run(Command::new("cmp").args(["--bytes", &size]).arg(image).arg("/dev/zero")).unwrap().ok().unwrap();
    }
}

/// Configuration, records and the module of a host: what a run could leave besides what is on disks.
fn traces(lab: &Lab, host: usize) -> String {
    lab.sh(
        host,
        "ls -l /etc/drbd.d /var/lib/drbd-host /etc/lvm/backup 2>&1; ls -d /sys/module/drbd 2>&1; dmsetup ls",
    )
    .unwrap()
}

#[test]
fn the_example_tells_the_truth_then_does_it_then_has_nothing_to_do() {
    let small = LabOptions { hosts: 2, disks: 1, disk_size: "192M".to_owned() };
    let (lab, controller) = (Lab::start(&small).unwrap(), Controller::new());
    controller.install(&lab, &[]).ok();
    HOSTS.iter().for_each(|(host, _)| spy::install(&lab, *host));
    // A file that is made where it stays has what files there have: the directory's group here, the context under SELinux.
    HOSTS
        .iter()
        .for_each(|(host, _)| drop(lab.sh(*host, "chgrp ops /etc/drbd.d && chmod g+s /etc/drbd.d").unwrap()));

    // Check mode from blank: no task fails though nothing is there, and nothing changes.
    let before = [traces(&lab, 1), traces(&lab, 2)];
    let foretold = controller.example(&lab, &["--check", "--diff"]).ok();
    HOSTS.iter().for_each(|(host, _)| drop(lab.sh(*host, "sync").unwrap()));
    assert_blank_disks(&lab);
    assert_eq!([traces(&lab, 1), traces(&lab, 2)], before);
    for (host, name) in HOSTS {
        let commands = spy::commands(&lab, host);
        assert!(!commands.is_empty());
        assert_eq!(spy::changing(&commands), Vec::<&String>::new());
        assert_eq!(foretold.changed(name), 2);
    }
    for text in ["+resource \"r0\" {", "internal create-md", "+1: create physical volume /dev/ubdb"] {
        assert!(foretold.output.stdout.contains(text), "{text}\n{}", foretold.output.stdout);
    }

    // The real run takes the steps that were foretold.
    let first = controller.example(&lab, &[]).ok();
    for (_, name) in HOSTS {
        assert!(first.changed(name) >= 2, "{:?}", first.recap);
        for module in ["drbd_storage_pool", "drbd_resource"] {
            assert_eq!(first.steps(module, name), foretold.steps(module, name), "{module} on {name}");
            assert!(!first.steps(module, name).is_empty());
        }
    }
    assert_eq!(first.changed("h1") + first.changed("h2"), 5, "one host alone declares the data valid");
    let synced = first.reply("First synchronisation", "h1");
    assert!(synced["facts_used"].as_array().is_some_and(|facts| facts.len() == 2), "{synced}");

    for (host, _) in HOSTS {
        assert_eq!(lab.sh(host, "stat -c '%G %a' /etc/drbd.d/r0.res").unwrap(), "ops 600\n");
    }

    // Data outlive a second run, which changes nothing.
    let written = lab.sh(1, WRITE).unwrap();
    HOSTS.iter().for_each(|(host, _)| drop(spy::commands(&lab, *host)));
    let traces_before = [traces(&lab, 1), traces(&lab, 2)];
    let second = controller.example(&lab, &["--diff"]).ok();
    for (host, name) in HOSTS {
        assert_eq!(second.changed(name), 0, "{}", second.output.stdout);
        let commands = spy::commands(&lab, host);
        assert!(!commands.is_empty());
        assert_eq!(spy::changing(&commands), Vec::<&String>::new());
    }
    // What makes new data valid is skipped where the data are good already.
    let skipped = |outcome: &&play::Outcome| outcome.reply.get("skip_reason").is_some();
    let asked: Vec<_> = second.outcomes.iter().filter(|outcome| !skipped(outcome)).collect();
    assert!(asked.len() >= 2 * 4, "{}", second.output.stdout);
    assert!(asked.iter().all(|outcome| outcome.reply["actions"] == json!([])));
    assert_eq!([traces(&lab, 1), traces(&lab, 2)], traces_before);
    assert_eq!(lab.sh(1, "umount /mnt && drbdadm secondary r0 && echo ok").unwrap(), "ok\n");
    let read = lab.sh(2, "drbdadm primary r0 && mount /dev/drbd1000 /mnt && sha256sum /mnt/data").unwrap();
    assert_eq!(read, written);

    // And check mode on a host that is as declared foretells nothing.
    let foretold = controller.example(&lab, &["--check", "--diff"]).ok();
    assert_eq!((foretold.changed("h1"), foretold.changed("h2")), (0, 0));
}

const WRITE: &str = "drbdadm primary r0 && mkfs.ext4 -q /dev/drbd1000 && mount /dev/drbd1000 /mnt \
    && head -c 5000000 /dev/urandom >/mnt/data && sync && sha256sum /mnt/data";

#[test]
fn secrets_do_not_show_and_a_login_user_becomes_root_without_pipelining() {
    let (lab, controller) = (Lab::up(2).unwrap(), Controller::new());
    controller.install(&lab, &[]).ok();
    // Without pipelining Ansible gives the module a terminal, and merges standard error into its answer.
    let vars = json!({ "ansible_user": "ops", "ansible_pipelining": false, "drbd_pipelining": false });
    let vars = controller.write("vars.json", &vars.to_string());
    let secret = "hunter2Hunter2";
    let mut declaration = declaration();
    declaration["shared_secret"] = json!(secret);
    let r0 = controller.write("r0.json", &json!({ "r0": declaration }).to_string());
    let extra = [format!("-e@{}", vars.display()), format!("-e@{}", r0.display())];
    let arguments = |more: &[&'static str]| -> Vec<String> {
        extra.iter().cloned().chain(more.iter().map(|word| (*word).to_owned())).collect()
    };
    let play = |more: &[&'static str]| {
        let arguments = arguments(more);
        controller.example(&lab, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
    };
    for (more, changes) in
        [(&["-vvv", "--check", "--diff"][..], true), (&["-vvv", "--diff"], true), (&["-v"], false)]
    {
        let run = play(more).ok();
        assert_eq!(run.changed("h1") > 0, changes, "{}", run.output.stdout);
        for text in [&run.output.stdout, &run.output.stderr] {
            assert!(!text.contains(secret), "{text}");
        }
        if more.contains(&"-vvv") {
            assert!(
                run.output.stdout.contains("VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"),
                "{}",
                run.output.stdout
            );
        }
    }
    let file =
        lab.sh(1, "stat -c '%a %U' /etc/drbd.d/r0.res && grep -c shared-secret /etc/drbd.d/r0.res").unwrap();
    assert_eq!(file, "600 root\n1\n");
    assert!(
        lab.sh(1, &format!("grep -rl {secret} /var/log /var/lib /run /tmp /home /root || echo none"))
            .unwrap()
            .contains("none")
    );

    // Without become it is refused, in words, and nothing happens.
    let refused = play(&["--limit", "h1", "-eansible_become=false"]);
    assert_eq!(refused.recap["h1"][2], 1);
    let reply = refused.reply("Volume group", "h1");
    assert!(reply["msg"].as_str().is_some_and(|msg| msg.contains("needs root")), "{reply}");
    assert!(reply["next_steps"].to_string().contains("become: true"), "{reply}");
}

/// The example's declaration.
fn declaration() -> Value {
    let node = |host: usize| {
        json!({ "node_id": host - 1, "address": format!("10.99.0.{}", 10 + host),
            "storage": { "lvm_thin": { "volume_group": "drbdpool", "thin_pool": "thinpool" } } })
    };
    json!({ "name": "r0", "port": 7000, "nodes": { "h1": node(1), "h2": node(2) },
        "volumes": { "0": { "minor": 1000, "size": "64MiB" } }, "net": { "protocol": "C" } })
}

/// A playbook of these tasks, each a module by its short name; by this name they are found in the collection.
fn playbook(tasks: &Value) -> String {
    json!([{ "hosts": "h1", "become": true, "gather_facts": false, "vars": { "r0": declaration() },
        "collections": ["replivol.drbd"], "tasks": tasks }])
    .to_string()
}

fn with(mut declaration: Value, changes: Value) -> Value {
    for (key, value) in changes.as_object().unwrap() {
        declaration[key] = value.clone();
    }
    declaration
}

#[test]
fn arguments_are_taken_and_refused_as_ansible_users_expect() {
    let (lab, controller) = (Lab::up(1).unwrap(), Controller::new());
    controller.install(&lab, &["--limit", "h1"]).ok();
    let before = traces(&lab, 1);
    let plain = declaration();
    // Everything as text, null, omitted, HCL's underscores, JSON in a text, a comma-separated list.
    let habits = with(
        declaration(),
        json!({
            "port": "{{ '7000' }}", "state": "present", "consent": "a:b,c:d", "lock_timeout": "5", "max_peers": null,
            "shared_secret": "{{ omit }}", "net": { "protocol": "C", "allow_two_primaries": false },
            "volumes": "{\"0\": {\"minor\": \"1000\", \"size\": 67108864}}",
        }),
    );
    let (mut elsewhere, mut one_number) = (declaration(), declaration());
    let node = elsewhere["nodes"]["h1"].clone();
    elsewhere["nodes"] = json!({ "alpha": node });
    one_number["nodes"]["h2"]["node_id"] = json!(0);
    let tasks = json!([
        { "name": "plain", "drbd_resource": with(plain, json!({ "net": { "protocol": "C", "allow-two-primaries": "no" } })) },
        { "name": "habits", "drbd_resource": habits },
        { "name": "slips", "drbd_resource": with(declaration(), json!({ "stat": "present", "state": "gone", "nodes": {} })), "ignore_errors": true },
        { "name": "missing", "drbd_wait": { "condition": "connected", "timeout": "soon" }, "ignore_errors": true },
        // Would be real runs.
        { "name": "elsewhere", "drbd_resource": elsewhere, "ignore_errors": true, "check_mode": false },
        { "name": "one number", "drbd_resource": one_number, "ignore_errors": true, "check_mode": false },
        { "name": "nested", "drbd_storage_pool": { "volume_group": "v", "disk": ["/dev/ubdb"] }, "ignore_errors": true },
    ]);
    let path = controller.write("arguments.yml", &playbook(&tasks));
    let run = controller.play(&lab, &path, &["--check", "--diff", "--limit", "h1"]).ok();
    let (plain, habits) = (run.reply("plain", "h1"), run.reply("habits", "h1"));
    assert!(plain["actions"].as_array().is_some_and(|actions| actions.len() >= 4), "{plain}");
    assert_eq!(plain["actions"], habits["actions"]);
    assert_eq!(run.output.stdout.matches("allow-two-primaries no;").count(), 2, "{}", run.output.stdout);
    let expected = [
        ("slips", "Unsupported parameters for (drbd_resource) module: stat. Supported parameters include: "),
        ("slips", "(did you mean state?)"),
        ("slips", "value of state must be one of: present, up, down, absent, got: gone"),
        ("missing", "missing required arguments: name"),
        ("missing", "argument timeout: found \"soon\", allowed: a whole number from 0 to 86400"),
        ("one number", "found 0, which h1 has too"),
        ("nested", "Unsupported parameters for (drbd_storage_pool) module: disk."),
        ("nested", "(did you mean disks?)"),
    ];
    for (task, text) in expected {
        let reply = run.reply(task, "h1");
        assert!(reply["msg"].as_str().is_some_and(|msg| msg.contains(text)), "{text}\n{reply}");
        assert_eq!(reply["code"], "invalid");
        assert!(reply["violations"].as_array().is_some_and(|all| !all.is_empty()), "{reply}");
    }
    let refused = run.reply("elsewhere", "h1");
    assert_eq!((&refused["code"], &refused["changed"]), (&json!("wrong_host"), &json!(false)), "{refused}");
    let said = "this host is called \"h1\" (uname -n), resource r0 is declared for alpha.";
    assert!(refused["msg"].as_str().is_some_and(|msg| msg.contains(said)), "{refused}");
    assert!(refused["next_steps"].to_string().contains("Run this on a declared node"), "{refused}");
    assert_eq!((traces(&lab, 1), run.changed("h1")), (before, 2), "check mode foretold the two good ones");
}

#[test]
fn a_run_in_the_background_is_the_same_run() {
    let (lab, controller) = (Lab::up(1).unwrap(), Controller::new());
    controller.install(&lab, &["--limit", "h1"]).ok();
    let pool = json!({ "volume_group": "drbdpool", "thin_pool": "thinpool", "disks": ["/dev/ubdb"] });
    let tasks = json!([
        { "name": "background", "drbd_storage_pool": pool, "async": 120, "poll": 1 },
        { "name": "again", "drbd_storage_pool": pool },
    ]);
    let path = controller.write("async.yml", &playbook(&tasks));
    let run = controller.play(&lab, &path, &[]).ok();
    assert_eq!(run.changed("h1"), 1, "{}", run.output.stdout);
    assert_eq!(run.reply("background", "h1")["code"], "ok");
    assert_eq!(run.reply("again", "h1")["actions"], json!([]));
    assert_eq!(lab.sh(1, "lvs --noheadings -o lv_name drbdpool").unwrap().trim(), "thinpool");
}

#[test]
fn with_a_terminal_there_is_still_one_object_and_a_true_exit_code() {
    let lab = Lab::up(1).unwrap();
    lab.write(1, "/root/drbd-host", &fs::read(made::dist("drbd-host").unwrap()).unwrap()).unwrap();
    lab.sh(1, "chmod 755 /root/drbd-host && cp /root/drbd-host /root/AnsiballZ_drbd_storage_pool").unwrap();
    let calls = [
        ("drbd_info", json!({}), 0),
        ("drbd_resource", declaration(), 1),
        ("drbd_initial_sync", declaration(), 1),
        ("drbd_wait", json!({ "name": "r0", "condition": "connected", "timeout": 0 }), 1),
        ("drbd_storage_pool", json!({ "volume_group": "v", "disks": ["/dev/ubdb"] }), 0),
        ("drbd_storage_pool", json!({ "volume_group": "v", "disks": ["/dev/ubdz"] }), 1),
        ("drbd_wait", json!({ "nam": 1 }), 1),
    ];
    for (module, mut arguments, code) in calls {
        arguments["_ansible_module_name"] = json!(module);
        lab.write(1, "/root/args", arguments.to_string().as_bytes()).unwrap();
        // As Ansible runs it without pipelining: a terminal on standard input, standard error in the same stream.
        let mut ssh = Command::new("ssh");
        ssh.arg("-F").arg(lab.ssh_config()).args(["-tt", "h1", "./AnsiballZ_drbd_storage_pool args"]);
        let output = run(&mut ssh).unwrap();
        let text = output.stdout.trim();
        assert_eq!(text.lines().count(), 1, "{text}");
        let reply: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert_eq!(output.code, Some(code), "{reply}");
        assert_eq!(reply["failed"] == true, code == 1, "{reply}");
        assert_eq!(reply["module"], module);
        let known = schema_keys("reply");
        let unknown: Vec<_> = reply
            .as_object()
            .unwrap()
            .keys()
            .filter(|key| *key != "invocation" && !known.contains(key))
            .collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }
    // What is no JSON at all is answered in the same way.
    let reply: Value =
        serde_json::from_str(&lab.ssh_with_input(1, "./drbd-host drbd_info -", b"{").unwrap().stdout)
            .unwrap();
    assert_eq!((reply["failed"].clone(), reply["code"].clone()), (json!(true), json!("invalid")));
}

fn schema_keys(name: &str) -> Vec<String> {
    let path = made::checkout().join(format!("schemas/json/{name}.schema.json"));
    let schema: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    schema["properties"].as_object().unwrap().keys().cloned().collect()
}

#[test]
fn every_module_of_the_program_is_linked() {
    let usage = run(Command::new(made::dist("drbd-host").unwrap()).arg("--help")).unwrap().ok().unwrap();
    let (_, rest) = usage.split_once("Modules: ").unwrap();
    let (names, _) = rest.split_once('.').unwrap();
    let mut modules: Vec<&str> = names.split(',').map(str::trim).collect();
    modules.sort_unstable();
    let controller = Controller::without_collection("ansible");
    assert_eq!(linked_modules(&controller), modules);
}

#[test]
fn the_program_in_a_library_is_a_module_with_nothing_installed() {
    let (lab, controller) = (Lab::up(1).unwrap(), Controller::without_collection("ansible"));
    linked_modules(&controller);
    let tasks = json!([
        { "name": "pool", "drbd_storage_pool": { "volume_group": "vg", "disks": ["/dev/ubdb"] } },
        { "name": "again", "drbd_storage_pool": { "volume_group": "vg", "disks": ["/dev/ubdb"] } },
    ]);
    let play = json!([{ "hosts": "h1", "become": true, "gather_facts": false, "tasks": tasks }]).to_string();
    let run = controller.play(&lab, &controller.write("library.yml", &play), &[]).ok();
    assert_eq!(run.changed("h1"), 1, "{}", run.output.stdout);
    assert_eq!(run.reply("again", "h1")["actions"], json!([]));
}

/// Links the modules into the example's library; their names.
fn linked_modules(controller: &Controller) -> Vec<String> {
    let script = made::checkout().join("examples-ansible/make-library");
    run(Command::new(script).arg(controller.dir()).arg(made::dist("drbd-host").unwrap()))
        .unwrap()
        .ok()
        .unwrap();
    let entries = fs::read_dir(controller.dir().join("library")).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
