// SPDX-License-Identifier: MPL-2.0
//! Storage pools that are made from disks: making them, remembering which were made here, removing those.
//!
//! Which volume groups this node made is kept in the resource's private state. A group that was there before is never
//! removed, nor is one that still holds a volume: the module refuses that.

use std::collections::BTreeSet;
use std::time::Duration;

use drbd_schemas::args::{Module, PoolState, StoragePoolArgs};
use drbd_schemas::facts::HostFacts;
use drbd_schemas::reply::Code;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use tfplugin::{Context, Diagnostic, Diagnostics};

use super::model::{NodeModel, Pool};
use crate::host::{Host, Request, Trouble};

/// Making a thin pool on a slow disk takes its time.
const POOL_DEADLINE: Duration = Duration::from_secs(300);

/// What is remembered about a node besides its state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Made {
    /// Volume groups that were made by this node resource.
    #[serde(default)]
    pub(crate) volume_groups: BTreeSet<String>,
    /// It was imported, and no apply has given its instance and disks the node's tags since.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) untagged: bool,
}

impl Made {
    /// From private bytes; nothing, when there are none.
    pub(crate) fn read(private: &[u8]) -> Self {
        serde_json::from_slice(private).unwrap_or_default()
    }

    /// As private bytes.
    pub(crate) fn write(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

fn request(pool: &Pool, state: PoolState, consent: &[String]) -> Option<Request> {
    let (volume_group, thin_pool) = pool.lvm()?;
    let arguments = StoragePoolArgs {
        volume_group: volume_group.clone(),
        thin_pool: thin_pool.cloned(),
        thin_pool_metadata_size: pool.thin_pool_metadata_size,
        disks: pool.disks.clone(),
        state,
        consent: consent.to_vec(),
        lock_timeout: 60,
    };
    let arguments = match serde_json::to_value(arguments) {
        Ok(Json::Object(arguments)) => arguments,
        _ => Map::new(),
    };
    Some(Request::new(Module::DrbdStoragePool, arguments, POOL_DEADLINE))
}

/// Asks the host whether all pools with disks could be made, changing nothing.
///
/// # Errors
/// Every refusal.
pub(crate) async fn check(model: &NodeModel, host: &Host) -> Result<(), Diagnostics> {
    let mut refused = Diagnostics::new();
    for (name, pool) in model.pools.iter().filter(|(_, pool)| !pool.disks.is_empty()) {
        let Some(request) = request(pool, PoolState::Present, &model.consent) else { continue };
        if let Err(trouble) = host.run(&request.checking()).await {
            refused.push(trouble.diagnostic(
                model.name.as_str(),
                host,
                &format!("make the storage pool {name:?}"),
            ));
        }
    }
    refused.into_result()
}

/// Makes the pools that have disks. `made` is recorded before each volume group is made, so that a run that is killed
/// half way still knows what to remove.
///
/// # Errors
/// The first pool that cannot be made.
pub(crate) async fn make(
    model: &NodeModel,
    host: &Host,
    facts: &HostFacts,
    made: &mut Made,
    ctx: &Context,
) -> Result<(), Diagnostic> {
    for (name, pool) in model.pools.iter().filter(|(_, pool)| !pool.disks.is_empty()) {
        let (Some((group, _)), Some(request)) =
            (pool.lvm(), request(pool, PoolState::Present, &model.consent))
        else {
            continue;
        };
        if !facts.volume_groups.contains_key(group.as_str()) {
            made.volume_groups.insert(group.to_string());
            ctx.record_private(&made.write());
        }
        ctx.progress(&format!("{}: storage pool {name}", model.name));
        let doing = format!("make the storage pool {name:?}");
        host.run(&request).await.map_err(|trouble| trouble.diagnostic(model.name.as_str(), host, &doing))?;
    }
    Ok(())
}

/// Removes the pools that were made here and that `stay` does not hold. One that is still in use, by a volume that was
/// retained for example, is left with a warning: removing a node must not depend on what others keep there.
///
/// # Errors
/// The first pool that cannot be removed for another reason.
pub(crate) async fn remove(
    model: &NodeModel,
    stay: &BTreeSet<String>,
    host: &Host,
    made: &mut Made,
    ctx: &Context,
) -> Result<Diagnostics, Diagnostic> {
    let mut left = Diagnostics::new();
    for (name, pool) in &model.pools {
        let (Some((group, _)), Some(request)) = (pool.lvm(), request(pool, PoolState::Absent, &[])) else {
            continue;
        };
        if stay.contains(group.as_str()) || !made.volume_groups.contains(group.as_str()) {
            continue;
        }
        ctx.progress(&format!("{}: removing storage pool {name}", model.name));
        let doing = format!("remove the storage pool {name:?}");
        if let Err(trouble) = host.run(&request).await {
            let problem = trouble.diagnostic(model.name.as_str(), host, &doing);
            match trouble {
                Trouble::Reply(reply) if reply.code == Code::InUse => {
                    left.push(Diagnostic::warning("Storage pool was left on the host", problem.detail));
                    continue;
                }
                Trouble::Link(_) | Trouble::Reply(_) => return Err(problem),
            }
        }
        made.volume_groups.remove(group.as_str());
        ctx.record_private(&made.write());
    }
    Ok(left)
}

/// The volume groups of a node's pools.
pub(crate) fn volume_groups(model: &NodeModel) -> BTreeSet<String> {
    model.pools.values().filter_map(|pool| Some(pool.lvm()?.0.to_string())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_is_remembered_and_garbage_is_nothing() {
        let made = Made { volume_groups: BTreeSet::from(["vg0".to_owned()]), untagged: true };
        assert_eq!(Made::read(&made.write()), made);
        assert_eq!(Made::read(b""), Made::default());
        assert_eq!(Made::read(b"\xff{"), Made::default());
    }
}
