// SPDX-License-Identifier: MPL-2.0
//! The command line of `drbdsetup`: a verb, its positional arguments, and options (`--name=value`, `--name value` for
//! the few that drbdadm writes so, `--name` alone). Not here: what any of them means.

use crate::model::Options;

/// One command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// The sub-command.
    pub(crate) verb: String,
    /// Everything that is no option.
    pub(crate) words: Vec<String>,
    /// Options in the order given; a bare one has an empty value.
    pub(crate) options: Options,
    /// The minor came before the verb, as drbdmeta still asks.
    pub(crate) old_order: bool,
}

impl Arguments {
    /// Takes a command line apart, without the program's name.
    pub(crate) fn parse(line: &[String]) -> Self {
        let mut arguments = Self::default();
        for word in line {
            match word.strip_prefix("--").or_else(|| short(word)) {
                Some("") => {}
                Some(option) => {
                    let (name, value) = option.split_once('=').unwrap_or((option, ""));
                    arguments.options.set(name, value);
                }
                None if arguments.verb.is_empty() => arguments.verb.clone_from(word),
                None => arguments.words.push(word.clone()),
            }
        }
        if arguments.verb.bytes().all(|byte| byte.is_ascii_digit())
            && let Some(verb) = arguments.words.first_mut()
        {
            std::mem::swap(verb, &mut arguments.verb);
            arguments.old_order = true;
        }
        arguments
    }

    /// Whether an option was given.
    pub(crate) fn has(&self, option: &str) -> bool {
        self.options.get(option).is_some()
    }

    /// A positional argument, or how the real program complains about its absence.
    pub(crate) fn word(&self, index: usize) -> Result<&str, String> {
        let missing = || format!("Missing argument {} to command", index + 1);
        self.words.get(index).map(String::as_str).ok_or_else(missing)
    }

    /// A positional argument that is a number.
    pub(crate) fn number<T: std::str::FromStr>(&self, index: usize) -> Result<T, String> {
        let word = self.word(index)?;
        word.parse().map_err(|_| format!("'{word}' is not a valid number"))
    }

    /// A minor: `10`, `minor-10` or `/dev/drbd10`.
    pub(crate) fn minor(&self, index: usize) -> Result<u32, String> {
        let word = self.word(index)?;
        let digits = word.strip_prefix("minor-").or_else(|| word.strip_prefix("/dev/drbd")).unwrap_or(word);
        digits.parse().map_err(|_| format!("Cannot determine minor device number of device '{word}'"))
    }

    /// The options that configure something, without those that only say how.
    pub(crate) fn settings(&self) -> Options {
        const VERBS: [&str; 10] = [
            "set-defaults",
            "force",
            "diskless",
            "discard-my-data",
            "tentative",
            "clear-bitmap",
            "force-resync",
            "assume-clean",
            "assume-peer-has-space",
            "reset-bitmap",
        ];
        self.options.without(&VERBS)
    }
}

/// The short options that scripts use.
fn short(word: &str) -> Option<&str> {
    match word {
        "-f" => Some("force"),
        "-s" => Some("statistics"),
        "-v" => Some("verbose"),
        "-j" => Some("json"),
        _ => None,
    }
}
