// SPDX-License-Identifier: MPL-2.0
//! `ssh_config` and `known_hosts` of an inventory. Pure.
//!
//! Every host is looked up under a name of its own (`HostKeyAlias`), so that private addresses that another cluster uses, too,
//! do no harm. What is not vouched for here is refused: the user's and the system's own known hosts are not asked.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use tfplugin::{Diagnostic, Path};

use super::model::{Inventory, InventoryHost};
use crate::ssh_settings::Login;

/// The text of `known_hosts`.
///
/// # Errors
/// When no verified key of a node or a bastion is known, or a line is none.
pub(super) fn known_hosts(inventory: &Inventory) -> Result<String, Diagnostic> {
    let mut lines = BTreeSet::new();
    for (name, host) in &inventory.hosts {
        lines.extend(node_lines(name, host)?);
    }
    for (alias, bastion) in bastions(inventory)? {
        lines.extend(bastion_lines(inventory, &alias, bastion)?);
    }
    Ok(lines.into_iter().map(|line| line + "\n").collect())
}

/// The text of `ssh_config`, for a `known_hosts` in this directory.
///
/// # Errors
/// When two bastions would have the same name, or a value cannot be written in this format.
pub(super) fn ssh_config(inventory: &Inventory, directory: &str) -> Result<String, Diagnostic> {
    let unusable = |why: &str| Diagnostic::error("Cannot be written into ssh_config", format!("{why}."));
    let mut out = "# Made by Terraform (drbd_inventory): ssh -F THIS-FILE NODE\n".to_owned();
    for (alias, bastion) in bastions(inventory)? {
        host_entry(&mut out, &alias, bastion).map_err(|why| unusable(&why))?;
    }
    for (name, host) in &inventory.hosts {
        host_entry(&mut out, name, &host.login).map_err(|why| unusable(&why))?;
        if let Some(bastion) = &host.login.bastion {
            let _ = writeln!(out, "    ProxyJump {}", bastion_alias(bastion));
        }
    }
    let file =
        word(&format!("{directory}/known_hosts")).map_err(|why| unusable(&format!("directory: {why}")))?;
    let _ = write!(
        out,
        "\nHost *\n    UserKnownHostsFile {file}\n    GlobalKnownHostsFile /dev/null\n    StrictHostKeyChecking yes\n    UpdateHostKeys no\n"
    );
    Ok(out)
}

fn host_entry(out: &mut String, name: &str, login: &Login) -> Result<(), String> {
    let _ = write!(out, "\nHost {name}\n    HostName {}\n    HostKeyAlias {name}\n", word(&login.host)?);
    if login.port != 22 {
        let _ = writeln!(out, "    Port {}", login.port);
    }
    if let Some(user) = &login.user {
        let _ = writeln!(out, "    User {}", word(user)?);
    }
    for file in &login.key_files {
        let _ = writeln!(out, "    IdentityFile {}", word(file)?);
    }
    if !login.key_files.is_empty() {
        let _ = writeln!(out, "    IdentitiesOnly yes");
    }
    Ok(())
}

/// A value as OpenSSH reads it back: `%` begins one of its tokens, blanks end a word.
///
/// # Errors
/// What cannot be written: quotation marks, backslashes, control characters, `${`.
pub(super) fn word(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains("${") || text.contains(['"', '\\']) || text.contains(char::is_control)
    {
        return Err(format!(
            "{text:?} is empty, or has a quotation mark, a backslash, a control character or ${{ in it"
        ));
    }
    let text = text.replace('%', "%%");
    Ok(if text.contains([' ', '#']) { format!("\"{text}\"") } else { text })
}

/// The bastions, by their names in `ssh_config`.
fn bastions(inventory: &Inventory) -> Result<BTreeMap<String, &Login>, Diagnostic> {
    let mut found: BTreeMap<String, &Login> = BTreeMap::new();
    for bastion in inventory.hosts.values().filter_map(|host| host.login.bastion.as_deref()) {
        let other = found.insert(bastion_alias(bastion), bastion);
        if other.is_some_and(|other| other != bastion) {
            let detail = format!(
                "Nodes use the bastion {} with different users, keys or pinned keys; in ssh_config it can be there once. Set ssh.bastion of \
                 the inventory to what all of them shall use.",
                bastion.host
            );
            return Err(Diagnostic::error("Bastion with two ways to log in", detail).at(Path::of("ssh")));
        }
    }
    Ok(found)
}

/// A name that stays, whatever other bastions there are.
fn bastion_alias(bastion: &Login) -> String {
    let host = bastion.host.replace([':', '%'], "-").to_ascii_lowercase();
    match bastion.port {
        22 => format!("bastion-{host}"),
        port => format!("bastion-{host}-{port}"),
    }
}

/// As OpenSSH looks a host up that has no alias.
fn lookup(login: &Login) -> String {
    let name = match login.port {
        22 => login.host.clone(),
        port => format!("[{}]:{port}", login.host),
    };
    name.to_ascii_lowercase()
}

/// Host patterns and key of a line.
fn parts(line: &str) -> Option<(&str, &str)> {
    let (hosts, key) = line.trim().split_once(' ')?;
    let whole = key.trim().split(' ').count() >= 2 && !line.trim().contains(char::is_control);
    (whole && !hosts.starts_with(['@', '|', '#'])).then_some((hosts, key.trim()))
}

/// The keys that these lines give to a name.
fn keys<'l>(lines: &'l [String], name: &'l str) -> impl Iterator<Item = &'l str> {
    let about = move |hosts: &str| hosts.split(',').any(|host| host.eq_ignore_ascii_case(name));
    lines.iter().filter_map(|line| parts(line)).filter(move |(hosts, _)| about(hosts)).map(|(_, key)| key)
}

fn node_lines(name: &str, host: &InventoryHost) -> Result<Vec<String>, Diagnostic> {
    let looked_up = lookup(&host.login);
    let lines: Vec<String> = keys(&host.known_hosts, &looked_up).map(|key| format!("{name} {key}")).collect();
    if lines.is_empty() {
        let detail = format!(
            "The node {name} has no line for {looked_up} in known_hosts. A refresh (terraform apply -refresh-only) takes the key that is \
             verified when its host is contacted."
        );
        return Err(Diagnostic::error("No verified host key", detail).at(Path::of("nodes")));
    }
    Ok(lines)
}

/// Pinned keys, else what was verified on the way to some node.
fn bastion_lines(inventory: &Inventory, alias: &str, bastion: &Login) -> Result<Vec<String>, Diagnostic> {
    let pinned = bastion.pins.iter().filter_map(drbd_ssh::Pin::public_key);
    let mut lines: Vec<String> = pinned.map(|key| format!("{alias} {key}")).collect();
    if lines.is_empty() {
        let looked_up = lookup(bastion);
        let all = inventory.hosts.values().flat_map(|host| keys(&host.known_hosts, &looked_up));
        lines = all.map(|key| format!("{alias} {key}")).collect();
    }
    if lines.is_empty() {
        let detail = format!(
            "No node was reached through the bastion {}, so its key was not verified. Give its public key in host_keys of the bastion.",
            bastion.host
        );
        return Err(Diagnostic::error("No verified host key", detail).at(Path::of("ssh")));
    }
    Ok(lines)
}
