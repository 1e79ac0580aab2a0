// SPDX-License-Identifier: MPL-2.0
//! The program itself.

use crate::host::{Bench, PROGRAM, declaration};
use crate::measure::{median, repeat, time};
use crate::table::Table;
use anyhow::{Context as _, Result};
use std::process::Command;
use std::time::Duration;
use support::made;

/// Runs a command on the host with the file `args` as input; prints how long it took in microseconds, and the
/// greatest resident size of the program itself (not of the tools it calls) in KiB.
const WATCH: &str = r#"
import subprocess, sys, time
started = time.monotonic()
child = subprocess.Popen(sys.argv[1:], stdin=open("/run/args"), stdout=subprocess.DEVNULL)
peak = 0
while child.poll() is None:
    try:
        for line in open(f"/proc/{child.pid}/status"):
            if line.startswith("VmHWM"):
                peak = int(line.split()[1])
    except OSError:
        pass
    time.sleep(0.001)
print(int((time.monotonic() - started) * 1e6), peak)
"#;

pub fn run(table: &mut Table) -> Result<()> {
    let program = made::dist("drbd-host")?;
    let mebibytes = |bytes: f64| bytes / 1_048_576.0;
    table.figure("program: size", mebibytes(std::fs::metadata(&program)?.len() as f64), "MiB", Some(4.0));
    let start = || time(|| support::run(Command::new(&program).arg("--version"))?.ok());
    let starts = (0..repeat(51)).map(|_| start()).collect::<Result<Vec<Duration>>>()?;
    table.figure("program: start on this machine", median(starts) * 1000.0, "ms", Some(5.0));

    let bench = Bench::new()?;
    let declaration = declaration(0).to_string();
    bench.ssh(&format!("{PROGRAM} drbd_resource -"), &declaration)?;
    bench.lab.write(1, "/run/args", declaration.as_bytes())?;
    bench.lab.write(1, "/run/watch", WATCH.as_bytes())?;
    let (mut times, mut peak) = (Vec::new(), 0.0_f64);
    for _ in 0..repeat(11) {
        let said = bench.ssh(&format!("python3 /run/watch {PROGRAM} drbd_resource -"), "")?;
        let (micros, kibibytes) = said.trim().split_once(' ').context("the watcher said nothing")?;
        times.push(Duration::from_micros(micros.parse()?));
        peak = peak.max(kibibytes.parse()?);
    }
    table.figure("program: nothing to do, on a lab host", median(times) * 1000.0, "ms", Some(100.0));
    table.figure("program: greatest resident memory", peak / 1024.0, "MiB", Some(10.0));
    Ok(())
}
