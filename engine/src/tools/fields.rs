// SPDX-License-Identifier: MPL-2.0
//! Reads `key:value` and `key=value` lines: find a key, or say which one is missing, and turn its value into a
//! number. Not here: what the keys mean.

use std::str::FromStr;

use crate::tools::error::ToolError;

/// The fields of one line, with what is needed to speak about them in an error.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'a> {
    tool: &'static str,
    what: &'static str,
    line: &'a str,
    pairs: Vec<(&'a str, &'a str)>,
}

impl<'a> Fields<'a> {
    /// The words of `text` that hold `separator`, split at its first occurrence; other words are skipped.
    pub(crate) fn of_words(
        tool: &'static str,
        what: &'static str,
        line: &'a str,
        text: &'a str,
        separator: char,
    ) -> Self {
        let pairs = text.split_whitespace().filter_map(|word| word.split_once(separator)).collect();
        Self { tool, what, line, pairs }
    }

    /// The value of `key`, if it is there.
    pub(crate) fn get(&self, key: &str) -> Option<&'a str> {
        self.pairs.iter().find(|(name, _)| *name == key).map(|(_, value)| *value)
    }

    /// The value of `key`, or an error that names the key.
    pub(crate) fn need(&self, key: &str) -> Result<&'a str, ToolError> {
        self.get(key).ok_or_else(|| ToolError::missing(self.tool, self.what, key, self.line))
    }

    /// The value of `key` as a number, or an error that names key and value.
    pub(crate) fn number<T: FromStr>(&self, key: &str) -> Result<T, ToolError> {
        self.parse(self.need(key)?)
    }

    /// The value of `key` as a number where the key may be absent.
    pub(crate) fn number_if_any<T: FromStr>(&self, key: &str) -> Result<Option<T>, ToolError> {
        self.get(key).map(|value| self.parse(value)).transpose()
    }

    /// The value of `key` as `yes` or `no`, where the key may be absent.
    pub(crate) fn yes_no_if_any(&self, key: &str) -> Result<Option<bool>, ToolError> {
        match self.get(key) {
            None => Ok(None),
            Some("yes") => Ok(Some(true)),
            Some("no") => Ok(Some(false)),
            Some(other) => Err(ToolError::bad(self.tool, self.what, other, "`yes` or `no`", self.line)),
        }
    }

    fn parse<T: FromStr>(&self, value: &str) -> Result<T, ToolError> {
        value.parse().map_err(|_| ToolError::bad(self.tool, self.what, value, "a number", self.line))
    }
}
