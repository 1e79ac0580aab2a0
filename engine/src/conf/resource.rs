// SPDX-License-Identifier: MPL-2.0
//! One `resource` section: hosts, volumes, connections.

use super::{
    ConnectionConf, DiskConf, EndConf, EndpointConf, HostConf, HostKind, MetaDiskConf, Origin, ProxyConf,
    ResourceConf, VolumeConf, settings,
};
use crate::tools::conf_text::{Section, Statement, Word};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) fn read(section: &Section, file: &Arc<str>) -> ResourceConf {
    let origin = |line| Origin { file: file.clone(), line };
    let mut own = Vec::new();
    settings::gather(section, file, &mut own);
    let shared = volumes(section, file, &BTreeMap::new());
    let hosts: Vec<HostConf> =
        section.sections().filter_map(|inner| host(inner, section, file, &shared)).collect();
    let mut connections: Vec<ConnectionConf> = Vec::new();
    for inner in section.sections() {
        match inner.keyword() {
            "connection" => connections.extend(connection(inner, &hosts, file)),
            "connection-mesh" => connections.extend(mesh(inner, &hosts, file)),
            _ => {}
        }
    }
    if let ([a, b], true) = (hosts.as_slice(), connections.is_empty()) {
        let paths = vec![[end_of(a), end_of(b)]];
        let origin = origin(section.line);
        connections.push(ConnectionConf { paths, settings: Vec::new(), volumes: BTreeMap::new(), origin });
    }
    ResourceConf {
        name: section.name().unwrap_or_default().to_owned(),
        origin: origin(section.line),
        settings: own,
        template: None,
        hosts,
        connections,
    }
}

/// A stacked resource lies on the DRBD device of the one below, on that one's hosts.
pub(super) fn stack(resources: &mut [ResourceConf]) {
    let below: BTreeMap<String, Vec<HostConf>> =
        resources.iter().map(|resource| (resource.name.clone(), resource.hosts.clone())).collect();
    for host in resources.iter_mut().flat_map(|resource| &mut resource.hosts) {
        let HostKind::StackedOn(lower) = &host.kind else { continue };
        let Some(lower) = below.get(lower) else { continue };
        host.names = lower.iter().flat_map(|host| host.names.clone()).collect();
        for (number, volume) in &mut host.volumes {
            let device = lower.iter().find_map(|host| device_of(host.volumes.get(number)?));
            if let Some(device) = device.filter(|_| volume.disk.is_none()) {
                volume.disk = Some(DiskConf::Device(device));
            }
        }
    }
    for resource in resources {
        for (host, name) in resource.hosts.iter().filter_map(|host| match &host.kind {
            HostKind::StackedOn(lower) => Some((host, lower)),
            HostKind::On | HostKind::Floating => None,
        }) {
            let ends = resource.connections.iter_mut().flat_map(|connection| &mut connection.paths).flatten();
            ends.filter(|end| end.host == *name).for_each(|end| end.host = host.names.join("_"));
        }
    }
}

fn device_of(volume: &VolumeConf) -> Option<String> {
    volume.device.clone().or_else(|| Some(format!("/dev/drbd{}", volume.minor?)))
}

fn host(
    section: &Section,
    resource: &Section,
    file: &Arc<str>,
    shared: &BTreeMap<u16, VolumeConf>,
) -> Option<HostConf> {
    let words: Vec<String> = section.words.iter().skip(1).map(|word| word.text.clone()).collect();
    let (kind, names) = match section.keyword() {
        "on" => (HostKind::On, words),
        "floating" => (HostKind::Floating, Vec::new()),
        "stacked-on-top-of" => (HostKind::StackedOn(words.join(" ")), words),
        _ => return None,
    };
    let mut host = HostConf {
        names,
        kind,
        node_id: section.statement("node-id").and_then(|id| id.value_text().parse().ok()),
        address: section.statement("address").and_then(|address| endpoint(address.values())),
        proxy: section.sections().find(|inner| inner.keyword() == "proxy" && is_proxy_host(inner)).map(proxy),
        volumes: volumes(section, file, shared),
        settings: Vec::new(),
        origin: Origin { file: file.clone(), line: section.line },
    };
    if host.kind == HostKind::Floating {
        host.address = endpoint(section.words.get(1..).unwrap_or_default());
        host.names = host.address.iter().map(name_of_floating).collect();
    }
    // An address that all hosts would share is nobody's, but drbdadm reads it.
    let all = resource.statement("address").and_then(|address| endpoint(address.values()));
    host.address = host.address.or(all);
    settings::gather(section, file, &mut host.settings);
    Some(host)
}

/// `proxy on HOST { … }`, not the section of options.
fn is_proxy_host(section: &Section) -> bool {
    section.name() == Some("on")
}

fn name_of_floating(end: &EndpointConf) -> String {
    if end.family == "ipv6" {
        format!("[{}]:{}", end.address, end.port)
    } else {
        format!("{}:{}", end.address, end.port)
    }
}

fn proxy(section: &Section) -> ProxyConf {
    let end = |keyword| section.statement(keyword).and_then(|statement| endpoint(statement.values()));
    let hosts = section.words.iter().map(|word| word.text.as_str()).skip_while(|word| *word != "on").skip(1);
    ProxyConf { hosts: hosts.map(str::to_owned).collect(), inside: end("inside"), outside: end("outside") }
}

/// `[FAMILY] ADDRESS:PORT`; blanks around the colon are allowed.
pub(super) fn endpoint(words: &[Word]) -> Option<EndpointConf> {
    let (family, rest) = match words.split_first()? {
        (first, rest) if !rest.is_empty() && !first.text.contains([':', '.']) => {
            (Some(first.text.clone()), rest)
        }
        _ => (None, words),
    };
    let text: String = rest.iter().map(|word| word.text.as_str()).collect();
    let (address, port) = text.rsplit_once(':')?;
    let bare = address.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
    let family = family.unwrap_or_else(|| if bare.is_some() { "ipv6" } else { "ipv4" }.to_owned());
    Some(EndpointConf { family, address: bare.unwrap_or(address).to_owned(), port: port.parse().ok()? })
}

/// The volumes of a section; statements outside a `volume` section are volume 0's. What `under` says holds where the
/// section says nothing.
fn volumes(
    section: &Section,
    file: &Arc<str>,
    under: &BTreeMap<u16, VolumeConf>,
) -> BTreeMap<u16, VolumeConf> {
    let mut found: BTreeMap<u16, VolumeConf> = BTreeMap::new();
    let mut bare = VolumeConf::default();
    section.statements().for_each(|statement| take(statement, &mut bare));
    if bare != VolumeConf::default() {
        found.insert(0, bare);
    }
    for inner in section.sections().filter(|inner| inner.keyword() == "volume") {
        let number = inner.name().and_then(|name| name.parse().ok()).unwrap_or(0);
        let volume = found.entry(number).or_default();
        inner.statements().for_each(|statement| take(statement, volume));
        settings::gather(inner, file, &mut volume.settings);
    }
    for (number, shared) in under {
        let own = found.entry(*number).or_default();
        if own.minor.is_none() && own.device.is_none() {
            (own.minor, own.device) = (shared.minor, shared.device.clone());
        }
        own.disk = own.disk.take().or_else(|| shared.disk.clone());
        own.meta_disk = own.meta_disk.take().or_else(|| shared.meta_disk.clone());
        let mut settings = shared.settings.clone();
        settings.retain(|one| !own.settings.iter().any(|o| o.section == one.section && o.name == one.name));
        settings.append(&mut own.settings);
        own.settings = settings;
    }
    found
}

fn take(statement: &Statement, volume: &mut VolumeConf) {
    let words: Vec<&str> = statement.values().iter().map(|word| word.text.as_str()).collect();
    let quoted = statement.values().first().is_some_and(|word| word.quoted);
    match (statement.keyword(), words.as_slice()) {
        ("device", ["minor", number]) => volume.minor = number.parse().ok(),
        ("device", [path, "minor", number]) => {
            volume.device = Some((*path).to_owned());
            volume.minor = number.parse().ok();
        }
        ("device", [path]) => {
            volume.device = Some((*path).to_owned());
            volume.minor = path.strip_prefix("/dev/drbd").and_then(|number| number.parse().ok());
        }
        ("disk", ["none"]) if !quoted => volume.disk = Some(DiskConf::None),
        ("disk", [path]) => volume.disk = Some(DiskConf::Device((*path).to_owned())),
        ("meta-disk" | "flexible-meta-disk", ["internal"]) if !quoted => {
            volume.meta_disk = Some(MetaDiskConf::Internal);
        }
        ("flexible-meta-disk", [device]) => {
            volume.meta_disk = Some(MetaDiskConf::Flexible { device: (*device).to_owned() });
        }
        ("meta-disk", [_, ..]) => volume.meta_disk = Some(external(&words.concat())),
        _ => {}
    }
}

/// `DEVICE`, or `DEVICE[N]`.
fn external(text: &str) -> MetaDiskConf {
    let indexed = text.strip_suffix(']').and_then(|rest| rest.rsplit_once('['));
    match indexed.and_then(|(device, index)| Some((device, index.trim().parse().ok()?))) {
        Some((device, index)) => MetaDiskConf::Indexed { device: device.to_owned(), index },
        None => MetaDiskConf::Flexible { device: text.to_owned() },
    }
}

fn connection(section: &Section, hosts: &[HostConf], file: &Arc<str>) -> Option<ConnectionConf> {
    let path = |inner: &Section| <[EndConf; 2]>::try_from(ends(inner, hosts)).ok();
    let mut paths: Vec<[EndConf; 2]> = path(section).into_iter().collect();
    paths.extend(section.sections().filter(|inner| inner.keyword() == "path").filter_map(path));
    let mut found = ConnectionConf {
        paths,
        settings: Vec::new(),
        volumes: BTreeMap::new(),
        origin: Origin { file: file.clone(), line: section.line },
    };
    settings::gather(section, file, &mut found.settings);
    for inner in section.sections().filter(|inner| inner.keyword() == "volume") {
        let number = inner.name().and_then(|name| name.parse().ok()).unwrap_or(0);
        settings::gather(inner, file, found.volumes.entry(number).or_default());
    }
    (!found.paths.is_empty()).then_some(found)
}

/// `host NAME [address …] [port N] [via proxy on HOST { … }];`
fn ends(section: &Section, hosts: &[HostConf]) -> Vec<EndConf> {
    let plain = section.statements().filter(|s| s.keyword() == "host").map(|s| (s.values(), None));
    let proxied = section.sections().filter(|s| s.keyword() == "host");
    let proxied = proxied.map(|s| (s.words.get(1..).unwrap_or_default(), Some(proxy(s))));
    plain.chain(proxied).filter_map(|(words, proxy)| end(words, proxy, hosts)).collect()
}

fn end(words: &[Word], proxy: Option<ProxyConf>, hosts: &[HostConf]) -> Option<EndConf> {
    let (name, rest) = words.split_first()?;
    let until = rest.iter().position(|word| word.text == "via").unwrap_or(rest.len());
    let rest = rest.get(..until).unwrap_or_default();
    let known = hosts.iter().find(|host| host.is(&name.text));
    let own = || known.and_then(|host| host.address.clone());
    let address = match rest.split_first() {
        Some((word, address)) if word.text == "address" => endpoint(address),
        Some((word, [port])) if word.text == "port" => {
            own().and_then(|address| Some(EndpointConf { port: port.text.parse().ok()?, ..address }))
        }
        _ => own(),
    };
    let proxy = proxy.or_else(|| known.and_then(|host| host.proxy.clone()));
    Some(EndConf { host: name.text.clone(), address, proxy })
}

fn end_of(host: &HostConf) -> EndConf {
    EndConf { host: host.names.join("_"), address: host.address.clone(), proxy: host.proxy.clone() }
}

/// `connection-mesh { hosts A B C; … }`: each pair.
fn mesh(section: &Section, hosts: &[HostConf], file: &Arc<str>) -> Vec<ConnectionConf> {
    let mut own = Vec::new();
    settings::gather(section, file, &mut own);
    let names: Vec<&Word> = section.statement("hosts").iter().flat_map(|hosts| hosts.values()).collect();
    let ends: Vec<EndConf> =
        names.into_iter().filter_map(|name| end(std::slice::from_ref(name), None, hosts)).collect();
    let origin = Origin { file: file.clone(), line: section.line };
    let pairs = ends
        .iter()
        .enumerate()
        .flat_map(|(i, a)| ends.iter().skip(i + 1).map(move |b| [a.clone(), b.clone()]));
    let connection = |pair| ConnectionConf {
        paths: vec![pair],
        settings: own.clone(),
        volumes: BTreeMap::new(),
        origin: origin.clone(),
    };
    pairs.map(connection).collect()
}
