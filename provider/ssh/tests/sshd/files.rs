// SPDX-License-Identifier: MPL-2.0
//! Writing files and programs.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use drbd_ssh::{Binary, Exec, Pool, Session, SshError, Stats, Upload};

use crate::lab::{Setup, Sshd, check_message, folder, path, script, sha256, text, wait_for};

const DEADLINE: Duration = Duration::from_secs(30);

async fn put(session: &Session, path: &str, bytes: &[u8], mode: u32) -> Result<(), SshError> {
    session.upload(Upload { bytes, path, mode, deadline: DEADLINE }).await
}

/// What the host said about a file that cannot be written.
async fn refusal(session: &Session, path: &str) -> String {
    let error = put(session, path, b"x", 0o600).await.unwrap_err();
    check_message(&error);
    match error {
        SshError::UploadFailed { said, .. } => said,
        error => panic!("{error}"),
    }
}

/// Temporary files in a folder.
fn leftovers(dir: &Path) -> usize {
    fs::read_dir(dir)
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().contains(".new-"))
        .count()
}

#[tokio::test]
async fn content_and_mode_arrive_in_one_execution() {
    let server = Sshd::start();
    let (pool, session) = server.session().await;
    let file = path(server.dir.path(), "file");
    for (bytes, mode) in [(vec![0, 255, 10, 13], 0o640), (vec![7; 3_000_000], 0o600), (Vec::new(), 0o755)] {
        put(&session, &file, &bytes, mode).await.unwrap();
        assert!(fs::read(&file).unwrap() == bytes);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, mode);
    }
    assert_eq!(pool.stats(), Stats { connections: 1, executions: 3 });
    assert_eq!(leftovers(server.dir.path()), 0);
}

#[tokio::test]
async fn a_link_is_replaced_and_not_followed() {
    let server = Sshd::start();
    let (_, session) = server.session().await;
    fs::write(server.path("other"), "untouched").unwrap();
    symlink(server.path("other"), server.path("link")).unwrap();
    put(&session, &path(server.dir.path(), "link"), b"new", 0o644).await.unwrap();
    assert_eq!(server.read("other"), "untouched");
    assert_eq!(server.read("link"), "new");
}

#[tokio::test]
async fn places_that_cannot_be_written_are_refused() {
    let server = Sshd::start();
    let (pool, session) = server.session().await;
    let at = |name: &str| path(server.dir.path(), name);
    fs::create_dir(at("folder")).unwrap();
    assert!(refusal(&session, &at("missing/file")).await.contains("does not exist"));
    assert!(refusal(&session, &at("folder")).await.contains("is a directory"));
    assert!(refusal(&session, &at("user.pub/file")).await.contains("does not exist"));
    let executions = pool.stats().executions;
    for bad in ["relative", "", "/", "/a/../b", "/a//b", "/a/", "/a\nb"] {
        let error = put(&session, bad, b"x", 0o600).await.unwrap_err();
        assert!(matches!(error, SshError::InvalidRequest { .. }), "{bad}: {error}");
    }
    assert!(put(&session, &at("x"), b"x", 0o10000).await.is_err());
    assert_eq!(pool.stats().executions, executions);
}

#[tokio::test]
async fn a_full_disk_leaves_the_old_file() {
    // A limit on the size of files stops `cat` in the middle, as a full disk does. The unit is 512 or 1024 bytes.
    let server = Sshd::configured("ForceCommand ulimit -f 100; eval \"$SSH_ORIGINAL_COMMAND\"");
    let (_, session) = server.session().await;
    let file = path(server.dir.path(), "file");
    put(&session, &file, b"old", 0o600).await.unwrap();
    let error = put(&session, &file, &[1; 1_000_000], 0o600).await.unwrap_err();
    check_message(&error);
    assert!(matches!(error, SshError::UploadFailed { .. } | SshError::Killed { .. }), "{error}");
    assert_eq!(server.read("file"), "old");
    assert_eq!(leftovers(server.dir.path()), 0);
}

#[tokio::test]
async fn a_cut_in_the_middle_leaves_the_old_file() {
    // A host that reads slowly, so that the cut comes for certain in the middle.
    let dir = folder();
    fs::create_dir(dir.path().join("bin")).unwrap();
    script(&dir.path().join("bin/cat"), "#!/bin/sh\nhead -c 1000\nsleep 2\nexec /bin/cat\n");
    let config = format!("SetEnv PATH={}:/usr/bin:/bin", path(dir.path(), "bin"));
    let mut server = Sshd::with(Setup { config, dir: Some(dir), ..Setup::default() });
    let (_, session) = server.session().await;
    let file = path(server.dir.path(), "file");
    fs::write(&file, "old").unwrap();
    let running = {
        let (session, file) = (Arc::clone(&session), file.clone());
        tokio::spawn(async move { put(&session, &file, &vec![1; 4_000_000], 0o600).await })
    };
    wait_for(|| leftovers(server.dir.path()) == 1).await;
    let mut connections = server.descendants();
    connections.retain(|pid| !server.commands().contains(pid));
    server.kill_listener();
    connections.into_iter().for_each(crate::lab::kill);
    let error = running.await.unwrap().unwrap_err();
    assert!(error.is_transient(), "{error}");
    wait_for(|| leftovers(server.dir.path()) == 0).await;
    assert_eq!(server.read("file"), "old");
}

#[tokio::test]
async fn old_leftovers_are_swept_and_others_files_are_not() {
    let server = Sshd::start();
    let (_, session) = server.session().await;
    for name in [".file.new-dead", ".file.new-busy", ".other.new-dead"] {
        fs::write(server.path(name), "x").unwrap();
    }
    for name in [".file.new-dead", ".other.new-dead"] {
        crate::lab::run("touch", &["-d", "2 hours ago", &path(server.dir.path(), name)]);
    }
    put(&session, &path(server.dir.path(), "file"), b"new", 0o600).await.unwrap();
    assert!(!server.path(".file.new-dead").exists());
    assert!(server.path(".file.new-busy").exists() && server.path(".other.new-dead").exists());
}

/// A small program and its digest.
fn program() -> (Vec<u8>, String) {
    let mut bytes = b"#!/bin/sh\necho \"I am $1\"\nexit 0\n".to_vec();
    bytes.extend(vec![b'#'; 2_000_000]);
    let digest = sha256(&bytes);
    (bytes, digest)
}

async fn ensure(session: &Session, dir: &str, bytes: &[u8], sha256: &str) -> Result<String, SshError> {
    session.ensure_binary(Binary { dir, name: "drbd-host", sha256, bytes, deadline: DEADLINE }).await
}

#[tokio::test]
async fn a_program_is_sent_once_and_then_found() {
    let server = Sshd::start();
    let (pool, session) = server.session().await;
    let dir = path(server.dir.path(), "lib/program");
    let (bytes, digest) = program();
    let file = ensure(&session, &dir, &bytes, &digest).await.unwrap();
    assert_eq!(file, format!("{dir}/drbd-host-{digest}"));
    assert_eq!(text(&session.exec(Exec::new(&[&file, "here"])).await.unwrap()), "I am here\n");
    assert_eq!(pool.stats().executions, 3, "look, send, run");
    ensure(&session, &dir, &bytes, &digest).await.unwrap();
    assert_eq!(pool.stats().executions, 3, "this session has seen it");
    // Somebody has tidied up: a caller who finds the program missing may simply ask for it again.
    fs::remove_file(&file).unwrap();
    assert_eq!(session.exec(Exec::new(&[&file])).await.unwrap().code, 127);
    ensure(&session, &dir, &bytes, &digest).await.unwrap();
    assert_eq!(session.exec(Exec::new(&[&file])).await.unwrap().code, 0);
    let (pool, session) = server.session().await;
    ensure(&session, &dir, &bytes, &digest).await.unwrap();
    assert_eq!(pool.stats(), Stats { connections: 1, executions: 1 }, "another process looks once");
}

#[tokio::test]
async fn a_damaged_program_is_replaced() {
    let server = Sshd::start();
    let dir = path(server.dir.path(), "lib");
    let (bytes, digest) = program();
    let file = ensure(&server.session().await.1, &dir, &bytes, &digest).await.unwrap();
    script(Path::new(&file), "#!/bin/sh\necho something else\n");
    ensure(&server.session().await.1, &dir, &bytes, &digest).await.unwrap();
    assert!(fs::read(&file).unwrap() == bytes);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    ensure(&server.session().await.1, &dir, &bytes, &digest).await.unwrap();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o755);
}

#[tokio::test]
async fn many_processes_and_tasks_at_once() {
    let server = Sshd::start();
    let dir = path(server.dir.path(), "lib");
    let (bytes, digest) = program();
    let mut tasks = Vec::new();
    let pools: Vec<Pool> = (0..3).map(|_| Pool::new()).collect();
    for pool in &pools {
        for _ in 0..4 {
            let (pool, target) = (pool.clone(), server.target());
            let (dir, bytes, digest) = (dir.clone(), bytes.clone(), digest.clone());
            tasks.push(tokio::spawn(async move {
                let session = pool.connect(&target).await.unwrap();
                ensure(&session, &dir, &bytes, &digest).await.unwrap()
            }));
        }
    }
    for task in tasks {
        assert!(fs::read(task.await.unwrap()).unwrap() == bytes);
    }
    assert!(pools.iter().all(|pool| pool.stats().executions <= 2));
    assert_eq!((leftovers(Path::new(&dir)), fs::read_dir(&dir).unwrap().count()), (0, 1));
}

#[tokio::test]
async fn a_folder_that_others_can_change_is_refused() {
    let server = Sshd::start();
    let (bytes, digest) = program();
    let dir = path(server.dir.path(), "lib");
    fs::create_dir(&dir).unwrap();
    for mode in [0o777, 0o775, 0o757, 0o1777] {
        fs::set_permissions(&dir, fs::Permissions::from_mode(mode)).unwrap();
        let error = ensure(&server.session().await.1, &dir, &bytes, &digest).await.unwrap_err();
        check_message(&error);
        assert!(
            matches!(&error, SshError::UploadFailed { said, .. } if said.contains("others can write")),
            "{error}"
        );
    }
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
    symlink(&dir, server.path("link")).unwrap();
    let link = path(server.dir.path(), "link");
    let error = ensure(&server.session().await.1, &link, &bytes, &digest).await.unwrap_err();
    assert!(
        matches!(&error, SshError::UploadFailed { said, .. } if said.contains("symbolic link")),
        "{error}"
    );
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
    ensure(&server.session().await.1, &dir, &bytes, &digest).await.unwrap();
}

#[tokio::test]
async fn bytes_that_are_not_what_they_are_called_are_not_sent() {
    let server = Sshd::start();
    let (_, session) = server.session().await;
    let dir = path(server.dir.path(), "lib");
    let error = ensure(&session, &dir, b"other", &sha256(b"program")).await.unwrap_err();
    assert!(matches!(error, SshError::InvalidRequest { .. }), "{error}");
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
    let bad = Binary { dir: &dir, name: "../x", sha256: &sha256(b"p"), bytes: b"p", deadline: DEADLINE };
    assert!(matches!(session.ensure_binary(bad).await, Err(SshError::InvalidRequest { .. })));
}
