// SPDX-License-Identifier: MPL-2.0
//! Compares a host with everything that is declared for it, in one look: a play over many resources that finds nothing to do
//! asks each host once.
//!
//! The planner that a run asks judges here, too, from the facts that were read in bulk. They are enough to say that a
//! resource is as declared; where that cannot be said from them, the resource counts as not as declared, and
//! `drbd_resource` looks at it by itself.

use super::{About, Reading, about};
use crate::conf::OnHost;
use crate::health;
use crate::host::Host;
use crate::observe;
use crate::observed::{Content, Device, DryRun, Needs, Observed};
use crate::plan::{self, Permits};
use crate::pool;
use crate::res_file;
use crate::run::RunError;
use crate::tools::drbdsetup::{DiskState, ResourceStatus};
use crate::tools::lvm::LvmReport;
use drbd_schemas::args::Given;
use drbd_schemas::facts::HostFacts;
use drbd_schemas::reply::{Declared, DeclaredPool, DeclaredResource};
use drbd_schemas::{Resource, Storage};
use std::collections::{BTreeMap, BTreeSet};

/// What the resources of this host claim: by what is claimed, by whom.
#[derive(Default)]
struct Claimed<'a> {
    minors: BTreeMap<u32, BTreeSet<&'a str>>,
    ports: BTreeMap<u16, BTreeSet<&'a str>>,
}

/// Compares a host with what is declared for it.
pub(super) fn compare(host: &impl Host, reading: &Reading, given: &Given) -> Result<Declared, RunError> {
    let mut declared = Declared::default();
    let claimed = Claimed::of(reading);
    let unknown_steps = reading.pending.iter().any(|step| matches!(about(&step.command), About::Nobody));
    for (name, resource) in &given.resources {
        if !resource.nodes.contains_key(reading.node.as_str()) {
            continue;
        }
        let why = match &reading.config_error {
            Some(error) => Some(format!("the configuration cannot be read: {error}")),
            None if unknown_steps => Some("adjust has something to do that is not known".to_owned()),
            None => reading.difference(host, resource, &claimed)?,
        };
        let bad = reading.not_good(resource);
        let compared = DeclaredResource { as_declared: why.is_none(), good: bad.is_none(), why: why.or(bad) };
        declared.resources.insert(name.to_string(), compared);
    }
    for (name, wanted) in &given.storage_pools {
        let why = pool::difference(host, wanted, &reading.lvm, &reading.filter)?;
        declared.storage_pools.insert(name.clone(), DeclaredPool { as_declared: why.is_none(), why });
    }
    let here = |name: &String| reading.text_of(name).is_some() || reading.status_of(name).is_some();
    declared.absent = given.absent.iter().map(ToString::to_string).filter(here).collect();
    declared.undeclared = reading.undeclared(given);
    Ok(declared)
}

impl<'a> Claimed<'a> {
    fn of(reading: &'a Reading) -> Self {
        let mut claimed = Self::default();
        for claim in &reading.claims {
            for minor in &claim.minors {
                claimed.minors.entry(*minor).or_default().insert(claim.resource.as_str());
            }
            for port in &claim.ports {
                claimed.ports.entry(*port).or_default().insert(claim.resource.as_str());
            }
        }
        for status in &reading.statuses {
            for device in &status.devices {
                claimed.minors.entry(device.minor).or_default().insert(status.name.as_str());
            }
        }
        for running in &reading.running {
            for port in observe::ports_of_running(running) {
                claimed.ports.entry(port).or_default().insert(running.name.as_str());
            }
        }
        claimed
    }

    /// Somebody else claims a minor or port of this resource.
    fn clash(&self, name: &str) -> bool {
        let shared = |claimants: &BTreeSet<&str>| claimants.contains(name) && claimants.len() > 1;
        self.minors.values().any(shared) || self.ports.values().any(shared)
    }
}

impl Reading {
    fn text_of(&self, name: &str) -> Option<&str> {
        self.files.text(&res_file::path(name))
    }

    fn status_of(&self, name: &str) -> Option<&ResourceStatus> {
        self.statuses.iter().find(|status| status.name == name)
    }

    /// The first thing in which a resource is not as declared; none where it is.
    fn difference(
        &self,
        host: &impl Host,
        declared: &Resource,
        claimed: &Claimed<'_>,
    ) -> Result<Option<String>, RunError> {
        let resource = &observe::as_known_here(host, declared)?;
        let name = resource.name().as_str();
        let says = |text: &str| Ok(Some(text.to_owned()));
        let (Some(family), Some(text)) = (self.family, self.text_of(name)) else {
            return says("it has no configuration file here");
        };
        if text != res_file::render(resource, family, res_file::Secrets::Written) {
            return says("its configuration file is not what is declared");
        }
        let Some(status) = self.status_of(name) else { return says("it is not up") };
        if let Some(step) = self.pending_of(name, Some(status)).first() {
            return Ok(Some(format!("the kernel does not run what its file says: {}", step.text)));
        }
        if claimed.clash(name) {
            return says("something else on this host claims its minor or port");
        }
        let Some(observed) = self.observed(host, resource, status)? else {
            return says("its backing device is not attached");
        };
        if observed.record.promoted_for_sync || status.stands_alone() {
            return says("a run was cut, or a connection was given up");
        }
        Ok(match plan::present(resource, &observed, &Permits::default()) {
            Err(refusal) => Some(refusal.message),
            Ok(plan) => {
                let steps = plan.steps.iter().map(|planned| planned.step.to_string());
                steps.chain(plan.pending.iter().map(|pending| pending.what.clone())).next()
            }
        })
    }

    /// What an observation of this resource alone would have found; none where its devices need a look of their own.
    fn observed(
        &self,
        host: &impl Host,
        resource: &Resource,
        status: &ResourceStatus,
    ) -> Result<Option<Observed>, RunError> {
        let name = resource.name().as_str();
        let Some((node, declared)) = resource.nodes.get_key_value(self.node.as_str()) else {
            return Ok(None);
        };
        let mut devices = BTreeMap::new();
        for number in resource.volumes.keys() {
            let Some(path) = resource.backing_path(node, *number) else { continue };
            let block = host.block_device(&path)?;
            // The file is the declaration, and the kernel runs what the file says: under this very name.
            if block.is_none() || self.attached(name, *number).as_ref() != Some(&path) {
                return Ok(None);
            }
            devices.insert(*number, Device { path, block, content: Content::AttachedHere, in_use: None });
        }
        let lvm = match declared.storage {
            Storage::Lvm { .. } | Storage::LvmThin { .. } => self.lvm_of(resource),
            Storage::Devices(_) | Storage::Diskless {} => LvmReport::default(),
        };
        Ok(Some(Observed {
            node: self.node.clone(),
            drbd: self.drbd.clone(),
            record: self.records.get(name).cloned().unwrap_or_default(),
            config: self.text_of(name).map(str::to_owned),
            // Whether others claim what is its own was asked for all resources together.
            conf: OnHost { own: self.conf.resource(name).cloned(), ..OnHost::default() },
            claims: Vec::new(),
            listening: Vec::new(),
            needs: Needs::default(),
            status: Some(status.clone()),
            running: self.running.iter().find(|running| running.name == name).cloned(),
            devices,
            lvm,
            lvm_filter: self.filter.clone(),
            dry_run: DryRun::Steps(Vec::new()),
        }))
    }

    /// LVM's report without the volumes of other resources.
    fn lvm_of(&self, resource: &Resource) -> LvmReport {
        let own: Vec<String> = resource.volumes.keys().map(|number| resource.lv_name(*number)).collect();
        let lvs = self.lvm.lvs.iter().filter(|lv| lv.attr.is_thin_pool() || own.contains(&lv.name));
        LvmReport {
            vgs: self.lvm.vgs.clone(),
            pvs: self.lvm.pvs.clone(),
            lvs: lvs.cloned().collect(),
            autoextend: self.lvm.autoextend,
        }
    }

    /// Why a resource has no good data here, or not all of its peers; none where it has.
    fn not_good(&self, resource: &Resource) -> Option<String> {
        let Some(status) = self.status_of(resource.name().as_str()) else {
            return Some("it is not up".to_owned());
        };
        let node = resource.nodes.get(self.node.as_str())?;
        for number in resource.volumes.keys() {
            let device = status.devices.iter().find(|device| device.volume == number.get());
            let Some(device) = device else { return Some(format!("volume {number} is not up")) };
            // Without a disk is good only where none is declared.
            let good = match node.storage {
                Storage::Diskless {} => device.disk_state == DiskState::Diskless,
                Storage::Lvm { .. } | Storage::LvmThin { .. } | Storage::Devices(_) => {
                    device.disk_state == DiskState::UpToDate
                }
            };
            if !good {
                return Some(format!("volume {number} is {} here", device.disk_state));
            }
        }
        if let Some(ailment) = health::of(status, None).first() {
            return Some(ailment.to_string());
        }
        let all = resource.nodes.len() == status.connections.len() + 1;
        (!all).then(|| format!("it has {} connections", status.connections.len()))
    }

    /// Resources of ours that no declaration gives to this host.
    fn undeclared(&self, given: &Given) -> Vec<String> {
        let declared = |name: &str| {
            let here = |resource: &Resource| resource.nodes.contains_key(self.node.as_str());
            given.absent.contains(name) || given.resources.get(name).is_some_and(here)
        };
        let names = self.names().into_iter().filter(|name| !declared(name));
        names.filter(|name| self.text_of(name).is_some_and(res_file::is_ours)).collect()
    }
}

/// One sentence for a person.
pub(super) fn summary(node: &str, declared: &Declared) -> String {
    let as_declared = declared.resources.values().filter(|one| one.as_declared).count();
    format!("{node}: {as_declared} of {} declared resources are as declared.", declared.resources.len())
}

/// What is here and no longer declared, with what to do about it.
pub(super) fn warnings(given: &Given, declared: &Declared, facts: &HostFacts) -> Vec<String> {
    let node = &facts.node;
    let warn = |name: &String| {
        let why = match given.resources.contains_key(name.as_str()) {
            true => format!("its declaration does not name {node}"),
            false => "nothing declares it".to_owned(),
        };
        let renamed = given.resources.values().find(|new| is_renamed(new, declared, facts, name));
        let rename = renamed.map_or_else(String::new, |new| {
            format!(
                " If that is what is called {} now: a resource cannot be renamed while it runs; \"Another name\" in docs/taking-over.md says how.",
                new.name()
            )
        });
        format!(
            "{node} has the resource {name}, and {why}. It goes on as it is. To take it away: drbd_resource, name {name}, state absent, on every host that has it; its data stay.{rename}"
        )
    };
    declared.undeclared.iter().map(warn).collect()
}

/// A declared resource that is not here yet, and wants a minor of one that is.
fn is_renamed(new: &Resource, declared: &Declared, facts: &HostFacts, name: &str) -> bool {
    let missing = declared.resources.contains_key(new.name().as_str())
        && facts.resources.get(new.name().as_str()).is_none_or(|found| found.config.is_none());
    let volumes = facts.resources.get(name).into_iter().flat_map(|found| found.volumes.values());
    let minors: BTreeSet<u32> = volumes.filter_map(|volume| volume.minor).collect();
    missing && new.volumes.values().any(|volume| minors.contains(&volume.minor.get()))
}
