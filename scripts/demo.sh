#!/bin/bash
# SPDX-License-Identifier: MPL-2.0
# demo.sh: two real hosts, one replicated volume, both front doors. KEEP=1 leaves the hosts and the volume and says how to
# reach them; otherwise all is gone at the end, however it ends. Called by `make demo`, which builds first.
set -euo pipefail
ROOT=$(cd "$(dirname "$0")/.." && pwd)
LAB=$ROOT/tests/lab
export LAB_DIR=${TMPDIR:-/tmp}/replivol-lab/demo
WORK=$LAB_DIR/work
PROVEN=()

finish() {
	if [ "${KEEP:-}" = 1 ] && [ -e "$LAB_DIR/ssh_config" ]; then
		echo
		echo "The hosts keep running:  ssh -F $LAB_DIR/ssh_config h1     (and h2)"
		echo "On them:                 drbdadm status; drbd-host status"
		echo "Remove them:             LAB_DIR=$LAB_DIR $LAB/down"
	else
		"$LAB/down"
	fi
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

step() { printf '\n== %s\n' "$*"; }
proven() { PROVEN+=("$*"); }
die() { echo "demo: $*" >&2; exit 1; }
host() { ssh -n -F "$LAB_DIR/ssh_config" "h$1" "$2"; }
# The hosts' addresses exist only inside the lab's network namespace.
inside() { ip netns exec "$NS" "$@"; }
tf() { (cd "$WORK/terraform" && inside terraform "$@"); }

"$LAB/down" # blank disks: what a kept demo left is gone
step "Two real hosts"
"$LAB/up" 2 >/dev/null
# shellcheck source=/dev/null
. "$LAB_DIR/settings"
for n in 1 2; do
	host "$n" 'modprobe drbd; echo "$(hostname): kernel $(uname -r), DRBD $(sed -n "s/^version: \([^ ]*\).*/\1/p" /proc/drbd)"'
done

step "terraform apply of examples-terraform/two-hosts"
mkdir -p "$WORK"
cp -r "$ROOT/examples-terraform/two-hosts" "$WORK/terraform"
export TF_CLI_CONFIG_FILE=$WORK/terraformrc TF_IN_AUTOMATION=1
mirror=$WORK/mirror/registry.terraform.io/replivol/drbd/0.1.0/linux_amd64
install -D -t "$mirror" "$REPLIVOL_DIST/drbd-host"
install "$REPLIVOL_DIST/terraform-provider-drbd" "$mirror/terraform-provider-drbd_v0.1.0"
printf 'provider_installation {\n  filesystem_mirror { path = "%s" }\n}\n' "$WORK/mirror" >"$TF_CLI_CONFIG_FILE"
cat >"$WORK/terraform/terraform.tfvars" <<EOT
hosts             = { h1 = "$NET.11", h2 = "$NET.12" }
disk              = "/dev/ubdb"
private_key_file  = "$LAB_DIR/id"
known_hosts_files = ["$LAB_DIR/known_hosts"]
EOT
tf init -input=false -no-color >/dev/null
tf apply -input=false -auto-approve -no-color | grep -v '^$' | tail -n 25
for n in 1 2; do
	state=$(host "$n" 'drbdadm dstate r0')
	echo "h$n: r0 is $state"
	[ "$state" = UpToDate/UpToDate ] || die "h$n: found $state, expected UpToDate/UpToDate"
done
proven "terraform apply: blank disks to a replicated volume, UpToDate on both hosts"

step "A file written on h1, read on h2"
sum1=$(host 1 'drbdadm primary r0 && mkfs.ext4 -q /dev/drbd1000 && mkdir -p /mnt/r0 && mount /dev/drbd1000 /mnt/r0 &&
	head -c 8M /dev/urandom >/mnt/r0/file && sync && sha256sum </mnt/r0/file && umount /mnt/r0 && drbdadm secondary r0')
echo "h1: $sum1"
sum2=$(host 2 'drbdadm primary r0 && mkdir -p /mnt/r0 && mount /dev/drbd1000 /mnt/r0 && sha256sum </mnt/r0/file &&
	umount /mnt/r0 && drbdadm secondary r0')
echo "h2: $sum2"
[ -n "$sum1" ] && [ "$sum1" = "$sum2" ] || die "the checksums differ"
proven "8 MiB written through a mounted file system on h1 have the same checksum on h2"

step "terraform plan"
if ! tf plan -input=false -no-color -detailed-exitcode >"$WORK/plan"; then
	cat "$WORK/plan"
	die "the plan is not empty"
fi
grep 'No changes' "$WORK/plan"
proven "terraform plan is empty"

step "The example playbook on the same hosts"
cp -rL "$ROOT/examples-ansible/two-hosts" "$WORK/ansible"
export ANSIBLE_COLLECTIONS_PATH=$WORK/collections SSH_CONFIG=$LAB_DIR/ssh_config ANSIBLE_NOCOLOR=1
"$REPLIVOL_ANSIBLE/ansible-galaxy" collection install --offline --collections-path "$WORK/collections" \
	"$REPLIVOL_DIST"/replivol-drbd-*.tar.gz >/dev/null
(cd "$WORK/ansible" && "$REPLIVOL_ANSIBLE/ansible-playbook" -i inventory.yml install.yml) >"$WORK/playbook" ||
	{ cat "$WORK/playbook"; die "the playbook that installs the program failed"; }
(cd "$WORK/ansible" && "$REPLIVOL_ANSIBLE/ansible-playbook" -i inventory.yml site.yml) >"$WORK/playbook" ||
	{ cat "$WORK/playbook"; die "the playbook failed"; }
grep -A 3 'PLAY RECAP' "$WORK/playbook"
[ "$(grep -c 'changed=0 .*failed=0' "$WORK/playbook")" = 2 ] || die "the playbook changed what terraform had made"
proven "ansible-playbook finds what terraform made: changed=0 on both hosts"

[ "${KEEP:-}" != 1 ] || { step "Proven"; printf '  * %s\n' "${PROVEN[@]}"; exit 0; }

step "terraform destroy"
tf destroy -input=false -auto-approve -no-color | tail -n 2
for n in 1 2; do
	left=$(host "$n" 'ls /etc/drbd.d/*.res 2>/dev/null; vgs --noheadings -o vg_name 2>/dev/null; cat /proc/drbd | grep cs: || true')
	[ -z "$left" ] || die "h$n still has: $left"
done
proven "terraform destroy leaves no file, no volume and no volume group behind"

step "Proven"
printf '  * %s\n' "${PROVEN[@]}"
