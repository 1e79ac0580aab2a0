// SPDX-License-Identifier: MPL-2.0
//! The provider binary that Terraform starts.

fn main() -> std::process::ExitCode {
    provider_drbd::serve(provider_drbd::Drbd::over_ssh())
}
