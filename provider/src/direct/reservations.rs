// SPDX-License-Identifier: MPL-2.0
//! Ports and minors that this process has given out. Terraform creates several volumes at once, and the facts that one
//! creation looked at do not show what another is about to use.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use drbd_engine::allocate::{self, Exhausted, Kind};

/// Everything that was given out.
#[derive(Debug, Default)]
pub(crate) struct Reservations {
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    ports: BTreeSet<u32>,
    minors: BTreeSet<u32>,
}

/// A port and a minor that belong to one creation. Given back on drop, unless [`Reservation::keep`] was called.
#[derive(Debug)]
pub(crate) struct Reservation {
    all: Arc<Reservations>,
    port: u32,
    minor: u32,
    kept: bool,
}

impl Reservation {
    /// From now on the hosts have them; they stay reserved as long as the process lives, because facts that were taken
    /// earlier may still be in somebody's hands.
    pub(crate) fn keep(&mut self) {
        self.kept = true;
    }

    pub(crate) fn port(&self) -> u32 {
        self.port
    }

    pub(crate) fn minor(&self) -> u32 {
        self.minor
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.kept {
            let mut taken = self.all.taken.lock().unwrap_or_else(PoisonError::into_inner);
            taken.ports.remove(&self.port);
            taken.minors.remove(&self.minor);
        }
    }
}

/// What one volume asks for.
pub(crate) struct Ask {
    /// A fixed port; else the lowest free one.
    pub(crate) port: Option<u32>,
    /// A fixed minor; else the lowest free one.
    pub(crate) minor: Option<u32>,
    /// In use on any of the volume's hosts.
    pub(crate) ports_in_use: BTreeSet<u32>,
    /// In use on any of the volume's hosts.
    pub(crate) minors_in_use: BTreeSet<u32>,
}

/// Why numbers cannot be given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotGiven {
    #[error("{0}")]
    Exhausted(#[from] Exhausted),
    #[error("another volume that is being created now has it")]
    Port,
    #[error("another volume that is being created now has it")]
    Minor,
}

impl Reservations {
    /// Gives out a port and a minor.
    ///
    /// Numbers are unique within the process, also between volumes that share no host: two of them may get a common host
    /// later.
    pub(crate) fn reserve(self: &Arc<Self>, ask: &Ask) -> Result<Reservation, NotGiven> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let free = |kind, in_use: &BTreeSet<u32>, reserved: &BTreeSet<u32>| {
            allocate::lowest_free(kind, &in_use.union(reserved).copied().collect())
        };
        let port = match ask.port {
            Some(port) if taken.ports.contains(&port) => return Err(NotGiven::Port),
            Some(port) => port,
            None => free(Kind::Port, &ask.ports_in_use, &taken.ports)?,
        };
        let minor = match ask.minor {
            Some(minor) if taken.minors.contains(&minor) => return Err(NotGiven::Minor),
            Some(minor) => minor,
            None => free(Kind::Minor, &ask.minors_in_use, &taken.minors)?,
        };
        taken.ports.insert(port);
        taken.minors.insert(minor);
        Ok(Reservation { all: Arc::clone(self), port, minor, kept: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(port: Option<u32>, in_use: &[u32]) -> Ask {
        let ports_in_use = in_use.iter().copied().collect();
        Ask { port, minor: None, ports_in_use, minors_in_use: BTreeSet::from([1000]) }
    }

    #[test]
    fn parallel_creations_get_different_numbers() {
        let all = Arc::new(Reservations::default());
        let given: Vec<Reservation> =
            (0..10).map(|_| all.reserve(&ask(None, &[7000, 7003])).unwrap()).collect();
        let ports: Vec<u32> = given.iter().map(Reservation::port).collect();
        assert_eq!(ports, [7001, 7002, 7004, 7005, 7006, 7007, 7008, 7009, 7010, 7011]);
        assert_eq!(given.first().unwrap().minor(), 1001);
    }

    #[test]
    fn what_is_given_up_is_free_again_and_what_is_kept_is_not() {
        let all = Arc::new(Reservations::default());
        drop(all.reserve(&ask(None, &[])).unwrap());
        let mut first = all.reserve(&ask(None, &[])).unwrap();
        assert_eq!(first.port(), 7000);
        first.keep();
        drop(first);
        assert_eq!(all.reserve(&ask(None, &[])).unwrap().port(), 7001);
        assert_eq!(all.reserve(&ask(Some(7000), &[])).unwrap_err(), NotGiven::Port);
    }
}
