// SPDX-License-Identifier: MPL-2.0
//! Between our types and protocol messages: values, places, diagnostics. No decisions about state here.

use crate::diagnostic::{Diagnostic, Diagnostics, Severity};
use crate::generated::tfplugin6 as proto;
use crate::schema::{Attribute, Nesting};
use crate::value::{Path, Step, Type, Value, json, msgpack};

/// Reads a value; an absent one is null.
pub(crate) fn decode(ty: &Type, value: Option<&proto::DynamicValue>) -> Result<Value, Diagnostic> {
    let Some(value) = value else { return Ok(Value::Null) };
    if !value.msgpack.is_empty() {
        return Ok(msgpack::decode(ty, &value.msgpack)?);
    }
    if value.json.is_empty() {
        return Ok(Value::Null);
    }
    let text = std::str::from_utf8(&value.json).map_err(|_| {
        Diagnostic::error(
            "Value cannot be read",
            "The JSON form of a value is not UTF-8. Nothing was changed.",
        )
    })?;
    Ok(json::decode(ty, text)?)
}

/// Whether a value is null, without reading it.
pub(crate) fn is_null(value: Option<&proto::DynamicValue>) -> bool {
    value.is_none_or(|value| match value.msgpack.as_slice() {
        [] => matches!(value.json.trim_ascii(), b"" | b"null"),
        bytes => bytes == NULL,
    })
}

/// Null as MessagePack.
const NULL: &[u8] = &[0xc0];

/// Writes a value.
pub(crate) fn encode(ty: &Type, value: &Value) -> Result<proto::DynamicValue, Diagnostic> {
    let msgpack = msgpack::encode(ty, value)?;
    Ok(proto::DynamicValue { msgpack, json: Vec::new() })
}

/// The value null.
pub(crate) fn null() -> proto::DynamicValue {
    proto::DynamicValue { msgpack: NULL.to_vec(), json: Vec::new() }
}

/// A path as it is; it ends before the first set element, for which the protocol has no step.
pub(crate) fn attribute_path(path: &Path) -> proto::AttributePath {
    use proto::attribute_path::step::Selector;
    let steps = path.steps().iter().map_while(|step| {
        let selector = match step {
            Step::Attribute(name) => Selector::AttributeName(name.clone()),
            Step::Key(key) => Selector::ElementKeyString(key.clone()),
            Step::Index(index) => Selector::ElementKeyInt(i64::try_from(*index).ok()?),
            Step::SetElement => return None,
        };
        Some(proto::attribute_path::Step { selector: Some(selector) })
    });
    proto::AttributePath { steps: steps.collect() }
}

/// The longest part of a path that Terraform can show as a source line: through blocks, up to and including the
/// first attribute.
fn pointable(fields: &[Attribute], path: &Path) -> Path {
    let mut fields = fields;
    let mut kept: Vec<Step> = Vec::new();
    let mut steps = path.steps().iter();
    while let Some(step @ Step::Attribute(name)) = steps.next() {
        let Some(field) = fields.iter().find(|field| field.name() == name) else { break };
        kept.push(step.clone());
        let Some((nesting, inner)) = field.nested().filter(|_| field.is_block()) else { break };
        fields = inner;
        match nesting {
            Nesting::Single => {}
            Nesting::List | Nesting::Map => match steps.next() {
                Some(step @ (Step::Index(_) | Step::Key(_))) => kept.push(step.clone()),
                _ => break,
            },
            Nesting::Set => break,
        }
    }
    kept.into_iter().collect()
}

/// Messages for a configuration of this schema. A place that Terraform cannot point at is named in the detail.
pub(crate) fn diagnostics(fields: &[Attribute], diagnostics: Diagnostics) -> Vec<proto::Diagnostic> {
    diagnostics.into_iter().map(|diagnostic| one_diagnostic(fields, diagnostic)).collect()
}

fn one_diagnostic(fields: &[Attribute], diagnostic: Diagnostic) -> proto::Diagnostic {
    let severity = match diagnostic.severity {
        Severity::Error => proto::diagnostic::Severity::Error,
        Severity::Warning => proto::diagnostic::Severity::Warning,
    };
    let mut detail = diagnostic.detail;
    let attribute = diagnostic.path.filter(|path| !path.is_root()).map(|path| {
        let shown = pointable(fields, &path);
        let full = path.to_string();
        if shown != path && !detail.contains(&full) {
            detail = format!("{detail}\n\nAt {full}.");
        }
        attribute_path(&shown)
    });
    proto::Diagnostic { severity: severity.into(), summary: diagnostic.summary, detail, attribute }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields() -> Vec<Attribute> {
        vec![
            Attribute::single_nested("ssh", vec![Attribute::string("user").optional()]).optional(),
            Attribute::list_block("disk", vec![Attribute::string("size").required()]),
            Attribute::map_block("site", vec![Attribute::string("zone").required()]),
            Attribute::set_block("tag", vec![Attribute::string("key").required()]),
            Attribute::single_block("timeouts", vec![Attribute::string("create").optional()]),
        ]
    }

    fn check(path: Path, shown: &str, named_in_detail: bool) {
        assert_eq!(pointable(&fields(), &path).to_string(), shown);
        let wire = one_diagnostic(&fields(), Diagnostic::error("s", "d").at(path));
        assert_eq!(wire.detail != "d", named_in_detail, "{}", wire.detail);
    }

    #[test]
    fn paths_end_where_terraform_can_point() {
        check(Path::of("ssh").attribute("user"), "ssh", true);
        check(Path::of("disk").index(1).attribute("size"), "disk[1].size", false);
        check(Path::of("site").key("a").attribute("zone"), "site[\"a\"].zone", false);
        check(Path::of("tag").set_element().attribute("key"), "tag", true);
        check(Path::of("timeouts").attribute("create"), "timeouts.create", false);
        check(Path::of("unheard_of"), "", true);
    }

    #[test]
    fn absent_values_are_null() {
        assert_eq!(decode(&Type::String, None).unwrap(), Value::Null);
        assert_eq!(decode(&Type::String, Some(&proto::DynamicValue::default())).unwrap(), Value::Null);
        assert_eq!(decode(&Type::String, Some(&null())).unwrap(), Value::Null);
        let json = proto::DynamicValue { msgpack: vec![], json: b"\"x\"".to_vec() };
        assert_eq!(decode(&Type::String, Some(&json)).unwrap(), Value::from("x"));
        let bad = proto::DynamicValue { msgpack: vec![], json: vec![0xff] };
        assert!(decode(&Type::String, Some(&bad)).is_err());
        for (value, null) in [
            (None, true),
            (Some(&proto::DynamicValue::default()), true),
            (Some(&super::null()), true),
            (Some(&proto::DynamicValue { msgpack: vec![], json: b" null\n".to_vec() }), true),
            (Some(&json), false),
            (Some(&encode(&Type::String, &Value::from("x")).unwrap()), false),
        ] {
            assert_eq!(is_null(value), null, "{value:?}");
        }
    }
}
