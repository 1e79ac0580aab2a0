// SPDX-License-Identifier: MPL-2.0
//! Launching an instance: what is asked for, and the one call that makes it with all its tags.
//!
//! Data disks are not part of it: they outlive instances (see `volume.rs`).

use std::time::Duration;

use aws_sdk_ec2::types::{
    BlockDeviceMapping, EbsBlockDevice, HttpTokensState, IamInstanceProfileSpecification,
    InstanceMarketOptionsRequest, InstanceMetadataOptionsRequest, InstanceNetworkInterfaceSpecification,
    InstanceType, MarketType, Placement, ResourceType, SpotInstanceType, SpotMarketOptions, VolumeType,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::claim::{several, taken_over};
use crate::client::Ec2;
use crate::error::{Ec2Error, Kind};
use crate::gate::{Gate, Look};
use crate::image::Image;
use crate::place::Place;
use crate::tags::{self, Owner, Role, Tags};
use crate::words::Instance;

/// Largest user data that EC2 takes, in bytes before encoding.
const MAX_USER_DATA: usize = 16 * 1024;
/// A new instance profile is not known everywhere for about ten seconds.
const PROFILE_DEADLINE: Duration = Duration::from_secs(120);
/// How often one node can have been launched in a place within the memory of EC2's client tokens.
const MAX_GENERATIONS: usize = 64;
/// For so many of them EC2 is waited for to list whose they are: a minute in all.
const MAX_WAITS: usize = 6;

/// An instance to launch, by the names of EC2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// Where.
    pub place: Place,
    /// From what.
    pub image: Image,
    /// For example `m6i.large`.
    pub instance_type: String,
    /// An address of the subnet; EC2 chooses one when there is none.
    pub private_ip: Option<String>,
    /// Whether it gets a public address; the subnet decides when there is none.
    pub associate_public_ip_address: Option<bool>,
    /// The key pair.
    pub key_name: Option<String>,
    /// Its security groups; the network's default one when there is none.
    pub security_group_ids: Vec<String>,
    /// Name or ARN of an instance profile.
    pub iam_instance_profile: Option<String>,
    /// Whether the metadata service asks for a session token (IMDSv2).
    pub http_tokens_required: bool,
    /// Over how many hops the metadata service answers: 1, or 2 for containers.
    pub hop_limit: u32,
    /// The root disk.
    pub root_disk: RootDisk,
    /// User data.
    pub user_data: Vec<u8>,
    /// The placement group.
    pub placement_group: Option<String>,
    /// Spot instead of on demand.
    pub spot: Option<Spot>,
    /// Tags of users.
    pub tags: Tags,
}

/// The root disk; what is not set is as the image has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RootDisk {
    /// Its size in GiB.
    pub size_gib: Option<u32>,
    /// Its type.
    pub volume_type: Option<String>,
    /// I/O operations per second.
    pub iops: Option<u32>,
    /// MiB per second.
    pub throughput: Option<u32>,
    /// Whether it is encrypted.
    pub encrypted: Option<bool>,
    /// The key.
    pub kms_key_id: Option<String>,
}

/// A one-time spot instance. Persistent requests outlive the instance and start new ones that nobody tracks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spot {
    /// The most to pay for an hour; the on-demand price when there is none.
    pub max_price: Option<String>,
}

impl RootDisk {
    fn mapping(&self, image: &Image) -> Result<Option<BlockDeviceMapping>, Ec2Error> {
        if *self == Self::default() {
            return Ok(None);
        }
        let device = image.root_device.as_deref().ok_or_else(|| {
            Ec2Error::refused(
                format!("The name of the root disk of {} is not known", image.id),
                "Choose the image by id or by owner and name, or leave root_block_device out.",
            )
        })?;
        let ebs = EbsBlockDevice::builder()
            .delete_on_termination(true)
            .set_volume_size(self.size_gib.map(signed))
            .set_volume_type(self.volume_type.as_deref().map(VolumeType::from))
            .set_iops(self.iops.map(signed))
            .set_throughput(self.throughput.map(signed))
            .set_encrypted(self.encrypted)
            .set_kms_key_id(self.kms_key_id.clone())
            .build();
        Ok(Some(BlockDeviceMapping::builder().device_name(device).ebs(ebs).build()))
    }
}

/// A count in the API's form.
pub(crate) fn signed(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

impl Launch {
    fn interface(&self) -> InstanceNetworkInterfaceSpecification {
        InstanceNetworkInterfaceSpecification::builder()
            .device_index(0)
            .subnet_id(&self.place.subnet_id)
            .set_groups((!self.security_group_ids.is_empty()).then(|| self.security_group_ids.clone()))
            .set_private_ip_address(self.private_ip.clone())
            .set_associate_public_ip_address(self.associate_public_ip_address)
            .delete_on_termination(true)
            .build()
    }

    fn metadata(&self) -> InstanceMetadataOptionsRequest {
        let tokens =
            if self.http_tokens_required { HttpTokensState::Required } else { HttpTokensState::Optional };
        InstanceMetadataOptionsRequest::builder()
            .http_tokens(tokens)
            .http_put_response_hop_limit(signed(self.hop_limit))
            .build()
    }

    fn profile(&self) -> Option<IamInstanceProfileSpecification> {
        let profile = self.iam_instance_profile.as_deref()?;
        let builder = IamInstanceProfileSpecification::builder();
        Some(if profile.starts_with("arn:") { builder.arn(profile) } else { builder.name(profile) }.build())
    }

    fn market(&self) -> Option<InstanceMarketOptionsRequest> {
        let spot = self.spot.as_ref()?;
        let options = SpotMarketOptions::builder()
            .spot_instance_type(SpotInstanceType::OneTime)
            .set_max_price(spot.max_price.clone())
            .build();
        Some(
            InstanceMarketOptionsRequest::builder()
                .market_type(MarketType::Spot)
                .spot_options(options)
                .build(),
        )
    }

    fn encoded_user_data(&self) -> Result<String, Ec2Error> {
        if self.user_data.len() > MAX_USER_DATA {
            return Err(Ec2Error::refused(
                format!("The user data have {} bytes, and EC2 takes {MAX_USER_DATA}", self.user_data.len()),
                "Shorten ec2.user_data, for example by having it fetch the rest.",
            ));
        }
        Ok(STANDARD.encode(&self.user_data))
    }
}

impl Ec2 {
    /// The owner's instance: the one that there is, which an earlier run began to make, else a new one. At most one ever exists,
    /// also when several runs make it at once: its client token follows from the owner alone, and each run marks what it makes.
    ///
    /// # Errors
    /// What EC2 refuses; then nothing was made. [`Ec2Error::Refused`] when there is one that was finished
    /// ([`Self::finish`]): it is another configuration's node, or one that should be imported. [`Ec2Error::TakenOver`] when
    /// another run has just launched it.
    pub async fn ensure_instance(&self, owner: &Owner, launch: &Launch) -> Result<Instance, Ec2Error> {
        let listed = self.instances_of(owner).await?;
        let (gone, mut there): (Vec<_>, Vec<_>) = listed.into_iter().partition(|i| i.state.is_gone());
        match (there.pop(), there.is_empty()) {
            (None, _) => self.launch(owner, launch, gone.len()).await,
            (Some(one), true) => self.take_over(owner, one).await,
            (Some(one), false) => Err(several(owner, there.iter().chain([&one]))),
        }
    }

    /// `gone`: how many instances of this owner EC2 still lists as terminated. Their tokens are spent.
    async fn launch(&self, owner: &Owner, launch: &Launch, gone: usize) -> Result<Instance, Ec2Error> {
        self.machine(&launch.instance_type).await?.runs(&launch.image, &launch.instance_type)?;
        let (mut generation, mut waits) = (gone, 0);
        loop {
            // Not of the subnet: in another one of the network it would be a second node of this name.
            let token = owner.token(&Role::Instance, &owner.scope, generation);
            let outcome = self.run_instances(owner, launch, &token).await;
            match &outcome {
                Ok(instance) if !instance.state.is_gone() && self.began(instance) => return outcome,
                // The answer of a spent token can also be its terminated instance.
                Ok(instance) if instance.state.is_gone() => (),
                Ok(instance) => return Err(taken_over(owner, &instance.id, "launched")),
                Err(error) if error.kind() == Kind::TokenTaken && waits < MAX_WAITS => {
                    waits += 1;
                    if let Some(other) = self.of_another_run(owner).await? {
                        return Err(taken_over(owner, &other.id, "launched"));
                    }
                }
                Err(error) if error.kind() == Kind::TokenSpent => (),
                Err(_) => return outcome,
            }
            if generation >= gone + MAX_GENERATIONS {
                return outcome;
            }
            generation += 1;
        }
    }

    async fn run_instances(&self, owner: &Owner, launch: &Launch, token: &str) -> Result<Instance, Ec2Error> {
        let profile = launch.iam_instance_profile.clone().unwrap_or_default();
        let gate = Gate::new(
            "instance profile known to EC2",
            profile,
            PROFILE_DEADLINE,
            "Check iam_instance_profile: it must exist and hold a role.",
        );
        let looked = gate
            .pass(|| async {
                match self.run_instances_once(owner, launch, token).await {
                    Err(error) if is_profile_unknown(&error) => Ok(Look::NotYet(error.to_string())),
                    other => other.map(Look::Passed),
                }
            })
            .await;
        looked.map_err(Ec2Error::stuck)
    }

    async fn run_instances_once(
        &self,
        owner: &Owner,
        launch: &Launch,
        token: &str,
    ) -> Result<Instance, Ec2Error> {
        let mut tags = tags::merged(owner, &Role::Instance, &[self.default_tags(), &launch.tags]);
        tags.insert(tags::RUN.to_owned(), self.run().to_owned());
        let mut kinds = vec![ResourceType::Instance, ResourceType::Volume, ResourceType::NetworkInterface];
        if launch.spot.is_some() {
            kinds.push(ResourceType::SpotInstancesRequest);
        }
        let placement = Placement::builder()
            .availability_zone(&launch.place.availability_zone)
            .set_group_name(launch.placement_group.clone());
        let changing = self.changing().await;
        let call = changing
            .run_instances()
            .min_count(1)
            .max_count(1)
            .client_token(token)
            .image_id(&launch.image.id)
            .instance_type(InstanceType::from(launch.instance_type.as_str()))
            .network_interfaces(launch.interface())
            .placement(placement.build())
            .metadata_options(launch.metadata())
            .set_key_name(launch.key_name.clone())
            .set_iam_instance_profile(launch.profile())
            .set_instance_market_options(launch.market())
            .set_block_device_mappings(launch.root_disk.mapping(&launch.image)?.map(|mapping| vec![mapping]))
            .user_data(launch.encoded_user_data()?)
            .set_tag_specifications(Some(
                kinds.into_iter().map(|kind| tags::specification(kind, &tags)).collect(),
            ));
        let what = format!("RunInstances of {} in {}", launch.instance_type, launch.place.availability_zone);
        let answer = call.send().await.map_err(|error| Ec2Error::of(what.clone(), error))?;
        answer.instances().first().and_then(Instance::read).ok_or_else(|| Ec2Error::Broken {
            what: format!("{what}: AWS answered without an instance"),
            remedy: "Apply again: what was made is found by its tags.".to_owned(),
        })
    }
}

/// A profile that was made a moment ago is refused for a while, in these words.
fn is_profile_unknown(error: &Ec2Error) -> bool {
    let Ec2Error::Api { code, message, .. } = error else { return false };
    code == "InvalidParameterValue"
        && (message.contains("Invalid IAM Instance Profile")
            || message.contains("has no associated IAM Roles"))
}
