// SPDX-License-Identifier: MPL-2.0
//! The lab keeps its own promises: its hosts replicate, its faults really happen, and nothing is left behind.
//!
//! Not here: the product. A test of the product on these hosts means something only because of this file.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use support::{Lab, Output, made, run};

const MINUTE: Duration = Duration::from_secs(60);

/// A DRBD 8.4 resource `pair` on /dev/ubdb of h1 and h2, connected and in sync without a first sync (blank disks).
fn make_pair(lab: &Lab) {
    let resource = format!(
        "resource pair {{ device minor 9; disk /dev/ubdb; meta-disk internal;\n\
         on h1 {{ address {}:7799; }} on h2 {{ address {}:7799; }} }}\n",
        lab.address(1),
        lab.address(2)
    );
    for host in [1, 2] {
        lab.write(host, "/etc/drbd.d/pair.res", resource.as_bytes()).unwrap();
        lab.sh(host, "drbdadm create-md pair && drbdadm up pair").unwrap();
    }
    lab.eventually(1, MINUTE, "drbdadm cstate pair | grep -qx Connected").unwrap();
    lab.sh(1, "drbdadm new-current-uuid --clear-bitmap pair && drbdadm primary pair").unwrap();
}

/// Processes of a lab: id and start time, which together are never used twice.
fn processes(lab: &Lab) -> BTreeMap<u32, String> {
    let listed = run(Command::new("ip").args(["netns", "pids", lab.namespace()])).unwrap().ok().unwrap();
    listed
        .split_whitespace()
        .map(|pid| pid.parse().unwrap())
        .filter_map(|pid| Some((pid, start_time(pid)?)))
        .collect()
}

/// Field 22 of /proc/PID/stat; `None` for a process that is gone or dead and not reaped.
fn start_time(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    (fields.next()? != "Z").then(|| fields.nth(18).map(str::to_owned))?
}

/// What must be gone after a lab: its processes, its namespace, its files.
struct Remains {
    processes: BTreeMap<u32, String>,
    namespace: PathBuf,
    dir: PathBuf,
}

impl Remains {
    fn of(lab: &Lab) -> Self {
        let processes = processes(lab);
        assert!(processes.len() > 2, "the check would see nothing: {processes:?}");
        let namespace = Path::new("/run/netns").join(lab.namespace());
        assert!(namespace.exists());
        Self { processes, namespace, dir: lab.dir().to_owned() }
    }

    fn check(&self) -> Result<(), String> {
        let alive: Vec<_> =
            self.processes.iter().filter(|(pid, start)| start_time(**pid).as_ref() == Some(start)).collect();
        if alive.is_empty() && !self.namespace.exists() && !self.dir.exists() {
            return Ok(());
        }
        let (namespace, dir) = (self.namespace.exists(), self.dir.exists());
        Err(format!("left: processes {alive:?}, namespace {namespace}, directory {dir}"))
    }
}

#[test]
fn pair_replicates_and_a_cut_link_is_cut() {
    let lab = Lab::up(2).unwrap();
    make_pair(&lab);
    lab.sh(1, "echo first | dd of=/dev/drbd9 bs=512 conv=sync oflag=direct").unwrap();
    lab.sh(1, "drbdadm secondary pair").unwrap();
    let read = lab
        .sh(2, "drbdadm primary pair && dd if=/dev/drbd9 bs=512 count=1 status=none | tr -d '\\0'")
        .unwrap();
    assert_eq!(read, "first\n");
    lab.sh(2, "drbdadm secondary pair").unwrap();
    for host in [1, 2] {
        let image = fs::read(lab.disk_image(host, 1)).unwrap();
        assert!(image.starts_with(b"first\n"), "the image of h{host} shows what is on its disk");
    }

    lab.cut_pair(1, 2).unwrap();
    assert!(!lab.ssh(1, "ping -c1 -W1 h2").unwrap().success());
    assert!(!lab.ssh(2, "ping -c1 -W1 h1").unwrap().success());
    for host in [1, 2] {
        lab.eventually(host, MINUTE, "drbdadm cstate pair | grep -Evq '^Connected$'").unwrap();
    }
    lab.sh(1, "drbdadm primary pair && echo alone | dd of=/dev/drbd9 bs=512 conv=sync oflag=direct").unwrap();
    assert!(fs::read(lab.disk_image(2, 1)).unwrap().starts_with(b"first\n"), "a write crossed a cut link");
    lab.heal_pair(1, 2).unwrap();
    lab.eventually(1, MINUTE, "drbdadm dstate pair | grep -qx UpToDate/UpToDate").unwrap();
    assert!(fs::read(lab.disk_image(2, 1)).unwrap().starts_with(b"alone\n"));
}

#[test]
fn crash_keeps_disks_and_cuts_and_wipe_does_not() {
    let lab = Lab::up(2).unwrap();
    lab.sh(1, "echo kept >/root/kept && sync && echo kept | dd of=/dev/ubdc bs=512 conv=sync oflag=direct")
        .unwrap();
    lab.cut_pair(1, 2).unwrap();
    lab.crash(1).unwrap();
    assert_eq!(lab.ssh(1, "true").unwrap().code, Some(255), "a crashed host answered");
    lab.boot(1).unwrap();
    assert_eq!(lab.sh(1, "cat /root/kept; head -c5 /dev/ubdc").unwrap(), "kept\nkept\n");
    assert!(!lab.ssh(1, "ping -c1 -W1 h2").unwrap().success(), "a boot healed a cut link");
    lab.heal_pair(1, 2).unwrap();
    lab.sh(1, "ping -c1 -W5 h2").unwrap();

    lab.cut(2).unwrap();
    assert!(!lab.ssh(1, "ping -c1 -W1 h2").unwrap().success());
    lab.heal(2).unwrap();
    lab.eventually(2, MINUTE, "ping -c1 -W1 h1").unwrap();

    lab.wipe(1).unwrap();
    lab.boot(1).unwrap();
    lab.sh(1, "test ! -e /root/kept && cmp -n 4096 /dev/ubdc /dev/zero").unwrap();
}

#[test]
fn disks_can_be_added_and_grown() {
    let lab = Lab::up(1).unwrap();
    let plain = lab.add_disk(1, "64M").unwrap();
    let elastic = lab.add_elastic_disk(1, "64M").unwrap();
    let size = |device: &str| {
        lab.sh(1, &format!("blockdev --getsize64 {device}")).unwrap().trim().parse::<u64>().unwrap()
    };
    assert_eq!((plain.as_str(), size(&plain), size(&elastic)), ("/dev/ubdd", 64 << 20, 64 << 20));
    lab.sh(1, &format!("vgcreate -q both {plain} {elastic} && lvcreate -qq -n lv -l 100%FREE both && mkfs.ext4 -q /dev/both/lv"))
        .unwrap();
    lab.sh(1, "mount /dev/both/lv /mnt").unwrap();

    lab.grow_disk(1, &elastic, "128M").unwrap();
    assert_eq!(size(&elastic), 128 << 20, "grown while in use");
    lab.sh(1, &format!("pvresize -q {elastic} && lvextend -qq -r -L +32M both/lv")).unwrap();
    let refused = lab.grow_disk(1, &plain, "128M").unwrap_err();
    assert!(format!("{refused:#}").contains("in use"), "{refused:#}");
    assert_eq!(size(&plain), 64 << 20);

    lab.crash(1).unwrap();
    lab.grow_disk(1, &plain, "128M").unwrap();
    lab.boot(1).unwrap();
    assert_eq!((size(&plain), size(&elastic)), (128 << 20, 128 << 20));
    lab.sh(1, "mount /dev/both/lv /mnt").unwrap();
}

#[test]
fn module_and_utils_can_be_taken_away() {
    let lab = Lab::up(1).unwrap();
    lab.sh(1, "! test -e /proc/drbd && modprobe drbd && grep -q '^version: 8.4' /proc/drbd").unwrap();
    lab.ctl(["rm-module", "1"]).unwrap();
    lab.sh(1, "! test -e /proc/drbd && ! modprobe drbd && ! modinfo drbd").unwrap();
    lab.ctl(["restore-module", "1"]).unwrap();
    lab.sh(1, "modprobe drbd && drbdadm --version").unwrap();
    lab.ctl(["rm-utils", "1"]).unwrap();
    lab.sh(1, "! command -v drbdadm drbdsetup drbdmeta && test -d /etc/drbd.d").unwrap();
    lab.ctl(["restore-utils", "1"]).unwrap();
    lab.sh(1, "drbdadm --version").unwrap();
}

#[test]
fn users_have_the_sudo_they_should() {
    let lab = Lab::up(1).unwrap();
    assert_eq!(lab.ssh_as("ops", 1, "sudo -n id -u").unwrap().ok().unwrap(), "0\n");
    let refused = lab.ssh_as("nosudo", 1, "sudo -n id -u").unwrap();
    assert!(!refused.success() && refused.stdout.is_empty(), "{refused:?}");
    let limits = lab.sh(1, "sshd -T | grep -Ei '^(maxsessions|maxstartups) ' | sort").unwrap().to_lowercase();
    assert_eq!(limits, "maxsessions 10\nmaxstartups 10:30:100\n");
}

#[test]
fn two_labs_do_not_meet() {
    let (one, other) = (Lab::up(1).unwrap(), Lab::up(1).unwrap());
    one.sh(1, "touch /root/here").unwrap();
    other.sh(1, "test ! -e /root/here").unwrap();
    let inside =
        |lab: &Lab| run(&mut lab.enter(Command::new("ip").args(["-br", "link", "show", "tap1"]))).unwrap();
    assert!(inside(&one).success() && inside(&other).success());
    let key = |lab: &Lab| fs::read_to_string(lab.known_hosts()).unwrap();
    assert_ne!(key(&one), key(&other), "host keys are the host's own");
}

#[test]
fn nothing_is_left_after_drop() {
    let lab = Lab::up(2).unwrap();
    let remains = Remains::of(&lab);
    drop(lab);
    remains.check().unwrap();
}

#[test]
fn nothing_is_left_after_a_panic() {
    let mut remains = None;
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let lab = Lab::up(1).unwrap();
        remains = Some(Remains::of(&lab));
        panic!("on purpose");
    }));
    assert!(panicked.is_err());
    remains.unwrap().check().unwrap();
}

/// The owner is this test itself, run in a process of its own.
#[test]
fn nothing_is_left_after_the_owner_is_killed() {
    const OWNER: &str = "REPLIVOL_SELFTEST_OWNER";
    if std::env::var_os(OWNER).is_some() {
        let lab = Lab::up(1).unwrap();
        println!("\nLAB {} {}", lab.namespace(), lab.dir().display());
        thread::sleep(10 * MINUTE);
        return;
    }
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", "nothing_is_left_after_the_owner_is_killed"])
        .env(OWNER, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(owner.stdout.take().unwrap()).lines();
    let line = lines.find_map(|line| line.unwrap().strip_prefix("LAB ").map(str::to_owned)).unwrap();
    let (namespace, dir) = line.split_once(' ').unwrap();
    let dir = PathBuf::from(dir);
    let host: u32 = fs::read_to_string(dir.join("h1/pid")).unwrap().trim().parse().unwrap();
    let remains = Remains {
        processes: BTreeMap::from([(host, start_time(host).unwrap())]),
        namespace: Path::new("/run/netns").join(namespace),
        dir,
    };
    assert!(remains.check().is_err());
    owner.kill().unwrap();
    owner.wait().unwrap();
    let end = Instant::now() + MINUTE;
    while remains.check().is_err() && Instant::now() < end {
        thread::sleep(Duration::from_millis(100));
    }
    remains.check().unwrap();
}

/// A lab used through its scripts, as a person does; removed however the test ends.
struct Scripts {
    dir: PathBuf,
}

impl Scripts {
    fn run(&self, script: &str, arguments: &[&str]) -> Output {
        let path = made::checkout().join("tests/lab").join(script);
        run(Command::new(path).args(arguments).env("LAB_DIR", &self.dir)).unwrap()
    }
}

impl Drop for Scripts {
    fn drop(&mut self) {
        self.run("down", &[]);
    }
}

#[test]
fn what_a_killed_run_left_is_taken_over() {
    let name = format!("stale-{}", std::process::id());
    let lab = Scripts { dir: std::env::temp_dir().join("replivol-lab").join(&name) };
    lab.run("up", &["2"]).ok().unwrap();
    // h1 is dead, and its process id now belongs to somebody else; the namespace is gone under h2.
    lab.run("ctl", &["crash", "1"]).ok().unwrap();
    let mut innocent = Command::new("sleep").arg("600").spawn().unwrap();
    fs::write(lab.dir.join("h1/pid"), format!("{}\n", innocent.id())).unwrap();
    run(Command::new("ip").args(["netns", "del", &format!("rv-{name}")])).unwrap().ok().unwrap();

    lab.run("up", &["2"]).ok().unwrap();
    lab.run("ctl", &["ssh", "1", "ping -c1 -W5 h2"]).ok().unwrap();
    lab.run("up", &["2"]).ok().unwrap();
    lab.run("ctl", &["crash", "1"]).ok().unwrap();
    fs::write(lab.dir.join("h1/pid"), format!("{}\n", innocent.id())).unwrap();
    lab.run("down", &[]).ok().unwrap();
    let unharmed = innocent.try_wait().unwrap().is_none();
    innocent.kill().unwrap();
    innocent.wait().unwrap();
    assert!(unharmed, "a stale pid file made the lab kill a stranger");
    assert!(!lab.dir.exists() && !Path::new("/run/netns").join(format!("rv-{name}")).exists());
}

#[test]
fn bad_settings_are_refused_and_leave_nothing() {
    let lab = Scripts {
        dir: std::env::temp_dir().join("replivol-lab").join(format!("bad-{}", std::process::id())),
    };
    for count in ["0", "33", "two", "-1"] {
        let output = lab.run("up", &[count]);
        assert!(!output.success() && output.stderr.contains("need 1 to 32"), "{output:?}");
    }
    assert!(!lab.dir.exists());
    assert!(!lab.run("ctl", &["boot", "1"]).success());
}

#[test]
fn ansible_and_a_bastion_reach_the_hosts() {
    let lab = Lab::up(2).unwrap();
    let (key, known) = (lab.key(), lab.known_hosts());
    let options =
        format!("-F none -o BatchMode=yes -i {} -o UserKnownHostsFile={}", key.display(), known.display());
    let bastion = format!("ssh {options} -W %h:%p ops@{}", lab.address(1));
    let mut ssh = Command::new("ssh");
    ssh.args(options.split(' ')).args(["-o", &format!("ProxyCommand={bastion}")]);
    ssh.args([&format!("root@{}", lab.address(2)), "hostname; echo ${SSH_CONNECTION%% *}"]);
    let through = run(&mut lab.enter(&ssh)).unwrap().ok().unwrap();
    assert_eq!(through, format!("h2\n{}\n", lab.address(1)), "h2 sees h1 as the client");

    let mut ansible = lab.ansible("ansible").unwrap();
    ansible.args(["--inventory", "h1,h2,", "--user", "ops", "--become", "all"]);
    ansible.args(["--module-name", "command", "--args", "id -un"]);
    let said = run(&mut ansible).unwrap().ok().unwrap();
    assert_eq!(said.lines().filter(|line| *line == "root").count(), 2, "{said}");
}
