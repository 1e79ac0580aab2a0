// SPDX-License-Identifier: MPL-2.0
//! Attributes of `drbd_replicated_volume`.

use drbd_schemas::{ByteSize, Section, checks, name};
use tfplugin::{Attribute, Diagnostics, Number, Path, Schema, Value};

use crate::node::schema as node;
use crate::resource_group::schema as group;
use crate::{duration, options};

/// What the resource is, in Markdown.
pub(crate) const DESCRIPTION: &str = "A block device that is replicated between hosts: one DRBD resource with one volume.\n\n\
    Creating it makes a backing device on each chosen node, writes the DRBD configuration, makes the metadata, brings the resource up \
    and waits until the peers are connected. The first full synchronisation is skipped where every replica is proven blank (new thin \
    volumes); else it runs, and `wait_for_sync` says whether to wait for it. A device that holds anything else is refused.\n\n\
    Before anything of it is made, on any disk, the nodes prove that they reach each other's replication ports: each listens on its own \
    for a moment and connects to those of its peers, from the address that it replicates from. A security group, network ACL, firewall \
    or route that is in the way is named with the pair of nodes, the address and the port.\n\n\
    The device is used by one host at a time: `drbdadm primary <name>` there, then `device`.\n\n\
    **When a node is lost**, a plan tells how much has to be sent to its replica: what changed meanwhile if its disks are kept, \
    everything if they are gone too. When the last UpToDate copy is gone with them, the plan is refused and says what can be done.\n\n\
    **When a creation fails** after hosts were changed, Terraform marks the volume as tainted: the next apply removes what was made \
    and creates it anew. Nothing else is lost by that, as a creation never takes over a volume in service. `terraform untaint` makes \
    the next apply finish the volume in its place.";

/// The schema of the resource.
pub(crate) fn schema() -> Schema {
    Schema::new().version(1).description(DESCRIPTION).attributes(configured()).attributes(computed())
}

/// The part of a volume that its declaration needs. `drbd_replicated_volume.this` gives more; Terraform drops the rest.
pub(crate) fn in_inventory() -> Vec<Attribute> {
    let told = |name: &str| {
        matches!(
            name,
            "name" | "resource_group" | "size" | "options" | "net" | "disk" | "shared_secret_wo_version"
        )
    };
    let mut members: Vec<Attribute> = configured().into_iter().filter(|member| told(member.name())).collect();
    let number = |name: &str, what: &str| Attribute::number(name).required().description(what);
    members.extend([
        number("port", "TCP port of the replication."),
        number("minor", "Minor number of the device."),
        Attribute::number("size_bytes").optional().description("Usable size in bytes as DRBD reports it."),
        Attribute::map_nested("replicas", vec![number("node_id", "DRBD's node-id of the node.")])
            .required()
            .description("The replicas, by the name of their node."),
    ]);
    members
}

fn configured() -> Vec<Attribute> {
    let mut attributes = vec![
        Attribute::string("name").required().requires_replace().validate(node::text(name::check_resource_name)).description(
            "Name of the DRBD resource, 1 to 48 of `A-Z a-z 0-9 _ . + -`. A change makes a new volume.",
        ),
        Attribute::single_nested("resource_group", group::in_volume()).required().description(
            "The group, as a whole object: `resource_group = drbd_resource_group.this`.",
        ),
        Attribute::string("size").optional().semantic_eq(same_size).validate(size).description(
            "Usable size: a whole number with `KiB`, `MiB`, `GiB` or `TiB`, a multiple of 4 KiB from `1MiB` to `1PiB`. It can grow, and \
             never shrink. Required unless all replicas are on whole devices; then the smallest decides.",
        ),
        options::attribute(Section::Options),
        options::attribute(Section::Net),
        options::attribute(Section::Disk),
    ];
    attributes.extend(secret());
    attributes.extend(numbers());
    attributes.extend(behaviour());
    attributes
}

fn secret() -> [Attribute; 2] {
    [
        Attribute::string("shared_secret_wo").optional().write_only().validate(shared_secret).description(
            "What peers must both know before they talk to each other: 4 to 64 printable characters. It is written to the hosts' \
             configuration (mode 0600), and stored neither in the state nor in the plan. Needs Terraform 1.11.",
        ),
        Attribute::number("shared_secret_wo_version").optional().validate(version).description(
            "A number to raise whenever `shared_secret_wo` changes; a change of the secret alone is not seen.",
        ),
    ]
}

fn numbers() -> [Attribute; 2] {
    [
        Attribute::number("port").optional().computed().validate(|v, p, d| in_range(v, p, d, 1, 65_535)).description(
            "TCP port of the replication. Unset: the lowest from 7000 that is free on all nodes when the volume is created; it is kept \
             from then on.",
        ),
        Attribute::number("minor").optional().computed().validate(|v, p, d| in_range(v, p, d, 0, 1_048_575)).description(
            "Minor number: the device is `/dev/drbd<minor>`. Unset: the lowest from 1000 that is free on all nodes when the volume is \
             created. It cannot be changed.",
        ),
    ]
}

fn behaviour() -> Vec<Attribute> {
    let timeouts = vec![
        duration::attribute(
            "create",
            "Limit for creating; `20m` unless set. It includes the first synchronisation if `wait_for_sync` is set.",
        ),
        duration::attribute("update", "Limit for changing; `20m` unless set."),
        duration::attribute("delete", "Limit for removing; `10m` unless set."),
    ];
    vec![
        Attribute::bool("deletion_protection").default(false).description(
            "Refuse to destroy or replace the volume. To destroy it, first set this to `false` and apply.",
        ),
        Attribute::string("on_destroy").default("delete").one_of(&["delete", "retain"]).description(
            "What becomes of the backing storage when the volume is destroyed: `delete` removes it with its data, `retain` keeps it. A \
             volume of the same name and group takes kept storage over.",
        ),
        Attribute::bool("wait_for_sync").default(false).description(
            "Wait until all replicas are UpToDate. Unset: until the peers are connected and one replica is UpToDate, which is when the \
             volume can be used.",
        ),
        Attribute::single_nested("timeouts", timeouts).optional().description("Limits, each as `90s`, `10m` or `1h30m`."),
        node::consent("a backing device"),
    ]
}

fn computed() -> Vec<Attribute> {
    let replica = vec![
        Attribute::number("node_id")
            .computed()
            .description("DRBD's node-id. It belongs to the node for good."),
        Attribute::string("address").computed().description("Address on which the node replicates."),
        Attribute::string("backing").computed().description("Path of the backing device on the node."),
    ];
    vec![
        Attribute::string("id").computed().description("The volume's name."),
        Attribute::string("device").computed().description("The device, on every node: `/dev/drbd<minor>`."),
        Attribute::string("device_by_res")
            .computed()
            .description("The same device by the resource's name: `/dev/drbd/by-res/<name>/0`."),
        Attribute::number("size_bytes").computed().unknown_when_changed(&["size"]).description(
            "Usable size in bytes as DRBD reports it; at least `size`, as logical volumes are rounded up.",
        ),
        Attribute::map_nested("replicas", replica)
            .computed()
            .description("The replicas, by the name of their node. A replica stays where it is."),
        Attribute::bool("adopted").computed().description(
            "The storage was kept by an earlier volume of this name, and taken over with its data.",
        ),
        node::drift(),
    ]
}

fn same_size(a: &Value, b: &Value) -> bool {
    let bytes = |value: &Value| value.as_str().and_then(|text| ByteSize::parse(text).ok());
    bytes(a).is_some_and(|a| Some(a) == bytes(b))
}

fn size(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    let Some(text) = value.as_str() else { return };
    if let Err(allowed) = ByteSize::parse(text) {
        diagnostics.error_at(path, "Not a size", format!("{path} is {text:?}; allowed: {allowed}."));
    }
}

fn shared_secret(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    if let Some(text) = value.as_str()
        && let Err(allowed) = checks::run("shared-secret", text)
    {
        diagnostics.error_at(path, "Secret not allowed", format!("{path} does not fit; allowed: {allowed}."));
    }
}

fn version(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    in_range(value, path, diagnostics, 0, u64::from(u32::MAX));
}

fn in_range(value: &Value, path: &Path, diagnostics: &mut Diagnostics, min: u64, max: u64) {
    let valid = value.as_number().and_then(Number::to_u64).is_some_and(|n| (min..=max).contains(&n));
    if !valid {
        diagnostics.error_at(
            path,
            "Number out of range",
            format!("{path} must be a whole number from {min} to {max}."),
        );
    }
}
