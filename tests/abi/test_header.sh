#!/bin/sh
# The public headers compile alone, as C99 to C++20, under every compiler there is, without warning.
set -u
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/use.c" <<'C'
#include <sot/sot.h>
int main(void)
{
    sot_generate_params params = SOT_GENERATE_PARAMS_INIT;
    sot_generate_params_init(&params);
    return params.struct_size == sizeof params ? (int)SOT_OK : 1;
}
C
cp "$work/use.c" "$work/use.cc"
n=0
for pair in gcc:c99 gcc:c11 g++:c++11 g++:c++20 clang-14:c99 clang-14:c11 clang++-14:c++11 \
    clang++-14:c++20; do
    compiler=${pair%%:*}
    standard=${pair#*:}
    if ! command -v "$compiler" >/dev/null 2>&1; then
        echo "SKIPPED: $compiler is not installed" >&2
        continue
    fi
    case $standard in
    c++*) source="$work/use.cc" extra=-Wno-missing-field-initializers ;;
    *) source="$work/use.c" extra= ;;
    esac
    # shellcheck disable=SC2086
    "$compiler" -std="$standard" -Wall -Wextra -pedantic -Werror $extra -Iinclude -c "$source" \
        -o "$work/use.o" || { echo "header: fails as $standard with $compiler" >&2; exit 1; }
    n=$((n + 1))
done
echo "header: compiles in $n ways"
