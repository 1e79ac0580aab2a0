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
    let (mut ones, mut others) = (Vec::new(), Vec::new());
    for turn in 0..count {
        if turn % 2 == 0 {
            ones.push(one(turn)?);
            others.push(other(turn)?);
        } else {
            others.push(other(turn)?);
            ones.push(one(turn)?);
        }
    }
    Ok((median(ones), median(others)))
}
