#!/bin/sh
# Writes a C file whose functions have the names of all that libsot's objects share among
# themselves. A program that links it and libsot.a (test_static_host.c) shows that libsot.a keeps
# them to itself.
# Usage: clash.sh NM LIBRARY HOST.c        HOST.c defines some of the names itself
set -eu
names=$("$1" -g --defined-only "$2" |
    awk 'NF == 3 && $3 ~ /^soti_[a-z0-9_]*$/ { print $3 }' | sort -u)
echo "int clash_count(void);"
echo "int clash_sum(void);"
n=0
sum=
for name in $names; do
    ! grep -q "^int $name(" "$3" || continue
    echo "int $name(void) { return 1; }"
    sum="$sum + $name()
"
    n=$((n + 1))
done
echo "int clash_count(void) { return $n; }"
echo "int clash_sum(void) { return 0 $sum; }"
