// SPDX-License-Identifier: MPL-2.0
//! Opening connections: sharing, silence, refusals.

use std::sync::Arc;
use std::time::{Duration, Instant};

use drbd_ssh::{Pool, SshError, Stats, Target};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::lab::{Sshd, refused, sh, stop, wait_for};

fn quick(port: u16) -> Target {
    Target { port, connect_timeout: Duration::from_millis(700), ..Target::new("127.0.0.1", "root") }
}

#[tokio::test]
async fn all_users_of_a_host_share_one_connection() {
    let server = Sshd::start();
    let pool = Pool::new();
    let target = server.target();
    let sessions = futures_join(8, || {
        let (pool, target) = (pool.clone(), target.clone());
        async move { pool.connect(&target).await.unwrap() }
    })
    .await;
    assert!(sessions.iter().all(|session| Arc::ptr_eq(session, &sessions[0])));
    assert_eq!(sh(&sessions[0], "exit 0").await.unwrap().code, 0);
    assert_eq!(pool.stats(), Stats { connections: 1, executions: 1 });
    assert_eq!(sessions[0].stats(), Stats { connections: 1, executions: 1 });
    assert_eq!(server.log().matches("Accepted publickey").count(), 1);
}

/// Runs the same future several times at once.
pub(crate) async fn futures_join<T: Send + 'static, F>(count: usize, make: impl Fn() -> F) -> Vec<T>
where
    F: Future<Output = T> + Send + 'static,
{
    let tasks: Vec<_> = (0..count).map(|_| tokio::spawn(make())).collect();
    let mut done = Vec::new();
    for task in tasks {
        done.push(task.await.unwrap());
    }
    done
}

#[tokio::test]
async fn a_refused_port_is_unreachable_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let error = refused(&quick(port)).await;
    assert!(
        matches!(&error, SshError::Unreachable { port: p, last, .. } if *p == port && last.contains("refused")),
        "{error}"
    );
    assert!(error.is_transient());
}

#[tokio::test]
async fn a_silent_server_costs_the_connect_timeout_and_no_more() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let start = Instant::now();
    let error = refused(&quick(listener.local_addr().unwrap().port())).await;
    assert!(start.elapsed() < Duration::from_secs(3));
    assert!(
        matches!(&error, SshError::Unreachable { last, .. } if last.contains("nothing was said")),
        "{error}"
    );
}

#[tokio::test]
async fn a_server_that_stops_in_the_handshake_is_let_go() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"SSH-2.0-Slow\r\n").await.unwrap();
        // The client must hang up: its half-done handshake may not live on in the background.
        let mut rest = Vec::new();
        tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut rest))
            .await
            .expect("hung up")
            .ok();
    });
    let error = refused(&quick(port)).await;
    assert!(
        matches!(&error, SshError::Unreachable { last, .. } if last.contains("did not finish")),
        "{error}"
    );
    server.await.unwrap();
}

#[tokio::test]
async fn something_else_on_the_port_is_named() {
    for (greeting, expected) in
        [(&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "handshake failed"), (b"", "without a word")]
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(greeting).await.unwrap();
            let _ = stream.read_u8().await;
        });
        let error = refused(&quick(port)).await;
        assert!(matches!(&error, SshError::Unreachable { last, .. } if last.contains(expected)), "{error}");
    }
}

#[tokio::test]
async fn an_unknown_name_is_the_configurations_fault() {
    let target = Target { host: "no-such-host.invalid".to_owned(), ..quick(22) };
    let error = refused(&target).await;
    assert!(matches!(error, SshError::Unresolvable { .. }), "{error}");
    assert!(!error.is_transient());
}

#[tokio::test]
async fn many_users_of_a_dead_host_wait_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = quick(listener.local_addr().unwrap().port());
    let pool = Pool::new();
    let start = Instant::now();
    let errors = futures_join(10, || {
        let (pool, target) = (pool.clone(), target.clone());
        async move { pool.connect(&target).await.err() }
    })
    .await;
    assert!(errors.iter().all(Option::is_some));
    assert!(start.elapsed() < Duration::from_millis(2000), "{:?}", start.elapsed());
    assert!(pool.connect(&target).await.is_err(), "a fresh failure is shared");
    assert!(start.elapsed() < Duration::from_millis(2000), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_server_with_broken_algorithms_only_is_refused_by_name() {
    let server = Sshd::configured("Ciphers aes128-cbc\nHostKeyAlgorithms ssh-ed25519");
    let error = refused(&server.target()).await;
    assert!(
        matches!(&error, SshError::NoCommonAlgorithm { last, .. } if last.contains("aes128-cbc")),
        "{error}"
    );
}

#[tokio::test]
async fn a_connection_that_broke_while_idle_is_replaced_silently() {
    let server = Sshd::start();
    let (pool, session) = server.session().await;
    assert_eq!(sh(&session, "exit 3").await.unwrap().code, 3);
    server.cut_connections();
    // Not declared idempotent: it may be sent, because the first connection is known to be gone, or not at all.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(sh(&session, "exit 4").await.unwrap().code, 4);
    assert_eq!(pool.stats(), Stats { connections: 2, executions: 2 });
}

#[tokio::test]
async fn keep_alives_find_a_host_that_went_away() {
    let server = Sshd::start();
    let pool = Pool::new();
    let target = Target { keepalive: Duration::from_millis(200), ..server.target() };
    let session = pool.connect(&target).await.unwrap();
    let running = {
        let session = Arc::clone(&session);
        tokio::spawn(async move { sh(&session, "sleep 8").await })
    };
    wait_for(|| !server.commands().is_empty()).await;
    // A stopped process keeps its TCP connection and answers nothing: like a host that lost power.
    server.descendants().into_iter().for_each(stop);
    let start = Instant::now();
    let error = running.await.unwrap().unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert!(
        matches!(&error, SshError::ConnectionLost { last, .. } if last.contains("keep-alive")),
        "{error}"
    );
    assert!(error.outcome_unknown() && error.is_transient());
}
