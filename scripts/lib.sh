# shellcheck shell=bash
# Shared by the scripts in this folder: the packages they need, the environment of MPI, configuring and building.
# Source it after `set -euo pipefail`.
# shellcheck disable=SC2034  # the variables are used by the scripts that source this

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)

# The one list of Debian packages. Everything a build needs, and what tests and benchmarks use besides.
packages_build=(
  cmake ninja-build gcc pkg-config git
  libopenmpi-dev openmpi-bin
  libhdf5-openmpi-dev libhdf5-dev libopenblas-openmp-dev libscalapack-openmpi-dev
  librandom123-dev libxxhash-dev libinih-dev libjansson-dev
  zlib1g-dev libzstd-dev
)
packages_data=(curl unzip ca-certificates)
packages_test=(
  "${packages_build[@]}" "${packages_data[@]}"
  libcmocka-dev clang libclang-rt-dev libomp-dev clang-format shellcheck mandoc gzip zstd
  python3 python3-numpy python3-scipy python3-h5py python3-sklearn r-base-core python3-matplotlib
  slurm-wlm slurm-wlm-basic-plugins munge iproute2 util-linux
)
packages_slow=(
  "${packages_test[@]}"
  valgrind
  debootstrap dpkg-dev file lmod
)
packages_bench_svd=(python3-scipy python3-h5py python3-sklearn libslepc-real-dev)
packages_bench_als=(default-jre-headless g++ python3-dev python3-matplotlib)
packages_bench=(
  "${packages_build[@]}"
  python3 python3-venv python3-numpy python3-pandas
)

say() {
  printf '%s\n' "$*" >&2
}

die() {
  say "${0##*/}: $*"
  exit 1
}

# The argument list as one line that can be pasted into a shell.
quoted() {
  local word line=
  for word in "$@"; do
    [[ $word =~ ^[A-Za-z0-9_@%+=:,./-]+$ ]] || word=${word@Q}
    line+="${line:+ }$word"
  done
  printf '%s' "$line"
}

# Show a command, then run it.
run() {
  printf '\n$ %s\n' "$(quoted "$@")"
  "$@"
}

in_container_or_ci() {
  [[ -n ${CI:-} || -n ${container:-} || -e /.dockerenv || -e /run/.containerenv || -e /run/systemd/container ]] ||
    grep -qsE 'docker|kubepods|lxc|containerd' /proc/1/cgroup
}

# The packages of "$@" that are not installed, one a line.
missing_packages() {
  local package
  for package in "$@"; do
    [[ $(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || echo "$package"
  done
}

# install_packages YES PACKAGE...
# Installs what is missing, and touches neither the network nor the system when nothing is. YES=1 asks no question.
install_packages() {
  local yes=$1 answer
  local -a missing as_root=()
  shift

  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    say "This is not a Debian or Ubuntu system, so nothing is installed. These Debian packages, or what they are called"
    say "here, are needed: $*"
    say "Going on with what is there."
    return 0
  fi

  mapfile -t missing < <(missing_packages "$@")
  ((${#missing[@]})) || return 0

  local by_hand="apt-get install --no-install-recommends ${missing[*]}"
  say "Debian packages to install: ${missing[*]}"
  if ((EUID != 0)); then
    command -v sudo >/dev/null || die "neither root nor sudo, so they cannot be installed. As root: $by_hand"
    as_root=(sudo)
  fi
  if ((!yes)) && ! { ((EUID == 0)) && in_container_or_ci; }; then
    [[ -t 0 ]] || die "no terminal to ask on; give --yes to install them, or as root: $by_hand"
    read -r -p "Install them now with apt-get? [y/N] " answer
    [[ $answer == [yY]* ]] || die "nothing installed. By hand, as root: $by_hand"
  fi

  # `env` because sudo drops variables. The lock is waited for: a fresh machine often runs an update of its own.
  local -a apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get --quiet -o DPkg::Lock::Timeout=300)
  "${apt[@]}" update >&2 || say "apt-get update failed; trying with the package lists that are there."
  "${apt[@]}" install --yes --no-install-recommends "${missing[@]}" >&2 ||
    die "apt-get could not install: ${missing[*]}"
}

# Several ranks on few cores, as root too: share cores politely, one thread a rank, no binding. Containers often forbid
# the system call of the single-copy path, and Open MPI then warns on every run.
mpi_environment() {
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
  export OMPI_MCA_rmaps_base_oversubscribe=1
  export OMPI_MCA_mpi_yield_when_idle=1
  export OMPI_MCA_hwloc_base_binding_policy=none
  export OMPI_MCA_btl_vader_single_copy_mechanism=none
  export OMPI_MCA_pml=ob1 OMPI_MCA_btl=self,vader # one machine: looking for network devices takes 0.2 s a run
  export OMP_NUM_THREADS=1
}

# blas_kernels GRIDMF
# What this program asks OpenBLAS for on a CPU that OpenBLAS does not know (linalg/blas_core.h), for all programs that are
# started from here: others then have the same, and it need not start itself anew.
blas_kernels() {
  local core
  core=$("$1" --version | sed -n 's/.*in a run //p')
  [[ -z $core ]] || export OPENBLAS_CORETYPE=$core
}

# configure_and_build PRESET [DIR [CMAKE_OPTION...]]
# DIR is relative to the checkout, build/PRESET if empty or absent.
configure_and_build() {
  local preset=$1 dir=${2:-build/$1}
  local -a options=("${@:3}")

  # A checkout that was moved or copied brings a cache that names its old place, which CMake refuses.
  if [[ -e $root/$dir/CMakeCache.txt ]] &&
     ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$root" "$root/$dir/CMakeCache.txt"; then
    options+=(--fresh)
  fi
  (
    cd "$root" || exit
    run cmake --preset "$preset" -B "$dir" "${options[@]}" || die "configuring failed; needed: ${packages_build[*]}"
    run cmake --build "$dir" || die "building $dir failed"
  )
}
