// SPDX-License-Identifier: MPL-2.0
//! A plugin host for tests: starts the fixture provider as Terraform does, without TLS, and calls it.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use hyper_util::rt::TokioIo;
use prost::Message;
use tonic::transport::{Channel, Endpoint, Uri};

#[expect(clippy::allow_attributes, unreachable_pub, reason = "generated code")]
pub(crate) mod proto {
    include!("../../src/generated/tfplugin6.rs");
}

/// A message without fields.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Nothing {}

pub(crate) const COOKIE: (&str, &str) =
    ("TF_PLUGIN_MAGIC_COOKIE", "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2");

/// A running provider.
pub(crate) struct Host {
    pub(crate) child: Child,
    pub(crate) line: String,
    output: BufReader<std::process::ChildStdout>,
}

/// The fixture, in an empty environment but for the cookie and `variables`.
pub(crate) fn command(variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(crate::support::fixture());
    command.env_clear().env(COOKIE.0, COOKIE.1).envs(variables.iter().copied());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Host {
    pub(crate) fn start(variables: &[(&str, &str)]) -> Host {
        Self::start_command(command(variables))
    }

    pub(crate) fn start_command(mut command: Command) -> Host {
        let mut child = command.spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        Host { child, line: line.trim_end().to_owned(), output }
    }

    /// The fields of the handshake line.
    pub(crate) fn fields(&self) -> Vec<&str> {
        self.line.split('|').collect()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        PathBuf::from(self.fields()[3])
    }

    pub(crate) async fn connect(&self) -> Channel {
        connect(&self.socket()).await
    }

    /// Waits for the end of the process, at most ten seconds.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the provider did not end");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// What else came on standard output, once the process has ended.
    pub(crate) fn rest(&mut self) -> String {
        std::io::read_to_string(&mut self.output).unwrap()
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let id = rustix::process::Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        rustix::process::kill_process(id, signal).unwrap();
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) async fn connect(socket: &Path) -> Channel {
    let socket = socket.to_owned();
    let connector = tower::service_fn(move |_: Uri| {
        let socket = socket.clone();
        async move { tokio::net::UnixStream::connect(socket).await.map(TokioIo::new) }
    });
    Endpoint::from_static("http://localhost").connect_with_connector(connector).await.unwrap()
}

/// Calls one method.
pub(crate) async fn call<Q, A>(
    channel: &Channel,
    method: &'static str,
    request: Q,
) -> Result<A, tonic::Status>
where
    Q: Message + Send + Sync + 'static,
    A: Message + Default + Send + Sync + 'static,
{
    let mut client = tonic::client::Grpc::new(channel.clone()).max_decoding_message_size(usize::MAX);
    client.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<Q, A>::default();
    let answer = client.unary(tonic::Request::new(request), method.parse().unwrap(), codec).await;
    answer.map(tonic::Response::into_inner)
}
