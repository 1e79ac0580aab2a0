// SPDX-License-Identifier: MPL-2.0
//! `drbdsetup`: what the kernel runs right now. Status of all resources (DRBD 9: `status --json`; DRBD 8.4:
//! `events2 --now --statistics`, because 8.4 has no JSON) as one [`ResourceStatus`] for both families, and the
//! running configuration (`show`). Not here: changes of state that go through the configuration files (see `drbdadm`).

mod events2;
mod show;
mod state;
mod status;
mod status_json;

pub use show::{
    ConfOption, MetaDisk, RunningConnection, RunningDisk, RunningPath, RunningPeerVolume, RunningResource,
    RunningVolume,
};
pub use state::{ConnectionState, DiskState, ReplicationState, RoleName, SuspendReason, SyncSuspendReason};
pub use status::{ConnectionStatus, DeviceStatus, PathStatus, PeerDeviceStatus, ResourceStatus};

use crate::host::{Cmd, Output};
use crate::tools::{Family, ToolError};

/// The program's name.
pub const PROGRAM: &str = "drbdsetup";

/// Status of all resources that are up, in one go.
///
/// Any `drbdsetup` call loads the kernel module when it can; a caller that must not change the host looks for
/// `/proc/drbd` first.
pub fn status(family: Family) -> Cmd {
    match family {
        Family::V9 => Cmd::new(PROGRAM, ["status", "--json"]),
        Family::V84 => Cmd::new(PROGRAM, ["events2", "--now", "--statistics"]),
    }
}

/// Reads the answer to [`status`] of the same family; an empty list when nothing is up.
pub fn parse_status(family: Family, output: &Output) -> Result<Vec<ResourceStatus>, ToolError> {
    if !output.ok() {
        return Err(ToolError::ended(PROGRAM, output, "exit 0"));
    }
    match family {
        Family::V9 => status_json::parse(&output.stdout),
        Family::V84 => events2::parse(&output.stdout),
    }
}

/// Running configuration of all resources that are up. Its output holds the shared secret in clear.
pub fn show() -> Cmd {
    Cmd::new(PROGRAM, ["show"])
}

/// Reads the answer to [`show`], both families; secrets are masked the moment they are read.
pub fn parse_show(output: &Output) -> Result<Vec<RunningResource>, ToolError> {
    if !output.ok() {
        return Err(ToolError::ended(PROGRAM, output, "exit 0"));
    }
    show::parse(&output.stdout)
}

/// Takes down a resource that the kernel knows but no configuration file names any more.
///
/// Exit 0 also when it is not up; refused (exit 11, nothing changed) while a device of it is open.
pub fn down(resource: &str) -> Cmd {
    Cmd::new(PROGRAM, ["down", resource])
}

/// Makes this node Primary in a resource that no configuration file names.
pub fn primary(family: Family, resource: &ResourceStatus) -> Vec<Cmd> {
    change_role("primary", family, resource)
}

/// Makes this node Secondary in a resource that no configuration file names. Exit 11 while a device is open.
pub fn secondary(family: Family, resource: &ResourceStatus) -> Vec<Cmd> {
    change_role("secondary", family, resource)
}

/// 8.4 has a role for each minor, 9 one for the resource.
fn change_role(verb: &str, family: Family, resource: &ResourceStatus) -> Vec<Cmd> {
    let targets: Vec<String> = match family {
        Family::V84 => resource.devices.iter().map(|device| device.minor.to_string()).collect(),
        Family::V9 => vec![resource.name.clone()],
    };
    targets.into_iter().map(|target| Cmd::new(PROGRAM, [verb.to_owned(), target])).collect()
}

/// Throws away this node's data of one volume: a full sync from a peer follows. Refused when the device is not
/// up (127), unlike `drbdadm invalidate`, which then marks the metadata Inconsistent and exits 0.
pub fn invalidate(minor: u32) -> Cmd {
    Cmd::new(PROGRAM, ["invalidate".to_owned(), minor.to_string()])
}

/// Drops the connection to a peer, whether or not it is connected (DRBD 9 only). Refused while that would leave this node without
/// access to good data.
pub fn del_peer(resource: &str, peer_node_id: u8) -> Cmd {
    Cmd::new(PROGRAM, ["del-peer".to_owned(), resource.to_owned(), peer_node_id.to_string()])
}

/// Makes this node forget a former peer, which frees that peer's bitmap slot and node-id (DRBD 9 only).
///
/// Refused with (125) while a connection to that node-id is still configured.
pub fn forget_peer(resource: &str, peer_node_id: u8) -> Cmd {
    Cmd::new(PROGRAM, ["forget-peer".to_owned(), resource.to_owned(), peer_node_id.to_string()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::samples::{self, Sample};

    fn family(sample: &Sample) -> Family {
        if sample.version.starts_with("8.4") { Family::V84 } else { Family::V9 }
    }

    fn status_of(version: &str, name: &str) -> Vec<ResourceStatus> {
        let sample = samples::one("drbdsetup", version, name);
        parse_status(family(&sample), &sample.output).unwrap()
    }

    /// Every parser over every sample: it reads its own and refuses all others.
    #[test]
    fn each_parser_reads_its_own_samples_only() {
        for sample in samples::of_tool("drbdsetup") {
            let words: Vec<&str> = sample.command.split_whitespace().collect();
            let done = sample.output.ok();
            let json = words.contains(&"--json");
            let is_status_9 = json && words.contains(&"status");
            let is_events = words.contains(&"events2") && !words.contains(&"--timestamps");
            let is_show = words.contains(&"show") && !json;
            for (family, own) in [(Family::V9, is_status_9), (Family::V84, is_events)] {
                let read = parse_status(family, &sample.output);
                assert_eq!(read.is_ok(), own && done, "{family}: {}: {read:?}", sample.name);
            }
            // An empty text is an empty configuration, so what has no output looks like `show` of nothing.
            if done && !sample.output.stdout.trim().is_empty() {
                let read = parse_show(&sample.output);
                assert_eq!(read.is_ok(), is_show, "show: {}: {read:?}", sample.name);
            }
        }
    }

    #[test]
    fn no_sample_holds_a_word_that_is_not_known() {
        for sample in samples::of_tool("drbdsetup") {
            let text = format!("{:?}", parse_status(family(&sample), &sample.output));
            assert!(!text.contains("Unrecognised"), "{}: {text}", sample.name);
        }
    }

    #[test]
    fn drbd9_first_node_alone_is_inconsistent_and_connecting() {
        let resources = status_of("9.2.18-utils-9.22", "status-json-n1-up-alone-connecting");
        let [resource] = resources.as_slice() else { panic!("{resources:?}") };
        assert_eq!((resource.name.as_str(), resource.node_id), ("r0", Some(0)));
        assert_eq!(resource.role, RoleName::Secondary);
        assert_eq!(resource.devices[0].minor, 10);
        assert_eq!(resource.devices[0].size_kib, Some(65484));
        assert_eq!(resource.devices[0].open, None);
        let names: Vec<_> =
            resource.connections.iter().map(|c| (c.peer_node_id, c.name.as_deref())).collect();
        assert_eq!(names, [(Some(1), Some("n2")), (Some(2), Some("n3"))]);
        assert_eq!(resource.connections[0].connection_state, ConnectionState::Connecting);
        assert_eq!(resource.connections[0].peer_devices[0].out_of_sync_kib, Some(65484));
    }

    #[test]
    fn drbd9_without_quorum_says_so() {
        let resources = status_of("9.2.18-utils-9.22", "status-json-n1-primary-mounted-loses-both-peers");
        assert_eq!(resources[0].role, RoleName::Primary);
        assert_eq!(resources[0].devices[0].quorum, Some(false));
    }

    #[test]
    fn newer_utils_tell_paths_and_whether_the_device_is_open() {
        let sample = samples::of_tool("drbdsetup")
            .into_iter()
            .find(|s| s.version.ends_with("9.34") && s.command == "drbdsetup status r0 --json")
            .unwrap();
        let resources = parse_status(Family::V9, &sample.output).unwrap();
        assert_eq!(resources[0].devices[0].open, Some(false));
        let path = &resources[0].connections[0].paths[0];
        assert_eq!((path.local.as_str(), path.peer.as_str()), ("ipv4:10.9.9.1:7788", "ipv4:10.9.9.2:7788"));
        assert!(path.established);
    }

    #[test]
    fn drbd84_full_sync_is_seen_from_both_ends() {
        let source = status_of("8.4.11-utils-9.22", "events2-full-sync-source");
        let target = status_of("8.4.11-utils-9.22", "events2-full-sync-target");
        for (resources, state) in
            [(&source, ReplicationState::SyncSource), (&target, ReplicationState::SyncTarget)]
        {
            let [resource] = resources.as_slice() else { panic!("{resources:?}") };
            assert_eq!(resource.devices.len(), 2);
            let [connection] = resource.connections.as_slice() else { panic!("{resource:?}") };
            assert_eq!((connection.peer_node_id, connection.name.as_deref()), (None, None));
            for peer_device in &connection.peer_devices {
                assert_eq!(peer_device.replication_state, state);
                assert!(peer_device.done.is_some());
            }
        }
        // (131032 - 124256) / 131032
        assert_eq!(source[0].connections[0].peer_devices[0].done.unwrap().to_string(), "5.17");
    }

    #[test]
    fn drbd84_disconnected_by_hand_is_standalone() {
        let resources = status_of("8.4.11-utils-9.22", "events2-standalone");
        let connection = &resources[0].connections[0];
        assert_eq!(connection.connection_state, ConnectionState::StandAlone);
        assert_eq!(connection.peer_devices[0].done, None);
        assert_eq!(status_of("8.4.11-utils-9.22", "events2-nothing-configured"), []);
    }

    #[test]
    fn running_configuration_of_both_families_is_read() {
        let sample = samples::one("drbdsetup", "9.2.18-utils-9.22", "show-n1-up-alone-connecting");
        let resource = parse_show(&sample.output).unwrap().remove(0);
        assert_eq!((resource.name.as_str(), resource.node_id), ("r0", Some(0)));
        assert_eq!(resource.connections[1].name.as_deref(), Some("n3"));
        assert_eq!(resource.connections[1].paths[0].remote, "ipv4 10.9.9.3:7788");
        assert_eq!(
            resource.volumes[0].disk,
            RunningDisk::Attached { device: "/dev/vg0/r0".to_owned(), meta_disk: MetaDisk::Internal }
        );

        let sample = samples::one("drbdsetup", "8.4.11-utils-9.22", "show-running");
        let resource = parse_show(&sample.output).unwrap().remove(0);
        assert_eq!(resource.node_id, None);
        assert_eq!(resource.volumes[1].minor, 1);
        assert_eq!(resource.volumes[0].options[0].name, "resync-rate");
        assert_eq!(resource.volumes[0].options[0].value, "6144k");
        assert_eq!(resource.connections[0].paths[0].local, "ipv4 10.96.0.11:7788");

        let sample = samples::one("drbdsetup", "8.4.11-utils-9.22", "show-standalone");
        assert_eq!(parse_show(&sample.output).unwrap()[0].connections, []);
    }

    #[test]
    fn drbd84_half_up_detached_and_paused_are_told_apart() {
        let half_up = status_of("8.4.11-utils-9.22", "events2-two-resources-one-half-up").remove(1);
        assert_eq!(half_up.name, "r5");
        assert_eq!(half_up.devices[0].disk_state, DiskState::Diskless);
        assert_eq!(half_up.connections[0].connection_state, ConnectionState::StandAlone);

        let detached = status_of("8.4.11-utils-9.22", "events2-detached-volume").remove(0);
        assert_eq!(detached.devices[1].disk_state, DiskState::Diskless);
        assert_eq!(detached.connections[0].connection_state, ConnectionState::Connected);
        let sample = samples::one("drbdsetup", "8.4.11-utils-9.22", "show-detached-volume");
        assert_eq!(parse_show(&sample.output).unwrap()[0].volumes[1].disk, RunningDisk::Detached);

        let paused = status_of("8.4.11-utils-9.22", "events2-paused-sync").remove(0);
        let volume = &paused.connections[0].peer_devices[0];
        assert_eq!(volume.replication_state, ReplicationState::PausedSyncT);
        assert_eq!(volume.resync_suspended, [SyncSuspendReason::User]);
        assert_eq!(volume.done, Some(crate::tools::Percent::of_hundredths(0)));
    }

    #[test]
    fn no_secret_of_any_sample_gets_through() {
        let mut with_secret = 0;
        for sample in samples::of_tool("drbdsetup").into_iter().chain(samples::of_tool("drbdadm")) {
            let output = &sample.output;
            let read = format!(
                "{:?}{:?}{:?}{:?}{:?}{}",
                parse_show(output),
                parse_status(Family::V84, output),
                parse_status(Family::V9, output),
                crate::tools::drbdadm::parse_adjust_dry_run(output),
                crate::tools::drbdadm::classify(output),
                crate::tools::mask_secrets(&output.stdout),
            );
            for secret in ["abc", "xyz", "ab c", "ab\\ c"] {
                with_secret += usize::from(output.stdout.contains(secret));
                assert!(!read.contains(secret), "{}/{}: {read}", sample.version, sample.name);
            }
        }
        assert!(with_secret > 5, "{with_secret}");
    }
}
