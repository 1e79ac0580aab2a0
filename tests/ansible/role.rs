// SPDX-License-Identifier: MPL-2.0
//! The role `install`: what it finds, what it changes, and what it leaves alone.
//!
//! Not here: packages from a repository, and reboots (`packages.rs`).

use serde_json::{Value, json};
use support::{Lab, made};

use crate::play::{Controller, Run};

const LIMIT: [&str; 2] = ["--limit", "h1"];

/// The role with these variables.
fn install(lab: &Lab, controller: &Controller, variables: &Value, more: &[&str]) -> Run {
    let variables = format!("-e{variables}");
    let arguments: Vec<&str> =
        LIMIT.into_iter().chain(more.iter().copied()).chain([variables.as_str()]).collect();
    controller.install(lab, &arguments)
}

#[track_caller]
fn refused(lab: &Lab, controller: &Controller, variables: &Value, parts: &[&str]) {
    let run = install(lab, controller, variables, &[]);
    assert_eq!(run.recap["h1"][2], 1, "{}", run.output.stdout);
    let failed = run.outcomes.iter().find(|outcome| outcome.reply["evaluated_to"] == false);
    let text = failed.map(|outcome| outcome.reply["msg"].to_string()).unwrap_or_default();
    for part in parts {
        assert!(text.contains(part), "{part}: {text}");
    }
}

/// What the role may touch.
fn traces(lab: &Lab) -> String {
    lab.sh(
        1,
        "sha256sum /etc/lvm/lvm.conf; ls -lR /usr/local/sbin /usr/sbin/drbd-host /etc/multipath 2>&1; true",
    )
    .unwrap()
}

#[test]
fn the_role_does_what_check_mode_foretold_and_then_nothing() {
    let (lab, controller) = (Lab::up(1).unwrap(), Controller::new());
    lab.write(1, "/usr/sbin/multipathd", b"#!/bin/sh\necho \"$*\" >>/run/multipathd.log\n").unwrap();
    // Debian's drbd-utils brings the filter; another distribution's may not.
    lab.sh(1, "chmod 755 /usr/sbin/multipathd && rm -r /etc/multipath").unwrap();
    let before = traces(&lab);
    let foretold = install(&lab, &controller, &json!({}), &["--check", "--diff"]).ok();
    assert_eq!(traces(&lab), before);

    let first = install(&lab, &controller, &json!({}), &["--diff"]).ok();
    // The program, multipath's directory and file, LVM's filter.
    assert_eq!((foretold.changed("h1"), first.changed("h1")), (4, 4), "{}", first.output.stdout);
    assert!(lab.sh(1, "cat /run/multipathd.log").unwrap().contains("reconfigure"));
    assert!(lab.sh(1, "cat /etc/multipath/conf.d/drbd.conf").unwrap().contains("devnode \"^drbd[0-9]+\""));
    assert!(lab.sh(1, "lvmconfig devices/global_filter").unwrap().contains("r|^/dev/drbd|"));
    let owner = "755 root root 1\n";
    assert_eq!(lab.sh(1, "stat -c '%a %U %G %h' /usr/local/sbin/drbd-host").unwrap(), owner);
    assert_eq!(lab.sh(1, "ls /usr/local/sbin").unwrap(), "drbd-host\n", "nothing is left of the copying");

    let after = traces(&lab);
    let second = install(&lab, &controller, &json!({}), &["-vvv"]).ok();
    assert_eq!((second.changed("h1"), second.executions()), (0, 1), "{}", second.output.stdout);
    assert_eq!(traces(&lab), after);
}

#[test]
fn the_role_says_what_it_cannot_do_and_does_nothing_then() {
    let (lab, controller) = (Lab::up(1).unwrap(), Controller::new());
    let own = "cp /etc/lvm/lvm.conf /root/lvm.conf && sed -i '/^devices/a global_filter = [ \"a|.*|\" ]' /etc/lvm/lvm.conf";
    lab.sh(1, own).unwrap();
    let before = lab.sh(1, "sha256sum /etc/lvm/lvm.conf").unwrap();
    refused(
        &lab,
        &controller,
        &json!({}),
        &["has a filter that lets DRBD's devices through", "a|.*|", "r|^/dev/drbd|"],
    );
    assert_eq!(lab.sh(1, "sha256sum /etc/lvm/lvm.conf").unwrap(), before);
    install(&lab, &controller, &json!({ "install_drbd_lvm_filter": false }), &[]).ok();
    lab.sh(1, "mv /root/lvm.conf /etc/lvm/lvm.conf").unwrap();

    refused(
        &lab,
        &controller,
        &json!({ "install_drbd_module": "9" }),
        &["DRBD 8.4.11", "need 9", "install_drbd_module_packages"],
    );
    install(&lab, &controller, &json!({ "install_drbd_module": "8.4" }), &[]).ok();
    let mistaken = install(&lab, &controller, &json!({ "install_drbd_program": "pigeon" }), &[]);
    assert!(
        mistaken.output.stdout.contains("value of install_drbd_program must be one of"),
        "{}",
        mistaken.output.stdout
    );

    // Another processor: nothing is copied.
    lab.sh(1, "rm /usr/local/sbin/drbd-host && printf '#!/bin/sh\\necho riscv64\\n' >/usr/local/sbin/uname && chmod 755 /usr/local/sbin/uname")
        .unwrap();
    refused(
        &lab,
        &controller,
        &json!({}),
        &["found the processor riscv64", "programs for x86_64", "install_drbd_program=package"],
    );
    assert_eq!(lab.sh(1, "ls /usr/local/sbin").unwrap(), "uname\n");
}

#[test]
fn a_package_is_taken_where_it_fits() {
    let (lab, controller) = (Lab::up(1).unwrap(), Controller::new());
    let package = format!("drbd-host_{}_amd64.deb", env!("CARGO_PKG_VERSION"));
    lab.write(1, "/root/drbd-host.deb", &std::fs::read(made::dist(&package).unwrap()).unwrap()).unwrap();
    let files = lab.sh(1, "dpkg -i /root/drbd-host.deb >/dev/null && dpkg -L drbd-host").unwrap();
    assert!(files.contains("/usr/sbin/drbd-host\n"), "{files}");
    let filters = json!({ "install_drbd_lvm_filter": false });
    assert_eq!(install(&lab, &controller, &filters, &[]).ok().changed("h1"), 0);
    let play = crate::playbook(&json!([{ "name": "look", "drbd_info": {} }]));
    let run = controller.play(&lab, &controller.write("look.yml", &play), &[]).ok();
    assert_eq!(run.reply("look", "h1")["code"], "ok");
    // One that speaks another protocol is not.
    lab.write(1, "/usr/sbin/drbd-host", b"#!/bin/sh\necho drbd-host 0.0.1, protocol 0\n").unwrap();
    assert_eq!(install(&lab, &controller, &filters, &[]).ok().changed("h1"), 1);
    controller.play(&lab, &controller.write("look.yml", &play), &[]).ok();
    assert_eq!(lab.sh(1, "dpkg --purge drbd-host >/dev/null && ls /usr/local/sbin").unwrap(), "drbd-host\n");
}
