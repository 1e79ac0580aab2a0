// SPDX-License-Identifier: MPL-2.0
//! An instance and its disks as a refresh finds them: two calls for all nodes together.

use std::collections::{BTreeMap, BTreeSet};

use drbd_ec2::{Ec2, Ec2Error, Instance, InstanceState, Inventory, Volume};
use tfplugin::{Diagnostic, Value};

use super::model::{Known, instance_value, volume_value};
use super::told;
use crate::provider::Losses;

/// What a refresh found.
#[derive(Debug)]
pub(crate) enum Seen {
    /// Neither instance nor disk is left.
    Gone,
    /// It cannot be asked over SSH; what is wrong stands in the state's drift.
    Down(Value),
    /// It runs. What is wrong with it beyond what its host tells.
    Up(Value, Vec<String>),
}

/// Looks at a node: what is there, and what it has lost.
///
/// # Errors
/// When EC2 could not be asked.
pub(crate) async fn see(ec2: &Ec2, mut state: Value) -> Result<(Seen, Losses), Diagnostic> {
    let node = state.get("name").as_str().unwrap_or_default().to_owned();
    let known = Known::read(&state);
    let found = find(ec2, &known).await.map_err(|error| told(&error, &node))?;
    let losses = found.losses(&known);
    if found.is_gone() {
        return Ok((Seen::Gone, losses));
    }
    let mut drift = found.write(&mut state, &known);
    if !losses.instance {
        return Ok((Seen::Up(state, drift), losses));
    }
    let is = found.instance.as_ref().map_or_else(|| "terminated".to_owned(), |i| i.state.to_string());
    let id = known.instance.as_deref().unwrap_or("of this node");
    drift.insert(0, format!("the instance {id} is {is}"));
    state.set("drift", Value::list(drift));
    Ok((Seen::Down(state), losses))
}

/// The objects of a node that there are.
#[derive(Debug, Default)]
struct Found {
    /// None when it is gone, or about to be.
    instance: Option<Instance>,
    /// By `<pool>/<name>`.
    volumes: BTreeMap<String, Volume>,
}

async fn find(ec2: &Ec2, known: &Known) -> Result<Found, Ec2Error> {
    let inventory = ec2.inventory().await?;
    let mut found = Found::of(&inventory, known);
    // An object whose tags somebody took away is not in the inventory, and is still there.
    if let (None, Some(id)) = (&found.instance, &known.instance)
        && !inventory.instances.contains_key(id)
    {
        found.instance = ec2.instance(id).await?.filter(|instance| !instance.state.is_gone());
    }
    for (role, id) in &known.volumes {
        if !found.volumes.contains_key(role)
            && let Some(volume) = ec2.volume(id).await?
        {
            found.volumes.insert(role.clone(), volume);
        }
    }
    Ok(found)
}

impl Found {
    fn of(inventory: &Inventory, known: &Known) -> Self {
        let instance = known.instance.as_ref().and_then(|id| inventory.instances.get(id));
        let volumes = known
            .volumes
            .iter()
            .filter_map(|(role, id)| Some((role.clone(), inventory.volumes.get(id)?.clone())));
        Self { instance: instance.filter(|i| !i.state.is_gone()).cloned(), volumes: volumes.collect() }
    }

    fn is_gone(&self) -> bool {
        self.instance.is_none() && self.volumes.is_empty()
    }

    fn losses(&self, known: &Known) -> Losses {
        let runs = self.instance.as_ref().is_some_and(|instance| instance.state == InstanceState::Running);
        let lost = known.volumes.keys().filter(|role| !self.volumes.contains_key(*role));
        let pools: BTreeSet<String> =
            lost.filter_map(|role| Some(role.split_once('/')?.0.to_owned())).collect();
        Losses { instance: !runs, pools }
    }

    /// Puts what there is into a state; what is wrong, in words.
    fn write(&self, state: &mut Value, known: &Known) -> Vec<String> {
        let mut drift = Vec::new();
        state.set("instance", self.instance.as_ref().map_or(Value::Null, instance_value));
        if let Some(instance) = &self.instance {
            write_settings(state, instance);
        }
        let mut volumes = BTreeMap::new();
        for (role, id) in &known.volumes {
            let Some(volume) = self.volumes.get(role) else {
                drift.push(format!(
                    "the disk {role} ({id}) is gone with its data: a new one needs a full synchronisation"
                ));
                continue;
            };
            let device = state.get("volumes").get(role).get("device").as_str().map(str::to_owned);
            volumes.insert(role.clone(), volume_value(volume, device.as_deref()));
            write_size(state, role, volume);
            if let Some(instance) = &self.instance
                && volume.on(&instance.id).is_none()
            {
                drift.push(format!("the disk {role} ({id}) is not attached to {}", instance.id));
            }
        }
        state.set("volumes", Value::map(volumes));
        drift
    }
}

/// What can be changed in place, as it is, where the state holds it.
fn write_settings(state: &mut Value, instance: &Instance) {
    let mut ec2 = state.get("ec2").clone();
    if ec2.is_null() {
        return;
    }
    ec2.set("instance_type", instance.instance_type.as_str());
    if !ec2.get("security_group_ids").is_null() {
        ec2.set("security_group_ids", Value::set_of(instance.security_group_ids.iter().map(String::as_str)));
    }
    if !ec2.get("source_dest_check").is_null() {
        ec2.set("source_dest_check", instance.source_dest_check.map_or(Value::Null, Value::from));
    }
    state.set("ec2", ec2);
}

/// The size that a volume has, where it is not the one in the state.
fn write_size(state: &mut Value, role: &str, volume: &Volume) {
    let Some((pool, disk)) = role.split_once('/') else { return };
    let mut pools = state.get("storage_pools").clone();
    let mut entry = pools.get(pool).clone();
    let mut ebs = entry.get("ebs").clone();
    let mut one = ebs.get(disk).clone();
    let same = one.get("size").as_str().and_then(super::schema::gib) == Some(volume.size_gib);
    if one.is_null() || same {
        return;
    }
    one.set("size", format!("{}GiB", volume.size_gib));
    put(&mut ebs, disk, one);
    entry.set("ebs", ebs);
    put(&mut pools, pool, entry);
    state.set("storage_pools", pools);
}

fn put(map: &mut Value, key: &str, value: Value) {
    if let Value::Map(entries) = map {
        entries.insert(key.into(), value);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::model::tests::node;
    use super::*;
    use drbd_ec2::{Attachment, Tags, VolumeState};

    pub(in crate::node::ec2) fn instance(state: InstanceState) -> Instance {
        Instance {
            id: "i-1".into(),
            state,
            state_reason: None,
            image_id: "ami-1".into(),
            instance_type: "m6i.large".into(),
            availability_zone: "a".into(),
            subnet_id: None,
            vpc_id: Some("vpc-1".into()),
            private_ip: Some("10.0.0.1".into()),
            public_ip: None,
            key_name: None,
            security_group_ids: vec!["sg-2".into()],
            iam_instance_profile: None,
            spot: false,
            placement_group: None,
            root_device: None,
            interface_id: None,
            source_dest_check: None,
            disks: Vec::new(),
            tags: Tags::new(),
        }
    }

    pub(in crate::node::ec2) fn volume(size_gib: u32, on: Option<&str>) -> Volume {
        let attachment = |instance: &str| Attachment {
            volume_id: "vol-1".into(),
            instance_id: instance.into(),
            device: "/dev/sdf".into(),
            state: "attached".into(),
        };
        Volume {
            id: "vol-1".into(),
            state: VolumeState::InUse,
            size_gib,
            volume_type: "gp3".into(),
            iops: None,
            throughput: None,
            encrypted: true,
            kms_key_id: None,
            availability_zone: "a".into(),
            snapshot_id: None,
            attachments: on.map(attachment).into_iter().collect(),
            tags: Tags::new(),
        }
    }

    fn known() -> Known {
        Known {
            instance: Some("i-1".into()),
            volumes: BTreeMap::from([("data/d0".to_owned(), "vol-1".to_owned())]),
            ..Known::default()
        }
    }

    fn inventory(instance: Option<Instance>, volume: Option<Volume>) -> Inventory {
        Inventory {
            instances: instance.into_iter().map(|i| (i.id.clone(), i)).collect(),
            volumes: volume.into_iter().map(|v| (v.id.clone(), v)).collect(),
        }
    }

    #[test]
    fn a_terminated_instance_is_none_and_its_disk_is_kept() {
        let there = inventory(Some(instance(InstanceState::Terminated)), Some(volume(100, None)));
        let found = Found::of(&there, &known());
        assert!(found.instance.is_none() && !found.is_gone());
        let mut state = node();
        assert_eq!(found.write(&mut state, &known()), [] as [String; 0]);
        assert!(state.get("instance").is_null());
        assert_eq!(state.get("volumes").get("data/d0").get("id").as_str(), Some("vol-1"));
        assert!(Found::of(&Inventory::default(), &known()).is_gone());
    }

    #[test]
    fn what_a_node_has_lost_is_known_to_its_volumes() {
        let losses = |state: InstanceState, volume: Option<Volume>| {
            let losses = Found::of(&inventory(Some(instance(state)), volume), &known()).losses(&known());
            (losses.instance, losses.pools.into_iter().collect::<Vec<_>>())
        };
        let disk = || Some(volume(100, Some("i-1")));
        assert_eq!(losses(InstanceState::Running, disk()), (false, vec![]));
        assert_eq!(losses(InstanceState::Stopped, disk()), (true, vec![]));
        assert_eq!(losses(InstanceState::Terminated, disk()), (true, vec![]));
        assert_eq!(losses(InstanceState::Running, None), (false, vec!["data".to_owned()]));
    }

    #[test]
    fn what_is_lost_or_loose_is_told() {
        let running = || Some(instance(InstanceState::Running));
        let drift = |volume: Option<Volume>| {
            Found::of(&inventory(running(), volume), &known()).write(&mut node(), &known()).join(" ")
        };
        assert!(drift(None).contains("full synchronisation"));
        assert!(drift(Some(volume(100, None))).contains("not attached"));
        assert_eq!(drift(Some(volume(100, Some("i-1")))), "");
    }

    #[test]
    fn what_differs_shows_in_the_settings() {
        let found = Found::of(
            &inventory(Some(instance(InstanceState::Running)), Some(volume(120, Some("i-1")))),
            &known(),
        );
        let mut state = node();
        found.write(&mut state, &known());
        assert_eq!(state.get("ec2").get("security_group_ids"), &Value::set_of(["sg-2"]));
        let size = state.get("storage_pools").get("data").get("ebs").get("d0").get("size").clone();
        assert_eq!(size.as_str(), Some("120GiB"));
    }
}
