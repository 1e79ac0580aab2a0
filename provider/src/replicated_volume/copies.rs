// SPDX-License-Identifier: MPL-2.0
//! What a plan says about replicas that are away, lost, or about to get another machine: how much has to be sent to them,
//! and that the last good copy is not given up. A pure function of what the last read found.

use std::collections::{BTreeMap, BTreeSet};

use drbd_schemas::NodeName;
use serde::{Deserialize, Serialize};
use tfplugin::{Decode as _, Diagnostic, Diagnostics, Path, PlanAction, PlanRequest, Value};

use crate::engine::Copies;
use crate::resource_group::for_volumes;

/// DRBD's words for disks that certainly are not the newest data. Others, `Consistent` for example, may be.
const NOT_NEWEST: [&str; 6] = ["Inconsistent", "Outdated", "Failed", "Diskless", "Detaching", "Negotiating"];

/// What a read found out about the replicas.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Found {
    /// What they hold, as far as they were asked.
    #[serde(flatten)]
    pub(crate) copies: Copies,
    /// Nodes whose replica was on a disk that is gone.
    #[serde(default)]
    pub(crate) lost: BTreeSet<NodeName>,
    /// Nodes whose instance does not run.
    #[serde(default)]
    pub(crate) away: BTreeSet<NodeName>,
}

/// What to say about an update in place.
///
/// An error where the only good copy would be given up for lost although older ones are there.
pub(crate) fn told(found: &Found, req: &PlanRequest) -> Diagnostics {
    let mut told = Diagnostics::new();
    if req.action != PlanAction::Update || !req.requires_replace.is_empty() {
        return told;
    }
    let volume = Told { found, volume: text(&req.prior, "name"), size: size(&req.prior), prior: &req.prior };
    if !found.lost.is_empty() {
        told.push(volume.last_copy().unwrap_or_else(|| volume.lost()));
    }
    for node in found.away.difference(&found.lost) {
        let why = format!("The instance of {node} does not run.");
        told.push(volume.behind(node, "is behind", &why, "until it is back"));
    }
    for node in relaunched(req) {
        if !found.away.contains(&node) && !found.lost.contains(&node) {
            let why = format!("{node} gets another machine under the same disks.");
            told.push(volume.behind(&node, "goes away for a while", &why, "while it is away"));
        }
    }
    told
}

struct Told<'a> {
    found: &'a Found,
    volume: &'a str,
    size: String,
    prior: &'a Value,
}

impl Told<'_> {
    fn warning(&self, what: &str, detail: String) -> Diagnostic {
        Diagnostic::warning(format!("Volume {}: {what}", self.volume), detail)
    }

    /// A replica that comes back with its disk.
    fn behind(&self, node: &NodeName, what: &str, why: &str, until: &str) -> Diagnostic {
        let now = self.found.copies.behind.get(node).map_or_else(
            || "How much its replica lacks now is not known".to_owned(),
            |bytes| format!("Its replica lacks {} now", about(*bytes)),
        );
        let detail = format!(
            "{why} {now}; what is written {until} comes on top. Only that is sent to it, not all {}.",
            self.size
        );
        self.warning(&format!("the replica on {node} {what}"), detail)
    }

    /// Replicas that are made anew on blank disks.
    fn lost(&self) -> Diagnostic {
        let good: Vec<&NodeName> = self.others().filter(|node| self.disk(node) == Some("UpToDate")).collect();
        let from = if good.is_empty() {
            "from a replica that is UpToDate, if the hosts that could not be asked have one".to_owned()
        } else {
            format!("from {}", listed(good))
        };
        let detail = format!(
            "Its disk is gone with its data. A blank one takes its place, and all {} are sent to it {from}.",
            self.size
        );
        self.warning(&format!("the replica on {} is lost", listed(&self.found.lost)), detail)
    }

    /// The refusal when all other replicas were asked, and none can have the newest data.
    fn last_copy(&self) -> Option<Diagnostic> {
        let states: BTreeMap<&NodeName, &str> =
            self.others().map(|node| Some((node, self.disk(node)?))).collect::<Option<_>>()?;
        let all_asked = states.len() + self.found.lost.len() == self.prior.get("replicas").members()?.len();
        if !all_asked || states.values().any(|disk| !NOT_NEWEST.contains(disk)) {
            return None;
        }
        let lost = listed(&self.found.lost);
        let left = match states.iter().map(|(node, disk)| format!("{node} is {disk}")).collect::<Vec<_>>() {
            left if left.is_empty() => "There is no other replica".to_owned(),
            left => format!("Of the others none has its data: {}", left.join(", ")),
        };
        let detail = format!(
            "The disk of {lost} is gone, and the last UpToDate copy of volume {} with it. {left}. On a blank disk there would be nothing \
             to synchronise from. Nothing was touched. Put the disk back, from a snapshot for example. Or, if older data are better than \
             none: make them count on the node that has them (drbdadm primary --force {}; drbdadm secondary {}), and plan again. If the \
             data are not needed any more, destroy the volume.",
            self.volume, self.volume, self.volume
        );
        Some(Diagnostic::error(format!("Volume {}: the last UpToDate copy is gone", self.volume), detail))
    }

    /// Nodes whose replica is not lost, and that were asked or are known to be away.
    fn others(&self) -> impl Iterator<Item = &NodeName> {
        let known = self.found.copies.disks.keys().chain(&self.found.away);
        known.filter(|node| !self.found.lost.contains(*node))
    }

    fn disk(&self, node: &NodeName) -> Option<&str> {
        self.found.copies.disks.get(node).map(String::as_str)
    }
}

fn listed<'n>(nodes: impl IntoIterator<Item = &'n NodeName>) -> String {
    nodes.into_iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).as_str().unwrap_or_default()
}

fn size(prior: &Value) -> String {
    let bytes = u64::decode(prior.get("size_bytes"), &Path::of("size_bytes"));
    bytes.map_or_else(|_| "of its data".to_owned(), about)
}

/// An amount for people to read, `67.9 MiB`.
fn about(bytes: u64) -> String {
    let units = [(1_u64 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    units.iter().find(|(factor, _)| bytes >= *factor).map_or_else(
        || format!("{bytes} B"),
        |(factor, unit)| {
            let tenths = u128::from(bytes) * 10 / u128::from(*factor);
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        },
    )
}

/// Nodes with a replica that one will log in to at an address which is not known yet: a new instance is put under them.
fn relaunched(req: &PlanRequest) -> Vec<NodeName> {
    let names = for_volumes::with_unknown_login(req.proposed.get("resource_group"));
    let replicas = req.prior.get("replicas");
    names.filter(|name| !replicas.get(name).is_null()).filter_map(|name| NodeName::new(name).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(disks: &[(&str, &str)], behind: &[(&str, u64)], lost: &[&str], away: &[&str]) -> Found {
        let name = |name: &&str| NodeName::new(*name).unwrap();
        Found {
            copies: Copies {
                disks: disks.iter().map(|(node, disk)| (name(node), (*disk).to_owned())).collect(),
                behind: behind.iter().map(|(node, bytes)| (name(node), *bytes)).collect(),
            },
            lost: lost.iter().map(name).collect(),
            away: away.iter().map(name).collect(),
        }
    }

    fn request(new_machine: Option<&str>) -> PlanRequest {
        let replica = || Value::object([("node_id", Value::from(0_u64))]);
        let node = |name: &str| {
            let host = if new_machine == Some(name) { Value::unknown() } else { Value::from("10.0.0.1") };
            Value::object([("name", Value::from(name)), ("ssh", Value::object([("host", host)]))])
        };
        let nodes = Value::map([("x", node("a")), ("y", node("b")), ("z", node("c"))]);
        let group = for_volumes::held_of(&Value::object([("name", "g".into()), ("nodes", nodes)]));
        let state = Value::object([
            ("name", Value::from("r0")),
            ("size_bytes", Value::from(67_108_864_u64)),
            ("replicas", Value::map([("a", replica()), ("b", replica())])),
            ("resource_group", group),
        ]);
        PlanRequest {
            action: PlanAction::Update,
            config: state.clone().into(),
            prior: state.clone().into(),
            proposed: state,
            requires_replace: Vec::new(),
            private: Vec::new(),
            deferral_allowed: false,
        }
    }

    fn said(found: &Found, req: &PlanRequest) -> (bool, String) {
        let told = told(found, req);
        (told.has_errors(), told.iter().map(|d| format!("{}\n{}\n", d.summary, d.detail)).collect())
    }

    #[test]
    fn nothing_is_said_of_a_volume_that_is_whole() {
        let whole = found(&[("a", "UpToDate"), ("b", "UpToDate")], &[("a", 0), ("b", 0)], &[], &[]);
        assert_eq!(said(&whole, &request(None)), (false, String::new()));
        // A node without a replica is nobody's concern here.
        assert_eq!(said(&whole, &request(Some("c"))), (false, String::new()));
    }

    #[test]
    fn a_replica_that_comes_back_gets_what_it_lacks() {
        let away = found(&[("a", "UpToDate")], &[("b", 1_261_568)], &[], &["b"]);
        let (refused, text) = said(&away, &request(None));
        assert!(!refused && text.contains("r0: the replica on b is behind"), "{text}");
        assert!(text.contains("lacks 1.2 MiB now") && text.contains("not all 64.0 MiB"), "{text}");
        // The host that counts could not be asked.
        let (_, text) = said(&found(&[], &[], &[], &["b"]), &request(None));
        assert!(text.contains("is not known"), "{text}");
    }

    #[test]
    fn a_new_machine_under_a_replica_is_announced_with_what_is_to_send() {
        let whole = found(&[("a", "UpToDate"), ("b", "UpToDate")], &[("a", 0), ("b", 0)], &[], &[]);
        let (refused, text) = said(&whole, &request(Some("b")));
        assert!(
            !refused && text.contains("b gets another machine") && text.contains("lacks 0 B now"),
            "{text}"
        );
        assert_eq!(text.matches("Volume r0").count(), 1, "{text}");
    }

    #[test]
    fn a_lost_disk_means_everything_is_sent() {
        let lost = found(&[("a", "UpToDate")], &[("b", 4096)], &["b"], &["b"]);
        let (refused, text) = said(&lost, &request(Some("b")));
        assert!(!refused && text.contains("the replica on b is lost"), "{text}");
        assert!(text.contains("all 64.0 MiB are sent to it from a.") && !text.contains("4.0 KiB"), "{text}");
    }

    #[test]
    fn the_last_good_copy_is_not_given_up_for_lost() {
        for disk in NOT_NEWEST {
            let last = found(&[("a", disk)], &[], &["b"], &["b"]);
            let (refused, text) = said(&last, &request(None));
            assert!(refused && text.contains(&format!("a is {disk}")), "{text}");
            assert!(text.contains("Nothing was touched"), "{text}");
        }
        // Both disks are gone.
        assert!(said(&found(&[], &[], &["a", "b"], &["a", "b"]), &request(None)).0);
        // What is not known to be old may be the newest.
        assert!(!said(&found(&[("a", "Consistent")], &[], &["b"], &["b"]), &request(None)).0);
        assert!(!said(&found(&[], &[], &["b"], &["a", "b"]), &request(None)).0);
        assert!(!said(&found(&[], &[], &["b"], &["b"]), &request(None)).0);
    }

    #[test]
    fn a_destroy_needs_no_good_copy() {
        let req = PlanRequest { action: PlanAction::Delete, ..request(None) };
        assert_eq!(said(&found(&[("a", "Outdated")], &[], &["b"], &["b"]), &req), (false, String::new()));
    }
}
