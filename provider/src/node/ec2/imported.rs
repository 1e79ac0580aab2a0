// SPDX-License-Identifier: MPL-2.0
//! The state of a node that was imported: what a configuration would have said to get this instance with these disks. Pure.
//!
//! What neither EC2 nor the host tells is left unset, or at its default; a configuration that says more shows it as a change in
//! the first plan.

use std::collections::{BTreeMap, BTreeSet};

use drbd_ec2::{Instance, Role, Tags, Volume};
use drbd_schemas::facts::VolumeGroupFacts;
use tfplugin::{Diagnostic, Path, Value};

use super::model::{instance_value, volume_value};

/// A data disk of the node.
#[derive(Clone, Debug)]
pub(super) struct Adopted {
    pub(super) role: Role,
    pub(super) volume: Volume,
    /// Its path in the guest, which stays.
    pub(super) path: String,
    /// What the kernel calls it now.
    pub(super) kernel_name: String,
    /// Whether it carried the node's tags already.
    pub(super) was_ours: bool,
}

/// Everything that is known.
#[derive(Debug)]
pub(super) struct Findings<'a> {
    pub(super) name: &'a str,
    pub(super) instance: &'a Instance,
    pub(super) tags: Tags,
    pub(super) public: bool,
    pub(super) ssh: Value,
    pub(super) disks: &'a [Adopted],
    pub(super) volume_groups: &'a BTreeMap<String, VolumeGroupFacts>,
}

impl Findings<'_> {
    /// As a state.
    ///
    /// # Errors
    /// When the disks of a pool are not those of one volume group.
    pub(super) fn state(&self) -> Result<Value, Diagnostic> {
        let volumes =
            self.disks.iter().map(|disk| (disk.role.text(), volume_value(&disk.volume, Some(&disk.path))));
        let pools = self.pools()?;
        let text = |text: &Option<String>| text.as_deref().map_or(Value::Null, Value::from);
        Ok(Value::object([
            ("id", Value::from(self.name)),
            ("name", Value::from(self.name)),
            ("ssh", self.ssh.clone()),
            ("ec2", self.ec2()),
            ("address", text(&self.instance.private_ip)),
            ("storage_pools", if pools.is_empty() { Value::Null } else { Value::map(pools) }),
            ("deletion_protection", Value::from(false)),
            ("instance", instance_value(self.instance)),
            ("volumes", Value::map(volumes)),
            ("drift", Value::List(Vec::new())),
        ]))
    }

    fn ec2(&self) -> Value {
        let Instance { image_id, instance_type, subnet_id, key_name, iam_instance_profile, .. } =
            self.instance;
        let text = |text: &Option<String>| text.as_deref().map_or(Value::Null, Value::from);
        let groups = self.instance.security_group_ids.iter().map(String::as_str);
        let tags = self.tags.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let spot = self.instance.spot.then(|| Value::object([("max_price", Value::Null)]));
        Value::object([
            ("image_id", Value::from(image_id.as_str())),
            ("instance_type", Value::from(instance_type.as_str())),
            ("subnet_id", text(subnet_id)),
            ("security_group_ids", Value::set_of(groups)),
            ("ssh_address", Value::from(if self.public { "public" } else { "private" })),
            ("when_in_use", Value::from("stop")),
            ("key_name", text(key_name)),
            ("iam_instance_profile", text(iam_instance_profile)),
            ("software", Value::from("distribution")),
            ("tags", if self.tags.is_empty() { Value::Null } else { Value::map(tags) }),
            ("placement_group", text(&self.instance.placement_group)),
            ("spot", spot.unwrap_or(Value::Null)),
        ])
    }

    fn pools(&self) -> Result<BTreeMap<String, Value>, Diagnostic> {
        let mut by_pool: BTreeMap<&str, Vec<(&str, &Adopted)>> = BTreeMap::new();
        for adopted in self.disks {
            if let Role::Disk { pool, disk } = &adopted.role {
                by_pool.entry(pool).or_default().push((disk, adopted));
            }
        }
        by_pool.into_iter().map(|(pool, disks)| Ok((pool.to_owned(), self.pool(pool, &disks)?))).collect()
    }

    fn pool(&self, pool: &str, disks: &[(&str, &Adopted)]) -> Result<Value, Diagnostic> {
        let names: BTreeSet<&str> = disks.iter().map(|(_, disk)| disk.kernel_name.as_str()).collect();
        let (group, facts) = self.volume_group(pool, disks)?;
        let others: Vec<&str> =
            facts.disks.iter().map(String::as_str).filter(|disk| !names.contains(disk)).collect();
        if !others.is_empty() {
            let what = format!("the volume group {group} also lies on {}", others.join(", "));
            return Err(unclear(
                pool,
                &what,
                "Name the volumes of these disks in the import id, too: a part of the pool cannot be moved to another instance.",
            ));
        }
        let kind = kind(pool, group, facts)?;
        let ebs = disks.iter().map(|(name, disk)| (*name, ebs(disk)));
        Ok(Value::object([kind, ("ebs", Value::map(ebs))]))
    }

    /// The one volume group on all disks of a pool.
    fn volume_group(
        &self,
        pool: &str,
        disks: &[(&str, &Adopted)],
    ) -> Result<(&str, &VolumeGroupFacts), Diagnostic> {
        let mut found: Option<(&str, &VolumeGroupFacts)> = None;
        for (_, disk) in disks {
            let at = format!("{} ({})", disk.volume.id, disk.kernel_name);
            let group = self.volume_groups.iter().find(|(_, facts)| facts.disks.contains(&disk.kernel_name));
            let Some((name, facts)) = group else {
                let what = format!("{at} belongs to no volume group on the host");
                return Err(unclear(
                    pool,
                    &what,
                    "Make the volume group there first, or leave the disk out of the import id.",
                ));
            };
            if let Some((other, _)) = found.replace((name, facts)).filter(|(other, _)| other != name) {
                let what = format!("its disks belong to the volume groups {other} and {name}");
                return Err(unclear(
                    pool,
                    &what,
                    "A pool is one volume group: name one pool for each in the import id.",
                ));
            }
        }
        found.ok_or_else(|| unclear(pool, "it has no disk", "Name its disks in the import id."))
    }
}

/// With thin pools it is `lvm_thin`.
fn kind(pool: &str, group: &str, facts: &VolumeGroupFacts) -> Result<(&'static str, Value), Diagnostic> {
    let thin: Vec<&str> = facts.thin_pools.keys().map(String::as_str).collect();
    match thin.as_slice() {
        [] => Ok(("lvm", Value::object([("volume_group", group)]))),
        [one] => Ok(("lvm_thin", Value::object([("volume_group", group), ("thin_pool", *one)]))),
        several => Err(unclear(
            pool,
            &format!("the volume group {group} has several thin pools: {}", several.join(", ")),
            "Which of them is the storage pool cannot be told. Import the node as a host, with <name>@<ssh host>.",
        )),
    }
}

/// A disk by what EC2 tells. The key stays unset: EC2 names it for the account's default one, too.
fn ebs(disk: &Adopted) -> Value {
    let Volume { size_gib, volume_type, iops, throughput, encrypted, .. } = &disk.volume;
    // What a type has by itself is not a setting.
    let own_iops = match volume_type.as_str() {
        "io1" | "io2" => None,
        "gp3" => Some(3000),
        _ => *iops,
    };
    let number = |value: Option<u32>| value.map_or(Value::Null, Value::from);
    Value::object([
        ("size", Value::from(format!("{size_gib}GiB"))),
        ("type", Value::from(volume_type.as_str())),
        ("iops", number(iops.filter(|iops| Some(*iops) != own_iops))),
        ("throughput", number(throughput.filter(|throughput| *throughput != 125 && volume_type == "gp3"))),
        ("encrypted", Value::from(*encrypted)),
        ("kms_key_id", Value::Null),
        // A disk that somebody else made is not deleted unless the configuration says so.
        ("on_destroy", Value::from(if disk.was_ours { "delete" } else { "retain_disk" })),
    ])
}

fn unclear(pool: &str, what: &str, remedy: &str) -> Diagnostic {
    let detail = format!("Storage pool {pool:?}: {what}. Nothing was changed. {remedy}");
    Diagnostic::error("Storage pool cannot be imported", detail).at(Path::of("storage_pools").key(pool))
}

#[cfg(test)]
mod tests {
    use super::super::see::tests::{instance, volume};
    use super::*;
    use drbd_ec2::InstanceState;

    fn disk(role: &str, kernel_name: &str, was_ours: bool) -> Adopted {
        let volume = Volume { iops: Some(3000), throughput: Some(125), ..volume(100, Some("i-1")) };
        let path = format!("/dev/disk/by-id/{role}");
        Adopted { role: Role::disk(role).unwrap(), volume, path, kernel_name: kernel_name.into(), was_ours }
    }

    fn group(disks: &[&str], thin: &[&str]) -> VolumeGroupFacts {
        serde_json::from_value(serde_json::json!({
            "uuid": "x", "size_bytes": 1, "free_bytes": 1, "disks": disks,
            "thin_pools": thin.iter().map(|name| ((*name).to_owned(), serde_json::json!({
                "size_bytes": 1, "data_percent": 0.0, "zeroing": true,
            }))).collect::<serde_json::Map<_, _>>(),
        }))
        .unwrap()
    }

    fn state(disks: &[Adopted], groups: &[(&str, VolumeGroupFacts)]) -> Result<Value, String> {
        let volume_groups = groups.iter().map(|(name, group)| ((*name).to_owned(), group.clone())).collect();
        let instance = instance(InstanceState::Running);
        let findings = Findings {
            name: "a",
            instance: &instance,
            tags: Tags::new(),
            public: false,
            ssh: Value::object([("host", "10.0.0.1")]),
            disks,
            volume_groups: &volume_groups,
        };
        findings.state().map_err(|problem| problem.detail)
    }

    #[test]
    fn a_pool_is_the_volume_group_of_its_disks() {
        let thin = [("vg", group(&["/dev/nvme1n1"], &["thin"]))];
        let found = state(&[disk("data/d0", "/dev/nvme1n1", true)], &thin).unwrap();
        let pool = found.get("storage_pools").get("data");
        assert_eq!(pool.get("lvm_thin").get("thin_pool").as_str(), Some("thin"));
        let ebs = pool.get("ebs").get("d0");
        assert_eq!(
            (ebs.get("size").as_str(), ebs.get("on_destroy").as_str()),
            (Some("100GiB"), Some("delete"))
        );
        assert!(ebs.get("iops").is_null() && ebs.get("throughput").is_null(), "the type's own");
        let thick = [("vg", group(&["/dev/nvme1n1"], &[]))];
        let found = state(&[disk("data/d0", "/dev/nvme1n1", false)], &thick).unwrap();
        let pool = found.get("storage_pools").get("data");
        assert_eq!(pool.get("lvm").get("volume_group").as_str(), Some("vg"));
        assert_eq!(pool.get("ebs").get("d0").get("on_destroy").as_str(), Some("retain_disk"));
    }

    #[test]
    fn a_pool_that_is_not_clear_is_refused_with_what_was_found() {
        let one = || disk("data/d0", "/dev/nvme1n1", true);
        let refused =
            |disks: &[Adopted], groups: &[(&str, VolumeGroupFacts)]| state(disks, groups).unwrap_err();
        assert!(refused(&[one()], &[]).contains("belongs to no volume group"));
        let wide = [("vg", group(&["/dev/nvme1n1", "/dev/nvme2n1"], &[]))];
        assert!(refused(&[one()], &wide).contains("also lies on /dev/nvme2n1"));
        let two = [("v1", group(&["/dev/nvme1n1"], &[])), ("v2", group(&["/dev/nvme2n1"], &[]))];
        assert!(refused(&[one(), disk("data/d1", "/dev/nvme2n1", true)], &two).contains("v1 and v2"));
        let pools = [("vg", group(&["/dev/nvme1n1"], &["t1", "t2"]))];
        assert!(refused(&[one()], &pools).contains("t1, t2"));
    }
}
