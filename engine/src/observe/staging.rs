// SPDX-License-Identifier: MPL-2.0
//! Lets `drbdadm` read a new file beside the existing ones before it is in their place, and say what `adjust` would
//! do with it. One bad file breaks every `drbdadm` call on a host (docs/rules.md 11), so this comes first.
//!
//! How the stand-in configuration is put together is in [`crate::tools::drbdadm`]; here are the files.

use super::{ObserveError, for_family};
use crate::conf::TOP;
use crate::host::Host;
use crate::observed::{DryRun, Observed};
use crate::res_file;
use crate::tools::drbdadm::{self, ConfigFault, ConfigPlace, DrbdFailure};

const DIR: &str = "/run/drbd-host/stage";

pub(super) fn dry_run(
    host: &impl Host,
    observed: &Observed,
    name: &str,
    text: &str,
) -> Result<DryRun, ObserveError> {
    let path = res_file::path(name);
    let staged = format!("{DIR}/{name}.res");
    let top = format!("{DIR}/{name}.conf");
    let files = &observed.conf.files;
    let existing = files.text(TOP).unwrap_or_default();
    let refused =
        |message: String| Ok(DryRun::Refused { foreign_file: Some(TOP.to_owned()), clash: false, message });
    let top_text = match drbdadm::staged_config(TOP, existing, &files.listed(), &path, &staged) {
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
        Some(failure) => Ok(blame(failure, &Names { staged, path, top })),
    }
}

/// The names under which the user knows what was staged.
struct Names {
    staged: String,
    path: String,
    top: String,
}

impl Names {
    /// A text that names no file of ours.
    fn told(&self, text: &str) -> String {
        text.replace(&self.staged, &self.path).replace(&self.top, TOP)
    }

    fn place(&self, place: &mut ConfigPlace) {
        // Our top file has other lines than the host's.
        if place.file == self.top {
            place.line = None;
        }
        place.file = self.told(&place.file);
    }
}

/// Finds the file that is not ours to change, if the fault is in one.
fn blame(mut failure: DrbdFailure, names: &Names) -> DryRun {
    if let DrbdFailure::ConfigRefused(faults) = &mut failure {
        for fault in faults.iter_mut() {
            fault.place.iter_mut().chain(&mut fault.clashes_with).for_each(|place| names.place(place));
            fault.message = names.told(&fault.message);
        }
    }
    let faults: &[ConfigFault] = match &failure {
        DrbdFailure::ConfigRefused(faults) => faults,
        _ => &[],
    };
    // A clash names both files: then the declaration is at fault, not the file that was there first.
    let clash = faults.iter().any(|fault| fault.clashes_with.is_some());
    let is_own = |place: &&ConfigPlace| place.file == names.path;
    let places = || faults.iter().filter_map(|fault| fault.place.as_ref());
    let foreign =
        places().find(|place| !is_own(place)).filter(|_| !clash && !places().any(|place| is_own(&place)));
    let message = names.told(&failure.to_string());
    DryRun::Refused { foreign_file: foreign.map(|place| place.file.clone()), clash, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_the_users_files_and_not_the_staged_ones() {
        let names = Names {
            staged: format!("{DIR}/r0.res"),
            path: res_file::path("r0"),
            top: format!("{DIR}/r0.conf"),
        };
        let fault = |file: &str, line, message: &str| ConfigFault {
            place: Some(ConfigPlace { file: file.to_owned(), line: Some(line) }),
            message: message.to_owned(),
            clashes_with: None,
        };
        let told = |fault| match blame(DrbdFailure::ConfigRefused(vec![fault]), &names) {
            DryRun::Refused { foreign_file, message, .. } => (foreign_file, message),
            other => panic!("{other:?}"),
        };
        let (foreign, message) =
            told(fault("/run/drbd-host/stage/r0.res", 7, "bad in /run/drbd-host/stage/r0.res"));
        assert_eq!(foreign, None);
        assert!(message.contains("/etc/drbd.d/r0.res:7") && !message.contains("/run/"), "{message}");
        let (foreign, message) = told(fault("/run/drbd-host/stage/r0.conf", 3, "bad"));
        assert_eq!(foreign.as_deref(), Some("/etc/drbd.conf"));
        assert!(message.contains("/etc/drbd.conf: ") && !message.contains("/run/"), "{message}");
    }
}
