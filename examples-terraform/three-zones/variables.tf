# SPDX-License-Identifier: MPL-2.0
variable "subnets" {
  description = "A private subnet for each node, by a short name of its zone: { a = \"subnet-…\", b = \"subnet-…\", c = \"subnet-…\" }. All are in one VPC. Three need DRBD 9."
  type        = map(string)
}

variable "vpc_id" {
  description = "The VPC of the subnets."
  type        = string
}

variable "ssh_from" {
  description = "Who may log in to the nodes: { security_group_ids = [\"sg-…\"] } of the bastion, { cidr_blocks = [\"203.0.113.0/24\"] }, or both."
  type        = object({ cidr_blocks = optional(set(string)), security_group_ids = optional(set(string)) })
}

variable "key_name" {
  description = "Key pair of the region."
  type        = string
}

variable "image" {
  description = "Owner and name of the image; the newest is taken."
  type        = object({ owners = list(string), name = string })
  default     = { owners = ["099720109477"], name = "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-*" }
}

variable "software" {
  description = "Where DRBD comes from: linbit_ppa (DRBD 9, Ubuntu), distribution (often 8.4, which knows two nodes), or none: the image has it."
  type        = string
  default     = "linbit_ppa"
}

variable "instance_type" {
  description = "Type of the instances."
  type        = string
  default     = "m6i.large"
}

variable "region" {
  description = "Region; null for the one of the environment or the profile."
  type        = string
  default     = null
}

variable "endpoint_url" {
  description = "Endpoint of the EC2 API; null for AWS's own."
  type        = string
  default     = null
}

variable "disk_size" {
  description = "Size of each node's data disk."
  type        = string
  default     = "100GiB"
}

variable "size" {
  description = "Usable size of the volume."
  type        = string
  default     = "90GiB"
}

variable "user" {
  description = "Login name of the image."
  type        = string
  default     = "ubuntu"
}

variable "private_key_file" {
  description = "File with the private key of key_name; null for the SSH agent."
  type        = string
  default     = null
}

variable "bastion" {
  description = "Address of the bastion; null when the subnets can be reached from here."
  type        = string
  default     = null
}

variable "known_hosts_files" {
  description = "Files that vouch for the bastion's key; null for those of ssh itself."
  type        = list(string)
  default     = null
}
