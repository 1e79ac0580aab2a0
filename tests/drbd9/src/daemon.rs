// SPDX-License-Identifier: MPL-2.0
//! The process that is the kernel's stand-in on one host: it holds all state in memory (a reboot forgets it, as a
//! kernel does), answers `drbdsetup` over a Unix socket, talks to peers, and serves the devices.

use crate::kernel::Kernel;
use crate::nbd::Devices;
use crate::{command, link, sync, verify};
use anyhow::{Context as _, Result};
use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

/// What all threads share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    kernel: Mutex<Kernel>,
    devices: Mutex<Devices>,
    /// Something changed that somebody may wait for.
    pub(crate) changed: Condvar,
    itself: Weak<Shared>,
}

impl Shared {
    /// A fresh kernel; with device nodes only where asked for.
    pub(crate) fn new(device_nodes: bool) -> Arc<Self> {
        let devices = Devices::new(device_nodes);
        Arc::new_cyclic(|itself| Self {
            kernel: Mutex::default(),
            devices: Mutex::new(devices),
            changed: Condvar::new(),
            itself: itself.clone(),
        })
    }

    /// The state, for oneself. A thread that panicked leaves it usable: every command is one step.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Kernel> {
        self.kernel.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The devices, for oneself. Taken after the state, never before.
    pub(crate) fn devices(&self) -> MutexGuard<'_, Devices> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the state up until something changes, or for so long.
    pub(crate) fn wait<'a>(&self, kernel: MutexGuard<'a, Kernel>, time: Duration) -> MutexGuard<'a, Kernel> {
        self.changed.wait_timeout(kernel, time).unwrap_or_else(PoisonError::into_inner).0
    }

    /// For threads that may outlive it.
    pub(crate) fn itself(&self) -> Weak<Self> {
        self.itself.clone()
    }
}

/// Starts the threads that talk to peers.
pub(crate) fn start(shared: &Arc<Shared>) {
    for work in [link::listen_all, link::call_all, sync::run_all, verify::run_all] {
        let shared = Arc::clone(shared);
        thread::spawn(move || work(&shared));
    }
}

/// Runs until it is killed.
pub(crate) fn run(socket: &Path) -> Result<()> {
    let _stale = std::fs::remove_file(socket);
    let listener = UnixListener::bind(socket).with_context(|| socket.display().to_string())?;
    let shared = Shared::new(true);
    start(&shared);
    for stream in listener.incoming() {
        let (stream, shared) = (stream?, Arc::clone(&shared));
        thread::spawn(move || {
            if let Err(error) = answer(&shared, stream) {
                eprintln!("{error:#}");
            }
        });
    }
    Ok(())
}

/// One command: its arguments as JSON up to the end, its answer as JSON.
fn answer(shared: &Shared, mut stream: UnixStream) -> Result<()> {
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let line: Vec<String> = serde_json::from_str(&text)?;
    let answer = command::execute(shared, &line);
    Ok(stream.write_all(&serde_json::to_vec(&answer)?)?)
}
