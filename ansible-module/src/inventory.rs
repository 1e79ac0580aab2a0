// SPDX-License-Identifier: MPL-2.0
//! An inventory script for Ansible: the data source `drbd_inventory`, as it is in Terraform's state, without a file that
//! could be out of date.
//!
//! It runs where Ansible runs, not on a host of DRBD. `terraform show -json` says what is in the state; `--list` prints it in the
//! form of inventory scripts (Ansible Developer Guide, "Developing dynamic inventory"), with `_meta`. The one thing that must be a file is what ssh reads:
//! `ssh_config` and `known_hosts` go into the user's cache directory, under a name that their content decides.
//!
//! Not here: what is in an inventory (the provider's `inventory`), and any look at hosts.

mod state;

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use serde_json::{Map, Value, json};

use crate::door;
use state::Found;

/// Names under which the program is this script.
const NAMES: [&str; 2] = ["drbd_inventory", "drbd-inventory"];

pub(crate) const USAGE: &str = "\
Usage:
  drbd-host inventory --list | --host NAME [--directory DIR | --state FILE|-] [--address ADDRESS]

An inventory script for Ansible, made of the data source drbd_inventory in Terraform's state. Linked as drbd_inventory it
needs no first word: ansible-playbook -i ./drbd_inventory site.yml.

  --directory DIR    where Terraform runs; else $DRBD_INVENTORY_DIRECTORY, else the current directory
  --state FILE|-     the output of `terraform show -json`, instead of running it
  --address ADDRESS  which data source, where there are several; else $DRBD_INVENTORY_ADDRESS
  $DRBD_INVENTORY_TERRAFORM is the program to run, `terraform` unless set (tofu, for example).";

/// Whether the program was called by one of the script's names.
pub(crate) fn is_named(argv0: &OsStr) -> bool {
    Path::new(argv0).file_name().and_then(OsStr::to_str).is_some_and(|name| NAMES.contains(&name))
}

/// What the command line asks for.
#[derive(Debug, Default)]
struct Wish {
    list: bool,
    host: Option<String>,
    directory: Option<PathBuf>,
    state: Option<OsString>,
    address: Option<String>,
}

/// Runs the script.
pub(crate) fn run(args: Vec<OsString>) -> ExitCode {
    let wish = match parse(args) {
        Ok(wish) if wish.list || wish.host.is_some() => wish,
        Ok(_) => return said(&format!("{USAGE}\n"), ExitCode::from(2)),
        Err(error) => return said(&format!("drbd_inventory: {error}\n\n{USAGE}\n"), ExitCode::from(2)),
    };
    match answer(&wish) {
        Ok(value) => {
            let _ = writeln!(std::io::stdout(), "{value}");
            ExitCode::SUCCESS
        }
        Err(error) => said(&format!("drbd_inventory: {error}\n"), ExitCode::FAILURE),
    }
}

fn said(text: &str, code: ExitCode) -> ExitCode {
    let _ = std::io::stderr().write_all(text.as_bytes());
    code
}

fn parse(args: Vec<OsString>) -> Result<Wish, lexopt::Error> {
    use lexopt::ValueExt as _;
    use lexopt::prelude::Long;
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let mut wish = Wish {
        directory: variable("DRBD_INVENTORY_DIRECTORY").map(PathBuf::from),
        address: variable("DRBD_INVENTORY_ADDRESS").and_then(|address| address.into_string().ok()),
        ..Wish::default()
    };
    let mut parser = lexopt::Parser::from_args(args);
    while let Some(arg) = parser.next()? {
        match arg {
            Long("list") => wish.list = true,
            Long("host") => wish.host = Some(parser.value()?.string()?),
            Long("directory") => wish.directory = Some(parser.value()?.into()),
            Long("state") => wish.state = Some(parser.value()?),
            Long("address") => wish.address = Some(parser.value()?.string()?),
            other => return Err(other.unexpected()),
        }
    }
    Ok(wish)
}

fn answer(wish: &Wish) -> Result<Value, String> {
    let text = match &wish.state {
        Some(file) => door::read_input(file)
            .map_err(|error| format!("cannot read {}: {error}", file.to_string_lossy()))?,
        None => shown(wish.directory.as_deref().unwrap_or(Path::new(".")))?,
    };
    let found = state::find(&text, wish.address.as_deref())?;
    let ssh_config = ssh_files(&found)?;
    let mut list = state::list(&found.document)?;
    use_ssh_config(&mut list, &ssh_config);
    match &wish.host {
        None => Ok(list),
        Some(host) => Ok(list
            .pointer_mut("/_meta/hostvars")
            .and_then(|all| all.get_mut(host))
            .map_or_else(|| json!({}), Value::take)),
    }
}

/// What Terraform says of its state.
fn shown(directory: &Path) -> Result<String, String> {
    let named = std::env::var_os("DRBD_INVENTORY_TERRAFORM").filter(|name| !name.is_empty());
    let program = named.unwrap_or_else(|| "terraform".into());
    let name = program.to_string_lossy().into_owned();
    let output = Command::new(&program)
        .args(["show", "-json", "-no-color"])
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot run {name} in {}: {error}", directory.display()))?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        return Err(format!("`{name} show -json` in {} failed: {}", directory.display(), why.trim()));
    }
    String::from_utf8(output.stdout).map_err(|_| format!("`{name} show -json` printed what is no UTF-8"))
}

/// Writes what ssh reads; returns the path of `ssh_config`. The same content is the same place, so what runs already keeps what it
/// uses.
fn ssh_files(found: &Found) -> Result<String, String> {
    let mut hasher = DefaultHasher::new();
    (&found.ssh_config, &found.known_hosts).hash(&mut hasher);
    let directory = cache()?.join("drbd-inventory").join(format!("{:016x}", hasher.finish()));
    private(&directory)?;
    let known_hosts = directory.join("known_hosts");
    write(&known_hosts, &found.known_hosts)?;
    let path = directory.join("ssh_config");
    write(&path, &with_known_hosts(&found.ssh_config, &known_hosts.display().to_string())?)?;
    Ok(path.display().to_string())
}

fn cache() -> Result<PathBuf, String> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    variable("XDG_CACHE_HOME")
        .or_else(|| Some(variable("HOME")?.join(".cache")))
        .ok_or_else(|| "neither XDG_CACHE_HOME nor HOME says where ssh_config may be written".to_owned())
}

/// Makes a directory that nobody else can write to; ssh believes what is in it.
fn private(directory: &Path) -> Result<(), String> {
    let cannot = |why: String| format!("cannot use {} for ssh_config: {why}", directory.display());
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(directory).map_err(|error| cannot(error.to_string()))?;
    let found = fs::symlink_metadata(directory).map_err(|error| cannot(error.to_string()))?;
    let ours =
        found.is_dir() && found.uid() == rustix::process::geteuid().as_raw() && found.mode() & 0o022 == 0;
    if ours { Ok(()) } else { Err(cannot("others can write to it, or own it; remove it".to_owned())) }
}

/// Puts a file in its place at once: another run may be reading it.
fn write(path: &Path, content: &str) -> Result<(), String> {
    let cannot = |error: std::io::Error| format!("cannot write {}: {error}", path.display());
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}", std::process::id()));
    fs::write(&beside, content).and_then(|()| fs::rename(&beside, path)).map_err(cannot)
}

/// The configuration with its known hosts in another place.
fn with_known_hosts(ssh_config: &str, known_hosts: &str) -> Result<String, String> {
    if known_hosts.contains(['"', '\\'])
        || known_hosts.contains("${")
        || known_hosts.contains(char::is_control)
    {
        return Err(format!(
            "{known_hosts:?} cannot be named in ssh_config; set XDG_CACHE_HOME to another place"
        ));
    }
    let mut out = String::new();
    let mut replaced = false;
    for line in ssh_config.lines() {
        if line.trim_start().starts_with("UserKnownHostsFile ") {
            replaced = true;
            let _ = writeln!(out, "    UserKnownHostsFile \"{}\"", known_hosts.replace('%', "%%"));
        } else {
            let _ = writeln!(out, "{line}");
        }
    }
    if replaced { Ok(out) } else { Err("ssh_config of the state names no UserKnownHostsFile".to_owned()) }
}

/// There is no file beside which ssh_config could be.
fn use_ssh_config(list: &mut Value, ssh_config: &str) {
    let quoted = format!("-F '{}'", ssh_config.replace('\'', r"'\''"));
    let groups = list.as_object_mut().into_iter().flat_map(Map::values_mut);
    for vars in groups.filter_map(|group| group.get_mut("vars")) {
        if let Some(arguments) = vars.get_mut("ansible_ssh_common_args")
            && arguments.as_str().is_some_and(|text| text.contains("inventory_dir ~ '/ssh_config'"))
        {
            *arguments = quoted.as_str().into();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_answers_to_its_names() {
        assert!(is_named(OsStr::new("./inventory/drbd_inventory")) && is_named(OsStr::new("drbd-inventory")));
        assert!(!is_named(OsStr::new("drbd-host")) && !is_named(OsStr::new("/drbd_inventory/drbd-host")));
    }

    #[test]
    fn known_hosts_move_and_nothing_else_does() {
        let text = "Host *\n    UserKnownHostsFile /a/known_hosts\n    StrictHostKeyChecking yes\n";
        let moved = with_known_hosts(text, "/b c/%/known_hosts").unwrap();
        assert_eq!(
            moved,
            "Host *\n    UserKnownHostsFile \"/b c/%%/known_hosts\"\n    StrictHostKeyChecking yes\n"
        );
        assert!(with_known_hosts("Host *\n", "/b").unwrap_err().contains("UserKnownHostsFile"));
        assert!(with_known_hosts(text, "/b\"").is_err());
    }

    #[test]
    fn arguments_that_a_user_gave_stay() {
        let mut list = json!({
            "a": { "vars": { "ansible_ssh_common_args": "-F {{ (inventory_dir ~ '/ssh_config') | quote }}" } },
            "b": { "vars": { "ansible_ssh_common_args": "-v" } },
        });
        use_ssh_config(&mut list, "/x/it's");
        assert_eq!(list["a"]["vars"]["ansible_ssh_common_args"], r"-F '/x/it'\''s'");
        assert_eq!(list["b"]["vars"]["ansible_ssh_common_args"], "-v");
    }
}
