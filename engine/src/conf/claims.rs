// SPDX-License-Identifier: MPL-2.0
//! What a configuration takes on one host: minors, ports, devices.

use super::{Configuration, HostConf, HostKind, Origin, ResourceConf};
use std::collections::BTreeMap;

/// What one resource claims on a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Name of the resource.
    pub resource: String,
    /// Where that stands; `None` for a resource that the kernel runs.
    pub origin: Option<Origin>,
    /// Minors.
    pub minors: Vec<u32>,
    /// TCP ports of this host.
    pub ports: Vec<u16>,
    /// Backing disks.
    pub disks: Vec<String>,
    /// Devices with the metadata of its volumes.
    pub metadata: Vec<String>,
    /// Volumes with their minor and backing disk, as far as the file says them.
    pub volumes: BTreeMap<u16, (Option<u32>, Option<String>)>,
}

impl Claim {
    /// Where it stands, in words.
    pub fn place(&self) -> String {
        self.origin.as_ref().map_or_else(|| "running in the kernel".to_owned(), ToString::to_string)
    }
}

/// The claims of every resource on a node.
///
/// Which host has a floating address is known to that host's network only, so floating hosts claim everywhere.
pub fn claims(configuration: &Configuration, node: &str) -> Vec<Claim> {
    claims_of(&configuration.resources, node)
}

/// The claims of these resources on a node.
pub fn claims_of(resources: &[ResourceConf], node: &str) -> Vec<Claim> {
    resources.iter().map(|resource| claim(resource, node)).collect()
}

fn claim(resource: &ResourceConf, node: &str) -> Claim {
    let mut claim = Claim {
        resource: resource.name.clone(),
        origin: Some(resource.origin.clone()),
        minors: Vec::new(),
        ports: Vec::new(),
        disks: Vec::new(),
        metadata: Vec::new(),
        volumes: BTreeMap::new(),
    };
    let here =
        |host: &&HostConf| host.kind == HostKind::Floating || host.names.iter().any(|name| name == node);
    for host in resource.hosts.iter().filter(here) {
        claim.ports.extend(resource.endpoints(host).map(|end| end.port));
        let proxies = resource.connections.iter().flat_map(|connection| &connection.paths).flatten();
        let proxies = proxies.filter_map(|end| end.proxy.as_ref());
        let proxies = proxies.filter(|proxy| proxy.hosts.iter().any(|name| name == node));
        claim.ports.extend(proxies.flat_map(|p| [&p.inside, &p.outside]).flatten().map(|end| end.port));
        for (number, volume) in &host.volumes {
            let backing = volume.backing().map(str::to_owned);
            claim.minors.extend(volume.minor);
            claim.disks.extend(backing.clone());
            claim.metadata.extend(volume.external_metadata().map(str::to_owned));
            claim.volumes.insert(*number, (volume.minor, backing));
        }
    }
    claim.ports.sort_unstable();
    claim.ports.dedup();
    claim
}
