// SPDX-License-Identifier: MPL-2.0
//! The role `install` on hosts that have a repository: packages that are missing, the program as a package, and a kernel
//! module for which the host has to be booted again.
//!
//! The repository is a directory on the host, with real packages: those that the host had, packed again, and drbd-host's own.
//! Not here: a repository over the network, and other distributions' package managers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use support::{Lab, made};

use crate::play::{Controller, Run};

/// `pack NAME VERSION DEPENDS` makes a package of what is below /root/NAME; `offer` makes the repository of all of them.
const PACK: &str = r#"set -e
cd /root
pack() {
    mkdir -p "$1/DEBIAN" repo
    printf 'Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: Example <root@localhost>\nDescription: example\n' "$1" "$2" >"$1/DEBIAN/control"
    dpkg-deb --build "$1" repo >/dev/null
}
offer() {
    cd /root/repo
    : >Packages
    for file in *.deb; do
        dpkg-deb --field "$file" >>Packages
        printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$file" "$(stat -c %s "$file")" "$(sha256sum "$file" | cut -d' ' -f1)" >>Packages
    done
    rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*
    echo 'deb [trusted=yes] file:/root/repo ./' >/etc/apt/sources.list
    apt-get update -qq
}
"#;

fn pack(lab: &Lab, script: &str) {
    lab.ssh_with_input(1, "bash -s", format!("{PACK}{script}").as_bytes()).unwrap().ok().unwrap();
}

fn install(lab: &Lab, controller: &Controller, variables: &Value, more: &[&str]) -> Run {
    let variables = format!("-e{variables}");
    let arguments: Vec<&str> =
        ["--limit", "h1", &variables].into_iter().chain(more.iter().copied()).collect();
    controller.install(lab, &arguments)
}

/// Which packages are installed.
fn installed(lab: &Lab) -> String {
    lab.sh(1, "dpkg-query -W -f '${Package} ${Version} ${db:Status-Status}\\n'").unwrap()
}

#[test]
fn packages_that_are_missing_are_installed_from_the_hosts_repository() {
    let (lab, controller) = (Lab::up(1).unwrap(), Controller::new());
    let package = format!("drbd-host_{}_amd64.deb", env!("CARGO_PKG_VERSION"));
    lab.sh(1, "mkdir -p /root/repo").unwrap();
    let bytes = std::fs::read(made::dist(&package).unwrap()).unwrap();
    lab.write(1, &format!("/root/repo/{package}"), &bytes).unwrap();
    pack(
        &lab,
        "mkdir thin-provisioning-tools
        dpkg -L thin-provisioning-tools | grep -E '^/(usr/)?s?bin/.' | tar -cf - -T - | tar -C thin-provisioning-tools -xf -
        pack thin-provisioning-tools 9:9
        offer
        dpkg --purge --force-depends thin-provisioning-tools >/dev/null 2>&1
        ! command -v thin_check",
    );
    let program = json!({ "install_drbd_program": "package",
        "install_drbd_package_names": { "Debian": ["thin-provisioning-tools", "drbd-host"] } });

    // Where packages may not be installed none is, and check mode installs none.
    let before = installed(&lab);
    let not_allowed = json!({ "install_drbd_packages": false, "install_drbd_lvm_filter": false });
    assert_eq!(install(&lab, &controller, &not_allowed, &["--check"]).ok().changed("h1"), 1, "the program");
    let foretold = install(&lab, &controller, &program, &["--check"]).ok();
    assert_eq!(installed(&lab), before);

    let first = install(&lab, &controller, &program, &[]).ok();
    // The packages, and LVM's filter.
    assert_eq!((foretold.changed("h1"), first.changed("h1")), (2, 2), "{}", first.output.stdout);
    let after = installed(&lab);
    for line in ["thin-provisioning-tools 9:9 installed", "drbd-host "] {
        assert!(after.contains(line), "{line}: {after}");
    }
    lab.sh(1, "thin_check -V && test -x /usr/sbin/drbd-host && ! ls /usr/local/sbin/drbd-host").unwrap();
    assert_eq!(install(&lab, &controller, &program, &[]).ok().changed("h1"), 0);
    assert_eq!(installed(&lab), after);
    let look = crate::playbook(&json!([{ "name": "look", "drbd_info": {} }]));
    let run = controller.play(&lab, &controller.write("look.yml", &look), &[]).ok();
    assert_eq!(run.reply("look", "h1")["code"], "ok");
}

/// A package with the module of DRBD 9, as `drbd-dkms` or `kmod-drbd9x` bring one (its kernel side is the simulated one), on a
/// host where the 8.4 of the kernel is loaded.
fn module_package(lab: &Lab) {
    lab.simulate_drbd9(1).unwrap();
    pack(
        lab,
        "ko=lib/modules/$(uname -r)/updates/drbd.ko
        mkdir -p drbd-module-9/DEBIAN && printf '#!/bin/sh\\ndepmod -a\\n' >drbd-module-9/DEBIAN/postinst && chmod 755 drbd-module-9/DEBIAN/postinst
        tar -C / -cf - $ko etc/modprobe.d/simulated-drbd9.conf | tar -C drbd-module-9 -xf -
        pack drbd-module-9 9.2.18
        offer
        rm /$ko /etc/modprobe.d/simulated-drbd9.conf && depmod -a && modprobe drbd",
    );
    assert_eq!(lab.sh(1, "cat /sys/module/drbd/version").unwrap(), "8.4.11\n");
    // The host has no init that could boot it again: it switches itself off, and is switched on from outside.
    let shutdown = "#!/bin/sh\necho \"$*\" >>/root/shutdowns\nsync\n(sleep 1; echo u >/proc/sysrq-trigger; echo o >/proc/sysrq-trigger) >/dev/null 2>&1 &\n";
    lab.write(1, "/usr/sbin/shutdown", shutdown.as_bytes()).unwrap();
    lab.sh(1, "chmod 755 /usr/sbin/shutdown").unwrap();
}

/// Runs `work` while the host is switched on whenever it is off.
fn switched_on<T>(lab: &Lab, work: impl FnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                // Fails while the host is going down.
                let _answers = lab.boot(1);
                thread::sleep(Duration::from_millis(500));
            }
        });
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        over.store(true, Ordering::Relaxed);
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[test]
fn a_module_that_needs_a_reboot_gets_one_only_where_it_is_allowed() {
    let (lab, controller) = (Lab::up(1).unwrap(), Controller::new());
    module_package(&lab);
    let boot = || lab.sh(1, "cat /proc/sys/kernel/random/boot_id").unwrap();
    let before = boot();
    let wanted = json!({ "install_drbd_module": "9", "install_drbd_module_packages": ["drbd-module-9"] });
    let allowed = json!({ "install_drbd_module": "9", "install_drbd_module_packages": ["drbd-module-9"],
        "install_drbd_allow_reboot": true });

    let refused = install(&lab, &controller, &wanted, &[]);
    assert_eq!(refused.recap["h1"][2], 1, "{}", refused.output.stdout);
    for part in ["has DRBD 9.2.18, loaded is 8.4.11; need 9", "set install_drbd_allow_reboot=true"] {
        let text = refused.output.stdout.replace('\n', " ");
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(installed(&lab).contains("drbd-module-9 9.2.18 installed"));
    assert!(install(&lab, &controller, &allowed, &["--check"]).ok().changed("h1") >= 1);
    assert_eq!(boot(), before, "check mode boots nothing");
    lab.sh(1, "! ls /root/shutdowns").unwrap();

    let run = switched_on(&lab, || install(&lab, &controller, &allowed, &[]).ok());
    assert!(run.changed("h1") >= 1, "{}", run.output.stdout);
    assert_ne!(boot(), before);
    assert_eq!(
        lab.sh(1, "wc -l </root/shutdowns; modprobe drbd; cat /sys/module/drbd/version").unwrap(),
        "1\n9.2.18\n"
    );
    let after = boot();
    assert_eq!(install(&lab, &controller, &allowed, &[]).ok().changed("h1"), 0);
    assert_eq!(boot(), after);
}
