// SPDX-License-Identifier: MPL-2.0
//! `drbd_security_group` by the real terraform: what is refused makes nothing, what somebody changes is shown and repaired.

use super::workspace::{Workspace, one_line};
use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use support::{Cloud, Lab};

fn configuration(cloud: &Cloud<'_>, vpc: &str, members: &str) -> String {
    format!(
        r#"terraform {{
  required_providers {{ drbd = {{ source = "replivol/drbd" }} }}
}}
provider "drbd" {{
  ec2 = {{
    region = "us-west-2", endpoint_url = {:?}, access_key = "test", secret_key = "test"
    default_tags = {{ project = "x" }}
  }}
}}
resource "drbd_security_group" "this" {{
  name   = "storage"
  vpc_id = {vpc:?}
  {members}
}}
"#,
        cloud.url()
    )
}

/// The groups of this name.
fn groups(cloud: &Cloud<'_>) -> Result<Vec<Value>> {
    let all = cloud.ask(&json!({ "op": "groups" }))?;
    let all = all.as_array().context("a list")?.iter();
    Ok(all.filter(|group| group["name"] == "storage").cloned().collect())
}

fn rules(cloud: &Cloud<'_>) -> Result<Vec<String>> {
    Ok(serde_json::from_value(groups(cloud)?.first().context("a group")?["rules"].clone())?)
}

#[test]
fn a_group_is_declared_drifts_and_is_repaired() -> Result<()> {
    let lab = Lab::up(1)?;
    let cloud = Cloud::start(&lab)?;
    let there = cloud.ask(&json!({ "op": "groups" }))?;
    let vpc = cloud.vpc.clone();
    let foreign = cloud.ask(&json!({ "op": "foreign_group", "name": "bastion" }))?;
    let foreign = foreign["group"].as_str().context("a group")?.to_owned();
    let write = |workspace: &Workspace<'_>, members: &str| {
        workspace.write("main.tf", &configuration(&cloud, &vpc, members))
    };
    let workspace = Workspace::with(&lab, "group", &configuration(&cloud, &vpc, ""))?;

    // Refused in the plan, or before the first call that makes something.
    write(&workspace, r#"wireguard = { cidr_blocks = ["::/0"] }"#)?;
    let output = workspace.run(&["plan", "-input=false", "-no-color"])?;
    let said = one_line(&output.stderr);
    assert!(!output.success() && said.contains("everybody could reach wireguard"), "{said}");
    assert!(said.contains(r#"open_to_world = ["wireguard"]"#), "{said}");
    write(&workspace, &format!("ssh = {{ security_group_ids = [{foreign:?}] }}"))?;
    let said = workspace.apply_refused()?;
    assert!(said.contains(&foreign) && said.contains("and not in"), "{said}");
    assert_eq!(cloud.ask(&json!({ "op": "groups" }))?[0], there[0]);
    assert_eq!(groups(&cloud)?, [] as [Value; 0]);

    let open = r#"
  ssh           = { cidr_blocks = ["10.0.0.0/8"] }
  wireguard     = { cidr_blocks = ["::/0"] }
  open_to_world = ["wireguard"]
  tags          = { team = "storage" }
"#;
    write(&workspace, open)?;
    workspace.apply()?;
    assert_eq!(workspace.plan()?, None);
    let group = groups(&cloud)?.remove(0);
    let id = group["id"].as_str().context("an id")?.to_owned();
    // What goes out stays as EC2 made it, through every change below.
    let goes_out = json!(["-1 0.0.0.0/0"]);
    assert_eq!(group["out"], goes_out);
    assert_eq!((&group["tags"]["team"], &group["tags"]["project"]), (&json!("storage"), &json!("x")));
    let mut declared =
        ["tcp 22-22 10.0.0.0/8".into(), format!("tcp 7000-7999 {id}"), format!("udp 51820-51820 {id}")]
            .to_vec();
    declared.push("udp 51820-51820 ::/0".into());
    declared.sort();
    assert_eq!(rules(&cloud)?, declared);

    // A rule that is missing is drift; one that is not declared is shown, and kept until it is said otherwise.
    cloud.ask(&json!({ "op": "let_in", "group": id, "cidr": "0.0.0.0/0", "port": 5432 }))?;
    let output = workspace.run(&["plan", "-input=false", "-no-color", "-detailed-exitcode"])?;
    assert_eq!(output.code, Some(0), "{}", output.stdout);
    assert!(one_line(&output.stdout).contains("keeps them: tcp 5432 from 0.0.0.0/0"), "{}", output.stdout);
    cloud.ask(&json!({ "op": "shut_out", "group": id, "port": 22 }))?;
    cloud.ask(&json!({ "op": "untag", "object": id, "prefix": "team" }))?;
    let plan = workspace.plan()?.context("a missing rule is a change")?;
    assert!(plan.contains("the rule tcp 22 from 10.0.0.0/8 is missing"), "{plan}");
    assert!(plan.contains("the tag team"), "{plan}");
    workspace.apply()?;
    assert_eq!(groups(&cloud)?[0]["tags"]["team"], "storage");
    assert_eq!(rules(&cloud)?.len(), 5);
    write(&workspace, &format!("{open}  undeclared = \"remove\"\n"))?;
    workspace.apply()?;
    assert_eq!(rules(&cloud)?, declared);
    cloud.ask(&json!({ "op": "let_in", "group": id, "cidr": "0.0.0.0/0", "port": 5432 }))?;
    let plan = workspace.plan()?.context("a rule that is to go is a change")?;
    assert!(plan.contains("the rule tcp 5432 from 0.0.0.0/0 is not declared"), "{plan}");
    workspace.apply()?;
    assert_eq!(rules(&cloud)?, declared);

    // What is no longer declared goes, although others would be kept.
    write(&workspace, &open.replace("10.0.0.0/8", "10.1.0.0/16"))?;
    workspace.apply()?;
    assert!(rules(&cloud)?.contains(&"tcp 22-22 10.1.0.0/16".to_owned()));
    assert!(!rules(&cloud)?.contains(&"tcp 22-22 10.0.0.0/8".to_owned()));
    assert_eq!(workspace.plan()?, None);

    // Its state lost, and found again.
    workspace.run(&["state", "rm", "drbd_security_group.this"])?.ok()?;
    let said = workspace.apply_refused()?;
    assert!(said.contains(&id) && said.contains("imported"), "{said}");
    workspace.run(&["import", "-no-color", "drbd_security_group.this", &id])?.ok()?;
    assert_eq!(workspace.plan()?, None);
    assert_eq!(groups(&cloud)?.len(), 1);
    assert_eq!(groups(&cloud)?[0]["out"], goes_out);

    workspace.destroy()?;
    assert_eq!(groups(&cloud)?, [] as [Value; 0]);
    Ok(())
}
