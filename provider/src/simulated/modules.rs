// SPDX-License-Identifier: MPL-2.0
//! What each module does to the simulated hosts.

use drbd_schemas::args::{self, Args, Condition, InitialSyncArgs, PoolState, ResourceArgs, State};
use drbd_schemas::facts::HostFacts;
use drbd_schemas::reply::{Code, Reply};
use drbd_schemas::{NodeName, Resource, Storage, StoragePoolArgs, Volume, VolumeNumber, WaitArgs};
use serde_json::Value;

use super::{SimulatedHost, SimulatedResource, World, refusal};
use crate::host::Request;

type Refused = (Code, String);

/// What LVM and the metadata add to a declared size here.
const ROUNDING: u64 = 4 << 20;

impl World {
    /// The reply of a module; the world is changed as the module would change it.
    pub(super) fn module(&mut self, address: &str, request: &Request) -> Reply {
        let node = self.hosts.get(address).map(|host| host.node.clone()).unwrap_or_default();
        let before = self.clone();
        let done = args::parse(request.module, Value::Object(request.arguments.clone()))
            .map_err(|invalid| (Code::Invalid, invalid.to_string()))
            .and_then(|args| self.act(address, &args));
        match done {
            Err((code, msg)) => refusal(request, &node, code, &msg),
            Ok(()) => Reply {
                failed: false,
                code: Code::Ok,
                changed: *self != before,
                facts: matches!(request.module, args::Module::DrbdInfo)
                    .then(|| self.facts(address))
                    .flatten(),
                ..refusal(request, &node, Code::Ok, "done")
            },
        }
    }

    fn act(&mut self, address: &str, args: &Args) -> Result<(), Refused> {
        match args {
            // The network between simulated hosts is open.
            Args::Info(_) | Args::Ports(_) => Ok(()),
            Args::Resource(args) => self.resource(address, args),
            Args::Wait(args) => self.wait(address, args),
            Args::InitialSync(args) => self.initial_sync(address, args),
            Args::StoragePool(args) => self.pool(address, args),
            // The provider leaves roles and comparisons to whoever runs the service.
            Args::Role(_) | Args::Verify(_) => {
                Err((Code::Unsupported, "the simulated hosts have no users of their devices".to_owned()))
            }
        }
    }

    fn host(&mut self, address: &str) -> Result<&mut SimulatedHost, Refused> {
        self.hosts.get_mut(address).ok_or_else(|| (Code::Bug, "no such host".to_owned()))
    }

    fn resource(&mut self, address: &str, args: &ResourceArgs) -> Result<(), Refused> {
        let name = args.name.as_str();
        let host = self.host(address)?;
        match (args.run.state, &args.resource) {
            (State::Present, Some(resource)) => {
                let declared = resource.clone();
                present(host, &declared)?;
                self.grow(address, &declared, &args.run.evidence)?;
                self.resync(name);
                Ok(())
            }
            (State::Absent, _) => {
                absent(host, name, args.run.consent.iter().any(|c| *c == format!("destroy:{name}")))
            }
            (state, _) => Err((Code::Invalid, format!("{state:?} is not simulated"))),
        }
    }

    /// DRBD grows when the evidence shows that every backing device has.
    fn grow(&mut self, address: &str, declared: &Resource, evidence: &[Value]) -> Result<(), Refused> {
        let Some(wanted) = size(declared) else { return Ok(()) };
        let facts: Vec<HostFacts> =
            evidence.iter().filter_map(|e| serde_json::from_value(e.clone()).ok()).collect();
        let grown = |node: &NodeName| {
            let host = facts.iter().find(|facts| facts.node == node.as_str());
            let volume =
                host.and_then(|f| f.resources.get(declared.name().as_str())).and_then(|r| r.volumes.get("0"));
            volume
                .and_then(|v| v.backing.as_ref())
                .and_then(|b| b.size_bytes)
                .is_some_and(|bytes| bytes >= wanted)
        };
        let all = declared.nodes.keys().all(grown);
        let own = self.host(address)?.resources.get(declared.name().as_str()).map(|r| r.size);
        if all && own.is_some_and(|own| own < wanted) {
            for host in self.hosts.values_mut() {
                if let Some(resource) = host.resources.get_mut(declared.name().as_str()) {
                    resource.size = resource.size.max(wanted);
                }
            }
        }
        Ok(())
    }

    /// A new or stale replica gets its data from a connected one that has them.
    fn resync(&mut self, name: &str) {
        let source =
            self.hosts.values().any(|host| host.resources.get(name).is_some_and(|r| r.up && r.up_to_date));
        if source && !self.slow_sync {
            for host in self.hosts.values_mut() {
                if let Some(resource) = host.resources.get_mut(name).filter(|r| r.up && r.backing.is_some()) {
                    resource.up_to_date = true;
                    resource.just_created = false;
                }
            }
        }
    }

    fn wait(&mut self, address: &str, args: &WaitArgs) -> Result<(), Refused> {
        let name = args.name.as_str();
        let facts = self.facts(address).ok_or_else(|| (Code::Bug, "no such host".to_owned()))?;
        let resource = facts.resources.get(name).and_then(|r| Some((r, r.running.as_ref()?)));
        let (resource, running) = resource.ok_or_else(|| (Code::Missing, format!("{name} is not up")))?;
        let connected = running.connections.values().all(|c| c.connection == "Connected");
        let own = resource.volumes.values().all(|v| v.disk.as_deref() == Some("UpToDate"));
        let peers =
            || running.connections.values().flat_map(|c| c.volumes.values()).all(|v| v.disk == "UpToDate");
        let met = match args.condition {
            Condition::Connected => connected,
            Condition::UpToDate => own,
            Condition::AllUpToDate => connected && own && peers(),
        };
        if met { Ok(()) } else { Err((Code::TimedOut, format!("{name} is not {:?} yet", args.condition))) }
    }

    fn initial_sync(&mut self, address: &str, args: &InitialSyncArgs) -> Result<(), Refused> {
        let resource = &args.resource;
        let name = resource.name().as_str();
        if self.hosts.values().any(|host| host.resources.get(name).is_some_and(|r| r.up_to_date)) {
            return Ok(());
        }
        let actor =
            resource.nodes.iter().min_by_key(|(_, node)| node.node_id).map(|(name, _)| name.to_string());
        let node = self.host(address)?.node.clone();
        if actor.as_deref() != Some(node.as_str()) {
            return Ok(());
        }
        let mut proven = true;
        for peer in resource.nodes.keys() {
            let facts =
                args.run.evidence.iter().filter_map(|e| serde_json::from_value::<HostFacts>(e.clone()).ok());
            let found = facts.into_iter().find(|facts| facts.node == peer.as_str());
            let backing = found.and_then(|f| f.resources.get(name)?.volumes.get("0")?.backing.clone());
            let backing = backing.filter(|b| b.just_created == Some(true));
            let backing =
                backing.ok_or_else(|| (Code::Evidence, format!("no evidence that {peer} was never used")))?;
            proven &= backing.blank_proof.is_some();
        }
        for host in self.hosts.values_mut() {
            let here = host.node == node;
            if let Some(resource) = host.resources.get_mut(name) {
                resource.up_to_date = here || proven;
                resource.just_created = false;
            }
        }
        self.resync(name);
        Ok(())
    }

    fn pool(&mut self, address: &str, args: &StoragePoolArgs) -> Result<(), Refused> {
        let host = self.host(address)?;
        let name = args.volume_group.as_str();
        match args.state {
            PoolState::Present => {
                let group = host.volume_groups.entry(name.to_owned()).or_default();
                group.extend(args.thin_pool.iter().map(ToString::to_string));
            }
            PoolState::Absent => {
                let inside = |r: &&SimulatedResource| {
                    r.backing.is_some() && r.path.starts_with(&format!("/dev/{name}/"))
                };
                if let Some(resource) = host.resources.values().find(inside) {
                    return Err((Code::InUse, format!("the volume {} is left in {name}", resource.path)));
                }
                host.volume_groups.remove(name);
            }
        }
        Ok(())
    }
}

fn size(declared: &Resource) -> Option<u64> {
    declared.volumes.get(&VolumeNumber::ZERO).and_then(|volume: &Volume| volume.size).map(|size| size.bytes())
}

fn present(host: &mut SimulatedHost, declared: &Resource) -> Result<(), Refused> {
    let here = declared.nodes.iter().find(|(name, _)| name.as_str() == host.node);
    let (name, node) = here.ok_or_else(|| (Code::WrongHost, format!("{} is not a node of it", host.node)))?;
    let (group, thin) = match &node.storage {
        Storage::LvmThin { volume_group, thin_pool } => (Some(volume_group), Some(thin_pool)),
        Storage::Lvm { volume_group } => (Some(volume_group), None),
        Storage::Devices(_) | Storage::Diskless {} => (None, None),
    };
    if let Some(group) = group {
        let pools = host.volume_groups.get(group.as_str());
        let pools = pools.ok_or_else(|| (Code::Missing, format!("there is no volume group {group}")))?;
        if let Some(thin) = thin.filter(|thin| !pools.contains(thin.as_str())) {
            return Err((Code::Missing, format!("there is no thin pool {group}/{thin}")));
        }
    }
    let wanted = size(declared).map_or(1 << 30, |bytes| bytes + ROUNDING);
    let resource = host.resources.entry(declared.name().to_string()).or_default();
    match resource.backing {
        None => {
            resource.backing = Some(wanted);
            resource.thin = thin.is_some();
            resource.just_created = true;
            resource.up_to_date = false;
            resource.size = wanted - ROUNDING;
        }
        Some(found) if found > wanted => return Err((Code::Shrink, format!("{found} bytes are there"))),
        Some(_) => resource.backing = Some(wanted),
    }
    resource.path = declared.backing_path(name, VolumeNumber::ZERO).unwrap_or_default();
    resource.declaration = serde_json::to_value(&**declared).ok();
    resource.file = true;
    resource.up = true;
    Ok(())
}

fn absent(host: &mut SimulatedHost, name: &str, destroy: bool) -> Result<(), Refused> {
    let node = host.node.clone();
    let Some(resource) = host.resources.get_mut(name) else { return Ok(()) };
    if resource.primary {
        return Err((Code::InUse, format!("{name} is Primary on {node}")));
    }
    (resource.up, resource.file) = (false, false);
    if destroy {
        host.resources.remove(name);
    }
    Ok(())
}
