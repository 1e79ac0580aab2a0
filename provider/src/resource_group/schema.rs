// SPDX-License-Identifier: MPL-2.0
//! Attributes of `drbd_resource_group`, and the two of them that a volume holds.

use drbd_schemas::Section;
use drbd_schemas::address::Endpoint;
use drbd_schemas::declaration::DEFAULT_MAX_PEERS;
use tfplugin::{Attribute, Diagnostics, Number, Path, Schema, Type, Value};

use super::for_volumes;
use crate::node::schema as node;
use crate::options;

/// Replicas of a volume unless the group says otherwise; LINSTOR's number too.
pub(crate) const DEFAULT_PLACE_COUNT: u32 = 2;

/// What the resource is, in Markdown.
pub(crate) const DESCRIPTION: &str = "How replicated volumes are made and where their replicas are placed: the nodes to choose from, the storage pool, the number \
             of replicas, rules over the nodes' labels, and DRBD options. It exists in Terraform's state only; a change reaches the \
             volumes of the group when they are applied.";

/// The schema of the resource.
pub(crate) fn schema() -> Schema {
    Schema::new().version(1).description(DESCRIPTION).attributes([
        Attribute::string("id").computed().description("The group's name."),
        Attribute::of(for_volumes::NAME, Type::map(Type::String)).computed().description(
            "What the volumes of the group need of it, in short: they hold this and the name, and nothing else. Its form belongs to the \
             provider; for what it says read the other attributes.",
        ),
    ]).attributes(configured())
}

/// What a volume holds of a group. `resource_group = drbd_resource_group.this` gives more; Terraform drops the rest.
pub(crate) fn in_volume() -> Vec<Attribute> {
    vec![
        name(),
        Attribute::of(for_volumes::NAME, Type::map(Type::String))
            .required()
            .description("The attribute of this name of the group."),
    ]
}

/// The type of a group as the volumes of schema version 0 held it.
pub(crate) fn whole_type() -> Type {
    Schema::new().attributes(configured()).object_type()
}

fn name() -> Attribute {
    Attribute::string("name").required().validate(group_name).description("Name of the group.")
}

fn configured() -> Vec<Attribute> {
    vec![
        name(),
        Attribute::map_nested("nodes", node::in_group()).required().validate(nodes).description(
            "The nodes to choose from, as whole `drbd_node` objects: `nodes = drbd_node.this` where that has a `for_each`, or \
             `nodes = { a = drbd_node.a, b = drbd_node.b }`. The keys do not matter.",
        ),
        Attribute::string("storage_pool").required().description(
            "Name of the storage pool that holds the replicas. Nodes without a pool of this name get none.",
        ),
        Attribute::number("place_count").default(u64::from(DEFAULT_PLACE_COUNT)).validate(place_count).description(
            "How many replicas each volume has, from 1 to 32; 2 unless set. In this version the replicas of an existing volume stay as \
             they are: a group that would give it others is refused in the plan.",
        ),
        Attribute::of("replicas_on_different", Type::set(Type::String)).optional().description(
            "Labels whose values must differ between any two replicas of a volume, for example `[\"zone\"]`.",
        ),
        Attribute::of("replicas_on_same", Type::set(Type::String)).optional().description(
            "Labels whose values must be the same on all replicas of a volume.",
        ),
        options::attribute(Section::Options),
        options::attribute(Section::Net),
        options::attribute(Section::Disk),
        connections(),
        Attribute::number("max_peers").optional().validate(max_peers).description(format!(
            "Peer slots to reserve in new DRBD 9 metadata, from 1 to 31; {DEFAULT_MAX_PEERS} unless set. Metadata cannot grow slots \
             later. DRBD 8.4 has one."
        )),
    ]
}

fn connections() -> Attribute {
    let members = vec![
        Attribute::of("nodes", Type::set(Type::String)).required().description("Names of the two nodes."),
        options::attribute(Section::Net),
        Attribute::of("paths", Type::list(Type::map(Type::String))).optional().validate(paths).description(
            "Network paths between the two, each with one `address:port` per node name, for IPv6 `[address]:port`. Unset: one path \
             over the nodes' addresses. More than one needs DRBD 9.",
        ),
    ];
    Attribute::set_nested("connections", members).optional().description(
        "What differs for single pairs of nodes, which are among `nodes`. A pair counts for a volume that has replicas on both.",
    )
}

fn whole_number(value: &Value, path: &Path, diagnostics: &mut Diagnostics, max: u64) {
    let valid = value.as_number().and_then(Number::to_u64).is_some_and(|n| (1..=max).contains(&n));
    if !valid {
        diagnostics.error_at(
            path,
            "Number out of range",
            format!("{path} must be a whole number from 1 to {max}."),
        );
    }
}

fn place_count(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    whole_number(value, path, diagnostics, 32);
}

fn max_peers(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    whole_number(value, path, diagnostics, 31);
}

fn group_name(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    let fits = |text: &str| {
        !text.trim().is_empty() && text.chars().count() <= 64 && !text.chars().any(char::is_control)
    };
    if value.as_str().is_some_and(|text| !fits(text)) {
        diagnostics.error_at(
            path,
            "Value not allowed",
            format!("{path} must have 1 to 64 printable characters."),
        );
    }
}

fn nodes(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    let Some(nodes) = value.members() else { return };
    if nodes.is_empty() {
        diagnostics.error_at(
            path,
            "No node",
            format!("{path} is empty; a group needs at least one node to place replicas on."),
        );
    }
    let mut seen = std::collections::BTreeMap::new();
    for (key, node) in nodes {
        if let Some(name) = node.get("name").as_str()
            && let Some(other) = seen.insert(name, key)
        {
            let detail = format!("{path} has the node {name:?} twice, under the keys {other:?} and {key:?}.");
            diagnostics.error_at(path, "Node given twice", detail);
        }
    }
}

fn paths(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    for (i, entry) in value.elements().unwrap_or_default().iter().enumerate() {
        for (node, endpoint) in entry.members().into_iter().flatten() {
            if let Some(text) = endpoint.as_str()
                && let Err(allowed) = Endpoint::try_from(text.to_owned())
            {
                let at = path.index(i).key(node);
                diagnostics.error_at(
                    &at,
                    "Not an endpoint",
                    format!("{at} is {text:?}; allowed: {allowed}."),
                );
            }
        }
    }
}
