#!/bin/sh
# What a stranger does: install, compile examples/minimal.c with pkg-config, run it. Shared and static.
set -eu
cd "$(dirname "$0")/../.."
build=${SOT_BUILD_DIR:-build}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if grep -q '^SOT_SANITIZE:[A-Z]*=.' "$build/CMakeCache.txt"; then
    echo "SKIPPED: a sanitized library does not link into an ordinary program"
    exit 0
fi
if grep -q '^SOT_COVERAGE:[A-Z]*=ON' "$build/CMakeCache.txt"; then
    echo "SKIPPED: an instrumented library does not link into an ordinary program"
    exit 0
fi

cmake --install "$build" --prefix "$work/usr" >/dev/null
pc=$(find "$work/usr" -name libsot.pc)
[ -n "$pc" ] || { echo "install: no libsot.pc" >&2; exit 1; }
libdir=$(dirname "$(dirname "$pc")")
# The .pc file names the prefix of the build; this copy lives elsewhere.
options="--define-variable=prefix=$work/usr --define-variable=libdir=$libdir"
options="$options --define-variable=includedir=$work/usr/include"
export PKG_CONFIG_PATH="$libdir/pkgconfig"
[ "$(pkg-config --modversion libsot)" = "$(sed -n 's/^project(libsot VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)" ]

# shellcheck disable=SC2046,SC2086
cc -std=c11 -o "$work/shared" examples/minimal.c $(pkg-config $options --cflags --libs libsot)
# shellcheck disable=SC2046,SC2086
cc -std=c11 -o "$work/static" examples/minimal.c $(pkg-config $options --cflags libsot) \
    "$libdir/libsot.a" $(pkg-config --libs libpcre2-8 jansson) -lm -lpthread
LD_LIBRARY_PATH="$libdir" "$work/shared" random:64x2x4x96x300 "Why?" >"$work/shared.txt"
"$work/static" random:64x2x4x96x300 "Why?" >"$work/static.txt"
cmp "$work/shared.txt" "$work/static.txt"
# The installed programs find the installed library by themselves.
for program in sot sot-bench sot-eval; do
    env -u LD_LIBRARY_PATH "$work/usr/bin/$program" --version >/dev/null ||
        { echo "install: $program does not run" >&2; exit 1; }
done
# The installed library finds the installed router by itself, from wherever both lie.
python3 - "$libdir/libsot.so" <<'EOF'
import ctypes
import sys
library, router = ctypes.CDLL(sys.argv[1]), ctypes.c_void_p()
library.sot_error_message.restype = ctypes.c_char_p
if library.sot_router_load(None, ctypes.byref(router)) != 0:
    sys.exit("install: " + library.sot_error_message().decode())
library.sot_router_free(router)
EOF
echo "install: shared and static programs run and agree"
