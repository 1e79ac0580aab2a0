// SPDX-License-Identifier: MPL-2.0
//! Looks at one backing device: is it there, who uses it, what does it hold. Nothing is written, and a device that DRBD
//! has attached is not opened at all: the kernel already says what it is.

use super::ObserveError;
use crate::conf::Claim;
use crate::host::{BlockDevice, Host, HostError, Read};
use crate::observed::{Content, Device, Metadata, Observed};
use crate::tools::drbdsetup::RunningDisk;
use crate::tools::{Family, blkid, drbdmeta, lvm, proc};
use drbd_schemas::{NodeName, Resource, Volume, VolumeNumber};

/// A backing device of a node, as declared, and what is there.
pub(super) struct Backing<'a> {
    pub(super) number: VolumeNumber,
    pub(super) volume: &'a Volume,
    pub(super) path: String,
    pub(super) block: Option<BlockDevice>,
}

/// The backing devices that are declared for a node; none for a diskless one. Looked at once for everything that an
/// observation asks of them.
pub(super) fn backings<'a>(
    host: &impl Host,
    declared: &'a Resource,
    node: &NodeName,
) -> Result<Vec<Backing<'a>>, HostError> {
    let paths = declared.volumes.iter().filter_map(|(number, volume)| {
        declared.backing_path(node, *number).map(|path| (*number, volume, path))
    });
    paths
        .map(|(number, volume, path)| Ok(Backing { number, volume, block: host.block_device(&path)?, path }))
        .collect()
}

pub(super) fn observe(
    host: &impl Host,
    observed: &Observed,
    number: VolumeNumber,
    (path, block): (String, Option<BlockDevice>),
    declared_minor: Option<u32>,
    family: Family,
) -> Result<Device, ObserveError> {
    let Some(block) = block else {
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

/// The kernel links this device to the volume's minor. The link alone does not prove that the volume is on it, because a
/// device that holds only metadata has one, too.
pub(super) fn is_linked(observed: &Observed, backing: &Backing<'_>) -> bool {
    backing.block.as_ref().is_some_and(|block| links(observed, backing.number, block))
}

fn links(observed: &Observed, number: VolumeNumber, block: &BlockDevice) -> bool {
    let Some(device) = observed.device_status(number) else { return false };
    block.holders.contains(&format!("drbd{}", device.minor))
}

/// The kernel runs this very device as this volume's backing disk, whatever the spelling of its path.
fn attached_here(
    host: &impl Host,
    observed: &Observed,
    number: VolumeNumber,
    path: &str,
    block: &BlockDevice,
) -> Result<bool, ObserveError> {
    if observed.running.is_none() {
        return Ok(observed.runs_as_declared() && links(observed, number, block));
    }
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
        let disks = claim.disks.iter().map(|path| (path, "the disk"));
        let metadata = claim.metadata.iter().map(|path| (path, "the metadata device"));
        for (path, what) in disks.chain(metadata) {
            // A path in somebody else's file may name anything, also what is no block device.
            if host.block_device(path).ok().flatten().is_some_and(|other| other.number == block.number) {
                return Ok(Some(format!("{what} of resource {} ({})", claim.resource, claim.place())));
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
        return Ok(Some(format!("held by {}", holder_name(host, holder)?)));
    }
    Ok(block.partitions.first().map(|partition| format!("it has partitions ({partition})")))
}

/// What stands on a device, by the name by which its owner knows it: `logical volume drbdpool/r0_00000`, not `dm-8`.
fn holder_name(host: &impl Host, kernel_name: &str) -> Result<String, HostError> {
    let dm = |file: &str| -> Result<Option<String>, HostError> {
        let text = host.read(&format!("/sys/class/block/{kernel_name}/dm/{file}"))?;
        Ok(text.map(|text| text.trim_end().to_owned()).filter(|text| !text.is_empty()))
    };
    let Some(name) = dm("name")? else { return Ok(kernel_name.to_owned()) };
    let uuid = dm("uuid")?.unwrap_or_default();
    Ok(match uuid.split('-').next().unwrap_or_default() {
        "LVM" => {
            lvm::of_dm_name(&name).map_or(name, |(group, volume)| format!("logical volume {group}/{volume}"))
        }
        "CRYPT" => format!("encrypted device /dev/mapper/{name}"),
        "mpath" => format!("multipath device /dev/mapper/{name}"),
        _ => format!("/dev/mapper/{name}"),
    })
}

/// DRBD puts its metadata at the last whole block of 4 KiB; blkid looks 4 KiB before the very end
/// (`findings/blkid-does-not-see-drbd-metadata-on-a-size-that-is-no-multiple-of-4096.sh`).
const BLOCK: u64 = 4096;

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
    if !block.size_bytes.is_multiple_of(BLOCK) {
        return Ok(Content::Unreadable(format!(
            "its size, {} bytes, is no multiple of {BLOCK}, and blkid does not see DRBD's metadata there",
            block.size_bytes
        )));
    }
    let probe = match blkid::parse_probe(&host.run(&blkid::probe(path))?) {
        Ok(probe) => probe,
        Err(error) => return Ok(Content::Unreadable(error.to_string())),
    };
    if let blkid::Probe::Found(found) = &probe
        && let Some((format, device_uuid)) = found.drbd_metadata()
    {
        return metadata(host, path, format, device_uuid);
    }
    // Before anything else is believed: a file system that shows now may be the data of a replica that grew.
    if let Some(device_uuid) = moved(host, path, block, minor, family)? {
        return Ok(Content::MovedMetadata { device_uuid });
    }
    match probe {
        blkid::Probe::NothingKnown => without_signature(host, path, family),
        blkid::Probe::Ambivalent => Ok(Content::Signature("several signatures at once".to_owned())),
        blkid::Probe::Found(found) => Ok(Content::Signature(found.to_string())),
    }
}

/// The UUID of metadata that are where the device ended before it grew. DRBD's note says where to look, what is there
/// decides: a note outlives its device.
fn moved(
    host: &impl Host,
    path: &str,
    block: &BlockDevice,
    minor: Option<u32>,
    family: Family,
) -> Result<Option<String>, ObserveError> {
    let Some(minor) = minor else { return Ok(None) };
    let note = host.read(&format!("/var/lib/drbd/drbd-minor-{minor}.lkbd"))?;
    let known = note.and_then(|text| drbdmeta::parse_last_known_device(&text).ok());
    let Some(known) = known.filter(|known| known.size_bytes < block.size_bytes) else { return Ok(None) };
    let front = blkid::parse_probe(&host.run(&blkid::probe_front(path, known.size_bytes))?);
    let found = match front {
        Ok(blkid::Probe::Found(found)) => found.drbd_metadata(),
        Ok(blkid::Probe::NothingKnown | blkid::Probe::Ambivalent) | Err(_) => None,
    };
    Ok(found.filter(|(format, _)| format == family.metadata_format()).map(|(_, device_uuid)| device_uuid))
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

fn without_signature(host: &impl Host, path: &str, family: Family) -> Result<Content, ObserveError> {
    let output = host.run(&drbdmeta::get_gi(family, path, 0))?;
    match drbdmeta::parse_get_gi(&output) {
        Ok(None) => {}
        Ok(Some(_)) => return Ok(Content::Unreadable("drbdmeta sees metadata, blkid does not".to_owned())),
        Err(error) => return Ok(Content::Unreadable(error.to_string())),
    }
    Ok(host.first_data(path, None, Read::Samples)?.map_or(Content::Zeroes, |offset| Content::Data { offset }))
}
