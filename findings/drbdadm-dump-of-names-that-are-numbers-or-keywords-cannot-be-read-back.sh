#!/usr/bin/env bash
# drbdadm dump: a name that is a number or a keyword loses its quotes, and the dump cannot be read again.
# Expected: dump quotes what has to be quoted, as it does for a name with a blank.
# Seen: resources "7" and "minor", and a host "7", are accepted in quotes. dump prints `resource 7 {` and
#   `on 7 {`; reading that is exit 10, "Parse error". With a resource "a b" the dump is read back.
# Package: drbd-utils 9.22.0-1 (Debian 12), 2026-12-01.
# Why: who takes dump as a backup of the configuration, or copies it to the next host, breaks every drbdadm call
#   there. A host name of digits only is a legal one.
# Source: drbdadm(8), "dump: Parse the configuration file and dump it to stdout. May be used to check the
#   configuration file for syntactic correctness."
set -euo pipefail
T=$(mktemp -d); trap 'rm -rf "$T"' EXIT; cd "$T"; bad=0
get() { apt-get -qq download "$1=$2" 2>/dev/null || { apt-get -qq download "$1" 2>/dev/null || { echo "skipped: needs $1"; exit 77; }
        echo "note: $1 $2 is no longer served, using $(ls "$1"_*.deb)"; }; dpkg -x "$1"_*.deb root; }
check() { if [ "$2" = "$3" ]; then echo "seen: $1: $3"; else echo "changed: $1: expected $2 got $3"; bad=1; fi; }
get drbd-utils 9.22.0-1
PATH=$T/root/usr/sbin:$T/root/sbin:$PATH; export __DRBD_NODE__=n1 DRBD_DRIVER_VERSION_OVERRIDE=9.2.0

back() { # back RESOURCE HOST: exit codes of reading the file, and of reading what dump prints of it
  cat >F <<C
resource "$1" {
  volume 0 { device minor 10; disk /dev/vg/a; meta-disk internal; }
  on n1 { node-id 0; address 127.0.0.1:7789; }
  on "$2" { node-id 1; address 127.0.0.2:7789; }
  connection { host n1; host "$2"; }
}
C
  local first=0 second=0
  drbdadm -c F sh-nop >/dev/null 2>&1 || first=$?
  drbdadm -c F dump >D 2>/dev/null
  drbdadm -c D sh-nop >/dev/null 2>&1 || second=$?
  echo "$first $second"
}
check 'resource "r7"'     "0 0"  "$(back r7 n2)"
check 'resource "a b"'    "0 0"  "$(back 'a b' n2)"
check 'resource "7"'      "0 10" "$(back 7 n2)"
check 'resource "minor"'  "0 10" "$(back minor n2)"
check 'host "7"'          "0 10" "$(back r0 7)"
exit $bad
