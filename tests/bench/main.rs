// SPDX-License-Identifier: MPL-2.0
//! Benchmarks: what the product costs beside what people do without it, on the same hosts, as ratios.
//!
//! `make bench` runs all groups, `make bench BENCH="host binary"` some. Figures depend on the machine and on what else
//! it does; ratios much less so, because the two sides take turns. Nothing here passes or fails: a target that is
//! missed is printed as missed. `REPEAT` sets how often each thing is measured.
//!
//! A new group is a file with a function that takes the table, and a line in [`GROUPS`].

mod binary;
mod cluster;
mod ec2;
mod host;
mod measure;
mod plan;
mod playbook;
mod provider;
mod refresh;
mod table;

use anyhow::{Result, bail};
use table::Table;

type Group = (&'static str, &'static str, fn(&mut Table) -> Result<()>);

const GROUPS: [Group; 8] = [
    ("binary", "the program itself: size, start, memory, a run with nothing to do", binary::run),
    ("host", "one new replicated volume: the module, and a hand-written script", host::run),
    ("playbook", "from blank disks: the example playbook, and shell tasks", playbook::run),
    ("cluster", "the role cluster over many resources, with nothing to do", cluster::run),
    ("provider", "the provider's process: until it answers, memory", provider::run),
    ("plan", "a thousand unchanged volumes on simulated hosts", plan::run),
    ("ec2", "nodes that are launched: calls of the API, and how much they wait for each other", ec2::run),
    ("refresh", "a hundred unchanged volumes on two lab hosts", refresh::run),
];

fn main() -> Result<()> {
    // Cargo itself adds --bench.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let Some(unknown) = wanted.iter().find(|name| GROUPS.iter().all(|(known, ..)| known != name)) {
        let known: Vec<&str> = GROUPS.iter().map(|(name, ..)| *name).collect();
        bail!("there is no group {unknown}; the groups are {}", known.join(", "));
    }
    let mut table = Table::default();
    for (name, about, run) in GROUPS {
        if wanted.is_empty() || wanted.iter().any(|word| word == name) {
            eprintln!("{name}: {about} ...");
            run(&mut table)?;
        }
    }
    print!("{table}");
    Ok(())
}
