// SPDX-License-Identifier: MPL-2.0
//! The commands that `drbdadm -d` can print, as values. Not here: reading them (see `adjust`), and which of them
//! are dangerous.

/// One printed command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdjustStep {
    /// What it would do.
    pub command: AdjustCommand,
    /// The line as printed, secrets masked.
    pub text: String,
}

/// What a printed command would do to the running kernel or to metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdjustCommand {
    /// The resource does not exist in the kernel yet. `node_id` is `None` on DRBD 8.4.
    NewResource {
        /// Resource.
        resource: String,
        /// Own node-id.
        node_id: Option<u8>,
        /// Resource options.
        options: Vec<CommandOption>,
    },
    /// A volume gets its device.
    NewMinor {
        /// Resource.
        resource: String,
        /// Minor number.
        minor: u32,
        /// Volume number.
        volume: u16,
    },
    /// `drbdmeta repair-md`, before an attach (drbd-utils 9.33 and later).
    RepairMd {
        /// Minor number.
        minor: u32,
        /// Device that holds the metadata.
        device: String,
    },
    /// `drbdmeta apply-al`, before an attach.
    ApplyAl {
        /// Minor number.
        minor: u32,
        /// Device that holds the metadata.
        device: String,
    },
    /// A backing device is attached.
    Attach {
        /// Minor number.
        minor: u32,
        /// Backing device.
        disk: String,
        /// Device that holds the metadata; the backing device itself for internal metadata.
        meta_disk: String,
        /// `internal`, `flexible`, or a slot number.
        meta_index: String,
        /// Disk options.
        options: Vec<CommandOption>,
    },
    /// A backing device is detached: its data goes out of use.
    Detach {
        /// Minor number.
        minor: u32,
        /// Whether the device becomes an intentional client by it (`--diskless`, DRBD 9).
        diskless: bool,
    },
    /// A peer gets known.
    NewPeer {
        /// Resource.
        resource: String,
        /// The peer's node-id.
        peer_node_id: u8,
        /// The peer's host name.
        name: Option<String>,
        /// Net options.
        options: Vec<CommandOption>,
    },
    /// An address pair gets added to a connection.
    NewPath {
        /// Resource.
        resource: String,
        /// The peer's node-id.
        peer_node_id: u8,
        /// Own address, `ipv4:192.0.2.1:7788`.
        local: String,
        /// The peer's address.
        remote: String,
    },
    /// An address pair is taken from a connection.
    DelPath {
        /// Resource.
        resource: String,
        /// The peer's node-id.
        peer_node_id: u8,
        /// Own address.
        local: String,
        /// The peer's address.
        remote: String,
    },
    /// A connection is started.
    Connect {
        /// Resource.
        resource: String,
        /// The peer.
        peer: PeerRef,
        /// Net options (DRBD 8.4 gives them here).
        options: Vec<CommandOption>,
    },
    /// Waits a moment for a connection that was started again, before the next one is interrupted: the Primary keeps its quorum
    /// (drbd-utils 9.32 and later, `adjust_conn` in `user/v9/drbdadm_adjust.c`). Changes nothing.
    WaitConnect {
        /// The peer.
        peer: PeerRef,
    },
    /// A connection is ended.
    Disconnect {
        /// The peer.
        peer: PeerRef,
    },
    /// A peer is dropped.
    DelPeer {
        /// Resource.
        resource: String,
        /// The peer's node-id.
        peer_node_id: u8,
    },
    /// A volume loses its device. On DRBD 9 it blocks for ever in the kernel while the device is open.
    DelMinor {
        /// Minor number.
        minor: u32,
    },
    /// Net options of a connection change.
    NetOptions {
        /// The peer.
        peer: PeerRef,
        /// All of them; with `set-defaults` first, those not named go back to default.
        options: Vec<CommandOption>,
    },
    /// Disk options of a device change.
    DiskOptions {
        /// Minor number.
        minor: u32,
        /// All of them.
        options: Vec<CommandOption>,
    },
    /// Resource options change.
    ResourceOptions {
        /// Resource.
        resource: String,
        /// All of them.
        options: Vec<CommandOption>,
    },
    /// Options of one volume on one connection change (DRBD 9).
    PeerDeviceOptions {
        /// Resource.
        resource: String,
        /// The peer's node-id.
        peer_node_id: u8,
        /// Volume number.
        volume: u16,
        /// All of them.
        options: Vec<CommandOption>,
    },
    /// The device takes the size that its backing devices allow now.
    Resize {
        /// Minor number.
        minor: u32,
        /// `assume-clean`, `size`.
        options: Vec<CommandOption>,
    },
    /// The place of the metadata is noted down, after a resize.
    CheckResize {
        /// Minor number.
        minor: u32,
    },
    /// A whole resource is taken down.
    Down {
        /// Resource.
        resource: String,
    },
    /// A command that this version does not know: the line as printed, secrets masked.
    Unrecognised(String),
}

/// How a command names the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerRef {
    /// DRBD 9.
    NodeId {
        /// Resource.
        resource: String,
        /// The peer's node-id.
        peer_node_id: u8,
    },
    /// DRBD 8.4.
    Addresses {
        /// Own address, `ipv4:192.0.2.1:7788`.
        local: String,
        /// The peer's address; `N/A` when the file has more than two hosts.
        remote: String,
    },
}

/// One `--name=value` or `--name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandOption {
    /// Name without the dashes.
    pub name: String,
    /// Value; that of `shared-secret` is masked. `None` for a flag.
    pub value: Option<String>,
}
