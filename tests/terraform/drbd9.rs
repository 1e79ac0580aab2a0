// SPDX-License-Identifier: MPL-2.0
//! Three replicas by Terraform: hosts whose DRBD 9 kernel side is simulated (`tests/drbd9`), everything above it real.

use super::workspace::Workspace;
use anyhow::Result;
use serde_json::json;
use support::{Lab, drbd9};

fn configuration(lab: &Lab) -> String {
    format!(
        r#"
terraform {{
  required_providers {{
    drbd = {{ source = "replivol/drbd" }}
  }}
}}

provider "drbd" {{
  ssh = {{ user = "root", private_key_file = {:?}, known_hosts_files = [{:?}] }}
}}

resource "drbd_node" "this" {{
  for_each = {{ h1 = "{}", h2 = "{}", h3 = "{}" }}
  name     = each.key
  ssh      = {{ host = each.value }}
  storage_pools = {{
    data = {{ lvm_thin = {{ volume_group = "vg0", thin_pool = "pool" }}, disks = ["/dev/ubdb"] }}
  }}
}}

resource "drbd_resource_group" "three" {{
  name         = "three"
  nodes        = drbd_node.this
  storage_pool = "data"
  place_count  = 3
}}

resource "drbd_replicated_volume" "r0" {{
  name           = "r0"
  resource_group = drbd_resource_group.three
  size           = "48MiB"
}}
"#,
        lab.key(),
        lab.known_hosts(),
        lab.address(1),
        lab.address(2),
        lab.address(3)
    )
}

/// From blank disks to three replicas that are UpToDate without a byte sent, and an empty plan behind it.
#[test]
fn three_replicas_are_made() -> Result<()> {
    let lab = Lab::up(3)?;
    lab.simulate_drbd9(3)?;
    let workspace = Workspace::with(&lab, "three", &configuration(&lab))?;
    workspace.apply()?;
    for host in 1..=3 {
        assert_eq!(lab.sh(host, "drbdadm dstate r0")?, "UpToDate/UpToDate/UpToDate\n", "h{host}");
        assert_eq!(drbd9::peers(&lab, host, "sent")?, [json!(0), json!(0)], "h{host} sent blocks");
    }
    assert_eq!(workspace.plan()?, None, "a plan after apply is empty");
    Ok(())
}
