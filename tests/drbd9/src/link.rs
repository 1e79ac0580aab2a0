// SPDX-License-Identifier: MPL-2.0
//! Connections between nodes: who calls whom, the handshake, and the two threads of a connection that is up. Of two
//! peers the one with the lower node-id calls; both decide with the same rules and come to fitting conclusions.
//!
//! A silent peer is given up after [`SILENCE`]; DRBD's own default is longer (ping-int 10 s), tests are not to wait so
//! long. Not here: what messages mean once the connection is up (`peer`).

use crate::daemon::Shared;
use crate::model::{Connection, ConnectionState};
use crate::peer::{self, Meeting};
use crate::wire::{self, Frame, Message};
use anyhow::{Context as _, Result, bail};
use std::collections::BTreeMap;
use std::io::{BufReader, BufWriter};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

/// A peer that says nothing for so long is gone.
const SILENCE: Duration = Duration::from_secs(3);
const PING: Duration = Duration::from_millis(500);
const RETRY: Duration = Duration::from_millis(150);

/// The way to a connected peer.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    /// Tells this connection from the ones before and after it.
    pub(crate) id: u64,
    sender: Sender<Frame>,
}

impl Link {
    /// Sends; a peer that is gone is noticed elsewhere.
    pub(crate) fn send(&self, message: Message) {
        self.send_bytes(message, Vec::new());
    }

    /// Sends bytes behind a message.
    pub(crate) fn send_bytes(&self, message: Message, bytes: Vec<u8>) {
        let _gone = self.sender.send((message, bytes));
    }
}

/// Calls peers, for ever.
pub(crate) fn call_all(shared: &Arc<Shared>) {
    loop {
        for (resource, peer, address) in to_call(shared) {
            let shared = Arc::clone(shared);
            thread::spawn(move || {
                let _retried = call(&shared, &resource, peer, address);
                shared.lock().calling.remove(&(resource, peer));
            });
        }
        thread::sleep(RETRY);
    }
}

/// Connecting peers that are this node's to call, and that it is not calling already.
fn to_call(shared: &Shared) -> Vec<(String, u8, SocketAddr)> {
    let mut kernel = shared.lock();
    let mut calls = Vec::new();
    for (name, resource) in &kernel.resources {
        for (peer, connection) in &resource.connections {
            let waits = connection.state == ConnectionState::Connecting && resource.node_id < *peer;
            let known = (name.clone(), *peer);
            if let Some(path) = connection.paths.first().filter(|_| waits && !kernel.calling.contains(&known))
            {
                calls.push((name.clone(), *peer, path.remote));
            }
        }
    }
    kernel.calling.extend(calls.iter().map(|(name, peer, _)| (name.clone(), *peer)));
    calls
}

fn call(shared: &Arc<Shared>, resource: &str, peer: u8, address: SocketAddr) -> Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    prepare(&stream)?;
    let hello = peer::hello(&shared.lock(), resource, peer)?;
    wire::send(&mut stream, &(Message::Hello(hello.clone()), Vec::new()))?;
    match wire::receive(&mut stream)?.0 {
        Message::Accept(theirs) => {
            let mut kernel = shared.lock();
            if peer::hello(&kernel, resource, peer)? != hello {
                bail!("something changed meanwhile; once more");
            }
            match peer::meet(&kernel, resource, peer, &theirs)? {
                Meeting::Fits => {
                    wire::send(&mut stream, &(Message::Confirm, Vec::new()))?;
                    let link = start(shared, resource, peer, &mut kernel.next_id, stream)?;
                    peer::connected(&mut kernel, resource, peer, link, &theirs.news);
                }
                Meeting::Never { why, .. } => {
                    wire::send(&mut stream, &(Message::Refuse { why, for_good: false }, Vec::new()))?;
                    peer::stand_alone(&mut kernel, resource, peer);
                }
            }
        }
        Message::Refuse { for_good: true, .. } => peer::stand_alone(&mut shared.lock(), resource, peer),
        other => bail!("not an answer: {other:?}"),
    }
    Ok(())
}

/// Keeps a listener on every local address that some connection uses, for ever.
pub(crate) fn listen_all(shared: &Arc<Shared>) {
    let mut listeners: BTreeMap<SocketAddr, TcpListener> = BTreeMap::new();
    loop {
        let wanted = addresses(shared);
        listeners.retain(|address, _| wanted.contains(address));
        for address in wanted {
            if let std::collections::btree_map::Entry::Vacant(entry) = listeners.entry(address)
                && let Ok(listener) = TcpListener::bind(address)
                && listener.set_nonblocking(true).is_ok()
            {
                entry.insert(listener);
            }
        }
        for listener in listeners.values() {
            while let Ok((stream, _)) = listener.accept() {
                let shared = Arc::clone(shared);
                thread::spawn(move || answer(&shared, stream));
            }
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// Addresses of connections that are or want to be up.
fn addresses(shared: &Shared) -> Vec<SocketAddr> {
    let kernel = shared.lock();
    let connections = kernel.resources.values().flat_map(|resource| resource.connections.values());
    let alive = connections.filter(|connection| connection.state != ConnectionState::StandAlone);
    alive.flat_map(|connection| &connection.paths).map(|path| path.local).collect()
}

fn answer(shared: &Arc<Shared>, mut stream: TcpStream) -> Result<()> {
    stream.set_nonblocking(false)?;
    prepare(&stream)?;
    let (Message::Hello(theirs), _) = wire::receive(&mut stream)? else { bail!("not a greeting") };
    let refuse = |stream: &mut TcpStream, why: String, for_good: bool| {
        wire::send(stream, &(Message::Refuse { why, for_good }, Vec::new()))
    };
    let (name, peer) = (theirs.resource.clone(), theirs.from);
    let (mine, meeting) = {
        let kernel = shared.lock();
        match peer::greet(&kernel, &theirs) {
            Ok(greeted) => greeted,
            Err(error) => return refuse(&mut stream, error.to_string(), false),
        }
    };
    if let Meeting::Never { why, both } = meeting {
        if both {
            peer::stand_alone(&mut shared.lock(), &name, peer);
        }
        return refuse(&mut stream, why, true);
    }
    wire::send(&mut stream, &(Message::Accept(mine.clone()), Vec::new()))?;
    let (Message::Confirm, _) = wire::receive(&mut stream)? else { bail!("not confirmed") };
    let mut kernel = shared.lock();
    if peer::hello(&kernel, &name, peer)? != mine {
        bail!("something changed meanwhile; once more");
    }
    let link = start(shared, &name, peer, &mut kernel.next_id, stream)?;
    peer::connected(&mut kernel, &name, peer, link, &theirs.news);
    Ok(())
}

fn prepare(stream: &TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SILENCE))?;
    stream.set_write_timeout(Some(SILENCE)).context("no timeout")
}

/// Starts the threads of a connection that both ends agreed on.
fn start(
    shared: &Arc<Shared>,
    resource: &str,
    peer: u8,
    next_id: &mut u64,
    stream: TcpStream,
) -> Result<Link> {
    *next_id += 1;
    let id = *next_id;
    let (sender, receiver) = mpsc::channel::<Frame>();
    let mut out = BufWriter::new(stream.try_clone()?);
    let closing = stream.try_clone()?;
    thread::spawn(move || {
        loop {
            let frame = match receiver.recv_timeout(PING) {
                Ok(frame) => frame,
                Err(RecvTimeoutError::Timeout) => (Message::Ping, Vec::new()),
                Err(RecvTimeoutError::Disconnected) => break,
            };
            if wire::send(&mut out, &frame).is_err() {
                break;
            }
        }
        // The reader on this side ends with it.
        let _closed = closing.shutdown(std::net::Shutdown::Both);
    });
    let (shared, name) = (Arc::clone(shared), resource.to_owned());
    thread::spawn(move || {
        let mut from = BufReader::new(stream);
        while let Ok((message, bytes)) = wire::receive(&mut from) {
            if !peer::hear(&shared, &name, peer, id, message, &bytes) {
                break;
            }
        }
        peer::lost(&mut shared.lock(), &name, peer, id);
        shared.changed.notify_all();
    });
    Ok(Link { id, sender })
}

/// Ends a connection on purpose: the peer is told, and both threads end.
pub(crate) fn hang_up(connection: &mut Connection) {
    if let Some(link) = connection.link.take() {
        link.send(Message::Bye);
    }
}
