"""als and ials against a dense serial reference in NumPy, f8, written from the formulas in src/algo/als.c."""

import dataclasses
import unittest

import h5py
import numpy as np
import scipy.optimize

import harness
from harness import Ratings, random_dataset, read_factors, read_history, run_good, shortened, write_dataset

TOLERANCE = 1e-5
OBJECTIVE_TOLERANCE = 1e-6

RANKS = shortened([(n, "auto") for n in (1, 2, 3, 4, 6, 7)], [(1, "auto"), (3, "auto")])
GRIDS = shortened([(2, "1x2"), (4, "1x4"), (4, "2x2"), (4, "4x1"), (6, "2x3"), (6, "3x2"), (6, "6x1"), (6, "1x6"), (7, "1x7"),
                   (7, "7x1")], [(2, "1x2"), (6, "2x3")])
# "N:RxC": rows of both sides with at least N ratings on a grid of their own; all rows have one, few have many.
HEAVY = shortened([(2, "8:1x2"), (3, "8:1x3"), (4, "8:2x2"), (4, "1:2x2"), (4, "10:1x4"), (6, "8:2x3"), (6, "8:3x2"),
                   (6, "1:1x6")], [(2, "1:1x2"), (4, "8:2x2")])
SOME_HEAVY = [(4, "8:2x2"), (6, "8:2x3")]
SOME = shortened([(1, "auto"), (3, "auto"), (4, "2x2"), (6, "2x3"), (7, "7x1"), (7, "1x7")], [(4, "2x2")])


@dataclasses.dataclass(frozen=True)
class Settings:
    """The options of a run that are mathematics."""

    algorithm: str = "als"
    lam: float = 0.1
    scale: str = "none"
    exponent: float = 1.0
    loss: str = "hkv"
    alpha: float = 2.5
    alpha0: float = 0.3
    bias: bool = False
    lambda_bias: float = 0.2
    center: str = "none"
    nonnegative: bool = False
    solver: str = "auto"
    cg_steps: int = 2000
    relaxation: float = 1.0
    k: int = 5

    def arguments(self):
        words = ["--algorithm", self.algorithm, "--factors", self.k, "--lambda", self.lam, "--lambda-scale", self.scale,
                 "--lambda-exponent", self.exponent, "--solver", self.solver, "--cg-steps", self.cg_steps,
                 "--relaxation", self.relaxation]
        if self.algorithm == "ials":
            words += ["--loss", self.loss, "--alpha", self.alpha, "--alpha0", self.alpha0]
        else:
            words += ["--center", self.center, "--lambda-bias", self.lambda_bias, *(["--bias"] if self.bias else [])]
        return words + (["--nonnegative"] if self.nonnegative else [])


class Problem:
    """The dense problem. A row's matrix is shared * F'F + F' diag(W) F + its diagonal, its right-hand side F' T, with F
    the features of the other side: its factors, and with biases its own bias and a 1."""

    def __init__(self, r, settings, v=None):
        self.settings, self.stored = settings, ~np.isnan(r)
        v = np.where(self.stored, 1.0 if v is None else v, 0)
        r = np.where(self.stored, r, 0)
        self.mean = (v * r).sum() / v.sum() if settings.center == "global" else 0.0
        self.r, self.v = np.where(self.stored, r - self.mean, 0), v
        liked, alpha = (r > 0).astype("f8"), settings.alpha
        loss = "squared" if settings.algorithm == "als" else settings.loss
        self.shared, self.weight, self.target = {
            "squared": (0, v, v * self.r),
            "hkv": (1, alpha * np.abs(v * r), liked * (1 + alpha * v * r)),
            "implicit": (1, np.where(self.stored, np.abs(alpha * v * r) - 1, 0), liked * alpha * v * r),
            "ials": (settings.alpha0, v * (r != 0), liked * v)}[loss]
        self.liked, self.loss_name = liked, loss
        counts = self.stored.sum(axis=1), self.stored.sum(axis=0)
        self.has_ratings = [c > 0 for c in counts]
        bases = [np.ones(len(c)) if settings.scale == "none" else
                 c + (self.shared * len(counts[1 - s]) if settings.scale == "ials" else 0) for s, c in enumerate(counts)]
        self.scales = [np.where(c > 0, b, 0.0) ** settings.exponent for b, c in zip(bases, counts)]

    def loss(self, predicted):
        """Of all pairs, each loss as its paper has it."""
        if self.loss_name == "squared":
            return (self.v * (self.r - predicted) ** 2).sum()
        if self.loss_name == "ials":
            observed = self.weight * (self.liked - predicted) ** 2
            return observed.sum() + self.settings.alpha0 * (predicted ** 2).sum()
        confidence = 1 + self.weight  # of unobserved pairs 1
        return (confidence * (self.liked - predicted) ** 2).sum()

    def half_sweep(self, side, fixed, fixed_bias):
        transposed = [a if side == 0 else a.T for a in (self.weight, self.target)]
        k, bias = fixed.shape[1], self.settings.bias
        features = np.hstack([fixed, np.ones((len(fixed), 1))]) if bias else fixed
        solved = np.zeros((len(transposed[0]), features.shape[1]))
        for row in np.flatnonzero(self.has_ratings[side]):
            w, t = (a[row] for a in transposed)
            if bias:
                t = t - w * fixed_bias
            a = features.T @ (w[:, None] * features) + self.shared * features.T @ features
            diagonal = np.append(np.full(k, self.settings.lam), [self.settings.lambda_bias] * bias)
            a += np.diag(self.scales[side][row] * diagonal)
            solved[row] = self.minimize(a, features.T @ t, k)
        return solved[:, :k], solved[:, k] if bias else np.zeros(len(solved))

    def minimize(self, a, b, k):
        if not self.settings.nonnegative:
            return np.linalg.solve(a, b)
        root = np.linalg.cholesky(a)
        lower = np.where(np.arange(len(b)) < k, 0, -np.inf)  # biases may have any sign
        return scipy.optimize.lsq_linear(root.T, np.linalg.solve(root, b), (lower, np.inf), method="bvls", tol=1e-15).x

    def objective(self, x, y, bx, by):
        predicted = x @ y.T + bx[:, None] + by
        squares = [self.settings.lam * (f ** 2).sum(1) + self.settings.lambda_bias * b ** 2 for f, b in ((x, bx), (y, by))]
        return self.loss(predicted) + self.scales[0] @ squares[0] + self.scales[1] @ squares[1]

    def sweeps(self, y, n):
        """Factors, biases and objectives of n sweeps from item factors y."""
        y, by, objectives = y.astype("f8"), np.zeros(len(y)), []
        x, bx = np.zeros((len(self.r), y.shape[1])), np.zeros(len(self.r))
        for sweep in range(n):
            omega = 1 + (self.settings.relaxation - 1) * min(sweep / 2, 1)
            x, bx = (old + omega * (new - old) for old, new in zip((x, bx), self.half_sweep(0, y, by)))
            y, by = (old + omega * (new - old) for old, new in zip((y, by), self.half_sweep(1, x, bx)))
            objectives.append(self.objective(x, y, bx, by))
        return x, y, bx, by, objectives


def read_biases(model):
    with h5py.File(model) as f:
        return [f[side + "/bias"][()] for side in ("users", "items")]


class OracleCase(harness.Case):
    def train(self, data, settings, n_ranks=1, grid="auto", iterations=3, out="model.h5", **how):
        model = self.out / out
        layout = ["--heavy-users", grid, "--heavy-items", grid] if ":" in grid else ["--grid", grid]
        run_good(n_ranks, "train", data, "-o", model, *settings.arguments(), "--iterations", iterations, *layout,
                 "--quiet", **how)
        return model

    def assertClose(self, found, wanted, tolerance=TOLERANCE):
        self.assertEqual(found.shape, wanted.shape)
        largest = max(np.abs(wanted).max(initial=0), 1e-30)
        self.assertLessEqual(np.abs(found - wanted).max(initial=0) / largest, tolerance)

    def check(self, data, settings, layouts, iterations=(3,), tolerance=TOLERANCE):
        """Trains on every layout, and compares factors and history with the reference from the same start."""
        start = read_factors(self.train(data, settings, iterations=0, out="start.h5"))[1]
        ratings = Ratings(data)
        problem = Problem(ratings.dense(), settings, ratings.dense_weights())
        for n in iterations:
            x, y, bx, by, objectives = problem.sweeps(start, n)
            for n_ranks, grid in layouts:
                with self.subTest(settings=settings, sweeps=n, ranks=n_ranks, grid=grid):
                    model = self.train(data, settings, n_ranks, grid, n)
                    found = read_factors(model)
                    self.assertClose(found[0], x, tolerance)
                    self.assertClose(found[1], y, tolerance)
                    if settings.bias:
                        self.assertClose(read_biases(model)[0], bx, tolerance)
                        self.assertClose(read_biases(model)[1], by, tolerance)
                    with h5py.File(model) as f:
                        self.assertAlmostEqual(f.attrs["global_mean"], problem.mean, places=6)
                        self.assertEqual("bias" in f["users"], settings.bias)
                    np.testing.assert_allclose(read_history(model), objectives, rtol=OBJECTIVE_TOLERANCE)


class TestFactors(OracleCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.data = random_dataset(cls.folder / "data.h5", 23, 17, 150)

    def test_start_does_not_depend_on_ranks(self):
        one, three = (read_factors(self.train(self.data, Settings(), n, iterations=0)) for n in (1, 3))
        for side in range(2):
            np.testing.assert_array_equal(one[side], three[side])
            self.assertAlmostEqual(one[side].std() * 5 ** 0.5, 0.1, delta=0.03)

    def test_als(self):
        self.check(self.data, Settings(), RANKS + GRIDS + HEAVY)

    def test_als_lambda_times_count(self):
        self.check(self.data, Settings(scale="count"), SOME)

    def test_ials(self):
        self.check(self.data, Settings("ials"), RANKS + GRIDS + HEAVY)

    def test_ials_lambda_times_count(self):
        self.check(self.data, Settings("ials", scale="count"), SOME)

    def test_one_sweep(self):
        for algorithm in ("als", "ials"):
            self.check(self.data, Settings(algorithm), [(1, "auto"), (4, "2x2"), (7, "auto"), (7, "1x7")], iterations=[1])


class TestFamily(OracleCase):
    """Losses, scales, biases, weights, signs, solvers: each in every combination that has a meaning of its own."""

    FEW = shortened([(1, "auto"), (3, "auto"), (4, "2x2"), (4, "11:2x2")], [(4, "11:2x2")])

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.data = random_dataset(cls.folder / "data.h5", 31, 24, 300)
        cls.signed = random_dataset(cls.folder / "signed.h5", 31, 24, 300,
                                    values=lambda rng, n: rng.choice([-2.0, -1, 0, 1, 2, 5], n))
        cls.weighted = random_dataset(cls.folder / "weighted.h5", 31, 24, 300,
                                      weights=lambda rng, n: rng.choice([0.5, 1, 2, 3.25], n))

    def test_losses_and_scales(self):
        for loss in ("hkv", "implicit", "ials"):
            for scale, exponent in (("none", 1), ("count", 1), ("count", 0.5), ("ials", 1), ("ials", 0.7)):
                settings = Settings("ials", 0.05, scale, exponent, loss)
                self.check(self.data, settings, self.FEW if exponent != 1 else [(2, "auto")])

    def test_als_scales(self):
        for scale, exponent in (("count", 0.5), ("ials", 1)):
            self.check(self.data, Settings("als", 0.05, scale, exponent), [(2, "auto"), (2, "1x2")])

    def test_dislikes(self):
        for loss in ("hkv", "ials"):
            self.check(self.signed, Settings("ials", loss=loss), self.FEW)

    def test_biases(self):
        for scale in ("none", "count"):
            for center in ("none", "global"):
                where = SOME if center == "global" and scale == "count" else shortened([(2, "auto"), (4, "2x2")], [(4, "2x2")])
                self.check(self.data, Settings(scale=scale, bias=True, center=center), where)

    def test_center_alone(self):
        self.check(self.data, Settings(center="global", scale="count"), self.FEW)

    def test_nonnegative(self):
        self.check(self.data, Settings(nonnegative=True), self.FEW)
        self.check(self.data, Settings(nonnegative=True, bias=True, center="global"), self.FEW)
        for loss in ("hkv", "ials"):
            self.check(self.signed, Settings("ials", loss=loss, nonnegative=True), self.FEW)

    def test_solvers(self):
        """Every solver comes to the same place. Rows here have 6 to 18 ratings, so that auto takes duals for 30 factors;
        as there are more factors than ratings, f4 determines them less well. On several columns cg folds its vectors."""
        for solver in ("cholesky", "auto", "cg"):
            where = shortened([(1, "auto"), (3, "auto")], [(2, "auto")])
            where = where + shortened([(4, "2x2"), (4, "11:1x4"), (6, "11:2x3")], [(4, "11:1x4")]) * (solver == "cg")
            for base in (Settings(scale="count", k=30), Settings(scale="count", k=30, bias=True, center="global"),
                         Settings("ials", k=30), Settings("ials", 0.01, "ials", loss="ials", k=30)):
                self.check(self.data, dataclasses.replace(base, solver=solver), where, tolerance=3e-5)

    def test_exact_by_folded_vectors(self):
        """auto solves heavy rows by conjugate gradients where they converge in fewer bytes than their matrix has, and by
        the matrix where they do not: 40 and 95 factors are enough for als and ials to try."""
        for settings in (Settings(scale="count", k=40), Settings(scale="count", k=40, bias=True, center="global"),
                         Settings("ials", 5.0, k=95), Settings("ials", 0.3, "ials", loss="ials", k=95)):
            self.check(self.weighted, settings, [(2, "12:1x2"), (4, "12:2x2"), (3, "1:1x3")], tolerance=3e-5)

    def test_weights(self):
        for settings in (Settings(), Settings(bias=True, center="global"), Settings("ials"), Settings("ials", loss="implicit"),
                         Settings("ials", loss="ials"), Settings(k=30, scale="count")):
            self.check(self.weighted, settings, self.FEW)

    def test_few_steps_of_cg(self):
        """Objectives are those of the factors, solved or not, and go down from sweep to sweep."""
        for base in (Settings(scale="count", k=12, bias=True, center="global"), Settings("ials", k=12)):
            settings = dataclasses.replace(base, solver="cg", cg_steps=1)
            problem = Problem(Ratings(self.data).dense(), settings)
            for n_ranks, grid in ((2, "auto"), (4, "2x2"), (3, "11:1x3")):
                model = self.train(self.data, settings, n_ranks, grid, iterations=8)
                history, (x, y) = read_history(model), read_factors(model)
                biases = read_biases(model) if base.bias else (np.zeros(len(x)), np.zeros(len(y)))
                self.assertAlmostEqual(history[-1] / problem.objective(x, y, *biases), 1, delta=OBJECTIVE_TOLERANCE)
                self.assertTrue((np.diff(history) < 0).all(), history)

    def test_hkv_and_ials_on_binary_data(self):
        """alpha0 = 1 / alpha and lambda' = lambda / (1 + alpha): the same minimizers but for a factor, so the same
        rankings (peers of both families quote their parameters in one of the two)."""
        data = random_dataset(self.out / "binary.h5", 40, 30, 300, values=lambda rng, n: np.ones(n))
        alpha, lam = 4.0, 2.0
        scores = []
        for settings in (Settings("ials", lam, alpha=alpha, k=6),
                         Settings("ials", lam / (1 + alpha), loss="ials", alpha0=1 / alpha, k=6)):
            x, y = read_factors(self.train(data, settings, iterations=400))
            scores.append(x @ y.T)
        np.testing.assert_allclose(scores[1] * (1 + 1 / alpha), scores[0], atol=2e-4)


class TestEdges(OracleCase):
    LAYOUTS = shortened([(1, "auto"), (4, "2x2"), (7, "7x1"), (7, "1x7")], [(4, "2x2")])

    def check_both(self, data, layouts, **settings):
        for algorithm in ("als", "ials"):
            self.check(data, Settings(algorithm, **settings), layouts)

    def test_more_ranks_than_rows(self):
        data = random_dataset(self.folder / "few.h5", 3, 5, 9)
        self.check_both(data, shortened([(1, "auto"), (6, "2x3"), (6, "3x2"), (7, "7x1"), (7, "1x7")],
                                        [(6, "2x3"), (7, "auto")]), k=2)

    def test_one_factor(self):
        self.check_both(random_dataset(self.folder / "one.h5", 19, 13, 90), self.LAYOUTS, k=1)

    def test_seventeen_factors(self):
        data = random_dataset(self.folder / "seventeen.h5", 41, 37, 500)
        self.check(data, Settings("als", scale="count", k=17), self.LAYOUTS)
        self.check(data, Settings("ials", k=17), self.LAYOUTS)

    def test_one_rating(self):
        self.check_both(write_dataset(self.folder / "single.h5", 1, 1, [0], [0], [4.5]), self.LAYOUTS, k=3)

    def test_one_rating_among_many_rows(self):
        data = write_dataset(self.folder / "lonely.h5", 8, 11, [5], [7], [2])
        self.check_both(data, self.LAYOUTS, k=3)
        self.check(data, Settings(bias=True, center="global"), self.LAYOUTS)

    def test_rows_that_a_split_empties(self):
        whole = random_dataset(self.folder / "whole.h5", 21, 16, 80)
        data = self.folder / "train.h5"
        run_good(2, "split", whole, "--train", data, "--test", self.folder / "test.h5", "--method", "random",
                 "--fraction", 0.6, "--quiet")
        ratings = Ratings(data)
        self.assertTrue((ratings.degrees == 0).any(), "the split leaves every user a rating: choose another fraction")
        for algorithm in ("als", "ials"):
            settings = Settings(algorithm, scale="count", bias=algorithm == "als")
            self.check(data, settings, self.LAYOUTS)
            model = self.train(data, settings, 3)
            self.assertFalse(read_factors(model)[0][ratings.degrees == 0].any())
            if settings.bias:
                self.assertFalse(read_biases(model)[0][ratings.degrees == 0].any())

    def test_negative_ratings(self):
        data = random_dataset(self.folder / "negative.h5", 15, 12, 90,
                              values=lambda rng, n: rng.integers(-3, 4, n).astype("f4"))
        self.check_both(data, self.LAYOUTS)

    def test_large_counts(self):
        data = random_dataset(self.folder / "counts.h5", 30, 20, 250,
                              values=lambda rng, n: np.floor(rng.pareto(0.8, n)).clip(0, 5000) + 1)
        self.check(data, Settings("ials", alpha=40), self.LAYOUTS)


class TestHardSystems(OracleCase):
    """Where few ratings meet many factors, factors are not determined to f4 digits, but their products have to be: 1e-4
    whatever the grid (design.md section 5)."""

    def check_products(self, m, n, nnz, settings):
        data = random_dataset(self.out / "data.h5", m, n, nnz)
        start = read_factors(self.train(data, settings, iterations=0))[1]
        x, y, _, _, objectives = Problem(Ratings(data).dense(), settings).sweeps(start, 3)
        for n_ranks, grid in shortened(((1, "auto"), (2, "1x2")), ((2, "1x2"),)):
            with self.subTest(ranks=n_ranks, grid=grid):
                model = self.train(data, settings, n_ranks, grid)
                found = read_factors(model)
                self.assertClose(found[0] @ found[1].T, x @ y.T, 1e-4)
                self.assertAlmostEqual(read_history(model)[-1] / objectives[-1], 1, delta=1e-5)

    def test_als_with_small_lambda(self):
        for solver in ("auto", "cholesky"):
            self.check_products(100, 80, 1500, Settings(lam=0.01, k=17, solver=solver))

    def test_als_with_many_factors(self):
        for solver in ("auto", "cholesky"):
            self.check_products(300, 200, 6000, Settings(lam=0.1, k=64, solver=solver))

    def test_ials_with_many_factors(self):
        for solver in ("auto", "cholesky"):
            self.check_products(100, 80, 1500, Settings("ials", alpha=40, k=64, solver=solver))

    def test_ials_with_more_factors_than_items(self):
        self.check_products(19, 13, 90, Settings("ials", k=17))


class TestObjective(OracleCase):
    def test_is_that_of_the_stored_factors_and_never_rises(self):
        data = random_dataset(self.folder / "data.h5", 60, 45, 700)
        for settings in (Settings(lam=0.05, scale="count", k=8), Settings("ials", 0.05, "count", k=8),
                         Settings(lam=0.05, scale="count", k=8, bias=True, center="global"),
                         Settings(lam=0.05, scale="count", k=8, nonnegative=True),
                         Settings("ials", 0.003, "ials", loss="ials", k=8), Settings("ials", 0.05, loss="implicit", k=8)):
            for n_ranks, grid in shortened(((2, "auto"), (4, "2x2")), ((2, "1x2"),)):
                with self.subTest(settings=settings, ranks=n_ranks, grid=grid):
                    model = self.train(data, settings, n_ranks, grid, iterations=15)
                    history = read_history(model)
                    x, y = (f.astype("f8") for f in read_factors(model))
                    bx, by = read_biases(model) if settings.bias else (np.zeros(len(x)), np.zeros(len(y)))
                    problem = Problem(Ratings(data).dense(), settings)
                    self.assertAlmostEqual(history[-1] / problem.objective(x, y, bx, by), 1, delta=OBJECTIVE_TOLERANCE)
                    self.assertEqual(len(history), 15)
                    self.assertTrue((np.diff(history) <= OBJECTIVE_TOLERANCE * history[:-1]).all(), history)
                    loss = problem.loss(x @ y.T + bx[:, None] + by)
                    self.assertAlmostEqual(read_history(model, "loss")[-1] / loss, 1, delta=1e-5)

    def test_gram_of_ials_is_that_of_the_item_factors(self):
        data = random_dataset(self.folder / "gram.h5", 20, 33, 200)
        model = self.train(data, Settings("ials", k=7), 3)
        y = read_factors(model)[1].astype("f8")
        with h5py.File(model) as f:
            np.testing.assert_allclose(f["items/gram"][()], y.T @ y, rtol=1e-12, atol=1e-12)


@unittest.skipIf(harness.SANITIZED, "the same runs as elsewhere, twice")
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


class TestDeterministic(OracleCase):
    def test_bits_do_not_depend_on_ranks_or_threads(self):
        data = random_dataset(self.folder / "data.h5", 90, 70, 1500, weights=lambda rng, n: rng.choice([0.5, 1, 3], n))
        for settings in (Settings(bias=True, center="global", scale="count", k=12), Settings("ials", k=12),
                         Settings(k=12, solver="cg", cg_steps=3), Settings("ials", k=12, nonnegative=True),
                         Settings("ials", 0.003, "ials", loss="ials", k=12, solver="cg", cg_steps=2)):
            seen = set()
            for n_ranks, threads in shortened(((1, 1), (1, 2), (2, 1), (3, 2), (4, 1), (6, 1), (7, 1)), ((1, 1), (3, 2))):
                model = self.out / "model.h5"
                run_good(n_ranks, "train", data, "-o", model, *settings.arguments(), "--iterations", 4, "--deterministic",
                         "--threads", threads, "--quiet")
                with h5py.File(model) as f:
                    arrays = [f[name][()].tobytes() for name in ("users/factors", "items/factors", "history/objective",
                                                                 "history/loss")]
                    if "gram" in f["items"]:
                        arrays.append(f["items/gram"][()].tobytes())
                    seen.add((b"".join(arrays), float(f.attrs["global_mean"])))
            self.assertEqual(len(seen), 1, settings)

    def test_needs_one_column(self):
        data = random_dataset(self.folder / "small.h5", 9, 7, 20)
        result = harness.run(2, "train", data, "-o", self.out / "m.h5", "--algorithm", "als", "--deterministic", "--grid", "1x2")
        self.assertEqual(result.rc, 64)
        self.assertIn("--deterministic needs a grid of one column", result.messages()[0])


if __name__ == "__main__":
    unittest.main()
