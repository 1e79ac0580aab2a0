// SPDX-License-Identifier: MPL-2.0
//! Free numbers: TCP ports, minors and node-ids.
//!
//! A number that was given out belongs to its resource for good; it is stored by whoever asked, never computed again
//! (docs/rules.md 4). Deliberately not here: looking at hosts, and remembering.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::RangeInclusive;

/// What is being given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// TCP ports, from 7000 as LINSTOR does.
    Port,
    /// Minors, from 1000 as LINSTOR does.
    Minor,
    /// Node-ids, from 0.
    NodeId,
}

impl Kind {
    /// The numbers that are given out. Ports end below the range from which Linux takes ports for outgoing connections
    /// (32768 unless changed), minors at the kernel's limit, node-ids at DRBD's.
    pub fn range(self) -> RangeInclusive<u32> {
        match self {
            Self::Port => 7000..=32_767,
            Self::Minor => 1000..=1_048_575,
            Self::NodeId => 0..=31,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Port => "TCP port",
            Self::Minor => "minor",
            Self::NodeId => "node-id",
        })
    }
}

/// No number is left.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no {kind} is free: all from {} to {} are in use or reserved", .kind.range().start(), .kind.range().end())]
pub struct Exhausted {
    /// What ran out.
    pub kind: Kind,
}

/// The lowest number that is not taken.
///
/// # Errors
/// [`Exhausted`] when every number of the range is taken.
pub fn lowest_free(kind: Kind, taken: &BTreeSet<u32>) -> Result<u32, Exhausted> {
    let range = kind.range();
    let mut next = *range.start();
    for used in taken.range(range.clone()) {
        if *used > next {
            break;
        }
        // `used` equals `next`: both rise by one from the start of the range.
        next = used.saturating_add(1);
    }
    if range.contains(&next) { Ok(next) } else { Err(Exhausted { kind }) }
}

/// Node-ids for all `members`: those that have one keep it, the others get the lowest free ones in the order of their
/// names. `remembered` are ids that peers still know from replicas that are gone; they are not given out.
///
/// # Errors
/// [`Exhausted`] beyond 32 nodes.
pub fn node_ids(
    members: &BTreeSet<String>,
    held: &BTreeMap<String, u32>,
    remembered: &BTreeSet<u32>,
) -> Result<BTreeMap<String, u32>, Exhausted> {
    let mut taken: BTreeSet<u32> = held.values().copied().chain(remembered.iter().copied()).collect();
    let mut ids = BTreeMap::new();
    for member in members {
        let id = match held.get(member) {
            Some(id) => *id,
            None => lowest_free(Kind::NodeId, &taken)?,
        };
        taken.insert(id);
        ids.insert(member.clone(), id);
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(kind: Kind, taken: &[u32]) -> Result<u32, Exhausted> {
        lowest_free(kind, &taken.iter().copied().collect())
    }

    #[test]
    fn nothing_taken_gives_the_start_of_the_range() {
        assert_eq!(check(Kind::Port, &[]).unwrap(), 7000);
        assert_eq!(check(Kind::Minor, &[]).unwrap(), 1000);
        assert_eq!(check(Kind::NodeId, &[]).unwrap(), 0);
    }

    #[test]
    fn gaps_are_filled_and_numbers_outside_do_not_count() {
        assert_eq!(check(Kind::Port, &[22, 6999, 7000, 7001, 7003]).unwrap(), 7002);
        assert_eq!(check(Kind::Minor, &[0, 1, 1_048_575]).unwrap(), 1000);
    }

    #[test]
    fn an_empty_range_is_said_so() {
        let all: Vec<u32> = (0..=31).collect();
        let error = check(Kind::NodeId, &all).unwrap_err();
        assert_eq!(error.to_string(), "no node-id is free: all from 0 to 31 are in use or reserved");
        let ports: Vec<u32> = Kind::Port.range().collect();
        assert_eq!(check(Kind::Port, &ports), Err(Exhausted { kind: Kind::Port }));
    }

    proptest! {
        #[test]
        fn the_number_is_free_and_none_below_it_is(taken in prop::collection::btree_set(6990..7040_u32, 0..50)) {
            let free = lowest_free(Kind::Port, &taken).unwrap();
            prop_assert!(!taken.contains(&free));
            prop_assert!((7000..free).all(|n| taken.contains(&n)));
        }

        #[test]
        fn ids_are_unique_kept_and_never_a_remembered_one(
            names in prop::collection::btree_set("[a-f]", 0..6),
            held in prop::collection::btree_map("[a-f]", 0..32_u32, 0..6),
            remembered in prop::collection::btree_set(0..10_u32, 0..6),
        ) {
            // Two names never hold one id, and no id is both held and only remembered.
            let mut seen = BTreeSet::new();
            let held: BTreeMap<_, _> = held.into_iter().filter(|(_, id)| seen.insert(*id) && !remembered.contains(id)).collect();
            let ids = node_ids(&names, &held, &remembered).unwrap();
            prop_assert_eq!(ids.len(), names.len());
            prop_assert_eq!(ids.values().collect::<BTreeSet<_>>().len(), names.len());
            for (name, id) in &ids {
                prop_assert!(!remembered.contains(id));
                prop_assert!(held.get(name).is_none_or(|kept| kept == id));
                prop_assert!(held.iter().all(|(other, other_id)| other == name || other_id != id));
            }
        }
    }
}
