// SPDX-License-Identifier: MPL-2.0
//! Tables of plans and results that core accepts or refuses.

use super::*;
use crate::value::{Refinements, Type};

fn fields() -> Vec<Attribute> {
    let disk = || vec![Attribute::string("size").required(), Attribute::string("serial").computed()];
    vec![
        Attribute::string("id").computed(),
        Attribute::string("name").optional(),
        Attribute::string("mode").optional().computed(),
        Attribute::string("token_wo").optional().write_only(),
        Attribute::list_nested("disks", disk()).optional(),
        Attribute::map_nested("sites", disk()).optional(),
        Attribute::set_nested("ports", disk()).optional(),
        Attribute::single_nested("ssh", disk()).optional().computed(),
        Attribute::list_block("rule", disk()),
        Attribute::of("labels", Type::map(Type::String)).optional(),
    ]
}

fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    let mut value = Value::Object(fields().iter().map(|f| (f.name.clone(), Value::Null)).collect());
    value.set("rule", Value::List(vec![]));
    for (name, member) in members {
        value.set(name, member);
    }
    value
}

fn disk(size: impl Into<Value>, serial: impl Into<Value>) -> Value {
    Value::object([("size", size.into()), ("serial", serial.into())])
}

fn configured(size: &str) -> Value {
    disk(size, Value::Null)
}

fn planned(size: &str) -> Value {
    disk(size, Value::unknown())
}

fn refused<const C: usize, const P: usize, const N: usize>(
    config: [(&str, Value); C],
    prior: [(&str, Value); P],
    plan: [(&str, Value); N],
) -> Vec<String> {
    let found = check_plan(&fields(), &object(config), &object(prior), &object(plan));
    found.iter().map(|violation| violation.path.to_string()).collect()
}

#[test]
fn plans_that_core_accepts() {
    let none = Vec::<String>::new();
    let text = |value: &str| Value::from(value);
    assert_eq!(refused([], [], [("id", Value::unknown()), ("mode", text("default"))]), none);
    assert_eq!(refused([("name", text("a"))], [], [("name", text("a"))]), none);
    assert_eq!(
        refused([("name", text("A"))], [("name", text("a"))], [("name", text("a"))]),
        none,
        "suppressed"
    );
    assert_eq!(refused([("token_wo", text("s"))], [], []), none);
    let list = |element: fn(&str) -> Value| Value::list([element("1"), element("2")]);
    assert_eq!(refused([("disks", list(configured))], [], [("disks", list(planned))]), none);
    assert_eq!(refused([("rule", list(configured))], [], [("rule", list(planned))]), none);
    let map = |element: fn(&str) -> Value| Value::map([("a", element("1"))]);
    assert_eq!(refused([("sites", map(configured))], [], [("sites", map(planned))]), none);
    let set = |element: fn(&str) -> Value| Value::set_of([element("1"), element("2")]);
    assert_eq!(refused([("ports", set(configured))], [], [("ports", set(planned))]), none);
    assert_eq!(refused([], [], [("ssh", planned("1"))]), none, "computed as a whole");
    assert_eq!(refused([("disks", Value::unknown())], [], [("disks", Value::unknown())]), none);
}

#[test]
fn plans_that_core_refuses() {
    let text = |value: &str| Value::from(value);
    assert_eq!(refused([("name", text("a"))], [], [("name", text("b"))]), ["name"]);
    assert_eq!(refused([], [], [("name", text("b"))]), ["name"], "not computed");
    assert_eq!(refused([("name", text("a"))], [], []), ["name"]);
    assert_eq!(refused([("name", text("a"))], [], [("name", Value::unknown())]), ["name"]);
    assert_eq!(refused([("name", Value::unknown())], [], [("name", text("a"))]), ["name"]);
    assert_eq!(refused([("mode", text("a"))], [], [("mode", text("b"))]), ["mode"]);
    assert_eq!(refused([], [], [("token_wo", text("s"))]), ["token_wo"]);
    let one = || Value::list([planned("1")]);
    assert_eq!(
        refused([("disks", Value::list([configured("1"), configured("2")]))], [], [("disks", one())]),
        ["disks"]
    );
    assert_eq!(
        refused([("disks", Value::list([configured("2")]))], [], [("disks", one())]),
        ["disks[0].size"]
    );
    assert_eq!(refused([("disks", one())], [], [("disks", Value::unknown())]), ["disks"]);
    assert_eq!(
        refused(
            [("disks", Value::list([configured("1")]))],
            [],
            [("disks", Value::list([Value::unknown()]))]
        ),
        ["disks[0]"]
    );
    assert_eq!(refused([], [], [("rule", one())]), ["rule"]);
    let site = |key: &str, element: Value| Value::map([(key, element)]);
    assert_eq!(
        refused([("sites", site("a", configured("1")))], [], [("sites", site("b", planned("1")))]),
        ["sites"]
    );
    assert_eq!(
        refused(
            [("ports", Value::set_of([configured("1")]))],
            [],
            [("ports", Value::set_of([planned("2")]))]
        ),
        ["ports"]
    );
    assert_eq!(check_plan(&fields(), &object([]), &Value::Null, &Value::Null).len(), 1);
}

fn differing(planned: &Value, actual: &Value) -> Vec<String> {
    check_result(planned, actual).iter().map(|violation| violation.path.to_string()).collect()
}

#[test]
fn results_keep_what_was_planned() {
    let plan = object([
        ("id", Value::unknown()),
        ("name", Value::from("a")),
        ("disks", Value::list([planned("1")])),
    ]);
    let disks = |size: &str| Value::list([disk(size, "s0")]);
    let good = object([("id", Value::from("1")), ("name", Value::from("a")), ("disks", disks("1"))]);
    assert!(differing(&plan, &good).is_empty());
    let bad = object([("name", Value::from("b")), ("mode", Value::from("m")), ("disks", disks("2"))]);
    assert_eq!(differing(&plan, &bad), ["disks[0].size", "mode", "name"]);
    let missing =
        object([("id", Value::from("1")), ("disks", Value::list([disk("1", "a"), disk("1", "b")]))]);
    assert_eq!(differing(&plan, &missing), ["disks", "name"]);
}

#[test]
fn promises_about_unknown_values_are_kept() {
    let promised = Value::Unknown(Refinements::prefix("vol-"));
    assert!(differing(&promised, &Value::from("vol-1")).is_empty());
    assert_eq!(differing(&promised, &Value::from("1")).len(), 1);
    assert_eq!(differing(&promised, &Value::Null).len(), 1);
    assert!(differing(&Value::unknown(), &Value::Null).is_empty());
}

#[test]
fn sets_may_shrink_but_must_correlate() {
    let plan = Value::Set(vec![planned("1"), planned("2")]);
    let both = Value::set_of([disk("1", "a"), disk("2", "b")]);
    assert!(differing(&plan, &both).is_empty());
    assert_eq!(differing(&plan, &Value::set_of([disk("1", "a")])), [""]);
    assert_eq!(differing(&plan, &Value::set_of([disk("1", "a"), disk("3", "b")])), [""]);
    let coalescing = Value::Set(vec![Value::unknown(), Value::from("x")]);
    assert!(differing(&coalescing, &Value::set_of(["x"])).is_empty());
}

#[test]
fn numbers_compare_by_value() {
    let number = |text: &str| Value::Number(crate::Number::parse(text).unwrap());
    assert!(differing(&number("1.50"), &number("1.5")).is_empty());
    let tenth = Value::Number(crate::Number::from_f64(0.1).unwrap());
    assert_eq!(differing(&number("0.1"), &tenth).len(), 1);
}

#[test]
fn unknowns_are_found_and_removed() {
    let value = object([("id", Value::unknown()), ("disks", Value::list([planned("1")]))]);
    let found: Vec<String> = unknown_paths(&value).iter().map(ToString::to_string).collect();
    assert_eq!(found, ["disks[0].serial", "id"]);
    assert!(unknown_paths(&without_unknowns(value)).is_empty());
}

#[test]
fn mechanical_plans_always_pass() {
    let site = Value::map([("a", configured("1")), ("b", Value::unknown())]);
    let config = object([
        ("name", Value::from("n")),
        ("token_wo", Value::from("s")),
        ("disks", Value::list([configured("1"), configured("2")])),
        ("sites", site),
        ("ports", Value::set_of([configured("1"), Value::unknown()])),
        ("rule", Value::list([configured("1")])),
    ]);
    let prior =
        object([("id", Value::from("1")), ("disks", Value::list([disk("1", "s")])), ("ssh", disk("1", "s"))]);
    for prior in [Value::Null, prior] {
        let planned = crate::plan::propose(&fields(), &config, &prior);
        assert_eq!(check_plan(&fields(), &config, &prior, &planned), []);
    }
}
