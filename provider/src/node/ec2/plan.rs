// SPDX-License-Identifier: MPL-2.0
//! Plans of a node that is an instance: a pure function of configuration and state. What a change costs is said in the plan.

use tfplugin::{Diagnostic, Diagnostics, Path, PlanAction, PlanRequest, Value};

use super::schema::{AT_LAUNCH, RELAUNCH, gib};
use super::{is_instance, users};

/// Completes the plan of any node by what belongs to instances. Warnings and errors alike are returned.
pub(crate) fn complete(req: &PlanRequest, plan: &mut Value) -> Diagnostics {
    if !is_instance(plan) {
        without_instance(req, plan);
        return Diagnostics::new();
    }
    let mut told = Diagnostics::new();
    let replaced = !req.requires_replace.is_empty();
    if replaced {
        forbid(&req.prior, "replaced", &mut told);
    }
    if req.action == PlanAction::Update && !replaced {
        shrinks(&req.prior, plan, &mut told);
        moved_disks(&req.prior, plan, &mut told);
        let relaunched = relaunch(&req.prior, plan);
        if let Some(why) = &relaunched {
            let detail = relaunch_detail(&req.prior, plan, why);
            told.push(Diagnostic::warning(format!("Node {}: new instance", name(plan)), detail));
            forget_instance(req, plan);
        } else {
            at_launch_only(&req.prior, plan, &mut told);
        }
        lost_disks(&req.prior, &mut told);
    }
    told
}

/// The plan of an existing host: nothing of an instance, and the host keys that are configured.
fn without_instance(req: &PlanRequest, plan: &mut Value) {
    plan.set("instance", Value::Null);
    plan.set("volumes", Value::Null);
    let mut ssh = plan.get("ssh").clone();
    if ssh.members().is_some() && req.config.get("ssh").get("host_keys").is_null() {
        ssh.set("host_keys", Value::Null);
        plan.set("ssh", ssh);
    }
}

/// Refuses to destroy a protected node.
///
/// # Errors
/// When it is protected.
pub(crate) fn forbid_delete(prior: &Value) -> Result<(), Diagnostics> {
    let mut told = Diagnostics::new();
    forbid(prior, "destroyed", &mut told);
    told.into_result()
}

fn forbid(prior: &Value, what: &str, told: &mut Diagnostics) {
    if prior.get("deletion_protection").as_bool() != Some(true) {
        return;
    }
    let name = name(prior);
    let detail = format!(
        "Node {name} cannot be {what}: deletion_protection is set. Nothing was touched. Set deletion_protection to false and apply \
         that first, if the node is really not needed any more."
    );
    told.error_at(&Path::of("deletion_protection"), format!("Node {name} is protected"), detail);
}

fn name(node: &Value) -> &str {
    node.get("name").as_str().unwrap_or_default()
}

/// Why a plan puts a new instance under the node; none when the one that it has stays.
pub(super) fn relaunch(prior: &Value, plan: &Value) -> Option<String> {
    if prior.get("instance").is_null() {
        return Some("its instance is gone".to_owned());
    }
    let changed: Vec<String> = RELAUNCH
        .iter()
        .filter(|member| {
            let (was, wanted) = (prior.get("ec2").get(member), plan.get("ec2").get(member));
            // Leaving out an address keeps the one that there is; an imported node knows no image.
            was != wanted && !wanted.is_null() && !(was.is_null() && is_met(prior, member, wanted))
        })
        .map(|member| format!("ec2.{member} changes"))
        .collect();
    if changed.is_empty() { None } else { Some(changed.join(", ")) }
}

/// Whether the running instance has this setting already, although the state did not know that it was asked for.
fn is_met(prior: &Value, member: &str, wanted: &Value) -> bool {
    match member {
        // Looked up at the launch only.
        "image_ssm_parameter" | "image" => true,
        member => prior.get("instance").get(member) == wanted,
    }
}

fn relaunch_detail(prior: &Value, plan: &Value, why: &str) -> String {
    let disks = prior.get("volumes").members().into_iter().flatten();
    let kept: Vec<String> = disks
        .map(|(role, volume)| format!("{role} ({})", volume.get("id").as_str().unwrap_or("?")))
        .collect();
    let disks = if kept.is_empty() {
        "It has no data disks.".to_owned()
    } else {
        format!(
            "Its data disks stay: {}. They are attached to the new instance, and DRBD sends only what changed meanwhile.",
            kept.join(", ")
        )
    };
    let in_use = if users::may_stop(plan) { "its use ends" } else { "that is refused" };
    format!(
        "A new instance takes the place of the old one in the same zone: {why}. {disks} While that lasts, this node's replicas are \
         missing. If a volume is Primary here at apply, {in_use}."
    )
}

fn forget_instance(req: &PlanRequest, plan: &mut Value) {
    for name in
        ["instance", "known_hosts", "kernel_version", "drbd_version", "drbd_family", "drbd_utils_version"]
    {
        plan.set(name, Value::unknown());
    }
    if !plan.get("volumes").is_unknown() {
        plan.set("volumes", Value::unknown());
    }
    let config = req.config.get("ssh");
    if config.is_null() {
        plan.set("ssh", Value::unknown());
    } else {
        let mut ssh = plan.get("ssh").clone();
        ssh.set("host", Value::unknown());
        if config.get("host_keys").is_null() {
            ssh.set("host_keys", Value::unknown());
        }
        plan.set("ssh", ssh);
    }
    if req.config.get("address").is_null() {
        plan.set("address", Value::unknown());
    }
}

/// Each disk that a plan and a state share: path, before, after.
fn shared_disks<'v>(prior: &'v Value, plan: &'v Value) -> Vec<(Path, &'v Value, &'v Value)> {
    let mut shared = Vec::new();
    for (pool, after) in plan.get("storage_pools").members().into_iter().flatten() {
        let before = prior.get("storage_pools").get(pool).get("ebs");
        for (disk, after) in after.get("ebs").members().into_iter().flatten() {
            let path = Path::of("storage_pools").key(pool).attribute("ebs").key(disk);
            if !before.get(disk).is_null() {
                shared.push((path, before.get(disk), after));
            }
        }
    }
    shared
}

fn shrinks(prior: &Value, plan: &Value, told: &mut Diagnostics) {
    for (path, before, after) in shared_disks(prior, plan) {
        let size = |disk: &Value| disk.get("size").as_str().and_then(gib);
        if let (Some(was), Some(wanted)) = (size(before), size(after))
            && wanted < was
        {
            let detail = format!(
                "{path} has {was} GiB, and {wanted} are configured. An EBS volume cannot shrink. Nothing was touched. Set its size to \
                 {was}GiB or more."
            );
            told.error_at(&path.attribute("size"), "A disk cannot shrink", detail);
        }
    }
}

/// A disk that is no longer declared would be deleted under its volume group.
fn moved_disks(prior: &Value, plan: &Value, told: &mut Diagnostics) {
    for (pool, before) in prior.get("storage_pools").members().into_iter().flatten() {
        let after = plan.get("storage_pools").get(pool).get("ebs");
        for (disk, _) in before.get("ebs").members().into_iter().flatten() {
            if after.get(disk).is_null() && !after.is_unknown() && !plan.get("storage_pools").is_unknown() {
                let path = Path::of("storage_pools").key(pool);
                let detail = format!(
                    "{path} no longer has the disk {disk:?}. In this version a disk leaves a pool only together with its node. Nothing was \
                     touched. Put it back."
                );
                told.error_at(&path, "A disk cannot leave its pool", detail);
            }
        }
    }
}

fn at_launch_only(prior: &Value, plan: &Value, told: &mut Diagnostics) {
    let later: Vec<&str> = AT_LAUNCH
        .iter()
        .filter(|member| prior.get("ec2").get(member) != plan.get("ec2").get(member))
        .copied()
        .collect();
    if !later.is_empty() {
        let detail = format!(
            "ec2.{} is used when an instance is launched; the one that runs stays as it is. The change waits for the next launch of \
             this node.",
            later.join(", ec2.")
        );
        told.warning_at(&Path::of("ec2"), format!("Node {}: used at the next launch", name(plan)), detail);
    }
}

fn lost_disks(prior: &Value, told: &mut Diagnostics) {
    for (pool, value) in prior.get("storage_pools").members().into_iter().flatten() {
        for (disk, _) in value.get("ebs").members().into_iter().flatten() {
            let role = format!("{pool}/{disk}");
            if prior.get("volumes").members().is_some() && prior.get("volumes").get(&role).is_null() {
                let detail = format!(
                    "The disk {role} is gone with its data. A new, blank one takes its place; the replicas on it are synchronised in full \
                     from their peers."
                );
                told.warning_at(
                    &Path::of("volumes"),
                    format!("Node {}: a disk is lost", name(prior)),
                    detail,
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::tests::node;
    use super::*;

    fn there() -> Value {
        let mut state = node();
        state.set(
            "instance",
            Value::object([
                ("id", "i-1"),
                ("state", "running"),
                ("image_id", "ami-1"),
                ("instance_type", "m6i.large"),
            ]),
        );
        state.set("volumes", Value::map([("data/d0", Value::object([("id", "vol-1")]))]));
        state.set("address", "10.0.0.1");
        state
    }

    fn update(prior: Value, change: impl FnOnce(&mut Value)) -> (Value, Diagnostics) {
        let mut plan = prior.clone();
        change(&mut plan);
        let req = PlanRequest {
            action: PlanAction::Update,
            config: node().into(),
            prior: prior.into(),
            proposed: plan.clone(),
            requires_replace: Vec::new(),
            private: Vec::new(),
            deferral_allowed: false,
        };
        let told = complete(&req, &mut plan);
        (plan, told)
    }

    fn set_in(node: &mut Value, name: &str, member: &str, value: impl Into<Value>) {
        let mut inner = node.get(name).clone();
        inner.set(member, value);
        node.set(name, inner);
    }

    fn size(node: &mut Value, text: &str) {
        let disk = Value::object([("size", text), ("type", "gp3"), ("on_destroy", "retain_disk")]);
        let pool = Value::object([("ebs", Value::map([("d0", disk)]))]);
        node.set("storage_pools", Value::map([("data", pool)]));
    }

    fn texts(told: &Diagnostics) -> String {
        told.iter().map(|d| format!("{}: {}\n", d.summary, d.detail)).collect()
    }

    #[test]
    fn another_type_is_a_new_instance_with_the_same_disks() {
        let (plan, told) = update(there(), |plan| set_in(plan, "ec2", "instance_type", "m6i.xlarge"));
        let said = texts(&told);
        assert!(said.contains("ec2.instance_type changes") && said.contains("data/d0 (vol-1)"), "{said}");
        assert!(!told.has_errors());
        assert!(plan.get("instance").is_unknown() && plan.get("address").is_unknown());
        assert!(plan.get("ssh").get("host").is_unknown() && plan.get("ssh").get("host_keys").is_unknown());
        assert_eq!(plan.get("ssh").get("user").as_str(), Some("ubuntu"));
    }

    #[test]
    fn a_lost_instance_is_launched_again() {
        let mut prior = there();
        prior.set("instance", Value::Null);
        let (plan, told) = update(prior, |_| ());
        assert!(texts(&told).contains("its instance is gone") && plan.get("instance").is_unknown());
    }

    #[test]
    fn a_shrink_is_refused_and_a_growth_is_not() {
        let (_, told) = update(there(), |plan| size(plan, "99GiB"));
        assert!(told.has_errors() && texts(&told).contains("100 GiB, and 99"), "{}", texts(&told));
        let (plan, told) = update(there(), |plan| size(plan, "200GiB"));
        assert!(told.is_empty() && !plan.get("instance").is_unknown());
    }

    #[test]
    fn what_is_used_at_the_launch_changes_nothing_now() {
        let (plan, told) = update(there(), |plan| set_in(plan, "ec2", "user_data", "#!/bin/sh"));
        assert!(texts(&told).contains("ec2.user_data") && !told.has_errors());
        assert!(!plan.get("instance").is_unknown());
    }

    #[test]
    fn what_is_lost_or_taken_away_is_told() {
        let mut prior = there();
        prior.set("volumes", Value::Map(std::collections::BTreeMap::new()));
        assert!(texts(&update(prior, |_| ()).1).contains("synchronised in full"));
        let (_, told) = update(there(), |plan| {
            plan.set("storage_pools", Value::map([("data", Value::object([("x", "y")]))]));
        });
        assert!(told.has_errors() && texts(&told).contains("\"d0\""));
    }

    #[test]
    fn a_protected_node_is_not_destroyed() {
        let mut prior = there();
        assert!(forbid_delete(&prior).is_ok());
        prior.set("deletion_protection", true);
        assert!(forbid_delete(&prior).is_err());
    }

    #[test]
    fn a_node_that_was_imported_is_not_launched_again() {
        let mut prior = there();
        set_in(&mut prior, "ec2", "image_id", Value::Null);
        let (plan, told) = update(prior, |plan| set_in(plan, "ec2", "image_id", "ami-1"));
        assert!(!plan.get("instance").is_unknown(), "{}", texts(&told));
    }
}
