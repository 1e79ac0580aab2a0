// SPDX-License-Identifier: MPL-2.0
//! One device has many names: `/dev/vg/r0`, `/dev/mapper/vg-r0`, `/dev/disk/by-id/…`. `drbdadm adjust` compares names, and
//! would detach a good disk to attach the same one again under another. So the name under which the resource has its
//! device already is kept, as long as it is a name of the declared device.

use super::{ObserveError, show};
use crate::conf;
use crate::host::Host;
use crate::res_file;
use crate::tools::drbdsetup::RunningDisk;
use drbd_schemas::declaration::DevicePath;
use drbd_schemas::{Resource, Storage, VolumeNumber};
use std::collections::BTreeMap;

/// The declaration, with this host's devices called as its file calls them; where there is no file, as the kernel does.
pub(crate) fn as_known_here(host: &impl Host, declared: &Resource) -> Result<Resource, ObserveError> {
    let here = host.node_name()?;
    let mut resource = declared.clone();
    let Some((node, Storage::Devices(devices))) =
        declared.nodes.get_key_value(here.as_str()).map(|(name, node)| (name, &node.storage))
    else {
        return Ok(resource);
    };
    let known = known_names(host, declared.name().as_str(), &here)?;
    for (volume, wanted) in devices.iter() {
        let Some(name) = known.get(volume).filter(|name| name.as_str() != wanted.as_str()) else { continue };
        let (Ok(name), Some(device)) =
            (DevicePath::try_from(name.clone()), host.block_device(wanted.as_str())?)
        else {
            continue;
        };
        // What stands in a file may name anything, also what is no block device.
        let same = host.block_device(name.as_str()).ok().flatten();
        if same.is_some_and(|found| found.number == device.number) {
            resource = resource.with_device(node, *volume, name);
        }
    }
    Ok(resource)
}

/// Names of the resource's devices, by volume.
fn known_names(
    host: &impl Host,
    name: &str,
    here: &str,
) -> Result<BTreeMap<VolumeNumber, String>, ObserveError> {
    let number = |number: u16| VolumeNumber::new(u64::from(number)).ok();
    let path = res_file::path(name);
    if let Some(text) = host.read(&path)? {
        let resources = conf::only(&path, &text).unwrap_or_default();
        let own = conf::claims_of(&resources, here).into_iter().find(|claim| claim.resource == name);
        let volumes = own.into_iter().flat_map(|claim| claim.volumes);
        return Ok(volumes.filter_map(|(volume, (_, disk))| number(volume).zip(disk)).collect());
    }
    // Asking would load the module.
    if host.read("/sys/module/drbd/version")?.is_none() || host.program("drbdsetup").is_none() {
        return Ok(BTreeMap::new());
    }
    let volumes = show(host)?.into_iter().filter(|running| running.name == name).flat_map(|r| r.volumes);
    Ok(volumes
        .filter_map(|volume| match volume.disk {
            RunningDisk::Attached { device, .. } => number(volume.volume).zip(Some(device)),
            RunningDisk::Client | RunningDisk::Detached => None,
        })
        .collect())
}
