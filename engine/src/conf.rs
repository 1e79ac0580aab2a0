// SPDX-License-Identifier: MPL-2.0
//! The configuration of a host as `drbdadm` reads it: which files, and what they say of each resource. One reader for
//! everybody who wants to know what a `.res` file means. Pure; the files are gathered by [`crate::observe`].
//!
//! Every value keeps where it stands, so that a message can name the user's own line. Not here: whether `drbdadm` accepts
//! a file (it is asked), and rendering ([`crate::res_file`]).

mod claims;
mod files;
mod read;
mod resource;
mod settings;
#[cfg(test)]
mod tests;

pub use claims::{Claim, claims, claims_of};
pub(crate) use files::TOP;
pub use files::{Files, Source, gather};
pub use read::{only, read};
pub use settings::Inherited;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Where something stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Path of the file.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: usize,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// One option of one section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// `options`, `net`, `disk`, `handlers`, `startup` or `proxy`.
    pub section: String,
    /// Name of the option.
    pub name: String,
    /// Its value; `yes` for a switch that stands without one. Secrets are masked.
    pub value: String,
    /// Where it stands.
    pub origin: Origin,
}

/// All that the files of a host say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    /// What the `common` sections give every resource that has no template.
    pub common: Vec<Setting>,
    /// The resources, in the order of the files.
    pub resources: Vec<ResourceConf>,
    /// Files that are not in DRBD's syntax, each with what is wrong. They say nothing here.
    pub unreadable: Vec<(String, String)>,
}

impl Configuration {
    /// The resource of this name.
    pub fn resource(&self, name: &str) -> Option<&ResourceConf> {
        self.resources.iter().find(|resource| resource.name == name)
    }
}

/// The configuration of a host, with one of its resources in view.
#[derive(Clone, Debug, Default)]
pub struct OnHost {
    /// The files.
    pub files: Files,
    /// What they say.
    pub all: Configuration,
    /// What they say of the resource in view.
    pub own: Option<ResourceConf>,
}

impl OnHost {
    /// The other host of the resource, if there is exactly one.
    pub fn only_peer<'a>(&'a self, node: &'a str) -> Option<&'a str> {
        let mut peers = self.own.as_ref()?.peers(node);
        peers.next().filter(|_| peers.next().is_none())
    }
}

/// One resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceConf {
    /// Its name.
    pub name: String,
    /// Where it begins.
    pub origin: Origin,
    /// Its own sections; those of its hosts, volumes and connections are there.
    pub settings: Vec<Setting>,
    /// The `common` of its `template-file`, which stands in the place of the host's.
    pub template: Option<Vec<Setting>>,
    /// Its hosts.
    pub hosts: Vec<HostConf>,
    /// Its connections, a mesh taken apart into pairs; also the one that two hosts with addresses have without saying so.
    pub connections: Vec<ConnectionConf>,
}

impl ResourceConf {
    /// What is said of the host of this name.
    pub fn host(&self, node: &str) -> Option<&HostConf> {
        self.hosts.iter().find(|host| host.names.iter().any(|name| name == node))
    }

    /// The other hosts by name.
    pub fn peers<'a>(&'a self, node: &'a str) -> impl Iterator<Item = &'a str> {
        let names = self.hosts.iter().flat_map(|host| &host.names).map(String::as_str);
        names.filter(move |name| *name != node)
    }

    /// Where a host replicates: the endpoints of its connections, or its own.
    pub fn endpoints<'a>(&'a self, host: &'a HostConf) -> impl Iterator<Item = &'a EndpointConf> {
        let paths = self.connections.iter().flat_map(|connection| &connection.paths);
        let ends = paths.flatten().filter(|end| host.is(&end.host));
        ends.filter_map(|end| end.address.as_ref()).chain(host.address.as_ref())
    }
}

/// How a host is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostKind {
    /// `on NAME …`
    On,
    /// `floating ADDRESS`: the host that has this address.
    Floating,
    /// `stacked-on-top-of RESOURCE`: the host where that resource is Primary.
    StackedOn(String),
}

/// One host of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostConf {
    /// Its names; a floating host has its address and port, a stacked one the names of the hosts below.
    pub names: Vec<String>,
    /// How it is named.
    pub kind: HostKind,
    /// Its node-id, where one is given.
    pub node_id: Option<u8>,
    /// Its own address.
    pub address: Option<EndpointConf>,
    /// The DRBD Proxy that it speaks through.
    pub proxy: Option<ProxyConf>,
    /// Its volumes; what the resource says of them is merged in.
    pub volumes: BTreeMap<u16, VolumeConf>,
    /// Its own sections.
    pub settings: Vec<Setting>,
    /// Where it begins.
    pub origin: Origin,
}

impl HostConf {
    /// A connection names this host; several names are joined by underscores there.
    pub fn is(&self, name: &str) -> bool {
        self.names.iter().any(|own| own == name) || self.names.join("_") == name
    }
}

/// An address with its port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointConf {
    /// `ipv4`, `ipv6`, `sdp`, `ssocks`.
    pub family: String,
    /// The address, without brackets.
    pub address: String,
    /// The port.
    pub port: u16,
}

/// A DRBD Proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyConf {
    /// Where it runs.
    pub hosts: Vec<String>,
    /// Towards DRBD.
    pub inside: Option<EndpointConf>,
    /// Towards the other proxy.
    pub outside: Option<EndpointConf>,
}

/// One volume on one host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VolumeConf {
    /// Path of the DRBD device, where one is given.
    pub device: Option<String>,
    /// Its minor.
    pub minor: Option<u32>,
    /// Its backing device.
    pub disk: Option<DiskConf>,
    /// Where its metadata are, as far as a file says; DRBD's default is [`MetaDiskConf::Internal`].
    pub meta_disk: Option<MetaDiskConf>,
    /// Its own section `disk`.
    pub settings: Vec<Setting>,
}

/// A backing device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskConf {
    /// `none`: diskless.
    None,
    /// This device.
    Device(String),
}

/// Where metadata are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetaDiskConf {
    /// At the end of the backing device.
    Internal,
    /// In a fixed slot of another device.
    Indexed {
        /// The device.
        device: String,
        /// Which slot.
        index: u32,
    },
    /// On a device of their own.
    Flexible {
        /// The device.
        device: String,
    },
}

impl VolumeConf {
    /// The backing device, if there is one.
    pub fn backing(&self) -> Option<&str> {
        match &self.disk {
            Some(DiskConf::Device(path)) => Some(path),
            Some(DiskConf::None) | None => None,
        }
    }

    /// The device besides the backing device that holds its metadata.
    pub fn external_metadata(&self) -> Option<&str> {
        match &self.meta_disk {
            Some(MetaDiskConf::Indexed { device, .. } | MetaDiskConf::Flexible { device }) => Some(device),
            Some(MetaDiskConf::Internal) | None => None,
        }
    }
}

/// One connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionConf {
    /// Its paths, two ends each.
    pub paths: Vec<[EndConf; 2]>,
    /// Its own sections.
    pub settings: Vec<Setting>,
    /// Section `disk` of a volume on this connection only.
    pub volumes: BTreeMap<u16, Vec<Setting>>,
    /// Where it begins.
    pub origin: Origin,
}

/// One end of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndConf {
    /// The host.
    pub host: String,
    /// Its address on this path; that of the host where the path gives none.
    pub address: Option<EndpointConf>,
    /// The DRBD Proxy on this path.
    pub proxy: Option<ProxyConf>,
}
