// SPDX-License-Identifier: MPL-2.0
//! A disk that grows under everything, as an EBS volume does: physical volume, thin pool, replicated volume, all in use.

use serde_json::{Value, json};
use std::time::Duration;
use support::module::{
    Snapshot, bring_up, call, call_both, evidence, install, r0, read_noise, thin, with, write_noise,
};
use support::{Lab, LabOptions};

const DISK: &str = "/dev/loop1";

/// On two hosts, a disk that can grow while it is open, and the pool on it.
fn lab() -> (Lab, Value) {
    let lab = Lab::start(&LabOptions { hosts: 2, disks: 1, disk_size: "64M".to_owned() }).unwrap();
    install(&lab, 2).unwrap();
    for host in [1, 2] {
        assert_eq!(lab.add_elastic_disk(host, "192M").unwrap(), DISK);
    }
    let pool = json!({ "volume_group": "vg0", "thin_pool": "pool", "disks": [DISK] });
    for reply in call_both(&lab, "drbd_storage_pool", &pool).unwrap() {
        assert!(reply.ok().changed());
    }
    (lab, pool)
}

/// MiB of a field that LVM reports.
fn mib(lab: &Lab, host: usize, report: &str, field: &str, of: &str) -> u64 {
    let asked = format!("{report} --noheadings --nosuffix --units m -o {field} {of}");
    let said = lab.sh(host, &asked).unwrap();
    said.trim().split('.').next().unwrap().parse().unwrap()
}

#[test]
fn a_disk_that_grew_makes_room_for_a_larger_volume_while_it_is_in_use() {
    let (lab, pool) = lab();
    let small = r0(&lab, &thin());
    bring_up(&lab, &small).unwrap();
    let noise = write_noise(&lab, 1).unwrap();
    lab.sh(1, "drbdadm primary r0 && exec 3</dev/drbd1000; (sleep 600 <&3 >/dev/null 2>&1 &)").unwrap();
    assert!(!call(&lab, 1, "drbd_storage_pool", &pool).unwrap().ok().changed(), "it has not grown yet");
    let metadata = mib(&lab, 1, "lvs", "lv_metadata_size", "vg0/pool");

    for host in [1, 2] {
        lab.grow_disk(host, DISK, "12G").unwrap();
    }
    let before = Snapshot::of(&lab, 1).unwrap();
    let check = with(&pool, &json!({ "_ansible_check_mode": true, "_ansible_diff": true }));
    let planned = call(&lab, 1, "drbd_storage_pool", &check).unwrap().ok();
    assert_eq!(planned.steps(), ["grow_pv planned", "grow_thin_pool planned"]);
    let changes = before.changes(&Snapshot::of(&lab, 1).unwrap());
    assert!(changes.is_empty(), "check mode changed {changes:#?}");
    assert!(mib(&lab, 1, "vgs", "vg_size", "vg0") < 192, "nor did LVM change");

    for (host, reply) in [1, 2].into_iter().zip(call_both(&lab, "drbd_storage_pool", &pool).unwrap()) {
        let reply = reply.ok();
        assert_eq!(reply.steps(), ["grow_pv done", "grow_thin_pool done"], "h{host}");
        assert_eq!(reply.planned(), planned.planned(), "h{host}");
        assert_eq!(mib(&lab, host, "vgs", "vg_free", "vg0"), 0, "h{host}");
        assert!(mib(&lab, host, "lvs", "lv_size", "vg0/pool") > 12_000, "h{host}");
        assert!(mib(&lab, host, "lvs", "lv_metadata_size", "vg0/pool") > metadata, "h{host}");
        assert_eq!(lab.sh(host, "ls /var/lib/drbd-host/pools").unwrap(), "", "h{host}: a note is left");
    }
    for reply in call_both(&lab, "drbd_storage_pool", &pool).unwrap() {
        assert!(!reply.ok().changed(), "a second run changes nothing");
    }

    let large = with(&small, &json!({ "volumes": { "0": { "minor": 1000, "size": "256MiB" } } }));
    for reply in call_both(&lab, "drbd_resource", &large).unwrap() {
        assert_eq!(reply.ok().steps(), ["extend_lv done"]);
    }
    let evident = with(&large, &json!({ "evidence": evidence(&lab).unwrap() }));
    assert_eq!(call(&lab, 1, "drbd_resource", &evident).unwrap().ok().steps(), ["resize done"]);
    for host in [1, 2] {
        let grown = "[ $(cat /sys/block/drbd1000/size) -ge 524288 ]";
        lab.eventually(host, Duration::from_secs(60), grown).unwrap();
    }
    lab.sh(1, "pkill -x sleep; drbdadm secondary r0").unwrap();
    lab.eventually(2, Duration::from_secs(120), "drbdadm dstate r0 | grep -qx UpToDate/UpToDate").unwrap();
    assert_eq!(read_noise(&lab, 2).unwrap(), noise);
}

/// One more disk for a group that its pool fills: the pool takes its share, and its metadata the size that is declared.
#[test]
fn a_further_disk_gives_the_pool_its_share_while_it_is_in_use() {
    let (lab, pool) = lab();
    call(&lab, 1, "drbd_resource", &r0(&lab, &thin())).unwrap().ok();
    let before = mib(&lab, 1, "lvs", "lv_size", "vg0/pool");
    let sized = with(&pool, &json!({ "thin_pool_metadata_size": "16MiB" }));
    let refused = call(&lab, 1, "drbd_storage_pool", &sized).unwrap().refused("too_small");
    assert!(refused.msg().contains("16MiB is declared"), "{}", refused.msg());

    let other = lab.add_elastic_disk(1, "256M").unwrap();
    let more = with(&sized, &json!({ "disks": [DISK, other] }));
    let planned = call(&lab, 1, "drbd_storage_pool", &with(&more, &json!({ "_ansible_check_mode": true })))
        .unwrap()
        .ok();
    let reply = call(&lab, 1, "drbd_storage_pool", &more).unwrap().ok();
    let steps = ["create_pv", "extend_vg", "grow_pool_metadata", "grow_thin_pool"];
    assert_eq!(reply.steps(), steps.map(|step| format!("{step} done")));
    assert_eq!(reply.planned(), planned.planned());
    assert_eq!(mib(&lab, 1, "vgs", "vg_free", "vg0"), 0);
    assert_eq!(mib(&lab, 1, "lvs", "lv_metadata_size", "vg0/pool"), 16);
    assert!(mib(&lab, 1, "lvs", "lv_size", "vg0/pool") > before + 200);
    assert_eq!(lab.sh(1, "ls /var/lib/drbd-host/pools").unwrap(), "", "a note is left");
    assert!(!call(&lab, 1, "drbd_storage_pool", &more).unwrap().ok().changed());

    // A new pool has them from the beginning.
    let third = lab.add_elastic_disk(1, "128M").unwrap();
    let new = json!({ "volume_group": "vg1", "thin_pool": "pool", "disks": [third], "thin_pool_metadata_size": "10MiB" });
    assert!(call(&lab, 1, "drbd_storage_pool", &new).unwrap().ok().changed());
    assert_eq!(mib(&lab, 1, "lvs", "lv_metadata_size", "vg1/pool"), 12);
    assert!(!call(&lab, 1, "drbd_storage_pool", &new).unwrap().ok().changed());
}

/// Space in the group that is not known to come from a disk that grew belongs to somebody; another disk is left alone.
#[test]
fn free_space_of_somebody_and_disks_that_are_not_declared_stay_as_they_are() {
    let (lab, pool) = lab();
    lab.grow_disk(1, DISK, "1G").unwrap();
    lab.sh(1, &format!("pvresize {DISK}")).unwrap();
    assert!(!call(&lab, 1, "drbd_storage_pool", &pool).unwrap().ok().changed());
    lab.grow_disk(1, DISK, "2G").unwrap();
    let reply = call(&lab, 1, "drbd_storage_pool", &pool).unwrap().ok();
    assert_eq!(reply.steps(), ["grow_pv done"]);
    let warned = reply.0["warnings"].to_string();
    assert!(warned.contains("lvextend --extents +100%FREE vg0/pool"), "{warned}");
    assert!(mib(&lab, 1, "lvs", "lv_size", "vg0/pool") < 192);

    let other = lab.add_elastic_disk(2, "192M").unwrap();
    lab.sh(2, &format!("pvcreate -q {other} && vgextend -q vg0 {other}")).unwrap();
    lab.grow_disk(2, &other, "1G").unwrap();
    assert!(!call(&lab, 2, "drbd_storage_pool", &pool).unwrap().ok().changed(), "{other} is not declared");
    assert!(mib(&lab, 2, "pvs", "pv_size", &other) < 192);
}
