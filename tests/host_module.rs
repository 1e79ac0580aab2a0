// SPDX-License-Identifier: MPL-2.0
//! The host-side modules on real hosts, as they should go: from blank disks to replicated data, again without a
//! change, and through everything that a declaration can ask for later.
//!
//! Each test looks at the host itself. Not here: what must be refused, and what breaks (see `host_faults`).

use drbd_schemas::combinations::RULES;
use serde_json::{Value, json};
use support::module::{
    Snapshot, bring_up, call, call_both, evidence, install, only_reads, pool, pools, r0, read_noise, spied,
    spy, thin, wait, with, write_noise,
};
use support::{Lab, LabOptions};

fn lab(disks: usize) -> Lab {
    let lab = Lab::start(&LabOptions { hosts: 2, disks, disk_size: "192M".to_owned() }).unwrap();
    install(&lab, 2).unwrap();
    lab
}

#[track_caller]
fn unchanged(lab: &Lab, host: usize, before: &Snapshot) {
    let changes = before.changes(&Snapshot::of(lab, host).unwrap());
    assert!(changes.is_empty(), "h{host} was changed: {changes:#?}");
}

fn check() -> Value {
    json!({ "_ansible_check_mode": true, "_ansible_diff": true })
}

/// One field of `drbdsetup status r0 --verbose --statistics`, everywhere it appears.
fn status_field(lab: &Lab, host: usize, field: &str) -> Vec<String> {
    let status = lab.sh(host, "drbdsetup status r0 --verbose --statistics").unwrap();
    let prefix = format!("{field}:");
    status.split_whitespace().filter_map(|word| word.strip_prefix(&prefix)).map(str::to_owned).collect()
}

/// The table of the schemas against the kernel: what it refuses here, by number, the module refuses before it touches anything.
#[test]
fn the_kernel_refuses_the_combinations_that_the_schemas_refuse() {
    let lab = Lab::start(&LabOptions { hosts: 1, disks: 1, disk_size: "64M".to_owned() }).unwrap();
    install(&lab, 1).unwrap();
    for rule in RULES {
        let wrong = ["A", "B", "C"].into_iter().find(|protocol| !rule.protocols.contains(protocol)).unwrap();
        for value in rule.values {
            // DRBD 8.4 has fencing among the options of the disk.
            let (net, disk) = match rule.option {
                "fencing" => (String::new(), format!("fencing {value};")),
                option => (format!("{option} {value};"), String::new()),
            };
            let file = format!(
                "resource x {{ protocol {wrong}; net {{ {net} }} disk {{ {disk} }} device minor 7; disk /dev/ubdb; meta-disk internal;
                 on h1 {{ address 10.99.0.11:7999; }} on h2 {{ address 10.99.0.12:7999; }} }}"
            );
            let script = format!(
                "echo '{file}' >/etc/drbd.d/x.res; drbdadm get-gi x >/dev/null 2>&1 || drbdadm create-md x >/dev/null;
                 drbdadm adjust x; drbdsetup down x; rm /etc/drbd.d/x.res"
            );
            let said = lab.ssh(1, &script).unwrap();
            let number = format!("({})", rule.kernel_error);
            assert!(said.stderr.contains(&number), "{} {value}, protocol {wrong}: {said:?}", rule.option);

            let mut declared = r0(&lab, &thin());
            declared["net"] = json!({ rule.option: value, "protocol": wrong });
            let refused = call(&lab, 1, "drbd_resource", &declared).unwrap().refused("invalid");
            assert!(refused.msg().contains(rule.option), "{}", refused.msg());
        }
    }

    // What this one host lacks, only it can say.
    let with = |change: fn(&mut Value)| {
        let mut declared = r0(&lab, &thin());
        change(&mut declared);
        call(&lab, 1, "drbd_resource", &declared).unwrap().refused("environment").msg().to_owned()
    };
    let said = with(|declared| declared["net"] = json!({ "verify-alg": "sha-none" }));
    assert!(said.contains("net.verify-alg sha-none: the kernel of h1 has no digest sha-none"), "{said}");
    let said = with(|declared| declared["nodes"]["h1"]["address"] = json!("10.99.0.77"));
    assert!(said.contains("10.99.0.77 of h1, which does not have that address (it has 10.99.0.11"), "{said}");
    lab.sh(1, "! ls /etc/drbd.d/*.res && ! test -e /dev/vg0").unwrap();
}

#[test]
fn from_blank_disks_to_replicated_data_and_no_change_after() {
    let lab = lab(2);
    let declared = r0(&lab, &thin());

    // Check mode: nothing changes, byte for byte, and the plan is the one that is then carried out.
    for (module, arguments) in [("drbd_storage_pool", pool()), ("drbd_resource", declared.clone())] {
        let before = Snapshot::of(&lab, 1).unwrap();
        let planned = call(&lab, 1, module, &with(&arguments, &check())).unwrap().ok();
        unchanged(&lab, 1, &before);
        assert!(planned.changed() && planned.0["check_mode"] == true);
        assert!(planned.steps().iter().all(|step| step.ends_with(" planned")), "{:?}", planned.steps());
        let [done, other] = call_both(&lab, module, &arguments).unwrap().map(support::module::Reply::ok);
        assert_eq!(planned.planned(), done.planned());
        assert!(done.changed() && other.changed());
        assert!(done.steps().iter().all(|step| step.ends_with(" done")), "{:?}", done.steps());
    }

    // Both disks are blank by construction, so nothing is sent, and exactly one host says so.
    wait(&lab, "connected").unwrap();
    let arguments = with(&declared, &json!({ "evidence": evidence(&lab).unwrap() }));
    let planned = call(&lab, 1, "drbd_initial_sync", &with(&arguments, &check())).unwrap().ok();
    assert_eq!(status_field(&lab, 1, "disk"), ["Inconsistent"], "check mode started it");
    let synced = [2, 1].map(|host| call(&lab, host, "drbd_initial_sync", &arguments).unwrap().ok());
    assert_eq!(synced.each_ref().map(|reply| reply.changed()), [false, true]);
    assert_eq!(planned.planned(), synced[1].planned());
    assert_eq!(synced[1].steps(), ["skip_initial_sync done"]);
    wait(&lab, "all_up_to_date").unwrap();
    for host in [1, 2] {
        assert_eq!(status_field(&lab, host, "peer-disk"), ["UpToDate"]);
        assert_eq!(status_field(&lab, host, "sent"), ["0"], "KiB sent by h{host}");
    }
    let again = call(&lab, 1, "drbd_initial_sync", &arguments).unwrap().ok();
    assert!(!again.changed() && again.steps().is_empty());

    let written = write_noise(&lab, 1).unwrap();
    assert_eq!(read_noise(&lab, 2).unwrap(), written);

    a_repeated_run_runs_nothing(&lab, &declared);
    facts_are_what_the_kernel_says(&lab);
    a_device_that_does_no_io_is_not_good(&lab, &declared);
}

/// `adjust` does not see I/O that was suspended by hand: everything is as declared, and nothing works.
fn a_device_that_does_no_io_is_not_good(lab: &Lab, declared: &Value) {
    lab.sh(1, "drbdadm suspend-io r0").unwrap();
    let reply = call(lab, 1, "drbd_resource", declared).unwrap().ok();
    assert!(!reply.changed() && reply.msg().contains("suspended by hand"), "{}", reply.msg());
    let wait = json!({ "name": "r0", "condition": "up_to_date", "timeout": 1 });
    let late = call(lab, 1, "drbd_wait", &wait).unwrap().refused("timed_out");
    assert!(late.msg().contains("suspended by hand"), "{}", late.msg());
    let info = call(lab, 1, "drbd_info", &json!({})).unwrap().ok();
    assert_eq!(info.0["facts"]["resources"]["r0"]["running"]["suspended_by"], json!(["user"]));
    lab.sh(1, "drbdadm resume-io r0").unwrap();
    call(lab, 1, "drbd_wait", &wait).unwrap().ok();
}

/// The current data generation of r0 on a host, without the bit that says Primary.
fn generation(lab: &Lab, host: usize) -> u64 {
    let gi = lab.sh(host, "drbdadm get-gi r0").unwrap();
    u64::from_str_radix(gi.split(':').next().unwrap(), 16).unwrap() & !1
}

/// A file system with a file on r0's device; the file's checksum.
fn make_file(lab: &Lab, host: usize) -> String {
    let make = "drbdadm primary r0 && mkfs.ext4 -q /dev/drbd1000 && mount /dev/drbd1000 /mnt && \
        head -c 8388608 /dev/urandom >/mnt/file && sha256sum </mnt/file && umount /mnt && drbdadm secondary r0";
    lab.sh(host, make).unwrap()
}

fn read_file(lab: &Lab, host: usize) -> String {
    let read = "drbdadm primary r0 && fsck.ext4 -fn /dev/drbd1000 >&2 && mount -o ro /dev/drbd1000 /mnt && \
        sha256sum </mnt/file && umount /mnt && drbdadm secondary r0";
    lab.sh(host, read).unwrap()
}

/// Power cut, and boot with the volume groups active, as a stock distribution has them.
fn reboot(lab: &Lab, host: usize) {
    lab.crash(host).unwrap();
    lab.boot(host).unwrap();
    lab.sh(host, "vgchange -qay && udevadm settle -t 10").unwrap();
}

fn sizes(lab: &Lab, host: usize) -> [u64; 2] {
    let sectors = lab.sh(host, "cat /sys/block/drbd1000/size; blockdev --getsz /dev/vg0/r0_00000").unwrap();
    let bytes: Vec<u64> = sectors.lines().map(|line| line.parse::<u64>().unwrap() * 512).collect();
    [bytes[0], bytes[1]]
}

fn a_repeated_run_runs_nothing(lab: &Lab, declared: &Value) {
    for host in [1, 2] {
        spy(lab, host).unwrap();
        let before = Snapshot::of(lab, host).unwrap();
        for (module, arguments) in [("drbd_storage_pool", &pool()), ("drbd_resource", declared)] {
            let reply = call(lab, host, module, arguments).unwrap().ok();
            assert!(!reply.changed() && reply.steps().is_empty(), "{:#}", reply.0);
            let calls = spied(lab, host).unwrap();
            assert!(!calls.is_empty() && calls.iter().all(|call| only_reads(call)), "{calls:#?}");
            if module == "drbd_resource" {
                // Each costs: status, and what adjust would do, which asks the kernel for its configuration itself. What LVM
                // could tell of a volume that this host made, the kernel does.
                let tools: Vec<&str> = calls.iter().filter_map(|call| call.split(' ').next()).collect();
                assert_eq!(tools, ["drbdsetup", "drbdadm"], "{calls:#?}");
            }
        }
        unchanged(lab, host, &before);
    }
}

fn facts_are_what_the_kernel_says(lab: &Lab) {
    let facts = evidence(lab).unwrap()[0].clone();
    let running = &facts["resources"]["r0"]["running"];
    assert_eq!(status_field(lab, 1, "role"), [running["role"].as_str().unwrap(), "Secondary"]);
    assert_eq!(running["connections"]["h2"]["connection"], "Connected");
    let volume = &facts["resources"]["r0"]["volumes"]["0"];
    assert_eq!(status_field(lab, 1, "disk"), [volume["disk"].as_str().unwrap()]);
    assert_eq!(json!(sizes(lab, 1)), json!([volume["size_bytes"], volume["backing"]["size_bytes"]]));
    assert_eq!(facts["kernel"], lab.sh(1, "uname -r").unwrap().trim());
    let module = lab.sh(1, "cat /sys/module/drbd/version").unwrap();
    assert_eq!(facts["drbd"]["module"], module.trim());
    assert_eq!((&facts["ports_in_use"], &facts["minors_in_use"]), (&json!([7000]), &json!([1000])));
    assert_eq!(facts["resources"]["r0"]["pending"], json!([]));
    assert_eq!(volume["backing"]["verdict"], json!({ "is": "ours" }));
    // They are no longer proof of blankness: there is data now.
    assert_eq!(
        (&volume["backing"]["just_created"], &volume["backing"]["blank_proof"]),
        (&json!(false), &Value::Null)
    );
    let uuid = lab.sh(1, "lvs --noheadings -o lv_uuid vg0/r0_00000").unwrap();
    assert_eq!(volume["backing"]["identity"], format!("lv:{}", uuid.trim()));
}

/// A host's part of r0 as it is on the host: volume, file, metadata, running.
fn parts(lab: &Lab, host: usize) -> String {
    let look = "lvs vg0/r0_00000; test -e /etc/drbd.d/r0.res; blkid -p /dev/vg0/r0_00000 | grep -q drbd; drbdsetup status r0";
    let each = look
        .split("; ")
        .map(|command| format!("if {command} >/dev/null 2>&1; then echo -n y; else echo -n n; fi"));
    lab.sh(host, &each.collect::<Vec<_>>().join("; ")).unwrap()
}

#[test]
fn single_steps_do_their_part_and_nothing_before_its_turn() {
    let lab = lab(1);
    let declared = r0(&lab, &thin());
    pools(&lab).unwrap();
    let only = |steps: &[&str]| with(&declared, &json!({ "steps": steps }));
    for early in [["create-md"], ["up"], ["adjust"]] {
        let before = Snapshot::of(&lab, 1).unwrap();
        let refused = call(&lab, 1, "drbd_resource", &only(&early)).unwrap().refused("missing");
        assert!(refused.next_steps()[0].starts_with("Add storage to steps"), "{:?}", refused.next_steps());
        unchanged(&lab, 1, &before);
    }
    let turns = [("storage", "ynnn"), ("config", "yynn"), ("create-md", "yyyn"), ("up", "yyyy")];
    for (step, now) in turns {
        let planned = call(&lab, 1, "drbd_resource", &with(&only(&[step]), &check())).unwrap().ok();
        let done = call(&lab, 1, "drbd_resource", &only(&[step])).unwrap().ok();
        assert_eq!((planned.planned(), parts(&lab, 1).as_str()), (done.planned(), now), "{step}");
        let before = Snapshot::of(&lab, 1).unwrap();
        assert!(!call(&lab, 1, "drbd_resource", &only(&[step])).unwrap().ok().changed(), "{step}");
        unchanged(&lab, 1, &before);
    }
    assert!(!call(&lab, 1, "drbd_resource", &declared).unwrap().ok().changed());
}

#[test]
fn options_change_without_a_disconnect_and_volumes_grow() {
    let lab = lab(1);
    let mut declared = r0(&lab, &thin());
    pools(&lab).unwrap();
    bring_up(&lab, &declared).unwrap();
    let file = make_file(&lab, 1);

    declared["net"] = json!({ "max_buffers": 8000, "ping_int": 7 });
    declared["disk"] = json!({ "c_plan_ahead": 0, "resync_rate": "50M" });
    let states = |host| lab.sh(host, "dmesg | grep -c 'drbd r0.*conn( '").unwrap();
    let before = [states(1), states(2)];
    let planned = call(&lab, 1, "drbd_resource", &with(&declared, &check())).unwrap().ok();
    let shown = planned.0["diff"].to_string();
    for new in ["max-buffers 8000", "resync-rate 50M", "net-options", "write /etc/drbd.d/r0.res"] {
        assert!(shown.contains(new), "{new} is not in {shown}");
    }
    assert!(!lab.sh(1, "cat /etc/drbd.d/r0.res; drbdsetup show r0").unwrap().contains("8000"));
    for (host, done) in call_both(&lab, "drbd_resource", &declared).unwrap().into_iter().enumerate() {
        assert_eq!(done.ok().steps(), ["write_config done", "adjust done"]);
        let shown = lab.sh(host + 1, "drbdsetup show r0").unwrap();
        assert!(shown.contains("8000") && shown.contains("51200k"), "{shown}");
    }
    assert_eq!([states(1), states(2)], before, "the connection was lost");

    // Backing devices first; the resource itself only with the evidence that all of them have grown.
    let small = sizes(&lab, 1);
    declared["volumes"]["0"]["size"] = json!("80MiB");
    for reply in call_both(&lab, "drbd_resource", &declared).unwrap() {
        let reply = reply.ok();
        assert_eq!(reply.steps(), ["extend_lv done"]);
        assert!(reply.0["pending"].to_string().contains("evidence"), "{:#}", reply.0);
    }
    assert_eq!(sizes(&lab, 1)[0], small[0]);
    assert!(sizes(&lab, 1)[1] > small[1]);

    let grown = with(&declared, &json!({ "evidence": evidence(&lab).unwrap() }));
    let planned = call(&lab, 1, "drbd_resource", &with(&grown, &check())).unwrap().ok();
    let done = call(&lab, 1, "drbd_resource", &grown).unwrap().ok();
    assert_eq!((planned.planned(), done.steps()), (done.planned(), vec!["resize done".to_owned()]));
    wait(&lab, "all_up_to_date").unwrap();
    for host in [1, 2] {
        assert!(sizes(&lab, host)[0] >= 80 << 20, "{:?}", sizes(&lab, host));
        let again = call(&lab, host, "drbd_resource", &declared).unwrap().ok();
        assert!(!again.changed() && again.0.get("pending").is_none(), "{:#}", again.0);
        assert_eq!(read_file(&lab, host), file);
    }

    declared["volumes"]["0"]["size"] = json!("48MiB");
    let before = Snapshot::of(&lab, 1).unwrap();
    let refused = call(&lab, 1, "drbd_resource", &declared).unwrap().refused("shrink");
    assert!(refused.msg().contains("shrinking would cut off data"), "{}", refused.msg());
    unchanged(&lab, 1, &before);

    // The power fails between backing device and resource: DRBD's metadata are where the end of the device was, and a
    // file system is at its start.
    declared["volumes"]["0"]["size"] = json!("96MiB");
    let born = [generation(&lab, 1), generation(&lab, 2)];
    assert_eq!(call(&lab, 1, "drbd_resource", &declared).unwrap().ok().steps(), ["extend_lv done"]);
    reboot(&lab, 1);
    lab.sh(1, "blkid -p /dev/vg0/r0_00000 | grep -q ext4").unwrap();
    let resumed = call(&lab, 1, "drbd_resource", &declared).unwrap().ok();
    assert_eq!(resumed.steps(), ["load_module done", "adjust done"]);
    wait(&lab, "all_up_to_date").unwrap();
    assert_eq!([generation(&lab, 1), generation(&lab, 2)], born);
    assert_eq!(read_file(&lab, 1), file);
}

#[test]
fn down_up_absent_and_back_keep_the_data_and_destroy_does_not() {
    let lab = lab(1);
    let declared = r0(&lab, &thin());
    let state = |state: &str| json!({ "name": "r0", "state": state });
    pools(&lab).unwrap();
    bring_up(&lab, &declared).unwrap();
    let noise = write_noise(&lab, 1).unwrap();
    let born = generation(&lab, 1);

    let done = call(&lab, 2, "drbd_resource", &state("down")).unwrap().ok();
    assert_eq!(done.steps(), ["down done"]);
    lab.sh(2, "! drbdsetup status r0 2>/dev/null && test -e /etc/drbd.d/r0.res && lvs vg0/r0_00000").unwrap();
    assert!(!call(&lab, 2, "drbd_resource", &state("down")).unwrap().ok().changed());
    let patience = json!({ "name": "r0", "condition": "connected", "timeout": 1 });
    let late = call(&lab, 1, "drbd_wait", &patience).unwrap().refused("timed_out");
    assert!(
        late.msg().contains("last seen: the connection to ") && late.msg().contains("Connecting"),
        "{}",
        late.msg()
    );
    let done = call(&lab, 2, "drbd_resource", &state("up")).unwrap().ok();
    assert_eq!(done.steps(), ["adjust done"]);
    wait(&lab, "all_up_to_date").unwrap();
    assert!(!call(&lab, 2, "drbd_resource", &state("up")).unwrap().ok().changed());

    // A Primary, and one that is in use, are not taken down.
    lab.sh(1, "drbdadm primary r0").unwrap();
    call(&lab, 1, "drbd_resource", &state("down")).unwrap().refused("in_use");
    lab.sh(1, "exec 3</dev/drbd1000 && ! drbdadm secondary r0 2>/dev/null; exec 3<&-; drbdadm secondary r0")
        .unwrap();

    // Absent keeps the volume and the memory of it, so that the same declaration takes it back.
    let lvs = |host| lab.sh(host, "lvs --noheadings -o lv_uuid vg0/r0_00000").unwrap();
    let before = lvs(1);
    for reply in call_both(&lab, "drbd_resource", &state("absent")).unwrap() {
        let reply = reply.ok();
        assert_eq!(reply.steps(), ["down done", "remove_config done"]);
        assert_eq!(reply.token().unwrap(), "destroy:r0");
    }
    lab.sh(1, "! drbdsetup status r0 2>/dev/null && ! test -e /etc/drbd.d/r0.res").unwrap();
    for reply in call_both(&lab, "drbd_resource", &declared).unwrap() {
        assert_eq!(reply.ok().steps(), ["write_config done", "adjust done"]);
    }
    wait(&lab, "all_up_to_date").unwrap();
    assert_eq!((generation(&lab, 1), lvs(1)), (born, before));
    assert_eq!(status_field(&lab, 1, "sent"), ["0"]);
    assert_eq!(read_noise(&lab, 2).unwrap(), noise);

    // A host comes back from a power cut with nothing loaded; what is on its disks is taken as it is.
    let born = [generation(&lab, 1), generation(&lab, 2)];
    reboot(&lab, 2);
    let planned = call(&lab, 2, "drbd_resource", &with(&declared, &check())).unwrap().ok();
    lab.sh(2, "! test -e /proc/drbd").unwrap();
    let done = call(&lab, 2, "drbd_resource", &declared).unwrap().ok();
    assert_eq!(done.steps(), ["load_module done", "adjust done"]);
    assert_eq!(planned.planned(), done.planned());
    wait(&lab, "all_up_to_date").unwrap();
    assert_eq!([generation(&lab, 1), generation(&lab, 2)], born);
    assert_eq!(read_noise(&lab, 2).unwrap(), noise);

    // Destroyed only under its own name; what else is in the group stays.
    lab.sh(1, "lvcreate -qq -y -n keep -V 4M --thinpool pool vg0").unwrap();
    let wrong = with(&state("absent"), &json!({ "consent": ["destroy:r1"] }));
    call(&lab, 1, "drbd_resource", &wrong).unwrap().ok();
    lab.sh(1, "lvs vg0/r0_00000").unwrap();
    let right = with(&state("absent"), &json!({ "consent": ["destroy:r0"] }));
    let planned = call(&lab, 1, "drbd_resource", &with(&right, &check())).unwrap().ok();
    let done = call(&lab, 1, "drbd_resource", &right).unwrap().ok();
    assert_eq!(done.steps(), ["remove_lv done", "forget_record done"]);
    assert_eq!(planned.planned(), done.planned());
    let left = lab.sh(1, "lvs --noheadings -o lv_name vg0; ls /var/lib/drbd-host/records").unwrap();
    assert_eq!(left.split_whitespace().collect::<Vec<_>>(), ["keep", "pool"]);
    assert!(!call(&lab, 1, "drbd_resource", &right).unwrap().ok().changed());
}

/// Every byte of r0's device on a host.
fn content(lab: &Lab, host: usize) -> String {
    lab.sh(host, "drbdadm primary r0 && sha256sum </dev/drbd1000; s=$?; drbdadm secondary r0; exit $s")
        .unwrap()
}

#[test]
fn thick_volumes_and_whole_devices_are_synchronised_in_full() {
    let lab = lab(3);
    // What is on the disks before differs, and LVM hands it out again.
    for host in [1, 2] {
        let group = json!({ "volume_group": "vg1", "disks": ["/dev/ubdc"] });
        call(&lab, host, "drbd_storage_pool", &group).unwrap().ok();
        lab.sh(host, "lvcreate -qq -n old -l 100%FREE vg1 && ! dd if=/dev/urandom of=/dev/vg1/old bs=1M 2>/dev/null; lvremove -qqy vg1/old")
            .unwrap();
    }
    let mut declared = r0(&lab, &json!({ "lvm": { "volume_group": "vg1" } }));
    declared["disk"] = json!({ "c_plan_ahead": 0, "resync_rate": "8M" });
    for reply in call_both(&lab, "drbd_resource", &declared).unwrap() {
        reply.ok();
    }
    wait(&lab, "connected").unwrap();
    let arguments = with(&declared, &json!({ "evidence": evidence(&lab).unwrap(), "source": "h2" }));
    assert!(!call(&lab, 1, "drbd_initial_sync", &arguments).unwrap().ok().changed());
    let started = call(&lab, 2, "drbd_initial_sync", &arguments).unwrap().ok();
    assert_eq!(started.steps(), ["start_initial_sync done"]);
    let running = &evidence(&lab).unwrap()[1]["resources"]["r0"]["running"];
    assert_eq!(running["role"], "Secondary", "the role was only taken to start it");
    let peer = &running["connections"]["h1"]["volumes"]["0"];
    let done = peer["done_percent"].as_f64().unwrap();
    assert!(peer["replication"] == "SyncSource" && (0.0..100.0).contains(&done), "{peer}");
    assert!(peer["out_of_sync_bytes"].as_u64().unwrap() > 0);
    wait(&lab, "all_up_to_date").unwrap();
    assert_eq!(content(&lab, 1), content(&lab, 2));
    let sent: u64 = status_field(&lab, 2, "sent")[0].parse().unwrap();
    assert!(sent >= 48 << 10, "{sent} KiB");
    let gone = json!({ "name": "r0", "state": "absent", "consent": ["destroy:r0"] });
    for reply in call_both(&lab, "drbd_resource", &gone).unwrap() {
        assert!(reply.ok().steps().contains(&"remove_lv done".to_owned()));
    }

    // Whole devices: the smallest decides about the size, and they are nobody's to remove.
    let mut declared = r0(&lab, &json!({ "devices": { "0": "/dev/ubdd" } }));
    declared["volumes"]["0"].as_object_mut().unwrap().remove("size");
    bring_up(&lab, &declared).unwrap();
    let noise = write_noise(&lab, 2).unwrap();
    assert_eq!(read_noise(&lab, 1).unwrap(), noise);
    let size: u64 = lab.sh(1, "cat /sys/block/drbd1000/size").unwrap().trim().parse().unwrap();
    assert!((190 << 11..192 << 11).contains(&size), "{size} sectors");
    for reply in call_both(&lab, "drbd_resource", &gone).unwrap() {
        assert_eq!(
            reply.ok().steps(),
            ["down done", "remove_config done", "wipe_metadata done", "forget_record done"]
        );
    }
    lab.sh(1, "! blkid -p /dev/ubdd").unwrap();
    assert_eq!(lab.sh(1, "head -c 8388608 /dev/ubdd | sha256sum").unwrap(), noise, "what DRBD wrote stays");
}

/// The evidence of both hosts, with no proof that a volume reads as zeroes.
fn unproven(mut evidence: Value, volume: &str) -> Value {
    for facts in evidence.as_array_mut().unwrap() {
        let path = format!("/resources/r0/volumes/{volume}/backing");
        facts.pointer_mut(&path).unwrap().as_object_mut().unwrap().remove("blank_proof");
    }
    evidence
}

/// New volumes of a resource that is mounted: its Primary starts their first synchronisation, or declares them in sync, whatever
/// its node-id, and stays Primary with its file system mounted.
#[test]
fn new_volumes_of_a_mounted_primary_get_their_first_data_there() {
    let lab = lab(2);
    pools(&lab).unwrap();
    let mut declared = r0(&lab, &thin());
    bring_up(&lab, &declared).unwrap();
    let sum = make_file(&lab, 2);
    lab.sh(2, "drbdadm primary r0 && mount /dev/drbd1000 /mnt").unwrap();
    for (volume, minor, step) in [("1", 1001, "skip_initial_sync"), ("2", 1002, "start_initial_sync")] {
        declared["volumes"][volume] = json!({ "minor": minor, "size": "16MiB" });
        for reply in call_both(&lab, "drbd_resource", &declared).unwrap() {
            reply.ok();
        }
        wait(&lab, "connected").unwrap();
        let mut evidence = evidence(&lab).unwrap();
        if step == "start_initial_sync" {
            evidence = unproven(evidence, volume);
        }
        let arguments = with(&declared, &json!({ "evidence": evidence }));
        let elsewhere = with(&arguments, &json!({ "source": "h1" }));
        let refused = call(&lab, 1, "drbd_initial_sync", &elsewhere).unwrap().refused("in_use");
        assert!(refused.msg().contains("h2 is Primary"), "{}", refused.msg());
        assert!(!call(&lab, 1, "drbd_initial_sync", &arguments).unwrap().ok().changed());
        let planned = call(&lab, 2, "drbd_initial_sync", &with(&arguments, &check())).unwrap().ok();
        let done = call(&lab, 2, "drbd_initial_sync", &arguments).unwrap().ok();
        assert_eq!(done.steps(), [format!("{step} done")]);
        assert_eq!(planned.planned(), done.planned());
        wait(&lab, "all_up_to_date").unwrap();
        assert!(!call(&lab, 2, "drbd_initial_sync", &arguments).unwrap().ok().changed());
        // What is new can be used at once, where the rest is.
        let use_it = format!("mkfs.ext4 -q /dev/drbd{minor} && drbdadm role r0");
        assert_eq!(lab.sh(2, &use_it).unwrap().lines().next().unwrap(), "Primary/Secondary");
    }
    let file = lab.sh(2, "sha256sum </mnt/file && umount /mnt && drbdadm secondary r0").unwrap();
    assert_eq!(file, sum);
    let checks = "drbdadm primary r0 && for m in 1 2; do fsck.ext4 -fn /dev/drbd100$m >/dev/null || exit 1; done; \
        mount /dev/drbd1000 /mnt && sha256sum </mnt/file; umount /mnt; drbdadm secondary r0";
    assert_eq!(lab.sh(1, checks).unwrap(), sum);
}
