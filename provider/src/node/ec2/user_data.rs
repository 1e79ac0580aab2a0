// SPDX-License-Identifier: MPL-2.0
//! What cloud-init does on a new instance: the host name, the software, and keeping multipath and LVM off DRBD's devices.
//! A user's own data follow as a second part. Pure; no secret is in it.

use std::collections::BTreeMap;

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

/// The beginning of what is run: both package managers wait for their locks, and take given versions. `$pins` holds
/// `name=version` words.
const INSTALL: &str = r#"pinned() { # pinned SIGN NAME...: each with its version behind this sign
  sign=$1; shift
  for name; do
    version=
    for pin in $pins; do case $pin in "$name="*) version=$sign${pin#*=} ;; esac; done
    printf '%s ' "$name$version"
  done
}
install() { # install NAME...
  if command -v apt-get >/dev/null; then
    apt-get -o DPkg::Lock::Timeout=600 -qy install --allow-downgrades $(pinned = "$@")
    for name; do case " $pins" in *" $name="*) apt-mark hold "$name" ;; esac; done
  else
    dnf -y install $(pinned - "$@") # waits for its lock by itself
  fi
}
export DEBIAN_FRONTEND=noninteractive
if command -v apt-get >/dev/null; then
  try=0
  until apt-get -q update; do # its lock on the lists has no time-out of its own
    try=$((try + 1)); [ $try -lt 60 ] || { echo 'apt-get update fails' >&2; exit 1; }; sleep 10
  done
  install drbd-utils lvm2 thin-provisioning-tools
else
  install drbd-utils lvm2 device-mapper-persistent-data
fi
"#;

/// The kernel's module is in a package of its own in Ubuntu's cloud images. Where there is none, it is in the kernel's.
const IN_TREE: &str = r#"modprobe drbd || { install "linux-modules-extra-$(uname -r)" && modprobe drbd; }
"#;

const PPA: &str = r#"apt:
  sources:
    linbit: { source: "ppa:linbit/linbit-drbd9-stack" }
"#;

/// Built for the running kernel, cloud flavours included; an 8.4 that was loaded instead is an error.
const FROM_PPA: &str = r#"install "linux-headers-$(uname -r)" drbd-dkms
modprobe drbd
case $(cat /sys/module/drbd/version) in
9.*) ;;
*) echo "DRBD $(cat /sys/module/drbd/version) is loaded for $(uname -r), and not 9: see dkms status" >&2; exit 1 ;;
esac
"#;

/// Packages that a software choice installs and that can be held at a version.
fn packages(software: Software) -> &'static [&'static str] {
    match software {
        Software::Distribution => {
            &["drbd-utils", "lvm2", "thin-provisioning-tools", "device-mapper-persistent-data"]
        }
        Software::LinbitPpa => &["drbd-utils", "lvm2", "thin-provisioning-tools", "drbd-dkms"],
        Software::None => &[],
    }
}

/// A version that can stand in a command as it is.
fn is_version(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || ".+:~-_*".contains(c);
    text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(allowed)
}

/// Why this package cannot be held at this version; none when it can.
pub(crate) fn unusable_pin(software: Option<&str>, package: &str, version: &str) -> Option<String> {
    let known = packages(Software::of(software));
    if !known.contains(&package) {
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        return Some(format!("{package} is no package that this software installs; these are: {known}."));
    }
    (!is_version(version))
        .then(|| format!("{version:?} is no version of {package}: letters, digits and .+:~-_* are allowed."))
}

/// Versions by package, in the order of their names.
pub(super) type Pins = BTreeMap<String, String>;

/// What is run once, as cloud-init has it: one command, which ends at its first failure.
fn run(pins: &Pins, module: &str) -> String {
    let pins: Vec<String> = pins.iter().map(|(name, version)| format!("{name}={version}")).collect();
    let script = format!("pins='{}'\n{INSTALL}{module}", pins.join(" "));
    let indented: String = script.lines().map(|line| format!("      {line}\n")).collect();
    format!("runcmd:\n  - - sh\n    - -efuc\n    - |\n{indented}")
}

const BOUNDARY: &str = "==drbd-node-part==";

/// The user data of a node.
pub(super) fn render(node: &str, software: Software, pins: &Pins, of_user: Option<&str>) -> String {
    let software = match software {
        Software::None => String::new(),
        Software::Distribution => run(pins, IN_TREE),
        Software::LinbitPpa => format!("{PPA}{}", run(pins, FROM_PPA)),
    };
    let ours = format!("#cloud-config\nhostname: {node}\npreserve_hostname: false\n{KEEP_OFF}{software}");
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
mod tests;
