# SPDX-License-Identifier: MPL-2.0
# From subnets in several zones to one volume replicated over all of them: an instance with its data disk in each, host keys
# learnt from their consoles, and handed over to Ansible and ssh (inventory.tf). A second apply changes nothing; an instance that is lost is replaced with its disk.
terraform {
  required_providers {
    drbd = { source = "replivol/drbd" }
  }
}

provider "drbd" {
  ssh = {
    user              = var.user
    private_key_file  = var.private_key_file
    known_hosts_files = var.known_hosts_files # vouch for the bastion only
    bastion           = var.bastion == null ? null : { host = var.bastion }
  }
  ec2 = {
    region       = var.region
    endpoint_url = var.endpoint_url
    default_tags = { project = "three-zones" }
  }
}

# Replication among the nodes, and SSH from where Terraform or the bastion is.
resource "drbd_security_group" "nodes" {
  name   = "three-zones"
  vpc_id = var.vpc_id
  ssh    = var.ssh_from
}

resource "drbd_node" "this" {
  for_each = var.subnets
  name     = "drbd-${each.key}"
  ec2 = {
    image              = var.image
    instance_type      = var.instance_type
    subnet_id          = each.value
    key_name           = var.key_name
    security_group_ids = [drbd_security_group.nodes.id]
    software           = var.software
  }
  labels = { zone = each.key }
  storage_pools = {
    data = {
      lvm_thin = { volume_group = "drbdpool", thin_pool = "thinpool" }
      ebs      = { d0 = { size = var.disk_size } }
    }
  }
}

resource "drbd_resource_group" "zones" {
  name                  = "zones"
  nodes                 = drbd_node.this
  storage_pool          = "data"
  place_count           = length(var.subnets)
  replicas_on_different = ["zone"]
  net                   = { protocol = "C" }
}

resource "drbd_replicated_volume" "r0" {
  name           = "r0"
  resource_group = drbd_resource_group.zones
  size           = var.size
}
