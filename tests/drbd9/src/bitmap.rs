// SPDX-License-Identifier: MPL-2.0
//! Which blocks of 4 KiB differ from a peer's. In memory only: see the package's header for what that means over a
//! restart.

/// Bytes of a block, DRBD's own granularity.
pub(crate) const BLOCK: u64 = 4096;

/// One bit for each block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bitmap {
    bits: Vec<bool>,
    dirty: u64,
}

impl Bitmap {
    /// All clean.
    pub(crate) fn new(blocks: u64) -> Self {
        Self { bits: vec![false; usize::try_from(blocks).unwrap_or(0)], dirty: 0 }
    }

    /// How many blocks differ.
    pub(crate) fn dirty(&self) -> u64 {
        self.dirty
    }

    /// The same in KiB.
    pub(crate) fn dirty_kib(&self) -> u64 {
        self.dirty * (BLOCK / 1024)
    }

    /// How many blocks there are.
    pub(crate) fn blocks(&self) -> u64 {
        self.bits.len() as u64
    }

    /// Another size; new blocks are as told.
    pub(crate) fn resize(&mut self, blocks: u64, dirty: bool) {
        self.bits.resize(usize::try_from(blocks).unwrap_or(0), dirty);
        self.recount();
    }

    /// All blocks differ, or none.
    pub(crate) fn set_all(&mut self, dirty: bool) {
        self.bits.iter_mut().for_each(|bit| *bit = dirty);
        self.recount();
    }

    /// Marks the blocks that a range of bytes touches.
    pub(crate) fn set(&mut self, offset: u64, len: u64, dirty: bool) {
        let first = usize::try_from(offset / BLOCK).unwrap_or(usize::MAX);
        let end = usize::try_from((offset + len).div_ceil(BLOCK)).unwrap_or(usize::MAX);
        for bit in self.bits.iter_mut().take(end).skip(first) {
            if *bit != dirty {
                *bit = dirty;
                self.dirty = if dirty { self.dirty + 1 } else { self.dirty - 1 };
            }
        }
    }

    /// The first run of differing blocks, as bytes: offset and at most `longest` of length.
    pub(crate) fn next_run(&self, longest: u64) -> Option<(u64, u64)> {
        if self.dirty == 0 {
            return None;
        }
        let first = self.bits.iter().position(|bit| *bit)?;
        let most = usize::try_from(longest / BLOCK).unwrap_or(1).max(1);
        let length = self.bits.iter().skip(first).take(most).take_while(|bit| **bit).count();
        Some((first as u64 * BLOCK, length as u64 * BLOCK))
    }

    /// The runs of differing blocks in a range of bytes.
    pub(crate) fn runs_within(&self, offset: u64, len: u64) -> Vec<(u64, u64)> {
        let end = offset + len;
        let inside = self.runs_from(offset / BLOCK, end.div_ceil(BLOCK));
        let clipped = inside.into_iter().map(|(start, run)| (start.max(offset), (start + run).min(end)));
        clipped.map(|(start, end)| (start, end - start)).collect()
    }

    /// All runs of differing blocks, as bytes.
    pub(crate) fn runs(&self) -> Vec<(u64, u64)> {
        self.runs_from(0, self.blocks())
    }

    fn runs_from(&self, first: u64, end: u64) -> Vec<(u64, u64)> {
        let mut runs: Vec<(u64, u64)> = Vec::new();
        let (first, end) = (usize::try_from(first).unwrap_or(usize::MAX), usize::try_from(end).unwrap_or(0));
        for (index, _) in self.bits.iter().enumerate().take(end).skip(first).filter(|(_, bit)| **bit) {
            let offset = index as u64 * BLOCK;
            match runs.last_mut() {
                Some((start, len)) if *start + *len == offset => *len += BLOCK,
                _ => runs.push((offset, BLOCK)),
            }
        }
        runs
    }

    fn recount(&mut self) {
        self.dirty = self.bits.iter().filter(|bit| **bit).count() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_found_and_counted() {
        let mut bitmap = Bitmap::new(10);
        bitmap.set(4096, 1, true);
        bitmap.set(8192, 4096, true);
        bitmap.set(5 * 4096, 4096, true);
        assert_eq!((bitmap.dirty(), bitmap.dirty_kib()), (3, 12));
        assert_eq!(bitmap.next_run(1 << 20), Some((4096, 8192)));
        assert_eq!(bitmap.next_run(4096), Some((4096, 4096)));
        bitmap.set(0, 3 * 4096, false);
        assert_eq!(bitmap.next_run(1 << 20), Some((5 * 4096, 4096)));
        bitmap.resize(4, false);
        assert_eq!((bitmap.dirty(), bitmap.next_run(4096)), (0, None));
    }
}
