#!/usr/bin/env bash
# drbdadm dump and dump-xml fail while this host lacks its own replication address; sh-nop, sh-resources and up do not.
# Expected: what only prints the configuration works whenever the configuration can be read.
# Seen: with an own address that no interface has, sh-nop and sh-resources and `-d up` are exit 0, dump and dump-xml exit 10
#   ("IP 192.0.2.77 not found on this host"). With 127.0.0.1 all are exit 0.
# Package: drbd-utils 9.22.0-1 (Debian 12), 2026-12-01.
# Why: tools that read the configuration through dump-xml (monitoring, inventories) get nothing on a host whose tunnel
#   or replication link is down, when they are needed most, while `up` goes ahead there.
# Source: drbdadm(8), dump and dump-xml.
set -euo pipefail
T=$(mktemp -d); trap 'rm -rf "$T"' EXIT; cd "$T"; bad=0
get() { apt-get -qq download "$1=$2" 2>/dev/null || { apt-get -qq download "$1" 2>/dev/null || { echo "skipped: needs $1"; exit 77; }
        echo "note: $1 $2 is no longer served, using $(ls "$1"_*.deb)"; }; dpkg -x "$1"_*.deb root; }
check() { if [ "$2" = "$3" ]; then echo "seen: $1: $3"; else echo "changed: $1: expected $2 got $3"; bad=1; fi; }
get drbd-utils 9.22.0-1
PATH=$T/root/usr/sbin:$T/root/sbin:$PATH; export __DRBD_NODE__=n1 DRBD_DRIVER_VERSION_OVERRIDE=9.2.0

codes() { # codes ADDRESS: exit codes of sh-nop, sh-resources, -d up, dump, dump-xml
  cat >F <<C
resource r0 {
  volume 0 { device minor 10; disk /dev/vg/a; meta-disk internal; }
  on n1 { node-id 0; address $1:7789; }
  on n2 { node-id 1; address 127.0.0.2:7789; }
  connection { host n1; host n2; }
}
C
  local all="" rc verb
  for verb in "sh-nop" "sh-resources" "-d up r0" "dump" "dump-xml"; do
    rc=0; drbdadm -c F $verb >/dev/null 2>&1 || rc=$?; all="$all$rc "
  done
  echo "${all% }"
}
check "an address of this host"  "0 0 0 0 0"   "$(codes 127.0.0.1)"
check "an address it has not"    "0 0 0 10 10" "$(codes 192.0.2.77)"
exit $bad
