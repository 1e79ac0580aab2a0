// SPDX-License-Identifier: MPL-2.0
//! `drbd_verify` on the model: started once, waited for, told and not repaired.

use super::{Kind, Start, converge, declaration, initial_sync, names, world};
use drbd_engine::run::Mode;
use drbd_engine::simulate::{Cut, SimHost, World};
use drbd_engine::verify;
use drbd_schemas::args::VerifyArgs;
use drbd_schemas::reply::{Code, Reply};
use serde_json::json;
use std::cell::RefCell;
use std::rc::Rc;

fn ask(world: &Rc<RefCell<World>>, timeout: u32, check: bool) -> Reply {
    let name = drbd_schemas::ResourceName::new("r0").unwrap();
    let args = VerifyArgs { name, timeout, lock_timeout: 0 };
    verify::verify(&SimHost::new(world, "h1", Cut::Never), &args, Mode { check, diff: false })
}

/// r0 with valid data on both hosts.
fn pair(verify_alg: bool) -> Rc<RefCell<World>> {
    let kinds = [Kind::Thin, Kind::Thin];
    let world = world(kinds, &[Start::Nothing, Start::Nothing], true);
    let mut request = declaration(kinds, "64MiB");
    if verify_alg {
        request["net"] = json!({ "verify_alg": "crc32c" });
    }
    assert!(ask(&world, 5, true).pending.len() == 1, "check mode of a play that has not begun");
    assert_eq!(ask(&world, 5, false).code, Code::Missing);
    for name in ["h1", "h2"] {
        assert!(!converge(&world, name, &request).failed);
    }
    assert_eq!(ask(&world, 5, false).code, Code::InUse, "nothing is valid yet");
    assert!(!initial_sync(&world, "h1", &request, Cut::Never).failed);
    world
}

#[test]
fn a_comparison_is_started_once_and_waited_for() {
    let world = pair(true);
    assert_eq!(names(&ask(&world, 5, true)), ["verify"]);
    assert!(!world.borrow().compared, "check mode started it");
    let late = ask(&world, 0, false);
    assert_eq!((late.code, names(&late)), (Code::TimedOut, vec!["verify"]));
    let joined = ask(&world, 60, false);
    assert!(
        !joined.failed && joined.actions.is_empty(),
        "one that runs is not started again: {}",
        joined.msg
    );
    assert!(joined.msg.contains("the same") && !joined.changed);
}

#[test]
fn what_differs_is_told_with_its_amount() {
    let world = pair(true);
    world.borrow_mut().rotten_kib = 8;
    let reply = ask(&world, 60, false);
    assert_eq!(reply.code, Code::OutOfSync);
    assert!(reply.msg.contains("volume 0 differs from h2 in 8KiB"), "{}", reply.msg);
    assert!(!reply.changed && !reply.next_steps.is_empty());
}

#[test]
fn a_comparison_that_cannot_be_made_is_refused_before_it_is_tried() {
    let refused = ask(&pair(false), 5, false);
    assert_eq!(refused.code, Code::Missing);
    assert!(refused.next_steps.iter().any(|step| step.contains("verify_alg")), "{:?}", refused.next_steps);
    let world = pair(true);
    world.borrow_mut().machine("h2").cut_off = true;
    let refused = ask(&world, 5, false);
    assert_eq!(refused.code, Code::Missing);
    assert!(refused.msg.contains("cannot be compared with h2"), "{}", refused.msg);
    assert!(!world.borrow().compared);
}
