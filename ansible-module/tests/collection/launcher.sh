#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# Hands the module's arguments to drbd-host, which is installed on the host and finds the module's name in them. All
# modules are this one script. Ansible puts the arguments, JSON on one line, where the marker stands: they are on no
# command line and, with pipelining, in no file.

fail() { # what, what to do; nothing in them needs quoting in JSON
	printf '{"failed": true, "changed": false, "code": "environment", "msg": "%s", "next_steps": ["%s"]}\n' "$1" "$2"
	exit 1
}

program=
for candidate in /usr/local/sbin/drbd-host /usr/sbin/drbd-host; do
	if [ -x "$candidate" ]; then
		program=$candidate
		break
	fi
done
[ -n "$program" ] || fail "drbd-host is not installed on $(uname -n) ($(uname -m)): looked for /usr/local/sbin/drbd-host and /usr/sbin/drbd-host. Nothing was changed." \
	"Run the role replivol.drbd.install on this host (check mode installs nothing), or install the package drbd-host for $(uname -m)."

"$program" --protocol=@PROTOCOL@ --collection=@VERSION@ - <<'ARGUMENTS_OF_THE_MODULE'
<<INCLUDE_ANSIBLE_MODULE_JSON_ARGS>>
ARGUMENTS_OF_THE_MODULE
status=$?

install="Run the role replivol.drbd.install on this host."
case $status in
0 | 1) exit $status ;; # it has answered
2) fail "The collection replivol.drbd @VERSION@ speaks protocol @PROTOCOL@; $program is older than that and did not understand it. Nothing was changed." "$install" ;;
126 | 127) fail "$program cannot be executed on $(uname -n) ($(uname -m)): it was built for another kind of processor, is damaged, or is on a file system that is mounted noexec. Nothing was changed." "$install" ;;
*) fail "$program ended with status $status and without an answer." "Run again: a run that is cut is gone on with by the next one." ;;
esac
