// SPDX-License-Identifier: MPL-2.0
//! Settings that cannot work: refused in the plan where AWS can tell, and nothing is made.

use super::workspace::{Workspace, one_line};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use support::{Cloud, Lab};

/// What a case sets differently; the rest works.
struct Node {
    provider: String,
    name: &'static str,
    ec2: Vec<(&'static str, String)>,
}

impl Node {
    fn good(cloud: &Cloud<'_>) -> Self {
        let quoted = |text: &str| format!("{text:?}");
        Self {
            provider: "region = \"us-west-2\", access_key = \"test\", secret_key = \"test\"".to_owned(),
            name: "drbd-a",
            ec2: vec![
                ("image_id", quoted("ami-0d0000000000deb12")),
                ("instance_type", quoted("t3.micro")),
                ("subnet_id", quoted(&cloud.subnets[0])),
                ("key_name", quoted("lab")),
                ("security_group_ids", format!("[{:?}]", cloud.group)),
            ],
        }
    }

    fn with(cloud: &Cloud<'_>, member: &'static str, value: &str) -> Self {
        let mut node = Self::good(cloud);
        node.ec2.retain(|(name, _)| *name != member);
        node.ec2.push((member, value.to_owned()));
        node
    }

    fn resource(&self, label: &str) -> String {
        let ec2: Vec<String> = self.ec2.iter().map(|(name, value)| format!("{name} = {value}")).collect();
        format!(
            "resource \"drbd_node\" {label:?} {{\n  name = {:?}\n  ec2 = {{ {} }}\n  storage_pools = {{ data = {{ lvm = {{ volume_group = \
             \"vg\" }}, ebs = {{ d0 = {{ size = \"1GiB\" }} }} }} }}\n}}\n",
            self.name,
            ec2.join(", ")
        )
    }

    fn configuration(&self, cloud: &Cloud<'_>) -> String {
        format!(
            "terraform {{\n  required_providers {{\n    drbd = {{ source = \"replivol/drbd\" }}\n  }}\n}}\nprovider \"drbd\" {{\n  ec2 = {{ \
             endpoint_url = {:?}, max_retries = 0, {} }}\n}}\n{}",
            cloud.url(),
            self.provider,
            self.resource("a")
        )
    }
}

fn nothing_is_there(cloud: &Cloud<'_>) -> Result<()> {
    let (instances, volumes) = cloud.there()?;
    ensure!(instances.is_empty() && volumes.is_empty(), "{instances:?} {volumes:?}");
    Ok(())
}

fn calls(cloud: &Cloud<'_>) -> Result<Vec<String>> {
    Ok(serde_json::from_value(cloud.ask(&json!({ "op": "calls" }))?)?)
}

fn says(said: &str, words: &[&str]) {
    for word in words {
        assert!(said.contains(word), "{word:?} is missing: {said}");
    }
}

/// Refused by `terraform plan`, by looking only.
fn plan_refuses(workspace: &Workspace<'_>, cloud: &Cloud<'_>, node: &Node, words: &[&str]) -> Result<()> {
    workspace.write("main.tf", &node.configuration(cloud))?;
    calls(cloud)?;
    let output = workspace.run(&["plan", "-input=false", "-no-color"])?;
    let said = one_line(&output.stderr);
    ensure!(!output.success(), "this was planned: {:?}", node.ec2);
    says(&said, words);
    let asked = calls(cloud)?;
    ensure!(asked.iter().all(|call| call.starts_with("Describe")), "{asked:?}");
    nothing_is_there(cloud)
}

#[test]
fn what_aws_can_tell_is_refused_in_the_plan() -> Result<()> {
    let lab = Lab::up(1)?;
    let cloud = Cloud::start(&lab)?;
    let mut workspace = Workspace::with(&lab, "bad", &Node::good(&cloud).configuration(&cloud))?;
    workspace.set_env("AWS_EC2_METADATA_DISABLED", "true");
    let foreign = cloud.ask(&json!({ "op": "foreign_group", "name": "elsewhere" }))?;
    let foreign = foreign["group"].as_str().context("a group")?.to_owned();
    let with = |member: &'static str, value: &str| Node::with(&cloud, member, value);
    let elsewhere = |provider: &str| Node { provider: provider.to_owned(), ..Node::good(&cloud) };
    let subnet = cloud.subnets[0].clone();
    let cases: [(Node, Vec<&str>); 9] = [
        (with("availability_zone", "\"us-west-2b\""), vec![&subnet, "us-west-2a", "and not in us-west-2b"]),
        (
            with("subnet_id", "\"subnet-0123456789abcdef0\""),
            vec!["subnet-0123456789abcdef0", "Check subnet_id"],
        ),
        (
            elsewhere("region = \"eu-west-1\", access_key = \"test\", secret_key = \"test\""),
            vec![&subnet, "the region"],
        ),
        (with("instance_type", "\"x9.huge\""), vec!["x9.huge", "instance_type"]),
        (with("key_name", "\"nobody\""), vec!["nobody", "import it there first"]),
        (with("image_id", "\"ami-00000000\""), vec!["ami-00000000", "region"]),
        (with("instance_type", "\"t4g.micro\""), vec!["x86_64", "t4g.micro runs arm64"]),
        (with("security_group_ids", &format!("[{foreign:?}]")), vec![&foreign, "and not in", &cloud.vpc]),
        (elsewhere("region = \"us-west-2\""), vec!["No usable credentials", "AWS_PROFILE"]),
    ];
    for (node, words) in &cases {
        plan_refuses(&workspace, &cloud, node, words)?;
    }
    for code in ["ExpiredToken", "RequestExpired"] {
        cloud.ask(&json!({ "op": "fault", "kind": "error", "code": code, "status": 400, "times": 1000 }))?;
        plan_refuses(&workspace, &cloud, &Node::good(&cloud), &[code, "log in again"])?;
        cloud.ask(&json!({ "op": "no_faults" }))?;
    }
    // Of several mistakes all are told.
    let mut both = with("key_name", "\"nobody\"");
    both.ec2.retain(|(name, _)| *name != "instance_type");
    both.ec2.push(("instance_type", "\"x9.huge\"".to_owned()));
    plan_refuses(&workspace, &cloud, &both, &["x9.huge", "nobody"])?;
    // And what is good is planned, by looks only.
    workspace.write("main.tf", &Node::good(&cloud).configuration(&cloud))?;
    assert!(workspace.plan()?.is_some());
    nothing_is_there(&cloud)
}

#[test]
fn what_only_the_launch_can_tell_makes_nothing_either() -> Result<()> {
    let lab = Lab::up(1)?;
    let cloud = Cloud::start(&lab)?;
    let good = Node::good(&cloud);
    let workspace = Workspace::with(&lab, "bad", &good.configuration(&cloud))?;
    for (code, word) in [
        ("VcpuLimitExceeded", "Service Quotas"),
        ("InstanceLimitExceeded", "quota"),
        ("InsufficientInstanceCapacity", "t3.micro in us-west-2a"),
        ("IdempotentParameterMismatch", "apply again in a minute"),
    ] {
        let fault =
            json!({ "op": "fault", "action": "RunInstances", "kind": "error", "code": code, "times": 1000 });
        cloud.ask(&fault)?;
        says(&workspace.apply_refused()?, &[code, word]);
        cloud.ask(&json!({ "op": "no_faults" }))?;
        nothing_is_there(&cloud)?;
        assert_eq!(workspace.state()?, [] as [String; 0], "nothing is tainted: {code}");
    }
    a_disk_in_another_zone_is_told_before_the_launch(&cloud, &workspace)?;
    two_nodes_of_one_name_are_not_one_instance(&cloud, &workspace)
}

fn a_disk_in_another_zone_is_told_before_the_launch(
    cloud: &Cloud<'_>,
    workspace: &Workspace<'_>,
) -> Result<()> {
    let kept = cloud.ask(&json!({ "op": "create_volume", "zone": "us-west-2b", "tags": {
        "replivol:node": "drbd-a", "replivol:scope": cloud.vpc, "replivol:role": "data/d0" } }))?;
    let kept = kept.as_str().context("a volume")?;
    let said = workspace.apply_refused()?;
    says(&said, &[kept, "is in us-west-2b, and the node is in us-west-2a", "Nothing was changed"]);
    let (instances, volumes) = cloud.there()?;
    ensure!(instances.is_empty() && volumes.len() == 1, "{instances:?} {volumes:?}");
    cloud.ask(&json!({ "op": "untag", "object": kept, "prefix": "replivol:" }))?;
    Ok(())
}

/// A disk that cannot be made stops both nodes before a guest matters; what counts is that one of them never begins.
fn two_nodes_of_one_name_are_not_one_instance(cloud: &Cloud<'_>, workspace: &Workspace<'_>) -> Result<()> {
    let good = Node::good(cloud);
    workspace.write("main.tf", &format!("{}{}", good.configuration(cloud), good.resource("b")))?;
    let quota = json!({ "op": "fault", "action": "CreateVolume", "kind": "error", "code": "VolumeLimitExceeded", "times": 1000 });
    cloud.ask(&quota)?;
    let said = workspace.apply_refused()?;
    says(&said, &["Two nodes are called drbd-a", "a name of its own", "VolumeLimitExceeded", "EBS quota"]);
    cloud.ask(&json!({ "op": "no_faults" }))?;
    let (instances, volumes) = cloud.there()?;
    ensure!(instances.len() == 1 && volumes.len() == 1, "{instances:?} {volumes:?}");
    assert_eq!(workspace.state()?.len(), 1, "what was launched is one resource's");
    let tags: &Value = &instances[0]["tags"];
    assert_eq!(tags["replivol:node"], "drbd-a");
    workspace.destroy()?;
    assert_eq!(cloud.there()?.0.len(), 0);
    Ok(())
}
