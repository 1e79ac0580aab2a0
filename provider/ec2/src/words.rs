// SPDX-License-Identifier: MPL-2.0
//! Instances and volumes as this package tells of them. Plain values; where they come from is in `inventory.rs`.

use std::fmt;

use aws_sdk_ec2::types;

use crate::tags::{self, Tags};

/// An instance as the API describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// `i-…`.
    pub id: String,
    /// Its state.
    pub state: InstanceState,
    /// AWS's reason for the last change of state, where it gives one.
    pub state_reason: Option<String>,
    /// `ami-…`.
    pub image_id: String,
    /// For example `m6i.large`.
    pub instance_type: String,
    /// Its availability zone.
    pub availability_zone: String,
    /// Its subnet; none once it is terminated.
    pub subnet_id: Option<String>,
    /// Its network; none once it is terminated.
    pub vpc_id: Option<String>,
    /// Address inside the network.
    pub private_ip: Option<String>,
    /// Address outside of it.
    pub public_ip: Option<String>,
    /// Name of the key pair.
    pub key_name: Option<String>,
    /// Its security groups, sorted.
    pub security_group_ids: Vec<String>,
    /// ARN of the instance profile.
    pub iam_instance_profile: Option<String>,
    /// Whether it is a spot instance.
    pub spot: bool,
    /// The placement group.
    pub placement_group: Option<String>,
    /// Device name of the root disk, as the image says.
    pub root_device: Option<String>,
    /// Its primary network interface.
    pub interface_id: Option<String>,
    /// Whether the network drops packets that are not addressed to it.
    pub source_dest_check: Option<bool>,
    /// Disks, the root disk among them.
    pub disks: Vec<Attachment>,
    /// Tags.
    pub tags: Tags,
}

/// A volume on an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The volume.
    pub volume_id: String,
    /// The instance.
    pub instance_id: String,
    /// The device name by EC2's count (`/dev/sdf`), which is not the name inside the guest.
    pub device: String,
    /// `attaching`, `attached`, `detaching`, `busy`.
    pub state: String,
}

/// State of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InstanceState {
    /// Being started.
    Pending,
    /// Started.
    Running,
    /// Being stopped.
    Stopping,
    /// Stopped; can be started.
    Stopped,
    /// Being terminated.
    ShuttingDown,
    /// Gone for good; still listed for about an hour.
    Terminated,
    /// A word that this package does not know.
    Other(String),
}

impl InstanceState {
    /// Whether it is gone, or about to be.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::ShuttingDown | Self::Terminated)
    }
}

impl fmt::Display for InstanceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::ShuttingDown => "shutting-down",
            Self::Terminated => "terminated",
            Self::Other(word) => word,
        })
    }
}

/// A volume as the API describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// `vol-…`.
    pub id: String,
    /// Its state.
    pub state: VolumeState,
    /// Size in GiB.
    pub size_gib: u32,
    /// For example `gp3`.
    pub volume_type: String,
    /// I/O operations per second, where the type has them.
    pub iops: Option<u32>,
    /// MiB per second, where the type has them.
    pub throughput: Option<u32>,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// ARN of the key.
    pub kms_key_id: Option<String>,
    /// Its availability zone.
    pub availability_zone: String,
    /// The snapshot from which it was made. Without one it began as zeroes.
    pub snapshot_id: Option<String>,
    /// Where it is attached.
    pub attachments: Vec<Attachment>,
    /// Tags.
    pub tags: Tags,
}

/// State of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VolumeState {
    /// Being made.
    Creating,
    /// Attached nowhere.
    Available,
    /// Attached, or being attached or detached.
    InUse,
    /// Being deleted, or deleted.
    Deleted,
    /// Failed; its data are lost.
    Error,
    /// A word that this package does not know.
    Other(String),
}

impl fmt::Display for VolumeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Creating => "creating",
            Self::Available => "available",
            Self::InUse => "in-use",
            Self::Deleted => "deleted",
            Self::Error => "error",
            Self::Other(word) => word,
        })
    }
}

/// A text that the API may leave out or give as empty.
pub(crate) fn text(value: Option<&str>) -> Option<String> {
    value.filter(|text| !text.is_empty()).map(str::to_owned)
}

/// A count that the API gives as a signed number.
pub(crate) fn count(value: Option<i32>) -> Option<u32> {
    value.and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0)
}

impl Instance {
    /// From the API's form; none for one without an id.
    pub(crate) fn read(api: &types::Instance) -> Option<Self> {
        let id = text(api.instance_id())?;
        let placement = api.placement();
        let interface = api.network_interfaces().iter().find(|interface| {
            interface.attachment().is_none_or(|attachment| attachment.device_index().unwrap_or(0) == 0)
        });
        // Those of the primary interface count: with several interfaces the instance itself has none to be changed.
        let groups = interface.map(|interface| interface.groups()).filter(|groups| !groups.is_empty());
        let groups = groups.unwrap_or_else(|| api.security_groups()).iter();
        let mut groups: Vec<String> = groups.filter_map(|group| text(group.group_id())).collect();
        groups.sort();
        let disks = api.block_device_mappings().iter().filter_map(|mapping| {
            Some(Attachment {
                volume_id: text(mapping.ebs()?.volume_id())?,
                instance_id: id.clone(),
                device: text(mapping.device_name())?,
                state: mapping.ebs()?.status().map_or_else(String::new, |state| state.as_str().to_owned()),
            })
        });
        Some(Self {
            state: instance_state(api.state()),
            state_reason: api.state_reason().and_then(|reason| text(reason.message())),
            image_id: text(api.image_id()).unwrap_or_default(),
            instance_type: api.instance_type().map_or_else(String::new, |t| t.as_str().to_owned()),
            availability_zone: text(placement.and_then(types::Placement::availability_zone))
                .unwrap_or_default(),
            subnet_id: text(api.subnet_id()),
            vpc_id: text(api.vpc_id()),
            private_ip: text(api.private_ip_address()),
            public_ip: text(api.public_ip_address()),
            key_name: text(api.key_name()),
            security_group_ids: groups,
            iam_instance_profile: api.iam_instance_profile().and_then(|profile| text(profile.arn())),
            spot: api.instance_lifecycle().is_some_and(|cycle| cycle.as_str() == "spot"),
            placement_group: text(placement.and_then(types::Placement::group_name)),
            root_device: text(api.root_device_name()),
            interface_id: interface.and_then(|interface| text(interface.network_interface_id())),
            source_dest_check: interface
                .and_then(|interface| interface.source_dest_check())
                .or_else(|| api.source_dest_check()),
            disks: disks.collect(),
            tags: tags::read(api.tags()),
            id,
        })
    }
}

fn instance_state(state: Option<&types::InstanceState>) -> InstanceState {
    match state.and_then(types::InstanceState::name).map_or("", types::InstanceStateName::as_str) {
        "pending" => InstanceState::Pending,
        "running" => InstanceState::Running,
        "stopping" => InstanceState::Stopping,
        "stopped" => InstanceState::Stopped,
        "shutting-down" => InstanceState::ShuttingDown,
        "terminated" => InstanceState::Terminated,
        other => InstanceState::Other(other.to_owned()),
    }
}

impl Volume {
    /// From the API's form; none for one without an id.
    pub(crate) fn read(api: &types::Volume) -> Option<Self> {
        let attachments = api.attachments().iter().filter_map(|attachment| {
            Some(Attachment {
                volume_id: text(api.volume_id())?,
                instance_id: text(attachment.instance_id())?,
                device: text(attachment.device()).unwrap_or_default(),
                state: attachment.state().map_or_else(String::new, |state| state.as_str().to_owned()),
            })
        });
        Some(Self {
            id: text(api.volume_id())?,
            state: volume_state(api.state()),
            size_gib: count(api.size()).unwrap_or_default(),
            volume_type: api.volume_type().map_or_else(String::new, |t| t.as_str().to_owned()),
            iops: count(api.iops()),
            throughput: count(api.throughput()),
            encrypted: api.encrypted().unwrap_or_default(),
            kms_key_id: text(api.kms_key_id()),
            availability_zone: text(api.availability_zone()).unwrap_or_default(),
            snapshot_id: text(api.snapshot_id()),
            attachments: attachments.filter(|a| a.state != "detached").collect(),
            tags: tags::read(api.tags()),
        })
    }

    /// The attachment to an instance.
    pub fn on(&self, instance_id: &str) -> Option<&Attachment> {
        self.attachments.iter().find(|attachment| attachment.instance_id == instance_id)
    }
}

fn volume_state(state: Option<&types::VolumeState>) -> VolumeState {
    match state.map_or("", types::VolumeState::as_str) {
        "creating" => VolumeState::Creating,
        "available" => VolumeState::Available,
        "in-use" => VolumeState::InUse,
        "deleting" | "deleted" => VolumeState::Deleted,
        "error" => VolumeState::Error,
        other => VolumeState::Other(other.to_owned()),
    }
}
