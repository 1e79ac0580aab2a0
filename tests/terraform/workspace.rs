// SPDX-License-Identifier: MPL-2.0
//! A terraform working directory that finds the built provider, and runs inside a lab's network.

use anyhow::{Context as _, Result, ensure};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use support::made;
use support::{Cloud, Lab, Output};

/// A working directory with a configuration of its own.
pub struct Workspace<'a> {
    pub lab: &'a Lab,
    dir: PathBuf,
    /// Environment of terraform.
    env: Vec<(&'static str, &'static str)>,
}

impl<'a> Workspace<'a> {
    /// The example `examples-terraform/<name>`, with the variables of this lab.
    pub fn example(lab: &'a Lab, name: &str) -> Result<Self> {
        let workspace = Self::copied(lab, name)?;
        workspace.write(
            "terraform.tfvars",
            &format!(
                "hosts = {{ h1 = \"{}\", h2 = \"{}\" }}\ndisk = \"/dev/ubdb\"\nprivate_key_file = {:?}\nknown_hosts_files = [{:?}]\n",
                lab.address(1),
                lab.address(2),
                lab.key(),
                lab.known_hosts()
            ),
        )?;
        workspace.init()?;
        Ok(workspace)
    }

    /// The example `three-zones` with these zones of the cloud, from images with a name like this; h1 of the lab is the
    /// bastion.
    pub fn three_zones(lab: &'a Lab, cloud: &Cloud<'_>, zones: &[&str], image: &str) -> Result<Self> {
        let mut workspace = Self::copied(lab, "three-zones")?;
        workspace.env = vec![("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")];
        let subnets = zones.iter().zip(&cloud.subnets).map(|(zone, subnet)| format!("{zone} = {subnet:?}"));
        let subnets: Vec<String> = subnets.collect();
        let variables = [
            format!("subnets = {{ {} }}", subnets.join(", ")),
            format!("vpc_id = {:?}\nssh_from = {{ security_group_ids = [{:?}] }}", cloud.vpc, cloud.group),
            format!("endpoint_url = {:?}", cloud.url()),
            format!("private_key_file = {:?}", lab.key()),
            format!("known_hosts_files = [{:?}]", lab.known_hosts()),
            format!("bastion = {:?}", lab.address(1)),
            "region = \"us-west-2\"\nkey_name = \"lab\"\nuser = \"root\"\ninstance_type = \"t3.micro\""
                .to_owned(),
            format!("image = {{ owners = [\"136693071363\"], name = {image:?} }}\nsoftware = \"none\""),
            "disk_size = \"1GiB\"\nsize = \"64MiB\"\n".to_owned(),
        ];
        workspace.write("terraform.tfvars", &variables.join("\n"))?;
        workspace.init()?;
        Ok(workspace)
    }

    /// A directory of this name with this configuration.
    pub fn with(lab: &'a Lab, name: &str, configuration: &str) -> Result<Self> {
        let workspace = Self::empty(lab, name)?;
        workspace.write("main.tf", configuration)?;
        workspace.init()?;
        Ok(workspace)
    }

    fn copied(lab: &'a Lab, name: &str) -> Result<Self> {
        let workspace = Self::empty(lab, name)?;
        let from = made::checkout().join("examples-terraform").join(name);
        for entry in fs::read_dir(&from).with_context(|| from.display().to_string())? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "tf") {
                let file = path.file_name().context("a file name")?;
                fs::copy(&path, workspace.dir.join(file))?;
            }
        }
        Ok(workspace)
    }

    fn empty(lab: &'a Lab, name: &str) -> Result<Self> {
        let dir = lab.dir().join(format!("terraform-{name}"));
        let mirror = dir.join("mirror/registry.terraform.io/replivol/drbd/0.1.0/linux_amd64");
        fs::create_dir_all(&mirror)?;
        fs::copy(made::dist("terraform-provider-drbd")?, mirror.join("terraform-provider-drbd_v0.1.0"))?;
        fs::copy(made::dist("drbd-host")?, mirror.join("drbd-host"))?;
        let workspace = Self { lab, dir, env: Vec::new() };
        let mirror = workspace.dir.join("mirror");
        workspace.write(
            "terraformrc",
            &format!("provider_installation {{\n  filesystem_mirror {{ path = {mirror:?} }}\n}}\n"),
        )?;
        Ok(workspace)
    }

    /// Writes a file beside the configuration.
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        fs::write(self.dir.join(name), text).with_context(|| format!("write {name}"))
    }

    /// Changes a file of the configuration.
    pub fn replace(&self, name: &str, from: &str, to: &str) -> Result<()> {
        let text = fs::read_to_string(self.dir.join(name))?;
        ensure!(text.contains(from), "{name} does not contain {from:?}");
        self.write(name, &text.replace(from, to))
    }

    /// A path in the working directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Adds to the environment of terraform.
    pub fn set_env(&mut self, name: &'static str, value: &'static str) {
        self.env.push((name, value));
    }

    fn init(&self) -> Result<()> {
        self.run(&["init", "-input=false"])?.ok().map(drop)
    }

    /// Runs terraform inside the lab's network.
    pub fn run(&self, args: &[&str]) -> Result<Output> {
        let mut terraform = Command::new("terraform");
        terraform
            .args(args)
            .current_dir(&self.dir)
            .env("TF_CLI_CONFIG_FILE", self.path("terraformrc"))
            .env("TF_IN_AUTOMATION", "1")
            .env("NO_COLOR", "1")
            .env("CHECKPOINT_DISABLE", "1")
            .envs(self.env.iter().copied());
        support::run(&mut self.lab.enter(&terraform))
    }

    /// Applies; fails with what terraform said.
    pub fn apply(&self) -> Result<String> {
        self.run(&["apply", "-input=false", "-auto-approve", "-no-color"])?.ok()
    }

    /// Applies what must be refused; returns what terraform said, on one line.
    pub fn apply_refused(&self) -> Result<String> {
        let output = self.run(&["apply", "-input=false", "-auto-approve", "-no-color"])?;
        ensure!(!output.success(), "terraform applied what it should have refused");
        Ok(one_line(&format!("{}{}", output.stdout, output.stderr)))
    }

    /// What a plan says; `None` when nothing is to be done.
    pub fn plan(&self) -> Result<Option<String>> {
        let output = self.run(&["plan", "-input=false", "-no-color", "-detailed-exitcode"])?;
        match output.code {
            Some(0) => Ok(None),
            Some(2) => Ok(Some(output.stdout)),
            _ => Err(anyhow::anyhow!("terraform plan failed: {}{}", output.stdout, output.stderr)),
        }
    }

    /// Destroys everything.
    pub fn destroy(&self) -> Result<String> {
        self.run(&["destroy", "-input=false", "-auto-approve", "-no-color"])?.ok()
    }

    /// The addresses in the state.
    pub fn state(&self) -> Result<Vec<String>> {
        Ok(self.run(&["state", "list"])?.ok()?.lines().map(str::to_owned).collect())
    }

    /// The text of the state file.
    pub fn state_file(&self) -> Result<String> {
        Ok(fs::read_to_string(self.dir.join("terraform.tfstate"))?)
    }
}

/// Terraform breaks messages into lines and draws boxes; a comparison wants neither.
pub fn one_line(text: &str) -> String {
    let plain = text.replace(['│', '╷', '╵'], " ");
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}
