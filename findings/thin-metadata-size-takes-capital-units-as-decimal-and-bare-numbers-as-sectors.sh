#!/usr/bin/env bash
# thin_metadata_size: a capital unit is decimal, and a number without a unit counts sectors; lvcreate means neither.
# Expected: the sizes are read as lvcreate reads them: 1T and 1t are both 2^40 bytes, and a bare number is MiB.
# Seen: --pool-size 1T is 10^12 bytes (484808 KiB of metadata), 1t is 2^40 (533012 KiB). A bare 1048576 is the same as
#   512m. KB, KiB and kb are refused, and kib is taken. Even --max-thins has units: 1k is 1024 and 1K is 1000 devices.
# Package: thin-provisioning-tools 0.9.0-2 (Debian 12), 2026-12-01.
# Why: `lvcreate -L 1T` with a `--poolmetadatasize` that was computed for "1T" has metadata for nine tenths of the pool;
#   metadata that run full stop every volume in it.
# Source: thin_metadata_size(8); lvcreate(8), "Size[m|UNIT]": input units are base two regardless of capitalization, and
#   the unit before the bar is the default.
set -euo pipefail
T=$(mktemp -d); trap 'rm -rf "$T"' EXIT; cd "$T"; bad=0
get() { apt-get -qq download "$1=$2" 2>/dev/null || { apt-get -qq download "$1" 2>/dev/null || { echo "skipped: needs $1"; exit 77; }
        echo "note: $1 $2 is no longer served, using $(ls "$1"_*.deb)"; }; dpkg -x "$1"_*.deb root; }
check() { if [ "$2" = "$3" ]; then echo "seen: $1: $3"; else echo "changed: $1: expected $2 got $3"; bad=1; fi; }
get thin-provisioning-tools 0.9.0-2; get libaio1 0.3.113-4
PATH=$T/root/usr/sbin:$T/root/sbin:$PATH
export LD_LIBRARY_PATH=$T/root/lib/x86_64-linux-gnu:$T/root/usr/lib/x86_64-linux-gnu

kib() { # kib POOL-SIZE [MAX-THINS]: KiB of metadata for 64 KiB blocks, or "refused"
  thin_metadata_size --block-size 64k --pool-size "$1" --max-thins "${2:-100}" --unit k --numeric-only 2>/dev/null || echo refused
}
check "1t"                 533012          "$(kib 1t)"
check "1024g"              533012          "$(kib 1024g)"
check "1T"                 484808          "$(kib 1T)"
check "1048576 and 512m"   "$(kib 512m)"   "$(kib 1048576)"
check "1048576kib and 1g"  "$(kib 1g)"     "$(kib 1048576kib)"
for unit in KiB KB kb; do check "1048576$unit" refused "$(kib "1048576$unit")"; done
check "1k devices and 1024" "$(kib 1g 1024)" "$(kib 1g 1k)"
check "1K devices and 1000" "$(kib 1g 1000)" "$(kib 1g 1K)"
exit $bad
