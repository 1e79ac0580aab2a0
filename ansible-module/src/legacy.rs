// SPDX-License-Identifier: MPL-2.0
//! Starts DRBD 8.4's own programs without the detour over those of the same name.
//!
//! On a kernel with DRBD 8.4, `drbdadm` and `drbdsetup` of drbd-utils 9 do nothing but look at the module's version, add
//! `/lib/drbd` to `PATH` and exec `drbdadm-84` or `drbdsetup-84` with the arguments that they were given (`main` and
//! `exec_legacy_drbdadm` of drbdadm, `maybe_exec_legacy_drbdsetup` of drbdsetup). Each of our commands would so pay for two
//! programs. Here the second one is started at once, with the name, arguments and environment that it gets on that way.
//!
//! Only in place of the packaged programs: whoever puts a `drbdadm` of his own before them gets that one.

use crate::local_host::read_whole;
use drbd_engine::host::Cmd;
use std::path::Path;

/// What drbd-utils adds to `PATH`, and where its packages install these programs.
const DIRECTORY: &str = "/lib/drbd";
/// Where packages install `drbdadm` and `drbdsetup`.
const PACKAGED: [&str; 2] = ["/usr/sbin", "/sbin"];
/// Shows the version of the module that is loaded; there is no such file while none is.
const VERSION: &str = "/sys/module/drbd/version";

/// A program of DRBD 8.4, and how it is started.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Legacy {
    /// The file.
    pub(crate) path: String,
    /// `PATH`, so that it finds the others of its kind.
    pub(crate) search: String,
    /// An environment variable without which `drbdadm-84` looks for what `drbdadm` has warned about already.
    pub(crate) env: (&'static str, &'static str),
}

/// The program that `cmd`, whose program was found at `found`, would start on this host; `None` when it would go on itself.
pub(crate) fn of(cmd: &Cmd, found: &str, search: &[&str]) -> Option<Legacy> {
    let name = match cmd.program {
        "drbdadm" => "drbdadm-84",
        "drbdsetup" => "drbdsetup-84",
        _ => return None,
    };
    // A variable may name another version than the kernel's: then the programs themselves shall decide.
    if !cmd.env.is_empty() || !is_packaged(cmd.program, found) {
        return None;
    }
    let version = read_whole(VERSION).ok()?;
    in_place(name, &String::from_utf8_lossy(&version), search, &|path| Path::new(path).is_file())
}

fn is_packaged(program: &str, found: &str) -> bool {
    PACKAGED
        .iter()
        .any(|dir| found.strip_prefix(dir).and_then(|rest| rest.strip_prefix('/')) == Some(program))
}

fn in_place(name: &str, version: &str, search: &[&str], is_file: &dyn Fn(&str) -> bool) -> Option<Legacy> {
    if !version.starts_with("8.4.") {
        return None;
    }
    let directories = || search.iter().chain([&DIRECTORY]).copied();
    let path = directories().map(|dir| format!("{dir}/{name}")).find(|path| is_file(path))?;
    let search = directories().collect::<Vec<_>>().join(":");
    Some(Legacy { path, search, env: ("DRBD_DONT_WARN_ON_VERSION_MISMATCH", "1") })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEARCH: [&str; 2] = ["/usr/local/sbin", "/usr/sbin"];

    fn in_place_with(version: &str, files: &[&str]) -> Option<String> {
        in_place("drbdadm-84", version, &SEARCH, &|path| files.contains(&path)).map(|legacy| legacy.path)
    }

    #[test]
    fn it_is_the_file_that_drbdadm_itself_would_start() {
        let packaged = "/lib/drbd/drbdadm-84";
        assert_eq!(in_place_with("8.4.11\n", &[packaged]).as_deref(), Some(packaged));
        let own = "/usr/local/sbin/drbdadm-84";
        assert_eq!(in_place_with("8.4.11\n", &[packaged, own]).as_deref(), Some(own), "PATH comes first");
        assert_eq!(in_place_with("8.4.11\n", &[]), None, "drbd-utils without support for 8.4 says so itself");
        let found = in_place("drbdadm-84", "8.4.11\n", &SEARCH, &|_| true).unwrap();
        assert_eq!(found.search, "/usr/local/sbin:/usr/sbin:/lib/drbd");
    }

    #[test]
    fn no_other_version_is_taken_for_it() {
        for version in ["9.2.18\n", "8.3.11\n", "8.40.1\n", ""] {
            assert_eq!(in_place_with(version, &["/lib/drbd/drbdadm-84"]), None, "{version:?}");
        }
    }

    #[test]
    fn it_stands_in_for_the_packaged_programs_only() {
        assert!(is_packaged("drbdadm", "/usr/sbin/drbdadm") && is_packaged("drbdsetup", "/sbin/drbdsetup"));
        for own in ["/usr/local/sbin/drbdadm", "/usr/sbin/other/drbdadm", "/usr/sbinx/drbdadm"] {
            assert!(!is_packaged("drbdadm", own), "{own}");
        }
        let guessing = Cmd::new("drbdadm", ["-d", "up", "r0"]).env("DRBD_DRIVER_VERSION_OVERRIDE", "8.4.11");
        assert_eq!(of(&guessing, "/usr/sbin/drbdadm", &SEARCH), None);
        assert_eq!(of(&Cmd::new("lvm", ["version"]), "/usr/sbin/lvm", &SEARCH), None);
    }
}
