"""I/O that fails on any rank, at any point of any verb that writes, loses nothing that was good and hangs nobody.

FAULTIO names the shared library made of faultio.c. With GRIDMF_SLOW=1 many more points, ranks and errors are tried.
"""

import errno
import hashlib
import os
import resource
import shutil
import signal
import subprocess
import unittest

import numpy as np

import harness

FAULTIO = os.environ.get("FAULTIO", "")
SLOW = os.environ.get("GRIDMF_SLOW") == "1"
GOOD_BEFORE = b"a good file of yesterday"
BOUND = 40  # seconds a run may take on a busy machine; the watchdog is set to half of it
CREATE, IO = 73, 74
N_RANKS = {"import": 2, "split": 2, "synth": 3, "train": 3, "recommend": 2}

# What each verb writes, and its words with DATA, MODEL, TEXT and OUT for the files.
VERBS = {
    "import": (["data.h5"], ["import", "TEXT", "-o", "OUT/data.h5"]),
    "split": (["train.h5", "test.h5"], ["split", "DATA", "--train", "OUT/train.h5", "--test", "OUT/test.h5",
                                        "--method", "random", "--fraction", "0.5"]),
    "synth": (["data.h5"], ["synth", "-o", "OUT/data.h5", "--users", "9000", "--items", "3000", "--ratings", "800000",
                            "--factors", "4"]),
    "train": (["model.h5"], ["train", "DATA", "-o", "OUT/model.h5", "--algorithm", "als", "--factors", "64",
                             "--iterations", "0"]),
    "recommend": (["recs.h5"], ["recommend", "MODEL", "-o", "OUT/recs.h5", "--top", "50"]),
}


TINY = {"tiny": (["data.h5"], ["synth", "-o", "OUT/data.h5", "--users", "9", "--items", "7", "--ratings", "20", "--factors",
                               "2"])}
ALL_VERBS = {**VERBS, **TINY}


def digest(path):
    return hashlib.sha256(path.read_bytes()).digest()


def points(every=False):
    """How many calls go well before the fault: ever further ones, in the long form more densely, or every number."""
    at = 0
    while True:
        yield at
        at += 1 if every or at < 1 else max(1, at // 4) if SLOW else 4 * at


@unittest.skipUnless(FAULTIO, "FAULTIO is not set")
class Faults(harness.Case):
    n_runs = n_faults = n_hangs = n_lost = 0

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.data, cls.text, cls.log = (cls.folder / name for name in ("data.h5", "ratings.csv", "faults"))
        # Three ranks have blocks to write only when an array is longer than two blocks of a mebibyte.
        harness.run_good(2, "synth", "-o", cls.data, "--users", 9000, "--items", 3000, "--ratings", 800000, "--quiet")
        r = harness.Ratings(cls.data)
        np.savetxt(cls.text, np.column_stack([r.users, r.items, r.values]), "%d,%d,%g", header="user,item,rating",
                   comments="")
        cls.model = cls.folder / "model.h5"
        harness.run_good(2, "train", cls.data, "-o", cls.model, "--algorithm", "als", "--factors", 8, "--iterations", 0, "--quiet")
        cls.clean = {}

    @classmethod
    def tearDownClass(cls):
        print(f"\n{cls.n_runs} runs, {cls.n_faults} faults injected, {cls.n_hangs} hangs, {cls.n_lost} files lost",
              flush=True)
        super().tearDownClass()

    def run_verb(self, verb, n_ranks, **fault):
        """One run into the folder `out`, where good files of yesterday stand, with a fault if one is given."""
        files, words = ALL_VERBS[verb]
        out = self.folder / "out"  # one name for all runs, as outputs hold their command line
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        for name in files:
            (out / name).write_bytes(GOOD_BEFORE)
        self.log.write_bytes(b"")
        environment = {"SOURCE_DATE_EPOCH": "1700000000"}
        if fault:
            environment.update({"LD_PRELOAD": FAULTIO, "FAULT_PATH": str(out) + "/", "FAULT_LOG": str(self.log)},
                               **{"FAULT_" + name.upper(): str(value) for name, value in fault.items()})
        named = {"DATA": self.data, "MODEL": self.model, "TEXT": self.text}
        words = [named.get(word, word.replace("OUT", str(out))) for word in words]
        return harness.execute([*harness.MPIRUN, "-n", str(n_ranks), *harness.mpi_environment_words(environment),
                                harness.GRIDMF, *words, "--quiet", "--stall-timeout", f"{BOUND // 2}s"],
                               env=environment, timeout=BOUND)

    def clean_files(self, verb, n_ranks):
        """The digests of what a run without faults writes."""
        if (verb, n_ranks) not in self.clean:
            result = self.run_verb(verb, n_ranks)
            self.assertEqual(result.rc, 0, str(result))
            files = [self.folder / "out" / name for name in ALL_VERBS[verb][0]]
            for path in files:
                harness.run_good(1, "verify", path)
            self.clean[verb, n_ranks] = [digest(path) for path in files]
        return self.clean[verb, n_ranks]

    def check(self, verb, n_ranks, result, fault):
        """The promises after a run with faults; returns how many there were."""
        n_faults = self.log.stat().st_size
        where = f"{verb} on {n_ranks} ranks, {fault}, {n_faults} faults: {result}"
        new = self.clean[verb, n_ranks]
        old = hashlib.sha256(GOOD_BEFORE).digest()
        paths = [self.folder / "out" / name for name in ALL_VERBS[verb][0]]
        states = ["lost" if not p.exists() else "old" if digest(p) == old else "new" if digest(p) == new[i] else "lost"
                  for i, p in enumerate(paths)]
        cls = type(self)
        cls.n_runs += 1
        cls.n_faults += n_faults
        cls.n_hangs += result.rc == "timeout"
        cls.n_lost += states.count("lost")
        self.assertNotIn("lost", states, where)
        left = [p.name for p in (self.folder / "out").iterdir() if p.name not in ALL_VERBS[verb][0]]
        if result.rc == 0:
            self.assertEqual((set(states), left), ({"new"}, []), where)
            return n_faults
        self.assertGreater(n_faults, 0, where)
        self.assertEqual(len(result.messages()), 1, where)
        self.assertIn(result.rc, (CREATE, IO), where)
        self.assertEqual(left, [], where)
        # After the last rename only the folder is synced; and only a failing rename may part files that belong together.
        if "new" in states:
            self.assertIn(fault["call"], ("fsync", "open") if states[-1] == "new" else ("rename",), where)
        return n_faults

    def sweep(self, verb, n_ranks, rank, call, how, times=None, every=False):
        """The fault at each point until there are no more such calls; at least one is hit unless `rank` makes none."""
        self.clean_files(verb, n_ranks)
        n_hit = 0
        for after in points(every):
            fault = {"call": call, "rank": rank, "how": how, "after": after}
            if times:
                fault["times"] = times
            hit = self.check(verb, n_ranks, self.run_verb(verb, n_ranks, **fault), fault)
            n_hit += hit
            if not hit:
                return n_hit

    def sweep_ranks(self, call, how, times=None, verbs=tuple(VERBS), only_root=False):
        for verb in VERBS if SLOW else verbs:
            for n_ranks in (1, 3) if SLOW else (N_RANKS[verb],):
                n_hit = [0] * n_ranks
                for rank in range(1 if only_root else n_ranks):
                    with self.subTest(verb=verb, ranks=n_ranks, rank=rank, call=call, how=how):
                        n_hit[rank] = self.sweep(verb, n_ranks, rank, call, how, times)
                self.assertGreater(n_hit[0], 0, f"{verb}: no {call} was hit")
                if not SLOW and not only_root:  # on three ranks the halves of a split have no blocks for the last
                    self.assertGreater(min(n_hit), 0, f"{verb}: a rank makes no {call}")

    def test_disk_full(self):
        self.sweep_ranks("write", errno.ENOSPC)

    def test_write_errors(self):
        """One call fails and the next ones work, as with a device that recovers."""
        self.sweep_ranks("write", errno.EIO, times=1, verbs=("split",))
        if SLOW:
            self.sweep_ranks("write", errno.EDQUOT)

    def test_every_write(self):
        """Of one small file, on rank 0: among them the one on which a collective H5Fclose would hang."""
        self.assertGreater(self.sweep("tiny", 2, 0, "write", errno.EIO, times=1, every=True), 20)

    def test_short_writes(self):
        """POSIX lets a write move a part: one such, or all of them."""
        self.sweep_ranks("write", "short", times=1, verbs=("train",))
        if SLOW:
            self.sweep_ranks("write", "short")

    def test_short_reads(self):
        """Of what was written, when it is read back."""
        self.sweep_ranks("read", "short", times=1, verbs=("import",))

    def test_syncs(self):
        self.sweep_ranks("fsync", errno.EIO, verbs=("split", "train"))

    def test_renames(self):
        self.sweep_ranks("rename", errno.EIO, times=1, only_root=True)

    def test_closes(self):
        self.sweep_ranks("close", errno.EIO, times=1, verbs=("import",))

    def test_opens(self):
        self.sweep_ranks("open", errno.EACCES, verbs=("split",))

    def test_reserving(self):
        self.sweep_ranks("fallocate", errno.ENOSPC, verbs=("split",), only_root=True)


def in_mounts(*commands):
    """The words before a command that run it after `commands`, as root of a mount namespace; None: forbidden here."""
    for unshare in (["unshare", "--mount"], ["unshare", "--mount", "--map-root-user"]):
        tried = subprocess.run([*unshare, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False)
        if tried.returncode == 0:
            return [*unshare, "sh", "-ec", "; ".join(commands) + '; exec "$@"', "sh"]
    return None


class RealFaults(harness.Case):
    """Disks that are full and folders that cannot be written, without a preloaded library."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.data = harness.random_dataset(cls.folder / "data.h5", 9000, 3000, 100000)

    def words(self, output):
        return [*harness.MPIRUN, "-n", "2", harness.GRIDMF, "train", self.data, "-o", output, "--algorithm", "als",
                "--factors", "64", "--iterations", "1", "--quiet"]

    def run_in(self, commands, status, says):
        """Trains into a folder on which `commands` mount something; the folder is listed and its model read after."""
        folder = self.out / "mounted"
        folder.mkdir()
        namespace = in_mounts(*(c.replace("FOLDER", str(folder)) for c in commands))
        if namespace is None:
            self.skipTest("no mount namespace may be made here")
        after = 'folder=$1; shift; "$@"; code=$?; ls -A "$folder"; cat "$folder/model.h5"; exit $code'
        result = harness.execute([*namespace, "sh", "-c", after, "sh", folder, *self.words(folder / "model.h5")])
        self.assertEqual(result.rc, status, str(result))
        self.assertEqual(len(result.messages()), 1, str(result))
        self.assertRegex(result.messages()[0], says)
        self.assertEqual(result.stdout, "model.h5\na good model of yesterday", str(result))

    def test_full_disk(self):
        self.run_in(["mount -t tmpfs -o size=2m none FOLDER", "printf 'a good model of yesterday' > FOLDER/model.h5"],
                    IO, "cannot be reserved: No space left on device")

    def test_disk_too_full_for_a_name(self):
        self.run_in(["mount -t tmpfs -o nr_inodes=2 none FOLDER", "printf 'a good model of yesterday' > FOLDER/model.h5"],
                    IO, "No space left on device")

    def test_read_only_folder(self):
        self.run_in(["mount -t tmpfs none FOLDER", "printf 'a good model of yesterday' > FOLDER/model.h5",
                     "mount -o remount,ro FOLDER"], CREATE, "cannot be created in .*: Read-only file system")

    @unittest.skipUnless(FAULTIO, "FAULTIO is not set")
    def test_file_size_limit(self):
        """A limit set while the run is on its way, as `ulimit -f` would keep MPI itself from starting."""
        for rank in (0, 1):
            with self.subTest(rank=rank):
                output = self.out / "model.h5"
                output.write_bytes(GOOD_BEFORE)
                environment = {"LD_PRELOAD": FAULTIO, "FAULT_PATH": str(self.data), "FAULT_CALL": "read",
                               "FAULT_RANK": str(rank), "FAULT_HOW": "stop", "FAULT_AFTER": "1", "FAULT_TIMES": "1"}
                words = self.words(output)
                words[len(harness.MPIRUN):len(harness.MPIRUN)] = harness.mpi_environment_words(environment)
                job = harness.start(words, env=environment)
                pid = harness.wait_for(lambda: harness.stopped(job))[0]
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
                os.kill(pid, signal.SIGCONT)
                result = harness.finish(job)
                self.assertEqual(result.rc, IO, str(result))
                self.assertEqual(len(result.messages()), 1, str(result))
                self.assertRegex(result.messages()[0], "File too large|cannot|failed")
                self.assertEqual([p.name for p in self.out.iterdir()], ["model.h5"])
                self.assertEqual(output.read_bytes(), GOOD_BEFORE)


if __name__ == "__main__":
    unittest.main()
