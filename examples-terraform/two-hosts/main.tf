# SPDX-License-Identifier: MPL-2.0
# From two hosts with a blank disk each to one replicated volume, /dev/drbd1000. A second apply changes nothing.
terraform {
  required_providers {
    drbd = { source = "replivol/drbd" }
  }
}

provider "drbd" {
  ssh = {
    user              = var.user
    private_key_file  = var.private_key_file
    known_hosts_files = var.known_hosts_files
    bastion           = var.bastion == null ? null : { host = var.bastion }
  }
}

resource "drbd_node" "this" {
  for_each = var.hosts
  name     = each.key
  ssh      = { host = each.value }
  storage_pools = {
    data = { lvm_thin = { volume_group = "drbdpool", thin_pool = "thinpool" }, disks = [var.disk] }
  }
}

resource "drbd_resource_group" "pair" {
  name         = "pair"
  nodes        = drbd_node.this
  storage_pool = "data"
  place_count  = 2
  net          = { protocol = "C" }
}

resource "drbd_replicated_volume" "r0" {
  name           = "r0"
  resource_group = drbd_resource_group.pair
  size           = var.size
}
