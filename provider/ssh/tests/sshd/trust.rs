// SPDX-License-Identifier: MPL-2.0
//! Host keys: who is let through, who is refused, and with which words.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use drbd_ssh::{Pool, SshError, Target, Trust};

use crate::lab::{Setup, Sshd, folder, keygen, path, refused, run};

/// A stranger's key, as text.
fn other_key(server: &Sshd, kind: &str) -> String {
    if !server.path(&format!("other_{kind}")).exists() {
        keygen(server.dir.path(), &format!("other_{kind}"), kind, "");
    }
    server.read(&format!("other_{kind}.pub"))
}

async fn accepted(target: &Target) {
    if let Err(error) = Pool::new().connect(target).await {
        panic!("{error}");
    }
}

#[tokio::test]
async fn a_listed_key_is_accepted_and_told() {
    let server = Sshd::start();
    let target = Target { trust: server.known_hosts("HOST KEY\n"), ..server.target() };
    let session = Pool::new().connect(&target).await.unwrap();
    let key = server.read("host_ed25519.pub");
    assert!(key.starts_with(&session.host_key()), "{key} / {}", session.host_key());
    assert_eq!(session.host_key().split(' ').count(), 2);
}

#[tokio::test]
async fn an_unknown_key_is_refused_with_its_fingerprint_and_the_line_to_add() {
    let server = Sshd::start();
    let trust = server.known_hosts("other.example KEY\n[127.0.0.1]:1 KEY\n127.0.0.1 KEY\n");
    let error = refused(&Target { trust, ..server.target() }).await;
    let print = run("ssh-keygen", &["-lf", &path(server.dir.path(), "host_ed25519.pub")]);
    let print = print.split(' ').nth(1).unwrap();
    let SshError::HostKeyUnknown { host, offered, looked, advice, key } = &error else { panic!("{error}") };
    assert_eq!(*host, format!("[127.0.0.1]:{}", server.port));
    assert!(offered.ends_with(print), "{offered} {print}");
    assert!(looked.contains("known_hosts"));
    assert!(
        advice.contains(&format!("{host} {key}")) && advice.contains("ssh_host_ed25519_key.pub"),
        "{advice}"
    );
    assert!(!error.is_transient());
    // Taking the advice helps.
    accepted(&Target { trust: server.known_hosts(&format!("{host} {key}\n")), ..server.target() }).await;
}

#[tokio::test]
async fn a_changed_key_is_refused_with_both_fingerprints() {
    let server = Sshd::start();
    let other = other_key(&server, "ed25519");
    let error =
        refused(&Target { trust: server.known_hosts(&format!("HOST {other}\n")), ..server.target() }).await;
    let SshError::HostKeyMismatch { offered, expected, .. } = &error else { panic!("{error}") };
    assert!(
        offered.contains("SHA256:") && expected.contains("SHA256:") && expected.contains("line 1"),
        "{error}"
    );
    assert!(!server.log().contains("Accepted"), "no key was offered to a host that was not verified");
    // A key of another type is no reason to call the host unknown: whoever is in between would choose that.
    let other = other_key(&server, "rsa");
    let error =
        refused(&Target { trust: server.known_hosts(&format!("HOST {other}\n")), ..server.target() }).await;
    assert!(matches!(error, SshError::HostKeyMismatch { .. }), "{error}");
}

#[tokio::test]
async fn rotation_two_keys_of_one_type_are_both_good() {
    let server = Sshd::start();
    let other = other_key(&server, "ed25519");
    for lines in [format!("HOST {other}\nHOST KEY\n"), format!("HOST KEY\nHOST {other}\n")] {
        accepted(&Target { trust: server.known_hosts(&lines), ..server.target() }).await;
    }
}

#[tokio::test]
async fn a_revoked_key_is_refused_even_when_listed() {
    let server = Sshd::start();
    for lines in ["HOST KEY\n@revoked * KEY\n", "@revoked HOST KEY\nHOST KEY\n"] {
        let error = refused(&Target { trust: server.known_hosts(lines), ..server.target() }).await;
        assert!(
            matches!(&error, SshError::HostKeyRevoked { by, .. } if by.contains("known_hosts line")),
            "{error}"
        );
    }
    // Revoked for somebody else.
    accepted(&Target { trust: server.known_hosts("@revoked elsewhere KEY\nHOST KEY\n"), ..server.target() })
        .await;
    // A revocation that cannot be read might be the one.
    let trust = server.known_hosts("@revoked * ssh-ed25519 AAAAgarbage\nHOST KEY\n");
    let error = refused(&Target { trust, ..server.target() }).await;
    assert!(matches!(&error, SshError::TrustUnusable { why, .. } if why.contains("line 1")), "{error}");
}

#[tokio::test]
async fn hashed_names_as_ssh_keygen_makes_them() {
    let server = Sshd::start();
    let trust = server.known_hosts("HOST KEY\n");
    run("ssh-keygen", &["-q", "-H", "-f", &path(server.dir.path(), "known_hosts")]);
    assert!(server.read("known_hosts").starts_with("|1|"));
    accepted(&Target { trust: trust.clone(), ..server.target() }).await;
    let error = refused(&Target { trust, host: "localhost".to_owned(), ..server.target() }).await;
    assert!(matches!(error, SshError::HostKeyUnknown { .. } | SshError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn patterns_negation_and_alias() {
    let server = Sshd::start();
    accepted(&Target { trust: server.known_hosts("[127.0.0.?]:* KEY\n"), ..server.target() }).await;
    let error = refused(&Target { trust: server.known_hosts("*,!HOST KEY\n"), ..server.target() }).await;
    assert!(matches!(error, SshError::HostKeyUnknown { .. }), "{error}");
    let aliased = Target { host_key_alias: Some("Node-A".to_owned()), ..server.target() };
    accepted(&Target { trust: server.known_hosts("node-a KEY\n"), ..aliased.clone() }).await;
    let error = refused(&Target { trust: server.known_hosts("HOST KEY\n"), ..aliased }).await;
    assert!(matches!(&error, SshError::HostKeyUnknown { host, .. } if host == "node-a"), "{error}");
}

#[tokio::test]
async fn the_server_is_asked_for_the_type_that_is_known() {
    let server = Sshd::with(Setup { host_keys: vec!["ed25519", "ecdsa", "rsa"], ..Setup::default() });
    for kind in ["rsa", "ecdsa", "ed25519"] {
        let key = server.read(&format!("host_{kind}.pub"));
        let trust = server.known_hosts(&format!("HOST {key}\n"));
        let session = Pool::new().connect(&Target { trust, ..server.target() }).await.unwrap();
        assert!(key.starts_with(&session.host_key()), "{kind}");
        accepted(&Target { trust: Trust::Pinned(vec![key.parse().unwrap()]), ..server.target() }).await;
        let print = run("ssh-keygen", &["-lf", &path(server.dir.path(), &format!("host_{kind}.pub"))]);
        let pin = print.split(' ').nth(1).unwrap().parse().unwrap();
        accepted(&Target { trust: Trust::Pinned(vec![pin]), ..server.target() }).await;
    }
}

#[tokio::test]
async fn a_server_with_sha1_signatures_only_is_refused() {
    let setup = Setup { host_keys: vec!["rsa"], config: "HostKeyAlgorithms ssh-rsa".to_owned(), dir: None };
    let server = Sshd::with(setup);
    let key = server.read("host_rsa.pub");
    let error =
        refused(&Target { trust: server.known_hosts(&format!("HOST {key}\n")), ..server.target() }).await;
    assert!(matches!(&error, SshError::NoCommonAlgorithm { .. }), "{error}");
}

#[tokio::test]
async fn pins_accept_their_key_and_nothing_else() {
    let server = Sshd::start();
    let other: drbd_ssh::Pin = other_key(&server, "ed25519").parse().unwrap();
    let own: drbd_ssh::Pin = server.read("host_ed25519.pub").parse().unwrap();
    accepted(&Target { trust: Trust::Pinned(vec![other.clone(), own]), ..server.target() }).await;
    let error = refused(&Target { trust: Trust::Pinned(vec![other.clone()]), ..server.target() }).await;
    assert!(
        matches!(&error, SshError::HostKeyMismatch { expected, .. } if expected.contains("pinned")),
        "{error}"
    );
    let print = other.fingerprint().parse().unwrap();
    let error = refused(&Target { trust: Trust::Pinned(vec![print]), ..server.target() }).await;
    assert!(
        matches!(&error, SshError::HostKeyMismatch { offered, .. } if offered.contains("ed25519")),
        "{error}"
    );
    let error = refused(&Target { trust: Trust::Pinned(vec![]), ..server.target() }).await;
    assert!(matches!(error, SshError::TrustUnusable { .. }), "{error}");
}

#[tokio::test]
async fn a_missing_file_is_empty_and_an_unreadable_one_is_an_error() {
    let server = Sshd::start();
    let Trust::KnownHosts { files } = server.known_hosts("HOST KEY\n") else { unreachable!() };
    let missing = server.path("missing");
    let both = Trust::KnownHosts { files: vec![missing.clone(), files[0].clone()] };
    accepted(&Target { trust: both, ..server.target() }).await;
    let error =
        refused(&Target { trust: Trust::KnownHosts { files: vec![missing] }, ..server.target() }).await;
    assert!(
        matches!(&error, SshError::HostKeyUnknown { looked, .. } if looked.contains("does not exist")),
        "{error}"
    );
    // A folder in its place cannot be read by root either.
    let folder = Trust::KnownHosts { files: vec![files[0].clone(), server.dir.path().to_owned()] };
    let error = refused(&Target { trust: folder, ..server.target() }).await;
    assert!(
        matches!(&error, SshError::TrustUnusable { why, .. } if why.contains("cannot be read")),
        "{error}"
    );
}

#[tokio::test]
async fn a_bad_line_hurts_only_its_own_host() {
    let server = Sshd::start();
    let lines = "elsewhere ssh-ed25519 garbage\nHOST ssh-new AAAA\n\u{fffd}\nHOST KEY\n";
    accepted(&Target { trust: server.known_hosts(lines), ..server.target() }).await;
    let error =
        refused(&Target { trust: server.known_hosts("HOST ssh-ed25519 garbage\n"), ..server.target() }).await;
    assert!(
        matches!(&error, SshError::HostKeyUnknown { looked, .. } if looked.contains("line 1 names it")),
        "{error}"
    );
}

/// A server whose host key is certified by `ca`, with these arguments for ssh-keygen.
fn certified(arguments: &[&str]) -> Sshd {
    certified_by("ed25519", arguments)
}

fn certified_by(kind: &str, arguments: &[&str]) -> Sshd {
    let dir = folder();
    let at = |name: &str| path(dir.path(), name);
    keygen(dir.path(), "ca", kind, "");
    keygen(dir.path(), "host_ed25519", "ed25519", "");
    let mut all = vec!["-q", "-s"];
    let (ca, key) = (at("ca"), at("host_ed25519.pub"));
    all.extend([ca.as_str(), "-I", "node"]);
    all.extend(arguments);
    all.push(&key);
    run("ssh-keygen", &all);
    fs::rename(dir.path().join("host_ed25519.pub"), dir.path().join("bare.pub")).unwrap();
    fs::rename(dir.path().join("host_ed25519"), dir.path().join("bare")).unwrap();
    let config = format!("HostKey {}\nHostCertificate {}", at("bare"), at("host_ed25519-cert.pub"));
    Sshd::with(Setup { config, host_keys: vec!["ecdsa"], dir: Some(dir) })
}

#[tokio::test]
async fn a_certified_host_is_accepted_by_its_authority() {
    let server = certified(&["-h", "-n", "127.0.0.1,node-a", "-V", "-1h:+1h"]);
    let ca = server.read("ca.pub");
    let line = format!("@cert-authority * {ca}\n");
    let session =
        Pool::new().connect(&Target { trust: server.known_hosts(&line), ..server.target() }).await.unwrap();
    assert!(server.read("bare.pub").starts_with(&session.host_key()), "the certified key is told");
    let aliased = Target { host_key_alias: Some("node-a".to_owned()), ..server.target() };
    accepted(&Target { trust: server.known_hosts(&line), ..aliased }).await;
    // The bare key is enough as well, and the authority alone is not a host key.
    let bare = server.read("bare.pub");
    accepted(&Target { trust: server.known_hosts(&format!("HOST {bare}\n")), ..server.target() }).await;
    let error =
        refused(&Target { trust: server.known_hosts(&format!("HOST {ca}\n")), ..server.target() }).await;
    assert!(matches!(error, SshError::HostKeyMismatch { .. }), "{error}");
}

#[tokio::test]
async fn a_certificate_that_does_not_fit_is_refused_with_the_reason() {
    let cases: [(&[&str], &str); 4] = [
        (&["-h", "-n", "elsewhere", "-V", "-1h:+1h"], "not for \"127.0.0.1\""),
        (&["-h", "-n", "127.0.0.1", "-V", "-2h:-1h"], "expired"),
        (&["-h", "-V", "-1h:+1h"], "not for"),
        (&["-h", "-n", "127.0.0.1", "-V", "+1h:+2h"], "not yet valid"),
    ];
    for (arguments, expected) in cases {
        let server = certified(arguments);
        let line = format!("@cert-authority * {}\n", server.read("ca.pub"));
        let error = refused(&Target { trust: server.known_hosts(&line), ..server.target() }).await;
        assert!(
            matches!(&error, SshError::HostKeyUnknown { looked, .. } if looked.contains(expected)),
            "{error}"
        );
        // As with OpenSSH, the key itself may be listed beside.
        let lines = format!("{line}HOST {}\n", server.read("bare.pub"));
        accepted(&Target { trust: server.known_hosts(&lines), ..server.target() }).await;
    }
}

#[tokio::test]
async fn an_rsa_authority_must_not_sign_with_sha1() {
    for (algorithm, good) in [("rsa-sha2-512", true), ("rsa-sha2-256", true), ("ssh-rsa", false)] {
        let server = certified_by("rsa", &["-h", "-t", algorithm, "-n", "127.0.0.1", "-V", "-1h:+1h"]);
        let trust = server.known_hosts(&format!("@cert-authority * {}\n", server.read("ca.pub")));
        let target = Target { trust, ..server.target() };
        if good {
            accepted(&target).await;
        } else {
            let error = refused(&target).await;
            assert!(
                matches!(&error, SshError::HostKeyUnknown { looked, .. } if looked.contains("SHA-1")),
                "{error}"
            );
        }
    }
}

#[tokio::test]
async fn a_strangers_or_a_revoked_authority_vouches_for_nobody() {
    let server = certified(&["-h", "-n", "127.0.0.1", "-V", "-1h:+1h"]);
    let ca = server.read("ca.pub");
    let other = other_key(&server, "ed25519");
    let trust = server.known_hosts(&format!("@cert-authority * {other}\n"));
    let error = refused(&Target { trust, ..server.target() }).await;
    assert!(
        matches!(&error, SshError::HostKeyUnknown { looked, .. } if looked.contains("no authority for it")),
        "{error}"
    );
    let lines = format!("@cert-authority * {ca}\n@revoked * {ca}\nHOST {}\n", server.read("bare.pub"));
    let error = refused(&Target { trust: server.known_hosts(&lines), ..server.target() }).await;
    assert!(matches!(error, SshError::HostKeyRevoked { .. }), "{error}");
}

#[tokio::test]
async fn known_hosts_of_others_may_be_read_only() {
    let server = Sshd::start();
    let trust = server.known_hosts("HOST KEY\n");
    fs::set_permissions(server.path("known_hosts"), fs::Permissions::from_mode(0o444)).unwrap();
    accepted(&Target { trust, ..server.target() }).await;
    assert_eq!(server.read("known_hosts").lines().count(), 1, "nothing was written");
}
