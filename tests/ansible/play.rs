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

/// Everything a controller needs: the collection as a user installs it, the example, and a home directory.
pub struct Controller {
    home: TempDir,
    /// Which installation of Ansible.
    installation: &'static str,
}

impl Controller {
    /// With the Ansible that most tests use.
    pub fn new() -> Self {
        Self::with("ansible")
    }

    /// With one of the installations that [`made::ansible_of`] knows.
    pub fn with(installation: &'static str) -> Self {
        let controller = Self::without_collection(installation);
        let mut galaxy = controller
            .command("ansible-galaxy", &["collection", "install", "--offline", "--collections-path"]);
        galaxy.arg(controller.collections()).arg(made::collection().unwrap());
        run(&mut galaxy).unwrap().ok().unwrap();
        controller
    }

    /// With the example, and with no module that it could call.
    pub fn without_collection(installation: &'static str) -> Self {
        let home = tempfile::Builder::new().prefix("ans").tempdir().unwrap();
        let (examples, dir) = (made::checkout().join("examples-ansible"), home.path().join("two-hosts"));
        fs::create_dir_all(dir.join("group_vars")).unwrap();
        for file in ["install.yml", "site.yml", "inventory.yml", "group_vars/drbd.yml"] {
            fs::copy(examples.join("two-hosts").join(file), dir.join(file)).unwrap();
        }
        // Nothing of this machine's own Ansible configuration.
        fs::write(home.path().join("ansible.cfg"), "").unwrap();
        Self { home, installation }
    }

    pub fn dir(&self) -> PathBuf {
        self.home.path().join("two-hosts")
    }

    fn collections(&self) -> PathBuf {
        self.home.path().join("collections")
    }

    /// A file of the installed collection.
    pub fn installed(&self, name: &str) -> PathBuf {
        self.collections().join("ansible_collections/replivol/drbd").join(name)
    }

    /// A program of Ansible that sees this controller's files only.
    pub fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(made::ansible_of(self.installation, program).unwrap());
        command
            .args(arguments)
            .env("HOME", self.home.path())
            .env("ANSIBLE_CONFIG", self.home.path().join("ansible.cfg"))
            .env("ANSIBLE_COLLECTIONS_PATH", self.collections())
            .env("ANSIBLE_NOCOLOR", "1");
        command
    }

    /// The example's playbook that puts the program on the hosts.
    pub fn install(&self, lab: &Lab, arguments: &[&str]) -> Run {
        self.play(lab, &self.dir().join("install.yml"), arguments)
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
        let mut command = self.command("ansible-playbook", arguments);
        command
            .arg("--inventory")
            .arg(self.dir().join("inventory.yml"))
            .arg(playbook)
            .env("SSH_CONFIG", lab.ssh_config())
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

    /// How many times Ansible went to a host with ssh; known from -vvv on.
    pub fn executions(&self) -> usize {
        self.output.stdout.matches("SSH: EXEC").count()
    }

    /// The same for one task, by the whole of its name.
    pub fn executions_of(&self, task: &str) -> usize {
        let tasks = self.output.stdout.split("\nTASK [");
        let of = tasks.filter(|text| text.starts_with(&format!("{task}]")));
        of.map(|text| text.matches("SSH: EXEC").count()).sum()
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
