// SPDX-License-Identifier: MPL-2.0
//! Three hosts with DRBD 9 through the shipped `drbd-host`: the real drbdadm and drbdmeta over a simulated kernel side
//! (`tests/drbd9`). Not here: what the simulation itself answers; that is held to the transcripts in its own package.

use serde_json::json;
use support::drbd9::{bring_up, call_all, lab, peers, r0};
use support::module::{self, call, read_noise, with, write_noise};

/// One declaration from blank disks to replicated data: nothing is sent for the first synchronisation of thin volumes, a
/// second run changes nothing, what one host writes the others read, and three replicas grow together.
#[test]
fn three_hosts_replicate_one_declaration() {
    let lab = lab(3).unwrap();
    let declared = r0(&lab, 3, &module::thin());
    let checked = with(&declared, &json!({ "_ansible_check_mode": true }));
    let check = call(&lab, 1, "drbd_resource", &checked).unwrap().ok();
    assert!(check.changed(), "{:#}", check.0);
    bring_up(&lab, 3, &declared).unwrap();
    for host in 1..=3 {
        assert_eq!(peers(&lab, host, "sent").unwrap(), [json!(0), json!(0)], "h{host} sent blocks");
        assert_eq!(peers(&lab, host, "peer-disk-state").unwrap(), [json!("UpToDate"), json!("UpToDate")]);
    }
    for reply in call_all(&lab, 3, "drbd_resource", &declared).unwrap() {
        assert!(!reply.ok().changed(), "a second run changes nothing");
    }

    let sum = write_noise(&lab, 1).unwrap();
    assert_eq!(read_noise(&lab, 2).unwrap(), sum);
    assert_eq!(read_noise(&lab, 3).unwrap(), sum);

    let larger = with(&declared, &json!({ "volumes": { "0": { "minor": 1000, "size": "96MiB" } } }));
    // Each host grows its own volume; DRBD takes the new size when all have.
    for reply in call_all(&lab, 3, "drbd_resource", &larger).unwrap() {
        assert!(!reply.failed(), "{:#}", reply.0);
    }
    call(&lab, 1, "drbd_resource", &larger).unwrap().ok();
    module::wait(&lab, "all_up_to_date").unwrap();
    for reply in call_all(&lab, 3, "drbd_resource", &larger).unwrap() {
        assert!(!reply.ok().changed(), "grown, and nothing is left to do");
    }
    assert_eq!(read_noise(&lab, 3).unwrap(), sum, "growing keeps the data");
}
