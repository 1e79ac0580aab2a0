// SPDX-License-Identifier: MPL-2.0
//! Properties of `drbd_role` on the model of two hosts: check mode tells exactly what a run does, a second run does
//! nothing, a run that is cut anywhere is gone on with, and neither data nor the one history of them is lost.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop here")]

use drbd_engine::host::Process;
use drbd_engine::role;
use drbd_engine::run::{self, Mode};
use drbd_engine::simulate::{Content, Cut, Machine, SimHost, World};
use drbd_schemas::args::{self, Args, Module};
use drbd_schemas::reply::{ActionState, Code, Reply};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::rc::Rc;

type Shared = Rc<RefCell<World>>;

fn resource(world: &Shared, name: &str, size: &str) -> Reply {
    let storage = json!({ "lvm_thin": { "volume_group": "vg0", "thin_pool": "pool" } });
    let request = json!({
        "name": "r0", "port": 7000,
        "nodes": {
            "h1": { "node_id": 0, "address": "10.0.0.1", "storage": storage },
            "h2": { "node_id": 1, "address": "10.0.0.2", "storage": storage },
        },
        "volumes": { "0": { "minor": 1000, "size": size } },
    });
    let Args::Resource(args) = args::parse(Module::DrbdResource, request).unwrap() else { unreachable!() };
    run::resource(&SimHost::new(world, name, Cut::Never), &args, Mode::default())
}

/// Two hosts with r0 up and connected; valid data with this content, or none yet.
fn world(content: Option<Content>) -> Shared {
    let mut world = World::default();
    for name in ["h1", "h2"] {
        let mut machine = Machine { module: true, ..Machine::default() };
        machine.pools.insert("vg0/pool".into(), true);
        world.machines.insert(name.to_owned(), machine);
    }
    let world = Rc::new(RefCell::new(world));
    for name in ["h1", "h2"] {
        assert!(!resource(&world, name, "64MiB").failed);
    }
    if let Some(content) = content {
        let mut world = world.borrow_mut();
        for machine in world.machines.values_mut() {
            machine.running.get_mut("r0").unwrap().up_to_date = true;
        }
        world.contents.insert("r0".into(), content);
    }
    world
}

fn ext4(files: u32) -> Content {
    Content::Filesystem { kind: "ext4".into(), kib: 65_536, files }
}

fn ask(world: &Shared, name: &str, request: &Value, cut: Cut, check: bool) -> Reply {
    let Args::Role(args) = args::parse(Module::DrbdRole, request.clone()).unwrap() else { unreachable!() };
    role::role(&SimHost::new(world, name, cut), &args, Mode { check, diff: true })
}

fn act(world: &Shared, name: &str, request: &Value) -> Reply {
    ask(world, name, request, Cut::Never, false)
}

fn request(role: &str, mount: bool, make: bool) -> Value {
    let mount = mount.then(
        || json!({ "path": "/srv", "fstype": "ext4", "make_filesystem": make, "grow_filesystem": true }),
    );
    json!({ "name": "r0", "role": role, "mounts": mount.into_iter().collect::<Vec<_>>() })
}

fn names(reply: &Reply) -> Vec<&str> {
    reply.actions.iter().map(|action| action.step.as_str()).collect()
}

fn content() -> impl Strategy<Value = Option<Content>> {
    prop_oneof![
        Just(None),
        Just(Some(Content::Blank)),
        Just(Some(Content::Data)),
        Just(Some(ext4(3))),
        Just(Some(Content::Filesystem { kind: "xfs".into(), kib: 65_536, files: 1 })),
    ]
}

/// A step of a history: who asks, for what, and whether that run is cut.
fn wish() -> impl Strategy<Value = (usize, bool, bool, bool, Option<(usize, bool)>)> {
    (0usize..2, any::<bool>(), any::<bool>(), any::<bool>(), prop::option::of((0usize..8, any::<bool>())))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_history_keeps_the_data_and_check_mode_its_word(
        content in content(), cut_off: bool, wishes in prop::collection::vec(wish(), 1..8),
    ) {
        let world = world(content.clone());
        for (host, primary, mount, make, cut) in wishes {
            let name = ["h1", "h2"][host];
            if cut_off && host == 1 {
                world.borrow_mut().machine("h2").cut_off = true;
            }
            let request = request(if primary { "primary" } else { "secondary" }, mount, make);
            if let Some((number, after)) = cut {
                let cut = if after { Cut::After(number) } else { Cut::Before(number) };
                ask(&world, name, &request, cut, false);
            }
            let before = world.borrow().clone();
            let checked = ask(&world, name, &request, Cut::Never, true);
            prop_assert_eq!(&world.borrow().journal, &before.journal, "check mode ran a command");
            prop_assert_eq!(&world.borrow().machines[name].files, &before.machines[name].files);
            let reply = act(&world, name, &request);
            prop_assert_eq!((checked.failed, checked.changed, checked.code), (reply.failed, reply.changed, reply.code), "{} / {}", checked.msg, reply.msg);
            let told = |reply: &Reply| reply.actions.iter().map(|a| (a.step.clone(), a.argv.clone(), a.why.clone())).collect::<Vec<_>>();
            prop_assert_eq!(told(&checked), told(&reply));
            if reply.failed {
                prop_assert_eq!(&world.borrow().journal, &before.journal, "a refusal ran a command: {}", reply.msg);
                prop_assert!(!reply.next_steps.is_empty(), "{}", reply.msg);
                continue;
            }
            prop_assert!(reply.actions.iter().all(|action| action.state == ActionState::Done));
            let again = act(&world, name, &request);
            prop_assert!(!again.failed && !again.changed && again.actions.is_empty(), "{}", again.msg);
            let world = world.borrow();
            prop_assert_eq!(world.machines[name].running["r0"].primary, primary);
            prop_assert!(primary || world.machines[name].mounts.is_empty());
        }
        prop_assert_eq!(&world.borrow().losses, &Vec::<String>::new());
        let left = world.borrow().contents.get("r0").cloned();
        let files = |content: &Option<Content>| match content {
            Some(Content::Filesystem { kind, files, .. }) => Some((kind.clone(), *files)),
            _ => None,
        };
        let made = content == Some(Content::Blank) && files(&left) == Some(("ext4".into(), 0));
        prop_assert!(made || left == content || files(&left) == files(&content), "{:?} became {:?}", content, left);
        let both = world.borrow().machines.values().filter(|m| m.running["r0"].primary).count();
        prop_assert!(both <= 1, "two hosts are Primary");
    }
}

#[test]
fn a_service_moves_with_its_data() {
    let world = world(Some(Content::Blank));
    let here = request("primary", true, true);
    assert_eq!(names(&act(&world, "h1", &here)), ["promote", "make_filesystem", "make_mount_point", "mount"]);
    let refused = act(&world, "h2", &here);
    assert_eq!(refused.code, Code::InUse);
    assert!(refused.msg.contains("Primary on h1"), "{}", refused.msg);
    assert_eq!(names(&act(&world, "h1", &request("secondary", true, false))), ["unmount", "demote"]);
    assert_eq!(
        names(&act(&world, "h2", &here)),
        ["promote", "make_mount_point", "mount"],
        "the file system is not made again"
    );
    let facts = act(&world, "h2", &here).after.unwrap();
    assert_eq!(facts.volumes["0"].mounted_on, ["/srv"]);
}

#[test]
fn a_demotion_names_who_is_in_the_way_and_unmounts_only_what_is_listed() {
    let world = world(Some(ext4(1)));
    assert!(!act(&world, "h1", &request("primary", true, false)).failed);
    let refused = act(&world, "h1", &request("secondary", false, false));
    assert_eq!(refused.code, Code::InUse);
    assert!(refused.msg.contains("mounted on /srv"), "{}", refused.msg);
    let process = Process { pid: 42, name: "nginx".into(), how: "has /srv/index.html open".into() };
    world.borrow_mut().machine("h1").processes.insert("147:1000".into(), vec![process]);
    let refused = act(&world, "h1", &request("secondary", true, false));
    assert!(refused.msg.contains("process 42 (nginx) has /srv/index.html open"), "{}", refused.msg);
    world.borrow_mut().machine("h1").processes.clear();
    assert_eq!(names(&act(&world, "h1", &request("secondary", true, false))), ["unmount", "demote"]);
}

#[test]
fn a_promotion_without_the_peer_needs_a_consent_that_names_the_host() {
    let world = world(Some(ext4(1)));
    world.borrow_mut().machine("h2").cut_off = true;
    let mut asked = request("primary", true, false);
    let refused = act(&world, "h1", &asked);
    assert_eq!(refused.code, Code::ConsentNeeded, "{}", refused.msg);
    assert!(
        refused.next_steps.iter().any(|step| step.contains("promote-alone:r0@h1")),
        "{:?}",
        refused.next_steps
    );
    asked["consent"] = json!(["promote-alone:r0@h2"]);
    assert_eq!(act(&world, "h1", &asked).code, Code::ConsentNeeded, "another host's consent");
    asked["consent"] = json!(["promote-alone:r0@h1"]);
    assert!(!act(&world, "h1", &asked).failed);
}

#[test]
fn data_that_are_not_up_to_date_are_not_used() {
    let world = world(None);
    let refused = act(&world, "h1", &request("primary", false, false));
    assert_eq!(refused.code, Code::InUse);
    assert!(refused.msg.contains("Inconsistent on h1, not UpToDate"), "{}", refused.msg);
}

#[test]
fn a_file_system_is_made_only_on_what_is_proven_blank() {
    for content in [Content::Data, Content::Filesystem { kind: "xfs".into(), kib: 65_536, files: 1 }] {
        let world = world(Some(content));
        let refused = act(&world, "h1", &request("primary", true, true));
        assert_eq!(refused.code, Code::ForeignData, "{}", refused.msg);
        assert!(!world.borrow().machines["h1"].running["r0"].primary, "refused before the promotion");
    }
    let world = world(Some(Content::Blank));
    let refused = act(&world, "h1", &request("primary", true, false));
    assert_eq!(refused.code, Code::Missing);
    assert!(refused.next_steps[0].contains("make_filesystem"), "{:?}", refused.next_steps);
}

#[test]
fn a_half_made_file_system_of_a_cut_run_is_made_anew_and_no_other() {
    let world = world(Some(Content::Blank));
    // Cut right before mkfs: promotion, then the note, then the tool.
    ask(&world, "h1", &request("primary", true, true), Cut::Before(2), false);
    assert!(
        world.borrow().machines["h1"].files["/var/lib/drbd-host/records/r0.json"]
            .contains("making_filesystem")
    );
    world.borrow_mut().contents.insert("r0".into(), Content::HalfMade);
    let reply = act(&world, "h1", &request("primary", true, true));
    assert!(!reply.failed, "{}", reply.msg);
    assert_eq!(names(&reply), ["make_filesystem", "make_mount_point", "mount"]);
    assert!(
        !world.borrow().machines["h1"].files["/var/lib/drbd-host/records/r0.json"]
            .contains("making_filesystem")
    );
    assert_eq!(world.borrow().losses, Vec::<String>::new());
}

#[test]
fn the_note_of_a_cut_run_does_not_outlive_the_file_system() {
    let noted = |world: &Shared| {
        world.borrow().machines["h1"].files["/var/lib/drbd-host/records/r0.json"]
            .contains("making_filesystem")
    };
    for mounted in [true, false] {
        let world = world(Some(Content::Blank));
        // Promotion, note, tool: cut right after it.
        ask(&world, "h1", &request("primary", true, true), Cut::After(2), false);
        assert!(noted(&world));
        if mounted {
            let by_hand = ("/srv".to_owned(), "/dev/drbd1000".to_owned(), "ext4".to_owned());
            world.borrow_mut().machine("h1").mounts.push(by_hand);
        }
        let reply = act(&world, "h1", &request("primary", true, true));
        assert!(!reply.failed && names(&reply)[0] == "filesystem_made", "{}", reply.msg);
        assert!(!noted(&world));
        assert_eq!(world.borrow().losses, Vec::<String>::new());
    }
}

#[test]
fn a_file_system_grows_with_its_device_whether_mounted_or_not() {
    for mounted in [true, false] {
        let world = world(Some(ext4(1)));
        if mounted {
            assert!(!act(&world, "h1", &request("primary", true, false)).failed);
        }
        for machine in world.borrow_mut().machines.values_mut() {
            machine.running.get_mut("r0").unwrap().size_kib = 131_072;
        }
        let reply = act(&world, "h1", &request("primary", true, false));
        assert!(!reply.failed, "{}", reply.msg);
        assert_eq!(names(&reply).last(), Some(&"grow_filesystem"));
        assert!(!act(&world, "h1", &request("primary", true, false)).changed);
    }
}

#[test]
fn the_role_of_a_cut_run_is_kept_when_it_is_wanted() {
    let world = world(Some(ext4(1)));
    assert!(!act(&world, "h1", &request("primary", false, false)).failed);
    let path = "/var/lib/drbd-host/records/r0.json";
    let noted = world.borrow().machines["h1"].files[path].replacen('{', "{ \"promoted_for_sync\": true,", 1);
    world.borrow_mut().machine("h1").files.insert(path.into(), noted);
    assert_eq!(names(&act(&world, "h1", &request("primary", false, false))), ["keep_role"]);
    let present = resource(&world, "h1", "64MiB");
    assert!(!present.failed && !present.changed, "the role is not given back: {}", present.msg);
}

#[test]
fn a_resource_whose_file_is_away_is_used_and_given_up_all_the_same() {
    let world = world(Some(ext4(1)));
    let file = world.borrow_mut().machine("h1").files.remove("/etc/drbd.d/r0.res").unwrap();
    let taken = act(&world, "h1", &request("primary", true, false));
    assert!(!taken.failed, "{}", taken.msg);
    let given = act(&world, "h1", &request("secondary", true, false));
    assert!(!given.failed && names(&given) == ["unmount", "demote"], "{}", given.msg);
    assert_eq!(given.actions[1].argv, [["drbdsetup", "secondary", "1000"]]);
    world.borrow_mut().machine("h1").files.insert("/etc/drbd.d/r0.res".into(), file);
    let taken = act(&world, "h1", &request("primary", true, false));
    assert_eq!(taken.actions[0].argv, [["drbdadm", "primary", "r0"]]);
}

#[test]
fn who_looks_at_a_device_that_is_secondary_already_is_in_nobodys_way() {
    let world = world(Some(ext4(1)));
    let udev = || Process { pid: 42, name: "(udev-worker)".into(), how: "has /dev/drbd1000 open".into() };
    world.borrow_mut().machine("h1").processes.insert("147:1000".into(), vec![udev()]);
    let reply = act(&world, "h1", &request("secondary", true, false));
    assert!(!reply.failed && !reply.changed, "{}", reply.msg);
    // On a Primary it is waited for, but not for ever; and nothing is said to be unchanged that is not.
    assert!(!act(&world, "h1", &request("primary", true, false)).failed);
    let host = SimHost::new(&world, "h1", Cut::Never);
    let Args::Role(args) = args::parse(Module::DrbdRole, request("secondary", true, false)).unwrap() else {
        unreachable!()
    };
    let reply = role::role(&host, &args, Mode::default());
    assert_eq!(reply.code, Code::InUse, "{}", reply.msg);
    assert!(drbd_engine::host::Host::millis(&host) >= 5_000, "udev got its moment");
}
