// SPDX-License-Identifier: MPL-2.0
//! What is rendered, the real `drbdadm` accepts: both families, every part of a declaration. No kernel module is needed
//! (`DRBD_DRIVER_VERSION_OVERRIDE` tells the front end which module to expect).

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop here")]

use drbd_engine::host::Cmd;
use drbd_engine::res_file::{self, Secrets};
use drbd_engine::tools::drbdadm::{self, Connections};
use drbd_schemas::combinations::RULES;
use drbd_schemas::options::{self, Kind};
use drbd_schemas::{Declaration, Family, Resource};
use serde_json::{Value, json};
use std::process::Command;

fn resource(value: Value) -> Resource {
    Resource::try_from(serde_json::from_value::<Declaration>(value).unwrap()).unwrap()
}

struct Answer {
    ok: bool,
    stdout: String,
    stderr: String,
}

fn ask(resource: &Resource, family: Family, node: &str, args: &[&str]) -> Answer {
    ask_text(&res_file::render(resource, family, Secrets::Written), family, node, args)
}

fn ask_text(text: &str, family: Family, node: &str, args: &[&str]) -> Answer {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("r.res");
    std::fs::write(&file, text).unwrap();
    let version = if family == Family::V84 { "8.4.11" } else { "9.2.18" };
    let output = Command::new("/usr/sbin/drbdadm")
        .arg("-c")
        .arg(&file)
        .args(args)
        .env("__DRBD_NODE__", node)
        .env("DRBD_DRIVER_VERSION_OVERRIDE", version)
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    Answer {
        ok: output.status.success(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

#[track_caller]
fn accepted(resource: &Resource, family: Family) -> String {
    let name = resource.name().to_string();
    let mut dumps = String::new();
    for node in resource.nodes.keys() {
        let answer = ask(resource, family, node.as_str(), &["dump", &name]);
        let text = res_file::render(resource, family, Secrets::Masked);
        assert!(answer.ok, "DRBD {family} on {node}: {}\n{text}", answer.stderr);
        dumps.push_str(&answer.stdout);
    }
    dumps
}

fn lvm() -> Value {
    json!({ "lvm_thin": { "volume_group": "vg0", "thin_pool": "pool" } })
}

fn pair() -> Value {
    json!({
        "name": "r0", "port": 7000, "shared_secret": "s3cret-word!",
        "nodes": {
            "h1": { "node_id": 0, "address": "10.0.0.1", "storage": lvm() },
            "h2": { "node_id": 1, "address": "10.0.0.2", "storage": { "devices": { "0": "/dev/disk/by-id/a", "1": "/dev/disk/by-id/b" } } },
        },
        "volumes": { "0": { "minor": 1000, "size": "64MiB" }, "1": { "minor": 1001, "size": "1GiB", "disk": { "al-extents": "257" } } },
        "net": { "protocol": "C", "max-buffers": "8000", "fencing": "resource-only" },
        "disk": { "c-max-rate": "100M", "on-io-error": "detach" },
    })
}

#[test]
fn a_pair_with_everything_is_accepted_by_both_families() {
    for family in [Family::V84, Family::V9] {
        let dump = accepted(&resource(pair()), family);
        for part in [
            "10.0.0.1:7000",
            "minor 1001",
            "s3cret-word!",
            "max-buffers",
            "resource-only",
            "/dev/vg0/r0_00001",
        ] {
            assert!(dump.contains(part), "DRBD {family}: {part} is missing in\n{dump}");
        }
    }
}

#[test]
fn ipv6_and_a_path_of_its_own_are_accepted_by_both_families() {
    let mut value = pair();
    value["nodes"]["h1"]["address"] = json!("fd00::1");
    value["nodes"]["h2"]["address"] = json!("fd00::2");
    value["connections"] = json!([{ "nodes": ["h2", "h1"], "net": { "protocol": "A" },
        "paths": [{ "h1": "[fd01::1]:7100", "h2": "[fd01::2]:7100" }] }]);
    for family in [Family::V84, Family::V9] {
        let dump = accepted(&resource(value.clone()), family);
        assert!(dump.contains("[fd01::1]:7100"), "{dump}");
        let words: Vec<&str> = dump.split_whitespace().collect();
        assert!(words.windows(2).any(|pair| pair == ["protocol", "A;"]), "{dump}");
    }
}

/// `drbdadm` refuses a value of a volume beside one of the resource or of `common`: rendering keeps them apart.
#[test]
fn an_option_of_a_volume_wins_over_the_resource_and_over_common() {
    let attach = |value: &Value, family: Family, common: &str| {
        let dir = tempfile::tempdir().unwrap();
        let text = res_file::render(&resource(value.clone()), family, Secrets::Written);
        std::fs::write(dir.path().join("r.res"), text).unwrap();
        std::fs::write(dir.path().join("drbd.conf"), format!("{common}\ninclude \"r.res\";\n")).unwrap();
        let output = Command::new("/usr/sbin/drbdadm")
            .args(["-c", "drbd.conf", "-d", "up", "r0"])
            .current_dir(dir.path())
            .env("__DRBD_NODE__", "h2")
            .env("DRBD_DRIVER_VERSION_OVERRIDE", if family == Family::V84 { "8.4.11" } else { "9.2.18" })
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let attached = |device: &str| {
            text.lines().find(|line| line.contains(" attach ") && line.contains(device)).unwrap().to_owned()
        };
        [attached("/dev/disk/by-id/a"), attached("/dev/disk/by-id/b")]
    };
    for family in [Family::V84, Family::V9] {
        let mut value = pair();
        value["net"] = json!({});
        value["disk"] = json!({ "al-extents": "1237", "on-io-error": "detach" });
        value["volumes"]["1"]["disk"] = json!({ "al-extents": "257" });
        let [first, second] = attach(&value, family, "");
        assert!(
            first.contains("--al-extents=1237") && second.contains("--al-extents=257"),
            "{first}\n{second}"
        );
        assert!(first.contains("detach") && second.contains("detach"), "{first}\n{second}");

        value["disk"] = json!({});
        for volume in ["0", "1"] {
            value["volumes"][volume]["disk"] = json!({ "al-extents": "257" });
        }
        let both = attach(&value, family, "common { disk { al-extents 997; } }");
        assert!(both.iter().all(|line| line.contains("--al-extents=257")), "{both:?}");
    }
}

fn three() -> Value {
    json!({
        "name": "db", "port": 7001,
        "nodes": {
            "a": { "node_id": 4, "address": "10.0.0.1", "storage": lvm() },
            "b": { "node_id": 2, "address": "10.0.0.2", "port": 7009, "storage": lvm() },
            "c": { "node_id": 7, "address": "10.0.0.3", "storage": { "diskless": {} } },
        },
        "volumes": { "0": { "minor": 1002, "size": "64MiB" } },
        "options": { "quorum": "majority", "on-no-quorum": "io-error", "auto-promote": "yes" },
        "connections": [
            { "nodes": ["a", "c"], "net": { "protocol": "A", "sndbuf-size": "10M" } },
            { "nodes": ["a", "b"], "paths": [
                { "a": "10.0.0.1:7001", "b": "10.0.0.2:7009" }, { "a": "10.1.0.1:7001", "b": "10.1.0.2:7009" } ] },
        ],
    })
}

#[test]
fn three_nodes_with_a_diskless_one_form_a_full_mesh() {
    let three = resource(three());
    accepted(&three, Family::V9);
    let plan = ask(&three, Family::V9, "a", &["-d", "adjust", "db"]);
    assert!(plan.ok, "{}", plan.stderr);
    let count = |what: &str| plan.stdout.lines().filter(|line| line.contains(what)).count();
    assert_eq!(
        (count("new-resource db 4"), count("new-peer db 2"), count("new-peer db 7")),
        (1, 1, 1),
        "{}",
        plan.stdout
    );
    assert_eq!(count("new-path db 2"), 2, "two paths between a and b: {}", plan.stdout);
    let client = ask(&three, Family::V9, "c", &["-d", "adjust", "db"]);
    assert!(!client.stdout.contains(" attach "), "a diskless node attaches nothing: {}", client.stdout);
}

/// What `drbdadm` would run for a command of ours, one line each.
fn runs(resource: &Resource, family: Family, node: &str, cmd: &Cmd) -> Vec<String> {
    let args: Vec<&str> = std::iter::once("-d").chain(cmd.args.iter().map(String::as_str)).collect();
    let answer = ask(resource, family, node, &args);
    assert!(answer.ok, "{cmd}: {}", answer.stderr);
    // Started by its path, drbdadm names the others by theirs.
    let plain = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ").replace("/usr/sbin/", "");
    answer.stdout.lines().map(plain).collect()
}

#[test]
fn roles_comparisons_and_victims_reach_the_kernel_as_they_are_meant() {
    let (three, pair) = (resource(three()), resource(pair()));
    let nine = |cmd: Cmd| runs(&three, Family::V9, "a", &cmd);
    assert_eq!(nine(drbdadm::primary("db", false)), ["drbdsetup primary db"]);
    assert_eq!(nine(drbdadm::secondary("db")), ["drbdsetup secondary db"]);
    assert_eq!(nine(drbdadm::verify("db", Connections::To("b"))), ["drbdsetup verify db 2 0"]);
    assert_eq!(nine(drbdadm::disconnect("db", Connections::To("b"))), ["drbdsetup disconnect db 2"]);
    let victim = nine(drbdadm::connect("db", Connections::To("b"), true)).join("\n");
    assert!(victim.contains("drbdsetup connect db 2") && victim.contains("--discard-my-data"), "{victim}");
    assert!(!victim.contains("connect db 7"), "another peer's connection is left alone: {victim}");

    let old = |cmd: Cmd| runs(&pair, Family::V84, "h1", &cmd);
    // DRBD 8.4 has roles and comparisons of each volume.
    assert_eq!(
        old(drbdadm::primary("r0", false)),
        ["drbdsetup-84 primary 1000", "drbdsetup-84 primary 1001"]
    );
    assert_eq!(
        old(drbdadm::verify("r0", Connections::All)),
        ["drbdsetup-84 verify 1000", "drbdsetup-84 verify 1001"]
    );
    let victim = old(drbdadm::connect("r0", Connections::All, true)).join("\n");
    assert!(victim.contains("drbdsetup-84 connect r0 ") && victim.contains("--discard-my-data"), "{victim}");
}

#[test]
fn what_needs_drbd_9_would_break_an_8_4_host() {
    let three = resource(three());
    assert!(!three.unsupported_by(Family::V84).is_empty());
    let answer = ask(&three, Family::V84, "a", &["sh-nop"]);
    assert!(!answer.ok, "drbdadm for 8.4 takes it, so refusing it would be wrong");
}

/// Every option of the table, with a value of its kind, in a file of its own: the names, sections and value spellings
/// are the tool's.
#[test]
fn every_option_of_the_table_is_one_that_drbdadm_knows() {
    let mut refused = Vec::new();
    for family in [Family::V84, Family::V9] {
        for option in options::OPTIONS.iter().filter(|option| option.only.is_none_or(|only| only == family)) {
            for value in values(option.kind) {
                let mut declared = pair();
                for section in ["net", "disk", "options"] {
                    declared[section] = json!({});
                }
                declared[option.section.keyword()] = json!({ option.name: value });
                // With a protocol with which the kernel takes it, too.
                let rule = RULES.iter().find(|rule| rule.option == option.name);
                if let Some(rule) = rule.filter(|rule| rule.values.contains(&value.as_str())) {
                    declared["net"]["protocol"] = json!(rule.protocols[0]);
                }
                let resource = resource(declared);
                let answer = ask(&resource, family, "h1", &["dump", "r0"]);
                if !answer.ok || !answer.stdout.contains(option.name) {
                    let why = answer.stderr.lines().next().unwrap_or_default().to_owned();
                    refused.push(format!("DRBD {family}: {} {value}: {why}", option.name));
                }
            }
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}

/// What is refused as out of range is what the tool refuses, and nothing else.
#[test]
fn sizes_have_the_tools_ranges() {
    let ask_for = |option: &options::OptionInfo, value: &str| {
        let mut declared = pair();
        declared[option.section.keyword()] = json!({ option.name: "1M" });
        let file = res_file::render(&resource(declared), Family::V9, Secrets::Written);
        let changed = file.replace(&format!("{} 1M;", option.name), &format!("{} {value};", option.name));
        assert_ne!(file, changed, "{}", option.name);
        ask_text(&changed, Family::V9, "h1", &["dump", "r0"]).ok
    };
    for option in options::OPTIONS {
        let Kind::Size(range) = option.kind else { continue };
        for end in range.ends() {
            assert!(ask_for(option, &end), "{} {end}", option.name);
        }
        assert!(!ask_for(option, &range.beyond()), "{} {}", option.name, range.beyond());
    }
}

fn values(kind: Kind) -> Vec<String> {
    match kind {
        Kind::Bool => vec!["yes".into(), "no".into()],
        Kind::Int(min, max) => vec![min.to_string(), max.to_string()],
        Kind::Size(_) => vec!["1M".into()],
        Kind::Word(words) => words.iter().map(|word| (*word).to_owned()).collect(),
        Kind::WordOrCount(words) => words.iter().map(|word| (*word).to_owned()).chain(["2".into()]).collect(),
        Kind::Algorithm => vec!["sha256".into()],
    }
}
