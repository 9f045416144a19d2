#!/usr/bin/env bash
# The kernels compile for aarch64, in their generic form, without warnings.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
compiler=aarch64-linux-gnu-gcc
if ! command -v "$compiler" > /dev/null; then
  echo "SKIP: there is no $compiler; apt-get install gcc-aarch64-linux-gnu brings it"
  exit 77
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
flags=(-std=c11 -O3 -fno-math-errno -ffp-contract=fast -fopenmp -Wall -Wextra -Wconversion -Wshadow -Werror
  -D_GNU_SOURCE -DGMF_ISA=generic -DGMF_VECTOR_FLOATS=4 "-I$root/include" "-I$root/src")
n=0
for source in "$root"/src/kernel/*.c; do
  [[ $source != *_amx.c ]] || continue # a part of x86-64
  "$compiler" "${flags[@]}" -c "$source" -o "$folder/$(basename "$source").o"
  n=$((n + 1))
done
((n > 0))
echo "$n sources compile"
