// SPDX-License-Identifier: MPL-2.0
//! A directory with a configuration, a file with simulated hosts, and the terraform CLI between them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use provider_drbd::simulated::{SimulatedResource, World};
use serde_json::Value;
use tempfile::TempDir;

/// One test's terraform.
pub(crate) struct Terraform {
    dir: TempDir,
}

/// What terraform said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) text: String,
}

impl Said {
    #[track_caller]
    pub(crate) fn good(self) -> Self {
        assert!(matches!(self.code, 0 | 2), "exit {}\n{}", self.code, self.text);
        self
    }

    /// It failed, and its words (line breaks and frames aside) hold all of these.
    #[track_caller]
    pub(crate) fn bad(self, parts: &[&str]) -> Self {
        assert_eq!(self.code, 1, "{}", self.text);
        self.says(parts)
    }

    #[track_caller]
    pub(crate) fn says(self, parts: &[&str]) -> Self {
        let words = self.words();
        for part in parts {
            assert!(words.contains(part), "{part:?} is not in:\n{}\n\n{words}", self.text);
        }
        self
    }

    /// The text as one line without the frame that terraform draws.
    fn words(&self) -> String {
        let plain = self.text.replace(['│', '╷', '╵'], " ");
        plain.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

const HEAD: &str = r#"
terraform {
  required_providers {
    drbd = { source = "replivol/drbd" }
  }
}
provider "drbd" {
  ssh = { user = "root", private_key_file = "/no/key" }
}
"#;

/// Two nodes and a group of both.
pub(crate) const NODES: &str = r#"
resource "drbd_node" "this" {
  for_each      = { h1 = "10.0.0.1", h2 = "10.0.0.2" }
  name          = each.key
  ssh           = { host = each.value }
  labels        = { zone = each.key }
  storage_pools = { data = { lvm_thin = { volume_group = "vg0", thin_pool = "thin" } } }
}
resource "drbd_resource_group" "dr" {
  name         = "dr"
  nodes        = drbd_node.this
  storage_pool = "data"
}
"#;

/// One volume of that group with more attributes.
pub(crate) fn volume(more: &str) -> String {
    format!(
        "{NODES}\nresource \"drbd_replicated_volume\" \"r0\" {{\n  name = \"r0\"\n  resource_group = drbd_resource_group.dr\n{more}\n}}\n"
    )
}

impl Terraform {
    /// Hosts h1 and h2 with DRBD 8.4 and a thin pool, and this configuration.
    pub(crate) fn new(config: &str) -> Self {
        Self::on(&World::of(&["h1", "h2"], "8.4.11"), config)
    }

    pub(crate) fn on(world: &World, config: &str) -> Self {
        let this = Self { dir: TempDir::new().unwrap() };
        let bin = this.path("bin");
        std::fs::create_dir(&bin).unwrap();
        let provider = env!("CARGO_BIN_EXE_simulated-provider");
        std::os::unix::fs::symlink(provider, bin.join("terraform-provider-drbd")).unwrap();
        let rc = format!(
            "provider_installation {{\n dev_overrides {{ \"registry.terraform.io/replivol/drbd\" = {:?} }}\n direct {{}}\n}}\n",
            bin.display().to_string()
        );
        std::fs::write(this.path("rc"), rc).unwrap();
        std::fs::create_dir(this.path("work")).unwrap();
        this.set_world(world);
        this.config(config);
        this
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.path("work")
    }

    /// Replaces the configuration, and everything that this file otherwise puts before it.
    pub(crate) fn whole_config(&self, config: &str) {
        std::fs::write(self.path("work/main.tf"), config).unwrap();
    }

    /// Replaces the configuration.
    pub(crate) fn config(&self, config: &str) {
        std::fs::write(self.path("work/main.tf"), format!("{HEAD}{config}")).unwrap();
    }

    pub(crate) fn run(&self, args: &[&str]) -> Said {
        let output = self.command(args).output().unwrap();
        said(&output)
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("terraform");
        command
            .args(args)
            .current_dir(self.work())
            .env("TF_CLI_CONFIG_FILE", self.path("rc"))
            .env("DRBD_SIMULATION", self.path("world.json"))
            .env("CHECKPOINT_DISABLE", "1")
            .env("TF_IN_AUTOMATION", "1")
            .env("NO_COLOR", "1")
            .env_remove("TF_LOG");
        command
    }

    pub(crate) fn apply(&self) -> Said {
        self.run(&["apply", "-auto-approve", "-no-color", "-input=false"])
    }

    pub(crate) fn destroy(&self) -> Said {
        self.run(&["destroy", "-auto-approve", "-no-color", "-input=false"])
    }

    /// Exit code 2 is a plan with changes.
    pub(crate) fn plan(&self) -> Said {
        self.run(&["plan", "-no-color", "-input=false", "-detailed-exitcode"])
    }

    #[track_caller]
    pub(crate) fn plan_is_empty(&self) {
        let said = self.plan();
        assert_eq!(said.code, 0, "the plan is not empty:\n{}", said.text);
    }

    /// The actions of a plan, by address, without those that do nothing.
    #[track_caller]
    pub(crate) fn planned(&self) -> Vec<(String, Vec<String>)> {
        self.run(&["plan", "-no-color", "-input=false", "-out=plan"]).good();
        let shown: Value = serde_json::from_str(&self.run(&["show", "-json", "plan"]).good().text).unwrap();
        let texts = |value: &Value| -> Vec<String> {
            value.as_array().unwrap().iter().map(|v| v.as_str().unwrap().to_owned()).collect()
        };
        let changes = shown["resource_changes"].as_array().cloned().unwrap_or_default();
        let all = changes
            .iter()
            .map(|c| (c["address"].as_str().unwrap().to_owned(), texts(&c["change"]["actions"])));
        all.filter(|(_, actions)| *actions != ["no-op"]).collect()
    }

    /// Attributes of a resource in the state; null when it is not there.
    pub(crate) fn state(&self, address: &str) -> Value {
        self.instance(address)["values"].clone()
    }

    /// A resource of the state as `terraform show -json` has it.
    pub(crate) fn instance(&self, address: &str) -> Value {
        let shown: Value = serde_json::from_str(&self.run(&["show", "-json"]).good().text).unwrap();
        let resources = shown["values"]["root_module"]["resources"].as_array().cloned().unwrap_or_default();
        resources.into_iter().find(|r| r["address"] == address).unwrap_or_default()
    }

    /// The state as terraform stores it.
    pub(crate) fn state_file(&self) -> Value {
        serde_json::from_str(&std::fs::read_to_string(self.path("work/terraform.tfstate")).unwrap()).unwrap()
    }

    /// Puts another state in its place.
    pub(crate) fn set_state_file(&self, text: &str) {
        std::fs::write(self.path("work/terraform.tfstate"), text).unwrap();
    }

    pub(crate) fn world(&self) -> World {
        serde_json::from_str(&std::fs::read_to_string(self.path("world.json")).unwrap()).unwrap()
    }

    /// The hosts, unless they are being written at this moment.
    pub(crate) fn try_world(&self) -> Option<World> {
        serde_json::from_str(&std::fs::read_to_string(self.path("world.json")).ok()?).ok()
    }

    fn set_world(&self, world: &World) {
        std::fs::write(self.path("world.json"), serde_json::to_string(world).unwrap()).unwrap();
    }

    /// Changes the hosts behind terraform's back.
    pub(crate) fn meddle(&self, change: impl FnOnce(&mut World)) {
        let mut world = self.world();
        change(&mut world);
        self.set_world(&world);
    }

    /// A resource on a host; `None` when nothing of it is there.
    pub(crate) fn on_host(&self, host: &str, resource: &str) -> Option<SimulatedResource> {
        let world = self.world();
        let host = world.hosts.values().find(|h| h.node == host).unwrap();
        host.resources.get(resource).cloned()
    }
}

fn said(output: &Output) -> Said {
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    Said { code: output.status.code().unwrap_or(-1), text: String::from_utf8_lossy(&text).into_owned() }
}

/// The host of a node.
pub(crate) fn host<'w>(world: &'w mut World, node: &str) -> &'w mut provider_drbd::simulated::SimulatedHost {
    world.hosts.values_mut().find(|host| host.node == node).unwrap()
}

/// Whether a file somewhere below a directory holds a text.
pub(crate) fn any_file_holds(dir: &Path, text: &str) -> bool {
    std::fs::read_dir(dir).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return any_file_holds(&path, text);
        }
        std::fs::read(&path).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(text))
    })
}
