"""--relaxation: rows go beyond their solutions as in NumPy, and the same loss takes fewer sweeps."""

import os
import subprocess
import unittest

import numpy as np

import harness
from harness import random_dataset, read_factors, read_history, run, run_good
from test_oracle import OracleCase, Problem, Ratings, Settings, read_biases

LAYOUTS = [(1, "auto"), (3, "auto"), (4, "8:2x2")]


class TestOracle(OracleCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.data = random_dataset(cls.folder / "data.h5", 31, 24, 300)
        cls.weighted = random_dataset(cls.folder / "weighted.h5", 31, 24, 300,
                                      weights=lambda rng, n: rng.choice([0.5, 1, 2, 3.25], n))

    def test_factors_and_objectives(self):
        """Of four sweeps: plain, half of the way, and twice in full."""
        for data, settings in ((self.data, Settings(bias=True, center="global", scale="count", relaxation=1.4)),
                               (self.weighted, Settings("ials", relaxation=1.6)),
                               (self.weighted, Settings(solver="cg", bias=True, relaxation=1.3))):
            self.check(data, settings, LAYOUTS, iterations=[4])
        self.check(self.data, Settings("ials", loss="ials", solver="cg", relaxation=1.9), [(4, "2x2")], iterations=[4])

    def test_few_steps_of_cg(self):
        """The objective is that of the factors although rows are not solved, and goes down."""
        for base in (Settings("ials", k=12), Settings(scale="count", k=12, bias=True)):
            settings = Settings(**{**base.__dict__, "solver": "cg", "cg_steps": 1, "relaxation": 1.5})
            ratings = Ratings(self.data)
            problem = Problem(ratings.dense(), settings)
            for n_ranks, grid in LAYOUTS[:2]:
                model = self.train(self.data, settings, n_ranks, grid, 8)
                history = read_history(model)
                biases = read_biases(model) if settings.bias else (np.zeros(31), np.zeros(24))
                self.assertAlmostEqual(history[-1] / problem.objective(*read_factors(model), *biases), 1, places=5)
                self.assertTrue((np.diff(history) < 1e-6 * history[0]).all(), history)


class TestSweeps(harness.Case):
    """Data with tastes, where plain sweeps are slow."""

    SETS = [("counts.h5", ["--algorithm", "ials", "--alpha", 1, "--lambda", 5]),
            ("counts.h5", ["--algorithm", "ials", "--loss", "ials", "--alpha0", 0.2, "--lambda", 0.02, "--lambda-scale", "ials"]),
            ("stars.h5", ["--algorithm", "als", "--lambda-scale", "none", "--lambda", 2])]
    N = 12

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for name, more in (("counts.h5", ["--implicit"]), ("stars.h5", [])):
            run_good(1, "synth", "-o", cls.folder / name, "--users", 900, "--items", 500, "--ratings", 40000, *more, "--quiet")

    def history(self, data, options, relaxation):
        run_good(1, "train", self.folder / data, "-o", self.out / "model.h5", *options, "--factors", 24, "--iterations", self.N,
                 "--relaxation", relaxation, "--quiet")
        return np.array(read_history(self.out / "model.h5"))

    def test_fewer(self):
        """From the third sweep on the loss is below that of plain ones, and that of the last comes sweeps earlier."""
        for (data, options), more in zip(self.SETS, (["--solver", "cg", "--cg-steps", 2], [], [])):
            with self.subTest(data=data, options=options + more):
                plain, relaxed = (self.history(data, options + more, omega) for omega in (1, 1.5))
                self.assertEqual(plain[0], relaxed[0])
                self.assertTrue((relaxed[2:] < plain[2:]).all(), (plain, relaxed))
                self.assertLessEqual(np.flatnonzero(relaxed <= plain[-1])[0], self.N - 4, (plain, relaxed))

    def test_any_factor_goes_down(self):
        for (data, options), omega in zip(self.SETS, (1.2, 1.9, 1.7)):
            history = self.history(data, options, omega)
            self.assertTrue((np.diff(history) <= 1e-7 * history[0]).all(), history)

    def model_bytes(self, folder, n_ranks, threads, *words):
        (self.out / folder).mkdir(exist_ok=True)
        result = run(n_ranks, "train", self.folder / "counts.h5", "-o", "model.h5", *self.SETS[0][1], "--factors", 16,
                     "--relaxation", 1.5, *words, cwd=self.out / folder,
                     env={"SOURCE_DATE_EPOCH": "0", "OMP_NUM_THREADS": str(threads)})
        self.assertEqual(result.rc, 0, str(result))
        return result, (self.out / folder / "model.h5").read_bytes()

    def test_resume(self):
        """A run that goes on from any sweep, the plain one too, ends with the same bytes."""
        saved = ["--checkpoint", "ck", "--checkpoint-every", "0s", "--keep", 99, "--iterations", 6]
        for n_ranks, words in ((1, ["--solver", "cg"]), (2, [])):
            name = "-".join(map(str, ["run", n_ranks, *words]))
            whole = self.model_bytes(name, n_ranks, 2, *words, *saved)[1]
            for sweep in (1, 3):
                copy = f"{name}-{sweep}"
                subprocess.run(["cp", "-r", self.out / name, self.out / copy], check=True)
                for path in (self.out / copy / "ck").glob("*.h5"):
                    if path.name != "%06d.h5" % sweep:
                        os.unlink(path)
                result, found = self.model_bytes(copy, n_ranks, 2, *words, *saved)
                self.assertIn("resumed after sweep %d" % sweep, result.stderr)
                self.assertEqual(found, whole)

    def test_deterministic(self):
        factors = []
        for n_ranks, threads in ((1, 1), (1, 2), (3, 1)):
            self.model_bytes("run", n_ranks, threads, "--deterministic", "--iterations", 5)
            factors.append(read_factors(self.out / "run" / "model.h5"))
        for x, y in factors[1:]:
            np.testing.assert_array_equal(x, factors[0][0])
            np.testing.assert_array_equal(y, factors[0][1])

    def test_refused(self):
        for words, said in ((["--algorithm", "als", "--relaxation", 1.5, "--nonnegative"], "leave out --nonnegative"),
                            (["--algorithm", "ials", "--relaxation", 1.5, "--item-features"], "leave out --item-features"),
                            (["--algorithm", "ease", "--relaxation", 1.5], "has no --relaxation"),
                            (["--algorithm", "als", "--relaxation", 2], "1 to 1.9")):
            result = run(2, "train", self.folder / "counts.h5", "-o", self.out / "model.h5", *words)
            self.assertEqual(result.rc, 64, str(result))
            self.assertIn(said, result.stderr)


if __name__ == "__main__":
    unittest.main()
