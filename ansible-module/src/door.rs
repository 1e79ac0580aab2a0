// SPDX-License-Identifier: MPL-2.0
//! Reads the call, runs it, writes the answer. Whatever happens, a module call ends with exactly one JSON object on
//! standard output and nothing on standard error: Ansible merges the two when it has given us a terminal.

use crate::call::{self, Call, CallError};
use crate::handshake::Launcher;
use crate::hidden;
use crate::inventory;
use crate::local_host::LocalHost;
use crate::lock::{self, Held, LockError};
use crate::person;
use crate::stop::Stop;
use crate::wording;
use drbd_engine::host::Host;
use drbd_engine::run::{self, Mode};
use drbd_engine::{info, pool, ports, role, verify, wait};
use drbd_schemas::args::{self, Args, Module};
use drbd_schemas::reply::{Code, Reply};
use drbd_schemas::secret::Secret;
use serde_json::Value;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::time::Duration;

/// What the command line asks for.
enum Request {
    /// A module, its input from a file or standard input (`-`).
    Module { named: Option<Module>, input: OsString, launcher: Launcher },
    /// Something for a person.
    Person(person::Wish),
}

pub(crate) fn run() -> ExitCode {
    let mut args = std::env::args_os();
    let argv0 = args.next().unwrap_or_default();
    let mut args: Vec<OsString> = args.collect();
    if inventory::is_named(&argv0) {
        return inventory::run(args);
    }
    if args.first().is_some_and(|word| word == "inventory") {
        return inventory::run(args.split_off(1));
    }
    let named = argv0.to_str().and_then(call::module_of_program);
    match parse(named, args) {
        Ok(Request::Person(wish)) => person::serve(wish),
        Ok(Request::Module { named, input, launcher }) => answer(module(named, &input, &launcher)),
        Err(error) => {
            // A person's mistake on the command line: the one case that is not a module call.
            let _ = writeln!(std::io::stderr(), "drbd-host: {error}\n\n{}", person::USAGE);
            ExitCode::from(2)
        }
    }
}

fn parse(named: Option<Module>, args: Vec<OsString>) -> Result<Request, lexopt::Error> {
    use lexopt::prelude::{Long, Short, Value as Word, ValueExt as _};
    let mut parser = lexopt::Parser::from_args(args);
    let mut words: Vec<OsString> = Vec::new();
    let (mut json, mut launcher) = (false, Launcher::default());
    while let Some(arg) = parser.next()? {
        match arg {
            Long("version") | Short('V') => return Ok(Request::Person(person::Wish::Version)),
            Long("help") | Short('h') => return Ok(Request::Person(person::Wish::Help)),
            Long("schema") => {
                let of = parser.optional_value().or_else(|| parser.value().ok());
                return Ok(Request::Person(person::Wish::Schema(of.and_then(|of| of.into_string().ok()))));
            }
            Long("json") => json = true,
            Long("protocol") => launcher.protocol = Some(parser.value()?.parse()?),
            Long("collection") => launcher.collection = Some(parser.value()?.string()?),
            Word(word) => words.push(word),
            other => return Err(other.unexpected()),
        }
    }
    let mut words = words.into_iter();
    let first = words.next();
    let verb = first.as_ref().and_then(|word| word.to_str()).unwrap_or_default();
    if let Some(module) = Module::by_name(verb) {
        return Ok(Request::Module {
            named: Some(module),
            input: words.next().unwrap_or_else(|| "-".into()),
            launcher,
        });
    }
    match (verb, named) {
        ("facts", None) => Ok(Request::Person(person::Wish::Facts { json })),
        ("status", None) => Ok(Request::Person(person::Wish::Status)),
        ("plan", None) => Ok(Request::Person(person::Wish::Plan(words.next().unwrap_or_else(|| "-".into())))),
        ("", None) => Ok(Request::Person(person::Wish::Help)),
        _ => Ok(Request::Module { named, input: first.unwrap_or_else(|| "-".into()), launcher }),
    }
}

/// Reads standard input, or a file.
pub(crate) fn read_input(input: &OsString) -> std::io::Result<String> {
    // No request comes near this; a caller that sends more has made a mistake.
    const LIMIT: u64 = 64 << 20;
    let mut bytes = Vec::new();
    if input == "-" {
        std::io::stdin().lock().take(LIMIT).read_to_end(&mut bytes)?;
    } else {
        std::fs::File::open(input)?.take(LIMIT).read_to_end(&mut bytes)?;
    }
    String::from_utf8(bytes).map_err(|_| std::io::Error::other("the input is not UTF-8"))
}

/// A reply on its way out.
struct Answer {
    reply: Reply,
    /// What Ansible shows as the module's arguments.
    invocation: Option<Value>,
    /// What must not be in the text of the answer.
    secrets: Vec<Secret>,
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self { reply, invocation: None, secrets: Vec::new() }
    }
}

fn module(named: Option<Module>, input: &OsString, launcher: &Launcher) -> Answer {
    if let Some(mismatch) = launcher.mismatch() {
        let mut reply = early_failure(named, Code::Environment, mismatch.message);
        reply.next_steps = vec![mismatch.next_step];
        return reply.into();
    }
    let text = match read_input(input) {
        Ok(text) => text,
        Err(error) => {
            let place = input.to_string_lossy().into_owned();
            return early_failure(named, Code::Invalid, format!("cannot read the input {place}: {error}"))
                .into();
        }
    };
    let secrets = hidden::secrets_in(&text);
    // The hook keeps the panic off standard error; what it says goes into the answer.
    panic::set_hook(Box::new(|_| {}));
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| call_module(named, &text, launcher)));
    let answer = outcome.unwrap_or_else(|payload| {
        let words = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let words = words.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default();
        let mut reply =
            early_failure(named, Code::Bug, format!("drbd-host has a defect and stopped: {words}"));
        reply.next_steps = vec![
            "Run again: a run that is cut is gone on with by the next one.".to_owned(),
            "Report this with the input (without its secrets).".to_owned(),
        ];
        reply.into()
    });
    Answer { secrets, ..answer }
}

fn early_failure(named: Option<Module>, code: Code, message: String) -> Reply {
    Reply {
        schema: drbd_schemas::reply::SCHEMA.to_owned(),
        drbd_host: env!("CARGO_PKG_VERSION").to_owned(),
        module: named.map(|module| module.name().to_owned()).unwrap_or_default(),
        node: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        failed: true,
        code,
        msg: message,
        ..Reply::default()
    }
}

fn call_module(named: Option<Module>, text: &str, launcher: &Launcher) -> Answer {
    let call = match call::read(text, named) {
        Ok(call) => call,
        Err(error) => {
            let mut reply = early_failure(named, Code::Invalid, format!("{error}; nothing was done."));
            let unknown = matches!(error, CallError::UnknownModule { .. });
            reply.next_steps = launcher.unknown_module().filter(|_| unknown).into_iter().collect();
            return reply.into();
        }
    };
    let invocation = call.wants_invocation.then(|| hidden::invocation(&call.arguments));
    let reply = match Stop::catch() {
        Ok(stop) => execute(call, stop),
        Err(error) => early_failure(named, Code::Environment, format!("cannot catch signals: {error}")),
    };
    Answer { invocation, ..reply.into() }
}

fn execute(call: Call, stop: Stop) -> Reply {
    let host = LocalHost::new(stop.clone());
    let Call { module, arguments, mode, .. } = call;
    let args = match args::parse(module, arguments) {
        Ok(args) => args,
        Err(invalid) => {
            let msg = wording::message(module.name(), &invalid.violations);
            return Reply { msg, ..run::invalid(&host, module, mode, invalid) };
        }
    };
    if !rustix::process::geteuid().is_root() {
        let mut reply = run::blank_reply(&host, module, mode);
        reply.failed = true;
        reply.code = Code::Environment;
        reply.msg =
            "drbd-host needs root: DRBD, LVM and their devices are not open to others. Nothing was changed."
                .to_owned();
        reply.next_steps = vec!["Run it through sudo (Ansible: become: true).".to_owned()];
        return reply;
    }
    let _held: Vec<Held> = match take_locks(&args, module, mode, &stop) {
        Ok(held) => held,
        Err(error) => {
            let mut reply = run::blank_reply(&host, module, mode);
            reply.failed = true;
            reply.code = match error {
                LockError::Held { .. } => Code::Locked,
                LockError::Os { .. } => Code::Environment,
                LockError::Interrupted { .. } => Code::Interrupted,
            };
            reply.msg = error.to_string();
            reply.next_steps = vec![error.next_step()];
            return reply;
        }
    };
    dispatch(&host, &args, mode)
}

fn take_locks(args: &Args, module: Module, mode: Mode, stop: &Stop) -> Result<Vec<Held>, LockError> {
    let purpose = if mode.check { format!("{module} in check mode") } else { module.to_string() };
    let take =
        |name: String, seconds: u32| lock::take(&name, &purpose, Duration::from_secs(seconds.into()), stop);
    match args {
        // All resources share one configuration: between the look at it and the change nobody else may change it.
        Args::Resource(args) => Ok(vec![
            take(format!("resource-{}", args.name), args.run.lock_timeout)?,
            take("configuration".to_owned(), args.run.lock_timeout)?,
        ]),
        Args::InitialSync(args) => {
            Ok(vec![take(format!("resource-{}", args.resource.name()), args.run.lock_timeout)?])
        }
        Args::StoragePool(args) => Ok(vec![take(format!("pool-{}", args.volume_group), args.lock_timeout)?]),
        Args::Role(args) => Ok(vec![take(format!("resource-{}", args.name), args.lock_timeout)?]),
        Args::Verify(args) => Ok(vec![take(format!("resource-{}", args.name), args.lock_timeout)?]),
        // Two runs that want the same port at the same time would take each other for strangers.
        Args::Ports(args) => {
            Ok(vec![take(format!("resource-{}", args.resource.name()), args.run.lock_timeout)?])
        }
        Args::Info(_) | Args::Wait(_) => Ok(Vec::new()),
    }
}

/// Runs a module on a host.
pub(crate) fn dispatch(host: &impl Host, args: &Args, mode: Mode) -> Reply {
    match args {
        Args::Resource(args) => run::resource(host, args, mode),
        Args::Info(args) => info::info(host, args, mode),
        Args::Wait(args) => wait::wait(host, args, mode),
        Args::InitialSync(args) => run::initial_sync(host, args, mode),
        Args::StoragePool(args) => pool::storage_pool(host, args, mode),
        Args::Role(args) => role::role(host, args, mode),
        Args::Verify(args) => verify::verify(host, args, mode),
        Args::Ports(args) => ports::ports(host, args, mode),
    }
}

fn answer(answer: Answer) -> ExitCode {
    let failed = answer.reply.failed;
    let text = text_of(answer) + "\n";
    // If the reader is gone there is nobody left to tell.
    let _ = std::io::stdout().write_all(text.as_bytes());
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// The one place through which every answer leaves, without its secrets.
fn text_of(answer: Answer) -> String {
    let Answer { reply, invocation, secrets } = answer;
    // A reply of plain values cannot fail to serialise; if it ever did, this would still be a failure.
    let mut value = serde_json::to_value(reply).unwrap_or_else(|_| serde_json::json!({ "failed": true }));
    if let (Some(members), Some(invocation)) = (value.as_object_mut(), invocation) {
        members.insert("invocation".to_owned(), invocation);
    }
    hidden::masked(value, &secrets).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply_to(input: &str) -> Value {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("args");
        std::fs::write(&path, input).unwrap();
        serde_json::from_str(&text_of(module(None, &path.into_os_string(), &Launcher::default()))).unwrap()
    }

    #[test]
    fn no_text_of_an_answer_has_a_secret() {
        // The name repeats the secret, and is refused: it would be quoted in the message and the violations.
        let input = r#"{"_ansible_module_name": "drbd_resource", "name": "hunter22/x", "shared_secret": "hunter22",
            "net": {"protocol": "hunter22"}, "nodes": {}, "volumes": {}}"#;
        let reply = reply_to(input);
        assert_eq!(reply["code"], "invalid");
        assert!(reply["violations"].as_array().is_some_and(|violations| violations.len() >= 2), "{reply}");
        assert!(!reply.to_string().contains("hunter22"), "{reply}");
        assert_eq!(reply["invocation"]["module_args"]["shared_secret"], drbd_schemas::secret::MASK);
    }

    #[test]
    fn only_ansible_gets_an_invocation() {
        let by_ansible = r#"{"_ansible_module_name": "drbd_wait", "nam": 1}"#;
        assert_eq!(reply_to(by_ansible)["invocation"]["module_args"], serde_json::json!({ "nam": 1 }));
        let unwanted =
            r#"{"_ansible_module_name": "drbd_wait", "_ansible_inject_invocation": false, "nam": 1}"#;
        assert_eq!(reply_to(unwanted).get("invocation"), None);
    }
}
