// SPDX-License-Identifier: MPL-2.0
//! The host-side modules on real hosts, as they should go: from blank disks to replicated data, again without a
//! change, and through everything that a declaration can ask for later.
//!
//! Each test looks at the host itself. Not here: what must be refused, and what breaks (see `host_faults`).

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
    let sectors = lab.sh(1, "cat /sys/block/drbd1000/size; blockdev --getsz /dev/vg0/r0_00000").unwrap();
    let bytes: Vec<u64> = sectors.lines().map(|line| line.parse::<u64>().unwrap() * 512).collect();
    assert_eq!(json!(bytes), json!([volume["size_bytes"], volume["backing"]["size_bytes"]]));
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
