#!/usr/bin/env bash
# python-hcl2: a number with an exponent comes back as the text of an expression; without one it is a number.
# Expected: 1e3 is 1000, as Terraform reads it and as 1000, 1.5 and even 007 are numbers here.
# Seen: load gives 1000, 1.5 and 7 as numbers, and 1e3 as the string "${1e3}", which is also what a reference to a
#   variable looks like. A quoted string keeps its quotes, so that "1e3" is another string of five characters.
# Package: python-hcl2 8.1.4, 2026-12-01.
# Why: policy checks of .tf files (sizes, rates, counts) skip what looks like a reference to be resolved later, and so
#   let pass the one literal that is largest.
# Source: HCL native syntax specification, "Numeric Literals": an exponent is part of NumericLit.
set -euo pipefail
T=$(mktemp -d); trap 'rm -rf "$T"' EXIT; cd "$T"; bad=0
get() { apt-get -qq download "$1=$2" 2>/dev/null || { apt-get -qq download "$1" 2>/dev/null || { echo "skipped: needs $1"; exit 77; }
        echo "note: $1 $2 is no longer served, using $(ls "$1"_*.deb)"; }; dpkg -x "$1"_*.deb root; }
check() { if [ "$2" = "$3" ]; then echo "seen: $1: $3"; else echo "changed: $1: expected $2 got $3"; bad=1; fi; }
python3 -m venv v && v/bin/pip install --quiet --no-compile python-hcl2==8.1.4
value() { # value EXPRESSION: its Python type and value after loading
  printf 'x = %s\n' "$1" >a.hcl
  v/bin/python -c 'import hcl2; v = hcl2.load(open("a.hcl"))["x"]; print(type(v).__name__, v)'
}
check '1000'   'int 1000'       "$(value 1000)"
check '1.5'    'float 1.5'      "$(value 1.5)"
check '007'    'int 7'          "$(value 007)"
check '1e3'    'str ${1e3}'     "$(value 1e3)"
check 'var.a'  'str ${var.a}'   "$(value var.a)"
check '"1e3"'  'str "1e3"'      "$(value '"1e3"')"
exit $bad
