#!/bin/sh
# Builds the fuzz targets with clang into build-fuzz/ and runs each for a while, one per processor.
# What they find is made small and named; the last lines are a table of all targets.
# Usage: sh tests/fuzz/run.sh [seconds each] [target ...]     a target's name with or without fuzz_
# A finding belongs into tests/fuzz/regressions/TARGET/ once it is mended.
set -eu
cd "$(dirname "$0")/../.."
build=build-fuzz
limits="-timeout=10 -rss_limit_mb=1024"

# One target: its seeds, what was found before, and what earlier runs of this folder collected.
run_one() {
    target=$1
    seconds=$2
    corpus=$build/corpus/$target
    log=$build/logs/$target
    finding=$build/findings/$target
    mkdir -p "$corpus" $build/logs $build/findings
    rm -f "$finding"
    folders=$corpus
    for folder in corpus regressions; do
        [ ! -d tests/fuzz/$folder/"$target" ] || folders="$folders tests/fuzz/$folder/$target"
    done
    words=tests/fuzz/dictionaries/$target
    [ -f "$words" ] && words=-dict=$words || words=
    # shellcheck disable=SC2086
    $build/tests/fuzz/"$target" $limits $words -max_total_time="$seconds" -print_final_stats=1 \
        -exact_artifact_path="$finding" $folders >"$log" 2>&1 && rm -f "$finding" && return 0
    [ -f "$finding" ] || cp /dev/null "$finding" # ended without an input to blame
    # shellcheck disable=SC2086
    $build/tests/fuzz/"$target" $limits -minimize_crash=1 -max_total_time=60 \
        -exact_artifact_path="$finding.small" "$finding" >>"$log.small" 2>&1 || true
    [ ! -f "$finding.small" ] || mv "$finding.small" "$finding"
}

# number NAME LOG: the last number that follows NAME there.
number() {
    sed -n "s/.*$1 *\([0-9][0-9]*\).*/\1/p" "$2" | tail -n 1
}

print_table() {
    printf '%-22s %12s %9s %7s %7s  %s\n' target executions per_s edges corpus findings
    for target in "$@"; do
        log=$build/logs/$target
        finding=$build/findings/$target
        [ -f "$finding" ] || finding=-
        printf '%-22s %12s %9s %7s %7s  %s\n' "$target" \
            "$(number stat::number_of_executed_units: "$log")" \
            "$(number stat::average_exec_per_sec: "$log")" "$(number cov: "$log")" \
            "$(find "$build/corpus/$target" -type f | wc -l)" "$finding"
    done
}

if [ "${1:-}" = --one ]; then
    run_one "$3" "$2"
    exit 0
fi

. tests/packages.sh
need_packages $BUILD_PACKAGES $TEST_PACKAGES
seconds=${1:-30}
[ $# -eq 0 ] || shift
# shellcheck disable=SC2046
[ $# -gt 0 ] || set -- $(cd tests/fuzz && ls fuzz_*.c | sed 's/\.c$//')
targets=
for target in "$@"; do
    target=fuzz_${target#fuzz_}
    [ -f "tests/fuzz/$target.c" ] || { echo "run.sh: no target $target" >&2 && exit 2; }
    targets="$targets $target"
done

cmake -S . -B $build -DCMAKE_C_COMPILER=clang-14 -DCMAKE_CXX_COMPILER=clang++-14 \
    -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_C_FLAGS=-fsanitize=fuzzer-no-link \
    -DSOT_SANITIZE=address,undefined -DSOT_FUZZ=ON -DSOT_TESTS=ON -DSOT_EXAMPLES=OFF \
    -DSOT_CUDA=OFF >/dev/null
# shellcheck disable=SC2086
cmake --build $build --target $targets -j "$(nproc)" -- --no-print-directory -s
# shellcheck disable=SC2086
printf '%s\n' $targets | xargs -P "$(nproc)" -n 1 sh tests/fuzz/run.sh --one "$seconds"
# shellcheck disable=SC2086
print_table $targets
for target in $targets; do
    if [ -f "$build/findings/$target" ]; then
        echo "run.sh: $target has a finding; its log is $build/logs/$target:" >&2
        grep -hE 'not so:|ERROR:|runtime error:' "$build/logs/$target" | sed 's/^/    /' >&2 || true
        failed=1
    fi
done
exit "${failed:-0}"
