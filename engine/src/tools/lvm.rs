// SPDX-License-Identifier: MPL-2.0
//! LVM: one report of everything, and the few commands that make, grow and remove logical volumes. Not here:
//! what may be removed or wiped; see each builder for what LVM itself still refuses.
//!
//! No builder passes a force option, and none shrinks. `--yes` stands only where its prompt is settled by
//! construction, with the reason beside it; every other prompt finds no terminal and is answered "no" by LVM.

mod report;

pub use report::{LogicalVolume, LvAttr, LvHealth, LvmReport, PhysicalVolume, VolumeGroup};

use crate::host::{Cmd, Output};
use crate::tools::ToolError;
use drbd_schemas::facts::AutoextendFacts;

/// The program's name; every command is one of its subcommands.
pub const PROGRAM: &str = "lvm";

/// Fields of the report. Names of PVs outside any VG come in a group of their own.
const VG_FIELDS: &str = "vg_name,vg_uuid,vg_size,vg_free,vg_extent_size,vg_attr";
const PV_FIELDS: &str = "pv_name,pv_uuid,vg_name,pv_size,dev_size,pv_missing,pe_start";
const LV_FIELDS: &str = "lv_name,lv_uuid,lv_size,lv_attr,lv_tags,pool_lv,data_percent,metadata_percent,lv_layout,lv_metadata_size,origin";

/// Keeps LVM from opening DRBD devices: an open counts as use, and a PV signature inside a replica is none of the
/// host's.
///
/// Only this pattern, without `a|.*|` behind it: LVM accepts a device as soon as one of its names is accepted
/// first, and any symbolic link to `/dev/drbdN` outside `/dev/drbd*` would be one (measured). `global_filter`
/// of the host's `lvm.conf` stays in force; its `filter` is replaced, so [`Filter::before`] takes over what it
/// held.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Filter {
    host: Vec<String>,
}

impl Filter {
    /// The DRBD pattern before the patterns that the host's own `filter` holds (see [`parse_filter`]).
    pub fn before(host: Vec<String>) -> Self {
        Self { host }
    }

    /// The value of `--config`.
    fn config(&self) -> String {
        let mut patterns = vec!["\"r|^/dev/drbd.*|\"".to_owned()];
        patterns.extend(
            self.host
                .iter()
                .map(|pattern| format!("\"{}\"", pattern.replace('\\', "\\\\").replace('"', "\\\""))),
        );
        format!("devices{{filter=[{}]}}", patterns.join(","))
    }
}

/// Asks for the host's own `filter`.
pub fn filter() -> Cmd {
    Cmd::new(PROGRAM, ["lvmconfig", "--type", "current", "devices/filter"])
}

/// Reads the answer to [`filter`]: the patterns; none when the host sets none (exit 5).
pub fn parse_filter(output: &Output) -> Result<Vec<String>, ToolError> {
    if output.code() == Some(5) && output.stderr.contains("Configuration node devices/filter not found") {
        return Ok(Vec::new());
    }
    if !output.ok() {
        return Err(ToolError::ended(PROGRAM, output, "exit 0, or 5 when there is no filter"));
    }
    report::parse_filter(&output.stdout)
}

/// Everything in one go: VGs, visible LVs, PVs. It takes as long as one `lvs` (45 ms in the lab); `vgs`, `lvs` and
/// `pvs` one after the other take 120 ms.
///
/// Not `--readonly`: it does not ask the kernel, so pool usage would be missing.
pub fn report(filter: &Filter) -> Cmd {
    with_fields(&filter.config())
}

fn with_fields(config: &str) -> Cmd {
    let args = [
        "fullreport",
        "--reportformat",
        "json",
        "--units",
        "b",
        "--nosuffix",
        "--config",
        config,
        "--configreport",
        "vg",
        "-o",
        VG_FIELDS,
        "--configreport",
        "pv",
        "-o",
        PV_FIELDS,
        "--configreport",
        "lv",
        "-o",
        LV_FIELDS,
        // These two cannot be left out; one short column each.
        "--configreport",
        "pvseg",
        "-o",
        "pvseg_start",
        "--configreport",
        "seg",
        "-o",
        "seg_start",
    ];
    Cmd::new(PROGRAM, args)
}

/// Reads the answer to [`report`].
pub fn parse_report(output: &Output) -> Result<LvmReport, ToolError> {
    if !output.ok() {
        return Err(ToolError::ended(PROGRAM, output, "exit 0"));
    }
    report::parse(&output.stdout, &output.stderr)
}

/// LVM's settings for thin pools that fill, from the text of its configuration files, the last one last.
pub fn parse_autoextend(text: &str) -> AutoextendFacts {
    report::parse_autoextend(text)
}

/// The report of what LVM would see without the host's filters and its file of devices: groups that are there and hidden.
/// DRBD's devices stay out.
pub fn unfiltered_report() -> Cmd {
    let all = "devices{filter=[\"r|^/dev/drbd.*|\"] global_filter=[\"r|^/dev/drbd.*|\"] use_devicesfile=0}";
    with_fields(all)
}

/// The device-mapper name of a volume: group and volume with a dash between them; their own dashes are doubled.
pub fn dm_name(parts: &[&str]) -> String {
    parts.iter().map(|part| part.replace('-', "--")).collect::<Vec<_>>().join("-")
}

/// Group and volume of a device-mapper name of LVM's; a layer of LVM's own behind them is left out.
pub fn of_dm_name(name: &str) -> Option<(String, String)> {
    const DASH: &str = "\u{0}";
    let name = name.replace("--", DASH);
    let mut parts = name.split('-').map(|part| part.replace(DASH, "-"));
    Some((parts.next()?, parts.next().filter(|volume| !volume.is_empty())?))
}

/// Creates a thick LV of at least `size_kib` (rounded up to whole extents) with `tag`.
///
/// `--yes` lets LVM wipe signatures that an LV removed earlier left in these free extents: they belong to the
/// VG's free space, to no LV. The rest of such old content stays, only the first 4 KiB are zeroed, so the volume
/// is *not* provably blank. Exit 5 when the name exists or space is short; then nothing was created.
pub fn create_thick(filter: &Filter, vg: &str, name: &str, size_kib: u64, tag: &str) -> Cmd {
    let (config, size) = (filter.config(), format!("{size_kib}k"));
    let args = [
        "lvcreate",
        "--config",
        &config,
        "--yes",
        "--wipesignatures",
        "y",
        "--zero",
        "y",
        "--size",
        &size,
        "--name",
        name,
        "--addtag",
        tag,
        vg,
    ];
    Cmd::new(PROGRAM, args)
}

/// Creates a thin LV of at least `size_kib` (rounded up to whole extents) in `pool` with `tag`.
///
/// It reads as zeros, so no prompt can come. That blocks given to it later read as zeros outside what was
/// written needs a pool with [`LvAttr::zeroes`]. Exit 5 when the name exists; then nothing was created.
pub fn create_thin(filter: &Filter, vg: &str, pool: &str, name: &str, size_kib: u64, tag: &str) -> Cmd {
    let (config, size) = (filter.config(), format!("{size_kib}k"));
    let args = [
        "lvcreate",
        "--config",
        &config,
        "--type",
        "thin",
        "--virtualsize",
        &size,
        "--thinpool",
        pool,
        "--name",
        name,
        "--addtag",
        tag,
        vg,
    ];
    Cmd::new(PROGRAM, args)
}

/// Grows an LV to at least `size_kib` (rounded up to whole extents). Never shrinks: a size that is not larger
/// is exit 5 with nothing changed, and that includes the size it already has.
pub fn extend(filter: &Filter, vg: &str, name: &str, size_kib: u64) -> Cmd {
    let (config, size) = (filter.config(), format!("{size_kib}k"));
    Cmd::new(PROGRAM, ["lvextend", "--config", &config, "--size", &size, &format!("{vg}/{name}")])
}

/// Removes an LV, if it still is the one with `uuid`.
///
/// `--yes` because LVM asks about every active LV; which LV it is was settled by name and UUID. When the LV of
/// that name has another UUID, LVM removes nothing and still exits 0: look again afterwards. Refused (exit 5)
/// while the LV is in use, and when there is none of that name.
pub fn remove(filter: &Filter, vg: &str, name: &str, uuid: &str) -> Cmd {
    let (config, select) = (filter.config(), format!("lv_uuid={uuid}"));
    let args = ["lvremove", "--config", &config, "--yes", "--select", &select, &format!("{vg}/{name}")];
    Cmd::new(PROGRAM, args)
}

/// Takes a tag from an LV, if it still is the one with `uuid`; exit 0 also when it had no such tag.
pub fn delete_tag(filter: &Filter, vg: &str, name: &str, uuid: &str, tag: &str) -> Cmd {
    let (config, select) = (filter.config(), format!("lv_uuid={uuid}"));
    let target = format!("{vg}/{name}");
    Cmd::new(PROGRAM, ["lvchange", "--config", &config, "--deltag", tag, "--select", &select, &target])
}

/// Makes a whole disk a physical volume.
///
/// For a disk that was proven blank: on any signature LVM asks, gets no answer, and exits 5 with nothing
/// changed; a disk that is a PV of some VG is refused as well.
pub fn create_physical_volume(filter: &Filter, device: &str) -> Cmd {
    Cmd::new(PROGRAM, ["pvcreate", "--config", &filter.config(), device])
}

/// Creates a volume group on physical volumes. Exit 5 (3 with a node of that name in `/dev`) when it exists.
pub fn create_volume_group(filter: &Filter, vg: &str, devices: &[String]) -> Cmd {
    let mut args = vec!["vgcreate".to_owned(), "--config".to_owned(), filter.config(), vg.to_owned()];
    args.extend(devices.iter().cloned());
    Cmd::new(PROGRAM, args)
}

/// Adds a physical volume to a volume group.
pub fn extend_volume_group(filter: &Filter, vg: &str, device: &str) -> Cmd {
    Cmd::new(PROGRAM, ["vgextend", "--config", &filter.config(), vg, device])
}

/// Creates a thin pool over all free space of a volume group (LVM keeps room for the pool's own metadata and
/// its spare). New blocks are zeroed, so that a thin volume never shows what was there before.
///
/// Its metadata have the size that LVM computes, or `metadata_kib` (rounded up to whole extents).
pub fn create_thin_pool(filter: &Filter, vg: &str, pool: &str, metadata_kib: Option<u64>) -> Cmd {
    let config = filter.config();
    let mut args = vec![
        "lvcreate",
        "--config",
        &config,
        "--type",
        "thin-pool",
        "--extents",
        "100%FREE",
        "--zero",
        "y",
        "--name",
        pool,
    ];
    let size = metadata_kib.map(|kib| format!("{kib}k"));
    args.extend(size.iter().flat_map(|size| ["--poolmetadatasize", size]));
    args.push(vg);
    Cmd::new(PROGRAM, args)
}

/// Grows a thin pool's metadata to at least `size_kib` (rounded up to whole extents), online, and their spare with them.
/// Never shrinks.
pub fn extend_pool_metadata(filter: &Filter, vg: &str, pool: &str, size_kib: u64) -> Cmd {
    let (config, size, name) = (filter.config(), format!("{size_kib}k"), format!("{vg}/{pool}"));
    Cmd::new(PROGRAM, ["lvextend", "--config", &config, "--poolmetadatasize", &size, &name])
}

/// Activates an LV, if it still is the one with `uuid`; exit 0 also when it is active. Without the second option LVM
/// passes over a volume with the skip flag, and exits 0.
pub fn activate(filter: &Filter, vg: &str, name: &str, uuid: &str) -> Cmd {
    let (config, select, target) = (filter.config(), format!("lv_uuid={uuid}"), format!("{vg}/{name}"));
    let args = [
        "lvchange",
        "--config",
        &config,
        "--activate",
        "y",
        "--ignoreactivationskip",
        "--select",
        &select,
        &target,
    ];
    Cmd::new(PROGRAM, args)
}

/// Lets a physical volume take the size of its device, online. Call it only where the device is larger: on a smaller one
/// LVM would give up what lies behind its end, if no extent there is in use.
pub fn resize_physical_volume(filter: &Filter, device: &str) -> Cmd {
    Cmd::new(PROGRAM, ["pvresize", "--config", &filter.config(), device])
}

/// Grows a thin pool by all free space of its group, online. LVM grows the pool's metadata and their spare in proportion
/// first, out of the same space (2.03.16: 20 MiB of each for 20 GiB of data).
pub fn fill_with_thin_pool(filter: &Filter, vg: &str, pool: &str) -> Cmd {
    let config = filter.config();
    Cmd::new(PROGRAM, ["lvextend", "--config", &config, "--extents", "+100%FREE", &format!("{vg}/{pool}")])
}

/// Removes a volume group. Without a force option LVM refuses while a logical volume is in it.
pub fn remove_volume_group(filter: &Filter, vg: &str) -> Cmd {
    Cmd::new(PROGRAM, ["vgremove", "--config", &filter.config(), vg])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::samples;

    #[test]
    fn the_filter_keeps_the_hosts_own_patterns_behind_drbd() {
        assert_eq!(Filter::default().config(), "devices{filter=[\"r|^/dev/drbd.*|\"]}");
        let filter = Filter::before(vec!["r|/dev/sd\\.x|".to_owned(), "a|.*|".to_owned()]);
        assert_eq!(filter.config(), "devices{filter=[\"r|^/dev/drbd.*|\",\"r|/dev/sd\\\\.x|\",\"a|.*|\"]}");
    }

    #[test]
    fn no_command_forces_and_prompts_are_answered_only_where_documented() {
        let filter = Filter::default();
        let devices = ["/dev/ubdc".to_owned()];
        let commands = [
            (create_thick(&filter, "vg0", "r0", 65536, "t"), true),
            (create_thin(&filter, "vg0", "pool", "r0", 65536, "t"), false),
            (extend(&filter, "vg0", "r0", 65536), false),
            (remove(&filter, "vg0", "r0", "uuid"), true),
            (delete_tag(&filter, "vg0", "r0", "uuid", "t"), false),
            (create_physical_volume(&filter, "/dev/ubdc"), false),
            (create_volume_group(&filter, "vg0", &devices), false),
            (extend_volume_group(&filter, "vg0", "/dev/ubdc"), false),
            (create_thin_pool(&filter, "vg0", "pool", Some(8192)), false),
            (extend_pool_metadata(&filter, "vg0", "pool", 8192), false),
            (activate(&filter, "vg0", "r0", "uuid"), false),
            (resize_physical_volume(&filter, "/dev/ubdc"), false),
            (fill_with_thin_pool(&filter, "vg0", "pool"), false),
            (remove_volume_group(&filter, "vg0"), false),
        ];
        for (command, may_say_yes) in commands {
            assert!(
                !command.args.iter().any(|arg| arg == "-f" || arg == "-ff" || arg == "--force"),
                "{command}"
            );
            assert_eq!(command.args.iter().any(|arg| arg == "--yes"), may_say_yes, "{command}");
        }
    }

    #[test]
    fn dashes_of_a_name_are_doubled_as_device_mapper_has_them() {
        assert_eq!(dm_name(&["vg0", "r0_00000"]), "vg0-r0_00000");
        assert_eq!(dm_name(&["my-vg", "db-1_00000"]), "my--vg-db--1_00000");
        assert_ne!(dm_name(&["a-b", "c"]), dm_name(&["a", "b-c"]));
        let named = |name: &str| of_dm_name(name).map(|(group, volume)| format!("{group}/{volume}"));
        assert_eq!(named("my--vg-db--1_00000").unwrap(), "my-vg/db-1_00000");
        assert_eq!(named("vg0-pool-tpool").unwrap(), "vg0/pool");
        assert_eq!(named("luks"), None);
    }

    #[test]
    fn every_sample_is_read_or_refused() {
        for sample in samples::of_tool("lvm") {
            let read = parse_report(&sample.output);
            assert_eq!(read.is_ok(), sample.name.starts_with("report"), "{}: {read:?}", sample.name);
            let read = parse_filter(&sample.output);
            assert_eq!(read.is_ok(), sample.name.starts_with("filter"), "{}: {read:?}", sample.name);
        }
    }
}
