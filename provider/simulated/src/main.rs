// SPDX-License-Identifier: MPL-2.0
//! The provider over simulated hosts, for tests and benchmarks with the real terraform. The hosts are in the JSON file
//! that `DRBD_SIMULATION` names, so that they outlive the process. `DRBD_SIMULATION_DELAY_MS` makes every run on a host
//! take that long.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use provider_drbd::Drbd;
use provider_drbd::simulated::Simulation;

fn main() -> ExitCode {
    let Some(file) = std::env::var_os("DRBD_SIMULATION") else {
        eprintln!("DRBD_SIMULATION must name the file with the simulated hosts");
        return ExitCode::FAILURE;
    };
    let delay = std::env::var("DRBD_SIMULATION_DELAY_MS").ok().and_then(|ms| ms.parse().ok()).unwrap_or(0);
    let hosts = Simulation::in_file(file).delayed(Duration::from_millis(delay));
    provider_drbd::serve(Drbd::over(Arc::new(hosts)))
}
