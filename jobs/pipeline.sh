#!/bin/bash
# From text ratings to recommendations in three jobs, each of which waits for the one before it to succeed:
#   jobs/pipeline.sh RATINGS FOLDER [TRAIN OPTIONS...]
# Nodes, memory and time stand in import.sbatch, train.sbatch and recommend.sbatch; account and partition may stand in
# SBATCH_ACCOUNT and SBATCH_PARTITION. Prints the numbers of the jobs.
set -euo pipefail
(($# >= 2)) || { echo "usage: ${0##*/} RATINGS FOLDER [TRAIN OPTIONS...]" >&2; exit 64; }
ratings=$(realpath "$1")
[[ -r $ratings ]] || { echo "${0##*/}: $1 is not there, or cannot be read" >&2; exit 66; }
mkdir -p "$2"
folder=$(realpath "$2")
jobs=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
shift 2

# submit PREVIOUS SCRIPT ARGUMENTS...: the number of the new job.
submit() {
  local after=$1
  sbatch --parsable --chdir="$folder" ${after:+--dependency=afterok:$after --kill-on-invalid-dep=yes} "$jobs/$2" "${@:3}"
}

import=$(submit '' import.sbatch "$ratings" "$folder/data.h5")
train=$(submit "$import" train.sbatch "$folder/data.h5" "$folder/model.h5" "$@")
recommend=$(submit "$train" recommend.sbatch "$folder/model.h5" "$folder/recommended.h5")
printf 'import %s\ntrain %s\nrecommend %s\n' "$import" "$train" "$recommend"
echo "their output: $folder/*.out; where they are: squeue --jobs=$import,$train,$recommend" >&2
