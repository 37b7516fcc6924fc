#!/bin/sh
# The source tarball: what git tracks and nothing else, in a folder of its name, and complete enough to
# configure with every test, without git, where it was unpacked.
set -eu
cd "$(dirname "$0")/../.."
source=$PWD
build=$(cd "${SOT_BUILD_DIR:-build}" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() {
    echo "source: $*" >&2
    exit 1
}
version=$(sed -n 's/^project(libsot VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
pack() { # FOLDER-OF-BUILD TO
    (cd "$1" && cpack --config CPackSourceConfig.cmake -B "$2") >"$work/log" 2>&1 ||
        { cat "$work/log" >&2 && fail "cpack fails"; }
    tar -xzf "$2/libsot-$version.tar.gz" -C "$2"
    [ "$(cd "$2" && ls -d libsot*)" = "libsot-$version
libsot-$version.tar.gz" ] || fail "unpacked are $(ls "$2")"
}
pack "$build" "$work/first"
unpacked=$work/first/libsot-$version
if git ls-files >"$work/tracked" 2>/dev/null && [ -s "$work/tracked" ]; then
    (cd "$unpacked" && find . -type f | sed 's|^\./||' | LC_ALL=C sort) >"$work/packed"
    LC_ALL=C sort "$work/tracked" | diff - "$work/packed" >&2 || fail "not what git tracks"
fi
(cd "$unpacked" && find . -type f -exec cmp -s {} "$source/{}" \; -o -type f -print) >"$work/differ"
[ ! -s "$work/differ" ] || fail "not as here: $(cat "$work/differ")"

# What was unpacked configures, and packs itself to the same again.
cmake --preset release -S "$unpacked" -DSOT_CUDA=OFF >"$work/log" 2>&1 ||
    { cat "$work/log" >&2 && fail "it does not configure"; }
count() {
    ctest --test-dir "$1" -N | sed -n 's/^Total Tests: //p'
}
! grep -q '^SOT_TESTS:BOOL=ON' "$build/CMakeCache.txt" ||
    [ "$(count "$unpacked/build")" -ge "$(count "$build")" ] || fail "it has fewer tests"
pack "$unpacked/build" "$work/second"
rm -rf "$unpacked/build"
diff -r "$unpacked" "$work/second/libsot-$version" >&2 || fail "packed without git it differs"
echo "source: $(find "$unpacked" -type f | wc -l) files"
