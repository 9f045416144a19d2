"""MovieLens ml-latest-small, where it is at hand (GRIDMF_DATA, else ../shared/data beside the checkout): the whole way
from text to recommendations, the same on any number of ranks and on every grid, and the same as NumPy's.
"""

import json
import os
import pathlib
import unittest

import h5py
import numpy as np

import harness

SOURCE = pathlib.Path(os.environ.get("GRIDMF_SOURCE", pathlib.Path(__file__).parents[2]))
DATA = pathlib.Path(os.environ.get("GRIDMF_DATA", SOURCE.parent / "shared" / "data")) / "ml-latest-small"
REAL = unittest.skipUnless((DATA / "ratings.csv").exists(),
                           f"no ratings at {DATA}: set GRIDMF_DATA to the folder of ml-latest-small")
LAYOUTS = [(n, f"{n}x1") for n in (1, 2, 3, 4, 6, 7)] + [(4, "1x4"), (4, "2x2"), (6, "2x3"), (6, "3x2")]
MODELS = {
    "als": ["--algorithm", "als", "--factors", "16", "--lambda", "0.1"],
    "ials": ["--algorithm", "ials", "--factors", "32", "--alpha", "1", "--lambda", "5"],
    "svd": ["--algorithm", "svd", "--factors", "50"],
}


def top(scores, seen, n):
    """The n best rows that were not seen: higher score first, ties to the lower row."""
    scores = np.where(seen, -np.inf, scores)
    return np.lexsort((np.arange(len(scores)), -scores))[:n]


class Model:
    def __init__(self, path):
        with h5py.File(path) as f:
            self.user_ids, self.item_ids = f["users/id"][:], f["items/id"][:]
            self.scores = f["users/factors"][:].astype("f8") @ f["items/factors"][:].astype("f8").T
            indptr, indices = f["seen/indptr"][:], f["seen/indices"][:]
            # Items without training ratings are never recommended.
            self.seen = np.tile(f["items/count"][:] == 0, (len(self.user_ids), 1))
        self.seen[np.repeat(np.arange(len(self.user_ids)), np.diff(indptr)), indices] = True

    def same_lists(self, other, n=10, tie=1e-4):
        for u in range(0, len(self.user_ids), 7):
            mine, theirs = top(self.scores[u], self.seen[u], n), top(other.scores[u], other.seen[u], n)
            for a, b in zip(mine, theirs):
                if a != b and abs(self.scores[u, a] - self.scores[u, b]) > tie:
                    return False
        return True


@REAL
class MovieLens(harness.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        data = cls.folder / "data.h5"
        harness.run_good(4, "import", DATA / "ratings.csv", "-o", data)
        cls.train, cls.test = cls.folder / "train.h5", cls.folder / "test.h5"
        harness.run_good(4, "split", data, "--train", cls.train, "--test", cls.test, "--method", "random", "--fraction",
                         "0.1", "--seed", "1")
        cls.models = {}
        for name, options in MODELS.items():
            for n, grid in LAYOUTS:
                path = cls.folder / f"{name}-{grid}.h5"
                harness.run_good(n, "train", cls.train, "-o", path, "--grid", grid, "--quiet", *options)
                cls.models[name, grid] = path

    def test_any_ranks_and_grid(self):
        for name in MODELS:
            first = Model(self.models[name, "1x1"])
            for _, grid in LAYOUTS[1:]:
                with self.subTest(model=name, grid=grid):
                    other = Model(self.models[name, grid])
                    self.assertLess(np.abs(first.scores - other.scores).max(), 1e-4)
                    self.assertTrue(first.same_lists(other))

    def test_query_equals_numpy(self):
        for name in MODELS:
            model = Model(self.models[name, "2x2"])
            out = harness.execute([harness.GRIDMF_QUERY, self.models[name, "2x2"], "recommend", "--all", "--top", "10",
                                   "--format", "json"])
            self.assertEqual(out.rc, 0, str(out))
            lines = [json.loads(line) for line in out.stdout.splitlines()]
            self.assertEqual(len(lines), len(model.user_ids))
            for u, line in enumerate(lines):
                self.assertEqual(line["user"], str(model.user_ids[u]))
                listed = [np.searchsorted(model.item_ids, int(item["item"])) for item in line["items"]]
                expected = top(model.scores[u], model.seen[u], 10)
                np.testing.assert_allclose(model.scores[u, listed], model.scores[u, expected], atol=1e-5)
                np.testing.assert_allclose([item["score"] for item in line["items"]], model.scores[u, listed], atol=1e-5)

    def test_quality(self):
        """Yardsticks: the popular items, and the training mean."""
        with h5py.File(self.models["als", "1x1"]) as f:
            popular = f["items/count"][:]
        model, test = Model(self.models["ials", "1x1"]), harness.Ratings(self.test)
        recalls = []
        for u in range(test.n_users):
            relevant = test.items[test.indptr[u]:test.indptr[u + 1]]
            relevant = relevant[popular[relevant] > 0]
            if len(relevant):
                recalls.append(np.isin(relevant, top(popular, model.seen[u], 20)).mean())
        report = harness.run_good(2, "evaluate", self.models["ials", "1x1"], self.test, "--json", "--metrics",
                                  "recall@20,ndcg@10").json()
        self.assertGreater(report["recall@20"], 1.4 * np.mean(recalls))
        train = harness.Ratings(self.train)
        flat = np.sqrt(np.mean((test.values - train.values.mean()) ** 2))
        report = harness.run_good(2, "evaluate", self.models["als", "1x1"], self.test, "--json", "--metrics", "rmse").json()
        self.assertLess(report["rmse"], 0.95 * flat)

    def test_pure_svd_of_new_users(self):
        """Users outside the training, folded in by projection: recall@20 beats the popular items by 40% and more, and is
        what NumPy finds."""
        names = {what: self.out / (what + ".h5") for what in ("train", "test", "fold-in")}
        harness.run_good(2, "split", self.folder / "data.h5", "--method", "users", "--count", "100", "--seed", "1",
                         *[word for what, path in names.items() for word in ("--" + what, path)])
        found = {}
        for name, options in (("svd", MODELS["svd"]), ("popularity", ["--algorithm", "popularity"])):
            harness.run_good(2, "train", names["train"], "-o", self.out / (name + ".h5"), "--quiet", *options)
            told = harness.run_good(2, "evaluate", self.out / (name + ".h5"), names["test"], "--fold-in", names["fold-in"],
                                    "--metrics", "recall@20", "--json", "--quiet").json()
            self.assertEqual(told["n_folded_in"], told["n_users"])
            found[name] = told["recall@20"]
        with h5py.File(self.out / "svd.h5") as f:
            v, popular = f["items/factors"][:], f["items/count"][:]
        visible, test = harness.Ratings(names["fold-in"]).dense(), harness.Ratings(names["test"])
        seen = ~np.isnan(visible) | (popular == 0)
        scores = np.nan_to_num(visible) @ v @ v.T
        recalls = []
        for u in range(test.n_users):
            relevant = test.items[test.indptr[u]:test.indptr[u + 1]]
            relevant = relevant[popular[relevant] > 0]
            if len(relevant):
                recalls.append(np.isin(relevant, top(scores[u], seen[u], 20)).mean())
        self.assertAlmostEqual(found["svd"], np.mean(recalls), delta=1e-9)
        self.assertGreater(found["svd"], 1.4 * found["popularity"])  # 0.275 against 0.123


@REAL
class TestQuality(harness.Case):
    """What the models are worth, beside a yardstick. Figures seen stand behind each limit."""

    def metric(self, model, test, name, *options):
        return harness.run_good(2, "evaluate", model, test, "--metrics", name, "--json", "--quiet", *options).json()[name]

    def test_biases(self):
        data, train, test, model = (self.out / name for name in ("data.h5", "train.h5", "test.h5", "model.h5"))
        harness.run_good(2, "import", DATA / "ratings.csv", "-o", data, "--quiet")
        harness.run_good(2, "split", data, "--train", train, "--test", test, "--method", "random", "--fraction", 0.1, "--seed",
                         1, "--quiet")
        rmse = {}
        for bias in ("--no-bias", "--bias"):
            for lam in (0.1, 0.15):
                harness.run_good(2, "train", train, "-o", model, "--algorithm", "als", "--factors", 16, "--lambda", lam, bias,
                                 "--quiet")
                rmse[bias, lam] = self.metric(model, test, "rmse")
        best = {bias: min(rmse[bias, lam] for lam in (0.1, 0.15)) for bias in ("--no-bias", "--bias")}
        self.assertLessEqual(best["--bias"], 0.88)  # 0.866
        self.assertLess(best["--bias"], best["--no-bias"])  # 0.912

    def test_held_out_users(self):
        data, train, test, fold, model = (self.out / name for name in ("d.h5", "train.h5", "test.h5", "fold.h5", "model.h5"))
        harness.run_good(2, "import", DATA / "ratings.csv", "-o", data, "--min-rating", 4, "--binarize", "--min-user-count", 5,
                         "--quiet")
        harness.run_good(2, "split", data, "--method", "users", "--fraction", 0.2, "--train", train, "--test", test, "--fold-in",
                         fold, "--seed", 1, "--quiet")
        found = {}
        for name, options in (("popularity", []), ("ials", ["--loss", "ials", "--lambda-scale", "ials", "--factors", 64, "--lambda",
                                                            0.003, "--alpha0", 0.3, "--iterations", 16])):
            harness.run_good(2, "train", train, "-o", model, "--algorithm", name, *options, "--quiet")
            found[name] = [self.metric(model, test, metric, "--fold-in", fold) for metric in ("recall@20", "ndcg@100")]
        for ours, yardstick in zip(found["ials"], found["popularity"]):  # 0.275 and 0.356 against 0.137 and 0.198
            self.assertGreaterEqual(ours, 1.4 * yardstick)


@REAL
class StrongGeneralisation(harness.Case):
    """Liang et al., WWW 2018: whole users are held out, and the popular items, whose ranking nothing can round, are what
    an evaluator is checked by."""

    METRICS = {"recall-min": (20, 50), "ndcg": (10, 100), "map": (20,), "mrr": (20,), "recall": (20,), "hit": (1,),
               "precision": (5,)}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        data = cls.folder / "data.h5"
        cls.parts = [cls.folder / name for name in ("train.h5", "test.h5", "fold-in.h5")]
        harness.run_good(2, "import", DATA / "ratings.csv", "-o", data, "--min-rating", 4, "--binarize", "--min-user-count", 5,
                         "--quiet")
        harness.run_good(2, "split", data, "--method", "users", "--count", 200, "--seed", 98765, "--train", cls.parts[0],
                         "--test", cls.parts[1], "--fold-in", cls.parts[2], "--quiet")
        cls.model = cls.folder / "popularity.h5"
        harness.run_good(3, "train", cls.parts[0], "-o", cls.model, "--algorithm", "popularity", "--quiet")

    @staticmethod
    def items_by_user(path):
        r = harness.Ratings(path)
        return {r.user_ids[u]: set(r.item_ids[r.items[r.indptr[u]:r.indptr[u + 1]]].tolist())
                for u in np.flatnonzero(r.degrees)}

    @staticmethod
    def values(hits, n_relevant):
        """hits: whether each candidate, best first, is relevant."""
        at = np.flatnonzero(hits) + 1
        gain = 1 / np.log2(np.arange(2, 200))
        return {"recall": lambda k: (at <= k).sum() / n_relevant,
                "recall-min": lambda k: (at <= k).sum() / min(k, n_relevant),
                "precision": lambda k: (at <= k).sum() / k,
                "hit": lambda k: float(at[0] <= k),
                "mrr": lambda k: 1 / at[0] if at[0] <= k else 0,
                "map": lambda k: sum((j + 1) / r for j, r in enumerate(at) if r <= k) / min(k, n_relevant),
                "ndcg": lambda k: gain[at[at <= k] - 1].sum() / gain[:min(k, n_relevant)].sum()}

    def reference(self):
        train = harness.Ratings(self.parts[0])
        count = np.bincount(train.items, minlength=train.n_items)
        best_first = [train.item_ids[i] for i in np.lexsort((np.arange(train.n_items), -count)) if count[i] > 0]
        test, fold = (self.items_by_user(p) for p in self.parts[1:])
        found = {f"{name}@{k}": [] for name, ks in self.METRICS.items() for k in ks}
        for user, held_out in test.items():
            relevant = held_out & set(best_first)
            if not relevant or not fold[user] & set(best_first):
                continue
            hits = np.array([i in relevant for i in best_first if i not in fold[user]])
            values = self.values(hits, len(relevant))
            for name in found:
                kind, k = name.split("@")
                found[name].append(values[kind](int(k)))
        return {name: np.mean(v) for name, v in found.items()}, len(found["hit@1"])

    def test_popularity(self):
        wanted, n_users = self.reference()
        self.assertGreater(n_users, 150)
        self.assertGreater(wanted["recall-min@20"], 0.05)
        for n_ranks in (1, 2, 4):
            found = harness.run_good(n_ranks, "evaluate", self.model, self.parts[1], "--fold-in", self.parts[2], "--metrics",
                                     ",".join(wanted), "--json", "--quiet").json()
            self.assertEqual((found["n_users"], found["n_folded_in"]), (n_users, n_users))
            for name, value in wanted.items():
                self.assertAlmostEqual(found[name], value, delta=1e-11, msg=name)


if __name__ == "__main__":
    unittest.main()
