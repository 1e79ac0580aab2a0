// SPDX-License-Identifier: MPL-2.0
//! Which files `drbdadm` reads: the top file, and what it includes, each once.

use crate::tools::conf_text::{self, ConfTextError, Item, Section};
use crate::tools::glob;
use std::collections::{BTreeMap, BTreeSet};

/// The top file.
pub(crate) const TOP: &str = "/etc/drbd.conf";
/// Where resources are, whatever the top file includes.
pub(crate) const FOLDER: &str = "/etc/drbd.d";

/// One file, read.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its path.
    pub path: String,
    /// Its text.
    pub text: String,
    /// What it says.
    pub(super) items: Result<Vec<Item>, ConfTextError>,
    /// A resource names it as its `template-file`.
    pub(super) template: bool,
}

/// The files of a host.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// In the order in which they are read.
    pub sources: Vec<Source>,
    /// The names in each folder that an `include` names.
    folders: BTreeMap<String, Vec<String>>,
}

impl Files {
    /// The text of one file.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.sources.iter().find(|source| source.path == path).map(|source| source.text.as_str())
    }

    /// Paths of all files in the folders that the top file includes something from.
    pub fn listed(&self) -> Vec<String> {
        let in_folder = |(folder, names): (&String, &Vec<String>)| {
            names.iter().map(|name| format!("{folder}/{name}")).collect::<Vec<_>>()
        };
        self.folders.iter().flat_map(in_folder).collect()
    }
}

/// Reads the files through two questions: the text of a file, and the names in a folder.
///
/// Files in [`FOLDER`] that the top file does not include are read last: nobody who looks there would believe that what
/// they claim is free.
///
/// # Errors
/// What the questions answer with.
pub fn gather<E>(
    mut text: impl FnMut(&str) -> Result<Option<String>, E>,
    mut names: impl FnMut(&str) -> Result<Vec<String>, E>,
) -> Result<Files, E> {
    let mut files = Files::default();
    let mut seen = BTreeSet::new();
    let mut wanted = vec![(TOP.to_owned(), false)];
    let mut swept = false;
    loop {
        let Some((path, template)) = wanted.pop() else {
            if swept {
                return Ok(files);
            }
            swept = true;
            wanted = matching(&format!("{FOLDER}/*.res"), &mut files.folders, &mut names)?;
            continue;
        };
        if !seen.insert(path.clone()) {
            continue;
        }
        let Some(text) = text(&path)? else { continue };
        let items = conf_text::parse(&text);
        let mut found = Vec::new();
        for (pattern, template) in items.iter().flatten().flat_map(|item| named_by(&path, item)) {
            let of_pattern = match template {
                true => vec![(pattern, true)],
                false => matching(&pattern, &mut files.folders, &mut names)?,
            };
            // The last of the vector is read first.
            found.splice(0..0, of_pattern);
        }
        wanted.extend(found);
        files.sources.push(Source { path, text, items, template });
    }
}

/// The files that a pattern names, the first one last.
fn matching<E>(
    pattern: &str,
    folders: &mut BTreeMap<String, Vec<String>>,
    names: &mut impl FnMut(&str) -> Result<Vec<String>, E>,
) -> Result<Vec<(String, bool)>, E> {
    let folder = glob::folder(pattern);
    if !folders.contains_key(folder) {
        folders.insert(folder.to_owned(), names(folder)?);
    }
    let found = folders.get(folder).into_iter().flatten().map(|name| format!("{folder}/{name}"));
    let mut found: Vec<_> =
        found.filter(|path| glob::matches(pattern, path)).map(|path| (path, false)).collect();
    found.sort();
    found.reverse();
    Ok(found)
}

/// What one item of a file names: a pattern of files, or a template.
fn named_by(file: &str, item: &Item) -> Option<(String, bool)> {
    let (words, template) = match item {
        Item::Statement(statement) if statement.keyword() == "include" => (statement.values(), false),
        Item::Section(section) if section.keyword() == "resource" => {
            (section.statement("template-file")?.values(), true)
        }
        Item::Statement(_) | Item::Section(_) => return None,
    };
    let [path] = words else { return None };
    Some((beside(file, &path.text), template))
}

/// The path of a template of a resource in a file.
pub(super) fn template_of(file: &str, resource: &Section) -> Option<String> {
    let [path] = resource.statement("template-file")?.values() else { return None };
    Some(beside(file, &path.text))
}

/// A relative path is relative to the folder of the file that names it.
fn beside(file: &str, path: &str) -> String {
    if path.starts_with('/') {
        return path.to_owned();
    }
    let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
    format!("{folder}/{path}")
}
