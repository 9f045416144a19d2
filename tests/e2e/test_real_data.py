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


@unittest.skipUnless((DATA / "ratings.csv").exists(), f"no ratings at {DATA}: set GRIDMF_DATA to the folder of ml-latest-small")
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
        """Users outside the training, folded in by projection: recall@20 beats the popular items by 40% and more."""
        names = {what: self.out / (what + ".h5") for what in ("train", "test", "fold-in")}
        harness.run_good(2, "split", self.folder / "data.h5", "--method", "users", "--count", "100", "--seed", "1",
                         *[word for what, path in names.items() for word in ("--" + what, path)])
        harness.run_good(2, "train", names["train"], "-o", self.out / "model.h5", "--quiet", *MODELS["svd"])
        with h5py.File(self.out / "model.h5") as f:
            v, popular = f["items/factors"][:], f["items/count"][:]
        visible, test = harness.Ratings(names["fold-in"]).dense(), harness.Ratings(names["test"])
        seen = ~np.isnan(visible) | (popular == 0)
        scores = np.nan_to_num(visible) @ v @ v.T
        recalls = [[], []]
        for u in range(test.n_users):
            relevant = test.items[test.indptr[u]:test.indptr[u + 1]]
            for found, ranking in zip(recalls, (scores[u], popular)):
                if len(relevant):
                    found.append(np.isin(relevant, top(ranking, seen[u], 20)).mean())
        self.assertGreater(np.mean(recalls[0]), 1.4 * np.mean(recalls[1]))


if __name__ == "__main__":
    unittest.main()
