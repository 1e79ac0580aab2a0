// SPDX-License-Identifier: MPL-2.0
//! The file-system tools of the model. A replicated device shows one content on every host; a Secondary's cannot be
//! opened, but what is before the metadata on its backing device can be read.

use super::machine::{Content, World};
use crate::host::{Cmd, Output};

fn done() -> Output {
    Output::of(0, "", "")
}

fn refused(text: &str) -> Output {
    Output::of(1, "", format!("{text}\n"))
}

/// The resource whose device, or (when only the front is looked at) whose attached disk, this path is.
fn resource_at(world: &mut World, host: &str, path: &str, front: bool) -> Option<(String, bool)> {
    let running = &world.machine(host).running;
    let found = running.iter().find(|(_, running)| {
        format!("/dev/drbd{}", running.minor) == path || (front && running.disk.as_deref() == Some(path))
    })?;
    Some((found.0.clone(), found.1.primary))
}

/// What a path shows, if it is a replicated device that is in use.
pub(super) fn content_of(world: &mut World, host: &str, path: &str, front: bool) -> Option<Content> {
    let (resource, _) = resource_at(world, host, path, front)?;
    world.contents.get(&resource).cloned()
}

/// `blkid` on a DRBD device, or on the front of an attached disk; `None` for other devices.
pub(super) fn probe(world: &mut World, host: &str, words: &[&str], device: &str) -> Option<Output> {
    let front = words.contains(&"-S");
    let (resource, primary) = resource_at(world, host, device, front)?;
    if device.starts_with("/dev/drbd") && !primary {
        return Some(Output::of(2, "", format!("error: {device}: Wrong medium type\n")));
    }
    Some(match world.contents.get(&resource) {
        Some(Content::Filesystem { kind, .. }) => {
            Output::of(0, format!("DEVNAME={device}\nUUID=5678\nTYPE={kind}\n"), "")
        }
        _ => Output::of(2, "", ""),
    })
}

pub(super) fn run(world: &mut World, host: &str, cmd: &Cmd) -> Output {
    let words: Vec<&str> = cmd.args.iter().map(String::as_str).collect();
    match (cmd.program, words.as_slice()) {
        ("mkfs.ext4", ["-q", device]) => make(world, host, "ext4", device),
        ("mkfs.xfs", ["-q", device]) => make(world, host, "xfs", device),
        ("mkdir", [.., path]) => {
            world.machine(host).directories.insert((*path).to_owned());
            done()
        }
        ("mount", [.., device, path]) => mount(world, host, device, path),
        ("umount", [.., path]) => unmount(world, host, path),
        ("dumpe2fs", ["-h", device]) => size(world, host, device),
        ("resize2fs", [device]) => grow(world, host, device),
        ("blockdev", ["--flushbufs", _]) => done(),
        _ => Output::of(127, "", format!("the model does not know: {cmd}\n")),
    }
}

fn make(world: &mut World, host: &str, kind: &str, device: &str) -> Output {
    let Some((resource, true)) = resource_at(world, host, device, false) else {
        return refused("Wrong medium type");
    };
    let kib = world.machine(host).running.get(&resource).map_or(0, |running| running.size_kib);
    let old = world.contents.get(&resource).cloned();
    if !matches!(old, None | Some(Content::Blank | Content::HalfMade)) {
        world.lose(format!("{host}: mkfs over {old:?}"));
    }
    let made = Content::Filesystem { kind: kind.to_owned(), kib, files: 0 };
    world.contents.insert(resource, made);
    done()
}

fn mount(world: &mut World, host: &str, device: &str, path: &str) -> Output {
    let Some((resource, true)) = resource_at(world, host, device, false) else {
        return refused("mount: Wrong medium type");
    };
    let Some(Content::Filesystem { kind, .. }) = world.contents.get(&resource).cloned() else {
        return refused("mount: wrong fs type, bad option, bad superblock");
    };
    if !world.machine(host).directories.contains(path) {
        return refused("mount: mount point does not exist");
    }
    world.machine(host).mounts.push((path.to_owned(), device.to_owned(), kind));
    done()
}

fn unmount(world: &mut World, host: &str, path: &str) -> Output {
    let machine = world.machine(host);
    let Some(at) = machine.mounts.iter().rposition(|(mounted, _, _)| mounted == path) else {
        return refused("umount: not mounted");
    };
    machine.mounts.remove(at);
    done()
}

/// ext4 with blocks of 4 KiB, in the words of `dumpe2fs -h`.
fn size(world: &mut World, host: &str, device: &str) -> Output {
    let content =
        resource_at(world, host, device, true).and_then(|(resource, _)| world.contents.get(&resource));
    match content {
        Some(Content::Filesystem { kib, .. }) => Output::of(
            0,
            format!(
                "Block count:              {}\nBlock size:               4096\nInode blocks per group:   512\n",
                kib / 4
            ),
            "",
        ),
        _ => refused("dumpe2fs: Bad magic number in super-block"),
    }
}

fn grow(world: &mut World, host: &str, device: &str) -> Output {
    let Some((resource, true)) = resource_at(world, host, device, false) else {
        return refused("Wrong medium type");
    };
    let size_kib = world.machine(host).running.get(&resource).map_or(0, |running| running.size_kib);
    if let Some(Content::Filesystem { kib, .. }) = world.contents.get_mut(&resource) {
        *kib = size_kib;
    }
    done()
}
