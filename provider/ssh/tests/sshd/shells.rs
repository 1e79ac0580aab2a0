// SPDX-License-Identifier: MPL-2.0
//! Users with other login shells: the same requests mean the same. The forced command hands sshd's text to the shell just
//! as sshd itself would.

use std::process::Command;
use std::time::Duration;

use drbd_ssh::{Binary, Exec, Upload};

use crate::lab::{Sshd, path, sha256, text};

#[tokio::test]
async fn any_login_shell_will_do() {
    for shell in ["sh", "bash", "dash", "fish", "csh", "zsh", "ksh"] {
        let there = Command::new(shell).args(["-c", "exit 0"]).status().is_ok_and(|status| status.success());
        assert!(there || shell != "sh");
        if !there {
            continue;
        }
        let server = Sshd::configured(&format!("ForceCommand exec {shell} -c \"$SSH_ORIGINAL_COMMAND\""));
        let (_, session) = server.session().await;
        let word = "it's !1 \\ \"$HOME\" `id` * ~ {a,b} ü";
        let argv = ["printf", "%s|", word, "two\nlines", ""];
        let output = session.exec(Exec::new(&argv)).await.unwrap();
        assert_eq!(text(&output), format!("{word}|two\nlines||"), "{shell}");
        let file = path(server.dir.path(), "it's a file");
        let deadline = Duration::from_secs(10);
        session.upload(Upload { bytes: b"content", path: &file, mode: 0o640, deadline }).await.unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"content");
        let sha256 = sha256(b"content");
        let dir = path(server.dir.path(), "made/here");
        let binary = Binary { dir: &dir, name: "program", sha256: &sha256, bytes: b"content", deadline };
        let program = session.ensure_binary(binary).await.unwrap();
        assert_eq!(std::fs::read(program).unwrap(), b"content", "{shell}");
    }
}
