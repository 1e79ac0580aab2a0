// SPDX-License-Identifier: MPL-2.0
//! What somebody at a terminal of the host sees: facts, status and plans for reading. The same values as the modules
//! return, other words.

use crate::door;
use crate::handshake::PROTOCOL;
use crate::local_host::LocalHost;
use crate::stop::Stop;
use drbd_engine::run::Mode;
use drbd_schemas::args::{self, Args, InfoArgs, Module};
use drbd_schemas::export;
use drbd_schemas::facts::{HostFacts, ResourceFacts};
use drbd_schemas::reply::Reply;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

pub(crate) const USAGE: &str = "\
Usage:
  drbd-host MODULE [FILE|-]   run a module: JSON in, one JSON object out
  drbd-host facts [--json]    what is on this host
  drbd-host status            one line per resource and volume
  drbd-host plan [FILE|-]     what drbd_resource would do with a declaration; changes nothing
  drbd-host --schema MODULE   JSON Schema of a module's arguments (or of: facts, reply, declaration)
  drbd-host inventory --list  an Ansible inventory from Terraform's state (linked as drbd_inventory: a script of it)
  drbd-host --version

Modules: drbd_resource, drbd_info, drbd_wait, drbd_initial_sync, drbd_storage_pool, drbd_role, drbd_verify,
         drbd_ports.
Called as AnsiballZ_MODULE, or with _ansible_module_name in the input, it is that Ansible module.";

/// What a person wants.
pub(crate) enum Wish {
    Version,
    Help,
    Schema(Option<String>),
    Facts { json: bool },
    Status,
    Plan(OsString),
}

pub(crate) fn serve(wish: Wish) -> ExitCode {
    let (text, code) = match wish {
        Wish::Version => {
            (format!("drbd-host {}, protocol {PROTOCOL}\n", env!("CARGO_PKG_VERSION")), ExitCode::SUCCESS)
        }
        Wish::Help => (format!("{USAGE}\n"), ExitCode::SUCCESS),
        Wish::Schema(of) => schema(of.as_deref()),
        Wish::Facts { json } => with_facts(|facts| {
            if json {
                serde_json::to_string_pretty(facts).unwrap_or_default() + "\n"
            } else {
                show_facts(facts)
            }
        }),
        Wish::Status => with_facts(show_status),
        Wish::Plan(input) => plan(&input),
    };
    let _ = std::io::stdout().write_all(text.as_bytes());
    code
}

fn schema(of: Option<&str>) -> (String, ExitCode) {
    let files = export::files();
    let found = of.and_then(|of| files.iter().find(|(name, _)| name == &format!("{of}.schema.json")));
    match found {
        Some((_, schema)) => {
            (serde_json::to_string_pretty(schema).unwrap_or_default() + "\n", ExitCode::SUCCESS)
        }
        None => {
            let names: Vec<&str> =
                files.iter().filter_map(|(name, _)| name.strip_suffix(".schema.json")).collect();
            (format!("--schema takes one of: {}\n", names.join(", ")), ExitCode::from(2))
        }
    }
}

fn run(args: &Args, mode: Mode) -> Result<Reply, String> {
    let stop = Stop::catch().map_err(|error| error.to_string())?;
    Ok(door::dispatch(&LocalHost::new(stop), args, mode))
}

fn with_facts(show: impl FnOnce(&HostFacts) -> String) -> (String, ExitCode) {
    match run(&Args::Info(InfoArgs::default()), Mode::default()) {
        Ok(Reply { facts: Some(facts), .. }) => (show(&facts), ExitCode::SUCCESS),
        Ok(reply) => (format!("{}\n", reply.msg), ExitCode::FAILURE),
        Err(error) => (format!("{error}\n"), ExitCode::FAILURE),
    }
}

fn show_facts(facts: &HostFacts) -> String {
    let mut out = String::new();
    let or = |text: &Option<String>, otherwise: &str| text.clone().unwrap_or_else(|| otherwise.to_owned());
    let _ = writeln!(out, "host         {} (kernel {})", facts.node, facts.kernel);
    let loadable = facts.drbd.loadable.as_ref().map(|v| format!("not loaded ({v} can be)"));
    let module = facts.drbd.module.clone().or(loadable);
    let _ =
        writeln!(out, "drbd         module {}, utils {}", or(&module, "none"), or(&facts.drbd.utils, "none"));
    if let Some(error) = &facts.config_error {
        let _ = writeln!(out, "config       CANNOT BE READ: {error}");
    }
    for (name, group) in &facts.volume_groups {
        let (free, size) = (group.free_bytes >> 20, group.size_bytes >> 20);
        let _ =
            writeln!(out, "group        {name}: {free} of {size} MiB free, on {}", group.disks.join(", "));
        for (pool, thin) in &group.thin_pools {
            let used = thin.data_percent.unwrap_or(0.0);
            let _ = writeln!(out, "  thin pool  {pool}: {} MiB, {used:.1} % used", thin.size_bytes >> 20);
        }
    }
    out + &show_status(facts)
}

fn show_status(facts: &HostFacts) -> String {
    let mut out = String::new();
    for (name, resource) in &facts.resources {
        let role = resource.running.as_ref().map_or("down", |running| running.role.as_str());
        let _ = writeln!(out, "resource     {name}: {role}");
        show_volumes(&mut out, resource);
        show_peers(&mut out, resource);
        for line in &resource.pending {
            let _ = writeln!(out, "  pending    {line}");
        }
    }
    if facts.resources.is_empty() {
        let _ = writeln!(out, "resource     none");
    }
    out
}

fn show_volumes(out: &mut String, resource: &ResourceFacts) {
    for (number, volume) in &resource.volumes {
        let disk = volume.disk.as_deref().unwrap_or("down");
        let size = volume.size_bytes.map(|bytes| format!(", {} KiB", bytes >> 10)).unwrap_or_default();
        let backing =
            volume.backing.as_ref().map(|backing| format!(", on {}", backing.path)).unwrap_or_default();
        let _ = writeln!(out, "  volume {number}   {disk}{size}{backing}");
    }
}

fn show_peers(out: &mut String, resource: &ResourceFacts) {
    for (peer, connection) in resource.running.iter().flat_map(|running| &running.connections) {
        let disks: Vec<String> = connection
            .volumes
            .values()
            .map(|volume| match volume.done_percent {
                Some(done) => format!("{} {done:.1} %", volume.disk),
                None => volume.disk.clone(),
            })
            .collect();
        let _ = writeln!(
            out,
            "  peer       {peer}: {} {} {}",
            connection.connection,
            connection.role,
            disks.join(", ")
        );
    }
}

fn plan(input: &OsString) -> (String, ExitCode) {
    let read = door::read_input(input).map_err(|error| error.to_string());
    let value = read.and_then(|text| serde_json::from_str(&text).map_err(|error| error.to_string()));
    let args = value
        .and_then(|value| args::parse(Module::DrbdResource, value).map_err(|invalid| invalid.to_string()));
    match args.and_then(|args| run(&args, Mode { check: true, diff: false })) {
        Ok(reply) => (show_plan(&reply), if reply.failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }),
        Err(error) => (format!("{error}\n"), ExitCode::FAILURE),
    }
}

fn show_plan(reply: &Reply) -> String {
    let mut out = format!("{}\n", reply.msg);
    for action in &reply.actions {
        let _ = writeln!(out, "{:>3}. {}\n     because {}", action.seq, action.summary, action.why);
        if let Some(consequence) = &action.consequence {
            let _ = writeln!(out, "     means {consequence}");
        }
        for argv in &action.argv {
            let _ = writeln!(out, "     $ {}", argv.join(" "));
        }
    }
    for line in reply.warnings.iter().chain(&reply.next_steps) {
        let _ = writeln!(out, "  ! {line}");
    }
    out
}
