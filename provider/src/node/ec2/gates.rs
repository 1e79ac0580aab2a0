// SPDX-License-Identifier: MPL-2.0
//! What a new instance must have come to before it is a host like any other: SSH answers with the verified key, cloud-init is
//! done, every data disk is there. Each gate has a deadline, its last state, and a remedy.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use drbd_ec2::{Gate, Look, Stuck, Volume};
use drbd_ssh::SshError;
use tfplugin::Diagnostic;

use crate::host::{Host, LinkError};

pub(super) const SSH_DEADLINE: Duration = Duration::from_secs(10 * 60);
/// A login can be refused until cloud-init has put the keys there.
const LOGIN_DEADLINE: Duration = Duration::from_secs(90);
pub(super) const CLOUD_INIT_DEADLINE: Duration = Duration::from_secs(20 * 60);
pub(super) const LOCK_DEADLINE: Duration = Duration::from_secs(10 * 60);
pub(super) const DISK_DEADLINE: Duration = Duration::from_secs(2 * 60);
/// For a look that takes no time.
const MOMENT: Duration = Duration::from_secs(20);

/// Finds the device of an EBS volume by what the volume itself tells, and never by the order of kernel names. `$1`: the id as
/// NVMe serial numbers have it. `$2`: the letters of EC2's device name, for Xen, where disks tell nothing. `$3`: sectors; a
/// disk that was grown shows its new size a moment later. `$4` and `$5` are for tests: another root, where a disk is a file.
const FIND_DISK: &str = r#"
r=$4
found() {
  n=$(readlink -f "$r$1"); has=$(cat "$r/sys/class/block/${n##*/}/size" 2>/dev/null)
  [ "${has:-0}" -ge "$2" ] && { echo "$1"; exit 0; }
  echo "$1 has ${has:-0} sectors, and the volume has $2" >&2; exit 3
}
for d in "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_$1" "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_${1}_1"; do
  test "${5:--b}" "$r$d" && found "$d" "$3"
done
for n in "$r"/sys/block/nvme*n1; do
  [ -r "$n/device/serial" ] && [ "$(tr -d ' ' <"$n/device/serial")" = "$1" ] && found "/dev/${n##*/}" "$3"
done
test "${5:--b}" "$r/dev/xvd$2" && found "/dev/xvd$2" "$3"
echo "no disk with the serial number $1, and no /dev/xvd$2; there are: $(ls "$r/sys/block" | tr '\n' ' ')" >&2
exit 3
"#;

/// Who holds the lock of a package manager, by the kernel's list of locks: no tool is needed, and no right. A lock is known by
/// device and inode: a file on another disk can have the same number. Where files show another device than their file system
/// has (btrfs, overlayfs), the inode has to do.
const LOCK_HOLDER: &str = r#"
r=$1
for f in /var/lib/dpkg/lock-frontend /var/lib/dpkg/lock /var/lib/apt/lists/lock /var/lib/rpm/.rpm.lock /usr/lib/sysimage/rpm/.rpm.lock; do
  i=$(stat -c '%i %D' "$r$f" 2>/dev/null) || continue
  d=$((0x${i#* })) i=${i% *}
  d=$(printf '%02x:%02x' $((d >> 8 & 0xfff)) $((d & 0xff | d >> 12 & 0xfff00)))
  case $(stat -f -c %T "$r$f") in btrfs | overlay*) d= ;; esac
  p=$(awk -v inode="$i" -v device="$d" '{ split($6, part, ":") }
    part[3] == inode && (device == "" || part[1] ":" part[2] == device) { print $5; exit }' "$r/proc/locks")
  [ -z "$p" ] || { echo "$f is held by process $p ($(cat "$r/proc/$p/comm" 2>/dev/null))"; exit 3; }
done
"#;

/// What looks into DRBD's devices though it must not: the rules are those of the Ansible role `install`. A login user's `PATH`
/// has no `sbin`. `$1` is for tests: another root.
const LOOKING_IN: &str = r#"
r=$1
PATH=$PATH:$r/usr/sbin:$r/sbin
if command -v multipathd >/dev/null; then
  cat "$r/etc/multipath.conf" "$r"/etc/multipath/conf.d/*.conf 2>/dev/null | grep -q '^[^#]*devnode.*drbd' ||
    echo 'multipath: no blacklist entry names drbd in /etc/multipath.conf or /etc/multipath/conf.d'
fi
if command -v lvmconfig >/dev/null; then
  filter=$(lvmconfig --type current devices/global_filter devices/filter 2>/dev/null | tr '\n' ' ')
  case $(lvmconfig --type full devices/use_devicesfile 2>/dev/null) in
  *=1) ;;
  *) case $filter in *r*/dev/drbd*) ;; *) echo "LVM: no filter rejects /dev/drbd* (found ${filter:-none})" ;; esac ;;
  esac
fi
exit 0
"#;

/// A gate that stayed shut.
fn shut(stuck: Stuck<LinkError>, node: &str, gate: &Gate) -> Diagnostic {
    match stuck {
        Stuck::Overdue(overdue) => {
            Diagnostic::error(format!("Not ready: {node}: {}", overdue.name), format!("{overdue}"))
        }
        Stuck::Failed(error) => Diagnostic::error(
            format!("Not ready: {node}: {}", gate.name),
            format!("While waiting for {}: {}: {error}. {}", gate.subject, gate.name, gate.remedy),
        ),
    }
}

/// Waits until SSH answers, with the verified key, and lets us in.
pub(super) async fn ssh(node: &str, host: &Host, within: Duration) -> Result<(), Diagnostic> {
    let gate = Gate::new(
        "SSH reachable, host key verified",
        host.spot(),
        within,
        "Check that the security groups let port 22 in from here or from the bastion, that there is a route, that ssh.user is the \
         image's user, and that its key is the one of key_name.",
    );
    let refused_since = Mutex::new(None);
    let passed = gate.pass(|| async {
        match host.look(&["true"], MOMENT).await {
            Ok(_) => Ok(Look::Passed(())),
            Err(error) if is_booting(&error, &refused_since) => Ok(Look::NotYet(error.to_string())),
            Err(error) => Err(error),
        }
    });
    passed.await.map_err(|stuck| shut(stuck, node, &gate))
}

/// Whether an error is usual while a host boots.
fn is_booting(error: &LinkError, refused_since: &Mutex<Option<Instant>>) -> bool {
    let LinkError::Ssh(error) = error else { return false };
    match innermost(error) {
        SshError::AuthFailed { .. } => {
            let mut since = refused_since.lock().unwrap_or_else(PoisonError::into_inner);
            since.get_or_insert_with(Instant::now).elapsed() < LOGIN_DEADLINE
        }
        SshError::Unreachable { .. }
        | SshError::ConnectionLost { .. }
        | SshError::TimedOut { .. }
        | SshError::ChannelRefused { .. } => true,
        _ => false,
    }
}

fn innermost(error: &SshError) -> &SshError {
    match error {
        SshError::Bastion { source, .. } => innermost(source),
        other => other,
    }
}

/// Waits until cloud-init is done; at once where there is none.
pub(super) async fn cloud_init(node: &str, host: &Host, within: Duration) -> Result<(), Diagnostic> {
    let gate = Gate::new(
        "cloud-init finished",
        host.spot(),
        within,
        "Look at /var/log/cloud-init-output.log on the host; a package that could not be installed is told there.",
    );
    let passed = gate.pass(|| async {
        let output = match host.look(&["cloud-init", "status", "--wait"], within).await {
            // It can restart sshd on its way.
            Err(error) if is_booting(&error, &Mutex::new(None)) => {
                return Ok(Look::NotYet(error.to_string()));
            }
            other => other?,
        };
        Ok(match output.code {
            // 2: done, with something that it recovered from. 127: there is no cloud-init.
            0 | 2 | 127 => Look::Passed(Ok(())),
            code => Look::Passed(Err((code, said(&output.stdout, &output.stderr)))),
        })
    });
    match passed.await.map_err(|stuck| shut(stuck, node, &gate))? {
        Ok(()) => Ok(()),
        Err((code, said)) => Err(Diagnostic::error(
            format!("Not ready: {node}: cloud-init failed"),
            format!(
                "`cloud-init status` on {} ended with exit code {code}: {said}. {}",
                host.spot(),
                gate.remedy
            ),
        )),
    }
}

/// Waits until no package manager works on the host.
pub(super) async fn package_lock(node: &str, host: &Host, within: Duration) -> Result<(), Diagnostic> {
    let gate = Gate::new(
        "package lock free",
        host.spot(),
        within,
        "Unattended upgrades may be at work: apply again when they are done, or look at that process on the host.",
    );
    let passed = gate.pass(|| async {
        let output = host.look(&["sh", "-c", LOCK_HOLDER, "lock-holder"], MOMENT).await?;
        Ok(match output.code {
            0 => Look::Passed(()),
            _ => Look::NotYet(said(&output.stdout, &output.stderr)),
        })
    });
    passed.await.map_err(|stuck| shut(stuck, node, &gate))
}

/// Says what does not keep off DRBD's devices. A warning: this provider's own calls of LVM keep off them, whatever the host's
/// configuration says; what else runs there does not.
pub(super) async fn looking_in(node: &str, host: &Host) -> Result<Option<Diagnostic>, Diagnostic> {
    let output = host.look(&["sh", "-c", LOOKING_IN, "looking-in"], MOMENT).await;
    let output = output.map_err(|error| {
        Diagnostic::error(
            format!("Not ready: {node}: multipath and LVM"),
            format!("{}: {error}", host.spot()),
        )
    })?;
    let found = String::from_utf8_lossy(&output.stdout).trim().replace('\n', "; ");
    Ok((!found.is_empty()).then(|| {
        let detail = format!(
            "On {}: {found}. They could open what is on a DRBD device and keep it from becoming Secondary. Nothing was changed. Reject \
             /dev/drbd* in LVM's global_filter and multipath's blacklist; the role replivol.drbd.install does it, and so does the user \
             data of an instance that installs its software.",
            host.spot()
        );
        Diagnostic::warning(format!("{node}: DRBD's devices are not left alone"), detail)
    }))
}

/// Waits until the guest shows a volume in its size; its path there.
pub(super) async fn disk(
    node: &str,
    host: &Host,
    volume: &Volume,
    device: &str,
    within: Duration,
) -> Result<String, Diagnostic> {
    let gate = Gate::new(
        "data disk visible in the guest",
        format!("{} on {}", volume.id, host.spot()),
        within,
        "Look at /sys/block there. The kernel must have a driver for NVMe disks, or for Xen's.",
    );
    let serial = volume.id.replace('-', "");
    let letters = letters(device);
    let sectors = (u64::from(volume.size_gib) << 21).to_string();
    let argv = ["sh", "-c", FIND_DISK, "find-disk", &serial, &letters, &sectors];
    let passed = gate.pass(|| async {
        let output = host.look(&argv, MOMENT).await?;
        let found = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        Ok(if output.code == 0 && found.starts_with("/dev/") {
            Look::Passed(found)
        } else {
            Look::NotYet(said(&output.stdout, &output.stderr))
        })
    });
    passed.await.map_err(|stuck| shut(stuck, node, &gate))
}

/// `f` of `/dev/sdf`.
fn letters(device: &str) -> String {
    let bare = device.trim_start_matches("/dev/");
    bare.strip_prefix("xvd").or_else(|| bare.strip_prefix("sd")).unwrap_or(bare).to_owned()
}

fn said(stdout: &[u8], stderr: &[u8]) -> String {
    let text = [stderr, stdout].map(String::from_utf8_lossy).join(" ");
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.is_empty() { "it printed nothing".to_owned() } else { text.chars().take(400).collect() }
}

#[cfg(test)]
mod tests;
