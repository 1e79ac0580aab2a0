// SPDX-License-Identifier: MPL-2.0
//! What docs/ansible.md says of options, return values and the example is taken from the JSON Schemas and the example
//! themselves. `UPDATE=1 cargo test -p system-tests --test ansible_docs` writes it anew.
//!
//! Generated parts stand between `<!-- begin NAME -->` and `<!-- end NAME -->`; the rest of the page is written by hand.

use std::fmt::Write as _;
use std::fs;

use serde_json::{Map, Value};
use support::made::checkout;

const PAGE: &str = "docs/ansible.md";
const MODULES: [&str; 8] = [
    "drbd_storage_pool",
    "drbd_ports",
    "drbd_resource",
    "drbd_wait",
    "drbd_initial_sync",
    "drbd_role",
    "drbd_verify",
    "drbd_info",
];

#[test]
fn the_page_is_current() {
    let path = checkout().join(PAGE);
    let page = fs::read_to_string(&path).unwrap();
    let mut current = page.clone();
    for file in ["install.yml", "site.yml", "inventory.yml", "group_vars/drbd.yml"] {
        let text = fs::read_to_string(checkout().join("examples-ansible/two-hosts").join(file)).unwrap();
        current = with_part(&current, file, &format!("```yaml\n{text}```\n"));
    }
    current = with_part(&current, "options", &options());
    current = with_part(&current, "drbd options", &drbd_options());
    current = with_part(&current, "return values", &table(&Schema::of("reply"), &Schema::of("reply").0));
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &current).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap();
    assert!(
        found == current,
        "{PAGE} is not current; run: UPDATE=1 cargo test -p system-tests --test ansible_docs"
    );
}

#[test]
fn the_first_playbook_is_a_first_reading() {
    let text = fs::read_to_string(checkout().join("examples-ansible/two-hosts/site.yml")).unwrap();
    assert!(text.lines().count() <= 40, "{} lines", text.lines().count());
}

#[track_caller]
fn with_part(page: &str, name: &str, text: &str) -> String {
    let (begin, end) = (format!("<!-- begin {name} -->\n"), format!("<!-- end {name} -->"));
    let (before, rest) = page.split_once(&begin).unwrap_or_else(|| panic!("{PAGE} has no {begin:?}"));
    let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("{PAGE} has no {end:?}"));
    format!("{before}{begin}{text}{end}{after}")
}

/// A JSON Schema file.
struct Schema(Value);

impl Schema {
    fn of(name: &str) -> Self {
        let path = checkout().join(format!("schemas/json/{name}.schema.json"));
        Self(serde_json::from_slice(&fs::read(path).unwrap()).unwrap())
    }

    /// The schema behind a reference, or the one alternative that is not null.
    fn resolve<'a>(&'a self, schema: &'a Value) -> &'a Value {
        if let Some(reference) = schema["$ref"].as_str() {
            return self.0.pointer(reference.trim_start_matches('#')).unwrap();
        }
        let alternatives = schema["anyOf"].as_array();
        alternatives.map_or(schema, |all| self.resolve(all.iter().find(|one| one["type"] != "null").unwrap()))
    }
}

/// The sections of DRBD's options: long, the same in three places, and in a table of their own.
const SECTIONS: [&str; 3] = ["options", "net", "disk"];

fn options() -> String {
    let mut text = String::new();
    for module in MODULES {
        let schema = Schema::of(module);
        let _ = write!(text, "### {module}\n\n");
        if module == "drbd_initial_sync" {
            text.push_str("The declaration, as `drbd_resource` takes it, and:\n\n");
            let own = ["evidence", "source", "lock_timeout"];
            text.push_str(&table_of(&schema, &schema.0, |name| own.contains(&name)));
        } else {
            text.push_str(&table(&schema, &schema.0));
        }
        text.push('\n');
        if module == "drbd_resource" {
            for (title, name) in [
                ("Each of `nodes`, by name", "Node"),
                ("Each of `volumes`, by number", "Volume"),
                ("Each of `connections`", "Connection"),
            ] {
                let _ = write!(text, "{title}:\n\n{}\n", table(&schema, &schema.0["$defs"][name]));
            }
            let _ = write!(text, "`storage` is exactly one of:\n\n{}\n", storage(&schema));
        }
    }
    text
}

fn storage(schema: &Schema) -> String {
    let mut text = "| storage | what it is |\n|--|--|\n".to_owned();
    for variant in schema.0["$defs"]["Storage"]["oneOf"].as_array().unwrap() {
        let (name, inner) = variant["properties"].as_object().unwrap().iter().next().unwrap();
        let inner = schema.resolve(inner);
        let members: Vec<String> = match (inner["properties"].as_object(), inner.get("propertyNames")) {
            (Some(properties), _) => properties.keys().map(|key| format!("{key}: ...")).collect(),
            (None, Some(_)) => vec!["0: /dev/disk/by-id/...".to_owned()],
            (None, None) => Vec::new(),
        };
        let shape =
            if members.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", members.join(", ")) };
        let _ = writeln!(text, "| `{name}: {shape}` | {} |", sentence(&variant["description"]));
    }
    text
}

fn drbd_options() -> String {
    let schema = Schema::of("drbd_resource");
    let mut text = String::new();
    for section in SECTIONS {
        let _ = write!(text, "`{section}`:\n\n| option | meaning |\n|--|--|\n");
        for (name, option) in schema.0["properties"][section]["properties"].as_object().unwrap() {
            let _ = writeln!(text, "| `{name}` | {} |", sentence(&option["description"]));
        }
        text.push('\n');
    }
    text
}

fn table(schema: &Schema, of: &Value) -> String {
    table_of(schema, of, |_| true)
}

fn table_of(schema: &Schema, of: &Value, wanted: impl Fn(&str) -> bool) -> String {
    let empty = Map::new();
    let properties = of["properties"].as_object().unwrap_or(&empty);
    let required: Vec<&str> =
        of["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut text = "| name | type | | meaning |\n|--|--|--|--|\n".to_owned();
    for (name, property) in properties.iter().filter(|(name, _)| wanted(name)) {
        let resolved = schema.resolve(property);
        let described = if property["description"].is_null() { resolved } else { property };
        let need = match (&property["default"], required.contains(&name.as_str())) {
            (_, true) => "required".to_owned(),
            (Value::Null | Value::Array(_) | Value::Object(_), false) => String::new(),
            (default, false) => format!("default {}", default.to_string().trim_matches('"')),
        };
        let _ = writeln!(
            text,
            "| `{name}` | {} | {need} | {} |",
            kind(schema, resolved),
            sentence(&described["description"])
        );
    }
    text
}

/// A type in a word or two: Ansible's words.
fn kind(schema: &Schema, of: &Value) -> String {
    if let Some(choices) = of["oneOf"].as_array() {
        let words: Vec<String> =
            choices.iter().filter_map(|one| one["const"].as_str()).map(|w| format!("`{w}`")).collect();
        return if words.is_empty() { "dict".to_owned() } else { words.join(", ") };
    }
    let name = match &of["type"] {
        Value::Array(types) => {
            types.iter().filter_map(Value::as_str).find(|name| *name != "null").unwrap_or("any")
        }
        other => other.as_str().unwrap_or("any"),
    };
    match name {
        "object" => "dict".to_owned(),
        "array" => format!("list of {}", kind(schema, schema.resolve(&of["items"]))),
        "string" => "str".to_owned(),
        "integer" => "int".to_owned(),
        "boolean" => "bool".to_owned(),
        "number" => "float".to_owned(),
        _ => "any".to_owned(),
    }
}

/// A description on one line, safe in a table.
fn sentence(description: &Value) -> String {
    // The one link to a constant of the code.
    let text = description.as_str().unwrap_or_default().replace("[`SCHEMA`]", "Version of this document.");
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}
