#!/bin/sh
# Builds the fuzz targets with clang into build-fuzz/ and runs each for a while, its corpus first.
# Usage: sh tests/fuzz/run.sh [seconds each] [target ...]
set -eu
cd "$(dirname "$0")/../.."
. tests/packages.sh
need_packages $BUILD_PACKAGES clang-14 libclang-rt-14-dev
seconds=${1:-30}
[ $# -gt 0 ] && shift
build=build-fuzz

cmake -S . -B $build -DCMAKE_C_COMPILER=clang-14 -DCMAKE_BUILD_TYPE=RelWithDebInfo \
    -DCMAKE_C_FLAGS=-fsanitize=fuzzer-no-link -DSOT_SANITIZE=address,undefined \
    -DSOT_EXAMPLES=OFF -DSOT_TESTS=OFF >/dev/null
cmake --build $build --target sot_internal -j "$(nproc)" -- --no-print-directory -s

[ $# -gt 0 ] || set -- $(cd tests/fuzz && ls fuzz_*.c | sed 's/\.c$//')
for target in "$@"; do
    echo "== $target, $seconds s"
    clang-14 -std=c11 -D_GNU_SOURCE -g -O1 -fsanitize=fuzzer,address,undefined \
        -fno-sanitize-recover=all -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror \
        -Iinclude -Ilib "tests/fuzz/$target.c" $build/libsot_internal.a \
        $(pkg-config --libs libpcre2-8 jansson) -lm -lpthread -o "$build/$target"
    found="$build/corpus/$target"
    mkdir -p "$found"
    kept="tests/fuzz/corpus/$target"
    [ -d "$kept" ] || kept=
    "$build/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -verbosity=0 -print_final_stats=1 \
        -artifact_prefix="$build/" "$found" $kept
done
