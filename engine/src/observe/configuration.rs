// SPDX-License-Identifier: MPL-2.0
//! The configuration files of a host, and what everything but one resource claims there: minors, ports, devices, by files
//! of whatever origin and by the kernel.

use super::ObserveError;
use crate::conf::{self, Claim, Files, OnHost};
use crate::host::Host;
use crate::res_file;
use crate::tools::drbdsetup::{ResourceStatus, RunningResource};
use std::collections::BTreeMap;

/// Reads every file once.
pub(crate) fn files(host: &impl Host) -> Result<Files, ObserveError> {
    Ok(conf::gather(|path| host.read(path), |folder| host.list(folder))?)
}

/// The configuration, with the resource `name` in view: as its own file says it, else another one.
pub(super) fn with(host: &impl Host, name: &str) -> Result<OnHost, ObserveError> {
    let files = files(host)?;
    let all = conf::read(&files);
    let path = res_file::path(name);
    let named = || all.resources.iter().filter(|resource| resource.name == name);
    let own = named().find(|resource| *resource.origin.file == *path).or_else(|| named().next()).cloned();
    Ok(OnHost { files, all, own })
}

/// Claims of everything but the resource `except` in its own file.
///
/// A file that is not in DRBD's syntax claims nothing here; `drbdadm` itself will refuse it, with its line.
pub(super) fn claims_of_others(
    found: &OnHost,
    except: &str,
    node: &str,
    running: &[ResourceStatus],
    shown: &[RunningResource],
) -> Vec<Claim> {
    let mut claims = conf::claims(&found.all, node);
    claims.retain_mut(|claim| !is_in_file_of(claim, except) || keep_metadata(claim, found));
    claims.extend(running.iter().filter(|status| status.name != except).map(|status| Claim {
        resource: status.name.clone(),
        origin: None,
        minors: status.devices.iter().map(|device| device.minor).collect(),
        ports: shown.iter().filter(|resource| resource.name == status.name).flat_map(ports_of).collect(),
        disks: Vec::new(),
        metadata: Vec::new(),
        volumes: BTreeMap::new(),
    }));
    claims
}

fn is_in_file_of(claim: &Claim, name: &str) -> bool {
    claim.origin.as_ref().is_some_and(|origin| *origin.file == *res_file::path(name))
}

/// Of a file that will be replaced nothing is claimed but the devices with its metadata: nobody may take them for empty.
fn keep_metadata(claim: &mut Claim, found: &OnHost) -> bool {
    let text = claim.origin.as_ref().and_then(|origin| found.files.text(&origin.file));
    if text.is_none_or(res_file::is_ours) || claim.metadata.is_empty() {
        return false;
    }
    claim.minors.clear();
    claim.ports.clear();
    claim.disks.clear();
    claim.volumes.clear();
    true
}

/// The ports of this host on which a running resource replicates.
pub(crate) fn ports_of(running: &RunningResource) -> Vec<u16> {
    let paths = running.connections.iter().flat_map(|connection| &connection.paths);
    paths.filter_map(|path| path.local.rsplit_once(':')?.1.parse().ok()).collect()
}
