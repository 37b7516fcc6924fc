#!/bin/sh
# The library as it was built has the real AMX and FP16 instructions, in the one file that is entered
# after a check for them; test_cpu_kernels_amx runs that file's source over emulated ones.
set -eu
cd "$(dirname "$0")/../.."
case $(uname -m) in
x86_64) ;;
*)
    echo "skipped: AMX is x86-64's"
    exit 0
    ;;
esac
command -v objdump >/dev/null 2>&1 || {
    echo "skipped: there is no objdump to read the object with"
    exit 0
}
others="ldtilecfg|tileloadd|vmulph|vsubph|vcvtne2ps2bf16"
objects=${SOT_BUILD_DIR:-build}/CMakeFiles/sot_objects.dir/lib/cpu
text=$(mktemp)
trap 'rm -f "$text"' EXIT
objdump -d --no-show-raw-insn "$objects/cpu_kernels_amx.c.o" >"$text"
for instruction in ldtilecfg tilezero tileloadd tdpbf16ps tilestored tilerelease vmulph vsubph \
    vcvtne2ps2bf16; do
    grep -qw "$instruction" "$text" || {
        echo "cpu_kernels_amx.c.o has no $instruction" >&2
        exit 1
    }
done
for object in "$objects"/*.o; do
    case $object in
    *_amx.c.o) continue ;;
    esac
    if objdump -d --no-show-raw-insn "$object" | grep -wE "$others"; then
        echo "$object has instructions of AMX's file" >&2
        exit 1
    fi
done
