// SPDX-License-Identifier: MPL-2.0
//! When the process ends: on the host's Shutdown, on SIGTERM, when the host has died, and, while debugging, on
//! Ctrl-C. Under a host Ctrl-C is swallowed: the host gets it as well and asks the provider to stop.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::getppid;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;

use crate::server::Core;

/// How often to look whether the host still lives.
const HOST_CHECK: Duration = Duration::from_secs(2);
/// How long operations may take to return after the host has died. Their results are lost either way.
const ORPHAN_GRACE: Duration = Duration::from_secs(60);
/// Time for the answer to Shutdown to leave. The host does not wait for it and kills after two seconds.
const FLUSH: Duration = Duration::from_millis(3);

/// Why the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Shutdown,
    Interrupted,
    Terminated,
    HostDied,
}

/// Everything that can end the process. Made before the handshake, so that no signal after it finds the system's own
/// handling.
pub(crate) struct Lifetime {
    pub(crate) shutdown: Arc<Notify>,
    interrupt: Signal,
    terminate: Signal,
    debug: bool,
}

impl Lifetime {
    pub(crate) fn new(debug: bool) -> io::Result<Lifetime> {
        let interrupt = signal(SignalKind::interrupt())?;
        let terminate = signal(SignalKind::terminate())?;
        Ok(Lifetime { shutdown: Arc::new(Notify::new()), interrupt, terminate, debug })
    }

    /// Waits for the first reason to end.
    pub(crate) async fn end(mut self, core: &Core) -> End {
        let host = getppid();
        let mut check = tokio::time::interval(HOST_CHECK);
        loop {
            tokio::select! {
                () = self.shutdown.notified() => {
                    tokio::time::sleep(FLUSH).await;
                    return End::Shutdown;
                }
                _ = self.interrupt.recv() => {
                    if self.debug {
                        return End::Interrupted;
                    }
                    tracing::debug!("interrupt ignored: Terraform says when to stop");
                }
                _ = self.terminate.recv() => return End::Terminated,
                _ = check.tick(), if !self.debug => {
                    if getppid() != host {
                        wind_down(core).await;
                        return End::HostDied;
                    }
                }
            }
        }
    }
}

/// Cancels what is going on and gives it time to leave things in order.
async fn wind_down(core: &Core) {
    core.cancel();
    let deadline = tokio::time::Instant::now() + ORPHAN_GRACE;
    while core.running() > 0 && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
