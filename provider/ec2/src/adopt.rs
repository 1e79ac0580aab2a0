// SPDX-License-Identifier: MPL-2.0
//! Taking over objects that were made by somebody else, or of which all knowledge was lost. Only what a user names becomes a
//! node's, and never what is another node's.

use aws_sdk_ec2::types::Filter;

use crate::client::Ec2;
use crate::error::Ec2Error;
use crate::tags::{self, Owner, Role, Tags};
use crate::words::{Instance, Volume};

/// What becomes an owner's.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// The instance; none when it is gone meanwhile.
    pub instance: Option<&'a Instance>,
    /// Data disks, with what they are to the node.
    pub disks: &'a [(Role, Volume)],
}

impl Ec2 {
    /// All volumes that are attached to an instance, its root disk among them, whoever they belong to.
    ///
    /// # Errors
    /// When EC2 could not be asked.
    pub async fn volumes_on(&self, instance_id: &str) -> Result<Vec<Volume>, Ec2Error> {
        let attached = Filter::builder().name("attachment.instance-id").values(instance_id).build();
        self.volumes_where(vec![attached], None).await
    }

    /// Whether objects can become an owner's. Changes nothing.
    ///
    /// # Errors
    /// [`Ec2Error::Refused`] when one of them is another node's, or the owner has another such object.
    pub async fn adoptable(&self, owner: &Owner, claim: Claim<'_>) -> Result<(), Ec2Error> {
        let Claim { instance, disks } = claim;
        if let Some(instance) = instance {
            free(owner, "instance", &instance.id, &instance.tags)?;
        }
        let others = self.instances_of(owner).await?;
        let own = instance.map(|instance| instance.id.as_str());
        if let Some(other) =
            others.iter().find(|other| !other.state.is_gone() && Some(other.id.as_str()) != own)
        {
            return Err(taken(owner, &Role::Instance, &other.id));
        }
        let of_owner = self.volumes_of(owner).await?;
        for (role, volume) in disks {
            free(owner, "volume", &volume.id, &volume.tags)?;
            let other =
                of_owner.iter().find(|other| other.id != volume.id && owner.owns_as(&other.tags, role));
            if let Some(other) = other {
                return Err(taken(owner, role, &other.id));
            }
        }
        Ok(())
    }

    /// Gives objects the tags of an owner, which may have some of them already. Everything is looked at before the first tag is
    /// written; a name that an object has stays.
    ///
    /// # Errors
    /// Those of [`Self::adoptable`]; what EC2 refuses.
    pub async fn adopt(&self, owner: &Owner, claim: Claim<'_>) -> Result<(), Ec2Error> {
        self.adoptable(owner, claim).await?;
        let Claim { instance, disks } = claim;
        // The instance last: what lacks its mark was not brought to its end.
        for (role, volume) in disks {
            self.mark(&volume.id, missing(owner.tags(role), &volume.tags)).await?;
        }
        let Some(instance) = instance else { return Ok(()) };
        let mut wanted = owner.tags(&Role::Instance);
        wanted.insert(tags::FINISHED.to_owned(), "true".to_owned());
        self.mark(&instance.id, missing(wanted, &instance.tags)).await
    }

    pub(crate) async fn mark(&self, id: &str, tags: Tags) -> Result<(), Ec2Error> {
        if tags.is_empty() {
            return Ok(());
        }
        let call = self.changing().await;
        let call = call.create_tags().resources(id).set_tags(Some(tags::write(&tags)));
        call.send().await.map(drop).map_err(|error| Ec2Error::of(format!("CreateTags of {id}"), error))
    }

    /// The tags of an owner's instance that users gave it: not ours, not AWS's, not those of the provider block.
    pub fn tags_of_users(&self, owner: &Owner, tags: &Tags) -> Tags {
        let name = |key: &str, value: &str| key == "Name" && value == owner.node;
        let of_users = tags.iter().filter(|(key, value)| {
            !tags::is_reserved(key) && !name(key, value) && self.default_tags().get(*key) != Some(*value)
        });
        of_users.map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

/// Refuses an object of another owner.
fn free(owner: &Owner, what: &str, id: &str, tags: &Tags) -> Result<(), Ec2Error> {
    match Owner::of(tags) {
        Some(other) if other != *owner => Err(Ec2Error::refused(
            format!(
                "The {what} {id} carries the tags of the node {} in {}, and not of {} in {}",
                other.node, other.scope, owner.node, owner.scope
            ),
            "Import it as that node, or take the replivol: tags off it, if that node is not there any more.",
        )),
        _ => Ok(()),
    }
}

fn taken(owner: &Owner, role: &Role, other: &str) -> Ec2Error {
    Ec2Error::refused(
        format!("The node {} in {} has its {} already: {other}", owner.node, owner.scope, role.text()),
        "Choose another name, or take the replivol: tags off what is not this node's any more.",
    )
}

/// Tags that are to be written. A name that there is is somebody's.
fn missing(wanted: Tags, now: &Tags) -> Tags {
    let is_missing = |key: &String, value: &String| match now.get(key) {
        Some(_) if key == "Name" => false,
        found => found != Some(value),
    };
    wanted.into_iter().filter(|(key, value)| is_missing(key, value)).collect()
}
