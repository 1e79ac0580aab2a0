#!/usr/bin/env bash
# drbdadm: a minor above the kernel's and an IPv4 address with a number above 255 pass the syntax check and the dry run.
# Expected: refused with file and line, as a port of 70000 is ("out of range [1..65535]").
# Seen: `device minor 1048576` (Linux has 20 bits for a minor) and `address 10.0.0.300:7789`, own or the peer's: sh-nop
#   is exit 0, and `-d up` prints new-minor and new-path with these values, exit 0.
# Package: drbd-utils 9.22.0-1 (Debian 12), 2026-12-01.
# Why: a pipeline that checks generated files with sh-nop finds a typing error only in `up`, which then leaves the
#   resource half configured.
# Source: drbd.conf(5), "device minor", "address"; include/linux/kdev_t.h, MINORBITS.
set -euo pipefail
T=$(mktemp -d); trap 'rm -rf "$T"' EXIT; cd "$T"; bad=0
get() { apt-get -qq download "$1=$2" 2>/dev/null || { apt-get -qq download "$1" 2>/dev/null || { echo "skipped: needs $1"; exit 77; }
        echo "note: $1 $2 is no longer served, using $(ls "$1"_*.deb)"; }; dpkg -x "$1"_*.deb root; }
check() { if [ "$2" = "$3" ]; then echo "seen: $1: $3"; else echo "changed: $1: expected $2 got $3"; bad=1; fi; }
get drbd-utils 9.22.0-1
PATH=$T/root/usr/sbin:$T/root/sbin:$PATH; export __DRBD_NODE__=n1 DRBD_DRIVER_VERSION_OVERRIDE=9.2.0

try() { # try MINOR PORT OWN PEER: exit codes of sh-nop and of the dry run
  cat >F <<C
resource r0 {
  volume 0 { device minor $1; disk /dev/vg/a; meta-disk internal; }
  on n1 { node-id 0; address $3:$2; }
  on n2 { node-id 1; address $4:$2; }
  connection { host n1; host n2; }
}
C
  local nop=0 up=0
  drbdadm -c F sh-nop >/dev/null 2>&1 || nop=$?
  drbdadm -c F -d up r0 >out 2>/dev/null || up=$?
  echo "$nop $up"
}
check "a port of 70000"        "10 10" "$(try 10 70000 127.0.0.1 127.0.0.2)"
check "minor 1048575"          "0 0"   "$(try 1048575 7789 127.0.0.1 127.0.0.2)"
check "minor 1048576"          "0 0"   "$(try 1048576 7789 127.0.0.1 127.0.0.2)"
check "what up would do"       "drbdsetup new-minor r0 1048576 0" "$(grep new-minor out)"
check "peer 10.0.0.300"        "0 0"   "$(try 10 7789 127.0.0.1 10.0.0.300)"
check "own address 10.0.0.300" "0 0"   "$(try 10 7789 10.0.0.300 127.0.0.2)"
exit $bad
