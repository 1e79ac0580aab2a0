// SPDX-License-Identifier: MPL-2.0
//! What resources ask of whatever runs the volumes.
//!
//! The direct engine ([`crate::direct`]) works on the hosts themselves. Resources know this trait only, so that another
//! engine, such as a LINSTOR controller, takes its place without them noticing.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;

use drbd_schemas::{Minor, NodeName, Port, Resource, ResourceName};
use serde::{Deserialize, Serialize};
use tfplugin::{Context, Diagnostics};
use tokio::time::Instant;

use crate::direct::Reservation;
use crate::ssh_settings::SshSettings;

/// A replicated volume: its declaration, and how to reach each of its nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Volume {
    pub(crate) resource: Resource,
    pub(crate) members: Members,
}

/// How to reach nodes.
pub(crate) type Members = BTreeMap<NodeName, SshSettings>;

/// What surrounds one operation.
#[derive(Clone, Copy)]
pub(crate) struct Run<'a> {
    pub(crate) ctx: &'a Context,
    /// When it must be done.
    pub(crate) deadline: Instant,
    /// What may be destroyed or taken over, as the refusals of hosts name it.
    pub(crate) consent: &'a [String],
}

/// The numbers that a new volume shall have, where the configuration says so.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) port: Option<Port>,
    pub(crate) minor: Option<Minor>,
}

/// What there is of a volume before it is created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nothing, or the beginnings of a creation that was cut short: nothing that ever held data.
    New,
    /// Storage that an earlier volume of this name left behind on these nodes, with its data.
    Retained(BTreeSet<String>),
}

/// A volume that can be created.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) port: Port,
    pub(crate) minor: Minor,
    pub(crate) standing: Standing,
    /// Some node runs it already, as after a creation that was cut short: whether the nodes reach each other is then told by
    /// its connections.
    pub(crate) is_up: bool,
    /// Keeps the numbers from other volumes of this process. Freed when dropped, unless it is kept.
    pub(crate) reservation: Reservation,
}

/// How far a new or repaired volume must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// Connected, and one replica has good data: the volume can be used, while others may still be catching up.
    Usable,
    /// All replicas have good data.
    Synchronised,
}

/// A volume after something was done to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Usable size, the smallest that any node reports.
    pub(crate) size_bytes: Option<u64>,
    /// What is still not as declared.
    pub(crate) drift: Vec<String>,
    /// Why replicas are still being synchronised although that was to be waited for. The volume can be used.
    pub(crate) catching_up: Option<String>,
    /// What stays the same about the backing devices that hold this volume (`lv:<uuid>` and the like), wherever they are
    /// attached. Sorted.
    pub(crate) backings: Vec<String>,
    /// What each replica holds.
    pub(crate) copies: Copies,
}

/// What the replicas of a volume hold, as far as their hosts were asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Copies {
    /// DRBD's word for the disk of each replica that is up, by node.
    pub(crate) disks: BTreeMap<NodeName, String>,
    /// Bytes that a replica lacks, by node, as those count them that are UpToDate.
    pub(crate) behind: BTreeMap<NodeName, u64>,
}

/// A volume as a refresh finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    /// On no node is anything left of it.
    Gone,
    /// It is there, more or less as declared, as far as the hosts answered.
    There(Outcome),
    /// No host answered: nothing new is known.
    Unseen,
}

/// What becomes of the backing storage when a volume is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Storage {
    /// It is removed, with its data.
    Destroyed,
    /// It stays.
    Retained,
}

/// Runs volumes. No method ever concludes from a failure to ask that something does not exist.
pub(crate) trait Engine: Send + Sync {
    /// Looks at all nodes, refuses what cannot be created, and gives out numbers. Changes nothing.
    fn prepare(
        &self,
        name: &ResourceName,
        members: &Members,
        wanted: Wanted,
        run: Run<'_>,
    ) -> impl Future<Output = Result<Prepared, Diagnostics>> + Send;

    /// Asks every node whether it could do its part. Changes nothing.
    fn rehearse(&self, volume: &Volume, run: Run<'_>)
    -> impl Future<Output = Result<(), Diagnostics>> + Send;

    /// Proves that all nodes reach each other's replication ports. Changes nothing.
    fn reachable(
        &self,
        volume: &Volume,
        run: Run<'_>,
    ) -> impl Future<Output = Result<(), Diagnostics>> + Send;

    /// Brings a volume into being, or back to what is declared. Killed at any point, it can be called again.
    fn bring_up(
        &self,
        volume: &Volume,
        goal: Goal,
        run: Run<'_>,
    ) -> impl Future<Output = Result<Outcome, Diagnostics>> + Send;

    /// Consents for backing devices that a host refuses because it does not remember them, although they are among
    /// `backings`: disks of this volume under another machine. Changes nothing.
    fn vouched(
        &self,
        volume: &Volume,
        backings: &[String],
        run: Run<'_>,
    ) -> impl Future<Output = Result<Vec<String>, Diagnostics>> + Send;

    /// Changes a volume that is as `before` declares.
    fn change(
        &self,
        before: &Volume,
        after: &Volume,
        run: Run<'_>,
    ) -> impl Future<Output = Result<Outcome, Diagnostics>> + Send;

    /// Looks at a volume for a refresh; the answer may rest on facts that this process took earlier.
    /// Nodes that are known not to answer are left out, and those that turn out not to answer are warnings; in both cases
    /// nothing is ever concluded to be gone.
    fn sight(
        &self,
        volume: &Volume,
        without: &BTreeSet<NodeName>,
    ) -> impl Future<Output = Result<(Sight, Diagnostics), Diagnostics>> + Send;

    /// Removes a volume. Success when it was gone already; refused as a whole when it is in use anywhere.
    fn remove(
        &self,
        volume: &Volume,
        storage: Storage,
        run: Run<'_>,
    ) -> impl Future<Output = Result<(), Diagnostics>> + Send;
}
