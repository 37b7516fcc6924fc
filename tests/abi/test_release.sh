#!/bin/sh
# Today's ABI against the last release, and all those that may not be broken, of the ones tests/abi/
# keeps: additions only. Then the check itself: a copy of the library is changed in every way that
# docs/abi.md calls a break, and in those that it allows, and each must be told from the other.
# An intended change is accepted by tests/abi/accept.sh.
set -eu
cd "$(dirname "$0")/../.."
. tests/abi/plain_build.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

version=$(sed -n 's/^project(libsot VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
major=${version%%.*}
sh tests/abi/describe.sh . "$work/today.abi"
case $version in
0.*) kept=${version%.*} ;; # 0.MINOR
*) kept=$major ;;
esac
find tests/abi -mindepth 1 -maxdepth 1 -type d -name '[0-9]*' | sort -V >"$work/releases"
n=0
for release in $({ grep "^tests/abi/$kept\." "$work/releases"; tail -n 1 "$work/releases"; } |
    sort -u); do
    result=0
    python3 -B tests/abi/compare.py "$release" . "$work/today.abi" || result=$?
    [ $result -le 1 ] || {
        echo "release: programs linked to ${release#tests/abi/} break, see above; if that is" \
            "intended: docs/abi.md, tests/abi/accept.sh" >&2
        exit 1
    }
    n=$((n + 1))
done
[ $n -gt 0 ] || { echo "release: tests/abi/ keeps no release" >&2; exit 1; }

# The release that the changed copies are held against is today's.
mkdir "$work/release"
cp -r include/sot "$work/release/sot"
cp "$work/today.abi" "$work/release/libsot.abi"
n_changes=0

# expect RESULT WHAT FILE SED-SCRIPT [FILE SED-SCRIPT]...
expect() {
    expected=$1
    what=$2
    shift 2
    rm -rf "$work/copy"
    mkdir "$work/copy"
    cp -r include lib CMakeLists.txt "$work/copy/"
    while [ $# -gt 0 ]; do
        cp "$work/copy/$1" "$work/before"
        sed -i "$2" "$work/copy/$1"
        ! cmp -s "$work/before" "$work/copy/$1" ||
            { echo "release: '$what' changes nothing in $1" >&2; exit 1; }
        shift 2
    done
    sh tests/abi/describe.sh "$work/copy" "$work/copy.abi"
    result=0
    python3 -B tests/abi/compare.py "$work/release" "$work/copy" "$work/copy.abi" >"$work/said" 2>&1 ||
        result=$?
    [ $result -eq "$expected" ] || {
        cat "$work/said" >&2
        echo "release: '$what' is $result, expected $expected (1 an addition, 2 a break)" >&2
        exit 1
    }
    n_changes=$((n_changes + 1))
}

header=include/sot/sot.h
map=lib/api/libsot.map
expect 2 "a function is no longer exported" $map '/sot_points_dropped;/d'
expect 2 "a field goes between others" $header \
    '/^typedef struct sot_session_info/,/^}/s/^    const char \*isa;/    uint64_t between;\n&/'
expect 2 "a field's type is another of the same size" $header \
    's/^    uint32_t finish;/    int32_t finish;/'
expect 2 "a parameter is wider" \
    $header 's/uint32_t flags, char \*text/uint64_t flags, char *text/' \
    lib/api/api_text.c 's/uint32_t flags, char \*text/uint64_t flags, char *text/'
expect 2 "a callback returns nothing" $header \
    's/^typedef int32_t (\*sot_event_fn)/typedef void (*sot_event_fn)/'
expect 2 "a constant has another number" $header 's/SOT_MODE_ROUTED = 3/SOT_MODE_ROUTED = 4/'
expect 2 "a constant is gone" $header 's/SOT_LOG_WARNING = 3/SOT_LOG_WARN = 3/'
expect 2 "the soname is another" CMakeLists.txt \
    "s/^project(libsot VERSION $major\./project(libsot VERSION 9./"
expect 1 "a struct that the caller makes grows" $header \
    's/^} sot_measure_params;/    uint64_t grown;\n&/'
expect 1 "a struct that the library alone fills grows" $header \
    's/^} sot_event;/    uint64_t grown;\n&/'
expect 1 "a function is added" $header \
    's/^SOT_API const char \*sot_version_string/SOT_API uint32_t sot_added(void);\n&/' \
    $map 's/sot_version_string;/&\n        sot_added;/' \
    lib/api/api_status.c '$a uint32_t sot_added(void) { return 1; }'
expect 1 "a constant is added" $header 's/SOT_MODE_ROUTED = 3/&, SOT_MODE_ADDED = 4/'
expect 0 "nothing but a comment" $header 's|^#endif$|& /* a comment */|'
echo "release: compatible with $n kept; $n_changes changes of copies told apart"
