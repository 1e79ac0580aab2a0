// SPDX-License-Identifier: MPL-2.0
//! Replication addresses.

use crate::name::{NotAllowed, Port};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

const IP_ALLOWED: &str = "an IPv4 or IPv6 address (DRBD takes no host names)";
const ENDPOINT_ALLOWED: &str = "ADDRESS:PORT, for IPv6 [ADDRESS]:PORT";

/// An IP address on which a node replicates. `drbdadm` takes addresses only: a name would be resolved at other
/// times on other hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address(pub IpAddr);

impl TryFrom<String> for Address {
    type Error = NotAllowed;
    fn try_from(text: String) -> Result<Self, NotAllowed> {
        let ip: IpAddr = text.parse().map_err(|_| NotAllowed(IP_ALLOWED.into()))?;
        if ip.is_unspecified() || ip.is_multicast() {
            return Err(NotAllowed("the address of one host, neither unspecified nor multicast".into()));
        }
        Ok(Self(ip))
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.0.to_string()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl JsonSchema for Address {
    fn schema_name() -> Cow<'static, str> {
        "Address".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "x-check": "address", "examples": ["10.99.0.11", "fd00::11"] })
    }
}

/// An address with its port, as it stands behind `address` in a `.res` file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Endpoint {
    /// The address.
    pub address: Address,
    /// The TCP port.
    pub port: Port,
}

impl Endpoint {
    /// `ipv4 10.0.0.1:7000` or `ipv6 [fd00::1]:7000`, drbd.conf's spelling.
    pub fn drbd_conf(&self) -> String {
        let family = if self.address.0.is_ipv4() { "ipv4" } else { "ipv6" };
        format!("{family} {self}")
    }
}

impl TryFrom<String> for Endpoint {
    type Error = NotAllowed;
    fn try_from(text: String) -> Result<Self, NotAllowed> {
        let refuse = || NotAllowed(ENDPOINT_ALLOWED.into());
        let (host, port) = text.rsplit_once(':').ok_or_else(refuse)?;
        let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let address = Address::try_from(bracketed.unwrap_or(host).to_owned())?;
        if address.0.is_ipv6() != bracketed.is_some() {
            return Err(refuse());
        }
        let port = Port::new(port.parse().map_err(|_| refuse())?)?;
        Ok(Self { address, port })
    }
}

impl From<Endpoint> for String {
    fn from(endpoint: Endpoint) -> Self {
        endpoint.to_string()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address.0 {
            IpAddr::V4(ip) => write!(f, "{ip}:{}", self.port),
            IpAddr::V6(ip) => write!(f, "[{ip}]:{}", self.port),
        }
    }
}

impl JsonSchema for Endpoint {
    fn schema_name() -> Cow<'static, str> {
        "Endpoint".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "x-check": "endpoint", "examples": ["10.99.0.11:7000", "[fd00::11]:7000"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_print_as_drbd_conf_wants_them() {
        let show = |text: &str| Endpoint::try_from(text.to_owned()).map(|e| e.drbd_conf());
        assert_eq!(show("10.0.0.1:7000").unwrap(), "ipv4 10.0.0.1:7000");
        assert_eq!(show("[fd00::1]:7000").unwrap(), "ipv6 [fd00::1]:7000");
        for bad in ["10.0.0.1", "h1:7000", "fd00::1:7000", "10.0.0.1:0", "0.0.0.0:7000", "[10.0.0.1]:7000"] {
            assert!(show(bad).is_err(), "{bad}");
        }
    }
}
