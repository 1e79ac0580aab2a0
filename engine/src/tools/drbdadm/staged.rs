// SPDX-License-Identifier: MPL-2.0
//! A top configuration file that reads the host's files with one of them exchanged for its successor, so that a
//! new file can be tested and its `adjust` be seen beside all others before it is put in place. Not here: reading
//! and writing files.
//!
//! Why not `drbdadm --config-to-test NEW --config-to-exclude OLD`: drbdadm of DRBD 8.4 does not know the second
//! option, the first is allowed with `sh-nop` and `dump` only, and with 8.4 it counts lines wrongly.

use crate::tools::conf_text::{self, ConfTextError, Item, Word};
use crate::tools::glob;

/// Why no staged configuration can be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StagedConfigError {
    /// The top file itself cannot be read.
    #[error("{file}: {reason}")]
    TopFile {
        /// Its path.
        file: String,
        /// Why.
        reason: ConfTextError,
    },
    /// The top file includes no file of that name, so drbdadm would never see it.
    #[error(
        "{top} includes no file that {path} would be; expected a line such as `include \"drbd.d/*.res\";`"
    )]
    NotIncluded {
        /// The top file.
        top: String,
        /// The final path of the new file.
        path: String,
    },
}

/// The absolute patterns of the `include` statements in the top file `top` (`/etc/drbd.conf`), for listing the
/// folders that they name.
///
/// # Errors
///
/// [`StagedConfigError::TopFile`] when `text` is not in DRBD's syntax.
pub fn include_patterns(top: &str, text: &str) -> Result<Vec<String>, StagedConfigError> {
    Ok(items(top, text)?.iter().filter_map(|item| include(top, item)).collect())
}

/// The text of a top file that reads what `top` with the content `text` reads, with `staged` in the place of
/// `path`; `path` itself need not exist yet.
///
/// `files` are the absolute paths of all files in the folders that [`include_patterns`] names. Everything in the
/// top file that is no `include` is kept, secrets included: write the text with mode 0600.
///
/// # Errors
///
/// [`StagedConfigError::TopFile`], and [`StagedConfigError::NotIncluded`] when no pattern matches `path`.
pub fn staged_config(
    top: &str,
    text: &str,
    files: &[String],
    path: &str,
    staged: &str,
) -> Result<String, StagedConfigError> {
    let mut out = String::new();
    let mut included = false;
    for item in &items(top, text)? {
        let Some(pattern) = include(top, item) else {
            print(item, 0, &mut out);
            continue;
        };
        let mut found: Vec<&String> = files
            .iter()
            .filter(|file| *file != path && *file != staged && glob::matches(&pattern, file))
            .collect();
        found.sort();
        for file in found {
            out.push_str(&format!("include {};\n", quoted(file)));
        }
        if !included && glob::matches(&pattern, path) {
            included = true;
            out.push_str(&format!("include {};\n", quoted(staged)));
        }
    }
    if !included {
        return Err(StagedConfigError::NotIncluded { top: top.to_owned(), path: path.to_owned() });
    }
    Ok(out)
}

fn items(top: &str, text: &str) -> Result<Vec<Item>, StagedConfigError> {
    conf_text::parse(text).map_err(|reason| StagedConfigError::TopFile { file: top.to_owned(), reason })
}

/// The absolute pattern of an `include` statement; a relative one is relative to the folder of the top file.
fn include(top: &str, item: &Item) -> Option<String> {
    let Item::Statement(statement) = item else { return None };
    let [pattern] = statement.values() else { return None };
    if statement.keyword() != "include" {
        return None;
    }
    if pattern.text.starts_with('/') {
        return Some(pattern.text.clone());
    }
    let folder = top.rsplit_once('/').map_or("", |(folder, _)| folder);
    Some(format!("{folder}/{}", pattern.text))
}

fn print(item: &Item, depth: usize, out: &mut String) {
    let indent = "    ".repeat(depth);
    match item {
        Item::Statement(statement) => out.push_str(&format!("{indent}{};\n", words(&statement.words))),
        Item::Section(section) => {
            out.push_str(&format!("{indent}{} {{\n", words(&section.words)));
            for item in &section.items {
                print(item, depth + 1, out);
            }
            out.push_str(&format!("{indent}}}\n"));
        }
    }
}

fn words(words: &[Word]) -> String {
    let texts = words.iter().map(|word| if word.quoted { quoted(&word.text) } else { word.text.clone() });
    texts.collect::<Vec<_>>().join(" ")
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TOP: &str = "# comment\ninclude \"drbd.d/global_common.conf\";\ninclude \"drbd.d/*.res\";\n";

    fn files() -> Vec<String> {
        ["global_common.conf", "r1.res", "r0.res", ".r9.res.new", "r9.res", "old.res.bak"]
            .map(|name| format!("/etc/drbd.d/{name}"))
            .to_vec()
    }

    #[test]
    fn the_successor_stands_in_for_the_file_and_nothing_else_changes() {
        let text =
            staged_config("/etc/drbd.conf", TOP, &files(), "/etc/drbd.d/r9.res", "/etc/drbd.d/.r9.res.new")
                .unwrap();
        assert_eq!(
            text,
            "include \"/etc/drbd.d/global_common.conf\";\ninclude \"/etc/drbd.d/r0.res\";\ninclude \"/etc/drbd.d/r1.res\";\ninclude \"/etc/drbd.d/.r9.res.new\";\n"
        );
    }

    #[test]
    fn sections_in_the_top_file_are_kept_with_their_quotes() {
        let top =
            "global { usage-count no; }\nresource r1 { disk \"/dev/a b\"; }\ninclude \"/etc/drbd.d/*.res\";";
        let text = staged_config("/etc/drbd.conf", top, &[], "/etc/drbd.d/r9.res", "/run/new").unwrap();
        assert_eq!(
            text,
            "global {\n    usage-count no;\n}\nresource r1 {\n    disk \"/dev/a b\";\n}\ninclude \"/run/new\";\n"
        );
    }

    #[test]
    fn a_file_that_nothing_includes_is_an_error() {
        let error = staged_config("/etc/drbd.conf", TOP, &files(), "/etc/r9.res", "/run/new").unwrap_err();
        assert!(
            error.to_string().contains("/etc/drbd.conf includes no file that /etc/r9.res would be"),
            "{error}"
        );
        assert_eq!(
            include_patterns("/etc/drbd.conf", TOP).unwrap(),
            ["/etc/drbd.d/global_common.conf", "/etc/drbd.d/*.res"]
        );
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_staged(text in any::<String>()) {
            let _ = staged_config("/etc/drbd.conf", &text, &files(), "/etc/drbd.d/r9.res", "/run/new");
        }
    }
}
