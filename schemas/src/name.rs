// SPDX-License-Identifier: MPL-2.0
//! Names and numbers as parsed types: whoever holds one holds a valid one.
//!
//! Not here: rules between several of them (unique minors, known nodes …); see [`crate::resource`].

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

/// Why a text is not a valid name or number; complete enough to be shown as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotAllowed(pub String);

macro_rules! text_name {
    ($(#[$doc:meta])* $name:ident, $keyword:literal, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Parses it; the error says what is allowed.
            pub fn new(text: impl Into<String>) -> Result<Self, NotAllowed> {
                let text = text.into();
                $check(&text)?;
                Ok(Self(text))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl TryFrom<String> for $name {
            type Error = NotAllowed;
            fn try_from(text: String) -> Result<Self, NotAllowed> {
                Self::new(text)
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "x-check": $keyword })
            }
        }
    };
}

text_name! {
    /// Name of a DRBD resource. It becomes a file name, a section name and part of a logical volume's name:
    /// 1 to 48 of `A-Z a-z 0-9 _ . + -`, beginning with a letter or digit, not `all` (which `drbdadm` takes
    /// for every resource). LINSTOR's limit of 48 is kept so that it can take a resource over.
    ResourceName, "resource-name", check_resource_name
}
text_name! {
    /// Name of a node: what `uname -n` prints there, because `drbdadm` looks for it in the file. A host name
    /// of RFC 1123, at most 64 characters (the kernel's limit).
    NodeName, "node-name", check_node_name
}
text_name! {
    /// Name of an LVM volume group, logical volume or thin pool; lvm(8), "VALID NAMES".
    LvmName, "lvm-name", check_lvm_name
}

text_name! {
    /// Where a file system is mounted: an absolute path in its shortest spelling, at most 255 printable characters, not
    /// `/` itself and not below `/proc`, `/sys` or `/dev`.
    MountPoint, "mount-point", check_mount_point
}
text_name! {
    /// One option of mount(8), such as `noatime` or `uid=33`.
    MountOption, "mount-option", check_mount_option
}

/// Checks a [`ResourceName`].
pub fn check_resource_name(text: &str) -> Result<(), NotAllowed> {
    let first = text.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
    let rest = text.chars().all(|c| c.is_ascii_alphanumeric() || "_.+-".contains(c));
    if first && rest && text.len() <= 48 && text != "all" {
        return Ok(());
    }
    Err(NotAllowed(
        "1 to 48 of A-Z a-z 0-9 _ . + -, beginning with a letter or digit, and not the word \"all\"".into(),
    ))
}

/// Checks a [`NodeName`].
pub fn check_node_name(text: &str) -> Result<(), NotAllowed> {
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    if text.len() <= 64 && text.split('.').all(label) {
        return Ok(());
    }
    Err(NotAllowed(
        "a host name as `uname -n` prints it: letters, digits, - and . between labels, at most 64".into(),
    ))
}

/// Checks a [`MountPoint`].
pub fn check_mount_point(text: &str) -> Result<(), NotAllowed> {
    let plain = text.chars().all(|c| c.is_ascii_graphic() && !"\\\"'`$;&|<>*?".contains(c));
    let shortest = text.split('/').skip(1).all(|part| !part.is_empty() && part != "." && part != "..");
    let kernels = ["/proc", "/sys", "/dev"];
    let below = |dir: &str| text == dir || text.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'));
    if text.starts_with('/') && plain && shortest && text.len() <= 255 && !kernels.into_iter().any(below) {
        return Ok(());
    }
    Err(NotAllowed(
        "an absolute path in its shortest spelling, without blanks and quotes, not / and not below /proc, /sys or /dev".into(),
    ))
}

/// Checks a [`MountOption`].
pub fn check_mount_option(text: &str) -> Result<(), NotAllowed> {
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "_=.:/+@%-".contains(c));
    if plain && !text.is_empty() && !text.starts_with('-') && text.len() <= 128 {
        return Ok(());
    }
    Err(NotAllowed("one option of mount(8): letters, digits and _ = . : / + @ % -".into()))
}

/// Checks an [`LvmName`].
pub fn check_lvm_name(text: &str) -> Result<(), NotAllowed> {
    let chars = text.chars().all(|c| c.is_ascii_alphanumeric() || "+_.-".contains(c));
    if chars && !text.is_empty() && text.len() <= 127 && !text.starts_with('-') && text != "." && text != ".."
    {
        return Ok(());
    }
    Err(NotAllowed("1 to 127 of A-Z a-z 0-9 + _ . -, not beginning with -".into()))
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident, $int:ty, $min:expr, $max:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "u64", into = "u64")]
        pub struct $name($int);

        impl $name {
            /// The smallest one.
            pub const MIN: u64 = $min;
            /// The largest one.
            pub const MAX: u64 = $max;

            /// Parses it; the error names the range.
            pub fn new(number: u64) -> Result<Self, NotAllowed> {
                if !(Self::MIN..=Self::MAX).contains(&number) {
                    return Err(NotAllowed(format!("a whole number from {} to {}", Self::MIN, Self::MAX)));
                }
                <$int>::try_from(number).map(Self).map_err(|e| NotAllowed(e.to_string()))
            }

            /// The number.
            pub fn get(self) -> $int {
                self.0
            }
        }
        impl TryFrom<u64> for $name {
            type Error = NotAllowed;
            fn try_from(number: u64) -> Result<Self, NotAllowed> {
                Self::new(number)
            }
        }
        impl From<$name> for u64 {
            fn from(number: $name) -> Self {
                u64::from(number.0)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "integer", "minimum": $min, "maximum": $max })
            }
        }
    };
}

number! {
    /// A node's number within one resource; it is written into the metadata and never changes (drbd.conf-9.0,
    /// `node-id`).
    NodeId, u8, 0, 31
}
number! {
    /// A minor device number: `/dev/drbd<minor>`. The kernel has 20 bits for it.
    Minor, u32, 0, 1_048_575
}
number! {
    /// A TCP port on which a resource replicates.
    Port, u16, 1, 65_535
}

/// A volume's number within its resource, 0 to 65534. As a JSON object key it is written as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VolumeNumber(u16);

impl VolumeNumber {
    /// The first volume; most resources have only this one.
    pub const ZERO: Self = Self(0);

    /// Parses it; the error names the range.
    pub fn new(number: u64) -> Result<Self, NotAllowed> {
        u16::try_from(number)
            .ok()
            .filter(|n| *n < u16::MAX)
            .map(Self)
            .ok_or_else(|| NotAllowed("a volume number from 0 to 65534".into()))
    }

    /// The number.
    pub fn get(self) -> u16 {
        self.0
    }
}

impl TryFrom<String> for VolumeNumber {
    type Error = NotAllowed;
    fn try_from(text: String) -> Result<Self, NotAllowed> {
        let canonical = text == "0" || !text.starts_with('0');
        match text.parse::<u64>() {
            Ok(number) if canonical && !text.starts_with('+') => Self::new(number),
            _ => Err(NotAllowed("a volume number from 0 to 65534".into())),
        }
    }
}

impl From<VolumeNumber> for String {
    fn from(number: VolumeNumber) -> Self {
        number.0.to_string()
    }
}

impl fmt::Display for VolumeNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl JsonSchema for VolumeNumber {
    fn schema_name() -> Cow<'static, str> {
        "VolumeNumber".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "x-check": "volume-number" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resource_names_are_safe_as_file_section_and_volume_names() {
        for good in ["r0", "web.data", "a-b_c+d", "0", &"x".repeat(48)] {
            assert!(ResourceName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "all", "-r", "../r", "r 0", "r;0", "é", ".r", &"x".repeat(49)] {
            assert!(ResourceName::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn node_names_are_host_names() {
        for good in ["h1", "drbd-a.example.net", "H1"] {
            assert!(NodeName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "-h", "h_1", "h..1", "h1.", "a b", &"x".repeat(65)] {
            assert!(NodeName::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn numbers_have_the_kernels_ranges() {
        assert!(NodeId::new(31).is_ok() && NodeId::new(32).is_err());
        assert!(Port::new(0).is_err() && Port::new(65_536).is_err());
        assert!(Minor::new(1_048_576).is_err());
        for bad in ["", "01", "-1", "+1", "65535", "x"] {
            assert!(VolumeNumber::try_from(bad.to_owned()).is_err(), "{bad}");
        }
        assert_eq!(VolumeNumber::try_from("10".to_owned()).unwrap().get(), 10);
    }
}
