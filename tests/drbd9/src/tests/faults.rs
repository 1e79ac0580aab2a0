// SPDX-License-Identifier: MPL-2.0
//! Sections 5.20 and 7 to 10: quorum, split brain, disks that come and go, sizes; and that the bytes are where they
//! are said to be.

use super::Cluster;

const MIB: u64 = 1 << 20;

fn cut(cluster: &Cluster, nodes: [usize; 2]) {
    // Both ends see the connection break, without a goodbye.
    for (node, peer) in [(nodes[0], nodes[1]), (nodes[1], nodes[0])] {
        let mut kernel = cluster.nodes[node - 1].lock();
        let connection =
            kernel.resources.get_mut("r0").unwrap().connections.get_mut(&(peer as u8 - 1)).unwrap();
        connection.paths[0].remote.set_port(1);
        let id = connection.link.as_ref().map_or(0, |link| link.id);
        crate::peer::lost(&mut kernel, "r0", peer as u8 - 1, id);
    }
}

fn heal(cluster: &Cluster, nodes: [usize; 2]) {
    for (node, peer) in [(nodes[0], nodes[1]), (nodes[1], nodes[0])] {
        let mut kernel = cluster.nodes[node - 1].lock();
        let connection =
            kernel.resources.get_mut("r0").unwrap().connections.get_mut(&(peer as u8 - 1)).unwrap();
        connection.paths[0].remote.set_port(cluster.port);
    }
}

/// What one node writes is on all disks when it is done.
#[test]
fn writes_are_replicated() {
    let cluster = Cluster::established(3);
    cluster.ok(1, "primary r0");
    cluster.write(1, MIB, &[7; 8192]).unwrap();
    for node in 1..=3 {
        assert!(cluster.holds(node, MIB, 7), "n{node}");
    }
    cluster.ok(1, "secondary r0");
    assert!(cluster.write(1, MIB, &[8; 4096]).is_err(), "a Secondary writes nothing");
}

/// 4: one Primary at a time.
#[test]
fn section_4_one_primary() {
    let cluster = Cluster::established(2);
    cluster.ok(1, "primary r0");
    cluster.await_status(2, "role:Primary", true);
    let refused = "r0: State change failed: (-1) Multiple primaries not allowed by config\n";
    assert_eq!(cluster.refused(2, "primary r0"), (11, refused.to_owned()));
    assert_eq!(cluster.refused(2, "primary r0 --force"), (11, refused.to_owned()));
}

/// 7.2, 7.3: a Primary that loses both peers has no quorum; it refuses writes, or holds them back.
#[test]
fn section_7_quorum_is_lost_and_comes_back() {
    let cluster = Cluster::established(3);
    for node in 1..=3 {
        cluster.ok(node, "resource-options r0 --set-defaults --quorum=majority --on-no-quorum=io-error");
    }
    cluster.ok(1, "primary r0");
    cut(&cluster, [1, 2]);
    cut(&cluster, [1, 3]);
    assert_eq!(
        cluster.status(1),
        "r0 role:Primary\n  disk:UpToDate quorum:no\n  n2 connection:Connecting\n  n3 connection:Connecting\n\n"
    );
    assert!(cluster.write(1, 0, &[1; 4096]).is_err());
    assert!(!cluster.status(2).contains("quorum:no"), "two of three go on: {}", cluster.status(2));
    cluster.ok(1, "resource-options r0 --set-defaults --quorum=majority --on-no-quorum=suspend-io");
    assert!(
        cluster
            .status(1)
            .starts_with("r0 role:Primary suspended:quorum\n  disk:UpToDate quorum:no blocked:upper\n")
    );
    // A suspended write is done when the peers are back.
    std::thread::scope(|scope| {
        let write = scope.spawn(|| cluster.write(1, 0, &[2; 4096]));
        std::thread::sleep(std::time::Duration::from_millis(300));
        assert!(!write.is_finished(), "the write is held back");
        heal(&cluster, [1, 2]);
        write.join().unwrap().unwrap();
    });
    assert!(cluster.holds(2, 0, 2));
    heal(&cluster, [1, 3]);
    (1..=3).for_each(|node| cluster.await_good(node));
    assert!(cluster.holds(3, 0, 2));
}

/// 7.4: up alone there is no quorum; `--force` overrides it.
#[test]
fn section_7_4_alone_after_a_reboot() {
    let mut cluster = Cluster::established(3);
    (1..=3).for_each(|node| cluster.crash(node));
    cluster.up(1);
    cluster.ok(1, "resource-options r0 --set-defaults --quorum=majority");
    let refused = "r0: State change failed: (-25) No quorum\nadditional info from kernel:\n\
                   1 of 3 nodes visible, need 2 for quorum\n";
    assert_eq!(cluster.refused(1, "primary r0"), (11, refused.to_owned()));
    cluster.ok(1, "primary r0 --force");
    assert!(cluster.status(1).starts_with("r0 role:Primary\n  disk:UpToDate\n"), "{}", cluster.status(1));
}

/// 7.6: peers that leave cleanly do not cost quorum.
#[test]
fn section_7_6_peers_leave_cleanly() {
    let cluster = Cluster::established(3);
    (1..=3).for_each(|node| drop(cluster.ok(node, "resource-options r0 --set-defaults --quorum=majority")));
    cluster.ok(1, "primary r0");
    for peer in [2, 3] {
        cluster.ok(peer, "down r0");
        cluster.await_status(1, &format!("n{peer} connection:Connecting"), true);
    }
    assert!(!cluster.status(1).contains("quorum:no"), "{}", cluster.status(1));
    cluster.write(1, 0, &[1; 4096]).unwrap();
}

/// 5.19, 9: a node without a disk on purpose reads and writes through its peers, and breaks a tie of quorum.
#[test]
fn section_5_19_a_diskless_client_breaks_a_tie() {
    let cluster = Cluster::new(3, 7);
    for node in 1..=2 {
        cluster.configure(node);
        cluster.ok(node, "resource-options r0 --set-defaults --quorum=majority --on-no-quorum=io-error");
        cluster.ok(node, "peer-device-options r0 2 0 --bitmap=no");
        cluster.attach(node);
        cluster.connect(node);
    }
    // What drbdadm runs for `disk none`.
    cluster.ok(3, "new-resource r0 2 --quorum=majority");
    cluster.ok(3, "new-minor r0 10 0 --diskless");
    for peer in 1..=2 {
        cluster.ok(3, &format!("new-peer r0 {} --_name=n{peer}", peer - 1));
        let (local, remote) = (cluster.address(3), cluster.address(peer));
        cluster.ok(3, &format!("new-path r0 {} {local} {remote}", peer - 1));
    }
    cluster.connect(3);
    (1..=3).for_each(|node| cluster.await_status(node, "connection:", false));
    cluster.ok(1, "new-current-uuid 10 --clear-bitmap");
    cluster.await_status(3, "peer-disk:Inconsistent", false);
    assert!(cluster.status(3).contains("disk:Diskless client:yes"), "{}", cluster.status(3));
    assert!(cluster.status(1).contains("peer-disk:Diskless peer-client:yes"), "{}", cluster.status(1));
    cluster.ok(3, "primary r0");
    cluster.write(3, 0, &[6; 4096]).unwrap();
    assert!(cluster.holds(1, 0, 6) && cluster.holds(2, 0, 6));
    assert!(crate::io::read(&cluster.nodes[2], "r0", 0, 0, 4096).unwrap() == [6; 4096]);
    cluster.ok(3, "secondary r0");
    // n2 is gone: n1 and the client are the majority. Without the client n1 is not.
    cut(&cluster, [1, 2]);
    assert!(!cluster.status(1).contains("quorum:no"), "{}", cluster.status(1));
    cut(&cluster, [1, 3]);
    assert!(cluster.status(1).contains("quorum:no"), "{}", cluster.status(1));
}

/// 8, 8.2: written apart, they do not meet until one side gives in.
#[test]
fn section_8_split_brain() {
    let cluster = Cluster::established(2);
    cut(&cluster, [1, 2]);
    for (node, byte) in [(1, 1), (2, 2)] {
        cluster.ok(node, "primary r0");
        cluster.write(node, 0, &[byte; 4096]).unwrap();
        cluster.ok(node, "secondary r0");
    }
    heal(&cluster, [1, 2]);
    cluster.await_status(1, "n2 connection:StandAlone", true);
    assert!(cluster.status(2).contains("n1 connection:Connecting"), "{}", cluster.status(2));
    cluster.ok(1, "connect r0 1 --discard-my-data");
    (1..=2).for_each(|node| cluster.await_good(node));
    assert!(cluster.holds(1, 0, 2), "n1 gave in");
}

/// 5.24, 15: a peer that was away gets what it missed, and only that; a crashed Primary comes back.
#[test]
fn section_15_who_was_away_is_brought_up_to_date() {
    let mut cluster = Cluster::established(2);
    cut(&cluster, [1, 2]);
    cluster.ok(1, "primary r0");
    cluster.write(1, 8 * MIB, &[5; 4096]).unwrap();
    heal(&cluster, [1, 2]);
    (1..=2).for_each(|node| cluster.await_good(node));
    assert!(cluster.holds(2, 8 * MIB, 5));
    assert!(cluster.ok(1, "status r0 --json").contains("\"sent\": 4,"), "one block was missing");
    cluster.crash(1);
    cluster.await_status(2, "connection:Connecting", true);
    cluster.up(1);
    (1..=2).for_each(|node| cluster.await_good(node));
}

/// 9: a Primary without a disk reads and writes through its peers; attached again it has what it missed.
#[test]
fn section_9_detach_and_attach() {
    let cluster = Cluster::established(2);
    cluster.ok(1, "primary r0");
    cluster.write(1, 0, &[1; 4096]).unwrap();
    cluster.ok(1, "detach 10");
    assert!(cluster.status(1).contains("disk:Diskless client:no"), "{}", cluster.status(1));
    cluster.await_status(2, "peer-disk:Diskless peer-client:no", true);
    assert!(crate::io::read(&cluster.nodes[0], "r0", 0, 0, 4096).unwrap() == [1; 4096]);
    cluster.write(1, 0, &[2; 4096]).unwrap();
    assert!(cluster.holds(2, 0, 2));
    cluster.attach(1);
    (1..=2).for_each(|node| cluster.await_good(node));
    assert!(cluster.holds(1, 0, 2));
}

fn grow_disk(cluster: &Cluster, node: usize, mib: u64) {
    std::fs::File::options().write(true).open(cluster.disk(node)).unwrap().set_len(mib * MIB).unwrap();
}

/// 10.1, 10.2: `resize` does nothing until the last disk has grown, and then synchronises the new part.
#[test]
fn section_10_resize() {
    let cluster = Cluster::established(3);
    let size = |node| {
        let status: serde_json::Value = serde_json::from_str(&cluster.ok(node, "status r0 --json")).unwrap();
        status[0]["devices"][0]["size"].as_u64().unwrap()
    };
    let before = size(1);
    grow_disk(&cluster, 1, 128);
    cluster.ok(1, "resize 10");
    assert_eq!(size(1), before, "two disks are still small");
    grow_disk(&cluster, 2, 128);
    grow_disk(&cluster, 3, 128);
    cluster.ok(1, "resize 10");
    // The command ends when its own node has the new size; the peers follow.
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !(1..=3).all(|node| size(node) > 2 * before - 200) {
        assert!(std::time::Instant::now() < end, "{:?}", [size(1), size(2), size(3)]);
    }
    (1..=3).for_each(|node| cluster.await_good(node));
    cluster.ok(1, "primary r0");
    cluster.write(1, 100 * MIB, &[3; 4096]).unwrap();
    assert!(cluster.holds(3, 100 * MIB, 3));
}

/// 16.10: `invalidate` fetches everything again; `verify` needs an algorithm, and finds what differs.
#[test]
fn section_16_10_invalidate_and_verify() {
    let cluster = Cluster::established(2);
    let refused = "r0: State change failed: (-14) Need a verify algorithm to start online verify\n";
    assert_eq!(cluster.refused(1, "verify r0 1 0"), (11, refused.to_owned()));
    std::os::unix::fs::FileExt::write_all_at(
        &std::fs::File::options().write(true).open(cluster.disk(2)).unwrap(),
        &[9; 4096],
        MIB,
    )
    .unwrap();
    cluster.ok(1, "net-options r0 1 --verify-alg=crc32c");
    cluster.ok(1, "verify r0 1 0");
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !cluster.ok(1, "status r0 --json").contains("\"out-of-sync\": 4,") {
        assert!(std::time::Instant::now() < end, "{}", cluster.ok(1, "status r0 --json"));
    }
    cluster.ok(2, "invalidate 10");
    (1..=2).for_each(|node| cluster.await_good(node));
    assert!(cluster.holds(2, MIB, 0));
}
