# Sourced by the scripts that describe the ABI: sets build, and ends the script where this is no
# machine or no build to do it on.
build=${SOT_BUILD_DIR:-build}
skip() {
    echo "SKIPPED: $*"
    exit 0
}
if grep -qE '^(CMAKE_C_COMPILER:.*clang|SOT_SANITIZE:[A-Z]*=.|SOT_COVERAGE:[A-Z]*=ON)' \
    "$build/CMakeCache.txt"; then
    skip "the ABI is described by gcc, whatever a build is of; the plain gcc build's tests do it"
fi
[ "$(uname -m)" = x86_64 ] || skip "releases are described on x86-64; this machine is $(uname -m)"
command -v abidiff >/dev/null 2>&1 || skip "abigail-tools is not installed: NO ABI WAS COMPARED"
