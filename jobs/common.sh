# shellcheck shell=bash
# What the scripts of this folder share. They source it; by itself it starts nothing.
#
# To edit once for a cluster: what its nodes need to find gridmf and the MPI that it was built with, for example
#   module load gridmf
#   export PATH=$HOME/.local/bin:$PATH
# (sbatch hands on the environment that it is called in, so what is loaded there needs no line here.)
#
# Variables that change what it does, none of which is needed:
#   GRIDMF_LAUNCHER=srun|mpirun   instead of srun where Slurm has PMIx, else mpirun
#   GRIDMF_MAX_REQUEUE=N          how often a job that stopped with a checkpoint queues itself again (50; 0: never)
set -u

export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-${OMP_NUM_THREADS:-1}}
export SRUN_CPUS_PER_TASK=$OMP_NUM_THREADS # from Slurm 22.05 on, srun does not take it from sbatch
export SLURM_PMIX_FENCE=ring               # the tree fence of Slurm 22.05 can crash MPI_Init on 3 nodes and more

# mpirun misses a node that is silent after 2 minutes, instead of 8.
export OMPI_MCA_oob_tcp_keepalive_time=${OMPI_MCA_oob_tcp_keepalive_time:-60}
export OMPI_MCA_oob_tcp_keepalive_intvl=${OMPI_MCA_oob_tcp_keepalive_intvl:-10}
export OMPI_MCA_oob_tcp_keepalive_probes=${OMPI_MCA_oob_tcp_keepalive_probes:-6}

say() {
  printf '== %s  %s\n' "$(date +%FT%T)" "$*"
}

die() {
  say "${0##*/}: $*" >&2
  exit 64
}

command -v gridmf >/dev/null || die "gridmf is not in PATH on $(hostname); load its module at the head of common.sh"

# How ranks are started: srun, which knows the nodes' cores best, where it speaks PMIx as Open MPI does; else mpirun.
launcher=${GRIDMF_LAUNCHER:-}
if [[ -z $launcher ]]; then
  launcher=mpirun
  if [[ -n ${SLURM_JOB_ID:-} ]] && srun --mpi=list 2>&1 | grep -q pmix; then launcher=srun; fi
fi
[[ $launcher == srun || $launcher == mpirun ]] || die "GRIDMF_LAUNCHER=$launcher: srun or mpirun is needed"

ranks=${SLURM_NTASKS:-1} # of the next launch; a script may set it

# Threads stay on neighbouring cores where Slurm gives each rank its own; elsewhere all ranks would crowd on the first.
if [[ $launcher == srun ]] && scontrol show config 2>/dev/null | grep -q '^TaskPlugin .*\(affinity\|cgroup\)'; then
  export OMP_PROC_BIND=close OMP_PLACES=cores
fi

# Megabytes that Slurm grants a rank, or nothing where it does not count them.
memory_of_rank() {
  local nodes=${SLURM_JOB_NUM_NODES:-1}
  local per_node=$(((ranks + nodes - 1) / nodes))
  if [[ ${SLURM_MEM_PER_NODE:-0} -gt 0 ]]; then
    echo $((SLURM_MEM_PER_NODE / per_node))
  elif [[ ${SLURM_MEM_PER_CPU:-0} -gt 0 ]]; then
    echo $((SLURM_MEM_PER_CPU * OMP_NUM_THREADS))
  fi
}

# describe FILE...: what the job has at hand, and how large its input is. What a rank will need of it, gridmf says.
describe() {
  local file memory
  memory=$(memory_of_rank)
  say "${SLURM_JOB_ID:+job $SLURM_JOB_ID, run $((${SLURM_RESTART_COUNT:-0} + 1)): }$ranks ranks x $OMP_NUM_THREADS threads" \
    "by $launcher on ${SLURM_JOB_NODELIST:-$(hostname)}${memory:+, $memory MB a rank}"
  for file in "$@"; do
    [[ -r $file ]] || die "$file is not there, or cannot be read"
    say "$file: $(stat -L -c %s "$file") bytes"
  done
}

# launch COMMAND...: runs a program on all ranks and returns its exit code. SIGUSR1 to this script, which Slurm sends some
# time before the limit (--signal=B:USR1@...), is passed on to the ranks: gridmf train then writes a checkpoint and ends
# with 75. Outside Slurm so does Control-C.
launch() {
  local -a words=(mpirun -n "$ranks")
  local child try began rc=0 interrupted signalled=0
  if [[ $launcher == srun ]]; then
    words=(srun --mpi=pmix --kill-on-bad-exit=1 -n "$ranks") # a rank that is killed leaves no other waiting for it
  elif ((OMP_NUM_THREADS > 1)) && [[ -z ${OMPI_MCA_hwloc_base_binding_policy:-} ]]; then
    words+=(--map-by "slot:PE=$OMP_NUM_THREADS") # else all threads of a rank share the one core that it is bound to
  fi
  [[ -n ${SLURM_JOB_ID:-} ]] || words=(setsid "${words[@]}") # the terminal's SIGINT, which ends mpirun, comes here only
  # 1 is no exit code of gridmf's. When it comes soon no rank began, as on a node that died in an earlier run of this job;
  # later it is mpirun's word for a run that was ended.
  for try in 1 2 3; do
    began=$SECONDS
    "${words[@]}" "$@" &
    child=$!
    trap 'interrupted=1 signalled=1; kill -USR1 "$child" 2>/dev/null' USR1 INT
    while interrupted=0; wait "$child"; rc=$?; ((interrupted)); do :; done
    trap - USR1 INT
    ((rc == 1 && SECONDS - began < 60)) || break
    say "the launch failed (attempt $try of 3)"
    sleep 2
  done
  ((!signalled || rc != 138)) || rc=75 # the signal came before the ranks listened: nothing is lost
  return "$rc"
}

# finish RC [LOG]: ends the job with the exit code of its last command. 75 means that there is more to do and a whole
# checkpoint to begin from: the job queues itself again under its number, unless LOG (--log-json) says that a person
# stopped it with a file STOP. When a node fails, the ranks of others may end before Slurm knows; it is given the time to
# notice, and then to queue the job again by itself (--requeue).
finish() {
  local rc=$1 log=${2:-} run=${SLURM_RESTART_COUNT:-0} most=${GRIDMF_MAX_REQUEUE:-50} patience
  trap '' USR1
  if ((rc == 75)) && [[ -n $log ]] && grep -s '"stop"' "$log" | tail -n 1 | grep -q 'STOP file'; then
    say "stopped by the file STOP; to go on, submit it again"
  elif ((rc == 75)) && [[ -n ${SLURM_JOB_ID:-} ]] && ((most > 0)); then
    if ((run >= most)); then
      say "stopped with a checkpoint, and queued again $run times already; to go on, submit it again"
    elif say "stopped with a checkpoint; queueing again" && scontrol requeue "$SLURM_JOB_ID"; then
      sleep 120 # Slurm ends this run
    else
      say "Slurm does not queue it again; to go on, submit it again, or use chain.sh"
    fi
  fi
  if ((rc == 1 || rc == 70 || rc >= 128)) && ((${SLURM_JOB_NUM_NODES:-1} > 1 && most > 0)); then
    patience=$(scontrol show config | sed -n 's/^SlurmdTimeout *= *\([0-9]*\).*/\1/p')
    patience=$((${patience:-300} + 45))
    say "exit code $rc; if a node has failed, Slurm queues the job again within $patience s"
    sleep "$patience"
  fi
  say "exit code $rc"
  exit "$rc"
}

# skip_if_made FILE: of a chain of jobs (chain.sh), those that find the work done end at once.
skip_if_made() {
  [[ -n ${GRIDMF_CHAIN_BEGIN:-} && -e $1 ]] && (($(stat -c %Y "$1") >= GRIDMF_CHAIN_BEGIN)) || return 0
  say "$1 is complete; nothing is left to do"
  exit 0
}
