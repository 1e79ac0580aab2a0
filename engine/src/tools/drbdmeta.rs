// SPDX-License-Identifier: MPL-2.0
//! `drbdmeta`: asks a device that is not attached for its generation identifiers (GI), without any configuration, and
//! creates metadata. Not here: `dump-md`, which fails on good metadata that was once attached ("unclean").
//!
//! Metadata are created in the two steps in which `drbdadm create-md` does it (`adm_create_md` of drbd-utils), with the
//! very device that was looked at named in place of whatever the configuration says by then; and without its usage count,
//! which asks on a terminal or calls a host on the Internet. Should file and device ever disagree, `adjust` finds no
//! metadata where the file points, and nothing is lost.

use std::fmt;

use crate::host::{Cmd, Output};
use crate::step::Minor;
use crate::tools::{Family, ToolError};

/// The program's name.
pub const PROGRAM: &str = "drbdmeta";

/// Current UUID of metadata that was created and never used, whatever the family.
const JUST_CREATED: u64 = 4;

/// Asks for the GI of internal metadata on `device`.
///
/// The device must not be attached or otherwise held: then it is exit 20 (`Device or resource busy`), and
/// [`drbdadm::get_gi`](super::drbdadm::get_gi) is the question. No minor is named (`-`): drbdmeta would ask the
/// kernel whether that minor is attached, and the question alone loads the module. `peer_node_id` (0 to 31, DRBD 9
/// only) chooses whose bitmap UUID and peer flags are printed; the current UUID is the node's own and always the same.
pub fn get_gi(family: Family, device: &str, peer_node_id: u8) -> Cmd {
    let mut args: Vec<String> = vec![
        "-".to_owned(),
        family.metadata_format().to_owned(),
        device.to_owned(),
        "internal".to_owned(),
        "get-gi".to_owned(),
    ];
    if family == Family::V9 {
        args.extend(["--node-id".to_owned(), peer_node_id.to_string()]);
    }
    Cmd::new(PROGRAM, args)
}

/// Reads the answer to [`get_gi`]: `None` when there is no metadata **of the format asked for at its place**.
///
/// That is not yet "blank": the device may hold the other format, anything else, or metadata whose device grew
/// while DRBD was down (see [`LastKnownDevice`]).
pub fn parse_get_gi(output: &Output) -> Result<Option<GenerationId>, ToolError> {
    match (output.code(), output.stdout.trim()) {
        (Some(0), line) => parse_line(line).map(Some),
        // drbd-utils 9.22 exit 1, 9.34 exit 255.
        (Some(1 | 255), "") if only_nothing_found(&output.stderr) => Ok(None),
        _ => Err(ToolError::ended(PROGRAM, output, "exit 0 with a line, or 1 or 255 without metadata")),
    }
}

/// What `create-md` may overwrite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overwrite {
    /// Nothing: metadata or data that drbdmeta notices (it looks at the first part of the device and at the place
    /// of the metadata only) is exit 1, or 40 when it would be cut.
    Nothing,
    /// Anything but data that would be cut. Only for a device that was proven blank in the same run: it also
    /// overwrites good metadata, and that of a mounted device with exit 0.
    ProvenBlank,
}

/// Writes fresh metadata. The node is "just created" after it, and the metadata have no device UUID
/// ([`write_dev_uuid`]).
///
/// `peer_slots`: peers to reserve room for, 1 to 31; DRBD 9 needs it, DRBD 8.4 has none.
pub fn create_md(minor: Minor, device: &str, peer_slots: Option<u8>, overwrite: Overwrite) -> Cmd {
    let slots = peer_slots.map(|slots| slots.to_string());
    let mut words = vec!["create-md"];
    words.extend(slots.as_deref());
    if overwrite == Overwrite::ProvenBlank {
        words.push("--force");
    }
    modify(minor, device, &words)
}

/// Gives metadata their device UUID: 16 hexadecimal digits, not all zero. By it DRBD knows metadata again whose device
/// grew while it was down, and we know what we made. Refused where there are no metadata.
pub fn write_dev_uuid(minor: Minor, device: &str, uuid: &str) -> Cmd {
    modify(minor, device, &["write-dev-uuid", uuid])
}

/// The minor is named: drbdmeta asks the kernel whether it is attached, and refuses then.
fn modify(minor: Minor, device: &str, words: &[&str]) -> Cmd {
    let number = minor.number.to_string();
    let place = [number.as_str(), minor.family.metadata_format(), device, "internal"];
    Cmd::new(PROGRAM, place.iter().chain(words).copied())
}

/// Where DRBD last saw the metadata of a minor, as noted in `/var/lib/drbd/drbd-minor-N.lkbd`: when the device
/// has another size now, internal metadata is not at the end but where the end was, and `adjust` moves it there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastKnownDevice {
    /// Size of the device then, in bytes.
    pub size_bytes: u64,
    /// Its path then.
    pub device: String,
    /// UUID of the device in the metadata (`device-uuid`), as [`DataUuid`] prints it.
    pub device_uuid: Option<String>,
}

/// Reads the text of `/var/lib/drbd/drbd-minor-N.lkbd`.
///
/// # Errors
///
/// [`ToolError`] when the first line is not a size and a path.
pub fn parse_last_known_device(text: &str) -> Result<LastKnownDevice, ToolError> {
    let first = text.lines().next().unwrap_or_default();
    let (size, device) = first
        .split_once('\t')
        .ok_or_else(|| ToolError::malformed(PROGRAM, "lkbd file", "a size, a tab, and a path", first))?;
    let size_bytes =
        size.parse().map_err(|_| ToolError::bad(PROGRAM, "lkbd size", size, "a number of bytes", first))?;
    let uuid = text.lines().find_map(|line| line.strip_prefix("uuid:"));
    Ok(LastKnownDevice {
        size_bytes,
        device: device.trim().to_owned(),
        device_uuid: uuid.map(|uuid| uuid.trim().to_owned()),
    })
}

/// Whether `drbdmeta` says no more than that there is nothing. Anything else (`strange bm_offset`, an I/O error)
/// means that there may be metadata that it could not read.
pub(super) fn only_nothing_found(stderr: &str) -> bool {
    stderr.lines().map(str::trim).all(|line| {
        // The second is what drbdadm adds to anything that is not exit 1.
        line.is_empty()
            || line == "No valid meta data found"
            || line.ends_with("terminated with exit code 255")
    })
}

/// Generation identifiers of a replica, as far as one peer is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenerationId {
    /// Current data generation.
    pub current: DataUuid,
    /// Generation that the bitmap for the peer counts from; 0 when in sync.
    pub bitmap: DataUuid,
    /// Former generations, youngest first.
    pub history: [DataUuid; 2],
    /// Flags.
    pub flags: GiFlags,
}

impl GenerationId {
    /// Whether this metadata was created and never used: no data generation, no peer ever seen with data.
    pub fn is_just_created(&self) -> bool {
        self.current.0 == JUST_CREATED
    }

    /// Whether both hold the same data generation. A just created replica has none.
    pub fn same_generation(&self, other: &Self) -> bool {
        !self.is_just_created() && self.current.generation() == other.current.generation()
    }
}

/// One data generation UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DataUuid(pub u64);

impl DataUuid {
    /// The generation: bit 0 only says that the node is (or was) Primary.
    pub fn generation(self) -> u64 {
        self.0 & !1
    }
}

impl fmt::Display for DataUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016X}", self.0)
    }
}

/// Flags of a replica. `None`: this metadata format has no such flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GiFlags {
    /// The data is consistent.
    pub consistent: bool,
    /// The data was up to date when last attached.
    pub was_up_to_date: bool,
    /// The node was Primary.
    pub primary: bool,
    /// The node crashed as Primary and has not seen its peer since.
    pub crashed_primary: bool,
    /// The activity log is applied (v09).
    pub al_clean: Option<bool>,
    /// The activity log was switched off (v09).
    pub al_disabled: Option<bool>,
    /// The node was Primary when it lost quorum (v09).
    pub primary_lost_quorum: Option<bool>,
    /// The peer was connected.
    pub peer_connected: bool,
    /// The peer's disk was outdated or inconsistent.
    pub peer_outdated: bool,
    /// A fencing policy was in use (v09).
    pub peer_fencing: Option<bool>,
    /// A full sync was due.
    pub full_sync: bool,
    /// The peer was seen with a backing device at least once (v09).
    pub peer_device_seen: Option<bool>,
}

impl GiFlags {
    /// Flags in the order in which v08 prints them.
    fn v08(flags: [bool; 7]) -> Self {
        let [consistent, was_up_to_date, primary, peer_connected, full_sync, peer_outdated, crashed_primary] =
            flags;
        Self {
            consistent,
            was_up_to_date,
            primary,
            crashed_primary,
            al_clean: None,
            al_disabled: None,
            primary_lost_quorum: None,
            peer_connected,
            peer_outdated,
            peer_fencing: None,
            full_sync,
            peer_device_seen: None,
        }
    }

    /// Flags in the order in which v09 prints them: seven of the node, five of the peer.
    fn v09(node: [bool; 7], peer: [bool; 5]) -> Self {
        let [consistent, was_up_to_date, primary, crashed_primary, al_clean, al_disabled, lost_quorum] = node;
        let [peer_connected, peer_outdated, peer_fencing, full_sync, peer_device_seen] = peer;
        Self {
            consistent,
            was_up_to_date,
            primary,
            crashed_primary,
            al_clean: Some(al_clean),
            al_disabled: Some(al_disabled),
            primary_lost_quorum: Some(lost_quorum),
            peer_connected,
            peer_outdated,
            peer_fencing: Some(peer_fencing),
            full_sync,
            peer_device_seen: Some(peer_device_seen),
        }
    }
}

/// One GI line of either format: four UUIDs, then 7 flags (v08) or 12 (v09).
pub(super) fn parse_line(line: &str) -> Result<GenerationId, ToolError> {
    let malformed = || ToolError::malformed(PROGRAM, "get-gi", "four UUIDs and 7 or 12 flags", line);
    let mut fields = line.split(':');
    let mut uuid = || -> Result<DataUuid, ToolError> {
        let field = fields.next().ok_or_else(malformed)?;
        if field.len() != 16 {
            return Err(ToolError::bad(PROGRAM, "get-gi UUID", field, "16 hexadecimal digits", line));
        }
        u64::from_str_radix(field, 16)
            .map(DataUuid)
            .map_err(|_| ToolError::bad(PROGRAM, "get-gi UUID", field, "16 hexadecimal digits", line))
    };
    let (current, bitmap, history) = (uuid()?, uuid()?, [uuid()?, uuid()?]);
    let flags = fields
        .map(|field| match field {
            "0" => Ok(false),
            "1" => Ok(true),
            other => Err(ToolError::bad(PROGRAM, "get-gi flag", other, "`0` or `1`", line)),
        })
        .collect::<Result<Vec<bool>, ToolError>>()?;
    let flags = match *flags.as_slice() {
        [a, b, c, d, e, f, g] => GiFlags::v08([a, b, c, d, e, f, g]),
        [a, b, c, d, e, f, g, h, i, j, k, l] => GiFlags::v09([a, b, c, d, e, f, g], [h, i, j, k, l]),
        _ => return Err(malformed()),
    };
    Ok(GenerationId { current, bitmap, history, flags })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tools::samples;

    #[test]
    fn the_device_is_named_and_force_stands_only_where_it_is_asked_for() {
        let old = Minor { number: 1000, family: Family::V84 };
        let new = Minor { family: Family::V9, ..old };
        let device = "/dev/vg0/r0_00000";
        assert_eq!(
            create_md(old, device, None, Overwrite::Nothing).to_string(),
            "drbdmeta 1000 v08 /dev/vg0/r0_00000 internal create-md"
        );
        assert_eq!(
            create_md(new, device, Some(7), Overwrite::ProvenBlank).to_string(),
            "drbdmeta 1000 v09 /dev/vg0/r0_00000 internal create-md 7 --force"
        );
        assert_eq!(
            write_dev_uuid(new, device, "00000000000000A1").to_string(),
            "drbdmeta 1000 v09 /dev/vg0/r0_00000 internal write-dev-uuid 00000000000000A1"
        );
    }

    #[test]
    fn every_sample_is_read_as_what_it_is() {
        for sample in samples::of_tool("drbdmeta") {
            let is_get_gi = sample.command.contains("get-gi");
            let read = parse_get_gi(&sample.output);
            match (is_get_gi, sample.output.code()) {
                (true, Some(0)) => assert!(matches!(read, Ok(Some(_))), "{}: {read:?}", sample.name),
                (true, Some(1 | 255)) => assert_eq!(read, Ok(None), "{}", sample.name),
                (true, _) => assert!(read.is_err(), "{}: {read:?}", sample.name),
                // Another verb that says "No valid meta data found" says the same thing.
                (false, _) => assert!(!matches!(read, Ok(Some(_))), "{}: {read:?}", sample.name),
            }
        }
    }

    #[test]
    fn both_formats_are_read_with_their_flags() {
        let v08 =
            parse_line("752B76AEBB8D22BE:0000000000000000:0000000000000000:0000000000000000:1:1:0:1:0:0:0")
                .unwrap();
        assert_eq!(v08.current.to_string(), "752B76AEBB8D22BE");
        assert!(v08.flags.consistent && v08.flags.was_up_to_date && v08.flags.peer_connected);
        assert!(!v08.flags.primary && !v08.flags.crashed_primary);
        assert_eq!(v08.flags.al_clean, None);
        let v09 = parse_line(
            "87815C1669522F4A:0000000000000000:0000000000000000:0000000000000000:1:1:1:1:0:0:0:1:0:0:0:1",
        )
        .unwrap();
        assert!(v09.flags.crashed_primary && v09.flags.peer_connected && !v09.flags.full_sync);
        assert_eq!((v09.flags.al_clean, v09.flags.peer_device_seen), (Some(false), Some(true)));
    }

    #[test]
    fn the_note_of_a_last_known_device_is_read() {
        let note = parse_last_known_device("134217728\t/dev/vg0/r0\nuuid:\t6D9E048C0D60E276\n").unwrap();
        assert_eq!((note.size_bytes, note.device.as_str()), (134_217_728, "/dev/vg0/r0"));
        assert_eq!(note.device_uuid.as_deref(), Some("6D9E048C0D60E276"));
        assert!(parse_last_known_device("").is_err());
        assert!(parse_last_known_device("x\t/dev/vg0/r0").is_err());
    }

    #[test]
    fn just_created_is_told_from_used() {
        let gi =
            |uuid: &str| parse_line(&format!("{uuid}:{0}:{0}:{0}:0:0:0:0:0:0:0", "0".repeat(16))).unwrap();
        let created = gi("0000000000000004");
        assert!(created.is_just_created());
        assert!(!created.same_generation(&created));
        let (secondary, primary) = (gi("C887D765507C3140"), gi("C887D765507C3141"));
        assert!(!secondary.is_just_created());
        assert!(secondary.same_generation(&primary));
    }

    #[test]
    fn no_metadata_busy_and_nonsense_are_three_answers() {
        assert_eq!(parse_get_gi(&Output::of(1, "", "")), Ok(None));
        let busy =
            Output::of(20, "Operation canceled.\n", "open(/dev/vg0/r0) failed: Device or resource busy\n");
        assert!(parse_get_gi(&busy).unwrap_err().to_string().contains("resource busy"));
        assert!(parse_get_gi(&Output::of(0, "", "")).is_err());
        for unreadable in
            ["strange bm_offset -112 (expected: -80)", "pread(5,...) failed: Input/output error"]
        {
            assert!(parse_get_gi(&Output::of(1, "", unreadable)).is_err(), "{unreadable}");
        }
    }

    proptest! {
        #[test]
        fn any_line_is_refused_or_read(line in any::<String>(), code in 0..3) {
            let _ = parse_line(&line);
            let _ = parse_get_gi(&Output::of(code, line.clone(), line));
        }

        #[test]
        fn any_line_of_its_own_signs_is_refused_or_read(fields in proptest::collection::vec("[0-9A-F]{16}|[01]|x", 0..20)) {
            let _ = parse_line(&fields.join(":"));
        }
    }
}
