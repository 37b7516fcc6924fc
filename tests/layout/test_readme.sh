#!/bin/sh
# The program that README.md shows is examples/minimal.c, so that what is copied from there compiles.
set -eu
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sed -n '/^```c$/,/^```$/p' README.md | sed '1d;$d' >"$work/readme"
sed -n '/^#include/,$p' examples/minimal.c >"$work/minimal"
[ -s "$work/readme" ] || { echo "readme: no program found" >&2; exit 1; }
diff -u "$work/readme" "$work/minimal" || { echo "readme: not examples/minimal.c" >&2; exit 1; }
echo "readme: shows examples/minimal.c"
