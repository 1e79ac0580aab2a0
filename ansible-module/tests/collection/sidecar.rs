// SPDX-License-Identifier: MPL-2.0
//! The documentation beside a module (`<name>.yml`), as `ansible-doc` reads it: options and return values from the JSON
//! Schemas of the types that the module itself reads and writes, the words around them from [`crate::about`].
//!
//! Not here: which types there are (drbd-schemas), and how YAML is written ([`crate::yaml`]).

use crate::about::{self, About, Support};
use crate::yaml::Yaml;
use drbd_schemas::args::Module;
use drbd_schemas::export;
use serde_json::Value;

/// The text of a module's documentation.
pub(crate) fn of(module: Module) -> String {
    let about = about::module(module);
    let schema = Schema(export::module_schema(module));
    let document = Yaml::map([
        ("DOCUMENTATION", documentation(module, &about, &schema)),
        ("EXAMPLES", Yaml::Lines(about.examples.to_owned())),
        ("RETURN", returned(module)),
    ]);
    let head = "# SPDX-License-Identifier: MPL-2.0\n\
                # Generated from the types of drbd-schemas. Do not edit: UPDATE=1 cargo test -p drbd-host --test collection\n";
    // The document's start must be the first thing that is not a comment.
    format!("{head}{}", document.document())
}

fn documentation(module: Module, about: &About, schema: &Schema) -> Yaml {
    let others = Module::ALL.into_iter().filter(|other| *other != module);
    let see = others.map(|other| Yaml::map([("module", Yaml::Text(format!("replivol.drbd.{other}")))]));
    Yaml::map([
        ("module", Yaml::text(module.name())),
        ("short_description", Yaml::text(about.short)),
        ("version_added", Yaml::text("0.1.0")),
        ("description", Yaml::paragraphs(about.description.iter().copied())),
        ("author", Yaml::texts(["Replivol maintainers (@replivol)"])),
        ("requirements", Yaml::texts(about::REQUIREMENTS)),
        ("options", options(schema, &schema.0, about)),
        ("attributes", attributes(about)),
        ("notes", Yaml::paragraphs(about::NOTES.iter().chain(about.notes).copied())),
        ("seealso", Yaml::List(see.collect())),
    ])
}

fn attributes(about: &About) -> Yaml {
    let attribute = |description: &str, support: Support, details: &str| {
        let mut members = vec![("description", Yaml::Prose(description.to_owned()))];
        members.push(("support", Yaml::text(support.word())));
        if !details.is_empty() {
            members.push(("details", Yaml::paragraphs([details])));
        }
        Yaml::map(members)
    };
    let mut platform = vec![("description", Yaml::Prose("Target systems.".to_owned()))];
    platform.push(("support", Yaml::text("full")));
    platform.push(("platforms", Yaml::text("linux")));
    Yaml::map([
        (
            "check_mode",
            attribute("Can run in check mode and tell what it would do.", Support::Full, about.check_mode),
        ),
        ("diff_mode", attribute("Shows in diff mode what changes.", about.diff_mode, "")),
        ("idempotent", attribute("A second run changes nothing.", Support::Full, "")),
        (
            "async",
            attribute(
                "Can run in the background.",
                Support::Full,
                "Ansible's wrapper for that needs Python on the host.",
            ),
        ),
        ("platform", Yaml::map(platform)),
    ])
}

/// A JSON Schema document.
pub(crate) struct Schema(Value);

impl Schema {
    /// The schema behind a reference, or the one alternative that is not null.
    pub(crate) fn resolve<'a>(&'a self, schema: &'a Value) -> &'a Value {
        if let Some(reference) = schema["$ref"].as_str() {
            return self.0.pointer(reference.trim_start_matches('#')).unwrap_or(&Value::Null);
        }
        let alternatives = schema["anyOf"].as_array();
        let one = alternatives.and_then(|all| all.iter().find(|one| one["type"] != "null"));
        one.map_or(schema, |one| self.resolve(one))
    }
}

/// Ansible's word for a type.
fn kind(of: &Value) -> &'static str {
    if let Some(choices) = of["oneOf"].as_array() {
        let words = choices.iter().all(|one| one["const"].is_string());
        return if words { "str" } else { "dict" };
    }
    let name = match &of["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).find(|name| *name != "null"),
        other => other.as_str(),
    };
    match name {
        Some("object") => "dict",
        Some("array") => "list",
        Some("string") => "str",
        Some("integer") => "int",
        Some("boolean") => "bool",
        Some("number") => "float",
        _ => "raw",
    }
}

fn options(schema: &Schema, of: &Value, about: &About) -> Yaml {
    let required: Vec<&str> =
        of["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let properties = of["properties"].as_object().into_iter().flatten();
    let described = properties.map(|(name, property)| {
        let mut members = option(schema, name, property, &description(schema, property), about);
        let sometimes =
            about.sometimes_required.iter().find(|(option, _)| option == name && of["title"].is_string());
        if let (Some((_, when)), Some((_, Yaml::List(paragraphs)))) = (sometimes, members.first_mut()) {
            paragraphs.push(Yaml::Prose((*when).to_owned()));
        } else if required.contains(&name.as_str()) {
            members.push(("required".to_owned(), Yaml::Bare("true".to_owned())));
        }
        (name.clone(), Yaml::Map(members))
    });
    Yaml::Map(described.collect())
}

/// The description of a property, or of its type.
fn description(schema: &Schema, property: &Value) -> String {
    let of = if property["description"].is_null() { schema.resolve(property) } else { property };
    prose(&of["description"])
}

fn option(
    schema: &Schema,
    name: &str,
    property: &Value,
    description: &str,
    about: &About,
) -> Vec<(String, Yaml)> {
    let resolved = schema.resolve(property);
    let mut paragraphs = vec![Yaml::Prose(description.to_owned())];
    paragraphs.extend(
        choices(resolved).into_iter().map(|(word, about)| Yaml::Prose(format!("C({word}) - {about}"))),
    );
    let mut members = vec![("type".to_owned(), Yaml::text(kind(resolved)))];
    let inner = match kind(resolved) {
        "list" => {
            let items = schema.resolve(&resolved["items"]);
            members.push(("elements".to_owned(), Yaml::text(kind(items))));
            items
        }
        _ => resolved,
    };
    let words: Vec<String> = choices(resolved).into_iter().map(|(word, _)| word).collect();
    if !words.is_empty() {
        members.push(("choices".to_owned(), Yaml::texts(words.iter().map(String::as_str))));
    }
    match &property["default"] {
        Value::Number(number) => members.push(("default".to_owned(), Yaml::Bare(number.to_string()))),
        Value::Bool(flag) => members.push(("default".to_owned(), Yaml::Bare(flag.to_string()))),
        Value::String(text) => members.push(("default".to_owned(), Yaml::text(text))),
        Value::Null | Value::Array(_) | Value::Object(_) => {}
    }
    if about::repeated(name, of_top_level(schema, property)) {
        paragraphs.push(Yaml::Prose(format!("The same options as those of the top level, C({name}).")));
    } else if let Some(nested) = suboptions(schema, inner, about) {
        if inner["oneOf"].is_array() {
            paragraphs.push(Yaml::Prose("Exactly one of these.".to_owned()));
        }
        members.push(("suboptions".to_owned(), nested));
    }
    members.insert(0, ("description".to_owned(), Yaml::List(paragraphs)));
    members
}

/// Whether this very property stands at the top of the schema.
fn of_top_level(schema: &Schema, property: &Value) -> bool {
    let top = schema.0["properties"].as_object();
    top.is_some_and(|top| top.values().any(|one| std::ptr::eq(one, property)))
}

/// What stands inside a dictionary, if it is known.
fn suboptions(schema: &Schema, of: &Value, about: &About) -> Option<Yaml> {
    if of["properties"].is_object() {
        return Some(options(schema, of, about));
    }
    if let Some(variants) = of["oneOf"].as_array().filter(|_| kind(of) == "dict") {
        let members = variants.iter().flat_map(|variant| {
            let inner = variant["properties"].as_object().into_iter().flatten();
            inner.map(|(name, property)| {
                let description = prose(&variant["description"]);
                (name.clone(), Yaml::Map(option(schema, name, property, &description, about)))
            })
        });
        return Some(Yaml::Map(members.collect()));
    }
    let values = of.get("additionalProperties").filter(|values| values.is_object())?;
    let key = about::key_word(of["propertyNames"]["x-check"].as_str());
    let known = schema.resolve(values)["description"].is_string();
    let description = if known { description(schema, values) } else { "What belongs to it.".to_owned() };
    let members = option(schema, key, values, &description, about);
    Some(Yaml::Map(vec![(key.to_owned(), Yaml::Map(members))]))
}

/// The words that a text may be, and what they mean.
fn choices(of: &Value) -> Vec<(String, String)> {
    let all = of["oneOf"].as_array().into_iter().flatten();
    all.filter_map(|one| Some((one["const"].as_str()?.to_owned(), prose(&one["description"])))).collect()
}

fn returned(module: Module) -> Yaml {
    let (_, schema) =
        export::files().into_iter().find(|(name, _)| name == "reply.schema.json").unwrap_or_default();
    let schema = Schema(schema);
    contains(&schema, &schema.0, &|name, required| about::returned(module, name, required))
}

/// The members of a returned object; `when` says when each of them is there, or that it never is.
fn contains(schema: &Schema, of: &Value, when: &dyn Fn(&str, bool) -> Option<String>) -> Yaml {
    let required: Vec<&str> =
        of["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let properties = of["properties"].as_object().into_iter().flatten();
    let members = properties.filter_map(|(name, property)| {
        let there = when(name, required.contains(&name.as_str()))?;
        let twin = name == "after" && when("before", false).is_some();
        let value = if twin { as_before(schema, property, &there) } else { value(schema, property, &there) };
        Some((name.clone(), value))
    });
    Yaml::Map(members.collect())
}

/// A value that has the shape of `before`, which is described already.
fn as_before(schema: &Schema, property: &Value, when: &str) -> Yaml {
    Yaml::map([
        (
            "description",
            Yaml::paragraphs([description(schema, property).as_str(), "It has the shape of C(before)."]),
        ),
        ("returned", Yaml::text(when)),
        ("type", Yaml::text(kind(schema.resolve(property)))),
    ])
}

fn value(schema: &Schema, property: &Value, when: &str) -> Yaml {
    let resolved = schema.resolve(property);
    let mut paragraphs = vec![Yaml::Prose(description(schema, property))];
    paragraphs.extend(
        choices(resolved).into_iter().map(|(word, about)| Yaml::Prose(format!("C({word}) - {about}"))),
    );
    let mut members =
        vec![("returned".to_owned(), Yaml::text(when)), ("type".to_owned(), Yaml::text(kind(resolved)))];
    let mut inner = resolved;
    if kind(resolved) == "list" {
        inner = schema.resolve(&resolved["items"]);
        members.push(("elements".to_owned(), Yaml::text(kind(inner))));
    }
    let always = |_: &str, required: bool| Some(if required { "always" } else { "when known" }.to_owned());
    let values = inner.get("additionalProperties").filter(|values| values.is_object());
    if inner["properties"].is_object() {
        members.push(("contains".to_owned(), contains(schema, inner, &always)));
    } else if let Some(values) = values {
        let key = about::key_word(inner["propertyNames"]["x-check"].as_str());
        members.push(("contains".to_owned(), Yaml::map([(key, value(schema, values, "for each"))])));
    } else if inner["oneOf"].is_array() && kind(inner) == "dict" {
        members.push(("contains".to_owned(), variants(schema, inner)));
    }
    members.insert(0, ("description".to_owned(), Yaml::List(paragraphs)));
    Yaml::Map(members)
}

/// The members of an object that comes in several shapes, told apart by one of them.
fn variants(schema: &Schema, of: &Value) -> Yaml {
    let mut members: Vec<(String, Yaml)> = Vec::new();
    let mut shapes = Vec::new();
    for variant in of["oneOf"].as_array().into_iter().flatten() {
        for (name, property) in variant["properties"].as_object().into_iter().flatten() {
            if let Some(word) = property["const"].as_str() {
                shapes.push((name.clone(), format!("C({word}) - {}", prose(&variant["description"]))));
            } else if members.iter().all(|(known, _)| known != name) {
                members.push((name.clone(), value(schema, property, "where it applies")));
            }
        }
    }
    if let Some((name, _)) = shapes.first().cloned() {
        let paragraphs = Yaml::paragraphs(shapes.iter().map(|(_, text)| text.as_str()));
        let word =
            [("description", paragraphs), ("returned", Yaml::text("always")), ("type", Yaml::text("str"))];
        members.insert(0, (name, Yaml::map(word)));
    }
    Yaml::Map(members)
}

/// A description in Ansible's markup.
fn prose(description: &Value) -> String {
    let text = description.as_str().unwrap_or_default().replace("[`SCHEMA`]", "Version of this document.");
    let mut out = String::new();
    for (place, part) in text.split('`').enumerate() {
        if place % 2 == 0 {
            out.push_str(part);
        } else {
            assert!(!part.contains(')'), "a parenthesis would end the markup: {text}");
            out.push_str(&format!("C({part})"));
        }
    }
    assert!(!out.trim().is_empty(), "an option or return value has no description");
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}
