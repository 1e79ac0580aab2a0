// SPDX-License-Identifier: MPL-2.0
//! Import of running instances as nodes: what lost its state, and what somebody else made. Real hosts, real LVM.

use super::workspace::{Workspace, one_line};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use support::{Cloud, Lab};

/// One node with a disk, as a configuration that says what an import finds.
fn node(lab: &Lab, cloud: &Cloud<'_>) -> String {
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
      ebs      = {{ d0 = {{ size = "1GiB", on_destroy = "delete" }} }}
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

#[test]
fn a_running_instance_is_imported_with_its_disk() -> Result<()> {
    let lab = Lab::up(1)?;
    let cloud = Cloud::start(&lab)?;
    let workspace = Workspace::with(&lab, "import", &node(&lab, &cloud))?;
    workspace.apply()?;
    let (instance, volume) = only(&cloud)?;
    let (i, vol) = (id(&instance)?.to_owned(), id(&volume)?.to_owned());
    let forget = || workspace.run(&["state", "rm", "drbd_node.a"])?.ok();
    let import = |id: &str| workspace.run(&["import", "-no-color", "drbd_node.a", id])?.ok();

    // Ours, of which the state was lost: its tags say everything, and nothing is written.
    forget()?;
    cloud.ask(&json!({ "op": "calls" }))?;
    import(&i)?;
    let calls: Vec<String> = serde_json::from_value(cloud.ask(&json!({ "op": "calls" }))?)?;
    ensure!(calls.iter().all(|call| call.starts_with("Describe") || call == "GetConsoleOutput"), "{calls:?}");
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

    import(&format!("drbd-a@{i},data/d0={vol}"))?;
    let (instance, volume) = only(&cloud)?;
    assert_eq!(instance["tags"]["replivol:node"], "drbd-a", "{instance}");
    assert_eq!(volume["tags"]["replivol:role"], "data/d0", "{volume}");
    // The disk of somebody else would be kept: the configuration that deletes it shows that, and nothing else.
    let plan = one_line(&workspace.plan()?.context("a disk that would be deleted is a change")?);
    assert!(plan.contains(r#"on_destroy = "retain_disk" -> "delete""#), "{plan}");
    assert!(plan.contains("0 to add, 1 to change, 0 to destroy"), "{plan}");
    workspace.replace("main.tf", "\"delete\"", "\"retain_disk\"")?;
    assert_eq!(workspace.plan()?, None);

    // A node like any other: it can be destroyed, and its disk is kept.
    workspace.destroy()?;
    let (instances, volumes) = cloud.there()?;
    assert_eq!((instances.len(), volumes.len()), (0, 1));
    Ok(())
}
