// SPDX-License-Identifier: MPL-2.0
//! Signals end a run between two steps, never inside one: an interrupted `lvcreate` or `create-md` is what the next
//! run would have to sort out.

use signal_hook::consts::{SIGHUP, SIGINT, SIGPIPE, SIGTERM};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Remembers the signal that asked this run to stop.
#[derive(Clone, Debug)]
pub(crate) struct Stop(Arc<AtomicUsize>);

impl Stop {
    /// Catches the signals that a controller, a closing connection or a person send.
    pub(crate) fn catch() -> std::io::Result<Self> {
        let number = Arc::new(AtomicUsize::new(0));
        for signal in [SIGHUP, SIGINT, SIGTERM] {
            signal_hook::flag::register_usize(signal, Arc::clone(&number), signal.unsigned_abs() as usize)?;
        }
        // A reader that went away must not kill a run either; writing the answer then fails and is dropped.
        signal_hook::flag::register(SIGPIPE, Arc::new(std::sync::atomic::AtomicBool::new(false)))?;
        Ok(Self(number))
    }

    /// The name of the signal that was received.
    pub(crate) fn requested(&self) -> Option<&'static str> {
        match i32::try_from(self.0.load(Ordering::Relaxed)).ok()? {
            0 => None,
            SIGHUP => Some("SIGHUP"),
            SIGINT => Some("SIGINT"),
            SIGTERM => Some("SIGTERM"),
            _ => Some("a signal"),
        }
    }
}
