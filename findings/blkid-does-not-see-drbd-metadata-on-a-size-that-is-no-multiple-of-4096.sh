#!/usr/bin/env bash
# blkid and wipefs do not see internal DRBD metadata on a device whose size is no multiple of 4096 bytes.
# Expected: a device that drbdmeta has made and reads is shown as TYPE="drbd" whatever its size.
# Seen: of a device of 64 MiB both show drbd. With 512 or 2048 bytes more drbdmeta puts the superblock at the same
#   aligned place, and get-gi reads it, exit 0; blkid -p prints nothing, exit 2, and wipefs prints nothing, exit 0.
# Package: util-linux 2.38.1-5+deb12u3 with drbd-utils 9.22.0-1 (Debian 12), 2026-12-01.
# Why: a partition may end at any sector. Guards that ask blkid, wipefs or lsblk whether a disk is blank take such a
#   replica for an empty one and format it, and `wipefs --all` of a retired disk leaves its data generation behind.
# Source: drbdmeta(8), "internal"; libblkid looks 4096 bytes before the end of the device, drbdmeta before the last multiple of 4096.
set -euo pipefail
T=$(mktemp -d); trap 'rm -rf "$T"' EXIT; cd "$T"; bad=0
get() { apt-get -qq download "$1=$2" 2>/dev/null || { apt-get -qq download "$1" 2>/dev/null || { echo "skipped: needs $1"; exit 77; }
        echo "note: $1 $2 is no longer served, using $(ls "$1"_*.deb)"; }; dpkg -x "$1"_*.deb root; }
check() { if [ "$2" = "$3" ]; then echo "seen: $1: $3"; else echo "changed: $1: expected $2 got $3"; bad=1; fi; }
get drbd-utils 9.22.0-1; get util-linux 2.38.1-5+deb12u3; get libblkid1 2.38.1-5+deb12u3
PATH=$T/root/usr/sbin:$T/root/sbin:$PATH
export LD_LIBRARY_PATH=$T/root/lib/x86_64-linux-gnu:$T/root/usr/lib/x86_64-linux-gnu

# drbdmeta notes the size of a device under its minor, outside of this folder; a note of another size would be acted on.
minor=40711 note=/var/lib/drbd/drbd-minor-40711.lkbd
trap 'rm -rf "$T" "$note"' EXIT

try() { # try BYTES: create-md, get-gi, then what blkid and wipefs say
  local made=0 read=0 type='' rc=0
  rm -f disk "$note"; truncate -s "$1" disk
  drbdmeta --force $minor v09 disk internal create-md 1 >/dev/null 2>&1 || made=$?
  drbdmeta --force $minor v09 disk internal get-gi --node-id 1 >/dev/null 2>&1 || read=$?
  type=$(blkid -p -s TYPE -o value disk) || rc=$?
  echo "create-md $made, get-gi $read, blkid ${type:-nothing} $rc, wipefs $(wipefs --noheadings --output TYPE disk | grep . || echo nothing)"
}
M=$((64 * 1024 * 1024))
check "64 MiB"            "create-md 0, get-gi 0, blkid drbd 0, wipefs drbd"       "$(try $M)"
check "64 MiB + 512"      "create-md 0, get-gi 0, blkid nothing 2, wipefs nothing" "$(try $((M + 512)))"
check "64 MiB + 2048"     "create-md 0, get-gi 0, blkid nothing 2, wipefs nothing" "$(try $((M + 2048)))"
check "64 MiB + 4096"     "create-md 0, get-gi 0, blkid drbd 0, wipefs drbd"       "$(try $((M + 4096)))"
exit $bad
