// SPDX-License-Identifier: MPL-2.0
//! One command line that means the same to every login shell.
//!
//! sshd hands our text to the user's login shell, which may be dash, bash, zsh, fish or csh. [`command_line`] therefore
//! uses only what they all read alike, and starts `/bin/sh` with the real work in positional parameters.
//! Deliberately not here: running it (`session`), and a general shell-quoting library.

use std::time::Duration;

use crate::target::Escalate;

/// Every SSH server takes packets of 32 768 bytes (RFC 4253, 6.1); the line travels in one.
const MAX_LINE: usize = 32_000;

/// Seconds between TERM and KILL for a command that ran into its deadline.
pub(crate) const KILL_AFTER: Duration = Duration::from_secs(5);

/// What `/bin/sh` does with its parameters `NAME=VALUE... -- PROGRAM ARGUMENT...`. It first prints a mark, so that
/// what start-up files print before can be told from the program's own output, and so that a refused sudo or a
/// missing shell can be told from a program that failed. No quote, backslash or exclamation mark may occur in it: it is
/// quoted for every login shell.
fn starter(mark: &str, deadline: Duration) -> String {
    let seconds = deadline.as_secs() + u64::from(deadline.subsec_nanos() > 0);
    let kill_after = KILL_AFTER.as_secs();
    format!(
        "echo {mark}; LC_ALL=C; PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin; export LC_ALL PATH; \
         until [ \"$1\" = -- ]; do export \"$1\"; shift; done; shift; \
         if command -v timeout >/dev/null 2>&1; then exec timeout -k {kill_after} {} \"$@\"; fi; exec \"$@\"",
        seconds.max(1)
    )
}

/// The whole line for sshd's `exec` request.
///
/// # Errors
/// What is wrong with the request: an empty or strange program name, a bad variable name, a NUL byte, too long.
pub(crate) fn command_line(
    argv: &[&str],
    env: &[(&str, &str)],
    deadline: Duration,
    escalate: Escalate,
    mark: &str,
) -> Result<String, String> {
    check(argv, env)?;
    let mut words: Vec<String> = env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    words.push("--".to_owned());
    words.extend(argv.iter().map(|&word| word.to_owned()));
    let mut script = starter(mark, deadline);
    if words.iter().any(|word| word.contains('\n')) {
        // csh cannot hold a line break in a quoted word: send the words as one escaped text instead.
        script = format!("eval \"set -- $(printf %b \"$1\")\"; {script}");
        words = vec![escaped(&words)];
    }
    let mut line = String::from(match escalate {
        Escalate::None => "exec /bin/sh -c ",
        Escalate::Sudo => "exec env LC_ALL=C sudo -n -- /bin/sh -c ",
    });
    line.push_str(&quoted(&script));
    line.push_str(" drbd-ssh");
    for word in &words {
        line.push(' ');
        line.push_str(&quoted(word));
    }
    if line.len() > MAX_LINE {
        return Err(format!(
            "the command line would be {} bytes long, {MAX_LINE} are possible; send the data on standard input",
            line.len()
        ));
    }
    Ok(line)
}

/// Whether the request can be said in a command line at all.
fn check(argv: &[&str], env: &[(&str, &str)]) -> Result<(), String> {
    match argv.first() {
        None => return Err("the argument vector is empty".to_owned()),
        Some(program) if program.is_empty() || program.starts_with('-') => {
            return Err(format!("{program:?} is not a program name"));
        }
        Some(_) => {}
    }
    if argv.iter().any(|word| word.contains('\0')) || env.iter().any(|(_, value)| value.contains('\0')) {
        return Err("an argument or variable holds a NUL byte".to_owned());
    }
    for (name, _) in env {
        let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !starts_well || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(format!("{name:?} is not the name of an environment variable"));
        }
    }
    Ok(())
}

/// One word, quoted so that dash, bash, zsh, ksh, fish and csh all read it as itself. The word holds no line break.
///
/// Single quotes keep everything but the quote itself (all shells), the backslash (fish) and the exclamation mark (csh
/// expands history even in `csh -c`): those three stand outside of quotes behind a backslash, which all of them
/// understand.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./-".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    let mut out = String::with_capacity(word.len() + 8);
    out.push('\'');
    for c in word.chars() {
        match c {
            '\'' | '\\' | '!' => {
                out.push_str("'\\");
                out.push(c);
                out.push('\'');
            }
            c => out.push(c),
        }
    }
    out.push('\'');
    out
}

/// The words as one text for `printf %b`: quoted for a POSIX shell, with backslashes and line breaks in octal.
fn escaped(words: &[String]) -> String {
    let line =
        words.iter().map(|word| format!("'{}'", word.replace('\'', "'\\''"))).collect::<Vec<_>>().join(" ");
    line.replace('\\', "\\0134").replace('\n', "\\0012")
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    /// Runs the line in a login shell, with a program that prints its arguments and `$V` NUL-terminated.
    fn run(shell: &str, words: &[String], value: &str) -> Option<Vec<String>> {
        let mut argv = vec!["sh", "-c", "for w; do printf '%s\\0' \"$w\"; done; printf '%s\\0' \"$V\"", "x"];
        argv.extend(words.iter().map(String::as_str));
        let line =
            command_line(&argv, &[("V", value)], Duration::from_secs(9), Escalate::None, "MARK").unwrap();
        let output = Command::new(shell).arg("-c").arg(line).output().ok()?;
        assert!(output.status.success(), "{shell}: {}", String::from_utf8_lossy(&output.stderr));
        let text = output.stdout.strip_prefix(b"MARK\n").expect("the mark comes first").to_vec();
        let mut parts: Vec<String> =
            text.split(|b| *b == 0).map(|b| String::from_utf8(b.to_vec()).unwrap()).collect();
        assert_eq!(parts.pop().as_deref(), Some(""), "the last word is terminated");
        Some(parts)
    }

    /// What went in must come out, in this shell; a shell that is not installed is skipped, except `sh`.
    fn check_shell(shell: &str, words: &[String], value: &str) {
        let found = run(shell, words, value);
        assert!(found.is_some() || shell != "sh");
        if let Some(found) = found {
            let mut expected = words.to_vec();
            expected.push(value.to_owned());
            assert_eq!(found, expected, "{shell}");
        }
    }

    const SHELLS: [&str; 7] = ["sh", "bash", "dash", "zsh", "fish", "csh", "ksh"];

    #[test]
    fn every_special_character_survives_every_shell() {
        let mut words: Vec<String> = (1_u8..128).map(|byte| format!("a{}b", char::from(byte))).collect();
        words.extend(
            [
                "",
                "-n",
                "--",
                "~",
                "=ls",
                "%1",
                "$(id)",
                "`id`",
                "a\\",
                "'",
                "\n",
                "a\n\nb\\0012",
                "ü€\u{1f600}",
            ]
            .map(str::to_owned),
        );
        let single: Vec<String> = words.iter().filter(|word| !word.contains('\n')).cloned().collect();
        for shell in SHELLS {
            check_shell(shell, &words, "v\n'w");
            check_shell(shell, &single, "!$x\\");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
        #[test]
        fn any_words_survive(words in prop::collection::vec("[^\0]{0,12}", 0..6), value in "[^\0]{0,9}", shell in prop::sample::select(&SHELLS[..])) {
            check_shell(shell, &words, &value);
        }
    }

    #[test]
    fn what_cannot_be_said_is_refused() {
        let line = |argv: &[&str], env: &[(&str, &str)]| {
            command_line(argv, env, Duration::from_secs(1), Escalate::Sudo, "M").unwrap_err()
        };
        assert!(line(&[], &[]).contains("empty"));
        assert!(line(&["-x"], &[]).contains("not a program name"));
        assert!(line(&["a", "b\0"], &[]).contains("NUL"));
        assert!(line(&["a"], &[("A-B", "")]).contains("not the name"));
        assert!(line(&["a"], &[("1A", "")]).contains("not the name"));
        assert!(line(&["a", &"x".repeat(MAX_LINE)], &[]).contains("standard input"));
    }

    #[test]
    fn the_deadline_is_rounded_up_and_never_zero() {
        assert!(starter("M", Duration::from_millis(1)).contains("timeout -k 5 1 "));
        assert!(starter("M", Duration::from_millis(2001)).contains("timeout -k 5 3 "));
        assert!(starter("M", Duration::ZERO).contains("timeout -k 5 1 "));
        assert!(!starter("M", Duration::ZERO).contains(['\'', '\\', '!', '\n']));
    }
}
