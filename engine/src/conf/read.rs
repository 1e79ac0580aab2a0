// SPDX-License-Identifier: MPL-2.0
//! From files to a [`Configuration`].

use super::files::template_of;
use super::{Configuration, Files, ResourceConf, Setting, Source, resource, settings};
use crate::tools::conf_text::{self, ConfTextError, Item, Section};
use std::sync::Arc;

/// What the files say.
pub fn read(files: &Files) -> Configuration {
    let mut found = Configuration::default();
    for source in &files.sources {
        match &source.items {
            Ok(items) if !source.template => add(files, source, items, &mut found),
            Ok(_) => {}
            Err(error) => found.unreadable.push((source.path.clone(), error.to_string())),
        }
    }
    resource::stack(&mut found.resources);
    found
}

/// The resources of one text, for whoever has nothing else; `file` is what the origins say.
///
/// # Errors
/// The text is not in DRBD's syntax.
pub fn only(file: &str, text: &str) -> Result<Vec<ResourceConf>, ConfTextError> {
    let items = conf_text::parse(text)?;
    let name: Arc<str> = file.into();
    let mut found: Vec<_> =
        sections(&items, "resource").map(|section| resource::read(section, &name)).collect();
    resource::stack(&mut found);
    Ok(found)
}

fn add(files: &Files, source: &Source, items: &[Item], found: &mut Configuration) {
    let file: Arc<str> = source.path.as_str().into();
    for common in sections(items, "common") {
        settings::gather(common, &file, &mut found.common);
    }
    for section in sections(items, "resource") {
        let mut resource = resource::read(section, &file);
        let template = template_of(&source.path, section);
        resource.template = template.and_then(|path| template_text(files, &path));
        found.resources.push(resource);
    }
}

/// The `common` section of a template.
fn template_text(files: &Files, path: &str) -> Option<Vec<Setting>> {
    let source = files.sources.iter().find(|source| source.path == path)?;
    let file: Arc<str> = source.path.as_str().into();
    let mut found = Vec::new();
    for common in sections(source.items.as_ref().ok()?, "common") {
        settings::gather(common, &file, &mut found);
    }
    Some(found)
}

fn sections<'a>(items: &'a [Item], keyword: &'a str) -> impl Iterator<Item = &'a Section> {
    items.iter().filter_map(move |item| match item {
        Item::Section(section) if section.keyword() == keyword => Some(section),
        Item::Section(_) | Item::Statement(_) => None,
    })
}
