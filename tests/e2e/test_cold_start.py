"""Items without a rating, ranked by what their features predict (scripts/bench_cold.py): on the sample, and on MovieLens
ml-latest-small where it is at hand. Prints the figures."""

import importlib.util
import os
import unittest

import harness
from test_real_data import DATA, REAL, SOURCE


def bench_cold():
    os.environ["GRIDMF"] = harness.GRIDMF
    spec = importlib.util.spec_from_file_location("bench_cold", SOURCE / "scripts" / "bench_cold.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class TestColdStart(harness.Case):
    def measure(self, folder):
        found = bench_cold().measure(folder / "ratings.csv", folder / "movies.csv", self.out)
        print(found)
        by_features = found["cold"].pop("features (x.B'f)")
        for metric in ("auc", "ndcg@20", "recall@20"):
            self.assertGreaterEqual(found["warm"]["with"][metric], found["warm"]["without"][metric] - 0.002)
        return by_features, found["cold"]

    @REAL
    def test_movielens(self):
        """Features beat what else is known of an item without ratings."""
        by_features, others = self.measure(DATA)
        for name, metrics in others.items():
            for metric in ("auc", "ndcg@20"):
                self.assertGreater(by_features[metric], metrics[metric] + 0.01, name)

    def test_sample(self):
        """The sample's tastes are made of genres and nothing else, so that a genre average is the truth: features come near
        it, and are far from what popularity knows."""
        by_features, others = self.measure(SOURCE / "inputs")
        self.assertGreater(by_features["auc"], others["popularity"]["auc"] + 0.3)
        self.assertGreater(by_features["auc"], others["genre average of ratings"]["auc"])
        for metric in ("auc", "ndcg@20"):
            self.assertGreater(by_features[metric], 0.9 * max(m[metric] for m in others.values()))


if __name__ == "__main__":
    unittest.main()
