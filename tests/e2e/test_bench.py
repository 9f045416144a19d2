"""gridmf bench: what it measures is positive and sane in both ways to print it. train --roofline: bounds by their formulas."""

import json
import re
import unittest

import h5py
import numpy as np

import harness
from harness import random_dataset, run, run_good

RATES = ("multiply_add_f4_gflops", "multiply_add_f8_gflops", "triad_gbs")
KERNEL_RATES = ("gram_gflops", "cholesky_gflops", "cg_gflops", "cg_from_memory_gbs")
SHORT = ("--seconds", 0.05, "--memory-limit", "256M")  # 32M of them


class TestBench(harness.Case):
    def check(self, report, n_ranks, n_threads):
        self.assertEqual((report["ranks"], report["threads"]), (n_ranks, n_threads))
        for name in RATES:
            self.assertGreater(report[name], 0, name)
            self.assertLess(report[name], 1e6, name)
        self.assertEqual([kernel["factors"] for kernel in report["kernel"]], [16, 32, 64, 128, 256])
        for kernel in report["kernel"]:
            for name in KERNEL_RATES:
                self.assertGreater(kernel[name], 0, name)
                self.assertLess(kernel[name], 1e6, name)

    def test_one_rank_has_no_network(self):
        report = run_good(1, "bench", "--json", *SHORT, env={"GRIDMF_ISA": "generic"}).json()
        self.assertEqual(report["kernels"], "generic")
        self.check(report, 1, 1)
        self.assertNotIn("network", report)

    def test_two_ranks_measure_the_network(self):
        report = run_good(2, "bench", "--json", *SHORT, "--threads", 2).json()
        self.check(report, 2, 2)
        network = report["network"]
        self.assertEqual(set(network), {"message_us", "pair_gbs", "exchange_us", "exchange_gbs"})
        for name, value in network.items():
            self.assertGreater(value, 0, name)
            self.assertLess(value, 1e6, name)

    def test_table(self):
        out = run_good(3, "bench", *SHORT).stdout
        for line in ("multiply-add, f4", "multiply-add, f8", "memory, triad", "message of 8 bytes", "exchange of 16 MB"):
            self.assertRegex(out, rf"(?m)^{line} +(GFLOP/s|GB/s|us) +[\d. ]+$")
        self.assertEqual(len(re.findall(r"(?m)^ +(?:16|32|64|128|256)(?: +[\d.]+ +\d+%){4}$", out)), 5, out)

    def test_wrong_use(self):
        self.assertEqual(run(1, "bench", "data.h5").rc, 64)
        self.assertEqual(run(1, "bench", "--seconds", "0").rc, 64)


class TestRoofline(harness.Case):
    K = 24

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.data = random_dataset(cls.folder / "data.h5", 150, 90, 4000)

    def train(self, n_ranks, *extra):
        """The roofline's event, and what the run printed."""
        log = self.out / "log.jsonl"
        log.unlink(missing_ok=True)
        err = run_good(n_ranks, "train", self.data, "-o", self.out / "m.h5", "--factors", self.K, "--iterations", 2,
                       "--roofline", "--log-json", log, *extra).stderr
        return next(e for e in map(json.loads, log.read_text().splitlines()) if e["event"] == "roofline"), err

    def counts(self):
        """Ratings of each user and of each item."""
        with h5py.File(self.data) as file:
            indptr, indices = file["ratings/indptr"][:], file["ratings/indices"][:]
            n_users, n_items = file["ratings"].attrs["shape"]
        self.assertEqual(len(indptr), n_users + 1)
        return np.diff(indptr).astype(float), np.bincount(indices, minlength=n_items).astype(float)

    def bounds(self, e, operations_of_row, shared):
        """Seconds of gram and solve in a sweep on one rank, by algorithms.md section 7."""
        k, sides, gram, solve = self.K, self.counts(), 0, 0
        for side, other in (sides, sides[::-1]):
            side_ops = sum(operations_of_row(d) for d in side if d > 0) / e["multiply_add_f4"]
            if shared:
                side_ops += 2 * len(side) * k * k / e["multiply_add_f8"]
            touched = np.count_nonzero(other)
            memory = side.sum() * 8 + 4 * k * touched + 8 * k * len(side)
            solve += max(side_ops, memory / e["triad"])
            gram += max((len(other) * (k * (k + 1) + 2 * k * k) + 9 * k ** 3) / e["multiply_add_f8"],
                        8 * k * len(other) / e["triad"]) if shared else 0
        return gram, solve

    def exact(self, d):
        k = self.K
        return min(d * k * (k + 1) + 2 * d * k + k ** 3 / 3 + 2 * k * k,
                   d * (d + 1) * k + d ** 3 / 3 + 2 * d * d + 4 * d * k)

    def check_one_rank(self, operations_of_row, shared, *words):
        e, err = self.train(1, *words)
        gram, solve = self.bounds(e, operations_of_row, shared)
        self.assertEqual(set(e["phases"]), {"gram", "solve"} if shared else {"solve"})
        self.assertAlmostEqual(e["phases"]["solve"]["bound"] / solve, 1, places=6)
        if shared:
            self.assertAlmostEqual(e["phases"]["gram"]["bound"] / gram, 1, places=6)
        for phase in e["phases"].values():
            self.assertAlmostEqual(phase["share"] * phase["seconds"] / phase["bound"], 1, places=6)
        self.assertEqual((e["sweeps"], e["balance"], e["serial"]), (2, 1, e["limit"]))
        self.assertRegex(err, r"(?m)^phase .* bound s  share$")
        self.assertRegex(err, r"(?m)^solve .* [\d.]+ M ratings/s +[\d.]+ +\d+%$")
        self.assertRegex(err, r"(?m)^write .* [\d.]+ MB/s$")

    def test_exact_solver(self):
        self.check_one_rank(self.exact, False, "--algorithm", "als")
        self.check_one_rank(self.exact, True, "--algorithm", "ials")

    def test_cg(self):
        self.check_one_rank(lambda d: 5 * 4 * d * self.K + 2 * d * self.K + 10 * 4 * self.K, True, "--algorithm", "ials",
                            "--solver", "cg", "--cg-steps", 4)

    def test_network(self):
        for n_ranks, grid, phases in ((3, "auto", {"gram", "expand", "solve"}), (4, "2x2", {"gram", "expand", "solve", "fold"})):
            e, _ = self.train(n_ranks, "--algorithm", "ials", "--grid", grid)
            self.assertEqual(set(e["phases"]), phases)
            self.assertGreater(e["serial"], e["limit"])
            self.assertGreater(e["bandwidth"], 0)
            self.assertTrue(0 < e["balance"] <= 1, e)

    def test_heavy_rows_and_bf16(self):
        words = ("--algorithm", "ials", "--wire", "bf16", "--heavy-users", "none", "--heavy-items")
        e, _ = self.train(4, *words, "none")
        self.assertEqual(set(e["phases"]), {"gram", "expand", "solve"})
        for extra in (("--solver", "cg"), ("--solver", "cholesky"), ()):
            e, _ = self.train(4, *words, "50:2x2", *extra)
            self.assertEqual(set(e["phases"]), {"gram", "expand", "solve", "fold"}, extra)

    def test_model_is_the_same(self):
        models = []
        for extra in ((), ("--roofline",)):
            path = self.out / f"model{len(extra)}.h5"
            run_good(2, "train", self.data, "-o", path, "--algorithm", "ials", "--iterations", 2, *extra)
            with h5py.File(path) as file:
                models.append((file["users/factors"][:], file["items/factors"][:]))
        for without, measured in zip(*models):
            np.testing.assert_array_equal(without, measured)

    def test_not_for_models_without_sweeps(self):
        result = run(1, "train", self.data, "-o", self.out / "m.h5", "--algorithm", "svd", "--roofline")
        self.assertEqual(result.rc, 64)
        self.assertIn("--roofline", result.messages()[0])


if __name__ == "__main__":
    unittest.main()
