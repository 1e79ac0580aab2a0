// SPDX-License-Identifier: MPL-2.0
//! The simulation held to the recorded transcripts: up to three simulated kernels in one process, over backing files and
//! TCP on the loopback. Each test names the sections that it is held to; whole answers come from `engine/samples/`.
//! Not here: what needs the real drbdadm and drbdmeta (the system test `drbd9`).

mod bring_up;
mod faults;
mod samples;

use crate::answer::Answer;
use crate::daemon::{self, Shared};
use crate::{command, io, metadata};
use std::fs::File;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Nodes n1, n2, ... with a resource `r0`, as in the transcripts: minor 10, 64 MiB.
struct Cluster {
    nodes: Vec<Arc<Shared>>,
    dir: TempDir,
    port: u16,
}

impl Cluster {
    /// So many nodes, on which nothing is configured; their disks have metadata for `max_peers`.
    fn new(nodes: usize, max_peers: u32) -> Self {
        let dir = TempDir::new().unwrap();
        // A port that is free on every address of the loopback is, for a moment, bound on all of them.
        let port = TcpListener::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port();
        let cluster = Self { nodes: (0..nodes).map(|_| start()).collect(), dir, port };
        for node in 1..=nodes {
            cluster.make_disk(node, 64 << 20, max_peers);
        }
        cluster
    }

    fn make_disk(&self, node: usize, bytes: u64, max_peers: u32) {
        let file =
            File::options().create(true).truncate(true).read(true).write(true).open(self.disk(node)).unwrap();
        file.set_len(bytes).unwrap();
        metadata::create(&file, max_peers).unwrap();
    }

    fn disk(&self, node: usize) -> PathBuf {
        self.dir.path().join(format!("n{node}.img"))
    }

    fn address(&self, node: usize) -> String {
        format!("ipv4:127.0.0.{node}:{}", self.port)
    }

    /// One `drbdsetup` command line on a node.
    fn run(&self, node: usize, line: &str) -> Answer {
        let line: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        command::execute(&self.nodes[node - 1], &line)
    }

    /// The same, which must succeed in silence.
    #[track_caller]
    fn ok(&self, node: usize, line: &str) -> String {
        let answer = self.run(node, line);
        assert_eq!((answer.code, answer.err.as_str()), (0, ""), "n{node}: {line}: {answer:?}");
        answer.out
    }

    /// The same, which must be refused; exit code and standard error.
    #[track_caller]
    fn refused(&self, node: usize, line: &str) -> (u8, String) {
        let answer = self.run(node, line);
        assert_ne!(answer.code, 0, "n{node}: {line}");
        (answer.code, answer.err)
    }

    /// What `drbdadm up` runs (2.1), without the connections.
    fn configure(&self, node: usize) {
        self.ok(node, &format!("new-resource r0 {}", node - 1));
        self.ok(node, "new-minor r0 10 0");
        for peer in (1..=self.nodes.len()).filter(|peer| *peer != node) {
            self.ok(node, &format!("new-peer r0 {} --_name=n{peer}", peer - 1));
            let (local, remote) = (self.address(node), self.address(peer));
            self.ok(node, &format!("new-path r0 {} {local} {remote}", peer - 1));
        }
    }

    fn attach(&self, node: usize) {
        let disk = self.disk(node).display().to_string();
        self.ok(node, &format!("attach 10 {disk} {disk} internal"));
    }

    fn connect(&self, node: usize) {
        for peer in (1..=self.nodes.len()).filter(|peer| *peer != node) {
            self.ok(node, &format!("connect r0 {}", peer - 1));
        }
    }

    /// All of `drbdadm up`.
    fn up(&self, node: usize) {
        self.configure(node);
        self.attach(node);
        self.connect(node);
    }

    /// All nodes up, connected, and UpToDate without a sync (3.3).
    fn established(nodes: usize) -> Self {
        let cluster = Self::new(nodes, 7);
        (1..=nodes).for_each(|node| cluster.up(node));
        (1..=nodes).for_each(|node| cluster.await_status(node, "connection:", false));
        cluster.ok(1, "new-current-uuid 10 --clear-bitmap");
        (1..=nodes).for_each(|node| cluster.await_good(node));
        cluster
    }

    fn status(&self, node: usize) -> String {
        self.run(node, "status r0").out
    }

    /// Waits until a node's status has, or has no more, a text.
    #[track_caller]
    fn await_status(&self, node: usize, text: &str, there: bool) {
        let end = Instant::now() + Duration::from_secs(20);
        while self.status(node).contains(text) != there {
            assert!(Instant::now() < end, "n{node}: {text:?} {there}: {}", self.status(node));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until everything is connected and UpToDate, and nothing else is said.
    #[track_caller]
    fn await_good(&self, node: usize) {
        let end = Instant::now() + Duration::from_secs(20);
        let good = |text: &str| {
            let words = ["Inconsistent", "Outdated", "Diskless", "DUnknown", "connection:", "replication:"];
            !words.iter().any(|word| text.contains(word))
        };
        while !good(&self.status(node)) {
            assert!(Instant::now() < end, "n{node}: {}", self.status(node));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Writes through the device of a Primary.
    fn write(&self, node: usize, offset: u64, data: &[u8]) -> std::io::Result<()> {
        io::write(&self.nodes[node - 1], "r0", 0, offset, data)
    }

    /// What lies on a node's disk.
    fn on_disk(&self, node: usize, offset: u64, len: u64) -> Vec<u8> {
        io::read_exact(&File::open(self.disk(node)).unwrap(), offset, len).unwrap()
    }

    /// Whether a block of a node's disk is filled with one byte.
    fn holds(&self, node: usize, offset: u64, byte: u8) -> bool {
        self.on_disk(node, offset, 4096).iter().all(|found| *found == byte)
    }

    /// A power cut: nothing is said, and nothing is left but the disk. The node comes back with an empty kernel.
    fn crash(&mut self, node: usize) {
        let old = std::mem::replace(&mut self.nodes[node - 1], start());
        let mut kernel = old.lock();
        for resource in kernel.resources.values_mut() {
            // Dropped links close their sockets without a goodbye.
            resource.connections.clear();
            resource.volumes.clear();
        }
        kernel.resources.clear();
    }
}

fn start() -> Arc<Shared> {
    let shared = Shared::new(false);
    daemon::start(&shared);
    shared
}
