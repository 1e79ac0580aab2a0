#!/usr/bin/env bash
# drbdadm: the suffix s multiplies by 512 in every numeric option, times and counts included.
# Expected: s is refused where a value is no size, or means seconds where the option counts seconds.
# Seen: `ping-int 10s` and `ko-count 7s` are "Value is too big" (5120 and 3584). `al-extents 2s` and `max-epoch-size 4s`
#   are accepted and handed on; a suffix k works on a count of pages as well (`max-buffers 8k`).
# Package: drbd-utils 9.22.0-1 (Debian 12), 2026-12-01.
# Why: the message speaks of size to somebody who wrote seconds; and where 512 times the number is in range, a wrong
#   value is taken without a word.
# Source: drbd.conf(5) gives ping-int in seconds and ko-count as a count, and suffixes for sizes and rates.
set -euo pipefail
T=$(mktemp -d); trap 'rm -rf "$T"' EXIT; cd "$T"; bad=0
get() { apt-get -qq download "$1=$2" 2>/dev/null || { apt-get -qq download "$1" 2>/dev/null || { echo "skipped: needs $1"; exit 77; }
        echo "note: $1 $2 is no longer served, using $(ls "$1"_*.deb)"; }; dpkg -x "$1"_*.deb root; }
check() { if [ "$2" = "$3" ]; then echo "seen: $1: $3"; else echo "changed: $1: expected $2 got $3"; bad=1; fi; }
get drbd-utils 9.22.0-1
PATH=$T/root/usr/sbin:$T/root/sbin:$PATH; export __DRBD_NODE__=n1 DRBD_DRIVER_VERSION_OVERRIDE=9.2.0

try() { # try SECTION OPTION VALUE: exit code, and what the dry run hands on
  cat >F <<C
resource r0 { $1 { $2 $3; }
  volume 0 { device minor 10; disk /dev/vg/a; meta-disk internal; }
  on n1 { node-id 0; address 127.0.0.1:7789; }
  on n2 { node-id 1; address 127.0.0.2:7789; }
  connection { host n1; host n2; }
}
C
  local rc=0
  drbdadm -c F -d up r0 >out 2>err || rc=$?
  echo "$rc $(grep -o -e "--$2=[^ ]*" out || grep -o 'too big' err)"
}
check "ping-int 10"       "0 --ping-int=10"       "$(try net ping-int 10)"
check "ping-int 10s"      "10 too big"            "$(try net ping-int 10s)"
check "ko-count 7s"       "10 too big"            "$(try net ko-count 7s)"
check "al-extents 2s"     "0 --al-extents=2s"     "$(try disk al-extents 2s)"
check "max-epoch-size 4s" "0 --max-epoch-size=4s" "$(try net max-epoch-size 4s)"
check "max-buffers 8k"    "0 --max-buffers=8k"    "$(try net max-buffers 8k)"
exit $bad
