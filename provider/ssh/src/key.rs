// SPDX-License-Identifier: MPL-2.0
//! Reading private keys and their certificates.
//!
//! Deliberately not here: offering them (`auth`). No function of this file puts key material in a message.

use std::ffi::OsString;
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use russh::keys::ssh_key::{Certificate, PrivateKey};
use russh::keys::{Error as KeyError, decode_secret_key};
use tokio::task::spawn_blocking;
use zeroize::Zeroizing;

use crate::error::SshError;
use crate::secret::Secret;

/// A private key, and the user certificate for it when there is one.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) key: Arc<PrivateKey>,
    pub(crate) certificate: Option<Certificate>,
}

/// Reads a key file, and `<path>-cert.pub` when it exists.
///
/// # Errors
/// [`SshError::KeyUnreadable`], also when others may read the file: like `ssh`, we do not use such a key.
pub(crate) async fn from_file(path: &Path, passphrase: Option<&Secret>) -> Result<Identity, SshError> {
    let name = path.display().to_string();
    let fail = |why: String| SshError::KeyUnreadable { key: name.clone(), why };
    let metadata =
        tokio::fs::metadata(path).await.map_err(|error| fail(format!("{error}; check the path")))?;
    check_permissions(&metadata).map_err(&fail)?;
    let bytes = tokio::fs::read(path).await.map_err(|error| fail(error.to_string()))?;
    let text =
        String::from_utf8(bytes).map_err(|_| fail("it is not a text file with a private key".to_owned()))?;
    let text = Zeroizing::new(text);
    let beside = certificate_path(path);
    let certificate = match tokio::fs::read_to_string(&beside).await {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => {
            return Err(fail(format!("its certificate {} cannot be read ({error})", beside.display())));
        }
    };
    decode(name.clone(), text, passphrase.cloned(), certificate).await
}

/// Takes a key, and a certificate, given as text.
///
/// # Errors
/// [`SshError::KeyUnreadable`].
pub(crate) async fn from_text(
    key: &Secret,
    passphrase: Option<&Secret>,
    certificate: Option<&str>,
) -> Result<Identity, SshError> {
    let text = Zeroizing::new(key.expose().to_owned());
    decode("given as text".to_owned(), text, passphrase.cloned(), certificate.map(str::to_owned)).await
}

/// `id_ed25519` -> `id_ed25519-cert.pub`, OpenSSH's convention.
fn certificate_path(key: &Path) -> PathBuf {
    let mut name = OsString::from(key);
    name.push("-cert.pub");
    PathBuf::from(name)
}

/// Parses off the event loop: deriving a key from a passphrase takes a good part of a second on purpose.
async fn decode(
    name: String,
    text: Zeroizing<String>,
    passphrase: Option<Secret>,
    certificate: Option<String>,
) -> Result<Identity, SshError> {
    let shown = name.clone();
    let decoded = spawn_blocking(move || {
        let key = parse(&text, passphrase.as_ref())?;
        let certificate = certificate.map(|text| parse_certificate(&text, &key)).transpose()?;
        Ok(Identity { key: Arc::new(key), certificate })
    });
    match decoded.await {
        Ok(decoded) => decoded.map_err(|why| SshError::KeyUnreadable { key: name, why }),
        Err(error) => {
            Err(SshError::KeyUnreadable { key: shown, why: format!("reading it was interrupted ({error})") })
        }
    }
}

fn parse(text: &str, passphrase: Option<&Secret>) -> Result<PrivateKey, String> {
    if text.trim_start().starts_with("ssh-") {
        return Err("it is a public key; name the private key (without .pub), or use an agent".to_owned());
    }
    decode_secret_key(text, passphrase.map(Secret::expose)).map_err(|error| match (error, passphrase) {
        (KeyError::KeyIsEncrypted, None) => {
            "it is encrypted; give its passphrase, or load it into an agent".to_owned()
        }
        (_, Some(_)) => "the passphrase does not fit, or the key is damaged; `ssh-keygen -y -f` asks for it and tells".to_owned(),
        (KeyError::CouldNotReadKey, None) => {
            "it holds no private key in a known format (OpenSSH, PKCS#1, PKCS#8, SEC1 PEM); check that it is the right file".to_owned()
        }
        (error, None) => {
            format!("it cannot be parsed ({error}); `ssh-keygen -y -f` tells whether it is damaged")
        }
    })
}

fn parse_certificate(text: &str, key: &PrivateKey) -> Result<Certificate, String> {
    let certificate = Certificate::from_openssh(text.trim()).map_err(|error| {
        format!("its certificate cannot be parsed ({error}); issue a new one or move it away")
    })?;
    if certificate.public_key() != key.public_key().key_data() {
        return Err("its certificate is for another key; issue a new one or move it away".to_owned());
    }
    Ok(certificate)
}

/// Like `ssh`: a private key that is ours and that others may read is not used.
#[cfg(unix)]
fn check_permissions(metadata: &Metadata) -> Result<(), String> {
    use std::os::unix::fs::MetadataExt;
    if !metadata.is_file() {
        return Err("it is not a file".to_owned());
    }
    let mode = metadata.mode() & 0o777;
    if metadata.uid() == rustix::process::geteuid().as_raw() && mode & 0o077 != 0 {
        return Err(format!("others may read it (its mode is {mode:04o}); run `chmod 600` on it"));
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_permissions(metadata: &Metadata) -> Result<(), String> {
    if metadata.is_file() { Ok(()) } else { Err("it is not a file".to_owned()) }
}
