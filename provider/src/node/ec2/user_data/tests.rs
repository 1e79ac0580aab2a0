// SPDX-License-Identifier: MPL-2.0
//! The user data as text, and what its script does, run here with package managers that only note what they are asked.

use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

fn plain(software: Software) -> String {
    render("drbd-a", software, &Pins::new(), None)
}

#[test]
fn an_image_that_has_it_gets_its_name_and_the_filters_only() {
    assert_eq!(
        plain(Software::None),
        "#cloud-config\nhostname: drbd-a\npreserve_hostname: false\nwrite_files:\n  - path: /etc/multipath/conf.d/drbd.conf\n    \
         content: |\n      blacklist { devnode \"^drbd[0-9]+\" }\n  - path: /etc/lvm/lvmlocal.conf\n    content: |\n      \
         devices { global_filter = [ \"r|^/dev/drbd.*|\" ] }\n"
    );
}

#[test]
fn only_the_ppa_adds_a_source() {
    assert!(plain(Software::LinbitPpa).contains("ppa:linbit/linbit-drbd9-stack"));
    assert!(!plain(Software::Distribution).contains("ppa:"));
}

#[test]
fn a_users_data_follow_ours() {
    let text = render("a", Software::None, &Pins::new(), Some("#!/bin/sh\ntrue\n"));
    let ours = text.find("text/cloud-config").unwrap();
    let theirs = text.find("text/x-shellscript").unwrap();
    assert!(ours < theirs && text.contains("hostname: a") && text.trim_end().ends_with("--"), "{text}");
    assert_eq!(render("drbd-a", Software::None, &Pins::new(), Some(" \n")), plain(Software::None));
}

#[test]
fn a_version_is_one_word_without_a_meaning_to_a_shell() {
    for version in ["9.22.0-1build1", "1:2.03.16-2", "9.2.*", "9~rc1+ppa"] {
        assert!(is_version(version), "{version}");
    }
    for other in ["", "-y", "9 9", "9'", "9;x", "$(x)", "9\n"] {
        assert!(!is_version(other), "{other:?}");
    }
}

/// The script of the user data, as cloud-init takes it out of them.
fn script(text: &str) -> String {
    let (_, block) = text.split_once("    - -efuc\n    - |\n").unwrap();
    let line = |line: &str| line.strip_prefix("      ").unwrap().to_owned() + "\n";
    block.lines().map(line).collect()
}

/// Runs the script where there are just these programs besides sh's own; what they were asked, and whether it went well.
fn asked(test: &str, text: &str, programs: &[(&str, &str)]) -> (String, bool) {
    let dir: PathBuf = std::env::temp_dir().join(format!("replivol-user-data-{}-{test}", std::process::id()));
    fs::create_dir(&dir).unwrap();
    let log = dir.join("log");
    for (name, then) in programs {
        let program = dir.join(name);
        fs::write(&program, format!("#!/bin/sh\necho \"{name} $*\" >>'{}'\n{then}\n", log.display()))
            .unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let output = Command::new("/bin/sh")
        .arg("-efuc")
        .arg(script(text))
        .env_clear()
        .env("PATH", &dir)
        .output()
        .unwrap();
    let asked = fs::read_to_string(&log).unwrap_or_default();
    fs::remove_dir_all(&dir).unwrap();
    (asked, output.status.success())
}

const UNAME: (&str, &str) = ("uname", "echo 6.8.0-1015-aws");

#[test]
fn apt_waits_for_its_lock_and_brings_the_module_of_the_running_cloud_kernel() {
    let missing = "[ -e \"${0%/*}/once\" ] && exit 0; : >\"${0%/*}/once\"; exit 1";
    let programs = [("apt-get", ""), ("modprobe", missing), UNAME];
    let (asked, well) = asked("apt", &plain(Software::Distribution), &programs);
    assert!(well, "{asked}");
    let install = "apt-get -o DPkg::Lock::Timeout=600 -qy install --allow-downgrades";
    assert_eq!(
        asked,
        format!(
            "apt-get -q update\n{install} drbd-utils lvm2 thin-provisioning-tools\nmodprobe drbd\nuname -r\n{install} \
             linux-modules-extra-6.8.0-1015-aws\nmodprobe drbd\n"
        )
    );
}

#[test]
fn given_versions_are_taken_and_held() {
    let pins = Pins::from([("drbd-utils".to_owned(), "9.22.*".to_owned())]);
    let text = render("a", Software::Distribution, &pins, None);
    let (asked_apt, well) =
        asked("pins-apt", &text, &[("apt-get", ""), ("apt-mark", ""), ("modprobe", ""), UNAME]);
    assert!(well && asked_apt.contains(" drbd-utils=9.22.* lvm2 thin-provisioning-tools\n"), "{asked_apt}");
    assert!(
        asked_apt.contains("apt-mark hold drbd-utils\n") && !asked_apt.contains("hold lvm2"),
        "{asked_apt}"
    );
    let (asked_dnf, well) = asked("pins-dnf", &text, &[("dnf", ""), ("modprobe", ""), UNAME]);
    assert!(well, "{asked_dnf}");
    assert_eq!(
        asked_dnf,
        "dnf -y install drbd-utils-9.22.* lvm2 device-mapper-persistent-data\nmodprobe drbd\n"
    );
}

#[test]
fn a_package_that_cannot_be_installed_ends_it_before_the_module() {
    let failing = "case \"$*\" in *install*) exit 100 ;; esac";
    let programs = [("apt-get", failing), ("modprobe", ""), UNAME];
    let (asked, well) = asked("failing", &plain(Software::Distribution), &programs);
    assert!(!well && !asked.contains("modprobe"), "{asked}");
}

#[test]
fn the_ppa_builds_for_the_running_kernel_and_accepts_no_other_module() {
    let text = plain(Software::LinbitPpa);
    for (version, accepted) in [("9.2.14", true), ("8.4.11", false), ("", false)] {
        let cat = format!("echo {version}");
        let programs = [("apt-get", ""), ("modprobe", ""), ("cat", cat.as_str()), UNAME];
        let (asked, well) = asked(&format!("ppa-{version}"), &text, &programs);
        assert!(
            asked.contains("install --allow-downgrades linux-headers-6.8.0-1015-aws drbd-dkms\n"),
            "{asked}"
        );
        assert_eq!(well, accepted, "{version:?}: {asked}");
    }
}
