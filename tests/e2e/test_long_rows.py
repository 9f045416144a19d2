"""One row of more than 100,000 ratings among short ones: the same bits for any number of threads, and work for all of them."""

import re
import unittest

import h5py
import numpy as np

import harness
from harness import run_good, write_dataset

N_USERS, N_ITEMS, PER_USER = 101_000, 300, 2


def dataset(path, weighted):
    """Item 0 by every user, and two others."""
    rng = np.random.default_rng(5)
    items = np.column_stack([np.zeros(N_USERS, int), rng.integers(1, 150, N_USERS), rng.integers(150, N_ITEMS, N_USERS)])
    n = items.size
    write_dataset(path, N_USERS, N_ITEMS, np.repeat(np.arange(N_USERS), PER_USER + 1), items.ravel(),
                  rng.integers(1, 6, n).astype("f4"),
                  weights=rng.choice([0.5, 1, 2], n).astype("f4") if weighted else None)
    return path


class LongRows(harness.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.plain = dataset(cls.folder / "plain.h5", False)
        cls.weighted = dataset(cls.folder / "weighted.h5", True)

    def bits(self, data, n_ranks, threads, options):
        model = self.out / "model.h5"
        run_good(n_ranks, "train", data, "-o", model, "--factors", 12, "--iterations", 1, "--no-seen", "--threads", threads,
                 "--quiet", *options)
        with h5py.File(model) as f:
            names = [name for name in ("users/factors", "items/factors", "users/bias", "items/bias") if name in f]
            return [f[name][:].tobytes() for name in names] + [f["history/objective"][-1]]

    def check(self, data, n_ranks, *options):
        first = self.bits(data, n_ranks, 1, options)
        for threads in (2, 3):
            with self.subTest(options=options, n_ranks=n_ranks, threads=threads):
                self.assertTrue(first == self.bits(data, n_ranks, threads, options), "bits depend on threads")

    def test_solvers_and_losses(self):
        for data, options in ((self.plain, ["--algorithm", "ials"]),
                              (self.plain, ["--algorithm", "als", "--bias", "--solver", "cg"]),
                              (self.weighted, ["--algorithm", "ials", "--loss", "ials", "--solver", "cg"]),
                              (self.weighted, ["--algorithm", "als", "--bias", "--solver", "cholesky"]),
                              (self.plain, ["--algorithm", "als", "--nonnegative"])):
            self.check(data, 1, *options)

    def test_heavy_rows(self):
        """A rank's part of the heavy row goes to its threads, too: by matrices and by vectors."""
        for solver in ("cholesky", "cg", "auto"):
            self.check(self.plain, 2, "--algorithm", "ials", "--heavy-items", "5000:1x2", "--solver", solver)

    def test_work_of_threads(self):
        """The log tells how evenly threads worked; what it tells depends on who else works on the machine."""
        for n_ranks, more in ((1, []), (2, ["--heavy-items", "5000:1x2"])):
            result = run_good(n_ranks, "train", self.plain, "-o", self.out / "model.h5", "--algorithm", "ials", "--factors", 128,
                              "--solver", "cholesky", "--iterations", 1, "--no-seen", "--roofline", "--threads", 2, *more)
            said = re.search(r"busiest thread of a rank worked ([0-9.]+) times the mean of its threads at users, ([0-9.]+) at",
                             result.stderr)
            self.assertIsNotNone(said, str(result))
            for side in (1, 2):
                self.assertTrue(1 <= float(said[side]) <= 2, said[0])
            print(n_ranks, "ranks:", said[0], "items", flush=True)


if __name__ == "__main__":
    unittest.main()
