// SPDX-License-Identifier: MPL-2.0
//! Security groups from nothing to nothing, cut anywhere, beside those of others.

use std::collections::BTreeSet;
use std::time::Duration;

use drbd_ec2::{Ec2, Ec2Error, GroupName, Protocol, Rule, Source, Tags};
use serde_json::{Value, json};

use crate::cloud::Cloud;

const MINUTE: Duration = Duration::from_secs(60);

fn name(cloud: &Cloud, name: &str) -> GroupName {
    GroupName { vpc_id: cloud.vpc.clone(), name: name.into() }
}

fn rule(port: i32, source: Source) -> Rule {
    Rule { protocol: Protocol::Tcp, from_port: port, to_port: port, source }
}

fn rules(id: &str) -> BTreeSet<Rule> {
    let range = Rule { to_port: 7999, ..rule(7000, Source::Group(id.into())) };
    [range, rule(22, Source::Cidr("10.0.0.0/8".into())), rule(22, Source::Cidr("2001:db8::/32".into()))]
        .into()
}

fn named(cloud: &Cloud, name: &str) -> Vec<Value> {
    let all = cloud.ask(json!({ "op": "groups" })).as_array().unwrap().clone();
    all.into_iter().filter(|group| group["name"] == name).collect()
}

async fn make(ec2: &Ec2, wanted: &GroupName) -> Result<String, Ec2Error> {
    let made = ec2.ensure_group(wanted, &Tags::from([("team".into(), "mine".into())])).await?;
    let group = ec2.set_rules(wanted, &made.id, &rules(&made.id), |_| false).await?;
    ec2.mark_group_finished(&group).await?;
    Ok(group.id)
}

#[tokio::test]
async fn a_group_comes_with_its_rules_and_goes() {
    let cloud = Cloud::start();
    let (ec2, wanted) = (cloud.ec2(), name(&cloud, "storage"));
    let id = make(&ec2, &wanted).await.unwrap();
    let group = ec2.security_group(&id).await.unwrap().unwrap();
    assert_eq!((&group.rules, &group.vpc_id), (&rules(&id), &cloud.vpc));
    assert_eq!((group.tags["team"].as_str(), group.tags["Name"].as_str()), ("mine", "storage"));

    // The same again changes nothing.
    cloud.calls();
    ec2.set_rules(&wanted, &id, &rules(&id), |_| true).await.unwrap();
    assert_eq!(cloud.calls(), ["DescribeSecurityGroups"]);

    // A rule that somebody took away comes back; one that somebody put there goes only when it is picked.
    cloud.ask(json!({ "op": "shut_out", "group": id, "port": 7000 }));
    cloud.ask(json!({ "op": "let_in", "group": id, "cidr": "0.0.0.0/0", "port": 5432 }));
    let group = ec2.set_rules(&wanted, &id, &rules(&id), |_| false).await.unwrap();
    assert_eq!(group.rules.len(), 4);
    let group = ec2.set_rules(&wanted, &id, &rules(&id), |rule| rule.from_port == 5432).await.unwrap();
    assert_eq!(group.rules, rules(&id));

    ec2.delete_group(&wanted, &id).await.unwrap();
    assert_eq!(named(&cloud, "storage"), [] as [Value; 0]);
    ec2.delete_group(&wanted, &id).await.unwrap();
}

#[tokio::test]
async fn tags_follow_their_declaration() {
    let cloud = Cloud::start();
    let (ec2, wanted) = (cloud.ec2(), name(&cloud, "storage"));
    let id = make(&ec2, &wanted).await.unwrap();
    let group = ec2.security_group(&id).await.unwrap().unwrap();
    let before = Tags::from([("team".to_owned(), "mine".to_owned())]);
    let now =
        Tags::from([("env".to_owned(), "prod".to_owned()), ("replivol:group".to_owned(), "x".to_owned())]);
    assert_eq!(ec2.group_tags_missing(&group, &before), Tags::new());
    ec2.tag_group(&group, &before, &now).await.unwrap();
    let group = ec2.security_group(&id).await.unwrap().unwrap();
    assert_eq!(
        (group.tags["env"].as_str(), group.tags["team"].as_str()),
        ("prod", "storage"),
        "the default is back"
    );
    assert_eq!(group.tags["replivol:group"], "storage");
    assert_eq!(ec2.group_tags_of_users(&group), Tags::from([("env".to_owned(), "prod".to_owned())]));
}

/// Cut before and after every call, with one attempt each; the run after it finds or makes everything, once.
#[tokio::test]
async fn cut_at_any_call_and_run_again_there_is_one_group() {
    let cloud = Cloud::start();
    for kind in ["cut", "lost"] {
        let mut cuts = 0;
        loop {
            let wanted = name(&cloud, &format!("{kind}{cuts}"));
            let once = cloud.ec2_with(|settings| settings.max_retries = Some(0));
            cloud.ask(json!({ "op": "fault", "kind": kind, "skip": cuts, "times": 1000 }));
            let first = make(&once, &wanted).await;
            cloud.ask(json!({ "op": "no_faults" }));
            if first.is_ok() {
                break;
            }
            match make(&cloud.ec2(), &wanted).await {
                Ok(_) => (),
                // Only the answer to the last call was lost: it is finished, and its id is in the state.
                Err(error) => assert!(kind == "lost" && error.to_string().contains("already"), "{error}"),
            }
            let there = named(&cloud, &wanted.name);
            assert_eq!(there.len(), 1, "{kind} at call {cuts}");
            assert_eq!(there[0]["rules"].as_array().unwrap().len(), 3, "{kind} at call {cuts}");
            cuts += 1;
        }
        assert!(cuts >= 6, "only {cuts} calls were cut");
    }
    // With the SDK's own attempts a lost answer is not seen at all.
    cloud.ask(json!({ "op": "fault", "action": "CreateSecurityGroup", "kind": "lost" }));
    cloud.ask(json!({ "op": "fault", "action": "AuthorizeSecurityGroupIngress", "kind": "lost" }));
    make(&cloud.ec2(), &name(&cloud, "again")).await.unwrap();
    assert_eq!(named(&cloud, "again").len(), 1);
}

#[tokio::test]
async fn what_is_not_ours_is_not_touched() {
    let cloud = Cloud::start();
    let ec2 = cloud.ec2();
    let foreign = cloud.ask(json!({ "op": "foreign_group", "name": "web", "vpc": cloud.vpc }));
    let id = foreign["group"].as_str().unwrap();
    let ours = make(&ec2, &name(&cloud, "storage")).await.unwrap();
    let before = cloud.ask(json!({ "op": "groups" }));
    cloud.calls();
    let web = name(&cloud, "web");
    for error in [
        make(&ec2, &web).await.unwrap_err(),
        ec2.set_rules(&web, id, &rules(id), |_| true).await.unwrap_err(),
        ec2.delete_group(&web, id).await.unwrap_err(),
        make(&ec2, &name(&cloud, "storage")).await.unwrap_err(),
        ec2.delete_group(&web, &ours).await.unwrap_err(),
    ] {
        assert!(matches!(error, Ec2Error::Refused { .. }), "{error}");
    }
    assert!(cloud.calls().iter().all(|call| call.starts_with("Describe")));
    assert_eq!(cloud.ask(json!({ "op": "groups" })), before);
    // Named by its id it can be taken over.
    let group = ec2.security_group(id).await.unwrap().unwrap();
    ec2.adopt_group(&group).await.unwrap();
    ec2.delete_group(&web, id).await.unwrap();
}

#[tokio::test]
async fn a_group_of_another_network_is_refused_by_its_name() {
    let cloud = Cloud::start();
    let ec2 = cloud.ec2();
    let other = cloud.ask(json!({ "op": "foreign_group", "name": "bastion" }));
    let (group, vpc) = (other["group"].as_str().unwrap(), other["vpc"].as_str().unwrap());
    let refused = async |id: &str| {
        ec2.groups_in(&cloud.vpc, &BTreeSet::from([id.to_owned()])).await.unwrap_err().to_string()
    };
    let said = refused(group).await;
    assert!(said.contains(group) && said.contains(vpc) && said.contains("cidr_blocks"), "{said}");
    let said = refused("sg-0123456789abcdef0").await;
    assert!(said.contains("no security group sg-0123456789abcdef0"), "{said}");
    ec2.groups_in(&cloud.vpc, &BTreeSet::from([cloud.group.clone()])).await.unwrap();
    // An instance is not launched with it either.
    let launch = cloud.launch(|launch| launch.security_group_ids = vec![group.to_owned()]);
    let said = ec2.ensure_instance(&cloud.owner("a"), &launch).await.unwrap_err().to_string();
    assert!(said.contains(group) && said.contains("VPC of the subnet"), "{said}");
    assert_eq!(cloud.count("instances"), 0);
}

#[tokio::test]
async fn a_group_in_use_is_waited_for_and_its_users_are_named() {
    let cloud = Cloud::start();
    let (ec2, wanted, owner) = (cloud.ec2(), name(&cloud, "storage"), cloud.owner("a"));
    let id = make(&ec2, &wanted).await.unwrap();
    let launch = cloud.launch(|launch| launch.security_group_ids = vec![id.clone()]);
    let instance = ec2.ensure_instance(&owner, &launch).await.unwrap();
    ec2.running(&instance.id, MINUTE).await.unwrap();
    let said = ec2.delete_group_within(&wanted, &id, Duration::from_secs(1)).await.unwrap_err().to_string();
    assert!(said.contains(&instance.id) && said.contains("It was not deleted"), "{said}");
    assert_eq!(named(&cloud, "storage").len(), 1);
    let (deleted, terminated) =
        tokio::join!(ec2.delete_group(&wanted, &id), ec2.terminate(&owner, &instance.id));
    deleted.unwrap();
    terminated.unwrap();
    assert_eq!(named(&cloud, "storage").len(), 0);
}
