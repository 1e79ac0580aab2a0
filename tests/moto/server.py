# SPDX-License-Identifier: MPL-2.0
"""EC2 for tests: moto's server, with a middleware for what moto lacks and tests need.

Added to moto: client tokens that are honoured, states that take their time, refusals that real EC2 has (a volume that is
attached already, another zone, another state), host keys on the console, a record of all calls, and faults by action and
count. With LAB_DIR set it is a hypervisor too: each instance is a guest of that lab (see hypervisor.py).

Prints its port. Ends when its standard input ends. POST /lab with {"op": ...} is for tests; the names are the methods of
Control.
"""
import base64
import copy
import datetime
import io
import json
import os
import socket
import sys
import threading
import time
from urllib.parse import parse_qs

HERE = os.path.dirname(os.path.abspath(__file__))
os.environ.setdefault("MOTO_AMIS_PATH", os.path.join(HERE, "amis.json"))
os.environ.setdefault("MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION", "true")
os.environ.setdefault("MOTO_ENABLE_AMI_VALIDATION", "true")
os.environ.setdefault("MOTO_ENABLE_KEYPAIR_VALIDATION", "true")

from moto.ec2.models import ec2_backends  # noqa: E402
from moto.moto_server.werkzeug_app import (  # noqa: E402
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server  # noqa: E402

from hypervisor import Hypervisor  # noqa: E402

ACCOUNT = "123456789012"
REGION = os.environ.get("AWS_REGION", "us-west-2")
CODES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}
CONSOLE = "[    1.0] Linux\n-----BEGIN SSH HOST KEY KEYS-----\n{}\n-----END SSH HOST KEY KEYS-----\n"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ root@test"


DATES = {"ami-0d0000000000deb12": "2026-10-01", "ami-0d00000000001deb1": "2026-09-01"}


class Refused(Exception):
    """An answer as EC2 gives it."""

    def __init__(self, code, message, status=400):
        super().__init__(code)
        self.code, self.message, self.status = code, message, status


def backend():
    return ec2_backends[ACCOUNT][REGION]


def set_state(instance, name):
    instance._state.name, instance._state.code = name, CODES[name]


def state(instance):
    return instance._state.name


class Cloud:
    """What moto lacks, around one call."""

    def __init__(self):
        self.hypervisor = Hypervisor(os.environ["LAB_DIR"]) if os.environ.get("LAB_DIR") else None
        self.tokens = {}
        self.tokens_lock = threading.Lock()
        self.consoles = {}
        self.statuses = {}
        self.calls = []
        self.faults = []
        self.delay = 0.2
        self.lock = threading.Lock()

    # -- one call ---------------------------------------------------------------------------------------------------

    def call(self, params, forward):
        """params: the form; forward(params) runs moto. Returns (status, body)."""
        action = params["Action"]
        self.calls.append(action)
        fault = self.fault(action)
        if fault and fault["kind"] == "error":
            raise Refused(fault["code"], fault.get("message", "told to"), fault.get("status", 400))
        if fault and fault["kind"] == "cut":
            raise ConnectionAbortedError
        before = getattr(self, "before_" + action, lambda _: None)(params)
        if before is None:
            # Requests with one token at the same moment are one request.
            with self.tokens_lock:
                before = self.once(action, params, forward)
        status, body = before
        if status == 200:
            body = getattr(self, "after_" + action, lambda _, text: text)(params, body)
        if fault and fault["kind"] == "unlisted":
            body = body.replace(between(body, "<reservationSet>", "</reservationSet>"), "")
        if fault and fault["kind"] == "lost":
            raise ConnectionAbortedError
        return status, body

    def fault(self, action):
        with self.lock:
            for fault in self.faults:
                if fault.get("action", action) != action:
                    continue
                if fault.get("skip", 0) > 0:
                    fault["skip"] -= 1
                    continue
                if fault.get("times", 1) > 0:
                    fault["times"] = fault.get("times", 1) - 1
                    return fault
        return None

    def once(self, action, params, forward):
        """Client tokens as EC2 has them: the same answer for the same request."""
        token = params.get("ClientToken") if action in ("RunInstances", "CreateVolume") else None
        asked = {k: v for k, v in params.items() if k not in ("ClientToken", "Action", "Version")}
        if token in self.tokens:
            then, answer, instance = self.tokens[token]
            if then != asked:
                raise Refused("IdempotentParameterMismatch", "Arguments on this idempotent request are inconsistent "
                              "with arguments used in previous request(s).")
            if instance and state(backend().get_instance(instance)) == "terminated":
                raise Refused("IdempotentInstanceTerminated", f"The instance {instance} of this token is terminated")
            return answer
        answer = forward(params)
        if token and answer[0] == 200:
            instance = between(answer[1], "<instanceId>", "</instanceId>") if action == "RunInstances" else None
            self.tokens[token] = (asked, answer, instance)
        return answer

    # -- instances --------------------------------------------------------------------------------------------------

    def before_RunInstances(self, params):
        image = params.get("ImageId", "")
        if image.startswith("resolve:ssm:"):
            params["ImageId"] = "ami-0d0000000000deb12"
        vpc = backend().get_subnet(params["NetworkInterface.1.SubnetId"]).vpc_id
        for key, group in params.items():
            if key.startswith("NetworkInterface.1.SecurityGroupId."):
                found = backend().get_security_group_from_id(group)
                if found is None or found.vpc_id != vpc:
                    raise Refused("InvalidGroup.NotFound", f"The security group '{group}' does not exist in VPC '{vpc}'")
        address = "NetworkInterface.1.PrivateIpAddress"
        if params.get(address) and any(
            i.private_ip == params[address] and state(i) not in ("terminated", "shutting-down") for i in instances()
        ) and params.get("ClientToken") not in self.tokens:
            raise Refused("InvalidIPAddress.InUse", f"Address {params[address]} is in use.")
        if self.hypervisor and address not in params and params.get("ClientToken") not in self.tokens:
            params["_address"] = self.hypervisor.free_address(params["NetworkInterface.1.SubnetId"], instances())

    def after_RunInstances(self, params, body):
        instance = backend().get_instance(between(body, "<instanceId>", "</instanceId>"))
        if getattr(instance, "seen", False):
            return body
        instance.seen = True
        set_state(instance, "pending")
        self.later(lambda: self.boot(instance))
        return body

    def boot(self, instance):
        key = KEY
        if self.hypervisor:
            key = self.hypervisor.launch(instance)
        if state(instance) == "pending":
            set_state(instance, "running")
        self.consoles.setdefault(instance.id, CONSOLE.format(key))

    def before_StartInstances(self, params):
        for instance in self.each(params):
            if state(instance) not in ("stopped", "running"):
                raise Refused("IncorrectInstanceState", f"The instance '{instance.id}' is not in a state from which it can be started.")

    def after_StartInstances(self, params, body):
        for instance in self.each(params):
            set_state(instance, "pending")
            self.later(lambda instance=instance: self.boot(instance))
        return body

    def before_StopInstances(self, params):
        for instance in self.each(params):
            if state(instance) not in ("running", "stopped", "stopping"):
                raise Refused("IncorrectInstanceState", f"The instance '{instance.id}' is not in a state from which it can be stopped.")

    def after_StopInstances(self, params, body):
        for instance in self.each(params):
            self.ending(instance, "stopping", "stopped")
        return body

    def before_TerminateInstances(self, params):
        for instance in self.each(params):
            if self.hypervisor and state(instance) not in ("terminated", "shutting-down"):
                self.hypervisor.power_off(instance)
                self.hypervisor.forget(instance)

    def after_TerminateInstances(self, params, body):
        for instance in self.each(params):
            self.ending(instance, "shutting-down", "terminated")
        return body

    def ending(self, instance, now, then):
        set_state(instance, now)

        def end():
            if self.hypervisor:
                self.hypervisor.power_off(instance)
            set_state(instance, then)

        self.later(end)

    def each(self, params):
        found = [backend().get_instance(v) for k, v in params.items() if k.startswith("InstanceId.")]
        return [instance for instance in found if instance]

    def later(self, what):
        timer = threading.Timer(self.delay, what)
        timer.daemon = True
        timer.start()

    def after_DescribeInstanceStatus(self, params, body):
        for kind, told in self.statuses.get(params.get("InstanceId.1"), {}).items():
            old = between(body, f"<{kind}>", f"</{kind}>")
            new = old.replace("<status>ok</status>", f"<status>{told}</status>", 1)
            body = body.replace(f"<{kind}>{old}</{kind}>", f"<{kind}>{new}</{kind}>")
        return body

    def after_GetConsoleOutput(self, params, body):
        text = self.consoles.get(params["InstanceId"], "")
        old = between(body, "<output>", "</output>")
        return body.replace(f"<output>{old}</output>", f"<output>{base64.b64encode(text.encode()).decode()}</output>")

    # -- volumes ----------------------------------------------------------------------------------------------------

    def before_AttachVolume(self, params):
        volume, instance = self.volume(params), backend().get_instance(params["InstanceId"])
        if params["Device"].startswith("/dev/nvme"):
            raise Refused("InvalidParameterValue", f"Value ({params['Device']}) for parameter device is invalid.")
        if volume.attachment:
            raise Refused("VolumeInUse", f"{volume.id} is already attached to an instance")
        if volume.zone.name != instance.availability_zone:
            raise Refused("InvalidVolume.ZoneMismatch", f"The volume '{volume.id}' is not in the same availability zone as instance '{instance.id}'")
        if state(instance) not in ("running", "stopped"):
            raise Refused("IncorrectState", f"Instance '{instance.id}' is not 'running'.")

    def after_AttachVolume(self, params, body):
        if self.hypervisor:
            self.hypervisor.plug(backend().get_instance(params["InstanceId"]), self.volume(params))
        return body

    def before_DetachVolume(self, params):
        if not self.volume(params).attachment:
            raise Refused("IncorrectState", f"Volume '{params['VolumeId']}' is in the 'available' state.")

    def after_DetachVolume(self, params, body):
        if self.hypervisor:
            self.hypervisor.unplug(backend().get_instance(params["InstanceId"]), self.volume(params))
        return body

    def before_ModifyVolume(self, params):
        volume = self.volume(params)
        if getattr(volume, "changed", False):
            raise Refused("VolumeModificationRateExceeded", "You've reached the maximum modification rate per volume limit.")
        if int(params.get("Size", volume.size)) < volume.size:
            raise Refused("InvalidParameterValue", "New size cannot be smaller than existing size")
        volume.changed = True

    def after_ModifyVolume(self, params, body):
        volume = self.volume(params)
        if self.hypervisor and self.hypervisor.elastic and volume.attachment and "Size" in params:
            self.hypervisor.grow(volume.attachment.instance, volume)
        return body

    def after_DeleteVolume(self, params, body):
        if self.hypervisor:
            self.hypervisor.delete(params["VolumeId"])
        return body

    # -- security groups --------------------------------------------------------------------------------------------

    def before_DeleteSecurityGroup(self, params):
        group = params["GroupId"]
        on = [i for i in instances() if state(i) != "terminated" and any(g.id == group for nic in i.nics.values() for g in nic.group_set)]
        rules = [rule for one in groups() if one.id != group for rule in one.ingress_rules if rule.source_group.get("GroupId") == group]
        if on or rules:
            raise Refused("DependencyViolation", f"resource {group} has a dependent object")

    def before_AuthorizeSecurityGroupIngress(self, params):
        vpc = backend().get_security_group_from_id(params["GroupId"]).vpc_id
        for key, other in params.items():
            if key.startswith("IpPermissions.") and key.endswith(".GroupId"):
                found = backend().get_security_group_from_id(other)
                if found is None or found.vpc_id != vpc:
                    raise Refused("InvalidGroup.NotFound", "You have specified two resources that belong to different networks.")

    def volume(self, params):
        return backend().get_volume(params["VolumeId"])


def instances():
    return [instance for reservation in backend().reservations.values() for instance in reservation.instances]


def groups():
    return [group for vpc in backend().groups.values() for group in vpc.values() if not group.is_default and group.name != "default"]


def between(text, start, end):
    return text.partition(start)[2].partition(end)[0]


class Control:
    """What tests ask for, by name."""

    def __init__(self, cloud):
        self.cloud = cloud

    def fault(self, **fault):
        """kind: error (code, message, status), lost (done, no answer), cut (not done, no answer),
        unlisted (of DescribeInstances: there is none yet); action, skip, times."""
        self.cloud.faults.append(fault)

    def states_take(self, seconds):
        """How long an instance is pending, stopping or shutting down."""
        self.cloud.delay = seconds

    def no_faults(self):
        self.cloud.faults.clear()

    def calls(self):
        calls, self.cloud.calls = self.cloud.calls, []
        return calls

    def console(self, instance, text):
        self.cloud.consoles[instance] = text

    def status(self, instance, system, guest):
        """What the two status checks of an instance say: ok, impaired, initializing."""
        self.cloud.statuses[instance] = {"systemStatus": system, "instanceStatus": guest}

    def allow_changes(self):
        """Six hours later."""
        for volume in backend().volumes.values():
            volume.changed = False

    def network(self, subnets):
        """A network with subnets: [[cidr, zone], ...]; their ids, and a security group."""
        vpc = backend().create_vpc("10.99.0.0/16")
        made = [backend().create_subnet(vpc.id, cidr, availability_zone=zone).id for cidr, zone in subnets]
        group = backend().create_security_group("drbd", "drbd", vpc_id=vpc.id).id
        if "lab" not in backend().key_pairs:
            backend().import_key_pair("lab", PUBLIC, {})
        return {"vpc": vpc.id, "subnets": made, "group": group}

    def terminate(self, instance):
        """Behind everybody's back."""
        one = backend().get_instance(instance)
        if self.cloud.hypervisor:
            self.cloud.hypervisor.power_off(one)
            self.cloud.hypervisor.forget(one)
        one.terminate()

    def groups(self):
        """Security groups that tests or the product made."""
        return [{"id": g.id, "name": g.name, "vpc": g.vpc_id, "tags": tags(g),
                 "out": sorted(f"{r.ip_protocol} {r.cidr_ipv4}" for r in g.egress_rules),
                 "rules": sorted(f"{r.ip_protocol} {r.from_port}-{r.to_port} {r.cidr_ipv4 or r.cidr_ipv6 or r.source_group.get('GroupId')}" for r in g.ingress_rules)}
                for g in groups()]

    def let_in(self, group, cidr, port):
        """Behind everybody's back."""
        backend().authorize_security_group_ingress(group, "tcp", port, port, [{"CidrIp": cidr}])

    def shut_out(self, group, port):
        """Behind everybody's back."""
        one = backend().get_security_group_from_id(group)
        one.ingress_rules = [rule for rule in one.ingress_rules if rule.from_port != port]

    def foreign_group(self, name, vpc=None):
        """One that is not ours, in a network of its own unless one is given; both ids."""
        vpc = vpc or backend().create_vpc("10.98.0.0/16").id
        return {"group": backend().create_security_group(name, "somebody's", vpc_id=vpc).id, "vpc": vpc}

    def create_volume(self, zone, tags):
        """Behind everybody's back."""
        made = backend().create_volume(size=1, zone_name=zone)
        made.add_tags(tags)
        return made.id

    def delete_volume(self, volume):
        """Behind everybody's back, with its data."""
        backend().volumes.pop(volume)
        self.cloud.hypervisor.delete(volume)

    def stop(self, instance):
        """Behind everybody's back."""
        one = backend().get_instance(instance)
        if self.cloud.hypervisor:
            self.cloud.hypervisor.power_off(one)
        set_state(one, "stopped")

    def start(self, instance):
        """Behind everybody's back; done when it runs."""
        one = backend().get_instance(instance)
        set_state(one, "pending")
        self.cloud.boot(one)

    def elastic(self):
        """Volumes that are attached from now on grow in the guest when they are modified."""
        self.cloud.hypervisor.elastic = True

    def untag(self, object, prefix):
        """Behind everybody's back."""
        keys = backend().tags.get(object, {})
        backend().delete_tags([object], {key: None for key in list(keys) if key.startswith(prefix)})

    def there(self):
        """Instances that are not gone and volumes that are no root disks."""
        alive = [i for i in instances() if state(i) != "terminated"]
        roots = {device.volume_id for i in alive for name, device in i.get_block_device_mapping if name == i.root_device_name or name == "/dev/sda1"}
        volumes = [
            {"id": v.id, "size": v.size, "on": v.attachment.instance.id if v.attachment else None, "tags": tags(v)}
            for v in backend().volumes.values() if v.id not in roots
        ]
        return {
            "instances": [{"id": i.id, "state": state(i), "ip": i.private_ip, "type": i.instance_type, "tags": tags(i)} for i in alive],
            "volumes": volumes,
        }

    def create_instance(self, subnet):
        """One that is not ours."""
        made = backend().run_instances("ami-0d0000000000deb12", 1, None, [], instance_type="t3.micro",
                                       is_instance_type_default=False, subnet_id=subnet, region_name=REGION)
        return made.instances[0].id


PUBLIC = KEY.encode()


def tags(thing):
    return {tag["key"]: tag["value"] for tag in thing.get_tags()}


class Application:
    """The middleware, as WSGI has it."""

    def __init__(self):
        self.moto = DomainDispatcherApplication(create_backend_app)
        self.cloud = Cloud()
        self.control = Control(self.cloud)
        # moto dates all images alike; "the newest" needs dates.
        for ami in backend().amis.values():
            ami.creation_date = datetime.datetime.fromisoformat(DATES.get(ami.id, "2025-01-01"))

    def __call__(self, environ, start_response):
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        if environ["PATH_INFO"] == "/lab":
            asked = json.loads(body)
            answer = getattr(self.control, asked.pop("op"))(**asked)
            return reply(start_response, 200, json.dumps(answer))
        params = {key: values[0] for key, values in parse_qs(body.decode(), keep_blank_values=True).items()}
        try:
            status, text = self.cloud.call(params, lambda changed: self.forward(environ, body, changed))
        except ConnectionAbortedError:
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            return []
        except Refused as refused:
            status, text = refused.status, (
                f"<Response><Errors><Error><Code>{refused.code}</Code><Message>{refused.message}</Message></Error></Errors>"
                f"<RequestID>7a62c49f-347e-4fc4-9331-6e8eEXAMPLE</RequestID></Response>")
        return reply(start_response, status, text)

    def forward(self, environ, body, params):
        environ = copy.copy(environ)
        sent = body.decode()
        if params.get("ImageId") and "resolve%3Assm" in sent:
            sent = sent.replace(between(sent, "ImageId=", "&"), params["ImageId"])
        if params.get("_address"):
            sent += "&NetworkInterface.1.PrivateIpAddress=" + params["_address"]
        environ["wsgi.input"], environ["CONTENT_LENGTH"] = io.BytesIO(sent.encode()), str(len(sent))
        told = {}

        def start(status, headers, exc_info=None):
            told["status"] = int(status.split()[0])

        text = b"".join(self.moto(environ, start)).decode()
        return told["status"], text


def reply(start_response, status, text):
    kind = "application/json" if text.startswith(("{", "[", '"', "null")) else "text/xml"
    start_response(f"{status} X", [("Content-Type", kind), ("Content-Length", str(len(text.encode())))])
    return [text.encode()]


def main():
    server = make_server("127.0.0.1", int(os.environ.get("MOTO_PORT", "0")), Application(), True, request_handler=MotoRequestHandler)
    print(server.server_address[1], flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()
    time.sleep(0)
    os._exit(0)


if __name__ == "__main__":
    main()
