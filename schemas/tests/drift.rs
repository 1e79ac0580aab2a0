// SPDX-License-Identifier: MPL-2.0
//! The committed JSON Schema files are what the types generate. `UPDATE=1 cargo test -p drbd-schemas` writes them.

use drbd_schemas::export;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

#[test]
fn committed_schemas_are_current() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("json");
    let update = std::env::var_os("UPDATE").is_some();
    let mut expected = BTreeSet::new();
    for (name, schema) in export::files() {
        let text = format!("{}\n", serde_json::to_string_pretty(&schema).unwrap());
        if update {
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join(&name), &text).unwrap();
        }
        let committed = fs::read_to_string(dir.join(&name)).unwrap_or_default();
        assert!(
            committed == text,
            "schemas/json/{name} is not current; run: UPDATE=1 cargo test -p drbd-schemas"
        );
        expected.insert(name);
    }
    let found: BTreeSet<_> =
        fs::read_dir(&dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(found, expected, "schemas/json/ holds exactly the generated files");
}
