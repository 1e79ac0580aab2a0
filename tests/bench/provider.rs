// SPDX-License-Identifier: MPL-2.0
//! The provider's process: how soon it can be talked to, and what it holds while nobody does. Terraform starts it several
//! times for one command. With the TLS that terraform always asks for, and beside it without.

use crate::measure::{in_turns, repeat};
use crate::table::Table;
use anyhow::{Context as _, Result, ensure};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use support::made;

/// Proves to a provider that terraform started it; public.
const COOKIE: (&str, &str) =
    ("TF_PLUGIN_MAGIC_COOKIE", "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2");

pub fn run(table: &mut Table) -> Result<()> {
    let provider = Provider::find()?;
    // The first one reads the program from disk.
    provider.start(true)?;
    let handshake = |tls| provider.start(tls).map(|started| started.handshake);
    let (with, without) = in_turns(repeat(50), |_| handshake(true), |_| handshake(false))?;
    table.figure("provider: handshake line, median after exec", with * 1000.0, "ms", Some(5.0));
    table.figure("provider: the same without TLS", without * 1000.0, "ms", None);
    table.figure("provider: idle resident memory", provider.idle_memory(true)?, "MiB", Some(16.0));
    table.figure("provider: the same without TLS", provider.idle_memory(false)?, "MiB", None);
    Ok(())
}

/// What terraform would start.
struct Provider {
    program: PathBuf,
    /// Of the shape that terraform announces, for TLS.
    certificate: String,
}

/// A provider that waits to be asked; its end is the value's.
struct Started {
    child: Child,
    /// From before the process was made to the whole line, so a little more than from exec.
    handshake: Duration,
}

impl Provider {
    fn find() -> Result<Self> {
        let certificate = made::checkout().join("provider/protocol/tests/certificates/client.pem");
        let certificate =
            fs::read_to_string(&certificate).with_context(|| certificate.display().to_string())?;
        Ok(Self { program: made::dist("terraform-provider-drbd")?, certificate })
    }

    fn start(&self, tls: bool) -> Result<Started> {
        let mut command = Command::new(&self.program);
        command.env(COOKIE.0, COOKIE.1).env("PLUGIN_PROTOCOL_VERSIONS", "5,6");
        command
            .env("PLUGIN_MIN_PORT", "10000")
            .env("PLUGIN_MAX_PORT", "25000")
            .env_remove("PLUGIN_CLIENT_CERT");
        if tls {
            command.env("PLUGIN_CLIENT_CERT", &self.certificate);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let began = Instant::now();
        let mut started = Started { child: command.spawn()?, handshake: Duration::ZERO };
        let mut line = String::new();
        BufReader::new(started.child.stdout.take().context("standard output")?).read_line(&mut line)?;
        started.handshake = began.elapsed();
        let certified = line.trim().split('|').nth(5).is_some_and(|field| !field.is_empty());
        ensure!(line.starts_with("1|6|unix|") && certified == tls, "no handshake: {line:?}");
        Ok(started)
    }

    /// The greatest of a few, in MiB.
    fn idle_memory(&self, tls: bool) -> Result<f64> {
        let mut greatest = 0.0_f64;
        for _ in 0..repeat(5) {
            let started = self.start(tls)?;
            thread::sleep(Duration::from_millis(200));
            greatest = greatest.max(started.resident()?);
        }
        Ok(greatest)
    }
}

impl Started {
    fn resident(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
        let kibibytes: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kibibytes / 1024.0)
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // It has no host to shut it down.
        let ended = self.child.kill().and_then(|()| self.child.wait());
        if let Err(error) = ended {
            eprintln!("provider {} was not ended: {error}", self.child.id());
        }
    }
}
