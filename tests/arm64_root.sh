#!/bin/sh
# Unpacks Debian's arm64 packages of what the library and its tests link into a folder, for
# tests/arm64.cmake. apt works on lists of its own in there: the machine's are not touched, and
# nobody need be root.
# Usage: sh tests/arm64_root.sh FOLDER
set -eu
root=$1
[ ! -e "$root/complete" ] || exit 0
rm -rf "$root"
mkdir -p "$root/apt/lists/partial" "$root/apt/cache/archives/partial"
cd "$root"
apt=$PWD/apt
keys=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb [signed-by=$keys] http://deb.debian.org/debian bookworm main" >"$apt/sources.list"
: >"$apt/status"
cat >"$apt/apt.conf" <<CONF
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
APT::Sandbox::User "";
Acquire::Languages "none";
Dir::State "$apt";
Dir::State::status "$apt/status";
Dir::Cache "$apt/cache";
Dir::Etc::sourcelist "$apt/sources.list";
Dir::Etc::sourceparts "-";
CONF
export APT_CONFIG="$apt/apt.conf"
apt-get update -qq
apt-get download -qq libcmocka0 libcmocka-dev libpcre2-8-0 libpcre2-dev libjansson4 libjansson-dev
for package in ./*.deb; do
    dpkg-deb -x "$package" .
done
rm -rf "$apt" ./*.deb
touch complete
