// SPDX-License-Identifier: MPL-2.0
//! What a new instance must have come to before it is a host like any other: SSH answers with the verified key, cloud-init is
//! done, every data disk is there. Each gate has a deadline, its last state, and a remedy.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use drbd_ec2::{Gate, Look, Stuck, Volume};
use drbd_ssh::SshError;
use tfplugin::Diagnostic;

use crate::host::{Host, LinkError};

const SSH_DEADLINE: Duration = Duration::from_secs(10 * 60);
/// A login can be refused until cloud-init has put the keys there.
const LOGIN_DEADLINE: Duration = Duration::from_secs(90);
const CLOUD_INIT_DEADLINE: Duration = Duration::from_secs(20 * 60);
const DISK_DEADLINE: Duration = Duration::from_secs(2 * 60);
/// For a look that takes no time.
const MOMENT: Duration = Duration::from_secs(20);

/// Finds the device of an EBS volume by what the volume itself tells, and never by the order of kernel names. `$1`: the id as
/// NVMe serial numbers have it. `$2`: the letters of EC2's device name, for Xen, where disks tell nothing. `$3`: sectors.
const FIND_DISK: &str = r#"
for d in "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_$1" "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_${1}_1"; do
  [ -b "$d" ] && { echo "$d"; exit 0; }
done
for n in /sys/block/nvme*n1; do
  [ -r "$n/device/serial" ] && [ "$(tr -d ' ' <"$n/device/serial")" = "$1" ] && { echo "/dev/${n##*/}"; exit 0; }
done
n=/sys/class/block/xvd$2
[ -r "$n/size" ] && [ "$(cat "$n/size")" = "$3" ] && [ -b "/dev/xvd$2" ] && { echo "/dev/xvd$2"; exit 0; }
echo "no disk with the serial number $1, and no /dev/xvd$2 of $3 sectors; there are: $(ls /sys/block | tr '\n' ' ')" >&2
exit 3
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
pub(super) async fn ssh(node: &str, host: &Host) -> Result<(), Diagnostic> {
    let gate = Gate::new(
        "SSH reachable, host key verified",
        host.spot(),
        SSH_DEADLINE,
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
pub(super) async fn cloud_init(node: &str, host: &Host) -> Result<(), Diagnostic> {
    let gate = Gate::new(
        "cloud-init finished",
        host.spot(),
        CLOUD_INIT_DEADLINE,
        "Look at /var/log/cloud-init-output.log on the host; a package that could not be installed is told there.",
    );
    let passed = gate.pass(|| async {
        let output = match host.look(&["cloud-init", "status", "--wait"], CLOUD_INIT_DEADLINE).await {
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

/// Waits until the guest shows a volume; its path there.
pub(super) async fn disk(
    node: &str,
    host: &Host,
    volume: &Volume,
    device: &str,
) -> Result<String, Diagnostic> {
    let gate = Gate::new(
        "data disk visible in the guest",
        format!("{} on {}", volume.id, host.spot()),
        DISK_DEADLINE,
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
mod tests {
    use super::*;

    #[test]
    fn a_refused_login_is_usual_for_a_while_and_a_wrong_key_never_is() {
        let auth = || SshError::AuthFailed { host: "h".into(), user: "u".into(), tried: Vec::new() };
        let since = Mutex::new(None);
        assert!(is_booting(&auth().into(), &since));
        *since.lock().unwrap() = Instant::now().checked_sub(LOGIN_DEADLINE);
        assert!(!is_booting(&auth().into(), &since));
        let lost = SshError::ConnectionLost { host: "h".into(), during: "x".into(), last: "reset".into() };
        assert!(is_booting(&lost.into(), &since));
        let sudo = SshError::Unresolvable { host: "h".into(), last: "no".into() };
        assert!(!is_booting(&sudo.into(), &since));
    }

    #[test]
    fn letters_are_those_of_ec2s_name() {
        assert_eq!(["/dev/sdf", "/dev/xvdba", "sdg"].map(letters), ["f", "ba", "g"]);
    }
}
