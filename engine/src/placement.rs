// SPDX-License-Identifier: MPL-2.0
//! Which nodes get the replicas of a volume: a pure function of the candidates and the rules of the group.
//!
//! The answer depends on names and labels only, never on the order of a list, on free space or on time, so that a plan
//! made twice is the same plan. A replica that exists stays where it is. Deliberately not here: moving replicas, and
//! node-ids ([`crate::allocate`]).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// How many partial choices are looked at before the search gives up. Rules over one label need one look per node;
/// only several labels at once, in contrived combinations, come near it.
const MAX_LOOKS: usize = 200_000;

/// A node that could hold a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// What `uname -n` prints there.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// It has the storage pool of the group.
    pub has_pool: bool,
}

/// The rules of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// How many replicas, at least 1.
    pub place_count: usize,
    /// Labels whose values must differ between any two replicas.
    pub on_different: BTreeSet<String>,
    /// Labels whose values must be the same on all replicas.
    pub on_same: BTreeSet<String>,
}

/// Why a node was not chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Excluded {
    /// It has no such storage pool.
    NoPool,
    /// A rule asks for this label, and the node does not have it.
    NoLabel(String),
    /// It has the same value of a label as a chosen node, where values must differ.
    SameAs {
        /// The label.
        label: String,
        /// The value that both have.
        value: String,
        /// The chosen node.
        node: String,
    },
    /// It has another value of a label than a chosen node, where values must be the same.
    DiffersFrom {
        /// The label.
        label: String,
        /// The chosen node.
        node: String,
    },
}

impl fmt::Display for Excluded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPool => f.write_str("does not have the storage pool"),
            Self::NoLabel(label) => write!(f, "has no label {label:?}"),
            Self::SameAs { label, value, node } => write!(f, "has the same {label} ({value}) as {node}"),
            Self::DiffersFrom { label, node } => write!(f, "has another {label} than {node}"),
        }
    }
}

/// Why the replicas cannot be placed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unplaceable {
    /// A count of zero.
    #[error("the number of replicas is 0; it must be at least 1")]
    NoReplicas,
    /// A node that holds a replica is no longer among the candidates.
    #[error("the replica on {node} cannot stay: that node is not among the group's nodes any more")]
    Left {
        /// The node.
        node: String,
    },
    /// There are not enough nodes that fit.
    #[error("{wanted} replicas are wanted, but only {} can be placed ({}){}", .chosen.len(), list(.chosen), reasons(.excluded))]
    NotEnough {
        /// How many are wanted.
        wanted: usize,
        /// A largest possible choice.
        chosen: Vec<String>,
        /// Why each other node cannot join them.
        excluded: Vec<(String, Excluded)>,
    },
    /// The rules leave too many combinations to look through.
    #[error(
        "the rules leave more combinations than can be looked through ({MAX_LOOKS}); use fewer labels in replicas_on_different"
    )]
    TooManyCombinations,
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn reasons(excluded: &[(String, Excluded)]) -> String {
    excluded.iter().map(|(name, why)| format!("; {name} {why}")).collect()
}

/// Chooses the nodes: all of `sticky`, and as many more as are wanted, the first in the order of their names that
/// satisfy the rules together.
///
/// The result has more than `place_count` nodes when more are sticky: taking replicas away is not placement.
///
/// # Errors
/// [`Unplaceable`], with the reason for each node that is not used.
pub fn place(
    candidates: &[Candidate],
    rules: &Rules,
    sticky: &BTreeSet<String>,
) -> Result<BTreeSet<String>, Unplaceable> {
    if rules.place_count == 0 {
        return Err(Unplaceable::NoReplicas);
    }
    let by_name: BTreeMap<&str, &Candidate> = candidates.iter().map(|c| (c.name.as_str(), c)).collect();
    let mut chosen = Vec::new();
    for name in sticky {
        let held = by_name.get(name.as_str()).ok_or_else(|| Unplaceable::Left { node: name.clone() })?;
        chosen.push(*held);
    }
    let open: Vec<&Candidate> = by_name
        .values()
        .copied()
        .filter(|c| !sticky.contains(&c.name) && exclusion(c, &[], rules).is_none())
        .collect();
    let mut search = Search { rules, wanted: rules.place_count, best: chosen.clone(), looks: 0 };
    if search.extend(&mut chosen, &open)? {
        return Ok(names(&chosen).into_iter().collect());
    }
    let excluded = by_name
        .values()
        .filter(|c| !search.best.iter().any(|b| b.name == c.name))
        .filter_map(|c| Some((c.name.clone(), exclusion(c, &search.best, rules)?)))
        .collect();
    Err(Unplaceable::NotEnough { wanted: rules.place_count, chosen: names(&search.best), excluded })
}

fn names(nodes: &[&Candidate]) -> Vec<String> {
    nodes.iter().map(|node| node.name.clone()).collect()
}

struct Search<'a> {
    rules: &'a Rules,
    wanted: usize,
    best: Vec<&'a Candidate>,
    looks: usize,
}

impl<'a> Search<'a> {
    /// Depth first in the order of names: the first choice that is complete is the smallest one.
    fn extend(
        &mut self,
        chosen: &mut Vec<&'a Candidate>,
        open: &[&'a Candidate],
    ) -> Result<bool, Unplaceable> {
        if chosen.len() > self.best.len() {
            self.best.clone_from(chosen);
        }
        if chosen.len() >= self.wanted {
            return Ok(true);
        }
        let fitting: Vec<&'a Candidate> =
            open.iter().copied().filter(|c| exclusion(c, chosen, self.rules).is_none()).collect();
        for (i, candidate) in fitting.iter().enumerate() {
            let rest = fitting.get(i..).unwrap_or_default();
            if chosen.len() + self.room(rest) <= self.best.len().min(self.wanted - 1) {
                return Ok(false);
            }
            self.looks += 1;
            if self.looks > MAX_LOOKS {
                return Err(Unplaceable::TooManyCombinations);
            }
            chosen.push(candidate);
            if self.extend(chosen, rest.get(1..).unwrap_or_default())? {
                return Ok(true);
            }
            chosen.pop();
        }
        Ok(false)
    }

    /// An upper bound of how many of these can be chosen together: no more than a label, that must differ, has values.
    fn room(&self, open: &[&Candidate]) -> usize {
        let values =
            |label: &String| open.iter().filter_map(|c| c.labels.get(label)).collect::<BTreeSet<_>>().len();
        self.rules.on_different.iter().map(values).min().unwrap_or(open.len()).min(open.len())
    }
}

/// Why this node cannot join those, if it cannot.
fn exclusion(node: &Candidate, chosen: &[&Candidate], rules: &Rules) -> Option<Excluded> {
    if !node.has_pool {
        return Some(Excluded::NoPool);
    }
    let asked = rules.on_different.iter().chain(&rules.on_same);
    if let Some(label) = asked.into_iter().find(|label| !node.labels.contains_key(*label)) {
        return Some(Excluded::NoLabel(label.clone()));
    }
    for other in chosen {
        for label in &rules.on_different {
            if let Some(value) = node.labels.get(label)
                && other.labels.get(label) == Some(value)
            {
                let (label, value, node) = (label.clone(), value.clone(), other.name.clone());
                return Some(Excluded::SameAs { label, value, node });
            }
        }
        if let Some(label) =
            rules.on_same.iter().find(|label| node.labels.get(*label) != other.labels.get(*label))
        {
            return Some(Excluded::DiffersFrom { label: label.clone(), node: other.name.clone() });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn node(name: &str, labels: &[(&str, &str)]) -> Candidate {
        let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Candidate { name: name.to_owned(), labels, has_pool: true }
    }

    fn rules(place_count: usize, on_different: &[&str], on_same: &[&str]) -> Rules {
        let set = |keys: &[&str]| keys.iter().map(|k| (*k).to_owned()).collect();
        Rules { place_count, on_different: set(on_different), on_same: set(on_same) }
    }

    fn check(nodes: &[Candidate], rules: &Rules, sticky: &[&str]) -> Result<Vec<String>, Unplaceable> {
        let sticky = sticky.iter().map(|s| (*s).to_owned()).collect();
        place(nodes, rules, &sticky).map(|set| set.into_iter().collect())
    }

    #[test]
    fn what_exists_and_suffices_stays_as_it_is() {
        let nodes = [node("a", &[]), node("b", &[]), node("c", &[])];
        assert_eq!(check(&nodes, &rules(2, &[], &[]), &["b", "c"]).unwrap(), ["b", "c"]);
        assert_eq!(check(&nodes, &rules(1, &[], &[]), &["b", "c"]).unwrap(), ["b", "c"]);
    }

    #[test]
    fn the_first_by_name_that_have_the_pool_are_chosen() {
        let mut nodes = vec![node("c", &[]), node("a", &[]), node("b", &[])];
        nodes[1].has_pool = false;
        assert_eq!(check(&nodes, &rules(2, &[], &[]), &[]).unwrap(), ["b", "c"]);
    }

    #[test]
    fn labels_spread_and_gather() {
        let nodes = [
            node("a1", &[("zone", "a"), ("site", "x")]),
            node("a2", &[("zone", "a"), ("site", "x")]),
            node("b1", &[("zone", "b"), ("site", "y")]),
            node("c1", &[("zone", "c"), ("site", "x")]),
        ];
        assert_eq!(check(&nodes, &rules(3, &["zone"], &[]), &[]).unwrap(), ["a1", "b1", "c1"]);
        assert_eq!(check(&nodes, &rules(2, &["zone"], &["site"]), &[]).unwrap(), ["a1", "c1"]);
        assert_eq!(check(&nodes, &rules(2, &["zone"], &[]), &["a2"]).unwrap(), ["a2", "b1"]);
    }

    #[test]
    fn a_greedy_choice_that_leads_nowhere_is_taken_back() {
        // `a` clashes with `b` by rack and with `c` by zone; only b and c fit together.
        let nodes = [
            node("a", &[("zone", "1"), ("rack", "1")]),
            node("b", &[("zone", "2"), ("rack", "1")]),
            node("c", &[("zone", "1"), ("rack", "2")]),
        ];
        assert_eq!(check(&nodes, &rules(2, &["zone", "rack"], &[]), &[]).unwrap(), ["b", "c"]);
    }

    #[test]
    fn a_shortage_names_the_reason_for_each_node() {
        let mut nodes = vec![
            node("a", &[("zone", "1")]),
            node("b", &[("zone", "1")]),
            node("c", &[]),
            node("d", &[("zone", "2")]),
        ];
        nodes[3].has_pool = false;
        let error = check(&nodes, &rules(2, &["zone"], &[]), &[]).unwrap_err().to_string();
        for part in [
            "only 1 can be placed (a)",
            "b has the same zone (1) as a",
            "c has no label \"zone\"",
            "d does not have",
        ] {
            assert!(error.contains(part), "{part:?} in {error}");
        }
        let left = check(&nodes, &rules(1, &[], &[]), &["z"]).unwrap_err();
        assert_eq!(left, Unplaceable::Left { node: "z".into() });
        assert_eq!(check(&nodes, &rules(0, &[], &[]), &[]).unwrap_err(), Unplaceable::NoReplicas);
    }

    fn candidates() -> impl Strategy<Value = Vec<Candidate>> {
        let label = prop_oneof![Just(None), (0..4_u8).prop_map(|v| Some(v.to_string()))];
        let one = (0..12_u8, label.clone(), label, prop::bool::weighted(0.9)).prop_map(
            |(name, zone, rack, has_pool)| {
                let labels = [("zone", zone), ("rack", rack)];
                let labels = labels.into_iter().filter_map(|(k, v)| Some((k.to_owned(), v?))).collect();
                Candidate { name: format!("n{name:02}"), labels, has_pool }
            },
        );
        prop::collection::vec(one, 0..12).prop_map(|mut nodes| {
            nodes.sort_by(|a, b| a.name.cmp(&b.name));
            nodes.dedup_by(|a, b| a.name == b.name);
            nodes
        })
    }

    fn any_rules() -> impl Strategy<Value = Rules> {
        let keys = || {
            prop::collection::btree_set(prop_oneof![Just("zone".to_owned()), Just("rack".to_owned())], 0..3)
        };
        (1..5_usize, keys(), prop::bool::weighted(0.2)).prop_map(|(place_count, on_different, same)| {
            let on_same = if same { BTreeSet::from(["site".to_owned()]) } else { BTreeSet::new() };
            Rules { place_count, on_different, on_same }
        })
    }

    /// Every subset, without any cleverness.
    fn exists(nodes: &[Candidate], rules: &Rules) -> bool {
        (0..1_u32 << nodes.len()).any(|bits| {
            let set: Vec<&Candidate> =
                nodes.iter().enumerate().filter(|(i, _)| bits >> i & 1 == 1).map(|(_, n)| n).collect();
            set.len() == rules.place_count
                && (0..set.len()).all(|i| exclusion(set[i], &set[..i], rules).is_none())
        })
    }

    proptest! {
        #[test]
        fn a_choice_is_found_exactly_when_one_exists(nodes in candidates(), rules in any_rules()) {
            prop_assert_eq!(place(&nodes, &rules, &BTreeSet::new()).is_ok(), exists(&nodes, &rules));
        }

        #[test]
        fn a_choice_keeps_the_rules_and_is_stable(nodes in candidates(), rules in any_rules(), seed in any::<u64>()) {
            let Ok(chosen) = place(&nodes, &rules, &BTreeSet::new()) else { return Ok(()) };
            prop_assert_eq!(chosen.len(), rules.place_count);
            let picked: Vec<&Candidate> = nodes.iter().filter(|n| chosen.contains(&n.name)).collect();
            for (i, node) in picked.iter().enumerate() {
                prop_assert_eq!(exclusion(node, &picked[..i], &rules), None);
            }
            // The order of the list does not matter, and what was chosen stays chosen.
            let mut turned = nodes.clone();
            turned.rotate_left(usize::try_from(seed % 7).unwrap() % nodes.len().max(1));
            prop_assert_eq!(&place(&turned, &rules, &BTreeSet::new()).unwrap(), &chosen);
            prop_assert_eq!(&place(&turned, &rules, &chosen).unwrap(), &chosen);
        }

        #[test]
        fn a_new_node_never_moves_a_replica(nodes in candidates(), rules in any_rules()) {
            let Ok(chosen) = place(&nodes, &rules, &BTreeSet::new()) else { return Ok(()) };
            let mut more = nodes.clone();
            more.push(Candidate { name: "a-new-one".into(), labels: BTreeMap::new(), has_pool: true });
            prop_assert_eq!(place(&more, &rules, &chosen).unwrap(), chosen);
        }
    }

    #[test]
    fn a_hard_case_ends() {
        // 31 nodes, three labels, no solution: the search must end, one way or the other.
        let nodes: Vec<Candidate> = (0..31)
            .map(|i| {
                let (a, b, c) = ((i % 7).to_string(), (i % 5).to_string(), (i / 4).to_string());
                node(&format!("n{i:02}"), &[("a", &a), ("b", &b), ("c", &c)])
            })
            .collect();
        assert!(check(&nodes, &rules(8, &["a", "b", "c"], &[]), &[]).is_err());
    }
}
