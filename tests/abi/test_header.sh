#!/bin/sh
# Each public header compiles alone, as C99 to C++20, under every compiler there is, with more
# warnings than a strict host asks for; and so does a program that uses every _INIT macro.
set -u
cd "$(dirname "$0")/../.." || exit
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for header in include/sot/*.h; do
    name=$(basename "$header" .h)
    echo "#include <sot/$name.h>" >"$work/$name.c"
    printf '#ifdef __cplusplus\nextern "C" {\n#endif\n#include <sot/%s.h>\n%s\n}\n#endif\n' \
        "$name" '#ifdef __cplusplus' >"$work/in_c_$name.c" # as hosts in C++ wrap C's headers
    # It takes nothing from, and gives nothing away to, what comes before it.
    printf '#include <sot/%s.h>\n#include <sot/sot.h>\nint main(void) { return SOT_OK; }\n' \
        "$name" >"$work/then_$name.c"
done
{
    echo '#include <sot/sot.h>'
    echo 'int main(void) {'
    sed -n 's/^#define \(SOT_[A-Z_]*_INIT\) SOT_STRUCT_INIT(\(sot_[a-z_]*\))$/\1 \2/p' \
        include/sot/*.h |
        while read -r macro type; do
            echo "    { const $type a = $macro; static $type b = $macro;"
            echo "      if (a.struct_size != sizeof(a) || b.struct_size != sizeof(b)) return 1; }"
        done
    echo '    return 0;'
    echo '}'
} >"$work/init_macros.c"
n_macros=$(grep -c 'const sot_' "$work/init_macros.c")
[ "$n_macros" -ge 17 ] || { echo "header: only $n_macros _INIT macros were found" >&2; exit 1; }

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
    c++*) flags="-x c++ -Wold-style-cast" ;;
    *) flags="-x c -Wc++-compat -Wstrict-prototypes" ;;
    esac
    for source in "$work"/*.c; do
        # shellcheck disable=SC2086
        "$compiler" $flags -std="$standard" -Wall -Wextra -pedantic -Wshadow -Wconversion -Wundef \
            -Werror -Iinclude -fsyntax-only "$source" || {
            echo "header: $(basename "$source") fails as $standard with $compiler" >&2
            exit 1
        }
        n=$((n + 1))
    done
    # shellcheck disable=SC2086
    "$compiler" $flags -std="$standard" -Iinclude "$work/init_macros.c" -o "$work/init_macros" &&
        "$work/init_macros" || {
        echo "header: an _INIT macro sets no size as $standard with $compiler" >&2
        exit 1
    }
done
[ "$n" -gt 0 ] || { echo "header: there is no compiler" >&2; exit 1; }
echo "header: $n compilations, $n_macros _INIT macros"
