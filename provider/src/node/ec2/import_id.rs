// SPDX-License-Identifier: MPL-2.0
//! The id of an import of an instance: `[<name>@]i-…[/public][,<pool>/<disk>=vol-…]...`. Pure.

use std::collections::BTreeMap;

use drbd_ec2::Role;
use drbd_schemas::name;
use tfplugin::Diagnostic;

const EXPECTED: &str = "Expected is [<name>@]<instance id>[/public][,<pool>/<disk>=<volume id>]..., for example i-0123456789abcdef0 for an \
                        instance that carries a node's tags, or drbd-a@i-0123456789abcdef0,data/d0=vol-0123456789abcdef0 for one that \
                        does not.";

/// What an import names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ImportId {
    /// The node; when there is none, the tags of the instance tell.
    pub(super) name: Option<String>,
    pub(super) instance: String,
    /// Whether to log in to the public address.
    pub(super) public: bool,
    /// Volumes that shall become data disks of the node.
    pub(super) disks: BTreeMap<Role, String>,
}

/// Whether an import id means an instance, and not a host.
pub(crate) fn names_instance(id: &str) -> bool {
    let first = id.split(',').next().unwrap_or_default();
    let place = first.rsplit_once('@').map_or(first, |(_, place)| place);
    is_id(place.split('/').next().unwrap_or_default(), "i-")
}

impl ImportId {
    /// Takes an id apart.
    ///
    /// # Errors
    /// When it is none.
    pub(super) fn parse(id: &str) -> Result<Self, Diagnostic> {
        let malformed = |why: String| {
            let detail = format!("{id:?} is no id of a drbd_node on EC2: {why}. {EXPECTED}");
            Diagnostic::error("Import id not understood", detail)
        };
        let mut parts = id.split(',');
        let first = parts.next().unwrap_or_default();
        let (name, place) = first.rsplit_once('@').map_or((None, first), |(name, place)| (Some(name), place));
        let (instance, public) = match place.split_once('/') {
            None => (place, false),
            Some((instance, "public")) => (instance, true),
            Some((_, other)) => return Err(malformed(format!("there is {other:?} after the \"/\""))),
        };
        if !is_id(instance, "i-") {
            return Err(malformed(format!("{instance:?} is no instance id")));
        }
        if let Some(name) = name {
            name::check_node_name(name)
                .map_err(|allowed| malformed(format!("{name:?} is no node name ({allowed})")))?;
        }
        let mut disks = BTreeMap::new();
        for part in parts {
            let named = part.split_once('=').and_then(|(role, volume)| Some((Role::disk(role)?, volume)));
            let (role, volume) = named
                .filter(|(_, volume)| is_id(volume, "vol-"))
                .ok_or_else(|| malformed(format!("{part:?} names no disk")))?;
            if disks.values().any(|other| other == volume) || disks.contains_key(&role) {
                return Err(malformed(format!("{part:?} comes twice")));
            }
            disks.insert(role, volume.to_owned());
        }
        Ok(Self { name: name.map(str::to_owned), instance: instance.to_owned(), public, disks })
    }
}

fn is_id(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|hex| {
        (8..=17).contains(&hex.len()) && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_taken_apart() {
        let id = ImportId::parse("a@i-0123456789abcdef0/public,data/d0=vol-01234567,data/d1=vol-89abcdef");
        let id = id.unwrap();
        assert_eq!((id.name.as_deref(), id.public, id.disks.len()), (Some("a"), true, 2));
        assert_eq!(id.disks[&Role::disk("data/d1").unwrap()], "vol-89abcdef");
        let bare = ImportId::parse("i-01234567").unwrap();
        assert_eq!((bare.name, bare.public, bare.disks.len()), (None, false, 0));
    }

    #[test]
    fn a_host_is_no_instance_and_an_instance_is_no_host() {
        for host in ["h1@10.0.0.11", "h1@i-0123.example.net", "i-x", "h1@intern", "h1@10.0.0.11:2222"] {
            assert!(!names_instance(host), "{host}");
        }
        for instance in ["i-01234567", "a@i-0123456789abcdef0", "i-01234567/public,x=y", "i-01234567/x"] {
            assert!(names_instance(instance), "{instance}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_what_is_right() {
        for (bad, word) in [
            ("i-01234567/private", "\"private\""),
            ("h_1@i-01234567", "\"h_1\""),
            ("i-01234567,d0=vol-01234567", "\"d0=vol-01234567\""),
            ("i-01234567,data/d0=vol-", "names no disk"),
            ("i-01234567,data/d0=vol-01234567,data/d0=vol-89abcdef", "twice"),
            ("i-01234567,data/d0=vol-01234567,data/d1=vol-01234567", "twice"),
        ] {
            let detail = ImportId::parse(bad).unwrap_err().detail;
            assert!(detail.contains(word) && detail.contains("<pool>/<disk>="), "{bad}: {detail}");
        }
    }
}
