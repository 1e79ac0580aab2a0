// SPDX-License-Identifier: MPL-2.0
//! The real terraform with a provider that was built here, in a directory of its own: no registry, no `init`.
//!
//! Not here: what a provider serves, and where its hosts are.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};
use tempfile::TempDir;

use crate::lab::Lab;
use crate::process::{self, Output};

/// A working directory with a configuration; gone with the value.
#[derive(Debug)]
pub struct Terraform {
    dir: TempDir,
    environment: Vec<(String, PathBuf)>,
}

impl Terraform {
    /// A directory with this configuration, for which terraform takes `replivol/drbd` from the directory `provider`.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn new(provider: &Path, configuration: &str) -> Result<Self> {
        let dir = TempDir::new()?;
        let rc = format!(
            "provider_installation {{\n  dev_overrides {{ \"replivol/drbd\" = {provider:?} }}\n  direct {{}}\n}}\n"
        );
        fs::write(dir.path().join("terraformrc"), rc)?;
        fs::write(dir.path().join("main.tf"), configuration)?;
        Ok(Self { dir, environment: Vec::new() })
    }

    /// Sets a variable of terraform's environment, and so of the provider's.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<PathBuf>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// Writes a file into the directory.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, name: &str, content: &str) -> Result<()> {
        Ok(fs::write(self.path(name), content)?)
    }

    /// A path in the directory.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Makes everything as configured; inside a lab's network if there is one.
    ///
    /// # Errors
    /// When terraform fails; the message carries what it said.
    pub fn apply(&self, lab: Option<&Lab>) -> Result<String> {
        self.run(lab, &["apply", "-auto-approve", "-input=false", "-no-color"])?.ok()
    }

    /// Refreshes and plans, and finds nothing to do.
    ///
    /// # Errors
    /// When terraform fails or finds something to do; the message carries what it said.
    pub fn plan_is_empty(&self, lab: Option<&Lab>) -> Result<()> {
        let output = self.run(lab, &["plan", "-detailed-exitcode", "-input=false", "-no-color"])?;
        if output.code == Some(2) {
            bail!("the plan is not empty:\n{}", output.stdout);
        }
        output.ok().map(drop)
    }

    /// # Errors
    /// Only when terraform cannot be started.
    fn run(&self, lab: Option<&Lab>, arguments: &[&str]) -> Result<Output> {
        let mut terraform = Command::new("terraform");
        terraform.args(arguments).current_dir(self.dir.path());
        terraform.env("TF_CLI_CONFIG_FILE", self.path("terraformrc"));
        terraform.env("CHECKPOINT_DISABLE", "1").env("TF_IN_AUTOMATION", "1").env_remove("TF_LOG");
        terraform.envs(self.environment.iter().map(|(name, value)| (name, value)));
        match lab {
            Some(lab) => process::run(&mut lab.enter(&terraform)),
            None => process::run(&mut terraform),
        }
    }
}
