// SPDX-License-Identifier: MPL-2.0
//! Tags: who owns an object, and how tags of several origins are merged.
//!
//! An owner is a node in a network: two nodes of one name cannot replicate in one network, so the pair is unique there, and
//! it can be computed again by a run that lost everything it knew.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{self, Filter, ResourceType, TagSpecification};

/// Tags by key.
pub type Tags = BTreeMap<String, String>;

/// The tag with the name of the node.
pub(crate) const NODE: &str = "replivol:node";
/// The tag with the network (VPC) of the node.
pub(crate) const SCOPE: &str = "replivol:scope";
/// The tag with what the object is to the node: `instance`, or `<pool>/<disk>`.
pub(crate) const ROLE: &str = "replivol:role";
/// The tag with the name of a security group.
pub(crate) const GROUP: &str = "replivol:group";
/// The tag of a disk that was kept when its node was destroyed.
pub(crate) const RETAINED: &str = "replivol:retained";
/// The tag of an instance whose making was brought to its end. A run that was cut leaves one without it, which the next
/// run takes over.
pub(crate) const FINISHED: &str = "replivol:finished";
/// The tag with the run that makes an instance, while it is not finished: two runs at once must not both take it for theirs.
pub(crate) const RUN: &str = "replivol:run";
/// Keys with this prefix are ours.
const OURS: &str = "replivol:";
/// Keys with this prefix belong to AWS.
const AWS: &str = "aws:";

/// Who an object belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner {
    /// The network (`vpc-…`) in which the node's name is unique.
    pub scope: String,
    /// The node's name.
    pub node: String,
}

/// What an object is to its owner.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// The instance, its root disk and its network interface.
    Instance,
    /// A data disk.
    Disk {
        /// The storage pool.
        pool: String,
        /// The disk's name in the pool.
        disk: String,
    },
}

impl Role {
    /// As the value of the tag.
    pub fn text(&self) -> String {
        match self {
            Self::Instance => "instance".to_owned(),
            Self::Disk { pool, disk } => format!("{pool}/{disk}"),
        }
    }

    /// A data disk by its text, `<pool>/<disk>`.
    pub fn disk(text: &str) -> Option<Self> {
        let (pool, disk) =
            text.split_once('/').filter(|(pool, disk)| !pool.is_empty() && !disk.is_empty())?;
        Some(Self::Disk { pool: pool.to_owned(), disk: disk.to_owned() })
    }
}

impl Owner {
    /// The tags of an object of this owner, without those of users.
    pub(crate) fn tags(&self, role: &Role) -> Tags {
        let name = match role {
            Role::Instance => self.node.clone(),
            Role::Disk { pool, disk } => format!("{} {pool}/{disk}", self.node),
        };
        [("Name", name), (NODE, self.node.clone()), (SCOPE, self.scope.clone()), (ROLE, role.text())]
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect()
    }

    /// Whose an object with these tags is, as far as they tell.
    pub fn of(tags: &Tags) -> Option<Self> {
        let text = |key: &str| tags.get(key).cloned();
        let (node, scope) = (text(NODE), text(SCOPE));
        let some = node.is_some() || scope.is_some();
        some.then(|| Self { scope: scope.unwrap_or_default(), node: node.unwrap_or_default() })
    }

    /// Which of this owner's data disks a volume with these tags is.
    pub fn disk(&self, tags: &Tags) -> Option<Role> {
        if self.owns(tags) { Role::disk(tags.get(ROLE)?) } else { None }
    }

    /// Whether an object with these tags is this owner's.
    pub fn owns(&self, tags: &Tags) -> bool {
        self.holds(tags, NODE, &self.node) && self.holds(tags, SCOPE, &self.scope)
    }

    /// Whether an object with these tags is this owner's, in this role.
    pub(crate) fn owns_as(&self, tags: &Tags, role: &Role) -> bool {
        self.owns(tags) && self.holds(tags, ROLE, &role.text())
    }

    fn holds(&self, tags: &Tags, key: &str, value: &str) -> bool {
        tags.get(key).is_some_and(|found| found == value)
    }

    /// Filters that find this owner's objects.
    pub(crate) fn filters(&self) -> Vec<Filter> {
        [(NODE, &self.node), (SCOPE, &self.scope)]
            .map(|(key, value)| Filter::builder().name(format!("tag:{key}")).values(value).build())
            .into()
    }

    /// A client token of a create, at most 64 characters. It follows from the owner, the role and how often such an object
    /// was made before: a run that was cut sends the same one again, and AWS answers with the same object.
    pub(crate) fn token(&self, role: &Role, place: &str, generation: usize) -> String {
        let parts =
            [self.scope.as_str(), &self.node, &role.text(), place, &generation.to_string()].join("\n");
        format!("rv1-{:016x}{:016x}-{generation}", fnv(parts.as_bytes(), 0), fnv(parts.as_bytes(), 1))
    }
}

/// FNV-1a; tells apart what one user makes, and is no secret.
fn fnv(bytes: &[u8], seed: u64) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325 ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bytes.iter().fold(start, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Whether a key is ours or AWS's, and not for users.
pub(crate) fn is_reserved(key: &str) -> bool {
    key.starts_with(OURS) || key.starts_with(AWS)
}

/// Merges the tags of users, later ones winning, under those of the owner, which always win except for `Name`.
pub(crate) fn merged(owner: &Owner, role: &Role, of_users: &[&Tags]) -> Tags {
    under(owner.tags(role), of_users)
}

/// The same with the tags of any object of ours.
pub(crate) fn under(own: Tags, of_users: &[&Tags]) -> Tags {
    let reserved = |key: &str| (own.contains_key(key) && key != "Name") || key.starts_with(AWS);
    let mut all = own.clone();
    for (key, value) in of_users.iter().flat_map(|tags| tags.iter()) {
        if !reserved(key) {
            all.insert(key.clone(), value.clone());
        }
    }
    all
}

/// Tags from the API's form.
pub(crate) fn read(tags: &[types::Tag]) -> Tags {
    let pairs = tags.iter().filter_map(|tag| Some((tag.key()?.to_owned(), tag.value()?.to_owned())));
    pairs.collect()
}

/// Tags in the API's form.
pub(crate) fn write(tags: &Tags) -> Vec<types::Tag> {
    tags.iter().map(|(key, value)| types::Tag::builder().key(key).value(value).build()).collect()
}

/// Tags for one kind of object in the call that makes it.
pub(crate) fn specification(kind: ResourceType, tags: &Tags) -> TagSpecification {
    TagSpecification::builder().resource_type(kind).set_tags(Some(write(tags))).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner() -> Owner {
        Owner { scope: "vpc-1".into(), node: "a".into() }
    }

    fn disk() -> Role {
        Role::Disk { pool: "data".into(), disk: "d0".into() }
    }

    fn tags<const N: usize>(pairs: [(&str, &str); N]) -> Tags {
        pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
    }

    #[test]
    fn users_name_objects_and_cannot_take_them_away() {
        let default = tags([("team", "x"), ("Name", "default"), ("aws:kept", "no")]);
        let own = tags([("Name", "mine"), (NODE, "other"), ("team", "y")]);
        let all = merged(&owner(), &Role::Instance, &[&default, &own]);
        assert_eq!(all["Name"], "mine");
        assert_eq!(all["team"], "y");
        assert!(owner().owns(&all), "{all:?}");
        assert!(!all.contains_key("aws:kept"));
    }

    #[test]
    fn an_owner_is_a_node_in_a_network() {
        let all = merged(&owner(), &disk(), &[]);
        assert!(owner().owns_as(&all, &disk()));
        assert!(!owner().owns_as(&all, &Role::Instance));
        assert!(!Owner { scope: "vpc-2".into(), ..owner() }.owns(&all));
        assert!(!owner().owns(&tags([(NODE, "a")])), "a tag alone is not enough");
    }

    #[test]
    fn tokens_differ_by_everything_and_are_short() {
        let other = Owner { node: "b".into(), ..owner() };
        let all = [
            owner().token(&Role::Instance, "a", 0),
            owner().token(&Role::Instance, "a", 1),
            owner().token(&Role::Instance, "b", 0),
            owner().token(&disk(), "a", 0),
            other.token(&Role::Instance, "a", 0),
        ];
        assert_eq!(all.iter().collect::<std::collections::BTreeSet<_>>().len(), all.len());
        assert!(all.iter().all(|token| token.len() <= 64), "{all:?}");
        assert_eq!(all[0], owner().token(&Role::Instance, "a", 0));
    }
}
