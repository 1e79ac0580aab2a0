// SPDX-License-Identifier: MPL-2.0
//! What uses the volumes of a node whose instance has to go: file systems are unmounted and the volumes made Secondary while the
//! guest still runs. Processes are left to the guest's own shutdown, which ends services in their order; nothing is killed here.

use std::sync::Arc;
use std::time::Duration;

use drbd_schemas::args::Module;
use drbd_schemas::facts::{HostFacts, ResourceFacts};
use drbd_schemas::reply::{Code, Reply};
use serde_json::{Map, json};
use tfplugin::{Context, Decode, Diagnostic, Path, Value};

use crate::host::{Host, Request, Trouble};
use crate::provider::Configured;
use crate::ssh_settings::SshSettings;

/// Time for unmounting what is on one volume: what is in memory goes to the disks of all replicas first.
const DEMOTE: Duration = Duration::from_secs(300);

/// A resource that is Primary on a node.
struct InUse<'f> {
    name: &'f str,
    resource: &'f ResourceFacts,
}

/// Whether the users of a node are stopped when its instance is replaced; else that is refused.
pub(super) fn may_stop(node: &Value) -> bool {
    node.get("ec2").get("when_in_use").as_str() != Some("refuse")
}

/// What a planned replacement of the instance does to the users of its volumes, found out by a dry run on the host.
pub(crate) async fn foretell(configured: &Configured, prior: &Value, plan: &Value) -> Option<Diagnostic> {
    super::plan::relaunch(prior, plan).filter(|_| may_stop(plan))?;
    let host = running(configured, prior).ok()??;
    let facts = host.facts().await.ok()?;
    let mut told = Vec::new();
    for used in in_use(&facts) {
        told.push(match host.run(&used.demote(0).checking()).await {
            Ok(reply) => steps(&used, &reply),
            Err(Trouble::Reply(reply)) if reply.code == Code::InUse => {
                format!("{} The shutdown of the guest ends that.", reply.msg)
            }
            Err(_) => format!("{} is Primary, until the shutdown of the guest.", used.name),
        });
    }
    let name = prior.get("name").as_str().unwrap_or_default();
    (!told.is_empty()).then(|| {
        let detail = format!(
            "Apply ends what uses the volumes of {name}, and then shuts the instance down: {} Nothing is started elsewhere. To move the \
             service to another node in an orderly way, do that first; ec2.when_in_use = \"refuse\" refuses in place of stopping.",
            told.join(" ")
        );
        Diagnostic::warning(format!("Node {name} is in use"), detail)
    })
}

fn steps(used: &InUse<'_>, reply: &Reply) -> String {
    let steps: Vec<&str> = reply.actions.iter().map(|action| action.summary.as_str()).collect();
    format!("{} is Primary: {}.", used.name, steps.join(", "))
}

/// Unmounts and demotes what is in use on a node, as far as no process holds it. Whether that can be done is found out for
/// all volumes before it is done to the first.
///
/// # Errors
/// When one cannot be, for another reason than a process. The instance was not touched then.
pub(super) async fn stop(configured: &Configured, prior: &Value, ctx: &Context) -> Result<(), Diagnostic> {
    let Some((host, facts)) = seen(configured, prior).await? else { return Ok(()) };
    let name = prior.get("name").as_str().unwrap_or_default();
    let used = in_use(&facts);
    let mut ended: Vec<&str> = Vec::new();
    let failed = |used: &InUse<'_>, trouble: &Trouble, ended: &[&str]| {
        let mut told = trouble.diagnostic(name, &host, &format!("end the use of {}", used.name));
        told.detail.push_str(&format!("\n\n{}", done_and_next(used.name, ended)));
        told
    };
    for used in &used {
        match host.run(&used.demote(60).checking()).await {
            Ok(_) => (),
            Err(Trouble::Reply(reply)) if reply.code == Code::InUse => (),
            Err(trouble) => return Err(failed(used, &trouble, &ended)),
        }
    }
    for used in &used {
        ctx.progress(&format!("{name}: ending the use of {}", used.name));
        match host.run(&used.demote(60)).await {
            Ok(_) => ended.push(used.name),
            Err(Trouble::Reply(reply)) if reply.code == Code::InUse => {
                ctx.progress(&format!("{name}: {} The shutdown of the guest ends that", reply.msg));
            }
            Err(trouble) => return Err(failed(used, &trouble, &ended)),
        }
    }
    Ok(())
}

/// What was done before the use of a volume could not be ended, and what to do about it.
fn done_and_next(used: &str, ended: &[&str]) -> String {
    let before = match ended {
        [] => String::new(),
        ended => format!("Unmounted and made Secondary before: {}. ", ended.join(", ")),
    };
    format!("{before}The instance was not touched. Unmount {used} there, and apply again.")
}

/// Refuses while a volume is Primary on the node. A host that does not answer has nothing in use that could be saved.
///
/// # Errors
/// With the volumes that are.
pub(super) async fn none(configured: &Configured, prior: &Value) -> Result<(), Diagnostic> {
    let Some((_, facts)) = seen(configured, prior).await? else { return Ok(()) };
    let used: Vec<&str> = in_use(&facts).into_iter().map(|used| used.name).collect();
    if used.is_empty() {
        return Ok(());
    }
    let name = prior.get("name").as_str().unwrap_or_default();
    let detail = format!(
        "{} is Primary on {name}. Its instance was not touched. Unmount it there, run `drbdadm secondary {}`, and apply again.",
        used.join(", "),
        used.join(" ")
    );
    Err(Diagnostic::error(format!("Node {name} is in use"), detail))
}

/// The host of an instance that runs, as far as somebody has logged in to it.
fn running(configured: &Configured, prior: &Value) -> Result<Option<Arc<Host>>, Diagnostic> {
    let running = prior.get("instance").get("state").as_str() == Some("running");
    let Ok(ssh) = SshSettings::decode(prior.get("ssh"), &Path::of("ssh")) else { return Ok(None) };
    if !running || ssh.host.is_none() {
        return Ok(None);
    }
    configured.host(&ssh).map(Some)
}

async fn seen(configured: &Configured, prior: &Value) -> Result<Option<(Arc<Host>, HostFacts)>, Diagnostic> {
    let Some(host) = running(configured, prior)? else { return Ok(None) };
    let facts = host.fresh_facts(&[]).await;
    Ok(facts.ok().map(|facts| (host, facts)))
}

fn in_use(facts: &HostFacts) -> Vec<InUse<'_>> {
    let primary = facts
        .resources
        .iter()
        .filter(|(_, resource)| resource.running.as_ref().is_some_and(|running| running.role == "Primary"));
    primary.map(|(name, resource)| InUse { name, resource }).collect()
}

impl InUse<'_> {
    /// Unmount what is mounted and become Secondary. Waits so many seconds for another run on the resource.
    fn demote(&self, lock_timeout: u32) -> Request {
        let mounts = self.resource.volumes.iter().flat_map(|(number, volume)| {
            volume.mounted_on.iter().map(move |path| json!({ "volume": number, "path": path }))
        });
        let arguments = Map::from_iter([
            ("name".to_owned(), json!(self.name)),
            ("role".to_owned(), json!("secondary")),
            ("mounts".to_owned(), mounts.collect()),
            ("lock_timeout".to_owned(), json!(lock_timeout)),
        ]);
        Request::new(Module::DrbdRole, arguments, DEMOTE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use drbd_schemas::args::{Args, parse};

    #[test]
    fn what_was_ended_before_a_failure_is_named() {
        let next = "The instance was not touched. Unmount r2 there, and apply again.";
        assert_eq!(done_and_next("r2", &[]), next);
        let before = format!("Unmounted and made Secondary before: r0, r1. {next}");
        assert_eq!(done_and_next("r2", &["r0", "r1"]), before);
    }

    #[test]
    fn all_that_is_mounted_is_named_and_a_secondary_is_left_alone() {
        let running =
            |role: &str| json!({ "role": role, "suspended": false, "node_id": null, "connections": {} });
        let volume = json!({
            "minor": 1000, "disk": "UpToDate", "size_bytes": 1, "open": true, "mounted_on": ["/mnt", "/srv"], "quorum": null,
            "backing": null,
        });
        let facts: HostFacts = serde_json::from_value(json!({
            "schema": "drbd-host/facts/1", "node": "h1", "kernel": "6", "drbd": {}, "volume_groups": {}, "ports_in_use": [],
            "minors_in_use": [], "drbd_host": "0.1.0",
            "resources": {
                "r0": { "config": null, "running": running("Primary"), "volumes": { "0": volume }, "pending": [] },
                "r1": { "config": null, "running": running("Secondary"), "volumes": { "0": volume }, "pending": [] },
            },
        }))
        .unwrap();
        let used = in_use(&facts);
        let names: Vec<&str> = used.iter().map(|used| used.name).collect();
        assert_eq!(names, ["r0"]);
        let request = used.first().unwrap().demote(0);
        let Ok(Args::Role(args)) = parse(Module::DrbdRole, request.arguments.into()) else { panic!() };
        let paths: Vec<&str> = args.mounts.iter().map(|mount| mount.path.as_str()).collect();
        assert_eq!(paths, ["/mnt", "/srv"]);
    }
}
