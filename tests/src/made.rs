// SPDX-License-Identifier: MPL-2.0
//! Where the things are that `make build` and `make setup` made: the two binaries as they are shipped, and Ansible.
//!
//! The Makefile names both places in the environment; without it (a test run by hand) they are where it puts them by
//! default. Not here: making them. A test of a shipped binary must not test one that cargo built for the test.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

/// A shipped binary: `terraform-provider-drbd`, or the static `drbd-host`.
///
/// # Errors
/// When `make build` has not made it.
pub fn dist(name: &str) -> Result<PathBuf> {
    let dir = env::var_os("REPLIVOL_DIST").map_or_else(|| target().join("dist"), PathBuf::from);
    existing(dir.join(name), "make build")
}

/// The same of the commit that `make bench BASE=COMMIT` names; none without one.
///
/// # Errors
/// When that commit was not built, or did not ship such a thing.
pub fn base(name: &str) -> Result<Option<PathBuf>> {
    let dir = env::var_os("REPLIVOL_BASE").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    dir.map(|dir| existing(dir.join(name), "make base BASE=COMMIT")).transpose()
}

/// A program of the pinned Ansible: `ansible-playbook`, `ansible`, `ansible-doc`.
///
/// # Errors
/// When `make setup` has not installed it, or the environment names no home directory.
pub fn ansible(program: &str) -> Result<PathBuf> {
    ansible_of("ansible", program)
}

/// A program of one of the pinned installations of Ansible: `ansible` (the newest that runs on Debian 12's Python),
/// `ansible-2.21` (with a Python of its own), `ansible-2.14`, `ansible-lint`.
///
/// # Errors
/// As [`ansible`].
pub fn ansible_of(installation: &str, program: &str) -> Result<PathBuf> {
    existing(ansible_cache()?.join(installation).join("bin").join(program), "make setup")
}

/// The home directory of `ansible-test`, where it keeps virtual environments of its own.
///
/// # Errors
/// When the environment names no home directory.
pub fn ansible_test_home() -> Result<PathBuf> {
    Ok(ansible_cache()?.join("ansible-test"))
}

/// Where the installations of Ansible lie side by side.
fn ansible_cache() -> Result<PathBuf> {
    match env::var_os("REPLIVOL_ANSIBLE").map(PathBuf::from) {
        Some(bin) => {
            bin.ancestors().nth(2).map(Path::to_owned).context("REPLIVOL_ANSIBLE is no bin directory")
        }
        None => Ok(cache()?.join("replivol")),
    }
}

/// The collection, as `make collection` packs it.
///
/// # Errors
/// When it has not been packed.
pub fn collection() -> Result<PathBuf> {
    let dir = env::var_os("REPLIVOL_DIST").map_or_else(|| target().join("dist"), PathBuf::from);
    existing(dir.join(concat!("replivol-drbd-", env!("CARGO_PKG_VERSION"), ".tar.gz")), "make collection")
}

/// The top folder of the checkout.
#[must_use]
pub fn checkout() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests)
}

fn target() -> PathBuf {
    checkout().join(env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from))
}

fn cache() -> Result<PathBuf> {
    if let Some(dir) = env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty()) {
        return Ok(dir.into());
    }
    Ok(PathBuf::from(env::var_os("HOME").context("HOME is not set")?).join(".cache"))
}

fn existing(path: PathBuf, made_by: &str) -> Result<PathBuf> {
    ensure!(path.is_file(), "{} does not exist; `{made_by}` makes it", path.display());
    Ok(path)
}
