// SPDX-License-Identifier: MPL-2.0
//! What hosts inherit from their `common` sections: on both, on one, changed later; what the declaration names wins.

use super::{Kind, Start, converge, declaration, evidence, names, world};
use drbd_engine::simulate::{Data, World};
use drbd_schemas::reply::Code;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::rc::Rc;

const FILE: &str = "/etc/drbd.d/global_common.conf";
const KINDS: [Kind; 2] = [Kind::Thin, Kind::Thin];

fn blank() -> Rc<RefCell<World>> {
    world(KINDS, &[Start::Nothing, Start::Nothing], true)
}

fn set_common(world: &Rc<RefCell<World>>, host: &str, common: &str) {
    let text = format!("global {{ usage-count no; }}\ncommon {{\n{common}\n}}\n");
    world.borrow_mut().machine(host).files.insert(FILE.to_owned(), text);
}

fn with_evidence(world: &Rc<RefCell<World>>, mut request: Value) -> Value {
    request["evidence"] = evidence(world);
    request
}

#[test]
fn what_both_hosts_inherit_is_told_with_its_line_and_policies_are_warnings() {
    let world = blank();
    for host in ["h1", "h2"] {
        set_common(&world, host, "net { max-buffers 8000;\nafter-sb-1pri discard-secondary; }");
    }
    let request = with_evidence(&world, declaration(KINDS, "64MiB"));
    let reply = converge(&world, "h1", &request);
    assert!(!reply.failed, "{}", reply.msg);
    let adjust = reply.actions.iter().find(|action| action.step == "adjust").unwrap();
    assert!(
        adjust.why.contains(&format!(
            "inherited: net.after-sb-1pri discard-secondary from {FILE}:4, net.max-buffers 8000 from {FILE}:3"
        )),
        "{}",
        adjust.why
    );
    assert!(
        reply
            .warnings
            .iter()
            .any(|text| text.contains("discarded without a question") && text.contains(":4")),
        "{:?}",
        reply.warnings
    );
    assert!(!reply.warnings.iter().any(|text| text.contains("max-buffers")), "{:?}", reply.warnings);
    let options = reply.after.unwrap().options;
    let buffers = options.iter().find(|option| option.name == "max-buffers").unwrap();
    assert!(buffers.inherited && buffers.from == format!("{FILE}:3"), "{buffers:?}");
    let again = converge(&world, "h1", &request);
    assert!(!again.changed && !again.warnings.is_empty(), "a policy is told as long as it holds");
}

#[test]
fn hosts_that_inherit_different_options_are_refused_before_anything_is_changed() {
    let world = blank();
    set_common(&world, "h2", "protocol A;\nnet { ping-int 7; }");
    let request = with_evidence(&world, declaration(KINDS, "64MiB"));
    for host in ["h1", "h2"] {
        let reply = converge(&world, host, &request);
        assert_eq!(reply.code, Code::Disagreement, "{}", reply.msg);
        for part in
            ["net.protocol", "net.ping-int", &format!("A ({FILE}:3)"), &format!("7 ({FILE}:4)"), "not set"]
        {
            assert!(reply.msg.contains(part), "{part}: {}", reply.msg);
        }
    }
    assert_eq!(world.borrow().journal, Vec::<String>::new());

    // What the declaration names nobody inherits.
    let mut named = request.clone();
    named["net"] = json!({ "protocol": "C", "ping-int": "10" });
    let reply = converge(&world, "h1", &named);
    assert!(!reply.failed, "{}", reply.msg);

    // Handlers and the like are the business of a host.
    let other = blank();
    set_common(&other, "h2", "handlers { split-brain \"/bin/true\"; }\nstartup { wfc-timeout 3; }");
    let reply = converge(&other, "h1", &with_evidence(&other, declaration(KINDS, "64MiB")));
    assert!(!reply.failed, "{}", reply.msg);
}

#[test]
fn a_common_section_that_changes_later_on_one_host_is_noticed() {
    let world = blank();
    let request = declaration(KINDS, "64MiB");
    for host in ["h1", "h2"] {
        assert!(!converge(&world, host, &with_evidence(&world, request.clone())).failed);
    }
    set_common(&world, "h1", "net { max-buffers 8000; }");
    let journal = world.borrow().journal.clone();
    let reply = converge(&world, "h2", &with_evidence(&world, request.clone()));
    assert_eq!(reply.code, Code::Disagreement, "{}", reply.msg);
    assert!(reply.msg.contains(&format!("not set on h2 and 8000 ({FILE}:3) on h1")), "{}", reply.msg);
    assert_eq!(world.borrow().journal, journal);
    set_common(&world, "h2", "net { max-buffers 8000; }");
    assert!(!converge(&world, "h2", &with_evidence(&world, request)).failed);
}

#[test]
fn a_fencing_policy_without_a_handler_is_refused_wherever_it_stands() {
    let world = blank();
    let mut request = declaration(KINDS, "64MiB");
    request["net"] = json!({ "fencing": "resource-only" });
    let reply = converge(&world, "h1", &request);
    assert_eq!(reply.code, Code::Missing, "{}", reply.msg);
    assert!(reply.msg.contains("fence-peer") && reply.msg.contains("net.fencing"), "{}", reply.msg);
    set_common(&world, "h1", "disk { fencing resource-only; }");
    let reply = converge(&world, "h1", &declaration(KINDS, "64MiB"));
    assert_eq!(reply.code, Code::Missing, "{}", reply.msg);
    assert!(reply.msg.contains(&format!("inherited from {FILE}:3")), "{}", reply.msg);
    assert_eq!(world.borrow().journal, Vec::<String>::new());

    set_common(&world, "h1", "handlers { fence-peer \"/usr/lib/drbd/crm-fence-peer.sh\"; }");
    let reply = converge(&world, "h1", &request);
    assert!(!reply.failed, "{}", reply.msg);
    let text = world.borrow().machines["h1"].files["/etc/drbd.d/r0.res"].clone();
    assert!(text.contains("fencing resource-only"), "8.4 has it in its disk section: {text}");
}

#[test]
fn the_metadata_device_of_another_resource_is_not_offered_for_overwriting() {
    let kinds = [Kind::Device, Kind::Device];
    let world = world(kinds, &[Start::Holds(Data::Zeroes, None), Start::Nothing], true);
    let text = "resource web { device minor 5; disk /dev/sdz; meta-disk /dev/sdb[1];
        on h1 { address 10.0.0.1:7100; } on h2 { address 10.0.0.2:7100; } }";
    world.borrow_mut().machine("h1").files.insert("/etc/drbd.d/web.res".to_owned(), text.to_owned());
    let reply = converge(&world, "h1", &declaration(kinds, "64MiB"));
    assert!(reply.failed && names(&reply).is_empty(), "{}", reply.msg);
    assert!(
        reply.msg.contains("the metadata device of resource web (/etc/drbd.d/web.res:1)"),
        "{}",
        reply.msg
    );
    assert!(!reply.next_steps.join(" ").contains("consent"), "{:?}", reply.next_steps);
    assert_eq!(world.borrow().journal, Vec::<String>::new());
}
