#!/bin/sh
# What check.sh makes short, or leaves out for what it would fetch: 20,000 answers by eight sessions
# on four threads under a memory ceiling; 10,000 cancelled calls; and `python -m sot.convert` of .bin
# files beside torch and Transformers, which PyPI's packages are for. About 15 minutes on two idle
# cores, one part behind the other; progress on the way, a line of numbers for each part at the end.
# Usage: sh tests/soak.sh [--quick] [answers|cancellations|convert]...    default: all
#   --quick  answers and cancellations as long as in check.sh
set -eu
cd "$(dirname "$0")/.."
. tests/packages.sh

answers=20000
cancellations=10000
parts=
for argument in "$@"; do
    case $argument in
    --quick) answers='' cancellations='' ;;
    answers | cancellations | convert) parts="$parts $argument" ;;
    *)
        echo "soak.sh: '$argument' is neither --quick nor a part (answers, cancellations, convert)" >&2
        exit 2
        ;;
    esac
done
need_packages $BUILD_PACKAGES libcmocka-dev

# What these do stands before "||", where set -e does not work: each step says itself that it failed.

# A test program; its output as it comes, its numbers for the end.
long_run() {
    cmake --preset release -DSOT_TESTS=ON >/dev/null || return 1
    cmake --build build -j "$(nproc)" --target "$1" -- --no-print-directory -s || return 1
    log=build/soak-$part.log
    : >"$log"
    SOT_SOAK_ANSWERS=$answers SOT_CANCELLATIONS=$cancellations "build/tests/$1" >"$log" 2>&1 &
    tail -n +1 -f --pid=$! "$log"
    wait $! || return 1
    numbers=$(grep -E '(answers|calls) .*in [0-9]+ s(:|$)|resident' "$log" | grep -v 'to go')
}

# Nothing may be skipped: that would be for want of what was just installed.
convert() {
    need_packages python3-venv || return 1
    [ -x build-soak/bin/python ] || python3 -m venv build-soak || return 1
    build-soak/bin/python -m pip install --quiet --disable-pip-version-check \
        "./bindings/python[test]" torch transformers safetensors || return 1
    log=build-soak/convert.log
    result=0
    build-soak/bin/python -m pytest -p no:cacheprovider \
        bindings/python/tests/test_convert_torch.py >"$log" 2>&1 || result=$?
    cat "$log"
    numbers=$(tail -n 1 "$log")
    case $result:$numbers in
    *skipped*) return 1 ;;
    0:*passed*) ;;
    *) return 1 ;;
    esac
}

summary=
for part in ${parts:-answers cancellations convert}; do
    echo "== $part"
    numbers=
    case $part in
    answers) long_run test_soak ;;
    cancellations) long_run test_cancellation ;;
    convert) convert ;;
    esac || {
        echo "soak.sh: failed: $part" >&2
        exit 1
    }
    summary="$summary$(echo "$numbers" | sed "s/^/$part: /")
"
done
printf '\n%ssoak.sh: passed\n' "$summary"
