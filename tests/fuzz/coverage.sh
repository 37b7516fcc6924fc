#!/bin/sh
# Which lines of the files that each fuzz target is about its inputs reach: the committed ones and,
# where run.sh was there, those it collected. Builds with clang into build-fuzz-coverage/.
# Usage: sh tests/fuzz/coverage.sh [target ...]     lines that no input reaches are listed in
# build-fuzz-coverage/TARGET.txt
set -eu
cd "$(dirname "$0")/../.."
. tests/packages.sh
need_packages $BUILD_PACKAGES $TEST_PACKAGES llvm-14
build=build-fuzz-coverage

sources_of() {
    case $1 in
    fuzz_conversation) echo lib/sot/conversing_file.c ;;
    fuzz_gguf) echo lib/io/gguf.c lib/io/gguf_metadata.c lib/io/gguf_vocabulary.c \
        lib/io/tensor_list.c lib/io/shape_check.c lib/io/checkpoint.c lib/model/weights.c ;;
    fuzz_json) echo lib/io/json_parse.c ;;
    fuzz_index) echo lib/io/hf_index.c lib/io/huggingface.c ;;
    fuzz_points) echo lib/sot/points.c ;;
    fuzz_profile) echo lib/sot/profile_file.c lib/sot/profile_tables.c ;;
    fuzz_prompts) echo lib/sot/prompts.c lib/sot/prompts_load.c ;;
    fuzz_router) echo lib/sot/router_file.c lib/sot/classifier.c lib/sot/question_words.c \
        lib/sot/question_features.c ;;
    fuzz_safetensors) echo lib/io/safetensors.c lib/io/hf_config.c lib/io/hf_vocabulary.c \
        lib/io/tensor_list.c lib/io/json_file.c ;;
    fuzz_tokenizer) echo lib/io/tokenizer_encode.c lib/io/tokenizer.c lib/io/token_stream.c \
        lib/io/piece_index.c ;;
    fuzz_tokenizer_model) echo lib/io/sentencepiece.c lib/io/protobuf.c lib/io/vocabulary.c ;;
    *) echo "coverage.sh: no target $1" >&2 && return 1 ;;
    esac
}

# shellcheck disable=SC2046
[ $# -gt 0 ] || set -- $(cd tests/fuzz && ls fuzz_*.c | sed 's/\.c$//')
# Without a compiler cache: it makes paths relative, and sources are found by their paths.
cmake -S . -B $build -DCMAKE_C_COMPILER_LAUNCHER= \
    -DCMAKE_C_COMPILER=clang-14 -DCMAKE_CXX_COMPILER=clang++-14 \
    -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS="-fprofile-instr-generate -fcoverage-mapping" \
    -DSOT_TESTS=ON -DSOT_EXAMPLES=OFF -DSOT_CUDA=OFF >/dev/null
cmake --build $build --target "$@" -j "$(nproc)" -- --no-print-directory -s
for target in "$@"; do
    folders=
    for folder in tests/fuzz/corpus tests/fuzz/regressions build-fuzz/corpus; do
        [ ! -d $folder/"$target" ] || folders="$folders $folder/$target"
    done
    sources=$(sources_of "$target")
    program=$build/tests/fuzz/$target
    # shellcheck disable=SC2086
    LLVM_PROFILE_FILE=$build/$target.raw "$program" $folders >/dev/null 2>&1
    llvm-profdata-14 merge -o "$build/$target.profile" "$build/$target.raw"
    # shellcheck disable=SC2086
    llvm-cov-14 show "$program" -instr-profile="$build/$target.profile" $sources |
        grep -E '^ *[0-9]+\| +0\||^/' >"$build/$target.txt" || true
    # shellcheck disable=SC2086
    llvm-cov-14 report "$program" -instr-profile="$build/$target.profile" $sources |
        awk -v target="$target" '/^TOTAL/ { printf "%-22s %5d of %5d lines %s\n", target,
            $8 - $9, $8, $10 }'
done
