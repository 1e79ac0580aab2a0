// SPDX-License-Identifier: MPL-2.0
//! The shipped Ansible collection, installed as a user installs it, for runs inside a lab's network.
//!
//! Not here: which hosts, and how to reach them; inventories say that.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use tempfile::TempDir;

use crate::lab::Lab;
use crate::{made, process};

/// The collection from the tarball of `make collection`, and a home directory; gone with the value.
#[derive(Debug)]
pub struct Collection {
    home: TempDir,
    /// Which installation of Ansible.
    installation: &'static str,
}

impl Collection {
    /// Installs it.
    ///
    /// # Errors
    /// When there is no tarball, or `ansible-galaxy` does not take it.
    pub fn install() -> Result<Self> {
        Self::install_with("ansible")
    }

    /// Installs it with one of the installations of Ansible that [`made::ansible_of`] knows.
    ///
    /// # Errors
    /// As [`Collection::install`].
    pub fn install_with(installation: &'static str) -> Result<Self> {
        // Short: a socket's path has room for about a hundred characters.
        let home = tempfile::Builder::new().prefix("col").tempdir()?;
        // Nothing of this machine's own Ansible configuration.
        fs::write(home.path().join("ansible.cfg"), "")?;
        let collection = Self { home, installation };
        let mut galaxy = Command::new(made::ansible_of(installation, "ansible-galaxy")?);
        galaxy
            .args(["collection", "install", "--offline", "--collections-path"])
            .arg(collection.path("collections"));
        galaxy
            .arg(made::collection()?)
            .env("HOME", collection.home.path())
            .env("ANSIBLE_CONFIG", collection.path("ansible.cfg"));
        // Else one that is installed elsewhere would do.
        galaxy.env("ANSIBLE_COLLECTIONS_PATH", collection.path("collections"));
        process::run(&mut galaxy)?.ok()?;
        Ok(collection)
    }

    /// A path in the home directory.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// A program of Ansible that finds the collection, and the lab's hosts by their addresses.
    ///
    /// # Errors
    /// When `make setup` has not installed Ansible.
    pub fn ansible(&self, lab: &Lab, program: &str, directory: &Path, arguments: &[&str]) -> Result<Command> {
        let mut ansible = Command::new(made::ansible_of(self.installation, program)?);
        ansible
            .args(arguments)
            .current_dir(directory)
            .env("ANSIBLE_COLLECTIONS_PATH", self.path("collections"))
            .env("ANSIBLE_CONFIG", self.path("ansible.cfg"))
            .env("ANSIBLE_NOCOLOR", "1")
            .env("ANSIBLE_SSH_CONTROL_PATH_DIR", self.path("c"))
            .env("ANSIBLE_SSH_ARGS", "-C -o ControlMaster=auto -o ControlPersist=5s")
            .env("HOME", self.home.path());
        Ok(lab.enter(&ansible))
    }
}
