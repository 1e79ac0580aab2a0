// SPDX-License-Identifier: MPL-2.0
//! Runs `ansible-playbook` against a lab and reads what it says: per task and host the outcome and the module's reply.
//!
//! Not here: what a reply should be. The exception is [`Run::check`], for what holds for every reply of every run.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Map, Value};
use support::{Lab, Output, made, run};
use tempfile::TempDir;

/// Keys that Ansible gives a meaning of its own, so that no reply may use them. (`warnings`, `diff`, `invocation`,
/// `changed`, `failed` and `msg` are used for just what Ansible means by them.)
const RESERVED: [&str; 8] =
    ["rc", "results", "exception", "stdout", "stderr", "ansible_facts", "skipped", "deprecations"];

/// Everything a controller needs: the example as a user has it, with the modules linked, and a home directory.
pub struct Controller {
    home: TempDir,
}

impl Controller {
    /// A copy, because modules beside the checkout's own playbook would be found before any others.
    pub fn new() -> Self {
        let home = tempfile::Builder::new().prefix("ans").tempdir().unwrap();
        let (examples, dir) = (made::checkout().join("examples-ansible"), home.path().join("two-hosts"));
        fs::create_dir_all(dir.join("group_vars")).unwrap();
        for file in ["site.yml", "inventory.yml", "group_vars/drbd.yml"] {
            fs::copy(examples.join("two-hosts").join(file), dir.join(file)).unwrap();
        }
        let program = made::dist("drbd-host").unwrap();
        run(Command::new(examples.join("make-library")).arg(&dir).arg(program)).unwrap().ok().unwrap();
        // Nothing of this machine's own Ansible configuration.
        fs::write(home.path().join("ansible.cfg"), "").unwrap();
        Self { home }
    }

    /// The same, for hosts that have the program: the modules are scripts that call it.
    pub fn for_installed() -> Self {
        let controller = Self::new();
        let script = made::checkout().join("examples-ansible/make-library");
        run(Command::new(script).arg("--installed").arg(controller.dir())).unwrap().ok().unwrap();
        controller
    }

    fn dir(&self) -> PathBuf {
        self.home.path().join("two-hosts")
    }

    /// The names of the linked modules.
    pub fn modules(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir().join("library")).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// A file beside the example's.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// The example's playbook.
    pub fn example(&self, lab: &Lab, arguments: &[&str]) -> Run {
        self.play(lab, &self.dir().join("site.yml"), arguments)
    }

    /// A playbook on the example's inventory.
    pub fn play(&self, lab: &Lab, playbook: &Path, arguments: &[&str]) -> Run {
        let mut command = Command::new(made::ansible("ansible-playbook").unwrap());
        command
            .arg("--inventory")
            .arg(self.dir().join("inventory.yml"))
            .arg(playbook)
            .args(arguments)
            .env("SSH_CONFIG", lab.ssh_config())
            .env("HOME", self.home.path())
            .env("ANSIBLE_CONFIG", self.home.path().join("ansible.cfg"))
            .env("ANSIBLE_NOCOLOR", "1")
            // Short: a socket's path has room for about a hundred characters.
            .env("ANSIBLE_SSH_CONTROL_PATH_DIR", self.home.path().join("c"))
            .env("ANSIBLE_SSH_ARGS", "-C -o ControlMaster=auto -o ControlPersist=5s");
        if !arguments.iter().any(|argument| argument.starts_with("-v")) {
            command.arg("-v");
        }
        Run::read(run(&mut command).unwrap())
    }
}

/// One task on one host.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub task: String,
    pub host: String,
    pub reply: Value,
}

/// One run of `ansible-playbook`.
#[derive(Debug)]
pub struct Run {
    pub output: Output,
    pub outcomes: Vec<Outcome>,
    /// Host → (ok, changed, failed, unreachable).
    pub recap: BTreeMap<String, [usize; 4]>,
}

impl Run {
    fn read(output: Output) -> Self {
        let mut task = String::new();
        let (mut outcomes, mut recap) = (Vec::new(), BTreeMap::new());
        let mut lines = output.stdout.lines();
        while let Some(line) = lines.next() {
            let mut line = line.to_owned();
            // From -vvv on a reply is spread over lines, and ends with a brace in the first column.
            if line.ends_with(" => {") {
                line.extend(lines.by_ref().take_while(|next| *next != "}"));
                line.push('}');
            }
            if let Some(rest) = line.strip_prefix("TASK [") {
                rest.split(']').next().unwrap_or_default().clone_into(&mut task);
            } else if let Some((head, counts)) = line.split_once(" : ok=") {
                recap.insert(head.trim().to_owned(), counters(&format!("ok={counts}")));
            } else if let Some(outcome) = outcome(&task, &line) {
                outcomes.push(outcome);
            }
        }
        let run = Self { output, outcomes, recap };
        run.check();
        run
    }

    /// What every reply must keep to.
    fn check(&self) {
        for Outcome { reply, .. } in &self.outcomes {
            // What comes out of the background has keys of Ansible's own wrapper added to it.
            let ours = |members: &&Map<String, Value>| {
                members.contains_key("drbd_host") && !members.contains_key("ansible_job_id")
            };
            let Some(members) = reply.as_object().filter(ours) else { continue };
            let bad: Vec<_> = members
                .keys()
                .filter(|key| RESERVED.contains(&key.as_str()) || key.starts_with("_ansible_"))
                .collect();
            assert!(bad.is_empty(), "reserved keys {bad:?} in {reply}");
            assert_eq!(reply["schema"], "drbd-host/reply/1");
        }
        assert!(!self.output.stderr.contains("junk after the JSON"), "{}", self.output.stderr);
    }

    /// The run ended well everywhere.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert!(self.output.success(), "{}\n{}", self.output.stdout, self.output.stderr);
        assert!(
            self.recap.values().all(|[_, _, failed, unreachable]| failed + unreachable == 0),
            "{:?}",
            self.recap
        );
        assert!(!self.outcomes.is_empty(), "{}", self.output.stdout);
        self
    }

    /// How many tasks changed a host.
    #[track_caller]
    pub fn changed(&self, host: &str) -> usize {
        self.recap.get(host).unwrap_or_else(|| panic!("{host} is not in {:?}", self.recap))[1]
    }

    /// The reply of a host to the task whose name contains `task`.
    #[track_caller]
    pub fn reply(&self, task: &str, host: &str) -> &Value {
        let found = self.outcomes.iter().find(|outcome| outcome.task.contains(task) && outcome.host == host);
        &found.unwrap_or_else(|| panic!("no task {task:?} on {host} in\n{}", self.output.stdout)).reply
    }

    /// The steps of all tasks of one module on a host: name, summary, commands; in order.
    pub fn steps(&self, module: &str, host: &str) -> Vec<(String, String, Value)> {
        let replies = self.outcomes.iter().filter(|o| o.host == host && o.reply["module"] == module);
        let actions =
            replies.flat_map(|outcome| outcome.reply["actions"].as_array().cloned().unwrap_or_default());
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        actions.map(|a| (text(&a["step"]), text(&a["summary"]), a["argv"].clone())).collect()
    }
}

fn counters(text: &str) -> [usize; 4] {
    let count = |name: &str| {
        let word = text.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        word.and_then(|number| number.parse().ok()).unwrap_or(0)
    };
    [count("ok"), count("changed"), count("failed"), count("unreachable")]
}

/// `changed: [h1] => {...}`, `fatal: [h1]: FAILED! => {...}`, `ok: [h1] => (item=x) => {...}`
fn outcome(task: &str, line: &str) -> Option<Outcome> {
    let (head, reply) = line.split_once(" => ")?;
    let (_word, host) = head.split_once(": [")?;
    let host = host.split([']', ' ']).next()?;
    let reply = reply.get(reply.find('{')?..)?;
    Some(Outcome { task: task.to_owned(), host: host.to_owned(), reply: serde_json::from_str(reply).ok()? })
}
