#!/bin/sh
# Accepts today's ABI as that of the version in CMakeLists.txt: writes tests/abi/VERSION/ with the
# public headers and abidw's description, which test_release.sh and test_old_host.c hold later
# versions against. Run it when a release is made, and before that when an intended change to what
# is not released yet breaks the test. docs/abi.md says what may change.
# Usage: sh tests/abi/accept.sh [--break]
#   --break  accept although programs linked to the last release stop working
# Refuses: a change to a version that CHANGELOG.md no longer calls unreleased; an incompatible
# change without --break, unless the soname (the major version) is another.
set -eu
cd "$(dirname "$0")/../.."
breaks=no
case $*:$# in
:0) ;;
--break:1) breaks=yes ;;
*)
    sed -n 's/^# \(Usage: .*\)/\1/p' tests/abi/accept.sh >&2
    exit 2
    ;;
esac
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
version=$(sed -n 's/^project(libsot VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
folder=tests/abi/$version
last=$(find tests/abi -mindepth 1 -maxdepth 1 -type d -name '[0-9]*' | sort -V | tail -n 1)
last=${last#tests/abi/}

sh tests/abi/describe.sh . "$work/libsot.abi"
if [ -n "$last" ]; then
    result=0
    python3 -B tests/abi/compare.py "tests/abi/$last" . "$work/libsot.abi" || result=$?
    case $result in
    0) echo "accept: the ABI is that of $last" ;;
    1) echo "accept: only additions to $last" ;;
    2)
        if [ "${version%%.*}" = "${last%%.*}" ] && [ $breaks = no ]; then
            echo "accept: REFUSED: $version breaks programs linked to $last, and has its soname." \
                "Raise the major version, or say --break and say so in CHANGELOG's ABI: line." >&2
            exit 1
        fi
        echo "accept: $version BREAKS programs linked to $last; CHANGELOG's ABI: line must say so"
        ;;
    *) exit 1 ;;
    esac
    if [ "$last" = "$version" ] && ! grep -qF "## Unreleased ($version)" CHANGELOG.md; then
        if [ $result -eq 0 ] && diff -r include/sot "$folder/sot" >/dev/null; then
            exit 0
        fi
        echo "accept: REFUSED: $version is released (CHANGELOG.md), and its files are frozen." \
            "Raise the version in CMakeLists.txt." >&2
        exit 1
    fi
fi
mkdir -p "$folder/sot"
cp include/sot/*.h "$folder/sot/"
cp "$work/libsot.abi" "$folder/libsot.abi"
echo "accept: wrote $folder; please commit it"
