#!/usr/bin/env bash
# drbdadm: resource names that no command line can name are accepted: a/b, -x, and all.
# Expected: a name that collides with drbdadm's own way to name things is refused with the file.
# Seen: sh-nop is exit 0 and sh-resources lists them. `up a/b` means volume b of resource a and is exit 20; `up -x` is
#   an option; `up all` with a resource named "all" beside another one brings up both.
# Package: drbd-utils 9.22.0-1 (Debian 12), 2026-12-01.
# Why: `drbdadm down all`, meant for the resource of that name, takes down every resource of the host. A check of
#   the configuration finds nothing wrong.
# Source: drbdadm(8): the argument is resource, resource/volume, or the keyword all.
set -euo pipefail
T=$(mktemp -d); trap 'rm -rf "$T"' EXIT; cd "$T"; bad=0
get() { apt-get -qq download "$1=$2" 2>/dev/null || { apt-get -qq download "$1" 2>/dev/null || { echo "skipped: needs $1"; exit 77; }
        echo "note: $1 $2 is no longer served, using $(ls "$1"_*.deb)"; }; dpkg -x "$1"_*.deb root; }
check() { if [ "$2" = "$3" ]; then echo "seen: $1: $3"; else echo "changed: $1: expected $2 got $3"; bad=1; fi; }
get drbd-utils 9.22.0-1
PATH=$T/root/usr/sbin:$T/root/sbin:$PATH; export __DRBD_NODE__=n1 DRBD_DRIVER_VERSION_OVERRIDE=9.2.0

mk() { cat <<C
resource $1 {
  volume 0 { device minor $2; disk /dev/vg/$2; meta-disk internal; }
  on n1 { node-id 0; address 127.0.0.1:$2; }
  on n2 { node-id 1; address 127.0.0.2:$2; }
  connection { host n1; host n2; }
}
C
}
code() { local rc=0; "$@" >out 2>/dev/null || rc=$?; echo $rc; }
ups() { code drbdadm -c F -d up "$1" >rc; echo "$(cat rc) $(sed -n 's/^drbdsetup new-resource \([^ ]*\) .*/\1/p' out | paste -sd,)"; }
for name in a/b -x all; do
  mk "$name" 7001 >F
  check "sh-nop with resource $name" 0 "$(code drbdadm -c F sh-nop)"
done
mk a/b 7001 >F; check "up a/b" "20 " "$(ups a/b)"
mk -x 7001 >F;  check "up -x brings it up" no "$(ups -x | grep -q ' -x' && echo yes || echo no)"
{ mk all 7001; mk web 7002; } >F
check "up all, with resources all and web" "0 all,web" "$(ups all)"
exit $bad
