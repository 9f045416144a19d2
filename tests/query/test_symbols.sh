#!/bin/bash
# libgridmf and gridmf-query need no MPI, and the library shows only its API.
# Usage: test_symbols.sh LIBGRIDMF.so GRIDMF-QUERY
set -euo pipefail

library=$1
query=$2
failed=0

fail() {
  printf '%s\n' "$@" >&2
  failed=1
}

for file in "$library" "$query"; do
  symbols=$(nm -D --undefined-only "$file" | awk '{print $NF}' | grep -E '^(MPI|PMPI|ompi|opal)_' || true)
  [[ -z $symbols ]] || fail "$file needs symbols of MPI:" "$symbols"
  loaded=$(ldd "$file" | grep -E 'lib(mpi|open-rte|open-pal)[.-]' || true)
  [[ -z $loaded ]] || fail "$file loads MPI:" "$loaded"
done

exported=$(nm -D --defined-only "$library" | awk '{print $NF}' | sort)
foreign=$(grep -v '^gmf_' <<<"$exported" || true)
[[ -z $foreign ]] || fail "$library exports names that are not its own:" "$foreign"

# What the public headers declare is what the library exports.
headers=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../include/gridmf" && pwd)
declared=$(grep -hoE '^GMF_API .*' "$headers"/*.h | grep -oE 'gmf_[a-z_]+\(' | tr -d '(' | sort)
difference=$(diff <(printf '%s\n' "$declared") <(printf '%s\n' "$exported") || true)
[[ -z $difference ]] || fail "declared (<) and exported (>) differ:" "$difference"

exit "$failed"
