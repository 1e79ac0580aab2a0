// SPDX-License-Identifier: MPL-2.0
//! What DRBD 9 adds to the question who may be Primary: several peers, quorum, diskless clients.

use super::*;
use crate::observed::{DryRun, Needs};
use crate::record::Record;
use crate::tools::drbdsetup::{
    ConfOption, ConnectionStatus, PeerDeviceStatus, ReplicationState, RunningResource,
};
use crate::tools::lvm::{Filter, LvmReport};
use drbd_schemas::args::{self, Args, Module};
use drbd_schemas::facts::DrbdFacts;
use serde_json::json;

fn connection(node_id: u8, name: &str, state: &str, role: &str, disk: &str) -> ConnectionStatus {
    ConnectionStatus {
        peer_node_id: Some(node_id),
        name: Some(name.into()),
        connection_state: ConnectionState::parse(state),
        peer_role: RoleName::parse(role),
        paths: Vec::new(),
        peer_devices: vec![PeerDeviceStatus {
            volume: 0,
            replication_state: ReplicationState::Established,
            peer_disk_state: DiskState::parse(disk),
            peer_client: Some(false),
            resync_suspended: Vec::new(),
            out_of_sync_kib: Some(0),
            done: None,
        }],
    }
}

/// n1 of three, Secondary; `options` as `drbdsetup show` prints them.
fn seen(
    disk: &str,
    client: bool,
    quorum: bool,
    connections: Vec<ConnectionStatus>,
    options: &[(&str, &str)],
) -> Seen {
    let device = DeviceStatus {
        volume: 0,
        minor: 10,
        disk_state: DiskState::parse(disk),
        client: Some(client),
        quorum: Some(quorum),
        size_kib: Some(65_484),
        open: None,
    };
    let status = ResourceStatus {
        name: "r0".into(),
        node_id: Some(0),
        role: RoleName::Secondary,
        suspended: Vec::new(),
        devices: vec![device],
        connections,
    };
    let option = |(name, value): &(&str, &str)| ConfOption {
        section: "options".into(),
        name: (*name).into(),
        value: (*value).into(),
    };
    let running = RunningResource {
        name: "r0".into(),
        node_id: Some(0),
        options: options.iter().map(option).collect(),
        volumes: Vec::new(),
        connections: Vec::new(),
    };
    let observed = Observed {
        node: "n1".into(),
        drbd: DrbdFacts { module: Some("9.2.18".into()), loadable: None, utils: Some("9.22.0".into()) },
        record: Record::default(),
        config: None,
        conf: crate::conf::OnHost::default(),
        claims: Vec::new(),
        listening: Vec::new(),
        needs: Needs::default(),
        status: Some(status),
        running: Some(running),
        devices: BTreeMap::new(),
        lvm: LvmReport::default(),
        lvm_filter: Filter::default(),
        dry_run: DryRun::NotAsked,
    };
    let volumes = [(0, Use::default())].into();
    Seen { observed, volumes, mounts: Vec::new(), missing_dirs: Vec::new(), only_peer: None }
}

fn promote(seen: &Seen) -> Result<Vec<&'static str>, Refusal> {
    let value = json!({ "name": "r0", "role": "primary" });
    let Ok(Args::Role(args)) = args::parse(Module::DrbdRole, value) else { unreachable!() };
    let plan = plan(&args, seen, &Permits::default())?;
    Ok(plan.steps.iter().map(|planned| planned.step.name()).collect())
}

fn n2(state: &str, role: &str) -> ConnectionStatus {
    connection(1, "n2", state, role, "UpToDate")
}

fn n3(state: &str) -> ConnectionStatus {
    connection(2, "n3", state, "Secondary", "UpToDate")
}

#[test]
fn a_peer_that_is_away_needs_a_consent_unless_quorum_is_on_and_held() {
    let peers = || vec![n2("Connected", "Secondary"), n3("Connecting")];
    let refused = promote(&seen("UpToDate", false, true, peers(), &[])).unwrap_err();
    assert_eq!(refused.code, Code::ConsentNeeded);
    assert!(refused.message.contains("n3 (Connecting)") && !refused.message.contains("n2"), "{refused}");
    let majority = [("quorum", "majority")];
    assert_eq!(promote(&seen("UpToDate", false, true, peers(), &majority)).unwrap(), ["promote"]);
    let lost = promote(&seen("UpToDate", false, false, peers(), &majority)).unwrap_err();
    assert_eq!(lost.code, Code::ConsentNeeded, "the quorum is lost");
    let off = promote(&seen("UpToDate", false, true, peers(), &[("quorum", "off")])).unwrap_err();
    assert_eq!(off.code, Code::ConsentNeeded, "without quorum the kernel prints quorum:yes, too");
}

#[test]
fn a_diskless_client_uses_its_peers_data_and_a_lost_disk_does_not() {
    let peers = || vec![n2("Connected", "Secondary"), n3("Connected")];
    assert_eq!(promote(&seen("Diskless", true, true, peers(), &[])).unwrap(), ["promote"]);
    let lost = promote(&seen("Diskless", false, true, peers(), &[])).unwrap_err();
    assert!(lost.message.contains("Diskless on n1, not UpToDate"), "{lost}");
    let behind = promote(&seen("Inconsistent", false, true, peers(), &[])).unwrap_err();
    assert!(behind.next_steps.iter().any(|step| step.contains("drbd_wait")), "{:?}", behind.next_steps);
}

#[test]
fn another_primary_is_named_and_allowed_only_where_two_are() {
    let peers = || vec![n2("Connected", "Primary"), n3("Connected")];
    let refused = promote(&seen("UpToDate", false, true, peers(), &[("quorum", "majority")])).unwrap_err();
    assert_eq!(refused.code, Code::InUse);
    assert!(refused.message.contains("Primary on n2"), "{refused}");
    let two = [("allow-two-primaries", "yes")];
    assert_eq!(promote(&seen("UpToDate", false, true, peers(), &two)).unwrap(), ["promote"]);
}
