"""als and ials against a dense serial reference in NumPy, f8, written from the formulas in src/algo/als.c."""

import unittest

import h5py
import numpy as np

import harness
from harness import Ratings, random_dataset, read_factors, read_history, run_good, write_dataset

TOLERANCE = 1e-4
OBJECTIVE_TOLERANCE = 1e-6

RANKS = [(n, "auto") for n in (1, 2, 3, 4, 6, 7)]
GRIDS = [(2, "1x2"), (4, "1x4"), (4, "2x2"), (4, "4x1"), (6, "2x3"), (6, "3x2"), (6, "6x1"), (6, "1x6"), (7, "1x7"),
         (7, "7x1")]
SOME = [(1, "auto"), (3, "auto"), (4, "2x2"), (6, "2x3"), (7, "7x1"), (7, "1x7")]


class Problem:
    """The dense weighted problem: for all pairs, a weight C, a wish P, and the diagonal that each row gets."""

    def __init__(self, r, algorithm, lam, scale, alpha):
        stored = ~np.isnan(r)
        r0 = np.where(stored, r, 0)
        if algorithm == "als":
            self.weight, self.wish = stored.astype("f8"), r0
        else:
            self.weight, self.wish = 1 + alpha * np.abs(r0), (r0 > 0).astype("f8")
        counts = stored.sum(axis=1), stored.sum(axis=0)
        self.has_ratings = [c > 0 for c in counts]
        self.diagonal = [lam * c if scale == "count" else np.full(len(c), lam) for c in counts]

    def half_sweep(self, side, fixed):
        weight, wish = (self.weight, self.wish) if side == 0 else (self.weight.T, self.wish.T)
        solved = np.zeros((len(weight), fixed.shape[1]))
        for row in np.flatnonzero(self.has_ratings[side]):
            a = fixed.T @ (weight[row][:, None] * fixed) + self.diagonal[side][row] * np.eye(fixed.shape[1])
            solved[row] = np.linalg.solve(a, fixed.T @ (weight[row] * wish[row]))
        return solved

    def objective(self, x, y):
        loss = (self.weight * (self.wish - x @ y.T) ** 2).sum()
        return loss + self.diagonal[0] @ (x ** 2).sum(1) + self.diagonal[1] @ (y ** 2).sum(1)

    def sweeps(self, y, n):
        """Factors and objectives of n sweeps from item factors y."""
        y, objectives = y.astype("f8"), []
        for _ in range(n):
            x = self.half_sweep(0, y)
            y = self.half_sweep(1, x)
            objectives.append(self.objective(x, y))
        return x, y, objectives


class OracleCase(harness.Case):
    def train(self, data, algorithm, n_ranks=1, grid="auto", scale="none", lam=0.1, alpha=2.5, k=5, iterations=3,
              out="model.h5", **how):
        model = self.out / out
        run_good(n_ranks, "train", data, "-o", model, "--algorithm", algorithm, "--factors", k, "--iterations",
                 iterations, "--lambda", lam, "--lambda-scale", scale, "--alpha", alpha, "--grid", grid, "--quiet",
                 **how)
        return model

    def assertClose(self, found, wanted, tolerance=TOLERANCE):
        self.assertEqual(found.shape, wanted.shape)
        largest = max(np.abs(wanted).max(initial=0), 1e-30)
        self.assertLessEqual(np.abs(found - wanted).max(initial=0) / largest, tolerance)

    def check(self, data, algorithm, layouts, scale="none", lam=0.1, alpha=2.5, k=5, iterations=(3,)):
        """Trains on every layout, and compares factors and history with the reference from the same start."""
        start = read_factors(self.train(data, algorithm, k=k, iterations=0, out="start.h5"))[1]
        problem = Problem(Ratings(data).dense(), algorithm, lam, scale, alpha)
        for n in iterations:
            x, y, objectives = problem.sweeps(start, n)
            for n_ranks, grid in layouts:
                with self.subTest(algorithm=algorithm, scale=scale, k=k, sweeps=n, ranks=n_ranks, grid=grid):
                    model = self.train(data, algorithm, n_ranks, grid, scale, lam, alpha, k, n)
                    found = read_factors(model)
                    self.assertClose(found[0], x)
                    self.assertClose(found[1], y)
                    np.testing.assert_allclose(read_history(model), objectives, rtol=OBJECTIVE_TOLERANCE)


class TestFactors(OracleCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.data = random_dataset(cls.folder / "data.h5", 23, 17, 150)

    def test_start_does_not_depend_on_ranks(self):
        one, three = (read_factors(self.train(self.data, "als", n, iterations=0)) for n in (1, 3))
        for side in range(2):
            np.testing.assert_array_equal(one[side], three[side])
            self.assertAlmostEqual(one[side].std() * 5 ** 0.5, 0.1, delta=0.03)

    def test_als(self):
        self.check(self.data, "als", RANKS + GRIDS, "none")

    def test_als_lambda_times_count(self):
        self.check(self.data, "als", SOME, "count")

    def test_ials(self):
        self.check(self.data, "ials", RANKS + GRIDS, "none")

    def test_ials_lambda_times_count(self):
        self.check(self.data, "ials", SOME, "count")

    def test_one_sweep(self):
        for algorithm in ("als", "ials"):
            self.check(self.data, algorithm, [(1, "auto"), (4, "2x2"), (7, "auto"), (7, "1x7")], iterations=[1])


class TestEdges(OracleCase):
    LAYOUTS = [(1, "auto"), (4, "2x2"), (7, "7x1"), (7, "1x7")]

    def test_more_ranks_than_rows(self):
        data = random_dataset(self.folder / "few.h5", 3, 5, 9)
        for algorithm in ("als", "ials"):
            self.check(data, algorithm, [(1, "auto"), (6, "2x3"), (6, "3x2"), (7, "7x1"), (7, "1x7")], k=2)

    def test_one_factor(self):
        data = random_dataset(self.folder / "one.h5", 19, 13, 90)
        for algorithm in ("als", "ials"):
            self.check(data, algorithm, self.LAYOUTS, k=1)

    def test_seventeen_factors(self):
        data = random_dataset(self.folder / "seventeen.h5", 41, 37, 500)
        self.check(data, "als", self.LAYOUTS, "count", k=17)
        self.check(data, "ials", self.LAYOUTS, "none", k=17)

    def test_one_rating(self):
        data = write_dataset(self.folder / "single.h5", 1, 1, [0], [0], [4.5])
        for algorithm in ("als", "ials"):
            self.check(data, algorithm, self.LAYOUTS, k=3)

    def test_one_rating_among_many_rows(self):
        data = write_dataset(self.folder / "lonely.h5", 8, 11, [5], [7], [2])
        for algorithm in ("als", "ials"):
            self.check(data, algorithm, self.LAYOUTS, k=3)

    def test_rows_that_a_split_empties(self):
        whole = random_dataset(self.folder / "whole.h5", 21, 16, 80)
        data = self.folder / "train.h5"
        run_good(2, "split", whole, "--train", data, "--test", self.folder / "test.h5", "--method", "random",
                 "--fraction", 0.6, "--quiet")
        ratings = Ratings(data)
        self.assertTrue((ratings.degrees == 0).any(), "the split leaves every user a rating: choose another fraction")
        for algorithm in ("als", "ials"):
            self.check(data, algorithm, self.LAYOUTS, scale="count")
            x = read_factors(self.train(data, algorithm, 3))[0]
            self.assertFalse(x[ratings.degrees == 0].any())

    def test_negative_ratings(self):
        data = random_dataset(self.folder / "negative.h5", 15, 12, 90,
                              values=lambda rng, n: rng.integers(-3, 4, n).astype("f4"))
        for algorithm in ("als", "ials"):
            self.check(data, algorithm, self.LAYOUTS)

    def test_large_counts(self):
        data = random_dataset(self.folder / "counts.h5", 30, 20, 250,
                              values=lambda rng, n: np.floor(rng.pareto(0.8, n)).clip(0, 5000) + 1)
        self.check(data, "ials", self.LAYOUTS, alpha=40)


class TestHardSystems(OracleCase):
    """Where few ratings meet many factors, factors are not determined to f4 digits, but their products have to be: 1e-4
    whatever the grid (design.md section 5)."""

    def check_products(self, m, n, nnz, algorithm, k, lam, scale="none", alpha=1):
        data = random_dataset(self.out / "data.h5", m, n, nnz)
        start = read_factors(self.train(data, algorithm, k=k, iterations=0))[1]
        problem = Problem(Ratings(data).dense(), algorithm, lam, scale, alpha)
        x, y, objectives = problem.sweeps(start, 3)
        for n_ranks, grid in ((1, "auto"), (2, "1x2")):
            with self.subTest(ranks=n_ranks, grid=grid):
                model = self.train(data, algorithm, n_ranks, grid, scale, lam, alpha, k)
                found = read_factors(model)
                self.assertClose(found[0] @ found[1].T, x @ y.T)
                self.assertAlmostEqual(read_history(model)[-1] / objectives[-1], 1, delta=1e-5)

    def test_als_with_small_lambda(self):
        self.check_products(100, 80, 1500, "als", 17, 0.01)

    def test_als_with_many_factors(self):
        self.check_products(300, 200, 6000, "als", 64, 0.1)

    def test_ials_with_many_factors(self):
        self.check_products(100, 80, 1500, "ials", 64, 0.1, alpha=40)

    def test_ials_with_more_factors_than_items(self):
        self.check_products(19, 13, 90, "ials", 17, 0.1, alpha=2.5)


class TestObjective(OracleCase):
    def test_is_that_of_the_stored_factors_and_never_rises(self):
        data = random_dataset(self.folder / "data.h5", 60, 45, 700)
        for algorithm in ("als", "ials"):
            for n_ranks, grid in ((2, "auto"), (4, "2x2")):
                with self.subTest(algorithm=algorithm, ranks=n_ranks, grid=grid):
                    model = self.train(data, algorithm, n_ranks, grid, "count", lam=0.05, k=8, iterations=15)
                    history = read_history(model)
                    x, y = (f.astype("f8") for f in read_factors(model))
                    problem = Problem(Ratings(data).dense(), algorithm, 0.05, "count", 2.5)
                    self.assertAlmostEqual(history[-1] / problem.objective(x, y), 1, delta=OBJECTIVE_TOLERANCE)
                    self.assertEqual(len(history), 15)
                    self.assertTrue((np.diff(history) <= OBJECTIVE_TOLERANCE * history[:-1]).all(), history)
                    regularisation = problem.diagonal[0] @ (x ** 2).sum(1) + problem.diagonal[1] @ (y ** 2).sum(1)
                    loss = read_history(model, "loss")[-1]
                    self.assertAlmostEqual((history[-1] - loss) / regularisation, 1, delta=1e-5)

    def test_gram_of_ials_is_that_of_the_item_factors(self):
        data = random_dataset(self.folder / "gram.h5", 20, 33, 200)
        model = self.train(data, "ials", 3, k=7)
        y = read_factors(model)[1].astype("f8")
        with h5py.File(model) as f:
            np.testing.assert_allclose(f["items/gram"][()], y.T @ y, rtol=1e-12, atol=1e-12)


class TestSameBits(OracleCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.data = random_dataset(cls.folder / "data.h5", 90, 70, 1500)

    def pair(self, algorithm, n_ranks, grid, threads, **env):
        """Two runs alike, in two folders, so that even the command line is the same."""
        models = []
        for name in ("a", "b"):
            folder = self.out / f"{algorithm}-{n_ranks}-{grid}-{threads}-{name}"
            folder.mkdir()
            run_good(n_ranks, "train", self.data, "-o", "model.h5", "--algorithm", algorithm, "--factors", 12,
                     "--iterations", 3, "--grid", grid, "--quiet", cwd=folder,
                     env={"OMP_NUM_THREADS": str(threads), **env})
            models.append(folder / "model.h5")
        return models

    def test_factors_of_two_runs(self):
        for n_ranks, grid, threads in ((1, "auto", 2), (3, "auto", 1), (4, "2x2", 1), (2, "1x2", 2)):
            for algorithm in ("als", "ials"):
                with self.subTest(algorithm=algorithm, ranks=n_ranks, grid=grid, threads=threads):
                    a, b = map(read_factors, self.pair(algorithm, n_ranks, grid, threads))
                    for side in range(2):
                        self.assertEqual(a[side].tobytes(), b[side].tobytes())

    def test_fewer_threads_than_asked_for(self):
        """OpenMP may give a team fewer threads; their share of the work must not be lost."""
        for algorithm in ("als", "ials"):
            full = read_history(self.pair(algorithm, 1, "auto", 4)[0])
            for limit in (1, 3):
                model = self.out / "limited.h5"
                run_good(1, "train", self.data, "-o", model, "--algorithm", algorithm, "--factors", 12, "--iterations", 3,
                         "--quiet", env={"OMP_NUM_THREADS": "4", "OMP_THREAD_LIMIT": str(limit)})
                np.testing.assert_allclose(read_history(model), full, rtol=1e-9)

    def test_whole_files_where_the_date_is_given(self):
        for n_ranks, grid, threads in ((1, "auto", 1), (4, "2x2", 1), (3, "auto", 2)):
            for algorithm in ("als", "ials"):
                with self.subTest(algorithm=algorithm, ranks=n_ranks, grid=grid, threads=threads):
                    a, b = self.pair(algorithm, n_ranks, grid, threads, SOURCE_DATE_EPOCH="0")
                    self.assertEqual(a.read_bytes(), b.read_bytes())


if __name__ == "__main__":
    unittest.main()
