// SPDX-License-Identifier: MPL-2.0
//! The declaration of one replicated resource, for all of its nodes, as it is written on the wire.
//!
//! These types are what JSON says. What must hold *between* their parts is checked in [`crate::resource`],
//! whose [`crate::Resource`] is what the engine takes.

use crate::address::{Address, Endpoint};
use crate::name::{LvmName, Minor, NodeId, NodeName, Port, ResourceName, VolumeNumber};
use crate::options::{Family, InDisk, InNet, InOptions, OptionSet};
use crate::secret::Secret;
use crate::size::ByteSize;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Peer slots that are reserved in new DRBD 9 metadata: room for eight nodes. Metadata cannot grow slots later
/// without being made anew (docs/behaviour.md B14), and LINSTOR reserves the same number.
pub const DEFAULT_MAX_PEERS: u8 = 7;

/// One DRBD resource on all of its nodes. The same document goes to every node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Declaration {
    /// Name of the resource; also the name of its file, `/etc/drbd.d/<name>.res`.
    pub name: ResourceName,
    /// The nodes, by the name that `uname -n` prints there.
    #[schemars(extend("propertyNames" = { "x-check": "node-name" }))]
    pub nodes: BTreeMap<NodeName, Node>,
    /// The volumes, by number.
    #[schemars(extend("propertyNames" = { "x-check": "volume-number" }))]
    pub volumes: BTreeMap<VolumeNumber, Volume>,
    /// TCP port on which every node replicates, unless the node or a path says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<Port>,
    /// Options of the resource as a whole.
    #[serde(default, skip_serializing_if = "OptionSet::is_empty")]
    pub options: OptionSet<InOptions>,
    /// Options of every connection.
    #[serde(default, skip_serializing_if = "OptionSet::is_empty")]
    pub net: OptionSet<InNet>,
    /// Options of every backing disk.
    #[serde(default, skip_serializing_if = "OptionSet::is_empty")]
    pub disk: OptionSet<InDisk>,
    /// What peers must both know before they talk to each other. Sets `cram-hmac-alg` to sha256 unless `net` names
    /// another. It is written to the `.res` file (mode 0600) and shown nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_secret: Option<Secret>,
    /// What differs for one pair of nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub connections: Vec<Connection>,
    /// Peer slots to reserve in new DRBD 9 metadata, 1 to 31; 7 unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 31))]
    pub max_peers: Option<u8>,
    /// Which DRBD the hosts must run. Unset: whichever is there; what the declaration needs is checked either way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drbd: Option<Family>,
}

/// One node's part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// The node's number in this resource. It goes into the metadata: never change it, never reuse it while a peer
    /// remembers it.
    pub node_id: NodeId,
    /// Address on which this node replicates.
    pub address: Address,
    /// TCP port of this node, if not the resource's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<Port>,
    /// Where this node's backing devices come from.
    pub storage: Storage,
}

/// Where backing devices come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Storage {
    /// A thin logical volume per volume, named `<resource>_<number with five digits>` as LINSTOR names them.
    LvmThin {
        /// The volume group.
        volume_group: LvmName,
        /// The thin pool in it.
        thin_pool: LvmName,
    },
    /// A thick logical volume per volume, named alike.
    Lvm {
        /// The volume group.
        volume_group: LvmName,
    },
    /// Whole devices, by volume number. Use names that stay, such as `/dev/disk/by-id/...`.
    Devices(DeviceMap),
    /// No local data: a diskless client or tie-breaker (DRBD 9).
    Diskless {},
}

/// A device for each volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("propertyNames" = { "x-check": "volume-number" }))]
pub struct DeviceMap(pub BTreeMap<VolumeNumber, DevicePath>);

impl std::ops::Deref for DeviceMap {
    type Target = BTreeMap<VolumeNumber, DevicePath>;
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// Absolute path of a block device.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DevicePath(String);

impl DevicePath {
    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for DevicePath {
    type Error = crate::name::NotAllowed;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "/_.:+-@=,".contains(c));
        // By name only what DRBD itself names so: a volume group may well be called drbdpool. What a device is the host says.
        let drbd = text
            .strip_prefix("/dev/drbd")
            .is_some_and(|rest| rest.starts_with('/') || rest.starts_with(|c: char| c.is_ascii_digit()));
        let climbs = text.split('/').any(|part| part == ".." || part == ".");
        if plain && text.starts_with("/dev/") && text.len() > 5 && !climbs && !drbd {
            return Ok(Self(text));
        }
        Err(crate::name::NotAllowed(
            "the path of a block device below /dev that is not itself a DRBD device".into(),
        ))
    }
}

impl From<DevicePath> for String {
    fn from(path: DevicePath) -> Self {
        path.0
    }
}

impl std::fmt::Display for DevicePath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl JsonSchema for DevicePath {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "DevicePath".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "x-check": "device-path" })
    }
}

/// One volume, the same on all nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Volume {
    /// Minor number of the device, `/dev/drbd<minor>`.
    pub minor: Minor,
    /// Usable size, a multiple of 4 KiB. Logical volumes are made larger by what DRBD's metadata needs. Required unless
    /// every diskful node uses whole devices; then the smallest device decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<ByteSize>,
    /// Options of this volume's backing disks.
    #[serde(default, skip_serializing_if = "OptionSet::is_empty")]
    pub disk: OptionSet<InDisk>,
}

/// What differs for one pair of nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Connection {
    /// The two nodes.
    #[schemars(length(min = 2, max = 2))]
    pub nodes: Vec<NodeName>,
    /// Options of this connection, on top of the resource's.
    #[serde(default, skip_serializing_if = "OptionSet::is_empty")]
    pub net: OptionSet<InNet>,
    /// Network paths, each with one endpoint per node. Unset: one path over the nodes' addresses. More than one needs
    /// DRBD 9.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<BTreeMap<NodeName, Endpoint>>,
}

impl Declaration {
    /// The declaration as a request holds it: the one place where its secret is written out. The result goes to a
    /// host's standard input and nowhere else.
    pub fn to_request(&self) -> serde_json::Value {
        let mut request = serde_json::to_value(self).unwrap_or_default();
        if let (Some(secret), Some(members)) = (&self.shared_secret, request.as_object_mut()) {
            members.insert("shared_secret".into(), secret.expose().into());
        }
        request
    }
}
