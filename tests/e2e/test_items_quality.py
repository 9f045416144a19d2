"""Strong generalisation on MovieLens ml-latest-small (as test_real_data has it): users outside the training are ranked by
what is folded in of them, ndcg@100, each algorithm at the best point of a small grid. EASE is to be better than neighbours,
and not worse than iALS by more than what another split makes of it; all are to be better than the most popular items. Prints
the grid. GRIDMF_MIN_ITEM_COUNT=0 takes the rare movies too, and longer.
"""

import itertools
import os
import unittest

import harness
from harness import run_good
from test_real_data import DATA, REAL

MIN_ITEM_COUNT = os.environ.get("GRIDMF_MIN_ITEM_COUNT", "5")
POINTS = {
    "ease": [["--lambda", l] for l in (50, 100, 200, 400)],
    "ials": [["--factors", k, "--alpha", a, "--lambda", l] for k, a, l in itertools.product((16, 32, 64), (1, 5, 20), (5, 20, 50))],
    "item-knn": [["--similarity", s, "--values", v, "--shrinkage", d, "--neighbours", k]
                 for s, v in (("cosine", "ratings"), ("cosine", "binary"), ("tfidf", "ratings"), ("bm25", "ratings"), ("jaccard", "binary"))
                 for d, k in itertools.product((0, 10, 50), (20, 50, 100))],
    "popularity": [[]],
}


@REAL
class StrongGeneralisation(harness.Case):
    def test_best_of_a_grid(self):
        data, train, test, fold, model = (self.out / f"{name}.h5" for name in ("data", "train", "test", "fold", "model"))
        run_good(2, "import", DATA / "ratings.csv", "-o", data, "--min-item-count", MIN_ITEM_COUNT, "--quiet")
        run_good(2, "split", data, "--train", train, "--test", test, "--fold-in", fold, "--method", "users", "--fraction", 0.3, "--quiet")
        best = {}
        for algorithm, points in POINTS.items():
            for point in points:
                run_good(2, "train", train, "-o", model, "--algorithm", algorithm, *point, "--quiet", timeout=1200)
                got = run_good(2, "evaluate", model, test, "--fold-in", fold, "--metrics", "ndcg@100,recall@20", "--json",
                               timeout=300).json()
                print(algorithm, *point, f"ndcg@100 {got['ndcg@100']:.4f} recall@20 {got['recall@20']:.4f}", flush=True)
                if got["ndcg@100"] > best.get(algorithm, (0,))[0]:
                    best[algorithm] = (got["ndcg@100"], got["recall@20"], point)
        for algorithm, (ndcg, recall, point) in sorted(best.items(), key=lambda entry: -entry[1][0]):
            print(f"best {algorithm:<10} ndcg@100 {ndcg:.4f} recall@20 {recall:.4f} ", *point, flush=True)
        self.assertGreater(best["ease"][0], 0.97 * best["ials"][0])  # the two are within their noise
        self.assertGreater(best["ease"][0], best["item-knn"][0])
        for other in ("ials", "item-knn"):
            self.assertGreater(best[other][0], 1.2 * best["popularity"][0])


if __name__ == "__main__":
    unittest.main()
