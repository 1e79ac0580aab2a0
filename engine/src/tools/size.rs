// SPDX-License-Identifier: MPL-2.0
//! How much a volume with internal metadata can hold, to the KiB, and how large its backing device must be.
//! Checked against what real `drbdmeta create-md` reserved (`samples/drbdmeta/sizes.csv`). Not here: external
//! metadata, rounding to a pool's extents, other activity log sizes than the default 32 KiB.

use crate::tools::Family;

/// Largest backing device that DRBD takes: 1 PiB.
pub const MAX_GROSS_KIB: u64 = 1 << 40;

/// Superblock (4 KiB) and activity log (32 KiB).
const FIXED_KIB: u64 = 4 + 32;

/// One bit of the bitmap stands for this much data.
const KIB_PER_BIT: u64 = 4;

/// Size of the DRBD device on a backing device of `gross_kib`: that, in whole 4 KiB blocks, without superblock,
/// activity log and one bitmap for each of `peers` peer slots (DRBD 8.4 has one, whatever is given).
///
/// `None` when the device cannot hold the metadata, is larger than [`MAX_GROSS_KIB`], or on DRBD 9 with no or
/// more than 31 peer slots.
pub fn net_kib(gross_kib: u64, peers: u8, family: Family) -> Option<u64> {
    let usable = gross_kib / 4 * 4;
    let net = usable.checked_sub(FIXED_KIB)?.checked_sub(bitmap_kib(gross_kib, peers, family)?)?;
    (net > 0).then_some(net)
}

/// Smallest backing device on which the DRBD device has at least `net_kib`.
///
/// `None` when that would be larger than [`MAX_GROSS_KIB`], for 0, or on DRBD 9 with no or more than 31 peer slots.
pub fn gross_kib(net_kib: u64, peers: u8, family: Family) -> Option<u64> {
    if net_kib == 0 || net_kib > MAX_GROSS_KIB {
        return None;
    }
    let base = net_kib.next_multiple_of(4) + FIXED_KIB;
    let mut gross = base;
    // The bitmap also covers the metadata's own place, so it grows with what it adds. Each round adds at most a
    // fraction of the one before: two or three rounds.
    loop {
        let next = base + bitmap_kib(gross, peers, family)?;
        if next == gross {
            return Some(gross);
        }
        gross = next;
    }
}

/// The bitmaps of all slots: a bit for 4 KiB, whole 64-bit words a slot, together in whole 4 KiB blocks.
fn bitmap_kib(gross_kib: u64, peers: u8, family: Family) -> Option<u64> {
    let slots = match (family, peers) {
        (Family::V84, _) => 1,
        (Family::V9, 1..=31) => u64::from(peers),
        (Family::V9, _) => return None,
    };
    if gross_kib > MAX_GROSS_KIB {
        return None;
    }
    let bytes_a_slot = gross_kib.div_ceil(KIB_PER_BIT).next_multiple_of(64) / 8;
    Some((bytes_a_slot * slots).next_multiple_of(4096) / 1024)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What `drbdmeta` reserved on real block devices: family, peers, gross, net.
    const MEASURED: &str = include_str!("../../samples/drbdmeta/sizes.csv");

    fn measured() -> Vec<(Family, u8, u64, u64)> {
        let rows = MEASURED.lines().filter(|line| !line.starts_with('#'));
        rows.map(|line| {
            let fields: Vec<&str> = line.split(',').collect();
            let [format, peers, gross, net] = fields.as_slice() else { panic!("{line}") };
            let family = if *format == "v08" { Family::V84 } else { Family::V9 };
            (family, peers.parse().unwrap(), gross.parse().unwrap(), net.parse().unwrap())
        })
        .collect()
    }

    #[test]
    fn every_measured_size_is_met_exactly() {
        assert!(measured().len() > 70);
        for (family, peers, gross, net) in measured() {
            assert_eq!(net_kib(gross, peers, family), Some(net), "{family} {peers} {gross}");
            let needed = gross_kib(net, peers, family).unwrap();
            assert!(needed <= gross, "{family} {peers} {net}: {needed} > {gross}");
            assert!(net_kib(needed, peers, family).unwrap() >= net, "{family} {peers} {net}");
        }
    }

    #[test]
    fn linstor_computes_the_same_for_five_gib_and_seven_peers() {
        assert_eq!(gross_kib(5 << 20, 7, Family::V9), Some(5_244_040));
    }

    #[test]
    fn what_cannot_be_is_none() {
        assert_eq!(net_kib(40, 1, Family::V84), None);
        assert_eq!(net_kib(44, 1, Family::V84), Some(4));
        assert_eq!(gross_kib(1 << 20, 0, Family::V9), None);
        assert_eq!(gross_kib(1 << 20, 32, Family::V9), None);
        assert_eq!(gross_kib(MAX_GROSS_KIB, 31, Family::V9), None);
        assert_eq!(gross_kib(u64::MAX, 1, Family::V84), None);
        assert_eq!(gross_kib(0, 1, Family::V84), None);
    }

    proptest! {
        #[test]
        fn the_gross_size_is_enough_and_the_smallest(net in 1u64..1 << 39, peers in 1u8..=31) {
            let gross = gross_kib(net, peers, Family::V9).unwrap();
            prop_assert!(net_kib(gross, peers, Family::V9).unwrap() >= net);
            prop_assert!(net_kib(gross - 4, peers, Family::V9).is_none_or(|smaller| smaller < net));
        }

        #[test]
        fn any_numbers_have_an_answer(kib in any::<u64>(), peers in any::<u8>()) {
            for family in [Family::V84, Family::V9] {
                let _ = net_kib(kib, peers, family);
                let _ = gross_kib(kib, peers, family);
            }
        }
    }
}
