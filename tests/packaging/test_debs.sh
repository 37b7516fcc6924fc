#!/bin/sh
# The Debian packages that cpack makes of a build: what lintian says, what is in each and what each
# depends on, and that the library, the commands and a program built with them run when unpacked.
set -eu
cd "$(dirname "$0")/../.."
source=$PWD
build=$(cd "${SOT_BUILD_DIR:-build}" && pwd)
if grep -qE '^SOT_(SANITIZE:[A-Z]*=.|COVERAGE:[A-Z]*=ON)' "$build/CMakeCache.txt"; then
    echo "SKIPPED: a sanitized or instrumented library is not for packages"
    exit 0
fi
for tool in dpkg-shlibdeps lintian; do
    command -v $tool >/dev/null || { echo "SKIPPED: $tool is not installed" && exit 0; }
done
if ! grep -q "^CMAKE_INSTALL_LIBDIR:.*=lib/$(dpkg-architecture -q DEB_HOST_MULTIARCH)" \
    "$build/CMakeCache.txt"; then
    echo "SKIPPED: $build was configured for another libdir than Debian's" \
        "(cmake --fresh --preset release makes it anew)"
    exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
fail() {
    echo "debs: $*" >&2
    exit 1
}

# xz, which users get, takes five seconds more than gzip and changes nothing of what is tested. Named
# Ninja, CPack has no target to make first: this test packs what was built.
(cd "$build" && cpack -G DEB -B "$work" -D CPACK_DEBIAN_COMPRESSION_TYPE=gzip \
    -D CPACK_CMAKE_GENERATOR=Ninja) >"$work/log" 2>&1 ||
    { cat "$work/log" >&2 && fail "cpack fails"; }
cd "$work"
packages="libsot-dev libsot0 sot-router-lima sot-tools"
[ ! -f "$build/libsot-cuda.so" ] || packages="libsot-cuda $packages"
found=$(for file in *.deb; do echo "${file%%_*}"; done | sort | tr '\n' ' ')
[ "$found" = "$packages " ] || fail "made are $found, not $packages"
if [ "$(id -u)" -eq 0 ]; then
    allow=--allow-root
fi
lintian ${allow:-} --fail-on error,warning ./*.deb >lintian 2>&1 ||
    { cat lintian >&2 && fail "lintian complains"; }

# field PACKAGE FIELD PATTERN
field() {
    dpkg-deb -f "$1"_*.deb "$2" | grep -qE -- "$3" ||
        fail "$1: $2 is \"$(dpkg-deb -f "$1"_*.deb "$2")\", expected $3"
}
version=$(dpkg-deb -f libsot0_*.deb Version)
field libsot0 Depends 'libc6 .*libjansson4 .*libpcre2-8-0 '
field libsot-dev Depends "libsot0 \(= $version\), libpcre2-dev, libjansson-dev"
field sot-tools Depends "libc6 .*libjansson4 .*libsot0 \(= $version\)"
field sot-router-lima Architecture '^all$'
field sot-router-lima Section '^non-free/'
for package in $packages; do
    case $package in lib*) ma=same ;; *) ma=foreign ;; esac
    field "$package" Multi-Arch "^$ma\$"
    dpkg-deb -x "${package}"_*.deb root
    dpkg-deb -e "${package}"_*.deb "control-$package"
    (cd root && md5sum --quiet -c "../control-$package/md5sums")
    dpkg-deb -c "${package}"_*.deb | awk '$1 !~ /^d/ { sub(/^\./, "", $6); print $6 }' >"list-$package"
    for script in preinst postinst prerm postrm; do
        [ ! -e "control-$package/$script" ] || fail "$package has a $script"
    done
    case "$package $(dpkg-deb -f "${package}"_*.deb Pre-Depends Depends Recommends)" in
    sot-router-lima*) ;;
    *lima*) fail "$package depends on what is not free" ;;
    esac
    for file in copyright changelog.gz changelog.Debian.gz; do
        [ -f "root/usr/share/doc/$package/$file" ] || fail "$package has no $file"
    done
done
lib=usr/lib/$(dpkg-architecture -q DEB_HOST_MULTIARCH)

# holds PACKAGE FILE: this package has the file, and no other.
holds() {
    [ "$(grep -lx "/$2" list-*)" = "list-$1" ] || fail "/$2 is in $(grep -lx "/$2" list-*), not $1"
}
holds libsot0 "$lib/libsot.so.0"
holds libsot-dev "$lib/libsot.so"
holds libsot-dev "$lib/libsot.a"
holds libsot-dev "$lib/pkgconfig/libsot.pc"
holds libsot-dev "$lib/cmake/sot/sot-config.cmake"
holds libsot-dev usr/include/sot/sot.h
holds sot-tools usr/bin/sot
holds sot-tools usr/bin/sot-bench
holds sot-tools usr/bin/sot-eval
holds sot-tools usr/share/sot/demo.gguf
holds sot-router-lima usr/share/sot/lima.router
[ "$(cat control-libsot0/shlibs)" = "libsot 0 libsot0 (>= ${version%-*})" ] || fail "shlibs"
grep -qx 'activate-noawait ldconfig' control-libsot0/triggers || fail "no trigger for ldconfig"
[ "$(grep -c '@SOT_' control-libsot0/symbols)" -gt \
    "$(grep -c '^SOT_API' "$source/include/sot/sot.h")" ] || fail "too few symbols"
for file in root/usr/bin/* root/$lib/libsot*.so*; do
    ! readelf -d "$file" | grep -E 'R(UN)?PATH' || fail "$file has a search path"
done

export LD_LIBRARY_PATH="$work/root/$lib"
sot=root/usr/bin/sot
$sot ask -q -m root/usr/share/sot/demo.gguf --mode routed --router trained --max-tokens 8 \
    "How can I learn chess?" >answer || fail "sot does not answer"
[ -s answer ] || fail "sot answers nothing"
root/usr/bin/sot-bench --version >/dev/null && root/usr/bin/sot-eval --version >/dev/null
cp -r "$source/tests/consumers/pkgconfig" consumer
PKG_CONFIG_PATH="$work/root/$lib/pkgconfig" make -s -C consumer
consumer/question root/usr/share/sot/demo.gguf >/dev/null || fail "a program built with it fails"

if [ -f "$build/libsot-cuda.so" ]; then
    holds libsot-cuda "$lib/libsot-cuda.so"
    field libsot-cuda Depends "^libsot0 \(= $version\), libc6 "
    field libsot-cuda Recommends "^libcublaslt1"
    field libsot-cuda Section '^contrib/'
    # Without a GPU or cuBLAS the sentence names what is missing; it is the plugin that was found.
    $sot info -m random:64x2x4x96x300 --device cuda >info 2>&1 || grep -qiE 'driver|CUDA device|cublas' info ||
        fail "with the plugin sot says: $(cat info)"
    ! grep -q 'was not found' info || fail "the plugin was not found"
fi
echo "debs: $packages: $(grep -c '^[EW]:' lintian || true) complaints of lintian"
