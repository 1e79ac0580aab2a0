// SPDX-License-Identifier: MPL-2.0
//! Finds commands that outlived the run that started them. Every command gets a mark in its environment, which its own
//! children inherit; a later run looks for it in `/proc`.
//!
//! A daemon that such a command started for good (`dmeventd`, for LVM) has the mark too, but a session of its own: it is
//! no unfinished work, and is left out by that.

use crate::local_host::read_whole;
use drbd_engine::host::Process;
use std::fs;
use std::sync::OnceLock;

const NAME: &str = "DRBD_HOST_RUN";

/// The mark of this run: its process, when that was started (a process id comes back), and its session.
pub(crate) fn mark() -> &'static str {
    static MARK: OnceLock<String> = OnceLock::new();
    MARK.get_or_init(|| {
        let stat = Stat::of("self");
        let (session, started) = stat.map_or((0, 0), |stat| (stat.session, stat.started));
        format!("{}.{started}.{session}", std::process::id())
    })
}

/// What a command's environment gets.
pub(crate) fn environment() -> (&'static str, &'static str) {
    (NAME, mark())
}

/// A command of the run with this mark that has not ended.
pub(crate) fn of(mark: &str) -> Option<Process> {
    let session: u32 = mark.rsplit('.').next()?.parse().ok()?;
    let wanted = format!("{NAME}={mark}");
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
        let marked = environment.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes());
        let stat = Stat::of(&pid.to_string()).filter(|stat| marked && stat.session == session && stat.lives);
        if stat.is_some() && pid != std::process::id() {
            let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            return Some(Process { pid, name: name.trim().to_owned(), how: String::new() });
        }
    }
    None
}

/// What `/proc/PID/stat` says.
struct Stat {
    lives: bool,
    session: u32,
    started: u64,
}

impl Stat {
    fn of(pid: &str) -> Option<Self> {
        Self::parse(&String::from_utf8_lossy(&read_whole(&format!("/proc/{pid}/stat")).ok()?))
    }

    /// The name stands in parentheses and may hold anything; what follows the last one is plain (`proc(5)`).
    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        Some(Self {
            // A zombie holds nothing and does nothing any more.
            lives: !matches!(*fields.first()?, "Z" | "X"),
            session: fields.get(3)?.parse().ok()?,
            started: fields.get(19)?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_anything_in_it_is_skipped() {
        let fields = "S 1 42 40 0 -1 4194304 0 0 0 0 0 0 0 0 20 0 1 0 777 0 0";
        let stat = Stat::parse(&format!("7 (a) b (c)) {fields}")).unwrap();
        assert_eq!((stat.lives, stat.session, stat.started), (true, 40, 777));
        assert!(Stat::parse("7 (x").is_none());
    }

    #[test]
    fn a_mark_belongs_to_one_run() {
        assert!(mark().starts_with(&format!("{}.", std::process::id())));
        assert_eq!(of("1.1.1"), None);
        assert_eq!(of(""), None);
    }
}
