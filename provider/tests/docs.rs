// SPDX-License-Identifier: MPL-2.0
//! The pages in `docs/` are those that the schemas give. `UPDATE=1` writes them.

use std::path::PathBuf;

use provider_drbd::docs;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

#[test]
fn the_pages_are_current() {
    for page in docs::pages() {
        let file = folder().join(page.path);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, &page.text).unwrap();
        }
        let found = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(found == page.text, "docs/{} is not what the schema gives; UPDATE=1 writes it", page.path);
    }
}

#[test]
fn no_page_is_left_over() {
    for folder_name in ["resources", "data-sources"] {
        for entry in std::fs::read_dir(folder().join(folder_name)).unwrap() {
            let name = format!("{folder_name}/{}", entry.unwrap().file_name().to_string_lossy());
            assert!(docs::pages().iter().any(|page| page.path == name), "docs/{name} belongs to nothing");
        }
    }
}
