"""What the end-to-end tests share: running the programs under mpirun, temporary folders, dataset files made by h5py.

GRIDMF and GRIDMF_QUERY name the programs, MPIRUN the launcher (default mpirun).
"""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import h5py
import numpy as np

GRIDMF = os.environ.get("GRIDMF", "gridmf")
GRIDMF_QUERY = os.environ.get("GRIDMF_QUERY", "gridmf-query")
MPIRUN = os.environ.get("MPIRUN", "mpirun").split()
TIMEOUT = 60

# Sanitizers look at what code does with memory; what results are, the quick build checks on every layout of ranks. Slow
# tests do both.
SANITIZED = os.environ.get("GRIDMF_SANITIZED") == "1" and os.environ.get("GRIDMF_SLOW") != "1"


def shortened(whole, short):
    """What a test runs on; under sanitizers `short`, which takes each way through the code once."""
    return short if SANITIZED else whole


MPI_ENVIRONMENT = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "OMPI_MCA_mpi_yield_when_idle": "1",
    "OMPI_MCA_hwloc_base_binding_policy": "none",
    "OMPI_MCA_btl_vader_single_copy_mechanism": "none",
    "OMPI_MCA_pml": "ob1",  # looking for networks takes longer than most tests
    "OMPI_MCA_btl": "self,vader",
    "OMPI_MCA_odls_base_sigkill_timeout": "0",  # else mpirun sleeps a second after every exit code but 0
    "OMP_NUM_THREADS": "1",
}


# ---- processes -------------------------------------------------------------------------------------------------------


def _processes():
    """(pid, state, session) of all processes."""
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        yield int(stat.parent.name), fields[0], int(fields[3])


def _session(leader):
    """The processes of a session: mpirun gives its ranks process groups of their own."""
    return (pid for pid, state, session in _processes() if session == leader and state != "Z")


def ranks(process):
    """The pids of a started job's ranks, in their order."""
    found = {}
    for pid in _session(process.pid):
        try:
            environment = pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            program = os.readlink(f"/proc/{pid}/exe")
        except OSError:
            continue
        if os.path.samefile(program, GRIDMF):
            found.update((int(v[len(b"OMPI_COMM_WORLD_RANK="):]), pid) for v in environment
                         if v.startswith(b"OMPI_COMM_WORLD_RANK="))
    return [pid for _, pid in sorted(found.items())]


def stopped(process):
    """The pids of a session that are stopped."""
    return [pid for pid, state, session in _processes() if session == process.pid and state == "T"]


def wait_for(condition, timeout=TIMEOUT):
    """The first true value of condition()."""
    end = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError("waited in vain")
        time.sleep(0.02)
    return value


def _kill_session(leader):
    for pid in list(_session(leader)):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


class Result:
    """What a run came to; said() is what the program wrote to standard error, without mpirun's own words."""

    def __init__(self, command, rc, stdout, stderr):
        self.command, self.rc, self.stdout, self.stderr = command, rc, stdout, stderr

    def said(self):
        lines, ours = [], True
        for line in self.stderr.splitlines():
            if re.fullmatch("-{40,}", line):
                ours = not ours
            elif ours and line.strip() and not line.startswith("[warn] Epoll"):  # of mpirun's libevent, now and then
                lines.append(line)
        return lines

    def messages(self):
        return [line for line in self.said() if line.startswith("gridmf: ")]

    def json(self):
        return json.loads(self.stdout)

    def __str__(self):
        return "%s\nexit code %s\n%s\n%s" % (" ".join(map(str, self.command)), self.rc, self.stdout[-2000:], self.stderr[-4000:])


def start(command, env=None, cwd=None, stdout=subprocess.PIPE):
    """Starts a command in a session of its own, for tests that meddle with its processes; finish() waits for it."""
    environment = {**MPI_ENVIRONMENT, **os.environ, **(env or {})}
    return subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=stdout,
                            stderr=subprocess.PIPE, env=environment, cwd=cwd, start_new_session=True)


def finish(process, timeout=TIMEOUT):
    """After `timeout` seconds everything that the command started is killed and the exit code is "timeout"."""
    try:
        out, err = process.communicate(timeout=timeout)
        rc = process.returncode
    except subprocess.TimeoutExpired:
        _kill_session(process.pid)
        out, err = process.communicate()
        rc = "timeout"
    finally:
        _kill_session(process.pid)
    return Result(process.args, rc, (out or b"").decode(errors="replace"), err.decode(errors="replace"))


def execute(command, timeout=TIMEOUT, **how):
    """Runs a command to its end."""
    return finish(start(command, **how), timeout)


def launch(n_ranks):
    """The words before the program: none for one rank, which runs alone."""
    return [] if n_ranks == 1 else [*MPIRUN, "-n", str(n_ranks)]


def run(n_ranks, *args, **how):
    """gridmf with arguments on n_ranks ranks."""
    return execute([*launch(n_ranks), GRIDMF, *args], **how)


def mpi_environment_words(environment):
    """The words with which mpirun hands variables of its own environment on to the ranks."""
    return [word for name in environment for word in ("-x", name)]


def run_good(n_ranks, *args, **how):
    """The same; anything but success is an error of the test."""
    result = run(n_ranks, *args, **how)
    if result.rc != 0:
        raise AssertionError(str(result))
    return result


class Case(unittest.TestCase):
    """A test case with a temporary folder of its class, cls.folder, and one of each test, self.out."""

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="gridmf-test-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)

    def setUp(self):
        self.out = pathlib.Path(tempfile.mkdtemp(dir=self.folder))


# ---- files -----------------------------------------------------------------------------------------------------------


def write_dataset(path, n_users, n_items, users, items, values, times=None, weights=None, user_ids=None,
                  item_ids=None):
    """A dataset file as design.md describes it, from triplets in any order. Ids count from 1 where not given."""
    order = np.lexsort((items, users))
    users, items = np.asarray(users)[order], np.asarray(items)[order]
    ids = [np.arange(1, n + 1, dtype="i8") if given is None else np.asarray(given)
           for n, given in ((n_users, user_ids), (n_items, item_ids))]
    with h5py.File(path, "w") as f:
        f.attrs.update({"format": "gridmf-dataset", "format_version": "1.0", "complete": 1, "n_users": n_users,
                        "n_items": n_items, "nnz": len(users)})
        for side, values_of_side in zip(("users", "items"), ids):
            if values_of_side.dtype.kind == "U":
                encoded = np.char.encode(values_of_side, "utf-8")
                values_of_side = encoded.astype(h5py.string_dtype("utf-8", encoded.itemsize))
            f[side + "/id"] = values_of_side
        g = f.create_group("ratings")
        g.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": [n_users, n_items]})
        g["indptr"] = np.concatenate([[0], np.cumsum(np.bincount(users, minlength=n_users))]).astype("i8")
        g["indices"] = items.astype("i4")
        g["data"] = np.asarray(values)[order].astype("f4")
        if times is not None:
            g["time"] = np.asarray(times)[order].astype("i8")
        if weights is not None:
            g["weight"] = np.asarray(weights)[order].astype("f4")
    return path


def random_dataset(path, n_users, n_items, nnz, seed=1, values=None, times=None, weights=None, **ids):
    """A dataset of nnz distinct pairs; values(rng, nnz), by default half stars; times and weights likewise, or none."""
    rng = np.random.default_rng(seed)
    pairs = rng.choice(n_users * n_items, nnz, replace=False)
    made = values(rng, nnz) if values else rng.integers(1, 11, nnz) / 2
    return write_dataset(path, n_users, n_items, pairs // n_items, pairs % n_items, made,
                         times=times(rng, nnz) if times else None, weights=weights(rng, nnz) if weights else None, **ids)


class Ratings:
    """A dataset file in memory: triplets in file order, and ids."""

    def __init__(self, path):
        with h5py.File(path) as f:
            self.user_ids, self.item_ids = f["users/id"][()], f["items/id"][()]
            self.indptr, self.items = f["ratings/indptr"][()], f["ratings/indices"][()].astype("i8")
            self.values = f["ratings/data"][()]
            self.times = f["ratings/time"][()] if "ratings/time" in f else None
            self.weights = f["ratings/weight"][()] if "ratings/weight" in f else None
        self.n_users, self.n_items, self.nnz = len(self.user_ids), len(self.item_ids), len(self.items)
        self.degrees = np.diff(self.indptr)
        self.users = np.repeat(np.arange(self.n_users), self.degrees)

    def keys(self):
        return self.users * self.n_items + self.items

    def dense(self):
        """Ratings [m][n] in f8, NaN where there is none."""
        r = np.full((self.n_users, self.n_items), np.nan)
        r[self.users, self.items] = self.values
        return r

    def dense_weights(self):
        """Weights [m][n] of the ratings; None where the file has none."""
        if self.weights is None:
            return None
        w = np.zeros((self.n_users, self.n_items))
        w[self.users, self.items] = self.weights
        return w


def contents(path):
    """Every array of a file as bytes, and every attribute but those of the run that wrote it."""
    found = {}

    def visit(name, thing):
        if name.split("/")[0] in ("provenance", "integrity"):
            return
        found.update({"%s@%s" % (name, key): np.asarray(value).tobytes() for key, value in thing.attrs.items()})
        if isinstance(thing, h5py.Dataset) and name != "history/seconds":
            found[name] = thing[()].tobytes()

    with h5py.File(path) as f:
        f.visititems(visit)
        found["@nnz"] = np.asarray(f.attrs.get("nnz", 0)).tobytes()
    return found


def extents(path):
    """name: (offset, bytes) of all arrays of a file."""
    found = {}
    with h5py.File(path) as f:
        f.visititems(lambda name, o: found.update({name: (o.id.get_offset(), o.id.get_storage_size())})
                     if isinstance(o, h5py.Dataset) and o.id.get_storage_size() else None)
    return found


def read_factors(path):
    with h5py.File(path) as f:
        return f["users/factors"][()], f["items/factors"][()]


def read_history(path, name="objective"):
    with h5py.File(path) as f:
        return f["history"][name][()]
