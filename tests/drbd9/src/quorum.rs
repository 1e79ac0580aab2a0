// SPDX-License-Identifier: MPL-2.0
//! Whether a partition may go on: DRBD 9's quorum of one volume. Pure.

/// The nodes of a volume, as this node sees them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Census {
    /// Nodes with a disk that are here or connected.
    pub(crate) present: u32,
    /// Nodes with a disk that cannot run without this node's knowledge: they said goodbye, or are marked Outdated.
    pub(crate) outdated: u32,
    /// Nodes with a disk of which nothing is known.
    pub(crate) unknown: u32,
    /// Connected nodes without a disk, this one included.
    pub(crate) diskless_present: u32,
    /// Other nodes without a disk.
    pub(crate) diskless_absent: u32,
}

/// How many votes are needed, and how many there are. `quorum` is the option's value; `None`: no quorum is asked for.
pub(crate) fn votes(quorum: &str, census: Census) -> Option<(u32, u32)> {
    let voters = census.present + census.outdated + census.unknown;
    let have = census.present + census.outdated;
    let needed = match quorum {
        "off" | "" => return None,
        "majority" => voters / 2 + 1,
        "all" => voters,
        number => number.parse().ok()?,
    };
    Some((needed, have))
}

/// Whether there is quorum.
pub(crate) fn has(quorum: &str, census: Census) -> bool {
    let Some((needed, have)) = votes(quorum, census) else { return true };
    let voters = census.present + census.outdated + census.unknown;
    // Diskless nodes only break ties (drbd-utils' manual, "quorum").
    let tie = quorum == "majority" && voters.is_multiple_of(2) && have * 2 == voters;
    let diskless = census.diskless_present + census.diskless_absent;
    have >= needed || tie && diskless > 0 && census.diskless_present * 2 > diskless
}

#[cfg(test)]
mod tests {
    use super::*;

    fn census(present: u32, outdated: u32, unknown: u32, diskless: (u32, u32)) -> Census {
        Census { present, outdated, unknown, diskless_present: diskless.0, diskless_absent: diskless.1 }
    }

    /// 7.2, 7.4: one of three has none, two of three have. 7.6: peers that left cleanly do not count against.
    #[test]
    fn the_majority_of_the_known_decides() {
        assert!(!has("majority", census(1, 0, 2, (0, 0))));
        assert_eq!(votes("majority", census(1, 0, 2, (0, 0))), Some((2, 1)));
        assert!(has("majority", census(2, 0, 1, (0, 0))));
        assert!(has("majority", census(1, 2, 0, (0, 0))));
        assert!(has("off", census(1, 0, 2, (0, 0))));
        assert!(!has("all", census(2, 0, 1, (0, 0))));
        assert!(has("1", census(1, 0, 2, (0, 0))));
    }

    #[test]
    fn a_diskless_node_breaks_a_tie_and_no_more() {
        assert!(has("majority", census(1, 0, 1, (1, 0))));
        assert!(!has("majority", census(1, 0, 1, (0, 1))));
        assert!(!has("majority", census(1, 0, 1, (0, 0))));
        assert!(!has("majority", census(1, 0, 2, (1, 0))));
    }
}
