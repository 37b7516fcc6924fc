#!/bin/sh
# libsot-cuda.so as nvcc's build leaves it: one symbol, no CUDA in libsot, cuBLASLt in the plugin
# only, installed beside libsot; and what sot says with it on this machine, with a GPU or without.
set -eu
cd "$(dirname "$0")/../.."
build=${SOT_BUILD_DIR:-build}
plugin=$build/libsot-cuda.so
if ! grep -q '^SOT_CUBLASLT:.*=/' "$build/CMakeCache.txt" || [ ! -f "$plugin" ]; then
    echo "SKIPPED: $build has no libsot-cuda.so (sh tests/check.sh cuda builds and tests one)"
    exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() {
    echo "plugin: $*" >&2
    exit 1
}

exported=$(nm -D --defined-only "$plugin" | awk '{ print $3 }' | tr '\n' ' ')
[ "$exported" = "soti_cuda_plugin " ] || fail "it exports: $exported"
needed() {
    readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'
}
! needed "$build/libsot.so" | grep -iE 'cuda|cublas|nvidia' || fail "libsot.so needs CUDA"
needed "$plugin" | grep -q '^libcublasLt\.so' || fail "it does not need cuBLASLt"
! needed "$plugin" | grep -E '^(libcudart|libcuda|libcublas|libstdc\+\+|libsot)\.so' ||
    fail "it needs what is in it, or what only some machines have"

model=random:64x2x4x96x300
sot=$build/examples/sot
"$sot" ask -m $model --device cpu -q --mode normal --max-tokens 8 hi >"$work/cpu"
"$sot" ask -m $model --device auto -q --mode normal --max-tokens 8 hi >"$work/auto"
if "$sot" info -m $model --device cuda >"$work/info" 2>"$work/error"; then
    grep -q 'cuda:0' "$work/info" || fail "a model on a GPU is said to be elsewhere"
    echo "plugin: a GPU is here, and took a model"
else
    grep -qE 'device "cuda": .*(driver|CUDA device)' "$work/error" ||
        fail "without a GPU it says: $(cat "$work/error")"
    cmp -s "$work/cpu" "$work/auto" || fail "auto and cpu answer differently without a GPU"
    echo "plugin: no GPU here: $(cat "$work/error")"
fi

cmake --install "$build" --prefix "$work/usr" >/dev/null
installed=$(find "$work/usr" -name libsot-cuda.so)
[ -n "$installed" ] && [ -f "$(dirname "$installed")/libsot.so" ] ||
    fail "not installed beside libsot"
echo "plugin: exports one symbol, is installed beside libsot"
