// SPDX-License-Identifier: MPL-2.0
//! A refresh that finds nothing to do goes to each host once, however many volumes live there: counted by the hosts.
//!
//! `make bench BENCH=refresh` counts the same with a hundred volumes, and shows how long it takes.

use anyhow::Result;
use support::volumes::Volumes;

/// Enough that one question for each volume, or for five of them, would break the limit.
const VOLUMES: usize = 20;

#[test]
fn a_refresh_without_a_change_is_one_connection_and_at_most_three_executions_on_each_host() -> Result<()> {
    let volumes = Volumes::create(VOLUMES)?;
    for visits in volumes.refresh()?.visits {
        assert_eq!(visits.connections, 1, "{visits:?}");
        assert!((1..=3).contains(&visits.executions), "{visits:?}");
    }
    Ok(())
}
