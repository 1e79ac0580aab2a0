// SPDX-License-Identifier: MPL-2.0
//! What cloud-init does on a new instance: the host name, the software, and keeping multipath and LVM off DRBD's devices.
//! A user's own data follow as a second part. Pure; no secret is in it.

/// What is installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Software {
    /// The distribution's packages.
    Distribution,
    /// DRBD 9 from LINBIT's PPA.
    LinbitPpa,
    /// Nothing: the image has it.
    None,
}

impl Software {
    pub(super) fn of(text: Option<&str>) -> Self {
        match text {
            Some("none") => Self::None,
            Some("linbit_ppa") => Self::LinbitPpa,
            _ => Self::Distribution,
        }
    }
}

/// Devices that multipath and LVM must not open: they would hold DRBD's devices, or take their content for their own.
const KEEP_OFF: &str = r#"write_files:
  - path: /etc/multipath/conf.d/drbd.conf
    content: |
      blacklist { devnode "^drbd[0-9]+" }
  - path: /etc/lvm/lvmlocal.conf
    content: |
      devices { global_filter = [ "r|^/dev/drbd.*|" ] }
"#;

const TOOLS: &str = "package_update: true\npackages: [drbd-utils, lvm2, thin-provisioning-tools]\n";

/// The kernel's module is in a package of its own in Ubuntu's cloud images. Where there is none, it is in the kernel's.
const IN_TREE: &str = r#"runcmd:
  - [sh, -c, 'modprobe drbd || { DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 -qy install "linux-modules-extra-$(uname -r)" && modprobe drbd; }']
"#;

const FROM_PPA: &str = r#"apt:
  sources:
    linbit: { source: "ppa:linbit/linbit-drbd9-stack" }
runcmd:
  - [sh, -c, 'DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 -qy install "linux-headers-$(uname -r)" drbd-dkms && modprobe drbd']
"#;

const BOUNDARY: &str = "==drbd-node-part==";

/// The user data of a node.
pub(super) fn render(node: &str, software: Software, of_user: Option<&str>) -> String {
    let (packages, module) = match software {
        Software::None => ("", ""),
        Software::Distribution => (TOOLS, IN_TREE),
        Software::LinbitPpa => (TOOLS, FROM_PPA),
    };
    let ours =
        format!("#cloud-config\nhostname: {node}\npreserve_hostname: false\n{KEEP_OFF}{packages}{module}");
    let Some(theirs) = of_user.filter(|text| !text.trim().is_empty()) else { return ours };
    let mut parts = format!("Content-Type: multipart/mixed; boundary=\"{BOUNDARY}\"\nMIME-Version: 1.0\n");
    for (kind, text) in [("text/cloud-config", ours.as_str()), (kind_of(theirs), theirs)] {
        parts.push_str(&format!("\n--{BOUNDARY}\nContent-Type: {kind}; charset=\"utf-8\"\n\n{text}\n"));
    }
    parts.push_str(&format!("\n--{BOUNDARY}--\n"));
    parts
}

/// cloud-init goes by the first line, too.
fn kind_of(text: &str) -> &'static str {
    match text.trim_start() {
        text if text.starts_with("#cloud-config") => "text/cloud-config",
        text if text.starts_with("#include") => "text/x-include-url",
        text if text.starts_with("#!") => "text/x-shellscript",
        _ => "text/plain",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_gets_the_nodes_name() {
        let text = render("drbd-a", Software::None, None);
        assert!(text.starts_with("#cloud-config\nhostname: drbd-a\n"), "{text}");
        assert!(!text.contains("packages"), "{text}");
    }

    #[test]
    fn software_waits_for_the_package_lock_and_is_for_the_running_kernel() {
        let text = render("a", Software::Distribution, None);
        assert!(text.contains("Lock::Timeout") && text.contains("$(uname -r)"), "{text}");
        assert!(!text.contains("drbd-dkms"));
        assert!(render("a", Software::LinbitPpa, None).contains("drbd-dkms"));
    }

    #[test]
    fn a_users_data_follow_ours() {
        let text = render("a", Software::None, Some("#!/bin/sh\ntrue\n"));
        let ours = text.find("text/cloud-config").unwrap();
        let theirs = text.find("text/x-shellscript").unwrap();
        assert!(ours < theirs && text.contains("hostname: a") && text.trim_end().ends_with("--"), "{text}");
        assert_eq!(render("a", Software::None, Some(" \n")), render("a", Software::None, None));
    }
}
