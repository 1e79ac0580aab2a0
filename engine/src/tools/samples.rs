// SPDX-License-Identifier: MPL-2.0
//! Reads the recorded samples (`engine/samples/`, format in its README) for the parsers' tests. Test code only.

use std::fs;
use std::path::{Path, PathBuf};

use crate::host::{Exit, Output};

/// One recorded run of a tool.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// Folder under the tool: which module and which tools were recorded, e.g. `9.2.18-utils-9.22`.
    pub(crate) version: String,
    /// File name without `.txt`.
    pub(crate) name: String,
    /// The command line as it was run.
    pub(crate) command: String,
    /// Exit code and both streams.
    pub(crate) output: Output,
}

/// All samples of a tool, every version, in a stable order. Fails the test when there is none.
pub(crate) fn of_tool(tool: &str) -> Vec<Sample> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples").join(tool);
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    assert!(!files.is_empty(), "no samples under {}", root.display());
    files.iter().map(|file| read(file)).collect()
}

/// The one sample `version/name` of a tool.
pub(crate) fn one(tool: &str, version: &str, name: &str) -> Sample {
    of_tool(tool)
        .into_iter()
        .find(|sample| sample.version == version && sample.name == name)
        .unwrap_or_else(|| panic!("no sample {tool}/{version}/{name}"))
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|ext| ext == "txt") {
            files.push(path);
        }
    }
}

fn read(file: &Path) -> Sample {
    let text = fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let (head, rest) = text.split_once("--- stdout\n").expect("a `--- stdout` line");
    let (stdout, stderr) = rest.split_once("--- stderr\n").expect("a `--- stderr` line");
    let field = |prefix: &str| {
        head.lines()
            .find_map(|line| line.strip_prefix(prefix))
            .unwrap_or_else(|| panic!("{}: no line `{prefix}`", file.display()))
            .to_owned()
    };
    let code: i32 = field("exit ").parse().expect("an exit code");
    Sample {
        version: file.parent().unwrap().file_name().unwrap().to_string_lossy().into_owned(),
        name: file.file_stem().unwrap().to_string_lossy().into_owned(),
        command: field("$ "),
        output: Output { exit: Exit::Code(code), stdout: stdout.to_owned(), stderr: stderr.to_owned() },
    }
}
