// SPDX-License-Identifier: MPL-2.0
//! The program itself.

use crate::host::{Bench, PROGRAM, declaration};
use crate::measure::{in_turns, median, repeat, time};
use crate::table::Table;
use anyhow::Result;
use std::process::Command;
use std::time::Duration;
use support::made;

/// Runs a command on the host with the file `args` as input, and prints how long it took in microseconds.
const TIME: &str = r#"
import subprocess, sys, time
started = time.monotonic()
subprocess.run(sys.argv[1:], stdin=open("/run/args"), stdout=subprocess.DEVNULL, check=True)
print(int((time.monotonic() - started) * 1e6))
"#;

/// The same, and prints the greatest resident size of the program itself (not of the tools it calls) in KiB. Looking all the
/// time costs the one processor of a lab host a good part of its time, so the time of such a run says nothing.
const WATCH: &str = r#"
import subprocess, sys, time
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
print(peak)
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
    bench.lab.write(1, "/run/time", TIME.as_bytes())?;
    bench.lab.write(1, "/run/watch", WATCH.as_bytes())?;
    let module = format!("{PROGRAM} drbd_resource -");
    let said = |script: &str| -> Result<f64> {
        Ok(bench.ssh(&format!("python3 /run/{script} {module}"), "")?.trim().parse()?)
    };
    let (on_host, with_ssh) = in_turns(
        repeat(11),
        |_| Ok(Duration::from_secs_f64(said("time")? / 1e6)),
        |_| time(|| bench.ssh(&module, &declaration)),
    )?;
    table.figure("program: nothing to do, on a lab host", on_host * 1000.0, "ms", Some(100.0));
    table.figure(
        "program: the same, and the way there over an open SSH session",
        with_ssh * 1000.0,
        "ms",
        None,
    );
    let peaks = (0..repeat(3)).map(|_| said("watch")).collect::<Result<Vec<f64>>>()?;
    let peak = peaks.into_iter().fold(0.0, f64::max);
    table.figure("program: greatest resident memory", peak / 1024.0, "MiB", Some(10.0));
    Ok(())
}
