// SPDX-License-Identifier: MPL-2.0
//! Writes the small part of YAML that module documentation needs: mappings in a given order, lists, plain and quoted
//! words, folded text.
//!
//! Not here: reading YAML.

/// A YAML value.
#[derive(Clone, Debug)]
pub(crate) enum Yaml {
    /// A word or a short text, quoted where YAML would read something else.
    Text(String),
    /// A number or a boolean, as it is.
    Bare(String),
    /// A sentence or more, folded to the width of a page.
    Prose(String),
    /// Text that keeps its lines.
    Lines(String),
    List(Vec<Yaml>),
    Map(Vec<(String, Yaml)>),
}

const WIDTH: usize = 118;

/// Words that YAML 1.1 takes for something else than text.
const TAKEN: [&str; 12] = ["", "~", "null", "true", "false", "yes", "no", "on", "off", "y", "n", "-"];

impl Yaml {
    /// A word or a short text.
    pub(crate) fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    /// A list of short texts.
    pub(crate) fn texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        Self::List(texts.into_iter().map(Self::text).collect())
    }

    /// A list of paragraphs.
    pub(crate) fn paragraphs<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        Self::List(texts.into_iter().map(|text| Self::Prose(text.to_owned())).collect())
    }

    /// A mapping.
    pub(crate) fn map<'a>(members: impl IntoIterator<Item = (&'a str, Self)>) -> Self {
        Self::Map(members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }

    /// The document.
    pub(crate) fn document(&self) -> String {
        let mut out = String::from("---\n");
        self.write(&mut out, 0);
        out
    }

    /// Writes the value as lines that begin at `indent`.
    fn write(&self, out: &mut String, indent: usize) {
        let space = " ".repeat(indent);
        match self {
            Self::Map(members) => {
                for (key, value) in members {
                    out.push_str(&format!("{space}{}:", plain_or_quoted(key)));
                    value.write_after(out, indent + 2);
                }
            }
            Self::List(items) => {
                for item in items {
                    let begin = out.len();
                    item.write_item(out, indent);
                    // The dash stands in the place of an item's own indentation.
                    out.replace_range(begin + indent..=begin + indent, "-");
                }
            }
            Self::Text(_) | Self::Bare(_) | Self::Prose(_) | Self::Lines(_) => {
                out.push_str(&space);
                self.write_after(out, indent + 2);
            }
        }
    }

    /// Writes the value as an item of a list, with a blank where the dash belongs.
    fn write_item(&self, out: &mut String, indent: usize) {
        match self {
            Self::Map(members) if !members.is_empty() => self.write(out, indent + 2),
            _ => {
                out.push_str(&" ".repeat(indent + 1));
                self.write_after(out, indent + 2);
            }
        }
    }

    /// Writes the value behind a key or a dash.
    fn write_after(&self, out: &mut String, indent: usize) {
        match self {
            Self::Text(text) => out.push_str(&format!(" {}\n", plain_or_quoted(text))),
            Self::Bare(text) => out.push_str(&format!(" {text}\n")),
            Self::Prose(text) if is_plain_sentence(text) && indent + text.chars().count() <= WIDTH => {
                out.push_str(&format!(" {text}\n"));
            }
            Self::Prose(text) => {
                out.push_str(" >-\n");
                fold(out, text, indent);
            }
            Self::Lines(text) => {
                out.push_str(" |\n");
                for line in text.lines() {
                    let line = format!("{}{line}", " ".repeat(indent));
                    out.push_str(line.trim_end());
                    out.push('\n');
                }
            }
            Self::List(items) if items.is_empty() => out.push_str(" []\n"),
            Self::Map(members) if members.is_empty() => out.push_str(" {}\n"),
            Self::List(_) | Self::Map(_) => {
                out.push('\n');
                self.write(out, indent);
            }
        }
    }
}

fn fold(out: &mut String, text: &str, indent: usize) {
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && indent + line.chars().count() + 1 + word.chars().count() > WIDTH {
            out.push_str(&format!("{}{line}\n", " ".repeat(indent)));
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    out.push_str(&format!("{}{line}\n", " ".repeat(indent)));
}

/// Whether YAML reads a sentence as it is, without quotes.
fn is_plain_sentence(text: &str) -> bool {
    let begins = text.starts_with(|c: char| c.is_ascii_uppercase()) && text.contains(' ');
    begins && !text.contains(": ") && !text.contains(" #") && !text.ends_with(':')
}

fn plain_or_quoted(text: &str) -> String {
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "_-<>/ ".contains(c))
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '<')
        && !text.ends_with(' ')
        && !TAKEN.contains(&text.to_ascii_lowercase().as_str());
    if plain { text.to_owned() } else { format!("{text:?}") }
}

#[test]
fn what_yaml_would_misread_is_quoted() {
    for (text, written) in
        [("present", "present"), ("no", "\"no\""), ("9", "\"9\""), ("8.4", "\"8.4\""), ("a: b", "\"a: b\"")]
    {
        assert_eq!(plain_or_quoted(text), written);
    }
}

#[test]
fn a_document_keeps_its_order_and_folds_prose() {
    let prose = "word ".repeat(40);
    let document = Yaml::map([
        ("z", Yaml::texts(["b", "a"])),
        ("a", Yaml::Prose(prose)),
        ("m", Yaml::List(vec![Yaml::map([("one", Yaml::text("1")), ("two", Yaml::text("2"))])])),
        ("p", Yaml::paragraphs(["A word.", "Two: words."])),
        ("l", Yaml::Lines("- x:\n\n    y".to_owned())),
    ]);
    let text = document.document();
    assert!(text.starts_with("---\nz:\n  - b\n  - a\na: >-\n  word word"), "{text}");
    assert!(
        text.contains("\nm:\n  - one: \"1\"\n    two: \"2\"\np:\n  - A word.\n  - >-\n    Two: words.\n"),
        "{text}"
    );
    assert!(text.ends_with("\nl: |\n  - x:\n\n      y\n"), "{text}");
    assert!(text.lines().all(|line| line.len() <= WIDTH && !line.ends_with(' ')), "{text}");
}
