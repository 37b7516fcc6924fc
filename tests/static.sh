#!/bin/sh
# What can be said of the sources without running them: clang-format, shellcheck, cppcheck, clang-tidy.
# Usage: sh tests/static.sh [FILE...]     C files of lib/ and examples/ for clang-tidy; default: all
# What is excused, and why, stands in .clang-tidy and those of the folders below, in this script, and
# beside each NOLINT and cppcheck-suppress; shellcheck's SC2086 and SC2046 are disabled where a list of
# words is meant to be split. Tests are formatted, but neither cppcheck nor clang-tidy reads them: what
# these suppose is seen when they run under the sanitizers. Neither reads CUDA either.
set -eu
cd "$(dirname "$0")/.."
. tests/packages.sh
# shellcheck disable=SC2086
need_packages $BUILD_PACKAGES $TEST_PACKAGES $STATIC_PACKAGES
build=build-static
failed=

# Written by scripts, or frozen with a release.
not_formatted='^tests/golden/(points|router)/|^tests/abi/[0-9]'
echo "clang-format: all C, C++ and CUDA"
find include lib examples kernels tests bindings -name '*.[ch]' -o -name '*.cpp' -o -name '*.cu' \
    -o -name '*.cuh' | grep -Ev "$not_formatted" | xargs clang-format-14 --dry-run -Werror ||
    failed="$failed clang-format"

echo "shellcheck: all scripts"
# SC2100 takes build-fuzz for a subtraction; SC2034: packages.sh is for those who source it.
find . -path './build*' -prune -o -name '*.sh' -exec \
    shellcheck --shell=sh --severity=warning --exclude=SC2100,SC2034 {} + ||
    failed="$failed shellcheck"

# How each file is compiled, once: where two programs have it, both compile it the same way.
cmake --preset release -B $build -DCMAKE_C_COMPILER=clang-14 -DCMAKE_EXPORT_COMPILE_COMMANDS=ON \
    -DSOT_TESTS=ON -DSOT_EXAMPLES=ON -DSOT_CUDA=OFF >/dev/null
mkdir -p $build/once
python3 - $build/compile_commands.json $build/once/compile_commands.json >$build/once/files <<'END'
import json
import os
import sys

with open(sys.argv[1], encoding="utf-8") as file:
    commands = {os.path.relpath(entry["file"]): entry for entry in json.load(file)}
ours = [name for name in sorted(commands)
        if name.startswith(("lib/", "examples/")) and name.endswith(".c")]
with open(sys.argv[2], "w", encoding="utf-8") as file:
    json.dump([commands[name] for name in ours], file)
print(*ours, sep="\n")
END

echo "cppcheck: lib/ and examples/"
cppcheck -j "$(nproc)" --quiet --error-exitcode=1 --inline-suppr \
    --enable=warning,performance,portability --project=$build/once/compile_commands.json ||
    failed="$failed cppcheck"

# One process a file: clang 14 confuses the va_list of a second one. Two that count at once may write
# both numbers before either's words.
# shellcheck disable=SC2046
[ $# -gt 0 ] || set -- $(cat $build/once/files)
echo "clang-tidy: $# files"
printf '%s\n' "$@" | xargs -P "$(nproc)" -n 1 clang-tidy-14 --quiet -p $build/once 2>&1 |
    { grep -vE '^[0-9]* warnings? (generated|treated)' || true; } >$build/findings
[ ! -s $build/findings ] || { cat $build/findings && failed="$failed clang-tidy"; }
[ -z "$failed" ] || { echo "static.sh: failed:$failed" >&2 && exit 1; }
