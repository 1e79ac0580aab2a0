// SPDX-License-Identifier: MPL-2.0
//! The facts of a simulated host. The configuration's text is what the engine renders.

use std::collections::{BTreeMap, BTreeSet};

use drbd_engine::res_file::{self, Secrets};
use drbd_schemas::facts::{
    self, BackingFacts, ConfigFacts, ConnectionFacts, DrbdFacts, HostFacts, PeerVolumeFacts, ResourceFacts,
    RunningFacts, ThinPoolFacts, VolumeFacts, VolumeGroupFacts,
};
use drbd_schemas::{Declaration, Family, Resource, Verdict, VolumeNumber};
use serde::Deserialize as _;

use super::{SimulatedHost, SimulatedResource, World};

impl World {
    /// What `drbd_info` would say on this host.
    pub(super) fn facts(&self, address: &str) -> Option<HostFacts> {
        let host = self.hosts.get(address)?;
        let family = host.drbd.as_deref().and_then(Family::of_version).unwrap_or(Family::V9);
        let resources =
            host.resources.iter().map(|(name, r)| (name.clone(), self.resource_facts(host, name, r, family)));
        let declared: Vec<Resource> =
            host.resources.values().filter(|r| r.file).filter_map(declared).collect();
        let minors = declared.iter().flat_map(|r| r.volumes.values()).map(|volume| volume.minor.get());
        let ports = declared.iter().filter_map(|r| r.port).map(|port| port.get());
        Some(HostFacts {
            schema: facts::SCHEMA.to_owned(),
            node: host.node.clone(),
            kernel: "6.1.0-simulated".to_owned(),
            drbd: DrbdFacts { module: host.drbd.clone(), loadable: None, utils: Some("9.22.0".to_owned()) },
            config_error: None,
            resources: resources.collect(),
            common: None,
            volume_groups: host
                .volume_groups
                .iter()
                .map(|(name, pools)| (name.clone(), group(pools)))
                .collect(),
            ports_in_use: ports.collect::<BTreeSet<_>>().into_iter().collect(),
            minors_in_use: minors.collect::<BTreeSet<_>>().into_iter().collect(),
            drbd_host: "simulated".to_owned(),
        })
    }

    fn resource_facts(
        &self,
        host: &SimulatedHost,
        name: &str,
        found: &SimulatedResource,
        family: Family,
    ) -> ResourceFacts {
        let declared = declared(found);
        let config = declared.as_ref().filter(|_| found.file).map(|declared| ConfigFacts {
            path: res_file::path(name),
            ours: true,
            text: res_file::render(declared, family, Secrets::Masked),
        });
        let running = declared.as_ref().filter(|_| found.up).map(|declared| RunningFacts {
            role: if found.primary { "Primary" } else { "Secondary" }.to_owned(),
            connections: declared
                .nodes
                .keys()
                .filter(|peer| peer.as_str() != host.node)
                .map(|peer| (peer.to_string(), self.connection(&host.node, peer.as_str(), name)))
                .collect(),
            ..RunningFacts::default()
        });
        let minor = declared
            .as_ref()
            .and_then(|d| d.volumes.get(&VolumeNumber::ZERO))
            .map(|volume| volume.minor.get());
        let volume = VolumeFacts {
            minor,
            disk: found.up.then(|| disk(found)),
            size_bytes: found.up.then_some(found.size),
            backing: found.backing.map(|bytes| backing(found, bytes)),
            ..VolumeFacts::default()
        };
        let volumes = BTreeMap::from([("0".to_owned(), volume)]);
        ResourceFacts {
            config,
            running,
            volumes,
            health: Vec::new(),
            options: Vec::new(),
            pending: Vec::new(),
        }
    }

    fn connection(&self, here: &str, peer: &str, name: &str) -> ConnectionFacts {
        let cut = [(here, peer), (peer, here)]
            .iter()
            .any(|(a, b)| self.cut.contains(&((*a).to_owned(), (*b).to_owned())));
        let other =
            self.hosts.values().find(|host| host.node == peer).and_then(|host| host.resources.get(name));
        match other.filter(|other| other.up && !cut) {
            None => ConnectionFacts { connection: "Connecting".to_owned(), ..ConnectionFacts::default() },
            Some(other) => {
                let volume = PeerVolumeFacts { disk: disk(other), ..PeerVolumeFacts::default() };
                ConnectionFacts {
                    connection: "Connected".to_owned(),
                    role: "Secondary".to_owned(),
                    volumes: BTreeMap::from([("0".to_owned(), volume)]),
                }
            }
        }
    }
}

fn declared(found: &SimulatedResource) -> Option<Resource> {
    let declaration = Declaration::deserialize(found.declaration.as_ref()?).ok()?;
    Resource::try_from(declaration).ok()
}

fn disk(found: &SimulatedResource) -> String {
    let state = match (found.backing, found.up_to_date) {
        (None, _) => "Diskless",
        (Some(_), true) => "UpToDate",
        (Some(_), false) => "Inconsistent",
    };
    state.to_owned()
}

fn backing(found: &SimulatedResource, bytes: u64) -> BackingFacts {
    let blank = found.thin && found.just_created;
    BackingFacts {
        path: found.path.clone(),
        identity: Some(format!("lv:{}", found.path)),
        size_bytes: Some(bytes),
        verdict: Verdict::Ours,
        just_created: Some(found.just_created),
        blank_proof: blank.then(|| "created empty in a thin pool".to_owned()),
    }
}

fn group(pools: &BTreeSet<String>) -> VolumeGroupFacts {
    let pool = ThinPoolFacts {
        size_bytes: 1 << 40,
        data_percent: Some(0.0),
        zeroing: true,
        ..ThinPoolFacts::default()
    };
    VolumeGroupFacts {
        uuid: "simulated".to_owned(),
        size_bytes: 1 << 40,
        free_bytes: 1 << 40,
        disks: Vec::new(),
        missing_disks: Vec::new(),
        thin_pools: pools.iter().map(|name| (name.clone(), pool.clone())).collect(),
    }
}
