// SPDX-License-Identifier: MPL-2.0
//! States of LVM between "there" and "not there": what is refused names what helps, and nothing is attached on what
//! cannot hold it.

use super::*;

/// Both hosts converged and taken down again, with data.
fn was_up(kind: Kind) -> (Rc<RefCell<World>>, Value) {
    let start = || Start::Nothing;
    let world = world([kind, kind], &[start(), start()], true);
    let declared = declaration([kind, kind], "64MiB");
    for host in ["h1", "h2"] {
        assert!(!converge(&world, host, &declared).failed);
        assert!(!converge(&world, host, &json!({ "name": "r0", "state": "down" })).failed);
    }
    world.borrow_mut().journal.clear();
    (world, declared)
}

fn lvm_says(world: &Rc<RefCell<World>>, name: &str, attr: &'static str, data_percent: &'static str) {
    let mut world = world.borrow_mut();
    world.machine("h1").lvm_says.insert(name.to_owned(), (attr, data_percent));
}

/// A refusal that ran nothing, with these words in its message and this remedy.
#[track_caller]
fn refused(world: &Rc<RefCell<World>>, request: &Value, code: Code, found: &str, remedy: &str) {
    let check = resource(&SimHost::new(world, "h1", Cut::Never), request, true);
    let reply = converge(world, "h1", request);
    assert_eq!((reply.code, &reply.msg), (code, &check.msg), "check mode says the same");
    assert!(reply.failed && reply.msg.contains(found), "{}", reply.msg);
    assert!(reply.next_steps.iter().any(|step| step.contains(remedy)), "{:?}", reply.next_steps);
    assert_eq!(world.borrow().journal, Vec::<String>::new());
}

#[test]
fn our_own_inactive_volume_is_activated_whatever_its_flag_and_attached() {
    for attr in ["Vwi---tz--", "Vwi---tz-k"] {
        for request in [None, Some(json!({ "name": "r0", "state": "up" }))] {
            let (world, declared) = was_up(Kind::Thin);
            lvm_says(&world, "vg0/r0_00000", attr, "");
            let request = request.unwrap_or_else(|| declared.clone());
            let planned = resource(&SimHost::new(&world, "h1", Cut::Never), &request, true);
            let reply = converge(&world, "h1", &request);
            assert!(!reply.failed, "{}", reply.msg);
            assert_eq!(names(&reply), ["activate_lv", "adjust"]);
            assert_eq!(names(&planned), names(&reply));
            assert!(!converge(&world, "h1", &declared).changed);
            assert_eq!(world.borrow().losses, Vec::<String>::new());
        }
    }
}

#[test]
fn an_inactive_volume_that_this_host_does_not_know_is_called_inactive() {
    let (world, declared) = was_up(Kind::Thick);
    lvm_says(&world, "vg0/r0_00000", "-wi------k", "");
    let record = "/var/lib/drbd-host/records/r0.json";
    let known = world.borrow_mut().machine("h1").files.remove(record).unwrap();
    refused(
        &world,
        &declared,
        Code::Missing,
        "is inactive (it has the skip flag)",
        "lvchange -ay -K vg0/r0_00000",
    );
    // Another volume of that name is not the one that was made.
    world.borrow_mut().machine("h1").files.insert(record.to_owned(), known);
    let uuid = format!("{:0>32}", "9");
    world.borrow_mut().machine("h1").lvs.get_mut("vg0/r0_00000").unwrap().uuid = uuid;
    refused(&world, &declared, Code::Missing, "vg0/r0_00000 on h1 is inactive", "lvchange -ay -K");
}

#[test]
fn nothing_is_attached_or_created_on_a_pool_that_cannot_serve_it() {
    let (world, declared) = was_up(Kind::Thin);
    let fresh = world_of_nothing();
    for (attr, percent, code, found, remedy) in [
        (
            "twi-aotzD-",
            "100.00",
            Code::TooSmall,
            "thin pool vg0/pool is full",
            "lvextend --extents +100%FREE vg0/pool",
        ),
        (
            "twi-aotz--",
            "100.00",
            Code::TooSmall,
            "thin pool vg0/pool is full",
            "lvextend --extents +100%FREE vg0/pool",
        ),
        ("twi-aotzF-", "", Code::Unreadable, "thin pool vg0/pool has failed", "lvconvert --repair vg0/pool"),
        ("twi-aotzM-", "5.00", Code::Unreadable, "vg0/pool is read-only", "--poolmetadatasize"),
        ("twi-cotz--", "5.00", Code::Unreadable, "must be checked", "lvconvert --repair vg0/pool"),
    ] {
        for request in [&declared, &json!({ "name": "r0", "state": "up" })] {
            lvm_says(&world, "vg0/pool", attr, percent);
            refused(&world, request, code, found, remedy);
        }
        lvm_says(&fresh, "vg0/pool", attr, percent);
        refused(&fresh, &declared, code, found, remedy);
    }
    // A volume that has all of its blocks needs none of a full pool.
    lvm_says(&world, "vg0/pool", "twi-aotzD-", "100.00");
    lvm_says(&world, "vg0/r0_00000", "Vwi-a-tz--", "100.00");
    let reply = converge(&world, "h1", &declared);
    assert!(!reply.failed && reply.warnings.iter().any(|text| text.contains("is full")), "{reply:?}");
}

fn world_of_nothing() -> Rc<RefCell<World>> {
    world([Kind::Thin, Kind::Thin], &[Start::Nothing, Start::Nothing], true)
}

#[test]
fn a_group_that_misses_a_disk_is_left_alone_and_the_disk_is_named() {
    let (up, declared) = was_up(Kind::Thin);
    for world in [up, world_of_nothing()] {
        world.borrow_mut().machine("h1").lost_pv = true;
        refused(
            &world,
            &declared,
            Code::Missing,
            "vg0 on h1 misses a physical volume: pv-uuid",
            "vgextend --restoremissing vg0",
        );
    }
}

#[test]
fn limits_and_promises_are_warnings_of_everybody_who_asks_lvm() {
    let world = world_of_nothing();
    lvm_says(&world, "vg0/pool", "twi-aotz--", "85.50");
    let conf =
        "activation {\n\t# thin_pool_autoextend_threshold = 50\n\tthin_pool_autoextend_threshold = 70\n}\n";
    world.borrow_mut().machine("h1").files.insert("/etc/lvm/lvm.conf".into(), conf.into());
    let declared = declaration([Kind::Thin, Kind::Thin], "1200MiB");
    let reply = converge(&world, "h1", &declared);
    let facts = info::info(&SimHost::new(&world, "h1", Cut::Never), &InfoArgs::default(), Mode::default());
    for reply in [&reply, &facts] {
        let said = reply.warnings.join("\n");
        assert!(said.contains("thin pool vg0/pool is 85.50 % full"), "{said}");
        assert!(said.contains("promise 1204 MiB and it has 1024 MiB"), "{said}");
        assert!(said.contains("LVM grows vg0/pool by 20 % when it is 70 % full"), "{said}");
    }
    let pool = facts.facts.unwrap().volume_groups["vg0"].thin_pools["pool"].clone();
    assert_eq!((pool.data_percent, pool.promised_bytes), (Some(85.5), 1204 << 20));
    assert_eq!(pool.autoextend.map(|set| set.threshold_percent), Some(70));
}
