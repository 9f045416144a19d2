#!/bin/bash
# For sites that do not queue a job again: submits it N times, each run after the one before has ended, however it ended.
# A run goes on from the checkpoint of the last one, and those that find the model complete end at once.
#   jobs/chain.sh N [SBATCH OPTIONS...] jobs/train.sbatch [ARGUMENTS...]
# Prints the numbers of the jobs.
set -euo pipefail
if (($# < 2)) || ! [[ $1 =~ ^[1-9][0-9]*$ ]]; then
  echo "usage: ${0##*/} N [SBATCH OPTIONS...] SCRIPT [ARGUMENTS...]" >&2
  exit 64
fi
n=$1
shift
GRIDMF_CHAIN_BEGIN=$(date +%s)
export GRIDMF_CHAIN_BEGIN GRIDMF_MAX_REQUEUE=0
previous=
for ((k = 0; k < n; k++)); do
  previous=$(sbatch --parsable ${previous:+--dependency=afterany:$previous} "$@")
  echo "$previous"
done
