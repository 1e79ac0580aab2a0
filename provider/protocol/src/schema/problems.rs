// SPDX-License-Identifier: MPL-2.0
//! The checks that core makes when it loads a schema, made before it does: for one failure core refuses the whole
//! provider. A few rules of this crate are added, each because the mark could have no effect.

use std::collections::BTreeSet;

use super::{Attribute, Kind, Nesting, OnUpdate, Replace, Schema};
use crate::value::{Path, conform::conform};

pub(crate) fn of_schema(schema: &Schema) -> Vec<String> {
    let mut found = Vec::new();
    if schema.version < 0 {
        found.push(format!("the schema version {} is negative", schema.version));
    }
    check_fields(&schema.fields, &Path::root(), Surroundings::default(), &mut found);
    let top: BTreeSet<&str> = schema.fields.iter().map(|field| field.name.as_str()).collect();
    check_references(&schema.fields, &Path::root(), &top, &mut found);
    found
}

/// Names that Terraform keeps for itself in a resource (or, with `provider_block`, in a provider block).
pub(crate) fn reserved_names(schema: &Schema, provider_block: bool) -> Vec<String> {
    let reserved: &[&str] = if provider_block {
        &["alias", "version"]
    } else {
        &["connection", "count", "depends_on", "for_each", "lifecycle", "provider", "provisioner"]
    };
    let taken = schema.fields.iter().filter(|field| reserved.contains(&field.name.as_str()));
    taken.map(|field| format!("{}: Terraform keeps this name for itself", field.name)).collect()
}

#[derive(Clone, Copy, Default)]
struct Surroundings {
    in_set: bool,
    in_nested_attribute: bool,
}

fn check_fields(fields: &[Attribute], path: &Path, around: Surroundings, found: &mut Vec<String>) {
    let mut names = BTreeSet::new();
    for field in fields {
        let place = path.attribute(&field.name);
        let mut problems = Vec::new();
        if !names.insert(field.name.as_str()) {
            problems.push("an attribute or block of this name exists already".to_owned());
        }
        if !is_identifier(&field.name) {
            problems.push(
                "a name has lower-case letters, digits and underscores, and begins with a letter".to_owned(),
            );
        }
        check_kind(field, around, &mut problems);
        if field.is_block() {
            check_block(field, &mut problems);
        } else {
            check_presence(field, &mut problems);
        }
        check_marks(field, around, &place, &mut problems);
        found.extend(problems.into_iter().map(|problem| format!("{place}: {problem}")));

        if let Some((nesting, inner)) = field.nested() {
            let around = Surroundings {
                in_set: around.in_set || nesting == Nesting::Set,
                in_nested_attribute: around.in_nested_attribute || !field.is_block(),
            };
            check_fields(inner, &place, around, found);
        }
    }
}

fn is_identifier(name: &str) -> bool {
    let begins = name.starts_with(|first: char| first.is_ascii_lowercase() || first == '_');
    begins && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

fn check_kind(field: &Attribute, around: Surroundings, problems: &mut Vec<String>) {
    let Kind::Plain(ty) = &field.kind else { return };
    if ty.has_dynamic_in_set() || (around.in_set && ty.contains_dynamic()) {
        problems.push("a dynamic type cannot stand inside a set".to_owned());
    }
}

fn check_presence(field: &Attribute, problems: &mut Vec<String>) {
    if !(field.required || field.optional || field.computed) {
        problems.push("it must be optional, required or computed".to_owned());
    }
    if field.required && (field.optional || field.computed) {
        problems.push("required excludes optional, computed and a default".to_owned());
    }
}

fn check_block(field: &Attribute, problems: &mut Vec<String>) {
    let Kind::Block { nesting, min_items, max_items, .. } = &field.kind else { return };
    if field.required || field.optional || field.computed || field.write_only || field.default.is_some() {
        problems
            .push("a block has counts, not required, optional, computed, write-only or a default".to_owned());
    }
    match nesting {
        Nesting::Single if *min_items > 1 || *max_items > 1 => {
            problems.push("a single block stands at most once".to_owned());
        }
        Nesting::Map if *min_items != 0 || *max_items != 0 => {
            problems.push("a block with a label has no count limits".to_owned());
        }
        Nesting::List | Nesting::Set if *max_items != 0 && min_items > max_items => {
            problems.push(format!("min_items {min_items} is more than max_items {max_items}"));
        }
        Nesting::Single | Nesting::Map | Nesting::List | Nesting::Set => {}
    }
}

fn check_marks(field: &Attribute, around: Surroundings, place: &Path, problems: &mut Vec<String>) {
    if field.write_only && field.computed {
        problems.push("write-only excludes computed and a default".to_owned());
    }
    if field.write_only && around.in_set {
        problems.push("a write-only attribute cannot stand inside a set".to_owned());
    }
    if around.in_nested_attribute && field.is_block() {
        problems.push("a block cannot stand inside a nested attribute".to_owned());
    }
    if around.in_set && !matches!(field.replace, Replace::Never) {
        problems.push("no path leads into a set: mark the set itself with requires_replace".to_owned());
    }
    if field.on_update != OnUpdate::Keep && !field.computed {
        problems.push("only a computed attribute becomes unknown on update".to_owned());
    }
    if let Some(default) = &field.default {
        let mut mismatches = Vec::new();
        let same = conform(&field.value_type(), default.clone(), place, &mut mismatches);
        problems.extend(mismatches.iter().map(|mismatch| format!("the default does not fit: {mismatch}")));
        if same.is_null() || !same.is_wholly_known() {
            problems.push("the default must be a known value".to_owned());
        }
    }
}

/// Attributes that name others must name existing ones.
fn check_references(fields: &[Attribute], path: &Path, top: &BTreeSet<&str>, found: &mut Vec<String>) {
    for field in fields {
        let place = path.attribute(&field.name);
        if let OnUpdate::UnknownWhen(names) = &field.on_update {
            let missing = names.iter().filter(|name| !top.contains(name.as_str()));
            found.extend(missing.map(|name| format!("{place}: there is no top-level attribute {name:?}")));
        }
        if let Some((_, inner)) = field.nested() {
            check_references(inner, &place, top, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::{Type, Value};

    fn check(attribute: Attribute, problem: &str) {
        let found = Schema::new().attribute(attribute).problems();
        assert!(found.iter().any(|text| text.contains(problem)), "{problem:?} is not among {found:?}");
    }

    #[test]
    fn a_sound_schema_has_no_problem() {
        let schema = Schema::new().version(2).attributes([
            Attribute::string("name").required().requires_replace(),
            Attribute::string("mode").default("async"),
            Attribute::string("etag").computed().unknown_when_changed(&["name"]),
            Attribute::of("labels", Type::map(Type::String)).optional(),
            Attribute::map_nested("sites", vec![Attribute::string("secret_wo").optional().write_only()])
                .optional(),
            Attribute::list_block("disk", vec![Attribute::set_block("tag", vec![])])
                .min_items(1)
                .max_items(3),
            Attribute::single_block("ssh", vec![]).min_items(1).max_items(1),
        ]);
        assert_eq!(schema.problems(), Vec::<String>::new());
    }

    #[test]
    fn each_rule_of_core_is_checked() {
        let x = || Attribute::string("x");
        check(x(), "must be optional, required or computed");
        check(x().required().computed(), "required excludes");
        check(Attribute::string("Big").optional(), "lower-case letters");
        check(Attribute::string("1st").optional(), "begins with a letter");
        check(x().optional().computed().write_only(), "write-only excludes computed");
        check(Attribute::of("x", Type::set(Type::Dynamic)).optional(), "dynamic type cannot");
        check(
            Attribute::set_nested("s", vec![Attribute::of("x", Type::Dynamic).optional()]).optional(),
            "dynamic type cannot",
        );
        check(Attribute::set_nested("s", vec![x().optional().write_only()]).optional(), "inside a set");
        check(Attribute::single_block("b", vec![]).max_items(2), "at most once");
        check(Attribute::map_block("b", vec![]).min_items(1), "no count limits");
        check(Attribute::list_block("b", vec![]).min_items(3).max_items(2), "min_items 3 is more");
        check(Attribute::list_block("b", vec![]).optional(), "a block has counts");
        let block_in_attribute =
            Attribute::single_nested("n", vec![Attribute::list_block("b", vec![])]).optional();
        check(block_in_attribute, "cannot stand inside a nested attribute");
        let twice = Schema::new().attributes([x().optional(), Attribute::list_block("x", vec![])]);
        assert!(twice.problems()[0].contains("exists already"));
        assert!(Schema::new().version(-1).problems()[0].contains("negative"));
    }

    #[test]
    fn marks_without_effect_are_refused() {
        let x = || Attribute::string("x");
        check(
            Attribute::set_nested("s", vec![x().optional().requires_replace()]).optional(),
            "no path leads",
        );
        check(x().optional().unknown_on_update(), "only a computed attribute");
        check(x().computed().unknown_when_changed(&["y"]), "no top-level attribute \"y\"");
        check(x().default(1_i64), "the default does not fit");
        check(x().default(Value::Null), "must be a known value");
        let reserved = Schema::new().attribute(Attribute::number("count").optional());
        assert_eq!(reserved_names(&reserved, false).len(), 1);
        assert_eq!(reserved_names(&reserved, true).len(), 0);
    }
}
