// SPDX-License-Identifier: MPL-2.0
//! The life of resources under the real Terraform CLI: create, refresh, update, replace, import, upgrade, remove,
//! and values of every kind on the way.

use crate::support::{Workspace, change};
use serde_json::json;

const FULL: &str = r#"
resource "fixture_note" "a" {
  name   = "a"
  text   = "hello"
  size   = "1GiB"
  amount = 12345678901234567890123
  labels = { zone = "b" }
  tags   = ["y", "x"]
  any    = { deep = [1, "two"] }
  disks  = [{ size = "1GiB" }, { size = "2GiB", port = 7000 }]
  sites  = { one = { size = "5MiB" } }
  peers  = [{ size = "2GiB" }, { size = "1GiB", port = 80 }]
  ssh    = { port = 22 }
  rule { size = "1GiB" }
  rule { port = 1 }
  zone "east" { port = 2 }
}
"#;

#[test]
fn applied_twice_the_second_run_does_nothing() {
    let workspace = Workspace::new(FULL);
    workspace.apply();
    workspace.nothing_to_do();
    workspace.forget_events();
    workspace.apply().contains("0 added, 0 changed, 0 destroyed");
    assert_eq!(workspace.count("create") + workspace.count("update") + workspace.count("delete"), 0);
    let refresh = workspace.run(&["plan", "-refresh-only", "-no-color", "-detailed-exitcode"]);
    assert_eq!(refresh.code, Some(0), "{}", refresh.text);
}

#[test]
fn each_plan_starts_three_processes_and_leaves_none() {
    let workspace = Workspace::new(FULL);
    workspace.apply();
    workspace.forget_events();
    workspace.nothing_to_do();
    assert_eq!(workspace.count("start"), 3, "{:?}", workspace.events());
    assert_eq!(workspace.survivors(), Vec::<u32>::new());
}

#[test]
fn an_update_touches_only_what_depends_on_it() {
    let workspace = Workspace::new(FULL);
    workspace.apply();
    workspace.configure(&FULL.replace("hello", "changed"));
    let plan = workspace.plan();
    let change = change(&plan, "fixture_note.a");
    assert_eq!(change["actions"], json!(["update"]));
    assert_eq!(change["after_unknown"]["etag"], json!(true));
    for kept in ["id", "device"] {
        assert_eq!(change["after"][kept], change["before"][kept], "{kept} keeps its value");
    }
    assert_eq!(change["after"]["disks"], change["before"]["disks"], "computed members keep their values");
    workspace.succeed(&["apply", "-no-color", "plan"]);
    workspace.nothing_to_do();

    workspace.configure(&FULL.replace("hello", "changed").replacen(
        "size   = \"1GiB\"",
        "size = \"2GiB\"",
        1,
    ));
    let plan = workspace.plan();
    let change = crate::support::change(&plan, "fixture_note.a");
    assert_eq!(change["after_unknown"]["device"], json!(true), "it depends on the size");
}

#[test]
fn an_immutable_attribute_replaces_and_says_why() {
    let workspace = Workspace::new(FULL);
    workspace.apply();
    workspace.configure(&FULL.replace("name   = \"a\"", "name = \"b\""));
    let plan = workspace.plan();
    let change = change(&plan, "fixture_note.a");
    assert_eq!(change["actions"], json!(["delete", "create"]));
    assert_eq!(change["replace_paths"], json!([["name"]]));
    assert_eq!(change["after_unknown"]["device"], json!(true), "the successor has values of its own");
    workspace.succeed(&["apply", "-no-color", "plan"]);
    workspace.nothing_to_do();
    assert_eq!(workspace.instance("fixture_note.a")["attributes"]["id"], "id-b");
}

#[test]
fn the_same_meaning_is_no_difference_and_the_users_text_stays() {
    let workspace = Workspace::new(FULL);
    workspace.apply();
    let reworded = FULL.replace("\"1GiB\"", "\"1024MiB\"").replace("\"2GiB\"", "\"2048MiB\"");
    workspace.configure(&reworded);
    workspace.nothing_to_do();
    assert_eq!(workspace.instance("fixture_note.a")["attributes"]["size"], "1GiB");
    // The world may word it differently, too.
    let file = workspace.world().join("id-a.json");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("\"2GiB\"", "\"2048MiB\"")).unwrap();
    workspace.configure(FULL);
    workspace.nothing_to_do();
}

#[test]
fn every_number_survives_every_trip() {
    for number in ["0", "-1", "9007199254740993", "7227701560655103598", "0.1", "1e30", "3.5", "-0.000001"] {
        let hcl = |text: &str| {
            format!(
                "resource \"fixture_note\" \"a\" {{\n  name = \"a\"\n  amount = {number}\n  text = \"{text}\"\n}}"
            )
        };
        let workspace = Workspace::new(&hcl("one"));
        workspace.apply();
        workspace.nothing_to_do();
        workspace.configure(&hcl("two"));
        workspace.apply().contains("1 changed");
        workspace.nothing_to_do();
    }
}

#[test]
fn a_number_out_of_range_is_an_error_of_its_attribute() {
    let workspace = Workspace::new("resource \"fixture_note\" \"a\" {\n  name = \"a\"\n  port = 70000\n}");
    workspace.fail(&["validate", "-no-color"]).contains("Number out of range").contains("port = 70000");
    workspace.configure("resource \"fixture_note\" \"a\" {\n  name = \"a\"\n  port = 1.5\n}");
    workspace
        .fail(&["validate", "-no-color"])
        .contains("port is 1.5; a whole number from 0 to 65535 is needed");
}

#[test]
fn unknown_values_are_taken_everywhere() {
    let hcl = r#"
resource "terraform_data" "other" { count = 3 }
resource "terraform_data" "later" {
  input = { text = "t", size = "1GiB", list = [{ size = "1GiB" }], map = { a = { size = "2GiB" } }, number = 7 }
}
locals { later = terraform_data.later.output }
resource "fixture_note" "a" {
  name   = "pre-${local.later.text}"
  text   = local.later.text
  size   = local.later.size
  mode   = local.later.text == "t" ? "plain" : "fancy"
  amount = local.later.number
  labels = { key = local.later.text }
  tags   = concat(terraform_data.other[*].id, [local.later.text, "pre-${local.later.text}"])
  any    = local.later.text
  disks  = local.later.list
  sites  = local.later.map
  peers  = [{ size = local.later.size }, { size = local.later.text }, { size = "9MiB" }]
  ssh    = { port = local.later.number }
  dynamic "rule" {
    for_each = local.later.list
    content { size = rule.value.size }
  }
  zone "east" { port = local.later.number }
}
"#;
    let workspace = Workspace::new(hcl);
    workspace.plan();
    workspace.apply().contains("5 added");
    workspace.nothing_to_do();
    let attributes = workspace.instance("fixture_note.a")["attributes"].clone();
    assert_eq!(attributes["name"], "pre-t");
    assert_eq!(attributes["disks"], json!([{ "size": "1GiB", "port": null, "serial": "serial" }]));
}

#[test]
fn import_by_id_plans_empty() {
    let hcl = "resource \"fixture_note\" \"a\" {\n  name = \"a\"\n  text = \"hello\"\n  size = \"1GiB\"\n}";
    let workspace = Workspace::new(hcl);
    workspace.apply();
    std::fs::remove_file(workspace.work().join("terraform.tfstate")).unwrap();
    workspace.succeed(&["import", "-no-color", "fixture_note.a", "id-a"]);
    workspace.nothing_to_do();
    workspace.succeed(&["state", "rm", "fixture_note.a"]);
    workspace
        .fail(&["import", "-no-color", "fixture_note.a", "id-nobody"])
        .contains("Cannot import non-existent remote object");
    workspace
        .fail(&["import", "-no-color", "fixture_note.a", "42"])
        .contains("\"42\" is not one of a note; expected id-<name>");
    workspace.configure("resource \"fixture_plain\" \"p\" {}");
    workspace.fail(&["import", "-no-color", "fixture_plain.p", "x"]).contains("fixture_plain has no import");
}

#[test]
fn a_generated_configuration_plans_empty() {
    let hcl = "resource \"fixture_note\" \"a\" {\n  name = \"a\"\n  text = \"hello\"\n  disks = [{ size = \"1GiB\" }]\n}";
    let workspace = Workspace::new(hcl);
    workspace.apply();
    std::fs::remove_file(workspace.work().join("terraform.tfstate")).unwrap();
    workspace.configure("import {\n  to = fixture_note.found\n  id = \"id-a\"\n}");
    workspace.succeed(&["plan", "-no-color", "-generate-config-out=found.tf"]);
    workspace.succeed(&["validate", "-no-color"]);
    workspace.apply().contains("1 imported, 0 added, 0 changed, 0 destroyed");
    workspace.nothing_to_do();
}

#[test]
fn a_moved_block_between_types_is_refused_and_a_removed_block_leaves_the_object() {
    let note = "resource \"fixture_note\" \"a\" {\n  name = \"a\"\n}";
    let workspace = Workspace::new(note);
    workspace.apply();
    workspace.configure("resource \"fixture_note\" \"b\" {\n  name = \"a\"\n}\nmoved {\n  from = fixture_note.a\n  to = fixture_note.b\n}");
    workspace.apply().contains("0 added, 0 changed, 0 destroyed");
    workspace.configure(
        "resource \"fixture_plain\" \"p\" {}\nmoved {\n  from = fixture_note.b\n  to = fixture_plain.p\n}",
    );
    workspace.fail(&["plan", "-no-color"]).contains("move");
    workspace.configure("removed {\n  from = fixture_note.b\n  lifecycle { destroy = false }\n}");
    workspace.apply();
    assert!(workspace.resources().is_empty());
    assert!(workspace.world().join("id-a.json").exists(), "the object is left alone");
}

#[test]
fn older_states_are_upgraded_and_newer_ones_refused() {
    let workspace = Workspace::new(
        "resource \"fixture_note\" \"a\" {\n  name = \"a\"\n  amount = 12345678901234567890123\n}",
    );
    workspace.apply();
    let file = workspace.work().join("terraform.tfstate");
    let written = std::fs::read_to_string(&file).unwrap();
    let with_instance = |version: u32, attributes: &str| {
        let mut state: serde_json::Value = serde_json::from_str(&written).unwrap();
        state["resources"][0]["instances"][0]["schema_version"] = json!(version);
        state["resources"][0]["instances"][0]["attributes"] = json!("ATTRIBUTES");
        std::fs::write(&file, state.to_string().replace("\"ATTRIBUTES\"", attributes)).unwrap();
    };
    with_instance(1, r#"{"id":"id-a","title":"a","amount":12345678901234567890123,"gone":[1]}"#);
    workspace.forget_events();
    workspace.nothing_to_do();
    assert_eq!(workspace.count("upgrade 1"), 1);
    with_instance(
        2,
        r#"{"id":"id-a","name":"a","amount":12345678901234567890123,"mode":"plain","gone":true}"#,
    );
    workspace.nothing_to_do();
    with_instance(3, r#"{"id":"id-a","name":"a"}"#);
    workspace.fail(&["plan", "-no-color"]).contains("newer provider version");
    with_instance(1, r#"{"id":"id-a","title":{"a":1}}"#);
    workspace.fail(&["plan", "-no-color"]).contains("State cannot be read").contains("at title");
}

#[test]
fn what_disappears_is_planned_again_and_what_is_gone_can_be_destroyed() {
    let workspace = Workspace::new("resource \"fixture_note\" \"a\" {\n  name = \"a\"\n}");
    workspace.apply();
    let file = workspace.world().join("id-a.json");
    std::fs::remove_file(&file).unwrap();
    assert_eq!(change(&workspace.plan(), "fixture_note.a")["actions"], json!(["create"]));
    workspace.apply();
    std::fs::remove_file(&file).unwrap();
    workspace.succeed(&["destroy", "-auto-approve", "-no-color", "-refresh=false"]);
    assert!(workspace.resources().is_empty());
}

#[test]
fn drift_is_repaired_in_place() {
    let workspace =
        Workspace::new("resource \"fixture_note\" \"a\" {\n  name = \"a\"\n  text = \"hello\"\n}");
    workspace.apply();
    let file = workspace.world().join("id-a.json");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("hello", "altered")).unwrap();
    let plan = workspace.plan();
    let change = change(&plan, "fixture_note.a");
    assert_eq!((&change["actions"], &change["before"]["text"]), (&json!(["update"]), &json!("altered")));
    workspace.apply();
    workspace.nothing_to_do();
}

#[test]
fn a_busy_object_stays_in_state_untainted() {
    let hcl = |busy: bool| format!("resource \"fixture_note\" \"a\" {{\n  name = \"a\"\n  busy = {busy}\n}}");
    let workspace = Workspace::new(&hcl(true));
    workspace.apply();
    workspace.fail(&["destroy", "-auto-approve", "-no-color"]).contains("The note id-a is in use.");
    let instance = workspace.instance("fixture_note.a");
    assert_eq!((&instance["status"], &instance["attributes"]["id"]), (&json!(null), &json!("id-a")));
    workspace.configure(&hcl(false));
    workspace.apply();
    workspace.succeed(&["destroy", "-auto-approve", "-no-color"]).contains("The note will be gone.");
}

#[test]
fn a_failure_to_ask_never_removes_an_object() {
    let mut workspace = Workspace::new("resource \"fixture_note\" \"a\" {\n  name = \"a\"\n}");
    workspace.apply();
    workspace.set("FIXTURE_FAULT", "read_error");
    workspace.fail(&["plan", "-no-color"]).contains("Nobody answers at 192.0.2.1");
    workspace.fail(&["apply", "-refresh-only", "-auto-approve", "-no-color"]);
    assert_eq!(workspace.instance("fixture_note.a")["attributes"]["id"], "id-a");
    let offline = workspace.run(&["plan", "-refresh=false", "-no-color", "-detailed-exitcode"]);
    assert_eq!(offline.code, Some(0), "{}", offline.text);
}

#[test]
fn parallel_creates_overlap() {
    let hcl =
        "resource \"fixture_note\" \"a\" {\n  count = 30\n  name = \"n${count.index}\"\n  delay_ms = 500\n}";
    let workspace = Workspace::new(hcl);
    workspace.apply().contains("30 added");
    let mut running = 0_usize;
    let mut most = 0;
    let mut events = workspace.events();
    events.sort_by_key(|event| event.micros);
    for event in events {
        if event.text.starts_with("write begins") {
            running += 1;
            most = most.max(running);
        } else if event.text.starts_with("write ends") {
            running -= 1;
        }
    }
    assert!(most >= 8, "at most {most} of 10 ran at once");
    workspace.nothing_to_do();
}

#[test]
fn data_sources_functions_and_ephemeral_resources_work() {
    let hcl = r#"
resource "fixture_note" "a" {
  name = "a"
  text = provider::fixture::join_all("-", "x", "y")
}
data "fixture_note" "a" { id = fixture_note.a.id }
ephemeral "fixture_token" "t" { user = "me" }
output "text" { value = data.fixture_note.a.text }
resource "fixture_note" "b" {
  name = "b"
  secret_wo = ephemeral.fixture_token.t.token
  secret_wo_version = 1
  delay_ms = 900
}
"#;
    let workspace = Workspace::new(hcl);
    workspace.apply().contains("text = \"x-y\"");
    let opened = workspace.count("open me");
    assert!(opened >= 2, "opened in plan and in apply: {:?}", workspace.events());
    assert_eq!(workspace.count("close me"), opened);
    assert!(workspace.count("renew me") >= 1, "the apply lasts longer than the token");
    assert_eq!(workspace.count("secret of 11 characters"), 1);
    workspace.nothing_to_do();

    workspace.configure("output \"x\" {\n  value = provider::fixture::join_all(\"----\")\n}");
    workspace.fail(&["plan", "-no-color"]).contains("longer than 3 characters").contains("\"----\"");
    workspace.configure("data \"fixture_note\" \"a\" {\n  id = \"id-nobody\"\n}");
    workspace
        .fail(&["plan", "-no-color"])
        .contains("There is no note id-nobody")
        .contains("id = \"id-nobody\"");
}

#[test]
fn large_values_travel() {
    let hcl = "resource \"fixture_note\" \"a\" {\n  name = \"a\"\n  text = format(\"%05000000d\", 7)\n}";
    let workspace = Workspace::new(hcl);
    workspace.apply();
    assert_eq!(
        workspace.instance("fixture_note.a")["attributes"]["text"].as_str().map(str::len),
        Some(5_000_000)
    );
    workspace.nothing_to_do();
}

#[test]
fn mocks_of_the_schema_work() {
    let workspace = Workspace::new(FULL);
    let test = "mock_provider \"fixture\" {}\nrun \"mocked\" {\n  assert {\n    condition = fixture_note.a.mode == \"plain\"\n    error_message = \"no default\"\n  }\n}\n";
    // A mock answers for computed attributes; the configured ones must come through.
    workspace.write("mock.tftest.hcl", &test.replace("mode == \"plain\"", "text == \"hello\""));
    workspace.succeed(&["test", "-no-color"]).contains("1 passed, 0 failed");
    assert_eq!(workspace.count("create"), 0);
}
