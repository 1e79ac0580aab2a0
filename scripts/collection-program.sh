#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# Puts the drbd-host that this script holds into /usr/local/sbin. It is checked and tried under a name of its own, then
# moved into place in one step: a task that runs meanwhile has either the old program or the new one.
set -eu
umask 022
export LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
place=/usr/local/sbin/drbd-host

die() {
	echo "drbd-host was not installed on $(uname -n): $*. Nothing was changed." >&2
	exit 1
}

[ "$(id -u)" = 0 ] || die "found user $(id -un), need root (become: true)"
mkdir -p "${place%/*}" || die "${place%/*} cannot be made"
new=$(mktemp "$place.XXXXXX") || die "no file can be made in ${place%/*}"
trap 'rm -f "$new"' EXIT
trap 'exit 1' HUP INT TERM
chmod 755 "$new" # mktemp makes it root's own
unpack() { base64 -d | gzip -dc >"$new"; }
unpack <<'END_OF_THE_PROGRAM' || die "${place%/*} is full, or the script was cut on its way"
@PROGRAM@
END_OF_THE_PROGRAM
found=$(sha256sum <"$new")
[ "${found%% *}" = @SHA256@ ] || die "found the checksum ${found%% *}, need @SHA256@: ${place%/*} is full, or the script was cut on its way"
"$new" --version >/dev/null || die "it does not run here ($(uname -m)); is ${place%/*} mounted noexec?"
sync "$new"
mv -f "$new" "$place"
