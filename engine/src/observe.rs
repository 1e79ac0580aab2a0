// SPDX-License-Identifier: MPL-2.0
//! Looks at a host. Reads only, except for one scratch directory on `/run` in which the declared configuration is
//! staged for `drbdadm` to parse. Nothing is decided here.
//!
//! Every command counts: a run that finds nothing to do should cost a few of them, whatever is declared.

mod configuration;
mod created;
mod devices;
mod needs;
mod spelling;
mod staging;
mod standing;
mod uses;

pub(crate) use configuration::{files, ports_of as ports_of_running};
pub(crate) use devices::{claimed as device_claimed, content as device_content, user as device_user};
pub(crate) use needs::of as needs_of;
pub(crate) use spelling::as_known_here;
pub(crate) use uses::uses;

use self::devices::Backing;
use crate::host::{Cmd, Host, HostError};
use crate::observed::{DryRun, Needs, Observed};
use crate::plan::Plan;
use crate::record::{self, Record};
use crate::res_file;
use crate::tools::drbdsetup::{self, ResourceStatus, RunningResource};
use crate::tools::lvm::{self, Filter, LvmReport};
use crate::tools::{Family, ToolError, modinfo, proc};
use drbd_schemas::facts::DrbdFacts;
use drbd_schemas::{Resource, Storage};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Why a host could not be observed. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObserveError {
    /// The host refused.
    #[error("{0}")]
    Host(#[from] HostError),
    /// A tool answered in a way that is not understood.
    #[error("{0}")]
    Tool(#[from] ToolError),
    /// Our own record cannot be read.
    #[error("{path} cannot be read: {reason}")]
    Record {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
}

/// Observes what a declaration is about.
pub fn resource(host: &impl Host, declared: &Resource) -> Result<Observed, ObserveError> {
    resource_knowing(host, declared, None)
}

/// Observes it again after a plan was carried out, without asking LVM where the kernel shows what was created.
pub fn resource_after(
    host: &impl Host,
    declared: &Resource,
    before: &Observed,
    plan: &Plan,
) -> Result<Observed, ObserveError> {
    let known = created::report(host, &before.lvm, plan)?;
    resource_knowing(host, declared, known.map(|report| (report, before.lvm_filter.clone())))
}

fn resource_knowing(
    host: &impl Host,
    declared: &Resource,
    known: Option<(LvmReport, Filter)>,
) -> Result<Observed, ObserveError> {
    let name = declared.name().as_str();
    let mut observed = by_name_and(host, name, Show::IfOthersRun)?;
    let node = declared.nodes.get_key_value(observed.node.as_str());
    let Some(family) = observed.drbd.family().filter(|_| observed.drbd.utils.is_some()) else {
        return Ok(observed);
    };
    let Some((node_name, node)) = node else { return Ok(observed) };
    if declared.unsupported_by(family).is_empty() {
        let text = res_file::render(declared, family, res_file::Secrets::Written);
        ask_drbdadm(host, &mut observed, name, &text)?;
    }
    if !observed.runs_as_declared() {
        observed.listening = listening(host)?;
        observed.needs = needs::of(host, declared, node_name)?;
    }
    let backings = devices::backings(host, declared, node_name)?;
    if matches!(node.storage, Storage::LvmThin { .. } | Storage::Lvm { .. }) {
        (observed.lvm, observed.lvm_filter) = match known {
            Some(known) => known,
            None => match standing::report(host, &observed, declared, node, family, &backings)? {
                Some(report) => (report, Filter::default()),
                None => ask_lvm(host)?,
            },
        };
    }
    if observed.status.is_some() && observed.running.is_none() {
        // A diskless node has no links; its dry run alone proves everything.
        let linked = |backing: &Backing<'_>| devices::is_linked(&observed, backing);
        if !(observed.runs_as_declared() && backings.iter().all(linked)) {
            observed.running = show(host)?.into_iter().find(|running| running.name == name);
        }
    }
    for Backing { number, volume, path, block } in backings {
        let minor = Some(volume.minor.get());
        let device = devices::observe(host, &observed, number, (path, block), minor, family)?;
        observed.devices.insert(number, device);
    }
    Ok(observed)
}

/// When the kernel's configuration is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Show {
    /// Whenever something runs.
    IfAnyRuns,
    /// When something else runs, whose ports only it tells. For a resource that runs as declared, the dry run of
    /// `adjust`, which compares that very configuration, and the kernel's links between devices tell the rest.
    IfOthersRun,
}

/// Observes what there is of a resource, knowing only its name.
pub fn by_name(host: &impl Host, name: &str) -> Result<Observed, ObserveError> {
    by_name_and(host, name, Show::IfAnyRuns)
}

fn by_name_and(host: &impl Host, name: &str, when: Show) -> Result<Observed, ObserveError> {
    let drbd = drbd(host)?;
    let statuses = statuses(host, &drbd)?;
    let (own, others): (Vec<_>, Vec<_>) = statuses.into_iter().partition(|status| status.name == name);
    let asked = !others.is_empty() || (when == Show::IfAnyRuns && !own.is_empty());
    let shown = if asked { show(host)? } else { Vec::new() };
    let node = host.node_name()?;
    let conf = configuration::with(host, name)?;
    Ok(Observed {
        drbd,
        record: record(host, name)?,
        config: conf.files.text(&res_file::path(name)).map(str::to_owned),
        claims: configuration::claims_of_others(&conf, name, &node, &others, &shown),
        listening: Vec::new(),
        needs: Needs::default(),
        status: own.into_iter().next(),
        running: shown.into_iter().find(|running| running.name == name),
        devices: BTreeMap::new(),
        lvm: LvmReport::default(),
        lvm_filter: Filter::default(),
        dry_run: DryRun::NotAsked,
        conf,
        node,
    })
}

fn listening(host: &impl Host) -> Result<Vec<SocketAddr>, ObserveError> {
    let mut sockets = Vec::new();
    for file in ["/proc/net/tcp", "/proc/net/tcp6"] {
        sockets.extend(proc::parse_listening(&host.read(file)?.unwrap_or_default())?);
    }
    Ok(sockets)
}

/// Observes what is to be removed or brought up: the record's devices, and the file that is there.
pub fn existing(host: &impl Host, name: &str) -> Result<Observed, ObserveError> {
    let mut observed = by_name(host, name)?;
    if observed.record.volumes.values().any(|volume| volume.created_lv) {
        (observed.lvm, observed.lvm_filter) = ask_lvm(host)?;
    }
    let family = observed.drbd.family().unwrap_or(Family::V9);
    for (number, volume) in observed.record.volumes.clone() {
        let block = host.block_device(&volume.path)?;
        let device = devices::observe(host, &observed, number, (volume.path, block), None, family)?;
        observed.devices.insert(number, device);
    }
    if let Some(text) =
        observed.config.clone().filter(|_| observed.drbd.utils.is_some() && observed.drbd.family().is_some())
    {
        ask_drbdadm(host, &mut observed, name, &text)?;
    }
    Ok(observed)
}

/// What `adjust` would do with a configuration. A connection that it would start, though it was there a moment ago, was
/// given up in between (split brain): then the state is asked for again, so that both are of the same time.
fn ask_drbdadm(
    host: &impl Host,
    observed: &mut Observed,
    name: &str,
    text: &str,
) -> Result<(), ObserveError> {
    observed.dry_run = staging::dry_run(host, observed, name, text)?;
    let was_there = |status: &ResourceStatus| !status.connections.is_empty() && !status.stands_alone();
    if observed.status.as_ref().is_some_and(was_there) && observed.dry_run.connects() {
        observed.status = statuses(host, &observed.drbd)?.into_iter().find(|status| status.name == name);
    }
    Ok(())
}

/// The DRBD of a host, without loading anything.
pub fn drbd(host: &impl Host) -> Result<DrbdFacts, ObserveError> {
    let module = host.read("/sys/module/drbd/version")?.map(|text| text.trim().to_owned());
    let loadable = match module {
        Some(_) => None,
        None => modinfo::parse_version(&host.run(&modinfo::version("drbd"))?)?,
    };
    let utils = host.program("drbdadm").filter(|_| host.program("drbdsetup").is_some());
    Ok(DrbdFacts { module, loadable, utils })
}

/// The state of every resource in the kernel; none while the module is not loaded (asking would load it).
pub fn statuses(host: &impl Host, drbd: &DrbdFacts) -> Result<Vec<ResourceStatus>, ObserveError> {
    let family = drbd.module.as_deref().and_then(Family::of_version).filter(|_| drbd.utils.is_some());
    let Some(family) = family else { return Ok(Vec::new()) };
    Ok(drbdsetup::parse_status(family, &host.run(&drbdsetup::status(family))?)?)
}

pub(crate) fn show(host: &impl Host) -> Result<Vec<RunningResource>, ObserveError> {
    Ok(drbdsetup::parse_show(&host.run(&drbdsetup::show())?)?)
}

pub(crate) fn record(host: &impl Host, name: &str) -> Result<Record, ObserveError> {
    let path = record::path(name);
    match host.read(&path)? {
        None => Ok(Record::default()),
        Some(text) => {
            Record::parse(&text).map_err(|error| ObserveError::Record { path, reason: error.to_string() })
        }
    }
}

/// What LVM must not open, with the host's own filter behind it. The host's is asked for only where its configuration
/// sets one, because asking costs as much as the report itself.
pub fn lvm_filter(host: &impl Host) -> Result<Filter, ObserveError> {
    for file in LVM_CONF {
        let text = host.read(file)?.unwrap_or_default();
        let sets_one = |line: &str| {
            let line = line.trim_start();
            line.starts_with("filter") || line.starts_with("devices/filter")
        };
        if text.lines().any(sets_one) {
            return Ok(Filter::before(lvm::parse_filter(&host.run(&lvm::filter())?)?));
        }
    }
    Ok(Filter::default())
}

fn ask_lvm(host: &impl Host) -> Result<(LvmReport, Filter), ObserveError> {
    let filter = lvm_filter(host)?;
    Ok((lvm_report(host, &filter)?, filter))
}

/// LVM's report; an empty one where LVM is not installed.
pub fn lvm_report(host: &impl Host, filter: &Filter) -> Result<LvmReport, ObserveError> {
    if host.program(lvm::PROGRAM).is_none() {
        return Ok(LvmReport::default());
    }
    let mut report = lvm::parse_report(&host.run(&lvm::report(filter))?)?;
    let mut settings = String::new();
    for file in LVM_CONF {
        settings += &host.read(file)?.unwrap_or_default();
        settings.push('\n');
    }
    report.autoextend = Some(lvm::parse_autoextend(&settings));
    Ok(report)
}

/// What LVM would see without the host's filters.
pub(crate) fn unfiltered_lvm_report(host: &impl Host) -> Result<LvmReport, ObserveError> {
    Ok(lvm::parse_report(&host.run(&lvm::unfiltered_report())?)?)
}

/// LVM's configuration files; the last one counts.
const LVM_CONF: [&str; 2] = ["/etc/lvm/lvm.conf", "/etc/lvm/lvmlocal.conf"];

/// `drbdadm` must speak the family of the module that will be loaded, not the one it guesses without a module.
pub(crate) fn for_family(cmd: Cmd, drbd: &DrbdFacts) -> Cmd {
    match (&drbd.module, &drbd.loadable) {
        (None, Some(version)) => cmd.env("DRBD_DRIVER_VERSION_OVERRIDE", version.clone()),
        _ => cmd,
    }
}
