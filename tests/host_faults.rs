// SPDX-License-Identifier: MPL-2.0
//! Bad input and faults on real hosts: a clear error, and nothing lost. Every test looks at the host, not only at the
//! message: what was refused left every byte and every file as it was; what was cut is gone on with by the next run.
//!
//! Not here: faults of the connection to a host, which are the provider's and Ansible's.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::module::{
    PATH, Reply, Snapshot, bring_up, call, call_both, evidence, install, pool, pools, r0, read_noise, spy,
    thin, wait, with, write_noise,
};
use support::{Lab, LabOptions};

const MINUTE: Duration = Duration::from_secs(60);

fn lab(hosts: usize, disks: usize) -> Lab {
    let lab = Lab::start(&LabOptions { hosts, disks, disk_size: "64M".to_owned() }).unwrap();
    install(&lab, hosts).unwrap();
    lab
}

fn converge(lab: &Lab, host: usize, declared: &Value) -> Reply {
    call(lab, host, "drbd_resource", declared).unwrap()
}

/// r0 with a whole device on h1.
fn on_device(lab: &Lab, device: &str) -> Value {
    r0(lab, &json!({ "devices": { "0": device } }))
}

/// A run on h1 that is refused with this code and these words, and leaves the host as it was.
#[track_caller]
fn refused(lab: &Lab, declared: &Value, code: &str, words: &[&str]) -> Reply {
    let before = Snapshot::of(lab, 1).unwrap();
    let reply = converge(lab, 1, declared).refused(code);
    for word in words {
        assert!(reply.msg().contains(word), "{word:?} is not in: {}", reply.msg());
    }
    let changes = before.changes(&Snapshot::of(lab, 1).unwrap());
    assert!(
        !reply.changed() && reply.steps().is_empty() && changes.is_empty(),
        "{changes:#?}\n{:#}",
        reply.0
    );
    reply
}

/// The consent that a refusal offers, without the identity of the device in its middle.
fn offer(reply: &Reply) -> Option<(String, String)> {
    let token = reply.token()?;
    Some((token.split(':').next()?.to_owned(), token.rsplit(':').next()?.to_owned()))
}

fn overwrite(kind: &str) -> Option<(String, String)> {
    Some(("overwrite".to_owned(), kind.to_owned()))
}

/// A LUKS header: magic, version 1, cipher, mode and hash, a UUID at its place.
const LUKS: &str = "printf 'LUKS\\272\\276\\000\\001aes' | dd of=/dev/ubdc conv=notrunc status=none && \
    printf 'xts-plain64' | dd of=/dev/ubdc bs=1 seek=40 conv=notrunc status=none && \
    printf 'sha256' | dd of=/dev/ubdc bs=1 seek=72 conv=notrunc status=none && \
    printf '0d6e6a4e-3f2e-4b57-8d2b-3f0b3e0c9a11' | dd of=/dev/ubdc bs=1 seek=168 conv=notrunc status=none";

#[test]
fn a_file_that_the_kernel_refuses_makes_way_for_the_one_that_works() {
    let lab = lab(2, 1);
    pools(&lab).unwrap();
    let mut good = r0(&lab, &thin());
    good["net"] = json!({ "allow-two-primaries": "yes" });
    bring_up(&lab, &good).unwrap();
    let file = || lab.sh(1, "cat /etc/drbd.d/r0.res").unwrap();
    let works = file();
    // What is allowed by itself and not while both are Primary, only the kernel knows.
    for host in [1, 2] {
        lab.sh(host, "drbdadm primary r0").unwrap();
    }
    let bad = r0(&lab, &thin());
    for _ in 0..2 {
        let reply = converge(&lab, 1, &bad).refused("step_failed");
        assert_eq!(reply.steps(), ["write_config done", "adjust failed"]);
        assert!(reply.msg().contains("(164)"), "{}", reply.msg());
        assert!(reply.msg().contains("The previous /etc/drbd.d/r0.res is back in place"), "{}", reply.msg());
        assert_eq!(file(), works);
    }
    let again = converge(&lab, 1, &good).ok();
    assert!(!again.changed(), "{:#}", again.0);
    lab.sh(2, "drbdadm secondary r0").unwrap();
    assert!(converge(&lab, 1, &bad).ok().changed());
}

#[test]
fn a_device_that_holds_something_is_refused_and_not_touched() {
    let lab = lab(1, 2);
    let declared = on_device(&lab, "/dev/ubdc");
    let found = |prepare: &str, words: &[&str]| {
        lab.sh(
            1,
            &format!("dd if=/dev/zero of=/dev/ubdc bs=1M status=none conv=notrunc count=64; {prepare}"),
        )
        .unwrap();
        offer(&refused(&lab, &declared, "foreign_data", &[&["/dev/ubdc", "h1"], words].concat()))
    };
    assert_eq!(found("mkfs.ext4 -q /dev/ubdc", &["ext4"]), overwrite("ext4"));
    assert_eq!(found("mkfs.ext4 -q /dev/ubdc 16M", &["ext4"]), overwrite("ext4"));
    assert_eq!(found("mkfs.xfs -q --unsupported /dev/ubdc", &["xfs"]), overwrite("xfs"));
    assert_eq!(found("mkswap -q /dev/ubdc", &["swap"]), overwrite("swap"));
    assert_eq!(found(LUKS, &["crypto_LUKS"]), overwrite("crypto_LUKS"));
    let random = "dd if=/dev/urandom of=/dev/ubdc bs=1M seek=30 count=4 conv=notrunc status=none";
    assert_eq!(found(random, &["data without a known signature"]), overwrite("data"));
    assert_eq!(found("pvcreate -q /dev/ubdc", &["LVM2_member"]), overwrite("LVM2_member"));
    assert_eq!(found("vgcreate -q other /dev/ubdc", &["LVM2_member"]), overwrite("LVM2_member"));

    // What is in use can be overridden by nobody.
    let used = "lvcreate -qq -n lv -l 4 other && vgremove -qqf other; vgcreate -q other /dev/ubdc && lvcreate -qq -n lv -l 4 other";
    assert_eq!(found(used, &["held by logical volume other/lv"]), None);
    lab.sh(1, "vgremove -qqf other && pvremove -q /dev/ubdc").unwrap();
    assert_eq!(found("mkswap -q /dev/ubdc && swapon /dev/ubdc", &["swap space"]), None);
    lab.sh(1, "swapoff /dev/ubdc").unwrap();
    assert_eq!(
        found("mkfs.ext4 -q /dev/ubdc && mount -o ro,noload /dev/ubdc /mnt", &["mounted on /mnt"]),
        None
    );
    lab.sh(1, "umount /mnt").unwrap();

    // Metadata that this kernel cannot read.
    let newer =
        "DRBD_DRIVER_VERSION_OVERRIDE=9.2.0 drbdmeta --force 77 v09 /dev/ubdc internal create-md 1 2>&1";
    assert_eq!(found(newer, &["DRBD metadata of format v09", "8.4"]), None);
    metadata_of_another_resource(&lab, &declared);
}

fn metadata_of_another_resource(lab: &Lab, declared: &Value) {
    let other = "resource other { device minor 7; disk /dev/ubdc; meta-disk internal;\n\
        on h1 { address 10.99.0.11:7777; } on h2 { address 10.99.0.12:7777; } }\n";
    lab.write(1, "/etc/drbd.d/other.res", other.as_bytes()).unwrap();
    lab.sh(1, "wipefs -qa /dev/ubdc && modprobe drbd && drbdadm create-md --force other && drbdadm up other")
        .unwrap();
    let reply = refused(lab, declared, "foreign_data", &["/dev/ubdc"]);
    assert_eq!(offer(&reply), None, "another resource runs on it: {}", reply.msg());
    lab.sh(1, "drbdadm down other").unwrap();
    let reply = refused(lab, declared, "foreign_data", &["resource other", "/etc/drbd.d/other.res"]);
    assert_eq!(offer(&reply), None, "another resource's file names it");
    lab.sh(1, "rm /etc/drbd.d/other.res").unwrap();
    let uuid = lab.sh(1, "blkid -p -o value -s UUID /dev/ubdc").unwrap();
    let uuid = format!("{:0>16}", uuid.trim().to_uppercase());
    let reply = refused(lab, declared, "foreign_data", &["DRBD metadata", &uuid]);
    assert_eq!(offer(&reply), Some(("adopt".to_owned(), uuid)));
}

#[test]
fn a_device_that_does_not_fit_is_refused() {
    let lab = lab(1, 2);
    refused(&lab, &on_device(&lab, "/dev/ubdx"), "missing", &["/dev/ubdx", "does not exist"]);
    refused(&lab, &on_device(&lab, "/dev/null"), "environment", &["/dev/null", "not a block device"]);
    let large = with(
        &on_device(&lab, "/dev/ubdc"),
        &json!({ "volumes": { "0": { "minor": 1000, "size": "64MiB" } } }),
    );
    refused(&lab, &large, "too_small", &["65536 KiB", "are needed"]);
    lab.sh(1, "blockdev --setro /dev/ubdc").unwrap();
    refused(&lab, &on_device(&lab, "/dev/ubdc"), "unreadable", &["read-only"]);
    lab.sh(1, "blockdev --setrw /dev/ubdc").unwrap();

    // Volume groups and pools that are missing, or too small.
    let on = |storage: Value| r0(&lab, &storage);
    let missing = converge(&lab, 1, &on(thin())).refused("missing");
    assert!(missing.msg().contains("volume group vg0 does not exist"), "{}", missing.msg());
    lab.sh(1, "vgcreate -q vg0 /dev/ubdb").unwrap();
    let missing = converge(&lab, 1, &on(thin())).refused("missing");
    assert!(missing.msg().contains("thin pool vg0/pool does not exist"), "{}", missing.msg());
    let mut large = on(json!({ "lvm": { "volume_group": "vg0" } }));
    large["volumes"]["0"]["size"] = json!("100MiB");
    refused(&lab, &large, "too_small", &["61440 KiB free"]);
    // A volume of that name which is of another kind is not used.
    lab.sh(1, "lvcreate -qq -n r0_00000 -L 40M vg0 && lvcreate -qq --type thin-pool -n pool -l 1 vg0")
        .unwrap();
    refused(&lab, &on(thin()), "taken", &["vg0/r0_00000", "a thick volume"]);
    lab.sh(1, "mkfs.ext4 -q /dev/vg0/r0_00000").unwrap();
    let reply = refused(&lab, &on(json!({ "lvm": { "volume_group": "vg0" } })), "foreign_data", &["ext4"]);
    let uuid = lab.sh(1, "lvs --noheadings -o lv_uuid vg0/r0_00000").unwrap();
    assert_eq!(reply.token().unwrap(), format!("overwrite:lv:{}:ext4", uuid.trim()));
}

#[test]
fn a_consent_is_for_one_device_and_one_content() {
    let lab = lab(1, 2);
    let declared = on_device(&lab, "/dev/ubdc");
    lab.sh(1, "mkfs.ext4 -q /dev/ubdb && mkfs.ext4 -q /dev/ubdc").unwrap();
    let token = converge(&lab, 1, &declared).refused("foreign_data").token().unwrap();
    for wrong in [
        token.replace("ubdc", "ubdb"),
        token.replace("ext4", "xfs"),
        "overwrite:*".to_owned(),
        "true".to_owned(),
    ] {
        let reply =
            refused(&lab, &with(&declared, &json!({ "consent": [wrong] })), "foreign_data", &["ext4"]);
        assert_eq!(reply.token().as_ref(), Some(&token));
    }
    let other = lab.sh(1, "sha256sum </dev/ubdb").unwrap();
    let agreed = with(&declared, &json!({ "consent": [token] }));
    let planned = converge(&lab, 1, &with(&agreed, &json!({ "_ansible_check_mode": true }))).ok();
    lab.sh(1, "mount -o ro /dev/ubdc /mnt && umount /mnt").unwrap();
    let done = converge(&lab, 1, &agreed).ok();
    assert_eq!(planned.planned(), done.planned());
    let steps = ["load_module", "write_config", "wipe_content", "create_metadata", "adjust"];
    assert_eq!(done.steps(), steps.map(|step| format!("{step} done")));
    assert_eq!(done.0["actions"][2]["risk"], "destructive");
    assert_eq!(lab.sh(1, "sha256sum </dev/ubdb").unwrap(), other);
    assert!(!converge(&lab, 1, &declared).ok().changed());

    // Metadata whose origin this host has forgotten are taken over under their own UUID only, and as they are.
    let gi = lab.sh(1, "drbdadm primary --force r0 && drbdadm secondary r0 && drbdadm get-gi r0").unwrap();
    lab.sh(1, "drbdadm down r0 && rm /var/lib/drbd-host/records/r0.json").unwrap();
    let token = refused(&lab, &declared, "foreign_data", &["did not write"]).token().unwrap();
    let uuid = token.rsplit(':').next().unwrap();
    let wrong = token.replace(uuid, "0123456789ABCDEF");
    for consent in [wrong, format!("overwrite:{}", &token["adopt:".len()..])] {
        refused(&lab, &with(&declared, &json!({ "consent": [consent] })), "foreign_data", &["did not write"]);
    }
    let done = converge(&lab, 1, &with(&declared, &json!({ "consent": [token] }))).ok();
    assert_eq!(done.steps(), ["adopt_metadata done", "adjust done"]);
    assert_eq!(lab.sh(1, "drbdadm get-gi r0").unwrap(), gi);
    assert!(!converge(&lab, 1, &declared).ok().changed());
}

#[test]
fn metadata_of_a_volume_that_was_created_anew_are_not_believed() {
    let lab = lab(1, 2);
    lab.sh(1, "vgcreate -q vg0 /dev/ubdb").unwrap();
    let declared = r0(&lab, &json!({ "lvm": { "volume_group": "vg0" } }));
    converge(&lab, 1, &declared).ok();
    let old = lab.sh(1, "drbdadm primary --force r0; drbdadm secondary r0; drbdadm down r0; lvs --noheadings -o lv_uuid vg0/r0_00000").unwrap();
    let again = "lvremove -qqy vg0/r0_00000 && lvcreate -qqy -W n -Z n -n r0_00000 -L 52M vg0 && blkid -p /dev/vg0/r0_00000";
    assert!(lab.sh(1, again).unwrap().contains("drbd"), "the same extents show the old metadata");
    let reply = refused(&lab, &declared, "foreign_data", &["DRBD metadata", old.trim(), "created anew"]);
    assert_eq!(offer(&reply).unwrap().0, "adopt");
}

#[test]
fn a_host_without_drbd_or_with_a_broken_configuration_is_refused() {
    let lab = lab(1, 2);
    let declared = on_device(&lab, "/dev/ubdc");
    lab.ctl(["rm-module", "1"]).unwrap();
    refused(&lab, &declared, "environment", &["kernel module drbd", "h1"]);
    lab.ctl(["restore-module", "1"]).unwrap();
    lab.ctl(["rm-utils", "1"]).unwrap();
    refused(&lab, &declared, "environment", &["drbd-utils are not installed", "h1"]);
    let facts = call(&lab, 1, "drbd_info", &json!({})).unwrap().ok();
    assert_eq!(facts.0["facts"]["drbd"]["utils"], Value::Null);
    lab.ctl(["restore-utils", "1"]).unwrap();

    // Somebody else's file that no tool can read: named, and left to its owner. A file of one's own is no file of ours.
    lab.write(1, "/etc/drbd.d/web.res", b"resource web { on h1 { device minor 3\n").unwrap();
    refused(&lab, &declared, "broken_config", &["/etc/drbd.d/web.res"]);
    let facts = call(&lab, 1, "drbd_info", &json!({})).unwrap().ok();
    assert!(facts.0["facts"]["config_error"].as_str().unwrap().contains("drbd.d/web.res:2"), "{:#}", facts.0);
    let web = |name: &str, minor: u32, port: u16| {
        format!(
            "resource {name} {{ device minor {minor}; disk /dev/ubdb; meta-disk internal;\n\
             on h1 {{ address 10.99.0.11:{port}; }} on h2 {{ address 10.99.0.12:{port}; }} }}\n"
        )
    };
    for (text, words) in [
        (web("web", 1000, 7001), ["minor 1000", "/etc/drbd.d/web.res"]),
        (web("web", 3, 7000), ["port 7000", "/etc/drbd.d/web.res"]),
        (web("r0", 3, 7001), ["r0", "/etc/drbd.d/web.res"]),
    ] {
        lab.write(1, "/etc/drbd.d/web.res", text.as_bytes()).unwrap();
        refused(&lab, &declared, "taken", &words);
    }
    lab.sh(1, "mv /etc/drbd.d/web.res /etc/drbd.d/r0.res").unwrap();
    refused(&lab, &declared, "taken", &["/etc/drbd.d/r0.res", "not written by drbd-host"]);
    let gone = json!({ "name": "r0", "state": "absent", "consent": ["destroy:r0"] });
    refused(&lab, &gone, "taken", &["/etc/drbd.d/r0.res", "not written by drbd-host"]);
    lab.sh(1, "rm /etc/drbd.d/r0.res").unwrap();

    // What only the kernel knows, because its file is gone.
    lab.write(1, "/etc/drbd.d/web.res", web("web", 1000, 7001).as_bytes()).unwrap();
    lab.sh(1, "modprobe drbd && drbdadm create-md --force web && drbdadm up web && rm /etc/drbd.d/web.res")
        .unwrap();
    refused(&lab, &declared, "taken", &["minor 1000", "web", "kernel"]);
    lab.sh(1, "drbdsetup down web").unwrap();
    lab.write(1, "/etc/drbd.d/web.res", web("web", 3, 7000).as_bytes()).unwrap();
    // The kernel may hold the disk for a moment after it has answered `down`.
    lab.eventually(1, MINUTE, "drbdadm adjust web").unwrap();
    lab.sh(1, "rm /etc/drbd.d/web.res").unwrap();
    refused(&lab, &declared, "taken", &["port 7000", "web", "kernel"]);
    lab.sh(1, "drbdsetup down web").unwrap();
    lab.eventually(1, MINUTE, "wipefs -qa /dev/ubdb").unwrap();

    // A program that is no DRBD: the kernel would only log that it cannot listen there.
    let listen = "import socket,time; s = socket.create_server((\"10.99.0.11\", 7000)); print(flush=True); time.sleep(600)";
    lab.sh(1, &format!("python3 -c '{listen}' >/run/listens 2>&1 & echo $! >/run/listener")).unwrap();
    lab.eventually(1, MINUTE, "test -s /run/listens").unwrap();
    refused(&lab, &declared, "taken", &["port 7000", "a program listens on it"]);
    lab.sh(1, "kill $(cat /run/listener)").unwrap();
    assert!(converge(&lab, 1, &declared).ok().changed());
}

#[test]
fn a_bad_call_is_refused_with_everything_that_is_wrong() {
    let lab = lab(1, 2);
    let before = Snapshot::of(&lab, 1).unwrap();
    let mut renamed = on_device(&lab, "/dev/ubdc");
    let nodes = renamed["nodes"].as_object_mut().unwrap();
    let own = nodes.remove("h1").unwrap();
    nodes.insert("h1.example.net".to_owned(), own);
    let reply = converge(&lab, 1, &renamed).refused("wrong_host");
    assert!(
        reply.msg().contains("\"h1\"") && reply.next_steps()[0].contains("\"h1.example.net\""),
        "{:#}",
        reply.0
    );

    let mut wrong = on_device(&lab, "/dev/ubdc");
    wrong["stat"] = json!("present");
    wrong["port"] = json!("seven thousand");
    wrong["nodes"]["h1"]["adress"] = json!("10.0.0.1");
    wrong["volumes"]["0"]["minor"] = json!([1]);
    wrong["net"] = json!({ "protocl": "C" });
    wrong["consent"] = json!({ "a": 1 });
    let reply = converge(&lab, 1, &wrong).refused("invalid");
    let violations = reply.0["violations"].as_array().unwrap();
    for path in ["stat", "port", "nodes.h1.adress", "volumes.0.minor", "net.protocl", "consent"] {
        assert!(violations.iter().any(|violation| violation["path"] == path), "{path}: {violations:#?}");
    }
    assert_eq!(violations.iter().find(|v| v["path"] == "stat").unwrap()["hint"], "did you mean state?");

    for input in [
        "",
        "{",
        "[]",
        "null",
        "\"r0\"",
        "{\"name\": \"r0\"",
        "\u{0}",
        "{\"_ansible_module_name\": \"drbd_resourse\"}",
    ] {
        let output = lab.ssh_with_input(1, &format!("{PATH} drbd_resource 2>&1"), input.as_bytes()).unwrap();
        let reply = Reply::from_output(&output).unwrap().refused("invalid");
        assert!(reply.msg().contains("nothing was done"), "{input:?}: {}", reply.msg());
    }
    let output =
        lab.ssh(1, &format!("printf '{{\"name\": \"\\377\"}}' | {PATH} drbd_resource 2>&1")).unwrap();
    Reply::from_output(&output).unwrap().refused("invalid");
    let output = lab.ssh(1, &format!("{PATH} drbd_resource /nowhere 2>&1")).unwrap();
    assert!(Reply::from_output(&output).unwrap().refused("invalid").msg().contains("/nowhere"));

    let arguments = on_device(&lab, "/dev/ubdc").to_string();
    lab.write(1, "/tmp/arguments", arguments.as_bytes()).unwrap();
    let output = lab.ssh_as("ops", 1, &format!("{PATH} drbd_resource /tmp/arguments 2>&1")).unwrap();
    let reply = Reply::from_output(&output).unwrap().refused("environment");
    assert!(reply.msg().contains("needs root") && reply.next_steps()[0].contains("sudo"), "{:#}", reply.0);
    let output = lab.ssh_as("ops", 1, &format!("sudo -n {PATH} drbd_resource /tmp/arguments 2>&1")).unwrap();
    let changes = before.changes(&Snapshot::of(&lab, 1).unwrap());
    assert!(
        changes.iter().any(|change| change.contains("/etc/drbd.d/r0.res")),
        "only root's run did something"
    );
    assert_eq!(Reply::from_output(&output).unwrap().ok().steps().last().unwrap(), "adjust done");
}

/// A tool that takes its time: the first call of `lvm lvcreate` on a host waits until /run/go is there.
fn slow_lvcreate(lab: &Lab) {
    let script = "#!/bin/bash\ncase $1 in lvcreate) touch /run/waits; until [ -e /run/go ]; do sleep 0.1; done ;; esac\nexec /usr/sbin/lvm \"$@\"\n";
    lab.write(1, "/usr/local/sbin/lvm", script.as_bytes()).unwrap();
    lab.sh(1, "chmod 755 /usr/local/sbin/lvm").unwrap();
}

#[test]
fn one_run_at_a_time_and_a_signal_stops_it_between_steps() {
    let lab = lab(1, 2);
    call(&lab, 1, "drbd_storage_pool", &pool()).unwrap().ok();
    let declared = r0(&lab, &thin());
    let hasty = with(&declared, &json!({ "lock_timeout": 0 }));
    slow_lvcreate(&lab);
    thread::scope(|scope| {
        let first = scope.spawn(|| converge(&lab, 1, &declared));
        lab.eventually(1, MINUTE, "test -e /run/waits").unwrap();
        let second = scope.spawn(|| converge(&lab, 1, &declared));
        let pid = lab.sh(1, "pgrep -o -x drbd-host").unwrap();
        let late = converge(&lab, 1, &hasty).refused("locked");
        let holder = format!("process {}, drbd_resource, since 2", pid.trim());
        assert!(late.msg().contains(&holder), "{holder}: {}", late.msg());
        let other = with(
            &hasty,
            &json!({ "name": "r1", "port": 7001, "volumes": { "0": { "minor": 1001, "size": "8MiB" } } }),
        );
        assert!(converge(&lab, 1, &other).refused("locked").msg().contains("configuration"));
        call(&lab, 1, "drbd_info", &json!({})).unwrap().ok();
        assert!(!first.is_finished() && !second.is_finished());
        lab.sh(1, "touch /run/go").unwrap();
        assert_eq!(first.join().unwrap().ok().steps().len(), 5);
        assert!(!second.join().unwrap().ok().changed(), "the second found it done");
    });
    let gone = json!({ "name": "r0", "state": "absent", "consent": ["destroy:r0"] });
    converge(&lab, 1, &gone).ok();

    for signal in ["TERM", "INT", "HUP"] {
        lab.sh(1, "rm -f /run/go /run/waits").unwrap();
        let stopped = thread::scope(|scope| {
            let run = scope.spawn(|| converge(&lab, 1, &declared));
            lab.eventually(1, MINUTE, "test -e /run/waits").unwrap();
            lab.sh(1, &format!("kill -{signal} $(pgrep -o -x drbd-host) && sleep 0.3 && touch /run/go"))
                .unwrap();
            run.join().unwrap().refused("interrupted")
        });
        assert!(stopped.msg().contains(&format!("interrupted by SIG{signal}")), "{}", stopped.msg());
        assert_eq!(stopped.steps()[..2], ["create_lv done", "write_config failed"]);
        assert!(stopped.steps()[2..].iter().all(|step| step.ends_with(" skipped")), "{:?}", stopped.steps());
        lab.sh(1, "lvs vg0/r0_00000 && ! test -e /etc/drbd.d/r0.res").unwrap();
        assert_eq!(
            converge(&lab, 1, &declared).ok().steps(),
            ["write_config done", "create_metadata done", "adjust done"]
        );
        converge(&lab, 1, &gone).ok();
    }
}

#[test]
fn a_full_disk_loses_nothing() {
    let lab = lab(1, 2);
    call(&lab, 1, "drbd_storage_pool", &pool()).unwrap().ok();
    let mut declared = r0(&lab, &thin());
    // One page is free beside what is there, and it is filled.
    let full = |dir: &str| {
        let pages =
            lab.sh(1, &format!("mkdir -p {dir} && ls {dir} | wc -l")).unwrap().trim().parse::<u32>().unwrap()
                + 1;
        lab.sh(1, &format!(
            "cp -a {dir} /run/kept && mount -t tmpfs -o size={}k full {dir} && cp -a /run/kept/. {dir} && rm -r /run/kept && ! cat /dev/zero >{dir}/filler 2>/dev/null",
            pages * 4
        )).unwrap();
    };
    let room = |dir: &str| {
        lab.sh(1, &format!("cp -a {dir} /run/kept && umount {dir} && rm /run/kept/filler && cp -a /run/kept/. {dir} && rm -r /run/kept")).map(drop).unwrap()
    };

    // Nothing is created that could not be remembered.
    full("/var/lib/drbd-host");
    let reply = converge(&lab, 1, &declared).refused("step_failed");
    assert!(reply.msg().contains("No space left on device"), "{}", reply.msg());
    assert_eq!(reply.steps()[..2], ["load_module done", "create_lv failed"]);
    lab.sh(
        1,
        "! lvs vg0/r0_00000 2>/dev/null && test \"$(cd /var/lib/drbd-host && find -type f)\" = ./filler",
    )
    .unwrap();
    room("/var/lib/drbd-host");

    full("/etc/drbd.d");
    let reply = converge(&lab, 1, &declared).refused("step_failed");
    assert!(reply.msg().contains("write /etc/drbd.d/r0.res: No space left on device"), "{}", reply.msg());
    assert_eq!(
        reply.steps(),
        ["create_lv done", "write_config failed", "create_metadata skipped", "adjust skipped"]
    );
    assert_eq!(
        lab.sh(1, "ls -A /etc/drbd.d").unwrap(),
        "filler\nglobal_common.conf\n",
        "no rest of the file is left"
    );
    room("/etc/drbd.d");
    converge(&lab, 1, &declared).ok();
    assert!(!converge(&lab, 1, &declared).ok().changed());

    // A lock that cannot be signed is not taken, and it is no other run that is to be waited for.
    full("/run/drbd-host/lock");
    let reply = converge(&lab, 1, &declared).refused("environment");
    assert!(reply.msg().contains("No space left on device"), "{}", reply.msg());
    assert!(reply.0["next_steps"][0].as_str().unwrap().starts_with("Free space on /run"), "{:#}", reply.0);
    room("/run/drbd-host/lock");

    // An old file stays whole, and what runs goes on.
    let before = lab.sh(1, "sha256sum </etc/drbd.d/r0.res; drbdsetup show r0").unwrap();
    full("/etc/drbd.d");
    declared["net"] = json!({ "max_buffers": 8000 });
    converge(&lab, 1, &declared).refused("step_failed");
    assert_eq!(lab.sh(1, "sha256sum </etc/drbd.d/r0.res; drbdsetup show r0").unwrap(), before);
    room("/etc/drbd.d");
    assert_eq!(converge(&lab, 1, &declared).ok().steps(), ["write_config done", "adjust done"]);
}

/// A run of drbd_storage_pool on h1 that is refused with this code and these words, and leaves the host as it was.
#[track_caller]
fn pool_refused(lab: &Lab, declared: &Value, code: &str, words: &[&str]) {
    let before = Snapshot::of(lab, 1).unwrap();
    let reply = call(lab, 1, "drbd_storage_pool", declared).unwrap().refused(code);
    for word in words {
        assert!(reply.0.to_string().contains(word), "{word:?} is not in: {:#}", reply.0);
    }
    let changes = before.changes(&Snapshot::of(lab, 1).unwrap());
    assert!(!reply.changed() && changes.is_empty(), "{changes:#?}");
}

#[test]
fn a_disk_named_twice_and_a_group_that_shares_its_name_are_refused_before_anything_is_labelled() {
    let lab = lab(1, 2);
    lab.sh(1, "ln -s /dev/ubdc /dev/again").unwrap();
    let twice = with(&pool(), &json!({ "disks": ["/dev/ubdb", "/dev/ubdc", "/dev/again"] }));
    pool_refused(&lab, &twice, "invalid", &["/dev/ubdc and /dev/again are one disk"]);
    let volumes = with(
        &r0(&lab, &json!({ "devices": { "0": "/dev/ubdc", "1": "/dev/again" } })),
        &json!({ "volumes": { "0": { "minor": 1000 }, "1": { "minor": 1001 } } }),
    );
    refused(&lab, &volumes, "taken", &["/dev/again", "/dev/ubdc", "one device of h1"]);

    // A group of the name on a disk that the host's filter hides.
    lab.sh(1, "rm /dev/again; vgcreate -q vg0 /dev/ubdc").unwrap();
    let hide = "devices { global_filter = [ \"r|/dev/ubdc|\" ] }\n";
    lab.write(1, "/etc/lvm/lvmlocal.conf", hide.as_bytes()).unwrap();
    lab.sh(1, "! vgs vg0 2>/dev/null").unwrap();
    pool_refused(&lab, &pool(), "taken", &["a volume group vg0 is on /dev/ubdc of h1", "vgrename"]);

    // Another one of the name, made meanwhile, when both are seen. (LVM itself rewrites its backup of either at every look.)
    lab.sh(1, "vgcreate -q vg0 /dev/ubdb && rm /etc/lvm/lvmlocal.conf").unwrap();
    let disks = || lab.sh(1, "pvs --noheadings -o pv_name,vg_uuid,pv_used 2>/dev/null").unwrap();
    let before = disks();
    let replies =
        [call(&lab, 1, "drbd_storage_pool", &pool()).unwrap(), converge(&lab, 1, &r0(&lab, &thin()))];
    for reply in replies {
        let reply = reply.refused("taken");
        assert!(reply.msg().contains("2 volume groups named vg0"), "{}", reply.msg());
        assert!(reply.0["next_steps"].to_string().contains("vgrename"), "{:#}", reply.0);
    }
    assert_eq!(disks(), before);
}

#[test]
fn lvm_has_more_states_than_there_and_not_there() {
    let lab = lab(1, 2);
    let other = lab.add_elastic_disk(1, "64M").unwrap();
    let two_disks = with(&pool(), &json!({ "disks": ["/dev/ubdb", other] }));
    call(&lab, 1, "drbd_storage_pool", &two_disks).unwrap().ok();
    let declared = r0(&lab, &thin());
    converge(&lab, 1, &declared).ok();
    lab.sh(1, "drbdadm primary --force r0 && drbdadm secondary r0").unwrap();
    let noise = write_noise(&lab, 1).unwrap();
    let down = json!({ "name": "r0", "state": "down" });
    let stop = || converge(&lab, 1, &down).ok();

    // Inactive, with the skip flag: our own is activated and attached; another one is called inactive.
    stop();
    lab.sh(
        1,
        "lvchange -qq -ky vg0/r0_00000 && lvchange -qq -an vg0/r0_00000 && test ! -e /dev/vg0/r0_00000",
    )
    .unwrap();
    lab.sh(1, "mv /var/lib/drbd-host/records/r0.json /root").unwrap();
    refused(&lab, &declared, "missing", &["vg0/r0_00000 on h1 is inactive (it has the skip flag)"]);
    lab.sh(1, "mv /root/r0.json /var/lib/drbd-host/records").unwrap();
    let planned = converge(&lab, 1, &with(&declared, &json!({ "_ansible_check_mode": true }))).ok();
    let reply = converge(&lab, 1, &declared).ok();
    assert_eq!(reply.steps(), ["activate_lv done", "adjust done"]);
    assert_eq!(planned.planned(), reply.planned());
    assert!(!converge(&lab, 1, &declared).ok().changed());
    assert_eq!(read_noise(&lab, 1).unwrap(), noise);

    a_full_pool(&lab, &declared, &two_disks);
    assert_eq!(read_noise(&lab, 1).unwrap(), noise);
    a_failed_pool(&lab, &declared, &two_disks);
    assert_eq!(read_noise(&lab, 1).unwrap(), noise);

    // The group misses a disk: nothing is changed, and no blank disk is given to it.
    stop();
    let uuid = lab.sh(1, &format!("pvs --noheadings -o pv_uuid {other}")).unwrap();
    let lost = "test \"$(vgs --noheadings -o vg_attr vg0 2>/dev/null | tr -d ' ')\" = wz-pn-";
    lab.sh(1, &format!("vgchange -qq -an vg0 && dd if={other} of=/dev/shm/disk bs=1M status=none && dd if=/dev/zero of={other} bs=1M oflag=direct status=none; {lost}")).unwrap();
    let three = with(&pool(), &json!({ "disks": ["/dev/ubdb", "/dev/ubdc"] }));
    pool_refused(&lab, &three, "missing", &[uuid.trim(), &other, "vgextend --restoremissing vg0"]);
    refused(&lab, &declared, "missing", &["vg0 on h1 misses a physical volume", uuid.trim()]);
    let facts = call(&lab, 1, "drbd_info", &json!({})).unwrap().ok();
    assert!(facts.0["warnings"].to_string().contains(uuid.trim()), "{}", facts.0["warnings"]);
    lab.sh(1, &format!("dd if=/dev/shm/disk of={other} bs=1M status=none oflag=direct && rm /dev/shm/disk && pvscan -qq --cache {other}")).unwrap();
    assert_eq!(converge(&lab, 1, &declared).ok().steps(), ["activate_lv done", "adjust done"]);
    assert_eq!(read_noise(&lab, 1).unwrap(), noise);
}

/// The disk of the pool's metadata fails for a moment, and is back: the pool stays failed until it is repaired as advised.
fn a_failed_pool(lab: &Lab, declared: &Value, disks: &Value) {
    let down = json!({ "name": "r0", "state": "down" });
    converge(lab, 1, &down).ok();
    let swap = "dmsetup suspend --noflush --nolockfs vg0-pool_tmeta && dmsetup load vg0-pool_tmeta </tmp/table && \
        dmsetup resume vg0-pool_tmeta";
    lab.sh(1, &format!("lvcreate -qq -V 8M -T vg0/pool -n other 2>/dev/null; dmsetup table vg0-pool_tmeta >/root/table && \
        echo \"0 $(cut -d' ' -f2 /root/table) error\" >/tmp/table && {swap} && \
        ! dd if=/dev/zero of=/dev/vg0/other bs=1M count=4 oflag=direct status=none 2>/dev/null; cp /root/table /tmp/table; {swap}")).unwrap();
    for request in [declared, &json!({ "name": "r0", "state": "up" })] {
        let reply = refused(lab, request, "unreadable", &["thin pool vg0/pool has failed"]);
        assert!(reply.0["next_steps"].to_string().contains("lvconvert --repair vg0/pool"), "{:#}", reply.0);
    }
    pool_refused(lab, disks, "unreadable", &["thin pool vg0/pool has failed", "lvconvert --repair vg0/pool"]);
    lab.sh(1, "lvchange -qq -an vg0/r0_00000 vg0/other && lvchange -an vg0/pool && lvconvert --yes --repair vg0/pool && lvchange -ay vg0/pool && lvremove -qqf vg0/other vg0/pool_meta0").unwrap();
    let reply = converge(lab, 1, declared).ok();
    assert_eq!(reply.steps(), ["activate_lv done", "adjust done"]);
}

/// Another volume fills the pool: what is down stays down, with the remedy; what a further disk cures is cured.
fn a_full_pool(lab: &Lab, declared: &Value, disks: &Value) {
    let down = json!({ "name": "r0", "state": "down" });
    converge(lab, 1, &down).ok();
    lab.sh(1, "lvchange -qq --errorwhenfull y vg0/pool && lvcreate -qq -V 200M -T vg0/pool -n filler 2>/dev/null; \
        ! dd if=/dev/zero of=/dev/vg0/filler bs=1M oflag=direct status=none 2>/dev/null; sleep 1; lvs -o lv_attr,data_percent vg0/pool >&2").unwrap();
    for request in [declared, &json!({ "name": "r0", "state": "up" })] {
        let reply = refused(
            lab,
            request,
            "too_small",
            &["thin pool vg0/pool is full", "vg0/r0_00000 is not attached"],
        );
        assert!(
            reply.0["next_steps"].to_string().contains("lvextend --extents +100%FREE vg0/pool"),
            "{:#}",
            reply.0
        );
    }
    let reply = call(lab, 1, "drbd_storage_pool", disks).unwrap().ok();
    assert!(
        !reply.changed() && reply.0["warnings"].to_string().contains("vg0/pool is full"),
        "{:#}",
        reply.0
    );
    let facts = call(lab, 1, "drbd_info", &json!({})).unwrap().ok();
    let pool = &facts.0["facts"]["volume_groups"]["vg0"]["thin_pools"]["pool"];
    assert_eq!(
        (&pool["state"], &pool["promised_bytes"]),
        (&json!("full"), &json!((52 + 200) << 20)),
        "{pool}"
    );
    lab.sh(1, "lvremove -qqf vg0/filler").unwrap();
    let reply = converge(lab, 1, declared).ok();
    assert_eq!(reply.steps(), ["adjust done"]);
}

#[test]
fn a_peer_that_is_away_and_a_split_brain() {
    let lab = lab(2, 2);
    pools(&lab).unwrap();
    let mut declared = r0(&lab, &thin());
    declared["net"] = json!({ "ping_int": 1, "connect_int": 1 });
    lab.crash(2).unwrap();
    converge(&lab, 1, &declared).ok();
    assert!(!converge(&lab, 1, &declared).ok().changed());
    let late =
        call(&lab, 1, "drbd_wait", &json!({ "name": "r0", "condition": "connected", "timeout": 1 })).unwrap();
    assert!(late.refused("timed_out").msg().contains("Connecting"));
    // On one host alone nobody declares data valid.
    let own = call(&lab, 1, "drbd_info", &json!({})).unwrap().ok().0["facts"].clone();
    let arguments = with(&declared, &json!({ "evidence": [own] }));
    call(&lab, 1, "drbd_initial_sync", &arguments).unwrap().refused("evidence");
    lab.sh(1, "drbdadm get-gi r0 | grep -q ^0000000000000004:").unwrap();
    lab.boot(2).unwrap();
    lab.sh(2, "vgchange -qay && udevadm settle -t 10").unwrap();
    bring_up(&lab, &declared).unwrap();
    let noise = write_noise(&lab, 1).unwrap();
    assert_eq!(read_noise(&lab, 2).unwrap(), noise);

    lab.cut_pair(1, 2).unwrap();
    for host in [1, 2] {
        lab.eventually(host, MINUTE, "drbdadm cstate r0 | grep -Evq '^Connected$'").unwrap();
        lab.sh(host, &format!("drbdadm primary r0 && echo h{host} | dd of=/dev/drbd1000 bs=512 conv=sync oflag=direct status=none && drbdadm secondary r0"))
            .unwrap();
    }
    lab.heal_pair(1, 2).unwrap();
    let stand_alone = |host| lab.ssh(host, "drbdadm cstate r0 | grep -qx StandAlone").unwrap().success();
    let end = Instant::now() + MINUTE;
    while !stand_alone(1) && !stand_alone(2) {
        assert!(Instant::now() < end, "the two did not notice");
    }
    let sides = |host| lab.sh(host, "drbdadm get-gi r0; drbdadm dstate r0; drbdadm role r0").unwrap();
    let before = [sides(1), sides(2)];
    let split = |replies: &[Reply]| {
        let (told, others): (Vec<_>, Vec<_>) =
            replies.iter().filter(|reply| reply.failed()).partition(|reply| reply.code() == "split_brain");
        assert!(!told.is_empty(), "{replies:#?}");
        told.iter().for_each(|reply| assert!(reply.msg().contains("StandAlone"), "{}", reply.msg()));
        // The other side may see no more than a peer that does not answer.
        others.iter().for_each(|reply| assert_eq!(reply.code(), "timed_out", "{}", reply.msg()));
    };
    for condition in ["connected", "all_up_to_date"] {
        let arguments = json!({ "name": "r0", "condition": condition, "timeout": 3 });
        split(&call_both(&lab, "drbd_wait", &arguments).unwrap());
    }
    // However often it is run: it says so, and decides nothing. A host whose peer stands alone can only wait for it.
    let mut replies = Vec::new();
    for host in [1, 2, 1, 2, 1, 2] {
        let reply = converge(&lab, host, &declared);
        let restarted = reply.0["warnings"].to_string().contains("StandAlone");
        assert!(
            reply.code() == "split_brain" || !reply.failed() && reply.changed() == restarted,
            "{:#}",
            reply.0
        );
        replies.push(reply);
    }
    split(&replies);
    let advice: Vec<&str> = replies.iter().flat_map(Reply::next_steps).collect();
    assert!(advice.join(" ").contains("discard-my-data:r0@h"), "{advice:?}");
    let facts = evidence(&lab).unwrap();
    let state = |host: usize, peer: &str| {
        facts[host]["resources"]["r0"]["running"]["connections"][peer]["connection"].clone()
    };
    assert!(state(0, "h2") != "Connected" && state(1, "h1") != "Connected");
    assert_eq!([sides(1), sides(2)], before);
    for host in [1, 2] {
        let read = lab.sh(host, "drbdadm primary r0; head -c 2 /dev/drbd1000; drbdadm secondary r0").unwrap();
        assert_eq!(read, format!("h{host}"), "what was written there is still there");
    }
}

/// Kills a run at its first call of a tool, then at the second, and so on until one comes through; `after` each, a
/// clean run must converge and a third must find nothing to do. Returns how many were killed.
fn cut_everywhere(
    lab: &Lab,
    host: usize,
    when: &str,
    module: &str,
    arguments: &dyn Fn(usize) -> Value,
    prepare: &dyn Fn(),
    after: &dyn Fn(usize),
) -> usize {
    spy(lab, host).unwrap();
    for at in 1..100 {
        prepare();
        let arguments = arguments(at);
        let command = format!(
            "rm -f /run/spy/calls; echo {when} {at} >/run/spy/kill; {PATH} {module} 2>&1; code=$?; \
             rm -f /run/spy/kill; echo CALLS; cat /run/spy/calls; exit $code"
        );
        let mut output = lab.ssh_with_input(host, &command, arguments.to_string().as_bytes()).unwrap();
        let (said, calls) = output.stdout.split_once("CALLS\n").unwrap();
        let calls: Vec<String> = calls.lines().map(str::to_owned).collect();
        output.stdout = said.to_owned();
        if output.code != Some(137) {
            Reply::from_output(&output).unwrap().ok();
            assert!(calls.len() < at, "call {at} of {calls:#?} was not cut");
            after(at);
            return at - 1;
        }
        assert_eq!((calls.len(), output.stdout.as_str()), (at, ""), "{calls:#?}");
        let again = call(lab, host, module, &arguments).unwrap();
        assert!(!again.failed(), "cut {when} call {at} of {calls:#?}: {:#}", again.0);
        let third = call(lab, host, module, &arguments).unwrap().ok();
        assert!(
            !third.changed() && third.steps().is_empty(),
            "cut {when} call {at} of {calls:#?}: {:#}",
            third.0
        );
        after(at);
    }
    panic!("it never came through");
}

/// The same on both hosts at once: h1 before the calls, h2 after them.
fn cut_before_and_after(run: &(dyn Fn(usize, &str) -> usize + Sync)) {
    let cuts = thread::scope(|scope| {
        let other = scope.spawn(|| run(2, "after"));
        [run(1, "before"), other.join().unwrap()]
    });
    assert!(cuts[0] >= 5 && cuts[0] == cuts[1], "{cuts:?}");
}

#[test]
fn a_pool_cut_anywhere_is_gone_on_with() {
    let lab = lab(2, 2);
    cut_before_and_after(&|host, when| {
        let remove = || {
            let gone = with(&pool(), &json!({ "state": "absent" }));
            call(&lab, host, "drbd_storage_pool", &gone).unwrap().ok();
            assert!(lab.sh(host, "vgs --noheadings").unwrap().trim().is_empty());
        };
        let made = |_| {
            let made = lab
                .sh(host, "vgs --noheadings -o vg_name,lv_count && lvs --noheadings -o lv_name,lv_attr vg0")
                .unwrap();
            let words: Vec<&str> = made.split_whitespace().collect();
            assert!(words[..3] == ["vg0", "1", "pool"] && words[3].starts_with("twi-a-tz"), "{words:?}");
        };
        cut_everywhere(&lab, host, when, "drbd_storage_pool", &|_| pool(), &remove, &made)
    });
}

/// Two hosts with pools and, in each group, a volume that is nobody's business.
fn beside_a_stranger() -> (Lab, Value, Value) {
    let lab = lab(2, 2);
    pools(&lab).unwrap();
    for host in [1, 2] {
        lab.sh(host, "lvcreate -qqy -n keep -V 4M --thinpool pool vg0").unwrap();
    }
    let declared = r0(&lab, &thin());
    (lab, declared, json!({ "name": "r0", "state": "absent", "consent": ["destroy:r0"] }))
}

#[test]
fn a_creation_cut_anywhere_is_gone_on_with() {
    let (lab, declared, gone) = beside_a_stranger();
    cut_before_and_after(&|host, when| {
        let remove = || drop(converge(&lab, host, &gone).ok());
        let made = |_| {
            let look = "lvs --noheadings -o lv_name,lv_tags vg0 && drbdsetup status r0 >/dev/null && \
                drbdadm get-gi r0 | grep -o ^0000000000000004: && cat /var/lib/drbd-host/records/r0.json && \
                drbdadm down r0 && blkid -p -o value -s UUID /dev/vg0/r0_00000 | tr a-f A-F && \
                until drbdadm adjust r0 >/dev/null; do sleep 0.2; done";
            let seen = lab.sh(host, look).unwrap();
            let words: Vec<&str> = seen.split_whitespace().collect();
            assert_eq!(words[..4], ["keep", "pool", "r0_00000", "drbd-host"]);
            // blkid leaves out leading zeroes.
            let noted = format!("\"metadata\": \"{:0>16}\"", words.last().unwrap());
            assert!(seen.contains(&noted) && seen.contains("\"created\""), "{seen}");
        };
        cut_everywhere(&lab, host, when, "drbd_resource", &|_| declared.clone(), &remove, &made)
    });
}

#[test]
fn a_removal_cut_anywhere_is_gone_on_with() {
    let (lab, declared, gone) = beside_a_stranger();
    cut_before_and_after(&|host, when| {
        let make = || drop(converge(&lab, host, &declared).ok());
        let removed = |_| {
            let look = "! drbdsetup status r0 2>/dev/null && \
                ! ls /etc/drbd.d/r0.res /var/lib/drbd-host/records/r0.json 2>/dev/null && lvs --noheadings -o lv_name vg0";
            let seen = lab.sh(host, look).unwrap();
            assert_eq!(seen.split_whitespace().collect::<Vec<_>>(), ["keep", "pool"]);
        };
        cut_everywhere(&lab, host, when, "drbd_resource", &|_| gone.clone(), &make, &removed)
    });
}

#[test]
fn a_replica_with_data_cut_anywhere_keeps_them() {
    let lab = lab(2, 2);
    pools(&lab).unwrap();
    let declared = r0(&lab, &thin());
    bring_up(&lab, &declared).unwrap();
    let noise = write_noise(&lab, 1).unwrap();
    let identity = |host| {
        lab.sh(host, "drbdadm get-gi r0 | cut -d: -f1; lvs --noheadings -o lv_uuid vg0/r0_00000").unwrap()
    };
    let born = [identity(1), identity(2)];
    cut_before_and_after(&|host, when| {
        // Every run has a file to write, a volume to grow and a resource to bring up.
        let changed = |at: usize| {
            let mut changed = declared.clone();
            changed["net"] = json!({ "max_buffers": 8000 + at });
            changed["volumes"]["0"]["size"] = json!(format!("{}MiB", 48 + 4 * at));
            changed
        };
        let down = || drop(converge(&lab, host, &json!({ "name": "r0", "state": "down" })).ok());
        let kept = |at: usize| {
            assert_eq!(identity(host), born[host - 1]);
            assert!(lab.sh(host, "drbdsetup show r0").unwrap().contains(&(8000 + at).to_string()));
        };
        cut_everywhere(&lab, host, when, "drbd_resource", &changed, &down, &kept)
    });
    wait(&lab, "all_up_to_date").unwrap();
    for host in [2, 1] {
        assert_eq!(read_noise(&lab, host).unwrap(), noise);
    }
}

/// Cuts the first synchronisation of r0 on this storage everywhere. It ends with one generation on both hosts, and with
/// the role given back.
fn first_synchronisation(lab: &Lab, storage: &Value, when: &str) {
    let mut declared = r0(lab, storage);
    declared["volumes"]["0"]["size"] = json!("4MiB");
    let gone = json!({ "name": "r0", "state": "absent", "consent": ["destroy:r0"] });
    let fresh = || {
        for arguments in [&gone, &declared] {
            for reply in call_both(lab, "drbd_resource", arguments).unwrap() {
                reply.ok();
            }
        }
        wait(lab, "connected").unwrap();
    };
    let arguments = |_| with(&declared, &json!({ "evidence": evidence(lab).unwrap() }));
    let valid = |_| {
        wait(lab, "all_up_to_date").unwrap();
        let current = |host| lab.sh(host, "drbdadm get-gi r0 | cut -d: -f1").unwrap();
        let generation = |host| u64::from_str_radix(current(host).trim(), 16).unwrap() & !1;
        assert_eq!(generation(1), generation(2));
        assert!(
            generation(1) > 4 && lab.sh(1, "drbdadm role r0").unwrap().starts_with("Secondary/Secondary")
        );
    };
    let cuts = cut_everywhere(lab, 1, when, "drbd_initial_sync", &arguments, &fresh, &valid);
    assert!(cuts >= 4, "{cuts}");
}

#[test]
fn a_skipped_first_synchronisation_cut_anywhere_ends_with_one_generation() {
    let lab = lab(2, 2);
    pools(&lab).unwrap();
    first_synchronisation(&lab, &thin(), "after");
}

#[test]
fn a_full_first_synchronisation_cut_anywhere_ends_with_one_generation() {
    let lab = lab(2, 2);
    for host in [1, 2] {
        let group = json!({ "volume_group": "vg1", "disks": ["/dev/ubdc"] });
        call(&lab, host, "drbd_storage_pool", &group).unwrap().ok();
    }
    first_synchronisation(&lab, &json!({ "lvm": { "volume_group": "vg1" } }), "before");
}
