"""train --algorithm svd against NumPy's dense and SciPy's sparse decompositions, and its certificates against its model."""

import json
import re
import unittest

import h5py
import numpy as np
import scipy.sparse.linalg

import harness

GRIDS = [(ranks, f"{rows}x{ranks // rows}") for ranks in (1, 2, 3, 4, 6) for rows in range(1, ranks + 1) if ranks % rows == 0]


def sparse_random(m, n, share, seed):
    rng = np.random.default_rng(seed)
    return np.where(rng.random((m, n)) < share, rng.integers(1, 11, (m, n)) / 2, 0)


def power_law(m, n, seed):
    rng = np.random.default_rng(seed)
    p = np.outer(np.arange(1, m + 1.0) ** -0.5, np.arange(1, n + 1.0) ** -0.8)
    return np.where(rng.random((m, n)) < np.minimum(1, 2 * p), rng.integers(1, 6, (m, n)), 0).astype(float)


def graded(m, n, seed):
    """Singular values from 1 down to 1e-9 and less; powers of two keep it exact in f4."""
    return sparse_random(m, n, 0.4, seed) * 2.0 ** -np.linspace(0, 31, n).round()


def repeated(copies, seed):
    """Each singular value as often as there are copies: more often than the block has vectors."""
    return np.kron(np.eye(copies), sparse_random(5, 4, 0.8, seed))


def clustered(seed):
    """Singular values in groups of six, 1e-6 apart."""
    a = sparse_random(12, 9, 0.6, seed)
    return np.concatenate([np.kron(np.eye(6)[[j]], a * (1 + j * 2.0 ** -20)) for j in range(6)]).astype("f4").astype(float)


def deficient(m, n, rank, seed):
    rng = np.random.default_rng(seed)
    a = rng.integers(-2, 3, (m, rank)) @ rng.integers(-2, 3, (rank, n)).astype(float)
    a[::7] = 0  # users without ratings
    return a


def outlier(m, n, seed):
    """One rating dwarfs the others, whose singular values lie close together."""
    a = sparse_random(m, n, 0.2, seed)
    a[3, 5] = 2.0 ** 20
    return a


CASES = {
    "random": sparse_random(70, 50, 0.2, 1),
    "power law": power_law(90, 60, 2),
    "graded": graded(64, 48, 3),
    "outlier": outlier(110, 90, 8),
    "repeated": repeated(12, 4),
    "clustered": clustered(9),
    "deficient": deficient(55, 40, 3, 5),
    "tall": sparse_random(150, 7, 0.5, 6),
    "wide": sparse_random(6, 130, 0.5, 7),
}


def centered(a, how):
    rows, columns, mean = a.mean(1, keepdims=True), a.mean(0, keepdims=True), a.mean()
    return a - {"none": 0, "global": mean, "user": rows, "item": columns, "both": rows + columns - mean}[how]


class Model:
    """What a model file says."""

    def __init__(self, path):
        with h5py.File(path) as f:
            self.s = f["singular_values"][()]
            x, y = f["users/factors"], f["items/factors"]
            assert x.dtype == y.dtype == np.dtype("f8"), "factors are f8"
            self.x, self.y = x[()], y[()]
            self.residuals = {name: f[name][()] for name in ("residuals", "residuals_users", "residuals_items")}
            self.bias = [f[side + "/bias"][()] if side + "/bias" in f else 0 for side in ("users", "items")]
            self.attrs = dict(f.attrs)
            self.spectrum = f["spectrum"][()] if "spectrum" in f else None
            self.iterations, self.products = len(f["history/iteration"]), f["history/products"][()]
        power = np.where(self.s > 0, self.s, 1)
        self.u, self.v = (self.x / power, self.y) if self.attrs["scaling"] == "usv" else (
            self.x / np.sqrt(power), self.y / np.sqrt(power))

    def scores(self):
        bias = np.add.outer(*self.bias) if np.ndim(self.bias[0]) else 0
        return self.x @ self.y.T + bias + self.attrs["global_mean"]


class SvdCase(harness.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.data = {}
        for name, a in CASES.items():
            u, i = np.nonzero(a)
            cls.data[name] = harness.write_dataset(cls.folder / (name.replace(" ", "-") + ".h5"), *a.shape, u, i, a[u, i])

    def train(self, name, *options, ranks=1, grid="auto"):
        path = self.out / "model.h5"
        self.run_ = harness.run_good(ranks, "train", self.data[name], "-o", path, "--algorithm", "svd", "--grid", grid, *options)
        return Model(path)

    def check(self, a, model, residual=1e-10):
        """Everything that is promised, for a matrix that NumPy decomposes as well."""
        k = len(model.s)
        u, s, vt = np.linalg.svd(a, full_matrices=False)
        top = s[0] if s[0] > 0 else 1
        self.assertLess(np.abs(model.s - s[:k]).max(), 1e-10 * top)
        large = s[:k] > 1e-4 * top
        np.testing.assert_allclose(model.s[large], s[:k][large], rtol=1e-10)
        self.assertLess(np.linalg.norm(a @ model.v - model.u_full(a) * model.s, axis=0).max(), residual * top)
        self.assertLess(np.linalg.norm(a.T @ model.u_full(a) - model.v * model.s, axis=0).max(), residual * top)
        self.assertLess(np.linalg.norm(model.v.T @ model.v - np.eye(k)), 1e-12)
        gap = s[k - 1] - (s[k] if k < len(s) else 0)
        if gap > 1e-3 * top:
            self.assertLess(np.linalg.norm(vt[:k].T - model.v @ (model.v.T @ vt[:k].T)), 1e-8)
            self.assertLess(np.linalg.norm(u[:, :k] - model.u @ (model.u.T @ u[:, :k])), 1e-8)
        size = np.abs(model.v)
        first = (size >= (1 - 1e-8) * size.max(axis=0)).argmax(axis=0)
        self.assertTrue((model.v[first, range(k)] > 0).all(), "the first of the largest entries of v is positive")

    def u_rows(self, model):
        positive = model.s > 1e-10 * model.s[0]
        return model.u[:, positive]


def u_full(self, a):
    """U, whose columns for zero singular values the file does not hold: any unit vector orthogonal to A serves."""
    u = self.u.copy()
    zero = self.s <= 1e-10 * max(self.s[0], 1e-300)
    if zero.any():
        u[:, zero] = 0
    return u


Model.u_full = u_full


class TestAgainstDense(SvdCase):
    def test_every_grid(self):
        """Krylov, to 1e-12, on each shape of grid; k = 4 and blocks of 2 leave room for restarts."""
        for ranks, grid in GRIDS:
            for name in ("random", "power law", "graded", "repeated"):
                with self.subTest(name, grid=grid):
                    model = self.train(name, "--factors", "4", "--block", "2", "--tolerance", "1e-12", ranks=ranks, grid=grid)
                    self.check(CASES[name], model)
                    self.assertEqual(model.attrs["restarts"] > 0, name in ("random", "power law"))

    def test_other_matrices(self):
        for name in ("outlier", "clustered", "deficient", "tall", "wide"):
            for ranks, grid in ((1, "1x1"), (4, "2x2")):
                with self.subTest(name, grid=grid):
                    model = self.train(name, "--factors", "6", "--block", "2", "--tolerance", "1e-12", ranks=ranks, grid=grid)
                    self.check(CASES[name], model)

    def test_whole_spectrum(self):
        """As many factors as there are: tiny singular values are right relative to the largest, zeros are zeros."""
        for name in CASES:
            with self.subTest(name):
                k = min(CASES[name].shape)
                model = self.train(name, "--factors", str(k), "--tolerance", "1e-12", ranks=3)
                self.check(CASES[name], model)
                rebuilt = np.abs(model.scores() - CASES[name]).max()
                self.assertLess(rebuilt, 1e-12 * model.s[0])

    def test_two_bases_on_every_grid(self):
        """Where the normal equations are not accurate enough: the first search is given up, and its basis of 16 made again."""
        for ranks, grid in GRIDS:
            with self.subTest(grid=grid):
                model = self.train("outlier", "--factors", "4", "--block", "2", "--tolerance", "1e-13", ranks=ranks, grid=grid)
                self.check(CASES["outlier"], model, 1e-12)
                self.assertGreater(model.attrs["restarts"], 0)
                self.assertEqual(model.products[0], 2 * (2 * 16))

    def test_against_arpack(self):
        for name in ("random", "power law", "graded"):
            u, s, vt = scipy.sparse.linalg.svds(scipy.sparse.csr_matrix(CASES[name]), 5, tol=0, random_state=1)
            for ranks, grid in ((2, "2x1"), (6, "3x2")):
                with self.subTest(name, grid=grid):
                    model = self.train(name, "--factors", "5", "--block", "2", "--tolerance", "1e-12", ranks=ranks, grid=grid)
                    np.testing.assert_allclose(model.s, np.sort(s)[::-1], rtol=1e-10)
                    for ours, theirs in ((model.u, u), (model.v, vt.T)):
                        self.assertLess(np.linalg.norm(theirs - ours @ (ours.T @ theirs), 2), 1e-8)


class TestMethods(SvdCase):
    def test_gram(self):
        for name in ("random", "power law", "deficient", "wide"):
            for ranks, grid in ((1, "1x1"), (3, "1x3"), (4, "2x2"), (6, "3x2")):
                with self.subTest(name, grid=grid):
                    a = CASES[name]
                    model = self.train(name, "--factors", "5", "--svd-method", "gram", ranks=ranks, grid=grid)
                    s = np.zeros(a.shape[1])
                    s[:min(a.shape)] = np.linalg.svd(a, compute_uv=False)
                    # Squares are what it computes: a zero comes out as the root of their rounding.
                    np.testing.assert_allclose(model.spectrum ** 2, s ** 2, atol=1e-13 * s[0] ** 2)
                    if name != "deficient":
                        self.check(a, model)
                    self.assertLess(np.abs(model.s - s[:5]).max(), 1e-7 * s[0])

    def test_gram_of_every_order(self):
        """One block, hardly more, several: the workspace that ScaLAPACK asks for is too small for some."""
        for n in (1, 2, 17, 63, 64, 65, 129, 200):
            a = sparse_random(n + 30, n, 0.3, n)
            a[0] = 1  # every item has a rating
            u, i = np.nonzero(a)
            self.data["order"] = harness.write_dataset(self.out / "order.h5", *a.shape, u, i, a[u, i])
            for ranks in (1, 4):
                with self.subTest(n=n, ranks=ranks):
                    model = self.train("order", "--factors", str(min(n, 20)), "--svd-method", "gram", ranks=ranks)
                    self.check(a, model)

    def test_more_ranks_than_rows(self):
        for name in ("tall", "wide"):
            for method in ("krylov", "randomized", "gram"):
                for grid in ("8x1", "2x4"):
                    with self.subTest(name, method=method, grid=grid):
                        model = self.train(name, "--factors", "6", "--svd-method", method, "--power-steps", "50", ranks=8, grid=grid)
                        self.check(CASES[name], model)

    def test_gram_agrees_with_krylov(self):
        for center in ("none", "both"):
            gram = self.train("random", "--factors", "5", "--svd-method", "gram", "--center", center, ranks=4)
            krylov = self.train("random", "--factors", "5", "--block", "2", "--tolerance", "1e-12", "--center", center, ranks=2)
            np.testing.assert_allclose(gram.s, krylov.s, rtol=1e-12)
            np.testing.assert_allclose(gram.x, krylov.x, atol=1e-8)  # the signs agree too
            np.testing.assert_allclose(gram.y, krylov.y, atol=1e-8)

    def test_randomized(self):
        a = CASES["power law"]
        s = np.linalg.svd(a, compute_uv=False)
        few = self.train("power law", "--factors", "5", "--svd-method", "randomized", "--power-steps", "0", ranks=2)
        many = self.train("power law", "--factors", "5", "--svd-method", "randomized", "--power-steps", "60", ranks=2)
        self.assertTrue((few.s <= s[:5] * (1 + 1e-12)).all(), "Ritz values are from below")
        self.assertGreater(np.abs(few.s - s[:5]).max(), 1e-3)
        np.testing.assert_allclose(many.s, s[:5], rtol=1e-10)

    def test_ranks_agree(self):
        models = [self.train("random", "--factors", "4", "--block", "2", "--tolerance", "1e-13", ranks=ranks, grid=grid)
                  for ranks, grid in ((1, "1x1"), (3, "3x1"), (6, "2x3"))]
        for other in models[1:]:
            np.testing.assert_allclose(other.x, models[0].x, atol=1e-10)
            np.testing.assert_allclose(other.y, models[0].y, atol=1e-10)


class TestCentering(SvdCase):
    def test_against_dense(self):
        for center in ("none", "global", "user", "item", "both"):
            for ranks, grid in ((1, "1x1"), (4, "2x2")):
                with self.subTest(center, grid=grid):
                    a = CASES["random"]
                    model = self.train("random", "--factors", "4", "--block", "2", "--tolerance", "1e-12", "--center", center,
                                       ranks=ranks, grid=grid)
                    c = centered(a, center)
                    self.check(c, model)
                    self.assertAlmostEqual(model.attrs["frobenius_norm"], np.linalg.norm(c), delta=1e-11 * np.linalg.norm(a))
                    np.testing.assert_allclose(model.scores() - (model.u * model.s) @ model.v.T, a - c, atol=1e-12)

    def test_full_rank_scores_are_the_ratings(self):
        for scaling in ("usv", "sqrt"):
            model = self.train("wide", "--factors", "6", "--center", "both", "--scaling", scaling, ranks=3)
            np.testing.assert_allclose(model.scores(), CASES["wide"], atol=1e-11)
            if scaling == "sqrt":
                np.testing.assert_allclose(model.x.T @ model.x, np.diag(model.s), atol=1e-10)
                np.testing.assert_allclose(model.y.T @ model.y, np.diag(model.s), atol=1e-10)


class TestCertificates(SvdCase):
    def test_are_what_numpy_says(self):
        """Of poor triplets, so that residuals are more than rounding."""
        for center in ("none", "both"):
            a = centered(CASES["random"], center)
            model = self.train("random", "--factors", "6", "--svd-method", "randomized", "--power-steps", "1", "--center", center,
                               ranks=4, grid="2x2")
            left = np.linalg.norm(a @ model.v - model.u * model.s, axis=0)
            right = np.linalg.norm(a.T @ model.u - model.v * model.s, axis=0)
            self.assertGreater(right.max(), 1e-3)
            np.testing.assert_allclose(model.residuals["residuals_users"], left, atol=1e-12)
            np.testing.assert_allclose(model.residuals["residuals_items"], right, rtol=1e-8)
            np.testing.assert_allclose(model.residuals["residuals"], np.hypot(left, right), rtol=1e-8)
            self.assertAlmostEqual(model.attrs["captured"], (model.s ** 2).sum() / np.linalg.norm(a) ** 2, delta=1e-12)
            for side, x in (("users", model.u), ("items", model.v)):
                self.assertAlmostEqual(model.attrs["orthogonality_" + side], np.linalg.norm(x.T @ x - np.eye(6)), delta=1e-13)
            rest = np.linalg.norm(a - model.u @ (model.u.T @ a), 2)
            self.assertGreater(model.attrs["spectral_bound"], rest)
            self.assertLess(model.attrs["spectral_bound"], 1000 * rest)
            self.assertAlmostEqual(model.attrs["spectral_bound_miss"], 1e-8, delta=1e-12)

    def test_log_and_table(self):
        log = self.out / "log.json"
        model = self.train("random", "--factors", "4", "--block", "2", "--log-json", log, ranks=2)
        events = [json.loads(line) for line in log.read_text().splitlines()]
        svd = [e for e in events if e["event"] == "svd"][0]
        restarts = [e for e in events if e["event"] == "restart"]
        np.testing.assert_allclose(svd["singular_values"], model.s, rtol=1e-11)  # the log has 12 digits
        np.testing.assert_allclose(svd["residuals_items"], model.residuals["residuals_items"], rtol=1e-11)
        self.assertEqual(model.iterations, len(restarts))
        self.assertEqual(svd["products"], model.attrs["products"])
        self.assertEqual(restarts[-1]["converged"], 4)
        table = re.findall(r"^ +(\d+)  ([0-9.e+-]+) +([0-9.e+-]+) +([0-9.e+-]+)$", self.run_.stderr, re.M)
        self.assertEqual([int(row[0]) for row in table], [1, 2, 3, 4])
        np.testing.assert_allclose([float(row[1]) for row in table], model.s, rtol=1e-8)


class TestUse(SvdCase):
    def test_query_and_evaluate(self):
        model = self.train("random", "--factors", "8", "--center", "both", ranks=2)
        path, scores = self.out / "model.h5", model.scores()
        for u, i in ((0, 0), (69, 49), (13, 7)):
            told = harness.execute([harness.GRIDMF_QUERY, path, "score", "--user", u + 1, "--item", i + 1, "--format", "json"])
            self.assertEqual(told.rc, 0, told)
            self.assertAlmostEqual(told.json()["score"], scores[u, i], delta=1e-5)
        top = harness.execute([harness.GRIDMF_QUERY, path, "recommend", "--user", "5", "--top", "3", "--format", "json"])
        self.assertEqual(top.rc, 0, top)
        unseen = np.where(CASES["random"][4] != 0, -np.inf, scores[4])
        self.assertEqual([int(item["item"]) - 1 for item in top.json()["items"]], list(np.argsort(-unseen)[:3]))
        told = harness.run_good(2, "evaluate", path, self.data["random"], "--metrics", "rmse", "--json").json()
        u, i = np.nonzero(CASES["random"])
        self.assertAlmostEqual(told["rmse"], np.sqrt(((scores - CASES["random"])[u, i] ** 2).mean()), delta=1e-5)

    @staticmethod
    def projected(model, a, how):
        """Scores of users who have the rows of a, by the formula of kernel/projection.h."""
        mean = model.attrs["global_mean"]
        bias = a.mean(1) - mean if how in ("user", "both") else np.zeros(len(a))
        x = (a - mean - bias[:, None] - model.bias[1]) @ model.y / (model.s if model.attrs["scaling"] == "sqrt" else 1)
        return x @ model.y.T + mean + bias[:, None] + model.bias[1]

    def test_fold_in(self):
        """A user's own ratings folded in give the stored scores, and some of them what NumPy projects, on every centring
        and scaling. Users with nothing to fold in keep the model's row."""
        a = CASES["random"]
        some = np.where(np.random.default_rng(1).random(a.shape) < 0.5, a, 0)
        some[::9] = 0
        u, i = np.nonzero(some)
        part = harness.write_dataset(self.out / "part.h5", *a.shape, u, i, some[u, i])
        folded, (u, i) = some.any(1), np.nonzero(a)
        for scaling in ("usv", "sqrt"):
            for center in ("none", "global", "user", "item", "both"):
                with self.subTest(center, scaling=scaling):
                    model = self.train("random", "--factors", "5", "--center", center, "--scaling", scaling, "--tolerance", "1e-12")
                    own, new = model.scores(), self.projected(model, some, center)
                    np.testing.assert_allclose(self.projected(model, a, center), own, atol=1e-8)
                    for ranks, file, n, scores in ((1, self.data["random"], a.any(1).sum(), own),
                                                   (3, part, folded.sum(), np.where(folded[:, None], new, own))):
                        told = harness.run_good(ranks, "evaluate", self.out / "model.h5", self.data["random"], "--fold-in", file,
                                                "--metrics", "rmse,mae", "--json").json()
                        errors = (scores - a)[u, i]
                        self.assertEqual(told["n_folded_in"], n)
                        self.assertAlmostEqual(told["rmse"], np.sqrt((errors ** 2).mean()), delta=2e-6)
                        self.assertAlmostEqual(told["mae"], np.abs(errors).mean(), delta=2e-6)

    def test_fold_in_needs_singular_values(self):
        self.train("random", "--factors", "5", "--scaling", "sqrt")
        with h5py.File(self.out / "model.h5", "r+") as f:
            del f["singular_values"]
        for ranks in (1, 3):
            told = harness.run(ranks, "evaluate", self.out / "model.h5", self.data["random"], "--fold-in", self.data["random"])
            self.assertEqual(told.rc, 65, told)
            self.assertIn("singular_values", told.messages()[0])


class TestErrors(SvdCase):
    def fails(self, rc, words, name, *options, ranks=2):
        path = self.out / "none.h5"
        told = harness.run(ranks, "train", self.data[name], "-o", path, *options)
        self.assertEqual(told.rc, rc, told)
        self.assertEqual(len(told.messages()), 1, told)
        for word in words:
            self.assertIn(word, told.messages()[0])
        self.assertEqual([p for p in self.out.iterdir() if p.name.startswith("none")], [])

    def test_too_many_factors(self):
        self.fails(64, ["--factors 8", "7 or less"], "tall", "--algorithm", "svd", "--factors", "8")

    def test_not_converged(self):
        self.fails(3, ["safely within --tolerance", "--max-restarts"], "random", "--algorithm", "svd", "--factors", "4", "--block", "2",
                   "--tolerance", "1e-13", "--max-restarts", "1")

    def test_gram_of_too_many_items(self):
        self.data["long"] = harness.write_dataset(self.folder / "long.h5", 3, 60_001, [0, 1, 2], [0, 7, 60_000], [1, 2, 3])
        self.fails(69, ["60000", "60001", "--svd-method krylov"], "long", "--algorithm", "svd", "--factors", "2", "--svd-method", "gram")

    def test_options_of_others(self):
        self.fails(64, ["--checkpoint"], "random", "--algorithm", "svd", "--factors", "4", "--svd-method", "gram", "--checkpoint", self.out)
        self.fails(64, ["--deterministic"], "random", "--algorithm", "svd", "--factors", "4", "--deterministic")
        self.fails(64, ["--center user"], "random", "--algorithm", "als", "--factors", "4", "--center", "user")

    def test_no_rating_is_not_zero(self):
        """All ratings zero: zero singular values with orthonormal vectors of the items."""
        path = harness.write_dataset(self.folder / "zero.h5", 12, 9, [0, 3, 11], [0, 5, 8], [0, 0, 0])
        self.data["zero"] = path
        for method in ("krylov", "gram", "randomized"):
            model = self.train("zero", "--factors", "3", "--svd-method", method, ranks=2)
            self.assertLess(model.s.max(), 1e-150)
            np.testing.assert_allclose(model.y.T @ model.y, np.eye(3), atol=1e-12)


if __name__ == "__main__":
    unittest.main()
