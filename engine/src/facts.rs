// SPDX-License-Identifier: MPL-2.0
//! From what was observed to facts that travel. Pure.

use crate::content;
use crate::health;
use crate::host::DRBD_MAJOR;
use crate::observed::{Content, Device, Observed};
use crate::record::{Record, VolumeRecord};
use crate::res_file;
use crate::thin;
use crate::tools::Family;
use crate::tools::Percent;
use crate::tools::drbdsetup::{ConnectionStatus, DeviceStatus, ResourceStatus};
use crate::tools::lvm::{LvmReport, PhysicalVolume};
use crate::tools::proc::Mount;
use drbd_schemas::facts::{
    BackingFacts, ConfigFacts, ConnectionFacts, PeerVolumeFacts, ResourceFacts, RunningFacts, ThinPoolFacts,
    VolumeFacts, VolumeGroupFacts,
};
use drbd_schemas::{Verdict, VolumeNumber};
use std::collections::BTreeMap;

/// What is known of one resource besides its devices.
pub(crate) struct Sources<'a> {
    pub(crate) name: &'a str,
    pub(crate) config: Option<&'a str>,
    pub(crate) status: Option<&'a ResourceStatus>,
    pub(crate) record: &'a Record,
    /// Name of the one peer of an 8.4 resource, whose status does not name it.
    pub(crate) only_peer: Option<&'a str>,
}

/// One backing device with its verdict and generation.
pub(crate) struct Backing {
    pub(crate) device: Device,
    pub(crate) verdict: Verdict,
    pub(crate) just_created: Option<bool>,
}

/// The facts of a resource as a converging run sees it.
pub fn of_observed(name: &str, observed: &Observed, only_peer: Option<&str>) -> ResourceFacts {
    let sources = Sources {
        name,
        config: observed.config.as_deref(),
        status: observed.status.as_ref(),
        record: &observed.record,
        only_peer,
    };
    let family = observed.drbd.family().unwrap_or(Family::V9);
    let backing = observed.devices.iter().map(|(number, device)| {
        let tagged = observed.lvm.lvs.iter().any(|lv| {
            device.path == format!("/dev/{}/{}", lv.vg, lv.name)
                && lv.tags.iter().any(|t| t == crate::record::LV_TAG)
        });
        let record = observed.record.volumes.get(number);
        let judged = content::judge(device, record, tagged, family);
        let just_created = match &device.content {
            Content::Metadata(found) => Some(found.just_created),
            _ => None,
        };
        (*number, Backing { device: device.clone(), verdict: judged.verdict, just_created })
    });
    let own = observed.conf.own.as_ref();
    ResourceFacts {
        options: own.map(|own| observed.conf.all.options_of(own)).unwrap_or_default(),
        ..resource(&sources, &backing.collect())
    }
}

/// The facts of a resource.
pub(crate) fn resource(sources: &Sources<'_>, backing: &BTreeMap<VolumeNumber, Backing>) -> ResourceFacts {
    let mut volumes: BTreeMap<String, VolumeFacts> = BTreeMap::new();
    for device in sources.status.iter().flat_map(|status| &status.devices) {
        volumes.insert(device.volume.to_string(), running_volume(device));
    }
    for (number, found) in backing {
        let volume = volumes.entry(number.to_string()).or_default();
        volume.backing = Some(backing_facts(found, sources.record.volumes.get(number)));
    }
    ResourceFacts {
        config: sources.config.map(|text| ConfigFacts {
            path: res_file::path(sources.name),
            ours: res_file::is_ours(text),
            text: res_file::masked(text),
        }),
        running: sources.status.map(|status| running(status, sources.only_peer)),
        volumes,
        health: sources
            .status
            .map(|status| health::of(status, sources.only_peer).iter().map(ToString::to_string).collect())
            .unwrap_or_default(),
        options: Vec::new(),
        pending: Vec::new(),
    }
}

fn running_volume(device: &DeviceStatus) -> VolumeFacts {
    VolumeFacts {
        minor: Some(device.minor),
        disk: Some(device.disk_state.to_string()),
        size_bytes: device.size_kib.map(|kib| kib * 1024),
        open: device.open,
        mounted_on: Vec::new(),
        quorum: device.quorum,
        backing: None,
    }
}

fn backing_facts(found: &Backing, record: Option<&VolumeRecord>) -> BackingFacts {
    let identity = found.device.identity();
    let same = record.filter(|record| record.identity.is_some() && record.identity == identity);
    let never_used = found.just_created == Some(true);
    let blank =
        same.is_some_and(|record| record.created_blank) && never_used && found.verdict == Verdict::Ours;
    BackingFacts {
        path: found.device.path.clone(),
        size_bytes: found.device.block.as_ref().map(|block| block.size_bytes),
        verdict: found.verdict.clone(),
        just_created: found.just_created,
        blank_proof: blank.then(|| {
            let name = identity.as_deref().unwrap_or_default();
            format!("{name} was created empty by drbd-host in a thin pool that zeroes, and never used")
        }),
        identity,
    }
}

fn running(status: &ResourceStatus, only_peer: Option<&str>) -> RunningFacts {
    let connections = status.connections.iter().map(|connection| {
        let name = connection.name.clone().or_else(|| only_peer.map(str::to_owned));
        (name.unwrap_or_else(|| "peer".to_owned()), connection_facts(connection))
    });
    RunningFacts {
        role: status.role.to_string(),
        suspended: !status.suspended.is_empty(),
        suspended_by: status.suspended.iter().map(ToString::to_string).collect(),
        node_id: status.node_id,
        connections: connections.collect(),
    }
}

fn connection_facts(connection: &ConnectionStatus) -> ConnectionFacts {
    let volumes = connection.peer_devices.iter().map(|peer| {
        let facts = PeerVolumeFacts {
            replication: peer.replication_state.to_string(),
            disk: peer.peer_disk_state.to_string(),
            out_of_sync_bytes: peer.out_of_sync_kib.map(|kib| kib * 1024),
            paused_by: peer.resync_suspended.iter().map(ToString::to_string).collect(),
            done_percent: peer.done.map(|done| f64::from(done.hundredths()) / 100.0),
        };
        (peer.volume.to_string(), facts)
    });
    ConnectionFacts {
        connection: connection.connection_state.to_string(),
        role: connection.peer_role.to_string(),
        volumes: volumes.collect(),
    }
}

/// Adds where the devices are mounted.
pub(crate) fn add_mounts(facts: &mut ResourceFacts, mounts: &[Mount]) {
    for volume in facts.volumes.values_mut() {
        let Some(minor) = volume.minor else { continue };
        let source = format!("/dev/drbd{minor}");
        let own = mounts.iter().filter(|mount| mount.device == (DRBD_MAJOR, minor) || mount.source == source);
        volume.mounted_on = own.map(|mount| mount.mount_point.clone()).collect();
    }
}

fn plain(percent: Percent) -> f64 {
    f64::from(percent.hundredths()) / 100.0
}

/// Volume groups by name.
pub(crate) fn volume_groups(report: &LvmReport) -> BTreeMap<String, VolumeGroupFacts> {
    let groups = report.vgs.iter().map(|vg| {
        let pools = report.lvs.iter().filter(|lv| lv.vg == vg.name && lv.attr.is_thin_pool()).map(|lv| {
            let facts = ThinPoolFacts {
                size_bytes: lv.size_bytes,
                data_percent: lv.data_percent.map(plain),
                metadata_percent: lv.metadata_percent.map(plain),
                metadata_bytes: lv.metadata_bytes,
                promised_bytes: thin::promised_bytes(report, lv),
                state: thin::state(lv),
                autoextend: report.autoextend,
                zeroing: lv.attr.zeroes(),
            };
            (lv.name.clone(), facts)
        });
        let disks = report
            .pvs
            .iter()
            .filter(|pv| pv.vg.as_deref() == Some(vg.name.as_str()) && !pv.missing)
            .map(|pv| pv.device.clone());
        let facts = VolumeGroupFacts {
            uuid: vg.uuid.clone(),
            size_bytes: vg.size_bytes,
            free_bytes: vg.free_bytes,
            disks: disks.collect(),
            missing_disks: report.missing(&vg.name).map(PhysicalVolume::told).collect(),
            thin_pools: pools.collect(),
        };
        (vg.name.clone(), facts)
    });
    groups.collect()
}
