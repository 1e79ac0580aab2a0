// SPDX-License-Identifier: MPL-2.0
//! Single steps of `state: present`: together a whole run, each judged like one.

use super::{Kind, Start, converge, declaration, names, storage, world};
use drbd_engine::observe;
use drbd_engine::observed::{Content, DryRun};
use drbd_engine::simulate::{Cut, Data, Machine, SimHost};
use drbd_schemas::args::{self, Args, Module};
use drbd_schemas::reply::Code;
use serde_json::{Value, json};

/// `request` cut down to these parts.
fn only(request: &Value, steps: &[&str]) -> Value {
    let mut request = request.clone();
    request["steps"] = json!(steps);
    request
}

#[test]
fn single_steps_make_a_whole_run_and_each_is_idempotent() {
    let kinds = [Kind::Thin, Kind::Thick];
    let world = world(kinds, &[Start::Nothing, Start::Nothing], false);
    let request = declaration(kinds, "64MiB");
    let expected = [
        ("storage", vec!["load_module", "create_lv"]),
        ("config", vec!["write_config"]),
        ("create-md", vec!["create_metadata"]),
        ("up", vec!["adjust"]),
    ];
    for (step, done) in expected {
        let request = only(&request, &[step]);
        let reply = converge(&world, "h1", &request);
        assert!(!reply.failed, "{step}: {}", reply.msg);
        assert_eq!(names(&reply), done, "{step}");
        assert!(step == "up" || !reply.pending.is_empty(), "{step} says what is left");
        let again = converge(&world, "h1", &request);
        assert!(!again.failed && !again.changed && again.actions.is_empty(), "{step}: {}", again.msg);
    }
    let whole = converge(&world, "h1", &request);
    assert!(!whole.failed && !whole.changed, "{}", whole.msg);
    assert_eq!(world.borrow().losses, Vec::<String>::new());
}

#[test]
fn a_single_step_is_refused_before_the_one_that_it_needs_and_on_foreign_data() {
    let kinds = [Kind::Thin, Kind::Device];
    let starts = [Start::Nothing, Start::Holds(Data::Foreign("ext4"), None)];
    let world = world(kinds, &starts, true);
    let request = declaration(kinds, "64MiB");
    for steps in [vec!["create-md"], vec!["adjust"], vec!["up"], vec!["storage", "create-md"]] {
        let reply = converge(&world, "h1", &only(&request, &steps));
        assert_eq!(reply.code, Code::Missing, "{steps:?}: {}", reply.msg);
        assert!(reply.next_steps.iter().any(|step| step.starts_with("Add ")), "{:?}", reply.next_steps);
    }
    for steps in [vec!["create-md"], vec!["config"], vec!["adjust"]] {
        let reply = converge(&world, "h2", &only(&request, &steps));
        assert_eq!(reply.code, Code::ForeignData, "{steps:?} is judged as a whole run: {}", reply.msg);
    }
    assert_eq!(world.borrow().journal, Vec::<String>::new());
}

#[test]
fn up_leaves_a_running_resource_alone_and_adjust_does_not() {
    let kinds = [Kind::Thin, Kind::Thin];
    let world = world(kinds, &[Start::Nothing, Start::Nothing], true);
    let mut request = declaration(kinds, "64MiB");
    assert!(!converge(&world, "h1", &request).failed);
    request["net"] = json!({ "protocol": "A" });
    assert_eq!(names(&converge(&world, "h1", &only(&request, &["config"]))), ["write_config"]);
    assert_eq!(names(&converge(&world, "h1", &only(&request, &["up"]))), [""; 0]);
    assert_eq!(names(&converge(&world, "h1", &only(&request, &["adjust"]))), ["adjust"]);
}

#[test]
fn the_kernels_configuration_is_asked_for_unless_it_is_proven_to_be_the_declared_one() {
    let kinds = [Kind::Thin, Kind::Device];
    let world = world(kinds, &[Start::Nothing, Start::Nothing], true);
    let request = declaration(kinds, "64MiB");
    let look_as = |request: &Value| {
        let Args::Resource(args) = args::parse(Module::DrbdResource, request.clone()).unwrap() else {
            unreachable!()
        };
        observe::resource(&SimHost::new(&world, "h2", Cut::Never), &args.resource.unwrap()).unwrap()
    };
    let look = || look_as(&request);
    let content = |observed: &drbd_engine::observed::Observed| {
        observed.devices.values().next().map(|device| device.content.clone()).unwrap()
    };
    let reply = converge(&world, "h2", &request);
    assert!(!reply.failed, "{}", reply.msg);
    let seen = look();
    assert_eq!((content(&seen), seen.running), (Content::AttachedHere, None), "two proofs are enough");

    // The same link, but the kernel runs something else than what is declared: the link alone proves nothing.
    let text = world.borrow().machines["h2"].running["r0"].text.clone();
    world.borrow_mut().machine("h2").running.get_mut("r0").unwrap().text.push_str("# other");
    let seen = look();
    assert_ne!(seen.dry_run, DryRun::Steps(Vec::new()));
    assert!(seen.running.is_some() && content(&seen) == Content::AttachedHere);

    // As declared, but not linked: whatever the device holds, it is not said to be attached.
    let mut all = world.borrow_mut();
    let running = all.machine("h2").running.get_mut("r0").unwrap();
    (running.text, running.disk) = (text, None);
    drop(all);
    assert_ne!(content(&look()), Content::AttachedHere);

    // Declared diskless: there is no link that could be missing, and all the same it does not run as declared.
    let mut diskless = request.clone();
    diskless["nodes"]["h2"]["storage"] = json!({ "diskless": {} });
    let seen = look_as(&diskless);
    assert_ne!(seen.dry_run, DryRun::Steps(Vec::new()));
    assert!(seen.running.is_some());
}

#[test]
fn lvm_is_not_asked_of_what_this_host_made_and_the_kernel_shows_as_declared() {
    for kind in [Kind::Thin, Kind::Thick] {
        let world = world([kind, kind], &[Start::Nothing, Start::Nothing], true);
        let request = declaration([kind, kind], "64MiB");
        let asked = |request: &Value| {
            let Args::Resource(args) = args::parse(Module::DrbdResource, request.clone()).unwrap() else {
                unreachable!()
            };
            let host = SimHost::new(&world, "h1", Cut::Never);
            // Only LVM knows the size of a group.
            observe::resource(&host, &args.resource.unwrap())
                .unwrap()
                .lvm
                .vgs
                .iter()
                .all(|vg| vg.size_bytes > 0)
        };
        let with = |change: &dyn Fn(&mut Value)| {
            let mut request = request.clone();
            change(&mut request);
            request
        };
        let storage_of_h1 = |kind| with(&|request| request["nodes"]["h1"]["storage"] = storage(kind));
        assert!(!converge(&world, "h1", &request).failed);
        assert!(!asked(&request), "{kind:?}");

        let other = if kind == Kind::Thin { Kind::Thick } else { Kind::Thin };
        assert!(asked(&storage_of_h1(other)), "declared {other:?}, found {kind:?}");
        assert!(asked(&with(&|request| request["volumes"]["0"]["size"] = json!("72MiB"))), "it has to grow");
        assert!(asked(&with(&|request| request["volumes"]["0"]["size"] = json!("56MiB"))), "a shrink");
        let then = |change: &dyn Fn(&mut Machine)| {
            let before = world.borrow().machines["h1"].clone();
            change(world.borrow_mut().machine("h1"));
            let asked = asked(&request);
            *world.borrow_mut().machine("h1") = before;
            asked
        };
        assert!(then(&|h1| h1.lvs.get_mut("vg0/r0_00000").unwrap().uuid = "9".repeat(32)), "made anew");
        assert!(
            then(&|h1| h1.files.retain(|path, _| !path.ends_with("r0.json"))),
            "nobody knows who made it"
        );
        assert!(then(&|h1| h1.running.clear()), "it is down");
        assert!(!asked(&request));
    }
}

#[test]
fn a_disk_that_the_kernel_holds_for_a_moment_is_waited_for_and_one_that_is_in_use_is_not_erased() {
    for (busy, erased) in [(3, true), (100, false)] {
        let kinds = [Kind::Device, Kind::Device];
        let world = world(kinds, &[Start::Nothing, Start::Nothing], true);
        assert!(!converge(&world, "h1", &declaration(kinds, "64MiB")).failed);
        world.borrow_mut().machine("h1").busy = busy;
        let absent = json!({ "name": "r0", "state": "absent", "consent": ["destroy:r0"] });
        let reply = converge(&world, "h1", &absent);
        assert_eq!(!reply.failed, erased, "{}", reply.msg);
        let metadata = || world.borrow_mut().machine("h1").disk("/dev/sdb").unwrap().metadata;
        assert_eq!(metadata().is_none(), erased);
        world.borrow_mut().machine("h1").busy = 0;
        assert!(!converge(&world, "h1", &absent).failed);
        assert!(metadata().is_none());
    }
}
