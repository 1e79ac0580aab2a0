// SPDX-License-Identifier: MPL-2.0
//! A resource that somebody else made and that runs is taken over as it runs: the file in one step, under a consent that names
//! it, and the device under the name that it has there.

use super::{Kind, Start, converge, declaration, names, world};
use drbd_engine::simulate::{Cut, World};
use drbd_schemas::reply::{Code, Reply};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::rc::Rc;

const FILE: &str = "/etc/drbd.d/r0.res";

/// h1 runs r0 on a device that is called otherwise than declared, from a file that is not ours.
fn made_by_hand() -> (Rc<RefCell<World>>, Value) {
    let kinds = [Kind::Device, Kind::Device];
    let world = world(kinds, &[Start::Nothing, Start::Nothing], true);
    let request = declaration(kinds, "64MiB");
    assert!(!converge(&world, "h1", &request).failed);
    let mut declared = request.clone();
    declared["nodes"]["h1"]["storage"] = json!({ "devices": { "0": "/dev/drbdpool/r0" } });
    {
        let mut world = world.borrow_mut();
        let machine = world.machine("h1");
        machine.names.insert("/dev/drbdpool/r0".into(), "/dev/sdb".into());
        let (_, foreign) = machine.files[FILE].split_once('\n').unwrap();
        let foreign = foreign.to_owned();
        machine.files.insert(FILE.into(), foreign);
        machine.files.remove("/var/lib/drbd-host/records/r0.json");
        world.journal.clear();
    }
    (world, declared)
}

fn token(refused: &Reply) -> String {
    let step = refused.next_steps.iter().find(|step| step.contains("consent: [\"")).unwrap();
    step.split('"').nth(1).unwrap().to_owned()
}

#[test]
fn a_running_resource_is_taken_over_without_a_command_to_the_kernel() {
    let (world, mut request) = made_by_hand();
    let foreign = world.borrow().machines["h1"].files[FILE].clone();
    let refused = converge(&world, "h1", &request);
    assert_eq!(refused.code, Code::Taken, "{}", refused.msg);
    assert!(refused.msg.contains("nothing is stopped by taking it over"), "{}", refused.msg);
    assert_eq!(world.borrow().machines["h1"].files[FILE], foreign);

    let token = token(&refused);
    request["consent"] = json!([token]);
    let reply = converge(&world, "h1", &request);
    assert!(!reply.failed, "{}", reply.msg);
    assert_eq!(names(&reply), ["keep_file", "write_config", "adopt_metadata"]);
    let kept: Vec<_> = {
        let world = world.borrow();
        assert_eq!(world.journal, Vec::<String>::new(), "nothing is told to the kernel");
        let files = &world.machines["h1"].files;
        assert!(
            files[FILE].contains("disk \"/dev/sdb\""),
            "the name that it runs under stays: {}",
            files[FILE]
        );
        files
            .iter()
            .filter(|(path, _)| path.starts_with("/etc/drbd.d/r0.res."))
            .map(|(_, t)| t.clone())
            .collect()
    };
    assert_eq!(kept, [foreign]);
    request["consent"] = json!([]);
    let again = converge(&world, "h1", &request);
    assert!(!again.failed && !again.changed && again.actions.is_empty(), "{}", again.msg);
}

#[test]
fn a_consent_for_another_text_and_a_file_with_more_in_it_are_refused() {
    let (world, mut request) = made_by_hand();
    request["consent"] = json!([token(&converge(&world, "h1", &request))]);
    let edited = world.borrow().machines["h1"].files[FILE].clone() + "# edited since\n";
    world.borrow_mut().machine("h1").files.insert(FILE.into(), edited.clone());
    let refused = converge(&world, "h1", &request);
    assert_eq!(refused.code, Code::Taken, "{}", refused.msg);
    let more = edited + "resource web { on h1 { device minor 7; disk /dev/sdc; } }\n";
    world.borrow_mut().machine("h1").files.insert(FILE.into(), more.clone());
    request["consent"] = json!([]);
    let refused = converge(&world, "h1", &request);
    assert_eq!(refused.code, Code::Taken, "{}", refused.msg);
    assert!(refused.msg.contains("also holds resource web"), "{}", refused.msg);
    assert_eq!(world.borrow().machines["h1"].files[FILE], more);
    assert_eq!(world.borrow().losses, Vec::<String>::new());
}

#[test]
fn a_take_over_that_is_cut_anywhere_leaves_a_file_and_is_gone_on_with() {
    for number in 0..4 {
        let (world, mut request) = made_by_hand();
        request["consent"] = json!([token(&converge(&world, "h1", &request))]);
        super::resource(
            &drbd_engine::simulate::SimHost::new(&world, "h1", Cut::After(number)),
            &request,
            false,
        );
        assert!(world.borrow().machines["h1"].files.contains_key(FILE), "cut after {number}");
        let reply = converge(&world, "h1", &request);
        assert!(!reply.failed, "cut after {number}: {}", reply.msg);
        let again = converge(&world, "h1", &request);
        assert!(!again.failed && !again.changed, "cut after {number}: {}", again.msg);
        assert_eq!(world.borrow().journal, Vec::<String>::new());
    }
}

#[test]
fn what_a_take_over_would_lose_is_said_before_a_consent_and_what_no_declaration_can_say_is_refused() {
    let (world, request) = made_by_hand();
    let text = world.borrow().machines["h1"].files[FILE].clone();
    let set = |text: String| world.borrow_mut().machine("h1").files.insert(FILE.into(), text);
    let close = text.rfind('}').unwrap();
    let with_handlers = format!(
        "{}handlers {{ split-brain \"/bin/x\"; }}\nstartup {{ wfc-timeout 9; }}\n}}\n",
        &text[..close]
    );
    set(with_handlers);
    let refused = converge(&world, "h1", &request);
    assert!(refused.msg.contains("handlers.split-brain (/etc/drbd.d/r0.res:"), "{}", refused.msg);
    assert!(refused.msg.contains("startup.wfc-timeout"), "{}", refused.msg);
    token(&refused);

    set(text.replace("meta-disk internal;", "meta-disk /dev/vg/md[0];"));
    let refused = converge(&world, "h1", &request);
    assert_eq!(refused.code, Code::Taken, "{}", refused.msg);
    assert!(refused.msg.contains("metadata of volume 0 on h1 are on /dev/vg/md"), "{}", refused.msg);
    assert!(!refused.next_steps.join(" ").contains("consent: ["), "{:?}", refused.next_steps);
    assert_eq!(world.borrow().journal, Vec::<String>::new());
}
