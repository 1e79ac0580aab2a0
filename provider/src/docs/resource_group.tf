# SPDX-License-Identifier: MPL-2.0
resource "drbd_node" "this" {
  for_each      = { drbd-a = "10.0.0.11", drbd-b = "10.0.1.11", drbd-c = "10.0.2.11" }
  name          = each.key
  ssh           = { host = each.value }
  labels        = { zone = each.key }
  storage_pools = { data = { lvm_thin = { volume_group = "drbdpool", thin_pool = "thinpool" } } }
}

resource "drbd_resource_group" "dr" {
  name                  = "dr"
  nodes                 = drbd_node.this # whole objects
  storage_pool          = "data"
  place_count           = 3
  replicas_on_different = ["zone"]
  options               = { quorum = "majority", on-no-quorum = "io-error" } # DRBD 9
  net                   = { protocol = "C" }
  connections           = [{ nodes = ["drbd-a", "drbd-c"], net = { protocol = "A" } }]
}
