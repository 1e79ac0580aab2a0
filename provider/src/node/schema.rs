// SPDX-License-Identifier: MPL-2.0
//! Attributes of `drbd_node`, and the part of them that a resource group takes over.

use drbd_schemas::ByteSize;
use drbd_schemas::address::Address;
use drbd_schemas::args::StoragePoolArgs;
use drbd_schemas::declaration::DevicePath;
use drbd_schemas::name::{self, NotAllowed};
use tfplugin::{Attribute, Diagnostics, Path, Schema, Type, Value};

use super::ec2;
use crate::ssh_schema;

/// What the resource is, in Markdown.
pub(crate) const DESCRIPTION: &str = "A host that can hold replicas: an existing one that is reached over SSH, or an EC2 instance that is launched for it with \
             its data disks.\n\n\
             Creating it checks that the host has the given name, that the DRBD kernel module is loaded or can be, and that \
             drbd-utils are installed, and makes the storage pools for which `disks` are given. Nothing else is changed on the \
             host. The program that does the work there, `drbd-host`, is copied to `/var/lib/drbd-host/bin` once, under a name \
             that tells its content.\n\n\
             With `ec2` an instance is launched first: its host keys are learnt from its console before the first connection, and its \
             data disks are objects of their own, which outlive it. A change of type or image, or an instance that is lost, puts a \
             new instance under the node with the same disks. Objects are tagged with node and network, and found again by these \
             tags when a run was cut. A node's name is unique in its VPC: of two runs that make one node at the same time one goes on, \
             the other ends with an error, and a single instance is launched. A plan asks AWS whether subnet, image, type, key pair and groups exist and fit.\n\n\
             AWS permissions that nodes with `ec2` need: `ec2:Describe*` of instances, instance status, instance types, images, key pairs, \
             security groups, subnets, volumes and volume modifications; `ec2:GetConsoleOutput`; `ec2:RunInstances`, \
             `ec2:StartInstances`, `ec2:StopInstances`, `ec2:TerminateInstances`; `ec2:CreateVolume`, `ec2:AttachVolume`, \
             `ec2:DetachVolume`, `ec2:ModifyVolume`, `ec2:DeleteVolume`; `ec2:CreateTags`, `ec2:DeleteTags`; \
             `ec2:ModifyNetworkInterfaceAttribute`; with `iam_instance_profile` `iam:PassRole`, and with `image_ssm_parameter` \
             `ssm:GetParameters`.";

const NAME: &str =
    "What `uname -n` prints on the host. `drbdadm` finds a host's part of a configuration by it.";
const ADDRESS: &str = "IP address on which the node replicates. Unset: `ssh.host`, where that is an IP address. DRBD takes \
    no host names here.";
const LABELS: &str =
    "Labels for the placement rules of resource groups, for example `{ zone = \"us-west-2a\" }`.";

/// The schema of the resource.
pub(crate) fn schema() -> Schema {
    Schema::new()
        .description(DESCRIPTION)
        .attributes([
            Attribute::string("id").computed().description("The node's name."),
            Attribute::string("name")
                .required()
                .requires_replace()
                .validate(text(name::check_node_name))
                .description(NAME),
            ssh_schema::of_node(),
            ec2::schema::ec2(),
            Attribute::string("address")
                .optional()
                .computed()
                .validate(text(check_address))
                .description(ADDRESS),
            Attribute::of("labels", Type::map(Type::String)).optional().description(LABELS),
            storage_pools(Disks::Taken),
            Attribute::bool("deletion_protection").default(false).description(
                "Refuse to destroy or replace the node. To destroy it, first set this to `false` and apply.",
            ),
            consent("a disk of a storage pool"),
            Attribute::string("module_version").optional().one_of(&["8.4", "9"]).description(
                "DRBD kernel module that the host must have, loaded or to be loaded for the running kernel: `8.4` or `9`. Unset: either. \
                 Another one is an error before any storage pool is made, and drift later.",
            ),
            Attribute::string("drbd_version")
                .computed()
                .description("Version of the DRBD kernel module that is loaded, or would be."),
            Attribute::string("drbd_family").computed().description(
                "`9`, or `8.4` for the module of stock distribution kernels (two nodes, no quorum).",
            ),
            Attribute::string("drbd_utils_version")
                .computed()
                .description("Version of drbd-utils on the host."),
            Attribute::string("kernel_version").computed().description("Release of the running kernel."),
            known_hosts().computed().unknown_when_changed(&["ssh"]),
            drift(),
        ])
        .attributes(ec2::schema::computed())
}

/// The part of a node that a resource group needs. `nodes = drbd_node.this` gives more; Terraform drops the rest.
pub(crate) fn in_group() -> Vec<Attribute> {
    vec![
        Attribute::string("name").required().validate(text(name::check_node_name)).description(NAME),
        Attribute::single_nested("ssh", ssh_schema::node_members())
            .required()
            .computed_elsewhere()
            .description("How to log in to the host; see `drbd_node`."),
        Attribute::string("address")
            .required()
            .computed_elsewhere()
            .validate(text(check_address))
            .description("IP address on which the node replicates."),
        Attribute::of("labels", Type::map(Type::String)).optional().description(LABELS),
        storage_pools(Disks::Left),
        Attribute::string("drbd_family")
            .optional()
            .computed_elsewhere()
            .one_of(&["8.4", "9"])
            .description("DRBD of the host; when known, what it cannot do is refused in the plan."),
    ]
}

/// The part of a node that an inventory needs.
pub(crate) fn in_inventory() -> Vec<Attribute> {
    let taken = storage_pools(Disks::Taken);
    let mut members: Vec<Attribute> =
        in_group().into_iter().filter(|member| member.name() != taken.name()).collect();
    members.extend([taken, known_hosts().optional()]);
    members
}

/// The attribute with the verified host keys; the caller says whether it is computed or given.
pub(crate) fn known_hosts() -> Attribute {
    Attribute::of("known_hosts", Type::list(Type::String)).description(
        "Lines for a `known_hosts` file: the key that the host presented and that was verified, and after it those of the bastions \
         on the way to it.",
    )
}

/// The attribute that shows what differs on hosts.
pub(crate) fn drift() -> Attribute {
    Attribute::of("drift", Type::list(Type::String)).computed().description(
        "What differs on the hosts from what is declared, one line each; empty when nothing does. Whenever it is not empty, the \
         plan is to make it so.",
    )
}

/// The attribute with which a user answers a refusal.
pub(crate) fn consent(what: &str) -> Attribute {
    Attribute::of("consent", Type::set(Type::String)).optional().description(format!(
        "What may be destroyed or taken over. When {what} holds something else, it is refused, and the refusal prints the one token that names that device and its content; put it here to go on. Take it out again afterwards."
    ))
}

/// Whether pools can be made from disks: a node does that, a group only uses them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Disks {
    Taken,
    Left,
}

fn storage_pools(disks: Disks) -> Attribute {
    let group = || {
        Attribute::string("volume_group")
            .required()
            .validate(text(name::check_lvm_name))
            .description("The LVM volume group.")
    };
    let thin = vec![
        group(),
        Attribute::string("thin_pool")
            .required()
            .validate(text(name::check_lvm_name))
            .description("The thin pool in it."),
    ];
    let mut members = vec![
        Attribute::single_nested("lvm_thin", thin).optional().description(
            "A thin logical volume for each replica. New ones read as zeroes, so that the first full synchronisation can be skipped.",
        ),
        Attribute::single_nested("lvm", vec![group()]).optional().description("A thick logical volume for each replica."),
        Attribute::of("devices", Type::map(Type::String)).optional().validate(devices).description(
            "A whole device for each replicated volume, by the volume's name. Use names that stay, such as `/dev/disk/by-id/…`.",
        ),
    ];
    if disks == Disks::Taken {
        members.push(Attribute::of("disks", Type::list(Type::String)).optional().validate(devices).description(
            "Blank disks of which the volume group, and the thin pool, are made. Disks that hold anything else are refused. When the \
             node is destroyed, a volume group that was made this way is removed, if no volume is left in it. Unset: the volume \
             group and the thin pool must exist.",
        ));
        members.push(ec2::schema::ebs());
        members.push(
            Attribute::string("thin_pool_metadata_size").optional().semantic_eq(same_size).validate(metadata_size).description(
                "At least this size for the metadata of the thin pool that is made of the disks, `2MiB` to `15GiB`. Unset: LVM's \
                 choice, which is small for many snapshots. They can grow later, with a further disk that has room for twice what \
                 is missing; they never become smaller.",
            ),
        );
    }
    Attribute::map_nested("storage_pools", members).optional().validate(pools).description(
        "Where the node's backing devices come from, by a name that the nodes of a resource group share. Each pool is exactly one \
         of `lvm_thin`, `lvm` and `devices`.",
    )
}

type TextCheck = fn(&str) -> Result<(), NotAllowed>;

/// A validator of a text attribute from a check of the contract.
pub(crate) fn text(check: TextCheck) -> impl Fn(&Value, &Path, &mut Diagnostics) + Send + Sync + 'static {
    move |value, path, diagnostics| {
        if let Some(text) = value.as_str()
            && let Err(allowed) = check(text)
        {
            let detail = format!("{path} is {text:?}; allowed: {allowed}.");
            diagnostics.error_at(path, "Value not allowed", detail);
        }
    }
}

fn check_address(text: &str) -> Result<(), NotAllowed> {
    Address::try_from(text.to_owned()).map(drop)
}

fn devices(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    let entries = value.elements().map(|list| list.iter().collect::<Vec<_>>());
    let entries = entries.or_else(|| value.members().map(|map| map.values().collect())).unwrap_or_default();
    for device in entries.into_iter().filter_map(Value::as_str) {
        if let Err(allowed) = DevicePath::try_from(device.to_owned()) {
            let detail = format!("{path} holds {device:?}; allowed: {allowed}.");
            diagnostics.error_at(path, "Not a block device", detail);
        }
    }
}

fn same_size(a: &Value, b: &Value) -> bool {
    let bytes = |value: &Value| value.as_str().and_then(|text| ByteSize::parse(text).ok());
    bytes(a).is_some_and(|a| Some(a) == bytes(b))
}

fn metadata_size(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    let Some(text) = value.as_str() else { return };
    if let Err(allowed) = ByteSize::parse(text).and_then(StoragePoolArgs::check_metadata_size) {
        diagnostics.error_at(
            path,
            "Not a size of metadata",
            format!("{path} is {text:?}; allowed: {allowed}."),
        );
    }
}

/// Each pool is exactly one kind; only LVM takes disks.
fn pools(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    for (name, pool) in value.members().into_iter().flatten() {
        let at = path.key(name);
        let kinds = ["lvm_thin", "lvm", "devices"].map(|kind| (kind, pool.get(kind)));
        // An unknown member can still turn out to be null.
        if pool.members().is_none() || kinds.iter().any(|(_, value)| value.is_unknown()) {
            continue;
        }
        let given: Vec<&str> =
            kinds.iter().filter(|(_, value)| !value.is_null()).map(|(kind, _)| *kind).collect();
        if given.len() != 1 {
            let found = if given.is_empty() { "none of them".to_owned() } else { given.join(" and ") };
            let detail = format!("{at} must have exactly one of lvm_thin, lvm and devices; it has {found}.");
            diagnostics.error_at(&at, "Storage pool of no clear kind", detail);
        }
        let made = !(pool.get("disks").is_null() && pool.get("ebs").is_null());
        let no_pool_is_made = given != ["lvm_thin"] || !made;
        if no_pool_is_made && !pool.get("thin_pool_metadata_size").is_null() {
            let detail = format!(
                "{at} has thin_pool_metadata_size, which is for a thin pool that is made of disks: it needs lvm_thin, and disks or ebs."
            );
            diagnostics.error_at(&at, "Metadata without a thin pool", detail);
        }
        if given == ["devices"] && !(pool.get("disks").is_null() && pool.get("ebs").is_null()) {
            let detail =
                format!("{at} has devices, which are used as they are; disks belong to lvm_thin and lvm.");
            diagnostics.error_at(&at, "Disks without a volume group", detail);
        }
    }
}
