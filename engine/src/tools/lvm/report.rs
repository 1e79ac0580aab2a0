// SPDX-License-Identifier: MPL-2.0
//! Reads `lvm fullreport --reportformat json` and `lvmconfig`. LVM prints every value as a string; an empty one
//! means "none". Not here: the command lines.

use drbd_schemas::facts::AutoextendFacts;
use serde::Deserialize;

use crate::tools::ToolError;
use crate::tools::lvm::PROGRAM;
use crate::tools::percent::Percent;

const WHAT: &str = "fullreport";

/// Everything that LVM knows on a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LvmReport {
    /// Volume groups.
    pub vgs: Vec<VolumeGroup>,
    /// Visible logical volumes of all groups; a pool's hidden parts are left out.
    pub lvs: Vec<LogicalVolume>,
    /// Physical volumes, those without a group as well.
    pub pvs: Vec<PhysicalVolume>,
    /// What LVM does by itself about a thin pool that fills; unknown where LVM was not asked.
    pub autoextend: Option<AutoextendFacts>,
}

impl LvmReport {
    /// The groups of a name. Two are a fault of the host's that LVM lives with.
    pub fn groups(&self, name: &str) -> Vec<&VolumeGroup> {
        self.vgs.iter().filter(|vg| vg.name == name).collect()
    }

    /// The logical volume of a name.
    pub fn volume(&self, group: &str, name: &str) -> Option<&LogicalVolume> {
        self.lvs.iter().find(|lv| lv.vg == group && lv.name == name)
    }

    /// The physical volumes that a group misses.
    pub fn missing(&self, group: &str) -> impl Iterator<Item = &PhysicalVolume> {
        self.pvs.iter().filter(move |pv| pv.missing && pv.vg.as_deref() == Some(group))
    }

    /// Names of the classic snapshots of a thick volume.
    pub fn snapshots_of(&self, lv: &LogicalVolume) -> Vec<&str> {
        let snapshots = self.lvs.iter().filter(|other| {
            other.vg == lv.vg && other.pool.is_none() && other.origin.as_deref() == Some(lv.name.as_str())
        });
        snapshots.map(|snapshot| snapshot.name.as_str()).collect()
    }
}

/// A volume group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeGroup {
    /// Name.
    pub name: String,
    /// LVM's UUID.
    pub uuid: String,
    /// Size in bytes.
    pub size_bytes: u64,
    /// Free space in bytes, for thick LVs and for pools.
    pub free_bytes: u64,
    /// Extent size in bytes: sizes are rounded up to this.
    pub extent_bytes: u64,
    /// Whether a physical volume is missing.
    pub partial: bool,
}

/// A logical volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogicalVolume {
    /// Volume group.
    pub vg: String,
    /// Name.
    pub name: String,
    /// LVM's UUID: the identity of the volume, a re-created one has another.
    pub uuid: String,
    /// Size in bytes.
    pub size_bytes: u64,
    /// Attribute characters.
    pub attr: LvAttr,
    /// Tags.
    pub tags: Vec<String>,
    /// The thin pool it is in.
    pub pool: Option<String>,
    /// Usage: of a pool its data space, of a thin volume what it takes of its size.
    pub data_percent: Option<Percent>,
    /// Usage of a pool's metadata space.
    pub metadata_percent: Option<Percent>,
    /// Size of a pool's metadata in bytes.
    pub metadata_bytes: Option<u64>,
    /// The volume that it is a snapshot of.
    pub origin: Option<String>,
    /// Layout words, e.g. `linear`, or `thin` and `sparse`.
    pub layout: Vec<String>,
}

/// A physical volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhysicalVolume {
    /// Device path, or `[unknown]` when it is missing.
    pub device: String,
    /// LVM's UUID.
    pub uuid: String,
    /// Its group, if any.
    pub vg: Option<String>,
    /// Space that LVM uses, in bytes.
    pub size_bytes: u64,
    /// Size of the device in bytes; larger than `size_bytes` by LVM's own metadata, or when the disk grew.
    pub device_bytes: u64,
    /// Whether its device is not there, or LVM keeps to itself that it was not.
    pub missing: bool,
    /// Where LVM last saw the device of a missing one.
    pub last_path: Option<String>,
    /// Where the space that LVM uses begins, in bytes.
    pub data_offset_bytes: Option<u64>,
}

impl PhysicalVolume {
    /// How a missing one is told: its UUID, and where LVM last saw it.
    pub fn told(&self) -> String {
        let path =
            self.last_path.as_deref().or(Some(self.device.as_str()).filter(|path| path.starts_with('/')));
        path.map_or_else(|| self.uuid.clone(), |path| format!("{} (last seen as {path})", self.uuid))
    }
}

/// LVM's ten attribute characters of an LV, e.g. `Vwi-aotz--`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct LvAttr(String);

/// What LVM says of an LV's health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LvHealth {
    /// Nothing wrong.
    Good,
    /// A physical volume is missing.
    Partial,
    /// A thin pool failed, or a thin volume of it.
    Failed,
    /// A thin pool has no free data space.
    OutOfDataSpace,
    /// A thin pool's metadata is read-only.
    MetadataReadOnly,
    /// Another letter, as printed.
    Unrecognised(char),
}

impl LvAttr {
    /// Those of an active, healthy volume, as far as the kernel shows them.
    pub fn of_active(thin: bool) -> Self {
        Self(if thin { "Vwi-a-----" } else { "-wi-a-----" }.to_owned())
    }

    /// The characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is a thin pool.
    pub fn is_thin_pool(&self) -> bool {
        self.at(0) == 't'
    }

    /// Whether this is a thin volume.
    pub fn is_thin_volume(&self) -> bool {
        self.at(0) == 'V'
    }

    /// Whether this is a thick volume that has a classic snapshot.
    pub fn has_snapshot(&self) -> bool {
        matches!(self.at(0), 'o' | 'O')
    }

    /// Whether it may be written.
    pub fn is_writeable(&self) -> bool {
        self.at(1) == 'w'
    }

    /// Whether it is active: the kernel has it, in whatever state.
    pub fn is_active(&self) -> bool {
        self.at(4) != '-'
    }

    /// Whether a thin pool's metadata must be checked before it is written again.
    pub fn needs_check(&self) -> bool {
        matches!(self.at(4), 'c' | 'C')
    }

    /// Whether activation passes it over unless it is told not to.
    pub fn skips_activation(&self) -> bool {
        self.at(9) == 'k'
    }

    /// Whether something holds it open: a mount, DRBD, another device-mapper device.
    pub fn is_open(&self) -> bool {
        self.at(5) == 'o'
    }

    /// Whether new blocks are zeroed before use (of a thin pool, and of its volumes).
    pub fn zeroes(&self) -> bool {
        self.at(7) == 'z'
    }

    /// Health.
    pub fn health(&self) -> LvHealth {
        match self.at(8) {
            '-' => LvHealth::Good,
            'p' => LvHealth::Partial,
            'F' => LvHealth::Failed,
            'D' => LvHealth::OutOfDataSpace,
            'M' => LvHealth::MetadataReadOnly,
            other => LvHealth::Unrecognised(other),
        }
    }

    /// Parsing made sure that there are ten.
    fn at(&self, index: usize) -> char {
        self.0.chars().nth(index).unwrap_or('-')
    }
}

#[derive(Deserialize)]
struct Document {
    report: Vec<Group>,
}

/// One VG with what belongs to it, or the PVs outside any VG.
#[derive(Deserialize)]
struct Group {
    #[serde(default)]
    vg: Vec<RawVg>,
    #[serde(default)]
    pv: Vec<RawPv>,
    #[serde(default)]
    lv: Vec<RawLv>,
}

#[derive(Deserialize)]
struct RawVg {
    vg_name: String,
    vg_uuid: String,
    vg_size: String,
    vg_free: String,
    vg_extent_size: String,
    vg_attr: String,
}

#[derive(Deserialize)]
struct RawPv {
    pv_name: String,
    pv_uuid: String,
    vg_name: String,
    pv_size: String,
    dev_size: String,
    pv_missing: String,
    /// Not asked for when the older samples were recorded.
    #[serde(default)]
    pe_start: String,
}

#[derive(Deserialize)]
struct RawLv {
    lv_name: String,
    lv_uuid: String,
    lv_size: String,
    lv_attr: String,
    lv_tags: String,
    pool_lv: String,
    data_percent: String,
    metadata_percent: String,
    lv_layout: String,
    /// Not asked for when the older samples were recorded; as `origin`.
    #[serde(default)]
    lv_metadata_size: String,
    #[serde(default)]
    origin: String,
}

/// The report as values; `said` is what LVM said beside it, which alone names where a missing device was.
pub(super) fn parse(text: &str, said: &str) -> Result<LvmReport, ToolError> {
    let document: Document =
        serde_json::from_str(text).map_err(|reason| ToolError::json(PROGRAM, WHAT, text, &reason))?;
    let mut report = LvmReport::default();
    for group in document.report {
        let vg = group.vg.first().map(|vg| vg.vg_name.clone());
        for raw in group.vg {
            report.vgs.push(volume_group(raw)?);
        }
        for raw in group.pv {
            report.pvs.push(physical_volume(raw, said)?);
        }
        for raw in group.lv {
            let vg =
                vg.as_deref().ok_or_else(|| ToolError::missing(PROGRAM, "lv", "vg_name", &raw.lv_name))?;
            report.lvs.push(logical_volume(vg, raw)?);
        }
    }
    Ok(report)
}

fn volume_group(raw: RawVg) -> Result<VolumeGroup, ToolError> {
    Ok(VolumeGroup {
        size_bytes: bytes("vg_size", &raw.vg_size, &raw.vg_name)?,
        free_bytes: bytes("vg_free", &raw.vg_free, &raw.vg_name)?,
        extent_bytes: bytes("vg_extent_size", &raw.vg_extent_size, &raw.vg_name)?,
        partial: raw.vg_attr.chars().nth(3) == Some('p'),
        name: raw.vg_name,
        uuid: raw.vg_uuid,
    })
}

/// `WARNING: VG vg0 is missing PV <uuid> (last written to /dev/sdc).`
fn last_path(uuid: &str, said: &str) -> Option<String> {
    let of_it = said.lines().filter(|line| !uuid.is_empty() && line.contains(uuid));
    let path = of_it.filter_map(|line| line.split_once("last written to ")).next()?.1;
    let path = path.trim_end_matches(['.', ')', ' ']);
    path.starts_with("/dev/").then(|| path.to_owned())
}

fn physical_volume(raw: RawPv, said: &str) -> Result<PhysicalVolume, ToolError> {
    Ok(PhysicalVolume {
        last_path: last_path(&raw.pv_uuid, said),
        vg: some(&raw.vg_name),
        size_bytes: bytes("pv_size", &raw.pv_size, &raw.pv_name)?,
        device_bytes: bytes("dev_size", &raw.dev_size, &raw.pv_name)?,
        missing: !raw.pv_missing.is_empty(),
        data_offset_bytes: raw.pe_start.parse().ok(),
        device: raw.pv_name,
        uuid: raw.pv_uuid,
    })
}

fn logical_volume(vg: &str, raw: RawLv) -> Result<LogicalVolume, ToolError> {
    if raw.lv_attr.chars().count() != 10 {
        return Err(ToolError::bad(PROGRAM, "lv_attr", &raw.lv_attr, "ten characters", &raw.lv_name));
    }
    Ok(LogicalVolume {
        vg: vg.to_owned(),
        size_bytes: bytes("lv_size", &raw.lv_size, &raw.lv_name)?,
        attr: LvAttr(raw.lv_attr),
        tags: words(&raw.lv_tags),
        pool: some(&raw.pool_lv),
        data_percent: percent("data_percent", &raw.data_percent, &raw.lv_name)?,
        metadata_percent: percent("metadata_percent", &raw.metadata_percent, &raw.lv_name)?,
        metadata_bytes: raw.lv_metadata_size.parse().ok(),
        origin: some(&raw.origin),
        layout: words(&raw.lv_layout),
        name: raw.lv_name,
        uuid: raw.lv_uuid,
    })
}

fn bytes(what: &'static str, text: &str, of: &str) -> Result<u64, ToolError> {
    text.parse().map_err(|_| ToolError::bad(PROGRAM, what, text, "a number of bytes", of))
}

fn percent(what: &'static str, text: &str, of: &str) -> Result<Option<Percent>, ToolError> {
    if text.is_empty() {
        return Ok(None);
    }
    Percent::parse(text).map(Some).ok_or_else(|| ToolError::bad(PROGRAM, what, text, "a percentage", of))
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn words(text: &str) -> Vec<String> {
    text.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// LVM's settings for thin pools, from the text of its configuration files one after the other. Only what a file sets
/// counts; the rest are LVM's defaults (2.03: monitoring, never by itself, by 20 %).
pub(super) fn parse_autoextend(text: &str) -> AutoextendFacts {
    let last = |key: &str| {
        let mut lines = text.lines().filter_map(|line| {
            let line = line.trim_start();
            let line = line.strip_prefix("activation/").unwrap_or(line);
            line.strip_prefix(key)?.trim_start().strip_prefix('=')
        });
        let value = lines.next_back()?;
        let digits: String = value.trim_start().chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u16>().ok()
    };
    AutoextendFacts {
        monitoring: last("monitoring").unwrap_or(1) != 0,
        threshold_percent: last("thin_pool_autoextend_threshold").unwrap_or(100),
        by_percent: last("thin_pool_autoextend_percent").unwrap_or(20),
    }
}

/// `filter=["a","b"]` or `filter="a"`, with C-like escapes.
pub(super) fn parse_filter(text: &str) -> Result<Vec<String>, ToolError> {
    let text = text.trim();
    let malformed = || ToolError::malformed(PROGRAM, "lvmconfig", "`filter=[\"pattern\", ...]`", text);
    let value = text.strip_prefix("filter=").ok_or_else(malformed)?.trim();
    let list = if value.starts_with('[') { value.to_owned() } else { format!("[{value}]") };
    serde_json::from_str(&list).map_err(|_| malformed())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tools::samples;

    #[test]
    fn thin_thick_pool_and_a_physical_volume_without_a_group_are_read() {
        let sample = samples::one("lvm", "2.03.16", "report-thin-thick-and-lone-pv");
        let report = parse(&sample.output.stdout, "").unwrap();
        let lv = |name: &str| report.lvs.iter().find(|lv| lv.name == name).unwrap();
        assert_eq!(lv("thick").size_bytes, 64 << 20);
        assert!(!lv("thick").attr.is_thin_volume() && lv("thick").pool.is_none());
        assert!(lv("r0").attr.is_thin_volume() && lv("r0").attr.zeroes());
        assert_eq!(lv("r0").pool.as_deref(), Some("pool"));
        assert!(lv("pool").attr.is_thin_pool());
        assert!(lv("pool").data_percent.is_some() && lv("pool").metadata_percent.is_some());
        assert_eq!(lv("tagged").tags, ["other", "replivol.r9"]);
        let lone = report.pvs.iter().find(|pv| pv.vg.is_none()).unwrap();
        assert_eq!(lone.device, "/dev/ubdc");
        assert_eq!(report.vgs[0].extent_bytes, 4 << 20);
    }

    #[test]
    fn a_missing_disk_is_named_and_inactive_volumes_are_told() {
        let sample = samples::one("lvm", "2.03.16", "report-a-group-with-a-missing-disk");
        let report = parse(&sample.output.stdout, &sample.output.stderr).unwrap();
        assert!(report.vgs[0].partial);
        let missing: Vec<String> = report.missing("vg0").map(PhysicalVolume::told).collect();
        assert_eq!(missing, ["gkV4Y2-FdtQ-oEMH-ph8n-iih6-ZXN2-VObsdH (last seen as /dev/ubdc)"]);
        let attr = |name: &str| report.volume("vg0", name).unwrap().attr.clone();
        assert!(!attr("r0_00000").is_active() && !attr("r0_00000").skips_activation());
        assert!(!attr("r1_00000").is_active() && attr("r1_00000").skips_activation());
        assert_eq!(attr("pool").health(), LvHealth::Partial);
        assert_eq!(report.volume("vg0", "pool").unwrap().metadata_bytes, Some(4 << 20));
    }

    #[test]
    fn health_letters_are_told_apart() {
        assert_eq!(LvAttr("twi-aotzD-".to_owned()).health(), LvHealth::OutOfDataSpace);
        assert_eq!(LvAttr("-wi-ao--p-".to_owned()).health(), LvHealth::Partial);
        assert_eq!(LvAttr("-wi-ao--?-".to_owned()).health(), LvHealth::Unrecognised('?'));
    }

    #[test]
    fn a_missing_field_is_named() {
        let error = parse(r#"{"report":[{"vg":[{"vg_name":"vg0"}]}]}"#, "").unwrap_err().to_string();
        assert!(error.contains("missing field `vg_uuid`"), "{error}");
    }

    #[test]
    fn a_filter_of_one_pattern_needs_no_brackets() {
        assert_eq!(parse_filter("filter=\"a|.*|\"\n").unwrap(), ["a|.*|"]);
        assert_eq!(parse_filter("filter=[\"r|x \\\" y|\",\"a|.*|\"]").unwrap(), ["r|x \" y|", "a|.*|"]);
        assert!(parse_filter("filter=[\"").is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_read(text in any::<String>()) {
            let _ = parse(&text, &text);
            let _ = parse_autoextend(&text);
            let _ = parse_filter(&text);
        }
    }
}
