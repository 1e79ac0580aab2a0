// SPDX-License-Identifier: MPL-2.0
//! The decision about an offered host key: accept it, or say exactly why not.
//!
//! [`Vouchers`] are read before the connection opens, because what is known decides which key the server is asked for.
//! The decision itself is a pure function of the vouchers, the offered key and the time.
//! Deliberately not here: the network, and any way to accept a key nobody vouched for.

use std::path::PathBuf;

use russh::keys::ssh_key::certificate::CertType;
use russh::keys::ssh_key::{Algorithm, Certificate, EcdsaCurve, Fingerprint, HashAlg, PublicKey};

use crate::error::SshError;
use crate::known_hosts::{Entry, LookupName, Place, Says, entries_for, glob_matches};
use crate::pin::Pin;
use crate::target::{Target, Trust};

/// Everything that is known about one host's key.
#[derive(Clone, Debug)]
pub(crate) struct Vouchers {
    name: LookupName,
    /// What a host certificate must name: the alias or the host, without the port.
    principal: String,
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    Files { entries: Vec<Entry>, files: Vec<(PathBuf, Presence)> },
    Pins(Vec<Pin>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    Read,
    Missing,
}

/// What a server offers to prove who it is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Offer<'a> {
    /// A bare key.
    Key(&'a PublicKey),
    /// A certificate, with the key it holds.
    Certificate(&'a Certificate, &'a PublicKey),
}

/// Which host-key algorithms to ask for, most wanted first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Bare keys.
    pub(crate) keys: Vec<Algorithm>,
    /// Certificates; empty where no authority is trusted for the host.
    pub(crate) certificates: Vec<Algorithm>,
}

/// All that are accepted, in OpenSSH's order. SHA-1 (`ssh-rsa`) is not among them.
const ALGORITHMS: [Algorithm; 6] = [
    Algorithm::Ed25519,
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
    Algorithm::Rsa { hash: Some(HashAlg::Sha512) },
    Algorithm::Rsa { hash: Some(HashAlg::Sha256) },
];

impl Vouchers {
    /// Reads what the target's trust names.
    ///
    /// # Errors
    /// [`SshError::TrustUnusable`]: a file exists but cannot be read, or there is no pin at all.
    pub(crate) async fn read(target: &Target) -> Result<Self, SshError> {
        let alias = target.host_key_alias.as_deref();
        let name = LookupName::new(&target.host, target.port, alias);
        let principal = alias.unwrap_or(&target.host).to_ascii_lowercase();
        let unusable = |why: String| SshError::TrustUnusable { host: name.to_string(), why };
        let source = match &target.trust {
            Trust::Pinned(pins) if pins.is_empty() => {
                return Err(unusable("the list of pinned keys is empty".to_owned()));
            }
            Trust::Pinned(pins) => Source::Pins(pins.clone()),
            Trust::KnownHosts { files } => {
                let mut entries = Vec::new();
                let mut seen = Vec::new();
                for file in files {
                    match tokio::fs::read(file).await {
                        Ok(bytes) => {
                            entries.extend(entries_for(&String::from_utf8_lossy(&bytes), file, &name));
                            seen.push((file.clone(), Presence::Read));
                        }
                        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                            seen.push((file.clone(), Presence::Missing));
                        }
                        Err(error) => {
                            return Err(unusable(format!(
                                "{} cannot be read ({error}); a line in it might revoke the key, so make it readable or leave \
                                 it out of the configuration",
                                file.display()
                            )));
                        }
                    }
                }
                Source::Files { entries, files: seen }
            }
        };
        Ok(Self { name, principal, source })
    }

    /// The algorithms to ask the server for: those of known keys first, so that a server with several keys offers one
    /// that can be verified.
    pub(crate) fn wanted(&self) -> Wanted {
        let known: Vec<Algorithm> = self.known_keys().map(|(key, _)| key.algorithm()).collect();
        let is_known = |algorithm: &Algorithm| known.iter().any(|known| same_family(known, algorithm));
        let (first, last): (Vec<Algorithm>, Vec<Algorithm>) = ALGORITHMS.into_iter().partition(is_known);
        let trusted_authority =
            self.entries().any(|entry| entry.says == Says::Authority && entry.key.is_ok());
        let certificates = if trusted_authority { ALGORITHMS.to_vec() } else { Vec::new() };
        Wanted { keys: first.into_iter().chain(last).collect(), certificates }
    }

    /// Whether all that is known are fingerprints, which do not tell the type of their key.
    pub(crate) fn only_fingerprints(&self) -> bool {
        match &self.source {
            Source::Pins(pins) => pins.iter().all(|pin| pin.key().is_none()),
            Source::Files { .. } => false,
        }
    }

    /// Accepts the offer, or says why not. `now` is in seconds since 1970.
    pub(crate) fn judge(&self, offer: Offer<'_>, now: u64) -> Result<(), SshError> {
        let (key, certificate) = match offer {
            Offer::Key(key) => (key, None),
            Offer::Certificate(certificate, key) => (key, Some(certificate)),
        };
        self.check_revocation(key, certificate)?;
        if let Source::Pins(pins) = &self.source {
            return if pins.iter().any(|pin| pin.matches(key)) { Ok(()) } else { Err(self.mismatch(key)) };
        }
        let mut rejected = None;
        if let Some(certificate) = certificate {
            match self.check_certificate(certificate, now) {
                Ok(()) => return Ok(()),
                // As in OpenSSH, the key inside may still be listed by itself.
                Err(why) => rejected = Some(why),
            }
        }
        if self.known_keys().any(|(known, _)| known.key_data() == key.key_data()) {
            return Ok(());
        }
        if self.known_keys().next().is_some() {
            Err(self.mismatch(key))
        } else {
            Err(self.unknown(key, rejected))
        }
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        match &self.source {
            Source::Files { entries, .. } => entries.iter(),
            Source::Pins(_) => [].iter(),
        }
    }

    /// Keys of the host that can be read, with their place when they have one.
    fn known_keys(&self) -> impl Iterator<Item = (&PublicKey, Option<&Place>)> {
        let pins = match &self.source {
            Source::Pins(pins) => pins.as_slice(),
            Source::Files { .. } => &[],
        };
        let listed = self.entries().filter(|entry| entry.says == Says::HostKey);
        let listed = listed.filter_map(|entry| entry.key.as_ref().ok().map(|key| (key, Some(&entry.place))));
        listed.chain(pins.iter().filter_map(Pin::key).map(|key| (key, None)))
    }

    /// A revoked key is refused, whatever else vouches for it; so is everything when a revocation cannot be read.
    fn check_revocation(&self, key: &PublicKey, certificate: Option<&Certificate>) -> Result<(), SshError> {
        for entry in self.entries().filter(|entry| entry.says == Says::Revoked) {
            let revoked = entry.key.as_ref().map_err(|why| SshError::TrustUnusable {
                host: self.name.to_string(),
                why: format!("{} revokes a key for this host, but {why}; repair that line", entry.place),
            })?;
            let authority = certificate.is_some_and(|cert| cert.signature_key() == revoked.key_data());
            if revoked.key_data() == key.key_data() || authority {
                return Err(SshError::HostKeyRevoked {
                    host: self.name.to_string(),
                    offered: describe(key),
                    by: entry.place.to_string(),
                });
            }
        }
        Ok(())
    }

    /// Whether a trusted authority says, with a certificate valid now, that this is the host.
    fn check_certificate(&self, certificate: &Certificate, now: u64) -> Result<(), String> {
        let authorities: Vec<Fingerprint> = self
            .entries()
            .filter(|entry| entry.says == Says::Authority)
            .filter_map(|entry| entry.key.as_ref().ok().map(|key| key.fingerprint(HashAlg::Sha256)))
            .collect();
        let signer = certificate.signature_key().fingerprint(HashAlg::Sha256);
        if !authorities.contains(&signer) {
            return Err(format!("its certificate is signed by {signer}, which is no authority for it"));
        }
        if matches!(certificate.signature().algorithm(), Algorithm::Rsa { hash: None } | Algorithm::Dsa) {
            return Err("its certificate is signed with a broken algorithm (SHA-1)".to_owned());
        }
        if certificate.cert_type() != CertType::Host {
            return Err("its certificate is one for users".to_owned());
        }
        if now < certificate.valid_after() || now >= certificate.valid_before() {
            return Err("its certificate is expired or not yet valid".to_owned());
        }
        if !certificate.critical_options().is_empty() {
            return Err("its certificate holds critical options, and none is defined for hosts".to_owned());
        }
        let names = certificate.valid_principals();
        let fits =
            |name: &String| glob_matches(name.to_ascii_lowercase().as_bytes(), self.principal.as_bytes());
        if !names.iter().any(fits) {
            return Err(format!("its certificate is for {names:?}, not for {:?}", self.principal));
        }
        certificate
            .validate_at(now, &authorities)
            .map_err(|_| "the signature of its certificate is wrong".to_owned())
    }

    fn mismatch(&self, key: &PublicKey) -> SshError {
        let expected = match &self.source {
            Source::Pins(pins) => {
                let pins: Vec<String> = pins.iter().map(Pin::fingerprint).collect();
                format!("{} is pinned", pins.join(" or "))
            }
            Source::Files { .. } => self
                .known_keys()
                .map(|(known, place)| match place {
                    Some(place) => format!("{} is recorded in {place}", describe(known)),
                    None => describe(known),
                })
                .collect::<Vec<_>>()
                .join(" and "),
        };
        SshError::HostKeyMismatch { host: self.name.to_string(), offered: describe(key), expected }
    }

    fn unknown(&self, key: &PublicKey, rejected: Option<String>) -> SshError {
        let Source::Files { entries, files } = &self.source else { return self.mismatch(key) };
        let list = |wanted: Presence| {
            let list: Vec<String> = files
                .iter()
                .filter(|(_, presence)| *presence == wanted)
                .map(|(file, _)| file.display().to_string())
                .collect();
            list.join(", ")
        };
        let (read, missing) = (list(Presence::Read), list(Presence::Missing));
        let mut looked = match (read.is_empty(), missing.is_empty()) {
            (true, true) => "no known_hosts file is configured".to_owned(),
            (false, true) => format!("there is no line for it in {read}"),
            (true, false) => format!("{missing} does not exist"),
            (false, false) => format!("there is no line for it in {read} ({missing} does not exist)"),
        };
        if let Some(why) = rejected {
            looked.push_str(", and ");
            looked.push_str(&why);
        }
        for entry in entries {
            match (&entry.key, entry.says) {
                (Err(why), _) => looked.push_str(&format!(", and {} names it but {why}", entry.place)),
                (Ok(_), Says::Authority) => {
                    looked.push_str(&format!(" ({} trusts an authority for it)", entry.place));
                }
                (Ok(_), Says::HostKey | Says::Revoked) => {}
            }
        }
        let text = to_text(key);
        let file =
            files.first().map_or("~/.ssh/known_hosts".to_owned(), |(file, _)| file.display().to_string());
        SshError::HostKeyUnknown {
            host: self.name.to_string(),
            offered: describe(key),
            looked,
            advice: format!(
                "compare the fingerprint with `ssh-keygen -lf /etc/ssh/ssh_host_{}_key.pub` run on the host's own console, then \
                 add the line \"{} {text}\" to {file}, or pin the key in the configuration",
                family_name(&key.algorithm()),
                self.name
            ),
            key: text,
        }
    }
}

/// The key as one line of OpenSSH text, without comment.
pub(crate) fn to_text(key: &PublicKey) -> String {
    PublicKey::new(key.key_data().clone(), "").to_openssh().unwrap_or_else(|_| describe(key))
}

/// Algorithm and fingerprint, as people compare them.
pub(crate) fn describe(key: &PublicKey) -> String {
    format!("{} {}", key.algorithm().as_str(), key.fingerprint(HashAlg::Sha256))
}

/// Whether two algorithms use the same keys: for RSA the hash does not matter.
pub(crate) fn same_family(a: &Algorithm, b: &Algorithm) -> bool {
    match (a, b) {
        (Algorithm::Rsa { .. }, Algorithm::Rsa { .. }) => true,
        (a, b) => a == b,
    }
}

/// The middle part of `ssh_host_*_key`.
fn family_name(algorithm: &Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Rsa { .. } => "rsa",
        Algorithm::Ecdsa { .. } => "ecdsa",
        _ => "ed25519",
    }
}

#[cfg(test)]
mod tests {
    use russh::keys::key::safe_rng;
    use russh::keys::ssh_key::PrivateKey;
    use russh::keys::ssh_key::certificate::Builder;

    use super::*;

    fn key() -> PrivateKey {
        PrivateKey::random(&mut safe_rng(), Algorithm::Ed25519).unwrap()
    }

    fn vouchers(lines: &str) -> Vouchers {
        let name = LookupName::new("node", 22, None);
        let file = PathBuf::from("kh");
        let entries = entries_for(lines, &file, &name);
        Vouchers {
            name,
            principal: "node".to_owned(),
            source: Source::Files { entries, files: vec![(file, Presence::Read)] },
        }
    }

    /// A certificate for `host` by `ca`, valid from 100 to 200, changed by `change`.
    fn certificate(
        ca: &PrivateKey,
        host: &PrivateKey,
        kind: CertType,
        change: impl FnOnce(&mut Builder),
    ) -> Certificate {
        let public = host.public_key().key_data().clone();
        let mut builder = Builder::new(vec![7; 16], public, 100, 200).unwrap();
        builder.cert_type(kind).unwrap().key_id("id").unwrap();
        change(&mut builder);
        builder.sign(ca).unwrap()
    }

    /// Judges a certificate that `ca` signed, at a time, with the authority listed.
    fn check(now: u64, change: impl FnOnce(&mut Builder)) -> Result<(), String> {
        check_kind(CertType::Host, now, change)
    }

    fn check_kind(kind: CertType, now: u64, change: impl FnOnce(&mut Builder)) -> Result<(), String> {
        let (ca, host) = (key(), key());
        let certificate = certificate(&ca, &host, kind, change);
        let vouchers = vouchers(&format!("@cert-authority n* {}", to_text(ca.public_key())));
        let offer = Offer::Certificate(&certificate, host.public_key());
        vouchers.judge(offer, now).map_err(|error| error.to_string())
    }

    #[test]
    fn a_certificate_counts_from_its_first_second_to_its_last() {
        let named = |builder: &mut Builder| drop(builder.valid_principal("Node").map(drop));
        assert_eq!(check(100, named), Ok(()));
        assert_eq!(check(199, named), Ok(()));
        assert!(check(99, named).unwrap_err().contains("not yet valid"));
        assert!(check(200, named).unwrap_err().contains("expired"));
    }

    #[test]
    fn a_certificate_must_be_for_this_host() {
        let named =
            |name: &'static str| move |builder: &mut Builder| drop(builder.valid_principal(name).map(drop));
        assert_eq!(check(150, named("n?de")), Ok(()));
        assert!(check(150, named("other")).unwrap_err().contains("not for \"node\""));
        let everybody = |builder: &mut Builder| drop(builder.all_principals_valid().map(drop));
        assert!(check(150, everybody).unwrap_err().contains("not for \"node\""));
    }

    #[test]
    fn a_users_certificate_or_one_with_conditions_is_none() {
        let named = |builder: &mut Builder| drop(builder.valid_principal("node").map(drop));
        let user = check_kind(CertType::User, 150, named);
        assert!(user.unwrap_err().contains("one for users"));
        let conditional = check(150, |builder| {
            builder.valid_principal("node").unwrap().critical_option("x", "y").unwrap();
        });
        assert!(conditional.unwrap_err().contains("critical options"));
    }

    #[test]
    fn a_signature_of_another_certificate_does_not_count() {
        let (ca, host, attacker) = (key(), key(), key());
        let named = |builder: &mut Builder| drop(builder.valid_principal("node").map(drop));
        let good = certificate(&ca, &host, CertType::Host, named);
        // The attacker's key in the place of the certified one: the blobs differ in those 32 bytes only.
        let mut bytes = good.to_bytes().unwrap();
        let old = host.public_key().key_data().ed25519().unwrap().0;
        let new = attacker.public_key().key_data().ed25519().unwrap().0;
        let at = bytes.windows(32).position(|window| window == old).unwrap();
        bytes.splice(at..at + 32, new);
        let forged = Certificate::from_bytes(&bytes).unwrap();
        let vouchers = vouchers(&format!("@cert-authority * {}", to_text(ca.public_key())));
        assert!(vouchers.judge(Offer::Certificate(&good, host.public_key()), 150).is_ok());
        let error = vouchers.judge(Offer::Certificate(&forged, attacker.public_key()), 150).unwrap_err();
        assert!(error.to_string().contains("signature of its certificate is wrong"), "{error}");
    }

    #[test]
    fn known_types_are_asked_for_first_and_sha1_never() {
        let none = vouchers("").wanted();
        assert_eq!((none.keys, none.certificates), (ALGORITHMS.to_vec(), Vec::new()));
        let rsa = "node ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQDDmFr4Xl5rNyTFxHEMN4gtVn8+Y0mR7gGnPvfDvHcZ6Q4Uj1Nhcp3eNfPQGNhPuVWuz0YyD0G1bE2fyCJkVpoLs+0Qd1n8yMX0dVt1oAy8oX1gq6j2cVwPzqR3Zzq2r0u3o7TQb5m9n1q1GQ8xHDlTrqf4ZK3PZ1c2zB7X0k9DWQ==";
        let wanted = vouchers(rsa).wanted();
        let first = wanted.keys.first().unwrap();
        assert_eq!(*first, Algorithm::Rsa { hash: Some(HashAlg::Sha512) });
        assert_eq!(wanted.keys.len(), ALGORITHMS.len());
        assert!(!wanted.keys.contains(&Algorithm::Rsa { hash: None }));
    }

    #[test]
    fn no_voucher_no_entry() {
        let error = vouchers("").judge(Offer::Key(key().public_key()), 150).unwrap_err();
        assert!(matches!(error, SshError::HostKeyUnknown { .. }), "{error}");
    }
}
