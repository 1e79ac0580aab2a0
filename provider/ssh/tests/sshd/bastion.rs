// SPDX-License-Identifier: MPL-2.0
//! Going through another host.

use drbd_ssh::{Pool, SshError, Stats, Target};

use crate::lab::{Setup, Sshd, keygen, refused, sh, text};

fn through(bastion: Target, target: Target) -> Target {
    Target { bastion: Some(Box::new(bastion)), ..target }
}

#[tokio::test]
async fn targets_behind_one_bastion_share_its_connection() {
    let (bastion, first, second) = (Sshd::start(), Sshd::start(), Sshd::start());
    let pool = Pool::new();
    for server in [&first, &second] {
        let session = pool.connect(&through(bastion.target(), server.target())).await.unwrap();
        let output = sh(&session, "echo $SSH_CONNECTION").await.unwrap();
        assert!(text(&output).trim().ends_with(&server.port.to_string()));
        assert!(server.read("host_ed25519.pub").starts_with(&session.host_key()));
    }
    assert_eq!(pool.stats(), Stats { connections: 3, executions: 2 });
    assert_eq!(bastion.log().matches("Accepted publickey").count(), 1);
}

#[tokio::test]
async fn two_bastions_in_a_row() {
    let (outer, inner, server) = (Sshd::start(), Sshd::start(), Sshd::start());
    let target = through(through(outer.target(), inner.target()), server.target());
    let session = Pool::new().connect(&target).await.unwrap();
    assert_eq!(sh(&session, "exit 7").await.unwrap().code, 7);

    // What was verified on the way is what another client needs to know.
    let expected = [&server, &inner, &outer].map(|sshd| {
        let key = sshd.read("host_ed25519.pub");
        let key = key.split(' ').take(2).collect::<Vec<_>>().join(" ");
        format!("[127.0.0.1]:{} {key}", sshd.port)
    });
    assert_eq!(session.known_hosts(), expected);
}

#[tokio::test]
async fn the_bastion_and_the_target_are_each_verified() {
    let (bastion, server) = (Sshd::start(), Sshd::start());
    keygen(server.dir.path(), "other", "ed25519", "");
    let wrong = drbd_ssh::Trust::Pinned(vec![server.read("other.pub").parse().unwrap()]);
    let error = refused(&through(Target { trust: wrong.clone(), ..bastion.target() }, server.target())).await;
    let SshError::Bastion { source, .. } = &error else { panic!("{error}") };
    assert!(matches!(**source, SshError::HostKeyMismatch { .. }), "{error}");
    assert!(!error.is_transient());
    let error = refused(&through(bastion.target(), Target { trust: wrong, ..server.target() })).await;
    assert!(matches!(error, SshError::HostKeyMismatch { .. }), "{error}");
}

#[tokio::test]
async fn a_bastion_that_does_not_forward_or_cannot_reach_is_told_apart() {
    let server = Sshd::start();
    let strict = Sshd::with(Setup { config: "AllowTcpForwarding no".to_owned(), ..Setup::default() });
    let error = refused(&through(strict.target(), server.target())).await;
    assert!(
        matches!(&error, SshError::Bastion { .. }) && error.to_string().contains("AllowTcpForwarding"),
        "{error}"
    );
    let bastion = Sshd::start();
    let error = refused(&through(bastion.target(), Target { port: 1, ..server.target() })).await;
    assert!(
        matches!(&error, SshError::Unreachable { port: 1, last, .. } if last.contains("bastion")),
        "{error}"
    );
}

#[tokio::test]
async fn a_lost_bastion_is_a_lost_connection_and_comes_back() {
    let (bastion, server) = (Sshd::start(), Sshd::start());
    let pool = Pool::new();
    let session = pool.connect(&through(bastion.target(), server.target())).await.unwrap();
    let running = {
        let session = std::sync::Arc::clone(&session);
        tokio::spawn(async move { sh(&session, "sleep 10").await })
    };
    crate::lab::wait_for(|| !server.commands().is_empty()).await;
    bastion.cut_connections();
    let error = running.await.unwrap().unwrap_err();
    assert!(matches!(error, SshError::ConnectionLost { .. }), "{error}");
    assert_eq!(sh(&session, "exit 5").await.unwrap().code, 5);
    assert_eq!(pool.stats().connections, 4);
}
