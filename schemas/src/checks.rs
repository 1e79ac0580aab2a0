// SPDX-License-Identifier: MPL-2.0
//! The checks behind the schema keyword `x-check`: one function per keyword, text in, verdict out.

use crate::address::{Address, Endpoint};
use crate::declaration::DevicePath;
use crate::name::{self, NotAllowed, VolumeNumber};
use crate::options::{self, Section};
use crate::secret::SHORTEST_MASKED;
use crate::size::ByteSize;

/// Runs the check of a keyword on a text and returns the text in canonical spelling. An unknown keyword is an error:
/// a schema that names it was written for another version.
pub fn run(keyword: &str, text: &str) -> Result<String, NotAllowed> {
    let same = || text.to_owned();
    match keyword {
        "resource-name" => name::check_resource_name(text).map(|()| same()),
        "node-name" => name::check_node_name(text).map(|()| same()),
        "lvm-name" => name::check_lvm_name(text).map(|()| same()),
        "mount-point" => name::check_mount_point(text).map(|()| same()),
        "mount-option" => name::check_mount_option(text).map(|()| same()),
        "volume-number" => VolumeNumber::try_from(same()).map(|_| same()),
        "address" => Address::try_from(same()).map(|address| address.to_string()),
        "endpoint" => Endpoint::try_from(same()).map(|endpoint| endpoint.to_string()),
        "device-path" => DevicePath::try_from(same()).map(|_| same()),
        "size" => ByteSize::parse(text).map(|size| size.to_string()),
        "shared-secret" => check_shared_secret(text).map(|()| same()),
        _ => match keyword.strip_prefix("option:").and_then(|rest| rest.split_once(':')) {
            Some((section, option)) => check_option(section, option, text),
            None => Err(NotAllowed(format!("a value with the unknown check {keyword}"))),
        },
    }
}

fn check_option(section: &str, option: &str, text: &str) -> Result<String, NotAllowed> {
    let section =
        [Section::Options, Section::Net, Section::Disk].into_iter().find(|s| s.keyword() == section);
    match section.and_then(|section| options::find(section, option)) {
        Some(info) => info.kind.parse(text),
        None => Err(NotAllowed(format!("no value: there is no option {option}"))),
    }
}

/// drbd.conf's limit is 64 characters (`SHARED_SECRET_MAX`); quotes, backslashes and control characters would change
/// what its parser reads. Blanks do not: the file has the secret in quotes.
fn check_shared_secret(text: &str) -> Result<(), NotAllowed> {
    if text.len() < SHORTEST_MASKED {
        return Err(NotAllowed(format!(
            "at least {SHORTEST_MASKED} characters: a shorter one cannot be masked in what is printed; change it on all nodes first"
        )));
    }
    let plain = text.chars().all(|c| (c == ' ' || c.is_ascii_graphic()) && !"\"\\".contains(c));
    if plain && text.len() <= 64 {
        return Ok(());
    }
    Err(NotAllowed("4 to 64 printable ASCII characters without \" and \\".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_may_have_blanks_and_one_that_is_too_short_to_be_masked_is_refused_for_that() {
        assert!(run("shared-secret", "my old secret").is_ok());
        assert!(run("shared-secret", "abc").unwrap_err().to_string().contains("cannot be masked"));
        for bad in ["with\"quote", "with\\backslash", "with\nline", &"x".repeat(65)] {
            assert!(run("shared-secret", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_path_is_refused_as_drbds_own_only_where_drbd_names_it_so() {
        for good in ["/dev/drbdpool/r0", "/dev/mapper/drbdpool-r0", "/dev/drbd-data"] {
            assert!(run("device-path", good).is_ok(), "{good}");
        }
        for bad in ["/dev/drbd0", "/dev/drbd/by-res/r0/0", "/dev/../etc/passwd"] {
            assert!(run("device-path", bad).is_err(), "{bad}");
        }
    }
}
