#!/bin/sh
# Writes down the ABI of a source tree, as abidw sees it. lib/api/ alone defines what is exported,
# so it alone is compiled, by gcc and with debug information; types that are not in include/ are
# left out.
# Usage: describe.sh TREE OUT.abi
set -eu
tree=$1
out=$2
major=$(sed -n 's/^project(libsot VERSION \([0-9]*\)\..*/\1/p' "$tree/CMakeLists.txt")
gcc -shared -fPIC -fvisibility=hidden -std=c11 -D_GNU_SOURCE -O0 -g -w -I"$tree/include" \
    -I"$tree/lib" "$tree"/lib/api/*.c -Wl,--version-script="$tree/lib/api/libsot.map" \
    -Wl,-soname,"libsot.so.$major" -Wl,-z,undefs -o "$out.so"
abidw --headers-dir "$tree/include/sot" --drop-private-types --drop-undefined-syms \
    --no-corpus-path --no-comp-dir-path --no-show-locs --no-elf-needed --no-parameter-names \
    --type-id-style hash --out-file "$out" "$out.so"
rm "$out.so"
