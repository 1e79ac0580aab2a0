# SPDX-License-Identifier: MPL-2.0
"""The lab as hypervisor: an instance is a guest of the lab with that private address, a volume is a disk of it.

A private address 10.99.0.(10+N) is host hN. Volumes are files in the lab's directory: attached, they are moved into the
guest's; terminated instances leave them. The guest's by-id link, which udev makes from the NVMe serial number on Nitro, is
made over ssh.
"""
import base64
import ipaddress
import os
import subprocess
import threading

LAB = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lab")
FIRST, LAST = 2, 32  # h1 is the bastion
RESERVED = 4  # addresses of a subnet that EC2 keeps for itself
IMAGES_WITH_DRBD9 = {"ami-0d0000000drbd9000"}


class Hypervisor:
    def __init__(self, lab_dir):
        self.lab_dir = lab_dir
        self.drbd9 = os.environ.get("LAB_DRBD9")
        self.elastic = False
        self.lock = threading.RLock()
        os.makedirs(os.path.join(lab_dir, "volumes"), exist_ok=True)

    def run(self, *args):
        done = subprocess.run([os.path.join(LAB, "hypervisor"), *map(str, args)], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"hypervisor {args}: {done.stderr}")
        return done.stdout.strip()

    def number(self, instance):
        return int(instance.private_ip.split(".")[3]) - 10

    def free_address(self, subnet, instances):
        from moto.ec2.models import ec2_backends
        backend = next(iter(ec2_backends["123456789012"][r] for r in [os.environ.get("AWS_REGION", "us-west-2")]))
        network = ipaddress.ip_network(backend.get_subnet(subnet).cidr_block)
        used = {i.private_ip for i in instances if i._state.name != "terminated"}
        base = str(network.network_address).rsplit(".", 1)[0]
        for n in range(FIRST, LAST + 1):
            address = f"{base}.{10 + n}"
            free = address not in used and ipaddress.ip_address(address) in network
            if free and int(ipaddress.ip_address(address)) - int(network.network_address) >= RESERVED:
                return address
        raise RuntimeError(f"no lab address is left in {network}")

    def name(self, instance):
        text = instance.user_data.decode() if isinstance(instance.user_data, bytes) else str(instance.user_data or "")
        if "hostname:" not in text:
            text = base64.b64decode(text or "").decode(errors="replace")
        found = [line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("hostname:")]
        return found[0] if found else f"h{self.number(instance)}"

    def launch(self, instance):
        """Boots the guest; its host key, as cloud-init prints it."""
        with self.lock:
            image = [self.drbd9] if instance.image_id in IMAGES_WITH_DRBD9 else []
            return self.run("launch", self.number(instance), self.name(instance), *image)

    def power_off(self, instance):
        with self.lock:
            self.run("power-off", self.number(instance))

    def forget(self, instance):
        """Its root disk is gone; its data disks are not."""
        with self.lock:
            self.run("terminate", self.number(instance))

    def plug(self, instance, volume):
        with self.lock:
            self.run("plug-elastic" if self.elastic else "plug", self.number(instance), volume.id, f"{volume.size}G")

    def grow(self, instance, volume):
        with self.lock:
            self.run("grow", self.number(instance), volume.id, f"{volume.size}G")

    def unplug(self, instance, volume):
        with self.lock:
            self.run("unplug", self.number(instance), volume.id)

    def delete(self, volume_id):
        try:
            os.remove(os.path.join(self.lab_dir, "volumes", volume_id + ".img"))
        except FileNotFoundError:
            pass
