// SPDX-License-Identifier: MPL-2.0
//! What users see and must not see: places of diagnostics, write-only values, the log.

use std::fs;

use crate::support::{Workspace, change};
use serde_json::{Value as Json, json};

const SECRET: &str = "hunter2-kept-out-of-everything";

fn with_secret(version: u32, secret: &str) -> String {
    format!(
        "resource \"fixture_note\" \"a\" {{\n  name = \"a\"\n  secret_wo = \"{secret}\"\n  secret_wo_version = {version}\n}}"
    )
}

#[test]
fn a_write_only_value_reaches_the_provider_and_nothing_else() {
    let mut workspace = Workspace::new(&with_secret(1, "${var.secret}"));
    workspace.write("secret.tf", "variable \"secret\" {\n  ephemeral = true\n}\n");
    workspace.set("TF_VAR_secret", SECRET);
    workspace.set("TF_LOG", "TRACE");
    let log = workspace.work().join("log");
    workspace.set("TF_LOG_PATH", &log.display().to_string());
    let plan = workspace.plan();
    assert_eq!(change(&plan, "fixture_note.a")["after"]["secret_wo"], json!(null));
    assert!(!plan.to_string().contains(SECRET));
    let said = workspace.apply();
    assert_eq!(workspace.count(&format!("secret of {} characters", SECRET.len())), 1);
    let state = fs::read_to_string(workspace.work().join("terraform.tfstate")).unwrap();
    let world = fs::read_to_string(workspace.world().join("id-a.json")).unwrap();
    let log = fs::read_to_string(log).unwrap();
    assert!(log.contains("ApplyResourceChange"), "the log is at TRACE");
    for (place, text) in [("state", &state), ("world", &world), ("log", &log), ("output", &said.text)] {
        assert!(!text.contains(SECRET), "the secret is in the {place}");
    }
}

#[test]
fn only_the_version_of_a_write_only_value_makes_a_difference() {
    let workspace = Workspace::new(&with_secret(1, "one"));
    workspace.apply();
    workspace.configure(&with_secret(1, "two"));
    workspace.nothing_to_do();
    workspace.configure(&with_secret(2, "two"));
    workspace.apply().contains("1 changed");
    workspace.nothing_to_do();
}

#[test]
fn a_leaked_write_only_value_is_taken_out() {
    let mut workspace = Workspace::new(&with_secret(1, SECRET));
    workspace.set("FIXTURE_FAULT", "leak_write_only");
    workspace.apply();
    let instance = workspace.instance("fixture_note.a");
    assert_eq!((&instance["attributes"]["secret_wo"], &instance["status"]), (&json!(null), &json!(null)));
    workspace.unset("FIXTURE_FAULT");
    workspace.nothing_to_do();
}

/// The source line that the only error of a validation points at.
#[track_caller]
fn error_line(workspace: &Workspace) -> (u64, String) {
    let answer = workspace.json(&["validate", "-json"]);
    let errors: Vec<&Json> =
        answer["diagnostics"].as_array().unwrap().iter().filter(|d| d["severity"] == "error").collect();
    let [error] = errors.as_slice() else { panic!("not one error: {answer}") };
    let line = error["range"]["start"]["line"].as_u64().unwrap_or_default();
    (line, error["detail"].as_str().unwrap_or_default().to_owned())
}

/// The line of the configuration with `text`, counted from 1.
#[track_caller]
fn line_of(workspace: &Workspace, text: &str) -> u64 {
    let source = fs::read_to_string(workspace.work().join("main.tf")).unwrap();
    let position = source.lines().position(|line| line.contains(text)).unwrap();
    u64::try_from(position).unwrap() + 1
}

#[test]
fn diagnostics_point_at_the_line() {
    let cases = [
        ("  port = 70001", "70001", ""),
        ("  mode = \"fanci\" # here", "# here", "Did you mean \"fancy\"?"),
        ("  rule { size = \"1GiB\" }\n  rule {\n    port = 70002\n  }", "70002", ""),
        ("  zone \"east\" {\n    port = 70003\n  }", "70003", ""),
        ("  ssh = { # here\n    port = 70004\n  }", "# here", "ssh.port is 70004"),
        ("  disks = [ # here\n    {},\n    { port = 70005 },\n  ]", "# here", "disks[1].port is 70005"),
        ("  peers = [ # here\n    { port = 70006 },\n  ]", "# here", "peers[*].port is 70006"),
    ];
    for (body, marked, said) in cases {
        let workspace =
            Workspace::new(&format!("resource \"fixture_note\" \"a\" {{\n  name = \"a\"\n{body}\n}}"));
        let (line, detail) = error_line(&workspace);
        assert_eq!(line, line_of(&workspace, marked), "{body}\n{detail}");
        assert!(detail.contains(said), "{said:?} is not in {detail:?}");
    }
}

#[test]
fn several_errors_are_said_at_once() {
    let hcl = "resource \"fixture_note\" \"a\" {\n  name = \"forbidden\"\n  port = -1\n  mode = \"x\"\n}";
    let workspace = Workspace::new(hcl);
    workspace
        .fail(&["validate", "-no-color"])
        .contains("Name not allowed")
        .contains("port is -1")
        .contains("must be one of \"plain\", \"fancy\"");
    assert_eq!(workspace.count("configure"), 0, "validation needs no world");
}

#[test]
fn log_lines_are_parsed_and_filtered_by_level() {
    let mut workspace = Workspace::new("resource \"fixture_note\" \"a\" {\n  name = \"a\"\n}");
    let log_at = |workspace: &mut Workspace, name: &str, level: &str| {
        for known in ["TF_LOG", "TF_LOG_PROVIDER", "TF_LOG_PROVIDER_FIXTURE"] {
            workspace.unset(known);
        }
        let path = workspace.work().join("log");
        let _ = fs::remove_file(&path);
        workspace.set("TF_LOG_PATH", &path.display().to_string());
        workspace.set(name, level);
        workspace.succeed(&["plan", "-no-color"]);
        fs::read_to_string(path).unwrap_or_default()
    };
    let log = log_at(&mut workspace, "TF_LOG_PROVIDER", "INFO");
    let line =
        log.lines().find(|line| line.contains("configured")).unwrap_or_else(|| panic!("not logged: {log}"));
    for part in [
        "[INFO]",
        "tf_rpc=ConfigureProvider",
        "tf_req_id=",
        "tf_provider_addr=registry.terraform.io/test/fixture",
    ] {
        assert!(line.contains(part), "{part:?} is not in {line:?}");
    }
    assert!(!log.contains("a fine line") && !log.contains("@level"), "{log}");
    assert!(log_at(&mut workspace, "TF_LOG_PROVIDER", "DEBUG").contains("a fine line"));
    assert!(!log_at(&mut workspace, "TF_LOG_PROVIDER", "WARN").contains("configured"));
    assert!(!log_at(&mut workspace, "TF_LOG", "WARN").contains("configured"));
}

#[test]
fn the_schema_is_what_terraform_reads() {
    let workspace = Workspace::new("");
    let schemas = workspace.json(&["providers", "schema", "-json"]);
    let provider = &schemas["provider_schemas"]["registry.terraform.io/test/fixture"];
    let block = &provider["resource_schemas"]["fixture_note"]["block"];
    assert_eq!(provider["resource_schemas"]["fixture_note"]["version"], 2);
    assert_eq!(block["attributes"]["secret_wo"]["write_only"], json!(true));
    assert_eq!(block["attributes"]["disks"]["nested_type"]["nesting_mode"], "list");
    assert_eq!(block["attributes"]["mode"]["description_kind"], "markdown");
    assert_eq!(block["block_types"]["zone"]["nesting_mode"], "map");
    assert_eq!(provider["functions"]["join_all"]["variadic_parameter"]["name"], "parts");
}
