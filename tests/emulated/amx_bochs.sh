#!/bin/sh
# Runs the AMX kernels as the compiler makes them, real instructions, on Bochs' Sapphire Rapids, with
# no operating system, and compares the results' bits with those over emulated tiles. By hand, not in
# CI: it takes a Bochs built for it. Half a minute.
#
# Usage: sh tests/emulated/amx_bochs.sh BOCHS BIOS VGA-BIOS
#
# BOCHS is built from the sources of Bochs 3.0 after one correction (VCVTNE2PS2BF16 with two registers
# reads behind the end of the first):
#   sed -i 's/bfloat16(op1.vmm32u(n))/bfloat16(op1.vmm32u(n - DWORD_ELEMENTS(len)))/' \
#       cpu/avx/avx512_bf16.cc
#   ./configure --enable-x86-64 --enable-cpu-level=6 --enable-avx --enable-evex --enable-amx \
#       --enable-all-optimizations --disable-plugins --disable-docbook --disable-readline --with-nogui
#   make
# The other two are in Debian's packages bochsbios (BIOS-bochs-latest) and vgabios (vgabios.bin). Also
# needed: xorriso, isolinux, syslinux-common, and an AVX-512 machine for the expected results.
# Linux does not boot as far as user programs there: Bochs 3.0 lacks the XFD registers, without which
# Linux leaves AMX off, so what asks for permission (cpu_isa.c) is not covered.
set -eu
if [ $# -ne 3 ]; then
    sed -n '6p' "$0" >&2
    exit 2
fi
bochs=$(realpath "$1")
bios=$(realpath "$2")
vga_bios=$(realpath "$3")
cd "$(dirname "$0")/../.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir -p "$folder/iso/isolinux"

flags="-std=c11 -O2 -ffp-contract=off -Ilib -Iinclude -Itests -I$folder
    -mavx2 -mfma -mf16c -mavx512f -mavx512bw -mavx512dq -mavx512vl"
# shellcheck disable=SC2086
${CC:-cc} $flags tests/emulated/bare_amx.c -o "$folder/expect" -lm
"$folder/expect" >"$folder/bare_expected.h"
# shellcheck disable=SC2086
${CC:-cc} $flags -DBARE -mavx512bf16 -mavx512fp16 -ffreestanding -fno-pic -mno-red-zone \
    -fno-stack-protector -c tests/emulated/bare_amx.c -o "$folder/bare_amx.o"
${CC:-cc} -c tests/emulated/bare_boot.S -o "$folder/bare_boot.o"
ld -m elf_x86_64 -T tests/emulated/bare.ld -o "$folder/bare64" "$folder/bare_boot.o" \
    "$folder/bare_amx.o"
objcopy -O elf32-i386 "$folder/bare64" "$folder/iso/bare"

cp /usr/lib/ISOLINUX/isolinux.bin "$folder/iso/isolinux/"
for module in ldlinux mboot libcom32; do
    cp "/usr/lib/syslinux/modules/bios/$module.c32" "$folder/iso/isolinux/"
done
printf 'default bare\nprompt 0\nlabel bare\n  kernel mboot.c32\n  append /bare\n' \
    >"$folder/iso/isolinux/isolinux.cfg"
xorriso -as mkisofs -quiet -o "$folder/boot.iso" -b isolinux/isolinux.bin -c isolinux/boot.cat \
    -no-emul-boot -boot-load-size 4 -boot-info-table "$folder/iso"
cat >"$folder/bochsrc" <<RC
megs: 512
romimage: file=$bios
vgaromimage: file=$vga_bios
cpu: model=sapphire_rapids, count=1, ips=100000000, reset_on_triple_fault=0
ata0-master: type=cdrom, path=$folder/boot.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev=$folder/serial
display_library: nogui
clock: sync=none
log: $folder/log
panic: action=fatal
RC
# The program ends the machine through Bochs' shutdown port, which Bochs calls a panic.
timeout 300 "$bochs" -q -f "$folder/bochsrc" >"$folder/console" 2>&1 || true
cat "$folder/serial"
grep -q '^bare: all the same' "$folder/serial"
