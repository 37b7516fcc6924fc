#!/bin/sh
# Installs what is missing, builds, and runs all tests. Ends at the first stage that fails.
# Usage: sh tests/check.sh [STAGE...]     default: all, in this order
#   static   clang-format, shellcheck, cppcheck, clang-tidy: the sources, not run
#   release  gcc, build/, every test
#   clang    clang 14, build-clang/, the tests of what a compiler may see differently
#   asan     address and undefined-behaviour sanitizers, all that is not about headers or packages
#   tsan     thread sanitizer, the tests that use threads
#   memcheck valgrind over build/: the programs, and tests of what they call
#   python   build-python/: the Python package as pip installs it, its tests and its types
#   cuda     nvcc, build-cuda/: libsot-cuda.so, what its kernels take; a GPU's tests, not run
#   arm64    cross-compiled for AArch64, build-arm64/, the tests that depend on the machine, in qemu
#   fuzz     clang 14's libFuzzer, build-fuzz/, every target for 20 seconds
set -eu
cd "$(dirname "$0")/.."
. tests/packages.sh

all=$(sed -n 's/^#   \([a-z0-9]*\) .*/\1/p' tests/check.sh | tr '\n' ' ')
stages=${*:-$all}
for stage in $stages; do
    case " $all" in
    *" $stage "*) ;;
    *)
        echo "check.sh: no stage is named '$stage'; there are: $all" >&2
        exit 2
        ;;
    esac
done
need_packages $BUILD_PACKAGES $TEST_PACKAGES
case " $stages " in
*" arm64 "*) [ "$(uname -m)" != x86_64 ] || need_packages $ARM64_PACKAGES ;;
esac

jobs=$(nproc)
[ -d "${SOT_SHARED_DIR:-../shared}" ] ||
    echo "NOTE: no folder ${SOT_SHARED_DIR:-../shared}: tests that need its data will be skipped"

# build_and_test PRESET FOLDER CMAKE-ARGUMENTS -- CTEST-ARGUMENTS
build_and_test() {
    preset=$1
    folder=$2
    shift 2
    arguments=
    while [ "$1" != -- ]; do
        arguments="$arguments $1"
        shift
    done
    shift
    # shellcheck disable=SC2086
    cmake --preset "$preset" -B "$folder" -DSOT_TESTS=ON -DSOT_EXAMPLES=ON -DSOT_CUDA=OFF \
        -DSOT_WERROR=ON $arguments >/dev/null
    cmake --build "$folder" -j "$jobs" -- --no-print-directory -s
    ctest --test-dir "$folder" -j "$jobs" --output-on-failure --no-tests=error "$@"
}

# The Python package, installed as a user would, beside the program whose answers it must give.
check_python() {
    cmake --preset release -DSOT_TESTS=ON -DSOT_EXAMPLES=ON -DSOT_CUDA=OFF >/dev/null
    cmake --build build -j "$jobs" --target example_sot -- --no-print-directory -s >/dev/null
    options="--quiet --disable-pip-version-check"
    options="$options --config-settings=build-dir=$PWD/build-python/wheel"
    # The first time all packages come from PyPI, later runs need no network.
    if [ -f build-python/complete ]; then
        options="$options --no-build-isolation --no-deps"
    else
        python3 -m venv --clear build-python
    fi
    # shellcheck disable=SC2086
    CMAKE_BUILD_PARALLEL_LEVEL=$jobs build-python/bin/python -m pip install $options \
        "./bindings/python[test]" "scikit-build-core>=0.10"
    touch build-python/complete
    build-python/bin/python -m pytest -q -p no:cacheprovider bindings/python/tests
    build-python/bin/python -m mypy --config-file bindings/python/pyproject.toml \
        --cache-dir build-python/mypy bindings/python/src/sot bindings/python/tests/typed_use.py
    build-python/bin/vermin --quiet --no-tips --target=3.9- --violations \
        bindings/python/src
}

for stage in $stages; do
    echo "== $stage"
    began=$(date +%s)
    case $stage in
    static) sh tests/static.sh ;;
    memcheck) sh tests/memcheck.sh ;;
    release) build_and_test release build -- ;;
    clang)
        CC=clang-14 build_and_test release build-clang -DCMAKE_C_COMPILER=clang-14 -- \
            -LE 'e2e|bench|packaging|consumers|faults|cuda'
        ;;
    asan)
        ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1 \
            UBSAN_OPTIONS=print_stacktrace=1 build_and_test asan build-asan -- \
            -LE 'bench|consumers|packaging' -E 'abi/test_(accept|header|release)|sot_eval_numbers'
        ;;
    arm64)
        if [ "$(uname -m)" != x86_64 ]; then
            echo "SKIPPED: cross-compiled on x86-64 only; this machine is $(uname -m)"
            continue
        fi
        sh tests/arm64_root.sh build-arm64/root
        slow='points_golden|batched_points|allocation_failure|tokenizer_encode|other_sizes'
        slow="$slow|page_reuse|conversation_pages|routing_at_once|json_parse"
        build_and_test release build-arm64 --toolchain tests/arm64.cmake -- \
            -E "$slow|faults/|test_fork|model_file" # the latter: qemu has processes of its own
        ;;
    cuda)
        need_cuda
        cmake --fresh --preset release -B build-cuda -DSOT_TESTS=OFF -DSOT_EXAMPLES=ON \
            -DSOT_CUDA=ON -DSOT_NVCC="$NVCC" -DSOT_CUBLAS_ROOT="$CUBLAS_ROOT" \
            -DSOT_WERROR=ON >/dev/null
        echo "kernels: $NVCC${CUBLAS_ROOT:+, cuBLAS in $CUBLAS_ROOT}"
        cmake --build build-cuda -j "$jobs" -- --no-print-directory -s
        python3 tests/cuda/resources.py build-cuda/kernels
        SOT_BUILD_DIR=build-cuda sh tests/cuda/test_plugin.sh
        SOT_BUILD_DIR=build-cuda sh tests/packaging/test_debs.sh
        cmake -B build-cuda -DSOT_TESTS=ON >/dev/null
        cmake --build build-cuda -j "$jobs" --target gpu_programs -- --no-print-directory -s
        ;;
    python) check_python ;;
    fuzz) sh tests/fuzz/run.sh 20 ;;
    tsan) build_and_test tsan build-tsan -- -R 'pool|threads|session|backend|soak|sot_command$' ;;
    esac
    echo "== $stage passed in $(($(date +%s) - began)) s"
done
echo "check.sh: passed: $stages"
