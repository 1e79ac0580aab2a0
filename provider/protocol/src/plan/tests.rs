// SPDX-License-Identifier: MPL-2.0
//! The mechanical rules of planning, one test each.

use super::*;
use crate::value::Type;

fn fields() -> Vec<Attribute> {
    let size = || Attribute::string("size").required().semantic_eq(same_size);
    vec![
        Attribute::string("id").computed(),
        Attribute::string("name").required().requires_replace(),
        size(),
        Attribute::string("mode").default("async"),
        Attribute::string("token_wo").optional().write_only(),
        Attribute::string("etag").computed().unknown_on_update(),
        Attribute::string("device").computed().unknown_when_changed(&["size"]),
        Attribute::of("labels", Type::map(Type::String)).optional(),
        Attribute::list_nested("disks", vec![size(), Attribute::string("serial").computed()]).optional(),
        Attribute::set_nested("ports", vec![size(), Attribute::number("number").optional().computed()])
            .optional(),
        Attribute::map_nested("sites", vec![size().requires_replace(), Attribute::string("id").computed()])
            .optional(),
    ]
}

/// Sizes are the same when they differ in case only.
fn same_size(prior: &Value, new: &Value) -> bool {
    let lower = |value: &Value| value.as_str().map(str::to_lowercase);
    lower(prior) == lower(new)
}

fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    let mut value = Value::Object(fields().iter().map(|f| (f.name.clone(), Value::Null)).collect());
    for (name, member) in members {
        value.set(name, member);
    }
    value
}

fn text(value: &str) -> Value {
    Value::from(value)
}

fn prior() -> Value {
    object([
        ("id", text("42")),
        ("name", text("r0")),
        ("size", text("1gib")),
        ("mode", text("async")),
        ("etag", text("e1")),
        ("device", text("/dev/drbd0")),
    ])
}

fn plan(config: &Value, prior: &Value) -> Value {
    let mut proposed = propose(&fields(), config, prior);
    if !prior.is_null() {
        forget_changing(&fields(), config, prior, &mut proposed);
    }
    proposed
}

#[test]
fn create_has_defaults_and_unknowns() {
    let config = object([("name", text("r0")), ("size", text("1GiB")), ("token_wo", text("secret"))]);
    let planned = plan(&config, &Value::Null);
    assert_eq!(planned.get("mode"), &text("async"));
    assert!(planned.get("id").is_unknown() && planned.get("etag").is_unknown());
    assert_eq!(planned.get("token_wo"), &Value::Null);
    assert_eq!(planned.get("labels"), &Value::Null);
}

#[test]
fn nothing_changes_when_nothing_changed() {
    let config = object([("name", text("r0")), ("size", text("1GiB"))]);
    assert_eq!(plan(&config, &prior()), prior());
}

#[test]
fn only_marked_attributes_become_unknown_on_update() {
    let labelled =
        object([("name", text("r0")), ("size", text("1GiB")), ("labels", Value::map([("a", "b")]))]);
    let planned = plan(&labelled, &prior());
    assert_eq!((planned.get("id"), planned.get("device")), (&text("42"), &text("/dev/drbd0")));
    assert!(planned.get("etag").is_unknown());

    let grown = object([("name", text("r0")), ("size", text("2GiB"))]);
    let planned = plan(&grown, &prior());
    assert!(planned.get("device").is_unknown());
    assert_eq!(planned.get("id"), &text("42"));
}

#[test]
fn configured_unknowns_pass_through() {
    let config = object([("name", text("r0")), ("size", Value::unknown()), ("disks", Value::unknown())]);
    let planned = plan(&config, &prior());
    assert!(planned.get("size").is_unknown() && planned.get("disks").is_unknown());
}

#[test]
fn list_elements_keep_computed_values_by_position() {
    let disk = |size: &str, serial: Value| Value::object([("size", text(size)), ("serial", serial)]);
    let mut before = prior();
    before.set("disks", Value::list([disk("1gib", text("s0"))]));
    let config = object([
        ("name", text("r0")),
        ("size", text("1GiB")),
        ("disks", Value::list([disk("1GiB", Value::Null), disk("2GiB", Value::Null)])),
    ]);
    let planned = plan(&config, &before);
    let wanted = Value::list([disk("1gib", text("s0")), disk("2GiB", Value::unknown())]);
    assert_eq!(planned.get("disks"), &wanted);
}

#[test]
fn set_elements_keep_computed_values_by_content() {
    let port = |size: &str, number: Value| Value::object([("size", text(size)), ("number", number)]);
    let mut before = prior();
    before.set("ports", Value::set_of([port("a", Value::from(1_i64)), port("b", Value::from(2_i64))]));
    let config = object([
        ("name", text("r0")),
        ("size", text("1GiB")),
        ("ports", Value::set_of([port("c", Value::Null), port("B", Value::Null)])),
    ]);
    let planned = plan(&config, &before);
    let wanted = Value::set_of([port("b", Value::from(2_i64)), port("c", Value::unknown())]);
    assert_eq!(planned.get("ports"), &wanted);
}

#[test]
fn replacement_follows_marks_and_real_differences() {
    let site = |size: &str| Value::object([("size", text(size)), ("id", text("x"))]);
    let mut before = prior();
    before.set("sites", Value::map([("a", site("1")), ("b", site("1"))]));
    let mut after = before.clone();
    assert!(replacements(&fields(), &before, &after).is_empty());
    after.set("name", "r1");
    after.set("sites", Value::map([("a", site("2")), ("c", site("1"))]));
    let found: Vec<String> =
        replacements(&fields(), &before, &after).iter().map(ToString::to_string).collect();
    assert_eq!(found, ["name", "sites[\"a\"].size"]);
    after.set("name", Value::unknown());
    assert_eq!(replacements(&fields(), &before, &after)[0], Path::of("name"));
    assert!(replacements(&fields(), &Value::Null, &after).is_empty());
}

#[test]
fn conditional_replacement_asks_its_rule() {
    let rule = |prior: &Value, planned: &Value| planned.as_number() < prior.as_number();
    let fields = [Attribute::number("size").required().requires_replace_if(rule)];
    let of = |size: i64| Value::object([("size", size)]);
    assert!(replacements(&fields, &of(1), &of(2)).is_empty());
    assert_eq!(replacements(&fields, &of(2), &of(1)), [Path::of("size")]);
}

#[test]
fn a_read_keeps_the_users_text() {
    let disk = |size: &str| Value::object([("size", text(size)), ("serial", text("s"))]);
    let port = |size: &str| Value::object([("size", text(size)), ("number", Value::from(1_i64))]);
    let mut before = prior();
    before.set("disks", Value::list([disk("1GiB")]));
    before.set("ports", Value::set_of([port("Web"), port("Db")]));
    let mut found = prior();
    found.set("size", "1GIB");
    found.set("disks", Value::list([disk("1gib"), disk("2gib")]));
    found.set("ports", Value::set_of([port("web"), port("other")]));
    keep_same_meaning(&fields(), &before, &mut found);
    assert_eq!(found.get("size"), &text("1gib"));
    assert_eq!(found.get("disks"), &Value::list([disk("1GiB"), disk("2gib")]));
    assert_eq!(found.get("ports"), &Value::set_of([port("Web"), port("other")]));
}

#[test]
fn two_set_elements_never_become_one() {
    let port = |number: Value| Value::object([("size", text("1")), ("number", number)]);
    let mut before = prior();
    before.set("ports", Value::set_of([port(Value::from(5_i64))]));
    let config = object([
        ("name", text("r0")),
        ("size", text("1GiB")),
        ("ports", Value::set_of([port(Value::Null), port(Value::from(5_i64))])),
    ]);
    let planned = plan(&config, &before);
    assert_eq!(planned.get("ports"), &Value::set_of([port(Value::unknown()), port(Value::from(5_i64))]));
}

mod properties {
    use proptest::prelude::*;

    use super::*;
    use crate::check::check_plan;

    /// A configured value: null where it may be, unknown with some chance when `unknowns`.
    fn configured(field: &Attribute, unknowns: bool) -> BoxedStrategy<Value> {
        let known = match field.nested() {
            None => match field.value_type() {
                Type::Number => (0_i64..3).prop_map(Value::from).boxed(),
                Type::Map(_) => {
                    prop::collection::btree_map("[ab]", "[xy]", 0..3).prop_map(Value::from).boxed()
                }
                _ => "[aAbB]".prop_map(Value::from).boxed(),
            },
            Some((nesting, inner)) => {
                let element = configured_object(inner.to_vec(), unknowns);
                match nesting {
                    Nesting::Single => element,
                    Nesting::List => prop::collection::vec(element, 0..3).prop_map(Value::List).boxed(),
                    Nesting::Set => prop::collection::vec(element, 0..4).prop_map(Value::set_of).boxed(),
                    Nesting::Map => {
                        prop::collection::btree_map("[ab]", element, 0..3).prop_map(Value::map).boxed()
                    }
                }
            }
        };
        let unknown = u32::from(unknowns);
        let null = u32::from(!field.required);
        if field.computed && !field.optional {
            return Just(Value::Null).boxed();
        }
        prop_oneof![null => Just(Value::Null), unknown => Just(Value::unknown()), 4 => known].boxed()
    }

    fn configured_object(fields: Vec<Attribute>, unknowns: bool) -> BoxedStrategy<Value> {
        let member = |field: &Attribute| (Just(field.name.clone()), configured(field, unknowns));
        let members: Vec<_> = fields.iter().map(member).collect();
        members.prop_map(|members| Value::Object(members.into_iter().collect())).boxed()
    }

    /// What an apply makes of a plan: every unknown value gets a fresh one.
    fn applied(value: Value, fresh: &mut u64) -> Value {
        match value {
            Value::Unknown(_) => {
                *fresh += 1;
                Value::from(*fresh)
            }
            Value::List(elements) => Value::List(elements.into_iter().map(|e| applied(e, fresh)).collect()),
            Value::Set(elements) => Value::set_of(elements.into_iter().map(|e| applied(e, fresh))),
            Value::Map(m) => Value::Map(m.into_iter().map(|(k, v)| (k, applied(v, fresh))).collect()),
            Value::Object(m) => Value::Object(m.into_iter().map(|(k, v)| (k, applied(v, fresh))).collect()),
            other => other,
        }
    }

    /// A state that an earlier configuration led to, or none.
    fn any_prior() -> impl Strategy<Value = Value> {
        let made = |config: Value| applied(plan(&config, &Value::Null), &mut 100);
        prop_oneof![Just(Value::Null), configured_object(fields(), false).prop_map(made)]
    }

    proptest! {
        #[test]
        fn core_accepts_every_mechanical_plan(config in configured_object(fields(), true), prior in any_prior()) {
            let planned = plan(&config, &prior);
            prop_assert_eq!(check_plan(&fields(), &config, &prior, &planned), []);
        }

        #[test]
        fn after_apply_the_plan_is_empty(config in configured_object(fields(), false), prior in any_prior()) {
            let state = applied(plan(&config, &prior), &mut 1000);
            prop_assert_eq!(plan(&config, &state), state.clone());
            prop_assert!(replacements(&fields(), &state, &plan(&config, &state)).is_empty());
        }
    }
}

#[test]
fn an_imported_state_has_the_defaults_that_a_configuration_without_them_plans() {
    let mode = || Attribute::string("mode").default("sync");
    let fields = [
        mode(),
        Attribute::string("name").required(),
        Attribute::map_nested("sites", vec![mode()]).optional(),
        Attribute::single_nested("peer", vec![mode()]).optional(),
    ];
    let site = |mode: Value| Value::object([("mode", mode)]);
    let state = |default: Value| {
        Value::object([
            ("mode", default.clone()),
            ("name", Value::Null),
            ("sites", Value::map([("a", site(default)), ("b", site("async".into()))])),
            ("peer", Value::Null),
        ])
    };
    let mut imported = state(Value::Null);
    fill_defaults(&fields, &mut imported);
    assert_eq!(imported, state("sync".into()));
}
