// SPDX-License-Identifier: MPL-2.0
//! What each gate says, and what its script finds: the scripts run here, over trees that look like a guest's.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use super::*;
use crate::host::{Connector, HostLink, Hosts, Later, Request};
use drbd_schemas::reply::Reply;
use drbd_ssh::{ExecOutput, Target};
use tempfile::TempDir;

/// A guest that says one thing, whatever it is asked; or cannot be reached.
#[derive(Clone)]
struct Guest(Option<(i32, &'static str)>);

impl HostLink for Guest {
    fn run<'a>(&'a self, _: &'a Request) -> Later<'a, Result<Reply, LinkError>> {
        Box::pin(async { Ok(Reply::default()) })
    }

    fn known_hosts(&self) -> Later<'_, Result<Vec<String>, LinkError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn look<'a>(&'a self, _: &'a [&'a str], _: Duration) -> Later<'a, Result<ExecOutput, LinkError>> {
        Box::pin(async {
            let (code, said) = self.0.ok_or_else(|| SshError::ConnectionLost {
                host: "10.0.0.1".into(),
                during: "login".into(),
                last: "reset by peer".into(),
            })?;
            Ok(ExecOutput { code, stdout: said.as_bytes().to_vec(), stderr: Vec::new() })
        })
    }
}

impl Connector for Guest {
    fn link(&self, _: &Target) -> Arc<dyn HostLink> {
        Arc::new(self.clone())
    }
}

fn host(guest: Guest) -> Arc<Host> {
    Hosts::new(Arc::new(guest)).host(&Target::new("10.0.0.1", "root"))
}

/// The message names gate, host, last state and remedy.
fn shut_with(passed: Result<(), Diagnostic>, summary: &str, parts: &[&str]) {
    let told = passed.unwrap_err();
    assert_eq!(told.summary, summary);
    for part in parts.iter().chain(&["10.0.0.1"]) {
        assert!(told.detail.contains(part), "{part:?} is not in: {}", told.detail);
    }
}

#[tokio::test]
async fn ssh_that_does_not_answer_is_told() {
    let shut = ssh("a", &host(Guest(None)), Duration::ZERO).await;
    let parts = ["waited 0 s", "reset by peer", "security groups let port 22 in"];
    shut_with(shut, "Not ready: a: SSH reachable, host key verified", &parts);
}

#[tokio::test]
async fn cloud_init_that_failed_is_told_and_one_that_is_not_there_is_passed() {
    let shut = cloud_init("a", &host(Guest(Some((1, "status: error")))), Duration::ZERO).await;
    let parts = ["exit code 1: status: error", "/var/log/cloud-init-output.log"];
    shut_with(shut, "Not ready: a: cloud-init failed", &parts);
    let shut = cloud_init("a", &host(Guest(None)), Duration::ZERO).await;
    shut_with(shut, "Not ready: a: cloud-init finished", &["last seen", "reset by peer"]);
    for code in [0, 2, 127] {
        cloud_init("a", &host(Guest(Some((code, "")))), Duration::ZERO).await.unwrap();
    }
}

#[tokio::test]
async fn the_holder_of_a_package_lock_is_told() {
    let held = "/var/lib/dpkg/lock-frontend is held by process 812 (unattended-upgr)";
    let shut = package_lock("a", &host(Guest(Some((3, held)))), Duration::ZERO).await;
    shut_with(shut, "Not ready: a: package lock free", &[held, "apply again when they are done"]);
    package_lock("a", &host(Guest(Some((0, "")))), Duration::ZERO).await.unwrap();
    // A look that failed proves nothing.
    let shut = package_lock("a", &host(Guest(Some((127, "sh: not found")))), Duration::ZERO).await;
    shut_with(shut, "Not ready: a: package lock free", &["sh: not found"]);
}

#[tokio::test]
async fn what_looks_into_drbds_devices_is_a_warning() {
    let found = "LVM: no filter rejects /dev/drbd* (found none)\n";
    let warning = looking_in("a", &host(Guest(Some((0, found))))).await.unwrap().unwrap();
    assert!(warning.summary.contains("not left alone"));
    for part in ["10.0.0.1", found.trim(), "Nothing was changed", "replivol.drbd.install"] {
        assert!(warning.detail.contains(part), "{part}: {}", warning.detail);
    }
    assert!(looking_in("a", &host(Guest(Some((0, ""))))).await.unwrap().is_none());
}

fn volume() -> Volume {
    Volume {
        id: "vol-0ab".into(),
        state: drbd_ec2::VolumeState::InUse,
        size_gib: 1,
        volume_type: "gp3".into(),
        iops: None,
        throughput: None,
        encrypted: true,
        kms_key_id: None,
        availability_zone: "us-west-2a".into(),
        snapshot_id: None,
        attachments: Vec::new(),
        tags: drbd_ec2::Tags::new(),
    }
}

#[tokio::test]
async fn a_disk_that_is_not_there_is_told() {
    let none = "no disk with the serial number vol0ab";
    let shut = disk("a", &host(Guest(Some((3, none)))), &volume(), "/dev/sdf", Duration::ZERO).await;
    shut_with(
        shut.map(drop),
        "Not ready: a: data disk visible in the guest",
        &["vol-0ab", none, "driver for NVMe"],
    );
}

/// A disk of a guest: its node (a file here), and its size in sectors.
fn block(root: &Path, name: &str, sectors: u64) {
    for dir in ["dev/disk/by-id", "sys/class/block", "sys/block"] {
        fs::create_dir_all(root.join(dir)).unwrap();
    }
    fs::write(root.join("dev").join(name), "").unwrap();
    fs::create_dir_all(root.join("sys/block").join(name).join("device")).unwrap();
    fs::write(root.join("sys/block").join(name).join("size"), sectors.to_string()).unwrap();
    symlink(root.join("sys/block").join(name), root.join("sys/class/block").join(name)).unwrap();
}

/// What [`FIND_DISK`] finds for a volume of 1 GiB that EC2 has as `/dev/sdf`.
fn find(root: &Path) -> Result<String, String> {
    let mut sh = Command::new("sh");
    sh.args(["-c", FIND_DISK, "find-disk", "vol0ab", &letters("/dev/sdf"), "2097152"]).arg(root).arg("-e");
    let output = sh.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().trim().to_owned();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

#[test]
fn on_nitro_a_disk_is_found_by_its_link_or_by_its_serial_number_and_by_no_other() {
    let guest = TempDir::new().unwrap();
    let root = guest.path();
    block(root, "nvme0n1", 2 << 20);
    block(root, "nvme1n1", 2 << 20);
    fs::write(root.join("sys/block/nvme0n1/device/serial"), "vol0root\n").unwrap();
    let none = find(root).unwrap_err();
    assert!(none.contains("no disk with the serial number vol0ab") && none.contains("nvme0n1"), "{none}");
    // Serial numbers are padded with blanks.
    fs::write(root.join("sys/block/nvme1n1/device/serial"), "vol0ab              \n").unwrap();
    assert_eq!(find(root).unwrap(), "/dev/nvme1n1");
    let link = "dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0ab";
    symlink(root.join("dev/nvme1n1"), root.join(link)).unwrap();
    assert_eq!(find(root).unwrap(), format!("/{link}"));
}

#[test]
fn on_xen_the_letters_of_ec2s_name_are_those_of_the_disk() {
    let guest = TempDir::new().unwrap();
    block(guest.path(), "xvda", 2 << 20);
    block(guest.path(), "xvdg", 2 << 20);
    assert!(find(guest.path()).unwrap_err().contains("no /dev/xvdf"));
    block(guest.path(), "xvdf", 2 << 20);
    assert_eq!(find(guest.path()).unwrap(), "/dev/xvdf");
}

#[test]
fn a_disk_that_is_smaller_than_its_volume_has_not_grown_yet() {
    let guest = TempDir::new().unwrap();
    block(guest.path(), "xvdf", 1 << 20);
    let told = find(guest.path()).unwrap_err();
    assert_eq!(told, "/dev/xvdf has 1048576 sectors, and the volume has 2097152");
    fs::write(guest.path().join("sys/block/xvdf/size"), "2097152").unwrap();
    assert_eq!(find(guest.path()).unwrap(), "/dev/xvdf");
}

#[test]
fn the_holder_of_a_lock_is_found_in_the_kernels_list() {
    let guest = on_a_disk_of_its_own();
    let root = guest.path();
    for dir in ["var/lib/dpkg", "proc/812"] {
        fs::create_dir_all(root.join(dir)).unwrap();
    }
    fs::write(root.join("proc/812/comm"), "apt-get\n").unwrap();
    let holder = || holder(root);
    fs::write(root.join("proc/locks"), "").unwrap();
    assert_eq!(holder(), (Some(0), String::new()), "no package manager");
    let file = root.join("var/lib/dpkg/lock");
    fs::write(&file, "").unwrap();
    assert_eq!(holder(), (Some(0), String::new()), "free");
    let found = fs::metadata(&file).unwrap();
    let (inode, dev) = (found.ino(), found.dev());
    let (major, minor) = (dev >> 8 & 0xfff, dev & 0xff | dev >> 12 & 0xf_ff00);
    let lock = |minor: u64, inode: u64| {
        let line = format!("1: POSIX  ADVISORY  WRITE 812 {major:02x}:{minor:02x}:{inode} 0 EOF\n");
        fs::write(root.join("proc/locks"), line).unwrap();
    };
    lock(minor, inode + 1);
    assert_eq!(holder(), (Some(0), String::new()), "another file");
    lock(minor + 1, inode);
    assert_eq!(holder(), (Some(0), String::new()), "a file of this number on another disk");
    lock(minor, inode);
    assert_eq!(holder(), (Some(3), "/var/lib/dpkg/lock is held by process 812 (apt-get)\n".to_owned()));
}

/// A file system whose files show its own device.
fn on_a_disk_of_its_own() -> TempDir {
    TempDir::new_in("/dev/shm").unwrap()
}

fn holder(root: &Path) -> (Option<i32>, String) {
    let output = Command::new("sh").args(["-c", LOCK_HOLDER, "lock-holder"]).arg(root).output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn the_holder_of_a_lock_is_found_as_this_kernel_writes_it() {
    let guest = on_a_disk_of_its_own();
    let root = guest.path();
    fs::create_dir_all(root.join("var/lib/dpkg")).unwrap();
    symlink("/proc", root.join("proc")).unwrap();
    let file = root.join("var/lib/dpkg/lock");
    fs::write(&file, "").unwrap();
    assert_eq!(holder(root), (Some(0), String::new()), "free");
    let mut flock = Command::new("flock");
    flock
        .arg("--no-fork")
        .arg(&file)
        .args(["sh", "-c", "echo held; exec sleep 60"])
        .stdout(std::process::Stdio::piped());
    let mut held = flock.spawn().unwrap();
    let mut ready = [0; 5];
    std::io::Read::read_exact(held.stdout.as_mut().unwrap(), &mut ready).unwrap();
    let (code, told) = holder(root);
    held.kill().unwrap();
    held.wait().unwrap();
    assert_eq!(code, Some(3), "{told}");
    assert!(told.starts_with(&format!("/var/lib/dpkg/lock is held by process {} (", held.id())), "{told}");
}

/// A program of a guest that says what stands in a file beside it, by its last argument.
fn program(root: &Path, name: &str) -> std::path::PathBuf {
    let path = root.join("usr/sbin").join(name);
    fs::create_dir_all(root.join("usr/sbin")).unwrap();
    fs::write(&path, "#!/bin/sh\nfor last; do :; done\ncat \"$0.${last##*/}\" 2>/dev/null\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn multipath_and_lvm_are_found_outside_of_a_users_path_and_their_filters_are_read() {
    let guest = TempDir::new().unwrap();
    let root = guest.path();
    let found = || {
        let mut sh = Command::new("sh");
        sh.args(["-c", LOOKING_IN, "looking-in"]).arg(root).env("PATH", "/usr/bin:/bin");
        let output = sh.output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(found(), "", "neither is installed");
    program(root, "multipathd");
    let lvmconfig = program(root, "lvmconfig").display().to_string();
    let open = found();
    assert!(open.contains("multipath: no blacklist entry names drbd"), "{open}");
    assert!(open.contains("LVM: no filter rejects /dev/drbd* (found none)"), "{open}");

    fs::create_dir_all(root.join("etc/multipath/conf.d")).unwrap();
    let blacklist = root.join("etc/multipath/conf.d/drbd.conf");
    fs::write(&blacklist, "blacklist {\n  # devnode \"^drbd\"\n}\n").unwrap();
    fs::write(format!("{lvmconfig}.filter"), "filter=[\"a|.*|\"]\n").unwrap();
    let open = found();
    assert!(open.contains("multipath:") && open.contains("(found filter=[\"a|.*|\"]"), "{open}");

    fs::write(&blacklist, "blacklist {\n  devnode \"^drbd[0-9]\"\n}\n").unwrap();
    fs::write(format!("{lvmconfig}.filter"), "filter=[\"r|^/dev/drbd|\",\"a|.*|\"]\n").unwrap();
    assert_eq!(found(), "");
    // A devices file names what LVM may open; nothing else is.
    fs::write(format!("{lvmconfig}.filter"), "").unwrap();
    fs::write(format!("{lvmconfig}.use_devicesfile"), "use_devicesfile=1\n").unwrap();
    assert_eq!(found(), "");
}

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
