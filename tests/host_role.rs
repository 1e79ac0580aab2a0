// SPDX-License-Identifier: MPL-2.0
//! Roles, file systems and comparisons on real hosts. What is looked at is the mount table, the data, and the disks; the
//! module's own words only where they have to name something.

use serde_json::{Value, json};
use support::module::{
    self, Reply, bring_up, call, call_both, evidence, install, pools, r0, thin, wait, with,
};
use support::{Lab, LabOptions};

fn lab() -> (Lab, Value) {
    lab_of("192M", "48MiB")
}

/// Disks of this size, and a volume of that one on them.
fn lab_of(disk_size: &str, volume_size: &str) -> (Lab, Value) {
    let lab = Lab::start(&LabOptions { hosts: 2, disks: 1, disk_size: disk_size.to_owned() }).unwrap();
    install(&lab, 2).unwrap();
    let mut declared = r0(&lab, &thin());
    declared["volumes"]["0"]["size"] = json!(volume_size);
    declared["net"] = json!({ "verify_alg": "crc32c" });
    declared["disk"] = json!({ "c_plan_ahead": 0, "resync_rate": "100M" });
    pools(&lab).unwrap();
    bring_up(&lab, &declared).unwrap();
    (lab, declared)
}

fn role(role: &str, mounts: &Value) -> Value {
    json!({ "name": "r0", "role": role, "mounts": mounts })
}

/// `/srv/web` with ext4, made if there is none.
fn web() -> Value {
    json!([{ "path": "/srv/web", "fstype": "ext4", "options": ["noatime"], "make_filesystem": true, "grow_filesystem": true }])
}

fn run(lab: &Lab, host: usize, arguments: &Value) -> Reply {
    call(lab, host, "drbd_role", arguments).unwrap()
}

/// Device, kind and options of what is mounted on /srv/web.
fn mounted(lab: &Lab, host: usize) -> Option<String> {
    let found = lab.sh(host, "findmnt -n -o SOURCE,FSTYPE,OPTIONS /srv/web || true").unwrap();
    Some(found.split_whitespace().collect::<Vec<_>>().join(" ")).filter(|found| !found.is_empty())
}

fn kernel_role(lab: &Lab, host: usize) -> String {
    lab.sh(host, "drbdadm role r0").unwrap().trim().split('/').next().unwrap().to_owned()
}

/// Size of the file system on /srv/web.
fn kib(lab: &Lab, host: usize) -> u64 {
    lab.sh(host, "df -k --output=size /srv/web | tail -1").unwrap().trim().parse().unwrap()
}

#[track_caller]
fn as_planned(lab: &Lab, host: usize, arguments: &Value) -> Reply {
    module::as_planned(lab, host, "drbd_role", arguments).unwrap()
}

#[test]
fn a_service_moves_with_its_data_and_its_file_system_grows() {
    let (lab, mut declared) = lab();
    let here = role("primary", &web());
    let away = role("secondary", &json!([{ "path": "/srv/web" }]));
    let done = as_planned(&lab, 1, &here);
    assert_eq!(done.steps(), ["promote done", "make_filesystem done", "make_mount_point done", "mount done"]);
    let found = mounted(&lab, 1).unwrap();
    assert!(found.starts_with("/dev/drbd1000 ext4 ") && found.contains("noatime"), "{found}");
    assert_eq!(done.0["after"]["volumes"]["0"]["mounted_on"], json!(["/srv/web"]));
    assert_eq!(
        evidence(&lab).unwrap()[0]["resources"]["r0"]["volumes"]["0"]["mounted_on"],
        json!(["/srv/web"])
    );
    let sum = lab.sh(1, "head -c 8388608 /dev/urandom >/srv/web/page && sha256sum </srv/web/page").unwrap();

    // The other host is told who is Primary, and touches nothing.
    let refused = run(&lab, 2, &here).refused("in_use");
    assert!(refused.msg().contains("Primary on h1"), "{}", refused.msg());

    // Who is in the way is named: the server, a second mount, an open device.
    lab.sh(
        1,
        "cd /srv/web && exec sleep 600 </srv/web/page >/dev/null 2>&1 & echo $! >/run/server; sleep 0.3",
    )
    .unwrap();
    let server = lab.sh(1, "cat /run/server").unwrap();
    let refused = run(&lab, 1, &away).refused("in_use");
    assert!(
        refused.msg().contains(&format!("process {} (sleep) works in /srv/web", server.trim())),
        "{}",
        refused.msg()
    );
    lab.sh(1, "kill $(cat /run/server); sleep 0.3; mkdir -p /mnt2 && mount --bind /srv/web /mnt2").unwrap();
    let refused = run(&lab, 1, &away).refused("in_use");
    assert!(refused.msg().contains("mounted on /mnt2"), "{}", refused.msg());
    lab.sh(1, "umount /mnt2").unwrap();
    let refused = run(&lab, 1, &role("secondary", &json!([]))).refused("in_use");
    assert!(refused.msg().contains("mounted on /srv/web"), "{}", refused.msg());
    assert!(mounted(&lab, 1).is_some() && kernel_role(&lab, 1) == "Primary");

    // The move: away here, and there with the same data; nothing is made anew.
    assert_eq!(as_planned(&lab, 1, &away).steps(), ["unmount done", "demote done"]);
    assert_eq!((mounted(&lab, 1), kernel_role(&lab, 1).as_str()), (None, "Secondary"));
    let done = as_planned(&lab, 2, &here);
    assert_eq!(done.steps(), ["promote done", "make_mount_point done", "mount done"]);
    assert_eq!(lab.sh(2, "sha256sum </srv/web/page").unwrap(), sum);

    // Grown below it, then itself, mounted.
    let small = kib(&lab, 2);
    declared["volumes"]["0"]["size"] = json!("96MiB");
    grow(&lab, &declared, 2);
    assert_eq!(as_planned(&lab, 2, &here).steps(), ["grow_filesystem done"]);
    assert!(kib(&lab, 2) > small + 40_000, "{small} KiB, {} KiB", kib(&lab, 2));
    assert_eq!(lab.sh(2, "sha256sum </srv/web/page").unwrap(), sum);

    // Back where it was: the larger file system is the same one.
    assert_eq!(run(&lab, 2, &away).ok().steps(), ["unmount done", "demote done"]);
    assert_eq!(as_planned(&lab, 1, &here).steps(), ["promote done", "mount done"]);
    assert_eq!(lab.sh(1, "sha256sum </srv/web/page").unwrap(), sum);
    lab.sh(1, "umount /srv/web && fsck.ext4 -fn /dev/drbd1000 && drbdadm secondary r0").unwrap();
}

/// DRBD takes the size to which both volumes have grown, on the host that uses it.
fn grow(lab: &Lab, declared: &Value, primary: usize) {
    for reply in call_both(lab, "drbd_resource", declared).unwrap() {
        reply.ok();
    }
    let grown = with(declared, &json!({ "evidence": evidence(lab).unwrap() }));
    assert_eq!(call(lab, primary, "drbd_resource", &grown).unwrap().ok().steps(), ["resize done"]);
    wait(lab, "all_up_to_date").unwrap();
}

/// mkfs.xfs makes nothing smaller than 300 MB.
#[test]
fn xfs_is_made_moved_and_grown() {
    let (lab, mut declared) = lab_of("640M", "320MiB");
    let mount = json!([{ "path": "/srv/web", "fstype": "xfs", "options": ["noatime"], "make_filesystem": true, "grow_filesystem": true }]);
    let (here, away) = (role("primary", &mount), role("secondary", &json!([{ "path": "/srv/web" }])));
    let done = as_planned(&lab, 1, &here);
    assert_eq!(done.steps(), ["promote done", "make_filesystem done", "make_mount_point done", "mount done"]);
    let found = mounted(&lab, 1).unwrap();
    assert!(found.starts_with("/dev/drbd1000 xfs ") && found.contains("noatime"), "{found}");
    let sum = lab.sh(1, "head -c 8388608 /dev/urandom >/srv/web/page && sha256sum </srv/web/page").unwrap();
    assert_eq!(as_planned(&lab, 1, &away).steps(), ["unmount done", "demote done"]);

    // It is no ext4, and is not made into one.
    let refused = run(&lab, 2, &role("primary", &web())).refused("foreign_data");
    assert!(refused.msg().contains("holds xfs, ext4 is asked for"), "{}", refused.msg());
    let done = as_planned(&lab, 2, &here);
    assert_eq!(done.steps(), ["promote done", "make_mount_point done", "mount done"]);
    assert_eq!(lab.sh(2, "sha256sum </srv/web/page").unwrap(), sum);

    let small = kib(&lab, 2);
    declared["volumes"]["0"]["size"] = json!("400MiB");
    grow(&lab, &declared, 2);
    assert_eq!(as_planned(&lab, 2, &here).steps(), ["grow_filesystem done"]);
    assert!(kib(&lab, 2) > small + 70_000, "{small} KiB, {} KiB", kib(&lab, 2));
    assert_eq!(lab.sh(2, "sha256sum </srv/web/page").unwrap(), sum);
    assert_eq!(run(&lab, 2, &away).ok().steps(), ["unmount done", "demote done"]);
    lab.sh(1, "drbdadm primary r0 && xfs_repair -n /dev/drbd1000 && drbdadm secondary r0").unwrap();
}

#[test]
fn nothing_is_made_over_data_and_nothing_promoted_blindly() {
    let (lab, _) = lab();
    let here = role("primary", &web());
    // Data without a signature, far behind the start of the device.
    lab.sh(1, "drbdadm primary r0 && printf secret | dd of=/dev/drbd1000 bs=1M seek=30 conv=fsync 2>/dev/null && drbdadm secondary r0")
        .unwrap();
    let read = |host| {
        lab.sh(host, "dd if=/dev/vg0/r0_00000 iflag=direct bs=1M count=40 2>/dev/null | sha256sum").unwrap()
    };
    let before = [read(1), read(2)];
    for host in [1, 2] {
        let refused = run(&lab, host, &here).refused("foreign_data");
        assert!(
            refused.msg().contains("data without a known signature (at byte 31457280)"),
            "{}",
            refused.msg()
        );
        assert_eq!(kernel_role(&lab, host), "Secondary", "refused before the promotion");
    }
    assert_eq!([read(1), read(2)], before);

    // Another kind of file system than asked for is left alone; asked for without a kind it is mounted.
    lab.sh(1, "drbdadm primary r0 && mkfs.ext2 -qF /dev/drbd1000 && drbdadm secondary r0").unwrap();
    let refused = run(&lab, 2, &here).refused("foreign_data");
    assert!(refused.msg().contains("holds ext2, ext4 is asked for"), "{}", refused.msg());
    let any = role("primary", &json!([{ "path": "/srv/web" }]));
    assert_eq!(as_planned(&lab, 2, &any).steps(), ["promote done", "make_mount_point done", "mount done"]);
    assert!(mounted(&lab, 2).unwrap().contains(" ext2 "));
    run(&lab, 2, &role("secondary", &json!([{ "path": "/srv/web" }]))).ok();

    // A peer that is away may be Primary: a promotion then needs a consent that names this host.
    lab.cut_pair(1, 2).unwrap();
    lab.sh(
        1,
        "for i in $(seq 300); do drbdadm cstate r0 | grep -q WFConnection && exit; sleep 0.2; done; exit 1",
    )
    .unwrap();
    let refused = run(&lab, 1, &any).refused("consent_needed");
    assert_eq!(refused.token().unwrap(), "promote-alone:r0@h1");
    assert_eq!(kernel_role(&lab, 1), "Secondary");
    let consented = with(&any, &json!({ "consent": ["promote-alone:r0@h1"] }));
    assert_eq!(
        as_planned(&lab, 1, &consented).steps(),
        ["promote done", "make_mount_point done", "mount done"]
    );
}

#[test]
fn a_comparison_tells_what_differs_and_repairs_nothing() {
    let (lab, _) = lab();
    lab.sh(1, "drbdadm primary r0 && dd if=/dev/urandom of=/dev/drbd1000 bs=1M count=40 conv=fsync 2>/dev/null && drbdadm secondary r0")
        .unwrap();
    let ask = json!({ "name": "r0", "timeout": 300 });
    let planned =
        call(&lab, 1, "drbd_verify", &with(&ask, &json!({ "_ansible_check_mode": true }))).unwrap().ok();
    assert_eq!(planned.steps(), ["verify planned"]);
    assert!(!lab.sh(1, "dmesg").unwrap().contains("Online Verify"), "check mode started it");
    let same = call(&lab, 1, "drbd_verify", &ask).unwrap().ok();
    assert!(!same.changed() && same.msg().contains("all replicas are the same"), "{}", same.msg());

    // One block rots on one host, below DRBD.
    lab.sh(2, "dd if=/dev/zero of=/dev/vg0/r0_00000 bs=4096 seek=5000 count=2 oflag=direct conv=notrunc 2>/dev/null").unwrap();
    let sums = |host| {
        lab.sh(host, "dd if=/dev/vg0/r0_00000 iflag=direct bs=1M count=40 2>/dev/null | sha256sum").unwrap()
    };
    let before = [sums(1), sums(2)];
    assert_ne!(before[0], before[1]);
    let differs = call(&lab, 1, "drbd_verify", &ask).unwrap().refused("out_of_sync");
    assert!(differs.msg().contains("volume 0 differs from h2 in 8KiB"), "{}", differs.msg());
    assert!(!differs.changed());
    assert_eq!([sums(1), sums(2)], before, "nothing is repaired");
    let lacking = &differs.0["after"]["running"]["connections"]["h2"]["volumes"]["0"];
    assert_eq!(lacking["out_of_sync_bytes"], json!(8192), "{lacking}");
}
