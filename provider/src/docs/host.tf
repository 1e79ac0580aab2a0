# SPDX-License-Identifier: MPL-2.0
data "drbd_host" "a" {
  ssh = { host = "10.0.0.11" }
}

output "free" {
  value = { for name, group in data.drbd_host.a.volume_groups : name => group.free_bytes }
}
