// SPDX-License-Identifier: MPL-2.0
//! Files of `/proc`: `/proc/drbd` (which module is loaded; progress of a resync on DRBD 8.4), `/proc/self/mountinfo`
//! and `/proc/swaps` (what is in use), `/proc/net/tcp` (which ports are taken), `/proc/net/fib_trie` and `if_inet6`
//! (which addresses the host has), `/proc/crypto` (which digests the kernel has). They are read, not run, so these
//! parsers take text. Not here: `/sys`.

mod addresses;
mod crypto;
mod drbd;
mod mounts;
mod sockets;

pub use addresses::{OwnAddresses, parse_own_addresses};
pub use crypto::{Digest, parse_digests};
pub use drbd::{ProcDevice, ProcDrbd, ProcResync, parse_drbd};
pub use mounts::{Mount, parse_mountinfo, parse_swaps};
pub use sockets::parse_listening;
