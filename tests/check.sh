#!/bin/sh
# Installs what is missing, builds into build/, runs all tests. Usage: sh tests/check.sh
set -eu
cd "$(dirname "$0")/.."
. tests/packages.sh
need_packages $BUILD_PACKAGES $TEST_PACKAGES

cmake --preset release >/dev/null
cmake --build --preset release -j "$(nproc)"
ctest --preset release -j "$(nproc)"
