// SPDX-License-Identifier: MPL-2.0
//! The block syntax of `drbd.conf`: sections, statements, quoted strings, comments. Read from `.res` files and
//! from `drbdsetup show`, which prints the same syntax. Not here: which sections and statements exist.

use std::iter::Peekable;
use std::str::Chars;

use crate::tools::error::quote;
use crate::tools::mask::{MASK, SECRET_OPTION};

/// Deeper nesting than any configuration has (DRBD's deepest is 5); guards the reader against hostile text.
const MAX_DEPTH: usize = 32;

/// Something between braces, or at the top of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// `word word ... ;`
    Statement(Statement),
    /// `word word ... { ... }`
    Section(Section),
}

/// One statement, without its semicolon.
#[derive(Clone, PartialEq, Eq)]
pub struct Statement {
    /// Its words; at least one.
    pub words: Vec<Word>,
    /// Line of its first word, from 1.
    pub line: usize,
}

/// One section with its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// The words before the brace; at least one, e.g. `on`, `host-a`.
    pub words: Vec<Word>,
    /// What is between the braces.
    pub items: Vec<Item>,
    /// Line of its first word, from 1.
    pub line: usize,
}

/// One word, unescaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// The text without quotes.
    pub text: String,
    /// Whether it stood in quotes; a quoted `internal` is a device, not the keyword.
    pub quoted: bool,
}

/// The text is not in this syntax.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: expected {expected}, found {found}")]
pub struct ConfTextError {
    /// Line, from 1.
    pub line: usize,
    /// What should have come.
    pub expected: &'static str,
    /// What came instead; shortened, secrets masked.
    pub found: String,
}

impl Statement {
    /// The first word.
    pub fn keyword(&self) -> &str {
        first(&self.words)
    }

    /// The words after the first.
    pub fn values(&self) -> &[Word] {
        self.words.get(1..).unwrap_or_default()
    }

    /// The values with one blank between them; a secret is masked.
    pub fn value_text(&self) -> String {
        let text = self.values().iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
        // The default is an empty secret, which hides nothing and says that none is set.
        if self.keyword() == SECRET_OPTION && !text.is_empty() { MASK.to_owned() } else { text }
    }
}

impl std::fmt::Debug for Statement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} {}", self.line, self.keyword(), self.value_text())
    }
}

impl Section {
    /// The first word, e.g. `resource`.
    pub fn keyword(&self) -> &str {
        first(&self.words)
    }

    /// The second word, e.g. the resource's name.
    pub fn name(&self) -> Option<&str> {
        self.words.get(1).map(|word| word.text.as_str())
    }

    /// The statements directly in this section.
    pub fn statements(&self) -> impl Iterator<Item = &Statement> {
        self.items.iter().filter_map(|item| match item {
            Item::Statement(statement) => Some(statement),
            Item::Section(_) => None,
        })
    }

    /// The sections directly in this section.
    pub fn sections(&self) -> impl Iterator<Item = &Section> {
        self.items.iter().filter_map(|item| match item {
            Item::Section(section) => Some(section),
            Item::Statement(_) => None,
        })
    }

    /// The first statement with this keyword.
    pub fn statement(&self, keyword: &str) -> Option<&Statement> {
        self.statements().find(|statement| statement.keyword() == keyword)
    }

    /// The first section with this keyword.
    pub fn section(&self, keyword: &str) -> Option<&Section> {
        self.sections().find(|section| section.keyword() == keyword)
    }
}

fn first(words: &[Word]) -> &str {
    words.first().map_or("", |word| word.text.as_str())
}

/// Reads a whole text. `include` statements come out as statements; nothing is read from elsewhere.
///
/// # Errors
///
/// [`ConfTextError`] on an unbalanced brace, a statement without its semicolon, or a quote that does not end on
/// its line.
pub fn parse(text: &str) -> Result<Vec<Item>, ConfTextError> {
    let mut open: Vec<Section> = Vec::new();
    let mut top: Vec<Item> = Vec::new();
    let mut words: Vec<Word> = Vec::new();
    let mut words_line = 1;
    let mut tokens = Tokens { chars: text.chars().peekable(), line: 1 };
    while let Some(token) = tokens.next_token()? {
        let line = tokens.line;
        match token {
            Token::Word(word) => {
                if words.is_empty() {
                    words_line = line;
                }
                words.push(word);
            }
            // What `drbdadm` does not read need not be in the syntax.
            Token::Open if open.is_empty() && first(&words) == "skip" => {
                words.clear();
                tokens.skip_section()?;
            }
            Token::Open => {
                if words.is_empty() || open.len() >= MAX_DEPTH {
                    return Err(error(line, "the name of a section", "`{`"));
                }
                open.push(Section { words: std::mem::take(&mut words), items: Vec::new(), line: words_line });
            }
            Token::Semicolon => {
                // Some files have a stray semicolon after a closing brace; DRBD's parser refuses most of those.
                if words.is_empty() {
                    return Err(error(line, "a statement", "`;`"));
                }
                let statement = Statement { words: std::mem::take(&mut words), line: words_line };
                open.last_mut()
                    .map_or(&mut top, |section| &mut section.items)
                    .push(Item::Statement(statement));
            }
            Token::Close => {
                if !words.is_empty() {
                    return Err(error(line, "`;` or `{`", "`}`"));
                }
                let Some(closed) = open.pop() else {
                    return Err(error(line, "a section or statement", "`}`"));
                };
                open.last_mut().map_or(&mut top, |section| &mut section.items).push(Item::Section(closed));
            }
        }
    }
    if !words.is_empty() || !open.is_empty() {
        let expected = if words.is_empty() { "`}`" } else { "`;` or `{`" };
        return Err(error(tokens.line, expected, "the end of the text"));
    }
    Ok(top)
}

fn error(line: usize, expected: &'static str, found: &str) -> ConfTextError {
    ConfTextError { line, expected, found: quote(found) }
}

enum Token {
    Word(Word),
    Open,
    Close,
    Semicolon,
}

struct Tokens<'a> {
    chars: Peekable<Chars<'a>>,
    line: usize,
}

impl Tokens<'_> {
    fn next_token(&mut self) -> Result<Option<Token>, ConfTextError> {
        self.skip_blank();
        let Some(c) = self.chars.next() else { return Ok(None) };
        Ok(Some(match c {
            '{' => Token::Open,
            '}' => Token::Close,
            ';' => Token::Semicolon,
            '"' => Token::Word(Word { text: self.quoted()?, quoted: true }),
            other => Token::Word(Word { text: self.bare(other), quoted: false }),
        }))
    }

    fn skip_blank(&mut self) {
        while let Some(&c) = self.chars.peek() {
            if c == '#' {
                while self.chars.peek().is_some_and(|c| *c != '\n') {
                    self.chars.next();
                }
            } else if c.is_whitespace() {
                self.line += usize::from(c == '\n');
                self.chars.next();
            } else {
                return;
            }
        }
    }

    /// Everything up to the brace that closes an open one.
    fn skip_section(&mut self) -> Result<(), ConfTextError> {
        let mut depth = 1_usize;
        while depth > 0 {
            match self.next_token()? {
                Some(Token::Open) => depth += 1,
                Some(Token::Close) => depth -= 1,
                Some(Token::Word(_) | Token::Semicolon) => {}
                None => return Err(error(self.line, "`}`", "the end of the text")),
            }
        }
        Ok(())
    }

    /// The rest of a quoted word; a backslash takes the next character as it is.
    fn quoted(&mut self) -> Result<String, ConfTextError> {
        let mut text = String::new();
        while let Some(c) = self.chars.next() {
            match c {
                '"' => return Ok(text),
                '\n' => break,
                '\\' => text.extend(self.chars.next_if(|c| *c != '\n')),
                other => text.push(other),
            }
        }
        // The text is not quoted in the error: it may be a secret.
        Err(error(self.line, "a closing quote on the same line", "the end of the line"))
    }

    fn bare(&mut self, first: char) -> String {
        let mut text = String::from(first);
        while let Some(c) =
            self.chars.next_if(|c| !c.is_whitespace() && !matches!(c, '{' | '}' | ';' | '#' | '"'))
        {
            text.push(c);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn only_section(text: &str) -> Section {
        match parse(text).unwrap().remove(0) {
            Item::Section(section) => section,
            Item::Statement(statement) => panic!("a statement: {statement:?}"),
        }
    }

    #[test]
    fn sections_statements_quotes_and_comments_are_read() {
        let text = "# a comment { ;\nresource \"r 0\" {\n  on h1 { address ipv4 192.0.2.1:7788; # own\n  }\n  net { shared-secret \"a\\\"}b\"; } }";
        let section = only_section(text);
        assert_eq!((section.keyword(), section.name(), section.line), ("resource", Some("r 0"), 2));
        let on = section.section("on").unwrap();
        assert_eq!(on.statement("address").unwrap().value_text(), "ipv4 192.0.2.1:7788");
        let secret = section.section("net").unwrap().statement("shared-secret").unwrap();
        assert_eq!(secret.values()[0].text, "a\"}b");
        assert_eq!(secret.value_text(), MASK);
        assert!(!format!("{section:?}").contains("a\\\"}b\", quoted: true }]"), "{section:?}");
        assert_eq!(format!("{secret:?}"), format!("5: shared-secret {MASK}"));
    }

    #[test]
    fn what_drbdadm_skips_says_nothing() {
        let items = parse("skip resource r0 { on h1 { what ever } }\nskip { \"}\" }\nglobal { }").unwrap();
        assert_eq!(items.len(), 1, "{items:?}");
        assert!(parse("skip {").is_err());
    }

    #[test]
    fn errors_name_the_line_and_what_was_expected() {
        for (text, line, expected) in [
            ("resource r0 {\n  net { }\n", 3, "`}`"),
            ("resource r0 {\n  protocol C\n}", 3, "`;` or `{`"),
            ("}", 1, "a section or statement"),
            ("{ }", 1, "the name of a section"),
            ("a { ; }", 1, "a statement"),
            ("\n\nx \"abc\ny\";", 3, "a closing quote on the same line"),
            ("x", 1, "`;` or `{`"),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!((error.line, error.expected), (line, expected), "{text}");
        }
        assert!(parse(&"a {".repeat(5000)).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_read(text in any::<String>()) {
            let _ = parse(&text);
        }

        #[test]
        fn any_mix_of_its_own_signs_is_refused_or_read(text in "[a-c{};\"#\\\\ \n]{0,60}") {
            let _ = parse(&text);
        }

        #[test]
        fn words_survive(words in proptest::collection::vec("[a-zA-Z0-9/:.-]{1,12}", 1..6)) {
            let items = parse(&format!("{};", words.join("\t"))).unwrap();
            let Item::Statement(statement) = &items[0] else { panic!("a section") };
            prop_assert_eq!(statement.words.iter().map(|w| w.text.clone()).collect::<Vec<_>>(), words);
        }
    }
}
