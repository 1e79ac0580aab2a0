// SPDX-License-Identifier: MPL-2.0
//! A stand-in for DRBD 9's kernel side, for tests: a `drbdsetup` with state and peers behind it, under the **real**
//! `drbdadm` and `drbdmeta` of drbd-utils 9.22. It answers as DRBD 9.2.18 does, in the words of the recorded transcripts
//! (`engine/samples/`), and holds real data: metadata in DRBD's own format on the backing device, syncs and writes
//! that travel between hosts, and a block device that a file system can be made on.
//!
//! It is not DRBD, and no part of the product. What is different, on purpose:
//!
//! * The protocol between nodes is its own ([`wire`]). Replication is protocol C whatever is configured.
//! * The bitmap is in memory. Blocks that a peer lacks are exact while the host runs; over a `down` or a reboot the whole
//!   volume counts as lacking, so what comes after it is a full sync where DRBD sends less.
//! * A Secondary device cannot be opened at all: auto-promote is not simulated ([`nbd`]).
//! * A silent peer is given up after 3 s, not after 10 ([`link`]); several paths are kept and shown, the first is used.
//! * Activity log, checksums, compression, fencing handlers, congestion and I/O errors of disks are not simulated;
//!   their options are kept and shown. `after-sb-*` policies too: split brain always disconnects.
//! * Role changes are not cluster-wide transactions: two nodes promoted in the same instant may both succeed.
//! * `show` prints every option that was given, also one that was given its default value.

mod answer;
mod arguments;
mod bitmap;
mod change;
mod client;
mod command;
mod configure;
mod daemon;
mod generation;
mod io;
mod kernel;
mod link;
mod metadata;
mod model;
mod nbd;
mod options;
mod peer;
mod print;
mod quorum;
mod sync;
#[cfg(test)]
mod tests;
mod verify;
mod wire;

use std::path::Path;
use std::process::ExitCode;

/// Where the daemon listens. On a file system that a reboot empties.
const SOCKET: &str = "/run/simulated-drbd9.socket";

fn main() -> ExitCode {
    let line: Vec<String> = std::env::args().skip(1).collect();
    if line.first().is_some_and(|verb| verb == "simulated-kernel") {
        return match daemon::run(Path::new(SOCKET)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error:#}");
                ExitCode::FAILURE
            }
        };
    }
    client::run(&line, Path::new(SOCKET))
}
