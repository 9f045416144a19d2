"""Checkpoints: what is stopped, killed or damaged goes on to the bytes that an undisturbed run gives."""

import os
import pathlib
import random
import re
import signal
import subprocess
import time
import unittest

import h5py
import numpy as np

import harness
from harness import GRIDMF, GRIDMF_QUERY, MPI_ENVIRONMENT, execute, launch, random_dataset, read_factors, run, run_good

KILLS = int(os.environ.get("GRIDMF_KILLS", "8"))
ALS = ["--algorithm", "als", "--bias", "--factors", 12]
IALS = ["--algorithm", "ials", "--factors", 12, "--solver", "cg", "--cg-steps", 2]
REPRODUCIBLE = {"SOURCE_DATE_EPOCH": "0"}


class CheckpointCase(harness.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.data = random_dataset(cls.folder / "data.h5", 300, 200, 12000)

    def words(self, options, iterations=10, every="0s", extra=()):
        """The same words for every run, so that provenance is the same: files have names of their run's folder."""
        return ["train", self.data, "-o", "model.h5", *options, "--iterations", iterations, "--checkpoint", "ck",
                "--checkpoint-every", every, *extra]

    def train(self, folder, options, n_ranks=2, **how):
        (self.out / folder).mkdir(exist_ok=True)
        threads = how.pop("threads", 1)
        return run(n_ranks, *self.words(options, **how), cwd=self.out / folder,
                   env={**REPRODUCIBLE, "OMP_NUM_THREADS": str(threads)})

    def assertGood(self, result):
        self.assertEqual(result.rc, 0, str(result))
        return result

    def launch(self, folder, words, n_ranks=2):
        """A run to be stopped."""
        self.path(folder).mkdir(exist_ok=True)
        return subprocess.Popen([str(w) for w in (*launch(n_ranks), GRIDMF, *words)], cwd=self.path(folder),
                                stderr=subprocess.PIPE, text=True, env={**MPI_ENVIRONMENT, **os.environ, **REPRODUCIBLE},
                                start_new_session=True)

    def finish(self, process):
        """Exit code and messages of such a run."""
        try:
            err = process.communicate(timeout=60)[1]
        finally:
            harness._kill_session(process.pid)
        return process.returncode, err

    def path(self, *names):
        return self.out.joinpath(*names)

    def checkpoints(self, folder):
        return sorted(p.name for p in self.path(folder, "ck").iterdir() if p.suffix == ".h5")

    def bytes_of(self, folder):
        return self.path(folder, "model.h5").read_bytes()

    def stop_after(self, folder, options, sweep, n_ranks=2, **how):
        """A run that goes to the end of `sweep` sweeps, by leaving only that checkpoint of a longer one."""
        self.assertGood(self.train(folder, options, n_ranks, extra=["--keep", 99, *how.pop("extra", [])], **how))
        for name in self.checkpoints(folder):
            if name != "%06d.h5" % sweep:
                self.path(folder, "ck", name).unlink()
        self.path(folder, "model.h5").unlink()


class TestResume(CheckpointCase):
    def test_same_bytes(self):
        for options in (ALS, IALS):
            for n_ranks, threads, grid in ((1, 2, "auto"), (2, 1, "auto"), (3, 1, "auto"), (4, 1, "2x2")):
                for sweep in (1, 6, 9):
                    with self.subTest(options=options, ranks=n_ranks, sweep=sweep):
                        name = "%s-%d-%d" % (options[1], n_ranks, sweep)
                        extra = ["--keep", 99, "--grid", grid]
                        self.assertGood(self.train(name, options, n_ranks, threads=threads, extra=extra))
                        whole = self.bytes_of(name)
                        for other in self.checkpoints(name):
                            if other != "%06d.h5" % sweep:
                                self.path(name, "ck", other).unlink()
                        self.path(name, "model.h5").unlink()
                        result = self.assertGood(self.train(name, options, n_ranks, threads=threads, extra=extra))
                        self.assertIn("resumed after sweep %d" % sweep, result.stderr)
                        self.assertEqual(result.stderr.count("\nsweep "), 10 - sweep)
                        self.assertEqual(self.bytes_of(name), whole)

    def test_same_bytes_with_heavy_rows(self):
        for options in (ALS, IALS):
            extra = ["--keep", 99, "--heavy-items", "15:2x2", "--heavy-users", "10:1x4", "--solver", "cg"]
            name = "heavy-" + options[1]
            self.assertGood(self.train(name, options, 4, extra=extra))
            whole = self.bytes_of(name)
            self.stop_after(name, options, 4, n_ranks=4, extra=extra[2:])
            result = self.assertGood(self.train(name, options, 4, extra=extra))
            self.assertIn("resumed after sweep 4", result.stderr)
            self.assertEqual(self.bytes_of(name), whole)

    def test_one_sweep_at_a_time(self):
        self.assertGood(self.train("whole", ALS))
        for iterations in range(2, 11):
            result = self.assertGood(self.train("steps", ALS, iterations=iterations))
            self.assertEqual("resumed" in result.stderr, iterations > 2)
        self.assertEqual(self.bytes_of("steps"), self.bytes_of("whole"))

    def test_other_numbers_of_ranks(self):
        self.assertGood(self.train("whole", IALS, 4))
        x, y = read_factors(self.path("whole", "model.h5"))
        self.stop_after("moved", IALS, 4, n_ranks=4)
        for n_ranks in (3, 1, 2):
            folder = self.path("moved-%d" % n_ranks)
            subprocess.run(["cp", "-r", str(self.path("moved")), str(folder)], check=True)
            result = self.assertGood(self.train(folder.name, IALS, n_ranks))
            self.assertIn("made by 4 ranks", result.stderr)
            a, b = read_factors(folder / "model.h5")
            self.assertLess(np.abs(a @ b.T - x @ y.T).max() / np.abs(x @ y.T).max(), 1e-4)

    def test_other_numbers_of_ranks_deterministic(self):
        extra = ["--deterministic", "--keep", 99]
        self.assertGood(self.train("whole", IALS, 4, extra=extra))
        for name in self.checkpoints("whole"):
            if name != "000003.h5":
                self.path("whole", "ck", name).unlink()
        wanted = read_factors(self.path("whole", "model.h5"))
        result = self.assertGood(self.train("whole", IALS, 3, extra=extra))
        self.assertIn("resumed after sweep 3", result.stderr)
        self.assertNotIn("note:", result.stderr)
        for side, found in enumerate(read_factors(self.path("whole", "model.h5"))):
            self.assertEqual(found.tobytes(), wanted[side].tobytes())

    def test_more_sweeps(self):
        self.assertGood(self.train("first", ALS, iterations=6))
        result = self.assertGood(self.train("first", ALS, iterations=12))
        self.assertIn("resumed after sweep 5", result.stderr)
        self.assertGood(self.train("whole", ALS, iterations=12))
        self.assertEqual(self.bytes_of("first"), self.bytes_of("whole"))

    def test_from_a_path(self):
        self.stop_after("a", ALS, 5)
        (self.out / "b").mkdir()
        for path in ("../a/ck", "../a/ck/000005.h5"):
            result = run(2, "train", self.data, "-o", "model.h5", *ALS, "--iterations", 7, "--resume", path, cwd=self.out / "b")
            self.assertGood(result)
            self.assertIn("resumed after sweep 5", result.stderr)

    def test_never(self):
        self.stop_after("a", ALS, 5)
        self.assertNotIn("resumed", self.assertGood(self.train("a", ALS, extra=["--resume", "never"])).stderr)

    def test_keep(self):
        for keep, left in ((1, ["000009.h5"]), (3, ["000007.h5", "000008.h5", "000009.h5"])):
            self.assertGood(self.train("keep%d" % keep, ALS, extra=["--keep", keep]))
            self.assertEqual(self.checkpoints("keep%d" % keep), left)

    def test_every(self):
        self.assertGood(self.train("rare", ALS, every="1h"))
        self.assertEqual(self.checkpoints("rare"), [])

    def test_a_checkpoint_is_a_model(self):
        self.stop_after("a", ALS, 5)
        path = self.path("a", "ck", "000005.h5")
        with h5py.File(path) as f:
            self.assertEqual(f["state"].attrs["sweep"], 5)
            self.assertEqual(len(f["history/objective"]), 5)
        self.assertEqual(execute([GRIDMF_QUERY, path, "recommend", "--user", "1", "--top", "3"]).rc, 0)
        self.assertEqual(run(2, "verify", path).rc, 0)


class TestRefused(CheckpointCase):
    def test_another_run(self):
        self.stop_after("a", ALS, 5)
        before = self.path("a", "ck", "000005.h5").read_bytes()
        other = random_dataset(self.out / "other.h5", 300, 200, 12000, seed=2)
        for options, data, wanted in (([*ALS, "--lambda", 0.2], self.data, "--lambda 0.05.*--lambda 0.2"),
                                      ([*ALS[:-1], 13], self.data, "--factors 12.*--factors 13"),
                                      ([*ALS, "--seed", 2], self.data, "--seed 1.*--seed 2"),
                                      (IALS, self.data, "--algorithm als.*--algorithm ials"),
                                      (ALS, other, "belongs to dataset [0-9a-f]{16}, but this one is [0-9a-f]{16}")):
            for n_ranks in (1, 3):
                result = run(n_ranks, "train", data, "-o", "model.h5", *options, "--iterations", 10, "--checkpoint", "ck",
                             cwd=self.path("a"))
                self.assertEqual(result.rc, 78, str(result))
                self.assertEqual(len(result.messages()), 1)
                self.assertRegex(result.messages()[0], wanted)
        self.assertEqual(self.path("a", "ck", "000005.h5").read_bytes(), before)
        self.assertFalse(self.path("a", "model.h5").exists())

    def test_fewer_sweeps(self):
        self.stop_after("a", ALS, 8)
        result = self.train("a", ALS, iterations=7)
        self.assertEqual(result.rc, 78)
        self.assertIn("after sweep 8, but --iterations is 7", result.messages()[0])

    def test_folder_that_cannot_be_written(self):
        (self.out / "file").write_text("")
        for folder in ("missing/ck", "file", "file/ck"):
            for n_ranks in (1, 3):
                result = run(n_ranks, "train", self.data, "-o", self.out / "m.h5", *ALS, "--checkpoint", folder, cwd=self.out)
                self.assertEqual(result.rc, 73, str(result))
                self.assertIn("--checkpoint " + folder, result.messages()[0])
                self.assertNotIn("sweep ", result.stderr)

    def test_max_time_without_checkpoints(self):
        result = run(1, "train", self.data, "-o", self.out / "m.h5", *ALS, "--max-time", "1m")
        self.assertEqual(result.rc, 64)


class TestDamage(CheckpointCase):
    DAMAGES = {"cut 1": lambda b: b[:-1], "cut 100": lambda b: b[:-100], "half": lambda b: b[:len(b) // 2], "empty": lambda b: b"",
               "html": lambda b: b"<html>not found</html>"}

    def flipped(self, path):
        """One bit in the middle of the users' factors."""
        with h5py.File(path) as f:
            at = f["users/factors"].id.get_offset() + f["users/factors"].id.get_storage_size() // 2
        return lambda b: b[:at] + bytes([b[at] ^ 1]) + b[at + 1:]

    def test_newest_whole_one_is_taken(self):
        self.assertGood(self.train("a", ALS, extra=["--keep", 99]))
        whole, good = self.bytes_of("a"), self.path("a", "ck", "000008.h5").read_bytes()
        newest = self.path("a", "ck", "000009.h5")
        saved = newest.read_bytes()
        for name, damage in {**self.DAMAGES, "flip": self.flipped(newest)}.items():
            for n_ranks in (1, 2) if name in ("flip", "half") else (2,):
                newest.write_bytes(damage(saved))
                self.path("a", "ck", "000008.h5").write_bytes(good)
                result = self.assertGood(self.train("a", ALS, n_ranks, extra=["--keep", 99]))
                self.assertRegex(result.stderr, "passed over a checkpoint: .*ck/000009.h5")
                self.assertIn("resumed after sweep 8", result.stderr)
                if n_ranks == 2:
                    self.assertEqual(self.bytes_of("a"), whole)

    def test_all_damaged(self):
        self.assertGood(self.train("a", ALS))
        model = self.bytes_of("a")
        for name in self.checkpoints("a"):
            path = self.path("a", "ck", name)
            path.write_bytes(self.flipped(path)(path.read_bytes()))
        for n_ranks in (1, 3):
            result = self.train("a", ALS, n_ranks)
            self.assertEqual(result.rc, 65, str(result))
            self.assertRegex(result.messages()[0], "all 2 checkpoints are damaged")
        self.assertEqual(self.bytes_of("a"), model)

    def test_model_that_is_no_checkpoint(self):
        self.assertGood(self.train("a", ALS))
        self.path("a", "model.h5").rename(self.path("a", "ck", "000099.h5"))
        result = self.assertGood(self.train("a", ALS))
        self.assertRegex(result.stderr, "passed over .*000099.h5: is a model, but no checkpoint")


class TestStopping(CheckpointCase):
    """Long runs of short sweeps, stopped by every means; they then go on to the bytes of one that nobody stopped."""

    SWEEPS = 150

    def start(self, folder, extra=()):
        return self.launch(folder, self.words(IALS, self.SWEEPS, extra=extra))

    def wait_for_sweeps(self, process, n):
        for line in process.stderr:
            if re.match(r"sweep +%d/" % n, line):
                return

    def ranks(self, process):
        """Process ids of the ranks."""
        found = []
        for pid in harness._session(process.pid):
            try:
                command = pathlib.Path("/proc/%d/cmdline" % pid).read_bytes().split(b"\0")[0]
            except OSError:
                continue
            if os.path.basename(command.decode()) == os.path.basename(GRIDMF):
                found.append(pid)
        return sorted(found)

    def whole(self):
        self.assertEqual(self.finish(self.start("whole"))[0], 0)
        return self.bytes_of("whole")

    def test_signals(self):
        whole = self.whole()
        for number, to in ((signal.SIGUSR1, "mpirun"), (signal.SIGUSR2, "mpirun"), (signal.SIGUSR1, "one rank"),
                           (signal.SIGUSR1, "twice")):
            with self.subTest(signal=number, to=to):
                folder = "%s-%s" % (number.name, to.replace(" ", "-"))
                process = self.start(folder)
                self.wait_for_sweeps(process, 3)
                os.kill(self.ranks(process)[-1] if to == "one rank" else process.pid, number)
                if to == "twice":
                    time.sleep(0.05)
                    os.kill(process.pid, number)
                rc, err = self.finish(process)
                self.assertEqual(rc, 75, err)
                self.assertIn("stopped by a signal after sweep", err)
                self.assertNotIn(".tmp.", " ".join(os.listdir(self.path(folder, "ck"))))
                self.assertFalse(self.path(folder, "model.h5").exists())
                self.assertEqual(self.finish(self.start(folder))[0], 0)
                self.assertEqual(self.bytes_of(folder), whole)

    def test_ended_by_mpirun(self):
        """mpirun passes these on and kills the ranks soon after: what was saved last is what a next run goes on from."""
        whole = self.whole()
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(signal=number):
                folder = number.name
                process = self.start(folder)
                self.wait_for_sweeps(process, 3)
                process.send_signal(number)
                rc, err = self.finish(process)
                self.assertNotIn(rc, (0, 75, "timeout"), err)
                self.assertFalse(self.path(folder, "model.h5").exists())
                for name in self.checkpoints(folder):
                    run_good(1, "verify", self.path(folder, "ck", name))
                rc, err = self.finish(self.start(folder))
                self.assertEqual(rc, 0, err)
                self.assertIn("resumed after sweep", err)
                self.assertEqual(self.bytes_of(folder), whole)

    def test_stop_file(self):
        whole = self.whole()
        process = self.start("file")
        self.wait_for_sweeps(process, 2)
        self.path("file", "ck", "STOP").touch()
        rc, err = self.finish(process)
        self.assertEqual(rc, 75, err)
        self.assertFalse(self.path("file", "ck", "STOP").exists())
        self.assertEqual(self.finish(self.start("file"))[0], 0)
        self.assertEqual(self.bytes_of("file"), whole)

    def test_max_time(self):
        (self.out / "time").mkdir()
        words = [*IALS, "--iterations", 10 ** 6, "--checkpoint", "ck", "--checkpoint-every", "1h", "--max-time", "2s"]
        begin = time.monotonic()
        result = run(2, "train", self.data, "-o", "model.h5", *words, cwd=self.path("time"))
        self.assertEqual(result.rc, 75, str(result))
        self.assertIn("stopped by --max-time", result.messages()[0])
        self.assertEqual(len(self.checkpoints("time")), 1)
        self.assertLess(time.monotonic() - begin, 20)
        result = run(2, "train", self.data, "-o", "model.h5", *words, cwd=self.path("time"))
        self.assertEqual(result.rc, 75)
        self.assertIn("resumed after sweep", result.stderr)

    def test_killed(self):
        """kill -9 of a random rank or of mpirun at random times; every visible file is whole, and the end is the same."""
        whole, rng, killed = self.whole(), random.Random(7), 0
        while killed < KILLS:
            folder = "kill%d" % killed
            while True:
                process = self.start(folder)
                self.wait_for_sweeps(process, rng.randrange(1, 30))  # at the latest; a resumed run may be further on
                time.sleep(rng.random() * 0.05)
                victims = [process.pid, *self.ranks(process)]
                try:
                    os.kill(rng.choice(victims), signal.SIGKILL)
                    killed += 1
                except ProcessLookupError:
                    pass
                rc = self.finish(process)[0]
                for name in os.listdir(self.path(folder, "ck")) if self.path(folder, "ck").exists() else []:
                    if name.endswith(".h5"):
                        self.assertEqual(run(1, "verify", self.path(folder, "ck", name)).rc, 0, name)
                if rc == 0 or killed >= KILLS:
                    break
            if rc != 0:
                self.assertEqual(self.finish(self.start(folder))[0], 0)
            self.assertEqual(self.bytes_of(folder), whole)


class TestSvd(CheckpointCase):
    """Restarts of krylov and passes of randomized, as sweeps above."""

    KRYLOV = ["--algorithm", "svd", "--factors", 12, "--block", 4, "--tolerance", "1e-11", "--center", "both"]
    # The normal equations are not accurate enough for this, so that the search begins again with two bases.
    TWO_BASES = ["--algorithm", "svd", "--factors", 4, "--block", 2, "--tolerance", "1e-13", "--scaling", "sqrt"]
    RANDOMIZED = ["--algorithm", "svd", "--svd-method", "randomized", "--factors", 12, "--power-steps", 8]
    SLOW = ["--algorithm", "svd", "--factors", 3, "--block", 1, "--tolerance", "1e-10"]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        rng = np.random.default_rng(8)
        a = np.where(rng.random((110, 90)) < 0.2, rng.integers(1, 11, (110, 90)) / 2, 0)
        a[3, 5] = 2.0 ** 20
        u, i = np.nonzero(a)
        cls.outlier = harness.write_dataset(cls.folder / "outlier.h5", 110, 90, u, i, a[u, i])

    def words(self, options, every="0s", extra=()):
        data = self.outlier if options is self.TWO_BASES else self.data
        return ["train", data, "-o", "model.h5", *options, "--checkpoint", "ck", "--checkpoint-every", every, *extra]

    def only(self, folder, whole, checkpoint):
        """A folder that has this checkpoint of a run."""
        self.path(folder, "ck").mkdir(parents=True)
        self.path(folder, "ck", checkpoint).write_bytes(self.path(whole, "ck", checkpoint).read_bytes())

    def test_same_bytes(self):
        for name, options, n_ranks, grid in (("krylov", self.KRYLOV, 1, "auto"), ("krylov", self.KRYLOV, 4, "2x2"),
                                             ("two", self.TWO_BASES, 3, "auto"), ("random", self.RANDOMIZED, 2, "1x2")):
            whole = "%s-%d" % (name, n_ranks)
            extra = ["--keep", 99, "--grid", grid]
            self.assertGood(self.train(whole, options, n_ranks, extra=extra))
            made = self.checkpoints(whole)
            self.assertGreater(len(made), 3)
            for checkpoint in sorted({made[0], made[len(made) // 2], made[-1]}):
                with self.subTest(run=whole, checkpoint=checkpoint):
                    folder = whole + "-" + checkpoint
                    self.only(folder, whole, checkpoint)
                    result = self.assertGood(self.train(folder, options, n_ranks, extra=extra))
                    unit = "pass" if name == "random" else "restart"
                    self.assertIn("resumed after %s %d from" % (unit, int(checkpoint[:6])), result.stderr)
                    self.assertEqual(self.bytes_of(folder), self.bytes_of(whole))

    def test_two_bases_are_saved(self):
        """After a search by the normal equations was given up, and not before."""
        self.assertGood(self.train("two", self.TWO_BASES, extra=["--keep", 99]))
        for name in self.checkpoints("two"):
            with h5py.File(self.path("two", "ck", name)) as f:
                self.assertEqual(f["state"].attrs["normal"], 0)
                for side in ("users", "items"):
                    x = f["state/basis_" + side][()]
                    self.assertLess(np.abs(x.T @ x - np.eye(x.shape[1])).max(), 1e-13)

    def test_other_numbers_of_ranks(self):
        for name, options in (("krylov", self.KRYLOV), ("random", self.RANDOMIZED)):
            self.assertGood(self.train(name, options, 4, extra=["--keep", 99]))
            with h5py.File(self.path(name, "model.h5")) as f:
                s, scores = f["singular_values"][()], f["users/factors"][()] @ f["items/factors"][()].T
            for n_ranks in (1, 3):
                folder = "%s-%d" % (name, n_ranks)
                self.only(folder, name, "000003.h5")
                result = self.assertGood(self.train(folder, options, n_ranks))
                self.assertRegex(result.stderr, "made by 4 ranks.* singular values will agree to 1e-10")
                with h5py.File(self.path(folder, "model.h5")) as f:
                    np.testing.assert_allclose(f["singular_values"][()], s, rtol=1e-10)
                    found = f["users/factors"][()] @ f["items/factors"][()].T
                    self.assertLess(np.abs(found - scores).max(), 1e-10 * s[0])

    def test_a_checkpoint_is_a_model(self):
        """With triplets as they are so far: the query tool answers, and evaluate folds in."""
        for name, options in (("krylov", self.KRYLOV), ("random", self.RANDOMIZED), ("two", self.TWO_BASES)):
            self.assertGood(self.train(name, options, 3, extra=["--keep", 99]))
            path = self.path(name, "ck", "000002.h5")
            with h5py.File(path) as f, h5py.File(self.path(name, "model.h5")) as g:
                s, x, y = (f[part][()] for part in ("singular_values", "users/factors", "items/factors"))
                self.assertLess(np.abs(s - g["singular_values"][()]).max(), 0.1 * s[0])
                power = s ** 2 if name != "two" else s
                np.testing.assert_allclose(x.T @ x, np.diag(power), atol=1e-9 * power[0])
                np.testing.assert_allclose(y.T @ y, np.diag(s if name == "two" else np.ones_like(s)), atol=1e-9 * max(1, s[0]))
                self.assertEqual(f["state"].attrs["sweep"], 2)
            self.assertEqual(execute([GRIDMF_QUERY, path, "recommend", "--user", "1", "--top", "3"]).rc, 0)
            self.assertEqual(run(2, "verify", path).rc, 0)
            data = self.words(options)[1]
            self.assertEqual(run(2, "evaluate", path, data, "--fold-in", data, "--metrics", "rmse").rc, 0)

    def test_refused(self):
        self.assertGood(self.train("a", self.KRYLOV))
        other = random_dataset(self.out / "other.h5", 300, 200, 12000, seed=2)
        changed = dict(zip(("--factors", "--block", "--tolerance", "--center"), (13, 5, "2e-11", "user")))
        for n_ranks in (1, 3):
            for option, value in changed.items():
                options = list(self.KRYLOV)
                was = options[options.index(option) + 1]
                options[options.index(option) + 1] = value
                result = self.train("a", options, n_ranks)
                self.assertEqual(result.rc, 78, str(result))
                self.assertRegex(result.messages()[0], "%s %s.*%s %s" % (option, was, option, value))
            result = run(n_ranks, "train", other, "-o", "model.h5", *self.KRYLOV, "--checkpoint", "ck", cwd=self.path("a"))
            self.assertEqual(result.rc, 78, str(result))
            self.assertRegex(result.messages()[0], "belongs to dataset [0-9a-f]{16}, but this one is [0-9a-f]{16}")
            for words in (["--checkpoint", "ck"], ["--resume", "a/ck"], ["--checkpoint", "ck", "--max-time", "1h"]):
                result = run(n_ranks, "train", self.data, "-o", self.out / "m.h5", "--algorithm", "svd", "--svd-method", "gram", *words)
                self.assertEqual(result.rc, 64, str(result))
                self.assertIn("gram works in one piece and takes no checkpoints: leave out " + words[0], result.messages()[0])

    def test_more_restarts_and_passes(self):
        for name, options, option, unit in (("krylov", self.KRYLOV, "--max-restarts", "restart"),
                                            ("random", self.RANDOMIZED[:-2], "--power-steps", "pass")):
            more, fewer = [*options, option, 30], [*options, option, 3]
            self.assertGood(self.train(name, more))
            result = self.train(name + "-2", fewer)
            self.assertEqual(result.rc, 3 if name == "krylov" else 0, str(result))
            result = self.train(name + "-2", more)
            self.assertIn("resumed after %s %d" % (unit, 3 if name == "krylov" else 2), self.assertGood(result).stderr)
            self.assertEqual(self.bytes_of(name + "-2"), self.bytes_of(name))
        result = self.train("random", [*self.RANDOMIZED[:-2], "--power-steps", 5])
        self.assertEqual(result.rc, 78, str(result))
        self.assertIn("is after pass 29, but --power-steps is 5", result.messages()[0])

    def start(self, folder):
        return self.launch(folder, self.words(self.SLOW))

    def test_stopped_and_killed(self):
        process = self.start("whole")
        self.assertEqual(self.finish(process)[0], 0)
        for how in ("signal", "file", "kill"):
            with self.subTest(how):
                process = self.start(how)
                for line in process.stderr:
                    if re.match("restart +3 ", line):
                        break
                if how == "file":
                    self.path(how, "ck", "STOP").touch()
                else:
                    os.kill(process.pid, signal.SIGUSR1 if how == "signal" else signal.SIGKILL)
                rc, err = self.finish(process)
                if how != "kill":
                    self.assertEqual(rc, 75, err)
                    self.assertRegex(err, "stopped by (a signal|the STOP file) after restart [0-9]+; the checkpoint in ck is whole")
                self.assertFalse(self.path(how, "model.h5").exists())
                rc, err = self.finish(self.start(how))
                self.assertEqual(rc, 0, err)
                self.assertIn("resumed after restart", err)
                self.assertEqual(self.bytes_of(how), self.bytes_of("whole"))

    def test_max_time(self):
        (self.out / "time").mkdir()
        words = ["--algorithm", "svd", "--svd-method", "randomized", "--factors", 12, "--power-steps", 10 ** 6, "--checkpoint", "ck",
                 "--checkpoint-every", "1h", "--max-time", "2s"]
        for resumed in (False, True):
            result = run(2, "train", self.data, "-o", "model.h5", *words, cwd=self.path("time"))
            self.assertEqual(result.rc, 75, str(result))
            self.assertRegex(result.messages()[0], "stopped by --max-time after pass [0-9]+ of 1000000;")
            self.assertEqual("resumed after pass" in result.stderr, resumed)


if __name__ == "__main__":
    unittest.main()
