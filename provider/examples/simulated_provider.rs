// SPDX-License-Identifier: MPL-2.0
//! The provider over simulated hosts, for tests and benchmarks with the real terraform. The hosts are in the JSON file
//! that `DRBD_SIMULATION` names, so that they outlive the process.

use std::process::ExitCode;
use std::sync::Arc;

use provider_drbd::simulated::Simulation;

fn main() -> ExitCode {
    let Some(file) = std::env::var_os("DRBD_SIMULATION") else {
        eprintln!("DRBD_SIMULATION must name the file with the simulated hosts");
        return ExitCode::FAILURE;
    };
    provider_drbd::serve(provider_drbd::Drbd::over(Arc::new(Simulation::in_file(file))))
}
