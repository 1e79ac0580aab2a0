// SPDX-License-Identifier: MPL-2.0
//! What a plan or a state says about an instance and its disks, as values. Pure.

use std::collections::BTreeMap;

use drbd_ec2::{ImageChoice, Launch, Performance, Place, PlaceChoice, Role, RootDisk, Spot, Tags};
use tfplugin::{Diagnostic, Path, Reader, Value};

use super::schema;
use super::user_data::{self, Pins, Software};

/// A node that is an instance, as declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) name: String,
    pub(super) image: ImageChoice,
    pub(super) place: PlaceChoice,
    pub(super) instance_type: String,
    pub(super) private_ip: Option<String>,
    pub(super) security_group_ids: Vec<String>,
    pub(super) source_dest_check: Option<bool>,
    pub(super) public_ssh: bool,
    pub(super) tags: Tags,
    pub(super) software: Software,
    pub(super) pins: Pins,
    pub(super) disks: Vec<Disk>,
    at_launch: AtLaunch,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct AtLaunch {
    associate_public_ip_address: Option<bool>,
    key_name: Option<String>,
    iam_instance_profile: Option<String>,
    http_tokens_required: bool,
    hop_limit: u32,
    root_disk: RootDisk,
    user_data: Option<String>,
    placement_group: Option<String>,
    spot: Option<Spot>,
}

/// A data disk, as declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Disk {
    pub(super) role: Role,
    pub(super) performance: Performance,
    pub(super) encrypted: bool,
    pub(super) kms_key_id: Option<String>,
    pub(super) retain: bool,
}

impl Wanted {
    /// From a whole node.
    ///
    /// # Errors
    /// When something is not known, or not allowed.
    pub(super) fn read(node: &Value) -> Result<Self, Diagnostic> {
        let whole = node.reader()?;
        let name = whole.required_str("name")?.to_owned();
        let r = node.get("ec2").reader_at(Path::of("ec2"))?;
        Ok(Self {
            image: image(&r)?,
            place: PlaceChoice {
                subnet_id: r.get("subnet_id")?,
                availability_zone: r.get("availability_zone")?,
            },
            instance_type: r.required_str("instance_type")?.to_owned(),
            private_ip: r.get("private_ip")?,
            security_group_ids: r.get::<Option<Vec<String>>>("security_group_ids")?.unwrap_or_default(),
            source_dest_check: r.get("source_dest_check")?,
            public_ssh: r.opt_str("ssh_address")? == Some("public"),
            tags: r.get::<Option<_>>("tags")?.unwrap_or_default(),
            software: Software::of(r.opt_str("software")?),
            pins: r.get::<Option<_>>("software_versions")?.unwrap_or_default(),
            disks: disks(node)?,
            at_launch: at_launch(&r)?,
            name,
        })
    }

    /// What to launch.
    pub(super) fn launch(&self, place: Place, image: drbd_ec2::Image, private_ip: Option<String>) -> Launch {
        let AtLaunch {
            associate_public_ip_address,
            key_name,
            iam_instance_profile,
            http_tokens_required,
            hop_limit,
            root_disk,
            user_data,
            placement_group,
            spot,
        } = self.at_launch.clone();
        Launch {
            place,
            image,
            instance_type: self.instance_type.clone(),
            private_ip,
            associate_public_ip_address,
            key_name,
            security_group_ids: self.security_group_ids.clone(),
            iam_instance_profile,
            http_tokens_required,
            hop_limit,
            root_disk,
            user_data: user_data::render(&self.name, self.software, &self.pins, user_data.as_deref())
                .into_bytes(),
            placement_group,
            spot,
            tags: self.tags.clone(),
        }
    }
}

pub(super) fn image(r: &Reader<'_>) -> Result<ImageChoice, Diagnostic> {
    if let Some(id) = r.opt_str("image_id")? {
        return Ok(ImageChoice::Id(id.to_owned()));
    }
    if let Some(name) = r.opt_str("image_ssm_parameter")? {
        return Ok(ImageChoice::SsmParameter(name.to_owned()));
    }
    match r.nested("image")? {
        Some(lookup) => Ok(ImageChoice::Newest {
            owners: lookup.get("owners")?,
            name: lookup.required_str("name")?.to_owned(),
        }),
        None => {
            Err(r.error("image_id", "No image", "One of image_id, image_ssm_parameter and image is needed."))
        }
    }
}

fn at_launch(r: &Reader<'_>) -> Result<AtLaunch, Diagnostic> {
    let metadata = r.nested("metadata_options")?;
    let metadata = metadata.as_ref();
    let tokens = metadata.map(|m| m.opt_str("http_tokens")).transpose()?.flatten();
    let hops = metadata.map(|m| m.get::<Option<u32>>("http_put_response_hop_limit")).transpose()?.flatten();
    let spot = r.nested("spot")?.map(|spot| Ok::<_, Diagnostic>(Spot { max_price: spot.get("max_price")? }));
    Ok(AtLaunch {
        associate_public_ip_address: r.get("associate_public_ip_address")?,
        key_name: r.get("key_name")?,
        iam_instance_profile: r.get("iam_instance_profile")?,
        http_tokens_required: tokens != Some("optional"),
        hop_limit: hops.unwrap_or(1),
        root_disk: r
            .nested("root_block_device")?
            .map(|root| root_disk(&root))
            .transpose()?
            .unwrap_or_default(),
        user_data: r.get("user_data")?,
        placement_group: r.get("placement_group")?,
        spot: spot.transpose()?,
    })
}

fn root_disk(r: &Reader<'_>) -> Result<RootDisk, Diagnostic> {
    Ok(RootDisk {
        size_gib: r.get("volume_size")?,
        volume_type: r.get("volume_type")?,
        iops: r.get("iops")?,
        throughput: r.get("throughput")?,
        encrypted: r.get("encrypted")?,
        kms_key_id: r.get("kms_key_id")?,
    })
}

/// The data disks of a node.
///
/// # Errors
/// When something is not known, or not allowed.
pub(super) fn disks(node: &Value) -> Result<Vec<Disk>, Diagnostic> {
    let mut all = Vec::new();
    for (pool, value) in node.reader()?.entries("storage_pools")? {
        for (name, r) in value.entries("ebs")? {
            let size = r.required_str("size")?;
            let size_gib = schema::gib(size).ok_or_else(|| {
                r.error("size", "Not a size of an EBS volume", format!("{size:?} is not whole GiB."))
            })?;
            all.push(Disk {
                role: Role::Disk { pool: pool.to_owned(), disk: name.to_owned() },
                performance: Performance {
                    size_gib,
                    volume_type: r.opt_str("type")?.unwrap_or("gp3").to_owned(),
                    iops: r.get("iops")?,
                    throughput: r.get("throughput")?,
                },
                encrypted: r.get::<Option<bool>>("encrypted")?.unwrap_or(true),
                kms_key_id: r.get("kms_key_id")?,
                retain: r.opt_str("on_destroy")? == Some("retain_disk"),
            });
        }
    }
    Ok(all)
}

/// Paths of the EBS volumes of a pool, as far as they are known.
pub(crate) fn devices(node: &Value, pool: &str) -> Vec<String> {
    let ebs = node.get("storage_pools").get(pool).get("ebs");
    let names = ebs.members().into_iter().flatten().map(|(name, _)| name);
    let device = |name: &tfplugin::SmolStr| {
        let volume = node.get("volumes").get(&format!("{pool}/{name}"));
        volume.get("device").as_str().map(str::to_owned)
    };
    names.filter_map(device).collect()
}

/// What a state knows of its objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) instance: Option<String>,
    pub(super) vpc: Option<String>,
    pub(super) private_ip: Option<String>,
    /// Volume ids by `<pool>/<name>`.
    pub(super) volumes: BTreeMap<String, String>,
}

impl Known {
    pub(super) fn read(state: &Value) -> Self {
        let text = |name: &str| state.get("instance").get(name).as_str().map(str::to_owned);
        let id = |(role, volume): (&tfplugin::SmolStr, &Value)| {
            Some((role.to_string(), volume.get("id").as_str()?.to_owned()))
        };
        Self {
            instance: text("id"),
            vpc: text("vpc_id"),
            private_ip: text("private_ip"),
            volumes: state.get("volumes").members().into_iter().flatten().filter_map(id).collect(),
        }
    }
}

/// The instance as the state holds it.
pub(super) fn instance_value(instance: &drbd_ec2::Instance) -> Value {
    let text = |text: &Option<String>| text.as_deref().map_or(Value::Null, Value::from);
    Value::object([
        ("id", Value::from(instance.id.as_str())),
        ("state", Value::from(instance.state.to_string())),
        ("availability_zone", Value::from(instance.availability_zone.as_str())),
        ("vpc_id", text(&instance.vpc_id)),
        ("image_id", Value::from(instance.image_id.as_str())),
        ("instance_type", Value::from(instance.instance_type.as_str())),
        ("private_ip", text(&instance.private_ip)),
        ("public_ip", text(&instance.public_ip)),
    ])
}

/// A volume as the state holds it.
pub(super) fn volume_value(volume: &drbd_ec2::Volume, device: Option<&str>) -> Value {
    Value::object([
        ("id", Value::from(volume.id.as_str())),
        ("device", device.map_or(Value::Null, Value::from)),
        ("size_gib", Value::from(volume.size_gib)),
    ])
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A node as a plan has it, with one disk.
    pub(in crate::node::ec2) fn node() -> Value {
        let disk = Value::object([("size", "100GiB"), ("type", "gp3"), ("on_destroy", "retain_disk")]);
        let pool = Value::object([("ebs", Value::map([("d0", disk)]))]);
        Value::object([
            ("name", Value::from("a")),
            ("ssh", Value::object([("user", Value::from("ubuntu"))])),
            (
                "ec2",
                Value::object([
                    ("image_id", Value::from("ami-1")),
                    ("instance_type", Value::from("m6i.large")),
                    ("subnet_id", Value::from("subnet-1")),
                    ("security_group_ids", Value::set_of(["sg-1"])),
                ]),
            ),
            ("storage_pools", Value::map([("data", pool)])),
        ])
    }

    #[test]
    fn a_launch_is_safe_unless_it_is_told_otherwise() {
        let wanted = Wanted::read(&node()).unwrap();
        let place =
            Place { subnet_id: "subnet-1".into(), availability_zone: "a".into(), vpc_id: "vpc-1".into() };
        let image = drbd_ec2::Image { id: "ami-1".into(), architecture: None, root_device: None };
        let launch = wanted.launch(place, image, None);
        assert!(launch.http_tokens_required);
        assert_eq!(launch.hop_limit, 1);
        assert!(String::from_utf8(launch.user_data).unwrap().contains("hostname: a"));
        let disk = &wanted.disks[0];
        assert!(disk.encrypted && disk.retain);
        assert_eq!((disk.performance.size_gib, disk.role.text()), (100, "data/d0".to_owned()));
    }

    #[test]
    fn devices_are_those_that_are_known() {
        let mut node = node();
        assert_eq!(devices(&node, "data"), [] as [String; 0]);
        let volume = Value::object([("id", "vol-1"), ("device", "/dev/disk/by-id/x")]);
        node.set("volumes", Value::map([("data/d0", volume)]));
        assert_eq!(devices(&node, "data"), ["/dev/disk/by-id/x"]);
        assert_eq!(Known::read(&node).volumes["data/d0"], "vol-1");
    }
}
