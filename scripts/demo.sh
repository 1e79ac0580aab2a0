#!/bin/bash
# SPDX-License-Identifier: MPL-2.0
# demo.sh: two real hosts, and what the product does on them. KEEP=1 leaves the hosts running and says how to reach
# them; otherwise they are gone at the end, however it ends. Called by `make demo`, which builds first.
set -euo pipefail
ROOT=$(cd "$(dirname "$0")/.." && pwd)
LAB=$ROOT/tests/lab
export LAB_DIR=${TMPDIR:-/tmp}/replivol-lab/demo

finish() {
	if [ "${KEEP:-}" = 1 ] && [ -e "$LAB_DIR/ssh_config" ]; then
		echo
		echo "The hosts keep running:  ssh -F $LAB_DIR/ssh_config h1     (and h2)"
		echo "Remove them:             LAB_DIR=$LAB_DIR $LAB/down"
	else
		"$LAB/down"
	fi
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

host() { ssh -n -F "$LAB_DIR/ssh_config" "h$1" "$2"; }

"$LAB/down" # blank disks: what a kept demo left is gone
"$LAB/up" 2 >/dev/null
echo "Two hosts are up:"
for n in 1 2; do
	host "$n" 'modprobe drbd; echo "  $(hostname)  kernel $(uname -r)  DRBD $(sed -n "s/^version: \([^ ]*\).*/\1/p" /proc/drbd)"'
done
