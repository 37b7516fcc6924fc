#!/bin/sh
# What libsot.so and libsot.a export is what the headers declare, name by name as the map lists it;
# the soname is the major version; names inside begin with soti_.
set -u
cd "$(dirname "$0")/../.." || exit
build=${SOT_BUILD_DIR:-build}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
status=0
complain() {
    echo "exports: $*" >&2
    status=1
}

sed -n 's/^[[:space:]]*\(sot_[a-z0-9_]*\);$/\1/p' lib/api/libsot.map | sort >"$work/map"
cat include/sot/*.h >"$work/headers"
tr '\n' ' ' <"$work/headers" | grep -oE 'SOT_API [^;(]*\(' |
    sed -n 's/.*[ *]\(sot_[a-z0-9_]*\)($/\1/p' | sort -u >"$work/header"
nm -D --defined-only "$build/libsot.so" | awk '$2 == "T" { sub(/@.*/, "", $3); print $3 }' |
    sort >"$work/library"
nm -D --defined-only "$build/libsot.so" |
    awk '$2 != "T" && $2 != "A" { print $3 }' | grep -vE '^(_init|_fini)$' >"$work/data"
[ "$(wc -l <"$work/header")" -ge 30 ] || complain "too few functions in sot.h"
diff -u "$work/header" "$work/library" || complain "sot.h and libsot.so differ"
diff -u "$work/header" "$work/map" || complain "sot.h and libsot.map differ"
[ ! -s "$work/data" ] || complain "data symbols: $(cat "$work/data")"

# Instrumenting compilers add names of their own, which begin with what C leaves to them.
nm -g --defined-only "$build/libsot.a" | awk 'NF == 3 { print $3 }' | grep -v '^__' |
    sort >"$work/static"
diff -u "$work/map" "$work/static" || complain "libsot.a and libsot.map differ"
nm -g --defined-only "$build/libsot_internal.a" | awk 'NF == 3 { print $3 }' |
    grep -vE '^(soti_|__)' | sort >"$work/inside"
diff -u "$work/map" "$work/inside" || complain "a name inside libsot does not begin with soti_"

version=$(sed -n 's/^project(libsot VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
soname=$(readelf -d "$build/libsot.so" | sed -n 's/.*(SONAME).*\[\(.*\)\]/\1/p')
[ "$soname" = "libsot.so.${version%%.*}" ] || complain "the soname is $soname, the version $version"
[ "$(readlink "$build/$soname")" = "libsot.so.$version" ] ||
    complain "$soname is no link to libsot.so.$version"
readelf -d "$build/libsot.so" | grep -q 'NEEDED.*cuda\|TEXTREL' &&
    complain "libsot.so needs CUDA or has text relocations"

[ $status -eq 0 ] && echo "exports: $(wc -l <"$work/header") functions, $soname"
exit $status
