// SPDX-License-Identifier: MPL-2.0
//! What a declaration needs of this host's kernel and network. Only what it names is asked for, and nothing is loaded.

use super::ObserveError;
use crate::host::Host;
use crate::observed::{DigestFound, Needs};
use crate::tools::{modinfo, proc};
use drbd_schemas::options::{self, Kind, Section};
use drbd_schemas::{NodeName, Resource};
use std::collections::BTreeSet;

/// Looks at it.
pub(crate) fn of(host: &impl Host, declared: &Resource, node: &NodeName) -> Result<Needs, ObserveError> {
    let file = |path: &str| Ok::<String, ObserveError>(host.read(path)?.unwrap_or_default());
    let mut needs = Needs {
        addresses: proc::parse_own_addresses(&file("/proc/net/fib_trie")?, &file("/proc/net/if_inet6")?),
        ..Needs::default()
    };
    // Without it nothing can be said of modules that are not loaded.
    let asks_modules = host.program(modinfo::PROGRAM).is_some();
    for transport in declared.net_values(node, "transport") {
        let module = format!("/sys/module/drbd_transport_{}", transport.replace('-', "_"));
        let there = host.is_directory(&module)?
            || !asks_modules
            || modinfo::parse_version(&host.run(&modinfo::transport_version(transport))?)?.is_some();
        needs.transports.insert(transport.to_owned(), there);
    }
    let algorithms =
        options::section_options(Section::Net).filter(|option| matches!(option.kind, Kind::Algorithm));
    let named: BTreeSet<&str> =
        algorithms.flat_map(|option| declared.net_values(node, option.name)).collect();
    if named.is_empty() {
        return Ok(needs);
    }
    let ready = proc::parse_digests(&file("/proc/crypto")?);
    for name in named {
        let found = match ready.get(name) {
            Some(digest) => DigestFound::Ready(*digest),
            // A kernel without the file hides what it has.
            None if ready.is_empty() || !asks_modules => DigestFound::Loadable,
            None => match modinfo::parse_version(&host.run(&modinfo::digest_version(name))?)? {
                Some(_) => DigestFound::Loadable,
                None => DigestFound::Missing,
            },
        };
        needs.digests.insert(name.to_owned(), found);
    }
    Ok(needs)
}
