// SPDX-License-Identifier: MPL-2.0
//! Whole answers against the recorded ones. What differs from host to host is put in place first: the address, the port
//! and the path of the disk. Counters of metadata writes and of reads are the real kernel's own and are compared as 0.

use super::Cluster;
use std::fs;
use std::path::Path;

/// A recorded answer of `drbdsetup`: exit code, standard output, standard error.
fn sample(name: &str) -> (u8, String, String) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../engine/samples/drbdsetup/9.2.18-utils-9.22");
    let text = fs::read_to_string(dir.join(format!("{name}.txt"))).unwrap();
    let (head, rest) = text.split_once("--- stdout\n").unwrap();
    let (out, err) = rest.split_once("--- stderr\n").unwrap();
    let code = head.lines().find_map(|line| line.strip_prefix("exit ")).unwrap().parse().unwrap();
    (code, out.to_owned(), err.to_owned())
}

/// Counters that depend on the real kernel's inner life.
fn without_counters(text: &str) -> String {
    const COUNTERS: [&str; 6] = ["read", "written", "al-writes", "bm-writes", "sent", "received"];
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        let counter = COUNTERS.iter().find(|name| line.trim_start().starts_with(&format!("\"{name}\": ")));
        match counter {
            Some(name) => lines.push(format!("\"{name}\"")),
            None => lines.push(line.to_owned()),
        }
    }
    lines.join("\n")
}

#[track_caller]
fn assert_answer(cluster: &Cluster, node: usize, line: &str, name: &str) {
    let answer = cluster.run(node, line);
    let (code, out, err) = sample(name);
    let disk = cluster.disk(node).display().to_string();
    let mut ours = answer.out.replace(&disk, "/dev/vg0/r0").replace(&format!(":{}", cluster.port), ":7788");
    for node in 1..=3 {
        ours = ours.replace(&format!("127.0.0.{node}"), &format!("10.9.9.{node}"));
    }
    // A recorded text may have lost the blank line at its end.
    let (ours, theirs) = (without_counters(ours.trim_end()), without_counters(out.trim_end()));
    assert_eq!((answer.code, ours, answer.err), (code, theirs, err), "{name}: {line}");
}

/// 1.1: nothing is configured.
#[test]
fn section_1_1_nothing_is_configured() {
    let cluster = Cluster::new(2, 7);
    let none = cluster.run(1, "status r0");
    assert_eq!((none.code, none.out.as_str()), (10, "# No currently configured DRBD found.\n"));
    assert_eq!(none.err, "r0: No such resource\n");
    assert_answer(&cluster, 1, "status --json", "status-json-before-any-metadata");
    assert_answer(&cluster, 1, "status r0 --json", "status-json-before-any-metadata-2");
    assert_eq!(cluster.refused(1, "role r0"), (10, "r0: Unknown resource\n".to_owned()));
    let unknown = "r0: Failure: (158) Unknown resource\nr0: No such connection\n";
    assert_eq!(cluster.refused(1, "cstate r0 1"), (10, unknown.to_owned()));
    assert_eq!(cluster.ok(1, "down r0"), "");
    assert_eq!(cluster.run(1, "10 dstate").out, "Unconfigured\n");
}

/// 1.1: an `up` that stopped for want of metadata leaves the resource half configured.
#[test]
fn section_1_1_half_configured() {
    let cluster = Cluster::new(2, 7);
    cluster.configure(1);
    assert_answer(&cluster, 1, "status --json", "status-json-before-any-metadata-3");
}

/// 2.1: one node alone.
#[test]
fn section_2_1_one_node_alone() {
    let cluster = Cluster::new(3, 7);
    cluster.up(1);
    assert_answer(&cluster, 1, "status r0 --json", "status-json-n1-up-alone-connecting");
    assert_answer(&cluster, 1, "show r0", "show-n1-up-alone-connecting");
    assert_answer(&cluster, 1, "show --json r0", "show-json-n1-up-alone-connecting");
    assert_eq!(
        cluster.status(1),
        "r0 role:Secondary\n  disk:Inconsistent\n  n2 connection:Connecting\n  n3 connection:Connecting\n\n"
    );
    let refused = "r0: State change failed: (-2) Need access to UpToDate data\n";
    assert_eq!(cluster.refused(1, "primary r0"), (17, refused.to_owned()));
    let exists = "new-minor r0 10 0: sysfs node '/sys/devices/virtual/block/drbd10' (already? still?) exists\n\
                  r0: Failure: (161) Minor or volume exists already (delete it first)\n";
    assert_eq!(cluster.refused(1, "new-minor r0 10 0"), (10, exists.to_owned()));
}

/// 2.2: all connected, nobody has data.
#[test]
fn section_2_2_all_connected() {
    let cluster = Cluster::new(3, 7);
    (1..=3).for_each(|node| cluster.up(node));
    cluster.await_status(1, "connection:", false);
    assert_answer(&cluster, 1, "status r0 --json", "status-json-all-up-connected-inconsistent-inconsistent");
    let verbose = cluster.ok(1, "status r0 --verbose --statistics");
    assert!(verbose.starts_with(
        "r0 node-id:0 role:Secondary suspended:no force-io-failures:no\n    write-ordering:flush\n"
    ));
    let line =
        "0000000000000004:0000000000000000:0000000000000000:0000000000000000:0:0:0:0:0:0:0:1:1:0:0:1\n";
    assert_eq!(cluster.ok(1, "get-gi r0 1 0"), line);
    assert_eq!(cluster.ok(1, "dstate 10"), "Inconsistent/Inconsistent/Inconsistent\n");
    assert_eq!(cluster.ok(1, "cstate r0 1"), "Connected\n");
    let refused = "r0: State change failed: (-2) Need access to UpToDate data\n";
    assert_eq!(cluster.refused(1, "primary r0"), (17, refused.to_owned()));
}

/// 2.3 and 2.4: the first sync by `primary --force`, on both ends.
#[test]
fn section_2_3_first_sync() {
    let cluster = Cluster::new(3, 7);
    (1..=3).for_each(|node| cluster.up(node));
    (1..=3).for_each(|node| cluster.await_status(node, "connection:", false));
    cluster.ok(1, "primary r0 --force");
    (1..=3).for_each(|node| cluster.await_good(node));
    assert_answer(&cluster, 1, "status r0 --json", "status-json-initial-sync-with-primary-force-syncsource");
    assert_answer(
        &cluster,
        2,
        "status r0 --json",
        "status-json-initial-sync-with-primary-force-syncsource-2",
    );
    let sent = cluster.ok(1, "status r0 --json").matches("\"sent\": 65484,").count();
    assert_eq!(sent, 2, "all of it was sent to both");
}

/// 2.6: `events2 --now`.
#[test]
fn section_2_6_events() {
    let cluster = Cluster::established(3);
    assert_answer(&cluster, 1, "events2 --now", "events2-events2-now-variants");
    assert_eq!(cluster.ok(1, "events2 --now nope"), "exists -\n");
}

/// 2.7: waiters.
#[test]
fn section_2_7_waiters() {
    let cluster = Cluster::established(2);
    assert_answer(&cluster, 1, "wait-connect-resource --wfc-timeout=3 r0", "wait-connect-resource-waiters");
}
