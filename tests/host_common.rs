// SPDX-License-Identifier: MPL-2.0
//! What hosts inherit from their `common` sections, on real hosts: on one only, on both, changed later. Every check looks
//! at what the kernel runs, not only at the message.

use serde_json::json;
use support::module::{bring_up, call, evidence, install, pools, r0, thin, wait, with};
use support::{Lab, LabOptions};

const FILE: &str = "/etc/drbd.d/global_common.conf";

fn set_common(lab: &Lab, host: usize, common: &str) {
    let text = format!("global {{ usage-count no; }}\ncommon {{\n{common}\n}}\n");
    lab.ssh_with_input(host, &format!("cat >{FILE}"), text.as_bytes()).unwrap().ok().unwrap();
}

/// The kernel runs the connection with this option.
fn runs_with(lab: &Lab, host: usize, option: &str) -> bool {
    lab.sh(host, "drbdsetup show r0").unwrap().contains(option)
}

#[test]
fn hosts_inherit_the_same_or_are_refused_and_the_declaration_wins() {
    let lab = Lab::start(&LabOptions { hosts: 2, disks: 1, disk_size: "64M".to_owned() }).unwrap();
    install(&lab, 2).unwrap();
    pools(&lab).unwrap();
    let declared = r0(&lab, &thin());

    // On one host only: both refuse, with file and line, and nothing is made.
    set_common(&lab, 1, "net { ping-int 7; }");
    for host in [1, 2] {
        let request = with(&declared, &json!({ "evidence": evidence(&lab).unwrap() }));
        let reply = call(&lab, host, "drbd_resource", &request).unwrap().refused("disagreement");
        for part in ["net.ping-int", &format!("7 ({FILE}:3) on h1"), "not set on h2"] {
            assert!(reply.msg().contains(part), "{part}: {}", reply.msg());
        }
        lab.sh(host, "! ls /etc/drbd.d/r0.res && ! test -e /dev/vg0/r0_00000").unwrap();
    }

    // On both: it takes effect, is told, and is no drift.
    set_common(&lab, 2, "net { ping-int 7; }");
    bring_up(&lab, &declared).unwrap();
    for host in [1, 2] {
        assert!(runs_with(&lab, host, "ping-int"), "h{host}");
        let request = with(&declared, &json!({ "evidence": evidence(&lab).unwrap() }));
        let again = call(&lab, host, "drbd_resource", &request).unwrap().ok();
        assert!(!again.changed(), "{}", again.0);
        let options = again.0["after"]["options"].as_array().unwrap();
        let found = options.iter().find(|option| option["name"] == "ping-int").unwrap();
        assert_eq!((&found["inherited"], &found["from"]), (&json!(true), &json!(format!("{FILE}:3"))));
    }

    // Changed later on both: drift, which a run takes to the kernel without a disconnect.
    for host in [1, 2] {
        set_common(&lab, host, "net { ping-int 8; }");
        let reply = call(&lab, host, "drbd_resource", &declared).unwrap().ok();
        assert_eq!(reply.steps(), ["adjust done"], "{}", reply.0);
        assert!(
            reply.0["actions"][0]["why"].as_str().unwrap().contains("inherited: net.ping-int 8 from"),
            "{}",
            reply.0
        );
    }
    wait(&lab, "connected").unwrap();

    // Changed later on one: said before the kernel is touched, and what the declaration names wins on both.
    set_common(&lab, 1, "net { ping-int 9; }");
    let request = with(&declared, &json!({ "evidence": evidence(&lab).unwrap() }));
    let reply = call(&lab, 1, "drbd_resource", &request).unwrap().refused("disagreement");
    assert!(reply.msg().contains(&format!("9 ({FILE}:3) on h1 and 8 ({FILE}:3) on h2")), "{}", reply.msg());
    let named = with(&declared, &json!({ "net": { "ping-int": "6" } }));
    for host in [1, 2] {
        let request = with(&named, &json!({ "evidence": evidence(&lab).unwrap() }));
        call(&lab, host, "drbd_resource", &request).unwrap().ok();
        let shown = lab.sh(host, "drbdsetup show r0").unwrap();
        let line = shown.lines().find(|line| line.contains("ping-int")).unwrap();
        assert!(line.contains('6'), "h{host}: {line}");
    }
}
