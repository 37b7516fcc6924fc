#!/bin/sh
# Everything that needs a GPU, on a machine with one NVIDIA GPU: builds with CUDA, runs the kernels'
# and the backend's tests and whole models on the device, the same under compute-sanitizer, then
# measures and prints what of the goals was reached.
# Usage: sh tests/gpu.sh [STAGE...]
#   stages: build tests sanitizer gemm bench pytorch report; default: all. Each leaves what it found
#   for report, until the next build.
# Needs: nvcc, cuBLAS, cmake, make, cmocka, python3; for sanitizer NVIDIA's compute-sanitizer; for
#   pytorch also torch and transformers in SOT_GPU_PYTHON (default: python3).
# Environment: SOT_GPU_MODELS (default "7b 13b 33b"; what does not fit into the device is left out),
#   SOT_GPU_BUILD (default build-gpu), SOT_GPU_OUT (default SOT_GPU_BUILD/results),
#   SOT_GPU_CMAKE (more arguments for cmake, such as -DSOT_CUBLAS_ROOT=...).
# Exit code: 0, also with goals missed; 1 a build or test failed; 2 there is no such stage; 77 there
#   is no GPU here.
set -u
cd "$(dirname "$0")/.." || exit 1

build=${SOT_GPU_BUILD:-build-gpu}
out=${SOT_GPU_OUT:-$build/results}
python=${SOT_GPU_PYTHON:-python3}
models=${SOT_GPU_MODELS:-7b 13b 33b}
stages=${*:-build tests sanitizer gemm bench pytorch report}
sanitizers="memcheck racecheck initcheck synccheck"
seconds=1800 # that a test may take; under racecheck some take minutes
failures=0

for stage in $stages; do
    case $stage in
    build | tests | sanitizer | gemm | bench | pytorch | report) ;;
    *)
        echo "gpu.sh: no stage is named '$stage';" \
            "there are build, tests, sanitizer, gemm, bench, pytorch and report" >&2
        exit 2
        ;;
    esac
done

say() { echo "== $*"; }
fail() {
    echo "FAILED: $*" >&2
    failures=$((failures + 1))
}
wants() { case " $stages " in *" $1 "*) return 0 ;; esac; return 1; }

no_gpu() {
    echo "gpu.sh: SKIPPED, NOTHING WAS RUN ON A GPU: $*" >&2
    exit 77
}
# Summing up what another machine measured needs no GPU.
if [ "$stages" != report ]; then
    command -v nvidia-smi >/dev/null 2>&1 || no_gpu "there is no nvidia-smi"
    nvidia-smi -L 2>/dev/null | grep -q '^GPU' || no_gpu "nvidia-smi lists no device"
    command -v nvcc >/dev/null 2>&1 || [ -x /usr/local/cuda/bin/nvcc ] || no_gpu "there is no nvcc"
fi
mkdir -p "$out" || exit 1

# record NAME TOOL RESULT: a line of tests.json in the making
record() { printf '%s\t%s\t%s\n' "$1" "$2" "$3" >>"$out/${2:+sanitizer-}tests.tsv"; }

# Whether there is anything to run. A build that left a program out has failed; none at all here
# would pass for success.
has_programs() {
    [ -x "$build/tests/gpu/gpu_model" ] || fail "$build/tests/gpu has no gpu_model to run for $1"
}

# run_test NAME TOOL COMMAND...: exit code 77 is a skip, and a skip is said. A kernel that waits for
# ever is a failure, too.
run_test() {
    name=$1
    tool=$2
    shift 2
    log=$out/log-$name${tool:+-$tool}.txt
    timeout --kill-after=60 "$seconds" "$@" >"$log" 2>&1
    case $? in
    0)
        record "$name" "$tool" passed
        echo "passed   $name $tool"
        grep -a '^\[  SKIPPED' "$log" | sort -u
        ;;
    77)
        record "$name" "$tool" skipped
        echo "SKIPPED  $name $tool: $(tail -n 1 "$log")"
        ;;
    *)
        record "$name" "$tool" failed
        fail "$name $tool, see $log"
        tail -n 15 "$log"
        ;;
    esac
}

if wants build; then
    say build
    # What another build came to is not to stand beside this one's commit.
    rm -f "$out"/facts.json "$out"/*tests.tsv "$out"/tests.json "$out"/gpu.json \
        "$out"/gemm_rows.jsonl "$out"/bench-*.json "$out"/replays-*.json "$out"/pytorch-*.json
    # shellcheck disable=SC2086
    cmake --preset release -B "$build" -DSOT_CUDA=ON -DSOT_TESTS=ON -DSOT_EXAMPLES=ON \
        ${SOT_GPU_CMAKE:-} >"$out/log-cmake.txt" 2>&1 &&
        cmake --build "$build" --target gpu_programs -j "$(nproc)" >"$out/log-build.txt" 2>&1 || {
        tail -n 30 "$out/log-cmake.txt" "$out/log-build.txt"
        echo "gpu.sh: the build failed" >&2
        exit 1
    }
    "$python" tests/bench/gpu_facts.py >"$out/facts.json" || fail "the device's facts"
fi

if wants tests; then
    say tests
    has_programs tests
    : >"$out/tests.tsv"
    for program in "$build"/tests/gpu/test_* "$build"/tests/gpu/gpu_model; do
        [ ! -x "$program" ] || run_test "$(basename "$program")" "" "$program"
    done
fi
if wants sanitizer; then
    say "compute-sanitizer: minutes each"
    has_programs sanitizer
    : >"$out/sanitizer-tests.tsv"
    sanitizer=$(command -v compute-sanitizer || echo /usr/local/cuda/bin/compute-sanitizer)
    for program in "$build"/tests/gpu/test_* "$build"/tests/gpu/gpu_model; do
        [ -x "$program" ] || continue
        for tool in $sanitizers; do
            # With a small model, and no device broken on purpose.
            [ -x "$sanitizer" ] || {
                record "$(basename "$program")" "$tool" skipped
                echo "SKIPPED  $(basename "$program") $tool: there is no compute-sanitizer"
                continue
            }
            SOT_GPU_MODEL=random:512x4x8x1376x2000 SOT_GPU_SANITIZED=1 \
                run_test "$(basename "$program")" "$tool" \
                "$sanitizer" --tool "$tool" --error-exitcode 1 "$program"
        done
    done
fi

# A 16-bit model needs 2 bytes a parameter and some room; what the device has, in MiB.
fits() {
    case $1 in
    7b) needed=16000 ;;
    13b) needed=29000 ;;
    33b) needed=69000 ;;
    *) needed=0 ;;
    esac
    have=$(nvidia-smi --query-gpu=memory.total --format=csv,noheader,nounits | head -n 1)
    [ "${have:-0}" -ge "$needed" ]
}

if wants gemm; then
    say "gemm_rows and cuBLAS at every shape"
    "$build/tests/gpu/bench_gemm_rows" >"$out/gemm_rows.jsonl" || fail bench_gemm_rows
fi
for model in $models; do
    wants bench || wants pytorch || break
    if ! fits "$model"; then
        echo "LEFT OUT: $model does not fit into this device's memory"
        continue
    fi
    if wants bench; then
        say "sot-bench $model"
        "$build/examples/sot-bench" --device cuda -m "random:$model" \
            --cases prefill,decode,attention --json "$out/bench-$model.json" \
            >"$out/bench-$model.txt" || fail "sot-bench $model"
        "$python" tests/bench/gpu_replays.py --build "$build" --model "random:$model" \
            --json "$out/replays-$model.json" || fail "the replay of $model"
    fi
    if wants pytorch; then
        say "PyTorch and Transformers $model"
        if "$python" -c 'import torch, transformers' 2>/dev/null; then
            "$python" tests/bench/compare_pytorch.py --build "$build" --model "$model" \
                --json "$out/pytorch-$model.json" || fail "compare_pytorch.py $model"
        else
            echo "SKIPPED: $python has no torch and transformers; the comparison is unmeasured"
        fi
    fi
done

if wants report; then
    "$python" - "$out" <<'END' || fail "tests.json"
import json, os, sys
rows = []
for name in ("tests.tsv", "sanitizer-tests.tsv"):
    path = os.path.join(sys.argv[1], name)
    if os.path.exists(path):
        rows += [line.rstrip("\n").split("\t") for line in open(path)]
with open(os.path.join(sys.argv[1], "tests.json"), "w") as file:
    json.dump([dict(zip(("name", "tool", "result"), row)) for row in rows], file, indent=1)
END
    "$python" tests/bench/gpu_report.py "$out" --json "$out/gpu.json" || failures=$((failures + 1))
    echo "gpu.sh: everything measured is in $out/gpu.json"
fi
[ "$failures" -eq 0 ] || {
    echo "gpu.sh: $failures failed" >&2
    exit 1
}
