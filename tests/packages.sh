# Sourced by check.sh and demo.sh: Debian packages, installed where this may be done, named where not.
BUILD_PACKAGES="gcc g++ make cmake pkg-config libpcre2-dev libjansson-dev"
TEST_PACKAGES="libcmocka-dev python3 clang-14 libclang-rt-14-dev libboost-context-dev"
ARM64_PACKAGES="gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user" # for the stage of that name

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
