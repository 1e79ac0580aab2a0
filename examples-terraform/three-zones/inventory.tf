# SPDX-License-Identifier: MPL-2.0
# For Ansible, and for ssh by hand: inventory.yml, ssh_config and known_hosts, written beside this file. Without a further trust step:
#   ansible-playbook -i inventory.yml ../../examples-ansible/three-zones/site.yml
#   ssh -F ssh_config drbd-a
data "drbd_inventory" "this" {
  nodes           = drbd_node.this
  volumes         = { r0 = drbd_replicated_volume.r0 }
  directory       = abspath(path.root)
  groups_by_label = ["zone"]
}

# Built into terraform, so that no other provider is needed. Deleted files come back with -replace, or with
# `terraform output -raw inventory >inventory.yml`; the provider `local` would see that they are gone.
resource "terraform_data" "file" {
  for_each = {
    "inventory.yml" = data.drbd_inventory.this.yaml
    "ssh_config"    = data.drbd_inventory.this.ssh_config
    "known_hosts"   = data.drbd_inventory.this.known_hosts
  }
  triggers_replace = each.value

  provisioner "local-exec" {
    command     = "printf '%s' \"$CONTENT\" >\"$FILE.new\" && mv \"$FILE.new\" \"$FILE\""
    environment = { CONTENT = each.value, FILE = "${path.root}/${each.key}" }
  }

  provisioner "local-exec" {
    when        = destroy
    command     = "rm -f \"$FILE\""
    environment = { FILE = "${path.root}/${each.key}" }
  }
}

output "inventory" {
  description = "Inventory with the hosts and the declaration of the volume, as in inventory.yml."
  value       = data.drbd_inventory.this.yaml
}
