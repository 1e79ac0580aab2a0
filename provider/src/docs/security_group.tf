# SPDX-License-Identifier: MPL-2.0
resource "drbd_security_group" "drbd" {
  name   = "drbd"
  vpc_id = "vpc-0123456789abcdef0"

  # Who logs in: the bastion, and the office.
  ssh = {
    security_group_ids = ["sg-0123456789abcdef0"]
    cidr_blocks        = ["203.0.113.0/24"]
  }
  # Ports 7000 to 7999 among the members need no word. A data centre replicates over WireGuard.
  wireguard = { cidr_blocks = ["198.51.100.7/32"] }

  undeclared = "remove"
  tags       = { team = "storage" }
}

resource "drbd_node" "a" {
  name = "drbd-a"
  ec2 = {
    image_id           = "ami-0123456789abcdef0"
    instance_type      = "m6i.large"
    subnet_id          = "subnet-0123456789abcdef0"
    key_name           = "aws-keypair"
    security_group_ids = [drbd_security_group.drbd.id]
  }
}
