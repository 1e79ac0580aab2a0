// SPDX-License-Identifier: MPL-2.0
//! What only several hosts together show, on real hosts: different declarations, a split brain and its end, and a run
//! that was killed while its command lives on.

use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use support::module::{
    Reply, bring_up, call, call_both, evidence, install, pool, pools, r0, thin, wait, with,
};
use support::{Lab, LabOptions};

const MINUTE: Duration = Duration::from_secs(60);

fn lab() -> Lab {
    let lab = Lab::start(&LabOptions { hosts: 2, disks: 1, disk_size: "192M".to_owned() }).unwrap();
    install(&lab, 2).unwrap();
    lab
}

fn converge(lab: &Lab, host: usize, declared: &Value) -> Reply {
    call(lab, host, "drbd_resource", declared).unwrap()
}

#[test]
fn hosts_that_were_declared_differently_are_told_what_differs() {
    let lab = lab();
    pools(&lab).unwrap();
    let declared = r0(&lab, &thin());
    let mut other = declared.clone();
    other["nodes"]["h1"]["address"] = json!("10.99.0.77");
    other["net"] = json!({ "protocol": "A" });
    converge(&lab, 1, &declared).ok();
    converge(&lab, 2, &other).ok();
    let facts = evidence(&lab).unwrap();

    // Without the facts of both it would take a minute to learn that nothing happens; with them no time at all.
    let ask = json!({ "name": "r0", "condition": "connected", "timeout": 3600, "evidence": facts });
    for reply in call_both(&lab, "drbd_wait", &ask).unwrap() {
        let reply = reply.refused("disagreement");
        for words in
            ["on h1 / address is", "10.99.0.77:7000 on h2", "net / protocol is not there on h1 and A on h2"]
        {
            assert!(reply.msg().contains(words), "{words}: {}", reply.msg());
        }
    }
    let sync = with(&declared, &json!({ "evidence": facts }));
    call(&lab, 1, "drbd_initial_sync", &sync).unwrap().refused("disagreement");
    lab.sh(1, "drbdadm get-gi r0 | grep -q ^0000000000000004:").unwrap();

    // One document for both, and it goes on.
    for reply in call_both(&lab, "drbd_resource", &declared).unwrap() {
        reply.ok();
    }
    wait(&lab, "connected").unwrap();
    let sync = with(&declared, &json!({ "evidence": evidence(&lab).unwrap() }));
    assert_eq!(call(&lab, 1, "drbd_initial_sync", &sync).unwrap().ok().steps(), ["skip_initial_sync done"]);
}

/// Both hosts write 512 bytes of their own while they cannot see each other, and then meet again.
fn split(lab: &Lab) {
    lab.cut_pair(1, 2).unwrap();
    for host in [1, 2] {
        lab.eventually(host, MINUTE, "drbdadm cstate r0 | grep -Evq '^Connected$'").unwrap();
        let write = format!(
            "drbdadm primary r0 && echo h{host} | dd of=/dev/drbd1000 bs=512 conv=sync oflag=direct status=none && drbdadm secondary r0"
        );
        lab.sh(host, &write).unwrap();
    }
    lab.heal_pair(1, 2).unwrap();
    lab.eventually(1, MINUTE, "drbdadm cstate r0 | grep -Evq '^Connected$'").unwrap();
}

/// The first bytes of the data on a host's own disk, below DRBD.
fn written(lab: &Lab, host: usize) -> String {
    lab.sh(host, "dd if=/dev/vg0/r0_00000 iflag=direct bs=512 count=1 status=none | head -c 2").unwrap()
}

/// Runs on both, one after the other, until one says split brain; all that was said.
fn refusals(lab: &Lab, declared: &Value) -> Vec<Reply> {
    let mut replies = Vec::new();
    for host in [1, 2, 1, 2, 1, 2] {
        let reply = converge(lab, host, declared);
        let told = reply.code() == "split_brain";
        replies.push(reply);
        if told {
            return replies;
        }
    }
    panic!("nobody says split brain: {replies:#?}");
}

#[test]
fn a_split_brain_ends_with_the_victim_that_was_named() {
    let lab = lab();
    pools(&lab).unwrap();
    let mut declared = r0(&lab, &thin());
    declared["net"] = json!({ "ping_int": 1, "connect_int": 1 });
    bring_up(&lab, &declared).unwrap();
    split(&lab);

    let said = refusals(&lab, &declared);
    let last = said.last().unwrap();
    let victim = if last.0["node"] == "h1" { 1 } else { 2 };
    let survivor = 3 - victim;
    let token = last.token().unwrap();
    assert!(token.starts_with(&format!("discard-my-data:r0@h{victim}:")), "{token}");

    // With the facts of both, both sides know; by itself one may see no more than a peer that does not answer.
    let facts = evidence(&lab).unwrap();
    let ask = json!({ "name": "r0", "condition": "connected", "timeout": 60, "evidence": facts });
    for reply in call_both(&lab, "drbd_wait", &ask).unwrap() {
        reply.refused("split_brain");
    }

    // Data in use are not given up, and somebody else's token gives up nothing.
    let consented = with(&declared, &json!({ "consent": [token] }));
    lab.sh(victim, "drbdadm primary r0").unwrap();
    let refused = converge(&lab, victim, &consented).refused("in_use");
    assert!(refused.msg().contains("to be given up"), "{}", refused.msg());
    lab.sh(victim, "drbdadm secondary r0").unwrap();
    assert_eq!([written(&lab, 1), written(&lab, 2)], ["h1", "h2"]);

    let check = json!({ "_ansible_check_mode": true });
    let planned = converge(&lab, victim, &with(&consented, &check)).ok();
    let done = converge(&lab, victim, &consented).ok();
    assert!(done.steps().contains(&"discard_my_data done".to_owned()), "{:?}", done.steps());
    assert_eq!(planned.planned(), done.planned());
    assert!(
        !converge(&lab, victim, &consented).ok().changed(),
        "it waits for its peer with that consent already"
    );
    converge(&lab, survivor, &consented).ok();
    wait(&lab, "all_up_to_date").unwrap();
    let kept = format!("h{survivor}");
    assert_eq!([written(&lab, 1), written(&lab, 2)], [kept.clone(), kept]);

    // The token that is still in the playbook is for that generation: the next split brain needs its own.
    for host in [1, 2] {
        assert!(!converge(&lab, host, &consented).ok().changed());
    }
    split(&lab);
    refusals(&lab, &consented);
    assert_eq!([written(&lab, 1), written(&lab, 2)], ["h1", "h2"]);
}

#[test]
fn a_run_that_was_killed_is_waited_for_as_long_as_its_command_lives() {
    let lab = lab();
    call(&lab, 1, "drbd_storage_pool", &pool()).unwrap().ok();
    let declared = r0(&lab, &thin());
    let script = "#!/bin/bash\ncase $1 in lvcreate) touch /run/waits; until [ -e /run/go ]; do sleep 0.1; done ;; esac\nexec /usr/sbin/lvm \"$@\"\n";
    lab.write(1, "/usr/local/sbin/lvm", script.as_bytes()).unwrap();
    lab.sh(1, "chmod 755 /usr/local/sbin/lvm").unwrap();
    thread::scope(|scope| {
        let killed = scope.spawn(|| call(&lab, 1, "drbd_resource", &declared));
        lab.eventually(1, MINUTE, "test -e /run/waits").unwrap();
        lab.sh(1, "kill -KILL $(pgrep -o -x drbd-host)").unwrap();
        assert!(killed.join().unwrap().is_err(), "a killed run has no answer");
    });
    // Its lvcreate has not even begun to work, and will: nobody else may plan on what is there now.
    let hasty = with(&declared, &json!({ "lock_timeout": 0 }));
    let refused = converge(&lab, 1, &hasty).refused("locked");
    assert!(refused.msg().contains("(lvm), a command of a run that was killed"), "{}", refused.msg());
    thread::scope(|scope| {
        let next = scope.spawn(|| converge(&lab, 1, &declared));
        thread::sleep(Duration::from_secs(1));
        assert!(!next.is_finished(), "it waits");
        lab.sh(1, "touch /run/go").unwrap();
        let next = next.join().unwrap().ok();
        assert_eq!(
            next.steps(),
            ["write_config done", "create_metadata done", "adjust done"],
            "the volume was made by then"
        );
    });
    assert!(!converge(&lab, 1, &hasty).ok().changed());
}
