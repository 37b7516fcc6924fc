#!/bin/sh
# What a stranger does: installs libsot, builds a program against the copy outside of this tree in each
# way that is offered, and runs it. Then the copy is moved; then it is installed to other folders.
set -eu
cd "$(dirname "$0")/../.."
source=$PWD
build=$(cd "${SOT_BUILD_DIR:-build}" && pwd)
model=$source/examples/model/demo.gguf
version=$(sed -n 's/^project(libsot VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
if grep -qE '^SOT_(SANITIZE:[A-Z]*=.|COVERAGE:[A-Z]*=ON)' "$build/CMakeCache.txt"; then
    echo "SKIPPED: a sanitized or instrumented library does not link into an ordinary program"
    exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() {
    echo "consumers: $*" >&2
    exit 1
}

# use_copy LIBDIR: pkg-config and CMake find this copy, and no other.
use_copy() {
    libdir=$1
    export PKG_CONFIG_PATH="$libdir/pkgconfig" CMAKE_PREFIX_PATH="$libdir/cmake"
    [ "$(pkg-config --modversion libsot)" = "$version" ] || fail "pkg-config finds another version"
    sources=$work/consumers-$((n_copies += 1))
    cp -r "$source/tests/consumers" "$sources"
}
n_copies=0

# try PROGRAM: answers with the demo model, and is of this version.
try() {
    said=$(env "LD_LIBRARY_PATH=$libdir" "$1" "$model") || fail "$1 fails"
    [ "$said" = "$version" ] || fail "$1: version $said, not $version"
}
make_in() {
    make -s -C "$sources/$1" || fail "$1 does not build against $libdir"
}
with_cmake() {
    cmake -S "$sources/cmake" -B "$sources/cmake/build" -DEXPECTED_VERSION="$version" \
        -DCMAKE_BUILD_TYPE=Debug >"$sources/cmake.log" 2>&1 &&
        cmake --build "$sources/cmake/build" >>"$sources/cmake.log" 2>&1 ||
        { cat "$sources/cmake.log" >&2 && fail "cmake does not build against $libdir"; }
    for kind in sot static; do
        try "$sources/cmake/build/rounds_$kind"
    done
}

# Installed with DESTDIR, so that the copy lies elsewhere than it was told it would.
DESTDIR="$work/staged" cmake --install "$build" --prefix /usr >/dev/null
libdir=$(dirname "$(find "$work/staged" -name libsot.so)")
use_copy "$libdir"
make_in pkgconfig && try "$sources/pkgconfig/question"
make_in cxx && try "$sources/cxx/stages"
make_in static && try "$sources/static/stream" && try "$sources/static/stream-whole"
! readelf -d "$sources/static/stream" | grep 'NEEDED.*libsot' ||
    fail "the static program needs libsot.so"
with_cmake
# Without what only the static library needs, CMake finds the shared one.
env -u PKG_CONFIG_PATH PKG_CONFIG_LIBDIR="$work" cmake -S "$sources/cmake" -B "$sources/cmake/alone" \
    -DEXPECTED_VERSION="$version" "-DEXPECTED_MISSING=libpcre2-8;jansson" >"$sources/cmake.log" 2>&1 ||
    { cat "$sources/cmake.log" >&2 && fail "cmake does not find the shared library alone"; }

# README's program, with the line that README has for it.
# shellcheck disable=SC2046
cc -o "$work/minimal" examples/minimal.c $(pkg-config --cflags --libs libsot)
env "LD_LIBRARY_PATH=$libdir" "$work/minimal" random:64x2x4x96x300 "Why?" >"$work/minimal.txt"
"$build/examples/minimal" random:64x2x4x96x300 "Why?" | cmp - "$work/minimal.txt" ||
    fail "minimal answers otherwise than in the build folder"

# Moved: nothing in the copy may name the place where it was.
! grep -rlF "$work/staged" "$work/staged" || fail "these files name the folder they lie in"
! grep -rlE "$source/(build|lib|include)" "$work/staged" || fail "these files name the source folder"
mv "$work/staged/usr" "$work/moved"
libdir=$work/moved/${libdir#"$work/staged/usr/"}
use_copy "$libdir"
make_in pkgconfig && try "$sources/pkgconfig/question"
with_cmake
for program in sot sot-bench sot-eval; do # they find the library by themselves,
    env -u LD_LIBRARY_PATH "$work/moved/bin/$program" --version >/dev/null ||
        fail "$program does not run where it was moved"
done
# and the library finds the trained router by itself.
"$work/moved/bin/sot" ask -q -m "$work/moved/share/sot/demo.gguf" --mode routed --router trained \
    --max-tokens 8 "How can I improve my chess skills?" >/dev/null || fail "no answer where it was moved"

# Other folders. Only what the build writes for them is new; the libraries are taken as they are.
for folders in "lib include" "$work/far/lib $work/near/headers"; do
    other=$work/build-${folders%%[ /]*}
    cmake -S . -B "$other" -DSOT_TESTS=OFF -DSOT_EXAMPLES=OFF -DSOT_CUDA=OFF \
        -DCMAKE_INSTALL_PREFIX="$work/prefix" -DCMAKE_INSTALL_LIBDIR="${folders% *}" \
        -DCMAKE_INSTALL_INCLUDEDIR="${folders#* }" >/dev/null
    cp -P "$build"/libsot.so* "$build/libsot.a" "$other"
    cmake --install "$other" >/dev/null
    case $folders in
    /*) use_copy "${folders% *}" ;;
    *) use_copy "$work/prefix/${folders% *}" ;;
    esac
    make_in pkgconfig && try "$sources/pkgconfig/question"
    with_cmake
done
echo "consumers: pkg-config, static, C++ and CMake, staged, moved and in $((n_copies - 2)) other layouts"
