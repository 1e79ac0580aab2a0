// SPDX-License-Identifier: MPL-2.0
//! Properties of whole runs on the model of two hosts: planning after a run is empty, a run that is cut anywhere is gone
//! on with, check mode changes nothing, and nothing is lost without a consent that names it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop here")]

use drbd_engine::run::{self, Mode};
use drbd_engine::simulate::{Cut, Data, Disk, Lv, Machine, Metadata, SimHost, World};
use drbd_engine::{info, wait};
use drbd_schemas::args::{self, Args, Condition, InfoArgs, Module, WaitArgs};
use drbd_schemas::reply::{ActionState, Code, Reply};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::rc::Rc;

mod common;
mod declared;
mod lvm;
mod peers;
mod put_back;
mod steps;
mod takeover;
mod verify;

/// Where a host's backing device comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Thin,
    Thick,
    Device,
}

/// What is on the host before.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Start {
    Nothing,
    /// The logical volume (or the device) is there with this on it.
    Holds(Data, Option<Metadata>),
}

fn storage(kind: Kind) -> Value {
    match kind {
        Kind::Thin => json!({ "lvm_thin": { "volume_group": "vg0", "thin_pool": "pool" } }),
        Kind::Thick => json!({ "lvm": { "volume_group": "vg0" } }),
        Kind::Device => json!({ "devices": { "0": "/dev/sdb" } }),
    }
}

fn declaration(kinds: [Kind; 2], size: &str) -> Value {
    json!({
        "name": "r0", "port": 7000,
        "nodes": {
            "h1": { "node_id": 0, "address": "10.0.0.1", "storage": storage(kinds[0]) },
            "h2": { "node_id": 1, "address": "10.0.0.2", "storage": storage(kinds[1]) },
        },
        "volumes": { "0": { "minor": 1000, "size": size } },
    })
}

fn world(kinds: [Kind; 2], starts: &[Start; 2], module: bool) -> Rc<RefCell<World>> {
    let mut world = World::default();
    for (i, name) in ["h1", "h2"].into_iter().enumerate() {
        let mut machine = Machine { module, ..Machine::default() };
        machine.pools.insert("vg0/pool".into(), true);
        let disk = |data, metadata| Disk { size_kib: 200 * 1024, data, metadata };
        machine.disks.insert("/dev/sdb".into(), disk(Data::Zeroes, None));
        if let Start::Holds(data, metadata) = &starts[i] {
            let found = disk(data.clone(), *metadata);
            match kinds[i] {
                Kind::Device => drop(machine.disks.insert("/dev/sdb".into(), found)),
                Kind::Thin | Kind::Thick => {
                    let pool = (kinds[i] == Kind::Thin).then(|| "pool".to_owned());
                    let found = Disk { size_kib: 69632, ..found };
                    let uuid = format!("{:0>32}", "7");
                    machine.lvs.insert("vg0/r0_00000".into(), Lv { uuid, pool, tag: None, disk: found });
                }
            }
        }
        world.machines.insert(name.to_owned(), machine);
    }
    Rc::new(RefCell::new(world))
}

fn resource(host: &SimHost, request: &Value, check: bool) -> Reply {
    let Args::Resource(args) = args::parse(Module::DrbdResource, request.clone()).unwrap() else {
        unreachable!()
    };
    run::resource(host, &args, Mode { check, diff: true })
}

fn converge(world: &Rc<RefCell<World>>, name: &str, request: &Value) -> Reply {
    resource(&SimHost::new(world, name, Cut::Never), request, false)
}

fn names(reply: &Reply) -> Vec<&str> {
    reply.actions.iter().map(|action| action.step.as_str()).collect()
}

fn evidence(world: &Rc<RefCell<World>>) -> Value {
    let facts = |name: &str| {
        let reply = info::info(&SimHost::new(world, name, Cut::Never), &InfoArgs::default(), Mode::default());
        serde_json::to_value(reply.facts.unwrap()).unwrap()
    };
    json!([facts("h1"), facts("h2")])
}

fn initial_sync(world: &Rc<RefCell<World>>, name: &str, request: &Value, cut: Cut) -> Reply {
    let mut request = request.clone();
    request["evidence"] = evidence(world);
    let Args::InitialSync(args) = args::parse(Module::DrbdInitialSync, request).unwrap() else {
        unreachable!()
    };
    run::initial_sync(&SimHost::new(world, name, cut), &args, Mode::default())
}

fn up_to_date(world: &Rc<RefCell<World>>) -> bool {
    let args = WaitArgs {
        name: drbd_schemas::ResourceName::new("r0").unwrap(),
        condition: Condition::AllUpToDate,
        evidence: Vec::new(),
        timeout: 1,
    };
    !wait::wait(&SimHost::new(world, "h1", Cut::Never), &args, Mode::default()).failed
}

/// Of all disks of all hosts.
fn all_metadata(world: &Rc<RefCell<World>>) -> Vec<Metadata> {
    let world = world.borrow();
    let machines = world.machines.values();
    let disks = machines.flat_map(|m| m.disks.values().chain(m.lvs.values().map(|lv| &lv.disk)));
    disks.filter_map(|disk| disk.metadata).collect()
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Thin), Just(Kind::Thick), Just(Kind::Device)]
}

fn start() -> impl Strategy<Value = Start> {
    let data = prop_oneof![
        Just(Data::Zeroes),
        Just(Data::Leftover),
        Just(Data::Foreign("ext4")),
        Just(Data::Unknown),
        Just(Data::Replicated),
    ];
    let metadata = prop_oneof![
        3 => Just(None),
        1 => Just(Some(Metadata { uuid: 0xabc, generation: 4 })),
        1 => Just(Some(Metadata { uuid: 0xabc, generation: 0x77 })),
    ];
    prop_oneof![3 => Just(Start::Nothing), 2 => (data, metadata).prop_map(|(d, m)| Start::Holds(d, m))]
}

/// A device on which nothing is that anybody could miss.
fn is_free(start: &Start) -> bool {
    matches!(start, Start::Nothing | Start::Holds(Data::Zeroes, None))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_run_converges_or_refuses_and_loses_nothing(
        kinds in [kind(), kind()], starts in [start(), start()], module: bool,
    ) {
        let world = world(kinds, &starts, module);
        let request = declaration(kinds, "64MiB");
        for (i, name) in ["h1", "h2"].into_iter().enumerate() {
            let before = world.borrow().clone();
            let checked = resource(&SimHost::new(&world, name, Cut::Never), &request, true);
            prop_assert_eq!(&world.borrow().journal, &before.journal, "check mode ran a command");
            prop_assert_eq!(&world.borrow().machines[name].files, &before.machines[name].files);

            let reply = converge(&world, name, &request);
            prop_assert_eq!(checked.failed, reply.failed, "{} / {}", checked.msg, reply.msg);
            prop_assert_eq!(checked.changed, reply.changed);
            prop_assert_eq!(is_free(&starts[i]), !reply.failed, "{}", reply.msg);
            if reply.failed {
                prop_assert!(matches!(reply.code, Code::ForeignData | Code::Unreadable), "{:?}", reply.code);
                prop_assert!(!reply.next_steps.is_empty());
                prop_assert_eq!(&world.borrow().journal, &before.journal, "a refusal ran a command");
                continue;
            }
            let planned: Vec<_> = checked.actions.iter().map(|a| (&a.step, &a.argv, &a.why)).collect();
            let done: Vec<_> = reply.actions.iter().map(|a| (&a.step, &a.argv, &a.why)).collect();
            prop_assert_eq!(planned, done, "check mode promised something else");
            prop_assert!(reply.actions.iter().all(|a| a.state == ActionState::Done));

            let again = SimHost::new(&world, name, Cut::Never);
            let second = resource(&again, &request, false);
            prop_assert!(!second.failed && !second.changed && second.actions.is_empty(), "{}", second.msg);
            prop_assert_eq!(again.changes(), 0);
        }
        prop_assert_eq!(&world.borrow().losses, &Vec::<String>::new());
    }

    #[test]
    fn a_run_cut_anywhere_is_gone_on_with(
        kinds in [kind(), kind()], module: bool, cuts in prop::collection::vec((0usize..12, any::<bool>()), 0..4),
    ) {
        let world = world(kinds, &[Start::Nothing, Start::Nothing], module);
        let request = declaration(kinds, "64MiB");
        for name in ["h1", "h2"] {
            for (number, after) in &cuts {
                let cut = if *after { Cut::After(*number) } else { Cut::Before(*number) };
                let host = SimHost::new(&world, name, cut);
                let reply = resource(&host, &request, false);
                prop_assert!(host.is_dead() || !reply.failed, "{}", reply.msg);
            }
            let reply = converge(&world, name, &request);
            prop_assert!(!reply.failed, "{}", reply.msg);
        }
        for (number, after) in &cuts {
            let cut = if *after { Cut::After(*number) } else { Cut::Before(*number) };
            initial_sync(&world, "h1", &request, cut);
        }
        for name in ["h1", "h2"] {
            let reply = initial_sync(&world, name, &request, Cut::Never);
            prop_assert!(!reply.failed, "{}", reply.msg);
        }
        prop_assert!(up_to_date(&world));
        prop_assert!(all_metadata(&world).iter().all(|md| md.uuid != 0), "metadata without a name");
        prop_assert!(world.borrow().machines.values().all(|m| m.running.values().all(|r| !r.primary)), "nobody stays Primary");
        for name in ["h1", "h2"] {
            let reply = converge(&world, name, &request);
            prop_assert!(!reply.failed && !reply.changed, "{}", reply.msg);
        }
        prop_assert_eq!(&world.borrow().losses, &Vec::<String>::new());
    }

    #[test]
    fn a_failed_step_ends_the_run_and_the_next_run_goes_on(kinds in [kind(), kind()], module: bool, number in 0usize..10) {
        let world = world(kinds, &[Start::Nothing, Start::Nothing], module);
        let request = declaration(kinds, "64MiB");
        let host = SimHost::new(&world, "h1", Cut::Fails(number));
        let reply = resource(&host, &request, false);
        if reply.failed {
            prop_assert_eq!(reply.code, Code::StepFailed);
            prop_assert_eq!(host.changes(), number + 1, "something was changed after the failure");
            let states: Vec<_> = reply.actions.iter().map(|action| action.state).collect();
            let failed = states.iter().position(|state| *state == ActionState::Failed).unwrap();
            prop_assert!(states[..failed].iter().all(|state| *state == ActionState::Done));
            prop_assert!(states[failed + 1..].iter().all(|state| *state == ActionState::Skipped));
            prop_assert!(!reply.next_steps.is_empty());
        }
        let again = converge(&world, "h1", &request);
        prop_assert!(!again.failed, "{}", again.msg);
        prop_assert!(!converge(&world, "h1", &request).changed);
        prop_assert_eq!(&world.borrow().losses, &Vec::<String>::new());
    }

    #[test]
    fn removing_cut_anywhere_removes_only_with_consent(
        kinds in [kind(), kind()], consent: bool, cuts in prop::collection::vec((0usize..6, any::<bool>()), 0..3),
    ) {
        let world = world(kinds, &[Start::Nothing, Start::Nothing], true);
        let request = declaration(kinds, "64MiB");
        for name in ["h1", "h2"] {
            prop_assert!(!converge(&world, name, &request).failed);
        }
        prop_assert!(!initial_sync(&world, "h1", &request, Cut::Never).failed);
        let generation = world.borrow().machines["h1"].running["r0"].disk.clone();
        let token = if consent { json!(["destroy:r0"]) } else { json!([]) };
        let absent = json!({ "name": "r0", "state": "absent", "consent": token });
        for (number, after) in &cuts {
            let cut = if *after { Cut::After(*number) } else { Cut::Before(*number) };
            resource(&SimHost::new(&world, "h1", cut), &absent, false);
        }
        let reply = converge(&world, "h1", &absent);
        prop_assert!(!reply.failed, "{}", reply.msg);
        prop_assert!(!converge(&world, "h1", &absent).changed);
        let path = generation.unwrap();
        let left = world.borrow_mut().machine("h1").disk(&path).map(|disk| disk.data.clone());
        if consent {
            prop_assert!(left.is_none() || kinds[0] == Kind::Device);
        } else {
            prop_assert_eq!(left, Some(Data::Replicated));
            prop_assert_eq!(&world.borrow().losses, &Vec::<String>::new());
            // Declared again, the data are taken up where they were.
            let back = converge(&world, "h1", &request);
            prop_assert!(!back.failed, "{}", back.msg);
            prop_assert!(back.actions.iter().all(|action| action.step != "create_metadata"));
            prop_assert!(up_to_date(&world));
        }
    }
}

#[test]
fn growing_waits_for_every_backing_device() {
    let kinds = [Kind::Thin, Kind::Thin];
    let world = world(kinds, &[Start::Nothing, Start::Nothing], true);
    let small = declaration(kinds, "64MiB");
    for name in ["h1", "h2"] {
        assert!(!converge(&world, name, &small).failed);
    }
    initial_sync(&world, "h1", &small, Cut::Never);
    let large = declaration(kinds, "128MiB");
    let first = converge(&world, "h1", &large);
    assert_eq!(first.actions.iter().map(|a| a.step.as_str()).collect::<Vec<_>>(), ["extend_lv"]);
    assert_eq!(first.pending.len(), 1, "{first:?}");
    let mut with_evidence = large.clone();
    with_evidence["evidence"] = evidence(&world);
    let too_early = converge(&world, "h1", &with_evidence);
    assert!(!too_early.changed && too_early.pending.len() == 1, "h2 has not grown: {}", too_early.msg);
    converge(&world, "h2", &large);
    with_evidence["evidence"] = evidence(&world);
    let reply = converge(&world, "h1", &with_evidence);
    assert_eq!(
        reply.actions.iter().map(|a| a.step.as_str()).collect::<Vec<_>>(),
        ["resize"],
        "{}",
        reply.msg
    );
    assert!(reply.pending.is_empty());
    assert!(world.borrow().machines["h2"].running["r0"].size_kib >= 128 * 1024);
    let shrunk = converge(&world, "h1", &small);
    assert_eq!(shrunk.code, Code::Shrink, "{}", shrunk.msg);
}

#[test]
fn a_consent_that_names_the_content_lets_it_be_destroyed() {
    let kinds = [Kind::Device, Kind::Thin];
    let world = world(kinds, &[Start::Holds(Data::Foreign("ext4"), None), Start::Nothing], true);
    let mut request = declaration(kinds, "64MiB");
    let refused = converge(&world, "h1", &request);
    assert_eq!(refused.code, Code::ForeignData);
    let token = "overwrite:serial:S-sdb:ext4";
    assert!(refused.next_steps.iter().any(|step| step.contains(token)), "{:?}", refused.next_steps);
    request["consent"] = json!(["overwrite:serial:S-sdb:xfs", "overwrite:serial:S-sdc:ext4"]);
    assert_eq!(
        converge(&world, "h1", &request).code,
        Code::ForeignData,
        "another content or device is not consented to"
    );
    request["consent"] = json!([token]);
    let reply = converge(&world, "h1", &request);
    assert!(!reply.failed, "{}", reply.msg);
    assert!(reply.actions.iter().any(|action| action.step == "wipe_content"));
}

#[test]
fn a_consented_wipe_cut_anywhere_needs_no_second_consent() {
    for kind in [Kind::Device, Kind::Thin] {
        for number in 0..12 {
            for after in [false, true] {
                let kinds = [kind, Kind::Thin];
                let starts = [Start::Holds(Data::Foreign("ext4"), None), Start::Nothing];
                let world = world(kinds, &starts, true);
                let mut request = declaration(kinds, "64MiB");
                let refused = converge(&world, "h1", &request);
                let text = refused.next_steps.join(" ");
                let token = text.split('"').nth(1).unwrap().to_owned();
                request["consent"] = json!([token]);
                let cut = if after { Cut::After(number) } else { Cut::Before(number) };
                resource(&SimHost::new(&world, "h1", cut), &request, false);
                let again = converge(&world, "h1", &request);
                assert!(!again.failed, "{kind:?}, cut at {number}: {}", again.msg);
                request["consent"] = json!([]);
                assert!(!converge(&world, "h1", &request).changed);
                let losses = world.borrow().losses.clone();
                assert!(losses.len() == 1 && losses[0].contains("wipefs"), "{losses:?}");
            }
        }
    }
}

/// Where blkid cannot see DRBD's metadata, a device that looks like a plain file system may be a replica: it is neither
/// taken nor offered to be overwritten.
#[test]
fn a_device_on_which_metadata_cannot_be_seen_is_left_alone() {
    for data in [Data::Zeroes, Data::Foreign("ext4")] {
        let kinds = [Kind::Device; 2];
        let world = world(kinds, &[Start::Holds(data.clone(), None), Start::Holds(Data::Zeroes, None)], true);
        let size_kib = 200 * 1024 + 1;
        let odd = Disk { size_kib, data, metadata: None };
        world.borrow_mut().machines.get_mut("h1").unwrap().disks.insert("/dev/sdb".into(), odd);
        let reply = converge(&world, "h1", &declaration(kinds, "64MiB"));
        assert_eq!((reply.code, reply.changed), (Code::Unreadable, false), "{}", reply.msg);
        assert!(reply.msg.contains("no multiple of 4096"), "{}", reply.msg);
        assert!(!reply.next_steps.iter().any(|step| step.contains("overwrite:")), "{:?}", reply.next_steps);
    }
}
