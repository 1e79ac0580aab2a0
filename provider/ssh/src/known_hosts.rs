// SPDX-License-Identifier: MPL-2.0
//! OpenSSH's known_hosts format: which lines of a file speak about one host, and what they say.
//!
//! Format: sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT". russh's own reader is not used: it accepts a revoked key that is
//! also listed plainly, knows no wildcards, negation and authorities, refuses a host with two keys of one type, and
//! counts an unreadable file as empty.
//! Deliberately not here: reading files, and the decision about an offered key (`trust`).

use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use russh::keys::ssh_key::PublicKey;
use sha1::Sha1;

/// The name that is looked up: `name`, or `[name]:port` for a port other than 22; always lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LookupName(String);

impl LookupName {
    /// The name of a host and port, or its alias, which stands alone as with OpenSSH's `HostKeyAlias`.
    pub(crate) fn new(host: &str, port: u16, alias: Option<&str>) -> Self {
        let name = match alias {
            Some(alias) => alias.to_owned(),
            None if port == 22 => host.to_owned(),
            None => format!("[{host}]:{port}"),
        };
        Self(name.to_ascii_lowercase())
    }
}

impl fmt::Display for LookupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// File and line of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The known_hosts file.
    pub(crate) file: PathBuf,
    /// Line number, from 1.
    pub(crate) line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} line {}", self.file.display(), self.line)
    }
}

/// What a line says about its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Says {
    /// It is a key of the host.
    HostKey,
    /// It may sign certificates for the host.
    Authority,
    /// It must not be accepted for the host, neither as a key nor as an authority.
    Revoked,
}

/// One line that speaks about the host.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// What it says.
    pub(crate) says: Says,
    /// The key, or why it cannot be read. An unreadable plain line takes nothing away; an unreadable `@revoked` line
    /// could be the one that matters.
    pub(crate) key: Result<PublicKey, String>,
    /// Where it stands.
    pub(crate) place: Place,
}

/// The lines of `text` that speak about `name`, in order.
pub(crate) fn entries_for(text: &str, file: &Path, name: &LookupName) -> Vec<Entry> {
    text.lines()
        .enumerate()
        .filter_map(|(index, line)| entry(line, Place { file: file.to_owned(), line: index + 1 }, name))
        .collect()
}

/// One line, if it speaks about `name`.
fn entry(line: &str, place: Place, name: &LookupName) -> Option<Entry> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let (marker, rest) = if line.starts_with('@') { word(line) } else { ("", line) };
    let (hosts, key) = word(rest);
    if !hosts_match(hosts, name) {
        return None;
    }
    let (says, marker_known) = match marker {
        "" => (Says::HostKey, true),
        "@cert-authority" => (Says::Authority, true),
        "@revoked" => (Says::Revoked, true),
        _ => (Says::HostKey, false),
    };
    let key = if marker_known { parse_key(key) } else { Err(format!("the marker {marker} is not known")) };
    Some(Entry { says, key, place })
}

/// First word and the rest, both without blanks around.
fn word(text: &str) -> (&str, &str) {
    let (first, rest) = text.split_once([' ', '\t']).unwrap_or((text, ""));
    (first, rest.trim_start())
}

/// `keytype base64 [comment]`.
fn parse_key(text: &str) -> Result<PublicKey, String> {
    let (algorithm, rest) = word(text);
    let (blob, _comment) = word(rest);
    if blob.is_empty() {
        return Err("the line has no key".to_owned());
    }
    PublicKey::from_openssh(&format!("{algorithm} {blob}"))
        .map_err(|error| format!("its key cannot be read ({error})"))
}

/// The first field of a line: one hashed name, or patterns with commas. A negated pattern that matches wins over all
/// others.
fn hosts_match(field: &str, name: &LookupName) -> bool {
    if let Some(hashed) = field.strip_prefix("|1|") {
        return hash_matches(hashed, name).unwrap_or(false);
    }
    let mut found = false;
    for pattern in field.split(',') {
        let (negated, pattern) = match pattern.strip_prefix('!') {
            Some(pattern) => (true, pattern),
            None => (false, pattern),
        };
        if glob_matches(pattern.to_ascii_lowercase().as_bytes(), name.0.as_bytes()) {
            if negated {
                return false;
            }
            found = true;
        }
    }
    found
}

/// `salt|digest`, both base64: HMAC-SHA1 of the name with the salt as key. `None`: not in that form.
fn hash_matches(hashed: &str, name: &LookupName) -> Option<bool> {
    let (salt, digest) = hashed.split_once('|')?;
    let salt = STANDARD.decode(salt).ok()?;
    let digest = STANDARD.decode(digest).ok()?;
    let mut mac = Hmac::<Sha1>::new_from_slice(&salt).ok()?;
    mac.update(name.0.as_bytes());
    Some(mac.verify_slice(&digest).is_ok())
}

/// `*` stands for any text, `?` for one byte, everything else (brackets too) for itself. Linear in time: on a
/// mismatch only the last `*` is widened.
pub(crate) fn glob_matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(&byte) = text.get(t) {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&c) if c == b'?' || c == byte => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((star_p, star_t)) = star else { return false };
                star = Some((star_p, star_t + 1));
                p = star_p + 1;
                t = star_t + 1;
            }
        }
    }
    pattern.iter().skip(p).all(|&c| c == b'*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

    /// What the lines say about a host: marker letters (`k` key, `a` authority, `r` revoked), upper case when the key
    /// cannot be read, with the line number.
    fn check(text: &str, host: &str, port: u16) -> String {
        entries_for(text, Path::new("f"), &LookupName::new(host, port, None))
            .iter()
            .map(|entry| {
                let letter = match entry.says {
                    Says::HostKey => 'k',
                    Says::Authority => 'a',
                    Says::Revoked => 'r',
                };
                let letter = if entry.key.is_ok() { letter } else { letter.to_ascii_uppercase() };
                format!("{letter}{}", entry.place.line)
            })
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn names_ports_and_case() {
        let text = format!(
            "a,B {KEY}\n[a]:2222 {KEY} comment\n# a {KEY}\n\n192.0.2.1 {KEY}\n[::1]:2222 {KEY}\n::1 {KEY}"
        );
        assert_eq!(check(&text, "a", 22), "k1");
        assert_eq!(check(&text, "A", 22), "k1");
        assert_eq!(check(&text, "b", 22), "k1");
        assert_eq!(check(&text, "a", 2222), "k2");
        assert_eq!(check(&text, "192.0.2.1", 22), "k5");
        assert_eq!(check(&text, "::1", 2222), "k6");
        assert_eq!(check(&text, "::1", 22), "k7");
        assert_eq!(check(&text, "c", 22), "");
    }

    #[test]
    fn patterns_and_negation() {
        let text = format!("*.example.com,!bad.example.com {KEY}\n[db?]:* {KEY}\n* {KEY}\n!* {KEY}");
        assert_eq!(check(&text, "x.example.com", 22), "k1 k3");
        assert_eq!(check(&text, "bad.example.com", 22), "k3");
        assert_eq!(check(&text, "db1", 2222), "k2 k3");
        assert_eq!(check(&text, "db", 2222), "k3");
        assert_eq!(check(&text, "db1", 22), "k3");
    }

    #[test]
    fn hashed_names_as_ssh_keygen_writes_them() {
        // Made by `ssh-keygen -H` from lines for "alpha" and "[alpha]:2222".
        let text =
            format!("|1|c2FsdHNhbHRzYWx0c2FsdDEy|{} {KEY}", hash("c2FsdHNhbHRzYWx0c2FsdDEy", "[alpha]:2222"));
        assert_eq!(check(&text, "Alpha", 2222), "k1");
        assert_eq!(check(&text, "alpha", 22), "");
        assert_eq!(check(&format!("|1|%%|x {KEY}\n|1|x {KEY}\n|2|a|b {KEY}"), "alpha", 22), "");
    }

    fn hash(salt: &str, name: &str) -> String {
        let mut mac = Hmac::<Sha1>::new_from_slice(&STANDARD.decode(salt).unwrap()).unwrap();
        mac.update(name.as_bytes());
        STANDARD.encode(mac.finalize().into_bytes())
    }

    #[test]
    fn markers() {
        let text = format!("@revoked a {KEY}\n@cert-authority  a,b\t{KEY} c\n@new a {KEY}\na {KEY}");
        assert_eq!(check(&text, "a", 22), "r1 a2 K3 k4");
        assert_eq!(check(&text, "b", 22), "a2");
    }

    #[test]
    fn an_unreadable_line_matters_only_to_its_host() {
        let text = "a ssh-ed25519 AAAA!!\n@revoked a ssh-dss\nb 1024 35 1234567890\njunk";
        assert_eq!(check(text, "a", 22), "K1 R2");
        assert_eq!(check(text, "b", 22), "K3");
        assert_eq!(check(text, "c", 22), "");
    }

    #[test]
    fn an_alias_replaces_name_and_port() {
        let name = LookupName::new("10.0.0.1", 2222, Some("Node-A"));
        assert_eq!(name.to_string(), "node-a");
        assert_eq!(entries_for(&format!("node-a {KEY}"), Path::new("f"), &name).len(), 1);
    }

    #[test]
    fn many_stars_end_soon() {
        assert!(!glob_matches("*a".repeat(40).as_bytes(), "a".repeat(39).as_bytes()));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "\\PC*", host in "\\PC*", port in any::<u16>()) {
            let name = LookupName::new(&host, port, None);
            let _ = entries_for(&text, Path::new("f"), &name);
        }

        #[test]
        fn globs_agree_with_the_plain_definition(pattern in "[ab*?]{0,6}", text in "[ab]{0,6}") {
            fn plain(pattern: &[u8], text: &[u8]) -> bool {
                match (pattern.split_first(), text.split_first()) {
                    (None, None) => true,
                    (Some((b'*', rest)), _) => plain(rest, text) || text.split_first().is_some_and(|(_, t)| plain(pattern, t)),
                    (Some((c, rest)), Some((b, t))) => (*c == b'?' || c == b) && plain(rest, t),
                    _ => false,
                }
            }
            prop_assert_eq!(glob_matches(pattern.as_bytes(), text.as_bytes()), plain(pattern.as_bytes(), text.as_bytes()));
        }
    }
}
