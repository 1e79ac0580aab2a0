#!/usr/bin/env bash
# python-linstor: a blank after a comma in the list of controllers stays in the second one's address.
# Expected: "a, b" is the same list as "a,b", or is refused.
# Seen: controller_uri_list("a, b") gives "linstor://a" and "linstor:// b". Connecting to the second raises InvalidURL of
#   http.client, which is no LinstorError; MultiLinstor over the list raises it, too, when the first does not answer.
#   A bare IPv6 address becomes "linstor://::1", on which connecting is a ValueError.
# Package: python-linstor 1.29.1, 2026-12-01.
# Why: LS_CONTROLLERS="a, b" works for years, until the first controller fails; then the caller that catches
#   LinstorError dies of another exception instead of reaching the second.
# Source: the documentation of controller_uri_list: a comma separated list of hosts.
set -euo pipefail
T=$(mktemp -d); trap 'rm -rf "$T"' EXIT; cd "$T"; bad=0
check() { if [ "$2" = "$3" ]; then echo "seen: $1: $3"; else echo "changed: $1: expected $2 got $3"; bad=1; fi; }
python3 -m venv v && v/bin/pip install --quiet --no-compile python-linstor==1.29.1
py() { v/bin/python -c "
from linstor import Linstor, MultiLinstor, LinstorError
def outcome(call):
    try: call(); return 'connected'
    except LinstorError as e: return 'LinstorError'
    except Exception as e: return type(e).__name__
$1"; }
check 'list "a,b"'  "['linstor://a', 'linstor://b']"  "$(py 'print(MultiLinstor.controller_uri_list("a,b"))')"
check 'list "a, b"' "['linstor://a', 'linstor:// b']" "$(py 'print(MultiLinstor.controller_uri_list("a, b"))')"
check 'nobody at 127.0.0.1' LinstorError "$(py 'print(outcome(Linstor("linstor://127.0.0.1:1").connect))')"
check 'nobody, blank'       InvalidURL   "$(py 'print(outcome(Linstor("linstor:// 127.0.0.1:1").connect))')"
check 'two of them'         InvalidURL   "$(py 'print(outcome(MultiLinstor(MultiLinstor.controller_uri_list("127.0.0.1:1, 127.0.0.1:2")).connect))')"
check 'bare IPv6'           ValueError   "$(py 'print(outcome(Linstor(MultiLinstor.controller_uri_list("::1")[0]).connect))')"
exit $bad
