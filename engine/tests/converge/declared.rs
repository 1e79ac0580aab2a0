// SPDX-License-Identifier: MPL-2.0
//! `drbd_info` compares a host with all that is declared for it: it says "as declared" exactly where `drbd_resource` would do
//! nothing and wait for nothing.

use super::{Kind, Start, converge, declaration, storage, up_to_date, world};
use drbd_engine::info;
use drbd_engine::run::Mode;
use drbd_engine::simulate::{Cut, SimHost, World};
use drbd_schemas::args::{self, Args, Module};
use drbd_schemas::reply::{Declared, Reply};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::rc::Rc;

fn compare(world: &Rc<RefCell<World>>, name: &str, given: &Value) -> Reply {
    let Args::Info(args) = args::parse(Module::DrbdInfo, given.clone()).unwrap() else { unreachable!() };
    info::info(&SimHost::new(world, name, Cut::Never), &args, Mode::default())
}

fn declared(reply: &Reply) -> &Declared {
    reply.declared.as_ref().unwrap()
}

/// r0 on both hosts, connected, with good data.
fn in_service(kinds: [Kind; 2]) -> (Rc<RefCell<World>>, Value) {
    let world = world(kinds, &[Start::Nothing, Start::Nothing], true);
    let request = declaration(kinds, "64MiB");
    for name in ["h1", "h2"] {
        assert!(!converge(&world, name, &request).failed);
    }
    for machine in world.borrow_mut().machines.values_mut() {
        machine.running.get_mut("r0").unwrap().up_to_date = true;
    }
    assert!(up_to_date(&world));
    (world, request)
}

/// Something that happens to a host, or to the declaration.
#[derive(Clone, Copy, Debug)]
enum Event {
    Nothing,
    FileEdited,
    FileGone,
    RecordGone,
    Down,
    OptionChanged,
    Larger,
    CutOff,
    DiskLost,
    NoData,
}

const EVENTS: [Event; 10] = [
    Event::Nothing,
    Event::FileEdited,
    Event::FileGone,
    Event::RecordGone,
    Event::Down,
    Event::OptionChanged,
    Event::Larger,
    Event::CutOff,
    Event::DiskLost,
    Event::NoData,
];

fn happen(event: Event, world: &Rc<RefCell<World>>, request: &mut Value) {
    let mut world = world.borrow_mut();
    let machine = world.machine("h1");
    match event {
        Event::Nothing => {}
        Event::FileEdited => {
            machine.files.entry("/etc/drbd.d/r0.res".into()).and_modify(|text| text.push_str("# by hand\n"));
        }
        Event::FileGone => drop(machine.files.remove("/etc/drbd.d/r0.res")),
        Event::RecordGone => drop(machine.files.remove("/var/lib/drbd-host/records/r0.json")),
        Event::Down => drop(machine.running.remove("r0")),
        Event::OptionChanged => request["net"] = json!({ "max-buffers": 4000 }),
        Event::Larger => request["volumes"]["0"]["size"] = json!("128MiB"),
        Event::CutOff => machine.cut_off = true,
        Event::DiskLost => machine.running.values_mut().for_each(|running| running.disk = None),
        Event::NoData => machine.running.values_mut().for_each(|running| running.up_to_date = false),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn as_declared_is_said_exactly_where_a_run_does_nothing(
        kinds in prop::array::uniform2(prop::sample::select(vec![Kind::Thin, Kind::Thick, Kind::Device])),
        events in prop::collection::vec(prop::sample::select(EVENTS.to_vec()), 1..3),
    ) {
        let (world, mut request) = in_service(kinds);
        events.iter().for_each(|event| happen(*event, &world, &mut request));
        let before = world.borrow().journal.clone();
        let reply = compare(&world, "h1", &json!({ "resources": { "r0": request } }));
        prop_assert!(!reply.failed, "{}", reply.msg);
        prop_assert_eq!(&world.borrow().journal, &before, "a look ran a command");
        let found = declared(&reply).resources["r0"].clone();
        prop_assert_eq!(found.why.is_none(), found.as_declared && found.good, "{:?}", found);
        let run = super::resource(&SimHost::new(&world, "h1", Cut::Never), &request, true);
        let nothing = !run.failed && run.actions.is_empty() && run.pending.is_empty();
        prop_assert_eq!(found.as_declared, nothing, "{:?}: {:?} / {} {:?}", events, found, run.msg, run.pending);
        let whole = events.iter().all(|event| matches!(event, Event::Nothing | Event::FileEdited | Event::FileGone | Event::RecordGone | Event::OptionChanged | Event::Larger));
        prop_assert_eq!(found.good, whole, "{:?}: {:?}", events, found);
    }
}

#[test]
fn what_nothing_declares_any_more_is_named_with_a_way_to_take_it_away() {
    let (world, request) = in_service([Kind::Thin, Kind::Thin]);
    let gone = compare(&world, "h1", &json!({ "resources": {} }));
    assert_eq!(declared(&gone).undeclared, ["r0"]);
    assert!(
        gone.warnings[0].contains("h1 has the resource r0, and nothing declares it"),
        "{:?}",
        gone.warnings
    );
    assert!(gone.warnings[0].contains("state absent"), "{:?}", gone.warnings);

    let mut without = request.clone();
    without["nodes"] = json!({ "h2": request["nodes"]["h2"], "h3": { "node_id": 2, "address": "10.0.0.3", "storage": storage(Kind::Thin) } });
    let left_out = compare(&world, "h1", &json!({ "resources": { "r0": without } }));
    assert!(declared(&left_out).resources.is_empty());
    assert!(left_out.warnings[0].contains("its declaration does not name h1"), "{:?}", left_out.warnings);

    let mut renamed = request.clone();
    renamed["name"] = json!("data");
    let renamed = compare(&world, "h1", &json!({ "resources": { "data": renamed } }));
    assert!(renamed.warnings[0].contains("what is called data now"), "{:?}", renamed.warnings);
    assert!(!declared(&renamed).resources["data"].as_declared);

    let absent = compare(
        &world,
        "h1",
        &json!({ "resources": { "r0": { "state": "absent" }, "r9": { "state": "absent" } } }),
    );
    assert_eq!((declared(&absent).absent.clone(), absent.warnings), (vec!["r0".to_owned()], Vec::new()));
}

#[test]
fn another_resource_that_claims_the_same_minor_is_no_match() {
    let (world, request) = in_service([Kind::Thin, Kind::Thin]);
    let other = "resource web { on h1 { device minor 1000; disk /dev/sdc; address 10.0.0.1:7009; } }\n";
    world.borrow_mut().machine("h1").files.insert("/etc/drbd.d/web.res".into(), other.into());
    let reply = compare(&world, "h1", &json!({ "resources": { "r0": request } }));
    assert!(!declared(&reply).resources["r0"].as_declared, "{:?}", declared(&reply));
    assert_eq!(declared(&reply).undeclared, Vec::<String>::new(), "it is not ours");
}
