"""evaluate against NumPy: every metric from its definition, on models with many ties, on any number of ranks."""

import json
import shutil
import unittest

import h5py
import numpy as np
import scipy.optimize
import scipy.stats

import harness
from harness import Ratings, random_dataset, run, run_good, write_dataset

LIST_METRICS = {  # hits: which of the first K candidates are in T; t: the size of T
    "recall": lambda hits, k, t: hits.sum() / t,
    "recall-min": lambda hits, k, t: hits.sum() / min(k, t),
    "precision": lambda hits, k, t: hits.sum() / k,
    "hit": lambda hits, k, t: float(hits.any()),
    "mrr": lambda hits, k, t: 1 / (1 + np.argmax(hits)) if hits.any() else 0,
    "map": lambda hits, k, t: sum(hits[:r + 1].mean() for r in np.flatnonzero(hits)) / min(k, t),
    "ndcg": lambda hits, k, t: (hits / np.log2(np.arange(len(hits)) + 2)).sum() / (1 / np.log2(np.arange(min(k, t)) + 2)).sum(),
}
METRICS = ",".join(["rmse", "mae", "auc", "coverage@1", "coverage@10"]
                   + [f"{name}@{k}" for name in LIST_METRICS for k in (1, 10, 200)])
COUNTS = ["n_users", "n_ratings", "n_test", "n_cold_users", "n_cold_ratings"]


def auc(positive, negative):
    """Mann and Whitney's U from mean ranks, over the number of pairs."""
    ranks = scipy.stats.rankdata(np.concatenate([positive, negative]))
    m, n = len(positive), len(negative)
    return (ranks[:m].sum() - m * (m + 1) / 2) / (m * n)


def texts(ids):
    return [i.decode() if isinstance(i, bytes) else str(i) for i in ids]


class Model:
    """A model file in memory: all scores in f8, and what was trained on and seen."""

    def __init__(self, path):
        with h5py.File(path) as f:
            x, y = (f[side + "/factors"][()].astype("f8") for side in ("users", "items"))
            self.scores = x @ y.T + f.attrs.get("global_mean", 0)
            if "users/bias" in f:
                self.scores = self.scores + f["users/bias"][()].astype("f8")[:, None] + f["items/bias"][()].astype("f8")
            self.rows = [{t: row for row, t in enumerate(texts(f[side + "/id"][()]))} for side in ("users", "items")]
            self.trained = [f[side + "/count"][()] > 0 for side in ("users", "items")]
            self.seen = np.zeros(self.scores.shape, bool)
            if "seen" in f:
                indptr = f["seen/indptr"][()]
                self.seen[np.repeat(np.arange(len(x)), np.diff(indptr)), f["seen/indices"][()]] = True

    def row(self, side, text):
        """The row of an id, -1 where it is missing or was not trained on."""
        row = self.rows[side].get(text, -1)
        return row if row >= 0 and self.trained[side][row] else -1


class Reference:
    """Every metric of a model on a test file. near: users whose list two orders of summation could change."""

    def __init__(self, model, test, metrics):
        self.model, self.test, self.near = Model(model), Ratings(test), 0
        self.errors, self.lists, self.listed = [], {m: [] for m in metrics}, {m: set() for m in metrics}
        self.counts = dict.fromkeys(COUNTS, 0)
        self.counts["n_test"] = self.test.nnz
        items = [self.model.row(1, t) for t in texts(self.test.item_ids)]
        for u, text in enumerate(texts(self.test.user_ids)):
            at = slice(self.test.indptr[u], self.test.indptr[u + 1])
            self.add_user(self.model.row(0, text), [items[i] for i in self.test.items[at]], self.test.values[at])

    def add_user(self, row, items, values):
        known = {i: float(v) for i, v in zip(items, values) if row >= 0 and i >= 0}
        self.counts["n_cold_users"] += row < 0 and len(items) > 0
        self.counts["n_cold_ratings"] += len(items) - len(known)
        self.counts["n_ratings"] += len(known)
        self.counts["n_users"] += len(known) > 0
        if known:
            self.rank(self.model.scores[row], known, self.model.trained[1] & ~self.model.seen[row])

    def rank(self, scores, known, candidate):
        self.errors += [scores[i] - value for i, value in known.items()]
        ranked = sorted(np.flatnonzero(candidate), key=lambda i: (-scores[i], i))
        gaps = -np.diff(scores[ranked])
        self.near += bool(((gaps > 0) & (gaps < 1e-6 * np.abs(scores).max())).any())
        hits = np.array([i in known for i in ranked], bool)
        for name in self.lists:
            kind, _, k = name.partition("@")
            if kind == "coverage":
                self.listed[name].update(ranked[:int(k)])
            elif kind in LIST_METRICS:
                self.lists[name].append(LIST_METRICS[kind](hits[:int(k)], int(k), len(known)))
            elif kind == "auc" and hits.any() and not hits.all():
                self.lists[name].append(auc(scores[ranked][hits], scores[ranked][~hits]))

    def value(self, name):
        if name == "rmse":
            return np.sqrt(np.mean(np.square(self.errors)))
        if name == "mae":
            return np.mean(np.abs(self.errors))
        if name.startswith("coverage"):
            return len(self.listed[name]) / self.model.trained[1].sum()
        return np.mean(self.lists[name]) if self.lists[name] else None

    def slack(self, name):
        """By how much a metric may differ: f4 scores, and lists that rounding can turn around."""
        return 1e-6 + (self.near / self.counts["n_users"] if name not in ("rmse", "mae") else 0)


class EvaluateCase(harness.Case):
    def evaluate(self, n_ranks, model, test, metrics=METRICS, options=(), **how):
        return run_good(n_ranks, "evaluate", model, test, "--metrics", metrics, "--json", "--quiet", *options, **how).json()

    def check_found(self, found, wanted, metrics, **slack):
        self.assertEqual(sorted(found), sorted(COUNTS + metrics.split(",")))
        for name in COUNTS:
            self.assertEqual(found[name], wanted.counts[name], name)
        for name in metrics.split(","):
            value = wanted.value(name)
            if value is None:
                self.assertIsNone(found[name], name)
            else:
                self.assertAlmostEqual(found[name], value, delta=slack.get("slack", wanted.slack(name)) * max(1, abs(value)),
                                       msg=name)

    def check(self, model, test, ranks=(1,), metrics=METRICS, **slack):
        wanted = Reference(model, test, metrics.split(","))
        for n_ranks in ranks:
            with self.subTest(ranks=n_ranks):
                self.check_found(self.evaluate(n_ranks, model, test, metrics), wanted, metrics, **slack)
        return wanted

    def train(self, data, *options, n_ranks=2):
        model = self.out / "model.h5"
        run_good(n_ranks, "train", data, "-o", model, "--quiet", *options)
        return model


def write_model(path, x, y, seen, algorithm="ials", trained=None, bias=None, mean=0.0, with_seen=True, **attributes):
    """A model file as design.md describes it. seen: bool [m][n]; bias: one array a side; trained: bool [n]."""
    m, n = seen.shape
    counts = seen.sum(1), seen.sum(0) if trained is None else trained.astype("i8")
    with h5py.File(path, "w") as f:
        f.attrs.update({"format": "gridmf-model", "format_version": "1.0", "complete": 1, "algorithm": algorithm,
                        "factors": x.shape[1], "global_mean": mean, **attributes})
        for side, rows, count, length in (("users", x, counts[0], m), ("items", y, counts[1], n)):
            f[side + "/id"] = np.arange(1, length + 1, dtype="i8")
            f[side + "/factors"] = rows.astype("f4")
            f[side + "/count"] = count.astype("i8")
            if bias is not None:
                f[side + "/bias"] = bias[side == "items"].astype("f4")
        if with_seen:
            f["seen/indptr"] = np.concatenate([[0], np.cumsum(seen.sum(1))]).astype("i8")
            f["seen/indices"] = np.nonzero(seen)[1].astype("i4")
    return path


class TestDefinitions(EvaluateCase):
    """Scores that are small integers: many ties, and exact in every order of summation."""

    def pair(self, m, n, density, held_out, seed, n_factors=3, **more):
        rng = np.random.default_rng(seed)
        x, y = rng.integers(-1, 3, (m, n_factors)), rng.integers(-1, 3, (n, n_factors))
        seen = rng.random((m, n)) < density
        seen[:, rng.random(n) < 0.1] = False  # items without training ratings
        seen[rng.random(m) < 0.1] = False     # users without
        users, items = np.nonzero((rng.random((m, n)) < held_out) & ~seen)
        test = write_dataset(self.out / "test.h5", m, n, users, items, rng.integers(1, 6, len(users)))
        return write_model(self.out / "model.h5", x, y, seen, **more), test

    def check_exactly(self, model, test, ranks=(1, 2, 3, 4)):
        wanted = self.check(model, test, ranks, slack=1e-9)
        self.assertEqual(wanted.near, 0)
        return wanted

    def test_many_ties(self):
        for seed in range(3):
            wanted = self.check_exactly(*self.pair(60, 150, 0.1, 0.08, seed), ranks=(1 + seed, 4))
            self.assertGreater(wanted.counts["n_cold_users"], 0)
            self.assertGreater(wanted.value("recall@10"), 0.02)

    def test_fewer_candidates_than_k(self):
        """Users who had nearly all; some of whom have nothing left but T, and no pair."""
        wanted = self.check_exactly(*self.pair(40, 12, 0.75, 0.5, 7))
        self.assertLess(len(wanted.lists["auc"]), wanted.counts["n_users"])

    def test_nothing_but_ties(self):
        model, test = self.pair(30, 40, 0.2, 0.2, 8)
        with h5py.File(model, "r+") as f:
            f["users/factors"][...] = 1
            f["items/factors"][...] = 1
        wanted = self.check_exactly(model, test, (1, 3))
        self.assertEqual(wanted.value("auc"), 0.5)

    def test_held_out_items_that_the_user_had(self):
        """They are in T, but no candidates."""
        model, _ = self.pair(30, 40, 0.4, 0.2, 9)
        rng = np.random.default_rng(9)
        test = random_dataset(self.out / "overlap.h5", 30, 40, 300, seed=4, values=lambda r, n: rng.integers(1, 6, n))
        self.check_exactly(model, test, (1, 4))

    def test_biases_and_mean(self):
        rng = np.random.default_rng(10)
        bias = rng.integers(-2, 3, 50), rng.integers(-2, 3, 70)
        model, test = self.pair(50, 70, 0.2, 0.1, 10, algorithm="als", bias=bias, mean=2.5, n_factors=15)
        self.check_exactly(model, test)

    def test_without_seen(self):
        model, test = self.pair(30, 40, 0.2, 0.2, 11, with_seen=False)
        self.check_exactly(model, test, (2,))

    def test_threads(self):
        model, test = self.pair(300, 150, 0.1, 0.08, 12)
        wanted = Reference(model, test, METRICS.split(","))
        for n_ranks in (1, 3):
            found = self.evaluate(n_ranks, model, test, env={"OMP_NUM_THREADS": "2"})
            self.check_found(found, wanted, METRICS, slack=1e-9)

    def test_one_metric_at_a_time(self):
        """What a metric needs is computed also when no other asks for it."""
        model, test = self.pair(40, 60, 0.15, 0.1, 13)
        for metrics in ("rmse", "auc", "coverage@5", "map@7", "recall-min@1"):
            self.check(model, test, (1, 3), metrics=metrics, slack=1e-9)

    def test_more_ranks_than_users(self):
        model, test = self.pair(60, 90, 0.2, 0.1, 14)
        few = Ratings(test)
        keep = few.users < 4
        path = write_dataset(self.out / "few.h5", 60, 90, few.users[keep], few.items[keep], few.values[keep])
        self.check_exactly(model, path, (1, 7))

    def test_lists_longer_than_a_batch_has_room_for(self):
        """A million entries are a list of all items; only few users then fit into a batch."""
        rng = np.random.default_rng(15)
        n = 100_000
        seen = np.zeros((200, n), bool)
        seen[:, ::1000] = True
        model = write_model(self.out / "model.h5", rng.integers(0, 9, (200, 1)), rng.integers(0, 9, (n, 1)), seen,
                            trained=np.ones(n, bool))
        users, items = np.repeat(np.arange(200), 2), rng.integers(0, n // 1000, 400) * 1000 + np.tile([1, 2], 200)
        test = write_dataset(self.out / "test.h5", 200, n, users, items, np.ones(400))
        self.check(model, test, (1, 2), metrics="map@1000000,recall@60000,coverage@50000", slack=1e-9)


class TestFiles(EvaluateCase):
    """Models as train writes them, test files of any origin."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        whole = cls.folder / "whole.h5"
        run_good(2, "synth", "-o", whole, "--users", 130, "--items", 80, "--ratings", 2000, "--quiet")
        cls.data, cls.test, cls.model = cls.folder / "train.h5", cls.folder / "test.h5", cls.folder / "model.h5"
        run_good(2, "split", whole, "--train", cls.data, "--test", cls.test, "--method", "random", "--fraction", 0.3,
                 "--quiet")
        run_good(2, "train", cls.data, "-o", cls.model, "--algorithm", "als", "--factors", 6, "--iterations", 5, "--quiet")

    def test_every_metric(self):
        wanted = self.check(self.model, self.test, ranks=(1, 2, 4, 7))
        self.assertGreater(wanted.value("recall@10"), 0.1)

    def test_ranks_and_threads_agree(self):
        wanted = self.evaluate(1, self.model, self.test)
        for n_ranks, threads in ((2, 1), (4, 1), (1, 2)):
            found = self.evaluate(n_ranks, self.model, self.test, env={"OMP_NUM_THREADS": str(threads)})
            for name, value in wanted.items():
                self.assertEqual(found[name], value, name)

    def test_ials(self):
        model = self.train(self.data, "--algorithm", "ials", "--factors", 6, "--iterations", 3, "--alpha", 1)
        self.check(model, self.test, ranks=(1, 3))

    def test_metrics_where_none_are_asked_for(self):
        found = run_good(1, "evaluate", self.model, self.test, "--json", "--quiet").json()
        self.assertEqual(sorted(set(found) - set(COUNTS)), ["hit@10", "mae", "ndcg@10", "precision@10", "recall@20", "rmse"])

    def test_other_ids_order_and_type(self):
        """A test file of another origin: text ids in no order, among them some that the model lacks."""
        t = Ratings(self.test)
        rng = np.random.default_rng(8)
        new_user, new_item = rng.permutation(t.n_users + 4), rng.permutation(t.n_items + 3)
        user_ids, item_ids = np.empty(t.n_users + 4, "U12"), np.empty(t.n_items + 3, "U12")
        user_ids[new_user] = [str(i) for i in t.user_ids] + ["nobody", "1.0", "-3", "100000"]
        item_ids[new_item] = [str(i) for i in t.item_ids] + ["nothing", "01", "99999"]
        users = np.concatenate([new_user[t.users], new_user[-4:], new_user[:3]])
        items = np.concatenate([new_item[t.items], new_item[:4], new_item[-3:]])
        values = np.concatenate([t.values, np.full(7, 3)])
        keys, first = np.unique(users * len(item_ids) + items, return_index=True)
        for kind, (uids, iids) in {"text": (user_ids, item_ids), "text users": (user_ids, None)}.items():
            if iids is None:
                iids = np.array([int(i) if i.isdigit() and i != "01" else 7000 + n for n, i in enumerate(item_ids)])
            path = write_dataset(self.out / "other.h5", len(uids), len(iids), users[first], items[first], values[first],
                                 user_ids=uids, item_ids=iids)
            with self.subTest(kind=kind):
                wanted = self.check(self.model, path, ranks=(1, 4))
                self.assertGreaterEqual(wanted.counts["n_cold_users"], 4)

    def test_model_with_text_ids(self):
        """Integers of the test file are matched as text: 7 is not 07."""
        ids = np.array(sorted(str(i) for i in range(1, 121)))
        ids[ids == "7"] = "07"
        data = random_dataset(self.out / "text.h5", 120, 40, 900, user_ids=np.sort(ids))
        test = random_dataset(self.out / "test.h5", 130, 40, 500, seed=2)
        model = self.train(data, "--algorithm", "als", "--factors", 3, "--iterations", 2)
        wanted = self.check(model, test, ranks=(1, 3))
        self.assertGreaterEqual(wanted.counts["n_cold_users"], 8)

    def test_text_ids_as_numpy_writes_them(self):
        """h5py stores numpy's S arrays as ASCII text, gridmf writes UTF-8: both are text."""
        path = random_dataset(self.out / "ascii.h5", 30, 20, 200, user_ids=np.array([b"u%02d" % i for i in range(30)]))
        self.train(path, "--algorithm", "als", "--iterations", 1)

    def test_rows_that_training_left_empty(self):
        r = Ratings(self.data)
        keep = (r.users % 5 > 0) & (r.items % 4 > 0)
        data = write_dataset(self.out / "thin.h5", r.n_users, r.n_items, r.users[keep], r.items[keep], r.values[keep])
        model = self.train(data, "--algorithm", "als", "--factors", 4, "--iterations", 2)
        wanted = self.check(model, self.test, ranks=(1, 3))
        self.assertGreater(wanted.counts["n_cold_users"], 10)

    def test_nothing_in_common(self):
        path = random_dataset(self.out / "strangers.h5", 5, 6, 9, user_ids=["a", "b", "c", "d", "e"])
        result = run(2, "evaluate", self.model, path, "--json", "--quiet")
        self.assertEqual((result.rc, result.stdout), (65, ""), str(result))
        self.assertIn("same dataset", result.messages()[0])

    def test_ranks_with_different_models(self):
        """As on nodes with copies of their own: an error, and no rank waits for another."""
        other = self.train(self.data, "--algorithm", "als", "--factors", 5, "--iterations", 1)
        command = [harness.GRIDMF, "evaluate"]
        result = harness.execute([*harness.MPIRUN, "-n", 1, *command, self.model, self.test, ":", "-n", 1, *command, other,
                                  self.test])
        self.assertEqual((result.rc, len(result.messages())), (65, 1), str(result))
        self.assertIn("all nodes share", result.messages()[0])

    def test_more_users_and_items_than_a_batch(self):
        """Over 1024 known users on a rank and over 4096 items: batches and panels have edges."""
        data = self.out / "large.h5"
        run_good(2, "synth", "-o", data, "--users", 2100, "--items", 5000, "--ratings", 30000, "--quiet")
        run_good(2, "split", data, "--train", self.out / "a.h5", "--test", self.out / "b.h5", "--method", "random",
                 "--count", 2, "--quiet")
        model = self.train(self.out / "a.h5", "--algorithm", "ials", "--factors", 4, "--iterations", 2)
        self.check(model, self.out / "b.h5", ranks=(1, 2), metrics="rmse,recall@20,ndcg@10,auc,coverage@20")

    def test_table_and_formulas(self):
        said = run_good(1, "evaluate", self.model, self.test, "--explain").stdout
        for word in ("rmse", "mae", "recall@20", "ndcg@10", "log2", "sqrt"):
            self.assertIn(word, said)
        said = run_good(1, "evaluate", "--explain").stdout
        for name in ("rmse", "mae", "auc", "coverage@K", *(f"{name}@K" for name in LIST_METRICS)):
            self.assertIn("\n" + name + ": ", "\n" + said)
        said = run_good(1, "evaluate", "--explain", "--metrics", "rmse,ndcg@10,ndcg@5").stdout
        self.assertRegex(said, r"(?s)\Armse: [^\n]*\nndcg@K: [^\n]*\nCandidates: .*\sL: .* T: ")


class TestPopularity(EvaluateCase):
    """The yardstick: a model of counts."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.data = random_dataset(cls.folder / "data.h5", 70, 40, 400, seed=3)
        r = Ratings(cls.data)
        keep = (r.users % 9 > 0) & (r.items % 7 > 0)  # rows without training ratings
        write_dataset(cls.data, 70, 40, r.users[keep], r.items[keep], r.values[keep])
        cls.test = random_dataset(cls.folder / "test.h5", 70, 40, 300, seed=4)

    def popularity(self, n_ranks=1, *options):
        return self.train(self.data, "--algorithm", "popularity", *options, n_ranks=n_ranks)

    def test_model(self):
        r = Ratings(self.data)
        for n_ranks, grid in ((1, "auto"), (3, "auto"), (4, "2x2"), (7, "1x7")):
            with self.subTest(ranks=n_ranks, grid=grid):
                x, y = harness.read_factors(self.popularity(n_ranks, "--grid", grid))
                np.testing.assert_array_equal(x[:, 0], r.degrees > 0)
                np.testing.assert_array_equal(y[:, 0], np.bincount(r.items, minlength=40))
                self.assertEqual((x.shape, y.shape), ((70, 1), (40, 1)))
                with h5py.File(self.out / "model.h5") as f:
                    self.assertEqual((f.attrs["algorithm"], f.attrs["factors"], f.attrs["global_mean"]), ("popularity", 1, 0))
                    self.assertNotIn("lambda", f.attrs)
                    np.testing.assert_array_equal(f["seen/indices"][()], r.items)
                    np.testing.assert_array_equal(f["items/count"][()], y[:, 0])
                    self.assertEqual(len(f["history/iteration"]), 0)
                run_good(1, "verify", self.out / "model.h5")

    def test_metrics(self):
        wanted = self.check(self.popularity(2), self.test, ranks=(1, 2, 3), slack=1e-9)
        self.assertEqual(wanted.near, 0)
        self.assertGreater(wanted.counts["n_cold_users"], 0)

    def test_metrics_where_none_are_asked_for(self):
        found = run_good(1, "evaluate", self.popularity(), self.test, "--json", "--quiet").json()
        self.assertEqual(sorted(set(found) - set(COUNTS)), ["hit@10", "ndcg@10", "precision@10", "recall@20"])

    @unittest.skipUnless(shutil.which(harness.GRIDMF_QUERY), "gridmf-query is not built")
    def test_query(self):
        model = self.popularity(2)
        m = Model(model)
        answer = harness.execute([harness.GRIDMF_QUERY, model, "recommend", "--user", 2, "--top", 5, "--format", "json"])
        items = [int(i["item"]) - 1 for i in json.loads(answer.stdout)["items"]]
        candidates = np.flatnonzero(m.trained[1] & ~m.seen[1])
        self.assertEqual(items, sorted(candidates, key=lambda i: (-m.scores[1, i], i))[:5])


class FoldInReference(Reference):
    """The same with users who are folded in: solved in f8 from the model file's attributes, factors and Gram matrix."""

    def __init__(self, model, test, fold_in, metrics):
        with h5py.File(model) as f:
            self.attrs = dict(f.attrs)
            self.y = f["items/factors"][()].astype("f8")
            self.item_bias = f["items/bias"][()].astype("f8") if "items/bias" in f else None
        self.fold, self.fold_model, self.folded, self.empty = Ratings(fold_in), Model(model), 0, 0
        self.fold_items = np.array([self.fold_model.row(1, t) for t in texts(self.fold.item_ids)])
        self.fold_rows = {t: u for u, t in enumerate(texts(self.fold.user_ids)) if self.fold.degrees[u] > 0}
        self.user = -1
        super().__init__(model, test, metrics)

    def add_user(self, row, items, values):
        self.user += 1
        text = texts(self.test.user_ids)[self.user]
        u = self.fold_rows.get(text)
        if u is None or not len(items):
            super().add_user(row, items, values)
            return
        at = slice(self.fold.indptr[u], self.fold.indptr[u + 1])
        rows = self.fold_items[self.fold.items[at]]
        known = {i: float(v) for i, v in zip(items, values) if i >= 0}
        if not (rows >= 0).any():
            self.empty += 1
            self.counts["n_cold_ratings"] += len(items)
            return
        self.folded += len(known) > 0
        self.counts["n_cold_ratings"] += len(items) - len(known)
        if not known:
            return
        self.counts["n_ratings"] += len(known)
        self.counts["n_users"] += 1
        weights = self.fold.weights[at] if self.fold.weights is not None else np.ones(len(rows))
        scores = self.solve(rows[rows >= 0], self.fold.values[at][rows >= 0].astype("f8"), weights[rows >= 0].astype("f8"))
        candidate = self.fold_model.trained[1].copy()
        candidate[rows[rows >= 0]] = False
        self.rank(scores, known, candidate)

    def text(self, name):
        value = self.attrs[name]
        return value.decode() if isinstance(value, bytes) else value

    def solve(self, rows, r, v):
        """Scores of all items for a user with ratings r of weights v of items `rows`."""
        if self.text("algorithm") == "popularity":
            return self.y[:, 0]
        y, k, alpha = self.y[rows], self.y.shape[1], self.attrs.get("alpha", 0)
        loss = "squared" if self.text("algorithm") == "als" else self.text("loss")
        mean = float(self.attrs["global_mean"])
        shared, w, t = {"squared": (0, v, v * (r - mean)),
                        "hkv": (1, alpha * np.abs(v * r), (r > 0) * (1 + alpha * v * r)),
                        "implicit": (1, np.abs(alpha * v * r) - 1, (r > 0) * alpha * v * r),
                        "ials": (self.attrs.get("alpha0", 0), v * (r != 0), (r > 0) * v)}[loss]
        scale = {"none": 1, "count": len(r), "ials": len(r) + shared * len(self.y)}[self.text("lambda_scale")]
        scale = float(scale) ** self.attrs["lambda_exponent"]
        features, diagonal, bias = y, np.full(k, self.attrs["lambda"]), self.item_bias is not None
        if bias:
            features, diagonal = np.hstack([y, np.ones((len(y), 1))]), np.append(diagonal, self.attrs["lambda_bias"])
            t = t - w * self.item_bias[rows]
        a = features.T @ (w[:, None] * features) + scale * np.diag(diagonal)
        a[:k, :k] += shared * self.y.T @ self.y
        b = features.T @ t
        if self.text("nonnegative") == "yes":
            root = np.linalg.cholesky(a)
            lower = np.where(np.arange(len(b)) < k, 0, -np.inf)
            x = scipy.optimize.lsq_linear(root.T, np.linalg.solve(root, b), (lower, np.inf), method="bvls", tol=1e-15).x
        else:
            x = np.linalg.solve(a, b)
        scores = self.y @ x[:k] + mean
        return scores + x[k] + self.item_bias if bias else scores


MODELS = [["als", "--lambda", 0.1], ["als", "--bias", "--lambda", 0.1, "--lambda-bias", 0.05], ["als", "--nonnegative"],
          ["ials", "--alpha", 2, "--lambda", 1], ["ials", "--loss", "implicit", "--alpha", 2, "--lambda", 1, "--lambda-scale", "count"],
          ["ials", "--loss", "ials", "--alpha0", 0.2, "--lambda", 0.01, "--lambda-scale", "ials", "--lambda-exponent", 0.9],
          ["ials", "--nonnegative", "--alpha", 2], ["popularity"]]


class HeldOutUsers(EvaluateCase):
    """A split by users: train, test and fold-in files."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        whole = random_dataset(cls.folder / "whole.h5", 120, 50, 1800, seed=5,
                               weights=lambda rng, n: rng.choice([0.5, 1, 2], n))
        cls.train_file, cls.test, cls.fold = (cls.folder / name for name in ("train.h5", "test.h5", "fold.h5"))
        run_good(2, "split", whole, "--method", "users", "--count", 30, "--train", cls.train_file, "--test", cls.test,
                 "--fold-in", cls.fold, "--quiet")

    def model(self, options, n_ranks=2, *more):
        words = ["--algorithm", *options, *more]
        if options[0] != "popularity":
            words += ["--factors", 5, "--iterations", 4]
        return self.train(self.train_file, *words, n_ranks=n_ranks)


class TestFoldIn(HeldOutUsers):
    def check_fold(self, model, test, fold, ranks):
        wanted = FoldInReference(model, test, fold, METRICS.split(","))
        for n_ranks, threads in ranks:
            found = self.evaluate(n_ranks, model, test, options=["--fold-in", fold, "--threads", threads])
            self.assertEqual((found.pop("n_folded_in"), found.pop("n_empty_fold_ins")), (wanted.folded, wanted.empty))
            self.check_found(found, wanted, METRICS)
        return wanted

    def test_against_numpy(self):
        for options in MODELS:
            with self.subTest(options=options):
                wanted = self.check_fold(self.model(options), self.test, self.fold, [(1, 2), (3, 1)])
                self.assertEqual(wanted.folded, wanted.counts["n_users"])
                self.assertGreater(wanted.folded, 20)

    def test_many_ranks(self):
        self.check_fold(self.model(MODELS[3]), self.test, self.fold, [(2, 1), (4, 1), (7, 1)])

    def test_users_that_the_model_has_too(self):
        """Who is in the fold-in file is folded in; the others keep the model's row; who has nothing known is passed over."""
        train, rng = Ratings(self.train_file), np.random.default_rng(3)
        test = random_dataset(self.out / "t.h5", train.n_users, train.n_items, 300, seed=8)
        keep = (np.arange(600) // 20) % 2 == 0
        users, items = np.unique(rng.integers(0, [train.n_users // 2, train.n_items], (600, 2))[keep], axis=0).T
        ids = train.item_ids.astype("i8").copy()
        ids[-5:] = 10 ** 6 + np.arange(5)  # items that the model does not know
        fold = write_dataset(self.out / "f.h5", train.n_users, train.n_items, users, items, np.full(len(users), 3.0),
                             user_ids=train.user_ids, item_ids=ids)
        with h5py.File(test, "r+") as f:
            f["users/id"][...] = train.user_ids
            f["items/id"][...] = train.item_ids
        wanted = self.check_fold(self.model(MODELS[1]), test, fold, [(1, 1), (3, 1)])
        self.assertGreater(wanted.counts["n_users"], wanted.folded)

    def test_singular(self):
        model = self.model(["als", "--lambda", 0.1])
        with h5py.File(model, "r+") as f:
            f.attrs["lambda"] = 0.0
            f["items/factors"][...] = 1
            if "integrity" in f:
                del f["integrity"]
        for n_ranks in (1, 3):
            result = run(n_ranks, "evaluate", model, self.test, "--fold-in", self.fold, "--quiet")
            self.assertEqual(result.rc, 3, str(result))
            self.assertRegex(result.messages()[0], "user [0-9]+ cannot be folded in")

    def test_other_ids(self):
        """The three files number users and items in ways of their own, as integers and as text."""
        model, rng, paths = self.model(MODELS[1]), np.random.default_rng(9), []
        for name, path in (("test", self.test), ("fold", self.fold)):
            r = Ratings(path)
            users, items = rng.permutation(r.n_users), rng.permutation(r.n_items)
            user_ids, item_ids = np.empty(r.n_users, "U8"), np.empty(r.n_items, "i8")
            user_ids[users], item_ids[items] = texts(r.user_ids), r.item_ids
            paths.append(write_dataset(self.out / (name + ".h5"), r.n_users, r.n_items, users[r.users], items[r.items],
                                       r.values, user_ids=user_ids, item_ids=item_ids, weights=r.weights))
        wanted = self.check_fold(model, *paths, [(1, 1), (3, 1)])
        self.assertGreater(wanted.folded, 20)

    def test_centered_and_by_cg(self):
        """Also a model that cg has trained is folded in exactly."""
        for options in (["als", "--center", "global", "--lambda", 0.1, "--lambda-exponent", 0.5],
                        ["ials", "--alpha", 1, "--solver", "cg"]):
            self.check_fold(self.model(options), self.test, self.fold, [(1, 1), (3, 1)])

    def test_long_fold_ins(self):
        """More than are solved at a time: 64 MB of item rows at 128 factors are 131072 ratings."""
        rng, n, k = np.random.default_rng(12), 600, 128
        model = write_model(self.out / "model.h5", np.zeros((1, k)), rng.normal(size=(n, k)) / 8, np.ones((1, n), bool),
                            algorithm="als", nonnegative="no", **{"lambda": 1.0, "lambda_scale": "none", "lambda_exponent": 1.0})
        users, items = np.divmod(np.arange(250 * n), n)
        tested, values = items % 12 == users % 12, rng.integers(1, 6, len(users))
        test, fold = (write_dataset(self.out / name, 251, n, users[keep] + 1, items[keep], values[keep])
                      for name, keep in (("test.h5", tested), ("fold.h5", ~tested)))
        self.check_fold(model, test, fold, [(1, 1), (2, 1)])

    def test_models_that_cannot_fold_in(self):
        model = self.model(MODELS[3])
        with h5py.File(model, "r+") as f:
            del f["items/gram"]
        for says, change in (("gram", lambda f: None), ("@lambda", lambda f: f.attrs.pop("lambda"))):
            with h5py.File(model, "r+") as f:
                change(f)
            for n_ranks in (1, 3):
                result = run(n_ranks, "evaluate", model, self.test, "--fold-in", self.fold, "--quiet")
                self.assertEqual((result.rc, len(result.messages()), result.stdout), (65, 1, ""), str(result))
                self.assertIn(says, result.messages()[0])

    def test_nobody_to_score(self):
        """Test users who are neither in the model nor in the fold-in file."""
        r = Ratings(self.fold)
        keep = r.users < 0
        nothing = write_dataset(self.out / "fold.h5", r.n_users, r.n_items, r.users[keep], r.items[keep], r.values[keep],
                                user_ids=r.user_ids, item_ids=r.item_ids)
        result = run(2, "evaluate", self.model(MODELS[0]), self.test, "--fold-in", nothing, "--quiet")
        self.assertEqual((result.rc, len(result.messages())), (65, 1), str(result))

    def test_without_fold_in(self):
        result = run(2, "evaluate", self.model(MODELS[3]), self.test, "--quiet")
        self.assertEqual(result.rc, 65)
        self.assertIn("none of its ratings has a user", result.messages()[0])


class TestValidation(HeldOutUsers):
    """Metrics inside a training are those of evaluate on the model that it writes."""

    def history(self, model, name):
        return harness.read_history(model, name)

    def test_same_as_evaluate(self):
        metrics = "rmse,ndcg@10,auc,recall-min@5,coverage@10"
        for options in (MODELS[1], MODELS[3], MODELS[5], MODELS[2]):
            for n_ranks, grid in ((1, "auto"), (3, "auto"), (4, "2x2"), (2, "1x2")):
                with self.subTest(options=options, ranks=n_ranks, grid=grid):
                    model = self.model(options, n_ranks, "--test", self.test, "--fold-in", self.fold, "--metrics", metrics,
                                       "--grid", grid)
                    found = self.evaluate(2, model, self.test, metrics, ["--fold-in", self.fold])
                    for name in metrics.split(","):
                        values = self.history(model, name)
                        self.assertEqual(len(values), 4)
                        self.assertFalse(np.isnan(values).any())
                        self.assertAlmostEqual(values[-1], found[name], delta=2e-5 * max(1, abs(found[name])))

    def test_rows_of_the_model(self):
        """Test ratings of users who are trained on, by id."""
        data = random_dataset(self.out / "data.h5", 60, 40, 700, seed=2)
        train, test = self.out / "tr.h5", self.out / "te.h5"
        run_good(1, "split", data, "--train", train, "--test", test, "--method", "random", "--fraction", 0.3, "--quiet")
        for n_ranks in (1, 3):
            model = self.train(train, "--algorithm", "als", "--bias", "--factors", 4, "--iterations", 3, "--test", test,
                               "--metrics", "rmse,ndcg@5", n_ranks=n_ranks)
            found = self.evaluate(1, model, test, "rmse,ndcg@5")
            for name in ("rmse", "ndcg@5"):
                self.assertAlmostEqual(self.history(model, name)[-1], found[name], delta=1e-5)

    def test_items_in_no_order(self):
        """A dataset of another hand, whose users have their items in any order."""
        data = random_dataset(self.out / "data.h5", 40, 30, 500, seed=6)
        test = random_dataset(self.out / "test.h5", 40, 30, 200, seed=7)
        r, rng = Ratings(data), np.random.default_rng(8)
        order = np.concatenate([b + rng.permutation(e - b) for b, e in zip(r.indptr, r.indptr[1:])])
        with h5py.File(data, "r+") as f:
            f["ratings/indices"][...] = r.items[order]
            f["ratings/data"][...] = r.values[order]
        metrics = "recall@5,auc"
        model = self.train(data, "--algorithm", "ials", "--alpha", 1, "--factors", 4, "--iterations", 2, "--test", test,
                           "--metrics", metrics)
        found = self.evaluate(1, model, test, metrics)
        for name in metrics.split(","):
            self.assertAlmostEqual(self.history(model, name)[-1], found[name], delta=1e-6)

    def test_every(self):
        model = self.model(MODELS[3], 2, "--test", self.test, "--fold-in", self.fold, "--metrics", "ndcg@10", "--validate-every", 3)
        self.assertEqual(np.isnan(self.history(model, "ndcg@10")).tolist(), [True, True, False, False])

    def early(self, n_ranks, *more, out="early.h5"):
        log = self.out / "log.jsonl"
        run_good(n_ranks, "train", self.train_file, "-o", self.out / out, "--algorithm", "als", "--factors", 20, "--lambda", 0.005,
                 "--iterations", 40, "--test", self.test, "--fold-in", self.fold, "--metrics", "rmse,ndcg@10", "--early-stop", 3,
                 "--log-json", log, *more)
        return self.out / out

    def test_early_stop_keeps_the_best(self):
        """Too little lambda: the error falls, then rises."""
        for n_ranks in (1, 3):
            model = self.early(n_ranks)
            values = self.history(model, "rmse")
            best = int(np.argmin(values)) + 1
            with h5py.File(model) as f:
                self.assertEqual(f.attrs["best_iteration"], best)
            self.assertEqual(len(values), min(40, best + 3))
            self.assertLess(len(values), 40)
            found = self.evaluate(1, model, self.test, "rmse", ["--fold-in", self.fold])
            self.assertAlmostEqual(found["rmse"], values[best - 1], delta=1e-5)
            events = [json.loads(line) for line in (self.out / "log.jsonl").read_text().splitlines()]
            sweeps = [e for e in events if e["event"] == "sweep"]
            self.assertAlmostEqual(sweeps[-1]["ndcg@10"], self.history(model, "ndcg@10")[-1], places=6)
            (self.out / "log.jsonl").unlink()

    def test_deterministic(self):
        """The whole file is the same on any number of ranks and threads, with what validation wrote into it."""
        words = ["train", self.train_file, "-o", "m.h5", "--algorithm", "ials", "--alpha", 1, "--factors", 5, "--iterations", 3,
                 "--deterministic", "--test", self.test, "--fold-in", self.fold, "--metrics", "ndcg@10,rmse,auc", "--early-stop",
                 2, "--quiet"]
        files = []
        for n_ranks, threads in ((1, 1), (3, 1), (2, 2)):
            folder = self.out / f"{n_ranks}-{threads}"
            folder.mkdir()
            run_good(n_ranks, *words, cwd=folder, env={"OMP_NUM_THREADS": str(threads)})
            with h5py.File(folder / "m.h5") as f:
                files.append({name: f[name][()].tobytes() for name in
                              ("users/factors", "items/factors", "history/ndcg@10", "history/rmse", "history/auc")})
        self.assertEqual(files[1], files[0])
        self.assertEqual(files[2], files[0])

    def test_early_stop_resumed(self):
        """What early stopping remembers is in the checkpoint."""
        env = {"SOURCE_DATE_EPOCH": "0"}
        words = ["train", self.train_file, "-o", "m.h5", "--algorithm", "als", "--factors", 20, "--lambda", 0.005, "--iterations",
                 40, "--test", self.test, "--fold-in", self.fold, "--metrics", "rmse", "--early-stop", 3, "--checkpoint", "ck",
                 "--checkpoint-every", "0s", "--keep", 99, "--quiet"]
        folder = self.out / "run"
        folder.mkdir()
        run_good(2, *words, cwd=folder, env=env)
        whole, n = (folder / "m.h5").read_bytes(), len(self.history(folder / "m.h5", "rmse"))
        for left in (n - 1, n - 2, 1):
            for path in sorted((folder / "ck").iterdir())[left:]:
                path.unlink()
            (folder / "m.h5").unlink()
            result = run_good(2, *[w for w in words if w != "--quiet"], "--quiet", cwd=folder, env=env)
            self.assertEqual((folder / "m.h5").read_bytes(), whole, str(result))

    def test_refused(self):
        for options in (["--early-stop", 2], ["--fold-in", self.fold]):
            result = run(2, "train", self.train_file, "-o", self.out / "m.h5", "--algorithm", "als", *options)
            self.assertEqual(result.rc, 64)
            self.assertIn("--test TEST.h5", result.messages()[0])


if __name__ == "__main__":
    unittest.main()
