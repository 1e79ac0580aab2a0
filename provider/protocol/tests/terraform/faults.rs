// SPDX-License-Identifier: MPL-2.0
//! A provider that misbehaves must not cost its user an object: our own checks speak before core's, and whatever
//! may exist stays in state.

use crate::support::Workspace;
use serde_json::json;

const NOTE: &str = "resource \"fixture_note\" \"a\" {\n  name = \"a\"\n  text = \"hello\"\n  rule {\n    size = \"1GiB\"\n  }\n}";

#[test]
fn invalid_plans_are_caught_before_core_sees_them() {
    let cases = [
        ("plan_changes_config", "text: the plan must be the configured value"),
        ("plan_sets_not_computed", "labels: it is not computed and not configured"),
    ];
    let mut workspace = Workspace::new(NOTE);
    for (fault, rule) in cases {
        workspace.set("FIXTURE_FAULT", fault);
        let said = workspace.fail(&["plan", "-no-color"]);
        said.contains("The provider made an invalid plan")
            .contains(rule)
            .lacks("Provider produced invalid plan");
    }
    workspace.unset("FIXTURE_FAULT");
    workspace.apply();
    workspace.set("FIXTURE_FAULT", "bad_replace_path");
    workspace
        .fail(&["plan", "-no-color"])
        .contains("disks[7]: a replacement is asked for a place that is neither in state nor in the plan");
}

#[test]
fn invalid_results_are_caught_and_the_object_is_kept() {
    let cases = [
        ("unknown_after_apply", "etag: it is still unknown after apply"),
        ("differs_after_apply", "text: it differs from the planned value"),
        ("missing_attribute", "mode: the attribute is missing"),
        ("wrong_type", "labels: found a number, expected map of string"),
        ("null_block", "rule: 1 elements were planned, but there are 0"),
        ("success_without_state", "no state was returned"),
    ];
    for (fault, rule) in cases {
        let mut workspace = Workspace::new(NOTE);
        workspace.set("FIXTURE_FAULT", fault);
        let said = workspace.fail_apply();
        said.contains("The provider returned an invalid result").contains(rule).lacks("Provider produced");
        let instance = workspace.instance("fixture_note.a");
        assert_eq!(instance["status"], "tainted", "{fault}");
        assert_eq!(instance["attributes"]["id"], "id-a", "{fault}: the object can still be reached");
        workspace.unset("FIXTURE_FAULT");
        workspace.apply();
        workspace.nothing_to_do();
    }
}

#[test]
fn a_result_that_breaks_an_update_keeps_the_object_untainted() {
    let mut workspace = Workspace::new(NOTE);
    workspace.apply();
    workspace.configure(&NOTE.replace("hello", "changed"));
    workspace.set("FIXTURE_FAULT", "missing_attribute");
    workspace.fail_apply();
    let instance = workspace.instance("fixture_note.a");
    assert_eq!((&instance["status"], &instance["attributes"]["id"]), (&json!(null), &json!("id-a")));
}

#[test]
fn a_failure_after_the_first_effect_keeps_what_was_recorded() {
    let mut workspace = Workspace::new(NOTE);
    workspace.set("FIXTURE_FAULT", "error_after_effect");
    workspace.fail_apply().contains("The note was written, then it failed.");
    let instance = workspace.instance("fixture_note.a");
    assert_eq!((&instance["status"], &instance["attributes"]["id"]), (&json!("tainted"), &json!("id-a")));
    workspace.unset("FIXTURE_FAULT");
    workspace.apply().contains("1 added, 0 changed, 1 destroyed");
    workspace.nothing_to_do();
}

#[test]
fn a_refusal_before_the_first_effect_leaves_nothing() {
    let mut workspace = Workspace::new(NOTE);
    workspace.set("FIXTURE_FAULT", "refused_create");
    workspace.fail_apply().contains("Nothing was made.");
    assert!(workspace.resources().is_empty());
}

#[test]
fn a_panic_is_one_diagnostic_and_the_process_lives_on() {
    let others = "resource \"fixture_plain\" \"p\" {\n  text = fixture_plain.q.text\n}\nresource \"fixture_plain\" \"q\" {}";
    for (fault, id) in [("panic_in_create", json!(null)), ("panic_after_effect", json!("id-a"))] {
        let mut workspace = Workspace::new(&format!("{NOTE}\n{others}"));
        workspace.set("FIXTURE_FAULT", fault);
        let log = workspace.work().join("log");
        workspace.set("TF_LOG_PATH", &log.display().to_string());
        workspace.set("TF_LOG_PROVIDER", "ERROR");
        let said = workspace.fail_apply();
        said.contains("This is a bug in the provider, incident ")
            .lacks("Request cancelled")
            .lacks("Plugin did not");
        assert_eq!(said.flat().matches("Error:").count(), 1, "{}", said.text);
        let instance = workspace.instance("fixture_note.a");
        assert_eq!((&instance["status"], &instance["attributes"]["id"]), (&json!("tainted"), &id), "{fault}");
        workspace.instance("fixture_plain.p");
        workspace.instance("fixture_plain.q");
        let flat = said.flat();
        let incident = flat.split("incident ").nth(1).and_then(|rest| rest.split('.').next()).unwrap();
        let log = std::fs::read_to_string(log).unwrap();
        let line = log
            .lines()
            .find(|line| line.contains(incident))
            .unwrap_or_else(|| panic!("{incident} is not in {log}"));
        assert!(line.contains("the fixture panics on demand") && line.contains("fixture.rs"), "{line}");
        workspace.unset("FIXTURE_FAULT");
        workspace.apply();
        workspace.nothing_to_do();
    }
}

#[test]
fn interrupted_in_a_slow_create_the_object_is_in_state() {
    let slow = "resource \"fixture_note\" \"a\" {\n  name = \"a\"\n  delay_ms = 30000\n}";
    let workspace = Workspace::new(slow);
    let terraform = workspace.start(&["apply", "-auto-approve", "-no-color"]);
    workspace.await_event("write begins a");
    let group = rustix::process::Pid::from_raw(i32::try_from(terraform.id()).unwrap()).unwrap();
    let interrupted = std::time::Instant::now();
    rustix::process::kill_process_group(group, rustix::process::Signal::INT).unwrap();
    let said = crate::support::said(terraform.wait_with_output().unwrap());
    let lasted = interrupted.elapsed();
    assert_eq!(said.code, Some(1), "{}", said.text);
    said.contains("The note a was written, but not checked.").lacks("Plugin did not respond");
    assert_eq!(workspace.count("write stopped a"), 1);
    assert!(lasted.as_millis() < 2000, "stopping took {lasted:?}");
    let instance = workspace.instance("fixture_note.a");
    assert_eq!((&instance["status"], &instance["attributes"]["id"]), (&json!("tainted"), &json!("id-a")));
    assert_eq!(workspace.survivors(), Vec::<u32>::new());
    workspace.configure(&slow.replace("30000", "1"));
    workspace.apply();
    workspace.nothing_to_do();
}
