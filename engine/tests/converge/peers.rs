// SPDX-License-Identifier: MPL-2.0
//! What only two hosts together show: a split brain and its victim, and declarations that differ.

use super::{Kind, Start, converge, declaration, evidence, initial_sync, names, resource, up_to_date, world};
use drbd_engine::run::Mode;
use drbd_engine::simulate::{Cut, SimHost, World};
use drbd_engine::wait;
use drbd_schemas::args::{Condition, WaitArgs};
use drbd_schemas::reply::{Code, Reply};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::rc::Rc;

/// r0 with valid data on both hosts, which then wrote without each other; `alone`: who has given up on the connection.
fn split(alone: [bool; 2]) -> (Rc<RefCell<World>>, Value) {
    let kinds = [Kind::Thin, Kind::Thin];
    let world = world(kinds, &[Start::Nothing, Start::Nothing], true);
    let request = declaration(kinds, "64MiB");
    for name in ["h1", "h2"] {
        assert!(!converge(&world, name, &request).failed);
    }
    assert!(!initial_sync(&world, "h1", &request, Cut::Never).failed);
    for (i, name) in ["h1", "h2"].into_iter().enumerate() {
        let mut world = world.borrow_mut();
        world.split.insert("r0".into());
        let machine = world.machine(name);
        machine.running.get_mut("r0").unwrap().alone = alone[i];
        let metadata = machine.disk("/dev/vg0/r0_00000").unwrap().metadata.as_mut().unwrap();
        metadata.generation = 0xA0 + 2 * i as u64;
    }
    (world, request)
}

/// The consent that an answer offers.
fn token(reply: &Reply) -> Option<String> {
    let text = format!("{} {}", reply.next_steps.join(" "), reply.warnings.join(" "));
    Some(text.split("consent: [\"").nth(1)?.split('"').next()?.to_owned())
}

#[test]
fn a_split_brain_is_resolved_by_naming_the_victim_and_its_generation() {
    for (first, second) in [("h2", "h1"), ("h1", "h2")] {
        let (world, mut request) = split([true, true]);
        // Nothing is given up by trying again; the second one sees that they do not fit.
        assert!(!converge(&world, "h1", &request).failed);
        let refused = converge(&world, "h2", &request);
        assert_eq!(refused.code, Code::SplitBrain, "{}", refused.msg);
        assert_eq!(token(&refused).unwrap(), "discard-my-data:r0@h2:00000000000000A2");
        // Another host's token, and one of another generation, give up nothing.
        let wrong = ["discard-my-data:r0@h1:00000000000000A2", "discard-my-data:r0@h2:00000000000000A0"];
        request["consent"] = json!(wrong);
        let checked = resource(&SimHost::new(&world, "h2", Cut::Never), &request, true);
        assert_eq!(names(&checked), ["adjust"]);
        assert_eq!(world.borrow().discarded, Vec::<String>::new());
        // One document for both hosts, in any order.
        request["consent"] = json!([token(&refused).unwrap()]);
        for name in [first, second] {
            let checked = resource(&SimHost::new(&world, name, Cut::Never), &request, true);
            let reply = converge(&world, name, &request);
            assert!(!reply.failed, "{name}: {}", reply.msg);
            assert_eq!(names(&checked), names(&reply));
            assert_eq!(names(&reply), [if name == "h2" { "discard_my_data" } else { "adjust" }]);
            let again = converge(&world, name, &request);
            assert!(!again.failed && !again.changed, "{name}: {}", again.msg);
        }
        assert_eq!(world.borrow().discarded, ["h2"]);
        assert!(up_to_date(&world));
    }
}

#[test]
fn a_split_brain_that_shows_late_is_called_by_its_name_whenever_it_shows() {
    let mut told = 0;
    for looks in 0..40 {
        let (world, request) = split([true, true]);
        world.borrow_mut().handshake_looks = looks;
        assert!(!converge(&world, "h1", &request).failed);
        let reply = converge(&world, "h2", &request);
        assert!(reply.warnings.join(" ").contains("was StandAlone"), "{looks}: {:?}", reply.warnings);
        if reply.failed {
            assert_eq!(reply.code, Code::SplitBrain, "{looks}: {}", reply.msg);
            assert!(token(&reply).is_some(), "{looks}: {:?}", reply.next_steps);
            told += 1;
        }
    }
    // A peer that is away looks the same for so long; then it is not waited for.
    assert_eq!(told, 33);
}

#[test]
fn data_in_use_are_not_given_up() {
    let (world, mut request) = split([true, false]);
    let refused = converge(&world, "h1", &request);
    request["consent"] = json!([token(&refused).unwrap()]);
    world.borrow_mut().machine("h1").running.get_mut("r0").unwrap().primary = true;
    let refused = converge(&world, "h1", &request);
    assert_eq!(refused.code, Code::InUse, "{}", refused.msg);
    assert_eq!(world.borrow().discarded, Vec::<String>::new());
}

#[test]
fn the_side_that_still_waits_learns_of_the_split_brain_from_the_evidence() {
    let (world, mut request) = split([true, false]);
    let mut args = WaitArgs {
        name: drbd_schemas::ResourceName::new("r0").unwrap(),
        condition: Condition::Connected,
        evidence: Vec::new(),
        timeout: 5,
    };
    let wait = |args: &WaitArgs| wait::wait(&SimHost::new(&world, "h2", Cut::Never), args, Mode::default());
    assert_eq!(wait(&args).code, Code::TimedOut);
    args.evidence = evidence(&world).as_array().unwrap().clone();
    let told = wait(&args);
    assert_eq!(told.code, Code::SplitBrain);
    assert!(told.msg.contains("h1 is StandAlone towards h2"), "{}", told.msg);
    // It can be the victim all the same.
    request["evidence"] = evidence(&world);
    let seen = converge(&world, "h2", &request);
    assert!(!seen.failed && !seen.changed, "{}", seen.msg);
    request["consent"] = json!([token(&seen).unwrap()]);
    assert_eq!(names(&converge(&world, "h2", &request)), ["discard_my_data"]);
    assert!(!converge(&world, "h1", &request).failed);
    assert_eq!(world.borrow().discarded, ["h2"]);
    assert!(up_to_date(&world));
}

#[test]
fn hosts_that_were_declared_differently_are_told_instead_of_waited_for() {
    let kinds = [Kind::Thin, Kind::Thin];
    let world = world(kinds, &[Start::Nothing, Start::Nothing], true);
    let request = declaration(kinds, "64MiB");
    let mut other = request.clone();
    other["nodes"]["h1"]["address"] = json!("10.0.0.9");
    assert!(!converge(&world, "h1", &request).failed && !converge(&world, "h2", &other).failed);
    let refused = initial_sync(&world, "h1", &request, Cut::Never);
    assert_eq!(refused.code, Code::Disagreement, "{}", refused.msg);
    assert!(
        refused.msg.contains("on h1 / address is ipv4 10.0.0.1:7000 on h1 and ipv4 10.0.0.9:7000 on h2"),
        "{}",
        refused.msg
    );
    assert!(!world.borrow().machines["h1"].running["r0"].up_to_date);
}
