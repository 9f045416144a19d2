"""Whatever one call may carry, the results are the same: a whole pipeline in a build whose calls of MPI and HDF5 take
1,000 bytes (GRIDMF_PIECES) against the ordinary one; and what a build with at most 100 rows of a side on a rank
(GRIDMF_FEW_ROWS) says to more of them; and sides that are hashed as long ones are (GRIDMF_HASHED). See src/runtime/limits.h."""

import os
import unittest

import numpy as np

import harness
from harness import execute, launch

PIECES, FEW_ROWS, HASHED = (os.environ.get(f"GRIDMF_{name}") for name in ("PIECES", "FEW_ROWS", "HASHED"))
TRAIN = {"als": ["--algorithm", "als", "--bias"],
         "ials": ["--algorithm", "ials", "--alpha", 2],
         "cg": ["--algorithm", "ials", "--solver", "cg", "--alpha", 2],
         "svd": ["--algorithm", "svd", "--block", 4]}


class Limits(harness.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        rng = np.random.default_rng(3)
        cls.text = cls.folder / "ratings.csv"
        pairs = rng.choice(300 * 150, 4000)  # some twice
        lines = ["u%d,i%d,%g,%d" % (p // 150, p % 150, v / 2, t)
                 for p, v, t in zip(pairs, rng.integers(1, 11, 4000), rng.integers(1, 9999, 4000))]
        cls.text.write_text("user,item,rating,time\n" + "\n".join(lines) + "\n")

    def run_with(self, program, n_ranks, *args):
        return execute([*launch(n_ranks), program, *args])

    def good(self, program, n_ranks, *args):
        result = self.run_with(program, n_ranks, *args)
        self.assertEqual(result.rc, 0, result)
        return result


@unittest.skipUnless(PIECES, "GRIDMF_PIECES does not name the program with short calls")
class TestPieces(Limits):
    def pipeline(self, program, n_ranks, grid=()):
        """Everything a pipeline writes and says, by name."""
        out = self.out / ("%s-%d%s" % (os.path.basename(program), n_ranks, "".join(grid)))
        out.mkdir()
        data, rest, test = out / "data.h5", out / "rest.h5", out / "test.h5"
        self.good(program, n_ranks, "import", self.text, "-o", data, "--quiet")
        self.good(program, n_ranks, "split", data, "--train", rest, "--test", test, "--method", "random",
                  "--fraction", 0.2, "--quiet")
        found = {p.name: harness.contents(p) for p in (data, rest, test)}
        for name, options in TRAIN.items():
            model, lists = out / (name + ".h5"), out / (name + "-lists.h5")
            if name != "svd":
                options = [*options, "--iterations", 3]
            if name == "cg" and not grid:
                options = [*options, "--expand-memory", "10K"]
            self.good(program, n_ranks, "train", rest, "-o", model, "--factors", 6, *options, *grid, "--quiet")
            self.good(program, n_ranks, "recommend", model, "-o", lists, "--top", 7, "--quiet")
            found[name], found[name + " lists"] = harness.contents(model), harness.contents(lists)
            metrics = "ndcg@10,recall@5" + (",rmse" if name == "als" else "")
            found[name + " metrics"] = self.good(program, n_ranks, "evaluate", model, test, "--metrics", metrics,
                                                 "--json", "--quiet").json()
        return found

    def check(self, n_ranks, *grid):
        whole, pieces = (self.pipeline(p, n_ranks, grid) for p in (harness.GRIDMF, PIECES))
        self.assertEqual(whole.keys(), pieces.keys())
        for name, wanted in whole.items():
            self.assertEqual(wanted.keys(), pieces[name].keys(), name)
            self.assertEqual([key for key in wanted if wanted[key] != pieces[name][key]], [], name)

    def test_one_rank(self):
        self.check(1)

    def test_two_ranks(self):
        self.check(2)

    def test_three_ranks(self):
        self.check(3)

    def test_folded(self):
        self.check(2, "--grid", "1x2")


@unittest.skipUnless(FEW_ROWS, "GRIDMF_FEW_ROWS does not name the program of few rows")
class TestRows(Limits):
    def refused(self, n_ranks, *options):
        data = self.folder / "data.h5"
        if not data.exists():
            self.good(harness.GRIDMF, 1, "import", self.text, "-o", data, "--quiet")
        result = self.run_with(FEW_ROWS, n_ranks, "train", data, "-o", self.out / "m.h5", "--factors", 4,
                               "--iterations", 1, "--quiet", *options)
        return result.rc, " ".join(result.messages())

    def test_own_rows(self):
        rc, text = self.refused(2, "--algorithm", "als")
        self.assertEqual(rc, 69, text)
        self.assertIn("a rank would own 150 of 300 users or items, but may own 100; use more ranks", text)

    def test_expanded_rows(self):
        rc, text = self.refused(3, "--algorithm", "als")
        self.assertEqual(rc, 69, text)
        self.assertRegex(text, "a rank needs [0-9]+ rows of the other side, but may have 100; use more ranks")

    def test_rows_of_a_grid_row(self):
        rc, text = self.refused(4, "--algorithm", "als", "--grid", "1x4")
        self.assertEqual(rc, 69, text)
        self.assertIn("300 users would meet in a grid row, but 100 may; use more ranks, or a grid of fewer columns", text)


@unittest.skipUnless(HASHED, "GRIDMF_HASHED does not name the program whose sides are hashed")
class TestHashed(Limits):
    def train(self, program, name, n_ranks, *options):
        """The last objective, and the factors."""
        data, model = self.folder / "data.h5", self.out / f"{name}.h5"
        if not data.exists():
            self.good(harness.GRIDMF, 1, "import", self.text, "-o", data, "--quiet")
        self.good(program, n_ranks, "train", data, "-o", model, "--factors", 6, "--iterations", 3, *options, "--quiet")
        return harness.read_history(model)[-1], harness.contents(model)

    def test_same_model(self):
        """Who has which rows changes no bit of what is deterministic, and no more than rounding elsewhere."""
        for n_ranks, *options in ((3, "--algorithm", "ials", "--deterministic"),
                                  (2, "--algorithm", "als", "--deterministic", "--bias")):
            tables, hashed = (self.train(p, n, n_ranks, *options)[1] for n, p in (("t", harness.GRIDMF), ("h", HASHED)))
            self.assertEqual([key for key in tables if tables[key] != hashed[key]], [], options)
        for n_ranks, *options in ((4, "--heavy-items", "30:2x2", "--heavy-users", "15:1x4"), (4, "--grid", "2x2")):
            options = ["--algorithm", "als", "--solver", "cholesky", *options]
            tables, hashed = (self.train(p, n, n_ranks, *options)[0] for n, p in (("t", harness.GRIDMF), ("h", HASHED)))
            self.assertAlmostEqual(tables / hashed, 1, delta=1e-6)


if __name__ == "__main__":
    unittest.main()
