"""A Slurm of its own for tests: munged, slurmctld and several slurmd of one machine, in a private folder, on free ports.

Only root may start it. unavailable() says why not, or nothing.
"""

import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from harness import MPI_ENVIRONMENT, wait_for

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "scancel", "sinfo", "squeue", "setpriv")
SEARCH_PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"

# Nodes look as large as the scripts in jobs/ ask for, whatever the machine has (config_overrides).
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={control_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
TmpFS={folder}/tmp/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
MailProg=/bin/true
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SchedulerType=sched/builtin
SchedulerParameters=sched_interval=1,sched_min_interval=0,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
ReturnToService=2
KillWait=2
SlurmctldTimeout=30
SlurmdTimeout={slurmd_timeout}
MinJobAge=3600
JobRequeue=1
Prolog={folder}/prolog
PrologFlags=Alloc
NodeName=n[1-{n}] NodeHostname={host} NodeAddr=127.0.0.1 Port=[{ports}] CPUs=64 Sockets=1 CoresPerSocket=64 ThreadsPerCore=1 RealMemory=256000 State=UNKNOWN
PartitionName=test Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""

# What mpi/pmix of a run that died with its node has left stops the next run of the job there.
PROLOG = """#!/bin/sh
rm -rf {folder}/tmp/$SLURMD_NODENAME/spmix_appdir_*_$SLURM_JOB_ID.* \
  {folder}/spool/$SLURMD_NODENAME/stepd.slurm.pmix.$SLURM_JOB_ID.* {folder}/spool/$SLURMD_NODENAME/pmix.$SLURM_JOB_ID.*
"""


def unavailable():
    """Why no cluster can be started here; None if it can."""
    missing = [name for name in PROGRAMS if not shutil.which(name, path=SEARCH_PATH)]
    if missing:
        return f"no Slurm: {', '.join(missing)} not found (Debian: slurm-wlm, munge)"
    if os.geteuid() != 0:
        return "only root can start Slurm's daemons"
    return None


def _free_ports(n):
    """n neighbouring ports that nobody listens on, below those that the kernel gives to connections."""
    for first in range(20000 + os.getpid() % 97 * 100, 32000, n):
        with contextlib.ExitStack() as stack:
            try:
                for port in range(first, first + n):
                    s = stack.enter_context(socket.socket())
                    s.bind(("127.0.0.1", port))
            except OSError:
                continue
        return first
    raise AssertionError("no free ports")


class Cluster:
    """A running cluster of nodes n1, n2, ...; close() ends all that it started."""

    def __init__(self, n_nodes=2, slurmd_timeout=10):
        self.n_nodes = n_nodes
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="gmf-slurm-", dir="/tmp"))  # short: it holds sockets
        self.folder.chmod(0o755)
        first = _free_ports(n_nodes + 1)
        self._write(CONFIGURATION.format(host=socket.gethostname().partition(".")[0], folder=self.folder, n=n_nodes, control_port=first,
                                         ports=f"{first + 1}-{first + n_nodes}" if n_nodes > 1 else first + 1,
                                         slurmd_timeout=slurmd_timeout))
        self.daemons = {}  # by name: "munged", "slurmctld", "n1", ...
        outer = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "SBATCH_"))}
        # All nodes are one machine, where Open MPI's shared memory would take ranks of other nodes for neighbours.
        self.environment = {**outer, **MPI_ENVIRONMENT, "PATH": SEARCH_PATH,
                            "SLURM_CONF": str(self.folder / "slurm.conf"), "OMPI_MCA_btl": "self,tcp",
                            "OMPI_MCA_btl_tcp_if_include": "lo", "OMPI_MCA_oob_tcp_if_include": "lo"}
        del self.environment["OMP_NUM_THREADS"]  # the scripts set it
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    # ---- daemons -----------------------------------------------------------------------------------------------------

    def _write(self, configuration):
        for name in ("munge", "state", *(f"{kind}/n{i}" for kind in ("spool", "tmp") for i in range(1, self.n_nodes + 1))):
            (self.folder / name).mkdir(parents=True)
        for i in range(1, self.n_nodes + 1):
            (self.folder / f"tmp/n{i}").chmod(0o1777)
        (self.folder / "slurm.conf").write_text(configuration)
        (self.folder / "prolog").write_text(PROLOG.format(folder=self.folder))
        (self.folder / "prolog").chmod(0o755)
        key = self.folder / "munge/key"
        key.touch(0o600)
        key.write_bytes(os.urandom(128))

    def _start(self):
        munge = self.folder / "munge"
        self._run("munged", "munged", "--foreground", "--force", f"--key-file={munge}/key", f"--socket={munge}/socket",
                  f"--pid-file={munge}/pid", f"--log-file={munge}/log", f"--seed-file={munge}/seed")
        wait_for((munge / "socket").exists)
        self._run("slurmctld", "slurmctld", "-D")
        for i in range(1, self.n_nodes + 1):
            self.start_node(f"n{i}")
        try:
            wait_for(lambda: self.nodes_in("idle") == self.n_nodes)
        except AssertionError as error:
            raise AssertionError(f"the nodes do not come up\n{self.describe()}") from error

    def start_node(self, node):
        self._run(node, "env", f"GRIDMF_TEST_NODE={node}", "slurmd", "-D", "-N", node)

    def _run(self, name, *command):
        """Starts a daemon that ends with this process, however that ends; what it says is in NAME.log."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self.daemons[name] = subprocess.Popen(["setpriv", "--pdeathsig", "TERM", *command], env=self.environment, cwd=self.folder,
                                                  stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)

    def processes_of(self, node):
        """The pids of all that runs on a node: its slurmd and the daemons of the steps first, then what these started."""
        found, marks = {}, {f"GRIDMF_TEST_NODE={node}".encode(), f"SLURMD_NODENAME={node}".encode()}
        for path in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                environment = (path / "environ").read_bytes().split(b"\0")
                name = (path / "comm").read_text().strip()
            except OSError:
                continue
            if f"SLURM_CONF={self.folder}/slurm.conf".encode() in environment and marks.intersection(environment):
                found[int(path.name)] = not name.startswith("slurm")
        daemon = self.daemons[node]
        return ([daemon.pid] if daemon.poll() is None else []) + sorted(found, key=found.get)

    def kill_node(self, node):
        """What a power failure does: nothing of the node goes on, and nobody is left to say so."""
        processes = self.processes_of(node)
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in processes:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
        self.daemons[node].wait()

    def close(self):
        if "n1" in self.daemons:
            self.command("scancel", "--user=root", check=False)
            with contextlib.suppress(AssertionError):
                wait_for(lambda: not self.command("squeue", "--noheader", check=False), 20)
        for name in sorted(self.daemons, key=["munged", "slurmctld"].__contains__):  # nodes first
            self.daemons[name].terminate()
            try:
                self.daemons[name].wait(10)
            except subprocess.TimeoutExpired:
                self.daemons[name].kill()
                self.daemons[name].wait()
            if name.startswith("n"):  # what a test that failed has left
                self.kill_node(name)
        shutil.rmtree(self.folder, ignore_errors=True)

    # ---- what tests ask ----------------------------------------------------------------------------------------------

    def command(self, *words, check=True, cwd=None, **environment):
        """The output of one of Slurm's commands."""
        done = subprocess.run([str(word) for word in words], env={**self.environment, **environment}, cwd=cwd or self.folder,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False,
                              timeout=60)
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(map(str, words))}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout.strip()

    def nodes_in(self, state):
        return int(self.command("sinfo", "--noheader", f"--states={state}", "--format=%D", check=False) or 0)

    def submit(self, script, *arguments, options=(), cwd, **environment):
        """sbatch; the number of the job."""
        return self.command("sbatch", "--parsable", *options, script, *arguments, cwd=cwd, **environment)

    def job(self, number):
        """What scontrol knows of a job, by name."""
        return dict(re.findall(r"(\S+?)=(\S*)", self.command("scontrol", "show", "job", number)))

    def wait_for_state(self, number, *states, timeout=120):
        """The job, once it is in one of the states."""
        end = time.monotonic() + timeout
        while (job := self.job(number))["JobState"] not in states:
            if time.monotonic() > end:
                raise AssertionError(f"job {number} is {job['JobState']} and not {states}\n{self.describe()}")
            time.sleep(0.1)
        return job

    def wait(self, number, timeout=120):
        """The job, once it has ended: its state and "ExitCode"."""
        return self.wait_for_state(number, "COMPLETED", "FAILED", "TIMEOUT", "CANCELLED", "NODE_FAIL", "BOOT_FAIL", "OUT_OF_MEMORY",
                                   timeout=timeout)

    def describe(self):
        """For messages: the queue, the nodes, and the end of the daemons' logs."""
        logs = "".join(f"--- {path.name}\n{path.read_text(errors='replace')[-2000:]}\n" for path in sorted(self.folder.glob("*.log")))
        return f"{self.command('squeue', check=False)}\n{self.command('sinfo', check=False)}\n{logs}"
