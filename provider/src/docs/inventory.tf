# SPDX-License-Identifier: MPL-2.0
data "drbd_inventory" "this" {
  nodes           = drbd_node.this
  volumes         = { r0 = drbd_replicated_volume.r0 }
  directory       = abspath(path.root)
  groups_by_label = ["zone"]
}

# terraform output -raw inventory > inventory.yml, and so on; or three local_file resources.
output "inventory" { value = data.drbd_inventory.this.yaml }
output "ssh_config" { value = data.drbd_inventory.this.ssh_config }
output "known_hosts" { value = data.drbd_inventory.this.known_hosts }

resource "drbd_node" "this" {
  for_each      = { h1 = "10.0.0.11", h2 = "10.0.0.12" }
  name          = each.key
  ssh           = { host = each.value }
  labels        = { zone = "zone-${each.key}" }
  storage_pools = { data = { lvm_thin = { volume_group = "drbdpool", thin_pool = "thinpool" }, disks = ["/dev/vdb"] } }
}

resource "drbd_resource_group" "pair" {
  name         = "pair"
  nodes        = drbd_node.this
  storage_pool = "data"
}

resource "drbd_replicated_volume" "r0" {
  name           = "r0"
  resource_group = drbd_resource_group.pair
  size           = "10GiB"
}
