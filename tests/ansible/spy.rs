// SPDX-License-Identifier: MPL-2.0
//! Writes down every command that a host's tools are called with, so that a test sees what a run really did and not
//! what it says it did.
//!
//! The spies stand in `/usr/local/sbin`, where drbd-host looks first, note their arguments and become the real tool.

use support::Lab;

const TOOLS: [&str; 8] =
    ["drbdadm", "drbdsetup", "drbdmeta", "lvm", "blkid", "wipefs", "modprobe", "modinfo"];
const LOG: &str = "/run/spied";

/// Puts the spies on a host.
pub fn install(lab: &Lab, host: usize) {
    for tool in TOOLS {
        let real = lab.sh(host, &format!("command -v {tool}")).unwrap();
        let script = format!("#!/bin/sh\necho \"{tool} $*\" >>{LOG}\nexec {} \"$@\"\n", real.trim());
        lab.write(host, &format!("/usr/local/sbin/{tool}"), script.as_bytes()).unwrap();
        lab.sh(host, &format!("chmod 755 /usr/local/sbin/{tool}")).unwrap();
    }
    lab.sh(host, &format!(": >{LOG}")).unwrap();
}

/// What was called since the last time this was asked, in order.
pub fn commands(lab: &Lab, host: usize) -> Vec<String> {
    let log = lab.sh(host, &format!("cat {LOG}; : >{LOG}")).unwrap();
    log.lines().map(str::to_owned).collect()
}

/// Those of the commands that can change something: everything that is not known to only look.
pub fn changing(commands: &[String]) -> Vec<&String> {
    commands.iter().filter(|command| !only_looks(command)).collect()
}

fn only_looks(command: &str) -> bool {
    let words: Vec<&str> = command.split_whitespace().collect();
    let has = |word: &str| words.contains(&word);
    match words.as_slice() {
        ["lvm", verb, ..] => ["fullreport", "lvmconfig"].contains(verb),
        ["drbdsetup", verb, ..] => ["status", "show", "events2"].contains(verb),
        ["drbdadm", ..] => has("-d") || has("--version") || has("get-gi") || has("sh-nop"),
        ["drbdmeta", ..] => has("get-gi"),
        ["blkid", ..] => has("-p"),
        ["wipefs", ..] => has("--no-act"),
        ["modinfo", ..] => true,
        _ => false,
    }
}

#[test]
fn only_commands_that_look_are_taken_for_harmless() {
    let all: Vec<String> = [
        "lvm fullreport --units b",
        "lvm lvcreate --name x",
        "drbdadm -c /run/x -d adjust r0",
        "drbdadm adjust r0",
        "drbdmeta - v08 /dev/x internal get-gi",
        "drbdmeta 0 v08 /dev/x internal create-md 1",
        "wipefs --all /dev/x",
        "modprobe drbd",
    ]
    .map(str::to_owned)
    .into();
    let changing: Vec<&str> =
        changing(&all).into_iter().map(|c| c.split_whitespace().next().unwrap()).collect();
    assert_eq!(changing, ["lvm", "drbdadm", "drbdmeta", "wipefs", "modprobe"]);
}
