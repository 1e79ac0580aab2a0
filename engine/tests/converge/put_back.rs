// SPDX-License-Identifier: MPL-2.0
//! A file that DRBD does not take does not stay in place of the one that it works with.

use super::{Kind, Start, converge, declaration, names, resource, world};
use drbd_engine::record::{self, Record};
use drbd_engine::res_file;
use drbd_engine::simulate::{Cut, SimHost, World};
use drbd_schemas::reply::{ActionState, Reply};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::rc::Rc;

/// r0 in service, and a declaration that changes it.
fn in_service() -> (Rc<RefCell<World>>, Value) {
    let kinds = [Kind::Thin, Kind::Thin];
    let world = world(kinds, &[Start::Nothing, Start::Nothing], true);
    let mut request = declaration(kinds, "64MiB");
    assert!(!converge(&world, "h1", &request).failed);
    request["net"] = json!({ "protocol": "A" });
    (world, request)
}

fn file(world: &Rc<RefCell<World>>) -> String {
    world.borrow().machines["h1"].files[&res_file::path("r0")].clone()
}

fn noted(world: &Rc<RefCell<World>>) -> Option<String> {
    Record::parse(&world.borrow().machines["h1"].files[&record::path("r0")]).unwrap().replaced
}

fn cut(world: &Rc<RefCell<World>>, request: &Value, cut: Cut) -> (Reply, bool) {
    let host = SimHost::new(world, "h1", cut);
    let reply = resource(&host, request, false);
    (reply, host.is_dead())
}

fn failed_at(reply: &Reply) -> Option<&str> {
    let failed = reply.actions.iter().find(|action| action.state == ActionState::Failed);
    failed.map(|action| action.step.as_str())
}

/// Whatever change of the run fails, the file is the one that DRBD runs afterwards; returns the steps that failed.
fn fails_everywhere(world: &Rc<RefCell<World>>, request: &Value, old: &str) -> Vec<String> {
    let mut seen = Vec::new();
    for change in 0.. {
        let world = Rc::new(RefCell::new(world.borrow().clone()));
        let (reply, _) = cut(&world, request, Cut::Fails(change));
        if !reply.failed {
            break;
        }
        // Without one it is the note that DRBD has taken it.
        let step = failed_at(&reply).unwrap_or("accept_config");
        seen.push(step.to_owned());
        let runs = world.borrow().machines["h1"].running["r0"].text.clone();
        assert_eq!(file(&world), runs, "{change}: {}", reply.msg);
        if step == "adjust" && runs == old {
            assert!(reply.msg.contains("The previous /etc/drbd.d/r0.res is back in place"), "{}", reply.msg);
            assert_eq!(noted(&world), None);
        }
        // The cause is gone: the change is made, and nothing is left of the attempt.
        let reply = converge(&world, "h1", request);
        assert!(!reply.failed, "{change}: {}", reply.msg);
        assert_ne!(file(&world), old);
        assert_eq!(
            (file(&world), noted(&world)),
            (world.borrow().machines["h1"].running["r0"].text.clone(), None)
        );
        assert!(!converge(&world, "h1", request).changed);
    }
    seen
}

#[test]
fn after_a_failure_the_file_is_the_one_that_drbd_runs() {
    let (world, request) = in_service();
    let old = file(&world);
    let seen = fails_everywhere(&world, &request, &old);
    assert!(["write_config", "adjust"].iter().all(|step| seen.iter().any(|s| s == step)), "{seen:?}");
}

#[test]
fn a_run_that_was_cut_in_between_is_repaired_by_the_next_one_however_that_ends() {
    let (mut between, mut accepted) = (0, 0);
    for change in 0.. {
        for at in [Cut::Before(change), Cut::After(change)] {
            let (world, request) = in_service();
            let old = file(&world);
            let (_, dead) = cut(&world, &request, at);
            if !dead {
                assert!(between > 1 && accepted == 2, "{between} {accepted}");
                return;
            }
            let runs = world.borrow().machines["h1"].running["r0"].text.clone();
            if file(&world) != runs {
                between += 1;
                assert_eq!(noted(&world), Some(old.clone()), "the next start would meet it: {at:?}");
                let seen = fails_everywhere(&world, &request, &old);
                assert!(seen.contains(&"adjust".to_owned()), "{at:?}: {seen:?}");
                // Another declaration does not forget the one that works.
                let mut other = request.clone();
                other["net"] = json!({ "protocol": "B" });
                fails_everywhere(&world, &other, &old);
            }
            let reply = converge(&world, "h1", &request);
            assert!(!reply.failed, "{at:?}: {}", reply.msg);
            accepted += usize::from(names(&reply) == ["accept_config"]);
            assert_eq!(noted(&world), None, "{at:?}");
            assert!(!converge(&world, "h1", &request).changed, "{at:?}");
        }
    }
}
