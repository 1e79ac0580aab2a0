// SPDX-License-Identifier: MPL-2.0
//! What two stand-ins say to each other over TCP: a JSON message and, for data, bytes behind it. This is not DRBD's
//! protocol, and a stand-in cannot talk to a real DRBD.

use crate::generation::Generation;
use crate::model::{DiskState, Role};
use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{Read, Write};

/// What one node says of one of its volumes to one peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VolumeNews {
    pub(crate) disk: DiskState,
    pub(crate) client: bool,
    pub(crate) generation: Generation,
    /// What its backing device allows, in KiB; 0 without one.
    pub(crate) max_kib: u64,
    /// The size it runs with, in KiB; 0 until agreed.
    pub(crate) size_kib: u64,
}

/// What one node says of itself to one peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct News {
    pub(crate) role: Role,
    pub(crate) volumes: BTreeMap<u16, VolumeNews>,
    /// It was connected with --discard-my-data.
    pub(crate) discard_my_data: bool,
}

/// The first words of either side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub(crate) resource: String,
    pub(crate) from: u8,
    pub(crate) to: u8,
    /// Proof of the shared secret.
    pub(crate) proof: u64,
    pub(crate) news: News,
}

/// Everything that is said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Message {
    Hello(Hello),
    /// The listening side agrees; its own words.
    Accept(Hello),
    /// The connecting side agrees too: from here on both are Connected.
    Confirm,
    /// No connection; `for_good`: not until somebody does something about it.
    Refuse {
        why: String,
        for_good: bool,
    },
    News(News),
    /// The sender is about to declare this generation everywhere.
    Promise {
        volume: u16,
        id: u64,
        uuid: u64,
    },
    /// The data are now of this generation everywhere; `clear`: whatever the replicas hold is declared the same.
    Generation {
        volume: u16,
        uuid: u64,
        clear: bool,
    },
    /// The sender is, or wants to be, brought up to date.
    RequestSync {
        volume: u16,
        full: bool,
    },
    /// The one who was asked has no good data (any more).
    NoSync {
        volume: u16,
    },
    /// These runs of bytes are coming.
    SyncStarted {
        volume: u16,
        runs: Vec<(u64, u64)>,
    },
    SyncDone {
        volume: u16,
        uuid: u64,
    },
    /// Bytes to write, behind this message; of a sync, or of the application.
    Block {
        volume: u16,
        id: u64,
        offset: u64,
        sync: bool,
    },
    Ack {
        id: u64,
        ok: bool,
    },
    /// A node without a disk reads.
    Read {
        volume: u16,
        id: u64,
        offset: u64,
        len: u64,
    },
    /// What was read, behind this message.
    Data {
        id: u64,
        ok: bool,
    },
    /// All use this size from now on; the new part is in sync when `clean`.
    Size {
        volume: u16,
        kib: u64,
        clean: bool,
    },
    /// The protocol of this connection, which both ends share.
    Protocol {
        protocol: String,
    },
    /// The receiver's data are to be fetched again from the sender.
    Invalidate {
        volume: u16,
    },
    /// The sender wants news, and an acknowledgement behind them.
    Ask {
        id: u64,
    },
    /// The sender disconnects on purpose.
    Bye,
    Ping,
}

/// A message with its bytes.
pub(crate) type Frame = (Message, Vec<u8>);

const LONGEST: u32 = 64 << 20;

/// Writes one frame.
pub(crate) fn send(to: &mut impl Write, (message, bytes): &Frame) -> Result<()> {
    let text = serde_json::to_vec(message)?;
    let mut head = Vec::with_capacity(text.len() + 8);
    head.extend(u32::try_from(text.len())?.to_be_bytes());
    head.extend(u32::try_from(bytes.len())?.to_be_bytes());
    head.extend(text);
    to.write_all(&head)?;
    to.write_all(bytes)?;
    to.flush().context("cannot send")
}

/// Reads one frame.
pub(crate) fn receive(from: &mut impl Read) -> Result<Frame> {
    let mut head = [0; 8];
    from.read_exact(&mut head)?;
    let [a, b, c, d, e, f, g, h] = head;
    let (text, bytes) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
    ensure!(text <= LONGEST && bytes <= LONGEST, "a frame of {text} and {bytes} bytes");
    let mut message = vec![0; text as usize];
    from.read_exact(&mut message)?;
    let mut data = vec![0; bytes as usize];
    from.read_exact(&mut data)?;
    Ok((serde_json::from_slice(&message)?, data))
}
