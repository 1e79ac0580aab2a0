// SPDX-License-Identifier: MPL-2.0
//! Peers that left the declaration. The metadata of DRBD 9 keep a vote and a bitmap slot for every peer that they have met,
//! also after `del-peer` (docs/behaviour.md B19), until it is forgotten.

use super::{Context, Plan};
use crate::step::{Planned, Step};
use crate::tools::conf_text::{self, Item, Section};
use drbd_schemas::{Family, Storage};
use std::collections::{BTreeMap, BTreeSet};

/// node-ids of peers that this host's metadata may still know and that are not declared any more, with their names where
/// these are known. What a file says counts as much as what the kernel runs: the peer may leave while the resource is down.
pub(crate) fn leaving(context: &Context<'_>) -> BTreeMap<u8, Option<String>> {
    if context.family == Family::V84 || context.node.storage == (Storage::Diskless {}) {
        return BTreeMap::new();
    }
    let observed = context.observed;
    let mut known: BTreeMap<u8, Option<String>> =
        observed.record.leaving.iter().map(|id| (*id, None)).collect();
    known.extend(in_text(observed.config.as_deref().unwrap_or_default(), context.resource.name().as_str()));
    let connections = observed.status.iter().flat_map(|status| &status.connections);
    known.extend(connections.filter_map(|peer| Some((peer.peer_node_id?, peer.name.clone()))));
    let declared: BTreeSet<u8> = context.resource.nodes.values().map(|node| node.node_id.get()).collect();
    known.retain(|id, _| !declared.contains(id));
    known
}

/// The nodes of a resource in a file, by node-id.
fn in_text(text: &str, resource: &str) -> BTreeMap<u8, Option<String>> {
    let items = conf_text::parse(text).unwrap_or_default();
    let sections = items.iter().filter_map(|item| match item {
        Item::Section(section) => Some(section),
        Item::Statement(_) => None,
    });
    let own = sections.filter(|section| section.keyword() == "resource" && section.name() == Some(resource));
    own.flat_map(Section::sections).filter(|section| section.keyword() == "on").filter_map(node).collect()
}

fn node(on: &Section) -> Option<(u8, Option<String>)> {
    let id = on.statement("node-id")?.values().first()?.text.parse().ok()?;
    Some((id, on.name().map(str::to_owned)))
}

/// Plans to forget them. While the resource runs this comes before `adjust`, which may need their slots for new peers.
pub(crate) fn forget(context: &Context<'_>, leaving: &BTreeMap<u8, Option<String>>, plan: &mut Plan) {
    let connections = context.observed.status.iter().flat_map(|status| &status.connections);
    let connected: BTreeSet<u8> = connections.filter_map(|connection| connection.peer_node_id).collect();
    let voters =
        context.resource.nodes.values().filter(|node| node.storage != (Storage::Diskless {})).count();
    for (node_id, name) in leaving {
        let step = Step::ForgetPeer {
            resource: context.resource.name().to_string(),
            node_id: *node_id,
            name: name.clone(),
            connected: connected.contains(node_id),
        };
        let planned = Planned::new(step, "it is no longer declared, and this host's metadata still know it");
        plan.push(planned.consequence(format!(
            "its bitmap slot is free again, and quorum counts {voters} nodes with a disk from now on"
        )));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nodes_of_a_file_are_found_by_id_and_no_others() {
        let text =
            "resource r0 { on h1 { node-id 0; } on h4.example.org { node-id 3; } connection { host h1; } }
                    resource other { on h9 { node-id 9; } }";
        let found: Vec<_> = in_text(text, "r0").into_iter().collect();
        assert_eq!(found, [(0, Some("h1".to_owned())), (3, Some("h4.example.org".to_owned()))]);
        assert!(in_text("resource r0 { on h1 {", "r0").is_empty());
    }
}
