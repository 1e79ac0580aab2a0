// SPDX-License-Identifier: MPL-2.0
//! The planner: `declaration + observed + consents → steps`, or a refusal. Pure: same input, same plan.
//!
//! One file per concern, in the order in which they are asked: [`preflight`] (may we touch this host at all),
//! [`storage`] (backing devices), [`config`] (the file), [`metadata`] (what they hold), [`running`] (what the kernel should do), [`size`]
//! (growing), [`remove`] (the ways out). Check mode, `terraform plan`, diff output and the real run print this value.

mod config;
mod inherited;
mod losses;
pub mod metadata;
pub(crate) mod needs;
pub mod parts;
pub(crate) mod peers;
pub mod preflight;
pub mod remove;
pub mod role;
pub mod running;
pub mod size;
pub mod storage;

use crate::observed::Observed;
use crate::record::VolumeRecord;
use crate::refusal::Refusal;
use crate::step::{CreateLv, Planned, Step};
use crate::tools::lvm::LogicalVolume;
use drbd_schemas::facts::HostFacts;
use drbd_schemas::reply::Pending;
use drbd_schemas::{Family, Node, NodeName, Resource, VolumeNumber};

/// What is to be done on one host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The steps, in order.
    pub steps: Vec<Planned>,
    /// What is declared but waits for others.
    pub pending: Vec<Pending>,
    /// Things to know.
    pub warnings: Vec<String>,
}

impl Plan {
    /// Nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    fn push(&mut self, planned: Planned) {
        self.steps.push(planned);
    }

    /// Adds what is not said yet: two volumes may stand on one pool.
    fn warn_all(&mut self, warnings: Vec<String>) {
        for warning in warnings {
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
    }

    /// The volumes that it creates in a pool.
    fn creates_in(&self, group: &str, pool: &str) -> impl Iterator<Item = &CreateLv> {
        self.steps.iter().filter_map(move |planned| match &planned.step {
            Step::CreateLv(lv) if lv.volume_group == group && lv.thin_pool.as_deref() == Some(pool) => {
                Some(lv)
            }
            _ => None,
        })
    }
}

/// What the caller allows and knows besides the declaration.
#[derive(Clone, Debug, Default)]
pub struct Permits {
    /// Tokens that refusals have printed.
    pub consent: Vec<String>,
    /// Facts of all nodes.
    pub evidence: Vec<HostFacts>,
    /// Check mode: a missing volume group or thin pool counts as made by an earlier task, which in check mode made
    /// nothing. The plan then says so in a warning.
    pub foresee_pools: bool,
}

impl Permits {
    /// The token was given.
    pub fn allows(&self, token: &str) -> bool {
        self.consent.iter().any(|given| given == token)
    }
}

/// Everything that the concerns of one plan share.
pub(crate) struct Context<'a> {
    pub(crate) resource: &'a Resource,
    pub(crate) name: NodeName,
    pub(crate) node: &'a Node,
    pub(crate) family: Family,
    pub(crate) observed: &'a Observed,
    pub(crate) permits: &'a Permits,
}

impl Context<'_> {
    pub(crate) fn record(&self, volume: VolumeNumber) -> Option<&VolumeRecord> {
        self.observed.record.volumes.get(&volume)
    }

    pub(crate) fn lv(&self, volume_group: &str, volume: VolumeNumber) -> Option<&LogicalVolume> {
        let name = self.resource.lv_name(volume);
        self.observed.lvm.lvs.iter().find(|lv| lv.vg == volume_group && lv.name == name)
    }

    /// Bitmap slots for which backing space is needed.
    pub(crate) fn peer_slots(&self) -> u8 {
        peer_slots(self.resource, self.family)
    }

    fn volumes(&self) -> impl Iterator<Item = VolumeNumber> {
        self.resource.volumes.keys().copied()
    }
}

/// Bitmap slots for which the backing devices of a resource need space.
pub(crate) fn peer_slots(resource: &Resource, family: Family) -> u8 {
    match family {
        Family::V84 => 1,
        Family::V9 => resource.max_peers(),
    }
}

/// Plans `state: present`.
///
/// # Errors
/// A refusal: the host is not to be touched as things are.
pub fn present(resource: &Resource, observed: &Observed, permits: &Permits) -> Result<Plan, Refusal> {
    let (name, node) = preflight::this_node(resource, observed)?;
    let family = preflight::family(observed)?;
    let context = Context { resource, name, node, family, observed, permits };
    crate::agreement::check_node_ids(resource, &permits.evidence)?;
    preflight::check(&context)?;
    inherited::check(&context)?;
    let mut plan = Plan::default();
    preflight::load_module(&context, &mut plan);
    let appearing = storage::plan(&context, &mut plan)?;
    config::plan(&context, &mut plan)?;
    metadata::plan(&context, &appearing, &mut plan)?;
    let leaving = peers::leaving(&context);
    let up = observed.status.is_some();
    if up {
        peers::forget(&context, &leaving, &mut plan);
    }
    running::plan(&context, &leaving, &mut plan)?;
    if !up {
        peers::forget(&context, &leaving, &mut plan);
    }
    size::plan(&context, &appearing.created, &mut plan)?;
    inherited::tell(&context, &mut plan);
    Ok(plan)
}
