// SPDX-License-Identifier: MPL-2.0
//! Options that are allowed each by itself and not together.
//!
//! DRBD's kernel module finds them only when it is given them, after the file was written, and then answers with a number. They are
//! refused here, before anything is touched. The rules are those of `_check_net_options` and `alloc_crypto` in `drbd_nl.c`; DRBD 8.4
//! has the same ones. What depends on the state of a running connection is not here: the kernel alone knows it.
//! Values that have no good meaning on both sides of a connection at once are not in [`crate::options`] at all.

use crate::declaration::Declaration;
use crate::invalid::Violation;
use crate::options::{InNet, OptionSet};

/// One rule about the net options of a pair of nodes.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// The number with which the kernel refuses it (`enum drbd_ret_code`, `linux/drbd.h`).
    pub kernel_error: u16,
    /// The option that cannot stay as it is.
    pub option: &'static str,
    /// Its values that break the rule.
    pub values: &'static [&'static str],
    /// The protocols with which these values work; none where they never do.
    pub protocols: &'static [&'static str],
}

/// Every rule.
pub const RULES: &[Rule] = &[
    Rule { kernel_error: 139, option: "allow-two-primaries", values: &["yes"], protocols: &["C"] },
    Rule { kernel_error: 154, option: "fencing", values: &["resource-and-stonith"], protocols: &["B", "C"] },
    Rule {
        kernel_error: 155,
        option: "on-congestion",
        values: &["pull-ahead", "disconnect"],
        protocols: &["A"],
    },
    // `hmac_create` of the kernel's crypto layer refuses what has no blocks (`alloc_crypto` in drbd_nl.c asks it).
    Rule {
        kernel_error: 120,
        option: "cram-hmac-alg",
        values: &["crc32", "crc32c", "crct10dif", "xxhash64"],
        protocols: &[],
    },
];

/// What the kernel takes where no protocol is declared.
const DEFAULT_PROTOCOL: &str = "C";

/// Adds what breaks a rule: in the options of the resource, and of each connection over them.
pub(crate) fn check(declaration: &Declaration, found: &mut Vec<Violation>) {
    let nothing = OptionSet::default();
    let all_connections = declaration.connections.len() == pairs(declaration.nodes.len());
    // A pair without options of its own has the resource's.
    if !all_connections || declaration.nodes.len() < 2 {
        found.extend(broken("net", &nothing, &declaration.net));
    }
    for (i, connection) in declaration.connections.iter().enumerate() {
        let at = format!("connections.{i}.net");
        found.extend(broken(&at, &connection.net, &declaration.net));
    }
}

fn pairs(nodes: usize) -> usize {
    nodes * nodes.saturating_sub(1) / 2
}

/// The rules that a pair's options break; `over` overrides `base`.
fn broken(at: &str, over: &OptionSet<InNet>, base: &OptionSet<InNet>) -> Vec<Violation> {
    let value = |option: &str| over.get(option).or_else(|| base.get(option));
    let declared = value("protocol");
    let protocol = declared.unwrap_or(DEFAULT_PROTOCOL);
    let breaks = |rule: &&Rule| {
        value(rule.option).is_some_and(|value| rule.values.contains(&value))
            && !rule.protocols.contains(&protocol)
    };
    let violation = |rule: &Rule| {
        let setting = value(rule.option).unwrap_or_default();
        let at = format!("{at}.{}", rule.option);
        if rule.protocols.is_empty() {
            let hint = format!("the kernel refuses a checksum here (error {})", rule.kernel_error);
            return Violation::new(at, setting, "a cryptographic digest, such as sha256").hint(hint);
        }
        let with = match declared {
            Some(protocol) => format!("protocol {protocol}"),
            None => format!("protocol {DEFAULT_PROTOCOL}, which is DRBD's default"),
        };
        let allowed = format!("it with protocol {}", rule.protocols.join(" or "));
        Violation::new(at, format!("{setting} with {with}"), allowed)
            .hint(format!("the kernel refuses the two together (error {})", rule.kernel_error))
    };
    RULES.iter().filter(breaks).map(violation).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Invalid, Resource};
    use serde_json::{Value, json};

    fn declare(net: Value, connections: Value) -> Result<Resource, Invalid> {
        let storage = json!({ "lvm": { "volume_group": "vg0" } });
        let declaration = json!({
            "name": "r0", "port": 7000, "net": net, "connections": connections,
            "nodes": {
                "h1": { "node_id": 0, "address": "10.0.0.1", "storage": storage },
                "h2": { "node_id": 1, "address": "10.0.0.2", "storage": storage },
            },
            "volumes": { "0": { "minor": 1000, "size": "64MiB" } },
        });
        Resource::try_from(serde_json::from_value::<Declaration>(declaration).unwrap())
    }

    fn paths(result: Result<Resource, Invalid>) -> Vec<String> {
        result.map_or_else(|invalid| invalid.violations.into_iter().map(|v| v.path).collect(), |_| Vec::new())
    }

    #[test]
    fn every_rule_is_held_for_every_value_and_protocol() {
        for rule in RULES {
            for value in rule.values {
                for protocol in ["A", "B", "C"] {
                    let net = json!({ rule.option: value, "protocol": protocol });
                    let refused = paths(declare(net, json!([])));
                    let expected: &[String] = &[format!("net.{}", rule.option)];
                    let works = rule.protocols.contains(&protocol);
                    assert_eq!(refused, if works { &[] } else { expected }, "{value} with {protocol}");
                }
            }
        }
    }

    #[test]
    fn the_default_protocol_counts_and_is_named() {
        let invalid = declare(json!({ "on-congestion": "pull-ahead" }), json!([])).unwrap_err();
        assert!(
            invalid.to_string().contains("pull-ahead with protocol C, which is DRBD's default"),
            "{invalid}"
        );
        assert!(paths(declare(json!({ "allow-two-primaries": "yes" }), json!([]))).is_empty());
    }

    #[test]
    fn a_connection_is_judged_with_what_it_takes_from_the_resource() {
        let own = |net: Value| json!([{ "nodes": ["h1", "h2"], "net": net }]);
        let congestion = json!({ "on-congestion": "pull-ahead" });
        assert!(paths(declare(congestion.clone(), own(json!({ "protocol": "A" })))).is_empty());
        assert_eq!(
            paths(declare(congestion, own(json!({ "protocol": "B" })))),
            ["connections.0.net.on-congestion"]
        );
        assert_eq!(
            paths(declare(json!({ "allow-two-primaries": "yes" }), own(json!({ "protocol": "A" })))),
            ["connections.0.net.allow-two-primaries"]
        );
    }

    #[test]
    fn policies_that_differ_on_the_two_sides_cannot_be_declared() {
        for value in ["discard-local", "discard-remote"] {
            let mut net = OptionSet::<InNet>::default();
            assert!(net.set("after-sb-0pri", value).is_err(), "{value}");
        }
    }
}
