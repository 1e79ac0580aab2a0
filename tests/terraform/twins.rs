// SPDX-License-Identifier: MPL-2.0
//! Two configurations, each with a state of its own, that make a node of one name in one network at the same time.
//!
//! Not here: two that launch at the very same moment; that needs no host (`provider/ec2/tests/moto/trouble.rs`).

use super::import::{ONE_DISK, node};
use super::workspace::{Workspace, one_line};
use anyhow::{Result, bail, ensure};
use std::thread;
use std::time::{Duration, Instant};
use support::{Cloud, Lab};

#[test]
fn of_two_that_make_one_node_one_has_it_and_the_other_nothing() -> Result<()> {
    let lab = Lab::up(1)?;
    let cloud = Cloud::start(&lab)?;
    let configuration = node(&lab, &cloud, ONE_DISK);
    let first = Workspace::with(&lab, "first", &configuration)?;
    let second = Workspace::with(&lab, "second", &configuration)?;
    let apply = ["apply", "-input=false", "-auto-approve", "-no-color"];
    let (one, other) = thread::scope(|scope| {
        let one = scope.spawn(|| first.run(&apply));
        // The instance of the first is there, and not finished.
        launched(&cloud)?;
        let other = second.run(&apply)?;
        let one = one.join().map_err(|_| anyhow::anyhow!("the first apply panicked"))??;
        anyhow::Ok((one, other))
    })?;
    ensure!(one.success() != other.success(), "{}{}{}{}", one.stdout, one.stderr, other.stdout, other.stderr);
    let (lost, loser, winner) = if one.success() { (other, &second, &first) } else { (one, &first, &second) };
    let said = one_line(&lost.stderr);
    ensure!(
        said.contains("drbd-a") && (said.contains("Another run") || said.contains("There is a node")),
        "{said}"
    );
    let there = cloud.there()?;
    ensure!((there.0.len(), there.1.len()) == (1, 1), "{there:?}");

    // Whatever the loser does next, it is not with what the winner has.
    let again = loser.apply_refused()?;
    ensure!(again.contains("There is a node drbd-a") && again.contains("already"), "{again}");
    loser.destroy()?;
    assert_eq!(cloud.there()?, there);
    assert_eq!(winner.plan()?, None);
    winner.destroy()?;
    assert_eq!(cloud.there()?, (Vec::new(), Vec::new()));
    Ok(())
}

fn launched(cloud: &Cloud<'_>) -> Result<()> {
    let end = Instant::now() + Duration::from_secs(60);
    while cloud.there()?.0.is_empty() {
        if Instant::now() > end {
            bail!("nothing was launched");
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}
