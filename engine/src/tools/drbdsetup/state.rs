// SPDX-License-Identifier: MPL-2.0
//! DRBD's own words for roles and states. Not here: what they mean for a plan.

use crate::tools::words::words;

words! {
    /// Role of a node in a resource.
    RoleName {
        /// May write.
        Primary = "Primary",
        /// Receives only.
        Secondary = "Secondary",
        /// The peer is not connected.
        Unknown = "Unknown",
    }
}

words! {
    /// State of a replica's disk, one's own or a peer's.
    DiskState {
        /// No backing device attached.
        Diskless = "Diskless",
        /// Metadata is being read.
        Attaching = "Attaching",
        /// On its way to diskless.
        Detaching = "Detaching",
        /// An I/O error was reported; next is diskless.
        Failed = "Failed",
        /// Attached, waiting for the peers' word on whose data is good.
        Negotiating = "Negotiating",
        /// Not usable by itself: never synced, or a sync is on its way.
        Inconsistent = "Inconsistent",
        /// Complete, but known to be old.
        Outdated = "Outdated",
        /// Unknown, the peer is not connected.
        DUnknown = "DUnknown",
        /// Complete; whether it is the newest is not known without a peer.
        Consistent = "Consistent",
        /// The newest data.
        UpToDate = "UpToDate",
    }
}

words! {
    /// State of the connection to one peer. DRBD 8.4 reports the same words through `events2`; its `/proc/drbd`
    /// calls `Connecting` `WFConnection`.
    ConnectionState {
        /// Not trying to connect: by hand, or after a split brain or a rejected handshake.
        StandAlone = "StandAlone",
        /// On its way to `StandAlone`.
        Disconnecting = "Disconnecting",
        /// About to connect again.
        Unconnected = "Unconnected",
        /// The peer did not answer in time.
        Timeout = "Timeout",
        /// The connection broke.
        BrokenPipe = "BrokenPipe",
        /// The network failed.
        NetworkFailure = "NetworkFailure",
        /// The peer spoke nonsense.
        ProtocolError = "ProtocolError",
        /// The peer is closing the connection.
        TearDown = "TearDown",
        /// Waiting for the peer.
        Connecting = "Connecting",
        /// Connected.
        Connected = "Connected",
    }
}

words! {
    /// State of replication of one volume to one peer.
    ReplicationState {
        /// Not connected.
        Off = "Off",
        /// In sync, or nothing is being synced.
        Established = "Established",
        /// A full sync as source starts.
        StartingSyncS = "StartingSyncS",
        /// A full sync as target starts.
        StartingSyncT = "StartingSyncT",
        /// Bitmaps are exchanged, this node will be source.
        WFBitMapS = "WFBitMapS",
        /// Bitmaps are exchanged, this node will be target.
        WFBitMapT = "WFBitMapT",
        /// Waiting for the source to begin.
        WFSyncUUID = "WFSyncUUID",
        /// This node sends.
        SyncSource = "SyncSource",
        /// This node receives.
        SyncTarget = "SyncTarget",
        /// Online verify, source.
        VerifyS = "VerifyS",
        /// Online verify, target.
        VerifyT = "VerifyT",
        /// A sync as source, paused.
        PausedSyncS = "PausedSyncS",
        /// A sync as target, paused.
        PausedSyncT = "PausedSyncT",
        /// Congested: changes are only marked.
        Ahead = "Ahead",
        /// The peer is congested.
        Behind = "Behind",
    }
}

impl ReplicationState {
    /// Whether blocks are owed in one direction and the amount done is known: a sync that runs or is paused.
    pub fn is_resync(&self) -> bool {
        matches!(self, Self::SyncSource | Self::SyncTarget | Self::PausedSyncS | Self::PausedSyncT)
    }
}

words! {
    /// Why a resource has suspended I/O.
    SuspendReason {
        /// By hand (`suspend-io`).
        User = "user",
        /// No access to good data and `on-no-data-accessible suspend-io`.
        NoData = "no-data",
        /// A fencing handler is running.
        Fencing = "fencing",
        /// Quorum is lost and `on-no-quorum suspend-io`.
        Quorum = "quorum",
    }
}

words! {
    /// Why the sync with a peer is paused.
    SyncSuspendReason {
        /// Paused on this node (`pause-sync`).
        User = "user",
        /// Paused on the peer.
        Peer = "peer",
        /// Waits for another sync (`resync-after`, or another peer).
        Dependency = "dependency",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_survives_parse_and_print() {
        for word in DiskState::KNOWN {
            assert!(!matches!(DiskState::parse(word), DiskState::Unrecognised(_)), "{word}");
            assert_eq!(DiskState::parse(word).as_str(), *word);
        }
    }

    #[test]
    fn a_new_word_is_kept_as_it_was_printed() {
        let state = ReplicationState::parse("SyncSideways");
        assert_eq!(state, ReplicationState::Unrecognised("SyncSideways".to_owned()));
        assert_eq!(state.to_string(), "SyncSideways");
    }
}
