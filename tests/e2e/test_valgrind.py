"""A short run of every verb under Valgrind: no use of memory that was not set, not there or freed.

Leaks are not looked for: MPI keeps memory to the end, and gridmf counts its own (GRIDMF_CHECK_MEMORY).
"""

import os
import pathlib
import shutil
import unittest

import harness

SOURCE = pathlib.Path(os.environ.get("GRIDMF_SOURCE", pathlib.Path(__file__).resolve().parents[2]))
SUPPRESSIONS = [p for p in ("/usr/share/openmpi/openmpi-valgrind.supp", str(SOURCE / "tests" / "valgrind.supp"))
                if os.path.exists(p)]
FOUND = 9
VALGRIND = ["valgrind", "--quiet", f"--error-exitcode={FOUND}", "--num-callers=25", "--gen-suppressions=all",
            *("--suppressions=" + p for p in SUPPRESSIONS)]
ENVIRONMENT = {"GRIDMF_ISA": "avx2", "OMP_NUM_THREADS": "2",  # Valgrind knows no AVX-512
               "OPENBLAS_CORETYPE": "Haswell"}  # and would not follow a program that starts itself anew


@unittest.skipUnless(shutil.which("valgrind"), "valgrind is not installed")
class Valgrind(harness.Case):
    def check(self, n_ranks, program, *args):
        result = harness.execute([*harness.launch(n_ranks), *VALGRIND, program, *args], env=ENVIRONMENT, timeout=300)
        self.assertEqual(result.rc, 0, str(result))
        self.assertNotIn("ERROR SUMMARY", result.stderr)

    def test_finds_something(self):
        """The suppressions leave our own errors alone: a program that reads what it never set is found."""
        source, program = self.out / "bad.c", self.out / "bad"
        source.write_text("#include <stdlib.h>\nint main(void) { int *p = malloc(40); return p[3] ? 0 : 1; }\n")
        compiler = shutil.which("cc") or shutil.which("gcc")
        self.assertEqual(harness.execute([compiler, "-O0", "-o", program, source]).rc, 0)
        self.assertEqual(harness.execute([*VALGRIND, program], timeout=300).rc, FOUND)

    def test_verbs(self):
        text, data, model = self.out / "ratings.csv", self.out / "data.h5", self.out / "model.h5"
        halves = self.out / "train.h5", self.out / "test.h5"
        text.write_text("user,item,rating,time\n" + "".join(f"u{u},{u * i % 53},{1 + i % 5},{u + i}\n" for u in range(60)
                                                            for i in range(1, 20)))
        self.check(2, harness.GRIDMF, "import", text, "-o", data, "--min-item-count", 2)
        self.check(1, harness.GRIDMF, "import", text, "-o", data, "--duplicates", "mean")
        self.check(3, harness.GRIDMF, "synth", "-o", self.out / "synth.h5", "--users", 50, "--items", 40, "--ratings", 300)
        self.check(2, harness.GRIDMF, "split", data, "--train", halves[0], "--test", halves[1], "--method",
                   "leave-last", "--count", 2)
        for n_ranks, words in ((2, ["als", "--bias"]), (2, ["ials", "--grid", "1x2"]), (1, ["als", "--solver", "cg"]),
                               (2, ["ials", "--deterministic"])):
            self.check(n_ranks, harness.GRIDMF, "train", halves[0], "-o", model, "--factors", 9, "--iterations", 2,
                       "--algorithm", *words)
            self.check(2, harness.GRIDMF, "evaluate", model, halves[1])
        grid = self.out / "grid.ini"
        grid.write_text("[sweep]\nalgorithm = als, popularity\nfactors = 3, 5\niterations = 2\n")
        self.check(2, harness.GRIDMF, "sweep", halves[0], "-o", self.out / "sweep", "--config", grid, "--test", halves[1],
                   "--log-json", self.out / "log.jsonl", "--groups", 2)
        self.check(1, harness.GRIDMF, "info", model)
        self.check(2, harness.GRIDMF, "verify", model, data)

    def test_query(self):
        data, model = self.out / "data.h5", self.out / "model.h5"
        harness.run_good(1, "synth", "-o", data, "--users", 50, "--items", 40, "--ratings", 300)
        harness.run_good(1, "train", data, "-o", model, "--algorithm", "als", "--factors", 5, "--iterations", 1)
        self.check(1, harness.GRIDMF_QUERY, model, "recommend", "--all", "--top", 3)
        self.check(1, harness.GRIDMF_QUERY, model, "score", "--user", 1, "--item", 2)


if __name__ == "__main__":
    unittest.main()
