# SPDX-License-Identifier: MPL-2.0
variable "replication_secret" {
  type      = string
  ephemeral = true
}

resource "drbd_node" "this" {
  for_each      = { drbd-a = "10.0.0.11", drbd-b = "10.0.1.11" }
  name          = each.key
  ssh           = { host = each.value }
  storage_pools = { data = { lvm_thin = { volume_group = "drbdpool", thin_pool = "thinpool" } } }
}

resource "drbd_resource_group" "pair" {
  name         = "pair"
  nodes        = drbd_node.this
  storage_pool = "data"
}

resource "drbd_replicated_volume" "r0" {
  name                = "r0"
  resource_group      = drbd_resource_group.pair
  size                = "90GiB"
  deletion_protection = true

  shared_secret_wo         = var.replication_secret
  shared_secret_wo_version = 1
}
