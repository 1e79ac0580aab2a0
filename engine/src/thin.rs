// SPDX-License-Identifier: MPL-2.0
//! What the state of a thin pool means: can it serve its volumes, how near are its limits, and what helps. Pure.

use crate::refusal::Refusal;
use crate::tools::Percent;
use crate::tools::lvm::{LogicalVolume, LvHealth, LvmReport};
use drbd_schemas::facts::{AutoextendFacts, ThinPoolState};
use drbd_schemas::reply::Code;

/// From here on a pool is near its limit.
const NEAR: Percent = Percent::of_hundredths(8_000);
/// Nothing is left.
const ALL: Percent = Percent::of_hundredths(10_000);

/// What a thin pool can do, the worst first.
pub(crate) fn state(pool: &LogicalVolume) -> ThinPoolState {
    let is_full = |percent: Option<Percent>| percent.is_some_and(|percent| percent >= ALL);
    match pool.attr.health() {
        LvHealth::Failed => ThinPoolState::Failed,
        LvHealth::MetadataReadOnly => ThinPoolState::ReadOnly,
        _ if pool.attr.needs_check() => ThinPoolState::NeedsCheck,
        LvHealth::OutOfDataSpace => ThinPoolState::Full,
        _ if is_full(pool.metadata_percent) => ThinPoolState::MetadataFull,
        _ if is_full(pool.data_percent) => ThinPoolState::Full,
        LvHealth::Good | LvHealth::Partial | LvHealth::Unrecognised(_) => ThinPoolState::Good,
    }
}

/// What the volumes of a pool may come to take: the sum of their sizes.
pub(crate) fn promised_bytes(report: &LvmReport, pool: &LogicalVolume) -> u64 {
    let volumes = report.lvs.iter().filter(|lv| lv.vg == pool.vg && lv.pool.as_ref() == Some(&pool.name));
    volumes.map(|lv| lv.size_bytes).fold(0, u64::saturating_add)
}

/// Every block of a thin volume is its own already.
pub(crate) fn is_allocated(lv: &LogicalVolume) -> bool {
    lv.data_percent.is_some_and(|percent| percent >= ALL)
}

/// What is wrong with a pool that cannot serve its volumes, and what helps.
struct Trouble {
    code: Code,
    found: String,
    remedies: Vec<String>,
}

fn trouble(pool: &LogicalVolume, state: ThinPoolState) -> Option<Trouble> {
    let name = format!("{}/{}", pool.vg, pool.name);
    let larger = "Give its volume group space (drbd_storage_pool with a further disk does both), or remove volumes that are not needed.";
    let repair = || {
        vec![
            format!(
                "Stop what uses its volumes (drbd_resource with state: down) and deactivate all of them, then the pool: lvchange -an {name}."
            ),
            format!(
                "Repair its metadata: lvconvert --repair {name}; activate it again: lvchange -ay {name}."
            ),
        ]
    };
    let (code, found, remedies) = match state {
        ThinPoolState::Good => return None,
        ThinPoolState::Full => (
            Code::TooSmall,
            "is full (no data block is free): writes to new blocks fail, and DRBD gives up the disk"
                .to_owned(),
            vec![format!("Grow it: lvextend --extents +100%FREE {name}."), larger.to_owned()],
        ),
        ThinPoolState::MetadataFull => (
            Code::TooSmall,
            "has no room left in its metadata: no volume of it takes a new block".to_owned(),
            vec![
                format!(
                    "Grow them: lvextend --poolmetadatasize +<size> {name} (drbd_storage_pool: thin_pool_metadata_size)."
                ),
                larger.to_owned(),
            ],
        ),
        ThinPoolState::NeedsCheck => (
            Code::Unreadable,
            "has metadata that must be checked before they are written".to_owned(),
            repair(),
        ),
        ThinPoolState::ReadOnly => {
            let mut remedies = repair();
            remedies.push(format!(
                "If its metadata were full, grow them: lvextend --poolmetadatasize +<size> {name}."
            ));
            (Code::Unreadable, "is read-only, because its metadata failed or were full".to_owned(), remedies)
        }
        ThinPoolState::Failed => {
            let mut remedies = vec![format!(
                "See that the disks of {} are there and answer (pvs, the kernel log).",
                pool.vg
            )];
            remedies.extend(repair());
            (Code::Unreadable, "has failed: its volumes answer with errors".to_owned(), remedies)
        }
    };
    Some(Trouble { code, found: format!("thin pool {name} {found}"), remedies })
}

/// Refuses a pool that cannot serve what is to be done with it.
///
/// # Errors
/// The refusal, with what helps.
pub(crate) fn check(
    pool: &LogicalVolume,
    state: ThinPoolState,
    node: &str,
    undone: &str,
) -> Result<(), Refusal> {
    let Some(Trouble { code, found, remedies }) = trouble(pool, state) else { return Ok(()) };
    let refusal = Refusal::new(code, format!("{found}, on {node}. {undone}"));
    Err(remedies.into_iter().fold(refusal, Refusal::next))
}

/// What to know of a pool that still works, or not quite: how near its limits are, and what its volumes promise.
pub(crate) fn warnings(report: &LvmReport, pool: &LogicalVolume) -> Vec<String> {
    warnings_with(report, pool, 0)
}

/// The same, with so many bytes promised beside what is.
pub(crate) fn warnings_with(report: &LvmReport, pool: &LogicalVolume, more_bytes: u64) -> Vec<String> {
    let name = format!("{}/{}", pool.vg, pool.name);
    let mut warnings = Vec::new();
    let near = |percent: Option<Percent>| percent.filter(|percent| *percent >= NEAR);
    if let Some(trouble) = trouble(pool, state(pool)) {
        warnings.push(format!("{}. {}", trouble.found, trouble.remedies.join(" ")));
    } else {
        if let Some(percent) = near(pool.data_percent) {
            warnings.push(format!("thin pool {name} is {percent} % full"));
        }
        if let Some(percent) = near(pool.metadata_percent) {
            warnings.push(format!(
                "the metadata of thin pool {name} are {percent} % full; thin_pool_metadata_size of drbd_storage_pool grows them"
            ));
        }
    }
    let promised = promised_bytes(report, pool).saturating_add(more_bytes);
    if promised > pool.size_bytes {
        warnings.push(format!(
            "the volumes of thin pool {name} promise {} MiB and it has {} MiB: when it is full, writes fail and DRBD gives up the disks",
            promised >> 20,
            pool.size_bytes >> 20
        ));
    }
    if !warnings.is_empty() {
        warnings.extend(report.autoextend.map(|set| grows_itself(set, &name)));
    }
    warnings
}

fn grows_itself(set: AutoextendFacts, name: &str) -> String {
    let AutoextendFacts { monitoring, threshold_percent: from, by_percent: by } = set;
    let settings = format!(
        "lvm.conf: monitoring {}, thin_pool_autoextend_threshold {from}, thin_pool_autoextend_percent {by}",
        u8::from(monitoring)
    );
    match monitoring && from < 100 {
        true => format!(
            "LVM grows {name} by {by} % when it is {from} % full, as far as its volume group has space ({settings})"
        ),
        false => format!("LVM does not grow {name} by itself ({settings})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::{lvm, samples};

    fn report(sample: &str) -> LvmReport {
        lvm::parse_report(&samples::one("lvm", "2.03.16", sample).output).unwrap()
    }

    #[test]
    fn recorded_pools_are_what_they_were_made_to_be() {
        let state_of = |sample: &str| state(report(sample).volume("vg0", "pool").unwrap());
        assert_eq!(state_of("report-a-full-thin-pool"), ThinPoolState::Good);
        assert_eq!(state_of("report-thin-thick-and-lone-pv"), ThinPoolState::Good);
        assert_eq!(state_of("report-a-pool-out-of-data-space"), ThinPoolState::Full);
        assert_eq!(state_of("report-a-failed-pool"), ThinPoolState::Failed);
        let report = report("report-a-pool-out-of-data-space");
        let allocated = |name: &str| is_allocated(report.volume("vg0", name).unwrap());
        assert!(allocated("r0_00000") && !allocated("r1_00000"));
        assert_eq!(promised_bytes(&report, report.volume("vg0", "pool").unwrap()), 1200 << 20);
    }

    #[test]
    fn limits_are_told_from_eighty_percent_on_and_promises_beyond_the_size() {
        let mut report = report("report-thin-thick-and-lone-pv");
        let mut pool = report.volume("vg0", "pool").unwrap().clone();
        assert_eq!(warnings(&report, &pool), Vec::<String>::new());
        pool.data_percent = Percent::parse("79.99");
        pool.metadata_percent = Percent::parse("80.00");
        let said = warnings(&report, &pool);
        assert!(
            said.len() == 1 && said[0].contains("metadata of thin pool vg0/pool are 80.00 % full"),
            "{said:?}"
        );
        report.autoextend =
            Some(AutoextendFacts { monitoring: false, threshold_percent: 70, by_percent: 20 });
        let said = warnings(&report, &pool);
        assert!(
            said[1].starts_with("LVM does not grow vg0/pool by itself (lvm.conf: monitoring 0"),
            "{said:?}"
        );
        assert_eq!(warnings_with(&report, &pool, 1 << 40).len(), 3);
    }
}
