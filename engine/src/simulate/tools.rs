// SPDX-License-Identifier: MPL-2.0
//! The programs of the model: each command changes the state and prints what the real one prints.

use super::filesystem;
use super::lvm;
use super::machine::{Content, Data, Metadata, Running, World};
use super::status;
use crate::conf;
use crate::host::{Cmd, Output};
use crate::tools::size;
use drbd_schemas::Family;

/// The command is a question: it changes nothing.
pub(super) fn only_reads(cmd: &Cmd) -> bool {
    let words: Vec<&str> = cmd.args.iter().map(String::as_str).collect();
    match cmd.program {
        "blkid" | "modinfo" | "dumpe2fs" | "xfs_db" | "xfs_io" | "blockdev" => true,
        "lvm" => matches!(words.first(), Some(&"fullreport" | &"lvmconfig")),
        "drbdsetup" => matches!(words.first(), Some(&"events2" | &"show" | &"status")),
        "drbdmeta" => words.last() == Some(&"get-gi") || words.contains(&"get-gi"),
        "drbdadm" => {
            words.contains(&"-d")
                || matches!(words.first(), Some(&"get-gi" | &"--version"))
                || words.last() == Some(&"sh-nop")
        }
        _ => false,
    }
}

pub(super) fn run(world: &mut World, host: &str, cmd: &Cmd) -> Output {
    let words: Vec<&str> = cmd.args.iter().map(String::as_str).collect();
    if !only_reads(cmd) {
        world.journal.push(format!("{host}: {cmd}"));
    }
    match (cmd.program, words.as_slice()) {
        ("modinfo", _) => Output::of(0, "8.4.11\n", ""),
        ("modprobe", _) => {
            world.machine(host).module = true;
            done()
        }
        ("lvm", ["fullreport", ..]) => Output::of(0, lvm::report(world, host), ""),
        ("lvm", ["lvcreate", ..]) => lvm::lvcreate(world, host, &words),
        ("lvm", ["lvextend", ..]) => lvm::lvextend(world, host, &words),
        ("lvm", ["lvremove", ..]) => lvm::lvremove(world, host, &words),
        ("lvm", ["lvchange", ..]) if words.contains(&"--ignoreactivationskip") => {
            world.machine(host).lvm_says.remove(words.last().copied().unwrap_or_default());
            done()
        }
        ("blkid", [.., device]) => match filesystem::probe(world, host, &words, device) {
            Some(output) => output,
            None => blkid(world, host, device),
        },
        (
            "mkfs.ext4" | "mkfs.xfs" | "mount" | "umount" | "mkdir" | "dumpe2fs" | "xfs_db" | "xfs_io"
            | "resize2fs" | "xfs_growfs" | "blockdev",
            _,
        ) => filesystem::run(world, host, cmd),
        ("wipefs", [.., device]) if world.machine(host).busy > 0 => {
            world.machine(host).busy -= 1;
            let reason = "probing initialization failed: Device or resource busy";
            Output::of(1, "", format!("wipefs: error: {device}: {reason}\n"))
        }
        ("wipefs", ["--all", "--types", "drbd", device]) => {
            if let Some(disk) = world.machine(host).disk(device) {
                disk.metadata = None;
            }
            world.lose(format!("{host}: wipefs --types drbd {device}"));
            done()
        }
        ("wipefs", [.., device]) => wipefs(world, host, device),
        ("drbdmeta", _) if words.contains(&"get-gi") => get_gi_of(world, host, &words),
        ("drbdsetup", ["events2", ..]) => Output::of(0, status::events2(world, host), ""),
        ("drbdsetup", ["show", ..]) => Output::of(0, status::show(world, host), ""),
        ("drbdsetup", ["down", resource]) | ("drbdadm", ["down", resource]) => {
            world.machine(host).running.remove(*resource);
            done()
        }
        ("drbdadm", ["-c", _, "-d", verb @ ("adjust" | "up"), resource]) => {
            load_unasked(world, host, verb);
            dry_run(world, host, resource, true)
        }
        ("drbdadm", ["-d", verb @ "adjust", resource]) => {
            load_unasked(world, host, verb);
            dry_run(world, host, resource, false)
        }
        ("drbdadm", ["-c", _, "sh-nop"]) => done(),
        ("drbdadm", ["--version"]) => {
            Output::of(0, "DRBD_KERNEL_VERSION_CODE=0x08040b\nDRBDADM_VERSION=9.22.0\n", "")
        }
        ("drbdadm", ["get-gi", volume]) => get_gi_of_volume(world, host, volume),
        ("drbdadm", ["adjust", resource]) => adjust(world, host, resource),
        ("drbdmeta", [_, _, device, _, "create-md", ..]) => create_md(world, host, device, &words),
        ("drbdmeta", [_, _, device, _, "write-dev-uuid", uuid]) => write_dev_uuid(world, host, device, uuid),
        ("drbdadm", ["new-current-uuid", _, volume]) => skip_sync(world, host, volume),
        ("drbdadm", ["primary", "--force", resource]) => primary(world, host, resource),
        ("drbdadm", ["connect", "--discard-my-data", resource]) => {
            connect(world, host, resource, false, true)
        }
        ("drbdadm", ["disconnect", resource]) => connect(world, host, resource, true, false),
        ("drbdadm", ["verify", _]) => {
            (world.comparing, world.compared) = (3, true);
            done()
        }
        ("drbdadm", ["primary" | "secondary", resource]) if file_of(world, host, resource).is_none() => {
            let text = format!("'{resource}' not defined in your config (for this host).\n");
            Output::of(1, "", text)
        }
        ("drbdadm", ["primary", resource]) => promote(world, host, resource),
        ("drbdadm", ["secondary", resource]) => demote(world, host, resource),
        ("drbdsetup", [verb @ ("primary" | "secondary"), minor]) => {
            let running = world.machine(host).running.iter();
            let found =
                running.filter(|(_, r)| r.minor.to_string() == *minor).map(|(name, _)| name.clone()).next();
            match found {
                Some(name) if *verb == "primary" => promote(world, host, &name),
                Some(name) => demote(world, host, &name),
                None => Output::of(10, "", format!("{minor}: Failure: (127) Device minor not allocated\n")),
            }
        }
        ("drbdadm", ["resize", volume]) => resize(world, host, volume),
        _ => Output::of(127, "", format!("the model does not know: {cmd}\n")),
    }
}

pub(super) fn done() -> Output {
    Output::of(0, "", "")
}

pub(super) fn option<'a>(words: &[&'a str], name: &str) -> Option<&'a str> {
    let at = words.iter().position(|word| *word == name)?;
    words.get(at + 1).copied()
}

pub(super) fn kib(text: &str) -> u64 {
    text.trim_end_matches('k').parse().unwrap_or(0)
}

fn blkid(world: &mut World, host: &str, device: &str) -> Output {
    let Some(disk) = world.machine(host).disk(device) else { return Output::of(2, "", "") };
    match (&disk.metadata, &disk.data) {
        (Some(md), _) => {
            let uuid = if md.uuid == 0 { String::new() } else { format!("UUID={:016x}\n", md.uuid) };
            Output::of(0, format!("DEVNAME={device}\n{uuid}VERSION=v08\nTYPE=drbd\n"), "")
        }
        (None, Data::Foreign(kind)) => {
            Output::of(0, format!("DEVNAME={device}\nUUID=1234\nTYPE={kind}\n"), "")
        }
        (None, _) => Output::of(2, "", ""),
    }
}

fn wipefs(world: &mut World, host: &str, device: &str) -> Output {
    if let Some(disk) = world.machine(host).disk(device) {
        disk.data = Data::Leftover;
        disk.metadata = None;
        world.lose(format!("{host}: wipefs {device}"));
    }
    done()
}

fn gi_line(md: Option<Metadata>, consistent: bool) -> Output {
    let flag = u8::from(consistent);
    match md {
        Some(md) => {
            let zeros = "0000000000000000";
            Output::of(
                0,
                format!("{:016X}:{zeros}:{zeros}:{zeros}:{flag}:{flag}:0:0:0:0:0\n", md.generation),
                "",
            )
        }
        None => Output::of(1, "", ""),
    }
}

fn get_gi_of(world: &mut World, host: &str, words: &[&str]) -> Output {
    let device = words.iter().find(|word| word.starts_with("/dev/")).copied().unwrap_or_default();
    gi_line(world.machine(host).disk(device).and_then(|disk| disk.metadata), false)
}

fn get_gi_of_volume(world: &mut World, host: &str, volume: &str) -> Output {
    let resource = volume.split('/').next().unwrap_or_default();
    let machine = world.machine(host);
    let disk = machine.running.get(resource).and_then(|running| running.disk.clone());
    let valid = machine.running.get(resource).is_some_and(|running| running.up_to_date);
    gi_line(disk.and_then(|path| machine.disk(&path)?.metadata), valid)
}

/// The one volume of a resource on this host, as its file says: minor and backing disk.
fn configured(text: &str, host: &str, resource: &str) -> Option<(u32, String)> {
    let resources = conf::only("file", text).ok()?;
    let claim = conf::claims_of(&resources, host).into_iter().find(|claim| claim.resource == resource)?;
    let (minor, disk) = claim.volumes.get(&0)?.clone();
    Some((minor?, disk?))
}

fn file_of(world: &mut World, host: &str, resource: &str) -> Option<String> {
    world.machine(host).files.get(&crate::res_file::path(resource)).cloned()
}

/// Whatever asks the kernel's module loads it, also `adjust` that is to run nothing.
fn load_unasked(world: &mut World, host: &str, verb: &str) {
    if verb == "adjust" && !world.machine(host).module {
        world.machine(host).module = true;
        world.journal.push(format!("{host}: the module was loaded by a question"));
    }
}

fn dry_run(world: &mut World, host: &str, resource: &str, staged: bool) -> Output {
    if resource == "all" {
        let names: Vec<String> = world.machine(host).running.keys().cloned().collect();
        let each = names.iter().map(|name| dry_run(world, host, name, false).stdout);
        return Output::of(0, each.collect::<String>(), "");
    }
    let path = format!("/run/drbd-host/stage/{resource}.res");
    let text =
        if staged { world.machine(host).files.get(&path).cloned() } else { file_of(world, host, resource) };
    let Some(text) = text else { return Output::of(1, "", "no resources defined!\n") };
    let Some((minor, disk)) = configured(&text, host, resource) else {
        return Output::of(10, "", "the model cannot read the file\n");
    };
    let lines = match world.machine(host).running.get(resource) {
        None => {
            format!("drbdsetup-84 new-resource {resource}\ndrbdsetup-84 new-minor {resource} {minor} 0\n")
        }
        Some(running) if running.disk.is_none() => {
            format!(
                "drbdmeta {minor} v08 {disk} internal apply-al\ndrbdsetup-84 attach {minor} {disk} {disk} internal\n"
            )
        }
        Some(running) if running.alone && running.text == text => {
            "drbdsetup-84 connect r0 ipv4:10.0.0.1:7000 ipv4:10.0.0.2:7000 --protocol=C\n".to_owned()
        }
        Some(running) if running.text != text => {
            "drbdsetup-84 net-options ipv4:10.0.0.1:7000 ipv4:10.0.0.2:7000 --set-defaults\n".to_owned()
        }
        Some(_) => String::new(),
    };
    Output::of(0, lines, "")
}

fn adjust(world: &mut World, host: &str, resource: &str) -> Output {
    let Some(text) = file_of(world, host, resource) else {
        return Output::of(1, "", "no resources defined!\n");
    };
    let Some((minor, path)) = configured(&text, host, resource) else {
        return Output::of(10, "", "bad file\n");
    };
    world.machine(host).module = true;
    let running = world.machine(host).running.get(resource).cloned();
    let disk = world.machine(host).disk(&path).cloned();
    let metadata = disk.as_ref().and_then(|disk| disk.metadata);
    let attach = running.as_ref().is_none_or(|running| running.disk.is_none());
    let size_kib = disk.map_or(0, |disk| size::net_kib(disk.size_kib, 1, Family::V84).unwrap_or(0));
    let now = Running {
        text,
        minor,
        disk: metadata.is_some().then_some(path),
        primary: running.as_ref().is_some_and(|running| running.primary),
        up_to_date: metadata.is_some_and(|md| md.generation != 4),
        size_kib: running.as_ref().filter(|_| !attach).map_or(size_kib, |running| running.size_kib),
        alone: false,
        discards: running.as_ref().is_some_and(|running| running.discards),
    };
    world.machine(host).running.insert(resource.to_owned(), now);
    if metadata.is_none() {
        // A failed adjust leaves the resource half up (docs/behaviour.md B4).
        return Output::of(1, "", "No valid meta data found\n");
    }
    world.handshake(resource);
    world.settle(resource);
    done()
}

/// A connection is started or ended by itself, not by `adjust`.
fn connect(world: &mut World, host: &str, resource: &str, alone: bool, discards: bool) -> Output {
    let Some(running) = world.machine(host).running.get_mut(resource) else {
        return Output::of(10, "", "not up\n");
    };
    if running.alone == alone {
        return Output::of(10, "", format!("{resource}: Failure: (162) Invalid configuration request\n"));
    }
    if discards && running.primary {
        return Output::of(10, "", "r0: Failure: (123) --discard-my-data not allowed when primary.\n");
    }
    running.alone = alone;
    running.discards = discards;
    world.handshake(resource);
    done()
}

fn create_md(world: &mut World, host: &str, device: &str, words: &[&str]) -> Output {
    let force = words.contains(&"--force");
    let Some(disk) = world.machine(host).disk(device) else {
        return Output::of(20, "", format!("open({device}) failed: No such file or directory\n"));
    };
    let (data, metadata) = (disk.data.clone(), disk.metadata);
    if !force && (metadata.is_some() || !matches!(data, Data::Zeroes)) {
        return Output::of(
            1,
            "Operation cancelled.\n",
            "Found some data\nstdin not a TTY, not waiting for confirmation\n",
        );
    }
    disk.metadata = Some(Metadata { uuid: 0, generation: 4 });
    if metadata.is_some_and(|md| md.generation != 4) || !matches!(data, Data::Zeroes | Data::Leftover) {
        world.lose(format!("{host}: create-md over {data:?}, {metadata:?}"));
    }
    done()
}

fn write_dev_uuid(world: &mut World, host: &str, device: &str, uuid: &str) -> Output {
    let metadata = world.machine(host).disk(device).and_then(|disk| disk.metadata.as_mut());
    match (metadata, u64::from_str_radix(uuid, 16)) {
        (Some(metadata), Ok(uuid)) => {
            metadata.uuid = uuid;
            done()
        }
        _ => Output::of(255, "", "No valid meta data found\n"),
    }
}

fn skip_sync(world: &mut World, host: &str, volume: &str) -> Output {
    let resource = volume.split('/').next().unwrap_or_default();
    let connected =
        world.peer_running(host, resource).is_some_and(|(_, peer)| peer.disk.is_some() && !peer.up_to_date);
    if !connected {
        return Output::of(10, "", "0: Failure: (151) Need to be StandAlone\n");
    }
    // The proof must hold: whoever skips the sync over different contents has lost the data's meaning.
    let mut contents = Vec::new();
    for (name, machine) in &world.machines {
        let running = machine.running.get(resource).and_then(|running| running.disk.as_deref());
        contents.extend(
            running.and_then(|path| machine.disk_ref(path)).map(|disk| (name.clone(), disk.data.clone())),
        );
    }
    if contents.iter().any(|(_, data)| *data != Data::Zeroes) {
        world.lose(format!("{host}: first sync skipped over {contents:?}"));
    }
    world.contents.insert(resource.to_owned(), Content::Blank);
    become_valid(world, host, resource)
}

/// Without force: only where the data are good and nobody else uses them.
fn promote(world: &mut World, host: &str, resource: &str) -> Output {
    let refuse = |number: i32, text: &str| {
        Output::of(11, "", format!("{resource}: State change failed: ({number}) {text}\n"))
    };
    if world.peer_running(host, resource).is_some_and(|(_, peer)| peer.primary) {
        return refuse(-1, "Multiple primaries not allowed by config");
    }
    let Some(running) = world.machine(host).running.get_mut(resource) else {
        return refuse(-2, "Need access to UpToDate data");
    };
    if !running.up_to_date || running.disk.is_none() {
        return refuse(-2, "Need access to UpToDate data");
    }
    running.primary = true;
    let primaries =
        world.machines.values().filter(|m| m.running.get(resource).is_some_and(|running| running.primary));
    if primaries.count() > 1 {
        world.lose(format!("{host}: {resource} is Primary on two hosts: split brain"));
    }
    done()
}

fn demote(world: &mut World, host: &str, resource: &str) -> Output {
    let machine = world.machine(host);
    let Some(running) = machine.running.get_mut(resource) else { return done() };
    let device = format!("/dev/drbd{}", running.minor);
    if machine.mounts.iter().any(|(_, mounted, _)| *mounted == device) {
        return Output::of(
            11,
            "",
            format!("{resource}: State change failed: (-12) Device is held open by someone\n"),
        );
    }
    running.primary = false;
    done()
}

fn primary(world: &mut World, host: &str, resource: &str) -> Output {
    let source = world.machine(host).running.get(resource).and_then(|running| running.disk.clone());
    let zeroes = source
        .and_then(|path| world.machine(host).disk(&path).map(|disk| disk.data == Data::Zeroes))
        .unwrap_or(false);
    let content = if zeroes { Content::Blank } else { Content::Data };
    world.contents.entry(resource.to_owned()).or_insert(content);
    if let Some(running) = world.machine(host).running.get_mut(resource) {
        running.primary = true;
    }
    become_valid(world, host, resource)
}

fn become_valid(world: &mut World, host: &str, resource: &str) -> Output {
    let generation = world.fresh_number();
    let machine = world.machine(host);
    let Some(running) = machine.running.get_mut(resource) else { return Output::of(10, "", "not up\n") };
    running.up_to_date = true;
    if let Some(disk) = running.disk.clone().and_then(|path| machine.disk(&path))
        && let Some(metadata) = &mut disk.metadata
    {
        metadata.generation = generation;
        disk.data = Data::Replicated;
    }
    world.settle(resource);
    done()
}

fn resize(world: &mut World, host: &str, volume: &str) -> Output {
    let resource = volume.split('/').next().unwrap_or_default().to_owned();
    if !world.machines.values().any(|m| m.running.get(&resource).is_some_and(|running| running.primary)) {
        return Output::of(10, "", "1000: Failure: (131) Need one Primary node to resize.\n");
    }
    let sizes = world.machines.values().filter_map(|machine| {
        let running = machine.running.get(&resource)?;
        let disk = machine.disk_ref(running.disk.as_deref()?)?;
        size::net_kib(disk.size_kib, 1, Family::V84)
    });
    let smallest = sizes.min().unwrap_or(0);
    // Exit 0 also when it does nothing (docs/behaviour.md B8).
    if world.peer_running(host, &resource).is_some() {
        for machine in world.machines.values_mut() {
            if let Some(running) = machine.running.get_mut(&resource) {
                running.size_kib = running.size_kib.max(smallest);
            }
        }
    }
    done()
}
