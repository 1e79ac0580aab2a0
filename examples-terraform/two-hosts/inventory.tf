# SPDX-License-Identifier: MPL-2.0
# For Ansible, and for ssh by hand. Without a further trust step:
#   terraform output -raw inventory >inventory.yml
#   terraform output -raw ssh_config >ssh_config
#   terraform output -raw known_hosts >known_hosts
#   ansible-playbook -i inventory.yml replivol.drbd.cluster      # finds everything as declared: changed=0
#   ssh -F ssh_config h1
data "drbd_inventory" "this" {
  nodes     = drbd_node.this
  volumes   = { r0 = drbd_replicated_volume.r0 }
  directory = abspath(path.root)
}

output "inventory" {
  description = "Inventory with the hosts and the declarations of the volumes."
  value       = data.drbd_inventory.this.yaml
}

output "ssh_config" {
  description = "OpenSSH configuration for the hosts."
  value       = data.drbd_inventory.this.ssh_config
}

output "known_hosts" {
  description = "The verified host keys."
  value       = data.drbd_inventory.this.known_hosts
}
