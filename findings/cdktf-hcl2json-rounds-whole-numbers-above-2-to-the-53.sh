#!/usr/bin/env bash
# @cdktf/hcl2json: a whole number above 2^53 is rounded to another whole number, without a word.
# Expected: as Terraform reads it (numbers are exact there), or as text, or refused.
# Seen: 9007199254740993 comes back as 9007199254740992 and 18446744073709551615 (2^64 - 1) as 18446744073709552000.
#   9007199254740991 and, in quotes, any digits are kept.
# Package: @cdktf/hcl2json 0.21.0, Node.js 20, 2026-12-01.
# Why: a configuration converted to JSON and applied again asks for another value: identifiers (WWN, snowflake ids) and
#   byte limits such as 2^64 - 1 are literals in .tf files.
# Source: Terraform language, "Types and Values"; the package's README promises HCL as JSON.
set -euo pipefail
T=$(mktemp -d); trap 'rm -rf "$T"' EXIT; cd "$T"; bad=0
get() { apt-get -qq download "$1=$2" 2>/dev/null || { apt-get -qq download "$1" 2>/dev/null || { echo "skipped: needs $1"; exit 77; }
        echo "note: $1 $2 is no longer served, using $(ls "$1"_*.deb)"; }; dpkg -x "$1"_*.deb root; }
check() { if [ "$2" = "$3" ]; then echo "seen: $1: $3"; else echo "changed: $1: expected $2 got $3"; bad=1; fi; }
command -v npm >/dev/null || { echo "skipped: needs npm"; exit 77; }
npm install --silent --no-audit --no-fund --ignore-scripts @cdktf/hcl2json@0.21.0 >/dev/null
value() { # value EXPRESSION: what it is in the JSON
  X=$1 node -e 'require("@cdktf/hcl2json").parse("a.tf", `locals { x = ${process.env.X} }`)
    .then(o => { console.log(JSON.stringify(o.locals[0].x)); process.exit(0) })'
}
check '2^53 - 1'        9007199254740991         "$(value 9007199254740991)"
check '2^53 + 1'        9007199254740992         "$(value 9007199254740993)"
check '2^64 - 1'        18446744073709552000     "$(value 18446744073709551615)"
check 'in quotes'       '"18446744073709551615"' "$(value '"18446744073709551615"')"
exit $bad
