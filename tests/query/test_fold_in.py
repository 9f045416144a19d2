"""gridmf-query fold-in and explain against NumPy, and on models that gridmf trained.

GRIDMF_QUERY and GRIDMF name the programs.
"""

import csv
import io
import json
import os
import pathlib
import subprocess
import unittest

import h5py
import numpy as np
import scipy.optimize
from test_query import Case, Model

GRIDMF = os.environ["GRIDMF"]


class Trained(Model):
    """A model as if it had been trained: options as attributes, ratings in /seen, the Gram matrix."""

    def __init__(self, algorithm="als", weights=False, **options):
        super().__init__(m=30, n=50, k=6, bias=options.pop("bias", False), seed=3)
        rng = np.random.default_rng(4)
        self.options = {"algorithm": algorithm, "lambda": 0.07, "lambda_exponent": 1.0, "lambda_scale": "count",
                        "nonnegative": "no", **options}
        self.attributes.update(self.options)
        self.mean = self.attributes["global_mean"]
        if self.options["nonnegative"] == "yes":
            self.y = abs(self.y)
        self.values = [rng.integers(1, 11, len(s)).astype("f4") / 2 for s in self.seen]
        self.weights = [rng.integers(1, 4, len(s)).astype("f4") if weights else np.ones(len(s), "f4") for s in self.seen]
        self.has_weights = weights

    def write(self, path):
        super().write(path)
        with h5py.File(path, "r+") as f:
            f["seen/data"] = np.concatenate(self.values)
            if self.has_weights:
                f["seen/weight"] = np.concatenate(self.weights)
            f["items/gram"] = self.y.astype("f8").T @ self.y
        return path

    def terms(self, values, weights):
        """w and t of kernel/loss.h for each rating, and s."""
        o = self.options
        if o["algorithm"] == "als":
            return weights, weights * values, 0.0
        if o["loss"] == "ials":
            return weights * (values != 0), weights * (values > 0), o["alpha0"]
        confidence = o["alpha"] * abs(weights * values)
        positive = (values > 0) * o["alpha"] * weights * values
        if o["loss"] == "hkv":
            return confidence, positive + (values > 0), 1.0
        return confidence - 1, positive, 1.0

    def fold(self, items, values, weights=None):
        """The user's row [x, b]; dense and by another library than gridmf's."""
        y = self.y[items].astype("f8")
        values = np.asarray(values, "f8") - self.mean
        weights = np.ones(len(items)) if weights is None else np.asarray(weights, "f8")
        w, t, s = self.terms(values, weights)
        o, k = self.options, self.y.shape[1]
        scale = {"none": 1.0, "count": len(items), "ials": len(items) + s * len(self.y)}[o["lambda_scale"]]
        scale **= o["lambda_exponent"]
        if self.b_users is not None:
            y = np.hstack([y, np.ones((len(y), 1))])
            t = t - w * self.b_items[items]
        matrix = (y.T * w) @ y
        matrix[:k, :k] += s * self.y.astype("f8").T @ self.y + o["lambda"] * scale * np.eye(k)
        if self.b_users is not None:
            matrix[k, k] += o.get("lambda_bias", o["lambda"]) * scale
        right = y.T @ t
        if o["nonnegative"] == "yes":
            bounds = ([0] * k + [-np.inf] * (len(matrix) - k), np.inf)
            half = np.linalg.cholesky(matrix)
            row = scipy.optimize.lsq_linear(half.T, np.linalg.solve(half, right), bounds, tol=1e-14).x
        else:
            row = np.linalg.solve(matrix, right)
        return row if self.b_users is not None else np.append(row, 0)

    def scores_of(self, row):
        s = self.mean + self.y.astype("f8") @ row[:-1] + row[-1]
        return s + self.b_items if self.b_items is not None else s


KINDS = (
    {}, {"lambda_scale": "none"}, {"lambda_exponent": 0.5}, {"bias": True}, {"bias": True, "lambda_bias": 0.5},
    {"nonnegative": "yes"}, {"nonnegative": "yes", "bias": True}, {"weights": True}, {"weights": True, "bias": True},
    {"algorithm": "ials", "loss": "hkv", "alpha": 4.0, "lambda_scale": "none"},
    {"algorithm": "ials", "loss": "hkv", "alpha": 4.0, "lambda_scale": "none", "weights": True},
    {"algorithm": "ials", "loss": "implicit", "alpha": 4.0, "lambda_scale": "none"},
    {"algorithm": "ials", "loss": "ials", "alpha0": 0.2, "lambda_scale": "ials"},
    {"algorithm": "ials", "loss": "ials", "alpha0": 0.2, "lambda_scale": "count", "nonnegative": "yes"},
)


def as_text(model, items, values):
    return ",".join("%s:%g" % (model.item_ids[i], v) for i, v in zip(items, values))


class FoldIn(Case):
    def check(self, model, answer, expected, without):
        candidates = np.ones(len(model.y), bool)
        candidates[without] = False
        order = [i for i in np.lexsort((np.arange(len(expected)), -expected)) if candidates[i]]
        got = {e["item"]: e["score"] for e in answer["items"]}
        self.assertEqual(set(got), {str(model.item_ids[i]) for i in order})
        np.testing.assert_allclose([got[str(model.item_ids[i])] for i in order], expected[order], rtol=2e-5, atol=2e-5)
        self.assertEqual(list(got.values()), sorted(got.values(), reverse=True))

    def test_against_numpy(self):
        for options in KINDS:
            if options.get("weights"):
                continue # the command line has no weights
            with self.subTest(**options):
                model = Trained(**options)
                model.write(self.path)
                for n in (1, 3, 25):
                    items, values = np.arange(40 - n, 40), np.arange(n) % 5 + 1.0
                    answer, = self.json_lines(self.path, "fold-in", "--ratings", as_text(model, items[::-1], values[::-1]),
                                              "--top", 50)
                    self.check(model, answer, model.scores_of(model.fold(items, values)), items)

    def test_files_and_formats(self):
        model = Trained(bias=True)
        model.write(self.path)
        ids = [str(model.item_ids[i]) for i in (3, 9, 4)]
        args = ("fold-in", "--top", 5)
        wanted, = self.json_lines(self.path, *args, "--ratings", "%s:5,%s:1,%s" % tuple(ids))
        for text in ("%s,5\n%s,1\n%s\n", "%s\t5\r\n\r\n %s\t1\n%s", "%s::5\n%s::1\n%s::1\n", "%s 5\n%s 1\n%s;1\n"):
            for source, stdin in ((self.file("r", text % tuple(ids)), None), ("-", (text % tuple(ids)).encode())):
                self.assertEqual(self.json_lines(self.path, *args, "--ratings-file", source, stdin=stdin), [wanted])
        self.assertEqual(wanted.keys(), {"items"})
        rows = list(csv.DictReader(io.StringIO(
            self.good(self.path, *args, "--ratings", "%s:5,%s:1,%s" % tuple(ids), "--format", "csv"))))
        self.assertEqual([r["item"] for r in rows], [e["item"] for e in wanted["items"]])
        table = self.good(self.path, *args, "--ratings", "%s:5,%s:1,%s" % tuple(ids)).split("\n")
        self.assertEqual((table[0], table[2].split()[2]), ("these ratings", wanted["items"][0]["item"]))
        # The last of two ratings counts; an unknown item is told and left out.
        again = "%s:2,%s:1,%s,nothing:3,%s:5" % (*ids, ids[0])
        self.assertEqual(self.json_lines(self.path, *args, "--ratings", again), [wanted])
        allow = self.file("allow", wanted["items"][1]["item"])
        only, = self.json_lines(self.path, *args, "--ratings", again, "--allow", allow)
        self.assertEqual(only["items"], [wanted["items"][1]])
        seen, = self.json_lines(self.path, "fold-in", "--top", 50, "--include-seen", "--ratings", again)
        self.assertLessEqual(set(ids), {e["item"] for e in seen["items"]})

    def test_cold_items_do_not_count(self):
        model = Trained()
        model.item_counts[[3, 20]] = 0
        model.write(self.path)
        answer, = self.json_lines(self.path, "fold-in", "--ratings", as_text(model, [2, 3, 4], [5, 4, 3]), "--top", 50)
        self.check(model, answer, model.scores_of(model.fold([2, 4], [5, 3])), [2, 3, 4, 20])
        self.bad(65, f"item '{model.item_ids[3]}' has no ratings in training", self.path, "fold-in", "--ratings",
                 as_text(model, [3], [5]))
        self.bad(65, "none of the 2 items .*; not in the model: 'no', 'none'", self.path, "fold-in", "--ratings", "no:3,none:2")
        out = self.bad(65, "item 'nothing' is not in the model", self.path, "fold-in", "--ratings", "nothing:3", "--format", "json")
        self.assertEqual(json.loads(out), {"status": "cold", "items": []})
        cold, = self.json_lines(self.path, "fold-in", "--ratings", "nothing:3", "--fallback", "popular", "--top", 3)
        self.assertEqual((cold["fallback"], len(cold["items"])), ("popular", 3))

    def test_usage(self):
        model = Trained()
        model.write(self.path)
        self.bad(64, "needs one of --ratings", self.path, "fold-in")
        self.bad(64, "needs one of --ratings", self.path, "fold-in", "--ratings", "a:1", "--ratings-file", "b")
        self.bad(65, "no rating", self.path, "fold-in", "--ratings", "1:two")
        self.bad(65, "without an item", self.path, "fold-in", "--ratings", ":3")
        self.bad(64, "not finite", self.path, "fold-in", "--ratings", "%s:nan" % model.item_ids[0])
        self.bad(66, "No such file", self.path, "fold-in", "--ratings-file", "nowhere")
        self.bad(65, "no rating to fold in", self.path, "fold-in", "--ratings-file", self.file("e", "\n"))
        for end in ("\n", "\r\n", "\r"):
            path = self.file("lines", f"{model.item_ids[0]},5{end}{end}{model.item_ids[1]},x{end}")
            self.bad(65, "lines:3: .* no rating", self.path, "fold-in", "--ratings-file", path)

    def test_what_the_file_must_tell(self):
        for name, value, pattern in (("lambda", None, "@lambda"), ("lambda", -1.0, "@lambda is -1"), ("lambda", np.nan, "nan"),
                                     ("loss", "other", "@loss is 'other'"), ("alpha", None, "@alpha"),
                                     ("lambda_scale", "log", "@lambda_scale"), ("lambda_exponent", 1e9, "@lambda_exponent")):
            model = Trained(**KINDS[9])
            model.attributes[name] = value
            if value is None:
                del model.attributes[name]
            model.write(self.path)
            self.bad(65, pattern, self.path, "fold-in", "--ratings", as_text(model, [1], [3]))
            self.good(self.path, "recommend", "--all")
        model = Trained(**KINDS[9])
        model.write(self.path)
        with h5py.File(self.path, "r+") as f:
            f["items/gram"][2, 3] = np.inf
        self.bad(65, "gram", self.path, "fold-in", "--ratings", as_text(model, [1], [3]))

    def test_singular(self):
        model = Trained(**{"lambda": 0.0})
        model.write(self.path)
        self.bad(3, "singular at lambda 0; train with a larger --lambda", self.path, "fold-in", "--ratings",
                 as_text(model, [1], [3]))


class Explain(Case):
    def total(self, e):
        return (e["global_mean"] + e["item_bias"] + e["centring"] + e["others"] + e["rest"]
                + sum(r["contribution"] for r in e["ratings"]))

    def test_against_numpy(self):
        """Each contribution is how far the folded-in score falls when its right-hand side is taken away."""
        for options in KINDS:
            with self.subTest(**options):
                model = Trained(**options)
                model.seen[2], model.values[2], model.weights[2] = model.seen[2][:0], model.values[2][:0], model.weights[2][:0]
                model.write(self.path)
                for u, i in ((0, 7), (4, 0), (2, 9)):
                    items, values, weights = model.seen[u], model.values[u], model.weights[u]
                    e, = self.json_lines(self.path, "explain", "--user", model.user_ids[u], "--item", model.item_ids[i],
                                         "--top", 1000)
                    self.assertEqual(e["n_ratings"], len(items))
                    self.assertAlmostEqual(e["score"], float(model.score(u, np.array([i]))[0]), 4)
                    self.assertAlmostEqual(self.total(e), e["score"], 5)
                    if len(items) == 0:
                        continue
                    folded = model.scores_of(model.fold(items, values, weights))[i]
                    self.assertAlmostEqual(e["score"] - e["rest"], folded, delta=2e-4)
                    got = {r["item"]: r["contribution"] for r in e["ratings"]}
                    expected = self.contributions(model, u, i)
                    np.testing.assert_allclose([got[str(model.item_ids[j])] for j in items], expected, rtol=1e-3, atol=2e-5)

    @staticmethod
    def contributions(model, u, i):
        items, weights = model.seen[u], model.weights[u].astype("f8")
        values = model.values[u].astype("f8") - model.mean
        row = model.fold(items, model.values[u], weights)
        w, t, s = model.terms(values, weights)
        y, yi, o, k = model.y[items].astype("f8"), model.y[i].astype("f8"), model.options, model.y.shape[1]
        scale = {"none": 1.0, "count": len(items), "ials": len(items) + s * len(model.y)}[o["lambda_scale"]]
        scale **= o["lambda_exponent"]
        diagonal = np.full(k, o["lambda"] * scale)
        shared = s * model.y.astype("f8").T @ model.y
        if model.b_users is not None:
            t = t - w * model.b_items[items]
            y, yi = np.hstack([y, np.ones((len(y), 1))]), np.append(yi, 1)
            diagonal = np.append(diagonal, o.get("lambda_bias", o["lambda"]) * scale)
            shared = np.pad(shared, (0, 1))
        free = np.ones(len(diagonal), bool)
        if o["nonnegative"] == "yes":
            free[:k] = row[:k] > 1e-7
        matrix = ((y.T * w) @ y + shared + np.diag(diagonal))[np.ix_(free, free)]
        return t * (y[:, free] @ np.linalg.solve(matrix, yi[free]))

    def test_lists(self):
        model = Trained(bias=True)
        model.item_counts[8] = 0
        model.write(self.path)
        titles = self.file("t.csv", "\n".join("%d,Title %d" % (i, j) for j, i in enumerate(model.item_ids)))
        args = ("explain", "--user", model.user_ids[1], "--item", model.item_ids[7], "--item", "nothing", "--item",
                model.item_ids[8], "--top", 3, "--titles", titles)
        first, unknown, cold = self.json_lines(self.path, *args)
        sizes = [abs(r["contribution"]) for r in first["ratings"]]
        self.assertEqual((len(sizes), sizes), (3, sorted(sizes, reverse=True)))
        self.assertAlmostEqual(self.total(first), first["score"], 5)
        self.assertNotEqual(first["others"], 0)
        self.assertTrue(all(r["title"].startswith("Title") for r in first["ratings"]))
        self.assertEqual((unknown["status"], cold["status"], cold["ratings"]), ("unknown", "cold", []))
        rows = list(csv.DictReader(io.StringIO(self.good(self.path, *args, "--format", "csv"))))
        self.assertAlmostEqual(sum(float(r["value"]) for r in rows), first["score"], 4)
        table = self.good(self.path, *args).split("\n")
        self.assertIn("score %.4f, from %d ratings" % (first["score"], len(model.seen[1])), table[0])
        self.assertEqual(table[2].split()[2], first["ratings"][0]["item"])

    def test_errors(self):
        model = Trained()
        model.write(self.path)
        pair = ("--user", model.user_ids[0], "--item", model.item_ids[0])
        self.bad(64, "explain needs one --user", self.path, "explain", "--item", "1")
        self.bad(65, "user 'x' is not", self.path, "explain", "--user", "x", "--item", model.item_ids[0])
        self.bad(65, "item 'x' is not", self.path, "explain", "--user", model.user_ids[0], "--item", "x")
        for name, data, pattern in (("seen/data", None, "train with --seen"), ("seen/data", np.nan, "not finite"),
                                    ("seen/indices", 0, "not in their order")):
            model.write(self.path)
            with h5py.File(self.path, "r+") as f:
                if data is None:
                    del f[name]
                else:
                    f[name][...] = data
            self.bad(65, pattern, self.path, "explain", *pair)
        model.attributes["algorithm"] = "popularity"
        model.write(self.path)
        self.bad(64, "whatever the user rated", self.path, "explain", *pair)


class OnTrainedModels(Case):
    """A training user's own ratings, folded in, give the user's scores; explanations add up to them."""

    def train(self, *options):
        folder = pathlib.Path(self.folder.name)
        if not (folder / "data.h5").exists():
            self.gridmf("synth", "-o", folder / "data.h5", "--users", 60, "--items", 40, "--ratings", 900, "--seed", 5)
        self.gridmf("train", folder / "data.h5", "-o", self.path, "--factors", 4, *options)

    @staticmethod
    def gridmf(*args):
        result = subprocess.run([GRIDMF, *map(str, args), "--quiet"], capture_output=True, timeout=240, check=False)
        if result.returncode != 0:
            raise AssertionError(result.stderr.decode())

    def test_scores_come_back(self):
        converged = ("--iterations", 1500)
        for options in (
            ("--algorithm", "als", "--lambda", 0.1, *converged),
            ("--algorithm", "als", "--lambda", 0.1, "--bias", *converged),
            ("--algorithm", "als", "--lambda", 0.1, "--nonnegative", *converged),
            ("--algorithm", "ials", "--alpha", 2, "--lambda", 2, *converged),
            ("--algorithm", "ials", "--loss", "ials", "--lambda", 0.02, "--lambda-scale", "ials", *converged),
            ("--algorithm", "svd"), ("--algorithm", "svd", "--center", "both"),
            ("--algorithm", "svd", "--scaling", "sqrt", "--center", "user"), ("--algorithm", "svd", "--center", "global"),
            ("--algorithm", "popularity"),
        ):
            with self.subTest(options=options):
                self.train(*options)
                with h5py.File(self.path) as f:
                    users, items = f["users/id"][:], f["items/id"][:]
                    indptr, indices, data = (f["seen/" + name][:] for name in ("indptr", "indices", "data"))
                for u in (0, 17, 59):
                    mine = slice(indptr[u], indptr[u + 1])
                    ratings = ",".join("%s:%.9g" % (items[i], r) for i, r in zip(indices[mine], data[mine]))
                    folded, = self.json_lines(self.path, "fold-in", "--ratings", ratings, "--top", 40, "--include-seen")
                    stored, = self.json_lines(self.path, "recommend", "--user", users[u], "--top", 40, "--include-seen")
                    folded, stored = ({e["item"]: e["score"] for e in a["items"]} for a in (folded, stored))
                    self.assertEqual(folded.keys(), stored.keys())
                    worst = max(abs(folded[i] - stored[i]) for i in stored)
                    self.assertLess(worst, 1e-4)
                    if "popularity" in options:
                        continue
                    e, = self.json_lines(self.path, "explain", "--user", users[u], "--item", items[3], "--top", 100)
                    self.assertAlmostEqual(Explain.total(self, e), e["score"], 5)
                    self.assertLess(abs(e["rest"]), 1e-4)
                    self.assertEqual(e["score"], stored[str(items[3])])

    def test_weights_are_kept(self):
        path = self.file("w.csv", "user,item,rating,weight\n" + "".join(
            "%d,%d,%d,%d\n" % (u, i, 1 + (u * i) % 5, 1 + (u + i) % 3) for u in range(12) for i in range(9) if (u + i) % 4))
        data = pathlib.Path(self.folder.name, "w.h5")
        self.gridmf("import", path, "-o", data, "--columns", "user=user,item=item,rating=rating,weight=weight")
        self.gridmf("train", data, "-o", self.path, "--algorithm", "als", "--factors", 2, "--iterations", 300)
        with h5py.File(self.path) as f:
            self.assertEqual(set(f["seen/weight"][:]), {1, 2, 3})
        e, = self.json_lines(self.path, "explain", "--user", 3, "--item", 4, "--top", 100)
        self.assertLess(abs(e["rest"]), 1e-4)


if __name__ == "__main__":
    unittest.main()
