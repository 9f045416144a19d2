"""The arithmetic of scripts/bench als, without its peers: losses, sweeps to a target, ratios, verdicts, tables."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import unittest

import h5py
import numpy as np

import harness
from harness import run_good

SCRIPTS = pathlib.Path(os.environ["GRIDMF_SOURCE"]) / "scripts" if "GRIDMF_SOURCE" in os.environ else \
    pathlib.Path(__file__).resolve().parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))

import bench_als  # noqa: E402  (found by the line above)
import bench_als_peers  # noqa: E402
import bench_als_report  # noqa: E402


def random_problem(m, n, nnz, k):
    rng = np.random.default_rng(3)
    dense = np.zeros((m, n), "f4")
    dense.flat[rng.choice(m * n, nnz, replace=False)] = rng.integers(1, 6, nnz)
    rows, columns = np.nonzero(dense)
    indptr = np.r_[0, np.cumsum(np.bincount(rows, minlength=m))]
    ratings = bench_als.Ratings(indptr, columns.astype("i4"), dense[rows, columns], dense.shape)
    return dense, ratings, *(rng.standard_normal((rows, k)) / k for rows in (m, n))


class Watched(bench_als_peers.Peer):
    """A peer whose losses are given: it holds the ratings of nobody."""

    def __init__(self, losses):
        self.losses = losses

    def fit(self, mode, factors, sweeps, visit):
        for loss in self.losses[:sweeps]:
            visit(lambda: (loss,))

    def loss(self, x):
        return x


class Unwatched(bench_als_peers.Unwatched):
    def __init__(self, losses):
        self.losses, self.trained = losses, []

    def train(self, mode, factors, sweeps):
        self.trained.append(sweeps)
        return (self.losses[sweeps - 1],)

    def loss(self, x):
        return x


class TestArithmetic(harness.Case):
    def test_the_loss_is_the_sum_over_all_pairs(self):
        for m, n, nnz in ((20, 15, 70), (500, 400, 150000)):  # the second one in more than one piece
            dense, ratings, x, y = random_problem(m, n, nnz, 4)
            score = x @ y.T
            weights = np.where(dense != 0, 1 + 3 * dense, 1)
            pairs = (weights * ((dense != 0) - score) ** 2).sum()
            for by_count in (False, True):
                counts = [(dense != 0).sum(axis=axis) if by_count else np.ones(dense.shape[1 - axis]) for axis in (1, 0)]
                wanted = pairs + 0.7 * sum(c @ (f ** 2).sum(axis=1) for c, f in zip(counts, (x, y)))
                self.assertLess(abs(bench_als.hkv_loss(ratings, 3, 0.7, x, y, by_count) / wanted - 1), 1e-6)

    def test_gridmf_says_the_same_loss(self):
        data, model, log = (self.out / name for name in ("d.h5", "m.h5", "log.json"))
        run_good(1, "synth", "-o", data, "--like", "ml-100k/20", "--implicit", "--factors", 2, "--quiet")
        for scale, by_count in (("none", False), ("count", True)):
            log.unlink(missing_ok=True)
            run_good(2, "train", data, "-o", model, "--algorithm", "ials", "--loss", "hkv", "--alpha", 2, "--lambda", 0.3,
                     "--lambda-scale", scale, "--factors", 3, "--iterations", 3, "--quiet", "--log-json", log)
            run = bench_als.read_log(log)
            with h5py.File(model) as f:
                x, y = f["users/factors"][()], f["items/factors"][()]
            found = bench_als.hkv_loss(bench_als.Ratings.of_dataset(data), 2, 0.3, x, y, by_count)
            self.assertLess(abs(run["objectives"][3] / found - 1), 1e-5)
            self.assertEqual(len(run["sweep"]), 2, "the first is left out")
            self.assertGreater(run["total"], sum(run["sweep"]))
            self.assertGreaterEqual(run["setup"], 0)

    def test_ratings_come_back_from_a_folder(self):
        dense, ratings, _, _ = random_problem(9, 7, 20, 2)
        ratings.save(self.out / "kept")
        np.testing.assert_array_equal(bench_als.Ratings.load(self.out / "kept").matrix().toarray(), dense)

    def test_the_first_sweep_that_is_there(self):
        self.assertEqual(bench_als.first_at_most({3: 5.0, 1: 9.0, 2: 7.0}, 7), 2)
        self.assertIsNone(bench_als.first_at_most({1: 9.0}, 7))

    def test_curves_end_at_the_target(self):
        losses = [100 / n for n in range(1, 31)]
        self.assertEqual(max(Watched(losses).curve("CG", 4, 30, 10.5)["losses"]), 10)
        self.assertEqual(max(Watched(losses).curve("CG", 4, 7, None)["losses"]), 7)
        self.assertEqual(sorted(Watched(losses).curve("CG", 4, 30, 20.5, since=3)["losses"]), [3, 4, 5])
        for target, wanted in ((10.5, 10), (100, 1), (losses[29], 30), (50, 2)):
            peer = Unwatched(losses)
            found = {int(n): loss for n, loss in peer.curve("CG", 4, 30, target)["losses"].items()}
            self.assertEqual(bench_als.first_at_most(found, target), wanted)
            self.assertLessEqual(len(peer.trained), 7)
        self.assertEqual(list(Unwatched(losses).curve("CG", 4, 30, 1)["losses"]), [30], "it never comes to that")
        own = Unwatched([5, 3, 2.001, 2.0005, 2]).curve("CG", 4, 5, "own")["losses"]
        self.assertEqual(bench_als.first_at_most(own, 2 * bench_als.EQUAL), 3)
        for target, wanted, rough in ((10, 10, False), (5, 20, False), (10, 15, True), (5, 30, True)):
            peer = Unwatched(losses)
            told = peer.curve("CG", 4, 30, target, first=15, budget=0 if rough else 100)
            self.assertEqual(bench_als.first_at_most(told["losses"], target), wanted)
            self.assertEqual((peer.trained[0], told["rough"]), (15, rough))

    def test_ratios_are_taken_turn_by_turn(self):
        self.assertEqual(bench_als.median_ratio([2, 40, 6], [1, 10, 2]), 3)
        self.assertEqual(bench_als.median_ratio([8], [1, 2, 4]), 4)
        self.assertIsNone(bench_als.median_ratio([], [1]))

    def test_what_libmf_prints(self):
        text = ("iter      tr_rmse      va_rmse          obj\n   0       1.5       1.0021   2.1e+05\n"
                "   1       1.1       0.9512   1.8e+05\n   2       1.0       0.9514   1.7e+05\n")
        rmse = bench_als_peers.parse_libmf(text)
        self.assertEqual(rmse, [1.0021, 0.9512, 0.9514])
        runs = [{"setting": "a", "rmse": rmse}, {"setting": "b", "rmse": [0.97, 0.96, 0.9512]}]
        self.assertEqual(bench_als.best_of_race(runs), (0.9512, 2, "a"))

    def test_a_peer_that_stands_still_is_asked_again(self):
        class Lazy:
            def __init__(self, answers):
                self.answers = answers

            def ask(self, _patience, **request):
                return self.answers.pop(0)

        for answers, wanted, failed in (([{"seconds": 1}], {"seconds": 1}, {}), ([{"error": "still"}, {"seconds": 2}], {"seconds": 2}, {}),
                                        ([{"error": "still"}, {"error": "again"}], {}, {"libmf": "again"})):
            bench = bench_als.Bench.__new__(bench_als.Bench)
            bench.failed, bench.workers, bench.args = {}, {}, type("Args", (), {"limit": 1})
            bench.worker = lambda *_, lazy=Lazy(answers): lazy
            self.assertEqual(bench.ask_libmf(2, ask="time"), wanted)
            self.assertEqual(bench.failed, failed)

    def test_verdicts(self):
        bench = bench_als.Bench.__new__(bench_als.Bench)
        bench.failed, bench.targets = {"spark": "no Java"}, []
        bench.args = type("Args", (), {"peers": ["implicit", "spark"]})
        for above, below, missing in (([8, 8], [2, 2], "implicit"), ([5], [2], "implicit"), ([5], [2], "spark"), ([5], [2], "irspack"),
                                      ([], [2], "implicit"), ([5], [], "implicit")):
            bench.check("x", 4, above, below, missing)
        self.assertEqual([t["verdict"].split(" (")[0] for t in bench.targets],
                         ["met", "missed", "not measured", "not measured", "met", "missed"])
        bench.check("x", 3, [3], [1.1], "implicit", factor=1.1)
        self.assertAlmostEqual(bench.targets[-1]["measured"], 3)
        self.assertIn("no Java", bench_als_report.target_line(bench.targets[2]))


    def test_figures_go_into_the_readme(self):
        root = self.out / "root"
        (root / "scripts" / "figures").mkdir(parents=True)
        for name in ("bench_als_report.py", "figures/als.py"):
            shutil.copy(SCRIPTS / name, root / "scripts" / name)
        (root / "README.md").write_text(f"before\n{bench_als_report.BEGIN}\nold\n{bench_als_report.END}\nafter\n")
        row = {"factors": 8, "race": "none", "mode": "CG", "threads": 2, "ranks": None, "turns": 1, "sweep": 0.5, "least": 0.4,
               "most": 0.6, "sweeps": 3, "rough": False, "setup": 0.1, "to_loss": 1.625, "loss": 7}
        rows = [{**row, "program": "implicit"}, {**row, "program": "gridmf", "ranks": 2, "sweep": 0.25, "to_loss": 0.875},
                {**row, "program": "gridmf", "ranks": 1, "sweep": 0.75, "to_loss": 2.375},
                {**row, "program": "cmfrec", "threads": 1, "rough": True}]
        result = {"title": "a title", "shape": "ml-1m", "rows": rows, "failed": {"spark": "no Java"},
                  "targets": [{"text": "a / b", "target": 3, "measured": 2.5, "verdict": "missed"}]}
        kept, bench_als_report.ROOT = bench_als_report.ROOT, root
        try:
            bench_als_report.write_figures(result)
            bench_als_report.write_figures(result)
            self.assertNotIn("Larger data", (root / "README.md").read_text())
            for shape, seconds in (("netflix/10", 6.5), ("ml-20m", 9.25)):
                other = [{**row, "program": "gridmf", "ranks": 2, "sweep": seconds, "to_loss": 2 * seconds}]
                bench_als_report.write_figures({**result, "title": f"title of {shape}", "shape": shape, "rows": other, "targets":
                                                [{**result["targets"][0], "measured": seconds, "verdict": "met"}]})
        finally:
            bench_als_report.ROOT = kept
        text = (root / "README.md").read_text()
        self.assertTrue(text.startswith("before\n") and text.endswith("\nafter\n") and "old" not in text)
        for line in ("a title.", "| gridmf, CG | 0.250 | 0.88 |", "| implicit, CG | 0.500 | 1.62 |", "| a / b | 3 | 2.50 | missed |",
                     "| gridmf, CG | 6.500 | 13.00 | 9.250 | 18.50 |", "| a / b | 3 | 6.50, met | 9.25, met |", "title of netflix/10",
                     "Spark MLlib does not run here: no Java"):
            self.assertEqual(text.count(line), 1, line)
        self.assertIn("<= 3", (root / "scripts" / "figures" / "als.md").read_text())
        self.assertIn("<svg", (root / "scripts" / "figures" / "als.svg").read_text())


class TestRun(harness.Case):
    def test_the_setting_with_least_work_to_an_rmse(self):
        stars = self.out / "stars.h5"
        run_good(2, "synth", "-o", stars, "--like", "ml-100k/4", "--factors", 2, "--noise", 0.1, "--quiet")
        run_good(2, "split", stars, "--train", self.out / "train.h5", "--test", self.out / "test.h5", "--method", "random",
                 "--fraction", 0.1, "--quiet")
        run_good(1, "split", self.out / "train.h5", "--train", self.out / "fit.h5", "--test", self.out / "valid.h5", "--method", "random",
                 "--fraction", 0.1, "--seed", 2, "--quiet")
        bench = bench_als.Bench.__new__(bench_als.Bench)
        bench.folder, bench.args = self.out, type("Args", (), {"gridmf": harness.GRIDMF, "sweeps": 4})
        values = bench_als.Ratings.of_dataset(self.out / "test.h5").data
        chosen = bench.choose_als(2, (1, 1))
        self.assertIn(chosen[0], (1, 2))
        sweeps, factors, options = bench.sweeps_to_rmse(chosen, 0.9 * values.std(), (1, 1))
        self.assertTrue(1 <= sweeps <= 4)
        run = bench.als_rmse("train.h5", "test.h5", factors, options, (1, 1))
        self.assertLessEqual(run["rmse"][sweeps], 0.9 * values.std())
        self.assertTrue(all(rmse > 0.9 * values.std() for sweep, rmse in run["rmse"].items() if sweep < sweeps))
        self.assertIsNone(bench.sweeps_to_rmse(chosen, 0.01 * values.std(), (1, 1)))

    def test_a_missing_peer_is_told_and_breaks_nothing(self):
        json_file, md_file = self.out / "als.json", self.out / "als.md"
        done = subprocess.run(
            [sys.executable, SCRIPTS / "bench_als.py", "--gridmf", harness.GRIDMF, "--like", "ml-100k/10", "--factors", "4",
             "--threads", "2", "--repeat", "1", "--sweeps", "3", "--peers", "implicit,spark", "--missing", "implicit=no wheel",
             "--missing", "spark=no Java", "--json", json_file, "--markdown", md_file], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("implicit: does not run here: no wheel", done.stdout)
        self.assertEqual(done.stdout.count("not measured"), 9)
        result = json.loads(json_file.read_text())
        kinds = {(row["program"], row["mode"], row["ranks"]) for row in result["rows"]}
        self.assertEqual(kinds, {("gridmf", mode, ranks) for mode in bench_als.SOLVERS for ranks in (1, 2)} |
                         {("gridmf als", mode, ranks) for mode in ("auto", "Cholesky") for ranks in (1, 2)})
        for row in result["rows"]:
            self.assertTrue(row["race"] == "als" or (row["sweeps"] <= 3 and row["to_loss"] >= row["sweeps"] * row["sweep"]), row)
        self.assertIn("Spark MLlib does not run here: no Java", md_file.read_text())
        best = bench_als_report.best_rows(result["rows"])
        self.assertEqual(len(best), 7)
        self.assertEqual(len(bench_als_report.summary(bench_als_report.by_factors(result))), 2 + 7)


if __name__ == "__main__":
    unittest.main()
