// SPDX-License-Identifier: MPL-2.0
//! Values as words in a line, `port=2222 bastion.host=203.0.113.7`, and back by the type that a schema gives them. A new
//! attribute of that schema is carried without a word here. Pure.

use std::fmt::Write as _;

use tfplugin::{Number, SmolStr, Type, Value};

/// What separates words, and their parts, and so is written as `%20` and the like inside of them.
const RESERVED: [char; 4] = [' ', '%', ';', '='];

/// The words of a known value. Null is no word; a list or set repeats its name.
pub(crate) fn write(name: &str, value: &Value) -> Vec<String> {
    let mut words = Vec::new();
    collect(name, value, &mut words);
    words
}

fn collect(name: &str, value: &Value, words: &mut Vec<String>) {
    let mut word = |text: &str| words.push(format!("{name}={}", escaped(text, false)));
    match value {
        Value::String(text) => word(text),
        Value::Number(number) => word(&number.to_string()),
        Value::Bool(truth) => word(&truth.to_string()),
        Value::List(elements) => elements.iter().for_each(|element| collect(name, element, words)),
        // The same set is the same words, in whatever order it came.
        Value::Set(elements) => {
            let mut elements: Vec<&Value> = elements.iter().collect();
            elements.sort();
            elements.into_iter().for_each(|element| collect(name, element, words));
        }
        Value::Map(members) | Value::Object(members) => {
            for (member, value) in members {
                let member = escaped(member, true);
                let name = if name.is_empty() { member } else { format!("{name}.{member}") };
                collect(&name, value, words);
            }
        }
        Value::Null | Value::Unknown(_) | Value::Dynamic(_) => {}
    }
}

/// A text that can be a word.
pub(crate) fn escaped(text: &str, is_name: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if RESERVED.contains(&c) || c.is_ascii_control() || (is_name && c == '.') {
            // Writing into a String does not fail.
            let _ = write!(out, "%{:02X}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

/// The text of a word.
pub(crate) fn unescaped(word: &str) -> String {
    let mut parts = word.split('%');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part.get(..2).and_then(|digits| u32::from_str_radix(digits, 16).ok());
        match code.and_then(char::from_u32) {
            Some(c) => {
                out.push(c);
                out.push_str(part.get(2..).unwrap_or_default());
            }
            None => {
                out.push('%');
                out.push_str(part);
            }
        }
    }
    out
}

/// The value of these words by its type. Names that the type does not have are left out: a newer version may write more.
pub(crate) fn read<'w>(ty: &Type, words: impl Iterator<Item = &'w str>) -> Value {
    let mut value = Value::Null;
    for (name, text) in words.filter_map(|word| word.split_once('=')) {
        let names: Vec<&str> = name.split('.').collect();
        put(ty, &mut value, &names, &unescaped(text));
    }
    value
}

fn put(ty: &Type, value: &mut Value, names: &[&str], text: &str) {
    match (ty, names) {
        (Type::Object(types), [name, rest @ ..]) => {
            let Some((name, ty)) = types.get_key_value(unescaped(name).as_str()) else { return };
            if value.is_null() {
                *value = Value::object(types.keys().map(|name| (name.clone(), Value::Null)));
            }
            below(value, name.clone(), ty, rest, text);
        }
        (Type::Map(of), [name, rest @ ..]) => {
            if value.is_null() {
                *value = Value::map(Vec::<(SmolStr, Value)>::new());
            }
            below(value, unescaped(name).into(), of, rest, text);
        }
        (Type::List(of) | Type::Set(of), []) => {
            let mut element = Value::Null;
            put(of, &mut element, &[], text);
            let mut elements = value.elements().unwrap_or_default().to_vec();
            elements.push(element);
            *value = if matches!(ty, Type::Set(_)) { Value::set_of(elements) } else { Value::List(elements) };
        }
        (Type::String, []) => *value = text.into(),
        (Type::Number, []) => *value = text.parse::<Number>().map_or(Value::Null, Value::from),
        (Type::Bool, []) => *value = Value::Bool(text == "true"),
        _ => {}
    }
}

fn below(value: &mut Value, name: SmolStr, ty: &Type, rest: &[&str], text: &str) {
    let (Value::Object(members) | Value::Map(members)) = value else { return };
    put(ty, members.entry(name).or_insert(Value::Null), rest, text);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ty() -> Type {
        Type::object([
            ("host", Type::String),
            ("port", Type::Number),
            ("keys", Type::set(Type::String)),
            ("labels", Type::map(Type::String)),
            ("bastion", Type::object([("host", Type::String), ("port", Type::Number)])),
        ])
    }

    #[test]
    fn what_is_written_is_words() {
        let value = Value::object([
            ("host", Value::from("a b")),
            ("port", Value::from(22_u16)),
            ("labels", Value::map([("x.y", "1=2;3")])),
            ("bastion", Value::object([("host", Value::from("j")), ("port", Value::Null)])),
        ]);
        let words = write("", &value);
        assert_eq!(words, ["bastion.host=j", "host=a%20b", "labels.x%2Ey=1%3D2%3B3", "port=22"]);
    }

    #[test]
    fn what_this_version_does_not_know_is_left_out() {
        let value = read(&ty(), ["host=a", "newer=1", "bastion.newer=2", "nothing"].into_iter());
        assert_eq!(value.get("host").as_str(), Some("a"));
        assert!(value.get("newer").is_null() && value.get("port").is_null());
    }

    #[test]
    fn every_text_comes_back() {
        let odd = [
            "",
            " ",
            "a b",
            "%",
            "%20",
            "100%",
            "%zz",
            "a;b",
            "a=b",
            "a.b",
            "é%",
            "\"\\",
            "\u{1}\n\t",
            "日本 語",
        ];
        for text in odd {
            let value = Value::object([
                ("host", Value::from(text)),
                ("port", Value::from(65_535_u16)),
                ("keys", Value::set_of([text, "ssh-ed25519 AAAA comment"])),
                ("labels", Value::map([(text, text), ("x", text)])),
                ("bastion", Value::object([("host", Value::from(text)), ("port", Value::Null)])),
            ]);
            let line = write("", &value).join(" ");
            assert!(!line.contains([';', '\n']), "{line}");
            assert_eq!(read(&ty(), line.split(' ')), value, "{line}");
        }
    }

    #[test]
    fn any_text_is_read_without_a_panic() {
        for line in [
            "",
            "=",
            "%=%",
            ".=.",
            "keys.x=1",
            "host.x=1",
            "port=x",
            "labels=1",
            "é=é%é%1",
            "bastion=1",
            "%F",
        ] {
            let value = read(&ty(), line.split(' '));
            assert!(value.get("port").is_null(), "{line}");
        }
    }
}
