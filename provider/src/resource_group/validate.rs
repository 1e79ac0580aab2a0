// SPDX-License-Identifier: MPL-2.0
//! What a group's configuration must be as a whole: pairs of `connections` are pairs of its nodes. Pure.

use std::collections::{BTreeMap, BTreeSet};

use drbd_schemas::invalid::did_you_mean;
use tfplugin::{Diagnostic, Diagnostics, Path, Value};

/// Checks a configuration. Unknown values are accepted.
pub(crate) fn group(config: &Value) -> Diagnostics {
    let mut told = Diagnostics::new();
    let names = node_names(config);
    let mut seen: BTreeMap<Vec<&str>, ()> = BTreeMap::new();
    for connection in config.get("connections").elements().unwrap_or_default() {
        if connection.get("nodes").is_null() || !connection.get("nodes").is_wholly_known() {
            continue;
        }
        let mut pair = texts(connection.get("nodes"));
        pair.sort_unstable();
        pair.dedup();
        if pair.len() != 2 {
            let detail =
                format!("The nodes of a connection must be two different ones; here they are {pair:?}.");
            told.push(problem("Not a pair of nodes", detail));
            continue;
        }
        if let Some(names) = &names {
            told.extend(pair.iter().filter_map(|name| stranger(name, &pair, names)));
        }
        told.extend(strange_paths(connection, &pair));
        if seen.insert(pair.clone(), ()).is_some() {
            let detail =
                format!("The pair {} is there twice; put what differs for it into one.", pair.join(", "));
            told.push(problem("Pair given twice", detail));
        }
    }
    told
}

fn problem(summary: &str, detail: String) -> Diagnostic {
    Diagnostic::error(summary, format!("connections: {detail}")).at(Path::of("connections"))
}

/// The names of the nodes; none while not all of them are known.
fn node_names(config: &Value) -> Option<BTreeSet<&str>> {
    config.get("nodes").members()?.values().map(|node| node.get("name").as_str()).collect()
}

fn texts(value: &Value) -> Vec<&str> {
    value.elements().unwrap_or_default().iter().filter_map(Value::as_str).collect()
}

fn stranger(name: &str, pair: &[&str], names: &BTreeSet<&str>) -> Option<Diagnostic> {
    if names.contains(name) {
        return None;
    }
    let hint = did_you_mean(name, names.iter().copied()).map_or_else(
        || format!("They are {}.", names.iter().copied().collect::<Vec<_>>().join(", ")),
        |near| format!("Did you mean {near:?}?"),
    );
    let detail =
        format!("The pair {} names {name:?}, which is none of the group's nodes. {hint}", pair.join(", "));
    Some(problem("No such node", detail))
}

/// Each path has one endpoint for each of the two.
fn strange_paths(connection: &Value, pair: &[&str]) -> Vec<Diagnostic> {
    let paths = connection.get("paths").elements().unwrap_or_default();
    let keys = paths
        .iter()
        .filter_map(Value::members)
        .map(|path| path.keys().map(|key| key.as_str()).collect::<Vec<_>>());
    let wrong = keys.filter(|keys| keys != pair);
    wrong
        .map(|keys| {
            let detail = format!(
                "A path between {} must have one endpoint for each of the two; it has endpoints for {keys:?}.",
                pair.join(" and ")
            );
            problem("Not a path between the two", detail)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource_group::model::tests;

    fn told(connections: &[(&[&str], Option<[&str; 2]>)]) -> String {
        let connection = |(nodes, path): &(&[&str], Option<[&str; 2]>)| {
            let path = path.map(|keys| Value::list([Value::map(keys.map(|key| (key, "10.0.0.1:7000")))]));
            Value::object([
                ("nodes", Value::set_of(nodes.iter().copied())),
                ("paths", path.unwrap_or(Value::Null)),
            ])
        };
        let mut config = tests::group();
        config.set("connections", Value::list(connections.iter().map(connection)));
        group(&config).iter().map(|d| format!("{}: {}\n", d.summary, d.detail)).collect()
    }

    #[test]
    fn pairs_are_pairs_of_the_groups_nodes() {
        assert_eq!(told(&[(&["h1", "h2"], Some(["h1", "h2"]))]), "");
        assert!(
            told(&[(&["h1", "h22"], None)])
                .contains("names \"h22\", which is none of the group's nodes. Did you mean \"h2\"?")
        );
        assert!(told(&[(&["h1", "elsewhere"], None)]).contains("They are h1, h2."));
        assert!(told(&[(&["h1"], None)]).contains("two different ones; here they are [\"h1\"]"));
        assert!(told(&[(&["h1", "h2"], Some(["h1", "h3"]))]).contains("endpoints for [\"h1\", \"h3\"]"));
    }

    #[test]
    fn a_pair_is_given_once_in_whatever_order() {
        let twice = told(&[(&["h1", "h2"], None), (&["h2", "h1"], Some(["h1", "h2"]))]);
        assert!(twice.contains("The pair h1, h2 is there twice"), "{twice}");
    }

    #[test]
    fn what_is_not_known_can_still_be_right() {
        let mut config = tests::group();
        let pair = |nodes: Value| Value::list([Value::object([("nodes", nodes)])]);
        config.set("connections", pair(Value::list([Value::from("h1"), Value::unknown()])));
        assert!(group(&config).is_empty());
        config.set("connections", pair(Value::set_of(["h1", "h9"])));
        config.set("nodes", Value::unknown());
        assert!(group(&config).is_empty());
    }
}
