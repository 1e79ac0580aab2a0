// SPDX-License-Identifier: MPL-2.0
//! Attributes of a node that is an EC2 instance, by AWS's names.

use drbd_schemas::ByteSize;
use tfplugin::{Attribute, Diagnostics, Path, Type, Value};

const GIB: u64 = 1 << 30;
/// Largest EBS volume, in GiB.
const MAX_GIB: u64 = 64 * 1024;

/// Members of `ec2` that are used at the launch only; a later change waits for the next launch.
pub(crate) const AT_LAUNCH: [&str; 10] = [
    "key_name",
    "iam_instance_profile",
    "associate_public_ip_address",
    "metadata_options",
    "root_block_device",
    "user_data",
    "software",
    "software_versions",
    "placement_group",
    "spot",
];

/// Members of `ec2` whose change puts a new instance under the node, with the data disks that it has.
pub(crate) const RELAUNCH: [&str; 5] =
    ["image_id", "image_ssm_parameter", "image", "instance_type", "private_ip"];

/// The attribute `ec2`.
pub(crate) fn ec2() -> Attribute {
    let mut members = image();
    members.extend([
        Attribute::string("instance_type").required().description(
            "Type of the instance, for example `m6i.large`. A change launches a new instance with the data disks of the old one.",
        ),
        Attribute::string("subnet_id").optional().requires_replace().description(
            "The subnet; its zone and network are the node's. One of `subnet_id` and `availability_zone` is needed.",
        ),
        Attribute::string("availability_zone").optional().requires_replace().description(
            "The zone. Without `subnet_id` its default subnet is taken; with it, both must fit.",
        ),
        Attribute::string("private_ip").optional().description(
            "Address in the subnet. Unset: EC2 chooses one, and a new instance of the node takes it again where it is free.",
        ),
    ]);
    members.extend(network());
    members.extend(machine());
    Attribute::single_nested("ec2", members).optional().requires_replace_if(comes_or_goes).description(
        "Launch an EC2 instance for this node. Unset: the node is an existing host, and `ssh.host` names it. The user of the \
         image goes into `ssh.user`.",
    )
}

/// A host that becomes an instance, or the other way round, is another node.
fn comes_or_goes(before: &Value, after: &Value) -> bool {
    before.is_null() != after.is_null()
}

fn image() -> Vec<Attribute> {
    let lookup = vec![
        Attribute::of("owners", Type::list(Type::String))
            .required()
            .description("Owners of the image: account ids, `amazon`, or `self`. Anybody can publish an image under any name."),
        Attribute::string("name").required().description("Its name, with `*` and `?`. The newest is taken."),
    ];
    vec![
        Attribute::string("image_id").optional().description(
            "The image, `ami-…`. Exactly one of `image_id`, `image_ssm_parameter` and `image` is needed. The image is looked up at \
             the launch only: a newer one later changes nothing.",
        ),
        Attribute::string("image_ssm_parameter")
            .optional()
            .description("The image, by the SSM parameter that names it."),
        Attribute::single_nested("image", lookup).optional().description("The image, by owner and name."),
    ]
}

fn network() -> Vec<Attribute> {
    vec![
        Attribute::of("security_group_ids", Type::set(Type::String)).optional().description(
            "Security groups. Nodes need each other's DRBD ports, and SSH from where Terraform runs or from the bastion. Unset: the \
             network's default group.",
        ),
        Attribute::bool("associate_public_ip_address")
            .optional()
            .description("Give it a public address. Unset: what the subnet says. Used at the launch."),
        Attribute::bool("source_dest_check")
            .optional()
            .description("`false` for a router or a VPN host. Unset: left as it is."),
        Attribute::string("ssh_address").default("private").one_of(&["private", "public"]).description(
            "Which of its addresses Terraform logs in to. Replication uses the private one, unless `address` is set.",
        ),
    ]
}

fn machine() -> Vec<Attribute> {
    let metadata = vec![
        Attribute::string("http_tokens")
            .default("required")
            .one_of(&["required", "optional"])
            .description("`required`: the metadata service asks for a session token (IMDSv2)."),
        Attribute::number("http_put_response_hop_limit")
            .default(1_u64)
            .description("Over how many hops it answers; 2 for containers."),
    ];
    let spot = vec![
        Attribute::string("max_price")
            .optional()
            .description("The most to pay for an hour. Unset: the on-demand price."),
    ];
    vec![
        Attribute::string("key_name").optional().description("Key pair for the login. Used at the launch."),
        Attribute::string("iam_instance_profile")
            .optional()
            .semantic_eq(same_profile)
            .description("Name or ARN of an instance profile. Used at the launch."),
        Attribute::single_nested("metadata_options", metadata)
            .optional()
            .description("The metadata service. Unset: IMDSv2 is required, over one hop. Used at the launch."),
        Attribute::single_nested("root_block_device", root())
            .optional()
            .description("The root disk. What is unset is as the image has it. Used at the launch."),
        Attribute::string("user_data").optional().description(
            "User data for cloud-init, added to the node's own, which sets the host name. Used at the launch. Keep secrets out of it: \
             whoever is on the host can read it.",
        ),
        Attribute::string("software").default("distribution").one_of(&["distribution", "linbit_ppa", "none"]).description(
            "What cloud-init installs: `distribution`, the packages of the image's distribution (drbd-utils, LVM, kernel modules); \
             `linbit_ppa`, DRBD 9 from LINBIT's PPA (Ubuntu); `none`, the image has it. Used at the launch.",
        ),
        Attribute::of("software_versions", Type::map(Type::String)).optional().description(
            "Versions of packages that `software` installs, `{ drbd-utils = \"9.22.*\" }`, as the package manager writes them; with apt, \
             these packages are held. Used at the launch.",
        ),
        Attribute::of("tags", Type::map(Type::String))
            .optional()
            .description("Tags of instance, disks and network interface."),
        Attribute::string("placement_group").optional().description("The placement group. Used at the launch."),
        Attribute::single_nested("spot", spot)
            .optional()
            .description("A one-time spot instance. When AWS takes it, the node gets a new one at the next apply."),
        Attribute::string("when_in_use").default("stop").one_of(&["stop", "refuse"]).description(
            "What a change that launches a new instance does while a volume is Primary on this node: `stop` unmounts its file systems \
             and makes it Secondary before the instance is shut down; processes that hold them end with that shutdown. The plan says what \
             it will be. `refuse` leaves everything as it is and says what is in use.",
        ),
    ]
}

fn root() -> Vec<Attribute> {
    vec![
        Attribute::number("volume_size").optional().description("Its size in GiB."),
        Attribute::string("volume_type").optional().description("For example `gp3`."),
        Attribute::number("iops").optional().description("I/O operations per second."),
        Attribute::number("throughput").optional().description("MiB per second."),
        Attribute::bool("encrypted").optional().description("Whether it is encrypted."),
        Attribute::string("kms_key_id").optional().description("The key of its encryption."),
    ]
}

/// The attribute `ebs` of a storage pool.
pub(crate) fn ebs() -> Attribute {
    let members = vec![
        Attribute::string("size").required().semantic_eq(same_size).validate(size).description(
            "Size, in whole GiB: `100GiB`. It grows while in use, and never shrinks.",
        ),
        Attribute::string("type").default("gp3").description("Type of the volume."),
        Attribute::number("iops").optional().description("I/O operations per second. Unset: the type's own count."),
        Attribute::number("throughput").optional().description("MiB per second. Unset: the type's own count."),
        Attribute::bool("encrypted").default(true).requires_replace().description("Whether it is encrypted."),
        Attribute::string("kms_key_id").optional().requires_replace().description(
            "The key. Unset: the account's default one.",
        ),
        Attribute::string("on_destroy").default("delete").one_of(&["delete", "retain_disk"]).description(
            "What becomes of the disk when the node is destroyed: `delete` removes it with its data, `retain_disk` keeps it. A node of \
             the same name in the same zone takes a kept disk over.",
        ),
    ];
    Attribute::map_nested("ebs", members).optional().validate(disk_names).description(
        "EBS volumes of which the pool is made, by a name of your choice: `ebs = { d0 = { size = \"100GiB\" } }`. They are objects of \
         their own, and outlive the instance. Inside the guest they are found by their volume id.",
    )
}

/// The computed attributes.
pub(crate) fn computed() -> [Attribute; 2] {
    let text = |name: &str, description: &str| Attribute::string(name).computed().description(description);
    let instance = vec![
        text("id", "Its id, `i-…`."),
        text("state", "Its state, for example `running`."),
        text("availability_zone", "Its availability zone."),
        text("vpc_id", "Its network."),
        text("image_id", "The image it was launched from."),
        text("instance_type", "Its instance type."),
        text("private_ip", "Address inside the network."),
        text("public_ip", "Address outside of it."),
    ];
    let volume = vec![
        text("id", "`vol-…`."),
        text("device", "Its path in the guest."),
        Attribute::number("size_gib").computed().description("Its size in GiB."),
    ];
    [
        Attribute::single_nested("instance", instance)
            .computed()
            .description("The instance; null for an existing host."),
        Attribute::map_nested("volumes", volume)
            .computed()
            .unknown_when_changed(&["storage_pools"])
            .description("The EBS volumes, by `<pool>/<name>`; null for an existing host."),
    ]
}

/// A size in whole GiB.
pub(crate) fn gib(text: &str) -> Option<u32> {
    let bytes = ByteSize::parse(text).ok()?.bytes();
    let whole = bytes % GIB == 0 && (1..=MAX_GIB).contains(&(bytes / GIB));
    if whole { u32::try_from(bytes / GIB).ok() } else { None }
}

fn same_size(a: &Value, b: &Value) -> bool {
    let gib = |value: &Value| value.as_str().and_then(gib);
    gib(a).is_some() && gib(a) == gib(b)
}

/// Name and ARN of one profile.
fn same_profile(a: &Value, b: &Value) -> bool {
    let is_arn_of = |arn: &str, name: &str| {
        arn.split_once(":instance-profile/").is_some_and(|(_, path)| path.rsplit('/').next() == Some(name))
    };
    match (a.as_str(), b.as_str()) {
        (Some(a), Some(b)) => a == b || is_arn_of(a, b) || is_arn_of(b, a),
        _ => false,
    }
}

fn size(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    if let Some(text) = value.as_str()
        && gib(text).is_none()
    {
        let detail = format!("{path} is {text:?}; allowed: whole GiB from 1GiB to 64TiB, such as 100GiB.");
        diagnostics.error_at(path, "Not a size of an EBS volume", detail);
    }
}

fn disk_names(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    for name in value.members().into_iter().flatten().map(|(name, _)| name) {
        let sound = (1..=32).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if !sound {
            let detail = format!(
                "{path} has the key {name:?}; allowed: 1 to 32 lower-case letters, digits and \"-\". It is a name of your own, and \
                 neither EC2's device name nor the one in the guest."
            );
            diagnostics.error_at(path, "Name not allowed", detail);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_whole_gib() {
        assert_eq!(gib("100GiB"), Some(100));
        assert_eq!(gib("1TiB"), Some(1024));
        assert_eq!(gib("2048MiB"), Some(2));
        for bad in ["100", "100G", "1536MiB", "0GiB", "65TiB", "x"] {
            assert_eq!(gib(bad), None, "{bad}");
        }
        assert!(same_size(&"1TiB".into(), &"1024GiB".into()));
    }

    #[test]
    fn a_profile_is_one_by_name_and_by_arn() {
        let arn = "arn:aws:iam::123456789012:instance-profile/team/storage";
        assert!(same_profile(&arn.into(), &"storage".into()) && same_profile(&"storage".into(), &arn.into()));
        assert!(!same_profile(&arn.into(), &"age".into()) && !same_profile(&"a".into(), &"b".into()));
    }

    #[test]
    fn device_names_are_no_names_of_disks() {
        let named = |name: &str| {
            let mut found = Diagnostics::new();
            disk_names(&Value::map([(name, Value::Null)]), &Path::of("ebs"), &mut found);
            found.has_errors()
        };
        assert!(!named("d0") && named("/dev/nvme1n1") && named("D0") && named(""));
    }
}
