// SPDX-License-Identifier: MPL-2.0
//! `modinfo` and `modprobe`: which kernel module would be loaded, and loading it. Not here: which one is loaded
//! (see `proc`).

use crate::host::{Cmd, Output};
use crate::tools::ToolError;

/// The name of the program that asks.
pub const PROGRAM: &str = "modinfo";

/// The name of the program that loads.
pub const MODPROBE: &str = "modprobe";

/// Asks for the version of a module that the running kernel would load. Loads nothing.
pub fn version(module: &str) -> Cmd {
    Cmd::new(PROGRAM, ["-F", "version", module])
}

/// Asks for the version of the module that brings a digest.
pub fn digest_version(name: &str) -> Cmd {
    version(&format!("crypto-{name}"))
}

/// Asks for the version of the module of a transport of DRBD 9.
pub fn transport_version(name: &str) -> Cmd {
    version(&format!("drbd_transport_{name}"))
}

/// Reads the answer to [`version`]: `None` when the kernel has no such module (exit 1).
pub fn parse_version(output: &Output) -> Result<Option<String>, ToolError> {
    match output.code() {
        Some(0) => {
            let version = output.stdout.trim();
            if version.lines().count() > 1 {
                return Err(ToolError::malformed(PROGRAM, "-F version", "one line", version));
            }
            Ok(Some(version.to_owned()))
        }
        Some(1) if is_absent(&output.stderr) => Ok(None),
        _ => Err(ToolError::ended(PROGRAM, output, "exit 0, or 1 without such a module")),
    }
}

/// No such module, or its index names a file that is gone: either way it cannot be loaded.
fn is_absent(stderr: &str) -> bool {
    stderr.contains("modinfo: ERROR: Module ") && stderr.contains(" not found.")
        || stderr.contains("could not get modinfo from ") && stderr.contains("No such file or directory")
}

/// Loads a module; exit 0 also when it is loaded already.
pub fn load(module: &str) -> Cmd {
    Cmd::new(MODPROBE, [module])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tools::samples;

    #[test]
    fn every_sample_is_read() {
        for sample in samples::of_tool("modinfo") {
            let version = parse_version(&sample.output).unwrap();
            assert_eq!(version.as_deref(), sample.output.ok().then_some("8.4.11"), "{}", sample.name);
        }
        for sample in samples::of_tool("modprobe") {
            let _ = parse_version(&sample.output);
        }
    }

    #[test]
    fn any_other_failure_is_an_error() {
        assert!(parse_version(&Output::of(127, "", "modinfo: not found")).is_err());
        assert!(parse_version(&Output::of(1, "", "modinfo: ERROR: could not get modinfo")).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_read(text in any::<String>(), code in 0..3) {
            let _ = parse_version(&Output::of(code, text.clone(), text));
        }
    }
}
