#!/bin/sh
# The layering of lib/ (base < io, backend < cpu, cuda < model < sot < api), what kernels/ may
# include, and the rules about files that a compiler does not check.
set -u
cd "$(dirname "$0")/../.." || exit
failures=0
complain() {
    echo "layers: $*" >&2
    failures=$((failures + 1))
}

allowed_for() {
    case $1 in
    base) echo "base" ;;
    io) echo "base io" ;;
    backend) echo "base backend" ;;
    cpu) echo "base backend cpu" ;;
    cuda) echo "base backend cuda" ;;
    model) echo "base io backend model" ;;
    sot) echo "base io backend model sot" ;;
    api) echo "base io backend model sot api" ;;
    *) echo "" ;;
    esac
}

n_includes=0
for file in lib/*/*.c lib/*/*.h; do
    layer=${file#lib/}
    layer=${layer%%/*}
    allowed=$(allowed_for "$layer")
    [ -n "$allowed" ] || complain "$file: no layer is named $layer"
    for header in $(sed -n 's/^#[[:space:]]*include[[:space:]]*"\([^"]*\)".*/\1/p' "$file"); do
        n_includes=$((n_includes + 1))
        [ "$layer $header" != "cuda kernels/kernels.h" ] || continue
        case $header in
        sot/sot.h | sot/status.h | sot/router.h | sot/chat.h | sot/profile.h | status.h) continue ;;
        */*) target=${header%%/*} ;;
        *) target=$layer ;;
        esac
        case " $allowed " in
        *" $target "*) ;;
        *) complain "$file includes $header: $layer may include only: $allowed" ;;
        esac
        [ -f "lib/$target/${header##*/}" ] || complain "$file includes $header, which is not there"
    done
done
[ "$n_includes" -gt 50 ] || complain "only $n_includes includes were found: is this script broken?"

found=$(grep -nE '#[[:space:]]*include[[:space:]]*"[^"]*/' kernels/* 2>/dev/null | grep -v '"kernels/')
[ -z "$found" ] || complain "kernels/ includes nothing from lib/: $found"

# Not "git ls-files": without git, or where git distrusts the folder's owner, it lists nothing.
files_in() {
    find "$@" -name '.?*' -prune -o -type f -print 2>/dev/null
}
twice=$(files_in lib include kernels examples tests | grep -E '\.(c|h|cu|cuh|py)$' |
    grep -v '^tests/abi/[0-9]' | # headers of releases
    sed 's|.*/||' | grep -vxE '(train|evaluate)\.py' | sort | uniq -d) # one pair a trained model
[ -z "$twice" ] || complain "file names that occur twice: $twice"

for file in lib/*/*.h; do
    name=${file##*/}
    [ ! -e "/usr/include/$name" ] || complain "$file has the name of a system header"
done

for file in $(files_in lib include kernels | grep -E '\.(c|h|cu|cuh)$'); do
    lines=$(wc -l <"$file")
    [ "$lines" -le 600 ] || complain "$file has $lines lines"
    case $(head -c 2 "$file") in
    '/*') ;;
    *) complain "$file does not begin with a comment that says what it owns" ;;
    esac
done

# A library is a guest: it does not print, exit, abort or read the environment.
guest='(^|[^a-zA-Z_])(printf|fprintf|puts|putchar|perror|exit|_exit|abort|getenv|secure_getenv|assert|system)[[:space:]]*\('
found=$(grep -nE "$guest" lib/*/*.c lib/*/*.h kernels/* 2>/dev/null)
[ -z "$found" ] || complain "not for a library: $found"

[ "$failures" -eq 0 ] && echo "layers: $n_includes includes, all in order"
[ "$failures" -eq 0 ]
