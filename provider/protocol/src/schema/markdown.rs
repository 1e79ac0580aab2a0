// SPDX-License-Identifier: MPL-2.0
//! The "Schema" chapter of a registry page, in the form that the registry's own generator writes.

use std::fmt::Write as _;

use super::{Attribute, Kind, Nesting, Schema};
use crate::value::{Path, Step, Value};

pub(crate) fn chapter(schema: &Schema) -> String {
    let mut text = String::from("## Schema\n");
    let mut pending = Vec::new();
    sections(&schema.fields, &Path::root(), "### ", &mut text, &mut pending);
    while !pending.is_empty() {
        for (path, fields) in std::mem::take(&mut pending) {
            write_line(
                &mut text,
                &format!("\n<a id=\"{}\"></a>\n### Nested Schema for `{}`", anchor(&path), dotted(&path)),
            );
            sections(&fields, &path, "", &mut text, &mut pending);
        }
    }
    text
}

type Pending = Vec<(Path, Vec<Attribute>)>;

fn sections(fields: &[Attribute], path: &Path, heading: &str, text: &mut String, pending: &mut Pending) {
    type Belongs = fn(&Attribute) -> bool;
    let groups: [(&str, Belongs); 3] = [
        ("Required", is_required),
        ("Optional", |field| !is_required(field) && !is_read_only(field)),
        ("Read-Only", is_read_only),
    ];
    for (title, belongs) in groups {
        let mut members: Vec<&Attribute> = fields.iter().filter(|field| belongs(field)).collect();
        if members.is_empty() {
            continue;
        }
        members.sort_by(|left, right| left.name.cmp(&right.name));
        let colon = if heading.is_empty() { ":" } else { "" };
        write_line(text, &format!("\n{heading}{title}{colon}\n"));
        for field in members {
            let place = path.attribute(&field.name);
            write_line(text, &line(field, &place));
            if let Some((_, inner)) = field.nested() {
                pending.push((place, inner.to_vec()));
            }
        }
    }
}

fn is_required(field: &Attribute) -> bool {
    match &field.kind {
        Kind::Block { min_items, .. } => *min_items > 0,
        Kind::Plain(_) | Kind::Nested { .. } => field.required,
    }
}

fn is_read_only(field: &Attribute) -> bool {
    field.computed && !field.optional && !field.is_block()
}

fn line(field: &Attribute, path: &Path) -> String {
    let mut marks = vec![type_label(field)];
    if field.sensitive {
        marks.push("Sensitive".to_owned());
    }
    if field.write_only {
        marks.push("[Write-only](https://developer.hashicorp.com/terraform/language/resources/ephemeral#write-only-arguments)".to_owned());
    }
    if field.deprecated.is_some() {
        marks.push("Deprecated".to_owned());
    }
    let mut text = format!("- `{}` ({})", field.name, marks.join(", "));
    let mut sentence = |part: &str| {
        if !part.is_empty() {
            text.push(' ');
            text.push_str(part);
        }
    };
    sentence(field.description.trim());
    sentence(&field.deprecated.as_ref().map(|reason| format!("Deprecated: {reason}")).unwrap_or_default());
    sentence(
        &field
            .default
            .as_ref()
            .and_then(plain_text)
            .map(|value| format!("Default: `{value}`."))
            .unwrap_or_default(),
    );
    if field.nested().is_some() {
        sentence(&format!("(see [below for nested schema](#{}))", anchor(path)));
    }
    text
}

fn type_label(field: &Attribute) -> String {
    let objects = match &field.kind {
        Kind::Plain(ty) => return capitalised(&ty.friendly_name()),
        Kind::Nested { nesting, .. } => ("Attributes", *nesting),
        Kind::Block { nesting, .. } => ("Block", *nesting),
    };
    match objects {
        (what, Nesting::Single) => what.to_owned(),
        ("Block", nesting) => format!("Block {nesting:?}"),
        (what, nesting) => format!("{what} {nesting:?}"),
    }
}

fn capitalised(name: &str) -> String {
    name.split(' ')
        .map(|word| match word {
            "of" => word.to_owned(),
            _ => word.chars().take(1).flat_map(char::to_uppercase).chain(word.chars().skip(1)).collect(),
        })
        .collect::<Vec<String>>()
        .join(" ")
}

fn plain_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn names(path: &Path) -> impl Iterator<Item = &str> {
    path.steps().iter().filter_map(|step| match step {
        Step::Attribute(name) => Some(name.as_str()),
        Step::Key(_) | Step::Index(_) | Step::SetElement => None,
    })
}

fn dotted(path: &Path) -> String {
    names(path).collect::<Vec<_>>().join(".")
}

fn anchor(path: &Path) -> String {
    format!("nestedatt--{}", names(path).collect::<Vec<_>>().join("--"))
}

fn write_line(text: &mut String, line: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Type;

    #[test]
    fn chapter_lists_each_group_and_nested_schemas() {
        let schema = Schema::new().attributes([
            Attribute::string("name").required().description("Its name."),
            Attribute::of("labels", Type::map(Type::String)).optional(),
            Attribute::string("mode").default("async").description("How."),
            Attribute::string("id").computed().sensitive(),
            Attribute::map_nested(
                "sites",
                vec![Attribute::number("weight").required().description("Weight.")],
            )
            .optional()
            .description("Where."),
        ]);
        let wanted = "\
## Schema

### Required

- `name` (String) Its name.

### Optional

- `labels` (Map of String)
- `mode` (String) How. Default: `async`.
- `sites` (Attributes Map) Where. (see [below for nested schema](#nestedatt--sites))

### Read-Only

- `id` (String, Sensitive)

<a id=\"nestedatt--sites\"></a>
### Nested Schema for `sites`

Required:

- `weight` (Number) Weight.
";
        assert_eq!(schema.to_markdown(), wanted);
    }
}
