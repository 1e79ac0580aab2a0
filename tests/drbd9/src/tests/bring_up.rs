// SPDX-License-Identifier: MPL-2.0
//! Sections 3 (skipping the first sync), 5 (options and connections), 6 (peers) and 16 (late joiners).

use super::Cluster;

const STAND_ALONE: &str = "10: Failure: (151) Need to be StandAlone\n";

fn sent(cluster: &Cluster, node: usize) -> Vec<u64> {
    let status: serde_json::Value = serde_json::from_str(&cluster.ok(node, "status r0 --json")).unwrap();
    let connections = status[0]["connections"].as_array().unwrap();
    connections.iter().map(|connection| connection["peer_devices"][0]["sent"].as_u64().unwrap()).collect()
}

/// 3.3, 3.4, 16.3: with all connected it is once, for all, and nothing is sent.
#[test]
fn section_3_3_and_3_4_declared_once_for_all() {
    let cluster = Cluster::established(3);
    for node in 1..=3 {
        assert_eq!(sent(&cluster, node), [0, 0]);
        assert_eq!(cluster.refused(node, "new-current-uuid 10 --clear-bitmap"), (10, STAND_ALONE.to_owned()));
    }
}

/// 16.4: on two nodes at about the same time, one wins.
#[test]
fn section_16_4_two_at_once() {
    let cluster = Cluster::new(3, 7);
    (1..=3).for_each(|node| cluster.up(node));
    (1..=3).for_each(|node| cluster.await_status(node, "connection:", false));
    let answers: Vec<_> = std::thread::scope(|scope| {
        let runs: Vec<_> = (1..=3)
            .map(|node| {
                let cluster = &cluster;
                scope.spawn(move || cluster.run(node, "new-current-uuid 10 --clear-bitmap"))
            })
            .collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    assert_eq!(answers.iter().filter(|answer| answer.code == 0).count(), 1, "{answers:?}");
    assert!(answers.iter().all(|answer| answer.code == 0 || answer.err == STAND_ALONE), "{answers:?}");
    (1..=3).for_each(|node| cluster.await_good(node));
    assert_eq!([sent(&cluster, 1), sent(&cluster, 2), sent(&cluster, 3)].concat(), [0; 6]);
}

/// 3.1, 3.2, 16.1: alone it succeeds too, and late joiners get everything.
#[test]
fn section_3_1_late_joiners_get_everything() {
    let cluster = Cluster::new(3, 7);
    cluster.up(1);
    cluster.ok(1, "new-current-uuid 10 --clear-bitmap");
    assert!(cluster.status(1).contains("disk:UpToDate"), "{}", cluster.status(1));
    let line = cluster.ok(1, "get-gi r0 1 0");
    assert!(!line.split(':').nth(1).unwrap().bytes().all(|byte| byte == b'0'), "a bitmap UUID: {line}");
    cluster.up(2);
    cluster.up(3);
    (1..=3).for_each(|node| cluster.await_good(node));
    assert_eq!(
        sent(&cluster, 1).iter().sum::<u64>()
            + sent(&cluster, 2).iter().sum::<u64>()
            + sent(&cluster, 3).iter().sum::<u64>(),
        2 * 65484
    );
}

/// 16.5: declared apart, they do not meet.
#[test]
fn section_16_5_declared_apart() {
    let cluster = Cluster::new(3, 7);
    for node in 1..=3 {
        cluster.configure(node);
        cluster.attach(node);
        cluster.ok(node, "new-current-uuid 10 --clear-bitmap");
    }
    (1..=3).for_each(|node| cluster.connect(node));
    cluster.await_status(1, "n2 connection:StandAlone", true);
    cluster.await_status(1, "n3 connection:StandAlone", true);
    cluster.await_status(2, "n3 connection:StandAlone", true);
    cluster.await_status(3, "n2 connection:Connecting", true);
}

/// 5.2, 5.3, 5.10: options are shown as given, and go back to nothing.
#[test]
fn section_5_options_come_and_go() {
    let cluster = Cluster::established(2);
    let before = cluster.ok(1, "show r0");
    cluster.ok(1, "net-options r0 1 --set-defaults --_name=n2 --max-buffers=8k --ping-timeout=10");
    cluster.ok(1, "peer-device-options r0 1 0 --set-defaults --c-max-rate=50M");
    cluster.ok(1, "disk-options 10 --set-defaults --al-extents=1237");
    cluster.ok(1, "resource-options r0 --set-defaults --quorum=majority --on-no-quorum=io-error");
    let shown = cluster.ok(1, "show r0");
    for option in [
        "ping-timeout    \t10;",
        "c-max-rate      \t50M;",
        "al-extents      \t1237;",
        "quorum          \tmajority;",
    ] {
        assert!(shown.contains(option), "{option}: {shown}");
    }
    cluster.ok(1, "net-options r0 1 --set-defaults --_name=n2");
    cluster.ok(1, "peer-device-options r0 1 0 --set-defaults");
    cluster.ok(1, "disk-options 10 --set-defaults");
    cluster.ok(1, "resource-options r0 --set-defaults");
    assert_eq!(cluster.ok(1, "show r0"), before);
}

/// 5.5 to 5.7: another secret is taken at once and bites at the next reconnect.
#[test]
fn section_5_7_a_wrong_secret() {
    let cluster = Cluster::established(2);
    cluster.ok(1, "net-options r0 1 --set-defaults --_name=n2 --shared-secret=xyz --cram-hmac-alg=sha1");
    cluster.await_good(1);
    cluster.ok(1, "disconnect r0 1");
    cluster.ok(1, "connect r0 1");
    cluster.await_status(1, "connection:StandAlone", true);
    cluster.await_status(2, "connection:StandAlone", true);
}

/// 5.9b: the protocol is both ends'.
#[test]
fn section_5_9b_protocol_is_shared() {
    let cluster = Cluster::established(2);
    cluster.ok(1, "net-options r0 1 --set-defaults --_name=n2 --protocol=A");
    let end = std::time::Instant::now() + std::time::Duration::from_secs(5);
    while !cluster.ok(2, "show r0").contains("protocol        \tA;") {
        assert!(std::time::Instant::now() < end, "{}", cluster.ok(2, "show r0"));
    }
}

/// 6.2, 6.3: peers are forgotten when they are gone, and need a bitmap slot.
#[test]
fn section_6_peers_and_slots() {
    let cluster = Cluster::new(3, 1);
    cluster.configure(1);
    cluster.attach(1);
    cluster.ok(1, "connect r0 1");
    let refused = (10, "r0: Failure: (162) Invalid configuration request\n".to_owned());
    assert_eq!(cluster.refused(1, "connect r0 2"), refused);
    assert!(cluster.status(1).contains("n3 connection:StandAlone"));
    let configured = "r0: Failure: (125) Device has a net-config (use disconnect first)\n";
    assert_eq!(cluster.refused(1, "forget-peer r0 1"), (10, configured.to_owned()));
    cluster.ok(1, "del-peer r0 1");
    cluster.ok(1, "forget-peer r0 1");
    cluster.ok(1, "connect r0 2");
}
