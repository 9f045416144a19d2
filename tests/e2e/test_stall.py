"""A job that no longer moves ends with 70 and names the rank; one that is only slow, or frozen for a while, goes on.

FAULTIO names the shared library made of faultio.c, MISMATCH and MISMATCH_CHECKED the programs made of mismatch.c.
"""

import json
import os
import pathlib
import re
import signal
import subprocess
import time
import unittest

import harness

FAULTIO = os.environ.get("FAULTIO", "")
STALLED = 70
PATIENCE = 1.5
BOUND = 15  # seconds in which a stalled job must be gone, on a busy machine
# What a run of the same command must not change.
ENVIRONMENT = {"SOURCE_DATE_EPOCH": "1700000000"}


@unittest.skipUnless(FAULTIO, "FAULTIO is not set")
class Stall(harness.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.data, cls.ratings = cls.folder / "data.h5", cls.folder / "ratings.csv"
        harness.run_good(2, "synth", "-o", cls.data, "--users", 9000, "--items", 3000, "--ratings", 800000, "--quiet")
        cls.ratings.write_text("user,item,rating\n" + "".join(f"{u},{u * i % 97},3\n" for u in range(2000)
                                                             for i in range(1, 20)))

    def setUp(self):
        super().setUp()
        self.model = self.out / "model.h5"
        self.model.write_bytes(b"a good model of yesterday")

    def train(self, iterations, factors=16):
        return ["train", self.data, "-o", self.model, "--algorithm", "als", "--factors", factors, "--iterations",
                iterations]

    def start(self, n_ranks, *args, patience=PATIENCE, **fault):
        """Starts a job; `fault` are the variables of faultio.c, if any."""
        environment = dict(ENVIRONMENT)
        if fault:
            environment.update(LD_PRELOAD=FAULTIO, **{"FAULT_" + name.upper(): str(v) for name, v in fault.items()})
        return harness.start([*harness.MPIRUN, "-n", str(n_ranks), *harness.mpi_environment_words(environment),
                              harness.GRIDMF, *args, "--stall-timeout", f"{patience}s"], env=environment)

    def check_stalled(self, job, since, says):
        """The job ends in time, with 70, one message that matches, no process and nothing that was good lost."""
        try:
            job.wait(BOUND)
            harness.wait_for(lambda: not harness.ranks(job), timeout=BOUND)
        except (subprocess.TimeoutExpired, AssertionError):
            self.fail("still there: " + str(harness.finish(job, timeout=0.1)))
        result = harness.finish(job)
        self.assertEqual(result.rc, STALLED, str(result))
        self.assertLess(time.monotonic() - since, BOUND, str(result))
        self.assertEqual(len(result.messages()), 1, str(result))
        self.assertRegex(result.messages()[0], says)
        self.assertIn("--stall-timeout", result.messages()[0])
        self.assertEqual(self.model.read_bytes(), b"a good model of yesterday")
        self.assertEqual([p.name for p in self.out.iterdir() if ".tmp." not in p.name and p.suffix != ".lock"],
                         ["model.h5"])

    def check_stop_in(self, n_ranks, rank, phase, path, call, *args, after=1):
        with self.subTest(ranks=n_ranks, rank=rank, phase=phase, verb=args[0]):
            job = self.start(n_ranks, *args, "--quiet", path=path, call=call, rank=rank, after=after, times=1,
                             how="stop")
            harness.wait_for(lambda: harness.stopped(job))
            self.check_stalled(job, time.monotonic(), rf"rank {rank} does not run \(stopped\?\) in phase {phase};")

    def test_rank_that_stops_while_reading(self):
        for n_ranks, rank in ((2, 0), (2, 1), (3, 1), (4, 3)):
            self.check_stop_in(n_ranks, rank, "distribute", self.data, "read", *self.train(2), after=30)

    def test_rank_that_stops_while_writing(self):
        for n_ranks, rank in ((2, 0), (2, 1), (3, 2), (4, 0)):
            self.check_stop_in(n_ranks, rank, "write", f"{self.model}.tmp", "write", *self.train(0, factors=64))

    def test_rank_that_stops_while_solving(self):
        for n_ranks, rank in ((2, 0), (2, 1), (3, 2), (4, 1)):
            with self.subTest(ranks=n_ranks, rank=rank):
                job = self.start(n_ranks, *self.train(100000))
                for line in job.stderr:
                    if line.startswith(b"sweep"):
                        break
                os.kill(harness.ranks(job)[rank], signal.SIGSTOP)
                self.check_stalled(job, time.monotonic(),
                                   rf"rank {rank} does not run \(stopped\?\) in phase .*; rank.* waits? for others in")

    def test_other_verbs(self):
        train, test = self.out / "train.h5", self.out / "test.h5"
        self.check_stop_in(2, 1, "read", self.ratings, "read", "import", self.ratings, "-o", self.model, after=0)
        self.check_stop_in(3, 0, "write", f"{self.model}.tmp", "write", "import", self.ratings, "-o", self.model)
        self.check_stop_in(2, 0, "write", f"{self.model}.tmp", "write", "synth", "-o", self.model)
        self.check_stop_in(2, 1, "read", self.data, "read", "split", self.data, "--train", train, "--test", test,
                           "--method", "random", "--fraction", 0.1, after=30)
        good = self.folder / "good.h5"
        harness.run_good(2, "train", self.data, "-o", good, "--algorithm", "als", "--factors", 8, "--iterations", 1)
        self.check_stop_in(2, 1, r"\w+", good, "read", "evaluate", good, self.data, after=30)

    def test_rank_that_hangs_in_a_call(self):
        """The process runs, its main thread does not come back: the call of a dead file system."""
        for n_ranks, rank in ((1, 0), (2, 1), (3, 0)):
            with self.subTest(ranks=n_ranks, rank=rank):
                begin = time.monotonic()
                job = self.start(n_ranks, *self.train(0, factors=64), "--quiet", path=f"{self.model}.tmp", call="write",
                                 rank=rank, after=1, how="hang")
                self.check_stalled(job, begin, rf"s: rank {rank} is still in phase write;")

    def test_slow_is_not_stalled(self):
        """Each read takes a fraction of the patience, all together far more: one rank reads, the others wait for it."""
        text, output = self.folder / "long.csv", self.out / "data.h5"
        text.write_text("user,item,rating\n" + "".join(f"{u},{u * i % 997},3\n" for u in range(60000)
                                                       for i in range(1, 40)))
        begin = time.monotonic()
        job = self.start(2, "import", text, "-o", output, "--duplicates", "max", path=text, call="read", rank=1,
                         how="slow")
        result = harness.finish(job)
        self.assertEqual(result.rc, 0, str(result))
        self.assertGreater(time.monotonic() - begin, 2 * PATIENCE, "too fast to test anything")

    def test_eigensolver_is_not_stalled(self):
        """ScaLAPACK's says nothing for longer than the patience."""
        data, log = self.out / "dense.h5", self.out / "log.json"
        harness.run_good(2, "synth", "-o", data, "--users", 3000, "--items", 2500, "--ratings", 90000, "--quiet")
        job = self.start(2, "train", data, "-o", self.model, "--algorithm", "svd", "--svd-method", "gram", "--factors", 8,
                         "--log-json", log, "--quiet")
        result = harness.finish(job)
        self.assertEqual(result.rc, 0, str(result))
        events = map(json.loads, log.read_text().splitlines())
        seconds = next(e["seconds_solve"] for e in events if e["event"] == "svd")
        if seconds < 2 * PATIENCE:
            self.skipTest("%.1f s: this machine is too fast to test it" % seconds)

    def test_freeze_that_ends(self):
        """One rank for less than the patience, then all ranks for longer, as a batch system suspends a job."""
        for n_frozen, seconds in ((1, 1.5), (3, 5)):
            with self.subTest(frozen=n_frozen):
                whole = harness.finish(self.start(3, *self.train(30), patience=4))
                self.assertEqual(whole.rc, 0, str(whole))
                wanted = self.model.read_bytes()
                self.model.unlink()
                job = self.start(3, *self.train(30), patience=4)
                for line in job.stderr:
                    if line.startswith(b"sweep"):
                        break
                pids = harness.ranks(job)[:n_frozen]
                for pid in pids:
                    os.kill(pid, signal.SIGSTOP)
                time.sleep(seconds)
                self.assertIsNone(job.poll())
                for pid in pids:
                    os.kill(pid, signal.SIGCONT)
                result = harness.finish(job)
                self.assertEqual(result.rc, 0, str(result))
                self.assertTrue(self.model.read_bytes() == wanted, "the bytes are not the same")

    def test_no_thread_where_none_is_wanted(self):
        n_threads = []
        for patience in (600, 0):
            job = self.start(2, *self.train(0), patience=patience, path=f"{self.model}.tmp", call="write", rank=1, how="stop")
            pid = harness.wait_for(lambda: harness.stopped(job))[0]
            n_threads.append(len(list(pathlib.Path(f"/proc/{pid}/task").iterdir())))
            harness.finish(job, timeout=0.1)
        self.assertEqual(n_threads[0], n_threads[1] + 1)

    def test_no_shared_memory_is_left(self):
        """What is there now and after a while; jobs of other tests have theirs for a moment."""
        folder = pathlib.Path("/dev/shm")
        left = set(folder.glob("gridmf-*"))
        for _ in range(5 if left else 0):
            time.sleep(1)
            left &= set(folder.glob("gridmf-*"))
        self.assertEqual(left, set())


class Mismatch(unittest.TestCase):
    """Ranks that take different collectives, see runtime/mismatch.c."""

    def run_program(self, variable, n_ranks, patience):
        if variable not in os.environ:
            self.skipTest(variable + " is not set")
        result = harness.execute([*harness.MPIRUN, "-n", str(n_ranks), os.environ[variable], str(patience)])
        self.assertEqual(result.rc, STALLED, str(result))
        self.assertEqual(len(result.messages()), 1, str(result))
        return result.messages()[0]

    def line_of(self, call):
        source = pathlib.Path(__file__).resolve().parents[1] / "runtime" / "mismatch.c"
        return next(n for n, line in enumerate(source.read_text().split("\n"), 1) if call in line)

    def test_checked(self):
        for n_ranks, others in ((2, "0"), (3, "0 2")):
            message = self.run_program("MISMATCH_CHECKED", n_ranks, 0)
            self.assertIn(f"mismatch.c:{self.line_of('gmf_exchange_counts')} gmf_exchange_counts on rank {others};",
                          message)
            self.assertIn(f"mismatch.c:{self.line_of('gmf_broadcast')} gmf_broadcast on rank 1;", message)

    def test_watched(self):
        message = self.run_program("MISMATCH", 3, 1)
        self.assertTrue(re.search("ranks 0, 2 wait for others in phase expand; rank 1 waits for others in phase fold",
                                  message), message)


if __name__ == "__main__":
    unittest.main()
