// SPDX-License-Identifier: MPL-2.0
//! Values as MessagePack, driven by a type. Numbers are read as integers, floats or decimal text and written as
//! text; every extension is an unknown value; number 12 brings refinements. Nothing here guesses a type from bytes.

mod decode;
mod encode;

pub(crate) use decode::decode;
pub(crate) use encode::encode;

/// Extension number of an unknown value of which something is known.
const REFINED_UNKNOWN: i8 = 12;
/// Keys of the refinement map.
const KEY_NULLNESS: u64 = 1;
const KEY_PREFIX: u64 = 2;
const KEY_NUMBER_MIN: u64 = 3;
const KEY_NUMBER_MAX: u64 = 4;
const KEY_LENGTH_MIN: u64 = 5;
const KEY_LENGTH_MAX: u64 = 6;

#[cfg(test)]
mod tests;
