#!/bin/sh
# valgrind's memcheck over the programs and over tests of what they call: no invalid or uninitialised
# byte is used, and nothing is left that nobody points to. The build is release's; valgrind has no
# AVX-512, and its FMA is a hundred times slower than the portable kernels' arithmetic.
# Of the other tests most would take too long. test_points and test_pool measure time; and the machine
# code that PCRE2 makes of patterns reads whole vectors, which memcheck takes for a mistake: it finds
# nothing in test_points where a pcre2_jit_compile_8 that refuses is loaded before PCRE2's.
# Usage: sh tests/memcheck.sh [TEST...]     default: the list below, and the programs
set -eu
cd "$(dirname "$0")/.."
. tests/packages.sh
# shellcheck disable=SC2086
need_packages $BUILD_PACKAGES $TEST_PACKAGES $MEMCHECK_PACKAGES
build=build
memcheck="valgrind --quiet --error-exitcode=99 --leak-check=full
--errors-for-leak-kinds=definite,indirect --child-silent-after-fork=yes"
tests="test_api_chat test_api_generate test_api_model test_api_params test_api_router test_api_session
test_engine test_gguf test_huggingface test_json_file test_loaded test_log test_router_file
test_safetensors test_save test_sentencepiece"
programs=$([ $# -gt 0 ] || echo ask_sot ask_normal chat info refused)

# One program; the output is shown where memcheck or the program finds something wrong.
run_one() {
    model=examples/model/demo.gguf
    few="--isa portable --threads 2 --max-skeleton-tokens 10 --max-point-tokens 2 --max-tokens 3"
    want=0
    input=/dev/null
    case $1 in
    ask_sot) set -- $build/examples/sot ask -m $model $few "How can I sleep well?" ;;
    ask_normal) set -- $build/examples/sot ask -m random:64x2x4x128x300 --isa avx2 --json \
        --mode normal --threads 2 --max-tokens 3 "Why?" ;;
    chat)
        input=$build/memcheck/questions
        printf 'Why?\n/help\nHow?\n' >$input
        set -- $build/examples/sot chat -m random:64x2x4x128x300 $few --mode routed --router trained \
            --router-file examples/router/lima.router
        ;;
    info) set -- $build/examples/sot info -m $model ;;
    refused)
        want=1
        set -- $build/examples/sot info -m tests/memcheck.sh
        ;;
    *) set -- $build/tests/"$1" ;;
    esac
    log=$build/memcheck/$name
    got=0
    $memcheck "$@" <$input >"$log" 2>&1 || got=$?
    [ $got = $want ] && ! grep -q '^==[0-9]*==' "$log" && return 0
    cat "$log"
    echo "memcheck: $name: exit code $got, expected $want" >&2
    return 1
}

mkdir -p $build/memcheck
if [ "${1:-}" = --one ]; then
    name=$2
    run_one "$2"
    exit
fi
# shellcheck disable=SC2086
[ $# -gt 0 ] || set -- $tests
cmake --preset release -DSOT_TESTS=ON -DSOT_EXAMPLES=ON -DSOT_CUDA=OFF >/dev/null
cmake --build $build -j "$(nproc)" --target example_sot "$@" -- --no-print-directory -s >/dev/null
# shellcheck disable=SC2086
printf '%s\n' $programs "$@" | xargs -P "$(nproc)" -n 1 sh tests/memcheck.sh --one
echo "memcheck: $(printf '%s\n' $programs "$@" | wc -l) programs, nothing found"
