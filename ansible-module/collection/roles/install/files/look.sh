# SPDX-License-Identifier: MPL-2.0
# shellcheck shell=sh
# What the role has to know of a host, one line each. Changes nothing. Runs where there is no Python.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH LC_ALL=C
exec 2>/dev/null
has() { command -v "$1" >/dev/null; }
say() { printf 'drbd_install %s=%s\n' "$1" "$2"; }

say arch "$(uname -m)"
say copied "$(sha256sum </usr/local/sbin/drbd-host | cut -d ' ' -f 1)"
say packaged "$(/usr/sbin/drbd-host --version)"
say python "$(command -v python3)"

missing=
has drbdadm || missing="$missing drbdadm"
has lvm || missing="$missing lvm"
has thin_check || missing="$missing thin_check"
say missing "$missing"

say kernel "$(uname -r)"
say available "$(modinfo -F version drbd)"
say loaded "$(cat /sys/module/drbd/version)"
others=
for kernel in /lib/modules/*; do
	version=$(modinfo -k "${kernel##*/}" -F version drbd) && others="$others ${kernel##*/}:$version"
done
say kernels "$others"

multipath=absent
if has multipathd; then
	multipath=open
	cat /etc/multipath.conf /etc/multipath/conf.d/*.conf | grep -q '^[^#]*devnode.*drbd' && multipath=filtered
fi
say multipath "$multipath"

filter=absent
if has lvmconfig; then
	filter=$(lvmconfig --type current devices/global_filter devices/filter | tr '\n' ' ')
	case $(lvmconfig --type full devices/use_devicesfile) in
	*=1) filter=devicesfile ;;
	*) case $filter in *r*/dev/drbd*) filter=filtered ;; "") filter=none ;; *) filter="own: $filter" ;; esac ;;
	esac
fi
say lvm "$filter"
say end yes
