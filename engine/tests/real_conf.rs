// SPDX-License-Identifier: MPL-2.0
//! What the reader of `.res` files finds is what the real `drbdadm` finds: a folder of files, at least one for each
//! construct, every field of `dump-xml` compared. The files are in `tests/conf/`, one tree for each family.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop here")]

use drbd_engine::conf::{
    self, Configuration, ConnectionConf, DiskConf, EndConf, EndpointConf, HostConf, HostKind, MetaDiskConf,
    ResourceConf, Setting, VolumeConf,
};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// Each field of a configuration, by where it is.
type Fields = BTreeMap<String, String>;

fn put(fields: &mut Fields, key: String, value: &str) {
    let before = fields.insert(key.clone(), value.to_owned());
    assert_eq!(before, None, "{key} is there twice");
}

/// The tree of a family, read by us as if it were `/etc`.
fn ours(tree: &Path) -> Configuration {
    let real = |path: &str| tree.join(path.trim_start_matches("/etc/"));
    let text = |path: &str| Ok::<_, ()>(std::fs::read_to_string(real(path)).ok());
    let names = |folder: &str| {
        let mut names: Vec<String> = std::fs::read_dir(real(folder))
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        Ok(names)
    };
    conf::read(&conf::gather(text, names).unwrap())
}

fn fields_of(configuration: &Configuration, v9: bool) -> Fields {
    let mut fields = Fields::new();
    put_settings(&mut fields, "common", &configuration.common, v9);
    for resource in &configuration.resources {
        put_resource(&mut fields, resource, v9);
    }
    fields
}

fn put_settings(fields: &mut Fields, at: &str, settings: &[Setting], v9: bool) {
    for setting in settings {
        // drbdadm of DRBD 9 reads it and leaves it out.
        if v9 && setting.name == "become-primary-on" {
            continue;
        }
        let key = format!("{at} / {} / {}", setting.section, setting.name);
        put(fields, key, if setting.name == "shared-secret" { "?" } else { &setting.value });
    }
}

fn put_resource(fields: &mut Fields, resource: &ResourceConf, v9: bool) {
    let at = format!("resource {}", resource.name);
    put(fields, format!("{at} / origin"), &resource.origin.to_string());
    put_settings(fields, &at, &resource.settings, v9);
    for host in &resource.hosts {
        put_host(fields, &at, host, v9);
    }
    for (i, connection) in resource.connections.iter().enumerate().filter(|_| v9) {
        put_connection(fields, &format!("{at} / connection {i}"), connection);
    }
}

fn put_host(fields: &mut Fields, at: &str, host: &HostConf, v9: bool) {
    let address = host.address.as_ref().map_or_else(|| "(null) (null) (null)".to_owned(), endpoint);
    let name = match host.kind {
        HostKind::Floating => format!("floating {address}"),
        HostKind::On | HostKind::StackedOn(_) => host.names.join(" "),
    };
    let at = format!("{at} / host {name}");
    put(fields, format!("{at} / address"), &address);
    put_settings(fields, &at, &host.settings, v9);
    for (number, volume) in &host.volumes {
        put_volume(fields, &format!("{at} / volume {number}"), volume);
    }
}

fn put_volume(fields: &mut Fields, at: &str, volume: &VolumeConf) {
    put(fields, format!("{at} / minor"), &volume.minor.unwrap().to_string());
    put(fields, format!("{at} / device"), volume.device.as_deref().unwrap_or_default());
    let disk = match volume.disk.as_ref().unwrap() {
        DiskConf::None => "none",
        DiskConf::Device(path) => path,
    };
    put(fields, format!("{at} / disk"), disk);
    let meta_disk = match &volume.meta_disk {
        Some(MetaDiskConf::Indexed { device, index }) => format!("{device} [{index}]"),
        Some(MetaDiskConf::Flexible { device }) => device.clone(),
        Some(MetaDiskConf::Internal) => "internal".to_owned(),
        None if disk == "none" => return,
        None => "internal".to_owned(),
    };
    put(fields, format!("{at} / meta-disk"), &meta_disk);
    put_settings(fields, at, &volume.settings, true);
}

fn put_connection(fields: &mut Fields, at: &str, connection: &ConnectionConf) {
    for (i, ends) in connection.paths.iter().enumerate() {
        for end in ends {
            put(fields, format!("{at} / path {i} / {}", end.host), &end_text(end));
        }
    }
    put_settings(fields, at, &connection.settings, true);
    for (number, settings) in &connection.volumes {
        put_settings(fields, &format!("{at} / volume {number}"), settings, true);
    }
}

fn end_text(end: &EndConf) -> String {
    let mut text = endpoint(end.address.as_ref().unwrap());
    if let Some(proxy) = &end.proxy {
        let (inside, outside) = (proxy.inside.as_ref().unwrap(), proxy.outside.as_ref().unwrap());
        let hosts = proxy.hosts.join(" ");
        text.push_str(&format!(" via {hosts}: {}, {}", endpoint(inside), endpoint(outside)));
    }
    text
}

fn endpoint(end: &EndpointConf) -> String {
    format!("{} {} {}", end.family, end.address, end.port)
}

/// An element of `dump-xml`.
#[derive(Debug, Default)]
struct Element {
    tag: String,
    attributes: BTreeMap<String, String>,
    text: String,
    children: Vec<Element>,
}

impl Element {
    fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }

    fn all<'a>(&'a self, tag: &'a str) -> impl Iterator<Item = &'a Element> {
        self.children.iter().filter(move |child| child.tag == tag)
    }

    fn text_of<'a>(&'a self, tag: &'a str) -> &'a str {
        self.all(tag).next().map_or("", |child| child.text.as_str())
    }
}

/// Reads as much of XML as `drbdadm` writes. Its `<template …>` is never closed.
fn xml(text: &str) -> Element {
    let mut open = vec![Element::default()];
    for piece in text.split('<').skip(1) {
        let (tag, after) = piece.split_once('>').unwrap();
        if tag.starts_with("template") {
            continue;
        }
        if tag.starts_with('/') {
            let closed = open.pop().unwrap();
            open.last_mut().unwrap().children.push(closed);
            continue;
        }
        let inner = tag.strip_suffix('/').unwrap_or(tag);
        let (name, attributes) = inner.split_once(' ').unwrap_or((inner, ""));
        let mut element =
            Element { tag: name.to_owned(), text: after.trim().to_owned(), ..Element::default() };
        let mut words = attributes.split('"');
        while let (Some(name), Some(value)) = (words.next(), words.next()) {
            element.attributes.insert(name.trim().trim_end_matches('=').to_owned(), value.to_owned());
        }
        if tag.ends_with('/') {
            open.last_mut().unwrap().children.push(element);
        } else {
            open.push(element);
        }
    }
    open.remove(0).children.remove(0)
}

fn fields_of_xml(config: &Element, tree: &Path) -> Fields {
    let mut fields = Fields::new();
    config.all("common").for_each(|common| sections_of(&mut fields, "common", common));
    for resource in config.all("resource") {
        let at = format!("resource {}", resource.attribute("name"));
        let origin = resource.attribute("conf-file-line").replace(&format!("{}/", tree.display()), "/etc/");
        put(&mut fields, format!("{at} / origin"), &origin);
        sections_of(&mut fields, &at, resource);
        resource.all("host").for_each(|host| host_of(&mut fields, &at, host));
        for (i, connection) in resource.all("connection").enumerate() {
            connection_of(&mut fields, &format!("{at} / connection {i}"), connection);
        }
    }
    fields
}

fn sections_of(fields: &mut Fields, at: &str, element: &Element) {
    for section in element.all("section") {
        let name = section.attribute("name");
        for option in section.all("option") {
            let (option, value) = (option.attribute("name"), option.attribute("value"));
            put(
                fields,
                format!("{at} / {name} / {option}"),
                if option == "shared-secret" { "?" } else { value },
            );
        }
        for plugin in section.all("section") {
            for option in plugin.all("option") {
                let (option, value) = option.attribute("name").split_once(' ').unwrap();
                put(fields, format!("{at} / proxy.plugin / {option}"), value);
            }
        }
    }
}

fn address_of(element: &Element) -> String {
    let (family, port) = (element.attribute("family"), element.attribute("port"));
    format!("{family} {} {port}", element.text)
}

fn host_of(fields: &mut Fields, at: &str, host: &Element) {
    let address = host.all("address").map(address_of).next().unwrap();
    let name = match host.attribute("floating") {
        "1" => format!("floating {address}"),
        _ => host.attribute("name").to_owned(),
    };
    let at = format!("{at} / host {name}");
    put(fields, format!("{at} / address"), &address);
    sections_of(fields, &at, host);
    for volume in host.all("volume") {
        let at = format!("{at} / volume {}", volume.attribute("vnr"));
        sections_of(fields, &at, volume);
        put(fields, format!("{at} / minor"), volume.all("device").next().unwrap().attribute("minor"));
        put(fields, format!("{at} / device"), volume.text_of("device"));
        put(fields, format!("{at} / disk"), volume.text_of("disk"));
        for found in volume.all("meta-disk") {
            let text = match found.attributes.get("index") {
                Some(index) => format!("{} [{index}]", found.text),
                None => found.text.clone(),
            };
            put(fields, format!("{at} / meta-disk"), &text);
        }
    }
}

fn connection_of(fields: &mut Fields, at: &str, connection: &Element) {
    let bare = std::iter::once(connection).filter(|one| one.all("host").next().is_some());
    for (i, path) in bare.chain(connection.all("path")).enumerate() {
        for host in path.all("host") {
            let mut text = host.all("address").map(address_of).next().unwrap();
            for proxy in host.all("proxy") {
                let end = |tag| proxy.all(tag).map(address_of).next().unwrap();
                let name = proxy.attribute("hostname");
                text.push_str(&format!(" via {name}: {}, {}", end("inside"), end("outside")));
            }
            put(fields, format!("{at} / path {i} / {}", host.attribute("name")), &text);
        }
    }
    sections_of(fields, at, connection);
    for volume in connection.all("volume") {
        sections_of(fields, &format!("{at} / volume {}", volume.attribute("vnr")), volume);
    }
}

fn drbdadm(tree: &Path, version: &str, args: &[&str]) -> String {
    let output = Command::new("/usr/sbin/drbdadm")
        .arg("-c")
        .arg(tree.join("drbd.conf"))
        .args(args)
        .env("__DRBD_NODE__", "h1")
        .env("DRBD_DRIVER_VERSION_OVERRIDE", version)
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// `dump-xml` leaves out the options of a volume that stands in the resource; `attach` has them.
fn shared_volume_options(tree: &Path, version: &str, theirs: &mut Fields) {
    let up = drbdadm(tree, version, &["-d", "up", "pth"]);
    assert!(up.lines().any(|line| line.contains(" attach 11 ") && line.contains("--al-extents=257")), "{up}");
    for host in ["h1", "h2"] {
        put(theirs, format!("resource pth / host {host} / volume 0 / disk / al-extents"), "257");
    }
}

#[test]
fn every_field_of_every_construct_is_read_as_drbdadm_reads_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conf");
    for (family, version) in [("v84", "8.4.11"), ("v9", "9.2.18")] {
        let tree = folder.join(family);
        drbdadm(&tree, version, &["sh-nop"]);
        let mut theirs = fields_of_xml(&xml(&drbdadm(&tree, version, &["dump-xml"])), &tree);
        if family == "v9" {
            shared_volume_options(&tree, version, &mut theirs);
        }
        let configuration = ours(&tree);
        assert_eq!(configuration.unreadable, []);
        let ours = fields_of(&configuration, family == "v9");
        let keys: BTreeSet<&String> = theirs.keys().chain(ours.keys()).collect();
        let differ = keys.into_iter().filter(|key| ours.get(*key) != theirs.get(*key));
        let lines: Vec<String> = differ
            .map(|key| format!("{key}: ours {:?}, drbdadm {:?}", ours.get(key), theirs.get(key)))
            .collect();
        assert!(lines.is_empty(), "{family}:\n{}", lines.join("\n"));
        assert!(theirs.len() > 20, "{family}: {theirs:?}");
    }
}
