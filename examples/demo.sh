#!/bin/sh
# Installs what is missing, builds the sot command into build/, and answers a question in both modes
# with the demo model. Usage: sh examples/demo.sh ["question"]
set -eu
cd "$(dirname "$0")/.."
. tests/packages.sh
need_packages $BUILD_PACKAGES

question=${1:-How can I improve my chess skills?}
# A new build folder goes without the tests, which need more packages; one that is there is kept.
# (The cache alone is what a configuration that failed leaves.)
[ -f build/Makefile ] || cmake --preset release -DSOT_TESTS=OFF >/dev/null
cmake --build build -j "$(nproc)" --target example_sot -- --no-print-directory -s

echo
echo "Question: $question"
echo
exec ./build/examples/sot ask -m examples/model/demo.gguf --compare "$question"
