// SPDX-License-Identifier: MPL-2.0
//! `show`: the running configuration in the syntax of the files, as drbdadm reads it back for `adjust`.

use crate::model::{Connection, Options, Resource, Volume};
use crate::options;
use std::net::SocketAddr;

/// `ipv4 10.9.9.1:7788`
pub(crate) fn endpoint(address: SocketAddr) -> String {
    format!("{} {address}", if address.is_ipv4() { "ipv4" } else { "ipv6" })
}

/// All of it.
pub(crate) fn text(resources: &[(&str, &Resource)]) -> String {
    let mut lines = Lines(String::new());
    for (name, resource) in resources {
        lines.open(0, &format!("resource {name:?}"));
        lines.group(1, "options", &resource.options);
        lines.open(1, "_this_host");
        lines.add(2, &format!("node-id\t\t\t{};", resource.node_id));
        resource.volumes.iter().for_each(|(number, volume)| of_volume(&mut lines, *number, volume));
        lines.close(1);
        resource
            .connections
            .iter()
            .for_each(|(peer, connection)| of_connection(&mut lines, *peer, connection));
        lines.close(0);
    }
    lines.0
}

struct Lines(String);

impl Lines {
    fn add(&mut self, depth: usize, text: &str) {
        self.0 += &"    ".repeat(depth);
        self.0 += text;
        self.0.push('\n');
    }

    fn open(&mut self, depth: usize, text: &str) {
        self.add(depth, &format!("{text} {{"));
    }

    fn close(&mut self, depth: usize) {
        self.add(depth, "}");
    }

    /// A section of options; nothing when all have their defaults.
    fn group(&mut self, depth: usize, name: &str, options: &Options) {
        if options.iter().next().is_none() {
            return;
        }
        self.open(depth, name);
        for (name, value) in options.iter() {
            let value = match value {
                "" => "yes".to_owned(),
                text if options::is_text(name) => format!("{text:?}"),
                word => word.to_owned(),
            };
            self.add(depth + 1, &format!("{name:<16}\t{value};"));
        }
        self.close(depth);
    }
}

fn of_volume(lines: &mut Lines, number: u16, volume: &Volume) {
    lines.open(2, &format!("volume {number}"));
    lines.add(3, &format!("device\t\t\tminor {};", volume.minor));
    match &volume.backing {
        Some(backing) => {
            lines.add(3, &format!("disk\t\t\t{:?};", backing.path));
            let meta = match backing.meta_disk.as_str() {
                "internal" => "internal".to_owned(),
                path => format!("{path:?}"),
            };
            lines.add(3, &format!("meta-disk\t\t\t{meta};"));
        }
        None if volume.client => lines.add(3, "disk\t\t\tnone;"),
        None => {}
    }
    lines.group(3, "disk", &volume.options);
    lines.close(2);
}

fn of_connection(lines: &mut Lines, peer: u8, connection: &Connection) {
    lines.open(1, "connection");
    lines.add(2, &format!("_peer_node_id {peer};"));
    for path in &connection.paths {
        lines.open(2, "path");
        lines.add(3, &format!("_this_host {};", endpoint(path.local)));
        lines.add(3, &format!("_remote_host {};", endpoint(path.remote)));
        lines.close(2);
    }
    lines.group(2, "net", &connection.options);
    for (number, seen) in &connection.volumes {
        if seen.options.iter().next().is_some() {
            lines.open(2, &format!("volume {number}"));
            lines.group(3, "disk", &seen.options);
            lines.close(2);
        }
    }
    lines.close(1);
}
