#!/usr/bin/env bash
# drbdadm dump-xml: disk options inside a volume at resource level are left out, although up uses them.
# Expected: dump-xml and dump show the same configuration.
# Seen: with `volume 0 { … disk { al-extents 257; } }` directly in the resource, `-d up` attaches with --al-extents=257 and dump
#   prints al-extents; dump-xml prints the volume without it. The same options in the resource's own disk section are
#   printed by both. Exit 0.
# Package: drbd-utils 9.22.0-1 (Debian 12), 2026-12-01.
# Why: an audit through dump-xml reports the default for options that decide on data safety (disk-flushes no,
#   on-io-error pass_on) and stand in a volume.
# Source: drbd.conf(5): a volume section can contain a disk section.
set -euo pipefail
T=$(mktemp -d); trap 'rm -rf "$T"' EXIT; cd "$T"; bad=0
get() { apt-get -qq download "$1=$2" 2>/dev/null || { apt-get -qq download "$1" 2>/dev/null || { echo "skipped: needs $1"; exit 77; }
        echo "note: $1 $2 is no longer served, using $(ls "$1"_*.deb)"; }; dpkg -x "$1"_*.deb root; }
check() { if [ "$2" = "$3" ]; then echo "seen: $1: $3"; else echo "changed: $1: expected $2 got $3"; bad=1; fi; }
get drbd-utils 9.22.0-1
PATH=$T/root/usr/sbin:$T/root/sbin:$PATH; export __DRBD_NODE__=n1 DRBD_DRIVER_VERSION_OVERRIDE=9.2.0

count() { # count OPTION-IN-RESOURCE OPTION-IN-VOLUME: how often al-extents shows in -d up, dump, dump-xml
  cat >F <<C
resource r0 { $1
  volume 0 { device minor 10; disk /dev/vg/a; meta-disk internal; $2 }
  on n1 { node-id 0; address 127.0.0.1:7789; }
  on n2 { node-id 1; address 127.0.0.2:7789; }
  connection { host n1; host n2; }
}
C
  local all="" verb
  for verb in "-d up r0" "dump" "dump-xml"; do
    all="$all$(drbdadm -c F $verb 2>/dev/null | grep -c al-extents || true) "
  done
  echo "${all% }"
}
check "in the resource's disk section" "1 1 1" "$(count 'disk { al-extents 257; }' '')"
check "in the volume's disk section"   "1 1 0" "$(count '' 'disk { al-extents 257; }')"
exit $bad
