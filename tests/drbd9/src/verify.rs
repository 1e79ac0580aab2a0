// SPDX-License-Identifier: MPL-2.0
//! Online verification: both replicas are read, and blocks that differ are marked out of sync. As on DRBD, nothing is
//! repaired: that happens at the next reconnect.

use crate::bitmap::BLOCK;
use crate::daemon::Shared;
use crate::kernel::Kernel;
use crate::model::Replication;
use crate::wire::Message;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

const PIECE: u64 = 64 * BLOCK;

/// Starts what was asked for, for ever.
pub(crate) fn run_all(shared: &Arc<Shared>) {
    let mut kernel = shared.lock();
    loop {
        for (name, peer, number) in std::mem::take(&mut kernel.to_verify) {
            let shared = Arc::clone(shared);
            thread::spawn(move || run(&shared, &name, peer, number));
        }
        kernel = shared.wait(kernel, Duration::from_secs(1));
    }
}

fn run(shared: &Shared, name: &str, peer: u8, number: u16) {
    let mut kernel = shared.lock();
    let size = kernel.volume(name, number).map_or(0, |volume| volume.size_kib * 1024);
    let mut offset = 0;
    while offset < size {
        let len = PIECE.min(size - offset);
        let Some(id) = ask(&mut kernel, name, peer, number, offset, len) else { break };
        let Some(mine) = crate::io::fetch(&mut kernel, name, number, offset, len) else { break };
        let (locked, theirs) = crate::io::answer(shared, kernel, id);
        kernel = locked;
        let Some(theirs) = theirs.filter(|theirs| theirs.len() == mine.len()) else { break };
        compare(&mut kernel, name, peer, number, offset, &mine, &theirs);
        offset += len;
    }
    ended(&mut kernel, name, peer, number);
}

/// It was marked as running by the command. Nothing to do where something else goes on meanwhile.
fn ended(kernel: &mut Kernel, name: &str, peer: u8, number: u16) {
    let connection = kernel.resources.get_mut(name).and_then(|resource| resource.connections.get_mut(&peer));
    let seen = connection.and_then(|connection| connection.volumes.get_mut(&number));
    if let Some(seen) = seen.filter(|seen| seen.replication == Replication::VerifyS) {
        seen.replication = Replication::Established;
    }
}

fn ask(kernel: &mut Kernel, name: &str, peer: u8, number: u16, offset: u64, len: u64) -> Option<u64> {
    let id = kernel.id();
    let link = kernel.resources.get(name)?.connections.get(&peer)?.up()?.clone();
    kernel.reads.insert(id, None);
    link.send(Message::Read { volume: number, id, offset, len });
    Some(id)
}

fn compare(kernel: &mut Kernel, name: &str, peer: u8, number: u16, offset: u64, mine: &[u8], theirs: &[u8]) {
    let connection = kernel.resources.get_mut(name).and_then(|resource| resource.connections.get_mut(&peer));
    let Some(seen) = connection.and_then(|connection| connection.volumes.get_mut(&number)) else { return };
    let blocks = mine.chunks(BLOCK as usize).zip(theirs.chunks(BLOCK as usize));
    for (index, _) in blocks.enumerate().filter(|(_, (one, other))| one != other) {
        seen.bitmap.set(offset + index as u64 * BLOCK, BLOCK, true);
    }
}
