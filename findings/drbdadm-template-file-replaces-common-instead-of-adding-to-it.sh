#!/usr/bin/env bash
# drbdadm: a resource with a template-file gets nothing of the file's own common section.
# Expected: the template's common section adds to, or overrides, single options of the one in the file.
# Seen: common sets max-buffers, the template's common sets max-epoch-size. Without template-file `-d up` passes
#   max-buffers; with it only max-epoch-size, and max-buffers is back at DRBD's default. No warning, exit 0.
# Package: drbd-utils 9.22.0-1 (Debian 12), 2026-12-01.
# Why: a site keeps protocol, verify-alg and the secret in common; a resource that takes a template for one tuning
#   value loses them all, and connects without authentication or not at all.
# Source: the manuals of 9.22 do not name template-file; user/v9/drbdadm_parser.c of drbd-utils reads it.
set -euo pipefail
T=$(mktemp -d); trap 'rm -rf "$T"' EXIT; cd "$T"; bad=0
get() { apt-get -qq download "$1=$2" 2>/dev/null || { apt-get -qq download "$1" 2>/dev/null || { echo "skipped: needs $1"; exit 77; }
        echo "note: $1 $2 is no longer served, using $(ls "$1"_*.deb)"; }; dpkg -x "$1"_*.deb root; }
check() { if [ "$2" = "$3" ]; then echo "seen: $1: $3"; else echo "changed: $1: expected $2 got $3"; bad=1; fi; }
get drbd-utils 9.22.0-1
PATH=$T/root/usr/sbin:$T/root/sbin:$PATH; export __DRBD_NODE__=n1 DRBD_DRIVER_VERSION_OVERRIDE=9.2.0

echo 'common { net { max-epoch-size 4000; } }' >template
up() { # up STATEMENT: the net options that `up` would set for a resource with this statement
  cat >F <<C
common { net { max-buffers 8000; } }
resource r0 { $1
  volume 0 { device minor 10; disk /dev/vg/a; meta-disk internal; }
  on n1 { node-id 0; address 127.0.0.1:7789; }
  on n2 { node-id 1; address 127.0.0.2:7789; }
  connection { host n1; host n2; }
}
C
  local rc=0
  drbdadm -c F -d up r0 >out 2>/dev/null || rc=$?
  echo "$rc $(grep -o -e '--max[a-z-]*=[0-9]*' out | paste -sd' ')"
}
check "common alone"         "0 --max-buffers=8000"    "$(up '')"
check "with a template-file" "0 --max-epoch-size=4000" "$(up "template-file \"$T/template\";")"
exit $bad
