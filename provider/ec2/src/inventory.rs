// SPDX-License-Identifier: MPL-2.0
//! What there is: all objects with our tags in a few calls for a refresh, or fresh ones by id or owner for a decision.
//!
//! A refresh of any number of nodes costs two calls (more only above a thousand objects): the first read asks for
//! everything, the others take their part. Whatever changes something makes that stale.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_sdk_ec2::types::Filter;
use tokio::sync::Mutex;

use crate::client::Ec2;
use crate::error::Ec2Error;
use crate::tags::{self, Owner};
use crate::words::{Instance, Volume, VolumeState};

/// Instances and volumes by id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Instances, terminated ones among them for as long as EC2 lists them.
    pub instances: BTreeMap<String, Instance>,
    /// Volumes, root disks among them.
    pub volumes: BTreeMap<String, Volume>,
}

/// The last inventory, and the count of changes at which it was taken.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    changes: AtomicU64,
    last: Mutex<Option<(u64, Taken)>>,
}

/// An inventory, or why there is none. Both are shared.
type Taken = Result<Arc<Inventory>, Ec2Error>;

impl Cache {
    pub(crate) fn forget(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
    }
}

impl Ec2 {
    /// Everything with our tags, for a read: taken once, shared until this process changes something. A failure is shared
    /// too.
    ///
    /// # Errors
    /// When EC2 could not be asked.
    pub async fn inventory(&self) -> Result<Arc<Inventory>, Ec2Error> {
        let cache = self.cache();
        let mut last = cache.last.lock().await;
        let now = cache.changes.load(Ordering::Acquire);
        if let Some((then, inventory)) = last.as_ref()
            && *then == now
        {
            return inventory.clone();
        }
        let inventory = self.take_inventory().await.map(Arc::new);
        *last = Some((now, inventory.clone()));
        inventory
    }

    async fn take_inventory(&self) -> Result<Inventory, Ec2Error> {
        let ours = || vec![Filter::builder().name("tag-key").values(tags::NODE).build()];
        let (instances, volumes) =
            tokio::try_join!(self.instances_where(ours(), None), self.volumes_where(ours(), None))?;
        Ok(Inventory {
            instances: instances.into_iter().map(|instance| (instance.id.clone(), instance)).collect(),
            volumes: volumes.into_iter().map(|volume| (volume.id.clone(), volume)).collect(),
        })
    }

    async fn instances_where(
        &self,
        filters: Vec<Filter>,
        id: Option<&str>,
    ) -> Result<Vec<Instance>, Ec2Error> {
        let mut call = self.client().await.describe_instances().set_filters(Some(filters));
        if let Some(id) = id {
            call = call.instance_ids(id);
        }
        let reservations = call.into_paginator().items().send().collect::<Result<Vec<_>, _>>().await;
        let reservations = reservations.map_err(|error| Ec2Error::of("DescribeInstances", error))?;
        Ok(reservations.iter().flat_map(|r| r.instances()).filter_map(Instance::read).collect())
    }

    pub(crate) async fn volumes_where(
        &self,
        filters: Vec<Filter>,
        id: Option<&str>,
    ) -> Result<Vec<Volume>, Ec2Error> {
        let mut call = self.client().await.describe_volumes().set_filters(Some(filters));
        if let Some(id) = id {
            call = call.volume_ids(id);
        }
        let volumes = call.into_paginator().items().send().collect::<Result<Vec<_>, _>>().await;
        let volumes = volumes.map_err(|error| Ec2Error::of("DescribeVolumes", error))?;
        Ok(volumes.iter().filter_map(Volume::read).filter(|v| v.state != VolumeState::Deleted).collect())
    }

    /// An instance as it is now; `None` when EC2 says that there is none, which it also says for some seconds after one was
    /// made.
    ///
    /// # Errors
    /// When EC2 could not be asked.
    pub async fn instance(&self, id: &str) -> Result<Option<Instance>, Ec2Error> {
        match self.instances_where(Vec::new(), Some(id)).await {
            Ok(found) => Ok(found.into_iter().next()),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A volume as it is now; `None` when EC2 says that there is none, or that it is deleted.
    ///
    /// # Errors
    /// When EC2 could not be asked.
    pub async fn volume(&self, id: &str) -> Result<Option<Volume>, Ec2Error> {
        match self.volumes_where(Vec::new(), Some(id)).await {
            Ok(found) => Ok(found.into_iter().next()),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The owner's instances, terminated ones among them.
    ///
    /// # Errors
    /// When EC2 could not be asked.
    pub async fn instances_of(&self, owner: &Owner) -> Result<Vec<Instance>, Ec2Error> {
        self.instances_where(owner.filters(), None).await
    }

    /// The owner's volumes, root disks among them.
    ///
    /// # Errors
    /// When EC2 could not be asked.
    pub async fn volumes_of(&self, owner: &Owner) -> Result<Vec<Volume>, Ec2Error> {
        self.volumes_where(owner.filters(), None).await
    }

    /// An instance of this owner.
    ///
    /// # Errors
    /// [`Ec2Error::Refused`] when it has other tags.
    pub(crate) async fn owned_instance(&self, owner: &Owner, id: &str) -> Result<Option<Instance>, Ec2Error> {
        let found = self.instance(id).await?;
        match &found {
            // EC2 takes the tags of a terminated instance away after a while.
            Some(instance) if !instance.state.is_gone() && !owner.owns(&instance.tags) => {
                Err(not_ours("instance", id, owner))
            }
            _ => Ok(found),
        }
    }

    /// A volume of this owner.
    ///
    /// # Errors
    /// [`Ec2Error::Refused`] when it has other tags.
    pub(crate) async fn owned_volume(&self, owner: &Owner, id: &str) -> Result<Option<Volume>, Ec2Error> {
        let found = self.volume(id).await?;
        match &found {
            Some(volume) if !owner.owns(&volume.tags) => Err(not_ours("volume", id, owner)),
            _ => Ok(found),
        }
    }
}

fn not_ours(what: &str, id: &str, owner: &Owner) -> Ec2Error {
    let Owner { scope, node } = owner;
    Ec2Error::refused(
        format!(
            "The {what} {id} does not carry the tags {}={node} and {}={scope} of this node",
            tags::NODE,
            tags::SCOPE
        ),
        "Somebody changed its tags, or it is another node's: set them again if it is this one's, or remove it from the state.",
    )
}
