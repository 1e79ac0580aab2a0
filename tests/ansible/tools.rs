// SPDX-License-Identifier: MPL-2.0
//! What Ansible's own tools say of the collection as it is installed: ansible-doc, ansible-lint, ansible-test.
//!
//! Not here: hosts. `ansible-test` is that of the newest version only, which finds the most.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::Value;
use support::{made, run};

use crate::play::Controller;

fn schema(name: &str) -> Value {
    let path = made::checkout().join(format!("schemas/json/{name}.schema.json"));
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// The modules that have a schema.
fn modules() -> Vec<String> {
    let entries = fs::read_dir(made::checkout().join("schemas/json")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let modules = names.filter_map(|name| name.strip_suffix(".schema.json").map(str::to_owned));
    let modules: Vec<String> = modules.filter(|name| name.starts_with("drbd_")).collect();
    assert!(modules.len() >= 5, "{modules:?}");
    modules
}

/// What `ansible-doc` knows of each module, by its short name.
fn documentation(controller: &Controller) -> BTreeMap<String, Value> {
    let mut doc = controller.command("ansible-doc", &["--json"]);
    doc.args(modules().iter().map(|module| format!("replivol.drbd.{module}")));
    let pages: BTreeMap<String, Value> = serde_json::from_str(&run(&mut doc).unwrap().ok().unwrap()).unwrap();
    let short = |name: String| name.strip_prefix("replivol.drbd.").unwrap().to_owned();
    pages.into_iter().map(|(name, page)| (short(name), page)).collect()
}

#[test]
fn every_version_of_ansible_doc_lists_and_shows_every_module() {
    for installation in ["ansible-2.14", "ansible", "ansible-2.21"] {
        let controller = Controller::with(installation);
        let list = controller.command("ansible-doc", &["--list", "replivol.drbd"]);
        let listed = run(&mut { list }).unwrap().ok().unwrap();
        let pages = documentation(&controller);
        for module in modules() {
            let line = listed.lines().find(|line| line.starts_with(&format!("replivol.drbd.{module} ")));
            assert!(line.is_some(), "{installation}: {module} is not in\n{listed}");
            let page = &pages[&module];
            for part in ["attributes", "options", "notes", "seealso", "version_added"] {
                assert!(!page["doc"][part].is_null(), "{installation}: {module} has no {part}");
            }
            assert!(page["examples"].as_str().is_some_and(|text| text.contains(&module)), "{page}");
        }
        let role = controller.command("ansible-doc", &["--type", "role", "replivol.drbd.install"]);
        assert!(run(&mut { role }).unwrap().ok().unwrap().contains("install_drbd_allow_reboot"));
    }
}

#[test]
fn every_option_and_return_value_of_the_schemas_is_documented() {
    let controller = Controller::new();
    let pages = documentation(&controller);
    for module in modules() {
        let page = &pages[&module];
        let root = schema(&module);
        let mut missing = Vec::new();
        let top = &page["doc"]["options"];
        compare(&Walk { root: &root, top }, &root, top, &module, &mut missing);
        assert!(missing.is_empty(), "{missing:#?}");
        for value in schema("reply")["required"].as_array().unwrap() {
            assert!(!page["return"][value.as_str().unwrap()].is_null(), "{module} returns {value}");
        }
    }
}

/// A schema and its documentation.
struct Walk<'a> {
    root: &'a Value,
    /// The options of the top level.
    top: &'a Value,
}

impl<'a> Walk<'a> {
    fn resolve(&self, schema: &'a Value) -> &'a Value {
        if let Some(reference) = schema["$ref"].as_str() {
            return self.root.pointer(reference.trim_start_matches('#')).unwrap();
        }
        let alternatives = schema["anyOf"].as_array();
        let one = alternatives.and_then(|all| all.iter().find(|one| one["type"] != "null"));
        one.map_or(schema, |one| self.resolve(one))
    }
}

/// Collects the members of a schema that its documentation lacks, all the way down.
fn compare<'a>(walk: &Walk<'a>, of: &'a Value, documented: &Value, path: &str, missing: &mut Vec<String>) {
    let variants = of["oneOf"].as_array().into_iter().flatten();
    let objects = std::iter::once(of).chain(variants).filter_map(|one| one["properties"].as_object());
    for (name, property) in objects.flatten() {
        let path = format!("{path}.{name}");
        let option = &documented[name.as_str()];
        if option.is_null() {
            missing.push(path);
            continue;
        }
        let mut inner = walk.resolve(property);
        if inner["type"] == "array" {
            inner = walk.resolve(&inner["items"]);
        }
        below(walk, inner, option, &path, missing);
    }
}

/// What is inside one option.
fn below<'a>(walk: &Walk<'a>, of: &'a Value, option: &Value, path: &str, missing: &mut Vec<String>) {
    let name = path.rsplit('.').next().unwrap_or_default();
    if option["description"].to_string().contains("The same options as those of the top level") {
        let names = |of: &Value| -> BTreeSet<String> {
            of.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect()
        };
        if names(&of["properties"]) != names(&walk.top[name]["suboptions"]) {
            missing.push(format!("{path}: not the same as {name}"));
        }
        return;
    }
    match of.get("additionalProperties").filter(|values| values.is_object()) {
        Some(values) => {
            let inner = option["suboptions"].as_object().and_then(|all| all.iter().next());
            match inner {
                Some((_, inner)) => below(walk, walk.resolve(values), inner, &format!("{path}.*"), missing),
                None => missing.push(format!("{path}.*")),
            }
        }
        None => compare(walk, of, &option["suboptions"], path, missing),
    }
}

#[test]
fn a_gap_in_the_documentation_is_found() {
    let root = serde_json::json!({ "properties": {
        "a": { "type": "string" },
        "b": { "additionalProperties": { "properties": { "c": {}, "d": {} } } },
    } });
    let top = serde_json::json!({ "b": { "suboptions": { "NAME": { "suboptions": { "c": {} } } } } });
    let mut missing = Vec::new();
    compare(&Walk { root: &root, top: &top }, &root, &top, "m", &mut missing);
    assert_eq!(missing, ["m.a", "m.b.*.d"]);
}

#[test]
fn ansible_lint_finds_nothing() {
    let controller = Controller::new();
    for directory in [controller.installed(""), controller.dir()] {
        let mut lint = std::process::Command::new(made::ansible_of("ansible-lint", "ansible-lint").unwrap());
        let like = controller.command("ansible-doc", &[]);
        lint.envs(like.get_envs().filter_map(|(name, value)| Some((name, value?))));
        lint.args(["--offline", "--nocolor", "--strict", "--profile", "production"]).current_dir(&directory);
        let output = run(&mut lint).unwrap();
        assert!(output.success(), "{}\n{}\n{}", directory.display(), output.stdout, output.stderr);
        assert!(output.stderr.contains("Passed: 0 failure(s), 0 warning(s)"), "{}", output.stderr);
    }
}

#[test]
fn ansible_test_sanity_finds_nothing() {
    let controller = Controller::with("ansible-2.21");
    let mut sanity = controller.command("ansible-test", &["sanity", "--python", "3.13", "--color", "no"]);
    // It looks for that Python in PATH, and makes virtual environments in its home directory: once a machine, not
    // once a test.
    let python = made::ansible_of("ansible-2.21", "python3.13").unwrap();
    let path = format!("{}:{}", python.parent().unwrap().display(), std::env::var("PATH").unwrap());
    sanity
        .env("PATH", path)
        .env("HOME", made::ansible_test_home().unwrap())
        .current_dir(controller.installed(""));
    let output = run(&mut sanity).unwrap();
    assert!(output.success(), "{}\n{}", output.stdout, output.stderr);
    let said = format!("{}{}", output.stdout, output.stderr);
    for test in
        ["validate-modules", "ansible-doc", "yamllint", "shebang", "runtime-metadata", "changelog", "ignores"]
    {
        assert!(said.contains(&format!("Running sanity test \"{test}\"")), "{test} was not run:\n{said}");
    }
}
