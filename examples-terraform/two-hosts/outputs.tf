# SPDX-License-Identifier: MPL-2.0
output "device" {
  description = "The device, on both hosts. On one of them: drbdadm primary r0, then use it."
  value       = drbd_replicated_volume.r0.device
}

output "replicas" {
  description = "Where the replicas are."
  value       = drbd_replicated_volume.r0.replicas
}
