// SPDX-License-Identifier: MPL-2.0
//! The order of things across hosts, on simulated ones: who is asked what, after what, and who is not touched when
//! something fails.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use drbd_schemas::args::Module;
use drbd_schemas::reply::{Code, Reply};
use drbd_schemas::{Declaration, Resource};
use drbd_ssh::Target;
use serde_json::{Value, json};
use tfplugin::{Context, Diagnostics, Provider};
use tokio::time::Instant;

use super::DirectEngine;
use crate::Drbd;
use crate::engine::{Engine, Goal, Run, Sight, Storage, Volume};
use crate::host::{Connector, HostLink, Later, LinkError, Request};
use crate::simulated::{Simulation, World};
use crate::ssh_settings::SshSettings;

/// Writes down who is asked what.
#[derive(Clone)]
struct Recorder {
    hosts: Simulation,
    asked: Arc<Mutex<Vec<String>>>,
}

struct Recorded {
    link: Arc<dyn HostLink>,
    host: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Connector for Recorder {
    fn link(&self, target: &Target) -> Arc<dyn HostLink> {
        let (link, asked) = (self.hosts.link(target), Arc::clone(&self.asked));
        Arc::new(Recorded { link, host: target.host.replace("10.0.0.", "h"), asked })
    }
}

impl HostLink for Recorded {
    fn run<'a>(&'a self, request: &'a Request) -> Later<'a, Result<Reply, LinkError>> {
        let text =
            |name: &str| request.arguments.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let what = match request.module {
            Module::DrbdResource if request.check_mode => format!("check {}", text("state")),
            Module::DrbdResource if request.arguments.contains_key("evidence") => {
                "present with evidence".to_owned()
            }
            Module::DrbdResource => text("state"),
            Module::DrbdWait => format!("wait {}", text("condition")),
            Module::DrbdInfo => "info".to_owned(),
            Module::DrbdInitialSync => "initial sync".to_owned(),
            Module::DrbdStoragePool => "pool".to_owned(),
            Module::DrbdPorts => "ports".to_owned(),
            Module::DrbdRole | Module::DrbdVerify => "not asked by the provider".to_owned(),
        };
        self.asked.lock().unwrap().push(format!("{} {what}", self.host));
        self.link.run(request)
    }

    fn known_hosts(&self) -> Later<'_, Result<Vec<String>, LinkError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn look<'a>(
        &'a self,
        _: &'a [&'a str],
        _: Duration,
    ) -> Later<'a, Result<drbd_ssh::ExecOutput, LinkError>> {
        Box::pin(async { Ok(drbd_ssh::ExecOutput { code: 127, stdout: Vec::new(), stderr: Vec::new() }) })
    }
}

/// An engine on hosts h1 to h3, DRBD 9.
async fn engine() -> (Recorder, DirectEngine) {
    let hosts = Simulation::new(World::of(&["h1", "h2", "h3"], "9.2.18"));
    let recorder = Recorder { hosts, asked: Arc::default() };
    let drbd = Drbd::over(Arc::new(recorder.clone()));
    let config = tfplugin::Value::object([("ssh", tfplugin::Value::Null)]);
    assert!(drbd.configure(config, &Context::detached()).await.is_empty());
    (recorder, DirectEngine::new(drbd.shared().configured().unwrap()))
}

fn volume(change: impl FnOnce(&mut Value)) -> Volume {
    let node = |id: u8| {
        json!({ "node_id": id, "address": format!("10.0.0.{}", id + 1),
            "storage": { "lvm_thin": { "volume_group": "vg0", "thin_pool": "thin" } } })
    };
    let mut declaration = json!({
        "name": "r0", "port": 7000, "nodes": { "h1": node(0), "h2": node(1), "h3": node(2) },
        "volumes": { "0": { "minor": 1000, "size": "64MiB" } },
    });
    change(&mut declaration);
    let declaration: Declaration = serde_json::from_value(declaration).unwrap();
    let resource = Resource::try_from(declaration).unwrap();
    let ssh = |node: &drbd_schemas::Node| SshSettings::of_host(&node.address.to_string());
    let members = resource.nodes.iter().map(|(name, node)| (name.clone(), ssh(node))).collect();
    Volume { resource, members }
}

fn run(ctx: &Context) -> Run<'_> {
    Run { ctx, deadline: Instant::now() + Duration::from_secs(60), consent: &[] }
}

impl Recorder {
    /// What was asked since the last call, looks and waits on all hosts at once written once.
    fn asked(&self) -> Vec<String> {
        let mut asked = std::mem::take(&mut *self.asked.lock().unwrap());
        for what in ["info", "ports", "wait connected", "check present", "check absent", "present", "absent"]
        {
            let all: Vec<String> = ["h1", "h2", "h3"].iter().map(|host| format!("{host} {what}")).collect();
            while let Some(at) = asked.windows(3).position(|three| all.iter().all(|one| three.contains(one)))
            {
                asked.splice(at..at + 3, [format!("all {what}")]);
            }
        }
        asked
    }

    fn up(&self, volume: &str) -> Vec<String> {
        self.hosts.with(|world| {
            let up =
                |host: &&crate::simulated::SimulatedHost| host.resources.get(volume).is_some_and(|r| r.up);
            world.hosts.values().filter(up).map(|host| host.node.clone()).collect()
        })
    }

    fn refuse(&self, host: &str, module: Module) {
        self.hosts
            .with(|world| world.hosts.get_mut(host).unwrap().refuses = Some((module, Code::StepFailed)));
    }
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, Diagnostics>, part: &str) {
    let text: String = result.unwrap_err().iter().map(|d| format!("{}: {}", d.summary, d.detail)).collect();
    assert!(text.contains(part), "{part:?} is not in {text}");
}

#[tokio::test]
async fn nobody_starts_the_first_synchronisation_before_all_are_connected_and_looked_at() {
    let (hosts, engine) = engine().await;
    let ctx = Context::detached();
    let outcome = engine.bring_up(&volume(|_| ()), Goal::Synchronised, run(&ctx)).await.unwrap();
    assert_eq!((outcome.size_bytes, outcome.drift), (Some(64 << 20), Vec::new()));
    let stages = [
        "all present",
        "all wait connected",
        "all info",
        "h1 initial sync",
        "all info",
        "h1 wait all_up_to_date",
    ];
    assert_eq!(hosts.asked(), stages);
}

#[tokio::test]
async fn all_nodes_meet_on_their_ports_at_the_same_time() {
    let (hosts, engine) = engine().await;
    let ctx = Context::detached();
    engine.reachable(&volume(|_| ()), run(&ctx)).await.unwrap();
    assert_eq!(hosts.asked(), ["all ports"]);
    hosts.refuse("10.0.0.2", Module::DrbdPorts);
    refused(engine.reachable(&volume(|_| ()), run(&ctx)).await, "told to refuse");
    assert!(hosts.up("r0").is_empty());
}

#[tokio::test]
async fn a_stage_that_fails_on_one_host_ends_the_run() {
    for (module, left) in [
        (Module::DrbdResource, vec!["all present"]),
        (Module::DrbdWait, vec!["all present", "all wait connected"]),
        (Module::DrbdInitialSync, vec!["all present", "all wait connected", "all info", "h1 initial sync"]),
    ] {
        let (hosts, engine) = engine().await;
        let host = if module == Module::DrbdInitialSync { "10.0.0.1" } else { "10.0.0.2" };
        hosts.refuse(host, module);
        let ctx = Context::detached();
        refused(engine.bring_up(&volume(|_| ()), Goal::Usable, run(&ctx)).await, "told to refuse");
        assert_eq!(hosts.asked(), left, "{module}");
    }
}

#[tokio::test]
async fn options_go_from_host_to_host_with_the_peers_connected_in_between() {
    let (hosts, engine) = engine().await;
    let ctx = Context::detached();
    let before = volume(|_| ());
    engine.bring_up(&before, Goal::Usable, run(&ctx)).await.unwrap();
    hosts.asked();
    let after = volume(|v| v["disk"] = json!({ "al-extents": "1237" }));
    engine.change(&before, &after, run(&ctx)).await.unwrap();
    let order = [
        "all info",
        "all check present",
        "h1 present",
        "h1 wait connected",
        "h2 present",
        "h2 wait connected",
        "h3 present",
        "all wait connected",
        "all info",
    ];
    assert_eq!(hosts.asked(), order);
    // The next host is not changed when the peers do not come back.
    let later = volume(|v| v["disk"] = json!({ "al-extents": "3389" }));
    hosts.refuse("10.0.0.1", Module::DrbdWait);
    refused(engine.change(&after, &later, run(&ctx)).await, "hosts after it were not changed");
    assert_eq!(hosts.asked(), ["all info", "all check present", "h1 present", "h1 wait connected"]);
}

#[tokio::test]
async fn what_peers_must_agree_on_is_not_waited_for_in_between() {
    let (hosts, engine) = engine().await;
    let ctx = Context::detached();
    let before = volume(|_| ());
    engine.bring_up(&before, Goal::Usable, run(&ctx)).await.unwrap();
    hosts.asked();
    type Change = fn(&mut Value);
    let changes: [Change; 3] = [
        |v| v["net"] = json!({ "protocol": "A" }),
        |v| v["shared_secret"] = json!("hunter22"),
        |v| v["port"] = json!(7001),
    ];
    for change in changes {
        engine.change(&before, &volume(change), run(&ctx)).await.unwrap();
        let order = ["all info", "all check present", "all present", "all wait connected", "all info"];
        assert_eq!(hosts.asked(), order);
        engine.change(&volume(change), &before, run(&ctx)).await.unwrap();
        hosts.asked();
    }
}

#[tokio::test]
async fn every_backing_device_grows_before_drbd_does() {
    let (hosts, engine) = engine().await;
    let ctx = Context::detached();
    let (before, after) = (volume(|_| ()), volume(|v| v["volumes"]["0"]["size"] = json!("128MiB")));
    engine.bring_up(&before, Goal::Usable, run(&ctx)).await.unwrap();
    hosts.asked();
    let outcome = engine.change(&before, &after, run(&ctx)).await.unwrap();
    assert_eq!(outcome.size_bytes, Some(128 << 20));
    let asked = hosts.asked();
    let end = ["h3 present", "all wait connected", "all info", "h1 present with evidence", "all info"];
    assert!(asked.ends_with(&end.map(str::to_owned)), "{asked:?}");
    // A host that cannot extend its device stops it all: DRBD keeps its size everywhere.
    let larger = volume(|v| v["volumes"]["0"]["size"] = json!("256MiB"));
    hosts.refuse("10.0.0.3", Module::DrbdResource);
    refused(engine.change(&after, &larger, run(&ctx)).await, "told to refuse");
    let sizes: Vec<u64> = hosts.hosts.with(|w| w.hosts.values().map(|h| h.resources["r0"].size).collect());
    assert_eq!(sizes, [128 << 20; 3]);
}

#[tokio::test]
async fn a_volume_leaves_all_hosts_or_none() {
    let (hosts, engine) = engine().await;
    let ctx = Context::detached();
    let r0 = volume(|_| ());
    engine.bring_up(&r0, Goal::Usable, run(&ctx)).await.unwrap();
    hosts.hosts.with(|world| {
        world.hosts.get_mut("10.0.0.3").unwrap().resources.get_mut("r0").unwrap().primary = true;
    });
    refused(engine.remove(&r0, Storage::Destroyed, run(&ctx)).await, "Primary on h3");
    assert_eq!(hosts.up("r0").len(), 3);
    hosts.hosts.with(|world| {
        world.hosts.get_mut("10.0.0.3").unwrap().resources.get_mut("r0").unwrap().primary = false;
    });
    // A refusal in the rehearsal stops it as well.
    hosts.refuse("10.0.0.2", Module::DrbdResource);
    refused(engine.remove(&r0, Storage::Destroyed, run(&ctx)).await, "told to refuse");
    assert_eq!(hosts.up("r0").len(), 3);
    engine.remove(&r0, Storage::Destroyed, run(&ctx)).await.unwrap();
    assert_eq!(engine.sight(&r0, &BTreeSet::new()).await.unwrap().0, Sight::Gone);
    engine.remove(&r0, Storage::Destroyed, run(&ctx)).await.unwrap();
}

#[tokio::test]
async fn nothing_is_begun_after_the_deadline_or_a_stop() {
    let (hosts, engine) = engine().await;
    let ctx = Context::detached();
    let late = Run { deadline: Instant::now(), ..run(&ctx) };
    refused(engine.bring_up(&volume(|_| ()), Goal::Usable, late).await, "Deadline passed");
    ctx.cancelled().cancel();
    refused(engine.bring_up(&volume(|_| ()), Goal::Usable, run(&ctx)).await, "Interrupted");
    refused(engine.remove(&volume(|_| ()), Storage::Destroyed, run(&ctx)).await, "Interrupted");
    assert!(hosts.asked().iter().all(|asked| asked.ends_with("info")), "at most looks");
}

#[tokio::test]
async fn a_host_that_does_not_answer_is_a_warning_and_never_an_absence() {
    let (hosts, engine) = engine().await;
    hosts.hosts.with(|world| world.hosts.values_mut().for_each(|host| host.unreachable = true));
    let (sight, text) = engine.sight(&volume(|_| ()), &BTreeSet::new()).await.unwrap();
    assert_eq!(
        (sight, text.len(), text.has_errors()),
        (Sight::Unseen, 3, false),
        "each host is named: {text:?}"
    );
}
