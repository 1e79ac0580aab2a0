// SPDX-License-Identifier: MPL-2.0
//! Whose data are good: the comparison of two replicas' data generations when they meet. Pure.
//!
//! The rules are those of DRBD 9 as far as sections 3, 8, 15, 16 and 20 of the recorded transcripts show them.

use crate::metadata::JUST_CREATED;
use serde::{Deserialize, Serialize};

/// What one replica says of itself to one peer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Generation {
    pub(crate) current: u64,
    /// Of the bitmap for that peer.
    pub(crate) bitmap: u64,
    pub(crate) history: Vec<u64>,
    /// It was Primary when it died, and has met nobody since.
    pub(crate) crashed: bool,
    /// Its data are not usable as they are.
    pub(crate) inconsistent: bool,
}

/// What follows for the one that asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Both hold the same, or both nothing.
    Same,
    /// The peer needs what is here; all of it when `full`.
    Source { full: bool },
    /// The other way round.
    Target { full: bool },
    /// Both were written to separately.
    SplitBrain,
    /// They never had to do with each other.
    Unrelated,
}

/// Compares this replica with a peer's. Symmetric: both ends come to fitting conclusions.
pub(crate) fn compare(me: &Generation, peer: &Generation) -> Verdict {
    let same = |one: u64, other: u64| one & !1 == other & !1;
    let in_history = |history: &[u64], uuid: u64| history.iter().any(|known| same(*known, uuid));
    match (me.current == JUST_CREATED, peer.current == JUST_CREATED) {
        (true, true) => return Verdict::Same,
        (true, false) => return Verdict::Target { full: true },
        (false, true) => return Verdict::Source { full: true },
        (false, false) => {}
    }
    if same(me.current, peer.current) {
        return match (me.inconsistent, peer.inconsistent, me.crashed, peer.crashed) {
            (true, false, ..) => Verdict::Target { full: false },
            (false, true, ..) => Verdict::Source { full: false },
            (_, _, true, false) => Verdict::Source { full: false },
            (_, _, false, true) => Verdict::Target { full: false },
            _ => Verdict::Same,
        };
    }
    if me.bitmap != 0 && same(me.bitmap, peer.current) {
        return Verdict::Source { full: false };
    }
    if peer.bitmap != 0 && same(peer.bitmap, me.current) {
        return Verdict::Target { full: false };
    }
    if in_history(&me.history, peer.current) {
        return Verdict::Source { full: true };
    }
    if in_history(&peer.history, me.current) {
        return Verdict::Target { full: true };
    }
    let parted = me.bitmap != 0 && same(me.bitmap, peer.bitmap)
        || me.history.iter().any(|uuid| in_history(&peer.history, *uuid) || same(*uuid, peer.bitmap))
        || in_history(&peer.history, me.bitmap);
    if parted { Verdict::SplitBrain } else { Verdict::Unrelated }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generation(current: u64, bitmap: u64, history: &[u64]) -> Generation {
        Generation { current, bitmap, history: history.to_vec(), ..Generation::default() }
    }

    #[track_caller]
    fn both(one: &Generation, other: &Generation, expected: Verdict) {
        let mirrored = match expected {
            Verdict::Source { full } => Verdict::Target { full },
            Verdict::Target { full } => Verdict::Source { full },
            other => other,
        };
        assert_eq!((compare(one, other), compare(other, one)), (expected, mirrored), "{one:?} {other:?}");
    }

    /// 2.2, 3.3, 16.1: nobody has data; then one has, and a late joiner gets all of it.
    #[test]
    fn just_created_replicas_have_nothing_to_say() {
        let (new, used) = (generation(4, 0, &[]), generation(0x50, 0, &[]));
        both(&new, &new, Verdict::Same);
        both(&used, &new, Verdict::Source { full: true });
    }

    /// 5.24, 7.2: a peer that was away gets what changed; one that was away for longer gets all.
    #[test]
    fn a_peer_that_was_away_is_brought_up_to_date() {
        let away = generation(0x50, 0, &[]);
        both(&generation(0x60, 0x50, &[0x40]), &away, Verdict::Source { full: false });
        both(&generation(0x60, 0, &[0x50]), &away, Verdict::Source { full: true });
        // Bit 0 only says that the node is Primary.
        both(&generation(0x51, 0, &[]), &away, Verdict::Same);
    }

    /// 15: a crashed Primary is the one that knows what it had under way. 16.10: invalidated data.
    #[test]
    fn equal_generations_differ_by_what_is_known_of_them() {
        let mut crashed = generation(0x50, 0, &[]);
        crashed.crashed = true;
        both(&crashed, &generation(0x50, 0, &[]), Verdict::Source { full: false });
        let mut invalid = generation(0x50, 0, &[]);
        invalid.inconsistent = true;
        both(&invalid, &generation(0x50, 0, &[]), Verdict::Target { full: false });
        both(&invalid, &invalid, Verdict::Same);
    }

    /// 8: both were Primary apart. 3.9: both were forced. 16.5 and 20.4: made apart from the start.
    #[test]
    fn what_was_written_apart_does_not_meet() {
        both(&generation(0x60, 0x50, &[]), &generation(0x70, 0x50, &[]), Verdict::SplitBrain);
        both(&generation(0x60, 4, &[]), &generation(0x70, 4, &[]), Verdict::SplitBrain);
        both(&generation(0x60, 0x61, &[]), &generation(0x70, 0x71, &[]), Verdict::Unrelated);
    }
}
