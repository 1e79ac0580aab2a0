// SPDX-License-Identifier: MPL-2.0
//! `status` as text, with drbdsetup's own rules of what is left out and where lines are broken.

use super::{resync_suspended, suspended, write_ordering, yes};
use crate::model::{Connection, ConnectionState, DiskState, PeerVolume, Replication, Resource, Volume};

/// Lines are no longer than this.
const WIDTH: usize = 80;

/// A text under construction that breaks its lines as drbdsetup does.
#[derive(Default)]
struct Page {
    text: String,
    column: usize,
    indent: usize,
}

impl Page {
    /// A new line with this word, and how far continuations of it are indented.
    fn line(&mut self, at: usize, word: &str) {
        if self.column > 0 {
            self.text.push('\n');
        }
        self.text += &" ".repeat(at);
        self.text += word;
        self.column = at + word.len();
        self.indent = at + 4;
    }

    /// One more word.
    fn word(&mut self, word: &str) {
        if self.column + 1 + word.len() > WIDTH {
            let indent = self.indent;
            self.line(indent, word);
            self.indent = indent;
        } else {
            self.text.push(' ');
            self.text += word;
            self.column += 1 + word.len();
        }
    }

    /// Several words on a line of their own.
    fn words(&mut self, at: usize, words: &str) {
        for (index, word) in words.split(' ').enumerate() {
            if index == 0 {
                self.line(at, word);
                self.indent = at;
            } else {
                self.word(word);
            }
        }
    }
}

/// All of it.
pub(crate) fn text(resources: &[(&str, &Resource)], verbose: bool, statistics: bool) -> String {
    let mut text = String::new();
    for (name, resource) in resources {
        let mut page = Page::default();
        of_resource(&mut page, name, resource, verbose, statistics);
        text += &page.text;
        text += "\n\n";
    }
    text
}

fn of_resource(page: &mut Page, name: &str, resource: &Resource, verbose: bool, statistics: bool) {
    page.line(0, name);
    if verbose {
        page.word(&format!("node-id:{}", resource.node_id));
    }
    page.word(&format!("role:{}", resource.role));
    let why = suspended(resource);
    if verbose || why != "no" {
        page.word(&format!("suspended:{why}"));
    }
    if verbose {
        page.word("force-io-failures:no");
    }
    if statistics {
        page.words(4, &format!("write-ordering:{}", write_ordering(resource)));
    }
    let several = resource.volumes.len() > 1 || resource.volumes.keys().any(|number| *number != 0);
    for (number, volume) in &resource.volumes {
        of_volume(page, resource, (several || verbose).then_some(*number), volume, verbose, statistics);
    }
    for (peer, connection) in &resource.connections {
        of_connection(page, *peer, connection, verbose, statistics);
        for (number, seen) in &connection.volumes {
            let number = (several || verbose).then_some(*number);
            of_peer_volume(page, number, connection, seen, verbose, statistics);
        }
    }
}

fn of_volume(
    page: &mut Page,
    resource: &Resource,
    number: Option<u16>,
    volume: &Volume,
    verbose: bool,
    statistics: bool,
) {
    let disk = format!("disk:{}", volume.disk_state);
    match number {
        Some(number) => {
            page.line(2, &format!("volume:{number}"));
            if verbose {
                page.word(&format!("minor:{}", volume.minor));
            }
            page.word(&disk);
        }
        None => page.line(2, &disk),
    }
    if volume.disk_state == DiskState::Diskless {
        page.word(&format!("client:{}", yes(volume.client)));
    }
    if verbose {
        let path = volume.backing.as_ref().map_or("none", |backing| backing.path.as_str());
        page.word(&format!("backing_dev:{path}"));
    }
    if verbose || !volume.quorum {
        page.word(&format!("quorum:{}", yes(volume.quorum)));
    }
    let blocked = if super::suspended(resource) == "no" { "no" } else { "upper" };
    if statistics {
        let counters = volume.counters;
        page.words(
            6,
            &format!(
                "size:{} read:{} written:{} al-writes:0 bm-writes:0 upper-pending:0 lower-pending:0 al-suspended:no blocked:{blocked}",
                volume.size_kib, counters.read, counters.written
            ),
        );
    } else if verbose || blocked != "no" {
        page.word(&format!("blocked:{blocked}"));
    }
}

fn of_connection(page: &mut Page, peer: u8, connection: &Connection, verbose: bool, statistics: bool) {
    page.line(2, &connection.name);
    let up = connection.state == ConnectionState::Connected;
    if verbose {
        page.word(&format!("node-id:{peer}"));
    }
    if verbose || !up {
        page.word(&format!("connection:{}", connection.state));
    }
    if verbose || up {
        page.word(&format!("role:{}", connection.role));
    }
    if verbose || statistics {
        page.word("congested:no");
        page.word("ap-in-flight:0");
        page.word("rs-in-flight:0");
    }
}

fn of_peer_volume(
    page: &mut Page,
    number: Option<u16>,
    connection: &Connection,
    seen: &PeerVolume,
    verbose: bool,
    statistics: bool,
) {
    let up = connection.state == ConnectionState::Connected;
    if !verbose && !up {
        return;
    }
    let mut words = Vec::new();
    words.extend(number.map(|number| format!("volume:{number}")));
    if verbose || seen.replication > Replication::Established {
        words.push(format!("replication:{}", seen.replication));
    }
    if verbose || seen.disk != DiskState::DUnknown {
        words.push(format!("peer-disk:{}", seen.disk));
    }
    if seen.disk == DiskState::Diskless {
        words.push(format!("peer-client:{}", yes(seen.client)));
    }
    if seen.syncs() {
        words.push(format!("done:{}.{:02}", seen.done() / 100, seen.done() % 100));
    }
    let why = resync_suspended(seen);
    if verbose {
        words.push(format!("resync-suspended:{why}"));
    }
    for (index, word) in words.iter().enumerate() {
        if index == 0 { page.line(4, word) } else { page.word(word) }
    }
    if !verbose && why != "no" {
        page.words(8, &format!("resync-suspended:{why}"));
    }
    if statistics {
        let out_of_sync = seen.bitmap.dirty_kib();
        page.words(
            8,
            &format!(
                "received:{} sent:{} out-of-sync:{out_of_sync} pending:0 unacked:0",
                seen.received, seen.sent
            ),
        );
    }
}
