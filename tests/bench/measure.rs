// SPDX-License-Identifier: MPL-2.0
//! Measuring: medians of things that take turns, so that what else the machine does hits both alike.

use anyhow::Result;
use std::time::{Duration, Instant};

/// How often each thing is measured: `REPEAT`, else `usual`.
pub fn repeat(usual: usize) -> usize {
    std::env::var("REPEAT")
        .ok()
        .and_then(|text| text.parse().ok())
        .filter(|count| *count > 0)
        .unwrap_or(usual)
}

/// The middle value, in seconds.
pub fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times.get(times.len() / 2).map_or(f64::NAN, Duration::as_secs_f64)
}

/// How long it takes.
pub fn time<T>(action: impl FnOnce() -> Result<T>) -> Result<Duration> {
    let started = Instant::now();
    action()?;
    Ok(started.elapsed())
}

/// Medians of two things that take turns; who begins alternates. Each is given the number of its turn.
pub fn in_turns(
    count: usize,
    mut one: impl FnMut(usize) -> Result<Duration>,
    mut other: impl FnMut(usize) -> Result<Duration>,
) -> Result<(f64, f64)> {
    let medians = all_in_turns(count, &mut [&mut one, &mut other])?;
    Ok((medians.first().copied().unwrap_or(f64::NAN), medians.get(1).copied().unwrap_or(f64::NAN)))
}

/// One of the things that take turns.
pub type Side<'a> = &'a mut dyn FnMut(usize) -> Result<Duration>;

/// The same for any number of things: this commit, the one that `BASE` names, and what others do.
pub fn all_in_turns(count: usize, sides: &mut [Side<'_>]) -> Result<Vec<f64>> {
    let mut times = vec![Vec::new(); sides.len()];
    for turn in 0..count {
        for place in 0..sides.len() {
            let side = (turn + place) % sides.len();
            if let (Some(side), Some(times)) = (sides.get_mut(side), times.get_mut(side)) {
                times.push(side(turn)?);
            }
        }
    }
    Ok(times.into_iter().map(median).collect())
}
