// SPDX-License-Identifier: MPL-2.0
//! Sections of options, on whichever level they stand, and what a resource inherits.

use super::{Configuration, Origin, ResourceConf, Setting};
use crate::tools::conf_text::{Section, Statement};
use drbd_schemas::facts::OptionFacts;
use std::sync::Arc;

/// Sections that hold options.
const SECTIONS: [&str; 6] = ["options", "net", "disk", "handlers", "startup", "proxy"];

/// Switches that DRBD 8.3 turned off by a word with `no-` before it.
const OLD_SWITCHES: [&str; 5] = ["disk-flushes", "disk-barrier", "disk-drain", "md-flushes", "tcp-cork"];

/// Options that a resource has without naming them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inherited(pub Vec<Setting>);

impl Configuration {
    /// What a resource inherits: its template's options or those of `common`, but for those that it names itself.
    pub fn inherited_by(&self, resource: &ResourceConf) -> Inherited {
        let from = resource.template.as_ref().unwrap_or(&self.common);
        let named = |setting: &Setting| {
            resource.settings.iter().any(|own| own.section == setting.section && own.name == setting.name)
        };
        Inherited(from.iter().filter(|setting| !named(setting)).cloned().collect())
    }
}

impl Configuration {
    /// All options of a resource, as facts.
    pub(crate) fn options_of(&self, resource: &ResourceConf) -> Vec<OptionFacts> {
        let mut found = told(&self.inherited_by(resource).0, true, None);
        found.extend(told(&resource.settings, false, None));
        for host in &resource.hosts {
            let name = host.names.join(" ");
            found.extend(told(&host.settings, false, Some(format!("host {name}"))));
            for (number, volume) in &host.volumes {
                found.extend(told(&volume.settings, false, Some(format!("host {name} volume {number}"))));
            }
        }
        for connection in &resource.connections {
            let ends: Vec<&str> =
                connection.paths.iter().flatten().map(|end| end.host.as_str()).take(2).collect();
            let ends = ends.join(" and ");
            found.extend(told(&connection.settings, false, Some(format!("connection of {ends}"))));
            for (number, settings) in &connection.volumes {
                found.extend(told(settings, false, Some(format!("connection of {ends} volume {number}"))));
            }
        }
        found
    }

    /// What every resource inherits, as facts.
    pub(crate) fn common_facts(&self) -> Vec<OptionFacts> {
        told(&self.common, true, None)
    }
}

fn told(settings: &[Setting], inherited: bool, only_for: Option<String>) -> Vec<OptionFacts> {
    let fact = |setting: &Setting| OptionFacts {
        section: setting.section.clone(),
        name: setting.name.clone(),
        value: setting.value.clone(),
        from: setting.origin.to_string(),
        inherited,
        only_for: only_for.clone(),
    };
    settings.iter().map(fact).collect()
}

/// Adds what the sections directly in `section` say; a later value takes the place of an earlier one, as in `drbdadm`.
pub(super) fn gather(section: &Section, file: &Arc<str>, into: &mut Vec<Setting>) {
    for statement in section.statements().filter(|statement| statement.keyword() == "protocol") {
        put("net", statement, file, into);
    }
    for inner in section.sections() {
        let keyword = inner.keyword();
        // `proxy on HOST { … }` says where one runs.
        if inner.name() == Some("on") {
            continue;
        }
        if keyword == "syncer" {
            inner.statements().for_each(|statement| syncer(statement, file, into));
        } else if SECTIONS.contains(&keyword) {
            inner.statements().for_each(|statement| put(keyword, statement, file, into));
            for plugin in inner.sections() {
                plugin.statements().for_each(|statement| put("proxy.plugin", statement, file, into));
            }
        }
    }
}

/// `syncer` of DRBD 8.3: today's sections have its options under today's names.
fn syncer(statement: &Statement, file: &Arc<str>, into: &mut Vec<Setting>) {
    let (section, name) = match statement.keyword() {
        "rate" => ("disk", "resync-rate"),
        "after" => ("disk", "resync-after"),
        "verify-alg" | "csums-alg" | "use-rle" => ("net", statement.keyword()),
        "cpu-mask" | "on-no-data-accessible" => ("options", statement.keyword()),
        other => ("disk", other),
    };
    put_as(section, name, statement, file, into);
}

fn put(section: &str, statement: &Statement, file: &Arc<str>, into: &mut Vec<Setting>) {
    put_as(section, statement.keyword(), statement, file, into);
}

fn put_as(section: &str, name: &str, statement: &Statement, file: &Arc<str>, into: &mut Vec<Setting>) {
    let (name, value) = match name.strip_prefix("no-").filter(|rest| OLD_SWITCHES.contains(rest)) {
        Some(positive) => (positive, "no".to_owned()),
        None if statement.values().is_empty() => (name, "yes".to_owned()),
        None => (name, statement.value_text()),
    };
    let setting = Setting {
        section: section.to_owned(),
        name: name.to_owned(),
        value,
        origin: Origin { file: file.clone(), line: statement.line },
    };
    into.retain(|other| other.section != setting.section || other.name != setting.name);
    into.push(setting);
}
