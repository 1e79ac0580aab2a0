// SPDX-License-Identifier: MPL-2.0
//! Import of running instances as nodes: what lost its state, and what somebody else made. Real hosts, real LVM.

use super::workspace::{Workspace, one_line};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use support::{Cloud, Lab};

pub const ONE_DISK: &str = r#"d0 = { size = "1GiB", on_destroy = "delete" }"#;
const TWO_DISKS: &str = r#"d0 = { size = "1GiB", on_destroy = "retain_disk" }, d1 = { size = "1GiB", on_destroy = "retain_disk" }"#;

/// One node, as a configuration that says what an import finds.
pub fn node(lab: &Lab, cloud: &Cloud<'_>, disks: &str) -> String {
    format!(
        r#"terraform {{
  required_providers {{ drbd = {{ source = "replivol/drbd" }} }}
}}
provider "drbd" {{
  ssh = {{ user = "root", private_key_file = {:?}, known_hosts_files = [{:?}], bastion = {{ host = {:?} }} }}
  ec2 = {{ region = "us-west-2", endpoint_url = {:?}, access_key = "test", secret_key = "test" }}
}}
resource "drbd_node" "a" {{
  name = "drbd-a"
  ec2 = {{
    image_id           = "ami-0d0000000000deb12"
    instance_type      = "t3.micro"
    subnet_id          = {:?}
    key_name           = "lab"
    security_group_ids = [{:?}]
    tags               = {{ team = "storage" }}
  }}
  storage_pools = {{
    data = {{
      lvm_thin = {{ volume_group = "drbdpool", thin_pool = "thinpool" }}
      ebs      = {{ {disks} }}
    }}
  }}
}}
"#,
        lab.key(),
        lab.known_hosts(),
        lab.address(1),
        cloud.url(),
        cloud.subnets[0],
        cloud.group,
    )
}

/// The one instance and the one data volume.
fn only(cloud: &Cloud<'_>) -> Result<(Value, Value)> {
    let (instances, volumes) = cloud.there()?;
    ensure!((instances.len(), volumes.len()) == (1, 1), "{instances:?} {volumes:?}");
    Ok((instances[0].clone(), volumes[0].clone()))
}

fn id(object: &Value) -> Result<&str> {
    object["id"].as_str().context("an id")
}

fn refused(workspace: &Workspace<'_>, import: &str) -> Result<String> {
    let output = workspace.run(&["import", "-no-color", "drbd_node.a", import])?;
    ensure!(!output.success(), "{import} was imported");
    Ok(one_line(&output.stderr))
}

/// Runs something that must only ask EC2.
fn only_looks(cloud: &Cloud<'_>, work: impl FnOnce() -> Result<()>) -> Result<()> {
    cloud.ask(&json!({ "op": "calls" }))?;
    work()?;
    let calls: Vec<String> = serde_json::from_value(cloud.ask(&json!({ "op": "calls" }))?)?;
    ensure!(calls.iter().all(|call| call.starts_with("Describe") || call == "GetConsoleOutput"), "{calls:?}");
    Ok(())
}

#[test]
fn a_running_instance_is_imported_with_its_disk() -> Result<()> {
    let lab = Lab::up(1)?;
    let cloud = Cloud::start(&lab)?;
    let workspace = Workspace::with(&lab, "import", &node(&lab, &cloud, ONE_DISK))?;
    workspace.apply()?;
    let (instance, volume) = only(&cloud)?;
    let (i, vol) = (id(&instance)?.to_owned(), id(&volume)?.to_owned());
    let forget = || workspace.run(&["state", "rm", "drbd_node.a"])?.ok();
    let import = |id: &str| workspace.run(&["import", "-no-color", "drbd_node.a", id])?.ok();

    // Ours, of which the state was lost: its tags say everything, and nothing is written.
    forget()?;
    only_looks(&cloud, || import(&i).map(drop))?;
    assert_eq!(workspace.plan()?, None);

    // Somebody else's. Every refusal leaves it so.
    forget()?;
    for object in [&i, &vol] {
        cloud.ask(&json!({ "op": "untag", "object": object, "prefix": "replivol:" }))?;
    }
    let before = only(&cloud)?;
    let said = refused(&workspace, &format!("drbd-x@{i},data/d0={vol}"))?;
    assert!(said.contains("calls itself \"drbd-a\"") && said.contains(&format!("drbd-a@{i}")), "{said}");
    let said = refused(&workspace, &format!("drbd-a@{i},data/d0=vol-0123456789abcdef0"))?;
    assert!(said.contains("is not attached to it; there are") && said.contains(&vol), "{said}");
    let said = refused(&workspace, "drbd-a@i-0123456789abcdef0")?;
    assert!(said.contains("knows no such instance") && said.contains("region"), "{said}");
    assert_eq!(only(&cloud)?, before);

    only_looks(&cloud, || import(&format!("drbd-a@{i},data/d0={vol}")).map(drop))?;
    assert_eq!(only(&cloud)?, before, "an import changes nothing");
    // The disk of somebody else would be kept: the configuration that deletes it shows that, and nothing else.
    let plan = one_line(&workspace.plan()?.context("a disk that would be deleted is a change")?);
    assert!(plan.contains(r#"on_destroy = "retain_disk" -> "delete""#), "{plan}");
    assert!(plan.contains("0 to add, 1 to change, 0 to destroy"), "{plan}");
    workspace.replace("main.tf", "\"delete\"", "\"retain_disk\"")?;
    assert_eq!(workspace.plan()?, None);
    assert_eq!(only(&cloud)?, before);

    // The first apply that does something gives them the node's tags, too.
    workspace.replace("main.tf", r#"team = "storage""#, r#"team = "storage", stage = "two""#)?;
    workspace.apply()?;
    let (instance, volume) = only(&cloud)?;
    assert_eq!(
        (&instance["tags"]["replivol:node"], &instance["tags"]["stage"]),
        (&json!("drbd-a"), &json!("two"))
    );
    assert_eq!(volume["tags"]["replivol:role"], "data/d0", "{volume}");
    assert_eq!(workspace.plan()?, None);

    // A node like any other: it can be destroyed, and its disk is kept.
    workspace.destroy()?;
    let (instances, volumes) = cloud.there()?;
    assert_eq!((instances.len(), volumes.len()), (0, 1));
    Ok(())
}

#[test]
fn two_disks_of_a_pool_come_in_by_an_import_block_and_its_plan_writes_nothing() -> Result<()> {
    let lab = Lab::up(1)?;
    let cloud = Cloud::start(&lab)?;
    let workspace = Workspace::with(&lab, "import-block", &node(&lab, &cloud, TWO_DISKS))?;
    workspace.apply()?;
    workspace.run(&["state", "rm", "drbd_node.a"])?.ok()?;
    let (instances, volumes) = cloud.there()?;
    let i = id(&instances[0])?.to_owned();
    let disk = |name: &str| {
        let found = volumes.iter().find(|volume| volume["tags"]["replivol:role"] == format!("data/{name}"));
        id(found.context("a disk")?).map(str::to_owned)
    };
    let (d0, d1) = (disk("d0")?, disk("d1")?);
    for object in [&i, &d0, &d1] {
        cloud.ask(&json!({ "op": "untag", "object": object, "prefix": "replivol:" }))?;
    }
    let before = cloud.there()?;

    // A part of the pool, an address that it has not, and a host that cannot be asked.
    let said = refused(&workspace, &format!("drbd-a@{i},data/d0={d0}"))?;
    assert!(
        said.contains("the volume group drbdpool also lies on") && said.contains("Name the volumes"),
        "{said}"
    );
    let said = refused(&workspace, &format!("drbd-a@{i}/public,data/d0={d0},data/d1={d1}"))?;
    assert!(said.contains("it has no public address") && said.contains("/public"), "{said}");
    cloud.ask(&json!({ "op": "stop", "instance": i }))?;
    let said = refused(&workspace, &format!("drbd-a@{i},data/d0={d0},data/d1={d1}"))?;
    assert!(said.contains("it is stopped") && said.contains("it must run: start it"), "{said}");
    cloud.ask(&json!({ "op": "start", "instance": i }))?;
    assert_eq!(cloud.there()?, before);

    let block =
        format!("import {{\n  to = drbd_node.a\n  id = \"drbd-a@{i},data/d0={d0},data/d1={d1}\"\n}}\n");
    workspace.write("import.tf", &block)?;
    only_looks(&cloud, || {
        let plan = workspace.plan()?.context("an import is a change of the state")?;
        ensure!(plan.contains("1 to import, 0 to add, 0 to change, 0 to destroy"), "{plan}");
        workspace.apply().map(drop)
    })?;
    assert_eq!(cloud.there()?, before, "nothing was to be changed");
    workspace.write("import.tf", "")?;
    only_looks(&cloud, || {
        assert_eq!(workspace.plan()?, None);
        Ok(())
    })?;

    // What the state alone knows to be this node's is destroyed as what carries its tags.
    workspace.destroy()?;
    let (instances, volumes) = cloud.there()?;
    assert_eq!((instances.len(), volumes.len()), (0, 2));
    ensure!(volumes.iter().all(|volume| volume["tags"]["replivol:retained"] == "true"), "{volumes:?}");
    Ok(())
}
