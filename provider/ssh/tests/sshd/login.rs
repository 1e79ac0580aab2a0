// SPDX-License-Identifier: MPL-2.0
//! Proving who we are.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use drbd_ssh::{Auth, Pool, SshError, Target};

use crate::lab::{Agent, Setup, Sshd, authorize, folder, keygen, path, refused, run, secret};

async fn accepted(target: &Target) {
    if let Err(error) = Pool::new().connect(target).await {
        panic!("{error}");
    }
}

fn file(server: &Sshd, name: &str) -> Auth {
    Auth::KeyFile { path: server.path(name), passphrase: None }
}

/// What was tried, of an authentication that must fail.
async fn tried(target: &Target) -> Vec<String> {
    match refused(target).await {
        SshError::AuthFailed { tried, .. } => tried,
        error => panic!("{error}"),
    }
}

#[tokio::test]
async fn keys_of_every_type_from_files_and_texts() {
    let server = Sshd::start();
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let name = format!("key_{kind}");
        keygen(server.dir.path(), &name, kind, "");
        authorize(server.dir.path(), &name);
        accepted(&Target { auth: vec![file(&server, &name)], ..server.target() }).await;
        let key = secret(&server.read(&name));
        let auth = Auth::KeyData { key, passphrase: None, certificate: None };
        accepted(&Target { auth: vec![auth], ..server.target() }).await;
    }
    assert!(
        !server.log().contains("ssh-rsa SHA1") && server.log().matches("Accepted publickey").count() == 6
    );
}

#[tokio::test]
async fn pem_files_of_older_tools() {
    let server = Sshd::start();
    for (kind, format) in [("rsa", "PEM"), ("rsa", "PKCS8"), ("ecdsa", "PKCS8")] {
        let name = format!("pem_{kind}_{format}");
        keygen(server.dir.path(), &name, kind, "");
        authorize(server.dir.path(), &name);
        let key = path(server.dir.path(), &name);
        run("ssh-keygen", &["-q", "-p", "-m", format, "-P", "", "-N", "", "-f", &key]);
        accepted(&Target { auth: vec![file(&server, &name)], ..server.target() }).await;
    }
}

#[tokio::test]
async fn encrypted_keys_need_their_passphrase() {
    let server = Sshd::start();
    keygen(server.dir.path(), "locked", "ed25519", "open sesame");
    authorize(server.dir.path(), "locked");
    let with = |passphrase: Option<&str>| {
        let passphrase = passphrase.map(secret);
        Target { auth: vec![Auth::KeyFile { path: server.path("locked"), passphrase }], ..server.target() }
    };
    accepted(&with(Some("open sesame"))).await;
    for (passphrase, expected) in [(None, "encrypted"), (Some("wrong-phrase"), "does not fit")] {
        let error = refused(&with(passphrase)).await;
        assert!(matches!(&error, SshError::KeyUnreadable { why, .. } if why.contains(expected)), "{error}");
        assert!(
            !format!("{error:?}").contains("wrong-phrase")
                && !format!("{:?}", with(passphrase)).contains("wrong-phrase")
        );
    }
}

#[tokio::test]
async fn unusable_keys_are_named_with_the_remedy() {
    let server = Sshd::start();
    fs::copy(server.path("user"), server.path("open")).unwrap();
    fs::set_permissions(server.path("open"), fs::Permissions::from_mode(0o644)).unwrap();
    for (name, text) in [("garbage", "hello"), ("public", &server.read("user.pub"))] {
        fs::write(server.path(name), text).unwrap();
        fs::set_permissions(server.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    for (name, expected) in [
        ("missing", "check the path"),
        ("open", "chmod 600"),
        ("garbage", "no private key"),
        ("public", "public key"),
    ] {
        let error = refused(&Target { auth: vec![file(&server, name)], ..server.target() }).await;
        assert!(
            matches!(&error, SshError::KeyUnreadable { why, .. } if why.contains(expected)),
            "{name}: {error}"
        );
    }
    // One bad key does not spoil the next.
    accepted(&Target { auth: vec![file(&server, "garbage"), file(&server, "user")], ..server.target() })
        .await;
}

#[tokio::test]
async fn agents_with_keys_of_every_type() {
    let server = Sshd::start();
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let name = format!("agent_{kind}");
        keygen(server.dir.path(), &name, kind, "");
        authorize(server.dir.path(), &name);
        let agent = Agent::with(&[server.path("user"), server.path(&name)]);
        accepted(&Target { auth: vec![agent.auth()], ..server.target() }).await;
    }
}

#[tokio::test]
async fn agents_that_do_not_help_are_reported() {
    let server = Sshd::start();
    keygen(server.dir.path(), "other", "ed25519", "");
    let empty = Agent::with(&[]);
    let wrong = Agent::with(&[server.path("other")]);
    let missing = Auth::Agent { socket: Some(server.path("no-agent")) };
    let all = vec![missing, empty.auth(), wrong.auth()];
    let tried = tried(&Target { auth: all.clone(), ..server.target() }).await;
    assert_eq!(tried.len(), 3, "{tried:?}");
    assert!(tried[0].contains("cannot be reached") && tried[1].contains("holds no keys"), "{tried:?}");
    assert!(tried[2].contains("SHA256:") && tried[2].ends_with("not accepted"), "{tried:?}");
    let with_key = all.into_iter().chain([file(&server, "user")]).collect();
    accepted(&Target { auth: with_key, ..server.target() }).await;
}

#[tokio::test]
async fn a_silent_agent_costs_the_timeout_and_no_more() {
    let server = Sshd::start();
    let listener = tokio::net::UnixListener::bind(server.path("silent")).unwrap();
    let auth = vec![Auth::Agent { socket: Some(server.path("silent")) }];
    let target = Target { auth, connect_timeout: Duration::from_millis(800), ..server.target() };
    let error = refused(&target).await;
    assert!(matches!(&error, SshError::TimedOut { what, .. } if what == "authentication"), "{error}");
    drop(listener);
}

/// The variable is read by a process of its own, because a test may not change the environment of the others.
#[test]
fn the_agent_of_the_environment() {
    const ROLE: &str = "DRBD_SSH_TEST_PORT";
    if let Ok(port) = std::env::var(ROLE) {
        let pin = std::env::var("DRBD_SSH_TEST_PIN").unwrap().parse().unwrap();
        let target = Target {
            port: port.parse().unwrap(),
            trust: drbd_ssh::Trust::Pinned(vec![pin]),
            ..Target::new("127.0.0.1", crate::lab::me())
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(accepted(&target));
    }
    let server = Sshd::start();
    let agent = Agent::with(&[server.path("user")]);
    let run = |socket: Option<&std::path::Path>| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "login::the_agent_of_the_environment"]);
        command.env(ROLE, server.port.to_string()).env("DRBD_SSH_TEST_PIN", server.read("host_ed25519.pub"));
        command.env_remove("SSH_AUTH_SOCK");
        socket.map(|socket| command.env("SSH_AUTH_SOCK", socket));
        command.output().unwrap()
    };
    let with = run(Some(&agent.socket));
    assert!(with.status.success(), "{}", String::from_utf8_lossy(&with.stdout));
    let without = run(None);
    assert!(!without.status.success());
    let said = [without.stdout, without.stderr].concat();
    assert!(String::from_utf8_lossy(&said).contains("SSH_AUTH_SOCK is not set"));
}

/// A server that trusts `ca` for users, and knows no key by itself.
fn server_with_ca() -> Sshd {
    server_with_ca_and("")
}

fn server_with_ca_and(config: &str) -> Sshd {
    let dir = folder();
    keygen(dir.path(), "ca", "ed25519", "");
    let config = format!("{config}\nTrustedUserCAKeys {}", path(dir.path(), "ca.pub"));
    let server = Sshd::with(Setup { config, dir: Some(dir), ..Setup::default() });
    keygen(server.dir.path(), "unlisted", "ed25519", "");
    authorize(server.dir.path(), "unlisted");
    server
}

fn certify(server: &Sshd, key: &str, principal: &str) {
    let at = |name: &str| path(server.dir.path(), name);
    let public = at(&format!("{key}.pub"));
    run("ssh-keygen", &["-q", "-s", &at("ca"), "-I", "me", "-n", principal, "-V", "-1h:+1h", &public]);
}

#[tokio::test]
async fn user_certificates_from_files_texts_and_agents() {
    let server = server_with_ca();
    let me = crate::lab::me();
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let name = format!("certified_{kind}");
        keygen(server.dir.path(), &name, kind, "");
        let alone = Target { auth: vec![file(&server, &name)], ..server.target() };
        let error = refused(&alone).await;
        assert!(matches!(error, SshError::AuthFailed { .. }), "{error:?}");
        certify(&server, &name, &me);
        accepted(&alone).await;
        let certificate = Some(server.read(&format!("{name}-cert.pub")));
        let auth = Auth::KeyData { key: secret(&server.read(&name)), passphrase: None, certificate };
        accepted(&Target { auth: vec![auth], ..server.target() }).await;
        let agent = Agent::with(&[server.path(&name)]);
        accepted(&Target { auth: vec![agent.auth()], ..server.target() }).await;
    }
    // The line ends with "ED25519-CERT SHA256:... ID me": it was the certificate each time.
    let log = server.log();
    let accepted = log.lines().filter(|line| line.contains("Accepted publickey") && line.contains("-CERT "));
    assert_eq!(accepted.count(), 9, "{log}");
}

#[tokio::test]
async fn rsa_signs_with_sha2_and_never_with_sha1() {
    for (hash, good) in [("rsa-sha2-512", true), ("ssh-rsa", false)] {
        let server =
            server_with_ca_and(&format!("PubkeyAcceptedAlgorithms {hash},{hash}-cert-v01@openssh.com"));
        keygen(server.dir.path(), "rsa", "rsa", "");
        authorize(server.dir.path(), "rsa");
        let own = Target { auth: vec![file(&server, "rsa")], ..server.target() };
        let agent = Agent::with(&[server.path("rsa")]);
        let by_agent = Target { auth: vec![agent.auth()], ..server.target() };
        if !good {
            assert_eq!((tried(&own).await.len(), tried(&by_agent).await.len()), (1, 1));
            continue;
        }
        accepted(&own).await;
        accepted(&by_agent).await;
        certify(&server, "rsa", &crate::lab::me());
        accepted(&own).await;
        assert_eq!(server.log().matches("RSA-CERT").count(), 1, "{}", server.log());
    }
}

#[tokio::test]
async fn certificates_that_do_not_help() {
    let server = server_with_ca();
    // For another user: the bare key is still tried.
    certify(&server, "user", "somebody-else");
    let own = Target { auth: vec![file(&server, "user")], ..server.target() };
    let tried = tried(&own).await;
    assert!(tried.len() == 2 && tried[0].contains("certificate \"me\""), "{tried:?}");
    authorize(server.dir.path(), "user");
    accepted(&own).await;
    // For another key.
    keygen(server.dir.path(), "other", "ed25519", "");
    fs::copy(server.path("user-cert.pub"), server.path("other-cert.pub")).unwrap();
    let error = refused(&Target { auth: vec![file(&server, "other")], ..server.target() }).await;
    assert!(matches!(&error, SshError::KeyUnreadable { why, .. } if why.contains("another key")), "{error}");
}

#[tokio::test]
async fn a_wrong_key_or_user_is_refused_with_what_was_tried() {
    let server = Sshd::start();
    keygen(server.dir.path(), "other", "ed25519", "");
    let tried_keys = tried(&Target { auth: vec![file(&server, "other")], ..server.target() }).await;
    assert!(
        tried_keys[0].contains("other (ssh-ed25519 SHA256:") && tried_keys[0].ends_with("not accepted"),
        "{tried_keys:?}"
    );
    let error = refused(&Target { user: "no-such-user".to_owned(), ..server.target() }).await;
    assert!(matches!(&error, SshError::AuthFailed { user, .. } if user == "no-such-user"), "{error}");
    let error = refused(&Target { auth: vec![], ..server.target() }).await;
    assert!(error.to_string().contains("no way to authenticate"), "{error}");
}

#[tokio::test]
async fn too_many_keys_are_reported_as_that() {
    let server = Sshd::configured("MaxAuthTries 2");
    let names: Vec<String> = (0..4).map(|number| format!("wrong{number}")).collect();
    names.iter().for_each(|name| keygen(server.dir.path(), name, "ed25519", ""));
    let auth = names.iter().map(|name| file(&server, name)).collect();
    let tried = tried(&Target { auth, ..server.target() }).await;
    assert!(tried.iter().any(|why| why.contains("Too many authentication failures")), "{tried:?}");
    assert!(tried.len() < 5, "{tried:?}");
}

#[tokio::test]
async fn a_server_that_takes_no_keys_says_what_it_takes() {
    let server = Sshd::configured("PubkeyAuthentication no\nPasswordAuthentication yes");
    let tried = tried(&server.target()).await;
    assert!(tried.len() == 1 && tried[0].contains("takes no keys, only password"), "{tried:?}");
}

#[tokio::test]
async fn two_keys_when_the_server_wants_two() {
    let server = Sshd::configured("AuthenticationMethods publickey,publickey");
    keygen(server.dir.path(), "second", "ed25519", "");
    let both = format!("{}\n{}\n", server.read("user.pub"), server.read("second.pub"));
    fs::write(server.path("authorized_keys"), both).unwrap();
    let one = tried(&server.target()).await;
    assert!(one[0].contains("wants more"), "{one:?}");
    accepted(&Target { auth: vec![file(&server, "user"), file(&server, "second")], ..server.target() }).await;
}
