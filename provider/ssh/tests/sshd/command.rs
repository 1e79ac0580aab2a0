// SPDX-License-Identifier: MPL-2.0
//! Running commands.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::time::{Duration, Instant};

use drbd_ssh::{Escalate, Exec, Pool, SshError, Stats, Target};

use crate::connect::futures_join;
use crate::lab::{Setup, Sshd, check_message, folder, path, script, sh, stop, text, wait_for};

#[tokio::test]
async fn exit_codes_and_both_outputs() {
    let server = Sshd::start();
    let (_, session) = server.session().await;
    let output = sh(&session, "echo out; echo err >&2; exit 42").await.unwrap();
    assert_eq!((output.code, output.stdout, output.stderr), (42, b"out\n".to_vec(), b"err\n".to_vec()));
    let missing = session.exec(Exec::new(&["no-such-program"])).await.unwrap();
    assert_eq!(missing.code, 127);
    let denied = session.exec(Exec::new(&["/etc/passwd"])).await.unwrap();
    assert_eq!(denied.code, 126);
    // The codes that `timeout` uses are the program's own as long as the deadline has not passed.
    for code in [124, 125, 137] {
        assert_eq!(sh(&session, &format!("exit {code}")).await.unwrap().code, code);
    }
    let quiet = session.exec(Exec::new(&["true"])).await.unwrap();
    assert!(quiet.stdout.is_empty() && quiet.stderr.is_empty());
}

#[tokio::test]
async fn five_megabytes_of_binary_input_arrive() {
    let server = Sshd::start();
    let (_, session) = server.session().await;
    let bytes: Vec<u8> = (0..5_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    fs::write(server.path("expected"), &bytes).unwrap();
    let file = path(server.dir.path(), "arrived");
    let argv = ["sh", "-c", "cat >\"$1\"", "x", &file];
    let output = session.exec(Exec::new(&argv).input(bytes.clone())).await.unwrap();
    assert_eq!(output.code, 0);
    assert!(fs::read(file).unwrap() == bytes);
    // And back again.
    let echoed = session.exec(Exec::new(&["cat"]).input(bytes.clone())).await.unwrap();
    assert!(echoed.stdout == bytes);
}

#[tokio::test]
async fn a_program_need_not_read_its_input_and_blocks_nobody() {
    let server = Sshd::start();
    let (_, session) = server.session().await;
    let big = vec![7; 8_000_000];
    assert_eq!(session.exec(Exec::new(&["true"]).input(big.clone())).await.unwrap().code, 0);
    let sleeper = {
        let session = Arc::clone(&session);
        tokio::spawn(async move { session.exec(Exec::new(&["sleep", "3"]).input(big)).await })
    };
    wait_for(|| !server.commands().is_empty()).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let start = Instant::now();
    assert_eq!(sh(&session, "exit 0").await.unwrap().code, 0);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    assert_eq!(sleeper.await.unwrap().unwrap().code, 0);
}

#[tokio::test]
async fn large_output_comes_whole_or_not_at_all() {
    let server = Sshd::start();
    let (_, session) = server.session().await;
    let argv = ["head", "-c", "12000000", "/dev/zero"];
    assert_eq!(session.exec(Exec::new(&argv)).await.unwrap().stdout.len(), 12_000_000);
    for (redirect, name) in [("", "standard output"), (" >&2", "standard error")] {
        let command = format!("head -c 300000 /dev/zero{redirect}; sleep 5");
        let error = session.exec(Exec::new(&["sh", "-c", &command]).max_output(200_000)).await.unwrap_err();
        check_message(&error);
        assert!(
            matches!(error, SshError::OutputTooLarge { stream, limit: 200_000, .. } if stream == name),
            "{error}"
        );
    }
    let exact = session.exec(Exec::new(&["head", "-c", "1000", "/dev/zero"]).max_output(1000)).await.unwrap();
    assert_eq!(exact.stdout.len(), 1000);
}

#[tokio::test]
async fn twenty_at_once_on_a_server_that_allows_two() {
    let server = Sshd::configured("MaxSessions 2");
    let (pool, session) = server.session().await;
    let codes = futures_join(20, || {
        let session = Arc::clone(&session);
        async move { sh(&session, "sleep 0.05; exit 9").await.unwrap().code }
    })
    .await;
    assert_eq!(codes, vec![9; 20]);
    assert_eq!(pool.stats(), Stats { connections: 1, executions: 20 });
}

#[tokio::test]
async fn never_more_than_four_at_once() {
    let server = Sshd::start();
    let (_, session) = server.session().await;
    let dir = path(server.dir.path(), "running");
    fs::create_dir(&dir).unwrap();
    let counts = futures_join(12, || {
        let (session, dir) = (Arc::clone(&session), dir.clone());
        async move {
            let command = format!("touch {dir}/$$; ls {dir} | wc -l; sleep 0.2; rm {dir}/$$");
            text(&sh(&session, &command).await.unwrap()).trim().parse::<usize>().unwrap()
        }
    })
    .await;
    assert!(counts.iter().all(|&count| count <= 4), "{counts:?}");
    assert!(counts.iter().any(|&count| count > 1), "they do run side by side: {counts:?}");
}

#[tokio::test]
async fn a_server_that_opens_no_session_is_named() {
    let server = Sshd::configured("MaxSessions 0");
    let pool = Pool::new();
    let target = Target { connect_timeout: Duration::from_secs(2), ..server.target() };
    let session = pool.connect(&target).await.unwrap();
    let error = sh(&session, "exit 0").await.unwrap_err();
    check_message(&error);
    assert!(
        matches!(&error, SshError::ChannelRefused { why, .. } if why.contains("ConnectFailed")),
        "{error}"
    );
    assert_eq!(pool.stats().executions, 0);
}

#[tokio::test]
async fn a_deadline_stops_the_command_on_the_host() {
    let server = Sshd::start();
    let (_, session) = server.session().await;
    let start = Instant::now();
    let marker = path(server.dir.path(), "not-reached");
    let command = format!("sleep 20; touch {marker}");
    let argv = ["sh", "-c", &command];
    let error = session.exec(Exec::new(&argv).within(Duration::from_secs(1))).await.unwrap_err();
    check_message(&error);
    assert!(
        matches!(&error, SshError::TimedOut { after, .. } if after.contains("stopped on the host")),
        "{error}"
    );
    assert!(start.elapsed() < Duration::from_secs(4) && error.outcome_unknown());
    // Only the server's process for the connection is left, and the connection is as good as before.
    wait_for(|| server.commands().is_empty()).await;
    assert_eq!(sh(&session, "exit 0").await.unwrap().code, 0);
    assert!(!fs::exists(marker).unwrap());
}

#[tokio::test]
async fn a_command_that_ignores_term_is_killed() {
    let server = Sshd::start();
    let (_, session) = server.session().await;
    let exec =
        Exec::new(&["sh", "-c", "trap '' TERM; while :; do sleep 0.2; done"]).within(Duration::from_secs(1));
    let error = session.exec(exec).await.unwrap_err();
    assert!(
        matches!(&error, SshError::TimedOut { after, .. } if after.contains("may still be running")),
        "{error}"
    );
    wait_for(|| server.commands().is_empty()).await;
    assert_eq!(sh(&session, "exit 0").await.unwrap().code, 0);
}

/// A folder with only these programs, for a host that lacks the others.
fn bin_with(programs: &[&str]) -> tempfile::TempDir {
    let dir = folder();
    fs::create_dir(dir.path().join("bin")).unwrap();
    for program in programs {
        let found = ["/usr/bin", "/bin"]
            .iter()
            .map(|bin| format!("{bin}/{program}"))
            .find(|path| fs::exists(path).unwrap());
        symlink(found.unwrap(), dir.path().join("bin").join(program)).unwrap();
    }
    dir
}

fn with_path(dir: tempfile::TempDir) -> Sshd {
    let config = format!("SetEnv PATH={}", path(dir.path(), "bin"));
    Sshd::with(Setup { config, dir: Some(dir), ..Setup::default() })
}

#[tokio::test]
async fn without_timeout_on_the_host_our_own_clock_counts() {
    let server = with_path(bin_with(&["sleep", "env"]));
    let (_, session) = server.session().await;
    assert_eq!(session.exec(Exec::new(&["timeout", "1", "true"])).await.unwrap().code, 127);
    let start = Instant::now();
    let error = session.exec(Exec::new(&["sleep", "8"]).within(Duration::from_secs(1))).await.unwrap_err();
    assert!(
        matches!(&error, SshError::TimedOut { after, .. } if after.contains("may still be running")),
        "{error}"
    );
    assert!(start.elapsed() < Duration::from_secs(4));
    assert_eq!(session.exec(Exec::new(&["sleep", "0"])).await.unwrap().code, 0);
}

#[tokio::test]
async fn something_that_holds_the_output_open_is_told_apart() {
    let server = Sshd::start();
    let (_, session) = server.session().await;
    let exec = Exec::new(&["sh", "-c", "sleep 6 & exit 3"]).within(Duration::from_secs(1));
    let error = session.exec(exec).await.unwrap_err();
    assert!(matches!(&error, SshError::TimedOut { after, .. } if after.contains("exited with 3")), "{error}");
}

#[tokio::test]
async fn a_command_killed_by_a_signal() {
    let server = Sshd::start();
    let (_, session) = server.session().await;
    for signal in ["KILL", "SEGV", "TERM"] {
        let error = sh(&session, &format!("echo last words >&2; kill -{signal} $$")).await.unwrap_err();
        check_message(&error);
        let SshError::Killed { signal: told, stderr, .. } = &error else { panic!("{error}") };
        assert!(told == signal && stderr.contains("last words"), "{error}");
    }
}

#[tokio::test]
async fn a_connection_lost_in_the_middle_is_no_answer() {
    let server = Sshd::start();
    let (pool, session) = server.session().await;
    let running = {
        let session = Arc::clone(&session);
        tokio::spawn(async move { sh(&session, "echo half; sleep 3; echo whole").await })
    };
    wait_for(|| !server.commands().is_empty()).await;
    server.cut_connections();
    let error = running.await.unwrap().unwrap_err();
    check_message(&error);
    assert!(matches!(error, SshError::ConnectionLost { .. }) && error.outcome_unknown(), "{error}");
    assert_eq!(pool.stats(), Stats { connections: 1, executions: 1 }, "it is not sent twice");
    assert_eq!(sh(&session, "exit 0").await.unwrap().code, 0);
    assert_eq!(pool.stats().connections, 2);
}

#[tokio::test]
async fn an_idempotent_command_is_sent_again_once() {
    let server = Sshd::start();
    let (pool, session) = server.session().await;
    let file = path(server.dir.path(), "runs");
    let run = |answer_at: u32| {
        let command =
            format!("echo run >>{file}; [ $(wc -l <{file}) -ge {answer_at} ] || sleep 5; echo done");
        let session = Arc::clone(&session);
        tokio::spawn(async move { session.exec(Exec::new(&["sh", "-c", &command]).idempotent()).await })
    };
    let runs = || fs::read_to_string(&file).map_or(0, |text| text.lines().count());
    let running = run(2);
    wait_for(|| runs() == 1).await;
    server.cut_connections();
    assert_eq!(text(&running.await.unwrap().unwrap()), "done\n");
    assert_eq!(pool.stats(), Stats { connections: 2, executions: 2 });
    // A host that loses the connection each time is not asked for ever.
    let running = run(9);
    for count in [3, 4] {
        wait_for(|| runs() == count).await;
        server.cut_connections();
    }
    assert!(matches!(running.await.unwrap().unwrap_err(), SshError::ConnectionLost { .. }));
    assert_eq!(pool.stats().executions, 4);
}

#[tokio::test]
async fn a_dropped_future_leaves_the_command_and_the_connection_alone() {
    let server = Sshd::start();
    let (pool, session) = server.session().await;
    let file = path(server.dir.path(), "finished");
    let argv = ["sh", "-c", "sleep 1; cat >\"$1.new\"; mv \"$1.new\" \"$1\"", "x", &file];
    let input = vec![b'x'; 5_000_000];
    let exec = session.exec(Exec::new(&argv).input(input.clone()));
    assert!(tokio::time::timeout(Duration::from_millis(300), exec).await.is_err());
    assert_eq!(sh(&session, "exit 0").await.unwrap().code, 0);
    wait_for(|| fs::exists(&file).unwrap()).await;
    assert!(fs::read(&file).unwrap() == input, "it got all of its input");
    assert_eq!(pool.stats(), Stats { connections: 1, executions: 2 });
}

#[tokio::test]
async fn a_host_that_stopped_answering_is_left_for_a_new_connection() {
    let server = Sshd::start();
    let (pool, session) = server.session().await;
    let running = {
        let session = Arc::clone(&session);
        tokio::spawn(
            async move { session.exec(Exec::new(&["sleep", "4"]).within(Duration::from_secs(2))).await },
        )
    };
    wait_for(|| !server.commands().is_empty()).await;
    server.descendants().into_iter().for_each(stop);
    let error = running.await.unwrap().unwrap_err();
    assert!(matches!(error, SshError::TimedOut { .. }), "{error}");
    assert_eq!(sh(&session, "exit 6").await.unwrap().code, 6);
    assert_eq!(pool.stats().connections, 2);
}

#[tokio::test]
async fn a_connection_that_fell_silent_while_idle_is_replaced() {
    let server = Sshd::start();
    let pool = Pool::new();
    let target = Target { connect_timeout: Duration::from_secs(1), ..server.target() };
    let session = pool.connect(&target).await.unwrap();
    server.descendants().into_iter().for_each(stop);
    // Not idempotent, but nothing can have been run: no channel was opened. Long before a keep-alive could tell.
    let start = Instant::now();
    assert_eq!(sh(&session, "exit 6").await.unwrap().code, 6);
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    assert_eq!(pool.stats(), Stats { connections: 2, executions: 1 });
}

#[tokio::test]
async fn a_deadline_may_be_as_long_as_a_clock_can_say() {
    let server = Sshd::start();
    let (_, session) = server.session().await;
    assert_eq!(session.exec(Exec::new(&["true"]).within(Duration::MAX)).await.unwrap().code, 0);
}

#[tokio::test]
async fn environment_and_locale() {
    let server = Sshd::start();
    let (_, session) = server.session().await;
    let argv = ["sh", "-c", "printf '%s|%s|%s' \"$A\" \"$B_2\" \"$LC_ALL\""];
    let env = [("A", "a 'b' \"c\" $d\n!"), ("B_2", "")];
    let output = session.exec(Exec::new(&argv).env(&env)).await.unwrap();
    assert_eq!(text(&output), "a 'b' \"c\" $d\n!||C");
    let output = sh(&session, "command -v sshd").await.unwrap();
    assert_eq!(output.code, 0, "administration tools are found by ordinary users too");
}

#[tokio::test]
async fn what_start_up_files_print_stays_out() {
    let server = Sshd::configured("ForceCommand echo Welcome; echo Motd >&2; eval \"$SSH_ORIGINAL_COMMAND\"");
    let (_, session) = server.session().await;
    assert_eq!(text(&sh(&session, "echo {}").await.unwrap()), "{}\n");
}

#[tokio::test]
async fn an_account_without_a_shell_is_named() {
    for (command, expected) in
        [("echo not available; exit 1", "not available (exit 1)"), ("exit 0", "exited with 0")]
    {
        let server = Sshd::configured(&format!("ForceCommand {command}"));
        let (_, session) = server.session().await;
        let error = sh(&session, "echo hello").await.unwrap_err();
        check_message(&error);
        assert!(matches!(&error, SshError::NotStarted { said, .. } if said.contains(expected)), "{error}");
    }
    let server = Sshd::configured("ForceCommand sleep 8");
    let (_, session) = server.session().await;
    let error = session.exec(Exec::new(&["true"]).within(Duration::from_secs(1))).await.unwrap_err();
    assert!(
        matches!(&error, SshError::TimedOut { after, .. } if after.contains("did not even start")),
        "{error}"
    );
}

/// A server whose `sudo` is this script.
fn with_sudo(text: &str) -> Sshd {
    let dir = bin_with(&["sh", "id", "env", "timeout", "cat"]);
    script(&dir.path().join("bin/sudo"), text);
    with_path(dir)
}

async fn escalated(server: &Sshd) -> Result<drbd_ssh::ExecOutput, SshError> {
    let target = Target { escalate: Escalate::Sudo, ..server.target() };
    let session = Pool::new().connect(&target).await.unwrap();
    let argv = ["sh", "-c", "echo \"as $BY: $1\"; cat; exit 3", "x", "a 'b'"];
    session.exec(Exec::new(&argv).input("input")).await
}

#[tokio::test]
async fn sudo_runs_the_command() {
    let server = with_sudo(
        "#!/bin/sh\n[ \"$1 $2\" = \"-n --\" ] || exit 99\nshift 2\nBY=sudo exec env BY=sudo \"$@\"\n",
    );
    let output = escalated(&server).await.unwrap();
    assert_eq!((output.code, text(&output)), (3, "as sudo: a 'b'\ninput".to_owned()));
}

#[tokio::test]
async fn a_refused_sudo_is_told_with_its_words() {
    let cases = [
        ("#!/bin/sh\necho 'sudo: a password is required' >&2\nexit 1\n", "a password is required"),
        (
            "#!/bin/sh\necho 'me is not in the sudoers file.' >&2\necho 'sudo: denied' >&2\nexit 1\n",
            "sudoers file",
        ),
    ];
    for (text, expected) in cases {
        let error = escalated(&with_sudo(text)).await.unwrap_err();
        check_message(&error);
        assert!(matches!(&error, SshError::SudoRefused { said, .. } if said.contains(expected)), "{error}");
        assert!(!error.outcome_unknown());
    }
    let without = with_path(bin_with(&["sh", "env"]));
    let error = escalated(&without).await.unwrap_err();
    assert!(matches!(&error, SshError::SudoRefused { said, .. } if said.contains("No such file")), "{error}");
}

#[tokio::test]
async fn a_request_that_cannot_be_said_is_not_sent() {
    let server = Sshd::start();
    let (pool, session) = server.session().await;
    let long = "x".repeat(40_000);
    let cases: [&[&str]; 4] = [&[], &["-c"], &["echo", "a\0b"], &["echo", &long]];
    for argv in cases {
        let error = session.exec(Exec::new(argv)).await.unwrap_err();
        check_message(&error);
        assert!(matches!(error, SshError::InvalidRequest { .. }), "{error}");
    }
    assert_eq!(pool.stats().executions, 0);
}
