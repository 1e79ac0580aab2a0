// SPDX-License-Identifier: MPL-2.0
//! The edges of ARCHITECTURE.md: which package may use which, and how long a file may grow.

use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// Direct dependencies that a package may have, besides those for its tests. A new one needs a word here and a reason in
/// docs/dependencies.md.
fn allowed() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let table = [
        ("drbd-schemas", "schemars serde serde_json strsim thiserror"),
        ("drbd-engine", "drbd-schemas serde serde_json sha2 thiserror"),
        ("drbd-host", "drbd-engine drbd-schemas humantime lexopt rustix serde_json signal-hook thiserror"),
        (
            "tfplugin",
            "base64 futures prost rcgen rmp rustix rustls serde serde_json smol_str strsim thiserror tokio tokio-rustls \
             tokio-stream tokio-util tonic tonic-prost tracing tracing-subscriber unicode-normalization",
        ),
        ("drbd-ssh", "base64 bytes hmac russh rustix sha1 sha2 thiserror tokio tracing zeroize"),
        ("drbd-ec2", "aws-config aws-runtime aws-sdk-ec2 base64 thiserror tokio tracing"),
        (
            "terraform-provider-drbd",
            "anyhow drbd-ec2 drbd-engine drbd-schemas drbd-ssh futures serde serde_json sha2 tfplugin thiserror tokio tokio-util \
             tracing",
        ),
        // For tests only: no package above may name it.
        ("simulated-drbd9", "anyhow rustix serde serde_json"),
    ];
    table.into_iter().map(|(package, names)| (package, names.split_whitespace().collect())).collect()
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn metadata() -> Result<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--locked", "--offline"])
        .current_dir(root())
        .output()?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

#[test]
fn packages_use_only_what_they_may() -> Result<()> {
    let metadata = metadata()?;
    let allowed = allowed();
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for package in metadata["packages"].as_array().context("packages")? {
        let name = package["name"].as_str().context("name")?;
        let Some(allowed) = allowed.get(name) else {
            let for_tests_only = ["system-tests", "simulated-provider"].contains(&name);
            assert!(for_tests_only, "{name} has no line in tests/layering.rs");
            continue;
        };
        seen.insert(name.to_owned());
        for dependency in package["dependencies"].as_array().context("dependencies")? {
            let other = dependency["name"].as_str().context("name")?;
            let for_tests = dependency["kind"] == "dev";
            if !for_tests && !allowed.contains(other) {
                wrong.push(format!("{name} uses {other}"));
            }
        }
    }
    assert_eq!(seen.len(), allowed.len(), "a package is gone: {seen:?}");
    assert!(wrong.is_empty(), "{}", wrong.join("; "));
    Ok(())
}

/// Versions with advisories that matter here, and the first one without. `make audit` asks the whole database; this needs
/// no network, and most of russh's advisories are in GitHub's database only.
const SAFE_FROM: [(&str, (u64, u64, u64)); 4] =
    [("h2", (0, 4, 16)), ("russh", (0, 65, 0)), ("rustls-webpki", (0, 103, 13)), ("tokio", (1, 44, 2))];

#[test]
fn no_locked_version_has_a_known_advisory() -> Result<()> {
    let lock = std::fs::read_to_string(root().join("Cargo.lock"))?;
    let mut seen = 0;
    for package in lock.split("[[package]]").skip(1) {
        let field = |name: &str| {
            let line = package.lines().find_map(|line| line.strip_prefix(&format!("{name} = \"")));
            line.map(|value| value.trim_end_matches('"').to_owned())
        };
        let (name, version) = (field("name").context("name")?, field("version").context("version")?);
        if let Some((_, safe)) = SAFE_FROM.iter().find(|(known, _)| *known == name) {
            let numbers: Vec<u64> =
                version.split(['.', '-']).take(3).map(str::parse).collect::<Result<_, _>>()?;
            assert!(numbers.as_slice() >= [safe.0, safe.1, safe.2].as_slice(), "{name} {version}");
            seen += 1;
        }
    }
    assert!(seen >= SAFE_FROM.len(), "one of them is no longer used: shorten the table");
    Ok(())
}

/// Words that must not stand in a package's sources: side effects belong elsewhere.
#[test]
fn the_engine_reaches_the_world_only_through_its_host() -> Result<()> {
    let mut wrong = Vec::new();
    for package in ["schemas", "engine"] {
        for file in sources(&root().join(package).join("src"))? {
            let text = std::fs::read_to_string(&file)?;
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            let samples = file.ends_with("tools/samples.rs");
            for word in [
                "std::process",
                "std::fs",
                "std::net::Tcp",
                "std::env",
                "SystemTime",
                "Instant::now",
                "thread::",
            ] {
                if code.contains(word) && !samples {
                    wrong.push(format!("{} names {word}", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("; "));
    Ok(())
}

/// Lines of code before the tests of a file. Tables and generated code have their own measure.
const FILE_BUDGET: usize = 500;

#[test]
fn no_file_grows_past_what_a_reader_can_hold() -> Result<()> {
    let mut long = Vec::new();
    for package in ["schemas", "engine", "ansible-module", "provider", "provider/protocol", "provider/ssh"] {
        for file in sources(&root().join(package).join("src"))? {
            let text = std::fs::read_to_string(&file)?;
            let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
            let lines = code.lines().filter(|line| !line.trim_start().starts_with("//")).count();
            let generated = file.components().any(|part| part.as_os_str() == "generated");
            if lines > FILE_BUDGET && !generated {
                long.push(format!("{}: {lines} lines", file.display()));
            }
        }
    }
    assert!(long.is_empty(), "more than {FILE_BUDGET} lines of code: {}", long.join("; "));
    Ok(())
}

#[test]
fn every_source_file_names_its_licence() -> Result<()> {
    let mut without = Vec::new();
    for dir in ["schemas", "engine", "ansible-module", "provider", "tests"] {
        for file in sources(&root().join(dir))? {
            let text = std::fs::read_to_string(&file)?;
            let generated = file.components().any(|part| part.as_os_str() == "generated");
            if !generated
                && !text.lines().next().unwrap_or_default().contains("SPDX-License-Identifier: MPL-2.0")
            {
                without.push(file.display().to_string());
            }
        }
    }
    assert!(without.is_empty(), "no SPDX line: {}", without.join(", "));
    Ok(())
}

fn sources(dir: &Path) -> Result<Vec<std::path::PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            files.extend(sources(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(files)
}
