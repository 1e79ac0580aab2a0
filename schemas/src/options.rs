// SPDX-License-Identifier: MPL-2.0
//! The closed set of DRBD options that a declaration may set, each with its value type.
//!
//! Names, ranges and sections are those of drbd.conf-9.0(5) and drbd.conf-8.4(5). An option that is not here is
//! refused by name: passing unknown words on to `drbdadm` would break every resource of the host at once
//! (docs/behaviour.md B9). `shared-secret` is a field of its own, because it is a secret.

mod kind;

pub use kind::{Kind, SizeRange};

use crate::name::NotAllowed;
use kind::{bytes, kib, sectors};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::marker::PhantomData;

/// Which DRBD a host runs: they differ in configuration words, metadata format and what they can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Family {
    /// The in-tree module of stock kernels: two nodes, metadata v08.
    #[serde(rename = "8.4")]
    V84,
    /// DRBD 9: up to 32 nodes, metadata v09.
    #[serde(rename = "9")]
    V9,
}

impl Family {
    /// The family of a module version such as `8.4.11` or `9.2.18`.
    pub fn of_version(version: &str) -> Option<Self> {
        match version.split('.').next() {
            Some("8") => Some(Self::V84),
            Some("9") => Some(Self::V9),
            _ => None,
        }
    }

    /// The family of a kernel module, by `DRBD_KERNEL_VERSION_CODE` (`0xMMmmpp`). `None` for code 0 (no module loaded)
    /// and for generations that are neither 8.4 nor 9.
    pub fn of_kernel_code(code: u32) -> Option<Self> {
        match (code >> 16, (code >> 8) & 0xff) {
            (8, 4) => Some(Self::V84),
            (9, _) => Some(Self::V9),
            _ => None,
        }
    }

    /// Name of its metadata format, as `drbdmeta` takes it.
    pub fn metadata_format(self) -> &'static str {
        match self {
            Self::V84 => "v08",
            Self::V9 => "v09",
        }
    }
}

impl std::fmt::Display for Family {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::V84 => "8.4",
            Self::V9 => "9",
        })
    }
}

/// A section of drbd.conf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// `options { }` of a resource.
    Options,
    /// `net { }` of a resource or a connection.
    Net,
    /// `disk { }` of a resource or a volume.
    Disk,
}

impl Section {
    /// The section's keyword.
    pub fn keyword(self) -> &'static str {
        match self {
            Self::Options => "options",
            Self::Net => "net",
            Self::Disk => "disk",
        }
    }
}

/// One option.
#[derive(Clone, Copy, Debug)]
pub struct OptionInfo {
    /// Its section in a declaration (and in DRBD 9).
    pub section: Section,
    /// Its name, in DRBD's spelling with hyphens.
    pub name: &'static str,
    /// Its values.
    pub kind: Kind,
    /// The one family that knows it, or `None` for both.
    pub only: Option<Family>,
    /// One line for people.
    pub description: &'static str,
}

const fn opt(section: Section, name: &'static str, kind: Kind, description: &'static str) -> OptionInfo {
    OptionInfo { section, name, kind, only: None, description }
}

const fn nine(section: Section, name: &'static str, kind: Kind, description: &'static str) -> OptionInfo {
    OptionInfo { section, name, kind, only: Some(Family::V9), description }
}

const fn old(section: Section, name: &'static str, kind: Kind, description: &'static str) -> OptionInfo {
    OptionInfo { section, name, kind, only: Some(Family::V84), description }
}

use Kind::{Algorithm, Bool, Int, Word, WordOrCount};
use Section::{Disk, Net, Options};

/// Every option that can be declared.
pub const OPTIONS: &[OptionInfo] = &[
    nine(Options, "auto-promote", Bool, "Promote when the device is opened for writing"),
    nine(
        Options,
        "auto-promote-timeout",
        Int(0, 600),
        "How long an open waits for promotion, in tenths of a second",
    ),
    nine(Options, "max-io-depth", Int(4, 4_294_967_295), "Requests in flight before writers wait"),
    opt(
        Options,
        "on-no-data-accessible",
        Word(&["io-error", "suspend-io"]),
        "What happens to I/O when no UpToDate data can be reached",
    ),
    nine(
        Options,
        "on-no-quorum",
        Word(&["io-error", "suspend-io"]),
        "What happens to I/O when quorum is lost",
    ),
    nine(
        Options,
        "on-suspended-primary-outdated",
        Word(&["disconnect", "force-secondary"]),
        "What a suspended Primary with outdated data does",
    ),
    nine(Options, "peer-ack-delay", Int(1, 10_000), "Idle time before a peer-ack is sent, in milliseconds"),
    nine(
        Options,
        "quorum",
        WordOrCount(&["off", "majority", "all"]),
        "How many nodes must be reachable for writing",
    ),
    nine(
        Options,
        "quorum-minimum-redundancy",
        WordOrCount(&["off", "majority", "all"]),
        "How many UpToDate replicas must be reachable for writing",
    ),
    nine(
        Options,
        "twopc-retry-timeout",
        Int(1, 50),
        "Pause before a refused cluster-wide change is tried again, in tenths of a second",
    ),
    nine(Options, "twopc-timeout", Int(50, 600), "Deadline of a cluster-wide change, in tenths of a second"),
    // discard-local and discard-remote are not here: a declaration is the same on both sides, and the kernel wants one of
    // them here and the other one there, or the two never connect ("incompatible after-sb-0pri settings", drbd_receiver.c).
    opt(
        Net,
        "after-sb-0pri",
        Word(&[
            "disconnect",
            "discard-younger-primary",
            "discard-older-primary",
            "discard-zero-changes",
            "discard-least-changes",
        ]),
        "Split brain with no Primary: policies other than disconnect discard data without asking",
    ),
    opt(
        Net,
        "after-sb-1pri",
        Word(&["disconnect", "consensus", "violently-as0p", "discard-secondary", "call-pri-lost-after-sb"]),
        "Split brain with one Primary",
    ),
    opt(
        Net,
        "after-sb-2pri",
        Word(&["disconnect", "violently-as0p", "call-pri-lost-after-sb"]),
        "Split brain with two Primaries",
    ),
    nine(Net, "allow-remote-read", Bool, "Read from peers when there is no local data"),
    opt(
        Net,
        "allow-two-primaries",
        Bool,
        "Allow two Primaries at once (cluster file systems, live migration)",
    ),
    opt(Net, "always-asbp", Bool, "Apply the after-split-brain policies even when histories are unclear"),
    opt(
        Net,
        "congestion-extents",
        Int(67, 65_534),
        "Active extents above which a connection counts as congested",
    ),
    opt(
        Net,
        "congestion-fill",
        sectors(0, 20_971_520),
        "Data in flight above which a connection counts as congested",
    ),
    opt(Net, "connect-int", Int(1, 120), "Seconds between connection attempts"),
    opt(Net, "cram-hmac-alg", Algorithm, "Algorithm with which peers prove that they know the shared secret"),
    opt(Net, "csums-after-crash-only", Bool, "Use csums-alg only for the resync after a crash"),
    opt(Net, "csums-alg", Algorithm, "Compare checksums during a resync and send only what differs"),
    opt(
        Net,
        "data-integrity-alg",
        Algorithm,
        "Checksum every block on its way to the peer (costly; for tests)",
    ),
    opt(
        Net,
        "fencing",
        Word(&["dont-care", "resource-only", "resource-and-stonith"]),
        "What a Primary does about a peer that it lost",
    ),
    opt(Net, "ko-count", Int(0, 200), "Timeouts of one write before the peer is dropped; 0 disables"),
    opt(Net, "max-buffers", Int(32, 131_072), "Pages for receiving data"),
    opt(Net, "max-epoch-size", Int(1, 20_000), "Writes between two barriers"),
    opt(
        Net,
        "on-congestion",
        Word(&["block", "pull-ahead", "disconnect"]),
        "What happens when a connection is congested (protocol A)",
    ),
    opt(Net, "ping-int", Int(1, 120), "Seconds between keep-alive packets on an idle connection"),
    opt(
        Net,
        "ping-timeout",
        Int(1, 300),
        "Deadline for the answer to a keep-alive packet, in tenths of a second",
    ),
    opt(
        Net,
        "protocol",
        Word(&["A", "B", "C"]),
        "When a write is done: A local disk and send buffer, B peer's memory, C both disks",
    ),
    opt(Net, "rcvbuf-size", bytes(0, 10_485_760), "TCP receive buffer; 0 lets the kernel choose"),
    opt(
        Net,
        "rr-conflict",
        Word(&["disconnect", "call-pri-lost", "violently", "retry-connect", "auto-discard"]),
        "What happens when roles and resync direction contradict each other",
    ),
    opt(Net, "sndbuf-size", bytes(0, 10_485_760), "TCP send buffer; 0 lets the kernel choose"),
    opt(
        Net,
        "socket-check-timeout",
        Int(0, 300),
        "Deadline for the check of a new socket, in tenths of a second",
    ),
    opt(Net, "tcp-cork", Bool, "Let TCP gather small packets"),
    opt(Net, "timeout", Int(1, 600), "Deadline for a peer's answer, in tenths of a second"),
    nine(Net, "transport", Word(&["tcp", "lb-tcp", "rdma"]), "Transport of the connection"),
    old(
        Net,
        "unplug-watermark",
        Int(1, 131_072),
        "Pending requests at which the peer's disk queue is unplugged",
    ),
    opt(Net, "use-rle", Bool, "Compress the bitmap when it is exchanged"),
    opt(Net, "verify-alg", Algorithm, "Checksum for online verification"),
    // The kernel clamps what its activity log of 32 KiB cannot hold, without a word: 7 blocks of 919 (`drbd_al_extents_max`,
    // drbd_nl.c).
    opt(Disk, "al-extents", Int(67, 6433), "Size of the activity log, in extents of 4 MiB"),
    opt(Disk, "al-updates", Bool, "Keep the activity log up to date"),
    opt(Disk, "c-delay-target", Int(1, 100), "Resync controller: delay aimed at, in tenths of a second"),
    opt(Disk, "c-fill-target", sectors(0, 1_048_576), "Resync controller: data in flight aimed at"),
    opt(Disk, "c-max-rate", kib(0, 4_194_304), "Resync controller: largest rate, per second"),
    opt(
        Disk,
        "c-min-rate",
        kib(0, 4_194_304),
        "Resync rate below which application I/O does not slow it further, per second",
    ),
    opt(
        Disk,
        "c-plan-ahead",
        Int(0, 300),
        "Resync controller: how far it plans, in tenths of a second; 0 is a fixed rate",
    ),
    opt(Disk, "disable-write-same", Bool, "Do not offer WRITE_SAME"),
    opt(Disk, "discard-zeroes-if-aligned", Bool, "Take aligned discards as zeroes"),
    opt(Disk, "disk-barrier", Bool, "Order writes with barriers"),
    opt(Disk, "disk-drain", Bool, "Order writes by draining the queue"),
    opt(Disk, "disk-flushes", Bool, "Order writes with flushes; off only with a battery-backed cache"),
    opt(Disk, "disk-timeout", Int(0, 6000), "Deadline of the backing disk, in tenths of a second; 0 is none"),
    opt(Disk, "md-flushes", Bool, "Flush metadata writes; off only with a battery-backed cache"),
    opt(
        Disk,
        "on-io-error",
        Word(&["pass_on", "call-local-io-error", "detach"]),
        "What happens when the backing disk fails",
    ),
    opt(
        Disk,
        "read-balancing",
        Word(&[
            "prefer-local",
            "prefer-remote",
            "round-robin",
            "least-pending",
            "when-congested-remote",
            "32K-striping",
            "64K-striping",
            "128K-striping",
            "256K-striping",
            "512K-striping",
            "1M-striping",
        ]),
        "Which replica serves reads",
    ),
    opt(Disk, "resync-rate", kib(1, 8_388_608), "Resync rate with c-plan-ahead 0, per second"),
    opt(
        Disk,
        "rs-discard-granularity",
        Int(0, 1_048_576),
        "Send zeroed ranges of this many bytes as discards during a resync; 0 is off",
    ),
];

/// The options of one section.
pub fn section_options(section: Section) -> impl Iterator<Item = &'static OptionInfo> {
    OPTIONS.iter().filter(move |option| option.section == section)
}

/// Looks an option up. `_` is taken for `-`, as HCL has no hyphens in attribute names.
pub fn find(section: Section, name: &str) -> Option<&'static OptionInfo> {
    let hyphened = name.replace('_', "-");
    section_options(section).find(|option| option.name == hyphened)
}

/// Marks an [`OptionSet`] with its section at compile time.
pub trait InSection {
    /// The section.
    const SECTION: Section;
}

/// `options { }`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InOptions;
/// `net { }`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InNet;
/// `disk { }`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InDisk;

impl InSection for InOptions {
    const SECTION: Section = Options;
}
impl InSection for InNet {
    const SECTION: Section = Net;
}
impl InSection for InDisk {
    const SECTION: Section = Disk;
}

/// Options of one section, name to value, both in DRBD's spelling. An option that is absent keeps DRBD's default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OptionSet<S> {
    values: BTreeMap<String, String>,
    #[serde(skip)]
    section: PhantomData<S>,
}

impl<S> Default for OptionSet<S> {
    fn default() -> Self {
        Self { values: BTreeMap::new(), section: PhantomData }
    }
}

impl<S: InSection> OptionSet<S> {
    /// Adds an option; the error says what is allowed.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), NotAllowed> {
        let info = find(S::SECTION, name).ok_or_else(|| {
            let section = S::SECTION.keyword();
            NotAllowed(format!("an option of DRBD's section {section} that can be declared"))
        })?;
        self.values.insert(info.name.to_owned(), info.kind.parse(value)?);
        Ok(())
    }

    /// The value of an option, if set.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// Name and value, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// No option is set.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The options that the other family does not know.
    pub fn unknown_to(&self, family: Family) -> impl Iterator<Item = &'static OptionInfo> {
        self.values
            .keys()
            .filter_map(|name| find(S::SECTION, name))
            .filter(move |info| info.only.is_some_and(|only| only != family))
    }
}

impl<S: InSection> JsonSchema for OptionSet<S> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        format!("OptionSet_{}", S::SECTION.keyword()).into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let properties: serde_json::Map<String, serde_json::Value> =
            section_options(S::SECTION).map(|info| (info.name.to_owned(), option_schema(info))).collect();
        json_schema!({ "type": "object", "additionalProperties": false, "properties": properties })
    }
}

fn option_schema(info: &OptionInfo) -> serde_json::Value {
    let only = info.only.map(|family| format!(" DRBD {family} only.")).unwrap_or_default();
    serde_json::json!({
        "type": "string",
        "description": format!("{}: {}.{only}", info.description, info.kind.allowed()),
        "x-check": format!("option:{}:{}", info.section.keyword(), info.name),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_unique() {
        for section in [Options, Net, Disk] {
            let names: Vec<_> = section_options(section).map(|o| o.name).collect();
            let mut sorted = names.clone();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(names, sorted);
        }
    }

    #[test]
    fn values_take_drbds_spelling() {
        let mut net = OptionSet::<InNet>::default();
        net.set("max_buffers", "8000").unwrap();
        net.set("allow-two-primaries", "true").unwrap();
        assert_eq!(net.iter().collect::<Vec<_>>(), [("allow-two-primaries", "yes"), ("max-buffers", "8000")]);
        assert!(net.set("max-buffers", "31").is_err());
        assert!(net.set("protocol", "D").is_err());
        assert!(net.set("sndbuf-size", "2M; }").is_err());
        for (size, allowed) in [
            ("10M", true),
            ("10485760", true),
            ("20480s", true),
            ("10485761", false),
            ("1G", false),
            ("1x", false),
            ("", false),
            ("999999999999999G", false),
        ] {
            assert_eq!(net.set("sndbuf-size", size).is_ok(), allowed, "{size}");
        }
        let mut disk = OptionSet::<InDisk>::default();
        assert!(disk.set("resync-rate", "0").is_err() && disk.set("resync-rate", "1").is_ok());
        assert!(disk.set("c-fill-target", "1048576").is_ok() && disk.set("c-fill-target", "513M").is_err());
        assert!(net.set("verify-alg", "sha1\"; }").is_err());
        // drbdadm reads no more than a word, and the kernel wants no digest with a key.
        assert!(net.set("verify-alg", "hmac(sha256)").is_err());
    }

    #[test]
    fn family_follows_the_kernel_version_code() {
        assert_eq!(Family::of_kernel_code(0x08_040b), Some(Family::V84));
        assert_eq!(Family::of_kernel_code(0x09_0212), Some(Family::V9));
        assert_eq!(Family::of_kernel_code(0), None);
        assert_eq!(Family::of_kernel_code(0x08_0310), None);
    }

    #[test]
    fn options_of_the_other_family_are_found() {
        let mut options = OptionSet::<InOptions>::default();
        options.set("quorum", "majority").unwrap();
        assert_eq!(options.unknown_to(Family::V84).count(), 1);
        assert_eq!(options.unknown_to(Family::V9).count(), 0);
    }
}
