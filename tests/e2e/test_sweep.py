"""Sweeps: the numbers of train, ranked; what is stopped, killed or changed goes on; what fails is told and passed over."""

import csv
import errno
import json
import os
import re
import signal
import time
import unittest

import h5py
import numpy as np

import harness
from harness import GRIDMF, MPIRUN, execute, launch, random_dataset, read_factors, run, run_good, start, finish, wait_for

GRID = """
[train]
algorithm = ials
loss = ials
iterations = 4
[sweep]
factors = 4, 9
lambda = 0.5, 5,
  50
"""


class SweepCase(harness.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        data = random_dataset(cls.folder / "data.h5", 120, 80, 3000)
        cls.train, cls.test = cls.folder / "train.h5", cls.folder / "test.h5"
        run_good(1, "split", data, "--train", cls.train, "--test", cls.test, "--method", "random", "--fraction", 0.2)

    def words(self, text, *extra, folder="sweep"):
        ini = self.out / "grid.ini"
        ini.write_text(text)
        return ["sweep", self.train, "-o", self.out / folder, "--config", ini, "--test", self.test, "--metrics",
                "ndcg@10,recall@5", *extra]

    def sweep(self, n_ranks, text, *extra, **how):
        return run(n_ranks, *self.words(text, *extra, **{k: how.pop(k) for k in ("folder",) if k in how}), **how)

    def good(self, *args, **how):
        result = self.sweep(*args, **how)
        self.assertEqual(result.rc, 0, str(result))
        return result

    def results(self, folder="sweep"):
        return [json.loads(line) for line in (self.out / folder / "results.jsonl").read_text().splitlines()]

    def numbers(self, folder="sweep"):
        """All that a sweep found, without its clocks."""
        return {r["id"]: (r["status"], r["metrics"], r["sweeps"], r["objective"]) for r in self.results(folder)}


class TestNumbers(SweepCase):
    def test_same_as_train(self):
        for n_ranks, groups in ((1, 1), (4, 2), (6, 3), (4, 1)):
            with self.subTest(ranks=n_ranks, groups=groups):
                folder = "s%d-%d" % (n_ranks, groups)
                self.good(n_ranks, GRID, "--groups", groups, folder=folder)
                found = self.results(folder)
                self.assertEqual(len(found), 6)
                self.assertEqual(found, sorted(found, key=lambda r: -r["metrics"]["ndcg@10"]))
                for rank, point in ((0, found[0]), (4, found[4])):
                    model, o = self.out / "model.h5", point["options"]
                    run_good(n_ranks // groups, "train", self.train, "-o", model, "--algorithm", "ials", "--loss", "ials",
                             "--iterations", 4, "--factors", o["factors"], "--lambda", o["lambda"], "--test", self.test,
                             "--metrics", "ndcg@10,recall@5")
                    self.assertEqual((point["ranks"], point["sweeps"]), (n_ranks // groups, 4))
                    with h5py.File(model) as f:
                        for name, value in point["metrics"].items():
                            self.assertAlmostEqual(value, f["history"][name][-1], delta=1e-11)
                    if rank == 0:
                        best = self.out / folder / "best.h5"
                        for a, b in zip(read_factors(best), read_factors(model)):
                            self.assertEqual(a.tobytes(), b.tobytes())
                        run_good(1, "verify", best)
                self.assertEqual(sorted(p.suffix for p in (self.out / folder / "points").iterdir()),
                                 [".json"] * 6 + [".jsonl"] * 6)
                self.assertEqual(json.loads((self.out / folder / "best.json").read_text())["id"], found[0]["id"])

    def test_table_and_csv(self):
        result = self.good(2, GRID)
        lines = [line.split() for line in result.stdout.splitlines()]
        self.assertEqual(lines[0], ["rank", "ndcg@10", "recall@5", "factors", "lambda", "sweep", "seconds"])
        with open(self.out / "sweep" / "results.csv", newline="", encoding="utf-8") as file:
            table = list(csv.DictReader(file))
        for line, row, record in zip(lines[1:], table, self.results(), strict=True):
            self.assertEqual((line[0], line[3], line[4]), (row["rank"], row["factors"], row["lambda"]))
            self.assertEqual(line[1], "%.5f" % record["metrics"]["ndcg@10"])
            self.assertAlmostEqual(float(row["ndcg@10"]), record["metrics"]["ndcg@10"], delta=1e-8)
            self.assertEqual((row["id"], row["status"]), (record["id"], "ok"))

    def test_early_stop_and_errors(self):
        """The model is of the best sweep; of an error the least is best."""
        text = "[sweep]\nalgorithm = als\nbias = yes\nfactors = 3, 6\nlambda = 0.02\niterations = 12\n"
        text = text.replace("lambda = 0.02", "lambda = 0.02, 0.03")
        result = self.good(2, text, "--metrics", "rmse,ndcg@10", "--early-stop", 2, "--groups", 2)
        # lambda-bias follows lambda, and is no option of the grid
        self.assertEqual(result.stdout.split("\n")[0].split(), "rank rmse ndcg@10 factors lambda sweep seconds".split())
        self.assertEqual(len(re.findall(r"^point .* left$", result.stderr, re.MULTILINE)), 3)
        found = self.results()
        self.assertEqual(found, sorted(found, key=lambda r: r["metrics"]["rmse"]))
        for r in found:
            events = [json.loads(line) for line in
                      (self.out / "sweep" / "points" / (r["id"] + ".jsonl")).read_text().splitlines()]
            rmse = [e["rmse"] for e in events if e["event"] == "sweep"]
            self.assertEqual(r["sweeps"], len(rmse))
            self.assertEqual(r["model_sweep"], 1 + int(np.argmin(rmse)))
            self.assertAlmostEqual(r["metrics"]["rmse"], min(rmse), delta=1e-11)
        found = run_good(1, "evaluate", self.out / "sweep" / "best.h5", self.test, "--metrics", "rmse", "--json").json()
        self.assertAlmostEqual(found["rmse"], self.results()[0]["metrics"]["rmse"], delta=1e-6)

    def test_all_algorithms(self):
        """Those without validation are evaluated from their models."""
        text = """[sweep]\niterations = 3\nfactors = 5\n[sweep pop]\nalgorithm = popularity
[sweep svd]\nalgorithm = svd\nsvd-method = krylov, gram\n[sweep als]\nalgorithm = ials\nalpha = 1
[sweep items]\nalgorithm = item-knn, ease\n"""
        self.good(2, text, "--groups", 2)
        found = self.results()
        self.assertEqual(sorted(r["name"] for r in found), ["als", "items", "items", "pop", "svd", "svd"])
        for r in found:
            self.assertEqual(r["status"], "ok")
            model = self.out / "model.h5"
            options = [word for k in ("algorithm", "svd-method", "alpha", "factors", "iterations")
                       if k in r["options"] and r["name"] != "pop" for word in ("--" + k, r["options"][k])]
            run_good(1, "train", self.train, "-o", model, *(options or ["--algorithm", "popularity"]))
            value = run_good(1, "evaluate", model, self.test, "--metrics", "ndcg@10", "--json").json()["ndcg@10"]
            self.assertAlmostEqual(value, r["metrics"]["ndcg@10"], delta=1e-9)


class TestGrid(SweepCase):
    def test_lists(self):
        """Sections with names are points of their own on top of [sweep]; the same point twice is one."""
        text = GRID + "[sweep a]\nfactors = 3\n[sweep b]\nfactors = 5, 3\nlambda = 5\n"
        self.good(2, text)
        found = {(r["name"], r["options"]["factors"], r["options"]["lambda"]) for r in self.results()}
        self.assertEqual(found, {("a", 3, 0.5), ("a", 3, 5), ("a", 3, 50), ("b", 5, 5)})

    def test_command_line_first(self):
        self.good(1, GRID, "--lambda", 7, "--seed", 3)
        self.assertEqual({(r["options"]["factors"], r["options"]["lambda"], r["options"]["seed"]) for r in self.results()},
                         {(4, 7, 3), (9, 7, 3)})

    def test_train_passes_over_the_sections(self):
        (self.out / "grid.ini").write_text(GRID)
        run_good(1, "train", self.train, "-o", self.out / "m.h5", "--config", self.out / "grid.ini")

    def test_refusals(self):
        for text, extra, rc, says in (
                (GRID, ["--groups", 3], 64, ["--groups 3", "2 ranks"]),
                (GRID, ["--resume", "x.h5"], 64, ["--resume x.h5"]),
                (GRID, ["--metrics", "rmsee"], 64, ["rmsee", "rmse"]),
                (GRID.replace("factors", "factros"), [], 78, ["factros", "factors"]),
                (GRID.replace("4, 9", "4, nine"), [], 78, ["grid.ini:7", "factors nine"]),
                (GRID.replace("4, 9", "4,, 9"), [], 78, ["grid.ini:7", "factors"]),
                (GRID + "[sweep a]\nthreads = 1\n", [], 78, ["threads", "[sweep]"]),
                (GRID + "[swoop]\nthreads = 1\n", [], 78, ["swoop", "sweep"]),
                ("[train]\nalgorithm = als\n", [], 78, ["names no points"]),
                ("[sweep]\nfactors = 3\n", [], 64, ["point 1", "--algorithm is needed"]),
                (GRID + "solver = cg, auto\nnonnegative = yes\n", [], 64, ["point 1", "--nonnegative"])):
            with self.subTest(text=text, extra=extra):
                result = self.sweep(2, text, *extra)
                self.assertEqual(result.rc, rc, str(result))
                self.assertEqual(len(result.messages()), 1, str(result))
                for word in says:
                    self.assertIn(word, result.messages()[0])
                self.assertFalse((self.out / "sweep" / "best.h5").exists())
        (self.out / "grid.ini").write_text(GRID)
        for words in (["--config", self.out / "grid.ini"], ["--test", self.test]):
            result = run(1, "sweep", self.train, "-o", self.out / "sweep", *words)
            self.assertEqual(result.rc, 64, str(result))
        (self.out / "file").write_text("")
        self.assertEqual(self.sweep(1, GRID, folder="file").rc, 73)

    def test_one_at_a_time(self):
        slow = start([*launch(2), GRIDMF, *self.words(GRID.replace("iterations = 4", "iterations = 100000"))])
        wait_for(lambda: list((self.out / "sweep" / "points").glob("*.jsonl")) if (self.out / "sweep").exists() else [])
        result = self.sweep(1, GRID)
        (self.out / "sweep" / "STOP").touch()
        ended = finish(slow)
        self.assertEqual(ended.rc, 75, str(ended))
        self.assertEqual(result.rc, 73, str(result))
        self.assertIn("results.csv", result.messages()[0])


class TestFailures(SweepCase):
    def test_recorded(self):
        """A singular point is told with its reason, kept, and not tried again; the others are as ever."""
        text = GRID.replace("ials\nloss = ials", "als").replace("4, 9", "40, 50").replace("0.5, 5,\n  50", "0, 0.1")
        result = self.good(4, text, "--groups", 2)
        found = self.results()
        self.assertEqual([r["status"] for r in found], ["ok", "ok", "failed", "failed"])
        for r in found[2:]:
            self.assertEqual((r["exit_code"], r["options"]["lambda"], r["metrics"]), (3, 0, {}))
            self.assertIn("larger --lambda", r["error"])
        self.assertEqual(result.stdout.count("\nfailed: "), 2)
        self.assertIn("4 done before", self.good(4, text, "--groups", 2).stderr)

    def test_all_failed(self):
        text = GRID.replace("ials\nloss = ials", "als").replace("4, 9", "40, 50").replace("0.5, 5,\n  50", "0")
        result = self.sweep(2, text)
        self.assertEqual(result.rc, 3, str(result))
        self.assertIn("all 2 points failed", result.messages()[0])
        self.assertFalse((self.out / "sweep" / "best.h5").exists())

    def test_too_large(self):
        """What does not fit is recorded too, and tried again when it may."""
        text = GRID.replace("4, 9", "4, 8192").replace("0.5, 5,\n  50", "5").replace("iterations = 4", "iterations = 0")
        self.good(2, text, "--memory-limit", "300M")
        self.assertEqual([r["exit_code"] for r in self.results()][1:], [69])
        self.assertIn("1 done before", self.good(2, text, "--memory-limit", "300M").stderr)

    def test_frozen_rank(self):
        """A group that stands still ends the job in the stall time, also when the other groups have nothing left."""
        text = GRID.replace("4, 9", "4").replace("0.5, 5,\n  50", "0.5, 5").replace("iterations = 4", "iterations = 3000")
        process = start([*launch(2), GRIDMF, *self.words(text, "--groups", 2, "--stall-timeout", "3s", "--validate-every",
                                                         100000)])
        wait_for(lambda: len([p for p in (self.out / "sweep").glob("points/*.jsonl") if p.stat().st_size > 5000]) == 2)
        os.kill(harness.ranks(process)[1], signal.SIGSTOP)
        result = finish(process, timeout=120)
        self.assertEqual(result.rc, 70, str(result))
        self.assertIn("rank 1 does not run", result.stderr)
        self.assertEqual(len(list((self.out / "sweep").glob("points/*.json"))), 1)  # rank 0 had gone on to its end

    def test_waits_for_others(self):
        """A group that is done waits for longer than the stall time for one that works."""
        text = GRID.replace("[sweep]", "[sweep]\n[sweep a]\niterations = 0\n[sweep b]\niterations = 5000\nfactors = 32")
        text = text.replace("factors = 4, 9\nlambda = 0.5, 5,\n  50\n", "lambda = 5\n")
        result = self.good(2, text, "--groups", 2, "--stall-timeout", "1s", "--validate-every", 100000, timeout=120)
        seconds = {r["name"]: r["seconds"] for r in self.results()}
        self.assertGreater(seconds["b"] - seconds["a"], 1, str(result))

    def test_out_of_memory(self):
        """On whatever rank and wherever: the sweep ends with 71, or the point it hits is told; nobody hangs."""
        n_ended = n_told = 0
        text = GRID.replace("4, 9", "4").replace("0.5, 5,\n  50", "5, 0.5")
        near = [f"1:{n}" for n in range(31, 39)]  # where groups begin, and the other has them half made
        for where in ("0:%d", "1:%d", "all:%d+", *near):
            n = 1
            while True:
                at = where % n if "%" in where else where
                folder = "m" + at.replace(":", "-")
                result = self.sweep(2, text, "--groups", 2, folder=folder, env={"GRIDMF_FAIL_ALLOCATION": at})
                self.assertIn(result.rc, (0, 71), f"{at}: {result}")
                if result.rc == 71:
                    self.assertEqual(len(result.messages()), 1, f"{at}: {result}")
                    self.assertIn("out of memory", result.messages()[0])
                    n_ended += 1
                else:
                    failed = [r for r in self.results(folder) if r["status"] == "failed"]
                    self.assertLessEqual({r["exit_code"] for r in failed}, {71})
                    n_told += len(failed)
                if where in near or (result.rc == 0 and not failed):
                    break
                n = 2 + n * 2
        self.assertGreater(n_ended, 6)
        self.assertGreater(n_told, 0)

    @unittest.skipUnless(os.environ.get("FAULTIO"), "no library that makes writes fail")
    def test_write_error_ends_it(self):
        """A full disk is no point's fault: the sweep ends, and goes on when there is room."""
        for rank in (0, 1):
            folder = "full%d" % rank
            fault = {"LD_PRELOAD": os.environ["FAULTIO"], "FAULT_PATH": "/points/", "FAULT_CALL": "write",
                     "FAULT_RANK": str(rank), "FAULT_AFTER": "40", "FAULT_HOW": str(errno.ENOSPC)}
            words = self.words(GRID, "--groups", 2, folder=folder)
            result = execute([*MPIRUN, "-n", 2, *harness.mpi_environment_words(fault), GRIDMF, *words], env=fault)
            self.assertEqual(result.rc, 74, str(result))
            self.assertEqual(len(result.messages()), 1, str(result))
            self.good(2, GRID, "--groups", 2, folder=folder)
        self.assertEqual(self.numbers("full0"), self.numbers("full1"))


class TestGoingOn(SweepCase):
    def test_points_are_added(self):
        self.good(2, GRID.replace("4, 9", "4"))
        first = self.numbers()
        result = self.good(2, GRID)
        self.assertIn("6 points by ndcg@10, 3 done before", result.stderr)
        self.assertEqual(result.stderr.count("\npoint "), 3)
        self.good(2, GRID, folder="whole")
        self.assertEqual(self.numbers(), self.numbers("whole"))
        self.assertLess(first.items(), self.numbers().items())
        self.assertEqual(self.best("sweep"), self.best("whole"))
        self.assertIn("3 done before", self.good(2, GRID, "--seed", 1, folder="sweep").stderr.replace("6 done", "3 done"))
        self.assertIn("0 done before", self.good(2, GRID, "--resume", "never").stderr)

    def best(self, folder):
        return [f.tobytes() for f in read_factors(self.out / folder / "best.h5")]

    def test_ties(self):
        """Of equal points the first of the grid is best, whichever was trained first, and its model is the one kept."""
        text = "[sweep]\nalgorithm = popularity, ials\nalpha = 1\nlambda = 1e9, 2e9, 3e9\nfactors = 2, 3\niterations = 1\n"
        for groups in (1, 2, 4):
            self.good(4, text, "--metrics", "coverage@1", "--groups", groups, folder="t%d" % groups)
            found = self.results("t%d" % groups)
            order = [(-r["metrics"]["coverage@1"], r["point"]) for r in found]
            self.assertEqual(order, sorted(order))
            self.assertLess(len({r["metrics"]["coverage@1"] for r in found}), len(found))
            with h5py.File(self.out / ("t%d" % groups) / "best.h5") as f:
                self.assertEqual({k: f.attrs[k] for k in ("algorithm", "lambda", "factors") if k in found[0]["options"]},
                                 {k: v for k, v in found[0]["options"].items() if k in ("algorithm", "lambda", "factors")})

    def test_lost_model(self):
        """The best point counts only with its model."""
        self.good(2, GRID, "--groups", 2)
        best = self.best("sweep")
        (self.out / "sweep" / "best.h5").unlink()
        self.assertIn("5 done before", self.good(2, GRID, "--groups", 2).stderr)
        self.assertEqual(self.best("sweep"), best)

    def test_other_data(self):
        self.good(1, GRID)
        other = self.folder / "other.h5"
        random_dataset(other, 120, 80, 2900)
        words = self.words(GRID)
        words[1] = other
        self.assertIn("0 done before", run_good(1, *words).stderr)

    def test_stopped_and_killed(self):
        text = GRID.replace("iterations = 4", "iterations = 40")
        words = ["--groups", 2, "--checkpoint-every", "0s"]
        self.good(4, text, *words, folder="whole")
        for how in ("usr1", "stop", "kill"):
            with self.subTest(how=how):
                folder = self.out / how
                process = start([*launch(4), GRIDMF, *self.words(text, *words, folder=how)])
                wait_for(lambda: list(folder.glob("points/*.ckpt/000002.h5")))
                if how == "stop":
                    (folder / "STOP").touch()
                else:
                    process.send_signal(signal.SIGUSR1 if how == "usr1" else signal.SIGKILL)
                ended = finish(process)
                self.assertEqual(ended.rc, -9 if how == "kill" else 75, str(ended))
                self.assertFalse((folder / "STOP").exists())
                time.sleep(0.2 if how == "kill" else 0)
                result = self.good(4, text, *words, folder=how)
                logs = [json.loads(line)["event"] for p in folder.glob("points/*.jsonl")
                        for line in p.read_text().splitlines()]
                self.assertIn("resume", logs)
                self.assertEqual(self.numbers(how), self.numbers("whole"), str(result))
                self.assertEqual(self.best(how), self.best("whole"))
                self.assertEqual([p.name for p in folder.glob("points/*.ckpt")], [])


if __name__ == "__main__":
    unittest.main()
