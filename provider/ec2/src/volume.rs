// SPDX-License-Identifier: MPL-2.0
//! Data disks: objects of their own, which outlive the instances that they are attached to.

use std::time::Duration;

use aws_sdk_ec2::types::{ResourceType, VolumeModification, VolumeType};

use crate::client::Ec2;
use crate::error::{Ec2Error, Kind};
use crate::gate::{Gate, Look, Stuck};
use crate::launch::signed;
use crate::tags::{self, Owner, RETAINED, Role, Tags};
use crate::words::{Instance, Volume, VolumeState, text};

const CREATE_DEADLINE: Duration = Duration::from_secs(5 * 60);
/// EC2 lists what it made within seconds.
const LISTED_DEADLINE: Duration = Duration::from_secs(30);
const ATTACH_DEADLINE: Duration = Duration::from_secs(5 * 60);
/// How long a volume may take to be usable with its new size; being optimised afterwards takes hours and is not waited for.
const GROW_DEADLINE: Duration = Duration::from_secs(30 * 60);
/// How often a disk of one name can have been made within the memory of EC2's client tokens.
const MAX_GENERATIONS: usize = 64;

/// A data disk to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataVolume {
    /// What it is to its owner.
    pub role: Role,
    /// The zone of the instance.
    pub availability_zone: String,
    /// Size and speed.
    pub performance: Performance,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// The key; the account's default one when there is none.
    pub kms_key_id: Option<String>,
    /// Tags of users.
    pub tags: Tags,
}

/// What can be changed while a disk is in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Performance {
    /// Size in GiB; it only grows.
    pub size_gib: u32,
    /// For example `gp3`.
    pub volume_type: String,
    /// I/O operations per second; the type's own count when there is none.
    pub iops: Option<u32>,
    /// MiB per second; the type's own count when there is none.
    pub throughput: Option<u32>,
}

/// What a change of [`Performance`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Growth {
    /// It was so already.
    AsWanted,
    /// It was changed, and can be used so.
    Changed,
}

impl Performance {
    /// Whether a volume is so.
    pub fn met_by(&self, volume: &Volume) -> bool {
        volume.size_gib >= self.size_gib
            && volume.volume_type == self.volume_type
            && self.iops.is_none_or(|iops| volume.iops == Some(iops))
            && self.throughput.is_none_or(|throughput| volume.throughput == Some(throughput))
    }
}

impl Ec2 {
    /// The owner's disk of this name: the one that there is, else a new one. Done when EC2 has it ready.
    ///
    /// # Errors
    /// What EC2 refuses; [`Ec2Error::Refused`] when the one that there is is in another zone, or smaller than none can become.
    pub async fn ensure_volume(&self, owner: &Owner, wanted: &DataVolume) -> Result<Volume, Ec2Error> {
        let listed = self.volumes_of(owner).await?;
        let mut there: Vec<_> =
            listed.into_iter().filter(|volume| owner.owns_as(&volume.tags, &wanted.role)).collect();
        let volume = match (there.pop(), there.is_empty()) {
            (None, _) => self.create_volume(owner, wanted).await?,
            (Some(one), true) => one,
            (Some(one), false) => {
                let ids: Vec<_> = there.iter().chain([&one]).map(|volume| volume.id.as_str()).collect();
                return Err(Ec2Error::refused(
                    format!(
                        "Several volumes carry the tags of {} of {}: {}",
                        wanted.role.text(),
                        owner.node,
                        ids.join(", ")
                    ),
                    "One of them holds the data: take the replivol: tags off the others.",
                ));
            }
        };
        reachable(&volume, &wanted.role, &wanted.availability_zone)?;
        self.ready(&volume.id).await
    }

    /// Refuses when a disk of this owner is in another zone, before an instance is launched where it cannot be attached.
    ///
    /// # Errors
    /// [`Ec2Error::Refused`] with the disk; when EC2 could not be asked.
    pub async fn disks_fit(&self, owner: &Owner, roles: &[&Role], zone: &str) -> Result<(), Ec2Error> {
        if roles.is_empty() {
            return Ok(());
        }
        for volume in self.volumes_of(owner).await? {
            for role in roles.iter().filter(|role| owner.owns_as(&volume.tags, role)) {
                reachable(&volume, role, zone)?;
            }
        }
        Ok(())
    }

    async fn create_volume(&self, owner: &Owner, wanted: &DataVolume) -> Result<Volume, Ec2Error> {
        for generation in 0..MAX_GENERATIONS {
            let token = owner.token(&wanted.role, &wanted.availability_zone, generation);
            match self.create_volume_once(owner, wanted, &token).await {
                // A token of an earlier disk of this name, which was deleted since, or had another size.
                Ok(None) => (),
                Err(error) if matches!(error.kind(), Kind::TokenSpent | Kind::TokenTaken) => (),
                Ok(Some(volume)) => return Ok(volume),
                Err(error) => return Err(error),
            }
        }
        Err(Ec2Error::refused(
            format!("The disk {} was made {MAX_GENERATIONS} times lately", wanted.role.text()),
            "Wait for a day, until EC2 has forgotten the client tokens, or choose another name for the disk.",
        ))
    }

    async fn create_volume_once(
        &self,
        owner: &Owner,
        wanted: &DataVolume,
        token: &str,
    ) -> Result<Option<Volume>, Ec2Error> {
        let Performance { size_gib, volume_type, iops, throughput } = &wanted.performance;
        let tags = tags::merged(owner, &wanted.role, &[self.default_tags(), &wanted.tags]);
        let changing = self.changing().await;
        let call = changing
            .create_volume()
            .availability_zone(&wanted.availability_zone)
            .client_token(token)
            .size(signed(*size_gib))
            .volume_type(VolumeType::from(volume_type.as_str()))
            .set_iops(iops.map(signed))
            .set_throughput(throughput.map(signed))
            .encrypted(wanted.encrypted)
            .set_kms_key_id(wanted.kms_key_id.clone())
            .tag_specifications(tags::specification(ResourceType::Volume, &tags));
        let what = format!("CreateVolume of {size_gib} GiB {volume_type} in {}", wanted.availability_zone);
        let answer = call.send().await.map_err(|error| Ec2Error::of(what.clone(), error))?;
        let id = text(answer.volume_id()).ok_or_else(|| Ec2Error::Broken {
            what: format!("{what}: AWS answered without an id"),
            remedy: "Apply again: what was made is found by its tags.".to_owned(),
        })?;
        self.listed(&id).await
    }

    /// A volume that was just made, as soon as EC2 lists it. `None` for one that it never lists: it was deleted earlier, and
    /// only its client token is remembered.
    async fn listed(&self, id: &str) -> Result<Option<Volume>, Ec2Error> {
        let gate = Gate::new("volume listed", id, LISTED_DEADLINE, "");
        let looked = gate.pass(|| async {
            let found = self.volume(id).await?;
            Ok(found.map_or_else(|| Look::NotYet("EC2 does not list it".to_owned()), Look::Passed))
        });
        match looked.await {
            Ok(volume) => Ok(Some(volume)),
            Err(Stuck::Overdue(_)) => Ok(None),
            Err(Stuck::Failed(error)) => Err(error),
        }
    }

    async fn ready(&self, id: &str) -> Result<Volume, Ec2Error> {
        let gate =
            Gate::new("volume ready", id, CREATE_DEADLINE, "Look at it in the EC2 console, and apply again.");
        let looked = gate.pass(|| async {
            match self.volume(id).await? {
                None => Ok(Look::NotYet("EC2 does not list it yet".to_owned())),
                Some(volume) => match volume.state {
                    VolumeState::Available | VolumeState::InUse => Ok(Look::Passed(volume)),
                    VolumeState::Error => Err(Ec2Error::Broken {
                        what: format!("The volume {id} failed; what was on it is lost"),
                        remedy: "Delete it, and apply again for a new one.".to_owned(),
                    }),
                    state => Ok(Look::NotYet(state.to_string())),
                },
            }
        });
        looked.await.map_err(Ec2Error::stuck)
    }

    /// Attaches a volume to an instance, under the first free device name, and waits until it is.
    ///
    /// # Errors
    /// [`Ec2Error::Refused`] when either is not the owner's, or the volume is on another instance that lives.
    pub async fn attach(
        &self,
        owner: &Owner,
        volume_id: &str,
        instance_id: &str,
    ) -> Result<Volume, Ec2Error> {
        let remedy = format!(
            "EC2 can leave a volume in this state when a device name was used again too soon: detach it there \
             (`aws ec2 detach-volume --volume-id {volume_id}`), and apply again."
        );
        let gate =
            Gate::new("volume attached", format!("{volume_id} on {instance_id}"), ATTACH_DEADLINE, remedy);
        let looked = gate.pass(|| async {
            let Some(volume) = self.owned_volume(owner, volume_id).await? else {
                return Ok(Look::NotYet("EC2 does not list the volume".to_owned()));
            };
            if let Some(attachment) = volume.on(instance_id) {
                return Ok(match attachment.state.as_str() {
                    "attached" => Look::Passed(volume),
                    state => Look::NotYet(state.to_owned()),
                });
            }
            if let Some(other) = volume.attachments.first() {
                return self.on_another(volume_id, &other.instance_id, instance_id).await;
            }
            let Some(instance) = self.owned_instance(owner, instance_id).await? else {
                return Ok(Look::NotYet("EC2 does not list the instance".to_owned()));
            };
            self.attach_once(volume_id, &instance).await
        });
        looked.await.map_err(Ec2Error::stuck)
    }

    /// A volume that is on another instance: one that is gone lets go of it in a moment.
    async fn on_another(&self, volume_id: &str, other: &str, wanted: &str) -> Result<Look<Volume>, Ec2Error> {
        match self.instance(other).await? {
            Some(instance) if !instance.state.is_gone() => Err(Ec2Error::refused(
                format!(
                    "The volume {volume_id} is attached to {other}, which is {}, and not to {wanted}",
                    instance.state
                ),
                "Unmount and detach it there, and apply again.",
            )),
            _ => Ok(Look::NotYet(format!("still attached to {other}, which is gone"))),
        }
    }

    async fn attach_once(&self, volume_id: &str, instance: &Instance) -> Result<Look<Volume>, Ec2Error> {
        let used: Vec<&str> = instance.disks.iter().map(|disk| disk.device.as_str()).collect();
        let device = free_device(&used).ok_or_else(|| {
            Ec2Error::refused(
                format!("The instance {} has {} disks, and no device name is left", instance.id, used.len()),
                "Use fewer, larger disks.",
            )
        })?;
        let call = self.changing().await;
        let call = call.attach_volume().volume_id(volume_id).instance_id(&instance.id).device(&device);
        let what = format!("AttachVolume of {volume_id} to {} as {device}", instance.id);
        match call.send().await.map_err(|error| Ec2Error::of(what, error)) {
            Ok(_) => Ok(Look::NotYet("attaching".to_owned())),
            // Just made, not yet seen everywhere; or the guest has not come up.
            Err(error) if error.is_not_found() || error.kind() == Kind::State => {
                Ok(Look::NotYet(error.to_string()))
            }
            Err(error) => Err(error),
        }
    }

    /// Detaches a volume from wherever it is and waits until it is free. Never forced: a guest that holds it keeps it, so
    /// stop or terminate the instance first.
    ///
    /// # Errors
    /// [`Ec2Error::Refused`] when it is not the owner's; when the guest does not let go in time.
    pub async fn detach(&self, owner: &Owner, volume_id: &str) -> Result<(), Ec2Error> {
        let remedy = "The guest still uses it: unmount it there and take DRBD down, or stop the instance, and apply again. \
                      Detaching by force loses data, and is not done here.";
        let gate = Gate::new("volume detached", volume_id, ATTACH_DEADLINE, remedy);
        let looked = gate.pass(|| async {
            let Some(volume) = self.owned_volume(owner, volume_id).await? else {
                return Ok(Look::Passed(()));
            };
            let Some(attachment) = volume.attachments.first() else { return Ok(Look::Passed(())) };
            if attachment.state == "detaching" {
                return Ok(Look::NotYet(attachment.state.clone()));
            }
            let call = self.changing().await;
            let call = call.detach_volume().volume_id(volume_id).instance_id(&attachment.instance_id);
            match call.send().await.map_err(|e| Ec2Error::of(format!("DetachVolume of {volume_id}"), e)) {
                Ok(_) => Ok(Look::NotYet("detaching".to_owned())),
                // Free by now, or on its way.
                Err(error) if error.is_not_found() || error.kind() == Kind::State => {
                    Ok(Look::NotYet(error.to_string()))
                }
                Err(error) => Err(error),
            }
        });
        looked.await.map_err(Ec2Error::stuck)
    }

    /// Deletes a volume that is attached nowhere; done when it is gone already.
    ///
    /// # Errors
    /// [`Ec2Error::Refused`] when it is not the owner's, or was retained; what EC2 refuses.
    pub async fn delete_volume(&self, owner: &Owner, volume_id: &str) -> Result<(), Ec2Error> {
        let Some(_) = self.owned_volume(owner, volume_id).await? else { return Ok(()) };
        let call = self.changing().await;
        let asked = call.delete_volume().volume_id(volume_id).send().await;
        match asked.map_err(|error| Ec2Error::of(format!("DeleteVolume of {volume_id}"), error)) {
            Err(error) if error.is_not_found() => Ok(()),
            other => other.map(drop),
        }
    }

    /// Marks a volume as kept when its node goes, so that people know why it is there. A node of the same name in the same
    /// zone finds it again.
    ///
    /// # Errors
    /// [`Ec2Error::Refused`] when it is not the owner's; what EC2 refuses.
    pub async fn retain_volume(&self, owner: &Owner, volume_id: &str) -> Result<(), Ec2Error> {
        let Some(_) = self.owned_volume(owner, volume_id).await? else { return Ok(()) };
        let mark = Tags::from([(RETAINED.to_owned(), "true".to_owned())]);
        let call = self.changing().await;
        let call = call.create_tags().resources(volume_id).set_tags(Some(tags::write(&mark)));
        call.send().await.map(drop).map_err(|error| Ec2Error::of(format!("CreateTags of {volume_id}"), error))
    }

    /// Brings size and speed of a volume to what is wanted, while it is in use, and waits until it can be used so.
    ///
    /// # Errors
    /// [`Ec2Error::Refused`] when it would shrink; what EC2 refuses, such as a second change within six hours.
    pub async fn set_performance(
        &self,
        owner: &Owner,
        volume_id: &str,
        wanted: &Performance,
    ) -> Result<Growth, Ec2Error> {
        let Some(volume) = self.owned_volume(owner, volume_id).await? else {
            return Err(Ec2Error::refused(
                format!("There is no volume {volume_id}"),
                "Refresh, and look at the plan.",
            ));
        };
        if volume.size_gib > wanted.size_gib {
            return Err(Ec2Error::refused(
                format!(
                    "The volume {volume_id} has {} GiB, and {} are wanted",
                    volume.size_gib, wanted.size_gib
                ),
                "A volume cannot shrink: set its size to what it has, or more.",
            ));
        }
        if wanted.met_by(&volume) {
            // A run that was cut may have asked for it, and not waited.
            return self.modified(volume_id).await.map(|()| Growth::AsWanted);
        }
        let changing = self.changing().await;
        let call = changing
            .modify_volume()
            .volume_id(volume_id)
            .size(signed(wanted.size_gib))
            .volume_type(VolumeType::from(wanted.volume_type.as_str()))
            .set_iops(wanted.iops.map(signed))
            .set_throughput(wanted.throughput.map(signed));
        let what = format!("ModifyVolume of {volume_id} to {} GiB {}", wanted.size_gib, wanted.volume_type);
        call.send().await.map_err(|error| Ec2Error::of(what, error))?;
        self.modified(volume_id).await?;
        Ok(Growth::Changed)
    }

    /// Waits until the last change of a volume is usable.
    async fn modified(&self, volume_id: &str) -> Result<(), Ec2Error> {
        let gate = Gate::new(
            "volume modified",
            volume_id,
            GROW_DEADLINE,
            "Apply again later; EBS goes on with it by itself.",
        );
        let looked = gate.pass(|| async {
            let call = self.client().await.describe_volumes_modifications().volume_ids(volume_id);
            let asked = call.send().await;
            let told = match asked
                .map_err(|e| Ec2Error::of(format!("DescribeVolumesModifications of {volume_id}"), e))
            {
                // It was never changed.
                Err(error) if error.is_not_found() => return Ok(Look::Passed(())),
                other => other?,
            };
            let last =
                told.volumes_modifications().iter().max_by_key(|m| m.start_time().map(|time| time.secs()));
            last.map_or(Ok(Look::Passed(())), |modification| usable(volume_id, modification))
        });
        looked.await.map_err(Ec2Error::stuck)
    }
}

fn usable(volume_id: &str, modification: &VolumeModification) -> Result<Look<()>, Ec2Error> {
    let state = modification.modification_state().map_or("unknown", |state| state.as_str());
    match state {
        "optimizing" | "completed" => Ok(Look::Passed(())),
        "failed" => Err(Ec2Error::Broken {
            what: format!(
                "The change of the volume {volume_id} failed: {}",
                modification.status_message().unwrap_or("AWS gave no reason")
            ),
            remedy:
                "The volume is as it was; its data are untouched. Apply again after the cause is removed."
                    .to_owned(),
        }),
        state => Ok(Look::NotYet(format!("{state}, {} %", modification.progress().unwrap_or_default()))),
    }
}

/// A volume cannot leave its zone.
fn reachable(volume: &Volume, role: &Role, zone: &str) -> Result<(), Ec2Error> {
    if volume.availability_zone == zone {
        return Ok(());
    }
    Err(Ec2Error::refused(
        format!(
            "The volume {} of {} is in {}, and the node is in {zone}: a volume cannot leave its zone",
            volume.id,
            role.text(),
            volume.availability_zone
        ),
        "Put the node into the zone of its volume, or take the replivol: tags off the volume to begin with a new one.",
    ))
}

/// The first device name that no disk has. A name says nothing about where the disk appears in the guest.
fn free_device(used: &[&str]) -> Option<String> {
    // /dev/sdf and /dev/xvdf are one and the same to EC2, and so are names with and without /dev/.
    let letters = |name: &str| {
        let bare = name.trim_start_matches("/dev/");
        let bare = bare.strip_prefix("xvd").or_else(|| bare.strip_prefix("sd")).unwrap_or(bare);
        bare.to_owned()
    };
    let taken: Vec<String> = used.iter().map(|name| letters(name)).collect();
    let first = ('f'..='p').map(|letter| (letter.to_string(), format!("/dev/sd{letter}")));
    let more =
        ('b'..='d').flat_map(|a| ('a'..='z').map(move |b| (format!("{a}{b}"), format!("/dev/xvd{a}{b}"))));
    first.chain(more).find(|(letters, _)| !taken.contains(letters)).map(|(_, device)| device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_names_are_given_in_order_and_once() {
        assert_eq!(free_device(&["/dev/sda1"]).unwrap(), "/dev/sdf");
        assert_eq!(free_device(&["/dev/xvdf", "sdg"]).unwrap(), "/dev/sdh");
        let mut used: Vec<String> = Vec::new();
        while let Some(device) = free_device(&used.iter().map(String::as_str).collect::<Vec<_>>()) {
            assert!(!used.contains(&device) && !device.contains("nvme"));
            used.push(device);
        }
        assert_eq!(used.len(), 11 + 3 * 26);
    }
}
