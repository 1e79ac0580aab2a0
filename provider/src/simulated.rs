// SPDX-License-Identifier: MPL-2.0
//! Simulated hosts: what `drbd-host` does on a few hosts, as a model that keeps its state, can fail, and can lose the
//! connection. For tests of the order of things across hosts, and for benchmarks of the provider.
//!
//! Requests are read by the contract's own parser, so that what the model accepts is what the real program accepts. How a
//! single host is converged is not modelled beyond its result; that is tested where it is decided, in the engine and on
//! real hosts.

mod modules;
mod observe;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use drbd_schemas::args::Module;
use drbd_schemas::reply::{Code, Reply};
use drbd_ssh::{ExecOutput, SshError, Target};
use serde::{Deserialize, Serialize};

use crate::host::{Connector, HostLink, Later, LinkError, Request};

/// The key that every simulated host presents.
const SIMULATED_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

/// All simulated hosts, by the address that SSH would use.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct World {
    /// The hosts.
    pub hosts: BTreeMap<String, SimulatedHost>,
    /// Pairs of node names whose link is cut.
    pub cut: BTreeSet<(String, String)>,
    /// A full synchronisation does not come to its end.
    pub slow_sync: bool,
}

/// One simulated host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SimulatedHost {
    /// What `uname -n` prints.
    pub node: String,
    /// Version of the DRBD module; none when there is none.
    pub drbd: Option<String>,
    /// Volume groups, with their thin pools.
    pub volume_groups: BTreeMap<String, BTreeSet<String>>,
    /// Resources, by name.
    pub resources: BTreeMap<String, SimulatedResource>,
    /// It does not answer.
    pub unreachable: bool,
    /// The next run of this module fails with this code; it changes nothing.
    pub refuses: Option<(Module, Code)>,
    /// The connection is lost after the next run of this module did its work.
    pub loses: Option<Module>,
    /// Runs so far.
    pub executions: u64,
}

/// One resource on one simulated host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SimulatedResource {
    /// The declaration as it was last written, with its secret masked.
    pub declaration: Option<serde_json::Value>,
    /// There is a configuration file.
    pub file: bool,
    /// It runs.
    pub up: bool,
    /// Size of the backing device in bytes; none when there is none.
    pub backing: Option<u64>,
    /// Path of the backing device.
    pub path: String,
    /// The backing device was created empty in a thin pool.
    pub thin: bool,
    /// Its metadata were never used.
    pub just_created: bool,
    /// Its disk has good data.
    pub up_to_date: bool,
    /// Usable size in bytes.
    pub size: u64,
    /// It is Primary.
    pub primary: bool,
}

impl World {
    /// Hosts of these node names at 10.0.0.1, 10.0.0.2 and so on, with DRBD of this version and the thin pool `vg0/thin`.
    pub fn of(nodes: &[&str], drbd: &str) -> Self {
        let host = |node: &&str| SimulatedHost {
            node: (*node).to_owned(),
            drbd: Some(drbd.to_owned()),
            volume_groups: BTreeMap::from([("vg0".to_owned(), BTreeSet::from(["thin".to_owned()]))]),
            ..SimulatedHost::default()
        };
        let hosts = nodes.iter().enumerate().map(|(i, node)| (format!("10.0.0.{}", i + 1), host(node)));
        Self { hosts: hosts.collect(), ..Self::default() }
    }
}

/// Makes links to simulated hosts.
#[derive(Clone, Debug)]
pub struct Simulation {
    world: Arc<Mutex<World>>,
    /// Where the world is kept between processes.
    file: Option<PathBuf>,
    delay: Duration,
}

impl Simulation {
    /// Hosts in memory.
    pub fn new(world: World) -> Self {
        Self { world: Arc::new(Mutex::new(world)), file: None, delay: Duration::ZERO }
    }

    /// Hosts in a JSON file that several processes share; read and written at every run, under a lock.
    pub fn in_file(file: impl Into<PathBuf>) -> Self {
        Self { file: Some(file.into()), ..Self::new(World::default()) }
    }

    /// The same with every run taking this long.
    #[must_use]
    pub fn delayed(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Looks at the hosts in memory, or changes them behind everybody's back.
    pub fn with<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        change(&mut self.world.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn run(&self, host: &str, request: &Request) -> Result<Reply, LinkError> {
        let Some(file) = &self.file else { return self.with(|world| world.run(host, request)) };
        let broken = |error: std::io::Error| LinkError::Binary {
            path: file.display().to_string(),
            why: error.to_string(),
        };
        let mut file = File::options().read(true).write(true).open(file).map_err(broken)?;
        file.lock().map_err(broken)?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(broken)?;
        let mut world: World = serde_json::from_str(&text).map_err(|error| broken(error.into()))?;
        let reply = world.run(host, request);
        let text = serde_json::to_string(&world).map_err(|error| broken(error.into()))?;
        file.rewind()
            .and_then(|()| file.set_len(0))
            .and_then(|()| file.write_all(text.as_bytes()))
            .map_err(broken)?;
        reply
    }
}

impl Connector for Simulation {
    fn link(&self, target: &Target) -> Arc<dyn HostLink> {
        Arc::new(Link { simulation: self.clone(), host: target.host.clone() })
    }
}

struct Link {
    simulation: Simulation,
    host: String,
}

impl HostLink for Link {
    fn run<'a>(&'a self, request: &'a Request) -> Later<'a, Result<Reply, LinkError>> {
        Box::pin(async move {
            if !self.simulation.delay.is_zero() {
                tokio::time::sleep(self.simulation.delay).await;
            }
            self.simulation.run(&self.host, request)
        })
    }

    fn known_hosts(&self) -> Later<'_, Result<Vec<String>, LinkError>> {
        Box::pin(async move { Ok(vec![format!("{} {SIMULATED_KEY}", self.host)]) })
    }

    fn look<'a>(&'a self, argv: &'a [&'a str], _: Duration) -> Later<'a, Result<ExecOutput, LinkError>> {
        // No program but drbd-host is modelled, and the looks of the gates at a guest: every disk is found by its serial number,
        // nobody holds a package lock, and nothing looks into DRBD's devices.
        let found = match argv {
            [_, _, _, "find-disk", serial, ..] => {
                Some(format!("/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_{serial}\n"))
            }
            [_, _, _, "lock-holder" | "looking-in"] => Some(String::new()),
            _ => None,
        };
        let code = if found.is_some() { 0 } else { 127 };
        let stdout = found.unwrap_or_default().into_bytes();
        Box::pin(async move { Ok(ExecOutput { code, stdout, stderr: Vec::new() }) })
    }
}

impl World {
    /// Runs a module on a host, with the faults that are set for it.
    fn run(&mut self, address: &str, request: &Request) -> Result<Reply, LinkError> {
        let unreachable = || SshError::Unreachable {
            host: address.to_owned(),
            port: 22,
            after: Duration::from_secs(15),
            last: "no route to host".to_owned(),
        };
        let host = self.hosts.get_mut(address).filter(|host| !host.unreachable).ok_or_else(unreachable)?;
        host.executions += 1;
        if let Some((_, code)) = host.refuses.take_if(|(module, _)| *module == request.module) {
            return Ok(refusal(request, &host.node, code, "the simulation was told to refuse"));
        }
        let loses = host.loses.take_if(|module| *module == request.module && !request.check_mode).is_some();
        let reply = if request.module == Module::DrbdInfo {
            // It changes nothing.
            self.module(address, request)
        } else {
            let mut after = self.clone();
            let reply = after.module(address, request);
            if !request.check_mode && !reply.failed {
                *self = after;
            }
            reply
        };
        if loses {
            let lost = SshError::ConnectionLost {
                host: address.to_owned(),
                during: request.module.name().to_owned(),
                last: "connection reset by peer".to_owned(),
            };
            return Err(lost.into());
        }
        Ok(reply)
    }
}

fn refusal(request: &Request, node: &str, code: Code, msg: &str) -> Reply {
    Reply {
        schema: drbd_schemas::reply::SCHEMA.to_owned(),
        failed: true,
        code,
        msg: msg.to_owned(),
        module: request.module.name().to_owned(),
        node: node.to_owned(),
        check_mode: request.check_mode,
        ..Reply::default()
    }
}
