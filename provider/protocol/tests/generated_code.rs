// SPDX-License-Identifier: MPL-2.0
//! The committed protocol code is what the `.proto` files generate. `UPDATE=1 cargo test -p tfplugin --test
//! generated_code` writes it anew.
#![expect(clippy::expect_used, reason = "test code")]

use std::fs;
use std::path::{Path, PathBuf};

const FILES: [&str; 3] = ["tfplugin6", "plugin", "grpc.health.v1"];

fn generate(out: &Path) {
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
    let sources = ["tfplugin6.proto", "plugin.proto", "health.proto"];
    let descriptors = protox::compile(sources, [&proto]).expect("the .proto files compile");
    tonic_prost_build::configure()
        .build_client(false)
        .build_transport(false)
        .emit_rerun_if_changed(false)
        .out_dir(out)
        .compile_fds(descriptors)
        .expect("the code generator accepts the descriptors");
}

#[test]
fn generated_code_matches_the_proto_files() {
    let fresh = tempfile::tempdir().unwrap();
    generate(fresh.path());
    for name in FILES {
        let committed: PathBuf =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("src/generated").join(format!("{name}.rs"));
        let wanted = fs::read_to_string(fresh.path().join(format!("{name}.rs"))).unwrap();
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&committed, &wanted).unwrap();
        }
        let found = fs::read_to_string(&committed).unwrap_or_default();
        assert!(found == wanted, "{} differs from proto/: run this test with UPDATE=1", committed.display());
    }
}
