#!/usr/bin/env bash
# drbdadm dump-xml: with a template-file in a resource what it prints is no XML.
# Expected: well-formed XML for every configuration that drbdadm accepts; values are escaped, after all.
# Seen: `<template file="…">` is opened and never closed, so a parser ends with "mismatched tag". Exit 0.
# Package: drbd-utils 9.22.0-1 (Debian 12), 2026-12-01.
# Why: one resource with a template makes the whole host's configuration unreadable for everything that reads it
#   through dump-xml.
# Source: drbdadm(8), dump-xml: "in XML format".
set -euo pipefail
T=$(mktemp -d); trap 'rm -rf "$T"' EXIT; cd "$T"; bad=0
get() { apt-get -qq download "$1=$2" 2>/dev/null || { apt-get -qq download "$1" 2>/dev/null || { echo "skipped: needs $1"; exit 77; }
        echo "note: $1 $2 is no longer served, using $(ls "$1"_*.deb)"; }; dpkg -x "$1"_*.deb root; }
check() { if [ "$2" = "$3" ]; then echo "seen: $1: $3"; else echo "changed: $1: expected $2 got $3"; bad=1; fi; }
get drbd-utils 9.22.0-1
PATH=$T/root/usr/sbin:$T/root/sbin:$PATH; export __DRBD_NODE__=n1 DRBD_DRIVER_VERSION_OVERRIDE=9.2.0

echo 'common { net { max-epoch-size 4000; } }' >template
xml() { # xml STATEMENT: exit code of dump-xml, and what a parser says
  cat >F <<C
resource r0 { $1
  volume 0 { device minor 10; disk /dev/vg/a; meta-disk internal; }
  on n1 { node-id 0; address 127.0.0.1:7789; }
  on n2 { node-id 1; address 127.0.0.2:7789; }
  connection { host n1; host n2; }
}
C
  local rc=0
  drbdadm -c F dump-xml >X 2>/dev/null || rc=$?
  echo "$rc $(python3 -c 'import sys, xml.dom.minidom as m
try: m.parse("X"); print("well-formed")
except Exception as e: print(str(e).split(":")[0])')"
}
check "without a template" "0 well-formed"    "$(xml '')"
check "an escaped value"   "0 well-formed"    "$(xml 'net { cram-hmac-alg sha1; shared-secret "a<b&c"; }')"
check "with a template"    "0 mismatched tag" "$(xml "template-file \"$T/template\";")"
exit $bad
