// SPDX-License-Identifier: MPL-2.0
//! Lets `drbdadm` read a new file beside the existing ones before it is in their place, and say what `adjust` would
//! do with it. One bad file breaks every `drbdadm` call on a host (docs/rules.md 11), so this comes first.
//!
//! How the stand-in configuration is put together is in [`crate::tools::drbdadm`]; here are the files.

use super::{ObserveError, for_family};
use crate::host::Host;
use crate::observed::{DryRun, Observed};
use crate::res_file;
use crate::tools::drbdadm::{self, ConfigFault, ConfigPlace, DrbdFailure};

const DIR: &str = "/run/drbd-host/stage";
const TOP: &str = "/etc/drbd.conf";

pub(super) fn dry_run(
    host: &impl Host,
    observed: &Observed,
    name: &str,
    text: &str,
) -> Result<DryRun, ObserveError> {
    let staged = format!("{DIR}/{name}.res");
    let top = format!("{DIR}/{name}.conf");
    let existing = host.read(TOP)?.unwrap_or_default();
    let refused =
        |message: String| Ok(DryRun::Refused { foreign_file: Some(TOP.to_owned()), clash: false, message });
    let patterns = match drbdadm::include_patterns(TOP, &existing) {
        Ok(patterns) => patterns,
        Err(error) => return refused(error.to_string()),
    };
    let files = files_named_by(host, &patterns)?;
    let top_text = match drbdadm::staged_config(TOP, &existing, &files, &res_file::path(name), &staged) {
        Ok(text) => text,
        Err(error) => return refused(error.to_string()),
    };
    host.write(&staged, text, 0o600)?;
    host.write(&top, &top_text, 0o600)?;
    let question = match observed.drbd.module {
        Some(_) => drbdadm::adjust_dry_run_with(&top, name),
        None => drbdadm::up_dry_run_with(&top, name),
    };
    let output = host.run(&for_family(question, &observed.drbd));
    host.remove(&staged)?;
    host.remove(&top)?;
    let output = output?;
    match drbdadm::classify(&output) {
        None => Ok(DryRun::Steps(drbdadm::parse_adjust_dry_run(&output)?)),
        Some(failure) => Ok(blame(&failure, &staged)),
    }
}

fn files_named_by(host: &impl Host, patterns: &[String]) -> Result<Vec<String>, ObserveError> {
    let mut dirs: Vec<&str> =
        patterns.iter().filter_map(|pattern| pattern.rsplit_once('/')).map(|(dir, _)| dir).collect();
    dirs.sort_unstable();
    dirs.dedup();
    let mut files = Vec::new();
    for dir in dirs {
        files.extend(host.list(dir)?.into_iter().map(|name| format!("{dir}/{name}")));
    }
    Ok(files)
}

/// Finds the file that is not ours to change, if the fault is in one.
fn blame(failure: &DrbdFailure, staged: &str) -> DryRun {
    let faults: &[ConfigFault] = match failure {
        DrbdFailure::ConfigRefused(faults) => faults,
        _ => &[],
    };
    // A clash names both files: then the declaration is at fault, not the file that was there first.
    let clash = faults.iter().any(|fault| fault.clashes_with.is_some());
    let is_staged = |place: &&ConfigPlace| place.file == staged;
    let places = || faults.iter().filter_map(|fault| fault.place.as_ref());
    let foreign = places()
        .find(|place| !is_staged(place))
        .filter(|_| !clash && !places().any(|place| is_staged(&place)));
    DryRun::Refused {
        foreign_file: foreign.map(|place| place.file.clone()),
        clash,
        message: failure.to_string(),
    }
}
