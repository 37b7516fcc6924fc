#!/bin/sh
# Line coverage of lib/ by all tests, printed per file. Fails below 90%.
# Usage: sh tests/coverage.sh
set -eu
cd "$(dirname "$0")/.."
. tests/packages.sh
need_packages $BUILD_PACKAGES $TEST_PACKAGES gcovr

cmake --preset debug -B build-coverage -DSOT_COVERAGE=ON -DSOT_TESTS=ON -DSOT_EXAMPLES=ON >/dev/null
cmake --build build-coverage -j "$(nproc)" -- --no-print-directory -s
find build-coverage -name '*.gcda' -delete
ctest --test-dir build-coverage -j "$(nproc)" --output-on-failure --no-tests=error
gcovr --root . --filter 'lib/' --exclude-unreachable-branches --fail-under-line 90 build-coverage
