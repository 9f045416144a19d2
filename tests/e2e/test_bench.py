"""gridmf bench: what it measures is positive, sane and the same in both ways to print it."""

import re
import unittest

import harness
from harness import run, run_good

RATES = ("multiply_add_f4_gflops", "multiply_add_f8_gflops", "triad_gbs")
KERNEL_RATES = ("gram_gflops", "cholesky_gflops", "cg_gflops", "cg_from_memory_gbs")
SHORT = ("--seconds", 0.05)


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


if __name__ == "__main__":
    unittest.main()
