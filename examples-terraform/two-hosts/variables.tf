# SPDX-License-Identifier: MPL-2.0
variable "hosts" {
  description = "Address of each host, by what `uname -n` prints there."
  type        = map(string)
}

variable "disk" {
  description = "A blank disk, the same on both hosts. A disk that holds anything is refused."
  type        = string
}

variable "size" {
  description = "Usable size of the volume."
  type        = string
  default     = "64MiB"
}

variable "user" {
  description = "Login name; any other than root needs sudo without a password."
  type        = string
  default     = "root"
}

variable "private_key_file" {
  description = "File with the private key; null for the SSH agent."
  type        = string
  default     = null
}

variable "bastion" {
  description = "Host to connect through, with the same user and key; null to connect to the hosts directly."
  type        = string
  default     = null
}

variable "known_hosts_files" {
  description = "Files that vouch for the host keys; null for those of ssh itself."
  type        = list(string)
  default     = null
}
