// SPDX-License-Identifier: MPL-2.0
//! Looks at one backing device: is it there, who uses it, what does it hold. Nothing is written, and a device that DRBD
//! has attached is not opened at all: the kernel already says what it is.

use super::ObserveError;
use crate::host::{BlockDevice, Host};
use crate::observed::{Claim, Content, Device, Metadata, Observed};
use crate::tools::drbdsetup::RunningDisk;
use crate::tools::{Family, blkid, drbdmeta, proc};
use drbd_schemas::VolumeNumber;

pub(super) fn observe(
    host: &impl Host,
    observed: &Observed,
    number: VolumeNumber,
    path: String,
    declared_minor: Option<u32>,
    family: Family,
) -> Result<Device, ObserveError> {
    let Some(block) = host.block_device(&path)? else {
        return Ok(Device { path, block: None, content: Content::NoDevice, in_use: None });
    };
    if attached_here(host, observed, number, &path, &block)? {
        return Ok(Device { path, block: Some(block), content: Content::AttachedHere, in_use: None });
    }
    let minor = observed.device_status(number).map(|device| device.minor).or(declared_minor);
    let in_use = match user(host, &block)? {
        None => claimed(host, &observed.claims, &block)?,
        user => user,
    };
    let content = match &in_use {
        // Opening what somebody uses is not needed to refuse it.
        Some(_) => Content::Unreadable("it is in use".to_owned()),
        None => content(host, &path, &block, minor, family)?,
    };
    Ok(Device { path, block: Some(block), content, in_use })
}

/// The kernel runs this very device as this volume's backing disk, whatever the spelling of its path.
fn attached_here(
    host: &impl Host,
    observed: &Observed,
    number: VolumeNumber,
    path: &str,
    block: &BlockDevice,
) -> Result<bool, ObserveError> {
    let volumes = observed.running.iter().flat_map(|running| &running.volumes);
    let Some(volume) = volumes.into_iter().find(|volume| volume.volume == number.get()) else {
        return Ok(false);
    };
    let RunningDisk::Attached { device, .. } = &volume.disk else { return Ok(false) };
    Ok(device == path || host.block_device(device)?.is_some_and(|other| other.number == block.number))
}

/// The resource whose file names this device, by whatever path: `drbdadm` itself does not notice two resources on one
/// disk.
pub(crate) fn claimed(
    host: &impl Host,
    claims: &[Claim],
    block: &BlockDevice,
) -> Result<Option<String>, ObserveError> {
    for claim in claims {
        for disk in &claim.disks {
            // A path in somebody else's file may name anything, also what is no block device.
            if host.block_device(disk).ok().flatten().is_some_and(|other| other.number == block.number) {
                return Ok(Some(format!("the disk of resource {} ({})", claim.resource, claim.place)));
            }
        }
    }
    Ok(None)
}

/// Who uses a device, if anybody.
pub(crate) fn user(host: &impl Host, block: &BlockDevice) -> Result<Option<String>, ObserveError> {
    let mounts = proc::parse_mountinfo(&host.read("/proc/self/mountinfo")?.unwrap_or_default())?;
    let number = |(major, minor): (u32, u32)| format!("{major}:{minor}");
    if let Some(mount) = mounts.iter().find(|mount| number(mount.device) == block.number) {
        return Ok(Some(format!("mounted on {}", mount.mount_point)));
    }
    for path in proc::parse_swaps(&host.read("/proc/swaps")?.unwrap_or_default())? {
        if host.block_device(&path)?.is_some_and(|swap| swap.number == block.number) {
            return Ok(Some("swap space".to_owned()));
        }
    }
    if let Some(holder) = block.holders.first() {
        return Ok(Some(format!("held by {holder}")));
    }
    Ok(block.partitions.first().map(|partition| format!("it has partitions ({partition})")))
}

/// What a device holds that nobody uses. `minor` names the minor under which it may have been attached before.
pub(crate) fn content(
    host: &impl Host,
    path: &str,
    block: &BlockDevice,
    minor: Option<u32>,
    family: Family,
) -> Result<Content, ObserveError> {
    if block.size_bytes == 0 {
        return Ok(Content::Unreadable("it has no size (an empty drive?)".to_owned()));
    }
    match blkid::parse_probe(&host.run(&blkid::probe(path))?) {
        Err(error) => Ok(Content::Unreadable(error.to_string())),
        Ok(blkid::Probe::NothingKnown) => without_signature(host, path, minor, family),
        Ok(blkid::Probe::Ambivalent) => Ok(Content::Signature("several signatures at once".to_owned())),
        Ok(blkid::Probe::Found(found)) => match found.drbd_metadata() {
            Some((format, device_uuid)) => metadata(host, path, format, device_uuid),
            None => Ok(Content::Signature(found.to_string())),
        },
    }
}

fn metadata(
    host: &impl Host,
    path: &str,
    format: String,
    device_uuid: String,
) -> Result<Content, ObserveError> {
    let family = if format == "v08" { Family::V84 } else { Family::V9 };
    let output = host.run(&drbdmeta::get_gi(family, path, 0))?;
    Ok(match drbdmeta::parse_get_gi(&output) {
        Ok(Some(gi)) => {
            Content::Metadata(Metadata { format, device_uuid, just_created: gi.is_just_created() })
        }
        Ok(None) => Content::Unreadable("blkid sees DRBD metadata, drbdmeta does not".to_owned()),
        Err(error) => Content::Unreadable(error.to_string()),
    })
}

fn without_signature(
    host: &impl Host,
    path: &str,
    minor: Option<u32>,
    family: Family,
) -> Result<Content, ObserveError> {
    let output = host.run(&drbdmeta::get_gi(family, path, 0))?;
    match drbdmeta::parse_get_gi(&output) {
        Ok(None) => {}
        Ok(Some(_)) => return Ok(Content::Unreadable("drbdmeta sees metadata, blkid does not".to_owned())),
        Err(error) => return Ok(Content::Unreadable(error.to_string())),
    }
    if let Some(minor) = minor
        && host.read(&format!("/var/lib/drbd/drbd-minor-{minor}.lkbd"))?.is_some()
    {
        return Ok(Content::MovedMetadata);
    }
    Ok(host.first_data(path)?.map_or(Content::Zeroes, |offset| Content::Data { offset }))
}
