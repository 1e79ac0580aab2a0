// SPDX-License-Identifier: MPL-2.0
//! A pinned host key: the whole public key, or its SHA-256 fingerprint.
//!
//! Deliberately not here: the comparison with what a server offers (see `trust`), and MD5 fingerprints, which
//! prove nothing any more.

use std::fmt;
use std::str::FromStr;

use russh::keys::ssh_key::{Fingerprint, HashAlg, PublicKey};
use thiserror::Error;

/// One pinned host key. Parse it from OpenSSH text (`ssh-ed25519 AAAA...`, as in a `.pub` file) or from a
/// fingerprint (`SHA256:...`, as `ssh-keygen -l` prints it).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pin(Kind);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Kind {
    /// Compared byte for byte.
    Key(Box<PublicKey>),
    /// Always SHA-256; other digests are refused by the parser.
    Fingerprint(Fingerprint),
}

/// Why a text is not a pin.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "cannot use {found:?} as a pinned host key: {why}; give a public key as in a .pub file (\"ssh-ed25519 AAAA...\") \
     or a fingerprint as `ssh-keygen -l` prints it (\"SHA256:...\")"
)]
pub struct PinError {
    /// The text, shortened.
    pub found: String,
    /// What is wrong with it.
    pub why: String,
}

impl Pin {
    /// Whether this pin stands for that key.
    pub(crate) fn matches(&self, key: &PublicKey) -> bool {
        match &self.0 {
            Kind::Key(pinned) => pinned.key_data() == key.key_data(),
            Kind::Fingerprint(pinned) => *pinned == key.fingerprint(HashAlg::Sha256),
        }
    }

    /// The key, where the whole key was pinned.
    pub(crate) fn key(&self) -> Option<&PublicKey> {
        match &self.0 {
            Kind::Key(key) => Some(key),
            Kind::Fingerprint(_) => None,
        }
    }

    /// The key as in a `.pub` file, without comment; none where only a fingerprint was pinned.
    pub fn public_key(&self) -> Option<String> {
        self.key().map(crate::trust::to_text)
    }

    /// SHA-256 fingerprint, for messages.
    pub fn fingerprint(&self) -> String {
        match &self.0 {
            Kind::Key(key) => key.fingerprint(HashAlg::Sha256).to_string(),
            Kind::Fingerprint(fingerprint) => fingerprint.to_string(),
        }
    }
}

impl FromStr for Pin {
    type Err = PinError;

    fn from_str(text: &str) -> Result<Self, PinError> {
        let text = text.trim();
        let refuse = |why: String| PinError { found: text.chars().take(60).collect(), why };
        if text.starts_with("SHA256:") {
            let padless = text.trim_end_matches('=');
            let fingerprint: Fingerprint = padless
                .parse()
                .map_err(|error| refuse(format!("the fingerprint is not complete ({error})")))?;
            return Ok(Self(Kind::Fingerprint(fingerprint)));
        }
        if text.starts_with("MD5:") || text.split(':').filter(|part| part.len() == 2).count() == 16 {
            return Err(refuse("MD5 fingerprints can be forged".to_owned()));
        }
        let key = PublicKey::from_openssh(text)
            .map_err(|error| refuse(format!("it is not a public key ({error})")))?;
        Ok(Self(Kind::Key(Box::new(key))))
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.fingerprint())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

    fn check(text: &str) -> Result<String, String> {
        text.parse::<Pin>().map(|pin| pin.fingerprint()).map_err(|error| error.why)
    }

    #[test]
    fn a_key_and_its_fingerprint_are_the_same_pin() {
        let print = check(KEY).unwrap();
        assert!(print.starts_with("SHA256:"));
        let commented = format!("{KEY} some comment");
        assert_eq!(check(&commented).unwrap(), print);
        assert_eq!(commented.parse::<Pin>().unwrap().public_key().as_deref(), Some(KEY));
        assert_eq!(print.parse::<Pin>().unwrap().public_key(), None);
        assert_eq!(check(&print).unwrap(), print);
        let key = PublicKey::from_openssh(KEY).unwrap();
        assert!(print.parse::<Pin>().unwrap().matches(&key));
        assert!(KEY.parse::<Pin>().unwrap().matches(&key));
    }

    #[test]
    fn what_is_neither_is_refused_with_the_reason() {
        assert!(check("").unwrap_err().contains("not a public key"));
        assert!(check("SHA256:abc").unwrap_err().contains("not complete"));
        assert!(check("MD5:16:27:ac:a5:76:28:2d:36:63:1b:56:4d:eb:df:a6:48").unwrap_err().contains("MD5"));
        assert!(check("16:27:ac:a5:76:28:2d:36:63:1b:56:4d:eb:df:a6:48").unwrap_err().contains("MD5"));
    }
}
