#!/bin/sh
# What libsot.so exports is what sot.h declares, and the map lists it name by name.
set -u
cd "$(dirname "$0")/../.."
build=${SOT_BUILD_DIR:-build}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

sed -n 's/^[[:space:]]*\(sot_[a-z0-9_]*\);$/\1/p' lib/api/libsot.map | sort >"$work/map"
cat include/sot/*.h >"$work/headers"
tr '\n' ' ' <"$work/headers" | grep -oE 'SOT_API [^;(]*\(' |
    sed -n 's/.*[ *]\(sot_[a-z0-9_]*\)($/\1/p' | sort -u >"$work/header"
nm -D --defined-only "$build/libsot.so" | awk '$2 == "T" { sub(/@.*/, "", $3); print $3 }' |
    sort >"$work/library"
nm -D --defined-only "$build/libsot.so" |
    awk '$2 != "T" && $2 != "A" { print $3 }' | grep -vE '^(_init|_fini)$' >"$work/data"

[ "$(wc -l <"$work/header")" -ge 30 ] || { echo "exports: too few functions in sot.h" >&2; exit 1; }
status=0
diff -u "$work/header" "$work/library" || { echo "exports: sot.h and libsot.so differ" >&2; status=1; }
diff -u "$work/header" "$work/map" || { echo "exports: sot.h and libsot.map differ" >&2; status=1; }
[ ! -s "$work/data" ] || { echo "exports: data symbols:" >&2; cat "$work/data" >&2; status=1; }
[ $status -eq 0 ] && echo "exports: $(wc -l <"$work/header") functions"
exit $status
