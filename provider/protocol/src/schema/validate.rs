// SPDX-License-Identifier: MPL-2.0
//! Judges a configuration by its schema: what is required is there, also inside of objects, where core does not look; and what is
//! there passes the validators. Rules between attributes are the resource's own.

use super::{Attribute, Nesting};
use crate::diagnostic::Diagnostics;
use crate::value::{Path, Place, Type, Value};

/// When a configuration is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// By `validate`, without anything of the world: what the user wrote.
    Written,
    /// By a plan: also what other resources computed. A mocked provider makes that up, and is never asked for a plan.
    Planned,
}

/// Checks what is known: that nothing is null that must have a value, and the validators of each attribute.
pub(crate) fn validate_fields(
    fields: &[Attribute],
    value: &Value,
    stage: Stage,
    path: &Path,
    found: &mut Diagnostics,
) {
    Judge { stage, found }.fields(fields, value, false, &Place::Start(path));
}

struct Judge<'f> {
    stage: Stage,
    found: &'f mut Diagnostics,
}

impl Judge<'_> {
    fn fields(&mut self, fields: &[Attribute], value: &Value, computed_elsewhere: bool, path: &Place<'_>) {
        for field in fields {
            let place = path.attribute(&field.name);
            self.field(field, value.get(&field.name), computed_elsewhere || field.computed_elsewhere, &place);
        }
    }

    fn field(&mut self, field: &Attribute, member: &Value, computed_elsewhere: bool, place: &Place<'_>) {
        let now = computed_elsewhere == (self.stage == Stage::Planned);
        if member.is_null() && field.required && now {
            self.missing(place, "Give it one.");
        }
        if member.is_null() || member.is_unknown() {
            return;
        }
        if now {
            let path = Path::from(place);
            field.validators.iter().for_each(|check| check(member, &path, self.found));
            self.elements(&field.value_type_above_objects(), member, place);
        }
        let Some((nesting, inner)) = field.nested() else { return };
        match (nesting, member) {
            (Nesting::Single, object) => self.fields(inner, object, computed_elsewhere, place),
            (_, Value::List(elements)) => {
                for (i, element) in elements.iter().enumerate() {
                    self.object(inner, element, computed_elsewhere, &place.index(i));
                }
            }
            (_, Value::Set(elements)) => {
                elements.iter().for_each(|e| self.object(inner, e, computed_elsewhere, &place.set_element()));
            }
            (_, Value::Map(entries)) => {
                entries
                    .iter()
                    .for_each(|(key, e)| self.object(inner, e, computed_elsewhere, &place.key(key)));
            }
            _ => {}
        }
    }

    /// An element with attributes of its own.
    fn object(&mut self, inner: &[Attribute], element: &Value, computed_elsewhere: bool, place: &Place<'_>) {
        if element.members().is_some() {
            self.fields(inner, element, computed_elsewhere, place);
        }
    }

    /// No element of a collection is null.
    fn elements(&mut self, ty: &Elements<'_>, value: &Value, place: &Place<'_>) {
        let of = match ty {
            Elements::Objects => None,
            Elements::Plain(Type::List(of) | Type::Set(of) | Type::Map(of)) => Some(of.as_ref()),
            Elements::Plain(_) => return,
        };
        match value {
            Value::List(elements) => {
                elements.iter().enumerate().for_each(|(i, e)| self.element(of, e, &place.index(i)));
            }
            Value::Set(elements) => elements.iter().for_each(|e| self.element(of, e, &place.set_element())),
            Value::Map(entries) => entries.iter().for_each(|(key, e)| self.element(of, e, &place.key(key))),
            _ => {}
        }
    }

    fn element(&mut self, of: Option<&Type>, element: &Value, place: &Place<'_>) {
        match of {
            _ if element.is_null() => self.missing(place, "Leave the whole element out, or give it one."),
            Some(of) => self.elements(&Elements::Plain(of), element, place),
            None => {}
        }
    }

    fn missing(&mut self, place: &Place<'_>, remedy: &str) {
        let path = Path::from(place);
        self.found.error_at(
            &path,
            "Missing value",
            format!("{path} is null, and a value is needed there. {remedy}"),
        );
    }
}

/// What a collection holds.
pub(crate) enum Elements<'t> {
    /// Objects with attributes of their own.
    Objects,
    /// A collection, or a single value, of this type.
    Plain(&'t Type),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn validators_see_known_values_at_every_level() {
        let mode = || Attribute::string("mode").optional().one_of(&["async", "sync"]);
        let fields = [
            mode(),
            Attribute::list_nested("peers", vec![mode()]).optional(),
            Attribute::set_nested("tags", vec![mode()]).optional(),
            Attribute::map_nested("sites", vec![mode()]).optional(),
        ];
        let bad = || Value::object([("mode", "synk")]);
        let later = || Value::object([("mode", Value::unknown())]);
        let value = Value::object([
            ("mode", Value::from("sync")),
            ("peers", Value::list([later(), bad()])),
            ("tags", Value::set_of([bad()])),
            ("sites", Value::map([("a", bad()), ("b", Value::unknown())])),
        ]);
        let mut found = Diagnostics::new();
        validate_fields(&fields, &value, Stage::Written, &Path::root(), &mut found);
        let places: Vec<String> = found.iter().map(|d| d.path.as_ref().unwrap().to_string()).collect();
        assert_eq!(places, ["peers[1].mode", "tags[*].mode", "sites[\"a\"].mode"]);
        let first = &found.iter().next().unwrap().detail;
        assert!(first.contains("one of \"async\", \"sync\". Did you mean \"sync\"?"), "{first}");
    }
    fn places(fields: &[Attribute], value: &Value, stage: Stage) -> Vec<String> {
        let mut found = Diagnostics::new();
        validate_fields(fields, value, stage, &Path::root(), &mut found);
        assert!(found.iter().all(|d| d.summary == "Missing value"), "{found:?}");
        found.iter().map(|d| d.path.as_ref().unwrap().to_string()).collect()
    }

    #[test]
    fn null_is_found_wherever_a_value_is_needed() {
        let host = || Attribute::string("host").required();
        let fields = [
            Attribute::single_nested("bastion", vec![host()]).optional(),
            Attribute::map_nested("pools", vec![Attribute::single_nested("lvm", vec![host()]).optional()])
                .optional(),
            Attribute::set_nested("pairs", vec![host()]).optional(),
            Attribute::of("labels", Type::map(Type::String)).optional(),
            Attribute::of("keys", Type::set(Type::String)).optional(),
            Attribute::of("paths", Type::list(Type::map(Type::String))).optional(),
            Attribute::of("any", Type::Dynamic).optional(),
        ];
        let hostless = || Value::object([("host", Value::Null)]);
        let value = Value::object([
            ("bastion", hostless()),
            ("pools", Value::map([("a", Value::Null), ("b", Value::object([("lvm", hostless())]))])),
            ("pairs", Value::set_of([hostless()])),
            ("labels", Value::map([("zone", Value::Null), ("rack", Value::unknown())])),
            ("keys", Value::set_of([Value::Null, Value::from("k")])),
            ("paths", Value::list([Value::map([("h1", Value::Null)])])),
            ("any", Value::map([("x", Value::Null)])),
        ]);
        let found = places(&fields, &value, Stage::Written);
        let wanted = [
            "bastion.host",
            "pools[\"a\"]",
            "pools[\"b\"].lvm.host",
            "pairs[*].host",
            "labels[\"zone\"]",
            "keys[*]",
            "paths[0][\"h1\"]",
        ];
        assert_eq!(found, wanted);
        assert!(places(&fields, &value, Stage::Planned).is_empty());
        let unset = Value::object(fields.iter().map(|field| (field.name(), Value::Null)));
        assert!(places(&fields, &unset, Stage::Written).is_empty());
    }

    #[test]
    fn what_others_computed_is_judged_in_the_plan_and_not_before() {
        let fields = [Attribute::map_nested(
            "nodes",
            vec![
                Attribute::string("name").required(),
                Attribute::string("address").required().computed_elsewhere(),
                Attribute::single_nested("ssh", vec![Attribute::string("host").required()])
                    .optional()
                    .computed_elsewhere(),
            ],
        )
        .required()];
        let ssh = Value::object([("host", Value::Null)]);
        let node = Value::object([("name", Value::Null), ("address", Value::Null), ("ssh", ssh)]);
        let value = Value::object([("nodes", Value::map([("a", node)]))]);
        assert_eq!(places(&fields, &value, Stage::Written), ["nodes[\"a\"].name"]);
        let later = ["nodes[\"a\"].address", "nodes[\"a\"].ssh.host"];
        assert_eq!(places(&fields, &value, Stage::Planned), later);
    }
}
