// SPDX-License-Identifier: MPL-2.0
//! README's way from a checkout to a volume, with its own words: `make install`, its HCL in an empty directory, its commands; as a
//! user who has to use sudo, through a bastion. A home directory of its own, no configuration of terraform, no registry.

use anyhow::{Context as _, Result, ensure};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use support::{Lab, made};
use tempfile::TempDir;

/// Fenced blocks of HCL, and indented commands, of a part of README.
fn parts(readme: &str) -> Result<(Vec<String>, Vec<String>)> {
    let section = readme.split("\n## Terraform\n").nth(1).and_then(|rest| rest.split("\n## ").next());
    let section = section.context("README has a section Terraform")?;
    let blocks = section.split("```hcl\n").skip(1).filter_map(|rest| rest.split("```").next());
    let commands = section.lines().filter_map(|line| line.strip_prefix("    ")).filter(|line| {
        line.starts_with("make ") || line.starts_with("terraform init") || line.starts_with("terraform apply")
    });
    let command = |line: &str| line.split('#').next().unwrap_or_default().trim().to_owned();
    Ok((blocks.map(str::to_owned).collect(), commands.map(command).collect()))
}

struct User<'a> {
    lab: &'a Lab,
    home: TempDir,
}

impl User<'_> {
    fn run(&self, directory: &Path, line: &str) -> Result<String> {
        let mut words = line.split(' ');
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).current_dir(directory).env("HOME", self.home.path());
        for name in ["TF_CLI_CONFIG_FILE", "TF_PLUGIN_CACHE_DIR", "XDG_DATA_HOME", "TF_LOG", "SSH_AUTH_SOCK"]
        {
            command.env_remove(name);
        }
        command
            .env("CHECKPOINT_DISABLE", "1")
            .env("TF_CLI_ARGS_apply", "-auto-approve -input=false -no-color");
        support::run(&mut self.lab.enter(&command))?.ok().with_context(|| line.to_owned())
    }
}

#[test]
fn readme_leads_from_a_checkout_to_a_volume() -> Result<()> {
    let (blocks, commands) = parts(&fs::read_to_string(made::checkout().join("README.md"))?)?;
    assert_eq!(commands, ["make install", "terraform init", "terraform apply"]);
    let [main, variables, ..] = blocks.as_slice() else {
        anyhow::bail!("README has main.tf and terraform.tfvars")
    };

    let lab = Lab::up(2)?;
    let user = User { lab: &lab, home: TempDir::new()? };
    let (ssh, work) = (user.home.path().join(".ssh"), user.home.path().join("work"));
    fs::create_dir(&ssh)?;
    fs::create_dir(&work)?;
    fs::copy(lab.key(), ssh.join("id_ed25519"))?;
    fs::set_permissions(ssh.join("id_ed25519"), fs::Permissions::from_mode(0o600))?;
    fs::copy(lab.known_hosts(), ssh.join("known_hosts"))?;
    let mut variables = variables.clone();
    for (example, ours) in [
        ("10.0.0.11", lab.address(1).to_string()),
        ("10.0.0.12", lab.address(2).to_string()),
        ("/dev/vdb", "/dev/ubdb".to_owned()),
        ("admin", "ops".to_owned()),
        ("203.0.113.7", lab.address(2).to_string()),
    ] {
        ensure!(variables.contains(example), "terraform.tfvars of README names {example}");
        variables = variables.replace(&format!("\"{example}\""), &format!("{ours:?}"));
    }
    fs::write(work.join("main.tf"), main)?;
    fs::write(work.join("terraform.tfvars"), variables)?;

    // Building is not tested here: what was built is in the place that `make` knows. That is all that -o leaves out.
    let said =
        user.run(made::checkout(), &commands[0].replace("make ", "make --no-print-directory -o build "))?;
    ensure!(said.contains(".terraform.d/plugins/registry.terraform.io/replivol/drbd/"), "{said}");
    user.run(&work, &commands[1])?;
    let said = user.run(&work, &commands[2])?;
    ensure!(said.contains("4 added, 0 changed, 0 destroyed"), "{said}");
    for host in [1, 2] {
        assert_eq!(lab.sh(host, "drbdadm dstate r0")?.trim(), "UpToDate/UpToDate");
    }
    let said = user.run(&work, &commands[2])?;
    ensure!(said.contains("0 added, 0 changed, 0 destroyed"), "{said}");
    Ok(())
}
