"""What a run says it will need is what it takes, and a run that does not fit is refused before it takes it."""

import json
import os
import pathlib
import re
import unittest

import h5py
import numpy as np

import harness
from harness import GRIDMF, run, run_good

PLAN = 69


def events(path, name):
    return [e for e in map(json.loads, path.read_text().splitlines()) if e["event"] == name]


def make_group(name):
    """(folder, file of the limit) of a new control group, or (None, why not)."""
    why = "no memory controller"
    for folder, limit in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")):
        group = pathlib.Path(folder, name)
        if not pathlib.Path(folder, "cgroup.procs").exists():
            continue
        try:
            group.mkdir()
        except OSError as error:
            why = str(error)
            continue
        if (group / limit).exists():
            return group, group / limit
        group.rmdir()
    return None, why


class Estimate(harness.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.data, cls.weighted = cls.folder / "data.h5", cls.folder / "weighted.h5"
        run_good(1, "synth", "-o", cls.data, "--users", 60000, "--items", 12000, "--ratings", 3000000, "--quiet")
        cls.weighted.write_bytes(cls.data.read_bytes())
        with h5py.File(cls.weighted, "r+") as f:
            f["ratings/weight"] = np.ones(f["ratings/data"].shape, "f4")

    def measure(self, n_ranks, *words):
        """(stages and what they planned, measured peak), in MB a rank."""
        log = self.out / "log.json"
        log.unlink(missing_ok=True)
        run_good(n_ranks, *words, "-o", self.out / "out.h5", "--log-json", log, "--quiet", timeout=120)
        planned = {e["stage"]: e["planned_bytes_per_rank"] / 1e6 for e in events(log, "memory")}
        return planned, events(log, "end")[-1]["peak_bytes_per_rank"] / 1e6

    def test_training(self):
        """The plan by exact counts is within 10 % + 5 MB of the peak on the rank that has most."""
        for data, n_ranks, k, grid, words in (
                (self.data, 1, 16, "1x1", ["als", "--bias"]),
                (self.data, 1, 256, "1x1", ["ials", "--solver", "cg"]),
                (self.data, 2, 64, "2x1", ["ials"]),
                (self.data, 2, 64, "1x2", ["als", "--bias"]),
                (self.data, 4, 64, "2x2", ["als"]),
                (self.data, 4, 256, "4x1", ["als", "--solver", "cg"]),
                (self.data, 2, 64, "2x1", ["als", "--heavy-items", "2000:1x2", "--heavy-users", "80:1x2", "--bias"]),
                (self.data, 4, 128, "4x1", ["ials", "--heavy-items", "1:2x2", "--solver", "cholesky"]),
                (self.data, 4, 128, "2x2", ["ials", "--solver", "cg"]),
                (self.weighted, 4, 64, "4x1", ["ials", "--heavy-items", "300:2x2", "--solver", "cg"]),
                (self.weighted, 1, 16, "1x1", ["als"]),
                (self.weighted, 4, 16, "2x2", ["ials"])):
            with self.subTest(data=data.name, ranks=n_ranks, factors=k, grid=grid, words=words):
                planned, peak = self.measure(n_ranks, "train", data, "--algorithm", *words, "--factors", k, "--grid",
                                             grid, "--iterations", 1)
                self.assertLess(abs(planned["exact"] - peak), 0.1 * peak + 5, (planned, peak))
                # From sizes alone the plan may be too high, for it allows for fixed rows that no rating touches.
                # Which rows are heavy it cannot know.
                if "--heavy-items" not in words:
                    self.assertGreater(planned["start"], 0.85 * peak - 25, (planned, peak))
                self.assertLess(planned["start"], 1.3 * peak + 25, (planned, peak))

    def test_plan_beforehand(self):
        """What gridmf plan says of a run of so many ranks, alone and before it, is within 10 % + 5 MB of its peak."""
        for n_ranks, words in ((2, ["ials", "--factors", 64]), (4, ["als", "--factors", 128, "--solver", "cg"]),
                               (4, ["als", "--factors", 32, "--grid", "2x2"]),
                               (16, ["ials", "--factors", 16, "--solver", "cg"])):
            with self.subTest(ranks=n_ranks, words=words):
                words = ["--algorithm", *words, "--iterations", 1]
                plan = run_good(1, "plan", self.data, "--np", n_ranks, *words, "--flops", 1, "--bandwidth", 1, "--json",
                                "--quiet").json()["plans"][0]
                planned = plan["memory"]["peak_bytes"]["max"] / 1e6
                _, peak = self.measure(n_ranks, "train", self.data, *words)
                self.assertLess(abs(planned - peak), 0.1 * peak + 5, (planned, peak))

    def test_training_with_everything(self):
        """Validation, the best rows of early stopping, and checkpoints."""
        train, test = self.folder / "train.h5", self.folder / "test.h5"
        run_good(2, "split", self.data, "--train", train, "--test", test, "--method", "random", "--fraction", 0.2, "--quiet")
        for n_ranks, words in ((1, ["--early-stop", 1]), (2, ["--early-stop", 1, "--checkpoint-every", "0s"])):
            with self.subTest(ranks=n_ranks, words=words):
                checkpoints = ["--checkpoint", self.out / "checkpoints"] if len(words) > 2 else []
                planned, peak = self.measure(n_ranks, "train", train, "--algorithm", "ials", "--iterations", 2, "--test",
                                             test, "--metrics", "ndcg@10,auc", *words, *checkpoints)
                self.assertLess(abs(planned["exact"] - peak), 0.1 * peak + 5, (planned, peak))

    def test_singular_values(self):
        """By exact counts within 10 % + 10 MB."""
        for n_ranks, grid, words in ((1, "1x1", ["--factors", 64]),
                                     (2, "2x1", ["--factors", 64, "--center", "both"]),
                                     (4, "2x2", ["--factors", 100, "--block", 16]),
                                     (1, "1x1", ["--factors", 100, "--checkpoint", self.out / "a", "--checkpoint-every", "0s"]),
                                     (2, "2x1", ["--factors", 100, "--svd-method", "randomized", "--power-steps", 2,
                                                 "--checkpoint", self.out / "b", "--checkpoint-every", "0s"])):
            with self.subTest(ranks=n_ranks, grid=grid, words=words):
                planned, peak = self.measure(n_ranks, "train", self.data, "--algorithm", "svd", "--grid", grid, *words)
                self.assertLess(abs(planned["exact"] - peak), 0.1 * peak + 10, (planned, peak))
                self.assertGreater(planned["start"], 0.85 * peak - 25, (planned, peak))
                self.assertLess(planned["start"], 1.3 * peak + 25, (planned, peak))

    def test_dense_gram_matrix(self):
        data = self.out / "data.h5"
        run_good(1, "synth", "-o", data, "--users", 9000, "--items", 1600, "--ratings", 300000, "--quiet")
        for n_ranks in (1, 4):
            with self.subTest(ranks=n_ranks):
                planned, peak = self.measure(n_ranks, "train", data, "--algorithm", "svd", "--svd-method", "gram", "--factors", 20)
                self.assertLess(abs(planned["exact"] - peak), 0.1 * peak + 20, (planned, peak))

    def test_item_weights(self):
        for n_ranks, words in ((1, ["item-knn", "--neighbours", 100]), (2, ["item-knn"]), (4, ["item-knn", "--neighbours", 50])):
            with self.subTest(ranks=n_ranks, words=words):
                planned, peak = self.measure(n_ranks, "train", self.data, "--algorithm", *words)
                self.assertLess(abs(planned["exact"] - peak), 0.1 * peak + 10, (planned, peak))
        data = self.out / "data.h5"
        run_good(1, "synth", "-o", data, "--users", 9000, "--items", 1600, "--ratings", 300000, "--quiet")
        for n_ranks, words in ((1, []), (2, ["--precision", "f4"]), (4, ["--keep-per-item", 20])):
            with self.subTest(ranks=n_ranks, words=words):
                planned, peak = self.measure(n_ranks, "train", data, "--algorithm", "ease", *words)
                self.assertLess(abs(planned["exact"] - peak), 0.1 * peak + 10, (planned, peak))

    def test_import(self):
        """From the size of the text alone: within a third + 25 MB."""
        text = self.out / "ratings.csv"
        rng = np.random.default_rng(1)
        columns = [rng.integers(low, high, 2000000) for low, high in ((1, 40000), (1, 9000), (1, 6), (1, 10**9))]
        np.savetxt(text, np.stack(columns, 1), fmt="%d", delimiter=",", header="user,item,rating,time", comments="")
        for n_ranks in (1, 2, 4):
            with self.subTest(ranks=n_ranks):
                planned, peak = self.measure(n_ranks, "import", text)
                self.assertLess(abs(planned["start"] - peak), peak / 3 + 25, (planned, peak))

    def test_more_is_found_when_the_ratings_are_there(self):
        """One item has half of all ratings: the rank that gets it has more than its share, which only counts tell."""
        rng, n_users, n_items = np.random.default_rng(2), 400000, 3000
        users = np.concatenate([np.arange(n_users), np.arange(n_users)])
        items = np.concatenate([np.zeros(n_users, int), rng.integers(1, n_items, n_users)])
        data = harness.write_dataset(self.out / "skewed.h5", n_users, n_items, users, items, np.ones(len(users)))
        words = ["train", data, "--algorithm", "als", "--factors", 64, "--iterations", 0, "--heavy-items", "none"]
        planned, _ = self.measure(4, *words)
        self.assertGreater(planned["exact"], planned["start"] + 20, planned)
        between = int((planned["start"] + planned["exact"]) / 2 * 1e6)
        result = run(4, *words, "-o", self.out / "m.h5", "--memory-limit", between, "--quiet")
        self.assertEqual(result.rc, PLAN, result)
        self.assertFalse((self.out / "m.h5").exists())


class Refusal(harness.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.data, cls.model, cls.text = cls.folder / "data.h5", cls.folder / "model.h5", cls.folder / "ratings.csv"
        cls.text.write_text("user,item,rating\n1,1,5\n1,2,3\n2,1,4\n")
        run_good(1, "synth", "-o", cls.data, "--users", 300, "--items", 200, "--ratings", 3000, "--quiet")
        run_good(1, "train", cls.data, "-o", cls.model, "--algorithm", "als", "--factors", 4, "--quiet")

    def check(self, n_ranks, source, *words, **how):
        result = run(n_ranks, *words, "--quiet", **how)
        self.assertEqual(result.rc, PLAN, result)
        self.assertEqual(len(result.messages()), 1, result)
        self.assertIn(f"MB are allowed (from {source}); use more ranks", result.messages()[0])
        self.assertRegex("\n".join(result.said()), r"\n  program and libraries +\d+\.\d MB\n")
        self.assertEqual(list(self.out.iterdir()), [])

    def test_option(self):
        train = ["train", self.data, "-o", self.out / "m.h5", "--algorithm", "ials"]
        for n_ranks in (1, 4):
            for words in (train, ["import", self.text, "-o", self.out / "d.h5"], ["evaluate", self.model, self.data]):
                with self.subTest(ranks=n_ranks, verb=words[0]):
                    self.check(n_ranks, "--memory-limit", *words, "--memory-limit", "12M")

    def test_slurm(self):
        train = ["train", self.data, "-o", self.out / "m.h5", "--algorithm", "als"]
        # 40 MB for the node are enough for none of four ranks; 12 MB a core, for one of them.
        self.check(4, "Slurm", *train, env={"SLURM_MEM_PER_NODE": "40"})
        self.check(1, "Slurm", *train, env={"SLURM_MEM_PER_CPU": "12", "SLURM_CPUS_PER_TASK": "1"})
        self.check(2, "Slurm", *train, env={"SLURM_MEM_PER_CPU": "6", "SLURM_CPUS_ON_NODE": "4"})
        run_good(1, *train, "--quiet", env={"SLURM_MEM_PER_NODE": "0"})  # the whole node
        run_good(2, *train, "--quiet", env={"SLURM_MEM_PER_CPU": "200", "SLURM_CPUS_PER_TASK": "2"})

    def test_control_group(self):
        """A real one, as Slurm and containers make them; version 1 or 2."""
        group, limit = make_group("gridmf-test-%d" % os.getpid())
        if group is None:
            self.skipTest("no control group can be made here: " + limit)
        try:
            words = [GRIDMF, "train", str(self.data), "-o", str(self.out / "m.h5"), "--algorithm", "als", "--quiet"]
            inside = ["sh", "-c", f"echo $$ > {group}/cgroup.procs && exec \"$@\"", "sh"]
            for megabytes, rc in ((100, PLAN), (2000, 0)):
                limit.write_text(str(megabytes * 1000000))
                result = harness.execute([*inside, *harness.MPIRUN, "-n", "4", *words])
                self.assertEqual(result.rc, rc, result)
                if rc == PLAN:
                    found = re.search(r"([0-9]+) MB are allowed \(from cgroup\)", result.messages()[0])
                    self.assertLessEqual(int(found[1]), megabytes / 4)  # four ranks share the group
        finally:
            harness.wait_for(lambda: not (group / "cgroup.procs").read_text())
            group.rmdir()

    def test_line_of_the_log(self):
        result = run_good(2, "train", self.data, "-o", self.out / "m.h5", "--algorithm", "als", "--memory-limit", "1G")
        lines = [line for line in result.said() if line.startswith("memory: ")]
        self.assertEqual(len(lines), 1, result)
        found = re.fullmatch(r"memory: about (\d+) MB a rank of (\d+) MB allowed \(from (.*)\)", lines[0])
        self.assertLess(int(found[1]), int(found[2]))
        self.assertLessEqual(int(found[2]), 1074)


if __name__ == "__main__":
    unittest.main()
