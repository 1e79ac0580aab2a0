// SPDX-License-Identifier: MPL-2.0
//! Plans of a volume: a pure function of configuration and state. No host is asked; what only hosts can tell (free numbers,
//! the size that comes out) stays unknown until apply.

use tfplugin::{Decode, Diagnostic, Diagnostics, Path, PlanAction, PlanRequest, Value};

use drbd_schemas::{ByteSize, Minor, Port};

use super::declare::{self, Ids};
use super::model::{self, VolumeModel, replicas_value};
use crate::resource_group::for_volumes;
use crate::resource_group::model::GroupModel;

/// Completes a plan.
///
/// # Errors
/// A destroy or replacement of a protected volume, a shrink, another minor, replicas that cannot be placed, a declaration
/// that is not allowed, an option that a node's DRBD does not have.
pub(crate) fn plan(req: PlanRequest) -> Result<Value, Diagnostics> {
    if req.action == PlanAction::Delete {
        return protected(&req.prior, "destroyed").map(|()| Value::Null);
    }
    let replaced = !req.requires_replace.is_empty();
    if replaced {
        protected(&req.prior, "replaced")?;
    }
    let mut plan = req.proposed;
    named(&mut plan);
    if req.action == PlanAction::Update {
        plan.set("drift", Value::List(Vec::new()));
        if !replaced {
            unchangeable(&req.prior, &plan)?;
            keep_group(&mut plan, &req.prior)?;
        }
    }
    device(&mut plan);
    if !replaced && plan == *req.prior {
        // Placed and checked when it was made, from the very same declaration.
        return Ok(plan);
    }
    replicas(&mut plan, if replaced { &Value::Null } else { &req.prior })?;
    Ok(plan)
}

fn protected(prior: &Value, what: &str) -> Result<(), Diagnostics> {
    if prior.get("deletion_protection").as_bool() != Some(true) {
        return Ok(());
    }
    let name = prior.get("name").as_str().unwrap_or_default();
    let detail = format!(
        "Volume {name} cannot be {what}: deletion_protection is set. Nothing was touched. Set deletion_protection to false and apply \
         that first, if the volume and its data are really not needed any more."
    );
    Err(Diagnostic::error(format!("Volume {name} is protected"), detail)
        .at(Path::of("deletion_protection"))
        .into())
}

/// What follows from the name alone.
fn named(plan: &mut Value) {
    let name = plan.get("name").clone();
    if let Some(text) = name.as_str() {
        plan.set("device_by_res", format!("/dev/drbd/by-res/{text}/0"));
    }
    plan.set("id", name);
}

fn device(plan: &mut Value) {
    if let Some(minor) = plan.get("minor").as_number() {
        let device = format!("/dev/drbd{minor}");
        plan.set("device", device);
    }
}

/// What stays as it is for the life of a volume.
fn unchangeable(prior: &Value, plan: &Value) -> Result<(), Diagnostics> {
    let mut refused = Diagnostics::new();
    let name = prior.get("name").as_str().unwrap_or_default();
    let (was, wanted) = (prior.get("minor").as_number(), plan.get("minor").as_number());
    if let (Some(was), Some(wanted)) = (was, wanted)
        && was != wanted
    {
        let detail = format!(
            "{name} has minor {was}, and {wanted} is configured. The minor names the device that is open while the volume is in use, and \
             DRBD cannot change it under its users. Nothing was touched. Set it back to {was}, or leave it out."
        );
        refused.push(Diagnostic::error("Minor cannot change", detail).at(Path::of("minor")));
    }
    let size = |value: &Value| value.get("size").as_str().and_then(|text| ByteSize::parse(text).ok());
    if let (Some(was), Some(wanted)) = (size(prior), size(plan))
        && wanted < was
        && !is_rounding(prior, was, wanted)
    {
        let detail = format!(
            "{name} has {was}, and {wanted} is configured. Shrinking cuts off data, and DRBD would do it under a mounted file system. \
             Nothing was touched. Make a new, smaller volume and copy the data."
        );
        refused.push(Diagnostic::error("Shrinking is refused", detail).at(Path::of("size")));
    }
    refused.into_result()
}

/// LVM's extent, unless a volume group was made with another.
const EXTENT: u64 = 4 << 20;

/// Whether an import found `was` of a volume that was declared with `wanted`: a logical volume is rounded up to whole extents, and an
/// import knows only what came out. Each host compares extents again before anything is done.
fn is_rounding(prior: &Value, was: ByteSize, wanted: ByteSize) -> bool {
    let found = prior.get("size_bytes").as_number().and_then(tfplugin::Number::to_u64);
    found.is_some_and(|found| found / 4096 * 4096 == was.bytes()) && was.bytes() - wanted.bytes() < EXTENT
}

/// Leaves the group as it was where what changed of it does not concern this volume: another node, another key, a label.
fn keep_group(plan: &mut Value, prior: &Value) -> Result<(), Diagnostics> {
    let (was, new) = (prior.get("resource_group"), plan.get("resource_group"));
    if was == new || !for_volumes::is_readable(new) {
        return Ok(());
    }
    let at = Path::of("resource_group");
    let held = held(prior)?;
    let (Ok(was_read), new_read) = (GroupModel::decode(was, &at), GroupModel::decode(new, &at)?) else {
        return Ok(());
    };
    let name = prior.get("name").as_str().unwrap_or_default();
    let part = new_read.part(name, held.keys());
    if part.is_none() || part != was_read.part(name, held.keys()) || new_read.rules.place_count != held.len()
    {
        return Ok(());
    }
    let family =
        |group: &GroupModel| held.keys().map(|node| group.nodes.get(node)?.family).collect::<Vec<_>>();
    if family(&was_read) != family(&new_read) {
        // Another DRBD changes nothing of the volume, but it may not be able to do what is declared.
        replicas(&mut plan.clone(), prior)?;
    }
    let was = was.clone();
    plan.set("resource_group", was);
    Ok(())
}

/// Places the replicas where enough is known, and checks the declaration that comes out.
fn replicas(plan: &mut Value, prior: &Value) -> Result<(), Diagnostics> {
    let known =
        ["name", "size", "options", "net", "disk"].iter().all(|name| plan.get(name).is_wholly_known());
    let held = if prior.is_null() { Ids::new() } else { held(prior)? };
    let model = if known && for_volumes::is_readable(plan.get("resource_group")) {
        Some(VolumeModel::decode(plan, &Path::root())?)
    } else {
        None
    };
    let Some(model) = model.filter(|model| model.group.can_place(held.keys())) else {
        // What is not known yet can still change where replicas go only while there are none.
        let keeps = !held.is_empty() && same_places(plan, prior, &held);
        let value = if keeps { prior.get("replicas").clone() } else { Value::unknown() };
        plan.set("replicas", value);
        return Ok(());
    };
    let ids = declare::place(&model, &held)?;
    // Numbers that are given out at apply only are never what is wrong with a declaration.
    let any = |_| {
        Diagnostic::error(
            "Number out of range",
            "no port or minor can stand in for one that is not known yet",
        )
    };
    let port = model.port.map_or_else(|| Port::new(7000), Ok).map_err(any)?;
    let minor = model.minor.map_or_else(|| Minor::new(1000), Ok).map_err(any)?;
    let volume = declare::declare(&model, &ids, port, minor, None)?;
    declare::unsupported(&model, &volume).into_result()?;
    plan.set("replicas", replicas_value(&declare::replicas(&volume)));
    Ok(())
}

/// Whether the nodes replicate from where they did, with the devices that they had.
fn same_places(plan: &Value, prior: &Value, held: &Ids) -> bool {
    let place =
        |of: &Value, node: &str| for_volumes::placement_of(of.get("resource_group"), node).map(str::to_owned);
    held.keys().all(|node| {
        let was = place(prior, node.as_str());
        was.is_some() && place(plan, node.as_str()) == was
    })
}

/// The node-ids of the replicas of a stored volume.
fn held(prior: &Value) -> Result<Ids, Diagnostic> {
    Ok(model::replicas(&prior.reader()?)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replicated_volume::schema::schema;
    use crate::resource_group::model::tests::{group, node};

    fn config() -> Value {
        let mut value = schema().null_object();
        value.set("name", "r0");
        value.set("resource_group", for_volumes::held_of(&group()));
        value.set("size", "64MiB");
        value
    }

    fn state() -> Value {
        let mut state = planned(PlanAction::Create, &Value::Null, config()).unwrap();
        for (name, value) in [("port", 7000_u64), ("minor", 1000), ("size_bytes", 67_108_864)] {
            state.set(name, value);
        }
        state.set("device", "/dev/drbd1000");
        state.set("drift", Value::List(Vec::new()));
        state.set("deletion_protection", false);
        state
    }

    /// The mechanical part is done by the protocol crate; here computed values are simply unknown or kept.
    fn planned(action: PlanAction, prior: &Value, config: Value) -> Result<Value, Diagnostics> {
        let mut proposed = config.clone();
        for name in
            ["id", "port", "minor", "device", "device_by_res", "size_bytes", "replicas", "drift", "adopted"]
        {
            if proposed.get(name).is_null() {
                proposed.set(name, if prior.is_null() { Value::unknown() } else { prior.get(name).clone() });
            }
        }
        let requires_replace = if !prior.is_null() && prior.get("name") != config.get("name") {
            vec![Path::of("name")]
        } else {
            Vec::new()
        };
        plan(PlanRequest {
            action,
            config: config.into(),
            prior: prior.clone().into(),
            proposed,
            requires_replace,
            private: Vec::new(),
            deferral_allowed: false,
        })
    }

    fn summaries(result: Result<Value, Diagnostics>) -> Vec<(String, String)> {
        let place = |d: &Diagnostic| d.path.as_ref().map(ToString::to_string).unwrap_or_default();
        result.unwrap_err().iter().map(|d| (d.summary.clone(), place(d))).collect()
    }

    #[test]
    fn an_unchanged_volume_plans_no_change() {
        let state = state();
        assert_eq!(planned(PlanAction::Update, &state, state.clone()).unwrap(), state);
    }

    #[test]
    fn a_new_volume_shows_where_its_replicas_go() {
        let plan = planned(PlanAction::Create, &Value::Null, config()).unwrap();
        let h2 = plan.get("replicas").get("h2");
        assert_eq!(h2.get("node_id"), &Value::from(1_u64));
        assert_eq!(h2.get("address").as_str(), Some("10.0.0.2"));
        assert_eq!(h2.get("backing").as_str(), Some("/dev/vg0/r0_00000"));
        assert_eq!(plan.get("device_by_res").as_str(), Some("/dev/drbd/by-res/r0/0"));
        assert!(
            plan.get("minor").is_unknown()
                && plan.get("device").is_unknown()
                && plan.get("drift").is_unknown()
        );
    }

    #[test]
    fn unknowns_anywhere_are_taken() {
        for name in [
            "name",
            "resource_group",
            "size",
            "options",
            "net",
            "disk",
            "port",
            "minor",
            "timeouts",
            "on_destroy",
        ] {
            let mut config = config();
            config.set(name, Value::unknown());
            let plan = planned(PlanAction::Create, &Value::Null, config).unwrap();
            assert_eq!(plan.get("name").is_unknown(), plan.get("device_by_res").is_unknown(), "{name}");
        }
        let mut group = group();
        let mut unknown = node("h2", "10.0.0.2", "y");
        unknown.set("address", Value::unknown());
        group.set("nodes", Value::map([("a", node("h1", "10.0.0.1", "x")), ("b", unknown)]));
        let mut config = config();
        config.set("resource_group", for_volumes::held_of(&group));
        assert!(planned(PlanAction::Create, &Value::Null, config).unwrap().get("replicas").is_unknown());
    }

    #[test]
    fn drift_is_planned_away() {
        let mut state = state();
        state.set("drift", Value::list(["h1: it is not up"]));
        let plan = planned(PlanAction::Update, &state, state.clone()).unwrap();
        assert_eq!(plan.get("drift"), &Value::List(Vec::new()));
    }

    #[test]
    fn what_would_lose_data_is_refused() {
        let state = state();
        let changed = |name: &str, value: Value| {
            let mut config = state.clone();
            config.set(name, value);
            summaries(planned(PlanAction::Update, &state, config))
        };
        assert_eq!(changed("size", "32MiB".into()), [("Shrinking is refused".to_owned(), "size".to_owned())]);
        assert_eq!(
            changed("minor", 1001_u64.into()),
            [("Minor cannot change".to_owned(), "minor".to_owned())]
        );
        let mut smaller = group();
        smaller.set("place_count", 1_u64);
        assert_eq!(
            changed("resource_group", for_volumes::held_of(&smaller)).first().unwrap().0,
            "Replicas cannot change"
        );
        let mut moved = group();
        moved.set(
            "nodes",
            Value::map([("a", node("h1", "10.0.0.1", "x")), ("c", node("h3", "10.0.0.3", "z"))]),
        );
        assert_eq!(
            changed("resource_group", for_volumes::held_of(&moved)).first().unwrap().0,
            "Replicas cannot be placed"
        );
    }

    #[test]
    fn what_an_import_found_may_be_declared_as_it_was() {
        let mut state = state();
        let mib = |mib: u64| format!("{mib}MiB");
        let planned = |state: &Value, size: String| {
            let mut config = state.clone();
            config.set("size", size);
            planned(PlanAction::Update, state, config)
        };
        state.set("size", mib(66));
        state.set("size_bytes", 66_u64 << 20);
        assert_eq!(planned(&state, mib(64)).unwrap().get("size").as_str(), Some("64MiB"));
        assert!(planned(&state, mib(62)).is_err());
        // One that was declared with as much as it has is not shrunk.
        state.set("size_bytes", 67_u64 << 20);
        assert!(planned(&state, mib(64)).is_err());
    }

    #[test]
    fn a_replica_stays_when_a_node_joins_or_moves_to_another_address() {
        let state = state();
        let mut group = group();
        let nodes = [
            ("a", node("h1", "10.0.0.9", "x")),
            ("b", node("h2", "10.0.0.2", "y")),
            ("c", node("a0", "10.0.0.3", "z")),
        ];
        group.set("nodes", Value::map(nodes));
        let mut config = state.clone();
        config.set("resource_group", for_volumes::held_of(&group));
        let plan = planned(PlanAction::Update, &state, config).unwrap();
        let replicas = plan.get("replicas");
        assert_eq!(replicas.members().unwrap().len(), 2);
        assert_eq!(replicas.get("h1").get("address").as_str(), Some("10.0.0.9"));
        assert_eq!(replicas.get("h1").get("node_id"), &Value::from(0_u64));
    }

    #[test]
    fn what_changes_nothing_for_a_volume_plans_nothing_for_it() {
        let state = state();
        let planned = |change: &dyn Fn(&mut Value)| {
            let mut group = group();
            change(&mut group);
            let mut config = state.clone();
            config.set("resource_group", for_volumes::held_of(&group));
            planned(PlanAction::Update, &state, config)
        };
        let (a, b) = (node("h1", "10.0.0.1", "x"), node("h2", "10.0.0.2", "y"));
        let mut new = node("h3", "10.0.0.3", "z");
        for unknown in ["drbd_family", "ssh", "address"] {
            new.set(unknown, Value::unknown());
            let nodes = Value::map([("x", a.clone()), ("y", b.clone()), ("z", new.clone())]);
            assert_eq!(planned(&|group| group.set("nodes", nodes.clone())).unwrap(), state, "{unknown}");
        }
        assert_eq!(
            planned(&|group| group.set("replicas_on_different", Value::set_of(["zone"]))).unwrap(),
            state
        );
        // What concerns it is planned: also a node of its own that will be reached in a way that is not known yet.
        let mut moved = b.clone();
        moved.set("ssh", Value::object([("host", Value::unknown())]));
        let nodes = Value::map([("x", a.clone()), ("y", moved)]);
        let plan = planned(&|group| group.set("nodes", nodes.clone())).unwrap();
        assert!(!plan.get("resource_group").is_wholly_known());
        assert_eq!(plan.get("replicas"), state.get("replicas"));
        assert_ne!(planned(&|group| group.set("net", Value::map([("protocol", "A")]))).unwrap(), state);
        // Another DRBD under it is no change, unless it cannot do what is declared.
        let mut nine = b;
        nine.set("drbd_family", "9");
        let nodes = Value::map([("x", a), ("y", nine)]);
        assert_eq!(planned(&|group| group.set("nodes", nodes.clone())).unwrap(), state);
    }

    #[test]
    fn protection_stops_destroying_and_replacing() {
        let mut state = state();
        state.set("deletion_protection", true);
        let destroy = planned(PlanAction::Delete, &state, Value::Null);
        assert_eq!(
            summaries(destroy),
            [("Volume r0 is protected".to_owned(), "deletion_protection".to_owned())]
        );
        let mut config = state.clone();
        config.set("name", "r1");
        let replace = planned(PlanAction::Update, &state, config);
        assert_eq!(summaries(replace).first().unwrap().0, "Volume r0 is protected");
    }

    #[test]
    fn what_the_hosts_drbd_cannot_do_is_refused_by_name() {
        let mut config = config();
        config.set("options", Value::map([("quorum", "majority")]));
        let found = planned(PlanAction::Create, &Value::Null, config).unwrap_err();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found.iter().all(|d| d.detail.contains("options.quorum does not exist in DRBD 8.4")),
            "{found:?}"
        );
    }

    #[test]
    fn sizes_follow_the_contract() {
        let mut config = config();
        config.set("size", "1000B");
        assert_eq!(
            summaries(planned(PlanAction::Create, &Value::Null, config.clone())).first().unwrap().1,
            "size"
        );
        config.set("size", Value::Null);
        assert_eq!(summaries(planned(PlanAction::Create, &Value::Null, config)).first().unwrap().1, "size");
    }
}
