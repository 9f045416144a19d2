"""A rank, or mpirun, that is killed at any time leaves no process behind and no output that is not whole.

What stood under an output's name before stands there still, or the new file does; temporary files and locks may be
left, and the same command must work again.
"""

import os
import pathlib
import random
import signal
import subprocess
import time
import unittest

import numpy as np

import harness

SLOW = os.environ.get("GRIDMF_SLOW") == "1"
GOOD_BEFORE = b"a good file of yesterday"
KILLED = 128 + signal.SIGKILL
N_RANKS = 3


def n_watched(job):
    """How many ranks have their watchdog: before, inside MPI_Init, a kill can make mpirun itself hang."""
    n = 0
    for pid in harness.ranks(job):
        try:
            n += "/dev/shm/gridmf-" in pathlib.Path(f"/proc/{pid}/maps").read_text()
        except OSError:
            pass
    return n


class Kills(harness.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.data, cls.text, cls.model = (cls.folder / name for name in ("data.h5", "ratings.csv", "model.h5"))
        harness.run_good(2, "synth", "-o", cls.data, "--users", 9000, "--items", 3000, "--ratings", 800000, "--quiet")
        r = harness.Ratings(cls.data)
        np.savetxt(cls.text, np.column_stack([r.users, r.items, r.values]), "%d,%d,%g", header="user,item,rating",
                   comments="")
        harness.run_good(2, "train", cls.data, "-o", cls.model, "--algorithm", "als", "--factors", 32, "--iterations", 1)

    def verbs(self):
        """name: (words, outputs)."""
        out, halves = self.out / "out.h5", [self.out / "train.h5", self.out / "test.h5"]
        return {"import": (["import", self.text, "-o", out], [out]),
                "split": (["split", self.data, "--train", halves[0], "--test", halves[1], "--method", "random",
                           "--fraction", 0.5], halves),
                "synth": (["synth", "-o", out, "--users", 9000, "--items", 3000, "--ratings", 800000], [out]),
                "train": (["train", self.data, "-o", out, "--algorithm", "als", "--factors", 32, "--iterations", 3],
                          [out]),
                "evaluate": (["evaluate", self.model, self.data], [])}

    def check_outputs(self, outputs, where):
        for path in outputs:
            if path.read_bytes() != GOOD_BEFORE:
                harness.run_good(1, "verify", path)
        left = [p.name for p in self.out.iterdir() if p not in outputs and ".tmp." not in p.name and p.suffix != ".lock"]
        self.assertEqual(left, [], where)

    def kill_at(self, words, outputs, victim, seconds):
        """Kills one process of a run after some time; returns whether there was still something to kill."""
        for path in self.out.iterdir():
            path.unlink()
        for path in outputs:
            path.write_bytes(GOOD_BEFORE)
        job = harness.start([*harness.MPIRUN, "-n", str(N_RANKS), harness.GRIDMF, *words, "--quiet",
                             "--stall-timeout", "20s"])
        harness.wait_for(lambda: job.poll() is not None or n_watched(job) == N_RANKS)
        pids = harness.ranks(job)
        time.sleep(seconds)
        alive = job.poll() is None and len(pids) == N_RANKS
        try:
            os.kill(job.pid if victim is None else pids[victim], signal.SIGKILL)
        except (ProcessLookupError, IndexError):
            alive = False
        try:
            job.wait(30)
            harness.wait_for(lambda: not harness.ranks(job), timeout=30)
        except (subprocess.TimeoutExpired, AssertionError):
            self.fail("still there: " + str(harness.finish(job, timeout=0.1)))
        result = harness.finish(job)
        where = f"{words[0]}, {'mpirun' if victim is None else f'rank {victim}'} killed after {seconds:.3f} s: {result}"
        # mpirun may itself fall over the pipe that led to the rank.
        allowed = (-signal.SIGKILL,) if victim is None else (KILLED, -signal.SIGPIPE)
        self.assertIn(result.rc, (0, *allowed), where)
        self.check_outputs(outputs, where)
        return alive and result.rc != 0

    def sweep(self, victims):
        chance = random.Random(1)
        for verb, (words, outputs) in self.verbs().items():
            begin = time.monotonic()
            harness.run_good(N_RANKS, *words, "--quiet")
            span = time.monotonic() - begin
            n_killed = 0
            for turn in range(30 if SLOW else 3):
                for victim in victims:
                    with self.subTest(verb=verb, victim=victim, turn=turn):
                        n_killed += self.kill_at(words, outputs, victim, span * chance.uniform(0, 0.5))
            self.assertGreater(n_killed, 0, f"{verb}: every run was over before it was killed")
            harness.run_good(N_RANKS, *words, "--quiet")
            for path in outputs:
                harness.run_good(1, "verify", path)

    def test_ranks(self):
        self.sweep((0, N_RANKS - 1))

    def test_mpirun(self):
        self.sweep((None,))


if __name__ == "__main__":
    unittest.main()
