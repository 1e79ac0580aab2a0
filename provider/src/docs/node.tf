# SPDX-License-Identifier: MPL-2.0
resource "drbd_node" "a" {
  name   = "drbd-a" # what `uname -n` prints there
  ssh    = { host = "10.0.0.11", host_keys = ["SHA256:uXbMYxwvnjnG9RIHhHkgsLxzFCfLbPfmOUlBDbCYmiw"] }
  labels = { zone = "us-west-2a" }
  storage_pools = {
    # Made from a blank disk, and removed with the node when empty.
    data = { lvm_thin = { volume_group = "drbdpool", thin_pool = "thinpool" }, disks = ["/dev/nvme1n1"] }
    # Exists already.
    slow = { lvm = { volume_group = "vg_hdd" } }
  }
}
