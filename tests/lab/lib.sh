# SPDX-License-Identifier: MPL-2.0
# shellcheck shell=bash disable=SC2034 # settings are used by the scripts that source this
# Shared by every script of the lab: settings, names, and the life of one host.
# Not here: building the image (build), the guest's own start-up (guest/init), faults (ctl).
#
# Settings, all from the environment. `up` stores them in the lab's directory; later calls read them from there,
# so `ctl` and `down` need LAB_DIR at most.
#   LAB_DIR        this lab's files; another directory is another lab      ${TMPDIR:-/tmp}/replivol-lab/default
#   LAB_NS         network namespace                                       rv-<name of LAB_DIR>
#   LAB_NET        the lab's /24; seen only inside the namespace           10.99.0
#   LAB_MEM        memory of a host                                        256M
#   LAB_DISKS      blank data disks of a host (/dev/ubdb, /dev/ubdc ...)   2
#   LAB_DISK_SIZE  size of each, sparse                                    512M
#   LAB_CACHE      where built images are kept, outside the checkout       ${XDG_CACHE_HOME:-~/.cache}/replivol-lab
#   LAB_KERNEL     suites to take the UML kernel from, in order            "sid bookworm"
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
LAB_ROOT=${TMPDIR:-/tmp}/replivol-lab
LAB_DIR=${LAB_DIR:-$LAB_ROOT/default}
LAB_CACHE=${LAB_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/replivol-lab}
MAX_HOSTS=32
MAX_DISKS=14 # UML has 16 ubd devices; one is the root, one stays free

say() { echo "lab: $*" >&2; }
die() { say "$*"; exit 1; }

# The image is a function of these files and of the choice of kernel: a change gets a new directory, so an image
# is never changed under a running host.
image_dir() {
	local key
	key=$(
		{
			cat "$HERE/build" "$HERE/../../scripts/debian-packages" "$HERE/xstate-shim.c" "$HERE/run-uml" "$HERE"/guest/*
			echo "${LAB_KERNEL:-sid bookworm}"
		} | sha256sum
	)
	echo "$LAB_CACHE/${key:0:16}"
}

load_settings() {
	# shellcheck disable=SC1091
	if [ -e "$LAB_DIR/settings" ]; then . "$LAB_DIR/settings"; fi
	NS=${NS:-${LAB_NS:-rv-$(basename "$LAB_DIR")}}
	NET=${NET:-${LAB_NET:-10.99.0}}
	MEM=${MEM:-${LAB_MEM:-256M}}
	DISKS=${DISKS:-${LAB_DISKS:-2}}
	DISK_SIZE=${DISK_SIZE:-${LAB_DISK_SIZE:-512M}}
	IMG=${IMG:-$(image_dir)}
}

store_settings() {
	mkdir -p "$LAB_DIR"
	printf '%s=%q\n' NS "$NS" NET "$NET" MEM "$MEM" DISKS "$DISKS" DISK_SIZE "$DISK_SIZE" IMG "$IMG" >"$LAB_DIR/settings.new"
	mv "$LAB_DIR/settings.new" "$LAB_DIR/settings"
}

host_dir() { echo "$LAB_DIR/h$1"; }
ip_of()    { echo "$NET.$((10 + $1))"; }
mac_of()   { printf '02:00:00:00:99:%02x' "$1"; }
hosts()    { local d; for d in "$LAB_DIR"/h[0-9]*/; do [ ! -d "$d" ] || basename "$d" | tr -d h; done | sort -n; }
disk_image()  { echo "$(host_dir "$1")/disk$2.img"; }
disk_device() { local letters=abcdefghijklmnop; echo "/dev/ubd${letters:$1:1}"; }
disks_of() { # numbers of the data disks that host N has
	local f
	for f in "$(host_dir "$1")"/disk[0-9]*.img; do
		[ -e "$f" ] || continue
		f=${f##*/disk}; echo "${f%.img}"
	done | sort -n
}

# A host's processes, and only they, hold the lock on hN/lock. So "is it alive" and "is it gone" need no process
# table, no name, and cannot be fooled by a reused process id or by zombies that nobody reaps.
alive() { [ -e "$(host_dir "$1")/lock" ] && ! flock -n "$(host_dir "$1")/lock" true; }

# Power cut. The recorded process is the first of a process-id namespace: its death kills everything in it, and its
# parent holds the lock until that is done. The id is valid while the lock is held, because a holder recorded it.
kill_host() {
	local d; d=$(host_dir "$1")
	alive "$1" || return 0
	kill -KILL "$(cat "$d/pid")" 2>/dev/null || true
	flock -w 20 "$d/lock" true || die "h$1: process $(cat "$d/pid") does not die"
	rm -f "$d/pid"
}

make_disks() { # make_disks N: the data disks that do not exist yet
	local k
	for k in $(seq "$DISKS"); do [ -e "$(disk_image "$1" "$k")" ] || truncate -s "$DISK_SIZE" "$(disk_image "$1" "$k")"; done
}

# What a host needs to know, read by guest/init over hostfs: names, its own ssh host key, who may log in, cut links.
make_seed() {
	local d s i; d=$(host_dir "$1"); s=$d/seed
	mkdir -p "$s" "$d/elastic"
	[ -e "$s/ssh_host_ed25519_key" ] || ssh-keygen -q -t ed25519 -N '' -C "h$1" -f "$s/ssh_host_ed25519_key"
	[ -e "$s/machine-id" ] || printf '%s%s' "$LAB_DIR" "$1" | md5sum | cut -c1-32 >"$s/machine-id"
	cp "$LAB_DIR/id.pub" "$s/authorized_keys"
	{ echo "127.0.0.1 localhost"; for i in $(seq $MAX_HOSTS); do echo "$(ip_of "$i") h$i"; done; } >"$s/hosts"
	printf 'name=%s\naddress=%s\n' "$(cat "$d/name" 2>/dev/null || echo "h$1")" "$(ip_of "$1")" >"$s/env"
	touch "$s/cut"
}

# One CPU for host N. A host's kernel and the processes in which its programs run take turns, never two at once; on one
# CPU such a turn takes microseconds, across two it is twenty times as long. Neighbours of a lab get different ones, and
# labs begin at different ones.
cpu_of() {
	local allowed part first last cpu cpus=()
	allowed=$(sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' /proc/self/status)
	for part in ${allowed//,/ }; do
		first=${part%-*} last=${part#*-}
		for ((cpu = first; cpu <= last; cpu++)); do cpus+=("$cpu"); done
	done
	local offset
	offset=$(cksum <<<"$LAB_DIR")
	echo "${cpus[(${offset%% *} + $1) % ${#cpus[@]}]}"
}

boot_host() { # start host N; disks that exist are kept
	local i=$1 d k ubd=()
	d=$(host_dir "$i")
	if alive "$i"; then return 0; fi
	mkdir -p "$d" "$IMG/jail/h$i" # the image may be older than a larger MAX_HOSTS
	rm -rf "$d/uml"
	make_disks "$i"
	make_seed "$i"
	for k in $(disks_of "$i"); do ubd+=("ubd$k=/h$i/disk$k.img"); done
	# Paths in the arguments are those inside the jail that run-uml enters. Without pty.legacy_count, /dev has 512 terminals
	# that no distribution's kernel has, and every lvm command looks at each.
	(
		exec 9>>"$d/lock"
		flock -n 9 || exit 0
		echo "$BASHPID" >"$d/pid"
		exec setsid taskset --cpu-list "$(cpu_of "$i")" ip netns exec "$NS" \
			unshare --mount --pid --fork --kill-child "$HERE/run-uml" "$IMG" "$d" "$MEM" \
			umid=uml uml_dir="/h$i/" mem="$MEM" "ubd0=/h$i/root.cow,/img/base.img" "${ubd[@]}" \
			root=/dev/ubda rw init=/lab-init "lab_seed=/h$i" \
			"vec0:transport=tap,ifname=tap$i,mac=$(mac_of "$i"),depth=128,gro=1" \
			con=null con0=null,fd:1 ssl=null pty.legacy_count=0 panic=1 quiet
	) </dev/null >>"$d/console.log" 2>&1 8>&- &
	disown
}

ssh_host() { # ssh_host N CMD...
	local n=$1; shift
	ssh -n -F "$LAB_DIR/ssh_config" -o ConnectTimeout="${CONNECT_TIMEOUT:-10}" "h$n" "$@"
}

wait_ready() { # wait_ready N [seconds]
	local i=$1 limit=${2:-90} why
	local end=$((SECONDS + limit))
	until CONNECT_TIMEOUT=2 ssh_host "$i" test -e /run/lab-ready 2>/dev/null; do
		why=
		alive "$i" || why="died"
		[ $SECONDS -lt "$end" ] || why="does not answer ssh after $limit s"
		[ -z "$why" ] || { tail -n 20 "$(host_dir "$i")/console.log" >&2; die "h$i $why; above, the end of its console"; }
		sleep 0.1
	done
}

port_up() { # port_up N: host N's port on the lab's bridge
	local i="ip -n $NS"
	$i link show "tap$1" >/dev/null 2>&1 || $i tuntap add dev "tap$1" mode tap
	$i link set "tap$1" master br0 up
}
