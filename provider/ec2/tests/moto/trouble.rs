// SPDX-License-Identifier: MPL-2.0
//! What goes wrong: refusals say what to do, lost answers lose nothing, other people's objects stay as they are.

use std::time::Duration;

use drbd_ec2::{Ec2, Ec2Error, ImageChoice, Kind, PlaceChoice, Settings};
use serde_json::{Value, json};

use crate::cloud::Cloud;

const MINUTE: Duration = Duration::from_secs(60);

fn fault(cloud: &Cloud, mut fault: Value) {
    fault["op"] = json!("fault");
    cloud.ask(fault);
}

#[tokio::test]
async fn throttling_and_lost_answers_are_not_seen() {
    let cloud = Cloud::start();
    let (ec2, owner) = (cloud.ec2(), cloud.owner("a"));
    fault(
        &cloud,
        json!({ "action": "RunInstances", "kind": "error", "code": "RequestLimitExceeded", "status": 503, "times": 2 }),
    );
    fault(&cloud, json!({ "action": "RunInstances", "kind": "lost" }));
    fault(&cloud, json!({ "action": "CreateVolume", "kind": "lost" }));
    let instance = ec2.ensure_instance(&owner, &cloud.launch(|_| ())).await.unwrap();
    ec2.running(&instance.id, MINUTE).await.unwrap();
    ec2.ensure_volume(&owner, &cloud.disk(5)).await.unwrap();
    assert_eq!((cloud.count("instances"), cloud.count("volumes")), (1, 1));
}

#[tokio::test]
async fn an_object_that_is_not_listed_yet_is_waited_for() {
    let cloud = Cloud::start();
    let (ec2, owner) = (cloud.ec2(), cloud.owner("a"));
    let instance = ec2.ensure_instance(&owner, &cloud.launch(|_| ())).await.unwrap();
    let unseen =
        |code: &str, action: &str| json!({ "action": action, "kind": "error", "code": code, "times": 2 });
    fault(&cloud, unseen("InvalidInstanceID.NotFound", "DescribeInstances"));
    ec2.running(&instance.id, MINUTE).await.unwrap();
    // The look before the create is the first of the three.
    fault(
        &cloud,
        json!({ "action": "DescribeVolumes", "kind": "error", "code": "InvalidVolume.NotFound", "times": 2, "skip": 1 }),
    );
    let volume = ec2.ensure_volume(&owner, &cloud.disk(5)).await.unwrap();
    fault(&cloud, unseen("InvalidVolume.NotFound", "AttachVolume"));
    ec2.attach(&owner, &volume.id, &instance.id).await.unwrap();
    assert_eq!((cloud.count("instances"), cloud.count("volumes")), (1, 1));
}

#[tokio::test]
async fn no_capacity_is_said_at_once_with_zone_and_type() {
    let cloud = Cloud::start();
    let (ec2, owner) = (cloud.ec2(), cloud.owner("a"));
    fault(
        &cloud,
        json!({ "action": "RunInstances", "kind": "error", "code": "InsufficientInstanceCapacity", "status": 500,
        "message": "We currently do not have sufficient t3.micro capacity", "times": 100 }),
    );
    cloud.calls();
    let error = ec2.ensure_instance(&owner, &cloud.launch(|_| ())).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Capacity);
    let said = error.to_string();
    assert!(said.contains("t3.micro in us-west-2a") && said.contains("another subnet or zone"), "{said}");
    let asked = cloud.calls().iter().filter(|call| *call == "RunInstances").count();
    assert_eq!(asked, 1, "it is not asked again for minutes");
    assert_eq!(cloud.count("instances"), 0);
}

#[tokio::test]
async fn bad_settings_make_nothing_and_say_what_to_do() {
    let cloud = Cloud::start();
    let (ec2, owner) = (cloud.ec2(), cloud.owner("a"));
    let refused = async |change: &dyn Fn(&mut drbd_ec2::Launch)| -> Ec2Error {
        ec2.ensure_instance(&owner, &cloud.launch(change)).await.unwrap_err()
    };
    let cases: [(Ec2Error, [&str; 2]); 5] = [
        (refused(&|l| l.instance_type = "x9.huge".into()).await, ["x9.huge", "instance_type"]),
        (refused(&|l| l.image.architecture = Some("arm64".into())).await, ["arm64", "x86_64"]),
        (refused(&|l| l.key_name = Some("nobody".into())).await, ["nobody", "import it there"]),
        (refused(&|l| l.security_group_ids = vec!["sg-0123".into()]).await, ["sg-0123", "VPC of the subnet"]),
        (refused(&|l| l.user_data = vec![b'x'; 20_000]).await, ["20000 bytes", "16384"]),
    ];
    for (error, words) in &cases {
        let said = error.to_string();
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
    }
    let both = PlaceChoice { availability_zone: Some("us-west-2b".into()), ..cloud.choice() };
    let said = ec2.place(&both).await.unwrap_err().to_string();
    assert!(said.contains("us-west-2a") && said.contains("us-west-2b"), "{said}");
    let said =
        ec2.place(&PlaceChoice { subnet_id: Some("subnet-0".into()), ..both }).await.unwrap_err().to_string();
    assert!(said.contains("subnet-0") && said.contains("subnet_id"), "{said}");
    let said = ec2.image(&ImageChoice::Id("ami-00000000".into())).await.unwrap_err().to_string();
    assert!(said.contains("ami-00000000") && said.contains("region"), "{said}");
    assert_eq!(cloud.count("instances"), 0);
}

#[tokio::test]
async fn what_is_not_ours_is_not_touched() {
    let cloud = Cloud::start();
    let ec2 = cloud.ec2();
    let stranger = cloud.ask(json!({ "op": "create_instance", "subnet": cloud.subnets[0] }));
    let stranger = stranger.as_str().unwrap();
    let neighbour = cloud.owner("b");
    let instance = ec2.ensure_instance(&neighbour, &cloud.launch(|_| ())).await.unwrap();
    ec2.running(&instance.id, MINUTE).await.unwrap();
    let volume = ec2.ensure_volume(&neighbour, &cloud.disk(5)).await.unwrap();
    let before = cloud.there();
    cloud.calls();
    let owner = cloud.owner("a");
    for id in [stranger, instance.id.as_str()] {
        for said in [
            ec2.terminate(&owner, id).await.unwrap_err().to_string(),
            ec2.stop(&owner, id).await.unwrap_err().to_string(),
        ] {
            assert!(said.contains(id) && said.contains("does not carry the tags"), "{said}");
        }
    }
    for error in [
        ec2.delete_volume(&owner, &volume.id).await.unwrap_err(),
        ec2.detach(&owner, &volume.id).await.unwrap_err(),
        ec2.set_performance(&owner, &volume.id, &cloud.disk(9).performance).await.unwrap_err(),
        ec2.attach(&owner, &volume.id, &instance.id).await.unwrap_err(),
    ] {
        assert!(error.to_string().contains("does not carry the tags"), "{error}");
    }
    assert!(cloud.calls().iter().all(|call| call.starts_with("Describe")));
    assert_eq!(cloud.there(), before);
}

#[tokio::test]
async fn a_name_that_is_taken_in_the_network_is_refused() {
    let cloud = Cloud::start();
    let (ec2, owner) = (cloud.ec2(), cloud.owner("a"));
    let instance = ec2.ensure_instance(&owner, &cloud.launch(|_| ())).await.unwrap();
    // Not finished: a run that was cut; it is taken over.
    assert_eq!(ec2.ensure_instance(&owner, &cloud.launch(|_| ())).await.unwrap().id, instance.id);
    ec2.mark_finished(&instance).await.unwrap();
    let said = ec2.ensure_instance(&owner, &cloud.launch(|_| ())).await.unwrap_err().to_string();
    assert!(said.contains(&instance.id) && said.contains("another name"), "{said}");
    assert_eq!(cloud.count("instances"), 1);
}

/// Two runs that know nothing of each other, at the same moment, also where they mean different subnets.
#[tokio::test]
async fn of_two_runs_at_once_one_makes_the_node() {
    let cloud = Cloud::start();
    for round in 0..6 {
        let owner = cloud.owner(&format!("n{round}"));
        let runs = [cloud.ec2(), cloud.ec2()];
        let elsewhere = cloud.launch(|launch| {
            if round % 2 == 1 {
                launch.place.subnet_id.clone_from(&cloud.subnets[1]);
                launch.place.availability_zone = "us-west-2b".into();
            }
        });
        let here = cloud.launch(|_| ());
        let made = async |ec2: &Ec2, launch| -> Result<(), Ec2Error> {
            let instance = ec2.ensure_instance(&owner, launch).await?;
            let instance = ec2.running(&instance.id, MINUTE).await?;
            ec2.finish(&owner, &instance).await
        };
        let (one, other) = tokio::join!(made(&runs[0], &here), made(&runs[1], &elsewhere));
        assert_eq!(of_node(&cloud, "instances", &owner.node).len(), 1, "round {round}");
        let lost = match (one, other) {
            (Ok(()), Err(lost)) | (Err(lost), Ok(())) => lost,
            both => panic!("round {round}: {both:?}"),
        };
        let said = lost.to_string();
        let told = matches!(lost, Ec2Error::TakenOver { .. }) && said.contains("apply again")
            || said.contains("There is a node");
        assert!(told && said.contains(&owner.node), "round {round}: {said}");
    }
}

#[tokio::test]
async fn an_instance_that_a_run_left_unfinished_has_one_new_run() {
    let cloud = Cloud::start();
    let owner = cloud.owner("a");
    let (first, second) = (cloud.ec2(), cloud.ec2());
    let instance = first.ensure_instance(&owner, &cloud.launch(|_| ())).await.unwrap();
    // The first is thought dead, and is not.
    let taken = second.ensure_instance(&owner, &cloud.launch(|_| ())).await.unwrap();
    assert_eq!(taken.id, instance.id);
    let lost = first.finish(&owner, &instance).await.unwrap_err();
    assert!(matches!(lost, Ec2Error::TakenOver { .. }), "{lost}");
    second.finish(&owner, &taken).await.unwrap();
    let lost = first.finish(&owner, &instance).await.unwrap_err();
    assert!(matches!(lost, Ec2Error::TakenOver { .. }), "{lost}");
    assert_eq!(cloud.count("instances"), 1);
}

/// EC2 lists what it made a few seconds late: nothing is launched twice by a run that comes right after one that was cut.
#[tokio::test]
async fn what_is_not_listed_yet_is_known_by_its_token() {
    let cloud = Cloud::start();
    let owner = cloud.owner("a");
    let instance = cloud.ec2().ensure_instance(&owner, &cloud.launch(|_| ())).await.unwrap();
    let next = cloud.ec2();
    fault(&cloud, json!({ "action": "DescribeInstances", "kind": "unlisted", "times": 3 }));
    let refused = next.ensure_instance(&owner, &cloud.launch(|_| ())).await.unwrap_err().to_string();
    assert!(refused.contains(&instance.id) && refused.contains("apply again"), "{refused}");
    assert_eq!(cloud.count("instances"), 1);
    assert_eq!(next.ensure_instance(&owner, &cloud.launch(|_| ())).await.unwrap().id, instance.id);
}

#[tokio::test]
async fn a_volume_on_a_living_instance_of_the_node_is_not_torn_off() {
    let cloud = Cloud::start();
    let (ec2, a) = (cloud.ec2(), cloud.owner("a"));
    let one = ec2.ensure_instance(&a, &cloud.launch(|_| ())).await.unwrap();
    ec2.running(&one.id, MINUTE).await.unwrap();
    let volume = ec2.ensure_volume(&a, &cloud.disk(5)).await.unwrap();
    ec2.attach(&a, &volume.id, &one.id).await.unwrap();
    let said = ec2.attach(&a, &volume.id, "i-0123456789").await.unwrap_err().to_string();
    assert!(said.contains(&one.id) && said.contains("running"), "{said}");
}

/// What a gate of EC2 says: which one, of what, how long, the last state, and what to do.
#[tokio::test]
async fn a_gate_that_stays_shut_says_what_it_saw_last_and_what_to_do() {
    let cloud = Cloud::start();
    let (ec2, owner) = (cloud.ec2(), cloud.owner("a"));
    cloud.ask(json!({ "op": "states_take", "seconds": 3600 }));
    let instance = ec2.ensure_instance(&owner, &cloud.launch(|_| ())).await.unwrap();
    let id = instance.id.as_str();
    let second = Duration::from_secs(1);
    assert_eq!(
        ec2.running(id, second).await.unwrap_err().to_string(),
        format!(
            "waited 1 s for {id}: instance running; last seen: pending. Look at `aws ec2 describe-instances --instance-ids {id}`, and \
             apply again."
        )
    );
    // One that ends instead is not waited for, and AWS's reason is told.
    cloud.ask(json!({ "op": "terminate", "instance": id }));
    let ended = ec2.running(id, MINUTE).await.unwrap_err();
    assert!(!matches!(ended, Ec2Error::Overdue(_)), "{ended}");
    let said = ended.to_string();
    assert!(said.contains(id) && said.contains("terminated"), "{said}");

    cloud.ask(json!({ "op": "states_take", "seconds": 0.1 }));
    let instance = ec2.ensure_instance(&cloud.owner("b"), &cloud.launch(|_| ())).await.unwrap();
    let id = instance.id.as_str();
    ec2.running(id, MINUTE).await.unwrap();
    for (system, guest) in [("impaired", "ok"), ("ok", "initializing"), ("impaired", "impaired")] {
        cloud.ask(json!({ "op": "status", "instance": id, "system": system, "guest": guest }));
        assert_eq!(
            ec2.status_checks(id, second).await.unwrap_err().to_string(),
            format!(
                "waited 1 s for {id}: status checks; last seen: system {system}, instance {guest}. A failed system check is AWS's \
                 hardware: terminate the instance, and apply again. A failed instance check is the guest: look at its console."
            )
        );
    }
    cloud.ask(json!({ "op": "status", "instance": id, "system": "ok", "guest": "ok" }));
    ec2.status_checks(id, second).await.unwrap();
}

#[tokio::test]
async fn a_console_without_keys_is_said_with_the_way_out() {
    let cloud = Cloud::start();
    let (ec2, owner) = (cloud.ec2(), cloud.owner("a"));
    let instance = ec2.ensure_instance(&owner, &cloud.launch(|_| ())).await.unwrap();
    cloud.ask(json!({ "op": "console", "instance": instance.id, "text": "Linux\nlogin: " }));
    let said = ec2.console_host_keys(&instance.id, Duration::ZERO).await.unwrap_err().to_string();
    assert!(
        said.contains("host keys on the console")
            && said.contains("ssh.host_keys")
            && said.contains("13 bytes"),
        "{said}"
    );
}

/// Cut before and after every call, with one attempt each; the run after it finds or makes everything, once.
#[tokio::test]
async fn cut_at_any_call_and_run_again_there_is_one_instance_and_one_volume() {
    let cloud = Cloud::start();
    for kind in ["cut", "lost"] {
        let mut cuts = 0;
        loop {
            let node = format!("{kind}{cuts}");
            let once = cloud.ec2_with(|settings| settings.max_retries = Some(0));
            fault(&cloud, json!({ "kind": kind, "skip": cuts, "times": 1000 }));
            let first = bring_up(&cloud, &once, &node).await;
            cloud.ask(json!({ "op": "no_faults" }));
            if first.is_ok() {
                break;
            }
            bring_up(&cloud, &cloud.ec2(), &node).await.unwrap();
            let (instances, volumes) =
                (of_node(&cloud, "instances", &node), of_node(&cloud, "volumes", &node));
            assert_eq!((instances.len(), volumes.len()), (1, 1), "{kind} at call {cuts}");
            assert_eq!(volumes[0]["on"], instances[0]["id"], "{kind} at call {cuts}");
            cuts += 1;
        }
        assert!(cuts > 8, "only {cuts} calls were cut");
    }
}

fn of_node(cloud: &Cloud, what: &str, node: &str) -> Vec<Value> {
    let all = cloud.there()[what].as_array().unwrap().clone();
    all.into_iter().filter(|object| object["tags"]["replivol:node"] == node).collect()
}

async fn bring_up(cloud: &Cloud, ec2: &Ec2, node: &str) -> Result<(), Ec2Error> {
    let owner = cloud.owner(node);
    let place = ec2.place(&cloud.choice()).await?;
    let launch = cloud.launch(|launch| launch.place = place);
    let instance = ec2.ensure_instance(&owner, &launch).await?;
    let instance = ec2.running(&instance.id, MINUTE).await?;
    let volume = ec2.ensure_volume(&owner, &cloud.disk(5)).await?;
    ec2.attach(&owner, &volume.id, &instance.id).await?;
    Ok(())
}

#[tokio::test]
async fn who_cannot_ask_is_told_how() {
    let cloud = Cloud::start();
    let denied = |code: &str| json!({ "kind": "error", "code": code, "status": 403, "times": 100 });
    for (code, word) in [
        ("UnauthorizedOperation", "permission"),
        ("RequestExpired", "log in again"),
        ("AuthFailure", "profile"),
    ] {
        cloud.ask(json!({ "op": "no_faults" }));
        fault(&cloud, denied(code));
        let error = cloud.ec2().inventory().await.unwrap_err();
        assert_eq!(error.kind(), Kind::Access);
        assert!(error.to_string().contains(word), "{error}");
    }
    // Nobody listens there.
    let nowhere = Settings {
        endpoint_url: Some("http://127.0.0.1:1".into()),
        max_retries: Some(0),
        ..Settings::default()
    };
    let keys = Some(("AKID".to_owned(), "x".to_owned(), None));
    let ec2 = Ec2::new(Settings { keys, region: Some("us-west-2".into()), ..nowhere });
    let said = ec2.inventory().await.unwrap_err().to_string();
    assert!(said.contains("no answer from AWS") && said.contains("endpoint_url"), "{said}");
}
