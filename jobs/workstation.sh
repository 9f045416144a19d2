#!/bin/bash
# Trains on one machine, without Slurm. Change the three lines below, or give them as arguments:
#   jobs/workstation.sh [DATA.h5 [MODEL.h5 [OPTIONS...]]]
# Control-C writes a checkpoint after the sweep and ends with 75; the same command then goes on. RANKS and THREADS may be
# set; by default there is a rank for every 8 cores, bound to cores of its own.
data=${1:-train.h5}                                     # 1: the dataset (gridmf import, gridmf split)
model=${2:-model.h5}                                    # 2: the model to write
options=(--algorithm ials --factors 64 --iterations 15) # 3: see gridmf train --help
(($# < 3)) || options=("${@:3}")

# Cores, not the threads that a core may run, as far as this process may use them.
cores=$(lscpu --parse=CORE,SOCKET | grep -v '^#' | sort -u | wc -l)
((cores <= $(nproc))) || cores=$(nproc)
OMP_NUM_THREADS=${THREADS:-$((cores < 8 ? cores : 8))}
# shellcheck source=jobs/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
launcher=mpirun
ranks=${RANKS:-$((cores > OMP_NUM_THREADS ? cores / OMP_NUM_THREADS : 1))}
[[ ! -t 2 ]] || export GRIDMF_PROGRESS=1

describe "$data"
launch gridmf train "$data" -o "$model" --checkpoint "${model%.h5}.ckpt" "${options[@]}" --log-json "${model%.h5}.jsonl"
finish $?
