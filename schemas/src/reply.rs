// SPDX-License-Identifier: MPL-2.0
//! What comes back: exactly one object per run.
//!
//! No key that Ansible gives a meaning of its own is used for anything else (`rc`, `results`, `exception`,
//! `_ansible_*`; read in ansible-core 2.14 to 2.21, `plugins/action/__init__.py`).

use crate::facts::{HostFacts, ResourceFacts};
use crate::invalid::Violation;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of this document; changes are additive within it.
pub const SCHEMA: &str = "drbd-host/reply/1";

/// The answer of a module.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Reply {
    /// [`SCHEMA`]
    pub schema: String,
    /// Version of the program.
    pub drbd_host: String,
    /// Something was changed, or would be in check mode.
    pub changed: bool,
    /// The run failed or was refused.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub failed: bool,
    /// One or two sentences: what was done; or what was found, what was not touched.
    pub msg: String,
    /// A stable code for programs: `ok`, or the kind of failure.
    pub code: Code,
    /// The module that ran.
    pub module: String,
    /// What `uname -n` prints on this host.
    pub node: String,
    /// The resource (or volume group) that it was about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// Nothing was changed, because check mode was asked for.
    pub check_mode: bool,
    /// The plan, step by step, and what became of it.
    pub actions: Vec<Action>,
    /// What the declaration still asks for and this run could not do alone: waiting for peers, mostly.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<Pending>,
    /// The resource before the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<ResourceFacts>,
    /// The resource after the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<ResourceFacts>,
    /// What changes, for reading; present in diff mode.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub diff: Vec<Diff>,
    /// The facts of the host (`drbd_info`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<HostFacts>,
    /// How the host compares with the declarations that were given (`drbd_info`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declared: Option<Declared>,
    /// The evidence on which a decision was taken, in sentences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub facts_used: Vec<String>,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub next_steps: Vec<String>,
    /// Things to know that are no failure.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// What is wrong with the input, all at once (`code: invalid`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub violations: Vec<Violation>,
}

/// How a host compares with declarations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Declared {
    /// The resources that are declared for this host.
    pub resources: BTreeMap<String, DeclaredResource>,
    /// The storage pools, by the names that were given.
    pub storage_pools: BTreeMap<String, DeclaredPool>,
    /// Resources that are to be absent and are still here.
    pub absent: Vec<String>,
    /// Resources that drbd-host made here, and that no declaration gives to this host.
    pub undeclared: Vec<String>,
}

/// How one resource compares with its declaration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeclaredResource {
    /// `drbd_resource` would do nothing, and waits for nothing.
    pub as_declared: bool,
    /// It is up, its disks here have good data, and all its peers are connected.
    pub good: bool,
    /// What is not so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// How one storage pool compares with its declaration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeclaredPool {
    /// `drbd_storage_pool` would do nothing.
    pub as_declared: bool,
    /// What is not so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Who must act, and about what. Stable: programs may branch on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// Done, or nothing to do.
    #[default]
    Ok,
    /// The input is not allowed; see `violations`.
    Invalid,
    /// The host's name is not in the declaration.
    WrongHost,
    /// A device holds something that is not ours.
    ForeignData,
    /// A device cannot be read, or its state cannot be told.
    Unreadable,
    /// A device or volume group that must exist is missing.
    Missing,
    /// A device, volume group or pool is too small.
    TooSmall,
    /// A smaller size was asked for.
    Shrink,
    /// A device or resource is in use.
    InUse,
    /// A name, port or minor belongs to something else.
    Taken,
    /// The change would lose data or the last good copy; it needs a consent.
    ConsentNeeded,
    /// This host's DRBD cannot do what is declared.
    Unsupported,
    /// The kernel module, a program, or a permission is missing.
    Environment,
    /// The host's existing DRBD configuration cannot be read.
    BrokenConfig,
    /// Another run holds the lock.
    Locked,
    /// A step failed; the actions say which and how.
    StepFailed,
    /// After all steps the host is still not as declared.
    NotConverged,
    /// A deadline passed.
    TimedOut,
    /// Split brain: both sides have data that the other lacks.
    SplitBrain,
    /// Evidence is missing or does not suffice.
    Evidence,
    /// The nodes were declared differently: another node-id, address or option for the same resource.
    Disagreement,
    /// The replicas differ (`drbd_verify`).
    OutOfSync,
    /// A peer's replication port cannot be reached, or not from there (`drbd_ports`).
    PortBlocked,
    /// The run was interrupted.
    Interrupted,
    /// A defect of this program.
    Bug,
}

/// What a step puts at risk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Risk {
    /// Nothing.
    #[default]
    None,
    /// Replication or availability for a while.
    Disruptive,
    /// Data; such a step has a consent, or the proof that there is none.
    Destructive,
}

/// One step of a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Action {
    /// 1, 2, 3 …
    pub seq: u32,
    /// The step's name: `create_metadata`.
    pub step: String,
    /// What it does to what, in one line.
    pub summary: String,
    /// Why it is needed.
    pub why: String,
    /// What it means: bytes to synchronise, a pause of I/O, data at risk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consequence: Option<String>,
    /// What it puts at risk.
    pub risk: Risk,
    /// The commands, as argument vectors.
    pub argv: Vec<Vec<String>>,
    /// What became of it.
    pub state: ActionState,
    /// How long it took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// How the failing command ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<String>,
    /// The last lines of its standard error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stderr_tail: Option<String>,
}

/// What became of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActionState {
    /// It would be done (check mode), or was not reached.
    #[default]
    Planned,
    /// It was done.
    Done,
    /// It was not reached, because an earlier step failed.
    Skipped,
    /// It failed.
    Failed,
}

/// Something that is declared but cannot be done by this host alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pending {
    /// What: `grow volume 0 to 128MiB`.
    pub what: String,
    /// What it waits for.
    pub waits_for: String,
}

/// One difference, in the form in which Ansible renders it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Diff {
    /// Title of the old side.
    pub before_header: String,
    /// Title of the new side.
    pub after_header: String,
    /// The old text.
    pub before: String,
    /// The new text.
    pub after: String,
}

#[cfg(test)]
mod tests {
    use crate::export;

    /// What Ansible reads, renames or strips in a module's answer (ansible-core 2.14 to 2.21, `plugins/action/__init__.py`).
    /// Those in the second list are
    /// used here, and for what Ansible means by them.
    const ANSIBLES: [&str; 18] = [
        "rc",
        "results",
        "exception",
        "skipped",
        "unreachable",
        "ansible_facts",
        "ansible_job_id",
        "deprecations",
        "stdout",
        "stderr",
        "stdout_lines",
        "stderr_lines",
        "attempts",
        "retries",
        "start",
        "end",
        "delta",
        "cmd",
    ];
    const MEANT: [&str; 5] = ["changed", "failed", "msg", "diff", "warnings"];

    #[test]
    fn no_key_has_a_meaning_of_ansibles_own() {
        let schema = export::files().into_iter().find(|(name, _)| name == "reply.schema.json").unwrap().1;
        let properties = schema["properties"].as_object().unwrap();
        for key in properties.keys() {
            assert!(!ANSIBLES.contains(&key.as_str()) && !key.starts_with("_ansible"), "{key}");
            assert!(
                properties[key]["description"].is_string() || properties[key]["$ref"].is_string(),
                "{key} is not described"
            );
        }
        assert!(MEANT.iter().all(|key| properties.contains_key(*key)));
        let types = |key: &str| properties[key]["type"].clone();
        assert_eq!(
            (types("changed"), types("failed"), types("msg")),
            ("boolean".into(), "boolean".into(), "string".into())
        );
        assert_eq!((types("diff"), types("warnings")), ("array".into(), "array".into()));
    }
}
