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

/// A program of the pinned Ansible: `ansible-playbook`, `ansible`, `ansible-doc`.
///
/// # Errors
/// When `make setup` has not installed it, or the environment names no home directory.
pub fn ansible(program: &str) -> Result<PathBuf> {
    let dir = match env::var_os("REPLIVOL_ANSIBLE") {
        Some(dir) => PathBuf::from(dir),
        None => cache()?.join("replivol/ansible/bin"),
    };
    existing(dir.join(program), "make setup")
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
