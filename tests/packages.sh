# Sourced by check.sh and demo.sh: Debian packages, installed where this may be done, named where
# not.
BUILD_PACKAGES="gcc g++ make cmake pkg-config libpcre2-dev libjansson-dev libedit-dev"
TEST_PACKAGES="libcmocka-dev python3 python3-venv clang-14 libclang-rt-14-dev libboost-context-dev
abigail-tools mandoc groff-base lintian git"
STATIC_PACKAGES="clang-format-14 clang-tidy-14 cppcheck shellcheck" # of the stage of that name, as the next
MEMCHECK_PACKAGES="valgrind libc6-dbg"
ARM64_PACKAGES="gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user"

# Where NVIDIA's packages from PyPI go; kept between runs.
CUDA_FOLDER=build-toolkit
CUDA_RELEASE=13.0 # of the nvcc that is fetched where there is none

need_packages() {
    missing=
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' ||
            missing="$missing $package"
    done
    [ -z "$missing" ] && return 0
    as_root=
    if [ "$(id -u)" -ne 0 ]; then
        if command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
            as_root=sudo
        else
            echo "Missing packages. Please run:" \
                "sudo apt-get update && sudo apt-get install -y$missing" >&2
            exit 1
        fi
    fi
    echo "Installing$missing"
    $as_root apt-get update -qq
    $as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends $missing
}

# fetch_wheels FOLDER PACKAGE...: PyPI's packages, unpacked in $CUDA_FOLDER/FOLDER unless they are.
fetch_wheels() {
    folder=$CUDA_FOLDER/$1
    shift
    [ "$(cat "$folder/fetched" 2>/dev/null)" != "$*" ] || return 0
    python3 -m pip --version >/dev/null 2>&1 || need_packages python3-pip
    echo "Fetching $*"
    rm -rf "$folder"
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore \
        --no-deps --target "$folder" "$@" ||
        { echo "$* cannot be had from PyPI" >&2 && return 1; }
    echo "$*" >"$folder/fetched"
}

# An nvcc and a cuBLAS, the machine's where it has them: sets NVCC and CUBLAS_ROOT ("": in nvcc's
# own toolkit). Anything that is missing and cannot be had is an error, since without them no kernel is
# compiled.
need_cuda() {
    NVCC=$(command -v nvcc || true)
    [ -n "$NVCC" ] || [ ! -x /usr/local/cuda/bin/nvcc ] || NVCC=/usr/local/cuda/bin/nvcc
    if [ -z "$NVCC" ]; then
        fetch_wheels nvcc "nvidia-cuda-nvcc==$CUDA_RELEASE.*" "nvidia-nvvm==$CUDA_RELEASE.*" \
            "nvidia-cuda-crt==$CUDA_RELEASE.*" "nvidia-cuda-runtime==$CUDA_RELEASE.*" \
            "nvidia-cuda-cccl==$CUDA_RELEASE.*"
        NVCC=$(find "$PWD/$CUDA_FOLDER/nvcc" -path '*/bin/nvcc')
    fi
    "$NVCC" --version >/dev/null || { echo "${NVCC:-nvcc} does not run" >&2 && return 1; }
    major=$("$NVCC" --version | sed -n 's/.*release \([0-9]*\)\..*/\1/p')
    top=$("$NVCC" --dryrun -x cu -c /dev/null -o /dev/null 2>&1 | sed -n 's/^#\$ TOP=//p')
    CUBLAS_ROOT=
    [ -f "$top/include/cublasLt.h" ] || [ -f /usr/include/cublasLt.h ] || {
        fetch_wheels cublas "nvidia-cublas==$major.*"
        CUBLAS_ROOT=$(find "$PWD/$CUDA_FOLDER/cublas" -name cublasLt.h)
        CUBLAS_ROOT=${CUBLAS_ROOT%/include/cublasLt.h}
    }
}
