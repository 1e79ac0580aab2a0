// SPDX-License-Identifier: MPL-2.0
//! `drbd_info`: the facts of a host. Reads only, and in bulk: a host with a hundred running volumes costs the same
//! handful of commands as one with none.

mod declared;

use crate::conf::{self, Claim, Configuration, Files};
use crate::content;
use crate::facts::{self, Backing, Sources};
use crate::host::Host;
use crate::observe;
use crate::observed::{Content, Device};
use crate::record::{self, Record};
use crate::res_file;
use crate::run::{Mode, RunError, blank_reply};
use crate::thin;
use crate::tools::drbdadm::{self, AdjustCommand, AdjustStep, PeerRef};
use crate::tools::drbdmeta;
use crate::tools::drbdsetup::{DiskState, ResourceStatus, RunningDisk, RunningResource};
use crate::tools::lvm::{Filter, LvmReport, PhysicalVolume};
use crate::tools::{Family, mask_secrets, proc};
use drbd_schemas::VolumeNumber;
use drbd_schemas::args::{InfoArgs, Module};
use drbd_schemas::facts::{self as words, HostFacts, ResourceFacts};
use drbd_schemas::reply::{Declared, Reply};
use std::collections::{BTreeMap, BTreeSet};

/// Runs `drbd_info`.
pub fn info(host: &impl Host, args: &InfoArgs, mode: Mode) -> Reply {
    let reply = blank_reply(host, Module::DrbdInfo, mode);
    match compared(host, args) {
        Ok((facts, declared, mut warnings)) => {
            let msg = match &declared {
                None => format!("{}: {} resources.", facts.node, facts.resources.len()),
                Some(declared) => declared::summary(&facts.node, declared),
            };
            if let (Some(given), Some(found)) = (&args.declared, &declared) {
                warnings.extend(declared::warnings(given, found, &facts));
            }
            Reply { msg, warnings, declared, facts: Some(facts), ..reply }
        }
        Err(error) => error.into_reply(reply),
    }
}

/// The facts, how they compare with what was given, and what to know of LVM.
fn compared(
    host: &impl Host,
    args: &InfoArgs,
) -> Result<(HostFacts, Option<Declared>, Vec<String>), RunError> {
    let names: Vec<&str> = args.names.iter().map(drbd_schemas::ResourceName::as_str).collect();
    let reading = Reading::take(host)?;
    let declared =
        args.declared.as_ref().map(|given| declared::compare(host, &reading, given)).transpose()?;
    let warnings = lvm_warnings(&reading.lvm);
    Ok((reading.facts(host, &names)?, declared, warnings))
}

/// Everything that was read, before it is arranged by resource.
struct Reading {
    node: String,
    drbd: words::DrbdFacts,
    family: Option<Family>,
    statuses: Vec<ResourceStatus>,
    running: Vec<RunningResource>,
    files: Files,
    conf: Configuration,
    claims: Vec<Claim>,
    records: BTreeMap<String, Record>,
    pending: Vec<AdjustStep>,
    config_error: Option<String>,
    filter: Filter,
    lvm: LvmReport,
}

/// Groups that miss a disk, and pools near their limits.
fn lvm_warnings(lvm: &LvmReport) -> Vec<String> {
    let partial = lvm.vgs.iter().filter(|vg| vg.partial).map(|vg| {
        let missing: Vec<String> = lvm.missing(&vg.name).map(PhysicalVolume::told).collect();
        format!("volume group {} misses a physical volume: {}", vg.name, missing.join(", "))
    });
    let pools = lvm.lvs.iter().filter(|lv| lv.attr.is_thin_pool());
    partial.chain(pools.flat_map(|pool| thin::warnings(lvm, pool))).collect()
}

fn records(host: &impl Host) -> Result<BTreeMap<String, Record>, RunError> {
    let mut records = BTreeMap::new();
    for file in host.list(record::DIR)? {
        if let Some(name) = file.strip_suffix(".json").filter(|name| !name.starts_with('.')) {
            records.insert(name.to_owned(), observe::record(host, name)?);
        }
    }
    Ok(records)
}

/// What `adjust` would do for all resources, in one command; or why the configuration cannot be read.
fn pending(
    host: &impl Host,
    drbd: &words::DrbdFacts,
    any_file: bool,
) -> Result<(Vec<AdjustStep>, Option<String>), RunError> {
    if drbd.utils.is_none() || drbd.family().is_none() || !any_file {
        return Ok((Vec::new(), None));
    }
    // Without a loaded module everything would be pending, and asking would load it: only the files are tested.
    let question = match drbd.module {
        Some(_) => drbdadm::adjust_dry_run("all"),
        None => drbdadm::test_config("/etc/drbd.conf"),
    };
    let output = host.run(&observe::for_family(question, drbd))?;
    if output.ok() {
        let steps = drbdadm::parse_adjust_dry_run(&output).map_err(observe::ObserveError::from)?;
        return Ok((steps, None));
    }
    let failure = drbdadm::classify(&output).map(|failure| mask_secrets(&failure.to_string()));
    Ok((Vec::new(), failure))
}

impl Reading {
    fn take(host: &impl Host) -> Result<Self, RunError> {
        let mut drbd = observe::drbd(host)?;
        let statuses = observe::statuses(host, &drbd)?;
        let running = if statuses.is_empty() { Vec::new() } else { observe::show(host)? };
        let node = host.node_name()?;
        let files = observe::files(host)?;
        let conf = conf::read(&files);
        let claims = conf::claims(&conf, &node);
        let any_file = files.sources.iter().any(|source| source.path.ends_with(".res"));
        let (pending, config_error) = pending(host, &drbd, any_file || !conf.resources.is_empty())?;
        let filter = observe::lvm_filter(host)?;
        let lvm = observe::lvm_report(host, &filter)?;
        if drbd.utils.is_some() {
            let output = host.run(&drbdadm::versions())?;
            drbd.utils = Some(drbdadm::parse_versions(&output).map_err(observe::ObserveError::from)?.utils);
        }
        let records = records(host)?;
        let family = drbd.family();
        Ok(Self {
            node,
            drbd,
            family,
            statuses,
            running,
            files,
            conf,
            claims,
            records,
            pending,
            config_error,
            filter,
            lvm,
        })
    }

    fn facts(self, host: &impl Host, names: &[&str]) -> Result<HostFacts, RunError> {
        let mounts = proc::parse_mountinfo(&host.read("/proc/self/mountinfo")?.unwrap_or_default())
            .map_err(observe::ObserveError::from)?;
        let mut resources = BTreeMap::new();
        let wanted = |name: &String| names.is_empty() || names.contains(&name.as_str());
        for name in self.names().into_iter().filter(wanted) {
            let mut facts = self.resource(host, &name)?;
            facts::add_mounts(&mut facts, &mounts);
            resources.insert(name, facts);
        }
        Ok(HostFacts {
            schema: words::SCHEMA.to_owned(),
            kernel: host.read("/proc/sys/kernel/osrelease")?.unwrap_or_default().trim().to_owned(),
            resources,
            common: Some(self.conf.common_facts()),
            volume_groups: facts::volume_groups(&self.lvm),
            ports_in_use: self.ports(),
            minors_in_use: self.minors(),
            drbd_host: env!("CARGO_PKG_VERSION").to_owned(),
            drbd: self.drbd,
            config_error: self.config_error,
            node: self.node,
        })
    }

    fn names(&self) -> BTreeSet<String> {
        let in_files = self.claims.iter().map(|claim| claim.resource.clone());
        let up = self.statuses.iter().map(|status| status.name.clone());
        in_files.chain(up).chain(self.records.keys().cloned()).collect()
    }

    fn ports(&self) -> Vec<u16> {
        let paths = self.running.iter().flat_map(|r| &r.connections).flat_map(|c| &c.paths);
        let running = paths.filter_map(|path| path.local.rsplit_once(':')?.1.parse().ok());
        let all: BTreeSet<u16> =
            self.claims.iter().flat_map(|claim| claim.ports.clone()).chain(running).collect();
        all.into_iter().collect()
    }

    fn minors(&self) -> Vec<u32> {
        let running = self.statuses.iter().flat_map(|status| &status.devices).map(|device| device.minor);
        let all: BTreeSet<u32> =
            self.claims.iter().flat_map(|claim| claim.minors.clone()).chain(running).collect();
        all.into_iter().collect()
    }

    fn resource(&self, host: &impl Host, name: &str) -> Result<ResourceFacts, RunError> {
        let no_record = Record::default();
        let own_path = res_file::path(name);
        let conf = self.conf.resource(name);
        let place = conf.map_or(own_path.as_str(), |conf| &conf.origin.file);
        let config = self.files.text(place);
        let peer = conf.and_then(|conf| conf.peers(&self.node).next());
        let sources = Sources {
            name,
            config,
            status: self.statuses.iter().find(|status| status.name == name),
            record: self.records.get(name).unwrap_or(&no_record),
            only_peer: peer,
        };
        let backing = self.backing(host, name, &sources)?;
        let mut facts = facts::resource(&sources, &backing);
        if let Some(config) = &mut facts.config {
            place.clone_into(&mut config.path);
        }
        facts.options = conf.map(|conf| self.conf.options_of(conf)).unwrap_or_default();
        facts.pending =
            self.pending_of(name, sources.status).into_iter().map(|step| step.text.clone()).collect();
        Ok(facts)
    }

    /// Backing devices: those that run, those in the file, and those that were made.
    fn backing(
        &self,
        host: &impl Host,
        name: &str,
        sources: &Sources<'_>,
    ) -> Result<BTreeMap<VolumeNumber, Backing>, RunError> {
        let mut found = BTreeMap::new();
        let claimed = self.claims.iter().find(|claim| claim.resource == name);
        for number in self.volume_numbers(name, sources.record) {
            let attached = self.attached(name, number);
            let (minor, in_file) =
                claimed.and_then(|c| c.volumes.get(&number.get()).cloned()).unwrap_or_default();
            let recorded = sources.record.volumes.get(&number).map(|volume| volume.path.clone());
            let Some(path) = attached.clone().or(in_file).or(recorded) else { continue };
            let device = self.device(host, name, path, attached.is_some(), minor)?;
            let just_created = self.just_created(host, sources, number, &device)?;
            let verdict = self.verdict(number, &device, sources.record);
            found.insert(number, Backing { device, verdict, just_created });
        }
        Ok(found)
    }

    fn volume_numbers(&self, name: &str, record: &Record) -> BTreeSet<VolumeNumber> {
        let claimed =
            self.claims.iter().filter(|claim| claim.resource == name).flat_map(|claim| claim.volumes.keys());
        let running = self.statuses.iter().filter(|status| status.name == name).flat_map(|s| &s.devices);
        let numbers = claimed.copied().chain(running.map(|device| device.volume));
        numbers
            .filter_map(|n| VolumeNumber::new(u64::from(n)).ok())
            .chain(record.volumes.keys().copied())
            .collect()
    }

    fn attached(&self, name: &str, number: VolumeNumber) -> Option<String> {
        let running = self.running.iter().find(|running| running.name == name)?;
        let volume = running.volumes.iter().find(|volume| volume.volume == number.get())?;
        match &volume.disk {
            RunningDisk::Attached { device, .. } => Some(device.clone()),
            RunningDisk::Client | RunningDisk::Detached => None,
        }
    }

    fn device(
        &self,
        host: &impl Host,
        name: &str,
        path: String,
        attached: bool,
        minor: Option<u32>,
    ) -> Result<Device, RunError> {
        let Some(block) = host.block_device(&path)? else {
            return Ok(Device { path, block: None, content: Content::NoDevice, in_use: None });
        };
        if attached {
            return Ok(Device { path, block: Some(block), content: Content::AttachedHere, in_use: None });
        }
        let others: Vec<Claim> = self.claims.iter().filter(|claim| claim.resource != name).cloned().collect();
        let in_use = match observe::device_user(host, &block)? {
            None => observe::device_claimed(host, &others, &block)?,
            user => user,
        };
        let content = match (&in_use, self.family) {
            (None, Some(family)) => observe::device_content(host, &path, &block, minor, family)?,
            (None, None) => Content::Unreadable("there is no DRBD that could tell".to_owned()),
            (Some(_), _) => Content::Unreadable("it is in use".to_owned()),
        };
        Ok(Device { path, block: Some(block), content, in_use })
    }

    /// Only a disk that never became valid can be just created; for the others no command is spent.
    fn just_created(
        &self,
        host: &impl Host,
        sources: &Sources<'_>,
        number: VolumeNumber,
        device: &Device,
    ) -> Result<Option<bool>, RunError> {
        if let Content::Metadata(found) = &device.content {
            return Ok(Some(found.just_created));
        }
        let devices = sources.status.map(|status| status.devices.as_slice()).unwrap_or_default();
        let state = devices.iter().find(|d| d.volume == number.get()).map(|d| &d.disk_state);
        match state {
            // `drbdadm` knows only what a file names.
            Some(DiskState::Inconsistent) if sources.config.is_none() => Ok(None),
            Some(DiskState::Inconsistent) => {
                let output = host.run(&drbdadm::get_gi(sources.name, number.get()))?;
                let gi = drbdadm::parse_get_gi(&output).map_err(observe::ObserveError::from)?;
                Ok(gi.first().map(|_| gi.iter().all(drbdmeta::GenerationId::is_just_created)))
            }
            Some(_) => Ok(Some(false)),
            None => Ok(None),
        }
    }

    fn verdict(&self, number: VolumeNumber, device: &Device, record: &Record) -> drbd_schemas::Verdict {
        let tagged = self.lvm.lvs.iter().any(|lv| {
            device.path == format!("/dev/{}/{}", lv.vg, lv.name)
                && lv.tags.iter().any(|tag| tag == record::LV_TAG)
        });
        let family = self.family.unwrap_or(Family::V9);
        content::judge(device, record.volumes.get(&number), tagged, family).verdict
    }

    fn pending_of(&self, name: &str, status: Option<&ResourceStatus>) -> Vec<&AdjustStep> {
        let claimed =
            self.claims.iter().filter(|claim| claim.resource == name).flat_map(|claim| claim.minors.clone());
        let running = status.iter().flat_map(|status| &status.devices).map(|device| device.minor);
        let minors: BTreeSet<u32> = claimed.chain(running).collect();
        let locals: Vec<String> = self
            .running
            .iter()
            .filter(|running| running.name == name)
            .flat_map(|running| &running.connections)
            .flat_map(|connection| &connection.paths)
            .map(|path| path.local.replacen(' ', ":", 1))
            .collect();
        let concerns = |step: &AdjustStep| match about(&step.command) {
            About::Resource(resource) => resource == name,
            About::Minor(minor) => minors.contains(&minor),
            About::Local(local) => locals.iter().any(|own| own == local),
            About::Nobody => false,
        };
        self.pending.iter().filter(|step| concerns(step)).collect()
    }
}

enum About<'a> {
    Resource(&'a str),
    Minor(u32),
    Local(&'a str),
    Nobody,
}

fn about(command: &AdjustCommand) -> About<'_> {
    match command {
        AdjustCommand::NewResource { resource, .. }
        | AdjustCommand::NewMinor { resource, .. }
        | AdjustCommand::NewPeer { resource, .. }
        | AdjustCommand::NewPath { resource, .. }
        | AdjustCommand::DelPath { resource, .. }
        | AdjustCommand::DelPeer { resource, .. }
        | AdjustCommand::Connect { resource, .. }
        | AdjustCommand::ResourceOptions { resource, .. }
        | AdjustCommand::PeerDeviceOptions { resource, .. }
        | AdjustCommand::Down { resource } => About::Resource(resource),
        AdjustCommand::RepairMd { minor, .. }
        | AdjustCommand::ApplyAl { minor, .. }
        | AdjustCommand::Attach { minor, .. }
        | AdjustCommand::Detach { minor, .. }
        | AdjustCommand::DelMinor { minor }
        | AdjustCommand::DiskOptions { minor, .. }
        | AdjustCommand::Resize { minor, .. }
        | AdjustCommand::CheckResize { minor } => About::Minor(*minor),
        AdjustCommand::Disconnect { peer }
        | AdjustCommand::WaitConnect { peer }
        | AdjustCommand::NetOptions { peer, .. } => match peer {
            PeerRef::NodeId { resource, .. } => About::Resource(resource),
            PeerRef::Addresses { local, .. } => About::Local(local),
        },
        AdjustCommand::Unrecognised(_) => About::Nobody,
    }
}
