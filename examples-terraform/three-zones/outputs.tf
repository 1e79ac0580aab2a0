# SPDX-License-Identifier: MPL-2.0
output "device" {
  description = "The device, on every node."
  value       = drbd_replicated_volume.r0.device
}

output "instances" {
  description = "The instances, by zone."
  value       = { for zone, node in drbd_node.this : zone => node.instance.id }
}
