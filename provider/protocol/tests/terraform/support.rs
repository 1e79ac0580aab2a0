// SPDX-License-Identifier: MPL-2.0
//! Drives the real Terraform CLI against the fixture provider: one directory, one state and one world for each
//! test. Nothing here decides what is right.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

/// The fixture provider, built as an example beside the tests.
pub(crate) fn fixture() -> PathBuf {
    let test = std::env::current_exe().expect("the test knows its own path");
    let profile = test.parent().and_then(Path::parent).expect("tests are in <profile>/deps");
    let path = profile.join("examples/fixture");
    assert!(
        path.exists(),
        "{} is missing: run `cargo build -p tfplugin --example fixture` first",
        path.display()
    );
    path
}

/// One line of the fixture's own record.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) micros: u64,
    pub(crate) process: u32,
    pub(crate) text: String,
}

/// What a Terraform command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) text: String,
}

impl Said {
    /// The text with line breaks and box drawing taken out, to look for sentences in.
    pub(crate) fn flat(&self) -> String {
        let words = self.text.split_whitespace().filter(|word| !matches!(*word, "│" | "╷" | "╵"));
        words.collect::<Vec<_>>().join(" ")
    }

    #[track_caller]
    pub(crate) fn contains(&self, sentence: &str) -> &Said {
        assert!(self.flat().contains(sentence), "{sentence:?} is not in:\n{}", self.text);
        self
    }

    #[track_caller]
    pub(crate) fn lacks(&self, sentence: &str) -> &Said {
        assert!(!self.flat().contains(sentence), "{sentence:?} is in:\n{}", self.text);
        self
    }
}

/// A directory with a configuration, a state and a world of notes.
pub(crate) struct Workspace {
    dir: tempfile::TempDir,
    variables: Vec<(String, String)>,
}

const HEAD: &str = r#"
terraform {
  required_providers {
    fixture = { source = "test/fixture" }
  }
}
"#;

impl Workspace {
    /// A workspace with the provider configured and `hcl` below it.
    pub(crate) fn new(hcl: &str) -> Workspace {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for name in ["bin", "world", "work"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        std::os::unix::fs::symlink(fixture(), dir.path().join("bin/terraform-provider-fixture")).unwrap();
        let bin = dir.path().join("bin").display().to_string();
        let rc = format!(
            "provider_installation {{\n  dev_overrides {{ \"test/fixture\" = {bin:?} }}\n  direct {{}}\n}}\n"
        );
        fs::write(dir.path().join("rc"), rc).unwrap();
        let workspace = Workspace { dir, variables: Vec::new() };
        workspace.configure(hcl);
        workspace
    }

    /// Replaces the configuration.
    pub(crate) fn configure(&self, hcl: &str) {
        let world = self.world().display().to_string();
        self.write("main.tf", &format!("{HEAD}\nprovider \"fixture\" {{ dir = {world:?} }}\n{hcl}\n"));
    }

    /// Writes a file of the configuration's directory.
    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.work().join(name), text).unwrap();
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.unset(name);
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    pub(crate) fn unset(&mut self, name: &str) {
        self.variables.retain(|(known, _)| known != name);
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    pub(crate) fn world(&self) -> PathBuf {
        self.dir.path().join("world")
    }

    fn events_file(&self) -> PathBuf {
        self.dir.path().join("events")
    }

    /// What the provider processes were asked since [`Workspace::forget_events`].
    pub(crate) fn events(&self) -> Vec<Event> {
        let text = fs::read_to_string(self.events_file()).unwrap_or_default();
        let parse = |line: &str| {
            let mut parts = line.splitn(3, ' ');
            let micros = parts.next()?.parse().ok()?;
            let process = parts.next()?.parse().ok()?;
            Some(Event { micros, process, text: parts.next()?.to_owned() })
        };
        text.lines().map(|line| parse(line).unwrap_or_else(|| panic!("not an event: {line}"))).collect()
    }

    pub(crate) fn forget_events(&self) {
        let _ = fs::remove_file(self.events_file());
    }

    /// How many events begin with `text`.
    pub(crate) fn count(&self, text: &str) -> usize {
        self.events().iter().filter(|event| event.text.starts_with(text)).count()
    }

    /// Waits until an event begins with `text`.
    pub(crate) fn await_event(&self, text: &str) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.count(text) == 0 {
            assert!(Instant::now() < deadline, "no event {text:?} within a minute: {:?}", self.events());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// A Terraform command, not yet started.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("terraform");
        command.args(arguments).current_dir(self.work()).stdin(Stdio::null());
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.dir.path())
            .env("TMPDIR", std::env::temp_dir())
            .env("TF_CLI_CONFIG_FILE", self.dir.path().join("rc"))
            .env("CHECKPOINT_DISABLE", "1")
            .env("FIXTURE_EVENTS", self.events_file());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts a Terraform command in a process group of its own.
    pub(crate) fn start(&self, arguments: &[&str]) -> Child {
        use std::os::unix::process::CommandExt as _;
        let mut command = self.command(arguments);
        command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap_or_else(|error| panic!("{}", no_terraform(&error)))
    }

    /// Runs a Terraform command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        let output = self.command(arguments).output();
        said(output.unwrap_or_else(|error| panic!("{}", no_terraform(&error))))
    }

    /// Runs a Terraform command that must succeed.
    #[track_caller]
    pub(crate) fn succeed(&self, arguments: &[&str]) -> Said {
        let said = self.run(arguments);
        assert_eq!(said.code, Some(0), "terraform {arguments:?} failed:\n{}\n{:?}", said.text, self.events());
        said
    }

    /// Runs a Terraform command that must fail.
    #[track_caller]
    pub(crate) fn fail(&self, arguments: &[&str]) -> Said {
        let said = self.run(arguments);
        assert_eq!(said.code, Some(1), "terraform {arguments:?} did not fail:\n{}", said.text);
        said
    }

    #[track_caller]
    pub(crate) fn apply(&self) -> Said {
        self.succeed(&["apply", "-auto-approve", "-no-color"])
    }

    #[track_caller]
    pub(crate) fn fail_apply(&self) -> Said {
        self.fail(&["apply", "-auto-approve", "-no-color"])
    }

    /// A plan that must find nothing to do.
    #[track_caller]
    pub(crate) fn nothing_to_do(&self) {
        let said = self.run(&["plan", "-no-color", "-detailed-exitcode"]);
        assert_eq!(said.code, Some(0), "the plan is not empty:\n{}", said.text);
    }

    /// The plan as Terraform tells it to machines.
    #[track_caller]
    pub(crate) fn plan(&self) -> Json {
        self.succeed(&["plan", "-no-color", "-out=plan"]);
        self.json(&["show", "-json", "plan"])
    }

    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str]) -> Json {
        let output = self.command(arguments).stderr(Stdio::null()).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}"))
    }

    /// The stored instance of `address`, with its attributes and status.
    #[track_caller]
    pub(crate) fn instance(&self, address: &str) -> Json {
        let (kind, name) = address.split_once('.').unwrap();
        let found = self.resources().into_iter().find(|r| r["type"] == kind && r["name"] == name);
        let found = found.unwrap_or_else(|| panic!("{address} is not in state: {:?}", self.resources()));
        found["instances"][0].clone()
    }

    pub(crate) fn resources(&self) -> Vec<Json> {
        let text = fs::read_to_string(self.work().join("terraform.tfstate")).unwrap_or_default();
        let state: Json = serde_json::from_str(&text).unwrap_or_default();
        state["resources"].as_array().cloned().unwrap_or_default()
    }

    /// Processes of the fixture that are still alive.
    pub(crate) fn survivors(&self) -> Vec<u32> {
        let mut processes: Vec<u32> = self.events().iter().map(|event| event.process).collect();
        processes.sort_unstable();
        processes.dedup();
        let ours = |id: &u32| {
            let name = fs::read(format!("/proc/{id}/comm")).unwrap_or_default();
            // A zombie has ended; its parent has just not asked yet.
            let status = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
            name.starts_with(b"terraform-provi") && !status.contains(") Z ")
        };
        processes.retain(ours);
        processes
    }
}

pub(crate) fn said(output: Output) -> Said {
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    let _ = write!(text, "{}", String::from_utf8_lossy(&output.stderr));
    Said { code: output.status.code(), text }
}

fn no_terraform(error: &std::io::Error) -> String {
    format!(
        "these tests need the terraform CLI (1.11 or newer) on the PATH, and it cannot be started: {error}"
    )
}

/// The one planned change of `address` in a plan.
#[track_caller]
pub(crate) fn change(plan: &Json, address: &str) -> Json {
    let changes = plan["resource_changes"].as_array().cloned().unwrap_or_default();
    let found = changes.into_iter().find(|change| change["address"] == address);
    found.unwrap_or_else(|| panic!("{address} is not in the plan: {plan}"))["change"].clone()
}
