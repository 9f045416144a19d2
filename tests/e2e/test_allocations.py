"""Memory that runs out anywhere, on one rank or on all: exit code 71 on all, one message, nothing left, nobody hangs.

The Nth allocation of a rank fails, for N = 1, 2, ... until a run needs fewer: all of them where GRIDMF_SLOW is 1, else a
sample. What MPI and HDF5 allocate for themselves is not gridmf's, and not part of this.
"""

import os
import pathlib
import re
import unittest

import harness
from harness import GRIDMF, MPIRUN, run_good

MEMORY = 71
SLOW = os.environ.get("GRIDMF_SLOW") == "1"
LAST = 100000


def points(salt):
    """1, 2, ...; or a sample that becomes thinner, another one for each salt."""
    n = 1
    while n < LAST:
        yield n
        n += 1 if SLOW else max(1 + salt, n * (4 + salt) // 5)


def left_in_memory():
    """Shared memory of runs of gridmf that are over (runtime/node.c names it by its process)."""
    found = [(p, re.match(r"gridmf-(\d+)-", p.name)) for p in pathlib.Path("/dev/shm").glob("gridmf-*")]
    return [p for p, name in found if name and not pathlib.Path("/proc", name[1]).exists()]


class Allocations(harness.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.data, cls.test, cls.model = (cls.folder / f"{name}.h5" for name in ("data", "test", "model"))
        cls.text = cls.folder / "ratings.csv"
        cls.text.write_text("user,item,rating,time\n" +
                            "".join(f"u{i % 61},{i % 47},{1 + i % 5},{i}\n" for i in range(1500)))
        run_good(1, "import", cls.text, "-o", cls.data, "--quiet")
        run_good(1, "split", cls.data, "--train", cls.folder / "train.h5", "--test", cls.test, "--method", "random",
                 "--fraction", 0.3, "--quiet")
        run_good(1, "train", cls.folder / "train.h5", "-o", cls.model, "--algorithm", "als", "--bias", "--factors", 4,
                 "--iterations", 1, "--quiet")

    def fail_once(self, n_ranks, where, words):
        result = harness.execute([*MPIRUN, "-n", n_ranks, GRIDMF, *words, "--quiet"], timeout=30,
                                 env={"GRIDMF_FAIL_ALLOCATION": where})
        self.assertIn(result.rc, (0, MEMORY), f"{where}: {result}")
        if result.rc == MEMORY:
            self.assertEqual(len(result.messages()), 1, f"{where}: {result}")
            self.assertRegex(result.messages()[0], r"out of memory.* \(rank \d+\)$", f"{where}: {result}")
            self.assertEqual(list(self.out.iterdir()), [], f"{where}: {result}")
            if not where.startswith("all"):
                self.assertIn(f"(rank {where.split(':')[0]})", result.messages()[0], where)
        self.assertEqual(left_in_memory(), [], f"{where}: {result}")
        for path in self.out.iterdir():
            path.unlink()
        return result.rc == MEMORY

    def sweep(self, n_ranks, *words):
        """Every rank's allocations fail one by one on rank 0, on the last, and all that follow on all ranks."""
        words = [str(w).replace("OUT", str(self.out)) for w in words]
        for salt, where in enumerate(("0:%d", f"{n_ranks - 1}:%d", "all:%d+")):
            n_failed = 0
            for n in points(salt):
                if not self.fail_once(n_ranks, where % n, words):
                    break
                n_failed += 1
            self.assertGreater(n_failed, 3, "hardly an allocation was hit")

    def test_import(self):
        self.sweep(3, "import", self.text, "-o", "OUT/d.h5", "--threads", 2)

    def test_import_filters(self):
        self.sweep(2, "import", self.text, "-o", "OUT/d.h5", "--min-user-count", 3, "--k-core", "--duplicates", "mean")

    def test_split(self):
        self.sweep(3, "split", self.data, "--train", "OUT/a.h5", "--test", "OUT/b.h5", "--method", "leave-last",
                   "--count", 1)

    def test_split_users(self):
        self.sweep(2, "split", self.data, "--train", "OUT/a.h5", "--test", "OUT/b.h5", "--fold-in", "OUT/c.h5",
                   "--method", "users", "--count", 5)

    def test_train_als(self):
        self.sweep(3, "train", self.data, "-o", "OUT/m.h5", "--algorithm", "als", "--bias", "--factors", 4,
                   "--iterations", 1)

    def test_train_ials(self):
        self.sweep(2, "train", self.data, "-o", "OUT/m.h5", "--algorithm", "ials", "--factors", 4, "--iterations", 1)

    def test_train_grid(self):
        self.sweep(4, "train", self.data, "-o", "OUT/m.h5", "--algorithm", "als", "--factors", 4, "--iterations", 1,
                   "--grid", "2x2")

    def test_train_heavy(self):
        self.sweep(2, "train", self.data, "-o", "OUT/m.h5", "--algorithm", "als", "--factors", 4, "--iterations", 1,
                   "--solver", "cg", "--heavy-items", "2:1x2", "--heavy-users", "1:1x2")

    def test_train_two_hops(self):
        self.sweep(4, "train", self.data, "-o", "OUT/m.h5", "--algorithm", "als", "--factors", 4, "--iterations", 1,
                   "--hops", 2)

    def test_train_panels(self):
        self.sweep(2, "train", self.data, "-o", "OUT/m.h5", "--algorithm", "als", "--factors", 4, "--iterations", 1,
                   "--expand-memory", "1K")

    def test_train_shared_rows(self):
        self.sweep(3, "train", self.data, "-o", "OUT/m.h5", "--algorithm", "ials", "--factors", 4, "--iterations", 1,
                   "--share-node", "on")

    def test_evaluate(self):
        self.sweep(3, "evaluate", self.model, self.test, "--metrics", "rmse,recall@5")

    def test_evaluate_held_out_users(self):
        """Half of the test set is folded in again, which the model then must not have had."""
        implicit = self.folder / "implicit.h5"
        run_good(1, "train", self.folder / "train.h5", "-o", implicit, "--algorithm", "ials", "--factors", 4, "--iterations", 1,
                 "--quiet")
        self.sweep(3, "evaluate", implicit, self.test, "--fold-in", self.data, "--metrics", "rmse,auc,ndcg@5,coverage@3")

    def test_evaluate_projected_users(self):
        svd = self.folder / "svd.h5"
        run_good(1, "train", self.folder / "train.h5", "-o", svd, "--algorithm", "svd", "--factors", 4, "--scaling", "sqrt", "--quiet")
        self.sweep(2, "evaluate", svd, self.test, "--fold-in", self.data, "--metrics", "rmse")

    def test_train_validation(self):
        self.sweep(3, "train", self.folder / "train.h5", "-o", "OUT/m.h5", "--algorithm", "ials", "--factors", 4,
                   "--iterations", 2, "--test", self.test, "--fold-in", self.data, "--metrics", "auc,ndcg@5,coverage@3",
                   "--early-stop", 1)

    def test_train_item_knn(self):
        self.sweep(3, "train", self.data, "-o", "OUT/m.h5", "--algorithm", "item-knn", "--similarity", "bm25")

    def test_train_ease(self):
        self.sweep(3, "train", self.data, "-o", "OUT/m.h5", "--algorithm", "ease", "--keep-per-item", 5)

    def test_evaluate_item_weights(self):
        ease = self.folder / "ease.h5"
        run_good(2, "train", self.folder / "train.h5", "-o", ease, "--algorithm", "ease", "--quiet")
        self.sweep(2, "evaluate", ease, self.test, "--fold-in", self.data, "--metrics", "rmse,auc,ndcg@5")

    def test_train_popularity(self):
        self.sweep(2, "train", self.data, "-o", "OUT/m.h5", "--algorithm", "popularity")

    def test_train_svd_goes_on(self):
        """From a checkpoint, and to further ones."""
        for name, options in (("krylov", ["--block", 1, "--tolerance", "1e-12"]), ("randomized", ["--power-steps", 4])):
            folder = self.folder / name
            words = ["train", self.data, "--algorithm", "svd", "--svd-method", name, "--factors", 3, *options, "--checkpoint-every",
                     "0s", "--keep", 99, "--checkpoint"]
            run_good(2, *words, folder, "-o", self.folder / "svd.h5", "--quiet")
            self.sweep(2, *words, self.folder / (name + "-further"), "--resume", folder / "000002.h5", "-o", "OUT/m.h5")

    def test_recommend(self):
        self.sweep(2, "recommend", self.model, "-o", "OUT/r.h5", "--top", 5, "--threads", 2)

    def test_export(self):
        self.sweep(1, "export", self.model, "--to", "ann-benchmarks", "-o", "OUT/x")
        self.sweep(1, "export", self.data, "--to", "h5ad", "-o", "OUT/x")

    def test_synth(self):
        self.sweep(2, "synth", "-o", "OUT/s.h5", "--users", 30, "--items", 20, "--ratings", 100)
        self.sweep(2, "synth", "-o", "OUT/s.h5", "--like", "ml-100k/40", "--factors", 2)


if __name__ == "__main__":
    unittest.main()
