// SPDX-License-Identifier: MPL-2.0
//! Renders the `.res` file of a resource. The text is the same on every node, so that different declarations on
//! different hosts show as different files.
//!
//! Not here: reading a file for its meaning (see [`crate::conf`]). The declaration is the source, the file is its output.

use crate::tools::mask_secrets;
use drbd_schemas::address::Endpoint;
use drbd_schemas::options::{InNet, InSection};
use drbd_schemas::secret::MASK;
use drbd_schemas::{Family, NodeName, OptionSet, Resource, Volume, VolumeNumber};
use std::collections::BTreeSet;
use std::fmt::Write;

/// First words of every file that this program writes. A file without them is never touched.
pub const HEADER: &str = "# Managed by drbd-host.";

/// Where the file of a resource is.
pub fn path(resource: &str) -> String {
    format!("/etc/drbd.d/{resource}.res")
}

/// The text of a file is one that this program wrote.
pub fn is_ours(text: &str) -> bool {
    text.starts_with(HEADER)
}

/// Whether the secret is written out or masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets {
    /// Written: the text goes into the file, mode 0600.
    Written,
    /// Masked: the text is for eyes and comparisons.
    Masked,
}

/// Renders the file for a family of DRBD.
///
/// 8.4 refuses DRBD 9's words and the reverse (docs/behaviour.md B9), so the file is made for the module that the
/// hosts run.
pub fn render(resource: &Resource, family: Family, secrets: Secrets) -> String {
    let mut out = Text::default();
    out.line(&format!("{HEADER} Local changes are overwritten by the next run."));
    out.block(&format!("resource \"{}\"", resource.name()), |out| {
        render_options(out, resource, family, secrets);
        for (name, node) in &resource.nodes {
            out.block(&format!("on \"{name}\""), |out| {
                if family == Family::V9 {
                    out.line(&format!("node-id {};", node.node_id));
                } else if let Some(own) = only_endpoint(resource, name) {
                    out.line(&format!("address {};", own.drbd_conf()));
                }
                for number in resource.volumes.keys() {
                    render_volume(out, resource, name, *number);
                }
            });
        }
        if family == Family::V9 {
            render_connections(out, resource);
        }
    });
    out.0
}

/// 8.4 has one connection; a declared path moves the addresses of both ends.
fn only_endpoint(resource: &Resource, name: &NodeName) -> Option<Endpoint> {
    let peer = resource.peers_of(name).next().map(|(peer, _)| peer);
    let declared = peer.and_then(|peer| resource.paths(name, peer).first().map(|(own, _)| *own));
    declared.or_else(|| resource.endpoint(name))
}

fn render_options(out: &mut Text, resource: &Resource, family: Family, secrets: Secrets) {
    out.section("options", resource.options.iter().map(|(k, v)| (k, v.to_owned())).collect());
    let mut net = net_options(&resource.net, family);
    if family == Family::V84 {
        for connection in &resource.connections {
            merge(&mut net, net_options(&connection.net, family));
        }
    }
    if let Some(secret) = &resource.shared_secret {
        if !net.iter().any(|(name, _)| *name == "cram-hmac-alg") {
            merge(&mut net, vec![("cram-hmac-alg", "sha256".to_owned())]);
        }
        let shown = if secrets == Secrets::Written { secret.expose() } else { MASK };
        merge(&mut net, vec![("shared-secret", format!("\"{shown}\""))]);
    }
    out.section("net", net);
    let mut disk = resource_disk_options(resource);
    if family == Family::V84 {
        // Fencing is a disk option in 8.4 and a net option in 9; a declaration has it in `net`.
        merge(
            &mut disk,
            resource.net.get("fencing").map(|v| ("fencing", v.to_owned())).into_iter().collect(),
        );
    }
    out.section("disk", disk);
}

type Options<'a> = Vec<(&'a str, String)>;

fn net_options(set: &OptionSet<InNet>, family: Family) -> Options<'_> {
    owned(set).into_iter().filter(|(name, _)| family == Family::V9 || *name != "fencing").collect()
}

/// Options that every volume has with one value. `drbdadm` refuses a value of a volume beside another one of the resource
/// or of `common` ("ambiguous inheritance"); one of the resource wins over `common`.
fn resource_disk_options(resource: &Resource) -> Options<'_> {
    let of_volumes = resource.volumes.values().flat_map(|volume| volume.disk.iter());
    let names: BTreeSet<&str> = resource.disk.iter().chain(of_volumes).map(|(name, _)| name).collect();
    let same =
        names.into_iter().filter_map(|name| Some((name, resource.disk_option_of_all(name)?.to_owned())));
    same.collect()
}

/// Options in which a volume differs from others.
fn volume_disk_options<'a>(resource: &'a Resource, volume: &'a Volume) -> Options<'a> {
    let own = volume.disk.iter();
    let shared = resource.disk.iter().filter(|(name, _)| volume.disk.get(name).is_none());
    let differ = own.chain(shared).filter(|(name, _)| resource.disk_option_of_all(name).is_none());
    let mut options: Options<'_> = differ.map(|(name, value)| (name, value.to_owned())).collect();
    options.sort();
    options
}

fn owned<S: InSection>(set: &OptionSet<S>) -> Options<'_> {
    set.iter().map(|(name, value)| (name, value.to_owned())).collect()
}

fn merge<'a>(into: &mut Options<'a>, more: Options<'a>) {
    for (name, value) in more {
        into.retain(|(existing, _)| *existing != name);
        into.push((name, value));
    }
    into.sort();
}

fn render_volume(out: &mut Text, resource: &Resource, node: &NodeName, number: VolumeNumber) {
    let Some(volume) = resource.volumes.get(&number) else { return };
    let backing = resource.backing_path(node, number);
    out.block(&format!("volume {number}"), |out| {
        out.line(&format!("device minor {};", volume.minor));
        match &backing {
            Some(path) => {
                out.line(&format!("disk \"{path}\";"));
                out.line("meta-disk internal;");
                out.section("disk", volume_disk_options(resource, volume));
            }
            None => out.line("disk none;"),
        }
    });
}

fn render_connections(out: &mut Text, resource: &Resource) {
    for (a, b) in resource.pairs() {
        let paths = resource.paths(a, b);
        out.block("connection", |out| {
            if let [(end_a, end_b)] = paths.as_slice() {
                out.line(&format!("host \"{a}\" address {};", end_a.drbd_conf()));
                out.line(&format!("host \"{b}\" address {};", end_b.drbd_conf()));
            } else {
                for (end_a, end_b) in &paths {
                    out.block("path", |out| {
                        out.line(&format!("host \"{a}\" address {};", end_a.drbd_conf()));
                        out.line(&format!("host \"{b}\" address {};", end_b.drbd_conf()));
                    });
                }
            }
            if let Some(connection) = resource.connection(a, b) {
                out.section("net", owned(&connection.net));
            }
        });
    }
}

/// Text with indentation. Writing to a `String` cannot fail.
#[derive(Default)]
struct Text(String, usize);

impl Text {
    fn line(&mut self, line: &str) {
        let _ = writeln!(self.0, "{:indent$}{line}", "", indent = self.1 * 4);
    }

    fn block(&mut self, head: &str, body: impl FnOnce(&mut Self)) {
        self.line(&format!("{head} {{"));
        self.1 += 1;
        body(self);
        self.1 -= 1;
        self.line("}");
    }

    fn section(&mut self, keyword: &str, options: Options<'_>) {
        if options.is_empty() {
            return;
        }
        self.block(keyword, |out| {
            for (name, value) in &options {
                out.line(&format!("{name} {value};"));
            }
        });
    }
}

/// Masks the secret in the text of a file, so that it can be shown and compared.
pub fn masked(text: &str) -> String {
    if !is_ours(text) {
        // Another hand may have written everything on one line.
        return mask_secrets(text);
    }
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        let trimmed = line.trim_start();
        let indent = line.len() - trimmed.len();
        let secret = trimmed.starts_with("shared-secret");
        lines.push(if secret { format!("{:indent$}shared-secret \"{MASK}\";", "") } else { line.to_owned() });
    }
    let mut masked = lines.join("\n");
    if text.ends_with('\n') {
        masked.push('\n');
    }
    masked
}
