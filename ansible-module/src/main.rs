// SPDX-License-Identifier: MPL-2.0
//! `drbd-host`, the host-side program. Everything is in the library.

fn main() -> std::process::ExitCode {
    drbd_host::main()
}
