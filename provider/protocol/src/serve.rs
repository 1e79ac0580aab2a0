// SPDX-License-Identifier: MPL-2.0
//! The `main` of a provider: arguments, start, life and end of the process. What is served is in `server/`, the
//! process's surroundings are in `wire/`.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use crate::provider::Provider;
use crate::server::{Server, guard};
use crate::wire::{self, Beside, End, Environment, Lifetime, Listening, Routes, Tls};

/// Who the provider is.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    address: String,
    version: String,
}

impl ServeOptions {
    /// `address` is the provider's full source address, `registry.terraform.io/<namespace>/<type>`.
    pub fn new(address: impl Into<String>) -> ServeOptions {
        ServeOptions { address: address.into(), version: String::new() }
    }

    /// The version that `--version` prints.
    pub fn version(mut self, version: impl Into<String>) -> ServeOptions {
        self.version = version.into();
        self
    }

    fn name(&self) -> &str {
        self.address.rsplit('/').next().unwrap_or_default()
    }
}

/// What the command line asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Serve the host that started the process.
    Hosted,
    /// Serve whoever is told the address (`-debug`).
    Debug,
    /// Print the version.
    Version,
}

/// Serves a provider to Terraform until it is told to end. Call it from `main` and return what it returns.
///
/// The process must not write to standard output or read standard input itself. The exit code is 0 after a
/// regular end, 1 when it was not started by Terraform or could not start, 143 after SIGTERM.
pub fn serve<P: Provider>(provider: P, options: ServeOptions) -> ExitCode {
    let lookup = |name: &str| std::env::var(name).ok();
    let environment = Environment::read(lookup);
    let mode = match mode(std::env::args().skip(1)) {
        Ok(mode) => mode,
        Err(unknown) => {
            return refuse(&format!("unknown argument {unknown:?}; known are --debug and --version"));
        }
    };
    if mode == Mode::Version {
        println!("terraform-provider-{} {}", options.name(), options.version);
        return ExitCode::SUCCESS;
    }
    if mode == Mode::Hosted && !environment.started_by_host {
        return refuse(&by_hand(&options));
    }

    let debug = mode == Mode::Debug;
    wire::install_log(lookup, options.name(), debug);
    guard::log_panics();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&format!("cannot start: {error}")),
    };
    let outcome = runtime.block_on(run(provider, &options, &environment, debug));
    // Open streams and handlers end with the process; waiting for them would hold up the host.
    runtime.shutdown_background();
    match outcome {
        Ok(End::Shutdown | End::Interrupted | End::HostDied) => ExitCode::SUCCESS,
        Ok(End::Terminated) => ExitCode::from(143),
        Err(error) => refuse(&error),
    }
}

fn mode(arguments: impl Iterator<Item = String>) -> Result<Mode, String> {
    let mut mode = Mode::Hosted;
    for argument in arguments {
        mode = match argument.as_str() {
            "-debug" | "--debug" => Mode::Debug,
            "-version" | "--version" => Mode::Version,
            _ => return Err(argument),
        };
    }
    Ok(mode)
}

fn by_hand(options: &ServeOptions) -> String {
    let (address, name) = (&options.address, options.name());
    format!(
        "This is a Terraform provider ({address}). Terraform starts it by itself; it does nothing when it is \
         started by hand.\nTo use it, name it in a configuration:\n\n  terraform {{\n    required_providers {{\n      \
         {name} = {{ source = \"{address}\" }}\n    }}\n  }}\n\nTo debug it, start it with --debug and follow what it \
         prints."
    )
}

fn refuse(message: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "{message}");
    ExitCode::FAILURE
}

async fn run<P: Provider>(
    provider: P,
    options: &ServeOptions,
    environment: &Environment,
    debug: bool,
) -> Result<End, String> {
    if !environment.is_compatible() {
        // The handshake tells the host, which has the better message; this line is for the log.
        tracing::error!(
            "the host speaks protocols {:?}, this provider speaks {}",
            environment.versions,
            wire::PROTOCOL
        );
    }
    let lifetime = Lifetime::new(debug).map_err(|error| format!("cannot watch signals: {error}"))?;
    let client_certificate = environment.client_certificate.as_deref().filter(|_| !debug);
    let tls = client_certificate.map(Tls::new).transpose().map_err(|error| with_sources(&error))?;
    let listening = wire::bind(environment).await.map_err(|error| format!("cannot listen: {error}"))?;
    let Listening { listener, place } = listening;

    let beside = Beside { shutdown: Arc::clone(&lifetime.shutdown) };
    let server = Server::new(provider, &options.address, debug);
    let core = server.core();
    let routes = Routes::new(server, &beside);
    let (certificate, config) = tls.map_or((String::new(), None), |tls| (tls.certificate, Some(tls.config)));
    let incoming = wire::accept(listener, config);

    let announcement = if debug {
        debug_announcement(&options.address, &place.address)
    } else {
        wire::line(&place.address, &certificate, environment.asks_for_multiplex)
    };
    announce(&announcement).map_err(|error| format!("cannot write to standard output: {error}"))?;
    let address = place.address.clone();
    std::thread::spawn(move || wire::clean_abandoned(&address));

    let serving = tonic::transport::Server::builder().serve_with_incoming(routes, incoming);
    tokio::select! {
        served = serving => served.map(|()| End::Shutdown).map_err(|error| with_sources(&error)),
        end = lifetime.end(&core) => Ok(end),
    }
}

fn debug_announcement(provider: &str, address: &wire::Address) -> String {
    let variable = wire::reattach(provider, address);
    format!(
        "Provider started. Set this variable where Terraform runs, then run Terraform; end the provider with Ctrl-C:\n\n\
         {variable}"
    )
}

/// Writes to standard output, which belongs to the handshake.
fn announce(text: &str) -> std::io::Result<()> {
    let mut output = std::io::stdout().lock();
    output.write_all(text.as_bytes())?;
    output.write_all(b"\n")?;
    output.flush()
}

fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Mode, String> {
        mode(arguments.iter().map(|argument| (*argument).to_owned()))
    }

    #[test]
    fn arguments_are_known_or_refused() {
        assert_eq!(parse(&[]), Ok(Mode::Hosted));
        assert_eq!(parse(&["-debug"]), Ok(Mode::Debug));
        assert_eq!(parse(&["--version"]), Ok(Mode::Version));
        assert_eq!(parse(&["--debug", "--verbose"]), Err("--verbose".to_owned()));
    }
}
