// SPDX-License-Identifier: MPL-2.0
//! Taking over what somebody else made: only what is named, and never what is another node's.

use std::time::Duration;

use drbd_ec2::{Claim, Owner, Role, Tags};
use serde_json::json;

use crate::cloud::Cloud;

const MINUTE: Duration = Duration::from_secs(60);

fn role() -> Role {
    Role::disk("data/d0").unwrap()
}

#[tokio::test]
async fn what_is_named_becomes_the_owners_and_keeps_its_own_tags() {
    let cloud = Cloud::start();
    let (ec2, owner) = (cloud.ec2(), cloud.owner("a"));
    let stranger = cloud.ask(json!({ "op": "create_instance", "subnet": cloud.subnets[0] }));
    let stranger = ec2.running(stranger.as_str().unwrap(), MINUTE).await.unwrap();
    ec2.retag(&cloud.owner("x"), &Role::Instance, &stranger.id, &Tags::new(), &Tags::new(), &named("web"))
        .await
        .unwrap();
    cloud.ask(json!({ "op": "untag", "object": stranger.id, "prefix": "replivol:" }));
    let stranger = ec2.instance(&stranger.id).await.unwrap().unwrap();
    assert!(ec2.terminate(&owner, &stranger.id).await.is_err());

    let claim = Claim { instance: Some(&stranger), disks: &[] };
    // That it can be adopted is found without a change.
    cloud.calls();
    ec2.adoptable(&owner, claim).await.unwrap();
    assert!(cloud.calls().iter().all(|call| call.starts_with("Describe")));
    ec2.adopt(&owner, claim).await.unwrap();
    let ours = ec2.instance(&stranger.id).await.unwrap().unwrap();
    assert!(owner.owns(&ours.tags) && ours.tags["Name"] == "web", "{:?}", ours.tags);
    let of_users = ec2.tags_of_users(&owner, &ours.tags);
    assert_eq!(of_users, named("web"), "without our own, and without the default ones");
    // Once more is nothing.
    cloud.calls();
    ec2.adopt(&owner, Claim { instance: Some(&ours), disks: &[] }).await.unwrap();
    assert!(cloud.calls().iter().all(|call| call.starts_with("Describe")));
    ec2.terminate(&owner, &ours.id).await.unwrap();
}

fn named(name: &str) -> Tags {
    Tags::from([("Name".to_owned(), name.to_owned())])
}

#[tokio::test]
async fn what_is_another_nodes_stays_so() {
    let cloud = Cloud::start();
    let (ec2, a, b) = (cloud.ec2(), cloud.owner("a"), cloud.owner("b"));
    let one = ec2.ensure_instance(&a, &cloud.launch(|_| ())).await.unwrap();
    let one = ec2.running(&one.id, MINUTE).await.unwrap();
    let volume = ec2.ensure_volume(&b, &cloud.disk(5)).await.unwrap();
    let stranger = cloud.ask(json!({ "op": "create_instance", "subnet": cloud.subnets[0] }));
    let stranger = ec2.running(stranger.as_str().unwrap(), MINUTE).await.unwrap();
    let before = cloud.there();
    cloud.calls();
    let refused = async |owner: &Owner, instance, disks: &[_]| {
        ec2.adopt(owner, Claim { instance: Some(instance), disks }).await.unwrap_err().to_string()
    };
    let said = refused(&b, &one, &[]).await;
    assert!(
        said.contains("carries the tags of the node a") && said.contains("Nothing was changed"),
        "{said}"
    );
    let said = refused(&a, &stranger, &[]).await;
    assert!(said.contains("has its instance already") && said.contains(&one.id), "{said}");
    let said = refused(&a, &one, &[(role(), volume.clone())]).await;
    assert!(said.contains("carries the tags of the node b") && said.contains(&volume.id), "{said}");
    // Another volume with the same part in the node.
    let mut other = volume.clone();
    (other.id, other.tags) = ("vol-0123456789abcdef0".into(), Tags::new());
    let said = refused(&b, &stranger, &[(role(), other)]).await;
    assert!(said.contains("has its data/d0 already") && said.contains(&volume.id), "{said}");
    assert!(cloud.calls().iter().all(|call| call.starts_with("Describe")));
    assert_eq!(cloud.there(), before);
}
