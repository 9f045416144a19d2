"""What gridmf plan says before a run is what the run does: bytes and messages to the byte, memory, files."""

import json
import os
import pathlib
import unittest

import h5py
import numpy as np

import harness
from harness import run, run_good

COUNTMPI = os.environ.get("COUNTMPI_LIBRARY")
USAGE, NO_INPUT, PLAN = 64, 66, 69
RATES = ["--flops", 50, "--bandwidth", 10]


def plans(*words):
    return run_good(1, "plan", *words, *RATES, "--json", "--quiet").json()


def power_law(path, n_users=400, n_items=150, nnz=9000, weights=None):
    """A dataset whose items are drawn with probability 1 / rank."""
    rng = np.random.default_rng(7)
    p = 1 / np.arange(1, n_items + 1)
    pairs = np.unique(rng.integers(0, n_users, nnz) * n_items + rng.choice(n_items, nnz, p=p / p.sum()))
    return harness.write_dataset(path, n_users, n_items, pairs // n_items, pairs % n_items,
                                 rng.integers(1, 11, len(pairs)) / 2,
                                 weights=rng.random(len(pairs)) if weights else None)


def attach_features(data, out, n):
    """The dataset with n features of items, of which each has three, and five of users."""
    rng, between = np.random.default_rng(11), out.with_suffix(".between")
    for side, source, to, n_side in (("items", data, between, n), ("users", between, out, 5)):
        with h5py.File(data) as f:
            ids = f[side + "/id"][()]
        rows = [f"{i},{'|'.join(f'f{j}' for j in rng.choice(n_side, 3))}" for i in ids]
        if n_side > 3 * len(ids):
            rows[0] = f"{ids[0]},{'|'.join(f'f{j}' for j in range(n_side))}"
        table = out.with_suffix(".csv")
        table.write_text("\n".join(["id,tags", *rows]) + "\n")
        run_good(1, "attach", source, f"--{side}", table, "--id", "id", "--categories", "tags,|", "-o", to, "--quiet")


@unittest.skipUnless(COUNTMPI, "nothing can be preloaded into this build")
class Counted(harness.Case):
    """Calls and bytes of a sweep, of every rank and function, as a library between the program and MPI counts them."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.data = power_law(cls.folder / "data.h5")

    def count(self, n_ranks, sweeps, words, node_ranks):
        """By rank: function -> calls and bytes of a run. node_ranks: of a node, as far as the program can see; None: all."""
        base = self.out / f"count{sweeps}"
        environment = {"LD_PRELOAD": COUNTMPI, "COUNTMPI": str(base)}
        if node_ranks:
            environment["COUNTMPI_NODE_RANKS"] = str(node_ranks)
        harness.execute([*harness.launch(n_ranks), *(harness.mpi_environment_words(environment) if n_ranks > 1 else []),
                         harness.GRIDMF, "train", self.data, "-o", self.out / "model.h5", "--iterations", sweeps, "--quiet",
                         *words], env=environment)
        found = []
        for rank in range(n_ranks):
            lines = pathlib.Path(f"{base}.{rank}").read_text().split("\n")[:-1]
            found.append({name: np.array([int(calls), int(size)]) for name, calls, size in map(str.split, lines)})
        return found

    def measure(self, n_ranks, words, node_ranks=None):
        """The same of two sweeps more, which is what they take and nothing else."""
        less, more = self.count(n_ranks, 1, words, node_ranks), self.count(n_ranks, 3, words, node_ranks)
        sweeps = [{name: (b[name] - a.get(name, 0)) for name in b} for a, b in zip(less, more)]
        return [{name: tuple(value // 2) for name, value in s.items() if value.any()} for s in sweeps]

    def check(self, n_ranks, *words, node_ranks=None):
        """The plan, which is that of the run."""
        node = ["--ranks-per-node", node_ranks] if node_ranks else []
        plan = plans(self.data, "--np", n_ranks, *words, *node)["plans"][0]
        found = self.measure(n_ranks, words, node_ranks)
        received = [f.pop("MPI_Irecv", (0, 0)) for f in found]
        for rank in range(n_ranks):
            planned = {}
            for side in ("users", "items"):
                for move in plan[side]["moves"]:
                    t, of_function = move["ranks"][rank], planned.setdefault(move["function"], np.zeros(2, int))
                    of_function += (t["calls"], t["bytes"])
            self.assertEqual({name: tuple(v) for name, v in planned.items() if v.any()}, found[rank], f"rank {rank}")
            expands = [m["ranks"][rank]["received_bytes"] for side in ("users", "items") for m in plan[side]["moves"]
                       if m["move"] == "expand"]
            self.assertEqual(sum(expands), received[rank][1])
        if n_ranks > 1 and plan["grid"] != f"1x{n_ranks}" and ("--share-node" not in words or node_ranks):
            self.assertGreater(sum(r[1] for r in received), 0)  # elsewhere a rank's fixed rows are its own
        return plan

    def test_strategies(self):
        for n_ranks, words in ((1, ["--algorithm", "ials"]),
                               (2, ["--algorithm", "ials", "--solver", "cg"]),
                               (3, ["--algorithm", "als", "--bias"]),
                               (4, ["--algorithm", "als", "--grid", "2x2", "--solver", "cholesky"]),
                               (4, ["--algorithm", "als", "--solver", "cg"]),
                               (3, ["--algorithm", "als", "--grid", "1x3", "--factors", 20]),
                               (6, ["--algorithm", "ials", "--grid", "2x3", "--factors", 70]),
                               (2, ["--algorithm", "als", "--heavy-items", "100:1x2"]),
                               (4, ["--algorithm", "ials", "--heavy-items", "100:2x2", "--heavy-users", "30:1x4"]),
                               (6, ["--algorithm", "als", "--bias", "--heavy-items", "60:3x2"]),
                               (4, ["--algorithm", "ials", "--heavy-items", "60:2x2", "--solver", "cg"]),
                               (3, ["--algorithm", "als", "--heavy-items", "60:1x3", "--solver", "cg", "--cg-steps", 2]),
                               (4, ["--algorithm", "als", "--grid", "2x2", "--solver", "cg", "--factors", 30]),
                               (2, ["--algorithm", "ials", "--wire", "bf16"]),
                               (2, ["--algorithm", "ials", "--deterministic", "--nonnegative"]),
                               (3, ["--algorithm", "als", "--deterministic", "--solver", "cg"])):
            with self.subTest(ranks=n_ranks, words=words):
                self.check(n_ranks, "--factors", 10, *words)


    def test_panels(self):
        """--expand-memory: what several panels need travels to each of them."""
        for n_ranks, size, words in ((1, "6K", ["--algorithm", "ials"]), (3, "6K", ["--algorithm", "als", "--bias"]),
                                     (4, "12K", ["--algorithm", "als", "--heavy-items", "60:2x2", "--heavy-users", "30:1x4"]),
                                     (2, "1", ["--algorithm", "ials", "--wire", "bf16"]),
                                     (2, "1G", ["--algorithm", "ials"])):
            with self.subTest(ranks=n_ranks, size=size, words=words):
                plan = self.check(n_ranks, "--factors", 10, *words, "--expand-memory", size)
                for side in ("users", "items"):
                    self.assertEqual("panels" in plan[side], size != "1G", plan[side])

    def test_hops(self):
        """--hops 2, on rectangles of 1x1, 3x1, 2x2 and 3x2 ranks."""
        for n_ranks, words in ((1, ["--algorithm", "als"]), (3, ["--algorithm", "ials"]),
                               (4, ["--algorithm", "als", "--grid", "2x2"]),
                               (6, ["--algorithm", "als", "--bias", "--heavy-items", "60:3x2"]),
                               (6, ["--algorithm", "ials", "--wire", "bf16"])):
            with self.subTest(ranks=n_ranks, words=words):
                self.check(n_ranks, "--factors", 10, *words, "--hops", 2)

    def test_shared_nodes(self):
        """--share-node: what MPI carries is counted, and rows that come through a node's memory are told beside it."""
        for n_ranks, node_ranks, words in ((3, None, ["--algorithm", "als"]), (4, 2, ["--algorithm", "ials"]),
                                           (6, 4, ["--algorithm", "als", "--heavy-items", "60:3x2", "--wire", "bf16"]),
                                           (6, 3, ["--algorithm", "als", "--grid", "3x2"])):
            with self.subTest(ranks=n_ranks, node=node_ranks, words=words):
                plan = self.check(n_ranks, "--factors", 10, *words, "--share-node", "on", node_ranks=node_ranks)
                for side in ("users", "items"):
                    self.assertGreater(plan[side]["shared_bytes"]["mean"], 0)

    def test_features(self):
        """The regressions of --item-features and --user-features; of 2,100 features by ScaLAPACK."""
        plain, self.data = self.data, self.folder / "features.h5"
        self.addCleanup(setattr, self, "data", plain)
        for n_features, n_ranks, words in ((7, 1, ["als", "--bias"]), (7, 3, ["ials", "--user-features"]),
                                           (7, 4, ["als", "--grid", "2x2"]),
                                           (2100, 2, ["ials"])):
            with self.subTest(features=n_features, ranks=n_ranks, words=words):
                attach_features(plain, self.data, n_features)
                self.check(n_ranks, "--factors", 6, "--algorithm", *words, "--item-features")


class Plans(harness.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.data = power_law(cls.folder / "data.h5")

    def test_files(self):
        """The length of a model's arrays and a checkpoint's is as planned."""
        for words in (["als", "--bias"], ["ials", "--no-seen"]):
            with self.subTest(words=words):
                words = ["--algorithm", *words, "--factors", 12, "--iterations", 2]
                plan = plans(self.data, *words, "--np", 2)["plans"][0]
                log, folder = self.out / f"{words[1]}.jsonl", self.out / words[1]
                run_good(2, "train", self.data, "-o", self.out / "model.h5", *words, "--checkpoint", folder, "--checkpoint-every",
                         "0s", "--log-json", log, "--quiet")
                sizes = {e["event"]: e["bytes"] for e in map(json.loads, log.read_text().splitlines()) if "bytes" in e}
                self.assertEqual(plan["files"]["model_bytes"], sizes["model"])
                # A checkpoint of the first of two sweeps has one sweep less of history.
                self.assertEqual(plan["files"]["checkpoint_bytes"] - 4 * 8, sizes["checkpoint"])

    def test_counts(self):
        """Ratings and expanded rows of every grid, counted from scratch."""
        r = harness.Ratings(self.data)
        for n_ranks, grid in ((1, "1x1"), (5, "5x1"), (6, "2x3"), (6, "1x6")):
            plan = plans(self.data, "--algorithm", "als", "--factors", 8, "--np", n_ranks, "--grid", grid)["plans"][0]
            rows, columns = map(int, grid.split("x"))
            for side, n_updated, n_fixed in (("users", r.n_users, r.n_items), ("items", r.n_items, r.n_users)):
                half = plan[side]
                self.assertAlmostEqual(half["ratings"]["mean"] * n_ranks, r.nnz, delta=1)
                self.assertGreaterEqual(half["ratings"]["max"], half["ratings"]["mean"])
                self.assertLessEqual(half["expanded_rows"]["max"], min(n_fixed, half["ratings"]["max"]))
                self.assertEqual([m["move"] for m in half["moves"]],
                                 ["expand"] * (rows > 1) + ["fold"] * (columns > 1) + ["totals"])

    def test_heavy_rows_balance(self):
        """64 ranks, and items, then users, of which the longest have more ratings than a rank's fair share: alone they
        unbalance, and shared by the ranks of a grid row they do not. By exact counts."""
        rng, n_short, n_long = np.random.default_rng(3), 6000, 1500
        degrees = np.minimum((5000 / np.arange(1, n_long + 1) ** 0.85).astype(int) + 2, n_short)
        short = np.concatenate([rng.choice(n_short, d, replace=False) for d in degrees])
        of_long = np.repeat(np.arange(n_long), degrees)
        self.assertGreater(degrees[0], 2 * len(of_long) / 64)
        ones, long_items, long_users = np.ones(len(of_long)), self.out / "items.h5", self.out / "users.h5"
        harness.write_dataset(long_items, n_short, n_long, short, of_long, ones)
        harness.write_dataset(long_users, n_long, n_short, of_long, short, ones)
        for data, side, other, algorithm, solver in ((long_items, "items", "users", "als", "cholesky"),
                                                     (long_items, "items", "users", "als", "auto"),
                                                     (long_items, "items", "users", "ials", "cg"),
                                                     (long_users, "users", "items", "ials", "cg")):
            for layout, least, most in (("none", 1.5, 64), ("300:8x8", 1, 1.05), ("300:2x32", 1, 1.05)):
                with self.subTest(side=side, solver=solver, layout=layout):
                    half = plans(data, "--algorithm", algorithm, "--solver", solver, "--np", 64, f"--heavy-{other}", "none",
                                 f"--heavy-{side}", layout)["plans"][0][side]
                    work, ratings = (half[of]["max"] / half[of]["mean"] for of in ("operations", "ratings"))
                    self.assertGreaterEqual(work, least)
                    self.assertLess(work, most)
                    self.assertLess(ratings, 1.5 * most)

    def test_light_rows_balance(self):
        """Rows of few ratings or none are spread like all others, and do not fill up what long rows leave of a rank."""
        rng, n_users, n_items, n_ranks = np.random.default_rng(4), 2000, 20000, 16
        degrees = np.minimum((2000 / np.arange(1, 1001) ** 0.7).astype(int), n_users)  # the other items have none
        users = np.concatenate([rng.choice(n_users, d, replace=False) for d in degrees])
        data = harness.write_dataset(self.out / "light.h5", n_users, n_items, users, np.repeat(np.arange(1000), degrees),
                                     np.ones(len(users)))
        for words in (["als"], ["ials"], ["als", "--solver", "cg"]):
            with self.subTest(words=words):
                plan = plans(data, "--algorithm", *words, "--np", n_ranks, "--heavy-items", "none", "--heavy-users", "none",
                             "--factors", 64)["plans"][0]
                factors = plan["memory"]["parts"]["factors"] / (4 * 64 * (n_users + n_items) / n_ranks)
                self.assertLess(factors, 2.2 if words == ["als"] else 3.3)  # with the copies that these take
                for side in ("users", "items"):
                    self.assertLess(plan[side]["operations"]["max"] / plan[side]["operations"]["mean"], 1.02)

    def test_balance_of_a_run(self):
        """What a training says of its ranks is, on average over them, what was planned."""
        for n_ranks, words in ((2, ["als", "--bias", "--heavy-items", "100:1x2"]), (4, ["ials", "--grid", "2x2"]),
                               (4, ["als", "--solver", "cg", "--heavy-items", "60:2x2", "--heavy-users", "30:1x4"])):
            with self.subTest(words=words):
                words = ["--algorithm", *words, "--factors", 10]
                plan = plans(self.data, *words, "--np", n_ranks)["plans"][0]
                log = self.out / "balance.jsonl"
                run_good(n_ranks, "train", self.data, "-o", self.out / "model.h5", *words, "--iterations", 1, "--log-json", log,
                         "--quiet")
                lines = [json.loads(line) for line in log.read_text().splitlines()]
                log.unlink()
                found = next(line for line in lines if line["event"] == "balance")
                for load in ("ratings", "operations", "received_bytes"):
                    planned = plan["balance"][load]
                    self.assertAlmostEqual(planned["mean"], sum(plan[side][load]["mean"] for side in ("users", "items")),
                                           delta=1e-6 * planned["mean"])
                    for of, delta in (("mean", 0.002), ("max", 0.02)):  # a row's ratings are not quite even over columns
                        self.assertAlmostEqual(found[load][of] / planned[of], 1, delta=delta, msg=(load, of))
                    self.assertGreaterEqual(planned["max"], planned["mean"])
                ratios = [b["memory_bytes"]["max"] / b["memory_bytes"]["mean"] for b in (found, plan["balance"])]
                self.assertAlmostEqual(*ratios, delta=0.05)

    def test_by_several_ranks(self):
        """A plan made by three ranks is that of one."""
        words = ["plan", self.data, "--algorithm", "ials", "--np", 7, *RATES, "--json", "--quiet"]
        alone, together = (run_good(n, *words).json() for n in (1, 3))
        for plan in (*alone["plans"], *together["plans"]):
            del plan["memory"], plan["balance"]["memory_bytes"]
        self.assertEqual(alone, together)

    def test_many_ranks(self):
        """Thousands are planned in one process; with more ranks each has less."""
        table = plans(self.data, "--algorithm", "als", "--np", 4000)["plans"][0]
        self.assertEqual((table["ranks"], table["grid"]), (4000, "4000x1"))
        self.assertEqual(run(1, "plan", self.data, "--algorithm", "als", "--np", 100000, *RATES).rc, USAGE)
        sizes = ["--users", 10**9, "--items", 10**7, "--ratings", 10**11, "--algorithm", "ials", "--factors", 128]
        many = plans(*sizes, "--np", 100000)["plans"][0]
        fewer = plans(*sizes, "--np", 1000)["plans"][0]
        self.assertLess(many["memory"]["peak_bytes"]["max"], fewer["memory"]["peak_bytes"]["max"])
        self.assertLess(many["sweep_seconds"], fewer["sweep_seconds"])
        self.assertFalse(many["counted"])

    def test_expected(self):
        """What sizes alone say of synth's ratings is near what counting them says."""
        data = self.out / "synth.h5"
        sizes = ["--users", 6000, "--items", 1500, "--ratings", 200000]
        run_good(1, "synth", "-o", data, *sizes, "--quiet")
        words = ["--algorithm", "als", "--factors", 16, "--np"]
        for n in (4, 32):
            counted, expected = plans(data, *words, n)["plans"][0], plans(*sizes, *words, n)["plans"][0]
            for side in ("users", "items"):
                for what in ("ratings", "operations", "expanded_rows", "received_bytes"):
                    a, b = counted[side][what], expected[side][what]
                    self.assertLess(abs(a["mean"] / b["mean"] - 1), 0.15, (n, side, what, a, b))
                    self.assertLess(a["max"], 1.4 * b["max"], (n, side, what, a, b))

    def test_like(self):
        """--like NAME says about what counting such a dataset does, by each way that rows may take."""
        data = self.out / "like.h5"
        run_good(1, "synth", "-o", data, "--like", "ml-1m/2", "--quiet")
        like = ["--like", "ml-1m/2"]
        for n, *words in ((8,), (8, "--expand-memory", "200K"), (256, "--hops", 2), (512,),
                          (16, "--share-node", "on", "--ranks-per-node", 4)):
            with self.subTest(ranks=n, words=words):
                words = ["--algorithm", "als", "--factors", 16, "--heavy-items", "none", "--heavy-users", "none", "--np", n,
                         *words]
                counted, expected = plans(data, *words)["plans"][0], plans(*like, *words)["plans"][0]
                for side in ("users", "items"):
                    self.assertEqual(*("panels" in p[side] for p in (counted, expected)))
                    self.assertEqual(*("hops" in p[side] for p in (counted, expected)))
                    for what in ("ratings", "operations", "expanded_rows", "received_bytes"):
                        a, b = counted[side][what], expected[side][what]
                        self.assertLess(abs(a["mean"] / b["mean"] - 1), 0.25, (side, what, a, b))
        self.assertEqual(expected["ranks"], 16)
        known = run_good(1, "plan", *like, "--algorithm", "als", "--np", 4, "--user-features", *RATES).stderr
        self.assertRegex(known, "warning: .*--user-features is left out")
        for words in ([data, *like], [*like, "--users", 3], ["--like", "ml-1n"]):
            self.assertEqual(run(1, "plan", *words, "--algorithm", "als", *RATES).rc, USAGE)

    def test_hops_choice(self):
        """--hops auto: none below 256 ranks; above, two where stated rates say that they are faster, which is where
        messages are many and short."""
        words = ["--algorithm", "als", "--heavy-items", "none", "--heavy-users", "none", "--like"]
        for n, like, factors, taken in ((128, "ml-1m", 4, None), (1024, "ml-1m", 4, 2), (256, "msd", 256, 1)):
            with self.subTest(ranks=n, like=like):
                plan = plans(*words, like, "--np", n, "--factors", factors)["plans"][0]
                for side in ("users", "items"):
                    choice = plan[side].get("hops")
                    self.assertEqual(choice and choice["taken"], taken, choice)
                    if choice:
                        ways = [choice["straight"], choice["two_hops"]]
                        self.assertEqual(ways[1]["seconds"] < 0.9 * ways[0]["seconds"], taken == 2)
                        for way in ways:
                            self.assertLessEqual(way["seconds"],
                                                 (2e-6 * way["messages"] + way["received_bytes"] / 12.5e9) * (1 + 1e-9))
                        expand = next(m for m in plan[side]["moves"] if m["move"] == "expand")
                        self.assertEqual(expand["calls"]["max"], ways[taken - 1]["messages"])
        for limit, rc in (("1M", PLAN), ("4G", 0)):  # where nothing has room, the rows between two hops have none
            tight = run(1, "plan", *words, "ml-1m", "--np", 1024, "--factors", 4, "--memory-limit", limit, *RATES, "--json",
                        "--quiet")
            self.assertEqual(tight.rc, rc)
            for side in ("users", "items"):
                self.assertEqual("hops" in tight.json()["plans"][0][side], rc == 0)

    def test_choice(self):
        """auto takes heavy rows where one outweighs a rank's share, as train does; what it counted is what would be."""
        rng, n_users, n_items = np.random.default_rng(2), 6000, 300
        users = np.concatenate([np.arange(n_users), np.arange(n_users)])
        items = np.concatenate([np.zeros(n_users, int), rng.integers(1, n_items, n_users)])
        data = harness.write_dataset(self.out / "skewed.h5", n_users, n_items, users, items, np.ones(len(users)))
        words = ["--algorithm", "als", "--factors", 40, "--solver", "cholesky"]
        auto = plans(data, *words, "--np", 4)["plans"][0]["items"]
        none = plans(data, *words, "--np", 4, "--heavy-items", "none", "--heavy-users", "none")["plans"][0]["items"]
        self.assertLess(auto["operations"]["max"] / auto["operations"]["mean"], 1.1)
        self.assertGreater(none["operations"]["max"] / none["operations"]["mean"], 1.5)
        self.assertAlmostEqual(auto["choice"]["received_bytes_without_heavy"],
                               sum(m["received_bytes"]["mean"] for m in none["moves"] if m["move"] == "expand"), places=3)
        moved = sum(m["received_bytes"]["mean"] for m in auto["moves"] if m["move"] in ("expand", "fold"))
        self.assertAlmostEqual(auto["choice"]["received_bytes"] / moved, 1, delta=0.1)
        log = run_good(4, "train", data, "-o", self.out / "a.h5", *words, "--iterations", 2)
        heavy = auto["heavy"]
        self.assertRegex(log.stderr, "item  half-sweep: those of at least %s ratings on %s: " % (
            f"{heavy['from_ratings']:,}", heavy["grid"]))
        run_good(4, "train", data, "-o", self.out / "b.h5", *words, "--iterations", 2, "--heavy-items", "none",
                 "--heavy-users", "none", "--quiet")
        a, b = (harness.read_history(self.out / name)[-1] for name in ("a.h5", "b.h5"))
        self.assertAlmostEqual(a / b, 1, delta=1e-6)

    def test_choice_of_cg(self):
        """What cg solves exactly, because it is short, auto leaves with one rank; said by hand it may be shared."""
        data = self.out / "short.h5"
        run_good(1, "synth", "-o", data, "--users", 20000, "--items", 3000, "--ratings", 200000, "--quiet")
        words = [data, "--algorithm", "als", "--factors", 128, "--np", 8]
        self.assertLessEqual(plans(*words, "--solver", "cg", "--heavy-items", "18:4x2")["plans"][0]["items"]["heavy"]
                             ["from_ratings"], 24)
        heavy = plans(*words, "--solver", "cg")["plans"][0]["items"]["heavy"]
        self.assertGreater(heavy["from_ratings"], 24)

    def test_balance(self):
        """At 64 ranks, with items that alone exceed a rank's fair share, the most work is below 1.02 of the mean."""
        rng, n_users, n_items = np.random.default_rng(5), 60000, 400
        p = np.arange(1, n_items + 1) ** -1.1
        pairs = np.unique(np.repeat(np.arange(n_users), 30) * n_items + rng.choice(n_items, 30 * n_users, p=p / p.sum()))
        data = harness.write_dataset(self.out / "heavy.h5", n_users, n_items, pairs // n_items, pairs % n_items,
                                     np.ones(len(pairs)))
        self.assertGreater(np.bincount(pairs % n_items).max(), 1.5 * len(pairs) / 64)
        words = [data, "--factors", 128, "--np", 64, "--algorithm"]
        for solved in (["als", "--solver", "cg"], ["als"]):
            plan = plans(*words, *solved)["plans"][0]
            for side in ("users", "items"):
                self.assertLess(plan[side]["operations"]["max"] / plan[side]["operations"]["mean"], 1.02, (solved, side))
        none = plans(*words, "als", "--heavy-items", "none")["plans"][0]["items"]["operations"]
        self.assertGreater(none["max"] / none["mean"], 1.3)

    def test_fetches(self):
        """What the choice counts of users and items of real shapes, against the plan's own counts."""
        for n_ranks in (3, 8, 12):
            plan = plans(self.data, "--algorithm", "ials", "--factors", 8, "--np", n_ranks)["plans"][0]
            for side in ("users", "items"):
                if "heavy" in plan[side]:
                    continue
                fetched = [m["received_bytes"]["mean"] for m in plan[side]["moves"] if m["move"] == "expand"]
                self.assertAlmostEqual(plan[side]["choice"]["received_bytes"], sum(fetched), places=3)

    def test_fits(self):
        """Exit code 69 and a plan all the same where it does not fit; tables have a line for each number of ranks."""
        words = ["plan", self.data, "--algorithm", "als", "--factors", 16, *RATES]
        result = run(1, *words, "--np", 2, "--memory-limit", "1M", "--json", "--quiet")
        self.assertEqual(result.rc, PLAN)
        self.assertIs(result.json()["plans"][0]["memory"]["fits"], False)
        result = run_good(1, *words, "--np", 2, "--memory-limit", "4G")
        self.assertIn("fits into", result.stdout)
        table = run_good(1, *words)
        self.assertRegex(table.stdout, r"\n +2 +2x1 ")
        self.assertEqual([p["ranks"] for p in plans(*words[1:])["plans"]][:3], [1, 2, 4])

    def test_rates(self):
        """--bench FILE is what gridmf bench wrote; what is said goes before it."""
        bench = self.out / "bench.json"
        bench.write_text(json.dumps({"triad_gbs": 20, "kernel": [{"factors": k, "gram_gflops": k, "cg_gflops": 2 * k}
                                                                 for k in (16, 64, 256)],
                                     "network": {"message_us": 3, "exchange_gbs": 5}}))
        words = ["plan", self.data, "--algorithm", "ials", "--factors", 50, "--np", 2, "--json", "--quiet", "--bench"]
        rates = run_good(1, *words, bench, "--latency", 7).json()["rates"]
        self.assertEqual([rates[r]["value"] for r in ("flops", "memory_bandwidth", "network_bandwidth", "latency")],
                         [64e9, 20e9, 5e9, 7e-6])
        self.assertEqual(rates["latency"]["source"], "--latency")
        self.assertEqual(run_good(1, *words, bench, "--solver", "cg").json()["rates"]["flops"]["value"], 128e9)
        known = json.loads(bench.read_text())
        bench.write_text(json.dumps(known | {"kernels": "avx2"}))  # a sweep gathers and factors, too
        self.assertAlmostEqual(run_good(1, *words, bench).json()["rates"]["flops"]["value"], 0.7 * 64e9, delta=1e3)
        self.assertEqual(run(1, *words, self.out / "missing").rc, NO_INPUT)
        bench.write_text("{}")
        self.assertEqual(run(1, *words, bench).rc, 65)

    def test_misuse(self):
        for words in (["--algorithm", "als"], [self.data, self.data, "--algorithm", "als"], [self.data],
                      [self.data, "--algorithm", "ease"], [self.data, "--algorithm", "als", "--np", 6, "--grid", "4x2"],
                      ["--users", 3, "--items", 3, "--ratings", 10, "--algorithm", "als"]):
            with self.subTest(words=words):
                result = run(1, "plan", *words, *RATES)
                self.assertEqual((result.rc, len(result.messages())), (USAGE, 1), result)


if __name__ == "__main__":
    unittest.main()
