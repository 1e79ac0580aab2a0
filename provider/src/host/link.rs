// SPDX-License-Identifier: MPL-2.0
//! The real way to a host: one SSH connection per host and process, the module binary under a name that tells its
//! content, a request on standard input, a reply on standard output.
//!
//! The binary is run at once; only when the shell says that there is none (127) or that it cannot be executed (126)
//! is it uploaded and run again. So the usual request costs one execution.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use drbd_schemas::args::Module;
use drbd_schemas::reply::Reply;
use drbd_ssh::{Binary, Exec, ExecOutput, Pool, Session, Target};
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;

use super::{Connector, HostLink, Later, LinkError, Request, Spot};

/// Where the binary lives on hosts. Root's, as everything that runs with root's rights must be.
const REMOTE_DIR: &str = "/var/lib/drbd-host/bin";
const REMOTE_NAME: &str = "drbd-host";
/// Time for sending the binary over a slow line.
const UPLOAD_DEADLINE: Duration = Duration::from_secs(300);
/// Time for the answer to travel, on top of what the module may take.
const SLACK: Duration = Duration::from_secs(15);

/// The program for the hosts, read when it is first needed.
#[derive(Debug)]
pub(crate) struct HostBinary {
    path: PathBuf,
    content: OnceCell<Content>,
}

#[derive(Debug)]
struct Content {
    bytes: Vec<u8>,
    sha256: String,
}

impl HostBinary {
    /// The program at this path; nothing is read yet.
    pub(crate) fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), content: OnceCell::new() }
    }

    /// Where it is by default: named by the environment, else beside the running provider.
    pub(crate) fn default_path() -> PathBuf {
        if let Some(path) = std::env::var_os("DRBD_HOST_BINARY").filter(|path| !path.is_empty()) {
            return path.into();
        }
        let beside = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join(REMOTE_NAME)));
        beside.unwrap_or_else(|| REMOTE_NAME.into())
    }

    async fn content(&self) -> Result<&Content, LinkError> {
        let read = || async {
            let path = self.path.clone();
            // Reading and hashing some megabytes would hold up other requests on this thread.
            let content = tokio::task::spawn_blocking(move || {
                std::fs::read(path).map(|bytes| Content { sha256: hex(&Sha256::digest(&bytes)), bytes })
            });
            let failed = |why: String| LinkError::Binary { path: self.path.display().to_string(), why };
            content
                .await
                .map_err(|error| failed(error.to_string()))?
                .map_err(|error| failed(error.to_string()))
        };
        self.content.get_or_try_init(read).await
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Makes links over SSH.
#[derive(Debug)]
pub(crate) struct SshConnector {
    pool: Pool,
    binary: Arc<HostBinary>,
}

impl SshConnector {
    /// Links share the connections of this pool.
    pub(crate) fn new(pool: Pool, binary: HostBinary) -> Self {
        Self { pool, binary: Arc::new(binary) }
    }
}

impl Connector for SshConnector {
    fn link(&self, target: &Target) -> Arc<dyn HostLink> {
        Arc::new(SshLink {
            pool: self.pool.clone(),
            binary: Arc::clone(&self.binary),
            target: target.clone(),
        })
    }
}

struct SshLink {
    pool: Pool,
    binary: Arc<HostBinary>,
    target: Target,
}

impl HostLink for SshLink {
    fn run<'a>(&'a self, request: &'a Request) -> Later<'a, Result<Reply, LinkError>> {
        Box::pin(async move {
            let content = self.binary.content().await?;
            let session = self.pool.connect(&self.target).await?;
            let program = Binary {
                dir: REMOTE_DIR,
                name: REMOTE_NAME,
                sha256: &content.sha256,
                bytes: &content.bytes,
                deadline: UPLOAD_DEADLINE,
            };
            let path = program.path();
            let mut output = execute(&session, &path, request).await?;
            if matches!(output.code, 126 | 127) {
                session.ensure_binary(program).await?;
                output = execute(&session, &path, request).await?;
            }
            reply_of(&output, &Spot(&self.target).to_string(), &path)
        })
    }

    fn known_hosts(&self) -> Later<'_, Result<Vec<String>, LinkError>> {
        Box::pin(async move { Ok(self.pool.connect(&self.target).await?.known_hosts()) })
    }

    fn look<'a>(
        &'a self,
        argv: &'a [&'a str],
        deadline: Duration,
    ) -> Later<'a, Result<ExecOutput, LinkError>> {
        Box::pin(async move {
            let session = self.pool.connect(&self.target).await?;
            Ok(session.exec(Exec::new(argv).within(deadline).idempotent()).await?)
        })
    }
}

async fn execute(session: &Session, path: &str, request: &Request) -> Result<ExecOutput, LinkError> {
    let argv = [path, request.module.name()];
    let mut exec = Exec::new(&argv).input(request.to_json().to_string()).within(request.deadline + SLACK);
    // The module takes a lock, looks, and does only what is missing, so a second run does no harm. The initial
    // synchronisation alone rests on evidence that a first run may have made untrue.
    if request.module != Module::DrbdInitialSync {
        exec = exec.idempotent();
    }
    Ok(session.exec(exec).await?)
}

fn reply_of(output: &ExecOutput, host: &str, program: &str) -> Result<Reply, LinkError> {
    serde_json::from_slice(&output.stdout).map_err(|error| {
        let printed = [output.stderr.as_slice(), output.stdout.as_slice()].concat();
        let printed = String::from_utf8_lossy(&printed);
        let said = match printed.trim() {
            "" => "it printed nothing".to_owned(),
            text => format!("{} ({error})", text.chars().take(400).collect::<String>()),
        };
        LinkError::NoReply { host: host.to_owned(), program: program.to_owned(), code: output.code, said }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(code: i32, stdout: &str, stderr: &str) -> ExecOutput {
        ExecOutput { code, stdout: stdout.into(), stderr: stderr.into() }
    }

    #[test]
    fn a_failed_reply_is_still_a_reply() {
        let mut reply = Reply { msg: "no".into(), failed: true, ..Reply::default() };
        reply.schema = drbd_schemas::reply::SCHEMA.into();
        let text = serde_json::to_string(&reply).unwrap();
        assert_eq!(reply_of(&output(1, &text, ""), "h1", "/x").unwrap(), reply);
    }

    #[test]
    fn anything_else_says_what_was_printed() {
        let error = reply_of(&output(139, "", "Illegal instruction"), "h1", "/x").unwrap_err();
        let text = error.to_string();
        assert!(text.contains("exit code 139") && text.contains("Illegal instruction"), "{text}");
        assert!(error.outcome_unknown());
    }

    #[tokio::test]
    async fn a_missing_binary_is_named_with_what_to_set() {
        let error = HostBinary::at("/does/not/exist").content().await.unwrap_err().to_string();
        assert!(error.contains("/does/not/exist") && error.contains("drbd_host_binary"), "{error}");
    }
}
