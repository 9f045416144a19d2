"""Two threads in a rank under the thread sanitizer: no two touch the same memory at once, one of them writing.

Run in a build of the preset tsan. OpenMP is clang's, whose tool Archer tells the sanitizer of its barriers.
"""

import os
import shutil
import unittest

import harness

RACE = 66
ENVIRONMENT = {"OMP_NUM_THREADS": "2", "ARCHER_OPTIONS": "verbose=1",
               "TSAN_OPTIONS": f"ignore_noninstrumented_modules=1 exitcode={RACE}"}


class Threads(harness.Case):
    def check(self, n_ranks, *args):
        result = harness.execute([*harness.launch(n_ranks), harness.GRIDMF, *args], env=ENVIRONMENT, timeout=120)
        self.assertEqual(result.rc, 0, str(result))
        self.assertNotIn("ThreadSanitizer", result.stderr)
        self.assertIn("Archer detected", result.stdout + result.stderr, "nobody tells the sanitizer of OpenMP's barriers")

    def test_finds_something(self):
        source, program = self.out / "race.c", self.out / "race"
        source.write_text("int main(void) {\n  int n = 0;\n#pragma omp parallel for num_threads(2)\n"
                          "  for (int i = 0; i < 100000; i++) n++;\n  return n == 0;\n}\n")
        made = harness.execute([shutil.which("clang"), "-fopenmp", "-fsanitize=thread", "-o", program, source])
        self.assertEqual(made.rc, 0, str(made))
        self.assertEqual(harness.execute([program], env=ENVIRONMENT).rc, RACE)

    def test_verbs(self):
        """The watchdog's thread runs too; on two ranks it reads what the other rank's threads write."""
        text, data, model = self.out / "ratings.csv", self.out / "data.h5", self.out / "model.h5"
        halves = self.out / "train.h5", self.out / "test.h5"
        text.write_text("user,item,rating,time\n" + "".join(f"{u},{u * i % 353},{1 + i % 5},{u + i}\n"
                                                            for u in range(3000) for i in range(1, 40)))
        for n_ranks in (1, 2):
            patience = ("--stall-timeout", "20s")
            self.check(n_ranks, "import", text, "-o", data, "--min-item-count", 2, "--k-core", *patience)
            self.check(n_ranks, "synth", "-o", self.out / "synth.h5", "--users", 500, "--items", 400, "--ratings", 9000)
            self.check(n_ranks, "split", data, "--train", halves[0], "--test", halves[1], "--method", "random",
                       "--fraction", 0.2)
            for words in (["als", "--bias"], ["ials"], ["als", "--solver", "cg"], ["ials", "--deterministic"],
                          ["als", "--nonnegative"], ["als", "--grid", f"1x{n_ranks}"],
                          ["als", "--heavy-users", f"13:1x{n_ranks}", "--solver", "cg"],
                          ["ials", "--factors", 95, "--heavy-items", f"200:1x{n_ranks}"]):
                self.check(n_ranks, "train", halves[0], "-o", model, "--factors", 20, "--iterations", 2, *patience,
                           "--algorithm", *words)
                self.check(n_ranks, "evaluate", model, halves[1])


if __name__ == "__main__":
    unittest.main()
