#!/usr/bin/env bash
# moto: two volumes are attached to one instance under the same device name, and only the last one is its device.
# Expected: the second attach_volume is an error, because the device name is in use.
# Seen: both calls succeed, and describe_volumes shows both as "in-use" at /dev/sdg, while describe_instances shows only
#   the second. With DeleteOnTermination set for /dev/sdg, after terminate_instances the second is gone.
# Package: moto 5.2.5 with boto3 1.44.8, 2026-12-01.
# Why: code that gives two volumes the same device name passes its tests; and what is then found through the instance
#   (and deleted with it) is another volume than what is found through the volumes.
# Source: EC2 user guide, "Device names": a name that is in use cannot be given again.
set -euo pipefail
T=$(mktemp -d); trap 'rm -rf "$T"' EXIT; cd "$T"; bad=0
get() { apt-get -qq download "$1=$2" 2>/dev/null || { apt-get -qq download "$1" 2>/dev/null || { echo "skipped: needs $1"; exit 77; }
        echo "note: $1 $2 is no longer served, using $(ls "$1"_*.deb)"; }; dpkg -x "$1"_*.deb root; }
check() { if [ "$2" = "$3" ]; then echo "seen: $1: $3"; else echo "changed: $1: expected $2 got $3"; bad=1; fi; }
python3 -m venv v && v/bin/pip install --quiet --no-compile 'moto[ec2]==5.2.5' boto3==1.44.8
cat >t.py <<'P'
import boto3, os
from moto import mock_aws
os.environ.update(AWS_ACCESS_KEY_ID="x", AWS_SECRET_ACCESS_KEY="x", AWS_DEFAULT_REGION="us-east-1")
with mock_aws():
    c = boto3.client("ec2")
    image = c.describe_images()["Images"][0]["ImageId"]
    vm = c.run_instances(ImageId=image, MinCount=1, MaxCount=1)["Instances"][0]
    zone, vm = vm["Placement"]["AvailabilityZone"], vm["InstanceId"]
    ids = [c.create_volume(AvailabilityZone=zone, Size=1)["VolumeId"] for _ in range(2)]
    volumes = lambda: c.describe_volumes(Filters=[{"Name": "size", "Values": ["1"]}])["Volumes"]
    for v in ids:
        c.attach_volume(VolumeId=v, InstanceId=vm, Device="/dev/sdg")
    print(*[v["State"] + " " + v["Attachments"][0]["Device"] for v in volumes()])
    shown = c.describe_instances(InstanceIds=[vm])["Reservations"][0]["Instances"][0]["BlockDeviceMappings"]
    print(*[ids.index(b["Ebs"]["VolumeId"]) for b in shown if b["DeviceName"] == "/dev/sdg"])
    c.modify_instance_attribute(InstanceId=vm, BlockDeviceMappings=[{"DeviceName": "/dev/sdg", "Ebs": {"DeleteOnTermination": True}}])
    c.terminate_instances(InstanceIds=[vm])
    print(*[ids.index(v["VolumeId"]) for v in volumes()])
P
v/bin/python t.py >out
line() { sed -n "$1p" out; }
check "both attached as /dev/sdg"      "in-use /dev/sdg in-use /dev/sdg" "$(line 1)"
check "the instance shows the second"  "1"                             "$(line 2)"
check "left after termination"         "0"                             "$(line 3)"
exit $bad
