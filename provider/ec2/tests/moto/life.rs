// SPDX-License-Identifier: MPL-2.0
//! An instance and its disk from nothing to nothing.

use std::time::Duration;

use drbd_ec2::{Growth, ImageChoice, InstanceState, Performance, PlaceChoice, Role, Spot, Tags};
use serde_json::json;

use crate::cloud::{Cloud, newest_debian};

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn an_instance_and_its_disk_come_and_go() {
    let cloud = Cloud::start();
    let (ec2, owner) = (cloud.ec2(), cloud.owner("a"));
    let place = ec2.place(&cloud.choice()).await.unwrap();
    assert_eq!((place.availability_zone.as_str(), &place.vpc_id), ("us-west-2a", &cloud.vpc));
    assert_eq!(ec2.image(&newest_debian()).await.unwrap().id, "ami-0d0000000000deb12");

    let launched = ec2.ensure_instance(&owner, &cloud.launch(|_| ())).await.unwrap();
    assert_eq!(launched.state, InstanceState::Pending);
    let instance = ec2.running(&launched.id, MINUTE).await.unwrap();
    assert_eq!(instance.tags["team"], "mine", "a node's tags win over the default ones");
    assert!(owner.owns(&instance.tags));
    ec2.status_checks(&instance.id, MINUTE).await.unwrap();
    let keys = ec2.console_host_keys(&instance.id, MINUTE).await.unwrap();
    assert!(keys[0].as_str().starts_with("ssh-ed25519 AAAA"));

    let volume = ec2.ensure_volume(&owner, &cloud.disk(5)).await.unwrap();
    assert!(volume.encrypted && volume.snapshot_id.is_none());
    assert_eq!((volume.tags["team"].as_str(), volume.tags["replivol:role"].as_str()), ("storage", "data/d0"));
    let attached = ec2.attach(&owner, &volume.id, &instance.id).await.unwrap();
    assert_eq!(attached.on(&instance.id).unwrap().device, "/dev/sdf");

    // The same again makes and changes nothing.
    cloud.calls();
    assert_eq!(ec2.ensure_instance(&owner, &cloud.launch(|_| ())).await.unwrap().id, instance.id);
    assert_eq!(ec2.ensure_volume(&owner, &cloud.disk(5)).await.unwrap().id, volume.id);
    ec2.attach(&owner, &volume.id, &instance.id).await.unwrap();
    let only_looks = |call: &String| call.starts_with("Describe");
    assert!(cloud.calls().iter().all(only_looks));

    assert!(ec2.stop(&owner, &instance.id).await.unwrap());
    ec2.detach(&owner, &volume.id).await.unwrap();
    ec2.terminate(&owner, &instance.id).await.unwrap();
    ec2.delete_volume(&owner, &volume.id).await.unwrap();
    assert_eq!((cloud.count("instances"), cloud.count("volumes")), (0, 0));
    // And once more: gone is done.
    ec2.stop(&owner, &instance.id).await.unwrap();
    ec2.detach(&owner, &volume.id).await.unwrap();
    ec2.terminate(&owner, &instance.id).await.unwrap();
    ec2.delete_volume(&owner, &volume.id).await.unwrap();
}

#[tokio::test]
async fn a_node_that_was_destroyed_can_be_made_again_at_once() {
    let cloud = Cloud::start();
    let (ec2, owner) = (cloud.ec2(), cloud.owner("a"));
    let mut seen = Vec::new();
    for _ in 0..3 {
        let instance = ec2.ensure_instance(&owner, &cloud.launch(|_| ())).await.unwrap();
        ec2.running(&instance.id, MINUTE).await.unwrap();
        ec2.terminate(&owner, &instance.id).await.unwrap();
        seen.push(instance.id);
    }
    seen.dedup();
    assert_eq!(seen.len(), 3, "a client token of a terminated instance is not used again");
}

#[tokio::test]
async fn a_disk_grows_and_never_shrinks() {
    let cloud = Cloud::start();
    let (ec2, owner) = (cloud.ec2(), cloud.owner("a"));
    let volume = ec2.ensure_volume(&owner, &cloud.disk(5)).await.unwrap();
    let size = |size_gib| Performance { size_gib, ..cloud.disk(0).performance };
    assert_eq!(ec2.set_performance(&owner, &volume.id, &size(5)).await.unwrap(), Growth::AsWanted);
    assert_eq!(ec2.set_performance(&owner, &volume.id, &size(8)).await.unwrap(), Growth::Changed);
    assert_eq!(ec2.volume(&volume.id).await.unwrap().unwrap().size_gib, 8);
    let said = ec2.set_performance(&owner, &volume.id, &size(4)).await.unwrap_err().to_string();
    assert!(said.contains("has 8 GiB, and 4 are wanted") && said.contains("Nothing was changed"), "{said}");
    let said = ec2.set_performance(&owner, &volume.id, &size(9)).await.unwrap_err().to_string();
    assert!(said.contains("VolumeModificationRateExceeded") && said.contains("six hours"), "{said}");
    cloud.ask(json!({ "op": "allow_changes" }));
    assert_eq!(ec2.set_performance(&owner, &volume.id, &size(9)).await.unwrap(), Growth::Changed);
}

#[tokio::test]
async fn a_disk_outlives_its_instance_and_is_found_again() {
    let cloud = Cloud::start();
    let (ec2, owner) = (cloud.ec2(), cloud.owner("a"));
    let first = ec2.ensure_instance(&owner, &cloud.launch(|_| ())).await.unwrap();
    ec2.running(&first.id, MINUTE).await.unwrap();
    let volume = ec2.ensure_volume(&owner, &cloud.disk(5)).await.unwrap();
    ec2.attach(&owner, &volume.id, &first.id).await.unwrap();
    ec2.stop(&owner, &first.id).await.unwrap();
    ec2.detach(&owner, &volume.id).await.unwrap();
    ec2.terminate(&owner, &first.id).await.unwrap();
    ec2.retain_volume(&owner, &volume.id).await.unwrap();

    // The same address, too.
    let second = cloud.launch(|launch| launch.private_ip.clone_from(&first.private_ip));
    let second = ec2.ensure_instance(&owner, &second).await.unwrap();
    ec2.running(&second.id, MINUTE).await.unwrap();
    assert_ne!(second.id, first.id);
    assert_eq!(second.private_ip, first.private_ip);
    let again = ec2.ensure_volume(&owner, &cloud.disk(5)).await.unwrap();
    assert_eq!(again.id, volume.id);
    assert!(ec2.attach(&owner, &again.id, &second.id).await.unwrap().on(&second.id).is_some());
}

#[tokio::test]
async fn tags_follow_their_declaration() {
    let cloud = Cloud::start();
    let (ec2, owner) = (cloud.ec2(), cloud.owner("a"));
    let instance = ec2.ensure_instance(&owner, &cloud.launch(|_| ())).await.unwrap();
    let tags = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<Tags>()
    };
    let (before, wanted) = (tags(&[("team", "mine")]), tags(&[("env", "prod"), ("replivol:node", "b")]));
    ec2.retag(&owner, &Role::Instance, &instance.id, &instance.tags, &before, &wanted).await.unwrap();
    let now = ec2.instance(&instance.id).await.unwrap().unwrap().tags;
    assert_eq!((now["env"].as_str(), now["team"].as_str()), ("prod", "storage"), "the default tag is back");
    assert!(owner.owns(&now));
}

#[tokio::test]
async fn a_refresh_of_any_number_of_nodes_is_two_calls() {
    let cloud = Cloud::start();
    let ec2 = cloud.ec2();
    for n in 0..12 {
        let owner = cloud.owner(&format!("n{n}"));
        ec2.ensure_instance(&owner, &cloud.launch(|_| ())).await.unwrap();
    }
    cloud.calls();
    let reads = (0..50).map(|_| {
        let ec2 = ec2.clone();
        tokio::spawn(async move { ec2.inventory().await.unwrap().instances.len() })
    });
    for read in reads.collect::<Vec<_>>() {
        assert_eq!(read.await.unwrap(), 12);
    }
    let mut calls = cloud.calls();
    calls.sort();
    assert_eq!(calls, ["DescribeInstances", "DescribeVolumes"]);
    // A change makes it stale.
    let owner = cloud.owner("n0");
    let id = ec2.instances_of(&owner).await.unwrap()[0].id.clone();
    ec2.terminate(&owner, &id).await.unwrap();
    assert!(ec2.inventory().await.unwrap().instances[&id].state.is_gone());
}

#[tokio::test]
async fn images_and_places_can_be_chosen_in_every_way() {
    let cloud = Cloud::start();
    let ec2 = cloud.ec2();
    let by_parameter = ImageChoice::SsmParameter("/aws/service/debian/release/12/latest/amd64".into());
    let image = ec2.image(&by_parameter).await.unwrap();
    let launch = cloud.launch(|launch| {
        launch.image = image;
        launch.root_disk = drbd_ec2::RootDisk::default();
        launch.spot = Some(Spot { max_price: Some("0.5".into()) });
    });
    let instance = ec2.ensure_instance(&cloud.owner("s"), &launch).await.unwrap();
    assert_eq!(instance.image_id, "ami-0d0000000000deb12");
    assert!(instance.spot);
    let zone = PlaceChoice { subnet_id: None, availability_zone: Some("us-west-2b".into()) };
    assert_eq!(ec2.place(&zone).await.unwrap().availability_zone, "us-west-2b");
}
