// SPDX-License-Identifier: MPL-2.0
//! What `drbdadm` says about configuration files: each fault with its place. Secrets in it are masked. Not here:
//! the syntax itself (see `conf_text`).

use std::fmt;

use crate::host::Output;
use crate::tools::ToolError;
use crate::tools::drbdadm::PROGRAM;
use crate::tools::error::quote;
use crate::tools::mask::{MASK, SECRET_OPTION};

/// What a test of the configuration found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigTest {
    /// `drbdadm` can read it all. It does not see: a missing last brace, two resources on one backing disk, a
    /// host that no `on` section names, and an own address that this host does not have.
    Readable {
        /// What it remarked anyway, e.g. three hosts without connections between them.
        remarks: Vec<ConfigFault>,
    },
    /// It cannot; with these files no `drbdadm` call for any resource would work.
    Refused {
        /// Why; at least one.
        faults: Vec<ConfigFault>,
    },
}

/// One thing that is wrong in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFault {
    /// Where. `None` where drbdadm does not say (8.4, values that are not allowed).
    pub place: Option<ConfigPlace>,
    /// What is wrong, in drbdadm's words, on one line; secrets masked.
    pub message: String,
    /// The other place of a clash.
    pub clashes_with: Option<ConfigPlace>,
}

/// A place in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigPlace {
    /// File as printed; a relative one is relative to the folder of the top file (`/etc`).
    pub file: String,
    /// Line from 1. `None` where drbdadm does not know it (it prints 0 or nothing).
    pub line: Option<u32>,
}

impl fmt::Display for ConfigPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        self.line.map_or(Ok(()), |line| write!(f, ":{line}"))
    }
}

impl fmt::Display for ConfigFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.message)?;
        self.clashes_with.as_ref().map_or(Ok(()), |other| write!(f, " (also in {other})"))
    }
}

/// Reads the answer to `drbdadm -c FILE sh-nop`.
pub(super) fn parse_test(output: &Output) -> Result<ConfigTest, ToolError> {
    let faults = parse_faults(&output.stderr);
    match output.code() {
        Some(0) => Ok(ConfigTest::Readable { remarks: faults }),
        Some(10 | 20) if !faults.is_empty() => Ok(ConfigTest::Refused { faults }),
        _ => Err(ToolError::ended(PROGRAM, output, "exit 0, or 10 with what is wrong")),
    }
}

/// Everything in the text that speaks about configuration files.
pub(super) fn parse_faults(stderr: &str) -> Vec<ConfigFault> {
    let mut faults: Vec<ConfigFault> = Vec::new();
    for line in stderr.lines().filter(|line| !is_noise(line)) {
        let continues =
            line.starts_with([' ', '\t']) || line.starts_with("for ") || line.starts_with("Allowed ");
        if let Some((place, message)) = split_place(line) {
            match message.strip_suffix("first used here.") {
                Some(_) => last_clash(&mut faults, place),
                None => faults.push(fault(Some(place), message)),
            }
        } else if continues && let Some(last) = faults.last_mut() {
            add(last, line.trim());
        } else if !continues && let Some(found) = without_place(line) {
            faults.push(found);
        }
    }
    faults.into_iter().map(masked).collect()
}

fn fault(place: Option<ConfigPlace>, message: &str) -> ConfigFault {
    ConfigFault { place, message: message.trim_end_matches(" ...").to_owned(), clashes_with: None }
}

/// Lines that a fault can have without a place; anything else is not about configuration.
fn without_place(line: &str) -> Option<ConfigFault> {
    if let Some(rest) = line.strip_prefix("Can not open '") {
        let file = rest.split('\'').next().unwrap_or_default().to_owned();
        return Some(fault(Some(ConfigPlace { file, line: None }), "can not be opened"));
    }
    let known = line.contains("should be one of") || (line.starts_with("Resource ") && line.ends_with(':'));
    known.then(|| fault(None, line))
}

/// Joins a continuation line, and takes the other place out of `ADDRESS is also used FILE:LINE (resource NAME)`.
fn add(fault: &mut ConfigFault, line: &str) {
    fault.message.push(' ');
    let Some((address, used)) = line.split_once(" is also used ") else {
        fault.message.push_str(line);
        return;
    };
    let (place, resource) = used.split_once(' ').unwrap_or((used, ""));
    fault.message.push_str(&format!("{address} is also used by {resource}"));
    fault.clashes_with = split_place(&format!("{place}: ")).map(|(place, _)| place);
}

fn last_clash(faults: &mut [ConfigFault], place: ConfigPlace) {
    if let Some(last) = faults.last_mut() {
        last.clashes_with = Some(place);
    }
}

/// `FILE:LINE: message`, or `FILE: in resource ...` as one remark has it. The remark `drbdsetup show:15: Parse
/// error(ignored)` is about the kernel's answer, not about a file.
fn split_place(line: &str) -> Option<(ConfigPlace, &str)> {
    if line.starts_with("drbdsetup ") {
        return None;
    }
    let (head, message) = line.split_once(": ")?;
    if let Some((file, number)) = head.rsplit_once(':')
        && let Ok(number) = number.parse::<u32>()
        && !file.contains(char::is_whitespace)
    {
        let line = (number > 0).then_some(number);
        return Some((ConfigPlace { file: file.to_owned(), line }, message));
    }
    let is_file =
        head.contains('/') && !head.contains(char::is_whitespace) && message.starts_with("in resource ");
    is_file.then(|| (ConfigPlace { file: head.to_owned(), line: None }, message))
}

/// Lines that drbdadm, modinfo and the test environment add to anything.
fn is_noise(line: &str) -> bool {
    line.trim().is_empty() || line == "." || line.starts_with("command ") || line.starts_with("Command ")
}

/// drbdadm quotes a value that it refuses before it says of which option, and the rest of a line with an open
/// quote: neither may show a secret.
fn masked(mut fault: ConfigFault) -> ConfigFault {
    if fault.message.contains("Unterminated double quoted string") {
        fault.message = "Unterminated double quoted string".to_owned();
    }
    if fault.message.contains(&format!("for {SECRET_OPTION}")) {
        fault.message = format!("Parse error: while parsing value ({MASK}) for {SECRET_OPTION}");
    }
    fault.message = quote(&fault.message);
    fault
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tools::samples;

    fn refused(version: &str, name: &str) -> ConfigFault {
        let sample = samples::one("drbdadm", version, &format!("config-test-{name}"));
        match parse_test(&sample.output) {
            Ok(ConfigTest::Refused { mut faults }) => faults.remove(0),
            other => panic!("{version} {name}: {other:?}"),
        }
    }

    #[test]
    fn every_recorded_test_is_readable_or_refused_with_a_place() {
        for sample in samples::of_tool("drbdadm") {
            if !sample.name.starts_with("config-test") || sample.output.code() == Some(1) {
                let _ = parse_test(&sample.output);
                continue;
            }
            match parse_test(&sample.output).unwrap() {
                ConfigTest::Readable { .. } => assert!(sample.output.ok(), "{}", sample.name),
                ConfigTest::Refused { faults } => {
                    // drbdadm of 8.4 does not say where for a word that is not allowed.
                    let silent =
                        sample.version.starts_with("8.4") && sample.name == "config-test-broken-value";
                    assert_eq!(faults[0].place.is_none(), silent, "{}: {faults:?}", sample.name);
                }
            }
        }
    }

    #[test]
    fn a_clash_names_both_places() {
        for version in ["8.4.11-utils-9.22", "9.2.0-override-utils-9.22"] {
            for (name, what) in
                [("clash-minor", "device-minor"), ("clash-port", "10.96.0.11:7788"), ("clash-name", "r0")]
            {
                let fault = refused(version, name);
                assert_eq!(fault.place.as_ref().unwrap().file, "/etc/drbd.d/.r9.res.new", "{fault}");
                assert_eq!(fault.clashes_with.as_ref().unwrap().file, "/etc/drbd.d/r0.res", "{fault}");
                assert!(fault.message.contains(what), "{fault}");
            }
        }
    }

    #[test]
    fn a_broken_file_is_named_with_its_line() {
        let fault = refused("9.2.0-override-utils-9.22", "broken-other-file");
        assert_eq!(fault.place.as_ref().unwrap().to_string(), "/etc/drbd.d/bad.res:2");
        assert!(fault.message.ends_with("but got 'nonsense' (TK 281)"), "{fault}");
        let fault = refused("8.4.11-utils-9.22", "no-new-file");
        assert_eq!(fault.place.as_ref().unwrap().to_string(), "/run/staged.conf:3");
        let fault = refused("9.2.0-override-utils-9.22", "broken-value");
        assert_eq!(
            fault.message,
            "Parse error: while parsing value ('D') for protocol. Value is not valid. Allowed values are: A | B | C"
        );
    }

    #[test]
    fn hosts_without_connections_are_a_remark() {
        let sample = samples::one("drbdadm", "9.2.0-override-utils-9.22", "config-test-three-hosts-no-mesh");
        let Ok(ConfigTest::Readable { remarks }) = parse_test(&sample.output) else { panic!("refused") };
        assert!(
            remarks[0].message.contains("Resource r9: Use explicit 'connection' sections"),
            "{remarks:?}"
        );
    }

    #[test]
    fn a_refused_secret_is_not_repeated() {
        let stderr =
            "a.res:2: Parse error: while parsing value ('hunter2')\nfor shared-secret. Value is not valid.\n";
        assert!(!format!("{:?}", parse_faults(stderr)).contains("hunter2"));
        let stderr = "a.res:2: Unterminated double quoted string\n  we don't allow embedded newlines\n  >>>\"hunter2; }\n...<<<\n";
        assert!(!format!("{:?}", parse_faults(stderr)).contains("hunter2"));
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in any::<String>(), code in 0..21) {
            let _ = parse_faults(&text);
            let _ = parse_test(&Output::of(code, "", text));
        }

        #[test]
        fn any_of_its_own_pieces_are_read(pieces in proptest::collection::vec("a.res:[0-9]{1,3}: |first used here.|\n|\t| is also used |for shared-secret|Can not open '|:|x", 0..16)) {
            let _ = parse_faults(&pieces.concat());
        }
    }
}
