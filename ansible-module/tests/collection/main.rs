// SPDX-License-Identifier: MPL-2.0
//! What is generated in `ansible-module/collection/` is what the types say: the modules (launchers), their
//! documentation, the action groups, the ignore files of the sanity tests. `UPDATE=1 cargo test -p drbd-host --test collection` writes
//! them.
//!
//! Not here: whether Ansible takes them (system tests `ansible_docs` and `ansible`).

mod about;
mod sidecar;
mod yaml;

use drbd_schemas::args::Module;
use drbd_schemas::export;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use yaml::Yaml;

/// Versions of ansible-core that have a file of ignored sanity tests.
const CORES: [&str; 8] = ["2.14", "2.15", "2.16", "2.17", "2.18", "2.19", "2.20", "2.21"];

/// The one launcher; every module is a copy of it.
const LAUNCHER: &str = include_str!("launcher.sh");

fn collection() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("collection")
}

/// Every generated file.
fn files() -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for module in Module::ALL {
        files.insert(format!("plugins/modules/{module}"), launcher());
        files.insert(format!("plugins/modules/{module}.yml"), sidecar::of(module));
    }
    for core in CORES {
        files.insert(format!("tests/sanity/ignore-{core}.txt"), ignored(core));
    }
    files.insert("meta/runtime.yml".to_owned(), runtime());
    files
}

fn launcher() -> String {
    LAUNCHER
        .replace("@PROTOCOL@", &drbd_host::PROTOCOL.to_string())
        .replace("@VERSION@", env!("CARGO_PKG_VERSION"))
}

/// The checks of `ansible-test sanity` that a module which is no Python cannot pass, and that of a licence which Ansible
/// asks of its own modules only. Up to 2.16 the licence is looked for in what could be parsed as Python. And that of an action
/// plugin with the name of a module: ours is for all of them.
fn ignored(core: &str) -> String {
    let last = if core <= "2.16" { "python-syntax-error" } else { "missing-gplv3-license" };
    let lines = names(&|_| true).into_iter().map(|name| {
        format!(
            "plugins/modules/{name} shebang\n\
             plugins/modules/{name} validate-modules:invalid-extension\n\
             plugins/modules/{name} validate-modules:{last}\n\
             plugins/modules/{name}.yml validate-modules:missing-gplv3-license\n"
        )
    });
    let shared = "plugins/action/drbd_host.py action-plugin-docs\n".to_owned();
    std::iter::once(shared).chain(lines).collect()
}

/// The modules whose options are so, in the order of the alphabet.
fn names(wanted: &dyn Fn(&Value) -> bool) -> Vec<&'static str> {
    let modules = Module::ALL.iter().filter(|module| wanted(&export::module_schema(**module)["properties"]));
    let mut names: Vec<&str> = modules.map(|module| module.name()).collect();
    names.sort_unstable();
    names
}

fn runtime() -> String {
    let action = |name| (name, Yaml::map([("action_plugin", Yaml::text("replivol.drbd.drbd_host"))]));
    let group = |wanted: &dyn Fn(&Value) -> bool| Yaml::texts(names(wanted));
    let document = Yaml::map([
        ("requires_ansible", Yaml::text(">=2.14.0")),
        (
            "action_groups",
            Yaml::map([
                // A group can only set options that all of its modules have.
                ("declaration", group(&|options| !options["nodes"].is_null())),
                ("drbd", group(&|_| true)),
                ("locking", group(&|options| !options["lock_timeout"].is_null())),
            ]),
        ),
        ("plugin_routing", Yaml::map([("modules", Yaml::map(names(&|_| true).into_iter().map(action)))])),
    ]);
    format!(
        "# SPDX-License-Identifier: MPL-2.0\n\
         # Generated; see ansible-module/tests/collection. For module_defaults: group/replivol.drbd.declaration are the\n\
         # modules that take a whole declaration, group/replivol.drbd.locking those that wait for another run.\n{}",
        document.document()
    )
}

#[test]
fn the_collection_is_what_the_types_say() {
    let update = std::env::var_os("UPDATE").is_some();
    let mut wrong = Vec::new();
    for (name, text) in files() {
        let path = collection().join(&name);
        if update {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        }
        if fs::read_to_string(&path).unwrap_or_default() != text {
            wrong.push(name);
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}: run UPDATE=1 cargo test -p drbd-host --test collection");
}

#[test]
fn the_collection_has_no_module_that_the_program_has_not() {
    let expected: BTreeSet<String> = files()
        .into_keys()
        .filter_map(|name| name.strip_prefix("plugins/modules/").map(str::to_owned))
        .collect();
    let entries = fs::read_dir(collection().join("plugins/modules")).unwrap();
    let found: BTreeSet<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(found, expected);
}

#[test]
fn the_collection_has_the_version_of_the_program() {
    let galaxy = fs::read_to_string(collection().join("galaxy.yml")).unwrap();
    assert!(galaxy.contains(&format!("\nversion: {}\n", env!("CARGO_PKG_VERSION"))), "{galaxy}");
    let changes = fs::read_to_string(collection().join("changelogs/changelog.yaml")).unwrap();
    assert!(changes.contains(&format!("\n  {}:\n", env!("CARGO_PKG_VERSION"))), "{changes}");
}

#[test]
fn the_role_takes_a_package_of_this_protocol() {
    let vars = fs::read_to_string(collection().join("roles/install/vars/main.yml")).unwrap();
    assert!(vars.contains(&format!("\ninstall_protocol: {}\n", drbd_host::PROTOCOL)), "{vars}");
}
