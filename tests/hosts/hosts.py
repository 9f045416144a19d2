"""Several hosts on one machine: network namespaces with an address each, joined by a bridge; cables that can be pulled.

mpirun starts its daemons through `agent`, a remote shell of the test's own, so that ranks of two hosts share nothing but
the file system and TCP. Only root may make namespaces. unavailable() says why not, or nothing.
"""

import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile

import harness
from harness import GRIDMF, wait_for

NETWORK = "10.213.77"

# $1 is the host, the rest a command, as for ssh. Names, shared memory and the table of hosts are the host's own. When the
# cable of a host is out, its end does not show here either.
AGENT = """#!/bin/sh
host=$1; shift
ip netns exec {prefix}$host unshare --uts --ipc --mount sh -c '
  hostname "$1" && mount --bind {folder}/hosts /etc/hosts && mount -t tmpfs tmpfs /dev/shm && shift && eval "$*"' sh "$host" "$@"
rc=$?
while [ -e {folder}/cut.$host ]; do sleep 1; done
exit $rc
"""


def unavailable():
    """Why no hosts can be made here; None if they can."""
    missing = [tool for tool in ("ip", "unshare") if not shutil.which(tool)]
    if missing:
        return f"{', '.join(missing)} not found (Debian: iproute2, util-linux)"
    if os.geteuid() != 0:
        return "only root can make network namespaces"
    name = f"gmf{os.getpid()}try"
    for command in (["ip", "netns", "add", name], ["ip", "-n", name, "link", "add", "name", "b", "type", "bridge"],
                    ["ip", "netns", "exec", name, "unshare", "--uts", "--ipc", "--mount", "true"]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
            return f"no network namespaces: {' '.join(command)}: {done.stderr.strip()}"
    subprocess.run(["ip", "netns", "del", name], check=True)
    return None


class Hosts:
    """Hosts h0 (where mpirun is called), h1, ..., hN; close() removes them and ends what runs there."""

    def __init__(self, n):
        self.names = [f"h{i}" for i in range(n + 1)]
        self.prefix = f"gmf{os.getpid()}"
        self._remove_leftovers()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="gmf-hosts-", dir="/tmp"))
        self.agent = self.folder / "agent"
        self.agent.write_text(AGENT.format(prefix=self.prefix, folder=self.folder))
        self.agent.chmod(0o755)
        (self.folder / "hosts").write_text("127.0.0.1 localhost\n" +
                                           "".join(f"{NETWORK}.{10 + i} {name}\n" for i, name in enumerate(self.names)))
        try:
            self._ip("netns", "add", f"{self.prefix}sw")
            self._ip("-n", f"{self.prefix}sw", "link", "add", "bridge", "type", "bridge")
            self._ip("-n", f"{self.prefix}sw", "link", "set", "bridge", "up")
            for i, name in enumerate(self.names):
                self._add(i, name)
        except BaseException:
            self.close()
            raise

    def _remove_leftovers(self):
        """The namespaces of tests that were killed."""
        for path in pathlib.Path("/run/netns").glob("gmf*"):
            owner = re.match(r"gmf(\d+)", path.name)
            if owner and not pathlib.Path(f"/proc/{owner[1]}").exists():
                with contextlib.suppress(AssertionError):  # another test removes it at the same time
                    self._ip("netns", "del", path.name)

    def _ip(self, *words):
        done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise AssertionError(f"ip {' '.join(words)}: {done.stderr}")
        return done.stdout

    def _add(self, i, name):
        own, switch = f"{self.prefix}{name}", f"{self.prefix}sw"
        self._ip("netns", "add", own)
        self._ip("link", "add", "net", "netns", own, "type", "veth", "peer", "name", f"port{i}", "netns", switch)
        self._ip("-n", switch, "link", "set", f"port{i}", "master", "bridge", "up")
        self._ip("-n", own, "address", "add", f"{NETWORK}.{10 + i}/24", "dev", "net")
        self._ip("-n", own, "link", "set", "net", "up")
        self._ip("-n", own, "link", "set", "lo", "up")

    def cut(self, name):
        """Pulls a host's cable: the others get silence."""
        (self.folder / f"cut.{name}").touch()
        self._ip("-n", f"{self.prefix}sw", "link", "set", f"port{name[1:]}", "down")

    def heal(self, name):
        self._ip("-n", f"{self.prefix}sw", "link", "set", f"port{name[1:]}", "up")
        (self.folder / f"cut.{name}").unlink()

    def part(self, a, b):
        """Nothing goes from a to b or back any more; all others still reach both."""
        for here, there in ((a, b), (b, a)):
            self._ip("-n", f"{self.prefix}{here}", "route", "add", "blackhole", f"{NETWORK}.{10 + self.names.index(there)}/32")

    def join(self, a, b):
        for here, there in ((a, b), (b, a)):
            self._ip("-n", f"{self.prefix}{here}", "route", "del", "blackhole", f"{NETWORK}.{10 + self.names.index(there)}/32")

    def slow_down(self, name, *limits):
        """A slow link, in the words of tc-tbf(8)."""
        subprocess.run(["tc", "-n", f"{self.prefix}{name}", "qdisc", "add", "dev", "net", "root", "tbf", *limits], check=True)

    def processes(self, name):
        return [int(pid) for pid in self._ip("netns", "pids", f"{self.prefix}{name}").split()]

    def ranks(self, name):
        """The processes of a host that run the program."""
        found = []
        for pid in self.processes(name):
            with contextlib.suppress(OSError):
                if os.path.samefile(f"/proc/{pid}/exe", GRIDMF):
                    found.append(pid)
        return found

    def power_off(self, name):
        """Nothing of the host goes on, and nobody is left to say so."""
        self.cut(name)
        self._kill_all(name)

    def _kill_all(self, name):
        for pid in self.processes(name):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def close(self):
        for name in [*self.names, "sw"]:
            if (pathlib.Path("/run/netns") / f"{self.prefix}{name}").exists():
                self._kill_all(name)
                wait_for(lambda: not self.processes(name))  # pylint: disable=cell-var-from-loop
                self._ip("netns", "del", f"{self.prefix}{name}")
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, where, *words, cwd, keepalive=True, **environment):
        """gridmf on hosts, as mpirun names them: "h1:2,h2:2"."""
        # A folder of the run's own: daemons that were cut off in an earlier one tidy up when they notice.
        session = tempfile.mkdtemp(dir=self.folder)
        how = {"OMPI_MCA_orte_tmpdir_base": session, "OMPI_MCA_btl": "self,vader,tcp", "OMPI_MCA_btl_tcp_if_include": "net", "OMPI_MCA_oob_tcp_if_include": "net",
               "OMPI_MCA_plm": "rsh", "OMPI_MCA_plm_rsh_agent": str(self.agent), "OMPI_MCA_ras": "^slurm", **environment}
        if keepalive:  # else mpirun notices a host that is silent after 8 minutes
            how.update({"OMPI_MCA_oob_tcp_keepalive_time": "2", "OMPI_MCA_oob_tcp_keepalive_intvl": "1", "OMPI_MCA_oob_tcp_keepalive_probes": "3"})
        n_ranks = sum(int(host.partition(":")[2]) for host in where.split(","))
        # The agent starts a program by a shell, which would read the blanks of a path.
        return harness.start([self.agent, "h0", *harness.MPIRUN, "--wdir", cwd, "-n", n_ranks, "--host", where, GRIDMF, *words], env=how, cwd=cwd)

    def run(self, where, *words, timeout=harness.TIMEOUT, **how):
        return harness.finish(self.start(where, *words, **how), timeout)
