#!/bin/sh
# What accept.sh takes and what it refuses, in a copy of the tree with one release, 7.0.0.
set -eu
cd "$(dirname "$0")/../.."
. tests/abi/plain_build.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/tests" "$work/tests/abi"
cp -r include lib CMakeLists.txt "$work/"
cp tests/abi/*.sh tests/abi/*.py "$work/tests/abi/"
cd "$work"

# expect CODE WHAT [ARGUMENT]: accept.sh's exit code, and nothing written where it refuses
expect() {
    code=$1
    what=$2
    shift 2
    rm -rf before
    cp -r tests/abi before
    result=0
    sh tests/abi/accept.sh "$@" >said 2>&1 || result=$?
    [ $result -eq "$code" ] || {
        cat said >&2
        echo "accept: '$what' is $result, expected $code" >&2
        exit 1
    }
    [ "$code" -eq 0 ] || diff -r before tests/abi >&2 ||
        { echo "accept: '$what' was refused, and something was written" >&2; exit 1; }
}
version() {
    sed -i "s/^project(libsot VERSION [0-9.]*/project(libsot VERSION $1/" CMakeLists.txt
}
changelog() {
    printf '# Changelog\n\n## %s\n' "$1" >CHANGELOG.md
}

version 7.0.0
changelog "Unreleased (7.0.0)"
expect 0 "the first release"
[ -f tests/abi/7.0.0/libsot.abi ] && cmp include/sot/sot.h tests/abi/7.0.0/sot/sot.h
sed -i 's/SOT_MODE_ROUTED = 3/SOT_MODE_ROUTED = 4/' include/sot/sot.h
expect 1 "a break before the release, unsaid"
expect 0 "the same, said" --break
grep -q 'SOT_MODE_ROUTED = 4' tests/abi/7.0.0/sot/sot.h
changelog 7.0.0
expect 0 "nothing new after the release"
sed -i 's/SOT_MODE_ROUTED = 4/&, SOT_MODE_ADDED = 5/' include/sot/sot.h
expect 1 "an addition to what is released"
version 7.1.0
expect 0 "an addition in a new release"
[ -f tests/abi/7.1.0/libsot.abi ] && ! grep -q SOT_MODE_ADDED tests/abi/7.0.0/sot/sot.h
sed -i 's/SOT_MODE_ROUTED = 4/SOT_MODE_ROUTED = 3/' include/sot/sot.h
version 7.2.0
expect 1 "a break under the same soname"
version 8.0.0
expect 0 "a break under another"
expect 2 "an argument that there is not" --force
echo "accept: 9 cases"
