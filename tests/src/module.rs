// SPDX-License-Identifier: MPL-2.0
//! Calls of the shipped `drbd-host` on hosts of the lab, the declarations that tests start from, and looks at a host
//! that do not go through the product: its files, its disks, its kernel.
//!
//! Every call checks the contract that holds for all of them: one JSON object on standard output, nothing on standard
//! error, exit code 0 exactly when it did not fail. Not here: what a test expects of one call.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::thread;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use crate::lab::Lab;
use crate::made;
use crate::process::{self, Output};

/// Where the binary is on the hosts.
pub const PATH: &str = "/usr/local/bin/drbd-host";

/// Copy the binary to hosts 1 to `hosts`.
///
/// # Errors
/// When `make build` has not made it, or a host does not take it.
pub fn install(lab: &Lab, hosts: usize) -> Result<()> {
    let binary = fs::read(made::dist("drbd-host")?)?;
    for host in 1..=hosts {
        // On its disk, so that it outlives a power cut.
        lab.ssh_with_input(host, &format!("cat >{PATH} && chmod 755 {PATH} && sync"), &binary)?.ok()?;
    }
    Ok(())
}

/// The answer of one call.
#[derive(Debug, Clone)]
pub struct Reply(pub Value);

impl Reply {
    /// The contract, checked on what a process left whose standard error went where its standard output goes: ssh has
    /// a standard error of its own.
    ///
    /// # Errors
    /// When it is broken; the message shows everything.
    pub fn from_output(output: &Output) -> Result<Self> {
        let value: Value =
            serde_json::from_str(&output.stdout).with_context(|| format!("no JSON: {output:?}"))?;
        ensure!(value.is_object(), "not an object: {output:?}");
        ensure!(output.stdout.trim_end().lines().count() == 1, "more than one line: {output:?}");
        let failed = value.get("failed").and_then(Value::as_bool).unwrap_or(false);
        ensure!(output.code == Some(i32::from(failed)), "the exit code does not fit: {output:?}");
        ensure!(failed == (value.get("code") != Some(&json!("ok"))), "code and failed differ: {output:?}");
        Ok(Self(value))
    }

    /// The same, of a call that must succeed.
    ///
    /// # Panics
    /// When it failed.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert!(!self.failed(), "{:#}", self.0);
        self
    }

    /// The same, of a call that must fail with this code, with something to do next.
    ///
    /// # Panics
    /// When it did not.
    #[track_caller]
    pub fn refused(self, code: &str) -> Self {
        assert!(self.failed() && self.code() == code, "expected {code}: {:#}", self.0);
        assert!(code == "invalid" || !self.next_steps().is_empty(), "nothing to do next: {:#}", self.0);
        self
    }

    /// Whether it failed.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.0.get("failed").and_then(Value::as_bool).unwrap_or(false)
    }

    /// Whether something was changed.
    #[must_use]
    pub fn changed(&self) -> bool {
        self.0.get("changed").and_then(Value::as_bool).unwrap_or(false)
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &str {
        self.0.get("code").and_then(Value::as_str).unwrap_or_default()
    }

    /// The message.
    #[must_use]
    pub fn msg(&self) -> &str {
        self.0.get("msg").and_then(Value::as_str).unwrap_or_default()
    }

    /// Names of the steps, each with what became of it: `create_lv done`.
    #[must_use]
    pub fn steps(&self) -> Vec<String> {
        let actions = self.0.get("actions").and_then(Value::as_array).cloned().unwrap_or_default();
        let word = |action: &Value, key: &str| {
            action.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        actions.iter().map(|action| format!("{} {}", word(action, "step"), word(action, "state"))).collect()
    }

    /// The actions without what only a real run knows: how each ended, and how long it took.
    #[must_use]
    pub fn planned(&self) -> Value {
        let mut actions = self.0.get("actions").cloned().unwrap_or_default();
        for action in actions.as_array_mut().into_iter().flatten() {
            if let Some(members) = action.as_object_mut() {
                members.remove("duration_ms");
                members.remove("state");
            }
        }
        actions
    }

    /// What to do next.
    #[must_use]
    pub fn next_steps(&self) -> Vec<&str> {
        let steps = self.0.get("next_steps").and_then(Value::as_array);
        steps.into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// The consent that the answer offers, if it offers one: what stands in quotes in `consent: ["..."]`.
    #[must_use]
    pub fn token(&self) -> Option<String> {
        let all = self.0.to_string().replace("\\\"", "\"");
        let rest = all.split("consent: [\"").nth(1)?;
        Some(rest.split('"').next()?.to_owned())
    }
}

/// Run a module on a host.
///
/// # Errors
/// When the contract is broken.
pub fn call(lab: &Lab, host: usize, module: &str, arguments: &Value) -> Result<Reply> {
    let output =
        lab.ssh_with_input(host, &format!("{PATH} {module} 2>&1"), arguments.to_string().as_bytes())?;
    Reply::from_output(&output).with_context(|| format!("{module} on h{host}"))
}

/// Check mode, which must change nothing on the host; then the run from the same start, which must do what was foretold;
/// then a second one, which must find nothing to do. The reply of the run.
///
/// # Errors
/// When the contract is broken, or a host cannot be looked at.
///
/// # Panics
/// When any of it is not so.
#[track_caller]
pub fn as_planned(lab: &Lab, host: usize, module: &str, arguments: &Value) -> Result<Reply> {
    let before = Snapshot::of(lab, host)?;
    let check = json!({ "_ansible_check_mode": true, "_ansible_diff": true });
    let planned = call(lab, host, module, &with(arguments, &check))?.ok();
    let changes = before.changes(&Snapshot::of(lab, host)?);
    assert!(changes.is_empty(), "check mode changed h{host}: {changes:#?}");
    let done = call(lab, host, module, arguments)?.ok();
    assert_eq!(planned.planned(), done.planned());
    assert_eq!(planned.changed(), done.changed());
    let again = call(lab, host, module, arguments)?.ok();
    assert!(!again.changed() && again.steps().is_empty(), "{:#}", again.0);
    Ok(done)
}

/// Run a module on hosts 1 and 2 at the same time.
///
/// # Errors
/// When the contract is broken.
pub fn call_both(lab: &Lab, module: &str, arguments: &Value) -> Result<[Reply; 2]> {
    let (one, other) = thread::scope(|scope| {
        let other = scope.spawn(|| call(lab, 2, module, arguments));
        (call(lab, 1, module, arguments), other.join())
    });
    let Ok(other) = other else { bail!("the call on h2 panicked") };
    Ok([one?, other?])
}

/// The value with some members set.
#[must_use]
pub fn with(base: &Value, members: &Value) -> Value {
    let mut value = base.clone();
    if let (Some(object), Some(members)) = (value.as_object_mut(), members.as_object()) {
        object.extend(members.clone());
    }
    value
}

/// Arguments of `drbd_storage_pool`: group vg0 with the thin pool `pool` on /dev/ubdb.
#[must_use]
pub fn pool() -> Value {
    json!({ "volume_group": "vg0", "thin_pool": "pool", "disks": ["/dev/ubdb"] })
}

/// A thin volume in [`pool`].
#[must_use]
pub fn thin() -> Value {
    json!({ "lvm_thin": { "volume_group": "vg0", "thin_pool": "pool" } })
}

/// The declaration of resource `r0` on h1 and h2: minor 1000, port 7000, 48 MiB, on this storage.
#[must_use]
pub fn r0(lab: &Lab, storage: &Value) -> Value {
    let node = |host: usize| json!({ "node_id": host - 1, "address": lab.address(host), "storage": storage });
    json!({
        "name": "r0", "port": 7000, "nodes": { "h1": node(1), "h2": node(2) },
        "volumes": { "0": { "minor": 1000, "size": "48MiB" } },
    })
}

/// Facts of hosts 1 and 2, as evidence.
///
/// # Errors
/// When the contract is broken, or a host gives none.
pub fn evidence(lab: &Lab) -> Result<Value> {
    let [one, other] = call_both(lab, "drbd_info", &json!({}))?;
    let facts = |reply: &Reply| reply.0.get("facts").cloned().with_context(|| format!("no facts: {reply:?}"));
    Ok(json!([facts(&one)?, facts(&other)?]))
}

/// Wait for a condition of r0 on h1.
///
/// # Errors
/// When the contract is broken, or it does not come true in time.
pub fn wait(lab: &Lab, condition: &str) -> Result<()> {
    let arguments = json!({ "name": "r0", "condition": condition, "timeout": 150 });
    let reply = call(lab, 1, "drbd_wait", &arguments)?;
    ensure!(!reply.failed(), "{reply:?}");
    Ok(())
}

/// Bring a declared resource up on both hosts, from nothing to UpToDate.
///
/// # Errors
/// When any of it fails.
pub fn bring_up(lab: &Lab, declaration: &Value) -> Result<()> {
    for reply in call_both(lab, "drbd_resource", declaration)? {
        ensure!(!reply.failed(), "{:#}", reply.0);
    }
    wait(lab, "connected")?;
    let arguments = with(declaration, &json!({ "evidence": evidence(lab)? }));
    let reply = call(lab, 1, "drbd_initial_sync", &arguments)?;
    ensure!(!reply.failed(), "{:#}", reply.0);
    wait(lab, "all_up_to_date")
}

/// Make both hosts' storage pools.
///
/// # Errors
/// When one cannot be made.
pub fn pools(lab: &Lab) -> Result<()> {
    for reply in call_both(lab, "drbd_storage_pool", &pool())? {
        ensure!(!reply.failed(), "{:#}", reply.0);
    }
    Ok(())
}

/// Write 8 MiB of noise to r0's device on a host, which is Secondary before and after; the noise's checksum.
///
/// # Errors
/// When it cannot be written.
pub fn write_noise(lab: &Lab, host: usize) -> Result<String> {
    lab.sh(
        host,
        "drbdadm primary r0 && head -c 8388608 /dev/urandom >/tmp/noise && \
         dd if=/tmp/noise of=/dev/drbd1000 bs=1M oflag=direct status=none && drbdadm secondary r0 && sha256sum </tmp/noise",
    )
}

/// The checksum of the first 8 MiB of r0's device on a host, which is Secondary before and after.
///
/// # Errors
/// When they cannot be read.
pub fn read_noise(lab: &Lab, host: usize) -> Result<String> {
    lab.sh(
        host,
        "drbdadm primary r0 && head -c 8388608 /dev/drbd1000 | sha256sum; s=$?; drbdadm secondary r0; exit $s",
    )
}

/// Everything of a host that a run could change, one line for each thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot(BTreeSet<String>);

impl Snapshot {
    /// Looks at a host: names, owners, modes and times of change of all files of `/etc`, `/var` and `/usr/local` (no
    /// write goes unseen: the kernel sets that time); device-mapper tables, modules, mounts and swap; checksums of its
    /// disks from outside, after it wrote back what it had in memory.
    ///
    /// # Errors
    /// When the host cannot be looked at.
    pub fn of(lab: &Lab, host: usize) -> Result<Self> {
        let inside = lab.sh(
            host,
            "find /etc /var /usr/local -xdev -path /var/log -prune -o -printf '%p %m %u %s %C@\\n'; \
             dmsetup table; cut -d' ' -f1 /proc/modules; cut -d' ' -f3-5 /proc/self/mountinfo; \
             cat /proc/swaps /proc/partitions; sync",
        )?;
        let mut lines: BTreeSet<String> = inside.lines().map(str::to_owned).collect();
        let mut command = Command::new("sha256sum");
        command.args((1..).map(|disk| lab.disk_image(host, disk)).take_while(|image| image.exists()));
        lines.extend(process::run(&mut command)?.ok()?.lines().map(str::to_owned));
        Ok(Self(lines))
    }

    /// What is in one of the two only, marked `-` (this) or `+` (the later one).
    #[must_use]
    pub fn changes(&self, later: &Self) -> Vec<String> {
        let gone = self.0.difference(&later.0).map(|line| format!("- {line}"));
        gone.chain(later.0.difference(&self.0).map(|line| format!("+ {line}"))).collect()
    }
}

/// Stands before the tools in the product's search path: notes every call that `drbd-host` makes, and kills it with
/// SIGKILL at a chosen one. Calls that the tools make among themselves pass through.
const SPY: &str = r#"#!/bin/bash
tool=${0##*/} real=/usr/sbin/${0##*/}
[ -x "$real" ] || real=/usr/bin/$tool
[ "$(cat /proc/$PPID/comm)" = drbd-host ] || exec "$real" "$@"
echo "$tool $*" >>/run/spy/calls
at=$(wc -l </run/spy/calls) kill=$(cat /run/spy/kill 2>/dev/null)
if [ "$kill" = "before $at" ]; then
	kill -KILL $PPID
	exit 1
fi
if [ "$kill" = "after $at" ]; then
	"$real" "$@"
	code=$?
	kill -KILL $PPID
	exit $code
fi
exec "$real" "$@"
"#;

/// Put the spy before the tools of a host.
///
/// # Errors
/// When the host does not take it.
pub fn spy(lab: &Lab, host: usize) -> Result<()> {
    lab.write(host, "/usr/local/sbin/spy", SPY.as_bytes())?;
    lab.sh(
        host,
        "mkdir -p /run/spy && cd /usr/local/sbin && chmod 755 spy && \
         for tool in lvm drbdadm drbdsetup drbdmeta blkid wipefs modprobe modinfo; do ln -sf spy $tool; done",
    )
    .map(drop)
}

/// The calls that the product made on a host since the last look.
///
/// # Errors
/// When the host cannot be looked at.
pub fn spied(lab: &Lab, host: usize) -> Result<Vec<String>> {
    let calls = lab.sh(host, "cat /run/spy/calls 2>/dev/null; rm -f /run/spy/calls")?;
    Ok(calls.lines().map(str::to_owned).collect())
}

/// Whether a call changes nothing on a host. What is not known to be harmless is not.
#[must_use]
pub fn only_reads(call: &str) -> bool {
    let words: Vec<&str> = call.split(' ').collect();
    match words.as_slice() {
        ["drbdsetup", verb, ..] => ["events2", "show", "status"].contains(verb),
        ["drbdadm", "-c", _, "-d", "adjust" | "up", _]
        | ["drbdadm", "-c", _, "sh-nop"]
        | ["drbdadm", "-d", "adjust", ..] => true,
        ["drbdadm", verb, ..] => ["--version", "get-gi"].contains(verb),
        ["drbdmeta", .., "get-gi"] | ["drbdmeta", .., "get-gi", _] => true,
        ["lvm", verb, ..] => ["fullreport", "config", "lvmconfig"].contains(verb),
        ["blkid", "-p", ..] | ["modinfo", ..] => true,
        _ => false,
    }
}
