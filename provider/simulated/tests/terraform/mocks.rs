// SPDX-License-Identifier: MPL-2.0
//! `terraform test` with a mocked provider, which makes up what is computed.

use crate::support::Terraform;

const CONFIG: &str = r#"
resource "drbd_security_group" "g" {
  name   = "g"
  vpc_id = "vpc-1"
}
resource "drbd_node" "this" {
  for_each      = { h1 = "10.0.0.1", h2 = "10.0.0.2" }
  name          = each.key
  ssh           = { host = each.value }
  labels        = { zone = each.key }
  storage_pools = { data = { lvm_thin = { volume_group = "vg0", thin_pool = "thin" } } }
}
resource "drbd_node" "launched" {
  name = "h3"
  ec2 = {
    image_id           = "ami-1"
    instance_type      = "t3.micro"
    subnet_id          = "subnet-1"
    key_name           = "k"
    security_group_ids = [drbd_security_group.g.id]
  }
  storage_pools = {
    data = { lvm_thin = { volume_group = "vg0", thin_pool = "thin" }, ebs = { d0 = { size = "10GiB" } } }
  }
}
resource "drbd_resource_group" "dr" {
  name         = "dr"
  nodes        = merge(drbd_node.this, { launched = drbd_node.launched })
  storage_pool = "data"
}
resource "drbd_replicated_volume" "r0" {
  name           = "r0"
  resource_group = drbd_resource_group.dr
  size           = "64MiB"
}
data "drbd_host" "h1" {
  ssh = { host = drbd_node.this["h1"].ssh.host }
}
data "drbd_inventory" "this" {
  nodes   = drbd_node.this
  volumes = { r0 = drbd_replicated_volume.r0 }
}
"#;

#[test]
fn a_mocked_provider_needs_no_defaults() {
    let tf = Terraform::new(CONFIG);
    std::fs::create_dir(tf.work().join("tests")).unwrap();
    let runs = "mock_provider \"drbd\" {}\nrun \"plan\" {\n  command = plan\n}\nrun \"apply\" {\n  assert {\n    condition     = \
                drbd_replicated_volume.r0.name == \"r0\"\n    error_message = \"another name\"\n  }\n}\nrun \"again\" {}\n";
    std::fs::write(tf.work().join("tests/mocked.tftest.hcl"), runs).unwrap();
    tf.run(&["test", "-no-color"]).good().says(&["tearing down", "3 passed, 0 failed"]);
    // No host was asked.
    assert!(tf.world().hosts.values().all(|host| host.executions == 0));
}
