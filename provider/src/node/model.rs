// SPDX-License-Identifier: MPL-2.0
//! A node as values: reading it from a configuration or a state, and what follows from it. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use drbd_schemas::address::Address;
use drbd_schemas::declaration::{DeviceMap, DevicePath};
use drbd_schemas::{ByteSize, Family, LvmName, NodeName, Storage, VolumeNumber};
use tfplugin::{Decode, Diagnostic, Path, Reader, Value};

use super::ec2;
use crate::ssh_settings::SshSettings;

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NodeModel {
    pub(crate) name: NodeName,
    /// Unset only while the address of a node is not yet computed.
    pub(crate) address: Option<Address>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) pools: BTreeMap<String, Pool>,
    /// None when it is not known.
    pub(crate) family: Option<Family>,
    /// The module that the host must have; none when any will do.
    pub(crate) module: Option<Family>,
    /// None when it is not known yet: in a plan, and for an instance whose making ended before its address was known.
    pub(crate) ssh: Option<SshSettings>,
    /// What may be destroyed. Always empty for a node inside a group.
    pub(crate) consent: Vec<String>,
}

/// A storage pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pool {
    pub(crate) kind: PoolKind,
    /// Disks of which it is made; empty when it must exist.
    pub(crate) disks: Vec<DevicePath>,
    /// At least this much for the metadata of its thin pool.
    pub(crate) thin_pool_metadata_size: Option<ByteSize>,
}

/// Where backing devices come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PoolKind {
    LvmThin {
        volume_group: LvmName,
        thin_pool: LvmName,
    },
    Lvm {
        volume_group: LvmName,
    },
    /// By the name of the replicated volume.
    Devices(BTreeMap<String, DevicePath>),
}

impl PoolKind {
    /// The storage of a volume's replica; none when there is no device for it.
    pub(crate) fn storage(&self, volume: &str) -> Option<Storage> {
        match self {
            Self::LvmThin { volume_group, thin_pool } => {
                Some(Storage::LvmThin { volume_group: volume_group.clone(), thin_pool: thin_pool.clone() })
            }
            Self::Lvm { volume_group } => Some(Storage::Lvm { volume_group: volume_group.clone() }),
            Self::Devices(devices) => {
                let device = devices.get(volume)?.clone();
                Some(Storage::Devices(DeviceMap(BTreeMap::from([(VolumeNumber::ZERO, device)]))))
            }
        }
    }
}

impl Pool {
    /// The volume group, and the thin pool in it.
    pub(crate) fn lvm(&self) -> Option<(&LvmName, Option<&LvmName>)> {
        match &self.kind {
            PoolKind::LvmThin { volume_group, thin_pool } => Some((volume_group, Some(thin_pool))),
            PoolKind::Lvm { volume_group } => Some((volume_group, None)),
            PoolKind::Devices(_) => None,
        }
    }
}

impl<'v> Decode<'v> for NodeModel {
    fn decode(value: &'v Value, path: &Path) -> Result<Self, Diagnostic> {
        let r = Reader::decode(value, path)?;
        let family = r.known::<&str>("drbd_family")?.known();
        let module = r.known::<&str>("module_version")?.known();
        let ssh = r.raw("ssh");
        let consent = consent(&r)?;
        Ok(Self {
            name: parsed(&r, "name", r.required_str("name")?, NodeName::new)?,
            address: r
                .opt_str("address")?
                .map(|text| parsed(&r, "address", text, Address::try_from))
                .transpose()?,
            labels: r.get::<Option<BTreeMap<String, String>>>("labels")?.unwrap_or_default(),
            pools: r
                .entries("storage_pools")?
                .into_iter()
                .map(|(name, pool)| Ok((name.to_owned(), pool_of(&pool, ec2::devices(value, name))?)))
                .collect::<Result<_, Diagnostic>>()?,
            family: family.and_then(family_of),
            module: module.and_then(family_of),
            ssh: if ssh.is_wholly_known() && !ssh.is_null() {
                Some(SshSettings::decode(ssh, &r.path_of("ssh"))?)
            } else {
                None
            },
            consent,
        })
    }
}

/// The family that a text names.
pub(crate) fn family_of(text: &str) -> Option<Family> {
    [Family::V84, Family::V9].into_iter().find(|family| family.to_string() == text)
}

/// The tokens of the attribute `consent`; none while one of them is not known yet.
pub(crate) fn consent(r: &Reader<'_>) -> Result<Vec<String>, Diagnostic> {
    if !r.raw("consent").is_wholly_known() {
        return Ok(Vec::new());
    }
    Ok(r.get::<Option<Vec<String>>>("consent")?.unwrap_or_default())
}

/// `ebs`: paths of the volumes that were attached for it.
fn pool_of(r: &Reader<'_>, ebs: Vec<String>) -> Result<Pool, Diagnostic> {
    let lvm_name = |r: &Reader<'_>, name: &str| parsed(r, name, r.required_str(name)?, LvmName::new);
    let kind = if let Some(thin) = r.nested("lvm_thin")? {
        PoolKind::LvmThin {
            volume_group: lvm_name(&thin, "volume_group")?,
            thin_pool: lvm_name(&thin, "thin_pool")?,
        }
    } else if let Some(lvm) = r.nested("lvm")? {
        PoolKind::Lvm { volume_group: lvm_name(&lvm, "volume_group")? }
    } else {
        let devices = r.get::<BTreeMap<String, String>>("devices")?;
        let devices = devices
            .into_iter()
            .map(|(volume, device)| Ok((volume, parsed(r, "devices", &device, DevicePath::try_from)?)))
            .collect::<Result<_, Diagnostic>>()?;
        PoolKind::Devices(devices)
    };
    let mut disks = r.get::<Option<Vec<String>>>("disks")?.unwrap_or_default();
    disks.extend(ebs);
    let disks =
        disks.iter().map(|disk| parsed(r, "disks", disk, DevicePath::try_from)).collect::<Result<_, _>>()?;
    let thin_pool_metadata_size = r
        .opt_str("thin_pool_metadata_size")?
        .map(|text| parsed(r, "thin_pool_metadata_size", text, |text| ByteSize::parse(&text)))
        .transpose()?;
    Ok(Pool { kind, disks, thin_pool_metadata_size })
}

/// A text parsed by the contract's own parser, with a diagnostic at its attribute.
pub(crate) fn parsed<T>(
    r: &Reader<'_>,
    name: &str,
    text: &str,
    parse: impl FnOnce(String) -> Result<T, drbd_schemas::name::NotAllowed>,
) -> Result<T, Diagnostic> {
    parse(text.to_owned()).map_err(|allowed| {
        let detail = format!("{} is {text:?}; allowed: {allowed}.", r.path_of(name));
        r.error(name, "Value not allowed", detail)
    })
}

/// What to plan for an address that is not configured: the SSH host where that is an IP address.
///
/// # Errors
/// When the host is a name.
pub(crate) fn default_address(ssh: &Value) -> Result<Value, Diagnostic> {
    let host = ssh.get("host");
    let Some(text) = host.as_str() else { return Ok(Value::unknown()) };
    if text.parse::<IpAddr>().is_ok() {
        return Ok(text.into());
    }
    let detail = format!(
        "The host {text:?} is named by a DNS name, and DRBD replicates between IP addresses only. Set address to the IP \
         address on which this node shall replicate."
    );
    Err(Diagnostic::error("No replication address", detail).at(Path::of("address")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> Value {
        Value::object([
            ("name", Value::from("h1")),
            ("address", Value::from("10.0.0.1")),
            ("labels", Value::map([("zone", "a")])),
            ("ssh", Value::object([("host", "10.0.0.1")])),
            ("drbd_family", Value::from("8.4")),
            (
                "storage_pools",
                Value::map([("data", Value::object([("lvm", Value::object([("volume_group", "vg0")]))]))]),
            ),
        ])
    }

    #[test]
    fn a_node_is_read_with_its_pools() {
        let value = node();
        let model = NodeModel::decode(&value, &Path::root()).unwrap();
        assert_eq!((model.name.as_str(), model.family), ("h1", Some(Family::V84)));
        let storage = model.pools["data"].kind.storage("r0").unwrap();
        assert_eq!(storage, Storage::Lvm { volume_group: LvmName::new("vg0").unwrap() });
    }

    #[test]
    fn devices_are_found_by_volume_name() {
        let mut value = node();
        let devices = Value::object([("devices", Value::map([("r0", "/dev/vdb")]))]);
        value.set("storage_pools", Value::map([("data", devices)]));
        let model = NodeModel::decode(&value, &Path::root()).unwrap();
        assert!(model.pools["data"].kind.storage("r0").is_some());
        assert!(model.pools["data"].kind.storage("r1").is_none());
    }

    #[test]
    fn a_bad_value_is_told_at_its_place() {
        let mut value = node();
        value.set("address", "h1.example.net");
        let error = NodeModel::decode(&value, &Path::of("nodes").key("a")).unwrap_err();
        assert_eq!(error.path.unwrap().to_string(), "nodes[\"a\"].address");
    }

    #[test]
    fn how_to_log_in_may_be_unknown() {
        let mut value = node();
        value.set("ssh", Value::object([("host", Value::unknown())]));
        value.set("drbd_family", Value::unknown());
        assert_eq!(NodeModel::decode(&value, &Path::root()).unwrap().ssh, None);
    }

    #[test]
    fn an_address_is_taken_from_the_ssh_host_only_where_it_is_one() {
        let of = |host: Value| default_address(&Value::object([("host", host)]));
        assert_eq!(of("10.0.0.1".into()).unwrap(), Value::from("10.0.0.1"));
        assert!(of(Value::unknown()).unwrap().is_unknown());
        assert_eq!(of("h1.example.net".into()).unwrap_err().path, Some(Path::of("address")));
    }
}
