#!/bin/sh
# The long runs that check.sh makes short: 20,000 answers by eight sessions on four threads under a
# memory ceiling, and 10,000 cancelled calls. About 15 minutes on two idle cores, one part behind
# the other; progress on the way, a line of numbers for each part at the end.
# Usage: sh tests/soak.sh [--quick] [answers|cancellations]...     --quick: as long as in check.sh
set -eu
cd "$(dirname "$0")/.."
. tests/packages.sh

answers=20000
cancellations=10000
parts=
for argument in "$@"; do
    case $argument in
    --quick) answers='' cancellations='' ;;
    answers | cancellations) parts="$parts $argument" ;;
    *)
        echo "soak.sh: '$argument' is neither --quick nor a part (answers, cancellations)" >&2
        exit 2
        ;;
    esac
done
need_packages $BUILD_PACKAGES libcmocka-dev
cmake --preset release -DSOT_TESTS=ON >/dev/null
cmake --build build -j "$(nproc)" --target test_soak test_cancellation -- --no-print-directory -s

summary=
for part in ${parts:-answers cancellations}; do
    echo "== $part"
    case $part in
    answers) program=test_soak ;;
    cancellations) program=test_cancellation ;;
    esac
    log=build/soak-$part.log
    SOT_SOAK_ANSWERS=$answers SOT_CANCELLATIONS=$cancellations build/tests/$program >"$log" 2>&1 &
    tail -n +1 -f --pid=$! "$log"
    if ! wait $!; then
        echo "soak.sh: failed: $part" >&2
        exit 1
    fi
    summary="$summary$(grep -E '(answers|calls) .*in [0-9]+ s(:|$)|resident' "$log" |
        grep -v 'to go' | sed "s/^/$part: /")
"
done
printf '\n%ssoak.sh: passed\n' "$summary"
