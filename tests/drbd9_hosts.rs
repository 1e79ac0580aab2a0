// SPDX-License-Identifier: MPL-2.0
//! Three hosts with DRBD 9 through the shipped `drbd-host`: the real drbdadm and drbdmeta over a simulated kernel side
//! (`tests/drbd9`). Not here: what the simulation itself answers; that is held to the transcripts in its own package.

use serde_json::{Value, json};
use std::time::Duration;
use support::Lab;
use support::drbd9::{bring_up, call_all, evidence, lab, peers, r0};
use support::module::{self, as_planned, call, read_noise, with, write_noise};

const MINUTE: Duration = Duration::from_secs(60);

/// One declaration from blank disks to replicated data: nothing is sent for the first synchronisation of thin volumes, a
/// second run changes nothing, what one host writes the others read, and three replicas grow together.
#[test]
fn three_hosts_replicate_one_declaration() {
    let lab = lab(3).unwrap();
    let declared = r0(&lab, 3, &module::thin());
    let checked = with(&declared, &json!({ "_ansible_check_mode": true }));
    let check = call(&lab, 1, "drbd_resource", &checked).unwrap().ok();
    assert!(check.changed(), "{:#}", check.0);
    bring_up(&lab, 3, &declared).unwrap();
    for host in 1..=3 {
        assert_eq!(peers(&lab, host, "sent").unwrap(), [json!(0), json!(0)], "h{host} sent blocks");
        assert_eq!(peers(&lab, host, "peer-disk-state").unwrap(), [json!("UpToDate"), json!("UpToDate")]);
    }
    for reply in call_all(&lab, 3, "drbd_resource", &declared).unwrap() {
        assert!(!reply.ok().changed(), "a second run changes nothing");
    }

    let sum = write_noise(&lab, 1).unwrap();
    assert_eq!(read_noise(&lab, 2).unwrap(), sum);
    assert_eq!(read_noise(&lab, 3).unwrap(), sum);

    let larger = with(&declared, &json!({ "volumes": { "0": { "minor": 1000, "size": "96MiB" } } }));
    // Each host grows its own volume; DRBD takes the new size when all have, which the facts of all show.
    for reply in call_all(&lab, 3, "drbd_resource", &larger).unwrap() {
        assert!(!reply.failed(), "{:#}", reply.0);
    }
    let informed = with(&larger, &json!({ "evidence": evidence(&lab, 3).unwrap() }));
    call(&lab, 1, "drbd_resource", &informed).unwrap().ok();
    module::wait(&lab, "all_up_to_date").unwrap();
    for host in 1..=3 {
        let status: Value =
            serde_json::from_str(&lab.sh(host, "drbdsetup status r0 --json").unwrap()).unwrap();
        let kib = status.pointer("/0/devices/0/size").and_then(Value::as_u64).unwrap();
        assert!(kib >= 96 * 1024, "h{host} has {kib} KiB");
    }
    for reply in call_all(&lab, 3, "drbd_resource", &larger).unwrap() {
        assert!(!reply.ok().changed(), "grown, and nothing is left to do");
    }
    assert_eq!(read_noise(&lab, 3).unwrap(), sum, "growing keeps the data");
}

/// A host that was cut off gets what it missed and no more; one that lost power as Primary comes back with the data that
/// the others went on with.
#[test]
fn hosts_that_were_away_are_brought_up_to_date() {
    let lab = lab(3).unwrap();
    bring_up(&lab, 3, &r0(&lab, 3, &module::thin())).unwrap();
    let patience = Duration::from_secs(60);
    let good =
        "drbdadm dstate r0 | grep -qx UpToDate/UpToDate/UpToDate && drbdadm role r0 | grep -qx Secondary";

    lab.cut_pair(1, 2).unwrap();
    lab.eventually(1, patience, "drbdadm cstate r0:h2 | grep -qx Connecting").unwrap();
    let sum = write_noise(&lab, 1).unwrap();
    lab.heal_pair(1, 2).unwrap();
    lab.eventually(2, patience, good).unwrap();
    // From whom it gets what it missed is DRBD's choice: h3 has it, too.
    let received = peers(&lab, 2, "received").unwrap();
    let kib: u64 = received.iter().filter_map(Value::as_u64).sum();
    assert!(kib <= 2 * 8192, "8 MiB were missing, h2 received {received:?}");
    assert_eq!(read_noise(&lab, 2).unwrap(), sum);

    lab.sh(1, "drbdadm primary r0").unwrap();
    lab.crash(1).unwrap();
    lab.eventually(2, patience, "drbdadm cstate r0:h1 | grep -qx Connecting").unwrap();
    let sum = write_noise(&lab, 2).unwrap();
    lab.boot(1).unwrap();
    lab.sh(1, "vgchange -ay -q vg0 && drbdadm up r0").unwrap();
    lab.eventually(1, patience, good).unwrap();
    assert_eq!(read_noise(&lab, 1).unwrap(), sum);
}

/// Two replicas and a diskless tie-breaker with quorum: the third host has no disk, reads and writes all the same, and a
/// second run changes nothing anywhere.
#[test]
fn a_diskless_third_host_is_declared() {
    let lab = lab(3).unwrap();
    let mut declared = r0(&lab, 3, &module::thin());
    declared["nodes"]["h3"]["storage"] = json!({ "diskless": {} });
    declared["options"] = json!({ "quorum": "majority", "on-no-quorum": "io-error" });
    bring_up(&lab, 3, &declared).unwrap();
    assert_eq!(lab.sh(3, "drbdadm dstate r0").unwrap(), "Diskless/UpToDate/UpToDate\n");
    let sum = write_noise(&lab, 3).unwrap();
    assert_eq!(read_noise(&lab, 1).unwrap(), sum);
    for reply in call_all(&lab, 3, "drbd_resource", &declared).unwrap() {
        assert!(!reply.ok().changed(), "a second run changes nothing");
    }
}

/// Five replicas become three, then one of the three is lost: the two that are left are a majority of three, because the two that
/// were removed are forgotten. Their slots are free for a new one, also after more removals than there are slots.
#[test]
fn replicas_that_were_removed_vote_no_more() {
    let lab = lab(5).unwrap();
    let mut five = r0(&lab, 5, &module::thin());
    five["options"] = json!({ "quorum": "majority", "on-no-quorum": "io-error" });
    five["max_peers"] = json!(4);
    bring_up(&lab, 5, &five).unwrap();
    let mut three = five.clone();
    for gone in ["h4", "h5"] {
        three["nodes"].as_object_mut().unwrap().remove(gone);
    }
    for host in [4, 5] {
        let absent = json!({ "name": "r0", "state": "absent" });
        call(&lab, host, "drbd_resource", &absent).unwrap().ok();
    }
    let checked = with(&three, &json!({ "_ansible_check_mode": true }));
    let planned = call(&lab, 1, "drbd_resource", &checked).unwrap().ok();
    let steps = ["write_config planned", "forget_peer planned", "forget_peer planned", "adjust planned"];
    assert_eq!(planned.steps(), steps, "{:#}", planned.0);
    let summary = planned.0["actions"][1]["summary"].as_str().unwrap();
    assert_eq!(summary, "forget peer h4 (node-id 3)");
    let consequence = planned.0["actions"][1]["consequence"].as_str().unwrap();
    assert!(consequence.contains("quorum counts 3 nodes with a disk"), "{consequence}");
    for reply in call_all(&lab, 3, "drbd_resource", &three).unwrap() {
        assert!(reply.ok().changed());
    }
    for reply in call_all(&lab, 3, "drbd_resource", &three).unwrap() {
        assert!(!reply.ok().changed(), "forgotten, and nothing is left to do");
    }

    let quorum =
        |host| lab.sh(host, "drbdsetup status r0 --json | grep -m 1 -o '\"quorum\": [a-z]*'").unwrap();
    assert_eq!(quorum(2), "\"quorum\": true\n");
    for peer in [2, 3] {
        lab.cut_pair(1, peer).unwrap();
        lab.eventually(peer, MINUTE, "drbdadm cstate r0:h1 | grep -qx Connecting").unwrap();
    }
    assert_eq!(quorum(2), "\"quorum\": true\n", "two of three are a majority");
    assert_eq!(quorum(1), "\"quorum\": false\n");
    // Its disk is UpToDate, and answers every read and write with an error.
    let wait = json!({ "name": "r0", "condition": "up_to_date", "timeout": 1 });
    let late = call(&lab, 1, "drbd_wait", &wait).unwrap().refused("timed_out");
    assert!(late.msg().contains("volume 0 has no quorum on this node"), "{}", late.msg());
    let reply = call(&lab, 1, "drbd_resource", &three).unwrap().ok();
    assert!(reply.msg().contains("h2 is not connected (Connecting); 0 of 2 peers are"), "{}", reply.msg());
    write_noise(&lab, 2).unwrap();
}

/// The real drbdadm and drbdmeta over the simulation, with the recorded answers: sections 0, 1.1, 1.2, 2.1, 12 and 19.
#[test]
fn the_real_drbdadm_answers_as_recorded() {
    let lab = Lab::up(1).unwrap();
    lab.simulate_drbd9(1).unwrap();
    let config = "resource r0 {
        volume 0 { device minor 10; disk /dev/ubdb; meta-disk internal; }
        on h1 { node-id 0; address ipv4 10.99.0.11:7788; }
        on h2 { node-id 1; address ipv4 10.99.0.12:7788; }
        connection-mesh { hosts h1 h2; } }";
    lab.write(1, "/etc/drbd.d/r0.res", config.as_bytes()).unwrap();
    // Exit code, then everything that was said, standard error after standard output.
    let answer = |command: &str| {
        let run = format!("{{ {command}; }} >/tmp/out 2>/tmp/err </dev/null; echo $?; cat /tmp/out /tmp/err");
        lab.sh(1, &run).unwrap()
    };
    let version = answer("drbdadm --version | grep ^DRBD_KERNEL_VERSION=");
    assert_eq!(version, "0\nDRBD_KERNEL_VERSION=9.2.18\n", "section 0");

    assert_eq!(answer("drbdadm dstate r0"), "1\nNo valid meta data found\n", "section 1.1");
    assert_eq!(answer("drbdadm adjust r0"), "1\nNo valid meta data found\n", "section 1.1");
    let half = "0\nr0 role:Secondary\n  disk:Diskless client:no\n  h2 connection:StandAlone\n\n";
    assert_eq!(answer("drbdsetup status r0"), half, "sections 1.1 and 9.2");
    assert_eq!(answer("drbdadm down r0; drbdadm down r0"), "0\n", "section 1.1");

    assert!(answer("drbdadm create-md r0").starts_with("0\n"), "section 1.2");
    assert_eq!(answer("drbdadm up r0"), "0\n", "section 2.1");
    let again = "1\nnew-minor r0 10 0: sysfs node '/sys/devices/virtual/block/drbd10' (already? still?) exists\n\
                 r0: Failure: (161) Minor or volume exists already (delete it first)\n\
                 Command 'drbdsetup new-minor r0 10 0' terminated with exit code 10\n";
    assert_eq!(answer("drbdadm up r0"), again, "section 2.1");
    assert_eq!(answer("drbdadm adjust r0; drbdadm -d adjust r0"), "0\n", "section 2.1");
    let no_data = "17\nr0: State change failed: (-2) Need access to UpToDate data\n\
                   Command 'drbdsetup primary r0' terminated with exit code 17\n";
    assert_eq!(answer("drbdadm primary r0"), no_data, "section 2.1");
    let busy = answer("drbdadm create-md --force r0");
    assert!(busy.starts_with("20\n") && busy.contains("Device '10' is configured!"), "section 2.1: {busy}");

    assert_eq!(answer("drbdadm new-current-uuid --clear-bitmap r0/0"), "0\n", "section 3.1");
    assert_eq!(answer("drbdadm down r0"), "0\n", "section 12");
    assert_eq!(answer("drbdadm dstate r0"), "0\nConsistent\n", "section 19.2");
    let unclean = "1\nFound meta data is \"unclean\", please apply-al first\n";
    assert_eq!(answer("drbdadm dump-md r0"), unclean, "section 19.2");
}

/// `/srv/web` with ext4, made if there is none.
fn web(role: &str) -> Value {
    let mount =
        json!({ "path": "/srv/web", "fstype": "ext4", "make_filesystem": true, "grow_filesystem": true });
    json!({ "name": "r0", "role": role, "mounts": [mount] })
}

/// A service moves with its data over three hosts of which two are enough: the quorum stands in for the consent that a
/// promotion would need while a peer is away, and a host without it is not promoted.
#[test]
fn a_mounted_file_system_moves_and_the_majority_decides() {
    let lab = lab(3).unwrap();
    let mut declared = r0(&lab, 3, &module::thin());
    declared["options"] = json!({ "quorum": "majority", "on-no-quorum": "io-error" });
    bring_up(&lab, 3, &declared).unwrap();
    let (here, away) = (web("primary"), web("secondary"));
    let role = |host: usize, wanted: &Value| call(&lab, host, "drbd_role", wanted).unwrap();

    let done = as_planned(&lab, 1, "drbd_role", &here).unwrap();
    assert_eq!(done.steps(), ["promote done", "make_filesystem done", "make_mount_point done", "mount done"]);
    let sum = lab.sh(1, "head -c 8388608 /dev/urandom >/srv/web/page && sha256sum </srv/web/page").unwrap();
    for host in [2, 3] {
        let refused = role(host, &here).refused("in_use");
        assert!(refused.msg().contains("Primary on h1"), "{}", refused.msg());
    }
    lab.sh(1, "cd /srv/web && exec sleep 600 >/dev/null 2>&1 & echo $! >/run/server; sleep 0.3").unwrap();
    let refused = role(1, &away).refused("in_use");
    assert!(refused.msg().contains("(sleep) works in /srv/web"), "{}", refused.msg());
    lab.sh(1, "kill $(cat /run/server); sleep 0.3").unwrap();

    // (The kernel writes to a mounted file system whenever it likes: no comparison of bytes here.)
    let planned = role(1, &with(&away, &json!({ "_ansible_check_mode": true }))).ok();
    lab.sh(1, "mountpoint -q /srv/web && drbdadm role r0 | grep -qx Primary").unwrap();
    let done = role(1, &away).ok();
    assert_eq!(
        (planned.planned(), done.steps()),
        (done.planned(), vec!["unmount done".into(), "demote done".into()])
    );
    let done = as_planned(&lab, 3, "drbd_role", &here).unwrap();
    assert_eq!(done.steps(), ["promote done", "make_mount_point done", "mount done"]);
    assert_eq!(lab.sh(3, "sha256sum </srv/web/page").unwrap(), sum);
    assert_eq!(role(3, &away).ok().steps(), ["unmount done", "demote done"]);

    // h1 is cut off from both. It has no quorum and is not promoted, with a consent or without; the other two go on.
    for peer in [2, 3] {
        lab.cut_pair(1, peer).unwrap();
        lab.eventually(1, MINUTE, &format!("drbdadm cstate r0:h{peer} | grep -qx Connecting")).unwrap();
        lab.eventually(peer, MINUTE, "drbdadm cstate r0:h1 | grep -qx Connecting").unwrap();
    }
    let refused = role(1, &here).refused("consent_needed");
    let token = refused.token().unwrap();
    let forced = role(1, &with(&here, &json!({ "consent": [token] })));
    assert!(forced.failed() && !forced.changed(), "{:#}", forced.0);
    assert_eq!(lab.sh(1, "drbdadm role r0").unwrap(), "Secondary\n");
    assert_eq!(role(2, &here).ok().steps(), ["promote done", "make_mount_point done", "mount done"]);
    assert_eq!(lab.sh(2, "sha256sum </srv/web/page").unwrap(), sum);
    let sum =
        lab.sh(2, "head -c 1048576 /dev/urandom >/srv/web/page && sync && sha256sum </srv/web/page").unwrap();
    for peer in [2, 3] {
        lab.heal_pair(1, peer).unwrap();
    }
    lab.eventually(2, MINUTE, "drbdadm dstate r0 | grep -qx UpToDate/UpToDate/UpToDate").unwrap();
    assert_eq!(role(2, &away).ok().steps(), ["unmount done", "demote done"]);
    assert_eq!(role(1, &here).ok().steps(), ["promote done", "mount done"]);
    assert_eq!(lab.sh(1, "sha256sum </srv/web/page").unwrap(), sum);
}

/// Every pair with this host is compared; the peer that differs is named, and nothing is repaired. A diskless peer holds
/// nothing to compare.
#[test]
fn a_comparison_names_the_peer_that_differs() {
    let lab = lab(3).unwrap();
    let mut declared = r0(&lab, 3, &module::thin());
    declared["nodes"]["h3"]["storage"] = json!({ "diskless": {} });
    bring_up(&lab, 3, &declared).unwrap();
    let ask = json!({ "name": "r0", "timeout": 120 });
    let refused = call(&lab, 1, "drbd_verify", &ask).unwrap().refused("missing");
    assert!(refused.msg().contains("no verify-alg"), "{}", refused.msg());

    declared["net"] = json!({ "verify_alg": "crc32c" });
    for reply in call_all(&lab, 3, "drbd_resource", &declared).unwrap() {
        reply.ok();
    }
    write_noise(&lab, 1).unwrap();
    let same = call(&lab, 1, "drbd_verify", &ask).unwrap().ok();
    assert!(!same.changed() && same.msg().contains("all replicas are the same"), "{}", same.msg());
    assert_eq!(same.steps(), ["verify done"]);

    // Two blocks rot on h2, below DRBD.
    lab.sh(
        2,
        "dd if=/dev/zero of=/dev/vg0/r0_00000 bs=4096 seek=500 count=2 oflag=direct conv=notrunc status=none",
    )
    .unwrap();
    let content = |host| lab.sh(host, "head -c 8388608 /dev/vg0/r0_00000 | sha256sum").unwrap();
    let before = [content(1), content(2)];
    assert_ne!(before[0], before[1]);
    let differs = call(&lab, 1, "drbd_verify", &ask).unwrap().refused("out_of_sync");
    assert!(differs.msg().contains("volume 0 differs from h2 in 8KiB"), "{}", differs.msg());
    assert!(!differs.msg().contains("h3"), "{}", differs.msg());
    assert_eq!([content(1), content(2)], before, "nothing is repaired");
    // It runs as declared, and that is not the whole truth; who waits for good data everywhere waits on.
    let known = "volume 0 differs from h2 in 8KiB";
    let reply = call(&lab, 1, "drbd_resource", &declared).unwrap().ok();
    assert!(!reply.changed() && reply.msg().contains("as declared, but not healthy"), "{}", reply.msg());
    assert!(reply.0["warnings"].to_string().contains(known), "{:#}", reply.0);
    let wait = json!({ "name": "r0", "condition": "all_up_to_date", "timeout": 1 });
    let late = call(&lab, 1, "drbd_wait", &wait).unwrap().refused("timed_out");
    assert!(late.msg().contains(known), "{}", late.msg());

    lab.cut_pair(1, 2).unwrap();
    lab.eventually(1, MINUTE, "drbdadm cstate r0:h2 | grep -qx Connecting").unwrap();
    let refused = call(&lab, 1, "drbd_verify", &ask).unwrap().refused("missing");
    assert!(refused.msg().contains("cannot be compared with h2"), "{}", refused.msg());
}
