#!/bin/bash
# Ranks the models of a sweep: jobs/collect.sh FOLDER [METRIC]
# Prints a line a task, tab-separated and best first: METRIC (default: the first that was computed), task, options.
# Tasks without figures come last, with a dash. Exit code 1 if no task has any.
set -euo pipefail
(($# == 1 || $# == 2)) || { echo "usage: ${0##*/} FOLDER [METRIC]" >&2; exit 64; }
folder=$1
metric=${2:-}
[[ -d $folder ]] || { echo "${0##*/}: there is no folder $folder" >&2; exit 66; }

# The value of a key in a JSON object of numbers.
value() {
  sed -n "s/.*\"$1\": *\([^,}]*\).*/\1/p" "$2"
}

shopt -s nullglob
finished=("$folder"/*/metrics.json)
((${#finished[@]})) || { echo "${0##*/}: no task in $folder has finished" >&2; exit 1; }
[[ -n $metric ]] || metric=$(sed -n 's/^[^"]*"\([^"]*\)".*/\1/p' "${finished[0]}" | head -n 1)
[[ -n $(value "$metric" "${finished[0]}") ]] ||
  { echo "${0##*/}: ${finished[0]} has no $metric: $(cat "${finished[0]}")" >&2; exit 64; }

order=--reverse # of errors the smallest is best
[[ $metric != rmse && $metric != mae ]] || order=--stable
printf '%s\ttask\toptions\n' "$metric"
for file in "${finished[@]}"; do
  task=${file%/*}
  printf '%s\t%s\t%s\n' "$(value "$metric" "$file")" "${task##*/}" "$(<"$task/options")"
done | LC_ALL=C sort --general-numeric-sort --key=1,1 "$order"
for options in "$folder"/*/options; do
  task=${options%/*}
  [[ -e $task/metrics.json ]] || printf -- '-\t%s\t%s\n' "${task##*/}" "$(<"$options")"
done
